/* facts.c: reads off a node what the rule language's terms stand for. Operands that
 * do not exist leave their terms at 0, extents at 1: rules then hold trivially. */
#include "march/facts.h"

#include "ops/op.h"

#include <stdio.h>

#define SET(t, x) (f->v[HB_T_##t] = (int64_t)(x))
#define GET(t) (f->v[HB_T_##t])

/* Operators whose rank-3 tensors are N, C, W; rank 3 of all others is C, H, W. */
static const char *const windowed[] = {
	"Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool",
	"GlobalLpPool", "BatchNormalization", "InstanceNormalization", "Resize", "Upsample", "LRN",
	"GroupNormalization",
};

static bool is_windowed(const hb_node *n)
{
	for (size_t i = 0; i < HB_LEN(windowed); i++)
		if (!strcmp(n->op_type, windowed[i]))
			return true;
	return false;
}

/* Operators whose operands broadcast: their map is the output's, whichever operand is the larger. */
static const char *const broadcasting_ops[] = {
	"Add", "Sub", "Mul", "Div", "Sum", "Max", "Min", "Mean", "Equal", "Greater", "Less", "GreaterOrEqual",
	"LessOrEqual", "And", "Or", "Xor", "Where",
};

static bool broadcasts(const hb_node *n)
{
	for (size_t i = 0; i < HB_LEN(broadcasting_ops); i++)
		if (!strcmp(n->op_type, broadcasting_ops[i]))
			return true;
	return false;
}

static bool is(const hb_node *n, const char *op)
{
	return !strcmp(n->op_type, op);
}

/* N, C, D, H, W of a shape. */
static void dims5(const hb_node *n, const hb_shape *s, int64_t d[5])
{
	for (int i = 0; i < 5; i++)
		d[i] = 1;
	int r = s->rank;
	if (r == 3 && is_windowed(n)) {
		d[0] = s->dim[0];
		d[1] = s->dim[1];
		d[4] = s->dim[2];
	} else if (r <= 4) {
		static const int at[4] = { 0, 1, 3, 4 };
		for (int i = 0; i < r; i++)
			d[at[4 - r + i]] = s->dim[i];
	} else {
		d[0] = s->dim[0];
		d[1] = s->dim[1];
		d[2] = hb_shape_span(s, 2, r - 2);
		d[3] = s->dim[r - 2];
		d[4] = s->dim[r - 1];
	}
}

/* An axis as N C H W counts it. */
static int64_t axis4(const hb_node *n, int64_t axis, int rank)
{
	if (axis < 0)
		axis += rank;
	if (rank == 3 && is_windowed(n))
		return axis == 2 ? 3 : axis;
	return rank < 4 ? axis + (4 - rank) : axis;
}

static const hb_tensor *in_at(const hb_node *n, int i)
{
	return hb_in(n, i);
}

/* The node whose output a group yields. */
static const hb_node *last_of(const hb_node *n)
{
	return n->group && n->group->root == n && n->group->last ? n->group->last : n;
}

/* The model output is the only reader or not, it is one. Movement after it counts as the same tail. */
static bool yields_output(const hb_node *n)
{
	for (int i = 0; i < n->nout; i++)
		if (n->out[i] && n->out[i]->is_output)
			return true;
	return false;
}

static void set_word(hb_facts *f, hb_term t, const char *s)
{
	f->v[t] = hb_word_find(s);
	f->text[t] = s;
}

static void shapes(hb_graph *g, hb_node *n, hb_facts *f)
{
	const hb_node *last = last_of(n);
	const hb_tensor *x = in_at(n, 0), *y = hb_out(last, 0);
	static const hb_shape none;
	const hb_shape *xs = x ? &x->shape : &none, *ys = y ? &y->shape : &none;
	int64_t d[5], o[5];
	const hb_tensor *own = hb_out(n, 0);
	dims5(n, broadcasts(n) && own ? &own->shape : xs, d);
	dims5(n, ys, o);
	SET(N, d[0]), SET(C, d[1]), SET(D, d[2]), SET(H, d[3]), SET(W, d[4]);
	SET(ON, o[0]), SET(OC, o[1]), SET(OH, o[3]), SET(OW, o[4]);
	SET(rank, xs->rank);
	const hb_tensor *b = in_at(n, 1);
	SET(rank1, b ? b->shape.rank : 0);
	SET(elems1, b ? hb_tensor_elems(b) : 1);
	int64_t ranks = ys->rank, mindim = 1, maxdim = 1, bytes = HB_MAX(hb_shape_elems(xs), hb_shape_elems(ys));
	int nconst = 0, nin = 0, nout = 0;
	for (int i = 0; i < n->nin; i++) {
		const hb_tensor *t = n->in[i];
		if (!t)
			continue;
		nin++;
		nconst += t->is_const;
		if (t->is_const && i > 0)
			continue;
		ranks = HB_MAX(ranks, t->shape.rank);
		for (int k = 0; k < t->shape.rank; k++)
			mindim = HB_MIN(mindim, t->shape.dim[k]);
	}
	for (int k = 0; k < ys->rank; k++)
		mindim = HB_MIN(mindim, ys->dim[k]);
	for (int k = 1; k < 5; k++)
		maxdim = HB_MAX(maxdim, k == 2 && xs->rank > 5 ? 1 : d[k]);
	for (int k = 1; k < xs->rank && xs->rank > 4; k++)
		maxdim = HB_MAX(maxdim, xs->dim[k]);
	for (int i = 0; i < n->nout; i++)
		nout += n->out[i] && (n->out[i]->nuses || n->out[i]->is_output);
	SET(ranks, ranks), SET(maxdim, maxdim), SET(mindim, mindim), SET(bytes, bytes);
	SET(nconst, nconst), SET(nin, nin), SET(nout, nout);
	SET(model_output, yields_output(last));
	SET(index_only_output, y && y->is_output && !y->nuses);
	SET(fused, n->group && !hb_is_function(n->group) && n->group->root != n);
	SET(sumin, n->group && n->group->root == n && n->group->add);
	SET(opset, n->version);
	SET(model_outputs, g->noutputs);
	set_word(f, HB_T_type, x ? hb_dtype_name(x->dtype) : "none");
	set_word(f, HB_T_type1, b ? hb_dtype_name(b->dtype) : "none");
}

/* How operands broadcast: a class a dimension, merged as the lists say (M1 to M4). */
static void broadcasting(hb_node *n, hb_facts *f)
{
	const hb_tensor *y = hb_out(n, 0);
	if (!y || n->nin < 1)
		return;
	const hb_shape *o = &y->shape;
	int nb = 0, first = -1;
	bool same_nhw = true;
	bool equal = true, scalar = false, along_n = false;
	int class[HB_MAX_RANK] = { 0 };
	for (int i = 0; i < n->nin; i++) {
		const hb_tensor *t = n->in[i];
		if (!t)
			continue;
		if (first < 0)
			first = i;
		else
			equal = equal && hb_shape_eq(&t->shape, &n->in[first]->shape);
		int64_t d[5];
		dims5(n, &t->shape, d);
		same_nhw = same_nhw && d[0] == GET(N) && d[2] == GET(D) && d[3] == GET(H) && d[4] == GET(W);
		bool one = hb_tensor_elems(t) == 1, broadcast = false;
		scalar = scalar || (one && hb_shape_elems(o) > 1);
		for (int k = 0; k < o->rank; k++) {
			int at = t->shape.rank - o->rank + k;
			int64_t extent = at >= 0 ? t->shape.dim[at] : 1;
			if (extent == o->dim[k])
				continue;
			broadcast = true;
			along_n = along_n || (k == 0 && o->rank >= 4);
			class[k] |= 1 << HB_MIN(i, 30);
		}
		nb += broadcast;
	}
	int merged = 0, plain = 0, before = -1;
	for (int k = 0; k < o->rank; k++) {
		if (o->dim[k] == 1)
			continue;
		if (before < 0 || class[k] != before)
			merged++;
		if (before < 0 || class[k] || before > 0)
			plain++;
		before = class[k];
	}
	SET(equal_shapes, equal), SET(same_nhw, same_nhw), SET(scalar, scalar), SET(bcast, nb), SET(bcast_n, along_n);
	SET(merged, merged), SET(merged_plain, plain);
	for (int i = 0; i < HB_MIN(n->nin, 2); i++) {
		const hb_tensor *b = n->in[i];
		if (!b || !b->shape.rank)
			continue;
		int64_t d[5];
		dims5(n, &b->shape, d);
		if (d[0] == GET(ON) && d[1] == GET(OC) && d[2] == 1 && d[3] == 1 && d[4] == 1)
			SET(nc11, 1);
	}
}

/* Zeros among the constant operands; float32 only, the first 2^20 elements. */
static void zeros(hb_graph *g, hb_node *n, hb_facts *f)
{
	int64_t count = 0;
	for (int i = 0; i < n->nin; i++) {
		hb_tensor *t = n->in[i];
		if (!t || !t->is_const || t->dtype != HB_F32)
			continue;
		const float *p = hb_tensor_data(g, t);
		int64_t m = HB_MIN(hb_tensor_elems(t), (int64_t)1 << 20);
		for (int64_t k = 0; p && k < m; k++)
			count += p[k] == 0.0f;
	}
	SET(zero_values, count);
}

/* Attribute list element i of a spatial attribute with `spatial` entries; index 0 D, 1 H, 2 W. */
static int64_t spatial(const int64_t *v, size_t count, int i, int64_t dflt)
{
	int at = (int)count - 3 + i;
	return v && count <= 3 && at >= 0 ? v[at] : dflt;
}

static void window(hb_node *n, hb_facts *f)
{
	size_t nk, ns, np, nd, no;
	const int64_t *k = hb_attr_ints(n, "kernel_shape", &nk);
	const int64_t *s = hb_attr_ints(n, "strides", &ns);
	const int64_t *p = hb_attr_ints(n, "pads", &np);
	const int64_t *d = hb_attr_ints(n, "dilations", &nd);
	const int64_t *o = hb_attr_ints(n, "output_padding", &no);
	const hb_tensor *w = is(n, "Conv") || is(n, "ConvTranspose") ? in_at(n, 1) : NULL;
	int64_t from_weights[3];
	if (w && w->shape.rank >= 3 && w->shape.rank <= 5) {
		k = w->shape.dim + 2;
		nk = (size_t)w->shape.rank - 2;
	} else if (n->op_type[0] == 'G' && !strncmp(n->op_type, "Global", 6)) {
		from_weights[0] = GET(D), from_weights[1] = GET(H), from_weights[2] = GET(W);
		k = from_weights;
		nk = 3;
	}
	int64_t kernel[3], stride[3], dilation[3];
	for (int i = 0; i < 3; i++) {
		kernel[i] = spatial(k, nk, i, 1);
		stride[i] = spatial(s, ns, i, 1);
		dilation[i] = spatial(d, nd, i, 1);
	}
	SET(kd, kernel[0]), SET(kh, kernel[1]), SET(kw, kernel[2]);
	SET(sd, stride[0]), SET(sh, stride[1]), SET(sw, stride[2]);
	SET(dd, dilation[0]), SET(dh, dilation[1]), SET(dw, dilation[2]);
	SET(oph, spatial(o, no, 1, 0)), SET(opw, spatial(o, no, 2, 0));
	set_word(f, HB_T_auto_pad, hb_attr_s(n, "auto_pad", "NOTSET"));

	int64_t begin[3] = { 0 }, end[3] = { 0 };
	const char *ap = hb_attr_s(n, "auto_pad", "NOTSET");
	bool same = !strncmp(ap, "SAME", 4);
	const int64_t extent[3] = { GET(D), GET(H), GET(W) };
	for (int i = 0; i < 3; i++) {
		if (same && stride[i] > 0) {
			int64_t out = hb_ceil_div(extent[i], stride[i]);
			int64_t total = HB_MAX((out - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1 - extent[i], 0);
			int64_t half = total / 2;
			begin[i] = !strcmp(ap, "SAME_UPPER") ? half : total - half;
			end[i] = total - begin[i];
		} else if (!same && p && np <= 6 && np % 2 == 0) {
			begin[i] = spatial(p, np / 2, i, 0);
			end[i] = spatial(p + np / 2, np / 2, i, 0);
		}
	}
	int64_t least = 0;
	bool even = true;
	for (int i = 0; i < 3; i++) {
		least = HB_MIN(least, HB_MIN(begin[i], end[i]));
		even = even && begin[i] == end[i];
	}
	SET(pd, HB_MAX(begin[0], end[0])), SET(ph, HB_MAX(begin[1], end[1])), SET(pw, HB_MAX(begin[2], end[2]));
	SET(minpad, least), SET(even_pads, even);

	int64_t group = hb_attr_i(n, "group", 1);
	SET(group, group);
	if (w && w->shape.rank >= 2 && group > 0) {
		SET(Kn, w->shape.dim[0]), SET(Kc, w->shape.dim[1]);
		SET(Cg, GET(C) / group), SET(OCg, GET(OC) / group);
		SET(depthwise, group > 1 && group == GET(C));
	}
}

static bool is_linear(const hb_node *n)
{
	return is(n, "Gemm") || (is(n, "MatMul") && hb_in(n, 1) && hb_in(n, 1)->is_const);
}

/* Gemm and MatMul with a constant are a convolution of K channels; where the input is a flattened
 * map, a kernel that covers that map. */
static void linear(hb_node *n, hb_facts *f)
{
	const hb_tensor *w = in_at(n, 1);
	if (!w || w->shape.rank < 1)
		return;
	bool transposed = is(n, "Gemm") && hb_attr_i(n, "transB", 0);
	int r = w->shape.rank;
	int64_t k = r == 1 ? w->shape.dim[0] : w->shape.dim[transposed ? r - 1 : r - 2];
	int64_t m = r == 1 ? 1 : w->shape.dim[transposed ? r - 2 : r - 1];
	SET(Kc, k), SET(Kn, m), SET(Cg, k), SET(OCg, m), SET(OC, m);
	SET(C, k), SET(H, 1), SET(W, 1), SET(kh, 1), SET(kw, 1);
	const hb_node *from = n->in[0] ? n->in[0]->producer : NULL;
	static const char *const flat[] = { "Flatten", "Reshape", "Squeeze" };
	for (size_t i = 0; from && i < HB_LEN(flat); i++) {
		const hb_tensor *t = in_at(from, 0);
		if (!is(from, flat[i]) || !t || t->shape.rank != 4 || hb_shape_span(&t->shape, 1, 4) != k)
			continue;
		SET(C, t->shape.dim[1]), SET(H, t->shape.dim[2]), SET(W, t->shape.dim[3]);
		SET(Kc, GET(C)), SET(Cg, GET(C)), SET(kh, GET(H)), SET(kw, GET(W));
		break;
	}
}

static void matmul(hb_node *n, hb_facts *f)
{
	const hb_tensor *a = in_at(n, 0), *b = in_at(n, 1);
	if (!a || !b || !a->shape.rank || !b->shape.rank)
		return;
	const hb_shape *x = &a->shape, *y = &b->shape;
	int rx = x->rank, ry = y->rank;
	SET(rows, rx > 1 ? x->dim[rx - 2] : 1);
	SET(inner, x->dim[rx - 1]);
	SET(cols, ry > 1 ? y->dim[ry - 1] : 1);
	SET(batch0, rx > 2 ? hb_shape_span(x, 0, rx - 2) : 1);
	SET(batch1, ry > 2 ? hb_shape_span(y, 0, ry - 2) : 1);
	/* Batch dims of A: all ones, or all as the output's. Of B: those that are not broadcast lead. Not
	 * both sides at once. */
	int nb = HB_MAX(rx, ry) - 2, ones = 0, a_short = 0, b_short = 0;
	bool gap = false, behind = false;
	for (int k = 0; k < nb; k++) {
		int64_t dx = rx - 2 - nb + k >= 0 ? x->dim[rx - 2 - nb + k] : 1;
		int64_t dy = ry - 2 - nb + k >= 0 ? y->dim[ry - 2 - nb + k] : 1;
		ones += dx == 1;
		a_short += dx < dy;
		b_short += dy < dx;
		if (dy < dx)
			behind = true;
		else if (dy > 1 && behind)
			gap = true;
	}
	SET(batch_ok, (a_short == 0 || ones == nb) && !gap && !(a_short && b_short));
}

static void reduction(hb_graph *g, hb_node *n, hb_facts *f)
{
	const hb_tensor *x = in_at(n, 0);
	int64_t from_input[HB_MAX_RANK];
	size_t count = 0;
	const int64_t *axes = hb_attr_ints(n, "axes", &count);
	size_t got = 0;
	if (!axes && hb_in(n, 1) && hb_in(n, 1)->is_const &&
	    hb_tensor_ints_get(g, hb_in(n, 1), from_input, HB_MAX_RANK, &got)) {
		axes = from_input;
		count = got;
	}
	int rank = x ? x->shape.rank : 0;
	unsigned set = 0;
	if ((!axes || !count) && !hb_attr_i(n, "noop_with_empty_axes", 0))
		for (int k = 0; k < rank; k++)
			set |= 1u << k;
	for (size_t i = 0; axes && i < count; i++) {
		int64_t a = axes[i] < 0 ? axes[i] + rank : axes[i];
		if (a >= 0 && a < rank)
			set |= 1u << a;
	}
	int naxes = 0, first = -1;
	bool nc = true;
	for (int k = 0; k < rank; k++) {
		if (!(set >> k & 1))
			continue;
		naxes++;
		if (first < 0)
			first = k;
		int64_t a = axis4(n, k, rank);
		nc = nc && a <= 1;
	}
	unsigned hw = rank >= 2 ? 3u << (rank - 2) : 0;
	SET(naxes, naxes), SET(axes_hw, hw && set == hw), SET(axes_nc, nc);
	SET(keepdims, hb_attr_i(n, "keepdims", 1));
	if (first >= 0) {
		SET(axis, axis4(n, first, rank));
		SET(axis_dim, x->shape.dim[first]);
	}
}

static void one_axis(hb_node *n, hb_facts *f)
{
	static const struct {
		const char *op;
		int64_t dflt;
	} rows[] = {
		{ "Softmax", -1 }, { "LogSoftmax", -1 }, { "Hardmax", -1 }, { "ArgMax", 0 }, { "ArgMin", 0 },
		{ "Concat", 0 }, { "Split", 0 }, { "Gather", 0 }, { "GatherElements", 0 }, { "TopK", -1 },
		{ "Flatten", 1 }, { "LayerNormalization", -1 }, { "LpNormalization", -1 },
		{ "ScatterElements", 0 },
	};
	const hb_tensor *x = in_at(n, 0);
	for (size_t i = 0; x && i < HB_LEN(rows); i++) {
		if (!is(n, rows[i].op))
			continue;
		int rank = x->shape.rank;
		int64_t dflt = i < 3 && n->version && n->version < 13 ? 1 : rows[i].dflt;
		int64_t a = hb_attr_i(n, "axis", dflt);
		if (a < 0)
			a += rank;
		SET(axis, axis4(n, a, rank));
		if (a >= 0 && a < rank) {
			SET(axis_dim, x->shape.dim[a]);
			SET(norm_elems, hb_shape_span(&x->shape, (int)a, rank));
		}
	}
	SET(keepdims, hb_attr_i(n, "keepdims", 1));
}

/* Dimensions that change between input and output, both with leading ones. */
static void movement(hb_graph *g, hb_node *n, hb_facts *f)
{
	const hb_tensor *x = in_at(n, 0), *y = hb_out(n, 0);
	if (!x || !y)
		return;
	int changed = 0, r = HB_MAX(x->shape.rank, y->shape.rank);
	for (int k = 0; k < r; k++) {
		int i = x->shape.rank - r + k, o = y->shape.rank - r + k;
		changed += (i >= 0 ? x->shape.dim[i] : 1) != (o >= 0 ? y->shape.dim[o] : 1);
	}
	SET(changed_dims, changed);
	SET(hw_only, x->shape.rank <= 4 && y->shape.rank <= 4 && GET(N) == GET(ON) && GET(C) == GET(OC));
	bool absorbed = y->nuses > 0 && !y->is_output && x->shape.rank == 4 && y->shape.rank == 2 &&
			x->shape.dim[0] == y->shape.dim[0];
	for (size_t i = 0; i < y->nuses; i++)
		absorbed = absorbed && is_linear(y->uses[i].node) && y->uses[i].index == 0;
	SET(absorbed, absorbed);
	SET(blocksize, hb_attr_i(n, "blocksize", 0));
	size_t np;
	const int64_t *perm = hb_attr_ints(n, "perm", &np);
	int rank = x->shape.rank;
	if (is(n, "Transpose"))
		SET(moved_n, rank >= 4 && x->shape.dim[0] != 1 && (perm && np ? perm[0] != 0 : true));
	bool equal = true;
	int64_t a = hb_attr_i(n, "axis", 0);
	a = a < 0 ? a + rank : a;
	for (int i = 1; is(n, "Split") && i < n->nout; i++)
		if (n->out[i] && n->out[0] && a < rank)
			equal = equal && n->out[i]->shape.dim[a] == n->out[0]->shape.dim[a];
	SET(equal_parts, equal);
	if (is(n, "Pad")) {
		size_t count = 0;
		int64_t from_input[2 * HB_MAX_RANK];
		const int64_t *pads = hb_attr_ints(n, "pads", &count);
		if (!pads && hb_tensor_ints_get(g, hb_in(n, 1), from_input, HB_LEN(from_input), &count))
			pads = from_input;
		bool hw = true;
		int64_t least = 0;
		for (size_t i = 0; pads && i < count; i++)
			least = HB_MIN(least, pads[i]);
		/* With axes given, shapes tell which dimensions grow. */
		for (int k = 0; k < rank && y->shape.rank == rank; k++)
			hw = hw && (k >= HB_MIN(2, rank - 2) || rank < 3 || x->shape.dim[k] == y->shape.dim[k]);
		SET(pad_hw, hw);
		SET(minpad, least);
	}
}

static void indices(hb_node *n, hb_facts *f)
{
	const hb_tensor *x = in_at(n, 0), *i = in_at(n, 1);
	if (!x || !i)
		return;
	set_word(f, HB_T_index_type, hb_dtype_name(i->dtype));
	SET(index_const, i->is_const);
	bool ok = true;
	int64_t a = hb_attr_i(n, "axis", 0);
	a = a < 0 ? a + x->shape.rank : a;
	for (int k = 0; k < x->shape.rank && k < i->shape.rank; k++)
		ok = ok && (k == a || i->shape.dim[k] <= x->shape.dim[k]);
	SET(index_ok, ok);
}

static void words(hb_node *n, hb_facts *f)
{
	const char *mode = is(n, "Pad") ? "constant" : is(n, "DepthToSpace") ? "DCR" : is(n, "GridSample") ? "linear" :
			   is(n, "Resize") || is(n, "Upsample") ? "nearest" : "none";
	set_word(f, HB_T_mode, hb_attr_s(n, "mode", mode));
	set_word(f, HB_T_padding_mode, hb_attr_s(n, "padding_mode", "zeros"));
	set_word(f, HB_T_coord, hb_attr_s(n, "coordinate_transformation_mode",
					  is(n, "Upsample") || n->version == 10 ? "asymmetric" : "half_pixel"));
	set_word(f, HB_T_direction, hb_attr_s(n, "direction", "forward"));
	if (f->v[HB_T_index_type] < 0 || !f->text[HB_T_index_type])
		set_word(f, HB_T_index_type, "int64");
}

/* min(H, W) + 2 pad - 2 (max_displacement / stride2 * stride2) - kernel + 1 - stride1. */
static void correlation(hb_node *n, hb_facts *f)
{
	int64_t k = hb_attr_i(n, "kernel_size", 1), far = hb_attr_i(n, "max_displacement", 1);
	int64_t step = hb_attr_i(n, "stride2", 1), pad = hb_attr_i(n, "pad_size", 0);
	enum { LARGEST = 1 << 30 };
	k = HB_MIN(HB_MAX(k, 0), LARGEST);
	far = HB_MIN(HB_MAX(far, 0), LARGEST);
	pad = HB_MIN(HB_MAX(pad, 0), LARGEST);
	int64_t reach = step > 0 ? far / step * step : far;
	SET(kh, k), SET(kw, k);
	SET(corr, HB_MIN(GET(H), GET(W)) + 2 * pad - 2 * reach - k + 1 - HB_MAX(hb_attr_i(n, "stride1", 1), 0));
}

/* A crop's boxes: [start..., end...] as fractions of each dimension's last index. */
static void crop(hb_graph *g, hb_node *n, hb_facts *f)
{
	SET(roi_whole, 1);
	hb_tensor *roi = hb_in(n, 1);
	const hb_tensor *x = in_at(n, 0);
	if (!is(n, "Resize") || !roi || !x || n->version < 11 || hb_tensor_elems(roi) == 0 ||
	    strcmp(hb_attr_s(n, "coordinate_transformation_mode", ""), "tf_crop_and_resize"))
		return;
	int rank = x->shape.rank;
	const float *p = roi->is_const && roi->dtype == HB_F32 ? hb_tensor_data(g, roi) : NULL;
	bool whole = p && hb_tensor_elems(roi) == 2 * rank;
	for (int k = 0; whole && k < rank; k++) {
		double lo = (double)p[k] * (double)(x->shape.dim[k] - 1);
		double hi = (double)p[rank + k] * (double)(x->shape.dim[k] - 1);
		double nlo = (double)(int64_t)(lo + 0.5), nhi = (double)(int64_t)(hi + 0.5);
		whole = lo - nlo < 1e-3 && nlo - lo < 1e-3 && hi - nhi < 1e-3 && nhi - hi < 1e-3;
		if (k < rank - 2)
			whole = whole && nlo == 0.0 && nhi == (double)(x->shape.dim[k] - 1);
	}
	SET(roi_whole, whole);
}

void hb_facts_of(hb_graph *g, hb_node *n, hb_facts *f)
{
	memset(f, 0, sizeof(*f));
	shapes(g, n, f);
	broadcasting(n, f);
	window(n, f);
	if (is_linear(n))
		linear(n, f);
	if (is(n, "MatMul"))
		matmul(n, f);
	if (!strncmp(n->op_type, "Reduce", 6))
		reduction(g, n, f);
	else
		one_axis(n, f);
	movement(g, n, f);
	if (!strncmp(n->op_type, "Gather", 6) || is(n, "ScatterElements"))
		indices(n, f);
	words(n, f);
	crop(g, n, f);
	if (is(n, "Correlation"))
		correlation(n, f);
	if (is(n, "Mul") || is(n, "Div"))
		zeros(g, n, f);
	if (is(n, "LSTM") || is(n, "GRU") || is(n, "RNN")) {
		const hb_tensor *x = in_at(n, 0);
		SET(N, x && x->shape.rank == 3 ? x->shape.dim[hb_attr_i(n, "layout", 0) ? 0 : 1] : 1);
		SET(has_sequence_lens, hb_in(n, 4) != NULL);
	}
	SET(sorted, hb_attr_i(n, "sorted", 1));
	SET(exponent_const, hb_in(n, 1) && hb_in(n, 1)->is_const);
	SET(branch_const, (hb_in(n, 1) && hb_in(n, 1)->is_const) || (hb_in(n, 2) && hb_in(n, 2)->is_const));
	SET(p, hb_attr_i(n, "p", 2));
	SET(rank_boxes, hb_in(n, 1) ? hb_in(n, 1)->shape.rank : 0);
}

const char *hb_march_row_name(const hb_node *n, char *buf, size_t cap)
{
	if (is(n, "MatMul") && hb_in(n, 1) && hb_in(n, 1)->is_const && !(hb_in(n, 0) && hb_in(n, 0)->is_const))
		return "Gemm";
	if (strcmp(n->domain, "horizon"))
		return n->op_type;
	int len = snprintf(buf, cap, "horizon::%s", n->op_type);
	return len > 0 && (size_t)len < cap ? buf : n->op_type;
}
