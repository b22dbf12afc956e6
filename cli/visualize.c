/* visualize.c: hbcc visualize: a model as a graph: .dot text, or .svg where graphviz's dot is there. */
#include "cli/cli.h"

#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* A quoted string of dot; '\' and '"' are escaped. */
static void
quoted(cli *c, hb_buf *b, const char *s)
{
	hb_buf_str(b, "\"");
	for (s = clean(c, s); *s; s++) {
		if (*s == '"' || *s == '\\')
			hb_buf_str(b, "\\");
		hb_buf_add(b, s, 1);
	}
	hb_buf_str(b, "\"");
}

static void
label(cli *c, hb_buf *b, const char *op, const char *name)
{
	char *text = hb_arena_printf(c->arena, "%s: %s", op, name);

	quoted(c, b, text ? text : op);
}

/* ---- graphs ---- */

static const char *
colour(const hb_node *n)
{
	bool bpu = n->on == HB_ON_BPU || !strcmp(n->domain, "hbcc");

	return bpu ? "#9fc5e8" : n->on == HB_ON_CPU ? "#d9d9d9" : n->on == HB_ON_NONE ? "#ea9999" : "#ffffff";
}

static void
draw_graph(cli *c, hb_buf *b, const hb_graph *g)
{
	char shape[HB_SHAPE_TEXT];

	for (size_t i = 0; i < g->ninputs; i++) {
		hb_buf_printf(b, "\ti%zu [shape=ellipse, label=", i);
		quoted(c, b, g->inputs[i]->name);
		hb_buf_str(b, "]\n");
	}
	for (const hb_node *n = g->first; n; n = n->next) {
		hb_buf_printf(b, "\tn%d [style=filled, fillcolor=\"%s\", label=", n->id, colour(n));
		label(c, b, n->op_type, n->name);
		hb_buf_str(b, "]\n");
	}
	for (size_t i = 0; i < g->noutputs; i++) {
		const hb_tensor *t = g->outputs[i];

		hb_buf_printf(b, "\to%zu [shape=ellipse, label=", i);
		quoted(c, b, t->name);
		hb_buf_str(b, "]\n");
		if (t->producer)
			hb_buf_printf(b, "\tn%d -> o%zu\n", t->producer->id, i);
	}
	for (const hb_node *n = g->first; n; n = n->next) {
		for (int i = 0; i < n->nin; i++) {
			const hb_tensor *t = n->in[i];

			if (!t || t->is_const)
				continue;
			if (t->producer)
				hb_buf_printf(b, "\tn%d -> n%d", t->producer->id, n->id);
			for (size_t k = 0; !t->producer && k < g->ninputs; k++)
				if (g->inputs[k] == t)
					hb_buf_printf(b, "\ti%zu -> n%d", k, n->id);
			if (t->has_shape)
				hb_buf_printf(b, " [label=\"%s %s\"]", dtype_word(&t->q, t->dtype),
					      hb_shape_text(&t->shape, shape));
			hb_buf_str(b, "\n");
		}
	}
}

/* ---- .hbm: its segments and what goes between them ---- */

static void
draw_program(cli *c, hb_buf *b, const hb_program *p)
{
	char shape[HB_SHAPE_TEXT];

	for (size_t i = 0; i < p->nplaces; i++) {
		const hb_place_row *r = &p->places[i];
		char *text = hb_arena_printf(c->arena, "%s: %s %s", r->name, dtype_word(&r->q, HB_F32),
					     hb_shape_text(&r->shape, shape));

		hb_buf_printf(b, "\tt%zu [shape=ellipse, label=", i);
		quoted(c, b, text ? text : r->name);
		hb_buf_str(b, "]\n");
	}
	for (size_t i = 0; i < p->nsegments; i++) {
		const hb_segment *s = &p->segments[i];
		size_t nodes = 0;

		for (size_t k = 0; k < p->nnodes; k++)
			nodes += p->nodes[k].segment == (int)i;
		hb_buf_printf(b, "\ts%zu [style=filled, fillcolor=\"%s\", label=\"%s segment %zu: %zu nodes\"]\n", i,
			      s->cpu ? "#d9d9d9" : "#9fc5e8", s->cpu ? "CPU" : "BPU", i, nodes);
		for (size_t k = 0; k < s->nins; k++)
			hb_buf_printf(b, "\tt%d -> s%zu\n", s->ins[k], i);
		for (size_t k = 0; k < s->nouts; k++)
			hb_buf_printf(b, "\ts%zu -> t%d\n", i, s->outs[k]);
	}
}

/* ---- SVG by graphviz ---- */

static hb_status
run_dot(cli *c, const char *from, char **svg)
{
	char *to = hb_arena_printf(c->arena, "%s.svg", from);
	char *argv[] = {(char[]){"dot"}, (char[]){"-Tsvg"}, (char[]){"-o"}, to, hb_arena_str(c->arena, from), NULL};
	int status = 0;
	pid_t pid;

	if (!to || !argv[4])
		return hb_nomem(c->cx, NULL);
	int e = posix_spawnp(&pid, "dot", NULL, NULL, argv, environ);
	if (e)
		return hb_error(c->cx, HB_ERR_SYSTEM, NULL, "dot",
				"graphviz's dot cannot be started: %s; -o FILE.dot needs none", strerror(e));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*svg = to;
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		unlink(to);
		return hb_error(c->cx, HB_ERR_SYSTEM, NULL, "dot", "graphviz's dot failed");
	}
	return HB_OK;
}

static hb_status
write_svg(cli *c, const hb_buf *b)
{
	char *dot = hb_arena_printf(c->arena, "%s.%d.dot", c->a.output, (int)getpid()), *svg = NULL;

	if (!dot)
		return hb_nomem(c->cx, NULL);
	HB_TRY(hb_file_write(c->cx, dot, b->p, b->len));
	hb_status st = run_dot(c, dot, &svg);
	if (st == HB_OK && rename(svg, c->a.output))
		st = hb_error(c->cx, HB_ERR_SYSTEM, c->a.output, "write", "%s", strerror(errno));
	unlink(dot);
	return st;
}

static bool
ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n > k && !strcmp(s + n - k, suffix);
}

static hb_status
run(cli *c)
{
	const char *path = c->files[0];
	hb_buf b = {.cx = c->cx};
	const hb_march *m;
	hb_program *p = NULL;
	hb_graph *g = NULL;

	if (!c->a.output || (!ends_with(c->a.output, ".svg") && !ends_with(c->a.output, ".dot")))
		return hb_error(c->cx, HB_ERR_USAGE, "--output", "option", "takes a file that ends in .svg or .dot");
	if (is_hbm(path)) {
		HB_TRY(hbm_open(c, path, &m, &p));
	} else {
		HB_TRY(march_get(c, false, &m));
		HB_TRY(model_read(c, path, &g));
		if (m && graph_form(g) == FORM_ONNX)
			HB_TRY(model_place(c, g, m));
	}
	hb_buf_str(&b, "digraph model {\n\tnode [shape=box, fontname=\"sans-serif\"]\n\tedge [fontname=\"sans-serif\", "
		       "fontsize=9]\n");
	if (g)
		draw_graph(c, &b, g);
	else
		draw_program(c, &b, p);
	hb_buf_str(&b, "}\n");
	hb_status st = b.bad                            ? hb_nomem(c->cx, NULL)
		       : ends_with(c->a.output, ".svg") ? write_svg(c, &b)
							: hb_file_write(c->cx, c->a.output, b.p, b.len);
	hb_buf_free(&b);
	return st;
}

const command command_visualize = {
	.name = "visualize",
	.files = "FILE",
	.summary = "Draw a model: the nodes of an ONNX form, with --march where they run; the segments of an .hbm.",
	.min_files = 1,
	.max_files = 1,
	.options = (const opt_id[]){O_output, O_march, O_run_on_bpu, O_run_on_cpu, O_name, O_END},
	.run = run,
};
