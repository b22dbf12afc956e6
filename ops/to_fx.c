/* to_fx.c: what the converters share: constants, nodes, scales as attributes, lookups. */
#include "ops/to_fx.h"

#include <math.h>

hb_tensor *
hb_group_out(const hb_node *n)
{
	return n->group ? n->group->last->out[0] : n->out[0];
}

hb_tensor *
hb_group_addend(const hb_node *n)
{
	const hb_group *k = n->group;

	if (!k || !k->add)
		return NULL;
	/* the operand that the group itself does not make */
	const hb_node *p = k->add->in[0]->producer;

	return k->add->in[p && p->group == k ? 1 : 0];
}

static bool
is_quantized(const hb_q *q)
{
	return q->dtype == HB_I8 || q->dtype == HB_I16 || q->dtype == HB_I32 || q->dtype == HB_BOOL;
}

/* A constant as integers. */
static hb_tensor *
const_of(hb_convert *cv, hb_node *n, hb_tensor *t)
{
	hb_tensor *c;
	void *to;

	if (t->dtype == HB_BOOL || t->dtype == HB_I32) {
		c = hb_tensor_clone(cv->from, t, cv->to);
		if (c && !is_quantized(&c->q))
			c->q = (hb_q){ .dtype = t->dtype, .nscales = 1, .scale = 1 };
		return c;
	}
	if (t->dtype != HB_F32 || !is_quantized(&t->q)) {
		HB_FX_REFUSE(cv, n, "constant '%s' has no scale", t->name);
		return NULL;
	}
	const float *v = hb_tensor_data(cv->from, t);
	c = v ? hb_tensor_const(cv->to, t->name, t->q.dtype, &t->shape, NULL) : NULL;
	if (!c)
		return NULL;
	c->q = t->q;
	to = (void *)(uintptr_t)c->data;
	hb_quantize_n(cv->from->cx, v, t->q.scale, t->q.dtype, cv->round, to, hb_tensor_elems(t));
	return c;
}

hb_tensor *
hb_convert_in(hb_convert *cv, hb_node *n, hb_tensor *t)
{
	hb_tensor *c = hb_map_get(cv->tensors, t->name);

	if (c)
		return c;
	if (!t->is_const) {
		HB_FX_REFUSE(cv, n, "input '%s' has no integers", t->name);
		return NULL;
	}
	c = const_of(cv, n, t);
	if (c && !hb_map_put(cv->tensors, t->name, c)) {
		hb_nomem(cv->from->cx, t->name);
		return NULL;
	}
	return c;
}

hb_tensor *
hb_convert_out(hb_convert *cv, hb_tensor *t)
{
	hb_tensor *o = hb_tensor_new(cv->to, t->name, t->q.dtype, &t->shape);

	if (!o || !hb_map_put(cv->tensors, t->name, o)) {
		hb_nomem(cv->from->cx, t->name);
		return NULL;
	}
	o->q = t->q;
	return o;
}

hb_tensor *
hb_convert_temp(hb_convert *cv, const char *name, const hb_shape *shape, const hb_q *q)
{
	hb_tensor *o = hb_tensor_new(cv->to, name, q->dtype, shape);

	if (o)
		o->q = *q;
	else
		hb_nomem(cv->from->cx, name);
	return o;
}

hb_node *
hb_convert_node(hb_convert *cv, const hb_node *n, const char *op_type, int nin, int nout)
{
	const char *name = n->group ? n->group->last->name : n->name;
	hb_node *node = hb_node_new(cv->to, NULL, name, "hbcc", op_type, 1, nin, nout);

	if (!node) {
		hb_nomem(cv->from->cx, n->name);
		return NULL;
	}
	node->on = HB_ON_BPU;
	node->segment = n->segment;
	node->sources = n->sources;	/* rows of the float graph, read only */
	node->last_source = n->last_source;
	return node;
}

hb_node *
hb_fx_node(hb_convert *cv, const hb_node *n, const char *op_type, hb_tensor *out, int nin, hb_tensor *const *in)
{
	hb_node *node = out ? hb_convert_node(cv, n, op_type, nin, 1) : NULL;

	if (!node)
		return NULL;
	for (int i = 0; i < nin; i++) {
		if (!in[i])
			return NULL;
		hb_node_set_in(cv->to, node, i, in[i]);
	}
	hb_node_set_out(node, 0, out);
	return node;
}

hb_status
hb_fx_done(hb_convert *cv, hb_node *node)
{
	static const int onnx[HB_NDTYPES] = { [HB_U8] = 2, [HB_I8] = 3, [HB_I16] = 5, [HB_I32] = 6, [HB_BOOL] = 9 };
	hb_dtype dt = node->out[0]->q.dtype;
	hb_shape s = node->out[0]->shape;

	HB_TRY(hb_op_resolve(cv->to, node));
	bool takes_to = false;
	for (const hb_attr_row *r = node->op->attrs; r && r->name; r++)
		takes_to = takes_to || !strcmp(r->name, "to");
	if (takes_to && dt != node->in[0]->dtype && !hb_attr_set_i(cv->to, node, "to", onnx[dt]))
		return hb_nomem(cv->to->cx, node->name);
	HB_TRY(hb_op_infer(cv->to, node));
	if (node->out[0]->dtype != dt || !hb_shape_eq(&node->out[0]->shape, &s)) {
		char a[HB_SHAPE_TEXT], b[HB_SHAPE_TEXT];

		return HB_FX_REFUSE(cv, node, "fixed point gives %s of %s, the model says %s of %s", hb_dtype_name(node->out[0]->dtype),
				    hb_shape_text(&node->out[0]->shape, a), hb_dtype_name(dt), hb_shape_text(&s, b));
	}
	return HB_OK;
}

hb_status
hb_fx_reshape(hb_convert *cv, const hb_node *n, hb_tensor *x, hb_tensor *to)
{
	hb_node *k = hb_fx_node(cv, n, "Reshape", to, 1, &x);

	if (!k || !hb_attr_set_ints(cv->to, k, "shape", to->shape.dim, (size_t)to->shape.rank))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, k);
}

/* What belongs to n is named after its first output. */
static const char *
part_name(hb_convert *cv, const hb_node *n, const char *what)
{
	const hb_tensor *t = n->group ? hb_group_out(n) : NULL;

	for (int i = 0; i < n->nout && !t; i++)
		t = n->out[i];
	return hb_arena_printf(cv->to->arena, "%s.%s", t ? t->name : n->name, what);
}

hb_tensor *
hb_fx_temp(hb_convert *cv, const hb_node *n, const char *what, hb_dtype dt, float scale, const hb_shape *s)
{
	const char *name = part_name(cv, n, what);
	hb_q q = { .dtype = dt, .nscales = 1, .scale = scale, .observer = "derived" };

	return name ? hb_convert_temp(cv, name, s, &q) : NULL;
}

hb_tensor *
hb_fx_const(hb_convert *cv, const hb_node *n, const char *what, hb_dtype dt, int rank, const int64_t *dim, const void *data)
{
	const char *name = part_name(cv, n, what);
	hb_shape s = { .rank = rank };

	memcpy(s.dim, dim, (size_t)rank * sizeof(*dim));
	hb_tensor *t = name ? hb_tensor_const(cv->to, name, dt, &s, data) : NULL;
	if (!t)
		hb_nomem(cv->from->cx, n->name);
	return t;
}

hb_status
hb_fx_set_ratio(hb_convert *cv, const hb_node *n, hb_node *to, const char *m, const char *e, double ratio)
{
	hb_mult k;

	if (!hb_mult_of(ratio, &k))
		return HB_FX_REFUSE(cv, n, "a ratio of scales is %g; it must be in 2^-40..2^24", ratio);
	if (!hb_attr_set_i(cv->to, to, m, k.m) || !hb_attr_set_i(cv->to, to, e, k.e))
		return hb_nomem(cv->to->cx, n->name);
	return HB_OK;
}

bool
hb_fx_set_clamp(hb_convert *cv, hb_node *node, int32_t qmin, int32_t qmax)
{
	hb_dtype dt = node->out[0]->q.dtype;

	return (qmin <= hb_qmin(dt) || hb_attr_set_i(cv->to, node, "qmin", qmin)) &&
	       (qmax >= hb_qmax(dt) || hb_attr_set_i(cv->to, node, "qmax", qmax));
}

void
hb_fx_limits(const hb_node *n, const hb_q *q, hb_round r, int32_t *qmin, int32_t *qmax)
{
	const hb_node *act = n->group ? n->group->act : NULL;

	*qmin = hb_qmin(q->dtype);
	*qmax = hb_qmax(q->dtype);
	if (!act || !act->op->lut || (q->nscales > 1 && q->dtype == HB_I32))
		return;
	/* of channels' scales q->scale is the coarsest: its limits hold for the finer ones, which the type ends first */
	*qmin = hb_quantize((float)act->op->lut(act, -INFINITY), q->scale, q->dtype, r);
	*qmax = hb_quantize((float)act->op->lut(act, INFINITY), q->scale, q->dtype, r);
}

hb_status
hb_fx_cast(hb_convert *cv, const hb_node *n, hb_tensor *x, hb_tensor *out, int32_t qmin, int32_t qmax)
{
	hb_node *k = hb_fx_node(cv, n, "Ew", out, 1, &x);

	if (!k || !hb_attr_set_s(cv->to, k, "fn", "cast") || !hb_fx_set_clamp(cv, k, qmin, qmax))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_set_ratio(cv, n, k, "ma", "ea", (double)x->q.scale / out->q.scale));
	return hb_fx_done(cv, k);
}

static bool
same_q(const hb_q *a, const hb_q *b)
{
	return a->dtype == b->dtype && a->nscales == b->nscales && (a->nscales > 1 || a->scale == b->scale);
}

hb_tensor *
hb_fx_moved(hb_convert *cv, const hb_node *n, hb_tensor *t, const hb_q *q)
{
	return same_q(&t->q, q) ? hb_convert_out(cv, t) : hb_fx_temp(cv, n, "moved", q->dtype, q->scale, &t->shape);
}

hb_status
hb_fx_settle(hb_convert *cv, const hb_node *n, hb_tensor *moved, hb_tensor *t)
{
	if (hb_map_get(cv->tensors, t->name) == moved)
		return HB_OK;

	hb_tensor *out = hb_convert_out(cv, t);

	return out ? hb_fx_cast(cv, n, moved, out, hb_qmin(out->dtype), hb_qmax(out->dtype)) : HB_ERR_NOMEM;
}

const int64_t *
hb_fx_list(hb_convert *cv, const hb_node *n, int i, const char *name, size_t *count)
{
	hb_tensor *t = i < 0 ? NULL : hb_in(n, i);
	int64_t *v;

	*count = 0;
	if (!t)
		return hb_attr_ints(n, name, count);
	v = HB_NEW_N(cv->arena, int64_t, HB_MAX_RANK * 2);
	return v && hb_tensor_ints_get(cv->from, t, v, HB_MAX_RANK * 2, count) ? v : NULL;
}

/* ---- lookups ---- */

/* Quantized value of y, in double; NaN gives 0. */
static double
level(double y, double scale, hb_dtype dt)
{
	double v = y / scale;

	if (v != v)
		return 0;
	return fmin(fmax(v, hb_qmin(dt)), hb_qmax(dt));
}

static int32_t
rounded(double v, hb_round r)
{
	return (int32_t)(r == HB_HALF_UP ? floor(v + 0.5) : rint(v));
}

/* A table, or one for each channel where scales are a channel's. */
static hb_tensor *
byte_table(hb_convert *cv, const hb_node *n, const hb_q *in, int first, const hb_q *out, hb_fx_function *f, const void *arg)
{
	int64_t channels = HB_MAX(HB_MAX(in->nscales, out->nscales), 1);
	hb_tensor *t = hb_fx_const(cv, n, "table", out->dtype, channels > 1 ? 2 : 1, channels > 1 ? (int64_t[]){ channels, 256 } : (int64_t[]){ 256 }, NULL);

	if (!t)
		return NULL;
	for (int64_t i = 0; i < channels * 256; i++) {
		double x = (float)(first + i % 256) * hb_q_scale(in, i / 256);
		int32_t y = rounded(level(f(arg, x), hb_q_scale(out, i / 256), out->dtype), cv->round);

		switch (out->dtype) {
		case HB_I8:
			((int8_t *)(uintptr_t)t->data)[i] = (int8_t)y;
			break;
		case HB_I16:
			((int16_t *)(uintptr_t)t->data)[i] = (int16_t)y;
			break;
		case HB_I32:
			((int32_t *)(uintptr_t)t->data)[i] = y;
			break;
		default:
			((uint8_t *)(uintptr_t)t->data)[i] = (uint8_t)(y != 0);
			break;
		}
	}
	return t;
}

/* int16: segments of 64 straight pieces. One segment covers all 65536 inputs; the one that errs most is halved
 * until there are MAX_SEGMENTS or none errs. */
enum { SEGMENT_ROW = 68, MAX_SEGMENTS = 32, FRACTION = 8 };

typedef struct segment {
	int32_t x0;
	int sh;
	double error;			/* sum of squares */
} segment;

typedef struct segment_job {
	float in_scale;
	double out_scale;
	hb_dtype dt;
	hb_fx_function *f;
	const void *arg;
	const float *exact;		/* level of all 65536 inputs */
} segment_job;

static int32_t
knot(const segment_job *j, int32_t x)
{
	return (int32_t)floor(level(j->f(j->arg, (float)x * j->in_scale), j->out_scale, j->dt) * (1 << FRACTION) + 0.5);
}

static double
segment_error(const segment_job *j, const segment *s)
{
	double sum = 0;
	int32_t y0 = knot(j, s->x0);

	for (int k = 0; k < 64; k++) {
		int32_t y1 = knot(j, s->x0 + ((k + 1) << s->sh));

		for (int f = 0; f < 1 << s->sh; f++) {
			int64_t y = ((int64_t)y0 * ((1 << s->sh) - f) + (int64_t)y1 * f + ((int64_t)1 << (s->sh + FRACTION - 1))) >> (s->sh + FRACTION);
			double d = (double)y - j->exact[s->x0 + 32768 + (k << s->sh) + f];

			sum += d * d;
		}
		y0 = y1;
	}
	return sum;
}

static hb_tensor *
segment_table(hb_convert *cv, const hb_node *n, const hb_q *in, const hb_q *out, hb_fx_function *f, const void *arg)
{
	segment seg[MAX_SEGMENTS] = { { .x0 = -32768, .sh = 10 } };
	int count = 1;
	float *exact = HB_NEW_N(cv->arena, float, 65536);
	segment_job j = { in->scale, out->scale, out->dtype, f, arg, exact };

	if (!exact)
		return NULL;
	for (int x = 0; x < 65536; x++)
		exact[x] = (float)rint(level(f(arg, (float)(x - 32768) * j.in_scale), j.out_scale, j.dt));
	seg[0].error = segment_error(&j, &seg[0]);
	while (count < MAX_SEGMENTS) {
		int worst = -1;

		for (int k = 0; k < count; k++)
			if (seg[k].sh > 0 && seg[k].error > 0 && (worst < 0 || seg[k].error > seg[worst].error))
				worst = k;
		if (worst < 0)
			break;
		memmove(seg + worst + 2, seg + worst + 1, (size_t)(count - worst - 1) * sizeof(*seg));
		seg[worst].sh--;
		seg[worst + 1] = seg[worst];
		seg[worst + 1].x0 += 64 << seg[worst].sh;
		seg[worst].error = segment_error(&j, &seg[worst]);
		seg[worst + 1].error = segment_error(&j, &seg[worst + 1]);
		count++;
	}
	hb_tensor *t = hb_fx_const(cv, n, "table", HB_I32, 1, (int64_t[]){ (int64_t)count * SEGMENT_ROW }, NULL);
	if (!t)
		return NULL;
	int32_t *row = (int32_t *)(uintptr_t)t->data;
	for (int k = 0; k < count; k++, row += SEGMENT_ROW) {
		row[0] = seg[k].x0;
		row[1] = seg[k].sh;
		row[2] = FRACTION;
		for (int i = 0; i <= 64; i++)
			row[3 + i] = knot(&j, seg[k].x0 + (i << seg[k].sh));
	}
	return t;
}

/* int16 that takes 256 integers at most, as int8: lo becomes -128. */
static hb_tensor *
as_bytes(hb_convert *cv, const hb_node *n, hb_tensor *x)
{
	hb_tensor *y = hb_fx_temp(cv, n, "bytes", HB_I8, x->q.scale, &x->shape);
	hb_node *k = hb_fx_node(cv, n, "Ew", y, 1, &x);

	if (!k || !hb_attr_set_s(cv->to, k, "fn", "add") || !hb_attr_set_i(cv->to, k, "ma", 2) || !hb_attr_set_i(cv->to, k, "mb", 2) ||
	    !hb_attr_set_i(cv->to, k, "shift", 1) || !hb_attr_set_i(cv->to, k, "value", -128 - x->q.lo))
		return NULL;
	return hb_fx_done(cv, k) == HB_OK ? y : NULL;
}

hb_status
hb_fx_lookup(hb_convert *cv, const hb_node *n, hb_tensor *x, hb_tensor *out, hb_fx_function *f, const void *arg)
{
	int first = x->dtype == HB_I8 ? -128 : 0;
	hb_q in = x->q;
	hb_tensor *table;
	hb_node *k;

	if (x->dtype == HB_I16 && hb_q_limited(&in) && in.hi - in.lo < 256) {
		first = in.lo;
		if (!(x = as_bytes(cv, n, x)))
			return HB_ERR_NOMEM;
	}
	bool bytes = x->dtype == HB_I8 || x->dtype == HB_BOOL;
	if (!bytes && x->dtype != HB_I16)
		return HB_FX_REFUSE(cv, n, "a lookup takes int8 or int16; its input is %s", hb_dtype_name(x->dtype));
	table = bytes ? byte_table(cv, n, &in, first, &out->q, f, arg) : segment_table(cv, n, &in, &out->q, f, arg);
	k = hb_fx_node(cv, n, "Lut", out, 2, (hb_tensor *[]){ x, table });
	if (!k || (!bytes && !hb_attr_set_i(cv->to, k, "kind", 1)))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, k);
}

static double
eval_chain(const void *arg, double x)
{
	return hb_chain_eval(arg, x);
}

static double
eval_node(const void *arg, double x)
{
	const hb_node *n = arg;

	return n->op->lut(n, x);
}

hb_status
hb_convert_lut(hb_convert *cv, hb_node *n)
{
	bool chain = n->group && n->group->chain_in;
	hb_tensor *x = hb_convert_in(cv, n, chain ? n->group->chain_in : n->in[0]);
	hb_tensor *out = x ? hb_convert_out(cv, hb_group_out(n)) : NULL;

	if (!out)
		return HB_ERR_NOMEM;
	return hb_fx_lookup(cv, n, x, out, chain ? eval_chain : eval_node, chain ? (const void *)n->group : (const void *)n);
}
