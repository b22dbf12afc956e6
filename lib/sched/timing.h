/* timing.h: what instructions cost (MACHINE 6): cycles and DDR bytes of one, and
 * the events of a segment's list over its queues and waits. The only cost model. */
#ifndef HB_TIMING_H
#define HB_TIMING_H

#include "lib/isa/program.h"
#include "march/march.h"

/* Cycles that instruction i holds its engine, without DDR bytes. */
uint64_t hb_timing_cycles(const hb_figures *f, const hb_insn *i);
/* DDR bytes it reads and writes: whole granules. */
void hb_timing_bytes(const hb_figures *f, const hb_insn *i, uint64_t *loaded, uint64_t *stored);
/* Cycles that `bytes` take with DDR to themselves. */
uint64_t hb_timing_dma(const hb_figures *f, uint64_t bytes);

typedef void hb_timing_fn(void *arg, size_t insn, uint64_t start, uint64_t end);

/* Runs the list by events; *cycles until all engines are idle. fn may be NULL and is called in the order in which
 * instructions end. busy may be NULL. HB_ERR_INPUT, not reported, where a wait is never met. */
hb_status hb_timing_run(hb_ctx *cx, const hb_figures *f, const hb_list *l, hb_timing_fn *fn, void *arg,
			uint64_t busy[HB_NENGINES], uint64_t *cycles);

#endif
