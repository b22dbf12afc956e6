/* Weights: how they lie, the scales that their channels get, and what integers of them add up to. */
#include "tests/test.h"

#include <float.h>
#include <math.h>

#include "lib/pass/pass.h"

static uint64_t seed;

static double
draw(void)	/* -1 to 1 */
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (double)(int64_t)(seed >> 11) * 0x1p-52 - 1;
}

/* About normal, of deviation 1. */
static float
normal(void)
{
	double sum = 0;

	for (int i = 0; i < 12; i++)
		sum += draw();
	return (float)(sum / 2);
}

typedef struct row {
	const char *op;
	hb_shape in, w;
	int64_t group;			/* of a convolution */
	bool transposed_b;		/* of Gemm */
} row;

/* A layer of random weights, and biases up to `bias` (0: none), in a graph of its own. */
static hb_node *
layer(hb_graph *g, const row *r, double bias)
{
	hb_tensor *w = hb_tensor_const(g, "w", HB_F32, &r->w, NULL), *b = NULL;

	for (int64_t i = 0; i < hb_shape_elems(&r->w); i++)
		((float *)(uintptr_t)w->data)[i] = normal();
	if (bias > 0) {
		hb_shape s = test_shape(1, (int)r->w.dim[0]);

		b = hb_tensor_const(g, "b", HB_F32, &s, NULL);
		for (int64_t c = 0; c < s.dim[0]; c++)
			((float *)(uintptr_t)b->data)[c] = (float)(draw() * bias);
	}
	hb_tensor *y = test_node(g, r->op, "layer", test_input(g, "x", r->in), w, b, NULL);
	if (r->group > 1)
		assert_true(hb_attr_set_i(g, y->producer, "group", r->group));
	if (r->transposed_b)
		assert_true(hb_attr_set_i(g, y->producer, "transB", 1));
	test_output(g, y);
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	return y->producer;
}

/* The weights of the layer that r says. */
static hb_weights
weights(hb_ctx *cx, row r)
{
	hb_node *n = layer(hb_graph_new(cx), &r, 0);

	return hb_weights_of(n, n->in[1]->data);
}

/* Output channel, input channel of weight e, by the operator's definition. */
static void
meaning(const row *r, int64_t e, int64_t *out, int64_t *in)
{
	const int64_t *d = r->w.dim;
	int64_t window = hb_shape_span(&r->w, 2, r->w.rank), a = e / window / d[1], b = e / window % d[1];

	if (!strcmp(r->op, "Conv")) {
		*out = a;
		*in = a / (d[0] / r->group) * d[1] + b;
	} else if (!strcmp(r->op, "ConvTranspose")) {
		*out = a / (d[0] / r->group) * d[1] + b;
		*in = a;
	} else {
		*out = r->transposed_b ? a : b;
		*in = r->transposed_b ? b : a;
	}
}

static void
each_weight_is_of_one_output_and_one_input_channel(void **state)
{
	row rows[] = {
		{ "Conv", test_shape(4, 1, 6, 5, 5), test_shape(4, 4, 6, 3, 2), 1, false },
		{ "Conv", test_shape(4, 1, 6, 5, 5), test_shape(4, 4, 3, 3, 2), 2, false },
		{ "Conv", test_shape(4, 1, 6, 5, 5), test_shape(4, 6, 1, 3, 3), 6, false },
		{ "Conv", test_shape(5, 1, 2, 5, 5, 5), test_shape(5, 3, 2, 2, 3, 1), 1, false },
		{ "ConvTranspose", test_shape(4, 1, 6, 5, 5), test_shape(4, 6, 4, 2, 2), 1, false },
		{ "ConvTranspose", test_shape(4, 1, 6, 5, 5), test_shape(4, 6, 2, 2, 3), 3, false },
		{ "Gemm", test_shape(2, 2, 5), test_shape(2, 5, 7), 1, false },
		{ "Gemm", test_shape(2, 2, 5), test_shape(2, 7, 5), 1, true },
		{ "MatMul", test_shape(3, 2, 3, 5), test_shape(2, 5, 7), 1, false },
	};
	hb_ctx *cx = test_ctx(NULL, 1);

	(void)state;
	for (size_t k = 0; k < HB_LEN(rows); k++) {
		const hb_weights w = weights(cx, rows[k]);
		int64_t elems = hb_shape_elems(&rows[k].w), seen = 0;
		bool *met = calloc((size_t)elems, sizeof(*met));

		for (int64_t c = 0; c < w.channels; c++)
			for (int64_t o = 0; o < w.outer; o++)
				for (int64_t i = 0; i < w.inner; i++, seen++) {
					int64_t e = hb_weights_first(&w, c) + o * w.step + i, out, in;

					assert_int_equal(e, hb_weights_at(&w, c, o * w.inner + i));
					assert_true(e >= 0 && e < elems && !met[e]);
					met[e] = true;
					meaning(&rows[k], e, &out, &in);
					assert_int_equal(c, out);
					assert_int_equal(hb_weights_input(&w, c, o, i), in);
				}
		assert_int_equal(seen, elems);
		free(met);
	}
	hb_ctx_free(cx);
}

/* ---- scales ---- */

static double
error_at(const hb_weights *w, int64_t c, float s)
{
	double sum = 0;

	for (int64_t k = 0; k < w->outer * w->inner; k++) {
		float v = (float)(w->w[hb_weights_at(w, c, k)] * w->gain);
		double d = v - hb_quantize(v, s, HB_I8, HB_HALF_EVEN) * (double)s;

		sum += d * d;
	}
	return sum;
}

static float
largest(const hb_weights *w, int64_t c)
{
	float most = 0;

	for (int64_t k = 0; k < w->outer * w->inner; k++)
		most = fmaxf(most, (float)fabs(w->w[hb_weights_at(w, c, k)] * w->gain));
	return most;
}

static void
without_mse_the_largest_weight_says_the_scale(void **state)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_weights w = weights(cx, (row){ "Conv", test_shape(4, 1, 6, 5, 5), test_shape(4, 4, 3, 3, 2), 2, false });
	float scales[4];

	(void)state;
	w.gain = -0.3;
	hb_weight_scales(cx, &w, scales);
	for (int64_t c = 0; c < 4; c++)
		assert_float_equal(scales[c], hb_scale_of(largest(&w, c), HB_I8, false), 0);
	hb_ctx_free(cx);
}

/* Every scale from 0.8 to 1.3 times that of the largest weight, in steps of 1/320, and that one: none has less error. */
static void
mse_takes_the_scale_of_the_least_error(void **state)
{
	static const int64_t counts[] = { 1, 9, 27, 256, 2304 };
	hb_ctx *cx = test_ctx(NULL, 2);

	(void)state;
	for (size_t k = 0; k < HB_LEN(counts); k++) {
		int depth = (int)counts[k];
		hb_weights w = weights(cx, (row){ "MatMul", test_shape(2, 1, depth), test_shape(2, depth, 16), 1, false });
		float scales[16];
		double sum = 0, plain = 0;

		w.mse = true;
		hb_weight_scales(cx, &w, scales);
		for (int64_t c = 0; c < 16; c++) {
			float most = hb_scale_of(largest(&w, c), HB_I8, false);
			double e = error_at(&w, c, scales[c]);

			assert_true(e <= error_at(&w, c, most));
			for (int i = 1; i < 160; i++)
				assert_true(e <= error_at(&w, c, most * (0.8f + (float)i / 320)) * (1 + 1e-5) + 1e-9 * most * most);
			sum += e;
			plain += error_at(&w, c, most);
		}
		assert_true(sum < plain * (counts[k] < 100 ? 0.7 : 1));
	}
	hb_ctx_free(cx);
}

/* Thousands of small weights and one of twice the next: cutting it off costs less than a coarser grid does them. */
static void
mse_clips_where_that_pays(void **state)
{
	enum { N = 100000 };
	hb_ctx *cx = test_ctx(NULL, 2);
	hb_weights w = weights(cx, (row){ "Gemm", test_shape(2, 1, N), test_shape(2, 1, N), 1, true });
	float *v = (float *)(uintptr_t)w.w, scale;

	(void)state;
	for (int i = 0; i < N; i++)
		v[i] = (float)draw();
	v[N / 2] = 1.2f;
	w.mse = true;
	hb_weight_scales(cx, &w, &scale);
	assert_true(scale < 0.9 * hb_scale_of(1.2f, HB_I8, false));
	assert_int_equal(hb_quantize(v[N / 2], scale, HB_I8, HB_HALF_EVEN), 127);
	hb_ctx_free(cx);
}

static void
no_weight_and_tiny_weights_have_a_scale(void **state)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_weights w = weights(cx, (row){ "MatMul", test_shape(2, 1, 4), test_shape(2, 4, 3), 1, false });
	float *v = (float *)(uintptr_t)w.w, scales[3];

	(void)state;
	for (int mse = 0; mse < 2; mse++) {
		w.mse = mse;
		for (int i = 0; i < 12; i++)
			v[i] = 0;
		hb_weight_scales(cx, &w, scales);
		for (int c = 0; c < 3; c++)
			assert_float_equal(scales[c], 1, 0);
		v[1] = FLT_MIN;		/* of channel 1 */
		v[2] = 1;
		hb_weight_scales(cx, &w, scales);
		assert_float_equal(scales[0], FLT_EPSILON, 0);
		assert_float_equal(scales[1], FLT_EPSILON, 0);
		assert_true(scales[2] > 0.9f / 128 && scales[2] < 1.3f / 127);
	}
	hb_ctx_free(cx);
}

static void
threads_and_vector_widths_give_the_same_scales(void **state)
{
	float want[96], got[96];

	(void)state;
	for (int k = 0; k < 6; k++) {
		hb_options o = { .jobs = k % 2 + 1, .isa = (hb_isa)(k / 2) };
		hb_ctx *cx = hb_ctx_new(&o);

		seed = 7;
		hb_weights w = weights(cx, (row){ "Conv", test_shape(4, 1, 40, 5, 5), test_shape(4, 96, 40, 3, 3), 1, false });
		w.mse = true;
		hb_weight_scales(cx, &w, k ? got : want);
		if (k)
			assert_memory_equal(want, got, sizeof(want));
		hb_ctx_free(cx);
	}
}

/* ---- what the integers add up to ---- */

static hb_status
sample(void *arg, int64_t k, hb_val *in, bool *more)
{
	float *x = in[0].data;

	(void)arg;
	*more = k < 2;
	for (int64_t i = 0; *more && i < hb_shape_elems(&in[0].shape); i++)
		x[i] = (float)draw();
	return HB_OK;
}

/* Random layers, their biases up to 100,000 times the weights, inputs of 8 and 16 bits, with and without bias correction: what the fixed-point
 * layer's weights and bias can add up to is below 2^31, whichever way the scales are chosen, and a float says the bias. */
static void
accumulators_stay_in_int32(void **state)
{
	(void)state;
	seed = 3;
	for (int k = 0; k < 40; k++) {
		hb_ctx *cx = test_ctx(NULL, 1);
		bool wide = k & 1, conv = k & 2;
		int depth = conv ? 9 : 4000;
		row r = conv ? (row){ "Conv", test_shape(4, 1, 8, 6, 6), test_shape(4, 8, 1, 3, 3), 8, false }
			     : (row){ "Gemm", test_shape(2, 2, depth), test_shape(2, 8, depth), 1, true };
		hb_graph *g = hb_graph_new(cx), *fixed;
		hb_node *n = layer(g, &r, pow(10, 2.5 * (1 + draw())));
		hb_calib_options o = {
			.activations = { .dtype = wide ? HB_I16 : HB_I8, .weights_mse = k & 4 }, .low_precision_output = true,
			.no_bias_correction = k & 8, .sample = sample,
		};

		n->on = HB_ON_BPU;
		assert_int_equal(hb_pass_calibrate(g, &o), HB_OK);
		assert_int_equal(n->out[0]->weights_mse, (k & 4) != 0);
		assert_int_equal(hb_pass_convert(g, HB_HALF_EVEN, &fixed), HB_OK);

		hb_node *f = fixed->first;
		while (f && strcmp(f->op_type, conv ? "Conv" : "Linear"))
			f = f->next;
		assert_non_null(f);
		const int8_t *q = f->in[1]->data;
		const int32_t *rec = f->in[2]->data;
		int used = 0;
		for (int c = 0; c < 8; c++) {
			double reach = fabs((double)rec[4 * c]);

			for (int i = 0; i < depth; i++) {
				reach += (wide ? 32768.0 : 128.0) * abs(q[c * depth + i]);
				used = HB_MAX(used, abs(q[c * depth + i]));
			}
			assert_true(reach < 0x1p31);

			double step = (double)n->in[0]->q.scale * hb_q_scale(&f->in[1]->q, c);
			assert_int_equal(rec[4 * c], lrint((float)(rec[4 * c] * step) / step));
		}
		assert_true(used > 0);
		hb_ctx_free(cx);
	}
}

/* beta times a bias of 1e30 is no float any more, though every number of the file is one. */
static void
a_bias_that_is_no_float_is_refused(void **state)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	row r = { "Gemm", test_shape(2, 2, 16), test_shape(2, 8, 16), 1, true };
	hb_graph *g = hb_graph_new(cx), *fixed;
	hb_calib_options o = { .activations = { .dtype = HB_I8 }, .sample = sample };

	(void)state;
	hb_node *n = layer(g, &r, 1e30);
	assert_true(hb_attr_set_f(g, n, "beta", 1e30f));
	n->on = HB_ON_BPU;
	assert_int_equal(hb_pass_calibrate(g, &o), HB_OK);
	assert_int_equal(hb_pass_convert(g, HB_HALF_EVEN, &fixed), HB_ERR_UNSUPPORTED);
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_weight_is_of_one_output_and_one_input_channel),
		cmocka_unit_test(without_mse_the_largest_weight_says_the_scale),
		cmocka_unit_test(mse_takes_the_scale_of_the_least_error),
		cmocka_unit_test(mse_clips_where_that_pays),
		cmocka_unit_test(no_weight_and_tiny_weights_have_a_scale),
		cmocka_unit_test(threads_and_vector_widths_give_the_same_scales),
		cmocka_unit_test(accumulators_stay_in_int32),
		cmocka_unit_test(a_bias_that_is_no_float_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
