/* resize.c: Resize and Upsample, one axis after another, innermost first: along an axis each output
 * index is a weighted sum of a few source indices. */
#include "ops/resize.h"
#include "lib/base/cpu.h"
#include "ops/nd.h"
#include "ops/to_fx.h"

#include <math.h>

static const char *const mode_names[] = { "nearest", "linear", "cubic" };

static const char *const coords_names[] = {
	[HB_HALF_PIXEL] = "half_pixel", [HB_HALF_PIXEL_SYMMETRIC] = "half_pixel_symmetric",
	[HB_PYTORCH_HALF_PIXEL] = "pytorch_half_pixel", [HB_ALIGN_CORNERS] = "align_corners",
	[HB_ASYMMETRIC] = "asymmetric", [HB_TF_HALF_PIXEL_FOR_NN] = "tf_half_pixel_for_nn",
	[HB_TF_CROP_AND_RESIZE] = "tf_crop_and_resize",
};

static const char *const nearest_names[] = {
	[HB_ROUND_PREFER_FLOOR] = "round_prefer_floor", [HB_ROUND_PREFER_CEIL] = "round_prefer_ceil",
	[HB_NEAREST_FLOOR] = "floor", [HB_NEAREST_CEIL] = "ceil",
};

static const char *const policy_names[] = { "stretch", "not_larger", "not_smaller" };
enum { STRETCH, NOT_LARGER, NOT_SMALLER };

/* ---- coordinates ---- */

bool
hb_resize_active(const hb_resize *r, int axis)
{
	return r->in[axis] != r->out[axis] || r->scale[axis] != 1 || (r->coords == HB_TF_CROP_AND_RESIZE &&
	       (r->roi_start[axis] != 0 || r->roi_end[axis] != 1));
}

/* x / scale, by whole numbers where the scale is a ratio of extents. */
static double
unscale(const hb_resize *r, int axis, double x)
{
	return r->exact[axis] ? x * (double)r->in[axis] / (double)r->out[axis] : x / r->scale[axis];
}

double
hb_resize_coord(const hb_resize *r, int axis, int64_t o)
{
	double x = (double)o, in = (double)r->in[axis];
	double out = r->exact[axis] ? (double)r->out[axis] : r->scale[axis] * in;	/* not rounded down */
	double start = r->roi_start[axis], end = r->roi_end[axis];
	switch (r->coords) {
	case HB_HALF_PIXEL:
		return unscale(r, axis, x + 0.5) - 0.5;
	case HB_HALF_PIXEL_SYMMETRIC:
		return in / 2 * (1 - (double)r->out[axis] / out) + unscale(r, axis, x + 0.5) - 0.5;
	case HB_PYTORCH_HALF_PIXEL:
		return out == 1 ? -0.5 : unscale(r, axis, x + 0.5) - 0.5;
	case HB_ALIGN_CORNERS:
		return out == 1 ? 0 : x * (in - 1) / (out - 1);
	case HB_ASYMMETRIC:
		return unscale(r, axis, x);
	case HB_TF_HALF_PIXEL_FOR_NN:
		return unscale(r, axis, x + 0.5);
	case HB_TF_CROP_AND_RESIZE:
		return start * (in - 1) + (out == 1 ? (end - start) * (in - 1) / 2 : x * (end - start) * (in - 1) / (out - 1));
	}
	return 0;
}

int64_t
hb_resize_nearest(const hb_resize *r, int axis, double x)
{
	double last = (double)(r->in[axis] - 1), below = floor(x), y = below;
	double fraction = x - below;
	bool up = r->nearest == HB_ROUND_PREFER_FLOOR ? fraction > 0.5
		: r->nearest == HB_ROUND_PREFER_CEIL ? fraction >= 0.5
						     : r->nearest == HB_NEAREST_CEIL && fraction > 0;
	y += up;
	return (int64_t)(y > 0 ? y < last ? y : last : 0);
}

static bool
outside(const hb_resize *r, int axis, double x)
{
	return r->coords == HB_TF_CROP_AND_RESIZE && !(x >= 0 && x <= (double)(r->in[axis] - 1));
}

/* ---- weights ---- */

static double
cubic(double x, double a)
{
	x = fabs(x);
	if (x <= 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* Source indices that one result is made of. With antialias the kernel widens as the scale falls. */
static int64_t
tap_count(const hb_resize *r, int axis)
{
	double reach = r->mode == HB_RESIZE_CUBIC ? 2 : 1;
	if (r->mode == HB_RESIZE_NEAREST)
		return 1;
	if (r->antialias && r->scale[axis] < 1)
		return (int64_t)(2 - 2 * (floor(-reach / r->scale[axis]) + 1));
	return (int64_t)(2 * reach);
}

/* The taps of output index o: indices clamped to the input, weights adding up to 1. */
static void
taps_of(const hb_resize *r, int axis, int64_t o, int64_t n, int64_t *index, float *weight)
{
	double x = hb_resize_coord(r, axis, o), last = (double)(r->in[axis] - 1);
	if (r->mode == HB_RESIZE_NEAREST) {
		*index = hb_resize_nearest(r, axis, x);
		*weight = 1;
		return;
	}
	double stretch = r->antialias && r->scale[axis] < 1 ? r->scale[axis] : 1;
	double base = ceil(x) - 1;	/* the left neighbour; of a whole number the one before it */
	double sum = 0;
	for (int pass = 0; pass < 2; pass++)
		for (int64_t t = 0; t < n; t++) {
			double at = base + (double)(1 - n / 2 + t), d = (at - x) * stretch;
			double w = r->mode == HB_RESIZE_CUBIC ? cubic(d, r->cubic_a) : fmax(1 - fabs(d), 0);
			if (r->exclude_outside && (at < 0 || at > last))
				w = 0;
			index[t] = (int64_t)(at > 0 ? at < last ? at : last : 0);
			weight[t] = (float)(pass && sum != 0 ? w / sum : w);
			sum += pass ? 0 : w;
		}
}

/* ---- kernel ---- */

/* One axis: x of outer x in x inner to y of outer x out x inner. */
typedef struct pass {
	int64_t outer, in, out, inner, taps;
	const int64_t *index;
	const float *weight;
	const void *x;
	void *y;
	size_t size;
	hb_isa isa;
} pass;

HB_INLINE void
blend_rows(float *restrict y, const float *x, const int64_t *index, const float *weight, int64_t taps, int64_t inner)
{
	for (int64_t i = 0; i < inner; i++)
		y[i] = weight[0] * x[index[0] * inner + i];
	for (int64_t t = 1; t < taps; t++) {
		const float *from = x + index[t] * inner;
		float w = weight[t];
		for (int64_t i = 0; i < inner; i++)
			y[i] += w * from[i];
	}
}

HB_KERNEL(blend, blend_rows,
	  (float *restrict y, const float *x, const int64_t *index, const float *weight, int64_t taps, int64_t inner),
	  (y, x, index, weight, taps, inner))

static void
run_blend(void *arg, int64_t begin, int64_t end, int worker)
{
	const pass *p = arg;
	(void)worker;
	for (int64_t o = begin; o < end; o++) {
		const float *x = (const float *)p->x + o * p->in * p->inner;
		float *y = (float *)p->y + o * p->out * p->inner;
		for (int64_t j = 0; j < p->out; j++) {
			const int64_t *index = p->index + j * p->taps;
			const float *w = p->weight + j * p->taps;
			if (p->inner > 1) {
				blend[p->isa](y + j * p->inner, x, index, w, p->taps, p->inner);
				continue;
			}
			float s = w[0] * x[index[0]];
			for (int64_t t = 1; t < p->taps; t++)
				s += w[t] * x[index[t]];
			y[j] = s;
		}
	}
}

static void
run_gather(void *arg, int64_t begin, int64_t end, int worker)
{
	const pass *p = arg;
	size_t row = (size_t)p->inner * p->size;
	(void)worker;
	for (int64_t o = begin; o < end; o++) {
		const uint8_t *x = (const uint8_t *)p->x + (size_t)(o * p->in) * row;
		uint8_t *y = (uint8_t *)p->y + (size_t)(o * p->out) * row;
		if (row == 4) {
			for (int64_t j = 0; j < p->out; j++)
				memcpy(y + 4 * j, x + 4 * p->index[j], 4);
			continue;
		}
		for (int64_t j = 0; j < p->out; j++)
			memcpy(y + (size_t)j * row, x + (size_t)p->index[j] * row, row);
	}
}

/* Scratch: the largest axis' indices and weights, then two values between axes. */
typedef struct layout {
	size_t index, weight, value;
} layout;

static layout
layout_of(const hb_resize *r, size_t size)
{
	layout l = { 0 };
	int64_t elems = 1;
	for (int i = 0; i < r->rank; i++)
		elems *= r->in[i];
	l.value = (size_t)elems;
	for (int i = r->rank - 1; i >= 0; i--) {
		int64_t entries = r->out[i] * tap_count(r, i);
		l.index = HB_MAX(l.index, (size_t)hb_round_up(entries * 8, 64));
		l.weight = HB_MAX(l.weight, (size_t)hb_round_up(entries * 4, 64));
		if (r->in[i])
			elems = elems / r->in[i] * r->out[i];
		l.value = HB_MAX(l.value, (size_t)elems);
	}
	l.value = (l.value * size + 63) / 64 * 64;
	return l;
}

/* Integers are blended as floats. */
static size_t
element(const hb_resize *r, hb_dtype dt)
{
	return r->mode == HB_RESIZE_NEAREST ? hb_dtype_size(dt) : sizeof(float);
}

static size_t
scratch_resize(const hb_node *n, int jobs)
{
	const hb_resize *r = n->aux;
	layout l = layout_of(r, element(r, n->in[0]->dtype));
	(void)jobs;
	return l.index + l.weight + 2 * l.value;
}

/* Results whose coordinate lies outside along any axis. */
static void
extrapolate(const hb_resize *r, const hb_val *y)
{
	int64_t inner = 1, total = hb_shape_elems(&y->shape);
	for (int axis = r->rank - 1; axis >= 0; axis--) {
		for (int64_t j = 0; hb_resize_active(r, axis) && j < r->out[axis]; j++) {
			if (!outside(r, axis, hb_resize_coord(r, axis, j)))
				continue;
			for (int64_t o = j * inner; o < total; o += r->out[axis] * inner)
				for (int64_t i = 0; i < inner; i++)
					hb_float_store(y->dtype, &r->extrapolation, y->data, o + i, 1);
		}
		inner *= r->out[axis];
	}
}

static void
run_resize(const hb_call *c)
{
	const hb_resize *r = c->n->aux;
	const hb_val *x = c->in[0], *y = c->out[0];
	int64_t elems = hb_shape_elems(&y->shape);
	if (!elems)
		return;
	bool blended = r->mode != HB_RESIZE_NEAREST, whole = blended && x->dtype != HB_F32;
	size_t size = element(r, x->dtype);
	layout l = layout_of(r, size);
	uint8_t *at = c->scratch;
	int64_t *index = (int64_t *)(void *)at;
	float *weight = (float *)(void *)(at + l.index);
	uint8_t *values[2] = { at + l.index + l.weight, at + l.index + l.weight + l.value };
	int next = 0, left = 0;
	for (int i = 0; i < r->rank; i++)
		left += hb_resize_active(r, i);
	const void *from = x->data;
	if (whole) {
		hb_float_load(x->dtype, x->data, 0, 1, hb_shape_elems(&x->shape), (float *)(void *)values[1]);
		from = values[1];
	}
	int64_t inner = 1;
	for (int axis = r->rank - 1; axis >= 0; inner *= r->out[axis], axis--) {
		if (!hb_resize_active(r, axis))
			continue;
		int64_t taps = tap_count(r, axis), outer = 1;
		for (int i = 0; i < axis; i++)
			outer *= r->in[i];
		for (int64_t j = 0; j < r->out[axis]; j++)
			taps_of(r, axis, j, taps, index + j * taps, weight + j * taps);
		void *to = --left || whole ? values[next] : y->data;
		pass p = {
			.outer = outer, .in = r->in[axis], .out = r->out[axis], .inner = inner, .taps = taps,
			.index = index, .weight = weight, .x = from, .y = to, .size = size, .isa = c->cx->isa,
		};
		hb_parallel(c->cx, outer, HB_MAX(1, 8192 / HB_MAX(p.out * inner, 1)), blended ? run_blend : run_gather, &p);
		from = to;
		next = 1 - next;
	}
	if (whole)
		hb_float_store(y->dtype, from, y->data, 0, elems);
	else if (from == x->data)
		hb_copy_bytes(c->cx, y->data, from, (uint64_t)elems * size);
	extrapolate(r, y);
}

/* ---- shape ---- */

/* The position of attribute `attr` among n names. */
static hb_status
choice(hb_graph *g, hb_node *n, const char *attr, const char *dflt, const char *const *names, size_t count, int *out)
{
	const char *s = hb_attr_s(n, attr, dflt);
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(names[i], s)) {
			*out = (int)i;
			return HB_OK;
		}
	}
	return HB_BAD(g, n, "%s '%s' is not known", attr, s);
}

static bool
given(const hb_tensor *t)
{
	return t && hb_tensor_elems(t) > 0;
}

/* Float constant i; HB_NEED_CONST where it is none yet. */
static hb_status
floats_of(hb_graph *g, hb_node *n, int i, size_t count, const float **v)
{
	hb_tensor *t = n->in[i];
	if (!t->is_const)
		return hb_need_const(g, n, i);
	if (t->dtype != HB_F32 || hb_tensor_elems(t) != (int64_t)count)
		return HB_BAD(g, n, "input %d must have %zu float values", i, count);
	*v = hb_tensor_data(g, t);
	return *v ? HB_OK : HB_ERR_NOMEM;
}

static hb_status
set_scale(hb_graph *g, hb_node *n, hb_resize *r, int axis, float s)
{
	if (!(s > 0) || !(s * (float)r->in[axis] < 0x1p40f))
		return HB_BAD(g, n, "scale %g of axis %d is out of range", (double)s, axis);
	r->scale[axis] = (double)s;
	r->out[axis] = (int64_t)floorf((float)r->in[axis] * s);
	return HB_OK;
}

/* Extents from sizes[k] for axes[k]. */
static hb_status
set_sizes(hb_graph *g, hb_node *n, hb_resize *r, const int *axes, size_t count, const int64_t *sizes, int policy)
{
	double common = 0;
	for (size_t k = 0; k < count; k++) {
		int axis = axes[k];
		if (sizes[k] < 0 || sizes[k] > INT64_C(1) << 40)
			return HB_BAD(g, n, "size %lld of axis %d is out of range", (long long)sizes[k], axis);
		if (!r->in[axis] && sizes[k])
			return HB_BAD(g, n, "axis %d is empty; it cannot be resized to %lld", axis, (long long)sizes[k]);
		r->out[axis] = sizes[k];
		r->scale[axis] = r->in[axis] ? (double)sizes[k] / (double)r->in[axis] : 1;
		r->exact[axis] = true;
		if (!k || (policy == NOT_LARGER ? r->scale[axis] < common : r->scale[axis] > common))
			common = r->scale[axis];
	}
	for (size_t k = 0; policy != STRETCH && k < count; k++) {
		int axis = axes[k];
		r->scale[axis] = common;
		r->out[axis] = (int64_t)floor(common * (double)r->in[axis] + 0.5);
		r->exact[axis] = r->scale[axis] * (double)r->in[axis] == (double)r->out[axis];
	}
	return HB_OK;
}

/* Also what stands between two axes' passes must be a tensor that could exist. */
static hb_status
check_sizes(hb_graph *g, hb_node *n, const hb_resize *r)
{
	for (int k = 0; k <= r->rank; k++) {
		int64_t elems = 1;
		for (int i = 0; i < r->rank; i++)
			if (!hb_mul64(elems, HB_MAX(i < k ? r->in[i] : r->out[i], 1), &elems) || elems > INT64_C(1) << 47)
				return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "shape", "the result is above 2^47 elements");
	}
	for (int i = 0; i < r->rank; i++)
		if (r->antialias && r->scale[i] < 0x1p-24)
			return HB_BAD(g, n, "scale %g of axis %d is out of range", r->scale[i], i);
	return HB_OK;
}

static hb_status
finish(hb_graph *g, hb_node *n, hb_resize *r)
{
	hb_shape y = { .rank = r->rank };
	HB_TRY(check_sizes(g, n, r));
	for (int i = 0; i < r->rank; i++)
		y.dim[i] = r->out[i];
	return hb_set_out(g, n, 0, n->in[0]->dtype, &y);
}

static hb_resize *
new_resize(hb_graph *g, hb_node *n)
{
	hb_resize *r = HB_AUX(g, n, hb_resize);
	if (!r)
		return NULL;
	r->rank = n->in[0]->shape.rank;
	for (int i = 0; i < r->rank; i++) {
		r->in[i] = r->out[i] = n->in[0]->shape.dim[i];
		r->scale[i] = 1;
		r->roi_end[i] = 1;
	}
	return r;
}

static hb_status
read_axes(hb_graph *g, hb_node *n, int rank, int *axes, size_t *count)
{
	size_t given_axes = 0;
	const int64_t *a = hb_attr_ints(n, "axes", &given_axes);
	*count = a ? given_axes : (size_t)rank;
	if (*count > (size_t)rank)
		return HB_BAD(g, n, "has %zu axes; the input has rank %d", *count, rank);
	for (size_t k = 0; k < *count; k++) {
		axes[k] = (int)k;
		if (a)
			HB_TRY(hb_axis(g, n, "axes", a[k], rank, &axes[k]));
	}
	return HB_OK;
}

static hb_status
read_words(hb_graph *g, hb_node *n, hb_resize *r, int *policy)
{
	int v = 0;
	HB_TRY(choice(g, n, "mode", "nearest", mode_names, HB_LEN(mode_names), &v));
	r->mode = (hb_resize_mode)v;
	HB_TRY(choice(g, n, "coordinate_transformation_mode", n->version < 11 ? "asymmetric" : "half_pixel", coords_names,
		      HB_LEN(coords_names), &v));
	r->coords = (hb_resize_coords)v;
	HB_TRY(choice(g, n, "nearest_mode", n->version < 11 ? "floor" : "round_prefer_floor", nearest_names,
		      HB_LEN(nearest_names), &v));
	r->nearest = (hb_resize_nearest_mode)v;
	HB_TRY(choice(g, n, "keep_aspect_ratio_policy", "stretch", policy_names, HB_LEN(policy_names), policy));
	r->antialias = hb_attr_i(n, "antialias", 0) != 0 && r->mode != HB_RESIZE_NEAREST;
	r->exclude_outside = hb_attr_i(n, "exclude_outside", 0) != 0;
	r->cubic_a = (double)hb_attr_f(n, "cubic_coeff_a", -0.75f);
	r->extrapolation = hb_attr_f(n, "extrapolation_value", 0);
	return HB_OK;
}

static hb_status
shape_resize(hb_graph *g, hb_node *n)
{
	hb_resize *r = new_resize(g, n);
	int axes[HB_MAX_RANK], policy = STRETCH;
	size_t count = 0, got = 0;
	const float *f = NULL;
	int scales = n->version < 11 ? 1 : 2;
	if (!r)
		return hb_nomem(g->cx, n->name);
	HB_TRY(read_words(g, n, r, &policy));
	HB_TRY(read_axes(g, n, r->rank, axes, &count));
	if (r->coords == HB_TF_CROP_AND_RESIZE) {
		if (!given(hb_in(n, 1)))
			return HB_BAD(g, n, "tf_crop_and_resize needs roi");
		HB_TRY(floats_of(g, n, 1, 2 * count, &f));
		for (size_t k = 0; k < count; k++) {
			r->roi_start[axes[k]] = (double)f[k];
			r->roi_end[axes[k]] = (double)f[count + k];
		}
	}
	bool by_scale = given(hb_in(n, scales));
	if (by_scale == (n->version >= 11 && given(hb_in(n, 3))))
		return HB_BAD(g, n, "one of scales and sizes must be given");
	if (by_scale) {
		HB_TRY(floats_of(g, n, scales, count, &f));
		for (size_t k = 0; k < count; k++)
			HB_TRY(set_scale(g, n, r, axes[k], f[k]));
	} else {
		const int64_t *v = NULL;
		HB_TRY(hb_const_ints(g, n, 3, "sizes", &v, &got));
		if (got != count)
			return HB_BAD(g, n, "sizes has %zu values; it must have %zu", got, count);
		HB_TRY(set_sizes(g, n, r, axes, count, v, policy));
	}
	return finish(g, n, r);
}

static const hb_attr_row resize_rows[] = {
	{ .name = "antialias", .type = HB_ATTR_INT, .since = 18 },
	{ .name = "axes", .type = HB_ATTR_INTS, .since = 18 },
	{ .name = "coordinate_transformation_mode", .type = HB_ATTR_STRING, .since = 11 },
	{ .name = "cubic_coeff_a", .type = HB_ATTR_FLOAT, .since = 11 },
	{ .name = "exclude_outside", .type = HB_ATTR_INT, .since = 11 },
	{ .name = "extrapolation_value", .type = HB_ATTR_FLOAT, .since = 11 },
	{ .name = "keep_aspect_ratio_policy", .type = HB_ATTR_STRING, .since = 18 },
	{ .name = "mode", .type = HB_ATTR_STRING },
	{ .name = "nearest_mode", .type = HB_ATTR_STRING, .since = 11 },
	{ 0 },
};

const hb_op hb_op_resize = {
	.name = "Resize", .since = 10, .min_in = 1, .max_in = 4, .min_out = 1, .max_out = 1, .attrs = resize_rows,
	.in_types = { HB_ANY, HB_BIT(HB_F32), HB_BIT(HB_F32), HB_BIT(HB_I64) },
	.shape = shape_resize, .scratch = scratch_resize, .run = run_resize, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_resize, .floats = hb_floats_resize,
};

/* ---- Upsample: scales only, asymmetric, nearest below ---- */

static const hb_attr_row upsample_rows[] = {
	{ .name = "height_scale", .type = HB_ATTR_FLOAT, .until = 6, .required = true },
	{ .name = "width_scale", .type = HB_ATTR_FLOAT, .until = 6, .required = true },
	{ .name = "mode", .type = HB_ATTR_STRING },
	{ .name = "scales", .type = HB_ATTR_FLOATS, .since = 7, .until = 8, .required = true },
	{ 0 },
};

static hb_status
shape_upsample(hb_graph *g, hb_node *n)
{
	hb_resize *r = new_resize(g, n);
	const char *mode = hb_attr_s(n, "mode", "nearest");
	size_t count = 0;
	const float *scales = NULL;
	float two[4] = { 1, 1, 1, 1 };
	if (!r)
		return hb_nomem(g->cx, n->name);
	if (!strcmp(mode, "linear") || !strcmp(mode, "bilinear"))
		r->mode = HB_RESIZE_LINEAR;
	else if (strcmp(mode, "nearest"))
		return HB_BAD(g, n, "mode '%s' is not known", mode);
	r->coords = HB_ASYMMETRIC;
	r->nearest = HB_NEAREST_FLOOR;
	if (n->version < 7) {
		two[2] = hb_attr_f(n, "height_scale", 1);
		two[3] = hb_attr_f(n, "width_scale", 1);
		scales = two;
		count = HB_LEN(two);
	} else if (n->version < 9) {
		scales = hb_attr_floats(n, "scales", &count);
	} else {
		if (!hb_in(n, 1))
			return HB_BAD(g, n, "scales is missing");
		count = (size_t)r->rank;
		HB_TRY(floats_of(g, n, 1, count, &scales));
	}
	if (count != (size_t)r->rank)
		return HB_BAD(g, n, "scales has %zu values; the input has rank %d", count, r->rank);
	for (int i = 0; i < r->rank; i++)
		HB_TRY(set_scale(g, n, r, i, scales[i]));
	return finish(g, n, r);
}

const hb_op hb_op_upsample = {
	.name = "Upsample", .since = 1, .until = 9, .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = upsample_rows, .in_types = { HB_ANY, HB_BIT(HB_F32) },
	.shape = shape_upsample, .scratch = scratch_resize, .run = run_resize, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_resize, .floats = hb_floats_resize,
};
