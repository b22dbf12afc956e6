/* to_fx_ew.c: element-wise operators and PRelu into Ew and Lut. */
#include "ops/to_fx.h"

#include <math.h>

/* The integers of all inputs; NULL: reported. */
static hb_tensor **
operands(hb_convert *cv, hb_node *n)
{
	hb_tensor **in = HB_NEW_N(cv->arena, hb_tensor *, n->nin);

	for (int i = 0; in && i < n->nin; i++)
		if (!n->in[i] || !(in[i] = hb_convert_in(cv, n, n->in[i])))
			return NULL;
	return in;
}

static hb_node *
ew_node(hb_convert *cv, const hb_node *n, const char *fn, hb_tensor *out, int nin, hb_tensor *const *in)
{
	hb_node *k = hb_fx_node(cv, n, "Ew", out, nin, in);

	return k && hb_attr_set_s(cv->to, k, "fn", fn) ? k : NULL;
}

/* The clamp of the group's output, where `out` is that. */
static hb_status
ew_done(hb_convert *cv, const hb_node *n, hb_node *k, bool last)
{
	int32_t qmin, qmax;

	if (last) {
		hb_fx_limits(n, &k->out[0]->q, cv->round, &qmin, &qmax);
		if (!hb_fx_set_clamp(cv, k, qmin, qmax))
			return hb_nomem(cv->to->cx, n->name);
	}
	return hb_fx_done(cv, k);
}

/* ---- Add, Sub, Sum ---- */

/* out = gain_a * a + gain_b * b, both by multipliers of at most 30 bits to one shift. */
static hb_status
add_pair(hb_convert *cv, const hb_node *n, hb_tensor *a, double gain_a, hb_tensor *b, double gain_b, hb_tensor *out, bool last)
{
	double ra = gain_a * a->q.scale / out->q.scale, rb = gain_b * b->q.scale / out->q.scale;
	int e, shift;
	hb_node *k = ew_node(cv, n, "add", out, 2, (hb_tensor *[]){ a, b });

	frexp(fmax(fabs(ra), fabs(rb)), &e);
	shift = 30 - e;
	if (!k)
		return HB_ERR_NOMEM;
	if (shift < 1)
		return HB_FX_REFUSE(cv, n, "the operands' scales %g and %g are too large for the output's %g", a->q.scale, b->q.scale, out->q.scale);
	shift = HB_MIN(shift, 62);
	if (!hb_attr_set_i(cv->to, k, "ma", (int64_t)rint(ldexp(ra, shift))) ||
	    !hb_attr_set_i(cv->to, k, "mb", (int64_t)rint(ldexp(rb, shift))) || !hb_attr_set_i(cv->to, k, "shift", shift))
		return hb_nomem(cv->to->cx, n->name);
	return ew_done(cv, n, k, last);
}

static hb_status
add_or_sub(hb_convert *cv, hb_node *n, double sign)
{
	hb_tensor **in = operands(cv, n), *out = in ? hb_convert_out(cv, hb_group_out(n)) : NULL;

	return out ? add_pair(cv, n, in[0], 1, in[1], sign, out, true) : HB_ERR_NOMEM;
}

hb_status
hb_to_fx_add(hb_convert *cv, hb_node *n)
{
	return add_or_sub(cv, n, 1);
}

hb_status
hb_to_fx_sub(hb_convert *cv, hb_node *n)
{
	return add_or_sub(cv, n, -1);
}

/* Partial sums are int32, as much finer than the output as their bound allows, so that one rounding counts. */
static hb_status
sum_of(hb_convert *cv, hb_node *n, double gain)
{
	hb_tensor **in = operands(cv, n), *out = in ? hb_convert_out(cv, hb_group_out(n)) : NULL, *acc = in ? in[0] : NULL;
	double bound = 0;
	int fine;
	float scale;

	if (!out)
		return HB_ERR_NOMEM;
	if (n->nin == 1) {
		int32_t qmin, qmax;

		hb_fx_limits(n, &out->q, cv->round, &qmin, &qmax);
		return hb_fx_cast(cv, n, in[0], out, qmin, qmax);
	}
	for (int i = 0; i < n->nin; i++)
		bound += -(double)hb_qmin(in[i]->dtype) * in[i]->q.scale * gain / out->q.scale + 1;
	frexp(bound, &fine);
	fine = HB_MIN(30 - fine, 16);
	scale = (float)ldexp(out->q.scale, -HB_MAX(fine, 0));
	for (int i = 1; i < n->nin; i++) {
		bool last = i == n->nin - 1;
		hb_shape s;
		hb_tensor *to = out;

		if (!last) {
			if (!hb_shape_broadcast(&acc->shape, &in[i]->shape, &s))
				return HB_FX_REFUSE(cv, n, "operands do not broadcast");
			to = hb_fx_temp(cv, n, "partial", HB_I32, scale, &s);
		}
		if (!to)
			return HB_ERR_NOMEM;
		HB_TRY(add_pair(cv, n, acc, i > 1 ? 1 : gain, in[i], gain, to, last));
		acc = to;
	}
	return HB_OK;
}

hb_status
hb_to_fx_sum(hb_convert *cv, hb_node *n)
{
	return sum_of(cv, n, 1);
}

hb_status
hb_to_fx_mean(hb_convert *cv, hb_node *n)
{
	return sum_of(cv, n, 1.0 / n->nin);
}

/* ---- Mul, Div ---- */

static hb_status
mul_into(hb_convert *cv, const hb_node *n, hb_tensor *a, hb_tensor *b, hb_tensor *out, bool last)
{
	hb_node *k = ew_node(cv, n, "mul", out, 2, (hb_tensor *[]){ a, b });

	if (!k)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_set_ratio(cv, n, k, "ma", "ea", (double)a->q.scale * b->q.scale / out->q.scale));
	return ew_done(cv, n, k, last);
}

hb_status
hb_to_fx_mul(hb_convert *cv, hb_node *n)
{
	hb_tensor **in = operands(cv, n), *out = in ? hb_convert_out(cv, hb_group_out(n)) : NULL;

	return out ? mul_into(cv, n, in[0], in[1], out, true) : HB_ERR_NOMEM;
}

hb_status
hb_to_fx_div(hb_convert *cv, hb_node *n)
{
	hb_tensor **in = operands(cv, n), *out = in ? hb_convert_out(cv, hb_group_out(n)) : NULL;
	hb_node *k = out ? ew_node(cv, n, "div", out, 2, in) : NULL;

	if (!k)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_set_ratio(cv, n, k, "ma", "ea", in[0]->q.scale / ((double)in[1]->q.scale * out->q.scale)));
	return ew_done(cv, n, k, true);
}

/* ---- Pow ---- */

const char *
hb_floats_pow(const hb_node *n)
{
	const hb_tensor *e = n->in[1];

	return e->is_const && e->dtype == HB_F32 && hb_tensor_elems(e) == 1 ? NULL : "an exponent that is no constant scalar";
}

static double
power(const void *arg, double x)
{
	return pow(x, *(const float *)arg);
}

hb_status
hb_to_fx_pow(hb_convert *cv, hb_node *n)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *out = x ? hb_convert_out(cv, hb_group_out(n)) : NULL;

	if (hb_floats_pow(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_pow(n));

	const float *e = out ? hb_tensor_data(cv->from, n->in[1]) : NULL;

	return e ? hb_fx_lookup(cv, n, x, out, power, e) : HB_ERR_NOMEM;
}

/* ---- the root of a sum of squares ---- */

#define ROOT_STEP 0x1p-16		/* of the ratio in 0..1, and of the root of 1 and its square */

/* Pieces of 1/512: they err by 2^-21. */
static hb_tensor *
root_table(hb_convert *cv, const hb_node *n)
{
	enum { SEGMENTS = 8, ROW = 68, SHIFT = 7, FRACTION = 8 };
	hb_tensor *t = hb_fx_const(cv, n, "table", HB_I32, 1, (int64_t[]){ SEGMENTS * ROW }, NULL);
	int32_t *row = t ? (int32_t *)(uintptr_t)t->data : NULL;

	for (int k = 0; t && k < SEGMENTS; k++, row += ROW) {
		row[0] = k << (SHIFT + 6);
		row[1] = SHIFT;
		row[2] = FRACTION;
		for (int i = 0; i <= 64; i++) {
			double r = (row[0] + (i << SHIFT)) * ROOT_STEP;

			row[3 + i] = (int32_t)rint(sqrt(1 + r * r) / ROOT_STEP * (1 << FRACTION));
		}
	}
	return t;
}

/* max or min of a and b, which without one is `number`; all at a's scale. */
static hb_tensor *
greater_or_less(hb_convert *cv, const hb_node *n, const char *fn, hb_tensor *a, hb_tensor *b, int32_t number)
{
	hb_tensor *out = hb_fx_temp(cv, n, fn, HB_I32, a->q.scale, &a->shape);
	hb_node *k = ew_node(cv, n, fn, out, b ? 2 : 1, (hb_tensor *[]){ a, b });

	if (!k || (!b && !hb_attr_set_i(cv->to, k, "value", number)) || hb_fx_set_ratio(cv, n, k, "ma", "ea", 1) != HB_OK ||
	    hb_fx_set_ratio(cv, n, k, "mb", "eb", 1) != HB_OK)
		return NULL;
	return hb_fx_done(cv, k) == HB_OK ? out : NULL;
}

/* The root of a*a + b*b: the greater times the root of 1 and the square of the less over it. a, b are not negative. */
static hb_status
root_of_two(hb_convert *cv, const hb_node *n, hb_tensor *a, hb_tensor *b, int32_t number, hb_tensor *out, bool last)
{
	hb_tensor *most = greater_or_less(cv, n, "max", a, b, number), *least = most ? greater_or_less(cv, n, "min", a, b, number) : NULL;
	hb_tensor *ratio = least ? hb_fx_temp(cv, n, "ratio", HB_I32, (float)ROOT_STEP, &a->shape) : NULL, *table, *root;
	hb_node *k = ratio ? ew_node(cv, n, "div", ratio, 2, (hb_tensor *[]){ least, most }) : NULL;

	if (!k)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_set_ratio(cv, n, k, "ma", "ea", 1 / ROOT_STEP));
	HB_TRY(hb_fx_done(cv, k));
	table = root_table(cv, n);
	root = table ? hb_fx_temp(cv, n, "root", HB_I32, (float)ROOT_STEP, &a->shape) : NULL;
	k = hb_fx_node(cv, n, "Lut", root, 2, (hb_tensor *[]){ ratio, table });
	if (!k || !hb_attr_set_i(cv->to, k, "kind", 1))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(cv, k));
	return mul_into(cv, n, most, root, out, last);
}

/* |x| at a finer scale. */
static hb_tensor *
absolute(hb_convert *cv, const hb_node *n, hb_tensor *x, float scale)
{
	hb_tensor *out = hb_fx_temp(cv, n, "absolute", HB_I32, scale, &x->shape);
	hb_node *k = ew_node(cv, n, "abs", out, 1, &x);

	if (!k || hb_fx_set_ratio(cv, n, k, "ma", "ea", (double)x->q.scale / scale) != HB_OK)
		return NULL;
	return hb_fx_done(cv, k) == HB_OK ? out : NULL;
}

enum { SQUARES_MAX = 16 };		/* lib/pass/fuse.c takes fewer */

/* Squares of int16 would want 31 bits: no sum of squares is made. Each square's operand, in turn, joins the root so far,
 * in int32, 8 bits finer than the coarsest of them; what is added as a number is one more where it can be seen. */
hb_status
hb_convert_magnitude(hb_convert *cv, hb_node *root)
{
	const hb_group *g = root->group;
	hb_tensor *x[SQUARES_MAX], *out, *all;
	double number = 0;
	float scale = 0;
	int count = 0;

	for (hb_node *n = root; n != g->last; n = n->next) {
		if (n->group != g)
			continue;
		if (strcmp(n->op_type, "Add")) {
			if (count == SQUARES_MAX || !(x[count] = hb_convert_in(cv, root, n->in[0])))
				return HB_ERR_NOMEM;
			scale = fmaxf(scale, x[count++]->q.scale);
			continue;
		}
		for (int i = 0; i < 2; i++) {
			const float *v = n->in[i]->is_const ? hb_tensor_data(cv->from, n->in[i]) : NULL;

			number += v ? *v : 0;
		}
	}
	if (!(out = hb_convert_out(cv, hb_group_out(root))))
		return HB_ERR_NOMEM;
	number = sqrt(number);
	scale *= 0x1p-8f;
	if (number < out->q.scale / 2)
		number = 0;
	if (!(all = absolute(cv, root, x[0], scale)))
		return HB_ERR_NOMEM;
	for (int i = 1; i < count; i++) {
		bool last = i == count - 1 && number == 0;
		hb_tensor *b = absolute(cv, root, x[i], scale), *to = last ? out : hb_fx_temp(cv, root, "magnitude", HB_I32, scale, &out->shape);

		if (!b || !to)
			return HB_ERR_NOMEM;
		HB_TRY(root_of_two(cv, root, all, b, 0, to, last));
		all = to;
	}
	return number == 0 ? HB_OK : root_of_two(cv, root, all, NULL, (int32_t)fmin(rint(number / scale), INT32_MAX), out, true);
}

/* ---- Max, Min, comparisons, Where, logic ---- */

static hb_status
pairwise(hb_convert *cv, hb_node *n, const char *fn)
{
	hb_tensor **in = operands(cv, n), *out = in ? hb_convert_out(cv, hb_group_out(n)) : NULL, *acc = in ? in[0] : NULL;

	if (!out)
		return HB_ERR_NOMEM;
	if (n->nin == 1)
		return hb_fx_cast(cv, n, in[0], out, hb_qmin(out->dtype), hb_qmax(out->dtype));
	for (int i = 1; i < n->nin; i++) {
		hb_tensor *to = out;
		hb_node *k;
		hb_shape s;

		if (i < n->nin - 1) {
			if (!hb_shape_broadcast(&acc->shape, &in[i]->shape, &s))
				return HB_FX_REFUSE(cv, n, "operands do not broadcast");
			to = hb_fx_temp(cv, n, "partial", out->dtype, out->q.scale, &s);
		}
		if (!(k = ew_node(cv, n, fn, to, 2, (hb_tensor *[]){ acc, in[i] })))
			return HB_ERR_NOMEM;
		HB_TRY(hb_fx_set_ratio(cv, n, k, "ma", "ea", (double)acc->q.scale / out->q.scale));
		HB_TRY(hb_fx_set_ratio(cv, n, k, "mb", "eb", (double)in[i]->q.scale / out->q.scale));
		HB_TRY(ew_done(cv, n, k, to == out));
		acc = to;
	}
	return HB_OK;
}

hb_status
hb_to_fx_max(hb_convert *cv, hb_node *n)
{
	return pairwise(cv, n, "max");
}

hb_status
hb_to_fx_min(hb_convert *cv, hb_node *n)
{
	return pairwise(cv, n, "min");
}

/* The finer operand comes to the coarser scale. */
static hb_status
compare(hb_convert *cv, hb_node *n, const char *fn, int first)
{
	hb_tensor **in = operands(cv, n), *out = in ? hb_convert_out(cv, hb_group_out(n)) : NULL;
	hb_tensor *a = in ? in[first] : NULL, *b = in ? in[1 - first] : NULL;
	hb_node *k = out ? ew_node(cv, n, fn, out, 2, (hb_tensor *[]){ a, b }) : NULL;
	double coarse;

	if (!k)
		return HB_ERR_NOMEM;
	coarse = fmax(a->q.scale, b->q.scale);
	HB_TRY(hb_fx_set_ratio(cv, n, k, "ma", "ea", a->q.scale / coarse));
	HB_TRY(hb_fx_set_ratio(cv, n, k, "mb", "eb", b->q.scale / coarse));
	return hb_fx_done(cv, k);
}

hb_status
hb_to_fx_less(hb_convert *cv, hb_node *n)
{
	return compare(cv, n, "lt", 0);
}

hb_status
hb_to_fx_less_or_equal(hb_convert *cv, hb_node *n)
{
	return compare(cv, n, "le", 0);
}

hb_status
hb_to_fx_greater(hb_convert *cv, hb_node *n)
{
	return compare(cv, n, "lt", 1);
}

hb_status
hb_to_fx_greater_or_equal(hb_convert *cv, hb_node *n)
{
	return compare(cv, n, "le", 1);
}

hb_status
hb_to_fx_equal(hb_convert *cv, hb_node *n)
{
	return compare(cv, n, "eq", 0);
}

hb_status
hb_to_fx_where(hb_convert *cv, hb_node *n)
{
	hb_tensor **in = operands(cv, n), *out = in ? hb_convert_out(cv, hb_group_out(n)) : NULL;
	hb_node *k = out ? ew_node(cv, n, "select", out, 3, in) : NULL;

	if (!k)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_set_ratio(cv, n, k, "ma", "ea", (double)in[1]->q.scale / out->q.scale));
	HB_TRY(hb_fx_set_ratio(cv, n, k, "mb", "eb", (double)in[2]->q.scale / out->q.scale));
	return ew_done(cv, n, k, true);
}

/* Masks are 0 and 1: and is the product, or the greater one, not the equality with 0. */
static hb_status
logic(hb_convert *cv, hb_node *n, const char *fn)
{
	hb_tensor **in = operands(cv, n), *out = in ? hb_convert_out(cv, hb_group_out(n)) : NULL;
	hb_node *k = out ? ew_node(cv, n, fn, out, n->nin, in) : NULL;

	return k ? hb_fx_done(cv, k) : HB_ERR_NOMEM;
}

hb_status
hb_to_fx_and(hb_convert *cv, hb_node *n)
{
	return logic(cv, n, "mul");
}

hb_status
hb_to_fx_or(hb_convert *cv, hb_node *n)
{
	return logic(cv, n, "max");
}

/* Unequal: the equality with 0 of an equality. */
hb_status
hb_to_fx_xor(hb_convert *cv, hb_node *n)
{
	hb_tensor **in = operands(cv, n), *out = in ? hb_convert_out(cv, hb_group_out(n)) : NULL;
	hb_tensor *equal = out ? hb_fx_temp(cv, n, "equal", HB_BOOL, 1, &out->shape) : NULL;
	hb_node *k = equal ? ew_node(cv, n, "eq", equal, 2, in) : NULL;

	if (!k)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(cv, k));
	k = ew_node(cv, n, "eq", out, 1, &equal);
	return k ? hb_fx_done(cv, k) : HB_ERR_NOMEM;
}

hb_status
hb_to_fx_not(hb_convert *cv, hb_node *n)
{
	return logic(cv, n, "eq");
}

/* ---- Relu, Clip, Abs ---- */

/* Limits at the input's scale; the output may have another (a mask of dtypes, a configured scale). */
hb_status
hb_to_fx_clip(hb_convert *cv, hb_node *n)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *out = x ? hb_convert_out(cv, n->out[0]) : NULL;
	int32_t qmin, qmax;

	if (!out)
		return HB_ERR_NOMEM;
	if (!n->op->lut)
		return HB_FX_REFUSE(cv, n, "its limits are not known");
	qmin = hb_quantize((float)n->op->lut(n, -INFINITY), out->q.scale, out->dtype, cv->round);
	qmax = hb_quantize((float)n->op->lut(n, INFINITY), out->q.scale, out->dtype, cv->round);
	return hb_fx_cast(cv, n, x, out, HB_MIN(qmin, qmax), qmax);
}

hb_status
hb_to_fx_abs(hb_convert *cv, hb_node *n)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *out = x ? hb_convert_out(cv, n->out[0]) : NULL;
	hb_node *k = out ? ew_node(cv, n, "abs", out, 1, &x) : NULL;

	if (!k)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_set_ratio(cv, n, k, "ma", "ea", (double)x->q.scale / out->q.scale));
	return hb_fx_done(cv, k);
}

/* ---- Floor, Ceil of int16: a table would smear their steps ---- */

/* floor(x) = (q * m + offset) >> shift, and so ceil. m holds the scale exactly; the offset, a multiple of `unit`, makes up
 * for q * scale being rounded to float: of a few, the one with which the fewest of all inputs differ. */
static int64_t
floor_offset(double (*f)(double), float scale, int64_t m, int shift, int64_t unit)
{
	int64_t one = (int64_t)1 << shift, best = 0, fewest = INT64_MAX;

	for (int64_t step = 0; step < one && fewest; step = step ? 2 * step : unit) {
		int64_t offset = f == ceil ? one - unit - step : step, differ = 0;

		for (int64_t q = -32768; q <= 32767; q++)
			differ += (q * m + offset) >> shift != (int64_t)f((float)q * scale);
		if (differ < fewest) {
			fewest = differ;
			best = offset;
		}
	}
	return best;
}

static hb_status
whole_number(hb_convert *cv, hb_node *n, double (*f)(double))
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *out, *whole;
	hb_node *k;
	int e;

	if (!x)
		return HB_ERR_NOMEM;
	frexp(x->q.scale, &e);
	int shift = HB_MIN(30 - e, 46);
	if (x->dtype != HB_I16 || shift < 1)
		return hb_convert_lut(cv, n);
	/* mb * unit takes off the half that the addition rounds with, too */
	int64_t m = (int64_t)rint(ldexp(x->q.scale, shift)), unit = (int64_t)1 << HB_MAX(shift - 30, 0);
	int64_t offset = floor_offset(f, x->q.scale, m, shift, unit) - ((int64_t)1 << (shift - 1));
	out = hb_convert_out(cv, n->out[0]);
	whole = out ? hb_fx_temp(cv, n, "whole", HB_I32, 1, &x->shape) : NULL;
	k = whole ? ew_node(cv, n, "add", whole, 1, &x) : NULL;
	if (!k || !hb_attr_set_i(cv->to, k, "ma", m) || !hb_attr_set_i(cv->to, k, "mb", offset / unit) || !hb_attr_set_i(cv->to, k, "shift", shift) ||
	    !hb_attr_set_i(cv->to, k, "value", unit))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(cv, k));
	return hb_fx_cast(cv, n, whole, out, hb_qmin(out->dtype), hb_qmax(out->dtype));
}

hb_status
hb_to_fx_floor(hb_convert *cv, hb_node *n)
{
	return whole_number(cv, n, floor);
}

hb_status
hb_to_fx_ceil(hb_convert *cv, hb_node *n)
{
	return whole_number(cv, n, ceil);
}

/* ---- PRelu ---- */

static double
leaky(const void *arg, double x)
{
	return x < 0 ? x * *(const float *)arg : x;
}

/* One slope: a lookup. A slope a channel: x < 0 ? x * slope : x, the slope with 24 bits. */
hb_status
hb_to_fx_prelu(hb_convert *cv, hb_node *n)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *out = x ? hb_convert_out(cv, hb_group_out(n)) : NULL, *t = n->in[1];
	hb_tensor *slope, *negative, *neg, *pos, *three[3];
	const float *v;
	float top = 0;
	int64_t elems = hb_tensor_elems(t);
	hb_node *k;

	if (!out)
		return HB_ERR_NOMEM;
	if (!t->is_const || t->dtype != HB_F32 || !elems)
		return HB_FX_REFUSE(cv, n, "slope '%s' is no constant", t->name);
	if (!(v = hb_tensor_data(cv->from, t)))
		return HB_ERR_NOMEM;
	if (elems == 1)
		return hb_fx_lookup(cv, n, x, out, leaky, v);
	for (int64_t i = 0; i < elems; i++)
		top = fmaxf(top, fabsf(v[i]));
	slope = hb_fx_const(cv, n, "slope", HB_I32, t->shape.rank, t->shape.dim, NULL);
	negative = hb_fx_temp(cv, n, "negative", HB_BOOL, 1, &x->shape);
	neg = hb_fx_temp(cv, n, "scaled", out->dtype, out->q.scale, &x->shape);
	pos = hb_fx_temp(cv, n, "kept", out->dtype, out->q.scale, &x->shape);
	if (!slope || !negative || !neg || !pos)
		return HB_ERR_NOMEM;
	slope->q = (hb_q){ .dtype = HB_I32, .nscales = 1, .scale = fmaxf(top, 1e-30f) * 0x1p-24f, .observer = "minmax" };
	hb_quantize_n(cv->from->cx, v, slope->q.scale, HB_I32, cv->round, (void *)(uintptr_t)slope->data, elems);
	if (!(k = ew_node(cv, n, "lt", negative, 1, &x)))	/* than the number 0 */
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(cv, k));
	HB_TRY(mul_into(cv, n, x, slope, neg, false));
	HB_TRY(hb_fx_cast(cv, n, x, pos, hb_qmin(pos->dtype), hb_qmax(pos->dtype)));
	three[0] = negative;
	three[1] = neg;
	three[2] = pos;
	k = ew_node(cv, n, "select", out, 3, three);
	return k ? hb_fx_done(cv, k) : HB_ERR_NOMEM;
}
