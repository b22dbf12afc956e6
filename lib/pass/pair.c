/* pair.c: the constant operands of a QuantizeLinear or DequantizeLinear node. */
#include "lib/pass/pass.h"

/* A zeroed constant beside n: a scalar, or one element a channel. */
static hb_tensor *
parameter(hb_graph *g, const hb_node *n, const char *what, hb_dtype dt, const hb_q *q, const void *data)
{
	hb_shape s = { .rank = q->nscales > 1, .dim = { q->nscales } };
	char *name = hb_arena_printf(g->arena, "%s_%s", n->name, what);
	return name ? hb_tensor_const(g, name, dt, &s, data) : NULL;
}

bool
hb_pair_set_scale(hb_graph *g, hb_node *n, const hb_q *q)
{
	hb_tensor *t = parameter(g, n, "scale", HB_F32, q, hb_q_scales(q));
	if (!t)
		return false;
	hb_node_set_in(g, n, 1, t);
	return q->nscales <= 1 || hb_attr_set_i(g, n, "axis", q->axis);
}

bool
hb_pair_set_zero(hb_graph *g, hb_node *n, const hb_q *q)
{
	hb_tensor *t = parameter(g, n, "zero_point", q->dtype, q, NULL);
	if (t)
		hb_node_set_in(g, n, 2, t);
	return t;
}
