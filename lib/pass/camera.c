/* camera: takes an imported graph whose input i is of pixels as the model was trained with; leaves one whose input is of
 * pixels as the camera gives them, less 128 (so that a byte is an int8 of scale 1), and a convolution that makes the one
 * of the other: colours, mean and scale. */
#include "lib/pass/pass.h"

#include "ops/horizon.h"

static const struct {
	const char *name;
	int channels;			/* 0: any */
} pixels[] = {
	[HB_PIXELS_FEATUREMAP] = { "featuremap", 0 }, [HB_PIXELS_GRAY] = { "gray", 1 }, [HB_PIXELS_RGB] = { "rgb", 3 },
	[HB_PIXELS_BGR] = { "bgr", 3 }, [HB_PIXELS_YUV444] = { "yuv444", 3 }, [HB_PIXELS_NV12] = { "nv12", 3 },
};

const char *
hb_pixels_name(hb_pixels p)
{
	return pixels[p].name;
}

bool
hb_pixels_of(const char *name, hb_pixels *out)
{
	for (size_t i = 0; i < HB_LEN(pixels); i++) {
		if (!strcmp(pixels[i].name, name)) {
			*out = (hb_pixels)i;
			return true;
		}
	}
	return false;
}

static bool
is_yuv(hb_pixels p)
{
	return p == HB_PIXELS_YUV444 || p == HB_PIXELS_NV12;
}

bool
hb_pixels_fit(hb_pixels p, const hb_shape *nchw)
{
	return p != HB_PIXELS_FEATUREMAP && nchw->rank == 4 && nchw->dim[1] == pixels[p].channels &&
	       !(is_yuv(p) && (nchw->dim[2] % 2 || nchw->dim[3] % 2));
}

static bool
is_rgb(hb_pixels p)
{
	return p == HB_PIXELS_RGB || p == HB_PIXELS_BGR;
}

bool
hb_camera_is_legal(const hb_camera *k)
{
	if (k->train == HB_PIXELS_NV12)
		return false;
	if (is_rgb(k->train))
		return is_rgb(k->rt) || is_yuv(k->rt);
	return k->train == k->rt || (is_yuv(k->train) && is_yuv(k->rt));
}

/* m[o][c] and add[o]: channel o of what the model was trained with, out of channels c of the new input. */
static void
colours(const hb_camera *k, double m[3][3], double add[3])
{
	hb_yuv yuv;
	memset(m, 0, sizeof(double) * 9);
	hb_yuv_of(!k->video, &yuv);
	for (int o = 0; o < 3; o++) {
		int rgb = k->train == HB_PIXELS_BGR ? 2 - o : o;
		if (is_rgb(k->train) && is_yuv(k->rt)) {
			for (int c = 0; c < 3; c++)
				m[o][c] = yuv.back[rgb][c] / 256.0;
			add[o] = m[o][0] * (128 - yuv.offset[0]);
		} else {
			m[o][is_rgb(k->train) && k->train != k->rt ? 2 - o : o] = 1;
			add[o] = 128;
		}
	}
}

static double
of_channel(const float *v, int n, int64_t c, double none)
{
	return n == 0 ? none : n == 1 ? v[0] : v[c];
}

static hb_tensor *
node_after(hb_graph *g, hb_node *at, const char *op, const char *name, int nin, hb_tensor *const *in, hb_tensor *out, hb_node **made)
{
	hb_node *n = hb_node_new(g, at, name, "", op, 13, nin, 1);
	if (!n)
		return NULL;
	*made = n;
	for (int i = 0; i < nin; i++)
		hb_node_set_in(g, n, i, in[i]);
	if (!out)
		out = hb_tensor_new(g, name, HB_F32, NULL);
	if (!out)
		return NULL;
	hb_node_set_out(n, 0, out);
	return out;
}

/* Weights and bias of the convolution. */
static void
fill(const hb_camera *k, int64_t channels, float *w, float *b)
{
	double m[3][3], add[3];
	colours(k, m, add);
	for (int64_t o = 0; o < channels; o++) {
		double mean = of_channel(k->mean, k->nmean, o, 0), scale = of_channel(k->scale, k->nscale, o, 1);
		if (k->rt == HB_PIXELS_FEATUREMAP || channels == 1) {
			w[o] = (float)scale;
			b[o] = (float)(((k->rt == HB_PIXELS_FEATUREMAP ? 0 : 128) - mean) * scale);
			continue;
		}
		for (int c = 0; c < 3; c++)
			w[o * 3 + c] = (float)(m[o][c] * scale);
		b[o] = (float)((add[o] - mean) * scale);
	}
}

static hb_status
check(hb_graph *g, const hb_tensor *x, const hb_camera *k, int64_t channels)
{
	int want = pixels[k->rt].channels;
	int64_t h = x->shape.dim[k->nhwc ? 1 : 2], w = x->shape.dim[k->nhwc ? 2 : 3];
	char text[HB_SHAPE_TEXT];
	if (x->dtype != HB_F32 || x->shape.rank != 4 || (want && channels != want))
		return hb_error(g->cx, HB_ERR_USAGE, x->name, "input-type", "the input is %s %s; %s takes float32 pictures of rank 4%s, %s", hb_dtype_name(x->dtype),
				hb_shape_text(&x->shape, text), pixels[k->rt].name, want == 3 ? " with 3 channels" : want == 1 ? " with 1 channel" : "",
				k->nhwc ? "NHWC" : "NCHW");
	if ((k->nmean > 1 && k->nmean != channels) || (k->nscale > 1 && k->nscale != channels))
		return hb_error(g->cx, HB_ERR_USAGE, x->name, "norm", "%d means and %d scales are given; the input has %lld channels", k->nmean, k->nscale,
				(long long)channels);
	if (is_yuv(k->rt) && (h % 2 || w % 2))
		return hb_error(g->cx, HB_ERR_USAGE, x->name, "input-type", "%s takes even heights and widths, not %lldx%lld", pixels[k->rt].name, (long long)h,
				(long long)w);
	return HB_OK;
}

/* Another input with the name of x, which steps aside. */
static hb_tensor *
new_input(hb_graph *g, size_t i, hb_tensor *x, const hb_shape *s)
{
	const char *name = x->name;
	char *other = hb_arena_printf(g->arena, "%s_preprocessed", name);
	if (!other || hb_tensor_find(g, other) || !hb_map_put(g->names, other, x) || !hb_map_put(g->names, name, NULL))
		return NULL;
	x->name = other;
	x->is_input = false;
	x->dim_names = NULL;
	hb_tensor *t = hb_tensor_new(g, name, HB_F32, s);
	if (!t)
		return NULL;
	t->is_input = true;
	g->inputs[i] = t;
	return t;
}

hb_status
hb_pass_camera(hb_graph *g, size_t i, const hb_camera *k)
{
	static const int64_t to_nhwc[] = { 0, 2, 3, 1 }, to_nchw[] = { 0, 3, 1, 2 };
	hb_tensor *x = g->inputs[i], *end = x;
	bool feature = k->rt == HB_PIXELS_FEATUREMAP;
	if (feature && !k->nmean && !k->nscale)
		return HB_OK;
	int64_t ch = x->shape.rank == 4 ? x->shape.dim[k->nhwc ? 3 : 1] : 0;
	HB_TRY(check(g, x, k, ch));
	hb_shape s = x->shape, ws = { .rank = 4, .dim = { ch, feature || ch == 1 ? 1 : 3, 1, 1 } }, bs = { .rank = 1, .dim = { ch } };
	if (k->nhwc && !feature)
		s = (hb_shape){ .rank = 4, .dim = { x->shape.dim[0], ch, x->shape.dim[1], x->shape.dim[2] } };
	hb_tensor *t = new_input(g, i, x, &s);
	char *name = t ? hb_arena_printf(g->arena, "HZ_PREPROCESS_FOR_%s", t->name) : NULL;
	hb_tensor *w = name ? hb_tensor_const(g, hb_arena_printf(g->arena, "%s_weight", name), HB_F32, &ws, NULL) : NULL;
	hb_tensor *b = w ? hb_tensor_const(g, hb_arena_printf(g->arena, "%s_bias", name), HB_F32, &bs, NULL) : NULL;
	hb_node *first = g->first, *n[3] = { NULL };
	if (!b)
		return hb_nomem(g->cx, x->name);
	fill(k, ch, (float *)(uintptr_t)w->data, (float *)(uintptr_t)b->data);
	if (k->nhwc && feature)
		t = node_after(g, first, "Transpose", hb_arena_printf(g->arena, "%s_nchw", name), 1, &t, NULL, &n[0]);
	if (t)
		t = node_after(g, first, "Conv", name, 3, (hb_tensor *[]){ t, w, b }, k->nhwc ? NULL : end, &n[1]);
	if (t && k->nhwc)
		t = node_after(g, first, "Transpose", hb_arena_printf(g->arena, "%s_nhwc", name), 1, &t, end, &n[2]);
	if (!t || (n[0] && !hb_attr_set_ints(g, n[0], "perm", to_nchw, 4)) || (n[2] && !hb_attr_set_ints(g, n[2], "perm", to_nhwc, 4)) ||
	    (feature && !hb_attr_set_i(g, n[1], "group", ch)))
		return hb_nomem(g->cx, x->name);
	for (int q = 0; q < 3; q++) {
		if (n[q])
			HB_TRY(hb_op_infer(g, n[q]));
	}
	return HB_OK;
}
