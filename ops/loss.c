/* loss.c: NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss. */
#include "ops/nd.h"

#include "lib/base/fmath.h"

#define FLOATS HB_BIT(HB_F32)
#define INDICES (HB_BIT(HB_I32) | HB_BIT(HB_I64))

enum reduction { NONE, SUM, MEAN };

struct loss {
	int64_t outer, classes, inner;
	enum reduction reduction;
	bool ignores;
	int64_t ignored;
	bool softmax;			/* the scores are no logarithms of probabilities yet */
};

static hb_status
shape_loss(hb_graph *g, hb_node *n)
{
	static const char *const names[] = { [NONE] = "none", [SUM] = "sum", [MEAN] = "mean" };
	const hb_shape *x = &n->in[0]->shape, *t = &n->in[1]->shape;
	const hb_tensor *w = hb_in(n, 2);
	const char *reduction = hb_attr_s(n, "reduction", "mean");
	struct loss *l = HB_AUX(g, n, struct loss);
	char text[HB_SHAPE_TEXT];

	if (!l)
		return hb_nomem(g->cx, n->name);
	bool fits = x->rank >= 2 && t->rank == x->rank - 1 && t->dim[0] == x->dim[0];
	for (int i = 2; fits && i < x->rank; i++)
		fits = t->dim[i - 1] == x->dim[i];
	if (!fits)
		return HB_BAD(g, n, "the classes %s do not go with the scores", hb_shape_text(t, text));
	if (w && (w->shape.rank != 1 || w->shape.dim[0] != x->dim[1]))
		return HB_BAD(g, n, "weight is %s; one for each of %lld classes is taken", hb_shape_text(&w->shape, text), (long long)x->dim[1]);
	int r = 0;
	while (r < (int)HB_LEN(names) && strcmp(names[r], reduction))
		r++;
	if (r == (int)HB_LEN(names))
		return HB_BAD(g, n, "reduction is '%s'; none, sum or mean is taken", reduction);
	l->reduction = (enum reduction)r;
	l->outer = x->dim[0];
	l->classes = x->dim[1];
	l->inner = hb_shape_span(x, 2, x->rank);
	l->ignores = hb_attr_find(n, "ignore_index") != NULL;
	l->ignored = hb_attr_i(n, "ignore_index", 0);
	l->softmax = !strcmp(n->op_type, "SoftmaxCrossEntropyLoss");
	HB_TRY(hb_set_out(g, n, 0, HB_F32, r == NONE ? t : &(hb_shape){ .rank = 0 }));
	return hb_out(n, 1) ? hb_set_out(g, n, 1, HB_F32, x) : HB_OK;
}

/* log(sum(exp(x))) over the classes at one place. */
static double
log_sum(const struct loss *l, const float *x)
{
	float most = -INFINITY;
	double sum = 0;

	for (int64_t c = 0; c < l->classes; c++)
		most = x[c * l->inner] > most ? x[c * l->inner] : most;
	for (int64_t c = 0; c < l->classes; c++)
		sum += hb_exp64((double)x[c * l->inner] - (double)most);
	return (double)most + hb_log64(sum);
}

static void
run_loss(const hb_call *c)
{
	const struct loss *l = c->n->aux;
	const hb_val *labels = c->in[1], *w = hb_call_in(c, 2);
	const float *x = c->in[0]->data;
	float *y = c->out[0]->data, *log_prob = c->n->nout > 1 && c->out[1] ? c->out[1]->data : NULL;
	double sum = 0, weights = 0;

	for (int64_t i = 0; i < l->outer * l->inner; i++) {
		int64_t at = i / l->inner * l->classes * l->inner + i % l->inner, class = hb_val_i(labels, i);
		double all = l->softmax ? log_sum(l, x + at) : 0;
		for (int64_t k = 0; log_prob && k < l->classes; k++)
			log_prob[at + k * l->inner] = (float)((double)x[at + k * l->inner] - all);
		bool counts = !(l->ignores && class == l->ignored) && class >= 0 && class < l->classes;
		double weight = !counts ? 0 : w ? (double)((const float *)w->data)[class] : 1;
		double loss = counts ? weight * (all - (double)x[at + class * l->inner]) : 0;
		if (l->reduction == NONE)
			y[i] = (float)loss;
		sum += loss;
		weights += weight;
	}
	if (l->reduction != NONE)
		y[0] = (float)(l->reduction == MEAN ? sum / weights : sum);
}

static const hb_attr_row loss_rows[] = { { "ignore_index", HB_ATTR_INT, false, 0, 0 }, { "reduction", HB_ATTR_STRING, false, 0, 0 }, { 0 } };

const hb_op hb_op_negative_log_likelihood_loss = {
	.name = "NegativeLogLikelihoodLoss", .since = 12, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1, .attrs = loss_rows,
	.in_types = { FLOATS, INDICES, FLOATS }, .shape = shape_loss, .run = run_loss,
};

const hb_op hb_op_softmax_cross_entropy_loss = {
	.name = "SoftmaxCrossEntropyLoss", .since = 12, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 2, .attrs = loss_rows,
	.in_types = { FLOATS, INDICES, FLOATS }, .shape = shape_loss, .run = run_loss,
};
