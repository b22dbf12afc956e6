/* fuse: what becomes one group, and that folding keeps the function. */
#include "tests/test.h"

#include <math.h>

#include "lib/pass/pass.h"

static hb_tensor *
norm(hb_graph *g, const char *name, hb_tensor *x, int channels)
{
	float v[4][64];
	for (int c = 0; c < channels; c++) {
		v[0][c] = 0.5f + 0.1f * (float)c;
		v[1][c] = 0.3f - 0.2f * (float)c;
		v[2][c] = 0.05f * (float)c;
		v[3][c] = 1.0f + 0.25f * (float)c;
	}
	hb_tensor *p[4];
	for (int i = 0; i < 4; i++)
		p[i] = test_const(g, "p", test_shape(1, channels), v[i]);
	hb_tensor *y = test_node(g, "BatchNormalization", name, x, p[0], p[1], p[2]);
	assert_true(hb_node_add_in(g, y->producer, p[3]));
	return y;
}

static hb_tensor *
conv(hb_graph *g, const char *name, hb_tensor *x, int in, int out, int k)
{
	hb_tensor *w = test_const(g, "w", test_shape(4, out, in, k, k), NULL);
	hb_tensor *y = test_node(g, "Conv", name, x, w, NULL, NULL);
	int64_t pads[] = { k / 2, k / 2, k / 2, k / 2 };
	hb_attr_set_ints(g, y->producer, "pads", pads, 4);
	return y;
}

static void
run(hb_graph *g, const float *x, float *y)
{
	hb_status st;
	hb_exec *ex = hb_exec_new(g, &st);
	assert_non_null(ex);
	hb_val in = { HB_F32, g->inputs[0]->shape, (void *)(uintptr_t)x }, out[4];
	assert_int_equal(hb_exec_run(ex, &in, out, NULL, NULL), HB_OK);
	memcpy(y, out[0].data, sizeof(float) * (size_t)hb_shape_elems(&out[0].shape));
	hb_exec_free(ex);
}

/* Fuses g and asserts that its output stays within 1e-5 of its largest magnitude. */
static void
fuse_and_compare(hb_graph *g)
{
	static float x[4096] __attribute__((aligned(64))), before[4096], after[4096];
	for (size_t i = 0; i < HB_LEN(x); i++)
		x[i] = sinf((float)i * 0.7f);
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	run(g, x, before);
	assert_int_equal(hb_pass_fuse(g), HB_OK);
	assert_null(hb_graph_verify(g, g->arena));
	run(g, x, after);
	int64_t n = hb_tensor_elems(g->outputs[0]);
	float top = 0;
	for (int64_t i = 0; i < n; i++)
		top = fmaxf(top, fabsf(before[i]));
	for (int64_t i = 0; i < n; i++)
		assert_true(fabsf(before[i] - after[i]) <= 1e-5f * top);
}

static void
a_batch_norm_folds_into_the_convolution_before_it(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(4, 1, 3, 8, 8));
	test_output(g, test_node(g, "Relu", "r", norm(g, "n", conv(g, "c", x, 3, 4, 3), 4), NULL, NULL, NULL));
	fuse_and_compare(g);
	assert_int_equal(g->nnodes, 2);
	assert_string_equal(g->first->op_type, "Conv");
	assert_ptr_equal(g->first->group, g->last->group);
	assert_ptr_equal(g->first->group->act, g->last);
	hb_ctx_free(cx);
}

static void
a_residual_addition_and_its_relu_join_the_later_convolution(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(4, 1, 4, 8, 8));
	hb_tensor *a = conv(g, "a", x, 4, 4, 1), *b = norm(g, "n", conv(g, "b", x, 4, 4, 3), 4);
	hb_tensor *s = test_node(g, "Add", "s", a, b, NULL, NULL);
	test_output(g, test_node(g, "Relu", "r", s, NULL, NULL, NULL));
	fuse_and_compare(g);
	const hb_group *k = g->last->group;
	assert_string_equal(k->root->name, "n");	/* named after the source whose output it yields */
	assert_string_equal(k->add->name, "s");
	assert_null(a->producer->group);
	hb_ctx_free(cx);
}

static void
a_stride_of_three_keeps_the_addition_apart(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(4, 1, 4, 9, 9)), *z = test_const(g, "z", test_shape(4, 1, 4, 3, 3), NULL);
	hb_tensor *a = conv(g, "a", x, 4, 4, 3);
	int64_t strides[] = { 3, 3 };
	hb_attr_set_ints(g, a->producer, "strides", strides, 2);
	hb_tensor *p = test_node(g, "MaxPool", "p", x, NULL, NULL, NULL);
	int64_t three[] = { 3, 3 };
	hb_attr_set_ints(g, p->producer, "kernel_shape", three, 2);
	hb_attr_set_ints(g, p->producer, "strides", three, 2);
	test_output(g, test_node(g, "Add", "s", a, p, NULL, NULL));
	(void)z;
	fuse_and_compare(g);
	assert_null(a->producer->group);
	hb_ctx_free(cx);
}

static void
a_value_with_two_readers_is_not_folded_over(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(4, 1, 4, 8, 8));
	hb_tensor *c = conv(g, "c", x, 4, 4, 3);
	test_output(g, test_node(g, "Relu", "r", c, NULL, NULL, NULL));
	test_output(g, test_node(g, "Exp", "e", c, NULL, NULL, NULL));
	fuse_and_compare(g);
	assert_null(c->producer->group);
	hb_ctx_free(cx);
}

static void
silu_is_one_chain(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(4, 1, 4, 8, 8));
	hb_tensor *s = test_node(g, "Sigmoid", "s", x, NULL, NULL, NULL);
	test_output(g, test_node(g, "Mul", "m", s, x, NULL, NULL));
	fuse_and_compare(g);
	const hb_group *k = g->last->group;
	assert_non_null(k);
	assert_ptr_equal(k->chain_in, x);
	assert_int_equal(k->nnodes, 2);
	for (double v = -4; v <= 4; v += 0.5)
		assert_true(fabs(hb_chain_eval(k, v) - v / (1 + exp(-v))) < 1e-12);
	hb_ctx_free(cx);
}

static void
a_product_of_two_tensors_is_no_chain(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(4, 1, 4, 8, 8)), *c = conv(g, "c", x, 4, 4, 1);
	hb_tensor *s = test_node(g, "Sigmoid", "s", c, NULL, NULL, NULL);
	test_output(g, test_node(g, "Mul", "m", s, x, NULL, NULL));
	fuse_and_compare(g);
	assert_null(g->last->group);
	hb_ctx_free(cx);
}

/* Sqrt(x^2 + s*s + 0.25), s the sine of x; the sum goes to *sum. */
static hb_tensor *
magnitude(hb_graph *g, hb_tensor **sum)
{
	static const float two = 2, number = 0.25f;
	hb_tensor *x = test_input(g, "x", test_shape(4, 1, 4, 8, 8)), *s = test_node(g, "Sin", "s", x, NULL, NULL, NULL);
	hb_tensor *a = test_node(g, "Pow", "a", x, test_const(g, "two", test_shape(0), &two), NULL, NULL);
	*sum = test_node(g, "Add", "sum", a, test_node(g, "Mul", "b", s, s, NULL, NULL), NULL, NULL);
	hb_tensor *more = test_node(g, "Add", "more", test_const(g, "c", test_shape(0), &number), *sum, NULL, NULL);
	return test_node(g, "Sqrt", "root", more, NULL, NULL, NULL);
}

static void
a_root_of_a_sum_of_squares_is_one_operation(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *sum;
	test_output(g, magnitude(g, &sum));
	fuse_and_compare(g);
	const hb_group *k = g->last->group;
	assert_true(k && k->magnitude && hb_is_function(k));
	assert_int_equal(k->nnodes, 5);
	assert_string_equal(k->root->name, "a");
	/* where it has no place: a lookup of the sum */
	assert_non_null(k->rest);
	assert_ptr_equal(k->rest->chain_in, sum);
	hb_ctx_free(cx);
}

static void
a_sum_of_squares_that_is_read_elsewhere_is_no_part_of_its_root(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *sum;
	test_output(g, magnitude(g, &sum));
	test_output(g, test_node(g, "Exp", "e", sum, NULL, NULL, NULL));
	fuse_and_compare(g);
	const hb_group *k = g->outputs[0]->producer->group;
	assert_true(k && !k->magnitude);
	assert_ptr_equal(k->chain_in, sum);
	hb_ctx_free(cx);
}

static void
a_lone_batch_norm_becomes_a_depthwise_convolution(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(4, 1, 4, 8, 8));
	test_output(g, norm(g, "n", x, 4));
	fuse_and_compare(g);
	assert_string_equal(g->last->op_type, "Conv");
	assert_int_equal(hb_attr_i(g->last, "group", 1), 4);
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_norm_folds_into_the_convolution_before_it),
		cmocka_unit_test(a_residual_addition_and_its_relu_join_the_later_convolution),
		cmocka_unit_test(a_stride_of_three_keeps_the_addition_apart),
		cmocka_unit_test(a_value_with_two_readers_is_not_folded_over),
		cmocka_unit_test(silu_is_one_chain),
		cmocka_unit_test(a_product_of_two_tensors_is_no_chain),
		cmocka_unit_test(a_root_of_a_sum_of_squares_is_one_operation),
		cmocka_unit_test(a_sum_of_squares_that_is_read_elsewhere_is_no_part_of_its_root),
		cmocka_unit_test(a_lone_batch_norm_becomes_a_depthwise_convolution),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
