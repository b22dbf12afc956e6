/* spread.h: how the values of a tensor lie, over samples: a histogram of both sides, the range of each channel. */
#ifndef HBCC_SPREAD_H
#define HBCC_SPREAD_H

#include "lib/quant/quant.h"

enum { SPREAD_BITS = 10, SPREAD_BINS = 1 << SPREAD_BITS };

/* A bin's width is a power of two, the least with which the bins of a side hold the largest value; where that grows,
 * pairs of bins become one. Memory does not grow with samples. */
typedef struct spread {
	uint64_t *bins;			/* SPREAD_BINS of the magnitude */
	uint64_t *negative;		/* those of bins that are below zero */
	int exponent;			/* a bin is 2^exponent wide */
	int64_t seen, count;		/* values; finite ones */
	float min, max;			/* of finite values; 0 before the first */
	int dim;			/* along which channels lie; -1: none are known */
	hb_channels *channels;		/* of dim, or one of all */
} spread;

/* For values of t's shape; NULL without memory. */
spread *spread_new(hb_arena *a, const hb_tensor *t);
/* One sample of t, which is the one of spread_new. */
void spread_add(hb_ctx *cx, spread *s, const hb_tensor *t, const float *x);

float spread_magnitude(const spread *s);	/* the largest */
/* A magnitude that at least share p of the finite values stay below; one bin off at most. */
double spread_quantile(const spread *s, double p);
/* Share of the finite values whose magnitude is at least x, but for those in the bin that x is in. */
double spread_beyond(const spread *s, double x);
/* Finite values between lo and hi into n bars of one width, what lies across two of them by its parts. */
void spread_bars(const spread *s, double lo, double hi, double *bars, int n);

#endif
