/* norm_old.h: BatchNormalization of operator sets before 9. */
#ifndef HB_NORM_OLD_H
#define HB_NORM_OLD_H

#include "ops/op.h"

/* Are n's parameters one an element of a sample rather than one a channel? */
bool hb_batch_norm_by_element(const hb_node *n);
hb_status hb_expand_batch_norm(hb_graph *g, hb_node *n);

#endif
