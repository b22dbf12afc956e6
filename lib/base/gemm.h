/* gemm.h: the matrix kernels. Float: c[i][j] = (sum over k of a[i][k] * b[k][j]) + bias, k
 * ascending, one fused multiply-add chain from 0 an element, whatever the vector width, blocking
 * and thread. Integer: exact modulo 2^32. */
#ifndef HB_GEMM_H
#define HB_GEMM_H

#include "lib/base/base.h"

/* ---- float ---- */

/* Bytes of A, m x k, packed; a multiple of 64. */
size_t hb_gemm_a_bytes(hb_isa isa, int64_t m, int64_t k);
/* Packs a[i * row + k * col]. */
void hb_gemm_pack_a(hb_isa isa, const float *a, int64_t row, int64_t col, int64_t m, int64_t k, float *to);

/* The same for a[i * row + col[k]]. */
void hb_gemm_pack_a_at(hb_isa isa, const float *a, int64_t row, const int64_t *col, int64_t m, int64_t k, float *to);

/* Bytes of B, k x n, packed in tiles; and packing of b[k * row + j * col]. */
size_t hb_gemm_b_bytes(hb_isa isa, int64_t k, int64_t n);
void hb_gemm_pack_b(hb_isa isa, const float *b, int64_t row, int64_t col, int64_t k, int64_t n, float *to);

/* Whether a product whose B is read in place is faster with rows and columns turned (.turned below). */
bool hb_gemm_turns(hb_isa isa, int64_t m, int64_t n, int64_t k);

typedef struct hb_gemm {
	int64_t m, n, k;
	const float *a;			/* packed; where turned, its transpose packed as a B is */
	bool turned;			/* off is set, col_bias is not */
	/* Element (k, j) of B: b[off[k] + j] where off is set, else b is packed. Nothing outside j < n is read. */
	const float *b;
	const int64_t *off;
	/* Added to the sums: m values, one a row, or n values, one a column; both NULL: nothing. */
	const float *bias, *col_bias;
	float lo, hi;			/* results are brought into [lo, hi]; NaN stays */
	/* Column j of row i goes to c[i * ldc + j]; where pitch is not 0, columns are rows of `pitch`
	 * of which the first `width` are kept: c[i * ldc + j / pitch * width + j % pitch]. */
	float *c;
	int64_t ldc, pitch, width;
	/* Called for each finished stretch of a row while it is in the cache; every element once. May be NULL. */
	void (*post)(void *arg, int64_t row, float *c, int64_t n);
	void *post_arg;
} hb_gemm;

void hb_gemm_run(hb_ctx *cx, const hb_gemm *g);
/* The same on the calling thread, for callers that are parallel themselves. */
void hb_gemm_run1(hb_isa isa, const hb_gemm *g);

/* ---- integer: c[i][j] = sum over k of x[i][k] * w[j][k] ---- */

/* Weights, n rows of k bytes (row stride ldw), packed once for any number of calls.
 * x_bytes: 1 or 2, the size of the elements they are to meet. */
size_t hb_igemm_w_bytes(hb_isa isa, int x_bytes, int64_t n, int64_t k);
void hb_igemm_pack_w(hb_isa isa, int x_bytes, const int8_t *w, int64_t ldw, int64_t n, int64_t k, void *to);

typedef struct hb_igemm {
	int64_t m, n, k;
	int x_bytes;			/* x is int8_t (1) or int16_t (2) */
	const void *x;			/* m rows of k elements, ldx elements apart; any alignment of the element */
	int64_t ldx;
	const void *w;			/* packed */
	int32_t *c;			/* m rows, ldc elements apart */
	int64_t ldc;
} hb_igemm;

/* On the calling thread; needs no scratch. Sums wrap modulo 2^32. */
void hb_igemm_run(hb_isa isa, const hb_igemm *g);

#endif
