/* refine: biases and weights chosen over samples, and what one edge's quantization costs. */
#include "tests/test.h"

#include <math.h>

#include "lib/pass/pass.h"

enum { SIDE = 12, CHANNELS = 6, SAMPLES = 4 };

/* Three Conv and Relu in a row, of a 1x3xSIDExSIDE input; every operator on the BPU. */
static hb_graph *
network(hb_ctx *cx)
{
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *t = test_input(g, "x", test_shape(4, 1, 3, SIDE, SIDE));

	for (int k = 0; k < 3; k++) {
		hb_shape s = test_shape(4, CHANNELS, k ? CHANNELS : 3, 3, 3);
		hb_tensor *w = hb_tensor_const(g, hb_arena_printf(g->arena, "w%d", k), HB_F32, &s, NULL);

		for (int64_t i = 0; i < hb_shape_elems(&s); i++)
			((float *)(uintptr_t)w->data)[i] = sinf((float)(i + 7 * k) * 1.7f) * (i % 5 ? 0.05f : 0.4f);
		t = test_node(g, "Conv", hb_arena_printf(g->arena, "c%d", k), t, w, NULL, NULL);
		t = test_node(g, "Relu", hb_arena_printf(g->arena, "r%d", k), t, NULL, NULL, NULL);
	}
	test_output(g, t);
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	assert_int_equal(hb_pass_fuse(g), HB_OK);
	for (hb_node *n = g->first; n; n = n->next)
		n->on = HB_ON_BPU;
	return g;
}

static hb_status
sample(void *arg, int64_t k, hb_val *in, bool *more)
{
	float *x = in[0].data;

	(void)arg;
	*more = k < SAMPLES;
	for (int i = 0; *more && i < 3 * SIDE * SIDE; i++)
		x[i] = sinf((float)(i + 1) * 0.37f * (float)(k + 1)) + 0.3f * cosf((float)i * 0.11f);
	return HB_OK;
}

static hb_graph *
calibrated(hb_ctx *cx)	/* without any correction of biases */
{
	hb_graph *g = network(cx);
	hb_calib_options o = { .activations = { .dtype = HB_I8, .observer = { .kind = HB_OBS_MSE } }, .sample = sample, .no_bias_correction = true };

	assert_int_equal(hb_pass_calibrate(g, &o), HB_OK);
	return g;
}

/* Signal to noise of the fixed-point form of g over the samples; *bias: the largest mean error of an output channel. */
static double
sqnr_of(hb_graph *g, double *bias)
{
	hb_graph *fixed;
	hb_status st;
	hb_measure e = { 0 };
	double lost[CHANNELS] = { 0 };
	float *x = malloc(3 * SIDE * SIDE * sizeof(float));
	hb_val in = { HB_F32, test_shape(4, 1, 3, SIDE, SIDE), x }, a, b;

	assert_int_equal(hb_pass_convert(g, HB_HALF_EVEN, &fixed), HB_OK);
	hb_exec *plain = hb_exec_new(g, &st), *ints = hb_exec_new(fixed, &st);
	assert_non_null(plain);
	assert_non_null(ints);
	for (int64_t k = 0; k < SAMPLES; k++) {
		bool more;

		sample(NULL, k, &in, &more);
		assert_int_equal(hb_exec_run(plain, &in, &a, NULL, NULL), HB_OK);
		assert_int_equal(hb_exec_run(ints, &in, &b, NULL, NULL), HB_OK);
		int64_t n = hb_shape_elems(&a.shape);
		hb_measure_add(&e, a.data, b.data, n);
		for (int64_t i = 0; i < n; i++)
			lost[i / (n / CHANNELS)] += ((const float *)b.data)[i] - ((const float *)a.data)[i];
	}
	*bias = 0;
	for (int c = 0; c < CHANNELS; c++)
		*bias = fmax(*bias, fabs(lost[c]));
	hb_exec_free(plain);
	hb_exec_free(ints);
	free(x);
	return hb_measure_sqnr(&e);
}

static void
refined_biases_take_the_mean_error_off_the_outputs(void **state)
{
	hb_ctx *cx = test_ctx(NULL, 2);
	hb_graph *g = calibrated(cx);
	hb_refine_options o = { .sample = sample };
	double before, after, cosine = 0, was = sqnr_of(g, &before);

	(void)state;
	assert_int_equal(hb_pass_refine(g, &o, &cosine), HB_OK);
	assert_true(cosine > 0.99 && cosine <= 1);
	assert_true(sqnr_of(g, &after) > was);
	assert_true(after < before);
	hb_ctx_free(cx);
}

static void
rounding_for_the_output_beats_rounding_to_the_nearest(void **state)
{
	hb_ctx *cx = test_ctx(NULL, 2);
	hb_graph *g = calibrated(cx);
	hb_refine_options o = { .sample = sample };
	double bias, cosine, nearest, better;

	(void)state;
	assert_int_equal(hb_pass_refine(g, &o, &cosine), HB_OK);
	nearest = sqnr_of(g, &bias);
	o.round_weights = true;
	assert_int_equal(hb_pass_refine(g, &o, &cosine), HB_OK);
	better = sqnr_of(g, &bias);
	assert_true(better > nearest + 0.5);
	hb_ctx_free(cx);
}

static void
threads_and_lanes_leave_no_trace(void **state)
{
	double shift[2][CHANNELS];
	int8_t q[2][CHANNELS * CHANNELS * 9];

	(void)state;
	for (int jobs = 1; jobs <= 2; jobs++) {
		hb_ctx *cx = test_ctx(NULL, jobs);
		hb_graph *g = calibrated(cx);
		hb_refine_options o = { .sample = sample, .round_weights = true };
		double cosine;

		assert_int_equal(hb_pass_refine(g, &o, &cosine), HB_OK);
		hb_node *last = hb_tensor_find(g, "w2")->uses[0].node;
		memcpy(shift[jobs - 1], last->out[0]->shift, sizeof(shift[0]));
		memcpy(q[jobs - 1], last->in[1]->rounded, sizeof(q[0]));
		hb_ctx_free(cx);
	}
	assert_memory_equal(shift[0], shift[1], sizeof(shift[0]));
	assert_memory_equal(q[0], q[1], sizeof(q[0]));
}

/* By hand: the float model run with that edge alone on its grid. */
typedef struct one_edge {
	hb_ctx *cx;
	const hb_tensor *t;
} one_edge;

static void
quantize_one(void *arg, hb_tensor *t, const hb_val *v)
{
	const one_edge *e = arg;

	if (t == e->t)
		hb_fake_quant_n(e->cx, v->data, t->q.scale, t->q.dtype, HB_HALF_EVEN, v->data, hb_shape_elems(&v->shape));
}

static void
ignore(void *arg, hb_tensor *t, const hb_val *v)
{
	(void)arg;
	(void)t;
	(void)v;
}

static void
sensitivity_is_the_error_of_quantizing_that_edge_alone(void **state)
{
	hb_ctx *cx = test_ctx(NULL, 2);
	hb_graph *g = calibrated(cx);
	const hb_march *m = hb_march_find("bayes");
	hb_refine_options o = { .sample = sample };
	hb_sensitivity *s;
	hb_status st;
	size_t n;
	float *x = malloc(3 * SIDE * SIDE * sizeof(float)), *kept;

	(void)state;
	assert_int_equal(hb_pass_sensitivity(g, m, &o, &s, &n), HB_OK);
	assert_int_equal(n, 4);		/* the input and three groups' outputs */
	hb_exec *ex = hb_exec_new(g, &st);
	for (size_t i = 0; i < n; i++) {
		one_edge e = { cx, s[i].t };
		hb_measure sum = { 0 };

		for (int64_t k = 0; k < 2; k++) {
			hb_val in = { HB_F32, test_shape(4, 1, 3, SIDE, SIDE), x }, out;
			bool more;

			sample(NULL, k, &in, &more);
			assert_int_equal(hb_exec_run(ex, &in, &out, ignore, NULL), HB_OK);
			int64_t count = hb_shape_elems(&out.shape);
			kept = malloc((size_t)count * sizeof(float));
			memcpy(kept, out.data, (size_t)count * sizeof(float));
			assert_int_equal(hb_exec_run(ex, &in, &out, quantize_one, &e), HB_OK);
			hb_measure_add(&sum, kept, out.data, count);
			free(kept);
		}
		assert_float_equal(s[i].noise, sum.dd / sum.aa, 1e-12);
		assert_true(s[i].noise > 0);
	}
	hb_exec_free(ex);
	free(x);
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refined_biases_take_the_mean_error_off_the_outputs),
		cmocka_unit_test(rounding_for_the_output_beats_rounding_to_the_nearest),
		cmocka_unit_test(threads_and_lanes_leave_no_trace),
		cmocka_unit_test(sensitivity_is_the_error_of_quantizing_that_edge_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
