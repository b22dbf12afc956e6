/* nd.h: what the float operators share: loops over boxes of any rank with
 * merged dimensions, copies between strided boxes, and integers of every type
 * through 64 bits, so that a kernel is written once. */
#ifndef HB_ND_H
#define HB_ND_H

#include "ops/op.h"

#define HB_ND_OPS 4

/* Operands that are walked together. Strides are in elements, 0 where an operand repeats. */
typedef struct hb_nd {
	int rank, nops;
	int64_t dim[HB_MAX_RANK];
	int64_t stride[HB_ND_OPS][HB_MAX_RANK];
} hb_nd;

/* A walk over `s`, without operands. */
void hb_nd_init(hb_nd *d, const hb_shape *s);
/* One more operand: dense of shape `s`, broadcast as numpy does. */
void hb_nd_add(hb_nd *d, const hb_shape *s);
/* One more operand by its strides; one a dimension of the walk. */
void hb_nd_add_strides(hb_nd *d, const int64_t *stride);
/* Drops extents of 1 and joins dimensions that every operand walks as one; rank is at least 1 after it. */
void hb_nd_merge(hb_nd *d);

/* n elements of the innermost dimension from off[k] of each operand on, strides as d's last. */
typedef void hb_nd_row(void *arg, const hb_nd *d, const int64_t *off, int64_t n, int worker);
/* Every element once, on all threads; merge first. */
void hb_nd_run(hb_ctx *cx, const hb_nd *d, hb_nd_row *row, void *arg);
/* The same on the caller's thread, whole rows in order; for use inside hb_parallel. */
void hb_nd_walk(const hb_nd *d, hb_nd_row *row, void *arg);

/* Row-major strides of s. */
void hb_strides(const hb_shape *s, int64_t *stride);
/* The coordinates of element `i` of `s`. */
void hb_coords(const hb_shape *s, int64_t i, int64_t *at);

/* dst and src point at element 0 of boxes of `rank` dimensions; elements of `size` 1, 2, 4 or 8 bytes. */
void hb_move(hb_ctx *cx, int rank, const int64_t *dim, size_t size,
	     void *dst, const int64_t *dst_stride, const void *src, const int64_t *src_stride);
/* n elements of `size` bytes at dst become the one at `value`. */
void hb_fill(void *dst, size_t size, const void *value, int64_t n);

/* Threads over `n` bytes. */
void hb_copy_bytes(hb_ctx *cx, void *dst, const void *src, uint64_t n);

/* ---- elements of any type ---- */

/* n elements of an integer or bool type, `stride` apart from element `first` on, as int64; uint64 keeps its bits. */
void hb_wide_load(hb_dtype dt, const void *p, int64_t first, int64_t stride, int64_t n, int64_t *to);
/* The low bits of n values to dense elements from `first` on. */
void hb_wide_store(hb_dtype dt, const int64_t *from, void *p, int64_t first, int64_t n);
/* Any type as float. */
void hb_float_load(hb_dtype dt, const void *p, int64_t first, int64_t stride, int64_t n, float *to);
/* Floats to any type: integers truncate towards zero, NaN is 0, beyond int64 (uint64) saturates, then
 * the low bits are kept; bool is x != 0. */
void hb_float_store(hb_dtype dt, const float *from, void *p, int64_t first, int64_t n);

int64_t hb_val_i(const hb_val *v, int64_t i);	/* element i of an integer or bool tensor */
float hb_val_f(const hb_val *v, int64_t i);	/* element i of any tensor */

static inline int64_t hb_val_elems(const hb_val *v)
{
	return hb_shape_elems(&v->shape);
}

/* Extents before, of and after an axis. */
typedef struct hb_split3 {
	int64_t outer, axis, inner;
} hb_split3;
hb_split3 hb_split_at(const hb_shape *s, int axis);

/* ---- reductions (reduce.c) ---- */

/* Floats are accumulated in double in HB_LANES running values, element i in i % HB_LANES, which are then
 * combined as a tree: one order at every width. */
enum { HB_LANES = 64 };

typedef enum hb_reduce_fn {
	HB_RED_SUM, HB_RED_MEAN, HB_RED_MAX, HB_RED_MIN, HB_RED_PROD, HB_RED_L1, HB_RED_L2, HB_RED_SUM_SQUARE,
	HB_RED_LOG_SUM, HB_RED_LOG_SUM_EXP
} hb_reduce_fn;

/* y = x reduced over the dimensions whose bit is set in `axes`; y is dense, of x's type. */
void hb_reduce(hb_ctx *cx, hb_reduce_fn fn, const hb_val *x, unsigned axes, void *y);

/* Sum of f(x[i]) in double by the lanes above. */
double hb_sum(hb_isa isa, const float *x, int64_t n);
/* Sum of (x[i] - mean)^2. */
double hb_sum_square(hb_isa isa, const float *x, int64_t n, float mean);

/* y[r] = x . w[r] + bias[r], n elements each, rows of w `ldw` apart; bias may be NULL. One order of summing. */
void hb_dots(hb_isa isa, const float *x, const float *w, int64_t ldw, int64_t n, int64_t rows, const float *bias, float *y);

/* ---- shape functions ---- */

/* Contents of integer constant i, at most HB_MAX_RANK of them unless `max` says more; a constant that is
 * missing: HB_NEED_CONST. *v lives in the graph's arena. */
hb_status hb_const_ints(hb_graph *g, hb_node *n, int i, const char *what, const int64_t **v, size_t *count);
/* The one number in constant i. */
hb_status hb_const_int(hb_graph *g, hb_node *n, int i, const char *what, int64_t *v);
/* The same of any type; absent, it leaves *v. */
hb_status hb_const_real(hb_graph *g, hb_node *n, int i, double *v);
/* Room in the graph's arena for the operator's aux; NULL: memory ran out. */
#define HB_AUX(g, n, type) ((type *)((n)->aux = hb_arena_alloc((g)->arena, sizeof(type))))

/* Fails with HB_ERR_INPUT and the operator's name as id. */
#define HB_BAD(g, n, ...) hb_fail((g)->cx, (n), HB_ERR_INPUT, "op-shape", __VA_ARGS__)

/* The type TensorProto.DataType `onnx` has in this engine; HB_NONE where it has none. */
hb_dtype hb_onnx_dtype(int64_t onnx);

/* The range of an integer type that QuantizeLinear makes, in float; false for other types. */
bool hb_quantized_limits(hb_dtype dt, float *lo, float *hi);

#endif
