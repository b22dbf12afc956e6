/* horizon.c: operators of the domain "horizon": colours, correlation, scattered pillars, anchors. */
#include "ops/horizon.h"

#include "ops/nd.h"
#include "ops/to_fx.h"

#include <math.h>

#define FLOATS HB_BIT(HB_F32)
#define INT(name) { name, HB_ATTR_INT, false, 0, 0 }

/* ---- colours (BT.601, SEMANTICS 5) ---- */

enum { STUDIO, FULL };

/* Of 256, a row for Y, U, V over R, G, B; then what is added. */
static const struct {
	int rgb[3][3], offset[3];
} to_yuv[] = {
	[STUDIO] = { { { 66, 129, 25 }, { -38, -74, 112 }, { 112, -94, -18 } }, { 16, 128, 128 } },
	[FULL] = { { { 77, 150, 29 }, { -43, -84, 127 }, { 127, -106, -21 } }, { 0, 128, 128 } },
};

/* The way back: of 256, a row for R, G, B over Y, U, V without their offsets. */
static const int from_yuv[][3][3] = {
	[STUDIO] = { { 298, 0, 409 }, { 298, -100, -208 }, { 298, 516, 0 } },
	[FULL] = { { 256, 0, 359 }, { 256, -88, -183 }, { 256, 454, 0 } },
};

void
hb_yuv_of(bool full, hb_yuv *out)
{
	memcpy(out->rgb, to_yuv[full].rgb, sizeof(out->rgb));
	memcpy(out->offset, to_yuv[full].offset, sizeof(out->offset));
	memcpy(out->back, from_yuv[full], sizeof(out->back));
}

static hb_status
swing_of(hb_graph *g, const hb_node *n, int *swing)
{
	const char *s = hb_attr_s(n, "swing", "studio");

	*swing = strcmp(s, "full") ? STUDIO : FULL;
	if (strcmp(s, "full") && strcmp(s, "studio"))
		return HB_BAD(g, n, "swing is '%s'; studio or full is taken", s);
	return HB_OK;
}

static hb_status
shape_image(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape;
	int swing;

	if (x->rank != 4 || x->dim[1] != 3)
		return HB_BAD(g, n, "input must have rank 4 and 3 channels; it has rank %d", x->rank);
	HB_TRY(swing_of(g, n, &swing));
	return hb_set_out(g, n, 0, HB_F32, x);
}

struct colour_call {
	const hb_call *c;
	double m[3][3], add[3], after[3];	/* after: added to what is rounded down */
	const double *least, *most;	/* NULL: no limits */
	bool rounds;
};

static void
colour_rows(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct colour_call *k = arg;
	const hb_val *x = k->c->in[0];
	float *y = k->c->out[0]->data;
	int64_t plane = hb_shape_span(&x->shape, 2, 4);

	(void)worker;
	for (int64_t i = begin; i < end; i++) {
		int64_t at = i / plane * 3 * plane + i % plane;
		double v[3];
		for (int c = 0; c < 3; c++)
			v[c] = (double)hb_val_f(x, at + c * plane);
		for (int c = 0; c < 3; c++) {
			double sum = k->m[c][0] * v[0] + k->m[c][1] * v[1] + k->m[c][2] * v[2] + k->add[c];
			sum = (k->rounds ? floor(sum) : sum) + k->after[c];
			y[at + c * plane] = (float)(k->least ? HB_MAX(k->least[c], HB_MIN(sum, k->most[c])) : sum);
		}
	}
}

/* An image of 0 to 255, rounded as integers are: (sum + 128) >> 8. */
static void
image_to_yuv(const hb_call *c, bool reversed, bool centered, int swing)
{
	struct colour_call k = { .c = c, .rounds = true };

	for (int i = 0; i < 3; i++) {
		for (int j = 0; j < 3; j++)
			k.m[i][reversed ? 2 - j : j] = to_yuv[swing].rgb[i][j] / 256.0;
		k.add[i] = 0.5;
		k.after[i] = to_yuv[swing].offset[i] - (centered ? 128 : 0);
	}
	hb_parallel(c->cx, hb_val_elems(c->in[0]) / 3, 4096, colour_rows, &k);
}

static int
swing_at(const hb_node *n)
{
	return strcmp(hb_attr_s(n, "swing", "studio"), "full") ? STUDIO : FULL;
}

static void
run_rgb2centered(const hb_call *c)
{
	image_to_yuv(c, false, true, swing_at(c->n));
}

static void
run_bgr2centered(const hb_call *c)
{
	image_to_yuv(c, true, true, swing_at(c->n));
}

static void
run_bgr_to_yuv444(const hb_call *c)
{
	image_to_yuv(c, !hb_attr_i(c->n, "channel_reversal", 0), false, STUDIO);
}

static const char *
takes_pictures(const hb_node *n)
{
	(void)n;
	return "pre-processing: a picture of 0 to 255 in float";
}

/* One number, or one a channel. */
static hb_status
channels_of(hb_graph *g, const hb_node *n, const char *name, double v[3])
{
	size_t count;
	const float *f = hb_attr_floats(n, name, &count);

	for (int c = 0; c < 3; c++)
		v[c] = !f ? 128 : (double)f[count == 3 ? c : 0];
	return !f || count == 1 || count == 3 ? HB_OK : HB_BAD(g, n, "%s has %zu entries; 1 or 3 are taken", name, count);
}

static hb_status
shape_from_yuv(hb_graph *g, hb_node *n)
{
	hb_colours *k = HB_AUX(g, n, hb_colours);
	bool bgr = !strcmp(n->op_type, "centered_yuv2bgr");
	double mean[3], std[3];
	int swing;

	if (!k)
		return hb_nomem(g->cx, n->name);
	HB_TRY(shape_image(g, n));
	HB_TRY(swing_of(g, n, &swing));
	HB_TRY(channels_of(g, n, "mean", mean));
	HB_TRY(channels_of(g, n, "std", std));
	k->scale = hb_attr_f(n, "q_scale", 0.0078125f);
	if (!(k->scale > 0) || !isfinite(k->scale))
		return HB_BAD(g, n, "q_scale is %g; a positive number is taken", (double)k->scale);
	for (int c = 0; c < 3; c++) {
		const int *m = from_yuv[swing][bgr ? 2 - c : c];

		if (!(fabs(std[c]) > 1e-6) || !isfinite(std[c]) || !isfinite(mean[c]))
			return HB_BAD(g, n, "mean is %g, std %g; numbers, std not 0, are taken", mean[c], std[c]);
		for (int j = 0; j < 3; j++)
			k->m[c][j] = m[j] / 256.0 / std[c];
		/* Y is centered by 128; where black is at 16, by 112 too little */
		k->add[c] = (m[0] / 256.0 * (128 - to_yuv[swing].offset[0]) - mean[c]) / std[c];
		k->least[c] = ((std[c] > 0 ? 0 : 255) - mean[c]) / std[c];
		k->most[c] = ((std[c] > 0 ? 255 : 0) - mean[c]) / std[c];
	}
	return HB_OK;
}

static void
run_from_yuv(const hb_call *c)
{
	const hb_colours *a = c->n->aux;
	struct colour_call k = { .c = c, .least = a->least, .most = a->most };

	memcpy(k.m, a->m, sizeof(k.m));
	memcpy(k.add, a->add, sizeof(k.add));
	hb_parallel(c->cx, hb_val_elems(c->in[0]) / 3, 4096, colour_rows, &k);
}

static float
q_scale(const hb_node *n)
{
	return ((const hb_colours *)n->aux)->scale;
}

static const hb_attr_row swing_rows[] = { { "swing", HB_ATTR_STRING, false, 0, 0 }, { 0 } };
static const hb_attr_row reversal_rows[] = { INT("channel_reversal"), { 0 } };
static const hb_attr_row from_rows[] = {
	{ "swing", HB_ATTR_STRING, false, 0, 0 }, { "mean", HB_ATTR_FLOATS, false, 0, 0 }, { "std", HB_ATTR_FLOATS, false, 0, 0 },
	{ "q_scale", HB_ATTR_FLOAT, false, 0, 0 }, { 0 } };

#define PICTURE                                                                                               \
	.domain = "horizon", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,                \
	.types = FLOATS | HB_BIT(HB_U8), .shape = shape_image, .floats = takes_pictures
#define FROM_YUV                                                                                              \
	.domain = "horizon", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .attrs = from_rows, \
	.types = FLOATS, .shape = shape_from_yuv, .run = run_from_yuv, .role = HB_ROLE_OWN,                   \
	.convert = hb_to_fx_from_yuv, .own_scale = q_scale

const hb_op hb_op_rgb2centered_yuv = { PICTURE, .name = "rgb2centered_yuv", .attrs = swing_rows, .run = run_rgb2centered };
const hb_op hb_op_bgr2centered_yuv = { PICTURE, .name = "bgr2centered_yuv", .attrs = swing_rows, .run = run_bgr2centered };
const hb_op hb_op_bgr_to_yuv444 = { PICTURE, .name = "BgrToYuv444", .attrs = reversal_rows, .run = run_bgr_to_yuv444 };
const hb_op hb_op_centered_yuv2rgb = { FROM_YUV, .name = "centered_yuv2rgb" };
const hb_op hb_op_centered_yuv2bgr = { FROM_YUV, .name = "centered_yuv2bgr" };

/* ---- Correlation: each place of one map with the places around it of the other (FlowNet, as MXNet has it) ---- */

hb_status
hb_correlation_resolve(hb_graph *g, hb_node *n, hb_correlation *k)
{
	const hb_shape *x = &n->in[0]->shape;
	const int64_t most = 1 << 16;
	struct {
		const char *name;
		int64_t dflt, least, *to;
	} attrs[] = {
		{ "kernel_size", 1, 1, &k->kernel }, { "max_displacement", 1, 0, &k->reach }, { "stride1", 1, 1, &k->stride },
		{ "stride2", 1, 1, &k->step }, { "pad_size", 0, 0, &k->pad },
	};

	for (size_t i = 0; i < HB_LEN(attrs); i++) {
		int64_t v = *attrs[i].to = hb_attr_i(n, attrs[i].name, attrs[i].dflt);
		if (v < attrs[i].least || v > most)
			return HB_BAD(g, n, "%s is %lld; %lld to %lld is taken", attrs[i].name, (long long)v, (long long)attrs[i].least, (long long)most);
	}
	if (x->rank != 4 || !hb_shape_eq(x, &n->in[1]->shape))
		return HB_BAD(g, n, "inputs have ranks %d and %d; both must have rank 4 and one shape", x->rank, n->in[1]->shape.rank);
	if (k->kernel % 2 == 0)
		return HB_BAD(g, n, "kernel_size is %lld; an odd one is taken", (long long)k->kernel);
	k->radius = k->reach / k->step;
	k->reach = k->radius * k->step;
	for (int d = 0; d < 2; d++) {
		int64_t room = x->dim[2 + d] + 2 * k->pad - 2 * k->reach - k->kernel + 1;
		if (room < 1)
			return HB_BAD(g, n, "displacements of %lld leave no room in %lld elements and pads of %lld", (long long)k->reach,
				      (long long)x->dim[2 + d], (long long)k->pad);
		k->out[d] = hb_ceil_div(room, k->stride);
	}
	if (k->radius > 1 << 10)
		return HB_BAD(g, n, "max_displacement / stride2 is %lld; 1024 is taken", (long long)k->radius);
	k->side = 2 * k->radius + 1;
	return HB_OK;
}

static hb_status
shape_correlation(hb_graph *g, hb_node *n)
{
	hb_correlation *k = HB_AUX(g, n, hb_correlation);

	if (!k)
		return hb_nomem(g->cx, n->name);
	HB_TRY(hb_correlation_resolve(g, n, k));
	hb_shape s = { 4, { n->in[0]->shape.dim[0], k->side * k->side, k->out[0], k->out[1] } };
	return hb_set_out(g, n, 0, HB_F32, &s);
}

static void
correlation_cells(void *arg, int64_t begin, int64_t end, int worker)
{
	const hb_call *c = arg;
	const hb_correlation *k = c->n->aux;
	const int64_t *d = c->in[0]->shape.dim, area = d[2] * d[3];
	double elems = (double)(k->kernel * k->kernel * d[1]);

	(void)worker;
	for (int64_t i = begin; i < end; i++) {
		int64_t ox = i % k->out[1], oy = i / k->out[1] % k->out[0], q = i / (k->out[0] * k->out[1]);
		int64_t dy = (q % (k->side * k->side) / k->side - k->radius) * k->step, dx = (q % k->side - k->radius) * k->step;
		int64_t y0 = oy * k->stride + k->reach - k->pad, x0 = ox * k->stride + k->reach - k->pad;
		double sum = 0;
		for (int64_t y = HB_MAX(HB_MAX(y0, 0), -dy); y < HB_MIN(HB_MIN(y0 + k->kernel, d[2]), d[2] - dy); y++)
			for (int64_t x = HB_MAX(HB_MAX(x0, 0), -dx); x < HB_MIN(HB_MIN(x0 + k->kernel, d[3]), d[3] - dx); x++) {
				const float *a = (const float *)c->in[0]->data + q / (k->side * k->side) * d[1] * area + y * d[3] + x;
				const float *b = (const float *)c->in[1]->data + q / (k->side * k->side) * d[1] * area + (y + dy) * d[3] + x + dx;
				for (int64_t ch = 0; ch < d[1]; ch++)
					sum += (double)a[ch * area] * (double)b[ch * area];
			}
		((float *)c->out[0]->data)[i] = (float)(sum / elems);
	}
}

static void
run_correlation(const hb_call *c)
{
	hb_call call = *c;
	int64_t n = hb_val_elems(c->out[0]);

	if (n)
		hb_parallel(c->cx, n, 64, correlation_cells, &call);
}

static const char *
floats_correlation(const hb_node *n)
{
	const hb_correlation *k = n->aux;

	return n->in[0]->shape.dim[1] * k->kernel * k->kernel >= 1 << 16 ? "sums of more than 65535 products" : NULL;
}

static const hb_attr_row correlation_rows[] = {
	INT("kernel_size"), INT("max_displacement"), INT("stride1"), INT("stride2"), INT("pad_size"), { 0 } };

const hb_op hb_op_correlation = {
	.name = "Correlation", .domain = "horizon", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = correlation_rows, .types = FLOATS, .shape = shape_correlation, .run = run_correlation,
	.role = HB_ROLE_OWN, .convert = hb_to_fx_correlation, .floats = floats_correlation,
};

/* ---- PointPillarsScatter: rows of features to the places of a map ---- */

static hb_status
shape_scatter(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *at = &n->in[1]->shape;
	const int64_t *v;
	size_t count;

	HB_TRY(hb_const_ints(g, n, 2, "output_shape", &v, &count));
	if (x->rank != 2 || at->rank != 2 || at->dim[0] != x->dim[0] || at->dim[1] != 4)
		return HB_BAD(g, n, "features and coordinates have ranks %d and %d; [M, C] and [M, 4] are taken", x->rank, at->rank);
	if (count != 4)
		return HB_BAD(g, n, "the output's shape has %zu entries; N, C, H, W is taken", count);
	if (v[1] != x->dim[1])
		return HB_BAD(g, n, "the output has %lld channels, the features %lld", (long long)v[1], (long long)x->dim[1]);
	hb_shape s = { .rank = 4 };
	for (int d = 0; d < 4; d++) {
		s.dim[d] = v[d];
		if (v[d] < 1 || v[d] > INT32_MAX)
			return HB_BAD(g, n, "the output has extent %lld", (long long)v[d]);
	}
	return hb_set_out(g, n, 0, HB_F32, &s);
}

/* Coordinates are image, z, row, column; of features at one place the last stays, those outside go nowhere. */
static void
run_scatter(const hb_call *c)
{
	const hb_val *x = c->in[0], *y = c->out[0];
	const int64_t *d = y->shape.dim;
	int64_t area = d[2] * d[3];

	memset(y->data, 0, (size_t)hb_val_elems(y) * sizeof(float));
	for (int64_t m = 0; m < x->shape.dim[0]; m++) {
		int64_t b = hb_val_i(c->in[1], 4 * m), row = hb_val_i(c->in[1], 4 * m + 2), col = hb_val_i(c->in[1], 4 * m + 3);
		if (b < 0 || b >= d[0] || row < 0 || row >= d[2] || col < 0 || col >= d[3])
			continue;
		for (int64_t ch = 0; ch < d[1]; ch++)
			((float *)y->data)[(b * d[1] + ch) * area + row * d[3] + col] = ((const float *)x->data)[m * d[1] + ch];
	}
}

static const char *
floats_scatter(const hb_node *n)
{
	const int64_t *d = n->out[0]->shape.dim;

	if (n->in[0]->shape.dim[0] < 1)
		return "no features";
	return d[0] * d[2] > INT32_MAX / d[3] ? "a map of more than 2^31 places" : NULL;
}

const hb_op hb_op_point_pillars_scatter = {
	.name = "PointPillarsScatter", .domain = "horizon", .since = 1, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	.types = FLOATS, .in_types = { 0, HB_BIT(HB_I32) | HB_BIT(HB_I64), HB_BIT(HB_I32) | HB_BIT(HB_I64) },
	.shape = shape_scatter, .run = run_scatter, .role = HB_ROLE_PASS, .convert = hb_to_fx_point_pillars, .floats = floats_scatter,
};

/* ---- AnchorGenerator (torchvision): the contents follow from shapes alone ---- */

enum { MAX_SIZES = 64 };

typedef struct anchors {
	int maps, sizes, ratios;		/* sizes of each map */
} anchors;

static hb_status
shape_anchors(hb_graph *g, hb_node *n)
{
	anchors *k = HB_AUX(g, n, anchors);
	const hb_shape *image = &n->in[0]->shape;
	size_t sizes, ratios;
	const float *size = hb_attr_floats(n, "sizes", &sizes), *ratio = hb_attr_floats(n, "aspect_ratios", &ratios);
	hb_shape s = { 2, { 0, 4 } };

	if (!k)
		return hb_nomem(g->cx, n->name);
	k->maps = n->nin - 1;
	if (!size || !ratio || sizes < 1 || ratios < 1 || sizes > MAX_SIZES || ratios > MAX_SIZES || sizes % (size_t)k->maps)
		return HB_BAD(g, n, "has %zu sizes and %zu aspect_ratios; up to 64 each, as many sizes for each of the %d maps, are taken", sizes, ratios,
			      k->maps);
	for (size_t i = 0; i < sizes + ratios; i++) {
		float v = i < sizes ? size[i] : ratio[i - sizes];
		if (!(v > 0) || !(v < 1e6f))
			return HB_BAD(g, n, "a size or aspect ratio is %g; positive numbers are taken", (double)v);
	}
	k->sizes = (int)sizes / k->maps;
	k->ratios = (int)ratios;
	if (image->rank != 4)
		return HB_BAD(g, n, "the image has rank %d; it must be 4", image->rank);
	for (int i = 1; i < n->nin; i++) {
		const hb_shape *m = &n->in[i]->shape;
		if (m->rank != 4 || m->dim[2] < 1 || m->dim[3] < 1)
			return HB_BAD(g, n, "map %d must have rank 4 and not be empty", i - 1);
		if (m->dim[2] > 1 << 16 || m->dim[3] > 1 << 16)
			return HB_BAD(g, n, "map %d is %lldx%lld; 65536 is taken", i - 1, (long long)m->dim[2], (long long)m->dim[3]);
		s.dim[0] += m->dim[2] * m->dim[3] * k->sizes * k->ratios;
	}
	return hb_set_out(g, n, 0, HB_F32, &s);
}

static void
run_anchors(const hb_call *c)
{
	const anchors *k = c->n->aux;
	const int64_t *image = c->in[0]->shape.dim;
	size_t count;
	const float *size = hb_attr_floats(c->n, "sizes", &count), *ratio = hb_attr_floats(c->n, "aspect_ratios", &count);
	float *y = c->out[0]->data;

	for (int m = 0; m < k->maps; m++) {
		const int64_t *d = c->in[1 + m]->shape.dim;
		int64_t step_y = image[2] / d[2], step_x = image[3] / d[3];
		for (int64_t at = 0; at < d[2] * d[3]; at++)
			for (int a = 0; a < k->sizes * k->ratios; a++, y += 4) {
				float h = sqrtf(ratio[a / k->sizes]), w = 1.0f / h, s = size[m * k->sizes + a % k->sizes];
				float half_w = rintf(w * s / 2), half_h = rintf(h * s / 2);
				float x0 = (float)(at % d[3] * step_x), y0 = (float)(at / d[3] * step_y);
				y[0] = x0 - half_w;
				y[1] = y0 - half_h;
				y[2] = x0 + half_w;
				y[3] = y0 + half_h;
			}
	}
}

static const char *
yields_float(const hb_node *n)
{
	(void)n;
	return "its anchors are float32";
}

static const hb_attr_row anchor_rows[] = { { "sizes", HB_ATTR_FLOATS, true, 0, 0 }, { "aspect_ratios", HB_ATTR_FLOATS, true, 0, 0 }, { 0 } };

const hb_op hb_op_anchor_generator = {
	.name = "AnchorGenerator", .domain = "horizon", .since = 1, .min_in = 2, .max_in = 17, .in_whole = true, .min_out = 1, .max_out = 1,
	.attrs = anchor_rows, .shape = shape_anchors, .run = run_anchors, .floats = yields_float,
};
