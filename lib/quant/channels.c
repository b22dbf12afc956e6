/* channels.c: ranges of the channels of a tensor, and the clip of each (SEMANTICS 2). Bins grow by powers of two, so that
 * parts add up exactly, in any order. */
#include "lib/quant/observer.h"
#include "lib/quant/vec.h"

#include <float.h>
#include <limits.h>
#include <math.h>

enum {
	BITS = 8,
	HALF = 1 << BITS,		/* bins of values below 0, nearest last; as many of the others */
	BINS = 2 * HALF,
	CANDIDATES = 16,
	RUN = 16,			/* values that are looked at in a row: those of a cache line */
	LIST = 4096,			/* values at a time */
};
static const double TIGHTEST = 0.2;	/* of the candidates for the clip, of the range */

hb_channels *
hb_channels_new(hb_arena *a, int64_t n, double averaging_constant, int64_t most, bool histogram)
{
	hb_channels *ch = HB_NEW(a, hb_channels);

	if (!ch)
		return NULL;
	ch->n = n;
	ch->averaging_constant = averaging_constant;
	ch->most = most;
	ch->min = HB_NEW_N(a, float, n);
	ch->max = HB_NEW_N(a, float, n);
	ch->exponent = histogram ? HB_NEW_N(a, int, n) : NULL;
	ch->bins = histogram ? HB_NEW_N(a, uint32_t, n * BINS) : NULL;
	for (int64_t k = 0; ch->exponent && k < n; k++)
		ch->exponent[k] = HB_LEAST_EXPONENT - BITS;
	return ch->min && ch->max && (!histogram || (ch->exponent && ch->bins)) ? ch : NULL;
}

/* ---- seeing ---- */

static void
count_up(uint32_t *bin, uint64_t n)
{
	*bin = (uint32_t)HB_MIN(n + *bin, UINT32_MAX);
}

/* Where bin i goes when 2^by bins become one. */
static int
folded(int i, int by)
{
	return i < HALF ? HALF - 1 - ((HALF - 1 - i) >> by) : HALF + ((i - HALF) >> by);
}

/* Channel k's bins become 2^exponent wide where they are narrower. */
static void
grow(hb_channels *ch, int64_t k, int exponent)
{
	uint32_t *bins = ch->bins + k * BINS, old[BINS];
	int by = HB_MIN(exponent - ch->exponent[k], BITS);

	if (by <= 0)
		return;
	ch->exponent[k] = exponent;
	memcpy(old, bins, sizeof(old));
	memset(bins, 0, sizeof(old));
	for (int i = 0; i < BINS; i++)
		count_up(&bins[folded(i, by)], old[i]);
}

/* The next of x's n values from *at on, RUN in a row out of every `step` times as many, at most LIST; how many they are. */
static int
next_values(const float *x, int64_t n, int64_t step, int64_t *at, float *list)
{
	int m = 0;

	for (; *at < n && m < LIST; *at += step * RUN) {
		int run = (int)HB_MIN(n - *at, RUN);

		if (run == RUN)		/* of a constant size: moves, no call */
			memcpy(list + m, x + *at, sizeof(float) * RUN);
		else
			memcpy(list + m, x + *at, sizeof(float) * (size_t)run);
		m += run;
	}
	return m;
}

/* The bin of each value; BINS: it is not finite. */
HB_VEC_BODY(number, (const float *restrict x, int n, float inv, int32_t *restrict to), {
	for (int i = 0; i < n; i++) {
		float v = fabsf(x[i]);
		int32_t at = v <= FLT_MAX ? (int32_t)(v * inv) : 0;
		at = x[i] < 0 ? HALF - 1 - at : HALF + at;
		to[i] = v <= FLT_MAX ? at : BINS;
	}
})

/* In turn into two sets, so that equal numbers one after another do not wait for each other. */
static void
count_list(const int32_t *numbers, int n, uint16_t (*counts)[BINS + 1])
{
	for (int i = 0; i + 1 < n; i += 2) {
		counts[0][numbers[i]]++;
		counts[1][numbers[i + 1]]++;
	}
	if (n % 2)
		counts[0][numbers[n - 1]]++;
}

HB_VEC_BODY(add_counts, (uint32_t *restrict bins, const uint16_t *restrict a, const uint16_t *restrict b), {
	for (int i = 0; i < BINS; i++) {
		uint32_t sum = bins[i] + a[i] + b[i];
		bins[i] = sum < bins[i] ? UINT32_MAX : sum;
	}
})

static void
count(hb_isa isa, hb_channels *ch, int64_t k, const float *list, int n)
{
	int32_t numbers[LIST];
	uint32_t *bins = ch->bins + k * BINS;
	uint16_t counts[2][BINS + 1];

	HB_VEC_CALL(isa, number, (list, n, ldexpf(1, -ch->exponent[k]), numbers));
	if (n < BINS) {
		for (int i = 0; i < n; i++)
			if (numbers[i] < BINS)
				count_up(&bins[numbers[i]], 1);
		return;
	}
	memset(counts, 0, sizeof(counts));
	count_list(numbers, n, counts);
	HB_VEC_CALL(isa, add_counts, (bins, counts[0], counts[1]));
}

typedef struct job {
	hb_isa isa;
	hb_channels *ch;
	const float *x;
	int64_t outer, inner;
} job;

static void
see_range(hb_channels *ch, int64_t k, float lo, float hi)
{
	double c = ch->averaging_constant;

	if (!ch->samples) {
		ch->min[k] = lo;
		ch->max[k] = hi;
	} else if (c > 0) {
		ch->min[k] += (float)(c * ((double)lo - ch->min[k]));
		ch->max[k] += (float)(c * ((double)hi - ch->max[k]));
	} else {
		ch->min[k] = HB_MIN(ch->min[k], lo);
		ch->max[k] = HB_MAX(ch->max[k], hi);
	}
}

static void
channels_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const job *j = arg;
	hb_channels *ch = j->ch;

	(void)worker;
	for (int64_t k = begin; k < end; k++) {
		int64_t step = ch->most ? hb_ceil_div(j->outer * j->inner, ch->most) | 1 : 1;
		float lo = FLT_MAX, hi = -FLT_MAX, list[LIST];
		int e, m;

		for (int64_t o = 0; o < j->outer; o++)
			for (int64_t at = 0; (m = next_values(j->x + (o * ch->n + k) * j->inner, j->inner, step, &at, list)) > 0;) {
				hb_extent some = hb_extent_of(j->isa, list, m);

				lo = HB_MIN(lo, some.min);
				hi = HB_MAX(hi, some.max);
			}
		if (lo > hi)
			continue;
		see_range(ch, k, lo, hi);
		if (!ch->bins)
			continue;
		frexpf(HB_MAX(fabsf(lo), fabsf(hi)), &e);	/* which is below 2^e */
		grow(ch, k, HB_MAX(e, HB_LEAST_EXPONENT) - BITS);
		for (int64_t o = 0; o < j->outer; o++)
			for (int64_t at = 0; (m = next_values(j->x + (o * ch->n + k) * j->inner, j->inner, step, &at, list)) > 0;)
				count(j->isa, ch, k, list, m);
	}
}

void
hb_channels_add(hb_ctx *cx, hb_channels *ch, const float *x, int64_t outer, int64_t inner)
{
	job j = { .isa = cx->isa, .ch = ch, .x = x, .outer = outer, .inner = inner };

	hb_parallel(cx, ch->n, HB_MAX(1, 65536 / HB_MAX(outer * inner, 1)), channels_some, &j);
	ch->samples++;
}

/* ---- choosing ---- */

typedef struct choice {
	const hb_channels *ch;
	const hb_observer_cfg *cfg;
	float *absmax;
} choice;

/* y, which has the values at the centres of bins, at x: straight between them. */
static double
read_at(const double *y, double width, double x)
{
	double at = fmax(fmin(x / width + HALF - 0.5, BINS - 1), 0);
	int i = HB_MIN((int)at, BINS - 2);

	return y[i] + (y[i + 1] - y[i]) * (at - i);
}

/* Squared error of quantizing the channel's values at scale s. */
static double
error_of(const uint32_t *bins, double width, const double *y, double s)
{
	double level[256], sum = 0;

	for (int q = -128; q < 128; q++)
		level[q + 128] = read_at(y, width, q * s);
	for (int i = 0; i < BINS; i++) {
		if (!bins[i])
			continue;

		int q = (int)fmax(fmin(rint((i - HALF + 0.5) * width / s), 127), -128);
		double d = y[i] - level[q + 128];

		sum += bins[i] * (d * d);
	}
	return sum;
}

/* What the reader makes of the centres of bins 2^exponent wide. Channels have few widths: the last of each are kept. */
typedef struct centres {
	int exponent;			/* INT_MAX: none yet */
	double y[BINS];
} centres;
enum { KEPT = 8 };

static const double *
centres_of(const choice *j, int exponent, centres *kept)
{
	centres *to = &kept[exponent & (KEPT - 1)];

	double width = ldexp(1, exponent);

	if (to->exponent == exponent)
		return to->y;
	to->exponent = exponent;
	for (int i = 0; i < BINS; i++) {
		double x = (i - HALF + 0.5) * width;

		to->y[i] = j->cfg->reader ? j->cfg->reader(j->cfg->reader_arg, x) : x;
	}
	return to->y;
}

static double
best_clip(const choice *j, int64_t k, double range, centres *kept)
{
	double width = ldexp(1, j->ch->exponent[k]), best = range, least = HUGE_VAL;
	const double *y = centres_of(j, j->ch->exponent[k], kept);
	const uint32_t *bins = j->ch->bins + k * BINS;

	for (int i = -1; i < CANDIDATES; i++) {
		/* the first keeps a largest value above 0 whole: 127 steps reach it */
		double t = i < 0 ? range * (127.5 / 127) : range * (1 - (1 - TIGHTEST) * i / (CANDIDATES - 1)), e = error_of(bins, width, y, t / 127.5);

		if (e < least) {
			least = e;
			best = t;
		}
	}
	return best;
}

static void
choose_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const choice *j = arg;
	const hb_channels *ch = j->ch;
	centres kept[KEPT];

	(void)worker;
	for (int i = 0; i < KEPT; i++)
		kept[i].exponent = INT_MAX;
	for (int64_t k = begin; k < end; k++) {
		double range = fmax(fmax(-ch->min[k], ch->max[k]), 0);

		j->absmax[k] = (float)(ch->bins && j->cfg->kind == HB_OBS_MSE && range > 0 ? best_clip(j, k, range, kept) : range);
	}
}

void
hb_channels_absmax(hb_ctx *cx, const hb_channels *ch, const hb_observer_cfg *cfg, float *absmax)
{
	choice j = { ch, cfg, absmax };

	hb_parallel(cx, ch->n, 8, choose_some, &j);
}

/* ---- as bytes ---- */

void
hb_channels_save(const hb_channels *ch, hb_buf *b)
{
	hb_buf_u64(b, (uint64_t)ch->samples);
	hb_buf_u32(b, (uint32_t)ch->n);
	hb_buf_u8(b, ch->bins != NULL);
	for (int64_t k = 0; k < ch->n; k++) {
		uint64_t bins[BINS];

		hb_put_f32(b, ch->min[k]);
		hb_put_f32(b, ch->max[k]);
		if (!ch->bins)
			continue;
		hb_buf_u32(b, (uint32_t)(ch->exponent[k] + BITS - HB_LEAST_EXPONENT));
		for (int i = 0; i < BINS; i++)
			bins[i] = ch->bins[k * BINS + i];
		hb_put_bins(b, bins, BINS);
	}
}

static bool
merge_bins(hb_channels *ch, int64_t k, hb_cursor *c)
{
	uint64_t bins[BINS] = { 0 };
	uint32_t above = hb_get_u32(c);

	if (above > FLT_MAX_EXP - HB_LEAST_EXPONENT)
		return false;
	int exponent = (int)above + HB_LEAST_EXPONENT - BITS;
	grow(ch, k, exponent);
	hb_get_bins(c, bins, BINS, 0);
	int by = HB_MIN(ch->exponent[k] - exponent, BITS);
	for (int i = 0; i < BINS; i++)
		count_up(&ch->bins[k * BINS + folded(i, by)], HB_MIN(bins[i], UINT32_MAX));
	return !c->bad;
}

bool
hb_channels_merge(hb_channels *ch, hb_cursor *c)
{
	uint64_t samples = hb_get_u64(c);
	uint32_t n = hb_get_u32(c);
	bool histogram = hb_get_u8(c);

	if (c->bad || samples > (UINT64_C(1) << 62) - (uint64_t)ch->samples || n != ch->n || histogram != (ch->bins != NULL))
		return false;
	for (int64_t k = 0; k < ch->n && !c->bad; k++) {
		float lo = hb_get_f32(c), hi = hb_get_f32(c);

		if (samples && !ch->samples) {
			ch->min[k] = lo;
			ch->max[k] = hi;
		} else if (samples) {
			ch->min[k] = HB_MIN(ch->min[k], lo);
			ch->max[k] = HB_MAX(ch->max[k], hi);
		}
		if (ch->bins && !merge_bins(ch, k, c))
			return false;
	}
	ch->samples += (int64_t)samples;
	return !c->bad;
}
