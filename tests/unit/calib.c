/* calib: calibration over samples as a whole: what it holds, what it leaves. */
#include "tests/test.h"

#include <math.h>

#include "lib/pass/pass.h"

/* Conv, Relu, MaxPool, Conv of a 1x3x16x16 input. */
static hb_graph *
network(hb_ctx *cx)
{
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *t = test_input(g, "x", test_shape(4, 1, 3, 16, 16));

	for (int k = 0; k < 2; k++) {
		hb_shape s = test_shape(4, 8, k ? 8 : 3, 3, 3);
		hb_tensor *w = hb_tensor_const(g, k ? "w1" : "w0", HB_F32, &s, NULL);

		for (int64_t i = 0; i < hb_shape_elems(&s); i++)
			((float *)(uintptr_t)w->data)[i] = sinf((float)i * 1.7f) * 0.2f;
		t = test_node(g, "Conv", k ? "c1" : "c0", t, w, NULL, NULL);
		if (k)
			break;
		t = test_node(g, "Relu", "r0", t, NULL, NULL, NULL);
		t = test_node(g, "MaxPool", "p0", t, NULL, NULL, NULL);
		hb_attr_set_ints(g, t->producer, "kernel_shape", (int64_t[]){ 2, 2 }, 2);
	}
	test_output(g, t);
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	assert_int_equal(hb_pass_fuse(g), HB_OK);
	for (hb_node *n = g->first; n; n = n->next)
		n->on = HB_ON_BPU;
	return g;
}

typedef struct feed {
	hb_ctx *cx;
	int64_t count;
	uint64_t most;			/* bytes held at any sample */
} feed;

static hb_status
sample(void *arg, int64_t k, hb_val *in, bool *more)
{
	feed *f = arg;
	float *x = in[0].data;

	f->most = HB_MAX(f->most, f->cx->memory);
	*more = k < f->count;
	for (int i = 0; *more && i < 3 * 16 * 16; i++)
		x[i] = sinf((float)(i + 1) * (float)(k + 1)) * (1 + 0.001f * (float)k);
	return HB_OK;
}

static uint64_t
memory_with(int64_t count, hb_observer_kind kind, bool stats)
{
	hb_ctx *cx = test_ctx(NULL, 2);
	feed f = { .cx = cx, .count = count };
	hb_buf saved = { .cx = cx };
	hb_calib_options o = {
		.activations = { .dtype = HB_I8, .observer = { .kind = kind } }, .sample = sample, .arg = &f, .save_stats = stats ? &saved : NULL,
	};

	assert_int_equal(hb_pass_calibrate(network(cx), &o), HB_OK);
	hb_buf_free(&saved);
	hb_ctx_free(cx);
	return f.most;
}

static void
memory_is_the_same_for_10_and_10000_samples(void **state)
{
	static const hb_observer_kind kinds[] = { HB_OBS_MSE, HB_OBS_MOVING, HB_OBS_HISTOGRAM };

	(void)state;
	for (size_t i = 0; i < HB_LEN(kinds); i++)
		assert_int_equal(memory_with(10, kinds[i], false), memory_with(10000, kinds[i], false));
	assert_int_equal(memory_with(10, HB_OBS_MSE, true), memory_with(10000, HB_OBS_MSE, true));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_the_same_for_10_and_10000_samples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
