/* to_fx_norm.c: Softmax and the norms of whole rows into Rows. */
#include "ops/to_fx.h"

#include <math.h>

static hb_tensor *
reshaped(hb_convert *cv, const hb_node *n, hb_tensor *x, hb_tensor *to)
{
	return hb_fx_reshape(cv, n, x, to) == HB_OK ? to : NULL;
}

/* Is the last dimension all there is from `axis` on? */
static bool
is_row(const hb_shape *s, int64_t axis)
{
	return hb_shape_span(s, (int)axis + 1, s->rank) == 1;
}

/* x as a matrix whose rows are the dimensions from `axis` on; *y: what becomes `out` when reshaped. NULL: reported. */
static hb_tensor *
rows_of(hb_convert *cv, const hb_node *n, hb_tensor *x, int64_t axis, const hb_tensor *out, hb_tensor **y)
{
	hb_shape s = { .rank = 2, .dim = { hb_shape_span(&x->shape, 0, (int)axis), hb_shape_span(&x->shape, (int)axis, x->shape.rank) } };
	hb_tensor *in = hb_fx_temp(cv, n, "flat", x->dtype, x->q.scale, &s);

	*y = hb_fx_temp(cv, n, "rows", out->dtype, out->q.scale, &s);
	return in && *y ? reshaped(cv, n, x, in) : NULL;
}

/* Before operator set 13 the dimensions from `axis` on are one. */
hb_status
hb_to_fx_softmax(hb_convert *cv, hb_node *n)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *out = x ? hb_convert_out(cv, n->out[0]) : NULL, *y = out;
	bool flat = n->version < 13;
	int64_t axis = hb_attr_i(n, "axis", flat ? 1 : -1);
	hb_node *k;

	if (!out)
		return HB_ERR_NOMEM;
	axis += axis < 0 ? x->shape.rank : 0;
	flat = flat && !is_row(&x->shape, axis);
	if (flat) {
		if (!(x = rows_of(cv, n, x, axis, out, &y)))
			return HB_ERR_NOMEM;
		axis = 1;
	}
	k = hb_fx_node(cv, n, "Rows", y, 1, &x);
	if (!k || !hb_attr_set_s(cv->to, k, "fn", "softmax") || !hb_attr_set_i(cv->to, k, "axis", axis))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_set_ratio(cv, n, k, "m", "e", x->q.scale * 1.4426950408889634 * 65536));
	HB_TRY(hb_fx_set_ratio(cv, n, k, "m2", "e2", 1 / (double)out->q.scale));
	HB_TRY(hb_fx_done(cv, k));
	return !flat || reshaped(cv, n, y, out) ? HB_OK : HB_ERR_NOMEM;
}

/* ---- LayerNormalization, RMSNormalization ---- */

static bool
is_known(const hb_tensor *t)
{
	return !t || (t->is_const && t->dtype == HB_F32);
}

const char *
hb_floats_layer_norm(const hb_node *n)
{
	const hb_shape *s = &n->in[0]->shape;
	int64_t axis = hb_attr_i(n, "axis", -1);

	if (hb_out(n, 1) || hb_out(n, 2))
		return "its mean or deviation as an output";
	if (!is_known(n->in[1]) || !is_known(hb_in(n, 2)))
		return "a scale or bias that is no constant";
	if (hb_shape_span(s, (int)(axis < 0 ? axis + s->rank : axis), s->rank) > 65536)
		return "more than 65536 elements in a row";
	return NULL;
}

/* The constant operand over the normalised dimensions, in double; `dflt` where it is absent. */
static double *
spread(hb_convert *cv, hb_tensor *t, const hb_shape *part, double dflt)
{
	int64_t len = hb_shape_elems(part);
	double *v = HB_NEW_N(cv->arena, double, len);
	const float *from = t ? hb_tensor_data(cv->from, t) : NULL;

	if (!v || (t && !from))
		return NULL;
	for (int64_t i = 0; i < len; i++) {
		int64_t at = 0, step = 1, rest = i;

		for (int d = part->rank - 1, k = t ? t->shape.rank - 1 : -1; d >= 0; d--, k--) {
			int64_t c = rest % part->dim[d];

			rest /= part->dim[d];
			if (k < 0)
				continue;
			at += t->shape.dim[k] == 1 ? 0 : c * step;
			step *= t->shape.dim[k];
		}
		v[i] = t ? from[at] : dflt;
	}
	return v;
}

static double
greatest(const double *v, int64_t n)
{
	double top = 0;

	for (int64_t i = 0; i < n; i++)
		top = fmax(top, fabs(v[i]));
	return top;
}

/* v / scale with `bits` fraction bits. */
static hb_tensor *
norm_table(hb_convert *cv, const hb_node *n, const char *what, const double *v, int64_t len, double scale, int bits)
{
	hb_tensor *t = hb_fx_const(cv, n, what, HB_I32, 1, &len, NULL);

	for (int64_t i = 0; t && i < len; i++)
		((int32_t *)(uintptr_t)t->data)[i] = (int32_t)rint(ldexp(v[i] / scale, bits));
	return t;
}

static hb_status
norm(hb_convert *cv, hb_node *n, const char *fn)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *out = x ? hb_convert_out(cv, n->out[0]) : NULL, *y = out, *gain, *offset;
	int64_t axis = hb_attr_i(n, "axis", -1), len;
	hb_shape part = { .rank = 0 };
	double eps = hb_attr_f(n, "epsilon", 1e-5f), *g, *b, top;
	int e;
	hb_node *k;

	if (hb_floats_layer_norm(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_layer_norm(n));
	if (!out)
		return HB_ERR_NOMEM;
	axis += axis < 0 ? x->shape.rank : 0;
	for (int d = (int)axis; d < x->shape.rank; d++)
		part.dim[part.rank++] = x->shape.dim[d];
	len = hb_shape_elems(&part);
	g = spread(cv, n->in[1], &part, 1);
	b = spread(cv, hb_in(n, 2), &part, 0);
	if (!g || !b)
		return hb_nomem(cv->from->cx, n->name);
	top = fmax(greatest(g, len), greatest(b, len)) / out->q.scale;
	frexp(top, &e);
	if (!(top < 0x1p29))
		return HB_FX_REFUSE(cv, n, "its scale or bias is %g of the output's step; at most 2^29 can be", top);
	int bits = HB_MIN(30 - e, 30);
	bool flat = !is_row(&x->shape, axis) || axis != x->shape.rank - 1;
	if (flat && !(x = rows_of(cv, n, x, axis, out, &y)))
		return HB_ERR_NOMEM;
	gain = norm_table(cv, n, "gain", g, len, out->q.scale, bits);
	offset = gain ? norm_table(cv, n, "offset", b, len, out->q.scale, bits) : NULL;
	k = offset ? hb_fx_node(cv, n, "Rows", y, 3, (hb_tensor *[]){ x, gain, offset }) : NULL;
	if (!k || !hb_attr_set_s(cv->to, k, "fn", fn) || !hb_attr_set_i(cv->to, k, "axis", x->shape.rank - 1) || !hb_attr_set_i(cv->to, k, "value", bits))
		return HB_ERR_NOMEM;
	if (eps > 0)
		HB_TRY(hb_fx_set_ratio(cv, n, k, "m", "e", sqrt(eps) / x->q.scale));
	else if (!hb_attr_set_i(cv->to, k, "m", 0))
		return hb_nomem(cv->from->cx, n->name);
	HB_TRY(hb_fx_done(cv, k));
	return !flat || reshaped(cv, n, y, out) ? HB_OK : HB_ERR_NOMEM;
}

hb_status
hb_to_fx_layer_norm(hb_convert *cv, hb_node *n)
{
	return norm(cv, n, "norm");
}

hb_status
hb_to_fx_rms_norm(hb_convert *cv, hb_node *n)
{
	return norm(cv, n, "rms");
}
