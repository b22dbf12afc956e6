/* to_fx_move.c: operators that move elements; integers and scales stay. */
#include "ops/to_fx.h"

/* ---- small builders: a node of one input, into `to` ---- */

static hb_status
transpose_into(hb_convert *cv, const hb_node *n, hb_tensor *x, const int64_t *perm, hb_tensor *to)
{
	hb_node *k = hb_fx_node(cv, n, "Transpose", to, 1, &x);

	if (!k || !hb_attr_set_ints(cv->to, k, "perm", perm, (size_t)x->shape.rank))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, k);
}

static hb_status
expand_into(hb_convert *cv, const hb_node *n, hb_tensor *x, hb_tensor *to)
{
	hb_node *k = hb_fx_node(cv, n, "Expand", to, 1, &x);

	if (!k || !hb_attr_set_ints(cv->to, k, "shape", to->shape.dim, (size_t)to->shape.rank))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, k);
}

/* steps NULL: all 1. */
static hb_status
slice_into(hb_convert *cv, const hb_node *n, hb_tensor *x, const int64_t *starts, const int64_t *steps, hb_tensor *to)
{
	hb_node *k = hb_fx_node(cv, n, "Slice", to, 1, &x);
	size_t rank = (size_t)x->shape.rank;

	if (!k || !hb_attr_set_ints(cv->to, k, "starts", starts, rank) || (steps && !hb_attr_set_ints(cv->to, k, "steps", steps, rank)) ||
	    !hb_attr_set_ints(cv->to, k, "extents", to->shape.dim, rank))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, k);
}

static hb_tensor *
temp_like(hb_convert *cv, const hb_node *n, const char *what, const hb_tensor *x, const hb_shape *s)
{
	return hb_fx_temp(cv, n, what, x->dtype, x->q.scale, s);
}

/* x and what its move goes into; false: reported. */
static bool
begin(hb_convert *cv, hb_node *n, hb_tensor **x, hb_tensor **y)
{
	*x = hb_convert_in(cv, n, n->in[0]);
	*y = *x ? hb_fx_moved(cv, n, n->out[0], &(*x)->q) : NULL;
	return *y;
}

/* ---- operators ---- */

hb_status
hb_to_fx_reshape(hb_convert *cv, hb_node *n)
{
	hb_tensor *x, *y;

	if (!begin(cv, n, &x, &y))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_reshape(cv, n, x, y));
	return hb_fx_settle(cv, n, y, n->out[0]);
}

hb_status
hb_to_fx_transpose(hb_convert *cv, hb_node *n)
{
	hb_tensor *x, *y;
	int64_t perm[HB_MAX_RANK];
	size_t count;
	const int64_t *given = hb_attr_ints(n, "perm", &count);

	if (!begin(cv, n, &x, &y))
		return HB_ERR_NOMEM;
	for (int i = 0; i < x->shape.rank; i++)
		perm[i] = given ? given[i] : x->shape.rank - 1 - i;
	HB_TRY(transpose_into(cv, n, x, perm, y));
	return hb_fx_settle(cv, n, y, n->out[0]);
}

/* Operands of other scales are requantized first. */
hb_status
hb_to_fx_concat(hb_convert *cv, hb_node *n)
{
	hb_tensor *y = hb_convert_out(cv, n->out[0]), **in = HB_NEW_N(cv->arena, hb_tensor *, n->nin);
	int64_t axis = hb_attr_i(n, "axis", 1);
	hb_node *k;

	if (!y || !in)
		return HB_ERR_NOMEM;
	for (int i = 0; i < n->nin; i++) {
		if (!(in[i] = hb_convert_in(cv, n, n->in[i])))
			return HB_ERR_NOMEM;
		if (in[i]->dtype != y->dtype || in[i]->q.scale != y->q.scale) {
			hb_tensor *t = hb_fx_temp(cv, n, "operand", y->dtype, y->q.scale, &in[i]->shape);

			if (!t)
				return HB_ERR_NOMEM;
			HB_TRY(hb_fx_cast(cv, n, in[i], t, hb_qmin(t->dtype), hb_qmax(t->dtype)));
			in[i] = t;
		}
	}
	k = hb_fx_node(cv, n, "Concat", y, n->nin, in);
	if (!k || !hb_attr_set_i(cv->to, k, "axis", axis < 0 ? axis + y->shape.rank : axis))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, k);
}

/* Split's aux: where each part begins. */
hb_status
hb_to_fx_split(hb_convert *cv, hb_node *n)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]);
	const int64_t *first = n->aux;
	int64_t axis = hb_attr_i(n, "axis", 0), starts[HB_MAX_RANK] = { 0 };

	if (!x)
		return HB_ERR_NOMEM;
	axis += axis < 0 ? x->shape.rank : 0;
	for (int i = 0; i < n->nout; i++) {
		hb_tensor *t = n->out[i], *y;

		if (!t)
			continue;
		if (!(y = hb_fx_moved(cv, n, t, &x->q)))
			return HB_ERR_NOMEM;
		starts[axis] = first[i];
		HB_TRY(slice_into(cv, n, x, starts, NULL, y));
		HB_TRY(hb_fx_settle(cv, n, y, t));
	}
	return HB_OK;
}

hb_status
hb_to_fx_slice(hb_convert *cv, hb_node *n)
{
	hb_tensor *x, *y;
	size_t count, naxes, nsteps = 0;
	bool lists = n->version >= 10;
	const int64_t *from = hb_fx_list(cv, n, lists ? 1 : -1, "starts", &count), *axes = hb_fx_list(cv, n, lists ? 3 : -1, "axes", &naxes);
	const int64_t *step = lists ? hb_fx_list(cv, n, 4, "steps", &nsteps) : NULL;
	int64_t starts[HB_MAX_RANK] = { 0 }, steps[HB_MAX_RANK];

	if (!begin(cv, n, &x, &y))
		return HB_ERR_NOMEM;
	for (int i = 0; i < x->shape.rank; i++)
		steps[i] = 1;
	for (size_t i = 0; from && i < count; i++) {
		int64_t a = axes ? axes[i] : (int64_t)i, dim;

		a += a < 0 ? x->shape.rank : 0;
		dim = x->shape.dim[a];
		starts[a] = HB_MIN(HB_MAX(from[i] + (from[i] < 0 ? dim : 0), 0), dim - 1);
		if (y->shape.dim[a] > 1)
			steps[a] = step ? step[i] : 1;
		if (steps[a] < 1)
			return HB_FX_REFUSE(cv, n, "a slice backwards (step %lld) has no fixed-point form", (long long)steps[a]);
	}
	HB_TRY(slice_into(cv, n, x, starts, steps, y));
	return hb_fx_settle(cv, n, y, n->out[0]);
}

/* What is cut away by negative pads is sliced off first. */
hb_status
hb_to_fx_pad(hb_convert *cv, hb_node *n)
{
	hb_tensor *x, *y, *value = hb_in(n, 2);
	bool lists = n->version >= 11;
	size_t count, naxes;
	const int64_t *pads = hb_fx_list(cv, n, lists ? 1 : -1, n->version < 2 ? "paddings" : "pads", &count);
	const int64_t *axes = lists ? hb_fx_list(cv, n, 3, "", &naxes) : NULL;
	int64_t all[2 * HB_MAX_RANK] = { 0 }, starts[HB_MAX_RANK] = { 0 };
	const float *v = value && value->is_const && value->dtype == HB_F32 ? hb_tensor_data(cv->from, value) : NULL;
	float fill = v ? *v : hb_attr_f(n, "value", 0);
	bool cut = false;
	hb_node *k;

	if (!begin(cv, n, &x, &y))
		return HB_ERR_NOMEM;
	if (!pads || (value && !v))
		return HB_FX_REFUSE(cv, n, "its pads or its value are no constants");
	int rank = x->shape.rank;
	hb_shape s = x->shape;
	for (size_t i = 0; i < count / 2; i++) {
		int64_t a = axes ? axes[i] : (int64_t)i;

		a += a < 0 ? rank : 0;
		all[a] = pads[i];
		all[rank + a] = pads[count / 2 + i];
	}
	for (int d = 0; d < rank; d++)
		for (int e = 0; e < 2; e++)
			if (all[e * rank + d] < 0) {
				cut = true;
				starts[d] -= e ? 0 : all[d];
				s.dim[d] += all[e * rank + d];
				all[e * rank + d] = 0;
			}
	if (cut) {
		hb_tensor *t = temp_like(cv, n, "cut", x, &s);

		if (!t)
			return HB_ERR_NOMEM;
		HB_TRY(slice_into(cv, n, x, starts, NULL, t));
		x = t;
	}
	k = hb_fx_node(cv, n, "Pad", y, 1, &x);
	if (!k || !hb_attr_set_ints(cv->to, k, "pads", all, (size_t)(2 * rank)) || !hb_attr_set_s(cv->to, k, "mode", hb_attr_s(n, "mode", "constant")) ||
	    !hb_attr_set_i(cv->to, k, "value", hb_quantize(fill, x->q.scale, x->dtype, cv->round)))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(cv, k));
	return hb_fx_settle(cv, n, y, n->out[0]);
}

hb_status
hb_to_fx_expand(hb_convert *cv, hb_node *n)
{
	hb_tensor *x, *y;

	if (!begin(cv, n, &x, &y))
		return HB_ERR_NOMEM;
	HB_TRY(expand_into(cv, n, x, y));
	return hb_fx_settle(cv, n, y, n->out[0]);
}

/* [d0, d1] -> [1, d0, 1, d1] -> [r0, d0, r1, d1] -> [r0*d0, r1*d1]; dimensions that do not repeat need no partner. */
hb_status
hb_to_fx_tile(hb_convert *cv, hb_node *n)
{
	hb_tensor *x, *y, *split, *wide;
	hb_shape from = { .rank = 0 }, to = { .rank = 0 };

	if (!begin(cv, n, &x, &y))
		return HB_ERR_NOMEM;
	for (int d = 0; d < x->shape.rank; d++) {
		int64_t times = y->shape.dim[d] / x->shape.dim[d];

		if (to.rank + 2 > HB_MAX_RANK)
			return HB_FX_REFUSE(cv, n, "too many dimensions repeat");
		if (times > 1) {
			from.dim[from.rank++] = 1;
			to.dim[to.rank++] = times;
		}
		from.dim[from.rank++] = to.dim[to.rank] = x->shape.dim[d];
		to.rank++;
	}
	split = temp_like(cv, n, "split", x, &from);
	wide = temp_like(cv, n, "repeated", x, &to);
	if (!split || !wide)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_reshape(cv, n, x, split));
	HB_TRY(expand_into(cv, n, split, wide));
	HB_TRY(hb_fx_reshape(cv, n, wide, y));
	return hb_fx_settle(cv, n, y, n->out[0]);
}

/* Reshape to six dimensions, transpose, reshape. */
static hb_status
blocks(hb_convert *cv, hb_node *n, const hb_shape *six, const int64_t *perm)
{
	hb_tensor *x, *y, *split, *turned;
	hb_shape s = *six;

	if (!begin(cv, n, &x, &y))
		return HB_ERR_NOMEM;
	for (int d = 0; d < 6; d++)
		s.dim[d] = six->dim[perm[d]];
	split = temp_like(cv, n, "blocks", x, six);
	turned = temp_like(cv, n, "turned", x, &s);
	if (!split || !turned)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_reshape(cv, n, x, split));
	HB_TRY(transpose_into(cv, n, split, perm, turned));
	HB_TRY(hb_fx_reshape(cv, n, turned, y));
	return hb_fx_settle(cv, n, y, n->out[0]);
}

hb_status
hb_to_fx_depth_to_space(hb_convert *cv, hb_node *n)
{
	const int64_t *d = n->in[0]->shape.dim, b = hb_attr_i(n, "blocksize", 1), c = d[1] / (b * b);
	bool crd = !strcmp(hb_attr_s(n, "mode", "DCR"), "CRD");
	hb_shape dcr_shape = { 6, { d[0], b, b, c, d[2], d[3] } }, crd_shape = { 6, { d[0], c, b, b, d[2], d[3] } };

	return blocks(cv, n, crd ? &crd_shape : &dcr_shape, crd ? (int64_t[]){ 0, 1, 4, 2, 5, 3 } : (int64_t[]){ 0, 3, 4, 1, 5, 2 });
}

hb_status
hb_to_fx_space_to_depth(hb_convert *cv, hb_node *n)
{
	const int64_t *d = n->in[0]->shape.dim, b = hb_attr_i(n, "blocksize", 1);
	hb_shape six = { 6, { d[0], d[1], d[2] / b, b, d[3] / b, b } };

	return blocks(cv, n, &six, (int64_t[]){ 0, 3, 5, 1, 2, 4 });
}
