/* sched.h: from the fixed-point graph to instructions with addresses and waits (MACHINE 4 to 7). */
#ifndef HB_SCHED_H
#define HB_SCHED_H

#include "lib/isa/program.h"
#include "march/march.h"
#include "ops/fx.h"

typedef struct hb_sched_options {
	int level;			/* 0, 1 */
	bool debug;			/* every layer's output lasts to the frame's end and has a place row */
	bool input_nchw, output_nchw;	/* layouts at the model's edges; false: NHWC */
} hb_sched_options;

/* Schedules graph g (converted, constrained) into a program in arena a.
 * HB_ERR_NO where something does not fit, naming node, bytes needed, bytes there. */
hb_status hb_schedule(hb_graph *g, const hb_march *m, const hb_sched_options *o, hb_program **out);

#endif
