/* sensitivity: takes a calibrated graph; measures, an edge at a time, what quantizing it alone does to the outputs of
 * the float model. What stands before the edge is computed once. */
#include "lib/pass/walk.h"

#include <math.h>

enum { SAMPLES = 2 };

/* Whether t has a scale of its own, not one passed on to it, and on m could have a wider one, without copies for some of its
 * readers: what those cost is not known here. */
static bool
could_rise(const hb_march *m, const hb_tensor *t)
{
	const hb_node *n = t->producer;

	if (t->is_const || t->dtype != HB_F32 || (t->q.dtype != HB_I8 && (m || t->q.dtype != HB_I16)) || t->q.nscales < 1 || t->q.from != HB_Q_OPEN)
		return false;
	if (n && n->on == HB_ON_BPU) {
		hb_role role = n->group ? hb_is_function(n->group) ? HB_ROLE_OWN : n->group->root->op->role : n->op->role;

		if (role != HB_ROLE_OWN && (role != HB_ROLE_CAT || hb_q_same(&t->q, &n->in[0]->q)))
			return false;
	}
	return !m || hb_march_takes(m, t, HB_I16);
}

typedef struct probe {
	hb_graph *g;
	hb_walk *w;			/* lanes in pairs: a sample's float values, and those that the edge changes */
	bool *changed;			/* of each tensor, by id */
	const hb_refine_options *o;
} probe;

/* Noise at the outputs over the values there, the largest. */
static double
noise_of(const probe *p, int samples)
{
	double most = 0;

	for (size_t i = 0; i < p->g->noutputs; i++) {
		const hb_tensor *t = p->g->outputs[i];
		hb_measure e = { 0 };

		if (!p->changed[t->id] || t->dtype != HB_F32)
			continue;
		for (int k = 0; k < samples; k++)
			hb_measure_add(&e, hb_walk_val(p->w, t, 2 * k)->data, hb_walk_val(p->w, t, 2 * k + 1)->data, hb_tensor_elems(t));
		most = fmax(most, e.aa > 0 ? e.dd / e.aa : 0);
	}
	return most;
}

static bool
reads_changed(const probe *p, const hb_node *n)
{
	for (int i = 0; i < n->nin; i++)
		if (n->in[i] && p->changed[n->in[i]->id])
			return true;
	return false;
}

/* Lane 2k + 1 of node n's operands is lane 2k where nothing changed. */
static hb_status
run_changed(probe *p, hb_node *n, int samples)
{
	for (int k = 0; k < samples; k++) {
		for (int i = 0; i < n->nin; i++)
			if (n->in[i] && !n->in[i]->is_const && !p->changed[n->in[i]->id])
				hb_walk_lend(p->w, n->in[i], 2 * k, 2 * k + 1);
		HB_TRY(hb_walk_node(p->w, n, n, 2 * k + 1, 2 * k + 2));
	}
	for (int i = 0; i < n->nout; i++)
		if (n->out[i])
			p->changed[n->out[i]->id] = true;
	return HB_OK;
}

static hb_status
probe_edge(probe *p, hb_tensor *t, int samples, double *noise)
{
	memset(p->changed, 0, (size_t)p->g->next_tensor);
	p->changed[t->id] = true;
	for (int k = 0; k < samples; k++) {
		HB_TRY(hb_walk_copy(p->w, t, 2 * k, 2 * k + 1));
		hb_val *v = hb_walk_val(p->w, t, 2 * k + 1);
		hb_fake_quant(p->g->cx, v->data, &t->q, &v->shape, p->o->round, v->data);
	}
	for (hb_node *n = t->producer ? t->producer->next : p->g->first; n; n = n->next)
		if (reads_changed(p, n))
			HB_TRY(run_changed(p, n, samples));
	*noise = noise_of(p, samples);
	return HB_OK;
}

static hb_status
probe_all(probe *p, const hb_march *m, hb_sensitivity *s, size_t *n)
{
	hb_graph *g = p->g;
	size_t total = 0;
	int samples;

	HB_TRY(hb_walk_samples(p->w, p->o, SAMPLES, 2, &samples));
	for (hb_tensor *t = g->tensors; t; t = t->next) {
		hb_walk_keep(p->w, t);
		total += could_rise(m, t);
	}
	for (hb_node *k = g->first; k; k = k->next)
		for (int i = 0; i < samples; i++)
			HB_TRY(hb_walk_node(p->w, k, k, 2 * i, 2 * i + 1));
	for (hb_tensor *t = g->tensors; t; t = t->next) {
		if (!could_rise(m, t))
			continue;
		s[*n].t = t;
		HB_TRY(probe_edge(p, t, samples, &s[*n].noise));
		hb_progress(g->cx, "sensitivity", (int64_t)++*n, (int64_t)total);
	}
	return HB_OK;
}

hb_status
hb_pass_sensitivity(hb_graph *g, const hb_march *m, const hb_refine_options *o, hb_sensitivity **out, size_t *n)
{
	hb_arena *a = hb_arena_new(g->cx);
	probe p = { .g = g, .o = o, .changed = a ? HB_NEW_N(a, bool, g->next_tensor) : NULL };

	*n = 0;
	*out = HB_NEW_N(g->arena, hb_sensitivity, g->ntensors);
	if (!p.changed || !*out) {
		hb_arena_free(a);
		return hb_nomem(g->cx, NULL);
	}
	hb_status st = hb_walk_new(g, 2 * SAMPLES, &p.w);
	if (st == HB_OK) {
		st = probe_all(&p, m, *out, n);
		hb_walk_free(p.w);
	}
	hb_arena_free(a);
	return st;
}
