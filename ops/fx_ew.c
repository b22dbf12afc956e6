/* fx_ew.c: Ew, Lut and Rows on whole tensors, by their instructions. */
#include "ops/fx_util.h"
#include "ops/lower.h"

#define ROW_TO { "to", HB_ATTR_INT, false, 0, 0 }
#define ROW_CLAMP { "qmin", HB_ATTR_INT, false, 0, 0 }, { "qmax", HB_ATTR_INT, false, 0, 0 }
#define ROW_INT(name) { name, HB_ATTR_INT, false, 0, 0 }

/* aux of all three: the immediates of the instruction */
typedef struct imms {
	int32_t v[HB_MAX_IMMS];
	int axis;
} imms;

/* ---- Ew ---- */

static hb_status
shape_ew(hb_graph *g, hb_node *n)
{
	static const hb_fn fns[] = {
		HB_FN_add, HB_FN_mul, HB_FN_max, HB_FN_min, HB_FN_lt, HB_FN_le, HB_FN_eq, HB_FN_select, HB_FN_abs, HB_FN_cast,
		HB_FN_div,
	};
	imms *a = HB_AUX(g, n, imms);
	int32_t *v = a ? a->v : NULL;
	hb_shape out;
	hb_dtype dt;
	int operands;

	if (!a)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_fn(g, n, fns, HB_LEN(fns), &v[HB_IMM_ew_fn]));
	hb_fn fn = (hb_fn)v[HB_IMM_ew_fn];
	operands = fn == HB_FN_select ? 3 : fn == HB_FN_abs || fn == HB_FN_cast ? 1 : 2;
	for (int i = 0; i < n->nin; i++)
		if (!n->in[i])
			return HB_FX_BAD(g, n, "operand %d is absent", i);
	if (n->nin != operands && (operands == 1 || n->nin != operands - 1))
		return HB_FX_BAD(g, n, "has %d operands; %s takes %d", n->nin, hb_fn_name(fn), operands);
	if (fn == HB_FN_add) {
		HB_TRY(hb_fx_int(g, n, "ma", 0, -(1 << 30), 1 << 30, &v[HB_IMM_ew_ma]));
		HB_TRY(hb_fx_int(g, n, "mb", 0, -(1 << 30), 1 << 30, &v[HB_IMM_ew_mb]));
		HB_TRY(hb_fx_int(g, n, "shift", 1, 1, 62, &v[HB_IMM_ew_shift]));
	} else {
		HB_TRY(hb_fx_mult(g, n, "ma", "ea", &v[HB_IMM_ew_ma], &v[HB_IMM_ew_ea]));
		HB_TRY(hb_fx_mult(g, n, "mb", "eb", &v[HB_IMM_ew_mb], &v[HB_IMM_ew_eb]));
	}
	HB_TRY(hb_fx_int(g, n, "value", 0, INT32_MIN, INT32_MAX, &v[HB_IMM_ew_value]));
	dt = HB_BOOL;
	if ((fn != HB_FN_lt && fn != HB_FN_le && fn != HB_FN_eq) || hb_attr_find(n, "to"))
		HB_TRY(hb_fx_to(g, n, HB_FX_TYPES, &dt));
	HB_TRY(hb_fx_clamp(g, n, dt, &v[HB_IMM_ew_qmin], &v[HB_IMM_ew_qmax]));
	HB_TRY(hb_shape_broadcast_all(g, n));
	out = n->out[0]->shape;
	return hb_fx_out(g, n, dt, &out);
}

static void
run_ew(const hb_call *c)
{
	const imms *a = c->n->aux;
	hb_insn i = { .op = HB_I_ew, .engine = HB_V0, .nv = c->n->nin + 1 };
	hb_dtype dt[4] = { c->out[0]->dtype };
	uint8_t *at[4] = { c->out[0]->data };
	hb_nd d;

	memcpy(i.imm, a->v, sizeof(i.imm));
	hb_nd_init(&d, &c->out[0]->shape);
	hb_nd_add(&d, &c->out[0]->shape);
	for (int k = 0; k < c->n->nin; k++) {
		hb_nd_add(&d, &c->in[k]->shape);
		dt[k + 1] = c->in[k]->dtype;
		at[k + 1] = c->in[k]->data;
	}
	hb_fx_run(c->cx, &i, &d, dt, at);
}

static const hb_attr_row ew_rows[] = {
	{ "fn", HB_ATTR_STRING, true, 0, 0 }, ROW_INT("ma"), ROW_INT("ea"), ROW_INT("mb"), ROW_INT("eb"), ROW_INT("shift"),
	ROW_INT("value"), ROW_TO, ROW_CLAMP, { 0 },
};

const hb_op hb_op_fx_ew = {
	.name = "Ew", .domain = "hbcc", .since = 1, .min_in = 1, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = ew_rows, .types = HB_FX_TYPES, .shape = shape_ew, .run = run_ew,
	.sched = &hb_sched_ew,
};

/* ---- Lut ---- */

enum { SEGMENT_ROW = 68 };

static hb_status
shape_lut(hb_graph *g, hb_node *n)
{
	hb_tensor *t = n->in[1];
	imms *a = HB_AUX(g, n, imms);
	bool bytes = hb_dtype_size(n->in[0]->dtype) == 1;
	const int32_t *v;
	hb_shape out = n->in[0]->shape;
	hb_dtype dt;

	if (!a)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_to(g, n, HB_FX_TYPES, &dt));
	HB_TRY(hb_fx_int(g, n, "kind", 0, 0, 1, &a->v[HB_IMM_lut_kind]));
	HB_TRY(hb_fx_clamp(g, n, dt, &a->v[HB_IMM_lut_qmin], &a->v[HB_IMM_lut_qmax]));
	if (a->v[HB_IMM_lut_kind] != (bytes ? 0 : 1))
		return HB_FX_BAD(g, n, "kind is %d, which is not for %s", a->v[HB_IMM_lut_kind], hb_dtype_name(n->in[0]->dtype));
	if (!t->is_const)
		return hb_need_const(g, n, 1);
	if (bytes) {
		bool each = t->shape.rank == 2 && out.rank > 1 && t->shape.dim[0] == out.dim[1] && t->shape.dim[1] == 256;

		if (t->dtype != dt || (!each && (t->shape.rank != 1 || t->shape.dim[0] != 256)))
			return HB_FX_BAD(g, n, "table '%s' is not 256 numbers of type %s, or as many for each channel", t->name, hb_dtype_name(dt));
	} else {
		int64_t len = hb_tensor_elems(t);

		if (t->dtype != HB_I32 || len == 0 || len % SEGMENT_ROW)
			return HB_FX_BAD(g, n, "table '%s' is not rows of %d int32", t->name, SEGMENT_ROW);
		if (!(v = hb_tensor_data(g, t)))
			return HB_ERR_NOMEM;
		for (int64_t s = 0; s < len; s += SEGMENT_ROW)
			if (v[s + 1] < 0 || v[s + 1] > 10 || v[s + 2] < 1 || v[s + 2] > 12 || (s && v[s] <= v[s - SEGMENT_ROW]))
				return HB_FX_BAD(g, n, "segment %lld of table '%s' is malformed", (long long)(s / SEGMENT_ROW), t->name);
	}
	return hb_fx_out(g, n, dt, &out);
}

/* A table for all, or the channels in turn with their own. */
static void
run_lut(const hb_call *c)
{
	const imms *a = c->n->aux;
	const hb_shape *s = &c->out[0]->shape, *table = &c->in[1]->shape;
	int64_t len = table->dim[table->rank - 1], channels = table->rank > 1 ? table->dim[0] : 1;
	hb_split3 k = channels > 1 ? hb_split_at(s, 1) : (hb_split3){ 1, 1, hb_shape_elems(s) };
	hb_insn i = { .op = HB_I_lut, .engine = HB_V0, .nv = 3 };
	hb_dtype dt[3] = { c->out[0]->dtype, c->in[0]->dtype, c->in[1]->dtype };

	memcpy(i.imm, a->v, sizeof(i.imm));
	for (int64_t at = 0; at < k.outer * channels; at++) {
		uint8_t *p[3] = { c->out[0]->data, c->in[0]->data, c->in[1]->data };
		hb_shape plane = { 1, { k.inner } };
		hb_nd d;

		for (int o = 0; o < 3; o++)
			p[o] += (o < 2 ? at * k.inner : at % channels * len) * (int64_t)hb_dtype_size(dt[o]);
		i.v[2] = hb_fx_view(dt[2], 1, &len);
		hb_nd_init(&d, &plane);
		hb_nd_add(&d, &plane);
		hb_nd_add(&d, &plane);
		hb_fx_run(c->cx, &i, &d, dt, p);
	}
}

static const hb_attr_row lut_rows[] = { ROW_INT("kind"), ROW_TO, ROW_CLAMP, { 0 } };

const hb_op hb_op_fx_lut = {
	.name = "Lut", .domain = "hbcc", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = lut_rows, .types = HB_FX_NARROW | HB_BIT(HB_I32), .in_types = { 0, HB_FX_TYPES },
	.shape = shape_lut, .run = run_lut,
	.sched = &hb_sched_lut,
};

/* ---- Rows ---- */

/* A norm's gain and offset. */
static hb_status
row_tables(hb_graph *g, hb_node *n, int32_t fn, int64_t len, int32_t bits)
{
	bool norm = fn != HB_FN_softmax;

	if (n->nin != (norm ? 3 : 1))
		return HB_FX_BAD(g, n, "has %d operands; %s takes %d", n->nin, hb_fn_name((hb_fn)fn), norm ? 3 : 1);
	if (norm && (len > 65536 || bits < 0 || bits > 30))
		return HB_FX_BAD(g, n, "its rows have %lld elements, its tables %d fraction bits; at most 65536, 0..30", (long long)len, bits);
	for (int i = 1; i < n->nin; i++) {
		hb_tensor *t = n->in[i];

		if (!t || t->dtype != HB_I32 || t->shape.rank != 1 || t->shape.dim[0] != len)
			return HB_FX_BAD(g, n, "table %d is not %lld int32, one an element of a row", i - 1, (long long)len);
		if (!t->is_const)
			return hb_need_const(g, n, i);
	}
	return HB_OK;
}

static hb_status
shape_rows(hb_graph *g, hb_node *n)
{
	static const hb_fn fns[] = { HB_FN_softmax, HB_FN_norm, HB_FN_rms };
	imms *a = HB_AUX(g, n, imms);
	hb_shape out = n->in[0]->shape;
	hb_dtype dt;

	if (!a)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_fn(g, n, fns, HB_LEN(fns), &a->v[HB_IMM_rows_fn]));
	HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", -1), out.rank, &a->axis));
	HB_TRY(hb_fx_mult(g, n, "m", "e", &a->v[HB_IMM_rows_m], &a->v[HB_IMM_rows_e]));
	HB_TRY(hb_fx_mult(g, n, "m2", "e2", &a->v[HB_IMM_rows_m2], &a->v[HB_IMM_rows_e2]));
	HB_TRY(hb_fx_int(g, n, "value", 0, INT32_MIN, INT32_MAX, &a->v[HB_IMM_rows_value]));
	HB_TRY(row_tables(g, n, a->v[HB_IMM_rows_fn], out.dim[a->axis], a->v[HB_IMM_rows_value]));
	HB_TRY(hb_fx_to(g, n, HB_BIT(HB_I8) | HB_BIT(HB_I16), &dt));
	HB_TRY(hb_fx_clamp(g, n, dt, &a->v[HB_IMM_rows_qmin], &a->v[HB_IMM_rows_qmax]));
	return hb_fx_out(g, n, dt, &out);
}

/* [outer, inner, n]: the axis is last by its stride. */
static hb_insn
rows_insn(const hb_node *n)
{
	const imms *a = n->aux;
	hb_split3 s = hb_split_at(&n->in[0]->shape, a->axis);
	hb_insn i = { .op = HB_I_rows, .engine = HB_V0, .nv = 2 };

	memcpy(i.imm, a->v, sizeof(i.imm));
	for (int k = 0; k < 2; k++) {
		hb_dtype dt = k ? n->in[0]->dtype : n->out[0]->dtype;
		uint32_t size = (uint32_t)hb_dtype_size(dt);

		i.v[k] = (hb_view){
			.space = HB_HEAP, .dtype = dt, .rank = 3,
			.ext = { (uint32_t)s.outer, (uint32_t)s.inner, (uint32_t)s.axis },
			.stride = { (uint32_t)(s.axis * s.inner) * size, size, (uint32_t)s.inner * size },
		};
	}
	return i;
}

static size_t
scratch_rows(const hb_node *n, int jobs)
{
	hb_insn i = rows_insn(n);

	return hb_fx_scratch(&i, jobs);
}

static void
run_rows(const hb_call *c)
{
	hb_insn i = rows_insn(c->n);
	uint8_t *at[4] = { c->out[0]->data, c->in[0]->data };

	for (int k = 1; k < c->n->nin; k++) {
		i.v[1 + k] = hb_fx_view(HB_I32, 1, c->in[k]->shape.dim);
		at[1 + k] = c->in[k]->data;
		i.nv++;
	}

	hb_kernel(c->cx, &i, at, c->scratch);
}

static const hb_attr_row rows_rows[] = {
	{ "fn", HB_ATTR_STRING, true, 0, 0 }, ROW_INT("axis"), ROW_INT("m"), ROW_INT("e"), ROW_INT("m2"), ROW_INT("e2"),
	ROW_INT("value"), ROW_TO, ROW_CLAMP, { 0 },
};

const hb_op hb_op_fx_rows = {
	.name = "Rows", .domain = "hbcc", .since = 1, .min_in = 1, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = rows_rows, .types = HB_BIT(HB_I8) | HB_BIT(HB_I16), .in_types = { 0, HB_BIT(HB_I32), HB_BIT(HB_I32) },
	.shape = shape_rows, .scratch = scratch_rows, .run = run_rows,
	.sched = &hb_sched_rows,
};
