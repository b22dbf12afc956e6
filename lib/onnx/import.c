/* import.c: the graph of an ONNX file.
 *
 * A graph is read in steps, each over the fields of its message in place: constants and
 * inputs, then the names that nodes write, then the nodes themselves, so that nodes may
 * stand in any order. Calls of the model's own functions become the function's nodes.
 * A name is looked for in the graph itself and then in those around it (bodies of If,
 * Loop, Scan); what a body takes from outside gets a tensor of its own in the body, with
 * ->outer saying which, listed in the body's ->captured. Constants are shared by value. */
#include "lib/onnx/internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "ops/op.h"

enum {
	F_MODEL_GRAPH = 7, F_MODEL_TRAINING = 20, F_MODEL_FUNCTIONS = 25,
	F_GRAPH_NODE = 1, F_GRAPH_INIT = 5, F_GRAPH_INPUT = 11, F_GRAPH_OUTPUT = 12, F_GRAPH_INFO = 13,
	F_GRAPH_ANNOTATION = 14, F_GRAPH_SPARSE = 15,
	F_FN_NODE = 7, F_FN_ATTR = 11, F_FN_INFO = 12,
	F_NODE_ATTR = 5, F_NODE_DOC = 6, F_NODE_META = 9, F_NODE_DEVICES = 10,
	F_ATTR_T = 5, F_ATTR_G = 6,
};

#define MODEL_SKIP (HB_FIELD(F_MODEL_GRAPH) | HB_FIELD(F_MODEL_TRAINING) | HB_FIELD(F_MODEL_FUNCTIONS))
#define GRAPH_SKIP (HB_FIELD(F_GRAPH_NODE) | HB_FIELD(F_GRAPH_INIT) | HB_FIELD(F_GRAPH_INPUT) | HB_FIELD(F_GRAPH_OUTPUT) | \
		    HB_FIELD(F_GRAPH_INFO) | HB_FIELD(F_GRAPH_ANNOTATION) | HB_FIELD(F_GRAPH_SPARSE))
#define FN_SKIP (HB_FIELD(F_FN_NODE) | HB_FIELD(F_FN_ATTR) | HB_FIELD(F_FN_INFO))
#define NODE_SKIP (HB_FIELD(F_NODE_ATTR) | HB_FIELD(F_NODE_DOC) | HB_FIELD(F_NODE_META) | HB_FIELD(F_NODE_DEVICES))
/* t, g, tensors, graphs, doc_string, tp, type_protos, sparse_tensor, sparse_tensors */
#define ATTR_SKIP (HB_FIELD(5) | HB_FIELD(6) | HB_FIELD(10) | HB_FIELD(11) | HB_FIELD(13) | HB_FIELD(14) | HB_FIELD(15) | \
		   HB_FIELD(22) | HB_FIELD(23))

enum {
	MAX_CALLS = 64,			/* functions within functions */
	MAX_INLINED = 1 << 18,		/* nodes made from functions */
	MAX_REPORTED = 32,		/* missing tensors named in one run */
};

struct function {
	const uint8_t *p;
	size_t n;
	const Onnx__FunctionProto *m;	/* its header; unpacked while the file is read */
	struct function *next;
};

/* An operator that no row serves, and where it was met first. */
struct unknown {
	const char *domain, *op_type;
	int version;
	char *where;
	int count;
	struct unknown *next;
};

struct import {
	hb_reader r;
	hb_ctx *cx;
	const hb_import_options *opt;
	hb_map *functions;		/* "domain\nname\noverload" to struct function */
	struct function *all_functions;
	int64_t inlined;		/* nodes from functions, calls included */
	uint64_t inlined_bytes, max_inlined_bytes;
	hb_map *unknown_names;
	struct unknown *unknown, **last_unknown;
	int missing;
	bool failed;			/* something was reported and reading went on */
};

/* Where names mean something: a graph, or a function's body at one call. */
struct scope {
	hb_graph *g;
	hb_map *names;			/* name to hb_tensor, or to `absent` */
	hb_map *formal;			/* of a call: name of a function's output to the tensor the caller has for it */
	struct scope *outer;		/* of a body: around it */
	const struct scope *caller;	/* of a call */
	const struct function *fn;	/* the function whose text this is, or NULL */
	const hb_opset *opsets;
	hb_attr *bound;			/* in a function: attributes of the call and defaults */
	const char *prefix;		/* before the names of a function's own tensors and nodes */
	int index;			/* of a call: place of the calling node in the file; else -1 */
	int calls;			/* how deep in functions */
};

/* What stands in a scope's names for an operand that the call leaves out. */
static hb_tensor absent;

/* A node's header, and the text that messages start with. */
struct header {
	Onnx__NodeProto *m;
	const char *op_type, *domain, *name;	/* name: the node's, else its first output's */
	char where[320];
};

static hb_status
out_of_memory(struct import *im)
{
	return hb_nomem(im->cx, NULL);
}

static bool
is(const char *a, const char *b)
{
	return a && !strcmp(a, b);
}

static const char *
text(const char *s)
{
	return s ? s : "";
}

/* "ai.onnx" is a name of the default domain. */
static const char *
domain_of(const char *s)
{
	return is(s, "ai.onnx") ? "" : text(s);
}

/* ---- names ---- */

/* The tensor a name means, taken into the scope's graph where it is from outside; NULL:
 * no such name; &absent. *nomem is set where that ran out of memory. */
static hb_tensor *
lookup(struct import *im, struct scope *s, const char *name, bool *nomem)
{
	hb_tensor *t = hb_map_get(s->names, name);
	if (t || !s->outer)
		return t;
	t = lookup(im, s->outer, name, nomem);
	if (!t || t == &absent)
		return t;
	hb_graph *g = s->g;
	hb_tensor *mine = hb_tensor_new(g, t->name, t->dtype, t->has_shape ? &t->shape : NULL);
	char *key = hb_arena_str(im->r.arena, name);
	*nomem = !mine || !key || !hb_map_put(s->names, key, mine);
	if (*nomem)
		return NULL;
	if (t->is_const) {
		mine->is_const = true;
		mine->data = t->data;
		mine->raw = t->raw;
		mine->raw_onnx_type = t->raw_onnx_type;
		mine->is_splat = t->is_splat;
		mine->splat = t->splat;
		return mine;
	}
	mine->outer = t;
	*nomem = !HB_GROW(g->arena, &g->captured, &g->cap_captured, g->ncaptured + 1);
	if (*nomem)
		return NULL;
	g->captured[g->ncaptured++] = mine;
	return mine;
}

/* The tensor that `name` is from here on in this scope. */
static hb_status
define(struct import *im, struct scope *s, const char *where, const char *name, hb_tensor **out)
{
	hb_tensor *t = s->formal ? hb_map_get(s->formal, name) : NULL;
	if (hb_map_get(s->names, name))
		return hb_error(im->cx, HB_ERR_INPUT, where, "onnx-ssa", "tensor '%s' is written twice; a name must be written once", name);
	if (!t) {
		const char *full = *s->prefix ? hb_arena_printf(im->r.arena, "%s%s", s->prefix, name) : name;
		t = full ? hb_tensor_new(s->g, full, HB_NONE, NULL) : NULL;
	}
	char *key = hb_arena_str(im->r.arena, name);
	if (!t || !key || !hb_map_put(s->names, key, t))
		return out_of_memory(im);
	*out = t;
	return HB_OK;
}

/* ---- attributes ---- */

static hb_status read_graph(struct import *im, struct scope *s, const uint8_t *p, size_t n, bool top);

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
widen_type_attr(struct import *im, const char *op_type, hb_attr *a)
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

/* A field of that number in the message at p, which must stand there. */
static bool
find_field(const uint8_t *p, size_t n, uint32_t number, hb_wire_field *f)
{
	const uint8_t *end = p + n;
	while (hb_wire_next(&p, end, f, NULL)) {
		if (f->number == number)
			return true;
	}
	return false;
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
	     : find_field(p, n, F_ATTR_T, &f) ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR
	     : find_field(p, n, F_ATTR_G, &f) ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH : 0;
}

static hb_status
attr_graph(struct import *im, struct scope *s, const hb_wire_field *f, hb_attr *a)
{
	hb_graph *g = hb_graph_new(im->cx);
	hb_map *names = hb_map_new(im->r.arena);
	if (!g || !names)
		return out_of_memory(im);
	g->outer = s->g;
	g->ir_version = s->g->ir_version;
	struct scope body = {
		.g = g, .names = names, .outer = s, .caller = s->caller, .fn = s->fn, .opsets = s->opsets,
		.bound = s->bound, .prefix = "", .index = s->index, .calls = s->calls,
	};
	g->opsets = s->g->opsets;
	a->type = HB_ATTR_GRAPH;
	a->g = g;
	s->g->has_bodies = true;
	return read_graph(im, &body, f->p, f->n, false);
}

/* Fills a from the message; its name is set. */
static hb_status
attr_value(struct import *im, struct scope *s, const char *where, const Onnx__AttributeProto *m, const uint8_t *p, size_t n, hb_attr *a)
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
		if (!find_field(p, n, F_ATTR_T, &f))
			break;
		a->type = HB_ATTR_TENSOR;
		a->t = HB_NEW(arena, hb_tensor);
		if (!a->t)
			return out_of_memory(im);
		a->t->name = a->name;
		a->t->id = -1;
		return hb_read_tensor(&im->r, s->g, where, f.p, f.n, a->t);
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH:
		if (!find_field(p, n, F_ATTR_G, &f))
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
read_attr(struct import *im, struct scope *s, const struct header *h, const hb_wire_field *f, const hb_attr *first, hb_attr ***last)
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

static hb_status
read_attrs(struct import *im, struct scope *s, const struct header *h, const uint8_t *p, size_t n, uint32_t field, hb_attr **list)
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
static hb_status
constant_value(struct import *im, struct scope *s, const struct header *h, const uint8_t *p, size_t n, hb_tensor *t)
{
	hb_attr *a = NULL;
	HB_TRY(read_attrs(im, s, h, p, n, F_NODE_ATTR, &a));
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

static hb_status
read_initializer(struct import *im, struct scope *s, const uint8_t *p, size_t n)
{
	char where[320];
	hb_tensor *t;
	const char *name = hb_read_tensor_name(&im->r, p, n);
	if (!name)
		return out_of_memory(im);
	if (!*name)
		return hb_error(im->cx, HB_ERR_INPUT, NULL, "onnx-name", "an initializer has no name");
	snprintf(where, sizeof(where), "tensor '%s'", name);
	HB_TRY(define(im, s, where, name, &t));
	return hb_read_tensor(&im->r, s->g, where, p, n, t);
}

/* ---- inputs ---- */

static bool
add_port(hb_graph *g, hb_tensor ***list, size_t *n, size_t *cap, hb_tensor *t)
{
	if (!HB_GROW(g->arena, list, cap, *n + 1))
		return false;
	(*list)[(*n)++] = t;
	return true;
}

/* The shape asked for on the command line for input number `index`, or NULL. */
static const hb_input_shape *
asked_shape(const struct import *im, const char *name, size_t index)
{
	const hb_import_options *o = im->opt;
	const hb_input_shape *found = NULL;
	for (size_t i = 0; o && i < o->nshapes; i++) {
		if ((o->shapes[i].name ? is(o->shapes[i].name, name) : o->shapes_by_order && i == index) && (!found || found->from_array))
			found = &o->shapes[i];
	}
	return found;
}

/* Sizes that symbols have got so far. */
struct symbol {
	int64_t size;
};

/* Extent `size` for dimension k, whose symbol is `name` (NULL: it has none). */
static hb_status
bind_symbol(struct import *im, hb_map *symbols, const char *name, int64_t size)
{
	struct symbol *y = name && !hb_map_get(symbols, name) ? HB_NEW(im->r.arena, struct symbol) : NULL;
	if (!name || hb_map_get(symbols, name))
		return HB_OK;
	if (!y || !hb_map_put(symbols, name, y))
		return out_of_memory(im);
	y->size = size;
	return HB_OK;
}

static hb_status
input_shape(struct import *im, hb_graph *g, const char *where, const Onnx__TensorShapeProto *sh, hb_map *symbols, hb_tensor *t)
{
	const hb_input_shape *said = asked_shape(im, t->name, g->ninputs - 1);
	if (said && said->from_array && said->shape.rank != (sh ? (int)sh->n_dim : HB_MAX(said->shape.rank, 0)))
		said = NULL;
	const hb_shape *asked = said ? &said->shape : NULL;
	if (!sh) {
		if (!asked)
			return hb_error(im->cx, HB_ERR_USAGE, where, "input-shape", "has no shape in the model; give it with --input-shape %s:...", t->name);
		t->shape = *asked;
		t->has_shape = true;
		return HB_OK;
	}
	if (sh->n_dim > HB_MAX_RANK)
		return hb_error(im->cx, HB_ERR_UNSUPPORTED, where, "rank", "has rank %zu; tensors of rank 0 to %d are taken", sh->n_dim, HB_MAX_RANK);
	if (asked && asked->rank != (int)sh->n_dim)
		return hb_error(im->cx, HB_ERR_USAGE, where, "input-shape", "has rank %zu; --input-shape gives it rank %d", sh->n_dim, asked->rank);
	const char **names = HB_NEW_N(g->arena, const char *, sh->n_dim);
	hb_shape s = { .rank = (int)sh->n_dim };
	int64_t all = 1;
	if (!names)
		return out_of_memory(im);
	for (int i = 0; i < s.rank; i++) {
		const Onnx__TensorShapeProto__Dimension *d = sh->dim[i];
		bool fixed = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && d->dim_value >= 0;
		const char *symbol = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM ? d->dim_param : "";
		char unnamed[24];
		snprintf(unnamed, sizeof(unnamed), "?");
		if (!fixed) {
			names[i] = hb_arena_str(g->arena, *symbol ? symbol : unnamed);
			if (!names[i])
				return out_of_memory(im);
		}
		const struct symbol *known = !fixed && *symbol ? hb_map_get(symbols, names[i]) : NULL;
		if (fixed) {
			s.dim[i] = d->dim_value;
			if (asked && !said->from_array && asked->dim[i] != s.dim[i])
				return hb_error(im->cx, HB_ERR_USAGE, where, "input-shape", "dimension %d is %lld in the model; --input-shape says %lld", i,
						(long long)s.dim[i], (long long)asked->dim[i]);
		} else if (asked) {
			s.dim[i] = asked->dim[i];
		} else if (known) {
			s.dim[i] = known->size;
		} else if (!i) {
			s.dim[i] = 1;
			hb_note(im->cx, where, "input-shape", "the first dimension is symbolic ('%s'); it is taken as 1", names[i]);
		} else {
			return hb_error(im->cx, HB_ERR_USAGE, where, "input-shape", "dimension %d is symbolic ('%s'); give the shape with --input-shape %s:...", i,
					names[i], t->name);
		}
		if (!fixed && *symbol)
			HB_TRY(bind_symbol(im, symbols, names[i], s.dim[i]));
		if (s.dim[i] < 0 || !hb_mul64(all, HB_MAX(s.dim[i], 1), &all) || all > INT64_C(1) << 47)
			return hb_error(im->cx, HB_ERR_INPUT, where, "shape", "has more than 2^47 elements");
	}
	t->shape = s;
	t->has_shape = true;
	t->dim_names = names;
	return HB_OK;
}

/* A body's input has the shape that is declared where all of it is numbers; the node that
 * runs the body knows better in the end. */
static void
body_shape(const Onnx__TensorShapeProto *sh, hb_tensor *t)
{
	int64_t all = 1;
	hb_shape s = { .rank = sh && sh->n_dim <= HB_MAX_RANK ? (int)sh->n_dim : 0 };
	bool known = sh && sh->n_dim <= HB_MAX_RANK;
	for (int i = 0; known && i < s.rank; i++) {
		const Onnx__TensorShapeProto__Dimension *d = sh->dim[i];
		s.dim[i] = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ? d->dim_value : -1;
		known = s.dim[i] >= 0 && hb_mul64(all, HB_MAX(s.dim[i], 1), &all) && all <= INT64_C(1) << 47;
	}
	if (known) {
		t->shape = s;
		t->has_shape = true;
	}
}

static const char *const value_kinds[] = {
	[ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE] = "sequence", [ONNX__TYPE_PROTO__VALUE_MAP_TYPE] = "map",
	[ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE] = "sparse tensor", [ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE] = "optional",
};

static hb_status
input_of(struct import *im, struct scope *s, const Onnx__ValueInfoProto *m, hb_map *symbols, bool top)
{
	const char *name = text(m->name);
	char where[320];
	hb_graph *g = s->g;
	hb_tensor *t = hb_map_get(s->names, name);
	snprintf(where, sizeof(where), "input '%s'", name);
	if (!*name)
		return hb_error(im->cx, HB_ERR_INPUT, NULL, "onnx-name", "a graph input has no name");
	if (t && t->is_const)
		return HB_OK;		/* an initializer that is listed as an input too */
	HB_TRY(define(im, s, where, name, &t));
	t->is_input = true;
	if (!add_port(g, &g->inputs, &g->ninputs, &g->cap_inputs, t))
		return out_of_memory(im);
	const Onnx__TypeProto *ty = m->type;
	if (ty && (size_t)ty->value_case < HB_LEN(value_kinds) && value_kinds[ty->value_case])
		return hb_error(im->cx, HB_ERR_UNSUPPORTED, where, "onnx-type", "is a %s; tensors are taken", value_kinds[ty->value_case]);
	bool tensor = ty && ty->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	if (!tensor && !top)
		return HB_OK;		/* a body's inputs get their types from the node */
	if (!tensor)
		return hb_error(im->cx, HB_ERR_INPUT, where, "onnx-type", "has no type");
	if (top || ty->tensor_type->elem_type)
		HB_TRY(hb_read_type(&im->r, where, ty->tensor_type->elem_type, &t->dtype));
	if (!top) {
		body_shape(ty->tensor_type->shape, t);
		return HB_OK;
	}
	return input_shape(im, g, where, ty->tensor_type->shape, symbols, t);
}

static hb_status
read_inputs(struct import *im, struct scope *s, const uint8_t *p, size_t n, bool top)
{
	const uint8_t *end = p + n;
	hb_wire_field f;
	hb_status worst = HB_OK;
	hb_map *symbols = hb_map_new(im->r.arena);
	if (!symbols)
		return out_of_memory(im);
	while (hb_wire_next(&p, end, &f, NULL)) {
		Onnx__ValueInfoProto *m;
		if (f.number != F_GRAPH_INPUT)
			continue;
		HB_TRY(hb_unpack(&im->r.u, &onnx__value_info_proto__descriptor, f.p, f.n, 0, &m));
		hb_status st = input_of(im, s, m, symbols, top);
		hb_unpack_free(&im->r.u, m);
		if (st != HB_OK && st != HB_ERR_USAGE && st != HB_ERR_UNSUPPORTED)
			return st;
		worst = worst == HB_OK ? st : worst;	/* one run names every input that needs something */
	}
	if (top && im->opt) {
		for (size_t i = 0; i < im->opt->nshapes; i++) {
			const char *name = im->opt->shapes[i].name;
			const hb_tensor *t = name ? hb_map_get(s->names, name) : NULL;
			if (name && !im->opt->shapes[i].from_array && (!t || !t->is_input))
				worst = hb_error(im->cx, HB_ERR_USAGE, NULL, "input-shape", "--input-shape names '%s', which is no input of the model", name);
			else if (!name && !im->opt->shapes[i].from_array && i >= s->g->ninputs)
				worst = hb_error(im->cx, HB_ERR_USAGE, NULL, "input-shape", "%zu shapes are given; the model has %zu inputs", im->opt->nshapes,
						 s->g->ninputs);
		}
	}
	return worst;
}

static hb_status
output_of(struct import *im, struct scope *s, const Onnx__ValueInfoProto *m)
{
	const char *name = text(m->name);
	char where[320];
	bool nomem = false;
	hb_graph *g = s->g;
	snprintf(where, sizeof(where), "output '%s'", name);
	if (!*name)
		return hb_error(im->cx, HB_ERR_INPUT, NULL, "onnx-name", "a graph output has no name");
	const Onnx__TypeProto *ty = m->type;
	if (ty && (size_t)ty->value_case < HB_LEN(value_kinds) && value_kinds[ty->value_case])
		return hb_error(im->cx, HB_ERR_UNSUPPORTED, where, "onnx-type", "is a %s; tensors are taken", value_kinds[ty->value_case]);
	hb_tensor *t = lookup(im, s, name, &nomem);
	if (nomem)
		return out_of_memory(im);
	if (!t || t == &absent)
		return hb_error(im->cx, HB_ERR_INPUT, where, "onnx-missing", "no node writes it, and it is no input and no initializer");
	if (t->is_output)
		return hb_error(im->cx, HB_ERR_INPUT, where, "onnx-ssa", "stands twice among the outputs");
	t->is_output = true;
	/* Shape inference says it again; a graph that is written before it ran has at least this. */
	const hb_onnx_type *row = ty && ty->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? hb_onnx_type_of(ty->tensor_type->elem_type) : NULL;
	if (t->dtype == HB_NONE && row)
		t->dtype = row->dtype;
	return add_port(g, &g->outputs, &g->noutputs, &g->cap_outputs, t) ? HB_OK : out_of_memory(im);
}

static hb_status
read_outputs(struct import *im, struct scope *s, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	hb_wire_field f;
	while (hb_wire_next(&p, end, &f, NULL)) {
		Onnx__ValueInfoProto *m;
		if (f.number != F_GRAPH_OUTPUT)
			continue;
		HB_TRY(hb_unpack(&im->r.u, &onnx__value_info_proto__descriptor, f.p, f.n, 0, &m));
		hb_status st = output_of(im, s, m);
		hb_unpack_free(&im->r.u, m);
		HB_TRY(st);
	}
	return HB_OK;
}

/* ---- nodes ---- */

static hb_status
open_node(struct import *im, const hb_wire_field *f, int index, struct header *h)
{
	HB_TRY(hb_unpack(&im->r.u, &onnx__node_proto__descriptor, f->p, f->n, NODE_SKIP, &h->m));
	h->op_type = text(h->m->op_type);
	h->domain = domain_of(h->m->domain);
	h->name = text(h->m->name);
	for (size_t i = 0; !*h->name && i < h->m->n_output; i++)
		h->name = h->m->output[i];
	snprintf(h->where, sizeof(h->where), "node %d %s '%s'", index, h->op_type, h->name);
	if (!*h->op_type) {
		hb_unpack_free(&im->r.u, h->m);
		h->m = NULL;
		return hb_error(im->cx, HB_ERR_INPUT, h->where, "onnx-node", "has no operator type");
	}
	return HB_OK;
}

static bool
is_constant(const struct header *h)
{
	return !*h->domain && is(h->op_type, "Constant");
}

/* First look at a node: the names it writes; a Constant's value. */
static hb_status
declare_node(struct import *im, struct scope *s, const struct header *h, const hb_wire_field *f)
{
	size_t written = 0;
	for (size_t i = 0; i < h->m->n_output; i++) {
		hb_tensor *t;
		if (!*h->m->output[i])
			continue;
		written++;
		HB_TRY(define(im, s, h->where, h->m->output[i], &t));
		if (is_constant(h) && written == 1)
			HB_TRY(constant_value(im, s, h, f->p, f->n, t));
	}
	if (!written || (is_constant(h) && written != 1))
		return hb_error(im->cx, HB_ERR_INPUT, h->where, "onnx-node", "has %zu outputs; it must have %s", written, is_constant(h) ? "one" : "at least one");
	return HB_OK;
}

static hb_status
version_of(struct import *im, const struct scope *s, const struct header *h, int *version)
{
	for (const hb_opset *o = s->opsets; o; o = o->next) {
		if (!strcmp(o->domain, h->domain)) {
			*version = o->version;
			return HB_OK;
		}
	}
	return hb_error(im->cx, HB_ERR_INPUT, h->where, "onnx-opset", "is of domain '%s', of which the model imports no operator set", h->domain);
}

/* Notes an operator without a row; all of them are reported in the end. */
static hb_status
note_unknown(struct import *im, const hb_node *n, const char *where)
{
	char key[600];
	snprintf(key, sizeof(key), "%d %.250s %.250s", n->version, n->domain, n->op_type);
	struct unknown *u = hb_map_get(im->unknown_names, key);
	if (u) {
		u->count++;
		return HB_OK;
	}
	u = HB_NEW(im->r.arena, struct unknown);
	char *own = hb_arena_str(im->r.arena, key);
	if (!u || !own || !hb_map_put(im->unknown_names, own, u))
		return out_of_memory(im);
	*u = (struct unknown){
		.domain = n->domain, .op_type = n->op_type, .version = n->version,
		.where = hb_arena_str(im->r.arena, where), .count = 1,
	};
	*im->last_unknown = u;
	im->last_unknown = &u->next;
	return HB_OK;
}

static hb_status
report_unknown(struct import *im)
{
	for (const struct unknown *u = im->unknown; u; u = u->next) {
		char more[48] = "";
		if (u->count > 1)
			snprintf(more, sizeof(more), "; %d nodes use it", u->count);
		if (!*u->domain && hb_op_find("", u->op_type, 0))
			hb_error(im->cx, HB_ERR_UNSUPPORTED, u->where, "operator", "operator %s is not supported in the form of operator set %d%s", u->op_type,
				 u->version, more);
		else if (!*u->domain)
			hb_error(im->cx, HB_ERR_UNSUPPORTED, u->where, "operator", "operator %s is not supported%s", u->op_type, more);
		else
			hb_error(im->cx, HB_ERR_UNSUPPORTED, u->where, "operator", "operator %s of domain '%s' is not supported%s", u->op_type, u->domain, more);
	}
	return im->unknown ? HB_ERR_UNSUPPORTED : HB_OK;
}

/* A row for a node of the file; `now` is set where a node does its work. */
static hb_status
add_source(struct import *im, struct scope *s, const struct header *h, int index, hb_node *now)
{
	hb_graph *g = s->g;
	hb_source *r = HB_NEW(g->arena, hb_source);
	if (r) {
		r->name = hb_arena_str(g->arena, h->name);
		r->op_type = hb_arena_str(g->arena, h->op_type);
	}
	if (!r || !r->name || !r->op_type)
		return out_of_memory(im);
	r->index = index;
	r->unnamed = !h->m->name || !*h->m->name;
	*(g->last_source ? &g->last_source->next : &g->sources) = r;
	g->last_source = r;
	r->now = now;
	if (now) {
		*(now->last_source ? &now->last_source->next_of_node : &now->sources) = r;
		now->last_source = r;
	}
	return HB_OK;
}

static hb_status
plain_node(struct import *im, struct scope *s, const struct header *h, const hb_wire_field *f, int index, hb_node **out)
{
	int version = 0;
	hb_graph *g = s->g;
	HB_TRY(version_of(im, s, h, &version));
	if (h->m->n_input > 1 << 16 || h->m->n_output > 1 << 16)
		return hb_error(im->cx, HB_ERR_UNSUPPORTED, h->where, "onnx-node", "has more than 65536 operands");
	const char *name = *s->prefix ? hb_arena_printf(im->r.arena, "%s%s", s->prefix, h->name) : h->name;
	hb_node *n = name ? hb_node_new(g, NULL, name, h->domain, h->op_type, version, (int)h->m->n_input, (int)h->m->n_output) : NULL;
	if (!n)
		return out_of_memory(im);
	n->index = index;
	for (int i = 0; i < n->nin; i++) {
		const char *in = h->m->input[i];
		bool nomem = false;
		hb_tensor *t = *in ? lookup(im, s, in, &nomem) : &absent;
		if (!t && !nomem) {
			im->failed = true;
			if (im->missing++ < MAX_REPORTED)
				hb_error(im->cx, HB_ERR_INPUT, h->where, "onnx-missing",
					 "input %d '%s' is missing: no node writes it, and it is no input and no initializer", i, in);
			continue;
		}
		if (t != &absent && t)
			hb_node_set_in(g, n, i, t);
		if (nomem || (t != &absent && !n->in[i]))
			return out_of_memory(im);
	}
	for (int i = 0; i < n->nout; i++) {
		if (*h->m->output[i])
			hb_node_set_out(n, i, hb_map_get(s->names, h->m->output[i]));
	}
	HB_TRY(read_attrs(im, s, h, f->p, f->n, F_NODE_ATTR, &n->attrs));
	*out = n;
	if (!hb_op_find(n->domain, n->op_type, n->version))
		return note_unknown(im, n, h->where);
	hb_status st = im->missing ? HB_OK : hb_op_resolve(g, n);
	if (st == HB_ERR_NOMEM)
		return st;
	im->failed = im->failed || st != HB_OK;
	return HB_OK;
}

/* ---- functions ---- */

static hb_status read_nodes(struct import *im, struct scope *s, const uint8_t *p, size_t n, uint32_t field);

static char *
function_key(hb_arena *a, const char *domain, const char *name, const char *overload)
{
	return hb_arena_printf(a, "%s\n%s\n%s", domain_of(domain), text(name), text(overload));
}

static hb_status
find_function(struct import *im, const struct header *h, struct function **fn)
{
	*fn = NULL;
	if (!im->all_functions)
		return HB_OK;
	char *key = function_key(im->r.arena, h->domain, h->op_type, h->m->overload);
	if (!key)
		return out_of_memory(im);
	*fn = hb_map_get(im->functions, key);
	return HB_OK;
}

/* Operator sets that a function imports, before those of the model. */
static hb_status
function_opsets(struct import *im, const struct scope *s, const struct function *fn, const hb_opset **out)
{
	hb_opset *first = NULL, **last = &first;
	for (size_t i = 0; i < fn->m->n_opset_import; i++) {
		const Onnx__OperatorSetIdProto *m = fn->m->opset_import[i];
		hb_opset *o = HB_NEW(im->r.arena, hb_opset);
		if (!o)
			return out_of_memory(im);
		o->domain = domain_of(m->domain);
		o->version = (int)HB_MAX(HB_MIN(m->version, INT32_MAX), 0);
		if (!*o->domain && (o->version < HB_OPSET_OLDEST || o->version > HB_OPSET_NEWEST))
			return hb_error(im->cx, HB_ERR_UNSUPPORTED, NULL, "onnx-opset", "function '%s' is of operator set %d; %d to %d are taken", text(fn->m->name),
					o->version, HB_OPSET_OLDEST, HB_OPSET_NEWEST);
		*last = o;
		last = &o->next;
	}
	*last = (hb_opset *)(uintptr_t)s->opsets;
	*out = first ? first : s->opsets;
	return HB_OK;
}

/* A function's output that no node of it writes is one of its inputs. */
static hb_status
pass_through(struct import *im, struct scope *b, const char *where, const char *name)
{
	hb_tensor *to = hb_map_get(b->formal, name), *from = hb_map_get(b->names, name);
	if (from == to)
		return HB_OK;
	if (!from || from == &absent)
		return hb_error(im->cx, HB_ERR_INPUT, where, "onnx-function", "calls a function whose output '%s' is written by no node", name);
	hb_node *n = hb_node_new(b->g, NULL, to->name, "", "Identity", HB_OPSET_OUT, 1, 1);
	if (!n)
		return out_of_memory(im);
	n->index = b->index;
	hb_node_set_in(b->g, n, 0, from);
	hb_node_set_out(n, 0, to);
	return n->in[0] ? hb_op_resolve(b->g, n) : out_of_memory(im);
}

/* The attributes a function's nodes may refer to: those of the call, then defaults. */
static hb_status
bind_attrs(struct import *im, struct scope *s, struct scope *b, const struct header *h, const hb_wire_field *f, const struct function *fn)
{
	struct header fh = { .m = h->m, .op_type = "", .domain = "hbcc", .name = h->name };
	memcpy(fh.where, h->where, sizeof(fh.where));
	hb_attr *given = NULL, *defaults = NULL;
	HB_TRY(read_attrs(im, s, &fh, f->p, f->n, F_NODE_ATTR, &given));
	HB_TRY(read_attrs(im, b, &fh, fn->p, fn->n, F_FN_ATTR, &defaults));
	hb_attr **last = &given;
	while (*last)
		last = &(*last)->next;
	*last = defaults;		/* a search finds the call's first */
	b->bound = given;
	return HB_OK;
}

static hb_status
call_function(struct import *im, struct scope *s, const struct header *h, const hb_wire_field *f, struct function *fn, int index)
{
	const Onnx__FunctionProto *m = fn->m;
	for (const struct scope *c = s; c; c = c->caller) {
		if (c->fn == fn)
			return hb_error(im->cx, HB_ERR_INPUT, h->where, "onnx-function", "function '%s' calls itself", text(m->name));
	}
	im->inlined++;
	im->inlined_bytes += fn->n;
	if (s->calls >= MAX_CALLS || im->inlined > MAX_INLINED || im->inlined_bytes > im->max_inlined_bytes)
		return hb_error(im->cx, HB_ERR_UNSUPPORTED, h->where, "onnx-function", "the model's functions expand to too much: at most %d nodes, %d deep",
				MAX_INLINED, MAX_CALLS);
	if (h->m->n_input > m->n_input || h->m->n_output > m->n_output)
		return hb_error(im->cx, HB_ERR_INPUT, h->where, "onnx-function", "has %zu inputs and %zu outputs; function '%s' takes %zu and gives %zu",
				h->m->n_input, h->m->n_output, text(m->name), m->n_input, m->n_output);
	struct scope b = {
		.g = s->g, .names = hb_map_new(im->r.arena), .formal = hb_map_new(im->r.arena), .caller = s, .fn = fn,
		.prefix = hb_arena_printf(im->r.arena, "%s%s/", s->prefix, h->name), .index = index, .calls = s->calls + 1,
	};
	if (!b.names || !b.formal || !b.prefix)
		return out_of_memory(im);
	HB_TRY(function_opsets(im, s, fn, &b.opsets));
	for (size_t i = 0; i < m->n_input; i++) {
		bool nomem = false;
		const char *name = i < h->m->n_input ? h->m->input[i] : "";
		hb_tensor *t = *name ? lookup(im, s, name, &nomem) : &absent;
		if (nomem || (t && !hb_map_put(b.names, m->input[i], t)))
			return out_of_memory(im);
		if (!t)
			return hb_error(im->cx, HB_ERR_INPUT, h->where, "onnx-missing",
					"input %zu '%s' is missing: no node writes it, and it is no input and no initializer", i, name);
	}
	for (size_t i = 0; i < m->n_output; i++) {
		const char *name = i < h->m->n_output ? h->m->output[i] : "";
		hb_tensor *t = NULL;
		if (*name) {
			t = hb_map_get(s->names, name);
		} else {
			char *own = hb_arena_printf(im->r.arena, "%s%s", b.prefix, m->output[i]);
			t = own ? hb_tensor_new(s->g, own, HB_NONE, NULL) : NULL;
		}
		if (!t || !hb_map_put(b.formal, m->output[i], t))
			return out_of_memory(im);
	}
	HB_TRY(bind_attrs(im, s, &b, h, f, fn));
	HB_TRY(read_nodes(im, &b, fn->p, fn->n, F_FN_NODE));
	for (size_t i = 0; i < m->n_output; i++)
		HB_TRY(pass_through(im, &b, h->where, m->output[i]));
	return HB_OK;
}

/* Second look at a node: what it reads, and itself. */
static hb_status
build_node(struct import *im, struct scope *s, const struct header *h, const hb_wire_field *f, int index)
{
	hb_node *now = NULL;
	struct function *fn;
	HB_TRY(find_function(im, h, &fn));
	if (fn) {
		HB_TRY(call_function(im, s, h, f, fn, index));
		for (size_t i = 0; i < h->m->n_output && !now; i++) {
			const hb_tensor *t = *h->m->output[i] ? hb_map_get(s->names, h->m->output[i]) : NULL;
			now = t ? t->producer : NULL;
		}
	} else if (!is_constant(h)) {
		HB_TRY(plain_node(im, s, h, f, index, &now));
	}
	if (s->fn) {
		im->inlined++;
		return HB_OK;
	}
	return add_source(im, s, h, index, now);
}

static hb_status
each_node(struct import *im, struct scope *s, const uint8_t *p, size_t n, uint32_t field, bool build)
{
	const uint8_t *end = p + n;
	hb_wire_field f;
	struct header h;
	for (int i = 0; hb_wire_next(&p, end, &f, NULL);) {
		if (f.number != field)
			continue;
		int index = s->index >= 0 ? s->index : i;
		HB_TRY(open_node(im, &f, index, &h));
		hb_status st = build ? build_node(im, s, &h, &f, index) : declare_node(im, s, &h, &f);
		hb_unpack_free(&im->r.u, h.m);
		HB_TRY(st);
		i++;
	}
	return HB_OK;
}

static hb_status
read_nodes(struct import *im, struct scope *s, const uint8_t *p, size_t n, uint32_t field)
{
	HB_TRY(each_node(im, s, p, n, field, false));
	return each_node(im, s, p, n, field, true);
}

/* ---- graphs ---- */

static hb_status
copy_meta(struct import *im, hb_graph *g, Onnx__StringStringEntryProto *const *list, size_t n)
{
	hb_meta **last = &g->meta;
	while (*last)
		last = &(*last)->next;
	for (size_t i = 0; i < n; i++) {
		hb_meta *m = HB_NEW(g->arena, hb_meta);
		if (m) {
			m->key = hb_arena_str(g->arena, text(list[i]->key));
			m->value = hb_arena_str(g->arena, text(list[i]->value));
		}
		if (!m || !m->key || !m->value)
			return out_of_memory(im);
		*last = m;
		last = &m->next;
	}
	return HB_OK;
}

static hb_status
read_constants(struct import *im, struct scope *s, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	hb_wire_field f;
	while (hb_wire_next(&p, end, &f, NULL)) {
		if (f.number == F_GRAPH_INIT)
			HB_TRY(read_initializer(im, s, f.p, f.n));
		if (f.number == F_GRAPH_SPARSE)
			return hb_error(im->cx, HB_ERR_UNSUPPORTED, NULL, "onnx-type", "the model has a sparse initializer; dense ones are taken");
	}
	return HB_OK;
}

static hb_status
read_graph(struct import *im, struct scope *s, const uint8_t *p, size_t n, bool top)
{
	Onnx__GraphProto *m;
	HB_TRY(hb_unpack(&im->r.u, &onnx__graph_proto__descriptor, p, n, GRAPH_SKIP, &m));
	s->g->name = hb_arena_str(s->g->arena, text(m->name));
	hb_unpack_free(&im->r.u, m);
	if (!s->g->name)
		return out_of_memory(im);
	HB_TRY(read_constants(im, s, p, n));
	HB_TRY(read_inputs(im, s, p, n, top));
	HB_TRY(read_nodes(im, s, p, n, F_GRAPH_NODE));
	HB_TRY(read_outputs(im, s, p, n));
	if (!s->g->noutputs)
		return hb_error(im->cx, HB_ERR_INPUT, NULL, "onnx-graph", "graph '%s' has no outputs", s->g->name);
	return im->missing ? HB_OK : hb_graph_sort(s->g);
}

/* ---- the file ---- */

static hb_status
read_opsets(struct import *im, hb_graph *g, const Onnx__ModelProto *m)
{
	hb_opset **last = &g->opsets;
	bool has_default = false;
	for (size_t i = 0; i < m->n_opset_import; i++) {
		const Onnx__OperatorSetIdProto *o = m->opset_import[i];
		const char *domain = domain_of(o->domain);
		if (!*domain && (o->version < HB_OPSET_OLDEST || o->version > HB_OPSET_NEWEST))
			return hb_error(im->cx, HB_ERR_UNSUPPORTED, NULL, "onnx-opset", "the model is of operator set %lld; %d to %d are taken", (long long)o->version,
					HB_OPSET_OLDEST, HB_OPSET_NEWEST);
		hb_opset *k = HB_NEW(g->arena, hb_opset);
		if (k)
			k->domain = hb_arena_str(g->arena, domain);
		if (!k || !k->domain)
			return out_of_memory(im);
		k->version = (int)HB_MAX(HB_MIN(o->version, INT32_MAX), 0);
		has_default = has_default || !*domain;
		*last = k;
		last = &k->next;
	}
	if (!has_default) {		/* the first IR versions do not say: operator set 1 */
		hb_opset *k = HB_NEW(g->arena, hb_opset);
		if (!k)
			return out_of_memory(im);
		*k = (hb_opset){ .domain = "", .version = m->n_opset_import ? HB_OPSET_OUT : 1 };
		*last = k;
	}
	return HB_OK;
}

static hb_status
read_model(struct import *im, hb_graph *g, const Onnx__ModelProto *m)
{
	g->ir_version = m->ir_version;
	g->producer = hb_arena_str(g->arena, text(m->producer_name));
	g->producer_version = hb_arena_str(g->arena, text(m->producer_version));
	if (!g->producer || !g->producer_version)
		return out_of_memory(im);
	HB_TRY(copy_meta(im, g, m->metadata_props, m->n_metadata_props));
	return read_opsets(im, g, m);
}

static hb_status
read_functions(struct import *im, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	hb_wire_field f;
	while (hb_wire_next(&p, end, &f, NULL)) {
		if (f.number != F_MODEL_FUNCTIONS)
			continue;
		struct function *fn = HB_NEW(im->r.arena, struct function);
		Onnx__FunctionProto *m;
		if (!fn)
			return out_of_memory(im);
		HB_TRY(hb_unpack(&im->r.u, &onnx__function_proto__descriptor, f.p, f.n, FN_SKIP, &m));
		*fn = (struct function){ .p = f.p, .n = f.n, .m = m, .next = im->all_functions };
		im->all_functions = fn;
		char *key = function_key(im->r.arena, m->domain, m->name, m->overload);
		if (!key)
			return out_of_memory(im);
		if (hb_map_get(im->functions, key))
			return hb_error(im->cx, HB_ERR_INPUT, NULL, "onnx-function", "function '%s' of domain '%s' stands twice", text(m->name), text(m->domain));
		if (!hb_map_put(im->functions, key, fn))
			return out_of_memory(im);
	}
	return HB_OK;
}

static hb_status
read_file(struct import *im, hb_graph *g, const uint8_t *p, size_t n)
{
	hb_wire_field f;
	Onnx__ModelProto *m;
	HB_TRY(hb_wire_walk(im->cx, &onnx__model_proto__descriptor, p, n));
	if (!find_field(p, n, F_MODEL_GRAPH, &f))
		return hb_error(im->cx, HB_ERR_INPUT, NULL, "onnx-graph", "not an ONNX model: it holds no graph");
	HB_TRY(hb_unpack(&im->r.u, &onnx__model_proto__descriptor, p, n, MODEL_SKIP, &m));
	hb_status st = read_model(im, g, m);
	hb_unpack_free(&im->r.u, m);
	HB_TRY(st);
	HB_TRY(read_functions(im, p, n));
	struct scope s = { .g = g, .names = hb_map_new(im->r.arena), .opsets = g->opsets, .prefix = "", .index = -1 };
	if (!s.names)
		return out_of_memory(im);
	st = read_graph(im, &s, f.p, f.n, true);
	/* What was noted along the way is said also where reading ended early. */
	if (im->missing > MAX_REPORTED)
		hb_error(im->cx, HB_ERR_INPUT, NULL, "onnx-missing", "%d more inputs are missing", im->missing - MAX_REPORTED);
	hb_status unknown = report_unknown(im);
	HB_TRY(st);
	if (im->failed)
		return HB_ERR_INPUT;
	HB_TRY(unknown);
	if (im->r.narrowed)
		hb_note(im->cx, NULL, "onnx-type", "the model has %s tensors; they are computed as float32", im->r.narrowed);
	return hb_meta_read(g);
}

static hb_status
reader_init(hb_reader *r, hb_ctx *cx, size_t n, const char *folder)
{
	*r = (hb_reader){ .cx = cx, .folder = folder, .arena = hb_arena_new(cx) };
	hb_unpacker_init(&r->u, cx, n);
	r->files = r->arena ? hb_map_new(r->arena) : NULL;
	return r->files ? HB_OK : hb_nomem(cx, NULL);
}

static void
reader_end(hb_reader *r)
{
	hb_unpacker_end(&r->u);
	hb_arena_free(r->arena);
	free(r->real_folder);
}

hb_status
hb_onnx_parse(hb_ctx *cx, const uint8_t *p, size_t n, const char *folder, const hb_import_options *o, hb_graph **out)
{
	struct import im = { .cx = cx, .opt = o, .max_inlined_bytes = 16 * (uint64_t)n + ((uint64_t)64 << 20) };
	*out = NULL;
	hb_status st = reader_init(&im.r, cx, n, folder);
	hb_graph *g = st == HB_OK ? hb_graph_new(cx) : NULL;
	im.last_unknown = &im.unknown;
	if (g) {
		im.functions = hb_map_new(im.r.arena);
		im.unknown_names = hb_map_new(im.r.arena);
		st = im.functions && im.unknown_names ? read_file(&im, g, p, n) : out_of_memory(&im);
	} else if (st == HB_OK) {
		st = out_of_memory(&im);
	}
	for (struct function *fn = im.all_functions; fn; fn = fn->next)
		hb_unpack_free(&im.r.u, (void *)(uintptr_t)fn->m);
	reader_end(&im.r);
	if (st == HB_OK)
		*out = g;
	else
		hb_graph_free(g);
	return st;
}

hb_status
hb_onnx_read(hb_ctx *cx, const char *path, const hb_import_options *o, hb_graph **out)
{
	hb_file *f;
	*out = NULL;
	HB_TRY(hb_file_map(cx, path, &f));
	cx->file = f->path;
	const char *slash = strrchr(path, '/');
	char *folder = slash ? hb_arena_strn(cx->arena, path, (size_t)(slash - path) + (slash == path)) : hb_arena_str(cx->arena, "");
	if (!folder)
		return hb_nomem(cx, NULL);
	return hb_onnx_parse(cx, f->p, f->size, folder, o, out);
}

hb_status
hb_onnx_parse_tensor(hb_graph *g, const uint8_t *p, size_t n, hb_tensor **out)
{
	hb_reader r;
	*out = NULL;
	hb_status st = reader_init(&r, g->cx, n, NULL);
	if (st == HB_OK)
		st = hb_wire_walk(g->cx, &onnx__tensor_proto__descriptor, p, n);
	const char *name = st == HB_OK ? hb_read_tensor_name(&r, p, n) : NULL;
	hb_tensor *t = name ? hb_tensor_new(g, *name ? name : "tensor", HB_NONE, NULL) : NULL;
	if (st == HB_OK)
		st = t ? hb_read_tensor(&r, g, t->name, p, n, t) : hb_nomem(g->cx, NULL);
	if (st == HB_OK && t->raw && t->raw >= p && t->raw < p + n) {
		/* p need not outlive the graph. */
		const void *data = hb_tensor_data(g, t);
		if (data == t->raw)
			data = hb_arena_dup(g->arena, data, (size_t)hb_tensor_bytes(t));
		t->raw = NULL;
		t->data = data;
		st = data ? HB_OK : HB_ERR_NOMEM;
	}
	reader_end(&r);
	if (st == HB_OK)
		*out = t;
	return st;
}
