/* verify.c: hbcc verify: a compiled form against the float model, tensor by tensor, over the samples.
 * Tensors are matched by name; what a fused group yields has the name it has in the float graph. */
#include "cli/layers.h"

#include <math.h>
#include <stdlib.h>

/* Sums over samples, an element each: with them the mean over samples of the float model's values is taken off both. */
typedef struct centre {
	double *ref, *got;
	size_t bytes; /* of each */
} centre;

typedef struct row { /* a tensor that both forms have */
	const char *name;
	const char *from; /* the compiled form's name of it, where another */
	hb_tensor *t;     /* of the float graph */
	hb_q q;           /* of the compiled form */
	float *ref;       /* the float model's values for this sample */
	size_t bytes;
	hb_measure measure;
	hb_measure centred; /* n 0: one sample */
	centre centre;
	int64_t clipped, seen;
	struct row *next;
} row;

typedef struct verify {
	cli *c;
	hb_graph *g;         /* float, fused */
	const hb_program *p; /* of an .hbm */
	hb_map *rows;
	row *first, **last;
	float *scratch; /* dequantized values of one tensor */
	size_t scratch_bytes;
	hb_measure *outputs; /* g->noutputs */
	hb_measure *centred; /* as many */
	centre *centres;
	hb_sensitivity *blame; /* of each activation, the worst first; NULL: not asked for */
	size_t nblame;
	layers *layers;	/* NULL: not asked for */
	hb_status st;
	int64_t samples;
} verify;

/* ---- values ---- */

static hb_status
room(verify *v, float **p, size_t *have, size_t need)
{
	if (*have >= need)
		return HB_OK;
	if (*p)
		hb_big_free(v->c->cx, *p, *have);
	*have = 0;
	*p = hb_big_alloc(v->c->cx, need);
	if (!*p)
		return hb_nomem(v->c->cx, NULL);
	*have = need;
	return HB_OK;
}

static hb_status
centre_add(verify *v, centre *k, const float *ref, const float *got, int64_t n)
{
	size_t bytes = (size_t)HB_MAX(n, 1) * sizeof(double);

	if (!k->bytes) {
		k->ref = hb_big_alloc(v->c->cx, bytes);
		k->got = k->ref ? hb_big_alloc(v->c->cx, bytes) : NULL;
		if (!k->got) {
			if (k->ref)
				hb_big_free(v->c->cx, k->ref, bytes);
			return hb_nomem(v->c->cx, NULL);
		}
		k->bytes = bytes;
		memset(k->ref, 0, bytes);
		memset(k->got, 0, bytes);
	}
	for (int64_t i = 0; i < n; i++) {
		k->ref[i] += ref[i];
		k->got[i] += got[i];
	}
	return HB_OK;
}

static void
centre_free(verify *v, centre *k)
{
	if (!k->bytes)
		return;
	hb_big_free(v->c->cx, k->ref, k->bytes);
	hb_big_free(v->c->cx, k->got, k->bytes);
	k->bytes = 0;
}

/* e with the mean over samples of the float values taken off both sides; n 0 where there is one sample. */
static hb_measure
take_centre(const verify *v, const hb_measure *e, const centre *k)
{
	hb_measure c = *e;
	double means = 0, cross = 0, count = (double)v->samples;

	if (v->samples < 2 || !k->bytes || !e->n)
		return (hb_measure){ 0 };
	for (size_t i = 0; i < k->bytes / sizeof(double); i++) {
		means += k->ref[i] * k->ref[i];
		cross += k->ref[i] * k->got[i];
	}
	c.aa = fmax(0, e->aa - means / count);
	c.dot = e->dot - cross / count;
	c.bb = fmax(0, e->bb - 2 * cross / count + means / count);
	return c;
}

/* Values as float: integers of q are dequantized into the scratch, others are taken as they are. */
static hb_status
as_float(verify *v, const hb_val *x, const hb_q *q, const float **out)
{
	int64_t n = hb_shape_elems(&x->shape);

	if (x->dtype == HB_F32) {
		*out = x->data;
		return HB_OK;
	}
	HB_TRY(room(v, &v->scratch, &v->scratch_bytes, (size_t)HB_MAX(n, 1) * sizeof(float)));
	*out = v->scratch;
	if (q && q->dtype != HB_NONE && q->dtype != HB_BOOL)
		return value_dequantize(v->c, x, q, v->scratch);
	for (int64_t i = 0; i < n; i++)
		v->scratch[i] = (float)value_at(x, i);
	return HB_OK;
}

static void
count_clipped(row *r, const hb_val *x)
{
	int64_t n = hb_shape_elems(&x->shape);

	if (x->dtype != HB_I8 && x->dtype != HB_I16)
		return;
	r->seen += n;
	for (int64_t i = 0; i < n; i++)
		r->clipped += x->dtype == HB_I8 ? ((const int8_t *)x->data)[i] == INT8_MIN ||
							  ((const int8_t *)x->data)[i] == INT8_MAX
						: ((const int16_t *)x->data)[i] == INT16_MIN ||
							  ((const int16_t *)x->data)[i] == INT16_MAX;
}

/* The float model's value of a tensor that the compiled form has: kept until the compiled form has run. */
static void
keep_reference(void *arg, hb_tensor *t, const hb_val *x)
{
	verify *v = arg;
	row *r = t->producer ? hb_map_get(v->rows, t->name) : NULL;
	size_t bytes = (size_t)hb_shape_elems(&x->shape) * sizeof(float);

	if (!r || x->dtype != HB_F32 || v->st != HB_OK || !bytes)
		return;
	v->st = room(v, &r->ref, &r->bytes, bytes);
	if (v->st == HB_OK)
		memcpy(r->ref, x->data, bytes);
}

static void
compare(verify *v, const char *name, const hb_val *x, const hb_q *q)
{
	row *r = hb_map_get(v->rows, name);
	const float *got;

	if (!r || !r->ref || (r->from && strcmp(r->from, name)) || v->st != HB_OK ||
	    !hb_shape_eq(&x->shape, &r->t->shape))
		return;
	if (x->dtype != HB_F32 && (!q || q->dtype == HB_NONE || q->dtype == HB_BOOL))
		return;
	r->q = q ? *q : (hb_q){0};
	v->st = as_float(v, x, q, &got);
	if (v->st != HB_OK)
		return;
	hb_measure_add(&r->measure, r->ref, got, hb_shape_elems(&x->shape));
	v->st = centre_add(v, &r->centre, r->ref, got, hb_shape_elems(&x->shape));
	count_clipped(r, x);
	if (v->layers && v->st == HB_OK)
		v->st = layers_saw(v->layers, r->t, got, x->dtype != HB_F32);
}

/* Integers that the compiled form makes of the float tensor `name`. */
static void
see_border(verify *v, const char *name, const hb_val *x, const hb_q *q)
{
	const hb_tensor *t = v->layers && v->st == HB_OK ? hb_tensor_find(v->g, name) : NULL;
	const float *values;

	if (!t || x->dtype == HB_F32 || !q || q->dtype == HB_NONE || q->dtype == HB_BOOL || !hb_shape_eq(&x->shape, &t->shape))
		return;
	v->st = as_float(v, x, q, &values);
	if (v->st == HB_OK)
		v->st = layers_saw_border(v->layers, t, values);
}

static void
tap_program(void *arg, const char *name, const hb_val *x, const hb_q *q)
{
	verify *v = arg;
	const hb_tensor *t = hb_tensor_find(v->g, name);

	if (t && t->is_input)
		see_border(v, name, x, q);
	compare(v, name, x, q);
}

static void
tap_graph(void *arg, hb_tensor *t, const hb_val *x)
{
	if (t->producer && !strcmp(t->producer->op_type, "QuantizeLinear"))
		see_border(arg, t->producer->in[0]->name, x, &t->q);
	compare(arg, t->name, x, &t->q);
}

static hb_status
add_row(verify *v, const char *name, const hb_q *q)
{
	hb_tensor *t = hb_tensor_find(v->g, name);
	row *r;

	if (!t || !t->producer || hb_map_get(v->rows, name))
		return HB_OK;
	r = HB_NEW(v->c->arena, row);
	if (!r || !hb_map_put(v->rows, t->name, r))
		return hb_nomem(v->c->cx, NULL);
	r->name = t->name;
	r->t = t;
	r->q = *q;
	*v->last = r;
	v->last = &r->next;
	return HB_OK;
}

/* ---- report ---- */

static const hb_node *
node_of(const row *r)
{
	return r->t->producer->group ? r->t->producer->group->root : r->t->producer;
}

static const char *
name_of(verify *v, const row *r)
{
	const hb_node *n = r->t->producer;

	return r->t->out_index ? hb_arena_printf(v->c->arena, "%s:%d", n->name, r->t->out_index) : n->name;
}

/* How far before a node its inputs' cosines are looked for, through nodes that were not measured. */
enum { BEFORE = 6 };

/* The least cosine of what node n reads, as far as it is known; further back, of what comes by the first inputs. */
static double
cosine_in(const verify *v, const hb_node *n, const row *but, double least, int depth)
{
	for (int i = 0; n && i < n->nin; i++) {
		const row *r = n->in[i] ? hb_map_get(v->rows, n->in[i]->name) : NULL;

		if (r == but && r)
			continue;
		if (r && r->measure.n)
			least = fmin(least, hb_measure_cosine(&r->measure));
		else if (n->in[i] && i * depth == 0 && depth < BEFORE)
			least = cosine_in(v, n->in[i]->producer, but, least, depth + 1);
	}
	return least;
}

/* The node at which the cosine falls most below what it reads; *from: the cosine of that. NULL: none falls. */
static const row *
worst_loss(const verify *v, double *from)
{
	const row *worst = NULL;
	double most = 0;

	*from = 1;
	for (const row *r = v->first; r; r = r->next) {
		const hb_group *g = r->t->producer->group;
		double before = cosine_in(v, g ? g->root : r->t->producer, r, 1, 0);

		if (!r->measure.n)
			continue;
		before = cosine_in(v, g ? g->add : NULL, r, before, 0);
		if (before - hb_measure_cosine(&r->measure) <= most)
			continue;
		most = before - hb_measure_cosine(&r->measure);
		*from = before;
		worst = r;
	}
	return worst;
}

static const char *
in_type(verify *v, const row *r)
{
	const hb_node *n = node_of(r);
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
		table_cell(t, name_of(v, r));
		table_cell(t, node_of(r)->op_type);
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

static hb_status
out_text(verify *v, bool uncalibrated)
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
		table_cell(t, name_of(v, r));
		table_cell(t, r->q.dtype != HB_NONE ? "BPU" : "CPU");
		table_cell(t, subgraph_of(v, r));
		table_cell(t, node_of(r)->op_type);
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
	const row *lost = worst_loss(v, &from);
	if (lost)
		printf("\nMost is lost at %s '%s': cosine %.6f to %.6f\n", clean(v->c, node_of(lost)->op_type),
		       clean(v->c, name_of(v, lost)), from, hb_measure_cosine(&lost->measure));
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

static hb_status
out_json(verify *v, bool ok, bool uncalibrated)
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
		json_object_set_new(o, "node", js(c, name_of(v, r)));
		json_object_set_new(o, "op", js(c, node_of(r)->op_type));
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
	const row *lost = worst_loss(v, &from);
	if (lost)
		json_object_set_new(j, "most lost at",
				    json_pack("{s:s, s:f, s:f}", "node", clean(c, name_of(v, lost)), "from", from, "to",
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

/* ---- running both ---- */

typedef struct second { /* the compiled form */
	hb_program *p;
	hb_sim *sim;
	hb_graph *g;
	hb_exec *ex;
	hb_val *out;
	size_t nout;
} second;

static hb_status
second_run(second *s, verify *v, const hb_val *in)
{
	if (s->p)
		return hb_sim_run(s->sim, in, s->out);
	return hb_exec_run(s->ex, in, s->out, tap_graph, v);
}

static hb_status
all_samples(verify *v, second *s, hb_exec *ex, samples *data)
{
	cli *c = v->c;
	hb_val *in = HB_NEW_N(c->arena, hb_val, v->g->ninputs + 1),
	       *out = HB_NEW_N(c->arena, hb_val, v->g->noutputs + 1);
	float **ref = HB_NEW_N(c->arena, float *, v->g->noutputs + 1);
	size_t *bytes = HB_NEW_N(c->arena, size_t, v->g->noutputs + 1);
	bool more = true;
	hb_status st = HB_OK;

	if (!in || !out || !ref || !bytes)
		return hb_nomem(c->cx, NULL);
	for (int64_t k = 0; st == HB_OK; k++) {
		st = samples_get(data, k, in, &more);
		if (st != HB_OK || !more)
			break;
		st = hb_exec_run(ex, in, out, keep_reference, v);
		for (size_t i = 0; st == HB_OK && i < v->g->noutputs; i++) {
			size_t need = (size_t)hb_shape_elems(&out[i].shape) * sizeof(float);
			const float *values;

			if (!need)
				continue;
			st = as_float(v, &out[i], NULL, &values);
			if (st == HB_OK)
				st = room(v, &ref[i], &bytes[i], need);
			if (st == HB_OK)
				memcpy(ref[i], values, need);
		}
		if (st == HB_OK)
			st = second_run(s, v, in);
		for (size_t i = 0; st == HB_OK && i < HB_MIN(v->g->noutputs, s->nout); i++) {
			const hb_q *q = s->g ? &s->g->outputs[i]->q : NULL;
			const float *got;

			if (!ref[i] || !hb_shape_eq(&s->out[i].shape, &v->g->outputs[i]->shape))
				continue;
			st = as_float(v, &s->out[i], q, &got);
			if (st == HB_OK)
				hb_measure_add(&v->outputs[i], ref[i], got, hb_shape_elems(&s->out[i].shape));
			if (st == HB_OK)
				st = centre_add(v, &v->centres[i], ref[i], got, hb_shape_elems(&s->out[i].shape));
		}
		st = st == HB_OK ? v->st : st;
		if (st == HB_OK && v->layers)
			st = layers_run(v->layers, in);
		v->samples = k + 1;
		hb_progress(c->cx, "verify", k + 1, 0);
	}
	for (size_t i = 0; i < v->g->noutputs; i++)
		if (ref[i])
			hb_big_free(c->cx, ref[i], bytes[i]);
	return st;
}

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

static hb_status
rows_make(verify *v, const second *s)
{
	v->rows = hb_map_new(v->c->arena);
	if (!v->rows)
		return hb_nomem(v->c->cx, NULL);
	v->last = &v->first;
	for (const hb_node *n = s->g ? s->g->first : NULL; n; n = n->next)
		for (int i = 0; i < n->nout; i++)
			if (n->out[i])
				HB_TRY(add_row(v, n->out[i]->name, &n->out[i]->q));
	/* where the fixed-point form ends, its integers are compared, not what they are dequantized to */
	for (const hb_node *n = s->g ? s->g->first : NULL; n; n = n->next) {
		bool ends = !*n->domain && !strcmp(n->op_type, "DequantizeLinear") && n->in[0]->producer &&
			    !strcmp(n->in[0]->producer->domain, "hbcc");
		row *r = ends ? hb_map_get(v->rows, n->out[0]->name) : NULL;

		if (!r || hb_map_get(v->rows, n->in[0]->name))
			continue;
		r->from = n->in[0]->name;
		r->q = n->in[0]->q;
		if (!hb_map_put(v->rows, r->from, r))
			return hb_nomem(v->c->cx, NULL);
	}
	/* an .hbm's tensors in the order of the float graph's nodes */
	for (const hb_node *n = s->p ? v->g->first : NULL; n; n = n->next)
		for (int i = 0; i < n->nout; i++)
			for (size_t k = 0; n->out[i] && k < s->p->nplaces; k++)
				if (!strcmp(s->p->places[k].name, n->out[i]->name))
					HB_TRY(add_row(v, n->out[i]->name, &s->p->places[k].q));
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
		hb_note(c->cx, NULL, "first-below", "the first below %g is %s '%s': %.6f", c->a.min_cosine, node_of(first)->op_type,
			name_of(v, first), hb_measure_cosine(&first->measure));
	for (size_t i = 0; i < HB_MIN(n, WORST); i++)
		hb_note(c->cx, NULL, "worst", "%zu. %s '%s': %.6f", i + 1, node_of(all[i])->op_type, name_of(v, all[i]),
			hb_measure_cosine(&all[i]->measure));
	return HB_OK;
}

/* Raw cosine applauds an output that hardly varies. */
static void
warn_of_constancy(verify *v)
{
	for (size_t i = 0; i < v->g->noutputs; i++) {
		const hb_measure *e = &v->outputs[i], *k = &v->centred[i];

		if (k->n && e->aa > 0 && k->aa < e->aa * 0.01)
			hb_warn(v->c->cx, v->g->outputs[i]->name, "hardly-varies",
				"output varies over the samples with %.2g %% of its energy only: its cosine says little; centred signal to noise is %.2f dB",
				k->aa / e->aa * 100, hb_measure_sqnr(k));
	}
}

static hb_status
gate(verify *v, const char *path)
{
	hb_status st = HB_OK;
	double from;
	const row *lost = worst_loss(v, &from);

	v->c->cx->file = path;
	for (size_t i = 0; v->c->set[O_min_cosine] && i < v->g->noutputs; i++) {
		double cosine = hb_measure_cosine(&v->outputs[i]);

		if (!v->outputs[i].n || cosine >= v->c->a.min_cosine)
			continue;
		st = hb_error(
			v->c->cx, HB_ERR_NO, NULL, "min-cosine",
			"output '%s' has cosine %.6f; at least %g is asked for; most is lost at %s '%s': %.6f to %.6f",
			v->g->outputs[i]->name, cosine, v->c->a.min_cosine, lost ? node_of(lost)->op_type : "node",
			lost ? name_of(v, lost) : "--", from, lost ? hb_measure_cosine(&lost->measure) : cosine);
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
	hb_sim_options o = {.tap = tap_program, .arg = v};
	port *ports;
	samples *data;
	hb_status st;

	v->p = s->p;
	if (c->a.by_layer)
		HB_TRY(layers_new(c, v->g, &v->layers));
	HB_TRY(rows_make(v, s));
	HB_TRY(graph_ports(c, v->g, &ports));
	HB_TRY(samples_open(c, &c->a.calib, ports, v->g->ninputs, &data));
	v->outputs = HB_NEW_N(c->arena, hb_measure, v->g->noutputs + 1);
	v->centred = HB_NEW_N(c->arena, hb_measure, v->g->noutputs + 1);
	v->centres = HB_NEW_N(c->arena, centre, v->g->noutputs + 1);
	s->out = HB_NEW_N(c->arena, hb_val, s->nout + 1);
	if (!v->outputs || !v->centred || !v->centres || !s->out)
		return hb_nomem(c->cx, NULL);
	hb_exec *ex = hb_exec_new(v->g, &st);
	if (!ex)
		return st;
	if (s->p)
		st = hb_sim_new(c->cx, s->p, &m->fig, &o, &s->sim);
	else
		s->ex = hb_exec_new(s->g, &st);
	if (s->sim || s->ex)
		st = all_samples(v, s, ex, data);
	if (st == HB_OK && c->a.blame)
		st = find_blame(v, data);
	for (row *r = v->first; r; r = r->next) {
		r->centred = take_centre(v, &r->measure, &r->centre);
		centre_free(v, &r->centre);
	}
	for (size_t i = 0; i < v->g->noutputs; i++) {
		v->centred[i] = take_centre(v, &v->outputs[i], &v->centres[i]);
		centre_free(v, &v->centres[i]);
	}
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
	HB_TRY(second_open(c, c->files[1], &s, &m));
	HB_TRY(read_float(c, c->files[0], &s, &v.g));
	c->cx->file = c->files[1];
	HB_TRY(same_ports(c, v.g, &s));
	HB_TRY(hb_pass_simplify(v.g));
	HB_TRY(hb_pass_recognise(v.g));
	HB_TRY(hb_pass_expand(v.g, m));
	HB_TRY(hb_pass_fuse(v.g));
	hb_status st = compare_forms(&v, &s, m);
	if (st != HB_OK && st != HB_ERR_NO)
		return st;
	bool json = c->a.format && !strcmp(c->a.format, "json");
	HB_TRY(json ? out_json(&v, st == HB_OK, uncalibrated_of(&s)) : out_text(&v, uncalibrated_of(&s)));
	return st;
}

const command command_verify = {
	.name = "verify",
	.files = "MODEL.onnx MODEL.hbm|MODEL.hbir.onnx",
	.summary = "Hold a compiled form against the float model over samples: cosine, distances, signal to noise.",
	.min_files = 2,
	.max_files = 2,
	.options = (const opt_id[]){O_calib, O_march, O_min_cosine, O_blame, O_by_layer, O_report_format, O_name, O_END},
	.run = run,
};
