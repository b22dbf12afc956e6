/* simplify: takes and leaves a float graph with shapes known; nodes that move no
 * data and change no value go. */
#include "lib/pass/pass.h"
#include "ops/nd.h"

static bool
same_shape(const hb_node *n)
{
	return n->in[0]->dtype == n->out[0]->dtype && hb_shape_eq(&n->in[0]->shape, &n->out[0]->shape);
}

static bool
one_input(const hb_node *n)
{
	return n->nin == 1;
}

static bool
mask_unused(const hb_node *n)
{
	const hb_tensor *mask = hb_out(n, 1);
	return same_shape(n) && (!mask || (!mask->nuses && !mask->is_output));
}

static bool
identity_perm(const hb_node *n)
{
	size_t k;
	const int64_t *perm = hb_attr_ints(n, "perm", &k);
	if (!perm)
		return n->in[0]->shape.rank < 2;
	for (size_t i = 0; i < k; i++) {
		if (perm[i] != (int64_t)i)
			return false;
	}
	return true;
}

/* A slice of the same shape may still walk backwards. */
static bool
forward_slice(const hb_node *n)
{
	if (!same_shape(n))
		return false;
	const hb_tensor *steps = hb_in(n, 4);
	if (!steps)
		return true;
	if (!steps->is_const || !steps->data)
		return false;
	for (int64_t i = 0; i < hb_tensor_elems(steps); i++) {
		int64_t v = steps->dtype == HB_I64 ? ((const int64_t *)steps->data)[i] : ((const int32_t *)steps->data)[i];
		if (v < 0)
			return false;
	}
	return true;
}

static const struct {
	const char *op;
	bool (*noop)(const hb_node *n);
} rows[] = {
	{ "Identity", same_shape }, { "Dropout", mask_unused }, { "Cast", same_shape },
	{ "Reshape", same_shape }, { "Flatten", same_shape }, { "Squeeze", same_shape }, { "Unsqueeze", same_shape },
	{ "Expand", same_shape }, { "Tile", same_shape }, { "Slice", forward_slice }, { "Transpose", identity_perm },
	{ "Concat", one_input }, { "Sum", one_input }, { "Max", one_input }, { "Min", one_input },
};

static bool
is_noop(const hb_node *n)
{
	if (*n->domain)
		return false;
	for (size_t i = 0; i < HB_LEN(rows); i++) {
		if (!strcmp(n->op_type, rows[i].op))
			return rows[i].noop(n);
	}
	return false;
}

/* float16 rounding by Cast stays: its type here is float32 as before, its values are not. */
static bool
rounds(const hb_node *n)
{
	enum { ONNX_FLOAT16 = 10, ONNX_BFLOAT16 = 16 };
	int64_t to = hb_attr_i(n, "to", 0);
	return !strcmp(n->op_type, "Cast") && (to == ONNX_FLOAT16 || to == ONNX_BFLOAT16);
}

/* ---- parts of different sizes: marches split evenly only, and slice anyhow ---- */

static bool
uneven_split(const hb_node *n, int *axis)
{
	if (*n->domain || strcmp(n->op_type, "Split") || n->nout < 2)
		return false;
	int64_t a = hb_attr_i(n, "axis", 0);
	*axis = (int)(a < 0 ? a + n->in[0]->shape.rank : a);
	bool uneven = false;
	for (int i = 0; i < n->nout; i++) {
		if (!n->out[i] || !hb_tensor_elems(n->out[i]))
			return false;
		uneven = uneven || n->out[i]->shape.dim[*axis] != n->out[0]->shape.dim[*axis];
	}
	return uneven;
}

static hb_status
split_to_slices(hb_graph *g, hb_node *n, int axis)
{
	int64_t from = 0;
	for (int i = 0; i < n->nout; i++) {
		hb_tensor *out = n->out[i];
		int64_t to = from + out->shape.dim[axis], ends[3] = { from, to, axis };
		const char *name = i ? hb_arena_printf(g->arena, "%s:%d", n->name, i) : n->name;
		hb_node *s = name ? hb_node_new(g, n, name, "", "Slice", 13, 4, 1) : NULL;
		if (!s)
			return hb_nomem(g->cx, n->name);
		hb_node_set_in(g, s, 0, n->in[0]);
		for (int k = 0; k < 3; k++) {
			hb_tensor *t = hb_tensor_ints(g, name, &ends[k], 1);
			if (!t)
				return hb_nomem(g->cx, n->name);
			hb_node_set_in(g, s, 1 + k, t);
		}
		if (!i)
			hb_node_absorb(g, s, n);
		hb_node_set_out(n, i, NULL);
		hb_node_set_out(s, 0, out);
		HB_TRY(hb_op_infer(g, s));
		from = to;
	}
	hb_node_remove(g, n);
	return HB_OK;
}

/* ---- horizon's pairs as ONNX says them ---- */

static bool
is_hz(const hb_node *n)
{
	return !strcmp(n->domain, "horizon") && (!strcmp(n->op_type, "HzQuantize") || !strcmp(n->op_type, "HzDequantize"));
}

/* The zero points of n as integers of its type; NULL with *st where they are none. */
static hb_tensor *
hz_zero(hb_graph *g, hb_node *n, hb_status *st)
{
	hb_tensor *z = hb_in(n, 2);
	hb_dtype dt = hb_attr_i(n, "bits", 8) == 8 ? HB_I8 : HB_I16;
	int64_t count = hb_tensor_elems(n->in[1]), limit = dt == HB_I8 ? 128 : 32768;
	const void *data = z ? hb_tensor_data(g, z) : NULL;
	int16_t *v = HB_NEW_N(g->arena, int16_t, count ? (size_t)count : 1);

	*st = HB_OK;
	if (!v || (z && count && !data)) {
		*st = hb_nomem(g->cx, n->name);
		return NULL;
	}
	hb_val zeros = { z ? z->dtype : dt, n->in[1]->shape, (void *)(uintptr_t)data };
	for (int64_t i = 0; z && i < count; i++) {
		float f = hb_val_f(&zeros, i);
		if (!(f >= (float)-limit && f < (float)limit && f == (float)(int32_t)f)) {
			*st = hb_fail(g->cx, n, HB_ERR_INPUT, "zero-point", "zero point %lld is %g; an integer of %s is taken", (long long)i,
				      (double)f, hb_dtype_name(dt));
			return NULL;
		}
		if (dt == HB_I8)
			((int8_t *)v)[i] = (int8_t)f;
		else
			v[i] = (int16_t)f;
	}
	hb_tensor *t = hb_tensor_const(g, n->name, dt, &n->in[1]->shape, v);
	if (!t)
		*st = hb_nomem(g->cx, n->name);
	return t;
}

static hb_status
hz_to_onnx(hb_graph *g, hb_node *n)
{
	bool quantizes = !strcmp(n->op_type, "HzQuantize");
	hb_node *q = hb_node_new(g, n, n->name, "", quantizes ? "QuantizeLinear" : "DequantizeLinear", 21, 3, 1);
	hb_tensor *y = n->out[0];
	hb_status st;

	if (!q || !hb_attr_set_i(g, q, "axis", hb_attr_i(n, "axis", 1)))
		return hb_nomem(g->cx, n->name);
	hb_node_set_in(g, q, 0, n->in[0]);
	hb_node_set_in(g, q, 1, n->in[1]);
	hb_tensor *zero = hz_zero(g, n, &st);
	if (!zero)
		return st;
	hb_node_set_in(g, q, 2, zero);
	hb_node_absorb(g, q, n);
	hb_node_set_out(n, 0, NULL);
	hb_node_set_out(q, 0, y);
	hb_node_remove(g, n);
	return hb_op_infer(g, q);
}

hb_status
hb_pass_simplify(hb_graph *g)
{
	for (hb_node *n = g->first, *next; n; n = next) {
		int axis;
		next = n->next;
		if (uneven_split(n, &axis))
			HB_TRY(split_to_slices(g, n, axis));
		else if (is_hz(n) && n->in[1]->is_const && (!hb_in(n, 2) || n->in[2]->is_const))
			HB_TRY(hz_to_onnx(g, n));
	}
	for (hb_node *n = g->first, *next; n; n = next) {
		next = n->next;
		if (!is_noop(n) || rounds(n))
			continue;
		hb_tensor *from = n->out[0], *to = n->in[0];
		/* An input or a constant that is an output needs a node between the two. */
		if (from->is_output && (to->is_input || to->is_output || to->is_const))
			continue;
		hb_tensor_replace(g, from, to);
		hb_node_absorb(g, to->producer, n);
		hb_node_remove(g, n);
	}
	hb_graph_sweep(g);
	return HB_OK;
}
