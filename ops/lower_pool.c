/* lower_pool.c: windows and reductions on VEC, and resize. */
#include "ops/lower.h"

#define IDENTITY_M (1 << 30)		/* with e = 1: a sum as it is */
#define SIDE_MAX 65535			/* of a window */

/* ---- pools ---- */

typedef struct window {
	int ns;
	int64_t k[2], s[2], pb[2], pe[2];	/* kernel, stride, pads before and behind: rows, columns */
} window;

static window
window_of(const hb_node *n)
{
	window w = { .ns = n->in[0]->shape.rank - 2, .k = { 1, 1 }, .s = { 1, 1 } };
	int64_t k[2], s[2], p[4];

	hb_attr_list(n, "kernel_shape", w.ns, 1, k);
	hb_attr_list(n, "strides", w.ns, 1, s);
	hb_attr_list(n, "pads", 2 * w.ns, 0, p);
	for (int i = 0; i < w.ns; i++) {
		int at = i + 2 - w.ns;
		w.k[at] = k[i];
		w.s[at] = s[i];
		w.pb[at] = p[i];
		w.pe[at] = p[w.ns + i];
	}
	return w;
}

static void
need_pool(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	window w = window_of(n);

	(void)k;
	*in = *out;
	for (int i = 0; i < w.ns; i++) {
		int at = i + 2 - w.ns;
		hb_window_range(out->lo[2 + i], out->hi[2 + i], w.s[at], w.pb[at], w.k[at],
				n->in[0]->shape.dim[2 + i], &in->lo[2 + i], &in->hi[2 + i]);
	}
}

/* Rank-3 view rows, columns, channels of image b of a [N,C,(H,)W] view. */
static void
image(hb_tview *v, int64_t b, int ns)
{
	static const int hwc[3] = { 1, 2, 0 };

	hb_tview_cut(v, 0, b, 1, 1);
	hb_tview_drop(v, 0);
	if (ns == 1)
		hb_tview_insert(v, 1);
	hb_tview_permute(v, hwc);
}

/* Windows of one box, whose sums or maxima all have the multiplier in i. */
static hb_status
emit_windows(hb_lower *lw, const hb_node *n, const window *w, hb_insn *i, const hb_box *box)
{
	hb_tview out, a;
	hb_box in;

	need_pool(n, 0, box, &in);
	HB_TRY(lw->view(lw, n, -1, box, &out));
	HB_TRY(lw->view(lw, n, 0, &in, &a));
	i->nv = 2;
	i->imm[HB_IMM_reduce_kh] = (int32_t)w->k[0];
	i->imm[HB_IMM_reduce_kw] = (int32_t)w->k[1];
	i->imm[HB_IMM_reduce_sh] = (int32_t)w->s[0];
	i->imm[HB_IMM_reduce_sw] = (int32_t)w->s[1];
	i->imm[HB_IMM_reduce_pt] = 0;
	if (w->ns == 2)
		i->imm[HB_IMM_reduce_pt] = (int32_t)hb_window_pad(box->lo[2], box->hi[2], w->s[0], w->pb[0], w->k[0],
								  in.lo[2]);
	int last = box->rank - 1;
	i->imm[HB_IMM_reduce_pl] = (int32_t)hb_window_pad(box->lo[last], box->hi[last], w->s[1], w->pb[1], w->k[1],
							  in.lo[last]);
	for (int64_t b = 0; b < box->hi[0] - box->lo[0]; b++) {
		hb_tview o = out, x = a;
		image(&o, b, w->ns);
		image(&x, b, w->ns);
		HB_TRY(hb_lower_operand(lw, n, &o, &i->v[0]));
		HB_TRY(hb_lower_operand(lw, n, &x, &i->v[1]));
		HB_TRY(lw->emit(lw, n, i));
	}
	return HB_OK;
}

static hb_status
lower_max_pool(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	window w = window_of(n);
	hb_insn i = { .op = HB_I_reduce };

	i.imm[HB_IMM_reduce_fn] = HB_FN_max;
	i.imm[HB_IMM_reduce_m] = IDENTITY_M;
	i.imm[HB_IMM_reduce_e] = 1;
	hb_lower_clamp(n, &i.imm[HB_IMM_reduce_qmin], &i.imm[HB_IMM_reduce_qmax]);
	return emit_windows(lw, n, &w, &i, &t->out);
}

const hb_sched_op hb_sched_max_pool = {
	.need = need_pool, .windowed = true, .cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN, .lower = lower_max_pool,
};

/* Valid cells of output o's window in one dimension. */
static int64_t
cells(const window *w, int at, int64_t extent, bool with_pad, int64_t o)
{
	int64_t lo = o * w->s[at] - w->pb[at], hi = lo + w->k[at];

	if (with_pad)
		return HB_MIN(hi, extent + w->pe[at]) - lo;
	return HB_MAX(0, HB_MIN(hi, extent) - HB_MAX(lo, 0));
}

static hb_status
lower_average_pool(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	window w = window_of(n);
	const hb_shape *s = &n->in[0]->shape;
	const int32_t *mults = n->in[1]->data;
	int64_t rows = hb_tensor_elems(n->in[1]) / 3;
	bool with_pad = hb_attr_i(n, "count_include_pad", 0) != 0;
	int r = s->rank - 2, c = s->rank - 1;		/* rank 3: r is not spatial */
	hb_insn i = { .op = HB_I_reduce };
	hb_box box = t->out;

	i.imm[HB_IMM_reduce_fn] = HB_FN_sum;
	hb_lower_clamp(n, &i.imm[HB_IMM_reduce_qmin], &i.imm[HB_IMM_reduce_qmax]);
	for (int64_t y = w.ns == 2 ? t->out.lo[r] : 0, ye = w.ns == 2 ? t->out.hi[r] : 1, y1; y < ye; y = y1) {
		int64_t cy = w.ns == 2 ? cells(&w, 0, s->dim[r], with_pad, y) : 1;
		for (y1 = y + 1; y1 < ye && cells(&w, 0, s->dim[r], with_pad, y1) == cy; y1++)
			;
		for (int64_t x = t->out.lo[c], x1; x < t->out.hi[c]; x = x1) {
			int64_t cx = cells(&w, 1, s->dim[c], with_pad, x), k;
			for (x1 = x + 1; x1 < t->out.hi[c] && cells(&w, 1, s->dim[c], with_pad, x1) == cx; x1++)
				;
			for (k = 0; k < rows && mults[3 * k] != cy * cx; k++)
				;
			if (k == rows)
				return hb_fail(lw->cx, n, HB_ERR_UNSUPPORTED, "pool-count",
					       "no multiplier for a window of %d cells", (int)(cy * cx));
			i.imm[HB_IMM_reduce_m] = mults[3 * k + 1];
			i.imm[HB_IMM_reduce_e] = mults[3 * k + 2];
			if (w.ns == 2) {
				box.lo[r] = y;
				box.hi[r] = y1;
			}
			box.lo[c] = x;
			box.hi[c] = x1;
			HB_TRY(emit_windows(lw, n, &w, &i, &box));
		}
	}
	return HB_OK;
}

const hb_sched_op hb_sched_average_pool = {
	.need = need_pool, .params = 1 << 1, .windowed = true, .cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN,
	.lower = lower_average_pool,
};

/* ---- Reduce ---- */

static unsigned
reduced_axes(const hb_node *n)
{
	size_t count = 0;
	const int64_t *axes = hb_attr_ints(n, "axes", &count);
	int rank = n->in[0]->shape.rank;
	unsigned set = 0;

	for (size_t i = 0; i < count; i++)
		set |= 1u << (axes[i] < 0 ? axes[i] + rank : axes[i]);
	return axes && count ? set : (1u << rank) - 1;
}

static void
need_reduce(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	const hb_shape *s = &n->in[0]->shape;
	unsigned axes = reduced_axes(n);
	bool keeps = out->rank == s->rank;

	(void)k;
	in->rank = s->rank;
	for (int d = 0, o = 0; d < s->rank; d++) {
		bool reduced = axes >> d & 1;
		in->lo[d] = reduced ? 0 : out->lo[o];
		in->hi[d] = reduced ? s->dim[d] : out->hi[o];
		o += keeps || !reduced;
	}
}

/* reduce's windows are one or two whole dimensions of a; the others must be unrolled, or added up before. */
static hb_status
reduce_views(hb_lower *lw, const hb_node *n, hb_insn i, hb_tview out, hb_tview a, unsigned axes)
{
	int p[HB_MAX_RANK], nkept = 0, nred = 0, rank;

	/* Dimensions in the order of a's memory; ones go, and neighbours of a kind merge. */
	for (int d = 0; d < a.rank; d++)
		p[d] = d;
	for (int d = 1; d < a.rank; d++)
		for (int j = d; j > 0 && a.stride[p[j - 1]] < a.stride[p[j]]; j--) {
			int t = p[j];
			p[j] = p[j - 1];
			p[j - 1] = t;
		}
	unsigned moved = 0;
	for (int d = 0; d < a.rank; d++)
		moved |= (axes >> p[d] & 1) << d;
	axes = moved;
	hb_tview_permute(&a, p);
	hb_tview_permute(&out, p);
	for (int d = a.rank; d-- > 0;) {
		bool red = axes >> d & 1, next = d + 1 < a.rank && (axes >> (d + 1) & 1) == red;
		if (a.ext[d] == 1) {
			if (a.ring == d)
				hb_tview_cut(&a, d, 0, 1, 1);
			if (out.ring == d)
				hb_tview_cut(&out, d, 0, 1, 1);
		} else if (d + 1 < a.rank && next && a.ring != d && a.ring != d + 1 && out.ring != d && out.ring != d + 1 &&
			   a.stride[d] == a.ext[d + 1] * a.stride[d + 1] &&
			   (red ? a.ext[d] * a.ext[d + 1] <= SIDE_MAX
				: out.stride[d] == out.ext[d + 1] * out.stride[d + 1])) {
			a.ext[d + 1] *= a.ext[d];
			out.ext[d + 1] *= out.ext[d];
		} else {
			continue;
		}
		hb_tview_drop(&a, d);
		hb_tview_drop(&out, d);
		axes = (axes & ((1u << d) - 1)) | (axes >> (d + 1) << d);
	}
	rank = a.rank;
	for (int d = 0; d < rank; d++)
		axes >> d & 1 ? nred++ : nkept++;

	if (nred > 2) {			/* the innermost first, into a temp without the others */
		bool adds = i.imm[HB_IMM_reduce_fn] == HB_FN_sum || i.imm[HB_IMM_reduce_fn] == HB_FN_sumsq;
		int inner = -1;
		hb_tview part;
		int64_t ext[HB_MAX_RANK];
		hb_insn first = i;

		if (!adds && i.imm[HB_IMM_reduce_fn] != HB_FN_max && i.imm[HB_IMM_reduce_fn] != HB_FN_min)
			return hb_fail(lw->cx, n, HB_ERR_UNSUPPORTED, "reduce-axes",
				       "an index over %d separate dimensions", nred);
		for (int d = 0; d < rank; d++)
			if (axes >> d & 1)
				inner = d;
		for (int d = 0; d < rank; d++)
			ext[d] = d == inner ? 1 : a.ext[d];
		HB_TRY(lw->temp(lw, n, adds ? HB_I32 : a.dtype, rank, ext, &part));
		if (adds) {
			first.imm[HB_IMM_reduce_m] = IDENTITY_M;
			first.imm[HB_IMM_reduce_e] = 1;
			first.imm[HB_IMM_reduce_qmin] = INT32_MIN;
			first.imm[HB_IMM_reduce_qmax] = INT32_MAX;
			i.imm[HB_IMM_reduce_fn] = HB_FN_sum;
		}
		HB_TRY(reduce_views(lw, n, first, part, a, 1u << inner));
		return reduce_views(lw, n, i, out, part, axes & ~(1u << inner));
	}
	if (nkept > (nred == 2 ? 1 : 2)) {
		int at = -1;
		for (int d = 0; d < rank; d++)
			if (!(axes >> d & 1) && (at < 0 || a.ext[d] < a.ext[at]))
				at = d;
		for (int64_t k = 0, end = a.ext[at]; k < end; k++) {
			hb_tview o = out, x = a;
			hb_tview_cut(&o, at, k, 1, 1);
			hb_tview_cut(&x, at, k, 1, 1);
			HB_TRY(reduce_views(lw, n, i, o, x, axes));
		}
		return HB_OK;
	}
	/* [kept, reduced, kept], or [reduced, reduced, kept]. */
	int red[2] = { -1, -1 }, kept[2] = { -1, -1 }, r = 0, k = 0;
	for (int d = 0; d < rank; d++)
		*(axes >> d & 1 ? &red[r++] : &kept[k++]) = d;
	int order[3], count = 0;
	const int want[3] = { nred == 2 ? red[0] : nkept == 2 ? kept[0] : -1, nred == 2 ? red[1] : red[0],
			      nkept == 2 ? kept[1] : kept[0] };
	for (int d = 0; d < 3; d++) {
		order[d] = want[d];
		if (want[d] < 0) {
			hb_tview_insert(&a, a.rank);
			hb_tview_insert(&out, out.rank);
			order[d] = rank + count++;
		}
	}
	hb_tview_permute(&a, order);
	hb_tview_permute(&out, order);
	i.imm[HB_IMM_reduce_kh] = nred == 2 ? (int32_t)a.ext[0] : 1;
	i.imm[HB_IMM_reduce_kw] = nred ? (int32_t)a.ext[1] : 1;
	i.imm[HB_IMM_reduce_sh] = i.imm[HB_IMM_reduce_sw] = 1;
	i.nv = 2;
	HB_TRY(hb_lower_operand(lw, n, &out, &i.v[0]));
	HB_TRY(hb_lower_operand(lw, n, &a, &i.v[1]));
	return lw->emit(lw, n, &i);
}

static hb_status
lower_reduce(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	unsigned axes = reduced_axes(n);
	hb_insn i = { .op = HB_I_reduce };
	hb_tview out, a;
	hb_box in;

	i.imm[HB_IMM_reduce_fn] = (int32_t)hb_attr_fn(n);
	i.imm[HB_IMM_reduce_m] = (int32_t)hb_attr_i(n, "m", IDENTITY_M);
	i.imm[HB_IMM_reduce_e] = (int32_t)hb_attr_i(n, "e", 1);
	hb_lower_clamp(n, &i.imm[HB_IMM_reduce_qmin], &i.imm[HB_IMM_reduce_qmax]);
	need_reduce(n, 0, &t->out, &in);
	HB_TRY(lw->view(lw, n, -1, &t->out, &out));
	HB_TRY(lw->view(lw, n, 0, &in, &a));
	if (out.rank != a.rank)
		for (int d = 0; d < a.rank; d++)
			if (axes >> d & 1)
				hb_tview_insert(&out, d);
	return reduce_views(lw, n, i, out, a, axes);
}

const hb_sched_op hb_sched_reduce = {
	.need = need_reduce, .cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN, .lower = lower_reduce,
};

/* ---- Resize ---- */

/* Sources of outputs [lo, hi) by table t: rows of first index, weight of the next. */
static void
sources(const hb_tensor *t, int64_t extent, int64_t lo, int64_t hi, int64_t *ilo, int64_t *ihi)
{
	const int32_t *v = t->data;

	*ilo = extent - 1;
	*ihi = 1;
	for (int64_t o = lo; o < hi; o++) {
		int64_t at = HB_MAX(0, HB_MIN(v[2 * o], extent - 1));
		*ilo = HB_MIN(*ilo, at);
		*ihi = HB_MAX(*ihi, HB_MIN(at + 1 + (v[2 * o + 1] != 0), extent));
	}
}

static void
need_resize(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	(void)k;
	*in = *out;
	for (int d = 2; d < 4; d++)
		sources(n->in[d - 1], n->in[0]->shape.dim[d], out->lo[d], out->hi[d], &in->lo[d], &in->hi[d]);
}

/* key: 0, input with the table, outputs [lo, hi), first source of the view. */
static void
fill_sources(const hb_node *n, const int64_t key[8], void *to)
{
	const int32_t *from = n->in[key[1]]->data;
	int32_t *at = to;

	for (int64_t o = key[2]; o < key[3]; o++) {
		*at++ = from[2 * o] - (int32_t)key[4];
		*at++ = from[2 * o + 1];
	}
}

static hb_status
lower_resize(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	hb_insn i = { .op = HB_I_sample, .nv = 4 };
	hb_tview out, a;
	hb_box in;

	i.imm[HB_IMM_sample_mode] = (int32_t)hb_attr_i(n, "mode", 0);
	hb_lower_clamp(n, &i.imm[HB_IMM_sample_qmin], &i.imm[HB_IMM_sample_qmax]);
	need_resize(n, 0, &t->out, &in);
	HB_TRY(lw->view(lw, n, -1, &t->out, &out));
	HB_TRY(lw->view(lw, n, 0, &in, &a));
	for (int d = 2; d < 4; d++) {
		const int64_t key[8] = { 0, d - 1, t->out.lo[d], t->out.hi[d], in.lo[d] };
		const int64_t ext[2] = { t->out.hi[d] - t->out.lo[d], 2 };
		HB_TRY(lw->constant(lw, n, key, fill_sources, HB_I32, 2, ext, &i.v[d]));
	}
	for (int64_t b = 0; b < t->out.hi[0] - t->out.lo[0]; b++) {
		hb_tview o = out, x = a;
		image(&o, b, 2);
		image(&x, b, 2);
		HB_TRY(hb_lower_operand(lw, n, &o, &i.v[0]));
		HB_TRY(hb_lower_operand(lw, n, &x, &i.v[1]));
		HB_TRY(lw->emit(lw, n, &i));
	}
	return HB_OK;
}

const hb_sched_op hb_sched_resize = {
	.need = need_resize, .params = 1 << 1 | 1 << 2, .windowed = true,
	.cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN, .lower = lower_resize,
};
