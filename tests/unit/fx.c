/* fx: fixed-point operators refuse what a file may say wrongly, before any kernel runs. */
#include "tests/test.h"

#include "ops/fx.h"

static const int32_t rec_ok[8] = { 0, 1 << 30, 0, 65 | 64 << 8, 5, 1 << 30, 0, 60 | 64 << 8 };

static hb_tensor *
ints_of(hb_graph *g, hb_dtype dt, hb_shape s, const void *v)
{
	hb_tensor *t = hb_tensor_const(g, "c", dt, &s, v);

	assert_non_null(t);
	return t;
}

static hb_tensor *
data(hb_graph *g, hb_dtype dt, hb_shape s)
{
	return hb_tensor_new(g, "x", dt, &s);
}

static hb_node *
node(hb_graph *g, const char *op, hb_tensor *a, hb_tensor *b, hb_tensor *c)
{
	hb_tensor *in[3] = { a, b, c };
	int nin = c ? 3 : b ? 2 : 1;
	hb_node *n = hb_node_new(g, NULL, "n", "hbcc", op, 1, nin, 1);

	for (int i = 0; i < nin; i++)
		hb_node_set_in(g, n, i, in[i]);
	hb_node_set_out(n, 0, hb_tensor_new(g, "y", HB_NONE, NULL));
	return n;
}

#define LIST(...) (const int64_t[]){ __VA_ARGS__ }, sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)

static void
refused(hb_graph *g, hb_node *n, test_log *log, const char *words)
{
	assert_int_equal(hb_op_infer(g, n), HB_ERR_INPUT);
	if (!strstr(log->text, words))
		fail_msg("'%s' does not say '%s'", log->text, words);
}

static hb_node *
conv(hb_graph *g, hb_shape w, const int32_t *rec, int channels)
{
	static const int8_t zeros[128];

	return node(g, "Conv", data(g, HB_I8, test_shape(4, 1, 3, 5, 5)), ints_of(g, HB_I8, w, zeros),
		    ints_of(g, HB_I32, test_shape(2, channels, 4), rec));
}

static void
convolutions(void **state)
{
	test_log log = { .count = 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx);
	int32_t bad[8];
	hb_node *n;

	(void)state;
	n = conv(g, test_shape(4, 2, 3, 3, 3), rec_ok, 2);
	assert_int_equal(hb_op_infer(g, n), HB_OK);
	assert_int_equal(n->out[0]->shape.dim[2], 3);
	refused(g, conv(g, test_shape(4, 2, 2, 3, 3), rec_ok, 2), &log, "disagree");
	refused(g, conv(g, test_shape(4, 2, 3, 6, 3), rec_ok, 2), &log, "long");
	refused(g, conv(g, test_shape(4, 2, 3, 3, 3), rec_ok, 1), &log, "records");
	memcpy(bad, rec_ok, sizeof(bad));
	bad[7] = 10 | 64 << 8;		/* exponent -54 */
	refused(g, conv(g, test_shape(4, 2, 3, 3, 3), bad, 2), &log, "channel 1 has multiplier");
	n = conv(g, test_shape(4, 2, 3, 3, 3), rec_ok, 2);
	hb_attr_set_ints(g, n, "strides", LIST(0, 1));
	refused(g, n, &log, "strides has 0");
	n = conv(g, test_shape(4, 2, 3, 3, 3), rec_ok, 2);
	hb_attr_set_ints(g, n, "pads", LIST(0, 1));
	refused(g, n, &log, "pads has 2 numbers");
	n = conv(g, test_shape(4, 2, 3, 3, 3), rec_ok, 2);
	hb_attr_set_i(g, n, "qmax", 128);
	refused(g, n, &log, "qmax is 128");
	n = conv(g, test_shape(4, 2, 3, 3, 3), rec_ok, 2);
	hb_attr_set_i(g, n, "to", 1);
	refused(g, n, &log, "float32");
	hb_graph_free(g);
	hb_ctx_free(cx);
}

static void
tables(void **state)
{
	test_log log = { .count = 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx);
	int32_t seg[136] = { 0 }, rows[4] = { 0, 0, 4, 2048 }, cols[2] = { 5, 0 }, mults[3] = { 4, 1 << 30, 0 };
	static const int8_t bytes[256];
	hb_node *n;

	(void)state;
	refused(g, node(g, "Lut", data(g, HB_I8, test_shape(1, 9)), ints_of(g, HB_I8, test_shape(1, 255), bytes), NULL), &log, "256 numbers");
	refused(g, node(g, "Lut", data(g, HB_I8, test_shape(2, 3, 2)), ints_of(g, HB_I8, test_shape(2, 1, 256), bytes), NULL), &log, "for each channel");
	seg[2] = seg[70] = 8;
	n = node(g, "Lut", data(g, HB_I16, test_shape(1, 9)), ints_of(g, HB_I32, test_shape(1, 136), seg), NULL);
	refused(g, n, &log, "kind is 0");
	n = node(g, "Lut", data(g, HB_I16, test_shape(1, 9)), ints_of(g, HB_I32, test_shape(1, 136), seg), NULL);
	hb_attr_set_i(g, n, "kind", 1);
	refused(g, n, &log, "segment 1");		/* begins where segment 0 does */
	n = node(g, "Resize", data(g, HB_I8, test_shape(4, 1, 1, 5, 5)), ints_of(g, HB_I32, test_shape(2, 2, 2), rows),
		 ints_of(g, HB_I32, test_shape(2, 1, 2), cols));
	refused(g, n, &log, "entry 0");
	n = node(g, "AveragePool", data(g, HB_I8, test_shape(4, 1, 1, 5, 5)), ints_of(g, HB_I32, test_shape(2, 1, 3), mults), NULL);
	hb_attr_set_ints(g, n, "kernel_shape", LIST(2, 2));
	hb_attr_set_ints(g, n, "pads", LIST(1, 0, 0, 0));
	refused(g, n, &log, "window of 2 cells");
	hb_graph_free(g);
	hb_ctx_free(cx);
}

static void
movements(void **state)
{
	test_log log = { .count = 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_node *n;

	(void)state;
	n = node(g, "Slice", data(g, HB_I8, test_shape(2, 4, 6)), NULL, NULL);
	hb_attr_set_ints(g, n, "starts", LIST(1, 1));
	hb_attr_set_ints(g, n, "steps", LIST(1, 2));
	hb_attr_set_ints(g, n, "extents", LIST(3, 4));
	refused(g, n, &log, "reach element 7");
	n = node(g, "Transpose", data(g, HB_I8, test_shape(2, 4, 6)), NULL, NULL);
	hb_attr_set_ints(g, n, "perm", LIST(1, 1));
	refused(g, n, &log, "twice");
	n = node(g, "Reshape", data(g, HB_I8, test_shape(2, 4, 6)), NULL, NULL);
	hb_attr_set_ints(g, n, "shape", LIST(5, 5));
	refused(g, n, &log, "does not reshape");
	n = node(g, "Reshape", data(g, HB_I8, test_shape(2, 4, 6)), NULL, NULL);
	hb_attr_set_ints(g, n, "shape", LIST(0, 24));
	refused(g, n, &log, "1 to 2^31 - 1 bytes");
	n = node(g, "Expand", data(g, HB_I8, test_shape(2, 4, 1)), NULL, NULL);
	hb_attr_set_ints(g, n, "shape", LIST(1000000, 4, 1000000));
	refused(g, n, &log, "1 to 2^31 - 1 bytes");
	n = node(g, "Pad", data(g, HB_I8, test_shape(1, 4)), NULL, NULL);
	hb_attr_set_ints(g, n, "pads", LIST(-1, 0));
	refused(g, n, &log, "pads has -1");
	n = node(g, "Concat", data(g, HB_I8, test_shape(2, 4, 6)), data(g, HB_I16, test_shape(2, 4, 6)), NULL);
	hb_attr_set_i(g, n, "axis", 0);
	refused(g, n, &log, "operand 1");
	hb_graph_free(g);
	hb_ctx_free(cx);
}

static void
elements(void **state)
{
	test_log log = { .count = 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_node *n;

	(void)state;
	n = node(g, "Rows", data(g, HB_I8, test_shape(1, 4)), NULL, NULL);
	hb_attr_set_s(g, n, "fn", "norm");
	refused(g, n, &log, "norm takes 3");
	n = node(g, "Rows", data(g, HB_I8, test_shape(2, 2, 4)), ints_of(g, HB_I32, test_shape(1, 4), (int32_t[4]){ 1 }),
		 ints_of(g, HB_I32, test_shape(1, 3), (int32_t[4]){ 1 }));
	hb_attr_set_s(g, n, "fn", "rms");
	refused(g, n, &log, "table 1 is not 4");
	hb_node_set_in(g, n, 2, n->in[1]);
	hb_attr_set_i(g, n, "value", 31);
	refused(g, n, &log, "31 fraction bits");
	n = node(g, "Ew", data(g, HB_I8, test_shape(1, 4)), NULL, NULL);
	hb_attr_set_s(g, n, "fn", "softmax");
	refused(g, n, &log, "'softmax'");
	n = node(g, "Ew", data(g, HB_I8, test_shape(1, 4)), data(g, HB_I8, test_shape(1, 4)), NULL);
	hb_attr_set_s(g, n, "fn", "cast");
	refused(g, n, &log, "2 operands");
	n = node(g, "Ew", data(g, HB_I8, test_shape(1, 4)), NULL, NULL);
	hb_attr_set_s(g, n, "fn", "add");
	hb_attr_set_i(g, n, "ma", INT64_C(1) << 31);
	refused(g, n, &log, "ma is");
	n = node(g, "Ew", data(g, HB_I8, test_shape(1, 4)), data(g, HB_I8, test_shape(1, 5)), NULL);
	hb_attr_set_s(g, n, "fn", "mul");
	refused(g, n, &log, "broadcast");
	n = node(g, "Reduce", data(g, HB_I8, test_shape(2, 4, 4)), NULL, NULL);
	hb_attr_set_s(g, n, "fn", "sum");
	hb_attr_set_i(g, n, "e", 25);
	refused(g, n, &log, "e is 25");
	hb_graph_free(g);
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(convolutions), cmocka_unit_test(tables), cmocka_unit_test(movements), cmocka_unit_test(elements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
