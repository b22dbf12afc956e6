/* norm.c: operators that bring values to a common scale: Softmax and its family, normalizations. */
#include "ops/nd.h"
#include "ops/norm_old.h"
#include "ops/to_fx.h"

#include "lib/base/fmath.h"

#define FLOATS HB_BIT(HB_F32)

/* A scratch layout: `count` floats, rounded up to whole cache lines. */
static size_t
floats(int64_t count)
{
	return (size_t)hb_round_up(count * (int64_t)sizeof(float), 64);
}

static int
axis_of(const hb_node *n, int64_t dflt, int rank)
{
	int64_t axis = hb_attr_i(n, "axis", dflt);

	return (int)(axis + (axis < 0 ? rank : 0));
}

/* ---- Softmax, LogSoftmax, Hardmax ---- */

HB_INLINE void
exp_body(const float *x, float *y, int64_t n, float shift)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = hb_expf(x[i] - shift);
}
HB_KERNEL(exp_row, exp_body, (const float *x, float *y, int64_t n, float shift), (x, y, n, shift))

HB_INLINE void
divide_body(float *y, int64_t n, float by)
{
	for (int64_t i = 0; i < n; i++)
		y[i] /= by;
}
HB_KERNEL(divide_row, divide_body, (float *y, int64_t n, float by), (y, n, by))

/* y = a x + b */
HB_INLINE void
affine_body(const float *x, float *y, int64_t n, float a, float b)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = x[i] * a + b;
}
HB_KERNEL(affine_row, affine_body, (const float *x, float *y, int64_t n, float a, float b), (x, y, n, a, b))

HB_INLINE void
affine_each_body(const float *x, float *y, int64_t n, const float *a, const float *b)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = x[i] * a[i] + b[i];
}
HB_KERNEL(affine_each, affine_each_body, (const float *x, float *y, int64_t n, const float *a, const float *b),
	  (x, y, n, a, b))

/* Maximum; NaN where there is one. Sixteen running values, as in any order the result is the same. */
HB_INLINE void
most_body(const float *x, int64_t n, float *most)
{
	float m[16];
	int64_t i = 0;

	for (int j = 0; j < 16; j++)
		m[j] = -INFINITY;
	for (; i + 16 <= n; i += 16)
		for (int j = 0; j < 16; j++)
			m[j] = x[i + j] > m[j] || x[i + j] != x[i + j] ? x[i + j] : m[j];
	for (int j = 0; i < n; i++, j++)
		m[j] = x[i] > m[j] || x[i] != x[i] ? x[i] : m[j];
	for (int j = 1; j < 16; j++)
		m[0] = m[j] > m[0] || m[j] != m[j] ? m[j] : m[0];
	*most = m[0];
}
HB_KERNEL(most_of, most_body, (const float *x, int64_t n, float *most), (x, n, most))

enum { COLUMNS = 64 };

/* Up to COLUMNS columns of `axis` elements, `stride` apart. */
HB_INLINE void
columns_body(const float *x, float *y, int64_t axis, int64_t stride, int64_t n, bool logs)
{
	float most[COLUMNS], low[COLUMNS];
	double sum[COLUMNS];

	for (int64_t j = 0; j < n; j++) {
		most[j] = x[j];
		sum[j] = 0;
	}
	for (int64_t i = 1; i < axis; i++)
		for (int64_t j = 0; j < n; j++) {
			float v = x[i * stride + j];
			most[j] = v > most[j] || v != v ? v : most[j];
		}
	for (int64_t i = 0; i < axis; i++)
		for (int64_t j = 0; j < n; j++) {
			float e = hb_expf(x[i * stride + j] - most[j]);
			y[i * stride + j] = e;
			sum[j] += (double)e;
		}
	for (int64_t j = 0; j < n; j++)
		low[j] = logs ? (float)hb_log64(sum[j]) : (float)sum[j];
	for (int64_t i = 0; i < axis; i++)
		for (int64_t j = 0; j < n; j++)
			y[i * stride + j] = logs ? (x[i * stride + j] - most[j]) - low[j] : y[i * stride + j] / low[j];
}
HB_KERNEL(columns, columns_body, (const float *x, float *y, int64_t axis, int64_t stride, int64_t n, bool logs),
	  (x, y, axis, stride, n, logs))

enum soft { SOFTMAX, LOG_SOFTMAX, HARDMAX };

struct soft_call {
	hb_isa isa;
	enum soft fn;
	const float *x;
	float *y;
	hb_split3 at;
};

static void
soft_row(const struct soft_call *k, const float *x, float *y, int64_t n)
{
	float most;

	most_of[k->isa](x, n, &most);
	exp_row[k->isa](x, y, n, most);
	double sum = hb_sum(k->isa, y, n);
	if (k->fn == SOFTMAX) {
		divide_row[k->isa](y, n, (float)sum);
		return;
	}
	float low = (float)hb_log64(sum);
	for (int64_t i = 0; i < n; i++)
		y[i] = (x[i] - most) - low;
}

static void
hard_column(const float *x, float *y, int64_t axis, int64_t stride)
{
	int64_t best = 0;

	for (int64_t i = 0; i < axis; i++) {
		if (x[i * stride] > x[best * stride])
			best = i;
		y[i * stride] = 0;
	}
	y[best * stride] = 1;
}

static void
soft_units(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct soft_call *k = arg;
	int64_t blocks = hb_ceil_div(k->at.inner, COLUMNS);

	(void)worker;
	for (int64_t u = begin; u < end; u++) {
		int64_t first = u % blocks * COLUMNS, base = u / blocks * k->at.axis * k->at.inner + first;
		int64_t n = HB_MIN(COLUMNS, k->at.inner - first);
		if (k->fn == HARDMAX)
			for (int64_t j = 0; j < n; j++)
				hard_column(k->x + base + j, k->y + base + j, k->at.axis, k->at.inner);
		else if (k->at.inner == 1)
			soft_row(k, k->x + base, k->y + base, k->at.axis);
		else
			columns[k->isa](k->x + base, k->y + base, k->at.axis, k->at.inner, n, k->fn == LOG_SOFTMAX);
	}
}

static void
run_soft(const hb_call *c, enum soft fn)
{
	const hb_shape *s = &c->in[0]->shape;
	bool flat = c->n->version < 13;		/* one matrix, cut at axis */
	int axis = HB_MAX(0, axis_of(c->n, flat ? 1 : -1, s->rank));
	struct soft_call k = { c->cx->isa, fn, c->in[0]->data, c->out[0]->data, { 1, 1, 1 } };

	if (!hb_shape_elems(s))
		return;
	if (flat)
		k.at = (hb_split3){ hb_shape_span(s, 0, axis), hb_shape_span(s, axis, s->rank), 1 };
	else if (s->rank)
		k.at = hb_split_at(s, axis);
	int64_t work = k.at.axis * HB_MIN(k.at.inner, COLUMNS);
	hb_parallel(c->cx, k.at.outer * hb_ceil_div(k.at.inner, COLUMNS), HB_MAX(1, 8192 / work), soft_units, &k);
}

static void
run_softmax(const hb_call *c)
{
	run_soft(c, SOFTMAX);
}

static void
run_log_softmax(const hb_call *c)
{
	run_soft(c, LOG_SOFTMAX);
}

static void
run_hardmax(const hb_call *c)
{
	run_soft(c, HARDMAX);
}

static hb_status
shape_soft(hb_graph *g, hb_node *n)
{
	int rank = n->in[0]->shape.rank, axis;
	int64_t given = hb_attr_i(n, "axis", n->version < 13 ? 1 : -1);

	/* A matrix may also be cut behind the last dimension. */
	if (!(n->version < 13 && given == rank) && (rank || given > 0 || given < -1))
		HB_TRY(hb_axis(g, n, "axis", given, rank, &axis));
	return hb_shape_same(g, n);
}

static const hb_attr_row axis_rows[] = { { "axis", HB_ATTR_INT, false, 0, 0 }, { 0 } };

#define SOFT(id, onnx, role_, convert_)                                                                   \
	const hb_op hb_op_##id = {                                                              \
		.name = onnx, .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, \
		.attrs = axis_rows, .types = FLOATS, .shape = shape_soft, .run = run_##id, .role = role_, \
		.convert = convert_,                                                            \
	};

SOFT(softmax, "Softmax", HB_ROLE_OWN, hb_to_fx_softmax)
SOFT(log_softmax, "LogSoftmax", HB_ROLE_OWN, NULL)
SOFT(hardmax, "Hardmax", HB_ROLE_NONE, NULL)

/* ---- BatchNormalization: y = (x - mean) scale / sqrt(var + epsilon) + B ---- */

static bool
trains(const hb_node *n)
{
	return n->version >= 14 && hb_attr_i(n, "training_mode", 0);
}

static int64_t
channels_of(const hb_shape *s)
{
	return s->rank > 1 ? s->dim[1] : 1;
}

static hb_status
shape_batch_norm(hb_graph *g, hb_node *n)
{
	static const char *const names[] = { "", "scale", "B", "mean", "var" };
	const hb_shape *in = &n->in[0]->shape;
	hb_shape s = { 1, { channels_of(in) } };
	char text[HB_SHAPE_TEXT];

	if (in->rank < 1)
		return HB_BAD(g, n, "input is a scalar; rank 1 and more is taken");
	if (hb_batch_norm_by_element(n)) {
		s.rank = in->rank - 1;
		memcpy(s.dim, in->dim + 1, (size_t)s.rank * sizeof(s.dim[0]));
	}
	for (int i = 1; i < 5; i++)
		if (!hb_shape_eq(&n->in[i]->shape, &s))
			return HB_BAD(g, n, "%s is %s; one value for each of %lld %s is taken", names[i], hb_shape_text(&n->in[i]->shape, text),
				      (long long)hb_shape_elems(&s), s.rank > 1 ? "elements of a sample" : "channels");
	if (n->version >= 14 && n->nout > 1 && !trains(n))
		return HB_BAD(g, n, "has %d outputs; 1 is taken where training_mode is 0", n->nout);
	HB_TRY(hb_shape_same(g, n));
	for (int i = 1; i < n->nout; i++)
		HB_TRY(hb_set_out(g, n, i, HB_F32, &s));
	return HB_OK;
}

static size_t
scratch_batch_norm(const hb_node *n, int jobs)
{
	(void)jobs;
	return 2 * floats(channels_of(&n->in[0]->shape));
}

struct affine_call {
	hb_isa isa;
	const float *x, *a, *b;
	float *y;
	int64_t channels, inner;
};

/* A row is the plane of one channel, or all channels where planes are single elements. */
static void
affine_rows(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct affine_call *k = arg;

	(void)worker;
	for (int64_t r = begin; r < end; r++) {
		if (k->inner == 1) {
			affine_each[k->isa](k->x + r * k->channels, k->y + r * k->channels, k->channels, k->a, k->b);
			continue;
		}
		int64_t ch = r % k->channels;
		affine_row[k->isa](k->x + r * k->inner, k->y + r * k->inner, k->inner, k->a[ch], k->b[ch]);
	}
}

/* Mean and variance over all but the channels, into mean and var. */
static void
batch_moments(const hb_call *c, float *mean, float *var)
{
	const hb_val *x = c->in[0];
	const float *p = x->data;
	int64_t ch = channels_of(&x->shape), inner = hb_shape_span(&x->shape, HB_MIN(2, x->shape.rank), x->shape.rank);
	int64_t batch = x->shape.dim[0];
	double count = (double)(batch * inner);

	for (int64_t k = 0; k < ch; k++) {
		double sum = 0, square = 0;
		for (int64_t b = 0; b < batch; b++)
			sum += hb_sum(c->cx->isa, p + (b * ch + k) * inner, inner);
		mean[k] = (float)(sum / count);
		for (int64_t b = 0; b < batch; b++)
			square += hb_sum_square(c->cx->isa, p + (b * ch + k) * inner, inner, mean[k]);
		var[k] = (float)(square / count);
	}
}

static void
run_batch_norm(const hb_call *c)
{
	const hb_val *x = c->in[0];
	const float *scale = c->in[1]->data, *bias = c->in[2]->data, *mean = c->in[3]->data, *var = c->in[4]->data;
	int64_t ch = channels_of(&x->shape), inner = hb_shape_span(&x->shape, HB_MIN(2, x->shape.rank), x->shape.rank);
	float *a = c->scratch, *b = (float *)(void *)((char *)c->scratch + floats(ch));
	double eps = (double)hb_attr_f(c->n, "epsilon", 1e-5f);

	if (trains(c->n)) {
		float keep = hb_attr_f(c->n, "momentum", 0.9f);
		batch_moments(c, a, b);
		for (int i = 1; i < c->n->nout && i < 3; i++) {
			const float *was = i == 1 ? mean : var, *now = i == 1 ? a : b;
			for (int64_t k = 0; c->out[i] && k < ch; k++)
				((float *)c->out[i]->data)[k] = was[k] * keep + now[k] * (1.0f - keep);
		}
		mean = a;
		var = b;
	} else {
		for (int i = 1; i < c->n->nout; i++)
			if (c->out[i])
				memcpy(c->out[i]->data, i % 2 ? mean : var, sizeof(float) * (size_t)ch);
	}
	for (int64_t k = 0; k < ch; k++) {
		double g = (double)scale[k] / sqrt((double)var[k] + eps), m = (double)mean[k];
		a[k] = (float)g;
		b[k] = (float)((double)bias[k] - m * g);
	}
	if (!hb_val_elems(x))
		return;
	struct affine_call k = { c->cx->isa, x->data, a, b, c->out[0]->data, ch, inner };
	int64_t rows = inner == 1 ? x->shape.dim[0] : x->shape.dim[0] * ch, width = inner == 1 ? ch : inner;
	hb_parallel(c->cx, rows, HB_MAX(1, 16384 / width), affine_rows, &k);
}

static const hb_attr_row batch_norm_rows[] = {
	{ "consumed_inputs", HB_ATTR_INTS, false, 1, 5 }, { "epsilon", HB_ATTR_FLOAT, false, 0, 0 },
	{ "is_test", HB_ATTR_INT, false, 1, 6 }, { "momentum", HB_ATTR_FLOAT, false, 0, 0 },
	{ "spatial", HB_ATTR_INT, false, 1, 8 }, { "training_mode", HB_ATTR_INT, false, 14, 0 }, { 0 } };

const hb_op hb_op_batch_norm = {
	.name = "BatchNormalization", .since = 1, .min_in = 5, .max_in = 5, .min_out = 1, .max_out = 5,
	.attrs = batch_norm_rows, .types = FLOATS, .shape = shape_batch_norm, .scratch = scratch_batch_norm,
	.run = run_batch_norm, .expand = hb_expand_batch_norm, .role = HB_ROLE_OWN, .convert = hb_to_fx_batch_norm, .floats = hb_floats_batch_norm,
};

/* ---- InstanceNormalization, GroupNormalization: statistics of a run of elements ---- */

struct group_call {
	hb_isa isa;
	const float *x, *scale, *bias;
	float *y;
	int64_t groups, channels, inner;	/* channels of a group, elements of a channel */
	double eps;
	bool by_group;				/* scale and bias are one a group */
};

static void
group_units(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct group_call *k = arg;
	int64_t n = k->channels * k->inner;

	(void)worker;
	for (int64_t u = begin; u < end; u++) {
		const float *x = k->x + u * n;
		float mean = (float)(hb_sum(k->isa, x, n) / (double)n);
		double inv = 1.0 / sqrt(hb_sum_square(k->isa, x, n, mean) / (double)n + k->eps);
		for (int64_t ch = 0; ch < k->channels; ch++) {
			int64_t at = u % k->groups * (k->by_group ? 1 : k->channels) + (k->by_group ? 0 : ch);
			double a = (double)k->scale[at] * inv;
			affine_row[k->isa](x + ch * k->inner, k->y + u * n + ch * k->inner, k->inner, (float)a,
					   (float)((double)k->bias[at] - (double)mean * a));
		}
	}
}

static void
run_groups(const hb_call *c, int64_t groups, bool by_group)
{
	const hb_val *x = c->in[0];
	int64_t ch = x->shape.dim[1], inner = hb_shape_span(&x->shape, 2, x->shape.rank);

	if (!hb_val_elems(x))
		return;
	struct group_call k = { c->cx->isa, x->data, c->in[1]->data, c->in[2]->data, c->out[0]->data,
				groups, ch / groups, inner, (double)hb_attr_f(c->n, "epsilon", 1e-5f), by_group };
	hb_parallel(c->cx, x->shape.dim[0] * groups, HB_MAX(1, 16384 / (k.channels * inner)), group_units, &k);
}

/* Both take scale and bias of `want` values. */
static hb_status
shape_groups(hb_graph *g, hb_node *n, int64_t want)
{
	hb_shape s = { 1, { want } };
	char text[HB_SHAPE_TEXT];

	for (int i = 1; i < 3; i++)
		if (!hb_shape_eq(&n->in[i]->shape, &s))
			return HB_BAD(g, n, "%s is %s; %lld values are taken", i == 1 ? "scale" : "bias",
				      hb_shape_text(&n->in[i]->shape, text), (long long)want);
	return hb_shape_same(g, n);
}

static hb_status
shape_instance_norm(hb_graph *g, hb_node *n)
{
	if (n->in[0]->shape.rank < 2)
		return HB_BAD(g, n, "input has rank %d; rank 2 and more is taken", n->in[0]->shape.rank);
	return shape_groups(g, n, n->in[0]->shape.dim[1]);
}

static void
run_instance_norm(const hb_call *c)
{
	run_groups(c, c->in[0]->shape.dim[1], false);
}

static const hb_attr_row instance_rows[] = {
	{ "consumed_inputs", HB_ATTR_INTS, false, 1, 5 }, { "epsilon", HB_ATTR_FLOAT, false, 0, 0 }, { 0 } };

const hb_op hb_op_instance_norm = {
	.name = "InstanceNormalization",
	.since = 1,
	.min_in = 3,
	.max_in = 3,
	.min_out = 1,
	.max_out = 1,
	.attrs = instance_rows,
	.types = FLOATS,
	.shape = shape_instance_norm,
	.run = run_instance_norm,
	.role = HB_ROLE_OWN,
};

static hb_status
shape_group_norm(hb_graph *g, hb_node *n)
{
	const hb_shape *in = &n->in[0]->shape;
	int64_t groups = hb_attr_i(n, "num_groups", 0);

	if (in->rank < 2)
		return HB_BAD(g, n, "input has rank %d; rank 2 and more is taken", in->rank);
	if (groups < 1 || in->dim[1] % groups)
		return HB_BAD(g, n, "%lld channels do not divide into %lld groups", (long long)in->dim[1],
			      (long long)groups);
	return shape_groups(g, n, n->version < 21 ? groups : in->dim[1]);
}

static void
run_group_norm(const hb_call *c)
{
	run_groups(c, hb_attr_i(c->n, "num_groups", 1), c->n->version < 21);
}

static const hb_attr_row group_rows[] = {
	{ "epsilon", HB_ATTR_FLOAT, false, 0, 0 }, { "num_groups", HB_ATTR_INT, true, 0, 0 },
	{ "stash_type", HB_ATTR_INT, false, 21, 0 }, { 0 } };

const hb_op hb_op_group_norm = {
	.name = "GroupNormalization", .since = 18, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = group_rows, .types = FLOATS, .shape = shape_group_norm, .run = run_group_norm, .role = HB_ROLE_OWN,
};

/* ---- LayerNormalization, RMSNormalization: over all dimensions from axis on ---- */

struct layer_call {
	hb_isa isa;
	const float *x, *scale, *bias;		/* bias NULL: none */
	float *y, *mean, *inv;			/* mean, inv NULL: not wanted */
	int64_t n;
	double eps;
	bool centred;
};

HB_INLINE void
layer_body(const float *x, float *y, int64_t n, float mean, float inv, const float *scale, const float *bias)
{
	if (bias)
		for (int64_t i = 0; i < n; i++)
			y[i] = (x[i] - mean) * inv * scale[i] + bias[i];
	else
		for (int64_t i = 0; i < n; i++)
			y[i] = (x[i] - mean) * inv * scale[i];
}
HB_KERNEL(layer_row, layer_body,
	  (const float *x, float *y, int64_t n, float mean, float inv, const float *scale, const float *bias),
	  (x, y, n, mean, inv, scale, bias))

static void
layer_units(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct layer_call *k = arg;

	(void)worker;
	for (int64_t u = begin; u < end; u++) {
		const float *x = k->x + u * k->n;
		float mean = k->centred ? (float)(hb_sum(k->isa, x, k->n) / (double)k->n) : 0.0f;
		float inv = (float)(1.0 / sqrt(hb_sum_square(k->isa, x, k->n, mean) / (double)k->n + k->eps));
		layer_row[k->isa](x, k->y + u * k->n, k->n, mean, inv, k->scale, k->bias);
		if (k->mean)
			k->mean[u] = mean;
		if (k->inv)
			k->inv[u] = inv;
	}
}

static hb_status
shape_layer_norm(hb_graph *g, hb_node *n)
{
	const hb_shape *in = &n->in[0]->shape;
	hb_shape part = { .rank = 0 }, s, stats = *in;
	char a[HB_SHAPE_TEXT], b[HB_SHAPE_TEXT];
	int axis;

	HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", -1), in->rank, &axis));
	for (int i = axis; i < in->rank; i++) {
		part.dim[part.rank++] = in->dim[i];
		stats.dim[i] = 1;
	}
	for (int i = 1; i < n->nin; i++)
		if (n->in[i] && (!hb_shape_broadcast(&part, &n->in[i]->shape, &s) || !hb_shape_eq(&part, &s)))
			return HB_BAD(g, n, "%s %s does not broadcast to %s", i == 1 ? "scale" : "bias",
				      hb_shape_text(&n->in[i]->shape, a), hb_shape_text(&part, b));
	HB_TRY(hb_set_out(g, n, 1, HB_F32, &stats));
	HB_TRY(hb_set_out(g, n, 2, HB_F32, &stats));
	return hb_shape_same(g, n);
}

static int64_t
layer_elems(const hb_node *n, const hb_shape *s)
{
	return hb_shape_span(s, axis_of(n, -1, s->rank), s->rank);
}

static size_t
scratch_layer_norm(const hb_node *n, int jobs)
{
	(void)jobs;
	return 2 * floats(layer_elems(n, &n->in[0]->shape));
}

/* Operand i broadcast to the normalized dimensions, in `to` where it is not so already. */
static const float *
layer_operand(const hb_call *c, int i, float *to)
{
	const hb_val *v = hb_call_in(c, i);
	const hb_shape *s = &c->in[0]->shape;
	int axis = axis_of(c->n, -1, s->rank);
	hb_shape part = { .rank = s->rank - axis };
	int64_t ds[HB_MAX_RANK];
	hb_nd d;

	if (!v || hb_val_elems(v) == layer_elems(c->n, s))
		return v ? v->data : NULL;
	memcpy(part.dim, s->dim + axis, sizeof(s->dim[0]) * (size_t)part.rank);
	hb_nd_init(&d, &part);
	hb_nd_add(&d, &v->shape);
	hb_strides(&part, ds);
	hb_move(c->cx, part.rank, part.dim, sizeof(float), to, ds, v->data, d.stride[0]);
	return to;
}

static void
layer_norm(const hb_call *c, bool centred)
{
	const hb_val *x = c->in[0], *mean = c->n->nout > 1 ? c->out[1] : NULL, *inv = c->n->nout > 2 ? c->out[2] : NULL;
	int64_t n = layer_elems(c->n, &x->shape);

	if (!hb_val_elems(x)) {		/* the mean of nothing */
		static const float none = NAN;
		for (int i = 1; i < c->n->nout; i++)
			if (c->out[i])
				hb_fill(c->out[i]->data, sizeof(none), &none, hb_val_elems(c->out[i]));
		return;
	}
	float *room = c->scratch;
	struct layer_call k = { c->cx->isa, x->data, layer_operand(c, 1, room),
				layer_operand(c, 2, room + floats(n) / sizeof(float)), c->out[0]->data,
				mean ? mean->data : NULL, inv ? inv->data : NULL, n,
				(double)hb_attr_f(c->n, "epsilon", 1e-5f), centred };
	hb_parallel(c->cx, hb_val_elems(x) / n, HB_MAX(1, 16384 / n), layer_units, &k);
}

static void
run_layer_norm(const hb_call *c)
{
	layer_norm(c, true);
}

static void
run_rms_norm(const hb_call *c)
{
	layer_norm(c, false);
}

static const hb_attr_row layer_rows[] = {
	{ "axis", HB_ATTR_INT, false, 0, 0 }, { "epsilon", HB_ATTR_FLOAT, false, 0, 0 },
	{ "stash_type", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_layer_norm = {
	.name = "LayerNormalization", .since = 17, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 3,
	.attrs = layer_rows, .types = FLOATS, .shape = shape_layer_norm, .scratch = scratch_layer_norm,
	.run = run_layer_norm, .role = HB_ROLE_OWN, .convert = hb_to_fx_layer_norm, .floats = hb_floats_layer_norm,
};

const hb_op hb_op_rms_norm = {
	.name = "RMSNormalization", .since = 23, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = layer_rows, .types = FLOATS, .shape = shape_layer_norm, .scratch = scratch_layer_norm,
	.run = run_rms_norm, .role = HB_ROLE_OWN, .convert = hb_to_fx_rms_norm, .floats = hb_floats_layer_norm,
};

/* ---- LRN: y = x / (bias + alpha / size * sum of x^2 over neighbouring channels)^beta ---- */

struct lrn_call {
	hb_isa isa;
	const float *x;
	float *y;
	int64_t channels, inner, size;
	float alpha, beta, bias;
};

/* COLUMNS columns at most of one channel, from the channels [lo, hi) around it. */
HB_INLINE void
lrn_body(const float *x, float *y, int64_t n, int64_t stride, int64_t lo, int64_t ch, int64_t hi, float a, float beta,
	 float bias)
{
	double sum[COLUMNS];

	for (int64_t j = 0; j < n; j++)
		sum[j] = 0;
	for (int64_t k = lo; k < hi; k++)
		for (int64_t j = 0; j < n; j++)
			sum[j] += (double)x[k * stride + j] * (double)x[k * stride + j];
	for (int64_t j = 0; j < n; j++)
		y[ch * stride + j] = x[ch * stride + j] / hb_powf(bias + a * (float)sum[j], beta);
}
HB_KERNEL(lrn_row, lrn_body,
	  (const float *x, float *y, int64_t n, int64_t stride, int64_t lo, int64_t ch, int64_t hi, float a, float beta,
	   float bias),
	  (x, y, n, stride, lo, ch, hi, a, beta, bias))

static void
lrn_units(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct lrn_call *k = arg;
	int64_t before = (k->size - 1) / 2, after = k->size - 1 - before;

	(void)worker;
	for (int64_t u = begin; u < end; u++) {
		int64_t ch = u % k->channels, base = u / k->channels * k->channels * k->inner;
		int64_t lo = HB_MAX(0, ch - before), hi = HB_MIN(k->channels, ch + after + 1);
		for (int64_t j = 0; j < k->inner; j += COLUMNS)
			lrn_row[k->isa](k->x + base + j, k->y + base + j, HB_MIN(COLUMNS, k->inner - j), k->inner, lo,
					ch, hi, k->alpha / (float)k->size, k->beta, k->bias);
	}
}

static hb_status
shape_lrn(hb_graph *g, hb_node *n)
{
	int64_t size = hb_attr_i(n, "size", 0);

	if (n->in[0]->shape.rank < 2)
		return HB_BAD(g, n, "input has rank %d; rank 2 and more is taken", n->in[0]->shape.rank);
	if (size < 1 || size > 1 << 24)
		return HB_BAD(g, n, "size is %lld; 1 to 2^24 is taken", (long long)size);
	return hb_shape_same(g, n);
}

static void
run_lrn(const hb_call *c)
{
	const hb_shape *s = &c->in[0]->shape;
	struct lrn_call k = { c->cx->isa, c->in[0]->data, c->out[0]->data, s->dim[1], hb_shape_span(s, 2, s->rank),
			      hb_attr_i(c->n, "size", 1), hb_attr_f(c->n, "alpha", 1e-4f),
			      hb_attr_f(c->n, "beta", 0.75f), hb_attr_f(c->n, "bias", 1.0f) };

	if (hb_shape_elems(s))
		hb_parallel(c->cx, s->dim[0] * s->dim[1], HB_MAX(1, 4096 / k.inner), lrn_units, &k);
}

static const hb_attr_row lrn_rows[] = {
	{ "alpha", HB_ATTR_FLOAT, false, 0, 0 }, { "beta", HB_ATTR_FLOAT, false, 0, 0 },
	{ "bias", HB_ATTR_FLOAT, false, 0, 0 }, { "size", HB_ATTR_INT, true, 0, 0 }, { 0 } };

const hb_op hb_op_lrn = {
	.name = "LRN", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = lrn_rows, .types = FLOATS, .shape = shape_lrn, .run = run_lrn, .role = HB_ROLE_OWN,
};

/* ---- LpNormalization: x over the 1-norm or 2-norm along axis; 0 where the norm is 0 ---- */

struct lp_call {
	const float *x, *norm;
	float *y;
	hb_split3 at;
};

static void
lp_rows(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct lp_call *k = arg;

	(void)worker;
	for (int64_t r = begin; r < end; r++) {
		const float *norm = k->norm + r / k->at.axis * k->at.inner;
		for (int64_t j = 0; j < k->at.inner; j++) {
			int64_t i = r * k->at.inner + j;
			k->y[i] = norm[j] == 0.0f ? 0.0f : k->x[i] / norm[j];
		}
	}
}

static hb_status
shape_lp(hb_graph *g, hb_node *n)
{
	int64_t p = hb_attr_i(n, "p", 2);
	int axis;

	if (p != 1 && p != 2)
		return HB_BAD(g, n, "p is %lld; 1 or 2 is taken", (long long)p);
	HB_TRY(hb_axis(g, n, "axis", hb_attr_i(n, "axis", -1), n->in[0]->shape.rank, &axis));
	return hb_shape_same(g, n);
}

static size_t
scratch_lp(const hb_node *n, int jobs)
{
	const hb_shape *s = &n->in[0]->shape;
	hb_split3 at = hb_split_at(s, axis_of(n, -1, s->rank));

	(void)jobs;
	return floats(at.outer * at.inner);
}

static void
run_lp(const hb_call *c)
{
	const hb_val *x = c->in[0];
	int axis = axis_of(c->n, -1, x->shape.rank);
	struct lp_call k = { x->data, c->scratch, c->out[0]->data, hb_split_at(&x->shape, axis) };

	if (!hb_val_elems(x))
		return;
	hb_reduce(c->cx, hb_attr_i(c->n, "p", 2) == 1 ? HB_RED_L1 : HB_RED_L2, x, 1u << axis, c->scratch);
	hb_parallel(c->cx, k.at.outer * k.at.axis, HB_MAX(1, 16384 / k.at.inner), lp_rows, &k);
}

static const hb_attr_row lp_rows_[] = { { "axis", HB_ATTR_INT, false, 0, 0 },
					{ "p", HB_ATTR_INT, false, 0, 0 },
					{ 0 } };

const hb_op hb_op_lp_norm = {
	.name = "LpNormalization", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = lp_rows_, .types = FLOATS, .shape = shape_lp, .scratch = scratch_lp, .run = run_lp,
};

/* ---- MeanVarianceNormalization: (x - mean) / (sqrt(mean of squares - mean^2) + 1e-9) ---- */

static hb_status
mvn_axes(hb_graph *g, hb_node *n, unsigned *mask)
{
	static const int64_t usual[] = { 0, 2, 3 };
	int rank = n->in[0]->shape.rank, a;
	size_t count;
	const int64_t *axes = hb_attr_ints(n, "axes", &count);

	if (!axes) {
		axes = usual;
		count = HB_LEN(usual);
	}
	*mask = 0;
	for (size_t i = 0; i < count; i++) {
		HB_TRY(hb_axis(g, n, "axes", axes[i], rank, &a));
		*mask |= 1u << a;
	}
	return HB_OK;
}

static hb_status
shape_mvn(hb_graph *g, hb_node *n)
{
	unsigned *mask = HB_AUX(g, n, unsigned);

	if (!mask)
		return hb_nomem(g->cx, n->name);
	HB_TRY(mvn_axes(g, n, mask));
	return hb_shape_same(g, n);
}

static int64_t
mvn_kept(const hb_node *n, const hb_shape *s)
{
	unsigned mask = *(const unsigned *)n->aux;
	int64_t kept = 1;

	for (int i = 0; i < s->rank; i++)
		kept *= mask >> i & 1 ? 1 : s->dim[i];
	return kept;
}

static size_t
scratch_mvn(const hb_node *n, int jobs)
{
	(void)jobs;
	return 2 * floats(mvn_kept(n, &n->in[0]->shape));
}

struct mvn_call {
	const float *x, *mean, *rms;
	float *y;
	bool spread;			/* y is x - mean; else x / rms */
};

static void
mvn_row(void *arg, const hb_nd *d, const int64_t *off, int64_t n, int worker)
{
	const struct mvn_call *k = arg;
	int64_t sm = d->stride[1][d->rank - 1];

	(void)worker;
	for (int64_t i = 0; i < n; i++) {
		if (k->spread)
			k->y[off[0] + i] = k->x[off[0] + i] - k->mean[off[1] + i * sm];
		else
			k->y[off[0] + i] /= k->rms[off[1] + i * sm] + 1e-9f;
	}
}

static void
run_mvn(const hb_call *c)
{
	const hb_val *x = c->in[0];
	unsigned mask = *(const unsigned *)c->n->aux;
	int64_t kept = mvn_kept(c->n, &x->shape);
	float *mean = c->scratch, *rms = mean + floats(kept) / sizeof(float);
	double count = kept ? (double)(hb_val_elems(x) / kept) : 1;
	struct mvn_call k = { x->data, mean, rms, c->out[0]->data, true };
	hb_shape s = x->shape;
	hb_nd d;

	if (!hb_val_elems(x))
		return;
	for (int i = 0; i < s.rank; i++)
		if (mask >> i & 1)
			s.dim[i] = 1;
	hb_nd_init(&d, &x->shape);
	hb_nd_add(&d, &x->shape);
	hb_nd_add(&d, &s);
	hb_nd_merge(&d);
	hb_reduce(c->cx, HB_RED_MEAN, x, mask, mean);
	hb_nd_run(c->cx, &d, mvn_row, &k);
	hb_reduce(c->cx, HB_RED_L2, c->out[0], mask, rms);
	for (int64_t i = 0; i < kept; i++)
		rms[i] = (float)((double)rms[i] / sqrt(count));
	k.spread = false;
	hb_nd_run(c->cx, &d, mvn_row, &k);
}

static const hb_attr_row mvn_rows[] = { { "axes", HB_ATTR_INTS, false, 0, 0 }, { 0 } };

const hb_op hb_op_mvn = {
	.name = "MeanVarianceNormalization",
	.since = 9,
	.min_in = 1,
	.max_in = 1,
	.min_out = 1,
	.max_out = 1,
	.attrs = mvn_rows,
	.types = FLOATS,
	.shape = shape_mvn,
	.scratch = scratch_mvn,
	.run = run_mvn,
	.role = HB_ROLE_OWN,
};
