/* observer_range.c: the range that quantization keeps, chosen from what an observer holds (SEMANTICS 2). What a clip
 * costs is read off sums over the bins, so that a candidate costs as many steps as the type has levels. */
#include "lib/quant/observer.h"

#include <math.h>

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

/* ---- squared error ---- */

/* Of the bins before i: how many values, their sum and the sum of their squares. */
typedef struct sums {
	double n[HB_MAG_BINS + 1], x[HB_MAG_BINS + 1], xx[HB_MAG_BINS + 1];
} sums;

static void
sums_add(sums *s, int i, double n, double x)
{
	s->n[i + 1] = s->n[i] + n;
	s->x[i + 1] = s->x[i] + n * x;
	s->xx[i + 1] = s->xx[i] + n * x * x;
}

/* Squared distance of the values in bins [from, to) from y. */
static double
distance(const sums *s, int from, int to, double y)
{
	return s->xx[to] - s->xx[from] - 2 * y * (s->x[to] - s->x[from]) + y * y * (s->n[to] - s->n[from]);
}

/* The first bin whose centre is quantized to more than q, with a step of s. */
static int
first_above(double q, double s, double w)
{
	int i = (int)HB_MIN((q + 0.5) * s / w, HB_MAG_BINS);

	while (i > 0 && rint((i - 0.5) * w / s) > q)
		i--;
	while (i < HB_MAG_BINS && rint((i + 0.5) * w / s) <= q)
		i++;
	return i;
}

/* Expected squared error of quantizing the histogram with clip t: inside a bin values are even. Where a bin is
 * a small part of a step, its centre's own rounding error counts; else a step's mean, s^2 / 12. */
static double
squared_error(const hb_observer *o, double t, const sums *centres)
{
	double w = bin_width(o), s = t / (((double)hb_qmax(o->dtype) - hb_qmin(o->dtype)) / 2), top = hb_qmax(o->dtype);
	double even = w * w / 12 * centres->n[HB_MAG_BINS], sum = 0;
	int from = 0;

	if (s < 8 * w) {
		from = first_above(top, s, w);
		return s * s / 12 * centres->n[from] + distance(centres, from, HB_MAG_BINS, top * s) +
		       w * w / 12 * (centres->n[HB_MAG_BINS] - centres->n[from]);
	}
	for (double q = 0; q <= top && from < HB_MAG_BINS; q++) {
		int to = q < top ? first_above(q, s, w) : HB_MAG_BINS;

		sum += distance(centres, from, to, q * s);
		from = to;
	}
	return sum + even;
}

/* What the reader makes of values: of those that are not negative, and of the others. */
typedef struct behind {
	sums up, down;
} behind;

static double
read_at(const hb_observer *o, double x)
{
	return o->cfg.reader(o->cfg.reader_arg, x);
}

/* A bin counts at its centre. */
static void
read_bins(const hb_observer *o, behind *b)
{
	double w = bin_width(o);

	for (int i = 0; i < HB_MAG_BINS; i++) {
		uint64_t down = o->negative[i], up = o->bins[i] - down;

		sums_add(&b->up, i, (double)up, up ? read_at(o, (i + 0.5) * w) : 0);
		sums_add(&b->down, i, (double)down, down ? read_at(o, -(i + 0.5) * w) : 0);
	}
}

/* Squared error behind the reader of quantizing with clip t. */
static double
error_behind(const hb_observer *o, double t, const behind *b)
{
	double w = bin_width(o), s = t / 127.5, sum = 0;

	for (int q = 0, from = 0; q <= 128 && from < HB_MAG_BINS; q++) {
		int to = q < 128 ? first_above(q, s, w) : HB_MAG_BINS;

		if (b->up.n[to] > b->up.n[from])
			sum += distance(&b->up, from, to, read_at(o, HB_MIN(q, 127) * s));
		if (b->down.n[to] > b->down.n[from])
			sum += distance(&b->down, from, to, read_at(o, -q * s));
		from = to;
	}
	return sum;
}

/* Of 100 clips the one of the least error, and then of 19 around it. */
static double
least_error(const hb_observer *o, double absmax, double (*error)(const hb_observer *o, double t, const void *arg), const void *arg)
{
	double best = absmax, least = error(o, absmax, arg), step = absmax / 100;

	for (int i = 1; i < 100; i++) {
		double e = error(o, i * step, arg);

		if (e < least) {
			least = e;
			best = i * step;
		}
	}
	double centre = best;
	for (int i = -9; i <= 9; i++) {
		double t = centre + i * step / 10, e = t > 0 && t <= absmax ? error(o, t, arg) : HUGE_VAL;

		if (e < least) {
			least = e;
			best = t;
		}
	}
	return best;
}

static double
error_at_centres(const hb_observer *o, double t, const void *arg)
{
	return squared_error(o, t, arg);
}

static double
error_at_reader(const hb_observer *o, double t, const void *arg)
{
	return error_behind(o, t, arg);
}

static void
sum_centres(const hb_observer *o, sums *s)
{
	double w = bin_width(o);

	for (int i = 0; i < HB_MAG_BINS; i++)
		sums_add(s, i, (double)o->bins[i], (i + 0.5) * w);
}

static double
mse_of(const hb_observer *o, double absmax)
{
	if (o->negative && o->cfg.reader && o->dtype == HB_I8) {
		behind b = { 0 };

		read_bins(o, &b);
		return least_error(o, absmax, error_at_reader, &b);
	}
	sums centres = { 0 };

	sum_centres(o, &centres);
	return least_error(o, absmax, error_at_centres, &centres);
}

/* ---- entropy ---- */

/* Entropy as TensorRT defines it: the clip after bin i whose distribution, with what is beyond in its last
 * bin, differs least from itself at 128 levels. Bin 0 counts as bin 1: what a ReLU makes zero is exact at every clip
 * (as NVIDIA's pytorch-quantization has it). */
#define KL_BINS 2048
#define KL_LEVELS 128

/* Of the bins before i. Terms are those of a level of bins from..to - 1, by the parity of its width, NAN where not yet
 * known: clips that differ little share most of their levels. */
typedef struct entropy {
	double h[KL_BINS], mass[KL_BINS + 1], plogp[KL_BINS + 1], terms[2][KL_BINS];
	int filled[KL_BINS + 1];
} entropy;

static void
forget_terms(entropy *e, int width)
{
	for (int i = 0; i < KL_BINS; i++)
		e->terms[width & 1][i] = NAN;
}

/* Mass p of a level times the logarithm of what each of its filled bins gets of mass m. An empty level that only
 * outliers fill: a small mass, as smoothing gives it. */
static double
level_term(double p, double m, int filled)
{
	return p > 0 ? p * log(HB_MAX(m, 1e-4) / filled) : 0;
}

/* Of the first n bins; n goes up from call to call. */
static double
divergence(entropy *e, int n)
{
	double outside = e->mass[KL_BINS] - e->mass[n], last = e->h[n - 1] + outside, total = e->mass[KL_BINS], inside = e->mass[n], sum;

	if (n % KL_LEVELS == 0)
		forget_terms(e, n / KL_LEVELS + 1);
	if (inside <= 0)
		return HUGE_VAL;
	/* sum p log p - sum p log q, p and q not yet divided by their sums */
	sum = e->plogp[n - 1] + (last > 0 ? last * log(last) : 0);
	for (int l = 0, from = 0, to; l < KL_LEVELS - 1; l++, from = to) {
		to = (l + 1) * n / KL_LEVELS;
		double *term = &e->terms[(to - from) & 1][from];

		if (isnan(*term)) {
			double m = e->mass[to] - e->mass[from];

			*term = level_term(m, m, e->filled[to] - e->filled[from]);
		}
		sum -= *term;
	}
	int from = (KL_LEVELS - 1) * n / KL_LEVELS, filled = e->filled[n] - e->filled[from] + (e->h[n - 1] <= 0 && last > 0);
	double m = e->mass[n] - e->mass[from];

	sum -= level_term(m + outside, m, filled);
	return sum / total - log(total) + log(inside);
}

static double
kl_of(const hb_observer *o, double absmax)
{
	entropy e = { 0 };
	double w = bin_width(o), coarse = absmax / KL_BINS, *h = e.h, least = HUGE_VAL;
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
		e.mass[i + 1] = e.mass[i] + h[i];
		e.plogp[i + 1] = e.plogp[i] + (h[i] > 0 ? h[i] * log(h[i]) : 0);
		e.filled[i + 1] = e.filled[i] + (h[i] > 0);
	}
	forget_terms(&e, 1);
	for (int n = KL_LEVELS; n <= KL_BINS; n++) {
		double d = divergence(&e, n);

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
	sums centres = { 0 };

	sum_centres(o, &centres);
	for (size_t i = 0; i < HB_LEN(t); i++) {
		double e = t[i] > 0 ? squared_error(o, t[i], &centres) : HUGE_VAL;

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
	hb_observer_set_defaults(&as.cfg);
	as.dtype = dt;
	hb_observer_range(&as, out);
}
