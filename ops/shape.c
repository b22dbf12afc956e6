/* shape.c: operators that move elements or look at shapes only. */
#include "ops/nd.h"
#include "ops/to_fx.h"

#include "lib/base/fmath.h"

static size_t
val_bytes(const hb_val *v)
{
	return (size_t)hb_val_elems(v) * hb_dtype_size(v->dtype);
}

/* Element 0 of v moved by `elems` elements. */
static void *
at(const hb_val *v, int64_t elems)
{
	return v->data ? (uint8_t *)v->data + elems * (int64_t)hb_dtype_size(v->dtype) : NULL;
}

static void
run_copy(const hb_call *c)
{
	hb_copy_bytes(c->cx, c->out[0]->data, c->in[0]->data, val_bytes(c->out[0]));
}

/* Copies a box of `dim` from src to dst, given each side's strides. */
static void
move_box(const hb_call *c, const hb_shape *box, const hb_val *dst, int64_t dst_at, const int64_t *ds,
	 const hb_val *src, int64_t src_at, const int64_t *ss)
{
	if (hb_shape_elems(box))
		hb_move(c->cx, box->rank, box->dim, hb_dtype_size(dst->dtype), at(dst, dst_at), ds, at(src, src_at),
			ss);
}

/* ---- Identity, Dropout ---- */

const hb_op hb_op_identity = {
	.name = "Identity", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.shape = hb_shape_same, .run = run_copy, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_reshape,
};

/* Inference only: the output is the input, the mask is true; so it is with training_mode where nothing is dropped. */
static hb_status
check_training(hb_graph *g, hb_node *n)
{
	hb_tensor *ratio = hb_in(n, 1), *mode = hb_in(n, 2);
	float r = 0.5f;

	if (!mode)
		return HB_OK;
	if (!mode->is_const)
		return hb_need_const(g, n, 2);
	const uint8_t *on = hb_tensor_data(g, mode);
	if (!on || hb_shape_elems(&mode->shape) != 1 || !on[0])
		return HB_OK;
	if (ratio && !ratio->is_const)
		return hb_need_const(g, n, 1);
	const void *data = ratio && hb_shape_elems(&ratio->shape) == 1 ? hb_tensor_data(g, ratio) : NULL;
	if (data)
		hb_float_load(ratio->dtype, data, 0, 1, 1, &r);
	if (r == 0)
		return HB_OK;
	return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "training", "training_mode is set; only inference is supported");
}

static hb_status
shape_dropout(hb_graph *g, hb_node *n)
{
	HB_TRY(check_training(g, n));
	if (n->version < 7 && hb_attr_find(n, "is_test") && !hb_attr_i(n, "is_test", 0))
		hb_node_warn(g->cx, n, "training", "is_test is 0; it is run as in inference");
	HB_TRY(hb_shape_same(g, n));
	return hb_set_out(g, n, 1, n->version < 10 ? n->in[0]->dtype : HB_BOOL, &n->in[0]->shape);
}

static void
run_dropout(const hb_call *c)
{
	static const float one = 1;
	static const uint8_t yes = 1;
	const hb_val *mask = c->n->nout > 1 ? c->out[1] : NULL;

	run_copy(c);
	if (!mask)
		return;
	if (mask->dtype == HB_BOOL)
		hb_fill(mask->data, sizeof(yes), &yes, hb_val_elems(mask));
	else
		hb_fill(mask->data, sizeof(one), &one, hb_val_elems(mask));
}

static const hb_attr_row dropout_rows[] = {
	{ "consumed_inputs", HB_ATTR_INTS, false, 1, 5 }, { "is_test", HB_ATTR_INT, false, 1, 6 },
	{ "ratio", HB_ATTR_FLOAT, false, 1, 11 }, { "seed", HB_ATTR_INT, false, 12, 0 }, { 0 } };

const hb_op hb_op_dropout = {
	.name = "Dropout", .since = 1, .min_in = 1, .max_in = 3, .min_out = 1, .max_out = 2,
	.attrs = dropout_rows, .types = HB_BIT(HB_F32), .in_types = { 0, 0, HB_BIT(HB_BOOL) },
	.shape = shape_dropout, .run = run_dropout, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_reshape,
};

/* ---- Reshape, Flatten, Squeeze, Unsqueeze ---- */

static hb_status
shape_reshape(hb_graph *g, hb_node *n)
{
	const hb_shape *in = &n->in[0]->shape;
	hb_shape s = { .rank = 0 };
	const int64_t *want;
	size_t rank;
	char text[HB_SHAPE_TEXT];

	if (n->version < 5) {
		want = hb_attr_ints(n, "shape", &rank);
		if (!want)
			rank = 0;
	} else if (!hb_in(n, 1)) {
		return HB_BAD(g, n, "input 1, the shape, is absent");
	} else {
		HB_TRY(hb_const_ints(g, n, 1, "shape", &want, &rank));
	}
	if (rank > HB_MAX_RANK)
		return HB_BAD(g, n, "shape has %zu dimensions; at most %d are taken", rank, HB_MAX_RANK);
	bool zero_means_zero = hb_attr_i(n, "allowzero", 0) != 0;
	int64_t known = 1;
	int open = -1;
	s.rank = (int)rank;
	for (int i = 0; i < s.rank; i++) {
		s.dim[i] = want[i];
		if (want[i] == -1 && open < 0) {
			open = i;
			continue;
		}
		if (want[i] == 0 && !zero_means_zero) {
			if (i >= in->rank)
				return HB_BAD(g, n, "dimension %d of the shape is 0 and the input has rank %d", i,
					      in->rank);
			s.dim[i] = in->dim[i];
		}
		if (s.dim[i] < 0)
			return HB_BAD(g, n, "dimension %d of the shape is %lld", i, (long long)want[i]);
		if (!hb_mul64(known, s.dim[i], &known))
			return HB_BAD(g, n, "shape is too large");
	}
	int64_t elems = hb_shape_elems(in);
	if (open >= 0) {
		if (known == 0 ? elems != 0 : elems % known != 0)
			return HB_BAD(g, n, "input %s does not divide into the shape", hb_shape_text(in, text));
		s.dim[open] = known ? elems / known : 0;
	} else if (known != elems) {
		char to[HB_SHAPE_TEXT];
		return HB_BAD(g, n, "input %s does not reshape to %s", hb_shape_text(in, text), hb_shape_text(&s, to));
	}
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

static const hb_attr_row reshape_rows[] = {
	{ "consumed_inputs", HB_ATTR_INTS, false, 1, 4 }, { "shape", HB_ATTR_INTS, false, 1, 4 },
	{ "allowzero", HB_ATTR_INT, false, 14, 0 }, { 0 } };

const hb_op hb_op_reshape = {
	.name = "Reshape", .since = 1, .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = reshape_rows, .in_types = { 0, HB_BIT(HB_I64) },
	.shape = shape_reshape, .run = run_copy, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_reshape,
};

static hb_status
shape_flatten(hb_graph *g, hb_node *n)
{
	const hb_shape *in = &n->in[0]->shape;
	int64_t axis = hb_attr_i(n, "axis", 1);

	if (axis < -in->rank || axis > in->rank)
		return HB_BAD(g, n, "axis is %lld; with rank %d it must be in %d..%d", (long long)axis, in->rank,
			      -in->rank, in->rank);
	if (axis < 0)
		axis += in->rank;
	hb_shape s = { 2, { hb_shape_span(in, 0, (int)axis), hb_shape_span(in, (int)axis, in->rank) } };
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

static const hb_attr_row axis_rows[] = { { "axis", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_flatten = {
	.name = "Flatten", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = axis_rows, .shape = shape_flatten, .run = run_copy, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_reshape,
};

static hb_status
shape_squeeze(hb_graph *g, hb_node *n)
{
	const hb_shape *in = &n->in[0]->shape;
	int axes[HB_MAX_RANK], count, k = 0;
	hb_shape s = { .rank = 0 };
	bool given;

	HB_TRY(hb_axes(g, n, 1, in->rank, axes, &count, &given));
	for (int i = 0; i < in->rank; i++) {
		bool named = k < count && axes[k] == i;
		k += named;
		if (named && in->dim[i] != 1)
			return HB_BAD(g, n, "axis %d has extent %lld; 1 is taken", i, (long long)in->dim[i]);
		if (!named && (given || in->dim[i] != 1))
			s.dim[s.rank++] = in->dim[i];
	}
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

static const hb_attr_row axes_rows[] = { { "axes", HB_ATTR_INTS, false, 1, 12 }, { 0 } };

const hb_op hb_op_squeeze = {
	.name = "Squeeze", .since = 1, .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = axes_rows, .in_types = { 0, HB_BIT(HB_I64) },
	.shape = shape_squeeze, .run = run_copy, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_reshape,
};

static hb_status
shape_unsqueeze(hb_graph *g, hb_node *n)
{
	const hb_shape *in = &n->in[0]->shape;
	int axes[HB_MAX_RANK], count, k = 0, from = 0;
	hb_shape s;
	bool given;
	int64_t more = 0;

	if (n->version < 13) {
		size_t listed = 0;
		hb_attr_ints(n, "axes", &listed);
		more = (int64_t)HB_MIN(listed, (size_t)HB_MAX_RANK + 1);
	} else if (!hb_in(n, 1)) {
		return HB_BAD(g, n, "input 1, the axes, is absent");
	} else {
		more = HB_MIN(hb_shape_elems(&n->in[1]->shape), HB_MAX_RANK + 1);
	}
	if (in->rank + more > HB_MAX_RANK)
		return HB_BAD(g, n, "output would have rank %d; up to %d is taken", in->rank + (int)more, HB_MAX_RANK);
	s.rank = in->rank + (int)more;
	HB_TRY(hb_axes(g, n, 1, s.rank, axes, &count, &given));
	for (int i = 0; i < s.rank; i++) {
		bool named = k < count && axes[k] == i;
		k += named;
		s.dim[i] = named ? 1 : in->dim[from++];
	}
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

static const hb_attr_row unsqueeze_rows[] = { { "axes", HB_ATTR_INTS, true, 1, 12 }, { 0 } };

const hb_op hb_op_unsqueeze = {
	.name = "Unsqueeze", .since = 1, .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = unsqueeze_rows, .in_types = { 0, HB_BIT(HB_I64) },
	.shape = shape_unsqueeze, .run = run_copy, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_reshape,
};

/* ---- Transpose ---- */

/* perm[i]: which input dimension output dimension i is; false where `perm` is no permutation. */
static bool
permutation(const hb_node *n, int rank, int *perm)
{
	size_t count;
	const int64_t *p = hb_attr_ints(n, "perm", &count);
	unsigned seen = 0;

	if (!p) {
		for (int i = 0; i < rank; i++)
			perm[i] = rank - 1 - i;
		return true;
	}
	if (count != (size_t)rank)
		return false;
	for (int i = 0; i < rank; i++) {
		if (p[i] < 0 || p[i] >= rank || (seen >> p[i] & 1))
			return false;
		seen |= 1u << p[i];
		perm[i] = (int)p[i];
	}
	return true;
}

static hb_status
shape_transpose(hb_graph *g, hb_node *n)
{
	const hb_shape *in = &n->in[0]->shape;
	hb_shape s = { .rank = in->rank };
	int perm[HB_MAX_RANK];

	if (!permutation(n, in->rank, perm))
		return HB_BAD(g, n, "perm is no permutation of the %d dimensions", in->rank);
	for (int i = 0; i < s.rank; i++)
		s.dim[i] = in->dim[perm[i]];
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

static void
run_transpose(const hb_call *c)
{
	const hb_shape *out = &c->out[0]->shape;
	int64_t ss[HB_MAX_RANK], ds[HB_MAX_RANK], from[HB_MAX_RANK] = { 0 };
	int perm[HB_MAX_RANK] = { 0 };

	permutation(c->n, out->rank, perm);
	hb_strides(&c->in[0]->shape, ss);
	hb_strides(out, ds);
	for (int i = 0; i < out->rank; i++)
		from[i] = ss[perm[i]];
	move_box(c, out, c->out[0], 0, ds, c->in[0], 0, from);
}

static const hb_attr_row perm_rows[] = { { "perm", HB_ATTR_INTS, false, 0, 0 }, { 0 } };

const hb_op hb_op_transpose = {
	.name = "Transpose", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = perm_rows, .shape = shape_transpose, .run = run_transpose, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_transpose,
};

/* ---- Concat, Split ---- */

static int64_t
concat_axis(const hb_node *n)
{
	return hb_attr_i(n, "axis", 1);		/* required from operator set 4 on */
}

static hb_status
shape_concat(hb_graph *g, hb_node *n)
{
	hb_shape s = n->in[0]->shape;
	char a[HB_SHAPE_TEXT], b[HB_SHAPE_TEXT];
	int axis;

	HB_TRY(hb_axis(g, n, "axis", concat_axis(n), s.rank, &axis));
	for (int i = 1; i < n->nin; i++) {
		const hb_tensor *t = n->in[i];
		if (!t)
			return HB_BAD(g, n, "input %d is absent", i);
		hb_shape as = t->shape;
		if (as.rank == s.rank)
			as.dim[axis] = s.dim[axis];
		if (!hb_shape_eq(&as, &s))
			return HB_BAD(g, n, "inputs %s and %s differ besides axis %d",
				      hb_shape_text(&n->in[0]->shape, a), hb_shape_text(&t->shape, b), axis);
		if (t->dtype != n->in[0]->dtype)
			return HB_BAD(g, n, "inputs are %s and %s; one type is taken", hb_dtype_name(n->in[0]->dtype),
				      hb_dtype_name(t->dtype));
		if (!hb_add64(s.dim[axis], t->shape.dim[axis], &s.dim[axis]))
			return HB_BAD(g, n, "output is too large");
	}
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

static void
run_concat(const hb_call *c)
{
	const hb_val *y = c->out[0];
	int64_t ds[HB_MAX_RANK], ss[HB_MAX_RANK], done = 0;
	int axis = (int)concat_axis(c->n);

	axis += axis < 0 ? y->shape.rank : 0;
	hb_strides(&y->shape, ds);
	for (int i = 0; i < c->n->nin; i++) {
		const hb_val *x = c->in[i];
		hb_strides(&x->shape, ss);
		move_box(c, &x->shape, y, done * ds[axis], ds, x, 0, ss);
		done += x->shape.dim[axis];
	}
}

static const hb_attr_row concat_rows[] = {
	{ "axis", HB_ATTR_INT, false, 1, 3 }, { "axis", HB_ATTR_INT, true, 4, 0 }, { 0 } };

const hb_op hb_op_concat = {
	.name = "Concat", .since = 1, .min_in = 1, .max_in = -1, .min_out = 1, .max_out = 1,
	.attrs = concat_rows, .shape = shape_concat, .run = run_concat, .role = HB_ROLE_CAT,
	.convert = hb_to_fx_concat,
};

static hb_status
shape_split(hb_graph *g, hb_node *n)
{
	const hb_shape *in = &n->in[0]->shape;
	hb_shape s = *in;
	const int64_t *part = NULL;
	size_t count = 0;
	int axis;

	HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", 0), in->rank, &axis));
	if (hb_in(n, 1))
		HB_TRY(hb_const_ints(g, n, 1, "split", &part, &count));
	else
		part = hb_attr_ints(n, "split", &count);
	if (hb_in(n, 1) || part) {
		int64_t sum = 0;
		if (count != (size_t)n->nout)
			return HB_BAD(g, n, "split has %zu parts and the node %d outputs", count, n->nout);
		for (size_t i = 0; i < count; i++) {
			if (part[i] < 0 || !hb_add64(sum, part[i], &sum))
				return HB_BAD(g, n, "part %zu of split is %lld", i, (long long)part[i]);
		}
		if (sum != in->dim[axis])
			return HB_BAD(g, n, "parts of split sum to %lld; axis %d has extent %lld", (long long)sum, axis,
				      (long long)in->dim[axis]);
	}
	int64_t parts = hb_attr_i(n, "num_outputs", n->nout);
	if (parts != n->nout)
		return HB_BAD(g, n, "num_outputs is %lld and the node has %d outputs", (long long)parts, n->nout);
	if (!part && n->version < 18 && in->dim[axis] % parts)
		return HB_BAD(g, n, "extent %lld of axis %d does not divide into %lld equal parts",
			      (long long)in->dim[axis], axis, (long long)parts);
	int64_t each = hb_ceil_div(in->dim[axis], parts), left = in->dim[axis];
	for (int i = 0; i < n->nout; i++) {
		s.dim[axis] = part ? part[i] : HB_MIN(each, left);
		left -= s.dim[axis];
		HB_TRY(hb_set_out(g, n, i, n->in[0]->dtype, &s));
	}
	/* Where each part begins, also those of outputs that are absent. */
	int64_t *first = HB_NEW_N(g->arena, int64_t, n->nout);
	if (!first)
		return hb_nomem(g->cx, n->name);
	for (int i = 1; i < n->nout; i++)
		first[i] = part ? first[i - 1] + part[i - 1] : HB_MIN(i * each, in->dim[axis]);
	n->aux = first;
	return HB_OK;
}

static void
run_split(const hb_call *c)
{
	const hb_val *x = c->in[0];
	const int64_t *first = c->n->aux;
	int64_t ss[HB_MAX_RANK], ds[HB_MAX_RANK];
	int axis = (int)hb_attr_i(c->n, "axis", 0);

	axis += axis < 0 ? x->shape.rank : 0;
	hb_strides(&x->shape, ss);
	for (int i = 0; i < c->n->nout; i++) {
		const hb_val *y = c->out[i];
		if (!y)
			continue;
		hb_strides(&y->shape, ds);
		move_box(c, &y->shape, y, 0, ds, x, first[i] * ss[axis], ss);
	}
}

static const hb_attr_row split_rows[] = {
	{ "axis", HB_ATTR_INT, false, 0, 0 }, { "split", HB_ATTR_INTS, false, 1, 12 },
	{ "num_outputs", HB_ATTR_INT, false, 18, 0 }, { 0 } };

const hb_op hb_op_split = {
	.name = "Split", .since = 1, .min_in = 1, .max_in = 2, .min_out = 1, .max_out = -1,
	.attrs = split_rows, .in_types = { 0, HB_NUMBERS },
	.shape = shape_split, .run = run_split, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_split,
};

/* ---- Slice ---- */

struct slice {
	int64_t start[HB_MAX_RANK], step[HB_MAX_RANK];
};

static hb_status
shape_slice(hb_graph *g, hb_node *n)
{
	const hb_shape *in = &n->in[0]->shape;
	const int64_t *starts, *ends, *axes, *steps = NULL;
	size_t nstarts, nends, naxes, nsteps = 0;
	struct slice *sl = HB_AUX(g, n, struct slice);
	hb_shape s = *in;
	unsigned seen = 0;

	if (!sl)
		return hb_nomem(g->cx, n->name);
	if (n->version < 10) {
		starts = hb_attr_ints(n, "starts", &nstarts);
		ends = hb_attr_ints(n, "ends", &nends);
		axes = hb_attr_ints(n, "axes", &naxes);
	} else {
		if (!hb_in(n, 1) || !hb_in(n, 2))
			return HB_BAD(g, n, "starts or ends is absent");
		HB_TRY(hb_const_ints(g, n, 1, "starts", &starts, &nstarts));
		HB_TRY(hb_const_ints(g, n, 2, "ends", &ends, &nends));
		HB_TRY(hb_const_ints(g, n, 3, "axes", &axes, &naxes));
		HB_TRY(hb_const_ints(g, n, 4, "steps", &steps, &nsteps));
	}
	if (nstarts != nends || (axes && naxes != nstarts) || (steps && nsteps != nstarts))
		return HB_BAD(g, n, "starts, ends, axes and steps differ in length");
	if (!axes && nstarts > (size_t)in->rank)
		return HB_BAD(g, n, "starts has %zu entries and the input rank %d", nstarts, in->rank);
	for (int i = 0; i < in->rank; i++)
		sl->step[i] = 1;
	for (size_t i = 0; i < nstarts; i++) {
		int a;
		HB_TRY(hb_axis(g, n, "axis", axes ? axes[i] : (int64_t)i, in->rank, &a));
		if (seen >> a & 1)
			return HB_BAD(g, n, "axis %d is named twice", a);
		seen |= 1u << a;
		int64_t step = steps ? steps[i] : 1, dim = in->dim[a], from = starts[i], to = ends[i];
		if (step == 0)
			return HB_BAD(g, n, "step of axis %d is 0", a);
		/* As Python slices: from and to are brought into 0..dim, or -1..dim-1 going down. */
		from += from < 0 ? dim : 0;
		to += to < 0 ? dim : 0;
		int64_t lo = step < 0 ? -1 : 0, hi = step < 0 ? dim - 1 : dim;
		from = HB_MIN(HB_MAX(from, HB_MIN(lo + (step < 0), hi)), hi);
		to = HB_MIN(HB_MAX(to, lo), hi);
		int64_t span = step < 0 ? from - to : to - from;
		uint64_t by = step < 0 ? 0 - (uint64_t)step : (uint64_t)step;
		s.dim[a] = span <= 0 ? 0 : (int64_t)(((uint64_t)span - 1) / by) + 1;
		sl->start[a] = HB_MAX(from, 0);
		/* One element or none: any step does; it must not overflow a stride. */
		sl->step[a] = s.dim[a] > 1 ? step : 1;
	}
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

static void
run_slice(const hb_call *c)
{
	const hb_val *x = c->in[0], *y = c->out[0];
	const struct slice *sl = c->n->aux;
	int64_t ss[HB_MAX_RANK], ds[HB_MAX_RANK], first = 0;

	hb_strides(&x->shape, ss);
	hb_strides(&y->shape, ds);
	for (int i = 0; i < x->shape.rank; i++) {
		first += sl->start[i] * ss[i];
		ss[i] *= sl->step[i];
	}
	move_box(c, &y->shape, y, 0, ds, x, first, ss);
}

static const hb_attr_row slice_rows[] = {
	{ "starts", HB_ATTR_INTS, true, 1, 9 }, { "ends", HB_ATTR_INTS, true, 1, 9 },
	{ "axes", HB_ATTR_INTS, false, 1, 9 }, { 0 } };

const hb_op hb_op_slice = {
	.name = "Slice", .since = 1, .min_in = 1, .max_in = 5, .min_out = 1, .max_out = 1,
	.attrs = slice_rows, .in_types = { 0, HB_INTS, HB_INTS, HB_INTS, HB_INTS },
	.shape = shape_slice, .run = run_slice, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_slice,
};

/* ---- Pad ---- */

enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

struct pad {
	enum pad_mode mode;
	int64_t before[HB_MAX_RANK];		/* negative: cut away */
	bool has_value;
};

static hb_status
shape_pad(hb_graph *g, hb_node *n)
{
	static const char *const modes[] = { "constant", "reflect", "edge", "wrap" };
	const hb_shape *in = &n->in[0]->shape;
	const int64_t *pads, *axes = NULL;
	size_t npads, naxes = 0;
	struct pad *p = HB_AUX(g, n, struct pad);
	const char *mode = hb_attr_s(n, "mode", "constant");
	hb_shape s = *in;
	unsigned m = 0, seen = 0;

	if (!p)
		return hb_nomem(g->cx, n->name);
	while (m < HB_LEN(modes) && strcmp(mode, modes[m]))
		m++;
	if (m == HB_LEN(modes))
		return HB_BAD(g, n, "mode is '%s'; constant, reflect, edge or wrap is taken", mode);
	p->mode = (enum pad_mode)m;
	if (n->version < 11) {
		pads = hb_attr_ints(n, n->version < 2 ? "paddings" : "pads", &npads);
		if (!pads)
			npads = 0;
	} else {
		if (!hb_in(n, 1))
			return HB_BAD(g, n, "input 1, the pads, is absent");
		HB_TRY(hb_const_ints(g, n, 1, "pads", &pads, &npads));
		HB_TRY(hb_const_ints(g, n, 3, "axes", &axes, &naxes));
		const hb_tensor *value = hb_in(n, 2);
		if (value && hb_shape_elems(&value->shape) != 1)
			return HB_BAD(g, n, "constant_value has %lld elements; one is taken",
				      (long long)hb_shape_elems(&value->shape));
		if (value && value->dtype != n->in[0]->dtype)
			return HB_BAD(g, n, "constant_value is %s and the input %s; one type is taken",
				      hb_dtype_name(value->dtype), hb_dtype_name(n->in[0]->dtype));
	}
	size_t count = axes ? naxes : (size_t)in->rank;
	if (count > HB_MAX_RANK || npads != 2 * count)
		return HB_BAD(g, n, "pads has %zu entries; %zu are taken", npads, 2 * count);
	for (size_t i = 0; i < count; i++) {
		int a;
		HB_TRY(hb_axis(g, n, "axis", axes ? axes[i] : (int64_t)i, in->rank, &a));
		if (seen >> a & 1)
			return HB_BAD(g, n, "axis %d is named twice", a);
		seen |= 1u << a;
		int64_t lo = pads[i], hi = pads[i + count], dim = in->dim[a];
		if (!hb_add64(s.dim[a], lo, &s.dim[a]) || !hb_add64(s.dim[a], hi, &s.dim[a]) || s.dim[a] < 0 ||
		    lo < -dim || hi < -dim)
			return HB_BAD(g, n, "pads %lld and %lld do not go with extent %lld of axis %d", (long long)lo,
				      (long long)hi, (long long)dim, a);
		if (s.dim[a] > 0 && dim == 0 && p->mode != PAD_CONSTANT)
			return HB_BAD(g, n, "axis %d is empty; mode %s needs elements", a, mode);
		p->before[a] = lo;
	}
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

/* The input index that index i of an extent reads; modes other than constant. */
static int64_t
pad_source(enum pad_mode mode, int64_t i, int64_t dim)
{
	if (i >= 0 && i < dim)
		return i;
	if (mode == PAD_EDGE)
		return i < 0 ? 0 : dim - 1;
	if (mode == PAD_WRAP) {
		i %= dim;
		return i < 0 ? i + dim : i;
	}
	/* Mirrored at the first and last element, with a period of 2 dim - 2. */
	int64_t period = dim > 1 ? 2 * dim - 2 : 1;
	i %= period;
	i += i < 0 ? period : 0;
	return i < dim ? i : period - i;
}

struct pad_call {
	const hb_val *x, *y;
	const struct pad *p;
	int64_t ss[HB_MAX_RANK];
	size_t size;
};

/* One row of the output's last dimension. */
static void
pad_rows(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct pad_call *k = arg;
	const hb_shape *s = &k->y->shape;
	int last = s->rank - 1;
	hb_shape outer = *s;
	int64_t coord[HB_MAX_RANK], dim = k->x->shape.dim[last], n = s->dim[last];
	int64_t before = k->p->before[last], size = (int64_t)k->size;

	(void)worker;
	outer.rank = last;
	for (int64_t row = begin; row < end; row++) {
		int64_t from = 0;
		hb_coords(&outer, row, coord);
		for (int i = 0; i < last; i++)
			from += pad_source(k->p->mode, coord[i] - k->p->before[i], k->x->shape.dim[i]) * k->ss[i];
		uint8_t *dst = (uint8_t *)k->y->data + row * n * size;
		const uint8_t *src = (const uint8_t *)k->x->data + from * size;
		int64_t lo = HB_MIN(HB_MAX(before, 0), n), hi = HB_MAX(HB_MIN(before + dim, n), lo);
		for (int64_t i = 0; i < lo; i++)
			memcpy(dst + i * size, src + pad_source(k->p->mode, i - before, dim) * size, k->size);
		memcpy(dst + lo * size, src + (lo - before) * size, (size_t)((hi - lo) * size));
		for (int64_t i = hi; i < n; i++)
			memcpy(dst + i * size, src + pad_source(k->p->mode, i - before, dim) * size, k->size);
	}
}

static void
pad_constant(const hb_call *c, const struct pad *p)
{
	const hb_val *x = c->in[0], *y = c->out[0], *value = c->n->version < 11 ? NULL : hb_call_in(c, 2);
	size_t size = hb_dtype_size(y->dtype);
	int64_t ss[HB_MAX_RANK], ds[HB_MAX_RANK], src = 0, dst = 0;
	float attr = hb_attr_f(c->n, "value", 0);
	uint64_t fill[1] = { 0 };
	hb_shape box = x->shape;

	if (value)
		memcpy(fill, value->data, size);
	else
		hb_float_store(y->dtype, &attr, fill, 0, 1);
	hb_strides(&x->shape, ss);
	hb_strides(&y->shape, ds);
	for (int i = 0; i < box.rank; i++) {
		int64_t lo = HB_MAX(-p->before[i], 0), hi = HB_MIN(x->shape.dim[i], y->shape.dim[i] - p->before[i]);
		box.dim[i] = HB_MAX(hi - lo, 0);
		src += lo * ss[i];
		dst += HB_MAX(p->before[i], 0) * ds[i];
	}
	if (hb_shape_elems(&box) < hb_val_elems(y))
		hb_fill(y->data, size, fill, hb_val_elems(y));
	move_box(c, &box, y, dst, ds, x, src, ss);
}

static void
run_pad(const hb_call *c)
{
	const hb_val *x = c->in[0], *y = c->out[0];
	const struct pad *p = c->n->aux;

	if (!hb_val_elems(y))
		return;
	if (p->mode == PAD_CONSTANT || !x->shape.rank) {
		pad_constant(c, p);
		return;
	}
	struct pad_call k = { x, y, p, { 0 }, hb_dtype_size(y->dtype) };
	int64_t n = y->shape.dim[y->shape.rank - 1];
	hb_strides(&x->shape, k.ss);
	hb_parallel(c->cx, hb_val_elems(y) / n, HB_MAX(1, 4096 / n), pad_rows, &k);
}

static const hb_attr_row pad_rows_[] = {
	{ "mode", HB_ATTR_STRING, false, 0, 0 }, { "value", HB_ATTR_FLOAT, false, 1, 10 },
	{ "paddings", HB_ATTR_INTS, true, 1, 1 }, { "pads", HB_ATTR_INTS, true, 2, 10 }, { 0 } };

const hb_op hb_op_pad = {
	.name = "Pad", .since = 1, .min_in = 1, .max_in = 4, .min_out = 1, .max_out = 1,
	.attrs = pad_rows_, .in_types = { 0, HB_BIT(HB_I64), 0, HB_INTS },
	.shape = shape_pad, .run = run_pad, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_pad,
};

/* ---- Expand, Tile ---- */

static hb_status
shape_expand(hb_graph *g, hb_node *n)
{
	const int64_t *want;
	size_t rank;
	hb_shape to, s;
	char a[HB_SHAPE_TEXT], b[HB_SHAPE_TEXT];

	HB_TRY(hb_const_ints(g, n, 1, "shape", &want, &rank));
	if (rank > HB_MAX_RANK)
		return HB_BAD(g, n, "shape has %zu dimensions; at most %d are taken", rank, HB_MAX_RANK);
	to.rank = (int)rank;
	for (int i = 0; i < to.rank; i++) {
		if (want[i] < 0)
			return HB_BAD(g, n, "dimension %d of the shape is %lld", i, (long long)want[i]);
		to.dim[i] = want[i];
	}
	if (!hb_shape_broadcast(&n->in[0]->shape, &to, &s))
		return HB_BAD(g, n, "input %s does not expand to %s", hb_shape_text(&n->in[0]->shape, a),
			      hb_shape_text(&to, b));
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

static void
run_expand(const hb_call *c)
{
	const hb_val *x = c->in[0], *y = c->out[0];
	int64_t ds[HB_MAX_RANK];
	hb_nd d;

	hb_nd_init(&d, &y->shape);
	hb_nd_add(&d, &x->shape);
	hb_strides(&y->shape, ds);
	move_box(c, &y->shape, y, 0, ds, x, 0, d.stride[0]);
}

const hb_op hb_op_expand = {
	.name = "Expand", .since = 8, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.in_types = { 0, HB_BIT(HB_I64) }, .shape = shape_expand, .run = run_expand, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_expand,
};

/* Tile-1 repeats one axis; later each dimension has its count. */
static hb_status
shape_tile(hb_graph *g, hb_node *n)
{
	const hb_shape *in = &n->in[0]->shape;
	hb_shape s = *in;
	const int64_t *reps;
	size_t count;

	if (n->version < 6) {
		hb_tensor *axis = hb_in(n, 2);
		if (!axis)
			return HB_BAD(g, n, "input 2, the axis, is absent");
		for (int i = 1; i < 3; i++)
			if (!n->in[i]->is_const)
				return hb_need_const(g, n, i);
		float v[2];
		for (int i = 0; i < 2; i++) {
			const void *data = hb_tensor_data(g, n->in[i + 1]);
			if (!data || hb_shape_elems(&n->in[i + 1]->shape) != 1)
				return HB_BAD(g, n, "input %d must have one element", i + 1);
			hb_float_load(n->in[i + 1]->dtype, data, 0, 1, 1, &v[i]);
		}
		int a;
		if (!(v[0] >= 0 && v[0] < 0x1p47f) || !(v[1] > -100 && v[1] < 100))
			return HB_BAD(g, n, "tiles or axis is out of range");
		HB_TRY(hb_axis(g, n, "axis", (int64_t)v[1], in->rank, &a));
		if (!hb_mul64(s.dim[a], (int64_t)v[0], &s.dim[a]))
			return HB_BAD(g, n, "output is too large");
		return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
	}
	HB_TRY(hb_const_ints(g, n, 1, "repeats", &reps, &count));
	if (count != (size_t)in->rank)
		return HB_BAD(g, n, "repeats has %zu entries and the input rank %d", count, in->rank);
	for (int i = 0; i < s.rank; i++) {
		if (reps[i] < 0 || !hb_mul64(s.dim[i], reps[i], &s.dim[i]))
			return HB_BAD(g, n, "repeats of dimension %d is %lld", i, (long long)reps[i]);
	}
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

struct tile_call {
	const uint8_t *x;
	uint8_t *y;
	hb_shape in, out;
	int64_t ss[HB_MAX_RANK];
	size_t row;			/* bytes of the input's last dimension */
};

static void
tile_rows(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct tile_call *k = arg;
	int last = k->in.rank - 1;
	int64_t coord[HB_MAX_RANK], reps = k->out.dim[last] / k->in.dim[last];
	hb_shape outer = k->out;

	(void)worker;
	outer.rank = last;
	for (int64_t row = begin; row < end; row++) {
		int64_t from = 0;
		hb_coords(&outer, row, coord);
		for (int i = 0; i < last; i++)
			from += coord[i] % k->in.dim[i] * k->ss[i];
		for (int64_t r = 0; r < reps; r++)
			memcpy(k->y + (size_t)(row * reps + r) * k->row,
			       k->x + (size_t)(from / k->in.dim[last]) * k->row, k->row);
	}
}

static void
run_tile(const hb_call *c)
{
	const hb_val *x = c->in[0], *y = c->out[0];
	struct tile_call k = { x->data, y->data, x->shape, y->shape, { 0 }, 0 };
	int last = x->shape.rank - 1;

	if (!hb_val_elems(y))
		return;
	if (last < 0) {
		run_copy(c);
		return;
	}
	hb_strides(&x->shape, k.ss);
	k.row = (size_t)x->shape.dim[last] * hb_dtype_size(x->dtype);
	int64_t rows = hb_val_elems(y) / y->shape.dim[last];
	hb_parallel(c->cx, rows, HB_MAX(1, 4096 / y->shape.dim[last]), tile_rows, &k);
}

const hb_op hb_op_tile = {
	.name = "Tile", .since = 1, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,
	.shape = shape_tile, .run = run_tile, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_tile,
};

/* ---- DepthToSpace, SpaceToDepth: views of six dimensions ---- */

static hb_status
block_size(hb_graph *g, hb_node *n, int64_t *b)
{
	const hb_shape *in = &n->in[0]->shape;

	*b = hb_attr_i(n, "blocksize", 0);
	if (in->rank != 4)
		return HB_BAD(g, n, "input has rank %d; rank 4 is taken", in->rank);
	if (*b < 1 || *b > 1 << 20)
		return HB_BAD(g, n, "blocksize is %lld; 1 to 2^20 is taken", (long long)*b);
	return HB_OK;
}

static hb_status
shape_depth_to_space(hb_graph *g, hb_node *n)
{
	const hb_shape *in = &n->in[0]->shape;
	const char *mode = hb_attr_s(n, "mode", "DCR");
	int64_t b;

	HB_TRY(block_size(g, n, &b));
	if (strcmp(mode, "DCR") && strcmp(mode, "CRD"))
		return HB_BAD(g, n, "mode is '%s'; DCR or CRD is taken", mode);
	if (in->dim[1] % (b * b))
		return HB_BAD(g, n, "%lld channels do not divide by blocksize %lld squared", (long long)in->dim[1],
			      (long long)b);
	hb_shape s = { 4, { in->dim[0], in->dim[1] / (b * b), 0, 0 } };
	if (!hb_mul64(in->dim[2], b, &s.dim[2]) || !hb_mul64(in->dim[3], b, &s.dim[3]))
		return HB_BAD(g, n, "output is too large");
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

/* in: N, then (b, b, C) by DCR or (C, b, b) by CRD, H, W; out: N, C, H, b, W, b. */
static void
run_depth_to_space(const hb_call *c)
{
	const hb_val *x = c->in[0], *y = c->out[0];
	const int64_t *d = x->shape.dim;
	int64_t b = hb_attr_i(c->n, "blocksize", 1), ch = y->shape.dim[1], hw = d[2] * d[3];
	bool crd = !strcmp(hb_attr_s(c->n, "mode", "DCR"), "CRD");
	int64_t s_c = crd ? b * b * hw : hw, s_bh = crd ? b * hw : b * ch * hw, s_bw = crd ? hw : ch * hw;
	hb_shape box = { 6, { d[0], ch, d[2], b, d[3], b } };
	int64_t ss[] = { d[1] * hw, s_c, d[3], s_bh, 1, s_bw }, ds[HB_MAX_RANK];

	hb_strides(&box, ds);
	move_box(c, &box, y, 0, ds, x, 0, ss);
}

static const hb_attr_row depth_rows[] = {
	{ "blocksize", HB_ATTR_INT, true, 0, 0 }, { "mode", HB_ATTR_STRING, false, 11, 0 }, { 0 } };

const hb_op hb_op_depth_to_space = {
	.name = "DepthToSpace", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = depth_rows, .shape = shape_depth_to_space, .run = run_depth_to_space, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_depth_to_space,
};

static hb_status
shape_space_to_depth(hb_graph *g, hb_node *n)
{
	const hb_shape *in = &n->in[0]->shape;
	int64_t b;

	HB_TRY(block_size(g, n, &b));
	if (in->dim[2] % b || in->dim[3] % b)
		return HB_BAD(g, n, "height %lld and width %lld do not divide by blocksize %lld", (long long)in->dim[2],
			      (long long)in->dim[3], (long long)b);
	hb_shape s = { 4, { in->dim[0], 0, in->dim[2] / b, in->dim[3] / b } };
	if (!hb_mul64(in->dim[1], b * b, &s.dim[1]))
		return HB_BAD(g, n, "output is too large");
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

/* in: N, C, H, b, W, b; out: N, b, b, C, H, W. */
static void
run_space_to_depth(const hb_call *c)
{
	const hb_val *x = c->in[0], *y = c->out[0];
	const int64_t *d = x->shape.dim, *o = y->shape.dim;
	int64_t b = hb_attr_i(c->n, "blocksize", 1), hw = d[2] * d[3];
	hb_shape box = { 6, { d[0], b, b, d[1], o[2], o[3] } };
	int64_t ss[] = { d[1] * hw, d[3], 1, hw, b * d[3], b }, ds[HB_MAX_RANK];

	hb_strides(&box, ds);
	move_box(c, &box, y, 0, ds, x, 0, ss);
}

static const hb_attr_row block_rows[] = { { "blocksize", HB_ATTR_INT, true, 0, 0 }, { 0 } };

const hb_op hb_op_space_to_depth = {
	.name = "SpaceToDepth", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = block_rows, .shape = shape_space_to_depth, .run = run_space_to_depth, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_space_to_depth,
};

/* ---- Shape, Size, ConstantOfShape ---- */

/* First and last dimension that Shape yields. */
static void
shape_range(const hb_node *n, int rank, int64_t *start, int64_t *end)
{
	*start = hb_attr_i(n, "start", 0);
	*end = hb_attr_i(n, "end", rank);
	*start = HB_MAX(0, HB_MIN(rank, *start + (*start < 0 ? rank : 0)));
	*end = HB_MAX(*start, HB_MIN(rank, *end + (*end < 0 ? rank : 0)));
}

static hb_status
shape_shape(hb_graph *g, hb_node *n)
{
	int64_t start, end;

	shape_range(n, n->in[0]->shape.rank, &start, &end);
	hb_shape s = { 1, { end - start } };
	return hb_set_out(g, n, 0, HB_I64, &s);
}

static void
run_shape(const hb_call *c)
{
	const hb_shape *s = &c->in[0]->shape;
	int64_t start, end;

	shape_range(c->n, s->rank, &start, &end);
	if (end > start)
		memcpy(c->out[0]->data, s->dim + start, sizeof(s->dim[0]) * (size_t)(end - start));
}

static const hb_attr_row shape_rows[] = {
	{ "start", HB_ATTR_INT, false, 15, 0 }, { "end", HB_ATTR_INT, false, 15, 0 }, { 0 } };

const hb_op hb_op_shape = {
	.name = "Shape", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = shape_rows, .shape = shape_shape, .run = run_shape,
};

static hb_status
shape_size(hb_graph *g, hb_node *n)
{
	hb_shape s = { .rank = 0 };

	return hb_set_out(g, n, 0, HB_I64, &s);
}

static void
run_size(const hb_call *c)
{
	*(int64_t *)c->out[0]->data = hb_val_elems(c->in[0]);
}

const hb_op hb_op_size = {
	.name = "Size", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.shape = shape_size, .run = run_size,
};

static hb_status
shape_constant_of_shape(hb_graph *g, hb_node *n)
{
	const hb_attr *value = hb_attr_find(n, "value");
	const int64_t *want;
	size_t rank;
	hb_shape s;

	HB_TRY(hb_const_ints(g, n, 0, "shape", &want, &rank));
	if (rank > HB_MAX_RANK)
		return HB_BAD(g, n, "shape has %zu dimensions; at most %d are taken", rank, HB_MAX_RANK);
	s.rank = (int)rank;
	for (int i = 0; i < s.rank; i++)
		s.dim[i] = want[i];
	n->aux = NULL;
	if (value) {
		if (hb_shape_elems(&value->t->shape) != 1)
			return HB_BAD(g, n, "value has %lld elements; one is taken",
				      (long long)hb_shape_elems(&value->t->shape));
		const void *data = hb_tensor_data(g, value->t);
		if (!data)
			return HB_ERR_NOMEM;
		n->aux = hb_arena_dup(g->arena, data, hb_dtype_size(value->t->dtype));
		if (!n->aux)
			return hb_nomem(g->cx, n->name);
	}
	return hb_set_out(g, n, 0, value ? value->t->dtype : HB_F32, &s);
}

static void
run_constant_of_shape(const hb_call *c)
{
	static const uint64_t zero;
	const hb_val *y = c->out[0];

	hb_fill(y->data, hb_dtype_size(y->dtype), c->n->aux ? c->n->aux : &zero, hb_val_elems(y));
}

static const hb_attr_row value_rows[] = { { "value", HB_ATTR_TENSOR, false, 0, 0 }, { 0 } };

const hb_op hb_op_constant_of_shape = {
	.name = "ConstantOfShape", .since = 9, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = value_rows, .in_types = { HB_BIT(HB_I64) },
	.shape = shape_constant_of_shape, .run = run_constant_of_shape,
};

/* ---- Cast, CastLike ---- */

enum { ONNX_FLOAT16 = 10, ONNX_BFLOAT16 = 16 };

static const char *const onnx_types[] = {
	"UNDEFINED",      "FLOAT",      "UINT8",          "INT8",       "UINT16",   "INT16",
	"INT32",          "INT64",      "STRING",         "BOOL",       "FLOAT16",  "DOUBLE",
	"UINT32",         "UINT64",     "COMPLEX64",      "COMPLEX128", "BFLOAT16", "FLOAT8E4M3FN",
	"FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "UINT4",      "INT4",     "FLOAT4E2M1",
};

static int64_t
cast_to(const hb_node *n)
{
	if (n->version >= 6)
		return hb_attr_i(n, "to", 0);
	const char *name = hb_attr_s(n, "to", "");
	for (size_t i = 0; i < HB_LEN(onnx_types); i++)
		if (!strcmp(name, onnx_types[i]))
			return (int64_t)i;
	return 0;
}

static hb_status
shape_cast(hb_graph *g, hb_node *n)
{
	int64_t to = cast_to(n);
	hb_dtype dt = hb_onnx_dtype(to);

	if (dt == HB_NONE && to > 0 && to < (int64_t)HB_LEN(onnx_types))
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "type", "casts to %s, which is not supported",
			       onnx_types[to]);
	if (dt == HB_NONE)
		return HB_BAD(g, n, "attribute 'to' is %lld, which is no element type", (long long)to);
	return hb_set_out(g, n, 0, dt, &n->in[0]->shape);
}

/* Nearest float16 value, halves to even; beyond its range infinite. */
static float
to_float16(float x)
{
	float a = hb_absf(x);

	if (!(a < INFINITY))
		return x;
	if (a >= 65520.0f)
		return hb_signf(INFINITY, x);
	/* Adding 2^(e+13) makes float's last bit float16's; below 2^-14 that bit is 2^-24. */
	uint32_t e = hb_bits32(a) >> 23;
	float big = hb_float32((HB_MAX(e, 113u) + 13) << 23);
	return hb_signf((a + big) - big, x);
}

static float
to_bfloat16(float x)
{
	uint32_t u = hb_bits32(x);

	if (x != x)
		return x;
	return hb_float32((u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u);
}

struct cast_call {
	const hb_val *x, *y;
	int64_t to;
};

static void
cast_piece(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct cast_call *k = arg;
	float f[256];
	int64_t w[256];

	(void)worker;
	for (int64_t i = begin; i < end; i += 256) {
		int64_t n = HB_MIN(256, end - i);
		if (k->x->dtype != HB_F32 && k->y->dtype != HB_F32) {
			hb_wide_load(k->x->dtype, k->x->data, i, 1, n, w);
			for (int64_t j = 0; k->y->dtype == HB_BOOL && j < n; j++)
				w[j] = w[j] != 0;
			hb_wide_store(k->y->dtype, w, k->y->data, i, n);
			continue;
		}
		hb_float_load(k->x->dtype, k->x->data, i, 1, n, f);
		for (int64_t j = 0; k->to == ONNX_FLOAT16 && j < n; j++)
			f[j] = to_float16(f[j]);
		for (int64_t j = 0; k->to == ONNX_BFLOAT16 && j < n; j++)
			f[j] = to_bfloat16(f[j]);
		hb_float_store(k->y->dtype, f, k->y->data, i, n);
	}
}

static void
cast(const hb_call *c, int64_t to)
{
	struct cast_call k = { c->in[0], c->out[0], to };
	int64_t n = hb_val_elems(k.y);

	if (n)
		hb_parallel(c->cx, n, 16384, cast_piece, &k);
}

static void
run_cast(const hb_call *c)
{
	cast(c, cast_to(c->n));
}

static const hb_attr_row cast_rows[] = {
	{ "to", HB_ATTR_STRING, true, 1, 5 }, { "to", HB_ATTR_INT, true, 6, 0 },
	{ "saturate", HB_ATTR_INT, false, 19, 0 }, { "round_mode", HB_ATTR_STRING, false, 24, 0 }, { 0 } };

const hb_op hb_op_cast = {
	.name = "Cast", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = cast_rows, .shape = shape_cast, .run = run_cast,
};

static hb_status
shape_cast_like(hb_graph *g, hb_node *n)
{
	return hb_set_out(g, n, 0, n->in[1]->dtype, &n->in[0]->shape);
}

static void
run_cast_like(const hb_call *c)
{
	cast(c, 0);
}

static const hb_attr_row cast_like_rows[] = {
	{ "saturate", HB_ATTR_INT, false, 19, 0 }, { "round_mode", HB_ATTR_STRING, false, 24, 0 }, { 0 } };

const hb_op hb_op_cast_like = {
	.name = "CastLike", .since = 15, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = cast_like_rows, .shape = shape_cast_like, .run = run_cast_like,
};
