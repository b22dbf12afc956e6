/* timing.h: what instructions cost (MACHINE 6): cycles and DDR bytes of one, and the events of a
 * segment's list over its queues and waits. The only cost model: schedules are chosen and reported by it. */
#ifndef HB_TIMING_H
#define HB_TIMING_H

#include "lib/isa/program.h"
#include "march/march.h"

/* Cycles of one instruction without waiting and, for LOAD and STORE, without its bytes. */
uint64_t hb_insn_cycles(const hb_figures *f, const hb_insn *i);
/* DDR bytes it moves: whole granules. */
uint64_t hb_insn_bytes(const hb_figures *f, const hb_insn *i);
/* Cycles that `bytes` take with DDR to themselves. */
uint64_t hb_dma_cycles(const hb_figures *f, uint64_t bytes);

/* Called as each instruction ends. */
typedef void hb_timing_fn(void *arg, size_t insn, uint64_t start, uint64_t end);

/* Runs the list by events; *cycles until all engines are idle. fn and busy may be NULL; busy[e] is added to.
 * *stuck: instructions that wait for ever. */
hb_status hb_timing_run(hb_ctx *cx, const hb_figures *f, const hb_list *l, hb_timing_fn *fn, void *arg,
			uint64_t busy[HB_NENGINES], uint64_t *cycles, size_t *stuck);

#endif
