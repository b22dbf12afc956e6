/* calib_means.c: means of layers' inputs over the channels, float and quantized, for bias correction. */
#include "lib/pass/calib.h"

#include <math.h>

/* The channels of a layer's input whose means its bias correction reads: dim 1 of a map, the last of a matrix. */
hb_status
hb_calib_want_means(hb_calib *c, hb_node *n)
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
		hb_edge *e = hb_calib_edge(c, n, x);
		int dim = ops[i].last ? x->shape.rank - 1 : 1;
		if (!e)
			return hb_nomem(c->g->cx, n->name);
		if (e->sums && e->channel_dim != dim)
			return HB_OK;	/* a map that is read as a matrix too: the first reader has it */
		e->channel_dim = dim;
		e->sums = e->sums ? e->sums : HB_NEW_N(c->arena, double, x->shape.dim[dim]);
		for (int k = 0; k < 2 && e->sums; k++)
			e->qsums[k] = e->qsums[k] ? e->qsums[k] : HB_NEW_N(c->arena, double, x->shape.dim[dim]);
		c->means_bytes = HB_MAX(c->means_bytes, hb_tensor_bytes(x));
		return e->sums && e->qsums[0] && e->qsums[1] ? HB_OK : hb_nomem(c->g->cx, n->name);
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
add_sums(hb_calib *c, const hb_edge *e, const hb_val *v, const float *x, double *sums)
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
	hb_calib *c = arg;
	hb_edge *e = t->user;
	int64_t n = hb_shape_elems(&v->shape);
	if (!e || !e->sums || v->dtype != HB_F32 || e->mean_q[0].nscales < 1 || !n)
		return;
	add_sums(c, e, v, v->data, e->sums);
	for (int k = 0; k < 2 && e->mean_q[k].nscales > 0; k++) {
		hb_fake_quant(c->g->cx, v->data, &e->mean_q[k], &v->shape, c->o->round, c->quantized);
		add_sums(c, e, v, c->quantized, e->qsums[k]);
	}
	e->count += n / v->shape.dim[e->channel_dim];
}

/* The mean of n values' rounding errors as it would be over many: shrunk by the share that their variance, a twelfth of
 * the step's square, has in it (James and Stein's estimate). */
static double
beyond_chance(double mean, double step, int64_t n)
{
	double chance = step * step / 12 / (double)n;

	return mean != 0 ? mean * fmax(0, 1 - chance / (mean * mean)) : 0;
}

static hb_status
set_means(hb_calib *c)
{
	for (hb_tensor *t = c->g->tensors; t; t = t->next) {
		hb_edge *e = t->user;
		if (!e || !e->sums || !e->count)
			continue;
		int64_t n = t->shape.dim[e->channel_dim];
		for (int k = 0; k < 2 && e->mean_q[k].nscales > 0; k++) {
			double *m = e->means[k] = HB_NEW_N(c->g->arena, double, 2 * n);
			if (!m)
				return hb_nomem(c->g->cx, t->name);
			for (int64_t i = 0; i < n; i++) {
				bool finite = isfinite(e->sums[i]) && isfinite(e->qsums[k][i]);
				m[i] = finite ? e->sums[i] / (double)e->count : 0;
				double lost = finite ? e->qsums[k][i] / (double)e->count - m[i] : 0;
				m[n + i] = m[i] + beyond_chance(lost, hb_q_scale(&e->mean_q[k], i % e->mean_q[k].nscales), e->count);
			}
			if (k ? !hb_q_same(&e->mean_q[k], &t->q) : t->q.dtype == HB_NONE)
				continue;
			t->means = m;
			t->means_dim = e->channel_dim;
		}
	}
	return HB_OK;
}

/* The scale that t would have where it or what passes it on stood elsewhere. */
static hb_q
other_q(const hb_calib *c, const hb_tensor *t)
{
	const hb_edge *e = t->user;
	if (e->spare && e->observer && t->q.dtype != HB_NONE)
		return hb_calib_choose(c, e);
	while (t->producer && t->producer->op->role == HB_ROLE_PASS && t->producer->in[0] && !t->producer->group)
		t = t->producer->in[0];
	e = t->user;
	return e && e->observer ? hb_calib_choose(c, e) : (hb_q){ .dtype = HB_NONE };
}

hb_status
hb_calib_find_means(hb_calib *c)
{
	if (!c->means_bytes)
		return HB_OK;
	if (c->o->ranges)
		return hb_calib_load_means(c);
	for (hb_tensor *t = c->g->tensors; t; t = t->next) {
		hb_edge *e = t->user;
		if (!e || !e->sums)
			continue;
		e->mean_q[0] = t->q.dtype == HB_NONE && e->observer ? hb_calib_choose(c, e) : t->q;
		if (c->o->save_ranges)
			e->mean_q[1] = other_q(c, t);
		if (hb_q_same(&e->mean_q[0], &e->mean_q[1]))
			e->mean_q[1] = (hb_q){ .dtype = HB_NONE };
	}
	c->quantized = hb_big_alloc(c->g->cx, (size_t)c->means_bytes);
	if (!c->quantized)
		return hb_nomem(c->g->cx, "calibrate");
	hb_status st = hb_calib_run(c, HB_FEW_SAMPLES, tap_means);
	hb_big_free(c->g->cx, c->quantized, (size_t)c->means_bytes);
	return st == HB_OK ? set_means(c) : st;
}
