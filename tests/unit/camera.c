/* camera: what the convolution in front of the model gives it, against the formulas of BT.601 written out here. */
#include "tests/test.h"

#include <math.h>

#include "lib/pass/pass.h"

enum { N = 2, H = 4, W = 6, PLANE = H * W };

/* Reference: what the model was trained with, of the camera's three values. */
static void
reference(const hb_camera *k, const double p[3], double out[3])
{
	double rgb[3] = { p[0], p[1], p[2] };
	bool yuv = k->rt == HB_PIXELS_YUV444 || k->rt == HB_PIXELS_NV12;

	if (k->train == HB_PIXELS_YUV444) {
		memcpy(out, p, sizeof(rgb));
	} else {
		double u = p[1] - 128, v = p[2] - 128;

		if (yuv && k->video) {
			rgb[0] = (298 * (p[0] - 16) + 409 * v) / 256;
			rgb[1] = (298 * (p[0] - 16) - 100 * u - 208 * v) / 256;
			rgb[2] = (298 * (p[0] - 16) + 516 * u) / 256;
		} else if (yuv) {
			rgb[0] = (256 * p[0] + 359 * v) / 256;
			rgb[1] = (256 * p[0] - 88 * u - 183 * v) / 256;
			rgb[2] = (256 * p[0] + 454 * u) / 256;
		} else if (k->rt == HB_PIXELS_BGR) {
			rgb[0] = p[2];
			rgb[2] = p[0];
		}
		for (int c = 0; c < 3; c++)
			out[c] = rgb[k->train == HB_PIXELS_BGR ? 2 - c : c];
	}
	for (int c = 0; c < 3; c++) {
		out[c] -= k->nmean ? (double)k->mean[k->nmean > 1 ? c : 0] : 0;
		out[c] *= k->nscale ? (double)k->scale[k->nscale > 1 ? c : 0] : 1;
	}
}

static void
one(const hb_camera *k)
{
	static float x[N * 3 * PLANE];
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *in = test_input(g, "x", k->nhwc ? test_shape(4, N, H, W, 3) : test_shape(4, N, 3, H, W));
	hb_val v, out[1];
	hb_status st;

	test_output(g, test_node(g, "Identity", "y", in, NULL, NULL, NULL));
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	assert_int_equal(hb_pass_camera(g, 0, k), HB_OK);
	assert_string_equal(g->inputs[0]->name, "x");
	assert_null(hb_graph_verify(g, cx->arena));
	bool planar = k->rt != HB_PIXELS_FEATUREMAP || !k->nhwc;
	for (int i = 0; i < N * 3 * PLANE; i++)
		x[i] = (float)(i * 37 % 256) - (k->rt == HB_PIXELS_FEATUREMAP ? 0 : 128);
	v = (hb_val){ HB_F32, g->inputs[0]->shape, x };
	assert_int_equal(v.shape.dim[1], planar ? 3 : H);
	hb_exec *ex = hb_exec_new(g, &st);
	assert_non_null(ex);
	assert_int_equal(hb_exec_run(ex, &v, out, NULL, NULL), HB_OK);
	for (int n = 0; n < N; n++)
		for (int at = 0; at < PLANE; at++) {
			double p[3], want[3];

			for (int c = 0; c < 3; c++)
				p[c] = x[planar ? (n * 3 + c) * PLANE + at : (n * PLANE + at) * 3 + c] + (k->rt == HB_PIXELS_FEATUREMAP ? 0 : 128);
			reference(k, p, want);
			for (int c = 0; c < 3; c++) {
				double got = ((float *)out[0].data)[k->nhwc ? (n * PLANE + at) * 3 + c : (n * 3 + c) * PLANE + at];

				assert_true(fabs(got - want[c]) <= 1e-3);
			}
		}
	hb_exec_free(ex);
	hb_ctx_free(cx);
}

static void
every_legal_pair_gives_the_model_what_it_was_trained_with(void **state)
{
	int legal = 0;

	(void)state;
	for (int train = 0; train <= HB_PIXELS_NV12; train++)
		for (int rt = 0; rt <= HB_PIXELS_NV12; rt++)
			for (int how = 0; how < 16; how++) {
				hb_camera k = {
					.train = (hb_pixels)train, .rt = (hb_pixels)rt, .nhwc = how & 1, .video = how & 2, .nmean = how & 4 ? 3 : 0,
					.nscale = how & 8 ? 1 : 0, .mean = { 123.7f, 116.3f, 103.5f }, .scale = { 0.017f },
				};

				if (!hb_camera_is_legal(&k) || rt == HB_PIXELS_GRAY)
					continue;
				if (rt == HB_PIXELS_FEATUREMAP && !(how & 12))
					continue;	/* stays as it is */
				legal++;
				one(&k);
			}
	assert_int_equal(legal, 12 + 16 * (4 + 4 + 2));
}

static void
what_is_no_picture_is_refused(void **state)
{
	static const struct {
		hb_camera k;
		int dim[4];
	} cases[] = {
		{ { .train = HB_PIXELS_RGB, .rt = HB_PIXELS_NV12 }, { 1, 4, 8, 8 } },
		{ { .train = HB_PIXELS_RGB, .rt = HB_PIXELS_NV12 }, { 1, 3, 7, 8 } },
		{ { .train = HB_PIXELS_RGB, .rt = HB_PIXELS_RGB, .nhwc = true }, { 1, 3, 8, 8 } },
		{ { .train = HB_PIXELS_GRAY, .rt = HB_PIXELS_GRAY }, { 1, 3, 8, 8 } },
		{ { .train = HB_PIXELS_RGB, .rt = HB_PIXELS_RGB, .nmean = 2 }, { 1, 3, 8, 8 } },
	};

	(void)state;
	for (size_t i = 0; i < HB_LEN(cases); i++) {
		test_log log = { .count = 0 };
		hb_ctx *cx = test_ctx(&log, 1);
		hb_graph *g = hb_graph_new(cx);
		const int *d = cases[i].dim;

		test_output(g, test_node(g, "Identity", "y", test_input(g, "x", test_shape(4, d[0], d[1], d[2], d[3])), NULL, NULL, NULL));
		assert_int_equal(hb_pass_camera(g, 0, &cases[i].k), HB_ERR_USAGE);
		assert_string_equal(log.where, "x");
		hb_ctx_free(cx);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_legal_pair_gives_the_model_what_it_was_trained_with),
		cmocka_unit_test(what_is_no_picture_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
