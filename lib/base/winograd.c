/* winograd.c: blocks of whole rows of tiles, small enough for the second-level cache. */
#include "lib/base/winograd.h"
#include "lib/base/cpu.h"
#include "lib/base/gemm.h"

#include <math.h>

enum {
	PLANES = 16,			/* cells of a transformed tile */
	LANES = 16,			/* tiles that a transform takes at a time */
	BLOCK = 1024 << 10,		/* bytes of a block's transformed cells and products */
};

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* How the work is cut. Rows and columns of tiles; a block has up to `rows` of them. */
typedef struct plan {
	int64_t th, tw, rows, blocks;
	int64_t line;			/* floats of a row of cells of one parity, with room to read past its end */
	int64_t ld;			/* floats of a block's tiles of one channel, with room to write past the end */
	int64_t v, m, lines;		/* floats: transformed cells, products, a worker's rows */
	bool apart;			/* workers have a block each; else they share every block */
} plan;

/* Rows of tiles a block: of those that fit, the number that fills vectors best, the largest of equals. */
static int64_t
rows_of(int64_t th, int64_t tw, int64_t most)
{
	int64_t best = 1;
	for (int64_t r = 1; r <= HB_MIN(th, most); r++)
		if (r * tw * hb_round_up(best * tw, LANES) >= best * tw * hb_round_up(r * tw, LANES))
			best = r;
	return best;
}

static plan
plan_of(const hb_winograd *w, int jobs)
{
	plan p = { .th = hb_ceil_div(w->out[0], 2), .tw = hb_ceil_div(w->out[1], 2) };
	int64_t row = PLANES * 4 * (w->cin + w->cout) * p.tw;
	p.rows = rows_of(p.th, p.tw, HB_MAX(1, BLOCK / row));
	p.blocks = hb_ceil_div(p.th, p.rows);
	p.line = hb_round_up(p.tw + 1, LANES) + LANES;
	/* An odd number of cache lines, so that channels do not fall into the same sets. */
	p.ld = (hb_round_up(p.rows * p.tw + LANES, LANES) / LANES | 1) * LANES;
	p.v = PLANES * w->cin * p.ld;
	p.m = PLANES * w->cout * p.ld;
	p.lines = HB_MAX((2 * p.rows + 2) * 2 * p.line + 2 * p.line, 4 * p.ld);
	p.apart = p.blocks >= 2 * jobs;
	return p;
}

bool
hb_winograd_pays(const hb_winograd *w)
{
	return w->cin >= 16 && w->cout >= 16 && w->out[0] >= 4 && w->out[1] >= 4;
}

size_t
hb_winograd_scratch(const hb_winograd *w, int jobs)
{
	plan p = plan_of(w, jobs);
	int64_t offsets = hb_round_up(w->cin * 2, LANES);
	return (size_t)(offsets + (p.v + p.m) * (p.apart ? jobs : 1) + p.lines * jobs) * 4;
}

/* ---- weights ---- */

static bool
turned(hb_isa isa, const hb_winograd *w)
{
	plan p = plan_of(w, 1);
	return hb_gemm_turns(isa, w->cout, p.rows * p.tw, w->cin);
}

/* Floats of a plane. */
static int64_t
plane_of(hb_isa isa, const hb_winograd *w)
{
	size_t bytes = turned(isa, w) ? hb_gemm_b_bytes(isa, w->cin, w->cout) : hb_gemm_a_bytes(isa, w->cout, w->cin);
	return (int64_t)bytes / 4;
}

size_t
hb_winograd_u_bytes(hb_isa isa, const hb_winograd *w)
{
	return (size_t)(PLANES * plane_of(isa, w) * 4);
}

/* One row or column: G g. */
static void
transform_weights(const double *g, int64_t step, double *u)
{
	u[0] = g[0];
	u[1] = (g[0] + g[step] + g[2 * step]) / 2;
	u[2] = (g[0] - g[step] + g[2 * step]) / 2;
	u[3] = g[2 * step];
}

/* The nine taps are packed into the first nine planes; a weight's place is the same in all. */
void
hb_winograd_pack(hb_isa isa, const hb_winograd *w, const float *weights, float *to)
{
	int64_t plane = plane_of(isa, w);
	bool turn = turned(isa, w);
	memset(to, 0, (size_t)(PLANES * plane * 4));
	for (int64_t t = 0; t < 9; t++) {
		if (turn)
			hb_gemm_pack_b(isa, weights + t, 9, w->cin * 9, w->cin, w->cout, to + t * plane);
		else
			hb_gemm_pack_a(isa, weights + t, w->cin * 9, 9, w->cout, w->cin, to + t * plane);
	}
	for (int64_t i = 0; i < plane; i++) {
		double g[9], rows[3][4], u[4];
		for (int64_t t = 0; t < 9; t++)
			g[t] = (double)to[t * plane + i];
		for (int r = 0; r < 3; r++)
			transform_weights(g + 3 * r, 1, rows[r]);
		for (int64_t c = 0; c < 4; c++) {
			transform_weights(&rows[0][c], 4, u);
			for (int64_t r = 0; r < 4; r++)
				to[(r * 4 + c) * plane + i] = (float)u[r];
		}
	}
}

/* ---- cells: V = B^T d B ---- */

/* A padded row's even cells, then, `line` on, its odd ones. */
HB_INLINE void
part_body(const float *restrict row, float *restrict to, int64_t line)
{
	for (int64_t i = 0; i < line; i++) {
		to[i] = row[2 * i];
		to[line + i] = row[2 * i + 1];
	}
}

HB_KERNEL(part_row, part_body, (const float *restrict row, float *restrict to, int64_t line), (row, to, line))

/* A row of n tiles from four rows of cells; up to LANES - 1 results more are written to each plane. */
HB_INLINE void
cells_body(const float *from, int64_t line, int64_t n, float *v, int64_t plane)
{
	for (int64_t t = 0; t < n; t += LANES) {
		lanes c[4][4];
		HB_UNROLL
		for (int r = 0; r < 4; r++) {
			const float *even = from + 2 * r * line + t, *odd = even + line;
			lanes d0 = *(const lanes *)even, d2 = *(const lanes *)(even + 1);
			lanes d1 = *(const lanes *)odd, d3 = *(const lanes *)(odd + 1);
			c[r][0] = d0 - d2;
			c[r][1] = d1 + d2;
			c[r][2] = d2 - d1;
			c[r][3] = d1 - d3;
		}
		HB_UNROLL
		for (int k = 0; k < 4; k++) {
			float *to = v + k * plane + t;
			*(lanes *)to = c[0][k] - c[2][k];
			*(lanes *)(to + 4 * plane) = c[1][k] + c[2][k];
			*(lanes *)(to + 8 * plane) = c[2][k] - c[1][k];
			*(lanes *)(to + 12 * plane) = c[1][k] - c[3][k];
		}
	}
}

HB_KERNEL(transform_cells, cells_body, (const float *from, int64_t line, int64_t n, float *v, int64_t plane),
	  (from, line, n, v, plane))

/* ---- results: Y = A^T M A ---- */

/* n tiles' two rows of results, side by side. */
HB_INLINE void
results_body(const float *m, int64_t plane, int64_t n, float *y0, float *y1)
{
	for (int64_t t = 0; t < n; t += LANES) {
		lanes s[2][4];
		HB_UNROLL
		for (int k = 0; k < 4; k++) {
			const float *from = m + k * plane + t;
			lanes m0 = *(const lanes *)from, m1 = *(const lanes *)(from + 4 * plane);
			lanes m2 = *(const lanes *)(from + 8 * plane), m3 = *(const lanes *)(from + 12 * plane);
			s[0][k] = m0 + m1 + m2;
			s[1][k] = m1 - m2 - m3;
		}
		HB_UNROLL
		for (int r = 0; r < 2; r++) {
			lanes a = s[r][0] + s[r][1] + s[r][2], b = s[r][1] - s[r][2] - s[r][3];
			float *to = (r ? y1 : y0) + 2 * t;
			*(lanes *)to = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
			*(lanes *)(to + LANES) =
				__builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
		}
	}
}

HB_KERNEL(transform_products, results_body, (const float *m, int64_t plane, int64_t n, float *y0, float *y1),
	  (m, plane, n, y0, y1))

HB_INLINE void
finish_body(float *restrict y, const float *restrict x, int64_t n, float bias, float lo, float hi)
{
	for (int64_t i = 0; i < n; i++) {
		float v = x[i] + bias;
		v = v < lo ? lo : v;
		y[i] = v > hi ? hi : v;
	}
}

HB_KERNEL(finish_row, finish_body, (float *restrict y, const float *restrict x, int64_t n, float bias, float lo, float hi),
	  (y, x, n, bias, lo, hi))

/* ---- blocks ---- */

typedef struct run {
	const hb_winograd *w;
	plan p;
	hb_isa isa;
	const int64_t *off;		/* of the products: channels of v */
	float *vm, *lines;
} run;

typedef struct block {
	const run *r;
	int64_t row, rows;		/* of tiles */
	float *v, *m;
} block;

static block
block_of(const run *r, int64_t i, int set)
{
	float *v = r->vm + set * (r->p.v + r->p.m);
	int64_t row = i * r->p.rows;
	return (block){ r, row, HB_MIN(r->p.rows, r->p.th - row), v, v + r->p.v };
}

/* Channels [begin, end) of the input. */
static void
block_cells(void *arg, int64_t begin, int64_t end, int worker)
{
	const block *b = arg;
	const run *r = b->r;
	const hb_winograd *w = r->w;
	int64_t line = r->p.line, pad = w->begin[1];
	float *rows = r->lines + worker * r->p.lines, *row = rows + (2 * r->p.rows + 2) * 2 * line;
	for (int64_t c = begin; c < end; c++) {
		const float *x = w->x + c * w->in[0] * w->in[1];
		memset(row, 0, (size_t)line * 2 * 4);
		for (int64_t k = 0; k < 2 * b->rows + 2; k++) {
			int64_t at = 2 * b->row + k - w->begin[0], room = HB_MIN(w->in[1], 2 * line - pad);
			float *to = rows + 2 * k * line;
			if (at < 0 || at >= w->in[0]) {
				memset(to, 0, (size_t)line * 2 * 4);
				continue;
			}
			memcpy(row + pad, x + at * w->in[1], (size_t)room * 4);
			part_row[r->isa](row, to, line);
		}
		for (int64_t k = 0; k < b->rows; k++)
			transform_cells[r->isa](rows + 4 * k * line, line, r->p.tw, b->v + c * r->p.ld + k * r->p.tw,
						w->cin * r->p.ld);
	}
}

/* Planes [begin, end). */
static void
block_products(void *arg, int64_t begin, int64_t end, int worker)
{
	const block *b = arg;
	const run *r = b->r;
	const hb_winograd *w = r->w;
	int64_t plane = plane_of(r->isa, w);
	bool turn = turned(r->isa, w);
	(void)worker;
	for (int64_t i = begin; i < end; i++) {
		hb_gemm g = {
			.m = w->cout, .n = b->rows * r->p.tw, .k = w->cin, .a = w->u + i * plane,
			.turned = turn,
			.b = b->v + i * w->cin * r->p.ld, .off = r->off, .lo = -INFINITY, .hi = INFINITY,
			.c = b->m + i * w->cout * r->p.ld, .ldc = r->p.ld,
		};
		hb_gemm_run1(r->isa, &g);
	}
}

/* Channels [begin, end) of the output. */
static void
block_results(void *arg, int64_t begin, int64_t end, int worker)
{
	const block *b = arg;
	const run *r = b->r;
	const hb_winograd *w = r->w;
	float *rows[2] = { r->lines + worker * r->p.lines, r->lines + worker * r->p.lines + 2 * r->p.ld };
	int64_t first = 2 * b->row, count = HB_MIN(2 * b->rows, w->out[0] - first);
	for (int64_t c = begin; c < end; c++) {
		float *y = w->y + (c * w->out[0] + first) * w->out[1];
		transform_products[r->isa](b->m + c * r->p.ld, w->cout * r->p.ld, b->rows * r->p.tw, rows[0], rows[1]);
		for (int64_t k = 0; k < count; k++)
			finish_row[r->isa](y + k * w->out[1], rows[k % 2] + k / 2 * 2 * r->p.tw, w->out[1],
					   w->bias ? w->bias[c] : 0, w->lo, w->hi);
		if (w->post)
			w->post(w->post_arg, c, y, count * w->out[1]);
	}
}

static void
run_blocks(void *arg, int64_t begin, int64_t end, int worker)
{
	const run *r = arg;
	for (int64_t i = begin; i < end; i++) {
		block b = block_of(r, i, worker);
		block_cells(&b, 0, r->w->cin, worker);
		block_products(&b, 0, PLANES, worker);
		block_results(&b, 0, r->w->cout, worker);
	}
}

void
hb_winograd_run(hb_ctx *cx, const hb_winograd *w)
{
	int64_t *off = w->scratch;
	float *at = (float *)w->scratch + hb_round_up(w->cin * 2, LANES);
	run r = { w, plan_of(w, cx->jobs), cx->isa, off, at, NULL };
	r.lines = at + (r.p.v + r.p.m) * (r.p.apart ? cx->jobs : 1);
	for (int64_t c = 0; c < w->cin; c++)
		off[c] = c * r.p.ld;
	if (r.p.apart) {
		hb_parallel(cx, r.p.blocks, 1, run_blocks, &r);
		return;
	}
	for (int64_t i = 0; i < r.p.blocks; i++) {
		block b = block_of(&r, i, 0);
		hb_parallel(cx, w->cin, 4, block_cells, &b);
		hb_parallel(cx, PLANES, 1, block_products, &b);
		hb_parallel(cx, w->cout, 4, block_results, &b);
	}
}
