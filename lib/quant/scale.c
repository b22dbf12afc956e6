/* scale.c: scales, and float to integer and back (SEMANTICS 1 and 3). */
#include "lib/quant/quant.h"
#include "lib/quant/round.h"
#include "lib/quant/vec.h"

#include <float.h>
#include <math.h>

#define GRAIN 16384			/* elements a thread takes at a time */

int32_t
hb_qmin(hb_dtype dt)
{
	switch (dt) {
	case HB_I8:
		return INT8_MIN;
	case HB_I16:
		return INT16_MIN;
	case HB_I32:
		return INT32_MIN;
	default:
		return 0;
	}
}

int32_t
hb_qmax(hb_dtype dt)
{
	switch (dt) {
	case HB_I8:
		return INT8_MAX;
	case HB_U8:
		return UINT8_MAX;
	case HB_I16:
		return INT16_MAX;
	case HB_U16:
		return UINT16_MAX;
	case HB_I32:
		return INT32_MAX;
	default:
		return 1;
	}
}

float
hb_scale_of(float absmax, hb_dtype dt, bool divisor_qmax)
{
	double half = ((double)hb_qmax(dt) - hb_qmin(dt)) / 2;
	float s = (float)((double)absmax / (divisor_qmax ? hb_qmax(dt) : half));

	return s > FLT_EPSILON ? s : FLT_EPSILON;
}

static int32_t
quantize_i32(float x, float s, bool half_up)
{
	double v = x / s;

	if (v != v)
		return 0;
	if (v >= 2147483647.0)
		return INT32_MAX;
	if (v <= -2147483648.0)
		return INT32_MIN;
	return (int32_t)(half_up ? floor(v + 0.5) : rint(v));
}

void
hb_q_recentre(hb_q *q, hb_dtype dt, double lo, double hi)
{
	q->dtype = dt;
	q->scale = hb_scale_of((float)fmax(-lo, hi), dt, false);
	q->lo = (int32_t)fmax(rint(lo / q->scale), hb_qmin(dt));
	q->hi = (int32_t)fmin(rint(hi / q->scale), hb_qmax(dt));
	if (q->lo == hb_qmin(dt) && q->hi == hb_qmax(dt))
		q->lo = q->hi = 0;
}

int32_t
hb_quantize(float x, float s, hb_dtype dt, hb_round r)
{
	if (dt == HB_I32)
		return quantize_i32(x, s, r == HB_HALF_UP);
	return (int32_t)hb_quantize_small(x, s, (float)hb_qmin(dt), (float)hb_qmax(dt), r == HB_HALF_UP);
}

/* ---- whole arrays: one body, compiled for each vector width ---- */

typedef struct job {
	const void *x;
	void *dst;
	float s, lo, hi;
	hb_dtype dt;
	bool half_up;
	hb_isa isa;
} job;

#define QUANTIZE(type)                                                                          \
	do {                                                                                    \
		type *d = (type *)j->dst + b;                                                   \
		if (j->half_up)                                                                 \
			for (int64_t i = 0; i < e - b; i++)                                     \
				d[i] = (type)(int32_t)hb_quantize_small(x[i], s, lo, hi, true);    \
		else                                                                            \
			for (int64_t i = 0; i < e - b; i++)                                     \
				d[i] = (type)(int32_t)hb_quantize_small(x[i], s, lo, hi, false);   \
	} while (0)

HB_VEC_BODY(quantize, (const job *j, int64_t b, int64_t e), {
	const float *restrict x = (const float *)j->x + b;
	float s = j->s, lo = j->lo, hi = j->hi;
	switch (j->dt) {
	case HB_I8:
		QUANTIZE(int8_t);
		break;
	case HB_I16:
		QUANTIZE(int16_t);
		break;
	default:
		QUANTIZE(uint8_t);
		break;
	}
})

#define DEQUANTIZE(type)                                                \
	do {                                                            \
		const type *q = (const type *)j->x + b;                 \
		for (int64_t i = 0; i < e - b; i++)                     \
			d[i] = (float)q[i] * s;                         \
	} while (0)

HB_VEC_BODY(dequantize, (const job *j, int64_t b, int64_t e), {
	float *restrict d = (float *)j->dst + b;
	float s = j->s;
	switch (j->dt) {
	case HB_I8:
		DEQUANTIZE(int8_t);
		break;
	case HB_I16:
		DEQUANTIZE(int16_t);
		break;
	case HB_I32:
		DEQUANTIZE(int32_t);
		break;
	default:
		DEQUANTIZE(uint8_t);
		break;
	}
})

HB_VEC_BODY(fake, (const job *j, int64_t b, int64_t e), {
	const float *x = (const float *)j->x + b;
	float *d = (float *)j->dst + b;
	float s = j->s, lo = j->lo, hi = j->hi;
	if (j->half_up)
		for (int64_t i = 0; i < e - b; i++)
			d[i] = hb_quantize_small(x[i], s, lo, hi, true) * s;
	else
		for (int64_t i = 0; i < e - b; i++)
			d[i] = hb_quantize_small(x[i], s, lo, hi, false) * s;
})

static void
run_quantize(void *arg, int64_t b, int64_t e, int worker)
{
	const job *j = arg;

	(void)worker;
	if (j->dt == HB_I32)
		for (int64_t i = b; i < e; i++)
			((int32_t *)j->dst)[i] = quantize_i32(((const float *)j->x)[i], j->s, j->half_up);
	else
		HB_VEC_CALL(j->isa, quantize, (j, b, e));
}

static void
run_dequantize(void *arg, int64_t b, int64_t e, int worker)
{
	const job *j = arg;

	(void)worker;
	HB_VEC_CALL(j->isa, dequantize, (j, b, e));
}

static void
run_fake(void *arg, int64_t b, int64_t e, int worker)
{
	const job *j = arg;

	(void)worker;
	if (j->dt == HB_I32)
		for (int64_t i = b; i < e; i++)
			((float *)j->dst)[i] = (float)quantize_i32(((const float *)j->x)[i], j->s, j->half_up) * j->s;
	else
		HB_VEC_CALL(j->isa, fake, (j, b, e));
}

static job
job_of(hb_ctx *cx, const void *x, float s, hb_dtype dt, hb_round r, void *dst)
{
	return (job){
		.x = x, .dst = dst, .s = s, .dt = dt, .half_up = r == HB_HALF_UP, .isa = cx->isa,
		.lo = (float)hb_qmin(dt), .hi = (float)hb_qmax(dt),
	};
}

void
hb_quantize_n(hb_ctx *cx, const float *x, float s, hb_dtype dt, hb_round r, void *dst, int64_t n)
{
	job j = job_of(cx, x, s, dt, r, dst);

	hb_parallel(cx, n, GRAIN, run_quantize, &j);
}

void
hb_dequantize_n(hb_ctx *cx, const void *q, hb_dtype dt, float s, float *dst, int64_t n)
{
	job j = job_of(cx, q, s, dt, HB_HALF_EVEN, dst);

	hb_parallel(cx, n, GRAIN, run_dequantize, &j);
}

void
hb_fake_quant_n(hb_ctx *cx, const float *x, float s, hb_dtype dt, hb_round r, float *dst, int64_t n)
{
	job j = job_of(cx, x, s, dt, r, dst);

	hb_parallel(cx, n, GRAIN, run_fake, &j);
}

void
hb_fake_quant(hb_ctx *cx, const float *x, const hb_q *q, const hb_shape *s, hb_round r, float *dst)
{
	int64_t n = hb_shape_elems(s), inner = q->nscales > 1 ? hb_shape_span(s, q->axis + 1, s->rank) : n;

	for (int64_t at = 0; at < n; at += inner)
		hb_fake_quant_n(cx, x + at, hb_q_scale(q, at / inner % HB_MAX(q->nscales, 1)), q->dtype, r, dst + at, inner);
}
