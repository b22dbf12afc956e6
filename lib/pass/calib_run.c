/* calib_run.c: runs the float model on samples, or on seeded noise. */
#include "lib/pass/calib.h"

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

void
hb_noise_sample(hb_val *in, size_t ninputs, int64_t k)
{
	for (size_t i = 0; i < ninputs; i++) {
		int64_t n = hb_shape_elems(&in[i].shape);
		if (in[i].dtype != HB_F32)
			memset(in[i].data, 0, (size_t)n * hb_dtype_size(in[i].dtype));
		else
			for (int64_t j = 0; j < n; j++)
				((float *)in[i].data)[j] = noise((uint64_t)j * 64 + (uint64_t)k * 8 + i);
	}
}

/* Sample k of those that are kept. */
static void
kept_sample(const hb_calib *c, int64_t k, hb_val *in)
{
	const uint8_t *from = c->kept + (size_t)k * c->sample_bytes;
	for (size_t i = 0; i < c->g->ninputs; i++) {
		size_t bytes = (size_t)hb_tensor_bytes(c->g->inputs[i]);
		memcpy(in[i].data, from, bytes);
		from += bytes;
	}
}

static void
keep_sample(hb_calib *c, const hb_val *in)
{
	uint8_t *to = c->kept + (size_t)c->nkept * c->sample_bytes;
	for (size_t i = 0; i < c->g->ninputs; i++) {
		size_t bytes = (size_t)hb_tensor_bytes(c->g->inputs[i]);
		memcpy(to, in[i].data, bytes);
		to += bytes;
	}
	c->nkept++;
}

/* Values for sample k; *more false where there is none. */
static hb_status
next_sample(hb_calib *c, int64_t k, hb_val *in, bool *more)
{
	*more = true;
	if (c->o->sample) {
		HB_TRY(c->o->sample(c->o->arg, k, in, more));
		if (*more && c->kept && c->nkept == k && k < HB_FEW_SAMPLES)
			keep_sample(c, in);
		return HB_OK;
	}
	*more = k < (c->sampled ? c->nkept : NOISE_BATCHES);
	if (*more && c->sampled)
		kept_sample(c, k, in);
	else if (*more)
		hb_noise_sample(in, c->g->ninputs, k);
	return HB_OK;
}

/* What the taps of calibration look at. */
static bool
is_observed(const hb_tensor *t)
{
	const hb_edge *e = t->user;
	return e && (e->observer || e->sums);
}

hb_status
hb_calib_run(hb_calib *c, int64_t limit, hb_tap *look)
{
	hb_graph *g = c->g;
	hb_status st;
	if (c->sampled && !c->o->sample && !c->nkept)
		return HB_OK;
	hb_val *in = HB_NEW_N(c->arena, hb_val, g->ninputs), *out = HB_NEW_N(c->arena, hb_val, g->noutputs);
	if (!in || !out)
		return hb_nomem(g->cx, "calibrate");
	for (size_t i = 0; i < g->ninputs; i++) {
		in[i] = (hb_val){ g->inputs[i]->dtype, g->inputs[i]->shape, NULL };
		in[i].data = hb_arena_alloc(c->arena, HB_MAX((size_t)hb_tensor_bytes(g->inputs[i]), (size_t)1024));
		if (!in[i].data)
			return hb_nomem(g->cx, g->inputs[i]->name);
	}
	hb_exec *ex = hb_exec_new_for(g, is_observed, &st);
	if (!ex)
		return st;
	bool more = true;
	int64_t k = 0;
	while (st == HB_OK && k < limit) {
		st = next_sample(c, k, in, &more);
		if (st != HB_OK || !more)
			break;
		st = hb_exec_run(ex, in, out, look, c);
		if (st == HB_OK && c->after)
			st = c->after(c, in, out);
		hb_progress(g->cx, "calibrate", ++k, c->o->sample ? 0 : HB_MIN(limit, c->sampled ? c->nkept : NOISE_BATCHES));
	}
	hb_exec_free(ex);
	if (st == HB_OK && !k)
		st = hb_error(g->cx, HB_ERR_INPUT, NULL, "no-samples", "there is no calibration sample; at least one is needed");
	return st;
}
