/* import_attrs.c: attributes of nodes, and the constants that Constant nodes hold in them. */
#include "lib/onnx/import.h"

/* t, g, tensors, graphs, doc_string, tp, type_protos, sparse_tensor, sparse_tensors */
#define ATTR_SKIP (HB_FIELD(5) | HB_FIELD(6) | HB_FIELD(10) | HB_FIELD(11) | HB_FIELD(13) | HB_FIELD(14) | HB_FIELD(15) | \
		   HB_FIELD(22) | HB_FIELD(23))

/* Attributes whose value is an element type; float16, bfloat16 and double are float32 here. */
static const struct {
	const char *op_type, *attr;
} type_attrs[] = {
	{ "Cast", "to" }, { "EyeLike", "dtype" }, { "RandomNormal", "dtype" }, { "RandomNormalLike", "dtype" },
	{ "RandomUniform", "dtype" }, { "RandomUniformLike", "dtype" }, { "Bernoulli", "dtype" }, { "Multinomial", "dtype" },
	{ "QuantizeLinear", "output_dtype" }, { "QuantizeLinear", "precision" }, { "DequantizeLinear", "output_dtype" },
	{ "HannWindow", "output_datatype" }, { "HammingWindow", "output_datatype" }, { "BlackmanWindow", "output_datatype" },
	{ "MelWeightMatrix", "output_datatype" }, { "LayerNormalization", "stash_type" }, { "GroupNormalization", "stash_type" },
	{ "RMSNormalization", "stash_type" }, { "Attention", "softmax_precision" },
};

static void
widen_type_attr(struct hb_import *im, const char *op_type, hb_attr *a)
{
	const hb_onnx_type *ty = hb_onnx_type_of(a->i);
	for (size_t i = 0; i < HB_LEN(type_attrs); i++) {
		if (ty && ty->narrowed && is(op_type, type_attrs[i].op_type) && is(a->name, type_attrs[i].attr)) {
			a->i = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
			if (!im->r.narrowed)
				im->r.narrowed = ty->name;
		}
	}
}

static int
attr_type(const Onnx__AttributeProto *m, const uint8_t *p, size_t n)
{
	hb_wire_field f;
	if (m->has_type && m->type != ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED)
		return (int)m->type;
	/* Files of the first IR version do not say; the field that is there does. */
	return m->has_f ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT
	     : m->has_i ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT
	     : m->has_s ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING
	     : m->n_floats ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS
	     : m->n_ints ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS
	     : m->n_strings ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS
	     : hb_import_field(p, n, F_ATTR_T, &f) ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR
	     : hb_import_field(p, n, F_ATTR_G, &f) ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH : 0;
}

static hb_status
attr_graph(struct hb_import *im, struct hb_scope *s, const hb_wire_field *f, hb_attr *a)
{
	hb_graph *g = hb_graph_new(im->cx);
	hb_map *names = hb_map_new(im->r.arena);
	if (!g || !names)
		return out_of_memory(im);
	g->outer = s->g;
	g->ir_version = s->g->ir_version;
	struct hb_scope body = {
		.g = g, .names = names, .outer = s, .caller = s->caller, .fn = s->fn, .opsets = s->opsets,
		.bound = s->bound, .prefix = "", .index = s->index, .calls = s->calls,
	};
	g->opsets = s->g->opsets;
	a->type = HB_ATTR_GRAPH;
	a->g = g;
	s->g->has_bodies = true;
	return hb_import_graph(im, &body, f->p, f->n, false);
}

/* Fills a from the message; its name is set. */
static hb_status
attr_value(struct hb_import *im, struct hb_scope *s, const char *where, const Onnx__AttributeProto *m, const uint8_t *p, size_t n, hb_attr *a)
{
	static const char *const refused[] = {
		[ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSORS] = "a list of tensors",
		[ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPHS] = "a list of graphs",
		[ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__SPARSE_TENSOR] = "a sparse tensor",
		[ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__SPARSE_TENSORS] = "a list of sparse tensors",
		[ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TYPE_PROTO] = "a type",
		[ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TYPE_PROTOS] = "a list of types",
	};
	hb_arena *arena = s->g->arena;
	hb_wire_field f;
	int type = attr_type(m, p, n);
	switch (type) {
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
		a->type = HB_ATTR_FLOAT;
		a->f = m->f;
		return HB_OK;
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
		a->type = HB_ATTR_INT;
		a->i = m->i;
		return HB_OK;
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING:
		a->type = HB_ATTR_STRING;
		a->s = hb_arena_strn(arena, (const char *)m->s.data, m->s.len);
		a->n = m->s.len;
		return a->s ? HB_OK : out_of_memory(im);
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS:
		a->type = HB_ATTR_FLOATS;
		a->floats = hb_arena_dup(arena, m->floats, m->n_floats * sizeof(float));
		a->n = m->n_floats;
		return a->floats ? HB_OK : out_of_memory(im);
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
		a->type = HB_ATTR_INTS;
		a->ints = hb_arena_dup(arena, m->ints, m->n_ints * sizeof(int64_t));
		a->n = m->n_ints;
		return a->ints ? HB_OK : out_of_memory(im);
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS: {
		const char **list = HB_NEW_N(arena, const char *, m->n_strings);
		for (size_t i = 0; list && i < m->n_strings; i++) {
			list[i] = hb_arena_strn(arena, (const char *)m->strings[i].data, m->strings[i].len);
			if (!list[i])
				return out_of_memory(im);
		}
		a->type = HB_ATTR_STRINGS;
		a->strings = list;
		a->n = m->n_strings;
		return list ? HB_OK : out_of_memory(im);
	}
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR:
		if (!hb_import_field(p, n, F_ATTR_T, &f))
			break;
		a->type = HB_ATTR_TENSOR;
		a->t = HB_NEW(arena, hb_tensor);
		if (!a->t)
			return out_of_memory(im);
		a->t->name = a->name;
		a->t->id = -1;
		return hb_read_tensor(&im->r, s->g, where, f.p, f.n, a->t);
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH:
		if (!hb_import_field(p, n, F_ATTR_G, &f))
			break;
		return attr_graph(im, s, &f, a);
	default:
		if (type > 0 && type < (int)HB_LEN(refused) && refused[type])
			return hb_error(im->cx, HB_ERR_UNSUPPORTED, where, "onnx-attribute", "attribute '%s' is %s, which is not taken", a->name, refused[type]);
		return hb_error(im->cx, HB_ERR_INPUT, where, "onnx-attribute", "attribute '%s' has no known type", a->name);
	}
	return hb_error(im->cx, HB_ERR_INPUT, where, "onnx-attribute", "attribute '%s' has no value", a->name);
}

/* One attribute behind *last, unless it refers to one that the call does not give. */
static hb_status
read_attr(struct hb_import *im, struct hb_scope *s, const struct hb_header *h, const hb_wire_field *f, const hb_attr *first, hb_attr ***last)
{
	Onnx__AttributeProto *m;
	HB_TRY(hb_unpack(&im->r.u, &onnx__attribute_proto__descriptor, f->p, f->n, ATTR_SKIP, &m));
	hb_status st = HB_OK;
	hb_attr *a = HB_NEW(s->g->arena, hb_attr);
	const char *name = a ? hb_arena_str(s->g->arena, text(m->name)) : NULL;
	const char *ref = text(m->ref_attr_name);
	if (!name) {
		st = out_of_memory(im);
	} else if (!*name) {
		st = hb_error(im->cx, HB_ERR_INPUT, h->where, "onnx-attribute", "has an attribute without a name");
	} else {
		for (; first && st == HB_OK; first = first->next) {
			if (!strcmp(first->name, name))
				st = hb_error(im->cx, HB_ERR_INPUT, h->where, "onnx-attribute", "has attribute '%s' twice", name);
		}
	}
	if (st == HB_OK && *ref) {
		const hb_attr *b = s->bound;
		while (b && strcmp(b->name, ref))
			b = b->next;
		if (!s->fn)
			st = hb_error(im->cx, HB_ERR_INPUT, h->where, "onnx-attribute",
				      "attribute '%s' refers to '%s'; only nodes of functions refer to attributes", name, ref);
		else if (b && b->type == HB_ATTR_GRAPH && b->g->outer != s->g)
			st = hb_error(im->cx, HB_ERR_UNSUPPORTED, h->where, "onnx-attribute",
				      "attribute '%s' is a graph from outside the body that the node is in; that is not taken", name);
		else if (b)
			*a = *b;
		else
			a = NULL;
	} else if (st == HB_OK) {
		a->name = name;
		st = attr_value(im, s, h->where, m, f->p, f->n, a);
	}
	if (st == HB_OK && a) {
		a->name = name;
		a->next = NULL;
		if (a->type == HB_ATTR_INT && !*h->domain)
			widen_type_attr(im, h->op_type, a);
		**last = a;
		*last = &a->next;
	}
	hb_unpack_free(&im->r.u, m);
	return st;
}

hb_status
hb_import_attrs(struct hb_import *im, struct hb_scope *s, const struct hb_header *h, const uint8_t *p, size_t n, uint32_t field, hb_attr **list)
{
	const uint8_t *end = p + n;
	hb_wire_field f;
	hb_attr **last = list;
	while (hb_wire_next(&p, end, &f, NULL)) {
		if (f.number == field)
			HB_TRY(read_attr(im, s, h, &f, *list, &last));
	}
	return HB_OK;
}

/* ---- constants ---- */

/* The contents of t from the one attribute of a Constant node. */
hb_status
hb_import_constant(struct hb_import *im, struct hb_scope *s, const struct hb_header *h, const uint8_t *p, size_t n, hb_tensor *t)
{
	hb_attr *a = NULL;
	HB_TRY(hb_import_attrs(im, s, h, p, n, F_NODE_ATTR, &a));
	if (!a || a->next)
		return hb_error(im->cx, HB_ERR_INPUT, h->where, "onnx-constant", "has %s; a Constant has exactly one value", a ? "several attributes" : "no value");
	hb_shape list = { .rank = 1, .dim = { (int64_t)a->n } };
	t->is_const = true;
	t->has_shape = true;
	t->shape = (hb_shape){ .rank = 0 };
	if (is(a->name, "value") && a->type == HB_ATTR_TENSOR) {
		t->dtype = a->t->dtype;
		t->shape = a->t->shape;
		t->data = a->t->data;
		t->raw = a->t->raw;
		t->raw_onnx_type = a->t->raw_onnx_type;
	} else if (is(a->name, "value_int") && a->type == HB_ATTR_INT) {
		t->dtype = HB_I64;
		t->data = &a->i;
	} else if (is(a->name, "value_float") && a->type == HB_ATTR_FLOAT) {
		t->dtype = HB_F32;
		t->data = hb_arena_dup(s->g->arena, &a->f, sizeof(a->f));
	} else if (is(a->name, "value_ints") && (a->type == HB_ATTR_INTS || !a->n)) {
		t->dtype = HB_I64;
		t->shape = list;
		t->data = a->ints;
	} else if (is(a->name, "value_floats") && (a->type == HB_ATTR_FLOATS || !a->n)) {
		t->dtype = HB_F32;
		t->shape = list;
		t->data = a->floats;
	} else if (is(a->name, "value_string") || is(a->name, "value_strings")) {
		return hb_error(im->cx, HB_ERR_UNSUPPORTED, h->where, "onnx-constant", "has a text as its value; texts are not taken");
	} else {
		return hb_error(im->cx, HB_ERR_INPUT, h->where, "onnx-constant", "has attribute '%s' of a type that Constant does not take", a->name);
	}
	return HB_OK;
}
