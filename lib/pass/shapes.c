/* shapes: takes an imported graph; leaves one whose tensors all have type and
 * shape, without nodes that have constant inputs only, and without operators
 * that are functions of others. */
#include "lib/pass/pass.h"

/* Q/DQ of constants stay: they say how a model was quantized (SEMANTICS 6). */
static bool
may_fold(const hb_node *n)
{
	static const char *const keep[] = { "QuantizeLinear", "DequantizeLinear" };
	for (size_t i = 0; i < HB_LEN(keep); i++) {
		if (!strcmp(n->op_type, keep[i]))
			return false;
	}
	return n->op->run && (!n->op->domain || !*n->op->domain);
}

/* Shape and Size know their result from the input's shape alone. */
static bool
reads_shape_only(const hb_node *n)
{
	return !*n->domain && (!strcmp(n->op_type, "Shape") || !strcmp(n->op_type, "Size"));
}

static bool
inputs_constant(const hb_node *n)
{
	if (reads_shape_only(n))
		return true;
	for (int i = 0; i < n->nin; i++) {
		if (n->in[i] && !n->in[i]->is_const)
			return false;
	}
	return true;
}

static void
drop(hb_graph *g, hb_node *n)
{
	hb_node_absorb(g, NULL, n);
	hb_node_remove(g, n);
}

/* One repeated element needs no memory until somebody reads it. */
static bool
fold_splat(hb_graph *g, hb_node *n)
{
	if (strcmp(n->op_type, "ConstantOfShape"))
		return false;
	const hb_attr *a = hb_attr_find(n, "value");
	const void *v = a ? hb_tensor_data(g, a->t) : NULL;
	hb_tensor *t = n->out[0];
	if (a && !v)
		return false;
	t->is_const = t->is_splat = true;
	t->splat = 0;
	if (v)
		memcpy(&t->splat, v, hb_dtype_size(t->dtype));
	return true;
}

hb_status
hb_pass_fold(hb_graph *g, hb_node *n)
{
	if (!fold_splat(g, n)) {
		hb_val *vals = HB_NEW_N(g->arena, hb_val, n->nin + n->nout);
		const hb_val **in = HB_NEW_N(g->arena, const hb_val *, n->nin);
		hb_val **out = HB_NEW_N(g->arena, hb_val *, n->nout);
		if (!vals || !in || !out)
			return hb_nomem(g->cx, n->name);
		for (int i = 0; i < n->nin; i++) {
			hb_tensor *t = n->in[i];
			if (!t)
				continue;
			/* Kernels only read their inputs. */
			void *data = t->is_const ? (void *)(uintptr_t)hb_tensor_data(g, t) : NULL;
			if (t->is_const && !data)
				return HB_ERR_NOMEM;
			vals[i] = (hb_val){ t->dtype, t->shape, data };
			in[i] = &vals[i];
		}
		for (int i = 0; i < n->nout; i++) {
			hb_tensor *t = n->out[i];
			vals[n->nin + i] = t ? (hb_val){ t->dtype, t->shape, NULL } : (hb_val){ 0 };
			out[i] = t ? &vals[n->nin + i] : NULL;
		}
		HB_TRY(hb_exec_node(g, n, in, out, g->arena));
		for (int i = 0; i < n->nout; i++) {
			if (n->out[i]) {
				n->out[i]->data = out[i]->data ? out[i]->data : hb_arena_alloc(g->arena, 0);
				n->out[i]->is_const = true;
			}
		}
	}
	drop(g, n);
	return HB_OK;
}

static hb_status
report_need(hb_graph *g, hb_node *n)
{
	return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "dynamic-shape", "its output's shape depends on the contents of %s'%s', which are not known before the model runs",
		       g->needed->is_input ? "input " : "", g->needed->name);
}

/* Adds what n's outputs hold to *total and refuses where all tensors together pass the limit (law 7). */
static hb_status
count_bytes(hb_graph *g, hb_node *n, uint64_t *total)
{
	for (int i = 0; i < n->nout; i++) {
		if (!n->out[i])
			continue;
		*total += hb_tensor_bytes(n->out[i]);
		if (*total > g->cx->opt.max_memory)
			return hb_fail(g->cx, n, HB_ERR_NOMEM, "memory", "with its output of %llu bytes the model's tensors pass the limit of %llu MiB (--max-memory)",
				       (unsigned long long)hb_tensor_bytes(n->out[i]), (unsigned long long)(g->cx->opt.max_memory >> 20));
	}
	return HB_OK;
}

enum { MAX_GROWTH = 1000000 };	/* nodes that expansion may add to a graph */

hb_status
hb_pass_shapes(hb_graph *g, bool may_need)
{
	uint64_t total = 0;
	int limit = g->nnodes + MAX_GROWTH;
	for (hb_node *n = g->first, *next; n; n = next) {
		HB_TRY(hb_op_resolve(g, n));
		hb_node *prev = n->prev;
		next = n->next;
		if (n->op->expand) {
			hb_status st = hb_op_infer(g, n);
			if (st == HB_OK)
				st = n->op->expand(g, n);
			if (st == HB_NEED_CONST)
				return may_need ? st : report_need(g, n);
			HB_TRY(st);
			if (g->nnodes > limit)
				return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "expansion", "expands the graph by more than %d nodes", MAX_GROWTH);
			hb_node *first = prev ? prev->next : g->first;
			if (first != n) {	/* else it chose to stay as it is */
				next = first;
				continue;
			}
		}
		hb_status st = hb_op_infer(g, n);
		if (st == HB_NEED_CONST)
			return may_need ? st : report_need(g, n);
		HB_TRY(st);
		HB_TRY(count_bytes(g, n, &total));
		if (may_fold(n) && inputs_constant(n))
			HB_TRY(hb_pass_fold(g, n));
	}
	return HB_OK;
}

hb_status
hb_pass_fold_all(hb_graph *g)
{
	for (hb_node *n = g->first, *next; n; n = next) {
		next = n->next;
		if (n->op->run && !*n->domain && inputs_constant(n))
			HB_TRY(hb_pass_fold(g, n));
	}
	return HB_OK;
}

hb_status
hb_pass_bind(hb_graph *g, const hb_val *in)
{
	for (size_t i = 0; i < g->ninputs; i++) {
		hb_tensor *t = g->inputs[i];
		size_t bytes = (size_t)hb_shape_elems(&in[i].shape) * hb_dtype_size(in[i].dtype);
		t->data = hb_arena_dup(g->arena, in[i].data, bytes);
		if (!t->data)
			return hb_nomem(g->cx, t->name);
		t->dtype = in[i].dtype;
		t->shape = in[i].shape;
		t->has_shape = true;
		t->is_const = true;
		t->is_input = false;
	}
	g->ninputs = 0;
	return HB_OK;
}
