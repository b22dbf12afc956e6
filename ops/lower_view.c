/* lower_view.c: boxes and strided views of any rank, brought to what an operand can be. */
#include "ops/lower.h"

bool
hb_box_empty(const hb_box *b)
{
	for (int d = 0; d < b->rank; d++)
		if (b->lo[d] >= b->hi[d])
			return true;
	return false;
}

hb_box
hb_box_all(const hb_shape *s)
{
	hb_box b = { .rank = s->rank };
	for (int d = 0; d < s->rank; d++)
		b.hi[d] = s->dim[d];
	return b;
}

void
hb_window_range(int64_t lo, int64_t hi, int64_t stride, int64_t pad, int64_t reach, int64_t extent,
		int64_t *ilo, int64_t *ihi)
{
	int64_t first = lo * stride - pad, end = (hi - 1) * stride - pad + reach;

	*ilo = HB_MAX(0, HB_MIN(first, extent - 1));
	*ihi = HB_MAX(*ilo + 1, HB_MIN(end, extent));
}

int64_t
hb_window_pad(int64_t lo, int64_t hi, int64_t stride, int64_t pad, int64_t reach, int64_t ilo)
{
	int64_t before = ilo - (lo * stride - pad);

	return before >= 0 ? before : (hi - 1 - lo) * stride + reach;
}

void
hb_need_same(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	const hb_shape *s = &n->in[k]->shape;
	int skip = out->rank - s->rank;

	in->rank = s->rank;
	for (int d = 0; d < s->rank; d++) {
		bool one = s->dim[d] == 1 || d + skip < 0;
		in->lo[d] = one ? 0 : out->lo[d + skip];
		in->hi[d] = one ? 1 : out->hi[d + skip];
	}
}

void
hb_attr_list(const hb_node *n, const char *name, int count, int64_t dflt, int64_t *out)
{
	size_t have = 0;
	const int64_t *v = hb_attr_ints(n, name, &have);

	for (int i = 0; i < count; i++)
		out[i] = v && (size_t)i < have ? v[i] : dflt;
}

/* ---- views ---- */

void
hb_tview_cut(hb_tview *v, int d, int64_t lo, int64_t count, int64_t step)
{
	v->ext[d] = count;
	if (v->ring != d) {
		v->base += lo * v->stride[d];
		v->stride[d] *= step;
		return;
	}
	v->ring_first = (v->ring_first + lo) % v->ring_rows;
	if (v->ring_first + (count - 1) * step < v->ring_rows) {
		v->base += v->ring_first * v->stride[d];
		v->ring = -1;
	} else {
		/* The emitter's rings are multiples of the steps that outputs are written with. */
		v->base += v->ring_first % step * v->stride[d];
		v->ring_first /= step;
		v->ring_rows /= step;
	}
	v->stride[d] *= step;
}

void
hb_tview_drop(hb_tview *v, int d)
{
	for (int i = d; i + 1 < v->rank; i++) {
		v->ext[i] = v->ext[i + 1];
		v->stride[i] = v->stride[i + 1];
	}
	v->rank--;
	if (v->ring > d)
		v->ring--;
}

void
hb_tview_insert(hb_tview *v, int d)
{
	for (int i = v->rank; i > d; i--) {
		v->ext[i] = v->ext[i - 1];
		v->stride[i] = v->stride[i - 1];
	}
	v->rank++;
	v->ext[d] = 1;
	v->stride[d] = 0;
	if (v->ring >= d)
		v->ring++;
}

void
hb_tview_permute(hb_tview *v, const int *p)
{
	hb_tview old = *v;

	for (int i = 0; i < v->rank; i++) {
		v->ext[i] = old.ext[p[i]];
		v->stride[i] = old.stride[p[i]];
		if (old.ring == p[i])
			v->ring = i;
	}
}

bool
hb_tview_operand(const hb_tview *v, hb_view *out)
{
	memset(out, 0, sizeof(*out));
	if (v->rank > HB_VIEW_RANK || v->ring > 0 || v->base < 0 || v->base > UINT32_MAX)
		return false;
	out->space = v->space;
	out->dtype = v->dtype;
	out->buf = v->buf;
	out->base = (uint32_t)v->base;
	out->rank = HB_MAX(v->rank, 1);
	out->ext[0] = 1;
	for (int d = 0; d < v->rank; d++) {
		if (v->ext[d] < 1 || v->ext[d] > UINT32_MAX || v->stride[d] < 0 || v->stride[d] > UINT32_MAX)
			return false;
		out->ext[d] = (uint32_t)v->ext[d];
		out->stride[d] = (uint32_t)v->stride[d];
	}
	if (v->ring == 0) {
		out->ring_rows = (uint32_t)v->ring_rows;
		out->ring_first = (uint32_t)v->ring_first;
	}
	return true;
}

/* Whether dimensions d and d + 1 of every view are one. */
static bool
merges(const hb_tview *v, int n, int d)
{
	for (int k = 0; k < n; k++)
		if (v[k].ring == d || v[k].ring == d + 1 || v[k].stride[d] != v[k].stride[d + 1] * v[k].ext[d + 1])
			return false;
	return v[0].ext[d] * v[0].ext[d + 1] <= INT32_MAX;
}

/* The first `open` dimensions in the order of view 0's memory, a ring's first; ones go, neighbours merge. */
static void
normalise(hb_tview *v, int n, int open)
{
	int p[HB_MAX_RANK], rank = v[0].rank, ring = -1;

	for (int k = 0; k < n; k++)
		if (v[k].ring >= 0 && v[k].ring < open)
			ring = v[k].ring;
	for (int i = 0; i < rank; i++)
		p[i] = i;
	for (int i = 1; i < open; i++)
		for (int j = i; j > 0; j--) {
			int a = p[j - 1], b = p[j];
			bool swap = b == ring || (a != ring && (v[0].stride[a] < v[0].stride[b] ||
				    (v[0].stride[a] == v[0].stride[b] && n > 1 && v[1].stride[a] < v[1].stride[b])));
			if (!swap)
				break;
			p[j - 1] = b;
			p[j] = a;
		}
	for (int k = 0; k < n; k++)
		hb_tview_permute(&v[k], p);
	for (int d = open; d-- > 0;) {
		if (v[0].ext[d] != 1)
			continue;
		for (int k = 0; k < n; k++) {
			if (v[k].ring == d)
				hb_tview_cut(&v[k], d, 0, 1, 1);
			hb_tview_drop(&v[k], d);
		}
		open--;
	}
	for (int d = open - 2; d >= 0; d--) {
		if (!merges(v, n, d))
			continue;
		for (int k = 0; k < n; k++) {
			v[k].ext[d + 1] *= v[k].ext[d];
			hb_tview_drop(&v[k], d);
		}
	}
}

static hb_status
unroll(hb_tview *v, int n, int max_rank, int keep, hb_tview_fn *fn, void *arg)
{
	int open, at = -1;

	normalise(v, n, v[0].rank - keep);
	open = v[0].rank - keep;
	/* A ring behind the first dimension, or in the kept ones, must be taken row by row. */
	for (int k = 0; k < n; k++)
		if (v[k].ring > 0 && v[k].ring < open)
			at = v[k].ring;
	if (at < 0 && v[0].rank > max_rank)
		for (int d = 0; d < open; d++) {
			bool ring = false;
			for (int k = 0; k < n; k++)
				ring |= v[k].ring == d;
			if (!ring && (at < 0 || v[0].ext[d] < v[0].ext[at]))
				at = d;
		}
	if (at < 0 && v[0].rank > max_rank && open > 0)
		at = 0;
	if (at < 0)
		return fn(arg, v);
	for (int64_t i = 0; i < v[0].ext[at]; i++) {
		hb_tview part[HB_MAX_OPERANDS];

		for (int k = 0; k < n; k++) {
			part[k] = v[k];
			hb_tview_cut(&part[k], at, i, 1, 1);
			hb_tview_drop(&part[k], at);
		}
		HB_TRY(unroll(part, n, max_rank, keep, fn, arg));
	}
	return HB_OK;
}

hb_status
hb_tview_unroll(const hb_tview *v, int n, int max_rank, int keep, hb_tview_fn *fn, void *arg)
{
	hb_tview part[HB_MAX_OPERANDS];

	memcpy(part, v, (size_t)n * sizeof(*v));
	return unroll(part, n, max_rank, keep, fn, arg);
}

hb_status
hb_lower_operand(hb_lower *lw, const hb_node *n, const hb_tview *v, hb_view *out)
{
	if (hb_tview_operand(v, out))
		return HB_OK;
	return hb_fail(lw->cx, n, HB_ERR_UNSUPPORTED, "operand",
		       "a view of rank %d cannot be an operand of one instruction", v->rank);
}

typedef struct job {
	hb_lower *lw;
	const hb_node *n;
	hb_insn insn;
} job;

static hb_status
emit_views(void *arg, hb_tview *v)
{
	job *j = arg;
	hb_insn i = j->insn;

	for (int k = 0; k < i.nv; k++)
		HB_TRY(hb_lower_operand(j->lw, j->n, &v[k], &i.v[k]));
	return j->lw->emit(j->lw, j->n, &i);
}

hb_status
hb_lower_each(hb_lower *lw, const hb_node *n, const hb_insn *insn, const hb_tview *v, int nv)
{
	job j = { .lw = lw, .n = n, .insn = *insn };

	j.insn.nv = nv;
	return hb_tview_unroll(v, nv, HB_VIEW_RANK, 0, emit_views, &j);
}

hb_status
hb_lower_copy(hb_lower *lw, const hb_node *n, const hb_tview *out, const hb_tview *a)
{
	hb_insn i = { .op = HB_I_copy };
	hb_tview v[2] = { *out, *a };

	return hb_lower_each(lw, n, &i, v, 2);
}

hb_status
hb_lower_fill(hb_lower *lw, const hb_node *n, const hb_tview *out, int32_t value)
{
	hb_insn i = { .op = HB_I_fill };

	i.imm[HB_IMM_fill_value] = value;
	return hb_lower_each(lw, n, &i, out, 1);
}

hb_fn
hb_attr_fn(const hb_node *n)
{
	const hb_attr *a = hb_attr_find(n, "fn");

	if (a && a->type == HB_ATTR_STRING)
		for (int f = 0; f < HB_NFNS; f++)
			if (strcmp(a->s, hb_fn_name((hb_fn)f)) == 0)
				return (hb_fn)f;
	return a && a->type == HB_ATTR_INT ? (hb_fn)a->i : HB_NFNS;
}

void
hb_lower_clamp(const hb_node *n, int32_t *qmin, int32_t *qmax)
{
	hb_dtype dt = n->out[0]->q.dtype != HB_NONE ? n->out[0]->q.dtype : n->out[0]->dtype;

	*qmin = (int32_t)hb_attr_i(n, "qmin", hb_qmin(dt));
	*qmax = (int32_t)hb_attr_i(n, "qmax", hb_qmax(dt));
}

void
hb_fill_param(const hb_node *n, const int64_t key[8], void *to)
{
	const hb_tensor *t = n->in[key[1]];

	memcpy(to, t->data, (size_t)(hb_tensor_elems(t) * (int64_t)hb_dtype_size(t->dtype)));
}

hb_status
hb_lower_param(hb_lower *lw, const hb_node *n, int k, hb_view *v)
{
	const int64_t key[8] = { -1, k }, len = hb_tensor_elems(n->in[k]);

	return lw->constant(lw, n, key, hb_fill_param, n->in[k]->dtype, 1, &len, v);
}
