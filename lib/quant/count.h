/* count.h: how many values fall into each bin of the magnitude. */
#ifndef HB_QUANT_COUNT_H
#define HB_QUANT_COUNT_H

#include "lib/hbcc.h"

enum { HB_COUNT_ROUND = 61440 };	/* values that are counted at a time: a good piece for a thread */

/* Adds to bins[(int)(|x| * inv)], which is below 2^bits for every finite x, bits 5 to 13, one for each finite x;
 * and to negative, where it is not NULL, those below zero. Several threads may add to the same bins: *lock, 0 at
 * first, keeps them apart. */
void hb_count_bins(hb_isa isa, const float *x, int64_t n, float inv, int bits, uint64_t *bins, uint64_t *negative, int *lock);

#endif
