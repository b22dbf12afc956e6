/* measure.c: how far two tensors are apart, summed in double in index order. */
#include "lib/quant/quant.h"

#include <math.h>

void
hb_measure_add(hb_measure *e, const float *ref, const float *got, int64_t n)
{
	hb_measure m = *e;

	for (int64_t i = 0; i < n; i++) {
		double a = ref[i], b = got[i], d = fabs(a - b);

		m.dot += a * b;
		m.aa += a * a;
		m.bb += b * b;
		m.l1 += d;
		m.dd += d * d;
		if (d > m.chebyshev || d != d)
			m.chebyshev = d;
	}
	m.n += n;
	*e = m;
}

double
hb_measure_cosine(const hb_measure *e)
{
	if (e->aa == 0 && e->bb == 0)
		return 1;
	if (e->aa == 0 || e->bb == 0)
		return 0;
	return e->dot / (sqrt(e->aa) * sqrt(e->bb));
}

double
hb_measure_sqnr(const hb_measure *e)
{
	if (e->dd == 0)
		return HUGE_VAL;
	if (e->aa == 0)
		return -HUGE_VAL;
	return 10 * log10(e->aa / e->dd);
}

double
hb_measure_l1(const hb_measure *e)
{
	return e->n ? e->l1 / (double)e->n : 0;
}

double
hb_measure_l2(const hb_measure *e)
{
	return e->n ? sqrt(e->dd) / (double)e->n : 0;
}

double
hb_measure_chebyshev(const hb_measure *e)
{
	return e->chebyshev;
}
