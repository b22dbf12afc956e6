/* index.c: operators that pick, place or make elements by number.
 *
 * Indices count from the end where negative. Those that are constants are checked when shapes are
 * inferred; one that only a run shows to be out of range is taken as the nearest in range. */
#include "ops/nd.h"
#include "ops/to_fx.h"

#include "lib/base/fmath.h"

#include <stdlib.h>

#define I32_64 (HB_BIT(HB_I32) | HB_BIT(HB_I64))

static int64_t
wrapped(int64_t i, int64_t dim)
{
	i += i < 0 ? dim : 0;
	return HB_MAX(0, HB_MIN(i, dim - 1));
}

/* Constant indices t must lie in -dim..dim-1; others only need somewhere to point at. */
static hb_status
check_indices(hb_graph *g, hb_node *n, hb_tensor *t, int64_t dim)
{
	int64_t count = hb_shape_elems(&t->shape), v;

	if (count && !dim)
		return HB_BAD(g, n, "indices point into an empty dimension");
	if (!t->is_const || !count)
		return HB_OK;
	const void *data = hb_tensor_data(g, t);
	if (!data)
		return HB_ERR_NOMEM;
	for (int64_t i = 0; i < count; i++) {
		hb_wide_load(t->dtype, data, i, 1, 1, &v);
		if (v < -dim || v >= dim)
			return HB_BAD(g, n, "index %lld is outside an extent of %lld", (long long)v, (long long)dim);
	}
	return HB_OK;
}

static int
axis_of(const hb_node *n, int64_t dflt, int rank)
{
	int64_t axis = hb_attr_i(n, "axis", dflt);

	return (int)(axis + (axis < 0 ? rank : 0));
}

static const hb_attr_row axis_rows[] = { { "axis", HB_ATTR_INT, false, 0, 0 }, { 0 } };

/* ---- Gather: y[a.., i.., c..] = x[a.., indices[i..], c..] ---- */

static hb_status
shape_gather(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *ix = &n->in[1]->shape;
	hb_shape s = { .rank = 0 };
	int axis;

	HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", 0), x->rank, &axis));
	if (x->rank - 1 + ix->rank > HB_MAX_RANK)
		return HB_BAD(g, n, "output would have rank %d; up to %d is taken", x->rank - 1 + ix->rank,
			      HB_MAX_RANK);
	HB_TRY(check_indices(g, n, n->in[1], x->dim[axis]));
	for (int i = 0; i < axis; i++)
		s.dim[s.rank++] = x->dim[i];
	for (int i = 0; i < ix->rank; i++)
		s.dim[s.rank++] = ix->dim[i];
	for (int i = axis + 1; i < x->rank; i++)
		s.dim[s.rank++] = x->dim[i];
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

struct gather_call {
	const hb_val *x, *ix;
	uint8_t *y;
	hb_split3 at;
	int64_t count;			/* indices */
	size_t run;			/* bytes of what one index moves */
};

static void
gather_rows(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct gather_call *k = arg;

	(void)worker;
	for (int64_t r = begin; r < end; r++) {
		int64_t from = r / k->count * k->at.axis + wrapped(hb_val_i(k->ix, r % k->count), k->at.axis);
		memcpy(k->y + (size_t)r * k->run, (const uint8_t *)k->x->data + (size_t)from * k->run, k->run);
	}
}

static void
run_gather(const hb_call *c)
{
	const hb_val *x = c->in[0];
	struct gather_call k = { x, c->in[1], c->out[0]->data, hb_split_at(&x->shape, axis_of(c->n, 0, x->shape.rank)),
				 hb_val_elems(c->in[1]), 0 };

	if (!hb_val_elems(c->out[0]))
		return;
	k.run = (size_t)k.at.inner * hb_dtype_size(x->dtype);
	hb_parallel(c->cx, k.at.outer * k.count, HB_MAX(1, (int64_t)(65536 / k.run)), gather_rows, &k);
}

const hb_op hb_op_gather = {
	.name = "Gather", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = axis_rows, .in_types = { 0, I32_64 }, .shape = shape_gather, .run = run_gather, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_gather, .floats = hb_floats_gather,
};

/* ---- GatherElements, ScatterElements: one index for every element ---- */

static hb_status
shape_gather_elements(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *ix = &n->in[1]->shape;
	int axis;

	HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", 0), x->rank, &axis));
	if (ix->rank != x->rank)
		return HB_BAD(g, n, "indices have rank %d and the input %d; they are equal", ix->rank, x->rank);
	for (int i = 0; i < x->rank; i++)
		if (i != axis && ix->dim[i] > x->dim[i])
			return HB_BAD(g, n, "indices have extent %lld in dimension %d and the input %lld",
				      (long long)ix->dim[i], i, (long long)x->dim[i]);
	return check_indices(g, n, n->in[1], x->dim[axis]);
}

static hb_status
shape_gather_elements_out(hb_graph *g, hb_node *n)
{
	HB_TRY(shape_gather_elements(g, n));
	return hb_set_out(g, n, 0, n->in[0]->dtype, &n->in[1]->shape);
}

struct element_call {
	const hb_val *x, *ix;
	uint8_t *y;
	int axis;
	int64_t stride[HB_MAX_RANK];	/* of x */
};

/* Where in x element i of the indices points. */
static int64_t
element_at(const struct element_call *k, int64_t i)
{
	int64_t at[HB_MAX_RANK], off = 0;

	hb_coords(&k->ix->shape, i, at);
	at[k->axis] = wrapped(hb_val_i(k->ix, i), k->x->shape.dim[k->axis]);
	for (int d = 0; d < k->ix->shape.rank; d++)
		off += at[d] * k->stride[d];
	return off;
}

static void
gather_elements(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct element_call *k = arg;
	size_t size = hb_dtype_size(k->x->dtype);

	(void)worker;
	for (int64_t i = begin; i < end; i++)
		memcpy(k->y + (size_t)i * size, (const uint8_t *)k->x->data + (size_t)element_at(k, i) * size, size);
}

static void
run_gather_elements(const hb_call *c)
{
	const hb_val *x = c->in[0];
	struct element_call k = { x, c->in[1], c->out[0]->data, axis_of(c->n, 0, x->shape.rank), { 0 } };
	int64_t n = hb_val_elems(c->out[0]);

	hb_strides(&x->shape, k.stride);
	if (n)
		hb_parallel(c->cx, n, 4096, gather_elements, &k);
}

const hb_op hb_op_gather_elements = {
	.name = "GatherElements", .since = 11, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = axis_rows, .in_types = { 0, I32_64 }, .shape = shape_gather_elements_out, .run = run_gather_elements,
	.role = HB_ROLE_PASS, .convert = hb_to_fx_gather_elements, .floats = hb_floats_gather,
};

enum combine { SET, ADD, MUL, MAX, MIN, COMBINES };

static enum combine
combine_of(const hb_node *n)
{
	static const char *const names[COMBINES] = { "none", "add", "mul", "max", "min" };
	const char *s = hb_attr_s(n, "reduction", "none");
	unsigned k = 0;

	while (k < COMBINES && strcmp(s, names[k]))
		k++;
	return (enum combine)k;
}

static hb_status
check_combine(hb_graph *g, hb_node *n)
{
	enum combine how = combine_of(n);

	if (how == COMBINES || (how > MUL && n->version < 18))
		return HB_BAD(g, n, "reduction is '%s'; none, add, mul%s is taken", hb_attr_s(n, "reduction", ""),
			      n->version < 18 ? "" : ", max, min");
	if (how != SET && n->in[0]->dtype == HB_BOOL)
		return HB_BAD(g, n, "reduction '%s' of bool is not taken", hb_attr_s(n, "reduction", ""));
	if (n->in[2]->dtype != n->in[0]->dtype)
		return HB_BAD(g, n, "updates are %s and data %s; one type is taken", hb_dtype_name(n->in[2]->dtype),
			      hb_dtype_name(n->in[0]->dtype));
	return HB_OK;
}

/* n elements of y from `at` on are combined with those of v from `from` on. */
static void
combine(enum combine how, const hb_val *y, int64_t at, const hb_val *v, int64_t from, int64_t n)
{
	size_t size = hb_dtype_size(y->dtype);

	if (how == SET) {
		memcpy((uint8_t *)y->data + (size_t)at * size, (const uint8_t *)v->data + (size_t)from * size,
		       (size_t)n * size);
		return;
	}
	for (int64_t i = 0; i < n; i++) {
		if (y->dtype == HB_F32) {
			float *to = (float *)y->data + at + i, b = ((const float *)v->data)[from + i], a = *to;
			*to = how == ADD ? a + b : how == MUL ? a * b : how == MAX ? (b > a ? b : a) : (b < a ? b : a);
			continue;
		}
		int64_t a = hb_val_i(y, at + i), b = hb_val_i(v, from + i);
		bool below = y->dtype == HB_U64 ? (uint64_t)a < (uint64_t)b : a < b;
		int64_t r = how == ADD   ? (int64_t)((uint64_t)a + (uint64_t)b)
			    : how == MUL ? (int64_t)((uint64_t)a * (uint64_t)b)
			    : how == MAX ? (below ? b : a)
					 : (below ? a : b);
		hb_wide_store(y->dtype, &r, y->data, at + i, 1);
	}
}

static hb_status
shape_scatter_elements(hb_graph *g, hb_node *n)
{
	char a[HB_SHAPE_TEXT], b[HB_SHAPE_TEXT];

	HB_TRY(shape_gather_elements(g, n));
	HB_TRY(check_combine(g, n));
	if (!hb_shape_eq(&n->in[1]->shape, &n->in[2]->shape))
		return HB_BAD(g, n, "indices are %s and updates %s; they are equal", hb_shape_text(&n->in[1]->shape, a),
			      hb_shape_text(&n->in[2]->shape, b));
	return hb_shape_same(g, n);
}

static void
run_scatter_elements(const hb_call *c)
{
	const hb_val *y = c->out[0];
	struct element_call k = { y, c->in[1], NULL, axis_of(c->n, 0, y->shape.rank), { 0 } };
	enum combine how = combine_of(c->n);

	hb_copy_bytes(c->cx, y->data, c->in[0]->data, (uint64_t)hb_val_elems(y) * hb_dtype_size(y->dtype));
	hb_strides(&y->shape, k.stride);
	for (int64_t i = 0, n = hb_val_elems(c->in[1]); i < n; i++)
		combine(how, y, element_at(&k, i), c->in[2], i, 1);
}

static const hb_attr_row scatter_rows[] = {
	{ "axis", HB_ATTR_INT, false, 0, 0 }, { "reduction", HB_ATTR_STRING, false, 16, 0 }, { 0 } };

const hb_op hb_op_scatter_elements = {
	.name = "ScatterElements", .since = 11, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = scatter_rows, .in_types = { 0, I32_64 }, .shape = shape_scatter_elements, .run = run_scatter_elements,
};

const hb_op hb_op_scatter = {
	.name = "Scatter", .since = 9, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = axis_rows, .in_types = { 0, I32_64 }, .shape = shape_scatter_elements, .run = run_scatter_elements,
};

/* ---- GatherND, ScatterND: an index names the first dimensions ---- */

static hb_status
check_nd(hb_graph *g, hb_node *n, int64_t batch, int *depth)
{
	const hb_shape *x = &n->in[0]->shape, *ix = &n->in[1]->shape;

	if (batch < 0 || ix->rank < 1 || batch >= ix->rank || batch > x->rank)
		return HB_BAD(g, n, "batch_dims is %lld and indices have rank %d", (long long)batch, ix->rank);
	int64_t last = ix->dim[ix->rank - 1];
	if (last > x->rank - batch)
		return HB_BAD(g, n, "indices name %lld dimensions; the input has %d", (long long)last,
			      x->rank - (int)batch);
	for (int i = 0; i < batch; i++)
		if (x->dim[i] != ix->dim[i])
			return HB_BAD(g, n, "batch dimension %d is %lld and %lld", i, (long long)x->dim[i],
				      (long long)ix->dim[i]);
	for (int i = 0; i < last; i++)
		if (!x->dim[batch + i] && hb_shape_elems(ix))
			return HB_BAD(g, n, "indices point into an empty dimension");
	*depth = (int)last;
	return HB_OK;
}

/* Where in a tensor of shape x the index tuple number i points, from its batch on. */
static int64_t
tuple_at(const hb_shape *x, const hb_val *ix, int64_t i, int batch, int depth)
{
	int64_t off = 0;

	for (int d = 0; d < depth; d++) {
		int64_t dim = x->dim[batch + d];
		off = off * dim + wrapped(hb_val_i(ix, i * depth + d), dim);
	}
	return off * hb_shape_span(x, batch + depth, x->rank);
}

static hb_status
shape_gather_nd(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *ix = &n->in[1]->shape;
	int64_t batch = hb_attr_i(n, "batch_dims", 0);
	hb_shape s = { .rank = 0 };
	int depth = 0;

	HB_TRY(check_nd(g, n, batch, &depth));
	if (ix->rank - 1 + x->rank - depth - batch > HB_MAX_RANK)
		return HB_BAD(g, n, "output would have a rank above %d", HB_MAX_RANK);
	for (int i = 0; i < ix->rank - 1; i++)
		s.dim[s.rank++] = ix->dim[i];
	for (int i = (int)batch + depth; i < x->rank; i++)
		s.dim[s.rank++] = x->dim[i];
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

static void
run_gather_nd(const hb_call *c)
{
	const hb_val *x = c->in[0], *ix = c->in[1], *y = c->out[0];
	int batch = (int)hb_attr_i(c->n, "batch_dims", 0), depth = (int)ix->shape.dim[ix->shape.rank - 1];
	int64_t tuples = hb_shape_span(&ix->shape, 0, ix->shape.rank - 1);
	int64_t batches = hb_shape_span(&x->shape, 0, batch),
		run = hb_shape_span(&x->shape, batch + depth, x->shape.rank);
	int64_t each = hb_shape_span(&x->shape, batch, x->shape.rank);

	if (!hb_val_elems(y))
		return;
	for (int64_t i = 0; i < tuples; i++) {
		int64_t from = i / (tuples / batches) * each + tuple_at(&x->shape, ix, i, batch, depth);
		combine(SET, y, i * run, x, from, run);
	}
}

static const hb_attr_row batch_rows[] = { { "batch_dims", HB_ATTR_INT, false, 12, 0 }, { 0 } };

const hb_op hb_op_gather_nd = {
	.name = "GatherND", .since = 11, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = batch_rows, .in_types = { 0, HB_BIT(HB_I64) }, .shape = shape_gather_nd, .run = run_gather_nd,
};

static hb_status
shape_scatter_nd(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *ix = &n->in[1]->shape;
	hb_shape want = { .rank = 0 };
	char a[HB_SHAPE_TEXT], b[HB_SHAPE_TEXT];
	int depth = 0;

	HB_TRY(check_nd(g, n, 0, &depth));
	HB_TRY(check_combine(g, n));
	if (ix->rank - 1 + x->rank - depth > HB_MAX_RANK)
		return HB_BAD(g, n, "updates would have a rank above %d", HB_MAX_RANK);
	for (int i = 0; i < ix->rank - 1; i++)
		want.dim[want.rank++] = ix->dim[i];
	for (int i = depth; i < x->rank; i++)
		want.dim[want.rank++] = x->dim[i];
	if (!hb_shape_eq(&want, &n->in[2]->shape))
		return HB_BAD(g, n, "updates are %s; %s is taken", hb_shape_text(&n->in[2]->shape, a),
			      hb_shape_text(&want, b));
	return hb_shape_same(g, n);
}

static void
run_scatter_nd(const hb_call *c)
{
	const hb_val *ix = c->in[1], *y = c->out[0];
	int depth = (int)ix->shape.dim[ix->shape.rank - 1];
	int64_t tuples = hb_shape_span(&ix->shape, 0, ix->shape.rank - 1),
		run = hb_shape_span(&y->shape, depth, y->shape.rank);
	enum combine how = combine_of(c->n);

	hb_copy_bytes(c->cx, y->data, c->in[0]->data, (uint64_t)hb_val_elems(y) * hb_dtype_size(y->dtype));
	for (int64_t i = 0; run && i < tuples; i++)
		combine(how, y, tuple_at(&y->shape, ix, i, 0, depth), c->in[2], i * run, run);
}

static const hb_attr_row reduction_rows[] = { { "reduction", HB_ATTR_STRING, false, 16, 0 }, { 0 } };

const hb_op hb_op_scatter_nd = {
	.name = "ScatterND", .since = 11, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = reduction_rows, .in_types = { 0, HB_BIT(HB_I64) }, .shape = shape_scatter_nd, .run = run_scatter_nd,
};

/* ---- TensorScatter: an update written into a cache, at a place of its own for each batch ---- */

static hb_status
shape_tensor_scatter(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *up = &n->in[1]->shape;
	const char *mode = hb_attr_s(n, "mode", "linear");
	hb_tensor *at = hb_in(n, 2);
	int axis;

	HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", -2), x->rank, &axis));
	if (strcmp(mode, "linear") && strcmp(mode, "circular"))
		return HB_BAD(g, n, "mode is '%s'; linear or circular is taken", mode);
	if (axis == 0 || up->rank != x->rank || n->in[1]->dtype != n->in[0]->dtype)
		return HB_BAD(g, n, "update does not go with the cache, or axis is 0");
	for (int i = 0; i < x->rank; i++)
		if (i == axis ? up->dim[i] > x->dim[i] : up->dim[i] != x->dim[i])
			return HB_BAD(g, n, "update has extent %lld in dimension %d and the cache %lld",
				      (long long)up->dim[i], i, (long long)x->dim[i]);
	if (at && (at->shape.rank != 1 || at->shape.dim[0] != x->dim[0]))
		return HB_BAD(g, n, "write_indices must have one entry for each of %lld batches", (long long)x->dim[0]);
	return hb_shape_same(g, n);
}

static void
run_tensor_scatter(const hb_call *c)
{
	const hb_val *y = c->out[0], *up = c->in[1], *at = hb_call_in(c, 2);
	int axis = axis_of(c->n, -2, y->shape.rank);
	hb_split3 s = hb_split_at(&y->shape, axis);
	int64_t rows = up->shape.dim[axis], batches = y->shape.dim[0];
	bool circular = !strcmp(hb_attr_s(c->n, "mode", "linear"), "circular");

	hb_copy_bytes(c->cx, y->data, c->in[0]->data, (uint64_t)hb_val_elems(y) * hb_dtype_size(y->dtype));
	if (!hb_val_elems(up))
		return;
	for (int64_t o = 0; o < s.outer; o++) {
		int64_t first = at ? hb_val_i(at, o / (s.outer / batches)) : 0;
		if (!circular)
			first = HB_MAX(0, HB_MIN(first, s.axis - rows));
		for (int64_t r = 0; r < rows; r++) {
			int64_t row = ((first % s.axis + s.axis) % s.axis + r) % s.axis;
			combine(SET, y, (o * s.axis + row) * s.inner, up, (o * rows + r) * s.inner, s.inner);
		}
	}
}

static const hb_attr_row tensor_scatter_rows[] = {
	{ "axis", HB_ATTR_INT, false, 0, 0 }, { "mode", HB_ATTR_STRING, false, 0, 0 }, { 0 } };

const hb_op hb_op_tensor_scatter = {
	.name = "TensorScatter", .since = 24, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = tensor_scatter_rows, .in_types = { 0, 0, HB_BIT(HB_I64) },
	.shape = shape_tensor_scatter, .run = run_tensor_scatter,
};

/* ---- OneHot ---- */

static hb_status
shape_one_hot(hb_graph *g, hb_node *n)
{
	const hb_shape *ix = &n->in[0]->shape, *values = &n->in[2]->shape;
	hb_tensor *depth = n->in[1];
	hb_shape s = { .rank = ix->rank + 1 };
	float d = 0;
	int axis;

	if (s.rank > HB_MAX_RANK)
		return HB_BAD(g, n, "output would have rank %d; up to %d is taken", s.rank, HB_MAX_RANK);
	HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", -1), s.rank, &axis));
	if (values->rank != 1 || values->dim[0] != 2)
		return HB_BAD(g, n, "values must be two: off and on");
	if (!depth->is_const)
		return hb_need_const(g, n, 1);
	const void *data = hb_shape_elems(&depth->shape) == 1 ? hb_tensor_data(g, depth) : NULL;
	if (data)
		hb_float_load(depth->dtype, data, 0, 1, 1, &d);
	if (!data || !(d >= 0 && d <= 0x1p40f))
		return HB_BAD(g, n, "depth must be one number, 0 to 2^40");
	for (int i = 0, from = 0; i < s.rank; i++)
		s.dim[i] = i == axis ? (int64_t)d : ix->dim[from++];
	return hb_set_out(g, n, 0, n->in[2]->dtype, &s);
}

static void
run_one_hot(const hb_call *c)
{
	const hb_val *ix = c->in[0], *y = c->out[0];
	hb_split3 s = hb_split_at(&y->shape, axis_of(c->n, -1, y->shape.rank));
	size_t size = hb_dtype_size(y->dtype);
	const uint8_t *values = c->in[2]->data;

	hb_fill(y->data, size, values, hb_val_elems(y));
	for (int64_t i = 0, n = hb_val_elems(ix); s.axis && i < n; i++) {
		double k = ix->dtype == HB_F32 ? (double)hb_val_f(ix, i) : (double)hb_val_i(ix, i);
		k += k < 0 ? (double)s.axis : 0;
		if (!(k >= 0 && k < (double)s.axis))
			continue;
		int64_t at = (i / s.inner * s.axis + (int64_t)k) * s.inner + i % s.inner;
		memcpy((uint8_t *)y->data + (size_t)at * size, values + size, size);
	}
}

const hb_op hb_op_one_hot = {
	.name = "OneHot", .since = 9, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = axis_rows, .in_types = { HB_NUMBERS, HB_NUMBERS }, .shape = shape_one_hot, .run = run_one_hot,
};

/* ---- TopK: a heap of the k best; equal values in the order of their indices ---- */

struct top {
	int64_t key, index;
};

/* A key that orders as the value does, greater is better: of floats the bits, NaN above all. */
static int64_t
key_of(const hb_val *x, int64_t i, bool largest)
{
	int64_t key;

	if (x->dtype == HB_F32) {
		float v = ((const float *)x->data)[i] + 0.0f;
		int32_t bits = (int32_t)hb_bits32(v != v ? (float)NAN : v);
		key = bits < 0 ? (int64_t)(bits ^ 0x7fffffff) : bits;
	} else {
		key = hb_val_i(x, i) ^ (x->dtype == HB_U64 ? INT64_MIN : 0);
	}
	return largest ? key : ~key;
}

static bool
worse(const struct top *a, const struct top *b)
{
	return a->key != b->key ? a->key < b->key : a->index > b->index;
}

/* The worst of h[0..n) sinks to its place from i. */
static void
sift(struct top *h, int64_t n, int64_t i)
{
	for (int64_t k; (k = 2 * i + 1) < n; i = k) {
		if (k + 1 < n && worse(&h[k + 1], &h[k]))
			k++;
		if (!worse(&h[k], &h[i]))
			return;
		struct top t = h[i];
		h[i] = h[k];
		h[k] = t;
	}
}

struct top_call {
	const hb_val *x, *values, *indices;
	hb_split3 at;
	int64_t k;
	bool largest;
	struct top *heaps;		/* k a worker */
};

static void
top_lines(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct top_call *t = arg;
	struct top *h = t->heaps + worker * t->k;

	for (int64_t line = begin; line < end; line++) {
		int64_t in = line / t->at.inner * t->at.axis * t->at.inner + line % t->at.inner;
		int64_t out = line / t->at.inner * t->k * t->at.inner + line % t->at.inner;
		for (int64_t i = 0; i < t->at.axis; i++) {
			struct top v = { key_of(t->x, in + i * t->at.inner, t->largest), i };
			if (i < t->k) {
				h[i] = v;
				if (i == t->k - 1)
					for (int64_t j = t->k / 2; j-- > 0;)
						sift(h, t->k, j);
			} else if (worse(&h[0], &v)) {
				h[0] = v;
				sift(h, t->k, 0);
			}
		}
		/* Worst first leaves the heap, for the last place. */
		for (int64_t n = t->k; n-- > 0;) {
			int64_t to = out + n * t->at.inner;
			if (t->values)
				combine(SET, t->values, to, t->x, in + h[0].index * t->at.inner, 1);
			if (t->indices)
				((int64_t *)t->indices->data)[to] = h[0].index;
			h[0] = h[n];
			sift(h, n, 0);
		}
	}
}

static hb_status
shape_top_k(hb_graph *g, hb_node *n)
{
	hb_shape s = n->in[0]->shape;
	int64_t k = hb_attr_i(n, "k", 0);
	int axis;

	HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", -1), s.rank, &axis));
	if (n->version >= 10) {
		if (!hb_in(n, 1))
			return HB_BAD(g, n, "input 1, K, is absent");
		HB_TRY(hb_const_int(g, n, 1, "K", &k));
	}
	if (k < 0 || k > s.dim[axis])
		return HB_BAD(g, n, "K is %lld; 0 to the axis' extent of %lld is taken", (long long)k,
			      (long long)s.dim[axis]);
	s.dim[axis] = k;
	HB_TRY(hb_set_out(g, n, 0, n->in[0]->dtype, &s));
	return hb_set_out(g, n, 1, HB_I64, &s);
}

static const hb_shape *
top_shape(const hb_node *n)
{
	return n->out[0] ? &n->out[0]->shape : &n->out[1]->shape;
}

static size_t
scratch_top_k(const hb_node *n, int jobs)
{
	const hb_shape *s = top_shape(n);

	return (size_t)s->dim[axis_of(n, -1, s->rank)] * sizeof(struct top) * (size_t)jobs;
}

static void
run_top_k(const hb_call *c)
{
	const hb_val *x = c->in[0], *indices = c->n->nout > 1 ? c->out[1] : NULL;
	int axis = axis_of(c->n, -1, x->shape.rank);
	struct top_call t = { x, c->out[0], indices, hb_split_at(&x->shape, axis), top_shape(c->n)->dim[axis],
			      hb_attr_i(c->n, "largest", 1) != 0, c->scratch };
	int64_t lines = t.at.outer * t.at.inner;

	if (lines && t.k)
		hb_parallel(c->cx, lines, HB_MAX(1, 4096 / t.at.axis), top_lines, &t);
}

static const hb_attr_row top_rows[] = {
	{ "axis", HB_ATTR_INT, false, 0, 0 }, { "k", HB_ATTR_INT, true, 1, 9 },
	{ "largest", HB_ATTR_INT, false, 11, 0 }, { "sorted", HB_ATTR_INT, false, 11, 0 }, { 0 } };

const hb_op hb_op_top_k = {
	.name = "TopK", .since = 1, .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 2,
	.attrs = top_rows, .types = HB_NUMBERS, .in_types = { 0, HB_BIT(HB_I64) },
	.shape = shape_top_k, .scratch = scratch_top_k, .run = run_top_k, .role = HB_ROLE_PASS, .convert = hb_to_fx_top_k,
};

/* ---- NonZero, Compress, Unique: how much comes out depends on what goes in ---- */

static bool
is_zero(const hb_val *x, int64_t i)
{
	return x->dtype == HB_F32 ? ((const float *)x->data)[i] == 0.0f : hb_val_i(x, i) == 0;
}

/* Constant input i as a value. */
static hb_status
const_val(hb_graph *g, hb_node *n, int i, hb_val *v)
{
	hb_tensor *t = n->in[i];

	if (!t->is_const)
		return hb_need_const(g, n, i);
	*v = (hb_val){ t->dtype, t->shape, NULL };
	if (!hb_shape_elems(&t->shape))
		return HB_OK;
	const void *data = hb_tensor_data(g, t);
	if (!data)
		return HB_ERR_NOMEM;
	memcpy(&v->data, &data, sizeof(data));
	return HB_OK;
}

static hb_status
shape_non_zero(hb_graph *g, hb_node *n)
{
	hb_shape s = { 2, { n->in[0]->shape.rank, 0 } };
	hb_val x;

	HB_TRY(const_val(g, n, 0, &x));
	for (int64_t i = 0, elems = hb_val_elems(&x); i < elems; i++)
		s.dim[1] += !is_zero(&x, i);
	return hb_set_out(g, n, 0, HB_I64, &s);
}

static void
run_non_zero(const hb_call *c)
{
	const hb_val *x = c->in[0];
	int64_t *y = c->out[0]->data, count = c->out[0]->shape.dim[1], done = 0, at[HB_MAX_RANK];

	for (int64_t i = 0, n = hb_val_elems(x); i < n && done < count; i++) {
		if (is_zero(x, i))
			continue;
		hb_coords(&x->shape, i, at);
		for (int d = 0; d < x->shape.rank; d++)
			y[d * count + done] = at[d];
		done++;
	}
}

const hb_op hb_op_non_zero = {
	.name = "NonZero", .since = 9, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.shape = shape_non_zero, .run = run_non_zero,
};

static hb_status
shape_compress(hb_graph *g, hb_node *n)
{
	hb_shape s = n->in[0]->shape;
	int64_t kept = 0, have;
	hb_val cond;
	int axis = 0;

	if (hb_attr_find(n, "axis")) {
		HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", 0), s.rank, &axis));
		have = s.dim[axis];
	} else {
		have = hb_shape_elems(&s);
		s.rank = 1;
	}
	HB_TRY(const_val(g, n, 1, &cond));
	if (cond.shape.rank != 1 || cond.shape.dim[0] > have)
		return HB_BAD(g, n, "condition must be a list of at most %lld", (long long)have);
	for (int64_t i = 0; i < cond.shape.dim[0]; i++)
		kept += !is_zero(&cond, i);
	s.dim[axis] = kept;
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

static void
run_compress(const hb_call *c)
{
	const hb_val *x = c->in[0], *cond = c->in[1], *y = c->out[0];
	hb_split3 s = { 1, hb_val_elems(x), 1 };
	int64_t out = 0;

	if (hb_attr_find(c->n, "axis"))
		s = hb_split_at(&x->shape, axis_of(c->n, 0, x->shape.rank));
	if (!hb_val_elems(y))
		return;
	for (int64_t o = 0; o < s.outer; o++)
		for (int64_t i = 0; i < cond->shape.dim[0]; i++)
			if (!is_zero(cond, i))
				combine(SET, y, s.inner * out++, x, (o * s.axis + i) * s.inner, s.inner);
}

const hb_op hb_op_compress = {
	.name = "Compress", .since = 9, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = axis_rows, .in_types = { 0, HB_BIT(HB_BOOL) }, .shape = shape_compress, .run = run_compress,
};

/* ---- Range ---- */

static hb_status
shape_range(hb_graph *g, hb_node *n)
{
	hb_shape s = { 1, { 0 } };
	hb_val v[3];

	for (int i = 0; i < 3; i++) {
		HB_TRY(const_val(g, n, i, &v[i]));
		if (hb_val_elems(&v[i]) != 1 || v[i].dtype != v[0].dtype)
			return HB_BAD(g, n, "start, limit and delta must be one number each, of one type");
	}
	if (v[0].dtype == HB_F32) {
		double start = (double)hb_val_f(&v[0], 0), limit = (double)hb_val_f(&v[1], 0),
		       delta = (double)hb_val_f(&v[2], 0);
		double count = ceil((limit - start) / delta);
		if (delta == 0 || !(count < 0x1p47))
			return HB_BAD(g, n, "start, limit and delta give no finite range");
		s.dim[0] = count > 0 ? (int64_t)count : 0;
	} else {
		int64_t start = hb_val_i(&v[0], 0), limit = hb_val_i(&v[1], 0), delta = hb_val_i(&v[2], 0);
		if (delta == 0)
			return HB_BAD(g, n, "delta is 0");
		if (delta > 0 ? limit > start : limit < start) {
			uint64_t span =
				delta > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
			uint64_t step = delta > 0 ? (uint64_t)delta : 0 - (uint64_t)delta;
			uint64_t count = (span - 1) / step + 1;
			if (count > UINT64_C(1) << 47)
				return HB_BAD(g, n, "the range has %llu elements; up to 2^47 are taken",
					      (unsigned long long)count);
			s.dim[0] = (int64_t)count;
		}
	}
	return hb_set_out(g, n, 0, v[0].dtype, &s);
}

static void
run_range(const hb_call *c)
{
	const hb_val *y = c->out[0];

	for (int64_t i = 0, n = y->shape.dim[0]; i < n; i++) {
		if (y->dtype == HB_F32) {
			((float *)y->data)[i] = hb_val_f(c->in[0], 0) + (float)i * hb_val_f(c->in[2], 0);
			continue;
		}
		int64_t v = (int64_t)((uint64_t)hb_val_i(c->in[0], 0) + (uint64_t)i * (uint64_t)hb_val_i(c->in[2], 0));
		hb_wide_store(y->dtype, &v, y->data, i, 1);
	}
}

const hb_op hb_op_range = {
	.name = "Range", .since = 11, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	.types = HB_BIT(HB_F32) | HB_BIT(HB_I16) | I32_64, .shape = shape_range, .run = run_range,
};

/* ---- EyeLike, Trilu ---- */

static hb_status
shape_eye_like(hb_graph *g, hb_node *n)
{
	hb_dtype dt = n->in[0]->dtype;

	if (n->in[0]->shape.rank != 2)
		return HB_BAD(g, n, "input has rank %d; rank 2 is taken", n->in[0]->shape.rank);
	if (hb_attr_find(n, "dtype"))
		dt = hb_onnx_dtype(hb_attr_i(n, "dtype", 0));
	if (dt == HB_NONE)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "type", "dtype %lld is not supported",
			       (long long)hb_attr_i(n, "dtype", 0));
	return hb_set_out(g, n, 0, dt, &n->in[0]->shape);
}

static void
run_eye_like(const hb_call *c)
{
	const hb_val *y = c->out[0];
	int64_t rows = y->shape.dim[0], cols = y->shape.dim[1], k = hb_attr_i(c->n, "k", 0);
	float one = 1;

	if (!hb_val_elems(y))
		return;
	memset(y->data, 0, (size_t)hb_val_elems(y) * hb_dtype_size(y->dtype));
	if (k <= -rows || k >= cols)
		return;
	for (int64_t i = HB_MAX(0, -k); i < rows && i + k < cols; i++)
		hb_float_store(y->dtype, &one, y->data, i * cols + i + k, 1);
}

static const hb_attr_row eye_rows[] = {
	{ "dtype", HB_ATTR_INT, false, 0, 0 }, { "k", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_eye_like = {
	.name = "EyeLike", .since = 9, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = eye_rows, .shape = shape_eye_like, .run = run_eye_like,
};

static hb_status
shape_trilu(hb_graph *g, hb_node *n)
{
	if (n->in[0]->shape.rank < 2)
		return HB_BAD(g, n, "input has rank %d; rank 2 and more is taken", n->in[0]->shape.rank);
	if (hb_in(n, 1) && hb_shape_elems(&n->in[1]->shape) != 1)
		return HB_BAD(g, n, "k has %lld elements; one is taken", (long long)hb_shape_elems(&n->in[1]->shape));
	return hb_shape_same(g, n);
}

static void
run_trilu(const hb_call *c)
{
	const hb_val *x = c->in[0], *y = c->out[0];
	int64_t rows = x->shape.dim[x->shape.rank - 2], cols = x->shape.dim[x->shape.rank - 1];
	int64_t k = hb_call_in(c, 1) ? hb_val_i(c->in[1], 0) : 0, n = hb_val_elems(x);
	bool upper = hb_attr_i(c->n, "upper", 1) != 0;
	size_t size = hb_dtype_size(x->dtype);

	if (!n)
		return;
	k = HB_MAX(-rows - 1, HB_MIN(k, cols + 1));
	for (int64_t r = 0; r < n / cols; r++) {
		/* Columns of this row that are above the diagonal, it included (upper), or not beyond it. */
		int64_t cut = HB_MAX(0, HB_MIN(r % rows + k + (upper ? 0 : 1), cols));
		uint8_t *to = (uint8_t *)y->data + (size_t)(r * cols) * size;
		const uint8_t *from = (const uint8_t *)x->data + (size_t)(r * cols) * size;
		int64_t lo = upper ? cut : 0, hi = upper ? cols : cut;
		memset(to, 0, (size_t)cols * size);
		memcpy(to + (size_t)lo * size, from + (size_t)lo * size, (size_t)(hi - lo) * size);
	}
}

static const hb_attr_row trilu_rows[] = { { "upper", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_trilu = {
	.name = "Trilu", .since = 14, .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = trilu_rows, .in_types = { 0, HB_BIT(HB_I64) }, .shape = shape_trilu, .run = run_trilu,
};

/* ---- CumSum ---- */

static hb_status
shape_cum_sum(hb_graph *g, hb_node *n)
{
	int rank = n->in[0]->shape.rank, axis;

	if (hb_shape_elems(&n->in[1]->shape) != 1)
		return HB_BAD(g, n, "axis has %lld elements; one is taken",
			      (long long)hb_shape_elems(&n->in[1]->shape));
	if (rank < 1)
		return HB_BAD(g, n, "input is a scalar; rank 1 and more is taken");
	if (n->in[1]->is_const) {
		hb_val v;
		HB_TRY(const_val(g, n, 1, &v));
		HB_TRY(hb_axis(g, n, "axis", hb_val_i(&v, 0), rank, &axis));
	}
	return hb_shape_same(g, n);
}

struct cum_call {
	const hb_val *x, *y;
	hb_split3 at;
	bool exclusive, reverse;
};

static void
cum_lines(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct cum_call *k = arg;

	(void)worker;
	for (int64_t line = begin; line < end; line++) {
		int64_t base = line / k->at.inner * k->at.axis * k->at.inner + line % k->at.inner, wide = 0;
		double sum = 0;
		for (int64_t j = 0; j < k->at.axis; j++) {
			int64_t i = base + (k->reverse ? k->at.axis - 1 - j : j) * k->at.inner;
			if (k->x->dtype == HB_F32) {
				double v = (double)((const float *)k->x->data)[i];
				((float *)k->y->data)[i] = (float)(k->exclusive ? sum : sum + v);
				sum += v;
			} else {
				int64_t v = (int64_t)((uint64_t)wide + (uint64_t)hb_val_i(k->x, i));
				hb_wide_store(k->y->dtype, k->exclusive ? &wide : &v, k->y->data, i, 1);
				wide = v;
			}
		}
	}
}

static void
run_cum_sum(const hb_call *c)
{
	const hb_val *x = c->in[0];
	struct cum_call k = { x, c->out[0], hb_split_at(&x->shape, (int)wrapped(hb_val_i(c->in[1], 0), x->shape.rank)),
			      hb_attr_i(c->n, "exclusive", 0) != 0, hb_attr_i(c->n, "reverse", 0) != 0 };

	if (hb_val_elems(x))
		hb_parallel(c->cx, k.at.outer * k.at.inner, HB_MAX(1, 8192 / k.at.axis), cum_lines, &k);
}

static const hb_attr_row cum_rows[] = {
	{ "exclusive", HB_ATTR_INT, false, 0, 0 }, { "reverse", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_cum_sum = {
	.name = "CumSum", .since = 11, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = cum_rows, .types = HB_NUMBERS, .in_types = { 0, I32_64 }, .shape = shape_cum_sum, .run = run_cum_sum,
};

/* ---- ReverseSequence: the first sequence_lens[b] steps of batch b, backwards ---- */

static hb_status
shape_reverse_sequence(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *lens = &n->in[1]->shape;
	int64_t batch = hb_attr_i(n, "batch_axis", 1), time = hb_attr_i(n, "time_axis", 0);

	if (x->rank < 2 || batch < 0 || batch > 1 || time < 0 || time > 1 || batch == time)
		return HB_BAD(g, n, "batch_axis %lld and time_axis %lld must be 0 and 1 of rank 2 or more",
			      (long long)batch, (long long)time);
	if (lens->rank != 1 || lens->dim[0] != x->dim[batch])
		return HB_BAD(g, n, "sequence_lens must have one entry for each of %lld batches",
			      (long long)x->dim[batch]);
	return hb_shape_same(g, n);
}

static void
run_reverse_sequence(const hb_call *c)
{
	const hb_val *x = c->in[0], *y = c->out[0];
	int batch = (int)hb_attr_i(c->n, "batch_axis", 1);
	int64_t steps = x->shape.dim[!batch], batches = x->shape.dim[batch],
		inner = hb_shape_span(&x->shape, 2, x->shape.rank);

	if (!hb_val_elems(x))
		return;
	for (int64_t b = 0; b < batches; b++) {
		int64_t len = HB_MAX(0, HB_MIN(hb_val_i(c->in[1], b), steps));
		for (int64_t t = 0; t < steps; t++) {
			int64_t from = t < len ? len - 1 - t : t;
			int64_t dst = batch ? t * batches + b : b * steps + t,
				src = batch ? from * batches + b : b * steps + from;
			combine(SET, y, dst * inner, x, src * inner, inner);
		}
	}
}

static const hb_attr_row reverse_rows[] = {
	{ "batch_axis", HB_ATTR_INT, false, 0, 0 }, { "time_axis", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_reverse_sequence = {
	.name = "ReverseSequence", .since = 10, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = reverse_rows, .in_types = { 0, HB_BIT(HB_I64) },
	.shape = shape_reverse_sequence, .run = run_reverse_sequence,
};

/* ---- Unique: found when shapes are inferred, as its extent depends on it ---- */

struct unique {
	hb_split3 at;			/* slices along the axis; of all elements without one */
	int64_t count;			/* of what is unique */
	int64_t *first;			/* its first slice, of each of count */
	int64_t *times;			/* how often it occurs */
	int64_t *which;			/* of each slice */
};

struct slice_ref {
	const hb_val *x;
	const hb_split3 *at;
	int64_t index;
};

/* Slices compare by their elements in order. */
static int
by_content(const struct slice_ref *a, const struct slice_ref *b)
{
	const hb_split3 *s = a->at;

	for (int64_t i = 0; i < s->outer * s->inner; i++) {
		int64_t row = i / s->inner * s->axis * s->inner + i % s->inner;
		int64_t p = key_of(a->x, row + a->index * s->inner, true),
			q = key_of(b->x, row + b->index * s->inner, true);
		if (p != q)
			return p < q ? -1 : 1;
	}
	return 0;
}

static int
by_content_then_place(const void *a, const void *b)
{
	const struct slice_ref *p = a, *q = b;
	int order = by_content(p, q);

	return order ? order : p->index < q->index ? -1 : 1;
}

static int
by_place(const void *a, const void *b)
{
	const struct slice_ref *p = a, *q = b;

	return p->index < q->index ? -1 : p->index > q->index;
}

static hb_status
find_unique(hb_graph *g, hb_node *n, const hb_val *x, bool sorted, struct unique *u)
{
	int64_t slices = u->at.axis;
	struct slice_ref *all = HB_NEW_N(g->arena, struct slice_ref, slices + 1);
	struct slice_ref *heads = HB_NEW_N(g->arena, struct slice_ref, slices + 1);
	int64_t *group = HB_NEW_N(g->arena, int64_t, slices + 1), *place = HB_NEW_N(g->arena, int64_t, slices + 1);

	u->first = HB_NEW_N(g->arena, int64_t, slices + 1);
	u->times = HB_NEW_N(g->arena, int64_t, slices + 1);
	u->which = HB_NEW_N(g->arena, int64_t, slices + 1);
	if (!all || !heads || !group || !place || !u->first || !u->times || !u->which)
		return hb_nomem(g->cx, n->name);
	for (int64_t i = 0; i < slices; i++)
		all[i] = (struct slice_ref){ x, &u->at, i };
	qsort(all, (size_t)slices, sizeof(*all), by_content_then_place);
	for (int64_t i = 0; i < slices; i++) {
		if (!i || by_content(&all[i - 1], &all[i]))
			heads[u->count++] = all[i];
		group[all[i].index] = heads[u->count - 1].index;
	}
	if (!sorted)
		qsort(heads, (size_t)u->count, sizeof(*heads), by_place);
	for (int64_t i = 0; i < u->count; i++) {
		u->first[i] = heads[i].index;
		place[heads[i].index] = i;
	}
	for (int64_t i = 0; i < slices; i++) {
		u->which[i] = place[group[i]];
		u->times[u->which[i]]++;
	}
	return HB_OK;
}

static hb_status
shape_unique(hb_graph *g, hb_node *n)
{
	hb_shape s = n->in[0]->shape;
	struct unique *u = HB_AUX(g, n, struct unique);
	hb_val x;
	int axis = 0;

	if (!u)
		return hb_nomem(g->cx, n->name);
	if (hb_attr_find(n, "axis")) {
		HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", 0), s.rank, &axis));
		u->at = hb_split_at(&s, axis);
	} else {
		u->at = (hb_split3){ 1, hb_shape_elems(&s), 1 };
		s.rank = 1;
	}
	HB_TRY(const_val(g, n, 0, &x));
	HB_TRY(find_unique(g, n, &x, hb_attr_i(n, "sorted", 1) != 0, u));
	s.dim[axis] = u->count;
	hb_shape count = { 1, { u->count } }, slices = { 1, { u->at.axis } };
	HB_TRY(hb_set_out(g, n, 0, n->in[0]->dtype, &s));
	HB_TRY(hb_set_out(g, n, 1, HB_I64, &count));
	HB_TRY(hb_set_out(g, n, 2, HB_I64, &slices));
	return hb_set_out(g, n, 3, HB_I64, &count);
}

static void
run_unique(const hb_call *c)
{
	const struct unique *u = c->n->aux;
	const int64_t *lists[] = { NULL, u->first, u->which, u->times };

	for (int64_t o = 0; c->out[0] && hb_val_elems(c->out[0]) && o < u->at.outer; o++)
		for (int64_t i = 0; i < u->count; i++)
			combine(SET, c->out[0], (o * u->count + i) * u->at.inner, c->in[0],
				(o * u->at.axis + u->first[i]) * u->at.inner, u->at.inner);
	for (int k = 1; k < c->n->nout; k++)
		if (c->out[k] && hb_val_elems(c->out[k]))
			memcpy(c->out[k]->data, lists[k], sizeof(int64_t) * (size_t)hb_val_elems(c->out[k]));
}

static const hb_attr_row unique_rows[] = {
	{ "axis", HB_ATTR_INT, false, 0, 0 }, { "sorted", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_unique = {
	.name = "Unique", .since = 11, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 4,
	.attrs = unique_rows, .shape = shape_unique, .run = run_unique,
};
