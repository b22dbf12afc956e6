/* import: what a model file becomes. */
#include "tests/onnx_model.h"

#include <unistd.h>

static hb_graph *
read_ok(hb_ctx *cx, const pb *m)
{
	hb_graph *g;
	assert_int_equal(pb_read(cx, m, &g), HB_OK);
	const char *why = hb_graph_verify(g, g->arena);
	if (why)
		fail_msg("%s", why);
	return g;
}

static hb_graph *
read_with(hb_ctx *cx, const pb *m, hb_status want, const char *name, hb_shape shape)
{
	hb_input_shape s = { .name = name, .shape = shape };
	hb_import_options o = { .shapes = &s, .nshapes = 1 };
	hb_graph *g;
	assert_int_equal(hb_onnx_parse(cx, m->p, m->n, NULL, &o, &g), want);
	return g;
}

static void
nodes_in_any_order_are_sorted(void **state)
{
	(void)state;
	pb g = pb_graph();
	pb_add(&g, pb_node("Relu", "last", "b", "y"));
	pb_add(&g, pb_node("Abs", "mid", "a", "b"));
	pb_add(&g, pb_node("Neg", "first", "x", "a"));
	pb m = pb_model(&g, 13);
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *r = read_ok(cx, &m);
	assert_string_equal(r->first->name, "first");
	assert_string_equal(r->last->name, "last");
	/* Rows for reports stay in the order of the file. */
	assert_string_equal(r->sources->name, "last");
	assert_int_equal(r->sources->index, 0);
	assert_ptr_equal(r->sources->now, r->last);
	assert_int_equal(r->last->index, 0);
	hb_ctx_free(cx);
}

static void
a_node_without_a_name_has_that_of_its_output(void **state)
{
	(void)state;
	pb g = pb_graph();
	pb_add(&g, pb_node("Relu", "", "x", "y"));
	pb m = pb_model(&g, 13);
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *r = read_ok(cx, &m);
	assert_string_equal(r->first->name, "y");
	assert_true(r->sources->unnamed);
	hb_ctx_free(cx);
}

static void
an_input_with_an_initializer_is_a_constant(void **state)
{
	(void)state;
	pb g = pb_graph();
	pb w = pb_tensor("w", T_FLOAT, 2), wi = pb_value("w", T_FLOAT, 1, (int[]){ 2 });
	const float v[] = { 1.5f, -2 };
	pb_bytes(&w, TENSOR_RAW, v, 8);
	pb_msg(&g, GRAPH_INPUT, &wi);
	pb_msg(&g, GRAPH_INIT, &w);
	pb_add(&g, pb_node("Add", "n", "x w", "y"));
	pb m = pb_model(&g, 13);
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *r = read_ok(cx, &m);
	assert_int_equal(r->ninputs, 1);
	hb_tensor *t = hb_tensor_find(r, "w");
	assert_true(t->is_const && !t->is_input);
	assert_memory_equal(hb_tensor_data(r, t), v, 8);
	hb_ctx_free(cx);
}

static hb_tensor *
one_tensor(hb_ctx *cx, const pb *t, hb_graph **g)
{
	hb_tensor *out = NULL;
	*g = hb_graph_new(cx);
	assert_int_equal(hb_onnx_parse_tensor(*g, t->p, t->n, &out), HB_OK);
	return out;
}

static void
typed_lists_are_read_packed_and_not(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g;
	pb a = pb_tensor("a", T_INT64, 3), b = pb_tensor("b", T_INT8, 3), c = pb_tensor("c", T_FLOAT, 2);
	pb_bytes(&a, TENSOR_INT64, "\x01\x80\x01\x7f", 4);
	assert_memory_equal(hb_tensor_data(g, one_tensor(cx, &a, &g)), ((int64_t[]){ 1, 128, 127 }), 24);
	pb_int(&b, TENSOR_INT32, -1);
	pb_int(&b, TENSOR_INT32, 255);		/* some writers do not sign-extend */
	pb_int(&b, TENSOR_INT32, 7);
	assert_memory_equal(hb_tensor_data(g, one_tensor(cx, &b, &g)), ((int8_t[]){ -1, -1, 7 }), 3);
	pb_float(&c, TENSOR_FLOAT, 0.5f);
	pb_float(&c, TENSOR_FLOAT, -3);
	assert_memory_equal(hb_tensor_data(g, one_tensor(cx, &c, &g)), ((float[]){ 0.5f, -3 }), 8);
	hb_ctx_free(cx);
}

static void
half_and_double_become_float_with_one_note(void **state)
{
	(void)state;
	pb g = pb_graph();
	pb w = pb_tensor("w", T_FLOAT16, 2), d = pb_tensor("d", T_DOUBLE, 2);
	const double dv[] = { 0.25, 8 };
	pb_int(&w, TENSOR_INT32, 0x3e00);	/* 1.5 */
	pb_int(&w, TENSOR_INT32, 0xc000);	/* -2 */
	pb_bytes(&d, TENSOR_RAW, dv, 16);
	pb_msg(&g, GRAPH_INIT, &w);
	pb_msg(&g, GRAPH_INIT, &d);
	pb_add(&g, pb_node("Add", "n", "x w", "a"));
	pb_add(&g, pb_node("Add", "k", "a d", "y"));
	pb m = pb_model(&g, 13);
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *r = read_ok(cx, &m);
	assert_int_equal(log.count, 1);
	assert_int_equal(log.severity, HB_NOTE);
	assert_memory_equal(hb_tensor_data(r, hb_tensor_find(r, "w")), ((float[]){ 1.5f, -2 }), 8);
	assert_memory_equal(hb_tensor_data(r, hb_tensor_find(r, "d")), ((float[]){ 0.25f, 8 }), 8);
	hb_ctx_free(cx);
}

static void
casts_to_half_are_casts_to_float(void **state)
{
	(void)state;
	pb g = pb_graph(), n = pb_node("Cast", "n", "x", "y"), a = pb_attr("to", 2);
	pb_int(&a, ATTR_I, T_FLOAT16);
	pb_msg(&n, NODE_ATTR, &a);
	pb_add(&g, n);
	pb m = pb_model(&g, 13);
	hb_ctx *cx = test_ctx(NULL, 1);
	assert_int_equal(hb_attr_i(read_ok(cx, &m)->first, "to", 0), T_FLOAT);
	hb_ctx_free(cx);
}

static void
constant_nodes_become_constants(void **state)
{
	(void)state;
	pb g = pb_graph(), n = pb_node("Constant", "k", "", "c"), a = pb_attr("value_floats", 6);
	pb_float(&a, ATTR_FLOATS, 2);
	pb_float(&a, ATTR_FLOATS, 3);
	pb_msg(&n, NODE_ATTR, &a);
	pb_add(&g, pb_node("Mul", "n", "x c", "y"));	/* before the constant: order does not matter */
	pb_add(&g, n);
	pb m = pb_model(&g, 13);
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *r = read_ok(cx, &m);
	assert_int_equal(r->nnodes, 1);
	assert_true(hb_tensor_find(r, "c")->is_const);
	assert_memory_equal(hb_tensor_data(r, hb_tensor_find(r, "c")), ((float[]){ 2, 3 }), 8);
	assert_string_equal(r->sources->next->name, "k");
	assert_null(r->sources->next->now);
	hb_ctx_free(cx);
}

static pb
symbolic(int rank, const int *dims)
{
	pb g = { 0 }, x = pb_value("x", T_FLOAT, rank, dims), y = { 0 };
	pb_str(&y, 1, "y");
	pb_str(&g, GRAPH_NAME, "g");
	pb_msg(&g, GRAPH_INPUT, &x);
	pb_msg(&g, GRAPH_OUTPUT, &y);
	pb_add(&g, pb_node("Relu", "n", "x", "y"));
	return pb_model(&g, 13);
}

static void
a_symbolic_first_dimension_is_one(void **state)
{
	(void)state;
	pb m = symbolic(2, (int[]){ -1, 3 });
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = read_ok(cx, &m);
	assert_int_equal(g->inputs[0]->shape.dim[0], 1);
	assert_string_equal(g->inputs[0]->dim_names[0], "N");
	assert_null(g->inputs[0]->dim_names[1]);
	assert_int_equal(log.severity, HB_NOTE);
	assert_string_equal(log.where, "input 'x'");
	hb_ctx_free(cx);
}

static void
another_symbolic_dimension_asks_for_input_shape(void **state)
{
	(void)state;
	pb m = symbolic(2, (int[]){ 4, -2 });
	assert_refused(&m, HB_ERR_USAGE, "input 'x'", "input-shape", "--input-shape x:");
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = read_with(cx, &m, HB_OK, "x", test_shape(2, 4, 9));
	assert_int_equal(g->inputs[0]->shape.dim[1], 9);
	read_with(cx, &m, HB_ERR_USAGE, "x", test_shape(2, 5, 9));
	read_with(cx, &m, HB_ERR_USAGE, "x", test_shape(1, 4));
	m = symbolic(1, (int[]){ 4 });
	read_with(cx, &m, HB_ERR_USAGE, "z", test_shape(1, 4));
	hb_ctx_free(cx);
}

static void
an_empty_name_is_an_absent_operand(void **state)
{
	(void)state;
	pb g = pb_graph(), w = pb_tensor("hi", T_FLOAT, 1);
	pb_float(&w, TENSOR_FLOAT, 6);
	pb_msg(&g, GRAPH_INIT, &w);
	pb_add(&g, pb_node("Clip", "n", "x - hi", "y"));
	pb m = pb_model(&g, 13);
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *r = read_ok(cx, &m);
	assert_int_equal(r->first->nin, 3);
	assert_null(r->first->in[1]);
	assert_string_equal(r->first->in[2]->name, "hi");
	hb_ctx_free(cx);
}

/* then/else graphs of one node each, which read tensors from around them */
static pb
branch(const char *op, const char *in)
{
	pb g = { 0 }, out = { 0 };
	pb_str(&out, 1, "r");
	pb_str(&g, GRAPH_NAME, op);
	pb_add(&g, pb_node(op, "", in, "r"));
	pb_msg(&g, GRAPH_OUTPUT, &out);
	return g;
}

static void
what_a_body_reads_from_outside_is_kept_and_comes_first(void **state)
{
	(void)state;
	pb g = pb_graph(), n = pb_node("If", "if", "c", "y"), c = pb_value("c", 9, 0, NULL);
	static const char *const names[] = { "then_branch", "else_branch" };
	for (int i = 0; i < 2; i++) {
		pb b = branch(i ? "Neg" : "Abs", i ? "x" : "a"), at = pb_attr(names[i], 5);
		pb_msg(&at, ATTR_G, &b);
		pb_msg(&n, NODE_ATTR, &at);
	}
	pb_msg(&g, GRAPH_INPUT, &c);
	pb_add(&g, n);				/* stands before what its branch reads */
	pb_add(&g, pb_node("Relu", "outside", "x", "a"));
	pb m = pb_model(&g, 13);
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *r = read_ok(cx, &m);
	assert_string_equal(r->first->name, "outside");
	const hb_graph *then = hb_attr_find(r->last, "then_branch")->g;
	assert_int_equal(then->ncaptured, 1);
	assert_ptr_equal(then->captured[0]->outer, hb_tensor_find(r, "a"));
	assert_ptr_equal(then->outer, r);
	hb_graph_sweep(r);
	assert_int_equal(r->nnodes, 2);		/* nobody but the body reads 'a' */
	hb_tensor_replace(r, hb_tensor_find(r, "a"), hb_tensor_find(r, "x"));
	assert_ptr_equal(then->captured[0]->outer, hb_tensor_find(r, "x"));
	hb_graph_sweep(r);
	assert_int_equal(r->nnodes, 1);
	hb_ctx_free(cx);
}

/* function Scale(a; by) = a * by, and Twice(a) = Scale(Scale(a; 2); 2) */
static pb
with_functions(void)
{
	pb scale = { 0 }, twice = { 0 }, k = pb_node("Constant", "", "", "k"), ref = { 0 }, o = pb_opset("", 13), mine = pb_opset("my", 1);
	pb_str(&ref, ATTR_NAME, "value_float");
	pb_str(&ref, ATTR_REF, "by");
	pb_int(&ref, ATTR_TYPE, 1);
	pb_msg(&k, NODE_ATTR, &ref);
	pb_str(&scale, FN_NAME, "Scale");
	pb_str(&scale, FN_DOMAIN, "my");
	pb_str(&scale, FN_IN, "a");
	pb_str(&scale, FN_OUT, "b");
	pb_str(&scale, FN_ATTR, "by");
	pb_msg(&scale, FN_OPSET, &o);
	pb_msg(&scale, FN_NODE, &k);
	pb mul = pb_node("Mul", "mul", "a k", "b");
	pb_msg(&scale, FN_NODE, &mul);
	pb_str(&twice, FN_NAME, "Twice");
	pb_str(&twice, FN_DOMAIN, "my");
	pb_str(&twice, FN_IN, "a");
	pb_str(&twice, FN_OUT, "b");
	pb_msg(&twice, FN_OPSET, &mine);
	for (int i = 0; i < 2; i++) {
		pb call = pb_node("Scale", i ? "two" : "one", i ? "t" : "a", i ? "b" : "t"), by = pb_attr("by", 1);
		pb_float(&by, ATTR_F, 2);
		pb_str(&call, NODE_DOMAIN, "my");
		pb_msg(&call, NODE_ATTR, &by);
		pb_msg(&twice, FN_NODE, &call);
	}
	pb g = pb_graph(), call = pb_node("Twice", "call", "x", "y");
	pb_str(&call, NODE_DOMAIN, "my");
	pb_add(&g, call);
	pb m = pb_model(&g, 13);
	pb_msg(&m, MODEL_OPSET, &mine);
	pb_msg(&m, MODEL_FUNCTION, &scale);
	pb_msg(&m, MODEL_FUNCTION, &twice);
	return m;
}

static void
functions_become_their_nodes(void **state)
{
	(void)state;
	pb m = with_functions();
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = read_ok(cx, &m);
	assert_int_equal(g->nnodes, 2);
	assert_string_equal(g->first->op_type, "Mul");
	assert_string_equal(g->first->name, "call/one/mul");
	assert_string_equal(g->last->out[0]->name, "y");
	const float *k = hb_tensor_data(g, g->last->in[1]);
	assert_true(k[0] == 2);
	assert_null(g->sources->next);		/* one row: the call */
	assert_ptr_equal(g->sources->now, g->last);
	hb_ctx_free(cx);
}

static void
a_function_may_hand_its_input_through(void **state)
{
	(void)state;
	pb fn = { 0 }, g = pb_graph(), call = pb_node("Same", "call", "x", "y"), mine = pb_opset("my", 1);
	pb_str(&fn, FN_NAME, "Same");
	pb_str(&fn, FN_DOMAIN, "my");
	pb_str(&fn, FN_IN, "a");
	pb_str(&fn, FN_OUT, "a");
	pb_str(&call, NODE_DOMAIN, "my");
	pb_add(&g, call);
	pb m = pb_model(&g, 13);
	pb_msg(&m, MODEL_OPSET, &mine);
	pb_msg(&m, MODEL_FUNCTION, &fn);
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *r = read_ok(cx, &m);
	assert_int_equal(r->nnodes, 1);
	assert_string_equal(r->first->op_type, "Identity");
	assert_string_equal(r->first->out[0]->name, "y");
	hb_ctx_free(cx);
}

/* Functions f0..f29, each calling the one before twice: 2^30 nodes. */
static void
functions_that_grow_without_end_are_refused(void **state)
{
	(void)state;
	pb g = pb_graph(), call = pb_node("F29", "call", "x", "y"), mine = pb_opset("my", 1), o = pb_opset("", 13);
	pb_str(&call, NODE_DOMAIN, "my");
	pb_add(&g, call);
	pb m = pb_model(&g, 13);
	pb_msg(&m, MODEL_OPSET, &mine);
	for (int i = 0; i < 30; i++) {
		pb fn = { 0 };
		char name[16], inner[16];
		snprintf(name, sizeof(name), "F%d", i);
		snprintf(inner, sizeof(inner), "F%d", i - 1);
		pb_str(&fn, FN_NAME, name);
		pb_str(&fn, FN_DOMAIN, "my");
		pb_str(&fn, FN_IN, "a");
		pb_str(&fn, FN_OUT, "b");
		pb_msg(&fn, FN_OPSET, i ? &mine : &o);
		for (int k = 0; k < 2; k++) {
			pb n = pb_node(i ? inner : "Relu", k ? "r" : "l", k ? "t" : "a", k ? "b" : "t");
			if (i)
				pb_str(&n, NODE_DOMAIN, "my");
			pb_msg(&fn, FN_NODE, &n);
		}
		pb_msg(&m, MODEL_FUNCTION, &fn);
	}
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *r;
	assert_int_equal(pb_read(cx, &m, &r), HB_ERR_UNSUPPORTED);
	assert_string_equal(log.id, "onnx-function");
	hb_ctx_free(cx);
}

static void
quantization_travels_in_metadata(void **state)
{
	(void)state;
	pb g = pb_graph();
	pb_add(&g, pb_node("Relu", "n", "x", "y"));
	pb m = pb_model(&g, 13);
	static const char *const entries[][2] = {
		{ "hbcc.q:y", "int8 scale=0.25 min=-1 max=2 observer=mse" }, { "hbcc.q:x", "int32 axis=0 scale=1,2" },
		{ "hbcc.uncalibrated", "1" }, { "other", "kept" },
	};
	for (size_t i = 0; i < HB_LEN(entries); i++) {
		pb e = { 0 };
		pb_str(&e, 1, entries[i][0]);
		pb_str(&e, 2, entries[i][1]);
		pb_msg(&m, MODEL_META, &e);
	}
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *r = read_ok(cx, &m);
	const hb_tensor *x = r->inputs[0], *y = r->outputs[0];
	assert_int_equal(y->q.dtype, HB_I8);
	assert_true(y->q.scale == 0.25f && y->q.min == -1 && y->q.max == 2 && y->q.nscales == 1);
	assert_string_equal(y->q.observer, "mse");
	assert_true(x->q.nscales == 2 && x->q.scales[1] == 2 && x->q.axis == 0);
	assert_true(r->uncalibrated);
	assert_string_equal(hb_meta_get(r->meta, "other"), "kept");
	assert_null(hb_meta_get(r->meta, "hbcc.q:y"));
	hb_ctx_free(cx);
}

static void
metadata_that_fits_nothing_is_a_warning(void **state)
{
	(void)state;
	pb g = pb_graph(), e = { 0 };
	pb_add(&g, pb_node("Relu", "n", "x", "y"));
	pb m = pb_model(&g, 13);
	pb_str(&e, 1, "hbcc.q:gone");
	pb_str(&e, 2, "int8 scale=1");
	pb_msg(&m, MODEL_META, &e);
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	read_ok(cx, &m);
	assert_int_equal(log.severity, HB_WARNING);
	assert_int_equal(log.count, 1);
	hb_ctx_free(cx);
}

/* ---- data in other files ---- */

static pb
external(const char *location, const char *offset, const char *length)
{
	pb g = pb_graph(), w = pb_tensor("w", T_FLOAT, 2);
	const char *pairs[][2] = { { "location", location }, { "offset", offset }, { "length", length } };
	for (int i = 0; i < 3; i++) {
		pb e = { 0 };
		pb_str(&e, 1, pairs[i][0]);
		pb_str(&e, 2, pairs[i][1]);
		pb_msg(&w, TENSOR_EXTERNAL, &e);
	}
	pb_int(&w, TENSOR_LOCATION, 1);
	pb_msg(&g, GRAPH_INIT, &w);
	pb_add(&g, pb_node("Add", "n", "x w", "y"));
	return pb_model(&g, 13);
}

static void
external_data_stays_below_the_folder(void **state)
{
	(void)state;
	char folder[] = "/tmp/hbcc-onnx-XXXXXX", path[256], outside[] = "/tmp/hbcc-onnx-XXXXXX";
	const float v[] = { 9, 1, 2 };
	assert_non_null(mkdtemp(folder));
	int fd = mkstemp(outside);
	assert_int_equal(write(fd, v, 12), 12);
	close(fd);
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g;
	snprintf(path, sizeof(path), "%s/w.bin", folder);
	assert_int_equal(hb_file_write(cx, path, v, 12), HB_OK);
	pb m = external("w.bin", "4", "8");
	assert_int_equal(hb_onnx_parse(cx, m.p, m.n, folder, NULL, &g), HB_OK);
	assert_memory_equal(hb_tensor_data(g, hb_tensor_find(g, "w")), v + 1, 8);
	static const struct {
		const char *location, *offset, *length;
		hb_status st;
	} cases[] = {
		{ "w.bin", "8", "8", HB_ERR_INPUT }, { "w.bin", "-4", "8", HB_ERR_INPUT }, { "w.bin", "4", "4", HB_ERR_INPUT },
		{ "w.bin", "9223372036854775807", "8", HB_ERR_INPUT }, { "../w.bin", "0", "8", HB_ERR_INPUT },
		{ "a/../../w.bin", "0", "8", HB_ERR_INPUT }, { "/etc/passwd", "0", "8", HB_ERR_INPUT }, { "none.bin", "0", "8", HB_ERR_SYSTEM },
		{ "link.bin", "0", "8", HB_ERR_INPUT },
	};
	snprintf(path, sizeof(path), "%s/link.bin", folder);
	assert_int_equal(symlink(outside, path), 0);
	for (size_t i = 0; i < HB_LEN(cases); i++) {
		m = external(cases[i].location, cases[i].offset, cases[i].length);
		assert_int_equal(hb_onnx_parse(cx, m.p, m.n, folder, NULL, &g), cases[i].st);
	}
	m = external("w.bin", "4", "8");
	assert_int_equal(hb_onnx_parse(cx, m.p, m.n, NULL, NULL, &g), HB_ERR_INPUT);
	unlink(path);
	snprintf(path, sizeof(path), "%s/w.bin", folder);
	unlink(path);
	rmdir(folder);
	unlink(outside);
	hb_ctx_free(cx);
}

/* ---- how much it costs ---- */

/* A chain of n nodes and one large weight: the parser's own memory does not follow either. */
static void
a_large_file_is_read_without_copies(void **state)
{
	(void)state;
	enum { WEIGHT = 8 << 20, NODES = 2000 };
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_buf graph = { .cx = cx }, model = { .cx = cx };
	pb head = pb_graph(), w = pb_tensor("w", T_FLOAT, WEIGHT / 4);
	hb_buf_add(&graph, head.p, head.n);
	pb_varint(&w, TENSOR_RAW << 3 | 2);
	pb_varint(&w, WEIGHT);
	pb tag = { 0 };
	pb_varint(&tag, GRAPH_INIT << 3 | 2);
	pb_varint(&tag, w.n + WEIGHT);
	hb_buf_add(&graph, tag.p, tag.n);
	hb_buf_add(&graph, w.p, w.n);
	uint8_t *zero = calloc(1, WEIGHT);
	hb_buf_add(&graph, zero, WEIGHT);
	free(zero);
	for (int i = 0; i < NODES; i++) {
		char in[16], out[16];
		snprintf(in, sizeof(in), i ? "t%d" : "x", i);
		snprintf(out, sizeof(out), i + 1 < NODES ? "t%d" : "y", i + 1);
		pb n = pb_node("Relu", "", in, out), f = { 0 };
		pb_msg(&f, GRAPH_NODE, &n);
		hb_buf_add(&graph, f.p, f.n);
	}
	pb top = { 0 }, o = pb_opset("", 13);
	pb_msg(&top, MODEL_OPSET, &o);
	pb_varint(&top, MODEL_GRAPH << 3 | 2);
	pb_varint(&top, graph.len);
	hb_buf_add(&model, top.p, top.n);
	hb_buf_add(&model, graph.p, graph.len);
	hb_buf_free(&graph);
	uint64_t before = cx->memory;
	hb_graph *g;
	assert_int_equal(hb_onnx_parse(cx, (const uint8_t *)model.p, model.len, NULL, NULL, &g), HB_OK);
	assert_int_equal(g->nnodes, NODES);
	assert_true(cx->memory - before < WEIGHT / 2);
	hb_graph_free(g);
	hb_buf_free(&model);
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_in_any_order_are_sorted),
		cmocka_unit_test(a_node_without_a_name_has_that_of_its_output),
		cmocka_unit_test(an_input_with_an_initializer_is_a_constant),
		cmocka_unit_test(typed_lists_are_read_packed_and_not),
		cmocka_unit_test(half_and_double_become_float_with_one_note),
		cmocka_unit_test(casts_to_half_are_casts_to_float),
		cmocka_unit_test(constant_nodes_become_constants),
		cmocka_unit_test(a_symbolic_first_dimension_is_one),
		cmocka_unit_test(another_symbolic_dimension_asks_for_input_shape),
		cmocka_unit_test(an_empty_name_is_an_absent_operand),
		cmocka_unit_test(what_a_body_reads_from_outside_is_kept_and_comes_first),
		cmocka_unit_test(functions_become_their_nodes),
		cmocka_unit_test(a_function_may_hand_its_input_through),
		cmocka_unit_test(functions_that_grow_without_end_are_refused),
		cmocka_unit_test(quantization_travels_in_metadata),
		cmocka_unit_test(metadata_that_fits_nothing_is_a_warning),
		cmocka_unit_test(external_data_stays_below_the_folder),
		cmocka_unit_test(a_large_file_is_read_without_copies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
