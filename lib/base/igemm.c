/* igemm.c: integer matrix kernels. A weight block holds NR outputs; x's elements are
 * broadcast in groups of 4 (VNNI) or 2 (multiply-add of int16 pairs). */
#include "lib/base/cpu.h"
#include "lib/base/gemm.h"

#ifdef HB_X86
#include <immintrin.h>
#endif

#define MAX_COLUMNS 32

/* How weights of one width lie: blocks of nr outputs, groups of `step` k, elements of w_bytes.
 * A block begins with nr int32 that the sums start at. */
typedef struct form {
	int nr, step, w_bytes, mr;
	bool offset;			/* x is taken as x + 128: sums start at -128 * sum of w */
	void (*block)(const hb_igemm *g, int64_t row, int mr, int64_t col, const uint8_t *w);
} form;

static size_t
block_bytes(const form *f, int64_t k)
{
	return (size_t)f->nr * 4 + (size_t)(hb_round_up(k, f->step) * f->nr * f->w_bytes);
}

static int32_t
load_start(const uint8_t *w, int j)
{
	int32_t v;
	memcpy(&v, w + 4 * j, 4);
	return v;
}

static int32_t
load_x(const hb_igemm *g, int64_t i)
{
	return g->x_bytes == 1 ? ((const int8_t *)g->x)[i] : ((const int16_t *)g->x)[i];
}

#define SCALAR_NR 8

static void
scalar_block(const hb_igemm *g, int64_t row, int mr, int64_t col, const uint8_t *w)
{
	int n = (int)HB_MIN(SCALAR_NR, g->n - col);
	for (int i = 0; i < mr; i++) {
		uint32_t acc[SCALAR_NR];
		const int8_t *p = (const int8_t *)w + SCALAR_NR * 4;
		for (int j = 0; j < SCALAR_NR; j++)
			acc[j] = (uint32_t)load_start(w, j);
		for (int64_t k = 0; k < g->k; k++, p += SCALAR_NR) {
			int32_t x = load_x(g, (row + i) * g->ldx + k);
			for (int j = 0; j < SCALAR_NR; j++)
				acc[j] += (uint32_t)(x * p[j]);
		}
		for (int j = 0; j < n; j++)
			g->c[(row + i) * g->ldc + col + j] = (int32_t)acc[j];
	}
}

static const form scalar_form = { SCALAR_NR, 1, 1, 4, false, scalar_block };

#ifdef HB_X86

/* x[k], x[k + 1] as an int32 of two int16; the second is 0 past the end. */
HB_INLINE int32_t
pair_of(const void *x, int x_bytes, int64_t k, int64_t n)
{
	if (x_bytes == 2 && k + 1 < n) {
		int32_t v;
		memcpy(&v, (const int16_t *)x + k, 4);
		return v;
	}
	const int8_t *b = x;
	const int16_t *h = x;
	uint32_t lo = (uint16_t)(x_bytes == 1 ? b[k] : h[k]);
	uint32_t hi = k + 1 < n ? (uint16_t)(x_bytes == 1 ? b[k + 1] : h[k + 1]) : 0;
	return (int32_t)(lo | hi << 16);
}

#define AVX2_NR 16
#define AVX2_MR 6

HB_AVX2 HB_INLINE void
avx2_rows(const hb_igemm *g, int64_t row, int mr, int64_t col, const uint8_t *w, int x_bytes)
{
	__m256i acc[AVX2_MR][2];
	const uint8_t *x = (const uint8_t *)g->x + row * g->ldx * x_bytes;
	int64_t ldx = g->ldx * x_bytes;
	HB_UNROLL
	for (int i = 0; i < mr; i++)
		HB_UNROLL
		for (int v = 0; v < 2; v++)
			acc[i][v] = _mm256_loadu_si256((const __m256i *)(w + 32 * v));
	w += 64;
	for (int64_t k = 0; k < g->k; k += 2, w += 64) {
		__m256i b0 = _mm256_loadu_si256((const __m256i *)w);
		__m256i b1 = _mm256_loadu_si256((const __m256i *)(w + 32));
		HB_UNROLL
		for (int i = 0; i < mr; i++) {
			__m256i p = _mm256_set1_epi32(pair_of(x + i * ldx, x_bytes, k, g->k));
			acc[i][0] = _mm256_add_epi32(acc[i][0], _mm256_madd_epi16(p, b0));
			acc[i][1] = _mm256_add_epi32(acc[i][1], _mm256_madd_epi16(p, b1));
		}
	}
	int n = (int)HB_MIN(AVX2_NR, g->n - col);
	HB_UNROLL
	for (int i = 0; i < mr; i++) {
		int32_t out[AVX2_NR];
		_mm256_storeu_si256((__m256i *)out, acc[i][0]);
		_mm256_storeu_si256((__m256i *)(out + 8), acc[i][1]);
		memcpy(g->c + (row + i) * g->ldc + col, out, (size_t)n * 4);
	}
}

#define ROWS(fn, args)                      \
	switch (mr) {                            \
	case 1: fn(g, row, 1, col, w args); break; \
	case 2: fn(g, row, 2, col, w args); break; \
	case 3: fn(g, row, 3, col, w args); break; \
	case 4: fn(g, row, 4, col, w args); break; \
	case 5: fn(g, row, 5, col, w args); break; \
	default: fn(g, row, 6, col, w args); break; \
	}

#define X8 , 1
#define X16 , 2
#define NONE

HB_AVX2 static void
avx2_block8(const hb_igemm *g, int64_t row, int mr, int64_t col, const uint8_t *w)
{
	ROWS(avx2_rows, X8)
}

HB_AVX2 static void
avx2_block16(const hb_igemm *g, int64_t row, int mr, int64_t col, const uint8_t *w)
{
	ROWS(avx2_rows, X16)
}

static const form avx2_forms[2] = {
	{ AVX2_NR, 2, 2, AVX2_MR, false, avx2_block8 },
	{ AVX2_NR, 2, 2, AVX2_MR, false, avx2_block16 },
};

#define AVX512_NR 32
#define AVX512_MR 6

HB_AVX512 HB_INLINE void
avx512_rows(const hb_igemm *g, int64_t row, int mr, int64_t col, const uint8_t *w)
{
	__m512i acc[AVX512_MR][2];
	const uint8_t *x = (const uint8_t *)g->x + row * g->ldx * 2;
	int64_t ldx = g->ldx * 2;
	HB_UNROLL
	for (int i = 0; i < mr; i++)
		HB_UNROLL
		for (int v = 0; v < 2; v++)
			acc[i][v] = _mm512_loadu_si512(w + 64 * v);
	w += 128;
	for (int64_t k = 0; k < g->k; k += 2, w += 128) {
		__m512i b0 = _mm512_loadu_si512(w), b1 = _mm512_loadu_si512(w + 64);
		HB_UNROLL
		for (int i = 0; i < mr; i++) {
			__m512i p = _mm512_set1_epi32(pair_of(x + i * ldx, 2, k, g->k));
			acc[i][0] = _mm512_add_epi32(acc[i][0], _mm512_madd_epi16(p, b0));
			acc[i][1] = _mm512_add_epi32(acc[i][1], _mm512_madd_epi16(p, b1));
		}
	}
	uint32_t mask = 0xffffffffu >> (32 - HB_MIN(AVX512_NR, g->n - col));
	HB_UNROLL
	for (int i = 0; i < mr; i++)
		HB_UNROLL
		for (int v = 0; v < 2; v++)
			_mm512_mask_storeu_epi32(g->c + (row + i) * g->ldc + col + 16 * v, (__mmask16)(mask >> 16 * v),
						 acc[i][v]);
}

HB_AVX512 static void
avx512_block16(const hb_igemm *g, int64_t row, int mr, int64_t col, const uint8_t *w)
{
	ROWS(avx512_rows, NONE)
}

/* Four products at a time, of x + 128 as unsigned bytes. */
HB_VNNI HB_INLINE void
vnni_rows(const hb_igemm *g, int64_t row, int mr, int64_t col, const uint8_t *w)
{
	__m512i acc[AVX512_MR][2];
	const uint8_t *x = (const uint8_t *)g->x + row * g->ldx;
	HB_UNROLL
	for (int i = 0; i < mr; i++)
		HB_UNROLL
		for (int v = 0; v < 2; v++)
			acc[i][v] = _mm512_loadu_si512(w + 64 * v);
	w += 128;
	int64_t k = 0;
	for (; k + 4 <= g->k; k += 4, w += 128) {
		__m512i b0 = _mm512_loadu_si512(w), b1 = _mm512_loadu_si512(w + 64);
		HB_UNROLL
		for (int i = 0; i < mr; i++) {
			uint32_t u;
			memcpy(&u, x + i * g->ldx + k, 4);
			__m512i p = _mm512_set1_epi32((int32_t)(u ^ 0x80808080u));
			acc[i][0] = _mm512_dpbusd_epi32(acc[i][0], p, b0);
			acc[i][1] = _mm512_dpbusd_epi32(acc[i][1], p, b1);
		}
	}
	if (k < g->k) {			/* weights past the end are 0 */
		__m512i b0 = _mm512_loadu_si512(w), b1 = _mm512_loadu_si512(w + 64);
		HB_UNROLL
		for (int i = 0; i < mr; i++) {
			uint32_t u = 0;
			memcpy(&u, x + i * g->ldx + k, (size_t)(g->k - k));
			__m512i p = _mm512_set1_epi32((int32_t)(u ^ 0x80808080u));
			acc[i][0] = _mm512_dpbusd_epi32(acc[i][0], p, b0);
			acc[i][1] = _mm512_dpbusd_epi32(acc[i][1], p, b1);
		}
	}
	uint32_t mask = 0xffffffffu >> (32 - HB_MIN(AVX512_NR, g->n - col));
	HB_UNROLL
	for (int i = 0; i < mr; i++)
		HB_UNROLL
		for (int v = 0; v < 2; v++)
			_mm512_mask_storeu_epi32(g->c + (row + i) * g->ldc + col + 16 * v, (__mmask16)(mask >> 16 * v),
						 acc[i][v]);
}

HB_VNNI static void
vnni_block(const hb_igemm *g, int64_t row, int mr, int64_t col, const uint8_t *w)
{
	ROWS(vnni_rows, NONE)
}

static const form vnni_form = { AVX512_NR, 4, 1, AVX512_MR, true, vnni_block };
static const form avx512_form = { AVX512_NR, 2, 2, AVX512_MR, false, avx512_block16 };

#endif

static const form *
form_of(hb_isa isa, int x_bytes)
{
#ifdef HB_X86
	if (isa == HB_ISA_AVX512 && x_bytes == 2)
		return &avx512_form;
	if (isa == HB_ISA_AVX512 && __builtin_cpu_supports("avx512vnni"))
		return &vnni_form;
	if (isa >= HB_ISA_AVX2)
		return &avx2_forms[x_bytes - 1];
#else
	(void)isa;
	(void)x_bytes;
#endif
	return &scalar_form;
}

size_t
hb_igemm_w_bytes(hb_isa isa, int x_bytes, int64_t n, int64_t k)
{
	const form *f = form_of(isa, x_bytes);
	return (size_t)hb_ceil_div(n, f->nr) * block_bytes(f, k);
}

void
hb_igemm_pack_w(hb_isa isa, int x_bytes, const int8_t *w, int64_t ldw, int64_t n, int64_t k, void *to)
{
	const form *f = form_of(isa, x_bytes);
	uint8_t *p = to;
	for (int64_t col = 0; col < n; col += f->nr) {
		uint32_t start[MAX_COLUMNS] = { 0 };
		uint8_t *head = p;
		p += f->nr * 4;
		for (int64_t q = 0; q < k; q += f->step)
			for (int j = 0; j < f->nr; j++)
				for (int s = 0; s < f->step; s++, p += f->w_bytes) {
					bool there = q + s < k && col + j < n;
					int16_t v = there ? w[(col + j) * ldw + q + s] : 0;
					start[j] -= f->offset ? 128u * (uint32_t)v : 0;
					memcpy(p, &v, (size_t)f->w_bytes);	/* little-endian: the low byte */
				}
		memcpy(head, start, (size_t)f->nr * 4);
	}
}

void
hb_igemm_run(hb_isa isa, const hb_igemm *g)
{
	const form *f = form_of(isa, g->x_bytes);
	const uint8_t *w = g->w;
	size_t bytes = block_bytes(f, g->k);
	for (int64_t col = 0; col < g->n; col += f->nr, w += bytes)
		for (int64_t row = 0; row < g->m; row += f->mr)
			f->block(g, row, (int)HB_MIN(f->mr, g->m - row), col, w);
}
