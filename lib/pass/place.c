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

static hb_node *
half(hb_graph *g, hb_node *at, const char *op, hb_tensor *x, hb_tensor *y, const hb_q *q)
{
	hb_node *n = x && y ? hb_node_new(g, at, y->name, "", op, q->dtype == HB_I16 ? 21 : 13, 3, 1) : NULL;
	if (!n)
		return NULL;
	n->on = HB_ON_CPU;
	hb_node_set_in(g, n, 0, x);
	hb_node_set_out(n, 0, y);
	return hb_pair_set_scale(g, n, q) && hb_pair_set_zero(g, n, q) ? n : NULL;
}

/* y = x through a pair of scale q, before `at`. */
static hb_status
add_pair(hb_graph *g, hb_node *at, hb_tensor *x, const hb_q *q, hb_tensor *y)
{
	char *name = x && y ? hb_arena_printf(g->arena, "%s_rounded", y->name) : NULL;
	hb_tensor *ints = name ? hb_tensor_new(g, name, q->dtype, &y->shape) : NULL;
	hb_node *a = half(g, at, "QuantizeLinear", x, ints, q), *b = a ? half(g, at, "DequantizeLinear", ints, y, q) : NULL;
	if (!b)
		return hb_nomem(g->cx, "place");
	HB_TRY(hb_op_infer(g, a));
	return hb_op_infer(g, b);
}

/* What the CPU makes and goes on with is rounded as the file's pair rounds it. */
static hb_status
round_made(hb_graph *g, hb_tensor *t)
{
	hb_node *n = t->producer;
	int out = t->out_index;
	char *name = hb_arena_printf(g->arena, "%s_unrounded", t->name);
	hb_tensor *x = name ? hb_tensor_new(g, name, HB_F32, &t->shape) : NULL;
	hb_q q = t->q;
	bool on_bpu = false;
	for (size_t k = 0; k < t->nuses; k++)
		on_bpu = on_bpu || t->uses[k].node->on == HB_ON_BPU;
	if (!on_bpu)
		t->q = (hb_q){ .dtype = HB_NONE };
	if (x)
		hb_node_set_out(n, out, x);
	return add_pair(g, n->next, x, &q, t);
}

/* So is what the CPU reads of an input; the BPU quantizes it itself. */
static hb_status
round_input(hb_graph *g, hb_tensor *t)
{
	char *name = hb_arena_printf(g->arena, "%s_for_cpu", t->name);
	hb_tensor *y = name ? hb_tensor_new(g, name, HB_F32, &t->shape) : NULL;
	if (!y)
		return hb_nomem(g->cx, t->name);
	for (size_t k = 0; k < t->nuses;) {
		hb_use u = t->uses[k];
		if (u.node->on == HB_ON_CPU)
			hb_node_set_in(g, u.node, u.index, y);	/* takes the use away */
		else
			k++;
	}
	return add_pair(g, g->first, t, &t->q, y);
}

static bool
cpu_goes_on(const hb_tensor *t, bool as_output)
{
	bool read = as_output && t->is_output;
	for (size_t k = 0; k < t->nuses; k++)
		read = read || t->uses[k].node->on == HB_ON_CPU;
	return read && t->dtype == HB_F32 && t->q.from == HB_Q_GIVEN && t->q.nscales == 1;
}

static hb_status
keep_pairs(hb_graph *g)
{
	for (hb_node *n = g->first, *next; n; n = next) {
		next = n->next;
		for (int i = 0; i < n->nout && n->on == HB_ON_CPU && !(n->group && n->group->last != n); i++) {
			if (n->out[i] && cpu_goes_on(n->out[i], true))
				HB_TRY(round_made(g, n->out[i]));
		}
	}
	for (size_t i = 0; i < g->ninputs; i++) {
		if (cpu_goes_on(g->inputs[i], false))
			HB_TRY(round_input(g, g->inputs[i]));
	}
	return HB_OK;
}

/* An expanded node's row tells of a part on the CPU, where one is: that is what decides where the whole can run.
 * Parts that compute before those that only move data. */
static void
tell_of_cpu_parts(hb_graph *g, bool moving)
{
	for (hb_node *n = g->first; n; n = n->next) {
		hb_source *s = n->part_of;
		hb_node *from = s ? s->now : NULL;
		if (!from || n->on == HB_ON_BPU || from->on != HB_ON_BPU || from->sources != s || s->next_of_node ||
		    (n->op->role == HB_ROLE_PASS) != moving)
			continue;
		from->sources = from->last_source = NULL;
		n->sources = n->last_source = s;
		s->now = n;
	}
}

/* Levels: even for the BPU, odd for the CPU; a node is at the level of what it reads, or one
 * above where the place differs. A level is a segment, and their number is the longest
 * alternation on any path: the fewest there can be. */
static int
set_levels(hb_graph *g)
{
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
	return top;
}

hb_status
hb_pass_segments(hb_graph *g, int *bpu)
{
	hb_arena *a = hb_arena_new(g->cx);
	int top = set_levels(g), *number = a ? HB_NEW_N(a, int, top + 1) : NULL;
	if (!number) {
		hb_arena_free(a);
		return hb_nomem(g->cx, "place");
	}
	*bpu = 0;
	for (hb_node *n = g->first; n; n = n->next)
		number[n->segment] = 1;
	for (int i = 0, count = 0; i <= top; i++) {
		*bpu += number[i] && i % 2 == 0;
		number[i] = number[i] ? count++ : -1;	/* without gaps */
	}
	for (hb_node *n = g->first; n; n = n->next)
		n->segment = number[n->segment];
	hb_arena_free(a);
	return HB_OK;
}

hb_status
hb_pass_place(hb_graph *g, const hb_march *m, const hb_place_options *o)
{
	int bpu;
	HB_TRY(hb_march_place(g, m, o));
	tell_of_cpu_parts(g, false);
	tell_of_cpu_parts(g, true);
	if (o && o->no_samples && hb_has_scales(g))
		HB_TRY(float_unscaled(g));
	HB_TRY(keep_pairs(g));
	return hb_pass_segments(g, &bpu);
}
