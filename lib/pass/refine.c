/* refine: takes a calibrated graph; leaves in it, a layer, the shift of its bias and, where asked, the integers of its
 * weights that bring its output nearest to the float model's, given that all layers before it are as they have become.
 * The graph runs in float and quantized, side by side, over the first samples. */
#include "lib/pass/refine.h"

#include <math.h>

enum { SAMPLES_FOR_WEIGHTS = 32 };	/* enough for what inputs have in common; HB_REFINE_SAMPLES are for means */
static const uint64_t VALUES = (uint64_t)1 << 30;	/* bytes for their values, float and quantized; fewer samples where more */

static bool
layer_of(hb_graph *g, hb_node *n, hb_layer *l)
{
	hb_tensor *w = hb_in(n, 1);
	bool conv = !strcmp(n->op_type, "Conv"), transposed = !strcmp(n->op_type, "ConvTranspose");
	bool gemm = !strcmp(n->op_type, "Gemm"), matmul = !strcmp(n->op_type, "MatMul");

	if (*n->domain || !(conv || transposed || gemm || matmul) || n->on != HB_ON_BPU || !w->is_const || w->dtype != HB_F32)
		return false;
	if (w->q.from != HB_Q_OPEN || n->in[0]->is_const || n->in[0]->q.nscales < 1 || !hb_tensor_elems(w) || !hb_tensor_elems(n->out[0]))
		return false;
	if (matmul && w->shape.rank != 2)
		return false;
	*l = (hb_layer){ .n = n, .at = hb_weights_of(n, hb_tensor_data(g, w)), .elems = hb_tensor_elems(w), .axis = 1 };
	if (matmul)
		l->axis = n->out[0]->shape.rank - 1;
	l->channels = l->at.channels;
	return l->at.w && l->at.gain != 0;
}

/* Scales as conversion chooses them, and weights rounded to them. */
static void
nearest(hb_graph *g, const hb_layer *l, const hb_refine_options *o, float *scales, int8_t *q)
{
	const hb_weights *at = &l->at;

	hb_weight_scales(g->cx, at, scales);
	for (int64_t c = 0; c < l->channels; c++)
		for (int64_t k = 0; k < at->outer * at->inner; k++) {
			int64_t e = hb_weights_at(at, c, k);

			q[e] = (int8_t)hb_quantize((float)(at->w[e] * at->gain), scales[c], HB_I8, o->round);
		}
}

/* ---- sums over a channel ---- */

typedef struct sum_job {
	const float *a, *b;
	float *to;			/* NULL: only sum */
	double *sum;			/* of a - b, of each channel */
	const double *shift;		/* added to `to` */
	int64_t outer, channels, inner;
} sum_job;

static void
sum_channels(void *arg, int64_t begin, int64_t end, int worker)
{
	const sum_job *j = arg;
	(void)worker;
	for (int64_t c = begin; c < end; c++)
		for (int64_t o = 0; o < j->outer; o++) {
			int64_t at = (o * j->channels + c) * j->inner;
			double s = 0;
			for (int64_t i = 0; i < j->inner; i++)
				s += (double)j->a[at + i] - j->b[at + i];
			j->sum[c] += s;
		}
}

static void
shift_channels(void *arg, int64_t begin, int64_t end, int worker)
{
	const sum_job *j = arg;
	(void)worker;
	for (int64_t c = begin; c < end; c++)
		for (int64_t o = 0; o < j->outer; o++) {
			float *p = j->to + (o * j->channels + c) * j->inner;
			for (int64_t i = 0; i < j->inner; i++)
				p[i] = (float)(p[i] + j->shift[c]);
		}
}

static sum_job
job_of(const hb_layer *l)
{
	const hb_shape *s = &l->n->out[0]->shape;

	return (sum_job){ .outer = hb_shape_span(s, 0, l->axis), .channels = l->channels, .inner = hb_shape_span(s, l->axis + 1, s->rank) };
}

static double
mean_of(const double *d, int64_t step, int n)
{
	double sum = 0;

	for (int k = 0; k < n; k++)
		sum += d[k * step];
	return isfinite(sum) ? sum / n : 0;
}

/* The mean over samples of d, shrunk by what its spread over them leaves uncertain: nothing remains of a mean below
 * twice its standard error. */
static double
believed(const double *d, int64_t step, int n)
{
	double mean = mean_of(d, step, n), spread = 0;

	if (n < 2 || !(mean != 0))
		return mean;
	for (int k = 0; k < n; k++)
		spread += (d[k * step] - mean) * (d[k * step] - mean);
	spread /= (double)n * (n - 1);
	return mean * fmax(0, 1 - 4 * spread / (mean * mean));
}

/* Each channel's mean output in lanes [a, a + lanes) less that in lanes [b, b + lanes): of each sample. */
static void
differences(hb_graph *g, hb_walk *w, int lanes, int a, int b, const hb_layer *l, double *to)
{
	sum_job j = job_of(l);

	for (int k = 0; k < lanes; k++) {
		j.a = hb_walk_val(w, l->n->out[0], a + k)->data;
		j.b = hb_walk_val(w, l->n->out[0], b + k)->data;
		j.sum = to + k * l->channels;
		hb_parallel(g->cx, j.channels, HB_MAX(1, 65536 / HB_MAX(j.outer * j.inner, 1)), sum_channels, &j);
		for (int64_t c = 0; c < l->channels; c++)
			j.sum[c] /= (double)(j.outer * j.inner);
	}
}

/* What the bias makes up for, a channel each: what the layer itself takes off its mean output, and what reaches it of
 * the layers before. The former hardly depends on the sample, the latter does. */
static hb_status
correct_bias(hb_graph *g, hb_walk *w, int lanes, const hb_layer *l)
{
	hb_tensor *t = l->n->out[0];
	double *shift = HB_NEW_N(g->arena, double, l->channels);
	hb_arena *a = hb_arena_new(g->cx);
	double *own = a ? HB_NEW_N(a, double, l->channels * lanes) : NULL, *before = a ? HB_NEW_N(a, double, l->channels * lanes) : NULL;
	sum_job j = job_of(l);

	if (!shift || !own || !before) {
		hb_arena_free(a);
		return hb_nomem(g->cx, t->name);
	}
	differences(g, w, lanes, 0, 2 * lanes, l, own);
	differences(g, w, lanes, 2 * lanes, lanes, l, before);
	for (int64_t c = 0; c < l->channels; c++)
		shift[c] = mean_of(own + c, l->channels, lanes) + believed(before + c, l->channels, lanes);
	hb_arena_free(a);
	for (int k = 0; k < lanes; k++) {
		j.to = hb_walk_val(w, t, lanes + k)->data;
		j.shift = shift;
		hb_parallel(g->cx, j.channels, HB_MAX(1, 65536 / HB_MAX(j.outer * j.inner, 1)), shift_channels, &j);
	}
	t->shift = shift;
	return HB_OK;
}

/* ---- a layer ---- */

/* Runs l in the quantized lanes with the integers q at `scales` for its weights. */
static hb_status
run_quantized(hb_walk *w, int lanes, const hb_layer *l, const float *scales, const int8_t *q, float *fake)
{
	hb_node as = *l->n;
	hb_tensor weights = *l->n->in[1];
	hb_tensor *in[3] = { as.in[0], &weights, hb_in(&as, 2) };

	for (int64_t c = 0; c < l->channels; c++)
		for (int64_t k = 0; k < l->at.outer * l->at.inner; k++) {
			int64_t e = hb_weights_at(&l->at, c, k);

			fake[e] = (float)(q[e] * (double)scales[c] / l->at.gain);
		}
	weights.data = fake;
	weights.raw = NULL;
	weights.is_splat = false;
	as.in = in;
	return hb_walk_node(w, l->n, &as, lanes, 3 * lanes);
}

static hb_status
refine_layer(hb_graph *g, hb_walk *w, int lanes, hb_layer *l, const hb_refine_options *o)
{
	hb_tensor *wt = l->n->in[1];
	float *scales = HB_NEW_N(g->arena, float, l->channels);
	int8_t *q = HB_NEW_N(g->arena, int8_t, l->elems);
	float *fake = hb_big_alloc(g->cx, (size_t)l->elems * sizeof(float));
	bool rounded = false;
	hb_status st = scales && q && fake ? HB_OK : hb_nomem(g->cx, wt->name);

	if (st == HB_OK)
		nearest(g, l, o, scales, q);
	if (st == HB_OK && o->round_weights && wt->nuses == 1)
		st = hb_round_weights(w, lanes, l, scales, q, &rounded);
	if (st == HB_OK && o->round_weights && !rounded)	/* it may have changed some */
		nearest(g, l, o, scales, q);
	if (st == HB_OK)
		st = run_quantized(w, lanes, l, scales, q, fake);
	if (fake)
		hb_big_free(g->cx, fake, (size_t)l->elems * sizeof(float));
	if (st == HB_OK && rounded) {
		wt->rounded = q;
		wt->rounded_scales = scales;
	}
	/* a product without a bias behind it has none to correct */
	bool has_bias = strcmp(l->n->op_type, "MatMul") || (l->n->group && l->n->group->bias);
	return st == HB_OK && has_bias && !o->no_bias_correction ? correct_bias(g, w, lanes, l) : st;
}

/* t's values on the grid of its scale: the quantized lanes', and copies of the float lanes' where a layer reads them. */
static hb_status
fake_quantize(hb_graph *g, hb_walk *w, int lanes, const hb_tensor *t, const hb_refine_options *o)
{
	bool read = false;
	hb_layer l;

	if (!t || t->dtype != HB_F32 || t->q.nscales < 1 || (t->q.dtype != HB_I8 && t->q.dtype != HB_I16))
		return HB_OK;
	for (size_t i = 0; i < t->nuses && !read; i++)
		read = t->uses[i].index == 0 && layer_of(g, t->uses[i].node, &l);
	for (int k = 0; k < lanes && read; k++)
		HB_TRY(hb_walk_copy(w, t, k, 2 * lanes + k));
	for (int k = lanes; k < (read ? 3 : 2) * lanes; k++) {
		hb_val *v = hb_walk_val(w, t, k);

		hb_fake_quant(g->cx, v->data, &t->q, &v->shape, o->round, v->data);
	}
	return HB_OK;
}

static double
least_cosine(hb_graph *g, hb_walk *w, int lanes)
{
	double least = 1;

	for (size_t i = 0; i < g->noutputs; i++) {
		hb_tensor *t = g->outputs[i];
		hb_measure e = { 0 };

		for (int k = 0; k < lanes && t->dtype == HB_F32 && !t->is_const; k++)
			hb_measure_add(&e, hb_walk_val(w, t, k)->data, hb_walk_val(w, t, lanes + k)->data, hb_tensor_elems(t));
		least = fmin(least, e.n ? hb_measure_cosine(&e) : 1);
	}
	return least;
}

static hb_status
refine_all(hb_graph *g, hb_walk *w, int limit, const hb_refine_options *o, double *cosine)
{
	int lanes, done = 0;

	HB_TRY(hb_walk_samples(w, o, limit, 1, &lanes));
	/* the quantized lanes stand right behind the float ones in use */
	for (int k = 0; k < lanes; k++)
		HB_TRY(hb_walk_copy_inputs(w, k, lanes + k));
	for (size_t i = 0; i < g->ninputs; i++)
		HB_TRY(fake_quantize(g, w, lanes, g->inputs[i], o));
	for (hb_node *n = g->first; n; n = n->next) {
		hb_layer l;
		bool inner = n->group && n->group->last != n;

		HB_TRY(hb_walk_node(w, n, n, 0, 2 * lanes));
		if (layer_of(g, n, &l))
			HB_TRY(refine_layer(g, w, lanes, &l, o));
		for (int i = 0; i < n->nout && !inner; i++)
			HB_TRY(fake_quantize(g, w, lanes, n->out[i], o));
		hb_walk_done(w, n);
		hb_progress(g->cx, "refine", ++done, g->nnodes);
	}
	*cosine = least_cosine(g, w, lanes);
	return HB_OK;
}

hb_status
hb_pass_refine(hb_graph *g, const hb_refine_options *o, double *cosine)
{
	hb_walk *w;
	uint64_t fit = VALUES / 3 / HB_MAX(hb_walk_peak(g), 1);
	uint64_t want = o->round_weights ? SAMPLES_FOR_WEIGHTS : HB_REFINE_SAMPLES;
	int limit = (int)HB_MAX(HB_MIN(fit, want), 1);

	HB_TRY(hb_walk_new(g, 3 * limit, &w));
	hb_status st = refine_all(g, w, limit, o, cosine);
	hb_walk_free(w);
	return st;
}
