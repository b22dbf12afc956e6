/* conv.c: Conv and ConvTranspose, both as matrix products whose right-hand side is read in
 * place: row k of it, one weight's view of all output positions, begins at off[k] in an image
 * that is padded, and split by strides so that neighbouring positions are neighbours there. */
#include "lib/base/cpu.h"
#include "lib/base/depthwise.h"
#include "lib/base/gemm.h"
#include "lib/base/winograd.h"
#include "ops/conv.h"
#include "ops/follow.h"
#include "ops/to_fx.h"
#include "ops/nd.h"

#include <math.h>

/* ---- geometry ---- */

static hb_status
list_of(hb_graph *g, hb_node *n, const char *name, int want, int64_t least, int64_t dflt, int64_t *v)
{
	size_t count = 0;
	const int64_t *a = hb_attr_ints(n, name, &count);
	if (a && count && count != (size_t)want)
		return hb_fail(g->cx, n, HB_ERR_INPUT, "window", "attribute '%s' has %zu values; it must have %d", name, count, want);
	for (int i = 0; i < want; i++) {
		v[i] = a && count ? a[i] : dflt;
		if (v[i] < least || v[i] > HB_EXTENT_MAX)
			return hb_fail(g->cx, n, HB_ERR_INPUT, "window", "attribute '%s' holds %lld; it takes %lld to %d", name,
				       (long long)v[i], (long long)least, HB_EXTENT_MAX);
	}
	return HB_OK;
}

hb_status
hb_window_kernel(hb_graph *g, hb_node *n, int nsp, int64_t *kernel)
{
	if (nsp < 1 || nsp > HB_MAX_SPATIAL)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "window", "input has rank %d; %s takes rank 3 to 5", nsp + 2, n->op_type);
	return list_of(g, n, "kernel_shape", nsp, 1, 1, kernel);
}

/* Cells from the first to the last that a window touches. */
static int64_t
reach(const hb_conv_params *p, int i)
{
	return (p->kernel[i] - 1) * p->dilations[i] + 1;
}

hb_status
hb_window_lists(hb_graph *g, hb_node *n, hb_conv_params *p)
{
	int64_t pads[2 * HB_MAX_SPATIAL];
	HB_TRY(list_of(g, n, "strides", p->nsp, 1, 1, p->strides));
	HB_TRY(list_of(g, n, "dilations", p->nsp, 1, 1, p->dilations));
	HB_TRY(list_of(g, n, "pads", 2 * p->nsp, 0, 0, pads));
	HB_TRY(list_of(g, n, "output_padding", p->nsp, 0, 0, p->output_padding));
	for (int i = 0; i < p->nsp; i++) {
		p->begin[i] = pads[i];
		p->end[i] = pads[p->nsp + i];
	}
	return HB_OK;
}

hb_status
hb_auto_pad_of(hb_graph *g, hb_node *n, hb_auto_pad *out)
{
	static const char *const names[] = { "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID" };
	const char *s = hb_attr_s(n, "auto_pad", "NOTSET");
	for (size_t i = 0; i < HB_LEN(names); i++) {
		if (!strcmp(s, *s ? names[i] : "")) {
			*out = (hb_auto_pad)i;
			return HB_OK;
		}
	}
	return hb_fail(g->cx, n, HB_ERR_INPUT, "window", "auto_pad is '%s'; it must be NOTSET, SAME_UPPER, SAME_LOWER or VALID", s);
}

static void
share_pads(int64_t total, hb_auto_pad how, int64_t *begin, int64_t *end)
{
	total = HB_MAX(total, 0);
	*begin = how == HB_PAD_SAME_LOWER ? total - total / 2 : total / 2;
	*end = total - *begin;
}

hb_status
hb_window_resolve(hb_graph *g, hb_node *n, const hb_shape *x, const int64_t *kernel, hb_conv_params *p)
{
	hb_auto_pad how = HB_PAD_NOTSET;
	p->nsp = x->rank - 2;
	if (p->nsp < 1 || p->nsp > HB_MAX_SPATIAL)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "window", "input has rank %d; %s takes rank 3 to 5", x->rank, n->op_type);
	HB_TRY(hb_window_lists(g, n, p));
	HB_TRY(hb_auto_pad_of(g, n, &how));
	p->ceil_mode = hb_attr_i(n, "ceil_mode", 0) != 0;
	for (int i = 0; i < p->nsp; i++) {
		p->kernel[i] = kernel[i];
		p->in[i] = x->dim[2 + i];
		if (p->in[i] > HB_EXTENT_MAX || p->kernel[i] > HB_EXTENT_MAX)
			return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "window", "an extent is above %d", HB_EXTENT_MAX);
		int64_t s = p->strides[i];
		if (how == HB_PAD_SAME_UPPER || how == HB_PAD_SAME_LOWER) {
			p->out[i] = hb_ceil_div(p->in[i], s);
			share_pads((p->out[i] - 1) * s + reach(p, i) - p->in[i], how, &p->begin[i], &p->end[i]);
			continue;
		}
		if (how == HB_PAD_VALID)
			p->begin[i] = p->end[i] = 0;
		int64_t room = p->in[i] + p->begin[i] + p->end[i] - reach(p, i);
		if (room < 0)
			return hb_fail(g->cx, n, HB_ERR_INPUT, "window",
				       "the window reaches over %lld cells in spatial dimension %d; the padded input has %lld",
				       (long long)reach(p, i), i, (long long)(room + reach(p, i)));
		p->out[i] = room / s + 1;
		/* A window more, where it still begins inside the input or its leading padding. */
		if (p->ceil_mode && room % s && p->out[i] * s < p->in[i] + p->begin[i])
			p->out[i]++;
	}
	return HB_OK;
}

hb_conv_params
hb_conv_three(const hb_conv_params *p)
{
	hb_conv_params q = *p;
	int lead = HB_MAX_SPATIAL - p->nsp;
	q.nsp = HB_MAX_SPATIAL;
	for (int i = HB_MAX_SPATIAL - 1; i >= 0; i--) {
		int k = i - lead;
		q.kernel[i] = k >= 0 ? p->kernel[k] : 1;
		q.strides[i] = k >= 0 ? p->strides[k] : 1;
		q.dilations[i] = k >= 0 ? p->dilations[k] : 1;
		q.begin[i] = k >= 0 ? p->begin[k] : 0;
		q.end[i] = k >= 0 ? p->end[k] : 0;
		q.output_padding[i] = k >= 0 ? p->output_padding[k] : 0;
		q.in[i] = k >= 0 ? p->in[k] : 1;
		q.out[i] = k >= 0 ? p->out[k] : 1;
	}
	return q;
}

/* ---- the image that windows are read from ---- */

static int64_t
gcd(int64_t a, int64_t b)
{
	return b ? gcd(b, a % b) : a;
}

/* A padded copy of a channel: depth slices of nh x nw phases of rows x pitch cells. Phase (a, b) holds the
 * cells whose padded coordinates are residue(a) + r * stride; taps of equal residue share a phase. */
typedef struct image {
	hb_conv_params p;		/* of three dimensions */
	bool direct;			/* the input itself serves */
	int64_t period_h, period_w;	/* taps between those of one residue */
	int64_t nh, nw;			/* phases in use */
	int64_t depth, rows, pitch;
	int64_t slice, channel;		/* cells of each */
} image;

static void
image_init(image *m, const hb_conv_params *p)
{
	m->p = hb_conv_three(p);
	p = &m->p;
	m->direct = true;
	for (int i = 0; i < 3; i++)
		m->direct &= !p->begin[i] && !p->end[i] && (i == 0 || p->strides[i] == 1);
	if (m->direct) {
		m->period_h = m->period_w = m->nh = m->nw = 1;
		m->depth = p->in[0];
		m->rows = p->in[1];
		m->pitch = p->in[2];
		m->slice = m->rows * m->pitch;
		m->channel = m->depth * m->slice;
		return;
	}
	m->period_h = p->strides[1] / gcd(p->strides[1], p->dilations[1]);
	m->period_w = p->strides[2] / gcd(p->strides[2], p->dilations[2]);
	m->nh = HB_MIN(m->period_h, p->kernel[1]);
	m->nw = HB_MIN(m->period_w, p->kernel[2]);
	m->depth = (p->out[0] - 1) * p->strides[0] + reach(p, 0);
	m->rows = p->out[1] + (p->kernel[1] - 1) * p->dilations[1] / p->strides[1];
	m->pitch = p->out[2] + (p->kernel[2] - 1) * p->dilations[2] / p->strides[2];
	m->slice = m->nh * m->nw * m->rows * m->pitch;
	/* An odd number of cache lines, so that channels do not fall into the same sets. */
	m->channel = (hb_round_up(m->depth * m->slice, 16) / 16 | 1) * 16;
}

/* Where tap (d, h, w) of a channel finds its cell for output position 0. */
static int64_t
image_tap(const image *m, int64_t d, int64_t h, int64_t w)
{
	const hb_conv_params *p = &m->p;
	int64_t at = d * p->dilations[0] * m->slice;
	int64_t y = h * p->dilations[1] / p->strides[1], x = w * p->dilations[2] / p->strides[2];
	int64_t phase = h % m->period_h * m->nw + w % m->period_w;
	return at + (phase * m->rows + y) * m->pitch + x;
}

/* Output positions of a depth slice, counted in cells of the image. */
static int64_t
image_span(const image *m)
{
	return (m->p.out[1] - 1) * m->pitch + m->p.out[2];
}

HB_INLINE void
copy_row(float *restrict to, const float *restrict from, int64_t n, int64_t stride)
{
	if (stride == 1) {
		memcpy(to, from, (size_t)n * 4);
	} else if (stride == 2) {
		for (int64_t i = 0; i < n; i++)
			to[i] = from[2 * i];
	} else {
		for (int64_t i = 0; i < n; i++)
			to[i] = from[stride * i];
	}
}

/* Row r of a phase that begins at padded cell (y0, x0). */
static void
fill_row(const image *m, float *to, const float *plane, int64_t r, int64_t y0, int64_t x0)
{
	const hb_conv_params *p = &m->p;
	int64_t s = p->strides[2];
	int64_t y = y0 + r * p->strides[1] - p->begin[1];
	int64_t lead = p->begin[2] - x0;	/* cells before the input begins */
	int64_t c0 = HB_MIN(lead > 0 ? hb_ceil_div(lead, s) : 0, m->pitch);
	int64_t room = p->in[2] + lead;		/* phase cells c with c * s < room are in the input */
	int64_t c1 = HB_MIN(room > 0 ? hb_ceil_div(room, s) : 0, m->pitch);
	if (y < 0 || y >= p->in[1] || c1 <= c0) {
		memset(to, 0, (size_t)m->pitch * 4);
		return;
	}
	for (int64_t c = 0; c < c0; c++)
		to[c] = 0;
	copy_row(to + c0, plane + y * p->in[2] + c0 * s - lead, c1 - c0, s);
	for (int64_t c = c1; c < m->pitch; c++)
		to[c] = 0;
}

static void
fill_channel(const image *m, float *to, const float *from)
{
	const hb_conv_params *p = &m->p;
	for (int64_t d = 0; d < m->depth; d++) {
		int64_t z = d - p->begin[0];
		if (z < 0 || z >= p->in[0]) {
			memset(to + d * m->slice, 0, (size_t)m->slice * 4);
			continue;
		}
		const float *plane = from + z * p->in[1] * p->in[2];
		float *row = to + d * m->slice;
		for (int64_t a = 0; a < m->nh; a++)
			for (int64_t b = 0; b < m->nw; b++)
				for (int64_t r = 0; r < m->rows; r++, row += m->pitch)
					fill_row(m, row, plane, r, a * p->dilations[1] % p->strides[1],
						 b * p->dilations[2] % p->strides[2]);
	}
}

typedef struct filling {
	const image *m;
	float *to;
	const float *from;
} filling;

static void
fill_channels(void *arg, int64_t begin, int64_t end, int worker)
{
	const filling *f = arg;
	const hb_conv_params *p = &f->m->p;
	(void)worker;
	for (int64_t c = begin; c < end; c++)
		fill_channel(f->m, f->to + c * f->m->channel, f->from + c * p->in[0] * p->in[1] * p->in[2]);
}

/* ---- depthwise ---- */

/* One channel: rows of an output slice, each position a chain over the taps. */
typedef struct depthwise {
	const float *x;			/* the channel's image, at the slice */
	const float *w;
	const int64_t *off;
	int64_t taps, rows, width, pitch;
	float bias, lo, hi;
	float *y;
} depthwise;

enum { DW_ROWS = 4, DW_COLS = 16 };

/* nr rows of nc columns from (row, col) on; nc is constant where it is DW_COLS. */
HB_INLINE void
depthwise_tile(const depthwise *d, int64_t row, int64_t col, int nr, int nc)
{
	float acc[DW_ROWS][DW_COLS];
	for (int r = 0; r < nr; r++)
		for (int c = 0; c < nc; c++)
			acc[r][c] = 0;
	for (int64_t t = 0; t < d->taps; t++) {
		const float *x = d->x + d->off[t] + row * d->pitch + col;
		float w = d->w[t];
		for (int r = 0; r < nr; r++)
			for (int c = 0; c < nc; c++)
				acc[r][c] = fmaf(w, x[r * d->pitch + c], acc[r][c]);
	}
	for (int r = 0; r < nr; r++)
		for (int c = 0; c < nc; c++) {
			float v = acc[r][c] + d->bias;
			v = v < d->lo ? d->lo : v;
			d->y[(row + r) * d->width + col + c] = v > d->hi ? d->hi : v;
		}
}

HB_INLINE void
depthwise_plane(const depthwise *d)
{
	for (int64_t row = 0; row < d->rows; row += DW_ROWS) {
		int nr = (int)HB_MIN(DW_ROWS, d->rows - row);
		int64_t col = 0;
		for (; nr == DW_ROWS && col + DW_COLS <= d->width; col += DW_COLS)
			depthwise_tile(d, row, col, DW_ROWS, DW_COLS);
		for (; col < d->width; col += DW_COLS)
			depthwise_tile(d, row, col, nr, (int)HB_MIN(DW_COLS, d->width - col));
	}
}

HB_KERNEL(run_depthwise, depthwise_plane, (const depthwise *d), (d))

/* ---- Conv ---- */

static const hb_attr_row conv_rows[] = {
	{ .name = "auto_pad", .type = HB_ATTR_STRING },
	{ .name = "dilations", .type = HB_ATTR_INTS },
	{ .name = "group", .type = HB_ATTR_INT },
	{ .name = "kernel_shape", .type = HB_ATTR_INTS },
	{ .name = "pads", .type = HB_ATTR_INTS },
	{ .name = "strides", .type = HB_ATTR_INTS },
	{ 0 },
};

static bool
is_const(const hb_tensor *t)
{
	return !t || t->is_const;
}

hb_status
hb_conv_weights(hb_graph *g, hb_node *n, hb_conv_params *p, int64_t *m)
{
	const hb_shape *x = &n->in[0]->shape, *w = &n->in[1]->shape;
	bool transposed = !strcmp(n->op_type, "ConvTranspose");
	p->group = hb_attr_i(n, "group", 1);
	if (x->rank < 3 || x->rank > 5)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "conv-rank", "input has rank %d; %s takes rank 3 to 5", x->rank, n->op_type);
	p->nsp = x->rank - 2;
	if (w->rank != x->rank)
		return hb_fail(g->cx, n, HB_ERR_INPUT, "conv-weights", "weights have rank %d and the input rank %d; they must agree", w->rank, x->rank);
	if (p->group < 1 || p->group > HB_EXTENT_MAX)
		return hb_fail(g->cx, n, HB_ERR_INPUT, "conv-group", "group is %lld; it must be at least 1", (long long)p->group);
	int64_t in = transposed ? w->dim[0] : w->dim[1] * p->group;
	*m = transposed ? w->dim[1] * p->group : w->dim[0];
	if (in != x->dim[1])
		return hb_fail(g->cx, n, HB_ERR_INPUT, "conv-channels", "weights are for %lld channels; the input has %lld",
			       (long long)in, (long long)x->dim[1]);
	if (x->dim[1] % p->group || *m % p->group)
		return hb_fail(g->cx, n, HB_ERR_INPUT, "conv-group", "%lld input and %lld output channels do not divide into %lld groups",
			       (long long)x->dim[1], (long long)*m, (long long)p->group);
	const hb_tensor *b = hb_in(n, 2);
	if (b && (b->shape.rank != 1 || b->shape.dim[0] != *m))
		return hb_fail(g->cx, n, HB_ERR_INPUT, "conv-bias", "the bias must have %lld elements", (long long)*m);
	size_t count = 0;
	const int64_t *k = hb_attr_ints(n, "kernel_shape", &count);
	for (size_t i = 0; k && count && i < (size_t)w->rank - 2; i++)
		if (count != (size_t)w->rank - 2 || k[i] != w->dim[2 + i])
			return hb_fail(g->cx, n, HB_ERR_INPUT, "conv-kernel", "kernel_shape is not the shape of the weights");
	for (int i = 2; i < w->rank; i++)
		if (w->dim[i] < 1)
			return hb_fail(g->cx, n, HB_ERR_INPUT, "conv-kernel", "the kernel is empty");
	return HB_OK;
}

hb_status
hb_conv_out(hb_graph *g, hb_node *n, const hb_conv_params *p, int64_t m)
{
	hb_shape y = { .rank = p->nsp + 2, .dim = { n->in[0]->shape.dim[0], m } };
	for (int i = 0; i < p->nsp; i++)
		y.dim[2 + i] = p->out[i];
	return hb_set_out(g, n, 0, n->in[0]->dtype, &y);
}

/* The padded input, strides and reach to spare, must be a tensor that could exist. */
static hb_status
check_image(hb_graph *g, hb_node *n, const hb_conv_params *p)
{
	int64_t cells = HB_MAX(n->in[0]->shape.dim[1], 1);
	for (int i = 0; i < p->nsp; i++)
		if (!hb_mul64(cells, p->in[i] + p->begin[i] + p->end[i] + p->strides[i] + reach(p, i), &cells) ||
		    cells > INT64_C(1) << 47)
			return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "window", "the padded input is above 2^47 elements");
	return HB_OK;
}

static hb_status
shape_conv(hb_graph *g, hb_node *n)
{
	hb_conv_params *p = HB_AUX(g, n, hb_conv_params);
	int64_t m = 0;
	if (!p)
		return hb_nomem(g->cx, n->name);
	HB_TRY(hb_conv_weights(g, n, p, &m));
	HB_TRY(hb_window_resolve(g, n, &n->in[0]->shape, n->in[1]->shape.dim + 2, p));
	HB_TRY(check_image(g, n, p));
	return hb_conv_out(g, n, p, m);
}

static int64_t
macs_conv(const hb_node *n)
{
	const hb_shape *w = &n->in[1]->shape;
	return hb_tensor_elems(n->out[0]) * hb_shape_span(w, 1, w->rank);
}

typedef enum path {
	BY_GEMM,
	BY_CHANNEL,			/* one input channel a group */
	BY_ROW,				/* the window is the whole input: a row vector times a matrix */
	BY_TILE,			/* 3 x 3 of stride 1: lib/base/winograd.h */
} path;

typedef struct conv {
	image m;
	path path;
	bool in_place;			/* of BY_CHANNEL: no image is needed */
	bool turned;			/* of BY_GEMM (gemm.h) */
	hb_isa isa;
	int64_t batch, group, cin, mout;	/* cin, mout: a group's channels */
	int64_t taps, k;			/* of a channel; of a group */
	size_t packed, offs, copy;		/* bytes of a packed group, the offsets, the image copy */
} conv;

/* The geometry of the depthwise kernel that reads the input itself. */
static hb_depthwise
depthwise_of(const conv *c)
{
	const hb_conv_params *p = &c->m.p;
	return (hb_depthwise){
		.in = { p->in[1], p->in[2] }, .out = { p->out[1], p->out[2] }, .kernel = { p->kernel[1], p->kernel[2] },
		.stride = { p->strides[1], p->strides[2] }, .dilation = { p->dilations[1], p->dilations[2] },
		.begin = { p->begin[1], p->begin[2] },
	};
}

static bool
in_place(const conv *c)
{
	const hb_conv_params *p = &c->m.p;
	hb_depthwise d = depthwise_of(c);
	return p->in[0] == 1 && p->kernel[0] == 1 && p->out[0] == 1 && hb_depthwise_fits(c->isa, &d);
}

static hb_winograd
winograd_of(const conv *c)
{
	const hb_conv_params *p = &c->m.p;
	return (hb_winograd){
		.cin = c->cin, .cout = c->mout, .in = { p->in[1], p->in[2] }, .out = { p->out[1], p->out[2] },
		.begin = { p->begin[1], p->begin[2] },
	};
}

static bool
by_tile(const conv *c)
{
	const hb_conv_params *p = &c->m.p;
	hb_winograd w = winograd_of(c);
	for (int i = 1; i < 3; i++)
		if (p->kernel[i] != 3 || p->strides[i] != 1 || p->dilations[i] != 1)
			return false;
	return p->kernel[0] == 1 && p->in[0] == 1 && p->out[0] == 1 && hb_winograd_pays(&w);
}

static void
conv_init(conv *c, const hb_node *n, hb_isa isa, int jobs)
{
	const hb_conv_params *p = n->aux;
	const hb_shape *x = &n->in[0]->shape, *w = &n->in[1]->shape;
	image_init(&c->m, p);
	c->isa = isa;
	c->batch = x->dim[0];
	c->group = p->group;
	c->cin = x->dim[1] / p->group;
	c->mout = w->dim[0] / p->group;
	c->taps = hb_shape_span(w, 2, w->rank);
	c->k = c->cin * c->taps;
	c->in_place = in_place(c);
	bool whole = c->m.direct && p->group == 1;
	for (int i = 0; i < p->nsp; i++)
		whole &= p->kernel[i] == p->in[i];
	c->turned = false;
	c->path = whole ? BY_ROW : c->cin == 1 && c->mout < 4 ? BY_CHANNEL : BY_GEMM;
	if (!whole && by_tile(c)) {
		hb_winograd t = winograd_of(c);
		c->path = BY_TILE;
		c->packed = hb_winograd_u_bytes(isa, &t);
		c->offs = 0;
		c->copy = hb_winograd_scratch(&t, jobs);
		return;
	}
	c->turned = c->path == BY_GEMM && hb_gemm_turns(isa, c->mout, image_span(&c->m), c->k);
	c->packed = whole || c->turned ? hb_gemm_b_bytes(isa, c->k, c->mout) : hb_gemm_a_bytes(isa, c->mout, c->k);
	if (c->path == BY_CHANNEL)
		c->packed = 0;
	c->offs = whole ? 0 : (size_t)hb_round_up(c->k * 8, 64);
	int64_t planes = c->path == BY_CHANNEL ? jobs : x->dim[1];
	bool copied = !c->m.direct && !(c->path == BY_CHANNEL && c->in_place);
	c->copy = copied ? (size_t)(planes * c->m.channel * 4) : 0;
	if (whole)
		c->copy = hb_gemm_a_bytes(isa, c->batch, c->k);
}

static void
pack_groups(const conv *c, const float *w, uint8_t *to)
{
	hb_winograd t = winograd_of(c);
	for (int64_t g = 0; g < c->group && c->packed; g++) {
		const float *from = w + g * c->mout * c->k;
		float *at = (float *)(void *)(to + (size_t)g * c->packed);
		if (c->path == BY_ROW || c->turned)
			hb_gemm_pack_b(c->isa, from, 1, c->k, c->k, c->mout, at);
		else if (c->path == BY_TILE)
			hb_winograd_pack(c->isa, &t, from, at);
		else
			hb_gemm_pack_a(c->isa, from, c->k, 1, c->mout, c->k, at);
	}
}

/* Depthwise reads the weights as they are. */
static size_t
pack_bytes_conv(hb_graph *g, hb_node *n)
{
	conv c;
	if (!is_const(n->in[1]))
		return 0;
	conv_init(&c, n, g->cx->isa, g->cx->jobs);
	return c.packed * (size_t)c.group;
}

static void
pack_conv(hb_graph *g, hb_node *n, void *to)
{
	conv c;
	conv_init(&c, n, g->cx->isa, g->cx->jobs);
	pack_groups(&c, hb_tensor_data(g, n->in[1]), to);
}

/* The widest form serves: scratch is planned before the width is known here. */
static size_t
scratch_conv(const hb_node *n, int jobs)
{
	size_t most = 0;
	for (hb_isa isa = HB_ISA_SCALAR; isa <= HB_ISA_AVX512; isa++) {
		conv c;
		conv_init(&c, n, isa, jobs);
		size_t bytes = c.offs + c.copy + (is_const(n->in[1]) ? 0 : c.packed * (size_t)c.group);
		most = HB_MAX(most, bytes);
	}
	return most;
}

typedef struct conv_run {
	const conv *c;
	hb_ctx *cx;
	const float *x, *w, *bias;		/* of one sample */
	const uint8_t *packed;
	float *y, *copy;
	int64_t *off;
	float lo, hi;
	const hb_follow *follow;
	const float *base;			/* the whole output */
} conv_run;

/* Output channels of one product begin at `first`. */
typedef struct conv_post {
	const conv_run *r;
	int64_t first;
} conv_post;

static void
post_row(void *arg, int64_t row, float *y, int64_t n)
{
	const conv_post *p = arg;
	hb_follow_run(p->r->follow, p->r->c->isa, p->r->base, y, p->first + row, n);
}

/* Channels [begin, end), without an image. */
static void
run_in_place(void *arg, int64_t begin, int64_t end, int worker)
{
	const conv_run *r = arg;
	const conv *c = r->c;
	const hb_conv_params *p = &c->m.p;
	int64_t cells = p->out[1] * p->out[2];
	(void)worker;
	/* As many output channels at a time as have their own input channel. */
	for (int64_t first = begin * c->mout, end_out = end * c->mout; first < end_out;) {
		hb_depthwise d = depthwise_of(c);
		d.channels = c->mout == 1 ? end_out - first : 1;
		d.x = r->x + first / c->mout * p->in[1] * p->in[2];
		d.w = r->w + first * c->taps;
		d.y = r->y + first * cells;
		d.bias = r->bias ? r->bias + first : NULL;
		d.lo = r->lo;
		d.hi = r->hi;
		hb_depthwise_run(&d);
		for (int64_t o = first; r->follow && o < first + d.channels; o++)
			hb_follow_run(r->follow, c->isa, r->base, r->y + o * cells, o, cells);
		first += d.channels;
	}
}

/* Channels [begin, end): each fills its image and runs its output channels. */
static void
run_channels(void *arg, int64_t begin, int64_t end, int worker)
{
	const conv_run *r = arg;
	const conv *c = r->c;
	const hb_conv_params *p = &c->m.p;
	int64_t cells = p->out[1] * p->out[2];
	for (int64_t ch = begin; ch < end; ch++) {
		const float *x = r->x + ch * p->in[0] * p->in[1] * p->in[2];
		if (!c->m.direct) {
			float *copy = r->copy + worker * c->m.channel;
			fill_channel(&c->m, copy, x);
			x = copy;
		}
		for (int64_t o = ch * c->mout; o < (ch + 1) * c->mout; o++)
			for (int64_t z = 0; z < p->out[0]; z++) {
				depthwise d = {
					.x = x + z * p->strides[0] * c->m.slice, .w = r->w + o * c->taps, .off = r->off,
					.taps = c->taps, .rows = p->out[1], .width = p->out[2], .pitch = c->m.pitch,
					.bias = r->bias ? r->bias[o] : 0, .lo = r->lo, .hi = r->hi,
					.y = r->y + (o * p->out[0] + z) * cells,
				};
				run_depthwise[c->isa](&d);
				hb_follow_run(r->follow, c->isa, r->base, d.y, o, cells);
			}
	}
}

/* Group i / depth, output slice i % depth. */
static hb_gemm
product_of(const conv_run *r, int64_t i, conv_post *post)
{
	const conv *c = r->c;
	const hb_conv_params *p = &c->m.p;
	int64_t g = i / p->out[0], z = i % p->out[0], cells = p->out[1] * p->out[2];
	const float *from = c->m.direct ? r->x : r->copy;
	*post = (conv_post){ r, g * c->mout };
	return (hb_gemm){
		.m = c->mout, .n = image_span(&c->m), .k = c->k, .turned = c->turned,
		.a = (const float *)(const void *)(r->packed + (size_t)g * c->packed),
		.b = from + g * c->cin * c->m.channel + z * p->strides[0] * c->m.slice, .off = r->off,
		.bias = r->bias ? r->bias + g * c->mout : NULL, .lo = r->lo, .hi = r->hi,
		.c = r->y + (g * c->mout * p->out[0] + z) * cells, .ldc = p->out[0] * cells,
		.pitch = c->m.pitch == p->out[2] ? 0 : c->m.pitch, .width = p->out[2],
		.post = r->follow ? post_row : NULL, .post_arg = post,
	};
}

static void
run_products(void *arg, int64_t begin, int64_t end, int worker)
{
	const conv_run *r = arg;
	(void)worker;
	for (int64_t i = begin; i < end; i++) {
		conv_post post;
		hb_gemm g = product_of(r, i, &post);
		hb_gemm_run1(r->c->isa, &g);
	}
}

static void
run_tiles(const conv_run *r)
{
	const conv *c = r->c;
	const hb_conv_params *p = &c->m.p;
	for (int64_t g = 0; g < c->group; g++) {
		conv_post post = { r, g * c->mout };
		hb_winograd w = winograd_of(c);
		w.x = r->x + g * c->cin * p->in[1] * p->in[2];
		w.u = (const float *)(const void *)(r->packed + (size_t)g * c->packed);
		w.bias = r->bias ? r->bias + g * c->mout : NULL;
		w.y = r->y + g * c->mout * p->out[1] * p->out[2];
		w.lo = r->lo;
		w.hi = r->hi;
		w.post = r->follow ? post_row : NULL;
		w.post_arg = &post;
		w.scratch = r->copy;
		hb_winograd_run(r->cx, &w);
	}
}

static void
run_sample(conv_run *r)
{
	const conv *c = r->c;
	const hb_conv_params *p = &c->m.p;
	if (c->path == BY_TILE) {
		run_tiles(r);
		return;
	}
	if (c->path == BY_CHANNEL) {
		/* Pieces whose results stay in the first-level cache. */
		int64_t grain = HB_MAX(1, 4096 / HB_MAX(c->mout * p->out[0] * p->out[1] * p->out[2], 1));
		hb_parallel(r->cx, c->group, grain, c->in_place ? run_in_place : run_channels, r);
		return;
	}
	if (!c->m.direct) {
		filling f = { &c->m, r->copy, r->x };
		hb_parallel(r->cx, c->group * c->cin, HB_MAX(1, 16384 / c->m.channel), fill_channels, &f);
	}
	int64_t items = c->group * p->out[0];
	if (items >= 4 * r->cx->jobs) {
		hb_parallel(r->cx, items, 1, run_products, r);
		return;
	}
	for (int64_t i = 0; i < items; i++) {
		conv_post post;
		hb_gemm g = product_of(r, i, &post);
		hb_gemm_run(r->cx, &g);
	}
}

static void
run_conv(const hb_call *call)
{
	const hb_val *x = call->in[0], *w = call->in[1], *b = hb_call_in(call, 2), *y = call->out[0];
	conv c;
	uint8_t *at = call->scratch;
	if (!hb_shape_elems(&y->shape))
		return;
	conv_init(&c, call->n, call->cx->isa, call->cx->jobs);
	conv_run r = {
		.c = &c, .cx = call->cx, .w = w->data, .bias = b ? b->data : NULL, .packed = call->packed,
		.off = (int64_t *)(void *)at, .lo = -INFINITY, .hi = INFINITY,
	};
	at += c.offs;
	r.base = y->data;
	r.follow = call->follow;
	if (r.follow && r.follow->kind == HB_FOLLOW_CLAMP) {	/* while still in registers */
		r.lo = r.follow->lo;
		r.hi = r.follow->hi;
		r.follow = r.follow->next;
	}
	if (!r.packed && c.packed) {
		pack_groups(&c, r.w, at);
		r.packed = at;
		at += c.packed * (size_t)c.group;
	}
	r.copy = (float *)(void *)at;
	if (c.path == BY_ROW) {
		hb_gemm_pack_a(c.isa, x->data, c.k, 1, c.batch, c.k, r.copy);
		hb_gemm g = {
			.m = c.batch, .n = c.mout, .k = c.k, .a = r.copy, .b = (const float *)(const void *)r.packed,
			.col_bias = r.bias, .lo = r.lo, .hi = r.hi, .c = y->data, .ldc = c.mout,
		};
		hb_gemm_run(r.cx, &g);
		for (int64_t i = 0; r.follow && i < c.batch * c.mout; i++)
			hb_follow_run(r.follow, c.isa, r.base, (float *)y->data + i, i % c.mout, 1);
		return;
	}
	const hb_conv_params *p = &c.m.p;
	for (int64_t ch = 0, k = 0; c.offs && ch < c.cin; ch++)
		for (int64_t kd = 0; kd < p->kernel[0]; kd++)
			for (int64_t kh = 0; kh < p->kernel[1]; kh++)
				for (int64_t kw = 0; kw < p->kernel[2]; kw++)
					r.off[k++] = ch * c.m.channel + image_tap(&c.m, kd, kh, kw);
	for (int64_t i = 0; i < c.batch; i++) {
		r.x = (const float *)x->data + i * (hb_shape_elems(&x->shape) / c.batch);
		r.y = (float *)y->data + i * (hb_shape_elems(&y->shape) / c.batch);
		run_sample(&r);
	}
}

const hb_op hb_op_conv = {
	.name = "Conv", .since = 1, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = conv_rows, .types = HB_BIT(HB_F32),
	.shape = shape_conv, .scratch = scratch_conv, .pack_bytes = pack_bytes_conv, .pack = pack_conv,
	.run = run_conv, .follows = true, .role = HB_ROLE_OWN, .convert = hb_to_fx_conv, .floats = hb_floats_conv, .macs = macs_conv,
};
