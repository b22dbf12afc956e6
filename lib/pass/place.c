/* place: takes a fused graph; leaves on, findings and segment of every node. */
#include "lib/pass/pass.h"

/* ---- a model with scales and no samples: what has no scale stays in float (SEMANTICS 6) ---- */

static bool
scaled(const hb_tensor *t)
{
	return !t || t->dtype != HB_F32 || t->is_const || t->q.from != HB_Q_OPEN;
}

/* The first tensor without a scale that the operation ending with `last` reads; NULL: none. */
static const hb_tensor *
unscaled_input(const hb_node *last)
{
	const hb_group *k = last->group;
	for (const hb_node *n = k ? k->root : last;; n = n->next) {
		for (int i = 0; i < n->nin && (n == last || n->group == k); i++) {
			const hb_tensor *t = n->in[i];
			if (!scaled(t) && !(k && t->producer && t->producer->group == k))
				return t;
		}
		if (n == last)
			return NULL;
	}
}

static const hb_tensor *
unscaled_output(const hb_node *last)
{
	for (int i = 0; i < last->nout; i++) {
		if (!scaled(last->out[i]))
			return last->out[i];
	}
	return NULL;
}

static bool
has_weights(const hb_node *root)
{
	static const char *const ops[] = { "Conv", "ConvTranspose", "Gemm", "MatMul" };
	for (size_t i = 0; i < HB_LEN(ops); i++) {
		if (!strcmp(root->op_type, ops[i]) && !*root->domain)
			return root->in[1]->is_const;
	}
	return false;
}

static bool
read_on_bpu(const hb_tensor *t)
{
	for (size_t i = 0; i < t->nuses; i++) {
		if (t->uses[i].node->on == HB_ON_BPU)
			return true;
	}
	return false;
}

static hb_status
to_cpu(hb_graph *g, hb_node *n, const hb_tensor *t)
{
	hb_finding *f = HB_NEW(g->arena, hb_finding), **at = &n->findings;
	char *found = hb_arena_printf(g->arena, "'%s' has none", t->name);
	if (!f || !found)
		return hb_nomem(g->cx, n->name);
	*f = (hb_finding){ .rule = "a scale in the model, or samples", .found = found, .source = "hbcc", .advice = "give samples with --calib", .broken = true };
	while (*at)
		at = &(*at)->next;
	*at = f;
	n->on = HB_ON_CPU;
	n->group = NULL;
	return HB_OK;
}

/* An operation with weights stays: its sums leave as int32 for the CPU, or calibration names what it lacks. */
static hb_status
float_unscaled(hb_graph *g)
{
	for (hb_node *n = g->last; n; n = n->prev) {
		hb_group *k = n->group;
		if (n->on != HB_ON_BPU || (k && k->last != n))
			continue;
		const hb_tensor *in = unscaled_input(n), *out = unscaled_output(n);
		hb_node *root = k ? k->root : n;
		if (!in && !out)
			continue;
		if (has_weights(root)) {
			if (!in && k && k->act == n && !read_on_bpu(out)) {
				k->last = n->in[0]->producer;
				k->act = NULL;
				k->nnodes--;
				if (k->nnodes == 1)
					root->group = NULL;
				HB_TRY(to_cpu(g, n, out));
			}
			continue;
		}
		for (hb_node *m = root, *next; m; m = next) {
			next = m == n ? NULL : m->next;
			if (m == n || (k && m->group == k))
				HB_TRY(to_cpu(g, m, in ? in : out));
		}
	}
	return HB_OK;
}

hb_status
hb_pass_place(hb_graph *g, const hb_march *m, const hb_place_options *o)
{
	HB_TRY(hb_march_place(g, m, o));
	if (o && o->no_samples && hb_has_scales(g))
		HB_TRY(float_unscaled(g));
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
