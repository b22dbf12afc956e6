#include "lib/base/fmath.h"

__extension__ typedef unsigned __int128 u128;

/* 2/pi = 0.A2F9836E4E44..., 256 bits. */
static const uint32_t two_over_pi[] = {0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599,
				       0x3c439041, 0xfe5163ab, 0xdebbc561, 0,          0};

/* |x| = m 2^e, m of 24 bits. The digits of 2/pi above weight 2^(2-e) give multiples of 4 and drop
 * out; the 128 from there on, times m, modulo 2^128, are x 2/pi modulo 4 with 126 fraction bits. */
double
hb_trig_reduce(float x, int *n)
{
	uint32_t i = hb_bits32(x);
	int e = (int)((i >> 23) & 0xff) - 150;
	int from = e - 2, word = from < 0 ? 0 : from / 32, bit = from < 0 ? 0 : from % 32;
	u128 m = (i & 0x7fffff) | 0x800000, w = 0;
	for (int k = 0; k < 4; k++)
		w = w << 32 | two_over_pi[word + k];
	if (bit)
		w = w << bit | two_over_pi[word + 4] >> (32 - bit);
	if (from < 0)
		w >>= -from;
	w *= m;
	uint64_t fraction = (uint64_t)(w >> 62);
	bool upper = fraction >> 63;
	double r = upper ? -(double)(0 - fraction) : (double)fraction;
	r *= 0x1p-64 * 0x1.921fb54442d18p+0;
	*n = (int)(w >> 126) + upper;
	if (i >> 31) {
		*n = -*n;
		r = -r;
	}
	return r;
}

static double
atan64(double x)
{
	double a = fabs(x), base = 0, sign = x < 0 ? -1 : 1;
	if (a > 1) {
		a = -1 / a;
		base = 0x1.921fb54442d18p+0;
	}
	if (fabs(a) > 0.4142135623730951) {
		double q = a < 0 ? -1 : 1;
		a = (a - q) / (1 + q * a);
		base += q * 0x1.921fb54442d18p-1;
	}
	double z = a * a, p = 0;
	for (int k = 41; k > 1; k -= 2)
		p = z * ((k % 4 == 1 ? 1.0 : -1.0) / k + p);
	return sign * (base + (a + a * p));
}

/* log(1 + x), x >= 0. */
static double
log1p64(double x)
{
	double u = 1 + x;
	return x < 0x1p-30 ? x : hb_log64(u) + (x - (u - 1)) / u;
}

float
hb_tanf(float x)
{
	double s, c, r;
	int n = 0;
	if (x == 0 || x != x)
		return x;
	if (!(fabsf(x) < INFINITY))
		return NAN;
	if (fabsf(x) < 0x1p24f) {
		double d = x, t = d * 0x1.45f306dc9c883p-1 + 0x1.8p52, q = t - 0x1.8p52;
		n = (int)(hb_bits64(t) & 3);
		r = ((d - q * 0x1.921fb54p+0) - q * 0x1.10b461p-30) - q * 0x1.a62633145c06ep-58;
	} else {
		r = hb_trig_reduce(x, &n);
	}
	double z = r * r;
	s = 0;
	c = 0;
	for (int k = 16; k > 0; k -= 2) {
		c = z / (k * (k - 1)) * (1 - c);
		s = z / (k * (k + 1)) * (1 - s);
	}
	s = r * (1 - s);
	c = 1 - c;
	return (float)(n & 1 ? -c / s : s / c);
}

float
hb_atanf(float x)
{
	return x == 0 ? x : (float)atan64(x);
}

float
hb_asinf(float x)
{
	double d = x;
	return x == 0 ? x : (float)(2 * atan64(d / (1 + sqrt((1 - d) * (1 + d)))));
}

float
hb_acosf(float x)
{
	double d = x;
	return (float)(2 * atan64(sqrt((1 - d) / (1 + d))));
}

float
hb_sinhf(float x)
{
	double d = x, e = hb_exp64(fabs(d)), z = d * d;
	if (fabsf(x) < 0.25f)
		return (float)(d + d * z * (1.0 / 6 + z * (1.0 / 120 + z * (1.0 / 5040 + z * (1.0 / 362880)))));
	return (float)(x < 0 ? 0.5 * (1 / e - e) : 0.5 * (e - 1 / e));
}

float
hb_coshf(float x)
{
	double e = hb_exp64(fabs((double)x));
	return (float)(0.5 * (e + 1 / e));
}

float
hb_asinhf(float x)
{
	double a = fabs((double)x);
	double y = a == INFINITY ? a : log1p64(a + a * a / (1 + sqrt(a * a + 1)));
	return hb_signf((float)y, x);
}

/* x = 1 + t: log(1 + t + sqrt(t (t + 2))). */
float
hb_acoshf(float x)
{
	double t = (double)x - 1;
	return x < 1 ? NAN : x == INFINITY ? x : (float)log1p64(t + sqrt(t * (t + 2)));
}

float
hb_atanhf(float x)
{
	double a = fabs((double)x);
	if (a == 1)
		return hb_signf(INFINITY, x);
	if (!(a < 1))
		return NAN;
	return hb_signf((float)(0.5 * log1p64(2 * a / (1 - a))), x);
}
