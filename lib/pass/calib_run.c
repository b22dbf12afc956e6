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

static hb_status
noise_sample(hb_calib *c, int64_t k, hb_val *in)
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
hb_status
hb_calib_run(hb_calib *c, int64_t limit, hb_tap *look)
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
