/* round_weights: integers for a layer's weights that bring its output, computed from quantized inputs, nearest to the
 * float model's. With x the inputs of one output value less their means, e what the float weights w leave of the error on
 * quantized inputs, H = E[x x'] + ridge:
 *
 *	w += H^-1 E[x e]			regression, where there are outputs enough
 *	min (w - q)' H (w - q) over integers q	by the factor R of H = R'R, weight by weight from the last: each is rounded
 *						after what the later ones' rounding asks of it
 *
 * The means are the bias's (refine.c). Weights beyond BLOCK of one output value are treated in blocks. */
#include "lib/pass/refine.h"

#include "ops/conv.h"

#include <math.h>

enum { BLOCK = 512, POINTS = 4096, ENOUGH = 8 };	/* weights together; outputs looked at; outputs a weight for regression */
static const double RIDGE = 1;	/* of H's mean diagonal: a tenth fits the samples better, and others less */

typedef struct rounding {
	const hb_layer *l;
	hb_walk *w;
	int lanes;
	int64_t groups, depth, out_of_group;	/* of the layer; weights of an output value; channels of a group */
	int64_t places, points;		/* output values of a channel in a lane; those looked at, over all lanes */
	const hb_conv_params *conv;	/* NULL: a product of matrices */
	hb_arena *arena;
	/* of the group and block that are in hand */
	int64_t group, from, n;		/* block: weights [from, from + n) */
	float *x;			/* [points][n], less the means */
	double *e;			/* [points][out_of_group], less the means */
	double *h;			/* [n][n], then its factor */
	double *d;			/* [out_of_group][n] */
	int64_t *order;			/* of the block's weights by rising diagonal */
	bool regress;
	float *scales;
	int8_t *q;
} rounding;

/* Output value i of those looked at: its lane and its place among the lane's. */
static void
point(const rounding *r, int64_t i, int *lane, int64_t *place)
{
	int64_t all = r->places * r->lanes, step = all / r->points;
	int64_t at = i * all / r->points + (step > 1 ? i * 7 % step : 0);

	at = HB_MIN(at, all - 1);
	*lane = (int)(at / r->places);
	*place = at % r->places;
}

/* The input that weight k of the group reads for the output at `place`; 0 in the padding. */
static float
input_at(const rounding *r, const hb_val *x, int64_t place, int64_t k)
{
	const float *v = x->data;
	const hb_conv_params *p = r->conv;
	const hb_shape *in = &x->shape, *out = &r->l->n->out[0]->shape, *ws = &r->l->n->in[1]->shape;

	if (!p)
		return v[place * r->depth + k];
	int64_t spatial = hb_shape_span(out, 2, out->rank), batch = place / spatial, at = place % spatial;
	int64_t taps = hb_shape_span(ws, 2, ws->rank), channel = r->group * ws->dim[1] + k / taps, tap = k % taps, offset = 0, span = 1;

	for (int d = in->rank - 1; d >= 2; d--) {
		int s = d - 2;
		int64_t i = at % out->dim[d] * p->strides[s] + tap % ws->dim[d] * p->dilations[s] - p->begin[s];

		if (i < 0 || i >= in->dim[d])
			return 0;
		offset += i * span;
		span *= in->dim[d];
		at /= out->dim[d];
		tap /= ws->dim[d];
	}
	return v[(batch * in->dim[1] + channel) * span + offset];
}

static float
output_at(const rounding *r, const hb_val *y, int64_t place, int64_t channel)
{
	const hb_shape *out = &y->shape;
	int64_t spatial = r->conv ? hb_shape_span(out, 2, out->rank) : 1;

	return ((const float *)y->data)[(place / spatial * r->l->channels + channel) * spatial + place % spatial];
}

/* ---- moments ---- */

static void
gather(void *arg, int64_t begin, int64_t end, int worker)
{
	const rounding *r = arg;
	(void)worker;
	for (int64_t i = begin; i < end; i++) {
		int lane;
		int64_t place;

		point(r, i, &lane, &place);
		const hb_val *x = hb_walk_val(r->w, r->l->n->in[0], r->lanes + lane);
		const hb_val *want = hb_walk_val(r->w, r->l->n->out[0], lane), *have = hb_walk_val(r->w, r->l->n->out[0], r->lanes + lane);
		for (int64_t k = 0; k < r->n; k++)
			r->x[i * r->n + k] = input_at(r, x, place, r->from + k);
		for (int64_t c = 0; r->regress && c < r->out_of_group; c++) {
			int64_t channel = r->group * r->out_of_group + c;
			r->e[i * r->out_of_group + c] = (double)output_at(r, want, place, channel) - output_at(r, have, place, channel);
		}
	}
}

static void
take_means(const rounding *r)
{
	for (int64_t k = 0; k < r->n; k++) {
		double sum = 0;
		for (int64_t i = 0; i < r->points; i++)
			sum += r->x[i * r->n + k];
		for (int64_t i = 0; i < r->points; i++)
			r->x[i * r->n + k] = (float)(r->x[i * r->n + k] - sum / (double)r->points);
	}
	for (int64_t c = 0; r->regress && c < r->out_of_group; c++) {
		double sum = 0;
		for (int64_t i = 0; i < r->points; i++)
			sum += r->e[i * r->out_of_group + c];
		for (int64_t i = 0; i < r->points; i++)
			r->e[i * r->out_of_group + c] -= sum / (double)r->points;
	}
}

static void
second_moments(void *arg, int64_t begin, int64_t end, int worker)
{
	const rounding *r = arg;
	(void)worker;
	for (int64_t a = begin; a < end; a++) {
		double *row = r->h + a * r->n;
		for (int64_t b = a; b < r->n; b++)
			row[b] = 0;
		for (int64_t i = 0; i < r->points; i++) {
			const float *x = r->x + i * r->n;
			double xa = x[a];
			for (int64_t b = a; b < r->n; b++)
				row[b] += xa * x[b];
		}
	}
}

static void
cross_moments(void *arg, int64_t begin, int64_t end, int worker)
{
	const rounding *r = arg;
	(void)worker;
	for (int64_t c = begin; c < end; c++) {
		double *row = r->d + c * r->n;
		for (int64_t k = 0; k < r->n; k++)
			row[k] = 0;
		for (int64_t i = 0; i < r->points; i++) {
			const float *x = r->x + i * r->n;
			double e = r->e[i * r->out_of_group + c];
			for (int64_t k = 0; k < r->n; k++)
				row[k] += e * x[k];
		}
	}
}

/* H by the rising diagonal, ridge added, becomes its upper factor. False where H is nothing, or no number. */
static bool
factor(const rounding *r, double *tmp)
{
	int64_t n = r->n;
	double trace = 0;

	for (int64_t k = 0; k < n; k++) {
		trace += r->h[k * n + k];
		int64_t at = k;
		for (; at > 0 && r->h[r->order[at - 1] * n + r->order[at - 1]] > r->h[k * n + k]; at--)
			r->order[at] = r->order[at - 1];
		r->order[at] = k;
	}
	if (!(trace > 0) || !isfinite(trace))
		return false;
	for (int64_t a = 0; a < n; a++)
		for (int64_t b = a; b < n; b++) {
			int64_t i = HB_MIN(r->order[a], r->order[b]), j = HB_MAX(r->order[a], r->order[b]);
			tmp[a * n + b] = r->h[i * n + j] + (a == b ? RIDGE * trace / (double)n : 0);
		}
	memcpy(r->h, tmp, (size_t)(n * n) * sizeof(*tmp));
	for (int64_t a = 0; a < n; a++) {
		double *row = r->h + a * n, pivot = sqrt(row[a]);
		if (!(pivot > 0))
			return false;
		for (int64_t b = a; b < n; b++)
			row[b] /= pivot;
		for (int64_t c = a + 1; c < n; c++) {
			double f = row[c], *to = r->h + c * n;
			for (int64_t b = c; b < n; b++)
				to[b] -= f * row[b];
		}
	}
	return true;
}

/* ---- a channel ---- */

/* v = (R'R)^-1 v */
static void
solve(const rounding *r, double *v)
{
	int64_t n = r->n;

	for (int64_t a = 0; a < n; a++) {
		v[a] /= r->h[a * n + a];
		for (int64_t b = a + 1; b < n; b++)
			v[b] -= r->h[a * n + b] * v[a];
	}
	for (int64_t a = n - 1; a >= 0; a--) {
		for (int64_t b = a + 1; b < n; b++)
			v[a] -= r->h[a * n + b] * v[b];
		v[a] /= r->h[a * n + a];
	}
}

/* The scale for weights v of a channel. */
static float
scale_of(const rounding *r, const double *v)
{
	float w[BLOCK];
	const hb_weights one = { .w = w, .gain = 1, .channels = 1, .of_group = 1, .outer = 1, .inner = r->n, .taps = 1, .mse = r->l->at.mse };

	for (int64_t k = 0; k < r->n; k++)
		w[k] = (float)v[k];
	return hb_weight_scale(hb_walk_graph(r->w)->cx, &one, 0);
}

static void
round_channels(void *arg, int64_t begin, int64_t end, int worker)
{
	const rounding *r = arg;
	int64_t n = r->n;
	(void)worker;
	for (int64_t c = begin; c < end; c++) {
		int64_t channel = r->group * r->out_of_group + c;
		double *v = r->d + c * n, off[BLOCK], move[BLOCK];

		for (int64_t k = 0; k < n; k++)
			move[k] = r->regress ? v[r->order[k]] : 0;
		if (r->regress)
			solve(r, move);
		for (int64_t k = 0; k < n; k++)
			v[k] = r->l->at.w[hb_weights_at(&r->l->at, channel, r->from + r->order[k])] * r->l->at.gain + move[k];
		if (r->regress)		/* a block of several keeps the channel's scale */
			r->scales[channel] = scale_of(r, v);
		float s = r->scales[channel];
		for (int64_t k = n - 1; k >= 0; k--) {
			double want = 0;

			for (int64_t j = k + 1; j < n; j++)
				want += r->h[k * n + j] * off[j];
			want = v[k] + want / r->h[k * n + k];
			int32_t q = hb_quantize((float)want, s, HB_I8, HB_HALF_EVEN);
			off[k] = v[k] - q * (double)s;
			r->q[hb_weights_at(&r->l->at, channel, r->from + r->order[k])] = (int8_t)q;
		}
	}
}

/* ---- the layer ---- */

static bool
block(rounding *r, double *tmp, hb_ctx *cx)
{
	hb_parallel(cx, r->points, 64, gather, r);
	take_means(r);
	hb_parallel(cx, r->n, 8, second_moments, r);
	for (int64_t k = 0; k < r->n * r->n; k++)
		r->h[k] /= (double)r->points;
	if (r->regress) {
		hb_parallel(cx, r->out_of_group, 4, cross_moments, r);
		for (int64_t k = 0; k < r->out_of_group * r->n; k++)
			r->d[k] /= (double)r->points;
	}
	if (!factor(r, tmp))
		return false;
	hb_parallel(cx, r->out_of_group, 1, round_channels, r);
	return true;
}

static bool
begin(rounding *r)
{
	const hb_node *n = r->l->n;
	const hb_shape *out = &n->out[0]->shape;

	r->groups = 1;
	if (!strcmp(n->op_type, "Conv")) {
		r->conv = hb_conv_of(n);
		r->groups = r->conv->group;
	} else if (!strcmp(n->op_type, "ConvTranspose") || hb_attr_i(n, "transA", 0) || (!strcmp(n->op_type, "Gemm") && out->rank != 2)) {
		return false;
	}
	r->out_of_group = r->l->channels / r->groups;
	r->depth = r->l->elems / r->l->channels;
	r->places = hb_shape_elems(out) / r->l->channels;
	r->points = HB_MIN(r->places * r->lanes, POINTS);
	r->regress = r->depth <= BLOCK && r->points >= ENOUGH * r->depth;
	return r->points > 1;
}

hb_status
hb_round_weights(hb_walk *w, int lanes, const hb_layer *l, float *scales, int8_t *q, bool *done)
{
	hb_ctx *cx = hb_walk_graph(w)->cx;
	rounding r = { .l = l, .w = w, .lanes = lanes, .scales = scales, .q = q, .arena = hb_arena_new(cx) };

	*done = false;
	if (!r.arena)
		return hb_nomem(cx, l->n->name);
	if (!begin(&r)) {
		hb_arena_free(r.arena);
		return HB_OK;
	}
	int64_t n = HB_MIN(r.depth, BLOCK);
	r.x = HB_NEW_N(r.arena, float, r.points * n);
	r.e = HB_NEW_N(r.arena, double, r.points * r.out_of_group);
	r.h = HB_NEW_N(r.arena, double, n * n);
	r.d = HB_NEW_N(r.arena, double, r.out_of_group * n);
	r.order = HB_NEW_N(r.arena, int64_t, n);
	double *tmp = HB_NEW_N(r.arena, double, n * n);
	hb_status st = r.x && r.e && r.h && r.d && r.order && tmp ? HB_OK : hb_nomem(cx, l->n->name);
	bool ok = st == HB_OK;
	for (r.group = 0; ok && r.group < r.groups; r.group++)
		for (r.from = 0; ok && r.from < r.depth; r.from += BLOCK) {
			r.n = HB_MIN(r.depth - r.from, BLOCK);
			ok = block(&r, tmp, cx);
		}
	hb_arena_free(r.arena);
	*done = ok;
	return st;
}
