/* refine.h: what refine.c and round_weights.c share. */
#ifndef HB_PASS_REFINE_H
#define HB_PASS_REFINE_H

#include "lib/pass/walk.h"

/* A layer: Conv, ConvTranspose, Gemm or MatMul with constant weights. */
typedef struct hb_layer {
	hb_node *n;
	const float *w;
	int64_t elems, channels, inner;	/* weights; of the output; weights in a row between changes of channel */
	int64_t rows;			/* of ConvTranspose: input channels of a group; else 0 */
	bool by_column;			/* weights are [depth, channels] */
	int axis;			/* channels are this dimension of the output */
	double gain;			/* Gemm's alpha */
} hb_layer;


/* Better integers, and scales, for l's weights than those given, by what reaches the layer in lanes [lanes, 2 * lanes) and
 * what it should yield, which the float lanes before them have. HB_OK with *done false where it finds none. */
hb_status hb_round_weights(hb_walk *w, int lanes, const hb_layer *l, float *scales, int8_t *q, bool *done);

#endif
