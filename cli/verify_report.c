/* verify_report.c: what verify found, as text and as JSON. */
#include "cli/verify.h"

#include <math.h>

hb_status
verify_text(verify *v)
{
	section s[SECTIONS];
	const char **notes, *lost = verify_lost(v);
	size_t n;

	HB_TRY(verify_sections(v, s));
	HB_TRY(verify_notes(v, &notes, &n));
	for (int i = 0; i < SECTIONS; i++) {
		if (!s[i].t)
			continue;
		if (s[i].empty)
			puts(s[i].empty);
		else
			table_text(s[i].t, stdout);
		putchar('\n');
	}
	if (lost)
		printf("%s\n\n", lost);
	for (size_t i = 0; i < n; i++)
		puts(notes[i]);
	printf("%s%lld sample%s%s\n", n ? "\n" : "", (long long)v->samples, v->samples == 1 ? "" : "s", v->uncalibrated ? "; uncalibrated" : "");
	return HB_OK;
}

/* ---- JSON ---- */

/* What nodes and outputs have alike, beside cosine and sqnr. */
static void
set_distances(json_t *o, const hb_measure *e)
{
	json_object_set_new(o, "l1", e->n ? js_real(hb_measure_l1(e)) : json_null());
	json_object_set_new(o, "l2", e->n ? js_real(hb_measure_l2(e)) : json_null());
	json_object_set_new(o, "chebyshev", e->n ? js_real(hb_measure_chebyshev(e)) : json_null());
}

/* The range that integers stand for, what of it the float model takes, and where that is beyond. */
static json_t *
range_of(const row *r)
{
	double clip = verify_clip(&r->q);

	return json_pack("{s:o, s:o, s:o, s:o}", "clip", js_real(clip), "min", r->values ? js_real(r->values->min) : json_null(), "max",
			 r->values ? js_real(r->values->max) : json_null(), "used",
			 r->values ? js_real(spread_magnitude(r->values) / clip) : json_null());
}

static json_t *
causes_of(cli *c, const row *r)
{
	json_t *a = json_array();

	for (const cause *k = r->causes; k; k = k->next)
		json_array_append_new(a, json_pack("{s:s, s:o, s:o}", "cause", k->word, "value", js_real(k->value), "why", js(c, k->text)));
	return a;
}

static json_t *
node_of(verify *v, const row *r)
{
	cli *c = v->c;
	json_t *o = json_object();
	const hb_measure *alone = v->layers ? layers_measure(v->layers, r->t) : NULL;

	json_object_set_new(o, "node", js(c, verify_name(v, r)));
	json_object_set_new(o, "op", js(c, verify_node(r)->op_type));
	json_object_set_new(o, "on", json_string(r->q.dtype != HB_NONE ? "BPU" : "CPU"));
	json_object_set_new(o, "cosine", js_real(hb_measure_cosine(&r->measure)));
	json_object_set_new(o, "sqnr", js_real(hb_measure_sqnr(&r->measure)));
	json_object_set_new(o, "clipped", r->seen ? js_real((double)r->clipped / (double)r->seen) : json_null());
	json_object_set_new(o, "dtype", json_string(dtype_word(&r->q, HB_F32)));
	json_object_set_new(o, "scale", r->q.dtype != HB_NONE && r->q.nscales <= 1 ? js_real(r->q.scale) : json_null());
	set_distances(o, &r->measure);
	json_object_set_new(o, "centred_cosine", r->centred.n ? js_real(hb_measure_cosine(&r->centred)) : json_null());
	json_object_set_new(o, "centred_sqnr", r->centred.n ? js_real(hb_measure_sqnr(&r->centred)) : json_null());
	json_object_set_new(o, "range", range_of(r));
	json_object_set_new(o, "causes", causes_of(c, r));
	if (alone && alone->n)
		json_object_set_new(o, "alone", json_pack("{s:o, s:o, s:o}", "cosine", js_real(hb_measure_cosine(alone)), "sqnr",
							  js_real(hb_measure_sqnr(alone)), "chebyshev",
							  js_real(hb_measure_chebyshev(alone))));
	return o;
}

static json_t *
output_of(verify *v, size_t i)
{
	const hb_measure *e = &v->outputs[i].measure, *k = &v->outputs[i].centred;
	bool counts = verify_counts_equal(v->g->outputs[i]);
	json_t *o = json_object();

	json_object_set_new(o, "name", js(v->c, v->g->outputs[i]->name));
	json_object_set_new(o, "cosine", js_real(verify_cosine(v, i)));
	json_object_set_new(o, "sqnr", e->n && !counts ? js_real(hb_measure_sqnr(e)) : json_null());
	set_distances(o, e);
	json_object_set_new(o, "centred_cosine", js_real(verify_cosine_centred(v, i)));
	json_object_set_new(o, "centred_sqnr", k->n && !counts ? js_real(hb_measure_sqnr(k)) : json_null());
	json_object_set_new(o, "equal", js_real(verify_equal(&v->outputs[i])));
	json_object_set_new(o, "hardly_varies", json_boolean(verify_constancy(v, i)));
	return o;
}

/* What text says in place of an empty table, and below its tables. */
static hb_status
set_notes(verify *v, json_t *j)
{
	section s[SECTIONS];
	const char **notes;
	size_t n;
	json_t *a = json_array();

	json_object_set_new(j, "notes", a);
	HB_TRY(verify_sections(v, s));
	HB_TRY(verify_notes(v, &notes, &n));
	for (int i = 0; i < SECTIONS; i++)
		if (s[i].t && s[i].empty && i != CAUSES)
			json_array_append_new(a, json_string(s[i].empty));
	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, js(v->c, notes[i]));
	return HB_OK;
}

hb_status
verify_json(verify *v, bool ok)
{
	json_t *j = json_report("hbcc.verify/1"), *nodes = json_array(), *outs = json_array();
	cli *c = v->c;

	json_object_set_new(j, "ok", json_boolean(ok));
	json_object_set_new(j, "samples", json_integer(v->samples));
	json_object_set_new(j, "uncalibrated", json_boolean(v->uncalibrated));
	json_object_set_new(j, "model", js(c, c->files[0]));
	json_object_set_new(j, "compiled", js(c, c->files[1]));
	json_object_set_new(j, "form", json_string(v->form));
	json_object_set_new(j, "march", js(c, v->march));
	for (const row *r = verify_measured(v->first); r; r = verify_measured(r->next))
		json_array_append_new(nodes, node_of(v, r));
	json_object_set_new(j, "nodes", nodes);
	for (size_t i = 0; i < v->g->noutputs; i++)
		json_array_append_new(outs, output_of(v, i));
	json_object_set_new(j, "outputs", outs);
	double from;
	const row *lost = verify_loss(v, &from);
	if (lost)
		json_object_set_new(j, "most lost at",
				    json_pack("{s:s, s:f, s:f}", "node", clean(c, verify_name(v, lost)), "from", from, "to",
					      hb_measure_cosine(&lost->measure)));
	json_t *blame = v->blame ? json_array() : NULL;
	for (size_t i = 0; i < v->nblame; i++) {
		const hb_tensor *k = v->blame[i].t;

		json_array_append_new(blame, json_pack("{s:o, s:f}", "node", js(c, k->producer ? k->producer->name : k->name), "noise",
						       v->blame[i].noise));
	}
	if (blame)
		json_object_set_new(j, "blame", blame);
	hb_status st = set_notes(v, j);
	if (st != HB_OK) {
		json_decref(j);
		return st;
	}
	return json_out(c, j, c->a.output);
}
