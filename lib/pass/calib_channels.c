/* calib_channels.c: a scale a channel for what convolutions and lookups yield and depthwise convolutions or lookups alone
 * read: a convolution has a multiplier a channel, a lookup a table. Other readers add up channels and need one scale. */
#include "lib/pass/calib.h"

static bool
is_conv(const hb_node *n)
{
	return n->on == HB_ON_BPU && !strcmp(n->op_type, "Conv") && !*n->domain && n->in[1]->is_const && n->in[1]->dtype == HB_F32;
}

static bool
is_depthwise(const hb_node *n)
{
	return is_conv(n) && n->in[1]->shape.rank > 1 && n->in[1]->shape.dim[1] == 1 && hb_attr_i(n, "group", 1) == n->in[0]->shape.dim[1] &&
	       hb_attr_i(n, "group", 1) > 1;
}

/* What the lookup that n is, or is a part of, reads; NULL: n is none. */
static const hb_tensor *
looked_up(const hb_node *n)
{
	if (n->on != HB_ON_BPU)
		return NULL;
	if (n->group)
		return n->group->chain_in;
	return n->op->lut && !n->op->convert && n->op->role == HB_ROLE_OWN ? n->in[0] : NULL;
}

static bool
yields_channels(const hb_tensor *t)
{
	const hb_node *n = t->producer, *root = n && n->group ? n->group->root : n;
	const hb_tensor *x = n ? looked_up(n) : NULL;

	if (x && x->q.from != HB_Q_OPEN)
		return hb_shape_eq(&x->shape, &t->shape) && x->q.dtype == HB_I8;
	if (x)
		return hb_shape_eq(&x->shape, &t->shape) && x->user && ((const hb_edge *)x->user)->cfg.dtype == HB_I8;
	return n && is_conv(root);
}

bool
hb_calib_takes_channels(const hb_tensor *t)
{
	if (!yields_channels(t) || t->is_output || !t->nuses || t->shape.rank < 3)
		return false;
	for (size_t i = 0; i < t->nuses; i++) {
		const hb_node *n = t->uses[i].node;

		if (looked_up(n) != t && (t->uses[i].index != 0 || !is_depthwise(n)))
			return false;
	}
	return true;
}

/* ---- whether it is worth it ---- */

/* What an error in each channel of t weighs in the sums of Conv n that reads it. False without memory. */
static bool
weigh_conv(const hb_calib *c, hb_node *n, double *weight)
{
	const hb_shape *s = &n->in[1]->shape;
	const float *w = hb_tensor_data(c->g, n->in[1]);
	int64_t ins = s->dim[1], taps = hb_shape_span(s, 2, s->rank), of_group = s->dim[0] / hb_attr_i(n, "group", 1);

	for (int64_t row = 0; w && row < s->dim[0] * ins; row++) {
		double *to = &weight[row / ins / of_group * ins + row % ins];

		for (int64_t i = 0; i < taps; i++)
			*to += (double)w[row * taps + i] * w[row * taps + i];
	}
	return w;
}

/* The same of all that reads t; what a lookup yields is read on as if it had passed t on. */
static bool
weigh(const hb_calib *c, const hb_tensor *t, double *weight)
{
	for (size_t i = 0; i < t->nuses; i++) {
		hb_node *n = t->uses[i].node;
		const hb_tensor *out = n->group ? n->group->last->out[0] : n->out[0];

		if (n->group && i > 0 && t->uses[i - 1].node->group == n->group)
			continue;	/* the same chain once more */
		if (looked_up(n) == t && hb_shape_eq(&out->shape, &t->shape)) {
			if (!weigh(c, out, weight))
				return false;
		} else if (is_conv(n) && t->uses[i].index == 0) {
			if (!weigh_conv(c, n, weight))
				return false;
		} else {
			for (int64_t k = 0; k < t->shape.dim[1]; k++)
				weight[k]++;
		}
	}
	return true;
}

/* Scales of channels whose magnitudes are absmax, behind the one that t has. */
static hb_status
scales_of(const hb_calib *c, const hb_tensor *t, const float *absmax, float **out)
{
	enum { FINEST = 256 };		/* channels' steps are at most so much finer: biases keep to int32 */
	int64_t n = t->shape.dim[1];
	float *scales = *out = HB_NEW_N(c->g->arena, float, n);

	for (int64_t i = 0; scales && i < n; i++) {
		float s = hb_scale_of(absmax[i], t->q.dtype, c->o->divisor_qmax);
		scales[i] = HB_MAX(HB_MIN(s, t->q.scale), t->q.scale / FINEST);
	}
	return scales ? HB_OK : hb_nomem(c->g->cx, t->name);
}

/* Would scales of channels take this much off the noise where t is read? Below it they cost tables and gain nothing that
 * can be told from chance. */
static hb_status
is_worth(const hb_calib *c, const hb_tensor *t, const float *absmax, bool *worth)
{
	static const double LEAST = 4;
	double one = 0, each = 0, *weight = HB_NEW_N(c->arena, double, t->shape.dim[1]);
	float *scales;

	HB_TRY(scales_of(c, t, absmax, &scales));
	if (!weight || !weigh(c, t, weight))
		return hb_nomem(c->g->cx, t->name);
	for (int64_t i = 0; i < t->shape.dim[1]; i++) {
		one += weight[i] * t->q.scale * t->q.scale;
		each += weight[i] * scales[i] * scales[i];
	}
	*worth = one >= LEAST * each;
	return HB_OK;
}

/* ---- choosing ---- */

hb_status
hb_calib_see_channels(hb_calib *c, const hb_tensor *t, hb_edge *e)
{
	enum { FEW = 2048 };		/* values of a channel that tell enough where room is left */
	const hb_observer_cfg *o = &e->cfg.observer;
	bool always = c->o->channels == HB_CHANNELS_ALWAYS || o->kind == HB_OBS_DEFAULT;

	if (e->channels || (c->o->channels == HB_CHANNELS_NEVER && !always) || !hb_calib_takes_channels(t))
		return HB_OK;
	e->channels = hb_channels_new(c->arena, t->shape.dim[1], o->kind == HB_OBS_MOVING ? o->averaging_constant : 0, always ? 0 : FEW,
				      o->kind == HB_OBS_MSE || o->whole);
	return e->channels ? HB_OK : hb_nomem(c->g->cx, t->name);
}

static hb_status
set_scales(hb_tensor *t, const hb_calib *c, const float *absmax)
{
	float *scales, most = 0;

	HB_TRY(scales_of(c, t, absmax, &scales));
	for (int64_t i = 0; i < t->shape.dim[1]; i++)
		most = HB_MAX(most, scales[i]);
	t->q.nscales = (int)t->shape.dim[1];
	t->q.axis = 1;
	t->q.scale = most;
	t->q.scales = scales;
	return HB_OK;
}

/* A channel's few values say less of its range than all channels' of theirs. */
static void
leave_room(float *absmax, int64_t n)
{
	static const float ROOM = 2;

	for (int64_t i = 0; i < n; i++)
		absmax[i] *= ROOM;
}

hb_status
hb_calib_set_channels(const hb_calib *c, hb_tensor *t, hb_edge *e)
{
	const hb_range_row *row = c->o->ranges ? hb_ranges_find(c->o->ranges, t->name) : NULL;
	bool always = c->o->channels == HB_CHANNELS_ALWAYS || c->channels_now, worth = true;

	if (t->is_const || t->q.dtype != HB_I8 || e->cfg.observer.kind == HB_OBS_FIXED || !hb_calib_takes_channels(t))
		return HB_OK;
	if (c->o->ranges)
		return row && row->nchannels == t->shape.dim[1] ? set_scales(t, c, row->channels) : HB_OK;
	if (!e->channels || (!always && (e->tried || c->o->channels == HB_CHANNELS_NEVER)))
		return HB_OK;
	if (!e->absmax && !(e->absmax = HB_NEW_N(c->arena, float, e->channels->n)))
		return hb_nomem(c->g->cx, t->name);
	if (!always) {			/* by ranges first: clips take their time */
		hb_channels_absmax(c->g->cx, e->channels, &(hb_observer_cfg){ .kind = HB_OBS_MINMAX }, e->absmax);
		leave_room(e->absmax, e->channels->n);
		HB_TRY(is_worth(c, t, e->absmax, &worth));
	}
	if (!worth)
		return HB_OK;
	hb_channels_absmax(c->g->cx, e->channels, &e->cfg.observer, e->absmax);
	if (!always)
		leave_room(e->absmax, e->channels->n);
	return set_scales(t, c, e->absmax);
}
