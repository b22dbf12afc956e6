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

/* Extents, strides, dilations and pads stay at or below this, so that products of two are far below 2^63. */
enum { HB_EXTENT_MAX = 1 << 30 };

typedef enum hb_auto_pad { HB_PAD_NOTSET, HB_PAD_SAME_UPPER, HB_PAD_SAME_LOWER, HB_PAD_VALID } hb_auto_pad;
hb_status hb_auto_pad_of(hb_graph *g, hb_node *n, hb_auto_pad *out);

/* Reads strides, dilations, pads and output_padding; p->nsp is set. */
hb_status hb_window_lists(hb_graph *g, hb_node *n, hb_conv_params *p);

/* Spatial dimensions as three, leading ones of extent 1 added. */
hb_conv_params hb_conv_three(const hb_conv_params *p);

/* Checks input, weights, bias and group of Conv and ConvTranspose; sets p->nsp and p->group; *m: output channels. */
hb_status hb_conv_weights(hb_graph *g, hb_node *n, hb_conv_params *p, int64_t *m);
/* Sets output 0 to the input's samples, m channels, p->out. */
hb_status hb_conv_out(hb_graph *g, hb_node *n, const hb_conv_params *p, int64_t m);

/* Fills *p for a window of `kernel` over x from the attributes strides, pads, dilations, auto_pad and
 * ceil_mode, with output extents; p->nsp is set. Reports what does not fit. */
hb_status hb_window_resolve(hb_graph *g, hb_node *n, const hb_shape *x, const int64_t *kernel, hb_conv_params *p);
/* Attribute `kernel_shape` of p->nsp extents, required. */
hb_status hb_window_kernel(hb_graph *g, hb_node *n, int nsp, int64_t *kernel);

#endif
