/* quantize.c: ONNX's own quantized operators: linear quantization, and the integer matrix products. */
#include "ops/conv.h"
#include "ops/nd.h"

#include "lib/base/fmath.h"

#define QUANTIZED (HB_BIT(HB_I8) | HB_BIT(HB_U8) | HB_BIT(HB_I16) | HB_BIT(HB_U16))
#define BYTES (HB_BIT(HB_I8) | HB_BIT(HB_U8))

bool
hb_quantized_limits(hb_dtype dt, float *lo, float *hi)
{
	*lo = dt == HB_I8 ? -128.0f : dt == HB_I16 ? -32768.0f : 0.0f;
	*hi = dt == HB_I8 ? 127.0f : dt == HB_U8 ? 255.0f : dt == HB_I16 ? 32767.0f : 65535.0f;
	return HB_BIT(dt) & QUANTIZED;
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

typedef struct linear {
	float scale, zero, lo, hi;
} linear;

/* A NaN becomes 0. */
#define QUANTIZE(type)                                                                           \
	HB_INLINE void quantize_##type##_body(const float *restrict x, type *restrict y, int64_t n, linear by) \
	{                                                                                        \
		for (int64_t i = 0; i < n; i++) {                                                \
			float q = hb_round_into(x[i] / by.scale, by.lo - by.zero, by.hi - by.zero) + by.zero; \
			y[i] = (type)(int32_t)(q != q ? 0.0f : q);                               \
		}                                                                                \
	}                                                                                        \
	HB_KERNEL(quantize_##type, quantize_##type##_body,                                       \
		  (const float *restrict x, type *restrict y, int64_t n, linear by), (x, y, n, by))

QUANTIZE(int8_t)
QUANTIZE(uint8_t)
QUANTIZE(int16_t)
QUANTIZE(uint16_t)

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
	void *y = k->y->data;
	float f[PIECE];
	int64_t run;

	(void)worker;
	for (int64_t i = begin; i < end;) {
		int64_t s = scale_at(&k->grid, i, &run), n = HB_MIN(HB_MIN(run, PIECE), end - i);
		const float *x = f;
		linear by = { .scale = k->scale[s], .zero = k->zero ? hb_val_f(k->zero, s) : 0.0f };
		hb_quantized_limits(k->y->dtype, &by.lo, &by.hi);
		if (k->x->dtype == HB_F32)
			x = (const float *)k->x->data + i;
		else
			hb_float_load(k->x->dtype, k->x->data, i, 1, n, f);
		switch (k->y->dtype) {
		case HB_I8: quantize_int8_t[k->isa](x, (int8_t *)y + i, n, by); break;
		case HB_U8: quantize_uint8_t[k->isa](x, (uint8_t *)y + i, n, by); break;
		case HB_I16: quantize_int16_t[k->isa](x, (int16_t *)y + i, n, by); break;
		default: quantize_uint16_t[k->isa](x, (uint16_t *)y + i, n, by); break;
		}
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
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "type",
			       "quantizes to element type %lld; 8 and 16 bits are supported", (long long)to);
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

/* Differences are exact in float. */
#define DEQUANTIZE(type)                                                                            \
	HB_INLINE void dequantize_##type##_body(const type *restrict x, float *restrict y, int64_t n, linear by) \
	{                                                                                           \
		for (int64_t i = 0; i < n; i++)                                                     \
			y[i] = ((float)x[i] - by.zero) * by.scale;                                  \
	}                                                                                           \
	HB_KERNEL(dequantize_##type, dequantize_##type##_body,                                      \
		  (const type *restrict x, float *restrict y, int64_t n, linear by), (x, y, n, by))

DEQUANTIZE(int8_t)
DEQUANTIZE(uint8_t)
DEQUANTIZE(int16_t)
DEQUANTIZE(uint16_t)

static void
dequantize_wide(const struct linear_call *k, int64_t i, int64_t n, int64_t s)
{
	int64_t q[PIECE], zero = k->zero ? hb_val_i(k->zero, s) : 0;
	float *y = (float *)k->y->data + i;

	hb_wide_load(k->x->dtype, k->x->data, i, 1, n, q);
	for (int64_t j = 0; j < n; j++)
		y[j] = (float)(q[j] - zero) * k->scale[s];
}

static void
dequantize_piece(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct linear_call *k = arg;
	const void *x = k->x->data;
	float *y = k->y->data;
	int64_t run;

	(void)worker;
	for (int64_t i = begin; i < end;) {
		int64_t s = scale_at(&k->grid, i, &run), n = HB_MIN(HB_MIN(run, PIECE), end - i);
		linear by = { .scale = k->scale[s], .zero = k->zero ? hb_val_f(k->zero, s) : 0.0f };
		switch (k->x->dtype) {
		case HB_I8: dequantize_int8_t[k->isa]((const int8_t *)x + i, y + i, n, by); break;
		case HB_U8: dequantize_uint8_t[k->isa]((const uint8_t *)x + i, y + i, n, by); break;
		case HB_I16: dequantize_int16_t[k->isa]((const int16_t *)x + i, y + i, n, by); break;
		case HB_U16: dequantize_uint16_t[k->isa]((const uint16_t *)x + i, y + i, n, by); break;
		default: dequantize_wide(k, i, n, s); break;
		}
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

/* ---- horizon's HzQuantize and HzDequantize: the same; `bits` says the type, whatever the zero point's ---- */

static hb_status
hz_type(hb_graph *g, hb_node *n, hb_dtype *dt)
{
	int64_t bits = hb_attr_i(n, "bits", 8);

	if (bits != 8 && bits != 16)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "type", "bits is %lld; 8 and 16 are supported", (long long)bits);
	*dt = bits == 8 ? HB_I8 : HB_I16;
	return check_scale(g, n);
}

static hb_status
shape_hz_quantize(hb_graph *g, hb_node *n)
{
	hb_dtype dt = HB_NONE;

	HB_TRY(hz_type(g, n, &dt));
	return hb_set_out(g, n, 0, dt, &n->in[0]->shape);
}

static hb_status
shape_hz_dequantize(hb_graph *g, hb_node *n)
{
	hb_dtype dt = HB_NONE;

	HB_TRY(hz_type(g, n, &dt));
	if (n->in[0]->dtype != dt)
		return HB_BAD(g, n, "input is %s; with bits %lld it is %s", hb_dtype_name(n->in[0]->dtype),
			      (long long)hb_attr_i(n, "bits", 8), hb_dtype_name(dt));
	return hb_set_out(g, n, 0, HB_F32, &n->in[0]->shape);
}

static const hb_attr_row hz_rows[] = { { "axis", HB_ATTR_INT, false, 0, 0 }, { "bits", HB_ATTR_INT, false, 0, 0 }, { 0 } };

enum { HZ_ZERO = HB_BIT(HB_F32) | HB_BIT(HB_I8) | HB_BIT(HB_I16) | HB_BIT(HB_I32) | HB_BIT(HB_I64) };

const hb_op hb_op_hz_quantize = {
	.name = "HzQuantize", .domain = "horizon", .since = 1, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = hz_rows, .in_types = { HB_BIT(HB_F32), HB_BIT(HB_F32), HZ_ZERO }, .shape = shape_hz_quantize, .run = run_quantize,
};

const hb_op hb_op_hz_dequantize = {
	.name = "HzDequantize", .domain = "horizon", .since = 1, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = hz_rows, .in_types = { HB_BIT(HB_I8) | HB_BIT(HB_I16), HB_BIT(HB_F32), HZ_ZERO },
	.shape = shape_hz_dequantize, .run = run_dequantize,
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

/* ---- MatMulInteger, QLinearMatMul ---- */

struct matmul {
	int64_t m, n, k, batches;
	hb_shape batch;			/* broadcast dimensions before the last two */
	int64_t a_stride[HB_MAX_RANK], b_stride[HB_MAX_RANK];	/* of batch, in matrices */
};

static void
as_matrices(const hb_shape *s, bool left, int64_t *rows, int64_t *cols, hb_shape *batch)
{
	*batch = *s;
	batch->rank = HB_MAX(0, s->rank - 2);
	*rows = s->rank > 1 ? s->dim[s->rank - 2] : left ? 1 : s->dim[0];
	*cols = s->rank > 1 ? s->dim[s->rank - 1] : left ? s->dim[0] : 1;
}

static hb_status
resolve_matmul(hb_graph *g, hb_node *n, int ia, int ib, hb_dtype out)
{
	const hb_shape *a = &n->in[ia]->shape, *b = &n->in[ib]->shape;
	struct matmul *r = HB_AUX(g, n, struct matmul);
	char at[HB_SHAPE_TEXT], bt[HB_SHAPE_TEXT];
	hb_shape ba, bb, s;
	int64_t kb;
	hb_nd d;

	if (!r)
		return hb_nomem(g->cx, n->name);
	if (a->rank < 1 || b->rank < 1)
		return HB_BAD(g, n, "an operand is a scalar");
	as_matrices(a, true, &r->m, &r->k, &ba);
	as_matrices(b, false, &kb, &r->n, &bb);
	if (r->k != kb || !hb_shape_broadcast(&ba, &bb, &s))
		return HB_BAD(g, n, "shapes %s and %s do not multiply", hb_shape_text(a, at), hb_shape_text(b, bt));
	r->batch = s;
	r->batches = hb_shape_elems(&s);
	hb_nd_init(&d, &s);
	hb_nd_add(&d, &ba);
	hb_nd_add(&d, &bb);
	memcpy(r->a_stride, d.stride[0], sizeof(r->a_stride));
	memcpy(r->b_stride, d.stride[1], sizeof(r->b_stride));
	if (a->rank > 1)
		s.dim[s.rank++] = r->m;
	if (b->rank > 1)
		s.dim[s.rank++] = r->n;
	return hb_set_out(g, n, 0, out, &s);
}

/* Scale or zero point i: one, one a row or column, or one of those for each matrix. */
static hb_status
check_lines(hb_graph *g, hb_node *n, int i, int64_t lines, int64_t batches, const char *what)
{
	const hb_tensor *t = hb_in(n, i);
	int64_t elems = t ? hb_shape_elems(&t->shape) : 1, all;

	if (elems == 1 || elems == lines || (hb_mul64(lines, batches, &all) && elems == all))
		return HB_OK;
	return HB_BAD(g, n, "%s has %lld values; 1 or %lld are taken", what, (long long)elems, (long long)lines);
}

static int64_t
line_of(const hb_val *v, int64_t line, int64_t lines, int64_t batch)
{
	int64_t elems = hb_val_elems(v);

	return elems == 1 ? 0 : elems == lines ? line : batch * lines + line;
}

struct matmul_call {
	const struct matmul *r;
	const hb_val *a, *b, *az, *bz, *y;
	const hb_val *as, *bs, *ys, *yz;	/* scales, NULL: int32 goes out */
};

static int64_t
zero_of(const hb_val *v, int64_t line, int64_t lines, int64_t batch)
{
	return v ? hb_val_i(v, line_of(v, line, lines, batch)) : 0;
}

static void
matmul_rows(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct matmul_call *c = arg;
	const struct matmul *r = c->r;
	int64_t at[HB_MAX_RANK], x[PIECE], acc[PIECE];
	float lo, hi;

	(void)worker;
	hb_quantized_limits(c->y->dtype, &lo, &hi);
	for (int64_t row = begin; row < end; row++) {
		int64_t batch = row / r->m, i = row % r->m, ma = 0, mb = 0;
		hb_coords(&r->batch, batch, at);
		for (int d = 0; d < r->batch.rank; d++) {
			ma += at[d] * r->a_stride[d];
			mb += at[d] * r->b_stride[d];
		}
		int64_t az = zero_of(c->az, i, r->m, batch);
		for (int64_t j0 = 0; j0 < r->n; j0 += PIECE) {
			int64_t w = HB_MIN(PIECE, r->n - j0);
			memset(acc, 0, sizeof(acc));
			for (int64_t k = 0; k < r->k; k++) {
				int64_t av = hb_val_i(c->a, (ma * r->m + i) * r->k + k) - az;
				hb_wide_load(c->b->dtype, c->b->data, (mb * r->k + k) * r->n + j0, 1, w, x);
				for (int64_t j = 0; j < w; j++)
					acc[j] += av * (x[j] - zero_of(c->bz, j0 + j, r->n, batch));
			}
			for (int64_t j = 0; j < w && c->ys; j++) {
				float ratio = hb_val_f(c->as, line_of(c->as, i, r->m, batch)) *
					      hb_val_f(c->bs, line_of(c->bs, j0 + j, r->n, batch)) / hb_val_f(c->ys, 0);
				double q =
					rint((double)acc[j] * (double)ratio + (double)(c->yz ? hb_val_i(c->yz, 0) : 0));
				acc[j] = (int64_t)(q > (double)lo ? HB_MIN(q, (double)hi) : (double)lo);
			}
			hb_wide_store(c->y->dtype, acc, c->y->data, row * r->n + j0, w);
		}
	}
}

static void
run_matmul(const hb_call *c, struct matmul_call *k)
{
	k->r = c->n->aux;
	k->y = c->out[0];
	if (hb_val_elems(k->y))
		hb_parallel(c->cx, k->r->batches * k->r->m, HB_MAX(1, 16384 / HB_MAX(1, k->r->n * k->r->k)),
			    matmul_rows, k);
}

static hb_status
shape_matmul_integer(hb_graph *g, hb_node *n)
{
	HB_TRY(resolve_matmul(g, n, 0, 1, HB_I32));
	const struct matmul *r = n->aux;
	HB_TRY(check_lines(g, n, 2, r->m, r->batches, "a_zero_point"));
	return check_lines(g, n, 3, r->n, r->batches, "b_zero_point");
}

static void
run_matmul_integer(const hb_call *c)
{
	struct matmul_call k = { .a = c->in[0], .b = c->in[1], .az = hb_call_in(c, 2), .bz = hb_call_in(c, 3) };

	run_matmul(c, &k);
}

const hb_op hb_op_matmul_integer = {
	.name = "MatMulInteger", .since = 10, .min_in = 2, .max_in = 4, .min_out = 1, .max_out = 1,
	.types = BYTES, .shape = shape_matmul_integer, .run = run_matmul_integer,
};

static hb_status
shape_qlinear_matmul(hb_graph *g, hb_node *n)
{
	HB_TRY(resolve_matmul(g, n, 0, 3, n->in[7]->dtype));
	const struct matmul *r = n->aux;
	HB_TRY(check_lines(g, n, 1, r->m, r->batches, "a_scale"));
	HB_TRY(check_lines(g, n, 2, r->m, r->batches, "a_zero_point"));
	HB_TRY(check_lines(g, n, 4, r->n, r->batches, "b_scale"));
	HB_TRY(check_lines(g, n, 5, r->n, r->batches, "b_zero_point"));
	HB_TRY(check_lines(g, n, 6, 1, 1, "y_scale"));
	return check_lines(g, n, 7, 1, 1, "y_zero_point");
}

static void
run_qlinear_matmul(const hb_call *c)
{
	struct matmul_call k = { .a = c->in[0], .b = c->in[3], .az = c->in[2], .bz = c->in[5],
				 .as = c->in[1], .bs = c->in[4], .ys = c->in[6], .yz = c->in[7] };

	run_matmul(c, &k);
}

const hb_op hb_op_qlinear_matmul = {
	.name = "QLinearMatMul", .since = 10, .min_in = 8, .max_in = 8, .min_out = 1, .max_out = 1,
	.types = BYTES, .in_types = { 0, HB_BIT(HB_F32), 0, 0, HB_BIT(HB_F32), 0, HB_BIT(HB_F32), 0 },
	.shape = shape_qlinear_matmul, .run = run_qlinear_matmul,
};

/* ---- ConvInteger, QLinearConv ---- */

struct conv_call {
	const hb_conv_params *p;
	const hb_val *x, *w, *xz, *wz, *bias, *y;
	const hb_val *xs, *ws, *ys, *yz;	/* scales, NULL: int32 goes out */
	int64_t in_area, out_area, taps;
};

/* Sum over the window that stands at output place `at`. */
static int64_t
window_sum(const struct conv_call *c, int64_t batch, int64_t oc, int64_t at)
{
	const hb_conv_params *p = c->p;
	int64_t ic = c->w->shape.dim[1], channels = c->x->shape.dim[1], place[HB_MAX_SPATIAL], sum = 0;
	int64_t first = oc / (c->w->shape.dim[0] / p->group) * ic;
	int64_t xz = c->xz ? hb_val_i(c->xz, 0) : 0,
		wz = c->wz ? hb_val_i(c->wz, line_of(c->wz, oc, c->w->shape.dim[0], 0)) : 0;

	for (int i = p->nsp - 1; i >= 0; i--) {
		place[i] = at % p->out[i] * p->strides[i] - p->begin[i];
		at /= p->out[i];
	}
	for (int64_t t = 0; t < c->taps; t++) {
		int64_t off = 0, left = t, step = 1;
		bool inside = true;
		for (int i = p->nsp - 1; i >= 0; i--) {
			int64_t v = place[i] + left % p->kernel[i] * p->dilations[i];
			left /= p->kernel[i];
			inside = inside && v >= 0 && v < p->in[i];
			off += v * step;
			step *= p->in[i];
		}
		for (int64_t k = 0; inside && k < ic; k++)
			sum += (hb_val_i(c->x, (batch * channels + first + k) * c->in_area + off) - xz) *
			       (hb_val_i(c->w, (oc * ic + k) * c->taps + t) - wz);
	}
	return sum;
}

static void
conv_cells(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct conv_call *c = arg;
	int64_t out = c->w->shape.dim[0];
	float lo, hi;

	(void)worker;
	hb_quantized_limits(c->y->dtype, &lo, &hi);
	for (int64_t i = begin; i < end; i++) {
		int64_t oc = i / c->out_area % out, v = window_sum(c, i / c->out_area / out, oc, i % c->out_area);
		if (c->ys) {
			v += c->bias ? hb_val_i(c->bias, oc) : 0;
			float ratio =
				hb_val_f(c->xs, 0) * hb_val_f(c->ws, line_of(c->ws, oc, out, 0)) / hb_val_f(c->ys, 0);
			double q = rint((double)v * (double)ratio) + (double)hb_val_i(c->yz, 0);
			v = (int64_t)(q > (double)lo ? HB_MIN(q, (double)hi) : (double)lo);
		}
		hb_wide_store(c->y->dtype, &v, c->y->data, i, 1);
	}
}

static hb_status
resolve_conv(hb_graph *g, hb_node *n, int iw, hb_dtype out)
{
	const hb_shape *x = &n->in[0]->shape, *w = &n->in[iw]->shape;
	hb_conv_params *p = HB_AUX(g, n, hb_conv_params);
	size_t count;
	const int64_t *kernel = hb_attr_ints(n, "kernel_shape", &count);

	if (!p)
		return hb_nomem(g->cx, n->name);
	if (x->rank < 3 || x->rank > 2 + HB_MAX_SPATIAL || w->rank != x->rank)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "conv-rank",
			       "input has rank %d and weights %d; 3 to 5 is supported", x->rank, w->rank);
	p->nsp = x->rank - 2;
	p->group = hb_attr_i(n, "group", 1);
	if (p->group < 1 || w->dim[0] % p->group || w->dim[1] > x->dim[1] || w->dim[1] * p->group != x->dim[1])
		return HB_BAD(g, n, "%lld channels, weights for %lld and %lld groups do not go together",
			      (long long)x->dim[1], (long long)w->dim[1], (long long)p->group);
	for (int i = 0; kernel && i < p->nsp; i++)
		if (count != (size_t)p->nsp || kernel[i] != w->dim[2 + i])
			return HB_BAD(g, n, "kernel_shape and the weights differ");
	HB_TRY(hb_window_resolve(g, n, x, w->dim + 2, p));
	hb_shape s = { x->rank, { x->dim[0], w->dim[0] } };
	for (int i = 0; i < p->nsp; i++)
		s.dim[2 + i] = p->out[i];
	return hb_set_out(g, n, 0, out, &s);
}

static void
run_conv(const hb_call *c, struct conv_call *k)
{
	k->p = c->n->aux;
	k->x = c->in[0];
	k->y = c->out[0];
	k->in_area = hb_shape_span(&k->x->shape, 2, k->x->shape.rank);
	k->out_area = hb_shape_span(&k->y->shape, 2, k->y->shape.rank);
	k->taps = hb_shape_span(&k->w->shape, 2, k->w->shape.rank);
	if (hb_val_elems(k->y))
		hb_parallel(c->cx, hb_val_elems(k->y), 64, conv_cells, k);
}

static hb_status
shape_conv_integer(hb_graph *g, hb_node *n)
{
	HB_TRY(resolve_conv(g, n, 1, HB_I32));
	HB_TRY(check_lines(g, n, 2, 1, 1, "x_zero_point"));
	return check_lines(g, n, 3, n->in[1]->shape.dim[0], 1, "w_zero_point");
}

static void
run_conv_integer(const hb_call *c)
{
	struct conv_call k = { .w = c->in[1], .xz = hb_call_in(c, 2), .wz = hb_call_in(c, 3) };

	run_conv(c, &k);
}

static const hb_attr_row conv_rows[] = {
	{ "auto_pad", HB_ATTR_STRING, false, 0, 0 }, { "dilations", HB_ATTR_INTS, false, 0, 0 },
	{ "group", HB_ATTR_INT, false, 0, 0 }, { "kernel_shape", HB_ATTR_INTS, false, 0, 0 },
	{ "pads", HB_ATTR_INTS, false, 0, 0 }, { "strides", HB_ATTR_INTS, false, 0, 0 }, { 0 } };

const hb_op hb_op_conv_integer = {
	.name = "ConvInteger", .since = 10, .min_in = 2, .max_in = 4, .min_out = 1, .max_out = 1,
	.attrs = conv_rows, .types = BYTES, .shape = shape_conv_integer, .run = run_conv_integer,
};

static hb_status
shape_qlinear_conv(hb_graph *g, hb_node *n)
{
	HB_TRY(resolve_conv(g, n, 3, n->in[7]->dtype));
	int64_t out = n->in[3]->shape.dim[0];
	static const struct {
		int i;
		bool each;
		const char *what;
	} rows[] = { { 1, false, "x_scale" }, { 2, false, "x_zero_point" }, { 4, true, "w_scale" },
		     { 5, true, "w_zero_point" }, { 6, false, "y_scale" }, { 7, false, "y_zero_point" } };
	for (size_t k = 0; k < HB_LEN(rows); k++)
		HB_TRY(check_lines(g, n, rows[k].i, rows[k].each ? out : 1, 1, rows[k].what));
	if (hb_in(n, 8) && (n->in[8]->shape.rank != 1 || n->in[8]->shape.dim[0] != out))
		return HB_BAD(g, n, "bias must have %lld values", (long long)out);
	return HB_OK;
}

static void
run_qlinear_conv(const hb_call *c)
{
	struct conv_call k = { .w = c->in[3], .xz = c->in[2], .wz = c->in[5], .bias = hb_call_in(c, 8),
			       .xs = c->in[1], .ws = c->in[4], .ys = c->in[6], .yz = c->in[7] };

	run_conv(c, &k);
}

/* The bias, input 8, is past in_types: it takes what `types` has, so that has int32; the others say what they take. */
const hb_op hb_op_qlinear_conv = {
	.name = "QLinearConv", .since = 10, .min_in = 8, .max_in = 9, .min_out = 1, .max_out = 1,
	.attrs = conv_rows, .types = HB_BIT(HB_I32),
	.in_types = { BYTES, HB_BIT(HB_F32), BYTES, BYTES, HB_BIT(HB_F32), BYTES, HB_BIT(HB_F32), BYTES },
	.shape = shape_qlinear_conv, .run = run_qlinear_conv,
};
