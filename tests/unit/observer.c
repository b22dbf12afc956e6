/* observer: against numpy and torch 1.13 on values that both can make. */
#include "lib/quant/quant.h"
#include "tests/test.h"

#include <math.h>

enum { N = 20000 };

/* x^9 * 10 of an even spread x in [-1, 1): many small values, few large ones. */
static void
values(float *to, uint64_t seed, float gain)
{
	for (uint64_t i = 0; i < N; i++) {
		double x = ((double)((i + seed * 1000003) * UINT64_C(2654435761) % (UINT64_C(1) << 32)) - 0x1p31) / 0x1p31, x3 = x * x * x;

		to[i] = (float)(x3 * x3 * x3 * 10) * gain;
	}
}

static float a[N], b[N];

static hb_range
observe(hb_observer_kind kind, double p, hb_dtype dt, const float *first, const float *second, int jobs)
{
	hb_ctx *cx = test_ctx(NULL, jobs);
	hb_observer_cfg cfg = { .kind = kind, .percentile = p };
	hb_observer *o = hb_observer_new(cx->arena, &cfg, dt);
	hb_range r;

	assert_non_null(o);
	hb_observer_add(cx, o, first, N);
	if (second)
		hb_observer_add(cx, o, second, N);
	hb_observer_range(o, &r);
	hb_ctx_free(cx);
	return r;
}

static void
near(double got, double want, double part)
{
	if (!(fabs(got - want) <= part * fabs(want)))
		fail_msg("%.9g is not within %g of %.9g", got, part, want);
}

static int
setup(void **state)
{
	(void)state;
	values(a, 1, 1);
	values(b, 2, 1.5f);
	return 0;
}

/* numpy 1.24 on the same values: min, max, quantile of the magnitude; the least squared error over 2000 clips; TensorRT's
 * entropy, bin 0 as bin 1, in plain loops on 8192 bins of 1/512 brought to 2048. torch 1.13's HistogramObserver with float limits instead of int ones. */
#define MIN_ALL -14.986116
#define MAX_ALL 14.992428
#define MOVING 10.045279
#define P99 12.506672153472909
#define P9999 14.965816102695428
#define KL 14.981447043828666
#define MSE_ERROR 24.784046564472575
#define TORCH_1 9.995370864868164
#define TORCH_2 14.986116409301758

static void
minmax_keeps_all(void **state)
{
	hb_range r = observe(HB_OBS_MINMAX, 0, HB_I8, a, b, 1);

	(void)state;
	near(r.min, MIN_ALL, 1e-7);
	near(r.max, MAX_ALL, 1e-7);
	near(r.absmax, fmax(-MIN_ALL, MAX_ALL), 1e-7);
	assert_true(r.clipped == 0 && r.nonfinite == 0);
}

static void
moving_average_moves_a_hundredth(void **state)
{
	(void)state;
	near(observe(HB_OBS_MOVING, 0, HB_I8, a, b, 1).absmax, MOVING, 1e-6);
}

static void
percentiles_are_those_of_numpy(void **state)
{
	(void)state;
	near(observe(HB_OBS_PERCENTILE, 0.99, HB_I8, a, b, 1).absmax, P99, 1e-3);
	near(observe(HB_OBS_PERCENTILE, 0.9999, HB_I8, a, b, 1).absmax, P9999, 1e-3);
	near(observe(HB_OBS_PERCENTILE, 0.9, HB_I8, a, b, 1).clipped, 0.1, 0.01);
}

static void
kl_is_that_of_tensorrt_without_the_spike_at_zero(void **state)
{
	(void)state;
	near(observe(HB_OBS_KL, 0, HB_I8, a, b, 1).absmax, KL, 1e-4);
	near(observe(HB_OBS_KL, 0, HB_I16, a, b, 1).absmax, fmax(-MIN_ALL, MAX_ALL), 1e-7);
}

/* Exact squared error of quantizing all values with clip t. */
static double
exact_error(double t)
{
	double s = t / 127.5, sum = 0;

	for (int k = 0; k < 2; k++)
		for (int i = 0; i < N; i++) {
			double x = fabs((double)(k ? b : a)[i]), d = x - fmin(rint(x / s), 127) * s;

			sum += d * d;
		}
	return sum;
}

static void
mse_finds_the_least_error(void **state)
{
	double t = observe(HB_OBS_MSE, 0, HB_I8, a, b, 1).absmax;

	(void)state;
	assert_true(exact_error(t) <= MSE_ERROR * 1.01);
}

static void
mix_is_no_worse_than_its_parts(void **state)
{
	double mix = exact_error(observe(HB_OBS_MIX, 0, HB_I8, a, b, 1).absmax);
	static const hb_observer_kind parts[] = { HB_OBS_MINMAX, HB_OBS_PERCENTILE, HB_OBS_KL, HB_OBS_MSE };

	(void)state;
	for (size_t i = 0; i < HB_LEN(parts); i++)
		assert_true(mix <= exact_error(observe(parts[i], 0, HB_I8, a, b, 1).absmax) * 1.01);
}

static void
histogram_is_that_of_torch(void **state)
{
	(void)state;
	near(observe(HB_OBS_HISTOGRAM, 0, HB_I8, a, NULL, 1).absmax, TORCH_1, 0.01);
	near(observe(HB_OBS_HISTOGRAM, 0, HB_I8, a, b, 1).absmax, TORCH_2, 0.01);
}

static void
order_and_threads_change_nothing(void **state)
{
	static const hb_observer_kind kinds[] = { HB_OBS_MINMAX, HB_OBS_PERCENTILE, HB_OBS_KL, HB_OBS_MSE, HB_OBS_MIX };

	(void)state;
	for (size_t i = 0; i < HB_LEN(kinds); i++) {
		hb_range x = observe(kinds[i], 0, HB_I8, a, b, 1), y = observe(kinds[i], 0, HB_I8, b, a, 3);

		assert_memory_equal(&x, &y, sizeof(x));
	}
}

static void
values_that_are_no_numbers_are_left_out(void **state)
{
	float x[N];
	hb_range r, clean = observe(HB_OBS_MSE, 0, HB_I8, a, NULL, 1);

	(void)state;
	memcpy(x, a, sizeof(x));
	x[5] = NAN;
	x[77] = INFINITY;
	x[N - 1] = -INFINITY;
	r = observe(HB_OBS_MSE, 0, HB_I8, x, NULL, 1);
	assert_int_equal(r.nonfinite, 3);
	near(r.absmax, clean.absmax, 0.01);
}

static void
zeros_and_tiny_values_have_a_range(void **state)
{
	static float zero[N], tiny[N];

	(void)state;
	for (int i = 0; i < N; i++)
		tiny[i] = 1e-44f;
	for (int k = 0; k < HB_OBS_FIXED; k++) {
		assert_true(observe((hb_observer_kind)k, 0, HB_I8, zero, zero, 1).absmax == 0);
		near(observe((hb_observer_kind)k, 0, HB_I8, tiny, tiny, 1).absmax, 1e-44, 1);
	}
}

static void
parts_that_are_merged_are_the_whole(void **state)
{
	static const hb_observer_kind kinds[] = { HB_OBS_MINMAX, HB_OBS_PERCENTILE, HB_OBS_KL, HB_OBS_MSE, HB_OBS_MIX };
	hb_ctx *cx = test_ctx(NULL, 2);
	hb_buf bytes[3] = { { .cx = cx }, { .cx = cx }, { .cx = cx } };
	static float tiny[N];

	(void)state;
	for (int i = 0; i < N; i++)
		tiny[i] = a[i] * 1e-20f;
	for (size_t i = 0; i < HB_LEN(kinds); i++) {
		hb_observer_cfg cfg = { .kind = kinds[i], .whole = true };
		hb_observer *whole = hb_observer_new(cx->arena, &cfg, HB_I8), *sum = hb_observer_new(cx->arena, &cfg, HB_I8);
		const float *parts[] = { tiny, b, a };
		hb_range x, y;

		for (size_t k = 0; k < HB_LEN(parts); k++) {
			hb_observer *one = hb_observer_new(cx->arena, &cfg, HB_I8);

			hb_observer_add(cx, whole, parts[k], N);
			hb_observer_add(cx, one, parts[k], N);
			bytes[k].len = 0;
			hb_observer_save(one, &bytes[k]);
			hb_cursor c = { .p = (uint8_t *)bytes[k].p, .end = (uint8_t *)bytes[k].p + bytes[k].len };
			assert_true(hb_observer_merge(sum, &c));
			assert_ptr_equal(c.p, c.end);
			/* every shorter file is refused, or is as a whole something that was never saved */
			for (size_t cut = 0; k == 0 && i == 0 && cut < bytes[k].len; cut += 7) {
				hb_observer *broken = hb_observer_new(cx->arena, &cfg, HB_I8);

				c = (hb_cursor){ .p = (uint8_t *)bytes[k].p, .end = (uint8_t *)bytes[k].p + cut };
				assert_false(hb_observer_merge(broken, &c));
			}
		}
		hb_observer_range(whole, &x);
		hb_observer_range(sum, &y);
		assert_memory_equal(&x, &y, sizeof(x));
	}
	for (size_t k = 0; k < HB_LEN(bytes); k++)
		hb_buf_free(&bytes[k]);
	hb_ctx_free(cx);
}

static void
channels_have_ranges_of_their_own_and_merge(void **state)
{
	enum { C = 5, INNER = N / 2 / C };
	hb_ctx *cx = test_ctx(NULL, 2);
	hb_channels *ch = hb_channels_new(cx->arena, C, 0, 0, false), *sum = hb_channels_new(cx->arena, C, 0, 0, false);
	hb_buf bytes = { .cx = cx };

	(void)state;
	hb_channels_add(cx, ch, a, 2, INNER);
	hb_channels_save(ch, &bytes);
	hb_channels_add(cx, ch, b, 2, INNER);
	for (int k = 0; k < C; k++) {
		float lo = a[k * INNER], hi = lo;

		for (int o = 0; o < 2; o++)
			for (int i = 0; i < INNER; i++)
				for (int s = 0; s < 2; s++) {
					float v = (s ? b : a)[(o * C + k) * INNER + i];

					lo = fminf(lo, v);
					hi = fmaxf(hi, v);
				}
		assert_true(ch->min[k] == lo && ch->max[k] == hi);
	}
	hb_channels *second = hb_channels_new(cx->arena, C, 0, 0, false);
	hb_channels_add(cx, second, b, 2, INNER);
	hb_channels_save(second, &bytes);
	hb_cursor c = { .p = (uint8_t *)bytes.p, .end = (uint8_t *)bytes.p + bytes.len };
	assert_true(hb_channels_merge(sum, &c) && hb_channels_merge(sum, &c));
	assert_memory_equal(sum->min, ch->min, C * sizeof(float));
	assert_memory_equal(sum->max, ch->max, C * sizeof(float));
	hb_channels *moving = hb_channels_new(cx->arena, C, 0.01, 0, false);
	hb_channels_add(cx, moving, a, 2, INNER);
	hb_channels_add(cx, moving, b, 2, INNER);
	hb_channels *first = hb_channels_new(cx->arena, C, 0, 0, false);
	hb_channels_add(cx, first, a, 2, INNER);
	for (int k = 0; k < C; k++)
		near(moving->max[k], first->max[k] + 0.01 * (second->max[k] - first->max[k]), 1e-6);
	hb_buf_free(&bytes);
	hb_ctx_free(cx);
}

static double
sharp(const void *arg, double x)
{
	(void)arg;
	return x > 0 ? x : x / 64;
}

/* Squared error of x[n] behind `sharp` where read, quantized with clip t. */
static double
error_with(const float *x, int n, double t, bool read)
{
	double sum = 0, s = t / 127.5;

	for (int i = 0; i < n; i++) {
		double q = fmax(fmin(rint(x[i] / s), 127), -128) * s, d = read ? sharp(NULL, x[i]) - sharp(NULL, q) : x[i] - q;

		sum += d * d;
	}
	return sum;
}

static void
channels_clip_where_their_own_error_is_least(void **state)
{
	enum { C = 3, INNER = 4000 };
	static float x[C * INNER];
	hb_ctx *cx = test_ctx(NULL, 2);
	hb_channels *ch = hb_channels_new(cx->arena, C, 0, 0, true), *parts = hb_channels_new(cx->arena, C, 0, 0, true);
	hb_observer_cfg cfg = { .kind = HB_OBS_MSE };
	hb_buf bytes = { .cx = cx };
	float chosen[C], merged[C];

	(void)state;
	for (int i = 0; i < C * INNER; i++) {	/* even; far fewer large ones; larger below 0 than above */
		float u = (float)((i * 7919) % INNER) / INNER * 2 - 1;

		x[i] = i < INNER ? u : i < 2 * INNER ? powf(u, 15) * 30 : u < 0 ? u * 20 : u;
	}
	hb_channels_add(cx, ch, x, 1, INNER);
	for (int read = 0; read < 2; read++) {
		cfg.reader = read ? sharp : NULL;
		hb_channels_absmax(cx, ch, &cfg, chosen);
		for (int k = 0; k < C; k++) {
			double least = HUGE_VAL;

			for (int i = 1; i <= 400; i++)
				least = fmin(least, error_with(x + k * INNER, INNER, 30 * i / 400.0, read));
			assert_true(error_with(x + k * INNER, INNER, chosen[k], read) <= (k == 0 ? 1.5 : 1.2) * least + 1e-9);
		}
	}
	assert_true(chosen[2] < 18);		/* what lies below 0 is nearly lost behind the reader */
	/* two samples seen apart, the larger second, are as one after the other */
	for (int i = 0; i < C * INNER; i++)
		x[i] *= 37;
	hb_channels *second = hb_channels_new(cx->arena, C, 0, 0, true);
	hb_channels_add(cx, second, x, 1, INNER);
	hb_channels_save(second, &bytes);
	hb_channels_save(ch, &bytes);
	hb_cursor c = { .p = (uint8_t *)bytes.p, .end = (uint8_t *)bytes.p + bytes.len };
	assert_true(hb_channels_merge(parts, &c) && hb_channels_merge(parts, &c));
	hb_channels_add(cx, ch, x, 1, INNER);
	hb_channels_absmax(cx, ch, &cfg, chosen);
	hb_channels_absmax(cx, parts, &cfg, merged);
	assert_memory_equal(chosen, merged, sizeof(chosen));
	hb_buf_free(&bytes);
	hb_ctx_free(cx);
}

static void
names_are_known_both_ways(void **state)
{
	hb_observer_kind k;

	(void)state;
	for (int i = 0; i < HB_OBS_NKINDS; i++) {
		assert_true(hb_observer_kind_of(hb_observer_name((hb_observer_kind)i), &k));
		assert_int_equal(k, i);
	}
	assert_true(hb_observer_kind_of("max", &k));
	assert_false(hb_observer_kind_of("", &k));
	assert_false(hb_observer_kind_of("MSE ", &k));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(minmax_keeps_all), cmocka_unit_test(moving_average_moves_a_hundredth),
		cmocka_unit_test(percentiles_are_those_of_numpy), cmocka_unit_test(kl_is_that_of_tensorrt_without_the_spike_at_zero),
		cmocka_unit_test(mse_finds_the_least_error), cmocka_unit_test(mix_is_no_worse_than_its_parts),
		cmocka_unit_test(histogram_is_that_of_torch), cmocka_unit_test(order_and_threads_change_nothing),
		cmocka_unit_test(values_that_are_no_numbers_are_left_out), cmocka_unit_test(zeros_and_tiny_values_have_a_range),
		cmocka_unit_test(parts_that_are_merged_are_the_whole), cmocka_unit_test(channels_have_ranges_of_their_own_and_merge),
		cmocka_unit_test(channels_clip_where_their_own_error_is_least),
		cmocka_unit_test(names_are_known_both_ways),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
