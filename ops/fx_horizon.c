/* fx_horizon.c: operators that read or write at computed places: Sample by its instruction, Correlation and Scatter by
 * their definitions. */
#include "ops/fx_util.h"
#include "ops/horizon.h"
#include "ops/lower.h"

#define ROW_INT(name) { name, HB_ATTR_INT, false, 0, 0 }
#define ROW_CLAMP ROW_INT("qmin"), ROW_INT("qmax")

/* ---- Sample ---- */

enum { SIDE_MAX = 32767 };		/* a place has 16 bits before its fraction */

typedef struct sample {
	int32_t mode, outside, qmin, qmax;
} sample;

/* Extents of [M,OH,OW] that a table of places has: its own, or 1 in dimension `free`. */
static bool
goes_with(const hb_shape *t, const hb_shape *out, int free)
{
	const int64_t want[3] = { out->dim[0], out->dim[2], out->dim[3] };

	for (int d = 0; d < 3; d++)
		if (t->dim[d] != want[d] && (d != free || t->dim[d] != 1))
			return false;
	return true;
}

static hb_status
shape_sample(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *rows = &n->in[1]->shape, *cols = &n->in[2]->shape;
	sample *a = HB_AUX(g, n, sample);
	hb_dtype dt;

	if (!a)
		return hb_nomem(g->cx, n->name);
	if (x->rank != 4 || rows->rank != 3 || cols->rank != 3)
		return HB_FX_BAD(g, n, "input, rows and cols have ranks %d, %d, %d; they must be 4, 3, 3", x->rank, rows->rank, cols->rank);
	hb_shape out = { 4, { rows->dim[0], x->dim[1], rows->dim[1], cols->dim[2] } };
	if (!goes_with(rows, &out, 2) || !goes_with(cols, &out, 1))
		return HB_FX_BAD(g, n, "rows and cols do not go together");
	if (x->dim[0] != 1 && x->dim[0] != out.dim[0])
		return HB_FX_BAD(g, n, "has %lld images and places in %lld", (long long)x->dim[0], (long long)out.dim[0]);
	if (x->dim[2] > SIDE_MAX || x->dim[3] > SIDE_MAX)
		return HB_FX_BAD(g, n, "input is %lldx%lld; 32767 rows and columns are taken", (long long)x->dim[2], (long long)x->dim[3]);
	HB_TRY(hb_fx_int(g, n, "mode", 0, 0, 1, &a->mode));
	HB_TRY(hb_fx_int(g, n, "outside", 0, 0, 2, &a->outside));
	HB_TRY(hb_fx_to(g, n, HB_BIT(HB_I8) | HB_BIT(HB_I16), &dt));
	if (dt != n->in[0]->dtype && (dt != HB_I16 || !a->mode))
		return HB_FX_BAD(g, n, "its output would be %s, its input is %s", hb_dtype_name(dt), hb_dtype_name(n->in[0]->dtype));
	HB_TRY(hb_fx_clamp(g, n, dt, &a->qmin, &a->qmax));
	return hb_fx_out(g, n, dt, &out);
}

/* Image m of places, repeated over the columns or rows that it has one of. */
static hb_view
places_view(const hb_val *t, const hb_shape *out)
{
	const int64_t *d = t->shape.dim;
	hb_view v = hb_fx_view(HB_I32, 2, (int64_t[]){ out->dim[2], out->dim[3] });

	v.stride[0] = d[1] == 1 ? 0 : (uint32_t)d[2] * 4;
	v.stride[1] = d[2] == 1 ? 0 : 4;
	return v;
}

static void
run_sample(const hb_call *c)
{
	const sample *a = c->n->aux;
	const hb_shape *x = &c->in[0]->shape, *y = &c->out[0]->shape;
	int64_t in = hb_shape_span(x, 1, 4) * (int64_t)hb_dtype_size(c->in[0]->dtype);
	int64_t out = hb_shape_span(y, 1, 4) * (int64_t)hb_dtype_size(c->out[0]->dtype);
	hb_insn i = { .op = HB_I_sample, .engine = HB_V0, .nv = 4 };

	i.v[0] = hb_fx_image(c->out[0]->dtype, y->dim[1], y->dim[2], y->dim[3]);
	i.v[1] = hb_fx_image(c->in[0]->dtype, x->dim[1], x->dim[2], x->dim[3]);
	i.v[2] = places_view(c->in[1], y);
	i.v[3] = places_view(c->in[2], y);
	i.imm[HB_IMM_sample_mode] = 2 + a->mode + 2 * a->outside;
	i.imm[HB_IMM_sample_qmin] = a->qmin;
	i.imm[HB_IMM_sample_qmax] = a->qmax;
	for (int64_t m = 0; m < y->dim[0]; m++) {
		uint8_t *at[4] = { (uint8_t *)c->out[0]->data + m * out, (uint8_t *)c->in[0]->data + (x->dim[0] > 1 ? m : 0) * in,
				   (uint8_t *)c->in[1]->data + m * hb_shape_span(&c->in[1]->shape, 1, 3) * 4,
				   (uint8_t *)c->in[2]->data + m * hb_shape_span(&c->in[2]->shape, 1, 3) * 4 };
		hb_kernel(c->cx, &i, at, NULL);
	}
}

static const hb_attr_row sample_rows[] = { ROW_INT("mode"), ROW_INT("outside"), ROW_INT("to"), ROW_CLAMP, { 0 } };

const hb_op hb_op_fx_sample = {
	.name = "Sample", .domain = "hbcc", .since = 1, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = sample_rows, .types = HB_BIT(HB_I8) | HB_BIT(HB_I16), .in_types = { 0, HB_BIT(HB_I32), HB_BIT(HB_I32) },
	.shape = shape_sample, .run = run_sample, .sched = &hb_sched_sample,
};

/* ---- Correlation ---- */

typedef struct correlation {
	hb_correlation k;
	int32_t m, e, qmin, qmax;
} correlation;

static hb_status
shape_correlation(hb_graph *g, hb_node *n)
{
	correlation *a = HB_AUX(g, n, correlation);
	hb_dtype dt;

	if (!a)
		return hb_nomem(g->cx, n->name);
	HB_TRY(hb_correlation_resolve(g, n, &a->k));
	HB_TRY(hb_fx_mult(g, n, "m", "e", &a->m, &a->e));
	HB_TRY(hb_fx_to(g, n, HB_BIT(HB_I8) | HB_BIT(HB_I16) | HB_BIT(HB_I32), &dt));
	HB_TRY(hb_fx_clamp(g, n, dt, &a->qmin, &a->qmax));
	/* int8 by int8: sums stay in 32 bits */
	if (n->in[0]->shape.dim[1] * a->k.kernel * a->k.kernel >= 1 << 16)
		return HB_FX_BAD(g, n, "sums %lld products; 65535 are taken", (long long)(n->in[0]->shape.dim[1] * a->k.kernel * a->k.kernel));
	hb_shape s = { 4, { n->in[0]->shape.dim[0], a->k.side * a->k.side, a->k.out[0], a->k.out[1] } };
	return hb_fx_out(g, n, dt, &s);
}

static void
correlation_cells(void *arg, int64_t begin, int64_t end, int worker)
{
	const hb_call *c = arg;
	const correlation *a = c->n->aux;
	const hb_correlation *k = &a->k;
	const int64_t *d = c->in[0]->shape.dim, area = d[2] * d[3], channels = k->side * k->side;

	(void)worker;
	for (int64_t i = begin; i < end; i++) {
		int64_t ox = i % k->out[1], oy = i / k->out[1] % k->out[0], q = i / (k->out[0] * k->out[1]);
		int64_t dy = (q % channels / k->side - k->radius) * k->step, dx = (q % k->side - k->radius) * k->step;
		int64_t y0 = oy * k->stride + k->reach - k->pad, x0 = ox * k->stride + k->reach - k->pad, sum = 0;
		const int8_t *pa = (const int8_t *)c->in[0]->data + q / channels * d[1] * area;
		const int8_t *pb = (const int8_t *)c->in[1]->data + q / channels * d[1] * area;
		for (int64_t y = HB_MAX(HB_MAX(y0, 0), -dy); y < HB_MIN(HB_MIN(y0 + k->kernel, d[2]), d[2] - dy); y++)
			for (int64_t x = HB_MAX(HB_MAX(x0, 0), -dx); x < HB_MIN(HB_MIN(x0 + k->kernel, d[3]), d[3] - dx); x++)
				for (int64_t ch = 0; ch < d[1]; ch++)
					sum += pa[ch * area + y * d[3] + x] * pb[ch * area + (y + dy) * d[3] + x + dx];
		sum = hb_requant(sum, (hb_mult){ a->m, a->e });
		sum = HB_MAX(a->qmin, HB_MIN(sum, a->qmax));
		hb_wide_store(c->out[0]->dtype, &sum, c->out[0]->data, i, 1);
	}
}

static void
run_correlation(const hb_call *c)
{
	hb_call call = *c;

	hb_parallel(c->cx, hb_val_elems(c->out[0]), 64, correlation_cells, &call);
}

static const hb_attr_row correlation_rows[] = {
	ROW_INT("kernel_size"), ROW_INT("max_displacement"), ROW_INT("stride1"), ROW_INT("stride2"), ROW_INT("pad_size"),
	ROW_INT("m"), ROW_INT("e"), ROW_INT("to"), ROW_CLAMP, { 0 },
};

const hb_op hb_op_fx_correlation = {
	.name = "Correlation", .domain = "hbcc", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = correlation_rows, .types = HB_BIT(HB_I8), .shape = shape_correlation, .run = run_correlation,
	.sched = &hb_sched_correlation,
};

/* ---- Scatter ---- */

static hb_status
shape_scatter(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *index = &n->in[1]->shape;
	int64_t d[4];

	HB_TRY(hb_fx_ints(g, n, "shape", 4, 1, 1, INT32_MAX, d));
	if (x->rank != 2 || index->rank != 1 || index->dim[0] != x->dim[0])
		return HB_FX_BAD(g, n, "input and index have ranks %d and %d; [M, C] and [M] are taken", x->rank, index->rank);
	if (d[1] != x->dim[1])
		return HB_FX_BAD(g, n, "the output has %lld channels, the input %lld", (long long)d[1], (long long)x->dim[1]);
	hb_shape s = { 4, { d[0], d[1], d[2], d[3] } };
	return hb_fx_out(g, n, n->in[0]->dtype, &s);
}

static void
run_scatter(const hb_call *c)
{
	const int64_t *d = c->out[0]->shape.dim, area = d[2] * d[3], rows = c->in[0]->shape.dim[0];
	size_t size = hb_dtype_size(c->out[0]->dtype);
	const int32_t *index = c->in[1]->data;

	memset(c->out[0]->data, 0, (size_t)hb_val_elems(c->out[0]) * size);
	for (int64_t m = 0; m < rows; m++) {
		if (index[m] < 0 || index[m] >= d[0] * area)
			continue;
		const uint8_t *from = (const uint8_t *)c->in[0]->data + (size_t)(m * d[1]) * size;
		uint8_t *to = (uint8_t *)c->out[0]->data + (size_t)(index[m] / area * d[1] * area + index[m] % area) * size;
		for (int64_t ch = 0; ch < d[1]; ch++)
			memcpy(to + (size_t)(ch * area) * size, from + (size_t)ch * size, size);
	}
}

static const hb_attr_row scatter_rows[] = { { "shape", HB_ATTR_INTS, true, 0, 0 }, { 0 } };

const hb_op hb_op_fx_scatter = {
	.name = "Scatter", .domain = "hbcc", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = scatter_rows, .types = HB_BIT(HB_I8) | HB_BIT(HB_I16), .in_types = { 0, HB_BIT(HB_I32) },
	.shape = shape_scatter, .run = run_scatter, .sched = &hb_sched_scatter,
};

/* ---- Pick ---- */

static hb_status
shape_pick(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *index = &n->in[1]->shape;

	if (x->rank != 3 || index->rank != 2)
		return HB_FX_BAD(g, n, "input and index have ranks %d and %d; they must be 3 and 2", x->rank, index->rank);
	if (x->dim[0] != 1 && x->dim[0] != index->dim[0])
		return HB_FX_BAD(g, n, "has %lld blocks of rows and indices into %lld", (long long)x->dim[0], (long long)index->dim[0]);
	hb_shape s = { 3, { index->dim[0], index->dim[1], x->dim[2] } };
	return hb_fx_out(g, n, n->in[0]->dtype, &s);
}

static void
run_pick(const hb_call *c)
{
	const int64_t *x = c->in[0]->shape.dim, *y = c->out[0]->shape.dim;
	size_t row = (size_t)x[2] * hb_dtype_size(c->in[0]->dtype);
	const int32_t *index = c->in[1]->data;

	for (int64_t i = 0; i < y[0] * y[1]; i++) {
		int64_t at = HB_MAX(0, HB_MIN(index[i], x[1] - 1));
		memcpy((uint8_t *)c->out[0]->data + (size_t)i * row, (const uint8_t *)c->in[0]->data + (size_t)((x[0] > 1 ? i / y[1] * x[1] : 0) + at) * row, row);
	}
}

const hb_op hb_op_fx_pick = {
	.name = "Pick", .domain = "hbcc", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.types = HB_FX_TYPES, .in_types = { 0, HB_BIT(HB_I32) }, .shape = shape_pick, .run = run_pick, .sched = &hb_sched_pick,
};
