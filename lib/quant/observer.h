/* observer.h: what an observer holds, shared by observer.c, observer_range.c, observer_state.c, channels.c and torch_hist.c. */
#ifndef HB_QUANT_OBSERVER_H
#define HB_QUANT_OBSERVER_H

#include "lib/quant/quant.h"

#define HB_MAG_BITS 13
#define HB_MAG_BINS (1 << HB_MAG_BITS)
#define HB_LEAST_EXPONENT -100		/* bins together hold at least 2^this */
#define HB_EXTENT_PARTS 256
#define HB_TORCH_BINS 2048

struct hb_observer {
	hb_observer_cfg cfg;
	hb_dtype dtype;
	float min, max;			/* of all finite values; 0 before the first */
	float avg_min, avg_max;		/* moving */
	int64_t count, nonfinite;
	uint64_t *bins;			/* HB_MAG_BINS of the magnitude, or NULL */
	uint64_t *negative;		/* those of bins that are below zero, where cfg.reader or cfg.whole is set */
	int exponent;			/* a bin is 2^exponent wide */
	bool any_bins;
	double *torch_bins;		/* HB_TORCH_BINS between torch_min and torch_max, or NULL */
	double *torch_next;		/* the same, while they grow */
	float torch_min, torch_max;
	bool any_torch;
};

/* Least and greatest of the finite values of x[n], and how many those are; none: FLT_MAX, -FLT_MAX, 0. */
typedef struct hb_extent {
	float min, max;
	int64_t finite;
} hb_extent;
hb_extent hb_extent_of(hb_isa isa, const float *x, int64_t n);

/* Where percentile and averaging constant are not said or out of range. */
void hb_observer_set_defaults(hb_observer_cfg *cfg);

/* Bins become 2^exponent wide where they are narrower. */
void hb_observer_grow(hb_observer *o, int exponent);

/* Of files of statistics: a finite float, and `count` bins; get_bins adds bin i to bins[i >> fold] and returns the sum. */
void hb_put_f32(hb_buf *b, float v);
float hb_get_f32(hb_cursor *c);
void hb_put_bins(hb_buf *b, const uint64_t *bins, int count);
uint64_t hb_get_bins(hb_cursor *c, uint64_t *bins, int count, int fold);

/* torch's HistogramObserver (torch/ao/quantization/observer.py). */
bool hb_torch_hist_new(hb_arena *a, hb_observer *o);
void hb_torch_hist_add(hb_observer *o, const float *x, int64_t n, float min, float max);
double hb_torch_hist_absmax(const hb_observer *o);

#endif
