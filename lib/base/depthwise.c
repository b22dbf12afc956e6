/* depthwise.c: 16 columns of a few rows at a time; masks make the padding. */
#include "lib/base/depthwise.h"
#include "lib/base/cpu.h"
#include "lib/base/internal.h"

enum { MAX_COLUMNS = 16 };		/* of the kernel: one mask each */

#ifdef HB_X86
#include <immintrin.h>

/* What one block of 16 results needs along its columns, and one channel. */
typedef struct block {
	const float *x, *w;
	float *y, bias;
	int64_t col;
	__mmask16 keep;			/* results that exist */
	__mmask16 low[MAX_COLUMNS], high[MAX_COLUMNS];	/* cells of each tap that exist; high: of stride 2 */
	__mmask16 rest;			/* of stride 2: the cells behind tap 0's that exist */
	int64_t at[MAX_COLUMNS];	/* first cell of each tap, may be negative */
} block;

static void
block_init(const hb_depthwise *d, int64_t col, block *b)
{
	b->col = col;
	b->keep = hb_bits16(0, d->out[1] - col);
	for (int64_t k = 0; k < d->kernel[1]; k++) {
		int64_t at = col * d->stride[1] + k * d->dilation[1] - d->begin[1];
		b->at[k] = at;
		b->low[k] = hb_bits16(-at, d->in[1] - at);
		b->high[k] = hb_bits16(-at - 16, d->in[1] - at - 16);
	}
	b->rest = hb_bits16(-b->at[0] - 32, d->in[1] - b->at[0] - 32);
}

/* Tap k of the block in row `row` of the input; zeros outside. */
HB_AVX512 HB_INLINE __m512
cells(const hb_depthwise *d, const block *b, int64_t row, int64_t k, int stride, __m512i even)
{
	bool there = row >= 0 && row < d->in[0];
	const float *x = b->x + (there ? row * d->in[1] : 0);
	/* Masked lanes may lie before or behind the plane: no address is formed by pointer arithmetic. */
	const void *p = (const void *)((uintptr_t)x + (uintptr_t)(b->at[k] * 4));
	__m512 low = _mm512_maskz_loadu_ps(there ? b->low[k] : 0, p);
	if (stride == 1)
		return low;
	__m512 high = _mm512_maskz_loadu_ps(there ? b->high[k] : 0, (const void *)((uintptr_t)p + 64));
	return _mm512_permutex2var_ps(low, even, high);
}

HB_AVX512 HB_INLINE void
store_row(const hb_depthwise *d, const block *b, int64_t row, __m512 acc)
{
	__m512 y = _mm512_add_ps(acc, _mm512_set1_ps(b->bias));
	y = _mm512_min_ps(_mm512_set1_ps(d->hi), _mm512_max_ps(_mm512_set1_ps(d->lo), y));
	_mm512_mask_storeu_ps(b->y + row * d->out[1] + b->col, b->keep, y);
}

/* Square kernels of stride and dilation 1 down the rows: an input row is loaded once for all results that see it. */
HB_AVX512 HB_INLINE void
shared_rows(const hb_depthwise *d, const block *b, int size, int rows, int stride, __m512i even)
{
	__m512 w[25];
	HB_UNROLL
	for (int t = 0; t < size * size; t++)
		w[t] = _mm512_set1_ps(b->w[t]);
	for (int64_t r0 = 0; r0 < d->out[0]; r0 += rows) {
		__m512 acc[8];
		HB_UNROLL
		for (int r = 0; r < rows; r++)
			acc[r] = _mm512_setzero_ps();
		HB_UNROLL
		for (int i = 0; i < rows + size - 1; i++) {
			__m512 x[5];
			HB_UNROLL
			for (int k = 0; k < size; k++)
				x[k] = cells(d, b, r0 + i - d->begin[0], k, stride, even);
			HB_UNROLL
			for (int r = 0; r < rows; r++)
				if (i - r >= 0 && i - r < size)
					HB_UNROLL
					for (int k = 0; k < size; k++)
						acc[r] = _mm512_fmadd_ps(w[(i - r) * size + k], x[k], acc[r]);
		}
		HB_UNROLL
		for (int r = 0; r < rows; r++)
			if (r0 + r < d->out[0])
				store_row(d, b, r0 + r, acc[r]);
	}
}

HB_AVX512 HB_INLINE void
any_rows(const hb_depthwise *d, const block *b, int stride, __m512i even)
{
	enum { ROWS = 4 };
	for (int64_t r0 = 0; r0 < d->out[0]; r0 += ROWS) {
		__m512 acc[ROWS];
		HB_UNROLL
		for (int r = 0; r < ROWS; r++)
			acc[r] = _mm512_setzero_ps();
		for (int64_t h = 0; h < d->kernel[0]; h++)
			for (int64_t k = 0; k < d->kernel[1]; k++) {
				__m512 w = _mm512_set1_ps(b->w[h * d->kernel[1] + k]);
				HB_UNROLL
				for (int r = 0; r < ROWS; r++) {
					int64_t row = (r0 + r) * d->stride[0] + h * d->dilation[0] - d->begin[0];
					acc[r] = _mm512_fmadd_ps(w, cells(d, b, row, k, stride, even), acc[r]);
				}
			}
		HB_UNROLL
		for (int r = 0; r < ROWS; r++)
			if (r0 + r < d->out[0])
				store_row(d, b, r0 + r, acc[r]);
	}
}

/* Cells of one row for all taps of a kernel of stride 2 and dilation 1: tap k + 2 sees tap k's cells one place on. */
HB_AVX512 HB_INLINE void
cells_by_two(const hb_depthwise *d, const block *b, int64_t row, int size, __m512i even, __m512 *x)
{
	bool there = row >= 0 && row < d->in[0];
	uintptr_t p = (uintptr_t)(b->x + (there ? row * d->in[1] : 0)) + (uintptr_t)(b->at[0] * 4);
	__m512 low = _mm512_maskz_loadu_ps(there ? b->low[0] : 0, (const void *)p);
	__m512 high = _mm512_maskz_loadu_ps(there ? b->high[0] : 0, (const void *)(p + 64));
	__m512 rest = _mm512_maskz_loadu_ps(there ? b->rest : 0, (const void *)(p + 128));
	__m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
	__m512i rest_even = _mm512_castps_si512(_mm512_permutexvar_ps(even, rest));
	x[0] = _mm512_permutex2var_ps(low, even, high);
	x[1] = _mm512_permutex2var_ps(low, odd, high);
	x[2] = _mm512_castsi512_ps(_mm512_alignr_epi32(rest_even, _mm512_castps_si512(x[0]), 1));
	if (size < 5)
		return;
	__m512i rest_odd = _mm512_castps_si512(_mm512_permutexvar_ps(odd, rest));
	x[3] = _mm512_castsi512_ps(_mm512_alignr_epi32(rest_odd, _mm512_castps_si512(x[1]), 1));
	x[4] = _mm512_castsi512_ps(_mm512_alignr_epi32(rest_even, _mm512_castps_si512(x[0]), 2));
}

/* Square kernels of stride 2 both ways and dilation 1. */
HB_AVX512 HB_INLINE void
shared_by_two(const hb_depthwise *d, const block *b, int size, int rows, __m512i even)
{
	__m512 w[25];
	HB_UNROLL
	for (int t = 0; t < size * size; t++)
		w[t] = _mm512_set1_ps(b->w[t]);
	for (int64_t r0 = 0; r0 < d->out[0]; r0 += rows) {
		__m512 acc[8];
		HB_UNROLL
		for (int r = 0; r < rows; r++)
			acc[r] = _mm512_setzero_ps();
		HB_UNROLL
		for (int i = 0; i < 2 * rows + size - 2; i++) {
			__m512 x[5];
			cells_by_two(d, b, 2 * r0 + i - d->begin[0], size, even, x);
			HB_UNROLL
			for (int r = 0; r < rows; r++)
				if (i - 2 * r >= 0 && i - 2 * r < size)
					HB_UNROLL
					for (int k = 0; k < size; k++)
						acc[r] = _mm512_fmadd_ps(w[(i - 2 * r) * size + k], x[k], acc[r]);
		}
		HB_UNROLL
		for (int r = 0; r < rows; r++)
			if (r0 + r < d->out[0])
				store_row(d, b, r0 + r, acc[r]);
	}
}

typedef void block_fn(const hb_depthwise *d, const block *b, __m512i even);

#define BLOCK(name, call)                                                              \
	HB_AVX512 static void name(const hb_depthwise *d, const block *b, __m512i even) \
	{                                                                              \
		call;                                                                  \
	}
/* Planes of few rows by blocks of few. */
BLOCK(shared3_2, shared_rows(d, b, 3, 2, 1, even))
BLOCK(shared3_4, shared_rows(d, b, 3, 4, 1, even))
BLOCK(shared3_8, shared_rows(d, b, 3, 8, 1, even))
BLOCK(shared5_2, shared_rows(d, b, 5, 2, 1, even))
BLOCK(shared5_4, shared_rows(d, b, 5, 4, 1, even))
BLOCK(wide3, shared_rows(d, b, 3, 8, 2, even))
BLOCK(wide5, shared_rows(d, b, 5, 4, 2, even))
BLOCK(by_two3_2, shared_by_two(d, b, 3, 2, even))
BLOCK(by_two3_4, shared_by_two(d, b, 3, 4, even))
BLOCK(by_two3_6, shared_by_two(d, b, 3, 6, even))
BLOCK(by_two5_4, shared_by_two(d, b, 5, 4, even))
BLOCK(any1, any_rows(d, b, 1, even))
BLOCK(any2, any_rows(d, b, 2, even))

static block_fn *
block_for(const hb_depthwise *d)
{
	bool square = d->dilation[0] == 1 && d->kernel[0] == d->kernel[1];
	int64_t size = square ? d->kernel[0] : 0, down = d->stride[0], along = d->stride[1], rows = d->out[0];
	if (down == 1 && size == 3)
		return along == 2 ? wide3 : rows <= 2 ? shared3_2 : rows <= 4 ? shared3_4 : shared3_8;
	if (down == 1 && size == 5)
		return along == 2 ? wide5 : rows <= 2 ? shared5_2 : shared5_4;
	bool by_two = down == 2 && along == 2 && d->dilation[1] == 1;
	if (by_two && size == 3)
		return rows <= 2 ? by_two3_2 : rows <= 4 ? by_two3_4 : by_two3_6;
	if (by_two && size == 5)
		return by_two5_4;
	return along == 1 ? any1 : any2;
}

HB_AVX512 static void
run(const hb_depthwise *d)
{
	__m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
	block_fn *fn = block_for(d);
	block b;
	if (d->out[1] > 0)
		block_init(d, 0, &b);
	for (int64_t c = 0; c < d->channels; c++) {
		b.x = d->x + c * d->in[0] * d->in[1];
		b.w = d->w + c * d->kernel[0] * d->kernel[1];
		b.y = d->y + c * d->out[0] * d->out[1];
		b.bias = d->bias ? d->bias[c] : 0;
		for (int64_t col = 0; col < d->out[1]; col += 16) {
			if (d->out[1] > 16)
				block_init(d, col, &b);
			fn(d, &b, even);
		}
	}
}

bool
hb_depthwise_fits(hb_isa isa, const hb_depthwise *d)
{
	return isa == HB_ISA_AVX512 && d->stride[1] <= 2 && d->kernel[1] <= MAX_COLUMNS;
}

void
hb_depthwise_run(const hb_depthwise *d)
{
	run(d);
}

#else

bool
hb_depthwise_fits(hb_isa isa, const hb_depthwise *d)
{
	(void)isa;
	(void)d;
	return false;
}

void
hb_depthwise_run(const hb_depthwise *d)
{
	(void)d;
}

#endif
