/* place: takes a fused graph; leaves on, findings and segment of every node. */
#include "lib/pass/pass.h"

hb_status
hb_pass_place(hb_graph *g, const hb_march *m, const hb_place_options *o)
{
	HB_TRY(hb_march_place(g, m, o));
	/* Levels: even for the BPU, odd for the CPU; a node is at the level of what it reads, or one
	 * above where the place differs. A level is a segment, and their number is the longest
	 * alternation on any path: the fewest there can be. */
	int top = 0;
	for (hb_node *n = g->first; n; n = n->next) {
		int cpu = n->on != HB_ON_BPU;
		n->segment = cpu;
		for (int i = 0; i < n->nin; i++) {
			const hb_node *p = n->in[i] ? n->in[i]->producer : NULL;
			int above = p ? p->segment + ((p->on != HB_ON_BPU) != cpu) : 0;
			n->segment = HB_MAX(n->segment, above);
		}
		top = HB_MAX(top, n->segment);
	}
	/* A group is one operation: all of it stands where its last node does. */
	for (hb_node *n = g->last; n; n = n->prev) {
		if (n->group)
			n->segment = n->group->last->segment;
	}
	/* Numbers without gaps. */
	hb_arena *a = hb_arena_new(g->cx);
	int *number = a ? HB_NEW_N(a, int, top + 1) : NULL;
	if (!number) {
		hb_arena_free(a);
		return hb_nomem(g->cx, "place");
	}
	for (hb_node *n = g->first; n; n = n->next)
		number[n->segment] = 1;
	for (int i = 0, count = 0; i <= top; i++)
		number[i] = number[i] ? count++ : -1;
	for (hb_node *n = g->first; n; n = n->next)
		n->segment = number[n->segment];
	hb_arena_free(a);
	return HB_OK;
}
