/* to_fx.h: the .convert functions of the ONNX operators, and what they share. Each
 * builds the fixed-point nodes of the group that n is root of (SEMANTICS 5). */
#ifndef HB_TO_FX_H
#define HB_TO_FX_H

#include "ops/fx.h"

/* ops/to_fx_conv.c */
hb_status hb_to_fx_conv(hb_convert *cv, hb_node *n);
/* .floats of the operators whose fixed-point form does not take every node. */
const char *hb_floats_conv(const hb_node *n);
const char *hb_floats_matmul(const hb_node *n);
const char *hb_floats_pool(const hb_node *n);
const char *hb_floats_global_pool(const hb_node *n);
const char *hb_floats_arg(const hb_node *n);
const char *hb_floats_resize(const hb_node *n);
const char *hb_floats_gather(const hb_node *n);
const char *hb_floats_layer_norm(const hb_node *n);
const char *hb_floats_lstm(const hb_node *n);
const char *hb_floats_pow(const hb_node *n);
const char *hb_floats_lstm(const hb_node *n);
hb_status hb_to_fx_conv_transpose(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_gemm(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_matmul(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_batch_norm(hb_convert *cv, hb_node *n);
const char *hb_floats_batch_norm(const hb_node *n);
/* ops/to_fx_conv3d.c: NULL: reported */
hb_tensor *hb_fx_planes(hb_convert *cv, const hb_node *n, hb_tensor *x);		/* [N,C,D,H,W] as [N*D,C,H,W] */
hb_tensor *hb_fx_depth_windows(hb_convert *cv, const hb_node *n, hb_tensor *x);	/* as [N*OD,C*KD,H,W] */
hb_status hb_fx_from_planes(hb_convert *cv, const hb_node *n, hb_tensor *planes, hb_tensor *out);
/* ops/to_fx_ew.c */
hb_status hb_to_fx_add(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_sub(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_sum(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_mean(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_mul(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_div(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_pow(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_floor(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_ceil(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_max(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_min(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_less(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_less_or_equal(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_greater(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_greater_or_equal(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_equal(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_where(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_and(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_or(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_xor(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_not(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_clip(hb_convert *cv, hb_node *n);		/* Relu too: clamps at the input's scale */
hb_status hb_to_fx_abs(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_prelu(hb_convert *cv, hb_node *n);
/* ops/to_fx_norm.c */
hb_status hb_to_fx_softmax(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_layer_norm(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_rms_norm(hb_convert *cv, hb_node *n);
/* ops/to_fx_pool.c */
hb_status hb_to_fx_max_pool(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_average_pool(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_global_max_pool(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_global_average_pool(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_reduce_mean(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_reduce_sum(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_reduce_max(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_reduce_min(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_arg_max(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_arg_min(hb_convert *cv, hb_node *n);
/* ops/to_fx_resize.c */
hb_status hb_to_fx_resize(hb_convert *cv, hb_node *n);		/* Upsample too */
/* ops/to_fx_move.c */
hb_status hb_to_fx_reshape(hb_convert *cv, hb_node *n);		/* and all that keeps the order of elements */
hb_status hb_to_fx_transpose(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_concat(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_split(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_slice(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_pad(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_expand(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_tile(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_depth_to_space(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_space_to_depth(hb_convert *cv, hb_node *n);

/* ops/to_fx_horizon.c */
const char *hb_floats_grid_sample(const hb_node *n);
const char *hb_floats_roi(const hb_node *n);
hb_status hb_to_fx_grid_sample(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_roi(hb_convert *cv, hb_node *n);		/* RoiAlign, horizon's RoIAlign and MultiScaleRoIAlign */
hb_status hb_to_fx_from_yuv(hb_convert *cv, hb_node *n);	/* centered_yuv2rgb, centered_yuv2bgr */
hb_status hb_to_fx_correlation(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_point_pillars(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_filter(hb_convert *cv, hb_node *n);

/* ops/to_fx_order.c */
hb_status hb_to_fx_top_k(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_gather(hb_convert *cv, hb_node *n);
hb_status hb_to_fx_gather_elements(hb_convert *cv, hb_node *n);

/* ops/to_fx_rnn.c */
hb_status hb_to_fx_lstm(hb_convert *cv, hb_node *n);

/* ---- shared, ops/to_fx.c ---- */

#define HB_IDENTITY_M (1 << 30)		/* with e = 1: times 1 */

/* A node of `to` for source node n: its operands and output set, attributes and inference to follow. */
hb_node *hb_fx_node(hb_convert *cv, const hb_node *n, const char *op_type, hb_tensor *out, int nin, hb_tensor *const *in);
/* Its type (`to`), where it is not the first input's; then shape inference. */
hb_status hb_fx_done(hb_convert *cv, hb_node *node);
/* x as it is, in the shape of `to`. */
hb_status hb_fx_reshape(hb_convert *cv, const hb_node *n, hb_tensor *x, hb_tensor *to);
/* An intermediate of type dt and scale, the shape given. */
hb_tensor *hb_fx_temp(hb_convert *cv, const hb_node *n, const char *what, hb_dtype dt, float scale, const hb_shape *s);
/* A constant of `to` named after n. */
hb_tensor *hb_fx_const(hb_convert *cv, const hb_node *n, const char *what, hb_dtype dt, int rank, const int64_t *dim, const void *data);
/* Sets m and e under these names for a ratio; refuses a ratio out of range. */
hb_status hb_fx_set_ratio(hb_convert *cv, const hb_node *n, hb_node *to, const char *m, const char *e, double ratio);
bool hb_fx_set_clamp(hb_convert *cv, hb_node *node, int32_t qmin, int32_t qmax);
/* Limits of the group's output: its type's, and the activation's of the group of n. */
void hb_fx_limits(const hb_node *n, const hb_q *q, hb_round r, int32_t *qmin, int32_t *qmax);
/* x at out's scale, type and shape: an Ew cast. */
hb_status hb_fx_cast(hb_convert *cv, const hb_node *n, hb_tensor *x, hb_tensor *out, int32_t qmin, int32_t qmax);
/* Where data moves: the tensor to move into, of out's shape and x's q; hb_fx_settle brings it to the output's own q. */
hb_tensor *hb_fx_moved(hb_convert *cv, const hb_node *n, hb_tensor *t, const hb_q *q);
hb_status hb_fx_settle(hb_convert *cv, const hb_node *n, hb_tensor *moved, hb_tensor *t);
/* A lookup of f from x into the counterpart of t. */
typedef double hb_fx_function(const void *arg, double x);
hb_status hb_fx_lookup(hb_convert *cv, const hb_node *n, hb_tensor *x, hb_tensor *out, hb_fx_function *f, const void *arg);
/* Integers of constant input i or, in old operator sets, of attribute `name`; NULL: neither. In the arena. */
const int64_t *hb_fx_list(hb_convert *cv, const hb_node *n, int i, const char *name, size_t *count);

#define HB_FX_REFUSE(cv, n, ...) hb_fail((cv)->from->cx, (n), HB_ERR_UNSUPPORTED, "convert", __VA_ARGS__)

#endif
