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

void
hb_observer_set_defaults(hb_observer_cfg *cfg)
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
	hb_observer_set_defaults(&o->cfg);
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

#define LANES 64

/* Least and greatest, and the greatest bits of a magnitude; none has an order that matters. */
HB_VEC_BODY(span, (const float *restrict x, int64_t n, hb_extent *e, uint32_t *most), {
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
	*e = (hb_extent){ lo[0], hi[0], n };
	for (int k = 0; k < LANES; k++) {
		e->min = HB_MIN(e->min, lo[k]);
		e->max = HB_MAX(e->max, hi[k]);
		*most = HB_MAX(*most, top[k]);
	}
})

static void
finite_span(const float *x, int64_t n, hb_extent *e)
{
	*e = (hb_extent){ FLT_MAX, -FLT_MAX, 0 };
	for (int64_t i = 0; i < n; i++) {
		if (!(fabsf(x[i]) <= FLT_MAX))
			continue;
		e->min = HB_MIN(e->min, x[i]);
		e->max = HB_MAX(e->max, x[i]);
		e->finite++;
	}
}

hb_extent
hb_extent_of(hb_isa isa, const float *x, int64_t n)
{
	hb_extent e;
	uint32_t most = 0;

	HB_VEC_CALL(isa, span, (x, n, &e, &most));
	if (most > 0x7f7fffffu)			/* FLT_MAX */
		finite_span(x, n, &e);
	return e;
}

typedef struct pass {
	hb_isa isa;
	const float *x;
	hb_extent *parts;			/* one a piece, or NULL */
	float inv;			/* 1 / bin width */
	uint64_t *bins, *negative;
	int *lock;			/* of the bins */
} pass;

static void
extent_some(void *arg, int64_t b, int64_t e, int worker)
{
	const pass *p = arg;

	(void)worker;
	p->parts[b / GRAIN % HB_EXTENT_PARTS] = hb_extent_of(p->isa, p->x + b, e - b);
}

/* In blocks of as many pieces as there are parts. */
static hb_extent
extent_in_parts(hb_ctx *cx, const float *x, int64_t n)
{
	hb_extent all = { FLT_MAX, -FLT_MAX, 0 }, parts[HB_EXTENT_PARTS];
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
	hb_extent e = extent_in_parts(cx, x, n);
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
