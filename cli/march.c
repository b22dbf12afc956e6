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
json_rules(cli *c, const hb_rule *rules, const char *op)
{
	json_t *a = json_array();

	for (const hb_rule *r = hb_march_rule_next(rules, NULL, op); r; r = hb_march_rule_next(rules, r, op)) {
		json_t *o = json_object();
		json_object_set_new(o, "rule", js(c, r->text));
		json_object_set_new(o, "note", js(c, r->note));
		json_object_set_new(o, "source", js(c, r->source));
		json_object_set_new(o, "remark", json_boolean(r->remark));
		json_array_append_new(a, o);
	}
	return a;
}

/* One rule as a sentence: "kh in 1..7 (note)  [source]"; a remark says so. */
static const char *
rule_text(cli *c, const hb_rule *r)
{
	return hb_arena_printf(c->arena, "%s%s%s%s", r->text, r->note ? "  -- " : "", r->note ? r->note : "",
			       r->remark ? " (advice only)" : "");
}

static void
text_rules(cli *c, const char *on, const hb_rule *rules, const char *op)
{
	for (const hb_rule *r = hb_march_rule_next(rules, NULL, op); r; r = hb_march_rule_next(rules, r, op))
		printf("    %s: %s%s%s%s\n", on, clean(c, rule_text(c, r)), r->source ? " [" : "",
		       r->source ? clean(c, r->source) : "", r->source ? "]" : "");
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

/* ---- the operators: those with a place on the BPU, then those of the vendor's CPU kernels, by name ---- */

typedef struct op_row {
	const char *op;
	const hb_march_op *bpu;		/* NULL: none */
	bool cpu;			/* the vendor has a CPU kernel */
} op_row;

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const op_row *)a)->op, ((const op_row *)b)->op);
}

static size_t
op_rows(cli *c, const hb_march *m, op_row **out)
{
	size_t n = 0, k = 0;

	while (m->ops && m->ops[n].op)
		n++;
	while (m->cpu_ops && m->cpu_ops[k])
		k++;
	op_row *rows = HB_NEW_N(c->arena, op_row, n + k + 1);
	if (!rows)
		return 0;
	for (size_t i = 0; i < n; i++)
		rows[i] = (op_row){m->ops[i].op, m->ops[i].bpu ? &m->ops[i] : NULL, hb_march_has_cpu(m, m->ops[i].op)};
	for (size_t i = 0; i < k; i++)
		if (!hb_march_op_of(m, m->cpu_ops[i]))
			rows[n++] = (op_row){m->cpu_ops[i], NULL, true};
	qsort(rows, n, sizeof(*rows), by_name);
	*out = rows;
	return n;
}

static const char *
place_text(const op_row *r)
{
	return !r->bpu ? "CPU" : r->bpu->default_cpu ? "CPU, BPU with --run-on-bpu" : "BPU";
}

static const char *
op_source(const hb_march *m, const op_row *r)
{
	const char *s = r->bpu ? r->bpu->source : m->list;

	return s ? s : "";
}

/* All rules of an operator in one cell. */
static const char *
cell_rules(cli *c, const hb_rule *rules, const char *op)
{
	hb_buf b = {.cx = c->cx};

	for (const hb_rule *r = hb_march_rule_next(rules, NULL, op); r; r = hb_march_rule_next(rules, r, op))
		hb_buf_printf(&b, "%s%s", b.len ? "; " : "", rule_text(c, r));
	const char *s = b.p ? hb_arena_str(c->arena, b.p) : "";
	hb_buf_free(&b);
	return s ? s : "";
}

static table *
figure_table(cli *c, const hb_march *m)
{
	table *t = table_new(c, "Figure", "Value", "Unit", "Source", NULL);

	for (size_t i = 0; i < HB_LEN(figure_rows); i++) {
		table_cell(t, figure_rows[i].field);
		table_cellf(t, "%.9g", figure(&m->fig, &figure_rows[i]));
		table_cell(t, figure_rows[i].unit);
		table_cell(t, hb_march_figure_source(m, figure_rows[i].field));
	}
	return t;
}

static table *
op_table(cli *c, const hb_march *m, bool limits)
{
	table *t = limits ? table_new(c, "Operator", "ON", "In", "Out", "Source", "Limits on the BPU",
				      "Limits of the vendor's CPU kernel", NULL)
			  : table_new(c, "Operator", "ON", "In", "Out", "Source", NULL);
	op_row *rows;
	size_t n = op_rows(c, m, &rows);

	for (size_t i = 0; i < n; i++) {
		const op_row *r = &rows[i];

		table_cell(t, r->op);
		table_cell(t, place_text(r));
		table_cell(t, types_text(c, r->bpu ? r->bpu->in_types : 0));
		table_cell(t, types_text(c, r->bpu ? r->bpu->out_types : 0));
		table_cell(t, op_source(m, r));
		if (!limits)
			continue;
		table_cell(t, r->bpu ? cell_rules(c, m->rules, r->op) : "");
		table_cell(t, r->cpu ? cell_rules(c, m->cpu_rules, r->op) : "none");
	}
	return t;
}

/* Where a model of each operator of the plugin's list is placed; NULL for a march of the user's. */
static table *
covered_table(cli *c, const hb_march *m)
{
	table *t = NULL;

	for (size_t i = 0; hb_march_covered(i); i++) {
		const hb_covered *row = hb_march_covered(i);
		const char *on = hb_march_covered_on(m, row);

		if (!on)
			return NULL;
		t = t ? t : table_new(c, "Plugin's operator", "ONNX", "Placed", NULL);
		table_cell(t, row->row);
		table_cell(t, row->onnx);
		table_cell(t, on);
	}
	return t;
}

static json_t *
json_covered(cli *c, const hb_march *m)
{
	json_t *a = json_array();

	for (size_t i = 0; hb_march_covered(i); i++) {
		const hb_covered *row = hb_march_covered(i);
		const char *on = hb_march_covered_on(m, row);
		json_t *o = json_object();

		json_object_set_new(o, "operator", js(c, row->row));
		json_object_set_new(o, "onnx", js(c, row->onnx));
		json_object_set_new(o, "placed", js(c, on));
		if (on)
			json_array_append(a, o);
		json_decref(o);
	}
	return a;
}

static hb_status
march_json(cli *c, const hb_march *m)
{
	json_t *j = json_report("hbcc.march/1"), *figs = json_object(), *ops = json_array();
	op_row *rows;
	size_t n = c->a.ops ? op_rows(c, m, &rows) : 0;

	json_object_set_new(j, "name", js(c, m->name));
	json_object_set_new(j, "title", js(c, m->title));
	if (m->note)
		json_object_set_new(j, "note", js(c, m->note));
	for (size_t i = 0; i < HB_LEN(figure_rows); i++) {
		const figure_row *r = &figure_rows[i];
		double v = figure(&m->fig, r);

		json_object_set_new(figs, r->field,
				    json_pack("{s:o, s:s}", "value",
					      r->type == REAL ? js_real(v) : json_integer((json_int_t)v), "source",
					      hb_march_figure_source(m, r->field)));
	}
	json_object_set_new(j, "figures", figs);
	for (size_t i = 0; i < n; i++) {
		const op_row *r = &rows[i];
		json_t *row = json_object();

		json_object_set_new(row, "op", js(c, r->op));
		json_object_set_new(row, "bpu", json_boolean(r->bpu != NULL));
		json_object_set_new(row, "default_cpu", json_boolean(r->bpu && r->bpu->default_cpu));
		json_object_set_new(row, "cpu", json_boolean(r->cpu));
		json_object_set_new(row, "in", js(c, types_text(c, r->bpu ? r->bpu->in_types : 0)));
		json_object_set_new(row, "out", js(c, types_text(c, r->bpu ? r->bpu->out_types : 0)));
		json_object_set_new(row, "source", js(c, op_source(m, r)));
		json_object_set_new(row, "rules", json_rules(c, m->rules, r->op));
		json_object_set_new(row, "cpu_rules", json_rules(c, m->cpu_rules, r->op));
		json_array_append_new(ops, row);
	}
	if (c->a.ops) {
		json_object_set_new(j, "general_rules", json_rules(c, m->rules, "*"));
		json_object_set_new(j, "model_rules", json_rules(c, m->rules, "model"));
		json_object_set_new(j, "operators", ops);
		json_object_set_new(j, "covered", json_covered(c, m));
	} else {
		json_decref(ops);
	}
	return json_out(c, j, NULL);
}

static hb_status
march_markdown(cli *c, const hb_march *m)
{
	printf("# %s: %s\n\n", clean(c, m->name), clean(c, m->title));
	if (m->note)
		printf("%s\n\n", clean(c, m->note));
	table_markdown(figure_table(c, m), stdout);
	if (!c->a.ops)
		return HB_OK;
	puts("\n## Rules of every operator, and of the model\n");
	table *t = table_new(c, "Rule", "Note", "Source", NULL);
	static const char *const general[] = {"*", "model"};
	for (size_t i = 0; i < HB_LEN(general); i++)
		for (const hb_rule *r = hb_march_rule_next(m->rules, NULL, general[i]); r;
		     r = hb_march_rule_next(m->rules, r, general[i])) {
			table_cell(t, r->text);
			table_cell(t, r->note ? r->note : "");
			table_cell(t, r->source ? r->source : "");
		}
	table_markdown(t, stdout);
	puts("\n## Operators\n");
	table_markdown(op_table(c, m, true), stdout);
	if (covered_table(c, m)) {
		puts("\n## The plugin's operators, each as a model of its own\n");
		table_markdown(covered_table(c, m), stdout);
	}
	return HB_OK;
}

static hb_status
march_text(cli *c, const hb_march *m)
{
	op_row *rows;

	printf("%s: %s\n", m->name, m->title);
	if (m->note)
		puts(m->note);
	putchar('\n');
	if (!c->a.ops) {
		table_text(figure_table(c, m), stdout);
		return HB_OK;
	}
	table_text(op_table(c, m, false), stdout);
	puts("\nRules, by operator; * holds for all, model for the model as a whole");
	puts("  *");
	text_rules(c, "BPU", m->rules, "*");
	puts("  model");
	text_rules(c, "BPU", m->rules, "model");
	size_t n = op_rows(c, m, &rows);
	for (size_t i = 0; i < n; i++) {
		if (!hb_march_rule_next(m->rules, NULL, rows[i].op) && !hb_march_rule_next(m->cpu_rules, NULL, rows[i].op))
			continue;
		printf("  %s\n", rows[i].op);
		text_rules(c, "BPU", m->rules, rows[i].op);
		text_rules(c, "CPU", m->cpu_rules, rows[i].op);
	}
	if (covered_table(c, m)) {
		puts("\nThe plugin's operators, each as a model of its own");
		table_text(covered_table(c, m), stdout);
	}
	return HB_OK;
}

/* ---- the manual page of a march, in mdoc ---- */

/* Text that roff takes as it stands. */
static void
roff(cli *c, const char *s)
{
	s = clean(c, s);
	if (*s == '.' || *s == '\'')
		fputs("\\&", stdout);
	for (; *s; s++)
		if (*s == '\\')
			fputs("\\e", stdout);
		else
			putchar(*s);
}

static void
man_rules(cli *c, const char *head, const hb_rule *rules, const char *op)
{
	const hb_rule *r = hb_march_rule_next(rules, NULL, op);

	if (!r)
		return;
	printf("%s\n.Bl -bullet -compact\n", head);
	for (; r; r = hb_march_rule_next(rules, r, op)) {
		puts(".It");
		roff(c, r->text);
		putchar('\n');
		if (r->note) {
			putchar('(');
			roff(c, r->note);
			puts(")");
		}
		if (r->remark)
			puts("\\(em advice only");
		if (r->source) {
			putchar('[');
			roff(c, r->source);
			puts("]");
		}
	}
	puts(".El");
}

static hb_status
march_man(cli *c, const hb_march *m)
{
	op_row *rows;
	size_t n = op_rows(c, m, &rows);

	printf(".Dd November 21, 2026\n.Dt HBCC-MARCH-%s 5\n.Os\n.Sh NAME\n.Nm hbcc-march-%s\n.Nd ", m->name, m->name);
	roff(c, m->title);
	puts("\n.Sh DESCRIPTION");
	if (m->note) {
		roff(c, m->note);
		puts(".\n.Pp");
	}
	puts("The figures, operators and rules that\n.Xr hbcc 1\nhas of this machine, as\n.Dl hbcc march NAME --ops\n"
	     "prints them.\nThe language of the rules is told in\n.Xr hbcc-march 5 .");
	puts(".Sh FIGURES\n.Bl -tag -width Ds");
	for (size_t i = 0; i < HB_LEN(figure_rows); i++) {
		const figure_row *r = &figure_rows[i];

		printf(".It Cm %s\n%.9g %s\n[", r->field, figure(&m->fig, r), r->unit);
		roff(c, hb_march_figure_source(m, r->field));
		puts("]");
	}
	puts(".El\n.Sh RULES OF EVERY OPERATOR");
	man_rules(c, "On the BPU:", m->rules, "*");
	man_rules(c, "Of the model as a whole:", m->rules, "model");
	puts(".Sh OPERATORS\n.Bl -tag -width Ds");
	for (size_t i = 0; i < n; i++) {
		const op_row *r = &rows[i];

		printf(".It Cm \\&%s\n%s", r->op, place_text(r));
		if (r->bpu)
			printf(": %s to %s", types_text(c, r->bpu->in_types), types_text(c, r->bpu->out_types));
		if (r->bpu && !r->cpu)
			fputs("; no CPU kernel of the vendor's", stdout);
		printf("\n[");
		roff(c, op_source(m, r));
		puts("]");
		man_rules(c, "On the BPU:", m->rules, r->op);
		man_rules(c, "The vendor's CPU kernel:", m->cpu_rules, r->op);
	}
	puts(".El\n.Pp\nAnother operator is expanded to its parts, or runs in a CPU segment of hbcc's own;\n.Nm hbcc Cm check\nsays where.");
	if (covered_table(c, m)) {
		puts(".Sh COVERAGE\nEach row of the quantization plugin's operator list as an ONNX model of its own, and where it is placed.\n"
		     "What has a part on the BPU compiles, and the simulator gives the integers of the fixed-point graph.\n"
		     ".Bl -tag -width Ds -compact");
		for (size_t i = 0; hb_march_covered(i); i++) {
			const hb_covered *row = hb_march_covered(i);

			printf(".It %s\n%s%s%s\n", row->row, row->onnx, *row->onnx ? ": " : "", hb_march_covered_on(m, row));
		}
		puts(".El");
	}
	puts(".Sh SEE ALSO\n.Xr hbcc 1 ,\n.Xr hbcc-check 1 ,\n.Xr hbcc-march 1 ,\n.Xr hbcc-march 5");
	return HB_OK;
}

static hb_status
run(cli *c)
{
	static const struct {
		const char *name;
		hb_status (*print)(cli *c, const hb_march *m);
	} formats[] = {{"text", march_text}, {"json", march_json}, {"markdown", march_markdown}, {"man", march_man}};
	const char *format = c->a.format ? c->a.format : "text";
	const hb_march *m;

	if (!c->nfiles && c->a.ops)
		return hb_error(c->cx, HB_ERR_USAGE, "--ops", "option", "goes with a march's name");
	if (!c->nfiles && strcmp(format, "text") && strcmp(format, "json"))
		return hb_error(c->cx, HB_ERR_USAGE, "--format", "option", "%s goes with a march's name", format);
	if (!c->nfiles)
		return list_marches(c, !strcmp(format, "json"));
	c->a.march = c->files[0];
	HB_TRY(march_get(c, true, &m));
	for (size_t i = 0; i < HB_LEN(formats); i++)
		if (!strcmp(formats[i].name, format))
			return formats[i].print(c, m);
	return HB_OK;
}

const command command_march = {
	.name = "march",
	.files = "[NAME]",
	.summary = "List the machines; with a name, its figures, or with --ops its operators and rules.",
	.min_files = 0,
	.max_files = 1,
	.options = (const opt_id[]){O_ops, O_march_format, O_END},
	.run = run,
};
