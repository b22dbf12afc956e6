/* calib_ranges.c: what calibration chose, as rows for a file, and back: so that a later run needs no samples. */
#include "lib/pass/calib.h"

hb_ranges *
hb_ranges_new(hb_arena *a)
{
	hb_ranges *r = HB_NEW(a, hb_ranges);
	if (!r)
		return NULL;
	r->arena = a;
	r->by_name = hb_map_new(a);
	return r->by_name ? r : NULL;
}

hb_range_row *
hb_ranges_add(hb_ranges *r, const char *name)
{
	hb_range_row *row = HB_NEW(r->arena, hb_range_row);
	if (!row || !(row->name = hb_arena_str(r->arena, name)) || !hb_map_put(r->by_name, row->name, row))
		return NULL;
	if (r->last)
		r->last->next = row;
	else
		r->first = row;
	r->last = row;
	return row;
}

const hb_range_row *
hb_ranges_find(const hb_ranges *r, const char *name)
{
	return hb_map_get(r->by_name, name);
}

static hb_status
save_row(hb_calib *c, const hb_tensor *t, const hb_edge *e)
{
	hb_ranges *to = c->o->save_ranges;
	hb_range_row *row = hb_ranges_add(to, t->name);
	hb_range r;
	if (!row)
		return hb_nomem(c->g->cx, t->name);
	hb_observer_range_as(e->observer, &e->cfg.observer, HB_I8, &r);
	row->clip8 = r.absmax;
	hb_observer_range_as(e->observer, &e->cfg.observer, HB_I16, &r);
	row->clip16 = r.absmax;
	row->min = r.min;
	row->max = r.max;
	row->nonfinite = r.nonfinite;
	row->observer = hb_observer_name(e->cfg.observer.kind);
	if (e->channels && t->q.nscales > 1) {
		row->channels = hb_arena_dup(to->arena, e->absmax, sizeof(float) * (size_t)e->channels->n);
		if (!row->channels)
			return hb_nomem(c->g->cx, t->name);
		row->nchannels = e->channels->n;
	}
	for (int k = 0; k < 2 && e->means[k]; k++) {
		row->means_dim = e->channel_dim;
		row->nmeans = t->shape.dim[e->channel_dim];
		row->means[k].dtype = e->mean_q[k].dtype;
		row->means[k].nscales = e->mean_q[k].nscales;
		row->means[k].scales = hb_arena_dup(to->arena, hb_q_scales(&e->mean_q[k]), sizeof(float) * (size_t)e->mean_q[k].nscales);
		row->means[k].v = hb_arena_dup(to->arena, e->means[k], sizeof(double) * 2 * (size_t)row->nmeans);
		if (!row->means[k].scales || !row->means[k].v)
			return hb_nomem(c->g->cx, t->name);
	}
	return HB_OK;
}

hb_status
hb_calib_save_ranges(hb_calib *c)
{
	for (const hb_tensor *t = c->g->tensors; t; t = t->next) {
		const hb_edge *e = t->user;
		if (e && e->observer && !t->is_const)
			HB_TRY(save_row(c, t, e));
	}
	return HB_OK;
}

hb_status
hb_calib_load_means(hb_calib *c)
{
	int lost = 0;
	for (hb_tensor *t = c->g->tensors; t; t = t->next) {
		const hb_edge *e = t->user;
		const hb_range_row *r = e && e->sums ? hb_ranges_find(c->o->ranges, t->name) : NULL;
		if (!e || !e->sums || t->q.nscales < 1)
			continue;
		bool fits = r && r->means_dim == e->channel_dim && r->nmeans == t->shape.dim[e->channel_dim];
		for (int k = 0; fits && k < 2; k++) {
			if (r->means[k].dtype != t->q.dtype || r->means[k].nscales != t->q.nscales ||
			    memcmp(r->means[k].scales, hb_q_scales(&t->q), sizeof(float) * (size_t)t->q.nscales) != 0)
				continue;
			t->means = r->means[k].v;
			t->means_dim = r->means_dim;
		}
		lost += !t->means;
	}
	if (lost)
		hb_note(c->g->cx, NULL, "bias-correction", "%d layers go without bias correction: their inputs had another scale when the ranges were saved", lost);
	return HB_OK;
}
