/* internal.h: what the files of lib/base need of one another. */
#ifndef HB_BASE_INTERNAL_H
#define HB_BASE_INTERNAL_H

#include "lib/base/gemm.h"

#define HB_MAX_JOBS 64

void hb_pool_free(struct hb_pool *p);	/* NULL is fine */
void hb_files_unmap(hb_ctx *cx);

/* Where column j of a row of c lies; of one that is left out, where the next lies. */
int64_t hb_gemm_place(const hb_gemm *g, int64_t j);

/* Products with rows and columns turned: panels of columns; rows from `row` on, a tile of A, by panels [first, end). */
int64_t hb_turned_panels(const hb_gemm *g);
/* to[q * rows + i] = a[i * row + q], i < rows, q < k; false: not at this width. */
bool hb_turned_pack(hb_isa isa, const float *a, int64_t row, int rows, int64_t k, float *to);
void hb_turned_run(const hb_gemm *g, int64_t row, int64_t first, int64_t end);

/* Bits [from, to) of 16; either may lie outside. */
static inline uint16_t
hb_bits16(int64_t from, int64_t to)
{
	from = HB_MAX(0, HB_MIN(from, 16));
	to = HB_MAX(from, HB_MIN(to, 16));
	return (uint16_t)((0xffffu << from) & (0xffffu >> (16 - to)));
}

#endif
