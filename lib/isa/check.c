/* check.c: whether an instruction is well formed: engine, operands, types, extents
 * that agree, immediates in range. What passes can be executed without a further look,
 * except for contents (indices of gather and sample), which the simulator checks. */
#include "lib/isa/isa.h"

#define BYTES (HB_BIT(HB_I8) | HB_BIT(HB_U8) | HB_BIT(HB_BOOL))
#define NARROW (BYTES | HB_BIT(HB_I16))
#define NUMBERS (NARROW | HB_BIT(HB_I32))
#define SUMS (NUMBERS | HB_BIT(HB_I64))

#define STEP_MAX 65535			/* strides, dilations, pads */
#define SIDE_MAX (1 << 24)		/* of a window */
#define LUT_ROW 68			/* first input, shift, fraction bits, 65 values */

static bool
is(const hb_view *v, uint32_t types)
{
	return HB_BIT(v->dtype) & types;
}

static bool
dims_equal(const hb_view *a, const hb_view *b, int from)
{
	for (int d = from; d < a->rank; d++)
		if (a->ext[d] != b->ext[d])
			return false;
	return true;
}

static bool
same_extents(const hb_view *a, const hb_view *b)
{
	return a->rank == b->rank && dims_equal(a, b, 0);
}

static bool
in_range(int32_t x, int32_t lo, int32_t hi)
{
	return x >= lo && x <= hi;
}

/* Elements one after the other, in the order of the dimensions. */
static bool
dense(const hb_view *v)
{
	uint64_t step = hb_dtype_size(v->dtype);
	if (v->ring_rows)
		return false;
	for (int d = v->rank; d-- > 0; step *= v->ext[d])
		if (v->ext[d] > 1 && v->stride[d] != step)
			return false;
	return true;
}

/* Windows over a's first two dimensions; taps outside a are padding, on every side, so any
 * relation of extents is safe as long as positions are int32. */
static const char *
window(const hb_view *out, const hb_view *a, int64_t kh, int64_t kw, int32_t sh, int32_t sw,
       int32_t dh, int32_t dw, int32_t pt, int32_t pl)
{
	if (!in_range(sh, 1, STEP_MAX) || !in_range(sw, 1, STEP_MAX))
		return "a stride is outside 1..65535";
	if (!in_range(dh, 1, STEP_MAX) || !in_range(dw, 1, STEP_MAX))
		return "a dilation is outside 1..65535";
	if (!in_range(pt, 0, STEP_MAX) || !in_range(pl, 0, STEP_MAX))
		return "a pad is outside 0..65535";
	if (kh < 1 || kw < 1 || kh > SIDE_MAX || kw > SIDE_MAX)
		return "a window's side is outside 1..2^24";
	if (a->ext[0] > INT32_MAX || a->ext[1] > INT32_MAX)
		return "an image has more than 2^31 - 1 rows or columns";
	if (((int64_t)out->ext[0] - 1) * sh + (kh - 1) * dh > INT32_MAX ||
	    ((int64_t)out->ext[1] - 1) * sw + (kw - 1) * dw > INT32_MAX)
		return "windows reach beyond 2^31 - 1";
	return NULL;
}

static const char *
check_copy(const hb_insn *i)
{
	const hb_view *out = &i->v[0], *a = &i->v[1], *index = &i->v[2];
	int32_t mode = i->imm[HB_IMM_copy_mode];
	if (hb_dtype_size(out->dtype) != hb_dtype_size(a->dtype))
		return "copy between elements of unequal size";
	if (!in_range(mode, 0, 2))
		return "copy has a mode outside 0..2";
	if ((mode == 0) != (i->nv == 2))
		return mode ? "gather and scatter need an index" : "copy without mode takes no index";
	if (mode == 0)
		return same_extents(out, a) ? NULL : "copy's extents differ";
	if (!is(index, HB_BIT(HB_I32)) || index->rank != 1)
		return "copy's index is not int32 of rank 1";
	if (out->rank != a->rank || !dims_equal(out, a, 1))
		return "gather and scatter differ beyond the first dimension";
	if (index->ext[0] != (mode == 1 ? out : a)->ext[0])
		return "copy's index has another length than its rows";
	return NULL;
}

static const char *
check_fill(const hb_insn *i)
{
	return is(&i->v[0], SUMS | HB_BIT(HB_F32)) ? NULL : "fill's type is none of its own";
}

static const char *
check_conv(const hb_insn *i)
{
	const hb_view *out = &i->v[0], *a = &i->v[1], *w = &i->v[2], *rec = &i->v[3], *add = &i->v[4];
	const int32_t *m = i->imm;
	if (out->rank != 3 || a->rank != 3 || w->rank != 4 || rec->rank != 2)
		return "conv takes ranks 3, 3, 4, 2";
	if (!is(out, HB_BIT(HB_I8) | HB_BIT(HB_I16) | HB_BIT(HB_I32)) ||
	    !is(a, HB_BIT(HB_I8) | HB_BIT(HB_U8) | HB_BIT(HB_I16)) || !is(w, HB_BIT(HB_I8) | HB_BIT(HB_I16)) ||
	    !is(rec, HB_BIT(HB_I32)))
		return "conv's types are none of its own";
	int32_t groups = m[HB_IMM_conv_groups];
	uint32_t oc = out->ext[2];
	if (groups < 1 || oc % (uint32_t)groups || (uint64_t)w->ext[3] * (uint32_t)groups != a->ext[2] ||
	    w->ext[0] != oc)
		return "conv's channels, weights and groups disagree";
	if (rec->ext[0] != oc || rec->ext[1] != 4 || rec->stride[1] != 4 || rec->stride[0] % 4 || rec->base % 4 ||
	    rec->ring_rows)
		return "conv's records are not four int32 a channel";
	if (m[HB_IMM_conv_qmin] > m[HB_IMM_conv_qmax])
		return "conv's least value is above its largest";
	if (i->nv > 4 && (!same_extents(add, out) || !is(add, SUMS)))
		return "conv's addend differs from its output";
	return window(out, a, w->ext[1], w->ext[2], m[HB_IMM_conv_sh], m[HB_IMM_conv_sw], m[HB_IMM_conv_dh],
		      m[HB_IMM_conv_dw], m[HB_IMM_conv_pt], m[HB_IMM_conv_pl]);
}

static const char *
check_reduce(const hb_insn *i)
{
	const hb_view *out = &i->v[0], *a = &i->v[1];
	const int32_t *m = i->imm;
	int32_t fn = m[HB_IMM_reduce_fn];
	if (out->rank != 3 || a->rank != 3 || out->ext[2] != a->ext[2])
		return "reduce takes rows, columns and equal channels";
	if (!in_range(fn, HB_FN_max, HB_FN_argmin))
		return "reduce has a function of another instruction";
	if (!is(a, SUMS) || !is(out, SUMS))
		return "reduce's types are none of its own";
	if ((fn == HB_FN_max || fn == HB_FN_min) && out->dtype != a->dtype)
		return "the largest or least of a window has another type";
	if (m[HB_IMM_reduce_qmin] > m[HB_IMM_reduce_qmax])
		return "reduce's least value is above its largest";
	return window(out, a, m[HB_IMM_reduce_kh], m[HB_IMM_reduce_kw], m[HB_IMM_reduce_sh], m[HB_IMM_reduce_sw],
		      1, 1, m[HB_IMM_reduce_pt], m[HB_IMM_reduce_pl]);
}

static const char *
check_ew(const hb_insn *i)
{
	static const int operands[HB_NFNS] = {
		[HB_FN_add] = 2, [HB_FN_mul] = 2, [HB_FN_max] = 2, [HB_FN_min] = 2, [HB_FN_lt] = 2,
		[HB_FN_le] = 2, [HB_FN_eq] = 2, [HB_FN_select] = 3, [HB_FN_abs] = 1, [HB_FN_cast] = 1, [HB_FN_div] = 2,
	};
	int32_t fn = i->imm[HB_IMM_ew_fn];
	if (!in_range(fn, 0, HB_NFNS - 1) || !operands[fn])
		return "ew has a function of another instruction";
	if (i->nv > operands[fn] + 1)	/* absent ones are the value */
		return "ew has more operands than its function takes";
	for (int k = 0; k < i->nv; k++) {
		if (!is(&i->v[k], SUMS))
			return "ew's types are none of its own";
		if (!same_extents(&i->v[k], &i->v[0]))
			return "ew's extents differ";
	}
	if (!in_range(i->imm[HB_IMM_ew_shift], 0, 62))
		return "ew's shift is outside 0..62";
	return i->imm[HB_IMM_ew_qmin] <= i->imm[HB_IMM_ew_qmax] ?
		NULL : "ew's least value is above its largest";
}

static const char *
check_lut(const hb_insn *i)
{
	const hb_view *out = &i->v[0], *a = &i->v[1], *table = &i->v[2];
	if (!same_extents(out, a))
		return "lut's extents differ";
	if (!is(a, BYTES | HB_BIT(HB_I16) | HB_BIT(HB_I32)) || !is(out, NUMBERS))
		return "lut's types are none of its own";
	if (table->rank == 1 ? !dense(table) : table->stride[table->rank - 1] != hb_dtype_size(table->dtype))
		return "lut's table is not dense";
	switch (i->imm[HB_IMM_lut_kind]) {
	case 0:
		if (!is(a, BYTES) || table->ext[table->rank - 1] != 256 || !is(table, NUMBERS))
			return "lut by entries takes bytes and 256 integers";
		if (table->rank > 1 && (table->rank != a->rank + 1 || memcmp(table->ext, a->ext, a->rank * sizeof(*a->ext))))
			return "lut's tables are not one an element";
		break;
	case 1:
		if (!is(a, HB_BIT(HB_I16) | HB_BIT(HB_I32)) || table->rank != 1 || table->ext[0] % LUT_ROW ||
		    !is(table, HB_BIT(HB_I32)))
			return "lut by segments takes int16 or int32 and segments of 68 int32";
		break;
	default:
		return "lut has a kind outside 0..1";
	}
	return i->imm[HB_IMM_lut_qmin] <= i->imm[HB_IMM_lut_qmax] ?
		NULL : "lut's least value is above its largest";
}

static const char *
check_sample(const hb_insn *i)
{
	const hb_view *out = &i->v[0], *a = &i->v[1];
	if (out->rank != 3 || a->rank != 3 || out->ext[2] != a->ext[2])
		return "sample takes rows, columns and equal channels";
	int32_t mode = i->imm[HB_IMM_sample_mode];
	bool finer = mode > 2 && mode % 2 && a->dtype == HB_I8 && out->dtype == HB_I16;
	if (!is(a, NUMBERS) || (out->dtype != a->dtype && !finer))
		return "sample's types are none of its own";
	if (!in_range(mode, 0, 7))
		return "sample has a mode outside 0..7";
	if (mode > 2 && mode % 2 && !is(a, NARROW))
		return "sample between elements at places takes 16 bits at most";
	if (mode > 1 && (a->ext[0] > 32767 || a->ext[1] > 32767))
		return "sample has places in 32767 rows and columns at most";
	for (int k = 2; k < 4; k++) {
		const hb_view *t = &i->v[k];
		if (!is(t, HB_BIT(HB_I32)) || t->rank != 2 || t->base % 4)
			return "sample's tables are not int32 of rank 2";
		if (mode > 1 && (t->ext[0] != out->ext[0] || t->ext[1] != out->ext[1] || t->stride[0] % 4 || t->stride[1] % 4))
			return "sample's places are not one int32 an element";
		if (mode < 2 && (t->ext[0] != out->ext[k - 2] || t->ext[1] != 2 || !dense(t)))
			return "sample's tables are not two int32 a row and a column";
	}
	return i->imm[HB_IMM_sample_qmin] <= i->imm[HB_IMM_sample_qmax] ?
		NULL : "sample's least value is above its largest";
}

static const char *
check_rows(const hb_insn *i)
{
	const hb_view *out = &i->v[0], *a = &i->v[1];
	const int32_t *m = i->imm;
	bool norm = m[HB_IMM_rows_fn] == HB_FN_norm || m[HB_IMM_rows_fn] == HB_FN_rms;
	if (m[HB_IMM_rows_fn] != HB_FN_softmax && !norm)
		return "rows has a function of another instruction";
	if (!same_extents(out, a))
		return "rows' extents differ";
	if (!is(a, NARROW) || !is(out, NARROW))
		return "rows' types are none of its own";
	for (int k = 2; k < i->nv; k++)
		if (i->v[k].rank != 1 || !dense(&i->v[k]) || i->v[k].base % hb_dtype_size(i->v[k].dtype))
			return "rows' table is no row";
	uint32_t n = a->ext[a->rank - 1];
	if (norm && (i->nv != 4 || n > 65536 || m[HB_IMM_rows_value] < 0 || m[HB_IMM_rows_value] > 30))
		return "a norm takes two tables, rows of 65536 elements at most and 0 to 30 fraction bits";
	for (int k = 2; k < i->nv && norm; k++)
		if (i->v[k].dtype != HB_I32 || i->v[k].ext[0] != n)
			return "a norm's table is not one int32 an element";
	return m[HB_IMM_rows_qmin] <= m[HB_IMM_rows_qmax] ? NULL : "rows' least value is above its largest";
}

static const char *
check_sort(const hb_insn *i)
{
	const hb_view *out = &i->v[0], *index = &i->v[1], *a = &i->v[2];
	if (out->rank != a->rank || !same_extents(out, index))
		return "sort's extents differ";
	for (int d = 0; d + 1 < a->rank; d++)
		if (out->ext[d] != a->ext[d])
			return "sort's extents differ";
	uint32_t k = out->ext[a->rank - 1];
	if (k > INT32_MAX || i->imm[HB_IMM_sort_k] != (int32_t)k || k > a->ext[a->rank - 1])
		return "sort yields more than there is, or another number than k";
	if (!is(a, NUMBERS) || out->dtype != a->dtype || !is(index, HB_BIT(HB_I32)))
		return "sort's types are none of its own";
	return in_range(i->imm[HB_IMM_sort_largest], 0, 1) ? NULL : "sort's direction is neither 0 nor 1";
}

static const char *(*const checks[HB_NOPCODES])(const hb_insn *i) = {
#define HB_INSN(name, engines, operands, noptional, imms) [HB_I_##name] = check_##name,
#include "lib/isa/insn.def"
#undef HB_INSN
};

/* Which spaces an engine's operands may lie in: LOAD brings DDR to its core's SRAM, STORE
 * takes it back, MAC and VEC stay inside. An index may lie on either side. */
static const char *
check_spaces(const hb_insn *i)
{
	hb_space sram = i->engine >= HB_L1 ? HB_S1 : HB_S0;
	int kind = i->engine % 4;
	for (int k = 0; k < i->nv; k++) {
		hb_space s = i->v[k].space;
		bool writes = hb_insn_writes(i, k);
		if (kind == HB_ST0 ? writes : kind == HB_L0 && !writes) {
			if (s == sram ? k < 2 : s == HB_S0 || s == HB_S1)
				return "a DMA's outer side is no DDR space";
			if (writes && (s == HB_IN || s == HB_PAR))
				return "a STORE writes to a space that is read only";
			if (!hb_view_nested(&i->v[k]))
				return "a DMA's view of DDR folds back over itself";
		} else if (s != sram && !(kind == HB_ST0 && k == 2)) {
			return "an operand is not in its core's SRAM";
		}
	}
	return NULL;
}

const char *
hb_insn_check(const hb_insn *i)
{
	const hb_insn_row *row = hb_insn_row_of(i->op);
	if (!row)
		return "no such instruction";
	if ((unsigned)i->engine >= HB_NENGINES || !strchr(row->engines, "LSMV"[i->engine % 4]))
		return "the engine does not take this instruction";
	if (i->nv > row->noperands || i->nv < row->noperands - row->noptional)
		return "wrong number of operands";
	for (int k = 0; k < i->nv; k++) {
		const char *why = hb_view_check(&i->v[k]);
		if (why)
			return why;
		if (i->v[k].dtype == HB_F32 && i->op != HB_I_copy && i->op != HB_I_fill)
			return "only copy and fill take float32";
		if (hb_insn_writes(i, k) && !hb_view_once(&i->v[k]))
			return "an output names a byte twice";
	}
	const char *why = check_spaces(i);
	if (!why)
		why = checks[i->op](i);
	if (why)
		return why;
	bool in_place = i->op == HB_I_ew || i->op == HB_I_lut || (i->op == HB_I_copy && i->nv == 2);
	for (int o = 0; o < i->nv; o++) {
		for (int k = 0; k < i->nv && hb_insn_writes(i, o); k++) {
			if (k == o || hb_view_apart(&i->v[o], &i->v[k]))
				continue;
			if (!in_place || !hb_view_same(&i->v[o], &i->v[k]))
				return "an output overlaps another operand";
		}
	}
	return NULL;
}
