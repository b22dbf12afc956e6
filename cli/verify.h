/* verify.h: a compiled form against the float model: what is kept of each tensor, and who does what. */
#ifndef HBCC_VERIFY_H
#define HBCC_VERIFY_H

#include "cli/layers.h"

/* Sums over samples, an element each: with them the mean over samples of the float model's values is taken off both. */
typedef struct centre {
	double *ref, *got;
	size_t bytes; /* of each */
} centre;

typedef struct row { /* a tensor that both forms have */
	const char *name;
	const char *from; /* the compiled form's name of it, where another */
	hb_tensor *t;     /* of the float graph */
	hb_q q;           /* of the compiled form */
	float *ref;       /* the float model's values for this sample */
	size_t bytes;
	hb_measure measure;
	hb_measure centred; /* n 0: one sample */
	centre centre;
	int64_t clipped, seen;
	struct row *next;
} row;

typedef struct verify {
	cli *c;
	hb_graph *g;         /* float, fused */
	const hb_program *p; /* of an .hbm */
	hb_map *rows;
	row *first, **last;
	float *scratch; /* dequantized values of one tensor */
	size_t scratch_bytes;
	hb_measure *outputs; /* g->noutputs */
	hb_measure *centred; /* as many */
	centre *centres;
	hb_sensitivity *blame; /* of each activation, the worst first; NULL: not asked for */
	size_t nblame;
	layers *layers;	/* NULL: not asked for */
	hb_status st;
	int64_t samples;
} verify;

typedef struct second { /* the compiled form */
	hb_program *p;
	hb_sim *sim;
	hb_graph *g;
	hb_exec *ex;
	hb_val *out;
	size_t nout;
} second;

/* The tensors that both forms have, in the order of the nodes. */
hb_status verify_rows(verify *v, const second *s);
/* Both forms on every sample: ex is the float model's. */
hb_status verify_samples(verify *v, second *s, hb_exec *ex, samples *data);
void verify_tap(void *arg, const char *name, const hb_val *x, const hb_q *q); /* arg: the verify */
/* e with the mean over samples of the float values taken off both sides; n 0 where there is one sample. */
hb_measure verify_centred(const verify *v, const hb_measure *e, const centre *k);
void verify_centre_free(verify *v, centre *k);
const hb_node *verify_node(const row *r); /* the group's root where it has one */
const char *verify_name(verify *v, const row *r);
/* The node at which the cosine falls most below what it reads; *from: the cosine of that. NULL: none falls. */
const row *verify_loss(const verify *v, double *from);

hb_status verify_text(verify *v, bool uncalibrated);
hb_status verify_json(verify *v, bool ok, bool uncalibrated);

#endif
