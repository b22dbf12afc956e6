/* registry.c: finding an operator's row, and holding a node against it. */
#include "ops/op.h"

#include <stdio.h>
#include <stdlib.h>

#define HB_OP(name) extern const hb_op hb_op_##name;
#include "ops/ops.def"
#undef HB_OP

static const hb_op *const table[] = {
#define HB_OP(name) &hb_op_##name,
#include "ops/ops.def"
#undef HB_OP
};

enum { NEWEST = 25 };		/* operator set of the default domain */

const hb_op *
hb_op_at(size_t i)
{
	return i < HB_LEN(table) ? table[i] : NULL;
}

/* ops.def is short enough to search; the first letters differ early. */
const hb_op *
hb_op_find(const char *domain, const char *name, int version)
{
	for (size_t i = 0; i < HB_LEN(table); i++) {
		const hb_op *op = table[i];
		if (strcmp(op->name, name) || strcmp(op->domain ? op->domain : "", domain))
			continue;
		if (!version || (version >= op->since && version <= (op->until ? op->until : NEWEST)))
			return op;
	}
	return NULL;
}

static const char *const attr_type_names[] = {
	[HB_ATTR_INT] = "an integer", [HB_ATTR_FLOAT] = "a float", [HB_ATTR_STRING] = "a string",
	[HB_ATTR_TENSOR] = "a tensor", [HB_ATTR_GRAPH] = "a graph", [HB_ATTR_INTS] = "a list of integers",
	[HB_ATTR_FLOATS] = "a list of floats", [HB_ATTR_STRINGS] = "a list of strings",
};

/* An empty list has no type of its own in the file. */
static bool
attr_type_ok(hb_attr *a, hb_attr_type want)
{
	bool list = want == HB_ATTR_INTS || want == HB_ATTR_FLOATS || want == HB_ATTR_STRINGS;
	bool is_list = a->type == HB_ATTR_INTS || a->type == HB_ATTR_FLOATS || a->type == HB_ATTR_STRINGS;
	if (list && is_list && !a->n)
		a->type = want;
	return a->type == want;
}

/* Whether the node's operator set has the attribute of row r. */
static bool
row_holds(const hb_attr_row *r, const hb_node *n)
{
	return (!r->since || n->version >= r->since) && (!r->until || n->version <= r->until);
}

static hb_status
check_attrs(hb_graph *g, hb_node *n)
{
	const hb_op *op = n->op;
	for (hb_attr *a = n->attrs; a; a = a->next) {
		const hb_attr_row *r = op->attrs;
		while (r && r->name && (strcmp(r->name, a->name) || !row_holds(r, n)))
			r++;
		if (!r || !r->name)
			return hb_fail(g->cx, n, HB_ERR_INPUT, "attribute", "has an attribute '%s' that %s does not take", a->name, n->op_type);
		if (!attr_type_ok(a, r->type))
			return hb_fail(g->cx, n, HB_ERR_INPUT, "attribute", "attribute '%s' is %s; it must be %s",
				       a->name, attr_type_names[a->type], attr_type_names[r->type]);
	}
	for (const hb_attr_row *r = op->attrs; r && r->name; r++) {
		if (r->required && row_holds(r, n) && !hb_attr_find(n, r->name))
			return hb_fail(g->cx, n, HB_ERR_INPUT, "attribute", "attribute '%s' is missing; %s needs it", r->name, n->op_type);
	}
	return HB_OK;
}

/* most -1: any number. */
static hb_status
check_count(hb_graph *g, const hb_node *n, const char *what, int have, int least, int most)
{
	if (have >= least && (most < 0 || have <= most))
		return HB_OK;
	char take[64];
	snprintf(take, sizeof(take), most < 0 ? "at least %d" : most == least ? "%d" : "%d to %d", least, most);
	return hb_fail(g->cx, n, HB_ERR_INPUT, what, "has %d %s; %s takes %s", have, what, n->op_type, take);
}

hb_status
hb_op_resolve(hb_graph *g, hb_node *n)
{
	if (n->op)
		return HB_OK;
	const hb_op *op = hb_op_find(n->domain, n->op_type, n->version);
	if (!op) {
		const char *dom = *n->domain ? n->domain : "ai.onnx";
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "operator", "operator %s of %s, operator set %d, is not supported",
			       n->op_type, dom, n->version);
	}
	/* Absent optional operands at the end may be written or left out. */
	while (n->nin > op->min_in && !n->in[n->nin - 1])
		n->nin--;
	while (n->nout > 1 && n->nout > op->min_out && !n->out[n->nout - 1])
		n->nout--;
	HB_TRY(check_count(g, n, "inputs", n->nin, op->min_in, op->max_in));
	HB_TRY(check_count(g, n, "outputs", n->nout, op->min_out, op->max_out));
	for (int i = 0; i < (op->in_whole ? n->nin : op->min_in); i++) {
		if (!n->in[i])
			return hb_fail(g->cx, n, HB_ERR_INPUT, "inputs", "input %d is absent; %s needs it", i, n->op_type);
	}
	n->op = op;
	hb_status st = check_attrs(g, n);
	if (st != HB_OK)
		n->op = NULL;
	return st;
}

hb_status
hb_op_infer(hb_graph *g, hb_node *n)
{
	HB_TRY(hb_op_resolve(g, n));
	for (int i = 0; i < n->nin; i++) {
		const hb_tensor *t = n->in[i];
		if (!t)
			continue;
		uint32_t mask = i < (int)HB_LEN(n->op->in_types) ? n->op->in_types[i] : 0;
		if (!mask)
			mask = n->op->types ? n->op->types : HB_ANY;
		if (!t->has_shape || t->dtype == HB_NONE)
			return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "shape", "input %d '%s' has no known %s", i, t->name,
				       t->has_shape ? "type" : "shape");
		if (!(mask & HB_BIT(t->dtype)))
			return hb_fail(g->cx, n, HB_ERR_INPUT, "type", "input %d '%s' is %s; %s does not take that", i, t->name,
				       hb_dtype_name(t->dtype), n->op_type);
	}
	return n->op->shape(g, n);
}

hb_status
hb_need_const(hb_graph *g, hb_node *n, int i)
{
	g->needed = n->in[i];
	return HB_NEED_CONST;
}

hb_status
hb_set_out(hb_graph *g, hb_node *n, int i, hb_dtype dt, const hb_shape *s)
{
	hb_tensor *t = hb_out(n, i);
	if (!t)
		return HB_OK;
	int64_t elems = 1;
	char text[HB_SHAPE_TEXT];
	for (int k = 0; k < s->rank; k++) {
		if (s->dim[k] < 0)
			return hb_fail(g->cx, n, HB_ERR_INPUT, "shape", "output %d would have shape %s, with a negative extent", i, hb_shape_text(s, text));
		/* A zero extent must not hide an overflow among the others. */
		if (!hb_mul64(elems, HB_MAX(s->dim[k], 1), &elems) || elems > INT64_C(1) << 47)
			return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "shape", "output %d would have shape %s; a tensor may have up to 2^47 elements", i,
				       hb_shape_text(s, text));
	}
	t->dtype = dt;
	t->shape = *s;
	t->has_shape = true;
	return HB_OK;
}

hb_status
hb_shape_same(hb_graph *g, hb_node *n)
{
	return hb_set_out(g, n, 0, n->in[0]->dtype, &n->in[0]->shape);
}

hb_status
hb_shape_broadcast_all(hb_graph *g, hb_node *n)
{
	hb_shape s = n->in[0]->shape;
	char a[HB_SHAPE_TEXT], b[HB_SHAPE_TEXT];
	for (int i = 1; i < n->nin; i++) {
		if (!n->in[i])
			continue;
		if (!hb_shape_broadcast(&s, &n->in[i]->shape, &s))
			return hb_fail(g->cx, n, HB_ERR_INPUT, "broadcast", "shapes %s and %s do not broadcast",
				       hb_shape_text(&n->in[0]->shape, a), hb_shape_text(&n->in[i]->shape, b));
	}
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

hb_status
hb_axis(hb_graph *g, const hb_node *n, const char *what, int64_t axis, int rank, int *out)
{
	if (axis < -rank || axis >= rank)
		return hb_fail(g->cx, n, HB_ERR_INPUT, "axis", "%s is %lld; with rank %d it must be in %d..%d", what, (long long)axis, rank,
			       -rank, rank - 1);
	*out = (int)(axis < 0 ? axis + rank : axis);
	return HB_OK;
}

static int
by_value(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

hb_status
hb_axes(hb_graph *g, hb_node *n, int i, int rank, int *axes, int *count, bool *given)
{
	int64_t v[HB_MAX_RANK];
	size_t nv = 0;
	hb_tensor *t = hb_in(n, i);
	const int64_t *attr = hb_attr_ints(n, "axes", &nv);
	*count = 0;
	*given = t || attr;
	if (t) {
		if (!t->is_const)
			return hb_need_const(g, n, i);
		if (t->shape.rank > 1 || !hb_tensor_ints_get(g, t, v, HB_LEN(v), &nv))
			return hb_fail(g->cx, n, HB_ERR_INPUT, "axes", "axes must be a list of at most %d integers", HB_MAX_RANK);
		attr = v;
	}
	if (nv > HB_MAX_RANK)
		return hb_fail(g->cx, n, HB_ERR_INPUT, "axes", "has %zu axes; a tensor has at most %d", nv, HB_MAX_RANK);
	for (size_t k = 0; k < nv; k++)
		HB_TRY(hb_axis(g, n, "axes", attr[k], rank, &axes[k]));
	qsort(axes, nv, sizeof(axes[0]), by_value);
	for (size_t k = 1; k < nv; k++) {
		if (axes[k] == axes[k - 1])
			return hb_fail(g->cx, n, HB_ERR_INPUT, "axes", "axis %d is named twice", axes[k]);
	}
	*count = (int)nv;
	return HB_OK;
}
