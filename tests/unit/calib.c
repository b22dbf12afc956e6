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
		hb_attr_set_ints(g, t->producer, "strides", (int64_t[]){ 2, 2 }, 2);
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

/* ---- a scale a channel ---- */

enum { CHANNELS = 12, SIDE = 16 };

/* Conv, Relu, depthwise Conv; the channels between differ by up to 2^6. */
static hb_graph *
depthwise(hb_ctx *cx)
{
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(4, 1, 3, SIDE, SIDE));
	hb_shape s = test_shape(4, CHANNELS, 3, 1, 1), d = test_shape(4, CHANNELS, 1, 3, 3);
	hb_tensor *w = hb_tensor_const(g, "w", HB_F32, &s, NULL), *dw = hb_tensor_const(g, "dw", HB_F32, &d, NULL);

	for (int i = 0; i < CHANNELS * 3; i++)
		((float *)(uintptr_t)w->data)[i] = ldexpf(sinf((float)i * 2.3f), i / 3 % 7 - 6);
	for (int i = 0; i < CHANNELS * 9; i++)	/* what follows makes the channels equal again */
		((float *)(uintptr_t)dw->data)[i] = ldexpf(cosf((float)i * 0.9f), 6 - i / 9 % 7);
	x = test_node(g, "Conv", "c", x, w, NULL, NULL);
	x = test_node(g, "Relu", "mid", x, NULL, NULL, NULL);
	x = test_node(g, "Conv", "y", x, dw, NULL, NULL);
	assert_true(hb_attr_set_i(g, x->producer, "group", CHANNELS));
	test_output(g, x);
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	assert_int_equal(hb_pass_fuse(g), HB_OK);
	for (hb_node *n = g->first; n; n = n->next)
		n->on = HB_ON_BPU;
	return g;
}

static void
run_graph(hb_graph *g, const hb_val *in, float *y)
{
	hb_val out[1];
	hb_status st;
	hb_exec *ex = hb_exec_new(g, &st);

	assert_non_null(ex);
	assert_int_equal(hb_exec_run(ex, in, out, NULL, NULL), HB_OK);
	memcpy(y, out[0].data, sizeof(float) * (size_t)hb_shape_elems(&out[0].shape));
	hb_exec_free(ex);
}

/* SQNR of the fixed-point graph; `apart`: how many steps of the output it is from the fake-quantized one at most. */
static double
loss(hb_by_channel channels, hb_dtype dt, double *apart, int *nscales)
{
	enum { OUT = CHANNELS * (SIDE - 2) * (SIDE - 2) };
	static float data[3 * SIDE * SIDE], real[OUT], fixed[OUT], fake[OUT];
	hb_ctx *cx = test_ctx(NULL, 1);
	feed f = { .cx = cx, .count = 3 };
	hb_graph *g = depthwise(cx), *fx, *qdq;
	hb_calib_options o = {
		.activations = { .dtype = dt, .observer = { .kind = HB_OBS_MINMAX } }, .low_precision_output = true, .sample = sample, .arg = &f,
		.channels = channels,
	};
	hb_val in = { HB_F32, g->inputs[0]->shape, data };
	hb_measure m = { 0 };

	assert_int_equal(hb_pass_calibrate(g, &o), HB_OK);
	assert_int_equal(hb_pass_convert(g, HB_HALF_EVEN, &fx), HB_OK);
	assert_int_equal(hb_pass_qdq(g, fx, HB_HALF_EVEN, false, &qdq), HB_OK);
	for (int i = 0; i < 3 * SIDE * SIDE; i++)
		data[i] = sinf((float)(i + 1) * 2);
	run_graph(g, &in, real);
	run_graph(fx, &in, fixed);
	run_graph(qdq, &in, fake);
	hb_measure_add(&m, real, fixed, OUT);
	*apart = 0;
	for (int i = 0; i < OUT; i++)
		*apart = fmax(*apart, fabs((double)fixed[i] - fake[i]) / g->outputs[0]->q.scale);
	*nscales = hb_tensor_find(g, "mid")->q.nscales;
	hb_ctx_free(cx);
	return hb_measure_sqnr(&m);
}

static void
channels_before_a_depthwise_convolution_have_scales_of_their_own(void **state)
{
	double apart;
	int n;
	double one = loss(HB_CHANNELS_NEVER, HB_I8, &apart, &n);

	(void)state;
	assert_int_equal(n, 1);
	double each = loss(HB_CHANNELS_ALWAYS, HB_I8, &apart, &n);
	assert_int_equal(n, CHANNELS);
	assert_true(apart <= 1.01);
	assert_true(each > one + 10);
	each = loss(HB_CHANNELS_AUTO, HB_I8, &apart, &n);
	assert_int_equal(n, CHANNELS);
	assert_true(apart <= 1.01);
	assert_true(each > one + 8);
	loss(HB_CHANNELS_ALWAYS, HB_I16, &apart, &n);
	assert_int_equal(n, 1);
}

static void
ranges_keep_the_means_of_channels_scales(void **state)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	feed f = { .cx = cx, .count = 3 };
	hb_graph *g = depthwise(cx), *again = depthwise(cx);
	hb_ranges *ranges = hb_ranges_new(g->arena);
	hb_calib_options o = {
		.activations = { .dtype = HB_I8, .observer = { .kind = HB_OBS_MINMAX } }, .sample = sample, .arg = &f, .save_ranges = ranges,
	};

	(void)state;
	assert_int_equal(hb_pass_calibrate(g, &o), HB_OK);
	o = (hb_calib_options){ .activations = o.activations, .ranges = ranges };
	assert_int_equal(hb_pass_calibrate(again, &o), HB_OK);
	const hb_tensor *mid = hb_tensor_find(g, "mid"), *loaded = hb_tensor_find(again, "mid");
	assert_int_equal(loaded->q.nscales, CHANNELS);
	assert_memory_equal(loaded->q.scales, mid->q.scales, sizeof(float) * CHANNELS);
	assert_non_null(loaded->means);
	assert_memory_equal(loaded->means, mid->means, sizeof(double) * 2 * CHANNELS);
	hb_ctx_free(cx);
}

/* ---- what leads from the last layers to an output ---- */

/* Types of x -> Conv -> Sigmoid `s` -> Mul by itself `m` -> output, and with a second Conv behind m. */
static void
types_of_tail(const hb_march *march, bool int8_outputs, bool read, hb_dtype *s, hb_dtype *m)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	feed f = { .cx = cx, .count = 1 };
	hb_calib_options o = {
		.march = march, .activations = { .dtype = HB_I8, .observer = { .kind = HB_OBS_MINMAX } }, .low_precision_output = int8_outputs,
		.sample = sample, .arg = &f,
	};
	hb_tensor *t = test_input(g, "x", test_shape(4, 1, 3, 16, 16)), *w = test_const(g, "w", test_shape(4, 3, 3, 1, 1), NULL);

	for (int i = 0; i < 9; i++)
		((float *)(uintptr_t)w->data)[i] = (float)i / 9;
	t = test_node(g, "Conv", "c", t, w, NULL, NULL);
	t = test_node(g, "Sigmoid", "s", t, NULL, NULL, NULL);
	t = test_node(g, "Mul", "m", t, t, NULL, NULL);
	if (read)
		test_output(g, test_node(g, "Conv", "c2", t, w, NULL, NULL));
	test_output(g, t);
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	for (hb_node *n = g->first; n; n = n->next)
		n->on = HB_ON_BPU;
	assert_int_equal(hb_pass_calibrate(g, &o), HB_OK);
	*s = hb_tensor_find(g, "s")->q.dtype;
	*m = hb_tensor_find(g, "m")->q.dtype;
	hb_ctx_free(cx);
}

static void
outputs_of_elements_behind_the_last_layer_are_int16_where_the_march_has_it(void **state)
{
	const hb_march *bayes = hb_march_find("bayes"), *bernoulli2 = hb_march_find("bernoulli2");
	hb_dtype s, m;

	(void)state;
	types_of_tail(bayes, false, false, &s, &m);
	assert_int_equal(s, HB_I8);		/* what yields it alone: operands of a product have types of their own */
	assert_int_equal(m, HB_I16);
	types_of_tail(bayes, true, false, &s, &m);
	assert_int_equal(m, HB_I8);
	types_of_tail(bayes, false, true, &s, &m);
	assert_int_equal(m, HB_I8);		/* a layer reads it too */
	types_of_tail(bernoulli2, false, false, &s, &m);
	assert_int_equal(m, HB_I8);
}

/* ---- means for the correction of biases ---- */

/* A product of one row of four values; all lie between steps of 1, a quarter above one, but the last, which are clipped. */
static hb_status
quarters(void *arg, int64_t k, hb_val *in, bool *more)
{
	const int64_t *count = arg;
	float *x = in[0].data;

	*more = k < *count;
	for (int i = 0; *more && i < 4; i++)
		x[i] = i < 3 ? (float)(k % 2) + 0.25f : 140.25f;
	return HB_OK;
}

static void
means_of(int64_t samples, double lost[4])
{
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_shape s = test_shape(2, 4, 2);
	hb_tensor *w = hb_tensor_const(g, "w", HB_F32, &s, NULL), *x = test_input(g, "x", test_shape(2, 1, 4));
	hb_calib_options o = {
		.activations = { .dtype = HB_I8, .observer = { .kind = HB_OBS_FIXED, .fixed_scale = 1 } }, .sample = quarters, .arg = &samples,
	};

	for (int i = 0; i < 8; i++)
		((float *)(uintptr_t)w->data)[i] = (float)(i + 1);
	test_output(g, test_node(g, "Gemm", "y", x, w, NULL, NULL));
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	g->first->on = HB_ON_BPU;
	assert_int_equal(hb_pass_calibrate(g, &o), HB_OK);
	assert_non_null(x->means);
	for (int i = 0; i < 4; i++) {
		assert_float_equal(x->means[i], i < 3 ? 0.25 + (double)(samples / 2) / (double)samples : 140.25, 1e-6);
		lost[i] = x->means[i] - x->means[4 + i];
	}
	hb_ctx_free(cx);
}

static void
what_rounding_takes_off_a_mean_counts_as_far_as_it_is_beyond_chance(void **state)
{
	double lost[4];

	(void)state;
	means_of(1, lost);		/* the standard error is 0.289: 0.25 may be chance */
	for (int i = 0; i < 3; i++)
		assert_float_equal(lost[i], 0, 0);
	assert_float_equal(lost[3], 13.25 - 1.0 / 12 / 13.25, 1e-6);
	means_of(8, lost);
	for (int i = 0; i < 3; i++)
		assert_float_equal(lost[i], 0.25 - 1.0 / 12 / 8 / 0.25, 1e-6);
}

/* ---- the observer default ---- */

static double
cosine_of(hb_observer_kind kind, double percentile, const char **taken)
{
	enum { OUT = 8 * 5 * 5 };
	static float data[3 * 16 * 16], real[OUT], fixed[OUT];
	hb_ctx *cx = test_ctx(NULL, 1);
	feed f = { .cx = cx, .count = 20 };
	hb_graph *g = network(cx), *fx;
	hb_calib_options o = {
		.activations = { .dtype = HB_I8, .observer = { .kind = kind, .percentile = percentile } }, .sample = sample, .arg = &f,
		.no_bias_correction = true,
	};
	hb_val in = { HB_F32, g->inputs[0]->shape, data };
	hb_measure m = { 0 };
	bool more;

	assert_int_equal(hb_pass_calibrate(g, &o), HB_OK);
	*taken = hb_tensor_find(g, "r0")->q.observer;
	assert_int_equal(hb_pass_convert(g, HB_HALF_EVEN, &fx), HB_OK);
	for (int64_t k = 0; k < 8; k++) {
		assert_int_equal(sample(&f, k, &in, &more), HB_OK);
		run_graph(g, &in, real);
		run_graph(fx, &in, fixed);
		hb_measure_add(&m, real, fixed, OUT);
	}
	hb_ctx_free(cx);
	return hb_measure_cosine(&m);
}

static void
default_takes_the_observer_whose_outputs_are_nearest(void **state)
{
	static const struct {
		hb_observer_kind kind;
		double percentile;
	} tried[] = { { HB_OBS_MINMAX, 0 }, { HB_OBS_PERCENTILE, 0.99995 }, { HB_OBS_KL, 0 } };
	const char *taken, *of, *best = NULL;
	double most = -1, got = cosine_of(HB_OBS_DEFAULT, 0, &taken);

	(void)state;
	for (size_t i = 0; i < HB_LEN(tried); i++) {
		double cosine = cosine_of(tried[i].kind, tried[i].percentile, &of);

		if (cosine > most) {
			most = cosine;
			best = of;
		}
	}
	assert_string_equal(taken, best);
	assert_true(got == most);
}

/* ---- what reads an edge ---- */

static hb_status
mostly_negative(void *arg, int64_t k, hb_val *in, bool *more)
{
	float *x = in[0].data;

	(void)arg;
	*more = k < 1;
	for (int i = 0; *more && i < 3 * 16 * 16; i++)
		x[i] = i % 8 ? -8 * (1 + cosf((float)i)) : sinf((float)i);
	return HB_OK;
}

/* The scale of what a PRelu of this many equal slopes reads. */
static float
scale_before_prelu(int slopes)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	static const float v[3] = { 1e-4f, 1e-4f, 1e-4f };
	hb_tensor *x = test_input(g, "x", test_shape(4, 1, 3, 16, 16)), *s = test_const(g, "s", test_shape(3, slopes, 1, 1), v);
	hb_calib_options o = { .activations = { .dtype = HB_I8, .observer = { .kind = HB_OBS_MSE } }, .sample = mostly_negative };
	float scale;

	test_output(g, test_node(g, "PRelu", "p", x, s, NULL, NULL));
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	g->first->on = HB_ON_BPU;
	assert_int_equal(hb_pass_calibrate(g, &o), HB_OK);
	scale = x->q.scale;
	hb_ctx_free(cx);
	return scale;
}

static void
what_a_prelu_makes_small_is_clipped(void **state)
{
	(void)state;
	assert_true(scale_before_prelu(3) > 10 / 127.5f);
	assert_true(scale_before_prelu(1) < 4 / 127.5f);
}

/* ---- types ---- */

static const hb_qconfig *
rule(void *arg, const hb_node *n, const hb_tensor *t)
{
	const hb_qconfig *q = arg;

	(void)n;
	return !strcmp(t->name, q->rule) ? q : NULL;
}

/* x -> a -> p (pool), x -> b; s = p + b; r = Relu(b). The type of each when a rule gives `name` type dt. */
static void
types(const char *name, hb_dtype dt, hb_dtype all, const char *march, char got[7])
{
	static const char *const names[] = { "x", "a", "p", "b", "s", "r" };
	hb_ctx *cx = test_ctx(NULL, 1);
	feed f = { .cx = cx, .count = 1 };
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(4, 1, 3, 16, 16));
	hb_tensor *a = test_node(g, "Sigmoid", "a", x, NULL, NULL, NULL), *b = test_node(g, "Tanh", "b", x, NULL, NULL, NULL);
	hb_tensor *p = test_node(g, "MaxPool", "p", a, NULL, NULL, NULL);
	hb_qconfig q = { .dtype = dt, .observer = { .kind = HB_OBS_MINMAX }, .dtype_level = 2, .rule = name };
	hb_calib_options o = {
		.activations = { .dtype = all, .observer = { .kind = HB_OBS_MINMAX } }, .sample = sample, .arg = &f, .config = rule, .config_arg = &q,
		.march = march ? hb_march_find(march) : NULL,
	};

	assert_true(hb_attr_set_ints(g, p->producer, "kernel_shape", (int64_t[]){ 1, 1 }, 2));
	test_output(g, test_node(g, "Add", "s", p, b, NULL, NULL));
	test_output(g, test_node(g, "Sin", "r", b, NULL, NULL, NULL));
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	for (hb_node *n = g->first; n; n = n->next)
		n->on = HB_ON_BPU;
	assert_int_equal(hb_pass_calibrate(g, &o), HB_OK);
	for (int i = 0; i < 6; i++)
		got[i] = hb_tensor_find(g, names[i])->q.dtype == HB_I16 ? 'w' : 'n';
	got[6] = 0;
	hb_ctx_free(cx);
}

static void
what_shares_a_scale_or_is_added_up_has_one_type(void **state)
{
	static const struct {
		const char *name;
		hb_dtype dt, all;
		const char *march, *want;	/* of x a p b s r: wide, narrow */
	} cases[] = {
		{ "", HB_I16, HB_I8, NULL, "nnnnnn" },
		{ "p", HB_I16, HB_I8, NULL, "nwwwwn" },
		{ "s", HB_I16, HB_I8, NULL, "nwwwwn" },
		{ "a", HB_I16, HB_I8, NULL, "nwwwwn" },
		{ "r", HB_I16, HB_I8, NULL, "nnnnnw" },
		{ "x", HB_I16, HB_I8, NULL, "wnnnnn" },
		{ "p", HB_I8, HB_I16, NULL, "wnnnnw" },
		{ "p", HB_I16, HB_I8, "bernoulli2", "nnnnnn" },
	};

	(void)state;
	for (size_t i = 0; i < HB_LEN(cases); i++) {
		char got[7];

		types(cases[i].name, cases[i].dt, cases[i].all, cases[i].march, got);
		assert_string_equal(got, cases[i].want);
	}
}

/* Conv a, read by a convolution and by a pool that takes int8 only. */
static void
readers_that_take_no_int16_read_a_copy(void **state)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	feed f = { .cx = cx, .count = 2 };
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *w[2];
	hb_calib_options o = {
		.activations = { .dtype = HB_I16, .observer = { .kind = HB_OBS_MINMAX } }, .sample = sample, .arg = &f, .march = hb_march_find("bayes"),
	};

	(void)state;
	for (int i = 0; i < 2; i++) {
		hb_shape s = test_shape(4, 3, 3, 1, 1);

		w[i] = hb_tensor_const(g, "w", HB_F32, &s, NULL);
		for (int k = 0; k < 9; k++)
			((float *)(uintptr_t)w[i]->data)[k] = sinf((float)(k + i));
	}
	hb_tensor *a = test_node(g, "Conv", "a", test_input(g, "x", test_shape(4, 1, 3, 16, 16)), w[0], NULL, NULL);
	hb_tensor *p = test_node(g, "AveragePool", "p", a, NULL, NULL, NULL);
	assert_true(hb_attr_set_ints(g, p->producer, "kernel_shape", (int64_t[]){ 2, 2 }, 2));
	test_output(g, test_node(g, "Conv", "b", a, w[1], NULL, NULL));
	test_output(g, p);
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	for (hb_node *n = g->first; n; n = n->next)
		n->on = HB_ON_BPU;
	for (int round = 0; round < 2; round++) {
		o.activations.dtype = HB_I16;
		assert_int_equal(hb_pass_calibrate(g, &o), HB_OK);
		const hb_tensor *copy = p->producer->in[0];
		assert_string_equal(copy->name, "a_requantized");
		assert_int_equal(a->q.dtype, HB_I16);
		assert_int_equal(copy->q.dtype, HB_I8);
		assert_true(fabs((double)copy->q.scale * 127.5 / ((double)a->q.scale * 32767.5) - 1) < 1e-5);
		assert_ptr_equal(g->outputs[0]->producer->in[0], a);
		assert_null(hb_graph_verify(g, cx->arena));
		o.activations.dtype = HB_I8;
		assert_int_equal(hb_pass_calibrate(g, &o), HB_OK);
		assert_ptr_equal(p->producer->in[0], a);
		assert_int_equal(a->q.dtype, HB_I8);
		assert_int_equal(g->nnodes, 3);
	}
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_the_same_for_10_and_10000_samples),
		cmocka_unit_test(channels_before_a_depthwise_convolution_have_scales_of_their_own),
		cmocka_unit_test(ranges_keep_the_means_of_channels_scales),
		cmocka_unit_test(outputs_of_elements_behind_the_last_layer_are_int16_where_the_march_has_it),
		cmocka_unit_test(what_rounding_takes_off_a_mean_counts_as_far_as_it_is_beyond_chance),
		cmocka_unit_test(default_takes_the_observer_whose_outputs_are_nearest),
		cmocka_unit_test(what_a_prelu_makes_small_is_clipped),
		cmocka_unit_test(what_shares_a_scale_or_is_added_up_has_one_type),
		cmocka_unit_test(readers_that_take_no_int16_read_a_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
