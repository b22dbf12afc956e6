/* lower_horizon.c: operators that read or write at computed places. */
#include "ops/horizon.h"
#include "ops/lower.h"

#define IDENTITY_M (1 << 30)		/* with e = 1: times 1 */

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

/* ---- Correlation: for each displacement products, their sums over channels, then over windows ---- */

static hb_correlation
correlation_of(const hb_node *n)
{
	return *(const hb_correlation *)n->aux;	/* its first member */
}

static void
need_correlation(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	const hb_correlation c = correlation_of(n);
	int64_t more = k ? c.reach : 0;

	*in = hb_box_all(&n->in[k]->shape);
	in->lo[0] = out->lo[0];
	in->hi[0] = out->hi[0];
	for (int d = 2; d < 4; d++)
		hb_window_range(out->lo[d], out->hi[d], c.stride, c.pad - c.reach + more, c.kernel + 2 * more, n->in[k]->shape.dim[d], &in->lo[d],
				&in->hi[d]);
}

/* Dense room in a temp of this many elements. */
static hb_tview
dense_in(const hb_tview *temp, int rank, const int64_t *ext)
{
	hb_tview v = *temp;
	int64_t step = (int64_t)hb_dtype_size(v.dtype);

	v.rank = rank;
	for (int d = rank; d-- > 0; step *= ext[d]) {
		v.ext[d] = ext[d];
		v.stride[d] = step;
	}
	return v;
}

typedef struct displaced {
	const hb_correlation *k;
	const hb_tile *t;
	const hb_box *box[2];		/* of the two views */
	hb_tview a, b, out, products, sums;
	int64_t shift[2];
	hb_insn last;			/* the sum over windows, but its operands */
} displaced;

/* Image m, output channel q (of the tile) of one displacement. */
static hb_status
lower_displacement(hb_lower *lw, const hb_node *n, const displaced *w, int64_t m, int64_t q)
{
	const hb_correlation *k = w->k;
	const int64_t *x = n->in[0]->shape.dim, channels = x[1];
	int64_t lo[2], ext[3], first[2];
	hb_tview out = w->out, a = w->a, b = w->b;
	hb_insn sum = { .op = HB_I_reduce }, mul = { .op = HB_I_ew };

	image(&out, m);
	hb_tview_cut(&out, 2, q, 1, 1);
	for (int d = 0; d < 2; d++) {		/* where both maps have elements */
		first[d] = w->t->out.lo[2 + d] * k->stride + k->reach - k->pad;
		int64_t end = (w->t->out.hi[2 + d] - 1) * k->stride + k->reach - k->pad + k->kernel;
		lo[d] = HB_MAX(HB_MAX(first[d], 0), -w->shift[d]);
		ext[d] = HB_MIN(HB_MIN(end, x[2 + d]), x[2 + d] - w->shift[d]) - lo[d];
	}
	if (ext[0] < 1 || ext[1] < 1)
		return hb_lower_fill(lw, n, &out, (int32_t)HB_MAX(w->last.imm[HB_IMM_reduce_qmin], HB_MIN(0, w->last.imm[HB_IMM_reduce_qmax])));
	ext[2] = channels;
	image(&a, m);
	image(&b, m);
	for (int d = 0; d < 2; d++) {
		hb_tview_cut(&a, d, lo[d] - w->box[0]->lo[2 + d], ext[d], 1);
		hb_tview_cut(&b, d, lo[d] + w->shift[d] - w->box[1]->lo[2 + d], ext[d], 1);
	}
	hb_tview products = dense_in(&w->products, 3, ext), sums = dense_in(&w->sums, 3, (int64_t[]){ ext[0], ext[1], 1 });
	mul.imm[HB_IMM_ew_fn] = HB_FN_mul;
	mul.imm[HB_IMM_ew_ma] = IDENTITY_M;
	mul.imm[HB_IMM_ew_ea] = 1;
	mul.imm[HB_IMM_ew_qmin] = hb_qmin(HB_I16);
	mul.imm[HB_IMM_ew_qmax] = hb_qmax(HB_I16);
	HB_TRY(hb_lower_each(lw, n, &mul, (hb_tview[]){ products, a, b }, 3));

	products = dense_in(&w->products, 3, (int64_t[]){ ext[0] * ext[1], channels, 1 });
	sums = dense_in(&w->sums, 3, (int64_t[]){ ext[0] * ext[1], 1, 1 });
	sum.nv = 2;
	sum.imm[HB_IMM_reduce_fn] = HB_FN_sum;
	sum.imm[HB_IMM_reduce_kh] = sum.imm[HB_IMM_reduce_sh] = sum.imm[HB_IMM_reduce_sw] = 1;
	sum.imm[HB_IMM_reduce_kw] = (int32_t)channels;
	sum.imm[HB_IMM_reduce_m] = IDENTITY_M;
	sum.imm[HB_IMM_reduce_e] = 1;
	sum.imm[HB_IMM_reduce_qmin] = INT32_MIN;
	sum.imm[HB_IMM_reduce_qmax] = INT32_MAX;
	HB_TRY(hb_lower_operand(lw, n, &sums, &sum.v[0]));
	HB_TRY(hb_lower_operand(lw, n, &products, &sum.v[1]));
	HB_TRY(lw->emit(lw, n, &sum));

	hb_insn last = w->last;
	sums = dense_in(&w->sums, 3, (int64_t[]){ ext[0], ext[1], 1 });
	last.nv = 2;
	last.imm[HB_IMM_reduce_pt] = (int32_t)(lo[0] - first[0]);
	last.imm[HB_IMM_reduce_pl] = (int32_t)(lo[1] - first[1]);
	HB_TRY(hb_lower_operand(lw, n, &out, &last.v[0]));
	HB_TRY(hb_lower_operand(lw, n, &sums, &last.v[1]));
	return lw->emit(lw, n, &last);
}

static hb_status
lower_correlation(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	const hb_correlation k = correlation_of(n);
	hb_box a, b;
	displaced w = { .k = &k, .t = t, .box = { &a, &b }, .last = { .op = HB_I_reduce } };
	int32_t *imm = w.last.imm;

	need_correlation(n, 0, &t->out, &a);
	need_correlation(n, 1, &t->out, &b);
	HB_TRY(lw->view(lw, n, -1, &t->out, &w.out));
	HB_TRY(lw->view(lw, n, 0, &a, &w.a));
	HB_TRY(lw->view(lw, n, 1, &b, &w.b));
	int64_t most = (a.hi[2] - a.lo[2]) * (a.hi[3] - a.lo[3]), all = most * n->in[0]->shape.dim[1];
	HB_TRY(lw->temp(lw, n, HB_I16, 1, &all, &w.products));
	HB_TRY(lw->temp(lw, n, HB_I32, 1, &most, &w.sums));
	imm[HB_IMM_reduce_fn] = HB_FN_sum;
	imm[HB_IMM_reduce_kh] = imm[HB_IMM_reduce_kw] = (int32_t)k.kernel;
	imm[HB_IMM_reduce_sh] = imm[HB_IMM_reduce_sw] = (int32_t)k.stride;
	imm[HB_IMM_reduce_m] = (int32_t)hb_attr_i(n, "m", IDENTITY_M);
	imm[HB_IMM_reduce_e] = (int32_t)hb_attr_i(n, "e", 1);
	hb_lower_clamp(n, &imm[HB_IMM_reduce_qmin], &imm[HB_IMM_reduce_qmax]);
	for (int64_t m = 0; m < t->out.hi[0] - t->out.lo[0]; m++)
		for (int64_t q = t->out.lo[1]; q < t->out.hi[1]; q++) {
			w.shift[0] = (q / k.side - k.radius) * k.step;
			w.shift[1] = (q % k.side - k.radius) * k.step;
			HB_TRY(lower_displacement(lw, n, &w, m, q - t->out.lo[1]));
		}
	return HB_OK;
}

const hb_sched_op hb_sched_correlation = {
	.need = need_correlation, .windowed = true, .cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN, .lower = lower_correlation,
};

/* ---- Scatter: into a band with a row before and one behind it, where all that lies elsewhere goes ---- */

static void
need_scatter(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	*in = hb_box_all(&n->in[k]->shape);
	if (k == 0) {
		in->lo[1] = out->lo[1];
		in->hi[1] = out->hi[1];
	}
}

/* Index i32 views in `places`, brought to the band's rows: 0 before it, rows + 1 behind it. */
static hb_status
to_band(hb_lower *lw, const hb_node *n, const hb_tview *index, int64_t first, int64_t rows, const hb_tview *local)
{
	hb_insn i = { .op = HB_I_ew };

	i.imm[HB_IMM_ew_fn] = HB_FN_add;
	i.imm[HB_IMM_ew_ma] = i.imm[HB_IMM_ew_mb] = 2;
	i.imm[HB_IMM_ew_shift] = 1;
	i.imm[HB_IMM_ew_value] = (int32_t)(1 - first);
	i.imm[HB_IMM_ew_qmax] = (int32_t)(rows + 1);
	return hb_lower_each(lw, n, &i, (hb_tview[]){ *local, *index }, 2);
}

static hb_status
lower_scatter(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	const int64_t *d = n->out[0]->shape.dim, count = n->in[0]->shape.dim[0], wide = t->out.hi[1] - t->out.lo[1];
	int64_t high = t->out.hi[2] - t->out.lo[2], rows = high * d[3];
	hb_insn move = { .op = HB_I_copy, .nv = 3 };
	hb_tview out, x, index, loaded, local, band;
	hb_box in[2];

	move.imm[HB_IMM_copy_mode] = 2;
	for (int k = 0; k < 2; k++)
		need_scatter(n, k, &t->out, &in[k]);
	HB_TRY(lw->view(lw, n, -1, &t->out, &out));
	HB_TRY(lw->view(lw, n, 0, &in[0], &x));
	HB_TRY(lw->view(lw, n, 1, &in[1], &index));
	HB_TRY(lw->temp(lw, n, HB_I32, 1, &count, &loaded));
	HB_TRY(lw->temp(lw, n, HB_I32, 1, &count, &local));
	HB_TRY(lw->temp(lw, n, n->out[0]->dtype, 2, (int64_t[]){ rows + 2, wide }, &band));
	HB_TRY(hb_lower_copy(lw, n, &loaded, &index));
	for (int64_t m = t->out.lo[0]; m < t->out.hi[0]; m++) {
		hb_tview to = out, from = band;

		HB_TRY(to_band(lw, n, &loaded, (m * d[2] + t->out.lo[2]) * d[3], rows, &local));
		HB_TRY(hb_lower_fill(lw, n, &band, 0));
		HB_TRY(hb_lower_operand(lw, n, &band, &move.v[0]));
		HB_TRY(hb_lower_operand(lw, n, &x, &move.v[1]));
		HB_TRY(hb_lower_operand(lw, n, &local, &move.v[2]));
		HB_TRY(lw->emit(lw, n, &move));
		image(&to, m - t->out.lo[0]);
		hb_tview_cut(&from, 0, 1, rows, 1);
		from = (hb_tview){ .space = from.space, .dtype = from.dtype, .buf = from.buf, .base = from.base, .rank = 3, .ring = -1,
				   .ext = { high, d[3], wide }, .stride = { d[3] * from.stride[0], from.stride[0], from.stride[1] } };
		HB_TRY(hb_lower_copy(lw, n, &to, &from));
	}
	return HB_OK;
}

const hb_sched_op hb_sched_scatter = {
	.need = need_scatter, .windowed = true, .copies = true, .cut = HB_CUT_ROW | HB_CUT_CHAN, .lower = lower_scatter,
};

/* ---- Pick ---- */

static void
need_pick(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	*in = hb_box_all(&n->in[k]->shape);
	if (in->hi[0] > 1) {
		in->lo[0] = out->lo[0];
		in->hi[0] = out->hi[0];
	}
	if (k) {
		in->lo[1] = out->lo[1];
		in->hi[1] = out->hi[1];
	} else {
		in->lo[2] = out->lo[2];
		in->hi[2] = out->hi[2];
	}
}

static hb_status
lower_pick(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	hb_insn i = { .op = HB_I_copy, .nv = 3 };
	hb_tview v[3];
	hb_box in[2];

	i.imm[HB_IMM_copy_mode] = 1;
	HB_TRY(lw->view(lw, n, -1, &t->out, &v[0]));
	for (int k = 0; k < 2; k++) {
		need_pick(n, k, &t->out, &in[k]);
		HB_TRY(lw->view(lw, n, k, &in[k], &v[1 + k]));
	}
	for (int64_t b = 0; b < t->out.hi[0] - t->out.lo[0]; b++) {
		for (int k = 0; k < 3; k++) {
			hb_tview part = v[k];
			hb_tview_cut(&part, 0, part.ext[0] > 1 ? b : 0, 1, 1);
			hb_tview_drop(&part, 0);
			HB_TRY(hb_lower_operand(lw, n, &part, &i.v[k]));
		}
		HB_TRY(lw->emit(lw, n, &i));
	}
	return HB_OK;
}

const hb_sched_op hb_sched_pick = {
	.need = need_pick, .cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN, .lower = lower_pick,
};
