/* info.c: hbcc info: what a model file holds, of every form. */
#include "cli/cli.h"

#include "lib/hbm/hbm.h"

#include <stdlib.h>

/* ---- .onnx ---- */

typedef struct op_count {
	const char *op;
	int n;
} op_count;

static int
by_op(const void *a, const void *b)
{
	return strcmp(((const op_count *)a)->op, ((const op_count *)b)->op);
}

/* Operator types and how often each occurs, by name. */
static op_count *
count_ops(cli *c, const hb_graph *g, size_t *n)
{
	hb_map *seen = hb_map_new(c->arena);
	op_count *v = HB_NEW_N(c->arena, op_count, g->nnodes ? g->nnodes : 1);

	*n = 0;
	if (!seen || !v)
		return NULL;
	for (const hb_node *k = g->first; k; k = k->next) {
		const char *op = *k->domain ? hb_arena_printf(c->arena, "%s::%s", k->domain, k->op_type) : k->op_type;
		op_count *row = hb_map_get(seen, op);

		if (!row) {
			row = &v[(*n)++];
			row->op = op;
			if (!hb_map_put(seen, op, row))
				return NULL;
		}
		row->n++;
	}
	qsort(v, *n, sizeof(*v), by_op);
	return v;
}

static json_t *
json_port(cli *c, const hb_tensor *t)
{
	json_t *o = json_object();

	json_object_set_new(o, "name", js(c, t->name));
	json_object_set_new(o, "dtype", json_string(hb_dtype_name(t->dtype)));
	json_object_set_new(o, "shape", t->has_shape ? js_shape(&t->shape) : json_null());
	if (t->q.dtype != HB_NONE && t->q.nscales <= 1)
		json_object_set_new(o, "scale", js_real(t->q.scale));
	return o;
}

static void
text_port(cli *c, const char *what, const hb_tensor *t)
{
	char shape[HB_SHAPE_TEXT];

	printf("%-10s  %s: %s %s", what, clean(c, t->name), hb_dtype_name(t->dtype),
	       t->has_shape ? hb_shape_text(&t->shape, shape) : "?");
	if (t->q.dtype != HB_NONE && t->q.nscales <= 1)
		printf(", scale %.9g", (double)t->q.scale);
	putchar('\n');
}

static hb_status
info_onnx(cli *c, const char *path, bool json)
{
	hb_graph *g;
	size_t nops;
	uint64_t params = 0, bytes = 0;
	hb_import_options o;

	c->cx->file = path;
	HB_TRY(import_options(c, &o));
	HB_TRY(hb_onnx_read(c->cx, path, &o, &g));
	form f = graph_form(g);
	op_count *ops = count_ops(c, g, &nops);
	if (!ops)
		return hb_nomem(c->cx, NULL);
	for (const hb_tensor *t = g->tensors; t; t = t->next) {
		if (t->is_const) {
			params += (uint64_t)hb_tensor_elems(t);
			bytes += hb_tensor_bytes(t);
		}
	}
	int nodes = g->nnodes;
	HB_TRY(hb_pass_shapes(g, false));
	if (!json) {
		printf("%-10s  %s\n", "form", form_name(f));
		printf("%-10s  %s\n", "graph", g->name ? clean(c, g->name) : "");
		printf("%-10s  %s %s\n", "producer", g->producer ? clean(c, g->producer) : "",
		       g->producer_version ? clean(c, g->producer_version) : "");
		printf("%-10s  %lld\n", "IR", (long long)g->ir_version);
		for (const hb_opset *k = g->opsets; k; k = k->next)
			printf("%-10s  %s %d\n", "opset", *k->domain ? clean(c, k->domain) : "ai.onnx", k->version);
		for (size_t i = 0; i < g->ninputs; i++)
			text_port(c, "input", g->inputs[i]);
		for (size_t i = 0; i < g->noutputs; i++)
			text_port(c, "output", g->outputs[i]);
		printf("%-10s  %llu values, %llu bytes\n", "constants", (unsigned long long)params,
		       (unsigned long long)bytes);
		printf("%-10s  %d\n", "nodes", nodes);
		for (size_t i = 0; i < nops; i++)
			printf("%-10s  %-24s %d\n", "", clean(c, ops[i].op), ops[i].n);
		if (g->uncalibrated)
			printf("%-10s  ranges are not from samples\n", "uncalibrated");
		for (const hb_meta *k = g->meta; k; k = k->next)
			printf("%-10s  %s = %s\n", "metadata", clean(c, k->key), clean(c, k->value));
		return HB_OK;
	}
	json_t *r = json_report("hbcc.info/1"), *in = json_array(), *out = json_array(), *counts = json_object(),
	       *sets = json_object(), *meta = json_object();
	json_object_set_new(r, "form", json_string(form_name(f)));
	json_object_set_new(r, "graph", js(c, g->name));
	json_object_set_new(r, "producer", js(c, g->producer));
	json_object_set_new(r, "ir_version", json_integer(g->ir_version));
	for (const hb_opset *k = g->opsets; k; k = k->next)
		json_object_set_new(sets, *k->domain ? clean(c, k->domain) : "ai.onnx", json_integer(k->version));
	json_object_set_new(r, "opsets", sets);
	for (size_t i = 0; i < g->ninputs; i++)
		json_array_append_new(in, json_port(c, g->inputs[i]));
	for (size_t i = 0; i < g->noutputs; i++)
		json_array_append_new(out, json_port(c, g->outputs[i]));
	json_object_set_new(r, "inputs", in);
	json_object_set_new(r, "outputs", out);
	json_object_set_new(r, "constants", json_integer((json_int_t)params));
	json_object_set_new(r, "constant_bytes", json_integer((json_int_t)bytes));
	json_object_set_new(r, "nodes", json_integer(nodes));
	for (size_t i = 0; i < nops; i++)
		json_object_set_new(counts, clean(c, ops[i].op), json_integer(ops[i].n));
	json_object_set_new(r, "operators", counts);
	for (const hb_meta *k = g->meta; k; k = k->next)
		json_object_set_new(meta, clean(c, k->key), js(c, k->value));
	json_object_set_new(r, "metadata", meta);
	json_object_set_new(r, "uncalibrated", json_boolean(g->uncalibrated));
	return json_out(c, r, NULL);
}

/* ---- .hbm ---- */

static const char *
layout_of(cli *c, const hb_place_row *r)
{
	static const char logical[] = "NCHW";
	char *s = hb_arena_alloc(c->arena, HB_MAX_RANK + 1);

	if (!s || r->shape.rank != 4)
		return "row-major";
	for (int i = 0; i < 4; i++)
		s[i] = logical[r->order[i] & 3];
	return s;
}

static json_t *
json_place(cli *c, const hb_place_row *r)
{
	json_t *o = json_object(), *strides = json_array();

	json_object_set_new(o, "name", js(c, r->name));
	json_object_set_new(o, "dtype", json_string(hb_dtype_name(r->dtype)));
	json_object_set_new(o, "shape", js_shape(&r->shape));
	json_object_set_new(o, "stored", json_string(dtype_word(&r->q, r->dtype)));
	json_object_set_new(o, "layout", json_string(layout_of(c, r)));
	for (int i = 0; i < r->shape.rank; i++)
		json_array_append_new(strides, json_integer(r->stride[i]));
	json_object_set_new(o, "strides", strides);
	json_object_set_new(o, "bytes", json_integer((json_int_t)r->bytes));
	if (r->q.dtype != HB_NONE && r->q.nscales > 1) {
		json_t *s = json_array();

		for (int i = 0; i < r->q.nscales; i++)
			json_array_append_new(s, js_real(r->q.scales[i]));
		json_object_set_new(o, "scale", s);
	} else if (r->q.dtype != HB_NONE) {
		json_object_set_new(o, "scale", js_real(r->q.scale));
	}
	return o;
}

static void
text_place(cli *c, const char *what, const hb_place_row *r)
{
	char shape[HB_SHAPE_TEXT];

	printf("%-10s  %s: %s %s, stored as %s %s, %llu bytes", what, clean(c, r->name), hb_dtype_name(r->dtype),
	       hb_shape_text(&r->shape, shape), dtype_word(&r->q, r->dtype), layout_of(c, r),
	       (unsigned long long)r->bytes);
	if (r->q.dtype != HB_NONE && r->q.nscales <= 1)
		printf(", scale %.9g", (double)r->q.scale);
	else if (r->q.dtype != HB_NONE)
		printf(", %d scales", r->q.nscales);
	putchar('\n');
}

static void
counts_of(const hb_program *p, size_t *bpu, size_t *cpu, size_t *insns)
{
	*bpu = *cpu = *insns = 0;
	for (size_t i = 0; i < p->nsegments; i++) {
		*bpu += !p->segments[i].cpu;
		*cpu += p->segments[i].cpu;
		*insns += p->segments[i].list.n;
	}
}

static hb_status
info_hbm(cli *c, const char *path, bool json)
{
	hb_file *f;
	hb_hbm h;

	c->cx->file = path;
	HB_TRY(hb_file_map(c->cx, path, &f));
	HB_TRY(hb_hbm_read(c->cx, f->p, f->size, c->arena, &h));
	json_t *r = json_report("hbcc.info/1"), *models = json_array();
	json_object_set_new(r, "form", json_string("hbm"));
	json_object_set_new(r, "march", js(c, h.march));
	if (!json)
		printf("%-10s  hbm\n%-10s  %s\n", "form", "march", clean(c, h.march));
	for (size_t k = 0; k < h.n; k++) {
		const hb_program *p = h.programs[k];
		size_t bpu, cpu, insns;
		json_t *o = json_object(), *in = json_array(), *out = json_array(), *bytes = json_object(),
		       *meta = json_object();

		counts_of(p, &bpu, &cpu, &insns);
		if (!json) {
			printf("%-10s  %s\n%-10s  O%d, cores %d%s\n", "model", clean(c, p->name), "level", p->level,
			       p->cores, p->uncalibrated ? ", uncalibrated" : "");
			for (size_t i = 0; i < p->ninputs; i++)
				text_place(c, "input", &p->places[p->inputs[i]]);
			for (size_t i = 0; i < p->noutputs; i++)
				text_place(c, "output", &p->places[p->outputs[i]]);
			printf("%-10s  %zu BPU, %zu CPU; %zu nodes, %zu instructions\n", "segments", bpu, cpu,
			       p->nnodes, insns);
			for (int s = 0; s < HB_NSPACES; s++)
				if (p->size[s])
					printf("%-10s  %s %llu\n", "bytes", hb_space_name((hb_space)s),
					       (unsigned long long)p->size[s]);
			for (const hb_meta *m = p->meta; m; m = m->next)
				printf("%-10s  %s = %s\n", "metadata", clean(c, m->key), clean(c, m->value));
		}
		for (size_t i = 0; i < p->ninputs; i++)
			json_array_append_new(in, json_place(c, &p->places[p->inputs[i]]));
		for (size_t i = 0; i < p->noutputs; i++)
			json_array_append_new(out, json_place(c, &p->places[p->outputs[i]]));
		json_object_set_new(o, "name", js(c, p->name));
		json_object_set_new(o, "level", json_integer(p->level));
		json_object_set_new(o, "cores", json_integer(p->cores));
		json_object_set_new(o, "uncalibrated", json_boolean(p->uncalibrated));
		json_object_set_new(o, "inputs", in);
		json_object_set_new(o, "outputs", out);
		json_object_set_new(o, "bpu_segments", json_integer((json_int_t)bpu));
		json_object_set_new(o, "cpu_segments", json_integer((json_int_t)cpu));
		json_object_set_new(o, "nodes", json_integer((json_int_t)p->nnodes));
		json_object_set_new(o, "instructions", json_integer((json_int_t)insns));
		for (int s = 0; s < HB_NSPACES; s++)
			json_object_set_new(bytes, hb_space_name((hb_space)s), json_integer((json_int_t)p->size[s]));
		json_object_set_new(o, "bytes", bytes);
		for (const hb_meta *m = p->meta; m; m = m->next)
			json_object_set_new(meta, clean(c, m->key), js(c, m->value));
		json_object_set_new(o, "metadata", meta);
		json_array_append_new(models, o);
	}
	json_object_set_new(r, "models", models);
	if (json)
		return json_out(c, r, NULL);
	json_decref(r);
	return HB_OK;
}

static hb_status
run(cli *c)
{
	bool json = c->a.format && !strcmp(c->a.format, "json");

	return is_hbm(c->files[0]) ? info_hbm(c, c->files[0], json) : info_onnx(c, c->files[0], json);
}

const command command_info = {
	.name = "info",
	.files = "FILE",
	.summary = "Say what a model file holds: form, inputs, outputs, operators, sizes.",
	.min_files = 1,
	.max_files = 1,
	.options = (const opt_id[]){O_report_format, O_END},
	.run = run,
};
