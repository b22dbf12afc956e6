/* op_random.c: nodes as a broken or hostile file has them: every ONNX operator with random attributes,
 * operands and constants is refused with a message or runs, to the same bits at every vector width.
 * HB_SEED and HB_ROUNDS choose others. */
#include "lib/pass/pass.h"
#include "tests/test.h"

#include <inttypes.h>
#include <math.h>

static uint64_t state;

static uint64_t
next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

static int64_t
pick(int64_t n)
{
	return (int64_t)(next() % (uint64_t)n);
}

static int64_t
number(void)
{
	static const int64_t odd[] = { INT64_MIN, INT64_MAX, INT64_MIN + 1, INT32_MIN, INT32_MAX, INT64_C(1) << 40, -100, 100, 65536 };
	return pick(8) ? pick(7) - 2 : odd[pick((int64_t)HB_LEN(odd))];
}

static float
real(void)
{
	static const float odd[] = { 0, -1e30f, 1e30f, 1e-30f, -0.0f, 3e9f };
	return pick(8) ? (float)(pick(17) - 8) / 4.0f : pick(8) ? odd[pick((int64_t)HB_LEN(odd))] : pick(2) ? (float)NAN : (float)INFINITY;
}

static const char *
word(void)
{
	static const char *const words[] = {
		"constant", "reflect", "edge", "wrap", "linear", "nearest", "cubic", "zeros", "border", "reflection", "none",
		"add", "mul", "max", "min", "avg", "forward", "reverse", "bidirectional", "DCR", "CRD", "tanh", "LEFT", "RIGHT",
		"SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "ij,jk->ik", "...i,i->...", "i,i->i", "ab,b", "Relu", "Tanh",
		"Sigmoid", "half_pixel", "asymmetric", "align_corners", "floor", "ceil", "circular", "output_half_pixel", "", "->", "ij",
	};
	return words[pick((int64_t)HB_LEN(words))];
}

static hb_shape
shape(int like, const hb_shape *first)
{
	static const int64_t dims[] = { 1, 2, 3, 2, 4, 1, 0, 6 };
	hb_shape s = { .rank = (int)pick(6) };

	if (first && like && pick(3)) {
		s = *first;
		if (s.rank && !pick(3))
			s.dim[pick(s.rank)] = dims[pick(8)];
		return s;
	}
	for (int i = 0; i < s.rank; i++)
		s.dim[i] = dims[pick(8)];
	return s;
}

static hb_dtype
dtype(uint32_t mask, hb_dtype like)
{
	if (like != HB_NONE && (mask & HB_BIT(like)) && pick(4))
		return like;
	for (;;) {
		hb_dtype d = (hb_dtype)(1 + pick(HB_NDTYPES - 1));
		if (mask & HB_BIT(d))
			return d;
	}
}

static void *
contents(hb_graph *g, hb_dtype dt, const hb_shape *s)
{
	int64_t n = hb_shape_elems(s);
	size_t size = hb_dtype_size(dt);
	uint8_t *p = hb_arena_alloc(g->arena, (size_t)n * size + 8);

	for (int64_t i = 0; p && i < n; i++) {
		float f = real();
		int64_t k = dt == HB_BOOL ? pick(2) : number();
		memcpy(p + (size_t)i * size, dt == HB_F32 ? (void *)&f : (void *)&k, size);
	}
	return p;
}

static void
attribute(hb_graph *g, hb_node *n, const hb_attr_row *r)
{
	int64_t ints[6];
	float floats[6];
	size_t count = (size_t)pick(7);

	for (int i = 0; i < 6; i++) {
		ints[i] = number();
		floats[i] = real();
	}
	switch (r->type) {
	case HB_ATTR_INT:
		hb_attr_set_i(g, n, r->name, ints[0]);
		break;
	case HB_ATTR_FLOAT:
		hb_attr_set_f(g, n, r->name, floats[0]);
		break;
	case HB_ATTR_STRING:
		hb_attr_set_s(g, n, r->name, word());
		break;
	case HB_ATTR_INTS:
		hb_attr_set_ints(g, n, r->name, ints, HB_MIN(count, 6));
		break;
	case HB_ATTR_FLOATS:
		hb_attr_set_floats(g, n, r->name, floats, HB_MIN(count, 6));
		break;
	case HB_ATTR_TENSOR: {
		hb_attr *a = HB_NEW(g->arena, hb_attr);
		hb_shape s = shape(0, NULL);
		hb_dtype dt = dtype(HB_ANY, HB_NONE);
		*a = (hb_attr){ .name = r->name, .type = r->type, .t = hb_tensor_const(g, "value", dt, &s, contents(g, dt, &s)), .next = n->attrs };
		n->attrs = a;
		break;
	}
	default:
		break;
	}
}

static bool
takes_graph(const hb_op *op)
{
	for (const hb_attr_row *r = op->attrs; r && r->name; r++)
		if (r->type == HB_ATTR_GRAPH)
			return true;
	return false;
}

/* Adds v's bytes, every NaN as the same one: its sign and payload say nothing. */
static void
keep(hb_buf *b, const hb_val *v)
{
	int64_t n = hb_shape_elems(&v->shape);

	if (v->dtype != HB_F32) {
		hb_buf_add(b, v->data, (size_t)n * hb_dtype_size(v->dtype));
		return;
	}
	for (int64_t i = 0; i < n; i++) {
		float f = ((const float *)v->data)[i];
		f = f != f ? (float)NAN : f;
		hb_buf_add(b, &f, sizeof(f));
	}
}

/* One node, at this width and with these threads; true where it ran, and its outputs in *b. */
static bool
one(const hb_op *op, hb_isa isa, int jobs, hb_buf *b)
{
	test_log log = { 0 };
	hb_options o = { .jobs = jobs, .isa = isa, .max_memory = 64 << 20, .diag = test_diag, .arg = &log };
	hb_ctx *cx = hb_ctx_new(&o);
	hb_graph *g = hb_graph_new(cx);
	int version = op->since + (int)pick((op->until ? op->until : 25) - op->since + 1);
	int nin = op->min_in + (int)pick((op->max_in < 0 ? op->min_in + 3 : op->max_in) - op->min_in + 1);
	int nout = HB_MAX(1, op->min_out + (int)pick((op->max_out < 0 ? op->min_out + 2 : op->max_out) - op->min_out + 1));
	hb_node *n = hb_node_new(g, NULL, "n", "", op->name, version, nin, nout);
	hb_val in[16], out[16];
	size_t count = 0;
	bool ran = false;

	for (int i = 0; i < nin && i < 16; i++) {
		char name[16];
		snprintf(name, sizeof(name), "x%d", i);
		if (i >= op->min_in && !pick(4))
			continue;
		uint32_t mask = i < (int)HB_LEN(op->in_types) && op->in_types[i] ? op->in_types[i] : op->types ? op->types : HB_ANY;
		hb_shape s = shape(i > 0, i && n->in[0] ? &n->in[0]->shape : NULL);
		hb_dtype dt = dtype(mask, i && n->in[0] ? n->in[0]->dtype : HB_NONE);
		hb_tensor *t;
		if (pick(5) < (i ? 3 : 1)) {
			t = hb_tensor_const(g, name, dt, &s, contents(g, dt, &s));
		} else {
			t = test_input(g, name, s);
			t->dtype = dt;
			in[count++] = (hb_val){ dt, s, contents(g, dt, &s) };
		}
		hb_node_set_in(g, n, i, t);
	}
	for (int i = 0; i < nout; i++) {
		char name[16];
		snprintf(name, sizeof(name), "y%d", i);
		hb_tensor *t = hb_tensor_new(g, name, HB_NONE, NULL);
		hb_node_set_out(n, i, t);
		test_output(g, t);
	}
	for (const hb_attr_row *r = op->attrs; r && r->name; r++) {
		bool holds = (!r->since || version >= r->since) && (!r->until || version <= r->until);
		if (holds && (r->required || pick(2)))
			attribute(g, n, r);
	}
	hb_status st = hb_pass_shapes(g, true);
	if (st == HB_NEED_CONST) {
		st = hb_pass_bind(g, in);
		if (st == HB_OK)
			st = hb_pass_shapes(g, false);
	}
	if (st == HB_OK) {
		hb_exec *ex = hb_exec_new(g, &st);
		if (ex) {
			st = hb_exec_run(ex, in, out, NULL, NULL);
			ran = st == HB_OK;
			for (size_t i = 0; ran && i < g->noutputs; i++)
				keep(b, &out[i]);
		}
		hb_exec_free(ex);
	}
	if (st != HB_OK && !log.count)
		fail_msg("%s was refused without a message", op->name);
	hb_ctx_free(cx);
	return ran;
}

static void
every_operator_is_refused_or_runs_to_the_same_bits(void **unused)
{
	const char *seed = getenv("HB_SEED"), *rounds = getenv("HB_ROUNDS"), *only = getenv("HB_OP");
	uint64_t s = seed ? strtoull(seed, NULL, 10) : 20240611;
	int64_t each = rounds ? strtoll(rounds, NULL, 10) : 40;
	int64_t ran = 0, all = 0;

	hb_ctx *cx = test_ctx(NULL, 1);
	(void)unused;
	print_message("HB_SEED=%" PRIu64 "\n", s);
	for (size_t i = 0; hb_op_at(i); i++) {
		const hb_op *op = hb_op_at(i);
		if (op->domain || takes_graph(op) || (only && strcmp(only, op->name)))
			continue;
		for (int64_t k = 0; k < each; k++) {
			if (getenv("HB_TELL"))
				fprintf(stderr, "%s %lld\n", op->name, (long long)k);
			hb_buf b[3] = { { .cx = cx }, { .cx = cx }, { .cx = cx } };
			for (int v = 0; v < 3; v++) {
				state = (s + i) * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)k * UINT64_C(0xd1342543de82ef95) + 1;
				for (int w = 0; w < 8; w++)
					next();
				ran += one(op, (hb_isa)v, 1 + v % 2, &b[v]);
			}
			for (int v = 1; v < 3; v++)
				if (b[v].len != b[0].len || (b[0].len && memcmp(b[v].p, b[0].p, b[0].len)))
					fail_msg("%s, round %lld: bits depend on the vector width or threads", op->name, (long long)k);
			for (int v = 0; v < 3; v++)
				hb_buf_free(&b[v]);
			all += 3;
		}
	}
	print_message("%lld of %lld ran\n", (long long)ran, (long long)all);
	assert_true(ran > 0);
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_operator_is_refused_or_runs_to_the_same_bits) };
	return cmocka_run_group_tests_name("op_random", tests, NULL, NULL);
}
