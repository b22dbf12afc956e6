/* to_fx_conv3d.c: volumes as images: a depth is a sample of its own, the depths under a window are its channels. */
#include "ops/conv.h"
#include "ops/to_fx.h"

static hb_tensor *
like(hb_convert *cv, const hb_node *n, const char *what, const hb_tensor *x, hb_shape s)
{
	hb_tensor *t = hb_fx_temp(cv, n, what, x->dtype, x->q.scale, &s);

	return t;
}

static hb_tensor *
ints(hb_convert *cv, hb_node *k, const char *name, const int64_t *v, int count)
{
	return k && hb_attr_set_ints(cv->to, k, name, v, (size_t)count) && hb_fx_done(cv, k) == HB_OK ? k->out[0] : NULL;
}

static hb_tensor *
reshape(hb_convert *cv, const hb_node *n, hb_tensor *x, hb_shape s)
{
	return ints(cv, hb_fx_node(cv, n, "Reshape", like(cv, n, "shaped", x, s), 1, &x), "shape", s.dim, s.rank);
}

static hb_tensor *
transpose(hb_convert *cv, const hb_node *n, hb_tensor *x, const int64_t *perm)
{
	hb_shape s = x->shape;

	for (int d = 0; d < s.rank; d++)
		s.dim[d] = x->shape.dim[perm[d]];
	return ints(cv, hb_fx_node(cv, n, "Transpose", like(cv, n, "turned", x, s), 1, &x), "perm", perm, s.rank);
}

static hb_tensor *
slice(hb_convert *cv, const hb_node *n, hb_tensor *x, int64_t start, int64_t step, int64_t extent)
{
	hb_shape s = x->shape;
	int64_t starts[5] = { 0, 0, start }, steps[5] = { 1, 1, step, 1, 1 };

	s.dim[2] = extent;
	hb_node *k = hb_fx_node(cv, n, "Slice", like(cv, n, "depths", x, s), 1, &x);
	if (!k || !hb_attr_set_ints(cv->to, k, "starts", starts, 5) || !hb_attr_set_ints(cv->to, k, "steps", steps, 5))
		return NULL;
	return ints(cv, k, "extents", s.dim, 5);
}

static hb_tensor *
pad_depth(hb_convert *cv, const hb_node *n, hb_tensor *x, int64_t before, int64_t after)
{
	int64_t pads[10] = { 0, 0, before, 0, 0, 0, 0, after, 0, 0 };
	hb_shape s = x->shape;

	if (!before && !after)
		return x;
	s.dim[2] += before + after;
	return ints(cv, hb_fx_node(cv, n, "Pad", like(cv, n, "padded", x, s), 1, &x), "pads", pads, 10);
}

hb_tensor *
hb_fx_planes(hb_convert *cv, const hb_node *n, hb_tensor *x)
{
	const int64_t *d = x->shape.dim;
	hb_tensor *t = transpose(cv, n, x, (int64_t[]){ 0, 2, 1, 3, 4 });

	return t ? reshape(cv, n, t, (hb_shape){ 4, { d[0] * d[2], d[1], d[3], d[4] } }) : NULL;
}

hb_tensor *
hb_fx_depth_windows(hb_convert *cv, const hb_node *n, hb_tensor *x)
{
	const hb_conv_params *p = hb_conv_of(n);
	int64_t kd = p->kernel[0], od = p->out[0];
	hb_tensor **part = HB_NEW_N(cv->arena, hb_tensor *, kd), *t;
	hb_shape s;
	hb_node *k;

	x = part ? pad_depth(cv, n, x, p->begin[0], p->end[0]) : NULL;
	if (!x)
		return NULL;
	s = (hb_shape){ 6, { x->shape.dim[0], x->shape.dim[1], 1, od, x->shape.dim[3], x->shape.dim[4] } };
	for (int64_t i = 0; i < kd; i++) {
		t = slice(cv, n, x, i * p->dilations[0], p->strides[0], od);
		part[i] = t ? reshape(cv, n, t, s) : NULL;
		if (!part[i])
			return NULL;
	}
	s.dim[2] = kd;
	t = part[0];
	if (kd > 1) {
		k = hb_fx_node(cv, n, "Concat", like(cv, n, "windows", x, s), (int)kd, part);
		t = k && hb_attr_set_i(cv->to, k, "axis", 2) && hb_fx_done(cv, k) == HB_OK ? k->out[0] : NULL;
	}
	t = t ? transpose(cv, n, t, (int64_t[]){ 0, 3, 1, 2, 4, 5 }) : NULL;
	return t ? reshape(cv, n, t, (hb_shape){ 4, { s.dim[0] * od, s.dim[1] * kd, s.dim[4], s.dim[5] } }) : NULL;
}

hb_status
hb_fx_from_planes(hb_convert *cv, const hb_node *n, hb_tensor *planes, hb_tensor *out)
{
	const int64_t *d = out->shape.dim;
	hb_tensor *t = hb_convert_temp(cv, hb_arena_printf(cv->to->arena, "%s.volume", out->name),
				       &(hb_shape){ 5, { d[0], d[2], d[1], d[3], d[4] } }, &planes->q);
	hb_node *k = t ? hb_fx_node(cv, n, "Reshape", t, 1, &planes) : NULL;

	if (!ints(cv, k, "shape", t ? t->shape.dim : NULL, 5))
		return HB_ERR_NOMEM;
	k = hb_fx_node(cv, n, "Transpose", out, 1, &t);
	return ints(cv, k, "perm", (int64_t[]){ 0, 2, 1, 3, 4 }, 5) ? HB_OK : HB_ERR_NOMEM;
}
