/* conv.h: geometry of operators with a window, resolved by shape inference and left in n->aux
 * of Conv, ConvTranspose and the pools. Passes read it there. */
#ifndef HB_CONV_H
#define HB_CONV_H

#include "ops/op.h"

#define HB_MAX_SPATIAL 3

/* One entry a spatial dimension, outermost first (depth, height, width). auto_pad has become begin and end. */
typedef struct hb_conv_params {
	int nsp;			/* spatial dimensions, 1 to 3 */
	int64_t kernel[HB_MAX_SPATIAL], strides[HB_MAX_SPATIAL], dilations[HB_MAX_SPATIAL];
	int64_t begin[HB_MAX_SPATIAL], end[HB_MAX_SPATIAL];	/* cells of padding */
	int64_t output_padding[HB_MAX_SPATIAL];			/* of ConvTranspose */
	int64_t in[HB_MAX_SPATIAL], out[HB_MAX_SPATIAL];
	int64_t group;
	bool ceil_mode;			/* of pools */
	bool count_include_pad;		/* of AveragePool */
	int64_t storage_order;		/* of MaxPool's indices: 1: column-major */
	int64_t p;			/* of LpPool */
} hb_conv_params;

static inline const hb_conv_params *
hb_conv_of(const hb_node *n)
{
	return n->aux;
}

/* Fills *p for a window of `kernel` over x from the attributes strides, pads, dilations, auto_pad and
 * ceil_mode, with output extents; p->nsp is set. Reports what does not fit. */
hb_status hb_window_resolve(hb_graph *g, hb_node *n, const hb_shape *x, const int64_t *kernel, hb_conv_params *p);
/* Attribute `kernel_shape` of p->nsp extents, required. */
hb_status hb_window_kernel(hb_graph *g, hb_node *n, int nsp, int64_t *kernel);

#endif
