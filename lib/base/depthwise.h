/* depthwise.h: channels convolved with a filter each, read in place. Each result is
 * (sum over the taps, rows first, of weight * cell) + bias: one fused multiply-add chain from 0
 * in which cells of the padding take part as zeros. */
#ifndef HB_DEPTHWISE_H
#define HB_DEPTHWISE_H

#include "lib/base/base.h"

/* Two dimensions each: rows, columns. */
typedef struct hb_depthwise {
	const float *x, *w, *bias;	/* of the first channel; bias may be NULL */
	float *y;
	int64_t channels;
	int64_t in[2], out[2], kernel[2], stride[2], dilation[2], begin[2];
	float lo, hi;		/* results are brought into [lo, hi]; NaN stays */
} hb_depthwise;

/* Whether hb_depthwise_run serves this geometry at this width. */
bool hb_depthwise_fits(hb_isa isa, const hb_depthwise *d);
void hb_depthwise_run(const hb_depthwise *d);

#endif
