/* to_fx_horizon.c: what reads at computed places: GridSample and the operators on regions. Places are integers with 16
 * fraction bits, computed by Ew; Sample reads there. Then horizon's colours, correlation and pillars. */
#include "ops/horizon.h"
#include "ops/roi.h"
#include "ops/to_fx.h"

#include <math.h>

#define ONE 65536.0			/* an element's distance */
#define TO_ONE (float)(1 / ONE)
enum { NEAREST, LINEAR };		/* Sample's mode */
enum { EDGE, ZERO, FAR };		/* Sample's outside */

/* ---- builders ---- */

/* Number `at` of the last dimension of x, as a tensor of shape s. NULL: reported. */
static hb_tensor *
component(hb_convert *cv, const hb_node *n, hb_tensor *x, int64_t at, const hb_shape *s)
{
	int64_t starts[HB_MAX_RANK] = { 0 };
	int last = x->shape.rank - 1;
	hb_shape part = x->shape;

	part.dim[last] = 1;
	starts[last] = at;
	hb_tensor *cut = hb_fx_temp(cv, n, "component", x->dtype, x->q.scale, &part);
	hb_tensor *to = hb_fx_temp(cv, n, "component", x->dtype, x->q.scale, s);
	hb_node *k = cut && to ? hb_fx_node(cv, n, "Slice", cut, 1, &x) : NULL;

	if (!k || !hb_attr_set_ints(cv->to, k, "starts", starts, (size_t)part.rank) ||
	    !hb_attr_set_ints(cv->to, k, "extents", part.dim, (size_t)part.rank) || hb_fx_done(cv, k) != HB_OK ||
	    hb_fx_reshape(cv, n, cut, to) != HB_OK)
		return NULL;
	return to;
}

/* out = a * gain_a + b * gain_b + offset, gains and offset in out's integers; b NULL: without, and offset only then. */
static hb_status
affine(hb_convert *cv, const hb_node *n, hb_tensor *a, double gain_a, hb_tensor *b, double gain_b, double offset, hb_tensor *out)
{
	hb_node *k = hb_fx_node(cv, n, "Ew", out, b ? 2 : 1, (hb_tensor *[]){ a, b });
	int e, shift;

	frexp(fmax(1, fmax(fabs(gain_a), fabs(gain_b))), &e);
	shift = 30 - e;
	if (shift < 1 || fabs(offset) > 0x1p30)
		return HB_FX_REFUSE(cv, n, "places reach %g times the input's integers, from %g on; they cannot be told in 32 bits",
				    fmax(fabs(gain_a), fabs(gain_b)), offset);
	if (!k || !hb_attr_set_s(cv->to, k, "fn", "add") || !hb_attr_set_i(cv->to, k, "ma", (int64_t)rint(ldexp(gain_a, shift))) ||
	    !hb_attr_set_i(cv->to, k, "mb", b ? (int64_t)rint(ldexp(gain_b, shift)) : (int64_t)1 << shift) ||
	    !hb_attr_set_i(cv->to, k, "shift", shift) || (!b && !hb_attr_set_i(cv->to, k, "value", (int64_t)rint(offset))))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, k);
}

static hb_status
sample(hb_convert *cv, const hb_node *n, hb_tensor *x, hb_tensor *rows, hb_tensor *cols, int mode, int outside, hb_tensor *out)
{
	hb_node *k = hb_fx_node(cv, n, "Sample", out, 3, (hb_tensor *[]){ x, rows, cols });

	if (!k || !hb_attr_set_i(cv->to, k, "mode", mode) || !hb_attr_set_i(cv->to, k, "outside", outside))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, k);
}

/* ---- GridSample ---- */

/* Places along a dimension of `extent` elements, from the grid's component `at`. */
static hb_status
grid_places(hb_convert *cv, const hb_node *n, hb_tensor *grid, int64_t at, int64_t extent, hb_tensor **out)
{
	const hb_shape *g = &grid->shape;
	hb_shape s = { 3, { g->dim[0], g->dim[1], g->dim[2] } };
	hb_tensor *x = component(cv, n, grid, at, &s);
	bool align = hb_attr_i(n, "align_corners", 0) != 0;

	*out = x ? hb_fx_temp(cv, n, "places", HB_I32, TO_ONE, &s) : NULL;
	if (!*out)
		return HB_ERR_NOMEM;
	/* ((g + 1) * extent - 1) / 2, and (g + 1) / 2 * (extent - 1) between the corners' centres */
	return affine(cv, n, x, (double)grid->q.scale * (double)(align ? extent - 1 : extent) / 2 * ONE, NULL, 0, (double)(extent - 1) / 2 * ONE,
		      *out);
}

hb_status
hb_to_fx_grid_sample(hb_convert *cv, hb_node *n)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *grid = x ? hb_convert_in(cv, n, n->in[1]) : NULL, *y, *rows, *cols;
	bool nearest = !strcmp(hb_attr_s(n, "mode", "linear"), "nearest"), edge = !strcmp(hb_attr_s(n, "padding_mode", "zeros"), "border");

	if (!grid)
		return HB_ERR_NOMEM;
	if (hb_floats_grid_sample(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_grid_sample(n));
	HB_TRY(grid_places(cv, n, grid, 1, x->shape.dim[2], &rows));
	HB_TRY(grid_places(cv, n, grid, 0, x->shape.dim[3], &cols));
	y = hb_fx_moved(cv, n, n->out[0], &x->q);
	if (!y)
		return HB_ERR_NOMEM;
	HB_TRY(sample(cv, n, x, rows, cols, nearest ? NEAREST : LINEAR, edge ? EDGE : ZERO, y));
	return hb_fx_settle(cv, n, y, n->out[0]);
}

/* ---- RoiAlign and its kin ---- */

/* The middles of `count` equal parts of 1, with 20 fraction bits. */
static hb_tensor *
middles(hb_convert *cv, const hb_node *n, int64_t count)
{
	hb_tensor *t = hb_fx_const(cv, n, "middles", HB_I32, 2, (int64_t[]){ 1, count }, NULL);

	for (int64_t i = 0; t && i < count; i++)
		((int32_t *)(uintptr_t)t->data)[i] = (int32_t)floor(((double)i + 0.5) / (double)count * 0x1p20 + 0.5);
	if (t)
		t->q = (hb_q){ .dtype = HB_I32, .nscales = 1, .scale = 0x1p-20f, .observer = "derived" };
	return t;
}

/* `count` places in each region between its edges lo and hi: in a row (s = [R,1,count]) or a column ([R,count,1]). */
static hb_status
region_places(hb_convert *cv, const hb_node *n, const hb_roi *r, int map, hb_tensor *boxes, int64_t lo, int64_t count, const hb_shape *s,
	      hb_tensor **out)
{
	hb_shape one = { 2, { s->dim[0], 1 } }, many = { 2, { s->dim[0], count } };
	hb_tensor *a = component(cv, n, boxes, lo, &one), *b = a ? component(cv, n, boxes, lo + 2, &one) : NULL;
	hb_tensor *first = b ? hb_fx_temp(cv, n, "edge", HB_I32, TO_ONE, &one) : NULL, *size = first ? hb_fx_temp(cv, n, "size", HB_I32, TO_ONE, &one) : NULL;
	hb_tensor *in = size ? hb_fx_temp(cv, n, "inside", HB_I32, TO_ONE, &many) : NULL, *at = in ? hb_fx_temp(cv, n, "places", HB_I32, TO_ONE, &many) : NULL;
	hb_tensor *t = at ? middles(cv, n, count) : NULL;
	double gain = (double)boxes->q.scale * r->scale[map] * ONE;

	*out = t ? hb_fx_temp(cv, n, "places", HB_I32, TO_ONE, s) : NULL;
	if (!*out)
		return HB_ERR_NOMEM;
	HB_TRY(affine(cv, n, a, gain, NULL, 0, r->aligned ? -ONE / 2 : 0, first));
	HB_TRY(affine(cv, n, b, gain, a, -gain, 0, size));
	if (!r->aligned) {		/* no smaller than an element */
		hb_tensor *least = hb_fx_temp(cv, n, "size", HB_I32, TO_ONE, &one);
		hb_node *k = least ? hb_fx_node(cv, n, "Ew", least, 1, &size) : NULL;

		if (!k || !hb_attr_set_s(cv->to, k, "fn", "max") || !hb_attr_set_i(cv->to, k, "value", (int64_t)ONE))
			return HB_ERR_NOMEM;
		HB_TRY(hb_fx_done(cv, k));
		size = least;
	}
	hb_node *k = hb_fx_node(cv, n, "Ew", in, 2, (hb_tensor *[]){ size, t });
	if (!k || !hb_attr_set_s(cv->to, k, "fn", "mul"))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_set_ratio(cv, n, k, "ma", "ea", 0x1p-20));
	HB_TRY(hb_fx_done(cv, k));
	HB_TRY(affine(cv, n, in, 1, first, 1, 0, at));
	return hb_fx_reshape(cv, n, at, *out);
}

/* All regions of one map at the scale of out: samples, then their mean. */
static hb_status
regions(hb_convert *cv, hb_node *n, const hb_roi *r, int map, hb_tensor *boxes, hb_tensor *out)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[map]), *rows, *cols;
	int64_t count = out->shape.dim[0], h = r->height * r->ratio, w = r->width * r->ratio;
	hb_shape col = { 3, { count, h, 1 } }, row = { 3, { count, 1, w } }, all = { 4, { count, out->shape.dim[1], h, w } };
	hb_mult m;

	if (!x)
		return HB_ERR_NOMEM;
	HB_TRY(region_places(cv, n, r, map, boxes, 1, h, &col, &rows));
	HB_TRY(region_places(cv, n, r, map, boxes, 0, w, &row, &cols));
	if (r->ratio == 1 && x->dtype == out->dtype && x->q.scale == out->q.scale)
		return sample(cv, n, x, rows, cols, LINEAR, FAR, out);
	/* samples of int8 have 8 fraction bits: one rounding counts */
	hb_tensor *s = hb_fx_temp(cv, n, "samples", HB_I16, x->dtype == HB_I8 ? x->q.scale / 256 : x->q.scale, &all);
	if (!s)
		return HB_ERR_NOMEM;
	HB_TRY(sample(cv, n, x, rows, cols, LINEAR, FAR, s));
	if (!hb_mult_of((double)s->q.scale / out->q.scale / (double)(r->ratio * r->ratio), &m))
		return HB_FX_REFUSE(cv, n, "the scales %g and %g are too far apart", x->q.scale, out->q.scale);
	hb_tensor *mults = hb_fx_const(cv, n, "mults", HB_I32, 2, (int64_t[]){ 1, 3 }, (int32_t[]){ (int32_t)(r->ratio * r->ratio), m.m, m.e });
	hb_node *k = mults ? hb_fx_node(cv, n, "AveragePool", out, 2, (hb_tensor *[]){ s, mults }) : NULL;
	const int64_t side[2] = { r->ratio, r->ratio };
	if (!k || !hb_attr_set_ints(cv->to, k, "kernel_shape", side, 2) || !hb_attr_set_ints(cv->to, k, "strides", side, 2))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, k);
}

/* Area of each region, in quarters of the boxes' integers squared. */
static hb_tensor *
areas(hb_convert *cv, hb_node *n, hb_tensor *boxes, int64_t count)
{
	hb_shape one = { 4, { count, 1, 1, 1 } };
	hb_tensor *side[2], *area = hb_fx_temp(cv, n, "area", HB_I32, 4 * boxes->q.scale * boxes->q.scale, &one);

	for (int64_t d = 0; area && d < 2; d++) {
		hb_tensor *a = component(cv, n, boxes, d, &one), *b = a ? component(cv, n, boxes, d + 2, &one) : NULL;

		side[d] = b ? hb_fx_temp(cv, n, "side", HB_I32, boxes->q.scale, &one) : NULL;
		if (!side[d] || affine(cv, n, b, 1, a, -1, 0, side[d]) != HB_OK)
			return NULL;
	}
	hb_node *k = area ? hb_fx_node(cv, n, "Ew", area, 2, side) : NULL;
	if (!k || !hb_attr_set_s(cv->to, k, "fn", "mul") || hb_fx_set_ratio(cv, n, k, "ma", "ea", 0.25) != HB_OK || hb_fx_done(cv, k) != HB_OK)
		return NULL;
	return area;
}

/* out = area < least ? below : above */
static hb_status
choose(hb_convert *cv, const hb_node *n, hb_tensor *area, double least, hb_tensor *below, hb_tensor *above, hb_tensor *out)
{
	hb_shape one = area->shape;
	hb_tensor *small = hb_fx_temp(cv, n, "small", HB_BOOL, 1, &one);
	hb_node *k = small ? hb_fx_node(cv, n, "Ew", small, 1, &area) : NULL;

	least = fmin(ceil(least / ((double)area->q.scale)), INT32_MAX);
	if (!k || !hb_attr_set_s(cv->to, k, "fn", "lt") || !hb_attr_set_i(cv->to, k, "value", (int64_t)least))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(cv, k));
	k = hb_fx_node(cv, n, "Ew", out, 3, (hb_tensor *[]){ small, below, above });
	if (!k || !hb_attr_set_s(cv->to, k, "fn", "select"))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, k);
}

hb_status
hb_to_fx_roi(hb_convert *cv, hb_node *n)
{
	const hb_roi *r = n->aux;
	hb_tensor *boxes = hb_convert_in(cv, n, n->in[r->boxes]), *x = boxes ? hb_convert_in(cv, n, n->in[0]) : NULL;
	hb_tensor *y, *area, *now;

	if (!x)
		return HB_ERR_NOMEM;
	if (hb_floats_roi(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_roi(n));
	if (r->maps == 1) {
		y = hb_fx_moved(cv, n, n->out[0], n->op->role == HB_ROLE_PASS ? &x->q : &n->out[0]->q);
		if (!y)
			return HB_ERR_NOMEM;
		HB_TRY(regions(cv, n, r, 0, boxes, y));
		return hb_fx_settle(cv, n, y, n->out[0]);
	}
	const hb_q *q = &n->out[0]->q;
	const hb_shape *s = &n->out[0]->shape;
	area = areas(cv, n, boxes, s->dim[0]);
	now = area ? hb_fx_temp(cv, n, "map", q->dtype, q->scale, s) : NULL;
	if (!now)
		return HB_ERR_NOMEM;
	HB_TRY(regions(cv, n, r, 0, boxes, now));
	for (int k = 1; k < r->maps; k++) {
		hb_tensor *next = hb_fx_temp(cv, n, "map", q->dtype, q->scale, s);
		hb_tensor *to = k == r->maps - 1 ? hb_convert_out(cv, n->out[0]) : hb_fx_temp(cv, n, "map", q->dtype, q->scale, s);

		if (!next || !to)
			return HB_ERR_NOMEM;
		HB_TRY(regions(cv, n, r, k, boxes, next));
		HB_TRY(choose(cv, n, area, hb_roi_area(r, k), now, next, to));
		now = to;
	}
	return HB_OK;
}

/* ---- colours ---- */

/* The node that yields t, if it was made well, limited to real values from least to most. */
static hb_status
limited(hb_convert *cv, hb_status st, hb_tensor *t, double least, double most)
{
	int32_t lo = hb_quantize((float)least, t->q.scale, t->dtype, cv->round), hi = hb_quantize((float)most, t->q.scale, t->dtype, cv->round);

	HB_TRY(st);
	return hb_fx_set_clamp(cv, t->producer, lo, hi) ? hb_op_infer(cv->to, t->producer) : hb_nomem(cv->to->cx, t->name);
}

hb_status
hb_to_fx_from_yuv(hb_convert *cv, hb_node *n)
{
	const hb_colours *k = n->aux;
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *y = x ? hb_convert_out(cv, n->out[0]) : NULL, *plane[3], *colour[3];
	double fine = 65536;			/* what is not the last sum has so many parts of the output's step */

	if (!y)
		return HB_ERR_NOMEM;
	hb_shape s = y->shape;
	s.dim[1] = 1;
	for (int64_t c = 0; c < 3; c++) {
		int64_t starts[4] = { 0, c };
		plane[c] = hb_fx_temp(cv, n, "plane", x->dtype, x->q.scale, &s);
		hb_node *cut = plane[c] ? hb_fx_node(cv, n, "Slice", plane[c], 1, &x) : NULL;
		if (!cut || !hb_attr_set_ints(cv->to, cut, "starts", starts, 4) || !hb_attr_set_ints(cv->to, cut, "extents", s.dim, 4))
			return HB_ERR_NOMEM;
		HB_TRY(hb_fx_done(cv, cut));
	}
	for (int c = 0; c < 3; c++) {
		hb_tensor *now = hb_fx_temp(cv, n, "sum", HB_I32, (float)(y->q.scale / fine), &s);
		double gain = (double)x->q.scale / y->q.scale;
		int last = k->m[c][2] != 0 ? 2 : 1;

		if (!now)
			return HB_ERR_NOMEM;
		HB_TRY(affine(cv, n, plane[0], k->m[c][0] * gain * fine, NULL, 0, k->add[c] / y->q.scale * fine, now));
		for (int j = 1; j <= last; j++) {
			hb_tensor *to;
			if (k->m[c][j] == 0)
				continue;
			to = j == last ? hb_fx_temp(cv, n, "colour", y->dtype, y->q.scale, &s) : hb_fx_temp(cv, n, "sum", HB_I32, (float)(y->q.scale / fine), &s);
			if (!to)
				return HB_ERR_NOMEM;
			if (j == last)
				HB_TRY(limited(cv, affine(cv, n, now, 1 / fine, plane[j], k->m[c][j] * gain, 0, to), to, k->least[c], k->most[c]));
			else
				HB_TRY(affine(cv, n, now, 1, plane[j], k->m[c][j] * gain * fine, 0, to));
			now = to;
		}
		colour[c] = now;
	}
	hb_node *cat = hb_fx_node(cv, n, "Concat", y, 3, colour);
	if (!cat || !hb_attr_set_i(cv->to, cat, "axis", 1))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, cat);
}

/* ---- Correlation ---- */

hb_status
hb_to_fx_correlation(hb_convert *cv, hb_node *n)
{
	static const char *const names[] = { "kernel_size", "max_displacement", "stride1", "stride2", "pad_size" };
	const hb_correlation *k = n->aux;
	hb_tensor *a = hb_convert_in(cv, n, n->in[0]), *b = a ? hb_convert_in(cv, n, n->in[1]) : NULL, *y = b ? hb_convert_out(cv, n->out[0]) : NULL;
	hb_node *f = y ? hb_fx_node(cv, n, "Correlation", y, 2, (hb_tensor *[]){ a, b }) : NULL;

	if (!f)
		return HB_ERR_NOMEM;
	for (size_t i = 0; i < HB_LEN(names); i++)
		if (hb_attr_find(n, names[i]) && !hb_attr_set_i(cv->to, f, names[i], hb_attr_i(n, names[i], 0)))
			return hb_nomem(cv->to->cx, n->name);
	HB_TRY(hb_fx_set_ratio(cv, n, f, "m", "e",
			       (double)a->q.scale * b->q.scale / y->q.scale / (double)(k->kernel * k->kernel * a->shape.dim[1])));
	return hb_fx_done(cv, f);
}

/* ---- PointPillarsScatter ---- */

/* The int32 form of integers that calibration has no part in. NULL: reported. */
static hb_tensor *
int32_of(hb_convert *cv, hb_node *n, hb_tensor *t)
{
	hb_tensor *f = hb_map_get(cv->tensors, t->name);
	const char *name = hb_arena_printf(cv->to->arena, "%s_int32", t->name), *cast = hb_arena_printf(cv->to->arena, "%s_int32/Cast", t->name);

	if (f && f->dtype == HB_I32)
		return f;
	if (!name || !cast)
		return NULL;
	if (t->is_const) {
		int64_t count = hb_tensor_elems(t);
		const void *v = hb_tensor_data(cv->from, t);
		f = v ? hb_tensor_const(cv->to, name, HB_I32, &t->shape, NULL) : NULL;
		for (int64_t i = 0; f && i < count; i++) {
			int64_t x = t->dtype == HB_I64 ? ((const int64_t *)v)[i] : ((const int32_t *)v)[i];
			((int32_t *)(uintptr_t)f->data)[i] = (int32_t)HB_MAX(INT32_MIN, HB_MIN(x, INT32_MAX));
		}
	} else {
		hb_tensor *x = hb_map_get(cv->floats, t->name);
		hb_node *k;
		if (!x) {
			HB_FX_REFUSE(cv, n, "input '%s' has no integers", t->name);
			return NULL;
		}
		f = hb_tensor_new(cv->to, name, HB_I32, &t->shape);
		k = f ? hb_node_new(cv->to, NULL, cast, "", "Cast", 13, 1, 1) : NULL;
		if (!k || !hb_attr_set_i(cv->to, k, "to", 6))
			return NULL;
		k->on = HB_ON_CPU;
		hb_node_set_in(cv->to, k, 0, x);
		hb_node_set_out(k, 0, f);
		if (hb_op_infer(cv->to, k) != HB_OK)
			return NULL;
	}
	if (f)
		f->q = (hb_q){ .dtype = HB_I32, .nscales = 1, .scale = 1, .observer = "derived" };
	return f;
}

static hb_tensor *
compared(hb_convert *cv, const hb_node *n, const char *fn, hb_tensor *a, hb_tensor *b, int64_t value)
{
	hb_tensor *to = hb_fx_temp(cv, n, "inside", HB_BOOL, 1, &a->shape);
	hb_node *k = to ? hb_fx_node(cv, n, "Ew", to, b ? 2 : 1, (hb_tensor *[]){ a, b }) : NULL;

	if (!k || !hb_attr_set_s(cv->to, k, "fn", fn) || (!b && !hb_attr_set_i(cv->to, k, "value", value)) || hb_fx_done(cv, k) != HB_OK)
		return NULL;
	return to;
}

hb_status
hb_to_fx_point_pillars(hb_convert *cv, hb_node *n)
{
	static const int at[3] = { 0, 2, 3 };	/* image, row, column: of the coordinates, and of the map's dimensions */
	const int64_t *d = n->out[0]->shape.dim;
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *coords = x ? int32_of(cv, n, n->in[1]) : NULL, *inside = NULL, *place = NULL, *index, *y;
	hb_shape row = { 1, { n->in[0]->shape.dim[0] } };

	if (!coords)
		return HB_ERR_NOMEM;
	for (int i = 0; i < 3; i++) {
		hb_tensor *c = component(cv, n, coords, at[i], &row), *shifted = c ? hb_fx_temp(cv, n, "shifted", HB_I32, 1, &row) : NULL;
		if (!shifted)
			return HB_ERR_NOMEM;
		/* c < extent, and -c - 1 < 0 */
		hb_tensor *below = compared(cv, n, "lt", c, NULL, d[at[i]]);
		HB_TRY(affine(cv, n, c, -1, NULL, 0, -1, shifted));
		hb_tensor *above = below ? compared(cv, n, "lt", shifted, NULL, 0) : NULL;
		hb_tensor *both = above ? compared(cv, n, "min", below, above, 0) : NULL;
		inside = !both ? NULL : inside ? compared(cv, n, "min", inside, both, 0) : both;
		hb_tensor *next = inside && place ? hb_fx_temp(cv, n, "place", HB_I32, 1, &row) : c;
		if (!inside || !next)
			return HB_ERR_NOMEM;
		if (place)
			HB_TRY(affine(cv, n, place, (double)d[at[i]], c, 1, 0, next));
		place = next;
	}
	index = hb_fx_temp(cv, n, "index", HB_I32, 1, &row);
	hb_node *k = index ? hb_fx_node(cv, n, "Ew", index, 2, (hb_tensor *[]){ inside, place }) : NULL;
	if (!k || !hb_attr_set_s(cv->to, k, "fn", "select") || !hb_attr_set_i(cv->to, k, "value", -1))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(cv, k));
	y = hb_fx_moved(cv, n, n->out[0], &x->q);
	k = y ? hb_fx_node(cv, n, "Scatter", y, 2, (hb_tensor *[]){ x, index }) : NULL;
	if (!k || !hb_attr_set_ints(cv->to, k, "shape", d, 4))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(cv, k));
	return hb_fx_settle(cv, n, y, n->out[0]);
}
