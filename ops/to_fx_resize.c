/* to_fx_resize.c: Resize and Upsample: each output index's source is computed once,
 * with 11 fraction bits, as ONNX Runtime computes it (in float). */
#include "ops/to_fx.h"

#include <math.h>

enum { FRACTION = 2048 };

/* Output index x's coordinate in an input of `in` elements; `out` elements come of it at `scale`. */
typedef float coordinate(float x, float scale, float in, float out);

static float
half_pixel(float x, float scale, float in, float out)
{
	(void)in, (void)out;
	return (x + 0.5f) / scale - 0.5f;
}

static float
half_pixel_symmetric(float x, float scale, float in, float out)
{
	float adjustment = out / (scale * in), centre = in / 2;

	return centre * (1 - adjustment) + (x + 0.5f) / scale - 0.5f;
}

static float
pytorch_half_pixel(float x, float scale, float in, float out)
{
	(void)in;
	return out > 1 ? (x + 0.5f) / scale - 0.5f : 0.0f;
}

static float
align_corners(float x, float scale, float in, float out)
{
	(void)scale;
	return out == 1 ? 0 : x * (in - 1) / (out - 1);
}

static float
asymmetric(float x, float scale, float in, float out)
{
	(void)in, (void)out;
	return x / scale;
}

static float
tf_half_pixel_for_nn(float x, float scale, float in, float out)
{
	(void)in, (void)out;
	return (x + 0.5f) / scale;
}

static const struct {
	const char *name;
	coordinate *f;
} coordinates[] = {
	{ "half_pixel", half_pixel }, { "half_pixel_symmetric", half_pixel_symmetric }, { "pytorch_half_pixel", pytorch_half_pixel },
	{ "align_corners", align_corners }, { "asymmetric", asymmetric }, { "tf_half_pixel_for_nn", tf_half_pixel_for_nn },
};

static int64_t
nearest(const char *how, float x)
{
	if (!strcmp(how, "floor"))
		return (int64_t)floorf(x);
	if (!strcmp(how, "ceil"))
		return (int64_t)ceilf(x);
	if (!strcmp(how, "round_prefer_ceil"))
		return (int64_t)floorf(x + 0.5f);
	return (int64_t)ceilf(x - 0.5f);	/* round_prefer_floor */
}

/* Scales by dimension: the given ones, else of the extents. */
static bool
scales_of(hb_convert *cv, const hb_node *n, float *scale)
{
	const hb_shape *x = &n->in[0]->shape, *y = &n->out[0]->shape;
	hb_tensor *t = n->version < 11 ? hb_in(n, 1) : hb_in(n, 2);
	size_t count = 0, naxes = 0;
	const float *v = NULL;
	const int64_t *axes = hb_attr_ints(n, "axes", &naxes);

	for (int d = 0; d < x->rank; d++)
		scale[d] = (float)y->dim[d] / (float)x->dim[d];
	if (!strcmp(n->op_type, "Upsample") && !t) {
		v = hb_attr_floats(n, "scales", &count);
	} else if (t && t->is_const && t->dtype == HB_F32) {
		count = (size_t)hb_tensor_elems(t);
		if (count && !(v = hb_tensor_data(cv->from, t)))
			return false;
	}
	if (count && count != (axes ? naxes : (size_t)x->rank))
		return false;
	for (size_t i = 0; v && i < count; i++) {
		int64_t d = axes ? axes[i] + (axes[i] < 0 ? x->rank : 0) : (int64_t)i;

		scale[d] = v[i];
	}
	return true;
}

static hb_tensor *
table_of(hb_convert *cv, const hb_node *n, coordinate *f, bool linear, int64_t in, int64_t out, float scale, const char *name)
{
	const char *how = n->version < 11 ? "floor" : hb_attr_s(n, "nearest_mode", "round_prefer_floor");
	hb_tensor *t = hb_fx_const(cv, n, name, HB_I32, 2, (int64_t[]){ out, 2 }, NULL);
	int32_t *v = t ? (int32_t *)(uintptr_t)t->data : NULL;

	for (int64_t i = 0; v && i < out; i++, v += 2) {
		float x = scale == 1 ? (float)i : f((float)i, scale, (float)in, (float)out);

		if (!linear) {
			v[0] = (int32_t)HB_MIN(HB_MAX(nearest(how, x), 0), in - 1);
			continue;
		}
		x = fminf(fmaxf(x, 0), (float)(in - 1));
		v[0] = (int32_t)floorf(x);
		v[1] = (int32_t)floorf((x - (float)v[0]) * FRACTION + 0.5f);
	}
	return t;
}

hb_status
hb_to_fx_resize(hb_convert *cv, hb_node *n)
{
	bool upsample = !strcmp(n->op_type, "Upsample");
	const char *mode = hb_attr_s(n, "mode", "nearest");
	const char *how = n->version < 11 || upsample ? "asymmetric" : hb_attr_s(n, "coordinate_transformation_mode", "half_pixel");
	const hb_shape *xs = &n->in[0]->shape, *ys = &n->out[0]->shape;
	bool linear = !strcmp(mode, "linear") || !strcmp(mode, "bilinear");
	coordinate *f = NULL;
	float scale[HB_MAX_RANK];
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *y, *rows, *cols;
	hb_node *k;

	if (!x)
		return HB_ERR_NOMEM;
	for (size_t i = 0; i < HB_LEN(coordinates); i++)
		f = strcmp(how, coordinates[i].name) ? f : coordinates[i].f;
	if ((!linear && strcmp(mode, "nearest")) || !f || hb_attr_i(n, "antialias", 0))
		return HB_FX_REFUSE(cv, n, "mode %s with %s coordinates has no fixed-point form", mode, how);
	if (xs->rank != 4 || xs->dim[0] != ys->dim[0] || xs->dim[1] != ys->dim[1])
		return HB_FX_REFUSE(cv, n, "a resize of other than the last two of four dimensions has no fixed-point form");
	if (!scales_of(cv, n, scale))
		return HB_FX_REFUSE(cv, n, "its scales are no constants");
	y = hb_fx_moved(cv, n, n->out[0], &x->q);
	rows = table_of(cv, n, f, linear, xs->dim[2], ys->dim[2], scale[2], "rows");
	cols = table_of(cv, n, f, linear, xs->dim[3], ys->dim[3], scale[3], "cols");
	k = y && rows && cols ? hb_fx_node(cv, n, "Resize", y, 3, (hb_tensor *[]){ x, rows, cols }) : NULL;
	if (!k || !hb_attr_set_i(cv->to, k, "mode", linear))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(cv, k));
	return hb_fx_settle(cv, n, y, n->out[0]);
}
