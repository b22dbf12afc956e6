/* fuse: takes a float graph with shapes known; leaves one with batch norms and
 * per-channel scales folded into the convolution before them, and with groups:
 * what becomes one operation with one requantization (SEMANTICS 4). Groups stay
 * standard nodes; only folding rewrites. */
#include "lib/pass/pass.h"

#include <math.h>

/* The tensor's only reader, where it has one and is no output. What the file quantizes in between is
 * read as it is then, by a node of its own. */
static hb_node *
only_reader(const hb_tensor *t)
{
	return t && t->nuses == 1 && !t->is_output && t->q.from != HB_Q_GIVEN ? t->uses[0].node : NULL;
}

/* The same, also where the reader's result has the scale that the file gives t: clamping both is clamping once. */
static hb_node *
only_clamp(const hb_tensor *t)
{
	hb_node *n = t && t->nuses == 1 && !t->is_output ? t->uses[0].node : NULL;
	return n && (t->q.from != HB_Q_GIVEN || hb_q_same(&t->q, &n->out[0]->q)) ? n : NULL;
}

static bool
is_op(const hb_node *n, const char *op)
{
	return n && !*n->domain && !strcmp(n->op_type, op);
}

/* ---- folding ---- */

/* y[c] = x[c] * mul[c] + add[c], c over the channels of a convolution's output. */
typedef struct affine {
	int64_t channels;
	double *mul, *add;
} affine;

/* Value c of a constant with one element or one a channel; channel dim at 1 of `rank`, aligned right. */
static bool
per_channel(const hb_tensor *t, const hb_shape *out, int channel_dim, int64_t channels)
{
	if (!t || !t->is_const || t->dtype != HB_F32 || t->shape.rank > out->rank)
		return false;
	for (int i = 0; i < t->shape.rank; i++) {
		int64_t d = t->shape.dim[i];
		bool at_channel = i + out->rank - t->shape.rank == channel_dim;
		if (d != 1 && !(at_channel && d == channels))
			return false;
	}
	return true;
}

static double
value_at(const float *v, int64_t elems, int64_t c)
{
	return elems == 1 ? v[0] : v[c];
}

/* What n does to its input 0 as an affine function of channels; false where it is something else. */
static bool
affine_of(hb_graph *g, hb_arena *a, hb_node *n, const hb_tensor *x, int channel_dim, affine *f)
{
	int64_t channels = x->shape.dim[channel_dim];
	f->channels = channels;
	f->mul = HB_NEW_N(a, double, channels);
	f->add = HB_NEW_N(a, double, channels);
	if (!f->mul || !f->add)
		return false;
	if (is_op(n, "BatchNormalization")) {
		const float *p[4];
		if (n->in[0] != x || channel_dim != 1 || hb_attr_i(n, "training_mode", 0) || n->nout > 1)
			return false;
		for (int i = 0; i < 4; i++) {
			hb_tensor *t = hb_in(n, i + 1);
			p[i] = t && t->is_const && hb_tensor_elems(t) == channels ? hb_tensor_data(g, t) : NULL;
			if (!p[i])
				return false;
		}
		double eps = hb_attr_f(n, "epsilon", 1e-5f);
		for (int64_t c = 0; c < channels; c++) {
			f->mul[c] = p[0][c] / sqrt((double)p[3][c] + eps);
			f->add[c] = p[1][c] - p[2][c] * f->mul[c];
		}
		return true;
	}
	bool mul = is_op(n, "Mul"), add = is_op(n, "Add"), sub = is_op(n, "Sub"), div = is_op(n, "Div");
	if (!mul && !add && !sub && !div)
		return false;
	int at = n->in[0] == x ? 0 : 1;
	if (at && (sub || div))
		return false;
	hb_tensor *k = n->in[1 - at];
	if (k == x || !hb_shape_eq(&n->out[0]->shape, &x->shape) || !per_channel(k, &x->shape, channel_dim, channels))
		return false;
	const float *v = hb_tensor_data(g, k);
	if (!v)
		return false;
	int64_t elems = hb_tensor_elems(k);
	for (int64_t c = 0; c < channels; c++) {
		double s = value_at(v, elems, c);
		f->mul[c] = mul ? s : div ? 1 / s : 1;
		f->add[c] = add ? s : sub ? -s : 0;
		if (!isfinite(f->mul[c]))
			return false;
	}
	return true;
}

/* Where a root keeps its weights: the dimension of output channels, and channels = dim * groups (ConvTranspose). */
typedef struct root_kind {
	const char *op;
	int out_dim;			/* of the weights; Gemm: by transB */
	bool grouped_in;		/* weights are [C, O/g, ...] */
	int channel_dim;		/* of the output; -1: the last */
} root_kind;

static const root_kind roots[] = {
	{ "Conv", 0, false, 1 }, { "ConvTranspose", 1, true, 1 }, { "Gemm", 1, false, -1 }, { "MatMul", 1, false, -1 },
};

static const root_kind *
root_of(const hb_node *n)
{
	const root_kind *r = NULL;
	for (size_t i = 0; i < HB_LEN(roots); i++)
		r = is_op(n, roots[i].op) ? &roots[i] : r;
	if (!r)
		return NULL;
	const hb_tensor *w = n->in[1];
	if (!w->is_const || w->dtype != HB_F32)
		return NULL;
	if (r->channel_dim < 0 && w->shape.rank != 2)
		return NULL;		/* MatMul of two batches */
	return r;
}

/* Scales that the file gives weights w, each times |mul|: their integers stay, up to the sign. Weights
 * whose scales are not along their output channels get new ones. */
static hb_status
scale_given(hb_graph *g, const hb_tensor *w, int dim, const affine *f, hb_tensor *to)
{
	int64_t n = w->shape.dim[dim];
	if (w->q.from == HB_Q_OPEN || f->channels != n || (w->q.nscales > 1 && w->q.axis != dim))
		return HB_OK;
	float *s = HB_NEW_N(g->arena, float, n);
	if (!s)
		return hb_nomem(g->cx, w->name);
	for (int64_t c = 0; c < n; c++) {
		s[c] = (float)(hb_q_scale(&w->q, c) * fabs(f->mul[c]));
		if (!(s[c] > 0) || !isfinite(s[c]))
			s[c] = hb_q_scale(&w->q, c);	/* mul 0: all weights of the channel are 0 */
	}
	to->q = w->q;
	to->q.nscales = (int)n;
	to->q.axis = dim;
	to->q.scale = s[0];
	to->q.scales = s;
	return HB_OK;
}

/* New weights w * mul along output channels, bias * mul + add. */
static hb_status
fold_affine(hb_graph *g, hb_node *root, const root_kind *r, const affine *f)
{
	hb_tensor *w = root->in[1], *b = hb_in(root, 2);
	const float *wv = hb_tensor_data(g, w), *bv = b ? hb_tensor_data(g, b) : NULL;
	hb_tensor *w2 = hb_tensor_const(g, w->name, HB_F32, &w->shape, NULL);
	hb_shape bs = { .rank = 1, .dim = { f->channels } };
	hb_tensor *b2 = hb_tensor_const(g, b ? b->name : root->name, HB_F32, &bs, NULL);
	if (!wv || (b && !bv) || !w2 || !b2)
		return HB_ERR_NOMEM;
	int dim = is_op(root, "Gemm") && hb_attr_i(root, "transB", 0) ? 0 : r->out_dim;
	int64_t inner = hb_shape_span(&w->shape, dim + 1, w->shape.rank), n = w->shape.dim[dim];
	int64_t outer = hb_shape_span(&w->shape, 0, dim), group = r->grouped_in ? hb_attr_i(root, "group", 1) : 1;
	float *to = (float *)(uintptr_t)w2->data, *bias = (float *)(uintptr_t)b2->data;
	for (int64_t o = 0; o < outer; o++) {
		int64_t first = o / (outer / group) * n;	/* ConvTranspose: rows of group k hold channels k*n.. */
		for (int64_t c = 0; c < n; c++) {
			const float *from = wv + (o * n + c) * inner;
			for (int64_t i = 0; i < inner; i++)
				to[(o * n + c) * inner + i] = (float)(from[i] * f->mul[(r->grouped_in ? first : 0) + c]);
		}
	}
	HB_TRY(scale_given(g, w, dim, f, w2));
	double beta = is_op(root, "Gemm") ? hb_attr_f(root, "beta", 1) : 1;
	int64_t nb = b ? hb_tensor_elems(b) : 0;
	for (int64_t c = 0; c < f->channels; c++)
		bias[c] = (float)((nb ? value_at(bv, nb, c) * beta : 0) * f->mul[c] + f->add[c]);
	if (is_op(root, "Gemm") && beta != 1)
		hb_attr_set_f(g, root, "beta", 1);
	hb_node_set_in(g, root, 1, w2);
	if (root->nin > 2)
		hb_node_set_in(g, root, 2, b2);
	else if (!hb_node_add_in(g, root, b2))
		return hb_nomem(g->cx, root->name);
	return HB_OK;
}

/* The bias of a Gemm that is broadcast over rows only. */
static bool
gemm_bias_per_column(const hb_node *n)
{
	const hb_tensor *c = hb_in(n, 2);
	return !c || (c->is_const && per_channel(c, &n->out[0]->shape, 1, n->out[0]->shape.dim[1]));
}

/* MatMul of two dimensions has a bias as Gemm. */
static void
matmul_to_gemm(hb_node *n)
{
	n->op_type = "Gemm";
	n->op = NULL;
	n->version = 13;
}

static hb_status
fold_into(hb_graph *g, hb_arena *scratch, hb_node *root)
{
	const root_kind *r = root_of(root);
	hb_node *n;
	while (r && (n = only_reader(root->out[0]))) {
		affine f;
		hb_tensor *y = root->out[0];
		int channel_dim = r->channel_dim < 0 ? y->shape.rank - 1 : r->channel_dim;
		bool matmul = is_op(root, "MatMul");
		if (y->shape.rank <= channel_dim || (matmul && y->shape.rank != 2) || (is_op(root, "Gemm") && !gemm_bias_per_column(root)) ||
		    (hb_in(root, 2) && !root->in[2]->is_const) || !affine_of(g, scratch, n, y, channel_dim, &f))
			break;
		if (matmul)
			matmul_to_gemm(root);
		HB_TRY(fold_affine(g, root, r, &f));
		r = root_of(root);
		hb_tensor *out = n->out[0];
		hb_node_absorb(g, root, n);
		hb_node_remove(g, n);
		hb_node_set_out(root, 0, out);
		root->name = root->last_source ? root->last_source->name : root->name;
		HB_TRY(hb_op_infer(g, root));
	}
	return HB_OK;
}

/* A batch norm of its own is a depthwise 1x1 convolution. */
static hb_status
norm_to_conv(hb_graph *g, hb_arena *scratch, hb_node *n)
{
	affine f;
	hb_tensor *x = n->in[0];
	if (!is_op(n, "BatchNormalization") || x->shape.rank != 4 || !affine_of(g, scratch, n, x, 1, &f))
		return HB_OK;
	hb_shape ws = { .rank = 4, .dim = { f.channels, 1, 1, 1 } }, bs = { .rank = 1, .dim = { f.channels } };
	char *name = hb_arena_printf(g->arena, "%s.weight", n->name);
	hb_tensor *w = name ? hb_tensor_const(g, name, HB_F32, &ws, NULL) : NULL;
	hb_tensor *b = w ? hb_tensor_const(g, n->name, HB_F32, &bs, NULL) : NULL;
	hb_node *c = b ? hb_node_new(g, n, n->name, "", "Conv", 11, 3, 1) : NULL;
	if (!c || !hb_attr_set_i(g, c, "group", f.channels))
		return hb_nomem(g->cx, n->name);
	for (int64_t i = 0; i < f.channels; i++) {
		((float *)(uintptr_t)w->data)[i] = (float)f.mul[i];
		((float *)(uintptr_t)b->data)[i] = (float)f.add[i];
	}
	hb_tensor *out = n->out[0];
	hb_node_set_in(g, c, 0, x);
	hb_node_set_in(g, c, 1, w);
	hb_node_set_in(g, c, 2, b);
	hb_node_absorb(g, c, n);
	hb_node_remove(g, n);
	hb_node_set_out(c, 0, out);
	return hb_op_infer(g, c);
}

/* ---- groups ---- */

static hb_group *
group_new(hb_graph *g, hb_node *root)
{
	hb_group *k = HB_NEW(g->arena, hb_group);
	if (k) {
		*k = (hb_group){ .root = root, .last = root, .nnodes = 1, .id = g->next_group++ };
		root->group = k;
	}
	return k;
}

static void
group_take(hb_group *k, hb_node *n)
{
	n->group = k;
	k->last = n;
	k->nnodes++;
}

/* Relu, or Clip with lower bound 0. */
static bool
is_act(hb_graph *g, const hb_node *n)
{
	if (is_op(n, "Relu"))
		return true;
	if (!is_op(n, "Clip"))
		return false;
	if (hb_attr_find(n, "min"))
		return hb_attr_f(n, "min", -1) == 0;
	hb_tensor *lo = hb_in(n, 1), *hi = hb_in(n, 2);
	const float *v = lo && lo->is_const ? hb_tensor_data(g, lo) : NULL;
	return v && *v == 0 && (!hi || (hi->is_const && hb_tensor_data(g, hi)));
}

/* A march adds the other tensor in the accumulator only at strides 1 and 2. */
static bool
strides_allow_add(const hb_node *root)
{
	size_t n;
	const int64_t *s = hb_attr_ints(root, "strides", &n);
	for (size_t i = 0; i < n; i++) {
		if (s[i] != 1 && s[i] != 2)
			return false;
	}
	return true;
}

static void
take_act(hb_graph *g, hb_group *k)
{
	hb_node *n = only_clamp(k->last->out[0]);
	if (n && !n->group && n->in[0] == k->last->out[0] && is_act(g, n)) {
		k->act = n;
		group_take(k, n);
	}
}

/* Of an addition whose operands could both take it, the later root does. */
static bool
other_is_later(const hb_node *root, const hb_tensor *other)
{
	const hb_node *p = other->producer;
	if (!p || only_reader(other) == NULL)
		return false;
	const hb_node *r = p->group ? p->group->root : p;
	bool could = (is_op(r, "Conv") || is_op(r, "Gemm")) && root_of(r) && (!p->group || (!p->group->add && !p->group->act)) && strides_allow_add(r);
	return could && *(const int *)r->user > *(const int *)root->user;
}

static hb_status
group_root(hb_graph *g, hb_node *root)
{
	static const char *const own[] = { "Add", "Sub", "Mul", "Sum", "AveragePool", "GlobalAveragePool", "ReduceMean" };
	bool mac = root_of(root) != NULL, vec = false;
	for (size_t i = 0; i < HB_LEN(own); i++)
		vec = vec || is_op(root, own[i]);
	if (root->group || (!mac && !vec))
		return HB_OK;
	hb_group *k = group_new(g, root);
	if (!k)
		return hb_nomem(g->cx, root->name);
	hb_node *n = only_reader(root->out[0]);
	if (is_op(root, "MatMul") && n && !n->group && is_op(n, "Add")) {
		hb_tensor *b = n->in[n->in[0] == root->out[0]];
		int last = root->out[0]->shape.rank - 1;
		if (hb_shape_eq(&n->out[0]->shape, &root->out[0]->shape) && per_channel(b, &n->out[0]->shape, last, n->out[0]->shape.dim[last])) {
			k->bias = n;
			group_take(k, n);
		}
	}
	n = only_reader(k->last->out[0]);
	if (mac && !is_op(root, "ConvTranspose") && n && !n->group && is_op(n, "Add") && strides_allow_add(root)) {
		hb_tensor *other = n->in[n->in[0] == k->last->out[0]];
		if (!other->is_const && hb_shape_eq(&n->in[0]->shape, &n->in[1]->shape) && !other_is_later(root, other)) {
			k->add = n;
			group_take(k, n);
		}
	}
	take_act(g, k);
	if (k->nnodes == 1)
		root->group = NULL;
	return HB_OK;
}

/* ---- chains ---- */

enum { CHAIN_MAX = 16 };

static bool
is_scalar(hb_graph *g, hb_tensor *t)
{
	return t->is_const && t->dtype == HB_F32 && hb_tensor_elems(t) == 1 && hb_tensor_data(g, t);
}

static bool
is_binary(const hb_node *n)
{
	static const char *const ops[] = { "Add", "Sub", "Mul", "Div", "Max", "Min", "Pow" };
	for (size_t i = 0; i < HB_LEN(ops); i++) {
		if (is_op(n, ops[i]))
			return n->nin == 2;
	}
	return false;
}

/* Whether n computes each element from one element of one float tensor, or two. */
static bool
element_wise(hb_graph *g, hb_node *n)
{
	if (n->group || n->nout != 1 || n->out[0]->dtype != HB_F32 || n->in[0]->dtype != HB_F32)
		return false;
	if (n->op->lut)
		return true;
	if (!is_binary(n))
		return false;
	for (int i = 0; i < 2; i++) {
		if (n->in[i]->is_const ? !is_scalar(g, n->in[i]) : !hb_shape_eq(&n->in[i]->shape, &n->out[0]->shape))
			return false;
	}
	return true;
}

/* Collects the nodes between x and `last`, walking back; false where they are no function of x alone. */
static bool
collect(hb_graph *g, const hb_tensor *x, hb_node *last, hb_node **set, int *count)
{
	*count = 0;
	set[(*count)++] = last;
	for (int k = 0; k < *count; k++) {
		for (int i = 0; i < set[k]->nin; i++) {
			hb_tensor *t = set[k]->in[i];
			if (!t || t == x || t->is_const)
				continue;
			hb_node *p = t->producer;
			bool known = false;
			for (int j = 0; j < *count; j++)
				known = known || set[j] == p;
			if (known)
				continue;
			if (!p || *count == CHAIN_MAX || t->is_output || t->q.from == HB_Q_GIVEN || !element_wise(g, p))
				return false;
			set[(*count)++] = p;
		}
	}
	for (int k = 1; k < *count; k++) {	/* what is inside is read inside only */
		const hb_tensor *t = set[k]->out[0];
		for (size_t u = 0; u < t->nuses; u++) {
			bool inside = false;
			for (int j = 0; j < *count; j++)
				inside = inside || set[j] == t->uses[u].node;
			if (!inside)
				return false;
		}
	}
	return true;
}

static double
silu(double x)
{
	return x / (1 + exp(-x));
}

static double
gelu(double x)
{
	return x * erfc(-x / sqrt(2)) / 2;
}

static double
gelu_by_tanh(double x)
{
	const double two_over_pi = 0.63661977236758134;
	return x * (1 + tanh(sqrt(two_over_pi) * (x + 0.044715 * x * x * x))) / 2;
}

static double
hard_sigmoid(double x)
{
	return fmin(fmax(x / 6 + 0.5, 0), 1);
}

static double
hard_swish(double x)
{
	return x * hard_sigmoid(x);
}

static double
mish(double x)
{
	return x * tanh(log1p(exp(x)));
}

/* The function that a chain is, in whatever way it is written, by its values; NULL: none that has a name. */
static const char *
chain_name(const hb_group *k)
{
	static const struct {
		const char *name;
		double (*f)(double x);
	} known[] = {
		{ "SiLU", silu }, { "GELU", gelu }, { "GELU", gelu_by_tanh }, { "HardSigmoid", hard_sigmoid }, { "HardSwish", hard_swish },
		{ "Mish", mish },
	};
	static const double at[] = { -4.1, -2.9, -1.5, -0.7, -0.2, 0.4, 1.1, 2.5, 3.6 };
	for (size_t i = 0; i < HB_LEN(known); i++) {
		bool same = true;
		for (size_t j = 0; j < HB_LEN(at) && same; j++)
			same = fabs(hb_chain_eval(k, at[j]) - known[i].f(at[j])) < 1e-5;
		if (same)
			return known[i].name;
	}
	return NULL;
}

/* ---- magnitudes ---- */

enum { MAGNITUDE_MAX = 16 };

static bool
is_power(hb_graph *g, const hb_node *n, float exponent)
{
	return is_op(n, "Pow") && is_scalar(g, n->in[1]) && *(const float *)n->in[1]->data == exponent;
}

static bool
is_square(hb_graph *g, const hb_node *n)
{
	return is_power(g, n, 2) || (is_op(n, "Mul") && n->in[0] == n->in[1]);
}

/* Collects, from the root on, the additions before it and the squares that they add up; how many squares. 0: there is
 * something else, or something is read elsewhere. */
static int
collect_squares(hb_graph *g, hb_node *root, hb_node **set, int *count)
{
	int squares = 0;
	*count = 0;
	set[(*count)++] = root;
	for (int k = 0; k < *count; k++) {
		bool square = is_square(g, set[k]);
		if (set[k]->group || set[k]->nout != 1 || set[k]->out[0]->dtype != HB_F32 || (k && !square && !is_op(set[k], "Add")))
			return 0;
		squares += square;
		for (int i = 0; !square && i < (k ? 2 : 1); i++) {
			hb_tensor *t = set[k]->in[i];
			if (is_scalar(g, t) && *(const float *)t->data >= 0)
				continue;
			if (!t->producer || only_reader(t) != set[k] || !hb_shape_eq(&t->shape, &root->out[0]->shape) || *count == MAGNITUDE_MAX)
				return 0;
			set[(*count)++] = t->producer;
		}
	}
	return squares;
}

/* Gives the nodes one group, whose root is the first of them. */
static hb_group *
group_function(hb_graph *g, hb_node *last, hb_node *const *set, int count)
{
	hb_group *k = HB_NEW(g->arena, hb_group);
	if (!k)
		return NULL;
	*k = (hb_group){ .last = last, .nnodes = count, .id = g->next_group++ };
	for (int i = 0; i < count; i++) {
		set[i]->group = k;
		if (!k->root || *(const int *)set[i]->user < *(const int *)k->root->user)
			k->root = set[i];
	}
	return k;
}

/* The root and the numbers added just before it, as a chain that no node is in yet. */
static hb_status
chain_of_end(hb_graph *g, hb_group *k)
{
	hb_node *first = k->last;
	int count = 1;
	for (hb_node *p = first->in[0]->producer; is_op(p, "Add") && (is_scalar(g, p->in[0]) || is_scalar(g, p->in[1])); count++) {
		first = p;
		p = p->in[is_scalar(g, p->in[0])]->producer;
	}
	if (count < 2)
		return HB_OK;
	k->rest = HB_NEW(g->arena, hb_group);
	if (!k->rest)
		return hb_nomem(g->cx, k->last->name);
	*k->rest = (hb_group){
		.root = first, .last = k->last, .chain_in = first->in[is_scalar(g, first->in[0])], .nnodes = count, .id = g->next_group++,
	};
	return HB_OK;
}

static hb_status
group_magnitude(hb_graph *g, hb_node *root)
{
	hb_node *set[MAGNITUDE_MAX];
	int count;
	if ((!is_op(root, "Sqrt") && !is_power(g, root, 0.5f)) || collect_squares(g, root, set, &count) < 2)
		return HB_OK;
	hb_group *k = group_function(g, root, set, count);
	if (!k)
		return hb_nomem(g->cx, root->name);
	k->magnitude = true;
	return chain_of_end(g, k);
}

/* The longest chain that ends in `last`: the tensors that it could be a function of are tried breadth first. */
static hb_status
group_chain(hb_graph *g, hb_node *last)
{
	if (!element_wise(g, last))
		return HB_OK;
	hb_tensor *front[CHAIN_MAX * 2];
	hb_node *set[CHAIN_MAX], *best[CHAIN_MAX];
	int nfront = 0, nbest = 0, count;
	hb_tensor *from = NULL;
	for (int i = 0; i < last->nin; i++) {
		if (last->in[i] && !last->in[i]->is_const)
			front[nfront++] = last->in[i];
	}
	for (int k = 0; k < nfront; k++) {
		hb_tensor *x = front[k];
		if (x->dtype == HB_F32 && hb_shape_eq(&x->shape, &last->out[0]->shape) && collect(g, x, last, set, &count) && count > nbest) {
			memcpy(best, set, sizeof(set[0]) * (size_t)count);
			nbest = count;
			from = x;
		}
		hb_node *p = x->producer;
		if (!p || x->is_output || x->q.from == HB_Q_GIVEN || !element_wise(g, p))
			continue;
		for (int i = 0; i < p->nin && nfront < (int)HB_LEN(front); i++) {
			hb_tensor *t = p->in[i];
			bool known = !t || t->is_const;
			for (int j = 0; j < nfront; j++)
				known = known || front[j] == t;
			if (!known)
				front[nfront++] = t;
		}
	}
	bool lone_binary = nbest == 1 && !last->op->lut && last->in[0] != last->in[1];
	bool lone_power = nbest == 1 && is_op(last, "Pow") && !last->in[0]->is_const;
	if ((nbest < 2 && !lone_power) || (lone_binary && !lone_power))
		return HB_OK;
	hb_group *k = group_function(g, last, best, nbest);
	if (!k)
		return hb_nomem(g->cx, last->name);
	k->chain_in = from;
	const char *name = chain_name(k);
	for (int i = 0; i < nbest; i++)
		best[i]->composite = name ? name : best[i]->composite;
	return HB_OK;
}

hb_status
hb_pass_fuse(hb_graph *g)
{
	hb_arena *scratch = hb_arena_new(g->cx);
	if (!scratch)
		return hb_nomem(g->cx, "fuse");
	hb_status st = HB_OK;
	for (hb_node *n = g->first; n && st == HB_OK; n = n->next) {
		st = fold_into(g, scratch, n);
		hb_arena_reset(scratch);
	}
	for (hb_node *n = g->first, *next; n && st == HB_OK; n = next) {
		next = n->next;
		st = norm_to_conv(g, scratch, n);
		hb_arena_reset(scratch);
	}
	/* Positions, so that "scheduled later" is a comparison. */
	int *at = HB_NEW_N(scratch, int, g->nnodes), i = 0;
	if (st == HB_OK && !at)
		st = hb_nomem(g->cx, "fuse");
	for (hb_node *n = g->first; n && st == HB_OK; n = n->next, i++) {
		at[i] = i;
		n->user = &at[i];
	}
	for (hb_node *n = g->first; n && st == HB_OK; n = n->next) {
		if (root_of(n))
			st = group_root(g, n);
	}
	for (hb_node *n = g->first; n && st == HB_OK; n = n->next)
		st = group_magnitude(g, n);
	for (hb_node *n = g->last; n && st == HB_OK; n = n->prev)
		st = group_chain(g, n);
	for (hb_node *n = g->first; n && st == HB_OK; n = n->next)
		st = group_root(g, n);
	for (hb_node *n = g->first; n; n = n->next)
		n->user = NULL;
	hb_arena_free(scratch);
	hb_graph_sweep(g);
	return st;
}
