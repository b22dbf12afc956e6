/* round.h: float to integers of at most 16 bits, in bodies that are vectorised. */
#ifndef HB_QUANT_ROUND_H
#define HB_QUANT_ROUND_H

#include <stdbool.h>

/* Round half to even of |v| <= 2^22 by the float's own rounding. */
#define HB_ROUND_MAGIC 12582912.0f	/* 1.5 * 2^23 */

static inline float
hb_round_small(float v, bool half_up)
{
	float r = (v + HB_ROUND_MAGIC) - HB_ROUND_MAGIC;

	return half_up && v - r == 0.5f ? r + 1 : r;
}

/* R(x / s) clamped to [lo, hi], |lo|, |hi| <= 2^22: clamping first changes nothing, the limits being integers. */
static inline float
hb_quantize_small(float x, float s, float lo, float hi, bool half_up)
{
	float v = x / s;

	v = v < lo ? lo : v;
	v = v > hi ? hi : v;
	v = v == v ? v : 0;
	return hb_round_small(v, half_up);
}

#endif
