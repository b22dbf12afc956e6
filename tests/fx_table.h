/* fx_table.h: each operator of the lists in fixed point, by itself, against double: random, extreme and tie integers. */
#ifndef TESTS_FX_TABLE_H
#define TESTS_FX_TABLE_H

#include "tests/test.h"

#include <math.h>

#include "lib/pass/pass.h"

enum { FX_MAX = 1 << 14, FX_INPUTS = 3 };

/* How the input integers are chosen. Ties: scales are powers of two, so that many results lie half way. */
enum { FX_RANDOM, FX_EXTREME, FX_TIES, FX_MODES };

typedef struct fx_run {
	hb_graph *g, *fixed;		/* float graph with its scales; what it became */
	hb_tensor *out;			/* the float graph's output */
	hb_shape shape[FX_INPUTS];
	double *x[FX_INPUTS];		/* inputs as their integers say */
	bool is_const[FX_INPUTS];
} fx_run;

/* y of x, in double; NULL: what the float form gives, which is exact there. */
typedef void fx_ref(const fx_run *r, double *y);

#define FX_8 1u				/* int8 to int8 */
#define FX_8_16 2u			/* int8 to int16 */
#define FX_16 4u			/* int16 to int16 */
#define FX_16_8 8u
#define FX_BOTH (FX_8 | FX_16)
#define FX_ALL (FX_8 | FX_8_16 | FX_16 | FX_16_8)

typedef struct fx_case {
	const char *rows;		/* names in the list of operators, space separated */
	const char *name;		/* what is built */
	hb_tensor *(*build)(hb_graph *g);
	fx_ref *ref;
	double (*f)(double a, double b, double c);	/* element-wise, instead of ref */
	unsigned types;
	int apart8, apart16;		/* most LSB that an int8, int16 output may differ */
	double lo, hi;			/* of the inputs; 0, 0: -2, 2 */
	double lo2, hi2;		/* of the second input, where it differs */
} fx_case;

static const char *const fx_type_names[] = { "int8", "int8 to int16", "int16", "int16 to int8" };

/* ---- building ---- */

#define FX_INTS(...) (const int64_t[]){ __VA_ARGS__ }, sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)

static inline hb_tensor *
fx_ints(hb_graph *g, hb_tensor *y, const char *name, const int64_t *v, size_t n)
{
	assert_true(hb_attr_set_ints(g, y->producer, name, v, n));
	return y;
}

static inline hb_tensor *
fx_int(hb_graph *g, hb_tensor *y, const char *name, int64_t v)
{
	assert_true(hb_attr_set_i(g, y->producer, name, v));
	return y;
}

static inline hb_tensor *
fx_since(hb_tensor *y, int version)
{
	y->producer->version = version;
	return y;
}

static inline hb_tensor *
fx_const(hb_graph *g, const char *name, hb_shape s, double gain, double offset)
{
	hb_tensor *t = hb_tensor_const(g, name, HB_F32, &s, NULL);

	for (int64_t i = 0; i < hb_shape_elems(&s); i++)
		((float *)(uintptr_t)t->data)[i] = (float)(offset + gain * sin((double)i * 0.73 + 1) * (1 + 0.5 * cos((double)i * 0.011)));
	return t;
}

/* ---- running ---- */

typedef struct fx_job {
	const fx_case *c;
	hb_graph *g;
	hb_qconfig in, out;
	uint64_t seed;
} fx_job;

static inline uint64_t
fx_next(fx_job *j)
{
	j->seed = j->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return j->seed >> 33;
}

static inline void
fx_range(const fx_case *c, size_t input, double *lo, double *hi)
{
	bool second = input && c->lo2 != c->hi2;

	*lo = second ? c->lo2 : c->lo;
	*hi = second ? c->hi2 : c->hi;
	if (*lo == *hi) {
		*lo = -2;
		*hi = 2;
	}
}

static inline hb_status
fx_sample(void *arg, int64_t k, hb_val *in, bool *more)
{
	fx_job *j = arg;

	*more = k < 2;
	for (size_t i = 0; *more && i < j->g->ninputs; i++) {
		double lo, hi;

		fx_range(j->c, i, &lo, &hi);
		for (int64_t e = 0; in[i].dtype == HB_F32 && e < hb_shape_elems(&in[i].shape); e++)
			((float *)in[i].data)[e] = (float)(lo + (hi - lo) * (double)(fx_next(j) % 4097) / 4096);
		for (int64_t e = 0; in[i].dtype == HB_BOOL && e < hb_shape_elems(&in[i].shape); e++)
			((uint8_t *)in[i].data)[e] = fx_next(j) % 2;
	}
	return HB_OK;
}

static inline const hb_qconfig *
fx_config(void *arg, const hb_node *n, const hb_tensor *t)
{
	const fx_job *j = arg;

	(void)n;
	return t->is_output ? &j->out : &j->in;
}

static inline int64_t
fx_pick(fx_job *j, int mode, const hb_q *q, double lo, double hi)
{
	int64_t qlo = (int64_t)fmax(ceil(lo / q->scale), hb_qmin(q->dtype)), qhi = (int64_t)fmin(floor(hi / q->scale), hb_qmax(q->dtype));
	const int64_t ends[] = { qlo, qhi, 0, 1, -1, qlo + 1, qhi - 1 };
	int64_t v = mode == FX_EXTREME ? ends[fx_next(j) % HB_LEN(ends)] : qlo + (int64_t)(fx_next(j) % (uint64_t)(qhi - qlo + 1));

	return v < qlo ? qlo : v > qhi ? qhi : v;
}

/* Nearest of double v at scale s, limited; NaN is 0. */
static inline int64_t
fx_level(double v, const hb_q *q)
{
	double y = rint(v / (double)q->scale);

	return y != y ? 0 : (int64_t)fmin(fmax(y, hb_qmin(q->dtype)), hb_qmax(q->dtype));
}

/* Offset in an input of shape s of element i of `out`, broadcast. */
static inline int64_t
fx_at(const hb_shape *out, const hb_shape *s, int64_t i)
{
	int64_t at = 0, step = 1;

	for (int d = out->rank - 1, k = s->rank - 1; k >= 0; d--, k--) {
		at += s->dim[k] == 1 ? 0 : i % out->dim[d] * step;
		i /= out->dim[d];
		step *= s->dim[k];
	}
	return at;
}

static inline void
fx_elementwise(const fx_run *r, double (*f)(double, double, double), double *y)
{
	for (int64_t i = 0; i < hb_tensor_elems(r->out); i++) {
		double v[FX_INPUTS] = { 0 };

		for (int k = 0; k < FX_INPUTS; k++)
			if (r->x[k])
				v[k] = r->x[k][fx_at(&r->out->shape, &r->shape[k], i)];
		y[i] = f(v[0], v[1], v[2]);
	}
}

static inline double
fx_number(const hb_val *v, int64_t i)
{
	return v->dtype == HB_F32  ? ((const float *)v->data)[i] :
	       v->dtype == HB_BOOL ? ((const uint8_t *)v->data)[i] :
	       v->dtype == HB_I64  ? (double)((const int64_t *)v->data)[i] :
				     ((const int32_t *)v->data)[i];
}

static inline void
fx_execute(hb_graph *g, const hb_val *in, hb_val *out, hb_exec **ex)
{
	hb_status st;

	*ex = hb_exec_new(g, &st);
	assert_non_null(*ex);
	assert_int_equal(hb_exec_run(*ex, in, out, NULL, NULL), HB_OK);
}

/* The operands that the double function sees: the node's data inputs, those of constants as quantized. */
static inline void
fx_operands(fx_run *r, const hb_val *in)
{
	size_t k = 0;

	for (size_t i = 0; i < r->g->ninputs; i++, k++) {
		r->shape[k] = in[i].shape;
		r->x[k] = malloc(sizeof(double) * (size_t)hb_shape_elems(&in[i].shape));
		for (int64_t e = 0; e < hb_shape_elems(&in[i].shape); e++)
			r->x[k][e] = fx_number(&in[i], e);
	}
	for (hb_tensor *t = r->g->tensors; t && k < FX_INPUTS; t = t->next)
		if (t->is_const && t->dtype == HB_F32 && (t->q.dtype == HB_I8 || t->q.dtype == HB_I16) && t->q.nscales == 1) {
			r->shape[k] = t->shape;
			r->is_const[k] = true;
			r->x[k] = malloc(sizeof(double) * (size_t)hb_tensor_elems(t));
			for (int64_t e = 0; e < hb_tensor_elems(t); e++)
				r->x[k][e] = (double)fx_level(((const float *)t->data)[e], &t->q) * t->q.scale;
			k++;
		}
}

/* The worst difference in LSB of one run. */
static inline int64_t
fx_worst(fx_job *j, int mode, hb_dtype from, hb_dtype to)
{
	static float in_data[FX_INPUTS][FX_MAX] __attribute__((aligned(64)));
	test_log log = { .count = 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx), *fixed = NULL;
	hb_qconfig in = { .dtype = from, .observer = { .kind = HB_OBS_MINMAX } };
	hb_val vals[FX_INPUTS], got[4], want[4];
	hb_exec *ex, *fl = NULL;
	int64_t worst = 0;

	j->g = g;
	j->in = j->out = in;
	j->out.dtype = to;
	hb_calib_options o = { .activations = in, .low_precision_output = true, .no_bias_correction = true, .sample = fx_sample, .arg = j,
			       .config = fx_config, .config_arg = j };
	hb_tensor *y = j->c->build(g);
	if (!y->is_output)
		test_output(g, y);
	if (hb_pass_shapes(g, false) != HB_OK || hb_pass_fuse(g) != HB_OK)
		fail_msg("%s: %s", j->c->name, log.text);
	for (hb_node *k = g->first; k; k = k->next)
		k->on = HB_ON_BPU;
	if (hb_pass_calibrate(g, &o) != HB_OK)
		fail_msg("%s: %s", j->c->name, log.text);
	for (hb_tensor *t = g->tensors; mode == FX_TIES && t; t = t->next)
		if (t->q.dtype != HB_NONE && t->q.nscales == 1 && t->q.dtype != HB_BOOL && t->q.dtype != HB_I32)
			t->q.scale = (float)exp2(rint(log2(t->q.scale)));
	if (hb_pass_convert(g, HB_HALF_EVEN, &fixed) != HB_OK)
		fail_msg("%s: %s", j->c->name, log.text);
	for (size_t i = 0; i < g->ninputs; i++) {
		hb_tensor *t = g->inputs[i];
		double lo, hi;

		assert_true(hb_tensor_elems(t) <= FX_MAX);
		vals[i] = (hb_val){ t->dtype, t->shape, in_data[i] };
		fx_range(j->c, i, &lo, &hi);
		for (int64_t e = 0; e < hb_tensor_elems(t); e++)
			if (t->dtype == HB_BOOL)
				((uint8_t *)in_data[i])[e] = fx_next(j) % 2;
			else
				in_data[i][e] = (float)((double)fx_pick(j, mode, &t->q, lo, hi) * t->q.scale);
	}
	fx_execute(fixed, vals, got, &ex);
	fx_run r = { .g = g, .fixed = fixed, .out = g->outputs[0] };
	bool by_float = !j->c->ref && !j->c->f;
	if (by_float)
		fx_execute(g, vals, want, &fl);
	else
		fx_operands(&r, vals);
	for (size_t k = 0; k < g->noutputs; k++) {
		int64_t n = hb_tensor_elems(g->outputs[k]);
		double *ref = malloc(sizeof(double) * (size_t)n);
		hb_q q = g->outputs[k]->q;

		if (q.dtype == HB_BOOL || q.dtype == HB_I32)
			q = (hb_q){ .dtype = HB_I32, .nscales = 1, .scale = 1 };
		for (int64_t i = 0; i < n && by_float; i++)
			ref[i] = fx_number(&want[k], i);
		r.out = g->outputs[k];
		if (j->c->ref)
			j->c->ref(&r, ref);
		else if (j->c->f)
			fx_elementwise(&r, j->c->f, ref);
		for (int64_t i = 0; i < n; i++) {
			int64_t a = fx_level(fx_number(&got[k], i), &q), b = fx_level(ref[i], &q);

			worst = HB_MAX(worst, a > b ? a - b : b - a);
		}
		free(ref);
	}
	for (int k = 0; k < FX_INPUTS; k++)
		free(r.x[k]);
	hb_exec_free(ex);
	if (fl)
		hb_exec_free(fl);
	hb_graph_free(fixed);
	hb_graph_free(g);
	hb_ctx_free(cx);
	return worst;
}

/* The rows of the list of operators that the cases stand for. */
static inline void
fx_print_rows(const fx_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%s\n", cases[i].rows);
}

/* Every case in all its types and modes; prints a row each. */
static inline void
fx_table(const fx_case *cases, size_t n)
{
	int failed = 0;

	for (size_t i = 0; i < n; i++) {
		const fx_case *c = &cases[i];

		for (int t = 0; t < 4; t++) {
			hb_dtype from = t < 2 ? HB_I8 : HB_I16, to = t == 0 || t == 3 ? HB_I8 : HB_I16;
			int64_t worst = 0, most = to == HB_I8 ? c->apart8 : c->apart16;

			if (!(c->types >> t & 1))
				continue;
			for (int mode = 0; mode < FX_MODES; mode++)
				for (uint64_t seed = 1; seed <= 3; seed++) {
					fx_job j = { .c = c, .seed = seed * 7919 + (uint64_t)mode };

					worst = HB_MAX(worst, fx_worst(&j, mode, from, to));
				}
			printf("%-28s %-14s %3lld LSB at most, %lld allowed%s\n", c->name, fx_type_names[t], (long long)worst, (long long)most,
			       worst > most ? "  <- too much" : "");
			failed += worst > most;
		}
	}
	assert_int_equal(failed, 0);
}

#endif
