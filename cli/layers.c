/* layers.c: each layer by itself. */
#include "cli/layers.h"

#include "lib/pass/walk.h"

enum { PLAIN, INTEGERS, LANES };	/* what a CPU node reads, what a BPU node reads */

typedef struct seen {
	float *v[LANES];
	bool fresh[LANES];		/* of this sample */
	bool integers;			/* a BPU node yields it */
	hb_measure measure;
} seen;

struct layers {
	cli *c;
	hb_graph *g;
	seen *seen;			/* by tensor id */
};

hb_status
layers_new(cli *c, hb_graph *g, layers **out)
{
	layers *l = *out = HB_NEW(c->arena, layers);

	if (!l || !(l->seen = HB_NEW_N(c->arena, seen, g->next_tensor)))
		return hb_nomem(c->cx, NULL);
	l->c = c;
	l->g = g;
	return HB_OK;
}

void
layers_free(layers *l)
{
	for (const hb_tensor *t = l ? l->g->tensors : NULL; t; t = t->next)
		for (int i = 0; i < LANES; i++)
			if (l->seen[t->id].v[i])
				hb_big_free(l->c->cx, l->seen[t->id].v[i], (size_t)hb_tensor_bytes(t));
}

static hb_status
keep(layers *l, const hb_tensor *t, int lane, const float *v)
{
	seen *s = &l->seen[t->id];
	size_t bytes = (size_t)hb_tensor_bytes(t);

	if (t->dtype != HB_F32 || !bytes)
		return HB_OK;
	if (!s->v[lane] && !(s->v[lane] = hb_big_alloc(l->c->cx, bytes)))
		return hb_nomem(l->c->cx, t->name);
	memcpy(s->v[lane], v, bytes);
	s->fresh[lane] = true;
	return HB_OK;
}

hb_status
layers_saw(layers *l, const hb_tensor *t, const float *v, bool integers)
{
	l->seen[t->id].integers = integers;
	return keep(l, t, PLAIN, v);
}

hb_status
layers_saw_border(layers *l, const hb_tensor *t, const float *v)
{
	return keep(l, t, INTEGERS, v);
}

const hb_measure *
layers_measure(const layers *l, const hb_tensor *t)
{
	return &l->seen[t->id].measure;
}

/* The compiled form's values take the place of what g made of t. */
static void
replace(layers *l, hb_walk *w, const hb_tensor *t)
{
	seen *s = &l->seen[t->id];
	size_t bytes = (size_t)hb_tensor_bytes(t);

	for (int from = PLAIN; from < LANES; from++)
		for (int to = from; s->fresh[from] && to < LANES; to++)
			memcpy(hb_walk_val(w, t, to)->data, s->v[from], bytes);
	s->fresh[PLAIN] = s->fresh[INTEGERS] = false;
}

static hb_status
run_node(layers *l, hb_walk *w, hb_node *n)
{
	const hb_tensor *yields = n->group ? n->group->last->out[0] : n->out[0];
	int lane = yields && l->seen[yields->id].integers ? INTEGERS : PLAIN;

	HB_TRY(hb_walk_node(w, n, n, lane, lane + 1));
	for (int i = 0; i < n->nout; i++) {
		const hb_tensor *t = n->out[i];
		seen *s = t ? &l->seen[t->id] : NULL;

		if (!t)
			continue;
		if (s->fresh[PLAIN])
			hb_measure_add(&s->measure, hb_walk_val(w, t, lane)->data, s->v[PLAIN], hb_tensor_elems(t));
		HB_TRY(hb_walk_copy(w, t, lane, lane == PLAIN ? INTEGERS : PLAIN));
		replace(l, w, t);
	}
	hb_walk_done(w, n);
	return HB_OK;
}

hb_status
layers_run(layers *l, const hb_val *in)
{
	hb_walk *w;
	hb_status st;

	HB_TRY(hb_walk_new(l->g, LANES, &w));
	st = HB_OK;
	for (size_t i = 0; st == HB_OK && i < l->g->ninputs; i++) {
		st = hb_walk_input(w, i, PLAIN, &in[i]);
		if (st == HB_OK)
			st = hb_walk_input(w, i, INTEGERS, &in[i]);
		if (st == HB_OK)
			replace(l, w, l->g->inputs[i]);
	}
	for (hb_node *n = l->g->first; st == HB_OK && n; n = n->next)
		st = run_node(l, w, n);
	hb_walk_free(w);
	return st;
}
