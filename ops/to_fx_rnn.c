/* to_fx_rnn.c: LSTM step by step: products, lookups of the gates, three multiplications. States and gates are int16. */
#include "ops/to_fx.h"

#include <math.h>
#include <stdlib.h>

enum { STEPS_MAX = 512 };
#define UNIT 0x1p-15f			/* scale of what lies in -1..1 */
#define CELL_MOST 32.0			/* a greater cell saturates: its tanh is 1 long before */
#define SIGMOID_MOST 11.1		/* they are 1 there, to half a step of int16 */
#define TANH_MOST 5.9

typedef struct lstm {
	hb_convert *cv;
	const hb_node *n;
	int64_t steps, batch, input, hidden, dirs;
	hb_tensor *x;
	float gate_scale[2], cell_scale;	/* of the gates i o f, of c */
} lstm;

static bool
usual_activations(const hb_node *n)
{
	static const char *const usual[] = { "Sigmoid", "Tanh", "Tanh" };
	const hb_attr *a = hb_attr_find(n, "activations");

	for (size_t i = 0; a && i < a->n; i++)
		if (strcmp(a->strings[i], usual[i % 3]))
			return false;
	return true;
}

const char *
hb_floats_lstm(const hb_node *n)
{
	const hb_tensor *b = hb_in(n, 3), *h = hb_in(n, 5), *c = hb_in(n, 6);
	const hb_shape *x = &n->in[0]->shape;

	if (!n->in[1]->is_const || !n->in[2]->is_const || (b && !b->is_const))
		return "weights that are no constant";
	if ((h && h->is_const) != (c && c->is_const) && h && c)
		return "one state that is a constant, one that is not";
	if (hb_in(n, 4) || hb_in(n, 7))
		return hb_in(n, 4) ? "sequence lengths" : "peepholes";
	if (hb_attr_i(n, "layout", 0) || hb_attr_f(n, "clip", 0) != 0 || hb_attr_i(n, "input_forget", 0))
		return "a layout, clip or input_forget of its own";
	if (!usual_activations(n))
		return "activations other than Sigmoid, Tanh, Tanh";
	return x->dim[0] < 1 || x->dim[0] > STEPS_MAX ? "other than 1 to 512 steps" : NULL;
}

/* ---- small builders; NULL: reported ---- */

static hb_tensor *
temp(lstm *l, const char *what, hb_dtype dt, float scale, const hb_shape *s)
{
	return hb_fx_temp(l->cv, l->n, what, dt, scale, s);
}

static hb_tensor *
finish(lstm *l, hb_node *k)
{
	return k && hb_fx_done(l->cv, k) == HB_OK ? k->out[0] : NULL;
}

static hb_tensor *
reshaped(lstm *l, hb_tensor *x, hb_shape s)
{
	hb_node *k = x ? hb_fx_node(l->cv, l->n, "Reshape", temp(l, "shaped", x->dtype, x->q.scale, &s), 1, &x) : NULL;

	return k && hb_attr_set_ints(l->cv->to, k, "shape", s.dim, (size_t)s.rank) ? finish(l, k) : NULL;
}

/* Indices [first, first + count) of dimension d. */
static hb_tensor *
part(lstm *l, hb_tensor *x, int d, int64_t first, int64_t count)
{
	hb_shape s;
	int64_t starts[HB_MAX_RANK] = { 0 };
	hb_node *k;

	if (!x)
		return NULL;
	s = x->shape;
	s.dim[d] = count;
	starts[d] = first;
	k = hb_fx_node(l->cv, l->n, "Slice", temp(l, "part", x->dtype, x->q.scale, &s), 1, &x);
	return k && hb_attr_set_ints(l->cv->to, k, "starts", starts, (size_t)s.rank) &&
	       hb_attr_set_ints(l->cv->to, k, "extents", s.dim, (size_t)s.rank) ? finish(l, k) : NULL;
}

static hb_tensor *
joined(lstm *l, hb_tensor **x, int64_t count, int axis)
{
	hb_shape s;
	hb_node *k;

	for (int64_t i = 0; i < count; i++)
		if (!x[i])
			return NULL;
	if (count == 1)
		return x[0];
	s = x[0]->shape;
	s.dim[axis] *= count;
	k = hb_fx_node(l->cv, l->n, "Concat", temp(l, "joined", x[0]->dtype, x[0]->q.scale, &s), (int)count, x);
	return k && hb_attr_set_i(l->cv->to, k, "axis", axis) ? finish(l, k) : NULL;
}

static hb_tensor *
product(lstm *l, hb_tensor *a, hb_tensor *b, hb_dtype dt, float scale)
{
	hb_node *k = a && b ? hb_fx_node(l->cv, l->n, "Ew", temp(l, "product", dt, scale, &a->shape), 2, (hb_tensor *[]){ a, b }) : NULL;

	if (!k || !hb_attr_set_s(l->cv->to, k, "fn", "mul") ||
	    hb_fx_set_ratio(l->cv, l->n, k, "ma", "ea", (double)a->q.scale * b->q.scale / scale) != HB_OK)
		return NULL;
	return finish(l, k);
}

static double
sigmoid(const void *arg, double x)
{
	(void)arg;
	return 1 / (1 + exp(-x));
}

static double
hyperbolic(const void *arg, double x)
{
	(void)arg;
	return tanh(x);
}

static hb_tensor *
lookup(lstm *l, hb_tensor *x, hb_fx_function *f)
{
	hb_tensor *y = x ? temp(l, "gate", HB_I16, UNIT, &x->shape) : NULL;

	return y && hb_fx_lookup(l->cv, l->n, x, y, f, NULL) == HB_OK ? y : NULL;
}

/* ---- products ---- */

/* The greatest magnitude of a tensor; `dflt` where there is none. */
static double
most_of(const hb_tensor *t, double dflt)
{
	return t ? -(double)hb_qmin(t->dtype) * t->q.scale : dflt;
}

/* out = x * w + bias + add by rows of w [O, K]; a row's scale lets every sum stay in int32. most: what `add`, or else the
 * bias, can reach. given: the rows' scales that the model says, or NULL. */
static hb_tensor *
linear(lstm *l, hb_tensor *x, const float *w, const double *bias, int64_t outs, int64_t ins, hb_tensor *add, const double *most,
       const float *given, hb_tensor *out)
{
	hb_convert *cv = l->cv;
	hb_tensor *wq = hb_fx_const(cv, l->n, "weight", HB_I8, 2, (int64_t[]){ outs, ins }, NULL);
	hb_tensor *rec = hb_fx_const(cv, l->n, "rec", HB_I32, 2, (int64_t[]){ outs, 4 }, NULL);
	float *scales = HB_NEW_N(cv->to->arena, float, outs);
	double top_x = x ? -(double)hb_qmin(x->dtype) : 0;
	hb_node *k;

	if (!wq || !rec || !scales || !x || !out)
		return NULL;
	for (int64_t o = 0; o < outs; o++) {
		int8_t *q = (int8_t *)(uintptr_t)wq->data + o * ins;
		int32_t *r = (int32_t *)(uintptr_t)rec->data + 4 * o;
		float top = 0;
		hb_mult m, ma = { 0, 0 };

		for (int64_t i = 0; i < ins; i++)
			top = fmaxf(top, fabsf(w[o * ins + i]));
		float s = given ? given[o] : hb_scale_of(top, HB_I8, false);
		for (int tries = 0; tries < 64; tries++) {
			double acc = (double)x->q.scale * s, reach = most[o] / acc + 2;

			hb_quantize_n(cv->from->cx, w + o * ins, s, HB_I8, cv->round, q, ins);
			for (int64_t i = 0; i < ins; i++)
				reach += top_x * abs(q[i]);
			if (reach < 0x1p31)
				break;
			s = (float)(s * fmax(reach / 0x1.fffffep30, 1.0001));
		}
		double acc = (double)x->q.scale * s;
		if (!hb_mult_of(acc / out->q.scale, &m) || (add && !hb_mult_of(add->q.scale / acc, &ma))) {
			HB_FX_REFUSE(cv, l->n, "row %lld of its weights: a ratio of scales is outside 2^-40..2^24", (long long)o);
			return NULL;
		}
		scales[o] = s;
		r[0] = (int32_t)rint(bias ? bias[o] / acc : 0);
		r[1] = m.m;
		r[2] = ma.m;
		r[3] = (m.e + 64) | (ma.e + 64) << 8;
	}
	wq->q = (hb_q){ .dtype = HB_I8, .nscales = (int)outs, .axis = 0, .scale = scales[0], .scales = scales, .observer = "minmax" };
	k = hb_fx_node(cv, l->n, "Linear", out, add ? 4 : 3, (hb_tensor *[]){ x, wq, rec, add });
	return finish(l, k);
}

/* ---- one direction ---- */

typedef struct way {
	const float *w, *r;		/* [4 * hidden, input], [4 * hidden, hidden] */
	const float *w_given, *r_given;	/* their rows' scales where the model says them, or NULL */
	double *bias, *bias_most;	/* both biases: [4 * hidden], i o f c; their magnitude */
	double *in_most;		/* what x * w + bias can reach */
	hb_tensor *h, *c;		/* [batch, hidden]; NULL: zero */
	hb_tensor **ys;			/* h of each step, [1, 1, batch, hidden] */
} way;

/* Rows of the gates: i o f, which pass through sigmoid, and c. */
static const struct {
	int first, count;		/* times hidden */
	hb_fx_function *f;
} banks[2] = { { 0, 3, sigmoid }, { 3, 1, hyperbolic } };

/* The gates of step t, through their functions. */
static hb_tensor *
opened(lstm *l, const way *v, hb_tensor *inputs, int k, int64_t t)
{
	int64_t first = banks[k].first * l->hidden, rows = banks[k].count * l->hidden;
	hb_shape s = { .rank = 2, .dim = { l->batch, rows } };
	hb_tensor *in = reshaped(l, part(l, inputs, 0, t, 1), s), *gates = in ? temp(l, "gates", HB_I16, l->gate_scale[k], &s) : NULL;

	if (gates && v->h)
		gates = linear(l, v->h, v->r + first * l->hidden, NULL, rows, l->hidden, in, v->in_most + first,
			       v->r_given ? v->r_given + first : NULL, gates);
	else if (gates && hb_fx_cast(l->cv, l->n, in, gates, hb_qmin(HB_I16), hb_qmax(HB_I16)) != HB_OK)
		return NULL;
	return lookup(l, gates, banks[k].f);
}

static bool
step(lstm *l, way *v, hb_tensor *const *inputs, int64_t t)
{
	int64_t h = l->hidden;
	hb_tensor *open = opened(l, v, inputs[0], 0, t), *fresh = opened(l, v, inputs[1], 1, t);
	hb_tensor *i = part(l, open, 1, 0, h), *o = part(l, open, 1, h, h), *c;

	if (v->c) {
		float fine = l->cell_scale * 0x1p-8f;
		hb_tensor *kept = product(l, part(l, open, 1, 2 * h, h), v->c, HB_I32, fine), *added = product(l, i, fresh, HB_I32, fine);
		hb_node *k = kept && added ? hb_fx_node(l->cv, l->n, "Ew", temp(l, "cell", HB_I16, l->cell_scale, &kept->shape), 2,
							(hb_tensor *[]){ kept, added }) : NULL;

		c = k && hb_attr_set_s(l->cv->to, k, "fn", "add") && hb_attr_set_i(l->cv->to, k, "ma", 1) &&
		    hb_attr_set_i(l->cv->to, k, "mb", 1) && hb_attr_set_i(l->cv->to, k, "shift", 8) ? finish(l, k) : NULL;
	} else {
		c = product(l, i, fresh, HB_I16, l->cell_scale);
	}
	v->c = c;
	v->h = product(l, o, lookup(l, c, hyperbolic), HB_I16, UNIT);
	v->ys[t] = reshaped(l, v->h, (hb_shape){ 4, { 1, 1, l->batch, h } });
	return v->ys[t];
}

static bool
direction(lstm *l, way *v, bool backwards)
{
	hb_tensor *inputs[2];

	for (int k = 0; k < 2; k++) {
		int64_t first = banks[k].first * l->hidden, rows = banks[k].count * l->hidden;
		hb_shape s = { .rank = 3, .dim = { l->steps, l->batch, rows } };

		/* 8 bits finer than the gates: their sum rounds once */
		inputs[k] = linear(l, l->x, v->w + first * l->input, v->bias + first, rows, l->input, NULL, v->bias_most + first,
				   v->w_given ? v->w_given + first : NULL, temp(l, "inputs", HB_I32, l->gate_scale[k] * 0x1p-8f, &s));
		if (!inputs[k])
			return false;
	}
	for (int64_t t = 0; t < l->steps; t++)
		if (!step(l, v, inputs, backwards ? l->steps - 1 - t : t))
			return false;
	return true;
}

/* ---- the whole ---- */

/* What the sums of a bank of gates can reach, over all directions. */
static double
gate_reach(const lstm *l, const way *v, const hb_tensor *h0, int k)
{
	double top = 0x1p-20, h = fmax(most_of(h0, 0), 1);

	for (int64_t d = 0; d < l->dirs; d++)
		for (int64_t o = banks[k].first * l->hidden; o < (banks[k].first + banks[k].count) * l->hidden; o++) {
			double sum = v[d].in_most[o];

			for (int64_t i = 0; i < l->hidden; i++)
				sum += fabsf(v[d].r[o * l->hidden + i]) * h;
			top = fmax(top, sum);
		}
	return top;
}

/* An initial state as integers, or NULL where there is none or it is all zero; false: reported. */
static bool
state_of(lstm *l, int i, hb_tensor **out)
{
	hb_tensor *t = hb_in(l->n, i);
	float top = 0;

	*out = NULL;
	if (!t || !t->is_const)
		return !t || (*out = hb_convert_in(l->cv, (hb_node *)(uintptr_t)l->n, t));

	const float *v = hb_tensor_data(l->cv->from, t);
	for (int64_t k = 0; v && k < hb_tensor_elems(t); k++)
		top = fmaxf(top, fabsf(v[k]));
	if (!v || top == 0)
		return v;
	*out = hb_fx_const(l->cv, l->n, "state", HB_I16, t->shape.rank, t->shape.dim, NULL);
	if (!*out)
		return false;
	(*out)->q = (hb_q){ .dtype = HB_I16, .nscales = 1, .scale = hb_scale_of(top, HB_I16, false), .observer = "minmax" };
	hb_quantize_n(l->cv->from->cx, v, (*out)->q.scale, HB_I16, l->cv->round, (void *)(uintptr_t)(*out)->data, hb_tensor_elems(t));
	return true;
}

/* Direction d of a state [dirs, batch, hidden]. */
static hb_tensor *
state_part(lstm *l, hb_tensor *t, int64_t d)
{
	return reshaped(l, part(l, t, 0, d, 1), (hb_shape){ 2, { l->batch, l->hidden } });
}

/* x brought to output i of the node, where it has that. */
static hb_status
give(lstm *l, int i, hb_tensor *x)
{
	hb_tensor *t = hb_out(l->n, i), *out;

	if (!t)
		return HB_OK;
	out = x ? hb_convert_out(l->cv, t) : NULL;
	return out ? hb_fx_cast(l->cv, l->n, x, out, hb_qmin(out->dtype), hb_qmax(out->dtype)) : HB_ERR_NOMEM;
}

/* A scale a row that the model gives the weights of its one direction. */
static const float *
given_of(const hb_tensor *t)
{
	const hb_q *q = &t->q;

	return q->from != HB_Q_OPEN && q->dtype == HB_I8 && t->shape.dim[0] == 1 && q->axis == 1 && q->nscales == t->shape.dim[1] ? q->scales : NULL;
}

static bool
begin(lstm *l, way *v, const hb_tensor *h0, const hb_tensor *c0)
{
	hb_tensor *bias = hb_in(l->n, 3);
	const float *w = hb_tensor_data(l->cv->from, l->n->in[1]), *r = hb_tensor_data(l->cv->from, l->n->in[2]);
	const float *b = bias ? hb_tensor_data(l->cv->from, bias) : NULL;
	int64_t gates = 4 * l->hidden;

	if (!w || !r || (bias && !b))
		return false;
	for (int64_t d = 0; d < l->dirs; d++) {
		v[d] = (way){ .w = w + d * gates * l->input, .r = r + d * gates * l->hidden,
			      .w_given = given_of(l->n->in[1]), .r_given = given_of(l->n->in[2]),
			      .bias = HB_NEW_N(l->cv->arena, double, gates),
			      .bias_most = HB_NEW_N(l->cv->arena, double, gates), .in_most = HB_NEW_N(l->cv->arena, double, gates),
			      .ys = HB_NEW_N(l->cv->arena, hb_tensor *, l->steps) };
		if (!v[d].bias || !v[d].bias_most || !v[d].in_most || !v[d].ys)
			return false;
		for (int64_t o = 0; o < gates; o++) {
			v[d].bias[o] = b ? (double)b[2 * d * gates + o] + b[(2 * d + 1) * gates + o] : 0;
			v[d].in_most[o] = v[d].bias_most[o] = fabs(v[d].bias[o]);
			for (int64_t i = 0; i < l->input; i++)
				v[d].in_most[o] += fabsf(v[d].w[o * l->input + i]) * most_of(l->x, 0);
		}
	}

	double first = most_of(c0, 0);
	const hb_tensor *last = hb_out(l->n, 2);
	double cell = fmax(fmin(first + (double)l->steps, CELL_MOST), first);

	if (last)
		cell = fmax(cell, fmin(-(double)hb_qmin(last->q.dtype) * last->q.scale, first + (double)l->steps));
	l->cell_scale = (float)(cell / 32767);
	l->gate_scale[0] = (float)(fmin(gate_reach(l, v, h0, 0), SIGMOID_MOST) / 32767);
	l->gate_scale[1] = (float)(fmin(gate_reach(l, v, h0, 1), TANH_MOST) / 32767);
	return true;
}

hb_status
hb_to_fx_lstm(hb_convert *cv, hb_node *n)
{
	const hb_shape *xs = &n->in[0]->shape, *rs = &n->in[2]->shape;
	lstm l = { .cv = cv, .n = n, .steps = xs->dim[0], .batch = xs->dim[1], .input = xs->dim[2], .hidden = rs->dim[2], .dirs = rs->dim[0] };
	bool reverse = !strcmp(hb_attr_s(n, "direction", "forward"), "reverse");
	hb_tensor *h0, *c0, *ys[2], *h[2], *c[2];
	way v[2];

	if (hb_floats_lstm(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_lstm(n));
	l.x = hb_convert_in(cv, n, n->in[0]);
	if (!l.x || !state_of(&l, 5, &h0) || !state_of(&l, 6, &c0) || !begin(&l, v, h0, c0))
		return HB_ERR_NOMEM;
	for (int64_t d = 0; d < l.dirs; d++) {
		hb_shape s = { 3, { 1, l.batch, l.hidden } };

		v[d].h = h0 ? state_part(&l, h0, d) : NULL;
		v[d].c = c0 ? state_part(&l, c0, d) : NULL;
		if (!direction(&l, &v[d], d == 1 || reverse))
			return HB_ERR_NOMEM;
		ys[d] = hb_out(n, 0) ? joined(&l, v[d].ys, l.steps, 0) : NULL;
		h[d] = reshaped(&l, v[d].h, s);
		c[d] = reshaped(&l, v[d].c, s);
	}
	HB_TRY(give(&l, 0, hb_out(n, 0) ? joined(&l, ys, l.dirs, 1) : NULL));
	HB_TRY(give(&l, 1, joined(&l, h, l.dirs, 0)));
	return give(&l, 2, joined(&l, c, l.dirs, 0));
}
