/* convert: takes a fused, placed, calibrated float graph; leaves a new graph whose
 * BPU operators are fixed-point (domain hbcc) and whose CPU operators are as they
 * were, with QuantizeLinear and DequantizeLinear where an edge crosses. Attributes
 * and constants are shared: the float graph must outlive the new one. */
#include "lib/pass/pass.h"

/* A name for the other form of a value: the plain name belongs to whichever came first. */
static hb_node *
border_node(hb_convert *cv, const char *op, hb_tensor *from, const char *suffix, hb_dtype dt)
{
	bool i16 = from->dtype == HB_I16 || dt == HB_I16;
	char *name = hb_arena_printf(cv->to->arena, "%s_%s", from->name, suffix);
	hb_tensor *t = name ? hb_tensor_new(cv->to, name, dt, &from->shape) : NULL;
	char *node = t ? hb_arena_printf(cv->to->arena, "%s/%s", t->name, op) : NULL;
	hb_node *n = node ? hb_node_new(cv->to, NULL, node, "", op, i16 ? 21 : 13, op[0] == 'Q' ? 3 : 2, 1) : NULL;
	if (!n)
		return NULL;
	n->on = HB_ON_CPU;
	hb_node_set_in(cv->to, n, 0, from);
	hb_node_set_out(n, 0, t);
	return n;
}

static hb_status limit(hb_convert *cv, const hb_node *n, hb_tensor *t);

/* The integers of t, quantizing its float form where only that is there. */
static hb_status
need_integers(hb_convert *cv, hb_tensor *t)
{
	if (t->is_const || (t->q.dtype == HB_NONE && t->dtype == HB_F32) || hb_map_get(cv->tensors, t->name))
		return HB_OK;
	hb_tensor *f = hb_map_get(cv->floats, t->name);
	if (!f)
		return hb_error(cv->from->cx, HB_ERR_UNSUPPORTED, t->name, "convert", "tensor '%s' has no value to quantize", t->name);
	if (f->dtype != HB_F32)		/* a mask or indices that the CPU made: integers as they are */
		return hb_map_put(cv->tensors, t->name, f) ? HB_OK : hb_nomem(cv->from->cx, t->name);
	hb_node *n = border_node(cv, "QuantizeLinear", f, "quantized", t->q.dtype);
	if (!n || !hb_pair_set_scale(cv->to, n, &t->q) || !hb_pair_set_zero(cv->to, n, &t->q) || !hb_map_put(cv->tensors, t->name, n->out[0]))
		return hb_nomem(cv->from->cx, t->name);
	n->out[0]->q = t->q;
	HB_TRY(hb_op_infer(cv->to, n));
	return limit(cv, NULL, t);
}

/* The value of t as the float graph has it. */
static hb_status
need_float(hb_convert *cv, hb_tensor *t, hb_tensor **out)
{
	*out = hb_map_get(cv->floats, t->name);
	if (*out)
		return HB_OK;
	if (t->is_const) {
		*out = hb_tensor_clone(cv->from, t, cv->to);
		if (!*out || !hb_map_put(cv->floats, t->name, *out))
			return HB_ERR_NOMEM;
		(*out)->q = (hb_q){ .dtype = HB_NONE };
		return HB_OK;
	}
	hb_tensor *q = hb_map_get(cv->tensors, t->name);
	if (!q)
		return hb_error(cv->from->cx, HB_ERR_UNSUPPORTED, t->name, "convert", "tensor '%s' has no value", t->name);
	hb_node *n;
	if (t->dtype == HB_F32) {
		n = border_node(cv, "DequantizeLinear", q, "dequantized", HB_F32);
		if (!n || !hb_pair_set_scale(cv->to, n, &q->q))
			return hb_nomem(cv->from->cx, t->name);
	} else {	/* comparison results and indices only change type */
		static const int onnx_types[HB_NDTYPES] = { [HB_I64] = 7, [HB_I32] = 6, [HB_BOOL] = 9 };
		if (q->dtype == t->dtype) {
			*out = q;
			return hb_map_put(cv->floats, t->name, q) ? HB_OK : hb_nomem(cv->from->cx, t->name);
		}
		n = border_node(cv, "Cast", q, "cast", t->dtype);
		if (!n || !hb_attr_set_i(cv->to, n, "to", onnx_types[t->dtype]))
			return hb_nomem(cv->from->cx, t->name);
		n->nin = 1;
	}
	*out = n->out[0];
	if (!hb_map_put(cv->floats, t->name, *out))
		return hb_nomem(cv->from->cx, t->name);
	return hb_op_infer(cv->to, n);
}

static void
share_sources(const hb_convert *cv, const hb_node *n, hb_node *c)
{
	(void)cv;
	c->sources = n->sources;	/* read only: rows of the float graph */
	c->last_source = n->last_source;
}

static hb_status
copy_cpu_node(hb_convert *cv, hb_node *n)
{
	hb_node *c = NULL;
	hb_tensor *in[1];
	/* Operands first: their Q/DQ nodes stand before the node. */
	for (int i = 0; i < n->nin; i++) {
		if (n->in[i])
			HB_TRY(need_float(cv, n->in[i], in));
	}
	c = hb_node_clone(n, cv->to);
	if (!c)
		return HB_ERR_NOMEM;
	share_sources(cv, n, c);
	c->group = NULL;
	for (int i = 0; i < n->nin; i++)
		hb_node_set_in(cv->to, c, i, n->in[i] ? hb_map_get(cv->floats, n->in[i]->name) : NULL);
	for (int i = 0; i < n->nout; i++) {
		if (!n->out[i])
			continue;
		hb_tensor *t = hb_tensor_clone(cv->from, n->out[i], cv->to);
		if (!t || !hb_map_put(cv->floats, n->out[i]->name, t))
			return hb_nomem(cv->from->cx, n->name);
		t->q = (hb_q){ .dtype = HB_NONE };
		hb_node_set_out(c, i, t);
	}
	return HB_OK;
}

static bool
takes_limits(const hb_node *n)
{
	for (const hb_attr_row *r = n->op->attrs; r && r->name; r++) {
		if (!strcmp(r->name, "qmin"))
			return true;
	}
	return false;
}

/* y, whose producer clamps to all of its type: before it, what its producer makes now. */
static hb_status
clamp_behind(hb_convert *cv, hb_tensor *y)
{
	hb_node *p = y->producer;
	int out = y->out_index;
	char *name = hb_arena_printf(cv->to->arena, "%s_unlimited", y->name);
	hb_tensor *x = name ? hb_tensor_new(cv->to, name, y->dtype, &y->shape) : NULL;
	hb_node *n = x ? hb_node_new(cv->to, p->next, p->name, "hbcc", "Ew", 1, 1, 1) : NULL;
	if (!n || !hb_attr_set_s(cv->to, n, "fn", "cast") || !hb_attr_set_i(cv->to, n, "qmin", y->q.lo) || !hb_attr_set_i(cv->to, n, "qmax", y->q.hi))
		return hb_nomem(cv->from->cx, y->name);
	x->q = y->q;
	n->on = HB_ON_BPU;
	n->sources = p->sources;
	n->last_source = p->last_source;
	hb_node_set_out(p, out, x);
	hb_node_set_in(cv->to, n, 0, x);
	hb_node_set_out(n, 0, y);
	return hb_op_infer(cv->to, n);
}

/* Integers of t that its q does not take are limited to those it does, by what made them where that can. */
static hb_status
limit(hb_convert *cv, const hb_node *n, hb_tensor *t)
{
	hb_tensor *y = t ? hb_map_get(cv->tensors, t->name) : NULL;
	if (!y || !y->producer || !hb_q_limited(&t->q) || (t->q.dtype != HB_I8 && t->q.dtype != HB_I16))
		return HB_OK;
	hb_node *p = y->producer;
	if (!strcmp(p->domain, "hbcc") && takes_limits(p)) {
		int64_t lo = HB_MAX(hb_attr_i(p, "qmin", INT32_MIN), t->q.lo), hi = HB_MIN(hb_attr_i(p, "qmax", INT32_MAX), t->q.hi);
		if (!hb_attr_set_i(cv->to, p, "qmin", HB_MIN(lo, hi)) || !hb_attr_set_i(cv->to, p, "qmax", hi))
			return hb_nomem(cv->from->cx, t->name);
		return hb_op_infer(cv->to, p);
	}
	bool moved = n && !strcmp(p->domain, "hbcc");		/* of what is inside the limits already */
	for (int i = 0; n && i < n->nin; i++)
		moved = moved && (!n->in[i] || n->in[i]->dtype != HB_F32 || hb_q_same(&n->in[i]->q, &t->q));
	return moved ? HB_OK : clamp_behind(cv, y);
}

static hb_status
convert_bpu_group(hb_convert *cv, hb_node *last)
{
	hb_group *k = last->group;
	hb_node *root = k ? k->root : last;
	for (hb_node *n = root; n; n = n == last ? NULL : n->next) {
		if (n != last && (!k || n->group != k))
			continue;
		for (int i = 0; i < n->nin; i++) {
			if (n->in[i])
				HB_TRY(need_integers(cv, n->in[i]));
		}
	}
	if (k && k->magnitude)
		HB_TRY(hb_convert_magnitude(cv, root));
	else if ((k && k->chain_in) || (!root->op->convert && root->op->lut))
		HB_TRY(hb_convert_lut(cv, root));
	else if (!root->op->convert)
		return hb_fail(cv->from->cx, root, HB_ERR_UNSUPPORTED, "convert", "%s has no fixed-point form", root->op_type);
	else
		HB_TRY(root->op->convert(cv, root));
	for (int i = 0; i < last->nout; i++)
		HB_TRY(limit(cv, last, last->out[i]));
	return HB_OK;
}

static hb_status
set_outputs(hb_convert *cv)
{
	hb_graph *g = cv->from, *to = cv->to;
	for (size_t i = 0; i < g->noutputs; i++) {
		hb_tensor *t;
		HB_TRY(need_float(cv, g->outputs[i], &t));
		if (!HB_GROW(to->arena, &to->outputs, &to->cap_outputs, to->noutputs + 1))
			return hb_nomem(to->cx, t->name);
		to->outputs[to->noutputs++] = t;
		t->is_output = true;
		/* The model's output has the model's name; integers behind it step aside. */
		const char *want = g->outputs[i]->name;
		hb_tensor *holder = hb_tensor_find(to, want);
		if (strcmp(t->name, want) && holder && !holder->is_input && !holder->is_output) {
			const char *other = hb_arena_printf(to->arena, "%s_quantized", want);
			if (!other)
				return hb_nomem(to->cx, want);
			holder->name = other;
			t->name = want;
			hb_map_put(to->names, other, holder);
			hb_map_put(to->names, want, t);
		}
	}
	return HB_OK;
}

static hb_status
convert_all(hb_convert *cv)
{
	hb_graph *g = cv->from, *to = cv->to;
	to->name = g->name;
	for (const hb_meta *m = g->meta; m; m = m->next)
		if (!hb_meta_set(to->arena, &to->meta, m->key, m->value))
			return hb_nomem(g->cx, "metadata");
	if (g->uncalibrated && !hb_meta_set(to->arena, &to->meta, "hbcc.uncalibrated", "1"))
		return hb_nomem(g->cx, "metadata");
	to->sources = g->sources;
	to->producer = g->producer;
	to->producer_version = g->producer_version;
	to->uncalibrated = g->uncalibrated;
	for (size_t i = 0; i < g->ninputs; i++) {
		hb_tensor *t = hb_tensor_clone(g, g->inputs[i], to);
		if (!t || !HB_GROW(to->arena, &to->inputs, &to->cap_inputs, to->ninputs + 1) || !hb_map_put(cv->floats, t->name, t))
			return hb_nomem(g->cx, "convert");
		t->is_input = true;
		t->q = (hb_q){ .dtype = HB_NONE };
		to->inputs[to->ninputs++] = t;
	}
	int done = 0;
	for (hb_node *n = g->first; n; n = n->next) {
		hb_progress(g->cx, "convert", ++done, g->nnodes);
		if (n->on != HB_ON_BPU)
			HB_TRY(copy_cpu_node(cv, n));
		else if (!n->group || n->group->last == n)
			HB_TRY(convert_bpu_group(cv, n));
	}
	return set_outputs(cv);
}

hb_status
hb_pass_convert(hb_graph *g, hb_round round, hb_graph **fixed)
{
	hb_convert cv = { .from = g, .to = hb_graph_new(g->cx), .arena = hb_arena_new(g->cx), .round = round };
	hb_status st = HB_ERR_NOMEM;
	if (cv.to && cv.arena) {
		cv.tensors = hb_map_new(cv.arena);
		cv.floats = hb_map_new(cv.arena);
	}
	if (cv.tensors && cv.floats)
		st = convert_all(&cv);
	else
		hb_nomem(g->cx, "convert");
	hb_arena_free(cv.arena);
	if (st == HB_OK) {
		hb_graph_sweep(cv.to);
		*fixed = cv.to;
	} else {
		hb_graph_free(cv.to);
	}
	return st;
}
