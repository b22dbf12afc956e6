/* export.c: a graph as ONNX bytes, in one normal form (DESIGN 1).
 *
 * Nodes stand in the graph's order, initializers in the order of their first reader,
 * attributes, operator sets and metadata sorted by name; types and shapes of everything
 * that has them. Nothing of it depends on the day, the machine or a path. */
#include "lib/onnx/internal.h"

#include <stdlib.h>

#include "ops/op.h"

enum { SPLAT_AS_NODE = 4096 };		/* bytes from which one repeated element is a ConstantOfShape */

/* Pieces of one message that is being put together. */
struct writer {
	hb_graph *g;			/* of the messages; bodies have their own */
	hb_arena *arena;
	bool uses_hbcc, uses_horizon;
};

/* A repeated field that grows. */
struct list {
	void **p;
	size_t n, cap;
};

static hb_status
no_memory(struct writer *w)
{
	return hb_nomem(w->g->cx, NULL);
}

static hb_status
push(struct writer *w, struct list *l, void *item)
{
	if (!item || !HB_GROW(w->arena, &l->p, &l->cap, l->n + 1))
		return no_memory(w);
	l->p[l->n++] = item;
	return HB_OK;
}

/* A message of the generated type, initialized. */
#define MESSAGE(w, type, init) message_of((w), &(type)init, sizeof(type))

static void *
message_of(struct writer *w, const void *init, size_t size)
{
	return hb_arena_dup(w->arena, init, size);
}

static char *
chars(const char *s)
{
	return (char *)(uintptr_t)s;	/* protobuf-c does not write to what it packs */
}

/* ---- values ---- */

static hb_status
tensor_message(struct writer *w, hb_graph *g, hb_tensor *t, const char *name, Onnx__TensorProto **out)
{
	Onnx__TensorProto *m = MESSAGE(w, Onnx__TensorProto, ONNX__TENSOR_PROTO__INIT);
	if (!m)
		return no_memory(w);
	uint64_t bytes = hb_tensor_bytes(t);
	bool plain = t->raw && !t->data && !t->raw_onnx_type;
	const void *data = !bytes ? "" : plain ? t->raw : hb_tensor_data(g, t);
	if (!data)
		return HB_ERR_NOMEM;
	m->name = chars(name);
	m->has_data_type = true;
	m->data_type = hb_onnx_type_number(t->dtype);
	m->n_dims = (size_t)t->shape.rank;
	m->dims = t->shape.dim;
	m->has_raw_data = true;
	m->raw_data = (ProtobufCBinaryData){ .len = (size_t)bytes, .data = (uint8_t *)(uintptr_t)data };
	*out = m;
	return HB_OK;
}

static hb_status
value_info(struct writer *w, const hb_tensor *t, struct list *to)
{
	Onnx__ValueInfoProto *m = MESSAGE(w, Onnx__ValueInfoProto, ONNX__VALUE_INFO_PROTO__INIT);
	Onnx__TypeProto *ty = MESSAGE(w, Onnx__TypeProto, ONNX__TYPE_PROTO__INIT);
	Onnx__TypeProto__Tensor *tt = MESSAGE(w, Onnx__TypeProto__Tensor, ONNX__TYPE_PROTO__TENSOR__INIT);
	Onnx__TensorShapeProto *sh = MESSAGE(w, Onnx__TensorShapeProto, ONNX__TENSOR_SHAPE_PROTO__INIT);
	if (!m || !ty || !tt || !sh)
		return no_memory(w);
	m->name = chars(t->name);
	if (t->dtype != HB_NONE) {
		m->type = ty;
		ty->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
		ty->tensor_type = tt;
		tt->has_elem_type = true;
		tt->elem_type = hb_onnx_type_number(t->dtype);
	}
	if (t->has_shape) {
		struct list dims = { 0 };
		for (int i = 0; i < t->shape.rank; i++) {
			Onnx__TensorShapeProto__Dimension *d = MESSAGE(w, Onnx__TensorShapeProto__Dimension, ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT);
			HB_TRY(push(w, &dims, d));
			d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
			d->dim_value = t->shape.dim[i];
		}
		tt->shape = sh;
		sh->n_dim = dims.n;
		sh->dim = (Onnx__TensorShapeProto__Dimension **)dims.p;
	}
	return push(w, to, m);
}

/* ---- attributes ---- */

static hb_status graph_message(struct writer *w, hb_graph *g, const hb_export *outer, int opset, Onnx__GraphProto **out);

static hb_status
attr_message(struct writer *w, const hb_export *x, const hb_attr *a, Onnx__AttributeProto **out)
{
	static const Onnx__AttributeProto__AttributeType types[] = {
		[HB_ATTR_INT] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT, [HB_ATTR_FLOAT] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT,
		[HB_ATTR_STRING] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING, [HB_ATTR_TENSOR] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR,
		[HB_ATTR_GRAPH] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH, [HB_ATTR_INTS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
		[HB_ATTR_FLOATS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS, [HB_ATTR_STRINGS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS,
	};
	Onnx__AttributeProto *m = MESSAGE(w, Onnx__AttributeProto, ONNX__ATTRIBUTE_PROTO__INIT);
	if (!m)
		return no_memory(w);
	*out = m;
	m->name = chars(a->name);
	m->has_type = true;
	m->type = types[a->type];
	switch (a->type) {
	case HB_ATTR_INT:
		m->has_i = true;
		m->i = a->i;
		break;
	case HB_ATTR_FLOAT:
		m->has_f = true;
		m->f = a->f;
		break;
	case HB_ATTR_STRING:
		m->has_s = true;
		m->s = (ProtobufCBinaryData){ .len = a->n, .data = (uint8_t *)chars(a->s) };
		break;
	case HB_ATTR_INTS:
		m->n_ints = a->n;
		m->ints = (int64_t *)(uintptr_t)a->ints;
		break;
	case HB_ATTR_FLOATS:
		m->n_floats = a->n;
		m->floats = (float *)(uintptr_t)a->floats;
		break;
	case HB_ATTR_STRINGS:
		m->n_strings = a->n;
		m->strings = HB_NEW_N(w->arena, ProtobufCBinaryData, a->n);
		if (!m->strings)
			return no_memory(w);
		for (size_t i = 0; i < a->n; i++)
			m->strings[i] = (ProtobufCBinaryData){ .len = strlen(a->strings[i]), .data = (uint8_t *)chars(a->strings[i]) };
		break;
	case HB_ATTR_TENSOR:
		return tensor_message(w, x->g, a->t, a->t->name, &m->t);
	case HB_ATTR_GRAPH:
		return graph_message(w, a->g, x, x->opset, &m->g);
	}
	return HB_OK;
}

static int
attr_order(const void *a, const void *b)
{
	return strcmp((*(Onnx__AttributeProto *const *)a)->name, (*(Onnx__AttributeProto *const *)b)->name);
}

/* ---- nodes ---- */

static hb_status
node_message(struct writer *w, const hb_export *x, const hb_draft *d, struct list *to)
{
	Onnx__NodeProto *m = MESSAGE(w, Onnx__NodeProto, ONNX__NODE_PROTO__INIT);
	struct list in = { 0 }, out = { 0 }, attrs = { 0 };
	if (!m)
		return no_memory(w);
	for (int i = 0; i < d->nin; i++) {
		const hb_tensor *t = d->in[i] && d->in[i]->outer ? d->in[i]->outer : d->in[i];
		while (t && t->outer)
			t = t->outer;
		HB_TRY(push(w, &in, chars(t ? t->name : "")));
	}
	for (int i = 0; i < d->nout; i++)
		HB_TRY(push(w, &out, chars(d->out[i] ? d->out[i]->name : "")));
	for (const hb_attr *a = d->attrs; a; a = a->next) {
		Onnx__AttributeProto *am = NULL;
		HB_TRY(attr_message(w, x, a, &am));
		HB_TRY(push(w, &attrs, am));
	}
	if (attrs.n)
		qsort(attrs.p, attrs.n, sizeof(attrs.p[0]), attr_order);
	m->name = chars(d->name);
	m->op_type = chars(d->op_type);
	if (*d->domain)
		m->domain = chars(d->domain);
	w->uses_hbcc = w->uses_hbcc || !strcmp(d->domain, "hbcc");
	w->uses_horizon = w->uses_horizon || !strcmp(d->domain, "horizon");
	m->n_input = in.n;
	m->input = (char **)in.p;
	m->n_output = out.n;
	m->output = (char **)out.p;
	m->n_attribute = attrs.n;
	m->attribute = (Onnx__AttributeProto **)attrs.p;
	return push(w, to, m);
}

/* ---- graphs ---- */

/* `name`, or with "~2", "~3", ... behind it where a node has that name already: ONNX Runtime wants
 * node names to differ. NULL without memory. */
static const char *
node_name(struct writer *w, hb_map *taken, const char *name)
{
	int *last = hb_map_get(taken, name);
	const char *own = name;
	while (last && own && hb_map_get(taken, own))
		own = hb_arena_printf(w->arena, "%s~%d", name, ++*last + 1);
	int *count = own ? HB_NEW(w->arena, int) : NULL;
	return count && hb_map_put(taken, own, count) ? own : NULL;
}

/* Pieces of a GraphProto while its nodes are gone through. */
struct pieces {
	struct list nodes, inits, inputs, outputs, infos;
	hb_map *seen;			/* names of constants that are written */
	hb_map *node_names;
};

/* A large repeated element as a node that repeats it. */
static hb_status
splat_node(struct writer *w, hb_export *x, hb_tensor *t, struct pieces *p)
{
	hb_tensor *one = HB_NEW(w->arena, hb_tensor);
	hb_attr *a = HB_NEW(w->arena, hb_attr);
	hb_shape dims = { .rank = 1, .dim = { t->shape.rank } };
	hb_tensor *shape = hb_export_const(x, t->name, "shape", HB_I64, &dims, t->shape.dim);
	hb_draft *d = hb_export_draft(x, node_name(w, p->node_names, t->name), "ConstantOfShape", "", 1, 1);
	Onnx__TensorProto *m;
	if (!one || !a || !shape || !d || !d->name)
		return no_memory(w);
	*one = (hb_tensor){ .name = "value", .dtype = t->dtype, .is_const = true, .has_shape = true, .is_splat = true, .splat = t->splat, .id = -1 };
	one->shape = (hb_shape){ .rank = 1, .dim = { 1 } };
	*a = (hb_attr){ .name = "value", .type = HB_ATTR_TENSOR, .t = one };
	d->in[0] = shape;
	d->out[0] = t;
	d->attrs = a;
	HB_TRY(tensor_message(w, x->g, shape, shape->name, &m));
	HB_TRY(push(w, &p->inits, m));
	return node_message(w, x, d, &p->nodes);
}

static hb_status
constant(struct writer *w, hb_export *x, hb_tensor *t, struct pieces *p)
{
	Onnx__TensorProto *m;
	if (!t || !t->is_const || hb_map_get(p->seen, t->name))
		return HB_OK;
	if (!hb_map_put(p->seen, t->name, t))
		return no_memory(w);
	if (t->is_splat && !t->data && hb_tensor_bytes(t) >= SPLAT_AS_NODE)
		return splat_node(w, x, t, p);
	HB_TRY(tensor_message(w, x->g, t, t->name, &m));
	return push(w, &p->inits, m);
}

static hb_status
graph_message(struct writer *w, hb_graph *g, const hb_export *outer, int opset, Onnx__GraphProto **out)
{
	struct pieces p = { .seen = hb_map_new(w->arena), .node_names = hb_map_new(w->arena) };
	hb_export x = { .g = g, .arena = w->arena, .names = hb_map_new(w->arena), .opset = opset, .outer = outer };
	Onnx__GraphProto *m = MESSAGE(w, Onnx__GraphProto, ONNX__GRAPH_PROTO__INIT);
	if (!p.seen || !p.node_names || !x.names || !m)
		return no_memory(w);
	for (hb_node *n = g->first; n; n = n->next)
		HB_TRY(hb_export_node(&x, n));
	for (const hb_draft *d = x.first; d; d = d->next) {
		for (int i = 0; i < d->nin; i++)
			HB_TRY(constant(w, &x, d->in[i], &p));
	}
	for (size_t i = 0; i < g->noutputs; i++)
		HB_TRY(constant(w, &x, g->outputs[i], &p));
	for (hb_draft *d = x.first; d; d = d->next) {
		d->name = node_name(w, p.node_names, d->name);
		if (!d->name)
			return no_memory(w);
		HB_TRY(node_message(w, &x, d, &p.nodes));
		for (int i = 0; i < d->nout; i++) {
			const hb_tensor *t = d->out[i];
			if (t && t->has_shape && t->dtype != HB_NONE && !t->is_output)
				HB_TRY(value_info(w, t, &p.infos));
		}
	}
	for (size_t i = 0; i < g->ninputs; i++)
		HB_TRY(value_info(w, g->inputs[i], &p.inputs));
	for (size_t i = 0; i < g->noutputs; i++)
		HB_TRY(value_info(w, g->outputs[i], &p.outputs));
	m->name = chars(*g->name ? g->name : "graph");
	m->n_node = p.nodes.n;
	m->node = (Onnx__NodeProto **)p.nodes.p;
	m->n_initializer = p.inits.n;
	m->initializer = (Onnx__TensorProto **)p.inits.p;
	m->n_input = p.inputs.n;
	m->input = (Onnx__ValueInfoProto **)p.inputs.p;
	m->n_output = p.outputs.n;
	m->output = (Onnx__ValueInfoProto **)p.outputs.p;
	m->n_value_info = p.infos.n;
	m->value_info = (Onnx__ValueInfoProto **)p.infos.p;
	*out = m;
	return HB_OK;
}

/* ---- the file ---- */

static hb_status
add_opset(struct writer *w, struct list *to, const char *domain, int version)
{
	Onnx__OperatorSetIdProto *m = MESSAGE(w, Onnx__OperatorSetIdProto, ONNX__OPERATOR_SET_ID_PROTO__INIT);
	HB_TRY(push(w, to, m));
	m->domain = chars(domain);
	m->has_version = true;
	m->version = version;
	return HB_OK;
}

static hb_status
model_message(struct writer *w, hb_graph *g, Onnx__ModelProto **out)
{
	Onnx__ModelProto *m = MESSAGE(w, Onnx__ModelProto, ONNX__MODEL_PROTO__INIT);
	struct list opsets = { 0 }, meta = { 0 };
	hb_meta *entries;
	if (!m)
		return no_memory(w);
	int opset = hb_export_opset(g);
	HB_TRY(graph_message(w, g, NULL, opset, &m->graph));
	HB_TRY(add_opset(w, &opsets, "", opset));
	if (w->uses_hbcc)
		HB_TRY(add_opset(w, &opsets, "hbcc", 1));
	if (w->uses_horizon)
		HB_TRY(add_opset(w, &opsets, "horizon", 1));
	HB_TRY(hb_meta_list(g, w->arena, &entries));
	for (const hb_meta *e = entries; e; e = e->next) {
		Onnx__StringStringEntryProto *s = MESSAGE(w, Onnx__StringStringEntryProto, ONNX__STRING_STRING_ENTRY_PROTO__INIT);
		HB_TRY(push(w, &meta, s));
		s->key = chars(e->key);
		s->value = chars(e->value);
	}
	m->has_ir_version = true;
	m->ir_version = opset == HB_OPSET_OUT ? HB_IR_OUT : HB_IR_OUT_WIDE;
	m->producer_name = chars("hbcc");
	m->producer_version = chars(HBCC_VERSION);
	m->n_opset_import = opsets.n;
	m->opset_import = (Onnx__OperatorSetIdProto **)opsets.p;
	m->n_metadata_props = meta.n;
	m->metadata_props = (Onnx__StringStringEntryProto **)meta.p;
	*out = m;
	return HB_OK;
}

static hb_status
pack(hb_ctx *cx, const ProtobufCMessage *m, hb_buf *out)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	if (n > INT32_MAX)
		return hb_error(cx, HB_ERR_UNSUPPORTED, NULL, "onnx-size", "the model has more than 2 GiB, which one ONNX file cannot hold");
	uint8_t *to = hb_buf_room(out, n);
	if (!to)
		return hb_nomem(cx, NULL);
	protobuf_c_message_pack(m, to);
	return HB_OK;
}

hb_status
hb_onnx_bytes(hb_graph *g, hb_buf *out)
{
	struct writer w = { .g = g, .arena = hb_arena_new(g->cx) };
	Onnx__ModelProto *m = NULL;
	if (!w.arena)
		return hb_nomem(g->cx, NULL);
	hb_status st = model_message(&w, g, &m);
	if (st == HB_OK)
		st = pack(g->cx, &m->base, out);
	hb_arena_free(w.arena);
	return st;
}

hb_status
hb_onnx_tensor_bytes(hb_ctx *cx, const char *name, hb_dtype dt, const hb_shape *s, const void *data, hb_buf *out)
{
	Onnx__TensorProto m = ONNX__TENSOR_PROTO__INIT;
	hb_shape dims = *s;
	m.name = chars(name);
	m.has_data_type = true;
	m.data_type = hb_onnx_type_number(dt);
	m.n_dims = (size_t)dims.rank;
	m.dims = dims.dim;
	m.has_raw_data = true;
	m.raw_data.len = (size_t)hb_shape_elems(s) * hb_dtype_size(dt);
	m.raw_data.data = m.raw_data.len ? (uint8_t *)(uintptr_t)data : (uint8_t *)chars("");
	return pack(cx, &m.base, out);
}
