/* horizon.h: what horizon's operators leave in n->aux for their fixed-point forms. */
#ifndef HB_HORIZON_H
#define HB_HORIZON_H

#include "ops/op.h"

/* centered_yuv2rgb and centered_yuv2bgr: out = m * yuv + add, limited to what colours of 0 to 255 give; scale is the
 * output's. */
typedef struct hb_colours {
	double m[3][3], add[3];
	double least[3], most[3];
	float scale;
} hb_colours;

/* BT.601, of 256: rows for Y, U, V over R, G, B, what is added to them, and rows for R, G, B over Y, U, V less that. */
typedef struct hb_yuv {
	int rgb[3][3], offset[3], back[3][3];
} hb_yuv;
void hb_yuv_of(bool full, hb_yuv *out);

/* Correlation: window `kernel` around a place of input 0 and around places of input 1 up to `reach` away. */
typedef struct hb_correlation {
	int64_t kernel, stride, pad;
	int64_t step, radius, reach;	/* displacements are -radius..radius times step; reach = radius * step */
	int64_t side;			/* 2 * radius + 1; side * side output channels */
	int64_t out[2];			/* rows, columns */
} hb_correlation;

/* filter: channels first..last of input 0 are compared. */
typedef struct hb_filter {
	float threshold;
	int64_t first, last;
	int64_t places;			/* of an image: rows of the outputs */
} hb_filter;

/* A Correlation, from the attributes and shapes of a node, ONNX's or fixed-point; reports. */
hb_status hb_correlation_resolve(hb_graph *g, hb_node *n, hb_correlation *k);

#endif
