/* to_fx_resize.c: Resize and Upsample: each output index's source is computed once, with 11 fraction bits. */
#include "ops/resize.h"
#include "ops/to_fx.h"

#include <math.h>

enum { FRACTION = 2048 };

/* Rows [first source index, weight of the next] for the outputs of an axis. */
static hb_tensor *
table_of(hb_convert *cv, const hb_node *n, const hb_resize *r, int axis, const char *name)
{
	hb_tensor *t = hb_fx_const(cv, n, name, HB_I32, 2, (int64_t[]){ r->out[axis], 2 }, NULL);
	int32_t *v = t ? (int32_t *)(uintptr_t)t->data : NULL;

	for (int64_t o = 0; v && o < r->out[axis]; o++, v += 2) {
		double x = hb_resize_active(r, axis) ? hb_resize_coord(r, axis, o) : (double)o;

		if (r->mode == HB_RESIZE_NEAREST) {
			v[0] = (int32_t)(hb_resize_active(r, axis) ? hb_resize_nearest(r, axis, x) : o);
			continue;
		}
		x = fmin(fmax(x, 0), (double)(r->in[axis] - 1));
		v[0] = (int32_t)floor(x);
		v[1] = (int32_t)floor((x - v[0]) * FRACTION + 0.5);
	}
	return t;
}

const char *
hb_floats_resize(const hb_node *n)
{
	const hb_resize *r = hb_resize_of(n);

	if (r->mode == HB_RESIZE_CUBIC || r->coords == HB_TF_CROP_AND_RESIZE || r->antialias)
		return "cubic, cropping or antialiased resizing";
	return r->rank != 4 || hb_resize_active(r, 0) || hb_resize_active(r, 1) ? "a resize of other than height and width" : NULL;
}

hb_status
hb_to_fx_resize(hb_convert *cv, hb_node *n)
{
	const hb_resize *r = hb_resize_of(n);
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *y, *rows, *cols;
	hb_node *k;

	if (!x)
		return HB_ERR_NOMEM;
	if (hb_floats_resize(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_resize(n));
	y = hb_fx_moved(cv, n, n->out[0], &x->q);
	rows = table_of(cv, n, r, 2, "rows");
	cols = table_of(cv, n, r, 3, "cols");
	k = y && rows && cols ? hb_fx_node(cv, n, "Resize", y, 3, (hb_tensor *[]){ x, rows, cols }) : NULL;
	if (!k || !hb_attr_set_i(cv->to, k, "mode", r->mode == HB_RESIZE_LINEAR))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(cv, k));
	return hb_fx_settle(cv, n, y, n->out[0]);
}
