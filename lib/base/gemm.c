/* gemm.c: one driver over panels of A and tiles of B; a micro-kernel a vector width. */
#include "lib/base/gemm.h"
#include "lib/base/cpu.h"
#include "lib/base/internal.h"

#include <math.h>

#ifdef HB_X86
#include <immintrin.h>
#endif

#define MAX_MR 12
#define MAX_NR 32

/* One panel of A by one tile of B: n columns of c, n at most the tile's width. */
typedef struct tile {
	int64_t k;
	const float *a;			/* k x mr */
	const float *b;
	const int64_t *off;		/* NULL: rows of b are a tile's width apart */
	const float *bias, *col_bias;	/* mr, or n of them, or NULL */
	float lo, hi;
	float *c;
	int64_t ldc;
	int n;
} tile;

typedef void tile_fn(const tile *t);

/* ---- scalar ---- */

#define SCALAR_MR 4
#define SCALAR_NR 8

HB_INLINE void
scalar_tile(const tile *t, int mr)
{
	float acc[SCALAR_MR][SCALAR_NR];
	for (int i = 0; i < mr; i++)
		for (int j = 0; j < t->n; j++)
			acc[i][j] = 0;
	for (int64_t k = 0; k < t->k; k++) {
		const float *b = t->b + (t->off ? t->off[k] : k * SCALAR_NR);
		for (int i = 0; i < mr; i++)
			for (int j = 0; j < t->n; j++)
				acc[i][j] = fmaf(t->a[k * mr + i], b[j], acc[i][j]);
	}
	for (int i = 0; i < mr; i++)
		for (int j = 0; j < t->n; j++) {
			float y = acc[i][j] + (t->bias ? t->bias[i] : t->col_bias ? t->col_bias[j] : 0);
			y = y < t->lo ? t->lo : y;
			t->c[i * t->ldc + j] = y > t->hi ? t->hi : y;
		}
}

#define SCALAR_TILE(mr)                                  \
	static void scalar_tile_##mr(const tile *t)      \
	{                                                \
		scalar_tile(t, mr);                      \
	}
SCALAR_TILE(1)
SCALAR_TILE(2)
SCALAR_TILE(3)
SCALAR_TILE(4)

static tile_fn *const scalar_tiles[SCALAR_MR] = { scalar_tile_1, scalar_tile_2, scalar_tile_3, scalar_tile_4 };

#ifdef HB_X86

/* ---- AVX2: up to 6 rows by two vectors of 8 ---- */

#define AVX2_MR 6
#define AVX2_NR 16

static const int32_t lanes[16] = { -1, -1, -1, -1, -1, -1, -1, -1 };

HB_AVX2 HB_INLINE void
avx2_tile(const tile *t, int mr, int nv, bool full)
{
	__m256 acc[AVX2_MR][2];
	__m256i mask = _mm256_loadu_si256((const __m256i *)(lanes + 8 - (t->n - 8 * (nv - 1))));
	HB_UNROLL
	for (int i = 0; i < mr; i++)
		HB_UNROLL
		for (int v = 0; v < nv; v++)
			acc[i][v] = _mm256_setzero_ps();
	const float *a = t->a;
	for (int64_t k = 0; k < t->k; k++, a += mr) {
		const float *p = t->b + (t->off ? t->off[k] : k * AVX2_NR);
		__m256 b[2];
		HB_UNROLL
		for (int v = 0; v < nv; v++)
			b[v] = full || v < nv - 1 ? _mm256_loadu_ps(p + 8 * v) : _mm256_maskload_ps(p + 8 * v, mask);
		HB_UNROLL
		for (int i = 0; i < mr; i++) {
			__m256 w = _mm256_set1_ps(a[i]);
			HB_UNROLL
			for (int v = 0; v < nv; v++)
				acc[i][v] = _mm256_fmadd_ps(w, b[v], acc[i][v]);
		}
	}
	__m256 lo = _mm256_set1_ps(t->lo), hi = _mm256_set1_ps(t->hi);
	HB_UNROLL
	for (int i = 0; i < mr; i++)
		HB_UNROLL
		for (int v = 0; v < nv; v++) {
			__m256 y = acc[i][v];
			if (t->bias)
				y = _mm256_add_ps(y, _mm256_set1_ps(t->bias[i]));
			else if (t->col_bias)
				y = _mm256_add_ps(y, full || v < nv - 1 ? _mm256_loadu_ps(t->col_bias + 8 * v)
									: _mm256_maskload_ps(t->col_bias + 8 * v, mask));
			y = _mm256_min_ps(hi, _mm256_max_ps(lo, y));
			float *c = t->c + i * t->ldc + 8 * v;
			if (full || v < nv - 1)
				_mm256_storeu_ps(c, y);
			else
				_mm256_maskstore_ps(c, mask, y);
		}
}

#define AVX2_TILE(mr)                                                \
	HB_AVX2 static void avx2_tile_##mr(const tile *t)            \
	{                                                            \
		if (t->n == AVX2_NR)                                 \
			avx2_tile(t, mr, 2, true);                   \
		else if (t->n > 8)                                   \
			avx2_tile(t, mr, 2, false);                  \
		else                                                 \
			avx2_tile(t, mr, 1, false);                  \
	}
AVX2_TILE(1)
AVX2_TILE(2)
AVX2_TILE(3)
AVX2_TILE(4)
AVX2_TILE(5)
AVX2_TILE(6)

static tile_fn *const avx2_tiles[AVX2_MR] = {
	avx2_tile_1, avx2_tile_2, avx2_tile_3, avx2_tile_4, avx2_tile_5, avx2_tile_6,
};

/* ---- AVX-512: up to 12 rows by two vectors of 16 ---- */

#define AVX512_MR 12
#define AVX512_NR 32
#define AHEAD 2048			/* bytes of A to ask for ahead; they may lie past its end */

HB_AVX512 HB_INLINE void
avx512_tile(const tile *t, int mr, int nv)
{
	__m512 acc[AVX512_MR][2];
	__mmask16 last = (__mmask16)(0xffffu >> (16 * nv - t->n));
	HB_UNROLL
	for (int i = 0; i < mr; i++)
		HB_UNROLL
		for (int v = 0; v < nv; v++)
			acc[i][v] = _mm512_setzero_ps();
	const float *a = t->a;
	for (int64_t k = 0; k < t->k; k++, a += mr) {
		const float *p = t->b + (t->off ? t->off[k] : k * AVX512_NR);
		_mm_prefetch((const void *)((uintptr_t)a + AHEAD), _MM_HINT_T0);
		__m512 b[2];
		HB_UNROLL
		for (int v = 0; v < nv; v++)
			b[v] = v < nv - 1 ? _mm512_loadu_ps(p + 16 * v) : _mm512_maskz_loadu_ps(last, p + 16 * v);
		HB_UNROLL
		for (int i = 0; i < mr; i++) {
			__m512 w = _mm512_set1_ps(a[i]);
			HB_UNROLL
			for (int v = 0; v < nv; v++)
				acc[i][v] = _mm512_fmadd_ps(w, b[v], acc[i][v]);
		}
	}
	__m512 lo = _mm512_set1_ps(t->lo), hi = _mm512_set1_ps(t->hi);
	HB_UNROLL
	for (int i = 0; i < mr; i++)
		HB_UNROLL
		for (int v = 0; v < nv; v++) {
			__m512 y = acc[i][v];
			if (t->bias)
				y = _mm512_add_ps(y, _mm512_set1_ps(t->bias[i]));
			else if (t->col_bias)
				y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(v < nv - 1 ? 0xffff : last, t->col_bias + 16 * v));
			y = _mm512_min_ps(hi, _mm512_max_ps(lo, y));
			float *c = t->c + i * t->ldc + 16 * v;
			if (v < nv - 1)
				_mm512_storeu_ps(c, y);
			else
				_mm512_mask_storeu_ps(c, last, y);
		}
}

#define AVX512_TILE(mr)                                              \
	HB_AVX512 static void avx512_tile_##mr(const tile *t)        \
	{                                                            \
		if (t->n > 16)                                       \
			avx512_tile(t, mr, 2);                       \
		else                                                 \
			avx512_tile(t, mr, 1);                       \
	}
AVX512_TILE(1)
AVX512_TILE(2)
AVX512_TILE(3)
AVX512_TILE(4)
AVX512_TILE(5)
AVX512_TILE(6)
AVX512_TILE(7)
AVX512_TILE(8)
AVX512_TILE(9)
AVX512_TILE(10)
AVX512_TILE(11)
AVX512_TILE(12)

static tile_fn *const avx512_tiles[AVX512_MR] = {
	avx512_tile_1, avx512_tile_2, avx512_tile_3, avx512_tile_4, avx512_tile_5, avx512_tile_6,
	avx512_tile_7, avx512_tile_8, avx512_tile_9, avx512_tile_10, avx512_tile_11, avx512_tile_12,
};

#else
#define avx2_tiles scalar_tiles
#define avx512_tiles scalar_tiles
#define AVX2_MR SCALAR_MR
#define AVX2_NR SCALAR_NR
#define AVX512_MR SCALAR_MR
#define AVX512_NR SCALAR_NR
#endif

static const struct {
	int mr, nr;
	tile_fn *const *tiles;
} widths[] = {
	[HB_ISA_SCALAR] = { SCALAR_MR, SCALAR_NR, scalar_tiles },
	[HB_ISA_AVX2] = { AVX2_MR, AVX2_NR, avx2_tiles },
	[HB_ISA_AVX512] = { AVX512_MR, AVX512_NR, avx512_tiles },
};

/* ---- packing ---- */

/* A's rows are shared out evenly: panels differ by at most one row. */
typedef struct panels {
	int64_t count, base, more;	/* the first `more` have base + 1 rows */
} panels;

static panels
panels_of(hb_isa isa, int64_t m)
{
	int64_t count = hb_ceil_div(m, widths[isa].mr);
	return count ? (panels){ count, m / count, m % count } : (panels){ 0, 0, 0 };
}

static int64_t
panel_row(const panels *p, int64_t i)
{
	return i * p->base + HB_MIN(i, p->more);
}

size_t
hb_gemm_a_bytes(hb_isa isa, int64_t m, int64_t k)
{
	(void)isa;
	return (size_t)hb_round_up(m * k * 4, 64);
}

void
hb_gemm_pack_a(hb_isa isa, const float *a, int64_t row, int64_t col, int64_t m, int64_t k, float *to)
{
	panels p = panels_of(isa, m);
	for (int64_t i = 0; i < p.count; i++) {
		int64_t first = panel_row(&p, i), end = panel_row(&p, i + 1);
		if (col == 1 && hb_turned_pack(isa, a + first * row, row, (int)(end - first), k, to)) {
			to += (end - first) * k;
			continue;
		}
		for (int64_t q = 0; q < k; q++)
			for (int64_t r = first; r < end; r++)
				*to++ = a[r * row + q * col];
	}
}

void
hb_gemm_pack_a_at(hb_isa isa, const float *a, int64_t row, const int64_t *col, int64_t m, int64_t k, float *to)
{
	panels p = panels_of(isa, m);
	for (int64_t i = 0; i < p.count; i++) {
		int64_t first = panel_row(&p, i), end = panel_row(&p, i + 1);
		for (int64_t q = 0; q < k; q++)
			for (int64_t r = first; r < end; r++)
				*to++ = a[r * row + col[q]];
	}
}

size_t
hb_gemm_b_bytes(hb_isa isa, int64_t k, int64_t n)
{
	return (size_t)hb_round_up(hb_round_up(n, widths[isa].nr) * k * 4, 64);
}

void
hb_gemm_pack_b(hb_isa isa, const float *b, int64_t row, int64_t col, int64_t k, int64_t n, float *to)
{
	int64_t nr = widths[isa].nr;
	for (int64_t j = 0; j < n; j += nr) {
		int64_t end = HB_MIN(nr, n - j);
		for (int64_t q = 0; q < k; q++, to += nr) {
			for (int64_t c = 0; c < end; c++)
				to[c] = b[q * row + (j + c) * col];
			for (int64_t c = end; c < nr; c++)
				to[c] = 0;
		}
	}
}

/* ---- driver ---- */

/* Scatters the kept columns of a finished tile. */
static void
scatter(const hb_gemm *g, const float *from, int nr, int rows, int64_t i0, int64_t j0, int64_t n)
{
	for (int64_t j = j0; j < j0 + n;) {
		int64_t r = j / g->pitch, col = j % g->pitch;
		int64_t run = HB_MIN(g->pitch - col, j0 + n - j);
		int64_t keep = HB_MIN(run, g->width - col);
		for (int i = 0; keep > 0 && i < rows; i++)
			memcpy(g->c + (i0 + i) * g->ldc + r * g->width + col, from + (int64_t)i * nr + (j - j0),
			       (size_t)keep * 4);
		j += run;
	}
}

int64_t
hb_gemm_place(const hb_gemm *g, int64_t j)
{
	return g->pitch ? j / g->pitch * g->width + HB_MIN(j % g->pitch, g->width) : j;
}

/* Tiles [t0, t1) by panels [p0, p1). */
static void
run_block(hb_isa isa, const hb_gemm *g, const panels *p, int64_t t0, int64_t t1, int64_t p0, int64_t p1)
{
	float out[MAX_MR * MAX_NR];
	int nr = widths[isa].nr;
	for (int64_t i = p0; i < p1; i++) {
		int64_t row = panel_row(p, i);
		int mr = (int)(panel_row(p, i + 1) - row);
		tile_fn *fn = widths[isa].tiles[mr - 1];
		tile t = {
			.k = g->k, .a = g->a + row * g->k, .off = g->off, .bias = g->bias ? g->bias + row : NULL,
			.lo = g->lo, .hi = g->hi,
		};
		for (int64_t j = t0; j < t1; j++) {
			int64_t col = j * nr;
			t.n = (int)HB_MIN(nr, g->n - col);
			t.b = g->b + (g->off ? col : col * g->k);
			t.col_bias = g->col_bias ? g->col_bias + col : NULL;
			bool whole = !g->pitch || col % g->pitch + t.n <= g->width;
			t.c = whole ? g->c + row * g->ldc + hb_gemm_place(g, col) : out;
			t.ldc = whole ? g->ldc : nr;
			fn(&t);
			if (!whole)
				scatter(g, out, nr, mr, row, col, t.n);
		}
		int64_t from = hb_gemm_place(g, t0 * nr), to = hb_gemm_place(g, HB_MIN(t1 * nr, g->n));
		for (int64_t r = row; g->post && r < row + mr; r++)
			g->post(g->post_arg, r, g->c + r * g->ldc + from, to - from);
	}
}

typedef struct job {
	hb_isa isa;
	const hb_gemm *g;
	panels p;
	int64_t tiles, group, chunks;	/* tiles a group; parts that the panels are cut into */
	int64_t count;			/* of panels; where rows and columns are turned, of columns */
} job;

static void
run_items(void *arg, int64_t begin, int64_t end, int worker)
{
	const job *b = arg;
	(void)worker;
	for (int64_t i = begin; i < end; i++) {
		int64_t t = i / b->chunks * b->group, q = i % b->chunks;
		int64_t first = q * b->count / b->chunks, last = (q + 1) * b->count / b->chunks;
		if (b->g->turned)
			hb_turned_run(b->g, t * widths[b->isa].nr, first, last);
		else
			run_block(b->isa, b->g, &b->p, t, HB_MIN(t + b->group, b->tiles), first, last);
	}
}

static job
job_of(hb_isa isa, const hb_gemm *g)
{
	int64_t nr = widths[isa].nr;
	if (g->turned)
		return (job){ .isa = isa, .g = g, .tiles = hb_ceil_div(g->m, nr), .group = 1, .chunks = 1,
			      .count = hb_turned_panels(g) };
	job b = { .isa = isa, .g = g, .p = panels_of(isa, g->m), .tiles = hb_ceil_div(g->n, nr), .chunks = 1 };
	b.count = b.p.count;
	/* A group's part of B stays in the second-level cache while A's panels pass. */
	int64_t fit = (512 << 10) / HB_MAX(g->k * nr * 4, 1);
	b.group = HB_MAX(1, HB_MIN(fit, 16));
	return b;
}

void
hb_gemm_run1(hb_isa isa, const hb_gemm *g)
{
	job b = job_of(isa, g);
	run_items(&b, 0, hb_ceil_div(b.tiles, b.group), 0);
}

void
hb_gemm_run(hb_ctx *cx, const hb_gemm *g)
{
	enum { SMALL = 1 << 18, PARTS = 4 };	/* operations not worth a thread; parts a thread */
	if (cx->jobs == 1 || (double)g->m * (double)g->n * (double)g->k < SMALL) {
		hb_gemm_run1(cx->isa, g);
		return;
	}
	job b = job_of(cx->isa, g);
	int64_t wanted = (int64_t)PARTS * cx->jobs;
	b.group = HB_MAX(1, HB_MIN(b.group, b.tiles / wanted));
	int64_t groups = hb_ceil_div(b.tiles, b.group);
	if (groups < wanted)
		b.chunks = HB_MAX(1, HB_MIN(b.count, hb_ceil_div(wanted, groups)));
	hb_parallel(cx, groups * b.chunks, 1, run_items, &b);
}
