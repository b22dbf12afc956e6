/* op_text.h: small ONNX models written as text, so that a table of them reads at a glance:
 *
 *   model   = [ "@" opset ] statement { ";" statement }
 *   outputs = Op "(" operands ")" [ "{" attributes "}" ]
 *
 * An operand is a value's name; a name with a type and extents, a model input: x:1x8x6x6, m:b1x8 (bool), i:l4 (int64);
 * a float constant of some values: #8x8x3x3; a float scalar: 0.5; a list of floats: <1,1,2,2>; of int64: [0,2,1];
 * nothing: -. "x(3)" is the int64 3 as a scalar, "q(3)" the int8 3. Attributes: name=3, name=[1,2], name=0.5, name=<1,0.5>, name=word. What no statement reads is an output
 * of the model. An operator written _Op only stands around the one that the model is about: its node's name begins
 * with _. horizon::Op is of that domain. */
#ifndef HB_OP_TEXT_H
#define HB_OP_TEXT_H

#include "tests/onnx_model.h"

enum { TEXT_NAMES = 64, TEXT_NAME = 40 };

typedef struct op_text {
	const char *p;
	pb graph;
	int nconst;
	char made[TEXT_NAMES][TEXT_NAME];	/* outputs of nodes */
	bool read[TEXT_NAMES];
	int nmade;
	char inputs[TEXT_NAMES][TEXT_NAME];
	int ninputs;
} op_text;

static inline void
text_blank(op_text *t)
{
	while (*t->p == ' ' || *t->p == '\t')
		t->p++;
}

static inline void
text_word(op_text *t, char *to)
{
	int n = 0;

	text_blank(t);
	while ((*t->p >= '0' && *t->p <= '9') || (*t->p >= 'a' && *t->p <= 'z') || (*t->p >= 'A' && *t->p <= 'Z') ||
	       *t->p == '_' || (*t->p == ':' && t->p[1] == ':') || (*t->p == ':' && n && to[n - 1] == ':')) {
		assert_true(n < TEXT_NAME - 1);
		to[n++] = *t->p++;
	}
	to[n] = 0;
	text_blank(t);
}

static inline int
text_dims(op_text *t, int *dim)
{
	int n = 0;

	while (*t->p >= '0' && *t->p <= '9') {
		dim[n++] = (int)strtol(t->p, (char **)(uintptr_t)&t->p, 10);
		if (*t->p != 'x')
			break;
		t->p++;
	}
	return n;
}

/* Values that lie on no grid: between -0.5 and 0.5, none of them 0. */
static inline float
text_value(int i)
{
	return (float)((i * 37 + 11) % 101 - 50) / 101.0f + 0.003f;
}

static inline void
text_floats(op_text *t, const char *name, int rank, const int *dim, float scalar)
{
	pb c = { 0 };
	int elems = 1;

	pb_str(&c, TENSOR_NAME, name);
	pb_int(&c, TENSOR_TYPE, T_FLOAT);
	for (int i = 0; i < rank; i++) {
		pb_int(&c, TENSOR_DIMS, dim[i]);
		elems *= dim[i];
	}
	for (int i = 0; i < elems; i++)
		pb_float(&c, TENSOR_FLOAT, rank ? text_value(i) : scalar);
	pb_msg(&t->graph, GRAPH_INIT, &c);
}

/* [1,2] or, in round brackets, one int64 without dimensions. */
static inline int
text_ints(op_text *t, int64_t *v)
{
	int n = 0;

	for (t->p++; *t->p != ']' && *t->p != ')'; t->p += *t->p == ',')
		v[n++] = strtoll(t->p, (char **)(uintptr_t)&t->p, 10);
	t->p++;
	return n;
}

static inline void
text_operand(op_text *t, pb *node)
{
	char name[TEXT_NAME];
	text_blank(t);
	bool scalar_int = strchr("xq", *t->p) && t->p[1] == '(';

	if (*t->p == '-' && (t->p[1] == ',' || t->p[1] == ')')) {
		t->p++;
		pb_str(node, NODE_IN, "");
		return;
	}
	if (*t->p == '#' || *t->p == '<' || *t->p == '[' || scalar_int || *t->p == '-' || (*t->p >= '0' && *t->p <= '9')) {
		int dim[8], n;
		snprintf(name, sizeof(name), "const%d", t->nconst++);
		if (*t->p == '#') {
			t->p++;
			n = text_dims(t, dim);
			text_floats(t, name, n, dim, 0);
		} else if (*t->p == '<') {
			pb c = { 0 };
			pb_str(&c, TENSOR_NAME, name);
			pb_int(&c, TENSOR_TYPE, T_FLOAT);
			for (n = 0, t->p++; *t->p != '>'; n++, t->p += *t->p == ',')
				pb_float(&c, TENSOR_FLOAT, strtof(t->p, (char **)(uintptr_t)&t->p));
			t->p++;
			pb_int(&c, TENSOR_DIMS, n);
			pb_msg(&t->graph, GRAPH_INIT, &c);
		} else if (*t->p == '[' || scalar_int) {
			int64_t v[16];
			pb c = { 0 };
			bool narrow = *t->p == 'q';
			t->p += scalar_int;
			n = text_ints(t, v);
			pb_str(&c, TENSOR_NAME, name);
			pb_int(&c, TENSOR_TYPE, narrow ? T_INT8 : T_INT64);
			if (!scalar_int)
				pb_int(&c, TENSOR_DIMS, n);
			for (int i = 0; i < n; i++)
				pb_int(&c, narrow ? TENSOR_INT32 : TENSOR_INT64, v[i]);
			pb_msg(&t->graph, GRAPH_INIT, &c);
		} else {
			text_floats(t, name, 0, NULL, strtof(t->p, (char **)(uintptr_t)&t->p));
		}
		pb_str(node, NODE_IN, name);
		return;
	}
	text_word(t, name);
	if (*t->p == ':') {
		int dim[8], n, type = T_FLOAT;
		t->p++;
		if (*t->p == 'b' || *t->p == 'l' || *t->p == 'i')
			type = *t->p == 'b' ? 9 : *t->p == 'l' ? T_INT64 : T_INT32, t->p++;
		n = text_dims(t, dim);
		pb v = pb_value(name, type, n, dim);
		pb_msg(&t->graph, GRAPH_INPUT, &v);
		snprintf(t->inputs[t->ninputs++], TEXT_NAME, "%s", name);
	} else {
		bool known = false;
		for (int i = 0; i < t->nmade; i++)
			if (!strcmp(t->made[i], name))
				known = t->read[i] = true;
		for (int i = 0; i < t->ninputs; i++)
			known = known || !strcmp(t->inputs[i], name);
		if (!known)
			fail_msg("nothing makes '%s' before '%s'", name, t->p);
	}
	pb_str(node, NODE_IN, name);
}

static inline void
text_attrs(op_text *t, pb *node)
{
	for (t->p++; *t->p != '}'; t->p += *t->p == ',') {
		char name[40], word[TEXT_NAME];
		int n = 0;
		text_blank(t);
		while (*t->p != '=')
			name[n++] = *t->p++;
		name[n] = 0;
		t->p++;
		if (*t->p == '[') {
			int64_t v[16];
			pb a = pb_attr(name, 7);
			n = text_ints(t, v);
			for (int i = 0; i < n; i++)
				pb_int(&a, ATTR_INTS, v[i]);
			pb_msg(node, NODE_ATTR, &a);
		} else if (*t->p == '<') {
			pb a = pb_attr(name, 6);
			for (t->p++; *t->p != '>'; t->p += *t->p == ',')
				pb_float(&a, ATTR_FLOATS, strtof(t->p, (char **)(uintptr_t)&t->p));
			t->p++;
			pb_msg(node, NODE_ATTR, &a);
		} else if (*t->p == '-' || (*t->p >= '0' && *t->p <= '9')) {
			size_t k = strspn(t->p, "-0123456789");
			bool real = t->p[k] == '.';
			pb a = pb_attr(name, real ? 1 : 2);
			if (real)
				pb_float(&a, ATTR_F, strtof(t->p, (char **)(uintptr_t)&t->p));
			else
				pb_int(&a, ATTR_I, strtoll(t->p, (char **)(uintptr_t)&t->p, 10));
			pb_msg(node, NODE_ATTR, &a);
		} else {
			pb a = pb_attr(name, 3);
			text_word(t, word);
			pb_str(&a, ATTR_S, word);
			pb_msg(node, NODE_ATTR, &a);
		}
		text_blank(t);
	}
	t->p++;
}

static inline void
text_statement(op_text *t)
{
	pb node = { 0 };
	char first[TEXT_NAME] = "", name[TEXT_NAME], op[TEXT_NAME], node_name[TEXT_NAME + 1];
	int from = t->nmade;

	for (;;) {
		text_word(t, name);
		if (!*first)
			snprintf(first, sizeof(first), "%s", name);
		assert_true(t->nmade < TEXT_NAMES);
		snprintf(t->made[t->nmade++], TEXT_NAME, "%s", name);
		if (*t->p++ == '=')
			break;
	}
	text_word(t, op);
	if (*t->p++ != '(')
		fail_msg("'(' is missing before '%s'", t->p);
	for (;;) {
		text_blank(t);
		if (*t->p == ')')
			break;
		text_operand(t, &node);
		text_blank(t);
		t->p += *t->p == ',';
	}
	t->p++;
	for (int i = from; i < t->nmade; i++)
		pb_str(&node, NODE_OUT, t->made[i]);
	snprintf(node_name, sizeof(node_name), "%s%s", *op == '_' ? "_" : "", first);
	pb_str(&node, NODE_NAME, node_name);
	const char *type = op + (*op == '_');
	const char *colon = strstr(type, "::");
	pb_str(&node, NODE_OP, colon ? colon + 2 : type);
	if (colon)
		pb_str(&node, NODE_DOMAIN, "horizon");
	text_blank(t);
	if (*t->p == '{')
		text_attrs(t, &node);
	pb_msg(&t->graph, GRAPH_NODE, &node);
	text_blank(t);
	t->p += *t->p == ';';
	text_blank(t);
}

static inline pb
text_model(const char *text)
{
	static op_text t;
	int opset = 17;

	memset(&t, 0, sizeof(t));
	t.p = text;
	pb_str(&t.graph, GRAPH_NAME, "g");
	text_blank(&t);
	if (*t.p == '@')
		opset = (int)strtol(t.p + 1, (char **)(uintptr_t)&t.p, 10);
	text_blank(&t);
	while (*t.p)
		text_statement(&t);
	for (int i = 0; i < t.nmade; i++)
		if (!t.read[i]) {
			pb o = { 0 };
			pb_str(&o, 1, t.made[i]);
			pb_msg(&t.graph, GRAPH_OUTPUT, &o);
		}
	pb m = pb_model(&t.graph, opset);
	if (strstr(text, "horizon::")) {
		pb o = pb_opset("horizon", 1);
		pb_msg(&m, MODEL_OPSET, &o);
	}
	return m;
}

#endif
