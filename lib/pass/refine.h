/* refine.h: what refine.c and round_weights.c share. */
#ifndef HB_PASS_REFINE_H
#define HB_PASS_REFINE_H

#include "lib/pass/walk.h"

/* A layer: Conv, ConvTranspose, Gemm or MatMul with constant weights. */
typedef struct hb_layer {
	hb_node *n;
	hb_weights at;
	int64_t elems, channels;	/* weights; of the output */
	int axis;			/* channels are this dimension of the output */
} hb_layer;

/* Better integers, and scales, for l's weights than those given, by what reaches the layer in lanes [lanes, 2 * lanes) and
 * what it should yield, which the float lanes before them have. HB_OK with *done false where it finds none. */
hb_status hb_round_weights(hb_walk *w, int lanes, const hb_layer *l, float *scales, int8_t *q, bool *done);

#endif
