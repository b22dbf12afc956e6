/* spread.c: how the values of a tensor lie. */
#include "cli/spread.h"

#include "lib/quant/count.h"

#include <float.h>
#include <math.h>

/* ---- where channels lie ---- */

static bool
is_one_of(const hb_node *n, const char *const *ops, size_t nops)
{
	for (size_t i = 0; i < nops; i++)
		if (!*n->domain && !strcmp(n->op_type, ops[i]))
			return true;
	return false;
}

enum { BACK = 16 };	/* nodes that are looked through for one that says where channels are */

/* The dimension of t's channels: where a layer puts them, kept by what leaves dimensions where they are. */
static int
channel_dim(const hb_tensor *t, int depth)
{
	static const char *const second[] = {"Conv", "ConvTranspose", "BatchNormalization", "InstanceNormalization", "GroupNormalization",
					     "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"},
				 *const last[] = {"Gemm", "LayerNormalization"},
				 *const keeps[] = {"Concat", "Slice", "Split", "Pad", "Resize", "Upsample", "ReduceMean", "ReduceMax", "ReduceSum"};
	const hb_node *n = t->producer;
	int rank = t->shape.rank;

	if (!n || depth == BACK)
		return -1;
	if (is_one_of(n, second, HB_LEN(second)))
		return rank > 1 ? 1 : -1;
	if (is_one_of(n, last, HB_LEN(last)) || (!strcmp(n->op_type, "MatMul") && n->in[1]->is_const && n->in[1]->shape.rank > 1))
		return rank - 1;
	if (!strcmp(n->op_type, "Transpose")) {
		int from = channel_dim(n->in[0], depth + 1);
		size_t count = 0;
		const int64_t *perm = hb_attr_ints(n, "perm", &count);

		for (int i = 0; i < (int)count; i++)
			if (perm[i] == from)
				return i;
		return from < 0 || count ? -1 : rank - 1 - from;
	}
	for (int i = 0; i < n->nin; i++) {
		const hb_tensor *x = n->in[i];

		if (x && !x->is_const && x->shape.rank == rank && (hb_shape_eq(&x->shape, &t->shape) || is_one_of(n, keeps, HB_LEN(keeps))))
			return channel_dim(x, depth + 1);
	}
	return -1;
}

/* ---- gathering ---- */

spread *
spread_new(hb_arena *a, const hb_tensor *t)
{
	spread *s = HB_NEW(a, spread);

	if (!s)
		return NULL;
	s->dim = channel_dim(t, 0);
	s->bins = HB_NEW_N(a, uint64_t, SPREAD_BINS);
	s->negative = HB_NEW_N(a, uint64_t, SPREAD_BINS);
	s->channels = hb_channels_new(a, s->dim < 0 ? 1 : t->shape.dim[s->dim], 0, 0, false);
	return s->bins && s->negative && s->channels ? s : NULL;
}

typedef struct counting {
	hb_isa isa;
	const float *x;
	spread *s;
	int lock; /* of the bins */
} counting;

static void
count_some(void *arg, int64_t b, int64_t e, int worker)
{
	counting *k = arg;

	(void)worker;
	hb_count_bins(k->isa, k->x + b, e - b, ldexpf(1, -k->s->exponent), SPREAD_BITS, k->s->bins, k->s->negative, &k->lock);
}

/* 2^by bins become one. */
static void
fold(uint64_t *bins, int by)
{
	for (int i = 1; i < SPREAD_BINS; i++) {
		uint64_t n = bins[i];

		bins[i] = 0;
		bins[i >> by] += n;
	}
}

/* Bins become so wide that they hold magnitudes up to `most`. */
static void
widen(spread *s, float most)
{
	enum { LEAST = -100 };	/* all bins together hold 2^this at least: 1 / width is a float */
	int e = LEAST;

	if (most > 0)
		frexpf(most, &e);	/* most < 2^e */
	e = HB_MAX(e, LEAST) - SPREAD_BITS;
	if (!s->count) {
		s->exponent = e;
	} else if (e > s->exponent) {
		fold(s->bins, HB_MIN(e - s->exponent, SPREAD_BITS));
		fold(s->negative, HB_MIN(e - s->exponent, SPREAD_BITS));
		s->exponent = e;
	}
}

void
spread_add(hb_ctx *cx, spread *s, const hb_tensor *t, const float *x)
{
	int64_t n = hb_shape_elems(&t->shape);
	const hb_channels *ch = s->channels;

	hb_channels_add(cx, s->channels, x, s->dim < 0 ? 1 : hb_shape_span(&t->shape, 0, s->dim),
			s->dim < 0 ? n : hb_shape_span(&t->shape, s->dim + 1, t->shape.rank));
	for (int64_t i = 0; i < ch->n; i++) {
		s->min = i ? HB_MIN(s->min, ch->min[i]) : ch->min[i];
		s->max = i ? HB_MAX(s->max, ch->max[i]) : ch->max[i];
	}
	widen(s, spread_magnitude(s));

	counting k = {.isa = cx->isa, .x = x, .s = s};
	hb_parallel(cx, n, HB_COUNT_ROUND, count_some, &k);
	s->seen += n;
	s->count = 0;
	for (int i = 0; i < SPREAD_BINS; i++)
		s->count += (int64_t)s->bins[i];
}

/* ---- asking ---- */

float
spread_magnitude(const spread *s)
{
	return HB_MAX(-s->min, s->max);
}

double
spread_quantile(const spread *s, double p)
{
	double want = p * (double)s->count, below = 0;

	for (int i = 0; i < SPREAD_BINS; i++) {
		below += (double)s->bins[i];
		if (below >= want)
			return HB_MIN(ldexp(i + 1, s->exponent), (double)spread_magnitude(s));
	}
	return spread_magnitude(s);
}

double
spread_beyond(const spread *s, double x)
{
	uint64_t n = 0;

	for (int i = SPREAD_BINS - 1; i >= 0 && ldexp(i, s->exponent) >= x; i--)
		n += s->bins[i];
	return s->count ? (double)n / (double)s->count : 0;
}

static int
bar_of(double x, int nbars)
{
	return HB_MAX(0, HB_MIN((int)x, nbars - 1));
}

/* n values from lo to hi into bars a unit wide. */
static void
spill(double *bars, int nbars, double lo, double hi, double n)
{
	int first = bar_of(lo, nbars), last = bar_of(hi, nbars);

	for (int i = first; i <= last; i++) {
		double from = i == first ? lo : i, to = i == last ? hi : i + 1;

		bars[i] += hi > lo ? n * (to - from) / (hi - lo) : n;
	}
}

void
spread_bars(const spread *s, double lo, double hi, double *bars, int n)
{
	double per = n / (hi - lo), width = ldexp(1, s->exponent);

	memset(bars, 0, sizeof(*bars) * (size_t)n);
	for (int i = 0; i < SPREAD_BINS; i++) {
		double above = (double)(s->bins[i] - s->negative[i]), below = (double)s->negative[i];
		/* no bin says of more than was seen */
		double from = i * width, up = HB_MIN(from + width, HB_MAX((double)s->max, from)), down = HB_MIN(from + width, HB_MAX(-(double)s->min, from));

		if (above > 0)
			spill(bars, n, (from - lo) * per, (up - lo) * per, above);
		if (below > 0)
			spill(bars, n, (-down - lo) * per, (-from - lo) * per, below);
	}
}
