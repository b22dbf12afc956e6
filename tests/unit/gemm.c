/* The matrix kernels against a naive chain, at every width, blocking and thread count. */
#include "lib/base/gemm.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static uint64_t seed = 7;

static uint32_t
draw(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33);
}

static int64_t
upto(int64_t n)
{
	return 1 + draw() % n;
}

static float
value(void)
{
	return (float)((int32_t)(draw() % 20001) - 10000) * 0x1.1p-13f;
}

static void *
room(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
	assert_non_null(p);
	return p;
}

static hb_ctx *
context(hb_isa isa, int jobs)
{
	hb_ctx *cx = hb_ctx_new(&(hb_options){ .jobs = jobs, .isa = isa });
	assert_non_null(cx);
	cx->isa = isa;
	return cx;
}

/* Every width and thread count against one naive chain: equal bits. */
static void
one_case(int64_t m, int64_t n, int64_t k, int64_t pitch, int64_t width, bool packed_b)
{
	float *a = room((size_t)(m * k) * 4), *b = room((size_t)(k * n) * 4), *bias = room((size_t)(m + n) * 4);
	int64_t kept = 0;
	for (int64_t j = 0; j < n; j++)
		kept += !pitch || j % pitch < width;
	float *want = room((size_t)(m * kept) * 4), *got = room((size_t)(m * kept) * 4);
	int64_t *off = room((size_t)k * 8);
	for (int64_t i = 0; i < m * k; i++)
		a[i] = value();
	for (int64_t i = 0; i < k * n; i++)
		b[i] = value();
	for (int64_t i = 0; i < m + n; i++)
		bias[i] = value();
	bool by_row = draw() % 2;
	for (int64_t i = 0; i < k; i++)
		off[i] = i * n;
	float lo = draw() % 2 ? -INFINITY : -0.5f, hi = draw() % 2 ? INFINITY : 1.5f;
	for (int64_t i = 0; i < m; i++)
		for (int64_t j = 0, at = 0; j < n; j++) {
			float acc = 0;
			for (int64_t q = 0; q < k; q++)
				acc = fmaf(a[i * k + q], b[q * n + j], acc);
			acc += by_row ? bias[i] : bias[m + j];
			if (!pitch || j % pitch < width)
				want[i * kept + at++] = fminf(fmaxf(acc, lo), hi);
		}
	for (hb_isa isa = HB_ISA_SCALAR; isa <= hb_isa_best(); isa++)
		for (int i = 0; i < 4; i++) {
			int jobs = i % 2 + 1;
			bool turned = i > 1;
			if (turned && (isa != HB_ISA_AVX512 || packed_b || !by_row))
				continue;
			hb_ctx *cx = context(isa, jobs);
			size_t bytes = turned ? hb_gemm_b_bytes(isa, k, m) : hb_gemm_a_bytes(isa, m, k);
			float *pa = room(bytes), *pb = room(hb_gemm_b_bytes(isa, k, n));
			if (turned)
				hb_gemm_pack_b(isa, a, 1, k, k, m, pa);
			else
				hb_gemm_pack_a(isa, a, k, 1, m, k, pa);
			hb_gemm_pack_b(isa, b, n, 1, k, n, pb);
			memset(got, 0, (size_t)(m * kept) * 4);
			hb_gemm g = {
				.m = m, .n = n, .k = k, .a = pa, .turned = turned, .b = packed_b ? pb : b,
				.off = packed_b ? NULL : off, .bias = by_row ? bias : NULL,
				.col_bias = by_row ? NULL : bias + m, .lo = lo, .hi = hi, .c = got, .ldc = kept,
				.pitch = pitch, .width = width,
			};
			hb_gemm_run(cx, &g);
			if (memcmp(want, got, (size_t)(m * kept) * 4))
				fail_msg("m %lld n %lld k %lld pitch %lld width %lld packed %d turned %d isa %d jobs %d differs",
					 (long long)m, (long long)n, (long long)k, (long long)pitch, (long long)width,
					 packed_b, turned, isa, jobs);
			free(pa);
			free(pb);
			hb_ctx_free(cx);
		}
	free(a);
	free(b);
	free(bias);
	free(want);
	free(got);
	free(off);
}

static void
every_width_and_thread_count_gives_the_bits_of_one_chain(void **state)
{
	(void)state;
	for (int i = 0; i < 150; i++)
		one_case(upto(40), upto(100), upto(30), 0, 0, i % 2);
	one_case(100, 700, 64, 0, 0, false);
	one_case(1, 1000, 300, 0, 0, true);
	one_case(13, 1, 1, 0, 0, false);
}

static void
columns_beyond_the_width_of_a_row_are_left_out(void **state)
{
	(void)state;
	for (int i = 0; i < 80; i++) {
		int64_t width = upto(40), pitch = width + draw() % 5;
		one_case(upto(14), pitch * (upto(6) - 1) + width, upto(10), pitch, width, false);
	}
}

static void
a_nan_passes_through_the_limits(void **state)
{
	(void)state;
	for (hb_isa isa = HB_ISA_SCALAR; isa <= hb_isa_best(); isa++) {
		float a = 1, b = NAN, c = 0;
		int64_t off = 0;
		hb_gemm g = { .m = 1, .n = 1, .k = 1, .a = &a, .b = &b, .off = &off, .lo = 0, .hi = 6, .c = &c, .ldc = 1 };
		hb_gemm_run1(isa, &g);
		assert_true(c != c);
	}
}

static void
integer_products_are_exact_at_every_width(void **state)
{
	(void)state;
	for (int round = 0; round < 200; round++) {
		int64_t m = upto(20), n = upto(70), k = upto(round < 100 ? 20 : 200), ldx = k + draw() % 4;
		int bytes = round % 2 + 1;
		int8_t *w = room((size_t)(n * k)), *x8 = room((size_t)(m * ldx));
		int16_t *x16 = room((size_t)(m * ldx) * 2);
		int32_t *c = room((size_t)(m * n) * 4);
		bool extreme = round % 10 == 0;
		for (int64_t i = 0; i < n * k; i++)
			w[i] = extreme ? -128 : (int8_t)((int)(draw() % 256) - 128);
		for (int64_t i = 0; i < m * ldx; i++) {
			x8[i] = extreme ? -128 : (int8_t)((int)(draw() % 256) - 128);
			x16[i] = extreme ? INT16_MIN : (int16_t)((int)(draw() % 65536) - 32768);
		}
		for (hb_isa isa = HB_ISA_SCALAR; isa <= hb_isa_best(); isa++) {
			void *pw = room(hb_igemm_w_bytes(isa, bytes, n, k));
			hb_igemm_pack_w(isa, bytes, w, k, n, k, pw);
			hb_igemm g = { .m = m, .n = n, .k = k, .x_bytes = bytes, .x = bytes == 1 ? (void *)x8 : (void *)x16,
				.ldx = ldx, .w = pw, .c = c, .ldc = n };
			hb_igemm_run(isa, &g);
			for (int64_t i = 0; i < m; i++)
				for (int64_t j = 0; j < n; j++) {
					int64_t sum = 0;
					for (int64_t q = 0; q < k; q++)
						sum += (bytes == 1 ? x8[i * ldx + q] : x16[i * ldx + q]) * w[j * k + q];
					if (c[i * n + j] != (int32_t)sum)
						fail_msg("m %lld n %lld k %lld bytes %d isa %d: %d, not %lld", (long long)m,
							 (long long)n, (long long)k, bytes, isa, c[i * n + j], (long long)sum);
				}
			free(pw);
		}
		free(w);
		free(x8);
		free(x16);
		free(c);
	}
}

int
main(void)
{
	printf("seed %llu\n", (unsigned long long)seed);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_width_and_thread_count_gives_the_bits_of_one_chain),
		cmocka_unit_test(columns_beyond_the_width_of_a_row_are_left_out),
		cmocka_unit_test(a_nan_passes_through_the_limits),
		cmocka_unit_test(integer_products_are_exact_at_every_width),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
