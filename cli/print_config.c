/* print_config.c: --print-config: a row for each operation: place, type, observer, and what said so. */
#include "cli/cli.h"

typedef struct row {
	hb_qconfig q;
	bool observed, weights;		/* it has weights whose scales it says */
} row;

typedef struct rows {
	cli *c;
	hb_map *by_tensor;
	bool bad;
} rows;

static bool
has_weights(const hb_node *n)
{
	static const char *const ops[] = {"Conv", "ConvTranspose", "Gemm", "MatMul"};
	const hb_node *root = n && n->group ? n->group->root : n;

	for (size_t i = 0; root && i < HB_LEN(ops); i++)
		if (!strcmp(root->op_type, ops[i]))
			return root->in[1]->is_const;
	return false;
}

static void
take(void *arg, const hb_node *n, const hb_tensor *t, const hb_qconfig *q, bool observed)
{
	rows *r = arg;
	row *one = HB_NEW(r->c->arena, row);

	if (one)
		*one = (row){*q, observed, has_weights(n)};
	r->bad |= !one || !hb_map_put(r->by_tensor, t->name, one);
}

static const char *
type_word(hb_dtype dt)
{
	return dt == HB_I16 ? "qint16" : dt == HB_I32 ? "qint32" : dt == HB_BOOL ? "qbool" : "qint8";
}

static void
observer_cells(table *t, const row *r)
{
	const hb_observer_cfg *o = &r->q.observer;
	const char *weights = r->weights && r->q.weights_mse ? "weights mse" : "", *comma = *weights ? ", " : "";

	table_cell(t, r->observed ? hb_observer_name(o->kind) : "--");
	if (r->observed && (o->kind == HB_OBS_PERCENTILE || o->kind == HB_OBS_MIX))
		table_cellf(t, "percentile %g%s%s", o->percentile > 0 ? o->percentile : 0.9999, comma, weights);
	else if (r->observed && o->kind == HB_OBS_MOVING)
		table_cellf(t, "averaging_constant %g%s%s", o->averaging_constant > 0 ? o->averaging_constant : 0.01, comma, weights);
	else if (r->observed && o->kind == HB_OBS_FIXED)
		table_cellf(t, "scale %.9g%s%s", (double)o->fixed_scale, comma, weights);
	else
		table_cell(t, weights);
}

static void
add_row(const rows *all, table *t, const char *node, const char *op, const hb_tensor *out, bool cpu, const char *why)
{
	const row *r = hb_map_get(all->by_tensor, out->name);

	if (!r && !cpu)
		return;		/* inside a fused operation */
	table_cell(t, clean(all->c, node));
	table_cell(t, op);
	table_cell(t, cpu ? "CPU" : "BPU");
	if (!r || cpu) {
		table_cell(t, hb_dtype_name(out->dtype));
		table_cell(t, "--");
		table_cell(t, "");
		table_cell(t, why ? why : "");
		return;
	}
	table_cell(t, type_word(r->q.dtype));
	observer_cells(t, r);
	table_cell(t, r->q.rule ? clean(all->c, r->q.rule) : r->observed ? "all" : r->q.dtype == HB_I32 || r->q.dtype == HB_BOOL ? "all" : "its operand");
}

hb_status
print_config(cli *c, hb_graph *g, const hb_calib_options *o)
{
	hb_calib_options plan = *o;
	rows all = {.c = c, .by_tensor = hb_map_new(c->arena)};
	table *t = table_new(c, "Node", "Type", "ON", "DataType", "Observer", "Arguments", "Rule", NULL);

	if (!all.by_tensor || !t)
		return hb_nomem(c->cx, NULL);
	plan.plan = take;
	plan.plan_arg = &all;
	HB_TRY(hb_pass_calibrate(g, &plan));
	if (all.bad)
		return hb_nomem(c->cx, NULL);
	for (size_t i = 0; i < g->ninputs; i++)
		if (hb_map_get(all.by_tensor, g->inputs[i]->name))
			add_row(&all, t, g->inputs[i]->name, "input", g->inputs[i], false, NULL);
	for (const hb_node *n = g->first; n; n = n->next) {
		const hb_finding *f = n->findings;

		while (f && !f->broken)
			f = f->next;
		for (int i = 0; i < n->nout; i++)
			if (n->out[i])
				add_row(&all, t, i ? n->out[i]->name : n->name, n->op_type, n->out[i], n->on != HB_ON_BPU, f ? f->rule : NULL);
	}
	table_text(t, stdout);
	return HB_OK;
}
