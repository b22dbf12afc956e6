/* weights.c: the scales of a layer's weights, one an output channel (SEMANTICS 1). */
#include "lib/quant/quant.h"

#include <math.h>

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

void
hb_weight_scales(const hb_weights *w, float *scales)
{
	bool any = false;

	for (int64_t c = 0; c < w->channels; c++) {
		scales[c] = absmax_of(w, c);
		any = any || scales[c] > 0;
	}
	for (int64_t c = 0; c < w->channels; c++)
		scales[c] = any ? hb_scale_of(scales[c], HB_I8, false) : 1;
}
