/* recognise: takes a float graph with shapes known; leaves one in which what exporters write out has its
 * operator again (layer norms, softmax, pixel shuffles), and in which the parts of composites that go by
 * their parts carry the composite's name (node->composite). The function stays the same. */
#include "lib/pass/pass.h"

#include <math.h>

/* ---- matching: from a node back to what it reads ---- */

enum { MAX_PARTS = 24 };

struct match {
	hb_graph *g;
	hb_node *last;			/* yields the composite's output */
	hb_node *part[MAX_PARTS];	/* with `last`, which is the first */
	int count;
};

static bool
is_op(const hb_node *n, const char *op)
{
	return n && !*n->domain && !strcmp(n->op_type, op);
}

static struct match
match_at(hb_graph *g, hb_node *last)
{
	return (struct match){ .g = g, .last = last, .part = { last }, .count = 1 };
}

static bool
has_part(const struct match *m, const hb_node *n)
{
	for (int i = 0; i < m->count; i++) {
		if (m->part[i] == n)
			return true;
	}
	return false;
}

static bool
take(struct match *m, hb_node *n)
{
	if (has_part(m, n))
		return true;
	if (m->count == MAX_PARTS)
		return false;
	m->part[m->count++] = n;
	return true;
}

/* The node of operator `op` that makes t, as one more part; NULL: none. What the file quantizes in between is no inside. */
static hb_node *
made_by(struct match *m, const hb_tensor *t, const char *op)
{
	hb_node *n = t && !t->is_output && t->q.from != HB_Q_GIVEN ? t->producer : NULL;
	return is_op(n, op) && take(m, n) ? n : NULL;
}

/* Is what the parts make, but for the last one's output, read by parts only? */
static bool
closed(const struct match *m)
{
	for (int i = 1; i < m->count; i++) {
		for (int o = 0; o < m->part[i]->nout; o++) {
			const hb_tensor *t = m->part[i]->out[o];
			if (t && t->is_output)
				return false;
			for (size_t u = 0; t && u < t->nuses; u++) {
				if (!has_part(m, t->uses[u].node))
					return false;
			}
		}
	}
	return true;
}

static bool
is_number(hb_graph *g, hb_tensor *t, double *v)
{
	const float *f = t && t->is_const && t->dtype == HB_F32 && hb_tensor_elems(t) == 1 ? hb_tensor_data(g, t) : NULL;
	if (f)
		*v = (double)*f;
	return f != NULL;
}

/* Operand of the addition or product n beside a number, which goes to *v; NULL: it has none. */
static hb_tensor *
beside_number(hb_graph *g, const hb_node *n, double *v)
{
	return n->nin != 2 ? NULL : is_number(g, n->in[1], v) ? n->in[0] : is_number(g, n->in[0], v) ? n->in[1] : NULL;
}

/* The operand of n that is not t. */
static hb_tensor *
other(const hb_node *n, const hb_tensor *t)
{
	return n->in[n->in[0] == t];
}

/* The dimensions, as bits, that n reduces and keeps with extent 1; 0: something else. */
static unsigned
reduced(hb_graph *g, const hb_node *n)
{
	int64_t axes[HB_MAX_RANK];
	size_t count = 0;
	int rank = n->in[0]->shape.rank;
	if (!hb_attr_i(n, "keepdims", 1) || !rank)
		return 0;
	if (n->nin > 1 && n->in[1]) {
		if (!hb_tensor_ints_get(g, n->in[1], axes, HB_MAX_RANK, &count))
			return 0;
	} else {
		const int64_t *a = hb_attr_ints(n, "axes", &count);
		if (count > HB_MAX_RANK)
			return 0;
		if (a)
			memcpy(axes, a, count * sizeof(axes[0]));
	}
	unsigned bits = 0;
	for (size_t i = 0; i < count; i++)
		bits |= 1u << (axes[i] < 0 ? axes[i] + rank : axes[i]);
	return bits ? bits : hb_attr_i(n, "noop_with_empty_axes", 0) ? 0 : (1u << rank) - 1;
}

/* The first of the dimensions in `bits` where they are all from there to the last; -1: they are not. */
static int
first_of_last(unsigned bits, int rank)
{
	for (int i = 0; i < rank; i++) {
		if (bits == ((1u << rank) - 1) - ((1u << i) - 1))
			return i;
	}
	return -1;
}

/* ---- replacing ---- */

/* A node of operator set 17 in the place of the match: reads in[0 .. nin), makes what the match made. */
static hb_status
replace(struct match *m, const char *op, int nin, hb_tensor *const *in, hb_node **out)
{
	hb_graph *g = m->g;
	hb_node *n = hb_node_new(g, m->last, m->last->name, "", op, 17, nin, 1);
	hb_tensor *y = m->last->out[0];
	if (!n)
		return HB_ERR_NOMEM;
	for (int i = 0; i < nin; i++)
		hb_node_set_in(g, n, i, in[i]);
	for (int i = 0; i < m->count; i++) {
		if (m->part[i] != m->last)
			hb_node_absorb(g, n, m->part[i]);
	}
	hb_node_absorb(g, n, m->last);
	for (int i = 0; i < m->count; i++)
		hb_node_remove(g, m->part[i]);
	hb_node_set_out(n, 0, y);
	*out = n;
	return HB_OK;
}

static hb_status
finish(hb_graph *g, hb_node *n, bool attrs_set)
{
	return attrs_set ? hb_op_infer(g, n) : hb_nomem(g->cx, n->name);
}

static void
mark(const struct match *m, const char *composite)
{
	for (int i = 0; i < m->count; i++)
		m->part[i]->composite = composite;
}

/* ---- layer norm ---- */

/* x less its mean over the dimensions in *bits (0: any, which are set). */
static bool
is_centred(struct match *m, const hb_tensor *t, hb_tensor **x, hb_tensor **mean, unsigned *bits)
{
	hb_node *sub = made_by(m, t, "Sub");
	hb_node *r = sub ? made_by(m, sub->in[1], "ReduceMean") : NULL;
	if (!r || r->in[0] != sub->in[0] || (*x && *x != sub->in[0]))
		return false;
	unsigned b = reduced(m->g, r);
	if (!b || (*bits && *bits != b))
		return false;
	*x = sub->in[0];
	*mean = sub->in[1];
	*bits = b;
	return true;
}

/* The square of what x's mean leaves, its mean, plus epsilon. */
static bool
is_variance(struct match *m, hb_tensor *t, hb_tensor **x, hb_tensor **mean, unsigned *bits, double *epsilon)
{
	double two = 0;
	hb_node *add = made_by(m, t, "Add");
	hb_tensor *v = add ? beside_number(m->g, add, epsilon) : NULL;
	hb_node *r = v ? made_by(m, v, "ReduceMean") : NULL;
	unsigned b = r ? reduced(m->g, r) : 0;
	if (!b || (*bits && *bits != b))
		return false;
	*bits = b;
	hb_node *square = made_by(m, r->in[0], "Pow");
	if (square ? !is_number(m->g, square->in[1], &two) || two != 2
		   : !(square = made_by(m, r->in[0], "Mul")) || square->in[0] != square->in[1])
		return false;
	return is_centred(m, square->in[0], x, mean, bits);
}

/* t = 1 / sqrt(*v), in whatever way. */
static bool
is_inverse_root(struct match *m, const hb_tensor *t, hb_tensor **v)
{
	double p = 0;
	int count = m->count;
	hb_node *n = made_by(m, t, "Reciprocal");
	hb_node *root = n ? made_by(m, n->in[0], "Sqrt") : NULL;
	if (!n && (n = made_by(m, t, "Div")))
		root = is_number(m->g, n->in[0], &p) && p == 1 ? made_by(m, n->in[1], "Sqrt") : NULL;
	if (!n && (n = made_by(m, t, "Pow")))
		root = is_number(m->g, n->in[1], &p) && p == -0.5 ? n : NULL;
	*v = root ? root->in[0] : NULL;
	m->count = root ? m->count : count;
	return root != NULL;
}

/* A parameter of the dimensions from `from` on, without the ones before them; NULL: it is something else. */
static hb_tensor *
parameter(hb_graph *g, hb_tensor *p, const hb_shape *x, int from)
{
	hb_shape s = { .rank = x->rank - from };
	if (!p || !p->is_const || p->dtype != HB_F32 || p->shape.rank > x->rank)
		return NULL;
	for (int i = 0; i < s.rank; i++)
		s.dim[i] = x->dim[from + i];
	int ones = p->shape.rank - s.rank;
	for (int i = 0; i < p->shape.rank; i++) {
		if (p->shape.dim[i] != (i < ones ? 1 : i - ones < s.rank ? s.dim[i - ones] : 0))
			return NULL;
	}
	if (ones < 0)
		return NULL;
	const void *data = ones ? hb_tensor_data(g, p) : NULL;
	return !ones ? p : data ? hb_tensor_const(g, p->name, HB_F32, &s, data) : NULL;
}

static hb_tensor *
ones_of(hb_graph *g, const char *name, const hb_shape *x, int from)
{
	hb_shape s = { .rank = x->rank - from };
	memcpy(s.dim, x->dim + from, (size_t)s.rank * sizeof(s.dim[0]));
	hb_tensor *t = hb_tensor_const(g, name, HB_F32, &s, NULL);
	for (int64_t i = 0; t && i < hb_shape_elems(&s); i++)
		((float *)(uintptr_t)t->data)[i] = 1;
	return t;
}

/* The only reader of t where it is an `op` beside a parameter, which goes to *p. */
static hb_node *
scaled_by(struct match *m, hb_tensor *t, const char *op, const hb_shape *x, int from, hb_tensor **p)
{
	hb_node *n = t->nuses == 1 && !t->is_output && t->q.from != HB_Q_GIVEN ? t->uses[0].node : NULL;
	if (!is_op(n, op) || n->nin != 2 || hb_attr_find(n, "axis") || !hb_shape_eq(&n->out[0]->shape, x))
		return NULL;
	*p = parameter(m->g, other(n, t), x, from);
	return *p ? n : NULL;
}

static hb_status
put_layer_norm(struct match *m, hb_tensor *x, int from, double epsilon, hb_tensor *w, hb_tensor *b)
{
	hb_node *n;
	const char *name = m->last->name;
	w = w ? w : ones_of(m->g, name, &x->shape, from);
	if (!w)
		return hb_nomem(m->g->cx, name);
	HB_TRY(replace(m, "LayerNormalization", b ? 3 : 2, (hb_tensor *[]){ x, w, b }, &n));
	return finish(m->g, n, hb_attr_set_i(m->g, n, "axis", from) && hb_attr_set_f(m->g, n, "epsilon", (float)epsilon));
}

/* (x - mean) / sqrt(variance + epsilon) [* w] [+ b] */
static hb_status
layer_norm(hb_graph *g, hb_node *n)
{
	struct match m = match_at(g, n);
	hb_tensor *x = NULL, *mean = NULL, *v = NULL, *w = NULL, *b = NULL;
	unsigned bits = 0;
	double epsilon = 0, half = 0;
	const hb_tensor *centred = n->in[0];
	if (is_op(n, "Div")) {
		hb_node *root = made_by(&m, n->in[1], "Sqrt");
		if (!root && (root = made_by(&m, n->in[1], "Pow")) && !(is_number(g, root->in[1], &half) && half == 0.5))
			return HB_OK;
		v = root ? root->in[0] : NULL;
	} else if (!is_inverse_root(&m, n->in[1], &v)) {
		m = match_at(g, n);
		centred = n->in[1];
		if (!is_inverse_root(&m, n->in[0], &v))
			return HB_OK;
	}
	if (!v || !is_centred(&m, centred, &x, &mean, &bits) || !is_variance(&m, v, &x, &mean, &bits, &epsilon))
		return HB_OK;
	int from = first_of_last(bits, x->shape.rank);
	if (from < 0 || x->dtype != HB_F32 || !closed(&m))
		return HB_OK;
	hb_node *scale = scaled_by(&m, n->out[0], "Mul", &x->shape, from, &w);
	hb_node *shift = scaled_by(&m, scale ? scale->out[0] : n->out[0], "Add", &x->shape, from, &b);
	if ((scale && !take(&m, scale)) || (shift && !take(&m, shift)))
		return HB_OK;
	m.last = shift ? shift : scale ? scale : n;
	return put_layer_norm(&m, x, from, epsilon, w, b);
}

/* x * s + (b - mean * s), s = w / sqrt(variance + epsilon): as TensorFlow's batch normalization has it. */
static hb_status
layer_norm_by_scale(hb_graph *g, hb_node *n)
{
	for (int side = 0; side < 2; side++) {
		struct match m = match_at(g, n);
		hb_node *xs = made_by(&m, n->in[side], "Mul"), *rest = made_by(&m, n->in[1 - side], "Sub");
		hb_node *ms = rest ? made_by(&m, rest->in[1], "Mul") : NULL;
		if (!xs || !ms)
			continue;
		for (int k = 0; k < 2; k++) {
			hb_tensor *s = xs->in[k], *x = xs->in[1 - k], *mean = NULL, *v = NULL, *w = NULL;
			unsigned bits = 0;
			double epsilon = 0;
			struct match t = m;
			hb_node *scale = made_by(&t, s, "Mul");
			if ((ms->in[0] != s && ms->in[1] != s) || !scale)
				continue;
			hb_tensor *by = NULL;
			for (int i = 0; i < 2 && !by; i++)
				by = is_inverse_root(&t, scale->in[i], &v) ? scale->in[1 - i] : NULL;
			if (!by || !is_variance(&t, v, &x, &mean, &bits, &epsilon) || other(ms, s) != mean || !closed(&t))
				continue;
			int from = first_of_last(bits, x->shape.rank);
			w = from < 0 ? NULL : parameter(g, by, &x->shape, from);
			hb_tensor *b = w ? parameter(g, rest->in[0], &x->shape, from) : NULL;
			return b ? put_layer_norm(&t, x, from, epsilon, w, b) : HB_OK;
		}
	}
	return HB_OK;
}

/* ---- softmax ---- */

/* e^x / sum(e^x), with the largest x taken off before or not. */
static hb_status
softmax(hb_graph *g, hb_node *n)
{
	struct match m = match_at(g, n);
	hb_node *e = made_by(&m, n->in[0], "Exp"), *sum = made_by(&m, n->in[1], "ReduceSum"), *s;
	unsigned bits = sum ? reduced(g, sum) : 0;
	if (!e || !bits || bits & (bits - 1) || sum->in[0] != n->in[0])
		return HB_OK;
	hb_tensor *x = e->in[0];
	struct match less = m;
	hb_node *sub = made_by(&less, x, "Sub"), *most = sub ? made_by(&less, sub->in[1], "ReduceMax") : NULL;
	if (most && most->in[0] == sub->in[0] && reduced(g, most) == bits && closed(&less)) {
		x = sub->in[0];
		m = less;
	}
	if (x->dtype != HB_F32 || !closed(&m))
		return HB_OK;
	int axis = 0;
	while (!(bits & 1u << axis))
		axis++;
	HB_TRY(replace(&m, "Softmax", 1, &x, &s));
	return finish(g, s, hb_attr_set_i(g, s, "axis", axis));
}

/* log(softmax(x)) */
static hb_status
log_softmax(hb_graph *g, hb_node *n)
{
	struct match m = match_at(g, n);
	hb_node *s = made_by(&m, n->in[0], "Softmax"), *y;
	if (!s || s->version < 13 || !closed(&m))
		return HB_OK;
	int64_t axis = hb_attr_i(s, "axis", -1);
	hb_tensor *x = s->in[0];
	HB_TRY(replace(&m, "LogSoftmax", 1, &x, &y));
	return finish(g, y, hb_attr_set_i(g, y, "axis", axis));
}

/* ---- pixel shuffles: Reshape-Transpose-Reshape through six dimensions ---- */

/* Where d, of the six dimensions before the transpose, has N, C, block row, block column, H, W. */
static const struct shuffle {
	int64_t perm[6];
	int c, rows, columns, h, w;
	bool up;			/* channels become pixels */
	const char *mode;		/* of DepthToSpace; of SpaceToDepth: whose channels stay the slower ones, "DCR": none */
} shuffles[] = {
	{ { 0, 1, 4, 2, 5, 3 }, 1, 2, 3, 4, 5, true, "CRD" },
	{ { 0, 3, 4, 1, 5, 2 }, 3, 1, 2, 4, 5, true, "DCR" },
	{ { 0, 3, 5, 1, 2, 4 }, 1, 3, 5, 2, 4, false, "DCR" },
	{ { 0, 1, 3, 5, 2, 4 }, 1, 3, 5, 2, 4, false, "CRD" },
};

/* SpaceToDepth gives block x channel, the file wants channel x block: a channel shuffle makes the one the other. */
static hb_status
swap_channels(hb_graph *g, hb_node *n, int64_t blocks, int64_t channels)
{
	static const int64_t perm[5] = { 0, 2, 1, 3, 4 };
	hb_tensor *y = n->out[0];
	const int64_t *d = y->shape.dim;
	const int64_t wide[5] = { d[0], blocks, channels, d[2], d[3] };
	hb_node *first = hb_node_new(g, n->next, n->name, "", "Reshape", 14, 2, 1);
	hb_node *swap = first ? hb_node_new(g, first->next, n->name, "", "Transpose", 13, 1, 1) : NULL;
	hb_node *last = swap ? hb_node_new(g, swap->next, n->name, "", "Reshape", 14, 2, 1) : NULL;
	hb_tensor *shape = last ? hb_tensor_ints(g, n->name, wide, 5) : NULL, *back = shape ? hb_tensor_ints(g, n->name, d, 4) : NULL;
	hb_tensor *t[3];
	for (int i = 0; i < 3; i++)
		t[i] = back ? hb_tensor_new(g, n->name, HB_NONE, NULL) : NULL;
	if (!t[2] || !hb_attr_set_ints(g, swap, "perm", perm, 5))
		return hb_nomem(g->cx, n->name);
	hb_node_set_out(n, 0, t[0]);
	hb_node_set_in(g, first, 0, t[0]);
	hb_node_set_in(g, first, 1, shape);
	hb_node_set_out(first, 0, t[1]);
	hb_node_set_in(g, swap, 0, t[1]);
	hb_node_set_out(swap, 0, t[2]);
	hb_node_set_in(g, last, 0, t[2]);
	hb_node_set_in(g, last, 1, back);
	hb_node_set_out(last, 0, y);
	hb_node_absorb(g, last, n);
	hb_node *order[] = { n, first, swap, last };
	for (int i = 0; i < 4; i++)
		HB_TRY(hb_op_infer(g, order[i]));
	return HB_OK;
}

static hb_status
pixel_shuffle(hb_graph *g, hb_node *n)
{
	struct match m = match_at(g, n);
	hb_node *t = made_by(&m, n->in[0], "Transpose"), *first = t ? made_by(&m, t->in[0], "Reshape") : NULL, *y;
	size_t np;
	const int64_t *perm = t ? hb_attr_ints(t, "perm", &np) : NULL;
	if (!first || !perm || np != 6 || !closed(&m))
		return HB_OK;
	hb_tensor *x = first->in[0];
	const hb_shape from = x->shape, wide = first->out[0]->shape, to = n->out[0]->shape;
	for (size_t i = 0; i < HB_LEN(shuffles); i++) {
		const struct shuffle *s = &shuffles[i];
		if (memcmp(perm, s->perm, sizeof(s->perm)))
			continue;
		int64_t b = wide.dim[s->rows], c = wide.dim[s->c], h = wide.dim[s->h], w = wide.dim[s->w];
		hb_shape deep = { 4, { wide.dim[0], c * b * b, h, w } }, flat = { 4, { wide.dim[0], c, h * b, w * b } };
		if (wide.dim[s->columns] != b || !hb_shape_eq(&from, s->up ? &deep : &flat) || !hb_shape_eq(&to, s->up ? &flat : &deep))
			return HB_OK;
		HB_TRY(replace(&m, s->up ? "DepthToSpace" : "SpaceToDepth", 1, &x, &y));
		HB_TRY(finish(g, y, hb_attr_set_i(g, y, "blocksize", b) && (!s->up || hb_attr_set_s(g, y, "mode", s->mode))));
		return !s->up && !strcmp(s->mode, "CRD") && c > 1 && b > 1 ? swap_channels(g, y, b * b, c) : HB_OK;
	}
	return HB_OK;
}

/* ---- composites that go by their parts ---- */

/* N, g, C/g, ... with g and C/g exchanged. */
static hb_status
channel_shuffle(hb_graph *g, hb_node *n)
{
	struct match m = match_at(g, n);
	hb_node *t = made_by(&m, n->in[0], "Transpose"), *first = t ? made_by(&m, t->in[0], "Reshape") : NULL;
	size_t np;
	const int64_t *perm = t ? hb_attr_ints(t, "perm", &np) : NULL;
	if (!first || !perm || np < 4 || !closed(&m) || !hb_shape_eq(&first->in[0]->shape, &n->out[0]->shape) ||
	    n->out[0]->shape.rank != (int)np - 1 || first->out[0]->shape.dim[0] != n->out[0]->shape.dim[0])
		return HB_OK;
	for (size_t i = 0; i < np; i++) {
		if (perm[i] != (i == 1 ? 2 : i == 2 ? 1 : (int64_t)i))
			return HB_OK;
		if (i > 2 && first->out[0]->shape.dim[i] != n->out[0]->shape.dim[i - 1])
			return HB_OK;
	}
	mark(&m, "ChannelShuffle");
	return HB_OK;
}

/* Are a and b, in this order, the halves of one tensor along one axis? */
static bool
are_halves(struct match *m, hb_tensor *a, hb_tensor *b)
{
	hb_node *p = a->producer, *q = b->producer;
	int64_t from[2] = { 0 }, axis[2] = { 0 };
	size_t count = 1;
	if (!p || !q || !hb_shape_eq(&a->shape, &b->shape))
		return false;
	if (is_op(p, "Split"))
		return p == q && p->nout == 2 && a->out_index == 0 && take(m, p);
	if (!is_op(p, "Slice") || !is_op(q, "Slice") || p->in[0] != q->in[0] || p->nin < 4 || q->nin < 4)
		return false;
	hb_node *n[2] = { p, q };
	for (int i = 0; i < 2; i++) {
		if (!hb_tensor_ints_get(m->g, n[i]->in[1], &from[i], 1, &count) || count != 1 ||
		    !hb_tensor_ints_get(m->g, n[i]->in[3], &axis[i], 1, &count) || count != 1 || !take(m, n[i]))
			return false;
		axis[i] += axis[i] < 0 ? a->shape.rank : 0;
	}
	return axis[0] == axis[1] && axis[0] >= 0 && axis[0] < a->shape.rank && from[0] == 0 && from[1] == a->shape.dim[axis[0]] &&
	       p->in[0]->shape.dim[axis[0]] == 2 * a->shape.dim[axis[0]];
}

/* a * sigmoid(b), a and b the halves of one tensor */
static hb_status
glu(hb_graph *g, hb_node *n)
{
	for (int i = 0; i < 2; i++) {
		struct match m = match_at(g, n);
		hb_node *s = made_by(&m, n->in[i], "Sigmoid");
		if (s && are_halves(&m, n->in[1 - i], s->in[0]) && closed(&m))
			mark(&m, "GLU");
	}
	return HB_OK;
}

/* One branch is constant. */
static hb_status
masked_fill(hb_graph *g, hb_node *n)
{
	(void)g;
	if (n->in[1]->is_const || n->in[2]->is_const)
		n->composite = "masked_fill";
	return HB_OK;
}

/* The largest, or smallest, along an axis and where it stands. */
static hb_status
extreme_with_index(hb_graph *g, hb_node *n)
{
	const hb_tensor *x = n->in[0];
	int64_t axis = hb_attr_i(n, "axis", 0);
	bool most = is_op(n, "ArgMax");
	axis += axis < 0 ? x->shape.rank : 0;
	for (size_t u = 0; u < x->nuses; u++) {
		hb_node *r = x->uses[u].node;
		int64_t axes[1];
		size_t count = 0;
		if (!is_op(r, most ? "ReduceMax" : "ReduceMin"))
			continue;
		const int64_t *a = hb_attr_ints(r, "axes", &count);
		if (a && count == 1)
			axes[0] = a[0];
		else if (r->nin < 2 || !hb_tensor_ints_get(g, r->in[1], axes, 1, &count) || count != 1)
			continue;
		if (axes[0] + (axes[0] < 0 ? x->shape.rank : 0) == axis)
			n->composite = r->composite = most ? "max" : "min";
	}
	return HB_OK;
}

/* softmax(scale * q k' [+ mask]) v */
static hb_status
attention(hb_graph *g, hb_node *n)
{
	static const char *const between[] = { "Mul", "Div", "Add", "Where" };
	struct match m = match_at(g, n);
	hb_node *s = made_by(&m, n->in[0], "Softmax"), *p = s ? s->in[0]->producer : NULL;
	double scale;
	if (!s)
		return HB_OK;
	for (int steps = 0; p && !is_op(p, "MatMul"); steps++) {
		hb_tensor *next = NULL;
		bool known = false;
		for (size_t i = 0; i < HB_LEN(between); i++)
			known = known || is_op(p, between[i]);
		if (!known || steps == 4 || !take(&m, p))
			return HB_OK;
		if (is_op(p, "Mul") || is_op(p, "Div"))
			next = beside_number(g, p, &scale);
		for (int i = 0; !next && i < p->nin; i++) {
			const hb_node *q = p->in[i] ? p->in[i]->producer : NULL;
			bool scores = q && p->in[i]->shape.rank >= 3 && hb_shape_eq(&p->in[i]->shape, &s->in[0]->shape);
			for (size_t k = 0; scores && k < HB_LEN(between); k++) {
				if (is_op(q, between[k]) || is_op(q, "MatMul"))
					next = p->in[i];
			}
		}
		p = next ? next->producer : NULL;
	}
	if (p && !p->in[0]->is_const && !p->in[1]->is_const && !n->in[1]->is_const && take(&m, p) && closed(&m))
		mark(&m, "MultiheadAttention");
	return HB_OK;
}

/* Is t an activation of one of the four equal parts of a tensor, `all`? */
static bool
is_gate(struct match *m, const hb_tensor *t, const char *activation, hb_tensor **all)
{
	int count = m->count;
	hb_node *a = made_by(m, t, activation), *p = a ? a->in[0]->producer : NULL;
	bool part = p && (is_op(p, "Split") || is_op(p, "Slice")) && (!*all || *all == p->in[0]) &&
		    hb_tensor_elems(p->in[0]) == 4 * hb_tensor_elems(a->in[0]) && take(m, p);
	if (part)
		*all = p->in[0];
	else
		m->count = count;
	return part;
}

/* Is t the product of two gates' or of a gate and a tensor that is none? */
static hb_tensor *
gated(struct match *m, const hb_tensor *t, hb_tensor **all)
{
	hb_node *n = made_by(m, t, "Mul");
	for (int i = 0; n && i < 2; i++) {
		if (is_gate(m, n->in[i], "Sigmoid", all))
			return n->in[1 - i];
	}
	return NULL;
}

/* h = o * tanh(c), c = f * c' + i * g; i, f, g, o from one tensor of four parts */
static hb_status
lstm_cell(hb_graph *g, hb_node *n)
{
	struct match m = match_at(g, n);
	hb_tensor *all = NULL, *squashed = NULL;
	for (int i = 0; i < 2 && !squashed; i++) {
		struct match t = match_at(g, n);
		squashed = is_gate(&t, n->in[i], "Sigmoid", &all) ? n->in[1 - i] : NULL;
		m = t;
	}
	hb_node *tanh = squashed ? made_by(&m, squashed, "Tanh") : NULL;
	hb_node *sum = tanh && is_op(tanh->in[0]->producer, "Add") ? tanh->in[0]->producer : NULL;
	if (!sum || !take(&m, sum))
		return HB_OK;
	hb_tensor *a = gated(&m, sum->in[0], &all), *b = gated(&m, sum->in[1], &all);
	if (a && b && (is_gate(&m, a, "Tanh", &all) || is_gate(&m, b, "Tanh", &all)))
		mark(&m, "LSTMCell");
	return HB_OK;
}

/* ---- the tables ---- */

typedef hb_status recognise(hb_graph *g, hb_node *n);

struct pattern {
	const char *op;			/* of the node that it is looked for at */
	recognise *f;
};

static const struct pattern rewrites[] = {
	{ "Div", layer_norm }, { "Mul", layer_norm }, { "Add", layer_norm_by_scale }, { "Div", softmax }, { "Log", log_softmax },
	{ "Reshape", pixel_shuffle },
};

static const struct pattern marks[] = {
	{ "Reshape", channel_shuffle }, { "Mul", glu }, { "Where", masked_fill }, { "ArgMax", extreme_with_index },
	{ "ArgMin", extreme_with_index }, { "MatMul", attention }, { "Mul", lstm_cell },
};

/* A pattern at every node that is in the graph by then: matches take nodes on both sides. */
static hb_status
everywhere(hb_graph *g, hb_arena *scratch, const struct pattern *p)
{
	hb_node **all = HB_NEW_N(scratch, hb_node *, g->nnodes);
	int count = 0;
	if (!all)
		return hb_nomem(g->cx, "recognise");
	for (hb_node *n = g->first; n; n = n->next) {
		if (is_op(n, p->op))
			all[count++] = n;
	}
	for (int i = 0; i < count; i++) {
		if (all[i]->out[0] && all[i]->out[0]->producer == all[i])
			HB_TRY(p->f(g, all[i]));
	}
	hb_arena_reset(scratch);
	return HB_OK;
}

hb_status
hb_pass_recognise(hb_graph *g)
{
	hb_arena *scratch = hb_arena_new(g->cx);
	hb_status st = scratch ? HB_OK : hb_nomem(g->cx, "recognise");
	for (size_t i = 0; st == HB_OK && i < HB_LEN(rewrites); i++)
		st = everywhere(g, scratch, &rewrites[i]);
	for (size_t i = 0; st == HB_OK && i < HB_LEN(marks); i++)
		st = everywhere(g, scratch, &marks[i]);
	hb_arena_free(scratch);
	return st;
}
