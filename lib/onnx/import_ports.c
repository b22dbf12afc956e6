/* import_ports.c: inputs and outputs of graphs, and the shapes that symbols get. */
#include "lib/onnx/import.h"

#include <stdio.h>

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
asked_shape(const struct hb_import *im, const char *name, size_t index)
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
bind_symbol(struct hb_import *im, hb_map *symbols, const char *name, int64_t size)
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
input_shape(struct hb_import *im, hb_graph *g, const char *where, const Onnx__TensorShapeProto *sh, hb_map *symbols, hb_tensor *t)
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
		if (!fixed) {
			names[i] = hb_arena_str(g->arena, *symbol ? symbol : "?");
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
input_of(struct hb_import *im, struct hb_scope *s, const Onnx__ValueInfoProto *m, hb_map *symbols, bool top)
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
	HB_TRY(hb_import_define(im, s, where, name, &t));
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

hb_status
hb_import_inputs(struct hb_import *im, struct hb_scope *s, const uint8_t *p, size_t n, bool top)
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
output_of(struct hb_import *im, struct hb_scope *s, const Onnx__ValueInfoProto *m)
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
	hb_tensor *t = hb_import_lookup(im, s, name, &nomem);
	if (nomem)
		return out_of_memory(im);
	if (!t || t == &im->absent)
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

hb_status
hb_import_outputs(struct hb_import *im, struct hb_scope *s, const uint8_t *p, size_t n)
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
