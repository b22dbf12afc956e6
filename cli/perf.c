/* perf.c: hbcc perf: what a frame costs, by the estimator on the very instructions of the .hbm; gates for build
 * pipelines. The keys of `summary` are those of the static performance reports that scripts know. */
#include "cli/html.h"

#include <math.h>
#include <stdlib.h>

#define MIB 1048576.0

typedef struct perf {
	cli *c;
	const hb_program *p;
	const hb_march *m;
	hb_estimate e;
	double us;         /* a cycle in microseconds */
	uint64_t interval; /* cycles */
	size_t nintervals;
	double *mac, *loaded, *stored; /* of an interval: cycles a MAC array is busy, bytes */
	/* while tracing */
	int segment;
	uint64_t base, last; /* cycles before this segment, its last cycle so far */
	hb_buf trace;
	bool tracing;
} perf;

/* ---- trace ---- */

/* `amount` spread evenly over [start, end). */
static void
spread(const perf *f, double *to, uint64_t start, uint64_t end, double amount)
{
	uint64_t len = HB_MAX(end - start, 1);

	for (uint64_t at = start; at < end || at == start;) {
		size_t i = HB_MIN((size_t)(at / f->interval), f->nintervals - 1);
		uint64_t stop = HB_MIN(HB_MAX(end, start + 1), (uint64_t)(i + 1) * f->interval);

		if (i + 1 == f->nintervals)
			stop = HB_MAX(end, start + 1);
		to[i] += amount * (double)(stop - at) / (double)len;
		at = stop;
	}
}

static void
on_insn(void *arg, int segment, size_t insn, uint64_t start, uint64_t end)
{
	perf *f = arg;
	const hb_insn *i = &f->p->segments[segment].list.insns[insn];
	const char *op = hb_insn_row_of(i->op)->name;

	if (segment != f->segment) {
		f->base += f->last;
		f->last = 0;
		f->segment = segment;
	}
	f->last = HB_MAX(f->last, end);
	start += f->base;
	end += f->base;
	if (f->nintervals && (i->engine == HB_M0 || i->engine == HB_M1))
		spread(f, f->mac, start, end, (double)(end - start));
	if (f->nintervals && (i->engine == HB_L0 || i->engine == HB_L1))
		spread(f, f->loaded, start, end, (double)hb_insn_bytes(&f->m->fig, i));
	if (f->nintervals && (i->engine == HB_ST0 || i->engine == HB_ST1))
		spread(f, f->stored, start, end, (double)hb_insn_bytes(&f->m->fig, i));
	if (!f->tracing)
		return;
	json_t *o = json_object(), *more = json_object();
	json_object_set_new(o, "name",
			    i->node >= 0 && (size_t)i->node < f->p->nnodes ? js(f->c, f->p->nodes[i->node].name)
									   : json_string(op));
	json_object_set_new(o, "cat", json_string(op));
	json_object_set_new(o, "ph", json_string("X"));
	json_object_set_new(o, "ts", js_real((double)start * f->us));
	json_object_set_new(o, "dur", js_real((double)(end - start) * f->us));
	json_object_set_new(o, "pid", json_integer(0));
	json_object_set_new(o, "tid", json_integer((json_int_t)i->engine));
	json_object_set_new(more, "instruction", json_integer((json_int_t)insn));
	json_object_set_new(more, "segment", json_integer(segment));
	json_object_set_new(o, "args", more);
	char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(12));
	hb_buf_printf(&f->trace, ",\n%s", text ? text : "{}");
	free(text);
	json_decref(o);
}

/* A round interval that makes 10 to 100 of them. */
static uint64_t
interval_of(uint64_t cycles, double us)
{
	double want = (double)HB_MAX(cycles, 1) * us / 100, step = pow(10, ceil(log10(want)));

	return HB_MAX((uint64_t)llround(step / us), 1);
}

static hb_status
estimate(perf *f)
{
	cli *c = f->c;

	/* once for the length, once to fill the intervals */
	f->us = 1 / (f->m->fig.clock_ghz * 1e3);
	f->segment = -1;
	HB_TRY(hb_estimate_run(c->cx, f->p, &f->m->fig, c->arena, NULL, NULL, &f->e));
	f->interval = interval_of(f->e.cycles, f->us);
	f->nintervals = (size_t)((HB_MAX(f->e.cycles, 1) + f->interval - 1) / f->interval);
	f->mac = HB_NEW_N(c->arena, double, f->nintervals);
	f->loaded = HB_NEW_N(c->arena, double, f->nintervals);
	f->stored = HB_NEW_N(c->arena, double, f->nintervals);
	if (!f->mac || !f->loaded || !f->stored)
		return hb_nomem(c->cx, NULL);
	f->tracing = c->a.trace != NULL;
	f->trace.cx = c->cx;
	hb_buf_str(&f->trace, "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n");
	for (int e = 0; e < HB_NENGINES; e++)
		hb_buf_printf(
			&f->trace,
			"%s{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":0,\"tid\":%d,\"args\":{\"name\":\"%s\"}}",
			e ? ",\n" : "", e, hb_engine_name((hb_engine)e));
	hb_status st = hb_estimate_run(c->cx, f->p, &f->m->fig, c->arena, on_insn, f, &f->e);
	hb_buf_str(&f->trace, "\n]}\n");
	if (st == HB_OK && f->tracing)
		st = f->trace.bad ? hb_nomem(c->cx, NULL) : hb_file_write(c->cx, c->a.trace, f->trace.p, f->trace.len);
	hb_buf_free(&f->trace);
	return st;
}

/* ---- figures ---- */

static double
latency_us(const perf *f)
{
	return (double)f->e.cycles * f->us;
}

static double
fps(const perf *f)
{
	return f->e.cycles ? 1e6 / latency_us(f) : 0;
}

static double
ddr_bytes(const perf *f)
{
	return (double)(f->e.loaded + f->e.stored);
}

static const char *
cost_text(const perf *f, uint64_t cycles)
{
	double us = (double)cycles * f->us, all = latency_us(f);

	return hb_arena_printf(f->c->arena, "%.4g us (%.1f%% of model)", us, all > 0 ? us / all * 100 : 0.0);
}

static const char *
grouped(cli *c, uint64_t v)
{
	char digits[24], *out = hb_arena_alloc(c->arena, 32), *q = out;
	int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v);

	for (int i = 0; out && i < n; i++) {
		if (i && (n - i) % 3 == 0)
			*q++ = ',';
		*q++ = digits[i];
	}
	return out ? out : "";
}

static const char *
options_text(const perf *f)
{
	hb_buf b = {.cx = f->c->cx};
	const char *s;

	hb_buf_printf(&b, "--march %s --O%d --core-num %d", f->p->march, f->p->level, HB_MAX(f->p->cores, 1));
	s = hb_arena_str(f->c->arena, b.p ? b.p : "");
	hb_buf_free(&b);
	return s ? s : "";
}

static json_t *
interval_list(const perf *f, const double *v, double scale, double floor_to)
{
	json_t *a = json_array();

	for (size_t i = 0; i < f->nintervals; i++)
		json_array_append_new(a, js_real(round(v[i] * scale / floor_to) * floor_to));
	return a;
}

static json_t *
json_layers(const perf *f)
{
	json_t *rows = json_array();

	json_array_append_new(rows,
			      json_pack("[s,s,s,s]", "layer", "ops", "computing cost (no DDR)", "load/store cost"));
	for (size_t i = 0; i < f->p->nnodes; i++) {
		const hb_layer_cost *l = &f->e.layers[i];

		if (f->p->segments[f->p->nodes[i].segment].cpu)
			continue;
		json_array_append_new(rows,
				      json_pack("[s,s,s,s]", clean(f->c, f->p->nodes[i].name), grouped(f->c, l->ops),
						cost_text(f, l->cycles), cost_text(f, l->dma_cycles)));
	}
	return rows;
}

static json_t *
json_summary(const perf *f)
{
	cli *c = f->c;
	json_t *s = json_object(), *inputs = json_array(), *segments = json_array();
	double lat = latency_us(f), seconds = lat / 1e6, interval_s = (double)f->interval * f->us / 1e6;
	double ddr = ddr_bytes(f);
	char text[HB_SHAPE_TEXT];
	const struct {
		const char *key;
		double v;
		bool whole;
	} rows[] = {
		{"BPU OPs per frame (effective)", (double)f->e.ops, true},
		{"BPU OPs per run (effective)", (double)f->e.ops, true},
		{"BPU PE number", 1, true},
		{"BPU core number", HB_MAX(f->p->cores, 1), true},
		{"DDR bytes per frame", ddr, true},
		{"DDR bytes per run", ddr, true},
		{"DDR bytes per second", seconds > 0 ? ddr / seconds : 0, true},
		{"DDR megabytes per frame", ddr / MIB, false},
		{"DDR megabytes per run", ddr / MIB, false},
		{"DDR megabytes per second", seconds > 0 ? ddr / MIB / seconds : 0, false},
		{"FPS", fps(f), false},
		{"frame per second", fps(f), false},
		{"worst FPS", fps(f), false},
		{"frame per run", 1, true},
		{"run per second", fps(f), false},
		{"interval number", (double)f->nintervals, true},
		{"interval time (ms)", interval_s * 1e3, false},
		{"latency (ms)", lat / 1e3, false},
		{"latency (us)", lat, false},
		{"loaded bytes per frame", (double)f->e.loaded, true},
		{"loaded bytes per run", (double)f->e.loaded, true},
		{"stored bytes per frame", (double)f->e.stored, true},
		{"stored bytes per run", (double)f->e.stored, true},
		{"multicore sync time (ms)", 0, false},
	};

	for (size_t i = 0; i < HB_LEN(rows); i++)
		json_object_set_new(s, rows[i].key,
				    rows[i].whole ? json_integer((json_int_t)rows[i].v) : js_real(rows[i].v));
	json_object_set_new(s, "BPU march", json_string(f->p->march));
	json_object_set_new(s, "compiling options", json_string(options_text(f)));
	json_object_set_new(s, "HBDK version", json_string("hbcc " HBCC_VERSION));
	json_object_set_new(s, "model name", js(c, f->p->name));
	json_array_append_new(inputs, json_pack("[s,s]", "input name", "input size"));
	for (size_t i = 0; i < f->p->ninputs; i++) {
		const hb_place_row *r = &f->p->places[f->p->inputs[i]];

		json_array_append_new(inputs, json_pack("[s,s]", clean(c, r->name), hb_shape_text(&r->shape, text)));
	}
	json_object_set_new(s, "input features", inputs);
	for (size_t i = 0; i < f->p->nsegments; i++)
		if (!f->p->segments[i].cpu)
			json_array_append_new(segments, js_real((double)f->e.segment_cycles[i] * f->us / 1e3));
	json_object_set_new(s, "latency (ms) by segments", segments);
	json_object_set_new(s, "interval computing unit utilization",
			    interval_list(f, f->mac, 1 / (double)f->interval / HB_MAX(f->p->cores, 1), 0.001));
	json_object_set_new(s, "interval loading bandwidth (megabytes/s)",
			    interval_list(f, f->loaded, 1 / MIB / interval_s, 1));
	json_object_set_new(s, "interval storing bandwidth (megabytes/s)",
			    interval_list(f, f->stored, 1 / MIB / interval_s, 1));
	json_object_set_new(s, "layer details", json_layers(f));
	return s;
}

static int
cpu_segments(const perf *f)
{
	int n = 0;

	for (size_t i = 0; i < f->p->nsegments; i++)
		n += f->p->segments[i].cpu;
	return n;
}

/* ---- reports ---- */

static table *
layer_table(const perf *f)
{
	table *t = table_new(f->c, "Layer", "Type", "OPs", "Computing cost (no DDR)", "Load/store cost", "Loaded bytes",
			     "Stored bytes", NULL);

	for (size_t i = 0; t && i < f->p->nnodes; i++) {
		const hb_layer_cost *l = &f->e.layers[i];
		bool cpu = f->p->segments[f->p->nodes[i].segment].cpu;

		table_cell(t, f->p->nodes[i].name);
		table_cell(t, f->p->nodes[i].op_type);
		table_cell(t, cpu ? "CPU" : grouped(f->c, l->ops));
		table_cell(t, cpu ? "--" : cost_text(f, l->cycles));
		table_cell(t, cpu ? "--" : cost_text(f, l->dma_cycles));
		table_cell(t, cpu ? "--" : grouped(f->c, l->loaded));
		table_cell(t, cpu ? "--" : grouped(f->c, l->stored));
	}
	return t;
}

static table *
summary_table(const perf *f)
{
	cli *c = f->c;
	table *t = table_new(c, "Summary", "", NULL);

	if (!t)
		return NULL;
	table_cell(t, "Model");
	table_cell(t, f->p->name);
	table_cell(t, "March");
	table_cellf(t, "%s, %g GHz, O%d", f->p->march, f->m->fig.clock_ghz, f->p->level);
	table_cell(t, "Latency");
	table_cellf(t, "%.4g ms (%s cycles)", latency_us(f) / 1e3, grouped(c, f->e.cycles));
	table_cell(t, "FPS");
	table_cellf(t, "%.2f", fps(f));
	table_cell(t, "DDR a frame");
	table_cellf(t, "%.3f MiB (loaded %s, stored %s bytes)", ddr_bytes(f) / MIB, grouped(c, f->e.loaded),
		    grouped(c, f->e.stored));
	table_cell(t, "BPU OPs a frame");
	table_cell(t, grouped(c, f->e.ops));
	table_cell(t, "BPU segments");
	table_cellf(t, "%d", (int)f->p->nsegments - cpu_segments(f));
	if (cpu_segments(f)) {
		table_cell(t, "CPU segments");
		table_cellf(t, "%d, their time is not estimated", cpu_segments(f));
	}
	if (f->p->uncalibrated) {
		table_cell(t, "Calibration");
		table_cell(t, "uncalibrated");
	}
	if (f->m->note) {
		table_cell(t, "Note");
		table_cell(t, f->m->note);
	}
	return t;
}

static hb_status
out_html(const perf *f)
{
	hb_buf b = {.cx = f->c->cx};

	html_begin(&b, "Model performance",
		   ".bars{display:flex;align-items:flex-end;height:120px;border-bottom:1px solid var(--line)}"
		   ".bars i{flex:1;background:var(--a);margin:0 1px}");
	table_html(summary_table(f), &b);
	hb_buf_printf(&b, "<h2>MAC array in use, by intervals of %.4g ms</h2>\n<div class=\"bars\">",
		      (double)f->interval * f->us / 1e3);
	for (size_t i = 0; i < f->nintervals; i++)
		hb_buf_printf(&b, "<i style=\"height:%.1f%%\"></i>",
			      HB_MIN(100.0, f->mac[i] / (double)f->interval / HB_MAX(f->p->cores, 1) * 100));
	hb_buf_str(&b, "</div>\n<h2>Layers</h2>\n");
	table_html(layer_table(f), &b);
	return html_end(f->c, &b);
}

static hb_status
out(const perf *f)
{
	const char *format = f->c->a.format ? f->c->a.format : "text";

	if (!strcmp(format, "html"))
		return out_html(f);
	if (!strcmp(format, "json")) {
		json_t *j = json_report("hbcc.perf/1");

		json_object_set_new(j, "uncalibrated", json_boolean(f->p->uncalibrated));
		json_object_set_new(j, "cpu segments", json_integer(cpu_segments(f)));
		json_object_set_new(j, "cycles", json_integer((json_int_t)f->e.cycles));
		json_object_set_new(j, "summary", json_summary(f));
		return json_out(f->c, j, f->c->a.output);
	}
	table_text(summary_table(f), stdout);
	putchar('\n');
	table_text(layer_table(f), stdout);
	printf("\nFPS=%.2f, latency = %.1f us\n", fps(f), latency_us(f));
	return HB_OK;
}

/* ---- gates ---- */

static hb_status
gate(perf *f, bool asked, bool met, const char *option, double is, double limit, const char *unit)
{
	if (!asked || met)
		return HB_OK;
	return hb_error(f->c->cx, HB_ERR_NO, option, "gate", "%.6g %s, the limit is %.6g", is, unit, limit);
}

/* A number of an earlier report's summary; HB_ERR_INPUT where it has none. */
static hb_status
baseline_number(perf *f, const json_t *j, const char *key, double *v)
{
	const json_t *n = json_object_get(json_object_get(j, "summary"), key);

	f->c->cx->file = f->c->a.baseline;
	if (!json_is_number(n))
		return hb_error(f->c->cx, HB_ERR_INPUT, NULL, "baseline",
				"has no number '%s' in 'summary': it is no report of perf", key);
	*v = json_number_value(n);
	return HB_OK;
}

static hb_status
against_baseline(perf *f)
{
	static const struct {
		const char *key, *unit;
	} rows[] = {{"latency (us)", "us"}, {"DDR bytes per frame", "bytes"}};
	cli *c = f->c;
	hb_file *file;
	json_error_t e;
	hb_status st = HB_OK;

	c->cx->file = c->a.baseline;
	HB_TRY(hb_file_map(c->cx, c->a.baseline, &file));
	json_t *j = json_loadb(file->p ? (const char *)file->p : "", file->size, 0, &e);
	if (!j)
		return hb_error(c->cx, HB_ERR_INPUT, NULL, "baseline", "line %d: is no JSON: %s", e.line, e.text);
	for (size_t i = 0; i < HB_LEN(rows); i++) {
		double was = 0, now = i ? ddr_bytes(f) : latency_us(f);
		hb_status one = baseline_number(f, j, rows[i].key, &was);

		if (one == HB_OK && now > was * (1 + c->a.tolerance / 100) * (1 + 1e-8))
			one = hb_error(c->cx, HB_ERR_NO, "--baseline", "gate",
				       "%s: %.6g, %.6g %s before; %.4g %% are let pass", rows[i].key, now, was,
				       rows[i].unit, c->a.tolerance);
		st = st == HB_OK || one == HB_ERR_INPUT ? one : st;
	}
	json_decref(j);
	return st;
}

static hb_status
gates(perf *f)
{
	const args *a = &f->c->a;
	double ms = latency_us(f) / 1e3, mib = ddr_bytes(f) / MIB;
	hb_status st[] = {
		gate(f, f->c->set[O_max_latency], ms <= a->max_latency, "--max-latency", ms, a->max_latency, "ms"),
		gate(f, f->c->set[O_min_fps], fps(f) >= a->min_fps, "--min-fps", fps(f), a->min_fps, "frames a second"),
		gate(f, f->c->set[O_max_ddr], mib <= a->max_ddr, "--max-ddr", mib, a->max_ddr, "MiB"),
		a->baseline ? against_baseline(f) : HB_OK,
	};
	hb_status worst = HB_OK;

	for (size_t i = 0; i < HB_LEN(st); i++)
		if (worst == HB_OK || (st[i] != HB_OK && st[i] != HB_ERR_NO))
			worst = st[i];
	return worst;
}

/* What shapes a program says nothing about one that is there. */
static hb_status
compiled_check(cli *c)
{
	static const opt_id ids[] = {O_level, O_calib, O_input_layout, O_output_layout, O_run_on_bpu, O_run_on_cpu, O_dtype, O_int8_outputs, O_input_shape};

	for (size_t i = 0; i < HB_LEN(ids); i++)
		if (c->set[ids[i]] && config_said(c, ids[i]))
			return hb_error(c->cx, HB_ERR_USAGE, hb_arena_printf(c->arena, "--%s", option_rows[ids[i]].name), "option",
					"goes with an ONNX model; an .hbm is compiled already");
	return HB_OK;
}

static hb_status
run(cli *c)
{
	perf f = {.c = c};
	hb_program *p;

	if (c->set[O_tolerance] && !c->a.baseline)
		return hb_error(c->cx, HB_ERR_USAGE, "--tolerance", "option", "goes with --baseline");
	HB_TRY(report_output_check(c));
	if (is_hbm(c->files[0])) {
		HB_TRY(compiled_check(c));
		HB_TRY(hbm_open(c, c->files[0], &f.m, &p));
	} else {
		HB_TRY(march_get(c, true, &f.m));
		HB_TRY(model_compile(c, c->files[0], f.m, &p));
	}
	f.p = p;
	HB_TRY(estimate(&f));
	HB_TRY(out(&f));
	c->cx->file = c->files[0];
	return gates(&f);
}

const command command_perf = {
	.name = "perf",
	.files = "MODEL.onnx|MODEL.hbm",
	.summary = "Estimate what a frame costs: latency, DDR bytes, layer by layer.",
	.min_files = 1,
	.max_files = 1,
	.options = (const opt_id[]){O_march, O_level, O_perf_format, O_output, O_trace, O_max_latency, O_min_fps,
				    O_max_ddr, O_baseline, O_tolerance, O_calib, O_name, O_input_layout,
				    O_output_layout, O_run_on_bpu, O_run_on_cpu, O_dtype, O_int8_outputs, O_affine, O_END},
	.run = run,
};
