/* follow.c: element-wise work on results that are still in the cache. */
#include "ops/follow.h"
#include "lib/base/cpu.h"
#include "lib/base/fmath.h"
#include "ops/nd.h"

typedef struct part {
	float *y;
	const float *other;
	float lo, hi, scale, zero;
	int64_t n;
} part;

/* As QuantizeLinear and DequantizeLinear have it. */
HB_INLINE float
quantized(float x, const part *p)
{
	float q = hb_round_into(x / p->scale, p->lo - p->zero, p->hi - p->zero);
	return (q != q ? 0.0f - p->zero : q) * p->scale;
}

#define FOLLOW(id, expr)                                                        \
	HB_INLINE void id##_body(const part *p)                                 \
	{                                                                       \
		float *restrict to = p->y;                                      \
		const float *restrict from = p->other;                          \
		const part by = *p;                                             \
		const float lo = p->lo, hi = p->hi;                             \
		(void)from, (void)lo, (void)hi, (void)by;                       \
		for (int64_t i = 0; i < by.n; i++) {                            \
			const float y = to[i];                                  \
			to[i] = (expr);                                         \
		}                                                               \
	}                                                                       \
	HB_KERNEL(id, id##_body, (const part *p), (p))

FOLLOW(clamp, y < lo ? lo : y > hi ? hi : y)
FOLLOW(affine, y * lo + hi)
FOLLOW(leaky, y < 0 ? lo * y : y)
FOLLOW(sigmoid, hb_sigmoidf(y))
FOLLOW(silu, hb_siluf(y))
FOLLOW(add, y + from[i])
FOLLOW(qdq, quantized(y, &by))

static void (*const *const kinds[])(const part *p) = {
	[HB_FOLLOW_CLAMP] = clamp, [HB_FOLLOW_AFFINE] = affine, [HB_FOLLOW_LEAKY] = leaky,
	[HB_FOLLOW_SIGMOID] = sigmoid, [HB_FOLLOW_SILU] = silu, [HB_FOLLOW_ADD] = add, [HB_FOLLOW_QDQ] = qdq,
};

void
hb_follow_run(const hb_follow *f, hb_isa isa, const float *base, float *y, int64_t channel, int64_t n)
{
	for (; f; f = f->next) {
		bool affine_kind = f->kind == HB_FOLLOW_AFFINE;
		part p = {
			.y = y, .n = n, .other = f->other ? (const float *)f->other->data + (y - base) : NULL,
			.lo = affine_kind ? f->a[channel] : f->lo, .hi = affine_kind ? f->b[channel] : f->hi,
			.scale = f->scale, .zero = f->zero,
		};
		kinds[f->kind][isa](&p);
	}
}

static bool
is(const hb_node *m, const char *type)
{
	return !*m->domain && !strcmp(m->op_type, type);
}

/* As BatchNormalization's kernel has it: factors in double, then one product and one sum. */
static bool
affine_of(hb_graph *g, hb_arena *arena, const hb_node *m, hb_follow *f)
{
	const float *v[5] = { 0 };
	if (m->nout != 1 || hb_attr_i(m, "training_mode", 0) || m->in[0]->shape.rank < 3)
		return false;
	int64_t channels = m->in[0]->shape.dim[1];
	for (int i = 1; i < 5; i++) {
		if (!m->in[i]->is_const || hb_tensor_elems(m->in[i]) != channels)
			return false;
		v[i] = hb_tensor_data(g, m->in[i]);
		if (!v[i])
			return false;
	}
	float *a = HB_NEW_N(arena, float, channels + 1), *b = HB_NEW_N(arena, float, channels + 1);
	if (!a || !b)
		return false;
	double eps = (double)hb_attr_f(m, "epsilon", 1e-5f);
	for (int64_t k = 0; k < channels; k++) {
		double gain = (double)v[1][k] / sqrt((double)v[4][k] + eps);
		a[k] = (float)gain;
		b[k] = (float)((double)v[2][k] - (double)v[3][k] * gain);
	}
	f->kind = HB_FOLLOW_AFFINE;
	f->a = a;
	f->b = b;
	return true;
}

bool
hb_follow_of(hb_graph *g, hb_arena *arena, const hb_node *m, const hb_tensor *t, hb_follow *f)
{
	*f = (hb_follow){ 0 };
	if (t->dtype != HB_F32 || m->nin < 1 || m->in[0] != t)
		return false;
	if (is(m, "Relu")) {
		*f = (hb_follow){ .kind = HB_FOLLOW_CLAMP, .lo = 0, .hi = INFINITY };
		return true;
	}
	if (is(m, "Clip")) {
		const float *limits = m->aux;
		if (!limits || !(limits[0] <= limits[1]))
			return false;
		*f = (hb_follow){ .kind = HB_FOLLOW_CLAMP, .lo = limits[0], .hi = limits[1] };
		return true;
	}
	if (is(m, "LeakyRelu")) {
		*f = (hb_follow){ .kind = HB_FOLLOW_LEAKY, .lo = hb_attr_f(m, "alpha", 0.01f) };
		return true;
	}
	if (is(m, "Sigmoid")) {
		f->kind = HB_FOLLOW_SIGMOID;
		return true;
	}
	return is(m, "BatchNormalization") && affine_of(g, arena, m, f);
}

/* Scale and zero point of a node that quantizes or dequantizes: constants, one for all elements. */
static bool
linear_of(hb_graph *g, const hb_node *n, hb_dtype dt, float *scale, float *zero)
{
	hb_tensor *s = n->in[1], *z = hb_in(n, 2);
	if (!s->is_const || s->dtype != HB_F32 || hb_tensor_elems(s) != 1)
		return false;
	const float *v = hb_tensor_data(g, s);
	*scale = v ? *v : 0;
	*zero = 0;
	if (!z)
		return v;
	if (!z->is_const || z->dtype != dt || hb_tensor_elems(z) != 1)
		return false;
	const void *at = hb_tensor_data(g, z);
	if (at)
		hb_float_load(dt, at, 0, 1, 1, zero);
	return v && at;
}

bool
hb_follow_pair(hb_graph *g, const hb_node *q, const hb_node *d, hb_follow *f)
{
	if (!is(q, "QuantizeLinear") || !is(d, "DequantizeLinear") || q->in[0]->dtype != HB_F32 ||
	    d->in[0] != q->out[0] || d->out[0]->dtype != HB_F32)
		return false;
	hb_dtype dt = q->out[0]->dtype;
	float scale, zero;
	*f = (hb_follow){ .kind = HB_FOLLOW_QDQ };
	if (!hb_quantized_limits(dt, &f->lo, &f->hi) || !linear_of(g, q, dt, &f->scale, &f->zero) ||
	    !linear_of(g, d, dt, &scale, &zero))
		return false;
	return scale == f->scale && zero == f->zero;
}
