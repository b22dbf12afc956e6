/* rnn.c: RNN, GRU, LSTM: X W^T for all steps first, then step by step H R^T and the cell. */
#include "ops/nd.h"
#include "ops/to_fx.h"

#include "lib/base/fmath.h"

#include <strings.h>

enum kind { RNN, GRU, LSTM };

static const int gate_count[] = { [RNN] = 1, [GRU] = 3, [LSTM] = 4 };

/* ---- activations ---- */

#define ACT(id, expr)                                                                           \
	HB_INLINE void id##_body(float *x, int64_t n, float alpha, float beta)                  \
	{                                                                                       \
		(void)alpha, (void)beta;                                                        \
		for (int64_t i = 0; i < n; i++) {                                               \
			const float v = x[i];                                                   \
			x[i] = expr;                                                            \
		}                                                                               \
	}                                                                                       \
	HB_KERNEL(id, id##_body, (float *x, int64_t n, float alpha, float beta), (x, n, alpha, beta))

ACT(act_relu, v > 0 ? v : 0.0f)
ACT(act_tanh, hb_tanhf(v))
ACT(act_sigmoid, hb_sigmoidf(v))
ACT(act_affine, alpha * v + beta)
ACT(act_leaky_relu, v < 0 ? alpha * v : v)
ACT(act_thresholded_relu, v >= alpha ? v : 0.0f)
ACT(act_scaled_tanh, alpha * hb_tanhf(beta * v))
ACT(act_hard_sigmoid, HB_MAX(0.0f, HB_MIN(1.0f, alpha * v + beta)))
ACT(act_elu, v < 0 ? alpha * hb_expm1f(v) : v)
ACT(act_softsign, v / (1.0f + hb_absf(v)))
ACT(act_softplus, hb_softplusf(v))

static const struct activation {
	const char *name;
	void (*const *fn)(float *x, int64_t n, float alpha, float beta);
	int pars;			/* how many of alpha and beta it takes */
	float alpha, beta;
} activations[] = {
	{ "Relu", act_relu, 0, 0, 0 }, { "Tanh", act_tanh, 0, 0, 0 }, { "Sigmoid", act_sigmoid, 0, 0, 0 },
	{ "Affine", act_affine, 2, 1, 0 }, { "LeakyRelu", act_leaky_relu, 1, 0.01f, 0 },
	{ "ThresholdedRelu", act_thresholded_relu, 1, 1, 0 }, { "ScaledTanh", act_scaled_tanh, 2, 1, 1 },
	{ "HardSigmoid", act_hard_sigmoid, 2, 0.2f, 0.5f }, { "Elu", act_elu, 1, 1, 0 },
	{ "Softsign", act_softsign, 0, 0, 0 }, { "Softplus", act_softplus, 0, 0, 0 },
};

struct act {
	const struct activation *fn;
	float alpha, beta;
};

/* ---- what shape inference finds out ---- */

struct rnn {
	enum kind kind;
	int64_t steps, batch, input, hidden;
	int dirs;
	bool reverse[2], batch_first;
	struct act act[2][3];
	float clip;
	bool after_reset, input_forget;		/* GRU linear_before_reset; LSTM input_forget */
};

static hb_status
read_activations(hb_graph *g, hb_node *n, struct rnn *r)
{
	static const char *const usual[][3] = { { "Tanh" }, { "Sigmoid", "Tanh" }, { "Sigmoid", "Tanh", "Tanh" } };
	static const int counts[] = { 1, 2, 3 };
	int count = counts[r->kind];
	const hb_attr *names = hb_attr_find(n, "activations");
	size_t nalpha, nbeta, ia = 0, ib = 0;
	const float *alpha = hb_attr_floats(n, "activation_alpha", &nalpha);
	const float *beta = hb_attr_floats(n, "activation_beta", &nbeta);

	if (names && names->n != (size_t)(r->dirs * count) && !(r->kind == RNN && names->n == 2))
		return HB_BAD(g, n, "activations has %zu names; %d are taken", names->n, r->dirs * count);
	for (int i = 0; i < r->dirs * count; i++) {
		const char *name = names ? names->strings[i] : usual[r->kind][i % count];
		size_t k = 0;
		while (k < HB_LEN(activations) && strcasecmp(name, activations[k].name))
			k++;
		if (k == HB_LEN(activations))
			return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "activation", "activation '%s' is not supported",
				       name);
		struct act *a = &r->act[i / count][i % count];
		*a = (struct act){ &activations[k], activations[k].alpha, activations[k].beta };
		if (a->fn->pars > 0 && alpha && ia < nalpha)
			a->alpha = alpha[ia++];
		if (a->fn->pars > 1 && beta && ib < nbeta)
			a->beta = beta[ib++];
	}
	return HB_OK;
}

static hb_status
expect(hb_graph *g, hb_node *n, int i, const char *what, hb_shape want)
{
	const hb_tensor *t = hb_in(n, i);
	char a[HB_SHAPE_TEXT], b[HB_SHAPE_TEXT];

	if (t && !hb_shape_eq(&t->shape, &want))
		return HB_BAD(g, n, "%s is %s; %s is taken", what, hb_shape_text(&t->shape, a),
			      hb_shape_text(&want, b));
	return HB_OK;
}

static hb_status
shape_rnn(hb_graph *g, hb_node *n, enum kind kind)
{
	const hb_shape *x = &n->in[0]->shape, *w = &n->in[1]->shape, *rw = &n->in[2]->shape;
	const char *way = hb_attr_s(n, "direction", "forward");
	struct rnn *r = HB_AUX(g, n, struct rnn);

	if (!r)
		return hb_nomem(g->cx, n->name);
	if (x->rank != 3 || w->rank != 3 || rw->rank != 3)
		return HB_BAD(g, n, "X, W and R have ranks %d, %d and %d; rank 3 is taken", x->rank, w->rank, rw->rank);
	r->kind = kind;
	r->batch_first = hb_attr_i(n, "layout", 0) != 0;
	r->steps = x->dim[r->batch_first];
	r->batch = x->dim[!r->batch_first];
	r->input = x->dim[2];
	r->hidden = hb_attr_i(n, "hidden_size", rw->dim[2]);
	r->clip = hb_attr_f(n, "clip", 0);
	r->after_reset = hb_attr_i(n, "linear_before_reset", 0) != 0;
	r->input_forget = hb_attr_i(n, "input_forget", 0) != 0;
	r->dirs = strcmp(way, "bidirectional") ? 1 : 2;
	r->reverse[0] = !strcmp(way, "reverse");
	r->reverse[1] = true;
	if (r->dirs == 1 && !r->reverse[0] && strcmp(way, "forward") && strcmp(way, "foward"))
		return HB_BAD(g, n, "direction is '%s'; forward, reverse or bidirectional is taken", way);
	if (r->hidden != rw->dim[2] || r->hidden < 1)
		return HB_BAD(g, n, "hidden_size is %lld and R has %lld", (long long)r->hidden, (long long)rw->dim[2]);

	int64_t d = r->dirs, h = r->hidden, gates = gate_count[kind] * h;
	HB_TRY(expect(g, n, 1, "W", (hb_shape){ 3, { d, gates, r->input } }));
	HB_TRY(expect(g, n, 2, "R", (hb_shape){ 3, { d, gates, h } }));
	HB_TRY(expect(g, n, 3, "B", (hb_shape){ 2, { d, 2 * gates } }));
	HB_TRY(expect(g, n, 4, "sequence_lens", (hb_shape){ 1, { r->batch } }));
	hb_shape state = r->batch_first ? (hb_shape){ 3, { r->batch, d, h } } : (hb_shape){ 3, { d, r->batch, h } };
	HB_TRY(expect(g, n, 5, "initial_h", state));
	HB_TRY(expect(g, n, 6, "initial_c", state));
	HB_TRY(expect(g, n, 7, "P", (hb_shape){ 2, { d, 3 * h } }));
	HB_TRY(read_activations(g, n, r));

	hb_shape y = r->batch_first ? (hb_shape){ 4, { r->batch, r->steps, d, h } }
				    : (hb_shape){ 4, { r->steps, d, r->batch, h } };
	HB_TRY(hb_set_out(g, n, 0, HB_F32, &y));
	HB_TRY(hb_set_out(g, n, 1, HB_F32, &state));
	return hb_set_out(g, n, 2, HB_F32, &state);
}

/* ---- run ---- */

struct rnn_call {
	const hb_call *c;
	const struct rnn *r;
	int dir;
	const float *x, *w, *rec, *wb, *rb, *peep;	/* of this direction */
	float *xw;			/* [steps * batch][gates] */
	float *hr;			/* [gates] of the step */
	const float *h;			/* state that the step reads */
	float *room;			/* [hidden] */
};

static void
input_rows(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct rnn_call *k = arg;
	int64_t gates = gate_count[k->r->kind] * k->r->hidden;

	(void)worker;
	for (int64_t i = begin; i < end; i++)
		hb_dots(k->c->cx->isa, k->x + i * k->r->input, k->w, k->r->input, k->r->input, gates, k->wb,
			k->xw + i * gates);
}

static void
state_rows(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct rnn_call *k = arg;
	int64_t h = k->r->hidden;

	(void)worker;
	hb_dots(k->c->cx->isa, k->h, k->rec + begin * h, h, h, end - begin, k->rb ? k->rb + begin : NULL,
		k->hr + begin);
}

/* hr[from..to) = h R^T + Rb */
static void
recur(struct rnn_call *k, const float *h, int64_t from, int64_t to)
{
	struct rnn_call part = *k;

	part.h = h;
	part.rec += from * k->r->hidden;
	part.hr += from;
	part.rb = k->rb ? k->rb + from : NULL;
	if ((to - from) * k->r->hidden < 1 << 17)
		state_rows(&part, 0, to - from, 0);
	else
		hb_parallel(k->c->cx, to - from, 64, state_rows, &part);
}

static void
activate(const struct rnn_call *k, int which, float *x, int64_t n)
{
	const struct act *a = &k->r->act[k->dir][which];
	float clip = k->r->clip;

	for (int64_t i = 0; clip > 0 && i < n; i++)
		x[i] = x[i] < -clip ? -clip : x[i] > clip ? clip : x[i];
	a->fn->fn[k->c->cx->isa](x, n, a->alpha, a->beta);
}

static void
step_rnn(struct rnn_call *k, float *gate, float *h)
{
	int64_t n = k->r->hidden;

	recur(k, h, 0, n);
	for (int64_t i = 0; i < n; i++)
		h[i] = gate[i] + k->hr[i];
	activate(k, 0, h, n);
}

/* z, r, h */
static void
step_gru(struct rnn_call *k, float *gate, float *h)
{
	int64_t n = k->r->hidden;
	float *z = gate, *r = gate + n, *c = gate + 2 * n;

	recur(k, h, 0, 2 * n);
	for (int64_t i = 0; i < 2 * n; i++)
		gate[i] += k->hr[i];
	activate(k, 0, gate, 2 * n);
	if (k->r->after_reset) {
		recur(k, h, 2 * n, 3 * n);
		for (int64_t i = 0; i < n; i++)
			c[i] += r[i] * k->hr[2 * n + i];
	} else {
		for (int64_t i = 0; i < n; i++)
			k->room[i] = r[i] * h[i];
		recur(k, k->room, 2 * n, 3 * n);
		for (int64_t i = 0; i < n; i++)
			c[i] += k->hr[2 * n + i];
	}
	activate(k, 1, c, n);
	for (int64_t i = 0; i < n; i++)
		h[i] = (1.0f - z[i]) * c[i] + z[i] * h[i];
}

/* i, o, f, c */
static void
step_lstm(struct rnn_call *k, float *gate, float *h, float *cell)
{
	int64_t n = k->r->hidden;
	float *in = gate, *out = gate + n, *forget = gate + 2 * n, *c = gate + 3 * n;
	const float *p = k->peep;

	recur(k, h, 0, 4 * n);
	for (int64_t i = 0; i < 4 * n; i++)
		gate[i] += k->hr[i];
	for (int64_t i = 0; p && i < n; i++) {
		in[i] += p[i] * cell[i];
		forget[i] += p[2 * n + i] * cell[i];
	}
	activate(k, 0, in, n);
	if (k->r->input_forget)
		for (int64_t i = 0; i < n; i++)
			forget[i] = 1.0f - in[i];
	else
		activate(k, 0, forget, n);
	activate(k, 1, c, n);
	for (int64_t i = 0; i < n; i++) {
		cell[i] = forget[i] * cell[i] + in[i] * c[i];
		out[i] += p ? p[n + i] * cell[i] : 0.0f;
		h[i] = cell[i];
	}
	activate(k, 0, out, n);
	activate(k, 2, h, n);
	for (int64_t i = 0; i < n; i++)
		h[i] *= out[i];
}

static int64_t
room(int64_t count)
{
	return hb_round_up(count, 16);
}

static size_t
scratch_rnn(const hb_node *n, int jobs)
{
	const struct rnn *r = n->aux;
	int64_t gates = gate_count[r->kind] * r->hidden;

	(void)jobs;
	return (size_t)(room(r->steps * r->batch * gates) + room(2 * gates) + 4 * room(r->hidden)) * sizeof(float);
}

static const float *
part_of(const hb_val *v, int dir, int64_t each)
{
	return v ? (const float *)v->data + dir * each : NULL;
}

static void
copy_state(float *to, const hb_val *from, int64_t at, int64_t n)
{
	if (from)
		memcpy(to, (const float *)from->data + at, sizeof(float) * (size_t)n);
	else
		memset(to, 0, sizeof(float) * (size_t)n);
}

static void
run_direction(const hb_call *c, const struct rnn *r, int dir)
{
	int64_t n = r->hidden, gates = gate_count[r->kind] * n;
	const hb_val *lens = hb_call_in(c, 4), *h0 = hb_call_in(c, 5), *c0 = hb_call_in(c, 6);
	const hb_val *y = c->out[0], *yh = c->n->nout > 1 ? c->out[1] : NULL, *yc = c->n->nout > 2 ? c->out[2] : NULL;
	float *at = c->scratch;
	struct rnn_call k = { .c = c, .r = r, .dir = dir, .x = c->in[0]->data, .xw = at };

	k.w = part_of(c->in[1], dir, gates * r->input);
	k.rec = part_of(c->in[2], dir, gates * n);
	k.wb = part_of(hb_call_in(c, 3), dir, 2 * gates);
	k.rb = k.wb ? k.wb + gates : NULL;
	k.peep = part_of(hb_call_in(c, 7), dir, 3 * n);
	k.hr = at + room(r->steps * r->batch * gates);
	k.room = k.hr + room(2 * gates);
	float *h = k.room + room(n), *cell = h + room(n);

	int64_t rows = r->steps * r->batch;
	if (rows)
		hb_parallel(c->cx, rows, HB_MAX(1, 65536 / HB_MAX(1, gates * r->input)), input_rows, &k);
	for (int64_t b = 0; b < r->batch; b++) {
		int64_t len = lens ? HB_MAX(0, HB_MIN(hb_val_i(lens, b), r->steps)) : r->steps;
		int64_t state = (r->batch_first ? b * r->dirs + dir : dir * r->batch + b) * n;
		copy_state(h, h0, state, n);
		copy_state(cell, c0, state, n);
		for (int64_t s = 0; s < r->steps; s++) {
			bool live = s < len;
			int64_t t = live && r->reverse[dir] ? len - 1 - s : s;
			float *gate = k.xw + (r->batch_first ? b * r->steps + t : t * r->batch + b) * gates;
			int64_t to = (r->batch_first ? (b * r->steps + t) * r->dirs + dir
						     : (t * r->dirs + dir) * r->batch + b) *
				     n;
			if (live && r->kind == LSTM)
				step_lstm(&k, gate, h, cell);
			else if (live && r->kind == GRU)
				step_gru(&k, gate, h);
			else if (live)
				step_rnn(&k, gate, h);
			if (!y)
				continue;
			if (live)
				memcpy((float *)y->data + to, h, sizeof(float) * (size_t)n);
			else
				memset((float *)y->data + to, 0, sizeof(float) * (size_t)n);
		}
		if (yh)
			memcpy((float *)yh->data + state, h, sizeof(float) * (size_t)n);
		if (yc)
			memcpy((float *)yc->data + state, cell, sizeof(float) * (size_t)n);
	}
}

static void
run_rnn(const hb_call *c)
{
	const struct rnn *r = c->n->aux;

	for (int dir = 0; dir < r->dirs; dir++)
		run_direction(c, r, dir);
}

static hb_status
shape_plain(hb_graph *g, hb_node *n)
{
	return shape_rnn(g, n, RNN);
}

static hb_status
shape_gru(hb_graph *g, hb_node *n)
{
	return shape_rnn(g, n, GRU);
}

static hb_status
shape_lstm(hb_graph *g, hb_node *n)
{
	return shape_rnn(g, n, LSTM);
}

static const hb_attr_row rnn_rows[] = {
	{ "activation_alpha", HB_ATTR_FLOATS, false, 0, 0 }, { "activation_beta", HB_ATTR_FLOATS, false, 0, 0 },
	{ "activations", HB_ATTR_STRINGS, false, 0, 0 }, { "clip", HB_ATTR_FLOAT, false, 0, 0 },
	{ "direction", HB_ATTR_STRING, false, 0, 0 }, { "hidden_size", HB_ATTR_INT, false, 0, 0 },
	{ "layout", HB_ATTR_INT, false, 14, 0 }, { "output_sequence", HB_ATTR_INT, false, 1, 6 },
	{ "linear_before_reset", HB_ATTR_INT, false, 0, 0 }, { "input_forget", HB_ATTR_INT, false, 0, 0 }, { 0 } };

#define RECURRENT(id, onnx, inputs, outputs, shape_, ...)                                       \
	const hb_op hb_op_##id = {                                                              \
		.name = onnx, .since = 1, .min_in = 3, .max_in = inputs, .min_out = 0, .max_out = outputs, \
		.attrs = rnn_rows, .types = HB_BIT(HB_F32), .in_types = { 0, 0, 0, 0, HB_BIT(HB_I32) }, \
		.shape = shape_, .scratch = scratch_rnn, .run = run_rnn, __VA_ARGS__            \
	};

RECURRENT(rnn, "RNN", 6, 2, shape_plain, .role = HB_ROLE_NONE)
RECURRENT(gru, "GRU", 6, 2, shape_gru, .role = HB_ROLE_NONE)
RECURRENT(lstm, "LSTM", 8, 3, shape_lstm, .role = HB_ROLE_OWN, .convert = hb_to_fx_lstm, .floats = hb_floats_lstm)
