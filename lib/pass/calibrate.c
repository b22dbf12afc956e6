/* calibrate: takes a fused, placed float graph; leaves q on every edge that a BPU
 * node reads or writes, from samples or, uncalibrated, from seeded noise. */
#include "lib/pass/pass.h"

#include <math.h>

/* What stands on tensor->user while this pass runs. */
typedef struct edge {
	hb_qconfig cfg;
	hb_observer *observer;		/* NULL: its scale comes from another edge */
	bool wide;			/* stays int32 */
	double *sums, *qsums;		/* of each channel, float and quantized, where a layer's bias wants means; else NULL */
	int channel_dim;
	int64_t count;			/* values in each sum */
} edge;

typedef struct calib {
	hb_graph *g;
	const hb_calib_options *o;
	hb_arena *arena;
	uint64_t means_bytes;		/* of the largest tensor whose means are wanted; 0: none are */
	float *quantized;		/* that many bytes, in the pass for means */
	bool scaled;			/* the model has scales of its own */
} calib;

bool
hb_const_is_data(const hb_node *n, int i)
{
	static const char *const ops[] = {
		"Add", "Sub", "Mul", "Div", "Sum", "Max", "Min", "Concat", "Where",
		"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual",
	};
	if (n->group && (n->group->chain_in || n->group->bias == n))
		return false;
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

static hb_role
role_of(const hb_node *n)
{
	if (!n->group)
		return n->op->role;
	return n->group->chain_in ? HB_ROLE_OWN : n->group->root->op->role;
}

static edge *
edge_new(calib *c, const hb_node *n, hb_tensor *t)
{
	if (t->user)
		return t->user;
	edge *e = HB_NEW(c->arena, edge);
	if (!e)
		return NULL;
	const hb_qconfig *own = c->o->config ? c->o->config(c->o->config_arg, n, t) : NULL;
	e->cfg = own ? *own : c->o->activations;
	if (e->cfg.dtype == HB_I16 && c->o->march && !hb_march_takes(c->o->march, t, HB_I16)) {
		e->cfg.dtype = HB_I8;	/* a neighbour takes no int16 */
		hb_note(c->g->cx, t->name, "int16-neighbour", "is int8: an operator beside it takes no int16 on %s", c->o->march->name);
	}
	t->user = e;
	return e;
}

static double
read_by(const void *arg, double x)
{
	const hb_node *n = arg;
	return n->group ? hb_chain_eval(n->group, x) : n->op->lut(n, x);
}

/* The lookup that alone reads t, or NULL. */
static const hb_node *
only_lookup(const hb_tensor *t)
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
	return n->op->lut && n->op->role == HB_ROLE_OWN ? n : NULL;
}

/* A scale of the file, one for the tensor. int16 where a neighbour takes none is int8 of the same range. */
static bool
given(const calib *c, hb_tensor *t)
{
	if (t->q.from == HB_Q_OPEN || t->q.nscales != 1)
		return false;
	if (t->q.dtype == HB_I16 && c->o->march && !hb_march_takes(c->o->march, t, HB_I16)) {
		t->q.dtype = HB_I8;
		t->q.scale = (float)((double)t->q.scale * 65535 / 255);
		hb_note(c->g->cx, t->name, "int16-neighbour", "is int8: an operator beside it takes no int16 on %s", c->o->march->name);
	}
	return true;
}

static hb_status
observe(calib *c, hb_node *n, hb_tensor *t)
{
	edge *e = edge_new(c, n, t);
	if (e && given(c, t))
		return HB_OK;
	const hb_node *reader = only_lookup(t);
	if (e && reader) {
		e->cfg.observer.reader = read_by;
		e->cfg.observer.reader_arg = reader;
	}
	if (e && !e->observer)
		e->observer = hb_observer_new(c->arena, &e->cfg.observer, e->cfg.dtype);
	return e && e->observer ? HB_OK : hb_nomem(c->g->cx, t->name);
}

/* A conv or gemm that is a model output without activation keeps its accumulator's precision. */
static bool
stays_wide(const calib *c, const hb_node *n, const hb_tensor *t)
{
	static const char *const ops[] = { "Conv", "ConvTranspose", "Gemm", "MatMul" };
	const hb_node *root = n->group ? n->group->root : n;
	if (c->o->low_precision_output || t->q.from != HB_Q_OPEN || (n->group && (n->group->act || n->group->chain_in)))
		return false;
	if (c->scaled && !c->o->sample) {	/* what the CPU goes on with in float */
		for (size_t i = 0; i < t->nuses; i++) {
			if (t->uses[i].node->on == HB_ON_BPU)
				return false;
		}
	} else if (!t->is_output || t->nuses) {
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

/* The channels of a layer's input whose means its bias correction reads: dim 1 of a map, the last of a matrix. */
static hb_status
want_means(calib *c, hb_node *n)
{
	static const struct {
		const char *op;
		bool last;
	} ops[] = { { "Conv", false }, { "ConvTranspose", false }, { "Gemm", true }, { "MatMul", true } };
	hb_tensor *x = n->in[0];
	for (size_t i = 0; i < HB_LEN(ops); i++) {
		if (strcmp(n->op_type, ops[i].op) || !n->in[1]->is_const || n->in[1]->q.from != HB_Q_OPEN || x->is_const || x->shape.rank < 2)
			continue;
		if (!strcmp(n->op_type, "Gemm") && hb_attr_i(n, "transA", 0))
			return HB_OK;
		edge *e = edge_new(c, n, x);
		int dim = ops[i].last ? x->shape.rank - 1 : 1;
		if (!e)
			return hb_nomem(c->g->cx, n->name);
		if (e->sums && e->channel_dim != dim)
			return HB_OK;	/* a map that is read as a matrix too: the first reader has it */
		e->channel_dim = dim;
		e->sums = e->sums ? e->sums : HB_NEW_N(c->arena, double, x->shape.dim[dim]);
		e->qsums = e->qsums ? e->qsums : HB_NEW_N(c->arena, double, x->shape.dim[dim]);
		c->means_bytes = HB_MAX(c->means_bytes, hb_tensor_bytes(x));
		return e->sums && e->qsums ? HB_OK : hb_nomem(c->g->cx, n->name);
	}
	return HB_OK;
}

typedef struct sum_job {
	const float *x;
	double *sums;
	int64_t outer, channels, inner;
} sum_job;

static void
sum_channels(void *arg, int64_t begin, int64_t end, int worker)
{
	const sum_job *j = arg;
	(void)worker;
	for (int64_t ch = begin; ch < end; ch++) {
		for (int64_t o = 0; o < j->outer; o++) {
			const float *p = j->x + (o * j->channels + ch) * j->inner;
			double s = 0;
			for (int64_t i = 0; i < j->inner; i++)
				s += p[i];
			j->sums[ch] += s;
		}
	}
}

static void
add_sums(calib *c, const edge *e, const hb_val *v, const float *x, double *sums)
{
	sum_job j = {
		.x = x, .sums = sums, .outer = hb_shape_span(&v->shape, 0, e->channel_dim),
		.channels = v->shape.dim[e->channel_dim], .inner = hb_shape_span(&v->shape, e->channel_dim + 1, v->shape.rank),
	};
	hb_parallel(c->g->cx, j.channels, HB_MAX(1, 65536 / HB_MAX(j.outer * j.inner, 1)), sum_channels, &j);
}

static void
tap_means(void *arg, hb_tensor *t, const hb_val *v)
{
	calib *c = arg;
	edge *e = t->user;
	int64_t n = hb_shape_elems(&v->shape);
	if (!e || !e->sums || v->dtype != HB_F32 || t->q.nscales != 1 || !n)
		return;
	hb_fake_quant_n(c->g->cx, v->data, t->q.scale, t->q.dtype, c->o->round, c->quantized, n);
	add_sums(c, e, v, v->data, e->sums);
	add_sums(c, e, v, c->quantized, e->qsums);
	e->count += n / v->shape.dim[e->channel_dim];
}

static hb_status
set_means(calib *c)
{
	for (hb_tensor *t = c->g->tensors; t; t = t->next) {
		const edge *e = t->user;
		if (!e || !e->sums || !e->count)
			continue;
		int64_t n = t->shape.dim[e->channel_dim];
		double *m = HB_NEW_N(c->g->arena, double, 2 * n);
		if (!m)
			return hb_nomem(c->g->cx, t->name);
		for (int64_t i = 0; i < n; i++) {
			bool finite = isfinite(e->sums[i]) && isfinite(e->qsums[i]);
			m[i] = finite ? e->sums[i] / (double)e->count : 0;
			m[n + i] = finite ? e->qsums[i] / (double)e->count : 0;
		}
		t->means = m;
		t->means_dim = e->channel_dim;
	}
	return HB_OK;
}

/* Which edges are quantized, and which of them have an observer. */
static hb_status
mark(calib *c)
{
	for (hb_node *n = c->g->first; n; n = n->next) {
		if (n->on != HB_ON_BPU)
			continue;
		if (c->o->sample && !c->o->no_bias_correction)
			HB_TRY(want_means(c, n));
		for (int i = 0; i < n->nin; i++) {
			hb_tensor *t = n->in[i];
			if (!t || t->dtype != HB_F32 || (t->producer && t->producer->on == HB_ON_BPU))
				continue;
			if (!t->is_const || hb_const_is_data(n, i))
				HB_TRY(observe(c, n, t));
		}
		if (is_inner(n))
			continue;
		hb_role role = role_of(n);
		for (int i = 0; i < n->nout; i++) {
			hb_tensor *t = n->out[i];
			if (!t)
				continue;
			edge *e = edge_new(c, n, t);
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
needs_run(calib *c, bool *run)
{
	*run = !c->scaled;
	for (hb_node *n = c->g->first; n && !*run; n = n->next) {
		for (int i = 0; i < n->nin + n->nout && n->on == HB_ON_BPU; i++) {
			const hb_tensor *t = i < n->nin ? n->in[i] : n->out[i - n->nin];
			const edge *e = t ? t->user : NULL;
			if (!e || t->is_const || !e->observer)
				continue;
			if (!c->o->sample)
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
	calib *c = arg;
	edge *e = t->user;
	if (e && e->observer && v->dtype == HB_F32)
		hb_observer_add(c->g->cx, e->observer, v->data, hb_shape_elems(&v->shape));
}

/* Uniform in [-1, 1), by batch, input and element: splitmix64. */
static float
noise(uint64_t seed)
{
	uint64_t z = seed * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0x632be59bd9b4e019);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (float)(int32_t)((z ^ z >> 31) >> 40) * 0x1p-23f - 1.0f;
}

enum { NOISE_BATCHES = 4 };

static hb_status
noise_sample(calib *c, int64_t k, hb_val *in)
{
	for (size_t i = 0; i < c->g->ninputs; i++) {
		int64_t n = hb_shape_elems(&in[i].shape);
		if (in[i].dtype != HB_F32)
			memset(in[i].data, 0, (size_t)n * hb_dtype_size(in[i].dtype));
		else
			for (int64_t j = 0; j < n; j++)
				((float *)in[i].data)[j] = noise((uint64_t)j * 64 + (uint64_t)k * 8 + i);
	}
	return HB_OK;
}

/* Runs the float model on the first `limit` samples, or on noise. */
static hb_status
run_samples(calib *c, int64_t limit, hb_tap *look)
{
	hb_graph *g = c->g;
	hb_status st;
	hb_val *in = HB_NEW_N(c->arena, hb_val, g->ninputs), *out = HB_NEW_N(c->arena, hb_val, g->noutputs);
	if (!in || !out)
		return hb_nomem(g->cx, "calibrate");
	for (size_t i = 0; i < g->ninputs; i++) {
		in[i] = (hb_val){ g->inputs[i]->dtype, g->inputs[i]->shape, NULL };
		in[i].data = hb_arena_alloc(c->arena, HB_MAX((size_t)hb_tensor_bytes(g->inputs[i]), (size_t)1024));
		if (!in[i].data)
			return hb_nomem(g->cx, g->inputs[i]->name);
	}
	hb_exec *ex = hb_exec_new(g, &st);
	if (!ex)
		return st;
	bool more = true;
	int64_t k = 0;
	while (st == HB_OK && more && k < limit) {
		if (c->o->sample)
			st = c->o->sample(c->o->arg, k, in, &more);
		else
			st = (more = k < NOISE_BATCHES) ? noise_sample(c, k, in) : HB_OK;
		if (st != HB_OK || !more)
			break;
		st = hb_exec_run(ex, in, out, look, c);
		hb_progress(g->cx, "calibrate", ++k, c->o->sample ? 0 : NOISE_BATCHES);
	}
	hb_exec_free(ex);
	if (st == HB_OK && !k)
		st = hb_error(g->cx, HB_ERR_INPUT, NULL, "no-samples", "there is no calibration sample; at least one is needed");
	return st;
}

static void
observe_consts(calib *c)
{
	for (hb_tensor *t = c->g->tensors; t; t = t->next) {
		edge *e = t->user;
		const float *v = e && e->observer && t->is_const ? hb_tensor_data(c->g, t) : NULL;
		if (v)
			hb_observer_add(c->g->cx, e->observer, v, hb_tensor_elems(t));
	}
}

static void
set_observed(calib *c, hb_tensor *t, const edge *e)
{
	hb_range r;
	hb_observer_range(e->observer, &r);
	if (t->is_const)
		r.absmax = HB_MAX(-r.min, r.max);	/* a constant's range is known: nothing to clip */
	t->q = (hb_q){
		.dtype = e->cfg.dtype, .nscales = 1, .min = r.min, .max = r.max,
		.scale = hb_scale_of(HB_MAX(r.absmax, 0.0f), e->cfg.dtype, c->o->divisor_qmax),
		.observer = hb_observer_name(t->is_const ? HB_OBS_MINMAX : e->cfg.observer.kind),
	};
	if (e->cfg.observer.kind == HB_OBS_FIXED && !t->is_const)
		t->q.scale = e->cfg.observer.fixed_scale;
	if (r.nonfinite)
		hb_warn(c->g->cx, t->name, "nonfinite", "%lld values of tensor '%s' were infinite or no number; they were left out",
			(long long)r.nonfinite, t->name);
}

static bool
equal_inputs(const hb_node *n)
{
	for (int i = 1; i < n->nin; i++) {
		const hb_q *a = &n->in[0]->q, *b = &n->in[i]->q;
		if (a->dtype != b->dtype || a->scale != b->scale)
			return false;
	}
	return true;
}

static void
set_scales(calib *c)
{
	for (hb_tensor *t = c->g->tensors; t; t = t->next) {
		const edge *e = t->user;
		if (e && e->observer)
			set_observed(c, t, e);
	}
	for (hb_node *n = c->g->first; n; n = n->next) {
		if (n->on != HB_ON_BPU || is_inner(n))
			continue;
		hb_role role = role_of(n);
		for (int i = 0; i < n->nout; i++) {
			hb_tensor *t = n->out[i];
			const edge *e = t ? t->user : NULL;
			if (!e || t->q.from != HB_Q_OPEN)
				continue;
			if (e->wide)
				t->q = (hb_q){ .dtype = HB_I32, .observer = "derived" };	/* scales: convert */
			else if (role == HB_ROLE_BOOL)
				t->q = (hb_q){ .dtype = HB_BOOL, .nscales = 1, .scale = 1, .observer = "derived" };
			else if (role == HB_ROLE_INDEX || t->dtype != HB_F32)
				t->q = (hb_q){ .dtype = HB_I32, .nscales = 1, .scale = 1, .observer = "derived" };
			else if (role == HB_ROLE_PASS || (role == HB_ROLE_CAT && equal_inputs(n)))
				t->q = n->in[0]->q;
		}
	}
}

enum { MEANS_SAMPLES = 8 };	/* enough for means; more would make calibration longer for nothing */

/* Means of layers' inputs, float and quantized: a second pass, since it takes the scales. */
static hb_status
find_means(calib *c)
{
	if (!c->means_bytes)
		return HB_OK;
	c->quantized = hb_big_alloc(c->g->cx, (size_t)c->means_bytes);
	if (!c->quantized)
		return hb_nomem(c->g->cx, "calibrate");
	hb_status st = run_samples(c, MEANS_SAMPLES, tap_means);
	hb_big_free(c->g->cx, c->quantized, (size_t)c->means_bytes);
	return st == HB_OK ? set_means(c) : st;
}

hb_status
hb_pass_calibrate(hb_graph *g, const hb_calib_options *o)
{
	calib c = { .g = g, .o = o, .arena = hb_arena_new(g->cx), .scaled = hb_has_scales(g) };
	bool run = true;
	if (!c.arena)
		return hb_nomem(g->cx, "calibrate");
	for (hb_tensor *t = g->tensors; t; t = t->next) {
		t->user = NULL;
		t->means = NULL;
		if (t->q.from == HB_Q_OPEN || (t->producer && is_inner(t->producer)))
			t->q = (hb_q){ .dtype = HB_NONE };
	}
	hb_status st = mark(&c);
	if (st == HB_OK)
		st = needs_run(&c, &run);
	if (st == HB_OK && run)
		st = run_samples(&c, INT64_MAX, tap);
	if (st == HB_OK) {
		observe_consts(&c);
		set_scales(&c);
		st = find_means(&c);
		if (!c.scaled)		/* else the model's scales are as good as they were */
			g->uncalibrated = !o->sample;
	}
	for (hb_tensor *t = g->tensors; t; t = t->next)
		t->user = NULL;
	hb_arena_free(c.arena);
	return st;
}
