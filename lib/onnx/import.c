/* import.c: the graph of an ONNX file: its names, constants, parts in order (import.h), and the file as a whole. */
#include "lib/onnx/import.h"

#include <stdio.h>
#include <stdlib.h>

#define MODEL_SKIP (HB_FIELD(F_MODEL_GRAPH) | HB_FIELD(F_MODEL_TRAINING) | HB_FIELD(F_MODEL_FUNCTIONS))
#define GRAPH_SKIP (HB_FIELD(F_GRAPH_NODE) | HB_FIELD(F_GRAPH_INIT) | HB_FIELD(F_GRAPH_INPUT) | HB_FIELD(F_GRAPH_OUTPUT) | \
		    HB_FIELD(F_GRAPH_INFO) | HB_FIELD(F_GRAPH_ANNOTATION) | HB_FIELD(F_GRAPH_SPARSE))

/* A field of that number in the message at p, which must stand there. */
bool
hb_import_field(const uint8_t *p, size_t n, uint32_t number, hb_wire_field *f)
{
	const uint8_t *end = p + n;
	while (hb_wire_next(&p, end, f, NULL)) {
		if (f->number == number)
			return true;
	}
	return false;
}

/* ---- names ---- */

/* The tensor a name means, taken into the scope's graph where it is from outside; NULL:
 * no such name; &im->absent: an operand left out. *nomem is set where that ran out of memory. */
hb_tensor *
hb_import_lookup(struct hb_import *im, struct hb_scope *s, const char *name, bool *nomem)
{
	hb_tensor *t = hb_map_get(s->names, name);
	if (t || !s->outer)
		return t;
	t = hb_import_lookup(im, s->outer, name, nomem);
	if (!t || t == &im->absent)
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
hb_status
hb_import_define(struct hb_import *im, struct hb_scope *s, const char *where, const char *name, hb_tensor **out)
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

static hb_status
read_initializer(struct hb_import *im, struct hb_scope *s, const uint8_t *p, size_t n)
{
	char where[320];
	hb_tensor *t;
	const char *name = hb_read_tensor_name(&im->r, p, n);
	if (!name)
		return out_of_memory(im);
	if (!*name)
		return hb_error(im->cx, HB_ERR_INPUT, NULL, "onnx-name", "an initializer has no name");
	snprintf(where, sizeof(where), "tensor '%s'", name);
	HB_TRY(hb_import_define(im, s, where, name, &t));
	return hb_read_tensor(&im->r, s->g, where, p, n, t);
}

/* ---- graphs ---- */

static hb_status
copy_meta(struct hb_import *im, hb_graph *g, Onnx__StringStringEntryProto *const *list, size_t n)
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
read_constants(struct hb_import *im, struct hb_scope *s, const uint8_t *p, size_t n)
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

hb_status
hb_import_graph(struct hb_import *im, struct hb_scope *s, const uint8_t *p, size_t n, bool top)
{
	Onnx__GraphProto *m;
	HB_TRY(hb_unpack(&im->r.u, &onnx__graph_proto__descriptor, p, n, GRAPH_SKIP, &m));
	s->g->name = hb_arena_str(s->g->arena, text(m->name));
	hb_unpack_free(&im->r.u, m);
	if (!s->g->name)
		return out_of_memory(im);
	HB_TRY(read_constants(im, s, p, n));
	HB_TRY(hb_import_inputs(im, s, p, n, top));
	HB_TRY(hb_import_nodes(im, s, p, n, F_GRAPH_NODE));
	HB_TRY(hb_import_outputs(im, s, p, n));
	if (!s->g->noutputs)
		return hb_error(im->cx, HB_ERR_INPUT, NULL, "onnx-graph", "graph '%s' has no outputs", s->g->name);
	return im->missing ? HB_OK : hb_graph_sort(s->g);
}

/* ---- the file ---- */

static hb_status
read_opsets(struct hb_import *im, hb_graph *g, const Onnx__ModelProto *m)
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
read_model(struct hb_import *im, hb_graph *g, const Onnx__ModelProto *m)
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
read_file(struct hb_import *im, hb_graph *g, const uint8_t *p, size_t n)
{
	hb_wire_field f;
	Onnx__ModelProto *m;
	HB_TRY(hb_wire_walk(im->cx, &onnx__model_proto__descriptor, p, n));
	if (!hb_import_field(p, n, F_MODEL_GRAPH, &f))
		return hb_error(im->cx, HB_ERR_INPUT, NULL, "onnx-graph", "not an ONNX model: it holds no graph");
	HB_TRY(hb_unpack(&im->r.u, &onnx__model_proto__descriptor, p, n, MODEL_SKIP, &m));
	hb_status st = read_model(im, g, m);
	hb_unpack_free(&im->r.u, m);
	HB_TRY(st);
	HB_TRY(hb_import_functions(im, p, n));
	struct hb_scope s = { .g = g, .names = hb_map_new(im->r.arena), .opsets = g->opsets, .prefix = "", .index = -1 };
	if (!s.names)
		return out_of_memory(im);
	st = hb_import_graph(im, &s, f.p, f.n, true);
	/* What was noted along the way is said also where reading ended early. */
	hb_status unknown = hb_import_unknown(im);
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
	struct hb_import im = { .cx = cx, .opt = o, .max_inlined_bytes = 16 * (uint64_t)n + ((uint64_t)64 << 20) };
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
	for (struct hb_function *fn = im.all_functions; fn; fn = fn->next)
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
