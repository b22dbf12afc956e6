/* run.h: the three readers of a program: simulator, hazard check, estimator. */
#ifndef HB_RUN_H
#define HB_RUN_H

#include "lib/isa/program.h"
#include "lib/sched/timing.h"
#include "march/march.h"
#include "ops/exec.h"

/* ---- simulator ---- */

typedef struct hb_sim_stats {
	uint64_t loaded, stored;	/* DDR bytes: granules touched, times the granule */
	uint64_t insns, accesses;	/* accesses: view operands */
	uint64_t insns_of[HB_NENGINES];
} hb_sim_stats;

typedef struct hb_sim_options {
	bool tags;			/* a tag a byte: every read finds its own buffer's bytes */
	uint64_t seed;			/* memory's contents at first */
	bool raw_int;			/* outputs keep their integers */
	uint64_t shuffle;		/* not 0: seed of a random order that queues and waits allow, instead of the stream's */
	/* A value at a segment's border or, with a debug program, of a node; may be NULL. */
	void (*tap)(void *arg, const char *name, const hb_val *v, const hb_q *q);
	void *arg;
} hb_sim_options;

typedef struct hb_sim hb_sim;

/* Memory of the march's sizes; HB_ERR_INPUT where the program asks for more. */
hb_status hb_sim_new(hb_ctx *cx, const hb_program *p, const hb_figures *f, const hb_sim_options *o, hb_sim **out);
void hb_sim_free(hb_sim *s);
/* in: the model's inputs (float or its integer type), logical order. out[i].data lives until the next run. */
hb_status hb_sim_run(hb_sim *s, const hb_val *in, hb_val *out);
void hb_sim_stats_get(const hb_sim *s, hb_sim_stats *out);	/* of the last run */
const uint8_t *hb_sim_memory(const hb_sim *s, hb_space space);	/* program->size[space] bytes */

/* ---- hazard check ---- */

typedef struct hb_hazard {
	int segment;
	size_t first, second;		/* instructions of the segment's list */
	hb_space space;
	uint64_t lo, hi;		/* bytes both touch */
	bool first_writes, second_writes;
} hb_hazard;

/* Every unordered conflicting pair that the interval maps show, at most `max`; *n found. */
hb_status hb_hazards(hb_ctx *cx, const hb_program *p, hb_hazard *out, size_t max, size_t *n);

/* ---- estimator ---- */

typedef struct hb_layer_cost {
	uint64_t cycles;		/* engines' busy cycles without DDR */
	uint64_t dma_cycles;
	uint64_t loaded, stored;	/* bytes */
	uint64_t ops;			/* 2 x MAC */
} hb_layer_cost;

typedef struct hb_estimate {
	uint64_t cycles;		/* of all BPU segments, one frame */
	uint64_t loaded, stored;
	uint64_t ops;
	uint64_t busy[HB_NENGINES];
	hb_layer_cost *layers;		/* program->nnodes */
	uint64_t *segment_cycles;	/* program->nsegments */
} hb_estimate;

/* Called for each instruction with its start and end; may be NULL. */
typedef void hb_trace(void *arg, int segment, size_t insn, uint64_t start, uint64_t end);

hb_status hb_estimate_run(hb_ctx *cx, const hb_program *p, const hb_figures *f, hb_arena *a,
			  hb_trace *trace, void *arg, hb_estimate *out);

#endif
