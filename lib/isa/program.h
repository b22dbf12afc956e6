/* program.h: a compiled model: segments of instructions, CPU graphs, the
 * tensors that cross between them, parameters. The scheduler makes it, the
 * .hbm holds it, simulator, hazard check and estimator read it. */
#ifndef HB_PROGRAM_H
#define HB_PROGRAM_H

#include "lib/isa/isa.h"

/* A tensor at a segment's or the model's border, or (debug) inside a segment. */
typedef struct hb_place_row {
	const char *name;
	hb_shape shape;			/* logical, ONNX's order */
	hb_q q;				/* dtype HB_NONE: `dtype` itself in memory, else integers of q */
	hb_dtype dtype;			/* the model's type of it: HB_F32, HB_I64, ... */
	hb_space space;			/* HB_IN, HB_OUT, HB_HEAP */
	uint32_t addr;
	int order[HB_MAX_RANK];		/* logical dims from outermost to innermost in memory */
	uint32_t stride[HB_MAX_RANK];	/* bytes, by logical dimension */
	uint64_t bytes;			/* with padding */
} hb_place_row;				/* one that no segment lists is a node's (debug): it lasts to the frame's end */

hb_dtype hb_place_dtype(const hb_place_row *r);	/* of its elements in memory */

typedef struct hb_segment {
	bool cpu;
	hb_list list;			/* of a BPU segment */
	hb_buf_row *bufs;		/* buffers its views name */
	size_t nbufs;
	hb_graph *graph;		/* of a CPU segment: float operators with Q/DQ at its borders; integers outside */
	int *ins, *outs;		/* rows of `places` it reads and writes, in the order of graph's inputs and outputs */
	size_t nins, nouts;
} hb_segment;

typedef struct hb_node_row {		/* what instructions' `node` names */
	const char *name, *op_type;
	int segment;
	int64_t macs;
} hb_node_row;

typedef struct hb_program {
	hb_arena *arena;		/* owns everything here */
	const char *name, *march;
	int level, cores;
	bool uncalibrated;
	hb_place_row *places;
	size_t nplaces;
	int *inputs, *outputs;		/* rows of places, in the model's order */
	size_t ninputs, noutputs;
	hb_segment *segments;
	size_t nsegments;
	hb_node_row *nodes;
	size_t nnodes;
	uint64_t size[HB_NSPACES];	/* bytes of each space */
	uint8_t *par;			/* size[HB_PAR] bytes */
	hb_meta *meta;			/* tool version, options, input hashes: sorted by key */
} hb_program;

/* Every instruction, view, wait, place and segment: HB_ERR_INPUT, reported, on the first that is
 * wrong. Readers of a program take only what passes. */
hb_status hb_program_check(hb_ctx *cx, const hb_program *p);

#endif
