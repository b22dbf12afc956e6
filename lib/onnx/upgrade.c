/* upgrade.c: nodes of any operator set in the form of the one that is written (DESIGN 1).
 *
 * Where an operator's form changed (an attribute became an input, a default another,
 * a broadcast implicit), a row says for which versions of the node which function
 * rewrites it; results are the same. Operators without a row have one form. */
#include "lib/onnx/internal.h"

#include <stdio.h>

/* ---- building ---- */

static bool
name_taken(const hb_export *x, const char *name)
{
	for (; x; x = x->outer) {
		if (hb_map_get(x->g->names, name) || hb_map_get(x->names, name))
			return true;
	}
	return false;
}

hb_tensor *
hb_export_temp(hb_export *x, const char *like, const char *what)
{
	hb_tensor *t = HB_NEW(x->arena, hb_tensor);
	char *name = hb_arena_printf(x->arena, "%s/%s", like, what);
	for (int i = 2; name && name_taken(x, name); i++)
		name = hb_arena_printf(x->arena, "%s/%s~%d", like, what, i);
	if (!t || !name || !hb_map_put(x->names, name, t)) {
		hb_nomem(x->g->cx, like);
		return NULL;
	}
	t->name = name;
	t->id = -1;
	return t;
}

hb_tensor *
hb_export_const(hb_export *x, const char *like, const char *what, hb_dtype dt, const hb_shape *s, const void *data)
{
	hb_tensor *t = data ? hb_export_temp(x, like, what) : NULL;
	if (!t)
		return NULL;
	t->dtype = dt;
	t->shape = *s;
	t->has_shape = t->is_const = true;
	t->data = data;
	return t;
}

hb_draft *
hb_export_draft(hb_export *x, const char *name, const char *op_type, const char *domain, int nin, int nout)
{
	hb_draft *d = HB_NEW(x->arena, hb_draft);
	if (d) {
		d->in = HB_NEW_N(x->arena, hb_tensor *, nin + 8);	/* room for what upgrades add */
		d->out = HB_NEW_N(x->arena, hb_tensor *, nout + 1);
	}
	if (!d || !d->in || !d->out) {
		hb_nomem(x->g->cx, name);
		return NULL;
	}
	d->name = name;
	d->op_type = op_type;
	d->domain = domain;
	d->nin = nin;
	d->nout = nout;
	return d;
}

static void
append(hb_export *x, hb_draft *d)
{
	*(x->last ? &x->last->next : &x->first) = d;
	x->last = d;
}

static void
set_shape(hb_tensor *t, hb_dtype dt, const hb_shape *s)
{
	t->dtype = dt;
	t->has_shape = true;
	t->shape = *s;
}

/* A node of the default domain with one output, before the one being rewritten; its output,
 * of a's type and of shape s (NULL: not known). */
static hb_tensor *
before(hb_export *x, const char *like, const char *op_type, hb_tensor *a, hb_tensor *b, const hb_shape *s)
{
	hb_tensor *out = hb_export_temp(x, like, op_type);
	if (out && a && s)
		set_shape(out, a->dtype, s);
	hb_draft *d = out ? hb_export_draft(x, out->name, op_type, "", b ? 2 : 1, 1) : NULL;
	if (!d || !a)
		return NULL;
	d->in[0] = a;
	if (b)
		d->in[1] = b;
	d->out[0] = out;
	append(x, d);
	return out;
}

static hb_attr *
find(const hb_draft *d, const char *name)
{
	hb_attr *a = d->attrs;
	while (a && strcmp(a->name, name))
		a = a->next;
	return a;
}

static void
drop(hb_draft *d, const char *name)
{
	for (hb_attr **p = &d->attrs; *p; p = &(*p)->next) {
		if (!strcmp((*p)->name, name)) {
			*p = (*p)->next;
			return;
		}
	}
}

static hb_attr *
put(hb_export *x, hb_draft *d, const char *name, hb_attr_type type)
{
	hb_attr *a = HB_NEW(x->arena, hb_attr);
	drop(d, name);
	if (a)
		*a = (hb_attr){ .name = name, .type = type, .next = d->attrs };
	if (a)
		d->attrs = a;
	return a;
}

static hb_status
no_memory(hb_export *x)
{
	return hb_nomem(x->g->cx, NULL);
}

static hb_status
set_i(hb_export *x, hb_draft *d, const char *name, int64_t v)
{
	hb_attr *a = put(x, d, name, HB_ATTR_INT);
	if (a)
		a->i = v;
	return a ? HB_OK : no_memory(x);
}

static hb_status
set_f(hb_export *x, hb_draft *d, const char *name, float v)
{
	hb_attr *a = put(x, d, name, HB_ATTR_FLOAT);
	if (a)
		a->f = v;
	return a ? HB_OK : no_memory(x);
}

static hb_status
set_s(hb_export *x, hb_draft *d, const char *name, const char *v)
{
	hb_attr *a = put(x, d, name, HB_ATTR_STRING);
	if (a) {
		a->s = v;
		a->n = strlen(v);
	}
	return a ? HB_OK : no_memory(x);
}

/* Sets input i, which may be behind the last; those between are absent. */
static hb_status
set_in(hb_export *x, hb_draft *d, int i, hb_tensor *t)
{
	if (!t)
		return no_memory(x);
	d->in[i] = t;
	d->nin = HB_MAX(d->nin, i + 1);
	return HB_OK;
}

static hb_tensor *
ints_const(hb_export *x, const hb_draft *d, const char *what, const int64_t *v, size_t n)
{
	hb_shape s = { .rank = 1, .dim = { (int64_t)n } };
	return hb_export_const(x, d->name, what, HB_I64, &s, hb_arena_dup(x->arena, v, n * sizeof(*v)));
}

/* Attribute `name`, a list or an int, becomes input i (a list of int64). */
static hb_status
ints_to_input(hb_export *x, hb_draft *d, const char *name, int i)
{
	const hb_attr *a = find(d, name);
	if (!a)
		return HB_OK;
	hb_tensor *t = a->type == HB_ATTR_INT ? ints_const(x, d, name, &a->i, 1) : ints_const(x, d, name, a->ints, a->n);
	drop(d, name);
	return set_in(x, d, i, t);
}

static hb_status
no_form(hb_export *x, const hb_node *n, const char *what)
{
	return hb_fail(x->g->cx, n, HB_ERR_UNSUPPORTED, "onnx-form", "%s has no form in operator set %d", what, x->opset);
}

/* The dtype whose contents make a constant 0 or 1 of t's type. */
static hb_tensor *
scalar_like(hb_export *x, const hb_draft *d, const char *what, hb_dtype dt, double v)
{
	hb_shape s = { .rank = 0 };
	uint8_t bytes[8] = { 0 };
	float f = (float)v;
	int64_t i = dt == HB_F32 ? 0 : v >= 0x1p63 ? INT64_MAX : v <= -0x1p63 ? INT64_MIN : (int64_t)v;
	if (dt == HB_F32)
		memcpy(bytes, &f, 4);
	else
		memcpy(bytes, &i, 8);	/* little-endian: the low bytes come first */
	return hb_export_const(x, d->name, what, dt, &s, hb_arena_dup(x->arena, bytes, 8));
}

/* ---- element-wise, before numpy's broadcasting (operator sets 1 to 6) ---- */

/* B lies over A's dimensions from `axis` on; what follows it is broadcast. */
static hb_status
broadcast_from(hb_export *x, hb_draft *d, const hb_node *n, int k, int64_t axis)
{
	hb_tensor *a = d->in[0], *b = d->in[k];
	if (!a || !b || !a->has_shape || !b->has_shape)
		return no_form(x, n, "a broadcast along an axis of tensors without shapes");
	int64_t at = axis < 0 ? axis + a->shape.rank : axis;
	int after = a->shape.rank - (int)at - b->shape.rank;
	if (at < 0 || after <= 0 || b->shape.rank == 0)
		return HB_OK;
	hb_shape s = b->shape;
	for (int i = 0; i < after; i++)
		s.dim[s.rank++] = 1;
	if (b->is_const) {
		hb_tensor *t = hb_export_temp(x, b->name, "aligned");
		if (!t)
			return HB_ERR_NOMEM;
		const char *name = t->name;
		*t = *b;
		t->name = name;
		t->id = -1;
		t->shape = s;
		d->in[k] = t;
		return HB_OK;
	}
	return set_in(x, d, k, before(x, d->name, "Reshape", b, ints_const(x, d, "shape", s.dim, (size_t)s.rank), &s));
}

static hb_status
old_broadcast(hb_export *x, hb_draft *d, const hb_node *n)
{
	const hb_attr *on = find(d, "broadcast"), *axis = find(d, "axis");
	hb_status st = on && on->i && axis ? broadcast_from(x, d, n, 1, axis->i) : HB_OK;
	drop(d, "broadcast");
	drop(d, "axis");
	return st;
}

/* One slope a channel. */
static hb_status
old_prelu(hb_export *x, hb_draft *d, const hb_node *n)
{
	const hb_tensor *s = d->in[1];
	return s && s->has_shape && s->shape.rank == 1 && s->shape.dim[0] != 1 ? broadcast_from(x, d, n, 1, 1) : HB_OK;
}

static hb_status
old_gemm(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)x;
	(void)n;
	drop(d, "broadcast");
	return HB_OK;
}

/* ---- attributes that became inputs ---- */

static hb_status
old_clip(hb_export *x, hb_draft *d, const hb_node *n)
{
	static const char *const names[] = { "min", "max" };
	(void)n;
	for (int i = 0; i < 2; i++) {
		const hb_attr *a = find(d, names[i]);
		hb_dtype dt = d->in[0] && d->in[0]->dtype != HB_NONE ? d->in[0]->dtype : HB_F32;
		if (!a)
			continue;
		float f = a->f;
		drop(d, names[i]);
		HB_TRY(set_in(x, d, i + 1, scalar_like(x, d, names[i], dt, (double)f)));
	}
	return HB_OK;
}

static hb_status
axes_to_input(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)n;
	return ints_to_input(x, d, "axes", 1);
}

static hb_status
old_slice(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)n;
	HB_TRY(ints_to_input(x, d, "starts", 1));
	HB_TRY(ints_to_input(x, d, "ends", 2));
	return ints_to_input(x, d, "axes", 3);
}

static hb_status
old_split(hb_export *x, hb_draft *d, const hb_node *n)
{
	hb_tensor *t = d->nin > 1 ? d->in[1] : NULL;
	if (!t || t->dtype != HB_F32)	/* operator set 1: of the data's type */
		return ints_to_input(x, d, "split", 1);
	const float *f = t->is_const ? hb_tensor_data(x->g, t) : NULL;
	int64_t count = f ? hb_tensor_elems(t) : 0, *v = HB_NEW_N(x->arena, int64_t, count + 1);
	if (!f || !v)
		return f ? no_memory(x) : no_form(x, n, "a Split by what is computed");
	for (int64_t i = 0; i < count; i++)
		v[i] = (int64_t)f[i];
	return set_in(x, d, 1, ints_const(x, d, "split", v, (size_t)count));
}

static hb_status
old_reshape(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)n;
	return ints_to_input(x, d, "shape", 1);
}

static hb_status
old_topk(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)n;
	return ints_to_input(x, d, "k", 1);
}

static hb_status
old_pad(hb_export *x, hb_draft *d, const hb_node *n)
{
	const hb_attr *v = find(d, "value"), *old = find(d, "paddings");
	hb_tensor *pads = NULL;
	(void)n;
	if (old) {			/* operator set 1 */
		pads = ints_const(x, d, "pads", old->ints, old->n);
		drop(d, "paddings");
		HB_TRY(set_in(x, d, 1, pads));
	}
	HB_TRY(ints_to_input(x, d, "pads", 1));
	if (v && v->f != 0) {
		float f = v->f;
		HB_TRY(set_in(x, d, 2, scalar_like(x, d, "value", d->in[0] && d->in[0]->dtype != HB_NONE ? d->in[0]->dtype : HB_F32, (double)f)));
	}
	drop(d, "value");
	return HB_OK;
}

/* tiles, axis (operator set 1) to repeats. */
static hb_status
old_tile(hb_export *x, hb_draft *d, const hb_node *n)
{
	int64_t tiles, axis, repeats[HB_MAX_RANK];
	size_t a, b;
	if (!hb_tensor_ints_get(x->g, d->nin > 1 ? d->in[1] : NULL, &tiles, 1, &a) ||
	    d->nin < 3 || !hb_tensor_ints_get(x->g, d->in[2], &axis, 1, &b) || a != 1 || b != 1 || !d->in[0]->has_shape ||
	    axis < 0 || axis >= d->in[0]->shape.rank)
		return no_form(x, n, "Tile with counts that are not constant");
	for (int i = 0; i < d->in[0]->shape.rank; i++)
		repeats[i] = i == axis ? tiles : 1;
	d->nin = 2;
	return set_in(x, d, 1, ints_const(x, d, "repeats", repeats, (size_t)d->in[0]->shape.rank));
}

/* ---- defaults and outputs ---- */

static hb_status
old_concat(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)n;
	return find(d, "axis") ? HB_OK : set_i(x, d, "axis", 1);
}

static hb_status
old_selu(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)n;
	if (!find(d, "alpha"))
		HB_TRY(set_f(x, d, "alpha", 1.6732f));
	return find(d, "gamma") ? HB_OK : set_f(x, d, "gamma", 1.0507f);
}

static hb_status
old_cast(hb_export *x, hb_draft *d, const hb_node *n)
{
	hb_attr *a = find(d, "to");
	static const struct {
		const char *name;
		int number;
	} types[] = {
		{ "FLOAT", 1 }, { "UINT8", 2 }, { "INT8", 3 }, { "UINT16", 4 }, { "INT16", 5 }, { "INT32", 6 }, { "INT64", 7 },
		{ "BOOL", 9 }, { "FLOAT16", 1 }, { "DOUBLE", 1 }, { "UINT32", 12 }, { "UINT64", 13 },
	};
	for (size_t i = 0; a && a->type == HB_ATTR_STRING && i < HB_LEN(types); i++) {
		if (!strcmp(a->s, types[i].name))
			return set_i(x, d, "to", types[i].number);
	}
	return a && a->type == HB_ATTR_INT ? HB_OK : no_form(x, n, "Cast to this type");
}

static hb_status
old_batch_norm(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)x;
	(void)n;
	drop(d, "spatial");
	drop(d, "is_test");
	drop(d, "consumed_inputs");
	d->nout = 1;
	return HB_OK;
}

static hb_status
old_dropout(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)x;
	(void)n;
	drop(d, "ratio");
	drop(d, "is_test");
	return HB_OK;
}

static hb_status
old_rnn(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)x;
	(void)n;
	drop(d, "output_sequence");
	return HB_OK;
}

static hb_status
old_p(hb_export *x, hb_draft *d, const hb_node *n)
{
	const hb_attr *p = find(d, "p");
	(void)n;
	return p && p->type == HB_ATTR_FLOAT ? set_i(x, d, "p", (int64_t)p->f) : HB_OK;
}

static hb_status
old_roi_align(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)n;
	return find(d, "coordinate_transformation_mode") ? HB_OK : set_s(x, d, "coordinate_transformation_mode", "output_half_pixel");
}

static hb_status
old_scatter(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)x;
	(void)n;
	d->op_type = "ScatterElements";
	return HB_OK;
}

/* Before operator set 13 these saw their input as a matrix, cut in two at `axis` (default 1). */
static hb_status
old_softmax(hb_export *x, hb_draft *d, const hb_node *n)
{
	const hb_attr *a = find(d, "axis");
	hb_tensor *in = d->in[0], *out = d->out[0];
	int64_t axis = a ? a->i : 1;
	if (!in->has_shape)
		return no_form(x, n, "a Softmax of the form before operator set 13 without a shape");
	int rank = in->shape.rank, at = (int)(axis < 0 ? axis + rank : axis);
	if (at < 0 || at > rank)
		return no_form(x, n, "this axis");
	int wide = 0, last = at;
	for (int i = at; i < rank; i++) {
		if (in->shape.dim[i] != 1) {
			wide++;
			last = i;
		}
	}
	if (wide <= 1 && at < rank)
		return set_i(x, d, "axis", last);
	int64_t rows = hb_shape_span(&in->shape, 0, at), cols = hb_shape_span(&in->shape, at, rank);
	hb_shape matrix = { .rank = 2, .dim = { rows, cols } };
	hb_tensor *flat = before(x, out->name, "Reshape", in, ints_const(x, d, "matrix", matrix.dim, 2), &matrix);
	hb_tensor *shape = ints_const(x, d, "shape", in->shape.dim, (size_t)rank);
	hb_tensor *y = hb_export_temp(x, out->name, "rows");
	hb_draft *back = hb_export_draft(x, d->name, "Reshape", "", 2, 1);
	if (!flat || !shape || !y || !back)
		return no_memory(x);
	/* The draft becomes the Reshape behind; the operator itself goes before it. */
	hb_draft *inner = hb_export_draft(x, y->name, d->op_type, "", 1, 1);
	if (!inner)
		return HB_ERR_NOMEM;
	set_shape(y, in->dtype, &matrix);
	inner->in[0] = flat;
	inner->out[0] = y;
	HB_TRY(set_i(x, inner, "axis", 1));
	append(x, inner);
	back->in[0] = y;
	back->in[1] = shape;
	back->out[0] = out;
	*d = *back;
	return HB_OK;
}

/* ---- Resize and its forerunner ---- */

static hb_status
old_resize(hb_export *x, hb_draft *d, const hb_node *n)
{
	hb_tensor *scales = d->nin > 1 ? d->in[1] : NULL;
	const float *v = NULL;
	bool shrinks = false;
	if (!scales)
		return no_form(x, n, "a Resize without scales");
	if (scales->is_const && scales->dtype == HB_F32)
		v = hb_tensor_data(x->g, scales);
	for (int64_t i = 0; v && i < hb_tensor_elems(scales); i++)
		shrinks = shrinks || v[i] < 1;
	d->op_type = "Resize";
	d->in[1] = NULL;
	HB_TRY(set_in(x, d, 2, scales));
	HB_TRY(set_s(x, d, "coordinate_transformation_mode", "asymmetric"));
	/* Then nearest took the cell before when growing, the one behind when shrinking. */
	return set_s(x, d, "nearest_mode", shrinks ? "ceil" : "floor");
}

static hb_status
old_upsample(hb_export *x, hb_draft *d, const hb_node *n)
{
	const hb_attr *list = find(d, "scales"), *h = find(d, "height_scale"), *w = find(d, "width_scale"), *mode = find(d, "mode");
	float hw[4] = { 1, 1, h ? h->f : 1, w ? w->f : 1 };
	if (list || h) {
		const float *v = list ? list->floats : hw;
		size_t count = list ? list->n : 4;
		hb_shape s = { .rank = 1, .dim = { (int64_t)count } };
		HB_TRY(set_in(x, d, 1, hb_export_const(x, d->name, "scales", HB_F32, &s, hb_arena_dup(x->arena, v, count * sizeof(*v)))));
	}
	if (mode && !strcmp(mode->s, "bilinear"))
		HB_TRY(set_s(x, d, "mode", "linear"));
	drop(d, "scales");
	drop(d, "height_scale");
	drop(d, "width_scale");
	HB_TRY(old_resize(x, d, n));
	return set_s(x, d, "nearest_mode", "floor");
}

static hb_status
newer_resize(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)x;
	(void)n;
	drop(d, "antialias");
	drop(d, "keep_aspect_ratio_policy");
	return HB_OK;
}

/* ---- from operator sets behind the one written ---- */

/* Reductions took axes as an attribute until 17, but for ReduceSum. */
static hb_status
newer_reduce(hb_export *x, hb_draft *d, const hb_node *n)
{
	int64_t v[HB_MAX_RANK];
	size_t count = 0;
	const hb_attr *noop = find(d, "noop_with_empty_axes");
	bool none = noop && noop->i;
	if (d->nin > 1 && d->in[1] && !hb_tensor_ints_get(x->g, d->in[1], v, HB_LEN(v), &count))
		return no_form(x, n, "a reduction over axes that are no constant");
	drop(d, "noop_with_empty_axes");
	d->nin = 1;
	if (count) {
		hb_attr *a = put(x, d, "axes", HB_ATTR_INTS);
		if (a) {
			a->ints = hb_arena_dup(x->arena, v, count * sizeof(v[0]));
			a->n = count;
		}
		return a && a->ints ? HB_OK : no_memory(x);
	}
	if (none) {
		d->op_type = "Identity";
		d->attrs = NULL;
	}
	return HB_OK;
}

static hb_status
newer_split(hb_export *x, hb_draft *d, const hb_node *n)
{
	const hb_attr *a = find(d, "axis");
	const hb_tensor *in = d->in[0];
	drop(d, "num_outputs");
	if (d->nin > 1 && d->in[1])
		return HB_OK;
	int64_t axis = a ? a->i : 0, *v = HB_NEW_N(x->arena, int64_t, d->nout);
	if (!v)
		return no_memory(x);
	if (in->has_shape && axis < 0)
		axis += in->shape.rank;
	if (!in->has_shape || axis < 0 || axis >= in->shape.rank)
		return no_form(x, n, "a Split without a shape");
	int64_t each = hb_ceil_div(in->shape.dim[axis], d->nout), left = in->shape.dim[axis];
	for (int i = 0; i < d->nout; i++) {
		v[i] = HB_MIN(each, left);
		left -= v[i];
	}
	return set_in(x, d, 1, ints_const(x, d, "split", v, (size_t)d->nout));
}

static hb_status
wide_split(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)n;
	return (d->nin > 1 && d->in[1]) || find(d, "num_outputs") ? HB_OK : set_i(x, d, "num_outputs", d->nout);
}

/* Pads of some axes become pads of all. */
static hb_status
newer_pad(hb_export *x, hb_draft *d, const hb_node *n)
{
	int64_t axes[HB_MAX_RANK], pads[2 * HB_MAX_RANK], all[2 * HB_MAX_RANK] = { 0 };
	size_t na, np;
	if (d->nin < 4 || !d->in[3])
		return HB_OK;
	int rank = d->in[0]->shape.rank;
	if (!d->in[0]->has_shape || !hb_tensor_ints_get(x->g, d->in[3], axes, HB_LEN(axes), &na) ||
	    !hb_tensor_ints_get(x->g, d->in[1], pads, HB_LEN(pads), &np) || np != 2 * na)
		return no_form(x, n, "a Pad of axes that are no constant");
	for (size_t i = 0; i < na; i++) {
		int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
		if (axis < 0 || axis >= rank)
			return no_form(x, n, "this axis");
		all[axis] = pads[i];
		all[axis + rank] = pads[i + na];
	}
	d->nin = d->in[2] ? 3 : 2;
	return set_in(x, d, 1, ints_const(x, d, "pads", all, 2 * (size_t)rank));
}

static hb_status
newer_grid_sample(hb_export *x, hb_draft *d, const hb_node *n)
{
	const hb_attr *m = find(d, "mode");
	(void)n;
	if (m && !strcmp(m->s, "linear"))
		return set_s(x, d, "mode", "bilinear");
	return m && !strcmp(m->s, "cubic") ? set_s(x, d, "mode", "bicubic") : HB_OK;
}

static hb_status
wide_grid_sample(hb_export *x, hb_draft *d, const hb_node *n)
{
	const hb_attr *m = find(d, "mode");
	(void)n;
	if (m && !strcmp(m->s, "bilinear"))
		return set_s(x, d, "mode", "linear");
	return m && !strcmp(m->s, "bicubic") ? set_s(x, d, "mode", "cubic") : HB_OK;
}

static hb_status
newer_dft(hb_export *x, hb_draft *d, const hb_node *n)
{
	int64_t axis = -2;
	size_t count = 1;
	if (d->nin > 2 && d->in[2] && (!hb_tensor_ints_get(x->g, d->in[2], &axis, 1, &count) || count != 1))
		return no_form(x, n, "a DFT along an axis that is no constant");
	if (axis < 0 && d->in[0]->has_shape)
		axis += d->in[0]->shape.rank;
	d->nin = HB_MIN(d->nin, 2);
	return set_i(x, d, "axis", axis);
}

static hb_status
wide_dft(hb_export *x, hb_draft *d, const hb_node *n)
{
	const hb_attr *a = find(d, "axis");
	double axis = a ? (double)a->i : 1;
	(void)n;
	drop(d, "axis");
	return set_in(x, d, 2, scalar_like(x, d, "axis", HB_I64, axis));
}

/* Before 21 the zero point alone says the type of what QuantizeLinear gives. */
static hb_status
newer_quantize(hb_export *x, hb_draft *d, const hb_node *n)
{
	const hb_attr *ty = find(d, "output_dtype"), *block = find(d, "block_size");
	bool quantizes = !strcmp(d->op_type, "QuantizeLinear");
	if (block && block->i)
		return no_form(x, n, "quantization by blocks");
	const hb_onnx_type *row = ty ? hb_onnx_type_of(ty->i) : NULL;
	if (quantizes && row && row->dtype != HB_U8 && row->dtype != HB_NONE && (d->nin < 3 || !d->in[2])) {
		const hb_tensor *scale = d->in[1];
		if (!scale || !scale->has_shape)
			return no_form(x, n, "QuantizeLinear without a zero point");
		hb_tensor *zp = hb_export_const(x, d->name, "zero_point", row->dtype, &scale->shape, "");
		if (!zp)
			return HB_ERR_NOMEM;
		zp->data = NULL;
		zp->is_splat = true;
		HB_TRY(set_in(x, d, 2, zp));
	}
	drop(d, "output_dtype");
	drop(d, "block_size");
	drop(d, "saturate");
	drop(d, "precision");
	return HB_OK;
}

static hb_status
newest_quantize(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)x;
	(void)n;
	drop(d, "precision");
	if (!strcmp(d->op_type, "DequantizeLinear"))
		drop(d, "output_dtype");
	return HB_OK;
}

static hb_status
newer_cast(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)x;
	(void)n;
	drop(d, "saturate");		/* of float8 alone */
	drop(d, "round_mode");
	return HB_OK;
}

static hb_status
newer_pool(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)x;
	(void)n;
	drop(d, "dilations");		/* all 1, or the target would be wider */
	return HB_OK;
}

/* Scale and bias a group (18) to scale and bias a channel (21). */
static hb_status
old_group_norm(hb_export *x, hb_draft *d, const hb_node *n)
{
	const hb_attr *g = find(d, "num_groups");
	const hb_tensor *in = d->in[0];
	if (!g || g->i <= 0 || !in->has_shape || in->shape.rank < 2 || in->shape.dim[1] % g->i)
		return no_form(x, n, "this GroupNormalization");
	for (int k = 1; k <= 2; k++) {
		const float *v = d->in[k]->is_const && d->in[k]->dtype == HB_F32 && d->in[k]->shape.rank == 1 &&
				 d->in[k]->shape.dim[0] == g->i ? hb_tensor_data(x->g, d->in[k]) : NULL;
		hb_shape s = { .rank = 1, .dim = { in->shape.dim[1] } };
		float *to = HB_NEW_N(x->arena, float, s.dim[0]);
		if (!v)
			return no_form(x, n, "a GroupNormalization with computed scales a group");
		for (int64_t c = 0; to && c < s.dim[0]; c++)
			to[c] = v[c / (s.dim[0] / g->i)];
		HB_TRY(set_in(x, d, k, hb_export_const(x, d->name, k == 1 ? "scale" : "bias", HB_F32, &s, to)));
	}
	return HB_OK;
}

/* Scan of operator set 8 ran over a batch. */
static hb_status
old_scan(hb_export *x, hb_draft *d, const hb_node *n)
{
	(void)d;
	return no_form(x, n, "Scan of operator set 8");
}

/* x * sigmoid(alpha * x) */
static hb_status
newest_swish(hb_export *x, hb_draft *d, const hb_node *n)
{
	const hb_attr *alpha = find(d, "alpha");
	hb_tensor *in = d->in[0], *z = in;
	const hb_shape *shape = in->has_shape ? &in->shape : NULL;
	(void)n;
	if (alpha && alpha->f != 1)
		z = before(x, d->name, "Mul", in, scalar_like(x, d, "alpha", HB_F32, (double)alpha->f), shape);
	hb_tensor *s = z ? before(x, d->name, "Sigmoid", z, NULL, shape) : NULL;
	d->op_type = "Mul";
	d->attrs = NULL;
	return set_in(x, d, 1, s);
}

/* x / sqrt(mean(x^2) + epsilon) * scale, the mean over the dimensions from `axis` on. */
static hb_status
newest_rms_norm(hb_export *x, hb_draft *d, const hb_node *n)
{
	const hb_attr *axis = find(d, "axis"), *epsilon = find(d, "epsilon");
	hb_tensor *in = d->in[0];
	int64_t axes[HB_MAX_RANK], from = axis ? axis->i : -1;
	double eps = epsilon ? (double)epsilon->f : (double)1e-5f;
	if (!in->has_shape)
		return no_form(x, n, "an RMSNormalization without a shape");
	hb_shape mean = in->shape;
	int count = 0, rank = in->shape.rank;
	for (int i = (int)(from < 0 ? from + rank : from); i >= 0 && i < rank; i++) {
		axes[count++] = i;
		mean.dim[i] = 1;
	}
	hb_tensor *square = before(x, d->name, "Mul", in, in, &in->shape);
	hb_tensor *m = hb_export_temp(x, d->name, "ReduceMean");
	hb_draft *reduce = m ? hb_export_draft(x, m->name, "ReduceMean", "", 1, 1) : NULL;
	if (!square || !reduce)
		return HB_ERR_NOMEM;
	set_shape(m, in->dtype, &mean);
	reduce->in[0] = square;
	reduce->out[0] = m;
	if (x->opset >= 18) {
		HB_TRY(set_in(x, reduce, 1, ints_const(x, d, "axes", axes, (size_t)count)));
	} else {
		hb_attr *a = put(x, reduce, "axes", HB_ATTR_INTS);
		if (!a)
			return no_memory(x);
		a->ints = hb_arena_dup(x->arena, axes, (size_t)count * sizeof(axes[0]));
		a->n = (size_t)count;
	}
	append(x, reduce);
	hb_tensor *e = before(x, d->name, "Add", m, scalar_like(x, d, "epsilon", HB_F32, eps), &mean);
	hb_tensor *root = e ? before(x, d->name, "Sqrt", e, NULL, &mean) : NULL;
	hb_tensor *y = root ? before(x, d->name, "Div", in, root, &in->shape) : NULL;
	if (!y)
		return HB_ERR_NOMEM;
	d->op_type = "Mul";
	d->attrs = NULL;
	d->in[0] = y;
	return HB_OK;
}

/* ---- the table ---- */

typedef struct rule {
	const char *op;
	int since, until;		/* operator sets of the node */
	int opset;			/* of the file: 0 either */
	hb_status (*rewrite)(hb_export *x, hb_draft *d, const hb_node *n);
} rule;

#define OLD_BROADCAST(op) { op, 1, 6, 0, old_broadcast }
#define REDUCE(op) { op, 18, 99, HB_OPSET_OUT, newer_reduce }, { op, 1, 17, HB_OPSET_OUT_WIDE, axes_to_input }

static const rule rules[] = {
	OLD_BROADCAST("Add"), OLD_BROADCAST("Sub"), OLD_BROADCAST("Mul"), OLD_BROADCAST("Div"), OLD_BROADCAST("Pow"),
	OLD_BROADCAST("And"), OLD_BROADCAST("Or"), OLD_BROADCAST("Xor"),
	OLD_BROADCAST("Equal"), OLD_BROADCAST("Less"), OLD_BROADCAST("Greater"),
	{ "PRelu", 1, 6, 0, old_prelu },
	{ "Gemm", 1, 6, 0, old_gemm },
	{ "Clip", 1, 10, 0, old_clip },
	{ "Squeeze", 1, 12, 0, axes_to_input },
	{ "Unsqueeze", 1, 12, 0, axes_to_input },
	{ "ReduceSum", 1, 12, 0, axes_to_input },
	REDUCE("ReduceL1"), REDUCE("ReduceL2"), REDUCE("ReduceLogSum"), REDUCE("ReduceLogSumExp"), REDUCE("ReduceMax"),
	REDUCE("ReduceMean"), REDUCE("ReduceMin"), REDUCE("ReduceProd"), REDUCE("ReduceSumSquare"),
	{ "Slice", 1, 9, 0, old_slice },
	{ "Split", 1, 12, 0, old_split },
	{ "Split", 1, 17, HB_OPSET_OUT_WIDE, wide_split },
	{ "Split", 18, 99, HB_OPSET_OUT, newer_split },
	{ "Reshape", 1, 4, 0, old_reshape },
	{ "TopK", 1, 9, 0, old_topk },
	{ "Pad", 1, 10, 0, old_pad },
	{ "Pad", 18, 99, HB_OPSET_OUT, newer_pad },
	{ "Tile", 1, 5, 0, old_tile },
	{ "Concat", 1, 3, 0, old_concat },
	{ "Selu", 1, 5, 0, old_selu },
	{ "Cast", 1, 5, 0, old_cast },
	{ "Cast", 18, 99, 0, newer_cast },
	{ "CastLike", 18, 99, 0, newer_cast },
	{ "BatchNormalization", 1, 13, 0, old_batch_norm },
	{ "Dropout", 1, 11, 0, old_dropout },
	{ "RNN", 1, 6, 0, old_rnn },
	{ "GRU", 1, 6, 0, old_rnn },
	{ "LSTM", 1, 6, 0, old_rnn },
	{ "LpPool", 1, 1, 0, old_p },
	{ "GlobalLpPool", 1, 1, 0, old_p },
	{ "RoiAlign", 10, 15, 0, old_roi_align },
	{ "Scatter", 9, 99, 0, old_scatter },
	{ "Softmax", 1, 12, 0, old_softmax },
	{ "LogSoftmax", 1, 12, 0, old_softmax },
	{ "Hardmax", 1, 12, 0, old_softmax },
	{ "Upsample", 1, 9, 0, old_upsample },
	{ "Resize", 10, 10, 0, old_resize },
	{ "Resize", 18, 99, HB_OPSET_OUT, newer_resize },
	{ "GridSample", 20, 99, HB_OPSET_OUT, newer_grid_sample },
	{ "GridSample", 16, 19, HB_OPSET_OUT_WIDE, wide_grid_sample },
	{ "DFT", 20, 99, HB_OPSET_OUT, newer_dft },
	{ "DFT", 17, 19, HB_OPSET_OUT_WIDE, wide_dft },
	{ "QuantizeLinear", 18, 99, HB_OPSET_OUT, newer_quantize },
	{ "DequantizeLinear", 18, 99, HB_OPSET_OUT, newer_quantize },
	{ "QuantizeLinear", 22, 99, HB_OPSET_OUT_WIDE, newest_quantize },
	{ "DequantizeLinear", 22, 99, HB_OPSET_OUT_WIDE, newest_quantize },
	{ "AveragePool", 18, 99, HB_OPSET_OUT, newer_pool },
	{ "LpPool", 18, 99, HB_OPSET_OUT, newer_pool },
	{ "GroupNormalization", 18, 20, HB_OPSET_OUT_WIDE, old_group_norm },
	{ "Scan", 8, 8, 0, old_scan },
	{ "Swish", 24, 99, 0, newest_swish },
	{ "RMSNormalization", 23, 99, 0, newest_rms_norm },
};

/* ---- which operator set ---- */

/* Operators that came after HB_OPSET_OUT. */
static const struct {
	const char *op;
	int since;
} newcomers[] = {
	{ "BitwiseAnd", 18 }, { "BitwiseNot", 18 }, { "BitwiseOr", 18 }, { "BitwiseXor", 18 }, { "CenterCropPad", 18 }, { "Col2Im", 18 },
	{ "GroupNormalization", 18 }, { "Mish", 18 }, { "DeformConv", 19 }, { "AffineGrid", 20 }, { "Gelu", 20 },
	{ "Attention", 23 }, { "RotaryEmbedding", 23 }, { "TensorScatter", 24 },
};

static int
since_of(const hb_node *n)
{
	for (size_t i = 0; !*n->domain && i < HB_LEN(newcomers); i++) {
		if (!strcmp(newcomers[i].op, n->op_type))
			return newcomers[i].since;
	}
	return 1;
}

static bool
attr_is(const hb_node *n, const char *name, const char *a, const char *b)
{
	const char *s = hb_attr_s(n, name, "");
	return !strcmp(s, a) || (b && !strcmp(s, b));
}

static bool
has_axes_input(const hb_node *n, int i)
{
	return n->nin > i && n->in[i] && !n->in[i]->is_const;
}

/* Whether HB_OPSET_OUT cannot say this node. */
static bool
needs_wide(const hb_node *n)
{
	const char *op = n->op_type;
	size_t count;
	if (*n->domain || n->version <= HB_OPSET_OUT)
		return false;
	if (since_of(n) > HB_OPSET_OUT)
		return true;
	if (!strcmp(op, "AveragePool") || !strcmp(op, "LpPool")) {
		const int64_t *d = hb_attr_ints(n, "dilations", &count);
		bool dilated = false;
		for (size_t i = 0; i < count; i++)
			dilated = dilated || d[i] != 1;
		return dilated || (!strcmp(op, "LpPool") && hb_attr_i(n, "ceil_mode", 0));
	}
	if (!strcmp(op, "Resize"))
		return hb_attr_i(n, "antialias", 0) || hb_attr_ints(n, "axes", &count) ||
		       attr_is(n, "coordinate_transformation_mode", "half_pixel_symmetric", NULL) ||
		       attr_is(n, "keep_aspect_ratio_policy", "not_larger", "not_smaller");
	if (!strcmp(op, "Pad"))
		return attr_is(n, "mode", "wrap", NULL) || has_axes_input(n, 3) || (n->nin > 3 && n->in[3] && has_axes_input(n, 1));
	if (!strcmp(op, "ScatterElements") || !strcmp(op, "ScatterND"))
		return attr_is(n, "reduction", "max", "min");
	if (!strcmp(op, "GridSample"))
		return n->nin && n->in[0] && n->in[0]->has_shape && n->in[0]->shape.rank != 4;
	if (!strcmp(op, "DFT"))
		return has_axes_input(n, 2);
	if (!strncmp(op, "Reduce", 6) && strcmp(op, "ReduceSum"))
		return has_axes_input(n, 1) || (n->nin && n->in[0] && n->in[0]->dtype == HB_BOOL);
	if (!strcmp(op, "QuantizeLinear") || !strcmp(op, "DequantizeLinear"))
		return hb_attr_i(n, "block_size", 0) != 0;
	return false;
}

static bool
is_wide(const hb_tensor *t)
{
	return t && (t->dtype == HB_I16 || t->dtype == HB_U16);
}

int
hb_export_opset(hb_graph *g)
{
	for (const hb_node *n = g->first; n; n = n->next) {
		bool wide = needs_wide(n);
		for (int i = 0; i < n->nin; i++)
			wide = wide || is_wide(n->in[i]);
		for (int i = 0; i < n->nout; i++)
			wide = wide || is_wide(n->out[i]);
		for (const hb_attr *a = n->attrs; a && !wide; a = a->next)
			wide = a->type == HB_ATTR_GRAPH && hb_export_opset(a->g) == HB_OPSET_OUT_WIDE;
		if (wide)
			return HB_OPSET_OUT_WIDE;
	}
	return HB_OPSET_OUT;
}

hb_status
hb_export_node(hb_export *x, hb_node *n)
{
	hb_draft *d = hb_export_draft(x, n->name, n->op_type, n->domain, n->nin, n->nout);
	if (!d)
		return HB_ERR_NOMEM;
	memcpy(d->in, n->in, (size_t)n->nin * sizeof(d->in[0]));
	memcpy(d->out, n->out, (size_t)n->nout * sizeof(d->out[0]));
	hb_attr **last = &d->attrs;
	for (const hb_attr *a = n->attrs; a; a = a->next) {
		if (!*n->domain && !strcmp(a->name, "consumed_inputs"))
			continue;	/* of operator sets 1 to 5: a hint about memory */
		hb_attr *copy = hb_arena_dup(x->arena, a, sizeof(*a));
		if (!copy)
			return no_memory(x);
		copy->next = NULL;
		*last = copy;
		last = &copy->next;
	}
	int version = n->version ? n->version : x->opset;
	for (size_t i = 0; !*n->domain && i < HB_LEN(rules); i++) {
		const rule *r = &rules[i];
		if (!strcmp(r->op, n->op_type) && version >= r->since && version <= r->until && (!r->opset || r->opset == x->opset))
			HB_TRY(r->rewrite(x, d, n));
	}
	if (since_of(n) > x->opset)
		return no_form(x, n, n->op_type);
	while (d->nin && !d->in[d->nin - 1])
		d->nin--;
	while (d->nout > 1 && !d->out[d->nout - 1])
		d->nout--;
	append(x, d);
	return HB_OK;
}
