/* Operators that draw numbers: their distributions, and that a run repeats. */
#include "tests/test.h"

#include <math.h>

#include "ops/exec.h"

enum { N = 4096 };

static const float *
drawn(hb_graph *g, const char *op, float seed, const char *p, float pv, const char *q, float qv, const float *in)
{
	int64_t dim[] = { N };
	hb_tensor *x = in ? test_const(g, "x", test_shape(1, N), in) : NULL;
	hb_node *n = hb_node_new(g, NULL, "n", "", op, 22, x ? 1 : 0, 1);
	hb_val y = { 0 }, *out[] = { &y }, xv = { HB_F32, test_shape(1, N), NULL };
	const hb_val *args[] = { &xv };
	if (x) {
		hb_node_set_in(g, n, 0, x);
		xv.data = (void *)(uintptr_t)x->data;
	} else {
		assert_true(hb_attr_set_ints(g, n, "shape", dim, 1));
	}
	hb_node_set_out(n, 0, hb_tensor_new(g, "y", HB_NONE, NULL));
	assert_true(hb_attr_set_f(g, n, "seed", seed));
	if (p)
		assert_true(hb_attr_set_f(g, n, p, pv) && hb_attr_set_f(g, n, q, qv));
	assert_int_equal(hb_op_infer(g, n), HB_OK);
	y = (hb_val){ n->out[0]->dtype, n->out[0]->shape, NULL };
	assert_int_equal(hb_exec_node(g, n, args, out, g->arena), HB_OK);
	assert_int_equal(y.dtype, HB_F32);
	return y.data;
}

static void
moments(const float *v, double *mean, double *deviation)
{
	double s = 0, q = 0;
	for (int i = 0; i < N; i++)
		s += (double)v[i] / N;
	for (int i = 0; i < N; i++)
		q += ((double)v[i] - s) * ((double)v[i] - s) / N;
	*mean = s;
	*deviation = sqrt(q);
}

static void
normal_and_uniform_numbers_have_the_moments_asked_for(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	double mean, deviation;
	moments(drawn(g, "RandomNormal", 1, "mean", 3, "scale", 2, NULL), &mean, &deviation);
	assert_true(fabs(mean - 3) < 0.15 && fabs(deviation - 2) < 0.1);
	moments(drawn(g, "RandomUniform", 1, "low", -1, "high", 5, NULL), &mean, &deviation);
	assert_true(fabs(mean - 2) < 0.15 && fabs(deviation - 6 / sqrt(12)) < 0.05);
	const float *v = drawn(g, "RandomUniform", 1, "low", -1, "high", 5, NULL);
	for (int i = 0; i < N; i++)
		assert_true(v[i] >= -1 && v[i] < 5);
	hb_ctx_free(cx);
}

static void
a_seed_repeats_its_numbers_and_another_has_others(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	const float *a = drawn(g, "RandomNormal", 1, NULL, 0, NULL, 0, NULL), *b = drawn(g, "RandomNormal", 1, NULL, 0, NULL, 0, NULL);
	const float *c = drawn(g, "RandomNormal", 2, NULL, 0, NULL, 0, NULL);
	int same = 0;
	assert_memory_equal(a, b, N * sizeof(float));
	for (int i = 0; i < N; i++)
		same += a[i] == c[i];
	assert_true(same < 8);
	hb_ctx_free(cx);
}

static void
bernoulli_is_one_as_often_as_the_input_says(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	float p[N];
	int ones[3] = { 0 };
	for (int i = 0; i < N; i++)
		p[i] = (float)(i % 3) / 2;
	const float *v = drawn(g, "Bernoulli", 5, NULL, 0, NULL, 0, p);
	for (int i = 0; i < N; i++) {
		assert_true(v[i] == 0 || v[i] == 1);
		ones[i % 3] += v[i] == 1;
	}
	assert_int_equal(ones[0], 0);
	assert_true(abs(ones[1] - N / 6) < 60);
	assert_int_equal(ones[2], N / 3);
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(normal_and_uniform_numbers_have_the_moments_asked_for),
		cmocka_unit_test(a_seed_repeats_its_numbers_and_another_has_others),
		cmocka_unit_test(bernoulli_is_one_as_often_as_the_input_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
