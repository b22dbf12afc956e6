/* verify_tables.c: what verify found, as the tables and sentences that text and HTML have alike. */
#include "cli/verify.h"

#include <math.h>

/* ---- of a row ---- */

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

double
verify_cosine(const verify *v, size_t i)
{
	const output *o = &v->outputs[i];

	return o->measure.n && !verify_counts_equal(v->g->outputs[i]) ? hb_measure_cosine(&o->measure) : NAN;
}

double
verify_cosine_centred(const verify *v, size_t i)
{
	const output *o = &v->outputs[i];

	return o->centred.n && !verify_counts_equal(v->g->outputs[i]) ? hb_measure_cosine(&o->centred) : NAN;
}

/* ---- tables ---- */

static void
cell_real(table *t, const char *fmt, double x)
{
	if (isfinite(x))
		table_cell(t, hb_arena_printf(table_arena(t), fmt, x));
	else
		table_cell(t, "--");
}

static table *
layer_table(verify *v)
{
	table *t = table_new(v->c, "Node", "ON", "Subgraph", "Type", "In/Out DataType", "Cosine Similarity",
			     "Threshold", "SQNR dB", "Clipped", "Centred dB", "L1 Distance", "L2 Distance",
			     "Chebyshev Distance", "Seen", NULL);

	for (const row *r = verify_measured(v->first); t && r; r = verify_measured(r->next)) {
		table_cell(t, verify_name(v, r));
		table_cell(t, r->q.dtype != HB_NONE ? "BPU" : "CPU");
		table_cell(t, subgraph_of(v, r));
		table_cell(t, verify_node(r)->op_type);
		table_cellf(t, "%s/%s", in_type(v, r), dtype_word(&r->q, HB_F32));
		cell_real(t, "%.6f", hb_measure_cosine(&r->measure));
		cell_real(t, "%.6g", verify_clip(&r->q));
		cell_real(t, "%.2f", hb_measure_sqnr(&r->measure));
		cell_real(t, "%.4f", r->seen ? (double)r->clipped / (double)r->seen : NAN);
		cell_real(t, "%.2f", r->centred.n ? hb_measure_sqnr(&r->centred) : NAN);
		cell_real(t, "%.6g", hb_measure_l1(&r->measure));
		cell_real(t, "%.6g", hb_measure_l2(&r->measure));
		cell_real(t, "%.6g", hb_measure_chebyshev(&r->measure));
		if (r->values)
			table_cellf(t, "%.4g..%.4g", (double)r->values->min, (double)r->values->max);
		else
			table_cell(t, "--");
	}
	return t;
}

static table *
output_table(verify *v)
{
	table *t = table_new(v->c, "Output", "Cosine Similarity", "L1 Distance", "L2 Distance", "Chebyshev Distance",
			     "SQNR dB", "Centred Cosine", "Centred dB", "Equal", NULL);

	for (size_t i = 0; t && i < v->g->noutputs; i++) {
		const hb_measure *e = &v->outputs[i].measure, *k = &v->outputs[i].centred;
		bool counts = verify_counts_equal(v->g->outputs[i]);

		table_cell(t, v->g->outputs[i]->name);
		cell_real(t, "%.6f", verify_cosine(v, i));
		cell_real(t, "%.6g", e->n ? hb_measure_l1(e) : NAN);
		cell_real(t, "%.6g", e->n ? hb_measure_l2(e) : NAN);
		cell_real(t, "%.6g", e->n ? hb_measure_chebyshev(e) : NAN);
		cell_real(t, "%.2f", e->n && !counts ? hb_measure_sqnr(e) : NAN);
		cell_real(t, "%.6f", verify_cosine_centred(v, i));
		cell_real(t, "%.2f", k->n && !counts ? hb_measure_sqnr(k) : NAN);
		cell_real(t, "%.6f", verify_equal(&v->outputs[i]));
	}
	return t;
}

static table *
cause_table(verify *v)
{
	table *t = table_new(v->c, "Layer", "Cause", "Why", NULL);

	for (const row *r = v->first; t && r; r = r->next)
		for (const cause *k = r->causes; k; k = k->next) {
			table_cell(t, verify_name(v, r));
			table_cell(t, k->word);
			table_cell(t, k->text);
		}
	return t;
}

static table *
alone_table(verify *v)
{
	table *t = table_new(v->c, "Layer alone", "Type", "DataType", "Cosine Similarity", "SQNR dB", "L1 Distance", "L2 Distance",
			     "Chebyshev Distance", NULL);

	for (const row *r = v->first; t && r; r = r->next) {
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
	return t;
}

static table *
blame_table(verify *v)
{
	table *t = table_new(v->c, "Quantized alone", "Type", "Noise/Signal", "SQNR dB", NULL);

	for (size_t i = 0; t && i < v->nblame; i++) {
		const hb_tensor *k = v->blame[i].t;

		table_cell(t, k->producer ? k->producer->name : k->name);
		table_cell(t, dtype_word(&k->q, HB_F32));
		table_cellf(t, "%.3e", v->blame[i].noise);
		cell_real(t, "%.2f", -10 * log10(v->blame[i].noise));
	}
	return t;
}

hb_status
verify_sections(verify *v, section out[SECTIONS])
{
	static const char hbm[] = "No layer's values could be compared: an .hbm shows only what lies in memory between its parts. "
				  "With compile --debug it shows every layer's output; the hbir form shows every one.",
			  onnx[] = "No layer's values could be compared: both forms have no tensor of floats of the same name and shape.",
			  causes[] = "No layer shows a known cause of loss: dead or unequal channels, outliers, clipped values, "
				     "a range that is not used, operands far apart.";
	const char *none = v->p ? hbm : onnx;
	const section all[SECTIONS] = {
		[LAYERS] = {"Layers", layer_table(v), none},
		[OUTPUTS] = {"Outputs", output_table(v), "The model has no outputs."},
		[CAUSES] = {"Causes of loss", cause_table(v), causes},
		[ALONE] = {"Each layer alone", v->layers ? alone_table(v) : NULL, "No layer can be run alone: none is seen."},
		[BLAME] = {"One activation quantized at a time", v->blame ? blame_table(v) : NULL, "No activation is quantized."},
	};
	const bool asked[SECTIONS] = {true, true, true, v->layers, v->blame};

	for (int i = 0; i < SECTIONS; i++) {
		out[i] = all[i];
		if (!out[i].t && asked[i])
			return hb_nomem(v->c->cx, NULL);
		if (table_has_rows(out[i].t))
			out[i].empty = NULL;
	}
	if (out[LAYERS].empty)
		out[CAUSES].t = NULL;
	return HB_OK;
}

/* ---- sentences ---- */

size_t
verify_seen(const verify *v, size_t *all)
{
	size_t seen = 0;

	*all = 0;
	for (const hb_node *n = v->g->first; n; n = n->next) {
		const hb_tensor *t = n->out[0];
		const row *r = t ? hb_map_get(v->rows, t->name) : NULL;

		if ((n->group && n->group->last != n) || !t || t->dtype != HB_F32)
			continue;
		++*all;
		seen += r && r->measure.n;
	}
	return seen;
}

const char *
verify_lost(verify *v)
{
	double from;
	const row *lost = verify_loss(v, &from);

	return lost ? hb_arena_printf(v->c->arena, "Most is lost at %s '%s': cosine %.6f to %.6f", clean(v->c, verify_node(lost)->op_type),
				      clean(v->c, verify_name(v, lost)), from, hb_measure_cosine(&lost->measure))
		    : NULL;
}

static const char *
output_note(verify *v, size_t i)
{
	const hb_tensor *t = v->g->outputs[i];
	const char *name = clean(v->c, t->name), *why = verify_constancy(v, i);

	if (!v->outputs[i].measure.n)
		return hb_arena_printf(v->c->arena, "Output '%s' was not compared: %s.", name,
				       hb_tensor_elems(t) ? "its shapes in the two forms differ" : "it has no values");
	if (why)
		return hb_arena_printf(v->c->arena, "'%s': %s.", name, why);
	if (verify_counts_equal(t))
		return hb_arena_printf(v->c->arena, "Output '%s' is of %s: what counts is the share that is equal.", name, hb_dtype_name(t->dtype));
	return NULL;
}

hb_status
verify_notes(verify *v, const char ***out, size_t *n)
{
	size_t all, seen = verify_seen(v, &all);
	const char **notes = *out = HB_NEW_N(v->c->arena, const char *, v->g->noutputs + 2);

	*n = 0;
	if (!notes)
		return hb_nomem(v->c->cx, NULL);
	if (v->p && seen && seen < all / 2)
		notes[(*n)++] = hb_arena_printf(v->c->arena, "%zu of %zu layers are seen: an .hbm shows only what lies in memory between its parts. "
						"With compile --debug it shows every layer's output.", seen, all);
	if (v->samples == 1)
		notes[(*n)++] = "One sample: centred figures take two or more.";
	for (size_t i = 0; i < v->g->noutputs; i++) {
		notes[*n] = output_note(v, i);
		*n += notes[*n] != NULL;
	}
	return HB_OK;
}
