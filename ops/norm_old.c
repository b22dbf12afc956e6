/* norm_old.c: BatchNormalization with statistics an element, as operator sets before 9 could ask for (spatial = 0):
 * over the elements of one sample as so many channels. */
#include "ops/norm_old.h"

#include "ops/nd.h"

bool
hb_batch_norm_by_element(const hb_node *n)
{
	return n->version < 9 && !hb_attr_i(n, "spatial", 1) && n->in[0]->shape.rank > 2;
}

static hb_tensor *
reshaped(hb_graph *g, hb_node *at, hb_tensor *x, const hb_shape *s, hb_tensor *y)
{
	hb_tensor *shape = hb_tensor_ints(g, at->name, s->dim, (size_t)s->rank);
	hb_node *n = shape ? hb_node_new(g, at, at->name, "", "Reshape", 13, 2, 1) : NULL;

	y = y ? y : hb_tensor_new(g, at->name, HB_NONE, NULL);
	if (!n || !y)
		return NULL;
	hb_node_set_in(g, n, 0, x);
	hb_node_set_in(g, n, 1, shape);
	hb_node_set_out(n, 0, y);
	return y;
}

hb_status
hb_expand_batch_norm(hb_graph *g, hb_node *n)
{
	if (!hb_batch_norm_by_element(n))
		return HB_OK;
	const hb_shape x = n->in[0]->shape;
	hb_shape flat = { 2, { x.dim[0], hb_shape_span(&x, 1, x.rank) } }, line = { 1, { flat.dim[1] } };
	hb_node *norm = hb_node_new(g, n, n->name, "", "BatchNormalization", 9, 5, 1);
	hb_tensor *y = norm ? hb_tensor_new(g, n->name, HB_NONE, NULL) : NULL;

	if (!y || !hb_attr_set_f(g, norm, "epsilon", hb_attr_f(n, "epsilon", 1e-5f)))
		return hb_nomem(g->cx, n->name);
	for (int i = 0; i < 5; i++) {
		hb_tensor *t = reshaped(g, norm, n->in[i], i ? &line : &flat, NULL);
		if (!t)
			return hb_nomem(g->cx, n->name);
		hb_node_set_in(g, norm, i, t);
	}
	hb_node_set_out(norm, 0, y);
	hb_tensor *out = n->out[0];
	n->out[0] = NULL;
	if (!reshaped(g, n, y, &x, out))
		return hb_nomem(g->cx, n->name);
	hb_node_absorb(g, norm, n);
	hb_node_remove(g, n);
	return HB_OK;
}
