/* march.c: hbcc march: the machines, their figures and rules, each with its source. */
#include "cli/cli.h"

#include <stdlib.h>

/* The fields of hb_figures as they are printed. */
typedef struct figure_row {
	const char *field;
	enum { INT, U32, REAL, BOOL } type;
	size_t at;
	const char *unit;
} figure_row;

#define FIG(f, type, unit)                                                                                             \
	{                                                                                                              \
#f, type, offsetof(hb_figures, f), unit                                                                \
	}
static const figure_row figure_rows[] = {
	FIG(cores, INT, ""),
	FIG(clock_ghz, REAL, "GHz"),
	FIG(sram_bytes, U32, "bytes a core"),
	FIG(c_align, U32, "bytes"),
	FIG(granule, U32, "bytes"),
	FIG(mac_h, INT, "rows"),
	FIG(mac_w, INT, "columns"),
	FIG(mac_c, INT, "input channels"),
	FIG(mac_n, INT, "output channels"),
	FIG(macs_per_cycle, INT, ""),
	FIG(k0_percent, INT, "% of a tap"),
	FIG(dw_h, INT, "rows"),
	FIG(dw_w, INT, "columns"),
	FIG(dw_c, INT, "channels"),
	FIG(dw_macs_per_cycle, INT, ""),
	FIG(start_mac, INT, "cycles"),
	FIG(start_vec, INT, "cycles"),
	FIG(start_dma, INT, "cycles"),
	FIG(vec_x100, INT, "elements in 100 cycles"),
	FIG(lut_x100, INT, "elements in 100 cycles"),
	FIG(copy_x100, INT, "elements in 100 cycles"),
	FIG(dma_bytes_x100, INT, "bytes in 100 cycles"),
	FIG(int16, BOOL, ""),
};

static double
figure(const hb_figures *f, const figure_row *r)
{
	const char *p = (const char *)f + r->at;

	return r->type == INT    ? *(const int *)p
	       : r->type == U32  ? *(const uint32_t *)p
	       : r->type == REAL ? *(const double *)p
				 : *(const bool *)p;
}

static const char *
source_of(const hb_march *m, const char *field)
{
	for (const hb_figure_source *s = m->figure_sources; s && s->field; s++)
		if (!strcmp(s->field, field))
			return s->source;
	return "assumed";
}

static const char *
types_text(cli *c, uint32_t types)
{
	hb_buf b = {.cx = c->cx};
	const char *s;

	for (int i = 0; i < HB_NDTYPES; i++)
		if (types >> i & 1)
			hb_buf_printf(&b, "%s%s", b.len ? " " : "", hb_dtype_name((hb_dtype)i));
	s = b.p ? hb_arena_str(c->arena, b.p) : "--";
	hb_buf_free(&b);
	return s ? s : "--";
}

static json_t *
json_rules(cli *c, const hb_rule *r, const char *op)
{
	json_t *a = json_array();

	for (; r && r->op; r++) {
		if (strcmp(r->op, op))
			continue;
		json_t *o = json_object();
		json_object_set_new(o, "rule", js(c, r->text));
		json_object_set_new(o, "note", js(c, r->note));
		json_object_set_new(o, "source", js(c, r->source));
		json_array_append_new(a, o);
	}
	return a;
}

static void
text_rules(cli *c, const char *on, const hb_rule *r, const char *op)
{
	for (; r && r->op; r++)
		if (!strcmp(r->op, op))
			printf("    %s: %s%s%s%s%s%s%s\n", on, clean(c, r->text), r->note ? "  -- " : "",
			       r->note ? clean(c, r->note) : "", r->source ? " [" : "",
			       r->source ? clean(c, r->source) : "", r->source ? "]" : "", "");
}

static const char *
place_text(const hb_march_op *o)
{
	return !o->bpu ? "CPU" : o->default_cpu ? "CPU, BPU with --run-on-bpu" : "BPU";
}

static hb_status
list_marches(cli *c, bool json)
{
	json_t *j = json_report("hbcc.march/1"), *a = json_array();
	table *t = table_new(c, "March", "Machine", NULL);

	for (size_t i = 0; hb_march_at(i); i++) {
		const hb_march *m = hb_march_at(i);
		json_t *o = json_object();

		table_cell(t, m->name);
		table_cell(t, m->title);
		json_object_set_new(o, "name", js(c, m->name));
		json_object_set_new(o, "title", js(c, m->title));
		json_array_append_new(a, o);
	}
	json_object_set_new(j, "marches", a);
	if (json)
		return json_out(c, j, NULL);
	json_decref(j);
	table_text(t, stdout);
	return HB_OK;
}

static hb_status
show_march(cli *c, const hb_march *m, bool json)
{
	json_t *j = json_report("hbcc.march/1"), *figs = json_object(), *ops = json_array();
	table *t = table_new(c, "Figure", "Value", "Unit", "Source", NULL);
	table *rows = table_new(c, "Operator", "ON", "In", "Out", "Source", NULL);

	json_object_set_new(j, "name", js(c, m->name));
	json_object_set_new(j, "title", js(c, m->title));
	if (m->note)
		json_object_set_new(j, "note", js(c, m->note));
	for (size_t i = 0; i < HB_LEN(figure_rows); i++) {
		const figure_row *r = &figure_rows[i];
		double v = figure(&m->fig, r);
		const char *source = source_of(m, r->field);

		table_cell(t, r->field);
		table_cellf(t, "%.9g", v);
		table_cell(t, r->unit);
		table_cell(t, source);
		json_object_set_new(figs, r->field,
				    json_pack("{s:o, s:s}", "value",
					      r->type == REAL ? js_real(v) : json_integer((json_int_t)v), "source",
					      source));
	}
	json_object_set_new(j, "figures", figs);
	for (const hb_march_op *o = m->ops; c->a.ops && o && o->op; o++) {
		json_t *row = json_object();

		table_cell(rows, o->op);
		table_cell(rows, place_text(o));
		table_cell(rows, types_text(c, o->in_types));
		table_cell(rows, types_text(c, o->out_types));
		table_cell(rows, o->source ? o->source : "");
		json_object_set_new(row, "op", js(c, o->op));
		json_object_set_new(row, "bpu", json_boolean(o->bpu));
		json_object_set_new(row, "default_cpu", json_boolean(o->default_cpu));
		json_object_set_new(row, "in", js(c, types_text(c, o->in_types)));
		json_object_set_new(row, "out", js(c, types_text(c, o->out_types)));
		json_object_set_new(row, "source", js(c, o->source));
		json_object_set_new(row, "rules", json_rules(c, m->rules, o->op));
		json_object_set_new(row, "cpu_rules", json_rules(c, m->cpu_rules, o->op));
		json_array_append_new(ops, row);
	}
	if (c->a.ops) {
		json_object_set_new(j, "general_rules", json_rules(c, m->rules, "*"));
		json_object_set_new(j, "operators", ops);
	} else {
		json_decref(ops);
	}
	if (json)
		return json_out(c, j, NULL);
	json_decref(j);
	printf("%s: %s\n", m->name, m->title);
	if (m->note)
		puts(m->note);
	putchar('\n');
	if (!c->a.ops) {
		table_text(t, stdout);
		return HB_OK;
	}
	table_text(rows, stdout);
	puts("\nRules, by operator; * holds for all");
	puts("  *");
	text_rules(c, "BPU", m->rules, "*");
	for (const hb_march_op *o = m->ops; o && o->op; o++) {
		printf("  %s\n", o->op);
		text_rules(c, "BPU", m->rules, o->op);
		text_rules(c, "CPU", m->cpu_rules, o->op);
	}
	return HB_OK;
}

static hb_status
run(cli *c)
{
	bool json = c->a.format && !strcmp(c->a.format, "json");
	const hb_march *m;

	if (!c->nfiles && c->a.ops)
		return hb_error(c->cx, HB_ERR_USAGE, "--ops", "option", "goes with a march's name");
	if (!c->nfiles)
		return list_marches(c, json);
	c->a.march = c->files[0];
	HB_TRY(march_get(c, true, &m));
	return show_march(c, m, json);
}

const command command_march = {
	.name = "march",
	.files = "[NAME]",
	.summary = "List the machines; with a name, its figures, or with --ops its operators and rules.",
	.min_files = 0,
	.max_files = 1,
	.options = (const opt_id[]){O_ops, O_report_format, O_END},
	.run = run,
};
