/* follow.h: what the executor lets a kernel do to its results while they are in the cache, in place
 * of the nodes that follow: the same values, one pass over memory less each. */
#ifndef HB_FOLLOW_H
#define HB_FOLLOW_H

#include "ops/op.h"

typedef enum hb_follow_kind {
	HB_FOLLOW_CLAMP,		/* into [lo, hi]; NaN stays */
	HB_FOLLOW_AFFINE,		/* y * a[channel] + b[channel] */
	HB_FOLLOW_LEAKY,		/* y < 0: lo * y */
	HB_FOLLOW_SIGMOID,
	HB_FOLLOW_SILU,			/* y * sigmoid(y) */
	HB_FOLLOW_ADD,			/* y + other, of the same shape */
	HB_FOLLOW_QDQ,			/* quantized with scale and zero, integers in [lo, hi], and dequantized again */
} hb_follow_kind;

typedef struct hb_follow {
	hb_follow_kind kind;
	float lo, hi;
	float scale, zero;
	const float *a, *b;
	const hb_val *other;
	const struct hb_follow *next;
} hb_follow;

/* All of f, in order, on n values at y, of one channel; base: element 0 of the whole output. */
void hb_follow_run(const hb_follow *f, hb_isa isa, const float *base, float *y, int64_t channel, int64_t n);

/* Whether node m, a reader of t by its input 0, is one of the kinds with one operand: fills *f, with what
 * is computed ahead in `arena`. */
bool hb_follow_of(hb_graph *g, hb_arena *arena, const hb_node *m, const hb_tensor *t, hb_follow *f);

/* Whether q and d, the only reader of q, are QuantizeLinear and DequantizeLinear with one constant scale and zero
 * point for all elements: fills *f. */
bool hb_follow_pair(hb_graph *g, const hb_node *q, const hb_node *d, hb_follow *f);

#endif
