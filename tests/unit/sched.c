/* sched: for random graphs of fixed-point operators on machines with little SRAM, the simulator gives the
 * graph's integers bit for bit, no hazards, no byte of another buffer, at every level. */
#include "tests/test.h"

#include "lib/run/run.h"
#include "lib/sched/sched.h"

static uint64_t state;

static uint32_t
rnd(void)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33);
}

/* In lo..hi. */
static int
pick(int lo, int hi)
{
	return lo + (int)(rnd() % (uint32_t)(hi - lo + 1));
}

/* ---- graphs ---- */

typedef struct build {
	hb_graph *g;
	int n;
} build;

static const char *
name(build *b, const char *stem)
{
	return hb_arena_printf(b->g->arena, "%s%d", stem, b->n++);
}

static hb_q
q_of(hb_dtype dt)
{
	return (hb_q){ .dtype = dt, .nscales = 1, .scale = 1 };
}

static hb_tensor *
input(build *b, hb_shape s, hb_dtype dt)
{
	hb_tensor *t = test_input(b->g, name(b, "in"), s);

	t->dtype = dt;
	t->has_shape = true;
	t->q = q_of(dt);
	return t;
}

static hb_tensor *
constant(build *b, hb_dtype dt, hb_shape s)
{
	hb_tensor *t = hb_tensor_const(b->g, name(b, "c"), dt, &s, NULL);
	uint8_t *p = *(void **)&t->data;

	assert_non_null(t);
	for (int64_t i = 0; i < hb_tensor_elems(t) * (int64_t)hb_dtype_size(dt); i++)
		p[i] = (uint8_t)rnd();
	t->q = q_of(dt);
	return t;
}

static hb_tensor *
records(build *b, int64_t channels)
{
	hb_shape s = { .rank = 2, .dim = { channels, 4 } };
	hb_tensor *t = constant(b, HB_I32, s);
	int32_t *r = *(void **)&t->data;

	for (int64_t c = 0; c < channels; c++, r += 4) {
		r[0] = pick(-2000, 2000);
		r[1] = (1 << 30) + pick(0, 1 << 29);
		r[2] = (1 << 30) + pick(0, 1 << 29);
		r[3] = (pick(-9, -5) + 64) | (pick(0, 3) + 64) << 8;
	}
	return t;
}

static hb_node *
node(build *b, const char *op, int nin, hb_tensor **in)
{
	hb_node *n = hb_node_new(b->g, NULL, name(b, op), "hbcc", op, 1, nin, 1);

	assert_non_null(n);
	for (int i = 0; i < nin; i++)
		hb_node_set_in(b->g, n, i, in[i]);
	hb_node_set_out(n, 0, hb_tensor_new(b->g, n->name, HB_NONE, NULL));
	return n;
}

/* The node's output once its attributes are there; NULL where its shape rules refuse it. */
static hb_tensor *
finish(build *b, hb_node *n)
{
	if (hb_op_infer(b->g, n) != HB_OK) {
		hb_node_remove(b->g, n);
		return NULL;
	}
	n->out[0]->q = q_of(n->out[0]->dtype);
	return n->out[0];
}

static void
ints(build *b, hb_node *n, const char *key, int count, int lo, int hi)
{
	int64_t v[HB_MAX_RANK * 2];

	for (int i = 0; i < count; i++)
		v[i] = pick(lo, hi);
	hb_attr_set_ints(b->g, n, key, v, (size_t)count);
}

static hb_tensor *
conv(build *b, hb_tensor *x)
{
	int ns = x->shape.rank - 2, c = (int)x->shape.dim[1];
	int groups = pick(0, 3) == 0 ? c : c % 2 == 0 && pick(0, 2) == 0 ? 2 : 1;
	int o = groups * pick(1, groups > 1 ? 3 : 20);
	hb_shape w = { .rank = 2 + ns, .dim = { o, c / groups, pick(1, 3), pick(1, 4) } };
	hb_tensor *in[4] = { x, constant(b, HB_I8, w), records(b, o), NULL };
	hb_node *n;
	hb_tensor *y;

	n = node(b, "Conv", 3, in);
	ints(b, n, "strides", ns, 1, 2);
	ints(b, n, "pads", 2 * ns, 0, 1);
	ints(b, n, "dilations", ns, 1, 2);
	hb_attr_set_i(b->g, n, "group", groups);
	y = finish(b, n);
	if (y && pick(0, 2) == 0) {
		hb_node_add_in(b->g, n, constant(b, HB_I8, y->shape));
		y = finish(b, n);
	}
	return y;
}

static hb_tensor *
conv_transpose(build *b, hb_tensor *x)
{
	int ns = x->shape.rank - 2, c = (int)x->shape.dim[1];
	int groups = c % 2 == 0 && pick(0, 2) == 0 ? 2 : 1, o = pick(1, 5);
	hb_shape w = { .rank = 2 + ns, .dim = { c, o, pick(1, 4), pick(1, 4) } };
	hb_tensor *in[3] = { x, constant(b, HB_I8, w), records(b, o * groups) };
	hb_node *n = node(b, "ConvTranspose", 3, in);

	ints(b, n, "strides", ns, 1, 3);
	ints(b, n, "pads", 2 * ns, 0, 1);
	ints(b, n, "dilations", ns, 1, 2);
	if (pick(0, 1))
		ints(b, n, "output_padding", ns, 0, 1);
	hb_attr_set_i(b->g, n, "group", groups);
	return finish(b, n);
}

static hb_tensor *
pool(build *b, hb_tensor *x)
{
	int ns = x->shape.rank - 2, k[2] = { pick(1, 3), pick(1, 3) };
	int cells = k[0] * (ns == 2 ? k[1] : 1);
	bool average = pick(0, 1);
	hb_tensor *in[2] = { x, NULL };
	int64_t kernel[2] = { k[0], k[1] };
	hb_node *n;

	if (average) {
		hb_shape s = { .rank = 2, .dim = { cells, 3 } };
		int32_t *m;
		in[1] = constant(b, HB_I32, s);
		m = *(void **)&in[1]->data;
		for (int i = 0; i < cells; i++) {
			m[3 * i] = i + 1;
			m[3 * i + 1] = (1 << 30) + pick(0, 1 << 20);
			m[3 * i + 2] = -1;
		}
	}
	n = node(b, average ? "AveragePool" : "MaxPool", 1 + average, in);
	hb_attr_set_ints(b->g, n, "kernel_shape", kernel, (size_t)ns);
	ints(b, n, "strides", ns, 1, 3);
	if (k[0] > 1 && k[1] > 1)
		ints(b, n, "pads", 2 * ns, 0, 1);
	hb_attr_set_i(b->g, n, "ceil_mode", pick(0, 1));
	if (average)
		hb_attr_set_i(b->g, n, "count_include_pad", pick(0, 1));
	return finish(b, n);
}

static hb_tensor *
linear(build *b, hb_tensor *x)
{
	int o = pick(1, 24);
	hb_shape w = { .rank = 2, .dim = { o, x->shape.dim[x->shape.rank - 1] } };
	hb_tensor *in[3] = { x, constant(b, HB_I8, w), records(b, o) };

	return finish(b, node(b, "Linear", 3, in));
}

static hb_tensor *
matmul(build *b, hb_tensor *x)
{
	hb_shape s = x->shape;
	hb_tensor *in[2] = { x, NULL };
	hb_node *n;

	if (s.rank < 2)
		return NULL;
	s.dim[s.rank - 2] = x->shape.dim[s.rank - 1];
	s.dim[s.rank - 1] = pick(1, 12);
	if (pick(0, 1))
		s.dim[0] = s.rank > 2 ? 1 : s.dim[0];
	in[1] = constant(b, HB_I8, s);
	n = node(b, "MatMul", 2, in);
	hb_attr_set_i(b->g, n, "m", (1 << 30) + pick(0, 1 << 29));
	hb_attr_set_i(b->g, n, "e", -8);
	return finish(b, n);
}

static hb_tensor *
ew(build *b, hb_tensor *x)
{
	static const char *const fns[] = { "add", "mul", "max", "min", "abs", "cast" };
	const char *fn = fns[pick(0, 5)];
	bool one = fn[0] == 'a' && fn[1] == 'b' ? true : fn[0] == 'c';
	hb_shape s = x->shape;
	hb_tensor *in[2] = { x, NULL };
	hb_node *n;

	for (int d = 0; d < s.rank; d++)
		if (pick(0, 2) == 0)
			s.dim[d] = 1;
	if (s.rank && pick(0, 3) == 0) {
		s.rank--;
		memmove(s.dim, s.dim + 1, (size_t)s.rank * sizeof(*s.dim));
	}
	if (!one)
		in[1] = pick(0, 3) ? constant(b, HB_I8, s) : x;
	n = node(b, "Ew", one ? 1 : 2, in);
	hb_attr_set_s(b->g, n, "fn", fn);
	hb_attr_set_i(b->g, n, "ma", (1 << 29) + pick(0, 1 << 28));
	hb_attr_set_i(b->g, n, "mb", (1 << 29) + pick(0, 1 << 28));
	if (strcmp(fn, "add") == 0) {
		hb_attr_set_i(b->g, n, "shift", 30);
	} else {
		hb_attr_set_i(b->g, n, "ea", strcmp(fn, "mul") ? 1 : -5);
		hb_attr_set_i(b->g, n, "eb", 1);
	}
	return finish(b, n);
}

static hb_tensor *
lut(build *b, hb_tensor *x)
{
	hb_tensor *in[2] = { x, constant(b, HB_I8, test_shape(1, 256)) };

	return finish(b, node(b, "Lut", 2, in));
}

static hb_tensor *
reduce(build *b, hb_tensor *x)
{
	static const char *const fns[] = { "sum", "max", "min", "sumsq" };
	int64_t axes[HB_MAX_RANK];
	size_t count = 0;
	hb_node *n = node(b, "Reduce", 1, &x);

	for (int d = 0; d < x->shape.rank; d++)
		if (pick(0, 1))
			axes[count++] = d;
	if (!count)
		axes[count++] = 0;
	hb_attr_set_s(b->g, n, "fn", fns[pick(0, 3)]);
	hb_attr_set_ints(b->g, n, "axes", axes, count);
	hb_attr_set_i(b->g, n, "keepdims", pick(0, 1));
	hb_attr_set_i(b->g, n, "m", (1 << 30) + pick(0, 1 << 29));
	hb_attr_set_i(b->g, n, "e", pick(-6, -2));
	return finish(b, n);
}

static hb_tensor *
resize(build *b, hb_tensor *x)
{
	hb_tensor *in[3] = { x };
	bool linear_mode = pick(0, 1);
	hb_node *n;

	if (x->shape.rank != 4)
		return NULL;
	for (int d = 0; d < 2; d++) {
		int64_t from = x->shape.dim[2 + d], to = pick(1, 24);
		hb_shape s = { .rank = 2, .dim = { to, 2 } };
		int32_t *v;
		in[1 + d] = constant(b, HB_I32, s);
		v = *(void **)&in[1 + d]->data;
		for (int64_t i = 0; i < to; i++) {
			v[2 * i] = (int32_t)(i * from / to);
			v[2 * i + 1] = linear_mode && v[2 * i] + 1 < from ? pick(0, 2048) : 0;
		}
	}
	n = node(b, "Resize", 3, in);
	hb_attr_set_i(b->g, n, "mode", linear_mode);
	return finish(b, n);
}

static hb_tensor *
rows(build *b, hb_tensor *x)
{
	hb_node *n = node(b, "Rows", 1, &x);

	hb_attr_set_s(b->g, n, "fn", "softmax");
	hb_attr_set_i(b->g, n, "axis", pick(0, x->shape.rank - 1));
	hb_attr_set_i(b->g, n, "m", 1 << 30);
	hb_attr_set_i(b->g, n, "e", 12);
	hb_attr_set_i(b->g, n, "m2", 1 << 30);
	hb_attr_set_i(b->g, n, "e2", 8);
	return finish(b, n);
}

static hb_tensor *
concat(build *b, hb_tensor *x)
{
	int axis = pick(0, x->shape.rank - 1);
	hb_shape s = x->shape;
	hb_tensor *in[3] = { x, NULL, x };
	hb_node *n;

	s.dim[axis] = pick(1, 5);
	in[1] = constant(b, HB_I8, s);
	n = node(b, "Concat", pick(2, 3), in);
	hb_attr_set_i(b->g, n, "axis", axis);
	return finish(b, n);
}

static hb_tensor *
pad(build *b, hb_tensor *x)
{
	static const char *const modes[] = { "constant", "reflect", "edge", "wrap" };
	hb_node *n = node(b, "Pad", 1, &x);

	ints(b, n, "pads", 2 * x->shape.rank, 0, 2);
	hb_attr_set_i(b->g, n, "value", pick(-5, 5));
	hb_attr_set_s(b->g, n, "mode", modes[pick(0, 3)]);
	return finish(b, n);
}

static hb_tensor *
slice(build *b, hb_tensor *x)
{
	int64_t start[HB_MAX_RANK], step[HB_MAX_RANK], extent[HB_MAX_RANK];
	hb_node *n = node(b, "Slice", 1, &x);

	for (int d = 0; d < x->shape.rank; d++) {
		int64_t dim = x->shape.dim[d], room;
		step[d] = pick(0, 3) ? 1 : pick(0, 1) ? 2 : -1;
		start[d] = pick(0, 1) ? (step[d] < 0 ? dim - 1 : 0) : pick(0, (int)dim - 1);
		room = step[d] < 0 ? start[d] + 1 : (dim - start[d] - 1) / step[d] + 1;
		extent[d] = pick(0, 1) ? room : pick(1, (int)room);
	}
	hb_attr_set_ints(b->g, n, "starts", start, (size_t)x->shape.rank);
	hb_attr_set_ints(b->g, n, "steps", step, (size_t)x->shape.rank);
	hb_attr_set_ints(b->g, n, "extents", extent, (size_t)x->shape.rank);
	return finish(b, n);
}

static hb_tensor *
transpose(build *b, hb_tensor *x)
{
	int64_t p[HB_MAX_RANK];
	hb_node *n = node(b, "Transpose", 1, &x);

	for (int d = 0; d < x->shape.rank; d++)
		p[d] = d;
	for (int d = x->shape.rank - 1; d > 0; d--) {
		int k = pick(0, d);
		int64_t t = p[d];
		p[d] = p[k];
		p[k] = t;
	}
	hb_attr_set_ints(b->g, n, "perm", p, (size_t)x->shape.rank);
	return finish(b, n);
}

/* A shape of the same elements: factors at random places. */
static hb_tensor *
reshape(build *b, hb_tensor *x, int rank)
{
	int64_t left = hb_tensor_elems(x), dim[HB_MAX_RANK];
	hb_node *n = node(b, "Reshape", 1, &x);

	for (int d = 0; d < rank; d++)
		dim[d] = 1;
	for (int64_t f = 2; left > 1; f++)
		for (; left % f == 0; left /= f)
			dim[pick(0, rank - 1)] *= f;
	hb_attr_set_ints(b->g, n, "shape", dim, (size_t)rank);
	return finish(b, n);
}

static hb_tensor *
expand(build *b, hb_tensor *x)
{
	int64_t dim[HB_MAX_RANK];
	hb_node *n;
	int rank = x->shape.rank + 1;

	dim[0] = pick(1, 3);
	for (int d = 1; d < rank; d++)
		dim[d] = x->shape.dim[d - 1] == 1 ? pick(1, 5) : x->shape.dim[d - 1];
	n = node(b, "Expand", 1, &x);
	hb_attr_set_ints(b->g, n, "shape", dim, (size_t)rank);
	return finish(b, n);
}

static hb_tensor *
reshape_any(build *b, hb_tensor *x)
{
	return reshape(b, x, pick(1, 5));
}

static hb_tensor *(*const makers[])(build *, hb_tensor *) = {
	conv, conv, pool, linear, ew, ew, lut, reduce, resize, rows, concat, pad, slice, transpose, expand,
	reshape_any, conv_transpose, matmul,
};

static hb_tensor *
step(build *b, hb_tensor *x, int op)
{
	bool spatial = makers[op] == conv || makers[op] == pool || makers[op] == conv_transpose;

	if (hb_tensor_elems(x) > 20000 || x->shape.rank > 6)
		return slice(b, x);
	if ((spatial && x->shape.rank != 3 && x->shape.rank != 4) || (makers[op] == resize && x->shape.rank != 4))
		x = reshape(b, x, 4);
	if (x->shape.rank == 0)
		x = expand(b, x);
	return makers[op](b, x);
}

/* Those that take int16 as they are. */
static const bool wide[HB_LEN(makers)] = { [0] = true, [2] = true, [4] = true, [7] = true, [8] = true, [9] = true,
					   [12] = true, [13] = true, [15] = true };

/* ---- machines ---- */

static hb_march
machine(uint32_t sram)
{
	static const int aligns[] = { 1, 4, 16 }, granules[] = { 16, 32, 64 };

	return (hb_march){
		.name = "bayes",
		.fig = { .name = "test", .cores = 1, .clock_ghz = 1, .sram_bytes = sram,
			 .c_align = (uint32_t)aligns[pick(0, 2)], .granule = (uint32_t)granules[pick(0, 2)], .mac_h = 1, .mac_w = 8, .mac_c = 4, .mac_n = 8,
			 .macs_per_cycle = 256, .k0_percent = 50, .dw_h = 1, .dw_w = 8, .dw_c = 4,
			 .dw_macs_per_cycle = 32, .start_mac = 20, .start_vec = 20, .start_dma = 40,
			 .vec_x100 = 1600, .lut_x100 = 800, .copy_x100 = 3200, .dma_bytes_x100 = 800, .int16 = true },
	};
}

/* Runs the program and compares with the graph's outputs; returns its estimated cycles, 0: it does not fit. */
static uint64_t
check(build *b, const test_log *log, const hb_march *m, int level, int nchw, const hb_val *in, const hb_val *want)
{
	hb_ctx *cx = b->g->cx;
	hb_sched_options o = { .level = level, .input_nchw = nchw & 1, .output_nchw = nchw & 2 };
	hb_sim_options so = { .tags = true, .seed = 7 };
	hb_program *p = NULL;
	hb_hazard hazards[4];
	hb_estimate est;
	hb_sim_stats stats;
	hb_sim *sim = NULL;
	hb_val *got = HB_NEW_N(b->g->arena, hb_val, b->g->noutputs);
	size_t n = 0;
	hb_status st = hb_schedule(b->g, m, &o, &p);

	if (st == HB_ERR_NO)
		return 0;
	if (st != HB_OK)
		print_error("%s: %s [%s]\n", log->where, log->text, log->id);
	assert_int_equal(st, HB_OK);
	assert_int_equal(hb_program_check(cx, p), HB_OK);
	assert_int_equal(hb_hazards(cx, p, hazards, 4, &n), HB_OK);
	assert_int_equal(n, 0);
	for (so.shuffle = 0; so.shuffle < 2; so.shuffle++) {
		assert_int_equal(hb_sim_new(cx, p, &m->fig, &so, &sim), HB_OK);
		st = hb_sim_run(sim, in, got);
		if (st != HB_OK)
			print_error("%s: %s [%s]\n", log->where, log->text, log->id);
		assert_int_equal(st, HB_OK);
		for (size_t i = 0; i < b->g->noutputs; i++) {
			size_t bytes = (size_t)hb_shape_elems(&want[i].shape) * hb_dtype_size(want[i].dtype);
			assert_int_equal(got[i].dtype, want[i].dtype);
			assert_memory_equal(got[i].data, want[i].data, bytes);
		}
		hb_sim_stats_get(sim, &stats);
		hb_sim_free(sim);
	}
	assert_int_equal(hb_estimate_run(cx, p, &m->fig, b->g->arena, NULL, NULL, &est), HB_OK);
	assert_int_equal(est.loaded, stats.loaded);
	assert_int_equal(est.stored, stats.stored);
	return est.cycles;
}

/* A graph of `steps` operators from `op` on (-1: any) on a machine with `sram` bytes; whether it fits. */
static bool
try_graph(uint64_t seed, int op, int steps, uint32_t sram)
{
	test_log log = { .count = 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	build b = { .g = hb_graph_new(cx) };
	hb_tensor *x, *y;
	hb_march m;
	hb_exec *ex;
	hb_status st;
	hb_val in, *want;
	uint64_t o0, o1;
	int nchw;

	state = seed * 2654435761u + 12345;
	m = machine(sram);
	x = input(&b, pick(0, 4) ? test_shape(4, pick(1, 2), pick(1, 12), pick(1, 24), pick(1, 24))
				 : test_shape(3, pick(1, 2), pick(1, 20), pick(1, 60)), op >= 0 && wide[op] && pick(0, 2) == 0 ? HB_I16 : HB_I8);
	y = x;
	for (int i = 0; i < steps; i++) {
		hb_tensor *next = step(&b, y, op >= 0 && i == 0 ? op : pick(0, (int)HB_LEN(makers) - 1));
		if (next && pick(0, 5) == 0 && y != x && !y->is_output && next->producer != y->producer)
			test_output(b.g, y);
		y = next ? next : y;
	}
	if (y == x) {
		hb_ctx_free(cx);
		return true;
	}
	if (!y->is_output)
		test_output(b.g, y);
	hb_graph_sweep(b.g);
	in = (hb_val){ .dtype = x->dtype, .shape = x->shape };
	in.data = hb_arena_alloc(b.g->arena, (size_t)hb_tensor_bytes(x) + 1024);
	for (uint64_t i = 0; i < hb_tensor_bytes(x); i++)
		((uint8_t *)in.data)[i] = (uint8_t)rnd();
	ex = hb_exec_new(b.g, &st);
	assert_non_null(ex);
	want = HB_NEW_N(b.g->arena, hb_val, b.g->noutputs);
	assert_int_equal(hb_exec_run(ex, &in, want, NULL, NULL), HB_OK);
	nchw = pick(0, 3);
	o0 = check(&b, &log, &m, 0, nchw, &in, want);
	o1 = o0 ? check(&b, &log, &m, 1, nchw, &in, want) : 0;
	if (o0)
		assert_true(o1 && o1 <= o0);
	hb_exec_free(ex);
	hb_ctx_free(cx);
	return o0 != 0;
}

static void
each_operator_by_itself(void **unused)
{
	static const uint32_t srams[] = { 1024, 4096, 65536 };
	int fit = 0, all = 0;
	uint64_t first = getenv("HBCC_SEED") ? strtoull(getenv("HBCC_SEED"), NULL, 0) : 1;
	uint64_t count = getenv("HBCC_SEED") && !getenv("HBCC_COUNT") ? 1 : (getenv("HBCC_COUNT") ? strtoull(getenv("HBCC_COUNT"), NULL, 0) : 8);

	(void)unused;
	for (uint64_t seed = first; seed < first + count; seed++)
		for (int op = 0; op < (int)HB_LEN(makers); op++)
			for (int s = 0; s < 3; s++) {
				if (getenv("HBCC_VERBOSE"))
					printf("seed %llu op %d sram %u\n", (unsigned long long)seed, op, srams[s]), fflush(stdout);
				fit += try_graph(seed * 100 + (uint64_t)op, op, 1, srams[s]);
				all++;
			}
	printf("%d of %d fit\n", fit, all);
	assert_true(fit > all * 3 / 4);
}

static void
chains_of_operators(void **unused)
{
	int fit = 0, all = 0;
	uint64_t first = getenv("HBCC_SEED") ? strtoull(getenv("HBCC_SEED"), NULL, 0) : 1;
	uint64_t count = getenv("HBCC_SEED") && !getenv("HBCC_COUNT") ? 1 : (getenv("HBCC_COUNT") ? 8 * strtoull(getenv("HBCC_COUNT"), NULL, 0) : 60);

	(void)unused;
	for (uint64_t seed = first; seed < first + count; seed++) {
		if (getenv("HBCC_VERBOSE"))
			printf("seed %llu\n", (unsigned long long)seed), fflush(stdout);
		fit += try_graph(seed + 1000000, -1, 6, seed % 2 ? 8192 : 131072);
		all++;
	}
	printf("%d of %d fit\n", fit, all);
	assert_true(fit > all * 3 / 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_operator_by_itself),
		cmocka_unit_test(chains_of_operators),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
