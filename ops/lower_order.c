/* lower_order.c: TopK and Take. */
#include "ops/lower.h"

static int
axis_of(const hb_node *n, int64_t dflt)
{
	int64_t axis = hb_attr_i(n, "axis", dflt);

	return (int)(axis < 0 ? axis + n->in[0]->shape.rank : axis);
}

/* Dimension `axis` last, the others in order. */
static void
axis_last(hb_tview *v, int axis)
{
	int p[HB_MAX_RANK], at = 0;

	for (int d = 0; d < v->rank; d++)
		if (d != axis)
			p[at++] = d;
	p[at] = axis;
	hb_tview_permute(v, p);
}

/* ---- TopK ---- */

static int
whole_top_k(const hb_node *n)
{
	return axis_of(n, -1);
}

static void
need_top_k(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	int axis = axis_of(n, -1);

	(void)k;
	*in = *out;
	in->lo[axis] = 0;
	in->hi[axis] = n->in[0]->shape.dim[axis];
}

typedef struct job {
	hb_lower *lw;
	const hb_node *n;
	hb_insn insn;
} job;

static hb_status
emit_sort(void *arg, hb_tview *v)
{
	job *j = arg;

	for (int k = 0; k < 3; k++)
		HB_TRY(hb_lower_operand(j->lw, j->n, &v[k], &j->insn.v[k]));
	return j->lw->emit(j->lw, j->n, &j->insn);
}

static hb_status
lower_top_k(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	job j = { .lw = lw, .n = n, .insn = { .op = HB_I_sort, .nv = 3 } };
	bool places = hb_attr_i(n, "places", 0) != 0;
	int axis = axis_of(n, -1);
	hb_tview v[3];
	hb_box in;

	j.insn.imm[HB_IMM_sort_k] = (int32_t)hb_attr_i(n, "k", 1);
	j.insn.imm[HB_IMM_sort_largest] = (int32_t)hb_attr_i(n, "largest", 1);
	need_top_k(n, 0, &t->out, &in);
	HB_TRY(lw->view(lw, n, -1, &t->out, &v[places]));
	HB_TRY(lw->view(lw, n, 0, &in, &v[2]));
	HB_TRY(lw->temp(lw, n, places ? v[2].dtype : HB_I32, v[places].rank, v[places].ext, &v[!places]));
	for (int k = 0; k < 3; k++)
		axis_last(&v[k], axis);
	return hb_tview_unroll(v, 3, HB_VIEW_RANK, 1, emit_sort, &j);
}

const hb_sched_op hb_sched_top_k = {
	.need = need_top_k, .cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN, .whole = whole_top_k, .lower = lower_top_k,
};

/* ---- Take ---- */

static int
whole_take(const hb_node *n)
{
	return axis_of(n, 0);
}

static void
need_take(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	const int32_t *v = n->in[1]->data;
	int axis = axis_of(n, 0);

	(void)k;
	*in = *out;
	in->lo[axis] = n->in[0]->shape.dim[axis] - 1;
	in->hi[axis] = 0;
	for (int64_t i = out->lo[axis]; i < out->hi[axis]; i++) {
		in->lo[axis] = HB_MIN(in->lo[axis], v[i]);
		in->hi[axis] = HB_MAX(in->hi[axis], v[i] + 1);
	}
}

/* key: 0, outputs [lo, hi), index of the view's first. */
static void
fill_places(const hb_node *n, const int64_t key[8], void *to)
{
	const int32_t *from = n->in[1]->data;
	int32_t *at = to;

	for (int64_t i = key[1]; i < key[2]; i++)
		*at++ = from[i] - (int32_t)key[3];
}

/* The axis, last in v, comes first; a ring in another dimension is taken row by row. */
static hb_status
emit_take(void *arg, hb_tview *v)
{
	job *j = arg;
	int last = v[0].rank - 1, p[HB_MAX_RANK] = { last }, ring = -1;

	for (int k = 0; k < 2; k++)
		ring = v[k].ring >= 0 && v[k].ring < last ? v[k].ring : ring;
	for (int64_t r = 0; ring >= 0 && r < v[0].ext[ring]; r++) {
		hb_tview part[2] = { v[0], v[1] };

		for (int k = 0; k < 2; k++) {
			hb_tview_cut(&part[k], ring, r, 1, 1);
			hb_tview_drop(&part[k], ring);
		}
		HB_TRY(emit_take(j, part));
	}
	if (ring >= 0)
		return HB_OK;
	for (int d = 0; d < last; d++)
		p[1 + d] = d;
	for (int k = 0; k < 2; k++) {
		hb_tview_permute(&v[k], p);
		HB_TRY(hb_lower_operand(j->lw, j->n, &v[k], &j->insn.v[k]));
	}
	return j->lw->emit(j->lw, j->n, &j->insn);
}

static hb_status
lower_take(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	job j = { .lw = lw, .n = n, .insn = { .op = HB_I_copy, .nv = 3 } };
	int axis = axis_of(n, 0);
	hb_tview v[2];
	hb_box in;

	j.insn.imm[HB_IMM_copy_mode] = 1;
	need_take(n, 0, &t->out, &in);
	HB_TRY(lw->view(lw, n, -1, &t->out, &v[0]));
	HB_TRY(lw->view(lw, n, 0, &in, &v[1]));

	const int64_t key[8] = { 0, t->out.lo[axis], t->out.hi[axis], in.lo[axis] }, len = key[2] - key[1];
	HB_TRY(lw->constant(lw, n, key, fill_places, HB_I32, 1, &len, &j.insn.v[2]));
	for (int k = 0; k < 2; k++)
		axis_last(&v[k], axis);
	return hb_tview_unroll(v, 2, HB_VIEW_RANK, 1, emit_take, &j);
}

const hb_sched_op hb_sched_take = {
	.need = need_take, .params = 1 << 1, .cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN, .whole = whole_take, .lower = lower_take,
};
