/* horizon_filter.c: filter: of each image the places whose best channel reaches a threshold, in raster order. */
#include "ops/horizon.h"

#include "ops/nd.h"
#include "ops/to_fx.h"

#define FLOATS HB_BIT(HB_F32)

enum { MAX_DATA = 16 };

static hb_status
shape_filter(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape;
	hb_filter *k = HB_AUX(g, n, hb_filter);
	size_t count;
	const int64_t *range = hb_attr_ints(n, "idx_range", &count);

	if (!k)
		return hb_nomem(g->cx, n->name);
	for (int i = 0; i < n->nin; i++) {
		const hb_shape *s = &n->in[i]->shape;
		if (s->rank != 4 || s->dim[0] != x->dim[0] || s->dim[2] != x->dim[2] || s->dim[3] != x->dim[3])
			return HB_BAD(g, n, "input %d has rank %d; all must have rank 4 and input 0's images, rows and columns", i, s->rank);
	}
	if (n->nout != n->nin + 4)
		return HB_BAD(g, n, "has %d outputs for %d inputs; value, index, place, a result of each input, and number are taken", n->nout, n->nin);
	if (x->dim[1] < 1)
		return HB_BAD(g, n, "input 0 has no channels");
	k->threshold = hb_attr_f(n, "threshold", 0);
	k->last = x->dim[1] - 1;
	if (range) {
		k->first = range[0];
		if (count != 2 || range[0] < 0 || range[1] < range[0] || range[1] >= x->dim[1])
			return HB_BAD(g, n, "idx_range must be a first and a last channel of the %lld", (long long)x->dim[1]);
		k->last = range[1];
	}
	k->places = x->dim[2] * x->dim[3];
	hb_shape s = { 3, { x->dim[0], k->places, 2 } };
	if (k->places > INT32_MAX)
		return HB_BAD(g, n, "has %lld places; 2^31 is taken", (long long)k->places);
	HB_TRY(hb_set_out(g, n, 2, HB_I64, &s));
	for (int i = 0; i < n->nin; i++) {
		s.dim[2] = n->in[i]->shape.dim[1];
		HB_TRY(hb_set_out(g, n, 3 + i, HB_F32, &s));
	}
	s.rank = 2;
	HB_TRY(hb_set_out(g, n, 0, HB_F32, &s));
	HB_TRY(hb_set_out(g, n, 1, HB_I64, &s));
	s.rank = 1;
	return hb_set_out(g, n, 3 + n->nin, HB_I64, &s);
}

/* Place p of image b into row `at` of the outputs. */
static void
put_place(const hb_call *c, const hb_filter *k, int64_t b, int64_t p, int64_t at, float value, int64_t channel)
{
	int64_t row = b * k->places + at, width = c->in[0]->shape.dim[3];
	int64_t *place = (int64_t *)c->out[2]->data + 2 * row;

	((float *)c->out[0]->data)[row] = value;
	((int64_t *)c->out[1]->data)[row] = channel;
	place[0] = p / width;
	place[1] = p % width;
	for (int i = 0; i < c->n->nin; i++) {
		int64_t channels = c->in[i]->shape.dim[1];
		for (int64_t ch = 0; ch < channels; ch++)
			((float *)c->out[3 + i]->data)[row * channels + ch] =
				((const float *)c->in[i]->data)[(b * channels + ch) * k->places + p];
	}
}

static void
run_filter(const hb_call *c)
{
	const hb_filter *k = c->n->aux;
	const hb_val *x = c->in[0];

	for (int i = 0; i < c->n->nout - 1; i++) {	/* rows without a place: 0, and -1 where integers are */
		const hb_val *y = c->out[i];
		memset(y->data, y->dtype == HB_I64 ? 0xff : 0, (size_t)hb_val_elems(y) * hb_dtype_size(y->dtype));
	}
	for (int64_t b = 0; b < x->shape.dim[0]; b++) {
		int64_t count = 0;
		for (int64_t p = 0; p < k->places; p++) {
			const float *v = (const float *)x->data + b * x->shape.dim[1] * k->places + p;
			int64_t best = k->first;
			for (int64_t ch = k->first + 1; ch <= k->last; ch++)
				best = v[ch * k->places] > v[best * k->places] ? ch : best;
			if (v[best * k->places] >= k->threshold)
				put_place(c, k, b, p, count++, v[best * k->places], best);
		}
		((int64_t *)c->out[c->n->nout - 1]->data)[b] = count;
	}
}

/* The best value has input 0's scale, each result its input's. */
static int
input_of(const hb_node *n, int out)
{
	return out >= 3 && out < 3 + n->nin ? out - 3 : 0;
}

static const char *
floats_filter(const hb_node *n)
{
	const hb_filter *k = n->aux;

	return k->places < 1 || k->places > 1 << 16 ? "other than 1 to 65536 places" : NULL;
}

static const hb_attr_row filter_rows[] = {
	{ "threshold", HB_ATTR_FLOAT, true, 0, 0 }, { "idx_range", HB_ATTR_INTS, false, 0, 0 }, { 0 } };

const hb_op hb_op_filter = {
	.name = "filter", .domain = "horizon", .since = 1, .min_in = 1, .max_in = MAX_DATA, .in_whole = true, .min_out = 5, .max_out = MAX_DATA + 4,
	.attrs = filter_rows, .types = FLOATS, .shape = shape_filter, .run = run_filter,
	.role = HB_ROLE_EACH, .passes = input_of, .convert = hb_to_fx_filter, .floats = floats_filter,
};
