/* signal.c: windows, mel weights, discrete Fourier transforms. */
#include "ops/nd.h"

#include "lib/base/fmath.h"

#define FLOATS HB_BIT(HB_F32)
#define INDICES (HB_BIT(HB_I32) | HB_BIT(HB_I64))

/* e^(2 pi i k / n) for 0 <= k < n: sin and cos of what a whole number of quarters leaves. */
static void
turn(int64_t k, int64_t n, double *re, double *im)
{
	int64_t quarter = (8 * k + n) / (2 * n);
	double r = (double)(4 * k - quarter * n) * 1.57079632679489661923 / (double)n, z = r * r;
	double s = 1.0 / 6227020800, c = -1.0 / 87178291200;
	s = s * z - 1.0 / 39916800;
	s = s * z + 1.0 / 362880;
	s = s * z - 1.0 / 5040;
	s = s * z + 1.0 / 120;
	s = s * z - 1.0 / 6;
	s = r + r * z * s;
	c = c * z + 1.0 / 479001600;
	c = c * z - 1.0 / 3628800;
	c = c * z + 1.0 / 40320;
	c = c * z - 1.0 / 720;
	c = c * z + 1.0 / 24;
	c = c * z - 0.5;
	c = 1.0 + z * c;
	double x = quarter & 1 ? s : c, y = quarter & 1 ? c : s;
	*re = (quarter + 1) & 2 ? -x : x;
	*im = quarter & 2 ? -y : y;
}

static hb_status
typed_output(hb_graph *g, hb_node *n, const hb_shape *s)
{
	int64_t type = hb_attr_i(n, "output_datatype", 1);
	hb_dtype dt = hb_onnx_dtype(type);

	if (dt == HB_NONE || dt == HB_BOOL)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "type", "output_datatype %lld is not supported", (long long)type);
	return hb_set_out(g, n, 0, dt, s);
}

/* ---- windows: a0 - a1 cos(2 pi k / n) + a2 cos(4 pi k / n) ---- */

static hb_status
shape_window(hb_graph *g, hb_node *n)
{
	int64_t size = 0;

	HB_TRY(hb_const_int(g, n, 0, "size", &size));
	if (size < 0 || size >= INT64_C(1) << 47)
		return HB_BAD(g, n, "size is %lld", (long long)size);
	return typed_output(g, n, &(hb_shape){ 1, { size } });
}

static void
window(const hb_call *c, double a0, double a1, double a2)
{
	const hb_val *y = c->out[0];
	int64_t size = y->shape.dim[0], period = hb_attr_i(c->n, "periodic", 1) ? size : size - 1;

	for (int64_t k = 0; k < size; k++) {
		double once = NAN, twice = NAN, im;
		if (period) {
			turn(k % period, period, &once, &im);
			turn(2 * k % period, period, &twice, &im);
		}
		float v = (float)(a0 - a1 * once + a2 * (a2 ? twice : 0));
		hb_float_store(y->dtype, &v, y->data, k, 1);
	}
}

static void
run_hann(const hb_call *c)
{
	window(c, 0.5, 0.5, 0);
}

static void
run_hamming(const hb_call *c)
{
	window(c, 25.0 / 46, 21.0 / 46, 0);
}

static void
run_blackman(const hb_call *c)
{
	window(c, 0.42, 0.5, 0.08);
}

static const hb_attr_row window_rows[] = {
	{ "output_datatype", HB_ATTR_INT, false, 0, 0 }, { "periodic", HB_ATTR_INT, false, 0, 0 }, { 0 } };

#define WINDOW(c_name, onnx, kernel) \
	const hb_op hb_op_##c_name = { \
		.name = onnx, .since = 17, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, \
		.attrs = window_rows, .types = INDICES, .shape = shape_window, .run = kernel, \
	};
WINDOW(hann_window, "HannWindow", run_hann)
WINDOW(hamming_window, "HammingWindow", run_hamming)
WINDOW(blackman_window, "BlackmanWindow", run_blackman)

/* ---- MelWeightMatrix: triangles over the bins of a spectrum, evenly spaced in mel ---- */

struct mel {
	int64_t length, rate;
	double low, high;		/* Hz */
};

static hb_status
shape_mel(hb_graph *g, hb_node *n)
{
	struct mel *m = HB_AUX(g, n, struct mel);
	int64_t bins = 0;

	if (!m)
		return hb_nomem(g->cx, n->name);
	HB_TRY(hb_const_int(g, n, 0, "num_mel_bins", &bins));
	HB_TRY(hb_const_int(g, n, 1, "dft_length", &m->length));
	HB_TRY(hb_const_int(g, n, 2, "sample_rate", &m->rate));
	HB_TRY(hb_const_real(g, n, 3, &m->low));
	HB_TRY(hb_const_real(g, n, 4, &m->high));
	if (bins < 1 || bins > 1 << 24 || m->length < 1 || m->length > 1 << 24 || m->rate < 1 || !(m->low >= 0) || !(m->high > m->low) ||
	    m->high > (double)m->rate)
		return HB_BAD(g, n, "num_mel_bins %lld, dft_length %lld, sample_rate %lld and edges %g to %g Hz do not go together", (long long)bins,
			      (long long)m->length, (long long)m->rate, m->low, m->high);
	return typed_output(g, n, &(hb_shape){ 2, { m->length / 2 + 1, bins } });
}

/* The spectrum's bin that begins below mel step i of `steps`. */
static int64_t
mel_bin(const struct mel *m, int64_t i, int64_t steps)
{
	const double ten = 2.30258509299404568402;	/* log 10 */
	double low = 2595 * hb_log64(1 + m->low / 700) / ten, high = 2595 * hb_log64(1 + m->high / 700) / ten;
	double at = low + (double)i * (high - low) / (double)steps;
	return (int64_t)floor((double)(m->length + 1) * 700 * (hb_exp64(at / 2595 * ten) - 1) / (double)m->rate);
}

static void
run_mel(const hb_call *c)
{
	const struct mel *m = c->n->aux;
	const hb_val *y = c->out[0];
	int64_t rows = y->shape.dim[0], bins = y->shape.dim[1];

	memset(y->data, 0, (size_t)(rows * bins) * hb_dtype_size(y->dtype));
	for (int64_t i = 0; i < bins; i++) {
		int64_t low = mel_bin(m, i, bins + 2), mid = mel_bin(m, i + 1, bins + 2), high = mel_bin(m, i + 2, bins + 2);
		for (int64_t j = low; j <= high && j < rows; j++) {
			float v = j <= mid ? (mid == low ? 1 : (float)(j - low) / (float)(mid - low)) : 0;
			if (j >= mid && high > mid)
				v = (float)(high - j) / (float)(high - mid);
			hb_float_store(y->dtype, &v, y->data, j * bins + i, 1);
		}
	}
}

static const hb_attr_row mel_rows[] = { { "output_datatype", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_mel_weight_matrix = {
	.name = "MelWeightMatrix", .since = 17, .min_in = 5, .max_in = 5, .min_out = 1, .max_out = 1, .attrs = mel_rows,
	.in_types = { INDICES, INDICES, INDICES, FLOATS, FLOATS }, .shape = shape_mel, .run = run_mel,
};

/* ---- transforms ---- */

enum {
	MAX_LENGTH = 1 << 24,
	MAX_PARTS = 64,			/* into which a transform is divided at once */
	MAX_WHOLE = 8192,		/* points of one that is not: its time grows with their square */
};

/* Lines of a tensor: `parts` numbers a place, 1 real or 2 complex. */
struct transform {
	int64_t lines, n, bins;		/* n points each; bins of them are given back */
	int64_t have, step;		/* points that are there; numbers from one to the next */
	int parts;
	bool inverse;
	int64_t inner;			/* DFT: lines next to each other */
	int64_t frames, hop;		/* STFT: of each signal */
};

/* The least prime factor of n, where it is at most MAX_PARTS; else n. */
static int64_t
division(int64_t n)
{
	for (int64_t p = 2; p <= MAX_PARTS && p < n; p++) {
		if (n % p == 0)
			return p;
	}
	return n;
}

/* Points of the transforms into which one of n points comes down. */
static int64_t
indivisible(int64_t n)
{
	for (int64_t p = division(n); p < n; p = division(n))
		n /= p;
	return n;
}

/* y: `parts` transforms of m points each, of every parts-th point; to the one of all. */
static void
join(int64_t stride, int64_t parts, int64_t m, const double *roots, double *y)
{
	double part[2 * MAX_PARTS];

	for (int64_t k = 0; k < m; k++) {
		for (int64_t r = 0; r < parts; r++) {
			const double *w = roots + 2 * r * k * stride, *v = y + 2 * (r * m + k);
			part[2 * r] = v[0] * w[0] - v[1] * w[1];
			part[2 * r + 1] = v[0] * w[1] + v[1] * w[0];
		}
		for (int64_t q = 0; q < parts; q++) {
			double *to = y + 2 * (q * m + k);
			to[0] = to[1] = 0;
			for (int64_t r = 0; r < parts; r++) {
				const double *w = roots + 2 * (r * q % parts) * m * stride, *v = part + 2 * r;
				to[0] += v[0] * w[0] - v[1] * w[1];
				to[1] += v[0] * w[1] + v[1] * w[0];
			}
		}
	}
}

/* x[0], x[stride], ... to y, both complex; in parts as long as n has small factors. roots: the n * stride-th of unity. */
static void
fourier(const double *x, int64_t stride, int64_t n, const double *roots, double *y)
{
	int64_t parts = division(n);
	if (parts < n) {
		int64_t m = n / parts;
		for (int64_t r = 0; r < parts; r++)
			fourier(x + 2 * r * stride, parts * stride, m, roots, y + 2 * r * m);
		join(stride, parts, m, roots, y);
		return;
	}
	for (int64_t k = 0; k < n; k++) {
		double re = 0, im = 0;
		for (int64_t t = 0, at = 0; t < n; t++, at = at + k < n ? at + k : at + k - n) {
			const double *w = roots + 2 * at * stride, *v = x + 2 * t * stride;
			re += v[0] * w[0] - v[1] * w[1];
			im += v[0] * w[1] + v[1] * w[0];
		}
		y[2 * k] = re;
		y[2 * k + 1] = im;
	}
}

static size_t
scratch_transform(const hb_node *n, int jobs)
{
	const struct transform *t = n->aux;

	return sizeof(double) * (size_t)(2 * t->n + jobs * 4 * t->n);
}

struct transform_call {
	const hb_call *c;
	const struct transform *t;
	const double *roots;
	double *room;			/* of each worker: a line and its transform */
	const float *window;
};

static void
lines(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct transform_call *k = arg;
	const struct transform *t = k->t;
	const float *x = k->c->in[0]->data;
	double *from = k->room + worker * 4 * t->n, *to = from + 2 * t->n, scale = t->inverse ? 1.0 / (double)t->n : 1.0;
	float *y = k->c->out[0]->data;

	for (int64_t l = begin; l < end; l++) {
		bool framed = t->frames > 0;
		int64_t length = t->have, at = framed ? l / t->frames * length + l % t->frames * t->hop : l / t->inner * length * t->inner + l % t->inner;
		int64_t out = framed ? l * t->bins : l / t->inner * t->bins * t->inner + l % t->inner;
		for (int64_t i = 0; i < t->n; i++) {
			bool there = framed || i < length;
			const float *v = x + (at + i * t->step) * t->parts;
			double w = k->window ? (double)k->window[i] : 1.0;
			from[2 * i] = there ? (double)v[0] * w : 0;
			from[2 * i + 1] = there && t->parts == 2 ? (double)v[1] * w : 0;
		}
		fourier(from, 1, t->n, k->roots, to);
		for (int64_t i = 0; i < t->bins; i++) {
			y[(out + i * t->step) * 2] = (float)(to[2 * i] * scale);
			y[(out + i * t->step) * 2 + 1] = (float)(to[2 * i + 1] * scale);
		}
	}
}

static void
run_transform(const hb_call *c)
{
	const struct transform *t = c->n->aux;
	double *roots = c->scratch;
	const hb_val *w = t->frames ? hb_call_in(c, 2) : NULL;
	struct transform_call k = { .c = c, .t = t, .roots = roots, .room = roots + 2 * t->n, .window = w ? w->data : NULL };

	for (int64_t i = 0; i < t->n; i++) {
		turn(i, t->n, &roots[2 * i], &roots[2 * i + 1]);
		roots[2 * i + 1] *= t->inverse ? 1 : -1;
	}
	if (t->lines)
		hb_parallel(c->cx, t->lines, HB_MAX(1, 4096 / t->n), lines, &k);
}

static hb_status
check_length(hb_graph *g, hb_node *n, int64_t points)
{
	if (points < 1 || points > MAX_LENGTH)
		return HB_BAD(g, n, "transforms %lld points; 1 to %d are taken", (long long)points, MAX_LENGTH);
	if (indivisible(points) > MAX_WHOLE)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "dft", "transforms %lld points, with a factor of %lld; factors up to %d are taken",
			       (long long)points, (long long)indivisible(points), MAX_WHOLE);
	return HB_OK;
}

static hb_status
shape_dft(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape;
	struct transform *t = HB_AUX(g, n, struct transform);
	int64_t axis_at = hb_attr_i(n, "axis", n->version < 20 ? 1 : -2);
	bool onesided = hb_attr_i(n, "onesided", 0) != 0;
	int axis;

	if (!t)
		return hb_nomem(g->cx, n->name);
	if (x->rank < 2 || (x->dim[x->rank - 1] != 1 && x->dim[x->rank - 1] != 2))
		return HB_BAD(g, n, "input must end in a dimension of 1, real, or 2, complex");
	if (hb_in(n, 2))
		HB_TRY(hb_const_int(g, n, 2, "axis", &axis_at));
	HB_TRY(hb_axis(g, n, "axis", axis_at, x->rank, &axis));
	if (axis == x->rank - 1)
		return HB_BAD(g, n, "axis is the one of real and imaginary parts");
	t->n = t->have = x->dim[axis];
	if (hb_in(n, 1))
		HB_TRY(hb_const_int(g, n, 1, "dft_length", &t->n));
	t->inverse = hb_attr_i(n, "inverse", 0) != 0;
	HB_TRY(check_length(g, n, t->n));
	if (onesided && (t->inverse || x->dim[x->rank - 1] != 1))
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "dft", "is one-sided of %s; that is not supported", t->inverse ? "an inverse" : "complex input");
	t->bins = onesided ? t->n / 2 + 1 : t->n;
	t->parts = (int)x->dim[x->rank - 1];
	t->inner = t->step = hb_shape_span(x, axis + 1, x->rank - 1);
	t->lines = hb_shape_span(x, 0, axis) * t->inner;
	hb_shape y = *x;
	y.dim[axis] = t->bins;
	y.dim[x->rank - 1] = 2;
	return hb_set_out(g, n, 0, HB_F32, &y);
}

static const hb_attr_row dft_rows[] = {
	{ "axis", HB_ATTR_INT, false, 17, 19 }, { "inverse", HB_ATTR_INT, false, 0, 0 }, { "onesided", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_dft = {
	.name = "DFT", .since = 17, .min_in = 1, .max_in = 3, .min_out = 1, .max_out = 1, .attrs = dft_rows,
	.in_types = { FLOATS, INDICES, INDICES }, .shape = shape_dft, .scratch = scratch_transform, .run = run_transform,
};

static hb_status
shape_stft(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape;
	const hb_tensor *w = hb_in(n, 2);
	struct transform *t = HB_AUX(g, n, struct transform);

	if (!t)
		return hb_nomem(g->cx, n->name);
	if (x->rank < 2 || x->rank > 3 || (x->rank == 3 && x->dim[2] != 1 && x->dim[2] != 2))
		return HB_BAD(g, n, "signal must be batch x length x 1, real, or 2, complex");
	HB_TRY(hb_const_int(g, n, 1, "frame_step", &t->hop));
	t->n = w && w->shape.rank == 1 ? w->shape.dim[0] : 0;
	if (hb_in(n, 3))
		HB_TRY(hb_const_int(g, n, 3, "frame_length", &t->n));
	t->have = x->dim[1];
	t->parts = x->rank == 3 ? (int)x->dim[2] : 1;
	bool onesided = hb_attr_i(n, "onesided", 1) != 0 && t->parts == 1;
	if (t->hop < 1 || t->n < 1 || t->n > t->have || (w && (w->shape.rank != 1 || w->shape.dim[0] != t->n)))
		return HB_BAD(g, n, "frames of %lld points every %lld of %lld, or the window, do not go together", (long long)t->n, (long long)t->hop,
			      (long long)t->have);
	HB_TRY(check_length(g, n, t->n));
	t->frames = (t->have - t->n) / t->hop + 1;
	t->bins = onesided ? t->n / 2 + 1 : t->n;
	t->step = t->inner = 1;
	t->lines = x->dim[0] * t->frames;
	return hb_set_out(g, n, 0, HB_F32, &(hb_shape){ 4, { x->dim[0], t->frames, t->bins, 2 } });
}

static const hb_attr_row stft_rows[] = { { "onesided", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_stft = {
	.name = "STFT", .since = 17, .min_in = 2, .max_in = 4, .min_out = 1, .max_out = 1, .attrs = stft_rows,
	.in_types = { FLOATS, INDICES, FLOATS, INDICES }, .shape = shape_stft, .scratch = scratch_transform, .run = run_transform,
};
