/* fx_horizon.c: operators that read at computed places, by their instructions. */
#include "ops/fx_util.h"
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
	hb_dtype dt = n->in[0]->dtype;

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
	int64_t size = (int64_t)hb_dtype_size(c->in[0]->dtype), in = hb_shape_span(x, 1, 4) * size, out = hb_shape_span(y, 1, 4) * size;
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

static const hb_attr_row sample_rows[] = { ROW_INT("mode"), ROW_INT("outside"), ROW_CLAMP, { 0 } };

const hb_op hb_op_fx_sample = {
	.name = "Sample", .domain = "hbcc", .since = 1, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = sample_rows, .types = HB_BIT(HB_I8) | HB_BIT(HB_I16), .in_types = { 0, HB_BIT(HB_I32), HB_BIT(HB_I32) },
	.shape = shape_sample, .run = run_sample, .sched = &hb_sched_sample,
};
