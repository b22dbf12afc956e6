/* fx_move.c: fixed-point operators that move integers: Concat, Pad, Slice, Transpose, Reshape, Expand. */
#include "ops/fx_util.h"
#include "ops/lower.h"

/* ---- Concat ---- */

static hb_status
shape_concat(hb_graph *g, hb_node *n)
{
	hb_shape out = n->in[0]->shape;
	int axis;

	HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", 0), out.rank, &axis));
	n->aux = hb_arena_dup(g->arena, &axis, sizeof(axis));
	if (!n->aux)
		return HB_ERR_NOMEM;
	for (int i = 1; i < n->nin; i++) {
		const hb_shape *s = n->in[i] ? &n->in[i]->shape : NULL;

		if (!s || s->rank != out.rank || n->in[i]->dtype != n->in[0]->dtype)
			return HB_FX_BAD(g, n, "operand %d has another rank or type than operand 0", i);
		for (int d = 0; d < out.rank; d++)
			if (d != axis && s->dim[d] != out.dim[d])
				return HB_FX_BAD(g, n, "operand %d has extent %lld in dimension %d, operand 0 has %lld", i,
						 (long long)s->dim[d], d, (long long)out.dim[d]);
		if (!hb_add64(out.dim[axis], s->dim[axis], &out.dim[axis]))
			return HB_FX_BAD(g, n, "the output is too long");
	}
	return hb_fx_out(g, n, n->in[0]->dtype, &out);
}

static void
run_concat(const hb_call *c)
{
	int axis = *(const int *)c->n->aux;
	hb_split3 s = hb_split_at(&c->out[0]->shape, axis);
	size_t size = hb_dtype_size(c->out[0]->dtype), row = (size_t)(s.axis * s.inner) * size;
	uint8_t *to = c->out[0]->data;

	for (int i = 0; i < c->n->nin; i++) {
		size_t part = (size_t)(c->in[i]->shape.dim[axis] * s.inner) * size;

		for (int64_t o = 0; o < s.outer; o++)
			memcpy(to + (size_t)o * row, (const uint8_t *)c->in[i]->data + (size_t)o * part, part);
		to += part;
	}
}

static const hb_attr_row axis_rows[] = { { "axis", HB_ATTR_INT, true, 0, 0 }, { 0 } };

const hb_op hb_op_fx_concat = {
	.name = "Concat", .domain = "hbcc", .since = 1, .min_in = 1, .max_in = -1, .min_out = 1, .max_out = 1,
	.attrs = axis_rows, .types = HB_FX_TYPES, .shape = shape_concat, .run = run_concat,
	.sched = &hb_sched_concat,
};

/* ---- Pad ---- */

typedef enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP, PAD_MODES } pad_mode;

typedef struct pad {
	pad_mode mode;
	int32_t value;
	int64_t before[HB_MAX_RANK];
} pad;

static hb_status
shape_pad(hb_graph *g, hb_node *n)
{
	static const char *const modes[] = { "constant", "reflect", "edge", "wrap" };
	const hb_shape *x = &n->in[0]->shape;
	const char *mode = hb_attr_s(n, "mode", "constant");
	int64_t pads[2 * HB_MAX_RANK];
	hb_shape out = *x;
	hb_dtype dt = n->in[0]->dtype;
	pad *a = HB_AUX(g, n, pad);

	if (!a)
		return HB_ERR_NOMEM;
	while (a->mode < PAD_MODES && strcmp(mode, modes[a->mode]))
		a->mode++;
	if (a->mode == PAD_MODES)
		return HB_FX_BAD(g, n, "mode is '%s'; it must be constant, reflect, edge or wrap", mode);
	HB_TRY(hb_fx_ints(g, n, "pads", 2 * x->rank, 0, 0, INT32_MAX, pads));
	HB_TRY(hb_fx_int(g, n, "value", 0, hb_qmin(dt), hb_qmax(dt), &a->value));
	for (int d = 0; d < x->rank; d++) {
		a->before[d] = pads[d];
		out.dim[d] += pads[d] + pads[x->rank + d];
	}
	return hb_fx_out(g, n, dt, &out);
}

/* Where index o, counted from the input's first, reads; -1: the value. */
static int64_t
pad_source(pad_mode mode, int64_t o, int64_t extent)
{
	if (o >= 0 && o < extent)
		return o;
	switch (mode) {
	case PAD_REFLECT: {
		int64_t period = 2 * (extent - 1);

		if (!period)
			return 0;
		o = (o % period + period) % period;
		return o < extent ? o : period - o;
	}
	case PAD_EDGE:
		return o < 0 ? 0 : extent - 1;
	case PAD_WRAP:
		return (o % extent + extent) % extent;
	default:
		return -1;
	}
}

static void
pad_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const hb_call *c = arg;
	const pad *a = c->n->aux;
	const hb_shape *x = &c->in[0]->shape, *y = &c->out[0]->shape;
	int last = y->rank - 1;
	size_t size = hb_dtype_size(c->out[0]->dtype);
	int64_t value = a->value, stride[HB_MAX_RANK];

	(void)worker;
	hb_strides(x, stride);
	for (int64_t r = begin; r < end; r++) {
		int64_t rest = r, from = 0;
		uint8_t *to = (uint8_t *)c->out[0]->data + (size_t)(r * y->dim[last]) * size;

		for (int d = last - 1; d >= 0; d--) {
			int64_t s = pad_source(a->mode, rest % y->dim[d] - a->before[d], x->dim[d]);

			from = s < 0 || from < 0 ? -1 : from + s * stride[d];
			rest /= y->dim[d];
		}
		for (int64_t i = 0; i < y->dim[last]; i++, to += size) {
			int64_t s = from < 0 ? -1 : pad_source(a->mode, i - a->before[last], x->dim[last]);

			if (s < 0)
				hb_wide_store(c->out[0]->dtype, &value, to, 0, 1);
			else
				memcpy(to, (const uint8_t *)c->in[0]->data + (size_t)(from + s) * size, size);
		}
	}
}

static void
run_pad(const hb_call *c)
{
	const hb_shape *y = &c->out[0]->shape;

	if (!y->rank)
		memcpy(c->out[0]->data, c->in[0]->data, hb_dtype_size(c->out[0]->dtype));
	else
		hb_parallel(c->cx, hb_shape_span(y, 0, y->rank - 1), HB_MAX(1, 16384 / y->dim[y->rank - 1]), pad_some, (void *)c);
}

static const hb_attr_row pad_rows[] = {
	{ "pads", HB_ATTR_INTS, true, 0, 0 }, { "value", HB_ATTR_INT, false, 0, 0 }, { "mode", HB_ATTR_STRING, false, 0, 0 }, { 0 },
};

const hb_op hb_op_fx_pad = {
	.name = "Pad", .domain = "hbcc", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = pad_rows, .types = HB_FX_TYPES, .shape = shape_pad, .run = run_pad,
	.sched = &hb_sched_pad,
};

/* ---- Slice, Transpose, Expand: a strided walk over the input; aux is its strides and first element ---- */

typedef struct movement {
	int64_t first, stride[HB_MAX_RANK];
} movement;

static void
run_move(const hb_call *c)
{
	const movement *a = c->n->aux;
	hb_nd d;

	hb_nd_init(&d, &c->out[0]->shape);
	hb_nd_add(&d, &c->out[0]->shape);
	hb_nd_add_strides(&d, a->stride);
	hb_fx_copy(c->cx, &d, c->out[0]->dtype, c->out[0]->data,
		   (const uint8_t *)c->in[0]->data + a->first * (int64_t)hb_dtype_size(c->in[0]->dtype));
}

/* `extents` are the output's, since a slice's end within a step leaves no trace. */
static hb_status
shape_slice(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape;
	int64_t starts[HB_MAX_RANK], steps[HB_MAX_RANK], extents[HB_MAX_RANK];
	movement *a = HB_AUX(g, n, movement);
	hb_shape out = *x;

	if (!a)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_ints(g, n, "starts", x->rank, 0, 0, INT32_MAX, starts));
	HB_TRY(hb_fx_ints(g, n, "steps", x->rank, 1, 1, INT32_MAX, steps));
	HB_TRY(hb_fx_ints(g, n, "extents", x->rank, 1, 1, INT32_MAX, extents));
	hb_strides(x, a->stride);
	for (int d = 0; d < x->rank; d++) {
		if (starts[d] + (extents[d] - 1) * steps[d] >= x->dim[d])
			return HB_FX_BAD(g, n, "dimension %d has %lld elements; the slice would reach element %lld", d, (long long)x->dim[d],
					 (long long)(starts[d] + (extents[d] - 1) * steps[d]));
		a->first += starts[d] * a->stride[d];
		a->stride[d] *= steps[d];
		out.dim[d] = extents[d];
	}
	return hb_fx_out(g, n, n->in[0]->dtype, &out);
}

static const hb_attr_row slice_rows[] = {
	{ "starts", HB_ATTR_INTS, true, 0, 0 }, { "steps", HB_ATTR_INTS, false, 0, 0 }, { "extents", HB_ATTR_INTS, true, 0, 0 }, { 0 },
};

const hb_op hb_op_fx_slice = {
	.name = "Slice", .domain = "hbcc", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = slice_rows, .types = HB_FX_TYPES, .shape = shape_slice, .run = run_move,
	.sched = &hb_sched_slice,
};

static hb_status
shape_transpose(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape;
	int64_t perm[HB_MAX_RANK], stride[HB_MAX_RANK];
	unsigned seen = 0;
	movement *a = HB_AUX(g, n, movement);
	hb_shape out = *x;

	if (!a)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_ints(g, n, "perm", x->rank, 0, 0, x->rank - 1, perm));
	hb_strides(x, stride);
	for (int d = 0; d < x->rank; d++) {
		if (seen >> perm[d] & 1)
			return HB_FX_BAD(g, n, "perm names dimension %lld twice", (long long)perm[d]);
		seen |= 1u << perm[d];
		out.dim[d] = x->dim[perm[d]];
		a->stride[d] = stride[perm[d]];
	}
	return hb_fx_out(g, n, n->in[0]->dtype, &out);
}

static const hb_attr_row transpose_rows[] = { { "perm", HB_ATTR_INTS, true, 0, 0 }, { 0 } };

const hb_op hb_op_fx_transpose = {
	.name = "Transpose", .domain = "hbcc", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = transpose_rows, .types = HB_FX_TYPES, .shape = shape_transpose, .run = run_move,
	.sched = &hb_sched_transpose,
};

/* The attribute `shape`; ranks differ from the input's. */
static hb_status
target_shape(hb_graph *g, const hb_node *n, hb_shape *out)
{
	size_t rank = 0;
	const int64_t *dim = hb_attr_ints(n, "shape", &rank);

	if (rank > HB_MAX_RANK)
		return HB_FX_BAD(g, n, "shape has %zu dimensions; a tensor has at most %d", rank, HB_MAX_RANK);
	*out = (hb_shape){ .rank = (int)rank };
	for (size_t d = 0; d < rank; d++)
		out->dim[d] = dim[d];
	return HB_OK;
}

static hb_status
shape_expand(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape;
	int64_t stride[HB_MAX_RANK];
	movement *a = HB_AUX(g, n, movement);
	hb_shape out;

	if (!a)
		return HB_ERR_NOMEM;
	HB_TRY(target_shape(g, n, &out));
	if (out.rank < x->rank)
		return HB_FX_BAD(g, n, "shape has fewer dimensions than the input");
	hb_strides(x, stride);
	for (int d = 0; d < x->rank; d++) {
		int o = d + out.rank - x->rank;

		if (x->dim[d] != 1 && x->dim[d] != out.dim[o])
			return HB_FX_BAD(g, n, "dimension %d has %lld elements and does not expand to %lld", d, (long long)x->dim[d],
					 (long long)out.dim[o]);
		a->stride[o] = x->dim[d] == 1 ? 0 : stride[d];
	}
	return hb_fx_out(g, n, n->in[0]->dtype, &out);
}

static const hb_attr_row shape_rows[] = { { "shape", HB_ATTR_INTS, true, 0, 0 }, { 0 } };

const hb_op hb_op_fx_expand = {
	.name = "Expand", .domain = "hbcc", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = shape_rows, .types = HB_FX_TYPES, .shape = shape_expand, .run = run_move,
	.sched = &hb_sched_expand,
};

static hb_status
shape_reshape(hb_graph *g, hb_node *n)
{
	hb_shape out;
	char from[HB_SHAPE_TEXT], to[HB_SHAPE_TEXT];

	HB_TRY(target_shape(g, n, &out));
	HB_TRY(hb_fx_out(g, n, n->in[0]->dtype, &out));
	if (hb_shape_elems(&out) != hb_tensor_elems(n->in[0]))
		return HB_FX_BAD(g, n, "%s does not reshape to %s", hb_shape_text(&n->in[0]->shape, from), hb_shape_text(&out, to));
	return HB_OK;
}

static void
run_reshape(const hb_call *c)
{
	hb_copy_bytes(c->cx, c->out[0]->data, c->in[0]->data, (uint64_t)hb_val_elems(c->out[0]) * hb_dtype_size(c->out[0]->dtype));
}

const hb_op hb_op_fx_reshape = {
	.name = "Reshape", .domain = "hbcc", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = shape_rows, .types = HB_FX_TYPES, .shape = shape_reshape, .run = run_reshape,
	.sched = &hb_sched_reshape,
};
