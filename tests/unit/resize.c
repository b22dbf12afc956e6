/* Resize against interpolation written out for one result at a time, all axes at once. */
#include "ops/resize.h"
#include "tests/opcase.h"

static const char *const coords[] = { "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric" };
static const char *const nearest[] = { "round_prefer_floor", "round_prefer_ceil", "floor", "ceil" };
static const char *const modes[] = { "nearest", "linear", "cubic" };

static double
source(const char *how, double x, double in, double out, double scale)
{
	double length = scale * in;
	if (!strcmp(how, "align_corners"))
		return length == 1 ? 0 : x * (in - 1) / (length - 1);
	if (!strcmp(how, "asymmetric"))
		return x / scale;
	if (!strcmp(how, "pytorch_half_pixel") && length == 1)
		return -0.5;
	double half = (x + 0.5) / scale - 0.5;
	return !strcmp(how, "half_pixel_symmetric") ? in / 2 * (1 - out / length) + half : half;
}

/* Weights of up to 4 source cells along one axis. */
static int
weights(const char *mode, const char *near, double x, int64_t in, bool exclude, int64_t *at, double *w)
{
	double f = floor(x), r = x - f;
	int n = 4;
	if (!strcmp(mode, "nearest")) {
		bool up = !strcmp(near, "ceil") ? r > 0 : !strcmp(near, "floor") ? false : !strcmp(near, "round_prefer_ceil") ? r >= 0.5 : r > 0.5;
		n = 1;
		at[0] = (int64_t)f + up;
		w[0] = 1;
	} else if (!strcmp(mode, "linear")) {
		n = 2;
		for (int i = 0; i < 2; i++)
			at[i] = (int64_t)f + i;
		w[0] = 1 - r;
		w[1] = r;
	} else {
		double a = -0.75;
		for (int i = 0; i < 4; i++) {
			at[i] = (int64_t)f - 1 + i;
			double d = fabs(x - (double)at[i]);
			w[i] = d <= 1 ? (a + 2) * d * d * d - (a + 3) * d * d + 1
			     : d < 2 ? a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a : 0;
		}
	}
	double sum = 0;
	for (int i = 0; i < n; i++) {
		if (exclude && strcmp(mode, "nearest") && (at[i] < 0 || at[i] >= in))
			w[i] = 0;
		at[i] = HB_MAX(0, HB_MIN(at[i], in - 1));
		sum += w[i];
	}
	for (int i = 0; i < n; i++)
		w[i] /= sum;
	return n;
}

static void
every_mode_interpolates_as_defined(void **state)
{
	(void)state;
	for (int round = 0; round < 300; round++) {
		const char *mode = modes[round % 3], *how = coords[draw() % HB_LEN(coords)], *near = nearest[draw() % 4];
		bool exclude = draw() % 2, by_scale = draw() % 2;
		hb_shape xs = { .rank = 4, .dim = { 1, 2, between(1, 12), between(1, 20) } };
		int64_t sizes[4] = { 1, 2, between(1, 24), between(1, 40) };
		float scales[4] = { 1, 1, 0, 0 };
		double scale[4] = { 1, 1, 0, 0 };
		for (int i = 2; i < 4; i++) {
			if (by_scale) {
				scales[i] = (float)between(2, 12) / 4;	/* exact, so that ties are ties */
				sizes[i] = (int64_t)floorf(scales[i] * (float)xs.dim[i]);
				if (!sizes[i])
					sizes[i] = (int64_t)((scales[i] = 1) * (float)xs.dim[i]);
				scale[i] = (double)scales[i];
			} else {
				scale[i] = (double)sizes[i] / (double)xs.dim[i];
			}
		}
		float *x = values(&xs);
		op_case c = { .type = "Resize", .version = 19, .nin = by_scale ? 3 : 4, .nout = 1, .nattrs = 4,
			.in = { { xs, HB_F32, x, false, false }, { .absent = true },
				by_scale ? (op_in){ { 1, { 4 } }, HB_F32, scales, true, false } : (op_in){ .absent = true },
				{ { 1, { 4 } }, HB_I64, sizes, true, false } },
			.attr = { { .name = "mode", .s = mode }, { .name = "coordinate_transformation_mode", .s = how },
				  { .name = "nearest_mode", .s = near }, { .name = "exclude_outside", .i = exclude } } };
		run_case(&c);
		assert_int_equal(c.st, HB_OK);
		for (int i = 0; i < 4; i++)
			assert_int_equal(c.shape[0].dim[i], sizes[i]);
		const float *y = c.out[0];
		int64_t e = 0;
		for (int64_t p = 0; p < 2; p++)
			for (int64_t oh = 0; oh < sizes[2]; oh++)
				for (int64_t ow = 0; ow < sizes[3]; ow++, e++) {
					int64_t ah[4], aw[4];
					double wh[4], ww[4], sum = 0;
					double sh = source(how, (double)oh, (double)xs.dim[2], (double)sizes[2], scale[2]);
					double sw = source(how, (double)ow, (double)xs.dim[3], (double)sizes[3], scale[3]);
					bool tie = !strcmp(mode, "nearest") && !by_scale &&
						(fabs(sh * 2 - nearbyint(sh * 2)) < 1e-9 || fabs(sw * 2 - nearbyint(sw * 2)) < 1e-9);
					if (tie)	/* decided by the last bit of a quotient */
						continue;
					int nh = weights(mode, near, sh, xs.dim[2], exclude, ah, wh);
					int nw = weights(mode, near, sw, xs.dim[3], exclude, aw, ww);
					for (int i = 0; i < nh; i++)
						for (int j = 0; j < nw; j++)
							sum += wh[i] * ww[j] * (double)x[(p * xs.dim[2] + ah[i]) * xs.dim[3] + aw[j]];
					assert_near("Resize", sum, (double)y[e], 8);
				}
		free(x);
		free_case(&c);
	}
}

static void
antialias_averages_when_shrinking(void **state)
{
	(void)state;
	for (int kind = 1; kind < 3; kind++) {
		float x[64], ones[2] = { 0.25f, 0.25f };
		for (int i = 0; i < 64; i++)
			x[i] = 3.5f;
		int64_t axes[2] = { 2, 3 };
		op_case c = { .type = "Resize", .version = 18, .nin = 3, .nout = 1, .nattrs = 3,
			.in = { { { 4, { 1, 1, 8, 8 } }, HB_F32, x, false, false }, { .absent = true }, { { 1, { 2 } }, HB_F32, ones, true, false } },
			.attr = { { .name = "mode", .s = modes[kind] }, { .name = "antialias", .i = 1 }, { .name = "axes", .ints = axes, .n = 2 } } };
		run_case(&c);
		assert_int_equal(c.st, HB_OK);
		assert_int_equal(hb_shape_elems(&c.shape[0]), 4);
		for (int i = 0; i < 4; i++)
			assert_near("antialias", 3.5, (double)((float *)c.out[0])[i], 4);
		free_case(&c);
	}
}

static void
the_aspect_ratio_is_kept_when_asked(void **state)
{
	(void)state;
	static const struct {
		const char *policy;
		int64_t h, w;
	} cases[] = { { "not_larger", 4, 8 }, { "not_smaller", 7, 14 }, { "stretch", 7, 8 } };
	float x[2 * 4];
	int64_t axes[2] = { 2, 3 }, sizes[2] = { 7, 8 };
	memset(x, 0, sizeof(x));
	for (size_t i = 0; i < HB_LEN(cases); i++) {
		op_case c = { .type = "Resize", .version = 18, .nin = 4, .nout = 1, .nattrs = 2,
			.in = { { { 4, { 1, 1, 2, 4 } }, HB_F32, x, false, false }, { .absent = true }, { .absent = true },
				{ { 1, { 2 } }, HB_I64, sizes, true, false } },
			.attr = { { .name = "keep_aspect_ratio_policy", .s = cases[i].policy }, { .name = "axes", .ints = axes, .n = 2 } } };
		run_case(&c);
		assert_int_equal(c.st, HB_OK);
		assert_int_equal(c.shape[0].dim[2], cases[i].h);
		assert_int_equal(c.shape[0].dim[3], cases[i].w);
		free_case(&c);
	}
}

static void
crop_and_resize_fills_what_lies_outside(void **state)
{
	(void)state;
	float x[16], roi[8] = { 0, 0, 0, 0, 1, 1, 1, 2 };
	int64_t sizes[4] = { 1, 1, 4, 7 };
	for (int i = 0; i < 16; i++)
		x[i] = (float)i;
	op_case c = { .type = "Resize", .version = 13, .nin = 4, .nout = 1, .nattrs = 3,
		.in = { { { 4, { 1, 1, 4, 4 } }, HB_F32, x, false, false }, { { 1, { 8 } }, HB_F32, roi, true, false },
			{ .absent = true }, { { 1, { 4 } }, HB_I64, sizes, true, false } },
		.attr = { { .name = "mode", .s = "linear" }, { .name = "coordinate_transformation_mode", .s = "tf_crop_and_resize" },
			  { .name = "extrapolation_value", .is_f = true, .f = 10 } } };
	run_case(&c);
	assert_int_equal(c.st, HB_OK);
	for (int h = 0; h < 4; h++)
		for (int w = 0; w < 7; w++)
			assert_near("crop", w <= 3 ? h * 4 + w : 10, (double)((float *)c.out[0])[h * 7 + w], 1);
	free_case(&c);
}

static void
integers_are_taken_too(void **state)
{
	(void)state;
	int64_t x[2] = { 7, -9 }, sizes[3] = { 1, 1, 4 };
	op_case c = { .type = "Resize", .version = 13, .nin = 4, .nout = 1, .nattrs = 0,
		.in = { { { 3, { 1, 1, 2 } }, HB_I64, x, false, false }, { .absent = true }, { .absent = true },
			{ { 1, { 3 } }, HB_I64, sizes, true, false } } };
	run_case(&c);
	assert_int_equal(c.st, HB_OK);
	static const int64_t want[4] = { 7, 7, -9, -9 };
	assert_memory_equal(c.out[0], want, sizeof(want));
	free_case(&c);
}

int
main(void)
{
	printf("seed %llu\n", (unsigned long long)seed);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mode_interpolates_as_defined),
		cmocka_unit_test(antialias_averages_when_shrinking),
		cmocka_unit_test(the_aspect_ratio_is_kept_when_asked),
		cmocka_unit_test(crop_and_resize_fills_what_lies_outside),
		cmocka_unit_test(integers_are_taken_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
