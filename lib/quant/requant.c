/* requant.c: the one requantization (SEMANTICS 5): one rounding, half up, exact. */
#include "lib/quant/kernel.h"

#include <math.h>

bool
hb_mult_of(double ratio, hb_mult *out)
{
	if (!(ratio >= 0x1p-40 && ratio < 0x1p24))
		return false;

	int e;
	double m = rint(frexp(ratio, &e) * 0x1p31);

	if (m == 0x1p31) {
		m = 0x1p30;
		e++;
	}
	if (e > 24)
		return false;
	out->m = (int32_t)m;
	out->e = e;
	return true;
}

int64_t
hb_requant(int64_t acc, hb_mult m)
{
	return hb_requant_at(acc, m.m, hb_requant_shift(m.e));
}
