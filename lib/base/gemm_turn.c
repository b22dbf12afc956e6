/* gemm_turn.c: the product with its columns broadcast and its rows in vectors, for few columns: a
 * vector's width of them would be partly empty. Each result is the same chain as in gemm.c. */
#include "lib/base/cpu.h"
#include "lib/base/gemm.h"
#include "lib/base/internal.h"

#ifdef HB_X86

#include <immintrin.h>

#define ROWS 32				/* of C, in two vectors */
#define COLUMNS 12
#define AHEAD 4096			/* bytes of A to ask for ahead; they may lie past its end */

/* Lanes of 16 vectors become vectors. */
HB_AVX512 HB_INLINE void
transpose(__m512 *v)
{
	__m512 a[16], b[16];
	HB_UNROLL
	for (int i = 0; i < 16; i += 2) {
		a[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
		a[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
	}
	HB_UNROLL
	for (int i = 0; i < 16; i += 4)
		HB_UNROLL
		for (int k = 0; k < 2; k++) {
			__m512d x = _mm512_castps_pd(a[i + k]), y = _mm512_castps_pd(a[i + 2 + k]);
			b[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
			b[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
		}
	HB_UNROLL
	for (int k = 0; k < 4; k++) {
		a[k] = _mm512_shuffle_f32x4(b[k], b[k + 4], 0x88);
		a[k + 4] = _mm512_shuffle_f32x4(b[k], b[k + 4], 0xdd);
		a[k + 8] = _mm512_shuffle_f32x4(b[k + 8], b[k + 12], 0x88);
		a[k + 12] = _mm512_shuffle_f32x4(b[k + 8], b[k + 12], 0xdd);
	}
	HB_UNROLL
	for (int k = 0; k < 4; k++) {
		v[k] = _mm512_shuffle_f32x4(a[k], a[k + 8], 0x88);
		v[k + 8] = _mm512_shuffle_f32x4(a[k], a[k + 8], 0xdd);
		v[k + 4] = _mm512_shuffle_f32x4(a[k + 4], a[k + 12], 0x88);
		v[k + 12] = _mm512_shuffle_f32x4(a[k + 4], a[k + 12], 0xdd);
	}
}

/* to[q * rows + i] = a[i * row + q], 16 q at a time. */
HB_AVX512 static void
pack_rows(const float *a, int64_t row, int rows, int64_t k, float *to)
{
	__mmask16 these = (__mmask16)((1u << rows) - 1);
	for (int64_t q = 0; q < k; q += 16) {
		int n = (int)HB_MIN(16, k - q);
		__mmask16 there = (__mmask16)(0xffffu >> (16 - n));
		__m512 v[16];
		for (int i = 0; i < 16; i++)
			v[i] = i < rows ? _mm512_maskz_loadu_ps(there, a + i * row + q) : _mm512_setzero_ps();
		transpose(v);
		for (int i = 0; i < n; i++)
			_mm512_mask_storeu_ps(to + (q + i) * rows, these, v[i]);
	}
}

bool
hb_turned_pack(hb_isa isa, const float *a, int64_t row, int rows, int64_t k, float *to)
{
	if (isa != HB_ISA_AVX512 || rows > COLUMNS || k < 16)
		return false;
	pack_rows(a, row, rows, k, to);
	return true;
}

typedef struct tile {
	const hb_gemm *g;
	const float *a;			/* packed: k x ROWS */
	int64_t row, col;
	__mmask16 keep;			/* columns that are kept */
	float *c;			/* where the first of them goes, in row 0 */
	int rows;
} tile;

HB_AVX512 HB_INLINE void
turned_tile(const tile *t, int columns)
{
	const hb_gemm *g = t->g;
	const float *a = t->a;
	__m512 acc[2][16];
	HB_UNROLL
	for (int i = 0; i < columns; i++)
		acc[0][i] = acc[1][i] = _mm512_setzero_ps();
	for (int64_t k = 0; k < g->k; k++, a += ROWS) {
		const float *b = g->b + g->off[k] + t->col;
		_mm_prefetch((const void *)((uintptr_t)a + AHEAD), _MM_HINT_T0);
		_mm_prefetch((const void *)((uintptr_t)a + AHEAD + 64), _MM_HINT_T0);
		__m512 w0 = _mm512_loadu_ps(a), w1 = _mm512_loadu_ps(a + 16);
		HB_UNROLL
		for (int i = 0; i < columns; i++) {
			__m512 x = _mm512_set1_ps(b[i]);
			acc[0][i] = _mm512_fmadd_ps(w0, x, acc[0][i]);
			acc[1][i] = _mm512_fmadd_ps(w1, x, acc[1][i]);
		}
	}
	__m512 lo = _mm512_set1_ps(g->lo), hi = _mm512_set1_ps(g->hi);
	__mmask16 dense = (__mmask16)((1u << __builtin_popcount(t->keep)) - 1);
	HB_UNROLL
	for (int v = 0; v < 2; v++) {
		__m512 y[16];
		if (16 * v >= t->rows)
			continue;
		int rows = HB_MIN(16, t->rows - 16 * v);
		__mmask16 there = (__mmask16)(0xffffu >> (16 - rows));
		HB_UNROLL
		for (int i = 0; i < 16; i++) {
			y[i] = i < columns ? acc[v][i] : _mm512_setzero_ps();
			if (i < columns && g->bias)
				y[i] = _mm512_add_ps(y[i], _mm512_maskz_loadu_ps(there, g->bias + t->row + 16 * v));
			y[i] = _mm512_min_ps(hi, _mm512_max_ps(lo, y[i]));
		}
		transpose(y);
		for (int r = 0; r < rows; r++)
			_mm512_mask_storeu_ps(t->c + (16 * v + r) * g->ldc, dense, _mm512_maskz_compress_ps(t->keep, y[r]));
	}
}

#define TILE(columns)                                        \
	HB_AVX512 static void tile_##columns(const tile *t)  \
	{                                                    \
		turned_tile(t, columns);                     \
	}
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
TILE(7)
TILE(8)
TILE(9)
TILE(10)
TILE(11)
TILE(12)

static void (*const tiles[COLUMNS])(const tile *t) = {
	tile_1, tile_2, tile_3, tile_4, tile_5, tile_6, tile_7, tile_8, tile_9, tile_10, tile_11, tile_12,
};

static __mmask16
kept(const hb_gemm *g, int64_t col, int64_t n)
{
	unsigned mask = 0;
	for (int64_t i = 0; i < n; i++)
		mask |= (unsigned)(!g->pitch || (col + i) % g->pitch < g->width) << i;
	return (__mmask16)mask;
}

bool
hb_gemm_turns(hb_isa isa, int64_t m, int64_t n, int64_t k)
{
	/* Cells of the vectors in either form, a step of the sum each; what storing them costs, in steps. */
	double plain = (double)hb_round_up(n, 16) * (double)m * (double)(k + 4);
	return isa == HB_ISA_AVX512 && (double)n * (double)hb_round_up(m, ROWS) * (double)(k + 16) < plain;
}

int64_t
hb_turned_panels(const hb_gemm *g)
{
	return hb_ceil_div(g->n, COLUMNS);
}

void
hb_turned_run(const hb_gemm *g, int64_t row, int64_t first, int64_t end)
{
	int64_t count = hb_turned_panels(g), n = HB_MIN(ROWS, g->m - row);
	int64_t from = hb_gemm_place(g, first * g->n / count), to = hb_gemm_place(g, end * g->n / count);
	for (int64_t i = first; i < end; i++) {
		int64_t col = i * g->n / count, columns = (i + 1) * g->n / count - col;
		tile t = {
			.g = g, .a = g->a + row * g->k, .row = row, .col = col, .keep = kept(g, col, columns),
			.c = g->c + row * g->ldc + hb_gemm_place(g, col), .rows = (int)n,
		};
		tiles[columns - 1](&t);
	}
	for (int64_t r = row; g->post && r < row + n; r++)
		g->post(g->post_arg, r, g->c + r * g->ldc + from, to - from);
}

#else

bool
hb_turned_pack(hb_isa isa, const float *a, int64_t row, int rows, int64_t k, float *to)
{
	(void)isa, (void)a, (void)row, (void)rows, (void)k, (void)to;
	return false;
}

bool
hb_gemm_turns(hb_isa isa, int64_t m, int64_t n, int64_t k)
{
	(void)isa, (void)m, (void)n, (void)k;
	return false;
}

int64_t
hb_turned_panels(const hb_gemm *g)
{
	(void)g;
	return 0;
}

void
hb_turned_run(const hb_gemm *g, int64_t row, int64_t first, int64_t end)
{
	(void)g, (void)row, (void)first, (void)end;
}

#endif
