/* lower_horizon.c: operators that read at computed places. */
#include "ops/lower.h"

/* ---- Sample ---- */

/* What is read of a map depends on the places: all of it. */
static void
need_sample(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	const hb_shape *s = &n->in[k]->shape;

	*in = hb_box_all(s);
	if (k == 0) {
		if (s->dim[0] > 1) {
			in->lo[0] = out->lo[0];
			in->hi[0] = out->hi[0];
		}
		in->lo[1] = out->lo[1];
		in->hi[1] = out->hi[1];
		return;
	}
	for (int d = 0; d < 3; d++) {
		if (s->dim[d] == 1)
			continue;
		in->lo[d] = out->lo[d ? d + 1 : 0];
		in->hi[d] = out->hi[d ? d + 1 : 0];
	}
}

/* Image m of v, of a [N,C,H,W] map as rows, columns, channels. */
static void
image(hb_tview *v, int64_t m)
{
	static const int hwc[3] = { 1, 2, 0 };

	hb_tview_cut(v, 0, m, 1, 1);
	hb_tview_drop(v, 0);
	if (v->rank == 3)
		hb_tview_permute(v, hwc);
}

static hb_status
places(hb_lower *lw, const hb_node *n, int k, const hb_tile *t, int64_t m, hb_view *to)
{
	hb_tview v;
	hb_box in;

	need_sample(n, k, &t->out, &in);
	HB_TRY(lw->view(lw, n, k, &in, &v));
	image(&v, m);
	for (int d = 0; d < 2; d++) {
		if (n->in[k]->shape.dim[1 + d] > 1)
			continue;
		if (v.ring == d)
			hb_tview_cut(&v, d, 0, 1, 1);
		v.ext[d] = t->out.hi[2 + d] - t->out.lo[2 + d];
		v.stride[d] = 0;
	}
	return hb_lower_operand(lw, n, &v, to);
}

static hb_status
lower_sample(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	hb_insn i = { .op = HB_I_sample, .nv = 4 };
	hb_tview out, a;
	hb_box in;

	i.imm[HB_IMM_sample_mode] = (int32_t)(2 + hb_attr_i(n, "mode", 0) + 2 * hb_attr_i(n, "outside", 0));
	hb_lower_clamp(n, &i.imm[HB_IMM_sample_qmin], &i.imm[HB_IMM_sample_qmax]);
	need_sample(n, 0, &t->out, &in);
	HB_TRY(lw->view(lw, n, -1, &t->out, &out));
	HB_TRY(lw->view(lw, n, 0, &in, &a));
	for (int64_t m = 0; m < t->out.hi[0] - t->out.lo[0]; m++) {
		hb_tview o = out, x = a;

		image(&o, m);
		image(&x, n->in[0]->shape.dim[0] > 1 ? m : 0);
		HB_TRY(hb_lower_operand(lw, n, &o, &i.v[0]));
		HB_TRY(hb_lower_operand(lw, n, &x, &i.v[1]));
		HB_TRY(places(lw, n, 1, t, m, &i.v[2]));
		HB_TRY(places(lw, n, 2, t, m, &i.v[3]));
		HB_TRY(lw->emit(lw, n, &i));
	}
	return HB_OK;
}

const hb_sched_op hb_sched_sample = {
	.need = need_sample, .windowed = true, .plain = 1 << 1 | 1 << 2, .cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN,
	.lower = lower_sample,
};
