/* import.h: what the files that read an ONNX graph share.
 *
 * A graph is read in steps, each over the fields of its message in place: constants and
 * inputs, then the names that nodes write, then the nodes themselves, so that nodes may
 * stand in any order. Calls of the model's own functions become the function's nodes.
 * A name is looked for in the graph itself and then in those around it (bodies of If,
 * Loop, Scan); what a body takes from outside gets a tensor of its own in the body, with
 * ->outer saying which, listed in the body's ->captured. Constants are shared by value. */
#ifndef HB_ONNX_IMPORT_H
#define HB_ONNX_IMPORT_H

#include "lib/onnx/internal.h"

/* Numbers of the fields that are walked in place. */
enum {
	F_MODEL_GRAPH = 7, F_MODEL_TRAINING = 20, F_MODEL_FUNCTIONS = 25,
	F_GRAPH_NODE = 1, F_GRAPH_INIT = 5, F_GRAPH_INPUT = 11, F_GRAPH_OUTPUT = 12, F_GRAPH_INFO = 13,
	F_GRAPH_ANNOTATION = 14, F_GRAPH_SPARSE = 15,
	F_FN_NODE = 7, F_FN_ATTR = 11, F_FN_INFO = 12,
	F_NODE_ATTR = 5, F_NODE_DOC = 6, F_NODE_META = 9, F_NODE_DEVICES = 10,
	F_ATTR_T = 5, F_ATTR_G = 6,
};

struct hb_function {
	const uint8_t *p;
	size_t n;
	const Onnx__FunctionProto *m;	/* its header; unpacked while the file is read */
	struct hb_function *next;
};

/* An operator that no row serves, and where it was met first. */
struct hb_unknown {
	const char *domain, *op_type;
	int version;
	char *where;
	int count;
	struct hb_unknown *next;
};

struct hb_import {
	hb_reader r;
	hb_ctx *cx;
	const hb_import_options *opt;
	hb_map *functions;		/* "domain\nname\noverload" to struct hb_function */
	struct hb_function *all_functions;
	int64_t inlined;		/* nodes from functions, calls included */
	uint64_t inlined_bytes, max_inlined_bytes;
	hb_map *unknown_names;
	struct hb_unknown *unknown, **last_unknown;
	int missing;
	bool failed;			/* something was reported and reading went on */
	hb_tensor absent;		/* stands in a scope's names for an operand that the call leaves out */
};

/* Where names mean something: a graph, or a function's body at one call. */
struct hb_scope {
	hb_graph *g;
	hb_map *names;			/* name to hb_tensor, or to `absent` */
	hb_map *formal;			/* of a call: name of a function's output to the tensor the caller has for it */
	struct hb_scope *outer;		/* of a body: around it */
	const struct hb_scope *caller;	/* of a call */
	const struct hb_function *fn;	/* the function whose text this is, or NULL */
	const hb_opset *opsets;
	hb_attr *bound;			/* in a function: attributes of the call and defaults */
	const char *prefix;		/* before the names of a function's own tensors and nodes */
	int index;			/* of a call: place of the calling node in the file; else -1 */
	int calls;			/* how deep in functions */
};

/* A node's header, and the text that messages start with. */
struct hb_header {
	Onnx__NodeProto *m;
	const char *op_type, *domain, *name;	/* name: the node's, else its first output's */
	char where[320];
};

static inline hb_status
out_of_memory(struct hb_import *im)
{
	return hb_nomem(im->cx, NULL);
}

static inline bool
is(const char *a, const char *b)
{
	return a && !strcmp(a, b);
}

static inline const char *
text(const char *s)
{
	return s ? s : "";
}

/* "ai.onnx" is a name of the default domain. */
static inline const char *
domain_of(const char *s)
{
	return is(s, "ai.onnx") ? "" : text(s);
}

/* A field of that number in the message at p, which must stand there. */
bool hb_import_field(const uint8_t *p, size_t n, uint32_t number, hb_wire_field *f);

/* The tensor a name means, taken into the scope's graph where it is from outside; NULL:
 * no such name; &im->absent: an operand left out. *nomem is set where that ran out of memory. */
hb_tensor *hb_import_lookup(struct hb_import *im, struct hb_scope *s, const char *name, bool *nomem);
/* The tensor that `name` is from here on in this scope. */
hb_status hb_import_define(struct hb_import *im, struct hb_scope *s, const char *where, const char *name, hb_tensor **out);

/* ---- import_attrs.c ---- */

/* The attributes in fields `field` of the message at p, behind *list. */
hb_status hb_import_attrs(struct hb_import *im, struct hb_scope *s, const struct hb_header *h, const uint8_t *p, size_t n, uint32_t field,
			  hb_attr **list);
/* The contents of t from the one attribute of a Constant node. */
hb_status hb_import_constant(struct hb_import *im, struct hb_scope *s, const struct hb_header *h, const uint8_t *p, size_t n, hb_tensor *t);

/* ---- import_ports.c ---- */

hb_status hb_import_inputs(struct hb_import *im, struct hb_scope *s, const uint8_t *p, size_t n, bool top);
hb_status hb_import_outputs(struct hb_import *im, struct hb_scope *s, const uint8_t *p, size_t n);

/* ---- import_nodes.c ---- */

/* Nodes in fields `field` of the message at p, a graph's or a function's. */
hb_status hb_import_nodes(struct hb_import *im, struct hb_scope *s, const uint8_t *p, size_t n, uint32_t field);
/* Reports every operator that was met and has no row, and how many more inputs are missing than were named. */
hb_status hb_import_unknown(struct hb_import *im);

/* ---- import_functions.c ---- */

/* The model's functions, by name. */
hb_status hb_import_functions(struct hb_import *im, const uint8_t *p, size_t n);
/* The function that node h calls, or NULL. */
hb_status hb_import_function_of(struct hb_import *im, const struct hb_header *h, struct hb_function **fn);
/* The nodes of a function in the place of the node that calls it. */
hb_status hb_import_call(struct hb_import *im, struct hb_scope *s, const struct hb_header *h, const hb_wire_field *f, struct hb_function *fn, int index);

/* ---- import.c ---- */

hb_status hb_import_graph(struct hb_import *im, struct hb_scope *s, const uint8_t *p, size_t n, bool top);

#endif
