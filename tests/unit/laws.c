/* laws 1, 2, 4 and 5 of DESIGN 5 on random networks, through every pass. */
#include "tests/test.h"

#include <math.h>

#include "lib/pass/pass.h"
#include "lib/run/run.h"
#include "lib/sched/sched.h"

/* ---- random networks ---- */

static uint32_t seed;

static int
pick(int n)
{
	seed = seed * 1664525u + 1013904223u;
	return (int)(seed >> 8) % n;
}

static hb_tensor *
weights(hb_graph *g, int out, int in, int k)
{
	hb_tensor *t = test_const(g, "w", test_shape(4, out, in, k, k), NULL);
	float *v = (float *)(uintptr_t)t->data;
	for (int64_t i = 0; i < hb_tensor_elems(t); i++)
		v[i] = (float)(pick(2001) - 1000) / (1000 * sqrtf((float)(in * k * k)));
	return t;
}

static hb_tensor *
conv(hb_graph *g, hb_tensor *x, int out, int k, int stride, bool depthwise)
{
	int in = (int)x->shape.dim[1];
	hb_tensor *b = test_const(g, "b", test_shape(1, depthwise ? in : out), NULL);
	hb_tensor *y = test_node(g, "Conv", "conv", x, weights(g, depthwise ? in : out, depthwise ? 1 : in, k), b, NULL);
	int64_t pads[] = { k / 2, k / 2, k / 2, k / 2 }, strides[] = { stride, stride };
	hb_attr_set_ints(g, y->producer, "pads", pads, 4);
	hb_attr_set_ints(g, y->producer, "strides", strides, 2);
	hb_attr_set_i(g, y->producer, "group", depthwise ? in : 1);
	return y;
}

static hb_tensor *
pool(hb_graph *g, const char *op, hb_tensor *x)
{
	hb_tensor *y = test_node(g, op, "pool", x, NULL, NULL, NULL);
	int64_t k[] = { 3, 3 }, s[] = { 2, 2 }, p[] = { 1, 1, 1, 1 };
	hb_attr_set_ints(g, y->producer, "kernel_shape", k, 2);
	hb_attr_set_ints(g, y->producer, "strides", s, 2);
	hb_attr_set_ints(g, y->producer, "pads", p, 4);
	return y;
}

/* Over the last dimension, or the last two. */
static hb_tensor *
normed(hb_graph *g, hb_tensor *x)
{
	int from = 2 + pick(2), n = 1;
	for (int d = from; d < 4; d++)
		n *= (int)x->shape.dim[d];
	hb_shape s = from == 3 ? test_shape(1, n) : test_shape(2, (int)x->shape.dim[2], (int)x->shape.dim[3]);
	hb_tensor *scale = test_const(g, "scale", s, NULL), *bias = test_const(g, "bias", s, NULL);
	for (int i = 0; i < n; i++) {
		((float *)(uintptr_t)scale->data)[i] = (float)(pick(200) + 20) / 100;
		((float *)(uintptr_t)bias->data)[i] = (float)(pick(200) - 100) / 100;
	}
	hb_tensor *y = test_node(g, "LayerNormalization", "norm", x, scale, bias, NULL);
	hb_attr_set_i(g, y->producer, "axis", from);
	y->producer->version = 17;
	return y;
}

static hb_tensor *
random_const(hb_graph *g, const char *name, hb_shape s, float gain)
{
	hb_tensor *t = test_const(g, name, s, NULL);
	for (int64_t i = 0; i < hb_tensor_elems(t); i++)
		((float *)(uintptr_t)t->data)[i] = gain * (float)(pick(2001) - 1000) / 1000;
	return t;
}

static hb_tensor *
one_layer(hb_graph *g, hb_tensor *x)
{
	int c = (int)x->shape.dim[1];
	hb_tensor *a, *b;
	switch (pick(16)) {
	case 0:
		return test_node(g, "Relu", "relu", conv(g, x, 4 + pick(20), 3, 1 + pick(2), false), NULL, NULL, NULL);
	case 1:
		return conv(g, x, 1 + pick(24), 1, 1, false);
	case 2:
		return conv(g, x, c, 3, 1, true);
	case 3:
		a = conv(g, x, c, 3, 1, false);
		return test_node(g, "Relu", "relu", test_node(g, "Add", "add", a, x, NULL, NULL), NULL, NULL, NULL);
	case 4:
		a = conv(g, x, c, 1, 1, false);
		return test_node(g, "Mul", "silu", a, test_node(g, "Sigmoid", "sigmoid", a, NULL, NULL, NULL), NULL, NULL);
	case 5:
		return x->shape.dim[2] > 3 ? pool(g, "MaxPool", x) : x;
	case 6:
		return x->shape.dim[2] > 3 ? pool(g, "AveragePool", x) : x;
	case 7:
		a = conv(g, x, 3 + pick(8), 1, 1, false);
		b = conv(g, x, 3 + pick(8), 3, 1, false);
		a = test_node(g, "Concat", "concat", a, b, NULL, NULL);
		hb_attr_set_i(g, a->producer, "axis", 1);
		return a;
	case 8:
		return normed(g, x);
	case 9:
		a = test_node(g, "Softmax", "softmax", x, NULL, NULL, NULL);
		hb_attr_set_i(g, a->producer, "axis", 1 + pick(3));
		return a;
	case 10:	/* channels that step unevenly */
		a = test_node(g, "Gather", "gather", x, hb_tensor_ints(g, "i", (const int64_t[]){ c - 1, 0, c / 2, 0, c / 2 }, 5), NULL, NULL);
		hb_attr_set_i(g, a->producer, "axis", 1);
		return a;
	case 11:
		a = test_node(g, "Sigmoid", "sigmoid", x, NULL, NULL, NULL);
		return test_node(g, "Div", "div", x, a, NULL, NULL);
	case 12:
		a = test_node(g, "TopK", "top", x, hb_tensor_ints(g, "k", (const int64_t[]){ 1 + c / 2 }, 1), NULL, NULL);
		hb_attr_set_i(g, a->producer, "axis", 1);
		return a;
	case 13:
		a = test_node(g, "Pow", "square", conv(g, x, c, 3, 1, false), test_const(g, "two", test_shape(0), (const float[]){ 2 }), NULL, NULL);
		a = test_node(g, "Add", "sum", a, test_node(g, "Mul", "square", x, x, NULL, NULL), NULL, NULL);
		return test_node(g, "Sqrt", "magnitude", a, NULL, NULL, NULL);
	case 14:
		b = random_const(g, "w", test_shape(4, 4, 1 + pick(3), 2, 2), 0.5f);
		a = test_node(g, "ConvTranspose", "up", conv(g, x, 4, 1, 1, false), b, NULL, NULL);
		hb_attr_set_i(g, a->producer, "group", 2);
		hb_attr_set_ints(g, a->producer, "strides", (const int64_t[]){ 2, 2 }, 2);
		return a;
	default:
		return test_node(g, "Tanh", "tanh", x, NULL, NULL, NULL);
	}
}

static hb_graph *
network(hb_ctx *cx)
{
	hb_graph *g = hb_graph_new(cx);
	int size = 5 + pick(14), layers = 2 + pick(5);
	hb_tensor *x = test_input(g, "x", test_shape(4, 1, 1 + pick(9), size, size + pick(7)));
	for (int i = 0; i < layers; i++) {
		x = one_layer(g, x);
		if (x->producer)
			assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	}
	test_output(g, conv(g, x, 1 + pick(9), 1, 1, false));
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	return g;
}

/* A convolution, an LSTM over its columns in one direction or both, a lookup. */
static hb_graph *
recurrent(hb_ctx *cx)
{
	static const char *const ways[] = { "forward", "reverse", "bidirectional" };
	hb_graph *g = hb_graph_new(cx);
	int steps = 1 + pick(5), inputs = 2 + pick(9), hidden = 1 + pick(9), way = pick(3), dirs = way == 2 ? 2 : 1;
	hb_tensor *x = conv(g, test_input(g, "x", test_shape(4, 1, 1 + pick(5), 1, steps)), inputs, 1, 1, false);
	x = test_node(g, "Transpose", "turned", x, NULL, NULL, NULL);
	hb_attr_set_ints(g, x->producer, "perm", (const int64_t[]){ 3, 2, 0, 1 }, 4);
	x = test_node(g, "Reshape", "steps", x, hb_tensor_ints(g, "s", (const int64_t[]){ steps, 1, inputs }, 3), NULL, NULL);
	hb_tensor *w = random_const(g, "w", test_shape(3, dirs, 4 * hidden, inputs), 0.6f);
	hb_tensor *r = random_const(g, "r", test_shape(3, dirs, 4 * hidden, hidden), 0.6f);
	x = test_node(g, "LSTM", "lstm", x, w, r, random_const(g, "b", test_shape(2, dirs, 8 * hidden), 0.3f));
	hb_attr_set_s(g, x->producer, "direction", ways[way]);
	hb_attr_set_i(g, x->producer, "hidden_size", hidden);
	test_output(g, test_node(g, "Exp", "y", x, NULL, NULL, NULL));
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	return g;
}

static hb_tensor *
conv_of_volume(hb_graph *g, hb_tensor *x, int out, int k, int stride)
{
	int in = (int)x->shape.dim[1];
	hb_tensor *w = random_const(g, "w", test_shape(5, out, in, k, k, k), 1 / sqrtf((float)(in * k * k * k)));
	x = test_node(g, "Conv", "volume", x, w, random_const(g, "b", test_shape(1, out), 0.5f), NULL);
	hb_attr_set_ints(g, x->producer, "strides", (const int64_t[]){ stride, stride, stride }, 3);
	hb_attr_set_ints(g, x->producer, "pads", (const int64_t[]){ k / 2, k / 2, k / 2, k / 2, k / 2, k / 2 }, 6);
	return x;
}

static hb_graph *
volumes(hb_ctx *cx)
{
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(5, 1, 1 + pick(4), 2 + pick(5), 3 + pick(6), 3 + pick(6)));
	x = test_node(g, "Relu", "relu", conv_of_volume(g, x, 2 + pick(9), 3, 1 + pick(2)), NULL, NULL, NULL);
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	test_output(g, conv_of_volume(g, x, 1 + pick(5), 1, 1));
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	return g;
}

/* ---- law 2: each layer of the fixed-point graph, given the integers of the fake-quantized one ---- */

typedef struct layers {
	hb_map *expect;			/* name of an edge to its fake-quantized values */
	hb_graph *qdq;
} layers;

static int compared;			/* layers of all networks */

static void
keep(void *arg, hb_tensor *t, const hb_val *v)
{
	layers *l = arg;
	if (!t->producer || strcmp(t->producer->op_type, "DequantizeLinear"))
		return;
	size_t bytes = (size_t)hb_shape_elems(&v->shape) * sizeof(float);
	hb_map_put(l->expect, t->name, hb_arena_dup(l->qdq->arena, v->data, bytes));
}

static void
compare(void *arg, hb_tensor *t, const hb_val *v)
{
	layers *l = arg;
	const float *want = hb_map_get(l->expect, t->name);
	bool wide = v->dtype == HB_I16;
	if (!want || (v->dtype != HB_I8 && !wide))
		return;
	int64_t n = hb_shape_elems(&v->shape), differ = 0, inner = t->q.nscales > 1 ? hb_shape_span(&v->shape, t->q.axis + 1, v->shape.rank) : n;
	for (int64_t i = 0; i < n; i++) {
		int8_t *narrow = (int8_t *)v->data + i;
		int16_t *word = (int16_t *)v->data + i;
		long q = lrintf(want[i] / hb_q_scale(&t->q, i / inner % HB_MAX(t->q.nscales, 1))), got = wide ? *word : *narrow;
		if (labs(got - q) > (wide ? 8 : 1))
			fail_msg("'%s' of %s is %ld at %lld; fake quantization gives %ld", t->name, t->producer->op_type, got, (long long)i, q);
		differ += got != q;
		if (wide)
			*word = (int16_t)q;
		else
			*narrow = (int8_t)q;
	}
	const hb_source *from = t->producer->sources;
	bool recurrence = from && !strcmp(from->op_type, "LSTM");	/* int16 inside: the bound alone, as for int16 */
	if (differ * 100 > n + 100 && !recurrence && !wide)
		fail_msg("'%s' of %s differs in %lld of %lld values", t->name, t->producer->op_type, (long long)differ, (long long)n);
	compared++;
}

static void
run(hb_graph *g, const hb_val *in, hb_val *out, hb_tap *tap, void *arg, hb_exec **ex)
{
	hb_status st;
	*ex = hb_exec_new(g, &st);
	assert_non_null(*ex);
	assert_int_equal(hb_exec_run(*ex, in, out, tap, arg), HB_OK);
}

static void
assert_law_2(hb_graph *qdq, hb_graph *fixed, const hb_val *in)
{
	layers l = { .expect = hb_map_new(qdq->arena), .qdq = qdq };
	hb_val out[4];
	hb_exec *ex;
	run(qdq, in, out, keep, &l, &ex);
	hb_exec_free(ex);
	run(fixed, in, out, compare, &l, &ex);
	hb_exec_free(ex);
}

/* ---- laws 1, 4, 5 ---- */

static void
assert_program(hb_ctx *cx, hb_graph *fixed, const hb_march *m, const hb_val *in, int level, uint64_t *cycles)
{
	hb_sched_options so = { .level = level, .debug = pick(2) };
	hb_program *p;
	assert_int_equal(hb_schedule(fixed, m, &so, &p), HB_OK);
	hb_hazard h[4];
	size_t nh;
	assert_int_equal(hb_hazards(cx, p, h, HB_LEN(h), &nh), HB_OK);
	assert_int_equal(nh, 0);

	hb_sim_options o = { .tags = true, .seed = seed };
	hb_sim *sim;
	hb_val out[4], want[4];
	hb_exec *ex;
	assert_int_equal(hb_sim_new(cx, p, &m->fig, &o, &sim), HB_OK);
	assert_int_equal(hb_sim_run(sim, in, out), HB_OK);
	run(fixed, in, want, NULL, NULL, &ex);
	for (size_t i = 0; i < fixed->noutputs; i++)
		assert_memory_equal(out[i].data, want[i].data, (size_t)hb_shape_elems(&want[i].shape) * hb_dtype_size(want[i].dtype));
	hb_exec_free(ex);

	hb_sim_stats stats;
	hb_estimate e;
	hb_sim_stats_get(sim, &stats);
	assert_int_equal(hb_estimate_run(cx, p, &m->fig, cx->arena, NULL, NULL, &e), HB_OK);
	assert_int_equal(stats.loaded, e.loaded);
	assert_int_equal(stats.stored, e.stored);
	*cycles = e.cycles;
	hb_sim_free(sim);
}

static void
one_network(const char *march, uint32_t sram, hb_dtype dt, hb_graph *(*build)(hb_ctx *cx))
{
	hb_ctx *cx = test_ctx(NULL, 1 + pick(2));
	hb_march m = *hb_march_find(march);
	m.fig.sram_bytes = sram;
	hb_graph *g = build(cx), *fixed, *qdq;
	assert_int_equal(hb_pass_simplify(g), HB_OK);
	assert_int_equal(hb_pass_fuse(g), HB_OK);
	const char *const asked[] = { "Softmax" };
	hb_place_options po = { .run_on_bpu = asked, .nbpu = HB_LEN(asked) };
	assert_int_equal(hb_pass_place(g, &m, &po), HB_OK);
	hb_calib_options co = { .march = &m, .channels = (hb_by_channel)pick(3), .activations = { .dtype = dt, .observer = { .kind = HB_OBS_MSE } } };
	assert_int_equal(hb_pass_calibrate(g, &co), HB_OK);
	assert_int_equal(hb_pass_convert(g, HB_HALF_EVEN, &fixed), HB_OK);
	assert_int_equal(hb_pass_constrain(g, fixed, &m), HB_OK);
	assert_int_equal(hb_pass_qdq(g, fixed, HB_HALF_EVEN, false, &qdq), HB_OK);

	int64_t n = hb_tensor_elems(g->inputs[0]);
	hb_val in = { HB_F32, g->inputs[0]->shape, hb_arena_alloc(cx->arena, (size_t)n * 4 + 1024) };
	for (int64_t i = 0; i < n; i++)
		((float *)in.data)[i] = (float)(pick(4001) - 2000) / 2000;
	assert_law_2(qdq, fixed, &in);
	uint64_t slow, fast;
	assert_program(cx, fixed, &m, &in, 0, &slow);
	assert_program(cx, fixed, &m, &in, 1, &fast);
	assert_true(fast <= slow);
	hb_ctx_free(cx);
}

static void
random_networks_keep_the_laws(void **state)
{
	(void)state;
	static const char *const marches[] = { "bayes", "bernoulli2" };
	for (uint32_t k = 1; k <= 120; k++) {
		seed = k * 2654435761u;
		printf("seed %u\n", seed);
		one_network(marches[k % 2], k % 3 ? 1 << 20 : 24 << 10, HB_I8, network);
	}
	assert_true(compared > 240);	/* two a network: some have an int32 layer alone on the BPU */
}

static void
recurrent_networks_and_volumes_keep_the_laws(void **state)
{
	(void)state;
	for (uint32_t k = 1; k <= 30; k++) {
		seed = k * 2654435761u;
		printf("seed %u\n", seed);
		one_network("bayes", k % 3 ? 1 << 20 : 24 << 10, HB_I8, k % 2 ? recurrent : volumes);
	}
}

/* Readers that take no int16 read copies. */
static void
networks_of_int16_keep_the_laws(void **state)
{
	(void)state;
	for (uint32_t k = 1; k <= 60; k++) {
		seed = k * 2654435761u;
		printf("seed %u\n", seed);
		one_network("bayes", k % 3 ? 1 << 20 : 24 << 10, HB_I16, network);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_networks_keep_the_laws),
		cmocka_unit_test(recurrent_networks_and_volumes_keep_the_laws),
		cmocka_unit_test(networks_of_int16_keep_the_laws),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
