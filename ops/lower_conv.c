/* lower_conv.c: convolutions, linear layers, matrix products: all on the MAC array. */
#include "ops/lower.h"

#define ONE 64				/* bias of the exponents in a record */
#define IDENTITY_M (1 << 30)		/* with e = 1: acc * M * 2^-30, exact */

/* ---- records and partial sums ---- */

enum { KEY_WEIGHTS, KEY_RECORDS, KEY_SCALAR };

/* key: KEY_RECORDS, input with the records, channels [c0, c1), block of input channels, last block. */
static void
fill_records(const hb_node *n, const int64_t key[8], void *to)
{
	const hb_tensor *t = n->in[key[1]];
	const int32_t *from = t->data;
	int64_t rows = hb_tensor_elems(t) / 4;
	int32_t *rec = to;

	for (int64_t c = key[2]; c < key[3]; c++, rec += 4) {
		memcpy(rec, from + 4 * (c < rows ? c : 0), 16);
		if (key[4] > 0) {	/* the sum so far enters as it is */
			rec[0] = 0;
			rec[2] = IDENTITY_M;
			rec[3] = (rec[3] & 0xff) | (1 + ONE) << 8;
		}
		if (!key[5]) {		/* and leaves as it is */
			rec[1] = IDENTITY_M;
			rec[3] = (rec[3] & 0xff00) | (1 + ONE);
		}
	}
}

static hb_status
records(hb_lower *lw, const hb_node *n, const hb_tile *t, int64_t c0, int64_t c1, hb_view *v)
{
	const int64_t key[8] = { KEY_RECORDS, 2, c0, c1, t->block, t->last };
	const int64_t ext[2] = { c1 - c0, 4 };

	return lw->constant(lw, n, key, fill_records, HB_I32, 2, ext, v);
}

/* The output, or the sum so far, of one tile: out, and what is added to it (add->rank 0: nothing). With
 * blocks of input channels two temps take turns, as out is disjoint from its inputs. */
static hb_status
sums(hb_lower *lw, const hb_node *n, const hb_tile *t, int addend, hb_tview *out, hb_tview *add)
{
	hb_tview part[2];
	int64_t ext[HB_MAX_RANK];

	add->rank = 0;
	if (t->block > 0 || !t->last) {
		for (int d = 0; d < t->out.rank; d++)
			ext[d] = t->out.hi[d] - t->out.lo[d];
		HB_TRY(lw->temp(lw, n, HB_I32, t->out.rank, ext, &part[0]));
		HB_TRY(lw->temp(lw, n, HB_I32, t->out.rank, ext, &part[1]));
	}
	if (t->block > 0)
		*add = part[(t->block + 1) % 2];
	else if (hb_in(n, addend))
		HB_TRY(lw->view(lw, n, addend, &t->out, add));
	if (!t->last) {
		*out = part[t->block % 2];
		return HB_OK;
	}
	return lw->view(lw, n, -1, &t->out, out);
}

static void
limits(const hb_node *n, const hb_tile *t, hb_insn *i)
{
	i->imm[HB_IMM_conv_qmin] = INT32_MIN;
	i->imm[HB_IMM_conv_qmax] = INT32_MAX;
	if (t->last)
		hb_lower_clamp(n, &i->imm[HB_IMM_conv_qmin], &i->imm[HB_IMM_conv_qmax]);
}

/* One MAC instruction from rank-3 views; add->rank 0: none. */
static hb_status
emit_conv(hb_lower *lw, const hb_node *n, hb_insn *i, const hb_tview *out, const hb_tview *a, const hb_tview *add)
{
	HB_TRY(hb_lower_operand(lw, n, out, &i->v[0]));
	HB_TRY(hb_lower_operand(lw, n, a, &i->v[1]));
	i->nv = 4;
	if (add->rank) {
		HB_TRY(hb_lower_operand(lw, n, add, &i->v[4]));
		i->nv = 5;
	}
	return lw->emit(lw, n, i);
}

/* ---- Conv and ConvTranspose: geometry ---- */

typedef struct geometry {
	int ns;				/* spatial dimensions, 1 or 2 */
	int64_t s[2], d[2], p[2], k[2];	/* stride, dilation, pad before, kernel: rows, columns */
	int64_t icg, ocg;		/* channels of a group */
} geometry;

/* A rank-3 convolution runs along the columns of one row. */
static geometry
geometry_of(const hb_node *n, bool transposed)
{
	const hb_shape *w = &n->in[1]->shape;
	geometry g = { .ns = w->rank - 2, .s = { 1, 1 }, .d = { 1, 1 }, .k = { 1, 1 } };
	int64_t s[2], d[2], p[4], groups = hb_attr_i(n, "group", 1);

	hb_attr_list(n, "strides", g.ns, 1, s);
	hb_attr_list(n, "dilations", g.ns, 1, d);
	hb_attr_list(n, "pads", 2 * g.ns, 0, p);
	for (int i = 0; i < g.ns; i++) {
		int at = i + 2 - g.ns;
		g.s[at] = s[i];
		g.d[at] = d[i];
		g.p[at] = p[i];
		g.k[at] = w->dim[2 + i];
	}
	g.icg = transposed ? w->dim[0] / groups : w->dim[1];
	g.ocg = transposed ? w->dim[1] : w->dim[0] / groups;
	return g;
}

/* Channels of X that output channels [c0, c1) read. */
static void
channels(const geometry *g, const hb_box *out, hb_box *in)
{
	in->lo[1] = out->lo[1] / g->ocg * g->icg;
	in->hi[1] = ((out->hi[1] - 1) / g->ocg + 1) * g->icg;
}

/* Rank-3 view rows, columns, channels of image i of a [N,C,(H,)W] view. */
static void
image(hb_tview *v, int64_t i, int ns)
{
	static const int hwc[3] = { 1, 2, 0 };

	hb_tview_cut(v, 0, i, 1, 1);
	hb_tview_drop(v, 0);
	if (ns == 1)
		hb_tview_insert(v, 1);
	hb_tview_permute(v, hwc);
}

/* ---- Conv ---- */

static void
need_conv(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	geometry g;

	if (k != 0) {
		hb_need_same(n, k, out, in);
		return;
	}
	g = geometry_of(n, false);
	*in = *out;
	channels(&g, out, in);
	for (int i = 0; i < g.ns; i++) {
		int at = i + 2 - g.ns;
		hb_window_range(out->lo[2 + i], out->hi[2 + i], g.s[at], g.p[at], (g.k[at] - 1) * g.d[at] + 1,
				n->in[0]->shape.dim[2 + i], &in->lo[2 + i], &in->hi[2 + i]);
	}
}

/* key: KEY_WEIGHTS, c0, c1, k0, k1: weights [O, C/g, taps] as [c1 - c0, taps, k1 - k0]. */
static void
fill_weights(const hb_node *n, const int64_t key[8], void *to)
{
	const hb_tensor *t = n->in[1];
	int64_t icg = t->shape.dim[1], taps = hb_shape_span(&t->shape, 2, t->shape.rank);
	const int8_t *w = t->data;
	int8_t *at = to;

	for (int64_t c = key[1]; c < key[2]; c++)
		for (int64_t tap = 0; tap < taps; tap++)
			for (int64_t k = key[3]; k < key[4]; k++)
				*at++ = w[(c * icg + k) * taps + tap];
}

static hb_status
lower_conv(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	geometry g = geometry_of(n, false);
	int64_t c0 = t->out.lo[1], c1 = t->out.hi[1], groups;
	const int64_t key[8] = { KEY_WEIGHTS, c0, c1, t->k0, t->k1 };
	const int64_t ext[4] = { c1 - c0, g.k[0], g.k[1], t->k1 - t->k0 };
	hb_insn i = { .op = HB_I_conv };
	hb_tview out, a, add;
	hb_box in;

	need_conv(n, 0, &t->out, &in);
	groups = (in.hi[1] - in.lo[1]) / g.icg;
	if (t->k1 - t->k0 < g.icg) {	/* of one group: the planner cuts no more than one then */
		in.lo[1] += t->k0;
		in.hi[1] = in.lo[1] + t->k1 - t->k0;
	}
	HB_TRY(lw->view(lw, n, 0, &in, &a));
	HB_TRY(sums(lw, n, t, 3, &out, &add));
	HB_TRY(lw->constant(lw, n, key, fill_weights, HB_I8, 4, ext, &i.v[2]));
	HB_TRY(records(lw, n, t, c0, c1, &i.v[3]));
	limits(n, t, &i);
	i.imm[HB_IMM_conv_groups] = (int32_t)groups;
	/* Where the windows begin, counted from the view's first row and column. */
	for (int d = 0; d < g.ns; d++) {
		int at = d + 2 - g.ns;
		g.p[at] = hb_window_pad(t->out.lo[2 + d], t->out.hi[2 + d], g.s[at], g.p[at],
					(g.k[at] - 1) * g.d[at] + 1, in.lo[2 + d]);
	}
	i.imm[HB_IMM_conv_sh] = (int32_t)g.s[0];
	i.imm[HB_IMM_conv_sw] = (int32_t)g.s[1];
	i.imm[HB_IMM_conv_dh] = (int32_t)g.d[0];
	i.imm[HB_IMM_conv_dw] = (int32_t)g.d[1];
	i.imm[HB_IMM_conv_pt] = (int32_t)g.p[0];
	i.imm[HB_IMM_conv_pl] = (int32_t)g.p[1];
	for (int64_t b = 0; b < t->out.hi[0] - t->out.lo[0]; b++) {
		hb_tview o = out, x = a, s = add;
		image(&o, b, g.ns);
		image(&x, b, g.ns);
		if (s.rank)
			image(&s, b, g.ns);
		HB_TRY(emit_conv(lw, n, &i, &o, &x, &s));
	}
	return HB_OK;
}

static int64_t
conv_depth(const hb_node *n)
{
	return n->in[1]->shape.dim[1];
}

static int64_t
conv_quantum(const hb_node *n)
{
	return n->in[1]->shape.dim[0] / hb_attr_i(n, "group", 1);
}

const hb_sched_op hb_sched_conv = {
	.need = need_conv, .params = 1 << 1 | 1 << 2, .windowed = true,
	.cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN | HB_CUT_SUM, .depth = conv_depth, .quantum = conv_quantum,
	.lower = lower_conv,
};

/* ---- Linear ---- */

static void
need_linear(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	int last = out->rank - 1;

	*in = *out;
	if (k != 0)
		return;
	in->lo[last] = 0;
	in->hi[last] = n->in[0]->shape.dim[last];
}

typedef struct product {
	hb_lower *lw;
	const hb_node *n;
	hb_insn insn;			/* weights and records stand in it */
	bool added;
} product;

/* Views [(r,) M, channels]: M rows of a matrix are the columns of one image row. */
static hb_status
emit_product(void *arg, hb_tview *v)
{
	product *p = arg;
	hb_insn i = p->insn;
	hb_tview none = { .rank = 0 };
	bool ring = false;

	for (int k = 0; k < 2 + p->added; k++)
		ring |= v[k].ring == 0;
	for (int k = 0; k < 2 + p->added; k++) {
		if (v[k].rank == 1)
			hb_tview_insert(&v[k], 0);
		if (v[k].rank == 2)
			hb_tview_insert(&v[k], ring);
	}
	return emit_conv(p->lw, p->n, &i, &v[0], &v[1], p->added ? &v[2] : &none);
}

static hb_status
lower_linear(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	int last = t->out.rank - 1;
	int64_t c0 = t->out.lo[last], c1 = t->out.hi[last];
	const int64_t key[8] = { KEY_WEIGHTS, c0, c1, t->k0, t->k1 };
	const int64_t ext[4] = { c1 - c0, 1, 1, t->k1 - t->k0 };
	product p = { .lw = lw, .n = n, .insn = { .op = HB_I_conv } };
	hb_tview v[3];
	hb_box in;

	need_linear(n, 0, &t->out, &in);
	in.lo[last] = t->k0;
	in.hi[last] = t->k1;
	HB_TRY(lw->view(lw, n, 0, &in, &v[1]));
	HB_TRY(sums(lw, n, t, 3, &v[0], &v[2]));
	p.added = v[2].rank > 0;
	HB_TRY(lw->constant(lw, n, key, fill_weights, HB_I8, 4, ext, &p.insn.v[2]));
	HB_TRY(records(lw, n, t, c0, c1, &p.insn.v[3]));
	limits(n, t, &p.insn);
	p.insn.imm[HB_IMM_conv_sh] = p.insn.imm[HB_IMM_conv_sw] = 1;
	p.insn.imm[HB_IMM_conv_dh] = p.insn.imm[HB_IMM_conv_dw] = p.insn.imm[HB_IMM_conv_groups] = 1;
	return hb_tview_unroll(v, 2 + p.added, 3, 1, emit_product, &p);
}

const hb_sched_op hb_sched_linear = {
	.need = need_linear, .params = 1 << 1 | 1 << 2,
	.cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN | HB_CUT_SUM, .depth = conv_depth,
	.lower = lower_linear,
};

/* ---- MatMul ---- */

/* A's row and column, B's row and column are its last two dimensions; a vector has one. */
static void
need_matmul(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	const hb_shape *a = &n->in[0]->shape, *b = &n->in[1]->shape, *s = k ? b : a;
	int mats = (a->rank > 1) + (b->rank > 1), batch = out->rank - mats, lead = HB_MAX(s->rank - 2, 0);

	in->rank = s->rank;
	for (int d = 0; d < lead; d++) {
		int o = batch - lead + d;
		in->lo[d] = s->dim[d] == 1 ? 0 : out->lo[o];
		in->hi[d] = s->dim[d] == 1 ? 1 : out->hi[o];
	}
	for (int d = lead; d < s->rank; d++) {
		in->lo[d] = 0;
		in->hi[d] = s->dim[d];
	}
	if (k == 0 && a->rank > 1) {
		in->lo[lead] = out->lo[batch];
		in->hi[lead] = out->hi[batch];
	} else if (k == 1 && b->rank > 1) {
		in->lo[lead + 1] = out->lo[out->rank - 1];
		in->hi[lead + 1] = out->hi[out->rank - 1];
	}
}

/* key: KEY_SCALAR: one record of no bias and the node's multiplier. */
static void
fill_scalar(const hb_node *n, const int64_t key[8], void *to)
{
	const int32_t rec[4] = { 0, (int32_t)hb_attr_i(n, "m", IDENTITY_M), 0,
				 ((int32_t)hb_attr_i(n, "e", 1) + ONE) | ONE << 8 };
	(void)key;
	memcpy(to, rec, sizeof(rec));
}

/* v: out [M,N], a [M,K], b [K,N]. */
static hb_status
emit_matmul(void *arg, hb_tview *v)
{
	static const int nk[2] = { 1, 0 };
	product *p = arg;
	hb_insn i = p->insn;
	hb_tview none = { .rank = 0 };
	int at = v[0].ring == 0 || v[1].ring == 0;	/* rows of a ring are rows, else columns */

	hb_tview_permute(&v[2], nk);
	hb_tview_insert(&v[2], 1);
	hb_tview_insert(&v[2], 1);
	HB_TRY(hb_lower_operand(p->lw, p->n, &v[2], &i.v[2]));
	hb_tview_insert(&v[0], at);
	hb_tview_insert(&v[1], at);
	i.v[3].ext[0] = i.v[2].ext[0];
	return emit_conv(p->lw, p->n, &i, &v[0], &v[1], &none);
}

static hb_status
lower_matmul(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	static const int64_t key[8] = { KEY_SCALAR }, ext[2] = { 1, 4 };
	product p = { .lw = lw, .n = n, .insn = { .op = HB_I_conv } };
	hb_tile whole = { .last = true };
	hb_tview v[3];
	hb_box in[2];

	for (int k = 0; k < 2; k++) {
		need_matmul(n, k, &t->out, &in[k]);
		HB_TRY(lw->view(lw, n, k, &in[k], &v[1 + k]));
	}
	HB_TRY(lw->view(lw, n, -1, &t->out, &v[0]));
	if (v[1].rank == 1) {
		hb_tview_insert(&v[1], 0);
		hb_tview_insert(&v[0], v[0].rank - (v[2].rank > 1));
	}
	if (v[2].rank == 1) {
		hb_tview_insert(&v[2], 1);
		hb_tview_insert(&v[0], v[0].rank);
	}
	for (int k = 1; k < 3; k++) {
		while (v[k].rank < v[0].rank)
			hb_tview_insert(&v[k], 0);
		for (int d = 0; d < v[0].rank - 2; d++)
			if (v[k].ext[d] != v[0].ext[d]) {
				v[k].ext[d] = v[0].ext[d];
				v[k].stride[d] = 0;
			}
	}
	HB_TRY(lw->constant(lw, n, key, fill_scalar, HB_I32, 2, ext, &p.insn.v[3]));
	p.insn.v[3].stride[0] = 0;
	limits(n, &whole, &p.insn);
	p.insn.imm[HB_IMM_conv_sh] = p.insn.imm[HB_IMM_conv_sw] = 1;
	p.insn.imm[HB_IMM_conv_dh] = p.insn.imm[HB_IMM_conv_dw] = p.insn.imm[HB_IMM_conv_groups] = 1;
	return hb_tview_unroll(v, 3, 2, 2, emit_matmul, &p);
}

const hb_sched_op hb_sched_matmul = {
	.need = need_matmul, .cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN, .lower = lower_matmul,
};

/* ---- ConvTranspose: a convolution of stride 1 for each phase of the output ---- */

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static void
need_transpose(const hb_node *n, int k, const hb_box *out, hb_box *in)
{
	geometry g = geometry_of(n, true);

	(void)k;
	*in = *out;
	channels(&g, out, in);
	for (int i = 0; i < g.ns; i++) {
		int at = i + 2 - g.ns;
		int64_t extent = n->in[0]->shape.dim[2 + i];
		int64_t lo = -floor_div(-(out->lo[2 + i] + g.p[at] - (g.k[at] - 1) * g.d[at]), g.s[at]);
		int64_t hi = floor_div(out->hi[2 + i] - 1 + g.p[at], g.s[at]) + 1;
		in->lo[2 + i] = HB_MAX(0, HB_MIN(lo, extent - 1));
		in->hi[2 + i] = HB_MAX(in->lo[2 + i] + 1, HB_MIN(hi, extent));
	}
}

/* Taps of one phase: first, first + step, ...; their input positions are `dilation` apart. */
typedef struct phase {
	int64_t first, step, taps, dilation;
} phase;

static phase
phase_of(int64_t r, int64_t s, int64_t d, int64_t k)
{
	phase p = { .dilation = 1, .step = 1 };

	for (int64_t i = 0; i < k; i++)
		if (i * d % s == r) {
			if (p.taps == 0)
				p.first = i;
			else if (p.taps == 1) {
				p.step = i - p.first;
				p.dilation = p.step * d / s;
			}
			p.taps++;
		}
	return p;
}

/* key: KEY_WEIGHTS, c0, c1, row phase, column phase (-1: a 1x1 kernel of zeros). */
static void
fill_phase(const hb_node *n, const int64_t key[8], void *to)
{
	geometry g = geometry_of(n, true);
	const int8_t *w = n->in[1]->data;
	int8_t *at = to;
	phase y, x;

	if (key[3] < 0 || key[4] < 0) {
		memset(to, 0, (size_t)((key[2] - key[1]) * g.icg));
		return;
	}
	y = phase_of(key[3], g.s[0], g.d[0], g.k[0]);
	x = phase_of(key[4], g.s[1], g.d[1], g.k[1]);
	for (int64_t c = key[1]; c < key[2]; c++)
		for (int64_t i = y.taps; i-- > 0;)
			for (int64_t j = x.taps; j-- > 0;)
				for (int64_t k = 0; k < g.icg; k++) {
					int64_t ic = c / g.ocg * g.icg + k;
					int64_t ky = y.first + i * y.step, kx = x.first + j * x.step;
					*at++ = w[((ic * g.ocg + c % g.ocg) * g.k[0] + ky) * g.k[1] + kx];
				}
}

/* One dimension of one phase: which outputs it has and where its windows lie. */
typedef struct span {
	int64_t lo, count;		/* outputs lo, lo + s, ... counted from the box */
	int64_t start, pad;		/* view's first input, counted from the box; pad before it */
	bool empty;			/* no tap meets the input */
} span;

static span
span_of(const phase *p, int64_t r, int64_t s, int64_t d, int64_t pad, int64_t olo, int64_t ohi, int64_t ilo,
	int64_t ihi)
{
	int64_t shift = (r - olo - pad) % s, least;
	span a = { .lo = shift < 0 ? shift + s : shift };

	a.count = olo + a.lo < ohi ? (ohi - olo - a.lo - 1) / s + 1 : 0;
	least = floor_div(olo + a.lo + pad - p->first * d, s) - (p->taps - 1) * p->dilation;
	a.empty = p->taps == 0 || least >= ihi ||
		  least + (p->taps - 1) * p->dilation + a.count - 1 < ilo;
	a.start = HB_MAX(least, ilo) - ilo;
	a.pad = HB_MAX(ilo - least, 0);
	if (a.empty)
		a.start = a.pad = 0;
	return a;
}

static hb_status
lower_transpose(hb_lower *lw, const hb_node *n, const hb_tile *t)
{
	geometry g = geometry_of(n, true);
	int64_t c0 = t->out.lo[1], c1 = t->out.hi[1];
	hb_tile whole = { .last = true };
	hb_insn i = { .op = HB_I_conv };
	hb_tview out, a, none = { .rank = 0 };
	hb_box in;

	need_transpose(n, 0, &t->out, &in);
	HB_TRY(lw->view(lw, n, 0, &in, &a));
	HB_TRY(lw->view(lw, n, -1, &t->out, &out));
	HB_TRY(records(lw, n, &whole, c0, c1, &i.v[3]));
	limits(n, &whole, &i);
	i.imm[HB_IMM_conv_sh] = i.imm[HB_IMM_conv_sw] = 1;
	i.imm[HB_IMM_conv_groups] = (int32_t)((in.hi[1] - in.lo[1]) / g.icg);
	for (int64_t r = 0; r < g.s[0] * g.s[1]; r++) {
		int64_t ry = r / g.s[1], rx = r % g.s[1];
		phase py = phase_of(ry, g.s[0], g.d[0], g.k[0]), px = phase_of(rx, g.s[1], g.d[1], g.k[1]);
		int last = t->out.rank - 1;
		span y = { .count = 1 }, x;
		bool zero;

		x = span_of(&px, rx, g.s[1], g.d[1], g.p[1], t->out.lo[last], t->out.hi[last], in.lo[last],
			    in.hi[last]);
		if (g.ns == 2)
			y = span_of(&py, ry, g.s[0], g.d[0], g.p[0], t->out.lo[2], t->out.hi[2], in.lo[2], in.hi[2]);
		if (!x.count || !y.count)
			continue;
		zero = x.empty || y.empty;
		const int64_t key[8] = { KEY_WEIGHTS, c0, c1, zero ? -1 : ry, zero ? -1 : rx };
		const int64_t ext[4] = { c1 - c0, zero ? 1 : py.taps, zero ? 1 : px.taps, g.icg };
		HB_TRY(lw->constant(lw, n, key, fill_phase, HB_I8, 4, ext, &i.v[2]));
		i.imm[HB_IMM_conv_dh] = zero ? 1 : (int32_t)py.dilation;
		i.imm[HB_IMM_conv_dw] = zero ? 1 : (int32_t)px.dilation;
		i.imm[HB_IMM_conv_pt] = zero ? 0 : (int32_t)y.pad;
		i.imm[HB_IMM_conv_pl] = zero ? 0 : (int32_t)x.pad;
		for (int64_t b = 0; b < t->out.hi[0] - t->out.lo[0]; b++) {
			hb_tview o = out, v = a;

			hb_tview_cut(&o, last, x.lo, x.count, g.s[1]);
			if (!zero)
				hb_tview_cut(&v, last, x.start, v.ext[last] - x.start, 1);
			if (g.ns == 2) {
				hb_tview_cut(&o, 2, y.lo, y.count, g.s[0]);
				if (!zero)
					hb_tview_cut(&v, 2, y.start, v.ext[2] - y.start, 1);
			}
			image(&o, b, g.ns);
			image(&v, b, g.ns);
			HB_TRY(emit_conv(lw, n, &i, &o, &v, &none));
		}
	}
	return HB_OK;
}

static int64_t
transpose_quantum(const hb_node *n)
{
	return n->in[1]->shape.dim[1];
}

const hb_sched_op hb_sched_conv_transpose = {
	.need = need_transpose, .params = 1 << 1 | 1 << 2, .windowed = true,
	.cut = HB_CUT_ROW | HB_CUT_COL | HB_CUT_CHAN, .quantum = transpose_quantum, .lower = lower_transpose,
};
