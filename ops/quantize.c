/* quantize.c: ONNX's own quantized operators: linear quantization, and the integer matrix products. */
#include "ops/nd.h"

#include "lib/base/fmath.h"

#define QUANTIZED (HB_BIT(HB_I8) | HB_BIT(HB_U8) | HB_BIT(HB_I16) | HB_BIT(HB_U16))
#define BYTES (HB_BIT(HB_I8) | HB_BIT(HB_U8))

static void
limits(hb_dtype dt, float *lo, float *hi)
{
	*lo = dt == HB_I8 ? -128.0f : dt == HB_I16 ? -32768.0f : 0.0f;
	*hi = dt == HB_I8 ? 127.0f : dt == HB_U8 ? 255.0f : dt == HB_I16 ? 32767.0f : 65535.0f;
}

/* ---- which scale an element has: one for all, one a channel, or one a block along the axis ---- */

struct grid {
	int64_t axis, inner;		/* extents of the quantized axis and of what is behind it */
	int64_t block;			/* 0: no blocks */
	bool single;
};

static int
axis_of(const hb_node *n, int rank)
{
	int64_t axis = hb_attr_i(n, "axis", 1);

	return (int)(axis + (axis < 0 ? rank : 0));
}

static struct grid
grid_of(const hb_node *n, const hb_shape *x, const hb_shape *scale)
{
	struct grid r = { 1, 1, hb_attr_i(n, "block_size", 0), hb_shape_elems(scale) == 1 };

	if (!r.single) {
		hb_split3 s = hb_split_at(x, axis_of(n, x->rank));
		r.axis = s.axis;
		r.inner = s.inner;
	}
	return r;
}

/* The scale of element i, and how many elements from it on share that. */
static int64_t
scale_at(const struct grid *r, int64_t i, int64_t *run)
{
	if (r->single) {
		*run = INT64_MAX;
		return 0;
	}
	int64_t at = i / r->inner % r->axis;
	if (!r->block) {
		*run = r->inner - i % r->inner;
		return at;
	}
	*run = r->inner > 1 ? 1 : HB_MIN(r->block - at % r->block, r->axis - at);
	return (i / r->inner / r->axis * hb_ceil_div(r->axis, r->block) + at / r->block) * r->inner + i % r->inner;
}

static hb_status
check_scale(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *s = &n->in[1]->shape;
	const hb_tensor *zp = hb_in(n, 2);
	int64_t block = hb_attr_i(n, "block_size", 0);
	char a[HB_SHAPE_TEXT], b[HB_SHAPE_TEXT];
	int axis;

	if (zp && !hb_shape_eq(&zp->shape, s) && (hb_shape_elems(s) != 1 || hb_shape_elems(&zp->shape) != 1))
		return HB_BAD(g, n, "scale is %s and zero_point %s; they are equal", hb_shape_text(s, a),
			      hb_shape_text(&zp->shape, b));
	if (block < 0)
		return HB_BAD(g, n, "block_size is %lld", (long long)block);
	if (hb_shape_elems(s) == 1)
		return HB_OK;
	HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", 1), x->rank, &axis));
	if (!block) {
		if (s->rank != 1 || s->dim[0] != x->dim[axis])
			return HB_BAD(g, n, "scale is %s; one value for each of %lld is taken", hb_shape_text(s, a),
				      (long long)x->dim[axis]);
		return HB_OK;
	}
	hb_shape want = *x;
	want.dim[axis] = hb_ceil_div(x->dim[axis], block);
	if (!hb_shape_eq(&want, s))
		return HB_BAD(g, n, "scale is %s; with block_size %lld it is %s", hb_shape_text(s, a), (long long)block,
			      hb_shape_text(&want, b));
	return HB_OK;
}

/* ---- QuantizeLinear: y = clamp(round_half_even(x / scale) + zero_point) ---- */

HB_INLINE void
quantize_body(const float *x, float *y, int64_t n, float scale, float zero, float lo, float hi)
{
	for (int64_t i = 0; i < n; i++) {
		float q = hb_roundf(x[i] / scale) + zero;
		q = q < lo ? lo : q;
		y[i] = q > hi ? hi : q;
	}
}
HB_KERNEL(quantize_row, quantize_body, (const float *x, float *y, int64_t n, float scale, float zero, float lo, float hi),
	  (x, y, n, scale, zero, lo, hi))

/* Floats that are integers of the type already. */
HB_INLINE void
narrow_body(const float *x, void *y, int64_t n, hb_dtype dt)
{
	if (dt == HB_U8)
		for (int64_t i = 0; i < n; i++)
			((uint8_t *)y)[i] = (uint8_t)(int32_t)x[i];
	else if (dt == HB_I8)
		for (int64_t i = 0; i < n; i++)
			((int8_t *)y)[i] = (int8_t)(int32_t)x[i];
	else
		for (int64_t i = 0; i < n; i++)
			((uint16_t *)y)[i] = (uint16_t)(int32_t)x[i];
}
HB_KERNEL(narrow_row, narrow_body, (const float *x, void *y, int64_t n, hb_dtype dt), (x, y, n, dt))

struct linear_call {
	hb_isa isa;
	const hb_val *x, *zero, *y;
	const float *scale;
	struct grid grid;
};

enum { PIECE = 256 };

static void
quantize_piece(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct linear_call *k = arg;
	size_t size = hb_dtype_size(k->y->dtype);
	float f[PIECE], lo, hi;
	int64_t run;

	(void)worker;
	limits(k->y->dtype, &lo, &hi);
	for (int64_t i = begin; i < end;) {
		int64_t s = scale_at(&k->grid, i, &run), n = HB_MIN(HB_MIN(run, PIECE), end - i);
		hb_float_load(k->x->dtype, k->x->data, i, 1, n, f);
		quantize_row[k->isa](f, f, n, k->scale[s], k->zero ? hb_val_f(k->zero, s) : 0.0f, lo, hi);
		for (int64_t j = 0; j < n; j++)
			f[j] = f[j] != f[j] ? 0.0f : f[j];
		narrow_row[k->isa](f, (uint8_t *)k->y->data + (size_t)i * size, n, k->y->dtype);
		i += n;
	}
}

static void
run_linear(const hb_call *c, void (*piece)(void *arg, int64_t begin, int64_t end, int worker))
{
	const hb_val *x = c->in[0];
	struct linear_call k = { c->cx->isa, x, hb_call_in(c, 2), c->out[0], c->in[1]->data,
				 grid_of(c->n, &x->shape, &c->in[1]->shape) };
	int64_t n = hb_val_elems(x);

	if (n)
		hb_parallel(c->cx, n, 16384, piece, &k);
}

static hb_status
shape_quantize(hb_graph *g, hb_node *n)
{
	const hb_tensor *zp = hb_in(n, 2);
	int64_t to = hb_attr_i(n, "output_dtype", 0);
	hb_dtype dt = zp ? zp->dtype : to ? hb_onnx_dtype(to) : HB_U8;

	if (dt == HB_NONE || !(QUANTIZED & HB_BIT(dt)))
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "type", "quantizes to element type %lld; 8 and 16 bits are supported", (long long)to);
	if (zp && to && hb_onnx_dtype(to) != zp->dtype)
		return HB_BAD(g, n, "output_dtype and the zero point's type differ");
	HB_TRY(check_scale(g, n));
	return hb_set_out(g, n, 0, dt, &n->in[0]->shape);
}

static void
run_quantize(const hb_call *c)
{
	run_linear(c, quantize_piece);
}

static const hb_attr_row quantize_rows[] = {
	{ "axis", HB_ATTR_INT, false, 13, 0 }, { "block_size", HB_ATTR_INT, false, 21, 0 },
	{ "output_dtype", HB_ATTR_INT, false, 21, 0 }, { "precision", HB_ATTR_INT, false, 23, 0 },
	{ "saturate", HB_ATTR_INT, false, 19, 0 }, { 0 } };

const hb_op hb_op_quantize_linear = {
	.name = "QuantizeLinear", .since = 10, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = quantize_rows, .in_types = { HB_BIT(HB_F32) | HB_BIT(HB_I32), HB_BIT(HB_F32), QUANTIZED },
	.shape = shape_quantize, .run = run_quantize, .role = HB_ROLE_PASS,
};

/* ---- DequantizeLinear: y = (x - zero_point) * scale ---- */

static void
dequantize_piece(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct linear_call *k = arg;
	float *y = k->y->data;
	int64_t q[PIECE], run;

	(void)worker;
	for (int64_t i = begin; i < end;) {
		int64_t s = scale_at(&k->grid, i, &run), n = HB_MIN(HB_MIN(run, PIECE), end - i);
		int64_t zero = k->zero ? hb_val_i(k->zero, s) : 0;
		hb_wide_load(k->x->dtype, k->x->data, i, 1, n, q);
		for (int64_t j = 0; j < n; j++)
			y[i + j] = (float)(q[j] - zero) * k->scale[s];
		i += n;
	}
}

static hb_status
shape_dequantize(hb_graph *g, hb_node *n)
{
	const hb_tensor *zp = hb_in(n, 2);

	if (zp && zp->dtype != n->in[0]->dtype)
		return HB_BAD(g, n, "input is %s and zero_point %s; one type is taken", hb_dtype_name(n->in[0]->dtype),
			      hb_dtype_name(zp->dtype));
	HB_TRY(check_scale(g, n));
	return hb_set_out(g, n, 0, HB_F32, &n->in[0]->shape);
}

static void
run_dequantize(const hb_call *c)
{
	run_linear(c, dequantize_piece);
}

static const hb_attr_row dequantize_rows[] = {
	{ "axis", HB_ATTR_INT, false, 13, 0 }, { "block_size", HB_ATTR_INT, false, 21, 0 },
	{ "output_dtype", HB_ATTR_INT, false, 23, 0 }, { 0 } };

const hb_op hb_op_dequantize_linear = {
	.name = "DequantizeLinear", .since = 10, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = dequantize_rows,
	.in_types = { QUANTIZED | HB_BIT(HB_I32), HB_BIT(HB_F32), QUANTIZED | HB_BIT(HB_I32) },
	.shape = shape_dequantize, .run = run_dequantize, .role = HB_ROLE_PASS,
};

/* ---- DynamicQuantizeLinear: uint8 over the range of x, zero included ---- */

static hb_status
shape_dynamic(hb_graph *g, hb_node *n)
{
	hb_shape scalar = { .rank = 0 };

	HB_TRY(hb_set_out(g, n, 0, HB_U8, &n->in[0]->shape));
	HB_TRY(hb_set_out(g, n, 1, HB_F32, &scalar));
	return hb_set_out(g, n, 2, HB_U8, &scalar);
}

static void
run_dynamic(const hb_call *c)
{
	const hb_val *x = c->in[0];
	int64_t n = hb_val_elems(x);
	float lo = 0, hi = 0;

	if (n) {
		unsigned all = (1u << x->shape.rank) - 1;
		hb_reduce(c->cx, HB_RED_MIN, x, all, &lo);
		hb_reduce(c->cx, HB_RED_MAX, x, all, &hi);
	}
	lo = HB_MIN(lo, 0.0f);
	hi = HB_MAX(hi, 0.0f);
	float scale = hi > lo ? (hi - lo) / 255.0f : 1.0f;
	float zero = hb_roundf(HB_MAX(0.0f, HB_MIN(255.0f, 0.0f - lo / scale)));
	uint8_t point = (uint8_t)zero;
	hb_val zp = { HB_U8, { .rank = 0 }, &point };
	struct linear_call k = { c->cx->isa, x, &zp, c->out[0], &scale, { 1, 1, 0, true } };
	if (c->out[0] && n)
		hb_parallel(c->cx, n, 16384, quantize_piece, &k);
	if (c->n->nout > 1 && c->out[1])
		*(float *)c->out[1]->data = scale;
	if (c->n->nout > 2 && c->out[2])
		*(uint8_t *)c->out[2]->data = point;
}

const hb_op hb_op_dynamic_quantize_linear = {
	.name = "DynamicQuantizeLinear", .since = 11, .min_in = 1, .max_in = 1, .min_out = 3, .max_out = 3,
	.types = HB_BIT(HB_F32), .shape = shape_dynamic, .run = run_dynamic,
};
