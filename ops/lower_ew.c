/* lower_ew.c: element-wise operators, lookups, row kernels. */
#include "ops/lower.h"

/* Input k's view of the output box, with leading ones and stride 0 where it is repeated. */
static hb_status
operand_view(hb_lower *lw, const hb_node *n, int k, const hb_box *out, hb_tview *v)
{
	hb_box in;

	hb_need_same(n, k, out, &in);
	HB_TRY(lw->view(lw, n, k, &in, v));
	while (v->rank < out->rank)
		hb_tview_insert(v, 0);
	for (int d = 0; d < out->rank; d++)
		if (v->ext[d] == 1 && out->hi[d] - out->lo[d] > 1) {
			v->ext[d] = out->hi[d] - out->lo[d];
			v->stride[d] = 0;
		}
	return HB_OK;
}

static hb_status
lower_ew(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	hb_insn i = { .op = HB_I_ew };
	hb_tview v[4];
	int nv = 1;

	i.imm[HB_IMM_ew_fn] = (int32_t)hb_attr_fn(n);
	bool adds = i.imm[HB_IMM_ew_fn] == HB_FN_add;
	int64_t m = adds ? 0 : 1 << 30, one = adds ? 0 : 1;	/* by default 1 */
	i.imm[HB_IMM_ew_ma] = (int32_t)hb_attr_i(n, "ma", m);
	i.imm[HB_IMM_ew_ea] = (int32_t)hb_attr_i(n, "ea", one);
	i.imm[HB_IMM_ew_mb] = (int32_t)hb_attr_i(n, "mb", m);
	i.imm[HB_IMM_ew_eb] = (int32_t)hb_attr_i(n, "eb", one);
	i.imm[HB_IMM_ew_shift] = (int32_t)hb_attr_i(n, "shift", adds);
	i.imm[HB_IMM_ew_value] = (int32_t)hb_attr_i(n, "value", 0);
	hb_lower_clamp(n, &i.imm[HB_IMM_ew_qmin], &i.imm[HB_IMM_ew_qmax]);
	HB_TRY(lw->view(lw, n, -1, &t->out, &v[0]));
	for (int k = 0; k < n->nin && nv < 4; k++)
		if (n->in[k])
			HB_TRY(operand_view(lw, n, k, &t->out, &v[nv++]));
	return hb_lower_each(lw, n, &i, v, nv);
}

const hb_sched_op hb_sched_ew = {
	.need = hb_need_same, .cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN, .lower = lower_ew,
};

typedef struct table_job {
	hb_lower *lw;
	const hb_node *n;
	hb_insn insn;
	int first;			/* operand behind the views: tables stand in insn.v from here */
} table_job;

static hb_status
emit_tables(void *arg, hb_tview *v)
{
	table_job *j = arg;
	hb_insn i = j->insn;

	for (int k = 0; k < j->first; k++) {
		if (i.op == HB_I_rows && v[k].rank < 2)
			hb_tview_insert(&v[k], 0);
		HB_TRY(hb_lower_operand(j->lw, j->n, &v[k], &i.v[k]));
	}
	return j->lw->emit(j->lw, j->n, &i);
}

/* Rows [key[1], key[2]) of the tables. */
static void
fill_tables(const hb_node *n, const int64_t key[8], void *to)
{
	const hb_tensor *t = n->in[1];
	size_t row = 256 * hb_dtype_size(t->dtype);

	memcpy(to, (const uint8_t *)t->data + (size_t)key[1] * row, (size_t)(key[2] - key[1]) * row);
}

static hb_status
emit_each(void *arg, hb_tview *v)
{
	table_job *j = arg;
	hb_insn i = j->insn;

	for (int k = 0; k < 3; k++) {
		if (k < 2)
			hb_tview_drop(&v[k], v[k].rank - 1);
		HB_TRY(hb_lower_operand(j->lw, j->n, &v[k], &i.v[k]));
	}
	return j->lw->emit(j->lw, j->n, &i);
}

/* A table a channel: behind the output's dimensions a last one counts through the entries of each element's. */
static hb_status
lower_tables(hb_lower *lw, const hb_node *n, const hb_tile *t, table_job *j, hb_tview v[3])
{
	const int64_t key[8] = { -2, t->out.lo[1], t->out.hi[1] }, ext[2] = { key[2] - key[1], 256 };
	hb_view all;

	HB_TRY(lw->constant(lw, n, key, fill_tables, n->in[1]->dtype, 2, ext, &all));
	for (int k = 0; k < 2; k++)
		hb_tview_insert(&v[k], v[k].rank);
	v[2] = v[1];
	v[2].space = all.space;
	v[2].dtype = all.dtype;
	v[2].buf = all.buf;
	v[2].base = all.base;
	v[2].ring = -1;
	for (int d = 0; d < v[2].rank; d++)
		v[2].stride[d] = d == 1 ? all.stride[0] : 0;
	v[2].ext[v[2].rank - 1] = 256;
	v[2].stride[v[2].rank - 1] = all.stride[1];
	return hb_tview_unroll(v, 3, HB_VIEW_RANK, 1, emit_each, j);
}

static hb_status
lower_lut(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	table_job j = { .lw = lw, .n = n, .insn = { .op = HB_I_lut, .nv = 3 }, .first = 2 };
	hb_tview v[3];

	j.insn.imm[HB_IMM_lut_kind] = (int32_t)hb_attr_i(n, "kind", 0);
	hb_lower_clamp(n, &j.insn.imm[HB_IMM_lut_qmin], &j.insn.imm[HB_IMM_lut_qmax]);
	HB_TRY(lw->view(lw, n, -1, &t->out, &v[0]));
	HB_TRY(lw->view(lw, n, 0, &t->out, &v[1]));
	if (n->in[1]->shape.rank > 1)
		return lower_tables(lw, n, t, &j, v);
	HB_TRY(hb_lower_param(lw, n, 1, &j.insn.v[2]));
	return hb_tview_unroll(v, 2, HB_VIEW_RANK, 0, emit_tables, &j);
}

const hb_sched_op hb_sched_lut = {
	.need = hb_need_same, .params = 1 << 1, .cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN, .lower = lower_lut,
};

/* ---- Rows ---- */

static int
rows_axis(const hb_node *n)
{
	int64_t axis = hb_attr_i(n, "axis", -1);
	int rank = n->in[0]->shape.rank;

	return (int)(axis < 0 ? axis + rank : axis);
}

static void
need_rows(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	int axis = rows_axis(n);

	hb_need_same(n, k, out, in);
	in->lo[axis] = 0;
	in->hi[axis] = n->in[0]->shape.dim[axis];
}

static hb_status
lower_rows(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	table_job j = { .lw = lw, .n = n, .insn = { .op = HB_I_rows, .nv = 2 }, .first = 2 };
	hb_tview v[2];
	int p[HB_MAX_RANK], axis = rows_axis(n), at = 0;

	j.insn.imm[HB_IMM_rows_fn] = (int32_t)hb_attr_fn(n);
	j.insn.imm[HB_IMM_rows_m] = (int32_t)hb_attr_i(n, "m", 1 << 30);
	j.insn.imm[HB_IMM_rows_e] = (int32_t)hb_attr_i(n, "e", 1);
	j.insn.imm[HB_IMM_rows_m2] = (int32_t)hb_attr_i(n, "m2", 1 << 30);
	j.insn.imm[HB_IMM_rows_e2] = (int32_t)hb_attr_i(n, "e2", 1);
	j.insn.imm[HB_IMM_rows_value] = (int32_t)hb_attr_i(n, "value", 0);
	hb_lower_clamp(n, &j.insn.imm[HB_IMM_rows_qmin], &j.insn.imm[HB_IMM_rows_qmax]);
	HB_TRY(lw->view(lw, n, -1, &t->out, &v[0]));
	HB_TRY(lw->view(lw, n, 0, &t->out, &v[1]));
	for (int k = 1; k < n->nin && k < 3; k++)
		if (n->in[k])
			HB_TRY(hb_lower_param(lw, n, k, &j.insn.v[j.insn.nv++]));
	for (int d = 0; d < v[0].rank; d++)
		if (d != axis)
			p[at++] = d;
	p[at] = axis;
	for (int k = 0; k < 2; k++)
		hb_tview_permute(&v[k], p);
	return hb_tview_unroll(v, 2, HB_VIEW_RANK, 1, emit_tables, &j);
}

/* Cut across its axis only: the emitter leaves a dimension whole where .whole names it. */
static int
whole_rows(const hb_node *n)
{
	return rows_axis(n);
}

const hb_sched_op hb_sched_rows = {
	.need = need_rows, .params = 1 << 1 | 1 << 2, .cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN,
	.whole = whole_rows, .lower = lower_rows,
};
