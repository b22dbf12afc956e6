/* ir: links stay true while a graph is changed. */
#include "tests/test.h"

static void
assert_sound(hb_graph *g)
{
	const char *why = hb_graph_verify(g, g->arena);
	if (why)
		fail_msg("%s", why);
}

static void
a_taken_name_gets_a_number(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor_new(g, "x", HB_F32, NULL);
	assert_string_equal(hb_tensor_new(g, "x", HB_F32, NULL)->name, "x~2");
	assert_string_equal(hb_tensor_new(g, "x", HB_F32, NULL)->name, "x~3");
	hb_ctx_free(cx);
}

static void
sorting_keeps_an_order_that_is_already_right(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(1, 4));
	hb_tensor *a = test_node(g, "Relu", "a", x, NULL, NULL, NULL);
	hb_tensor *b = test_node(g, "Exp", "b", x, NULL, NULL, NULL);
	hb_tensor *c = test_node(g, "Add", "c", a, b, NULL, NULL);
	hb_node_move(g, c->producer, g->first);
	assert_int_equal(hb_graph_sort(g), HB_OK);
	assert_sound(g);
	assert_string_equal(g->first->name, "a");
	assert_string_equal(g->last->name, "c");
	hb_ctx_free(cx);
}

static void
a_cycle_is_named(void **state)
{
	(void)state;
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(1, 4));
	hb_tensor *a = test_node(g, "Add", "a", x, x, NULL, NULL);
	hb_tensor *b = test_node(g, "Relu", "b", a, NULL, NULL, NULL);
	hb_node_set_in(g, a->producer, 1, b);
	assert_int_equal(hb_graph_sort(g), HB_ERR_INPUT);
	assert_string_equal(log.id, "cycle");
	assert_string_equal(log.where, "node Add 'a'");
	hb_ctx_free(cx);
}

static void
the_output_keeps_its_name_when_its_node_goes(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(1, 4));
	hb_tensor *a = test_node(g, "Relu", "a", x, NULL, NULL, NULL);
	hb_tensor *y = test_node(g, "Identity", "y", a, NULL, NULL, NULL);
	test_output(g, y);
	hb_node *id = y->producer;
	hb_tensor_replace(g, y, a);
	hb_node_absorb(g, a->producer, id);
	hb_node_remove(g, id);
	assert_sound(g);
	assert_ptr_equal(g->outputs[0], a);
	assert_string_equal(a->name, "y");
	assert_ptr_equal(hb_tensor_find(g, "y"), a);
	assert_ptr_equal(g->last_source->now, a->producer);
	hb_ctx_free(cx);
}

static void
what_no_output_needs_is_swept(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(1, 4));
	hb_tensor *a = test_node(g, "Relu", "a", x, NULL, NULL, NULL);
	hb_tensor *b = test_node(g, "Exp", "b", a, NULL, NULL, NULL);
	test_node(g, "Log", "c", b, NULL, NULL, NULL);
	test_output(g, a);
	hb_graph_sweep(g);
	assert_sound(g);
	assert_int_equal(g->nnodes, 1);
	assert_null(g->last_source->now);
	hb_ctx_free(cx);
}

static void
half_floats_are_read_exactly(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	/* 1, -2, smallest denormal, largest, infinity; one byte off alignment */
	static const uint8_t raw[] = { 9, 0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00, 0xff, 0x7b, 0x00, 0x7c };
	hb_shape s = test_shape(1, 5);
	hb_tensor *t = hb_tensor_new(g, "h", HB_F32, &s);
	t->is_const = true;
	t->raw = raw + 1;
	t->raw_onnx_type = 10;
	const float *v = hb_tensor_data(g, t);
	assert_true(v[0] == 1 && v[1] == -2 && v[2] == 0x1p-24f && v[3] == 65504 && v[4] > 1e38f);
	hb_ctx_free(cx);
}

static void
shapes_broadcast_as_numpy_does(void **state)
{
	(void)state;
	hb_shape a = test_shape(3, 4, 1, 3), b = test_shape(2, 5, 1), out, bad = test_shape(1, 2);
	hb_shape want = test_shape(3, 4, 5, 3), zero = test_shape(2, 0, 3);
	assert_true(hb_shape_broadcast(&a, &b, &out));
	assert_true(hb_shape_eq(&out, &want));
	assert_false(hb_shape_broadcast(&a, &bad, &out));
	assert_true(hb_shape_broadcast(&zero, &a, &out) && out.dim[1] == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_taken_name_gets_a_number),
		cmocka_unit_test(sorting_keeps_an_order_that_is_already_right),
		cmocka_unit_test(a_cycle_is_named),
		cmocka_unit_test(the_output_keeps_its_name_when_its_node_goes),
		cmocka_unit_test(what_no_output_needs_is_swept),
		cmocka_unit_test(half_floats_are_read_exactly),
		cmocka_unit_test(shapes_broadcast_as_numpy_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
