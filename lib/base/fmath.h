/* fmath.h: elementary functions in float32 by our own formulas.
 *
 * Each is straight-line code of +, -, *, / and selects, so a loop over it vectorises at
 * any width and gives the same bits at each. Errors against the exact result, over all
 * finite arguments, are beside the names. Infinities, NaN, zeros and denormals go as in C.
 *
 *	hb_expf		1.1 ulp		hb_logf		0.9 ulp		hb_tanhf	1.4 ulp
 *	hb_sigmoidf	2.3 ulp		hb_erff		1.3 ulp		hb_softplusf	2.0 ulp
 *	hb_sinf, hb_cosf, hb_powf, hb_expm1f and the rest are computed in double and
 *	rounded once: below 0.51 ulp. */
#ifndef HB_FMATH_H
#define HB_FMATH_H

#include "lib/base/cpu.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

HB_INLINE uint32_t hb_bits32(float x)
{
	uint32_t u;
	memcpy(&u, &x, 4);
	return u;
}

HB_INLINE float hb_float32(uint32_t u)
{
	float x;
	memcpy(&x, &u, 4);
	return x;
}

HB_INLINE uint64_t hb_bits64(double x)
{
	uint64_t u;
	memcpy(&u, &x, 8);
	return u;
}

HB_INLINE double hb_float64(uint64_t u)
{
	double x;
	memcpy(&x, &u, 8);
	return x;
}

HB_INLINE float hb_absf(float x)
{
	return hb_float32(hb_bits32(x) & 0x7fffffffu);
}

/* |x| with the sign of s. */
HB_INLINE float hb_signf(float x, float s)
{
	return hb_float32((hb_bits32(x) & 0x7fffffffu) | (hb_bits32(s) & 0x80000000u));
}

/* Nearest integer, halves to even, as ONNX Round; the sign of zero is kept. */
HB_INLINE float hb_roundf(float x)
{
	float a = hb_absf(x);
	float r = (a + 0x1p23f) - 0x1p23f;
	return hb_signf(a < 0x1p23f ? r : a, x);
}

/* Nearest integer to x, halves to even, brought into [lo, hi], integers below 2^22 in size; zeros are +0. NaN stays. */
HB_INLINE float hb_round_into(float x, float lo, float hi)
{
	float c = x < lo ? lo : x;
	c = c > hi ? hi : c;
	return (c + 0x1.8p23f) - 0x1.8p23f;
}

/* exp(x) = 2^n exp(r), r = x - n ln 2 in two parts, |r| <= ln 2 / 2. 1.5 * 2^23 added to x / ln 2
 * leaves n in the low bits. 2^n is applied in two steps, so that denormal results round once. */
HB_INLINE float hb_expf(float x)
{
	float c = x > 89.0f ? 89.0f : x;
	c = c < -104.0f ? -104.0f : c;
	float t = c * 0x1.715476p+0f + 0x1.8p23f;
	float n = t - 0x1.8p23f;
	float r = (c - n * 0x1.63p-1f) - n * -0x1.bd0106p-13f;
	float p = 0x1.6a1a6ep-10f;
	p = p * r + 0x1.123fc6p-7f;
	p = p * r + 0x1.555916p-5f;
	p = p * r + 0x1.55548ap-3f;
	p = p * r + 0x1.fffffcp-2f;
	p = p * r * r + r + 1.0f;
	/* n + 254 is positive; halves of it add up to n + 254. */
	uint32_t k = hb_bits32(t) - 0x4b400000u + 254u;
	uint32_t a = (k >> 1) & 0xff, b = (k - (k >> 1)) & 0xff;
	return p * hb_float32(a << 23) * hb_float32(b << 23);
}

/* log(x) = e ln 2 + log(1 + f), 1 + f in [sqrt(1/2), sqrt(2)). */
HB_INLINE float hb_logf(float x)
{
	bool tiny = x < 0x1p-126f;
	uint32_t i = hb_bits32(tiny ? x * 0x1p23f : x);
	uint32_t eb = (i + 0x3f800000u - 0x3f3504f3u) >> 23;
	float f = hb_float32(i - ((eb - 127u) << 23)) - 1.0f;
	float e = hb_float32((eb & 0x1ffu) | 0x4b000000u) - (tiny ? 8388608.0f + 127 + 23 : 8388608.0f + 127);
	float z = f * f;
	float p = 0x1.14573ep-4f;
	p = p * f - 0x1.de3bfap-4f;
	p = p * f + 0x1.e6f08cp-4f;
	p = p * f - 0x1.fc220ep-4f;
	p = p * f + 0x1.233766p-3f;
	p = p * f - 0x1.555c4ep-3f;
	p = p * f + 0x1.99a4b6p-3f;
	p = p * f - 0x1.000006p-2f;
	p = p * f + 0x1.555548p-2f;
	float y = p * f * z + e * -0x1.bd0106p-13f;
	y = y - 0.5f * z;
	y = (f + y) + e * 0x1.63p-1f;
	y = x == INFINITY ? x : y;
	y = x == 0.0f ? -INFINITY : y;
	return x < 0.0f || x != x ? NAN : y;
}

/* log(1 + x) for x in [0, 1]: log(u) + (x - (u - 1)) / u, u = 1 + x rounded. */
HB_INLINE float hb_log1p01f(float x)
{
	float u = 1.0f + x;
	return hb_logf(u) + (x - (u - 1.0f)) / u;
}

HB_INLINE float hb_tanhf(float x)
{
	float a = hb_absf(x), z = x * x;
	float p = 0x1.0df41ep-9f;
	p = p * z - 0x1.08f32cp-7f;
	p = p * z + 0x1.62eee8p-6f;
	p = p * z - 0x1.b9e042p-5f;
	p = p * z + 0x1.11101ep-3f;
	p = p * z - 0x1.555552p-2f;
	float small = p * z * a + a;
	float large = 1.0f - 2.0f / (hb_expf(2.0f * a) + 1.0f);
	return hb_signf(a < 0.65f ? small : large, x);
}

/* By exp(-|x|), which neither overflows nor loses the small results. */
HB_INLINE float hb_sigmoidf(float x)
{
	float e = hb_expf(-hb_absf(x));
	float y = (x < 0.0f ? e : 1.0f) / (1.0f + e);
	return x != x ? x : y;
}

/* |x| < 0.95: x + x P(x^2); beyond: 1 - exp(-|x| Q(|x|)), |x| up to 4, where erf rounds to 1. */
HB_INLINE float hb_erff(float x)
{
	float a = hb_absf(x), z = a * a, t = a > 4.0f ? 4.0f : a;
	float p = 0x1.575072p-14f;
	p = p * z - 0x1.a88e26p-11f;
	p = p * z + 0x1.54967ap-8f;
	p = p * z - 0x1.b80964p-6f;
	p = p * z + 0x1.ce2dccp-4f;
	p = p * z - 0x1.812742p-2f;
	p = p * z + 0x1.06eba8p-3f;
	float small = p * a + a;
	float q = 0x1.6379d2p-18f;
	q = q * t - 0x1.a2ee60p-15f;
	q = q * t - 0x1.cc4906p-16f;
	q = q * t + 0x1.780fbap-9f;
	q = q * t - 0x1.71e0fep-6f;
	q = q * t + 0x1.aec636p-4f;
	q = q * t + 0x1.4576f4p-1f;
	q = q * t + 0x1.20e818p+0f;
	float large = 1.0f - hb_expf(-(q * t));
	return hb_signf(a < 0.95f ? small : large, x);
}

HB_INLINE float hb_softplusf(float x)
{
	return (x > 0.0f ? x : 0.0f) + hb_log1p01f(hb_expf(-hb_absf(x)));
}

HB_INLINE float hb_siluf(float x)
{
	return x * hb_sigmoidf(x);
}

HB_INLINE float hb_geluf(float x)
{
	return 0.5f * x * (1.0f + hb_erff(x * 0x1.6a09e6p-1f));
}

/* The tanh approximation that Gelu(approximate = "tanh") defines. */
HB_INLINE float hb_gelu_tanhf(float x)
{
	return 0.5f * x * (1.0f + hb_tanhf(0x1.988454p-1f * (x + 0x1.6e4e26p-5f * x * x * x)));
}

/* ---- in double, for results rounded once to float; relative error below 1e-13 ---- */

/* x is limited to +-700: both ends leave float's range. */
HB_INLINE double hb_exp64(double x)
{
	double c = x > 700.0 ? 700.0 : x;
	c = c < -700.0 ? -700.0 : c;
	double t = c * 0x1.71547652b82fep+0 + 0x1.8p52;
	double n = t - 0x1.8p52;
	double r = (c - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;
	double p = 1.0 / 39916800;
	p = p * r + 1.0 / 3628800;
	p = p * r + 1.0 / 362880;
	p = p * r + 1.0 / 40320;
	p = p * r + 1.0 / 5040;
	p = p * r + 1.0 / 720;
	p = p * r + 1.0 / 120;
	p = p * r + 1.0 / 24;
	p = p * r + 1.0 / 6;
	p = p * r + 0.5;
	p = p * r + 1.0;
	p = p * r + 1.0;
	return p * hb_float64((hb_bits64(t) + 1023) << 52);
}

/* x zero, a float's magnitude, infinite or NaN; not negative. */
HB_INLINE double hb_log64(double x)
{
	uint64_t i = hb_bits64(x);
	uint64_t eb = (i + 0x3ff0000000000000u - 0x3fe6a09e667f3bcdu) >> 52;
	double m = hb_float64(i - ((eb - 1023) << 52));
	double e = hb_float64((eb & 0xfff) | 0x4330000000000000u) - (0x1p52 + 1023);
	double s = (m - 1.0) / (m + 1.0), z = s * s;
	double p = 1.0 / 19;
	p = p * z + 1.0 / 17;
	p = p * z + 1.0 / 15;
	p = p * z + 1.0 / 13;
	p = p * z + 1.0 / 11;
	p = p * z + 1.0 / 9;
	p = p * z + 1.0 / 7;
	p = p * z + 1.0 / 5;
	p = p * z + 1.0 / 3;
	double y = 2.0 * s + 2.0 * s * z * p + e * 0x1.62e42fefa39efp-1;
	y = x == 0.0 ? -INFINITY : y;
	return x > 1e300 || x != x ? x : y;	/* a float is infinite or far below */
}

HB_INLINE float hb_powf(float x, float y)
{
	float half = y * 0.5f;
	bool whole = floorf(y) == y, odd = whole && floorf(half) != half;
	bool negative = hb_bits32(x) >> 31;
	float r = (float)hb_exp64(hb_log64(hb_absf(x)) * y);
	r = negative && odd ? -r : r;
	r = x < 0.0f && x > -INFINITY && !whole ? NAN : r;
	r = x == -1.0f && hb_absf(y) == INFINITY ? 1.0f : r;
	r = x != x || y != y ? x + y : r;
	return x == 1.0f || y == 0.0f ? 1.0f : r;
}

HB_INLINE float hb_expm1f(float x)
{
	double d = x;
	float small = (float)(d + d * d * (0.5 + d * (1.0 / 6)));
	float large = (float)(hb_exp64(d) - 1.0);
	return hb_absf(x) < 0x1p-12f ? hb_signf(small, x) : large;
}

/* For |x| >= 2^24: x = n pi/2 + r, by as many digits of 2/pi as x needs. r, and n modulo 4. */
double hb_trig_reduce(float x, int *n);

/* sin(x + quarter * pi/2). Three parts of pi/2, the first two of 28 bits: exact products up to |x| = 2^24. */
HB_INLINE float hb_sin_quarterf(float x, unsigned quarter)
{
	double d = x, r;
	if (__builtin_expect(!(hb_absf(x) < 0x1p24f), 0)) {
		int n = 0;
		if (!(hb_absf(x) < INFINITY))
			return x - x;
		r = hb_trig_reduce(x, &n);
		quarter += (unsigned)n;
	} else {
		double t = d * 0x1.45f306dc9c883p-1 + 0x1.8p52;
		double n = t - 0x1.8p52;
		r = ((d - n * 0x1.921fb54p+0) - n * 0x1.10b461p-30) - n * 0x1.a62633145c06ep-58;
		quarter += (unsigned)hb_bits64(t);
	}
	double z = r * r;
	double s = 1.0 / 6227020800;
	s = s * z - 1.0 / 39916800;
	s = s * z + 1.0 / 362880;
	s = s * z - 1.0 / 5040;
	s = s * z + 1.0 / 120;
	s = s * z - 1.0 / 6;
	s = r + r * z * s;
	double c = -1.0 / 87178291200;
	c = c * z + 1.0 / 479001600;
	c = c * z - 1.0 / 3628800;
	c = c * z + 1.0 / 40320;
	c = c * z - 1.0 / 720;
	c = c * z + 1.0 / 24;
	c = c * z - 0.5;
	c = 1.0 + z * c;
	double y = quarter & 1 ? c : s;
	return (float)(quarter & 2 ? -y : y);
}

HB_INLINE float hb_sinf(float x)
{
	return x == 0.0f ? x : hb_sin_quarterf(x, 0);
}

HB_INLINE float hb_cosf(float x)
{
	return hb_sin_quarterf(x, 1);
}

/* Not vectorised; in fmath.c. */
float hb_tanf(float x);
float hb_asinf(float x);
float hb_acosf(float x);
float hb_atanf(float x);
float hb_sinhf(float x);
float hb_coshf(float x);
float hb_asinhf(float x);
float hb_acoshf(float x);
float hb_atanhf(float x);

#endif
