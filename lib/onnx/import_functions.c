/* import_functions.c: the model's own functions: a call becomes the function's nodes. */
#include "lib/onnx/import.h"

#include "ops/op.h"

#define FN_SKIP (HB_FIELD(F_FN_NODE) | HB_FIELD(F_FN_ATTR) | HB_FIELD(F_FN_INFO))

enum {
	MAX_CALLS = 64,			/* functions within functions */
	MAX_INLINED = 1 << 18,		/* nodes made from functions */
};

static char *
function_key(hb_arena *a, const char *domain, const char *name, const char *overload)
{
	return hb_arena_printf(a, "%s\n%s\n%s", domain_of(domain), text(name), text(overload));
}

hb_status
hb_import_functions(struct hb_import *im, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	hb_wire_field f;
	while (hb_wire_next(&p, end, &f, NULL)) {
		if (f.number != F_MODEL_FUNCTIONS)
			continue;
		struct hb_function *fn = HB_NEW(im->r.arena, struct hb_function);
		Onnx__FunctionProto *m;
		if (!fn)
			return out_of_memory(im);
		HB_TRY(hb_unpack(&im->r.u, &onnx__function_proto__descriptor, f.p, f.n, FN_SKIP, &m));
		*fn = (struct hb_function){ .p = f.p, .n = f.n, .m = m, .next = im->all_functions };
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

hb_status
hb_import_function_of(struct hb_import *im, const struct hb_header *h, struct hb_function **fn)
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
function_opsets(struct hb_import *im, const struct hb_scope *s, const struct hb_function *fn, const hb_opset **out)
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
pass_through(struct hb_import *im, struct hb_scope *b, const char *where, const char *name)
{
	hb_tensor *to = hb_map_get(b->formal, name), *from = hb_map_get(b->names, name);
	if (from == to)
		return HB_OK;
	if (!from || from == &im->absent)
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
bind_attrs(struct hb_import *im, struct hb_scope *s, struct hb_scope *b, const struct hb_header *h, const hb_wire_field *f, const struct hb_function *fn)
{
	struct hb_header fh = { .m = h->m, .op_type = "", .domain = "hbcc", .name = h->name };
	memcpy(fh.where, h->where, sizeof(fh.where));
	hb_attr *given = NULL, *defaults = NULL;
	HB_TRY(hb_import_attrs(im, s, &fh, f->p, f->n, F_NODE_ATTR, &given));
	HB_TRY(hb_import_attrs(im, b, &fh, fn->p, fn->n, F_FN_ATTR, &defaults));
	hb_attr **last = &given;
	while (*last)
		last = &(*last)->next;
	*last = defaults;		/* a search finds the call's first */
	b->bound = given;
	return HB_OK;
}

hb_status
hb_import_call(struct hb_import *im, struct hb_scope *s, const struct hb_header *h, const hb_wire_field *f, struct hb_function *fn, int index)
{
	const Onnx__FunctionProto *m = fn->m;
	for (const struct hb_scope *c = s; c; c = c->caller) {
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
	struct hb_scope b = {
		.g = s->g, .names = hb_map_new(im->r.arena), .formal = hb_map_new(im->r.arena), .caller = s, .fn = fn,
		.prefix = hb_arena_printf(im->r.arena, "%s%s/", s->prefix, h->name), .index = index, .calls = s->calls + 1,
	};
	if (!b.names || !b.formal || !b.prefix)
		return out_of_memory(im);
	HB_TRY(function_opsets(im, s, fn, &b.opsets));
	for (size_t i = 0; i < m->n_input; i++) {
		bool nomem = false;
		const char *name = i < h->m->n_input ? h->m->input[i] : "";
		hb_tensor *t = *name ? hb_import_lookup(im, s, name, &nomem) : &im->absent;
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
	HB_TRY(hb_import_nodes(im, &b, fn->p, fn->n, F_FN_NODE));
	for (size_t i = 0; i < m->n_output; i++)
		HB_TRY(pass_through(im, &b, h->where, m->output[i]));
	return HB_OK;
}
