/* pool.c: pools over windows and over whole planes. For a row of results the rows of the window
 * become one line, and then the line's cells one result: depth and height first, then width. */
#include "lib/base/cpu.h"
#include "lib/base/fmath.h"
#include "lib/base/maxpool.h"
#include "ops/conv.h"
#include "ops/to_fx.h"
#include "ops/nd.h"

/* The results [lo, hi) along a dimension whose cell k of the window is in the input. */
static void
covered(const hb_conv_params *p, int i, int64_t k, int64_t *lo, int64_t *hi)
{
	int64_t at = k * p->dilations[i] - p->begin[i], s = p->strides[i];
	*lo = HB_MIN(at < 0 ? hb_ceil_div(-at, s) : 0, p->out[i]);
	*hi = p->in[i] > at ? HB_MIN(hb_ceil_div(p->in[i] - at, s), p->out[i]) : 0;
}

/* Bytes of a worker's line. */
static size_t
line_bytes(const hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape;
	return (size_t)hb_round_up(x->dim[x->rank - 1] * 4, 64);
}

static size_t
scratch_lines(const hb_node *n, int jobs)
{
	return line_bytes(n) * (size_t)jobs;
}

/* Runs fn over the planes (one a sample and channel) of input 0, in parallel. */
typedef struct planes {
	hb_conv_params p;		/* of three dimensions */
	hb_isa isa;
	hb_dtype dtype;
	const void *x;
	void *y;
	int64_t *indices;
	int64_t in, out;		/* elements of a plane */
	uint8_t *lines;
	size_t line_bytes;
	float exponent;			/* of LpPool */
} planes;

static void
run_planes(const hb_call *c, float exponent, void (*fn)(void *arg, int64_t begin, int64_t end, int worker))
{
	const hb_val *x = c->in[0], *y = c->out[0], *i = c->n->nout > 1 ? c->out[1] : NULL;
	planes q = {
		.p = hb_conv_three(c->n->aux), .isa = c->cx->isa, .dtype = x->dtype, .x = x->data, .y = y->data,
		.indices = i ? i->data : NULL, .lines = c->scratch, .line_bytes = line_bytes(c->n),
		.exponent = exponent,
		.in = hb_shape_span(&x->shape, 2, x->shape.rank), .out = hb_shape_span(&y->shape, 2, y->shape.rank),
	};
	int64_t n = x->shape.dim[0] * x->shape.dim[1];
	if (q.out)
		hb_parallel(c->cx, n, HB_MAX(1, 4096 / q.out), fn, &q);
}

/* One plane y of x: `down` joins a cell of the window's rows to the line, `along` a cell of the line to a result;
 * line has room for in[2] elements. */
#define POOL_PLANE(p, y, x, line, type, start, down, along)                                              \
	for (int64_t od = 0; od < (p)->out[0]; od++)                                                     \
		for (int64_t oh = 0; oh < (p)->out[1]; oh++) {                                           \
			type *restrict to = (y) + (od * (p)->out[1] + oh) * (p)->out[2];                 \
			for (int64_t w = 0; w < (p)->in[2]; w++)                                         \
				(line)[w] = (start);                                                     \
			for (int64_t k = 0; k < (p)->kernel[0] * (p)->kernel[1]; k++) {                  \
				int64_t kd = k / (p)->kernel[1], kh = k % (p)->kernel[1];                \
				int64_t id = od * (p)->strides[0] + kd * (p)->dilations[0] - (p)->begin[0]; \
				int64_t ih = oh * (p)->strides[1] + kh * (p)->dilations[1] - (p)->begin[1]; \
				if (id < 0 || id >= (p)->in[0] || ih < 0 || ih >= (p)->in[1])            \
					continue;                                                        \
				const type *restrict from = (x) + (id * (p)->in[1] + ih) * (p)->in[2];   \
				for (int64_t w = 0; w < (p)->in[2]; w++)                                 \
					down((line)[w], from[w]);                                        \
			}                                                                                \
			for (int64_t o = 0; o < (p)->out[2]; o++)                                        \
				to[o] = (start);                                                         \
			for (int64_t kw = 0; kw < (p)->kernel[2]; kw++) {                                \
				int64_t lo, hi, s = (p)->strides[2];                                     \
				int64_t at = kw * (p)->dilations[2] - (p)->begin[2];                     \
				covered((p), 2, kw, &lo, &hi);                                           \
				if (s == 1) {                                                            \
					for (int64_t o = lo; o < hi; o++)                                \
						along(to[o], (line)[o + at]);                            \
				} else if (s == 2) {                                                     \
					for (int64_t o = lo; o < hi; o++)                                \
						along(to[o], (line)[2 * o + at]);                        \
				} else {                                                                 \
					for (int64_t o = lo; o < hi; o++)                                \
						along(to[o], (line)[s * o + at]);                        \
				}                                                                        \
			}                                                                                \
		}

/* ---- MaxPool ---- */

static const hb_attr_row max_rows[] = {
	{ .name = "auto_pad", .type = HB_ATTR_STRING },
	{ .name = "ceil_mode", .type = HB_ATTR_INT, .since = 10 },
	{ .name = "dilations", .type = HB_ATTR_INTS, .since = 10 },
	{ .name = "kernel_shape", .type = HB_ATTR_INTS, .required = true },
	{ .name = "pads", .type = HB_ATTR_INTS },
	{ .name = "storage_order", .type = HB_ATTR_INT, .since = 8 },
	{ .name = "strides", .type = HB_ATTR_INTS },
	{ 0 },
};

static hb_status
shape_pool(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape;
	hb_conv_params *p = HB_AUX(g, n, hb_conv_params);
	int64_t kernel[HB_MAX_SPATIAL];
	if (!p)
		return hb_nomem(g->cx, n->name);
	HB_TRY(hb_window_kernel(g, n, x->rank - 2, kernel));
	HB_TRY(hb_window_resolve(g, n, x, kernel, p));
	p->group = x->dim[1];
	p->count_include_pad = hb_attr_i(n, "count_include_pad", 0) != 0;
	p->storage_order = hb_attr_i(n, "storage_order", 0);
	hb_shape y = *x;
	for (int i = 0; i < p->nsp; i++)
		y.dim[2 + i] = p->out[i];
	HB_TRY(hb_set_out(g, n, 0, n->in[0]->dtype, &y));
	return n->nout > 1 ? hb_set_out(g, n, 1, HB_I64, &y) : HB_OK;
}

/* A NaN stays. */
#define TAKE_MAX(y, x) ((y) = (x) > (y) || (x) != (x) ? (x) : (y))
#define TAKE_MAX_INT(y, x) ((y) = (x) > (y) ? (x) : (y))

#define MAX_PLANE(type, take, least)                                                                            \
	HB_INLINE void max_plane_##type(const hb_conv_params *p, type *restrict y, const type *restrict x,      \
					type *restrict line)                                                    \
	{                                                                                                       \
		POOL_PLANE(p, y, x, line, type, least, take, take)                                              \
	}                                                                                                       \
	HB_KERNEL(max_##type, max_plane_##type,                                                                 \
		  (const hb_conv_params *p, type *restrict y, const type *restrict x, type *restrict line), (p, y, x, line))

MAX_PLANE(float, TAKE_MAX, -INFINITY)
MAX_PLANE(int8_t, TAKE_MAX_INT, INT8_MIN)
MAX_PLANE(uint8_t, TAKE_MAX_INT, 0)

/* The element of the plane in the order that the indices count. */
static int64_t
index_of(const hb_conv_params *p, const int64_t *at)
{
	if (p->storage_order)
		return (at[2] * p->in[1] + at[1]) * p->in[0] + at[0];
	return (at[0] * p->in[1] + at[1]) * p->in[2] + at[2];
}

/* The first of the largest cells of one window; *index -1 where no cell is in the input. */
static void
find_max(const planes *q, const void *x, const int64_t *o, float *best, int64_t *index)
{
	const hb_conv_params *p = &q->p;
	*index = -1;
	for (int64_t kd = 0; kd < p->kernel[0]; kd++)
		for (int64_t kh = 0; kh < p->kernel[1]; kh++)
			for (int64_t kw = 0; kw < p->kernel[2]; kw++) {
				int64_t k[3] = { kd, kh, kw }, at[3];
				bool in = true;
				for (int i = 0; i < 3; i++) {
					at[i] = o[i] * p->strides[i] + k[i] * p->dilations[i] - p->begin[i];
					in = in && at[i] >= 0 && at[i] < p->in[i];
				}
				if (!in)
					continue;
				float v;
				hb_float_load(q->dtype, x, (at[0] * p->in[1] + at[1]) * p->in[2] + at[2], 1, 1, &v);
				if (*index < 0 || v > *best || (v != v && *best == *best)) {
					*best = v;
					*index = index_of(p, at);
				}
			}
}

static bool
read_in_place(const planes *q, hb_maxpool *d)
{
	const hb_conv_params *p = &q->p;
	for (int i = 0; i < 2; i++) {
		d->in[i] = p->in[1 + i];
		d->out[i] = p->out[1 + i];
		d->kernel[i] = p->kernel[1 + i];
		d->stride[i] = p->strides[1 + i];
		d->dilation[i] = p->dilations[1 + i];
		d->begin[i] = p->begin[1 + i];
	}
	return q->dtype == HB_F32 && p->in[0] == 1 && p->kernel[0] == 1 && p->out[0] == 1 && hb_maxpool_fits(q->isa, d);
}

static void
max_planes(void *arg, int64_t begin, int64_t end, int worker)
{
	const planes *q = arg;
	const hb_conv_params *p = &q->p;
	void *line = q->lines + (size_t)worker * q->line_bytes;
	hb_maxpool d;
	bool in_place = read_in_place(q, &d);
	for (int64_t c = begin; c < end; c++) {
		d.x = (const float *)q->x + c * q->in;
		d.y = (float *)q->y + c * q->out;
		if (in_place)
			hb_maxpool_run(&d);
		else if (q->dtype == HB_F32)
			max_float[q->isa](p, (float *)q->y + c * q->out, (const float *)q->x + c * q->in, line);
		else if (q->dtype == HB_I8)
			max_int8_t[q->isa](p, (int8_t *)q->y + c * q->out, (const int8_t *)q->x + c * q->in, line);
		else
			max_uint8_t[q->isa](p, (uint8_t *)q->y + c * q->out, (const uint8_t *)q->x + c * q->in, line);
		const uint8_t *x = (const uint8_t *)q->x + (size_t)(c * q->in) * hb_dtype_size(q->dtype);
		for (int64_t i = 0; q->indices && i < q->out; i++) {
			int64_t o[3] = { i / (p->out[1] * p->out[2]), i / p->out[2] % p->out[1], i % p->out[2] };
			float best = 0;
			int64_t index;
			find_max(q, x, o, &best, &index);
			q->indices[c * q->out + i] = index < 0 ? -1 : c * q->in + index;
		}
	}
}

static void
run_max(const hb_call *c)
{
	run_planes(c, 0, max_planes);
}

const hb_op hb_op_max_pool = {
	.name = "MaxPool", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 2,
	.attrs = max_rows, .types = HB_BIT(HB_F32) | HB_BIT(HB_I8) | HB_BIT(HB_U8),
	.shape = shape_pool, .scratch = scratch_lines, .run = run_max, .role = HB_ROLE_PASS, .convert = hb_to_fx_max_pool, .floats = hb_floats_pool,
};

/* ---- AveragePool ---- */

static const hb_attr_row average_rows[] = {
	{ .name = "auto_pad", .type = HB_ATTR_STRING },
	{ .name = "ceil_mode", .type = HB_ATTR_INT, .since = 10 },
	{ .name = "count_include_pad", .type = HB_ATTR_INT, .since = 7 },
	{ .name = "dilations", .type = HB_ATTR_INTS, .since = 19 },
	{ .name = "kernel_shape", .type = HB_ATTR_INTS, .required = true },
	{ .name = "pads", .type = HB_ATTR_INTS },
	{ .name = "strides", .type = HB_ATTR_INTS },
	{ 0 },
};

#define TAKE_SUM(y, x) ((y) += (x))

HB_INLINE void
sum_plane(const hb_conv_params *p, float *restrict y, const float *restrict x, float *restrict line)
{
	POOL_PLANE(p, y, x, line, float, 0, TAKE_SUM, TAKE_SUM)
}

HB_KERNEL(sum_of, sum_plane, (const hb_conv_params *p, float *restrict y, const float *restrict x, float *restrict line),
	  (p, y, x, line))

/* Cells of window o that count along dimension i: those in the input; with count_include_pad all, those too
 * that ceil_mode adds beyond the padding, as ONNX and ONNX Runtime have it. */
static int64_t
cells(const hb_conv_params *p, int i, int64_t o)
{
	int64_t first = o * p->strides[i] - p->begin[i], d = p->dilations[i];
	if (p->count_include_pad)
		return p->kernel[i];
	int64_t from = first < 0 ? hb_ceil_div(-first, d) : 0;
	int64_t to = p->in[i] > first ? HB_MIN(hb_ceil_div(p->in[i] - first, d), p->kernel[i]) : 0;
	return HB_MAX(to - from, 0);
}

static void
average_planes(void *arg, int64_t begin, int64_t end, int worker)
{
	const planes *q = arg;
	const hb_conv_params *p = &q->p;
	float *line = (float *)(void *)(q->lines + (size_t)worker * q->line_bytes);
	for (int64_t c = begin; c < end; c++) {
		float *y = (float *)q->y + c * q->out;
		sum_of[q->isa](p, y, (const float *)q->x + c * q->in, line);
		for (int64_t od = 0; od < p->out[0]; od++)
			for (int64_t oh = 0; oh < p->out[1]; oh++) {
				int64_t rows = cells(p, 0, od) * cells(p, 1, oh);
				for (int64_t ow = 0; ow < p->out[2]; ow++, y++)
					*y /= (float)HB_MAX(rows * cells(p, 2, ow), 1);
			}
	}
}

static void
run_average(const hb_call *c)
{
	run_planes(c, 0, average_planes);
}

const hb_op hb_op_average_pool = {
	.name = "AveragePool", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = average_rows, .types = HB_BIT(HB_F32),
	.shape = shape_pool, .scratch = scratch_lines, .run = run_average, .role = HB_ROLE_OWN, .convert = hb_to_fx_average_pool, .floats = hb_floats_pool,
};

/* ---- LpPool: (sum |x|^p)^(1/p) ---- */

static const hb_attr_row lp_rows[] = {
	{ .name = "auto_pad", .type = HB_ATTR_STRING },
	{ .name = "ceil_mode", .type = HB_ATTR_INT, .since = 18 },
	{ .name = "dilations", .type = HB_ATTR_INTS, .since = 18 },
	{ .name = "kernel_shape", .type = HB_ATTR_INTS, .required = true },
	{ .name = "p", .type = HB_ATTR_FLOAT, .until = 1 },
	{ .name = "p", .type = HB_ATTR_INT, .since = 2 },
	{ .name = "pads", .type = HB_ATTR_INTS },
	{ .name = "strides", .type = HB_ATTR_INTS },
	{ 0 },
};

static float
exponent_of(const hb_node *n)
{
	return n->version < 2 ? hb_attr_f(n, "p", 2) : (float)hb_attr_i(n, "p", 2);
}

static hb_status
check_exponent(hb_graph *g, hb_node *n)
{
	float e = exponent_of(n);
	return e > 0 ? HB_OK : HB_BAD(g, n, "p is %g; it must be above 0", (double)e);
}

static float
power(float x, float e)
{
	float a = hb_absf(x);
	return e == 1 ? a : e == 2 ? a * a : hb_powf(a, e);
}

static float
root(float s, float e)
{
	return e == 1 ? s : e == 2 ? sqrtf(s) : hb_powf(s, 1 / e);
}

static hb_status
shape_lp(hb_graph *g, hb_node *n)
{
	HB_TRY(check_exponent(g, n));
	return shape_pool(g, n);
}

static void
lp_planes(void *arg, int64_t begin, int64_t end, int worker)
{
	const planes *q = arg;
	const hb_conv_params *p = &q->p;
	float *line = (float *)(void *)(q->lines + (size_t)worker * q->line_bytes), e = q->exponent;
#define TAKE_POWER(y_, x_) ((y_) += power((x_), e))
	for (int64_t c = begin; c < end; c++) {
		float *y = (float *)q->y + c * q->out;
		const float *x = (const float *)q->x + c * q->in;
		POOL_PLANE(p, y, x, line, float, 0, TAKE_POWER, TAKE_SUM)
		for (int64_t i = 0; i < q->out; i++)
			y[i] = root(y[i], e);
	}
}

static void
run_lp(const hb_call *c)
{
	run_planes(c, exponent_of(c->n), lp_planes);
}

const hb_op hb_op_lp_pool = {
	.name = "LpPool", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = lp_rows, .types = HB_BIT(HB_F32), .shape = shape_lp, .scratch = scratch_lines, .run = run_lp,
};

/* ---- over whole planes ---- */

static hb_status
shape_global(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape;
	hb_shape y = *x;
	if (x->rank < 2)
		return HB_BAD(g, n, "input has rank %d; %s takes rank 2 and above", x->rank, n->op_type);
	for (int i = 2; i < y.rank; i++)
		y.dim[i] = 1;
	n->aux = NULL;
	if (x->rank >= 3 && x->rank <= 5) {	/* the same as a window over everything */
		hb_conv_params *p = HB_AUX(g, n, hb_conv_params);
		if (!p)
			return hb_nomem(g->cx, n->name);
		p->nsp = x->rank - 2;
		p->group = x->dim[1];
		for (int i = 0; i < p->nsp; i++) {
			p->kernel[i] = p->in[i] = x->dim[2 + i];
			p->strides[i] = p->dilations[i] = p->out[i] = 1;
		}
	}
	return hb_set_out(g, n, 0, n->in[0]->dtype, &y);
}

enum { LANES = 16 };

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t bits __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static const int32_t keep[2 * LANES] = { -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 };

/* Element i is added to lane i % 16, in ascending order; then the lanes by halves. `room` elements may be read. */
HB_INLINE void
lane_sum(const float *x, int64_t n, int64_t room, float e, float *sum)
{
	lanes s = { 0 }, rest = { 0 };
	int64_t i = 0;
	if (e == 0) {
		for (; i + LANES <= n; i += LANES)
			s += *(const lanes *)(x + i);
		if (room >= i + LANES)
			rest = (lanes)(*(const bits *)(const void *)(x + i) & *(const bits *)(keep + LANES - (n - i)));
		else
			memcpy(&rest, x + i, (size_t)(n - i) * 4);
	} else {
		for (; i < n; i++)
			s[i % LANES] += power(x[i], e);
	}
	s += rest;
	s += __builtin_shufflevector(s, s, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
	s += __builtin_shufflevector(s, s, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3);
	s += __builtin_shufflevector(s, s, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1);
	s += __builtin_shufflevector(s, s, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0);
	*sum = s[0];
}

HB_KERNEL(sum_lanes, lane_sum, (const float *x, int64_t n, int64_t room, float e, float *sum), (x, n, room, e, sum))

typedef enum global { GLOBAL_AVERAGE, GLOBAL_MAX, GLOBAL_LP } global;

typedef struct global_job {
	global kind;
	hb_isa isa;
	const float *x;
	float *y, e;
	int64_t span, planes;
} global_job;

static void
global_planes(void *arg, int64_t begin, int64_t end, int worker)
{
	const global_job *j = arg;
	(void)worker;
	for (int64_t c = begin; c < end; c++) {
		const float *x = j->x + c * j->span;
		float y = -INFINITY;
		if (j->kind == GLOBAL_MAX) {
			for (int64_t i = 0; i < j->span; i++)
				TAKE_MAX(y, x[i]);
		} else {
			sum_lanes[j->isa](x, j->span, j->span * (j->planes - c), j->kind == GLOBAL_LP ? j->e : 0, &y);
			y = j->kind == GLOBAL_LP ? root(y, j->e) : y / (float)j->span;
		}
		j->y[c] = y;
	}
}

static void
run_global(const hb_call *c, global kind, float e)
{
	const hb_shape *x = &c->in[0]->shape;
	global_job j = {
		.kind = kind, .isa = c->cx->isa, .x = c->in[0]->data, .y = c->out[0]->data, .e = e,
		.span = hb_shape_span(x, 2, x->rank), .planes = x->dim[0] * x->dim[1],
	};
	hb_parallel(c->cx, x->dim[0] * x->dim[1], HB_MAX(1, 16384 / HB_MAX(j.span, 1)), global_planes, &j);
}

static void
run_global_average(const hb_call *c)
{
	run_global(c, GLOBAL_AVERAGE, 0);
}

static void
run_global_max(const hb_call *c)
{
	run_global(c, GLOBAL_MAX, 0);
}

static void
run_global_lp(const hb_call *c)
{
	run_global(c, GLOBAL_LP, exponent_of(c->n));
}

const hb_op hb_op_global_average_pool = {
	.name = "GlobalAveragePool", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.types = HB_BIT(HB_F32), .shape = shape_global, .run = run_global_average, .role = HB_ROLE_OWN,
	.convert = hb_to_fx_global_average_pool, .floats = hb_floats_global_pool,
};

const hb_op hb_op_global_max_pool = {
	.name = "GlobalMaxPool", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.types = HB_BIT(HB_F32), .shape = shape_global, .run = run_global_max, .role = HB_ROLE_PASS,
	.convert = hb_to_fx_global_max_pool, .floats = hb_floats_global_pool,
};

static const hb_attr_row global_lp_rows[] = {
	{ .name = "p", .type = HB_ATTR_FLOAT, .until = 1 },
	{ .name = "p", .type = HB_ATTR_INT, .since = 2 },
	{ 0 },
};

static hb_status
shape_global_lp(hb_graph *g, hb_node *n)
{
	HB_TRY(check_exponent(g, n));
	return shape_global(g, n);
}

const hb_op hb_op_global_lp_pool = {
	.name = "GlobalLpPool", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = global_lp_rows, .types = HB_BIT(HB_F32), .shape = shape_global_lp, .run = run_global_lp,
};
