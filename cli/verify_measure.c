/* verify_measure.c: both forms on every sample, and what their tensors have apart. */
#include "cli/verify.h"

#include <math.h>

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

void
verify_centre_free(verify *v, centre *k)
{
	if (!k->bytes)
		return;
	hb_big_free(v->c->cx, k->ref, k->bytes);
	hb_big_free(v->c->cx, k->got, k->bytes);
	k->bytes = 0;
}

hb_measure
verify_centred(const verify *v, const hb_measure *e, const centre *k)
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

	verify_watched(v, t, x);
	if (!r || x->dtype != HB_F32 || v->st != HB_OK || !bytes)
		return;
	v->st = room(v, &r->ref, &r->bytes, bytes);
	if (v->st != HB_OK)
		return;
	memcpy(r->ref, x->data, bytes);
	if (!v->wants_values || !hb_shape_eq(&x->shape, &t->shape))
		return;
	if (!r->values && !(r->values = spread_new(v->c->arena, t)))
		v->st = hb_nomem(v->c->cx, t->name);
	else
		spread_add(v->c->cx, r->values, t, x->data);
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

void
verify_tap(void *arg, const char *name, const hb_val *x, const hb_q *q)
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

/* ---- rows ---- */

hb_status
verify_rows(verify *v, const second *s)
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

row *
verify_measured(row *r)
{
	while (r && !r->measure.n)
		r = r->next;
	return r;
}

const hb_node *
verify_node(const row *r)
{
	return r->t->producer->group ? r->t->producer->group->root : r->t->producer;
}

const char *
verify_name(verify *v, const row *r)
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

const row *
verify_loss(const verify *v, double *from)
{
	const row *worst = NULL;
	double most = 1e-12;	/* less is rounding of a cosine */

	*from = 1;
	for (const row *r = v->first; r; r = r->next) {
		const hb_group *g = r->t->producer->group;
		double before = cosine_in(v, g ? g->root : r->t->producer, r, 1, 0);

		if (!r->measure.n)
			continue;
		before = cosine_in(v, g ? g->add : NULL, r, before, 0);
		if (!(before - hb_measure_cosine(&r->measure) > most))
			continue;
		most = before - hb_measure_cosine(&r->measure);
		*from = before;
		worst = r;
	}
	return worst;
}

/* ---- running both ---- */

static hb_status
second_run(second *s, verify *v, const hb_val *in)
{
	if (s->p)
		return hb_sim_run(s->sim, in, s->out);
	return hb_exec_run(s->ex, in, s->out, tap_graph, v);
}

static void
count_equal(output *o, const hb_val *ref, const hb_val *got)
{
	int64_t n = hb_shape_elems(&ref->shape);

	if (ref->dtype == HB_F32)
		return;
	o->seen += n;
	for (int64_t k = 0; k < n; k++)
		o->equal += value_at(ref, k) == value_at(got, k);
}

hb_status
verify_samples(verify *v, second *s, hb_exec *ex, samples *data)
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
				hb_measure_add(&v->outputs[i].measure, ref[i], got, hb_shape_elems(&s->out[i].shape));
			if (st == HB_OK)
				st = centre_add(v, &v->outputs[i].centre, ref[i], got, hb_shape_elems(&s->out[i].shape));
			if (st == HB_OK)
				count_equal(&v->outputs[i], &out[i], &s->out[i]);
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
