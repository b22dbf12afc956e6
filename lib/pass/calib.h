/* calib.h: what the parts of calibration share: calibrate.c says which edges are quantized and sets their
 * scales, calib_run.c runs the float model, calib_means.c finds means for bias correction, calib_stats.c
 * and calib_ranges.c keep what was seen and what was chosen. */
#ifndef HB_PASS_CALIB_H
#define HB_PASS_CALIB_H

#include "lib/pass/pass.h"

/* What stands on tensor->user while this pass runs. */
typedef struct hb_edge {
	hb_qconfig cfg;
	hb_observer *observer;		/* NULL: its scale comes from another edge */
	bool wide;			/* stays int32 */
	bool raised;			/* for a part's sake */
	bool tried;			/* of the observer default: its kind is what is being tried, or was taken */
	bool spare;			/* observed for a file or a copy alone: the scale is not this observer's */
	bool shared;			/* of a copy at another scale: the observer is its operand's */
	hb_channels *channels;		/* ranges of channels, where they are wanted; else NULL */
	float *absmax;			/* magnitude that each of them keeps, once chosen */
	double *sums;			/* of each channel, where a layer's bias wants means; else NULL */
	int channel_dim;
	int64_t count;			/* values in each sum */
	/* Sums of the values quantized: by the edge's own scale and, where a file of ranges is made, by the one it would
	 * have if the operator before it stood elsewhere. */
	hb_q mean_q[2];
	double *qsums[2], *means[2];	/* means: as hb_tensor's */
} hb_edge;

/* Parts that would keep few of int8's steps: of the first n tensors by id, NULL where they have none. */
typedef struct hb_parts {
	int n;
	struct hb_part {
		const hb_tensor *part;
		double times;		/* the whole's range is the part's */
	} *of;
} hb_parts;

typedef struct hb_calib {
	hb_graph *g;
	const hb_calib_options *o;
	hb_arena *arena;
	uint64_t means_bytes;		/* of the largest tensor whose means are wanted; 0: none are */
	float *quantized;		/* that many bytes, in the pass for means */
	bool scaled;			/* the model has scales of its own */
	bool sampled;			/* samples, or what is kept of them, are there: not noise */
	uint8_t *kept;			/* inputs of the first nkept samples, one after the other; NULL: not kept */
	int64_t nkept;
	size_t sample_bytes;		/* of all inputs */
	bool channels_now;		/* scales of channels are set where they can be */
	const hb_parts *parts;		/* for whose sake edges are int16, where nothing else is said; of an earlier round, or NULL */
	void *trials;			/* of calib_try.c, while it runs */
	hb_status (*after)(struct hb_calib *c, const hb_val *in, const hb_val *out);	/* each run of the float model; or NULL */
} hb_calib;

/* The edge of t, made with the configuration of node n where it is new; NULL without memory. */
hb_edge *hb_calib_edge(hb_calib *c, const hb_node *n, hb_tensor *t);

enum { HB_FEW_SAMPLES = 8 };	/* for passes that need scales: enough for means; more would make calibration longer for nothing */

/* int8 or int16 for every edge: those that share a scale or are added up have one type. Readers that take no int16 get
 * copies, by nodes of hb_node.requantizes; what an earlier calibration put there goes first. */
hb_status hb_calib_types(hb_calib *c);
void hb_calib_drop_copies(hb_graph *g);

/* Whether parts of edges keep enough of int8's steps: what it takes to tell, before samples are run; those that do not,
 * NULL where all do; and, in the round after that, whether t is int16 for a part's sake, and what is to be said. */
hb_status hb_calib_watch_parts(hb_calib *c);
hb_status hb_calib_find_parts(hb_calib *c, const hb_parts **out);
bool hb_calib_has_part(const hb_calib *c, const hb_tensor *t);
void hb_calib_tell_parts(const hb_calib *c);

/* May t have a scale a channel? And gives it, behind the scale that it has: of a file of ranges, where that has them; else
 * of what was observed, where it is asked for or worth it. */
bool hb_calib_takes_channels(const hb_tensor *t);
/* Has the channels of t looked at, where they may come to have scales. */
hb_status hb_calib_see_channels(hb_calib *c, const hb_tensor *t, hb_edge *e);
hb_status hb_calib_set_channels(const hb_calib *c, hb_tensor *t, hb_edge *e);
/* q of all edges, from what was observed. */
hb_status hb_calib_set_scales(hb_calib *c);
/* Chooses for the edges whose observer is the default. */
hb_status hb_calib_try(hb_calib *c);

/* What t's observer saw and chooses, or did when the file of ranges was made. */
hb_status hb_calib_range(const hb_calib *c, const hb_tensor *t, hb_range *r);
/* What the edge's observer chooses. */
hb_q hb_calib_choose(const hb_calib *c, const hb_edge *e);

/* Runs the float model on the first `limit` samples, or on noise; `look` gets c. After statistics were merged there
 * are HB_FEW_SAMPLES at most; without samples, ranges from a file given, none: HB_OK, nothing run. */
hb_status hb_calib_run(hb_calib *c, int64_t limit, hb_tap *look);

/* Marks the input of layer n whose means its bias correction reads. */
hb_status hb_calib_want_means(hb_calib *c, hb_node *n);
/* A second pass over a few samples, since it takes the scales: t->means of the inputs that are marked. */
hb_status hb_calib_find_means(hb_calib *c);

/* Statistics will be merged or saved: no observer may need order, and the first samples are kept. */
hb_status hb_calib_keep(hb_calib *c);
/* Observers' contents and kept samples to o->save_stats, or from o->stats in order. */
hb_status hb_calib_save_stats(hb_calib *c);
hb_status hb_calib_merge_stats(hb_calib *c);

/* Rows of o->save_ranges, after scales and means are set. */
hb_status hb_calib_save_ranges(hb_calib *c);
/* Means from o->ranges, where they were made with the scale that the tensor has. */
hb_status hb_calib_load_means(hb_calib *c);

#endif
