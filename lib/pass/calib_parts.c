/* calib_parts.c: a slice has the scale of what it is cut from, and what is joined that of the whole: in int8 the larger can
 * leave the smaller without steps. Where samples show that, the whole is int16, and what shares its type with it. */
#include "lib/pass/calib.h"

/* Of a range that is so many times a part's, the part keeps 8 of int8's 128 steps, and as many of int16's. */
static const float SMALL = 16, SMALL_IN_INT16 = 16 * 256;

static bool
is_int8(const hb_tensor *t)
{
	const hb_edge *e = t ? t->user : NULL;
	return e && t->dtype == HB_F32 && !t->is_const && t->q.from == HB_Q_OPEN && !e->wide && e->cfg.dtype == HB_I8;
}

static bool
cuts(const hb_node *n)
{
	static const char *const ops[] = { "Slice", "Split", "Gather" };
	for (size_t i = 0; i < HB_LEN(ops); i++) {
		if (!strcmp(n->op_type, ops[i]) && !*n->domain && n->on == HB_ON_BPU)
			return is_int8(n->in[0]);
	}
	return false;
}

static bool
joins(const hb_node *n)
{
	return n->on == HB_ON_BPU && n->op->role == HB_ROLE_CAT && is_int8(n->out[0]);
}

static hb_status
watch(hb_calib *c, hb_tensor *t)
{
	hb_edge *e = t ? t->user : NULL;
	if (!is_int8(t) || e->observer)
		return HB_OK;
	e->cfg.observer = (hb_observer_cfg){ .kind = HB_OBS_MINMAX, .whole = c->o->nstats > 0 };
	e->observer = hb_observer_new(c->arena, &e->cfg.observer, HB_I8);
	e->spare = true;
	return e->observer ? HB_OK : hb_nomem(c->g->cx, t->name);
}

hb_status
hb_calib_watch_parts(hb_calib *c)
{
	for (hb_node *n = c->g->first; n; n = n->next) {
		for (int i = 0; i < n->nout && cuts(n); i++)
			HB_TRY(watch(c, n->out[i]));
		for (int i = 0; i < n->nin && joins(n); i++)
			HB_TRY(watch(c, n->in[i]));
	}
	return HB_OK;
}

/* What has the scale that is passed on to t. */
static hb_tensor *
head_of(hb_tensor *t)
{
	const hb_node *n;
	while ((n = t->producer) && n->on == HB_ON_BPU && !n->group && n->op->role == HB_ROLE_PASS && !n->requantizes)
		t = n->in[0];
	return t;
}

/* Notes `part` of `whole` where it is small and int16 helps. */
static hb_status
judge(hb_calib *c, const hb_tensor *whole, const hb_tensor *part, hb_parts *found)
{
	const hb_edge *e = whole->user, *of = part ? part->user : NULL;
	hb_range all, some;
	if (!is_int8(whole) || !is_int8(part) || !e->observer || e->spare || !of->observer || e->cfg.dtype_level || found->of[whole->id].part)
		return HB_OK;
	if (whole->is_output && c->o->low_precision_output)
		return HB_OK;
	HB_TRY(hb_calib_range(c, whole, &all));
	HB_TRY(hb_calib_range(c, part, &some));
	float most = HB_MAX(-some.min, some.max);
	if (!(most > 0) || all.absmax < SMALL * most || all.absmax > SMALL_IN_INT16 * most || !hb_march_gains(c->o->march, whole, HB_I16))
		return HB_OK;
	found->of[whole->id] = (struct hb_part){ part, (double)(all.absmax / most) };
	return HB_OK;
}

hb_status
hb_calib_find_parts(hb_calib *c, const hb_parts **out)
{
	hb_parts *found = HB_NEW(c->arena, hb_parts);
	if (!found || !(found->of = HB_NEW_N(c->arena, struct hb_part, c->g->next_tensor)))
		return hb_nomem(c->g->cx, "calibrate");
	found->n = c->g->next_tensor;
	*out = NULL;
	for (hb_node *n = c->g->first; n; n = n->next) {
		for (int i = 0; i < n->nout && cuts(n); i++)
			HB_TRY(judge(c, head_of(n->in[0]), n->out[i], found));
		for (int i = 0; i < n->nin && joins(n); i++)
			HB_TRY(judge(c, n->out[0], n->in[i], found));
	}
	for (int i = 0; i < found->n; i++)
		*out = found->of[i].part ? found : *out;
	return HB_OK;
}

bool
hb_calib_has_part(const hb_calib *c, const hb_tensor *t)
{
	return c->parts && t->id < c->parts->n && c->parts->of[t->id].part;
}

void
hb_calib_tell_parts(const hb_calib *c)
{
	for (const hb_tensor *t = c->g->tensors; t; t = t->next) {
		const hb_edge *e = t->user;
		if (!hb_calib_has_part(c, t) || !e || e->cfg.dtype != HB_I16)
			continue;
		hb_note(c->g->cx, t->name, "small-part", "is int16: its range is %.0f times that of '%s', a part of it", c->parts->of[t->id].times,
			c->parts->of[t->id].part->name);
	}
}
