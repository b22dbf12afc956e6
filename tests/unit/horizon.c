/* horizon: operators that read at computed places, and those of the domain "horizon". Each is held against a
 * reference written here in plain double loops from its definition: the float kernel to 1e-4 of the largest value, the
 * fixed-point graph, given the same integers, to 1 LSB of the reference quantized (SEMANTICS 5), and the machine to the
 * fixed-point graph, bit for bit and without hazards (laws 1, 4, 5). */
#include "tests/test.h"

#include <math.h>

#include "lib/pass/pass.h"
#include "lib/run/run.h"
#include "lib/sched/sched.h"

enum { MAX_ELEMS = 1 << 17, MAX_INPUTS = 6, MAX_OUTPUTS = 8 };

static uint32_t seed;

static int
pick(int n)
{
	seed = seed * 1664525u + 1013904223u;
	return (int)(seed >> 8) % n;
}

/* Uniform in [lo, hi], now and then an end. */
static float
real(double lo, double hi)
{
	int k = pick(40);

	return (float)(k == 0 ? lo : k == 1 ? hi : lo + (hi - lo) * pick(1 << 20) / (1 << 20));
}

/* ---- a case: one node, its inputs' values, and what it should give ---- */

typedef struct op_case op_case;
struct op_case {
	hb_graph *g;
	hb_node *n;
	void *in[MAX_INPUTS];		/* of the node's inputs that are graph inputs */
	double apart;			/* LSB that fixed point may differ by; 0: 1 */
	bool (*steady)(const op_case *c, const hb_val *in, int64_t i);	/* whether output i lies off such a jump; NULL: all do */
};

typedef void build_fn(op_case *c);
typedef double value_fn(const op_case *c, const hb_val *in, int64_t i);	/* output i, of the values at in */

static hb_node *
node_with(op_case *c, const char *domain, const char *op, int version, int nin, int nout)
{
	hb_node *n = hb_node_new(c->g, NULL, "y", domain, op, version, nin, nout);
	hb_source *s = HB_NEW(c->g->arena, hb_source);

	*s = (hb_source){ .name = n->name, .op_type = n->op_type, .now = n };
	n->sources = n->last_source = s;
	c->g->sources = c->g->last_source = s;
	for (int i = 0; i < nout; i++) {
		char name[16];
		snprintf(name, sizeof(name), "y%d", i);
		hb_node_set_out(n, i, hb_tensor_new(c->g, hb_arena_str(c->g->arena, name), HB_NONE, NULL));
	}
	return c->n = n;
}

static hb_node *
node_of(op_case *c, const char *domain, const char *op, int version, int nin)
{
	return node_with(c, domain, op, version, nin, 1);
}

/* A graph input with values in [lo, hi]. */
static float *
values(op_case *c, int k, hb_shape s, double lo, double hi)
{
	char name[16];

	snprintf(name, sizeof(name), "x%d", k);
	hb_node_set_in(c->g, c->n, k, test_input(c->g, hb_arena_str(c->g->arena, name), s));
	float *v = c->in[k] = hb_arena_alloc(c->g->arena, (size_t)hb_shape_elems(&s) * 4 + 64);
	for (int64_t i = 0; i < hb_shape_elems(&s); i++)
		v[i] = real(lo, hi);
	return v;
}

static void
text(op_case *c, const char *name, const char *v)
{
	assert_true(hb_attr_set_s(c->g, c->n, name, v));
}

static void
number(op_case *c, const char *name, int64_t v)
{
	assert_true(hb_attr_set_i(c->g, c->n, name, v));
}

static double
at(const hb_val *v, int64_t i)
{
	return (double)((const float *)v->data)[i];
}

/* ---- running a case ---- */

static hb_status
feed(void *arg, int64_t k, hb_val *in, bool *more)
{
	const op_case *c = arg;
	int at_input = 0;

	*more = k < 1;
	for (int i = 0; *more && i < c->n->nin; i++)
		if (c->in[i]) {
			memcpy(in[at_input].data, c->in[i], (size_t)hb_shape_elems(&in[at_input].shape) * hb_dtype_size(in[at_input].dtype));
			at_input++;
		}
	return HB_OK;
}

static void
run(const op_case *c, hb_graph *g, hb_val *out)
{
	hb_val in[MAX_INPUTS];
	hb_status st;
	hb_exec *ex = hb_exec_new(g, &st);
	int k = 0;

	assert_non_null(ex);
	for (int i = 0; i < c->n->nin; i++)
		if (c->in[i]) {
			in[k] = (hb_val){ g->inputs[k]->dtype, g->inputs[k]->shape, c->in[i] };
			k++;
		}
	hb_val got[MAX_OUTPUTS];
	assert_int_equal(hb_exec_run(ex, in, got, NULL, NULL), HB_OK);
	for (size_t i = 0; i < g->noutputs; i++) {
		size_t bytes = (size_t)hb_shape_elems(&got[i].shape) * hb_dtype_size(got[i].dtype);
		out[i] = (hb_val){ got[i].dtype, got[i].shape, hb_arena_dup(g->arena, got[i].data, bytes) };
	}
	hb_exec_free(ex);
}

/* The node's inputs as the fixed-point graph has them: rounded to their scales. */
static void
inputs_of(const op_case *c, bool quantized, hb_val *in)
{
	for (int i = 0; i < c->n->nin; i++) {
		const hb_tensor *t = c->n->in[i];
		if (!t)
			continue;
		const void *v = c->in[i] ? c->in[i] : hb_tensor_data(c->g, c->n->in[i]);
		in[i] = (hb_val){ t->dtype, t->shape, (void *)(uintptr_t)v };
		if (!quantized || t->dtype != HB_F32)
			continue;
		int64_t count = hb_tensor_elems(t);
		in[i].data = hb_arena_alloc(c->g->arena, (size_t)count * 4 + 64);
		hb_fake_quant_n(c->g->cx, v, t->q.scale, t->q.dtype, HB_HALF_EVEN, in[i].data, count);
	}
}

static void
assert_machine(const op_case *c, hb_graph *fixed, const hb_march *m, int level)
{
	hb_sched_options so = { .level = level };
	hb_ctx *cx = c->g->cx;
	hb_program *p;
	hb_hazard h[4];
	size_t nh;
	hb_val in[MAX_INPUTS], out[MAX_OUTPUTS], want[MAX_OUTPUTS];
	int k = 0;

	assert_int_equal(hb_schedule(fixed, m, &so, &p), HB_OK);
	assert_int_equal(hb_hazards(cx, p, h, HB_LEN(h), &nh), HB_OK);
	assert_int_equal(nh, 0);
	hb_sim_options o = { .tags = true, .seed = seed };
	hb_sim *sim;
	for (int i = 0; i < c->n->nin; i++)
		if (c->in[i]) {
			in[k] = (hb_val){ fixed->inputs[k]->dtype, fixed->inputs[k]->shape, c->in[i] };
			k++;
		}
	assert_int_equal(hb_sim_new(cx, p, &m->fig, &o, &sim), HB_OK);
	assert_int_equal(hb_sim_run(sim, in, out), HB_OK);
	run(c, fixed, want);
	for (size_t i = 0; i < fixed->noutputs; i++)
		assert_memory_equal(out[i].data, want[i].data, (size_t)hb_shape_elems(&want[i].shape) * hb_dtype_size(want[i].dtype));
	hb_sim_stats stats;
	hb_estimate e;
	hb_sim_stats_get(sim, &stats);
	assert_int_equal(hb_estimate_run(cx, p, &m->fig, cx->arena, NULL, NULL, &e), HB_OK);
	assert_int_equal(stats.loaded, e.loaded);
	assert_int_equal(stats.stored, e.stored);
	hb_sim_free(sim);
}

static double worst_apart;

static void
one_case(const char *name, build_fn *build, value_fn *value, hb_dtype dt, uint32_t s)
{
	test_log log = { .count = 0 };
	hb_ctx *cx = test_ctx(&log, 1 + (int)(s & 1));
	op_case c = { .g = hb_graph_new(cx) };
	hb_val in[MAX_INPUTS], out[MAX_OUTPUTS];
	hb_march m = *hb_march_find("bayes");
	hb_graph *fixed = NULL;
	double largest = 1e-6;

	seed = s;
	build(&c);
	test_output(c.g, c.n->out[0]);
	if (hb_pass_shapes(c.g, false) != HB_OK)
		fail_msg("%s, seed %u: %s", name, s, log.text);
	int64_t count = hb_tensor_elems(c.n->out[0]);
	assert_true(count <= MAX_ELEMS);

	inputs_of(&c, false, in);
	run(&c, c.g, out);
	double *want = hb_arena_alloc(c.g->arena, (size_t)count * sizeof(double) + 64);
	for (int64_t i = 0; i < count; i++) {
		want[i] = value(&c, in, i);
		largest = fmax(largest, fabs(want[i]));
	}
	for (int64_t i = 0; i < count; i++)
		if ((!c.steady || c.steady(&c, in, i)) && fabs(at(&out[0], i) - want[i]) > 1e-4 * largest)
			fail_msg("%s, seed %u: float output %lld is %g; its definition gives %g", name, s, (long long)i, at(&out[0], i), want[i]);

	if (c.n->op->floats && c.n->op->floats(c.n))
		fail_msg("%s, seed %u: %s", name, s, c.n->op->floats(c.n));
	c.n->on = HB_ON_BPU;
	hb_calib_options co = { .activations = { .dtype = dt, .observer = { .kind = HB_OBS_MINMAX } }, .low_precision_output = true, .sample = feed, .arg = &c };
	if (hb_pass_calibrate(c.g, &co) != HB_OK || hb_pass_convert(c.g, HB_HALF_EVEN, &fixed) != HB_OK)
		fail_msg("%s, seed %u: %s", name, s, log.text);
	run(&c, fixed, out);
	inputs_of(&c, true, in);
	const hb_q *q = &c.n->out[0]->q;
	for (int64_t i = 0; i < count; i++) {
		if (c.steady && !c.steady(&c, in, i))
			continue;
		double ref = rint(fmin(fmax(value(&c, in, i) / q->scale, hb_qmin(q->dtype)), hb_qmax(q->dtype)));
		double got = rint(at(&out[0], i) / q->scale);
		worst_apart = fmax(worst_apart, fabs(got - ref));
		if (fabs(got - ref) > (c.apart ? c.apart : 1))
			fail_msg("%s %s, seed %u: output %lld is %g; the reference gives %g", name, hb_dtype_name(dt), s, (long long)i, got, ref);
	}
	m.fig.sram_bytes = s % 3 ? 1 << 20 : 48 << 10;
	assert_machine(&c, fixed, &m, (int)(s / 3 % 3));
	hb_graph_free(fixed);
	hb_graph_free(c.g);
	hb_ctx_free(cx);
}

static void
repeat(const char *name, build_fn *build, value_fn *value, bool int16_too, int times)
{
	worst_apart = 0;
	for (int k = 1; k <= times; k++)
		one_case(name, build, value, int16_too && k % 2 ? HB_I16 : HB_I8, (uint32_t)k * 2654435761u);
	printf("%s: seeds k * 2654435761, k = 1..%d; at most %g LSB apart\n", name, times, worst_apart);
}

/* ---- bilinear reading ---- */

static double
pixel(const hb_val *x, int64_t plane, int64_t r, int64_t c, bool zero)
{
	int64_t h = x->shape.dim[2], w = x->shape.dim[3];

	if (zero && (r < 0 || c < 0 || r >= h || c >= w))
		return 0;
	r = r < 0 ? 0 : r >= h ? h - 1 : r;
	c = c < 0 ? 0 : c >= w ? w - 1 : c;
	return at(x, (plane * h + r) * w + c);
}

static double
between(const hb_val *x, int64_t plane, double r, double c, bool zero)
{
	int64_t r0 = (int64_t)floor(r), c0 = (int64_t)floor(c);
	double fr = r - (double)r0, fc = c - (double)c0;

	return (1 - fr) * ((1 - fc) * pixel(x, plane, r0, c0, zero) + fc * pixel(x, plane, r0, c0 + 1, zero)) +
	       fr * ((1 - fc) * pixel(x, plane, r0 + 1, c0, zero) + fc * pixel(x, plane, r0 + 1, c0 + 1, zero));
}

/* ---- GridSample ---- */

/* Where output i reads: torch's documentation of grid_sample. */
static void
grid_place(const op_case *c, const hb_val *in, int64_t i, double *r, double *col)
{
	const int64_t *x = in[0].shape.dim, *o = in[1].shape.dim;
	int64_t area = o[1] * o[2], b = i / (x[1] * area), k = (b * area + i % area) * 2;
	double gx = at(&in[1], k), gy = at(&in[1], k + 1);

	if (hb_attr_i(c->n, "align_corners", 0)) {
		*col = (gx + 1) / 2 * (double)(x[3] - 1);
		*r = (gy + 1) / 2 * (double)(x[2] - 1);
	} else {
		*col = ((gx + 1) * (double)x[3] - 1) / 2;
		*r = ((gy + 1) * (double)x[2] - 1) / 2;
	}
}

static double
grid_value(const op_case *c, const hb_val *in, int64_t i)
{
	const int64_t *x = in[0].shape.dim, *o = in[1].shape.dim;
	bool zero = strcmp(hb_attr_s(c->n, "padding_mode", "zeros"), "border") != 0;
	double r, col;

	grid_place(c, in, i, &r, &col);
	r = fmin(fmax(r, -4), (double)x[2] + 4);
	col = fmin(fmax(col, -4), (double)x[3] + 4);
	if (!zero) {
		r = fmin(fmax(r, 0), (double)(x[2] - 1));
		col = fmin(fmax(col, 0), (double)(x[3] - 1));
	}
	if (!strcmp(hb_attr_s(c->n, "mode", "linear"), "nearest"))
		return pixel(&in[0], i / (o[1] * o[2]), (int64_t)rint(r), (int64_t)rint(col), zero);
	return between(&in[0], i / (o[1] * o[2]), r, col, zero);
}

static bool
off_a_half(const op_case *c, const hb_val *in, int64_t i)
{
	double r, col;

	grid_place(c, in, i, &r, &col);
	return fabs(r - floor(r) - 0.5) > 1e-3 && fabs(col - floor(col) - 0.5) > 1e-3;
}

static void
build_grid(op_case *c)
{
	static const char *const paddings[] = { "zeros", "border" };
	int b = 1 + pick(2), ch = 1 + pick(20), h = 1 + pick(20), w = 1 + pick(20), oh = 1 + pick(16), ow = 1 + pick(16);
	bool nearest = pick(3) == 0;

	node_of(c, pick(2) ? "" : "horizon", "GridSample", 16, 2);
	if (*c->n->domain)
		c->n->version = 1;
	values(c, 0, test_shape(4, b, ch, h, w), -2, 3);
	float *g = values(c, 1, test_shape(4, b, oh, ow, 2), -1.3, 1.2);
	for (int i = 0; i < b * oh * ow * 2; i += 1 + pick(9))	/* middles and borders of elements, corners */
		g[i] = pick(2) ? (float)(2 * pick(h + 1) - h) / (float)h : (float)(pick(3) - 1);
	text(c, "mode", nearest ? "nearest" : *c->n->domain ? "bilinear" : "linear");
	text(c, "padding_mode", paddings[pick(2)]);
	number(c, "align_corners", pick(2));
	c->steady = nearest ? off_a_half : NULL;
}

static void
grids_are_read_as_torch_defines(void **state)
{
	(void)state;
	repeat("GridSample", build_grid, grid_value, true, 160);
}

/* ---- regions ---- */

typedef struct regions {
	int64_t h, w, ratio;
	bool aligned;
	double scale[5];
	int maps, boxes;
	int size, level;
} regions;

static regions
regions_of(const op_case *c)
{
	const hb_node *n = c->n;
	size_t count;
	bool onnx = !*n->domain;
	const int64_t *size = hb_attr_ints(n, "output_size", &count);
	regions r = {
		.h = onnx ? hb_attr_i(n, "output_height", 1) : size[0], .w = onnx ? hb_attr_i(n, "output_width", 1) : size[count - 1],
		.ratio = hb_attr_i(n, "sampling_ratio", 0), .maps = 1, .boxes = 1, .scale = { (double)hb_attr_f(n, "spatial_scale", 1) },
		.aligned = onnx ? strcmp(hb_attr_s(n, "coordinate_transformation_mode", "half_pixel"), "half_pixel") == 0 : hb_attr_i(n, "aligned", 0),
		.size = (int)hb_attr_i(n, "canonical_scale", 224), .level = (int)hb_attr_i(n, "canonical_level", 4),
	};
	const float *scales = hb_attr_floats(n, "scales", &count);

	if (scales) {
		r.maps = r.boxes = n->nin - 1;
		for (int k = 0; k < r.maps; k++)
			r.scale[k] = (double)scales[k];
	}
	return r;
}

/* The map of a region: floor(level + log2(sqrt(area) / size) + 1e-6), limited to those there are. */
static double
level_of(const regions *r, const hb_val *boxes, int64_t roi)
{
	double w = at(boxes, roi * 4 + 2) - at(boxes, roi * 4), h = at(boxes, roi * 4 + 3) - at(boxes, roi * 4 + 1);

	return r->level + log2(sqrt(w * h) / r->size) + 1e-6 + log2(r->scale[0]);
}

/* Sample s of output i: where in the map (in elements). */
static void
roi_place(const regions *r, const hb_val *boxes, int map, int64_t roi, int64_t py, int64_t px, int64_t sy, int64_t sx, double *y, double *x)
{
	double off = r->aligned ? 0.5 : 0, least = r->aligned ? -INFINITY : 1;
	double x0 = at(boxes, roi * 4) * r->scale[map] - off, y0 = at(boxes, roi * 4 + 1) * r->scale[map] - off;
	double w = fmax(at(boxes, roi * 4 + 2) * r->scale[map] - off - x0, least);
	double h = fmax(at(boxes, roi * 4 + 3) * r->scale[map] - off - y0, least);

	*y = y0 + ((double)py + ((double)sy + 0.5) / (double)r->ratio) * h / (double)r->h;
	*x = x0 + ((double)px + ((double)sx + 0.5) / (double)r->ratio) * w / (double)r->w;
}

static double
roi_value(const op_case *c, const hb_val *in, int64_t i)
{
	regions r = regions_of(c);
	const hb_val *boxes = &in[r.boxes];
	int64_t channels = in[0].shape.dim[1], px = i % r.w, py = i / r.w % r.h, ch = i / (r.w * r.h) % channels, roi = i / (r.w * r.h * channels);
	int map = (int)fmin(fmax(floor(level_of(&r, boxes, roi)), 0), r.maps - 1);
	const hb_val *m = &in[r.maps > 1 ? map : 0];
	double h = (double)m->shape.dim[2], w = (double)m->shape.dim[3], sum = 0;

	map = r.maps > 1 ? map : 0;
	for (int64_t s = 0; s < r.ratio * r.ratio; s++) {
		double y, x;
		roi_place(&r, boxes, map, roi, py, px, s / r.ratio, s % r.ratio, &y, &x);
		if (y < -1 || y > h || x < -1 || x > w)
			continue;
		sum += between(m, ch, fmin(fmax(y, 0), h - 1), fmin(fmax(x, 0), w - 1), false);
	}
	return sum / (double)(r.ratio * r.ratio);
}

/* No sample just at a border behind which the map counts as 0, no region just between two maps. */
static bool
off_the_borders(const op_case *c, const hb_val *in, int64_t i)
{
	regions r = regions_of(c);
	const hb_val *boxes = &in[r.boxes];
	int64_t px = i % r.w, py = i / r.w % r.h, roi = i / (r.w * r.h * in[0].shape.dim[1]);
	double level = level_of(&r, boxes, roi);
	int map = r.maps > 1 ? (int)fmin(fmax(floor(level), 0), r.maps - 1) : 0;
	double h = (double)in[map].shape.dim[2], w = (double)in[map].shape.dim[3];

	if (r.maps > 1 && fabs(level - rint(level)) < 2e-3)
		return false;
	for (int64_t s = 0; s < r.ratio * r.ratio; s++) {
		double y, x;
		roi_place(&r, boxes, map, roi, py, px, s / r.ratio, s % r.ratio, &y, &x);
		if (fabs(y + 1) < 1e-3 || fabs(y - h) < 1e-3 || fabs(x + 1) < 1e-3 || fabs(x - w) < 1e-3)
			return false;
	}
	return true;
}

/* Boxes of a picture of `side` elements; some reach outside, some are thin or empty. */
static void
boxes(op_case *c, int k, int count, double side, bool leading)
{
	float *b = values(c, k, leading ? test_shape(3, 1, count, 4) : test_shape(2, count, 4), 0, 1);

	for (int i = 0; i < count; i++) {
		double x = real(-0.1, 0.9) * side, y = real(-0.1, 0.9) * side, reach = pick(4) ? 0.6 : 0.02;
		b[4 * i] = (float)x;
		b[4 * i + 1] = (float)y;
		b[4 * i + 2] = (float)(x + real(0, reach) * side);
		b[4 * i + 3] = (float)(y + real(0, reach) * side);
	}
}

static void
build_roi(op_case *c)
{
	int ch = 1 + pick(20), h = 2 + pick(20), w = 2 + pick(20), count = 1 + pick(5);
	float scale = (float)(1 << pick(3)) / 8;
	bool onnx = pick(2);

	if (onnx) {
		static const int64_t zero[8];
		hb_shape s = { 1, { count } };
		node_of(c, "", "RoiAlign", 16, 3);
		hb_node_set_in(c->g, c->n, 2, hb_tensor_const(c->g, "batch", HB_I64, &s, zero));
		text(c, "coordinate_transformation_mode", pick(2) ? "half_pixel" : "output_half_pixel");
		number(c, "output_height", 1 + pick(5));
		number(c, "output_width", 1 + pick(5));
	} else {
		const int64_t size[2] = { 1 + pick(5), 1 + pick(5) };
		node_of(c, "horizon", "RoIAlign", 1, 2);
		assert_true(hb_attr_set_ints(c->g, c->n, "output_size", size, 2));
		number(c, "aligned", pick(2));
	}
	number(c, "sampling_ratio", 1 + pick(3));
	assert_true(hb_attr_set_f(c->g, c->n, "spatial_scale", scale));
	values(c, 0, test_shape(4, 1, ch, h, w), -2, 3);
	boxes(c, 1, count, HB_MAX(h, w) / (double)scale, !onnx && pick(2));
	c->steady = off_the_borders;
}

static void
regions_are_resampled(void **state)
{
	(void)state;
	repeat("RoiAlign", build_roi, roi_value, false, 120);
}

static void
build_multi_scale(op_case *c)
{
	int maps = 1 + pick(4), ch = 1 + pick(12), side = 64 * (1 + pick(3));
	float scales[4];
	int64_t size = 1 + pick(4);

	node_of(c, "horizon", "MultiScaleRoIAlign", 1, maps + 1);
	for (int k = 0; k < maps; k++) {
		scales[k] = 1.0f / (float)(4 << k);
		values(c, k, test_shape(4, 1, ch, HB_MAX(side >> (2 + k), 1), HB_MAX(side >> (2 + k), 1)), -2, 2 + k);
	}
	boxes(c, maps, 1 + pick(5), side, false);
	assert_true(hb_attr_set_floats(c->g, c->n, "scales", scales, (size_t)maps) && hb_attr_set_ints(c->g, c->n, "output_size", &size, 1));
	number(c, "sampling_ratio", 1 + pick(2));
	number(c, "canonical_scale", side / 2);
	c->steady = off_the_borders;
}

static void
regions_are_read_from_the_map_of_their_size(void **state)
{
	(void)state;
	repeat("MultiScaleRoIAlign", build_multi_scale, roi_value, false, 60);
}

/* ---- colours ---- */

/* BT.601 as broadcast studios and JPEG files have it: the exact matrices' integer forms of /256. */
static double
colour_value(const op_case *c, const hb_val *in, int64_t i)
{
	int64_t plane = in[0].shape.dim[2] * in[0].shape.dim[3], ch = i / plane % 3, at0 = i / (3 * plane) * 3 * plane + i % plane;
	bool full = !strcmp(hb_attr_s(c->n, "swing", "studio"), "full"), bgr = !strcmp(c->n->op_type, "centered_yuv2bgr");
	double y = at(&in[0], at0), u = at(&in[0], at0 + plane), v = at(&in[0], at0 + 2 * plane);
	double luma = full ? y + 128 : 298.0 / 256 * (y + 112);
	double rgb[3] = { luma + (full ? 359.0 : 409.0) / 256 * v, luma - (full ? 88.0 : 100.0) / 256 * u - (full ? 183.0 : 208.0) / 256 * v,
			  luma + (full ? 454.0 : 516.0) / 256 * u };
	size_t nm, ns;
	const float *mean = hb_attr_floats(c->n, "mean", &nm), *std = hb_attr_floats(c->n, "std", &ns);

	return (fmin(fmax(rgb[bgr ? 2 - ch : ch], 0), 255) - (mean ? (double)mean[nm == 3 ? ch : 0] : 128)) / (std ? (double)std[ns == 3 ? ch : 0] : 128);
}

static void
build_colours(op_case *c)
{
	static const float mean[3] = { 123.675f, 116.28f, 103.53f }, std[3] = { 58.395f, 57.12f, 57.375f };
	static const float one[1] = { 127.5f };

	node_of(c, "horizon", pick(2) ? "centered_yuv2rgb" : "centered_yuv2bgr", 1, 1);
	float *v = values(c, 0, test_shape(4, 1 + pick(2), 3, 1 + pick(12), 1 + pick(12)), -128, 127);
	for (int64_t i = 0; i < hb_tensor_elems(c->n->in[0]); i++)
		v[i] = rintf(v[i]);
	text(c, "swing", pick(2) ? "studio" : "full");
	if (pick(2)) {
		assert_true(hb_attr_set_floats(c->g, c->n, "mean", mean, 3) && hb_attr_set_floats(c->g, c->n, "std", std, 3));
		assert_true(hb_attr_set_f(c->g, c->n, "q_scale", 0.0167f));
	} else if (pick(2)) {
		assert_true(hb_attr_set_floats(c->g, c->n, "mean", one, 1) && hb_attr_set_floats(c->g, c->n, "std", one, 1));
	}
}

static void
centered_yuv_becomes_colours(void **state)
{
	(void)state;
	repeat("centered_yuv", build_colours, colour_value, false, 60);
}

static hb_val
run_float(op_case *c)
{
	hb_val out[MAX_OUTPUTS];

	test_output(c->g, c->n->out[0]);
	assert_int_equal(hb_pass_shapes(c->g, false), HB_OK);
	run(c, c->g, out);
	return out[0];
}

/* Against integer arithmetic as the definition has it. */
static void
pictures_become_yuv(void **state)
{
	static const char *const ops[] = { "rgb2centered_yuv", "bgr2centered_yuv", "BgrToYuv444" };

	(void)state;
	for (int k = 0; k < 12; k++) {
		hb_ctx *cx = test_ctx(NULL, 1);
		op_case c = { .g = hb_graph_new(cx) };
		bool full = k / 3 % 2 && k % 3 < 2, turned = k / 6 && k % 3 == 2;
		int plane = 20 * 13, bad = 0;

		seed = (uint32_t)k + 1;
		node_of(&c, "horizon", ops[k % 3], 1, 1);
		float *v = values(&c, 0, test_shape(4, 1, 3, 20, 13), 0, 255);
		for (int i = 0; i < 3 * plane; i++)
			v[i] = rintf(v[i]);
		if (full)
			text(&c, "swing", "full");
		if (turned)
			number(&c, "channel_reversal", 1);
		hb_val y = run_float(&c);
		for (int i = 0; i < plane; i++) {
			bool rgb = k % 3 == 0 || turned;
			int r = (int)v[rgb ? i : 2 * plane + i], g = (int)v[plane + i], b = (int)v[rgb ? 2 * plane + i : i];
			int studio[3] = { ((66 * r + 129 * g + 25 * b + 128) >> 8) + 16, ((-38 * r - 74 * g + 112 * b + 128) >> 8) + 128,
					  ((112 * r - 94 * g - 18 * b + 128) >> 8) + 128 };
			int jpeg[3] = { (77 * r + 150 * g + 29 * b + 128) >> 8, ((-43 * r - 84 * g + 127 * b + 128) >> 8) + 128,
					((127 * r - 106 * g - 21 * b + 128) >> 8) + 128 };
			for (int ch = 0; ch < 3; ch++)
				bad += at(&y, ch * plane + i) != (full ? jpeg : studio)[ch] - (k % 3 < 2 ? 128 : 0);
		}
		assert_int_equal(bad, 0);
		hb_graph_free(c.g);
		hb_ctx_free(cx);
	}
}

/* ---- Correlation ---- */

static double
correlation_value(const op_case *c, const hb_val *in, int64_t i)
{
	const hb_shape *o = &c->n->out[0]->shape;
	const int64_t *d = in[0].shape.dim;
	int64_t kernel = hb_attr_i(c->n, "kernel_size", 1), far = hb_attr_i(c->n, "max_displacement", 1), s1 = hb_attr_i(c->n, "stride1", 1);
	int64_t s2 = hb_attr_i(c->n, "stride2", 1), pad = hb_attr_i(c->n, "pad_size", 0), r = far / s2, side = 2 * r + 1;
	int64_t ox = i % o->dim[3], oy = i / o->dim[3] % o->dim[2], q = i / (o->dim[2] * o->dim[3]) % o->dim[1], b = i / (o->dim[1] * o->dim[2] * o->dim[3]);
	double sum = 0;

	/* in maps padded with zeros, windows begin r * s2 from the border */
	for (int64_t ky = 0; ky < kernel; ky++)
		for (int64_t kx = 0; kx < kernel; kx++)
			for (int64_t ch = 0; ch < d[1]; ch++) {
				int64_t y = oy * s1 + r * s2 + ky - pad, x = ox * s1 + r * s2 + kx - pad;
				sum += pixel(&in[0], b * d[1] + ch, y, x, true) *
				       pixel(&in[1], b * d[1] + ch, y + (q / side - r) * s2, x + (q % side - r) * s2, true);
			}
	return sum / (double)(kernel * kernel * d[1]);
}

static void
build_correlation(op_case *c)
{
	int kernel = 1 + 2 * pick(3), s2 = 1 + pick(2), far = pick(5), pad = pick(8), b = 1 + pick(2), ch = 1 + pick(20);
	int room = kernel + 2 * (far / s2 * s2) - 2 * pad, h = HB_MAX(room, 1) + pick(8), w = HB_MAX(room, 1) + pick(8);

	node_of(c, "horizon", "Correlation", 1, 2);
	values(c, 0, test_shape(4, b, ch, h, w), -2, 3);
	values(c, 1, test_shape(4, b, ch, h, w), -1, 1);
	number(c, "kernel_size", kernel);
	number(c, "max_displacement", far);
	number(c, "stride1", 1 + pick(3));
	number(c, "stride2", s2);
	number(c, "pad_size", pad);
}

static void
maps_are_correlated(void **state)
{
	(void)state;
	repeat("Correlation", build_correlation, correlation_value, false, 80);
}

/* By the definition a window has 2^32 places, of which one is no padding. */
static void
windows_cost_what_they_share_with_their_maps(void **state)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	op_case c = { .g = hb_graph_new(cx) };
	hb_val y[MAX_OUTPUTS];

	(void)state;
	node_of(&c, "horizon", "Correlation", 1, 2);
	double product = (double)*values(&c, 0, test_shape(4, 1, 1, 1, 1), 1, 2) * (double)*values(&c, 1, test_shape(4, 1, 1, 1, 1), 1, 2);
	number(&c, "kernel_size", 65535);
	number(&c, "max_displacement", 0);
	number(&c, "stride1", 8192);
	number(&c, "pad_size", 65536);
	test_output(c.g, c.n->out[0]);
	assert_int_equal(hb_pass_shapes(c.g, false), HB_OK);
	run(&c, c.g, y);
	assert_int_equal(hb_shape_elems(&y[0].shape), 81);
	for (int64_t i = 0; i < 81; i++) {
		bool reaches = i / 9 > 0 && i % 9 > 0;	/* windows begin at -65536 + 8192 k and are one shorter than the way to 0 */
		assert_true(fabs(at(&y[0], i) - (reaches ? product / 65535 / 65535 : 0)) < 1e-15);
	}
	hb_graph_free(c.g);
	hb_ctx_free(cx);
}

/* ---- PointPillarsScatter ---- */

static int64_t
coordinate(const hb_val *v, int64_t i)
{
	return v->dtype == HB_I64 ? ((const int64_t *)v->data)[i] : ((const int32_t *)v->data)[i];
}

static double
pillar_value(const op_case *c, const hb_val *in, int64_t i)
{
	const int64_t *o = c->n->out[0]->shape.dim;
	int64_t x = i % o[3], y = i / o[3] % o[2], ch = i / (o[2] * o[3]) % o[1], b = i / (o[1] * o[2] * o[3]);
	double v = 0;

	for (int64_t m = 0; m < in[0].shape.dim[0]; m++)
		if (coordinate(&in[1], 4 * m) == b && coordinate(&in[1], 4 * m + 2) == y && coordinate(&in[1], 4 * m + 3) == x)
			v = at(&in[0], m * o[1] + ch);
	return v;
}

static void
build_pillars(op_case *c)
{
	int count = 1 + pick(60), ch = 1 + pick(20);
	int64_t shape[4] = { 1 + pick(2), ch, 1 + pick(12), 1 + pick(12) };
	hb_dtype dt = pick(2) ? HB_I32 : HB_I64;
	hb_shape s = { 1, { 4 } }, rows = { 2, { count, 4 } };

	node_of(c, "horizon", "PointPillarsScatter", 1, 3);
	values(c, 0, test_shape(2, count, ch), -2, 3);
	values(c, 1, test_shape(2, count, 4), 0, 1);
	c->n->in[1]->dtype = dt;
	c->in[1] = hb_arena_alloc(c->g->arena, (size_t)hb_shape_elems(&rows) * 8 + 64);
	for (int i = 0; i < 4 * count; i++) {	/* some lie outside, some twice in one place */
		int64_t v = pick((int)shape[i % 4 ? i % 4 : 0] + 1) - (pick(10) == 0);
		if (dt == HB_I64)
			((int64_t *)c->in[1])[i] = v;
		else
			((int32_t *)c->in[1])[i] = (int32_t)v;
	}
	hb_node_set_in(c->g, c->n, 2, hb_tensor_const(c->g, "shape", HB_I64, &s, shape));
}

static void
pillars_go_to_their_places(void **state)
{
	(void)state;
	repeat("PointPillarsScatter", build_pillars, pillar_value, true, 80);
}

/* ---- AnchorGenerator: torchvision's, by its definition ---- */

static void
anchors_stand_on_every_element(void **state)
{
	static const float sizes[] = { 32, 50, 64, 100 }, ratios[] = { 0.5f, 1, 2.25f };
	hb_ctx *cx = test_ctx(NULL, 1);
	op_case c = { .g = hb_graph_new(cx) };
	int at_row = 0;

	(void)state;
	node_of(&c, "horizon", "AnchorGenerator", 1, 3);
	values(&c, 0, test_shape(4, 1, 3, 64, 98), 0, 1);
	values(&c, 1, test_shape(4, 1, 2, 8, 12), 0, 1);
	values(&c, 2, test_shape(4, 1, 2, 4, 6), 0, 1);
	assert_true(hb_attr_set_floats(c.g, c.n, "sizes", sizes, 4) && hb_attr_set_floats(c.g, c.n, "aspect_ratios", ratios, 3));
	hb_val y = run_float(&c);
	assert_int_equal(y.shape.dim[0], (8 * 12 + 4 * 6) * 6);
	for (int m = 0; m < 2; m++)
		for (int row = 0; row < 8 >> m; row++)
			for (int col = 0; col < 12 >> m; col++)
				for (int r = 0; r < 3; r++)
					for (int s = 0; s < 2; s++, at_row++) {
						double h = sqrt((double)ratios[r]) * (double)sizes[2 * m + s], w = (double)sizes[2 * m + s] / sqrt((double)ratios[r]);
						double x = col * (98 / (12 >> m)), v = row * (64 / (8 >> m));
						double want[4] = { x - rint(w / 2), v - rint(h / 2), x + rint(w / 2), v + rint(h / 2) };
						for (int k = 0; k < 4; k++)
							assert_true(at(&y, at_row * 4 + k) == want[k]);
					}
	hb_graph_free(c.g);
	hb_ctx_free(cx);
}

/* ---- filter ---- */

/* What is kept of the values at in, the long way: outputs as the operator has them. */
static int64_t
filtered(const op_case *c, const hb_val *in, int64_t b, int64_t row, int64_t *place, int64_t *channel)
{
	const int64_t *d = in[0].shape.dim;
	size_t count;
	const int64_t *range = hb_attr_ints(c->n, "idx_range", &count);
	float threshold = hb_attr_f(c->n, "threshold", 0);
	int64_t kept = 0;

	for (int64_t p = 0; p < d[2] * d[3]; p++) {
		int64_t best = range ? range[0] : 0;
		for (int64_t ch = best; ch <= (range ? range[1] : d[1] - 1); ch++)
			if (at(&in[0], (b * d[1] + ch) * d[2] * d[3] + p) > at(&in[0], (b * d[1] + best) * d[2] * d[3] + p))
				best = ch;
		if (at(&in[0], (b * d[1] + best) * d[2] * d[3] + p) < (double)threshold)
			continue;
		if (kept++ == row) {
			*place = p;
			*channel = best;
		}
	}
	return kept;
}

static void
assert_filtered(const op_case *c, const hb_val *in, const hb_val *out, uint32_t s)
{
	const int64_t *d = in[0].shape.dim, area = d[2] * d[3];

	for (int64_t b = 0; b < d[0]; b++)
		for (int64_t row = 0; row < area; row++) {
			int64_t p = -1, ch = -1, kept = filtered(c, in, b, row, &p, &ch), o = b * area + row;
			bool is = p >= 0, ok = ((const int64_t *)out[3 + c->n->nin].data)[b] == kept;
			ok = ok && at(&out[0], o) == (is ? at(&in[0], (b * d[1] + ch) * area + p) : 0) && ((const int64_t *)out[1].data)[o] == ch;
			ok = ok && ((const int64_t *)out[2].data)[2 * o] == (is ? p / d[3] : -1) &&
			     ((const int64_t *)out[2].data)[2 * o + 1] == (is ? p % d[3] : -1);
			for (int i = 0; i < c->n->nin; i++)
				for (int64_t k = 0, n = in[i].shape.dim[1]; k < n; k++)
					ok = ok && at(&out[3 + i], o * n + k) == (is ? at(&in[i], (b * n + k) * area + p) : 0);
			if (!ok)
				fail_msg("filter, seed %u: row %lld of image %lld is wrong", s, (long long)row, (long long)b);
		}
}

static void
filter_case(uint32_t s)
{
	test_log log = { .count = 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	op_case c = { .g = hb_graph_new(cx) };
	hb_val in[MAX_INPUTS], out[MAX_OUTPUTS];

	seed = s;
	int nin = 1 + pick(3), b = 1 + pick(2), h = 1 + pick(9), w = 1 + pick(9), first = pick(3);
	hb_node *n = node_with(&c, "horizon", "filter", 1, nin, nin + 4);
	for (int i = 0; i < nin; i++)
		values(&c, i, test_shape(4, b, i ? 1 + pick(6) : 3 + pick(6), h, w), -2, 2 + i);
	for (int i = 0; i < n->nout; i++)
		test_output(c.g, n->out[i]);
	assert_true(hb_attr_set_f(c.g, n, "threshold", real(-1, 2)));
	if (pick(2))
		assert_true(hb_attr_set_ints(c.g, n, "idx_range", (const int64_t[]){ first, first + pick(3 - first) }, 2));
	if (hb_pass_shapes(c.g, false) != HB_OK)
		fail_msg("filter, seed %u: %s", s, log.text);
	inputs_of(&c, false, in);
	run(&c, c.g, out);
	assert_filtered(&c, in, out, s);

	hb_march m = *hb_march_find("bayes");
	hb_graph *fixed = NULL;
	hb_calib_options co = { .activations = { .dtype = s % 2 ? HB_I8 : HB_I16, .observer = { .kind = HB_OBS_MINMAX } }, .sample = feed, .arg = &c };
	n->on = HB_ON_BPU;
	if (hb_pass_calibrate(c.g, &co) != HB_OK || hb_pass_convert(c.g, HB_HALF_EVEN, &fixed) != HB_OK)
		fail_msg("filter, seed %u: %s", s, log.text);
	run(&c, fixed, out);
	inputs_of(&c, true, in);
	assert_filtered(&c, in, out, s);
	assert_machine(&c, fixed, &m, (int)(s / 3 % 2));
	hb_graph_free(fixed);
	hb_graph_free(c.g);
	hb_ctx_free(cx);
}

static void
places_above_the_threshold_are_kept_in_order(void **state)
{
	(void)state;
	for (uint32_t k = 1; k <= 60; k++)
		filter_case(k * 2654435761u);
	printf("filter: seeds k * 2654435761, k = 1..60\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grids_are_read_as_torch_defines), cmocka_unit_test(regions_are_resampled),
		cmocka_unit_test(regions_are_read_from_the_map_of_their_size), cmocka_unit_test(centered_yuv_becomes_colours),
		cmocka_unit_test(pictures_become_yuv), cmocka_unit_test(maps_are_correlated), cmocka_unit_test(windows_cost_what_they_share_with_their_maps), cmocka_unit_test(pillars_go_to_their_places),
		cmocka_unit_test(anchors_stand_on_every_element), cmocka_unit_test(places_above_the_threshold_are_kept_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
