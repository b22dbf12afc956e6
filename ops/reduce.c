/* reduce.c: operators that make one number of many along some dimensions. */
#include "ops/nd.h"
#include "ops/to_fx.h"

#include "lib/base/fmath.h"

/* ---- steps: lane j takes in x[i] for every i with i % HB_LANES == j ---- */

#define F32_STEP(id, expr)                                                                      \
	HB_INLINE void id##_body(const float *x, int64_t n, double *acc, const float *shift)    \
	{                                                                                       \
		int64_t i = 0;                                                                  \
		(void)shift;                                                                    \
		for (; i + HB_LANES <= n; i += HB_LANES)                                        \
			for (int j = 0; j < HB_LANES; j++) {                                    \
				const float f = x[i + j];                                       \
				const double v = (double)f, a = acc[j];                         \
				(void)v;                                                        \
				acc[j] = expr;                                                  \
			}                                                                       \
		for (int j = 0; j < n - i; j++) {                                               \
			const float f = x[i + j];                                               \
			const double v = (double)f, a = acc[j];                                 \
			(void)v;                                                                \
			acc[j] = expr;                                                          \
		}                                                                               \
	}                                                                                       \
	HB_KERNEL(id##_f32, id##_body, (const float *x, int64_t n, double *acc, const float *shift), (x, n, acc, shift))

F32_STEP(sum, a + v)
F32_STEP(prod, a * v)
F32_STEP(abs, a + (v < 0 ? -v : v))
F32_STEP(square, a + v * v)
F32_STEP(exp, a + (double)hb_expf(f - shift[j]))
F32_STEP(spread, a + (v - (double)shift[0]) * (v - (double)shift[0]))
F32_STEP(max, v > a || v != v ? v : a)
F32_STEP(min, v < a || v != v ? v : a)

static int64_t
add_wrapped(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t
times(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a * (uint64_t)b);
}

#define WIDE_STEP(id, expr)                                                                     \
	static void id##_wide(const int64_t *x, int64_t n, int64_t *acc)                        \
	{                                                                                       \
		for (int j = 0; j < n; j++) {                                                   \
			const int64_t v = x[j], a = acc[j];                                     \
			acc[j] = expr;                                                          \
		}                                                                               \
	}

WIDE_STEP(sum, add_wrapped(a, v))
WIDE_STEP(prod, times(a, v))
WIDE_STEP(abs, add_wrapped(a, v < 0 ? times(v, -1) : v))
WIDE_STEP(square, add_wrapped(a, times(v, v)))
WIDE_STEP(max, HB_MAX(a, v))
WIDE_STEP(min, HB_MIN(a, v))

/* ---- functions ---- */

struct red {
	void (*const *f32)(const float *x, int64_t n, double *acc, const float *shift);
	void (*wide)(const int64_t *x, int64_t n, int64_t *acc);
	double first;			/* of no elements */
	int64_t first_wide;
};

static const struct red reds[] = {
	[HB_RED_SUM] = { sum_f32, sum_wide, 0, 0 },
	[HB_RED_MEAN] = { sum_f32, sum_wide, 0, 0 },
	[HB_RED_MAX] = { max_f32, max_wide, -INFINITY, INT64_MIN },
	[HB_RED_MIN] = { min_f32, min_wide, INFINITY, INT64_MAX },
	[HB_RED_PROD] = { prod_f32, prod_wide, 1, 1 },
	[HB_RED_L1] = { abs_f32, abs_wide, 0, 0 },
	[HB_RED_L2] = { square_f32, square_wide, 0, 0 },
	[HB_RED_SUM_SQUARE] = { square_f32, square_wide, 0, 0 },
	[HB_RED_LOG_SUM] = { sum_f32, sum_wide, 0, 0 },
	[HB_RED_LOG_SUM_EXP] = { exp_f32, NULL, 0, 0 },
};

static double
joined(hb_reduce_fn fn, double a, double b)
{
	switch (fn) {
	case HB_RED_MAX:
		return b > a || b != b ? b : a;
	case HB_RED_MIN:
		return b < a || b != b ? b : a;
	case HB_RED_PROD:
		return a * b;
	default:
		return a + b;
	}
}

static int64_t
joined_wide(hb_reduce_fn fn, int64_t a, int64_t b)
{
	switch (fn) {
	case HB_RED_MAX:
		return HB_MAX(a, b);
	case HB_RED_MIN:
		return HB_MIN(a, b);
	case HB_RED_PROD:
		return times(a, b);
	default:
		return add_wrapped(a, b);
	}
}

static double
tree(hb_reduce_fn fn, double *acc)
{
	for (int w = HB_LANES / 2; w; w /= 2)
		for (int j = 0; j < w; j++)
			acc[j] = joined(fn, acc[j], acc[j + w]);
	return acc[0];
}

double
hb_sum(hb_isa isa, const float *x, int64_t n)
{
	double acc[HB_LANES] = { 0 };

	sum_f32[isa](x, n, acc, NULL);
	return tree(HB_RED_SUM, acc);
}

double
hb_sum_square(hb_isa isa, const float *x, int64_t n, float mean)
{
	double acc[HB_LANES] = { 0 };

	spread_f32[isa](x, n, acc, &mean);
	return tree(HB_RED_SUM, acc);
}

/* Sixteen running sums, then a tree. */
HB_INLINE void
dots_body(const float *x, const float *w, int64_t ldw, int64_t n, int64_t rows, const float *bias, float *y)
{
	for (int64_t r = 0; r < rows; r++, w += ldw) {
		float s[16] = { 0 };
		int64_t i = 0;
		for (; i + 16 <= n; i += 16)
			for (int j = 0; j < 16; j++)
				s[j] += x[i + j] * w[i + j];
		for (int j = 0; i < n; i++, j++)
			s[j] += x[i] * w[i];
		for (int k = 8; k; k /= 2)
			for (int j = 0; j < k; j++)
				s[j] += s[j + k];
		y[r] = s[0] + (bias ? bias[r] : 0.0f);
	}
}
HB_KERNEL(dots, dots_body,
	  (const float *x, const float *w, int64_t ldw, int64_t n, int64_t rows, const float *bias, float *y),
	  (x, w, ldw, n, rows, bias, y))

void
hb_dots(hb_isa isa, const float *x, const float *w, int64_t ldw, int64_t n, int64_t rows, const float *bias, float *y)
{
	dots[isa](x, w, ldw, n, rows, bias, y);
}

static double
log_of(double x)
{
	return x < 0 ? (double)NAN : hb_log64(x);
}

static float
finished(hb_reduce_fn fn, double v, int64_t count, float shift)
{
	switch (fn) {
	case HB_RED_MEAN:
		return (float)(v / (double)count);
	case HB_RED_L2:
		return (float)sqrt(v);
	case HB_RED_LOG_SUM:
		return (float)log_of(v);
	case HB_RED_LOG_SUM_EXP:
		return (float)((double)shift + log_of(v));
	default:
		return (float)v;
	}
}

static int64_t
finished_wide(hb_reduce_fn fn, int64_t v, int64_t count)
{
	float y;

	switch (fn) {
	case HB_RED_MEAN:
		return count ? v / count : 0;
	case HB_RED_L2:
		y = (float)sqrt((double)v);
		break;
	case HB_RED_LOG_SUM:
		y = (float)log_of((double)v);
		break;
	default:
		return v;
	}
	hb_float_store(HB_I64, &y, &v, 0, 1);
	return v;
}

/* ---- the walk ---- */

/* Dimensions alternate between kept and reduced after merging. One unit of work makes one
 * output where the last dimension is reduced, else up to HB_LANES neighbouring ones. */
struct reduction {
	hb_isa isa;
	hb_reduce_fn fn;
	const hb_val *x;
	void *y;
	hb_nd kept, reduced;		/* strides of x; of kept: y's too */
	int64_t inner;			/* elements that lie together: reduced where `by_row`, else kept */
	bool by_row;
	int64_t blocks;			/* units a run of kept elements */
	int64_t count;			/* elements reduced into one */
};

struct accumulator {
	const struct reduction *r;
	int64_t base, n;		/* from element `base` of x, n elements at a time */
	double acc[HB_LANES];
	int64_t wide[HB_LANES];
	float shift[HB_LANES];
	hb_reduce_fn fn;
};

static void
take(void *arg, const hb_nd *d, const int64_t *off, int64_t n, int worker)
{
	struct accumulator *a = arg;
	const struct reduction *r = a->r;
	const struct red *f = &reds[a->fn];
	int64_t stride = d->stride[0][d->rank - 1], v[HB_LANES];

	(void)worker;
	for (int64_t i = 0; i < n; i++) {
		int64_t from = a->base + off[0] + i * stride;
		if (r->x->dtype == HB_F32) {
			f->f32[r->isa]((const float *)r->x->data + from, a->n, a->acc, a->shift);
			continue;
		}
		for (int64_t k = 0; k < a->n; k += HB_LANES) {
			int64_t m = HB_MIN(HB_LANES, a->n - k);
			hb_wide_load(r->x->dtype, r->x->data, from + k, 1, m, v);
			if (r->x->dtype == HB_U64 && (a->fn == HB_RED_MAX || a->fn == HB_RED_MIN))
				for (int j = 0; j < m; j++)
					v[j] ^= INT64_MIN;	/* order as signed */
			f->wide(v, m, a->wide);
		}
	}
}

static void
accumulate(struct accumulator *a, hb_reduce_fn fn)
{
	a->fn = fn;
	for (int j = 0; j < HB_LANES; j++) {
		a->acc[j] = reds[fn].first;
		a->wide[j] = reds[fn].first_wide;
	}
	if (a->r->by_row && !a->n)
		return;
	hb_nd_walk(&a->r->reduced, take, a);
}

static void
write_float(const struct reduction *r, struct accumulator *a, int64_t out, int64_t n)
{
	float *y = (float *)r->y + out;

	if (r->fn == HB_RED_LOG_SUM_EXP) {
		accumulate(a, HB_RED_MAX);
		double most = r->by_row ? tree(HB_RED_MAX, a->acc) : 0;
		for (int j = 0; j < HB_LANES; j++) {
			double m = r->by_row ? most : a->acc[j];
			a->shift[j] = fabs(m) < (double)INFINITY ? (float)m : 0.0f;
		}
	}
	accumulate(a, r->fn);
	if (r->by_row) {
		y[0] = finished(r->fn, tree(r->fn, a->acc), r->count, a->shift[0]);
		return;
	}
	for (int64_t j = 0; j < n; j++)
		y[j] = finished(r->fn, a->acc[j], r->count, a->shift[j]);
}

static void
write_wide(const struct reduction *r, struct accumulator *a, int64_t out, int64_t n)
{
	bool order = r->fn == HB_RED_MAX || r->fn == HB_RED_MIN;
	hb_dtype dt = r->x->dtype;

	accumulate(a, r->fn);
	if (r->by_row)
		for (int w = HB_LANES / 2; w; w /= 2)
			for (int j = 0; j < w; j++)
				a->wide[j] = joined_wide(r->fn, a->wide[j], a->wide[j + w]);
	for (int64_t j = 0; j < n; j++) {
		a->wide[j] = finished_wide(r->fn, a->wide[j], r->count);
		if (order && dt == HB_U64)
			a->wide[j] ^= INT64_MIN;
		if (order && !r->count && dt != HB_I64 && dt != HB_U64) {
			/* Of nothing: the type's own limit. */
			int bits = dt == HB_BOOL ? 1 : 8 * (int)hb_dtype_size(dt);
			bool sign = dt == HB_I8 || dt == HB_I16 || dt == HB_I32;
			int64_t top = (INT64_C(1) << (bits - sign)) - 1;
			a->wide[j] = r->fn == HB_RED_MIN ? top : sign ? -top - 1 : 0;
		}
	}
	hb_wide_store(dt, a->wide, r->y, out, n);
}

static void
reduce_units(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct reduction *r = arg;
	struct accumulator a;
	hb_shape kept = { .rank = r->kept.rank };
	int64_t at[HB_MAX_RANK];

	(void)worker;
	memcpy(kept.dim, r->kept.dim, sizeof(kept.dim));
	memset(&a, 0, sizeof(a));
	a.r = r;
	for (int64_t u = begin; u < end; u++) {
		int64_t run = u / r->blocks, first = u % r->blocks * HB_LANES, out = 0, n = 1;
		hb_coords(&kept, run, at);
		a.base = 0;
		for (int i = 0; i < kept.rank; i++) {
			a.base += at[i] * r->kept.stride[0][i];
			out += at[i] * r->kept.stride[1][i];
		}
		a.n = r->inner;
		if (!r->by_row) {
			n = a.n = HB_MIN(HB_LANES, r->inner - first);
			a.base += first;
			out += first;
		}
		if (r->x->dtype == HB_F32)
			write_float(r, &a, out, n);
		else
			write_wide(r, &a, out, n);
	}
}

void
hb_reduce(hb_ctx *cx, hb_reduce_fn fn, const hb_val *x, unsigned axes, void *y)
{
	struct reduction r = { .isa = cx->isa, .fn = fn, .x = x, .y = y, .inner = 1, .blocks = 1, .count = 1 };
	int64_t ss[HB_MAX_RANK], ks[HB_MAX_RANK] = { 0 }, units = 1;
	const hb_shape *s = &x->shape;
	int last = s->rank;

	hb_strides(s, ss);
	for (int i = s->rank - 1; i >= 0; i--) {
		if (axes >> i & 1) {
			r.count *= s->dim[i];
		} else {
			ks[i] = units;
			units *= s->dim[i];
		}
	}
	if (!units)
		return;
	/* The last dimensions that are of one kind lie together. */
	while (last > 0 && s->dim[last - 1] == 1)
		last--;
	r.by_row = last > 0 && (axes >> (last - 1) & 1);
	while (last > 0 && (s->dim[last - 1] == 1 || (axes >> (last - 1) & 1) == r.by_row))
		r.inner *= s->dim[--last];
	for (int i = 0; i < last; i++) {
		hb_nd *d = axes >> i & 1 ? &r.reduced : &r.kept;
		d->dim[d->rank] = s->dim[i];
		d->stride[0][d->rank] = ss[i];
		d->stride[1][d->rank++] = ks[i];
	}
	r.kept.nops = 2;
	r.reduced.nops = 1;
	hb_nd_merge(&r.kept);
	hb_nd_merge(&r.reduced);
	if (!r.by_row) {
		r.blocks = hb_ceil_div(r.inner, HB_LANES);
		units = units / r.inner * r.blocks;
	}
	int64_t work = r.count * (r.by_row ? 1 : HB_MIN(r.inner, HB_LANES));
	hb_parallel(cx, units, HB_MAX(1, 16384 / HB_MAX(work, 1)), reduce_units, &r);
}

/* ---- Reduce* ---- */

static hb_status
shape_reduce(hb_graph *g, hb_node *n)
{
	const hb_shape *in = &n->in[0]->shape;
	int axes[HB_MAX_RANK], count;
	bool given, keep = hb_attr_i(n, "keepdims", 1) != 0;
	hb_shape s = { .rank = 0 };
	unsigned *mask = HB_AUX(g, n, unsigned);

	if (!mask)
		return hb_nomem(g->cx, n->name);
	HB_TRY(hb_axes(g, n, 1, in->rank, axes, &count, &given));
	*mask = 0;
	for (int i = 0; i < count; i++)
		*mask |= 1u << axes[i];
	if (!count && !hb_attr_i(n, "noop_with_empty_axes", 0))
		*mask = (1u << in->rank) - 1;
	for (int i = 0; i < in->rank; i++) {
		if (!(*mask >> i & 1))
			s.dim[s.rank++] = in->dim[i];
		else if (keep)
			s.dim[s.rank++] = 1;
	}
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

#define REDUCE(id, onnx, fn, input_since, mask)                                                 \
	static void run_##id(const hb_call *c)                                                  \
	{                                                                                       \
		hb_reduce(c->cx, fn, c->in[0], *(const unsigned *)c->n->aux, c->out[0]->data);  \
	}                                                                                       \
	static const hb_attr_row id##_rows[] = {                                                \
		{ "axes", HB_ATTR_INTS, false, 1, input_since - 1 }, { "keepdims", HB_ATTR_INT, false, 0, 0 }, \
		{ "noop_with_empty_axes", HB_ATTR_INT, false, input_since, 0 }, { 0 } };        \
	const hb_op hb_op_##id = {                                                              \
		.name = onnx, .since = 1, .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 1, \
		.attrs = id##_rows, .types = mask, .in_types = { 0, HB_BIT(HB_I64) },           \
		.shape = shape_reduce, .run = run_##id,

#define WITH(role_) .role = role_ };
#define FIXED(role_, convert_) .role = role_, .convert = convert_ };

REDUCE(reduce_sum, "ReduceSum", HB_RED_SUM, 13, HB_NUMBERS) FIXED(HB_ROLE_OWN, hb_to_fx_reduce_sum)
REDUCE(reduce_mean, "ReduceMean", HB_RED_MEAN, 18, HB_NUMBERS) FIXED(HB_ROLE_OWN, hb_to_fx_reduce_mean)
REDUCE(reduce_max, "ReduceMax", HB_RED_MAX, 18, HB_ANY) FIXED(HB_ROLE_PASS, hb_to_fx_reduce_max)
REDUCE(reduce_min, "ReduceMin", HB_RED_MIN, 18, HB_ANY) FIXED(HB_ROLE_PASS, hb_to_fx_reduce_min)
REDUCE(reduce_prod, "ReduceProd", HB_RED_PROD, 18, HB_NUMBERS) WITH(HB_ROLE_OWN)
REDUCE(reduce_l1, "ReduceL1", HB_RED_L1, 18, HB_NUMBERS) WITH(HB_ROLE_OWN)
REDUCE(reduce_l2, "ReduceL2", HB_RED_L2, 18, HB_NUMBERS) WITH(HB_ROLE_OWN)
REDUCE(reduce_sum_square, "ReduceSumSquare", HB_RED_SUM_SQUARE, 18, HB_NUMBERS) WITH(HB_ROLE_OWN)
REDUCE(reduce_log_sum, "ReduceLogSum", HB_RED_LOG_SUM, 18, HB_NUMBERS) WITH(HB_ROLE_OWN)
REDUCE(reduce_log_sum_exp, "ReduceLogSumExp", HB_RED_LOG_SUM_EXP, 18, HB_BIT(HB_F32)) WITH(HB_ROLE_OWN)

/* ---- ArgMax, ArgMin: the first of equal values, or the last; NaN is beyond everything ---- */

struct arg_call {
	const hb_val *x;
	int64_t *y;
	hb_split3 at;
	bool least, last;
};

enum { ARG_COLUMNS = 64 };

static void
arg_float(const struct arg_call *k, int64_t base, int64_t n, int64_t *y)
{
	const float *x = (const float *)k->x->data + base;
	float best[ARG_COLUMNS], sign = k->least ? -1.0f : 1.0f;

	for (int64_t j = 0; j < n; j++) {
		best[j] = x[j] * sign;
		y[j] = 0;
	}
	for (int64_t i = 1; i < k->at.axis; i++) {
		const float *row = x + i * k->at.inner;
		for (int64_t j = 0; j < n; j++) {
			float v = row[j] * sign;
			bool better = (k->last ? v >= best[j] : v > best[j]) || (v != v && (k->last || best[j] == best[j]));
			better = better && (v != v || best[j] == best[j]);
			best[j] = better ? v : best[j];
			y[j] = better ? i : y[j];
		}
	}
}

static void
arg_wide(const struct arg_call *k, int64_t base, int64_t n, int64_t *y)
{
	int64_t best[ARG_COLUMNS], v[ARG_COLUMNS];
	/* Flipped bits reverse the order; the top bit's makes unsigned order signed. */
	int64_t flip = (k->least ? -1 : 0) ^ (k->x->dtype == HB_U64 ? INT64_MIN : 0);

	for (int64_t i = 0; i < k->at.axis; i++) {
		hb_wide_load(k->x->dtype, k->x->data, base + i * k->at.inner, 1, n, v);
		for (int64_t j = 0; j < n; j++) {
			int64_t w = v[j] ^ flip;
			if (!i || w > best[j] || (k->last && w == best[j])) {
				best[j] = w;
				y[j] = i;
			}
		}
	}
}

static void
arg_units(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct arg_call *k = arg;
	int64_t blocks = hb_ceil_div(k->at.inner, ARG_COLUMNS);

	(void)worker;
	for (int64_t u = begin; u < end; u++) {
		int64_t outer = u / blocks, first = u % blocks * ARG_COLUMNS;
		int64_t n = HB_MIN(ARG_COLUMNS, k->at.inner - first);
		int64_t base = outer * k->at.axis * k->at.inner + first;
		int64_t *y = k->y + outer * k->at.inner + first;
		if (k->x->dtype == HB_F32)
			arg_float(k, base, n, y);
		else
			arg_wide(k, base, n, y);
	}
}

static void
run_arg(const hb_call *c, bool least)
{
	const hb_val *x = c->in[0];
	int64_t axis = hb_attr_i(c->n, "axis", 0);
	hb_split3 at = hb_split_at(&x->shape, (int)(axis + (axis < 0 ? x->shape.rank : 0)));
	struct arg_call k = { x, c->out[0]->data, at, least, hb_attr_i(c->n, "select_last_index", 0) != 0 };
	int64_t units = at.outer * hb_ceil_div(at.inner, ARG_COLUMNS);

	if (units)
		hb_parallel(c->cx, units, HB_MAX(1, 4096 / at.axis), arg_units, &k);
}

static void
run_arg_max(const hb_call *c)
{
	run_arg(c, false);
}

static void
run_arg_min(const hb_call *c)
{
	run_arg(c, true);
}

static hb_status
shape_arg(hb_graph *g, hb_node *n)
{
	const hb_shape *in = &n->in[0]->shape;
	hb_shape s = { .rank = 0 };
	bool keep = hb_attr_i(n, "keepdims", 1) != 0;
	int axis;

	HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", 0), in->rank, &axis));
	if (!in->dim[axis])
		return HB_BAD(g, n, "axis %d is empty", axis);
	for (int i = 0; i < in->rank; i++) {
		if (i != axis)
			s.dim[s.rank++] = in->dim[i];
		else if (keep)
			s.dim[s.rank++] = 1;
	}
	return hb_set_out(g, n, 0, HB_I64, &s);
}

static const hb_attr_row arg_rows[] = {
	{ "axis", HB_ATTR_INT, false, 0, 0 }, { "keepdims", HB_ATTR_INT, false, 0, 0 },
	{ "select_last_index", HB_ATTR_INT, false, 12, 0 }, { 0 } };

const hb_op hb_op_arg_max = {
	.name = "ArgMax", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = arg_rows, .types = HB_NUMBERS, .shape = shape_arg, .run = run_arg_max, .role = HB_ROLE_INDEX,
	.convert = hb_to_fx_arg_max, .floats = hb_floats_arg,
};

const hb_op hb_op_arg_min = {
	.name = "ArgMin", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = arg_rows, .types = HB_NUMBERS, .shape = shape_arg, .run = run_arg_min, .role = HB_ROLE_INDEX,
	.convert = hb_to_fx_arg_min, .floats = hb_floats_arg,
};

/* ---- Det: by elimination with row exchange, in double ---- */

static hb_status
shape_det(hb_graph *g, hb_node *n)
{
	hb_shape s = n->in[0]->shape;

	if (s.rank < 2 || s.dim[s.rank - 1] != s.dim[s.rank - 2])
		return HB_BAD(g, n, "input must have rank 2 or more and square matrices");
	s.rank -= 2;
	return hb_set_out(g, n, 0, HB_F32, &s);
}

static size_t
scratch_det(const hb_node *n, int jobs)
{
	const hb_shape *s = &n->in[0]->shape;
	int64_t m = s->dim[s->rank - 1];

	(void)jobs;
	return (size_t)(m * m) * sizeof(double);
}

static double
determinant(double *a, int64_t m)
{
	double det = 1;

	for (int64_t k = 0; k < m; k++) {
		int64_t p = k;
		for (int64_t r = k + 1; r < m; r++)
			if (fabs(a[r * m + k]) > fabs(a[p * m + k]))
				p = r;
		double pivot = a[p * m + k];
		det *= p == k ? pivot : -pivot;
		if (pivot == 0)
			return 0;
		for (int64_t j = k; j < m; j++) {
			double t = a[p * m + j];
			a[p * m + j] = a[k * m + j];
			a[k * m + j] = t;
		}
		for (int64_t r = k + 1; r < m; r++) {
			double f = a[r * m + k] / pivot;
			for (int64_t j = k; j < m; j++)
				a[r * m + j] -= f * a[k * m + j];
		}
	}
	return det;
}

static void
run_det(const hb_call *c)
{
	const hb_val *x = c->in[0];
	int64_t m = x->shape.dim[x->shape.rank - 1];
	double *a = c->scratch;

	for (int64_t i = 0, n = hb_val_elems(c->out[0]); i < n; i++) {
		for (int64_t k = 0; k < m * m; k++)
			a[k] = (double)((const float *)x->data)[i * m * m + k];
		((float *)c->out[0]->data)[i] = (float)determinant(a, m);
	}
}

const hb_op hb_op_det = {
	.name = "Det", .since = 11, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.types = HB_BIT(HB_F32), .shape = shape_det, .scratch = scratch_det, .run = run_det,
};
