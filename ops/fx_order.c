/* fx_order.c: TopK and Take on whole tensors, by their instructions. */
#include "ops/fx_util.h"
#include "ops/lower.h"

/* ---- TopK: a node yields the values or their places ---- */

typedef struct top {
	int axis;
	int32_t k, largest;
	bool places;
} top;

static hb_status
shape_top_k(hb_graph *g, hb_node *n)
{
	top *a = HB_AUX(g, n, top);
	hb_shape out = n->in[0]->shape;
	int32_t places;

	if (!a)
		return HB_ERR_NOMEM;
	HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", -1), out.rank, &a->axis));
	HB_TRY(hb_fx_int(g, n, "k", 1, 1, HB_MIN(out.dim[a->axis], INT32_MAX), &a->k));
	HB_TRY(hb_fx_int(g, n, "largest", 1, 0, 1, &a->largest));
	HB_TRY(hb_fx_int(g, n, "places", 0, 0, 1, &places));
	a->places = places;
	out.dim[a->axis] = a->k;
	return hb_fx_out(g, n, a->places ? HB_I32 : n->in[0]->dtype, &out);
}

/* A tensor of this shape as [outer, inner, axis]. */
static hb_view
lines(hb_dtype dt, const hb_shape *s, int axis)
{
	hb_split3 p = hb_split_at(s, axis);
	uint32_t size = (uint32_t)hb_dtype_size(dt);

	return (hb_view){
		.space = HB_HEAP, .dtype = dt, .rank = 3, .ext = { (uint32_t)p.outer, (uint32_t)p.inner, (uint32_t)p.axis },
		.stride = { (uint32_t)(p.axis * p.inner) * size, size, (uint32_t)p.inner * size },
	};
}

static hb_insn
sort_insn(const hb_node *n)
{
	const top *a = n->aux;
	hb_insn i = { .op = HB_I_sort, .engine = HB_V0, .nv = 3 };

	i.imm[HB_IMM_sort_k] = a->k;
	i.imm[HB_IMM_sort_largest] = a->largest;
	i.v[0] = lines(n->in[0]->dtype, &n->out[0]->shape, a->axis);
	i.v[1] = lines(HB_I32, &n->out[0]->shape, a->axis);
	i.v[2] = lines(n->in[0]->dtype, &n->in[0]->shape, a->axis);
	return i;
}

/* The output that is not wanted. */
static size_t
other_bytes(const hb_node *n)
{
	const top *a = n->aux;

	return (size_t)hb_round_up((int64_t)((size_t)hb_shape_elems(&n->out[0]->shape) * hb_dtype_size(a->places ? n->in[0]->dtype : HB_I32)), 64);
}

static size_t
scratch_top_k(const hb_node *n, int jobs)
{
	hb_insn i = sort_insn(n);

	return other_bytes(n) + hb_fx_scratch(&i, jobs);
}

static void
run_top_k(const hb_call *c)
{
	const top *a = c->n->aux;
	hb_insn i = sort_insn(c->n);
	uint8_t *other = c->scratch, *at[3] = { a->places ? other : c->out[0]->data, a->places ? c->out[0]->data : other, c->in[0]->data };

	hb_kernel(c->cx, &i, at, other + other_bytes(c->n));
}

static const hb_attr_row top_rows[] = {
	{ "axis", HB_ATTR_INT, false, 0, 0 }, { "k", HB_ATTR_INT, true, 0, 0 }, { "largest", HB_ATTR_INT, false, 0, 0 },
	{ "places", HB_ATTR_INT, false, 0, 0 }, { 0 },
};

const hb_op hb_op_fx_top_k = {
	.name = "TopK", .domain = "hbcc", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = top_rows, .types = HB_FX_TYPES, .shape = shape_top_k, .scratch = scratch_top_k, .run = run_top_k,
	.sched = &hb_sched_top_k,
};

/* ---- Take ---- */

static hb_status
shape_take(hb_graph *g, hb_node *n)
{
	hb_tensor *t = n->in[1];
	hb_shape out = n->in[0]->shape;
	const int32_t *v;
	int axis;

	HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", 0), out.rank, &axis));
	if (t->shape.rank != 1)
		return HB_FX_BAD(g, n, "indices '%s' have rank %d; they have rank 1", t->name, t->shape.rank);
	if (!t->is_const)
		return hb_need_const(g, n, 1);
	if (!(v = hb_tensor_data(g, t)))
		return HB_ERR_NOMEM;
	for (int64_t i = 0; i < t->shape.dim[0]; i++)
		if (v[i] < 0 || v[i] >= out.dim[axis])
			return HB_FX_BAD(g, n, "index %d is outside 0..%lld", v[i], (long long)out.dim[axis] - 1);
	out.dim[axis] = t->shape.dim[0];
	return hb_fx_out(g, n, n->in[0]->dtype, &out);
}

static void
run_take(const hb_call *c)
{
	hb_split3 s = hb_split_at(&c->in[0]->shape, (int)(hb_attr_i(c->n, "axis", 0) + (hb_attr_i(c->n, "axis", 0) < 0 ? c->in[0]->shape.rank : 0)));
	int64_t taken = c->in[1]->shape.dim[0];
	uint32_t size = (uint32_t)hb_dtype_size(c->in[0]->dtype);
	hb_insn i = { .op = HB_I_copy, .engine = HB_V0, .nv = 3 };
	uint8_t *at[3] = { c->out[0]->data, c->in[0]->data, c->in[1]->data };

	i.imm[HB_IMM_copy_mode] = 1;
	for (int k = 0; k < 2; k++) {
		int64_t len = k ? s.axis : taken;

		i.v[k] = (hb_view){
			.space = HB_HEAP, .dtype = c->in[0]->dtype, .rank = 3, .ext = { (uint32_t)len, (uint32_t)s.outer, (uint32_t)s.inner },
			.stride = { (uint32_t)s.inner * size, (uint32_t)(len * s.inner) * size, size },
		};
	}
	i.v[2] = hb_fx_view(HB_I32, 1, &taken);
	hb_kernel(c->cx, &i, at, NULL);
}

static const hb_attr_row take_rows[] = { { "axis", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_fx_take = {
	.name = "Take", .domain = "hbcc", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = take_rows, .types = HB_FX_TYPES, .in_types = { 0, HB_BIT(HB_I32) }, .shape = shape_take, .run = run_take,
	.sched = &hb_sched_take,
};
