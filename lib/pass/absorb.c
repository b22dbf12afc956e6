/* absorb: takes a simplified float graph that may have QuantizeLinear,
 * DequantizeLinear, QLinearConv, QLinearMatMul and integer products of inputs quantized at run time; leaves scales (q.from) on the tensors where those stood:
 * constants are float again and remember the scales of their integers, pairs on
 * activations are gone, and scales are carried through operators that pass them on
 * (SEMANTICS 6). What has no scale for the whole tensor stays. */
#include "lib/pass/pass.h"

#include <math.h>

typedef struct absorb {
	hb_graph *g;
	hb_arena *scratch;
	hb_affine affine_as;
	int affine;			/* activations whose zero point was not the middle */
	const char *first_affine;
	bool told;			/* the file is ours: its metadata tells of every scale */
} absorb;

static bool
is_op(const hb_node *n, const char *op)
{
	return !*n->domain && !strcmp(n->op_type, op);
}

static bool
is_quantize(const hb_node *n)
{
	return is_op(n, "QuantizeLinear");
}

static bool
is_dequantize(const hb_node *n)
{
	return is_op(n, "DequantizeLinear");
}

bool
hb_arrives_quantized(const hb_graph *g)
{
	static const char *const ops[] = { "QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "DynamicQuantizeLinear",
					   "HzQuantize", "HzDequantize" };
	for (const hb_node *n = g->first; n; n = n->next) {
		for (size_t i = 0; i < HB_LEN(ops); i++) {
			if ((!*n->domain || !strcmp(n->domain, "horizon")) && !strcmp(n->op_type, ops[i]))
				return true;
		}
	}
	return false;
}

bool
hb_has_scales(const hb_graph *g)
{
	for (const hb_tensor *t = g->tensors; t; t = t->next) {
		if (!t->is_const && t->q.from != HB_Q_OPEN)
			return true;
	}
	return false;
}

static void
drop(hb_graph *g, hb_node *n, hb_node *into)
{
	hb_node_absorb(g, into, n);
	hb_node_remove(g, n);
}

/* ---- what the file's metadata says beside its pairs ---- */

/* Sets every tensor's q to nothing; what it was, from the metadata of a file of ours, is kept at hand. */
static hb_status
begin(absorb *a)
{
	for (hb_tensor *t = a->g->tensors; t; t = t->next) {
		t->user = t->q.dtype != HB_NONE ? hb_arena_dup(a->scratch, &t->q, sizeof(t->q)) : NULL;
		if (t->q.dtype != HB_NONE && !t->user)
			return hb_nomem(a->g->cx, t->name);
		a->told = a->told || t->user;
		t->q = (hb_q){ .dtype = HB_NONE };
	}
	return HB_OK;
}

/* q's range and observer, where the metadata of tensor t tells of the same scale. */
static void
remember(const hb_tensor *t, hb_q *q)
{
	const hb_q *said = t->user;
	if (!said || said->dtype != q->dtype || HB_MAX(said->nscales, 1) != q->nscales)
		return;
	for (int i = 0; i < q->nscales; i++)
		if (hb_q_scale(said, i) != hb_q_scale(q, i))
			return;
	q->lo = said->lo;
	q->hi = said->hi;
	q->min = said->min;
	q->max = said->max;
	if (said->observer)
		q->observer = said->observer;
}

/* What --emit qdq calls NAME_float before its pair is NAME without: the BPU makes it. Beside NAME_dequantized, NAME is
 * an input or what the CPU makes, whose readers there see no pair. */
static bool
take_name(hb_graph *g, hb_tensor *x, hb_tensor *y)
{
	size_t n = strlen(y->name);
	if (strncmp(x->name, y->name, n) || strcmp(x->name + n, "_float") || x->is_input || x->is_output)
		return false;
	const char *name = x->name;
	x->name = y->name;
	y->name = name;
	hb_map_put(g->names, x->name, x);
	hb_map_put(g->names, y->name, y);
	return true;
}

/* What stands before the Clip that says the limits of an edge in a file of ours. */
static hb_tensor *
unclipped(absorb *a, hb_node *quantize, hb_tensor *x)
{
	static const char suffix[] = "_clipped";
	hb_node *clip = x->producer;
	size_t n = strlen(x->name), k = sizeof(suffix) - 1;
	if (!a->told || !clip || !is_op(clip, "Clip") || n < k || strcmp(x->name + n - k, suffix) || x->nuses != 1 || x->is_output)
		return x;
	x = clip->in[0];
	hb_node_set_in(a->g, quantize, 0, x);
	drop(a->g, clip, x->producer);
	return x;
}

/* In a file of ours, a pair that rounds what the CPU goes on with is no edge's, and stays. */
static bool
is_told(const absorb *a, const hb_node *quantize)
{
	const hb_tensor *t = quantize->out[0];
	for (size_t i = 0; i < t->nuses; i++) {
		if (is_dequantize(t->uses[i].node) && t->uses[i].node->out[0]->user)
			return true;
	}
	return !a->told;
}

/* ---- what a QuantizeLinear or DequantizeLinear says ---- */

/* The zero point that stands for symmetric integers of type dt. */
static int64_t
middle(hb_dtype dt)
{
	return dt == HB_U8 ? 128 : dt == HB_U16 ? 32768 : 0;
}

static bool
zero_point(hb_graph *g, const hb_node *n, int64_t i, int64_t *out)
{
	hb_tensor *z = hb_in(n, 2);
	*out = 0;
	if (!z)
		return true;
	const void *v = z->is_const ? hb_tensor_data(g, z) : NULL;
	if (!v || i >= hb_tensor_elems(z))
		return false;
	switch (z->dtype) {
	case HB_I8:
		*out = ((const int8_t *)v)[i];
		return true;
	case HB_U8:
		*out = ((const uint8_t *)v)[i];
		return true;
	case HB_I16:
		*out = ((const int16_t *)v)[i];
		return true;
	case HB_U16:
		*out = ((const uint16_t *)v)[i];
		return true;
	case HB_I32:
		*out = ((const int32_t *)v)[i];
		return true;
	default:
		return false;
	}
}

/* n's scales, *count of them, each a positive number; NULL where they are none of that or go by blocks. */
static const float *
scales_of(hb_graph *g, const hb_node *n, int64_t *count)
{
	hb_tensor *t = n->in[1];
	const float *s = t && t->is_const && t->dtype == HB_F32 && !hb_attr_i(n, "block_size", 0) ? hb_tensor_data(g, t) : NULL;
	*count = s ? hb_tensor_elems(t) : 0;
	for (int64_t i = 0; i < *count; i++) {
		if (!(s[i] > 0) || !isfinite(s[i]))
			return NULL;
	}
	return *count ? s : NULL;
}

static hb_dtype
ints_of(const hb_node *n)
{
	return is_quantize(n) ? n->out[0]->dtype : n->in[0]->dtype;
}

/* Scales of channels of an activation, integers of 8 bits around the middle of their type. */
static bool
channels_q(absorb *a, const hb_node *n, const float *s, int64_t count, hb_q *q)
{
	const hb_shape *shape = &n->in[0]->shape;
	int64_t axis = hb_attr_i(n, "axis", 1), zp;
	float *copy = hb_arena_dup(a->g->arena, s, sizeof(*s) * (size_t)count);

	if (!copy || (axis != 1 && axis != 1 - shape->rank) || shape->rank < 2 || shape->dim[1] != count || hb_dtype_size(ints_of(n)) != 1)
		return false;
	*q = (hb_q){
		.dtype = HB_I8, .nscales = (int)count, .axis = 1, .scales = copy, .observer = hb_observer_name(HB_OBS_FIXED), .from = HB_Q_GIVEN,
	};
	for (int64_t i = 0; i < count; i++) {
		if (!zero_point(a->g, n, hb_in(n, 2) && hb_tensor_elems(n->in[2]) > 1 ? i : 0, &zp) || zp != middle(ints_of(n)))
			return false;
		q->scale = HB_MAX(q->scale, s[i]);
	}
	q->min = q->scale * (float)hb_qmin(HB_I8);
	q->max = q->scale * (float)hb_qmax(HB_I8);
	return true;
}

/* The scale of an activation, integers re-expressed around 0; false where it is no 8 or 16 bits. */
static bool
activation_q(absorb *a, const hb_node *n, hb_q *q, bool *affine)
{
	hb_dtype dt = ints_of(n);
	int64_t count, zp;
	const float *s = scales_of(a->g, n, &count);
	bool bytes = dt == HB_I8 || dt == HB_U8, words = dt == HB_I16 || dt == HB_U16;
	*affine = false;
	if (s && count > 1)
		return channels_q(a, n, s, count, q);
	if (!s || count != 1 || (!bytes && !words) || !zero_point(a->g, n, 0, &zp))
		return false;
	double lo = (double)(hb_qmin(dt) - zp) * s[0], hi = (double)(hb_qmax(dt) - zp) * s[0];
	*q = (hb_q){
		.dtype = bytes ? HB_I8 : HB_I16, .nscales = 1, .scale = s[0], .min = (float)lo, .max = (float)hi,
		.observer = hb_observer_name(HB_OBS_FIXED), .from = HB_Q_GIVEN,
	};
	int64_t least = hb_qmin(dt) - zp, most = hb_qmax(dt) - zp;
	if (zp == middle(dt))
		return true;
	if (a->affine_as == HB_AFFINE_EXACT && least >= INT16_MIN && most <= INT16_MAX) {
		q->dtype = HB_I16;
		q->lo = (int32_t)least;
		q->hi = (int32_t)most;
		return true;
	}
	*affine = true;
	hb_q_recentre(q, q->dtype, least * (double)s[0], most * (double)s[0]);
	return isfinite(q->scale);
}

static bool
same_params(hb_graph *g, const hb_node *a, const hb_node *b)
{
	int64_t na, nb, za, zb;
	const float *sa = scales_of(g, a, &na), *sb = scales_of(g, b, &nb);
	if (!sa || !sb || na != nb || memcmp(sa, sb, (size_t)na * sizeof(*sa)) || (na > 1 && hb_attr_i(a, "axis", 1) != hb_attr_i(b, "axis", 1)))
		return false;
	return zero_point(g, a, 0, &za) && zero_point(g, b, 0, &zb) && za == zb;
}

/* ---- operators on integers, spelled as float operators between pairs ---- */

static hb_node *
linear_before(hb_graph *g, hb_node *at, const char *op, hb_tensor *x, hb_tensor *scale, hb_tensor *zero, hb_tensor *y)
{
	hb_node *n = x && scale && y ? hb_node_new(g, at, y->name, "", op, 13, zero ? 3 : 2, 1) : NULL;
	if (!n)
		return NULL;
	hb_node_set_in(g, n, 0, x);
	hb_node_set_in(g, n, 1, scale);
	if (zero)
		hb_node_set_in(g, n, 2, zero);
	hb_node_set_out(n, 0, y);
	return n;
}

static hb_tensor *
float_form(hb_graph *g, const hb_tensor *t, const char *suffix)
{
	char *name = hb_arena_printf(g->arena, "%s_%s", t->name, suffix);
	return name ? hb_tensor_new(g, name, HB_F32, &t->shape) : NULL;
}

/* x's floats before `at`: (x - zero) * scale along `axis`. */
static hb_tensor *
dequantized(hb_graph *g, hb_node *at, hb_tensor *x, hb_tensor *scale, hb_tensor *zero, int axis)
{
	hb_tensor *y = float_form(g, x, "dequantized");
	hb_node *n = linear_before(g, at, "DequantizeLinear", x, scale, zero, y);
	if (!n || !hb_attr_set_i(g, n, "axis", axis)) {
		hb_nomem(g->cx, x->name);
		return NULL;
	}
	return hb_op_infer(g, n) == HB_OK ? y : NULL;
}

/* A zero point of the scale's shape, where there are many scales and one zero point. */
static hb_tensor *
spread(hb_graph *g, hb_tensor *zero, const hb_tensor *scale)
{
	int64_t n = hb_tensor_elems(scale);
	const uint8_t *v = zero && hb_tensor_elems(zero) == 1 && n > 1 ? hb_tensor_data(g, zero) : NULL;
	if (!v)
		return zero;
	hb_tensor *t = hb_tensor_const(g, zero->name, zero->dtype, &scale->shape, NULL);
	if (t)
		memset((void *)(uintptr_t)t->data, *v, (size_t)n);
	return t;
}

/* An int32 bias counts in steps of x's scale times the channel's. */
static hb_tensor *
float_bias(hb_graph *g, hb_tensor *b, hb_tensor *xs, hb_tensor *ws)
{
	const int32_t *q = hb_tensor_data(g, b);
	const float *sx = hb_tensor_data(g, xs), *sw = hb_tensor_data(g, ws);
	hb_tensor *t = q && sx && sw ? hb_tensor_const(g, b->name, HB_F32, &b->shape, NULL) : NULL;
	for (int64_t i = 0; t && i < hb_tensor_elems(b); i++)
		((float *)(uintptr_t)t->data)[i] = (float)((double)q[i] * sx[0] * sw[hb_tensor_elems(ws) > 1 ? i : 0]);
	return t;
}

static bool
is_constant(const hb_tensor *t)
{
	return !t || t->is_const;
}

/* QLinearConv(x xs xz w ws wz ys yz b) and QLinearMatMul(a as az b bs bz ys yz), of constant weights. */
static hb_status
spell_qlinear(hb_graph *g, hb_node *n, const char *op, int version)
{
	bool conv = !strcmp(op, "Conv");
	hb_tensor *w = n->in[3], *b = hb_in(n, 8), *y = n->out[0];
	int axis = conv ? 0 : w->shape.rank - 1;
	for (int i = 1; i < n->nin; i++) {
		if (!is_constant(n->in[i]))
			return HB_OK;
	}
	if (hb_tensor_elems(n->in[1]) != 1 || hb_tensor_elems(n->in[6]) != 1 || n->in[4]->shape.rank > 1 || w->shape.rank < 2 ||
	    (hb_tensor_elems(n->in[4]) != 1 && hb_tensor_elems(n->in[4]) != w->shape.dim[axis]) ||
	    (n->in[5] && hb_tensor_elems(n->in[5]) != 1 && !hb_shape_eq(&n->in[5]->shape, &n->in[4]->shape)))
		return HB_OK;
	hb_tensor *wz = spread(g, n->in[5], n->in[4]), *f = float_form(g, y, "float");
	hb_tensor *xf = dequantized(g, n, n->in[0], n->in[1], n->in[2], 0);
	hb_tensor *wf = xf ? dequantized(g, n, w, n->in[4], wz, axis) : NULL;
	hb_tensor *bf = b ? float_bias(g, b, n->in[1], n->in[4]) : NULL;
	hb_node *c = wf && f && (bf || !b) ? hb_node_new(g, n, n->name, "", op, version, b ? 3 : 2, 1) : NULL;
	if (!c)
		return hb_nomem(g->cx, n->name);
	c->attrs = n->attrs;
	hb_node_set_in(g, c, 0, xf);
	hb_node_set_in(g, c, 1, wf);
	if (b)
		hb_node_set_in(g, c, 2, bf);
	hb_node_set_out(c, 0, f);
	hb_tensor *ys = n->in[6], *yz = n->in[7];
	drop(g, n, c);
	HB_TRY(hb_op_infer(g, c));
	hb_node *q = linear_before(g, c->next, "QuantizeLinear", f, ys, yz, y);
	return q ? hb_op_infer(g, q) : hb_nomem(g->cx, c->name);
}

/* What makes t, where that is an `op` which nothing else reads. */
static hb_node *
made_by(const hb_tensor *t, const char *op)
{
	return t && t->nuses == 1 && !t->is_output && t->producer && is_op(t->producer, op) ? t->producer : NULL;
}

/* The weights' scale in a product of x's scale at run time and theirs. */
static hb_tensor *
weight_scale(const hb_tensor *t, const hb_node *dynamic)
{
	const hb_node *m = t->producer;
	if (!m || !is_op(m, "Mul"))
		return NULL;
	int k = m->in[0] == dynamic->out[1];
	hb_tensor *s = k || m->in[1] == dynamic->out[1] ? m->in[k] : NULL;
	return s && s->is_const && s->dtype == HB_F32 ? s : NULL;
}

/* DynamicQuantizeLinear, MatMulInteger or ConvInteger, Cast and Mul are the operator on floats, x quantized by a scale
 * of its own each time: calibration gives it one for all. */
static hb_status
spell_dynamic(hb_graph *g, hb_node *mul)
{
	int side = 0;
	hb_node *cast = made_by(mul->in[0], "Cast");
	if (!cast)
		cast = made_by(mul->in[side = 1], "Cast");
	hb_node *n = cast ? made_by(cast->in[0], "MatMulInteger") : NULL;
	bool conv = cast && !n;
	if (conv)
		n = made_by(cast->in[0], "ConvInteger");
	const hb_node *d = n ? n->in[0]->producer : NULL;
	if (!d || !is_op(d, "DynamicQuantizeLinear") || n->in[0] != d->out[0] || d->nout < 3 || !d->out[1] || hb_in(n, 2) != d->out[2])
		return HB_OK;
	hb_tensor *w = n->in[1], *wz = hb_in(n, 3), *ws = weight_scale(mul->in[!side], d);
	int axis = conv ? 0 : w->shape.rank - 1;
	int64_t count = ws ? hb_tensor_elems(ws) : 0;
	bool channels = !conv && count > 1 && ws->shape.rank == 1 && count == w->shape.dim[axis];
	if ((count != 1 && !channels) || !w->is_const || !is_constant(wz) || w->shape.rank < 2 ||
	    (wz && hb_tensor_elems(wz) != 1 && !hb_shape_eq(&wz->shape, &ws->shape)))
		return HB_OK;
	hb_tensor *wf = dequantized(g, n, w, ws, spread(g, wz, ws), axis), *y = mul->out[0];
	hb_node *f = wf ? hb_node_new(g, n, n->name, "", conv ? "Conv" : "MatMul", 13, 2, 1) : NULL;
	if (!f)
		return hb_nomem(g->cx, n->name);
	f->attrs = n->attrs;
	hb_node_set_in(g, f, 0, d->in[0]);
	hb_node_set_in(g, f, 1, wf);
	hb_node_set_out(mul, 0, NULL);
	hb_node_set_out(f, 0, y);
	drop(g, mul, f);
	drop(g, cast, f);
	drop(g, n, f);
	return hb_op_infer(g, f);
}

/* A node that moves or selects integers does the same to their floats. */
static hb_status
spell_move(hb_graph *g, hb_node *n)
{
	hb_tensor *x = n->in[0], *y = n->out[0];
	const hb_node *q = x ? x->producer : NULL;
	if (!q || !is_quantize(q) || !is_constant(q->in[1]) || !is_constant(hb_in(q, 2)) || hb_tensor_elems(q->in[1]) != 1 || n->nout != 1 ||
	    !y || y->dtype != x->dtype || is_op(n, "Pad") || is_op(n, "Identity"))
		return HB_OK;
	hb_tensor *xf = dequantized(g, n, x, q->in[1], hb_in(q, 2), 0), *f = xf ? float_form(g, y, "float") : NULL;
	if (!f)
		return HB_ERR_NOMEM;
	hb_node_set_in(g, n, 0, xf);
	hb_node_set_out(n, 0, f);
	HB_TRY(hb_op_infer(g, n));
	hb_node *k = linear_before(g, n->next, "QuantizeLinear", f, q->in[1], hb_in(q, 2), y);
	return k ? hb_op_infer(g, k) : hb_nomem(g->cx, n->name);
}

static hb_status
spell(absorb *a)
{
	for (hb_node *n = a->g->first, *next; n; n = next) {
		next = n->next;
		if (is_op(n, "QLinearConv"))
			HB_TRY(spell_qlinear(a->g, n, "Conv", 11));
		else if (is_op(n, "QLinearMatMul"))
			HB_TRY(spell_qlinear(a->g, n, "MatMul", 13));
		else if (is_op(n, "Mul"))
			HB_TRY(spell_dynamic(a->g, n));
		else if (n->op && n->op->role == HB_ROLE_PASS && !is_quantize(n) && !is_dequantize(n))
			HB_TRY(spell_move(a->g, n));
	}
	return HB_OK;
}

/* ---- constants ---- */

/* Is t multiplied with data, so that it has to be int8? */
static bool
is_weight(const hb_tensor *t)
{
	static const char *const ops[] = { "Conv", "ConvTranspose", "Gemm", "MatMul" };
	for (size_t i = 0; i < t->nuses; i++) {
		for (size_t k = 0; k < HB_LEN(ops); k++) {
			if (t->uses[i].index == 1 && is_op(t->uses[i].node, ops[k]))
				return true;
		}
	}
	return false;
}

/* The scales that DequantizeLinear n of a constant leaves on its result, where its integers are int8 around 0; int16
 * too for what is no weight. */
static hb_status
constant_q(absorb *a, hb_node *n, hb_q *q)
{
	hb_graph *g = a->g;
	hb_dtype dt = ints_of(n);
	int64_t count, zp;
	const float *s = scales_of(g, n, &count);
	*q = (hb_q){ .dtype = HB_NONE };
	if (dt == HB_I32)
		return HB_OK;		/* a bias: conversion gives it the accumulator's scale */
	bool words = (dt == HB_I16 || dt == HB_U16) && count == 1 && !is_weight(n->out[0]);
	bool fits = s && (dt == HB_I8 || dt == HB_U8 || words);
	for (int64_t i = 0; fits && i < count; i++)
		fits = zero_point(g, n, hb_in(n, 2) && hb_tensor_elems(n->in[2]) > 1 ? i : 0, &zp) && zp == middle(dt);
	if (!fits) {
		hb_node_warn(g->cx, n, "weight-zero-point", "'%s' is no int8 with zero point 0 and a scale a channel; it is quantized anew",
			     n->in[0]->name);
		return HB_OK;
	}
	float *copy = hb_arena_dup(g->arena, s, sizeof(*s) * (size_t)count);
	if (!copy)
		return hb_nomem(g->cx, n->name);
	int64_t axis = hb_attr_i(n, "axis", 1);
	*q = (hb_q){
		.dtype = words ? HB_I16 : HB_I8, .nscales = (int)count, .axis = (int)(axis < 0 ? axis + n->in[0]->shape.rank : axis),
		.scale = copy[0], .scales = copy, .observer = hb_observer_name(HB_OBS_FIXED), .from = HB_Q_GIVEN,
	};
	return HB_OK;
}

/* The scales behind a node that only moves a constant. */
static hb_q
moved_q(const hb_node *n)
{
	hb_q q = { .dtype = HB_NONE };
	if (!n->in[0] || n->in[0]->q.from == HB_Q_OPEN || !n->op || n->op->role != HB_ROLE_PASS || n->op->lut)
		return q;
	q = n->in[0]->q;
	if (q.nscales == 1)
		return q;
	size_t k;
	const int64_t *perm = hb_attr_ints(n, "perm", &k);
	if (!is_op(n, "Transpose"))
		return (hb_q){ .dtype = HB_NONE };
	int rank = n->in[0]->shape.rank, axis = rank - 1 - q.axis;
	for (int i = 0; perm && i < rank; i++) {
		if (perm[i] == q.axis)
			axis = i;
	}
	q.axis = axis;
	return q;
}

static bool
all_constant(const hb_node *n)
{
	bool some = false;
	for (int i = 0; i < n->nin; i++) {
		if (n->in[i] && !n->in[i]->is_const)
			return false;
		some = some || n->in[i];
	}
	return some && n->op && n->op->run && !*n->domain;
}

static hb_status
fold_constants(absorb *a)
{
	for (hb_node *n = a->g->first, *next; n; n = next) {
		next = n->next;
		if (!all_constant(n))
			continue;
		hb_q q = { .dtype = HB_NONE };
		hb_tensor *t = n->out[0];
		if (is_dequantize(n))
			HB_TRY(constant_q(a, n, &q));
		else if (!is_quantize(n))
			q = moved_q(n);
		HB_TRY(hb_pass_fold(a->g, n));
		if (t) {
			remember(t, &q);
			t->q = q;
		}
	}
	return HB_OK;
}

/* Weights of grouped transposed convolutions, which a file of ours has as floats, are integers at the scales that its
 * metadata tells. */
static void
take_told(absorb *a)
{
	for (hb_node *n = a->g->first; n; n = n->next) {
		hb_tensor *w = is_op(n, "ConvTranspose") ? n->in[1] : NULL;
		const hb_q *said = w ? w->user : NULL;
		if (!said || !w->is_const || w->dtype != HB_F32 || said->dtype != HB_I8 || w->q.dtype != HB_NONE)
			continue;
		w->q = *said;
		w->q.from = HB_Q_GIVEN;
	}
}

/* ---- pairs on activations ---- */

/* What an edge of a file of ours is called, from the integers of its pair; NULL: the file is another's. */
static const char *
edge_name(const absorb *a, const hb_tensor *ints)
{
	for (size_t i = 0; a->told && i < ints->nuses; i++) {
		const hb_node *n = ints->uses[i].node;
		if (is_dequantize(n) && n->out[0]->user)
			return n->out[0]->name;
	}
	return NULL;
}

/* A node before `at` whose result is x at another scale; named after `like`. */
static hb_tensor *
requantize(absorb *a, hb_node *at, hb_tensor *x, const hb_tensor *like, const hb_q *q)
{
	hb_graph *g = a->g;
	const char *edge = edge_name(a, like);
	char *name = hb_arena_printf(g->arena, edge ? "%s_float" : "%s_requantized", edge ? edge : like->name);
	hb_tensor *t = name ? hb_tensor_again(g, name, HB_F32, &x->shape) : NULL;
	hb_node *n = t ? hb_node_new(g, at, edge ? edge : t->name, "", "Identity", 13, 1, 1) : NULL;
	if (!n) {
		hb_nomem(g->cx, x->name);
		return NULL;
	}
	hb_node_set_in(g, n, 0, x);
	hb_node_set_out(n, 0, t);
	t->q = *q;
	return hb_op_infer(g, n) == HB_OK ? t : NULL;
}

static hb_status
take_pair(absorb *a, hb_node *n)
{
	hb_graph *g = a->g;
	hb_tensor *x = n->in[0], *ints = n->out[0];
	bool affine;
	hb_q q;
	x = unclipped(a, n, x);
	if (x->dtype != HB_F32 || x->is_const || !is_told(a, n) || !activation_q(a, n, &q, &affine))
		return HB_OK;
	hb_tensor *at = x;
	if (x->q.from != HB_Q_OPEN && !hb_q_same(&x->q, &q)) {
		/* Another pair stands on x: this one reads what that one leaves. */
		at = requantize(a, n, x, ints, &q);
		if (!at)
			return HB_ERR_NOMEM;
	} else if (x->q.from == HB_Q_OPEN) {
		x->q = q;
	} else {
		affine = false;		/* counted already */
	}
	if (affine) {
		a->first_affine = a->affine++ ? a->first_affine : x->name;
	}
	for (size_t i = 0; i < ints->nuses;) {
		hb_node *d = ints->uses[i].node;
		if (!is_dequantize(d) || ints->uses[i].index || !same_params(g, n, d)) {
			i++;
			continue;
		}
		hb_tensor *to = at, *y = d->out[0];
		if (y->is_output && (at->is_input || at->is_output))	/* an output needs a node of its own */
			to = requantize(a, d, at, y, &q);
		if (!to)
			return HB_ERR_NOMEM;
		remember(y, &to->q);
		hb_tensor_replace(g, y, to);
		if (!take_name(g, to, y) && a->told)
			to->q.from = HB_Q_PASSED;
		drop(g, d, to->producer);
	}
	if (!ints->nuses && !ints->is_output)
		drop(g, n, at->producer);
	return HB_OK;
}

static hb_status
take_pairs(absorb *a)
{
	int count = 0, i = 0;
	for (const hb_node *n = a->g->first; n; n = n->next)
		count += is_quantize(n);
	hb_node **list = HB_NEW_N(a->scratch, hb_node *, count + 1);
	if (!list)
		return hb_nomem(a->g->cx, "absorb");
	for (hb_node *n = a->g->first; n; n = n->next) {
		if (is_quantize(n))
			list[i++] = n;
	}
	for (i = 0; i < count; i++)
		HB_TRY(take_pair(a, list[i]));
	/* What was integers already, of an input or at another scale. */
	for (hb_node *n = a->g->first; n; n = n->next) {
		hb_q q;
		bool affine;
		if (is_dequantize(n) && (!a->told || n->out[0]->user) && n->out[0]->q.from == HB_Q_OPEN && activation_q(a, n, &q, &affine)) {
			n->out[0]->q = q;
			if (affine)
				a->first_affine = a->affine++ ? a->first_affine : n->out[0]->name;
		}
	}
	return HB_OK;
}

/* ---- through operators that pass a scale on ---- */

static bool
passes(const hb_node *n)
{
	return n->op && n->op->role == HB_ROLE_PASS && !is_quantize(n) && !is_dequantize(n) && n->in[0] && n->in[0]->dtype == HB_F32;
}

static bool
has_q(const hb_tensor *t)
{
	return t->q.from != HB_Q_OPEN && t->q.nscales == 1;
}

static bool
set_passed(hb_tensor *t, const hb_q *q)
{
	if (!t || t->dtype != HB_F32 || t->is_const || t->q.from != HB_Q_OPEN)
		return false;
	t->q = *q;
	t->q.from = HB_Q_PASSED;
	return true;
}

/* The coarsest scale of a Concat's inputs holds them all; NULL where one has none or takes not all of its type. */
static const hb_q *
coarsest(const hb_node *n)
{
	const hb_q *q = NULL;
	for (int i = 0; i < n->nin; i++) {
		if (!n->in[i] || !has_q(n->in[i]) || hb_q_limited(&n->in[i]->q) || (q && q->dtype != n->in[i]->q.dtype))
			return NULL;
		q = !q || n->in[i]->q.scale > q->scale ? &n->in[i]->q : q;
	}
	return q;
}

/* A mean lies inside what it is of: where the file gives it no scale, its input's holds it. */
static bool
is_mean(const hb_node *n)
{
	return is_op(n, "AveragePool") || is_op(n, "GlobalAveragePool") || is_op(n, "ReduceMean");
}

static bool
forward(hb_node *n)
{
	bool changed = false;
	const hb_q *q = (passes(n) || is_mean(n)) && has_q(n->in[0]) ? &n->in[0]->q : n->op && n->op->role == HB_ROLE_CAT ? coarsest(n) : NULL;
	for (int i = 0; q && i < n->nout; i++)
		changed = set_passed(n->out[i], q) || changed;
	return changed;
}

/* Clamping before a node that moves or selects values is clamping after it. A function with a lookup is left
 * to what fuses it, unless what makes its input passes on too. */
static bool
backward(hb_node *n)
{
	bool changed = false, cat = n->op && n->op->role == HB_ROLE_CAT;
	if ((!passes(n) && !cat) || !n->out[0] || n->out[0]->dtype != HB_F32 || !has_q(n->out[0]))
		return false;
	for (int i = 0; i < (cat ? n->nin : 1); i++) {
		const hb_node *p = n->in[i] ? n->in[i]->producer : NULL;
		if (n->op->lut && !(p && p->op && (p->op->role == HB_ROLE_PASS || p->op->role == HB_ROLE_CAT) && !p->op->lut))
			continue;
		changed = set_passed(n->in[i], &n->out[0]->q) || changed;
	}
	return changed;
}

static void
propagate(absorb *a)
{
	for (bool changed = true; changed;) {	/* each round gives a tensor its scale, or is the last */
		changed = false;
		for (hb_node *n = a->g->last; n; n = n->prev)
			changed = backward(n) || changed;
		for (hb_node *n = a->g->first; n; n = n->next)
			changed = forward(n) || changed;
	}
}

hb_status
hb_pass_absorb(hb_graph *g, hb_affine affine)
{
	if (!hb_arrives_quantized(g))
		return HB_OK;
	absorb a = { .g = g, .scratch = hb_arena_new(g->cx), .affine_as = affine };
	if (!a.scratch)
		return hb_nomem(g->cx, "absorb");
	hb_status st = begin(&a);
	if (st == HB_OK)
		st = spell(&a);
	if (st == HB_OK)
		st = fold_constants(&a);
	take_told(&a);
	if (st == HB_OK)
		st = take_pairs(&a);
	if (st == HB_OK && !a.told)
		propagate(&a);
	if (st == HB_OK && a.affine)
		hb_warn(g->cx, a.first_affine, "zero-point",
			"%d quantized tensors, '%s' first, have a zero point other than the middle of their type; they are re-expressed around 0, in steps up to twice as large",
			a.affine, a.first_affine);
	for (hb_tensor *t = g->tensors; t; t = t->next)
		t->user = NULL;
	hb_arena_free(a.scratch);
	hb_graph_sweep(g);
	return st;
}
