/* requant: against exact arithmetic, and scales against numbers from torch. */
#include "lib/quant/quant.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

__extension__ typedef __int128 wide;

static uint64_t
next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* floor(acc * m / 2^(31-e) + 1/2), by division that rounds down. */
static wide
exact(int64_t acc, hb_mult m)
{
	wide twice = (wide)acc * m.m * 2 + ((wide)1 << (31 - m.e)), by = (wide)1 << (32 - m.e), q = twice / by;

	return twice % by < 0 ? q - 1 : q;
}

static void
a_million_random_requantizations_are_exact(void **state)
{
	uint64_t s = 20240517;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)s);
	for (int i = 0; i < 1000000; i++) {
		int64_t acc = (int64_t)next(&s) >> (2 + next(&s) % 60);
		hb_mult m = { (int32_t)((1u << 30) | (next(&s) & 0x3fffffff)), (int32_t)(next(&s) % 64) - 39 };
		wide want = exact(acc, m);

		if (want > INT64_MAX || want < INT64_MIN)
			want = want > 0 ? INT64_MAX : INT64_MIN;
		if (hb_requant(acc, m) != (int64_t)want)
			fail_msg("acc %lld m %d e %d", (long long)acc, m.m, m.e);
	}
}

static void
ties_round_up(void **state)
{
	(void)state;
	for (int e = -30; e <= 0; e++)
		for (int64_t k = -5; k <= 5; k++) {
			/* (2k + 1) * 2^(-e) * 2^30 * 2^(e-31) = k + 1/2 */
			int64_t acc = (2 * k + 1) * ((int64_t)1 << -e);

			assert_int_equal(hb_requant(acc, (hb_mult){ 1 << 30, e }), k + 1);
		}
}

static void
identity_multiplier_changes_nothing(void **state)
{
	(void)state;
	for (int64_t v = INT32_MIN; v <= INT32_MAX; v += 65521)
		assert_int_equal(hb_requant(v, (hb_mult){ 1 << 30, 1 }), v);
}

static void
multipliers_stand_for_their_ratio(void **state)
{
	uint64_t s = 7;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		double ratio = ldexp(1 + (double)(next(&s) >> 12) * 0x1p-52, (int)(next(&s) % 63) - 40);
		hb_mult m;

		assert_true(hb_mult_of(ratio, &m));
		assert_true(m.m >= 1 << 30);
		assert_true(fabs(ldexp(m.m, m.e - 31) / ratio - 1) <= 0x1p-31);
	}
}

static void
ratios_beyond_the_limits_are_refused(void **state)
{
	hb_mult m;

	(void)state;
	assert_true(hb_mult_of(0x1p-40, &m));
	assert_false(hb_mult_of(nextafter(0x1p-40, 0), &m));
	assert_true(hb_mult_of(0x1p24 * (1 - 0x1p-20), &m));
	assert_false(hb_mult_of(0x1p24, &m));
	assert_false(hb_mult_of(0, &m));
	assert_false(hb_mult_of(-1, &m));
	assert_false(hb_mult_of(NAN, &m));
}

static void
scales_are_those_of_torch(void **state)
{
	(void)state;
	/* torch.ao.quantization.MinMaxObserver(qint8, per_tensor_symmetric, -128, 127) on [-0.3, 1] and [-2.5, 0.1] */
	assert_float_equal(hb_scale_of(1.0f, HB_I8, false), 0.007843137718737125f, 0);
	assert_float_equal(hb_scale_of(2.5f, HB_I8, false), 0.019607843831181526f, 0);
	assert_float_equal(hb_scale_of(0, HB_I8, false), FLT_EPSILON, 0);
	assert_float_equal(hb_scale_of(127, HB_I8, true), 1, 0);
}

static void
rounding_to_integers(void **state)
{
	(void)state;
	assert_int_equal(hb_quantize(0.5f, 1, HB_I8, HB_HALF_EVEN), 0);
	assert_int_equal(hb_quantize(1.5f, 1, HB_I8, HB_HALF_EVEN), 2);
	assert_int_equal(hb_quantize(-2.5f, 1, HB_I8, HB_HALF_EVEN), -2);
	assert_int_equal(hb_quantize(0.5f, 1, HB_I8, HB_HALF_UP), 1);
	assert_int_equal(hb_quantize(-2.5f, 1, HB_I8, HB_HALF_UP), -2);
	assert_int_equal(hb_quantize(0.49999997f, 1, HB_I8, HB_HALF_UP), 0);
	assert_int_equal(hb_quantize(1e30f, 1, HB_I8, HB_HALF_EVEN), 127);
	assert_int_equal(hb_quantize(-INFINITY, 1, HB_I16, HB_HALF_EVEN), -32768);
	assert_int_equal(hb_quantize(NAN, 1, HB_I16, HB_HALF_EVEN), 0);
	assert_int_equal(hb_quantize(3e9f, 1, HB_I32, HB_HALF_EVEN), INT32_MAX);
	assert_int_equal(hb_quantize(-3e9f, 1, HB_I32, HB_HALF_UP), INT32_MIN);
	assert_int_equal(hb_quantize(2.5f, 1, HB_I32, HB_HALF_EVEN), 2);
}

static void
arrays_are_quantized_as_single_numbers_at_every_width(void **state)
{
	enum { N = 40000 };
	static float x[N], back[N], fake[N];
	static int16_t q[N];
	static int8_t q8[N];
	uint64_t s = 99;

	(void)state;
	for (int i = 0; i < N; i++)
		x[i] = (float)((double)(int64_t)next(&s) * 0x1p-60) + (i % 50 == 0 ? NAN : i % 7 == 0 ? 0.5f - (float)(i % 100) : 0);
	for (int isa = 0; isa <= (int)hb_isa_best(); isa++)
		for (int r = 0; r < 2; r++) {
			hb_options o = { .jobs = 2, .isa = (hb_isa)isa };
			hb_ctx *cx = hb_ctx_new(&o);
			float scale = 0.0371f;

			hb_quantize_n(cx, x, scale, HB_I16, (hb_round)r, q, N);
			hb_quantize_n(cx, x, scale, HB_I8, (hb_round)r, q8, N);
			hb_dequantize_n(cx, q, HB_I16, scale, back, N);
			hb_fake_quant_n(cx, x, scale, HB_I8, (hb_round)r, fake, N);
			for (int i = 0; i < N; i++) {
				assert_int_equal(q[i], hb_quantize(x[i], scale, HB_I16, (hb_round)r));
				assert_int_equal(q8[i], hb_quantize(x[i], scale, HB_I8, (hb_round)r));
				assert_true(back[i] == (float)q[i] * scale);
				assert_true(fake[i] == (float)q8[i] * scale);
			}
			hb_ctx_free(cx);
		}
}

static void
measures_of_a_small_case(void **state)
{
	const float a[4] = { 1, 2, 3, -4 }, b[4] = { 1, 2.5f, 3, -3 }, zero[4] = { 0 };
	hb_measure m = { 0 }, z = { 0 };

	(void)state;
	hb_measure_add(&m, a, b, 4);
	assert_true(fabs(hb_measure_cosine(&m) - 27 / sqrt(30 * 25.25)) < 1e-15);
	assert_true(hb_measure_l1(&m) == 1.5 / 4);
	assert_true(hb_measure_l2(&m) == sqrt(1.25) / 4);
	assert_true(hb_measure_chebyshev(&m) == 1);
	assert_true(fabs(hb_measure_sqnr(&m) - 10 * log10(30 / 1.25)) < 1e-12);
	hb_measure_add(&z, zero, zero, 4);
	assert_true(hb_measure_cosine(&z) == 1);
	assert_true(hb_measure_sqnr(&z) == HUGE_VAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_million_random_requantizations_are_exact), cmocka_unit_test(ties_round_up),
		cmocka_unit_test(identity_multiplier_changes_nothing), cmocka_unit_test(multipliers_stand_for_their_ratio),
		cmocka_unit_test(ratios_beyond_the_limits_are_refused), cmocka_unit_test(scales_are_those_of_torch),
		cmocka_unit_test(rounding_to_integers), cmocka_unit_test(arrays_are_quantized_as_single_numbers_at_every_width),
		cmocka_unit_test(measures_of_a_small_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
