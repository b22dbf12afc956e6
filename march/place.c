/* place.c: each node or fused group to the BPU or the CPU, with every rule it breaks
 * (DESIGN 1, 2). Types of edges play no part here. */
#include "march/facts.h"

#include "ops/fx.h"

#include <math.h>

/* ---- a march's rules, parsed ---- */

struct row {
	const hb_rule *rule;
	hb_expr *expr;
	struct row *next;		/* of the same operator */
};

struct place {
	hb_graph *g;
	const hb_march *m;
	const hb_place_options *o;
	hb_arena *scratch;
	hb_map *bpu, *cpu;		/* operator to its rows, in order */
	hb_map *ops;			/* operator to hb_march_op */
	hb_map *vendor;			/* operators with a vendor's CPU kernel */
	hb_node **first;		/* of each group, by id: its first node in the list */
	hb_node **next;			/* by node id: the next node of its group */
	bool *shuffle;			/* by node id: part of a channel shuffle, which has a row of its own */
	bool *to_bpu, *to_cpu;		/* by node id: what run_on_bpu and run_on_cpu name; a root for its group */
};

static hb_status malformed(hb_ctx *cx, const hb_march *m, const hb_rule *r, const char *why, size_t at)
{
	return hb_error(cx, HB_ERR_INPUT, m->name, "march-rule", "rule '%s' of %s: %s at character %zu", r->text,
			r->op, why, at + 1);
}

/* Is a row of `op` wanted: all are where only is NULL; rules of every operator always. */
static bool wanted(const char *op, const char *only)
{
	return !only || !strcmp(op, only) || !strcmp(op, "*");
}

static hb_status compile(struct place *p, const hb_rule *rules, const char *only, hb_map *into)
{
	hb_ctx *cx = p->g->cx;
	for (const hb_rule *r = rules; r && r->op; r++) {
		const char *why;
		size_t at;
		if (!wanted(r->op, only))
			continue;
		struct row *row = HB_NEW(p->scratch, struct row);
		if (!row)
			return HB_ERR_NOMEM;
		row->rule = r;
		row->expr = hb_rule_parse(p->scratch, r->text, &why, &at);
		if (!row->expr)
			return malformed(cx, p->m, r, why, at);
		struct row *list = hb_map_get(into, r->op);
		if (!list) {
			if (!hb_map_put(into, r->op, row))
				return HB_ERR_NOMEM;
			continue;
		}
		while (list->next)
			list = list->next;
		list->next = row;
	}
	return HB_OK;
}

/* Readies the rows of march m: of operator `only`, or all. */
static hb_status open_march(struct place *p, hb_graph *g, const hb_march *m, const char *only)
{
	*p = (struct place){ .g = g, .m = m, .scratch = hb_arena_new(g->cx) };
	if (!p->scratch)
		return HB_ERR_NOMEM;
	p->bpu = hb_map_new(p->scratch);
	p->cpu = hb_map_new(p->scratch);
	p->ops = hb_map_new(p->scratch);
	p->vendor = hb_map_new(p->scratch);
	if (!p->bpu || !p->cpu || !p->ops || !p->vendor)
		return HB_ERR_NOMEM;
	for (const hb_march_op *op = m->ops; op && op->op; op++)
		if (wanted(op->op, only) && !hb_map_put(p->ops, op->op, (void *)(uintptr_t)op))
			return HB_ERR_NOMEM;
	for (const char *const *s = m->cpu_ops; s && *s; s++)
		if (wanted(*s, only) && !hb_map_put(p->vendor, *s, (void *)(uintptr_t)s))
			return HB_ERR_NOMEM;
	HB_TRY(compile(p, m->rules, only, p->bpu));
	return compile(p, m->cpu_rules, only, p->cpu);
}

static void close_march(struct place *p)
{
	if (p->scratch)
		hb_arena_free(p->scratch);
}

/* ---- findings ---- */

static hb_status add(struct place *p, hb_finding **list, bool broken, const char *rule, const char *found,
		     const char *source, const char *advice)
{
	hb_finding *f = HB_NEW(p->g->arena, hb_finding);
	if (!f || !rule)
		return HB_ERR_NOMEM;
	*f = (hb_finding){ .rule = rule, .found = found, .source = source, .advice = advice, .broken = broken };
	while (*list)
		list = &(*list)->next;
	*list = f;
	return HB_OK;
}

static bool any_broken(const hb_finding *f)
{
	for (; f; f = f->next)
		if (f->broken)
			return true;
	return false;
}

static hb_status check_rows(struct place *p, const struct row *rows, const hb_facts *f, hb_finding **out)
{
	hb_arena *a = p->g->arena;
	for (const struct row *r = rows; r; r = r->next) {
		if (hb_rule_holds(r->expr, f))
			continue;
		const char *rule = r->rule->note ? hb_arena_printf(a, "%s (%s)", r->rule->text, r->rule->note) :
						   hb_arena_str(a, r->rule->text);
		const char *found = hb_rule_found(a, r->expr, f);
		const char *advice = r->rule->advice ? r->rule->advice : hb_rule_advice(a, r->expr, f);
		HB_TRY(add(p, out, !r->rule->remark, rule, found, r->rule->source, advice));
	}
	return HB_OK;
}

/* What stands in for operators that a march's list does not have on the BPU. */
static const struct {
	const char *op, *advice;
} alternatives[] = {
	{ "Elu", "use Relu or LeakyRelu" },
	{ "Gelu", "use Relu or a 6-limited Clip" },
	{ "HardSwish", "use Relu or a 6-limited Clip" },
	{ "HardSigmoid", "use Sigmoid" },
	{ "InstanceNormalization", "use BatchNormalization, which is folded into the convolution" },
	{ "GroupNormalization", "use BatchNormalization, which is folded into the convolution" },
	{ "LayerNormalization", "use BatchNormalization, which is folded into the convolution" },
	{ "LogSoftmax", "use Softmax, or leave the logarithm to the application" },
	{ "NonMaxSuppression", "leave it to the application" },
	{ "Transpose", "export the model so that no layout changes inside it" },
	{ "PRelu", "use LeakyRelu or Relu" },
	{ "Selu", "use Relu" },
	{ "Mish", "use Relu or Swish" },
};

static const char *alternative(const struct place *p, const char *op)
{
	for (size_t i = 0; i < HB_LEN(alternatives); i++)
		if (!strcmp(alternatives[i].op, op))
			return alternatives[i].advice;
	return hb_arena_printf(p->g->arena, "express it by operators that hbcc march %s --ops has on the BPU, or leave it to the application",
			       p->m->name);
}

static bool has_fixed_form(const hb_node *n)
{
	return n->op && n->op->role != HB_ROLE_NONE && (n->op->convert || n->op->lut);
}

/* The lists' rules about node n on the BPU. */
static hb_status check_bpu(struct place *p, hb_node *n, hb_finding **out)
{
	char buf[128];
	hb_arena *a = p->g->arena;
	const char *name = hb_march_row_name(n, buf, sizeof(buf));
	const hb_march_op *op = hb_map_get(p->ops, name);
	if (!op || !op->bpu)
		return add(p, out, true, hb_arena_printf(a, "%s has no place on the BPU of %s", name, p->m->name),
			   hb_arena_str(a, name), op ? op->source : p->m->list, alternative(p, name));
	hb_facts f;
	hb_facts_of(p->g, n, &f);
	HB_TRY(check_rows(p, hb_map_get(p->bpu, "*"), &f, out));
	return check_rows(p, hb_map_get(p->bpu, name), &f, out);
}

/* The single reader of n's only output, where that is no model output and the reader is `op`. */
static hb_node *sole_reader(const hb_node *n, const char *op)
{
	const hb_tensor *t = hb_out(n, 0);
	if (!t || t->is_output || t->nuses != 1 || t->uses[0].index != 0)
		return NULL;
	hb_node *r = t->uses[0].node;
	return strcmp(r->op_type, op) || *r->domain ? NULL : r;
}

/* NCHW to N,g,C/g,H,W, g and C/g swapped, back to NCHW: as exporters write a channel shuffle. Its three nodes,
 * where Reshape n begins one. */
static bool shuffle_from(hb_node *n, hb_node *parts[3])
{
	static const int64_t swapped[5] = { 0, 2, 1, 3, 4 };
	hb_node *t = strcmp(n->op_type, "Reshape") ? NULL : sole_reader(n, "Transpose");
	hb_node *r = t ? sole_reader(t, "Reshape") : NULL;
	if (!r || !hb_in(n, 0) || !hb_out(r, 0))
		return false;
	size_t np;
	const int64_t *perm = hb_attr_ints(t, "perm", &np);
	const hb_shape *from = &n->in[0]->shape, *wide = &n->out[0]->shape, *to = &r->out[0]->shape;
	if (!perm || np != 5 || memcmp(perm, swapped, sizeof(swapped)) || from->rank != 4 || wide->rank != 5 ||
	    !hb_shape_eq(from, to) || wide->dim[0] != from->dim[0] || wide->dim[3] != from->dim[2] ||
	    wide->dim[4] != from->dim[3])
		return false;
	parts[0] = n;
	parts[1] = t;
	parts[2] = r;
	return true;
}

static bool in_shuffle(hb_node *n)
{
	hb_node *at = n, *parts[3];
	for (int i = 0; i < 3 && at; i++) {
		if (shuffle_from(at, parts) && parts[i] == n)
			return true;
		at = hb_in(at, 0) ? at->in[0]->producer : NULL;
	}
	return false;
}

/* Rules of node n under the name of another row. */
static hb_status check_as(struct place *p, hb_node *n, const char *row, hb_finding **out)
{
	const hb_march_op *op = hb_map_get(p->ops, row);
	if (!op || !op->bpu)
		return add(p, out, true, hb_arena_printf(p->g->arena, "%s has no place on the BPU of %s", row, p->m->name),
			   row, op ? op->source : p->m->list, alternative(p, row));
	hb_facts f;
	hb_facts_of(p->g, n, &f);
	HB_TRY(check_rows(p, hb_map_get(p->bpu, "*"), &f, out));
	return check_rows(p, hb_map_get(p->bpu, row), &f, out);
}

/* The vendor's CPU kernel: what node n breaks, as the remark `vendor-cpu`. */
static hb_status check_cpu(struct place *p, hb_node *n, hb_finding **out)
{
	char buf[128];
	hb_arena *a = p->g->arena;
	const char *name = hb_march_row_name(n, buf, sizeof(buf));
	const char *own = strcmp(name, "Gemm") ? name : n->op_type;
	if (!hb_map_get(p->vendor, own))
		return add(p, out, false, "vendor-cpu",
			   hb_arena_printf(a, "%s lists no CPU kernel for %s: hbcc's own runs it", p->m->list, own),
			   p->m->list, NULL);
	hb_facts f;
	hb_facts_of(p->g, n, &f);
	hb_finding *broken = NULL;
	HB_TRY(check_rows(p, hb_map_get(p->cpu, own), &f, &broken));
	for (; broken; broken = broken->next)
		HB_TRY(add(p, out, false, "vendor-cpu",
			   hb_arena_printf(a, "%s: %s; hbcc's own kernel runs it", broken->rule, broken->found),
			   broken->source, broken->advice));
	return HB_OK;
}

hb_status hb_march_check(hb_graph *g, const hb_march *m, hb_node *n, hb_place_rule where, hb_finding **out)
{
	struct place p;
	char buf[128];
	const char *name = hb_march_row_name(n, buf, sizeof(buf));
	bool shuffle = where == HB_RULE_BPU && hb_march_op_of(m, "ChannelShuffle") && in_shuffle(n);
	/* A group goes by its root's rules, a function by those that placed it. */
	bool follows = n->group && (n->group->root != n || hb_is_function(n->group));
	name = shuffle ? "ChannelShuffle" : name;
	*out = NULL;
	hb_status st = open_march(&p, g, m, where == HB_RULE_CPU && !strcmp(name, "Gemm") ? n->op_type : name);
	if (st == HB_OK)
		st = where == HB_RULE_CPU ? check_cpu(&p, n, out) :
		     shuffle		  ? check_as(&p, n, name, out) :
		     follows		  ? HB_OK :
					    check_bpu(&p, n, out);
	close_march(&p);
	return st;
}

hb_status hb_march_check_model(hb_graph *g, const hb_march *m, hb_finding **out)
{
	struct place p;
	*out = NULL;
	hb_status st = open_march(&p, g, m, "model");
	if (st == HB_OK) {
		hb_facts f = { .v = { [HB_T_model_outputs] = (int64_t)g->noutputs } };
		st = check_rows(&p, hb_map_get(p.bpu, "model"), &f, out);
	}
	close_march(&p);
	return st;
}

/* ---- placement ---- */

/* The node whose rules n's place goes by: a chain's members each go by their own. */
static hb_node *root_of(hb_node *n)
{
	return n->group ? n->group->root : n;
}

static bool named_by(const hb_node *n, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(names[i], n->op_type) || !strcmp(names[i], n->name))
			return true;
		for (const hb_source *s = n->sources; s; s = s->next_of_node)
			if (!strcmp(names[i], s->name) || !strcmp(names[i], s->op_type))
				return true;
	}
	return false;
}

/* Lists every group's nodes, and marks the roots of what the options name. */
static hb_status list_groups(struct place *p)
{
	hb_graph *g = p->g;
	size_t nodes = (size_t)g->next_node + 1;
	p->first = HB_NEW_N(p->scratch, hb_node *, g->next_group + 1);
	hb_node **last = HB_NEW_N(p->scratch, hb_node *, g->next_group + 1);
	p->next = HB_NEW_N(p->scratch, hb_node *, nodes);
	p->to_bpu = HB_NEW_N(p->scratch, bool, nodes);
	p->to_cpu = HB_NEW_N(p->scratch, bool, nodes);
	p->shuffle = HB_NEW_N(p->scratch, bool, nodes);
	if (!p->shuffle || !p->first || !last || !p->next || !p->to_bpu || !p->to_cpu)
		return HB_ERR_NOMEM;
	for (hb_node *n = g->first; n; n = n->next) {
		if (n->group) {
			int id = n->group->id;
			*(p->first[id] ? &p->next[last[id]->id] : &p->first[id]) = n;
			last[id] = n;
		}
		const hb_place_options *o = p->o;
		if (o && o->nbpu && named_by(n, o->run_on_bpu, o->nbpu))
			p->to_bpu[n->id] = p->to_bpu[root_of(n)->id] = true;
		if (o && o->ncpu && named_by(n, o->run_on_cpu, o->ncpu))
			p->to_cpu[n->id] = true;
	}
	return HB_OK;
}

/* Is the chain a GELU, in whatever way it is written? (By its values: within 1e-3, the tanh form included.) */
static bool is_gelu(const hb_group *gr)
{
	static const double at[] = { -3.0, -1.5, -0.7, -0.2, 0.4, 1.1, 2.5 };
	for (size_t i = 0; i < HB_LEN(at); i++) {
		double want = 0.5 * at[i] * (1.0 + erf(at[i] / sqrt(2.0)));
		if (!(fabs(hb_chain_eval(gr, at[i]) - want) < 1e-3))
			return false;
	}
	return true;
}

/* A magnitude stands where each of its parts could, but for numbers that are added. */
static hb_status check_magnitude(struct place *p, const hb_group *gr, bool *holds)
{
	hb_finding *list = NULL;
	for (hb_node *n = p->first[gr->id]; n; n = p->next[n->id]) {
		if (strcmp(n->op_type, "Add") || (!n->in[0]->is_const && !n->in[1]->is_const))
			HB_TRY(check_bpu(p, n, &list));
		if (p->to_cpu[n->id] || any_broken(list))
			return HB_OK;
	}
	*holds = true;
	return HB_OK;
}

/* A chain is one lookup: GELU goes by its own row; of another each function goes by its row, and arithmetic
 * with scalars in between is part of the table. A chain of arithmetic alone goes by its parts. */
static hb_status check_chain(struct place *p, hb_group *gr, bool *holds)
{
	bool functions = false;
	hb_finding *list = NULL;
	*holds = false;
	for (hb_node *n = p->first[gr->id]; n; n = p->next[n->id]) {
		functions = functions || (n->op && n->op->lut);
		if (p->to_cpu[n->id])
			return HB_OK;
	}
	if (is_gelu(gr)) {
		HB_TRY(check_as(p, gr->last, "Gelu", &list));
		*holds = !any_broken(list);
		return HB_OK;
	}
	for (hb_node *n = p->first[gr->id]; n; n = p->next[n->id]) {
		const hb_march_op *op = hb_map_get(p->ops, n->op_type);
		if (functions && !(n->op && n->op->lut))
			continue;
		HB_TRY(check_bpu(p, n, &list));
		if (any_broken(list) || (op->default_cpu && !p->to_bpu[n->id]))
			return HB_OK;
	}
	*holds = true;
	return HB_OK;
}

/* A chain whose nodes are in no group becomes one, listed as such. */
static void keep_rest(struct place *p, hb_group *chain)
{
	p->first[chain->id] = NULL;
	for (hb_node *n = chain->last; n; n = n == chain->root ? NULL : n->in[n->in[0]->is_const]->producer) {
		n->group = chain;
		p->next[n->id] = p->first[chain->id];
		p->first[chain->id] = n;
	}
}

/* Is n in a chain, or a magnitude, that goes to the BPU? One that cannot is taken apart: its nodes go their own ways. */
static hb_status settle_function(struct place *p, hb_node *n, bool *holds)
{
	hb_group *gr = n->group;
	*holds = false;
	if (!hb_is_function(gr))
		return HB_OK;
	HB_TRY(gr->magnitude ? check_magnitude(p, gr, holds) : check_chain(p, gr, holds));
	for (hb_node *m = p->first[gr->id]; m; m = p->next[m->id]) {
		m->on = HB_ON_BPU;
		if (!*holds)
			m->group = NULL;
	}
	if (!*holds && gr->rest)
		keep_rest(p, gr->rest);
	return HB_OK;
}

/* What stands for node n alone, or for the group that it is the root of, on the BPU; and so its place. */
static hb_status judge(struct place *p, hb_node *n)
{
	char buf[128];
	hb_arena *a = p->g->arena;
	const char *name = hb_march_row_name(n, buf, sizeof(buf));
	const hb_march_op *op = hb_map_get(p->ops, name);
	n->findings = NULL;
	HB_TRY(p->shuffle[n->id] ? check_as(p, n, "ChannelShuffle", &n->findings) : check_bpu(p, n, &n->findings));
	const char *floats = n->op && n->op->floats ? n->op->floats(n) : NULL;
	if (op && op->bpu && (floats || !has_fixed_form(n)))
		HB_TRY(add(p, &n->findings, true, hb_arena_printf(a, "hbcc: no fixed-point form of %s", n->op_type),
			   hb_arena_str(a, floats ? floats : name), "hbcc",
			   floats ? "change that, or leave it to the CPU" : alternative(p, name)));
	if (op && op->default_cpu && !p->to_bpu[n->id])
		HB_TRY(add(p, &n->findings, true, hb_arena_printf(a, "%s is on the CPU by default", name),
			   hb_arena_str(a, name), op->source, hb_arena_printf(a, "--run-on-bpu %s", n->name)));
	if (p->to_cpu[n->id])
		HB_TRY(add(p, &n->findings, true, "run_on_cpu", "the node is named by --run-on-cpu", "command line",
			   "leave the option out"));
	n->on = any_broken(n->findings) ? HB_ON_CPU : HB_ON_BPU;
	return HB_OK;
}

/* What group gr fuses behind its root, in order; how many. */
static int members_of(const hb_group *gr, hb_node *list[3])
{
	int count = 0;
	hb_node *const parts[] = { gr->bias, gr->add, gr->act };
	for (size_t i = 0; i < HB_LEN(parts); i++)
		if (parts[i])
			list[count++] = parts[i];
	return count;
}

/* Takes members `from` and on out of group gr, whose root has `count`; an addition keeps the activation behind it. */
static hb_status part(struct place *p, hb_group *gr, hb_node *const *list, int from, int count)
{
	for (int i = from; i < count; i++) {
		list[i]->group = NULL;
		gr->bias = gr->bias == list[i] ? NULL : gr->bias;
		gr->add = gr->add == list[i] ? NULL : gr->add;
		gr->act = gr->act == list[i] ? NULL : gr->act;
	}
	gr->last = from ? list[from - 1] : gr->root;
	gr->nnodes = 1 + from;
	if (!from)
		gr->root->group = NULL;
	if (count - from < 2)
		return HB_OK;
	hb_node *sum = list[count - 2], *act = list[count - 1];
	if (strcmp(sum->op_type, "Add") || !strcmp(act->op_type, "Add"))
		return HB_OK;
	hb_group *rest = HB_NEW(p->g->arena, hb_group);
	if (!rest)
		return HB_ERR_NOMEM;
	*rest = (hb_group){ .root = sum, .last = act, .act = act, .nnodes = 2, .id = p->g->next_group++ };
	sum->group = act->group = rest;
	return HB_OK;
}

/* The root's place where it fuses less, should the group as a whole have none on the BPU: first without the addition,
 * then alone. What it leaves is placed by its own rules. */
static hb_status unfuse(struct place *p, hb_node *root)
{
	hb_group *gr = root->group;
	hb_node *list[3];
	int count = members_of(gr, list), from = count;
	for (int i = 0; i < count; i++)
		if (p->to_cpu[list[i]->id])
			from = HB_MIN(from, i);
	if (from < count) {
		HB_TRY(part(p, gr, list, from, count));
		count = from;
	}
	HB_TRY(judge(p, root));
	if (root->on == HB_ON_BPU || !count)
		return HB_OK;
	const hb_finding *fused = root->findings;
	while (!fused->broken)
		fused = fused->next;
	from = gr->add && gr->bias ? 1 : 0;
	if (gr->add) {
		HB_TRY(part(p, gr, list, from, count));
		count = from;
		HB_TRY(judge(p, root));
		if (root->on == HB_ON_BPU)
			return add(p, &root->findings, false, fused->rule, hb_arena_printf(p->g->arena, "%s: the addition is not fused", fused->found),
				   fused->source, fused->advice);
	}
	if (!count)
		return HB_OK;
	HB_TRY(part(p, gr, list, 0, count));
	return judge(p, root);
}

static hb_status place_one(struct place *p, hb_node *n)
{
	bool settled;
	HB_TRY(settle_function(p, n, &settled));
	if (settled)
		return HB_OK;
	return n->group ? unfuse(p, n) : judge(p, n);
}

/* Data movement is quantized passively: it stands on the BPU only between nodes that do. `both`: a border
 * of the model is no such node; else it is neutral, and one reader on the BPU is enough. */
static const struct {
	const char *op;
	bool both;
} passive[] = {
	{ "Reshape", true }, { "Flatten", true }, { "Squeeze", true }, { "Unsqueeze", true }, { "Transpose", true },
	{ "Expand", false }, { "Tile", false }, { "Slice", false }, { "Split", false }, { "Gather", false },
	{ "Concat", false }, { "Identity", true }, { "Dropout", true }, { "DepthToSpace", false },
	{ "SpaceToDepth", false },
};

static int passive_row(const hb_node *n)
{
	for (size_t i = 0; i < HB_LEN(passive); i++)
		if (!strcmp(n->op_type, passive[i].op) && !*n->domain)
			return (int)i;
	return -1;
}

/* Inputs that carry data; shape operands and indices do not count. */
static int data_inputs(const hb_node *n)
{
	return strcmp(n->op_type, "Concat") ? HB_MIN(n->nin, 1) : n->nin;
}

static bool on_bpu(hb_node *n)
{
	return root_of(n)->on == HB_ON_BPU;
}

/* Why passive node n cannot stay on the BPU as its neighbours stand now; NULL: it can. */
static const char *lonely(struct place *p, hb_node *n, bool both)
{
	hb_arena *a = p->g->arena;
	for (int i = 0; i < data_inputs(n); i++) {
		hb_tensor *t = n->in[i];
		if (!t || t->is_const)
			continue;
		if (t->producer && !on_bpu(t->producer))
			return hb_arena_printf(a, "'%s' before it is on the CPU", t->producer->name);
		if (!t->producer && both)
			return hb_arena_printf(a, "it reads model input '%s'", t->name);
	}
	size_t bpu = 0, cpu = 0;
	const hb_node *reader = NULL;
	bool output = false;
	for (int i = 0; i < n->nout; i++) {
		const hb_tensor *t = n->out[i];
		if (!t)
			continue;
		output = output || t->is_output;
		for (size_t k = 0; k < t->nuses; k++) {
			bool is_bpu = on_bpu(t->uses[k].node);
			bpu += is_bpu;
			cpu += !is_bpu;
			if (!is_bpu)
				reader = t->uses[k].node;
		}
	}
	if (cpu && (both || !bpu) && !(output && !both))
		return hb_arena_printf(a, "'%s' after it is on the CPU", reader->name);
	if (both && !bpu)
		return "only the model's output follows it";
	return NULL;
}

/* A copy between two scales of the model's own does arithmetic. */
static bool requantizes(const hb_node *n)
{
	return !strcmp(n->op_type, "Identity") && n->out[0]->q.from == HB_Q_GIVEN && n->in[0]->q.from != HB_Q_OPEN &&
	       !hb_q_same(&n->in[0]->q, &n->out[0]->q);
}

static hb_status settle_passive(struct place *p)
{
	bool changed = true;
	while (changed) {
		changed = false;
		/* Forwards, then backwards, so that a chain settles in one round each. */
		for (int back = 0; back < 2; back++)
			for (hb_node *n = back ? p->g->last : p->g->first; n; n = back ? n->prev : n->next) {
				int row = n->group ? -1 : passive_row(n);
				if (row < 0 || n->on != HB_ON_BPU || p->to_bpu[n->id] || requantizes(n))
					continue;
				const char *why = lonely(p, n, passive[row].both);
				if (!why)
					continue;
				n->on = HB_ON_CPU;
				changed = true;
				HB_TRY(add(p, &n->findings, true, "data movement stands on the BPU between BPU nodes only",
					   why, "RDK list, passive quantization",
					   hb_arena_printf(p->g->arena, "--run-on-bpu %s", n->name)));
			}
	}
	return HB_OK;
}

/* The lists' tail rule: only a convolution at the tail may stay int32, and an activation there is the
 * CPU's unless asked for. hbcc's default for such a pair is int8 on the BPU. */
static hb_status tail(struct place *p, hb_node *n)
{
	hb_group *gr = n->group;
	if (!gr || gr->root != n || !gr->act || n->on != HB_ON_BPU || !gr->last->out[0]->is_output)
		return HB_OK;
	return add(p, &n->findings, false, "an activation at the model's tail",
		   hb_arena_printf(p->g->arena, "'%s' is fused, the output is int8", gr->act->name), "RDK list, tail rule",
		   "take the output before the activation to keep it int32");
}

static hb_status place_all(struct place *p)
{
	HB_TRY(list_groups(p));
	bool shuffles = hb_map_get(p->ops, "ChannelShuffle") != NULL;
	for (hb_node *n = p->g->first; n; n = n->next) {
		n->findings = NULL;
		hb_node *parts[3];
		if (shuffles && shuffle_from(n, parts))
			p->shuffle[parts[0]->id] = p->shuffle[parts[1]->id] = p->shuffle[parts[2]->id] = true;
	}
	for (hb_node *n = p->g->first; n; n = n->next)
		if (root_of(n) == n)
			HB_TRY(place_one(p, n));
	HB_TRY(settle_passive(p));
	for (hb_node *n = p->g->first; n; n = n->next) {
		HB_TRY(tail(p, n));
		n->on = root_of(n)->on;	/* a group shares its place */
		if (n->on != HB_ON_CPU)
			continue;
		if (!n->op || !n->op->run) {
			n->on = HB_ON_NONE;
			HB_TRY(add(p, &n->findings, true,
				   hb_arena_printf(p->g->arena, "hbcc: no CPU kernel of %s", n->op_type), n->op_type,
				   "hbcc", alternative(p, n->op_type)));
			continue;
		}
		HB_TRY(check_cpu(p, n, &n->findings));
	}
	return HB_OK;
}

hb_status hb_march_place(hb_graph *g, const hb_march *m, const hb_place_options *o)
{
	struct place p;
	hb_status st = open_march(&p, g, m, NULL);
	p.o = o;
	if (st == HB_OK)
		st = place_all(&p);
	close_march(&p);
	return st;
}

/* ---- types ---- */

/* Operators whose int32 sums may leave as a model output; all others' int32 are indices or copies. */
static bool sums(const hb_node *n)
{
	static const char *const ops[] = { "Conv", "ConvTranspose", "Gemm", "MatMul", "AveragePool",
					   "GlobalAveragePool" };
	for (size_t i = 0; i < HB_LEN(ops); i++)
		if (!strcmp(n->op_type, ops[i]))
			return true;
	return false;
}

static bool may_stay_int32(const hb_node *n)
{
	const hb_group *gr = n->group;
	const hb_node *last = gr && gr->last ? gr->last : n;
	const hb_tensor *t = last->nout > 0 ? last->out[0] : NULL;
	for (size_t i = 0; t && i < t->nuses; i++)
		if (t->uses[i].node->on != HB_ON_CPU)
			return false;
	return t && (t->is_output || t->nuses) && !(gr && gr->act);
}

static bool is_dilated(const hb_node *n)
{
	size_t count;
	const int64_t *d = hb_attr_ints(n, "dilations", &count);
	for (size_t i = 0; d && i < count; i++)
		if (d[i] > 1)
			return !strcmp(n->op_type, "Conv");
	return false;
}

uint32_t hb_march_types(const hb_march *m, const hb_node *n, bool output)
{
	char buf[128];
	const hb_march_op *op = hb_march_op_of(m, hb_march_row_name(n, buf, sizeof(buf)));
	if (!op || !op->bpu)
		return 0;
	if (!output)
		return op->in_types;
	if (m->dilated_int8 && is_dilated(n))
		return op->out_types & HB_BIT(HB_I8);
	return sums(n) && !may_stay_int32(n) ? op->out_types & ~HB_BIT(HB_I32) : op->out_types;
}

/* ---- an edge's type ---- */

/* Steps of a walk over what an edge's type passes through; a longer walk says no. */
enum { WALK = 2000, DEPTH = 100 };

static const hb_node *root_of_const(const hb_node *n)
{
	return n->group ? n->group->root : n;
}

static bool yields(const hb_march *m, const hb_node *root, hb_dtype dt)
{
	return hb_is_function(root->group) ? dt != HB_I16 || m->fig.int16 : (hb_march_types(m, root, true) & HB_BIT(dt)) != 0;
}

static bool passes_on(const hb_node *root)
{
	return !hb_is_function(root->group) && root->op && (root->op->role == HB_ROLE_PASS || root->op->role == HB_ROLE_CAT) &&
	       !requantizes(root);
}

bool hb_march_reads(const hb_march *m, const hb_node *n, hb_dtype dt)
{
	const hb_node *root = root_of_const(n);
	if (hb_is_function(root->group))
		return dt != HB_I16 || m->fig.int16;
	return hb_march_types(m, root, false) & HB_BIT(dt) && (!passes_on(root) || yields(m, root, dt));
}

/* Readers of an edge, those behind what passes it on for that: how many may read a type, what leaves the BPU included,
 * and how many may not. */
struct readers {
	int take, refuse, steps;
};

static void count_readers(const hb_march *m, const hb_tensor *t, hb_dtype dt, struct readers *r, int depth)
{
	r->take += t->is_output;
	for (size_t i = 0; i < t->nuses; i++) {
		const hb_node *n = root_of_const(t->uses[i].node), *last = n->group ? n->group->last : n;
		if (hb_is_places(t->uses[i].node, t->uses[i].index))
			continue;
		if (++r->steps > WALK || depth >= DEPTH) {
			r->refuse++;
			return;
		}
		if (n->on == HB_ON_BPU && !hb_march_reads(m, n, dt))
			r->refuse++;
		else if (n->on != HB_ON_BPU || !passes_on(n))
			r->take++;
		else
			for (int k = 0; k < last->nout; k++)
				if (last->out[k])
					count_readers(m, last->out[k], dt, r, depth + 1);
	}
}

static struct readers readers_of(const hb_march *m, const hb_tensor *t, hb_dtype dt)
{
	struct readers r = { 0 };
	count_readers(m, t, dt, &r, 0);
	return r;
}

static bool producer_yields(const hb_march *m, const hb_tensor *t, hb_dtype dt)
{
	const hb_node *n = t->producer ? root_of_const(t->producer) : NULL;
	return !n || n->on != HB_ON_BPU || yields(m, n, dt);
}

bool hb_march_takes(const hb_march *m, const hb_tensor *t, hb_dtype dt)
{
	return producer_yields(m, t, dt) && readers_of(m, t, dt).refuse == 0;
}

bool hb_march_gains(const hb_march *m, const hb_tensor *t, hb_dtype dt)
{
	struct readers r = readers_of(m, t, dt);
	return producer_yields(m, t, dt) && (r.take || !r.refuse);
}
