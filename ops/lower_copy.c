/* lower_copy.c: operators that only move elements. */
#include "ops/lower.h"

/* out's part `to` (counted from its own first element) = input k's box. */
static hb_status
copy_part(hb_lower *lw, const hb_node *n, int k, const hb_box *from, const hb_tview *out)
{
	hb_tview a;

	HB_TRY(lw->view(lw, n, k, from, &a));
	return hb_lower_copy(lw, n, out, &a);
}

/* ---- Concat ---- */

static int
axis_of(const hb_node *n, const char *name)
{
	int64_t axis = hb_attr_i(n, name, 0);

	return (int)(axis < 0 ? axis + n->out[0]->shape.rank : axis);
}

static void
need_concat(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	int axis = axis_of(n, "axis");
	int64_t at = 0;

	for (int i = 0; i < k; i++)
		at += n->in[i]->shape.dim[axis];
	*in = *out;
	in->lo[axis] = HB_MAX(out->lo[axis] - at, 0);
	in->hi[axis] = HB_MIN(out->hi[axis] - at, n->in[k]->shape.dim[axis]);
}

static hb_status
lower_concat(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	int axis = axis_of(n, "axis");
	int64_t at = 0;

	for (int k = 0; k < n->nin; k++) {
		hb_box in = t->out, out = t->out;
		hb_tview v;

		in.lo[axis] = HB_MAX(t->out.lo[axis] - at, 0);
		in.hi[axis] = HB_MIN(t->out.hi[axis] - at, n->in[k]->shape.dim[axis]);
		out.lo[axis] = in.lo[axis] + at;
		out.hi[axis] = in.hi[axis] + at;
		at += n->in[k]->shape.dim[axis];
		if (hb_box_empty(&in))
			continue;
		HB_TRY(lw->view(lw, n, -1, &out, &v));
		HB_TRY(copy_part(lw, n, k, &in, &v));
	}
	return HB_OK;
}

#define MOVES HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN

const hb_sched_op hb_sched_concat = {
	.need = need_concat, .cut = MOVES, .copies = true, .lower = lower_concat,
};

/* ---- Pad ---- */

typedef enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP } pad_mode;

static pad_mode
mode_of(const hb_node *n)
{
	static const char *const names[] = { "constant", "reflect", "edge", "wrap" };
	const hb_attr *a = hb_attr_find(n, "mode");

	if (a && a->type == HB_ATTR_INT)
		return (pad_mode)a->i;
	for (int m = 0; a && m < (int)HB_LEN(names); m++)
		if (strcmp(a->s, names[m]) == 0)
			return (pad_mode)m;
	return PAD_CONSTANT;
}

/* Source index of padded index o (counted from the input's first), -1: the value. */
static int64_t
pad_source(pad_mode mode, int64_t o, int64_t extent)
{
	int64_t period;

	if (o >= 0 && o < extent)
		return o;
	switch (mode) {
	case PAD_REFLECT:
		if (extent == 1)
			return 0;
		period = 2 * (extent - 1);
		o = (o % period + period) % period;
		return o < extent ? o : period - o;
	case PAD_EDGE:
		return o < 0 ? 0 : extent - 1;
	case PAD_WRAP:
		return (o % extent + extent) % extent;
	default:
		return -1;
	}
}

/* Outputs from `lo` on whose sources are one step of +1, or all the value: how many, and the first source. */
static int64_t
pad_run(const hb_node *n, pad_mode mode, int d, int64_t lo, int64_t hi, int64_t *from)
{
	int64_t before[HB_MAX_RANK * 2], extent = n->in[0]->shape.dim[d], o = lo;

	hb_attr_list(n, "pads", 2 * n->in[0]->shape.rank, 0, before);
	*from = pad_source(mode, lo - before[d], extent);
	for (o = lo + 1; o < hi; o++) {
		int64_t s = pad_source(mode, o - before[d], extent);
		if (s != (*from < 0 ? -1 : *from + (o - lo)))
			break;
	}
	return o - lo;
}

static void
need_pad(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	int64_t before[HB_MAX_RANK * 2];
	const hb_shape *s = &n->in[0]->shape;

	(void)k;
	if (mode_of(n) != PAD_CONSTANT) {
		*in = hb_box_all(s);
		return;
	}
	hb_attr_list(n, "pads", 2 * s->rank, 0, before);
	*in = *out;
	for (int d = 0; d < s->rank; d++) {
		in->lo[d] = HB_MAX(0, out->lo[d] - before[d]);
		in->hi[d] = HB_MIN(s->dim[d], out->hi[d] - before[d]);
	}
}

/* Dimension d of the output box, in runs; `filled` where one above is. */
static hb_status
pad_dim(hb_lower *lw, const hb_node *n, pad_mode mode, int d, hb_box *out, hb_box *in, bool filled)
{
	int64_t lo = out->lo[d], hi = out->hi[d];
	hb_tview v;

	if (d == out->rank || filled) {
		HB_TRY(lw->view(lw, n, -1, out, &v));
		if (filled)
			return hb_lower_fill(lw, n, &v, (int32_t)hb_attr_i(n, "value", 0));
		return copy_part(lw, n, 0, in, &v);
	}
	for (int64_t at = lo, count, from; at < hi; at += count) {
		count = pad_run(n, mode, d, at, hi, &from);
		out->lo[d] = at;
		out->hi[d] = at + count;
		in->lo[d] = from;
		in->hi[d] = from + count;
		HB_TRY(pad_dim(lw, n, mode, d + 1, out, in, from < 0));
	}
	out->lo[d] = lo;
	out->hi[d] = hi;
	return HB_OK;
}

static hb_status
lower_pad(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	hb_box out = t->out, in = t->out;

	return pad_dim(lw, n, mode_of(n), 0, &out, &in, false);
}

const hb_sched_op hb_sched_pad = {
	.need = need_pad, .cut = MOVES, .copies = true, .lower = lower_pad,
};

/* ---- Slice ---- */

static void
need_slice(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	int64_t start[HB_MAX_RANK], step[HB_MAX_RANK];

	(void)k;
	hb_attr_list(n, "starts", out->rank, 0, start);
	hb_attr_list(n, "steps", out->rank, 1, step);
	*in = *out;
	for (int d = 0; d < out->rank; d++) {
		int64_t a = start[d] + out->lo[d] * step[d], b = start[d] + (out->hi[d] - 1) * step[d];
		in->lo[d] = HB_MIN(a, b);
		in->hi[d] = HB_MAX(a, b) + 1;
	}
}

static hb_status
slice_views(hb_lower *lw, const hb_node *n, const int64_t *step, int d, hb_tview out, hb_tview a)
{
	for (; d < out.rank; d++) {
		if (step[d] >= 0) {
			hb_tview_cut(&a, d, 0, out.ext[d], step[d] ? step[d] : 1);
			continue;
		}
		/* Strides are not negative: backwards goes one by one. */
		for (int64_t i = 0; i < out.ext[d]; i++) {
			hb_tview o = out, x = a;
			hb_tview_cut(&o, d, i, 1, 1);
			hb_tview_cut(&x, d, (out.ext[d] - 1 - i) * -step[d], 1, 1);
			HB_TRY(slice_views(lw, n, step, d + 1, o, x));
		}
		return HB_OK;
	}
	return hb_lower_copy(lw, n, &out, &a);
}

static hb_status
lower_slice(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	int64_t step[HB_MAX_RANK];
	hb_tview out, a;
	hb_box in;

	hb_attr_list(n, "steps", t->out.rank, 1, step);
	need_slice(n, 0, &t->out, &in);
	HB_TRY(lw->view(lw, n, -1, &t->out, &out));
	HB_TRY(lw->view(lw, n, 0, &in, &a));
	return slice_views(lw, n, step, 0, out, a);
}

const hb_sched_op hb_sched_slice = {
	.need = need_slice, .cut = MOVES, .copies = true, .lower = lower_slice,
};

/* ---- Transpose ---- */

static void
perm_of(const hb_node *n, int *p)
{
	int rank = n->in[0]->shape.rank;
	int64_t perm[HB_MAX_RANK];
	size_t count = 0;
	const int64_t *given = hb_attr_ints(n, "perm", &count);

	hb_attr_list(n, "perm", rank, 0, perm);
	for (int d = 0; d < rank; d++)
		p[d] = given ? (int)perm[d] : rank - 1 - d;
}

static void
need_perm(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	int p[HB_MAX_RANK];

	(void)k;
	perm_of(n, p);
	in->rank = out->rank;
	for (int d = 0; d < out->rank; d++) {
		in->lo[p[d]] = out->lo[d];
		in->hi[p[d]] = out->hi[d];
	}
}

static hb_status
lower_perm(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	int p[HB_MAX_RANK];
	hb_tview out, a;
	hb_box in;

	perm_of(n, p);
	need_perm(n, 0, &t->out, &in);
	HB_TRY(lw->view(lw, n, -1, &t->out, &out));
	HB_TRY(lw->view(lw, n, 0, &in, &a));
	hb_tview_permute(&a, p);
	return hb_lower_copy(lw, n, &out, &a);
}

const hb_sched_op hb_sched_transpose = {
	.need = need_perm, .cut = MOVES, .copies = true, .lower = lower_perm,
};

/* ---- Expand ---- */

static hb_status
lower_expand(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	hb_tview out, a;
	hb_box in;

	hb_need_same(n, 0, &t->out, &in);
	HB_TRY(lw->view(lw, n, -1, &t->out, &out));
	HB_TRY(lw->view(lw, n, 0, &in, &a));
	while (a.rank < out.rank)
		hb_tview_insert(&a, 0);
	for (int d = 0; d < out.rank; d++)
		if (a.ext[d] != out.ext[d]) {
			a.ext[d] = out.ext[d];
			a.stride[d] = 0;
		}
	return hb_lower_copy(lw, n, &out, &a);
}

const hb_sched_op hb_sched_expand = {
	.need = hb_need_same, .cut = MOVES, .copies = true, .lower = lower_expand,
};

/* ---- Reshape ---- */

static void
need_reshape(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	(void)k;
	(void)out;
	*in = hb_box_all(&n->in[0]->shape);
}

/* Dimensions of two shapes from d, e on that have one product: a block. */
typedef struct block {
	int o0, o1, i0, i1;		/* of output and input */
} block;

static int
blocks_of(const hb_shape *out, const hb_shape *in, block *b)
{
	int count = 0, o = 0, i = 0;

	while (o < out->rank || i < in->rank) {
		block *at = &b[count++];
		int64_t p, q;

		at->o0 = o;
		at->i0 = i;
		p = o < out->rank ? out->dim[o++] : 1;
		q = i < in->rank ? in->dim[i++] : 1;
		while (p != q)
			if (p < q)
				p *= out->dim[o++];
			else
				q *= in->dim[i++];
		/* What is left at the end are ones. */
		if (o == out->rank)
			i = in->rank;
		else if (i == in->rank)
			o = out->rank;
		at->o1 = o;
		at->i1 = i;
	}
	return count;
}

typedef struct reshape {
	hb_lower *lw;
	const hb_node *n;
	const hb_tile *t;
	block blocks[HB_MAX_RANK * 2];
	int nblocks;
	hb_tview out, in;		/* whole tensors' views; in as is, out of the tile's box */
	/* One row a piece chosen so far: a range of one output dimension and of one input dimension. */
	hb_tview a, b;
} reshape;

/* Elements [at, at + len) of a block, all inside one innermost row of either side, as one dimension of a and b. */
static void
add_run(reshape *r, const block *k, int64_t at, int64_t len)
{
	const hb_shape *os = &r->n->out[0]->shape, *is = &r->n->in[0]->shape;
	int64_t rest = at, so = 0, si = 0;

	for (int d = k->o1; d-- > k->o0;) {
		int64_t x = rest % os->dim[d];
		rest /= os->dim[d];
		r->a.base += (x - r->t->out.lo[d]) * r->out.stride[d];
	}
	rest = at;
	for (int d = k->i1; d-- > k->i0;) {
		int64_t x = rest % is->dim[d];
		rest /= is->dim[d];
		r->b.base += x * r->in.stride[d];
	}
	for (int d = k->o0; d < k->o1; d++)
		if (os->dim[d] > 1)
			so = r->out.stride[d];
	for (int d = k->i0; d < k->i1; d++)
		if (is->dim[d] > 1)
			si = r->in.stride[d];
	r->a.ext[r->a.rank] = r->b.ext[r->b.rank] = len;
	r->a.stride[r->a.rank++] = so;
	r->b.stride[r->b.rank++] = si;
}

/* The block's common factors, innermost first, where each side's dimensions are products of them. */
static int
factors_of(const reshape *r, const block *k, int64_t *f, int *od, int *id)
{
	const hb_shape *os = &r->n->out[0]->shape, *is = &r->n->in[0]->shape;
	int o = k->o1 - 1, i = k->i1 - 1, count = 0;
	int64_t p = 1, q = 1;		/* what is left of the current dimension of each side */

	for (;;) {
		while (p == 1 && o >= k->o0)
			p = os->dim[o--];
		while (q == 1 && i >= k->i0)
			q = is->dim[i--];
		if (p == 1 && q == 1)
			return count;
		if (count == HB_MAX_RANK || (p % q && q % p))
			return -1;
		f[count] = HB_MIN(p, q);
		od[count] = o + 1;
		id[count] = i + 1;
		p /= f[count];
		q /= f[count++];
	}
}

static hb_status blocks(reshape *r, int at);

/* Factors from the outermost on; `at` counts elements of the block, [lo, hi) is the range of the output
 * dimension that the factor belongs to, in units of what the factors so far leave. */
static hb_status
factored(reshape *r, int at, const int64_t *f, const int *od, const int *id, int count)
{
	/* Ranges of an output dimension that is cut fall into aligned pieces: at most two a factor and one body. */
	const hb_box *box = &r->t->out;
	int d, from, inner;
	int64_t lo, hi;

	if (count == 0)
		return blocks(r, at + 1);
	d = od[count - 1];
	for (from = count; from > 0 && od[from - 1] == d;)
		from--;
	lo = box->lo[d];
	hi = box->hi[d];
	for (int64_t x = lo, len; x < hi; x += len) {
		/* The longest aligned piece from x: whole steps of factor `inner`. */
		int64_t unit = 1, below = 1;

		inner = from;
		for (int j = from; j < count; j++) {
			int64_t next = below * f[j];
			if (x % below || x + below > hi)
				break;
			inner = j;
			unit = below;
			below = next;
		}
		/* Steps until the factor wraps or the range ends. */
		int64_t slot = x / unit % f[inner], steps = HB_MIN(f[inner] - slot, (hi - x) / unit);
		hb_tview a = r->a, b = r->b;
		int64_t w = 1;

		len = steps * unit;
		r->a.base += (x - lo) * r->out.stride[d];
		for (int j = from; j < count; j++) {
			int64_t x_of = x / w % f[j], si = r->in.stride[id[j]];

			/* Weight of factor j in its input dimension. */
			for (int g = j; g-- > 0 && id[g] == id[j];)
				si *= f[g];
			r->b.base += x_of * si;
			if (j < inner || (j == inner && steps > 1)) {
				int64_t n = j < inner ? f[j] : steps;
				r->a.ext[r->a.rank] = r->b.ext[r->b.rank] = n;
				r->a.stride[r->a.rank++] = w * r->out.stride[d];
				r->b.stride[r->b.rank++] = si;
			}
			w *= f[j];
		}
		HB_TRY(factored(r, at, f, od, id, from));
		r->a = a;
		r->b = b;
	}
	return HB_OK;
}

/* Rows of the box in a block without common factors: run by run. */
static hb_status
by_runs(reshape *r, int at)
{
	const block *k = &r->blocks[at];
	const hb_shape *os = &r->n->out[0]->shape, *is = &r->n->in[0]->shape;
	const hb_box *box = &r->t->out;
	int64_t idx[HB_MAX_RANK], inner = 1, row;
	int last = k->o1 - 1;

	for (int d = k->i0; d < k->i1; d++)
		if (is->dim[d] > 1)
			inner = is->dim[d];
	while (last > k->o0 && os->dim[last] == 1)
		last--;
	for (int d = k->o0; d < k->o1; d++)
		idx[d] = box->lo[d];
	for (;;) {
		row = 0;
		for (int d = k->o0; d < k->o1; d++)
			row = row * os->dim[d] + idx[d];
		for (int64_t x = 0, n = box->hi[last] - box->lo[last], len; x < n; x += len) {
			hb_tview a = r->a, b = r->b;

			len = HB_MIN(n - x, inner - (row + x) % inner);
			add_run(r, k, row + x, len);
			HB_TRY(blocks(r, at + 1));
			r->a = a;
			r->b = b;
		}
		int d = last - 1;
		for (; d >= k->o0 && ++idx[d] == box->hi[d]; d--)
			idx[d] = box->lo[d];
		if (d < k->o0)
			return HB_OK;
	}
}

static hb_status
blocks(reshape *r, int at)
{
	int64_t f[HB_MAX_RANK];
	int od[HB_MAX_RANK], id[HB_MAX_RANK], count;

	if (at == r->nblocks)
		return hb_lower_copy(r->lw, r->n, &r->a, &r->b);
	count = factors_of(r, &r->blocks[at], f, od, id);
	if (count < 0 || r->a.rank + count > HB_MAX_RANK)
		return by_runs(r, at);
	return factored(r, at, f, od, id, count);
}

static hb_status
lower_reshape(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	reshape r = { .lw = lw, .n = n, .t = t };
	hb_box all = hb_box_all(&n->in[0]->shape);

	HB_TRY(lw->view(lw, n, -1, &t->out, &r.out));
	HB_TRY(lw->view(lw, n, 0, &all, &r.in));
	r.nblocks = blocks_of(&n->out[0]->shape, &n->in[0]->shape, r.blocks);
	r.a = r.out;
	r.b = r.in;
	r.a.rank = r.b.rank = 0;
	return blocks(&r, 0);
}

const hb_sched_op hb_sched_reshape = {
	.need = need_reshape, .cut = MOVES, .copies = true, .lower = lower_reshape,
};
