/* roi.c: regions of maps, resampled to one size (RoiAlign). */
#include "ops/roi.h"

#include "ops/nd.h"
#include "ops/to_fx.h"

#include <math.h>

#define FLOATS HB_BIT(HB_F32)
enum { MAX_RATIO = 256, MAX_SAMPLES = 4096 };

/* ---- which map ---- */

/* floor(canonical_level + log2(sqrt(area) / canonical_scale) + 1e-6) >= first_level + k */
double
hb_roi_area(const hb_roi *r, int k)
{
	const double nudge = 0.99999930685305876;	/* 2^-1e-6 */
	double side = ldexp(r->canonical_scale * nudge, r->first_level + k - r->canonical_level);

	return side * side;
}

/* -log2(scale) without its fraction: the level of a map of that scale. */
static int
level_of(double scale)
{
	int e;

	return frexp(scale, &e) == 0.5 ? 1 - e : -e;
}

static int
map_of(const hb_roi *r, const float *box)
{
	double area = ((double)box[2] - (double)box[0]) * ((double)box[3] - (double)box[1]);
	int k = 0;

	while (k + 1 < r->maps && area >= hb_roi_area(r, k + 1))
		k++;
	return k;
}

/* ---- one value ---- */

/* Four neighbours of (y, x) and their weights; false where the place is outside. */
static bool
corners(double y, double x, int64_t h, int64_t w, int64_t *at, double *weight)
{
	if (!(y >= -1 && y <= (double)h && x >= -1 && x <= (double)w))
		return false;
	y = HB_MAX(y, 0);
	x = HB_MAX(x, 0);
	int64_t y0 = HB_MIN((int64_t)y, h - 1), x0 = HB_MIN((int64_t)x, w - 1);
	int64_t y1 = HB_MIN(y0 + 1, h - 1), x1 = HB_MIN(x0 + 1, w - 1);
	double fy = y0 == h - 1 ? 0 : y - (double)y0, fx = x0 == w - 1 ? 0 : x - (double)x0;
	const int64_t ix[4] = { y0 * w + x0, y0 * w + x1, y1 * w + x0, y1 * w + x1 };
	const double wt[4] = { (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx };
	memcpy(at, ix, sizeof(ix));
	memcpy(weight, wt, sizeof(wt));
	return true;
}

/* How many places are sampled along a bin; rois of absurd size are sampled sparsely. */
static int64_t
samples(int64_t ratio, double extent, int64_t bins)
{
	double n = ceil(extent / (double)bins);

	return ratio > 0 ? ratio : n >= 1 ? (int64_t)HB_MIN(n, (double)MAX_SAMPLES) : 0;
}

static void
roi_cells(void *arg, int64_t begin, int64_t end, int worker)
{
	const hb_call *c = arg;
	const hb_roi *k = c->n->aux;
	const hb_val *y = c->out[0];
	const int64_t *o = y->shape.dim;

	(void)worker;
	for (int64_t i = begin; i < end; i++) {
		int64_t roi = i / (o[1] * o[2] * o[3]), ch = i / (o[2] * o[3]) % o[1], py = i / o[3] % o[2], px = i % o[3];
		const float *r = (const float *)c->in[k->boxes]->data + roi * 4;
		int m = map_of(k, r);
		const hb_val *x = c->in[m];
		const int64_t *d = x->shape.dim;
		int64_t batch = k->batch < 0 ? 0 : HB_MAX(0, HB_MIN(hb_val_i(c->in[k->batch], roi), d[0] - 1));
		const float *plane = (const float *)x->data + (batch * d[1] + ch) * d[2] * d[3];
		double offset = k->aligned ? 0.5 : 0, x0 = (double)r[0] * k->scale[m] - offset, y0 = (double)r[1] * k->scale[m] - offset;
		double w = (double)r[2] * k->scale[m] - offset - x0, h = (double)r[3] * k->scale[m] - offset - y0;
		if (!k->aligned) {
			w = HB_MAX(w, 1);
			h = HB_MAX(h, 1);
		}
		int64_t ny = samples(k->ratio, h, o[2]), nx = samples(k->ratio, w, o[3]), at[4];
		double bh = h / (double)o[2], bw = w / (double)o[3], sum = 0, wt[4];
		bool any = false;
		for (int64_t s = 0; s < ny * nx; s++) {
			double yy = y0 + (double)py * bh + ((double)(s / nx) + 0.5) * bh / (double)ny;
			double xx = x0 + (double)px * bw + ((double)(s % nx) + 0.5) * bw / (double)nx;
			bool inside = corners(yy, xx, d[2], d[3], at, wt);
			for (int t = 0; t < 4; t++) {
				double v = inside ? wt[t] * (double)plane[at[t]] : 0;
				sum = !k->max ? sum + v : any && sum > v ? sum : v;
				any = true;
			}
		}
		((float *)y->data)[i] = (float)(k->max ? sum : sum / (double)HB_MAX(ny * nx, 1));
	}
}

static void
run_roi(const hb_call *c)
{
	hb_call call = *c;
	int64_t n = hb_val_elems(c->out[0]);

	if (n)
		hb_parallel(c->cx, n, 64, roi_cells, &call);
}

/* ---- shapes ---- */

static hb_status
set_output(hb_graph *g, hb_node *n, const hb_roi *r)
{
	const hb_shape *x = &n->in[0]->shape, *b = &n->in[r->boxes]->shape;
	bool leading = b->rank == 3 && b->dim[0] == 1 && r->batch < 0;

	if (!(b->rank == 2 || leading) || b->dim[b->rank - 1] != 4)
		return HB_BAD(g, n, "input %d must have one box of 4 numbers each", r->boxes);
	if (r->height < 1 || r->width < 1 || r->height > 4096 || r->width > 4096)
		return HB_BAD(g, n, "output is %lldx%lld; 1 to 4096 is taken", (long long)r->height, (long long)r->width);
	if (r->ratio < 0 || r->ratio > MAX_RATIO)
		return HB_BAD(g, n, "sampling_ratio is %lld; 0 to 256 is taken", (long long)r->ratio);
	for (int k = 0; k < r->maps; k++) {
		const hb_shape *m = &n->in[k]->shape;
		if (m->rank != 4)
			return HB_BAD(g, n, "input %d has rank %d; it must be 4", k, m->rank);
		if (m->dim[1] != x->dim[1])
			return HB_BAD(g, n, "input %d has %lld channels, input 0 %lld", k, (long long)m->dim[1], (long long)x->dim[1]);
		if (r->batch < 0 && m->dim[0] != 1)
			return HB_BAD(g, n, "input %d has %lld images; 1 is taken", k, (long long)m->dim[0]);
		if (!hb_shape_elems(m) && hb_shape_elems(b))
			return HB_BAD(g, n, "input %d is empty", k);
		if (!(r->scale[k] > 0 && r->scale[k] < 1e6))
			return HB_BAD(g, n, "a map's scale is %g; a positive number is taken", r->scale[k]);
	}
	hb_shape s = { 4, { b->dim[b->rank - 2], x->dim[1], r->height, r->width } };
	return hb_set_out(g, n, 0, HB_F32, &s);
}

static hb_status
shape_roi_align(hb_graph *g, hb_node *n)
{
	const char *mode = hb_attr_s(n, "mode", "avg");
	const char *how = hb_attr_s(n, "coordinate_transformation_mode", n->version < 16 ? "output_half_pixel" : "half_pixel");
	const hb_tensor *batch = n->in[2];
	hb_roi *r = HB_AUX(g, n, hb_roi);

	if (!r)
		return hb_nomem(g->cx, n->name);
	if (strcmp(mode, "avg") && strcmp(mode, "max"))
		return HB_BAD(g, n, "mode is '%s'; avg or max is taken", mode);
	if (strcmp(how, "half_pixel") && strcmp(how, "output_half_pixel"))
		return HB_BAD(g, n, "coordinate_transformation_mode is '%s'; half_pixel or output_half_pixel is taken", how);
	*r = (hb_roi){
		.maps = 1, .boxes = 1, .batch = 2, .height = hb_attr_i(n, "output_height", 1), .width = hb_attr_i(n, "output_width", 1),
		.ratio = hb_attr_i(n, "sampling_ratio", 0), .scale = { (double)hb_attr_f(n, "spatial_scale", 1) },
		.aligned = !strcmp(how, "half_pixel"), .max = !strcmp(mode, "max"),
	};
	if (batch->shape.rank != 1 || n->in[1]->shape.rank != 2 || batch->shape.dim[0] != n->in[1]->shape.dim[0])
		return HB_BAD(g, n, "batch_indices must have one entry for each roi");
	return set_output(g, n, r);
}

/* What horizon's two operators share; sampling_ratio -1 is torchvision's word for 0. */
static hb_status
horizon_roi(hb_graph *g, hb_node *n, int maps, hb_roi *r)
{
	size_t count = 0;
	const int64_t *size = hb_attr_ints(n, "output_size", &count);

	if (count != 1 && count != 2)
		return HB_BAD(g, n, "output_size has %zu entries; 1 or 2 are taken", count);
	*r = (hb_roi){
		.maps = maps, .boxes = maps, .batch = -1, .height = size[0], .width = size[count - 1],
		.ratio = HB_MAX(hb_attr_i(n, "sampling_ratio", -1), 0), .aligned = hb_attr_i(n, "aligned", 0) != 0,
	};
	return HB_OK;
}

static hb_status
shape_horizon_roi(hb_graph *g, hb_node *n)
{
	hb_roi *r = HB_AUX(g, n, hb_roi);

	if (!r)
		return hb_nomem(g->cx, n->name);
	HB_TRY(horizon_roi(g, n, 1, r));
	r->scale[0] = (double)hb_attr_f(n, "spatial_scale", 1);
	return set_output(g, n, r);
}

static hb_status
shape_multi_scale(hb_graph *g, hb_node *n)
{
	hb_roi *r = HB_AUX(g, n, hb_roi);
	size_t count;
	const float *scales = hb_attr_floats(n, "scales", &count);

	if (!r)
		return hb_nomem(g->cx, n->name);
	HB_TRY(horizon_roi(g, n, n->nin - 1, r));
	if (count != (size_t)r->maps)
		return HB_BAD(g, n, "scales has %zu entries; there are %d maps", count, r->maps);
	for (int k = 0; k < r->maps; k++)
		r->scale[k] = (double)scales[k];
	int64_t size = hb_attr_i(n, "canonical_scale", 224), level = hb_attr_i(n, "canonical_level", 4);
	if (size < 1 || size > 1 << 20 || level < -64 || level > 64)
		return HB_BAD(g, n, "canonical_scale is %lld, canonical_level %lld; 1 to 2^20 and -64 to 64 are taken", (long long)size,
			      (long long)level);
	r->canonical_scale = (double)size;
	r->canonical_level = (int)level;
	HB_TRY(set_output(g, n, r));
	r->first_level = level_of(r->scale[0]);
	return HB_OK;
}

/* ---- rows ---- */

const char *
hb_floats_roi(const hb_node *n)
{
	const hb_roi *r = n->aux;

	if (r->max)
		return "the largest of the samples";
	if (r->ratio == 0)
		return "a sampling_ratio that follows the boxes' size";
	return n->in[0]->shape.dim[0] != 1 ? "boxes of more than one image" : NULL;
}

#define INT(name) { name, HB_ATTR_INT, false, 0, 0 }
#define HORIZON_ROI { "output_size", HB_ATTR_INTS, true, 0, 0 }, INT("sampling_ratio"), INT("aligned")

static const hb_attr_row onnx_rows[] = {
	{ "coordinate_transformation_mode", HB_ATTR_STRING, false, 16, 0 }, { "mode", HB_ATTR_STRING, false, 0, 0 },
	INT("output_height"), INT("output_width"), INT("sampling_ratio"), { "spatial_scale", HB_ATTR_FLOAT, false, 0, 0 }, { 0 } };
static const hb_attr_row horizon_rows[] = { HORIZON_ROI, { "spatial_scale", HB_ATTR_FLOAT, false, 0, 0 }, { 0 } };
static const hb_attr_row multi_rows[] = {
	HORIZON_ROI, { "scales", HB_ATTR_FLOATS, true, 0, 0 }, INT("canonical_scale"), INT("canonical_level"), { 0 } };

#define FIXED_ROI .run = run_roi, .convert = hb_to_fx_roi, .floats = hb_floats_roi

const hb_op hb_op_roi_align = {
	.name = "RoiAlign", .since = 10, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = onnx_rows, .types = FLOATS, .in_types = { 0, 0, HB_BIT(HB_I64) }, .shape = shape_roi_align,
	.role = HB_ROLE_PASS, .places = 1 << 1, FIXED_ROI,
};

const hb_op hb_op_horizon_roi_align = {
	.name = "RoIAlign", .domain = "horizon", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = horizon_rows, .types = FLOATS, .shape = shape_horizon_roi, .role = HB_ROLE_PASS, .places = 1 << 1, FIXED_ROI,
};

const hb_op hb_op_multi_scale_roi_align = {
	.name = "MultiScaleRoIAlign", .domain = "horizon", .since = 1, .min_in = 2, .max_in = HB_ROI_MAPS + 1, .in_whole = true, .min_out = 1, .max_out = 1,
	.attrs = multi_rows, .types = FLOATS, .shape = shape_multi_scale, .role = HB_ROLE_OWN, .places = HB_LAST_INPUT, FIXED_ROI,
};
