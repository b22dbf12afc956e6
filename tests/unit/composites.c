/* recognise and expand: composites that exporters write out, and operators that are functions of others. */
#include "tests/test.h"

#include <math.h>

#include "lib/pass/pass.h"

enum { MAX = 4096 };

/* Output 0 of g for inputs that the place in the tensor decides. */
static int64_t
run(hb_graph *g, float *y)
{
	static float x[4][MAX] __attribute__((aligned(64)));
	hb_status st;
	hb_exec *ex = hb_exec_new(g, &st);
	hb_val in[4], out[4];
	assert_non_null(ex);
	for (size_t k = 0; k < g->ninputs; k++) {
		for (int i = 0; i < MAX; i++)
			x[k][i] = 2 * sinf((float)i * 0.7f + (float)k);
		in[k] = (hb_val){ HB_F32, g->inputs[k]->shape, x[k] };
	}
	assert_int_equal(hb_exec_run(ex, in, out, NULL, NULL), HB_OK);
	int64_t n = hb_shape_elems(&out[0].shape);
	assert_true(n <= MAX);
	memcpy(y, out[0].data, sizeof(float) * (size_t)n);
	hb_exec_free(ex);
	return n;
}

static void
same_after(hb_graph *g, hb_status (*pass)(hb_graph *g))
{
	static float before[MAX], after[MAX];
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	hb_shape s = g->outputs[0]->shape;
	int64_t n = run(g, before);
	assert_int_equal(pass(g), HB_OK);
	assert_null(hb_graph_verify(g, g->arena));
	assert_true(hb_shape_eq(&s, &g->outputs[0]->shape));
	assert_int_equal(run(g, after), n);
	for (int64_t i = 0; i < n; i++)
		assert_true(fabsf(before[i] - after[i]) <= 1e-5f * (1 + fabsf(before[i])));
}

static hb_tensor *
number(hb_graph *g, float v)
{
	return hb_tensor_scalar_f32(g, "v", v);
}

static hb_tensor *
over(hb_graph *g, const char *op, hb_tensor *x, int64_t axis)
{
	hb_tensor *t = test_node(g, op, op, x, NULL, NULL, NULL);
	assert_true(hb_attr_set_ints(g, t->producer, "axes", &axis, 1));
	return t;
}

static hb_tensor *
with_axis(hb_graph *g, hb_tensor *t, int64_t axis)
{
	assert_true(hb_attr_set_i(g, t->producer, "axis", axis));
	return t;
}

static hb_tensor *
two(hb_graph *g, const char *op, hb_tensor *a, hb_tensor *b)
{
	return test_node(g, op, op, a, b, NULL, NULL);
}

static hb_tensor *
one(hb_graph *g, const char *op, hb_tensor *a)
{
	return test_node(g, op, op, a, NULL, NULL, NULL);
}

static hb_tensor *
reshape(hb_graph *g, hb_tensor *x, const int64_t *dim, size_t rank)
{
	return two(g, "Reshape", x, hb_tensor_ints(g, "shape", dim, rank));
}

/* Reshape to `wide`, Transpose by perm, Reshape to `to`. */
static hb_tensor *
shuffled(hb_graph *g, hb_tensor *x, size_t rank, const int64_t *wide, const int64_t *perm, const int64_t *to)
{
	hb_tensor *t = one(g, "Transpose", reshape(g, x, wide, rank));
	assert_true(hb_attr_set_ints(g, t->producer, "perm", perm, rank));
	return reshape(g, t, to, 4);
}

static hb_graph *
graph(hb_ctx **cx)
{
	*cx = test_ctx(NULL, 1);
	return hb_graph_new(*cx);
}

/* ---- recognise ---- */

/* As torch writes it; axis of the mean. */
static hb_tensor *
written_norm(hb_graph *g, hb_tensor *x, int64_t axis, hb_tensor **centred)
{
	hb_tensor *d = two(g, "Sub", x, over(g, "ReduceMean", x, axis));
	hb_tensor *v = over(g, "ReduceMean", two(g, "Pow", d, number(g, 2)), axis);
	*centred = d;
	return two(g, "Div", d, one(g, "Sqrt", two(g, "Add", v, number(g, 1e-3f))));
}

static void
a_layer_norm_written_out_is_one_node(void **state)
{
	(void)state;
	hb_ctx *cx;
	hb_graph *g = graph(&cx);
	hb_tensor *x = test_input(g, "x", test_shape(3, 2, 5, 8)), *d;
	hb_tensor *y = two(g, "Mul", written_norm(g, x, -1, &d), test_const(g, "w", test_shape(1, 8), NULL));
	test_output(g, two(g, "Add", y, test_const(g, "b", test_shape(1, 8), NULL)));
	same_after(g, hb_pass_recognise);
	assert_int_equal(g->nnodes, 1);
	assert_string_equal(g->first->op_type, "LayerNormalization");
	assert_int_equal(g->first->nin, 3);
	assert_string_equal(g->first->name, "Add");
	for (const hb_source *s = g->sources; s; s = s->next)
		assert_ptr_equal(s->now, g->first);
	hb_ctx_free(cx);
}

static void
a_layer_norm_as_scale_and_shift_is_one_node(void **state)
{
	(void)state;
	hb_ctx *cx;
	hb_graph *g = graph(&cx);
	hb_tensor *x = test_input(g, "x", test_shape(2, 5, 8)), *mean = over(g, "ReduceMean", x, 1);
	hb_tensor *d = two(g, "Sub", x, mean), *v = over(g, "ReduceMean", two(g, "Mul", d, d), 1);
	hb_tensor *inverse = one(g, "Reciprocal", one(g, "Sqrt", two(g, "Add", v, number(g, 1e-3f))));
	hb_tensor *s = two(g, "Mul", inverse, test_const(g, "w", test_shape(1, 8), NULL));
	hb_tensor *shift = two(g, "Sub", test_const(g, "b", test_shape(2, 1, 8), NULL), two(g, "Mul", mean, s));
	test_output(g, two(g, "Add", two(g, "Mul", x, s), shift));
	same_after(g, hb_pass_recognise);
	assert_int_equal(g->nnodes, 1);
	assert_string_equal(g->first->op_type, "LayerNormalization");
	hb_ctx_free(cx);
}

static void
a_norm_over_the_first_of_two_dimensions_stays(void **state)
{
	(void)state;
	hb_ctx *cx;
	hb_graph *g = graph(&cx);
	hb_tensor *x = test_input(g, "x", test_shape(3, 2, 5, 8)), *d;
	test_output(g, written_norm(g, x, 1, &d));
	same_after(g, hb_pass_recognise);
	assert_int_equal(g->nnodes, 7);
	hb_ctx_free(cx);
}

static void
a_norm_whose_inside_is_read_elsewhere_stays(void **state)
{
	(void)state;
	hb_ctx *cx;
	hb_graph *g = graph(&cx);
	hb_tensor *x = test_input(g, "x", test_shape(3, 2, 5, 8)), *d;
	test_output(g, written_norm(g, x, -1, &d));
	test_output(g, d);
	same_after(g, hb_pass_recognise);
	assert_int_equal(g->nnodes, 7);
	hb_ctx_free(cx);
}

static void
a_scale_along_another_axis_stays_behind_the_norm(void **state)
{
	(void)state;
	hb_ctx *cx;
	hb_graph *g = graph(&cx);
	hb_tensor *x = test_input(g, "x", test_shape(3, 2, 8, 8)), *d;
	hb_tensor *y = with_axis(g, two(g, "Mul", written_norm(g, x, -1, &d), test_const(g, "w", test_shape(1, 8), NULL)), 1);
	y->producer->version = 6;
	assert_true(hb_attr_set_i(g, y->producer, "broadcast", 1));
	test_output(g, y);
	same_after(g, hb_pass_recognise);
	assert_int_equal(g->nnodes, 2);
	assert_string_equal(g->first->op_type, "LayerNormalization");
	hb_ctx_free(cx);
}

static void
exponentials_by_their_sum_are_a_softmax_and_its_logarithm_is_one_too(void **state)
{
	(void)state;
	hb_ctx *cx;
	hb_graph *g = graph(&cx);
	hb_tensor *x = test_input(g, "x", test_shape(3, 2, 5, 8));
	hb_tensor *e = one(g, "Exp", two(g, "Sub", x, over(g, "ReduceMax", x, 1)));
	hb_tensor *sum = two(g, "ReduceSum", e, hb_tensor_ints(g, "axes", (int64_t[]){ -2 }, 1));
	test_output(g, one(g, "Log", two(g, "Div", e, sum)));
	same_after(g, hb_pass_recognise);
	assert_int_equal(g->nnodes, 1);
	assert_string_equal(g->first->op_type, "LogSoftmax");
	assert_int_equal(hb_attr_i(g->first, "axis", -1), 1);
	hb_ctx_free(cx);
}

static void
shuffles_of_pixels_have_their_operators(void **state)
{
	static const struct {
		int from[3];
		int64_t wide[6], perm[6], to[4];
		const char *op;
		int nodes;
	} cases[] = {
		{ { 12, 2, 3 }, { 1, 3, 2, 2, 2, 3 }, { 0, 1, 4, 2, 5, 3 }, { 1, 3, 4, 6 }, "DepthToSpace", 1 },
		{ { 12, 2, 3 }, { 1, 2, 2, 3, 2, 3 }, { 0, 3, 4, 1, 5, 2 }, { 1, 3, 4, 6 }, "DepthToSpace", 1 },
		{ { 3, 4, 6 }, { 1, 3, 2, 2, 3, 2 }, { 0, 3, 5, 1, 2, 4 }, { 1, 12, 2, 3 }, "SpaceToDepth", 1 },
		{ { 3, 4, 6 }, { 1, 3, 2, 2, 3, 2 }, { 0, 1, 3, 5, 2, 4 }, { 1, 12, 2, 3 }, "SpaceToDepth", 4 },
		/* blocks that are no squares have none */
		{ { 12, 2, 3 }, { 1, 3, 4, 1, 2, 3 }, { 0, 1, 4, 2, 5, 3 }, { 1, 3, 8, 3 }, "Reshape", 3 },
	};
	(void)state;
	for (size_t i = 0; i < HB_LEN(cases); i++) {
		hb_ctx *cx;
		hb_graph *g = graph(&cx);
		hb_tensor *x = test_input(g, "x", test_shape(4, 1, cases[i].from[0], cases[i].from[1], cases[i].from[2]));
		test_output(g, shuffled(g, x, 6, cases[i].wide, cases[i].perm, cases[i].to));
		same_after(g, hb_pass_recognise);
		assert_string_equal(g->first->op_type, cases[i].op);
		assert_int_equal(g->nnodes, cases[i].nodes);
		hb_ctx_free(cx);
	}
}

static void
marked(const hb_graph *g, const char *op, const char *composite)
{
	for (const hb_node *n = g->first; n; n = n->next) {
		if (strcmp(n->op_type, op))
			continue;
		assert_non_null(n->composite);
		assert_string_equal(n->composite, composite);
	}
}

static void
parts_of_composites_carry_its_name(void **state)
{
	(void)state;
	hb_ctx *cx;
	hb_graph *g = graph(&cx);
	hb_tensor *x = test_input(g, "x", test_shape(4, 1, 8, 2, 3));
	x = shuffled(g, x, 5, (int64_t[]){ 1, 2, 4, 2, 3 }, (int64_t[]){ 0, 2, 1, 3, 4 }, (int64_t[]){ 1, 8, 2, 3 });
	hb_node *split = hb_node_new(g, NULL, "split", "", "Split", 13, 1, 2);
	hb_node_set_in(g, split, 0, x);
	for (int i = 0; i < 2; i++)
		hb_node_set_out(split, i, hb_tensor_new(g, "half", HB_NONE, NULL));
	assert_true(hb_attr_set_i(g, split, "axis", 1));
	hb_tensor *y = two(g, "Mul", split->out[0], one(g, "Sigmoid", split->out[1]));
	hb_tensor *most = over(g, "ReduceMax", y, 1), *at = with_axis(g, one(g, "ArgMax", y), -3);
	test_output(g, two(g, "Add", most, test_node(g, "Where", "Where", two(g, "Less", y, number(g, 0)), number(g, 7), y, NULL)));
	test_output(g, at);
	same_after(g, hb_pass_recognise);
	marked(g, "Transpose", "ChannelShuffle");
	marked(g, "Split", "GLU");
	marked(g, "Sigmoid", "GLU");
	marked(g, "Mul", "GLU");
	marked(g, "ReduceMax", "max");
	marked(g, "ArgMax", "max");
	marked(g, "Where", "masked_fill");
	assert_null(g->last->composite);
	hb_ctx_free(cx);
}

static void
a_softmax_between_products_of_activations_is_attention(void **state)
{
	(void)state;
	hb_ctx *cx;
	hb_graph *g = graph(&cx);
	hb_tensor *q = test_input(g, "q", test_shape(4, 1, 2, 5, 3)), *k = test_input(g, "k", test_shape(4, 1, 2, 3, 5));
	hb_tensor *v = test_input(g, "v", test_shape(4, 1, 2, 5, 3));
	hb_tensor *s = two(g, "Div", two(g, "MatMul", q, k), number(g, 1.7f));
	s = two(g, "Add", s, test_const(g, "mask", test_shape(2, 5, 5), NULL));
	test_output(g, two(g, "MatMul", one(g, "Softmax", s), v));
	same_after(g, hb_pass_recognise);
	for (const hb_node *n = g->first; n; n = n->next)
		assert_string_equal(n->composite, "MultiheadAttention");
	hb_ctx_free(cx);
}

static void
one_step_of_an_lstm_is_known_by_its_gates(void **state)
{
	(void)state;
	hb_ctx *cx;
	hb_graph *g = graph(&cx);
	hb_tensor *all = test_input(g, "all", test_shape(2, 1, 12)), *c = test_input(g, "c", test_shape(2, 1, 3)), *gate[4];
	hb_node *split = hb_node_new(g, NULL, "split", "", "Split", 13, 1, 4);
	hb_node_set_in(g, split, 0, all);
	assert_true(hb_attr_set_i(g, split, "axis", 1));
	for (int i = 0; i < 4; i++) {
		hb_node_set_out(split, i, hb_tensor_new(g, "part", HB_NONE, NULL));
		gate[i] = one(g, i == 2 ? "Tanh" : "Sigmoid", split->out[i]);
	}
	hb_tensor *next = two(g, "Add", two(g, "Mul", gate[1], c), two(g, "Mul", gate[0], gate[2]));
	test_output(g, two(g, "Mul", gate[3], one(g, "Tanh", next)));
	test_output(g, next);
	same_after(g, hb_pass_recognise);
	for (const hb_node *n = g->first; n; n = n->next)
		assert_string_equal(n->composite, "LSTMCell");
	hb_ctx_free(cx);
}

static void
a_chain_is_named_by_its_values(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		static const char *const names[] = { "SiLU", "GELU", "HardSwish", NULL };
		hb_ctx *cx;
		hb_graph *g = graph(&cx);
		hb_tensor *x = test_input(g, "x", test_shape(4, 1, 2, 3, 4)), *y = NULL;
		if (i == 0)
			y = two(g, "Mul", one(g, "Sigmoid", x), x);
		if (i == 1) {
			y = two(g, "Add", x, two(g, "Mul", two(g, "Pow", x, number(g, 3)), number(g, 0.044715f)));
			y = two(g, "Add", one(g, "Tanh", two(g, "Mul", y, number(g, 0.7978845608f))), number(g, 1));
			y = two(g, "Mul", two(g, "Mul", x, number(g, 0.5f)), y);
		}
		if (i == 2)
			y = two(g, "Div", two(g, "Mul", x, test_node(g, "Clip", "clip", two(g, "Add", x, number(g, 3)), number(g, 0), number(g, 6), NULL)), number(g, 6));
		if (i == 3)
			y = two(g, "Mul", one(g, "Sigmoid", two(g, "Mul", x, number(g, 1.702f))), x);
		test_output(g, y);
		assert_int_equal(hb_pass_shapes(g, false), HB_OK);
		assert_int_equal(hb_pass_fuse(g), HB_OK);
		assert_non_null(g->first->group);
		if (names[i])
			assert_string_equal(g->first->composite, names[i]);
		else
			assert_null(g->first->composite);
		hb_ctx_free(cx);
	}
}

/* ---- expand ---- */

static hb_status
expand_for_a_march_without_rows(hb_graph *g)
{
	static const hb_march_op none[] = { { 0 } };
	static const hb_march bare = { .name = "bare", .ops = none };
	return hb_pass_expand(g, &bare);
}

/* Node n of one output, with its operator set. */
static hb_node *
newer(hb_tensor *t, int version)
{
	t->producer->version = version;
	return t->producer;
}

static void
gone(hb_graph *g, const char *op)
{
	same_after(g, expand_for_a_march_without_rows);
	for (const hb_node *n = g->first; n; n = n->next)
		assert_string_not_equal(n->op_type, op);
	assert_string_equal(g->last->name, op);
	assert_ptr_equal(g->sources->now, g->last);
}

static void
attention_is_its_body(void **state)
{
	(void)state;
	for (int flat = 0; flat < 2; flat++) {
		hb_ctx *cx;
		hb_graph *g = graph(&cx);
		hb_tensor *q = test_input(g, "q", flat ? test_shape(3, 2, 3, 16) : test_shape(4, 2, 4, 3, 4));
		hb_tensor *k = test_input(g, "k", flat ? test_shape(3, 2, 5, 8) : test_shape(4, 2, 2, 5, 4));
		hb_tensor *v = test_input(g, "v", flat ? test_shape(3, 2, 5, 6) : test_shape(4, 2, 2, 5, 3));
		hb_tensor *mask = test_const(g, "mask", test_shape(2, 3, 5), NULL);
		hb_tensor *y = test_node(g, "Attention", "Attention", q, k, v, flat ? NULL : mask);
		hb_node *n = newer(y, 23);
		assert_true(hb_attr_set_i(g, n, "is_causal", 1) && hb_attr_set_f(g, n, "softcap", 1.5f));
		if (flat)
			assert_true(hb_attr_set_i(g, n, "q_num_heads", 4) && hb_attr_set_i(g, n, "kv_num_heads", 2));
		test_output(g, y);
		gone(g, "Attention");
		hb_ctx_free(cx);
	}
}

static void
functions_of_one_tensor_are_their_bodies(void **state)
{
	static const struct {
		const char *op;
		int version;
	} cases[] = { { "Swish", 24 }, { "HardSwish", 14 }, { "Mish", 18 } };
	(void)state;
	for (size_t i = 0; i < HB_LEN(cases); i++) {
		hb_ctx *cx;
		hb_graph *g = graph(&cx);
		hb_tensor *y = one(g, cases[i].op, test_input(g, "x", test_shape(4, 1, 2, 3, 4)));
		newer(y, cases[i].version);
		test_output(g, y);
		gone(g, cases[i].op);
		hb_ctx_free(cx);
	}
}

static void
norms_are_their_bodies(void **state)
{
	(void)state;
	for (int version = 18; version <= 21; version += 3) {
		hb_ctx *cx;
		hb_graph *g = graph(&cx);
		hb_shape p = test_shape(1, version < 21 ? 2 : 6);
		hb_tensor *x = test_input(g, "x", test_shape(4, 2, 6, 3, 4)), *w = test_const(g, "w", p, NULL), *b = test_const(g, "b", p, NULL);
		hb_tensor *y = test_node(g, "GroupNormalization", "GroupNormalization", x, w, b, NULL);
		assert_true(hb_attr_set_i(g, newer(y, version), "num_groups", 2));
		test_output(g, y);
		gone(g, "GroupNormalization");
		hb_ctx_free(cx);
	}
	hb_ctx *cx;
	hb_graph *g = graph(&cx);
	hb_tensor *y = two(g, "RMSNormalization", test_input(g, "x", test_shape(3, 2, 5, 8)), test_const(g, "w", test_shape(1, 8), NULL));
	newer(y, 23);
	test_output(g, y);
	gone(g, "RMSNormalization");
	hb_ctx_free(cx);
}

static void
rotations_are_products_and_sums(void **state)
{
	(void)state;
	for (int way = 0; way < 4; way++) {
		hb_ctx *cx;
		hb_graph *g = graph(&cx);
		hb_tensor *x = test_input(g, "x", way & 1 ? test_shape(4, 2, 3, 4, 6) : test_shape(3, 2, 4, 18));
		hb_tensor *c = test_input(g, "cos", test_shape(3, 2, 4, 2)), *s = test_input(g, "sin", test_shape(3, 2, 4, 2));
		hb_tensor *y = test_node(g, "RotaryEmbedding", "RotaryEmbedding", x, c, s, NULL);
		hb_node *n = newer(y, 23);
		assert_true(hb_attr_set_i(g, n, "rotary_embedding_dim", 4) && hb_attr_set_i(g, n, "interleaved", way / 2));
		if (!(way & 1))
			assert_true(hb_attr_set_i(g, n, "num_heads", 3));
		test_output(g, y);
		gone(g, "RotaryEmbedding");
		hb_ctx_free(cx);
	}
}

static void
a_cache_is_written_by_scattering(void **state)
{
	(void)state;
	for (int circular = 0; circular < 2; circular++) {
		hb_ctx *cx;
		hb_graph *g = graph(&cx);
		hb_tensor *cache = test_input(g, "cache", test_shape(3, 2, 5, 4)), *update = test_input(g, "update", test_shape(3, 2, 2, 4));
		hb_tensor *first = hb_tensor_ints(g, "first", (int64_t[]){ 0, circular ? 4 : 3 }, 2);
		hb_tensor *y = test_node(g, "TensorScatter", "TensorScatter", cache, update, first, NULL);
		assert_true(hb_attr_set_s(g, newer(y, 24), "mode", circular ? "circular" : "linear"));
		test_output(g, y);
		gone(g, "TensorScatter");
		hb_ctx_free(cx);
	}
}

static void
cropping_around_the_centre_is_slices_and_a_pad(void **state)
{
	(void)state;
	hb_ctx *cx;
	hb_graph *g = graph(&cx);
	hb_tensor *y = two(g, "CenterCropPad", test_input(g, "x", test_shape(3, 7, 4, 6)), hb_tensor_ints(g, "to", (int64_t[]){ 4, 7, 6 }, 3));
	newer(y, 18);
	test_output(g, y);
	gone(g, "CenterCropPad");
	hb_ctx_free(cx);
}

static void
what_a_march_lists_stays_and_without_one_only_what_cannot_be_written_goes(void **state)
{
	(void)state;
	hb_ctx *cx;
	hb_graph *g = graph(&cx);
	hb_tensor *x = test_input(g, "x", test_shape(4, 1, 2, 3, 4)), *y = one(g, "Mish", x);
	newer(y, 18);
	newer(y = one(g, "Swish", y), 24);
	test_output(g, y);
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	const hb_march *m = hb_march_find("bayes");
	assert_non_null(hb_march_op_of(m, "Swish"));
	assert_int_equal(hb_pass_expand(g, m), HB_OK);
	assert_string_equal(g->last->op_type, "Swish");
	assert_int_equal(hb_pass_expand(g, NULL), HB_OK);
	assert_string_equal(g->last->op_type, "Mul");
	hb_ctx_free(cx);
}

static void
an_addition_of_a_mask_has_no_fixed_point_form(void **state)
{
	static const struct {
		float v[3];
		bool masks;
	} cases[] = {
		{ { 0, -INFINITY, 0 }, true }, { { -1e9f, 0, -1e4f }, true }, { { 0, 0, 0 }, false }, { { 0, -1e4f, 1 }, false }, { { -8, 0, 0 }, false },
	};
	(void)state;
	for (size_t i = 0; i < HB_LEN(cases); i++) {
		hb_ctx *cx;
		hb_graph *g = graph(&cx);
		hb_tensor *y = two(g, "Add", test_input(g, "x", test_shape(2, 2, 3)), test_const(g, "m", test_shape(1, 3), cases[i].v));
		test_output(g, y);
		assert_int_equal(hb_pass_shapes(g, false), HB_OK);
		assert_int_equal(y->producer->op->floats(y->producer) != NULL, cases[i].masks);
		hb_ctx_free(cx);
	}
}

static void
the_row_of_an_expanded_node_tells_of_its_part_on_the_cpu(void **state)
{
	(void)state;
	hb_ctx *cx;
	hb_graph *g = graph(&cx);
	hb_tensor *q = test_input(g, "q", test_shape(4, 1, 2, 4, 8)), *k = one(g, "Relu", q), *v = one(g, "Sigmoid", q);
	hb_tensor *y = test_node(g, "Attention", "Attention", k, k, v, NULL);
	newer(y, 23);
	test_output(g, one(g, "Relu", y));
	hb_source *s = y->producer->sources;
	const hb_march *m = hb_march_find("bayes");
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	assert_int_equal(hb_pass_expand(g, m), HB_OK);
	assert_string_equal(s->now->op_type, "MatMul");
	assert_int_equal(hb_pass_fuse(g), HB_OK);
	assert_int_equal(hb_pass_place(g, m, NULL), HB_OK);
	assert_string_equal(s->now->op_type, "Softmax");	/* on the CPU by default */
	assert_int_equal(s->now->on, HB_ON_CPU);
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_layer_norm_written_out_is_one_node),
		cmocka_unit_test(a_layer_norm_as_scale_and_shift_is_one_node),
		cmocka_unit_test(a_norm_over_the_first_of_two_dimensions_stays),
		cmocka_unit_test(a_norm_whose_inside_is_read_elsewhere_stays),
		cmocka_unit_test(a_scale_along_another_axis_stays_behind_the_norm),
		cmocka_unit_test(exponentials_by_their_sum_are_a_softmax_and_its_logarithm_is_one_too),
		cmocka_unit_test(shuffles_of_pixels_have_their_operators),
		cmocka_unit_test(parts_of_composites_carry_its_name),
		cmocka_unit_test(a_softmax_between_products_of_activations_is_attention),
		cmocka_unit_test(one_step_of_an_lstm_is_known_by_its_gates),
		cmocka_unit_test(a_chain_is_named_by_its_values),
		cmocka_unit_test(attention_is_its_body),
		cmocka_unit_test(functions_of_one_tensor_are_their_bodies),
		cmocka_unit_test(norms_are_their_bodies),
		cmocka_unit_test(rotations_are_products_and_sums),
		cmocka_unit_test(a_cache_is_written_by_scattering),
		cmocka_unit_test(cropping_around_the_centre_is_slices_and_a_pad),
		cmocka_unit_test(an_addition_of_a_mask_has_no_fixed_point_form),
		cmocka_unit_test(the_row_of_an_expanded_node_tells_of_its_part_on_the_cpu),
		cmocka_unit_test(what_a_march_lists_stays_and_without_one_only_what_cannot_be_written_goes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
