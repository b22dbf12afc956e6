/* torch_hist.c: torch's HistogramObserver: 2048 bins whose range grows by
 * upsampling, and the clip found by shrinking quantiles while the L2 error falls
 * (torch/ao/quantization/observer.py, without its int() truncation of the limits). */
#include "lib/quant/observer.h"

#include <float.h>
#include <math.h>

#define N HB_TORCH_BINS
#define UPSAMPLE 128

bool
hb_torch_hist_new(hb_arena *a, hb_observer *o)
{
	o->torch_bins = HB_NEW_N(a, double, N);
	o->torch_next = HB_NEW_N(a, double, N);
	return o->torch_bins && o->torch_next;
}

/* torch.histc: even bins, the last one closed; equal limits are widened by 1. */
static void
histc(double *bins, const float *x, int64_t n, double lo, double hi)
{
	memset(bins, 0, N * sizeof(*bins));
	if (lo == hi) {
		lo -= 1;
		hi += 1;
	}
	double per = N / (hi - lo);
	for (int64_t i = 0; i < n; i++)
		if (x[i] >= lo && x[i] <= hi)
			bins[HB_MIN((int)((x[i] - lo) * per), N - 1)]++;
}

void
hb_torch_hist_add(hb_observer *o, const float *x, int64_t n, float min, float max)
{
	if (!o->any_torch || o->torch_min == o->torch_max) {
		o->any_torch = true;
		o->torch_min = min;
		o->torch_max = max;
		histc(o->torch_bins, x, n, min, max);
		return;
	}
	double lo = HB_MIN(min, o->torch_min), hi = HB_MAX(max, o->torch_max);
	double fine = ((double)o->torch_max - o->torch_min) / (N * UPSAMPLE);
	double down = ceil((hi - lo) / (N * fine));
	double start = rint((o->torch_min - lo) / fine);

	hi += down * (N * fine) - (hi - lo);
	histc(o->torch_next, x, n, lo, hi);
	/* each old bin is UPSAMPLE even cells from `start` on; `down` cells make a new bin */
	for (int i = 0; i < N; i++) {
		double from = start + (double)i * UPSAMPLE, to = from + UPSAMPLE;

		for (int k = (int)HB_MIN(from / down, N - 1); k < N && k * down < to; k++) {
			double a = HB_MAX(from, k * down), b = HB_MIN(to, (k + 1) * down);

			if (b > a)
				o->torch_next[k] += o->torch_bins[i] * (b - a) / UPSAMPLE;
		}
	}
	double *t = o->torch_bins;
	o->torch_bins = o->torch_next;
	o->torch_next = t;
	o->torch_min = (float)lo;
	o->torch_max = (float)HB_MIN(hi, FLT_MAX);
}

/* Integral of x^2 from a to b. */
static double
square_integral(double a, double b)
{
	return (b * b * b - a * a * a) / 3;
}

static double
error_of(const hb_observer *o, int start, int end)
{
	double width = ((double)o->torch_max - o->torch_min) / N, levels = o->dtype == HB_I16 ? 65536 : 256;
	double dst = width * (end - start + 1) / levels, sum = 0;

	if (dst == 0)
		return 0;
	for (int i = 0; i < N; i++) {
		double begin = (i - start) * width, stop = begin + width, density = o->torch_bins[i] / width;
		double first = HB_MIN(HB_MAX(floor(begin / dst), 0), levels - 1);
		double last = HB_MIN(HB_MAX(floor(stop / dst), 0), levels - 1);

		sum += density * (square_integral(begin - (first + 0.5) * dst, dst / 2) +
				  (last - first - 1) * square_integral(-dst / 2, dst / 2) +
				  square_integral(-dst / 2, stop - (last + 0.5) * dst));
	}
	return sum;
}

double
hb_torch_hist_absmax(const hb_observer *o)
{
	double sums[N], total = 0, step = 1e-5, alpha = 0, beta = 1, least = HUGE_VAL;
	double width = ((double)o->torch_max - o->torch_min) / N;
	int start = 0, end = N - 1;

	for (int i = 0; i < N; i++)
		sums[i] = total += o->torch_bins[i];
	while (alpha < beta) {
		int l = start, r = end, next_start = start, next_end = end;

		while (l < end && sums[l] < (alpha + step) * total)
			l++;
		while (r > start && sums[r] > (beta - step) * total)
			r--;
		if (l - start > end - r) {
			next_start = l;
			alpha += step;
		} else {
			next_end = r;
			beta -= step;
		}
		if (next_start == start && next_end == end)
			continue;

		double e = error_of(o, next_start, next_end);

		if (e > least)
			break;
		least = e;
		start = next_start;
		end = next_end;
	}
	return HB_MAX(fabs(o->torch_min + width * start), fabs(o->torch_min + width * (end + 1)));
}
