/* kernel.c: what each instruction does (lib/isa/insn.def has the formulas).
 * The simulator and the whole-tensor operators both call it. */
#include "lib/quant/kernel.h"
#include "lib/quant/transpose.h"
#include "lib/quant/vec.h"

#include <stdlib.h>

#define CHUNK 256			/* elements computed at a time */
#define PIECE 4096			/* elements of an inner loop that a thread takes at least */

/* ---- elements: bytes to int64 and back; views need not be aligned ---- */

#define LOAD(type)                                                      \
	for (int64_t i = 0; i < n; i++) {                               \
		type v;                                                 \
		memcpy(&v, p + i * step, sizeof(v));                    \
		dst[i] = v;                                             \
	}

#define LOADS(type)                                                     \
	do {                                                            \
		if (step == (int64_t)sizeof(type)) {                    \
			step = sizeof(type);                            \
			LOAD(type)                                      \
		} else {                                                \
			LOAD(type)                                      \
		}                                                       \
	} while (0)

void
hb_load64(const uint8_t *p, int64_t step, hb_dtype dt, int64_t n, int64_t *dst)
{
	switch (dt) {
	case HB_I8:
		LOADS(int8_t);
		break;
	case HB_U8:
		LOADS(uint8_t);
		break;
	case HB_I16:
		LOADS(int16_t);
		break;
	case HB_I32:
		LOADS(int32_t);
		break;
	case HB_I64:
		LOADS(int64_t);
		break;
	default:			/* HB_BOOL */
		for (int64_t i = 0; i < n; i++)
			dst[i] = p[i * step] != 0;
		break;
	}
}

#define STORE(type)                                                     \
	for (int64_t i = 0; i < n; i++) {                               \
		type v = (type)hb_clamp64(src[i], lo, hi);              \
		memcpy(p + i * step, &v, sizeof(v));                    \
	}

#define STORES(type)                                                    \
	do {                                                            \
		if (step == (int64_t)sizeof(type)) {                    \
			step = sizeof(type);                            \
			STORE(type)                                     \
		} else {                                                \
			STORE(type)                                     \
		}                                                       \
	} while (0)

void
hb_store64(uint8_t *p, int64_t step, hb_dtype dt, int64_t n, const int64_t *src, int64_t lo, int64_t hi)
{
	if (dt == HB_I64) {
		for (int64_t i = 0; i < n; i++)
			memcpy(p + i * step, src + i, sizeof(*src));
		return;
	}
	lo = HB_MAX(lo, hb_qmin(dt));
	hi = HB_MIN(hi, hb_qmax(dt));
	switch (dt) {
	case HB_I8:
		STORES(int8_t);
		break;
	case HB_I16:
		STORES(int16_t);
		break;
	case HB_I32:
		STORES(int32_t);
		break;
	default:			/* HB_U8, HB_BOOL */
		STORES(uint8_t);
		break;
	}
}

/* ---- several views of equal extents, in lockstep ---- */

#define WALK_MAX 4

typedef void inner(const void *arg, uint8_t *const *p, const int64_t *step, int64_t n);

typedef struct walk {
	inner *fn;
	const void *arg;
	int nv, rank;			/* merged dimensions, the last one is the inner loop */
	bool ring;			/* dimension 0 is a ring in some view: not merged */
	const hb_view *v[WALK_MAX];
	uint8_t *at[WALK_MAX];
	int64_t ext[HB_VIEW_RANK], stride[WALK_MAX][HB_VIEW_RANK];
	int64_t pieces, piece;		/* of the inner loop: how many, and elements of one */
} walk;

static void
walk_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const walk *w = arg;
	int last = w->rank - 1;
	int64_t step[WALK_MAX];

	(void)worker;
	for (int k = 0; k < w->nv; k++)
		step[k] = w->stride[k][last];
	for (int64_t i = begin; i < end; i++) {
		int64_t rest = i / w->pieces, first = i % w->pieces * w->piece;
		int64_t n = HB_MIN(w->piece, w->ext[last] - first);
		uint8_t *p[WALK_MAX];

		for (int k = 0; k < w->nv; k++)
			p[k] = w->at[k] + first * step[k];
		for (int d = last - 1; d >= 0; d--) {
			int64_t c = d ? rest % w->ext[d] : rest;

			rest /= w->ext[d];
			for (int k = 0; k < w->nv; k++)
				if (d == 0 && w->ring)
					p[k] += hb_view_row_at(w->v[k], (uint32_t)c);
				else
					p[k] += c * w->stride[k][d];
		}
		w->fn(w->arg, p, step, n);
	}
}

/* Adds a dimension outside the others of the walk, merging it with the one added before where memory allows. */
static void
walk_dim(walk *w, int *n, int64_t ext, const int64_t *stride, bool merge)
{
	if (ext == 1 && merge)
		return;
	if (*n > 0 && merge) {
		bool fits = true;

		for (int k = 0; k < w->nv; k++)
			fits = fits && stride[k] == w->stride[k][*n - 1] * w->ext[*n - 1];
		if (fits) {
			w->ext[*n - 1] *= ext;
			return;
		}
	}
	w->ext[*n] = ext;
	for (int k = 0; k < w->nv; k++)
		w->stride[k][*n] = stride[k];
	++*n;
}

static void
walk_swap(walk *w, int a, int b)
{
	int64_t t = w->ext[a];

	w->ext[a] = w->ext[b];
	w->ext[b] = t;
	for (int k = 0; k < w->nv; k++) {
		t = w->stride[k][a];
		w->stride[k][a] = w->stride[k][b];
		w->stride[k][b] = t;
	}
}

/* Calls fn over the elements of nv views of equal extents. */
static void
walk_views(hb_ctx *cx, int nv, const hb_view *const *v, uint8_t *const *at, inner *fn, const void *arg)
{
	walk w = { .fn = fn, .arg = arg, .nv = nv };
	int n = 0, rank = v[0]->rank;

	for (int k = 0; k < nv; k++) {
		w.v[k] = v[k];
		w.at[k] = at[k];
		w.ring = w.ring || v[k]->ring_rows;
	}
	for (int d = rank - 1; d >= 0; d--) {
		int64_t stride[WALK_MAX];

		for (int k = 0; k < nv; k++)
			stride[k] = v[k]->stride[d];
		if (d == 0 && w.ring) {
			if (n == 0)
				walk_dim(&w, &n, 1, stride, false);
			walk_dim(&w, &n, v[0]->ext[0], stride, false);
		} else {
			walk_dim(&w, &n, v[0]->ext[d], stride, true);
		}
	}
	if (n == 0) {
		int64_t none[WALK_MAX] = { 0 };

		walk_dim(&w, &n, 1, none, false);
	}
	/* innermost was added first: turn round, then let a long dimension be the inner loop */
	for (int d = 0; d < n / 2; d++)
		walk_swap(&w, d, n - 1 - d);
	int from = w.ring ? 1 : 0, longest = n - 1;
	if (w.ext[n - 1] < 16)
		for (int d = from; d < n; d++)
			if (w.ext[d] > w.ext[longest])
				longest = d;
	if (longest != n - 1)
		walk_swap(&w, longest, n - 1);
	w.rank = n;
	w.piece = HB_MIN(w.ext[n - 1], PIECE);
	w.pieces = hb_ceil_div(w.ext[n - 1], w.piece);

	int64_t total = w.pieces;
	for (int d = 0; d < n - 1; d++)
		total *= w.ext[d];
	hb_parallel(cx, total, HB_MAX(1, 4 * PIECE / w.piece), walk_some, &w);
}

/* ---- copy, fill ---- */

#define COPY(bytes)                                                             \
	for (int64_t i = 0; i < n; i++)                                         \
		memcpy(p[0] + i * step[0], p[1] + i * step[1], bytes)

static void
copy_inner(const void *arg, uint8_t *const *p, const int64_t *step, int64_t n)
{
	size_t size = *(const size_t *)arg;

	if (step[0] == (int64_t)size && step[1] == (int64_t)size) {
		memmove(p[0], p[1], (size_t)n * size);
		return;
	}
	switch (size) {
	case 1:
		for (int64_t i = 0; i < n; i++)
			p[0][i * step[0]] = p[1][i * step[1]];
		break;
	case 2:
		COPY(2);
		break;
	case 4:
		COPY(4);
		break;
	default:
		COPY(8);
		break;
	}
}

static void
copy(hb_ctx *cx, const hb_insn *i, uint8_t *const *at)
{
	size_t size = hb_dtype_size(i->v[0].dtype);
	const hb_view *v[2] = { &i->v[0], &i->v[1] };
	int mode = i->imm[HB_IMM_copy_mode];

	if (mode == 0 || i->nv < 3) {
		if (hb_turn_views(cx, v[0], at[0], v[1], at[1]))
			return;
		walk_views(cx, 2, v, at, copy_inner, &size);
		return;
	}
	/* a row at a time, at the place its index says */
	const hb_view *ix = &i->v[2];
	hb_view row[2] = { i->v[0], i->v[1] };
	const hb_view *rows[2] = { &row[0], &row[1] };
	uint32_t n = ix->ext[0];
	int moved = mode == 1 ? 1 : 0;	/* the operand that the index addresses */

	for (int k = 0; k < 2; k++) {
		row[k].ext[0] = 1;
		row[k].ring_rows = 0;
	}
	for (uint32_t r = 0; r < n; r++) {
		int64_t to;
		uint8_t *p[2];

		hb_load64(hb_view_row(ix, at[2], r), 4, HB_I32, 1, &to);
		to = hb_clamp64(to, 0, (int64_t)v[moved]->ext[0] - 1);
		p[moved] = hb_view_row(v[moved], at[moved], (uint32_t)to);
		p[!moved] = hb_view_row(v[!moved], at[!moved], r);
		walk_views(cx, 2, rows, p, copy_inner, &size);
	}
}

static void
fill_inner(const void *arg, uint8_t *const *p, const int64_t *step, int64_t n)
{
	const hb_insn *i = arg;
	int64_t v = i->imm[HB_IMM_fill_value];
	size_t size = hb_dtype_size(i->v[0].dtype);
	uint8_t bytes[8];

	for (size_t k = 0; k < sizeof(bytes); k++)
		bytes[k] = (uint8_t)((uint64_t)v >> (8 * k));
	for (int64_t k = 0; k < n; k++)
		memcpy(p[0] + k * step[0], bytes, size);
}

/* ---- ew ---- */

typedef struct ew_job {
	const hb_insn *i;
	int fn;
	int64_t lo, hi;
	int32_t ma, mb;
	int sha, shb;			/* right shifts of the two multipliers */
	int in[3];			/* place of a, b, c among the views, -1: the value */
} ew_job;

/* a * m * 2^-shift / b, half up; what divides by 0 takes the limit on a's side. */
static int64_t
quotient(int32_t a, int32_t b, int32_t m, int shift, int64_t lo, int64_t hi)
{
	hb_i128 n = (hb_i128)a * m, d = b * ((hb_i128)1 << HB_MIN(shift, 90)), y;

	if (b == 0)
		return a > 0 ? hi : a < 0 ? lo : 0;
	if (d < 0) {
		n = -n;
		d = -d;
	}
	n = 2 * n + d;
	d *= 2;
	y = n / d - (n % d < 0);
	return (int64_t)(y > hi ? hi : y < lo ? lo : y);
}

static void
ew_inner(const void *arg, uint8_t *const *p, const int64_t *step, int64_t n)
{
	const ew_job *j = arg;
	const hb_insn *i = j->i;
	int64_t x[3][CHUNK], y[CHUNK];
	int64_t lo = j->lo, hi = j->hi;
	int shift = HB_MIN(HB_MAX(i->imm[HB_IMM_ew_shift], 1), 62);

	for (int k = 0; k < 3; k++)
		if (j->in[k] < 0)
			for (int c = 0; c < CHUNK; c++)
				x[k][c] = i->imm[HB_IMM_ew_value];
	for (int64_t at = 0; at < n; at += CHUNK) {
		int64_t m = HB_MIN(CHUNK, n - at);

		for (int k = 0; k < 3; k++)
			if (j->in[k] > 0)
				hb_load64(p[j->in[k]] + at * step[j->in[k]], step[j->in[k]], i->v[j->in[k]].dtype, m, x[k]);
		const int64_t *a = x[0], *b = x[1], *c = x[2];
		switch (j->fn) {
		case HB_FN_add:
			for (int64_t k = 0; k < m; k++)
				y[k] = (int64_t)((uint64_t)((int64_t)(int32_t)a[k] * j->ma) + (uint64_t)((int64_t)(int32_t)b[k] * j->mb) +
						 ((uint64_t)1 << (shift - 1))) >> shift;
			break;
		case HB_FN_mul:
			for (int64_t k = 0; k < m; k++)
				y[k] = hb_requant_at((int64_t)(int32_t)a[k] * (int32_t)b[k], j->ma, j->sha);
			break;
		case HB_FN_div:
			for (int64_t k = 0; k < m; k++)
				y[k] = quotient((int32_t)a[k], (int32_t)b[k], j->ma, j->sha, lo, hi);
			break;
		case HB_FN_max:
		case HB_FN_min:
			for (int64_t k = 0; k < m; k++) {
				int64_t u = hb_clamp64(hb_requant_at(a[k], j->ma, j->sha), lo, hi);
				int64_t v = hb_clamp64(hb_requant_at(b[k], j->mb, j->shb), lo, hi);

				y[k] = (j->fn == HB_FN_max) == (u > v) ? u : v;
			}
			break;
		case HB_FN_lt:
		case HB_FN_le:
		case HB_FN_eq:
			for (int64_t k = 0; k < m; k++) {
				int64_t u = hb_requant_at(a[k], j->ma, j->sha), v = hb_requant_at(b[k], j->mb, j->shb);

				y[k] = j->fn == HB_FN_lt ? u < v : j->fn == HB_FN_le ? u <= v : u == v;
			}
			break;
		case HB_FN_select:
			for (int64_t k = 0; k < m; k++)
				y[k] = a[k] ? hb_requant_at(b[k], j->ma, j->sha) : hb_requant_at(c[k], j->mb, j->shb);
			break;
		case HB_FN_abs:
			for (int64_t k = 0; k < m; k++) {
				int64_t u = hb_requant_at(a[k], j->ma, j->sha);

				y[k] = u < 0 ? -HB_MAX(u, -INT64_MAX) : u;
			}
			break;
		default:		/* cast */
			for (int64_t k = 0; k < m; k++)
				y[k] = hb_requant_at(a[k], j->ma, j->sha);
			break;
		}
		hb_store64(p[0] + at * step[0], step[0], i->v[0].dtype, m, y, lo, hi);
	}
}

static void
ew(hb_ctx *cx, const hb_insn *i, uint8_t *const *at)
{
	ew_job j = {
		.i = i, .fn = i->imm[HB_IMM_ew_fn], .lo = i->imm[HB_IMM_ew_qmin], .hi = i->imm[HB_IMM_ew_qmax],
		.ma = i->imm[HB_IMM_ew_ma], .mb = i->imm[HB_IMM_ew_mb],
		.sha = hb_requant_shift(i->imm[HB_IMM_ew_ea]), .shb = hb_requant_shift(i->imm[HB_IMM_ew_eb]),
	};
	const hb_view *v[WALK_MAX];
	int nv = HB_MIN(i->nv, WALK_MAX);

	for (int k = 0; k < 3; k++)
		j.in[k] = k + 1 < nv ? k + 1 : -1;
	for (int k = 0; k < nv; k++)
		v[k] = &i->v[k];
	walk_views(cx, nv, v, at, ew_inner, &j);
}

/* ---- lut ---- */

#define LUT_ROW 68

typedef struct lut_job {
	const hb_insn *i;
	int64_t table[256];		/* kind 0, where one serves all */
	bool each;			/* kind 0: the third view says where each element's is */
	const uint8_t *seg;		/* kind 1 */
	int64_t nseg, seg_step;
	int64_t lo, hi;
} lut_job;

static int32_t
lut_at(const lut_job *j, int64_t s, int k)
{
	int32_t v;

	memcpy(&v, j->seg + (s * LUT_ROW + k) * j->seg_step, sizeof(v));
	return v;
}

static int64_t
lut_segment(const lut_job *j, int64_t x)
{
	int64_t s = 0, end = j->nseg;

	while (end - s > 1) {
		int64_t mid = (s + end) / 2;

		if (lut_at(j, mid, 0) <= x)
			s = mid;
		else
			end = mid;
	}

	int sh = (int)hb_clamp64(lut_at(j, s, 1), 0, 10), frac = (int)hb_clamp64(lut_at(j, s, 2), 1, 12);
	int64_t d = hb_clamp64(x - lut_at(j, s, 0), 0, ((int64_t)64 << sh) - 1);
	int64_t k = d >> sh, f = d & (((int64_t)1 << sh) - 1);
	int64_t y0 = lut_at(j, s, 3 + (int)k), y1 = lut_at(j, s, 4 + (int)k);

	return (y0 * (((int64_t)1 << sh) - f) + y1 * f + ((int64_t)1 << (sh + frac - 1))) >> (sh + frac);
}

/* Each element by the table that the third view has for it. */
static void
look_up_each(const lut_job *j, uint8_t *const *p, const int64_t *step, int64_t n)
{
	hb_dtype to = j->i->v[0].dtype, of = j->i->v[2].dtype;
	uint8_t flip = j->i->v[1].dtype == HB_I8 ? 0x80 : 0;
	int64_t size = (int64_t)hb_dtype_size(of), x[CHUNK];

	for (int64_t at = 0; at < n; at += CHUNK) {
		int64_t m = HB_MIN(CHUNK, n - at);

		for (int64_t k = at; k < at + m; k++)
			hb_load64(p[2] + k * step[2] + (p[1][k * step[1]] ^ flip) * size, size, of, 1, &x[k - at]);
		hb_store64(p[0] + at * step[0], step[0], to, m, x, j->lo, j->hi);
	}
}

static void
lut_inner(const void *arg, uint8_t *const *p, const int64_t *step, int64_t n)
{
	const lut_job *j = arg;
	const hb_view *out = &j->i->v[0], *a = &j->i->v[1];
	int64_t x[CHUNK];

	if (j->each) {
		look_up_each(j, p, step, n);
		return;
	}
	if (j->i->imm[HB_IMM_lut_kind] == 0 && a->dtype == HB_I8 && out->dtype == HB_I8) {
		for (int64_t k = 0; k < n; k++)
			p[0][k * step[0]] = (uint8_t)j->table[p[1][k * step[1]] ^ 0x80];
		return;
	}
	for (int64_t at = 0; at < n; at += CHUNK) {
		int64_t m = HB_MIN(CHUNK, n - at);

		hb_load64(p[1] + at * step[1], step[1], a->dtype, m, x);
		if (j->i->imm[HB_IMM_lut_kind] == 0) {
			int off = a->dtype == HB_I8 ? 128 : 0;

			for (int64_t k = 0; k < m; k++)
				x[k] = j->table[hb_clamp64(x[k] + off, 0, 255)];
		} else {
			for (int64_t k = 0; k < m; k++)
				x[k] = lut_segment(j, x[k]);
		}
		hb_store64(p[0] + at * step[0], step[0], out->dtype, m, x, j->lo, j->hi);
	}
}

static void
lut(hb_ctx *cx, const hb_insn *i, uint8_t *const *at)
{
	const hb_view *t = &i->v[2];
	hb_view first = *t;			/* entry of each table */
	const hb_view *v[3] = { &i->v[0], &i->v[1], &first };
	hb_dtype dt = i->v[0].dtype;
	lut_job j = {
		.i = i, .each = i->imm[HB_IMM_lut_kind] == 0 && t->rank > 1, .lo = HB_MAX(i->imm[HB_IMM_lut_qmin], hb_qmin(dt)), .hi = HB_MIN(i->imm[HB_IMM_lut_qmax], hb_qmax(dt)),
		.seg = at[2], .nseg = t->ext[0] / LUT_ROW, .seg_step = t->stride[0],
	};

	first.rank--;
	if (i->imm[HB_IMM_lut_kind] == 0 && !j.each) {
		hb_load64(at[2], t->stride[0], t->dtype, HB_MIN(t->ext[0], 256), j.table);
		for (int k = 0; k < 256; k++)
			j.table[k] = hb_clamp64(j.table[k], j.lo, j.hi);
	}
	walk_views(cx, j.each ? 3 : 2, v, at, lut_inner, &j);
}

/* ---- reduce: rows, cols, channels ---- */

typedef struct win_job {
	const hb_insn *i;
	uint8_t *const *at;
} win_job;

/* out = max(out, a) or min, on n bytes that hold int8. */
HB_VEC_BODY(max8, (int8_t *restrict out, const int8_t *restrict a, int64_t n), {
	for (int64_t i = 0; i < n; i++)
		out[i] = a[i] > out[i] ? a[i] : out[i];
})

HB_VEC_BODY(min8, (int8_t *restrict out, const int8_t *restrict a, int64_t n), {
	for (int64_t i = 0; i < n; i++)
		out[i] = a[i] < out[i] ? a[i] : out[i];
})

/* The taps of a window of `k` at o*s - p that lie inside `size`: [*from, *to). */
static void
taps(int64_t o, int64_t s, int64_t p, int64_t k, int64_t size, int64_t *from, int64_t *to)
{
	int64_t at = o * s - p;

	*from = at < 0 ? HB_MIN(-at, k) : 0;
	*to = HB_MAX(*from, HB_MIN(k, size - at));
}

static void
reduce_cell(hb_ctx *cx, const win_job *j, int64_t oy, int64_t ox, int64_t c0, int64_t m)
{
	const hb_insn *i = j->i;
	const int32_t *im = i->imm;
	const hb_view *out = &i->v[0], *a = &i->v[1];
	int64_t acc[CHUNK], best[CHUNK], x[CHUNK], y0, y1, x0, x1;
	int fn = im[HB_IMM_reduce_fn];
	uint8_t *to = hb_view_row(out, j->at[0], (uint32_t)oy) + ox * out->stride[1] + c0 * out->stride[2];
	int64_t lo = im[HB_IMM_reduce_qmin], hi = im[HB_IMM_reduce_qmax];
	bool bytes = (fn == HB_FN_max || fn == HB_FN_min) && a->dtype == HB_I8 && out->dtype == HB_I8 && a->stride[2] == 1;
	bool greatest = fn == HB_FN_max || fn == HB_FN_argmax;
	bool index = fn == HB_FN_argmax || fn == HB_FN_argmin;
	int8_t small[CHUNK];

	taps(oy, im[HB_IMM_reduce_sh], im[HB_IMM_reduce_pt], im[HB_IMM_reduce_kh], a->ext[0], &y0, &y1);
	taps(ox, im[HB_IMM_reduce_sw], im[HB_IMM_reduce_pl], im[HB_IMM_reduce_kw], a->ext[1], &x0, &x1);
	memset(small, fn == HB_FN_max ? INT8_MIN : INT8_MAX, sizeof(small));
	for (int64_t k = 0; k < m; k++) {
		acc[k] = 0;
		best[k] = fn == HB_FN_max || fn == HB_FN_argmax ? INT64_MIN : INT64_MAX;
	}
	for (int64_t ky = y0; ky < y1; ky++) {
		const uint8_t *row = hb_view_row(a, j->at[1], (uint32_t)(oy * im[HB_IMM_reduce_sh] - im[HB_IMM_reduce_pt] + ky));

		for (int64_t kx = x0; kx < x1; kx++) {
			int64_t ix = ox * im[HB_IMM_reduce_sw] - im[HB_IMM_reduce_pl] + kx;
			const uint8_t *p = row + ix * a->stride[1] + c0 * a->stride[2];

			if (bytes) {
				if (fn == HB_FN_max)
					HB_VEC_CALL(cx->isa, max8, (small, (const int8_t *)p, m));
				else
					HB_VEC_CALL(cx->isa, min8, (small, (const int8_t *)p, m));
				continue;
			}
			hb_load64(p, a->stride[2], a->dtype, m, x);
			if (fn == HB_FN_sum) {
				for (int64_t k = 0; k < m; k++)
					acc[k] = (int64_t)((uint64_t)acc[k] + (uint64_t)x[k]);
			} else if (fn == HB_FN_sumsq) {
				for (int64_t k = 0; k < m; k++)
					acc[k] = (int64_t)((uint64_t)acc[k] + (uint64_t)x[k] * (uint64_t)x[k]);
			} else {
				for (int64_t k = 0; k < m; k++)
					if (greatest ? x[k] > best[k] : x[k] < best[k]) {
						best[k] = x[k];
						acc[k] = index ? ky * im[HB_IMM_reduce_kw] + kx : x[k];
					}
			}
		}
	}
	if (bytes) {
		for (int64_t k = 0; k < m; k++)
			acc[k] = small[k];
	} else if (fn == HB_FN_sum || fn == HB_FN_sumsq) {
		int shift = hb_requant_shift(im[HB_IMM_reduce_e]);

		for (int64_t k = 0; k < m; k++)
			acc[k] = hb_requant_at(acc[k], im[HB_IMM_reduce_m], shift);
	}
	if ((fn == HB_FN_max || fn == HB_FN_min) && (y0 == y1 || x0 == x1))
		for (int64_t k = 0; k < m; k++)
			acc[k] = fn == HB_FN_max ? lo : hi;
	hb_store64(to, out->stride[2], out->dtype, m, acc, lo, hi);
}

typedef struct reduce_job {
	hb_ctx *cx;
	win_job w;
	int64_t blocks;			/* of channels */
} reduce_job;

static void
reduce_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const reduce_job *j = arg;
	const hb_view *out = &j->w.i->v[0];

	(void)worker;
	for (int64_t p = begin; p < end; p++) {
		int64_t c0 = p % j->blocks * CHUNK, cell = p / j->blocks;

		reduce_cell(j->cx, &j->w, cell / out->ext[1], cell % out->ext[1], c0, HB_MIN(CHUNK, out->ext[2] - c0));
	}
}

static void
reduce(hb_ctx *cx, const hb_insn *i, uint8_t *const *at)
{
	const hb_view *out = &i->v[0];
	reduce_job j = { cx, { i, at }, hb_ceil_div(out->ext[2], CHUNK) };
	int64_t work = (int64_t)i->imm[HB_IMM_reduce_kh] * i->imm[HB_IMM_reduce_kw] * HB_MIN(out->ext[2], CHUNK);

	hb_parallel(cx, j.blocks * out->ext[0] * out->ext[1], HB_MAX(1, 4 * PIECE / HB_MAX(work, 1)), reduce_some, &j);
}

/* ---- sample ---- */

static void
table_pair(const hb_view *v, uint8_t *at, uint32_t i, uint32_t size, int64_t *first, int64_t *next, int64_t *weight)
{
	const uint8_t *p = hb_view_row(v, at, i);
	int64_t x[2];

	hb_load64(p, v->stride[1], HB_I32, 2, x);
	*first = hb_clamp64(x[0], 0, (int64_t)size - 1);
	*next = HB_MIN(*first + 1, (int64_t)size - 1);
	*weight = hb_clamp64(x[1], 0, 2048);
}

static void
sample_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const win_job *j = arg;
	const hb_insn *i = j->i;
	const hb_view *out = &i->v[0], *a = &i->v[1];
	size_t size = hb_dtype_size(a->dtype);
	bool nearest = i->imm[HB_IMM_sample_mode] == 0;

	(void)worker;
	for (int64_t oy = begin; oy < end; oy++) {
		int64_t r0, r1, wy;

		table_pair(&i->v[2], j->at[2], (uint32_t)oy, a->ext[0], &r0, &r1, &wy);
		const uint8_t *top = hb_view_row(a, j->at[1], (uint32_t)r0), *low = hb_view_row(a, j->at[1], (uint32_t)r1);
		uint8_t *to = hb_view_row(out, j->at[0], (uint32_t)oy);

		for (uint32_t ox = 0; ox < out->ext[1]; ox++, to += out->stride[1]) {
			int64_t c0, c1, wx;

			table_pair(&i->v[3], j->at[3], ox, a->ext[1], &c0, &c1, &wx);
			int64_t left = c0 * a->stride[1], right = c1 * a->stride[1];

			if (nearest && a->dtype == out->dtype) {
				int64_t step[2] = { out->stride[2], a->stride[2] };
				uint8_t *p[2] = { to, (uint8_t *)top + left };

				copy_inner(&size, p, step, out->ext[2]);
				continue;
			}
			for (int64_t c = 0; c < out->ext[2]; c += CHUNK) {
				int64_t n = HB_MIN(CHUNK, out->ext[2] - c), off = c * a->stride[2];
				int64_t p[4][CHUNK], y[CHUNK];

				hb_load64(top + left + off, a->stride[2], a->dtype, n, p[0]);
				hb_load64(top + right + off, a->stride[2], a->dtype, n, p[1]);
				hb_load64(low + left + off, a->stride[2], a->dtype, n, p[2]);
				hb_load64(low + right + off, a->stride[2], a->dtype, n, p[3]);
				for (int64_t k = 0; k < n; k++) {
					int64_t u = p[0][k] * (2048 - wx) + p[1][k] * wx;
					int64_t v = p[2][k] * (2048 - wx) + p[3][k] * wx;

					y[k] = nearest ? p[0][k] : (u * (2048 - wy) + v * wy + (1 << 21)) >> 22;
				}
				hb_store64(to + c * out->stride[2], out->stride[2], out->dtype, n, y,
					   i->imm[HB_IMM_sample_qmin], i->imm[HB_IMM_sample_qmax]);
			}
		}
	}
}

enum { PLACE_ONE = 1 << 16, OUTSIDE_EDGE = 0, OUTSIDE_ZERO, OUTSIDE_FAR };

/* The two elements of an extent that place x lies between, and their weights; -1: none, its weight is 0. */
static void
neighbours(int64_t x, int64_t extent, int outside, bool linear, int64_t index[2], int64_t weight[2])
{
	bool far = outside == OUTSIDE_FAR && (x < -PLACE_ONE || x > extent * PLACE_ONE);

	if (outside != OUTSIDE_ZERO)
		x = hb_clamp64(x, 0, (extent - 1) * PLACE_ONE);
	index[0] = x >> 16;
	weight[1] = x & (PLACE_ONE - 1);
	if (!linear) {
		index[0] += weight[1] > PLACE_ONE / 2 || (weight[1] == PLACE_ONE / 2 && index[0] % 2 != 0);
		weight[1] = 0;
	}
	index[1] = index[0] + 1;
	weight[0] = PLACE_ONE - weight[1];
	for (int k = 0; k < 2; k++)
		if (far || index[k] < 0 || index[k] >= extent)
			weight[k] = 0;
}

static void
sample_places(void *arg, int64_t begin, int64_t end, int worker)
{
	const win_job *j = arg;
	const hb_insn *i = j->i;
	const hb_view *out = &i->v[0], *a = &i->v[1];
	int outside = (i->imm[HB_IMM_sample_mode] - 2) / 2;
	bool linear = i->imm[HB_IMM_sample_mode] % 2;
	int shift = out->dtype == a->dtype ? 32 : 24;

	(void)worker;
	for (int64_t at = begin; at < end; at++) {
		uint32_t oy = (uint32_t)(at / out->ext[1]), ox = (uint32_t)(at % out->ext[1]);
		int64_t y, x, iy[2], ix[2], wy[2], wx[2];

		hb_load64(hb_view_row(&i->v[2], j->at[2], oy) + ox * (size_t)i->v[2].stride[1], 0, HB_I32, 1, &y);
		hb_load64(hb_view_row(&i->v[3], j->at[3], oy) + ox * (size_t)i->v[3].stride[1], 0, HB_I32, 1, &x);
		neighbours(y, a->ext[0], outside, linear, iy, wy);
		neighbours(x, a->ext[1], outside, linear, ix, wx);
		uint8_t *to = hb_view_row(out, j->at[0], oy) + ox * (size_t)out->stride[1];
		for (int64_t c = 0; c < out->ext[2]; c += CHUNK) {
			int64_t n = HB_MIN(CHUNK, out->ext[2] - c), p[CHUNK], sum[CHUNK] = { 0 };

			for (int t = 0; t < 4; t++) {
				int64_t w = wy[t / 2] * wx[t % 2];
				if (!w)
					continue;
				hb_load64(hb_view_row(a, j->at[1], (uint32_t)iy[t / 2]) + ix[t % 2] * a->stride[1] + c * a->stride[2],
					  a->stride[2], a->dtype, n, p);
				for (int64_t k = 0; k < n; k++)
					sum[k] += linear ? p[k] * w : p[k];
			}
			for (int64_t k = 0; k < n && linear; k++)
				sum[k] = (sum[k] + (INT64_C(1) << (shift - 1))) >> shift;
			hb_store64(to + c * out->stride[2], out->stride[2], out->dtype, n, sum, i->imm[HB_IMM_sample_qmin],
				   i->imm[HB_IMM_sample_qmax]);
		}
	}
}

static void
sample(hb_ctx *cx, const hb_insn *i, uint8_t *const *at)
{
	win_job j = { i, at };
	int64_t row = (int64_t)i->v[0].ext[1] * i->v[0].ext[2];

	if (i->imm[HB_IMM_sample_mode] > 1)
		hb_parallel(cx, (int64_t)i->v[0].ext[0] * i->v[0].ext[1], HB_MAX(1, PIECE / 8 / i->v[0].ext[2]), sample_places, &j);
	else
		hb_parallel(cx, i->v[0].ext[0], HB_MAX(1, PIECE / row), sample_some, &j);
}

/* ---- all of them ---- */

size_t
hb_kernel_scratch(const hb_ctx *cx, const hb_insn *i)
{
	switch (i->op) {
	case HB_I_conv:
		return hb_kernel_conv_scratch(cx, i);
	case HB_I_rows:
	case HB_I_sort:
		return hb_kernel_rows_scratch(cx, i);
	default:
		return 0;
	}
}

void
hb_kernel(hb_ctx *cx, const hb_insn *i, uint8_t *const *at, void *scratch)
{
	const hb_view *out = &i->v[0];

	switch (i->op) {
	case HB_I_copy:
		copy(cx, i, at);
		break;
	case HB_I_fill:
		walk_views(cx, 1, &out, at, fill_inner, i);
		break;
	case HB_I_conv:
		hb_kernel_conv(cx, i, at, scratch);
		break;
	case HB_I_reduce:
		reduce(cx, i, at);
		break;
	case HB_I_ew:
		ew(cx, i, at);
		break;
	case HB_I_lut:
		lut(cx, i, at);
		break;
	case HB_I_sample:
		sample(cx, i, at);
		break;
	case HB_I_rows:
		hb_kernel_rows(cx, i, at, scratch);
		break;
	case HB_I_sort:
		hb_kernel_sort(i, at, scratch);
		break;
	default:
		break;
	}
}
