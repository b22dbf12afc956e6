/* to_fx_order.c: TopK, Gather and GatherElements into TopK and Take. */
#include "ops/to_fx.h"

/* ---- TopK ---- */

static hb_status
top_k(hb_convert *cv, const hb_node *n, hb_tensor *x, hb_tensor *out, bool places)
{
	hb_node *k = hb_fx_node(cv, n, "TopK", out, 1, &x);
	int64_t axis = hb_attr_i(n, "axis", -1);

	axis += axis < 0 ? x->shape.rank : 0;
	if (!k || !hb_attr_set_i(cv->to, k, "axis", axis) || !hb_attr_set_i(cv->to, k, "k", out->shape.dim[axis]) ||
	    !hb_attr_set_i(cv->to, k, "largest", hb_attr_i(n, "largest", 1) != 0) || (places && !hb_attr_set_i(cv->to, k, "places", 1)))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, k);
}

hb_status
hb_to_fx_top_k(hb_convert *cv, hb_node *n)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *values = hb_out(n, 0), *places = hb_out(n, 1);

	if (!x)
		return HB_ERR_NOMEM;
	if (values) {
		hb_tensor *y = hb_fx_moved(cv, n, values, &x->q);

		if (!y)
			return HB_ERR_NOMEM;
		HB_TRY(top_k(cv, n, x, y, false));
		HB_TRY(hb_fx_settle(cv, n, y, values));
	}
	if (places) {
		hb_tensor *y = hb_convert_out(cv, places);

		return y ? top_k(cv, n, x, y, true) : HB_ERR_NOMEM;
	}
	return HB_OK;
}

/* ---- Gather, GatherElements, of constant indices ---- */

enum { INDICES_MAX = 1 << 20 };

const char *
hb_floats_gather(const hb_node *n)
{
	const hb_tensor *t = n->in[1];
	int64_t count = hb_tensor_elems(t);

	if (!t->is_const || (t->dtype != HB_I64 && t->dtype != HB_I32))
		return "indices that are no constant";
	return count < 1 || count > INDICES_MAX ? "other than 1 to 2^20 indices" : NULL;
}

/* The indices, counted from the axis' start. NULL: reported. */
static int32_t *
indices(hb_convert *cv, const hb_node *n, int64_t extent, int64_t *count)
{
	hb_tensor *t = n->in[1];
	const void *data = hb_tensor_data(cv->from, t);
	int32_t *v;

	*count = hb_tensor_elems(t);
	v = data ? HB_NEW_N(cv->arena, int32_t, *count) : NULL;
	for (int64_t i = 0; v && i < *count; i++) {
		int64_t at = t->dtype == HB_I64 ? ((const int64_t *)data)[i] : ((const int32_t *)data)[i];

		v[i] = (int32_t)(at + (at < 0 ? extent : 0));
	}
	if (!v)
		hb_nomem(cv->from->cx, n->name);
	return v;
}

static hb_status
take(hb_convert *cv, const hb_node *n, hb_tensor *x, int axis, const int32_t *index, int64_t count, hb_tensor *to)
{
	hb_tensor *at = hb_fx_const(cv, n, "index", HB_I32, 1, &count, index);
	hb_node *k = at ? hb_fx_node(cv, n, "Take", to, 2, (hb_tensor *[]){ x, at }) : NULL;

	return k && hb_attr_set_i(cv->to, k, "axis", axis) ? hb_fx_done(cv, k) : HB_ERR_NOMEM;
}

/* Indices that step evenly are a slice. */
static hb_status
slice(hb_convert *cv, const hb_node *n, hb_tensor *x, int axis, int64_t first, int64_t step, hb_tensor *to)
{
	int64_t starts[HB_MAX_RANK] = { 0 }, steps[HB_MAX_RANK];
	size_t rank = (size_t)x->shape.rank;
	hb_node *k = hb_fx_node(cv, n, "Slice", to, 1, &x);

	for (size_t d = 0; d < rank; d++)
		steps[d] = 1;
	starts[axis] = first;
	steps[axis] = step;
	if (!k || !hb_attr_set_ints(cv->to, k, "starts", starts, rank) || !hb_attr_set_ints(cv->to, k, "steps", steps, rank) ||
	    !hb_attr_set_ints(cv->to, k, "extents", to->shape.dim, rank))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, k);
}

static bool
evenly(const int32_t *v, int64_t count)
{
	for (int64_t i = 2; i < count; i++)
		if (v[i] - v[i - 1] != v[1] - v[0])
			return false;
	return count < 2 || v[1] > v[0];
}

hb_status
hb_to_fx_gather(hb_convert *cv, hb_node *n)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *y = x ? hb_fx_moved(cv, n, n->out[0], &x->q) : NULL, *flat;
	int64_t axis = hb_attr_i(n, "axis", 0), count;
	int32_t *index;
	hb_shape s;

	if (hb_floats_gather(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_gather(n));
	if (!y)
		return HB_ERR_NOMEM;
	axis += axis < 0 ? x->shape.rank : 0;
	if (!(index = indices(cv, n, x->shape.dim[axis], &count)))
		return HB_ERR_NOMEM;
	s = x->shape;
	s.dim[axis] = count;
	flat = hb_shape_eq(&s, &y->shape) ? y : hb_fx_temp(cv, n, "gathered", x->dtype, x->q.scale, &s);
	if (!flat)
		return HB_ERR_NOMEM;
	if (evenly(index, count))
		HB_TRY(slice(cv, n, x, (int)axis, index[0], count > 1 ? index[1] - index[0] : 1, flat));
	else
		HB_TRY(take(cv, n, x, (int)axis, index, count, flat));
	if (flat != y)
		HB_TRY(hb_fx_reshape(cv, n, flat, y));
	return hb_fx_settle(cv, n, y, n->out[0]);
}

/* Of the whole tensor in one row: each element by its place there. */
hb_status
hb_to_fx_gather_elements(hb_convert *cv, hb_node *n)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *y = x ? hb_fx_moved(cv, n, n->out[0], &x->q) : NULL, *row, *taken;
	const hb_shape *is = &n->in[1]->shape;
	int64_t axis = hb_attr_i(n, "axis", 0), count;
	int32_t *index;

	if (hb_floats_gather(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_gather(n));
	if (!y)
		return HB_ERR_NOMEM;
	axis += axis < 0 ? x->shape.rank : 0;
	if (!(index = indices(cv, n, x->shape.dim[axis], &count)))
		return HB_ERR_NOMEM;
	for (int64_t i = 0; i < count; i++) {
		int64_t at = 0, rest = i, step = 1;

		for (int d = is->rank - 1; d >= 0; d--) {
			at += (d == axis ? index[i] : rest % is->dim[d]) * step;
			rest /= is->dim[d];
			step *= x->shape.dim[d];
		}
		index[i] = (int32_t)at;		/* a fixed-point tensor has less than 2^31 bytes */
	}
	row = hb_fx_temp(cv, n, "row", x->dtype, x->q.scale, &(hb_shape){ .rank = 1, .dim = { hb_tensor_elems(x) } });
	taken = hb_fx_temp(cv, n, "gathered", x->dtype, x->q.scale, &(hb_shape){ .rank = 1, .dim = { count } });
	if (!row || !taken)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_reshape(cv, n, x, row));
	HB_TRY(take(cv, n, row, 0, index, count, taken));
	HB_TRY(hb_fx_reshape(cv, n, taken, y));
	return hb_fx_settle(cv, n, y, n->out[0]);
}
