/* walk.h: runs a graph node by node over several samples at once, its lanes, so that a pass can look at a value
 * in all of them, and change it, before anything reads it. */
#ifndef HB_PASS_WALK_H
#define HB_PASS_WALK_H

#include "lib/pass/pass.h"

typedef struct hb_walk hb_walk;

/* Bytes of the values of one lane that are alive together, at most. */
uint64_t hb_walk_peak(const hb_graph *g);

/* Values live until hb_walk_free or until hb_walk_done says that the last reader has run. */
hb_status hb_walk_new(hb_graph *g, int lanes, hb_walk **out);
void hb_walk_free(hb_walk *w);
hb_graph *hb_walk_graph(const hb_walk *w);

/* The first `limit` samples as the inputs of lanes 0, step, 2 * step, ...; *n of them. */
hb_status hb_walk_samples(hb_walk *w, const hb_refine_options *o, int limit, int step, int *n);
/* Lane `to` gets the inputs of lane `from`. */
hb_status hb_walk_copy_inputs(hb_walk *w, int from, int to);
/* Input i of a lane becomes a copy of v. */
hb_status hb_walk_input(hb_walk *w, size_t i, int lane, const hb_val *v);

/* Runs node n in lanes [from, to), by the operands and attributes of `as`: n itself, or a copy with other
 * constants. Running it again replaces its outputs. */
hb_status hb_walk_node(hb_walk *w, hb_node *n, hb_node *as, int from, int to);
/* Lane `to` gets a copy of lane `from`'s value of t. */
hb_status hb_walk_copy(hb_walk *w, const hb_tensor *t, int from, int to);
/* Lane `to` of t is lane `from`'s value itself, which must not go before it. */
void hb_walk_lend(hb_walk *w, const hb_tensor *t, int from, int to);
/* All that was to be done with n's outputs is done; values that only n still had to read go. */
void hb_walk_done(hb_walk *w, const hb_node *n);

/* t's value in a lane. NULL: it has none (yet, or any more). */
hb_val *hb_walk_val(hb_walk *w, const hb_tensor *t, int lane);
/* Holds t's values until the walk ends. */
void hb_walk_keep(hb_walk *w, const hb_tensor *t);

#endif
