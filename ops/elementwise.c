/* elementwise.c: operators that look at one element of each input at a time.
 *
 * A kernel is written twice: over floats, and over integers of every type widened to 64 bits. */
#include "ops/nd.h"
#include "ops/to_fx.h"
#include "lib/base/fmath.h"

enum { WIDE = 256 };		/* integers that are widened at a time */

#define CI { "consumed_inputs", HB_ATTR_INTS, false, 1, 5 }
#define FLOATS (HB_BIT(HB_F32))
#define BOOLS (HB_BIT(HB_BOOL))
#define SIGNED (HB_BIT(HB_I8) | HB_BIT(HB_I16) | HB_BIT(HB_I32) | HB_BIT(HB_I64))

static const hb_attr_row ci_rows[] = { CI, { 0 } };
static const hb_attr_row alpha_rows[] = { { "alpha", HB_ATTR_FLOAT, false, 0, 0 }, CI, { 0 } };
static const hb_attr_row alpha_beta_rows[] = {
	{ "alpha", HB_ATTR_FLOAT, false, 0, 0 }, { "beta", HB_ATTR_FLOAT, false, 0, 0 }, CI, { 0 } };
static const hb_attr_row alpha_gamma_rows[] = {
	{ "alpha", HB_ATTR_FLOAT, false, 0, 0 }, { "gamma", HB_ATTR_FLOAT, false, 0, 0 }, CI, { 0 } };

/* ---- one input ---- */

typedef struct par {
	const char *name;
	float dflt;
} par;

typedef struct map {
	void (*const *f32)(const float *x, void *y, int64_t n, const float *p);	/* one a width */
	void (*wide)(const int64_t *x, int64_t *y, int64_t n, bool u64);
	par par[2];
} map;

struct map_call {
	const hb_call *c;
	const map *m;
	float p[2];
};

static void
map_piece(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct map_call *mc = arg;
	const hb_val *x = mc->c->in[0], *y = mc->c->out[0];
	int64_t a[WIDE], b[WIDE];

	(void)worker;
	if (x->dtype == HB_F32) {
		uint8_t *to = (uint8_t *)y->data + begin * (int64_t)hb_dtype_size(y->dtype);
		mc->m->f32[mc->c->cx->isa]((const float *)x->data + begin, to, end - begin, mc->p);
		return;
	}
	for (int64_t i = begin; i < end; i += WIDE) {
		int64_t n = HB_MIN(WIDE, end - i);
		hb_wide_load(x->dtype, x->data, i, 1, n, a);
		mc->m->wide(a, b, n, x->dtype == HB_U64);
		hb_wide_store(y->dtype, b, y->data, i, n);
	}
}

static void
run_map(const hb_call *c, const map *m)
{
	struct map_call mc = { c, m, { 0 } };
	int64_t n = hb_val_elems(c->in[0]);

	for (int i = 0; i < 2 && m->par[i].name; i++)
		mc.p[i] = hb_attr_f(c->n, m->par[i].name, m->par[i].dflt);
	if (n)
		hb_parallel(c->cx, n, 16384, map_piece, &mc);
}

static hb_status
shape_bool(hb_graph *g, hb_node *n)
{
	return hb_set_out(g, n, 0, HB_BOOL, &n->in[0]->shape);
}

/* The float kernel: y = expr of a, with parameters p; vectorised at the width in use. */
#define F32_MAP(id, type, expr)                                                                 \
	HB_INLINE void id##_body(const float *x, void *out, int64_t n, const float *p)          \
	{                                                                                       \
		type *y = (type *)out;                                                          \
		const float p0 = p[0], p1 = p[1];                                               \
		(void)p0, (void)p1;                                                             \
		for (int64_t i = 0; i < n; i++) {                                               \
			const float a = x[i];                                                   \
			y[i] = (type)(expr);                                                    \
		}                                                                               \
	}                                                                                       \
	HB_KERNEL(id##_f32, id##_body, (const float *x, void *y, int64_t n, const float *p), (x, y, n, p))

#define WIDE_MAP(id, expr)                                                                      \
	static void id##_wide(const int64_t *x, int64_t *y, int64_t n, bool u)                  \
	{                                                                                       \
		(void)u;                                                                        \
		for (int64_t i = 0; i < n; i++) {                                               \
			const int64_t a = x[i];                                                 \
			y[i] = (int64_t)(expr);                                                 \
		}                                                                               \
	}

#define MAP_ROW(id, onnx, first, rows, mask, shape_, ...)                                       \
	static void run_##id(const hb_call *c) { run_map(c, &id##_map); }                       \
	const hb_op hb_op_##id = {                                                              \
		.name = onnx, .since = first, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, \
		.attrs = rows, .types = mask, .shape = shape_, .run = run_##id, __VA_ARGS__     \
	};

#define PARS(...) { __VA_ARGS__ }

/* A float function with its double form for lookup tables, over v and parameters q0, q1. */
#define LUT(id, pars, expr)                                                                     \
	static double id##_lut(const hb_node *n, double v)                                      \
	{                                                                                       \
		static const par ps[2] = pars;                                                  \
		const double q0 = ps[0].name ? (double)hb_attr_f(n, ps[0].name, ps[0].dflt) : 0; \
		const double q1 = ps[1].name ? (double)hb_attr_f(n, ps[1].name, ps[1].dflt) : 0; \
		(void)q0, (void)q1;                                                             \
		return expr;                                                                    \
	}

#define FLOAT_FN(id, onnx, first, rows, pars, f32_expr, lut_expr)                               \
	FLOAT_FN_BY(id, onnx, first, rows, pars, f32_expr, lut_expr, NULL)

#define FLOAT_FN_BY(id, onnx, first, rows, pars, f32_expr, lut_expr, convert_)                  \
	F32_MAP(id, float, f32_expr)                                                            \
	LUT(id, PARS pars, lut_expr)                                                            \
	static const map id##_map = { id##_f32, NULL, PARS pars };                              \
	MAP_ROW(id, onnx, first, rows, FLOATS, hb_shape_same, .role = HB_ROLE_OWN, .lut = id##_lut, .convert = convert_)

/* Floats and integers. */
#define NUMBER_FN(id, onnx, first, rows, mask, f32_expr, wide_expr, lut_expr, role_, convert_)  \
	F32_MAP(id, float, f32_expr)                                                            \
	WIDE_MAP(id, wide_expr)                                                                 \
	LUT(id, PARS({ NULL, 0 }), lut_expr)                                                    \
	static const map id##_map = { id##_f32, id##_wide, { { NULL, 0 } } };                   \
	MAP_ROW(id, onnx, first, rows, mask, hb_shape_same, .role = role_, .lut = id##_lut, .convert = convert_)

static inline double
sigmoid_of(double x)
{
	return 1.0 / (1.0 + exp(-x));
}

static inline double
softplus_of(double x)
{
	return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

FLOAT_FN(exp, "Exp", 1, ci_rows, ({ NULL, 0 }), hb_expf(a), exp(v))
FLOAT_FN(log, "Log", 1, ci_rows, ({ NULL, 0 }), hb_logf(a), log(v))
FLOAT_FN(sqrt, "Sqrt", 1, ci_rows, ({ NULL, 0 }), sqrtf(a), sqrt(v))
FLOAT_FN(reciprocal, "Reciprocal", 1, ci_rows, ({ NULL, 0 }), 1.0f / a, 1.0 / v)
FLOAT_FN(sigmoid, "Sigmoid", 1, ci_rows, ({ NULL, 0 }), hb_sigmoidf(a), sigmoid_of(v))
FLOAT_FN(tanh, "Tanh", 1, ci_rows, ({ NULL, 0 }), hb_tanhf(a), tanh(v))
FLOAT_FN(erf, "Erf", 9, NULL, ({ NULL, 0 }), hb_erff(a), erf(v))
FLOAT_FN(sin, "Sin", 7, NULL, ({ NULL, 0 }), hb_sinf(a), sin(v))
FLOAT_FN(cos, "Cos", 7, NULL, ({ NULL, 0 }), hb_cosf(a), cos(v))
FLOAT_FN(tan, "Tan", 7, NULL, ({ NULL, 0 }), hb_tanf(a), tan(v))
FLOAT_FN(asin, "Asin", 7, NULL, ({ NULL, 0 }), hb_asinf(a), asin(v))
FLOAT_FN(acos, "Acos", 7, NULL, ({ NULL, 0 }), hb_acosf(a), acos(v))
FLOAT_FN(atan, "Atan", 7, NULL, ({ NULL, 0 }), hb_atanf(a), atan(v))
FLOAT_FN(sinh, "Sinh", 9, NULL, ({ NULL, 0 }), hb_sinhf(a), sinh(v))
FLOAT_FN(cosh, "Cosh", 9, NULL, ({ NULL, 0 }), hb_coshf(a), cosh(v))
FLOAT_FN(asinh, "Asinh", 9, NULL, ({ NULL, 0 }), hb_asinhf(a), asinh(v))
FLOAT_FN(acosh, "Acosh", 9, NULL, ({ NULL, 0 }), hb_acoshf(a), acosh(v))
FLOAT_FN(atanh, "Atanh", 9, NULL, ({ NULL, 0 }), hb_atanhf(a), atanh(v))
FLOAT_FN_BY(floor, "Floor", 1, ci_rows, ({ NULL, 0 }), floorf(a), floor(v), hb_to_fx_floor)
FLOAT_FN_BY(ceil, "Ceil", 1, ci_rows, ({ NULL, 0 }), ceilf(a), ceil(v), hb_to_fx_ceil)
FLOAT_FN(round, "Round", 11, NULL, ({ NULL, 0 }), hb_roundf(a), rint(v))	/* half to even */
FLOAT_FN(leaky_relu, "LeakyRelu", 1, alpha_rows, ({ "alpha", 0.01f }), a < 0 ? p0 * a : a, v < 0 ? q0 * v : v)
FLOAT_FN(thresholded_relu, "ThresholdedRelu", 10, alpha_rows, ({ "alpha", 1.0f }), a > p0 ? a : 0.0f, v > q0 ? v : 0)
FLOAT_FN(hard_sigmoid, "HardSigmoid", 1, alpha_beta_rows, ({ "alpha", 0.2f }, { "beta", 0.5f }),
	 HB_MAX(0.0f, HB_MIN(1.0f, p0 * a + p1)), fmax(0, fmin(1, q0 * v + q1)))
FLOAT_FN(hard_swish, "HardSwish", 14, NULL, ({ NULL, 0 }),
	 a * HB_MAX(0.0f, HB_MIN(1.0f, a * (1.0f / 6.0f) + 0.5f)), v * fmax(0, fmin(1, v / 6 + 0.5)))
FLOAT_FN(elu, "Elu", 1, alpha_rows, ({ "alpha", 1.0f }), a < 0 ? p0 * hb_expm1f(a) : a,
	 v < 0 ? q0 * expm1(v) : v)
FLOAT_FN(selu, "Selu", 1, alpha_gamma_rows,
	 ({ "alpha", 1.67326319217681884765625f }, { "gamma", 1.05070102214813232421875f }),
	 a > 0 ? p1 * a : p1 * (p0 * hb_expm1f(a)), v > 0 ? q1 * v : q1 * q0 * expm1(v))
FLOAT_FN(celu, "Celu", 12, alpha_rows, ({ "alpha", 1.0f }),
	 HB_MAX(0.0f, a) + HB_MIN(0.0f, p0 * hb_expm1f(HB_MIN(a, 0.0f) / p0)),
	 fmax(0, v) + fmin(0, q0 * expm1(v / q0)))
FLOAT_FN(softplus, "Softplus", 1, NULL, ({ NULL, 0 }), hb_softplusf(a), softplus_of(v))
FLOAT_FN(softsign, "Softsign", 1, NULL, ({ NULL, 0 }), a / (1.0f + fabsf(a)), v / (1 + fabs(v)))
FLOAT_FN(mish, "Mish", 18, NULL, ({ NULL, 0 }),
	 a * hb_tanhf(hb_softplusf(a)), v * tanh(softplus_of(v)))
FLOAT_FN(swish, "Swish", 24, alpha_rows, ({ "alpha", 1.0f }), a * hb_sigmoidf(p0 * a), v * sigmoid_of(q0 * v))

NUMBER_FN(relu, "Relu", 1, ci_rows, FLOATS | SIGNED, a < 0 ? 0.0f : a, a<0 ? 0 : a, v> 0 ? v : 0, HB_ROLE_PASS,
	  hb_to_fx_clip)
NUMBER_FN(abs, "Abs", 1, ci_rows, HB_NUMBERS, fabsf(a), a < 0 && !u ? 0 - (uint64_t)a : (uint64_t)a, fabs(v),
	  HB_ROLE_PASS, hb_to_fx_abs)
NUMBER_FN(neg, "Neg", 1, ci_rows, FLOATS | SIGNED, -a, 0 - (uint64_t)a, -v, HB_ROLE_OWN, NULL)
NUMBER_FN(sign, "Sign", 9, NULL, HB_NUMBERS, a > 0 ? 1.0f : a < 0 ? -1.0f : a, u ? a != 0 : (a > 0) - (a < 0),
	  (v > 0) - (v < 0), HB_ROLE_OWN, NULL)

static const hb_attr_row isinf_rows[] = {
	{ "detect_negative", HB_ATTR_INT, false, 0, 0 }, { "detect_positive", HB_ATTR_INT, false, 0, 0 }, { 0 } };

F32_MAP(isnan, uint8_t, a != a)
static const map isnan_map = { isnan_f32, NULL, { { NULL, 0 } } };
MAP_ROW(isnan, "IsNaN", 9, NULL, FLOATS, shape_bool, .role = HB_ROLE_NONE)

F32_MAP(isinf_both, uint8_t, fabsf(a) == INFINITY)
F32_MAP(isinf_pos, uint8_t, a == INFINITY)
F32_MAP(isinf_neg, uint8_t, a == -INFINITY)
F32_MAP(isinf_none, uint8_t, 0 * (a != a))

static void
run_isinf(const hb_call *c)
{
	static const map maps[2][2] = {
		{ { isinf_none_f32, NULL, { { NULL, 0 } } }, { isinf_pos_f32, NULL, { { NULL, 0 } } } },
		{ { isinf_neg_f32, NULL, { { NULL, 0 } } }, { isinf_both_f32, NULL, { { NULL, 0 } } } },
	};

	run_map(c, &maps[hb_attr_i(c->n, "detect_negative", 1) != 0][hb_attr_i(c->n, "detect_positive", 1) != 0]);
}

const hb_op hb_op_isinf = {
	.name = "IsInf", .since = 10, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = isinf_rows, .types = FLOATS, .shape = shape_bool, .run = run_isinf,
};

WIDE_MAP(not, !a)
static const map not_map = { NULL, not_wide, { { NULL, 0 } } };
MAP_ROW(not, "Not", 1, NULL, BOOLS, hb_shape_same, .role = HB_ROLE_BOOL, .convert = hb_to_fx_not)

WIDE_MAP(bitwise_not, ~a)
static const map bitwise_not_map = { NULL, bitwise_not_wide, { { NULL, 0 } } };
MAP_ROW(bitwise_not, "BitwiseNot", 18, NULL, HB_INTS, hb_shape_same, .role = HB_ROLE_NONE)

/* Gelu: x * Phi(x), or its tanh form. */
F32_MAP(gelu_erf, float, 0.5f * a * (1.0f + hb_erff(a * 0.70710678118654752440f)))
F32_MAP(gelu_tanh, float, hb_gelu_tanhf(a))

static bool
gelu_by_tanh(const hb_node *n)
{
	return !strcmp(hb_attr_s(n, "approximate", "none"), "tanh");
}

static double
gelu_lut(const hb_node *n, double v)
{
	return gelu_by_tanh(n) ? 0.5 * v * (1 + tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v)))
			       : 0.5 * v * (1 + erf(v * 0.70710678118654752440));
}

static void
run_gelu(const hb_call *c)
{
	static const map by_erf = { gelu_erf_f32, NULL, { { NULL, 0 } } };
	static const map by_tanh = { gelu_tanh_f32, NULL, { { NULL, 0 } } };

	run_map(c, gelu_by_tanh(c->n) ? &by_tanh : &by_erf);
}

static hb_status
shape_gelu(hb_graph *g, hb_node *n)
{
	const char *how = hb_attr_s(n, "approximate", "none");

	if (strcmp(how, "none") && strcmp(how, "tanh"))
		return HB_BAD(g, n, "approximate is '%s'; none or tanh is taken", how);
	return hb_shape_same(g, n);
}

static const hb_attr_row gelu_rows[] = { { "approximate", HB_ATTR_STRING, false, 0, 0 }, { 0 } };

const hb_op hb_op_gelu = {
	.name = "Gelu", .since = 20, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = gelu_rows, .types = FLOATS, .shape = shape_gelu, .run = run_gelu,
	.role = HB_ROLE_OWN, .lut = gelu_lut,
};

/* Shrink: x < -lambd: x + bias; x > lambd: x - bias; else 0. */
static const hb_attr_row shrink_rows[] = {
	{ "lambd", HB_ATTR_FLOAT, false, 0, 0 }, { "bias", HB_ATTR_FLOAT, false, 0, 0 }, { 0 } };

F32_MAP(shrink, float, a < -p0 ? a + p1 : a > p0 ? a - p1 : 0.0f)

static void
run_shrink(const hb_call *c)
{
	static const map m = { shrink_f32, NULL, { { "lambd", 0.5f }, { "bias", 0.0f } } };
	const hb_val *x = c->in[0];
	float lambd = hb_attr_f(c->n, "lambd", 0.5f), bias = hb_attr_f(c->n, "bias", 0.0f);

	if (x->dtype == HB_F32) {
		run_map(c, &m);
		return;
	}
	for (int64_t i = 0, n = hb_val_elems(x); i < n; i++) {
		float a = hb_val_f(x, i), y = a < -lambd ? a + bias : a > lambd ? a - bias : 0.0f;
		hb_float_store(x->dtype, &y, c->out[0]->data, i, 1);
	}
}

static double
shrink_lut(const hb_node *n, double v)
{
	double lambd = (double)hb_attr_f(n, "lambd", 0.5f), bias = (double)hb_attr_f(n, "bias", 0.0f);

	return v < -lambd ? v + bias : v > lambd ? v - bias : 0;
}

const hb_op hb_op_shrink = {
	.name = "Shrink", .since = 9, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = shrink_rows, .types = HB_NUMBERS, .shape = hb_shape_same, .run = run_shrink,
	.role = HB_ROLE_OWN, .lut = shrink_lut,
};

/* ---- Clip: limits by attribute before operator set 11, by input from it on ---- */

static hb_status
shape_clip(hb_graph *g, hb_node *n)
{
	for (int i = 1; i < n->nin; i++) {
		const hb_tensor *t = n->in[i];
		if (!t)
			continue;
		if (n->version < 11)
			return HB_BAD(g, n, "has %d inputs; Clip of operator set %d takes 1", n->nin, n->version);
		if (hb_shape_elems(&t->shape) != 1)
			return HB_BAD(g, n, "%s has %lld elements; one is taken", i == 1 ? "min" : "max",
				      (long long)hb_shape_elems(&t->shape));
		if (t->dtype != n->in[0]->dtype)
			return HB_BAD(g, n, "%s is %s and the input %s; one type is taken", i == 1 ? "min" : "max",
				      hb_dtype_name(t->dtype), hb_dtype_name(n->in[0]->dtype));
	}
	/* The limits that are known, for the lookup table: NULL where an input decides. */
	float lim[2] = { hb_attr_f(n, "min", -INFINITY), hb_attr_f(n, "max", INFINITY) };
	bool known = true;
	for (int i = 1; i < n->nin; i++) {
		hb_tensor *t = n->in[i];
		if (!t)
			continue;
		const void *data = t->is_const ? hb_tensor_data(g, t) : NULL;
		if (data)
			hb_float_load(t->dtype, data, 0, 1, 1, &lim[i - 1]);
		else
			known = false;
	}
	n->aux = NULL;
	if (known) {
		float *aux = HB_NEW_N(g->arena, float, 2);
		if (!aux)
			return hb_nomem(g->cx, n->name);
		memcpy(aux, lim, sizeof(lim));
		n->aux = aux;
	}
	return hb_shape_same(g, n);
}

/* min(max(a, lo), hi); NaN stays. */
F32_MAP(clip, float, a < p0 ? HB_MIN(p0, p1) : a > p1 ? p1 : a)

struct clip_call {
	const hb_call *c;
	float p[2];
	int64_t lo, hi;
	bool has_lo, has_hi;
};

static bool
less(int64_t a, int64_t b, bool u64)
{
	return u64 ? (uint64_t)a < (uint64_t)b : a < b;
}

static void
clip_piece(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct clip_call *k = arg;
	const hb_val *x = k->c->in[0], *y = k->c->out[0];
	bool u64 = x->dtype == HB_U64;
	int64_t a[WIDE];

	(void)worker;
	if (x->dtype == HB_F32) {
		clip_f32[k->c->cx->isa]((const float *)x->data + begin, (float *)y->data + begin, end - begin, k->p);
		return;
	}
	for (int64_t i = begin; i < end; i += WIDE) {
		int64_t n = HB_MIN(WIDE, end - i);
		hb_wide_load(x->dtype, x->data, i, 1, n, a);
		for (int64_t j = 0; j < n; j++) {
			if (k->has_lo && less(a[j], k->lo, u64))
				a[j] = k->lo;
			if (k->has_hi && less(k->hi, a[j], u64))
				a[j] = k->hi;
		}
		hb_wide_store(y->dtype, a, y->data, i, n);
	}
}

static void
run_clip(const hb_call *c)
{
	const hb_val *lo = hb_call_in(c, 1), *hi = hb_call_in(c, 2);
	struct clip_call k = { .c = c, .has_lo = lo, .has_hi = hi };
	int64_t n = hb_val_elems(c->in[0]);

	k.p[0] = lo ? hb_val_f(lo, 0) : hb_attr_f(c->n, "min", -INFINITY);
	k.p[1] = hi ? hb_val_f(hi, 0) : hb_attr_f(c->n, "max", INFINITY);
	if (c->in[0]->dtype != HB_F32) {
		k.lo = lo ? hb_val_i(lo, 0) : 0;
		k.hi = hi ? hb_val_i(hi, 0) : 0;
	}
	if (n)
		hb_parallel(c->cx, n, 16384, clip_piece, &k);
}

static double
clip_lut(const hb_node *n, double v)
{
	const float *lim = n->aux;

	return lim ? fmin(fmax(v, (double)lim[0]), (double)lim[1]) : v;
}

static const hb_attr_row clip_rows[] = {
	{ "min", HB_ATTR_FLOAT, false, 1, 10 }, { "max", HB_ATTR_FLOAT, false, 1, 10 }, CI, { 0 } };

const hb_op hb_op_clip = {
	.name = "Clip", .since = 1, .min_in = 1, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = clip_rows, .types = HB_NUMBERS, .shape = shape_clip, .run = run_clip,
	.role = HB_ROLE_PASS, .lut = clip_lut, .convert = hb_to_fx_clip,
};

/* ---- two inputs ---- */

typedef struct pair {
	/* sa, sb: 0 where the operand is one element, else its stride. */
	void (*const *f32)(const float *a, int64_t sa, const float *b, int64_t sb, void *y, int64_t n);
	void (*wide)(const int64_t *a, const int64_t *b, int64_t *y, int64_t n, bool u64);
} pair;

struct pair_call {
	const pair *op;
	hb_isa isa;
	const hb_val *a, *b, *y;
};

static void
pair_row(void *arg, const hb_nd *d, const int64_t *off, int64_t n, int worker)
{
	const struct pair_call *k = arg;
	int last = d->rank - 1;
	int64_t sa = d->stride[1][last], sb = d->stride[2][last];
	int64_t a[WIDE], b[WIDE], y[WIDE];

	(void)worker;
	if (k->a->dtype == HB_F32) {
		uint8_t *to = (uint8_t *)k->y->data + off[0] * (int64_t)hb_dtype_size(k->y->dtype);
		k->op->f32[k->isa]((const float *)k->a->data + off[1], sa, (const float *)k->b->data + off[2], sb, to,
				   n);
		return;
	}
	for (int64_t i = 0; i < n; i += WIDE) {
		int64_t m = HB_MIN(WIDE, n - i);
		hb_wide_load(k->a->dtype, k->a->data, off[1] + i * sa, sa, m, a);
		hb_wide_load(k->b->dtype, k->b->data, off[2] + i * sb, sb, m, b);
		k->op->wide(a, b, y, m, k->a->dtype == HB_U64);
		hb_wide_store(k->y->dtype, y, k->y->data, off[0] + i, m);
	}
}

/* Before operator set 7, B's dimensions stand from `axis` of A on where `broadcast` is set: *b gets ones behind them.
 */
static bool
legacy_operand(const hb_node *n, const hb_shape *a, hb_shape *b)
{
	if (n->version >= 7 || !hb_attr_find(n, "axis"))
		return true;
	int64_t axis = hb_attr_i(n, "axis", 0);
	axis += axis < 0 ? a->rank : 0;
	if (axis < 0 || axis > a->rank - b->rank)
		return false;
	while (axis + b->rank < a->rank)
		b->dim[b->rank++] = 1;
	return true;
}

/* y = op(a, b) with shapes broadcast to y's. */
static void
run_pair_on(const hb_call *c, const pair *op, const hb_val *a, const hb_shape *as, const hb_val *b, const hb_shape *bs,
	    const hb_val *y)
{
	struct pair_call k = { op, c->cx->isa, a, b, y };
	hb_nd d;

	hb_nd_init(&d, &y->shape);
	hb_nd_add(&d, &y->shape);
	hb_nd_add(&d, as);
	hb_nd_add(&d, bs);
	hb_nd_merge(&d);
	hb_nd_run(c->cx, &d, pair_row, &k);
}

static void
run_pair(const hb_call *c, const pair *op)
{
	hb_shape b = c->in[1]->shape;

	legacy_operand(c->n, &c->in[0]->shape, &b);
	run_pair_on(c, op, c->in[0], &c->in[0]->shape, c->in[1], &b, c->out[0]);
}

static hb_status
pair_shape(hb_graph *g, hb_node *n, hb_dtype out)
{
	hb_shape s, b = n->in[1]->shape;
	const hb_shape *a = &n->in[0]->shape;
	char at[HB_SHAPE_TEXT], bt[HB_SHAPE_TEXT];

	if (n->in[0]->dtype != n->in[1]->dtype)
		return HB_BAD(g, n, "operands are %s and %s; one type is taken", hb_dtype_name(n->in[0]->dtype),
			      hb_dtype_name(n->in[1]->dtype));
	if (n->version < 7 && hb_attr_i(n, "broadcast", 0) == 0 && !hb_shape_eq(a, &b))
		return HB_BAD(g, n, "shapes %s and %s differ; attribute broadcast is not set", hb_shape_text(a, at),
			      hb_shape_text(&b, bt));
	if (!legacy_operand(n, a, &b) || !hb_shape_broadcast(a, &b, &s) || (n->version < 7 && !hb_shape_eq(a, &s)))
		return HB_BAD(g, n, "shapes %s and %s do not broadcast", hb_shape_text(a, at),
			      hb_shape_text(&n->in[1]->shape, bt));
	return hb_set_out(g, n, 0, out, &s);
}

static hb_status
shape_pair(hb_graph *g, hb_node *n)
{
	return pair_shape(g, n, n->in[0]->dtype);
}

static hb_status
shape_compare(hb_graph *g, hb_node *n)
{
	return pair_shape(g, n, HB_BOOL);
}

#define F32_PAIR(id, type, expr)                                                                \
	HB_INLINE void id##_body(const float *x, int64_t sx, const float *z, int64_t sz, void *out, int64_t n) \
	{                                                                                       \
		type *y = (type *)out;                                                          \
		if (sx == 1 && sz == 1) {                                                       \
			for (int64_t i = 0; i < n; i++) {                                       \
				const float a = x[i];                                           \
				const float b = z[i];                                           \
				y[i] = (type)(expr);                                            \
			}                                                                       \
		} else if (sx == 1 && sz == 0) {                                                \
			const float b = z[0];                                                   \
			for (int64_t i = 0; i < n; i++) {                                       \
				const float a = x[i];                                           \
				y[i] = (type)(expr);                                            \
			}                                                                       \
		} else if (sx == 0 && sz == 1) {                                                \
			const float a = x[0];                                                   \
			for (int64_t i = 0; i < n; i++) {                                       \
				const float b = z[i];                                           \
				y[i] = (type)(expr);                                            \
			}                                                                       \
		} else {                                                                        \
			for (int64_t i = 0; i < n; i++) {                                       \
				const float a = x[i * sx];                                      \
				const float b = z[i * sz];                                      \
				y[i] = (type)(expr);                                            \
			}                                                                       \
		}                                                                               \
	}                                                                                       \
	HB_KERNEL(id##_f32, id##_body, (const float *x, int64_t sx, const float *z, int64_t sz, void *y, int64_t n), \
		  (x, sx, z, sz, y, n))

#define WIDE_PAIR(id, expr)                                                                     \
	static void id##_wide(const int64_t *x, const int64_t *z, int64_t *y, int64_t n, bool u) \
	{                                                                                       \
		(void)u;                                                                        \
		for (int64_t i = 0; i < n; i++) {                                               \
			const int64_t a = x[i], b = z[i];                                       \
			y[i] = (int64_t)(expr);                                                 \
		}                                                                               \
	}

enum { HIDES = 1000 };			/* a constant at least as far below 0 hides: attention masks have -10000, -1e9, -inf */

/* Does constant t hide what it is added to or put in the place of: is each element 0 or far below, and one far below? */
static bool
hides(const hb_tensor *t)
{
	const uint8_t *p = t && t->is_const && t->dtype == HB_F32 && !t->raw_onnx_type ? t->data ? t->data : t->raw : NULL;
	int64_t n = p ? hb_tensor_elems(t) : 1;
	bool some = false;

	if (!p && t && t->is_const && t->dtype == HB_F32 && t->is_splat)
		p = (const uint8_t *)&t->splat;
	for (int64_t k = 0; p && k < n; k++) {
		float v;
		memcpy(&v, p + 4 * k, sizeof(v));
		if (v != 0 && !(v <= -HIDES))
			return false;
		some = some || v != 0;
	}
	return some;
}

/* No scale holds both what is hidden and what is left. */
static const char *
floats_mask(const hb_node *n)
{
	for (int i = 0; i < n->nin; i++) {
		if (hides(n->in[i]))
			return "a mask, whose values no scale holds beside those that it leaves";
	}
	return NULL;
}

#define PAIR_ROW(id, onnx, first, rows, mask, shape_, ...)                                      \
	static void run_##id(const hb_call *c) { run_pair(c, &id##_pair); }                     \
	const hb_op hb_op_##id = {                                                              \
		.name = onnx, .since = first, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, \
		.attrs = rows, .types = mask, .shape = shape_, .run = run_##id, __VA_ARGS__     \
	};

#define ARITH(id, onnx, floats_, f32_expr, wide_expr)                                           \
	F32_PAIR(id, float, f32_expr)                                                           \
	WIDE_PAIR(id, wide_expr)                                                                \
	static const pair id##_pair = { id##_f32, id##_wide };                                  \
	PAIR_ROW(id, onnx, 1, legacy_rows, HB_NUMBERS, shape_pair, .role = HB_ROLE_OWN,        \
		 .convert = hb_to_fx_##id, .floats = floats_)

#define COMPARE(id, onnx, first, f32_expr, wide_expr)                                           \
	F32_PAIR(id, uint8_t, f32_expr)                                                         \
	WIDE_PAIR(id, wide_expr)                                                                \
	static const pair id##_pair = { id##_f32, id##_wide };                                  \
	PAIR_ROW(id, onnx, first, legacy_rows, HB_ANY, shape_compare, .role = HB_ROLE_BOOL, .convert = hb_to_fx_##id)

#define LOGICAL(id, onnx, expr)                                                                 \
	WIDE_PAIR(id, expr)                                                                     \
	static const pair id##_pair = { NULL, id##_wide };                                      \
	PAIR_ROW(id, onnx, 1, legacy_rows, BOOLS, shape_pair, .role = HB_ROLE_BOOL, .convert = hb_to_fx_##id)

#define BITWISE(id, onnx, expr)                                                                 \
	WIDE_PAIR(id, expr)                                                                     \
	static const pair id##_pair = { NULL, id##_wide };                                      \
	PAIR_ROW(id, onnx, 18, NULL, HB_INTS, shape_pair, .role = HB_ROLE_NONE)

static const hb_attr_row legacy_rows[] = {
	{ "axis", HB_ATTR_INT, false, 1, 6 }, { "broadcast", HB_ATTR_INT, false, 1, 6 }, CI, { 0 } };

/* Towards zero; by zero it is 0, and the smallest by -1 wraps. */
static inline int64_t
divided(int64_t a, int64_t b, bool u64)
{
	if (b == 0)
		return 0;
	if (u64)
		return (int64_t)((uint64_t)a / (uint64_t)b);
	return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

ARITH(add, "Add", floats_mask, a + b, (uint64_t)a + (uint64_t)b)
ARITH(sub, "Sub", NULL, a - b, (uint64_t)a - (uint64_t)b)
ARITH(mul, "Mul", NULL, a * b, (uint64_t)a * (uint64_t)b)
ARITH(div, "Div", NULL, a / b, divided(a, b, u))

COMPARE(equal, "Equal", 1, a == b, a == b)
COMPARE(less, "Less", 1, a < b, less(a, b, u))
COMPARE(greater, "Greater", 1, a > b, less(b, a, u))
COMPARE(less_or_equal, "LessOrEqual", 12, a <= b, !less(b, a, u))
COMPARE(greater_or_equal, "GreaterOrEqual", 12, a >= b, !less(a, b, u))

LOGICAL(and, "And", a && b)
LOGICAL(or, "Or", a || b)
LOGICAL(xor, "Xor", !a != !b)
BITWISE(bitwise_and, "BitwiseAnd", a & b)
BITWISE(bitwise_or, "BitwiseOr", a | b)
BITWISE(bitwise_xor, "BitwiseXor", a ^ b)

/* BitShift: of unsigned types; by the width or more it is 0. */
WIDE_PAIR(shift_left, (uint64_t)b < 64 ? (uint64_t)a << b : 0)
WIDE_PAIR(shift_right, (uint64_t)b < 64 ? (uint64_t)a >> b : 0)

static bool
shifts_left(const hb_node *n)
{
	return !strcmp(hb_attr_s(n, "direction", ""), "LEFT");
}

static hb_status
shape_bit_shift(hb_graph *g, hb_node *n)
{
	const char *way = hb_attr_s(n, "direction", "");

	if (!shifts_left(n) && strcmp(way, "RIGHT"))
		return HB_BAD(g, n, "direction is '%s'; LEFT or RIGHT is taken", way);
	return shape_pair(g, n);
}

static void
run_bit_shift(const hb_call *c)
{
	static const pair left = { NULL, shift_left_wide }, right = { NULL, shift_right_wide };

	run_pair(c, shifts_left(c->n) ? &left : &right);
}

static const hb_attr_row shift_rows[] = { { "direction", HB_ATTR_STRING, true, 0, 0 }, { 0 } };

const hb_op hb_op_bit_shift = {
	.name = "BitShift", .since = 11, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = shift_rows, .types = HB_BIT(HB_U8) | HB_BIT(HB_U16) | HB_BIT(HB_U32) | HB_BIT(HB_U64),
	.shape = shape_bit_shift, .run = run_bit_shift,
};

/* Mod: the sign of the divisor (fmod 0), or of the dividend. */
static inline int64_t
remainder_of(int64_t a, int64_t b, bool u64)
{
	if (b == 0)
		return 0;
	if (u64)
		return (int64_t)((uint64_t)a % (uint64_t)b);
	return b == -1 ? 0 : a % b;
}

static inline int64_t
modulo_of(int64_t a, int64_t b, bool u64)
{
	int64_t r = remainder_of(a, b, u64);

	return !u64 && r && (r < 0) != (b < 0) ? r + b : r;
}

F32_PAIR(fmod, float, fmod((double)a, (double)b))
WIDE_PAIR(fmod, remainder_of(a, b, u))
WIDE_PAIR(mod, modulo_of(a, b, u))

static hb_status
shape_mod(hb_graph *g, hb_node *n)
{
	if (n->in[0]->dtype == HB_F32 && !hb_attr_i(n, "fmod", 0))
		return HB_BAD(g, n, "fmod is 0; floating-point operands need 1");
	return shape_pair(g, n);
}

static void
run_mod(const hb_call *c)
{
	static const pair by_divisor = { NULL, mod_wide }, by_dividend = { fmod_f32, fmod_wide };

	run_pair(c, hb_attr_i(c->n, "fmod", 0) ? &by_dividend : &by_divisor);
}

static const hb_attr_row mod_rows[] = { { "fmod", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_mod = {
	.name = "Mod", .since = 10, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = mod_rows, .types = HB_NUMBERS, .shape = shape_mod, .run = run_mod,
};

/* PRelu: before operator set 7 a list of slopes is one a channel. */
F32_PAIR(prelu, float, a < 0 ? a * b : a)
WIDE_PAIR(prelu, a < 0 && !u ? (uint64_t)a * (uint64_t)b : (uint64_t)a)
static const pair prelu_pair = { prelu_f32, prelu_wide };

static void
prelu_slope(const hb_node *n, const hb_shape *x, hb_shape *slope)
{
	if (n->version < 7 && slope->rank == 1 && x->rank > 1)
		for (int i = 2; i < x->rank; i++)
			slope->dim[slope->rank++] = 1;
}

static hb_status
shape_prelu(hb_graph *g, hb_node *n)
{
	hb_shape s, slope = n->in[1]->shape;
	const hb_shape *x = &n->in[0]->shape;
	char a[HB_SHAPE_TEXT], b[HB_SHAPE_TEXT];

	prelu_slope(n, x, &slope);
	if (!hb_shape_broadcast(x, &slope, &s) || !hb_shape_eq(x, &s))
		return HB_BAD(g, n, "slope %s does not broadcast to %s", hb_shape_text(&n->in[1]->shape, a),
			      hb_shape_text(x, b));
	if (n->in[0]->dtype != n->in[1]->dtype)
		return HB_BAD(g, n, "operands are %s and %s; one type is taken", hb_dtype_name(n->in[0]->dtype),
			      hb_dtype_name(n->in[1]->dtype));
	return hb_shape_same(g, n);
}

static void
run_prelu(const hb_call *c)
{
	hb_shape slope = c->in[1]->shape;

	prelu_slope(c->n, &c->in[0]->shape, &slope);
	run_pair_on(c, &prelu_pair, c->in[0], &c->in[0]->shape, c->in[1], &slope, c->out[0]);
}

const hb_op hb_op_prelu = {
	.name = "PRelu", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = ci_rows, .types = HB_NUMBERS, .shape = shape_prelu, .run = run_prelu, .role = HB_ROLE_OWN,
	.convert = hb_to_fx_prelu,
};

/* Pow: the result has the base's type; exponents may have another. */
F32_PAIR(pow, float, hb_powf(a, b))
static const pair pow_pair = { pow_f32, NULL };

static int64_t
power_of(int64_t a, int64_t b)
{
	uint64_t y = 1, x = (uint64_t)a;

	if (b < 0)
		return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
	for (uint64_t e = (uint64_t)b; e; e >>= 1, x *= x)
		if (e & 1)
			y *= x;
	return (int64_t)y;
}

struct pow_call {
	const hb_val *a, *b, *y;
};

static void
pow_row(void *arg, const hb_nd *d, const int64_t *off, int64_t n, int worker)
{
	const struct pow_call *k = arg;
	int last = d->rank - 1;

	(void)worker;
	for (int64_t i = 0; i < n; i++) {
		int64_t ia = off[1] + i * d->stride[1][last], ib = off[2] + i * d->stride[2][last];
		if (k->a->dtype == HB_F32) {
			((float *)k->y->data)[off[0] + i] =
				hb_powf(((const float *)k->a->data)[ia], hb_val_f(k->b, ib));
		} else if (k->b->dtype == HB_F32) {
			float y = (float)pow((double)hb_val_i(k->a, ia), (double)hb_val_f(k->b, ib));
			hb_float_store(k->y->dtype, &y, k->y->data, off[0] + i, 1);
		} else {
			int64_t y = power_of(hb_val_i(k->a, ia), hb_val_i(k->b, ib));
			hb_wide_store(k->y->dtype, &y, k->y->data, off[0] + i, 1);
		}
	}
}

static void
run_pow(const hb_call *c)
{
	struct pow_call k = { c->in[0], c->in[1], c->out[0] };
	hb_shape b = c->in[1]->shape;
	hb_nd d;

	if (k.a->dtype == HB_F32 && k.b->dtype == HB_F32) {
		run_pair(c, &pow_pair);
		return;
	}
	legacy_operand(c->n, &c->in[0]->shape, &b);
	hb_nd_init(&d, &k.y->shape);
	hb_nd_add(&d, &k.y->shape);
	hb_nd_add(&d, &k.a->shape);
	hb_nd_add(&d, &b);
	hb_nd_merge(&d);
	hb_nd_run(c->cx, &d, pow_row, &k);
}

static hb_status
shape_pow(hb_graph *g, hb_node *n)
{
	hb_dtype exponent = n->in[1]->dtype;

	if (n->version < 12 && exponent != n->in[0]->dtype)
		return HB_BAD(g, n, "operands are %s and %s; one type is taken", hb_dtype_name(n->in[0]->dtype),
			      hb_dtype_name(exponent));
	n->in[1]->dtype = n->in[0]->dtype;
	hb_status st = shape_pair(g, n);
	n->in[1]->dtype = exponent;
	return st;
}

const hb_op hb_op_pow = {
	.name = "Pow", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = legacy_rows, .types = HB_NUMBERS, .shape = shape_pow, .run = run_pow, .role = HB_ROLE_OWN,
	.convert = hb_to_fx_pow, .floats = hb_floats_pow,
};

/* ---- any number of inputs ---- */

F32_PAIR(max, float, a > b || a != a ? a : b)
F32_PAIR(min, float, a < b || a != a ? a : b)
WIDE_PAIR(max, less(a, b, u) ? b : a)
WIDE_PAIR(min, less(b, a, u) ? b : a)
static const pair max_pair = { max_f32, max_wide };
static const pair min_pair = { min_f32, min_wide };

/* y = op(...op(op(x0, x1), x2)...) */
static void
run_all(const hb_call *c, const pair *op)
{
	const hb_val *y = c->out[0];

	if (c->n->nin == 1) {
		hb_copy_bytes(c->cx, y->data, c->in[0]->data, (uint64_t)hb_val_elems(y) * hb_dtype_size(y->dtype));
		return;
	}
	run_pair_on(c, op, c->in[0], &c->in[0]->shape, c->in[1], &c->in[1]->shape, y);
	for (int i = 2; i < c->n->nin; i++)
		run_pair_on(c, op, y, &y->shape, c->in[i], &c->in[i]->shape, y);
}

static hb_status
shape_all(hb_graph *g, hb_node *n)
{
	for (int i = 0; i < n->nin; i++) {
		if (!n->in[i])
			return HB_BAD(g, n, "input %d is absent", i);
		if (n->in[i]->dtype != n->in[0]->dtype)
			return HB_BAD(g, n, "operands are %s and %s; one type is taken", hb_dtype_name(n->in[0]->dtype),
				      hb_dtype_name(n->in[i]->dtype));
	}
	return hb_shape_broadcast_all(g, n);
}

static void
run_max(const hb_call *c)
{
	run_all(c, &max_pair);
}

static void
run_min(const hb_call *c)
{
	run_all(c, &min_pair);
}

static void
run_sum(const hb_call *c)
{
	run_all(c, &add_pair);
}

static void
run_mean(const hb_call *c)
{
	float count = (float)c->n->nin;
	hb_val by = { HB_F32, { .rank = 0 }, &count };

	run_all(c, &add_pair);
	run_pair_on(c, &div_pair, c->out[0], &c->out[0]->shape, &by, &by.shape, c->out[0]);
}

#define VARIADIC(id, onnx, mask)                                                                \
	const hb_op hb_op_##id = {                                                              \
		.name = onnx, .since = 1, .min_in = 1, .max_in = -1, .min_out = 1, .max_out = 1, \
		.attrs = ci_rows, .types = mask, .shape = shape_all, .run = run_##id, .role = HB_ROLE_OWN, \
		.convert = hb_to_fx_##id,                                                       \
	};

VARIADIC(max, "Max", HB_NUMBERS)
VARIADIC(min, "Min", HB_NUMBERS)
VARIADIC(sum, "Sum", FLOATS)
VARIADIC(mean, "Mean", FLOATS)

/* ---- Where ---- */

struct where_call {
	const uint8_t *cond;
	const uint8_t *x, *z;
	uint8_t *y;
	size_t size;
};

#define CHOOSE(type)                                                                            \
	do {                                                                                    \
		const type *p = (const type *)(const void *)k->x + off[2];                      \
		const type *q = (const type *)(const void *)k->z + off[3];                      \
		type *y = (type *)(void *)k->y + off[0];                                        \
		for (int64_t i = 0; i < n; i++)                                                 \
			y[i] = cond[i * s[0]] ? p[i * s[1]] : q[i * s[2]];                      \
	} while (0)

static void
where_row(void *arg, const hb_nd *d, const int64_t *off, int64_t n, int worker)
{
	const struct where_call *k = arg;
	const uint8_t *cond = k->cond + off[1];
	int last = d->rank - 1;
	const int64_t s[3] = { d->stride[1][last], d->stride[2][last], d->stride[3][last] };

	(void)worker;
	switch (k->size) {
	case 1: CHOOSE(uint8_t); break;
	case 2: CHOOSE(uint16_t); break;
	case 4: CHOOSE(uint32_t); break;
	case 8: CHOOSE(uint64_t); break;
	}
}

static void
run_where(const hb_call *c)
{
	const hb_val *y = c->out[0];
	struct where_call k = { c->in[0]->data, c->in[1]->data, c->in[2]->data, y->data, hb_dtype_size(y->dtype) };
	hb_nd d;

	hb_nd_init(&d, &y->shape);
	hb_nd_add(&d, &y->shape);
	for (int i = 0; i < 3; i++)
		hb_nd_add(&d, &c->in[i]->shape);
	hb_nd_merge(&d);
	hb_nd_run(c->cx, &d, where_row, &k);
}

static hb_status
shape_where(hb_graph *g, hb_node *n)
{
	HB_TRY(hb_shape_broadcast_all(g, n));
	if (n->in[1]->dtype != n->in[2]->dtype)
		return HB_BAD(g, n, "operands are %s and %s; one type is taken", hb_dtype_name(n->in[1]->dtype),
			      hb_dtype_name(n->in[2]->dtype));
	hb_shape s = n->out[0]->shape;
	return hb_set_out(g, n, 0, n->in[1]->dtype, &s);
}

const hb_op hb_op_where = {
	.name = "Where",
	.since = 9,
	.min_in = 3,
	.max_in = 3,
	.min_out = 1,
	.max_out = 1,
	.in_types = { HB_BIT(HB_BOOL) },
	.shape = shape_where,
	.floats = floats_mask,
	.run = run_where,
	.role = HB_ROLE_OWN,
	.convert = hb_to_fx_where,
};
