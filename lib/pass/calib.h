/* calib.h: what the parts of calibration share: calibrate.c says which edges are quantized and sets their
 * scales, calib_run.c runs the float model, calib_means.c finds means for bias correction. */
#ifndef HB_PASS_CALIB_H
#define HB_PASS_CALIB_H

#include "lib/pass/pass.h"

/* What stands on tensor->user while this pass runs. */
typedef struct hb_edge {
	hb_qconfig cfg;
	hb_observer *observer;		/* NULL: its scale comes from another edge */
	bool wide;			/* stays int32 */
	double *sums, *qsums;		/* of each channel, float and quantized, where a layer's bias wants means; else NULL */
	int channel_dim;
	int64_t count;			/* values in each sum */
} hb_edge;

typedef struct hb_calib {
	hb_graph *g;
	const hb_calib_options *o;
	hb_arena *arena;
	uint64_t means_bytes;		/* of the largest tensor whose means are wanted; 0: none are */
	float *quantized;		/* that many bytes, in the pass for means */
	bool scaled;			/* the model has scales of its own */
} hb_calib;

/* The edge of t, made with the configuration of node n where it is new; NULL without memory. */
hb_edge *hb_calib_edge(hb_calib *c, const hb_node *n, hb_tensor *t);

/* Runs the float model on the first `limit` samples, or on noise; `look` gets c. */
hb_status hb_calib_run(hb_calib *c, int64_t limit, hb_tap *look);

/* Marks the input of layer n whose means its bias correction reads. */
hb_status hb_calib_want_means(hb_calib *c, hb_node *n);
/* A second pass over a few samples, since it takes the scales: t->means of the inputs that are marked. */
hb_status hb_calib_find_means(hb_calib *c);

#endif
