/* maxpool.c: 16 results at a time; masks leave the padding out. */
#include "lib/base/maxpool.h"
#include "lib/base/cpu.h"
#include "lib/base/internal.h"

#include <math.h>

#ifdef HB_X86
#include <immintrin.h>

/* Cells of a row that 16 results of stride 2 and windows of at most 16 see. */
enum { VECTORS = 3, MAX_COLUMNS = 16 };

HB_AVX512 HB_INLINE __m512
larger(__m512 x, __m512 y)
{
	return _mm512_mask_mov_ps(_mm512_max_ps(x, y), _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
}

/* 16 cells from cell k on, or every second of 32. */
HB_AVX512 HB_INLINE __m512
tap(const float *line, int64_t k, int stride, __m512i even)
{
	__m512 low = _mm512_loadu_ps(line + k);
	return stride == 1 ? low : _mm512_permutex2var_ps(low, even, _mm512_loadu_ps(line + k + 16));
}

HB_AVX512 HB_INLINE void
columns(const hb_maxpool *d, int64_t col, int vectors, int stride)
{
	__m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
	__m512 least = _mm512_set1_ps(-INFINITY);
	__mmask16 keep = hb_bits16(0, d->out[1] - col), there[VECTORS];
	int64_t at = col * stride - d->begin[1];
	float line[16 * (VECTORS + 1)];
	HB_UNROLL
	for (int v = 0; v < vectors; v++)
		there[v] = hb_bits16(-at - 16 * v, d->in[1] - at - 16 * v);
	for (int64_t r = 0; r < d->out[0]; r++) {
		__m512 most[VECTORS];
		HB_UNROLL
		for (int v = 0; v < vectors; v++)
			most[v] = least;
		for (int64_t h = 0; h < d->kernel[0]; h++) {
			int64_t row = r * d->stride[0] + h * d->dilation[0] - d->begin[0];
			if (row < 0 || row >= d->in[0])
				continue;
			/* Masked lanes may lie before or behind the plane: no address is formed by pointer arithmetic. */
			uintptr_t p = (uintptr_t)(d->x + row * d->in[1]) + (uintptr_t)(at * 4);
			HB_UNROLL
			for (int v = 0; v < vectors; v++)
				most[v] = larger(_mm512_mask_loadu_ps(least, there[v], (const void *)(p + 64 * (unsigned)v)), most[v]);
		}
		HB_UNROLL
		for (int v = 0; v < vectors; v++)
			_mm512_storeu_ps(line + 16 * v, most[v]);
		__m512 y = least;
		for (int64_t k = 0; k < d->kernel[1]; k++)
			y = larger(tap(line, k * d->dilation[1], stride, even), y);
		_mm512_mask_storeu_ps(d->y + r * d->out[1] + col, keep, y);
	}
}

HB_AVX512 static void
run(const hb_maxpool *d)
{
	for (int64_t col = 0; col < d->out[1]; col += 16) {
		if (d->stride[1] == 1)
			columns(d, col, 2, 1);
		else
			columns(d, col, 3, 2);
	}
}

bool
hb_maxpool_fits(hb_isa isa, const hb_maxpool *d)
{
	return isa == HB_ISA_AVX512 && d->stride[1] <= 2 && (d->kernel[1] - 1) * d->dilation[1] <= MAX_COLUMNS;
}

void
hb_maxpool_run(const hb_maxpool *d)
{
	run(d);
}

#else

bool
hb_maxpool_fits(hb_isa isa, const hb_maxpool *d)
{
	(void)isa, (void)d;
	return false;
}

void
hb_maxpool_run(const hb_maxpool *d)
{
	(void)d;
}

#endif
