/* random.c: RandomNormal, RandomUniform, their -Like forms, Bernoulli, Multinomial. Numbers are a function of the
 * seed and the element's place: a run repeats. Without a seed, the node's place in the file is one. */
#include "ops/nd.h"

#include "lib/base/fmath.h"

#define FLOATS HB_BIT(HB_F32)

/* Uniform in (0, 1), draw i of the node: splitmix64. */
static double
draw(const hb_node *n, uint64_t i)
{
	const hb_attr *a = hb_attr_find(n, "seed");
	uint64_t seed = a ? hb_bits32(a->f) : UINT64_C(1) << 32 | (uint64_t)(n->index + 1);
	uint64_t z = (seed + 1) * UINT64_C(0xd1342543de82ef95) + i * UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return ((double)((z ^ z >> 31) >> 11) + 0.5) * 0x1p-53;
}

static hb_status
typed(hb_graph *g, hb_node *n, hb_dtype dflt, const hb_shape *s)
{
	hb_dtype dt = hb_attr_find(n, "dtype") ? hb_onnx_dtype(hb_attr_i(n, "dtype", 0)) : dflt;

	if (dt == HB_NONE)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "type", "dtype %lld is not supported", (long long)hb_attr_i(n, "dtype", 0));
	return hb_set_out(g, n, 0, dt, s);
}

static hb_status
shape_said(hb_graph *g, hb_node *n)
{
	size_t count;
	const int64_t *dim = hb_attr_ints(n, "shape", &count);
	hb_shape s = { .rank = (int)HB_MIN(count, HB_MAX_RANK) };

	if (count > HB_MAX_RANK)
		return HB_BAD(g, n, "shape has rank %zu; up to %d is taken", count, HB_MAX_RANK);
	for (int i = 0; i < s.rank; i++) {
		if (dim[i] < 0)
			return HB_BAD(g, n, "shape has a dimension of %lld", (long long)dim[i]);
		s.dim[i] = dim[i];
	}
	return typed(g, n, HB_F32, &s);
}

static hb_status
shape_like(hb_graph *g, hb_node *n)
{
	hb_dtype dt = n->in[0]->dtype;

	return typed(g, n, dt, &n->in[0]->shape);
}

static void
run_uniform(const hb_call *c)
{
	const hb_val *y = c->out[0];
	double low = (double)hb_attr_f(c->n, "low", 0), high = (double)hb_attr_f(c->n, "high", 1);

	for (int64_t i = 0; i < hb_val_elems(y); i++) {
		float v = (float)(low + (high - low) * draw(c->n, (uint64_t)i));
		hb_float_store(y->dtype, &v, y->data, i, 1);
	}
}

/* By two draws (Box and Muller). */
static void
run_normal(const hb_call *c)
{
	const hb_val *y = c->out[0];
	double mean = (double)hb_attr_f(c->n, "mean", 0), scale = (double)hb_attr_f(c->n, "scale", 1);

	for (int64_t i = 0; i < hb_val_elems(y); i++) {
		double radius = sqrt(-2 * hb_log64(draw(c->n, 2 * (uint64_t)i)));
		double angle = (double)hb_cosf((float)(6.283185307179586 * draw(c->n, 2 * (uint64_t)i + 1)));
		float v = (float)(mean + scale * radius * angle);
		hb_float_store(y->dtype, &v, y->data, i, 1);
	}
}

/* 1 with the probability that the input says. */
static void
run_bernoulli(const hb_call *c)
{
	const hb_val *y = c->out[0];

	for (int64_t i = 0; i < hb_val_elems(y); i++) {
		float v = draw(c->n, (uint64_t)i) < (double)hb_val_f(c->in[0], i);
		hb_float_store(y->dtype, &v, y->data, i, 1);
	}
}

static hb_status
shape_multinomial(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape;
	int64_t count = hb_attr_i(n, "sample_size", 1), type = hb_attr_i(n, "dtype", 6);
	hb_dtype dt = hb_onnx_dtype(type);

	if (x->rank != 2 || x->dim[1] < 1)
		return HB_BAD(g, n, "input must be batch x classes");
	if (count < 1 || (dt != HB_I32 && dt != HB_I64))
		return HB_BAD(g, n, "sample_size is %lld and dtype %lld; a positive number and int32 or int64 are taken", (long long)count, (long long)type);
	return hb_set_out(g, n, 0, dt, &(hb_shape){ 2, { x->dim[0], count } });
}

/* Classes by logarithms of their probabilities, up to a constant. */
static void
run_multinomial(const hb_call *c)
{
	const hb_val *y = c->out[0];
	int64_t classes = c->in[0]->shape.dim[1], count = y->shape.dim[1];

	for (int64_t i = 0; i < hb_val_elems(y); i++) {
		const float *x = (const float *)c->in[0]->data + i / count * classes;
		float most = -INFINITY;
		double sum = 0, upto = 0;
		int64_t k = 0;
		for (int64_t j = 0; j < classes; j++)
			most = x[j] > most ? x[j] : most;
		for (int64_t j = 0; j < classes; j++)
			sum += hb_exp64((double)x[j] - (double)most);
		double at = draw(c->n, (uint64_t)i) * sum;
		for (; k < classes - 1; k++) {
			upto += hb_exp64((double)x[k] - (double)most);
			if (at < upto)
				break;
		}
		hb_wide_store(y->dtype, &k, y->data, i, 1);
	}
}

#define DTYPE { "dtype", HB_ATTR_INT, false, 0, 0 }, { "seed", HB_ATTR_FLOAT, false, 0, 0 }
#define NORMAL { "mean", HB_ATTR_FLOAT, false, 0, 0 }, { "scale", HB_ATTR_FLOAT, false, 0, 0 }
#define UNIFORM { "low", HB_ATTR_FLOAT, false, 0, 0 }, { "high", HB_ATTR_FLOAT, false, 0, 0 }
#define SHAPE { "shape", HB_ATTR_INTS, true, 0, 0 }

static const hb_attr_row normal_rows[] = { DTYPE, NORMAL, SHAPE, { 0 } };
static const hb_attr_row normal_like_rows[] = { DTYPE, NORMAL, { 0 } };
static const hb_attr_row uniform_rows[] = { DTYPE, UNIFORM, SHAPE, { 0 } };
static const hb_attr_row uniform_like_rows[] = { DTYPE, UNIFORM, { 0 } };
static const hb_attr_row bernoulli_rows[] = { DTYPE, { 0 } };
static const hb_attr_row multinomial_rows[] = { DTYPE, { "sample_size", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_random_normal = {
	.name = "RandomNormal", .since = 1, .min_in = 0, .max_in = 0, .min_out = 1, .max_out = 1,
	.attrs = normal_rows, .shape = shape_said, .run = run_normal,
};

const hb_op hb_op_random_normal_like = {
	.name = "RandomNormalLike", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = normal_like_rows, .shape = shape_like, .run = run_normal,
};

const hb_op hb_op_random_uniform = {
	.name = "RandomUniform", .since = 1, .min_in = 0, .max_in = 0, .min_out = 1, .max_out = 1,
	.attrs = uniform_rows, .shape = shape_said, .run = run_uniform,
};

const hb_op hb_op_random_uniform_like = {
	.name = "RandomUniformLike", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = uniform_like_rows, .shape = shape_like, .run = run_uniform,
};

const hb_op hb_op_bernoulli = {
	.name = "Bernoulli", .since = 15, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = bernoulli_rows, .types = FLOATS, .shape = shape_like, .run = run_bernoulli,
};

const hb_op hb_op_multinomial = {
	.name = "Multinomial", .since = 7, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = multinomial_rows, .types = FLOATS, .shape = shape_multinomial, .run = run_multinomial,
};
