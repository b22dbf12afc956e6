/* qdq: takes the calibrated float graph and the fixed-point graph made of it;
 * leaves a new float graph with a QuantizeLinear/DequantizeLinear pair on each
 * quantized edge and weights as the fixed-point graph's integers. A pair's result
 * has the edge's name; what goes into it is NAME_float (a model input keeps its
 * name, its pair's result is NAME_dequantized). */
#include "lib/pass/pass.h"

typedef struct qdq {
	hb_graph *g, *fixed, *to;
	hb_map *now;			/* name in g to the tensor of `to` that BPU operators read */
	hb_map *plain;			/* the same for the others, where they differ */
	hb_round round;			/* of constants, as conversion has it */
} qdq;

/* A name that no tensor of g has: theirs stay theirs. */
static char *
fresh(qdq *c, const char *name, const char *suffix)
{
	char *full = hb_arena_printf(c->to->arena, "%s%s", name, suffix);
	while (full && hb_tensor_find(c->g, full))
		full = hb_arena_printf(c->to->arena, "%s_", full);
	return full;
}

static hb_tensor *
named(qdq *c, const char *name, const char *suffix, hb_dtype dt, const hb_shape *s)
{
	char *full = *suffix ? fresh(c, name, suffix) : hb_arena_str(c->to->arena, name);
	return full ? hb_tensor_new(c->to, full, dt, s) : NULL;
}

static hb_node *
pair_half(qdq *c, const char *op, hb_tensor *in, hb_tensor *out, const hb_q *q)
{
	char *name = in && out ? hb_arena_printf(c->to->arena, "%s/%s", out->name, op) : NULL;
	hb_node *n = name ? hb_node_new(c->to, NULL, name, "", op, q->dtype == HB_I16 ? 21 : 13, 3, 1) : NULL;
	if (!n)
		return NULL;
	hb_node_set_in(c->to, n, 0, in);
	hb_node_set_out(n, 0, out);
	return hb_pair_set_scale(c->to, n, q) && hb_pair_set_zero(c->to, n, q) && hb_op_infer(c->to, n) == HB_OK ? n : NULL;
}

/* Whether the edge can be said by a pair. */
static bool
has_pair(const hb_tensor *t)
{
	return (t->q.dtype == HB_I8 || t->q.dtype == HB_I16) && t->q.nscales >= 1 && t->dtype == HB_F32;
}

static bool
is_made_by_bpu(const hb_tensor *t)
{
	return t->producer && t->producer->on == HB_ON_BPU;
}

/* made, within the limits of t's integers. */
static hb_tensor *
clipped(qdq *c, const hb_tensor *t, hb_tensor *made)
{
	hb_tensor *y = named(c, t->name, "_clipped", HB_F32, &t->shape);
	char *lo = fresh(c, t->name, "_least"), *hi = fresh(c, t->name, "_most");
	hb_node *n = y && lo && hi ? hb_node_new(c->to, NULL, y->name, "", "Clip", 13, 3, 1) : NULL;
	hb_tensor *v[] = {
		made, lo ? hb_tensor_scalar_f32(c->to, lo, (float)t->q.lo * t->q.scale) : NULL,
		hi ? hb_tensor_scalar_f32(c->to, hi, (float)t->q.hi * t->q.scale) : NULL,
	};
	for (int i = 0; n && i < 3; i++) {
		if (!v[i])
			return NULL;
		hb_node_set_in(c->to, n, i, v[i]);
	}
	if (n)
		hb_node_set_out(n, 0, y);
	return n && hb_op_infer(c->to, n) == HB_OK ? y : NULL;
}

/* The value of t of g: readers read the pair's result where t has one. `made` is what yields it. */
static hb_status
add_pair(qdq *c, hb_tensor *t, hb_tensor *made)
{
	hb_tensor *q = named(c, t->name, "_quantized", t->q.dtype, &t->shape);
	hb_tensor *dq = named(c, t->name, is_made_by_bpu(t) ? "" : "_dequantized", HB_F32, &t->shape);
	hb_tensor *inside = hb_q_limited(&t->q) ? clipped(c, t, made) : made;
	if (!inside || !pair_half(c, "QuantizeLinear", inside, q, &t->q) || !pair_half(c, "DequantizeLinear", q, dq, &t->q) ||
	    !hb_map_put(c->now, t->name, dq) || (!is_made_by_bpu(t) && !hb_map_put(c->plain, t->name, made)))
		return hb_nomem(c->g->cx, t->name);
	dq->q = t->q;
	return HB_OK;
}

/* Constant t as integers behind a DequantizeLinear. What is an output keeps its floats under its name. */
static hb_status
add_const_ints(qdq *c, hb_tensor *t, const void *ints, const hb_q *q, hb_tensor **out)
{
	const char *name = t->name;
	hb_tensor *w = named(c, name, "_quantized", q->dtype, &t->shape);
	hb_tensor *dq = named(c, name, t->is_output ? "_dequantized" : "", HB_F32, &t->shape);
	if (!w || !dq)
		return HB_ERR_NOMEM;
	if (t->is_output && !hb_map_get(c->plain, name)) {
		hb_tensor *same = hb_tensor_clone(c->g, t, c->to);
		if (!same || !hb_map_put(c->plain, name, same))
			return hb_nomem(c->g->cx, name);
	}
	w->is_const = true;
	w->data = ints;
	if (!pair_half(c, "DequantizeLinear", w, dq, q))
		return hb_nomem(c->g->cx, name);
	*out = dq;
	return HB_OK;
}

static hb_status
data_const(qdq *c, hb_tensor *t, hb_tensor **out)
{
	int64_t n = hb_tensor_elems(t);
	const float *v = hb_tensor_data(c->g, t);
	void *ints = v ? hb_arena_alloc(c->to->arena, (size_t)n * hb_dtype_size(t->q.dtype)) : NULL;
	if (!ints)
		return HB_ERR_NOMEM;
	hb_quantize_n(c->g->cx, v, t->q.scale, t->q.dtype, c->round, ints, n);
	HB_TRY(add_const_ints(c, t, ints, &t->q, out));
	return hb_map_put(c->now, t->name, *out) ? HB_OK : hb_nomem(c->g->cx, t->name);
}

/* The fixed-point node that does root's work. */
static hb_node *
fixed_of(qdq *c, const hb_node *root)
{
	const hb_tensor *t = hb_group_out(root);
	char *q = hb_arena_printf(c->to->arena, "%s_quantized", t->name);
	hb_tensor *f = q ? hb_tensor_find(c->fixed, q) : NULL;
	if (!f || !f->producer || strcmp(f->producer->domain, "hbcc"))
		f = hb_tensor_find(c->fixed, t->name);
	hb_node *n = f ? f->producer : NULL;
	/* what the layer yields may be turned round behind it (a volume's planes) */
	while (n && n->nin == 1 && n->sources == root->sources && n->in[0]->producer && (!strcmp(n->op_type, "Transpose") || !strcmp(n->op_type, "Reshape")))
		n = n->in[0]->producer;
	return n;
}

/* Weights of a grouped transposed convolution, whose scales go by two dimensions: as floats, metadata has the scales. */
static hb_status
grouped_weights(qdq *c, const hb_tensor *w, hb_tensor *wf, hb_tensor **out)
{
	const int8_t *v = hb_tensor_data(c->fixed, wf);
	hb_tensor *t = v ? hb_tensor_const(c->to, w->name, HB_F32, &w->shape, NULL) : NULL;
	int64_t per_group = w->shape.dim[1], inner = hb_shape_span(&w->shape, 2, w->shape.rank), groups = wf->q.nscales / per_group;
	if (!t)
		return HB_ERR_NOMEM;
	for (int64_t k = 0; k < hb_tensor_elems(w); k++) {
		int64_t row = k / inner, group = row / per_group * groups / w->shape.dim[0];
		((float *)(uintptr_t)t->data)[k] = v[k] * hb_q_scale(&wf->q, group * per_group + row % per_group);
	}
	t->q = wf->q;
	*out = t;
	return HB_OK;
}

/* Weights of root as the integers that the fixed-point graph has, in root's own order. */
static hb_status
weights(qdq *c, hb_node *root, hb_tensor **out)
{
	hb_tensor *w = root->in[1];
	hb_node *f = fixed_of(c, root);
	hb_tensor *wf = f && f->nin > 1 ? f->in[1] : NULL;
	*out = NULL;
	if (!wf || !wf->is_const || wf->dtype != HB_I8 || wf->q.dtype != HB_I8 || hb_tensor_elems(wf) != hb_tensor_elems(w))
		return HB_OK;
	bool gemm = !strcmp(root->op_type, "Gemm"), conv_transpose = !strcmp(root->op_type, "ConvTranspose");
	if (conv_transpose && hb_attr_i(root, "group", 1) != 1)
		return wf->q.nscales > 1 ? grouped_weights(c, w, wf, out) : HB_OK;
	bool flip = !strcmp(root->op_type, "MatMul") || (gemm && !hb_attr_i(root, "transB", 0));
	hb_q q = wf->q;
	float alpha = gemm ? hb_attr_f(root, "alpha", 1) : 1;
	if (alpha != 1)
		return HB_OK;
	q.axis = flip || conv_transpose;
	const int8_t *v = hb_tensor_data(c->fixed, wf);
	if (!v)
		return HB_ERR_NOMEM;
	if (flip) {
		int64_t rows = w->shape.dim[0], cols = w->shape.dim[1];
		int8_t *p = hb_arena_alloc(c->to->arena, (size_t)(rows * cols));
		if (!p)
			return hb_nomem(c->g->cx, w->name);
		for (int64_t i = 0; i < rows; i++)
			for (int64_t j = 0; j < cols; j++)
				p[i * cols + j] = v[j * rows + i];
		v = p;
	}
	return add_const_ints(c, w, v, &q, out);
}

/* The bias of root as the fixed-point graph has it: its integers times the accumulator's scale. */
static hb_status
bias(qdq *c, hb_node *root, const char *name, hb_tensor **out)
{
	hb_node *f = fixed_of(c, root);
	*out = NULL;
	if (!f || f->nin < 3 || !f->in[1] || f->in[1]->q.dtype != HB_I8 || root->in[0]->q.nscales < 1 || hb_attr_f(root, "beta", 1) != 1)
		return HB_OK;
	int64_t channels = f->in[2]->shape.dim[0];
	const int32_t *rec = hb_tensor_data(c->fixed, f->in[2]);
	hb_shape s = { .rank = 1, .dim = { channels } };
	*out = rec ? hb_tensor_const(c->to, name, HB_F32, &s, NULL) : NULL;
	if (!*out)
		return HB_ERR_NOMEM;
	const hb_q *x = &root->in[0]->q;
	for (int64_t k = 0; k < channels; k++)
		((float *)(uintptr_t)(*out)->data)[k] = (float)(rec[4 * k] * ((double)hb_q_scale(x, k * x->nscales / channels) * hb_q_scale(&f->in[1]->q, k)));
	return HB_OK;
}

static bool
is_root_with_weights(const hb_node *n)
{
	static const char *const ops[] = { "Conv", "ConvTranspose", "Gemm", "MatMul" };
	for (size_t i = 0; i < HB_LEN(ops); i++) {
		if (!strcmp(n->op_type, ops[i]))
			return n->on == HB_ON_BPU && n->in[1]->is_const;
	}
	return false;
}

/* The k-th product with weights that stands for root, or NULL. */
static const hb_node *
product_of(const qdq *c, const hb_node *root, int64_t k)
{
	for (const hb_node *n = c->fixed->first; n; n = n->next) {
		if (n->sources == root->sources && !strcmp(n->op_type, "Linear") && k-- == 0)
			return n;
	}
	return NULL;
}

/* W or R of an LSTM as its products have them (ops/to_fx_rnn.c): in each direction W's rows i o f and rows c, then
 * R's a step, the first step's only where there is a state. Several directions have no one axis of scales: floats. */
static hb_status
recurrent_weights(qdq *c, hb_node *root, int i, hb_tensor **out)
{
	hb_tensor *t = root->in[i];
	int64_t dirs = t->shape.dim[0], rows = t->shape.dim[1], len = t->shape.dim[2], count = 0;
	while (product_of(c, root, count))
		count++;
	if (count % (2 * dirs) || (i == 2 && count < 4 * dirs))
		return HB_OK;
	int8_t *ints = hb_arena_alloc(c->to->arena, (size_t)hb_tensor_elems(t));
	float *scales = HB_NEW_N(c->to->arena, float, dirs * rows);
	hb_tensor *plain = dirs > 1 ? hb_tensor_const(c->to, t->name, HB_F32, &t->shape, NULL) : t;
	if (!ints || !scales || !plain)
		return hb_nomem(c->g->cx, t->name);
	for (int64_t d = 0, row = 0; d < dirs; d++) {
		for (int k = 0; k < 2; k++) {
			const hb_node *n = product_of(c, root, d * (count / dirs) + (i == 1 ? 0 : 2) + k);
			const int8_t *v = hb_tensor_data(c->fixed, n->in[1]);
			int64_t some = n->in[1]->shape.dim[0];
			if (!v || n->in[1]->shape.dim[1] != len || row + some > dirs * rows)
				return v ? HB_OK : HB_ERR_NOMEM;
			memcpy(ints + row * len, v, (size_t)(some * len));
			for (int64_t r = 0; r < some; r++)
				scales[row + r] = hb_q_scale(&n->in[1]->q, r);
			row += some;
		}
	}
	if (dirs == 1) {
		hb_q q = { .dtype = HB_I8, .nscales = (int)rows, .axis = 1, .scale = scales[0], .scales = scales, .observer = "minmax" };
		return add_const_ints(c, t, ints, &q, out);
	}
	for (int64_t k = 0; k < hb_tensor_elems(t); k++)
		((float *)(uintptr_t)plain->data)[k] = ints[k] * scales[k / len];
	*out = plain;
	return HB_OK;
}

static hb_status
operand(qdq *c, hb_node *n, int i, hb_tensor **out)
{
	hb_tensor *t = n->in[i];
	*out = NULL;
	if (!t)
		return HB_OK;
	if ((i == 1 || i == 2) && n->on == HB_ON_BPU && !strcmp(n->op_type, "LSTM") && t->is_const) {
		HB_TRY(recurrent_weights(c, n, i, out));
		if (*out)
			return HB_OK;
	}
	if (i == 1 && is_root_with_weights(n)) {
		HB_TRY(weights(c, n, out));
		if (*out)
			return HB_OK;
	}
	bool own = i == 2 && is_root_with_weights(n), behind = n->group && n->group->bias == n && t->is_const && n->on == HB_ON_BPU;
	if (own || behind) {
		HB_TRY(bias(c, own ? n : n->group->root, t->name, out));
		if (*out)
			return HB_OK;
	}
	*out = n->on != HB_ON_BPU ? hb_map_get(c->plain, t->name) : NULL;
	*out = *out ? *out : hb_map_get(c->now, t->name);
	if (*out)
		return HB_OK;
	if (t->is_const && has_pair(t) && n->on == HB_ON_BPU && hb_const_is_data(n, i))
		return data_const(c, t, out);
	*out = hb_tensor_clone(c->g, t, c->to);
	return *out && hb_map_put(c->now, t->name, *out) ? HB_OK : hb_nomem(c->g->cx, t->name);
}

static hb_status
copy_node(qdq *c, hb_node *n)
{
	hb_tensor **in = HB_NEW_N(c->to->arena, hb_tensor *, n->nin);
	if (!in)
		return hb_nomem(c->g->cx, n->name);
	for (int i = 0; i < n->nin; i++)
		HB_TRY(operand(c, n, i, &in[i]));
	hb_tensor *b = NULL;
	if (is_root_with_weights(n) && strcmp(n->op_type, "MatMul") && !hb_in(n, 2)) {
		char *name = fresh(c, n->out[0]->name, "_bias");
		if (!name)
			return hb_nomem(c->g->cx, n->name);
		HB_TRY(bias(c, n, name, &b));
	}
	hb_node *k = hb_node_clone(n, c->to);
	if (!k)
		return HB_ERR_NOMEM;
	k->sources = n->sources;
	k->last_source = n->last_source;
	for (int i = 0; i < n->nin; i++)
		hb_node_set_in(c->to, k, i, in[i]);
	if (b && n->nin > 2)
		hb_node_set_in(c->to, k, 2, b);
	else if (b && !hb_node_add_in(c->to, k, b))
		return hb_nomem(c->g->cx, n->name);
	for (int i = 0; i < n->nout; i++) {
		hb_tensor *t = n->out[i];
		if (!t)
			continue;
		bool pair = has_pair(t);
		hb_tensor *made = named(c, t->name, pair && is_made_by_bpu(t) ? "_float" : "", t->dtype, &t->shape);
		if (!made)
			return HB_ERR_NOMEM;
		hb_node_set_out(k, i, made);
		if (!hb_map_put(c->now, t->name, made))
			return hb_nomem(c->g->cx, t->name);
		if (pair)
			HB_TRY(add_pair(c, t, made));
	}
	return HB_OK;
}

static hb_status
add_output(qdq *c, hb_tensor *t)
{
	hb_graph *to = c->to;
	if (t->is_output)
		return HB_OK;
	if (!HB_GROW(to->arena, &to->outputs, &to->cap_outputs, to->noutputs + 1))
		return hb_nomem(to->cx, t->name);
	to->outputs[to->noutputs++] = t;
	t->is_output = true;
	return HB_OK;
}

static hb_status
build(qdq *c, bool all_outputs)
{
	hb_graph *g = c->g, *to = c->to;
	to->name = g->name;
	for (const hb_meta *m = g->meta; m; m = m->next)
		if (!hb_meta_set(to->arena, &to->meta, m->key, m->value))
			return hb_nomem(g->cx, "metadata");
	if (g->uncalibrated && !hb_meta_set(to->arena, &to->meta, "hbcc.uncalibrated", "1"))
		return hb_nomem(g->cx, "metadata");
	to->producer = g->producer;
	to->producer_version = g->producer_version;
	to->uncalibrated = g->uncalibrated;
	for (size_t i = 0; i < g->ninputs; i++) {
		hb_tensor *t = hb_tensor_clone(g, g->inputs[i], to);
		if (!t || !HB_GROW(to->arena, &to->inputs, &to->cap_inputs, to->ninputs + 1) || !hb_map_put(c->now, t->name, t))
			return hb_nomem(g->cx, "qdq");
		t->is_input = true;
		to->inputs[to->ninputs++] = t;
		if (has_pair(g->inputs[i]))
			HB_TRY(add_pair(c, g->inputs[i], t));
	}
	for (hb_node *n = g->first; n; n = n->next)
		HB_TRY(copy_node(c, n));
	for (size_t i = 0; i < g->noutputs; i++) {
		hb_tensor *t = hb_map_get(c->plain, g->outputs[i]->name);
		t = t ? t : hb_map_get(c->now, g->outputs[i]->name);
		if (!t)
			t = hb_tensor_clone(g, g->outputs[i], to);
		if (!t)
			return HB_ERR_NOMEM;
		HB_TRY(add_output(c, t));
	}
	for (hb_tensor *t = g->tensors; all_outputs && t; t = t->next) {
		hb_tensor *k = has_pair(t) && !t->is_const ? hb_map_get(c->now, t->name) : NULL;
		if (k)
			HB_TRY(add_output(c, k));
	}
	return HB_OK;
}

hb_status
hb_pass_qdq(hb_graph *g, hb_graph *fixed, hb_round round, bool all_outputs, hb_graph **out)
{
	qdq c = { .g = g, .fixed = fixed, .round = round, .to = hb_graph_new(g->cx) };
	if (!c.to || !(c.now = hb_map_new(c.to->arena)) || !(c.plain = hb_map_new(c.to->arena)))
		return hb_nomem(g->cx, "qdq");
	hb_status st = build(&c, all_outputs);
	if (st == HB_OK)
		*out = c.to;
	else
		hb_graph_free(c.to);
	return st;
}
