/* absorb: models that arrive with QuantizeLinear and DequantizeLinear (SEMANTICS 6). */
#include "tests/test.h"

#include <math.h>

#include "lib/pass/pass.h"

typedef struct params {
	hb_dtype dt;
	float scale;
	int zero;
} params;

static hb_tensor *
zero_of(hb_graph *g, params p)
{
	hb_shape s = { .rank = 0 };
	int8_t i8 = (int8_t)(p.dt == HB_I8 ? p.zero : 0);
	uint8_t u8 = (uint8_t)(p.dt == HB_U8 ? p.zero : 0);
	return hb_tensor_const(g, "zero", p.dt, &s, p.dt == HB_U8 ? (const void *)&u8 : &i8);
}

/* The result of a pair on x. */
static hb_tensor *
pair(hb_graph *g, hb_tensor *x, params p)
{
	hb_tensor *s = hb_tensor_scalar_f32(g, "scale", p.scale), *z = zero_of(g, p);
	return test_node(g, "DequantizeLinear", "dq", test_node(g, "QuantizeLinear", "q", x, s, z, NULL), s, z, NULL);
}

static int8_t
weight(int64_t i)
{
	return (int8_t)((i * 37 + 11) % 255 - 127);
}

static float
weight_scale(int c)
{
	return 0.004f + 0.0013f * (float)c;
}

/* int8 weights with a scale a channel behind a DequantizeLinear. */
static hb_tensor *
weights(hb_graph *g, hb_shape s, int axis)
{
	hb_shape ss = { .rank = 1, .dim = { s.dim[axis] } };
	hb_tensor *q = hb_tensor_const(g, "w_q", HB_I8, &s, NULL), *scale = hb_tensor_const(g, "w_scale", HB_F32, &ss, NULL);
	hb_tensor *zero = hb_tensor_const(g, "w_zero", HB_I8, &ss, NULL);
	for (int64_t i = 0; i < hb_shape_elems(&s); i++)
		((int8_t *)(uintptr_t)q->data)[i] = weight(i);
	for (int c = 0; c < s.dim[axis]; c++)
		((float *)(uintptr_t)scale->data)[c] = weight_scale(c);
	hb_tensor *w = test_node(g, "DequantizeLinear", "w", q, scale, zero, NULL);
	hb_attr_set_i(g, w->producer, "axis", axis);
	return w;
}

static hb_tensor *
conv(hb_graph *g, hb_tensor *x, int in, int out)
{
	hb_tensor *b = test_const(g, "b", test_shape(1, out), NULL);
	hb_tensor *y = test_node(g, "Conv", "c", x, weights(g, test_shape(4, out, in, 3, 3), 0), b, NULL);
	int64_t pads[] = { 1, 1, 1, 1 };
	hb_attr_set_ints(g, y->producer, "pads", pads, 4);
	return y;
}

static hb_tensor *
image(hb_graph *g)
{
	return test_input(g, "x", test_shape(4, 1, 3, 8, 8));
}

static hb_tensor *
max_pool(hb_graph *g, hb_tensor *x)
{
	hb_tensor *y = test_node(g, "MaxPool", "pool", x, NULL, NULL, NULL);
	int64_t k[] = { 2, 2 };
	hb_attr_set_ints(g, y->producer, "kernel_shape", k, 2);
	hb_attr_set_ints(g, y->producer, "strides", k, 2);
	return y;
}

static hb_affine affine = HB_AFFINE_SYMMETRIC;

static void
absorb(hb_graph *g)
{
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	assert_int_equal(hb_pass_absorb(g, affine), HB_OK);
	assert_null(hb_graph_verify(g, g->arena));
}

static int
count(const hb_graph *g, const char *op)
{
	int k = 0;
	for (const hb_node *n = g->first; n; n = n->next)
		k += !strcmp(n->op_type, op);
	return k;
}

static const params i8 = { HB_I8, 0.02f, 0 };

static void
a_pair_becomes_the_scale_of_the_tensor_it_stands_on(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = image(g);
	test_output(g, pair(g, test_node(g, "Relu", "r", pair(g, x, i8), NULL, NULL, NULL), (params){ HB_I8, 0.01f, 0 }));
	absorb(g);
	assert_int_equal(count(g, "QuantizeLinear") + count(g, "DequantizeLinear"), 0);
	assert_int_equal(x->q.from, HB_Q_GIVEN);
	assert_int_equal(x->q.dtype, HB_I8);
	assert_true(x->q.scale == 0.02f);
	assert_true(g->outputs[0]->q.scale == 0.01f);
	hb_ctx_free(cx);
}

static void
uint8_around_128_is_int8_and_other_zero_points_are_re_expressed_and_counted(void **state)
{
	(void)state;
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = image(g);
	test_output(g, test_node(g, "Sigmoid", "s", pair(g, x, (params){ HB_U8, 0.02f, 128 }), NULL, NULL, NULL));
	absorb(g);
	assert_true(x->q.scale == 0.02f);
	assert_int_equal(log.count, 0);

	g = hb_graph_new(cx);
	x = image(g);
	hb_tensor *y = test_node(g, "Sigmoid", "s", pair(g, x, (params){ HB_U8, 0.02f, 0 }), NULL, NULL, NULL);
	test_output(g, pair(g, y, (params){ HB_U8, 0.5f, 100 }));
	absorb(g);
	assert_true(x->q.scale == hb_scale_of(255 * 0.02f, HB_I8, false));
	assert_true(y->q.scale == hb_scale_of(155 * 0.5f, HB_I8, false));
	assert_int_equal(log.count, 1);
	assert_int_equal(log.severity, HB_WARNING);
	assert_string_equal(log.id, "zero-point");
	assert_non_null(strstr(log.text, "2 quantized tensors"));
	hb_ctx_free(cx);
}

static void
other_zero_points_kept_exactly_are_int16_within_limits(void **state)
{
	(void)state;
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = image(g);
	affine = HB_AFFINE_EXACT;
	hb_tensor *y = test_node(g, "Sigmoid", "s", pair(g, x, (params){ HB_U8, 0.02f, 37 }), NULL, NULL, NULL);
	test_output(g, pair(g, y, (params){ HB_I8, 0.5f, 0 }));
	absorb(g);
	affine = HB_AFFINE_SYMMETRIC;
	assert_int_equal(x->q.dtype, HB_I16);
	assert_true(x->q.scale == 0.02f && x->q.lo == -37 && x->q.hi == 218);
	assert_int_equal(y->q.dtype, HB_I8);
	assert_false(hb_q_limited(&y->q));
	assert_int_equal(log.count, 0);
	hb_ctx_free(cx);
}

static void
another_pair_on_one_tensor_is_a_node_that_requantizes(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = image(g);
	params other = { HB_I8, 0.05f, 0 };
	hb_tensor *a = test_node(g, "Sigmoid", "a", pair(g, x, i8), NULL, NULL, NULL);
	hb_tensor *b = test_node(g, "Tanh", "b", pair(g, x, other), NULL, NULL, NULL);
	hb_tensor *c = test_node(g, "Exp", "c", pair(g, x, i8), NULL, NULL, NULL);
	test_output(g, a);
	test_output(g, b);
	test_output(g, c);
	absorb(g);
	assert_true(x->q.scale == 0.02f);
	assert_ptr_equal(a->producer->in[0], x);
	assert_ptr_equal(c->producer->in[0], x);
	const hb_node *r = b->producer->in[0]->producer;
	assert_string_equal(r->op_type, "Identity");
	assert_ptr_equal(r->in[0], x);
	assert_true(r->out[0]->q.scale == 0.05f);
	hb_ctx_free(cx);
}

static void
scales_pass_through_nodes_that_move_values_both_ways(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = image(g);
	hb_tensor *before = test_node(g, "Add", "a", pair(g, x, i8), pair(g, x, i8), NULL, NULL);
	hb_tensor *pooled = pair(g, max_pool(g, before), (params){ HB_I8, 0.03f, 0 });
	hb_tensor *after = test_node(g, "Transpose", "t", pooled, NULL, NULL, NULL);
	test_output(g, test_node(g, "Sigmoid", "s", after, NULL, NULL, NULL));
	absorb(g);
	assert_int_equal(before->q.from, HB_Q_PASSED);
	assert_true(before->q.scale == 0.03f);
	assert_true(after->q.scale == 0.03f);
	hb_ctx_free(cx);
}

static void
two_scales_around_a_node_that_passes_one_on_stay_apart(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = image(g), *pool = max_pool(g, pair(g, x, i8));
	test_output(g, test_node(g, "Sigmoid", "s", pair(g, pool, (params){ HB_I8, 0.03f, 0 }), NULL, NULL, NULL));
	absorb(g);
	assert_int_equal(count(g, "Identity"), 0);
	assert_true(x->q.scale == 0.02f && pool->q.scale == 0.03f);
	hb_ctx_free(cx);
}

static void
a_mean_without_a_scale_takes_its_inputs(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *y = test_node(g, "GlobalAveragePool", "mean", pair(g, image(g), i8), NULL, NULL, NULL);
	hb_tensor *z = pair(g, test_node(g, "GlobalAveragePool", "again", y, NULL, NULL, NULL), (params){ HB_I8, 0.01f, 0 });
	test_output(g, z);
	absorb(g);
	assert_true(y->q.scale == 0.02f);
	assert_true(g->outputs[0]->q.scale == 0.01f);
	hb_ctx_free(cx);
}

static void
a_concat_without_a_scale_takes_its_inputs_coarsest(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = image(g);
	hb_tensor *s = pair(g, test_node(g, "Tanh", "t", pair(g, x, i8), NULL, NULL, NULL), (params){ HB_I8, 0.03f, 0 });
	hb_tensor *y = test_node(g, "Concat", "cat", pair(g, x, i8), s, NULL, NULL);
	hb_attr_set_i(g, y->producer, "axis", 1);
	test_output(g, y);
	absorb(g);
	assert_true(y->q.scale == 0.03f);
	hb_ctx_free(cx);
}

/* ---- the whole way ---- */

static hb_status
no_sample(void *arg, int64_t k, hb_val *in, bool *more)
{
	(void)arg;
	(void)in;
	(void)k;
	*more = false;
	return HB_OK;
}

static hb_status
calibrate(hb_graph *g, bool samples)
{
	const hb_march *m = hb_march_find("bayes");
	hb_calib_options o = {
		.activations = { .dtype = HB_I8, .observer = { .kind = HB_OBS_MINMAX } }, .march = m, .sample = samples ? no_sample : NULL,
	};
	hb_place_options p = { .no_samples = !samples };
	absorb(g);
	assert_int_equal(hb_pass_fuse(g), HB_OK);
	assert_int_equal(hb_pass_place(g, m, &p), HB_OK);
	return hb_pass_calibrate(g, &o);
}

/* Fixed-point output, or the float graph's with its pairs as they are. */
static void
run(hb_graph *g, float *y)
{
	static float x[1024] __attribute__((aligned(64)));
	hb_status st;
	hb_val in = { HB_F32, g->inputs[0]->shape, x }, out;
	for (size_t i = 0; i < HB_LEN(x); i++)
		x[i] = 2 * sinf((float)i * 0.71f);
	hb_exec *ex = hb_exec_new(g, &st);
	assert_non_null(ex);
	assert_int_equal(hb_exec_run(ex, &in, &out, NULL, NULL), HB_OK);
	memcpy(y, out.data, sizeof(float) * (size_t)hb_shape_elems(&out.shape));
	hb_exec_free(ex);
}

typedef hb_tensor *build_fn(hb_graph *g);

static hb_tensor *
conv_relu_pool(hb_graph *g)
{
	hb_tensor *y = test_node(g, "Relu", "r", conv(g, pair(g, image(g), i8), 3, 5), NULL, NULL, NULL);
	return pair(g, max_pool(g, pair(g, y, (params){ HB_I8, 0.2f, 0 })), (params){ HB_I8, 0.2f, 0 });
}

static hb_tensor *
conv_quantized_before_its_relu(hb_graph *g)
{
	hb_tensor *y = pair(g, conv(g, pair(g, image(g), i8), 3, 5), (params){ HB_I8, 0.113f, 0 });
	return pair(g, test_node(g, "Relu", "r", y, NULL, NULL, NULL), (params){ HB_I8, 0.2f, 0 });
}

static hb_tensor *
conv_added_to_what_it_reads(hb_graph *g)
{
	hb_tensor *x = pair(g, image(g), i8), *y = conv(g, x, 3, 3);
	return pair(g, test_node(g, "Add", "a", y, x, NULL, NULL), (params){ HB_U8, 0.2f, 128 });
}

static hb_tensor *
conv_with_a_norm_behind(hb_graph *g)
{
	float v[4][5];
	hb_tensor *p[4], *y = conv(g, pair(g, image(g), i8), 3, 5);
	for (int c = 0; c < 5; c++) {
		v[0][c] = c == 3 ? -0.8f : 0.5f + 0.1f * (float)c;
		v[1][c] = 0.3f - 0.2f * (float)c;
		v[2][c] = 0.05f * (float)c;
		v[3][c] = 1.0f + 0.25f * (float)c;
	}
	for (int i = 0; i < 4; i++)
		p[i] = test_const(g, "p", test_shape(1, 5), v[i]);
	y = test_node(g, "BatchNormalization", "n", y, p[0], p[1], p[2]);
	hb_node_add_in(g, y->producer, p[3]);
	return pair(g, y, (params){ HB_I8, 0.2f, 0 });
}

static hb_tensor *
gemm_of_transposed_weights(hb_graph *g)
{
	hb_tensor *x = test_node(g, "Flatten", "f", pair(g, image(g), i8), NULL, NULL, NULL);
	hb_tensor *w = test_node(g, "Transpose", "wt", weights(g, test_shape(2, 7, 192), 0), NULL, NULL, NULL);
	return pair(g, test_node(g, "MatMul", "m", x, w, NULL, NULL), (params){ HB_I8, 0.7f, 0 });
}

/* The zero points say what the file has no Relu for; the lookup reads 256 integers. */
static hb_tensor *
zero_points_off_the_middle(hb_graph *g)
{
	hb_tensor *y = pair(g, conv(g, pair(g, image(g), (params){ HB_U8, 0.0213f, 101 }), 3, 5), (params){ HB_U8, 0.113f, 0 });
	y = pair(g, max_pool(g, y), (params){ HB_U8, 0.113f, 0 });
	return pair(g, test_node(g, "Sigmoid", "s", y, NULL, NULL, NULL), (params){ HB_I8, 0.0071f, 0 });
}

/* The pool changes scale, and so does what stands on the CPU. */
static hb_tensor *
moves_between_two_scales(hb_graph *g)
{
	hb_tensor *y = pair(g, conv(g, pair(g, image(g), i8), 3, 5), (params){ HB_I8, 0.05f, 0 });
	y = pair(g, max_pool(g, y), (params){ HB_I8, 0.083f, 0 });
	return pair(g, test_node(g, "Transpose", "t", y, NULL, NULL, NULL), (params){ HB_I8, 0.2f, 0 });	/* the CPU's: nothing for the BPU follows */
}

static hb_tensor *
conv_left_at_int32(hb_graph *g)
{
	return conv(g, pair(g, image(g), i8), 3, 5);
}

static hb_tensor *
conv_with_a_float_tail(hb_graph *g)
{
	hb_tensor *y = test_node(g, "Relu", "r", conv(g, pair(g, image(g), i8), 3, 5), NULL, NULL, NULL);
	return test_node(g, "Sigmoid", "s", y, NULL, NULL, NULL);
}

/* y = op(x, w) on integers: x and y with one scale, w with a scale a channel, y int8. */
static hb_tensor *
on_integers(hb_graph *g, const char *op, hb_tensor *x, hb_tensor *w, hb_tensor *bias, float y_scale)
{
	hb_node *dq = w->producer;
	hb_tensor *in[] = { x->producer->in[1], x->producer->in[2], dq->in[0], dq->in[1], dq->in[2],
			    hb_tensor_scalar_f32(g, "y_scale", y_scale), zero_of(g, i8), bias };
	hb_tensor *y = test_node(g, op, "y_q", x, NULL, NULL, NULL);
	for (size_t i = 0; i < HB_LEN(in); i++)
		assert_true(!in[i] || hb_node_add_in(g, y->producer, in[i]));
	hb_node_remove(g, dq);
	return y;
}

static hb_tensor *
quantized(hb_graph *g, hb_tensor *x, params p)
{
	return test_node(g, "QuantizeLinear", "q", x, hb_tensor_scalar_f32(g, "scale", p.scale), zero_of(g, p), NULL);
}

static hb_tensor *
floats(hb_graph *g, hb_tensor *x, float scale)
{
	return test_node(g, "DequantizeLinear", "dq", x, hb_tensor_scalar_f32(g, "scale", scale), zero_of(g, i8), NULL);
}

static hb_tensor *
conv_and_pool_of_integers(hb_graph *g)
{
	int32_t b[] = { 900, -1200, 3000, 5, -77 };
	hb_shape bs = { .rank = 1, .dim = { 5 } };
	hb_tensor *bias = hb_tensor_const(g, "b", HB_I32, &bs, b);
	hb_tensor *y = on_integers(g, "QLinearConv", quantized(g, image(g), i8), weights(g, test_shape(4, 5, 3, 3, 3), 0), bias, 0.2f);
	return floats(g, max_pool(g, y), 0.2f);
}

static hb_tensor *
product_of_integers(hb_graph *g)
{
	hb_tensor *x = test_input(g, "x", test_shape(2, 6, 40));
	return floats(g, on_integers(g, "QLinearMatMul", quantized(g, x, i8), weights(g, test_shape(2, 40, 9), 1), NULL, 0.3f), 0.3f);
}

static const struct {
	const char *name;
	build_fn *build;
	double step;			/* of the output; 0: not quantized, and equal to 1e-4 */
	hb_affine affine;
} cases[] = {
	{ "conv, relu, max pool", conv_relu_pool, 0.2, HB_AFFINE_SYMMETRIC },
	{ "a pair between conv and relu", conv_quantized_before_its_relu, 0.2, HB_AFFINE_SYMMETRIC },
	{ "sumin", conv_added_to_what_it_reads, 0.2, HB_AFFINE_SYMMETRIC },
	{ "batch norm behind quantized weights", conv_with_a_norm_behind, 0.2, HB_AFFINE_SYMMETRIC },
	{ "transposed weights", gemm_of_transposed_weights, 0.7, HB_AFFINE_SYMMETRIC },
	{ "moves between two scales", moves_between_two_scales, 0.2, HB_AFFINE_SYMMETRIC },
	{ "zero points, exact", zero_points_off_the_middle, 0.0071, HB_AFFINE_EXACT },
	{ "int32 output", conv_left_at_int32, 0, HB_AFFINE_SYMMETRIC },
	{ "float tail", conv_with_a_float_tail, 0, HB_AFFINE_SYMMETRIC },
	{ "QLinearConv and MaxPool", conv_and_pool_of_integers, 0.2, HB_AFFINE_SYMMETRIC },
	{ "QLinearMatMul", product_of_integers, 0.3, HB_AFFINE_SYMMETRIC },
};

static void
without_samples_the_fixed_point_form_is_the_model_as_it_was_written(void **state)
{
	(void)state;
	for (size_t k = 0; k < HB_LEN(cases); k++) {
		static float want[4096], got[4096];
		hb_ctx *cx = test_ctx(NULL, 1);
		hb_graph *g = hb_graph_new(cx), *as_is = hb_graph_new(cx), *fixed;
		test_output(g, cases[k].build(g));
		test_output(as_is, cases[k].build(as_is));
		assert_int_equal(hb_pass_shapes(as_is, false), HB_OK);
		run(as_is, want);
		affine = cases[k].affine;
		assert_int_equal(calibrate(g, false), HB_OK);
		affine = HB_AFFINE_SYMMETRIC;
		assert_false(g->uncalibrated);
		assert_int_equal(hb_pass_convert(g, HB_HALF_EVEN, &fixed), HB_OK);
		assert_int_equal(count(fixed, "QLinearConv") + count(fixed, "QLinearMatMul"), 0);
		assert_true(count(fixed, "Linear") + count(fixed, "Conv") == 1);
		run(fixed, got);
		int64_t n = hb_tensor_elems(as_is->outputs[0]), differ = 0;
		for (int64_t i = 0; i < n; i++) {
			double d = fabs((double)got[i] - want[i]), most = cases[k].step > 0 ? 1.01 * cases[k].step : 1e-4 * fmax(1, fabs((double)want[i]));
			if (!(d <= most))
				fail_msg("%s: element %lld is %g, not %g", cases[k].name, (long long)i, (double)got[i], (double)want[i]);
			differ += d > 0.01 * cases[k].step;
		}
		if (cases[k].step > 0 && differ > HB_MAX(1, n / 100))
			fail_msg("%s: %lld of %lld differ", cases[k].name, (long long)differ, (long long)n);
		hb_ctx_free(cx);
	}
}

static void
weights_are_the_integers_of_the_file_again(void **state)
{
	(void)state;
	build_fn *const builds[] = { conv_relu_pool, conv_with_a_norm_behind };
	for (size_t k = 0; k < HB_LEN(builds); k++) {
		hb_ctx *cx = test_ctx(NULL, 1);
		hb_graph *g = hb_graph_new(cx), *fixed;
		test_output(g, builds[k](g));
		assert_int_equal(calibrate(g, false), HB_OK);
		assert_int_equal(hb_pass_convert(g, HB_HALF_EVEN, &fixed), HB_OK);
		hb_node *c = fixed->first;
		while (strcmp(c->op_type, "Conv"))
			c = c->next;
		const int8_t *w = hb_tensor_data(fixed, c->in[1]);
		for (int64_t i = 0; i < 5 * 27; i++)
			assert_int_equal(w[i], k == 1 && i / 27 == 3 ? -weight(i) : weight(i));
		for (int ch = 0; k == 0 && ch < 5; ch++)
			assert_true(hb_q_scale(&c->in[1]->q, ch) == weight_scale(ch));
		hb_ctx_free(cx);
	}
}

/* Conv without a pair between it and the next. */
static void
an_operator_that_the_model_gives_no_scale_is_named_unless_there_are_samples(void **state)
{
	(void)state;
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	for (int samples = 0; samples < 2; samples++) {
		hb_graph *g = hb_graph_new(cx);
		hb_tensor *y = conv(g, pair(g, image(g), i8), 3, 4);
		hb_tensor *z = test_node(g, "Conv", "second", y, weights(g, test_shape(4, 2, 4, 1, 1), 0), NULL, NULL);
		test_output(g, pair(g, z, i8));
		assert_int_equal(calibrate(g, samples), HB_ERR_INPUT);
		assert_string_equal(log.id, samples ? "no-samples" : "no-scale");
		if (!samples)
			assert_non_null(strstr(log.text, "'c'"));
	}
	hb_ctx_free(cx);
}

static void
weights_with_another_zero_point_are_quantized_anew_with_a_warning(void **state)
{
	(void)state;
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *y = conv(g, pair(g, image(g), i8), 3, 5);
	hb_tensor *zero = y->producer->in[1]->producer->in[2];
	((int8_t *)(uintptr_t)zero->data)[2] = 7;
	hb_node *n = y->producer;
	test_output(g, pair(g, y, (params){ HB_I8, 0.2f, 0 }));
	absorb(g);
	assert_true(n->in[1]->is_const && n->in[1]->q.from == HB_Q_OPEN);
	assert_string_equal(log.id, "weight-zero-point");
	const float *w = hb_tensor_data(g, n->in[1]);
	assert_true(w[54] == (float)(weight(54) - 7) * weight_scale(2));
	hb_ctx_free(cx);
}

static void
products_of_inputs_quantized_at_run_time_are_products_of_floats(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(2, 4, 3));
	hb_node *d = hb_node_new(g, NULL, "d", "", "DynamicQuantizeLinear", 11, 1, 3);
	hb_node_set_in(g, d, 0, x);
	for (int i = 0; i < 3; i++)
		hb_node_set_out(d, i, hb_tensor_new(g, "d", HB_NONE, NULL));
	hb_shape ws = test_shape(2, 3, 2), scalar = { .rank = 0 };
	const int8_t w[] = { 100, -50, 25, 127, 0, -127 }, zero = 0;
	hb_tensor *ints = test_node(g, "MatMulInteger", "m", d->out[0], hb_tensor_const(g, "w", HB_I8, &ws, w), d->out[2],
				    hb_tensor_const(g, "wz", HB_I8, &scalar, &zero));
	hb_tensor *cast = test_node(g, "Cast", "cast", ints, NULL, NULL, NULL);
	assert_true(hb_attr_set_i(g, cast->producer, "to", 1));
	hb_tensor *scale = test_node(g, "Mul", "scale", d->out[1], hb_tensor_scalar_f32(g, "ws", 0.5f), NULL, NULL);
	test_output(g, test_node(g, "Mul", "y", scale, cast, NULL, NULL));
	absorb(g);
	assert_int_equal(g->nnodes, 1);
	assert_string_equal(g->first->op_type, "MatMul");
	assert_ptr_equal(g->first->in[0], x);
	const float *f = hb_tensor_data(g, g->first->in[1]);
	for (size_t k = 0; k < HB_LEN(w); k++)
		assert_true(f[k] == 0.5f * w[k]);
	assert_int_equal(g->first->in[1]->q.dtype, HB_I8);
	assert_true(g->first->in[1]->q.scale == 0.5f);
	hb_ctx_free(cx);
}

/* x through horizon's pair of 16 bits, its zero point a float. */
static hb_tensor *
horizon_pair(hb_graph *g, hb_tensor *x, float scale, float zero)
{
	hb_tensor *s = hb_tensor_scalar_f32(g, "scale", scale), *z = hb_tensor_scalar_f32(g, "zero", zero);
	static const char *const op[] = { "HzQuantize", "HzDequantize" };
	for (int i = 0; i < 2; i++) {
		x = test_node(g, op[i], op[i], x, s, z, NULL);
		x->producer->domain = "horizon";
		assert_true(hb_attr_set_i(g, x->producer, "bits", 16));
	}
	return x;
}

static void
horizons_pairs_are_read_as_onnx_s(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = image(g), *y = horizon_pair(g, x, 0.25f, 0);
	test_output(g, test_node(g, "Relu", "r", y, NULL, NULL, NULL));
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	assert_int_equal(hb_pass_simplify(g), HB_OK);
	assert_int_equal(hb_pass_absorb(g, affine), HB_OK);
	assert_null(hb_graph_verify(g, g->arena));
	assert_int_equal(count(g, "HzQuantize") + count(g, "HzDequantize") + count(g, "QuantizeLinear"), 0);
	assert_int_equal(x->q.dtype, HB_I16);
	assert_true(x->q.scale == 0.25f);
	hb_ctx_free(cx);
}

static void
a_zero_point_that_is_no_integer_of_the_type_is_refused(void **state)
{
	(void)state;
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx);
	test_output(g, horizon_pair(g, image(g), 0.25f, 0.5f));
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	assert_int_equal(hb_pass_simplify(g), HB_ERR_INPUT);
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pair_becomes_the_scale_of_the_tensor_it_stands_on),
		cmocka_unit_test(uint8_around_128_is_int8_and_other_zero_points_are_re_expressed_and_counted),
		cmocka_unit_test(other_zero_points_kept_exactly_are_int16_within_limits),
		cmocka_unit_test(another_pair_on_one_tensor_is_a_node_that_requantizes),
		cmocka_unit_test(scales_pass_through_nodes_that_move_values_both_ways),
		cmocka_unit_test(two_scales_around_a_node_that_passes_one_on_stay_apart),
		cmocka_unit_test(a_mean_without_a_scale_takes_its_inputs),
		cmocka_unit_test(a_concat_without_a_scale_takes_its_inputs_coarsest),
		cmocka_unit_test(without_samples_the_fixed_point_form_is_the_model_as_it_was_written),
		cmocka_unit_test(weights_are_the_integers_of_the_file_again),
		cmocka_unit_test(products_of_inputs_quantized_at_run_time_are_products_of_floats),
		cmocka_unit_test(horizons_pairs_are_read_as_onnx_s),
		cmocka_unit_test(a_zero_point_that_is_no_integer_of_the_type_is_refused),
		cmocka_unit_test(an_operator_that_the_model_gives_no_scale_is_named_unless_there_are_samples),
		cmocka_unit_test(weights_with_another_zero_point_are_quantized_anew_with_a_warning),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
