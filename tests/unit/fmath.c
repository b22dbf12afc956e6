/* The elementary functions against libm in double, and across vector widths. */
#include "lib/base/base.h"
#include "lib/base/fmath.h"

#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

static double sigmoid64(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }
static double softplus64(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

#define MAP(fn)                                                                                    \
	HB_INLINE void fn##_body(float *restrict y, const float *restrict x, int64_t n)            \
	{                                                                                          \
		for (int64_t i = 0; i < n; i++)                                                    \
			y[i] = fn(x[i]);                                                           \
	}                                                                                          \
	HB_KERNEL(map_##fn, fn##_body, (float *restrict y, const float *restrict x, int64_t n), (y, x, n))

MAP(hb_expf) MAP(hb_logf) MAP(hb_tanhf) MAP(hb_sigmoidf) MAP(hb_erff) MAP(hb_softplusf) MAP(hb_expm1f)
MAP(hb_sinf) MAP(hb_cosf) MAP(hb_tanf) MAP(hb_asinf) MAP(hb_acosf) MAP(hb_atanf) MAP(hb_sinhf) MAP(hb_coshf)
MAP(hb_asinhf) MAP(hb_acoshf) MAP(hb_atanhf)

typedef void mapper(float *restrict, const float *restrict, int64_t);

static const struct {
	const char *name;
	mapper *const *fn;
	double (*ref)(double);
	double ulp;
} functions[] = {
	{ "exp", map_hb_expf, exp, 1.1 },		{ "log", map_hb_logf, log, 0.9 },
	{ "tanh", map_hb_tanhf, tanh, 1.4 },		{ "sigmoid", map_hb_sigmoidf, sigmoid64, 2.3 },
	{ "erf", map_hb_erff, erf, 1.3 },		{ "softplus", map_hb_softplusf, softplus64, 2.0 },
	{ "expm1", map_hb_expm1f, expm1, 0.51 },	{ "sin", map_hb_sinf, sin, 0.51 },
	{ "cos", map_hb_cosf, cos, 0.51 },		{ "tan", map_hb_tanf, tan, 0.51 },
	{ "asin", map_hb_asinf, asin, 0.51 },		{ "acos", map_hb_acosf, acos, 0.51 },
	{ "atan", map_hb_atanf, atan, 0.51 },		{ "sinh", map_hb_sinhf, sinh, 0.51 },
	{ "cosh", map_hb_coshf, cosh, 0.51 },		{ "asinh", map_hb_asinhf, asinh, 0.51 },
	{ "acosh", map_hb_acoshf, acosh, 0.51 },	{ "atanh", map_hb_atanhf, atanh, 0.51 },
};

/* Error of y in units of the last place of the float nearest to ref. */
static double ulps(float y, double ref)
{
	float f = (float)ref;
	if (ref != ref || y != y)
		return (ref != ref) == (y != y) ? 0 : INFINITY;
	if (f == INFINITY || f == -INFINITY || y == INFINITY || y == -INFINITY)
		return y == f || fabs(ref) > 3.4028234e38 ? 0 : INFINITY;
	int e;
	frexp(f, &e);
	return fabs(y - ref) / ldexp(1, HB_MAX(e - 24, -149));
}

static uint64_t seed;

static uint32_t draw(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 32);
}

enum { N = 4096 };

static void every_function_keeps_its_error_bound_at_every_width(void **state)
{
	(void)state;
	static float x[N], y[N], z[N];
	for (size_t f = 0; f < HB_LEN(functions); f++) {
		double worst = 0;
		float at = 0;
		for (int round = 0; round < 256; round++) {
			for (int i = 0; i < N; i++) {
				uint32_t u = (uint32_t)(round * N + i) * 4096u + draw() % 4096u;
				if (round >= 128)	/* exponents of -32 to 31: where the functions bend */
					u = (draw() & 0x807fffffu) | (95u + draw() % 64u) << 23;
				x[i] = hb_float32(u);
			}
			functions[f].fn[HB_ISA_SCALAR](y, x, N);
			for (hb_isa isa = HB_ISA_AVX2; isa <= hb_isa_best(); isa++) {
				functions[f].fn[isa](z, x, N);
				for (int i = 0; i < N; i++)
					if (memcmp(y + i, z + i, 4) && (y[i] == y[i] || z[i] == z[i]))
						fail_msg("%s(%a): %a, at width %d %a", functions[f].name, x[i], y[i], isa, z[i]);
			}
			for (int i = 0; i < N; i++) {
				double e = ulps(y[i], functions[f].ref(x[i]));
				if (e > worst) {
					worst = e;
					at = x[i];
				}
			}
		}
		printf("%-9s %.3f ulp at %a\n", functions[f].name, worst, at);
		if (worst > functions[f].ulp)
			fail_msg("%s is off by %g ulp at %a", functions[f].name, worst, at);
	}
}

static void special_arguments_go_as_in_c(void **state)
{
	(void)state;
	static const float special[] = { 0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1.0f, -1.0f, 0x1p-149f, -0x1p-149f,
		0x1p-126f, 0x1.fffffep127f, -0x1.fffffep127f, 88.72284f, 88.7229f, -103.97f, -104.1f };
	for (size_t f = 0; f < HB_LEN(functions); f++)
		for (size_t i = 0; i < HB_LEN(special); i++) {
			float y;
			functions[f].fn[HB_ISA_SCALAR](&y, &special[i], 1);
			double ref = functions[f].ref(special[i]);
			if (ulps(y, ref) > functions[f].ulp || (ref == 0 && !signbit(y) != !signbit(ref)))
				fail_msg("%s(%a): %a, not %a", functions[f].name, special[i], y, ref);
		}
}

static void powers_are_right_to_the_last_place(void **state)
{
	(void)state;
	static const float special[] = { 0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1.0f, -1.0f, 0.5f, -0.5f, 2.0f, -2.0f,
		3.0f, -3.0f, 0x1p24f, 0x1p-149f, 16777217.0f, 1e30f };
	for (size_t i = 0; i < HB_LEN(special); i++)
		for (size_t k = 0; k < HB_LEN(special); k++) {
			float y = hb_powf(special[i], special[k]);
			double ref = pow(special[i], special[k]);
			if (ulps(y, ref) > 0.51 || ((float)ref == 0 && !signbit(y) != !signbit(ref)))
				fail_msg("pow(%a, %a): %a, not %a", special[i], special[k], y, ref);
		}
	for (int i = 0; i < 200000; i++) {
		float a = hb_float32(draw()), b = hb_float32((draw() & 0x807fffffu) | (112u + draw() % 24u) << 23);
		double ref = pow(a, b);
		if (ulps(hb_powf(a, b), ref) > 0.51)
			fail_msg("pow(%a, %a): %a, not %a", a, b, hb_powf(a, b), ref);
	}
}

static void rounding_goes_to_even(void **state)
{
	(void)state;
	for (int i = 0; i < 200000; i++) {
		float x = i < 64 ? (float)(i - 32) * 0.5f : hb_float32(draw());
		float y = hb_roundf(x), r = nearbyintf(x);
		if (x == x && memcmp(&y, &r, 4))
			fail_msg("round(%a): %a, not %a", x, y, r);
	}
	assert_true(hb_roundf(NAN) != hb_roundf(NAN));
}

int main(void)
{
	seed = 20261121;
	printf("seed %llu\n", (unsigned long long)seed);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_function_keeps_its_error_bound_at_every_width),
		cmocka_unit_test(special_arguments_go_as_in_c),
		cmocka_unit_test(powers_are_right_to_the_last_place),
		cmocka_unit_test(rounding_goes_to_even),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
