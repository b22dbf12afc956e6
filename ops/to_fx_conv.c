/* to_fx_conv.c: Conv, ConvTranspose, Gemm, MatMul into int8 weights, int32 bias and multipliers. */
#include "ops/conv.h"
#include "ops/to_fx.h"

#include <math.h>
#include <stdlib.h>

typedef struct filter {
	hb_weights at;
	const double *means;		/* of each input channel, float, then quantized; or NULL */
	int64_t nmeans;
	const double *shift;		/* what each channel's bias gets instead of what the means say, or NULL */
	const int8_t *rounded;		/* integers for the weights, in their order, and scales for the channels, or NULL */
	const float *rounded_scales;
	const hb_q *given;		/* scales that the file gives the weights, or NULL */
} filter;

typedef struct result {
	int8_t *q;			/* in the order of the filter's source */
	float *scales;
	int32_t *rec;
} result;

/* What is asked of a channel's scale. */
typedef struct demand {
	double in_scale, in_max;	/* of the input: scale, largest magnitude of its integers */
	double add_scale, add_max;	/* of the addend; add_scale 0: none */
	double out_scale;		/* 0: the accumulator is the output */
	const float *in_scales, *out_scales;	/* of each channel, where they differ; or NULL */
	int64_t in_channels, channels;
	hb_round round;
} demand;

/* What is asked of output channel c: a depthwise convolution's reads one input channel. */
static demand
at_channel(const demand *d, int64_t c)
{
	demand at = *d;

	if (d->in_scales)
		at.in_scale = d->in_scales[c / (d->channels / d->in_channels)];
	if (d->out_scales)
		at.out_scale = d->out_scales[c];
	return at;
}

static double
round_to(double v, hb_round r)
{
	return r == HB_HALF_UP ? floor(v + 0.5) : rint(v);
}

hb_weights
hb_weights_of(const hb_node *n, const float *w)
{
	const hb_shape *s = &n->in[1]->shape;
	hb_weights f = { .w = w, .gain = 1, .taps = 1, .mse = n->out[0]->weights_mse };

	if (!strcmp(n->op_type, "Conv") || !strcmp(n->op_type, "ConvTranspose")) {
		int64_t groups = hb_conv_of(n)->group;
		bool transposed = strcmp(n->op_type, "Conv");	/* weights [C, O/g, ...], else [O, C/g, ...] */

		f.taps = hb_shape_span(s, 2, s->rank);
		f.of_group = transposed ? s->dim[1] : s->dim[0] / groups;
		f.channels = f.of_group * groups;
		f.group_in = transposed ? s->dim[0] / groups : s->dim[1];
		f.outer = transposed ? f.group_in : 1;
		f.inner = f.channel_step = transposed ? f.taps : f.group_in * f.taps;
		f.step = f.of_group * f.taps;
		f.group_step = f.of_group * f.group_in * f.taps;
		return f;
	}
	bool by_row = !strcmp(n->op_type, "Gemm") && hb_attr_i(n, "transB", 0);	/* [O, K], else [K, O] */

	if (!strcmp(n->op_type, "Gemm"))
		f.gain = hb_attr_f(n, "alpha", 1);
	f.channels = f.of_group = s->dim[by_row ? 0 : 1];
	f.group_in = s->dim[by_row ? 1 : 0];
	f.outer = by_row ? 1 : f.group_in;
	f.inner = f.channel_step = by_row ? f.group_in : 1;
	f.step = f.channels;
	return f;
}

static double
weight_at(const filter *f, int64_t first, int64_t o, int64_t i)
{
	return f->at.w[first + o * f->at.step + i] * f->at.gain;
}

/* What rounding channel c's weights and inputs takes off its mean output: expected from the inputs' means,
 * float and quantized (SEMANTICS 7). */
static double
lost_bias(const filter *f, int64_t c, float s, const result *r)
{
	int64_t first = hb_weights_first(&f->at, c);
	double lost = 0;

	for (int64_t o = 0; o < f->at.outer; o++)
		for (int64_t i = 0; i < f->at.inner; i++) {
			int64_t k = hb_weights_input(&f->at, c, o, i);

			lost += weight_at(f, first, o, i) * f->means[k] - r->q[first + o * f->at.step + i] * (double)s * f->means[f->nmeans + k];
		}
	return lost;
}

/* Channel c's integers at scale s: those that calibration chose, where it chose for this scale. */
static void
round_weights(const filter *f, int64_t c, float s, hb_round round, const result *r)
{
	int64_t first = hb_weights_first(&f->at, c);
	const int8_t *chosen = f->rounded && s == f->rounded_scales[c] ? f->rounded : NULL;

	for (int64_t o = 0; o < f->at.outer; o++)
		for (int64_t i = 0; i < f->at.inner; i++) {
			int64_t at = first + o * f->at.step + i;

			r->q[at] = chosen ? chosen[at] : (int8_t)hb_quantize((float)weight_at(f, first, o, i), s, HB_I8, round);
		}
}

/* The largest magnitude that channel c's accumulator can reach with r's integers at weight scale s. */
static double
reach(const filter *f, int64_t c, double bias, float s, const demand *d, const result *r)
{
	int64_t first = hb_weights_first(&f->at, c);
	double sum = 0, acc = d->in_scale * s;

	for (int64_t o = 0; o < f->at.outer; o++)
		for (int64_t i = 0; i < f->at.inner; i++)
			sum += abs(r->q[first + o * f->at.step + i]);
	sum = sum * d->in_max + fabs(round_to(bias / acc, d->round));
	if (d->add_scale > 0)
		sum += ceil(d->add_max * d->add_scale / acc) + 1;
	return sum;
}

/* The least scale not below s with which everything fits (SEMANTICS 1), r's integers at it, and *bias with what it makes up
 * for: a float, so that the fake-quantized form, which has it as one, comes back to the same integer. */
static float
fit_scale(const filter *f, int64_t c, double *bias, float s, const demand *d, const result *r)
{
	double own = *bias;

	/* the addend's multiplier is below 2^24, the output's at least 2^-40 */
	if (d->add_scale > 0)
		s = fmaxf(s, (float)(d->add_scale / d->in_scale * 0x1.000002p-24));
	if (d->out_scale > 0)
		s = fmaxf(s, (float)(d->out_scale / d->in_scale * 0x1.000002p-40));
	for (int tries = 0;; tries++) {
		round_weights(f, c, s, d->round, r);
		*bias = (float)(own + (f->shift ? f->shift[c] : f->means ? lost_bias(f, c, s, r) : 0));

		double most = reach(f, c, *bias, s, d, r);

		if (most < 0x1p31 || tries == 64)
			return s;
		s = (float)fmax((double)s * (most / 0x1.fffffep30), (double)nextafterf(s, INFINITY));
	}
}

/* *s: the scale that is wanted, then the one that fits. */
static hb_status
quantize_channel(hb_convert *cv, hb_node *n, const filter *f, int64_t c, double bias, float *s, const demand *d, result *r)
{
	hb_mult m = { HB_IDENTITY_M, 1 }, ma = { 0, 0 };

	*s = fit_scale(f, c, &bias, *s, d, r);

	double acc = d->in_scale * *s;

	if (d->out_scale > 0 && !hb_mult_of(acc / d->out_scale, &m))
		return HB_FX_REFUSE(cv, n, "channel %lld: the accumulator's scale %g over the output's %g is outside 2^-40..2^24", (long long)c,
				    acc, d->out_scale);
	/* an addend too fine to move the accumulator */
	if (d->add_scale > 0 && d->add_scale / acc >= 0x1p-40 && !hb_mult_of(d->add_scale / acc, &ma))
		return HB_FX_REFUSE(cv, n, "channel %lld: the addend's scale %g over the accumulator's %g is outside 2^-40..2^24", (long long)c,
				    d->add_scale, acc);
	if (!(fabs(round_to(bias / acc, d->round)) < 0x1p31))
		return HB_FX_REFUSE(cv, n, "channel %lld: the bias %g does not fit int32 at scale %g", (long long)c, bias, acc);
	r->scales[c] = *s;
	r->rec[4 * c] = (int32_t)round_to(bias / acc, d->round);
	r->rec[4 * c + 1] = m.m;
	r->rec[4 * c + 2] = ma.m;
	r->rec[4 * c + 3] = (m.e + 64) | (ma.e + 64) << 8;
	return HB_OK;
}

static hb_status
quantize_filter(hb_convert *cv, hb_node *n, const filter *f, const double *bias, const demand *d, result *r)
{
	float *scales = HB_NEW_N(cv->arena, float, f->at.channels);
	int64_t raised = 0;

	if (!scales)
		return hb_nomem(cv->from->cx, n->name);
	for (int64_t c = 0; c < f->at.channels; c++) {
		int64_t first = hb_weights_first(&f->at, c);

		for (int64_t o = 0; o < f->at.outer; o++)
			for (int64_t i = 0; i < f->at.inner; i++)
				if (!(fabs(weight_at(f, first, o, i)) <= 3.4e38) || !(fabs(bias[c]) <= 3.4e38))
					return HB_FX_REFUSE(cv, n, "channel %lld has a weight or bias that is infinite or no number", (long long)c);
	}
	hb_weight_scales(cv->from->cx, &f->at, scales);
	for (int64_t c = 0; c < f->at.channels; c++) {
		float s = scales[c];
		if (f->given)
			s = (float)(hb_q_scale(f->given, c % f->given->nscales) * fabs(f->at.gain));
		if (f->rounded)
			s = f->rounded_scales[c];
		const demand at = at_channel(d, c);
		float fitted = s;

		HB_TRY(quantize_channel(cv, n, f, c, bias[c], &fitted, &at, r));
		raised += fitted != s;
	}
	if (raised)
		hb_node_warn(cv->from->cx, n, "channel-scale", "%lld of %lld channels need a coarser weight scale, or bias and sums would leave int32",
			     (long long)raised, (long long)f->at.channels);
	return HB_OK;
}

/* ---- bias: of the operator, and of the Add behind a MatMul ---- */

static hb_status
add_bias(hb_convert *cv, hb_node *n, hb_tensor *t, double gain, int64_t channels, double *bias)
{
	int64_t elems;
	const float *v;

	if (!t)
		return HB_OK;
	elems = hb_tensor_elems(t);
	if (!t->is_const || t->dtype != HB_F32 || (elems != 1 && elems != channels))
		return HB_FX_REFUSE(cv, n, "bias '%s' is no constant with one number a channel", t->name);
	if (!(v = hb_tensor_data(cv->from, t)))
		return HB_ERR_NOMEM;
	for (int64_t c = 0; c < channels; c++)
		bias[c] += gain * v[elems == 1 ? 0 : c];
	return HB_OK;
}

/* The constant operand of the group's bias addition. */
static hb_tensor *
group_bias(const hb_node *n)
{
	const hb_node *add = n->group ? n->group->bias : NULL;

	if (!add)
		return NULL;
	return add->in[add->in[0]->producer == n ? 1 : 0];
}

/* ---- what is common: scales, constants, the node ---- */

typedef struct layer {
	hb_node *n;
	hb_tensor *x, *add, *out_from;	/* integers, integers, the float graph's output */
	demand d;
	result r;
	double *bias;
	int64_t channels;
	int channel_axis;		/* of the output */
} layer;

/* Means of the input's channels, which are along `dim`, for a layer that has a bias to correct. */
static const double *
means_of(const hb_node *n, int dim)
{
	const hb_tensor *x = n->in[0];
	bool matmul = !strcmp(n->op_type, "MatMul");

	if (n->in[1]->q.from != HB_Q_OPEN)
		return NULL;		/* whoever quantized the weights chose the bias with them */
	return x->means && x->means_dim == dim && (!matmul || group_bias(n)) ? x->means : NULL;
}

/* What hb_pass_refine chose for layer n. */
static void
take_chosen(const hb_node *n, filter *f)
{
	bool matmul = !strcmp(n->op_type, "MatMul");

	f->shift = matmul && !group_bias(n) ? NULL : n->out[0]->shift;
	f->rounded = n->in[1]->rounded;
	f->rounded_scales = n->in[1]->rounded_scales;
}

/* The scales that the file gives n's weights, where they are one or along the output channels: dimension `dim`, in each
 * group or in all. */
static const hb_q *
given_scales(const hb_convert *cv, const hb_node *n, int dim)
{
	const hb_tensor *w = n->in[1];
	bool transposed = !strcmp(n->op_type, "ConvTranspose");

	if (w->q.from == HB_Q_OPEN || w->q.dtype != HB_I8)
		return NULL;
	if (w->q.nscales > 1 && (w->q.axis != dim || (w->q.nscales != w->shape.dim[dim] && !(transposed && w->q.nscales == n->out[0]->shape.dim[1])))) {
		hb_node_warn(cv->from->cx, n, "weight-scales", "the weights' scales are along dimension %d; they are requantized along %d, the output channels",
			     w->q.axis, dim);
		return NULL;
	}
	return &w->q;
}

static hb_status
layer_begin(hb_convert *cv, hb_node *n, int64_t channels, int channel_axis, layer *l)
{
	hb_tensor *add = hb_group_addend(n), *w = n->in[1];

	*l = (layer){ .n = n, .channels = channels, .channel_axis = channel_axis, .out_from = hb_group_out(n) };
	if (!w->is_const || w->dtype != HB_F32)
		return HB_FX_REFUSE(cv, n, "weights '%s' are no float constant", w->name);
	l->x = hb_convert_in(cv, n, n->in[0]);
	l->add = add && l->x ? hb_convert_in(cv, n, add) : NULL;
	l->bias = HB_NEW_N(cv->arena, double, channels);
	l->r.scales = HB_NEW_N(cv->to->arena, float, channels);
	l->r.rec = HB_NEW_N(cv->to->arena, int32_t, 4 * channels);
	l->r.q = HB_NEW_N(cv->to->arena, int8_t, HB_MAX(hb_tensor_elems(w), 1));
	if (!l->x || (add && !l->add) || !l->bias || !l->r.scales || !l->r.rec || !l->r.q)
		return HB_ERR_NOMEM;
	bool depthwise = !strcmp(n->op_type, "Conv") && w->shape.dim[1] == 1 && l->x->q.axis == 1 && l->x->q.nscales == l->x->shape.dim[1];

	if ((l->x->q.nscales > 1 && !depthwise) || (add && l->add->q.nscales > 1))
		return HB_FX_REFUSE(cv, n, "an operand has a scale a channel");
	l->d = (demand){
		.in_scale = l->x->q.scale, .in_max = -(double)hb_qmin(l->x->dtype), .round = cv->round,
		.out_scale = l->out_from->q.dtype == HB_I32 ? 0 : l->out_from->q.scale,
		.in_scales = l->x->q.nscales > 1 ? l->x->q.scales : NULL, .in_channels = l->x->q.nscales, .channels = channels,
		.out_scales = l->out_from->q.dtype != HB_I32 && l->out_from->q.nscales > 1 ? l->out_from->q.scales : NULL,
		.add_scale = add ? l->add->q.scale : 0, .add_max = add ? -(double)hb_qmin(l->add->dtype) : 0,
	};
	if (l->d.in_max == 0)
		l->d.in_max = hb_qmax(l->x->dtype);
	if (hb_q_limited(&l->x->q))
		l->d.in_max = fmax(-(double)l->x->q.lo, l->x->q.hi);
	return HB_OK;
}

/* An int32 output has the accumulator's scale, a channel each. */
static hb_status
wide_scales(hb_convert *cv, layer *l)
{
	hb_q *q = &l->out_from->q;
	float *s;

	if (q->dtype != HB_I32)
		return HB_OK;
	s = HB_NEW_N(cv->to->arena, float, l->channels);
	if (!s)
		return hb_nomem(cv->from->cx, l->n->name);
	for (int64_t c = 0; c < l->channels; c++)
		s[c] = (float)(at_channel(&l->d, c).in_scale * l->r.scales[c]);
	q->nscales = (int)l->channels;
	q->axis = l->channel_axis;
	q->scale = s[0];
	q->scales = s;
	return HB_OK;
}

/* The node of the layer, weights given in the fixed operator's order. */
static hb_node *
layer_node_to(hb_convert *cv, layer *l, const char *op, const hb_shape *ws, const int8_t *wq, int waxis, hb_tensor *out)
{
	hb_tensor *w = hb_fx_const(cv, l->n, "weight", HB_I8, ws->rank, ws->dim, wq);
	hb_tensor *rec = hb_fx_const(cv, l->n, "rec", HB_I32, 2, (int64_t[]){ l->channels, 4 }, l->r.rec);
	hb_node *k = out && w && rec ? hb_fx_node(cv, l->n, op, out, l->add ? 4 : 3, (hb_tensor *[]){ l->x, w, rec, l->add }) : NULL;
	int32_t qmin, qmax;

	if (!k)
		return NULL;
	w->q = (hb_q){ .dtype = HB_I8, .nscales = (int)l->channels, .axis = waxis, .scale = l->r.scales[0], .scales = l->r.scales, .observer = "minmax" };
	hb_fx_limits(l->n, &out->q, cv->round, &qmin, &qmax);
	return hb_fx_set_clamp(cv, k, qmin, qmax) ? k : NULL;
}

static hb_node *
layer_node(hb_convert *cv, layer *l, const char *op, const hb_shape *ws, const int8_t *wq, int waxis)
{
	return wide_scales(cv, l) == HB_OK ? layer_node_to(cv, l, op, ws, wq, waxis, hb_convert_out(cv, l->out_from)) : NULL;
}

/* ---- Conv ---- */

/* Attributes of the window, as shape inference resolved them. */
static bool
set_window(hb_convert *cv, hb_node *k, const hb_conv_params *p)
{
	size_t first = p->nsp > 2, ns = (size_t)p->nsp - first;		/* depth is not the window's */
	int64_t pads[2 * HB_MAX_SPATIAL];

	for (size_t i = 0; i < ns; i++) {
		pads[i] = p->begin[first + i];
		pads[ns + i] = p->end[first + i];
	}
	return hb_attr_set_ints(cv->to, k, "strides", p->strides + first, ns) && hb_attr_set_ints(cv->to, k, "dilations", p->dilations + first, ns) &&
	       hb_attr_set_ints(cv->to, k, "pads", pads, 2 * ns) && hb_attr_set_i(cv->to, k, "group", p->group);
}

const char *
hb_floats_conv(const hb_node *n)
{
	int ns = n->in[1]->shape.rank - 2;

	if (ns < 1 || ns > (strcmp(n->op_type, "Conv") ? 2 : 3))
		return "a convolution of other than one to three dimensions, transposed of one or two";
	if (ns == 3 && hb_attr_i(n, "group", 1) != 1)
		return "a grouped convolution of three dimensions";
	return n->in[1]->is_const ? NULL : "weights that are no constant";
}

/* Weights [O, C, KD, KH, KW] are those of C * KD channels as they lie. */
static hb_status
volume_node(hb_convert *cv, layer *l, const hb_shape *ws)
{
	const hb_node *n = l->n;
	const int64_t *d = l->out_from->shape.dim;
	hb_shape flat = { 4, { ws->dim[0], ws->dim[1] * ws->dim[2], ws->dim[3], ws->dim[4] } };
	hb_tensor *out, *planes;
	hb_node *k;

	HB_TRY(wide_scales(cv, l));
	if (!(l->x = hb_fx_depth_windows(cv, n, l->x)) || (l->add && !(l->add = hb_fx_planes(cv, n, l->add))))
		return HB_ERR_NOMEM;
	out = hb_convert_out(cv, l->out_from);
	planes = out ? hb_convert_temp(cv, hb_arena_printf(cv->to->arena, "%s.planes", out->name),
				       &(hb_shape){ 4, { d[0] * d[2], d[1], d[3], d[4] } }, &l->out_from->q) : NULL;
	k = planes ? layer_node_to(cv, l, "Conv", &flat, l->r.q, 0, planes) : NULL;
	if (!k || !set_window(cv, k, hb_conv_of(n)))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(cv, k));
	return hb_fx_from_planes(cv, n, planes, out);
}

hb_status
hb_to_fx_conv(hb_convert *cv, hb_node *n)
{
	const hb_shape *ws = &n->in[1]->shape;
	layer l;
	hb_node *k;

	if (hb_floats_conv(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_conv(n));
	HB_TRY(layer_begin(cv, n, ws->dim[0], 1, &l));
	HB_TRY(add_bias(cv, n, hb_in(n, 2), 1, l.channels, l.bias));

	filter f = {
		.at = hb_weights_of(n, hb_tensor_data(cv->from, n->in[1])), .means = means_of(n, 1), .nmeans = n->in[0]->shape.dim[1],
		.given = given_scales(cv, n, 0),
	};
	if (!f.at.w)
		return HB_ERR_NOMEM;
	take_chosen(n, &f);
	HB_TRY(quantize_filter(cv, n, &f, l.bias, &l.d, &l.r));
	if (ws->rank == 5)
		return volume_node(cv, &l, ws);
	if (!(k = layer_node(cv, &l, "Conv", ws, l.r.q, 0)))
		return HB_ERR_NOMEM;
	if (!set_window(cv, k, hb_conv_of(n)))
		return hb_nomem(cv->to->cx, n->name);
	return hb_fx_done(cv, k);
}

/* ---- ConvTranspose ---- */

hb_status
hb_to_fx_conv_transpose(hb_convert *cv, hb_node *n)
{
	const hb_shape *ws = &n->in[1]->shape;
	const hb_conv_params *p = hb_conv_of(n);
	int ns = ws->rank - 2;
	int64_t groups = p->group;
	layer l;
	hb_node *k;

	if (hb_floats_conv(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_conv(n));
	HB_TRY(layer_begin(cv, n, ws->dim[1] * groups, 1, &l));
	HB_TRY(add_bias(cv, n, hb_in(n, 2), 1, l.channels, l.bias));

	filter f = {
		.at = hb_weights_of(n, hb_tensor_data(cv->from, n->in[1])), .means = means_of(n, 1), .nmeans = n->in[0]->shape.dim[1],
		.given = given_scales(cv, n, 1),
	};
	if (!f.at.w)
		return HB_ERR_NOMEM;
	take_chosen(n, &f);
	HB_TRY(quantize_filter(cv, n, &f, l.bias, &l.d, &l.r));
	if (l.add)
		return HB_FX_REFUSE(cv, n, "a transposed convolution takes no addend");
	if (!(k = layer_node(cv, &l, "ConvTranspose", ws, l.r.q, 1)))
		return HB_ERR_NOMEM;
	if (!set_window(cv, k, p) || !hb_attr_set_ints(cv->to, k, "output_padding", p->output_padding, (size_t)ns))
		return hb_nomem(cv->to->cx, n->name);
	return hb_fx_done(cv, k);
}

/* ---- Gemm, MatMul ---- */

/* X [.., K] by weights: [O, K], or [K, O] where not `by_row`. */
static hb_status
linear(hb_convert *cv, hb_node *n, layer *l, bool by_row, int64_t depth)
{
	filter f = {
		.at = hb_weights_of(n, hb_tensor_data(cv->from, n->in[1])), .means = means_of(n, n->in[0]->shape.rank - 1), .nmeans = n->in[0]->shape.dim[n->in[0]->shape.rank - 1],
		.given = given_scales(cv, n, !by_row),
	};
	hb_shape ws = { .rank = 2, .dim = { l->channels, depth } };
	int8_t *q = l->r.q;
	hb_node *k;

	if (!f.at.w)
		return HB_ERR_NOMEM;
	take_chosen(n, &f);
	HB_TRY(quantize_filter(cv, n, &f, l->bias, &l->d, &l->r));
	if (!by_row) {
		q = HB_NEW_N(cv->arena, int8_t, HB_MAX(l->channels * depth, 1));
		if (!q)
			return hb_nomem(cv->from->cx, n->name);
		for (int64_t c = 0; c < l->channels; c++)
			for (int64_t i = 0; i < depth; i++)
				q[c * depth + i] = l->r.q[i * l->channels + c];
	}
	k = layer_node(cv, l, "Linear", &ws, q, 0);
	return k ? hb_fx_done(cv, k) : HB_ERR_NOMEM;
}

hb_status
hb_to_fx_gemm(hb_convert *cv, hb_node *n)
{
	const hb_shape *ws = &n->in[1]->shape;
	bool by_row = hb_attr_i(n, "transB", 0) != 0;
	int64_t channels = ws->dim[by_row ? 0 : 1], depth = ws->dim[by_row ? 1 : 0];
	layer l;

	HB_TRY(layer_begin(cv, n, channels, 1, &l));
	HB_TRY(add_bias(cv, n, hb_in(n, 2), hb_attr_f(n, "beta", 1), channels, l.bias));
	if (hb_attr_i(n, "transA", 0)) {
		hb_shape s = { .rank = 2, .dim = { l.x->shape.dim[1], l.x->shape.dim[0] } };
		hb_tensor *t = hb_fx_temp(cv, n, "transposed", l.x->dtype, l.x->q.scale, &s);
		hb_node *k = hb_fx_node(cv, n, "Transpose", t, 1, &l.x);

		if (!k || !hb_attr_set_ints(cv->to, k, "perm", (int64_t[]){ 1, 0 }, 2))
			return HB_ERR_NOMEM;
		HB_TRY(hb_fx_done(cv, k));
		l.x = t;
	}
	return linear(cv, n, &l, by_row, depth);
}

/* Two tensors. */
static hb_status
product(hb_convert *cv, hb_node *n)
{
	hb_tensor *a = hb_convert_in(cv, n, n->in[0]), *b = a ? hb_convert_in(cv, n, n->in[1]) : NULL;
	hb_tensor *out = b ? hb_convert_out(cv, hb_group_out(n)) : NULL;
	hb_node *k = hb_fx_node(cv, n, "MatMul", out, 2, (hb_tensor *[]){ a, b });
	int32_t qmin, qmax;

	if (!k)
		return HB_ERR_NOMEM;
	hb_fx_limits(n, &out->q, cv->round, &qmin, &qmax);
	if (!hb_fx_set_clamp(cv, k, qmin, qmax))
		return HB_ERR_NOMEM;
	if (a->dtype == HB_I8 && b->dtype == HB_I8 && a->shape.dim[a->shape.rank - 1] >= 1 << 17)
		return HB_FX_REFUSE(cv, n, "a sum of %lld products does not fit int32", (long long)a->shape.dim[a->shape.rank - 1]);
	HB_TRY(hb_fx_set_ratio(cv, n, k, "m", "e", (double)a->q.scale * b->q.scale / out->q.scale));
	return hb_fx_done(cv, k);
}

const char *
hb_floats_matmul(const hb_node *n)
{
	const hb_tensor *w = n->in[1];

	if (n->in[0]->shape.rank < 2 || w->shape.rank < 2)
		return "a product with a vector";
	if (n->in[0]->is_const)
		return "a constant on the left";
	return w->is_const && w->shape.rank != 2 ? "constant weights of other than two dimensions" : NULL;
}

hb_status
hb_to_fx_matmul(hb_convert *cv, hb_node *n)
{
	const hb_shape *ws = &n->in[1]->shape;
	layer l;

	if (hb_floats_matmul(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_matmul(n));
	if (!n->in[1]->is_const) {
		if (n->group && (n->group->add || n->group->bias))
			return HB_FX_REFUSE(cv, n, "a product of two tensors takes no addend");
		return product(cv, n);
	}
	HB_TRY(layer_begin(cv, n, ws->dim[1], n->out[0]->shape.rank - 1, &l));
	HB_TRY(add_bias(cv, n, group_bias(n), 1, l.channels, l.bias));
	return linear(cv, n, &l, false, ws->dim[0]);
}

/* ---- BatchNormalization of its own, where it became no convolution: one tap a channel ---- */

const char *
hb_floats_batch_norm(const hb_node *n)
{
	for (int i = 1; i < 5; i++)
		if (!hb_in(n, i) || !n->in[i]->is_const || n->in[i]->dtype != HB_F32)
			return "statistics that are no constant";
	if (n->nout > 1 || hb_attr_i(n, "training_mode", 0))
		return "a norm in training";
	return n->in[0]->shape.rank < 2 ? "less than two dimensions" : NULL;
}

/* The weight is 64 or -64 at a scale that makes it exact. */
hb_status
hb_to_fx_batch_norm(hb_convert *cv, hb_node *n)
{
	const float *v[5] = { NULL };
	double eps = hb_attr_f(n, "epsilon", 1e-5f);
	hb_tensor *t = hb_group_out(n), *out, *x, *flat;
	int8_t *w;
	layer l;

	if (hb_floats_batch_norm(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_batch_norm(n));
	const hb_shape *s = &n->in[0]->shape;
	int64_t channels = s->dim[1];
	for (int i = 1; i < 5; i++)
		if (!(v[i] = hb_tensor_data(cv->from, n->in[i])))
			return HB_ERR_NOMEM;
	x = hb_convert_in(cv, n, n->in[0]);
	out = x ? hb_convert_out(cv, t) : NULL;
	l = (layer){ .n = n, .channels = channels, .channel_axis = 1, .out_from = t };
	l.r.scales = HB_NEW_N(cv->to->arena, float, channels);
	l.r.rec = HB_NEW_N(cv->to->arena, int32_t, 4 * channels);
	w = HB_NEW_N(cv->to->arena, int8_t, channels);
	if (!out || !l.r.scales || !l.r.rec || !w)
		return HB_ERR_NOMEM;
	for (int64_t c = 0; c < channels; c++) {
		double g = v[1][c] / sqrt(v[4][c] + eps), bias = v[2][c] - v[3][c] * g;
		double most = 0x1p30 * x->q.scale, least = 0x1p-38 * out->q.scale / x->q.scale;
		hb_mult m;

		/* a bias beyond int32, or a channel of almost nothing, asks for a coarser weight */
		l.r.scales[c] = (float)fmax(fmax(fabs(g) / 64, fabs(bias) / most), least);
		double acc = (double)x->q.scale * l.r.scales[c];
		w[c] = (int8_t)round_to(g / l.r.scales[c], cv->round);
		if (!hb_mult_of(acc / out->q.scale, &m))
			return HB_FX_REFUSE(cv, n, "channel %lld: the accumulator's scale %g over the output's %g is outside 2^-40..2^24", (long long)c, acc,
					    out->q.scale);
		l.r.rec[4 * c] = (int32_t)round_to(bias / acc, cv->round);
		l.r.rec[4 * c + 1] = m.m;
		l.r.rec[4 * c + 3] = (m.e + 64) | 64 << 8;
	}
	hb_shape image = { 4, { s->dim[0], channels, 1, hb_shape_span(s, 2, s->rank) } }, ws = { 4, { channels, 1, 1, 1 } };
	if (s->rank > 3) {
		image.dim[2] = hb_shape_span(s, 2, s->rank - 1);
		image.dim[3] = s->dim[s->rank - 1];
	}
	l.x = hb_fx_temp(cv, n, "image", x->dtype, x->q.scale, &image);
	flat = l.x ? hb_fx_temp(cv, n, "normed", out->dtype, out->q.scale, &image) : NULL;
	if (!flat)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_reshape(cv, n, x, l.x));
	hb_node *k = layer_node_to(cv, &l, "Conv", &ws, w, 0, flat);
	if (!k || !hb_attr_set_i(cv->to, k, "group", channels))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(cv, k));
	return hb_fx_reshape(cv, n, flat, out);
}
