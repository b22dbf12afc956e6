/* advice.h: layers that lose time on the machine, and to what. */
#ifndef HBCC_ADVICE_H
#define HBCC_ADVICE_H

#include "cli/cli.h"

typedef struct loss {
	const char *why, *help;
	double us;
} loss;

enum { MAX_LOSSES = 8 };

typedef struct slow_layer {
	const char *name, *op_type;
	double us, bound_us;		/* what it takes; what its arithmetic at the engine's full rate would */
	loss losses[MAX_LOSSES];	/* the largest first */
	int nlosses;
} slow_layer;

/* Layers and CPU segments of the model that take more than `over` microseconds beyond their bounds. Compiles it with ranges
 * from noise: scales do not matter for time. */
hb_status advice_layers(cli *c, const hb_march *m, double over, slow_layer **out, size_t *n);

#endif
