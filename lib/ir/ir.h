/* ir.h: the graph that every stage works on: tensors, nodes, attributes.
 *
 * One graph serves the ONNX, fused, fake-quantized and fixed-point forms; they
 * differ in which operators stand in it and in what tensor->q says. Nodes are a
 * list in topological order. Everything lives in the graph's arena. */
#ifndef HB_IR_H
#define HB_IR_H

#include "lib/base/base.h"

#define HB_MAX_RANK 16

typedef enum hb_dtype {
	HB_NONE,
	HB_F32,
	HB_I8, HB_U8, HB_I16, HB_U16, HB_I32, HB_U32, HB_I64, HB_U64,
	HB_BOOL,
	HB_NDTYPES
} hb_dtype;

#define HB_BIT(dt) (1u << (dt))
#define HB_INTS (HB_BIT(HB_I8) | HB_BIT(HB_U8) | HB_BIT(HB_I16) | HB_BIT(HB_U16) | \
		 HB_BIT(HB_I32) | HB_BIT(HB_U32) | HB_BIT(HB_I64) | HB_BIT(HB_U64))
#define HB_NUMBERS (HB_INTS | HB_BIT(HB_F32))
#define HB_ANY (HB_NUMBERS | HB_BIT(HB_BOOL))

size_t hb_dtype_size(hb_dtype dt);		/* bytes of an element; 0 for HB_NONE */
const char *hb_dtype_name(hb_dtype dt);		/* "float32", "int8", "bool" */

typedef struct hb_shape {
	int rank;			/* 0..HB_MAX_RANK */
	int64_t dim[HB_MAX_RANK];	/* each >= 0 */
} hb_shape;

/* Elements. Shapes in a graph are checked to fit in 2^47 elements when set. */
int64_t hb_shape_elems(const hb_shape *s);
/* Product of dims [from, to). */
int64_t hb_shape_span(const hb_shape *s, int from, int to);
bool hb_shape_eq(const hb_shape *a, const hb_shape *b);
/* Numpy broadcasting of a and b; false where they do not agree. */
bool hb_shape_broadcast(const hb_shape *a, const hb_shape *b, hb_shape *out);
/* "1x3x224x224", "scalar"; into buf, which it returns. */
#define HB_SHAPE_TEXT 320
const char *hb_shape_text(const hb_shape *s, char buf[HB_SHAPE_TEXT]);

typedef struct hb_op hb_op;		/* ops/op.h */
typedef struct hb_node hb_node;
typedef struct hb_graph hb_graph;
typedef struct hb_tensor hb_tensor;

/* ---- attributes ---- */

typedef enum hb_attr_type {
	HB_ATTR_INT, HB_ATTR_FLOAT, HB_ATTR_STRING, HB_ATTR_TENSOR, HB_ATTR_GRAPH,
	HB_ATTR_INTS, HB_ATTR_FLOATS, HB_ATTR_STRINGS
} hb_attr_type;

typedef struct hb_attr {
	const char *name;
	hb_attr_type type;
	int64_t i;
	float f;
	const char *s;			/* HB_ATTR_STRING, terminated; may hold a 0 byte earlier */
	hb_tensor *t;			/* a constant that belongs to no edge */
	hb_graph *g;			/* body of If, Loop, Scan */
	size_t n;			/* of the lists; bytes of s */
	const int64_t *ints;
	const float *floats;
	const char *const *strings;
	struct hb_attr *next;
} hb_attr;

/* ---- quantization of an edge (SEMANTICS 1) ---- */

/* Whether calibration chooses a scale or the file did. */
typedef enum hb_q_from {
	HB_Q_OPEN,			/* calibration's */
	HB_Q_PASSED,			/* of the file, brought here through operators that pass a scale on */
	HB_Q_GIVEN			/* of a QuantizeLinear or DequantizeLinear on this very tensor */
} hb_q_from;

typedef struct hb_q {
	hb_dtype dtype;			/* HB_I8, HB_I16, HB_I32, HB_BOOL; HB_NONE: stays float */
	int nscales;			/* 1, or the extent of `axis` */
	int axis;			/* of per-channel scales */
	float scale;			/* real = integer * scale, where nscales is 1 */
	const float *scales;		/* nscales of them, where more than one */
	float min, max;			/* range the observer chose; 0, 0 unknown */
	int32_t lo, hi;			/* integers that it takes, where they are not all of the type's; 0, 0: all */
	const char *observer;		/* what chose it: "mse", "fixed", "derived" */
	hb_q_from from;			/* calibration keeps what is not open */
} hb_q;

/* One scale and type? Per-channel scales are never the same. */
static inline bool
hb_q_same(const hb_q *a, const hb_q *b)
{
	return a->dtype == b->dtype && a->nscales <= 1 && b->nscales <= 1 && a->scale == b->scale && a->lo == b->lo && a->hi == b->hi;
}

/* Whether it takes fewer integers than its type has. */
static inline bool
hb_q_limited(const hb_q *q)
{
	return q->lo != 0 || q->hi != 0;
}

/* Scale of channel c. */
static inline float hb_q_scale(const hb_q *q, int64_t c)
{
	return q->nscales > 1 ? q->scales[c] : q->scale;
}

/* All its scales: nscales of them. */
static inline const float *hb_q_scales(const hb_q *q)
{
	return q->nscales > 1 ? q->scales : &q->scale;
}

/* ---- tensors ---- */

typedef struct hb_use {
	hb_node *node;
	int index;			/* which input of the node */
} hb_use;

struct hb_tensor {
	const char *name;		/* never NULL; "" is never used: an absent input is a NULL tensor */
	hb_dtype dtype;			/* HB_NONE until known */
	bool has_shape;
	bool is_input, is_output;	/* of the graph */
	bool is_const;			/* an initializer or a folded value */
	hb_shape shape;
	hb_q q;
	hb_node *producer;		/* NULL for inputs and constants */
	int out_index;
	hb_use *uses;
	size_t nuses, cap_uses;

	/* Contents of a constant; read them through hb_tensor_data(). Where data is NULL
	 * they are still in the file (raw, maybe unaligned), or one repeated element. */
	const void *data;
	const uint8_t *raw;		/* little-endian bytes in a mapped file */
	int raw_onnx_type;		/* TensorProto.DataType of raw, where it needs conversion (float16, bfloat16, double) */
	bool is_splat;
	uint64_t splat;			/* the element's bytes, lowest first */

	hb_tensor *outer;		/* in a body: the tensor of the graph around it that this one stands for */
	/* Over calibration samples, of each channel along means_dim: of the float values, then, as many again, of the
	 * quantized ones. NULL: unknown. */
	const double *means;
	int means_dim;
	bool weights_mse;		/* of a layer's output: its weights get the scales of the least squared error */
	/* What hb_pass_refine chose: on a layer's output, what is added to each channel's bias; on its weights, integers
	 * and a scale an output channel. NULL: nothing. */
	const double *shift;
	const int8_t *rounded;
	const float *rounded_scales;
	const char *const *dim_names;	/* symbolic names of a graph input's dims, or NULL entries */
	void *user;			/* belongs to the pass that runs */
	hb_tensor *next;		/* all tensors of the graph */
	int id;				/* unique in the graph, in order of creation */
};

/* ---- nodes ---- */

typedef enum hb_on { HB_ON_UNSET, HB_ON_BPU, HB_ON_CPU, HB_ON_FOLDED, HB_ON_NONE } hb_on;

/* Why a node is not on the BPU, or what else was found about it. */
typedef struct hb_finding {
	const char *rule;		/* text of the rule: "kh in 1..31" */
	const char *found;		/* "kh = 40" */
	const char *source;		/* where the rule is published, or "assumed" */
	const char *advice;		/* the nearest change that satisfies it, or NULL */
	bool broken;			/* it keeps the node off the BPU; else it is a remark */
	struct hb_finding *next;
} hb_finding;

/* One node of the file, and what became of it: reports have a row for each. */
typedef struct hb_source {
	const char *name;		/* node's name, else its first output's; never NULL */
	const char *op_type;
	int index;			/* place in the file, from 0 */
	bool unnamed;			/* the file gives no node name */
	hb_node *now;			/* the node that does its work now; NULL where folded away */
	struct hb_source *next;		/* in the graph, in the order of the file */
	struct hb_source *next_of_node;	/* the others that `now` stands for */
} hb_source;

/* Nodes that become one operation with one requantization: conv, add, relu; or, a
 * chain, element-wise nodes that are together one function of one tensor: one lookup;
 * or a magnitude, the root of a sum of squares, which in parts would want twice the bits.
 * It stands where `last` stands: what it reads is known by then. */
typedef struct hb_group {
	hb_node *root;			/* the conv, gemm, ...; a chain's or magnitude's first node */
	hb_node *last;			/* yields the group's output and gives it its name */
	hb_node *bias;			/* Add of a constant per output column behind a MatMul, or NULL */
	hb_node *add;			/* the sumin addition, or NULL */
	hb_node *act;			/* Relu, or Clip from 0, or NULL */
	hb_tensor *chain_in;		/* of a chain: the one tensor it reads; else NULL */
	bool magnitude;
	struct hb_group *rest;		/* of a magnitude: the chain that ends it, where the whole has no place; or NULL */
	int nnodes;
	int id;
} hb_group;

/* Whether the group is one function of what it reads, its root no more than any other of its nodes. */
static inline bool
hb_is_function(const hb_group *k)
{
	return k && (k->chain_in || k->magnitude);
}

struct hb_node {
	const char *name;		/* never NULL: the file's, else that of output 0 */
	const char *op_type, *domain;	/* domain "" for ONNX's default */
	const hb_op *op;		/* NULL until resolved (ops/op.h) */
	int version;			/* of the domain's operator set that the node was written for */
	int index;			/* place in the file, -1 for nodes made here */
	int nin, nout;
	hb_tensor **in, **out;		/* NULL entries: optional and absent */
	hb_attr *attrs;
	void *aux;			/* what shape inference found out, for kernels: the operator's own type */
	hb_group *group;		/* NULL: on its own */
	const char *composite;		/* what it is a part of, as the operator lists name it ("GLU", "SiLU"), or NULL */
	bool requantizes;		/* an Identity that calibration put before readers that take no int16 */
	hb_on on;
	int segment;			/* numbered from 0 once placed; -1 before */
	hb_finding *findings;
	hb_source *sources, *last_source;	/* nodes of the file that this one stands for */
	hb_source *part_of;		/* of an expanded node: the file's, whose row stands with another part */
	void *user;			/* belongs to the pass that runs */
	int id;				/* unique in the graph */
	hb_node *prev, *next;
};

typedef struct hb_opset {
	const char *domain;
	int version;
	struct hb_opset *next;
} hb_opset;

typedef struct hb_meta {		/* metadata_props */
	const char *key, *value;
	struct hb_meta *next;
} hb_meta;

struct hb_graph {
	hb_ctx *cx;
	hb_arena *arena;
	const char *name;
	hb_node *first, *last;
	int nnodes;
	hb_tensor *tensors, *last_tensor;
	int ntensors;
	hb_map *names;			/* name to hb_tensor */
	hb_tensor **inputs, **outputs;
	size_t ninputs, noutputs, cap_inputs, cap_outputs;
	hb_opset *opsets;
	hb_meta *meta;
	hb_source *sources, *last_source;
	const char *producer, *producer_version;
	int64_t ir_version;
	int next_node, next_tensor, next_group;
	bool uncalibrated;		/* ranges are not from samples */
	hb_graph *outer;		/* of a body: the graph around it */
	hb_tensor **captured;		/* of a body: its tensors that have ->outer; the node with the body reads those */
	size_t ncaptured, cap_captured;
	hb_tensor *needed;		/* whose contents shape inference asked for last (hb_need_const) */
	bool has_bodies;		/* a node of it may have a graph as an attribute */
};

/* Puts a property into a list sorted by key, replacing; strings are copied into a. False without memory. */
bool hb_meta_set(hb_arena *a, hb_meta **list, const char *key, const char *value);
const char *hb_meta_get(const hb_meta *list, const char *key);	/* NULL where absent */

hb_graph *hb_graph_new(hb_ctx *cx);	/* NULL without memory; arena of its own */
void hb_graph_free(hb_graph *g);

/* A new tensor; a name that is taken gets "~2", "~3", ... NULL without memory. */
hb_tensor *hb_tensor_new(hb_graph *g, const char *name, hb_dtype dtype, const hb_shape *shape);
hb_tensor *hb_tensor_find(hb_graph *g, const char *name);
/* The tensor of that name and kind that nothing makes or reads any more, else a new one. */
hb_tensor *hb_tensor_again(hb_graph *g, const char *name, hb_dtype dtype, const hb_shape *shape);
/* A constant; data is copied (NULL: zeroed, and *(void **)&t->data may be written by the maker). */
hb_tensor *hb_tensor_const(hb_graph *g, const char *name, hb_dtype dtype, const hb_shape *shape, const void *data);
/* An int64 constant of rank 1 (shape operands). */
hb_tensor *hb_tensor_ints(hb_graph *g, const char *name, const int64_t *v, size_t n);
hb_tensor *hb_tensor_scalar_f32(hb_graph *g, const char *name, float v);

/* Contents of a constant, aligned, in its dtype: read from the file or filled on first
 * use and kept. NULL where t is no constant, and without memory (reported). Not thread-safe. */
const void *hb_tensor_data(hb_graph *g, hb_tensor *t);
/* Contents as int64 from int32 or int64 constants; false where t is NULL or is neither. */
bool hb_tensor_ints_get(hb_graph *g, hb_tensor *t, int64_t *v, size_t max, size_t *n);
int64_t hb_tensor_elems(const hb_tensor *t);
uint64_t hb_tensor_bytes(const hb_tensor *t);

/* Appends a node before `at` (NULL: at the end), with nin inputs and nout outputs unset. */
hb_node *hb_node_new(hb_graph *g, hb_node *at, const char *name, const char *domain,
		     const char *op_type, int version, int nin, int nout);
void hb_node_set_in(hb_graph *g, hb_node *n, int i, hb_tensor *t);	/* keeps uses */
void hb_node_set_out(hb_node *n, int i, hb_tensor *t);			/* sets the producer */
bool hb_node_add_in(hb_graph *g, hb_node *n, hb_tensor *t);		/* one more input */
/* Takes the node out of the graph; its outputs lose their producer. */
void hb_node_remove(hb_graph *g, hb_node *n);
/* Moves node n before `at` in the list. */
void hb_node_move(hb_graph *g, hb_node *n, hb_node *at);
/* The sources of `gone` now belong to `into` (NULL: folded). */
void hb_node_absorb(hb_graph *g, hb_node *into, hb_node *gone);
/* Every reader of `from` reads `to`; where from is a graph output, `to` becomes it
 * (and takes its name if it has a producer or constant of its own). */
void hb_tensor_replace(hb_graph *g, hb_tensor *from, hb_tensor *to);
/* A topological order by stable sort; HB_ERR_INPUT naming a node where there is a cycle. */
hb_status hb_graph_sort(hb_graph *g);
/* Removes nodes that no output needs; their sources are folded. */
void hb_graph_sweep(hb_graph *g);
/* ---- copies into another graph; attributes and constants' bytes are shared, so `g` must outlive `to` ---- */

/* A tensor of t's name, type, shape, q and, for a constant, contents. NULL without memory (reported). */
hb_tensor *hb_tensor_clone(hb_graph *g, hb_tensor *t, hb_graph *to);
/* A node at the end of `to` with n's operator, attributes, aux and place; operands are unset, sources are not copied. */
hb_node *hb_node_clone(const hb_node *n, hb_graph *to);

/* Debug check of every link; NULL, or what is wrong. */
const char *hb_graph_verify(const hb_graph *g, hb_arena *a);

/* Attributes. Getters give the default where the node has none; types were checked
 * against the operator's rows when the node was resolved. */
hb_attr *hb_attr_find(const hb_node *n, const char *name);
int64_t hb_attr_i(const hb_node *n, const char *name, int64_t dflt);
float hb_attr_f(const hb_node *n, const char *name, float dflt);
const char *hb_attr_s(const hb_node *n, const char *name, const char *dflt);
/* The list, *n its length; NULL where absent. */
const int64_t *hb_attr_ints(const hb_node *n, const char *name, size_t *count);
const float *hb_attr_floats(const hb_node *n, const char *name, size_t *count);
/* Sets (replacing); false without memory. */
bool hb_attr_set_i(hb_graph *g, hb_node *n, const char *name, int64_t v);
bool hb_attr_set_f(hb_graph *g, hb_node *n, const char *name, float v);
bool hb_attr_set_s(hb_graph *g, hb_node *n, const char *name, const char *v);
bool hb_attr_set_ints(hb_graph *g, hb_node *n, const char *name, const int64_t *v, size_t count);
bool hb_attr_set_floats(hb_graph *g, hb_node *n, const char *name, const float *v, size_t count);

/* Reports an error about a node: "node 12 Conv 'layer1.0/conv1'". */
hb_status hb_fail(hb_ctx *cx, const hb_node *n, hb_status st, const char *id, const char *fmt, ...) HB_PRINTF(5, 6);
void hb_node_warn(hb_ctx *cx, const hb_node *n, const char *id, const char *fmt, ...) HB_PRINTF(4, 5);

#endif
