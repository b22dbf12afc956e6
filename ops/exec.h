/* exec.h: runs a graph of any form on the host, node by node in list order.
 * Memory is planned once: a tensor's bytes are reused after its last reader. */
#ifndef HB_EXEC_H
#define HB_EXEC_H

#include "ops/op.h"

typedef struct hb_exec hb_exec;

/* Called after each node with every value it made, and for each graph input; v lives until the call returns. */
typedef void hb_tap(void *arg, hb_tensor *t, const hb_val *v);

/* Prepares graph g, whose shapes are all known: packs weights, plans memory.
 * The graph must not change while the executor lives. Reports and returns NULL status by *st. */
hb_exec *hb_exec_new(hb_graph *g, hb_status *st);
/* The same for taps that look at nothing but tensors for which wanted() is true, then as now: they are shown those
 * alone, and what lies between may stay in a kernel. */
hb_exec *hb_exec_new_for(hb_graph *g, bool (*wanted)(const hb_tensor *t), hb_status *st);
void hb_exec_free(hb_exec *ex);

/* Runs once. in[i], i < ninputs: dtype and shape as the graph's input i (inputs that are constants too
 * are included in g->inputs only if they have no initializer). out[i] gets data that lives until the next run. */
hb_status hb_exec_run(hb_exec *ex, const hb_val *in, hb_val *out, hb_tap *tap, void *arg);

/* Runs one node on values; outputs' data is allocated in `a`. For constant folding. */
hb_status hb_exec_node(hb_graph *g, hb_node *n, const hb_val *const *in, hb_val *const *out, hb_arena *a);

/* Bytes the planned activations take. */
uint64_t hb_exec_bytes(const hb_exec *ex);

#endif
