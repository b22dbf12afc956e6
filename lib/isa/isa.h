/* isa.h: the machine's instructions as data (MACHINE 1 to 3): memory spaces,
 * views, instructions, and the list that a schedule builds. No behaviour: the
 * kernels say what an instruction means, the simulator, the hazard check and
 * the estimator read the same list. */
#ifndef HB_ISA_H
#define HB_ISA_H

#include "lib/ir/ir.h"

/* ---- memory ---- */

typedef enum hb_space {
	HB_S0, HB_S1,			/* SRAM of core 0 and 1 */
	HB_IN, HB_OUT,			/* the model's inputs and outputs */
	HB_PAR,				/* weights, records, tables: read only */
	HB_HEAP,			/* tensors between groups and segments */
	HB_NSPACES
} hb_space;

const char *hb_space_name(hb_space s);	/* "s0", "in", ... */

#define HB_VIEW_RANK 6
#define HB_MAX_OPERANDS 6
#define HB_MAX_IMMS 24

/* A strided box of elements. Byte address of element (i0..ik):
 * space base + base + sum i*stride, where a ring replaces i0 by (ring_first + i0) mod ring_rows. */
typedef struct hb_view {
	hb_space space;
	hb_dtype dtype;			/* I8 U8 I16 I32 I64 BOOL, F32 only in copies */
	int rank;			/* 1..HB_VIEW_RANK */
	uint32_t buf;			/* id of the buffer it belongs to: hb_buf_row in the list */
	uint32_t base;			/* byte offset in the space; in the buffer while the list has no addresses */
	uint32_t ext[HB_VIEW_RANK];	/* >= 1 */
	uint32_t stride[HB_VIEW_RANK];	/* bytes; 0 on an input repeats */
	uint32_t ring_rows, ring_first;	/* ring_rows 0: no ring */
} hb_view;

/* First byte and one past the last that the view may touch, as at most two pieces when a
 * ring wraps; returns how many. Conservative: a piece is a hull. Offsets within the space. */
int hb_view_hull(const hb_view *v, uint64_t lo[2], uint64_t hi[2]);
int64_t hb_view_elems(const hb_view *v);

/* NULL, or why v is no view: type, rank, extents, ring, end below 4 GiB. The functions here take
 * only views that pass. */
const char *hb_view_check(const hb_view *v);
/* The same bytes in the same order. */
bool hb_view_same(const hb_view *a, const hb_view *b);
/* No byte in common; exact for boxes and slices of one layout, else false where hulls meet. */
bool hb_view_apart(const hb_view *a, const hb_view *b);
/* Every step of a dimension passes what the lesser ones reach, so addresses follow one order. */
bool hb_view_nested(const hb_view *v);
/* Nested, and no two elements share a byte: what an output must be. */
bool hb_view_once(const hb_view *v);
/* Runs of bytes that a nested view falls into (a ring's wrap parts one); gaps below `gap` do not part a run. */
uint64_t hb_view_runs(const hb_view *v, uint32_t gap);

/* Distinct granules that the view touches, in closed form (MACHINE 1). */
uint64_t hb_view_granules(const hb_view *v, uint32_t granule);

/* ---- engines ---- */

typedef enum hb_engine { HB_L0, HB_ST0, HB_M0, HB_V0, HB_L1, HB_ST1, HB_M1, HB_V1, HB_NENGINES } hb_engine;

const char *hb_engine_name(hb_engine e);	/* "L0", "S0", "M0", "V0", ... */

/* ---- instructions: one row each in insn.def ---- */

typedef enum hb_opcode {
#define HB_INSN(name, engines, operands, noptional, imms) HB_I_##name,
#include "lib/isa/insn.def"
#undef HB_INSN
	HB_NOPCODES
} hb_opcode;

/* Where an immediate stands: insn.imm[HB_IMM_conv_sh]; HB_NIMM_conv of them. */
#define HB_IMM(insn, imm) HB_IMM_##insn##_##imm,
#define HB_INSN(name, engines, operands, noptional, imms) enum { imms HB_NIMM_##name };
#include "lib/isa/insn.def"
#undef HB_INSN
#undef HB_IMM

typedef struct hb_insn_row {
	const char *name;
	const char *engines;		/* letters of L S M V that take it */
	const char *operands;		/* names, space separated; the first is the output ("out") */
	int noptional;			/* how many of the last operands may be absent */
	const char *imms;		/* names, space separated */
	int noperands, nimms;
} hb_insn_row;

const hb_insn_row *hb_insn_row_of(hb_opcode op);

typedef struct hb_insn {
	hb_opcode op;
	hb_engine engine;
	int node;			/* row of the list's node table, -1: none */
	int nv;				/* operands present */
	hb_view v[HB_MAX_OPERANDS];
	int32_t imm[HB_MAX_IMMS];
	uint32_t wait_mask;		/* bit e: wait for engine e */
	uint32_t wait[HB_NENGINES];	/* retired count to reach; valid where the bit is set */
} hb_insn;

/* Whether the instruction writes its operand k: the output, and sort's index. */
bool hb_insn_writes(const hb_insn *i, int k);

/* Functions that the `fn` immediate of reduce, ew and rows selects. */
typedef enum hb_fn {
#define HB_FN(name) HB_FN_##name,
#include "lib/isa/fn.def"
#undef HB_FN
	HB_NFNS
} hb_fn;

const char *hb_fn_name(hb_fn f);

/* NULL, or why the instruction is malformed (types, ranks, extents that disagree, engine). */
const char *hb_insn_check(const hb_insn *i);

/* ---- the list that a schedule builds ---- */

typedef struct hb_buf_row {		/* a buffer; named in views */
	hb_space space;
	uint32_t bytes, align;
	uint32_t addr;			/* byte offset in its space, once addresses are given */
	int first, last;		/* instructions of the segment that touch it; -1 */
	const char *name;		/* the tensor's, for the disassembly */
} hb_buf_row;

/* A segment's instructions in stream order. */
typedef struct hb_list {
	hb_insn *insns;
	size_t n, cap;
} hb_list;

bool hb_list_add(hb_arena *a, hb_list *l, const hb_insn *i);	/* appends; false without memory */

#endif
