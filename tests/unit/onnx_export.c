/* export: the normal form, and that nodes of old and new operator sets mean the same in it. */
#include "tests/onnx_model.h"

#include "lib/pass/pass.h"

static hb_graph *
read_whole(hb_ctx *cx, const void *p, size_t n)
{
	hb_graph *g;
	assert_int_equal(hb_onnx_parse(cx, p, n, NULL, NULL, &g), HB_OK);
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	return g;
}

static hb_buf
written(hb_graph *g)
{
	hb_buf b = { .cx = g->cx };
	assert_int_equal(hb_onnx_bytes(g, &b), HB_OK);
	return b;
}

/* Outputs of g for inputs of 0.25 * (i mod 7) - 0.5. */
static void
run(hb_graph *g, float *to, size_t max, size_t *count)
{
	static float in[1024];
	hb_val iv[4] = { { 0 } }, ov[4] = { { 0 } };
	hb_status st;
	for (size_t i = 0; i < HB_LEN(in); i++)
		in[i] = 0.25f * (float)(i % 7) - 0.5f;
	hb_exec *ex = hb_exec_new(g, &st);
	assert_int_equal(st, HB_OK);
	for (size_t i = 0; i < g->ninputs; i++)
		iv[i] = (hb_val){ g->inputs[i]->dtype, g->inputs[i]->shape, in };
	assert_int_equal(hb_exec_run(ex, iv, ov, NULL, NULL), HB_OK);
	*count = 0;
	for (size_t i = 0; i < g->noutputs; i++) {
		size_t n = (size_t)hb_shape_elems(&ov[i].shape);
		assert_int_equal(ov[i].dtype, HB_F32);
		assert_true(*count + n <= max);
		memcpy(to + *count, ov[i].data, n * sizeof(float));
		*count += n;
	}
	hb_exec_free(ex);
}

/* The model read, written and read again gives the same numbers, and writes the same bytes.
 * Returns the graph that was read again. */
static hb_graph *
same_after_export(hb_ctx *cx, const pb *m)
{
	static float a[4096], b[4096];
	size_t na, nb;
	hb_graph *g = read_whole(cx, m->p, m->n);
	hb_buf bytes = written(g);
	hb_graph *again = read_whole(cx, bytes.p, bytes.len);
	hb_buf twice = written(again);
	run(g, a, HB_LEN(a), &na);
	run(again, b, HB_LEN(b), &nb);
	assert_int_equal(na, nb);
	assert_memory_equal(a, b, na * sizeof(float));
	assert_int_equal(bytes.len, twice.len);
	assert_memory_equal(bytes.p, twice.p, bytes.len);
	hb_buf_free(&twice);
	hb_buf_free(&bytes);
	return again;
}

static int
opset_of(const hb_graph *g)
{
	return g->opsets->version;
}

/* x of that shape into one node, whose first output is y. */
static pb
one_node(const pb *node, int opset, int rank, const int *dims, const pb *inits, size_t n)
{
	pb g = { 0 }, x = pb_value("x", T_FLOAT, rank, dims), y = { 0 };
	pb_str(&y, 1, "y");
	pb_str(&g, GRAPH_NAME, "g");
	pb_msg(&g, GRAPH_INPUT, &x);
	pb_msg(&g, GRAPH_OUTPUT, &y);
	for (size_t i = 0; i < n; i++)
		pb_msg(&g, GRAPH_INIT, &inits[i]);
	pb_msg(&g, GRAPH_NODE, node);
	return pb_model(&g, opset);
}

static void
with_int(pb *node, const char *name, int64_t v)
{
	pb a = pb_attr(name, 2);
	pb_int(&a, ATTR_I, v);
	pb_msg(node, NODE_ATTR, &a);
}

static void
with_float(pb *node, const char *name, float v)
{
	pb a = pb_attr(name, 1);
	pb_float(&a, ATTR_F, v);
	pb_msg(node, NODE_ATTR, &a);
}

static void
with_ints(pb *node, const char *name, int n, const int *v)
{
	pb a = pb_attr(name, 7);
	for (int i = 0; i < n; i++)
		pb_int(&a, ATTR_INTS, v[i]);
	pb_msg(node, NODE_ATTR, &a);
}

static pb
ints_init(const char *name, int n, const int64_t *v)
{
	pb t = pb_tensor(name, T_INT64, n);
	for (int i = 0; i < n; i++)
		pb_int(&t, TENSOR_INT64, v[i]);
	return t;
}

static pb
floats_init(const char *name, int n, const float *v)
{
	pb t = pb_tensor(name, T_FLOAT, n);
	for (int i = 0; i < n; i++)
		pb_float(&t, TENSOR_FLOAT, v[i]);
	return t;
}

static void
clip_bounds_become_inputs(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	pb n = pb_node("Clip", "n", "x", "y");
	with_float(&n, "min", 0);
	with_float(&n, "max", 0.6f);
	pb m = one_node(&n, 6, 1, (int[]){ 9 }, NULL, 0);
	hb_graph *g = same_after_export(cx, &m);
	assert_int_equal(opset_of(g), 17);
	assert_int_equal(g->ir_version, 8);
	assert_int_equal(g->first->nin, 3);
	assert_null(g->first->attrs);
	hb_ctx_free(cx);
}

static void
an_old_softmax_spans_all_dimensions_from_its_axis(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	pb n = pb_node("Softmax", "n", "x", "y");
	pb m = one_node(&n, 11, 3, (int[]){ 2, 3, 4 }, NULL, 0);
	hb_graph *g = same_after_export(cx, &m);
	assert_int_equal(g->nnodes, 3);		/* to a matrix, Softmax, back */
	with_int(&n, "axis", 1);
	m = one_node(&n, 11, 4, (int[]){ 2, 5, 1, 1 }, NULL, 0);
	g = same_after_export(cx, &m);
	assert_int_equal(g->nnodes, 1);		/* one dimension is wide: it is the axis */
	hb_ctx_free(cx);
}

static void
an_old_broadcast_is_aligned_by_its_axis(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	const float v[] = { 1, 2, 3 };
	pb n = pb_node("Add", "n", "x w", "y"), w = floats_init("w", 3, v);
	with_int(&n, "broadcast", 1);
	with_int(&n, "axis", 1);
	pb m = one_node(&n, 6, 4, (int[]){ 2, 3, 2, 2 }, &w, 1);
	hb_graph *g = same_after_export(cx, &m);
	assert_int_equal(g->first->in[1]->shape.rank, 3);
	hb_ctx_free(cx);
}

static void
lists_become_inputs(void **state)
{
	(void)state;
	static const struct {
		const char *op, *attr;
		int n, v[4];
	} cases[] = {
		{ "Squeeze", "axes", 1, { 0 } }, { "Unsqueeze", "axes", 1, { 1 } }, { "ReduceSum", "axes", 1, { 2 } },
		{ "ReduceMean", "axes", 2, { 1, 2 } }, { "Pad", "pads", 6, { 0, 1, 0, 0 } },
	};
	hb_ctx *cx = test_ctx(NULL, 1);
	for (size_t i = 0; i < HB_LEN(cases); i++) {
		int v[6] = { 0 };
		pb n = pb_node(cases[i].op, "n", "x", "y");
		for (int k = 0; k < 4; k++)
			v[k] = cases[i].v[k];
		with_ints(&n, cases[i].attr, cases[i].n, v);
		pb m = one_node(&n, 10, 3, (int[]){ 1, 3, 4 }, NULL, 0);
		same_after_export(cx, &m);
	}
	hb_ctx_free(cx);
}

static void
a_slice_by_attributes(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	pb n = pb_node("Slice", "n", "x", "y");
	with_ints(&n, "axes", 1, (int[]){ 1 });
	with_ints(&n, "starts", 1, (int[]){ 1 });
	with_ints(&n, "ends", 1, (int[]){ 3 });
	pb m = one_node(&n, 9, 2, (int[]){ 2, 4 }, NULL, 0);
	hb_graph *g = same_after_export(cx, &m);
	assert_int_equal(g->first->nin, 4);
	hb_ctx_free(cx);
}

static void
axes_of_a_new_reduction_go_back_to_an_attribute(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	const int64_t axes[] = { 1 };
	pb n = pb_node("ReduceMax", "n", "x axes", "y"), a = ints_init("axes", 1, axes);
	pb m = one_node(&n, 18, 2, (int[]){ 3, 4 }, &a, 1);
	hb_graph *g = same_after_export(cx, &m);
	size_t count;
	assert_int_equal(opset_of(g), 17);
	assert_int_equal(g->first->nin, 1);
	assert_int_equal(hb_attr_ints(g->first, "axes", &count)[0], 1);
	hb_ctx_free(cx);
}

static void
a_split_into_equal_parts(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	pb n = pb_node("Split", "n", "x", "y z w");
	with_int(&n, "axis", 1);
	with_int(&n, "num_outputs", 3);
	pb m = one_node(&n, 18, 2, (int[]){ 2, 8 }, NULL, 0);
	hb_graph *g = same_after_export(cx, &m);
	assert_int_equal(g->first->out[2]->shape.dim[1], 2);
	hb_ctx_free(cx);
}

static void
an_operator_that_needs_it_makes_the_file_newer(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	pb n = pb_node("Gelu", "n", "x", "y");
	pb m = one_node(&n, 20, 1, (int[]){ 5 }, NULL, 0);
	hb_graph *g = same_after_export(cx, &m);
	assert_int_equal(opset_of(g), 21);
	assert_int_equal(g->ir_version, 10);
	hb_ctx_free(cx);
}

static void
what_is_new_in_25_is_written_in_17(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	pb n = pb_node("Relu", "n", "x", "y");
	pb m = one_node(&n, 25, 1, (int[]){ 5 }, NULL, 0);
	assert_int_equal(opset_of(same_after_export(cx, &m)), 17);
	hb_ctx_free(cx);
}

static void
equal_node_names_get_a_number(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	pb g = pb_graph();
	pb_add(&g, pb_node("Relu", "n", "x", "a"));
	pb_add(&g, pb_node("Abs", "n", "a", "b"));
	pb_add(&g, pb_node("Neg", "n", "b", "y"));
	pb m = pb_model(&g, 13);
	hb_graph *r = same_after_export(cx, &m);
	assert_string_equal(r->first->name, "n");
	assert_string_equal(r->first->next->name, "n~2");
	assert_string_equal(r->last->name, "n~3");
	hb_ctx_free(cx);
}

static void
int16_makes_the_file_newer(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(1, 4));
	int16_t zero = 0;
	hb_shape scalar = { .rank = 0 };
	hb_tensor *zp = hb_tensor_const(g, "z", HB_I16, &scalar, &zero);
	hb_tensor *q = test_node(g, "QuantizeLinear", "q", x, hb_tensor_scalar_f32(g, "s", 0.5f), zp, NULL);
	test_output(g, test_node(g, "DequantizeLinear", "d", q, hb_tensor_find(g, "s"), zp, NULL));
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	hb_buf b = written(g);
	hb_graph *r = read_whole(cx, b.p, b.len);
	assert_int_equal(opset_of(r), 21);
	hb_buf_free(&b);
	hb_ctx_free(cx);
}

static void
a_large_repeated_element_is_a_small_file(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(1, 1 << 20));
	hb_shape s = test_shape(1, 1 << 20);
	hb_tensor *w = hb_tensor_new(g, "w", HB_F32, &s);
	w->is_const = w->is_splat = true;
	w->splat = 0x3f800000;			/* 1.0f */
	test_output(g, test_node(g, "Add", "n", x, w, NULL, NULL));
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	hb_buf b = written(g);
	assert_true(b.len < 1000);
	hb_graph *r = read_whole(cx, b.p, b.len);
	const float *v = hb_tensor_data(r, hb_tensor_find(r, "w"));
	assert_true(v && v[0] == 1 && v[(1 << 20) - 1] == 1);
	hb_buf_free(&b);
	hb_ctx_free(cx);
}

static void
scales_and_uncalibrated_come_back(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = test_input(g, "x", test_shape(1, 3)), *y = test_node(g, "Relu", "y", x, NULL, NULL, NULL);
	static const float scales[] = { 0.1f, 0x1p-30f, 3e20f };
	test_output(g, y);
	x->q = (hb_q){ .dtype = HB_I16, .nscales = 1, .scale = 1.0f / 3, .min = -0.7f, .max = 1e-9f, .observer = "kl" };
	y->q = (hb_q){ .dtype = HB_I32, .nscales = 3, .axis = 0, .scale = 0.1f, .scales = scales };
	g->uncalibrated = true;
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	hb_buf b = written(g);
	hb_graph *r = read_whole(cx, b.p, b.len);
	const hb_q *p = &r->inputs[0]->q, *q = &r->outputs[0]->q;
	assert_true(r->uncalibrated);
	assert_true(p->dtype == HB_I16 && p->scale == 1.0f / 3 && p->min == -0.7f && p->max == 1e-9f);
	assert_string_equal(p->observer, "kl");
	assert_true(q->dtype == HB_I32 && q->nscales == 3);
	assert_memory_equal(q->scales, scales, sizeof(scales));
	hb_buf_free(&b);
	hb_ctx_free(cx);
}

static void
a_tensor_comes_back(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_buf b = { .cx = cx };
	hb_shape s = test_shape(2, 2, 3);
	const int32_t v[] = { 1, -2, 3, -4, 5, INT32_MIN };
	hb_tensor *t;
	assert_int_equal(hb_onnx_tensor_bytes(cx, "t", HB_I32, &s, v, &b), HB_OK);
	assert_int_equal(hb_onnx_parse_tensor(g, (const uint8_t *)b.p, b.len, &t), HB_OK);
	hb_buf_free(&b);
	assert_true(hb_shape_eq(&t->shape, &s));
	assert_string_equal(t->name, "t");
	assert_memory_equal(hb_tensor_data(g, t), v, sizeof(v));
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clip_bounds_become_inputs),
		cmocka_unit_test(an_old_softmax_spans_all_dimensions_from_its_axis),
		cmocka_unit_test(an_old_broadcast_is_aligned_by_its_axis),
		cmocka_unit_test(lists_become_inputs),
		cmocka_unit_test(a_slice_by_attributes),
		cmocka_unit_test(axes_of_a_new_reduction_go_back_to_an_attribute),
		cmocka_unit_test(a_split_into_equal_parts),
		cmocka_unit_test(an_operator_that_needs_it_makes_the_file_newer),
		cmocka_unit_test(what_is_new_in_25_is_written_in_17),
		cmocka_unit_test(equal_node_names_get_a_number),
		cmocka_unit_test(int16_makes_the_file_newer),
		cmocka_unit_test(a_large_repeated_element_is_a_small_file),
		cmocka_unit_test(scales_and_uncalibrated_come_back),
		cmocka_unit_test(a_tensor_comes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
