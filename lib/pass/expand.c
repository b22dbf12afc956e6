/* expand: takes and leaves a float graph with shapes known; operators that are functions of others
 * are replaced by their bodies, as ONNX defines them, where a march has no row for the operator or
 * the operator set that is written does not know it. Constant parts fold. */
#include "lib/pass/pass.h"

#include <math.h>
#include <stdarg.h>

enum { VERSION = 17 };			/* operator set of the nodes made here */

/* The body that takes the place of node n. A failure stays in st; tensors are NULL from then on. No call that
 * makes nodes or constants stands twice among one call's arguments: their order would be the compiler's. */
struct body {
	hb_graph *g;
	hb_node *n;
	int first;			/* id of its first node */
	hb_status st;
};

static hb_tensor *
failed(struct body *b, hb_status st)
{
	if (b->st == HB_OK)
		b->st = st == HB_ERR_NOMEM ? hb_nomem(b->g->cx, b->n->name) : st;
	return NULL;
}

/* ---- building ---- */

/* A node before n, to be given attributes and then to done(); NULL once something failed. */
static hb_node *
begin(struct body *b, const char *op, int nout, int nin, hb_tensor *const *in)
{
	hb_graph *g = b->g;
	char *name = b->st == HB_OK ? hb_arena_printf(g->arena, "%.200s/%s", b->n->name, op) : NULL;
	hb_node *n = name ? hb_node_new(g, b->n, name, "", op, VERSION, nin, nout) : NULL;
	for (int i = 0; n && i < nin; i++) {
		if (in[i])
			hb_node_set_in(g, n, i, in[i]);
	}
	for (int i = 0; n && i < nout; i++) {
		hb_tensor *t = hb_tensor_new(g, name, HB_NONE, NULL);
		if (!t) {
			n = NULL;
			break;
		}
		hb_node_set_out(n, i, t);
	}
	if (!n)
		failed(b, HB_ERR_NOMEM);
	return n;
}

/* Output 0 of a node whose attributes are set. */
static hb_tensor *
done(struct body *b, hb_node *n, bool attrs_set)
{
	if (!n || b->st != HB_OK)
		return NULL;
	if (!attrs_set)
		return failed(b, HB_ERR_NOMEM);
	hb_tensor *y = n->out[0];
	hb_status st = hb_op_infer(b->g, n);
	bool constant = st == HB_OK;
	for (int i = 0; i < n->nin; i++)
		constant = constant && (!n->in[i] || n->in[i]->is_const);
	if (constant)
		st = hb_pass_fold(b->g, n);
	if (st != HB_OK && b->st == HB_OK)
		b->st = st;
	return b->st == HB_OK ? y : NULL;
}

static hb_tensor *
put(struct body *b, const char *op, int nin, ...)
{
	hb_tensor *in[3];
	va_list ap;
	va_start(ap, nin);
	for (int i = 0; i < nin; i++)
		in[i] = va_arg(ap, hb_tensor *);
	va_end(ap);
	for (int i = 0; i < nin; i++) {
		if (!in[i])
			return NULL;
	}
	return done(b, begin(b, op, 1, nin, in), true);
}

static hb_tensor *
put_axis(struct body *b, const char *op, int64_t axis, int nin, hb_tensor *const *in)
{
	for (int i = 0; i < nin; i++) {
		if (!in[i])
			return NULL;
	}
	hb_node *n = begin(b, op, 1, nin, in);
	return done(b, n, n && hb_attr_set_i(b->g, n, "axis", axis));
}

static hb_tensor *
number(struct body *b, double v)
{
	hb_tensor *t = b->st == HB_OK ? hb_tensor_scalar_f32(b->g, b->n->name, (float)v) : NULL;
	return t ? t : failed(b, HB_ERR_NOMEM);
}

static hb_tensor *
ints(struct body *b, const int64_t *v, size_t n)
{
	hb_tensor *t = b->st == HB_OK ? hb_tensor_ints(b->g, b->n->name, v, n) : NULL;
	return t ? t : failed(b, HB_ERR_NOMEM);
}

/* x as `rank` dimensions; x itself where it has them. */
static hb_tensor *
reshaped(struct body *b, hb_tensor *x, int rank, const int64_t *dim)
{
	hb_shape s = { .rank = rank };
	memcpy(s.dim, dim, (size_t)rank * sizeof(dim[0]));
	return !x || hb_shape_eq(&x->shape, &s) ? x : put(b, "Reshape", 2, x, ints(b, dim, (size_t)rank));
}

#define RESHAPED(b, x, ...) \
	reshaped((b), (x), (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), (int64_t[]){ __VA_ARGS__ })

static hb_tensor *
transposed(struct body *b, hb_tensor *x, int p0, int p1, int p2, int p3)
{
	const int64_t perm[4] = { p0, p1, p2, p3 };
	hb_node *n = x ? begin(b, "Transpose", 1, 1, &x) : NULL;
	return done(b, n, n && hb_attr_set_ints(b->g, n, "perm", perm, 4));
}

static hb_tensor *
sliced(struct body *b, hb_tensor *x, int64_t axis, int64_t from, int64_t to, int64_t step)
{
	const int64_t *const numbers[] = { &from, &to, &axis, &step };
	hb_tensor *in[5] = { x };
	for (int i = 0; i < 4; i++)
		in[1 + i] = ints(b, numbers[i], 1);
	return x && b->st == HB_OK ? done(b, begin(b, "Slice", 1, 5, in), true) : NULL;
}

/* t, or a copy where it is no node's of this body, becomes output i of n. */
static void
yield(struct body *b, int i, hb_tensor *t)
{
	hb_tensor *y = hb_out(b->n, i);
	if (!y || !t || b->st != HB_OK)
		return;
	bool own = t->producer && t->producer->id >= b->first && !t->is_output;
	if (!own)
		t = done(b, begin(b, "Identity", 1, 1, &t), true);
	if (!t || !t->producer) {		/* it folded */
		if (t)
			hb_tensor_replace(b->g, y, t);
		return;
	}
	hb_node *p = t->producer;
	int at = t->out_index;
	b->n->out[i] = NULL;
	hb_tensor_replace(b->g, t, y);
	hb_node_set_out(p, at, y);
	p->name = i == 0 ? b->n->name : p->name;
}

/* ---- Attention ---- */

enum { Q, K, V, MASK, PAST_K, PAST_V, LENS };

/* batch, sequence, heads * size as batch, heads, sequence, size; what has rank 4 is that. */
static hb_tensor *
by_head(struct body *b, hb_tensor *x, int64_t heads)
{
	if (!x || x->shape.rank == 4)
		return x;
	const int64_t *d = x->shape.dim;
	return transposed(b, RESHAPED(b, x, d[0], d[1], heads, d[2] / heads), 0, 2, 1, 3);
}

/* x where `keep` is true, minus infinity elsewhere. */
static hb_tensor *
kept(struct body *b, hb_tensor *keep, hb_tensor *x)
{
	return put(b, "Where", 3, keep, x, number(b, -(double)INFINITY));
}

/* x and the mask, whose keys behind its last are hidden. */
static hb_tensor *
with_mask(struct body *b, hb_tensor *x, hb_tensor *mask, int64_t keys)
{
	int rank = mask->shape.rank;
	int64_t last = mask->shape.dim[rank - 1], pads[2 * HB_MAX_RANK] = { 0 };
	bool shorter = last != 1 && last < keys;
	if (mask->dtype == HB_BOOL && !shorter)
		return kept(b, mask, x);
	if (mask->dtype == HB_BOOL)
		mask = kept(b, mask, number(b, 0));
	if (shorter) {
		pads[2 * rank - 1] = keys - last;
		hb_tensor *more = ints(b, pads, 2 * (size_t)rank), *hidden = number(b, -(double)INFINITY);
		mask = put(b, "Pad", 3, mask, more, hidden);
	}
	return put(b, "Add", 2, x, mask);
}

/* The scores with minus infinity where a query must not look. */
static hb_tensor *
masked(struct body *b, hb_tensor *x, int64_t batch, int64_t queries, int64_t keys, int64_t past)
{
	hb_graph *g = b->g;
	hb_tensor *mask = hb_in(b->n, MASK), *lens = hb_in(b->n, LENS), *t;
	if (mask)
		x = with_mask(b, x, mask, keys);
	if (hb_attr_i(b->n, "is_causal", 0) && past + 1 < keys) {
		hb_shape s = { .rank = 2, .dim = { queries, keys } };
		t = hb_tensor_const(g, b->n->name, HB_F32, &s, NULL);
		for (int64_t i = 0; t && i < queries * keys; i++)
			((float *)(uintptr_t)t->data)[i] = i % keys > i / keys + past ? -INFINITY : 0;
		x = t ? put(b, "Add", 2, x, t) : failed(b, HB_ERR_NOMEM);
	}
	if (lens) {
		hb_shape s = { .rank = 4, .dim = { 1, 1, 1, keys } };
		t = hb_tensor_const(g, b->n->name, HB_I64, &s, NULL);
		for (int64_t i = 0; t && i < keys; i++)
			((int64_t *)(uintptr_t)t->data)[i] = i;
		x = t ? kept(b, put(b, "Less", 2, t, RESHAPED(b, lens, batch, 1, 1, 1)), x) : failed(b, HB_ERR_NOMEM);
	}
	return x;
}

static void
attention(struct body *b)
{
	hb_node *n = b->n;
	const hb_shape *qs = &n->in[Q]->shape, *ks = &n->in[K]->shape, *vs = &n->in[V]->shape;
	int64_t batch = qs->dim[0], heads = qs->rank == 4 ? qs->dim[1] : hb_attr_i(n, "q_num_heads", 0);
	int64_t kv = ks->rank == 4 ? ks->dim[1] : hb_attr_i(n, "kv_num_heads", 0);
	int64_t queries = qs->rank == 4 ? qs->dim[2] : qs->dim[1], size = qs->rank == 4 ? qs->dim[3] : qs->dim[2] / heads;
	int64_t v_size = vs->rank == 4 ? vs->dim[3] : vs->dim[2] / kv, each = heads / kv;
	int64_t past = hb_in(n, PAST_K) ? n->in[PAST_K]->shape.dim[2] : 0;
	int64_t keys = past + (ks->rank == 4 ? ks->dim[2] : ks->dim[1]), mode = hb_attr_i(n, "qk_matmul_output_mode", 0);
	float scale = hb_attr_f(n, "scale", (float)(1.0 / sqrt((double)size))), cap = hb_attr_f(n, "softcap", 0);

	/* The scale on Q as it comes: behind a linear layer it goes into its weights. */
	hb_tensor *q = by_head(b, put(b, "Mul", 2, n->in[Q], number(b, (double)scale)), heads);
	hb_tensor *k = by_head(b, n->in[K], kv), *v = by_head(b, n->in[V], kv);
	if (past || hb_in(n, PAST_K)) {
		k = put_axis(b, "Concat", 2, 2, (hb_tensor *[]){ n->in[PAST_K], k });
		v = put_axis(b, "Concat", 2, 2, (hb_tensor *[]){ n->in[PAST_V], v });
	}
	hb_tensor *kt = transposed(b, k, 0, 1, 3, 2);
	/* Heads that share keys lie next to each other: their queries are rows of one product. */
	q = RESHAPED(b, q, batch, kv, each * queries, size);
	hb_tensor *s = put(b, "MatMul", 2, q, kt);
	hb_tensor *stages[4] = { s = RESHAPED(b, s, batch, heads, queries, keys) };
	stages[1] = s = masked(b, s, batch, queries, keys, past);
	if (cap > 0) {
		hb_tensor *c = number(b, (double)cap);
		s = put(b, "Mul", 2, put(b, "Tanh", 1, put(b, "Div", 2, s, c)), c);
	}
	stages[2] = s;
	stages[3] = s = put_axis(b, "Softmax", -1, 1, &s);
	hb_tensor *y = put(b, "MatMul", 2, RESHAPED(b, s, batch, kv, each * queries, keys), v);
	y = RESHAPED(b, y, batch, heads, queries, v_size);
	if (qs->rank == 3)
		y = RESHAPED(b, y ? transposed(b, y, 0, 2, 1, 3) : NULL, batch, queries, heads * v_size);
	yield(b, 1, k);
	yield(b, 2, v);
	if (mode >= 0 && mode < 4)
		yield(b, 3, stages[mode]);
	yield(b, 0, y);
}

/* ---- RotaryEmbedding ---- */

/* The cache's rows for each place, with a dimension for the heads. */
static hb_tensor *
angles(struct body *b, hb_tensor *cache, bool heads_first)
{
	hb_tensor *ids = hb_in(b->n, 3);
	if (ids)
		cache = put_axis(b, "Gather", 0, 2, (hb_tensor *[]){ cache, ids });
	const int64_t *d = cache ? cache->shape.dim : NULL;
	return !d ? NULL : heads_first ? RESHAPED(b, cache, d[0], 1, d[1], d[2]) : RESHAPED(b, cache, d[0], d[1], 1, d[2]);
}

static void
rotary_embedding(struct body *b)
{
	hb_node *n = b->n;
	hb_tensor *x = n->in[0];
	hb_shape whole = x->shape;
	bool heads_first = whole.rank == 4, interleaved = hb_attr_i(n, "interleaved", 0) != 0;
	int64_t heads = hb_attr_i(n, "num_heads", 0);
	if (!heads_first)
		x = RESHAPED(b, x, whole.dim[0], whole.dim[1], heads, whole.dim[2] / heads);
	if (!x)
		return;
	hb_shape s = x->shape;
	int64_t dim = hb_attr_i(n, "rotary_embedding_dim", 0), size = s.dim[3];
	dim = dim ? dim : size;
	int64_t half = dim / 2;
	hb_tensor *cs = angles(b, n->in[1], heads_first), *sn = angles(b, n->in[2], heads_first);
	hb_tensor *rest = dim < size ? sliced(b, x, 3, dim, size, 1) : NULL;
	hb_tensor *re = interleaved ? sliced(b, x, 3, 0, dim, 2) : sliced(b, x, 3, 0, half, 1);
	hb_tensor *im = interleaved ? sliced(b, x, 3, 1, dim, 2) : sliced(b, x, 3, half, dim, 1);
	hb_tensor *c_re = put(b, "Mul", 2, cs, re), *s_im = put(b, "Mul", 2, sn, im);
	hb_tensor *s_re = put(b, "Mul", 2, sn, re), *c_im = put(b, "Mul", 2, cs, im), *pair[2], *y;
	pair[0] = put(b, "Sub", 2, c_re, s_im);
	pair[1] = put(b, "Add", 2, s_re, c_im);
	if (interleaved) {
		for (int i = 0; i < 2; i++)
			pair[i] = RESHAPED(b, pair[i], s.dim[0], s.dim[1], s.dim[2], half, 1);
		y = RESHAPED(b, put_axis(b, "Concat", 4, 2, pair), s.dim[0], s.dim[1], s.dim[2], dim);
		y = rest && y ? put_axis(b, "Concat", 3, 2, (hb_tensor *[]){ y, rest }) : y;
	} else {
		y = put_axis(b, "Concat", 3, rest ? 3 : 2, (hb_tensor *[]){ pair[0], pair[1], rest });
	}
	yield(b, 0, reshaped(b, y, whole.rank, whole.dim));
}

/* ---- TensorScatter: each batch's rows from its own place on ---- */

static void
tensor_scatter(struct body *b)
{
	hb_node *n = b->n;
	hb_tensor *cache = n->in[0], *update = n->in[1], *first = hb_in(n, 2);
	int rank = cache->shape.rank, axis = (int)hb_attr_i(n, "axis", -2);
	axis += axis < 0 ? rank : 0;
	int64_t rows = update->shape.dim[axis], dim[HB_MAX_RANK];
	hb_shape line = { .rank = rank };
	for (int i = 0; i < rank; i++)
		line.dim[i] = i == axis ? rows : 1;
	hb_tensor *at = hb_tensor_const(b->g, n->name, HB_I64, &line, NULL);
	for (int64_t i = 0; at && i < rows; i++)
		((int64_t *)(uintptr_t)at->data)[i] = i;
	if (!at) {
		failed(b, HB_ERR_NOMEM);
		return;
	}
	if (first) {
		for (int i = 0; i < rank; i++)
			dim[i] = i ? 1 : cache->shape.dim[0];
		at = put(b, "Add", 2, at, reshaped(b, first, rank, dim));
	}
	if (!strcmp(hb_attr_s(n, "mode", "linear"), "circular"))
		at = put(b, "Mod", 2, at, ints(b, &cache->shape.dim[axis], 1));
	at = put(b, "Expand", 2, at, ints(b, update->shape.dim, (size_t)rank));
	yield(b, 0, put_axis(b, "ScatterElements", axis, 3, (hb_tensor *[]){ cache, at, update }));
}

/* ---- norms ---- */

/* x / sqrt(mean(x^2) + epsilon) * scale, the mean over the dimensions from `axis` on. */
static void
rms_normalization(struct body *b)
{
	hb_tensor *x = b->n->in[0];
	int64_t axes[HB_MAX_RANK], from = hb_attr_i(b->n, "axis", -1);
	size_t count = 0;
	for (int64_t i = from < 0 ? from + x->shape.rank : from; i < x->shape.rank; i++)
		axes[count++] = i;
	hb_tensor *square = put(b, "Mul", 2, x, x);
	hb_node *n = square ? begin(b, "ReduceMean", 1, 1, &square) : NULL;
	hb_tensor *mean = done(b, n, n && hb_attr_set_ints(b->g, n, "axes", axes, count));
	hb_tensor *root = put(b, "Sqrt", 1, put(b, "Add", 2, mean, number(b, (double)hb_attr_f(b->n, "epsilon", 1e-5f))));
	yield(b, 0, put(b, "Mul", 2, put(b, "Div", 2, x, root), b->n->in[1]));
}

/* A parameter a channel against x; of operator sets before 21 one a group. */
static hb_tensor *
by_channel(struct body *b, hb_tensor *p, const hb_shape *x, int64_t groups)
{
	int64_t dim[HB_MAX_RANK], wide[2] = { groups, x->dim[1] / groups };
	for (int i = 0; i < x->rank; i++)
		dim[i] = i == 1 ? x->dim[1] : 1;
	if (p->shape.dim[0] != x->dim[1]) {
		p = RESHAPED(b, p, groups, 1);
		p = put(b, "Expand", 2, p, ints(b, wide, 2));
	}
	return reshaped(b, p, x->rank, dim);
}

/* Each group is an instance of its own. */
static void
group_normalization(struct body *b)
{
	hb_node *n = b->n;
	const hb_shape x = n->in[0]->shape;
	int64_t groups = hb_attr_i(n, "num_groups", 1);
	hb_shape line = { .rank = 1, .dim = { groups } };
	hb_tensor *one = hb_tensor_const(b->g, n->name, HB_F32, &line, NULL), *none = hb_tensor_const(b->g, n->name, HB_F32, &line, NULL);
	if (!one || !none) {
		failed(b, HB_ERR_NOMEM);
		return;
	}
	for (int64_t i = 0; i < groups; i++)
		((float *)(uintptr_t)one->data)[i] = 1;
	hb_tensor *in[3] = { RESHAPED(b, n->in[0], x.dim[0], groups, hb_shape_span(&x, 1, x.rank) / groups), one, none };
	hb_node *norm = in[0] ? begin(b, "InstanceNormalization", 1, 3, in) : NULL;
	hb_tensor *y = done(b, norm, norm && hb_attr_set_f(b->g, norm, "epsilon", hb_attr_f(n, "epsilon", 1e-5f)));
	y = reshaped(b, y, x.rank, x.dim);
	y = put(b, "Mul", 2, y, by_channel(b, n->in[1], &x, groups));
	yield(b, 0, put(b, "Add", 2, y, by_channel(b, n->in[2], &x, groups)));
}

/* ---- element-wise ---- */

/* x * sigmoid(alpha * x) */
static void
swish(struct body *b)
{
	hb_tensor *x = b->n->in[0];
	float alpha = hb_attr_f(b->n, "alpha", 1);
	hb_tensor *z = alpha == 1 ? x : put(b, "Mul", 2, x, number(b, (double)alpha));
	yield(b, 0, put(b, "Mul", 2, x, put(b, "Sigmoid", 1, z)));
}

/* x * max(0, min(1, x / 6 + 1 / 2)) */
static void
hard_swish(struct body *b)
{
	hb_tensor *x = b->n->in[0];
	hb_node *n = begin(b, "HardSigmoid", 1, 1, &x);
	hb_tensor *gate = done(b, n, n && hb_attr_set_f(b->g, n, "alpha", 1.0f / 6) && hb_attr_set_f(b->g, n, "beta", 0.5f));
	yield(b, 0, put(b, "Mul", 2, x, gate));
}

/* x * tanh(log(1 + e^x)) */
static void
mish(struct body *b)
{
	hb_tensor *x = b->n->in[0];
	yield(b, 0, put(b, "Mul", 2, x, put(b, "Tanh", 1, put(b, "Softplus", 1, x))));
}

static void
cast_like(struct body *b)
{
	static const int onnx_types[HB_NDTYPES] = {
		[HB_F32] = 1, [HB_U8] = 2, [HB_I8] = 3, [HB_U16] = 4, [HB_I16] = 5, [HB_I32] = 6, [HB_I64] = 7, [HB_BOOL] = 9, [HB_U32] = 12, [HB_U64] = 13,
	};
	hb_node *n = begin(b, "Cast", 1, 1, b->n->in);
	yield(b, 0, done(b, n, n && hb_attr_set_i(b->g, n, "to", onnx_types[b->n->out[0]->dtype])));
}

/* Extents that shrink lose as much at both ends, those that grow get zeros at both; the odd one at the end. */
static void
center_crop_pad(struct body *b)
{
	hb_tensor *x = b->n->in[0];
	const hb_shape to = b->n->out[0]->shape;
	int64_t pads[2 * HB_MAX_RANK] = { 0 };
	bool pad = false;
	for (int i = 0; x && i < to.rank; i++) {
		int64_t more = to.dim[i] - x->shape.dim[i];
		if (more < 0)
			x = sliced(b, x, i, -more / 2, -more / 2 + to.dim[i], 1);
		if (more <= 0)
			continue;
		pads[i] = more / 2;
		pads[i + to.rank] = more - more / 2;
		pad = true;
	}
	yield(b, 0, pad && x ? put(b, "Pad", 2, x, ints(b, pads, 2 * (size_t)to.rank)) : x);
}

/* ---- TopK of one: the greatest and its index ---- */

static int64_t
top_axis(const hb_node *n)
{
	int64_t axis = hb_attr_i(n, "axis", -1);
	return axis < 0 ? axis + n->in[0]->shape.rank : axis;
}

static bool
takes_one(const hb_node *n)
{
	return n->in[0]->dtype == HB_F32 && n->in[0]->shape.rank && n->out[0] && n->out[0]->shape.dim[top_axis(n)] == 1;
}

static void
top_one(struct body *b)
{
	bool largest = hb_attr_i(b->n, "largest", 1);
	int64_t axis = top_axis(b->n);
	hb_node *n = begin(b, largest ? "ReduceMax" : "ReduceMin", 1, 1, b->n->in);
	yield(b, 0, done(b, n, n && hb_attr_set_ints(b->g, n, "axes", &axis, 1)));
	n = begin(b, largest ? "ArgMax" : "ArgMin", 1, 1, b->n->in);
	yield(b, 1, done(b, n, n && hb_attr_set_i(b->g, n, "axis", axis)));
}

/* ---- the table ---- */

static const struct row {
	const char *op;
	void (*expand)(struct body *b);
	bool newer;			/* than the operator sets that are written */
	bool (*form)(const hb_node *n);	/* of the operator that other operators are for the BPU, where it has no row; NULL: every */
} rows[] = {
	{ "TopK", top_one, false, takes_one },
	{ "Attention", attention, true, NULL },
	{ "RotaryEmbedding", rotary_embedding, true, NULL },
	{ "TensorScatter", tensor_scatter, true, NULL },
	{ "RMSNormalization", rms_normalization, true, NULL },
	{ "Swish", swish, true, NULL },
	{ "GroupNormalization", group_normalization, false, NULL },
	{ "HardSwish", hard_swish, false, NULL },
	{ "Mish", mish, false, NULL },
	{ "CastLike", cast_like, false, NULL },
	{ "CenterCropPad", center_crop_pad, false, NULL },
};

static const struct row *
row_of(const hb_node *n, const hb_march *m)
{
	for (size_t i = 0; !*n->domain && i < HB_LEN(rows); i++) {
		if (strcmp(rows[i].op, n->op_type))
			continue;
		if (rows[i].form)
			return m && !hb_march_op_of(m, n->op_type) && rows[i].form(n) ? &rows[i] : NULL;
		bool listed = !m || hb_march_op_of(m, n->op_type) || hb_march_has_cpu(m, n->op_type);
		return listed && (m || !rows[i].newer) ? NULL : &rows[i];
	}
	return NULL;
}

hb_status
hb_pass_expand(hb_graph *g, const hb_march *m)
{
	for (hb_node *n = g->first, *next; n; n = next) {
		next = n->next;
		const struct row *r = row_of(n, m);
		if (!r)
			continue;
		struct body b = { .g = g, .n = n, .first = g->next_node };
		hb_tensor *y = n->out[0];
		hb_node *before = n->prev;
		r->expand(&b);
		HB_TRY(b.st);
		for (hb_node *k = before ? before->next : g->first; k != n; k = k->next)
			k->part_of = n->last_source;
		hb_node_absorb(g, y->producer == n ? NULL : y->producer, n);
		hb_node_remove(g, n);
	}
	hb_graph_sweep(g);
	return HB_OK;
}
