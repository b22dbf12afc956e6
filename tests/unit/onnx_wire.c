/* wire: protobuf bytes that are wrong, and how much reading may cost. */
#include "tests/onnx_model.h"

#include "lib/onnx/wire.h"
#include "onnx.pb-c.h"

static void
a_number_ends_within_ten_bytes(void **state)
{
	(void)state;
	const uint8_t good[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1 };
	const uint8_t bad[] = { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1 };
	const uint8_t *p = good;
	uint64_t v;
	assert_true(hb_wire_varint(&p, good + sizeof(good), &v));
	assert_true(v == UINT64_MAX);
	p = bad;
	assert_false(hb_wire_varint(&p, bad + sizeof(bad), &v));
	p = good;
	assert_false(hb_wire_varint(&p, good + 3, &v));
}

static void
groups_and_field_zero_are_refused(void **state)
{
	(void)state;
	pb m = { 0 };
	pb_varint(&m, 1 << 3 | 3);
	assert_refused(&m, HB_ERR_INPUT, "byte 0", "onnx-wire", "wire type that ONNX does not use");
	m.n = 0;
	pb_int(&m, 1, 8);
	pb_varint(&m, 0);
	pb_varint(&m, 1);
	assert_refused(&m, HB_ERR_INPUT, "byte 2", "onnx-wire", "impossible number");
}

static void
every_cut_of_a_model_is_refused(void **state)
{
	(void)state;
	pb g = pb_graph();
	pb_add(&g, pb_node("Relu", "n", "x", "y"));
	pb m = pb_model(&g, 13);
	for (size_t n = 0; n < m.n; n++) {
		pb cut = m;
		hb_graph *out;
		test_log log = { 0 };
		hb_ctx *cx = test_ctx(&log, 1);
		cut.n = n;
		assert_int_equal(pb_read(cx, &cut, &out), HB_ERR_INPUT);
		assert_true(log.count > 0);
		hb_ctx_free(cx);
	}
}

static void
a_field_of_the_wrong_wire_type_is_named(void **state)
{
	(void)state;
	pb m = { 0 };
	pb_int(&m, MODEL_GRAPH, 5);
	assert_refused(&m, HB_ERR_INPUT, "byte 0", "onnx-wire", "ModelProto.graph has the wrong wire type");
}

static void
a_graph_that_stands_twice_is_refused(void **state)
{
	(void)state;
	pb g = pb_graph();
	pb m = pb_model(&g, 13);
	pb_msg(&m, MODEL_GRAPH, &g);
	assert_refused(&m, HB_ERR_INPUT, "byte 33", "onnx-wire", "ModelProto.graph stands twice");
}

static void
names_are_utf8_without_zero(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t n;
		bool ok;
	} cases[] = {
		{ "caf\xc3\xa9", 5, true }, { "\xf0\x9f\x90\x88", 4, true }, { "a\0b", 3, false }, { "\xc0\x80", 2, false },
		{ "\xed\xa0\x80", 3, false }, { "\xe2\x82", 2, false }, { "\xff", 1, false }, { "\xf4\x90\x80\x80", 4, false },
	};
	for (size_t i = 0; i < HB_LEN(cases); i++) {
		pb m = { 0 };
		hb_ctx *cx = test_ctx(NULL, 1);
		pb_bytes(&m, 2, cases[i].text, cases[i].n);	/* producer_name */
		hb_status st = hb_wire_walk(cx, &onnx__model_proto__descriptor, m.p, m.n);
		assert_int_equal(st, cases[i].ok ? HB_OK : HB_ERR_INPUT);
		hb_ctx_free(cx);
	}
}

static void
a_packed_list_ends_with_an_element(void **state)
{
	(void)state;
	pb t = { 0 };
	hb_ctx *cx = test_ctx(NULL, 1);
	pb_bytes(&t, TENSOR_FLOAT, "12345", 5);
	assert_int_equal(hb_wire_walk(cx, &onnx__tensor_proto__descriptor, t.p, t.n), HB_ERR_INPUT);
	t.n = 0;
	pb_bytes(&t, TENSOR_INT64, "\x01\x80", 2);
	assert_int_equal(hb_wire_walk(cx, &onnx__tensor_proto__descriptor, t.p, t.n), HB_ERR_INPUT);
	t.n = 0;
	pb_bytes(&t, TENSOR_INT64, "\x01\x80\x01", 3);
	assert_int_equal(hb_wire_walk(cx, &onnx__tensor_proto__descriptor, t.p, t.n), HB_OK);
	hb_ctx_free(cx);
}

/* Sequences in sequences: the innermost type within `depth` messages. */
static pb
nested(int depth)
{
	pb ty = { 0 };
	for (int i = 1; i < depth; i++) {
		pb outer = { 0 };
		pb_msg(&outer, i % 2 ? 1 : 4, &ty);	/* Sequence.elem_type, TypeProto.sequence_type */
		ty = outer;
	}
	return ty;
}

static void
messages_nest_to_64_and_no_deeper(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	pb t = nested(63), v = { 0 };
	pb_msg(&v, 2, &t);
	assert_int_equal(hb_wire_walk(cx, &onnx__value_info_proto__descriptor, v.p, v.n), HB_OK);
	t = nested(65);
	v.n = 0;
	pb_msg(&v, 2, &t);
	assert_int_equal(hb_wire_walk(cx, &onnx__value_info_proto__descriptor, v.p, v.n), HB_ERR_INPUT);
	hb_ctx_free(cx);
}

/* A message whose fields are two bytes each costs protobuf-c a hundred times that. */
static void
a_file_may_not_cost_more_than_its_budget(void **state)
{
	(void)state;
	size_t n = 4 << 20;
	uint8_t *p = malloc(n);
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	for (size_t i = 0; i < n; i += 2) {
		p[i] = 9 << 3 | 2;	/* NodeProto.metadata_props, empty */
		p[i + 1] = 0;
	}
	hb_unpacker u;
	Onnx__NodeProto *m;
	hb_unpacker_init(&u, cx, n);
	uint64_t before = cx->memory;
	assert_int_equal(hb_wire_walk(cx, &onnx__node_proto__descriptor, p, n), HB_OK);
	assert_int_equal(hb_unpack(&u, &onnx__node_proto__descriptor, p, n, 0, &m), HB_ERR_INPUT);
	assert_string_equal(log.id, "onnx-size");
	assert_true(u.peak <= 4 * n + (16 << 20));
	assert_true(u.held == 0);
	assert_int_equal(hb_unpack(&u, &onnx__node_proto__descriptor, p, n, HB_FIELD(9), &m), HB_OK);
	hb_unpack_free(&u, m);
	hb_unpacker_end(&u);
	assert_true(cx->memory == before);
	hb_ctx_free(cx);
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_ends_within_ten_bytes),
		cmocka_unit_test(groups_and_field_zero_are_refused),
		cmocka_unit_test(every_cut_of_a_model_is_refused),
		cmocka_unit_test(a_field_of_the_wrong_wire_type_is_named),
		cmocka_unit_test(a_graph_that_stands_twice_is_refused),
		cmocka_unit_test(names_are_utf8_without_zero),
		cmocka_unit_test(a_packed_list_ends_with_an_element),
		cmocka_unit_test(messages_nest_to_64_and_no_deeper),
		cmocka_unit_test(a_file_may_not_cost_more_than_its_budget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
