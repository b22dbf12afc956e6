/* fx_util.h: what the fixed-point operators share: attributes with their ranges,
 * views of whole tensors, element-wise instructions over any rank. */
#ifndef HB_FX_UTIL_H
#define HB_FX_UTIL_H

#include "ops/fx.h"
#include "ops/nd.h"

/* Types an operator's integers may have; and every tensor stays below 4 GiB. */
#define HB_FX_NARROW (HB_BIT(HB_I8) | HB_BIT(HB_I16) | HB_BIT(HB_BOOL) | HB_BIT(HB_U8))
#define HB_FX_TYPES (HB_FX_NARROW | HB_BIT(HB_I32))

#define HB_FX_BAD(g, n, ...) hb_fail((g)->cx, (n), HB_ERR_INPUT, "hbir", __VA_ARGS__)

/* Attribute `name` in [lo, hi]. */
hb_status hb_fx_int(hb_graph *g, const hb_node *n, const char *name, int64_t dflt, int64_t lo, int64_t hi, int32_t *out);
/* List of exactly `count` integers in [lo, hi], or dflt each where it is absent. */
hb_status hb_fx_ints(hb_graph *g, const hb_node *n, const char *name, int count, int64_t dflt, int64_t lo, int64_t hi, int64_t *out);
/* fn, one of the `count` in `fns`. */
hb_status hb_fx_fn(hb_graph *g, const hb_node *n, const hb_fn *fns, int count, int32_t *out);
/* Type of the output by attribute `to` (an ONNX data type), by default that of input 0; must be in `types`. */
hb_status hb_fx_to(hb_graph *g, const hb_node *n, uint32_t types, hb_dtype *out);
/* qmin and qmax, inside the output's type. */
hb_status hb_fx_clamp(hb_graph *g, const hb_node *n, hb_dtype dt, int32_t *qmin, int32_t *qmax);
/* m and e under these names: a multiplier of SEMANTICS 5, by default 1. */
hb_status hb_fx_mult(hb_graph *g, const hb_node *n, const char *m, const char *e, int32_t *out_m, int32_t *out_e);
/* Sets output 0; refuses what 32-bit views cannot address, and empty tensors. */
hb_status hb_fx_out(hb_graph *g, hb_node *n, hb_dtype dt, const hb_shape *s);
/* Records of `channels` output channels (input i). */
hb_status hb_fx_rec(hb_graph *g, hb_node *n, int i, int64_t channels);

/* A dense view: rank <= 6, row-major. */
hb_view hb_fx_view(hb_dtype dt, int rank, const int64_t *dim);
/* The image `v` of a [C, H, W] tensor as rows, columns, channels. */
hb_view hb_fx_image(hb_dtype dt, int64_t c, int64_t h, int64_t w);
/* Bytes of scratch instruction i needs with this many threads. */
size_t hb_fx_scratch(const hb_insn *i, int jobs);

/* Instruction i over operands that are walked together (d's operands are v[0..nops)); tables, if any, follow. */
void hb_fx_run(hb_ctx *cx, hb_insn *i, hb_nd *d, const hb_dtype *dt, uint8_t *const *at);
/* The same for a copy. */
void hb_fx_copy(hb_ctx *cx, hb_nd *d, hb_dtype dt, void *out, const void *a);

#endif
