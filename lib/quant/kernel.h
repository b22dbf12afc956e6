/* kernel.h: shared inside lib/quant: requantization inline, walking views. */
#ifndef HB_QUANT_KERNEL_H
#define HB_QUANT_KERNEL_H

#include "lib/quant/quant.h"

__extension__ typedef __int128 hb_i128;

/* The right shift for exponent e; exponents that no compiler writes are limited to what can be shifted. */
static inline int
hb_requant_shift(int32_t e)
{
	return e > 30 ? 1 : e < -64 ? 95 : 31 - e;
}

/* (acc * m + 2^(shift-1)) >> shift, saturated to 64 bits; shift is 1..95. */
static inline int64_t
hb_requant_at(int64_t acc, int32_t m, int shift)
{
	/* |product| < 2^62 there: the rounding constant alone decides from shift 63 on */
	if (acc == (int32_t)acc)
		return shift > 62 ? (shift == 63 && acc == INT32_MIN && m == INT32_MIN) : (acc * m + ((int64_t)1 << (shift - 1))) >> shift;

	hb_i128 y = ((hb_i128)acc * m + ((hb_i128)1 << (shift - 1))) >> shift;

	return y > INT64_MAX ? INT64_MAX : y < INT64_MIN ? INT64_MIN : (int64_t)y;
}

static inline int64_t
hb_clamp64(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* Byte offset of row i (first dimension) of a view from its element 0 or, for a ring, from slot 0. */
static inline size_t
hb_view_row_at(const hb_view *v, uint32_t i)
{
	uint32_t slot = v->ring_rows ? (uint32_t)(((uint64_t)v->ring_first + i) % v->ring_rows) : i;

	return (size_t)slot * v->stride[0];
}

static inline uint8_t *
hb_view_row(const hb_view *v, uint8_t *at, uint32_t i)
{
	return at + hb_view_row_at(v, i);
}

/* n elements, `step` bytes apart, as int64; and back, clamped to [lo, hi] (HB_I64: unclamped). */
void hb_load64(const uint8_t *p, int64_t step, hb_dtype dt, int64_t n, int64_t *dst);
void hb_store64(uint8_t *p, int64_t step, hb_dtype dt, int64_t n, const int64_t *src, int64_t lo, int64_t hi);

/* Conv: its own file (kernel_conv.c). */
void hb_kernel_conv(hb_ctx *cx, const hb_insn *i, uint8_t *const *at, void *scratch);
size_t hb_kernel_conv_scratch(const hb_ctx *cx, const hb_insn *i);

/* Whole rows (kernel_rows.c); the scratch is that of both. */
void hb_kernel_rows(hb_ctx *cx, const hb_insn *i, uint8_t *const *at, void *scratch);
void hb_kernel_sort(const hb_insn *i, uint8_t *const *at, void *scratch);
size_t hb_kernel_rows_scratch(const hb_ctx *cx, const hb_insn *i);

#endif
