#include "ops/nd.h"

#include <math.h>

enum { GRAIN = 16384, TILE = 32 };

void
hb_strides(const hb_shape *s, int64_t *stride)
{
	int64_t k = 1;

	for (int i = s->rank - 1; i >= 0; i--) {
		stride[i] = k;
		k *= s->dim[i];
	}
}

void
hb_coords(const hb_shape *s, int64_t i, int64_t *at)
{
	for (int k = s->rank - 1; k >= 0; k--) {
		at[k] = i % s->dim[k];
		i /= s->dim[k];
	}
}

void
hb_nd_init(hb_nd *d, const hb_shape *s)
{
	*d = (hb_nd){ .rank = s->rank };
	memcpy(d->dim, s->dim, sizeof(d->dim));
}

void
hb_nd_add_strides(hb_nd *d, const int64_t *stride)
{
	for (int i = 0; i < d->rank; i++)
		d->stride[d->nops][i] = stride[i];
	d->nops++;
}

void
hb_nd_add(hb_nd *d, const hb_shape *s)
{
	int64_t dense[HB_MAX_RANK], stride[HB_MAX_RANK] = { 0 };

	hb_strides(s, dense);
	for (int i = 0; i < s->rank; i++)
		stride[d->rank - s->rank + i] = s->dim[i] == 1 ? 0 : dense[i];
	hb_nd_add_strides(d, stride);
}

static bool
joins(const hb_nd *d, int a, int b)
{
	for (int k = 0; k < d->nops; k++)
		if (d->stride[k][a] != d->stride[k][b] * d->dim[b])
			return false;
	return true;
}

static void
set_dim(hb_nd *d, int to, int from)
{
	d->dim[to] = d->dim[from];
	for (int k = 0; k < d->nops; k++)
		d->stride[k][to] = d->stride[k][from];
}

void
hb_nd_merge(hb_nd *d)
{
	int r = 0;

	for (int i = 0; i < d->rank; i++) {
		if (d->dim[i] == 1)
			continue;
		if (r && joins(d, r - 1, i)) {
			int64_t extent = d->dim[r - 1] * d->dim[i];
			set_dim(d, r - 1, i);
			d->dim[r - 1] = extent;
		} else {
			set_dim(d, r++, i);
		}
	}
	if (!r) {
		d->dim[0] = 1;
		for (int k = 0; k < d->nops; k++)
			d->stride[k][0] = 0;
		r = 1;
	}
	d->rank = r;
}

struct walk {
	const hb_nd *d;
	hb_nd_row *row;
	void *arg;
	int64_t pieces, length;		/* a row is cut into `pieces` of `length` elements */
};

/* Offsets of row i, counted over all dimensions but the last. */
static void
row_offsets(const hb_nd *d, int64_t i, int64_t *at, int64_t *off)
{
	memset(off, 0, sizeof(*off) * HB_ND_OPS);
	for (int k = d->rank - 2; k >= 0; k--) {
		at[k] = i % d->dim[k];
		i /= d->dim[k];
		for (int o = 0; o < d->nops; o++)
			off[o] += at[k] * d->stride[o][k];
	}
}

static void
next_row(const hb_nd *d, int64_t *at, int64_t *off)
{
	for (int k = d->rank - 2; k >= 0; k--) {
		for (int o = 0; o < d->nops; o++)
			off[o] += d->stride[o][k];
		if (++at[k] < d->dim[k])
			return;
		for (int o = 0; o < d->nops; o++)
			off[o] -= at[k] * d->stride[o][k];
		at[k] = 0;
	}
}

static void
walk_rows(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct walk *w = arg;
	const hb_nd *d = w->d;
	int64_t at[HB_MAX_RANK], off[HB_ND_OPS], part[HB_ND_OPS] = { 0 };
	int64_t row = begin / w->pieces, piece = begin % w->pieces;
	int last = d->rank - 1;

	row_offsets(d, row, at, off);
	for (int64_t i = begin; i < end; i++) {
		int64_t first = piece * w->length;
		for (int o = 0; o < d->nops; o++)
			part[o] = off[o] + first * d->stride[o][last];
		w->row(w->arg, d, part, HB_MIN(w->length, d->dim[last] - first), worker);
		if (++piece == w->pieces) {
			piece = 0;
			next_row(d, at, off);
		}
	}
}

static int64_t
rows(const hb_nd *d)
{
	int64_t n = 1;

	for (int i = 0; i < d->rank - 1; i++)
		n *= d->dim[i];
	return n;
}

void
hb_nd_run(hb_ctx *cx, const hb_nd *d, hb_nd_row *row, void *arg)
{
	int64_t inner = d->dim[d->rank - 1], outer = rows(d);

	if (!inner || !outer)
		return;
	struct walk w = { d, row, arg, hb_ceil_div(inner, GRAIN), HB_MIN(inner, GRAIN) };
	hb_parallel(cx, outer * w.pieces, HB_MAX(1, GRAIN / w.length), walk_rows, &w);
}

void
hb_nd_walk(const hb_nd *d, hb_nd_row *row, void *arg)
{
	int64_t inner = d->dim[d->rank - 1], outer = rows(d);

	if (!inner || !outer)
		return;
	struct walk w = { d, row, arg, 1, inner };
	walk_rows(&w, 0, outer, 0);
}

/* ---- copies ---- */

struct move {
	uint8_t *dst;
	const uint8_t *src;
	size_t size;
	int64_t rows, cols;		/* of a transposed tile walk */
	int64_t dst_row, src_col;	/* strides */
};

#define STRIDED(type)                                                   \
	do {                                                            \
		type *to = (type *)(void *)dst;                         \
		const type *from = (const type *)(const void *)src;     \
		for (int64_t i = 0; i < n; i++)                         \
			to[i * ds] = from[i * ss];                      \
	} while (0)

static void
copy_strided(uint8_t *dst, int64_t ds, const uint8_t *src, int64_t ss, size_t size, int64_t n)
{
	switch (size) {
	case 1: STRIDED(uint8_t); break;
	case 2: STRIDED(uint16_t); break;
	case 4: STRIDED(uint32_t); break;
	case 8: STRIDED(uint64_t); break;
	}
}

static void
move_row(void *arg, const hb_nd *d, const int64_t *off, int64_t n, int worker)
{
	const struct move *m = arg;
	int64_t size = (int64_t)m->size;
	uint8_t *dst = m->dst + off[0] * size;
	const uint8_t *src = m->src + off[1] * size;
	int64_t ds = d->stride[0][d->rank - 1], ss = d->stride[1][d->rank - 1];

	(void)worker;
	if (n == 1 || (ds == 1 && ss == 1))
		memcpy(dst, src, (size_t)(n * size));
	else
		copy_strided(dst, ds, src, ss, m->size, n);
}

#define TRANSPOSED(type)                                                                \
	do {                                                                            \
		type *to = (type *)(void *)dst;                                         \
		const type *from = (const type *)(const void *)src;                     \
		for (int64_t r = 0; r < rows; r++)                                      \
			for (int64_t c = 0; c < cols; c++)                              \
				to[r * m->dst_row + c] = from[c * m->src_col + r];      \
	} while (0)

/* One element of the walk is a band of TILE rows of a matrix that is contiguous along
 * rows in src and along columns in dst. */
static void
move_tiles(void *arg, const hb_nd *d, const int64_t *off, int64_t n, int worker)
{
	const struct move *m = arg;
	int64_t size = (int64_t)m->size;
	int last = d->rank - 1;

	(void)worker;
	for (int64_t i = 0; i < n; i++) {
		int64_t at = off[2] + i * d->stride[2][last];	/* first row of the band */
		int64_t rows = HB_MIN(TILE, m->rows - at);
		uint8_t *band = m->dst + (off[0] + i * d->stride[0][last]) * size;
		const uint8_t *from_band = m->src + (off[1] + i * d->stride[1][last]) * size;
		for (int64_t col = 0; col < m->cols; col += TILE) {
			int64_t cols = HB_MIN(TILE, m->cols - col);
			uint8_t *dst = band + col * size;
			const uint8_t *src = from_band + col * m->src_col * size;
			switch (m->size) {
			case 1: TRANSPOSED(uint8_t); break;
			case 2: TRANSPOSED(uint16_t); break;
			case 4: TRANSPOSED(uint32_t); break;
			case 8: TRANSPOSED(uint64_t); break;
			}
		}
	}
}

void
hb_move(hb_ctx *cx, int rank, const int64_t *dim, size_t size,
	     void *dst, const int64_t *dst_stride, const void *src, const int64_t *src_stride)
{
	struct move m = { dst, src, size, 0, 0, 0, 0 };
	hb_shape s = { .rank = rank };
	hb_nd d;

	memcpy(s.dim, dim, sizeof(*dim) * (size_t)rank);
	hb_nd_init(&d, &s);
	hb_nd_add_strides(&d, dst_stride);
	hb_nd_add_strides(&d, src_stride);
	hb_nd_merge(&d);

	int last = d.rank - 1, p = last - 1;
	while (p >= 0 && d.stride[1][p] != 1)
		p--;
	if (p < 0 || d.stride[0][last] != 1 || d.stride[1][last] <= 1 || d.dim[p] < 4 || d.dim[last] < 4) {
		hb_nd_run(cx, &d, move_row, &m);
		return;
	}
	m.rows = d.dim[p];
	m.cols = d.dim[last];
	m.dst_row = d.stride[0][p];
	m.src_col = d.stride[1][last];

	hb_nd t = { .rank = d.rank - 1, .nops = 3 };
	for (int i = 0; i < t.rank; i++) {
		t.dim[i] = i == p ? hb_ceil_div(d.dim[p], TILE) : d.dim[i];
		t.stride[0][i] = d.stride[0][i] * (i == p ? TILE : 1);
		t.stride[1][i] = d.stride[1][i] * (i == p ? TILE : 1);
		t.stride[2][i] = i == p ? TILE : 0;
	}
	hb_nd_run(cx, &t, move_tiles, &m);
}

void
hb_fill(void *dst, size_t size, const void *value, int64_t n)
{
	uint64_t one[1] = { 0 };

	memcpy(one, value, size);
	copy_strided(dst, 1, (const uint8_t *)one, 0, size, n);
}

struct bytes {
	uint8_t *dst;
	const uint8_t *src;
};

static void
copy_piece(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct bytes *b = arg;

	(void)worker;
	memcpy(b->dst + begin, b->src + begin, (size_t)(end - begin));
}

void
hb_copy_bytes(hb_ctx *cx, void *dst, const void *src, uint64_t n)
{
	struct bytes b = { dst, src };

	if (n)
		hb_parallel(cx, (int64_t)n, 1 << 20, copy_piece, &b);
}

/* ---- elements of any type ---- */

#define EACH_INT(DO)                                            \
	case HB_I8: DO(int8_t); break;                          \
	case HB_U8: DO(uint8_t); break;                         \
	case HB_I16: DO(int16_t); break;                        \
	case HB_U16: DO(uint16_t); break;                       \
	case HB_I32: DO(int32_t); break;                        \
	case HB_U32: DO(uint32_t); break;                       \
	case HB_I64: DO(int64_t); break;                        \
	case HB_U64: DO(uint64_t); break;                       \
	case HB_BOOL: DO(uint8_t); break

#define LOAD(type)                                              \
	do {                                                    \
		const type *q = (const type *)p + first;        \
		for (int64_t i = 0; i < n; i++)                 \
			to[i] = (int64_t)q[i * stride];         \
	} while (0)

void
hb_wide_load(hb_dtype dt, const void *p, int64_t first, int64_t stride, int64_t n, int64_t *to)
{
	switch (dt) {
	EACH_INT(LOAD);
	default:
		break;
	}
}

#define STORE(type)                                             \
	do {                                                    \
		type *q = (type *)p + first;                    \
		for (int64_t i = 0; i < n; i++)                 \
			q[i] = (type)from[i];                   \
	} while (0)

void
hb_wide_store(hb_dtype dt, const int64_t *from, void *p, int64_t first, int64_t n)
{
	switch (dt) {
	EACH_INT(STORE);
	default:
		break;
	}
}

#define LOAD_FLOAT(type)                                        \
	do {                                                    \
		const type *q = (const type *)p + first;        \
		for (int64_t i = 0; i < n; i++)                 \
			to[i] = (float)q[i * stride];           \
	} while (0)

void
hb_float_load(hb_dtype dt, const void *p, int64_t first, int64_t stride, int64_t n, float *to)
{
	switch (dt) {
	EACH_INT(LOAD_FLOAT);
	case HB_F32: LOAD_FLOAT(float); break;
	default:
		break;
	}
}

static int64_t
truncated(hb_dtype dt, float x)
{
	if (isnan(x))
		return 0;
	if (dt == HB_BOOL)
		return x != 0.0f;
	if (dt == HB_U64 && x >= 0x1p63f)
		return x >= 0x1p64f ? -1 : (int64_t)(uint64_t)x;
	if (x >= 0x1p63f)
		return INT64_MAX;
	return x < -0x1p63f ? INT64_MIN : (int64_t)x;
}

void
hb_float_store(hb_dtype dt, const float *from, void *p, int64_t first, int64_t n)
{
	int64_t wide[64];

	if (dt == HB_F32) {
		memcpy((float *)p + first, from, sizeof(float) * (size_t)n);
		return;
	}
	for (int64_t i = 0; i < n; i += 64) {
		int64_t m = HB_MIN(64, n - i);
		for (int64_t k = 0; k < m; k++)
			wide[k] = dt == HB_BOOL ? !(from[i + k] == 0.0f) : truncated(dt, from[i + k]);
		hb_wide_store(dt, wide, p, first + i, m);
	}
}

int64_t
hb_val_i(const hb_val *v, int64_t i)
{
	int64_t x = 0;

	hb_wide_load(v->dtype, v->data, i, 1, 1, &x);
	return x;
}

float
hb_val_f(const hb_val *v, int64_t i)
{
	float x = 0;

	hb_float_load(v->dtype, v->data, i, 1, 1, &x);
	return x;
}

hb_split3
hb_split_at(const hb_shape *s, int axis)
{
	return (hb_split3){ hb_shape_span(s, 0, axis), s->rank ? s->dim[axis] : 1,
			    hb_shape_span(s, HB_MIN(axis + 1, s->rank), s->rank) };
}

/* ---- shape functions ---- */

hb_status
hb_const_ints(hb_graph *g, hb_node *n, int i, const char *what, const int64_t **v, size_t *count)
{
	hb_tensor *t = hb_in(n, i);

	*v = NULL;
	*count = 0;
	if (!t)
		return HB_OK;
	bool floats = t->dtype == HB_F32 && n->version < 2;	/* operator set 1 has counts in the data's type */
	if (t->dtype != HB_NONE && !(HB_BIT(t->dtype) & HB_INTS) && !floats)
		return HB_BAD(g, n, "%s is %s; an integer type is taken", what, hb_dtype_name(t->dtype));
	if (t->has_shape && t->shape.rank > 1)
		return HB_BAD(g, n, "%s has rank %d; rank 1 is taken", what, t->shape.rank);
	if (!t->is_const)
		return hb_need_const(g, n, i);
	int64_t elems = hb_tensor_elems(t);
	const void *data = hb_tensor_data(g, t);
	if (elems && !data)
		return HB_ERR_NOMEM;
	int64_t *to = HB_NEW_N(g->arena, int64_t, elems + 1);
	if (!to)
		return hb_nomem(g->cx, n->name);
	if (floats)
		hb_float_store(HB_I64, data, to, 0, elems);
	else
		hb_wide_load(t->dtype, data, 0, 1, elems, to);
	*v = to;
	*count = (size_t)elems;
	return HB_OK;
}

hb_status
hb_const_int(hb_graph *g, hb_node *n, int i, const char *what, int64_t *v)
{
	const int64_t *p;
	size_t count;

	HB_TRY(hb_const_ints(g, n, i, what, &p, &count));
	if (!hb_in(n, i))
		return HB_OK;
	if (count != 1)
		return HB_BAD(g, n, "%s has %zu elements; one is taken", what, count);
	*v = p[0];
	return HB_OK;
}

hb_status
hb_const_real(hb_graph *g, hb_node *n, int i, double *v)
{
	hb_tensor *t = hb_in(n, i);
	float f = 0;

	if (!t)
		return HB_OK;
	if (!t->is_const)
		return hb_need_const(g, n, i);
	const void *data = hb_shape_elems(&t->shape) == 1 ? hb_tensor_data(g, t) : NULL;
	if (!data)
		return HB_BAD(g, n, "input %d must be one number", i);
	hb_float_load(t->dtype, data, 0, 1, 1, &f);
	*v = (double)f;
	return HB_OK;
}

hb_dtype
hb_onnx_dtype(int64_t onnx)
{
	/* TensorProto.DataType, onnx.proto; float16, double and bfloat16 are float32 here. */
	static const hb_dtype of[] = {
		[1] = HB_F32, [2] = HB_U8, [3] = HB_I8, [4] = HB_U16, [5] = HB_I16, [6] = HB_I32, [7] = HB_I64,
		[9] = HB_BOOL, [10] = HB_F32, [11] = HB_F32, [12] = HB_U32, [13] = HB_U64, [16] = HB_F32,
	};

	return onnx < 0 || onnx >= (int64_t)HB_LEN(of) ? HB_NONE : of[onnx];
}
