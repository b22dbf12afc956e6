/* op.h: what an operator says about itself, and how it is run.
 *
 * ONNX operators (domain "" or "horizon") have shape inference and a float
 * kernel, and where a march can place them on the BPU a way into fixed point
 * (.lut, .role, .convert). Fixed-point operators (domain "hbcc", ops/fx.h) have
 * an integer kernel and what the scheduler asks (MACHINE 4). Both are rows of
 * ops.def and run by the same executor (ops/exec.h). */
#ifndef HB_OP_H
#define HB_OP_H

#include "lib/ir/ir.h"
#include "lib/isa/isa.h"
#include "lib/quant/quant.h"

/* A tensor at run time. data is aligned to 64 bytes; NULL where the shape has no elements. */
typedef struct hb_val {
	hb_dtype dtype;
	hb_shape shape;
	void *data;
} hb_val;

/* What a kernel is given. Shapes and types have passed the operator's .shape;
 * absent optional operands are NULL. Outputs are not zeroed and never alias inputs. */
typedef struct hb_call {
	hb_ctx *cx;			/* threads (hb_parallel), isa */
	const hb_node *n;		/* attributes, n->aux */
	const hb_val *const *in;
	hb_val *const *out;
	void *scratch;			/* .scratch() bytes, 64-byte aligned */
	const void *packed;		/* what .pack made of the constants, or NULL */
	const struct hb_follow *follow;	/* to be done to output 0 too (ops/follow.h); NULL unless .follows */
} hb_call;

/* An attribute the operator takes. */
typedef struct hb_attr_row {
	const char *name;
	hb_attr_type type;
	bool required;
	int since, until;		/* operator set versions that have it; 0: all */
} hb_attr_row;

/* Where the scale of an operator's output comes from (SEMANTICS 3). */
typedef enum hb_role {
	HB_ROLE_NONE,			/* never on the BPU */
	HB_ROLE_OWN,			/* its own observer */
	HB_ROLE_PASS,			/* scale and dtype of input 0 */
	HB_ROLE_EACH,			/* each output scale and dtype of the input that .passes names */
	HB_ROLE_CAT,			/* passes where its inputs' scales are equal, else its own observer */
	HB_ROLE_BOOL,			/* qbool */
	HB_ROLE_INDEX,			/* int32 indices */
} hb_role;

typedef struct hb_convert hb_convert;	/* ops/fx.h: building the fixed-point graph */
typedef struct hb_lower hb_lower;	/* ops/fx.h: emitting instructions */
typedef struct hb_box hb_box;

struct hb_op {
	const char *name;
	const char *domain;		/* NULL: ONNX's default */
	int since, until;		/* operator set versions of its domain that the row serves; until 0: to the newest, 25 */
	int min_in, max_in;		/* max -1: any number */
	bool in_whole;			/* of more inputs than min_in none may be absent before the last */
	int min_out, max_out;
	const hb_attr_row *attrs;	/* ends with a NULL name; NULL: takes none */
	uint32_t types;			/* HB_BIT set that data inputs may have; 0: HB_ANY. Further rules are .shape's */
	uint32_t in_types[8];		/* per input, where not `types`; 0: as types */

	/* Sets shape and dtype of every output; checks ranks, types and attributes; leaves in
	 * n->aux what the kernel needs. Inputs have shapes. A shape that depends on the contents
	 * of an input that is no constant: returns hb_need_const(g, n, i). */
	hb_status (*shape)(hb_graph *g, hb_node *n);
	size_t (*scratch)(const hb_node *n, int jobs);	/* bytes; NULL: none */
	/* Makes the constant operands ready once for all runs (packed weights): bytes, then fill. Optional. */
	size_t (*pack_bytes)(hb_graph *g, hb_node *n);
	void (*pack)(hb_graph *g, hb_node *n, void *to);
	void (*run)(const hb_call *c);		/* NULL only where .expand is set */
	bool follows;				/* .run does call->follow */
	/* Replaces the node by nodes of other operators with the same result (function bodies). */
	hb_status (*expand)(hb_graph *g, hb_node *n);

	/* fixed point, of ONNX operators */
	hb_role role;
	double (*lut)(const hb_node *n, double x);	/* element-wise function of one input */
	hb_status (*convert)(hb_convert *cv, hb_node *n);	/* NULL with .lut: becomes hbcc.Lut */
	uint32_t places;		/* inputs, by bit, that say where to read: int16 where their producer yields it, never clipped.
					 * HB_LAST_INPUT: the last one, wherever it is */
	int (*passes)(const hb_node *n, int out);	/* with HB_ROLE_EACH */
	float (*own_scale)(const hb_node *n);	/* the scale of output 0, where attributes say it; optional */
	const char *(*floats)(const hb_node *n);	/* why this node has no fixed-point form, NULL: it has one; optional */

	/* scheduling, of hbcc operators (ops/fx.h) */
	const struct hb_sched_op *sched;
	int64_t (*macs)(const hb_node *n);		/* multiply-accumulates of one run; NULL: 0 */
};

#define HB_LAST_INPUT (1u << 31)

/* Whether input i says where n reads. */
static inline bool
hb_is_places(const hb_node *n, int i)
{
	uint32_t bits = n->op ? n->op->places : 0;

	return (i < 31 && bits >> i & 1) || (bits & HB_LAST_INPUT && i == n->nin - 1);
}

/* The row for an operator, or NULL: domain "" is ONNX's default. The newest version is meant by 0. */
const hb_op *hb_op_find(const char *domain, const char *name, int version);
const hb_op *hb_op_at(size_t i);	/* all rows in the order of ops.def; NULL past the last */

/* Finds n's row and checks counts and attributes against it. */
hb_status hb_op_resolve(hb_graph *g, hb_node *n);

/* Types and shape of n's outputs: resolves where needed, checks operand types, calls .shape. */
hb_status hb_op_infer(hb_graph *g, hb_node *n);

/* Status of .shape where input i must be a constant and is none yet; g->needed says which. Silent: the
 * caller (hb_pass_shapes) decides whether that is an error and reports it. */
#define HB_NEED_CONST ((hb_status)100)
hb_status hb_need_const(hb_graph *g, hb_node *n, int i);

/* Sets output i; checks element count. The common shape functions are built from these. */
hb_status hb_set_out(hb_graph *g, hb_node *n, int i, hb_dtype dt, const hb_shape *s);
hb_status hb_shape_same(hb_graph *g, hb_node *n);		/* out 0 is as in 0 */
hb_status hb_shape_broadcast_all(hb_graph *g, hb_node *n);	/* out 0: all inputs broadcast, dtype of in 0 */

/* The axis brought into 0..rank-1 (ONNX's negative axes); fails by name when out of range. */
hb_status hb_axis(hb_graph *g, const hb_node *n, const char *what, int64_t axis, int rank, int *out);
/* Axes from input i where it is there (opset 13 on), else from attribute `axes`; sorted, no doubles.
 * *count 0 and *given false where neither is there. */
hb_status hb_axes(hb_graph *g, hb_node *n, int i, int rank, int *axes, int *count, bool *given);

/* Input i or NULL, also where n has fewer. */
static inline hb_tensor *hb_in(const hb_node *n, int i)
{
	return i < n->nin ? n->in[i] : NULL;
}

static inline hb_tensor *hb_out(const hb_node *n, int i)
{
	return i < n->nout ? n->out[i] : NULL;
}

static inline const hb_val *hb_call_in(const hb_call *c, int i)
{
	return i < c->n->nin ? c->in[i] : NULL;
}

#endif
