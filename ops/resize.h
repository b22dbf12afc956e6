/* resize.h: what Resize and Upsample come to, left in n->aux by shape inference. The converter to
 * fixed point takes its source coordinates from here. */
#ifndef HB_RESIZE_H
#define HB_RESIZE_H

#include "ops/op.h"

typedef enum hb_resize_mode { HB_RESIZE_NEAREST, HB_RESIZE_LINEAR, HB_RESIZE_CUBIC } hb_resize_mode;

/* coordinate_transformation_mode, in the order of resize.c's names. */
typedef enum hb_resize_coords {
	HB_HALF_PIXEL, HB_HALF_PIXEL_SYMMETRIC, HB_PYTORCH_HALF_PIXEL, HB_ALIGN_CORNERS, HB_ASYMMETRIC,
	HB_TF_HALF_PIXEL_FOR_NN, HB_TF_CROP_AND_RESIZE
} hb_resize_coords;

typedef enum hb_resize_nearest_mode {
	HB_ROUND_PREFER_FLOOR, HB_ROUND_PREFER_CEIL, HB_NEAREST_FLOOR, HB_NEAREST_CEIL
} hb_resize_nearest_mode;

typedef struct hb_resize {
	hb_resize_mode mode;
	hb_resize_coords coords;
	hb_resize_nearest_mode nearest;
	bool antialias, exclude_outside;
	double cubic_a;
	float extrapolation;		/* of HB_TF_CROP_AND_RESIZE outside the input */
	int rank;
	int64_t in[HB_MAX_RANK], out[HB_MAX_RANK];
	double scale[HB_MAX_RANK];	/* as the model says, or out / in; 1 on axes that stay */
	bool exact[HB_MAX_RANK];	/* scale is out / in */
	double roi_start[HB_MAX_RANK], roi_end[HB_MAX_RANK];
} hb_resize;

static inline const hb_resize *
hb_resize_of(const hb_node *n)
{
	return n->aux;
}

/* Whether the axis is computed at all: false where results equal the input along it. */
bool hb_resize_active(const hb_resize *r, int axis);
/* The source coordinate of output index o along an axis: may lie outside 0 .. in - 1. */
double hb_resize_coord(const hb_resize *r, int axis, int64_t o);
/* The source index that nearest mode takes for coordinate x, inside the input. */
int64_t hb_resize_nearest(const hb_resize *r, int axis, double x);

#endif
