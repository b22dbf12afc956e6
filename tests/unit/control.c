/* control.c: If, Loop and Scan become part of the graph around them. */
#include "lib/pass/pass.h"
#include "tests/test.h"

#include <string.h>

static hb_graph *
body_in(hb_graph *g)
{
	hb_graph *b = hb_graph_new(g->cx);
	assert_non_null(b);
	b->outer = g;
	return b;
}

/* What the body sees of tensor t around it. */
static hb_tensor *
capture(hb_graph *b, hb_tensor *t)
{
	hb_tensor *c = hb_tensor_new(b, t->name, t->dtype, &t->shape);
	c->outer = t;
	assert_true(HB_GROW(b->arena, &b->captured, &b->cap_captured, b->ncaptured + 1));
	b->captured[b->ncaptured++] = c;
	return c;
}

static hb_tensor *
typed_input(hb_graph *g, const char *name, hb_dtype dt, hb_shape s)
{
	hb_tensor *t = test_input(g, name, s);
	t->dtype = dt;
	return t;
}

static void
give_body(hb_node *n, const char *name, hb_graph *b)
{
	hb_attr *a = HB_NEW(b->arena, hb_attr);
	*a = (hb_attr){ .name = name, .type = HB_ATTR_GRAPH, .g = b, .next = n->attrs };
	n->attrs = a;
}

static hb_tensor *
flag(hb_graph *g, const char *name, uint8_t v)
{
	hb_shape s = { .rank = 0 };
	return hb_tensor_const(g, name, HB_BOOL, &s, &v);
}

static hb_tensor *
count(hb_graph *g, const char *name, int64_t v)
{
	hb_shape s = { .rank = 0 };
	return hb_tensor_const(g, name, HB_I64, &s, &v);
}

/* The executor, which owns the outputs. */
static hb_exec *
run(hb_graph *g, const hb_val *in, hb_val *out)
{
	hb_status st;
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	assert_null(hb_graph_verify(g, g->arena));
	hb_exec *ex = hb_exec_new(g, &st);
	assert_int_equal(st, HB_OK);
	assert_int_equal(hb_exec_run(ex, in, out, NULL, NULL), HB_OK);
	return ex;
}

static hb_node *
node_with_outputs(hb_graph *g, const char *op, int version, hb_tensor **in, int nin, int nout)
{
	hb_node *n = hb_node_new(g, NULL, op, "", op, version, nin, nout);
	for (int i = 0; i < nin; i++)
		hb_node_set_in(g, n, i, in[i]);
	for (int i = 0; i < nout; i++) {
		hb_tensor *t = hb_tensor_new(g, "y", HB_NONE, NULL);
		hb_node_set_out(n, i, t);
		test_output(g, t);
	}
	return n;
}

/* if (yes) y = x + x else y = x, where x is captured */
static void
if_takes_the_branch_of_its_constant_condition(void **unused)
{
	(void)unused;
	for (int yes = 0; yes < 2; yes++) {
		hb_ctx *cx = test_ctx(NULL, 1);
		hb_graph *g = hb_graph_new(cx);
		hb_tensor *x = test_input(g, "x", test_shape(1, 2)), *cond = flag(g, "c", (uint8_t)yes);
		hb_graph *then = body_in(g), *other = body_in(g);
		hb_tensor *mine = capture(then, x);
		test_output(then, test_node(then, "Add", "twice", mine, mine, NULL, NULL));
		test_output(other, capture(other, x));
		hb_node *n = node_with_outputs(g, "If", 13, &cond, 1, 1);
		give_body(n, "then_branch", then);
		give_body(n, "else_branch", other);
		float v[] = { 1, 2 };
		hb_val in = { HB_F32, x->shape, v }, out;
		hb_exec *ex = run(g, &in, &out);
		assert_true(((float *)out.data)[1] == (yes ? 4.0f : 2.0f));
		hb_exec_free(ex);
		hb_ctx_free(cx);
	}
}

static void
if_on_an_input_is_refused_by_name(void **unused)
{
	(void)unused;
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *cond = typed_input(g, "c", HB_BOOL, test_shape(0));
	hb_graph *then = body_in(g), *other = body_in(g);
	test_output(then, count(then, "a", 1));
	test_output(other, count(other, "b", 2));
	hb_node *n = node_with_outputs(g, "If", 13, &cond, 1, 1);
	give_body(n, "then_branch", then);
	give_body(n, "else_branch", other);
	assert_int_equal(hb_pass_shapes(g, false), HB_ERR_UNSUPPORTED);
	assert_string_equal(log.id, "dynamic-shape");
	hb_ctx_free(cx);
}

/* A body of Loop: sum += x; shows sum; goes on while trip < last. */
static hb_graph *
summing_body(hb_graph *g, hb_tensor *x, int64_t last)
{
	hb_graph *b = body_in(g);
	hb_tensor *trip = typed_input(b, "trip", HB_I64, test_shape(0));
	typed_input(b, "cond", HB_BOOL, test_shape(0));
	hb_tensor *sum = test_input(b, "sum", x->shape);
	hb_tensor *on = test_node(b, "Less", "on", trip, count(b, "last", last), NULL, NULL);
	hb_tensor *next = test_node(b, "Add", "next", sum, capture(b, x), NULL, NULL);
	test_output(b, on);
	test_output(b, next);
	test_output(b, next);
	return b;
}

static void
sums(int64_t most, int64_t last, int64_t want_trips)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(1, 2)), *zero = test_const(g, "zero", test_shape(1, 2), (float[]){ 0, 0 });
	hb_tensor *ins[] = { most < 0 ? NULL : count(g, "M", most), flag(g, "c", 1), zero };
	give_body(node_with_outputs(g, "Loop", 13, ins, 3, 2), "body", summing_body(g, x, last));
	float v[] = { 1, 10 };
	hb_val in = { HB_F32, x->shape, v }, out[2];
	hb_exec *ex = run(g, &in, out);
	assert_true(((float *)out[0].data)[1] == 10.0f * (float)want_trips);
	assert_int_equal(out[1].shape.rank, 2);
	assert_int_equal(out[1].shape.dim[0], want_trips);
	for (int64_t t = 0; t < want_trips; t++)
		assert_true(((float *)out[1].data)[2 * t] == (float)(t + 1));
	hb_exec_free(ex);
	hb_ctx_free(cx);
}

static void
loop_ends_by_its_count(void **unused)
{
	(void)unused;
	sums(3, 100, 3);
}

static void
loop_ends_by_its_condition(void **unused)
{
	(void)unused;
	sums(-1, 4, 5);
	sums(50, 1, 2);
}

static void
loop_without_end_is_refused(void **unused)
{
	(void)unused;
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_graph *b = body_in(g);
	typed_input(b, "trip", HB_I64, test_shape(0));
	test_output(b, typed_input(b, "cond", HB_BOOL, test_shape(0)));
	hb_tensor *v = test_input(b, "v", test_shape(0));
	test_output(b, v);
	hb_tensor *ins[] = { NULL, NULL, test_input(g, "x", test_shape(0)) };
	give_body(node_with_outputs(g, "Loop", 13, ins, 3, 1), "body", b);
	assert_int_equal(hb_pass_shapes(g, false), HB_ERR_UNSUPPORTED);
	assert_string_equal(log.id, "loop");
	hb_ctx_free(cx);
}

/* Running sums along axis 1, from the end. */
static void
scan_goes_along_its_axis_and_direction(void **unused)
{
	(void)unused;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(2, 2, 3)), *zero = test_const(g, "zero", test_shape(1, 2), (float[]){ 0, 0 });
	hb_graph *b = body_in(g);
	hb_tensor *sum = test_input(b, "sum", test_shape(1, 2)), *v = test_input(b, "v", test_shape(1, 2));
	hb_tensor *next = test_node(b, "Add", "next", sum, v, NULL, NULL);
	test_output(b, next);
	test_output(b, next);
	hb_tensor *ins[] = { zero, x };
	hb_node *n = node_with_outputs(g, "Scan", 11, ins, 2, 2);
	give_body(n, "body", b);
	int64_t one = 1;
	assert_true(hb_attr_set_i(g, n, "num_scan_inputs", 1));
	assert_true(hb_attr_set_ints(g, n, "scan_input_axes", &one, 1));
	assert_true(hb_attr_set_ints(g, n, "scan_input_directions", &one, 1));
	assert_true(hb_attr_set_ints(g, n, "scan_output_axes", &one, 1));
	float data[] = { 1, 2, 3, 10, 20, 30 };
	static const float want[] = { 3, 5, 6, 30, 50, 60 };
	hb_val in = { HB_F32, x->shape, data }, out[2];
	hb_exec *ex = run(g, &in, out);
	assert_true(((float *)out[0].data)[0] == 6.0f && ((float *)out[0].data)[1] == 60.0f);
	assert_int_equal(out[1].shape.dim[1], 3);
	assert_memory_equal(out[1].data, want, sizeof(want));
	hb_exec_free(ex);
	hb_ctx_free(cx);
}

static void
a_shape_that_depends_on_contents_names_them(void **state)
{
	(void)state;
	test_log log = { .count = 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = typed_input(g, "x", HB_BOOL, test_shape(2, 2, 3)), *to = typed_input(g, "to", HB_I64, test_shape(1, 2));
	test_output(g, test_node(g, "Reshape", "r", x, to, NULL, NULL));
	assert_int_equal(hb_pass_shapes(g, false), HB_ERR_UNSUPPORTED);
	assert_string_equal(log.id, "dynamic-shape");
	assert_non_null(strstr(log.text, "contents of input 'to'"));
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_shape_that_depends_on_contents_names_them),
		cmocka_unit_test(if_takes_the_branch_of_its_constant_condition),
		cmocka_unit_test(if_on_an_input_is_refused_by_name),
		cmocka_unit_test(loop_ends_by_its_count),
		cmocka_unit_test(loop_ends_by_its_condition),
		cmocka_unit_test(loop_without_end_is_refused),
		cmocka_unit_test(scan_goes_along_its_axis_and_direction),
	};
	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
