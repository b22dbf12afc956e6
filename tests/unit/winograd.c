/* 3 x 3 convolution by transformed tiles against sums in double, at every width and thread count. */
#include "tests/test.h"

#include "lib/base/winograd.h"

#include <math.h>

static uint64_t seed = 11;

static int64_t
upto(int64_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (int64_t)(seed >> 33) % n;
}

static float *
values(int64_t n)
{
	float *p = aligned_alloc(64, (size_t)(n + 31) / 16 * 64);
	assert_non_null(p);
	for (int64_t i = 0; i < n; i++)
		p[i] = (float)(upto(20001) - 10000) * 0x1.1p-13f;
	return p;
}

/* Output (o, row, col), and the sum of the terms' magnitudes. */
static double
direct(const hb_winograd *g, const float *w, int64_t o, int64_t row, int64_t col, double *size)
{
	double sum = g->bias ? (double)g->bias[o] : 0;
	*size = fabs(sum);
	for (int64_t c = 0; c < g->cin; c++)
		for (int64_t t = 0; t < 9; t++) {
			int64_t y = row + t / 3 - g->begin[0], x = col + t % 3 - g->begin[1];
			if (y < 0 || y >= g->in[0] || x < 0 || x >= g->in[1])
				continue;
			double term = (double)g->x[(c * g->in[0] + y) * g->in[1] + x] * (double)w[(o * g->cin + c) * 9 + t];
			sum += term;
			*size += fabs(term);
		}
	return sum < (double)g->lo ? (double)g->lo : sum > (double)g->hi ? (double)g->hi : sum;
}

typedef struct visits {
	const float *y;
	uint8_t *seen;
	int64_t plane;
} visits;

static void
visit(void *arg, int64_t channel, float *y, int64_t n)
{
	visits *v = arg;
	assert_true(y - v->y >= channel * v->plane && y - v->y + n <= (channel + 1) * v->plane);
	for (int64_t i = 0; i < n; i++)
		v->seen[y - v->y + i]++;
}

static void
run_at(hb_isa isa, int jobs, hb_winograd g, const float *w, float *y)
{
	hb_ctx *cx = hb_ctx_new(&(hb_options){ .jobs = jobs, .isa = isa });
	assert_non_null(cx);
	size_t packed = hb_winograd_u_bytes(isa, &g), scratch = hb_winograd_scratch(&g, jobs);
	float *u = hb_big_alloc(cx, packed);
	visits v = { y, calloc((size_t)(g.cout * g.out[0] * g.out[1]), 1), g.out[0] * g.out[1] };
	g.scratch = hb_big_alloc(cx, scratch);
	assert_true(u && g.scratch && v.seen);
	hb_winograd_pack(isa, &g, w, u);
	g.u = u;
	g.y = y;
	g.post = visit;
	g.post_arg = &v;
	hb_winograd_run(cx, &g);
	for (int64_t i = 0; i < g.cout * v.plane; i++)
		assert_int_equal(v.seen[i], 1);
	free(v.seen);
	hb_big_free(cx, u, packed);
	hb_big_free(cx, g.scratch, scratch);
	hb_ctx_free(cx);
}

static void
one_case(hb_winograd g)
{
	int64_t n = g.cout * g.out[0] * g.out[1];
	float *x = values(g.cin * g.in[0] * g.in[1]), *w = values(g.cout * g.cin * 9), *bias = values(g.cout);
	float *first = values(n), *y = values(n);
	g.x = x;
	g.bias = upto(2) ? bias : NULL;
	g.lo = upto(2) ? -INFINITY : -0.5f;
	g.hi = upto(2) ? INFINITY : 1.5f;
	for (hb_isa isa = HB_ISA_SCALAR; isa <= hb_isa_best(); isa++)
		for (int jobs = 1; jobs <= 3; jobs += 2) {
			bool begin = isa == HB_ISA_SCALAR && jobs == 1;
			run_at(isa, jobs, g, w, begin ? first : y);
			assert_true(begin || !memcmp(first, y, (size_t)n * 4));
		}
	for (int64_t i = 0; i < n; i++) {
		double size, want = direct(&g, w, i / (g.out[0] * g.out[1]), i / g.out[1] % g.out[0], i % g.out[1], &size);
		assert_true(fabs((double)first[i] - want) <= size * 0x1p-20);
	}
	free(x);
	free(w);
	free(bias);
	free(first);
	free(y);
}

static void
tiles_give_what_sums_in_double_give(void **state)
{
	(void)state;
	for (int i = 0; i < 60; i++) {
		hb_winograd g = { .cin = 1 + upto(20), .cout = 1 + upto(30) };
		for (int k = 0; k < 2; k++) {
			g.out[k] = 1 + upto(i % 5 ? 20 : 60);
			g.begin[k] = upto(3);
			int64_t end = upto(3);
			g.in[k] = HB_MAX(1, g.out[k] + 2 - g.begin[k] - end);
		}
		one_case(g);
	}
}

/* Many blocks: each worker has its own; and few, of many channels: all work on one. */
static void
large_and_deep_images(void **state)
{
	(void)state;
	one_case((hb_winograd){ .cin = 16, .cout = 16, .in = { 150, 131 }, .out = { 150, 131 }, .begin = { 1, 1 } });
	one_case((hb_winograd){ .cin = 200, .cout = 130, .in = { 9, 8 }, .out = { 7, 6 } });
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tiles_give_what_sums_in_double_give),
		cmocka_unit_test(large_and_deep_images),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
