/* import_nodes.c: nodes: the names they write, what they read, the operator they name. */
#include "lib/onnx/import.h"

#include <stdio.h>

#include "ops/op.h"

#define NODE_SKIP (HB_FIELD(F_NODE_ATTR) | HB_FIELD(F_NODE_DOC) | HB_FIELD(F_NODE_META) | HB_FIELD(F_NODE_DEVICES))

enum { MAX_REPORTED = 32 };		/* missing tensors named in one run */

static hb_status
open_node(struct hb_import *im, const hb_wire_field *f, int index, struct hb_header *h)
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
is_constant(const struct hb_header *h)
{
	return !*h->domain && is(h->op_type, "Constant");
}

/* First look at a node: the names it writes; a Constant's value. */
static hb_status
declare_node(struct hb_import *im, struct hb_scope *s, const struct hb_header *h, const hb_wire_field *f)
{
	size_t written = 0;
	for (size_t i = 0; i < h->m->n_output; i++) {
		hb_tensor *t;
		if (!*h->m->output[i])
			continue;
		written++;
		HB_TRY(hb_import_define(im, s, h->where, h->m->output[i], &t));
		if (is_constant(h) && written == 1)
			HB_TRY(hb_import_constant(im, s, h, f->p, f->n, t));
	}
	if (!written || (is_constant(h) && written != 1))
		return hb_error(im->cx, HB_ERR_INPUT, h->where, "onnx-node", "has %zu outputs; it must have %s", written, is_constant(h) ? "one" : "at least one");
	return HB_OK;
}

static hb_status
version_of(struct hb_import *im, const struct hb_scope *s, const struct hb_header *h, int *version)
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
note_unknown(struct hb_import *im, const hb_node *n, const char *where)
{
	char key[600];
	snprintf(key, sizeof(key), "%d %.250s %.250s", n->version, n->domain, n->op_type);
	struct hb_unknown *u = hb_map_get(im->unknown_names, key);
	if (u) {
		u->count++;
		return HB_OK;
	}
	u = HB_NEW(im->r.arena, struct hb_unknown);
	char *own = hb_arena_str(im->r.arena, key);
	if (!u || !own || !hb_map_put(im->unknown_names, own, u))
		return out_of_memory(im);
	*u = (struct hb_unknown){
		.domain = n->domain, .op_type = n->op_type, .version = n->version,
		.where = hb_arena_str(im->r.arena, where), .count = 1,
	};
	*im->last_unknown = u;
	im->last_unknown = &u->next;
	return HB_OK;
}

hb_status
hb_import_unknown(struct hb_import *im)
{
	if (im->missing > MAX_REPORTED)
		hb_error(im->cx, HB_ERR_INPUT, NULL, "onnx-missing", "%d more inputs are missing", im->missing - MAX_REPORTED);
	for (const struct hb_unknown *u = im->unknown; u; u = u->next) {
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
add_source(struct hb_import *im, struct hb_scope *s, const struct hb_header *h, int index, hb_node *now)
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
plain_node(struct hb_import *im, struct hb_scope *s, const struct hb_header *h, const hb_wire_field *f, int index, hb_node **out)
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
		hb_tensor *t = *in ? hb_import_lookup(im, s, in, &nomem) : &im->absent;
		if (!t && !nomem) {
			im->failed = true;
			if (im->missing++ < MAX_REPORTED)
				hb_error(im->cx, HB_ERR_INPUT, h->where, "onnx-missing",
					 "input %d '%s' is missing: no node writes it, and it is no input and no initializer", i, in);
			continue;
		}
		if (t != &im->absent && t)
			hb_node_set_in(g, n, i, t);
		if (nomem || (t != &im->absent && !n->in[i]))
			return out_of_memory(im);
	}
	for (int i = 0; i < n->nout; i++) {
		if (*h->m->output[i])
			hb_node_set_out(n, i, hb_map_get(s->names, h->m->output[i]));
	}
	HB_TRY(hb_import_attrs(im, s, h, f->p, f->n, F_NODE_ATTR, &n->attrs));
	*out = n;
	if (!hb_op_find(n->domain, n->op_type, n->version))
		return note_unknown(im, n, h->where);
	hb_status st = im->missing ? HB_OK : hb_op_resolve(g, n);
	if (st == HB_ERR_NOMEM)
		return st;
	im->failed = im->failed || st != HB_OK;
	return HB_OK;
}

/* Second look at a node: what it reads, and itself. */
static hb_status
build_node(struct hb_import *im, struct hb_scope *s, const struct hb_header *h, const hb_wire_field *f, int index)
{
	hb_node *now = NULL;
	struct hb_function *fn;
	HB_TRY(hb_import_function_of(im, h, &fn));
	if (fn) {
		HB_TRY(hb_import_call(im, s, h, f, fn, index));
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
each_node(struct hb_import *im, struct hb_scope *s, const uint8_t *p, size_t n, uint32_t field, bool build)
{
	const uint8_t *end = p + n;
	hb_wire_field f;
	struct hb_header h;
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

hb_status
hb_import_nodes(struct hb_import *im, struct hb_scope *s, const uint8_t *p, size_t n, uint32_t field)
{
	HB_TRY(each_node(im, s, p, n, field, false));
	return each_node(im, s, p, n, field, true);
}
