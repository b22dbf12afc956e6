/* onnx_model.h: ONNX files put together field by field, so that a test can also write what
 * no protobuf library would. */
#ifndef HB_TEST_ONNX_MODEL_H
#define HB_TEST_ONNX_MODEL_H

#include "tests/test.h"

#include "lib/onnx/onnx.h"

enum { PB_ROOM = 1 << 15 };

typedef struct pb {
	size_t n;
	uint8_t p[PB_ROOM];
} pb;

static inline void
pb_byte(pb *b, uint8_t v)
{
	assert_true(b->n < PB_ROOM);
	b->p[b->n++] = v;
}

static inline void
pb_varint(pb *b, uint64_t v)
{
	for (; v >= 128; v >>= 7)
		pb_byte(b, (uint8_t)(v | 128));
	pb_byte(b, (uint8_t)v);
}

static inline void
pb_int(pb *b, int field, int64_t v)
{
	pb_varint(b, (uint64_t)field << 3);
	pb_varint(b, (uint64_t)v);
}

static inline void
pb_float(pb *b, int field, float v)
{
	uint32_t u;
	memcpy(&u, &v, 4);
	pb_varint(b, (uint64_t)field << 3 | 5);
	for (int i = 0; i < 4; i++)
		pb_byte(b, (uint8_t)(u >> (8 * i)));
}

static inline void
pb_bytes(pb *b, int field, const void *p, size_t n)
{
	const uint8_t *q = p;
	pb_varint(b, (uint64_t)field << 3 | 2);
	pb_varint(b, n);
	for (size_t i = 0; i < n; i++)
		pb_byte(b, q[i]);
}

static inline void
pb_str(pb *b, int field, const char *s)
{
	pb_bytes(b, field, s, strlen(s));
}

static inline void
pb_msg(pb *b, int field, const pb *m)
{
	pb_bytes(b, field, m->p, m->n);
}

/* Each word of a list like "a b c" as a field; "-" stands for an empty text. */
static inline void
pb_words(pb *b, int field, const char *list)
{
	char copy[512], *save = NULL;
	snprintf(copy, sizeof(copy), "%s", list);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		pb_str(b, field, strcmp(w, "-") ? w : "");
}

/* Field numbers that tests use, by message. */
enum {
	MODEL_IR = 1, MODEL_GRAPH = 7, MODEL_OPSET = 8, MODEL_META = 14, MODEL_FUNCTION = 25,
	GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INIT = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12,
	NODE_IN = 1, NODE_OUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTR = 5, NODE_DOMAIN = 7,
	ATTR_NAME = 1, ATTR_F = 2, ATTR_I = 3, ATTR_S = 4, ATTR_T = 5, ATTR_G = 6, ATTR_FLOATS = 7, ATTR_INTS = 8, ATTR_TYPE = 20, ATTR_REF = 21,
	TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_FLOAT = 4, TENSOR_INT32 = 5, TENSOR_INT64 = 7, TENSOR_NAME = 8, TENSOR_RAW = 9,
	TENSOR_EXTERNAL = 13, TENSOR_LOCATION = 14,
	FN_NAME = 1, FN_IN = 4, FN_OUT = 5, FN_ATTR = 6, FN_NODE = 7, FN_OPSET = 9, FN_DOMAIN = 10,
	T_FLOAT = 1, T_INT8 = 3, T_INT32 = 6, T_INT64 = 7, T_STRING = 8, T_FLOAT16 = 10, T_DOUBLE = 11,
};

static inline pb
pb_node(const char *op, const char *name, const char *in, const char *out)
{
	pb n = { 0 };
	pb_words(&n, NODE_IN, in);
	pb_words(&n, NODE_OUT, out);
	if (*name)
		pb_str(&n, NODE_NAME, name);
	pb_str(&n, NODE_OP, op);
	return n;
}

/* An attribute's start: its name and AttributeType. */
static inline pb
pb_attr(const char *name, int type)
{
	pb a = { 0 };
	pb_str(&a, ATTR_NAME, name);
	pb_int(&a, ATTR_TYPE, type);
	return a;
}

/* A value's name, type and shape. A dimension of -1 is the symbol "N", -2 the symbol "M". */
static inline pb
pb_value(const char *name, int type, int rank, const int *dims)
{
	pb v = { 0 }, sh = { 0 }, tt = { 0 }, ty = { 0 };
	for (int i = 0; i < rank; i++) {
		pb d = { 0 };
		if (dims[i] < 0)
			pb_str(&d, 2, dims[i] == -1 ? "N" : "M");
		else
			pb_int(&d, 1, dims[i]);
		pb_msg(&sh, 1, &d);
	}
	pb_int(&tt, 1, type);
	pb_msg(&tt, 2, &sh);
	pb_msg(&ty, 1, &tt);
	pb_str(&v, 1, name);
	pb_msg(&v, 2, &ty);
	return v;
}

static inline pb
pb_tensor(const char *name, int type, int n)
{
	pb t = { 0 };
	pb_str(&t, TENSOR_NAME, name);
	pb_int(&t, TENSOR_TYPE, type);
	pb_int(&t, TENSOR_DIMS, n);
	return t;
}

/* A graph under way, with input x [2] and output y. */
static inline pb
pb_graph(void)
{
	pb g = { 0 };
	pb x = pb_value("x", T_FLOAT, 1, (int[]){ 2 });
	pb y = { 0 };
	pb_str(&y, 1, "y");
	pb_str(&g, GRAPH_NAME, "g");
	pb_msg(&g, GRAPH_INPUT, &x);
	pb_msg(&g, GRAPH_OUTPUT, &y);
	return g;
}

static inline void
pb_add(pb *graph, pb node)
{
	pb_msg(graph, GRAPH_NODE, &node);
}

static inline pb
pb_model(const pb *graph, int opset)
{
	pb m = { 0 }, o = { 0 };
	pb_int(&m, MODEL_IR, 8);
	pb_int(&o, 2, opset);
	pb_msg(&m, MODEL_OPSET, &o);
	pb_msg(&m, MODEL_GRAPH, graph);
	return m;
}

static inline pb
pb_opset(const char *domain, int version)
{
	pb o = { 0 };
	pb_str(&o, 1, domain);
	pb_int(&o, 2, version);
	return o;
}

/* Reads a model; the context is the caller's to free. */
static inline hb_status
pb_read(hb_ctx *cx, const pb *m, hb_graph **g)
{
	return hb_onnx_parse(cx, m->p, m->n, NULL, NULL, g);
}

/* Reads a model that must be refused, and holds the last message against what is expected. */
static inline void
assert_refused(const pb *m, hb_status st, const char *where, const char *id, const char *says)
{
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g;
	assert_int_equal(pb_read(cx, m, &g), st);
	assert_null(g);
	assert_string_equal(log.where, where);
	assert_string_equal(log.id, id);
	if (says && !strstr(log.text, says))
		fail_msg("'%s' does not say '%s'", log.text, says);
	hb_ctx_free(cx);
}

#endif
