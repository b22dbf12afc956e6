/* Pools against windows walked one by one. */
#include "tests/opcase.h"

typedef struct geometry {
	int nsp;
	int64_t in[3], out[3], kernel[3], strides[3], dilations[3], pads[6], ceil, include;
} geometry;

static geometry
draw_geometry(void)
{
	geometry q = { .nsp = (int)between(1, 3), .ceil = draw() % 2, .include = draw() % 2 };
	for (int i = 0; i < q.nsp; i++) {
		q.kernel[i] = between(1, 5);
		q.strides[i] = between(1, 3);
		q.dilations[i] = between(1, 2);
		q.pads[i] = between(0, q.kernel[i] - 1);
		q.pads[q.nsp + i] = between(0, q.kernel[i] - 1);
		q.in[i] = between(1, q.nsp == 3 ? 9 : 40);
		int64_t reach = (q.kernel[i] - 1) * q.dilations[i] + 1;
		q.in[i] = HB_MAX(q.in[i], reach - q.pads[i] - q.pads[q.nsp + i]);
		q.in[i] = HB_MAX(q.in[i], 1);
		int64_t room = q.in[i] + q.pads[i] + q.pads[q.nsp + i] - reach;
		q.out[i] = room / q.strides[i] + 1;
		if (q.ceil && room % q.strides[i] && q.out[i] * q.strides[i] < q.in[i] + q.pads[i])
			q.out[i]++;
	}
	return q;
}

static op_case
case_of(const char *type, int version, const geometry *q, int nout)
{
	op_case c = { .type = type, .version = version, .nin = 1, .nout = nout, .nattrs = 5 };
	c.in[0].dtype = HB_F32;
	c.in[0].shape = (hb_shape){ .rank = q->nsp + 2, .dim = { between(1, 2), between(1, 5) } };
	for (int i = 0; i < q->nsp; i++)
		c.in[0].shape.dim[2 + i] = q->in[i];
	c.in[0].data = values(&c.in[0].shape);
	c.attr[0] = (op_attr){ .name = "kernel_shape", .ints = q->kernel, .n = (size_t)q->nsp };
	c.attr[1] = (op_attr){ .name = "strides", .ints = q->strides, .n = (size_t)q->nsp };
	c.attr[2] = (op_attr){ .name = "dilations", .ints = q->dilations, .n = (size_t)q->nsp };
	c.attr[3] = (op_attr){ .name = "pads", .ints = q->pads, .n = (size_t)q->nsp * 2 };
	c.attr[4] = (op_attr){ .name = "ceil_mode", .i = q->ceil };
	return c;
}

static void
unravel(int nsp, const int64_t *dim, int64_t i, int64_t *at)
{
	for (int d = nsp - 1; d >= 0; d--) {
		at[d] = i % dim[d];
		i /= dim[d];
	}
}

static int64_t
product(int nsp, const int64_t *dim)
{
	int64_t n = 1;
	for (int i = 0; i < nsp; i++)
		n *= dim[i];
	return n;
}

/* Offset of tap k of window o in a plane, or -1. */
static int64_t
cell(const geometry *q, int64_t o, int64_t k, bool column_major)
{
	int64_t at[3], t[3], p[3], offset = 0;
	unravel(q->nsp, q->out, o, at);
	unravel(q->nsp, q->kernel, k, t);
	for (int d = 0; d < q->nsp; d++) {
		p[d] = at[d] * q->strides[d] + t[d] * q->dilations[d] - q->pads[d];
		if (p[d] < 0 || p[d] >= q->in[d])
			return -1;
	}
	for (int i = 0; i < q->nsp; i++) {
		int d = column_major ? q->nsp - 1 - i : i;
		offset = offset * q->in[d] + p[d];
	}
	return offset;
}

static void
max_pool_takes_the_first_largest_cell(void **state)
{
	(void)state;
	for (int round = 0; round < 120; round++) {
		geometry q = draw_geometry();
		op_case c = case_of("MaxPool", 12, &q, 2);
		int64_t order = draw() % 2;
		c.attr[c.nattrs++] = (op_attr){ .name = "storage_order", .i = order };
		float *x = (float *)(uintptr_t)c.in[0].data;
		for (int64_t i = 0; i < hb_shape_elems(&c.in[0].shape); i++)
			x[i] = (float)between(-3, 3);	/* many equals */
		run_case(&c);
		assert_int_equal(c.st, HB_OK);
		int64_t in = product(q.nsp, q.in), out = product(q.nsp, q.out), taps = product(q.nsp, q.kernel);
		assert_int_equal(hb_shape_span(&c.shape[0], 2, c.shape[0].rank), out);
		for (int64_t e = 0; e < hb_shape_elems(&c.shape[0]); e++) {
			int64_t best = -1, which = -1;
			for (int64_t k = 0; k < taps; k++) {
				int64_t at = cell(&q, e % out, k, false);
				if (at >= 0 && (best < 0 || x[e / out * in + at] > x[e / out * in + best])) {
					best = at;
					which = cell(&q, e % out, k, order);
				}
			}
			float want = best < 0 ? -INFINITY : x[e / out * in + best];
			assert_true(want == ((float *)c.out[0])[e]);
			assert_int_equal(best < 0 ? -1 : e / out * in + which, ((int64_t *)c.out[1])[e]);
		}
		free(x);
		free_case(&c);
	}
}

static void
average_pool_divides_by_the_cells_that_count(void **state)
{
	(void)state;
	for (int round = 0; round < 120; round++) {
		geometry q = draw_geometry();
		op_case c = case_of("AveragePool", 19, &q, 1);
		c.attr[c.nattrs++] = (op_attr){ .name = "count_include_pad", .i = q.include };
		run_case(&c);
		assert_int_equal(c.st, HB_OK);
		const float *x = c.in[0].data, *y = c.out[0];
		int64_t in = product(q.nsp, q.in), out = product(q.nsp, q.out), taps = product(q.nsp, q.kernel);
		for (int64_t e = 0; e < hb_shape_elems(&c.shape[0]); e++) {
			double sum = 0, scale = 0;
			int64_t count = 0;
			for (int64_t k = 0; k < taps; k++) {
				int64_t at = cell(&q, e % out, k, false);
				double v = at < 0 ? 0 : (double)x[e / out * in + at];
				sum += v;
				scale += fabs(v);
				count += at >= 0;
			}
			count = q.include ? taps : HB_MAX(count, 1);
			assert_near("AveragePool", sum / (double)count, (double)y[e], scale);
		}
		free((void *)(uintptr_t)x);
		free_case(&c);
	}
}

static void
lp_pool_is_the_norm_of_the_window(void **state)
{
	(void)state;
	for (int round = 0; round < 60; round++) {
		geometry q = draw_geometry();
		op_case c = case_of("LpPool", 18, &q, 1);
		int64_t p = between(1, 4);
		c.attr[c.nattrs++] = (op_attr){ .name = "p", .i = p };
		run_case(&c);
		assert_int_equal(c.st, HB_OK);
		const float *x = c.in[0].data, *y = c.out[0];
		int64_t in = product(q.nsp, q.in), out = product(q.nsp, q.out), taps = product(q.nsp, q.kernel);
		for (int64_t e = 0; e < hb_shape_elems(&c.shape[0]); e++) {
			double sum = 0;
			for (int64_t k = 0; k < taps; k++) {
				int64_t at = cell(&q, e % out, k, false);
				sum += at < 0 ? 0 : pow(fabs((double)x[e / out * in + at]), (double)p);
			}
			double want = pow(sum, 1 / (double)p);
			assert_near("LpPool", want, (double)y[e], 4 * want);
		}
		free((void *)(uintptr_t)x);
		free_case(&c);
	}
}

static void
global_pools_see_the_whole_plane(void **state)
{
	(void)state;
	static const char *const types[] = { "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool" };
	for (int round = 0; round < 60; round++) {
		int kind = round % 3;
		op_case c = { .type = types[kind], .version = 2, .nin = 1, .nout = 1 };
		c.in[0].dtype = HB_F32;
		c.in[0].shape = (hb_shape){ .rank = (int)between(2, 6), .dim = { 2, 3, between(1, 40), between(1, 9), 2, 1 } };
		c.in[0].data = values(&c.in[0].shape);
		run_case(&c);
		assert_int_equal(c.st, HB_OK);
		int64_t span = hb_shape_span(&c.in[0].shape, 2, c.in[0].shape.rank);
		const float *x = c.in[0].data;
		for (int64_t e = 0; e < hb_shape_elems(&c.shape[0]); e++) {
			double sum = 0, most = -INFINITY, square = 0;
			for (int64_t i = 0; i < span; i++) {
				double v = (double)x[e * span + i];
				sum += v;
				square += v * v;
				most = fmax(most, v);
			}
			double want = kind == 0 ? sum / (double)span : kind == 1 ? most : sqrt(square);
			assert_near(types[kind], want, (double)((float *)c.out[0])[e], 4);
		}
		free((void *)(uintptr_t)x);
		free_case(&c);
	}
}

static void
a_nan_wins_a_max_pool(void **state)
{
	(void)state;
	float x[4] = { 1, NAN, 5, 2 };
	int64_t k[1] = { 4 };
	op_case c = { .type = "MaxPool", .version = 12, .nin = 1, .nout = 1, .nattrs = 1,
		.in = { { { 3, { 1, 1, 4 } }, HB_F32, x, false, false } }, .attr = { { .name = "kernel_shape", .ints = k, .n = 1 } } };
	run_case(&c);
	assert_int_equal(c.st, HB_OK);
	assert_true(*(float *)c.out[0] != *(float *)c.out[0]);
	free_case(&c);
}

int
main(void)
{
	printf("seed %llu\n", (unsigned long long)seed);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(max_pool_takes_the_first_largest_cell),
		cmocka_unit_test(average_pool_divides_by_the_cells_that_count),
		cmocka_unit_test(lp_pool_is_the_norm_of_the_window),
		cmocka_unit_test(global_pools_see_the_whole_plane),
		cmocka_unit_test(a_nan_wins_a_max_pool),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
