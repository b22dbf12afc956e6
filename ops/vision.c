/* vision.c: sampling on a grid, boxes, and windows that are no convolution. */
#include "ops/nd.h"
#include "ops/conv.h"
#include "ops/to_fx.h"

#include "lib/base/fmath.h"

#include <stdlib.h>

#define FLOATS HB_BIT(HB_F32)

/* ---- GridSample ---- */

enum sample_mode { LINEAR, NEAREST, CUBIC };
enum sample_pad { ZEROS, BORDER, REFLECTION };
enum { MAX_SP = 3, TAPS = 4 };

struct grid {
	enum sample_mode mode;
	enum sample_pad pad;
	bool align;
	int nsp;
};

static const char *const pad_names[] = { "zeros", "border", "reflection" };

const char *
hb_floats_grid_sample(const hb_node *n)
{
	const struct grid *k = n->aux;

	if (n->in[0]->shape.rank != 4)
		return "a grid of other than two dimensions";
	return k->mode == CUBIC ? "cubic sampling" : k->pad == REFLECTION ? "reflection at the border" : NULL;
}

static hb_status
shape_grid_sample(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *at = &n->in[1]->shape;
	const char *mode = hb_attr_s(n, "mode", "linear"), *pad = hb_attr_s(n, "padding_mode", "zeros");
	struct grid *k = HB_AUX(g, n, struct grid);
	hb_shape s = *x;
	unsigned p = 0;

	if (!k)
		return hb_nomem(g->cx, n->name);
	k->nsp = x->rank - 2;
	k->align = hb_attr_i(n, "align_corners", 0) != 0;
	if (!strcmp(mode, "linear") || !strcmp(mode, "bilinear"))
		k->mode = LINEAR;
	else if (!strcmp(mode, "nearest"))
		k->mode = NEAREST;
	else if (!strcmp(mode, "cubic") || !strcmp(mode, "bicubic"))
		k->mode = CUBIC;
	else
		return HB_BAD(g, n, "mode is '%s'; linear, nearest or cubic is taken", mode);
	while (p < HB_LEN(pad_names) && strcmp(pad, pad_names[p]))
		p++;
	if (p == HB_LEN(pad_names))
		return HB_BAD(g, n, "padding_mode is '%s'; zeros, border or reflection is taken", pad);
	k->pad = (enum sample_pad)p;
	if (k->nsp < 1 || k->nsp > MAX_SP || at->rank != x->rank)
		return HB_BAD(g, n, "input has rank %d and grid %d; both 3 to 5 are taken", x->rank, at->rank);
	if (at->dim[0] != x->dim[0] || at->dim[at->rank - 1] != k->nsp)
		return HB_BAD(g, n, "grid does not go with the input");
	for (int i = 0; i < k->nsp; i++) {
		if (!x->dim[2 + i])
			return HB_BAD(g, n, "dimension %d is empty", 2 + i);
		s.dim[2 + i] = at->dim[1 + i];
	}
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

/* x mirrored into lo..hi. */
static double
reflected(double x, double lo, double hi)
{
	double range = hi - lo, d = x < lo ? lo - x : x - hi;

	if (x >= lo && x <= hi)
		return x;
	if (range <= 0)
		return lo;
	double turns = floor(d / range), rest = d - turns * range;
	bool even = fmod(turns, 2) == 0;
	return (x < lo) == even ? lo + rest : hi - rest;
}

/* The elements that coordinate x of an extent reads, and their weights; index -1 reads 0. */
static int
taps_of(const struct grid *k, float coord, int64_t dim, int64_t *index, float *weight)
{
	double lo = k->align ? 0 : -0.5, hi = k->align ? (double)dim - 1 : (double)dim - 0.5;
	double x = k->align ? ((double)coord + 1) / 2 * (double)(dim - 1) : (((double)coord + 1) * (double)dim - 1) / 2;
	int count = k->mode == LINEAR ? 2 : k->mode == NEAREST ? 1 : 4;

	x = x != x ? -2e9 : x < -2e9 ? -2e9 : x > 2e9 ? 2e9 : x;
	if (k->mode == NEAREST)
		x = rint(x);
	if (k->mode != CUBIC && (x < lo || x > hi)) {
		if (k->pad == BORDER)
			x = x < 0 ? 0 : (double)(dim - 1);
		else if (k->pad == REFLECTION)
			x = reflected(x, lo, hi);
	}
	double base = floor(x), f = x - base;
	if (k->mode == NEAREST) {
		weight[0] = 1;
		base = rint(x);
	} else if (k->mode == LINEAR) {
		weight[0] = (float)(1 - f);
		weight[1] = (float)f;
	} else {
		const double a = -0.75;
		double d[4] = { f + 1, f, 1 - f, 2 - f };
		base -= 1;
		weight[0] = (float)(((a * d[0] - 5 * a) * d[0] + 8 * a) * d[0] - 4 * a);
		weight[1] = (float)(((a + 2) * d[1] - (a + 3)) * d[1] * d[1] + 1);
		weight[2] = (float)(((a + 2) * d[2] - (a + 3)) * d[2] * d[2] + 1);
		weight[3] = (float)(((a * d[3] - 5 * a) * d[3] + 8 * a) * d[3] - 4 * a);
	}
	for (int t = 0; t < count; t++) {
		int64_t i = (int64_t)base + t;
		if (i < 0 || i >= dim)
			i = k->pad == ZEROS    ? -1
			    : k->pad == BORDER ? (i < 0 ? 0 : dim - 1)
					       : (int64_t)reflected((double)i, lo, hi);
		index[t] = i < dim ? i : dim - 1;
	}
	return count;
}

struct sample_call {
	const struct grid *k;
	const hb_val *x, *grid, *y;
	int64_t places, plane;		/* of one batch: outputs, and elements of a channel */
};

static void
sample_places(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct sample_call *c = arg;
	const struct grid *k = c->k;
	const int64_t *dim = c->x->shape.dim + 2;
	int64_t channels = c->x->shape.dim[1], index[MAX_SP][TAPS];
	float weight[MAX_SP][TAPS];
	int count[MAX_SP];

	(void)worker;
	for (int64_t p = begin; p < end; p++) {
		int64_t b = p / c->places, at = p % c->places, all = 1;
		for (int i = 0; i < k->nsp; i++) {	/* the grid's last coordinate is that of the first dimension */
			float coord = hb_val_f(c->grid, p * k->nsp + k->nsp - 1 - i);
			count[i] = taps_of(k, coord, dim[i], index[i], weight[i]);
			all *= count[i];
		}
		for (int64_t ch = 0; ch < channels; ch++) {
			int64_t base = (b * channels + ch) * c->plane;
			double sum = 0;
			for (int64_t t = 0; t < all; t++) {
				int64_t off = 0, left = t;
				double w = 1;
				bool inside = true;
				for (int i = 0, of = (int)all; i < k->nsp; i++) {
					of /= count[i];
					int tap = (int)(left / of);
					left %= of;
					inside = inside && index[i][tap] >= 0;
					w *= (double)weight[i][tap];
					off = off * dim[i] + index[i][tap];
				}
				if (inside)
					sum += w * (double)hb_val_f(c->x, base + off);
			}
			float v = (float)sum;
			hb_float_store(c->y->dtype, &v, c->y->data, (b * channels + ch) * c->places + at, 1);
		}
	}
}

static void
run_grid_sample(const hb_call *c)
{
	const hb_val *x = c->in[0], *grid = c->in[1];
	struct sample_call k = { c->n->aux, x, grid, c->out[0], hb_shape_span(&grid->shape, 1, grid->shape.rank - 1),
				 hb_shape_span(&x->shape, 2, x->shape.rank) };

	if (hb_val_elems(c->out[0]))
		hb_parallel(c->cx, x->shape.dim[0] * k.places, 64, sample_places, &k);
}

static const hb_attr_row grid_rows[] = {
	{ "align_corners", HB_ATTR_INT, false, 0, 0 }, { "mode", HB_ATTR_STRING, false, 0, 0 },
	{ "padding_mode", HB_ATTR_STRING, false, 0, 0 }, { 0 } };

#define GRID_SAMPLE                                                                                     \
	.name = "GridSample", .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, .attrs = grid_rows, \
	.in_types = { HB_ANY, FLOATS }, .shape = shape_grid_sample, .run = run_grid_sample,             \
	.role = HB_ROLE_PASS, .convert = hb_to_fx_grid_sample, .floats = hb_floats_grid_sample, .places = 1 << 1

const hb_op hb_op_grid_sample = { GRID_SAMPLE, .since = 16 };
const hb_op hb_op_horizon_grid_sample = { GRID_SAMPLE, .domain = "horizon", .since = 1 };

/* ---- AffineGrid ---- */

static hb_status
shape_affine_grid(hb_graph *g, hb_node *n)
{
	const hb_shape *theta = &n->in[0]->shape;
	const int64_t *size;
	size_t count;

	HB_TRY(hb_const_ints(g, n, 1, "size", &size, &count));
	if (count != 4 && count != 5)
		return HB_BAD(g, n, "size has %zu entries; 4 or 5 are taken", count);
	int64_t nsp = (int64_t)count - 2;
	if (theta->rank != 3 || theta->dim[0] != size[0] || theta->dim[1] != nsp || theta->dim[2] != nsp + 1)
		return HB_BAD(g, n, "theta does not go with size");
	hb_shape s = { (int)count, { size[0] } };
	for (int i = 0; i < nsp; i++)
		s.dim[1 + i] = size[2 + i];
	s.dim[nsp + 1] = nsp;
	return hb_set_out(g, n, 0, HB_F32, &s);
}

static void
run_affine_grid(const hb_call *c)
{
	const hb_val *y = c->out[0];
	int nsp = y->shape.rank - 2;
	bool align = hb_attr_i(c->n, "align_corners", 0) != 0;
	int64_t at[HB_MAX_RANK];
	hb_shape places = y->shape;

	places.rank--;
	for (int64_t p = 0, n = hb_shape_elems(&places); p < n; p++) {
		double coord[MAX_SP + 1];
		hb_coords(&places, p, at);
		for (int i = 0; i < nsp; i++) {		/* x first: the last dimension */
			double dim = (double)places.dim[nsp - i], k = (double)at[nsp - i];
			coord[i] = align ? (dim > 1 ? -1 + 2 * k / (dim - 1) : -1) : (2 * k + 1) / dim - 1;
		}
		coord[nsp] = 1;
		const float *theta = (const float *)c->in[0]->data + at[0] * nsp * (nsp + 1);
		for (int i = 0; i < nsp; i++) {
			double sum = 0;
			for (int j = 0; j <= nsp; j++)
				sum += (double)theta[i * (nsp + 1) + j] * coord[j];
			((float *)y->data)[p * nsp + i] = (float)sum;
		}
	}
}

static const hb_attr_row affine_rows[] = { { "align_corners", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_affine_grid = {
	.name = "AffineGrid",
	.since = 20,
	.min_in = 2,
	.max_in = 2,
	.min_out = 1,
	.max_out = 1,
	.attrs = affine_rows,
	.in_types = { FLOATS, HB_BIT(HB_I64) },
	.shape = shape_affine_grid,
	.run = run_affine_grid,
};

/* ---- NonMaxSuppression: computed when shapes are inferred, as its extent depends on it ---- */

struct box {
	float y0, x0, y1, x1, score;
	int64_t index;
};

static int
by_score(const void *a, const void *b)
{
	const struct box *p = a, *q = b;

	if (p->score != q->score)
		return p->score < q->score ? 1 : -1;
	return p->index < q->index ? -1 : 1;
}

static double
overlap(const struct box *a, const struct box *b)
{
	double h = (double)HB_MIN(a->y1, b->y1) - (double)HB_MAX(a->y0, b->y0);
	double w = (double)HB_MIN(a->x1, b->x1) - (double)HB_MAX(a->x0, b->x0);
	double area_a = ((double)a->y1 - (double)a->y0) * ((double)a->x1 - (double)a->x0);
	double area_b = ((double)b->y1 - (double)b->y0) * ((double)b->x1 - (double)b->x0);

	if (h <= 0 || w <= 0 || area_a <= 0 || area_b <= 0)
		return 0;
	return h * w / (area_a + area_b - h * w);
}

static void
read_box(const float *p, bool centre, struct box *b)
{
	if (centre) {
		*b = (struct box){ p[1] - p[3] / 2, p[0] - p[2] / 2, p[1] + p[3] / 2, p[0] + p[2] / 2, 0, 0 };
		return;
	}
	*b = (struct box){ HB_MIN(p[0], p[2]), HB_MIN(p[1], p[3]), HB_MAX(p[0], p[2]), HB_MAX(p[1], p[3]), 0, 0 };
}

struct nms {
	int64_t (*picked)[3];
	size_t count, cap;
};

/* Boxes of one batch and class, best first, that overlap none taken before by more than `iou`. */
static hb_status
suppress(hb_graph *g, struct nms *r, struct box *b, int64_t n, int64_t batch, int64_t cls, int64_t most, double iou)
{
	int64_t kept = 0;

	qsort(b, (size_t)n, sizeof(*b), by_score);
	for (int64_t i = 0; i < n && kept < most; i++) {
		int64_t k = 0;
		while (k < kept && overlap(&b[k], &b[i]) <= iou)
			k++;
		if (k < kept)
			continue;
		if (!HB_GROW(g->arena, &r->picked, &r->cap, r->count + 1))
			return hb_nomem(g->cx, NULL);
		r->picked[r->count][0] = batch;
		r->picked[r->count][1] = cls;
		r->picked[r->count++][2] = b[i].index;
		b[kept++] = b[i];
	}
	return HB_OK;
}

static hb_status
shape_nms(hb_graph *g, hb_node *n)
{
	const hb_shape *bs = &n->in[0]->shape, *ss = &n->in[1]->shape;
	bool centre = hb_attr_i(n, "center_point_box", 0) != 0;
	double most = 0, iou = 0, least = -INFINITY;
	struct nms *r = HB_AUX(g, n, struct nms);

	if (!r)
		return hb_nomem(g->cx, n->name);
	if (bs->rank != 3 || bs->dim[2] != 4 || ss->rank != 3 || ss->dim[0] != bs->dim[0] || ss->dim[2] != bs->dim[1])
		return HB_BAD(g, n, "boxes must be batch x boxes x 4 and scores batch x classes x boxes");
	for (int i = 0; i < 2; i++)
		if (!n->in[i]->is_const)
			return hb_need_const(g, n, i);
	HB_TRY(hb_const_real(g, n, 2, &most));
	HB_TRY(hb_const_real(g, n, 3, &iou));
	HB_TRY(hb_const_real(g, n, 4, &least));
	int64_t count = bs->dim[1];
	struct box *b = HB_NEW_N(g->arena, struct box, count + 1);
	if (!b)
		return hb_nomem(g->cx, n->name);
	const float *boxes = hb_tensor_data(g, n->in[0]), *scores = hb_tensor_data(g, n->in[1]);
	if (hb_shape_elems(ss) && hb_shape_elems(bs) && (!boxes || !scores))
		return HB_ERR_NOMEM;
	for (int64_t i = 0; count && i < ss->dim[0] * ss->dim[1]; i++) {
		int64_t batch = i / ss->dim[1], live = 0;
		for (int64_t k = 0; k < count; k++) {
			float score = scores[i * count + k];
			if (!((double)score > least))
				continue;
			read_box(boxes + (batch * count + k) * 4, centre, &b[live]);
			b[live].score = score;
			b[live++].index = k;
		}
		HB_TRY(suppress(g, r, b, live, batch, i % ss->dim[1], (int64_t)HB_MAX(0, HB_MIN(most, 1e15)), iou));
	}
	hb_shape s = { 2, { (int64_t)r->count, 3 } };
	return hb_set_out(g, n, 0, HB_I64, &s);
}

static void
run_nms(const hb_call *c)
{
	const struct nms *r = c->n->aux;

	if (r->count)
		memcpy(c->out[0]->data, r->picked, r->count * sizeof(*r->picked));
}

static const hb_attr_row nms_rows[] = { { "center_point_box", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_non_max_suppression = {
	.name = "NonMaxSuppression", .since = 10, .min_in = 2, .max_in = 5, .min_out = 1, .max_out = 1,
	.attrs = nms_rows, .types = FLOATS, .in_types = { 0, 0, HB_BIT(HB_I64) }, .shape = shape_nms, .run = run_nms,
};

/* ---- Col2Im: columns of blocks added up into an image ---- */

struct col2im {
	int nsp;
	int64_t image[HB_MAX_RANK], block[HB_MAX_RANK], dilation[HB_MAX_RANK], stride[HB_MAX_RANK], begin[HB_MAX_RANK];
	int64_t windows[HB_MAX_RANK];	/* places a block stands at */
};

/* A list attribute of `count` entries in lo..2^31, or dflt. */
static hb_status
small_ints(hb_graph *g, hb_node *n, const char *name, size_t count, int64_t lo, int64_t dflt, int64_t *to)
{
	size_t have;
	const int64_t *v = hb_attr_ints(n, name, &have);

	if (v && have != count)
		return HB_BAD(g, n, "%s has %zu entries; %zu are taken", name, have, count);
	for (size_t i = 0; i < count; i++) {
		to[i] = v ? v[i] : dflt;
		if (to[i] < lo || to[i] > INT32_MAX)
			return HB_BAD(g, n, "%s is %lld; %lld to 2^31 is taken", name, (long long)to[i], (long long)lo);
	}
	return HB_OK;
}

static hb_status
shape_col2im(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape;
	const int64_t *image, *block;
	size_t ni, nb;
	int64_t pads[2 * HB_MAX_RANK], cells = 1, windows = 1;
	struct col2im *k = HB_AUX(g, n, struct col2im);

	if (!k)
		return hb_nomem(g->cx, n->name);
	HB_TRY(hb_const_ints(g, n, 1, "image_shape", &image, &ni));
	HB_TRY(hb_const_ints(g, n, 2, "block_shape", &block, &nb));
	if (x->rank != 3 || ni != nb || ni < 1 || ni > HB_MAX_RANK - 2)
		return HB_BAD(g, n, "input has rank %d, image_shape %zu and block_shape %zu entries", x->rank, ni, nb);
	k->nsp = (int)ni;
	HB_TRY(small_ints(g, n, "dilations", ni, 1, 1, k->dilation));
	HB_TRY(small_ints(g, n, "strides", ni, 1, 1, k->stride));
	HB_TRY(small_ints(g, n, "pads", 2 * ni, 0, 0, pads));
	hb_shape s = { k->nsp + 2, { x->dim[0] } };
	for (int i = 0; i < k->nsp; i++) {
		if (image[i] < 1 || image[i] > INT32_MAX || block[i] < 1 || block[i] > INT32_MAX)
			return HB_BAD(g, n, "extent %lld of the image or %lld of the block is out of range",
				      (long long)image[i], (long long)block[i]);
		k->image[i] = s.dim[2 + i] = image[i];
		k->block[i] = block[i];
		k->begin[i] = pads[i];
		int64_t span = image[i] + pads[i] + pads[ni + (size_t)i], reach = k->dilation[i] * (block[i] - 1) + 1;
		k->windows[i] = span < reach ? 0 : (span - reach) / k->stride[i] + 1;
		if (!hb_mul64(cells, block[i], &cells) || !hb_mul64(windows, k->windows[i], &windows))
			return HB_BAD(g, n, "block is too large");
	}
	if (x->dim[1] % cells || x->dim[2] != windows)
		return HB_BAD(g, n,
			      "input has %lld rows and %lld columns; blocks of %lld cells at %lld places are expected",
			      (long long)x->dim[1], (long long)x->dim[2], (long long)cells, (long long)windows);
	s.dim[1] = x->dim[1] / cells;
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

static void
run_col2im(const hb_call *c)
{
	const struct col2im *k = c->n->aux;
	const hb_val *x = c->in[0], *y = c->out[0];
	hb_shape block = { .rank = k->nsp }, windows = { .rank = k->nsp };
	int64_t at[HB_MAX_RANK], win[HB_MAX_RANK], planes = x->shape.dim[0] * y->shape.dim[1];
	int64_t plane = hb_shape_span(&y->shape, 2, y->shape.rank);

	if (!hb_val_elems(y))
		return;
	memcpy(block.dim, k->block, sizeof(block.dim));
	memcpy(windows.dim, k->windows, sizeof(windows.dim));
	int64_t cells = hb_shape_elems(&block), places = hb_shape_elems(&windows);
	memset(y->data, 0, (size_t)hb_val_elems(y) * sizeof(float));
	for (int64_t p = 0; p < planes; p++)
		for (int64_t cell = 0; cell < cells; cell++) {
			hb_coords(&block, cell, at);
			for (int64_t w = 0; w < places; w++) {
				int64_t off = 0;
				bool inside = true;
				hb_coords(&windows, w, win);
				for (int i = 0; i < k->nsp; i++) {
					int64_t v = win[i] * k->stride[i] + at[i] * k->dilation[i] - k->begin[i];
					inside = inside && v >= 0 && v < k->image[i];
					off = off * k->image[i] + v;
				}
				if (inside)
					((float *)y->data)[p * plane + off] +=
						((const float *)x->data)[(p * cells + cell) * places + w];
			}
		}
}

static const hb_attr_row col2im_rows[] = {
	{ "dilations", HB_ATTR_INTS, false, 0, 0 }, { "pads", HB_ATTR_INTS, false, 0, 0 },
	{ "strides", HB_ATTR_INTS, false, 0, 0 }, { 0 } };

const hb_op hb_op_col2im = {
	.name = "Col2Im", .since = 18, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = col2im_rows, .types = FLOATS, .in_types = { 0, HB_BIT(HB_I64), HB_BIT(HB_I64) },
	.shape = shape_col2im, .run = run_col2im,
};

/* ---- CenterCropPad ---- */

static hb_status
shape_center(hb_graph *g, hb_node *n)
{
	hb_shape s = n->in[0]->shape;
	const int64_t *want, *axes;
	size_t count, naxes;
	unsigned seen = 0;

	HB_TRY(hb_const_ints(g, n, 1, "shape", &want, &count));
	axes = hb_attr_ints(n, "axes", &naxes);
	if (count != (axes ? naxes : (size_t)s.rank))
		return HB_BAD(g, n, "shape has %zu entries; %zu are taken", count, axes ? naxes : (size_t)s.rank);
	for (size_t i = 0; i < count; i++) {
		int a;
		HB_TRY(hb_axis(g, n, "axis", axes ? axes[i] : (int64_t)i, s.rank, &a));
		if ((seen >> a & 1) || want[i] < 0)
			return HB_BAD(g, n, "axis %d is named twice or would have extent %lld", a, (long long)want[i]);
		seen |= 1u << a;
		s.dim[a] = want[i];
	}
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

static void
run_center(const hb_call *c)
{
	const hb_val *x = c->in[0], *y = c->out[0];
	int64_t ss[HB_MAX_RANK], ds[HB_MAX_RANK], from = 0, to = 0;
	size_t size = hb_dtype_size(x->dtype);
	hb_shape box = x->shape;

	if (!hb_val_elems(y))
		return;
	hb_strides(&x->shape, ss);
	hb_strides(&y->shape, ds);
	for (int i = 0; i < box.rank; i++) {
		int64_t more = y->shape.dim[i] - x->shape.dim[i];
		box.dim[i] = HB_MIN(x->shape.dim[i], y->shape.dim[i]);
		from += more < 0 ? -more / 2 * ss[i] : 0;
		to += more > 0 ? more / 2 * ds[i] : 0;
	}
	memset(y->data, 0, (size_t)hb_val_elems(y) * size);
	if (hb_shape_elems(&box))
		hb_move(c->cx, box.rank, box.dim, size, (uint8_t *)y->data + (size_t)to * size, ds,
			(const uint8_t *)x->data + (size_t)from * size, ss);
}

static const hb_attr_row center_rows[] = { { "axes", HB_ATTR_INTS, false, 0, 0 }, { 0 } };

const hb_op hb_op_center_crop_pad = {
	.name = "CenterCropPad",
	.since = 18,
	.min_in = 2,
	.max_in = 2,
	.min_out = 1,
	.max_out = 1,
	.attrs = center_rows,
	.in_types = { 0, HB_BIT(HB_I32) | HB_BIT(HB_I64) },
	.shape = shape_center,
	.run = run_center,
};

/* ---- DeformConv: each tap of the window is moved by an offset and weighed by a mask ---- */

struct deform {
	hb_conv_params p;
	int64_t groups, offset_groups;
};

static hb_status
shape_deform(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *w = &n->in[1]->shape, *off = &n->in[2]->shape;
	const hb_tensor *bias = hb_in(n, 3), *mask = hb_in(n, 4);
	struct deform *k = HB_AUX(g, n, struct deform);

	if (!k)
		return hb_nomem(g->cx, n->name);
	if (x->rank != 4 || w->rank != 4 || off->rank != 4)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "deform-conv",
			       "input has rank %d; only rank 4 is supported", x->rank);
	k->groups = hb_attr_i(n, "group", 1);
	k->offset_groups = hb_attr_i(n, "offset_group", 1);
	int64_t taps = w->dim[2] * w->dim[3];
	if (k->groups < 1 || w->dim[0] % k->groups || w->dim[1] > x->dim[1] || w->dim[1] * k->groups != x->dim[1])
		return HB_BAD(g, n, "%lld channels, weights for %lld and %lld groups do not go together",
			      (long long)x->dim[1], (long long)w->dim[1], (long long)k->groups);
	if (k->offset_groups < 1 || x->dim[1] % k->offset_groups)
		return HB_BAD(g, n, "%lld channels do not divide into %lld offset groups", (long long)x->dim[1],
			      (long long)k->offset_groups);
	k->p.nsp = 2;
	HB_TRY(hb_window_resolve(g, n, x, w->dim + 2, &k->p));
	hb_shape want = { 4, { x->dim[0], 2 * k->offset_groups * taps, k->p.out[0], k->p.out[1] } };
	if (!hb_shape_eq(off, &want))
		return HB_BAD(g, n, "offsets do not go with the window and the output");
	want.dim[1] /= 2;
	if (mask && !hb_shape_eq(&mask->shape, &want))
		return HB_BAD(g, n, "mask does not go with the window and the output");
	if (bias && (bias->shape.rank != 1 || bias->shape.dim[0] != w->dim[0]))
		return HB_BAD(g, n, "bias must have %lld values", (long long)w->dim[0]);
	hb_shape s = { 4, { x->dim[0], w->dim[0], k->p.out[0], k->p.out[1] } };
	return hb_set_out(g, n, 0, HB_F32, &s);
}

/* Bilinear at (y, x), zero outside. */
static double
bilinear(const float *plane, int64_t h, int64_t w, double y, double x)
{
	if (!(y > -1 && y < (double)h && x > -1 && x < (double)w))
		return 0;
	int64_t y0 = (int64_t)floor(y), x0 = (int64_t)floor(x);
	double fy = y - (double)y0, fx = x - (double)x0, sum = 0;
	for (int t = 0; t < 4; t++) {
		int64_t yy = y0 + t / 2, xx = x0 + t % 2;
		if (yy >= 0 && yy < h && xx >= 0 && xx < w)
			sum += (t / 2 ? fy : 1 - fy) * (t % 2 ? fx : 1 - fx) * (double)plane[yy * w + xx];
	}
	return sum;
}

static void
deform_cells(void *arg, int64_t begin, int64_t end, int worker)
{
	const hb_call *c = arg;
	const struct deform *k = c->n->aux;
	const hb_val *x = c->in[0], *w = c->in[1], *bias = hb_call_in(c, 3), *mask = hb_call_in(c, 4);
	const int64_t *d = x->shape.dim, *o = c->out[0]->shape.dim, *ws = w->shape.dim;
	int64_t taps = ws[2] * ws[3], area = o[2] * o[3];

	(void)worker;
	for (int64_t i = begin; i < end; i++) {
		int64_t b = i / (o[1] * area), oc = i / area % o[1], at = i % area, oy = at / o[3], ox = at % o[3];
		int64_t first = oc / (o[1] / k->groups) * ws[1];
		double sum = bias ? (double)((const float *)bias->data)[oc] : 0;
		for (int64_t ic = 0; ic < ws[1]; ic++) {
			int64_t og = (first + ic) / (d[1] / k->offset_groups);
			const float *plane = (const float *)x->data + (b * d[1] + first + ic) * d[2] * d[3];
			for (int64_t t = 0; t < taps; t++) {
				int64_t set = (b * k->offset_groups + og) * taps + t;
				const float *off = (const float *)c->in[2]->data + set * 2 * area + at;
				double y =
					(double)(oy * k->p.strides[0] - k->p.begin[0] + t / ws[3] * k->p.dilations[0]) +
					(double)off[0];
				double xx =
					(double)(ox * k->p.strides[1] - k->p.begin[1] + t % ws[3] * k->p.dilations[1]) +
					(double)off[area];
				double v = bilinear(plane, d[2], d[3], y, xx) *
					   (double)((const float *)w->data)[(oc * ws[1] + ic) * taps + t];
				sum += mask ? v * (double)((const float *)mask->data)[set * area + at] : v;
			}
		}
		((float *)c->out[0]->data)[i] = (float)sum;
	}
}

static void
run_deform(const hb_call *c)
{
	int64_t n = hb_val_elems(c->out[0]);
	hb_call call = *c;

	if (n)
		hb_parallel(c->cx, n, 64, deform_cells, &call);
}

static const hb_attr_row deform_rows[] = {
	{ "dilations", HB_ATTR_INTS, false, 0, 0 }, { "group", HB_ATTR_INT, false, 0, 0 },
	{ "kernel_shape", HB_ATTR_INTS, false, 0, 0 }, { "offset_group", HB_ATTR_INT, false, 0, 0 },
	{ "pads", HB_ATTR_INTS, false, 0, 0 }, { "strides", HB_ATTR_INTS, false, 0, 0 }, { 0 } };

const hb_op hb_op_deform_conv = {
	.name = "DeformConv", .since = 19, .min_in = 3, .max_in = 5, .min_out = 1, .max_out = 1,
	.attrs = deform_rows, .types = FLOATS, .shape = shape_deform, .run = run_deform,
};

/* ---- MaxUnpool: values back to where MaxPool took them ---- */

static hb_status
shape_max_unpool(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape;
	hb_shape *inner = HB_AUX(g, n, hb_shape);	/* what the indices count in */
	int64_t kernel[HB_MAX_RANK], stride[HB_MAX_RANK], pads[2 * HB_MAX_RANK];
	const int64_t *want;
	size_t nsp, count;

	if (!inner)
		return hb_nomem(g->cx, n->name);
	if (x->rank < 3 || !hb_shape_eq(x, &n->in[1]->shape))
		return HB_BAD(g, n, "values have rank %d; rank 3 and more with as many indices is taken", x->rank);
	nsp = (size_t)x->rank - 2;
	HB_TRY(small_ints(g, n, "kernel_shape", nsp, 1, 1, kernel));
	HB_TRY(small_ints(g, n, "strides", nsp, 1, 1, stride));
	HB_TRY(small_ints(g, n, "pads", 2 * nsp, 0, 0, pads));
	*inner = *x;
	for (size_t i = 0; i < nsp; i++) {
		int64_t v;
		if (!hb_mul64(x->dim[2 + i] - 1, stride[i], &v) ||
		    !hb_add64(v, kernel[i] - pads[i] - pads[nsp + i], &v) || v < 0)
			return HB_BAD(g, n, "output would have extent %lld", (long long)v);
		inner->dim[2 + i] = v;
	}
	HB_TRY(hb_set_out(g, n, 0, HB_F32, inner));
	HB_TRY(hb_const_ints(g, n, 2, "output_shape", &want, &count));
	if (!want)
		return HB_OK;
	hb_shape s = { .rank = x->rank };
	if (count != (size_t)x->rank)
		return HB_BAD(g, n, "output_shape has %zu entries; %d are taken", count, x->rank);
	for (int i = 0; i < s.rank; i++) {
		s.dim[i] = want[i];
		if (want[i] < inner->dim[i])
			return HB_BAD(g, n, "output_shape has extent %lld; %lld and more is taken", (long long)want[i],
				      (long long)inner->dim[i]);
	}
	return hb_set_out(g, n, 0, HB_F32, &s);
}

static void
run_max_unpool(const hb_call *c)
{
	const hb_shape *inner = c->n->aux;
	const hb_val *x = c->in[0], *y = c->out[0];
	int64_t total = hb_shape_elems(inner), at[HB_MAX_RANK], ds[HB_MAX_RANK];

	if (!hb_val_elems(y))
		return;
	memset(y->data, 0, (size_t)hb_val_elems(y) * sizeof(float));
	hb_strides(&y->shape, ds);
	for (int64_t i = 0, n = hb_val_elems(x); i < n; i++) {
		int64_t to = hb_val_i(c->in[1], i), off = 0;
		if (to < 0 || to >= total)
			continue;
		hb_coords(inner, to, at);
		for (int d = 0; d < inner->rank; d++)
			off += at[d] * ds[d];
		((float *)y->data)[off] = ((const float *)x->data)[i];
	}
}

static const hb_attr_row unpool_rows[] = {
	{ "kernel_shape", HB_ATTR_INTS, true, 0, 0 }, { "pads", HB_ATTR_INTS, false, 0, 0 },
	{ "strides", HB_ATTR_INTS, false, 0, 0 }, { 0 } };

const hb_op hb_op_max_unpool = {
	.name = "MaxUnpool", .since = 9, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = unpool_rows, .types = FLOATS, .in_types = { 0, HB_BIT(HB_I64), HB_BIT(HB_I64) },
	.shape = shape_max_unpool, .run = run_max_unpool,
};
