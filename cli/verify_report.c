/* verify_report.c: what verify found, as tables and as JSON. */
#include "cli/verify.h"

#include <math.h>

static const char *
in_type(verify *v, const row *r)
{
	const hb_node *n = verify_node(r);
	const row *from = n->nin && n->in[0] ? hb_map_get(v->rows, n->in[0]->name) : NULL;

	return from ? dtype_word(&from->q, HB_F32) : r->q.dtype == HB_NONE ? "float32" : "int8";
}

/* An .hbm says to which of its BPU segments a node belongs. */
static const char *
subgraph_of(const verify *v, const row *r)
{
	int bpu = 0;

	for (size_t i = 0; v->p && i < v->p->nnodes; i++) {
		const hb_node_row *n = &v->p->nodes[i];

		if (strcmp(n->name, r->t->producer->name) || n->segment < 0 || v->p->segments[n->segment].cpu)
			continue;
		for (int k = 0; k < n->segment; k++)
			bpu += !v->p->segments[k].cpu;
		return hb_arena_printf(v->c->arena, "id(%d)", bpu);
	}
	return "--";
}

static void
cell_real(table *t, const char *fmt, double x)
{
	if (isfinite(x))
		table_cell(t, hb_arena_printf(table_arena(t), fmt, x));
	else
		table_cell(t, "--");
}

/* Of each layer alone. */
static hb_status
out_layers(verify *v)
{
	table *t = table_new(v->c, "Layer alone", "Type", "DataType", "Cosine Similarity", "SQNR dB", "L1 Distance", "L2 Distance",
			     "Chebyshev Distance", NULL);

	if (!t)
		return hb_nomem(v->c->cx, NULL);
	for (const row *r = v->first; r; r = r->next) {
		const hb_measure *e = layers_measure(v->layers, r->t);

		if (!e->n)
			continue;
		table_cell(t, verify_name(v, r));
		table_cell(t, verify_node(r)->op_type);
		table_cell(t, dtype_word(&r->q, HB_F32));
		cell_real(t, "%.6f", hb_measure_cosine(e));
		cell_real(t, "%.2f", hb_measure_sqnr(e));
		cell_real(t, "%.6g", hb_measure_l1(e));
		cell_real(t, "%.6g", hb_measure_l2(e));
		cell_real(t, "%.6g", hb_measure_chebyshev(e));
	}
	putchar('\n');
	table_text(t, stdout);
	return HB_OK;
}

hb_status
verify_text(verify *v, bool uncalibrated)
{
	table *t = table_new(v->c, "Node", "ON", "Subgraph", "Type", "In/Out DataType", "Cosine Similarity",
			     "Threshold", "SQNR dB", "Clipped", "Centred dB", "L1 Distance", "L2 Distance",
			     "Chebyshev Distance", NULL);
	table *o = table_new(v->c, "Output", "Cosine Similarity", "L1 Distance", "L2 Distance", "Chebyshev Distance",
			     "SQNR dB", "Centred Cosine", "Centred dB", NULL);

	if (!t || !o)
		return hb_nomem(v->c->cx, NULL);
	for (const row *r = v->first; r; r = r->next) {
		if (!r->measure.n)
			continue;
		table_cell(t, verify_name(v, r));
		table_cell(t, r->q.dtype != HB_NONE ? "BPU" : "CPU");
		table_cell(t, subgraph_of(v, r));
		table_cell(t, verify_node(r)->op_type);
		table_cellf(t, "%s/%s", in_type(v, r), dtype_word(&r->q, HB_F32));
		cell_real(t, "%.6f", hb_measure_cosine(&r->measure));
		cell_real(t, "%.6g",
			  r->q.dtype == HB_I8 && r->q.nscales <= 1    ? (double)r->q.scale * 127
			  : r->q.dtype == HB_I16 && r->q.nscales <= 1 ? (double)r->q.scale * 32767
								      : NAN);
		cell_real(t, "%.2f", hb_measure_sqnr(&r->measure));
		cell_real(t, "%.4f", r->seen ? (double)r->clipped / (double)r->seen : NAN);
		cell_real(t, "%.2f", r->centred.n ? hb_measure_sqnr(&r->centred) : NAN);
		cell_real(t, "%.6g", hb_measure_l1(&r->measure));
		cell_real(t, "%.6g", hb_measure_l2(&r->measure));
		cell_real(t, "%.6g", hb_measure_chebyshev(&r->measure));
	}
	for (size_t i = 0; i < v->g->noutputs; i++) {
		const hb_measure *e = &v->outputs[i];

		if (!e->n)
			continue;
		table_cell(o, v->g->outputs[i]->name);
		cell_real(o, "%.6f", hb_measure_cosine(e));
		cell_real(o, "%.6g", hb_measure_l1(e));
		cell_real(o, "%.6g", hb_measure_l2(e));
		cell_real(o, "%.6g", hb_measure_chebyshev(e));
		cell_real(o, "%.2f", hb_measure_sqnr(e));
		cell_real(o, "%.6f", v->centred[i].n ? hb_measure_cosine(&v->centred[i]) : NAN);
		cell_real(o, "%.2f", v->centred[i].n ? hb_measure_sqnr(&v->centred[i]) : NAN);
	}
	table_text(t, stdout);
	putchar('\n');
	table_text(o, stdout);
	if (v->layers)
		HB_TRY(out_layers(v));
	double from;
	const row *lost = verify_loss(v, &from);
	if (lost)
		printf("\nMost is lost at %s '%s': cosine %.6f to %.6f\n", clean(v->c, verify_node(lost)->op_type),
		       clean(v->c, verify_name(v, lost)), from, hb_measure_cosine(&lost->measure));
	if (v->blame) {
		table *b = table_new(v->c, "Quantized alone", "Type", "Noise/Signal", "SQNR dB", NULL);

		if (!b)
			return hb_nomem(v->c->cx, NULL);
		for (size_t i = 0; i < v->nblame; i++) {
			const hb_tensor *k = v->blame[i].t;

			table_cell(b, k->producer ? k->producer->name : k->name);
			table_cell(b, dtype_word(&k->q, HB_F32));
			table_cellf(b, "%.3e", v->blame[i].noise);
			cell_real(b, "%.2f", -10 * log10(v->blame[i].noise));
		}
		putchar('\n');
		table_text(b, stdout);
	}
	printf("\n%lld samples%s\n", (long long)v->samples, uncalibrated ? "; uncalibrated" : "");
	return HB_OK;
}

/* What nodes and outputs have alike, beside cosine and sqnr. */
static void
set_distances(json_t *o, const hb_measure *e, const hb_measure *m)
{
	json_object_set_new(o, "l1", e->n ? js_real(hb_measure_l1(e)) : json_null());
	json_object_set_new(o, "l2", e->n ? js_real(hb_measure_l2(e)) : json_null());
	json_object_set_new(o, "chebyshev", e->n ? js_real(hb_measure_chebyshev(e)) : json_null());
	json_object_set_new(o, "centred_cosine", m->n ? js_real(hb_measure_cosine(m)) : json_null());
	json_object_set_new(o, "centred_sqnr", m->n ? js_real(hb_measure_sqnr(m)) : json_null());
}

hb_status
verify_json(verify *v, bool ok, bool uncalibrated)
{
	json_t *j = json_report("hbcc.verify/1"), *nodes = json_array(), *outs = json_array();
	cli *c = v->c;

	json_object_set_new(j, "ok", json_boolean(ok));
	json_object_set_new(j, "samples", json_integer(v->samples));
	json_object_set_new(j, "uncalibrated", json_boolean(uncalibrated));
	for (const row *r = v->first; r; r = r->next) {
		json_t *o = json_object();

		if (!r->measure.n) {
			json_decref(o);
			continue;
		}
		json_object_set_new(o, "node", js(c, verify_name(v, r)));
		json_object_set_new(o, "op", js(c, verify_node(r)->op_type));
		json_object_set_new(o, "on", json_string(r->q.dtype != HB_NONE ? "BPU" : "CPU"));
		json_object_set_new(o, "cosine", js_real(hb_measure_cosine(&r->measure)));
		json_object_set_new(o, "sqnr", js_real(hb_measure_sqnr(&r->measure)));
		json_object_set_new(o, "clipped",
				    r->seen ? js_real((double)r->clipped / (double)r->seen) : json_null());
		json_object_set_new(o, "dtype", json_string(dtype_word(&r->q, HB_F32)));
		json_object_set_new(o, "scale",
				    r->q.dtype != HB_NONE && r->q.nscales <= 1 ? js_real(r->q.scale) : json_null());
		set_distances(o, &r->measure, &r->centred);
		const hb_measure *alone = v->layers ? layers_measure(v->layers, r->t) : NULL;
		if (alone && alone->n)
			json_object_set_new(o, "alone", json_pack("{s:o, s:o, s:o}", "cosine", js_real(hb_measure_cosine(alone)), "sqnr",
								  js_real(hb_measure_sqnr(alone)), "chebyshev",
								  js_real(hb_measure_chebyshev(alone))));
		json_array_append_new(nodes, o);
	}
	json_object_set_new(j, "nodes", nodes);
	for (size_t i = 0; i < v->g->noutputs; i++) {
		const hb_measure *e = &v->outputs[i];
		json_t *o = json_object();

		json_object_set_new(o, "name", js(c, v->g->outputs[i]->name));
		json_object_set_new(o, "cosine", e->n ? js_real(hb_measure_cosine(e)) : json_null());
		json_object_set_new(o, "sqnr", e->n ? js_real(hb_measure_sqnr(e)) : json_null());
		set_distances(o, e, &v->centred[i]);
		json_array_append_new(outs, o);
	}
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
	return json_out(c, j, NULL);
}
