/* to_fx: each operator by itself: fixed point against the fake-quantized float form on the same
 * integers. Nowhere more than 1 apart, equal in 99 % (law 2); softmax and int16 lookups within
 * what SEMANTICS 5 gives them. */
#include "tests/test.h"

#include <math.h>

#include "lib/pass/pass.h"

enum { MAX_ELEMS = 1 << 16 };

typedef hb_tensor *build_fn(hb_graph *g);

typedef struct op_case {
	const char *name;
	build_fn *build;
	bool int16_too;
	int apart;			/* int16: how many LSB at most; 0: 1 */
	double equal;			/* share that must be equal; 0: 0.99 */
} op_case;

/* ---- builders: a graph of one operator ---- */

static float
wave(int64_t i)
{
	return sinf((float)i * 0.73f) * (1 + 0.5f * cosf((float)i * 0.011f));
}

static hb_tensor *
konst(hb_graph *g, const char *name, hb_shape s, float gain)
{
	hb_tensor *t = hb_tensor_const(g, name, HB_F32, &s, NULL);

	for (int64_t i = 0; i < hb_shape_elems(&s); i++)
		((float *)(uintptr_t)t->data)[i] = gain * wave(i * 3 + 1);
	return t;
}

static hb_tensor *
ints(hb_graph *g, hb_tensor *y, const char *name, const int64_t *v, size_t n)
{
	assert_true(hb_attr_set_ints(g, y->producer, name, v, n));
	return y;
}

static hb_tensor *
num(hb_graph *g, hb_tensor *y, const char *name, int64_t v)
{
	assert_true(hb_attr_set_i(g, y->producer, name, v));
	return y;
}

static hb_tensor *
image(hb_graph *g)
{
	return test_input(g, "x", test_shape(4, 1, 6, 9, 11));
}

#define INTS(...) (const int64_t[]){ __VA_ARGS__ }, sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)

static hb_tensor *
conv(hb_graph *g)
{
	hb_tensor *y = test_node(g, "Conv", "y", image(g), konst(g, "w", test_shape(4, 7, 6, 3, 3), 0.3f), konst(g, "b", test_shape(1, 7), 0.5f), NULL);

	ints(g, y, "strides", INTS(2, 1));
	return ints(g, y, "pads", INTS(1, 0, 1, 2));
}

static hb_tensor *
conv_of_one_dimension(hb_graph *g)
{
	hb_tensor *x = test_input(g, "x", test_shape(3, 2, 5, 40));
	hb_tensor *y = test_node(g, "Conv", "y", x, konst(g, "w", test_shape(3, 4, 5, 5), 0.3f), NULL, NULL);

	return ints(g, y, "dilations", INTS(3));
}

static hb_tensor *
depthwise(hb_graph *g)
{
	hb_tensor *y = test_node(g, "Conv", "y", image(g), konst(g, "w", test_shape(4, 6, 1, 3, 3), 1), konst(g, "b", test_shape(1, 6), 0.5f), NULL);

	num(g, y, "group", 6);
	return ints(g, y, "pads", INTS(1, 1, 1, 1));
}

static hb_tensor *
grouped_conv_with_relu(hb_graph *g)
{
	hb_tensor *y = test_node(g, "Conv", "c", image(g), konst(g, "w", test_shape(4, 4, 3, 1, 1), 1), NULL, NULL);

	num(g, y, "group", 2);
	return test_node(g, "Relu", "y", y, NULL, NULL, NULL);
}

static hb_tensor *
conv_added_to_its_input(hb_graph *g)
{
	hb_tensor *x = image(g), *y = test_node(g, "Conv", "c", x, konst(g, "w", test_shape(4, 6, 6, 3, 3), 0.2f), NULL, NULL);

	ints(g, y, "pads", INTS(1, 1, 1, 1));
	y = test_node(g, "Add", "a", x, y, NULL, NULL);
	return test_node(g, "Relu", "y", y, NULL, NULL, NULL);
}

static hb_tensor *
conv_transpose(hb_graph *g)
{
	hb_tensor *y = test_node(g, "ConvTranspose", "y", image(g), konst(g, "w", test_shape(4, 6, 3, 3, 4), 0.4f), konst(g, "b", test_shape(1, 3), 0.5f), NULL);

	ints(g, y, "strides", INTS(2, 3));
	ints(g, y, "output_padding", INTS(1, 0));
	return ints(g, y, "pads", INTS(1, 2, 0, 1));
}

static hb_tensor *
gemm(hb_graph *g)
{
	hb_tensor *x = test_input(g, "x", test_shape(2, 9, 50));

	return num(g, test_node(g, "Gemm", "y", x, konst(g, "w", test_shape(2, 20, 50), 0.2f), konst(g, "b", test_shape(1, 20), 1), NULL), "transB", 1);
}

static hb_tensor *
gemm_of_transposed_input(hb_graph *g)
{
	hb_tensor *x = test_input(g, "x", test_shape(2, 50, 9));

	return num(g, test_node(g, "Gemm", "y", x, konst(g, "w", test_shape(2, 50, 20), 0.2f), NULL, NULL), "transA", 1);
}

static hb_tensor *
matmul_with_bias(hb_graph *g)
{
	hb_tensor *x = test_input(g, "x", test_shape(3, 2, 5, 30));
	hb_tensor *y = test_node(g, "MatMul", "m", x, konst(g, "w", test_shape(2, 30, 8), 0.2f), NULL, NULL);

	return test_node(g, "Add", "y", konst(g, "b", test_shape(1, 8), 1), y, NULL, NULL);
}

static hb_tensor *
matmul_of_two(hb_graph *g)
{
	hb_tensor *a = test_input(g, "x", test_shape(3, 3, 7, 20)), *b = test_input(g, "x2", test_shape(2, 20, 6));

	return test_node(g, "MatMul", "y", a, b, NULL, NULL);
}

static hb_tensor *
pair_of(hb_graph *g, const char *op)
{
	return test_node(g, op, "y", image(g), test_input(g, "x2", test_shape(3, 6, 1, 11)), NULL, NULL);
}

#define PAIR(id, op) static hb_tensor *id(hb_graph *g) { return pair_of(g, op); }
PAIR(add, "Add")
PAIR(sub, "Sub")
PAIR(mul, "Mul")
PAIR(max_of_two, "Max")
PAIR(min_of_two, "Min")

static hb_tensor *
add_constant(hb_graph *g)
{
	return test_node(g, "Add", "y", image(g), konst(g, "c", test_shape(3, 6, 1, 1), 3), NULL, NULL);
}

static hb_tensor *
sum_of_three(hb_graph *g)
{
	return test_node(g, "Sum", "y", image(g), test_input(g, "x2", test_shape(2, 9, 11)), test_input(g, "x3", test_shape(1, 1)), NULL);
}

static hb_tensor *
mean_of_three(hb_graph *g)
{
	return test_node(g, "Mean", "y", image(g), test_input(g, "x2", test_shape(2, 9, 11)), test_input(g, "x3", test_shape(1, 1)), NULL);
}

#define UNARY(id, op) static hb_tensor *id(hb_graph *g) { return test_node(g, op, "y", image(g), NULL, NULL, NULL); }
UNARY(sigmoid, "Sigmoid")
UNARY(tanh_, "Tanh")
UNARY(exp_, "Exp")
UNARY(hard_sigmoid, "HardSigmoid")
UNARY(leaky_relu, "LeakyRelu")
UNARY(relu, "Relu")
UNARY(abs_, "Abs")
UNARY(neg, "Neg")
UNARY(global_average_pool, "GlobalAveragePool")
UNARY(global_max_pool, "GlobalMaxPool")
UNARY(transpose, "Transpose")
UNARY(flatten, "Flatten")

static hb_tensor *
prelu(hb_graph *g)
{
	return test_node(g, "PRelu", "y", image(g), konst(g, "s", test_shape(3, 6, 1, 1), 0.4f), NULL, NULL);
}

static hb_tensor *
clip(hb_graph *g)
{
	float lo = -0.4f, hi = 0.7f;

	return test_node(g, "Clip", "y", image(g), test_const(g, "lo", test_shape(0), &lo), test_const(g, "hi", test_shape(0), &hi), NULL);
}

static hb_tensor *
softmax(hb_graph *g)
{
	return num(g, test_node(g, "Softmax", "y", image(g), NULL, NULL, NULL), "axis", 1);
}

static hb_tensor *
opset(hb_tensor *y, int version)
{
	y->producer->version = version;
	return y;
}

static hb_tensor *
layer_norm(hb_graph *g)
{
	return opset(test_node(g, "LayerNormalization", "y", image(g), konst(g, "scale", test_shape(1, 11), 1), konst(g, "bias", test_shape(1, 11), 0.3f), NULL), 17);
}

static hb_tensor *
layer_norm_of_two_dimensions(hb_graph *g)
{
	return num(g, opset(test_node(g, "LayerNormalization", "y", image(g), konst(g, "scale", test_shape(2, 9, 1), 1), NULL, NULL), 17), "axis", -2);
}

static hb_tensor *
rms_norm(hb_graph *g)
{
	return num(g, opset(test_node(g, "RMSNormalization", "y", image(g), konst(g, "scale", test_shape(1, 11), 2), NULL, NULL), 23), "axis", 3);
}

static hb_tensor *
conv_of_three_dimensions(hb_graph *g)
{
	hb_tensor *x = test_input(g, "x", test_shape(5, 1, 3, 5, 6, 7));
	hb_tensor *y = test_node(g, "Conv", "y", x, konst(g, "w", test_shape(5, 4, 3, 3, 3, 3), 0.2f), konst(g, "b", test_shape(1, 4), 0.5f), NULL);

	ints(g, y, "strides", INTS(2, 1, 1));
	return ints(g, y, "pads", INTS(1, 1, 1, 1, 1, 1));
}

static hb_tensor *
batch_norm_of_three_dimensions(hb_graph *g)
{
	static const float ones[] = { 1, 0.5f, 2, 1 };
	hb_node *n = hb_node_new(g, NULL, "y", "", "BatchNormalization", 15, 5, 1);

	hb_node_set_in(g, n, 0, test_input(g, "x", test_shape(5, 1, 4, 3, 5, 6)));
	for (int i = 1; i < 4; i++)
		hb_node_set_in(g, n, i, konst(g, "s", test_shape(1, 4), 0.6f));
	hb_node_set_in(g, n, 4, test_const(g, "var", test_shape(1, 4), ones));
	hb_node_set_out(n, 0, hb_tensor_new(g, "y", HB_NONE, NULL));
	return n->out[0];
}

static hb_tensor *
lstm_of(hb_graph *g, const char *way, int dirs)
{
	hb_tensor *x = test_input(g, "x", test_shape(3, 4, 1, 7));
	hb_tensor *y = test_node(g, "LSTM", "y", x, konst(g, "w", test_shape(3, dirs, 20, 7), 0.6f), konst(g, "r", test_shape(3, dirs, 20, 5), 0.5f),
				 konst(g, "b", test_shape(2, dirs, 40), 0.3f));

	hb_attr_set_s(g, y->producer, "direction", way);
	return num(g, y, "hidden_size", 5);
}

static hb_tensor *
lstm(hb_graph *g)
{
	return lstm_of(g, "forward", 1);
}

static hb_tensor *
lstm_both_ways(hb_graph *g)
{
	return lstm_of(g, "bidirectional", 2);
}

static hb_tensor *
quotient(hb_graph *g)
{
	hb_tensor *x = image(g);

	return test_node(g, "Div", "y", x, test_node(g, "Exp", "e", x, NULL, NULL, NULL), NULL, NULL);
}

static hb_tensor *
gather_elements(hb_graph *g)
{
	hb_shape s = test_shape(4, 1, 6, 9, 4);
	hb_tensor *i = hb_tensor_const(g, "i", HB_I64, &s, NULL);

	for (int64_t k = 0; k < hb_shape_elems(&s); k++)
		((int64_t *)(uintptr_t)i->data)[k] = k * k % 21 - 10;
	return num(g, test_node(g, "GatherElements", "y", image(g), i, NULL, NULL), "axis", 3);
}

static hb_tensor *
top_k(hb_graph *g)
{
	return num(g, test_node(g, "TopK", "y", image(g), hb_tensor_ints(g, "k", INTS(3)), NULL, NULL), "axis", 1);
}

static hb_tensor *
pool(hb_graph *g, const char *op)
{
	hb_tensor *y = test_node(g, op, "y", image(g), NULL, NULL, NULL);

	ints(g, y, "kernel_shape", INTS(3, 2));
	ints(g, y, "strides", INTS(2, 2));
	num(g, y, "ceil_mode", 1);
	return ints(g, y, "pads", INTS(1, 0, 1, 1));
}

static hb_tensor *
max_pool(hb_graph *g)
{
	return pool(g, "MaxPool");
}

static hb_tensor *
average_pool(hb_graph *g)
{
	return pool(g, "AveragePool");
}

static hb_tensor *
average_pool_counting_pads(hb_graph *g)
{
	return num(g, pool(g, "AveragePool"), "count_include_pad", 1);
}

static hb_tensor *
reduce_of(hb_graph *g, const char *op, bool axes_input)
{
	hb_tensor *x = image(g), *y;

	if (axes_input)
		return num(g, test_node(g, op, "y", x, hb_tensor_ints(g, "axes", INTS(1, 3)), NULL, NULL), "keepdims", 0);
	y = test_node(g, op, "y", x, NULL, NULL, NULL);
	return ints(g, y, "axes", INTS(2, -1));
}

static hb_tensor *
reduce_mean(hb_graph *g)
{
	return reduce_of(g, "ReduceMean", false);
}

static hb_tensor *
reduce_sum(hb_graph *g)
{
	return reduce_of(g, "ReduceSum", true);
}

static hb_tensor *
reduce_max(hb_graph *g)
{
	return reduce_of(g, "ReduceMax", false);
}

static hb_tensor *
resize(hb_graph *g, const char *mode, const char *how)
{
	static const float scales[4] = { 1, 1, 1.7f, 2.5f };
	hb_tensor *x = image(g), *y = test_node(g, "Resize", "y", x, NULL, NULL, NULL);

	hb_node *n = y->producer;
	assert_true(hb_node_add_in(g, n, test_const(g, "roi", test_shape(1, 0), scales)));
	assert_true(hb_node_add_in(g, n, test_const(g, "scales", test_shape(1, 4), scales)));
	assert_true(hb_attr_set_s(g, n, "mode", mode) && hb_attr_set_s(g, n, "coordinate_transformation_mode", how));
	return y;
}

static hb_tensor *
resize_linear(hb_graph *g)
{
	return resize(g, "linear", "half_pixel");
}

static hb_tensor *
resize_aligned(hb_graph *g)
{
	return resize(g, "linear", "align_corners");
}

static hb_tensor *
resize_nearest(hb_graph *g)
{
	return resize(g, "nearest", "asymmetric");
}

static hb_tensor *
concat(hb_graph *g)
{
	hb_tensor *y = test_node(g, "Concat", "y", image(g), test_input(g, "x2", test_shape(4, 1, 2, 9, 11)), NULL, NULL);

	return num(g, y, "axis", 1);
}

static hb_tensor *
slice(hb_graph *g)
{
	return test_node(g, "Slice", "y", image(g), hb_tensor_ints(g, "starts", INTS(-8, 1)), hb_tensor_ints(g, "ends", INTS(100, -1)),
			 hb_tensor_ints(g, "axes", INTS(-1, 1)));
}

static hb_tensor *
pad(hb_graph *g)
{
	float v = 0.3f;

	return test_node(g, "Pad", "y", image(g), hb_tensor_ints(g, "pads", INTS(0, 1, 2, -1, 0, 0, 3, 1)), test_const(g, "v", test_shape(0), &v), NULL);
}

static hb_tensor *
pad_by_reflection(hb_graph *g)
{
	hb_tensor *y = test_node(g, "Pad", "y", image(g), hb_tensor_ints(g, "pads", INTS(0, 0, 2, 3, 0, 0, 4, 1)), NULL, NULL);

	assert_true(hb_attr_set_s(g, y->producer, "mode", "reflect"));
	return y;
}

static hb_tensor *
expand(hb_graph *g)
{
	return test_node(g, "Expand", "y", test_input(g, "x", test_shape(3, 5, 1, 7)), hb_tensor_ints(g, "s", INTS(2, 1, 4, 7)), NULL, NULL);
}

static hb_tensor *
tile(hb_graph *g)
{
	return test_node(g, "Tile", "y", image(g), hb_tensor_ints(g, "r", INTS(2, 1, 3, 1)), NULL, NULL);
}

static hb_tensor *
gather(hb_graph *g)
{
	return num(g, test_node(g, "Gather", "y", image(g), hb_tensor_ints(g, "i", INTS(4, -1, 0, 3)), NULL, NULL), "axis", 2);
}

static hb_tensor *
depth_to_space(hb_graph *g)
{
	return num(g, test_node(g, "DepthToSpace", "y", test_input(g, "x", test_shape(4, 2, 12, 3, 4)), NULL, NULL, NULL), "blocksize", 2);
}

static hb_tensor *
space_to_depth(hb_graph *g)
{
	return num(g, test_node(g, "SpaceToDepth", "y", test_input(g, "x", test_shape(4, 2, 3, 4, 6)), NULL, NULL, NULL), "blocksize", 2);
}

/* ---- running both forms ---- */

static hb_status
sample(void *arg, int64_t k, hb_val *in, bool *more)
{
	hb_graph *g = arg;

	*more = k < 2;
	for (size_t i = 0; *more && i < g->ninputs; i++)
		for (int64_t e = 0; e < hb_shape_elems(&in[i].shape); e++)
			((float *)in[i].data)[e] = wave(e * 7 + k * 13 + (int64_t)i * 5) * (float)(i + 1);
	return HB_OK;
}

static void
run(hb_graph *g, const hb_graph *like, float *y)
{
	static float x[4][MAX_ELEMS] __attribute__((aligned(64)));
	hb_status st;
	hb_exec *ex = hb_exec_new(g, &st);
	hb_val in[4], out[1];
	bool more;

	assert_non_null(ex);
	assert_true(g->ninputs <= 4 && hb_tensor_elems(g->outputs[0]) <= MAX_ELEMS);
	for (size_t i = 0; i < g->ninputs; i++)
		in[i] = (hb_val){ HB_F32, g->inputs[i]->shape, x[i] };
	sample((void *)(uintptr_t)like, 0, in, &more);
	assert_int_equal(hb_exec_run(ex, in, out, NULL, NULL), HB_OK);
	assert_int_equal(out[0].dtype, HB_F32);
	memcpy(y, out[0].data, sizeof(float) * (size_t)hb_shape_elems(&out[0].shape));
	hb_exec_free(ex);
}

static void
compare(const op_case *c, hb_dtype dt)
{
	static float fixed[MAX_ELEMS], fake[MAX_ELEMS];
	test_log log = { .count = 0 };
	hb_ctx *cx = test_ctx(&log, 2);
	hb_graph *g = hb_graph_new(cx), *fx = NULL, *qdq = NULL;
	hb_calib_options o = { .activations = { .dtype = dt, .observer = { .kind = HB_OBS_MINMAX } }, .low_precision_output = true, .sample = sample, .arg = g };
	double worst = 0, limit = dt == HB_I16 && c->apart ? c->apart : 1;
	int64_t same = 0, n;

	test_output(g, c->build(g));
	if (hb_pass_shapes(g, false) != HB_OK || hb_pass_fuse(g) != HB_OK)
		fail_msg("%s: %s", c->name, log.text);
	for (hb_node *k = g->first; k; k = k->next)
		k->on = HB_ON_BPU;
	if (hb_pass_calibrate(g, &o) != HB_OK || hb_pass_convert(g, HB_HALF_EVEN, &fx) != HB_OK || hb_pass_qdq(g, fx, HB_HALF_EVEN, false, &qdq) != HB_OK)
		fail_msg("%s: %s", c->name, log.text);
	run(fx, g, fixed);
	run(qdq, g, fake);
	n = hb_tensor_elems(g->outputs[0]);
	for (int64_t i = 0; i < n; i++) {
		double d = fabs((double)fixed[i] - fake[i]) / g->outputs[0]->q.scale;

		worst = fmax(worst, d);
		same += d < 0.01;
	}
	if (worst > limit + 0.01 || (limit < 2 && (double)same < floor((c->equal ? c->equal : 0.99) * (double)n)))
		fail_msg("%s %s: %lld of %lld equal, at most %.2f apart", c->name, hb_dtype_name(dt), (long long)same, (long long)n, worst);
	hb_graph_free(qdq);
	hb_graph_free(fx);
	hb_graph_free(g);
	hb_ctx_free(cx);
}

#define CASE(f) { .name = #f, .build = f }
#define WIDE(f) { .name = #f, .build = f, .int16_too = true }

static const op_case exact_cases[] = {
	WIDE(conv), WIDE(conv_of_one_dimension), WIDE(depthwise), WIDE(grouped_conv_with_relu), WIDE(conv_added_to_its_input),
	WIDE(conv_of_three_dimensions), WIDE(batch_norm_of_three_dimensions), WIDE(conv_transpose), WIDE(gemm), WIDE(gemm_of_transposed_input), WIDE(matmul_with_bias), WIDE(matmul_of_two),
};

static const op_case element_cases[] = {
	WIDE(add), WIDE(sub), WIDE(mul), WIDE(max_of_two), WIDE(min_of_two), WIDE(add_constant), WIDE(sum_of_three), WIDE(mean_of_three),
	WIDE(relu), WIDE(clip), WIDE(abs_), WIDE(prelu),
};

static const op_case table_cases[] = {
	{ "sigmoid", sigmoid, true, 3, 0 }, { "tanh", tanh_, true, 4, 0 }, { "exp", exp_, true, 3, 0 },
	{ "hard_sigmoid", hard_sigmoid, true, 3, 0 }, { "leaky_relu", leaky_relu, true, 3, 0 }, { "neg", neg, true, 2, 0 },
	{ "softmax", softmax, true, 8, 0.9 },
	{ "lstm", lstm, true, 8, 0.9 }, { "lstm_both_ways", lstm_both_ways, true, 8, 0.9 },
	WIDE(layer_norm), WIDE(layer_norm_of_two_dimensions), WIDE(rms_norm), WIDE(quotient),
};

static const op_case window_cases[] = {
	WIDE(max_pool), WIDE(average_pool), WIDE(average_pool_counting_pads), WIDE(global_average_pool), WIDE(global_max_pool),
	WIDE(reduce_mean), WIDE(reduce_sum), WIDE(reduce_max),
	/* 11 bits of weight an axis: up to 2^-11 of the range of int16 */
	{ "resize_linear", resize_linear, true, 32, 0.97 }, { "resize_aligned", resize_aligned, true, 32, 0.97 }, WIDE(resize_nearest),
};

static const op_case move_cases[] = {
	WIDE(transpose), WIDE(flatten), WIDE(concat), WIDE(slice), WIDE(pad), WIDE(pad_by_reflection), WIDE(expand), WIDE(tile), WIDE(gather),
	WIDE(depth_to_space), WIDE(space_to_depth), WIDE(gather_elements), WIDE(top_k),
};

static void
run_cases(const op_case *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		compare(&c[i], HB_I8);
		if (c[i].int16_too)
			compare(&c[i], HB_I16);
	}
}

#define CASES(test, table)              \
	static void                     \
	test(void **state)              \
	{                               \
		(void)state;            \
		run_cases(table, HB_LEN(table)); \
	}
CASES(products_agree_with_fake_quantization, exact_cases)
CASES(elements_agree_with_fake_quantization, element_cases)
CASES(lookups_agree_with_fake_quantization, table_cases)
CASES(windows_agree_with_fake_quantization, window_cases)
CASES(moved_elements_agree_with_fake_quantization, move_cases)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(products_agree_with_fake_quantization), cmocka_unit_test(elements_agree_with_fake_quantization),
		cmocka_unit_test(lookups_agree_with_fake_quantization), cmocka_unit_test(windows_agree_with_fake_quantization),
		cmocka_unit_test(moved_elements_agree_with_fake_quantization),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
