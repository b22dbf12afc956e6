/* walk.c: a graph run node by node over several samples at once. */
#include "lib/pass/walk.h"

typedef struct cell {			/* of a tensor in a lane */
	hb_val val;
	hb_arena *arena;		/* owns the bytes; NULL: none */
} cell;

struct hb_walk {
	hb_graph *g;
	hb_arena *arena;
	int lanes;
	cell *cells;			/* [tensor id][lane] */
	int64_t *left;			/* [tensor id]: readers to come */
};

static cell *
cell_of(hb_walk *w, const hb_tensor *t, int lane)
{
	return &w->cells[(int64_t)t->id * w->lanes + lane];
}

uint64_t
hb_walk_peak(const hb_graph *g)
{
	uint64_t now = 0, peak = 0;
	hb_arena *a = hb_arena_new(g->cx);
	int64_t *left = a ? HB_NEW_N(a, int64_t, g->next_tensor) : NULL;

	for (const hb_tensor *t = g->tensors; left && t; t = t->next)
		left[t->id] = (int64_t)t->nuses + t->is_output;
	for (size_t i = 0; left && i < g->ninputs; i++)
		now += hb_tensor_bytes(g->inputs[i]);
	for (const hb_node *n = g->first; left && n; n = n->next) {
		for (int i = 0; i < n->nout; i++)
			now += n->out[i] ? hb_tensor_bytes(n->out[i]) : 0;
		peak = HB_MAX(peak, now);
		for (int i = 0; i < n->nin; i++)
			if (n->in[i] && !n->in[i]->is_const && --left[n->in[i]->id] == 0)
				now -= hb_tensor_bytes(n->in[i]);
	}
	hb_arena_free(a);
	return HB_MAX(peak, now);
}

hb_status
hb_walk_new(hb_graph *g, int lanes, hb_walk **out)
{
	hb_arena *a = hb_arena_new(g->cx);
	hb_walk *w = a ? HB_NEW(a, hb_walk) : NULL;
	if (w) {
		*w = (hb_walk){ .g = g, .arena = a, .lanes = lanes };
		w->cells = HB_NEW_N(a, cell, (int64_t)g->next_tensor * lanes);
		w->left = HB_NEW_N(a, int64_t, g->next_tensor);
	}
	if (!w || !w->cells || !w->left) {
		hb_arena_free(a);
		return hb_nomem(g->cx, NULL);
	}
	for (const hb_tensor *t = g->tensors; t; t = t->next)
		w->left[t->id] = (int64_t)t->nuses + t->is_output;
	*out = w;
	return HB_OK;
}

hb_graph *
hb_walk_graph(const hb_walk *w)
{
	return w->g;
}

static void
drop(cell *c)
{
	if (c->arena)
		hb_arena_free(c->arena);
	*c = (cell){ 0 };
}

void
hb_walk_free(hb_walk *w)
{
	if (!w)
		return;
	for (int64_t i = 0; i < (int64_t)w->g->next_tensor * w->lanes; i++)
		drop(&w->cells[i]);
	hb_arena_free(w->arena);
}

static hb_status
put(hb_walk *w, const hb_tensor *t, int lane, const hb_val *v)
{
	cell *c = cell_of(w, t, lane);
	size_t bytes = (size_t)hb_tensor_bytes(t);

	drop(c);
	c->arena = hb_arena_new(w->g->cx);
	c->val = (hb_val){ t->dtype, t->shape, NULL };
	if (c->arena && bytes)
		c->val.data = hb_arena_dup(c->arena, v->data, bytes);
	return c->arena && (c->val.data || !bytes) ? HB_OK : hb_nomem(w->g->cx, t->name);
}

hb_status
hb_walk_input(hb_walk *w, size_t i, int lane, const hb_val *v)
{
	return put(w, w->g->inputs[i], lane, v);
}

hb_status
hb_walk_copy(hb_walk *w, const hb_tensor *t, int from, int to)
{
	return put(w, t, to, &cell_of(w, t, from)->val);
}

void
hb_walk_lend(hb_walk *w, const hb_tensor *t, int from, int to)
{
	cell *c = cell_of(w, t, to);

	drop(c);
	c->val = cell_of(w, t, from)->val;
}

hb_status
hb_walk_copy_inputs(hb_walk *w, int from, int to)
{
	for (size_t i = 0; i < w->g->ninputs; i++)
		HB_TRY(hb_walk_input(w, i, to, &cell_of(w, w->g->inputs[i], from)->val));
	return HB_OK;
}

hb_status
hb_walk_samples(hb_walk *w, const hb_refine_options *o, int limit, int step, int *n)
{
	hb_graph *g = w->g;
	hb_val *in = HB_NEW_N(w->arena, hb_val, g->ninputs);
	bool more = true;
	if (!in)
		return hb_nomem(g->cx, NULL);
	for (size_t i = 0; i < g->ninputs; i++) {
		in[i] = (hb_val){ g->inputs[i]->dtype, g->inputs[i]->shape, NULL };
		in[i].data = hb_arena_alloc(w->arena, HB_MAX((size_t)hb_tensor_bytes(g->inputs[i]), (size_t)1024));
		if (!in[i].data)
			return hb_nomem(g->cx, g->inputs[i]->name);
	}
	for (*n = 0; *n < limit; (*n)++) {
		HB_TRY(o->sample(o->arg, *n, in, &more));
		if (!more)
			break;
		for (size_t i = 0; i < g->ninputs; i++)
			HB_TRY(hb_walk_input(w, i, *n * step, &in[i]));
	}
	return HB_OK;
}

static hb_status
run_lane(hb_walk *w, hb_node *n, hb_node *as, int lane, hb_val *store, const hb_val **in, hb_val **out)
{
	for (int i = 0; i < as->nin; i++) {
		hb_tensor *t = as->in[i];

		in[i] = NULL;
		if (!t)
			continue;
		if (!t->is_const) {
			in[i] = &cell_of(w, t, lane)->val;
			continue;
		}
		store[i] = (hb_val){ t->dtype, t->shape, NULL };
		if (hb_tensor_elems(t) && !(store[i].data = (void *)(uintptr_t)hb_tensor_data(w->g, t)))
			return HB_ERR_NOMEM;
		in[i] = &store[i];
	}
	for (int i = 0; i < n->nout; i++) {
		hb_tensor *t = n->out[i];
		cell *c = t ? cell_of(w, t, lane) : NULL;

		out[i] = NULL;
		if (!c)
			continue;
		drop(c);
		out[i] = &c->val;
	}
	/* One arena for all outputs would hold the longest-lived one's siblings: operators with several outputs are
	 * few and their outputs small, so the first output's cell owns it. */
	hb_arena *a = hb_arena_new(w->g->cx);
	if (!a)
		return hb_nomem(w->g->cx, n->name);
	hb_status st = hb_exec_node(w->g, as, in, out, a);
	for (int i = 0; i < n->nout; i++) {
		if (!n->out[i])
			continue;
		cell_of(w, n->out[i], lane)->arena = a;
		break;
	}
	return st;
}

hb_status
hb_walk_node(hb_walk *w, hb_node *n, hb_node *as, int from, int to)
{
	hb_arena *a = hb_arena_new(w->g->cx);
	hb_val *store = a ? HB_NEW_N(a, hb_val, as->nin + 1) : NULL;
	const hb_val **in = a ? HB_NEW_N(a, const hb_val *, as->nin + 1) : NULL;
	hb_val **out = a ? HB_NEW_N(a, hb_val *, n->nout + 1) : NULL;
	hb_status st = store && in && out ? HB_OK : hb_nomem(w->g->cx, n->name);

	for (int lane = from; st == HB_OK && lane < to; lane++)
		st = run_lane(w, n, as, lane, store, in, out);
	hb_arena_free(a);
	return st;
}

static void
release(hb_walk *w, const hb_tensor *t)
{
	for (int lane = 0; lane < w->lanes; lane++)
		drop(cell_of(w, t, lane));
}

/* Outputs of one node share their bytes' owner: all go together. */
static void
release_with_siblings(hb_walk *w, const hb_tensor *t)
{
	const hb_node *p = t->producer;

	for (int i = 0; p && i < p->nout; i++)
		if (p->out[i] && w->left[p->out[i]->id] > 0)
			return;
	for (int i = 0; p && i < p->nout; i++)
		if (p->out[i])
			release(w, p->out[i]);
	if (!p)
		release(w, t);
}

void
hb_walk_done(hb_walk *w, const hb_node *n)
{
	for (int i = 0; i < n->nin; i++)
		if (n->in[i] && !n->in[i]->is_const && --w->left[n->in[i]->id] == 0)
			release_with_siblings(w, n->in[i]);
	for (int i = 0; i < n->nout; i++)
		if (n->out[i] && w->left[n->out[i]->id] == 0)
			release_with_siblings(w, n->out[i]);
}

hb_val *
hb_walk_val(hb_walk *w, const hb_tensor *t, int lane)
{
	cell *c = cell_of(w, t, lane);

	return c->val.dtype == HB_NONE ? NULL : &c->val;
}

void
hb_walk_keep(hb_walk *w, const hb_tensor *t)
{
	w->left[t->id] += INT32_MAX;
}
