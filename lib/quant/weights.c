/* weights.c: the scales of a layer's weights, one an output channel (SEMANTICS 1, 7). */
#include "lib/quant/quant.h"
#include "lib/quant/round.h"
#include "lib/quant/vec.h"

#include <float.h>
#include <math.h>

/* Scales that mse tries, LEAST to 1.3 times that of the largest weight in steps of 1/FINENESS. Finer ones clip it; with
 * coarser ones a few weights may lie nearer to the grid. A clip below LEAST costs one weight more than the finer grid
 * gains a channel of 10,000. */
enum { TRIED = 160, FINENESS = 320, GRAIN = 1 << 12 };	/* GRAIN: weights that a thread takes at a time */
static const float LEAST = 0.8f;

typedef struct job {
	hb_ctx *cx;
	const hb_weights *w;
	float *scales;
} job;

static float
absmax_of(const hb_weights *w, int64_t c)
{
	const float *first = w->w + hb_weights_first(w, c);
	float most = 0;

	for (int64_t o = 0; o < w->outer; o++)
		for (int64_t i = 0; i < w->inner; i++)
			most = fmaxf(most, (float)fabs(first[o * w->step + i] * w->gain));
	return most;
}

/* The squared error of channel c's weights at each of TRIED scales. No sum goes over what is vectorised. */
HB_VEC_BODY(add_errors, (const hb_weights *w, int64_t c, const float *restrict s, double *restrict error), {
	const float *first = w->w + hb_weights_first(w, c);
	for (int64_t o = 0; o < w->outer; o++) {
		for (int64_t i = 0; i < w->inner; i++) {
			float v = (float)(first[o * w->step + i] * w->gain);
			for (int k = 0; k < TRIED; k++) {
				double d = v - hb_quantize_small(v, s[k], INT8_MIN, INT8_MAX, false) * s[k];
				error[k] += d * d;
			}
		}
	}
})

float
hb_weight_scale(const hb_ctx *cx, const hb_weights *w, int64_t c)
{
	double error[TRIED] = { 0 };
	float s[TRIED], most = absmax_of(w, c);
	int best = 0;

	s[0] = hb_scale_of(most, HB_I8, false);
	if (!w->mse || !(most > 0))
		return s[0];
	for (int k = 1; k < TRIED; k++)
		s[k] = fmaxf(s[0] * (LEAST + (float)k / FINENESS), FLT_EPSILON);
	HB_VEC_CALL(cx->isa, add_errors, (w, c, s, error));
	for (int k = 1; k < TRIED; k++)
		best = error[k] < error[best] ? k : best;
	return s[best];
}

static void
choose(void *arg, int64_t begin, int64_t end, int worker)
{
	const job *j = arg;

	(void)worker;
	for (int64_t c = begin; c < end; c++)
		j->scales[c] = hb_weight_scale(j->cx, j->w, c);
}

void
hb_weight_scales(hb_ctx *cx, const hb_weights *w, float *scales)
{
	job j = { cx, w, scales };
	bool any = false;

	for (int64_t c = 0; c < w->channels && !any; c++)
		any = absmax_of(w, c) > 0;
	for (int64_t c = 0; c < w->channels && !any; c++)
		scales[c] = 1;
	if (any)
		hb_parallel(cx, w->channels, HB_MAX(1, GRAIN / HB_MAX(w->outer * w->inner, 1)), choose, &j);
}
