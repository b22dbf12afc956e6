/* calib_types.c: int8 or int16 for each edge. Edges that one scale passes through have one type; so have the operands
 * and the result of a concatenation, an addition, a pool. Of what the configuration says about any of them the most
 * specific holds, int16 where equals differ; where a march takes no int16 from what makes one of them, or by any that
 * reads one, those that share its scale are int8. Some readers that take none get a copy in int8. */
#include "lib/pass/calib.h"

#include <limits.h>

typedef struct classes {
	hb_calib *c;
	int *same, *linked;		/* by tensor id: a representative, towards the root */
	hb_tensor **at;			/* tensors by id, those with an edge that has no type of its own */
	bool *tail;			/* by root of `linked`: what leads from the last layers to a model output */
	int n;
} classes;

static int
root_of(int *up, int i)
{
	while (up[i] != i)
		i = up[i] = up[up[i]];
	return i;
}

static void
join(int *up, const hb_tensor *a, const hb_tensor *b)
{
	int x = root_of(up, a->id), y = root_of(up, b->id);
	up[HB_MAX(x, y)] = HB_MIN(x, y);
}

static bool
takes_part(const hb_tensor *t)
{
	return t && t->user && t->dtype == HB_F32 && t->q.from == HB_Q_OPEN;
}

/* Operators whose operands and result change type together. */
static bool
is_linked(const hb_node *n)
{
	static const char *const ops[] = {
		"Add", "Sub", "Sum", "Concat", "Max", "Min", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool",
	};
	for (size_t i = 0; i < HB_LEN(ops); i++) {
		if (!strcmp(n->op_type, ops[i]))
			return true;
	}
	return false;
}

/* One that takes no int16 where others do is no part of its operand's class: it may read a copy. */
static bool
passes_on(const classes *k, const hb_node *n)
{
	const hb_march *m = k->c->o->march;
	return !n->group && n->op->role == HB_ROLE_PASS && (!m || !m->fig.int16 || hb_march_reads(m, n, HB_I16));
}

static void
join_node(classes *k, const hb_node *n)
{
	const hb_tensor *out = n->group ? n->group->last->out[0] : n->out[0];
	bool pass = passes_on(k, n), linked = is_linked(n) && !hb_is_function(n->group);
	if ((n->group && n->group->bias == n) || !takes_part(out))
		return;
	for (int i = 0; i < n->nin && (pass || linked); i++) {
		if (!takes_part(n->in[i]) || (pass && i))
			continue;
		if (pass)
			join(k->same, n->in[i], out);
		join(k->linked, n->in[i], out);
	}
	for (int i = 1; pass && i < n->nout; i++) {
		if (!takes_part(n->out[i]))
			continue;
		join(k->same, n->out[i], out);
		join(k->linked, n->out[i], out);
	}
}

/* Its type is the operator's or the readers' wish, by which nothing else changes. */
static bool
is_special(const classes *k, const hb_edge *e)
{
	return !e->raised && e->cfg.dtype_level == 0 && e->cfg.dtype != k->c->o->activations.dtype;
}

static bool
reads_as_layer(const hb_node *n)
{
	static const char *const ops[] = { "Conv", "ConvTranspose", "Gemm", "MatMul" };

	for (size_t i = 0; n->on == HB_ON_BPU && i < HB_LEN(ops); i++) {
		if (!strcmp(n->op_type, ops[i]))
			return true;
	}
	return false;
}

/* What is done to values behind the last layer, coordinates mostly, keeps its precision as layers' outputs do: word of a
 * class that has a model's output, which no layer reads and where all take int16, becomes that. */
static void
keep_tails(const classes *k, int *word)
{
	const hb_calib_options *o = k->c->o;

	if (!o->march || !o->march->fig.int16 || o->low_precision_output || o->activations.dtype != HB_I8)
		return;
	for (int i = 0; i < k->n; i++) {
		if (k->at[i] && k->at[i]->is_output)
			k->tail[root_of(k->linked, i)] = true;
	}
	for (int i = 0; i < k->n; i++) {
		const hb_tensor *t = k->at[i];
		int r = t ? root_of(k->linked, i) : 0;

		if (!t || !k->tail[r])
			continue;
		k->tail[r] = !(word[r] >> 1) && hb_march_takes(o->march, t, HB_I16);
		for (size_t u = 0; u < t->nuses; u++)
			k->tail[r] = k->tail[r] && !reads_as_layer(t->uses[u].node);
	}
	for (int i = 0; i < k->n; i++) {
		if (k->tail[i])
			word[i] = 1;
	}
}

/* The most specific word about the type in each class, at its root: level << 1 | int16. */
static void
choose(classes *k, int *word)
{
	for (int i = 0; i < k->n; i++) {
		if (!k->at[i])
			continue;
		const hb_edge *e = k->at[i]->user;
		int r = root_of(k->linked, i);
		if (is_special(k, e))
			continue;
		word[r] = HB_MAX(word[r], e->cfg.dtype_level << 1 | (e->cfg.dtype == HB_I16));
	}
	keep_tails(k, word);
	for (int i = 0; i < k->n; i++) {
		if (!k->at[i])
			continue;
		hb_edge *e = k->at[i]->user;
		hb_dtype dt = word[root_of(k->linked, i)] & 1 ? HB_I16 : HB_I8;
		if (is_special(k, e))
			continue;
		if (e->cfg.dtype != dt)
			e->cfg.rule = k->tail[root_of(k->linked, i)] ? "leads from the last layers to a model output" :
								       "as what it is added to, joined with or passed on from";
		e->cfg.dtype = dt;
	}
}

/* Whether t's scale is passed on from another tensor of its class. */
static bool
is_passed(const classes *k, const hb_tensor *t)
{
	const hb_node *n = t->producer;
	return n && n->on == HB_ON_BPU && passes_on(k, n) && takes_part(n->in[0]);
}

/* int8 where what makes one of a class that shares a scale yields no int16, or nothing that reads it takes any. */
static void
fall_back(classes *k, int *blocked)
{
	const hb_march *m = k->c->o->march;
	for (int i = 0; i < k->n; i++) {
		const hb_edge *e = k->at[i] ? k->at[i]->user : NULL;
		int r = e ? root_of(k->same, i) : 0;
		if (e && e->cfg.dtype == HB_I16 && blocked[r] == 0 && !is_passed(k, k->at[i]) &&
		    !(m->fig.int16 && hb_march_gains(m, k->at[i], HB_I16)))
			blocked[r] = i + 1;
	}
	for (int i = 0; i < k->n; i++) {
		hb_edge *e = k->at[i] ? k->at[i]->user : NULL;
		int by = e ? blocked[root_of(k->same, i)] : 0;
		if (!by || e->cfg.dtype != HB_I16)
			continue;
		e->cfg.dtype = HB_I8;
		e->cfg.rule = "an operator beside it takes no int16";
		if (by == i + 1)
			hb_note(k->c->g->cx, k->at[i]->name, "int16-neighbour", "is int8: an operator beside it takes no int16 on %s", m->name);
		else
			hb_note(k->c->g->cx, k->at[i]->name, "int16-neighbour", "is int8: it has the scale of '%s', and an operator beside that takes no int16 on %s",
				k->at[by - 1]->name, m->name);
	}
}

/* ---- copies for readers that take no int16 ---- */

static bool
refuses(const hb_march *m, hb_use u)
{
	return u.node->on == HB_ON_BPU && !hb_is_places(u.node, u.index) && !hb_march_reads(m, u.node, HB_I16);
}

/* t at a scale of its own, in int8, for its readers that want that. */
static hb_status
add_copy(hb_calib *c, hb_tensor *t)
{
	hb_graph *g = c->g;
	const hb_march *m = c->o->march;
	hb_edge *from = t->user;
	char *name = hb_arena_printf(g->arena, "%s_requantized", t->name);
	hb_tensor *y = name ? hb_tensor_again(g, name, HB_F32, &t->shape) : NULL;
	hb_node *n = y ? hb_node_new(g, t->producer ? t->producer->next : g->first, y->name, "", "Identity", 13, 1, 1) : NULL;
	hb_edge *e = n ? HB_NEW(c->arena, hb_edge) : NULL;
	if (!e)
		return hb_nomem(g->cx, t->name);
	n->on = HB_ON_BPU;
	n->requantizes = true;
	n->segment = INT_MAX;
	for (size_t i = 0; i < t->nuses;) {
		hb_use u = t->uses[i];
		if (!refuses(m, u)) {
			i++;
			continue;
		}
		n->segment = HB_MIN(n->segment, u.node->segment);
		hb_note(g->cx, t->name, "int16-neighbour", "is int16, and int8 for '%s', which takes no int16 on %s", u.node->name, m->name);
		hb_node_set_in(g, u.node, u.index, y);	/* takes the use away */
	}
	hb_node_set_in(g, n, 0, t);
	hb_node_set_out(n, 0, y);
	e->cfg = from->cfg;
	e->cfg.dtype = HB_I8;
	e->cfg.rule = "a copy for what takes no int16";
	y->user = e;
	return hb_op_infer(g, n);
}

static hb_status
add_copies(classes *k)
{
	const hb_march *m = k->c->o->march;
	for (int i = 0; i < k->n; i++) {
		hb_tensor *t = k->at[i];
		bool some = false;
		if (!t || t->is_const || ((const hb_edge *)t->user)->cfg.dtype != HB_I16)
			continue;
		for (size_t u = 0; u < t->nuses; u++)
			some = some || refuses(m, t->uses[u]);
		if (some)
			HB_TRY(add_copy(k->c, t));
	}
	return HB_OK;
}

void
hb_calib_drop_copies(hb_graph *g)
{
	for (hb_node *n = g->first, *next; n; n = next) {
		next = n->next;
		if (!n->requantizes)
			continue;
		hb_tensor_replace(g, n->out[0], n->in[0]);
		hb_node_remove(g, n);
	}
}

hb_status
hb_calib_types(hb_calib *c)
{
	int n = c->g->next_tensor;
	classes k = {
		.c = c, .n = n, .same = HB_NEW_N(c->arena, int, n), .linked = HB_NEW_N(c->arena, int, n), .at = HB_NEW_N(c->arena, hb_tensor *, n),
		.tail = HB_NEW_N(c->arena, bool, n),
	};
	int *word = HB_NEW_N(c->arena, int, n), *blocked = HB_NEW_N(c->arena, int, n);
	if (!k.same || !k.linked || !k.at || !k.tail || !word || !blocked)
		return hb_nomem(c->g->cx, "calibrate");
	for (int i = 0; i < n; i++)
		k.same[i] = k.linked[i] = i;
	for (hb_tensor *t = c->g->tensors; t; t = t->next) {
		if (takes_part(t))
			k.at[t->id] = t;
	}
	for (const hb_node *m = c->g->first; m; m = m->next) {
		if (m->on == HB_ON_BPU)
			join_node(&k, m);
	}
	choose(&k, word);
	if (c->o->march)
		fall_back(&k, blocked);
	return c->o->march ? add_copies(&k) : HB_OK;
}
