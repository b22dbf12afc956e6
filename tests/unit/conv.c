/* Conv, ConvTranspose, Gemm and MatMul against sums in double. */
#include "ops/conv.h"
#include "tests/opcase.h"

typedef struct geometry {
	int nsp;
	int64_t batch, group, cin, mout;	/* of a group */
	int64_t in[3], kernel[3], strides[3], dilations[3], pads[6], extra[3];
} geometry;

static geometry
draw_geometry(int round)
{
	geometry q = { .nsp = (int)between(1, 3), .batch = between(1, 2), .group = between(1, 3), .cin = between(1, 5), .mout = between(1, 9) };
	if (round % 4 == 0) {		/* depthwise */
		q.group = between(1, 20);
		q.cin = 1;
		q.mout = between(1, 3);
	}
	if (round % 16 == 1)
		q.cin = between(30, 60);
	for (int i = 0; i < q.nsp; i++) {
		q.kernel[i] = between(1, q.nsp == 3 ? 3 : 5);
		q.strides[i] = between(1, 3);
		q.dilations[i] = between(1, 3);
		q.pads[i] = between(0, 3);
		q.pads[q.nsp + i] = between(0, 3);
		q.in[i] = between(1, q.nsp == 3 ? 8 : q.nsp == 2 ? 40 : 90);
		q.extra[i] = between(0, q.strides[i] - 1);
		while (q.in[i] + q.pads[i] + q.pads[q.nsp + i] < (q.kernel[i] - 1) * q.dilations[i] + 1)
			q.in[i]++;
	}
	return q;
}

static op_case
case_of(const char *type, const geometry *q, bool transposed)
{
	op_case c = { .type = type, .version = 11, .nin = (int)between(2, 3), .nout = 1, .nattrs = 4 };
	c.in[0].shape = (hb_shape){ .rank = q->nsp + 2, .dim = { q->batch, q->group * q->cin } };
	c.in[1].shape = (hb_shape){ .rank = q->nsp + 2,
		.dim = { transposed ? q->group * q->cin : q->group * q->mout, transposed ? q->mout : q->cin } };
	c.in[2].shape = (hb_shape){ .rank = 1, .dim = { q->group * q->mout } };
	for (int i = 0; i < q->nsp; i++) {
		c.in[0].shape.dim[2 + i] = q->in[i];
		c.in[1].shape.dim[2 + i] = q->kernel[i];
	}
	for (int i = 0; i < 3; i++) {
		c.in[i].dtype = HB_F32;
		c.in[i].data = values(&c.in[i].shape);
	}
	c.in[1].is_const = draw() % 4 != 0;
	c.in[2].is_const = draw() % 2;
	c.attr[0] = (op_attr){ .name = "strides", .ints = q->strides, .n = (size_t)q->nsp };
	c.attr[1] = (op_attr){ .name = "dilations", .ints = q->dilations, .n = (size_t)q->nsp };
	c.attr[2] = (op_attr){ .name = "pads", .ints = q->pads, .n = (size_t)q->nsp * 2 };
	c.attr[3] = (op_attr){ .name = "group", .i = q->group };
	return c;
}

static void
free_inputs(op_case *c)
{
	for (int i = 0; i < 3; i++)
		free((void *)(uintptr_t)c->in[i].data);
	free_case(c);
}

/* Coordinates of element i of the last nsp dimensions. */
static void
unravel(const hb_shape *s, int nsp, int64_t i, int64_t *at)
{
	for (int d = nsp - 1; d >= 0; d--) {
		at[d] = i % s->dim[2 + d];
		i /= s->dim[2 + d];
	}
}

static void
conv_is_the_sum_over_the_window(void **state)
{
	(void)state;
	for (int round = 0; round < 160; round++) {
		geometry q = draw_geometry(round);
		op_case c = case_of("Conv", &q, false);
		run_case(&c);
		assert_int_equal(c.st, HB_OK);
		const hb_shape *xs = &c.in[0].shape, *ws = &c.in[1].shape, *ys = &c.shape[0];
		const float *x = c.in[0].data, *w = c.in[1].data, *b = c.in[2].data, *y = c.out[0];
		int64_t cells = hb_shape_span(ys, 2, ys->rank), taps = hb_shape_span(ws, 2, ws->rank);
		int64_t plane = hb_shape_span(xs, 2, xs->rank);
		for (int i = 0; i < q.nsp; i++)
			assert_int_equal(ys->dim[2 + i], (q.in[i] + q.pads[i] + q.pads[q.nsp + i] -
				((q.kernel[i] - 1) * q.dilations[i] + 1)) / q.strides[i] + 1);
		for (int64_t e = 0; e < hb_shape_elems(ys); e++) {
			int64_t m = e / cells % ys->dim[1], s = e / cells / ys->dim[1], o[3];
			double sum = c.nin > 2 ? (double)b[m] : 0, scale = fabs(sum);
			unravel(ys, q.nsp, e % cells, o);
			for (int64_t k = 0; k < q.cin * taps; k++) {
				int64_t t[3], at = 0;
				bool in = true;
				unravel(ws, q.nsp, k % taps, t);
				for (int d = 0; d < q.nsp; d++) {
					int64_t p = o[d] * q.strides[d] + t[d] * q.dilations[d] - q.pads[d];
					in = in && p >= 0 && p < q.in[d];
					at = at * q.in[d] + p;
				}
				if (!in)
					continue;
				int64_t ch = m / q.mout * q.cin + k / taps;
				double v = (double)x[(s * xs->dim[1] + ch) * plane + at] * (double)w[m * q.cin * taps + k];
				sum += v;
				scale += fabs(v);
			}
			assert_near("Conv", sum, (double)y[e], scale);
		}
		free_inputs(&c);
	}
}

static void
conv_transpose_spreads_each_cell_over_the_window(void **state)
{
	(void)state;
	for (int round = 0; round < 120; round++) {
		geometry q = draw_geometry(round);
		op_case c = case_of("ConvTranspose", &q, true);
		for (int i = 0; i < q.nsp; i++)		/* at least one cell is left */
			while (q.strides[i] * (q.in[i] - 1) + q.extra[i] + (q.kernel[i] - 1) * q.dilations[i] + 1 - q.pads[i] -
				       q.pads[q.nsp + i] < 1)
				q.pads[i] > 0 ? q.pads[i]-- : q.pads[q.nsp + i]--;
		c.attr[c.nattrs++] = (op_attr){ .name = "output_padding", .ints = q.extra, .n = (size_t)q.nsp };
		run_case(&c);
		assert_int_equal(c.st, HB_OK);
		const hb_shape *xs = &c.in[0].shape, *ws = &c.in[1].shape, *ys = &c.shape[0];
		const float *x = c.in[0].data, *w = c.in[1].data, *b = c.in[2].data, *y = c.out[0];
		int64_t cells = hb_shape_span(ys, 2, ys->rank), taps = hb_shape_span(ws, 2, ws->rank);
		int64_t plane = hb_shape_span(xs, 2, xs->rank), n = hb_shape_elems(ys);
		double *sum = calloc((size_t)n, 8), *scale = calloc((size_t)n, 8);
		for (int64_t i = 0; i < hb_shape_elems(xs); i++)
			for (int64_t k = 0; k < q.mout * taps; k++) {
				int64_t ch = i / plane % xs->dim[1], s = i / plane / xs->dim[1], a[3], t[3], at = 0;
				bool in = true;
				unravel(xs, q.nsp, i % plane, a);
				unravel(ws, q.nsp, k % taps, t);
				for (int d = 0; d < q.nsp; d++) {
					int64_t p = a[d] * q.strides[d] + t[d] * q.dilations[d] - q.pads[d];
					in = in && p >= 0 && p < ys->dim[2 + d];
					at = at * ys->dim[2 + d] + p;
				}
				if (!in)
					continue;
				int64_t m = ch / q.cin * q.mout + k / taps;
				double v = (double)x[i] * (double)w[ch * q.mout * taps + k];
				sum[(s * ys->dim[1] + m) * cells + at] += v;
				scale[(s * ys->dim[1] + m) * cells + at] += fabs(v);
			}
		for (int64_t e = 0; e < n; e++) {
			double bias = c.nin > 2 ? (double)b[e / cells % ys->dim[1]] : 0;
			assert_near("ConvTranspose", sum[e] + bias, (double)y[e], scale[e] + fabs(bias));
		}
		free(sum);
		free(scale);
		free_inputs(&c);
	}
}

static void
auto_pad_keeps_the_extent_over_the_stride(void **state)
{
	(void)state;
	static const char *const how[] = { "SAME_UPPER", "SAME_LOWER" };
	for (int round = 0; round < 40; round++) {
		int64_t k[2] = { between(1, 5), between(1, 5) }, s[2] = { between(1, 3), between(1, 3) };
		hb_shape xs = { .rank = 4, .dim = { 1, 2, between(5, 20), between(5, 20) } };
		hb_shape ws = { .rank = 4, .dim = { 2, 2, k[0], k[1] } };
		float *x = values(&xs), *w = values(&ws);
		op_case c = { .type = "Conv", .version = 11, .nin = 2, .nout = 1, .nattrs = 2,
			.in = { { xs, HB_F32, x, false, false }, { ws, HB_F32, w, true, false } },
			.attr = { { .name = "strides", .ints = s, .n = 2 }, { .name = "auto_pad", .s = how[round % 2] } } };
		run_case(&c);
		assert_int_equal(c.st, HB_OK);
		int64_t pads[4];
		for (int i = 0; i < 2; i++) {
			assert_int_equal(c.shape[0].dim[2 + i], hb_ceil_div(xs.dim[2 + i], s[i]));
			int64_t total = HB_MAX((c.shape[0].dim[2 + i] - 1) * s[i] + k[i] - xs.dim[2 + i], 0);
			pads[i] = round % 2 ? total - total / 2 : total / 2;
			pads[2 + i] = total - pads[i];
		}
		op_case d = c;
		d.attr[1] = (op_attr){ .name = "pads", .ints = pads, .n = 4 };
		run_once(&d, HB_ISA_SCALAR, 1);
		assert_memory_equal(c.out[0], d.out[0], (size_t)hb_shape_elems(&c.shape[0]) * 4);
		free_case(&c);
		free_case(&d);
		free(x);
		free(w);
	}
}

static void
misfits_are_refused(void **state)
{
	(void)state;
	static const struct {
		hb_shape x, w;
		int64_t group, pads[4];
	} bad[] = {
		{ { 4, { 1, 4, 8, 8 } }, { 4, { 4, 3, 3, 3 } }, 1, { 0 } },	/* channels */
		{ { 4, { 1, 4, 8, 8 } }, { 4, { 3, 2, 3, 3 } }, 2, { 0 } },	/* outputs into groups */
		{ { 4, { 1, 4, 8, 8 } }, { 4, { 4, 4, 9, 3 } }, 1, { 0 } },	/* kernel above the input */
		{ { 4, { 1, 4, 8, 8 } }, { 4, { 4, 4, 3, 3 } }, 1, { -1, 0, 0, 0 } },
		{ { 4, { 1, 4, 8, 8 } }, { 4, { 4, 4, 3, 3 } }, 1, { 1 << 30, 1 << 30, 1 << 30, 1 << 30 } },
		{ { 4, { 1, 4, 8, 8 } }, { 4, { 4, 4, 3, 3 } }, 0, { 0 } },
		{ { 3, { 1, 4, 8 } }, { 4, { 4, 4, 3, 3 } }, 1, { 0 } },
		{ { 2, { 1, 4 } }, { 2, { 4, 4 } }, 1, { 0 } },
	};
	for (size_t i = 0; i < HB_LEN(bad); i++) {
		op_case c = { .type = "Conv", .version = 11, .nin = 2, .nout = 1, .nattrs = 2,
			.in = { { bad[i].x, HB_F32, NULL, false, false }, { bad[i].w, HB_F32, NULL, false, false } },
			.attr = { { .name = "group", .i = bad[i].group }, { .name = "pads", .ints = bad[i].pads, .n = 4 } } };
		run_once(&c, HB_ISA_SCALAR, 1);
		if (c.st != HB_ERR_INPUT && c.st != HB_ERR_UNSUPPORTED)
			fail_msg("case %zu: status %d", i, c.st);
	}
}

static void
gemm_scales_transposes_and_broadcasts(void **state)
{
	(void)state;
	for (int round = 0; round < 120; round++) {
		int64_t m = between(1, 20), n = between(1, 70), k = between(1, 40), ta = draw() % 2, tb = draw() % 2;
		float alpha = draw() % 2 ? 1 : value(), beta = draw() % 2 ? 1 : value();
		op_case c = { .type = "Gemm", .version = 13, .nin = (int)between(2, 3), .nout = 1, .nattrs = 4 };
		c.in[0].shape = (hb_shape){ .rank = 2, .dim = { ta ? k : m, ta ? m : k } };
		c.in[1].shape = (hb_shape){ .rank = 2, .dim = { tb ? n : k, tb ? k : n } };
		hb_shape cs[] = { { .rank = 0 }, { 1, { n } }, { 1, { 1 } }, { 2, { m, 1 } }, { 2, { 1, n } }, { 2, { m, n } }, { 2, { 1, 1 } } };
		c.in[2].shape = cs[draw() % HB_LEN(cs)];
		for (int i = 0; i < 3; i++) {
			c.in[i].dtype = HB_F32;
			c.in[i].data = values(&c.in[i].shape);
			c.in[i].is_const = i && draw() % 2;
		}
		c.attr[0] = (op_attr){ .name = "transA", .i = ta };
		c.attr[1] = (op_attr){ .name = "transB", .i = tb };
		c.attr[2] = (op_attr){ .name = "alpha", .is_f = true, .f = alpha };
		c.attr[3] = (op_attr){ .name = "beta", .is_f = true, .f = beta };
		run_case(&c);
		assert_int_equal(c.st, HB_OK);
		const float *a = c.in[0].data, *b = c.in[1].data, *v = c.in[2].data, *y = c.out[0];
		for (int64_t i = 0; i < m; i++)
			for (int64_t j = 0; j < n; j++) {
				double sum = 0, scale = 0;
				for (int64_t q = 0; q < k; q++) {
					double p = (double)a[ta ? q * m + i : i * k + q] * (double)b[tb ? j * k + q : q * n + j];
					sum += p;
					scale += fabs(p);
				}
				sum *= (double)alpha;
				if (c.nin > 2) {
					const hb_shape *s = &c.in[2].shape;
					int64_t col = s->rank && s->dim[s->rank - 1] > 1 ? j : 0;
					int64_t row = s->rank == 2 && s->dim[0] > 1 ? i * s->dim[1] : 0;
					sum += (double)beta * (double)v[row + col];
				}
				assert_near("Gemm", sum, (double)y[i * n + j], scale + 2);
			}
		free_inputs(&c);
	}
}

static void
matmul_broadcasts_leading_dimensions(void **state)
{
	(void)state;
	for (int round = 0; round < 120; round++) {
		int64_t m = between(1, 9), n = between(1, 40), k = between(1, 20), lead = between(1, 3);
		hb_shape as[] = { { 2, { m, k } }, { 3, { lead, m, k } }, { 4, { 2, lead, m, k } }, { 3, { 1, m, k } }, { 1, { k } } };
		hb_shape bs[] = { { 2, { k, n } }, { 3, { lead, k, n } }, { 4, { 2, 1, k, n } }, { 1, { k } } };
		op_case c = { .type = "MatMul", .version = 13, .nin = 2, .nout = 1 };
		c.in[0].shape = as[draw() % HB_LEN(as)];
		c.in[1].shape = bs[draw() % HB_LEN(bs)];
		for (int i = 0; i < 2; i++) {
			c.in[i].dtype = HB_F32;
			c.in[i].data = values(&c.in[i].shape);
			c.in[i].is_const = draw() % 2;
		}
		c.in[0].is_const &= !c.in[1].is_const;
		run_case(&c);
		assert_int_equal(c.st, HB_OK);
		/* Both as [2][lead][rows][cols] by strides. */
		const hb_shape *sa = &c.in[0].shape, *sb = &c.in[1].shape;
		int64_t rows = sa->rank == 1 ? 1 : m, cols = sb->rank == 1 ? 1 : n, e = 0;
		int64_t d0 = sa->rank == 4 || sb->rank == 4 ? 2 : 1;
		int64_t la = sa->rank >= 3 ? sa->dim[sa->rank - 3] : 1, lb = sb->rank >= 3 ? sb->dim[sb->rank - 3] : 1;
		const float *a = c.in[0].data, *b = c.in[1].data, *y = c.out[0];
		for (int64_t i0 = 0; i0 < d0; i0++)
			for (int64_t i1 = 0; i1 < HB_MAX(la, lb); i1++)
				for (int64_t i = 0; i < rows; i++)
					for (int64_t j = 0; j < cols; j++, e++) {
						int64_t ma = (sa->rank == 4 ? i0 * la : 0) + (la > 1 ? i1 : 0);
						int64_t mb = (sb->rank == 4 ? i0 * lb : 0) + (lb > 1 ? i1 : 0);
						double sum = 0, scale = 0;
						for (int64_t q = 0; q < k; q++) {
							double p = (double)a[ma * rows * k + i * k + q] *
								   (double)b[mb * k * cols + q * cols + j];
							sum += p;
							scale += fabs(p);
						}
						assert_near("MatMul", sum, (double)y[e], scale);
					}
		assert_int_equal(e, hb_shape_elems(&c.shape[0]));
		free_inputs(&c);
	}
}

int
main(void)
{
	printf("seed %llu\n", (unsigned long long)seed);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conv_is_the_sum_over_the_window),
		cmocka_unit_test(conv_transpose_spreads_each_cell_over_the_window),
		cmocka_unit_test(auto_pad_keeps_the_extent_over_the_stride),
		cmocka_unit_test(misfits_are_refused),
		cmocka_unit_test(gemm_scales_transposes_and_broadcasts),
		cmocka_unit_test(matmul_broadcasts_leading_dimensions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
