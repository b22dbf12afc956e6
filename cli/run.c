/* run.c: hbcc run: executes any form of a model on the host: .onnx (float, qdq, hbir) or .hbm in the simulator. */
#include "cli/cli.h"

#include "lib/hbm/hbm.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

typedef struct given {    /* --input */
	const char *name; /* or NULL: by order */
	array a;
	bool used;
} given;

typedef struct job {
	cli *c;
	given *in;
	size_t nin;
	port *ports;
	size_t nports;
	hb_val *vals;
	hb_map *used; /* file names below DIR/node */
	bool dumped;
	hb_status dump_status;
} job;

/* NAME=FILE where no file has that whole name. */
static hb_status
given_read(cli *c, const char *said, given *g)
{
	const char *eq = strchr(said, '='), *path = said;
	struct stat sb;

	if (eq && stat(said, &sb)) {
		/* names may hold '=' too: the last one that leaves a file */
		for (const char *p = eq; p; p = strchr(p + 1, '='))
			if (!stat(p + 1, &sb) || p == eq)
				eq = p;
		g->name = hb_arena_strn(c->arena, said, (size_t)(eq - said));
		path = eq + 1;
	}
	return array_read(c->cx, path, NULL, &g->a);
}

static hb_status
inputs_read(job *j)
{
	cli *c = j->c;

	j->nin = c->a.input.n;
	j->in = HB_NEW_N(c->arena, given, j->nin ? j->nin : 1);
	if (!j->in)
		return hb_nomem(c->cx, NULL);
	for (size_t i = 0; i < j->nin; i++)
		HB_TRY(given_read(c, c->a.input.v[i], &j->in[i]));
	return HB_OK;
}

/* The inputs' shapes, then --input-shape's: they fix symbolic dimensions. Unnamed ones stand for the inputs in order.
 */
static hb_status
shapes_of_inputs(job *j, hb_import_options *o)
{
	cli *c = j->c;
	hb_input_shape *v = HB_NEW_N(c->arena, hb_input_shape, o->nshapes + j->nin + 1);
	size_t n = 0;

	if (!v)
		return hb_nomem(c->cx, NULL);
	for (int named = 0; named < 2; named++) {
		for (size_t i = 0; i < j->nin; i++) {
			const given *g = &j->in[i];

			if ((g->name != NULL) == named)
				v[n++] = (hb_input_shape){
					g->name, g->a.image || g->a.raw ? (hb_shape){.rank = -1} : g->a.shape, true};
		}
	}
	memcpy(v + n, o->shapes, sizeof(*v) * o->nshapes);
	o->shapes = v;
	o->nshapes += n;
	return HB_OK;
}

/* Which of the given inputs is for port i. */
static given *
given_for(job *j, size_t i)
{
	for (size_t k = 0; k < j->nin; k++)
		if (j->in[k].name && !strcmp(j->in[k].name, j->ports[i].name))
			return &j->in[k];
	for (size_t k = 0; k < j->nin; k++)
		if (!j->in[k].name && !j->in[k].used)
			return &j->in[k];
	return NULL;
}

static hb_status
inputs_match(job *j)
{
	cli *c = j->c;

	j->vals = HB_NEW_N(c->arena, hb_val, j->nports ? j->nports : 1);
	if (!j->vals)
		return hb_nomem(c->cx, NULL);
	for (size_t k = 0; k < j->nin; k++) {
		bool known = !j->in[k].name;

		for (size_t i = 0; i < j->nports; i++)
			known |= j->in[k].name && !strcmp(j->in[k].name, j->ports[i].name);
		if (!known)
			return hb_error(c->cx, HB_ERR_USAGE, "--input", "input", "the model has no input '%s'",
					j->in[k].name);
	}
	for (size_t i = 0; i < j->nports; i++) {
		port *p = &j->ports[i];
		given *g = given_for(j, i);
		int64_t count;
		char text[HB_SHAPE_TEXT];

		if (!g)
			return hb_error(c->cx, HB_ERR_USAGE, "--input", "input", "input '%s' (%s %s) has no --input",
					p->name, hb_dtype_name(p->dtype), hb_shape_text(&p->shape, text));
		g->used = true;
		if (p->q && p->q->dtype == g->a.dtype && !g->a.raw && !g->a.image)
			p->dtype = g->a.dtype;
		HB_TRY(array_count(c, &g->a, p, &count));
		if (count != 1)
			return hb_error(c->cx, HB_ERR_INPUT, "--input", "input",
					"%s holds %lld samples of input '%s'; run takes one", g->a.path,
					(long long)count, p->name);
		size_t bytes = (size_t)hb_shape_elems(&p->shape) * hb_dtype_size(p->dtype);
		void *buf = hb_arena_alloc(c->arena, HB_MAX(bytes, (size_t)1024));
		if (!buf)
			return hb_nomem(c->cx, p->name);
		HB_TRY(array_sample(c, &g->a, p, i, 0, buf, &j->vals[i]));
	}
	for (size_t k = 0; k < j->nin; k++)
		if (!j->in[k].used)
			return hb_error(c->cx, HB_ERR_USAGE, "--input", "input", "the model has no input for '%s'",
					c->a.input.v[k]);
	return HB_OK;
}

/* ---- results ---- */

/* v in float where it holds integers of q, unless --raw-int asks for them. */
static hb_status
in_float(cli *c, const hb_q *q, hb_val *v, void **held, size_t *bytes)
{
	int64_t n = hb_shape_elems(&v->shape);

	*held = NULL;
	if (c->a.raw_int || !q || q->dtype == HB_NONE || q->dtype != v->dtype || q->dtype == HB_BOOL)
		return HB_OK;
	*bytes = (size_t)HB_MAX(n, 1) * sizeof(float);
	float *f = hb_big_alloc(c->cx, *bytes);
	if (!f)
		return hb_nomem(c->cx, NULL);
	hb_status st = value_dequantize(c, v, q, f);
	if (st != HB_OK) {
		hb_big_free(c->cx, f, *bytes);
		return st;
	}
	*held = f;
	*v = (hb_val){HB_F32, v->shape, f};
	return HB_OK;
}

/* name: float32 1x10, min, max, mean, first values */
static void
print_value(cli *c, const char *name, const hb_val *v)
{
	enum { FIRST = 8 };
	int64_t n = hb_shape_elems(&v->shape), seen = 0;
	double lo = INFINITY, hi = -INFINITY, sum = 0;
	char shape[HB_SHAPE_TEXT];

	for (int64_t i = 0; i < n; i++) {
		double x = value_at(v, i);

		if (!isfinite(x))
			continue;
		lo = fmin(lo, x);
		hi = fmax(hi, x);
		sum += x;
		seen++;
	}
	printf("%s: %s %s", clean(c, name), hb_dtype_name(v->dtype), hb_shape_text(&v->shape, shape));
	if (seen)
		printf(", min %.6g, max %.6g, mean %.6g", lo, hi, sum / (double)seen);
	if (seen < n)
		printf(", %lld not finite", (long long)(n - seen));
	printf("\n ");
	for (int64_t i = 0; i < HB_MIN(n, FIRST); i++)
		printf(" %.6g", value_at(v, i));
	puts(n > FIRST ? " ..." : "");
}

static hb_status
result(cli *c, size_t i, const char *name, const hb_q *q, hb_val v)
{
	const char *format = c->a.format ? c->a.format : "npy";
	void *held;
	size_t bytes = 0;

	HB_TRY(in_float(c, q, &v, &held, &bytes));
	hb_status st = HB_OK;
	if (c->a.output) {
		char *path = hb_arena_printf(c->arena, "%s/out_%zu.%s", c->a.output, i, array_suffix(format));

		st = path ? array_write(c->cx, path, format, name, &v) : hb_nomem(c->cx, NULL);
	} else if (!c->a.bench) {
		print_value(c, name, &v);
	}
	if (held)
		hb_big_free(c->cx, held, bytes);
	return st;
}

/* --dump: DIR/node/<name>.npy */
static void
dump(job *j, const char *name, const hb_q *q, hb_val v)
{
	cli *c = j->c;
	const char *format = c->a.format ? c->a.format : "npy";
	void *held;
	size_t bytes = 0;

	if (j->dump_status != HB_OK || (strcmp(c->a.dump, "all") && strcmp(c->a.dump, name)))
		return;
	const char *file = file_name_of(c, name, j->used);
	char *path = file ? hb_arena_printf(c->arena, "%s/node/%s.%s", c->a.output, file, array_suffix(format)) : NULL;
	j->dump_status = path ? in_float(c, q, &v, &held, &bytes) : hb_nomem(c->cx, NULL);
	if (j->dump_status != HB_OK)
		return;
	j->dump_status = array_write(c->cx, path, format, name, &v);
	j->dumped = true;
	if (held)
		hb_big_free(c->cx, held, bytes);
}

static void
tap_graph(void *arg, hb_tensor *t, const hb_val *v)
{
	job *j = arg;

	if (!t->producer)
		return;
	const char *name = t->out_index ? hb_arena_printf(j->c->arena, "%s:%d", t->producer->name, t->out_index)
					: t->producer->name;
	if (name)
		dump(j, name, &t->q, *v);
}

static void
tap_program(void *arg, const char *name, const hb_val *v, const hb_q *q)
{
	dump(arg, name, q, *v);
}

static hb_status
dump_prepare(job *j)
{
	cli *c = j->c;

	if (!c->a.dump)
		return HB_OK;
	j->used = hb_map_new(c->arena);
	char *folder = hb_arena_printf(c->arena, "%s/node", c->a.output);
	return j->used && folder ? make_folder(c, folder) : hb_nomem(c->cx, NULL);
}

static hb_status
dump_end(job *j)
{
	HB_TRY(j->dump_status);
	if (j->c->a.dump && !j->dumped)
		return hb_error(j->c->cx, HB_ERR_USAGE, "--dump", "dump", "the model has no node '%s'", j->c->a.dump);
	return HB_OK;
}

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static hb_status
print_bench(cli *c, double *ms)
{
	size_t n = (size_t)c->a.bench;
	json_t *o = json_report("hbcc.bench/1");

	qsort(ms, n, sizeof(*ms), by_value);
	json_object_set_new(o, "median_ms", js_real((ms[(n - 1) / 2] + ms[n / 2]) / 2));
	json_object_set_new(o, "runs", json_integer(c->a.bench));
	return json_out(c, o, NULL);
}

/* ---- .onnx ---- */

/* --raw-int: the fixed-point form ends in DequantizeLinear; what goes into it is asked for. */
static void
outputs_before_dequantize(hb_graph *g)
{
	for (size_t i = 0; i < g->noutputs; i++) {
		hb_node *n = g->outputs[i]->producer;

		if (!n || *n->domain || strcmp(n->op_type, "DequantizeLinear"))
			continue;
		g->outputs[i]->is_output = false;
		g->outputs[i] = n->in[0];
		n->in[0]->is_output = true;
	}
	hb_graph_sweep(g);
}

static hb_status
run_onnx(job *j, const char *path)
{
	cli *c = j->c;
	hb_import_options o;
	hb_graph *g;
	hb_status st;

	c->cx->file = path;
	HB_TRY(import_options(c, &o));
	HB_TRY(shapes_of_inputs(j, &o));
	HB_TRY(hb_onnx_read(c->cx, path, &o, &g));
	HB_TRY(config_edit(c, g));
	HB_TRY(graph_ports(c, g, &j->ports));
	j->nports = g->ninputs;
	HB_TRY(inputs_match(j));
	st = hb_pass_shapes(g, true);
	if (st == HB_NEED_CONST) {
		HB_TRY(hb_pass_bind(g, j->vals));
		st = hb_pass_shapes(g, false);
	}
	HB_TRY(st);
	if (!c->a.dump && graph_form(g) == FORM_ONNX)
		HB_TRY(hb_pass_simplify(g));
	if (c->a.raw_int && graph_form(g) == FORM_HBIR)
		outputs_before_dequantize(g);
	if (!c->a.dump)
		HB_TRY(hb_pass_fold_all(g));
	hb_exec *ex = hb_exec_new(g, &st);
	if (!ex)
		return st;
	hb_val *out = HB_NEW_N(c->arena, hb_val, g->noutputs ? g->noutputs : 1);
	double *ms = HB_NEW_N(c->arena, double, c->a.bench ? c->a.bench : 1);
	if (!out || !ms)
		st = hb_nomem(c->cx, NULL);
	for (int64_t k = 0; st == HB_OK && k < HB_MAX(c->a.bench, 1); k++) {
		double from = now_ms();

		st = hb_exec_run(ex, j->vals, out, c->a.dump && k == 0 ? tap_graph : NULL, j);
		ms[k] = now_ms() - from;
	}
	for (size_t i = 0; st == HB_OK && i < g->noutputs; i++)
		st = result(c, i, g->outputs[i]->name, &g->outputs[i]->q, out[i]);
	if (st == HB_OK && c->a.bench)
		st = print_bench(c, ms);
	hb_exec_free(ex);
	return st;
}

/* ---- .hbm ---- */

static hb_status
print_hazards(cli *c, const hb_program *p)
{
	enum { MOST = 20 };
	hb_hazard h[MOST];
	size_t n = 0;

	HB_TRY(hb_hazards(c->cx, p, h, MOST, &n));
	for (size_t i = 0; i < HB_MIN(n, (size_t)MOST); i++) {
		hb_buf a = {.cx = c->cx}, b = {.cx = c->cx};

		hb_disas_insn(p, &p->segments[h[i].segment], h[i].first, &a);
		hb_disas_insn(p, &p->segments[h[i].segment], h[i].second, &b);
		hb_error(c->cx, HB_ERR_NO, NULL, "hazard", "segment %d: bytes %s+%05llx..%05llx, unordered: %s | %s",
			 h[i].segment, hb_space_name(h[i].space), (unsigned long long)h[i].lo,
			 (unsigned long long)h[i].hi, a.p ? a.p : "", b.p ? b.p : "");
		hb_buf_free(&a);
		hb_buf_free(&b);
	}
	return n ? HB_ERR_NO : HB_OK;
}

static hb_status
write_stats(cli *c, const hb_sim *s)
{
	hb_sim_stats k;
	json_t *o = json_report("hbcc.stats/1"), *of = json_object();

	hb_sim_stats_get(s, &k);
	json_object_set_new(o, "loaded", json_integer((json_int_t)k.loaded));
	json_object_set_new(o, "stored", json_integer((json_int_t)k.stored));
	json_object_set_new(o, "instructions", json_integer((json_int_t)k.insns));
	json_object_set_new(o, "accesses", json_integer((json_int_t)k.accesses));
	for (int e = 0; e < HB_NENGINES; e++)
		json_object_set_new(of, hb_engine_name((hb_engine)e), json_integer((json_int_t)k.insns_of[e]));
	json_object_set_new(o, "instructions_of", of);
	return json_out(c, o, c->a.stats);
}

static hb_status
run_hbm(job *j, const char *path)
{
	cli *c = j->c;
	const hb_march *m;
	hb_program *p;
	hb_sim *s;
	hb_status st;

	HB_TRY(hbm_open(c, path, &m, &p));
	if (c->a.check_hazards)
		HB_TRY(print_hazards(c, p));
	j->nports = p->ninputs;
	j->ports = HB_NEW_N(c->arena, port, p->ninputs ? p->ninputs : 1);
	hb_val *out = HB_NEW_N(c->arena, hb_val, p->noutputs ? p->noutputs : 1);
	double *ms = HB_NEW_N(c->arena, double, c->a.bench ? c->a.bench : 1);
	if (!j->ports || !out || !ms)
		return hb_nomem(c->cx, NULL);
	for (size_t i = 0; i < p->ninputs; i++) {
		const hb_place_row *r = &p->places[p->inputs[i]];

		j->ports[i] = (port){r->name, r->dtype, r->shape, true, r->q.dtype != HB_NONE ? &r->q : NULL, NULL, false};
		HB_TRY(camera_port(c, p->meta, &j->ports[i]));
	}
	HB_TRY(inputs_match(j));
	hb_sim_options o = {
		.tags = c->a.check_hazards, .raw_int = c->a.raw_int, .tap = c->a.dump ? tap_program : NULL, .arg = j};
	HB_TRY(hb_sim_new(c->cx, p, &m->fig, &o, &s));
	st = HB_OK;
	for (int64_t k = 0; st == HB_OK && k < HB_MAX(c->a.bench, 1); k++) {
		double from = now_ms();

		st = hb_sim_run(s, j->vals, out);
		ms[k] = now_ms() - from;
	}
	for (size_t i = 0; st == HB_OK && i < p->noutputs; i++)
		st = result(c, i, p->places[p->outputs[i]].name, NULL, out[i]);
	if (st == HB_OK && c->a.stats)
		st = write_stats(c, s);
	if (st == HB_OK && c->a.bench)
		st = print_bench(c, ms);
	hb_sim_free(s);
	return st;
}

static hb_status
run(cli *c)
{
	job j = {.c = c};
	const char *path = c->files[0];
	bool hbm = is_hbm(path);
	hb_status st;

	if (c->a.dump && !c->a.output)
		return hb_error(c->cx, HB_ERR_USAGE, "--dump", "option", "needs --output DIR");
	if (!hbm && c->a.stats)
		return hb_error(c->cx, HB_ERR_USAGE, "--stats", "option",
				"counts what the simulator does; it takes a .hbm");
	if (!hbm && c->a.march && config_said(c, O_march))
		return hb_error(c->cx, HB_ERR_USAGE, "--march", "option", "takes a .hbm");
	if (!hbm && c->a.check_hazards)
		return hb_error(c->cx, HB_ERR_USAGE, "--check-hazards", "option", "takes a .hbm");
	st = inputs_read(&j);
	if (st == HB_OK && c->a.output)
		st = make_folder(c, c->a.output);
	if (st == HB_OK)
		st = dump_prepare(&j);
	if (st == HB_OK)
		st = hbm ? run_hbm(&j, path) : run_onnx(&j, path);
	for (size_t i = 0; i < j.nin; i++)
		array_free(c->cx, &j.in[i].a);
	return st == HB_OK ? dump_end(&j) : st;
}

const command command_run = {
	.name = "run",
	.files = "MODEL.onnx|MODEL.hbm",
	.summary = "Run a model of any form on the host: the ONNX forms node by node, an .hbm in the simulator.",
	.min_files = 1,
	.max_files = 1,
	.options = (const opt_id[]){O_input, O_output, O_array_format, O_raw_int, O_dump, O_bench, O_stats,
				    O_check_hazards, O_march, O_name, O_END},
	.run = run,
};
