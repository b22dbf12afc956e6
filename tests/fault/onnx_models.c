/* Models that are wrong: what is said, where, and with which status. */
#include "tests/onnx_model.h"

static pb
model_of(pb node)
{
	pb g = pb_graph();
	pb_add(&g, node);
	return pb_model(&g, 13);
}

static pb
with_init(pb tensor)
{
	pb g = pb_graph();
	pb_msg(&g, GRAPH_INIT, &tensor);
	pb_add(&g, pb_node("Add", "n", "x w", "y"));
	return pb_model(&g, 13);
}

static void
a_file_that_is_no_model(void **state)
{
	(void)state;
	pb m = { 0 };
	assert_refused(&m, HB_ERR_INPUT, "", "onnx-graph", "not an ONNX model: it holds no graph");
	for (const char *s = "hello, world: this is text"; *s; s++)
		pb_byte(&m, (uint8_t)*s);
	hb_graph *g;
	hb_ctx *cx = test_ctx(NULL, 1);
	assert_int_equal(pb_read(cx, &m, &g), HB_ERR_INPUT);
	hb_ctx_free(cx);
}

static void
a_cycle(void **state)
{
	(void)state;
	pb g = pb_graph();
	pb_add(&g, pb_node("Add", "first", "x b", "a"));
	pb_add(&g, pb_node("Abs", "second", "a", "b"));
	pb_add(&g, pb_node("Relu", "third", "b", "y"));
	pb m = pb_model(&g, 13);
	assert_refused(&m, HB_ERR_INPUT, "node 0 Add 'first'", "cycle", "the graph has a cycle through this node");
}

static void
a_missing_tensor(void **state)
{
	(void)state;
	pb m = model_of(pb_node("Add", "sum", "x nowhere", "y"));
	assert_refused(&m, HB_ERR_INPUT, "node 0 Add 'sum'", "onnx-missing", "input 1 'nowhere' is missing: no node writes it, and it is no input and no initializer");
}

static void
a_missing_output(void **state)
{
	(void)state;
	pb m = model_of(pb_node("Relu", "n", "x", "z"));
	assert_refused(&m, HB_ERR_INPUT, "output 'y'", "onnx-missing", "no node writes it");
}

static void
a_name_written_twice(void **state)
{
	(void)state;
	pb g = pb_graph();
	pb_add(&g, pb_node("Relu", "one", "x", "y"));
	pb_add(&g, pb_node("Abs", "two", "x", "y"));
	pb m = pb_model(&g, 13);
	assert_refused(&m, HB_ERR_INPUT, "node 1 Abs 'two'", "onnx-ssa", "tensor 'y' is written twice");
}

static void
a_node_without_an_operator(void **state)
{
	(void)state;
	pb m = model_of(pb_node("", "n", "x", "y"));
	assert_refused(&m, HB_ERR_INPUT, "node 0  'n'", "onnx-node", "has no operator type");
}

static void
a_node_without_outputs(void **state)
{
	(void)state;
	pb m = model_of(pb_node("Relu", "n", "x", "-"));
	assert_refused(&m, HB_ERR_INPUT, "node 0 Relu 'n'", "onnx-node", "has 0 outputs; it must have at least one");
}

static void
an_operator_set_from_the_future(void **state)
{
	(void)state;
	pb g = pb_graph();
	pb_add(&g, pb_node("Relu", "n", "x", "y"));
	pb m = pb_model(&g, 26);
	assert_refused(&m, HB_ERR_UNSUPPORTED, "", "onnx-opset", "the model is of operator set 26; 1 to 25 are taken");
	m = pb_model(&g, 0);
	assert_refused(&m, HB_ERR_UNSUPPORTED, "", "onnx-opset", "operator set 0;");
}

static void
every_unsupported_operator_is_named(void **state)
{
	(void)state;
	pb g = pb_graph(), other = pb_node("Warp", "w", "a", "b"), o = pb_opset("com.x", 1);
	pb_str(&other, NODE_DOMAIN, "com.x");
	pb_add(&g, pb_node("Frobnicate", "f", "x", "a"));
	pb_add(&g, other);
	pb_add(&g, pb_node("Frobnicate", "f2", "b", "y"));
	pb m = pb_model(&g, 13);
	pb_msg(&m, MODEL_OPSET, &o);
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *r;
	assert_int_equal(pb_read(cx, &m, &r), HB_ERR_UNSUPPORTED);
	assert_int_equal(log.count, 2);
	assert_string_equal(log.where, "node 1 Warp 'w'");
	assert_string_equal(log.text, "operator Warp of domain 'com.x' is not supported");
	hb_ctx_free(cx);
}

static void
a_domain_that_is_not_imported(void **state)
{
	(void)state;
	pb n = pb_node("Warp", "w", "x", "y");
	pb_str(&n, NODE_DOMAIN, "com.x");
	pb m = model_of(n);
	assert_refused(&m, HB_ERR_INPUT, "node 0 Warp 'w'", "onnx-opset", "is of domain 'com.x', of which the model imports no operator set");
}

static void
data_of_the_wrong_length(void **state)
{
	(void)state;
	pb w = pb_tensor("w", T_FLOAT, 2);
	pb_bytes(&w, TENSOR_RAW, "1234567", 7);
	pb m = with_init(w);
	assert_refused(&m, HB_ERR_INPUT, "tensor 'w'", "onnx-data", "has 7 bytes of data; its shape and type need 8");
	w = pb_tensor("w", T_FLOAT, 2);
	pb_float(&w, TENSOR_FLOAT, 1);
	m = with_init(w);
	assert_refused(&m, HB_ERR_INPUT, "tensor 'w'", "onnx-data", "has 1 elements; its shape has 2");
	w = pb_tensor("w", T_INT8, 1);
	pb_int(&w, TENSOR_INT32, 300);
	m = with_init(w);
	assert_refused(&m, HB_ERR_INPUT, "tensor 'w'", "onnx-data", "has an element 300, which int8 cannot hold");
}

static void
absurd_sizes(void **state)
{
	(void)state;
	pb w = { 0 };
	pb_str(&w, TENSOR_NAME, "w");
	pb_int(&w, TENSOR_TYPE, T_FLOAT);
	for (int i = 0; i < 3; i++)
		pb_int(&w, TENSOR_DIMS, INT64_C(1) << 40);
	pb m = with_init(w);
	assert_refused(&m, HB_ERR_INPUT, "tensor 'w'", "shape", "has more than 2^47 elements");
	w = pb_tensor("w", T_FLOAT, -5);
	m = with_init(w);
	assert_refused(&m, HB_ERR_INPUT, "tensor 'w'", "shape", "dimension 0 is -5; it must be at least 0");
	w = pb_tensor("w", T_FLOAT, 1);
	for (int i = 0; i < 16; i++)
		pb_int(&w, TENSOR_DIMS, 1);
	m = with_init(w);
	assert_refused(&m, HB_ERR_UNSUPPORTED, "tensor 'w'", "rank", "has rank 17; tensors of rank 0 to 16 are taken");
	/* 2^46 elements are said, none are there: nothing is allocated for them. */
	w = pb_tensor("w", T_INT64, 1);
	pb_int(&w, TENSOR_DIMS, INT64_C(1) << 46);
	m = with_init(w);
	assert_refused(&m, HB_ERR_INPUT, "tensor 'w'", "onnx-data", "has 0 elements");
}

static void
types_that_are_not_taken(void **state)
{
	(void)state;
	pb w = pb_tensor("w", T_STRING, 1);
	pb m = with_init(w);
	assert_refused(&m, HB_ERR_UNSUPPORTED, "tensor 'w'", "onnx-type", "has element type string");
	w = pb_tensor("w", 22, 1);
	m = with_init(w);
	assert_refused(&m, HB_ERR_UNSUPPORTED, "tensor 'w'", "onnx-type", "has element type int4");
	w = pb_tensor("w", 99, 1);
	m = with_init(w);
	assert_refused(&m, HB_ERR_INPUT, "tensor 'w'", "onnx-type", "has element type 99, which ONNX does not name");
}

static void
a_sequence_as_an_input(void **state)
{
	(void)state;
	pb g = pb_graph(), v = { 0 }, ty = { 0 }, seq = { 0 };
	pb_msg(&ty, 4, &seq);
	pb_str(&v, 1, "s");
	pb_msg(&v, 2, &ty);
	pb_msg(&g, GRAPH_INPUT, &v);
	pb_add(&g, pb_node("Relu", "n", "x", "y"));
	pb m = pb_model(&g, 13);
	assert_refused(&m, HB_ERR_UNSUPPORTED, "input 's'", "onnx-type", "is a sequence; tensors are taken");
}

static void
attributes_that_are_wrong(void **state)
{
	(void)state;
	pb n = pb_node("Flatten", "n", "x", "y"), a = pb_attr("axis", 2);
	pb_int(&a, ATTR_I, 1);
	pb_msg(&n, NODE_ATTR, &a);
	pb_msg(&n, NODE_ATTR, &a);
	pb m = model_of(n);
	assert_refused(&m, HB_ERR_INPUT, "node 0 Flatten 'n'", "onnx-attribute", "has attribute 'axis' twice");
	n = pb_node("Flatten", "n", "x", "y");
	a = pb_attr("axis", 4);
	pb_msg(&n, NODE_ATTR, &a);
	m = model_of(n);
	assert_refused(&m, HB_ERR_INPUT, "node 0 Flatten 'n'", "onnx-attribute", "attribute 'axis' has no value");
	n = pb_node("Flatten", "n", "x", "y");
	a = pb_attr("axis", 13);
	pb_msg(&n, NODE_ATTR, &a);
	m = model_of(n);
	assert_refused(&m, HB_ERR_UNSUPPORTED, "node 0 Flatten 'n'", "onnx-attribute", "attribute 'axis' is a type, which is not taken");
	n = pb_node("Flatten", "n", "x", "y");
	a = pb_attr("axis", 2);
	pb_str(&a, ATTR_REF, "outer");
	pb_msg(&n, NODE_ATTR, &a);
	m = model_of(n);
	assert_refused(&m, HB_ERR_INPUT, "node 0 Flatten 'n'", "onnx-attribute", "only nodes of functions refer to attributes");
	n = pb_node("Flatten", "n", "x", "y");
	a = pb_attr("axis", 1);
	pb_float(&a, ATTR_F, 1);
	pb_msg(&n, NODE_ATTR, &a);
	m = model_of(n);
	assert_refused(&m, HB_ERR_INPUT, "node 0 Flatten 'n'", "attribute", "attribute 'axis' is a float; it must be an integer");
}

static void
a_constant_without_a_value(void **state)
{
	(void)state;
	pb g = pb_graph();
	pb_add(&g, pb_node("Constant", "k", "", "y"));
	pb m = pb_model(&g, 13);
	assert_refused(&m, HB_ERR_INPUT, "node 0 Constant 'k'", "onnx-constant", "has no value; a Constant has exactly one value");
}

static void
a_function_that_calls_itself(void **state)
{
	(void)state;
	pb fn = { 0 }, g = pb_graph(), call = pb_node("F", "call", "x", "y"), inner = pb_node("F", "in", "a", "b"), mine = pb_opset("my", 1);
	pb_str(&call, NODE_DOMAIN, "my");
	pb_str(&inner, NODE_DOMAIN, "my");
	pb_str(&fn, FN_NAME, "F");
	pb_str(&fn, FN_DOMAIN, "my");
	pb_str(&fn, FN_IN, "a");
	pb_str(&fn, FN_OUT, "b");
	pb_msg(&fn, FN_NODE, &inner);
	pb_add(&g, call);
	pb m = pb_model(&g, 13);
	pb_msg(&m, MODEL_OPSET, &mine);
	pb_msg(&m, MODEL_FUNCTION, &fn);
	assert_refused(&m, HB_ERR_INPUT, "node 0 F 'in'", "onnx-function", "function 'F' calls itself");
}

static void
a_graph_without_outputs(void **state)
{
	(void)state;
	pb g = { 0 }, x = pb_value("x", T_FLOAT, 1, (int[]){ 2 });
	pb_str(&g, GRAPH_NAME, "empty");
	pb_msg(&g, GRAPH_INPUT, &x);
	pb_add(&g, pb_node("Relu", "n", "x", "y"));
	pb m = pb_model(&g, 13);
	assert_refused(&m, HB_ERR_INPUT, "", "onnx-graph", "graph 'empty' has no outputs");
}

/* Every byte of a model of many parts changed in some way: read, or refused with a reason. */
static void
flipped_bits_never_pass_in_silence(void **state)
{
	(void)state;
	pb g = pb_graph(), w = pb_tensor("w", T_FLOAT, 2), n = pb_node("Clip", "c", "a", "y"), a = pb_attr("max", 1);
	const float v[] = { 1, 2 };
	pb_bytes(&w, TENSOR_RAW, v, 8);
	pb_float(&a, ATTR_F, 6);
	pb_msg(&n, NODE_ATTR, &a);
	pb_msg(&g, GRAPH_INIT, &w);
	pb_add(&g, pb_node("Add", "n", "x w", "a"));
	pb_add(&g, n);
	pb m = pb_model(&g, 7);
	for (size_t i = 0; i < m.n; i++) {
		for (int bit = 0; bit < 8; bit++) {
			pb bad = m;
			test_log log = { 0 };
			hb_ctx *cx = test_ctx(&log, 1);
			hb_graph *r;
			bad.p[i] ^= (uint8_t)(1u << bit);
			hb_status st = pb_read(cx, &bad, &r);
			assert_true(st == HB_OK ? r != NULL : r == NULL && log.severity == HB_ERROR && log.count > 0);
			assert_true(st != HB_ERR_NOMEM && st != HB_ERR_SYSTEM);
			hb_ctx_free(cx);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_that_is_no_model),
		cmocka_unit_test(a_cycle),
		cmocka_unit_test(a_missing_tensor),
		cmocka_unit_test(a_missing_output),
		cmocka_unit_test(a_name_written_twice),
		cmocka_unit_test(a_node_without_an_operator),
		cmocka_unit_test(a_node_without_outputs),
		cmocka_unit_test(an_operator_set_from_the_future),
		cmocka_unit_test(every_unsupported_operator_is_named),
		cmocka_unit_test(a_domain_that_is_not_imported),
		cmocka_unit_test(data_of_the_wrong_length),
		cmocka_unit_test(absurd_sizes),
		cmocka_unit_test(types_that_are_not_taken),
		cmocka_unit_test(a_sequence_as_an_input),
		cmocka_unit_test(attributes_that_are_wrong),
		cmocka_unit_test(a_constant_without_a_value),
		cmocka_unit_test(a_function_that_calls_itself),
		cmocka_unit_test(a_graph_without_outputs),
		cmocka_unit_test(flipped_bits_never_pass_in_silence),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
