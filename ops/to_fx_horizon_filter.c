/* to_fx_horizon_filter.c: filter: the places that reach the threshold by TopK of a mask, which keeps their order; what
 * stands there by Pick. */
#include "ops/horizon.h"
#include "ops/to_fx.h"

#include <math.h>

typedef struct filter {
	hb_convert *cv;
	hb_node *n;
	int64_t images, places;
	hb_tensor *index;		/* int32 [N,P]: the places kept, then the others */
	hb_tensor *valid;		/* bool [N,P,1]: which of them are kept */
} filter;

/* A node of one fixed-point operator; its attributes and hb_fx_done follow. NULL: reported. */
static hb_node *
node(const filter *f, const char *op, const char *fn, hb_tensor *out, int nin, hb_tensor *a, hb_tensor *b)
{
	hb_node *k = out ? hb_fx_node(f->cv, f->n, op, out, nin, (hb_tensor *[]){ a, b }) : NULL;

	return k && (!fn || hb_attr_set_s(f->cv->to, k, "fn", fn)) ? k : NULL;
}

static hb_tensor *
temp(const filter *f, const hb_tensor *like, int rank, int64_t rows, int64_t cols)
{
	hb_shape s = { rank, { f->images, rows, cols } };

	return hb_fx_temp(f->cv, f->n, "kept", like->dtype, like->q.scale, &s);
}

/* The channels of each place: [N,C,H,W] as [N,P,C]. NULL: reported. */
static hb_tensor *
by_place(const filter *f, hb_tensor *x)
{
	const int64_t *d = x->shape.dim;
	hb_shape turned = { 4, { d[0], d[2], d[3], d[1] } };
	hb_tensor *t = hb_fx_temp(f->cv, f->n, "turned", x->dtype, x->q.scale, &turned), *to = t ? temp(f, x, 3, f->places, d[1]) : NULL;
	hb_node *k = to ? node(f, "Transpose", NULL, t, 1, x, NULL) : NULL;

	if (!k || !hb_attr_set_ints(f->cv->to, k, "perm", (const int64_t[]){ 0, 2, 3, 1 }, 4) || hb_fx_done(f->cv, k) != HB_OK ||
	    hb_fx_reshape(f->cv, f->n, t, to) != HB_OK)
		return NULL;
	return to;
}

/* out [N,P,C]: x [N or 1,P,C] in the order of the index, `none` where no place is kept. */
static hb_status
keep(const filter *f, hb_tensor *x, int32_t none, hb_tensor *out)
{
	hb_tensor *picked = temp(f, x, 3, f->places, x->shape.dim[2]);
	hb_node *k = node(f, "Pick", NULL, picked, 2, x, f->index);

	if (!k)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(f->cv, k));
	k = node(f, "Ew", "select", out, 2, f->valid, picked);
	if (!k || !hb_attr_set_i(f->cv->to, k, "value", none))
		return HB_ERR_NOMEM;
	return hb_fx_done(f->cv, k);
}

/* The same, without its last dimension. */
static hb_status
keep_row(const filter *f, hb_tensor *x, int32_t none, hb_tensor *out)
{
	hb_tensor *t = temp(f, x, 3, f->places, 1);

	if (!t)
		return HB_ERR_NOMEM;
	HB_TRY(keep(f, x, none, t));
	return hb_fx_reshape(f->cv, f->n, t, out);
}

/* The least integer whose float32 value reaches the threshold. */
static int32_t
level_of(float threshold, float scale, hb_dtype dt)
{
	double near = floor((double)threshold / (double)scale);
	int32_t q = (int32_t)fmin(fmax(near, hb_qmin(dt) - 2), hb_qmax(dt) + 2) - 2;

	while (q <= hb_qmax(dt) && !((float)q * scale >= threshold))
		q++;
	return q;
}

/* Channels first..last of x in one: their greatest, or its place. */
static hb_tensor *
best(const filter *f, hb_tensor *x, const char *fn, bool index)
{
	hb_shape one = { 4, { x->shape.dim[0], 1, x->shape.dim[2], x->shape.dim[3] } };
	hb_tensor *t = hb_fx_temp(f->cv, f->n, "best", index ? HB_I32 : x->dtype, index ? 1 : x->q.scale, &one), *to = t ? temp(f, t, 3, f->places, 1) : NULL;
	hb_node *k = to ? node(f, "Reduce", fn, t, 1, x, NULL) : NULL;

	if (!k || !hb_attr_set_ints(f->cv->to, k, "axes", (const int64_t[]){ 1 }, 1) || hb_fx_done(f->cv, k) != HB_OK || hb_fx_reshape(f->cv, f->n, t, to) != HB_OK)
		return NULL;
	return to;
}

static hb_tensor *
compared_channels(const filter *f, hb_tensor *x)
{
	const hb_filter *k = f->n->aux;
	hb_shape s = x->shape;

	s.dim[1] = k->last - k->first + 1;
	if (s.dim[1] == x->shape.dim[1])
		return x;
	hb_tensor *part = hb_fx_temp(f->cv, f->n, "compared", x->dtype, x->q.scale, &s);
	hb_node *cut = node(f, "Slice", NULL, part, 1, x, NULL);
	if (!cut || !hb_attr_set_ints(f->cv->to, cut, "starts", (const int64_t[]){ 0, k->first, 0, 0 }, 4) ||
	    !hb_attr_set_ints(f->cv->to, cut, "extents", s.dim, 4) || hb_fx_done(f->cv, cut) != HB_OK)
		return NULL;
	return part;
}

/* mask bool [N,P], index, valid. */
static hb_status
order(filter *f, hb_tensor *value, hb_tensor **mask)
{
	const hb_filter *a = f->n->aux;
	int32_t below = level_of(a->threshold, value->q.scale, value->dtype) - 1;
	hb_tensor *limit = hb_fx_const(f->cv, f->n, "below", HB_I32, 3, (int64_t[]){ 1, 1, 1 }, &below);
	hb_q whole = { .dtype = HB_I32, .nscales = 1, .scale = 1, .observer = "derived" };
	hb_shape row = { 2, { f->images, f->places } }, column = { 3, { f->images, f->places, 1 } };
	hb_tensor *reached = limit ? hb_fx_temp(f->cv, f->n, "reached", HB_BOOL, 1, &column) : NULL;
	hb_node *k = node(f, "Ew", "lt", reached, 2, limit, value);

	if (!k)
		return HB_ERR_NOMEM;
	limit->q = whole;
	HB_TRY(hb_fx_done(f->cv, k));
	*mask = hb_fx_temp(f->cv, f->n, "mask", HB_BOOL, 1, &row);
	f->index = *mask ? hb_fx_temp(f->cv, f->n, "index", HB_I32, 1, &row) : NULL;
	f->valid = f->index ? hb_fx_temp(f->cv, f->n, "valid", HB_BOOL, 1, &column) : NULL;
	if (!f->valid)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_reshape(f->cv, f->n, reached, *mask));
	k = node(f, "TopK", NULL, f->index, 1, *mask, NULL);
	if (!k || !hb_attr_set_i(f->cv->to, k, "axis", 1) || !hb_attr_set_i(f->cv->to, k, "k", f->places) || !hb_attr_set_i(f->cv->to, k, "places", 1))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(f->cv, k));
	k = node(f, "Pick", NULL, f->valid, 2, reached, f->index);
	return k ? hb_fx_done(f->cv, k) : HB_ERR_NOMEM;
}

/* Row and column of every place. */
static hb_tensor *
raster(const filter *f, int64_t width)
{
	hb_tensor *t = hb_fx_const(f->cv, f->n, "raster", HB_I32, 3, (int64_t[]){ 1, f->places, 2 }, NULL);

	for (int64_t p = 0; t && p < f->places; p++) {
		((int32_t *)(uintptr_t)t->data)[2 * p] = (int32_t)(p / width);
		((int32_t *)(uintptr_t)t->data)[2 * p + 1] = (int32_t)(p % width);
	}
	if (t)
		t->q = (hb_q){ .dtype = HB_I32, .nscales = 1, .scale = 1, .observer = "derived" };
	return t;
}

/* The channel of the best value, counted from input 0's first. */
static hb_tensor *
channel(const filter *f, hb_tensor *compared)
{
	const hb_filter *a = f->n->aux;
	hb_tensor *at = best(f, compared, "argmax", true), *to = at && a->first ? temp(f, at, 3, f->places, 1) : at;
	hb_node *k = to && to != at ? node(f, "Ew", "add", to, 1, at, NULL) : NULL;

	if (!to || to == at)
		return to;
	if (!k || !hb_attr_set_i(f->cv->to, k, "ma", 2) || !hb_attr_set_i(f->cv->to, k, "mb", 2) || !hb_attr_set_i(f->cv->to, k, "value", a->first) ||
	    hb_fx_done(f->cv, k) != HB_OK)
		return NULL;
	return to;
}

/* Whether somebody wants output i. */
static bool
wanted(const hb_node *n, int i)
{
	const hb_tensor *t = hb_out(n, i);

	return t && (t->is_output || t->nuses);
}

hb_status
hb_to_fx_filter(hb_convert *cv, hb_node *n)
{
	const hb_filter *a = n->aux;
	filter f = { .cv = cv, .n = n, .images = n->in[0]->shape.dim[0], .places = a->places };
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *compared = x ? compared_channels(&f, x) : NULL, *value = compared ? best(&f, compared, "max", false) : NULL;
	hb_tensor *mask, *from, *out;

	if (!value)
		return HB_ERR_NOMEM;
	HB_TRY(order(&f, value, &mask));
	for (int i = 0; i < n->nout; i++) {
		bool data = i >= 3 && i < 3 + n->nin;
		if (!wanted(n, i))
			continue;
		out = hb_convert_out(cv, n->out[i]);
		if (!out)
			return HB_ERR_NOMEM;
		if (i == n->nout - 1) {		/* how many */
			hb_node *k = node(&f, "Reduce", "sum", out, 1, mask, NULL);
			if (!k || !hb_attr_set_ints(cv->to, k, "axes", (const int64_t[]){ 1 }, 1) || !hb_attr_set_i(cv->to, k, "keepdims", 0))
				return HB_ERR_NOMEM;
			HB_TRY(hb_fx_done(cv, k));
			continue;
		}
		from = i == 0 ? value : i == 1 ? channel(&f, compared) : i == 2 ? raster(&f, n->in[0]->shape.dim[3]) : hb_convert_in(cv, n, n->in[i - 3]);
		if (data && from)
			from = by_place(&f, from);
		if (!from)
			return HB_ERR_NOMEM;
		HB_TRY(i < 2 ? keep_row(&f, from, i ? -1 : 0, out) : keep(&f, from, data ? 0 : -1, out));
	}
	return HB_OK;
}
