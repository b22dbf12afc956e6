/* facts.h: what the terms of the rules are for one node. */
#ifndef HB_FACTS_H
#define HB_FACTS_H

#include "march/march.h"
#include "march/rule.h"

/* Name under which the lists know node n: its operator, "horizon::X" for that domain; a MatMul
 * whose second operand is a constant is a Gemm. */
const char *hb_march_row_name(const hb_node *n, char *buf, size_t cap);

/* Every term of node n, whose shapes are known. A group's output is that of its last node. */
void hb_facts_of(hb_graph *g, hb_node *n, hb_facts *f);

#endif
