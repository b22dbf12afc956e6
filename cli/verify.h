/* verify.h: a compiled form against the float model: what is kept of each tensor, and who does what. */
#ifndef HBCC_VERIFY_H
#define HBCC_VERIFY_H

#include "cli/layers.h"
#include "cli/spread.h"

/* Sums over samples, an element each: with them the mean over samples of the float model's values is taken off both. */
typedef struct centre {
	double *ref, *got;
	size_t bytes; /* of each */
} centre;

typedef struct cause { /* why a layer loses */
	const char *word; /* "dead-channels": the manual page says what each means and what value is */
	const char *text;
	double value;
	struct cause *next;
} cause;

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
	spread *values; /* the float model's; NULL: not looked at */
	cause *causes;
	struct row *next;
} row;

typedef struct output {
	hb_measure measure;
	hb_measure centred;
	centre centre;
	int64_t equal, seen; /* of integers */
} output;

typedef struct verify {
	cli *c;
	hb_graph *g;         /* float, fused */
	const hb_program *p; /* of an .hbm */
	hb_map *rows;
	row *first, **last;
	float *scratch; /* dequantized values of one tensor */
	size_t scratch_bytes;
	output *outputs; /* g->noutputs */
	bool wants_values;
	float *largest;	/* [tensor id] magnitude of an operand that has no row; -1: not wanted. NULL: none is */
	hb_sensitivity *blame; /* of each activation, the worst first; NULL: not asked for */
	size_t nblame;
	layers *layers;	/* NULL: not asked for */
	const char *form, *march; /* of the compiled form; march NULL: not known */
	bool uncalibrated;
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
row *verify_measured(row *r); /* r or the next one with values of both forms; NULL past the last */
const hb_node *verify_node(const row *r); /* the group's root where it has one */
const char *verify_name(verify *v, const row *r);
/* The node at which the cosine falls most below what it reads; *from: the cosine of that. NULL: none falls. */
const row *verify_loss(const verify *v, double *from);

/* The magnitude that the largest integer stands for; not finite where there is none. Of a scale a channel, the largest. */
double verify_clip(const hb_q *q);
/* What each row's values, scale and operands say of its loss. */
hb_status verify_causes(verify *v);
/* Concat's operands that have no row are looked at too: before the samples, and at each value of the float model. */
hb_status verify_watch(verify *v);
void verify_watched(verify *v, const hb_tensor *t, const hb_val *x);

/* Is output t numbers of things or truths? Not how near those are counts, but whether they are the same. */
bool verify_counts_equal(const hb_tensor *t);
double verify_equal(const output *o); /* share of integers that are the same; not finite of floats */
/* Why output i's cosine says little: it hardly varies; NULL: it does not. */
const char *verify_constancy(const verify *v, size_t i);

/* Reports. ok: no gate is missed. */
hb_status verify_text(verify *v);
hb_status verify_json(verify *v, bool ok);
hb_status verify_html(verify *v, bool ok);

/* What the reports have alike (verify_tables.c). */
enum { LAYERS, OUTPUTS, CAUSES, ALONE, BLAME, SECTIONS };

typedef struct section {
	const char *title;
	table *t;		/* NULL: not asked for */
	const char *empty;	/* why t has no rows and how it gets some; NULL: it has some */
} section;

hb_status verify_sections(verify *v, section out[SECTIONS]);
/* Sentences on what the figures lack; their number into *n. */
hb_status verify_notes(verify *v, const char ***out, size_t *n);
const char *verify_lost(verify *v);			/* the sentence on where most is lost; NULL: nowhere */
/* Layers of the float model whose values both forms show; *all: how many it has. */
size_t verify_seen(const verify *v, size_t *all);
double verify_cosine(const verify *v, size_t i);	/* of output i; not finite where it says nothing */
double verify_cosine_centred(const verify *v, size_t i);

#endif
