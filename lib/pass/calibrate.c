/* calibrate: takes a fused, placed float graph; leaves q on every edge that a BPU
 * node reads or writes, from samples or, uncalibrated, from seeded noise. */
#include "lib/pass/calib.h"

#include <math.h>

bool
hb_const_is_data(const hb_node *n, int i)
{
	static const char *const ops[] = {
		"Add", "Sub", "Mul", "Div", "Sum", "Max", "Min", "Concat", "Where",
		"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual",
	};
	if (hb_is_function(n->group) || (n->group && n->group->bias == n))
		return false;
	if (hb_is_places(n, i))
		return n->in[i]->dtype == HB_F32;
	if (!strcmp(n->op_type, "MatMul"))
		return i == 0;
	for (size_t k = 0; k < HB_LEN(ops); k++) {
		if (!strcmp(n->op_type, ops[k]))
			return n->in[i]->dtype == HB_F32;
	}
	return false;
}

/* Whether n's output is only ever seen inside its group. */
static bool
is_inner(const hb_node *n)
{
	return n->group && n->group->last != n;
}

/* The role of the operation that ends with n. */
static hb_role
role_of(const hb_node *n)
{
	if (!n->group)
		return n->op->role;
	return hb_is_function(n->group) ? HB_ROLE_OWN : n->group->root->op->role;
}

/* Whether t says where a reader, or one behind operators that pass it on, is to read. */
static bool
is_places(const hb_tensor *t, int depth)
{
	for (size_t i = 0; i < t->nuses; i++) {
		const hb_node *n = t->uses[i].node;
		int at = t->uses[i].index;
		if (n->on != HB_ON_BPU || n->group || !n->op)
			continue;
		if (hb_is_places(n, at))
			return true;
		for (int k = 0; n->op->role == HB_ROLE_PASS && at == 0 && depth > 0 && k < n->nout; k++) {
			if (n->out[k] && is_places(n->out[k], depth - 1))
				return true;
		}
	}
	return false;
}

enum { PASSED_ON = 8 };		/* operators between a tensor and the reader that takes it for places */

hb_edge *
hb_calib_edge(hb_calib *c, const hb_node *n, hb_tensor *t)
{
	if (t->user)
		return t->user;
	hb_edge *e = HB_NEW(c->arena, hb_edge);
	if (!e)
		return NULL;
	const hb_qconfig *own = c->o->config ? c->o->config(c->o->config_arg, n, t) : NULL;
	e->cfg = own ? *own : c->o->activations;
	if (!own && is_places(t, PASSED_ON))
		e->cfg = (hb_qconfig){ .dtype = HB_I16, .observer = { .kind = HB_OBS_MINMAX }, .weights_mse = e->cfg.weights_mse,
				    .rule = "its readers take it for places" };
	if (!own && n && t->producer == n && n->op->own_scale)
		e->cfg = (hb_qconfig){ .dtype = HB_I8, .observer = { .kind = HB_OBS_FIXED, .fixed_scale = n->op->own_scale(n) }, .rule = "the operator's own scale" };
	if (e->cfg.dtype_level == 0 && hb_calib_has_part(c, t)) {
		e->cfg.dtype = HB_I16;
		e->cfg.rule = "a part of it keeps few steps of int8";
		e->raised = true;
	}
	t->user = e;
	return e;
}

/* PRelu of one slope: it becomes a lookup. */
static bool
is_leaky(hb_graph *g, const hb_node *n)
{
	hb_tensor *slope = !strcmp(n->op_type, "PRelu") ? n->in[1] : NULL;
	return slope && slope->is_const && slope->dtype == HB_F32 && hb_tensor_elems(slope) == 1 && hb_tensor_data(g, slope);
}

static double
read_by(const void *arg, double x)
{
	const hb_node *n = arg;
	if (!n->op->lut && !n->group)
		return x < 0 ? x * *(const float *)n->in[1]->data : x;
	return n->group ? hb_chain_eval(n->group, x) : n->op->lut(n, x);
}

/* The lookup that alone reads t, or NULL. */
static const hb_node *
only_lookup(hb_graph *g, const hb_tensor *t)
{
	const hb_node *n = t->nuses ? t->uses[0].node : NULL;
	if (!n || t->is_output || n->on != HB_ON_BPU)
		return NULL;
	for (size_t i = 1; i < t->nuses; i++) {
		if (t->uses[i].node != n && (!n->group || t->uses[i].node->group != n->group))
			return NULL;
	}
	if (n->group)
		return n->group->chain_in == t ? n : NULL;
	return (n->op->lut && n->op->role == HB_ROLE_OWN) || is_leaky(g, n) ? n : NULL;
}

/* A scale of the file. int16 where a neighbour takes none is int8 of the same range. */
static bool
given(const hb_calib *c, hb_tensor *t)
{
	if (t->q.from == HB_Q_OPEN)
		return false;
	if (t->q.nscales > 1 && !hb_calib_takes_channels(t)) {
		hb_note(c->g->cx, t->name, "channel-scales", "has one scale, the coarsest of its channels': what reads it adds up channels");
		t->q.nscales = 1;
		t->q.scales = NULL;
	}
	if (t->q.dtype == HB_I16 && c->o->march && !hb_march_takes(c->o->march, t, HB_I16)) {
		if (hb_q_limited(&t->q)) {
			hb_q_recentre(&t->q, HB_I8, t->q.lo * (double)t->q.scale, t->q.hi * (double)t->q.scale);
		} else {
			t->q.dtype = HB_I8;
			t->q.scale = (float)((double)t->q.scale * 65535 / 255);
		}
		hb_note(c->g->cx, t->name, "int16-neighbour", "is int8: an operator beside it takes no int16 on %s", c->o->march->name);
	}
	return true;
}

static hb_status
observe(hb_calib *c, hb_node *n, hb_tensor *t)
{
	hb_edge *e = hb_calib_edge(c, n, t);
	if (e && given(c, t))
		return HB_OK;
	const hb_node *reader = only_lookup(c->g, t);
	if (e && reader) {
		e->cfg.observer.reader = read_by;
		e->cfg.observer.reader_arg = reader;
	}
	if (e)
		e->cfg.observer.whole = c->o->save_stats || c->o->nstats;
	if (e && !e->observer)
		e->observer = hb_observer_new(c->arena, &e->cfg.observer, e->cfg.dtype);
	return e && e->observer ? hb_calib_see_channels(c, t, e) : hb_nomem(c->g->cx, t->name);
}

/* A file of ranges or statistics has every tensor of float values, so that other exclusions need no new pass. */
static hb_status
observe_rest(hb_calib *c)
{
	for (hb_tensor *t = c->g->tensors; t; t = t->next) {
		if (t->dtype != HB_F32 || t->is_const || !t->has_shape || (!t->producer && !t->is_input) || t->q.from != HB_Q_OPEN)
			continue;
		hb_edge *e = hb_calib_edge(c, t->producer, t);
		if (!e)
			return hb_nomem(c->g->cx, t->name);
		if (e->observer)
			continue;
		e->spare = true;
		HB_TRY(observe(c, t->producer, t));
	}
	for (hb_node *n = c->g->first; n && !c->o->no_bias_correction; n = n->next)
		HB_TRY(hb_calib_want_means(c, n));
	return HB_OK;
}

/* A conv or gemm without activation that only the CPU reads, if anyone does, keeps its accumulator's precision. */
static bool
stays_wide(const hb_calib *c, const hb_node *n, const hb_tensor *t)
{
	static const char *const ops[] = { "Conv", "ConvTranspose", "Gemm", "MatMul" };
	const hb_node *root = n->group ? n->group->root : n;
	const hb_edge *e = t->user;
	if ((e->cfg.high_precision ? e->cfg.high_precision < 0 : c->o->low_precision_output) || t->q.from != HB_Q_OPEN || hb_is_function(n->group) || (n->group && n->group->act))
		return false;
	for (size_t i = 0; i < t->nuses; i++) {
		if (t->uses[i].node->on == HB_ON_BPU)
			return false;
	}
	if (c->o->march && !(hb_march_types(c->o->march, root, true) & HB_BIT(HB_I32)))
		return false;
	for (size_t i = 0; i < HB_LEN(ops); i++) {
		if (!strcmp(root->op_type, ops[i]))
			return root->in[1]->is_const;
	}
	return false;
}

/* Does node n on the BPU read its operand i, which the BPU does not yield, as integers? */
static bool
reads_outside(const hb_node *n, int i)
{
	const hb_tensor *t = n->in[i];
	return t && t->dtype == HB_F32 && !(t->producer && t->producer->on == HB_ON_BPU) && (!t->is_const || hb_const_is_data(n, i));
}

/* An edge for each tensor that BPU nodes yield or read, with the type it gets. */
static hb_status
make_edges(hb_calib *c)
{
	for (hb_node *n = c->g->first; n; n = n->next) {
		if (n->on != HB_ON_BPU)
			continue;
		for (int i = 0; i < n->nin; i++) {
			if (reads_outside(n, i) && !hb_calib_edge(c, n->in[i]->producer, n->in[i]))
				return hb_nomem(c->g->cx, n->in[i]->name);
		}
		for (int i = 0; i < n->nout && !is_inner(n); i++) {
			if (n->out[i] && !hb_calib_edge(c, n, n->out[i]))
				return hb_nomem(c->g->cx, n->out[i]->name);
		}
	}
	return hb_calib_types(c);
}

/* How the weights of layer n, where it is one, get their scales. */
static void
mark_weights(const hb_node *n)
{
	const hb_edge *e = hb_group_out(n) ? hb_group_out(n)->user : NULL;
	if (e && n->out[0])
		n->out[0]->weights_mse = e->cfg.weights_mse;
}

/* A copy at another scale is seen by its operand's observer, which is there for that alone where the operand's scale is
 * passed on to it. */
static hb_status
observe_copy(hb_calib *c, hb_node *n)
{
	hb_tensor *x = n->in[0];
	hb_edge *from = x->user, *e = n->out[0]->user;
	if (!from->observer) {
		from->spare = true;
		HB_TRY(observe(c, x->producer, x));
	}
	e->observer = from->observer;
	e->shared = true;
	return HB_OK;
}

/* Which edges are quantized, and which of them have an observer. */
static hb_status
mark(hb_calib *c)
{
	for (hb_node *n = c->g->first; n; n = n->next) {
		if (n->on != HB_ON_BPU)
			continue;
		mark_weights(n);
		if (c->sampled && !c->o->no_bias_correction)
			HB_TRY(hb_calib_want_means(c, n));
		for (int i = 0; i < n->nin; i++) {
			if (reads_outside(n, i))
				HB_TRY(observe(c, n, n->in[i]));
		}
		if (n->requantizes)
			HB_TRY(observe_copy(c, n));
		if (is_inner(n))
			continue;
		hb_role role = role_of(n);
		for (int i = 0; i < n->nout; i++) {
			hb_tensor *t = n->out[i];
			if (!t)
				continue;
			hb_edge *e = hb_calib_edge(c, n, t);
			if (!e)
				return hb_nomem(c->g->cx, t->name);
			e->wide = stays_wide(c, n, t);
			if (t->dtype == HB_F32 && !e->wide && (role == HB_ROLE_OWN || role == HB_ROLE_CAT))
				HB_TRY(observe(c, n, t));
		}
	}
	return HB_OK;
}

/* Whether a run of samples would tell something; without samples, which node lacks a scale. */
static hb_status
needs_run(hb_calib *c, bool *run)
{
	*run = !c->scaled;
	for (hb_node *n = c->g->first; n && !*run; n = n->next) {
		for (int i = 0; i < n->nin + n->nout && n->on == HB_ON_BPU; i++) {
			const hb_tensor *t = i < n->nin ? n->in[i] : n->out[i - n->nin];
			const hb_edge *e = t ? t->user : NULL;
			if (!e || t->is_const || !e->observer)
				continue;
			if (!c->sampled)
				return hb_fail(c->g->cx, n, HB_ERR_INPUT, "no-scale",
					       "the model gives scales, but none for '%s'; samples (--calib) would, or the node can stay in float (--run-on-cpu)",
					       t->name);
			*run = true;
		}
	}
	return HB_OK;
}

static void
tap(void *arg, hb_tensor *t, const hb_val *v)
{
	hb_calib *c = arg;
	hb_edge *e = t->user;
	if (e && e->observer && !e->shared && v->dtype == HB_F32)
		hb_observer_add(c->g->cx, e->observer, v->data, hb_shape_elems(&v->shape));
	if (e && e->channels)
		hb_channels_add(c->g->cx, e->channels, v->data, hb_shape_span(&v->shape, 0, 1), hb_shape_span(&v->shape, 2, v->shape.rank));
}

static void
observe_consts(hb_calib *c)
{
	for (hb_tensor *t = c->g->tensors; t; t = t->next) {
		hb_edge *e = t->user;
		const float *v = e && e->observer && t->is_const ? hb_tensor_data(c->g, t) : NULL;
		if (v)
			hb_observer_add(c->g->cx, e->observer, v, hb_tensor_elems(t));
	}
}

/* What the observer chooses, or chose when the file of ranges was made. */
static hb_status
range_of(const hb_calib *c, const hb_tensor *t, const hb_edge *e, hb_range *r, const char **observer)
{
	*observer = hb_observer_name(t->is_const ? HB_OBS_MINMAX : e->cfg.observer.kind);
	if (!c->o->ranges || t->is_const || e->cfg.observer.kind == HB_OBS_FIXED) {
		hb_observer_range_as(e->observer, &e->cfg.observer, e->cfg.dtype, r);
		return HB_OK;
	}
	const hb_range_row *row = hb_ranges_find(c->o->ranges, t->name);
	if (!row && e->shared)
		row = hb_ranges_find(c->o->ranges, t->producer->in[0]->name);
	if (!row)
		return hb_error(c->g->cx, HB_ERR_INPUT, NULL, "ranges", "the file of ranges has no row for tensor '%s'", t->name);
	*r = (hb_range){ .min = row->min, .max = row->max, .absmax = e->cfg.dtype == HB_I16 ? row->clip16 : row->clip8, .nonfinite = row->nonfinite };
	*observer = row->observer;
	return HB_OK;
}

hb_status
hb_calib_range(const hb_calib *c, const hb_tensor *t, hb_range *r)
{
	const char *observer;
	return range_of(c, t, t->user, r, &observer);
}

static hb_q
q_of(const hb_calib *c, const hb_edge *e, const hb_range *r, const char *observer)
{
	return (hb_q){
		.dtype = e->cfg.dtype, .nscales = 1, .min = r->min, .max = r->max,
		.scale = hb_scale_of(HB_MAX(r->absmax, 0.0f), e->cfg.dtype, c->o->divisor_qmax), .observer = observer,
	};
}

hb_q
hb_calib_choose(const hb_calib *c, const hb_edge *e)
{
	hb_range r;
	hb_observer_range_as(e->observer, &e->cfg.observer, e->cfg.dtype, &r);
	return q_of(c, e, &r, hb_observer_name(e->cfg.observer.kind));
}

static hb_status
set_observed(hb_calib *c, hb_tensor *t, hb_edge *e)
{
	hb_range r;
	const char *observer;
	HB_TRY(range_of(c, t, e, &r, &observer));
	if (t->is_const)
		r.absmax = HB_MAX(-r.min, r.max);	/* a constant's range is known: nothing to clip */
	t->q = q_of(c, e, &r, observer);
	if (e->cfg.observer.kind == HB_OBS_FIXED && !t->is_const)
		t->q.scale = e->cfg.observer.fixed_scale;
	if (r.nonfinite)
		hb_warn(c->g->cx, t->name, "nonfinite", "%lld values of tensor '%s' were infinite or no number; they were left out",
			(long long)r.nonfinite, t->name);
	return hb_calib_set_channels(c, t, e);
}

/* Inputs of one scale, which the result takes where it may have their type. */
static bool
equal_inputs(const hb_node *n, const hb_edge *e)
{
	if (n->in[0]->q.from == HB_Q_OPEN && n->in[0]->q.dtype != e->cfg.dtype)
		return false;
	for (int i = 1; i < n->nin; i++) {
		const hb_q *a = &n->in[0]->q, *b = &n->in[i]->q;
		if (a->dtype != b->dtype || a->scale != b->scale)
			return false;
	}
	return true;
}

hb_status
hb_calib_set_scales(hb_calib *c)
{
	for (hb_tensor *t = c->g->tensors; t; t = t->next) {
		hb_edge *e = t->user;
		if (e && e->observer && !e->spare)
			HB_TRY(set_observed(c, t, e));
	}
	for (hb_node *n = c->g->first; n; n = n->next) {
		if (n->on != HB_ON_BPU || is_inner(n))
			continue;
		hb_role role = role_of(n);
		for (int i = 0; i < n->nout; i++) {
			hb_tensor *t = n->out[i];
			const hb_edge *e = t ? t->user : NULL;
			if (!e || t->q.from != HB_Q_OPEN)
				continue;
			if (e->wide)
				t->q = (hb_q){ .dtype = HB_I32, .observer = "derived" };	/* scales: convert */
			else if (role == HB_ROLE_BOOL)
				t->q = (hb_q){ .dtype = HB_BOOL, .nscales = 1, .scale = 1, .observer = "derived" };
			else if (role == HB_ROLE_INDEX || t->dtype != HB_F32)
				t->q = (hb_q){ .dtype = HB_I32, .nscales = 1, .scale = 1, .observer = "derived" };
			else if ((role == HB_ROLE_PASS && !e->shared) || (role == HB_ROLE_CAT && equal_inputs(n, e)))
				t->q = n->in[0]->q;
			else if (role == HB_ROLE_EACH)
				t->q = n->in[n->op->passes(n, i)]->q;
		}
	}
	return HB_OK;
}

/* What the samples are like, by whichever way it is known. */
static hb_status
gather(hb_calib *c)
{
	bool run = true;
	HB_TRY(needs_run(c, &run));
	if (c->o->ranges || !run)
		return HB_OK;
	if (c->o->save_stats || c->o->nstats)
		HB_TRY(hb_calib_keep(c));
	return c->o->nstats ? hb_calib_merge_stats(c) : hb_calib_run(c, INT64_MAX, tap);
}

static void
tell_plan(const hb_calib *c)
{
	for (size_t i = 0; i < c->g->ninputs; i++) {
		const hb_edge *e = c->g->inputs[i]->user;
		if (e && e->observer)
			c->o->plan(c->o->plan_arg, NULL, c->g->inputs[i], &e->cfg, true);
	}
	for (const hb_node *n = c->g->first; n; n = n->next) {
		for (int i = 0; i < n->nout; i++) {
			const hb_edge *e = n->out[i] && !is_inner(n) ? n->out[i]->user : NULL;
			if (!e)
				continue;
			hb_qconfig q = e->cfg;
			if (e->wide)
				q.dtype = HB_I32;
			if (role_of(n) == HB_ROLE_BOOL)
				q.dtype = HB_BOOL;
			if (role_of(n) == HB_ROLE_INDEX)
				q.dtype = HB_I32;
			c->o->plan(c->o->plan_arg, n, n->out[i], &q, e->observer);
		}
	}
}

/* Leaves no scales where it finds parts that want another round. */
static hb_status
calibrate(hb_calib *c, const hb_parts **found)
{
	bool watch = c->sampled && !c->parts && c->o->march && c->o->march->fig.int16;
	*found = NULL;
	HB_TRY(make_edges(c));
	HB_TRY(mark(c));
	if (c->o->plan) {
		tell_plan(c);
		return HB_OK;
	}
	hb_calib_tell_parts(c);
	if (c->o->save_stats || c->o->save_ranges)
		HB_TRY(observe_rest(c));
	if (watch)
		HB_TRY(hb_calib_watch_parts(c));
	HB_TRY(gather(c));
	if (c->o->save_stats)
		return hb_calib_save_stats(c);
	if (watch)
		HB_TRY(hb_calib_find_parts(c, found));
	if (*found)
		return HB_OK;
	observe_consts(c);
	HB_TRY(hb_calib_try(c));
	HB_TRY(hb_calib_set_scales(c));
	HB_TRY(hb_calib_find_means(c));
	return c->o->save_ranges ? hb_calib_save_ranges(c) : HB_OK;
}

/* With parts that an earlier round found, all in arena a. */
static hb_status
calibrate_once(hb_graph *g, const hb_calib_options *o, hb_arena *a, const hb_parts *parts, const hb_parts **found)
{
	hb_calib c = {
		.g = g, .o = o, .arena = a, .scaled = hb_has_scales(g), .sampled = o->sample || o->nstats || o->ranges, .parts = parts,
	};
	hb_calib_drop_copies(g);
	for (hb_tensor *t = g->tensors; t; t = t->next) {
		t->user = NULL;
		t->means = NULL;
		t->shift = NULL;
		t->rounded = NULL;
		t->weights_mse = false;
		if (t->q.from == HB_Q_OPEN || (t->producer && is_inner(t->producer)))
			t->q = (hb_q){ .dtype = HB_NONE };
	}
	hb_status st = calibrate(&c, found);
	if (st == HB_OK && !c.scaled)	/* else the model's scales are as good as they were */
		g->uncalibrated = !c.sampled;
	for (hb_tensor *t = g->tensors; t; t = t->next)
		t->user = NULL;
	return st;
}

hb_status
hb_pass_calibrate(hb_graph *g, const hb_calib_options *o)
{
	hb_arena *a = hb_arena_new(g->cx);
	const hb_parts *parts = NULL, *none;
	hb_status st = a ? calibrate_once(g, o, a, NULL, &parts) : hb_nomem(g->cx, "calibrate");
	if (st == HB_OK && parts)
		st = calibrate_once(g, o, a, parts, &none);
	hb_arena_free(a);
	return st;
}
