/* trim: takes an imported graph; leaves one with other inputs and outputs: named nodes' outputs as the model's, or
 * without nodes at its borders. */
#include "lib/pass/pass.h"

static hb_node *
node_named(hb_graph *g, const char *name)
{
	for (hb_node *n = g->first; n; n = n->next) {
		if (!strcmp(n->name, name))
			return n;
	}
	hb_tensor *t = hb_tensor_find(g, name);
	return t ? t->producer : NULL;
}

hb_status
hb_pass_set_outputs(hb_graph *g, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!node_named(g, names[i]))
			return hb_error(g->cx, HB_ERR_USAGE, names[i], "output-nodes", "no node of the model has such a name");
	}
	for (size_t i = 0; i < g->noutputs; i++)
		g->outputs[i]->is_output = false;
	g->noutputs = 0;
	for (size_t i = 0; i < n; i++) {
		hb_node *k = node_named(g, names[i]);
		for (int o = 0; o < k->nout; o++) {
			hb_tensor *t = k->out[o];
			if (!t || t->is_output || (strcmp(k->name, names[i]) && strcmp(t->name, names[i])))
				continue;
			if (!HB_GROW(g->arena, &g->outputs, &g->cap_outputs, g->noutputs + 1))
				return hb_nomem(g->cx, t->name);
			g->outputs[g->noutputs++] = t;
			t->is_output = true;
		}
	}
	hb_graph_sweep(g);
	return HB_OK;
}

/* The one tensor that n makes its output of; NULL: there are others. */
static hb_tensor *
only_operand(const hb_node *n)
{
	for (int i = 1; i < n->nin; i++) {
		if (n->in[i] && !n->in[i]->is_const)
			return NULL;
	}
	return n->nin && n->nout == 1 && n->in[0] && !n->in[0]->is_const ? n->in[0] : NULL;
}

static bool
is_named(const hb_node *n, const char *word, bool by_type)
{
	return !strcmp(by_type ? n->op_type : n->name, word);
}

/* Takes n, which yields model output i and nothing else, away: its operand is the output. */
static bool
trim_tail(hb_graph *g, size_t i, const char *word, bool by_type)
{
	hb_tensor *t = g->outputs[i];
	hb_node *n = t->producer;
	hb_tensor *x = n && is_named(n, word, by_type) ? only_operand(n) : NULL;
	if (!x || t->nuses || x->is_output || x->is_input)
		return false;
	t->is_output = false;
	g->outputs[i] = x;
	x->is_output = true;
	hb_node_absorb(g, NULL, n);
	hb_node_remove(g, n);
	return true;
}

/* Takes the only reader of model input i away: its result is the input. */
static bool
trim_head(hb_graph *g, size_t i, const char *word, bool by_type)
{
	hb_tensor *x = g->inputs[i];
	hb_node *n = x->nuses == 1 ? x->uses[0].node : NULL;
	if (!n || x->is_output || !is_named(n, word, by_type) || only_operand(n) != x || n->out[0]->is_output)
		return false;
	hb_tensor *t = n->out[0];
	hb_node_absorb(g, NULL, n);
	hb_node_remove(g, n);
	x->is_input = false;
	g->inputs[i] = t;
	t->is_input = true;
	t->producer = NULL;
	t->dim_names = NULL;
	return true;
}

int
hb_pass_trim(hb_graph *g, const char *word, bool by_type)
{
	int gone = 0;
	for (size_t i = 0; i < g->noutputs; i++)
		gone += trim_tail(g, i, word, by_type);
	for (size_t i = 0; i < g->ninputs; i++)
		gone += trim_head(g, i, word, by_type);
	return gone;
}
