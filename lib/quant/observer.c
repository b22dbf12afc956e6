/* observer.c: from the values that pass to the range that quantization keeps
 * (SEMANTICS 2). Memory does not grow with samples.
 *
 * Percentile, kl, mse and mix read one histogram of the magnitude. Its bin width
 * is a power of two, the least with which the bins hold the largest value; where
 * that grows, pairs of bins become one. So it depends on the values alone, not on
 * their order, and adding up the histograms of parts gives that of the whole. */
#include "lib/quant/count.h"
#include "lib/quant/vec.h"
#include "lib/quant/observer.h"

#include <float.h>
#include <math.h>

#define GRAIN 65536

static const struct {
	const char *name;
	hb_observer_kind kind;
} names[] = {
	/* the first name of a kind is the one that is printed */
	{ "minmax", HB_OBS_MINMAX }, { "moving", HB_OBS_MOVING }, { "percentile", HB_OBS_PERCENTILE }, { "kl", HB_OBS_KL },
	{ "mse", HB_OBS_MSE }, { "histogram", HB_OBS_HISTOGRAM }, { "mix", HB_OBS_MIX }, { "fixed", HB_OBS_FIXED }, { "default", HB_OBS_DEFAULT },
	{ "max", HB_OBS_MINMAX }, { "min_max", HB_OBS_MINMAX }, { "moving_average", HB_OBS_MOVING },
};

bool
hb_observer_kind_of(const char *name, hb_observer_kind *out)
{
	for (size_t i = 0; i < HB_LEN(names); i++)
		if (!strcmp(names[i].name, name)) {
			*out = names[i].kind;
			return true;
		}
	return false;
}

const char *
hb_observer_name(hb_observer_kind k)
{
	for (size_t i = 0; i < HB_LEN(names); i++)
		if (names[i].kind == k)
			return names[i].name;
	return "";
}

static bool
has_histogram(hb_observer_kind k)
{
	return k == HB_OBS_PERCENTILE || k == HB_OBS_KL || k == HB_OBS_MSE || k == HB_OBS_MIX || k == HB_OBS_DEFAULT;
}

bool
hb_observer_is_ordered(hb_observer_kind k)
{
	return k == HB_OBS_MOVING || k == HB_OBS_HISTOGRAM;
}

static void
set_defaults(hb_observer_cfg *cfg)
{
	if (!(cfg->percentile > 0 && cfg->percentile <= 1))
		cfg->percentile = 0.9999;
	if (!(cfg->averaging_constant > 0 && cfg->averaging_constant <= 1))
		cfg->averaging_constant = 0.01;
}

hb_observer *
hb_observer_new(hb_arena *a, const hb_observer_cfg *cfg, hb_dtype dt)
{
	hb_observer *o = HB_NEW(a, hb_observer);

	if (!o)
		return NULL;
	o->cfg = *cfg;
	o->dtype = dt;
	set_defaults(&o->cfg);
	if (has_histogram(cfg->kind) || cfg->whole) {
		o->bins = HB_NEW_N(a, uint64_t, HB_MAG_BINS);
		if (!o->bins)
			return NULL;
	}
	if (cfg->whole || (cfg->reader && cfg->kind == HB_OBS_MSE && dt == HB_I8)) {
		o->negative = HB_NEW_N(a, uint64_t, HB_MAG_BINS);
		if (!o->negative)
			return NULL;
	}
	if (cfg->kind == HB_OBS_HISTOGRAM && !hb_torch_hist_new(a, o))
		return NULL;
	return o;
}

/* ---- one pass: least, greatest, how many are finite ---- */

typedef struct extent {
	float min, max;
	int64_t finite;
} extent;

#define LANES 64

/* Least and greatest, and the greatest bits of a magnitude; none has an order that matters. */
HB_VEC_BODY(span, (const float *restrict x, int64_t n, extent *e, uint32_t *most), {
	float lo[LANES];
	float hi[LANES];
	uint32_t top[LANES];
	int64_t i = 0;
	for (int k = 0; k < LANES; k++) {
		lo[k] = FLT_MAX;
		hi[k] = -FLT_MAX;
		top[k] = 0;
	}
	for (; i + LANES <= n; i += LANES) {
		uint32_t bits[LANES];
		memcpy(bits, x + i, sizeof(bits));
		for (int k = 0; k < LANES; k++) {
			lo[k] = x[i + k] < lo[k] ? x[i + k] : lo[k];
			hi[k] = x[i + k] > hi[k] ? x[i + k] : hi[k];
			bits[k] &= 0x7fffffffu;
			top[k] = bits[k] > top[k] ? bits[k] : top[k];
		}
	}
	for (; i < n; i++) {
		uint32_t bits;
		memcpy(&bits, x + i, sizeof(bits));
		lo[0] = x[i] < lo[0] ? x[i] : lo[0];
		hi[0] = x[i] > hi[0] ? x[i] : hi[0];
		top[0] = HB_MAX(top[0], bits & 0x7fffffffu);
	}
	*e = (extent){ lo[0], hi[0], n };
	for (int k = 0; k < LANES; k++) {
		e->min = HB_MIN(e->min, lo[k]);
		e->max = HB_MAX(e->max, hi[k]);
		*most = HB_MAX(*most, top[k]);
	}
})

static void
finite_span(const float *x, int64_t n, extent *e)
{
	*e = (extent){ FLT_MAX, -FLT_MAX, 0 };
	for (int64_t i = 0; i < n; i++) {
		if (!(fabsf(x[i]) <= FLT_MAX))
			continue;
		e->min = HB_MIN(e->min, x[i]);
		e->max = HB_MAX(e->max, x[i]);
		e->finite++;
	}
}

typedef struct pass {
	hb_isa isa;
	const float *x;
	extent *parts;			/* one a piece, or NULL */
	float inv;			/* 1 / bin width */
	uint64_t *bins, *negative;
	int *lock;			/* of the bins */
} pass;

static void
extent_some(void *arg, int64_t b, int64_t e, int worker)
{
	const pass *p = arg;

	(void)worker;
	extent *part = &p->parts[b / GRAIN % HB_EXTENT_PARTS];
	uint32_t most = 0;
	HB_VEC_CALL(p->isa, span, (p->x + b, e - b, part, &most));
	if (most > 0x7f7fffffu)			/* FLT_MAX */
		finite_span(p->x + b, e - b, part);
}

/* In blocks of as many pieces as there are parts. */
static extent
extent_of(hb_ctx *cx, const float *x, int64_t n)
{
	extent all = { FLT_MAX, -FLT_MAX, 0 }, parts[HB_EXTENT_PARTS];
	const int64_t block = (int64_t)GRAIN * HB_EXTENT_PARTS;

	for (int64_t at = 0; at < n; at += block) {
		int64_t m = HB_MIN(block, n - at);
		pass p = { .isa = cx->isa, .x = x + at, .parts = parts };

		hb_parallel(cx, m, GRAIN, extent_some, &p);
		/* on the caller alone the pieces may come as one */
		for (int64_t k = 0; k < (m <= GRAIN ? 1 : hb_ceil_div(m, GRAIN)); k++) {
			all.min = HB_MIN(all.min, parts[k].min);
			all.max = HB_MAX(all.max, parts[k].max);
			all.finite += parts[k].finite;
		}
	}
	return all;
}

/* ---- the histogram of the magnitude ---- */

/* Exponent of the least bin width with which all bins together pass `absmax`. */
static int
width_exponent(float absmax)
{
	int e = HB_LEAST_EXPONENT;

	if (absmax > 0)
		frexpf(absmax, &e);	/* absmax < 2^e */
	return HB_MAX(e, HB_LEAST_EXPONENT) - HB_MAG_BITS;
}

/* 2^by bins become one. */
static void
fold_bins(uint64_t *bins, int by)
{
	for (int i = 1; i < HB_MAG_BINS; i++) {
		uint64_t n = bins[i];

		bins[i] = 0;
		bins[i >> by] += n;
	}
}

void
hb_observer_grow(hb_observer *o, int exponent)
{
	if (!o->any_bins) {
		o->exponent = exponent;
		o->any_bins = true;
		return;
	}
	int by = exponent - o->exponent;
	if (by <= 0)
		return;
	o->exponent = exponent;
	by = HB_MIN(by, HB_MAG_BITS);
	fold_bins(o->bins, by);
	if (o->negative)
		fold_bins(o->negative, by);
}

static void
hist_some(void *arg, int64_t b, int64_t e, int worker)
{
	const pass *p = arg;

	(void)worker;
	hb_count_bins(p->isa, p->x + b, e - b, p->inv, HB_MAG_BITS, p->bins, p->negative, p->lock);
}

static void
hist_add(hb_ctx *cx, hb_observer *o, const float *x, int64_t n, float absmax)
{
	hb_observer_grow(o, width_exponent(absmax));

	int lock = 0;
	pass p = {
		.isa = cx->isa, .x = x, .inv = ldexpf(1, -o->exponent), .bins = o->bins, .negative = o->negative, .lock = &lock,
	};
	hb_parallel(cx, n, HB_COUNT_ROUND, hist_some, &p);
}

void
hb_observer_add(hb_ctx *cx, hb_observer *o, const float *x, int64_t n)
{
	extent e = extent_of(cx, x, n);
	double c = o->cfg.averaging_constant;

	o->nonfinite += n - e.finite;
	if (!e.finite)
		return;
	if (!o->count) {
		o->min = o->avg_min = e.min;
		o->max = o->avg_max = e.max;
	} else {
		o->min = HB_MIN(o->min, e.min);
		o->max = HB_MAX(o->max, e.max);
		o->avg_min += (float)(c * ((double)e.min - o->avg_min));
		o->avg_max += (float)(c * ((double)e.max - o->avg_max));
	}
	o->count += e.finite;
	if (o->bins)
		hist_add(cx, o, x, n, HB_MAX(fabsf(e.min), fabsf(e.max)));
	if (o->cfg.kind == HB_OBS_HISTOGRAM)
		hb_torch_hist_add(o, x, n, e.min, e.max);
}

/* ---- choosing ---- */

static double
bin_width(const hb_observer *o)
{
	return ldexp(1, o->exponent);
}

/* The magnitude that share p of all values does not pass. */
static double
percentile_of(const hb_observer *o, double p)
{
	double want = p * (double)o->count, seen = 0;

	for (int i = 0; i < HB_MAG_BINS; i++) {
		double n = (double)o->bins[i];

		if (n > 0 && seen + n >= want)
			return (i + HB_MAX(0, (want - seen) / n)) * bin_width(o);
		seen += n;
	}
	return HB_MAG_BINS * bin_width(o);
}

/* Expected squared error of quantizing the histogram with clip t: inside a bin values are even. Where a bin is
 * a small part of a step, its centre's own rounding error counts; else a step's mean, s^2 / 12. */
static double
squared_error(const hb_observer *o, double t)
{
	double w = bin_width(o), s = t / (((double)hb_qmax(o->dtype) - hb_qmin(o->dtype)) / 2), top = hb_qmax(o->dtype), sum = 0;
	bool fine = s >= 8 * w;

	for (int i = 0; i < HB_MAG_BINS; i++) {
		if (!o->bins[i])
			continue;

		double x = (i + 0.5) * w, q = rint(x / s), d = x - HB_MIN(q, top) * s;

		sum += (double)o->bins[i] * (q > top || fine ? d * d + w * w / 12 : s * s / 12);
	}
	return sum;
}

/* The reader's value at the centre of each bin: of positive values, then of negative ones. */
static void
read_bins(const hb_observer *o, double *behind)
{
	double w = bin_width(o);

	for (int i = 0; i < HB_MAG_BINS; i++) {
		behind[i] = o->bins[i] ? o->cfg.reader(o->cfg.reader_arg, (i + 0.5) * w) : 0;
		behind[HB_MAG_BINS + i] = o->negative[i] ? o->cfg.reader(o->cfg.reader_arg, -(i + 0.5) * w) : 0;
	}
}

/* Squared error behind the reader of quantizing with clip t; a bin counts at its centre. */
static double
error_behind(const hb_observer *o, double t, const double *behind)
{
	double w = bin_width(o), s = t / 127.5, sum = 0, level[256];

	for (int q = -128; q < 128; q++)
		level[q + 128] = o->cfg.reader(o->cfg.reader_arg, q * s);
	for (int i = 0; i < HB_MAG_BINS; i++) {
		double q = rint((i + 0.5) * w / s);

		if (!o->bins[i])
			continue;

		double up = behind[i] - level[128 + (int)HB_MIN(q, 127)];
		double down = behind[HB_MAG_BINS + i] - level[128 - (int)HB_MIN(q, 128)];

		sum += (double)(o->bins[i] - o->negative[i]) * up * up + (double)o->negative[i] * down * down;
	}
	return sum;
}

static double
clip_error(const hb_observer *o, double t, const double *behind)
{
	return behind ? error_behind(o, t, behind) : squared_error(o, t);
}

static double
mse_of(const hb_observer *o, double absmax)
{
	double values[2 * HB_MAG_BINS], *behind = o->negative && o->cfg.reader && o->dtype == HB_I8 ? values : NULL;

	if (behind)
		read_bins(o, behind);

	double best = absmax, least = clip_error(o, absmax, behind), step = absmax / 100;

	for (int i = 1; i < 100; i++) {
		double e = clip_error(o, i * step, behind);

		if (e < least) {
			least = e;
			best = i * step;
		}
	}
	double centre = best;
	for (int i = -9; i <= 9; i++) {
		double t = centre + i * step / 10, e = t > 0 && t <= absmax ? clip_error(o, t, behind) : HUGE_VAL;

		if (e < least) {
			least = e;
			best = t;
		}
	}
	return best;
}

/* Entropy as TensorRT defines it: the clip after bin i whose distribution, with what is beyond in its last
 * bin, differs least from itself at 128 levels. Bin 0 counts as bin 1: what a ReLU makes zero is exact at every clip
 * (as NVIDIA's pytorch-quantization has it). */
#define KL_BINS 2048
#define KL_LEVELS 128

static double
divergence(const double *h, const double *mass, const double *plogp, int n)
{
	double outside = mass[KL_BINS] - mass[n], last = h[n - 1] + outside, total = mass[KL_BINS], inside = mass[n], sum;

	if (inside <= 0)
		return HUGE_VAL;
	/* sum p log p - sum p log q, p and q not yet divided by their sums */
	sum = plogp[n - 1] + (last > 0 ? last * log(last) : 0);
	for (int l = 0; l < KL_LEVELS; l++) {
		int from = (int)((int64_t)l * n / KL_LEVELS), to = (int)((int64_t)(l + 1) * n / KL_LEVELS), filled = 0;
		double m = mass[to] - mass[from], p = m;

		for (int i = from; i < to; i++)
			filled += h[i] > 0;
		if (to == n) {
			filled += h[n - 1] <= 0 && last > 0;
			p += outside;
		}
		if (p <= 0)
			continue;
		/* an empty level that only outliers fill: a small mass, as smoothing gives it */
		sum -= p * log(HB_MAX(m, 1e-4) / filled);
	}
	return sum / total - log(total) + log(inside);
}

static double
kl_of(const hb_observer *o, double absmax)
{
	double h[KL_BINS] = { 0 }, mass[KL_BINS + 1] = { 0 }, plogp[KL_BINS + 1] = { 0 }, least = HUGE_VAL;
	double w = bin_width(o), coarse = absmax / KL_BINS;
	int best = KL_BINS;

	if (o->dtype != HB_I8 || coarse < w)	/* the latter: below what bins resolve */
		return absmax;
	/* a bin's values lie evenly in it; what of it lies in each coarse bin */
	for (int i = 0; i < HB_MAG_BINS; i++) {
		double lo = i * w / coarse, hi = (i + 1) * w / coarse;

		for (int k = (int)lo; o->bins[i] && k < hi; k++)
			h[HB_MIN(k, KL_BINS - 1)] += (double)o->bins[i] * (HB_MIN(hi, k + 1) - HB_MAX(lo, k)) / (hi - lo);
	}
	h[0] = h[1];
	for (int i = 0; i < KL_BINS; i++) {
		mass[i + 1] = mass[i] + h[i];
		plogp[i + 1] = plogp[i] + (h[i] > 0 ? h[i] * log(h[i]) : 0);
	}
	for (int n = KL_LEVELS; n <= KL_BINS; n++) {
		double d = divergence(h, mass, plogp, n);

		if (d < least) {
			least = d;
			best = n;
		}
	}
	return HB_MIN(absmax, (best + 0.5) * coarse);
}

static double
mix_of(const hb_observer *o, double absmax)
{
	double t[4] = { absmax, HB_MIN(absmax, percentile_of(o, o->cfg.percentile)), kl_of(o, absmax), mse_of(o, absmax) };
	double best = absmax, least = HUGE_VAL;

	for (size_t i = 0; i < HB_LEN(t); i++) {
		double e = t[i] > 0 ? squared_error(o, t[i]) : HUGE_VAL;

		if (e < least) {
			least = e;
			best = t[i];
		}
	}
	return best;
}

void
hb_observer_range(const hb_observer *o, hb_range *out)
{
	double absmax = HB_MAX(fabs((double)o->min), fabs((double)o->max)), t = absmax;

	if (absmax > 0)
		switch (o->cfg.kind) {
		case HB_OBS_MOVING:
			t = HB_MAX(fabs((double)o->avg_min), fabs((double)o->avg_max));
			break;
		case HB_OBS_PERCENTILE:
			t = HB_MIN(absmax, percentile_of(o, o->cfg.percentile));
			break;
		case HB_OBS_KL:
			t = kl_of(o, absmax);
			break;
		case HB_OBS_MSE:
			t = mse_of(o, absmax);
			break;
		case HB_OBS_MIX:
			t = mix_of(o, absmax);
			break;
		case HB_OBS_HISTOGRAM:
			t = hb_torch_hist_absmax(o);
			break;
		default:
			break;
		}
	if (o->cfg.kind == HB_OBS_FIXED)
		t = o->cfg.fixed_scale * (((double)hb_qmax(o->dtype) - hb_qmin(o->dtype)) / 2);
	*out = (hb_range){ .min = o->min, .max = o->max, .absmax = (float)t, .nonfinite = o->nonfinite };
	if (o->bins && o->count && t < absmax) {
		double beyond = 0;

		for (int i = 0; i < HB_MAG_BINS; i++)
			if ((i + 0.5) * bin_width(o) > t)
				beyond += (double)o->bins[i];
		out->clipped = beyond / (double)o->count;
	}
}

void
hb_observer_range_as(const hb_observer *o, const hb_observer_cfg *cfg, hb_dtype dt, hb_range *out)
{
	hb_observer as = *o;

	as.cfg = *cfg;
	set_defaults(&as.cfg);
	as.dtype = dt;
	hb_observer_range(&as, out);
}
