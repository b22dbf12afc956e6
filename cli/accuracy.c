/* accuracy.c: what compile does for accuracy once scales are chosen: biases and weights refined over the samples, and
 * with --auto-int16 the fewest cycles' worth of edges raised to qint16 until --min-cosine holds. */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>

/* An edge and what raising it gives for what it costs. */
typedef struct gain {
	hb_tensor *t;
	double noise;
	uint64_t cycles;	/* more, by the estimator */
	size_t place;
} gain;

typedef struct raising {
	cli *c;
	hb_graph *g;
	const hb_march *m;
	hb_calib_options calib;	/* from ranges: no pass over the samples */
	hb_refine_options refine;
	const hb_calib_options *said;
	hb_map *raised;		/* names of the edges that are qint16 */
	hb_qconfig wide;	/* the configuration that quant_of gave last */
	gain *gains;
	size_t n;
} raising;

/* The configuration of t, qint16 where it is raised. */
static const hb_qconfig *
quant_of(void *arg, const hb_node *n, const hb_tensor *t)
{
	raising *r = arg;
	const hb_qconfig *q = r->said->config ? r->said->config(r->said->config_arg, n, t) : NULL;

	if (!hb_map_get(r->raised, t->name))
		return q;
	r->wide = q ? *q : r->said->activations;
	r->wide.dtype = HB_I16;
	return &r->wide;
}

/* The first k gains raised, scales and biases chosen for that; *cosine of the worst output. */
static hb_status
raise(raising *r, size_t k, double *cosine)
{
	r->raised = hb_map_new(r->c->arena);
	for (size_t i = 0; r->raised && i < k; i++)
		if (!hb_map_put(r->raised, r->gains[i].t->name, r))
			r->raised = NULL;
	if (!r->raised)
		return hb_nomem(r->c->cx, NULL);
	HB_TRY(hb_pass_calibrate(r->g, &r->calib));
	return hb_pass_refine(r->g, &r->refine, cosine);
}

/* Cycles of each node of the graph as it is quantized now, by name. */
static hb_status
cycles_of(raising *r, hb_map **out)
{
	hb_graph *fixed;
	hb_program *p;
	hb_estimate e;

	*out = hb_map_new(r->c->arena);
	HB_TRY(model_convert(r->c, r->g, r->m, &fixed));
	HB_TRY(model_schedule(r->c, fixed, r->m, &p));
	HB_TRY(hb_estimate_run(r->c->cx, p, &r->m->fig, r->c->arena, NULL, NULL, &e));
	for (size_t i = 0; *out && i < p->nnodes; i++) {
		uint64_t *v = HB_NEW(r->c->arena, uint64_t);

		if (!v || !hb_map_put(*out, p->nodes[i].name, v))
			return hb_nomem(r->c->cx, NULL);
		*v = e.layers[i].cycles + e.layers[i].dma_cycles;
	}
	hb_graph_free(fixed);
	return *out ? HB_OK : hb_nomem(r->c->cx, NULL);
}

static uint64_t
grown(hb_map *narrow, hb_map *wide, const hb_node *n)
{
	const char *name = n->group ? n->group->last->name : n->name;
	const uint64_t *a = hb_map_get(narrow, name), *b = hb_map_get(wide, name);

	return a && b && *b > *a ? *b - *a : 0;
}

static int
by_worth(const void *a, const void *b)
{
	const gain *x = a, *y = b;
	double p = x->noise / (double)(x->cycles + 1), q = y->noise / (double)(y->cycles + 1);

	return p < q ? 1 : p > q ? -1 : x->place < y->place ? -1 : x->place > y->place;
}

/* Edges by noise a cycle. What reads an edge pays for its width: the growth of a node's cycles when all is qint16 is its
 * inputs'. */
static hb_status
list_gains(raising *r)
{
	hb_sensitivity *s;
	hb_map *narrow, *wide;
	double cosine;

	HB_TRY(hb_pass_sensitivity(r->g, r->m, &r->refine, &s, &r->n));
	r->gains = HB_NEW_N(r->c->arena, gain, r->n + 1);
	if (!r->gains)
		return hb_nomem(r->c->cx, NULL);
	for (size_t i = 0; i < r->n; i++)
		r->gains[i] = (gain){ s[i].t, s[i].noise, 0, i };
	HB_TRY(raise(r, 0, &cosine));
	HB_TRY(cycles_of(r, &narrow));
	HB_TRY(raise(r, r->n, &cosine));
	HB_TRY(cycles_of(r, &wide));
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < r->gains[i].t->nuses; k++)
			r->gains[i].cycles += grown(narrow, wide, r->gains[i].t->uses[k].node);
	qsort(r->gains, r->n, sizeof(*r->gains), by_worth);
	return HB_OK;
}

/* The least k for which the first k gains, raised, reach the target. */
static hb_status
search(raising *r, double target, size_t *k, double *cosine)
{
	size_t lo = 0, hi = r->n;	/* lo misses, hi is the least known to reach it */

	HB_TRY(raise(r, hi, cosine));
	if (*cosine < target) {
		r->refine.round_weights = true;
		HB_TRY(raise(r, hi, cosine));
	}
	while (*cosine >= target && hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;
		double at;

		HB_TRY(raise(r, mid, &at));
		if (at >= target)
			hi = mid;
		else
			lo = mid;
	}
	*k = hi;
	return raise(r, hi, cosine);
}

/* How much of the loss that is allowed may be met on the samples at hand: others fare worse. */
static const double SHARE = 0.5;

/* The cosine of the worst output of the fixed-point graph, as it is compiled, with the float one, over the samples that
 * refining takes. */
static hb_status
cosine_of_fixed(raising *r, double *cosine)
{
	cli *c = r->c;
	hb_graph *fixed;
	hb_exec *real = NULL, *ints = NULL;
	hb_status st;
	hb_measure *e = HB_NEW_N(c->arena, hb_measure, r->g->noutputs);
	hb_val *in = HB_NEW_N(c->arena, hb_val, r->g->ninputs), *out = HB_NEW_N(c->arena, hb_val, 2 * r->g->noutputs);
	bool more = true;

	if (!e || !in || !out)
		return hb_nomem(c->cx, NULL);
	HB_TRY(model_convert(c, r->g, r->m, &fixed));
	real = hb_exec_new(r->g, &st);
	ints = real ? hb_exec_new(fixed, &st) : NULL;
	for (size_t i = 0; ints && i < r->g->ninputs; i++) {
		in[i] = (hb_val){ r->g->inputs[i]->dtype, r->g->inputs[i]->shape, hb_arena_alloc(c->arena, (size_t)hb_tensor_bytes(r->g->inputs[i]) + 1024) };
		st = in[i].data ? st : hb_nomem(c->cx, NULL);
	}
	for (int64_t k = 0; ints && st == HB_OK && k < HB_REFINE_SAMPLES; k++) {
		st = r->refine.sample(r->refine.arg, k, in, &more);
		if (st != HB_OK || !more)
			break;
		st = hb_exec_run(real, in, out, NULL, NULL);
		if (st == HB_OK)
			st = hb_exec_run(ints, in, out + r->g->noutputs, NULL, NULL);
		for (size_t i = 0; st == HB_OK && i < r->g->noutputs; i++) {
			if (out[i].dtype == HB_F32)
				hb_measure_add(&e[i], out[i].data, out[r->g->noutputs + i].data, hb_shape_elems(&out[i].shape));
		}
	}
	*cosine = 1;
	for (size_t i = 0; i < r->g->noutputs; i++)
		*cosine = fmin(*cosine, e[i].n ? hb_measure_cosine(&e[i]) : 1);
	if (ints)
		hb_exec_free(ints);
	if (real)
		hb_exec_free(real);
	hb_graph_free(fixed);
	return st;
}

/* More gains than k, where the fixed-point graph itself misses the target with those; at most all. */
static hb_status
raise_until_it_holds(raising *r, double target, size_t *k, double *cosine)
{
	HB_TRY(cosine_of_fixed(r, cosine));
	while (*cosine < target && *k < r->n) {
		double estimate;

		*k = HB_MIN(r->n, *k + HB_MAX(1, r->n / 16));
		HB_TRY(raise(r, *k, &estimate));
		HB_TRY(cosine_of_fixed(r, cosine));
	}
	return HB_OK;
}

static hb_status
auto_int16(raising *r)
{
	cli *c = r->c;
	double asked = c->set[O_min_cosine] ? c->a.min_cosine : 0.999, target = 1 - SHARE * (1 - asked), cosine;
	size_t k = 0;

	HB_TRY(raise(r, 0, &cosine));
	if (cosine >= target)
		HB_TRY(cosine_of_fixed(r, &cosine));
	if (cosine < target) {
		HB_TRY(list_gains(r));
		HB_TRY(search(r, target, &k, &cosine));
		HB_TRY(raise_until_it_holds(r, target, &k, &cosine));
	}
	if (k)
		hb_note(c->cx, NULL, "auto-int16", "%zu of %zu edges are int16, from '%s' on; cosine over samples %.6f", k, r->n, r->gains[0].t->name,
			cosine);
	else
		hb_note(c->cx, NULL, "auto-int16", "no edge needs int16; cosine over samples %.6f", cosine);
	return HB_OK;
}

hb_status
model_improve(cli *c, hb_graph *g, const hb_march *m, const hb_calib_options *o)
{
	raising r = {
		.c = c, .g = g, .m = m, .said = o, .calib = *o,
		.refine = { .round = o->round, .no_bias_correction = o->no_bias_correction, .round_weights = c->a.round_weights,
			    .sample = o->sample, .arg = o->arg },
	};
	double cosine;

	if (!c->a.auto_int16)
		return c->a.refine || c->a.round_weights ? hb_pass_refine(g, &r.refine, &cosine) : HB_OK;
	r.calib.config = quant_of;
	r.calib.config_arg = &r;
	r.calib.ranges = o->save_ranges;
	r.calib.save_ranges = NULL;
	r.calib.sample = NULL;
	r.calib.no_bias_correction = true;	/* refining chooses them */
	return auto_int16(&r);
}

hb_status
improve_check(cli *c, const hb_march *m)
{
	static const opt_id with_samples[] = { O_refine, O_round_weights, O_auto_int16 };

	for (size_t i = 0; i < HB_LEN(with_samples); i++) {
		const option_row *o = &option_rows[with_samples[i]];

		if (*(const bool *)((const char *)&c->a + o->at) && !c->a.calib.n)
			return hb_error(c->cx, HB_ERR_USAGE, hb_arena_printf(c->arena, "--%s", o->name), "option", "needs samples (--calib)");
	}
	if (c->a.auto_int16 && m && !m->fig.int16)
		return hb_error(c->cx, HB_ERR_USAGE, "--auto-int16", "march", "%s has no qint16 activations", m->name);
	return HB_OK;
}
