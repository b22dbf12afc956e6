/* verify.c: hbcc verify: a compiled form against the float model, tensor by tensor, over the samples.
 * Tensors are matched by name; what a fused group yields has the name it has in the float graph. */
#include "cli/verify.h"

#include <math.h>
#include <stdlib.h>

static int
by_noise(const void *a, const void *b)
{
	const hb_sensitivity *p = a, *q = b;

	return p->noise > q->noise ? -1 : p->noise < q->noise ? 1 : (p->t->id > q->t->id) - (p->t->id < q->t->id);
}

/* One activation at a time on the grid that the compiled form has for it, the rest of the model in float. */
static hb_status
find_blame(verify *v, samples *data)
{
	hb_refine_options o = {.sample = samples_get, .arg = data};

	for (hb_node *n = v->g->first; n; n = n->next)
		n->on = HB_ON_BPU;
	for (row *r = v->first; r; r = r->next)
		if (r->q.dtype == HB_I8 || r->q.dtype == HB_I16)
			r->t->q = (hb_q){.dtype = r->q.dtype, .nscales = r->q.nscales, .scale = r->q.scale, .scales = r->q.scales, .axis = r->q.axis};
	HB_TRY(hb_pass_sensitivity(v->g, NULL, &o, &v->blame, &v->nblame));
	if (!v->nblame)
		return hb_error(v->c->cx, HB_ERR_USAGE, "--blame", "option",
				"no quantized activation can be seen: compile with --debug, or compare the hbir form");
	qsort(v->blame, v->nblame, sizeof(*v->blame), by_noise);
	return HB_OK;
}

static hb_status
second_open(cli *c, const char *path, second *s, const hb_march **m)
{
	if (is_hbm(path)) {
		HB_TRY(hbm_open(c, path, m, &s->p));
		s->nout = s->p->noutputs;
	} else {
		HB_TRY(march_get(c, false, m));
		HB_TRY(model_read(c, path, &s->g));
		s->nout = s->g->noutputs;
	}
	return HB_OK;
}

/* The compiled form's input shapes fix what is symbolic in the float model. */
static hb_status
read_float(cli *c, const char *path, const second *s, hb_graph **out)
{
	hb_import_options o;
	size_t n = s->p ? s->p->ninputs : s->g->ninputs;

	HB_TRY(import_options(c, &o));
	hb_input_shape *v = HB_NEW_N(c->arena, hb_input_shape, o.nshapes + n + 1);
	if (!v)
		return hb_nomem(c->cx, NULL);
	for (size_t i = 0; i < n; i++) {
		const hb_place_row *r = s->p ? &s->p->places[s->p->inputs[i]] : NULL;

		v[i] = (hb_input_shape){r ? r->name : s->g->inputs[i]->name, r ? r->shape : s->g->inputs[i]->shape,
					true};
		if (hb_meta_get(s->p ? s->p->meta : s->g->meta, camera_key(c, v[i].name)))
			v[i].shape.rank = -1;	/* the model has another input */
	}
	memcpy(v + n, o.shapes, sizeof(*v) * o.nshapes);
	o.shapes = v;
	o.nshapes += n;
	HB_TRY(onnx_check(c, path));
	c->cx->file = path;
	HB_TRY(hb_onnx_read(c->cx, path, &o, out));
	HB_TRY(hb_pass_shapes(*out, false));
	return config_edit(c, *out);
}

static hb_status
same_ports(cli *c, const hb_graph *g, const second *s)
{
	size_t n = s->p ? s->p->ninputs : s->g->ninputs;
	char a[HB_SHAPE_TEXT], b[HB_SHAPE_TEXT];

	if (n != g->ninputs || s->nout != g->noutputs)
		return hb_error(c->cx, HB_ERR_INPUT, NULL, "verify",
				"has %zu inputs and %zu outputs; %s has %zu and %zu: it was not made from this model",
				n, s->nout, c->files[0], g->ninputs, g->noutputs);
	for (size_t i = 0; i < n; i++) {
		const hb_shape *have = s->p ? &s->p->places[s->p->inputs[i]].shape : &s->g->inputs[i]->shape;

		const char *key = camera_key(c, g->inputs[i]->name), *is = hb_meta_get(s->p ? s->p->meta : s->g->meta, key), *was = hb_meta_get(g->meta, key);

		if (!is != !was || (is && strcmp(is, was)))
			return hb_error(c->cx, HB_ERR_USAGE, "--config", "input-type", "input '%s' takes %s, that of %s %s: give the configuration it was compiled with",
					g->inputs[i]->name, is ? is : "what the model takes", c->files[0], was ? was : "what the model takes");
		if (!hb_shape_eq(have, &g->inputs[i]->shape))
			return hb_error(c->cx, HB_ERR_INPUT, NULL, "verify", "takes %s for input '%s'; %s takes %s",
					hb_shape_text(have, a), g->inputs[i]->name, c->files[0],
					hb_shape_text(&g->inputs[i]->shape, b));
	}
	return HB_OK;
}

static bool
uncalibrated_of(const second *s)
{
	if (s->p)
		return s->p->uncalibrated;
	for (const hb_meta *m = s->g->meta; m; m = m->next)
		if (!strcmp(m->key, "hbcc.uncalibrated"))
			return true;
	return s->g->uncalibrated;
}

static int
by_cosine(const void *a, const void *b)
{
	double p = hb_measure_cosine(&(*(const row *const *)a)->measure), q = hb_measure_cosine(&(*(const row *const *)b)->measure);
	int x = (*(const row *const *)a)->t->id, y = (*(const row *const *)b)->t->id;

	return p < q ? -1 : p > q ? 1 : (x > y) - (x < y);
}

enum { WORST = 10 };

/* Which node is the first below the gate, and which are the worst. */
static hb_status
name_worst(verify *v)
{
	cli *c = v->c;
	const row **all, *first = NULL;
	size_t n = 0;

	for (const row *r = v->first; r; r = r->next)
		n += r->measure.n > 0;
	all = HB_NEW_N(c->arena, const row *, n + 1);
	if (!all)
		return hb_nomem(c->cx, NULL);
	n = 0;
	for (const row *r = v->first; r; r = r->next) {
		if (!r->measure.n)
			continue;
		if (!first && hb_measure_cosine(&r->measure) < c->a.min_cosine)
			first = r;
		all[n++] = r;
	}
	qsort(all, n, sizeof(*all), by_cosine);
	if (first)
		hb_note(c->cx, NULL, "first-below", "the first below %g is %s '%s': %.6f", c->a.min_cosine, verify_node(first)->op_type,
			verify_name(v, first), hb_measure_cosine(&first->measure));
	if (!n)
		hb_note(c->cx, NULL, "worst", "no layer is seen: compile --debug, or compare the hbir form");
	for (size_t i = 0; i < HB_MIN(n, WORST); i++)
		hb_note(c->cx, NULL, "worst", "%zu. %s '%s': %.6f", i + 1, verify_node(all[i])->op_type, verify_name(v, all[i]),
			hb_measure_cosine(&all[i]->measure));
	return HB_OK;
}

bool
verify_counts_equal(const hb_tensor *t)
{
	return (t->dtype != HB_F32 && hb_dtype_size(t->dtype) >= 4) || t->dtype == HB_BOOL;
}

double
verify_equal(const output *o)
{
	return o->seen ? (double)o->equal / (double)o->seen : NAN;
}

/* Raw cosine applauds an output that hardly varies. */
const char *
verify_constancy(const verify *v, size_t i)
{
	const hb_measure *e = &v->outputs[i].measure, *k = &v->outputs[i].centred;

	if (!k->n || verify_counts_equal(v->g->outputs[i]) || !(e->aa > 0 && k->aa < e->aa * 0.01))
		return NULL;
	return hb_arena_printf(v->c->arena,
			       "output varies over the samples with %.2g %% of its energy only: its cosine says little; centred signal to noise is %.2f dB",
			       k->aa / e->aa * 100, hb_measure_sqnr(k));
}

static void
warn_of_constancy(verify *v)
{
	for (size_t i = 0; i < v->g->noutputs; i++) {
		const char *why = verify_constancy(v, i);

		if (why)
			hb_warn(v->c->cx, v->g->outputs[i]->name, "hardly-varies", "%s", why);
	}
}

static hb_status
gate(verify *v, const char *path)
{
	hb_status st = HB_OK;
	double from;
	const row *lost = verify_loss(v, &from);

	v->c->cx->file = path;
	for (size_t i = 0; v->c->set[O_min_cosine] && i < v->g->noutputs; i++) {
		const output *o = &v->outputs[i];
		bool equal = verify_counts_equal(v->g->outputs[i]);
		double is = equal ? verify_equal(o) : hb_measure_cosine(&o->measure);

		if (!o->measure.n || is >= v->c->a.min_cosine)
			continue;
		const char *where = lost ? hb_arena_printf(v->c->arena, "; most is lost at %s '%s': %.6f to %.6f", verify_node(lost)->op_type,
							   verify_name(v, lost), from, hb_measure_cosine(&lost->measure))
					 : "";

		st = hb_error(v->c->cx, HB_ERR_NO, NULL, "min-cosine", "output '%s' has %s%.6f%s; at least %g is asked for%s",
			      v->g->outputs[i]->name, equal ? "" : "cosine ", is, equal ? " of its values equal" : "", v->c->a.min_cosine,
			      where ? where : "");
	}
	if (st == HB_ERR_NO)
		HB_TRY(name_worst(v));
	return st;
}

/* Both forms on every sample of --calib, then the gate. HB_ERR_NO: it is missed. */
static hb_status
compare_forms(verify *v, second *s, const hb_march *m)
{
	cli *c = v->c;
	hb_sim_options o = {.tap = verify_tap, .arg = v};
	port *ports;
	samples *data;
	hb_status st;

	v->p = s->p;
	if (c->a.by_layer)
		HB_TRY(layers_new(c, v->g, &v->layers));
	HB_TRY(verify_rows(v, s));
	if (v->wants_values)
		HB_TRY(verify_watch(v));
	HB_TRY(graph_ports(c, v->g, &ports));
	HB_TRY(samples_open(c, &c->a.calib, ports, v->g->ninputs, &data));
	v->outputs = HB_NEW_N(c->arena, output, v->g->noutputs + 1);
	s->out = HB_NEW_N(c->arena, hb_val, s->nout + 1);
	if (!v->outputs || !s->out)
		return hb_nomem(c->cx, NULL);
	hb_exec *ex = hb_exec_new(v->g, &st);
	if (!ex)
		return st;
	if (s->p)
		st = hb_sim_new(c->cx, s->p, &m->fig, &o, &s->sim);
	else
		s->ex = hb_exec_new(s->g, &st);
	if (s->sim || s->ex)
		st = verify_samples(v, s, ex, data);
	if (st == HB_OK && c->a.blame)
		st = find_blame(v, data);
	for (row *r = v->first; r; r = r->next) {
		r->centred = verify_centred(v, &r->measure, &r->centre);
		verify_centre_free(v, &r->centre);
	}
	for (size_t i = 0; i < v->g->noutputs; i++) {
		output *k = &v->outputs[i];

		k->centred = verify_centred(v, &k->measure, &k->centre);
		verify_centre_free(v, &k->centre);
	}
	if (st == HB_OK && v->wants_values)
		st = verify_causes(v);
	if (st == HB_OK) {
		warn_of_constancy(v);
		st = gate(v, c->cx->file);
	}
	for (row *r = v->first; r; r = r->next)
		if (r->ref)
			hb_big_free(c->cx, r->ref, r->bytes);
	if (v->scratch)
		hb_big_free(c->cx, v->scratch, v->scratch_bytes);
	layers_free(v->layers);
	samples_close(data);
	hb_exec_free(ex);
	if (s->sim)
		hb_sim_free(s->sim);
	if (s->ex)
		hb_exec_free(s->ex);
	return st;
}

hb_status
verify_fixed(cli *c, hb_graph *g, hb_graph *fixed)
{
	verify v = {.c = c, .g = g};
	second s = {.g = fixed, .nout = fixed->noutputs};

	return compare_forms(&v, &s, NULL);
}

static hb_status
run(cli *c)
{
	verify v = {.c = c};
	second s = {0};
	const hb_march *m;

	if (!c->a.calib.n)
		return hb_error(c->cx, HB_ERR_USAGE, "--calib", "option", "verify needs samples");
	HB_TRY(report_output_check(c));
	HB_TRY(second_open(c, c->files[1], &s, &m));
	HB_TRY(read_float(c, c->files[0], &s, &v.g));
	c->cx->file = c->files[1];
	HB_TRY(same_ports(c, v.g, &s));
	HB_TRY(hb_pass_simplify(v.g));
	HB_TRY(hb_pass_recognise(v.g));
	HB_TRY(hb_pass_expand(v.g, m));
	HB_TRY(hb_pass_fuse(v.g));
	v.wants_values = true;
	v.form = s.p ? "hbm" : form_name(graph_form(s.g));
	v.march = m ? m->name : NULL;
	v.uncalibrated = uncalibrated_of(&s);
	hb_status st = compare_forms(&v, &s, m);
	if (st != HB_OK && st != HB_ERR_NO)
		return st;
	const char *format = c->a.format ? c->a.format : "text";
	HB_TRY(!strcmp(format, "html") ? verify_html(&v, st == HB_OK) : !strcmp(format, "json") ? verify_json(&v, st == HB_OK) : verify_text(&v));
	return st;
}

const command command_verify = {
	.name = "verify",
	.files = "MODEL.onnx MODEL.hbm|MODEL.hbir.onnx",
	.summary = "Hold a compiled form against the float model over samples: cosine, distances, signal to noise.",
	.min_files = 2,
	.max_files = 2,
	.options = (const opt_id[]){O_calib, O_march, O_min_cosine, O_blame, O_by_layer, O_perf_format, O_output, O_name, O_END},
	.run = run,
};
