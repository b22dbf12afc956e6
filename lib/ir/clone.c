/* clone.c: copies of tensors and nodes in another graph. */
#include "lib/ir/ir.h"

hb_tensor *
hb_tensor_clone(hb_graph *g, hb_tensor *t, hb_graph *to)
{
	(void)g;
	hb_tensor *c = hb_tensor_new(to, t->name, t->dtype, t->has_shape ? &t->shape : NULL);
	if (!c)
		return NULL;
	c->q = t->q;
	c->is_const = t->is_const;
	c->data = t->data;
	c->raw = t->raw;
	c->raw_onnx_type = t->raw_onnx_type;
	c->is_splat = t->is_splat;
	c->splat = t->splat;
	c->dim_names = t->dim_names;
	return c;
}

hb_node *
hb_node_clone(const hb_node *n, hb_graph *to)
{
	hb_node *c = hb_node_new(to, NULL, n->name, n->domain, n->op_type, n->version, n->nin, n->nout);
	if (!c)
		return NULL;
	c->op = n->op;
	c->index = n->index;
	c->attrs = n->attrs;
	c->aux = n->aux;
	c->on = n->on;
	c->segment = n->segment;
	return c;
}
