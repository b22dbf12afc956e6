/* check.c: hbcc check: where each node of the file goes, and why; text, JSON, JUnit, SARIF, Markdown. */
#include "cli/cli.h"

#include <stdlib.h>

enum { ON_BPU, ON_CPU, ON_FOLDED, ON_NONE, NPLACES };
static const char *const place_names[NPLACES] = {"BPU", "CPU", "folded", "none"};

typedef struct slow { /* a layer that takes longer than its multiplications */
	const hb_node_row *n;
	const hb_layer_cost *cost;
	double us, ideal_us;
} slow;

typedef struct report {
	cli *c;
	hb_graph *g;
	const hb_march *m;
	int count[NPLACES];
	int vendor;       /* nodes on the CPU that the vendor's kernels do not take */
	int *subgraph;    /* of a segment: which of the BPU's it is */
	const char **why; /* what makes the answer no */
	size_t nwhy, cap_why;
	slow *slow; /* --advice */
	size_t nslow;
	bool scaled; /* the model says scales of its own */
	bool ok;
} report;

static int
place_of(const hb_source *s)
{
	if (!s->now || s->now->on == HB_ON_FOLDED)
		return ON_FOLDED;
	return s->now->on == HB_ON_BPU ? ON_BPU : s->now->on == HB_ON_NONE ? ON_NONE : ON_CPU;
}

static const char *
group_of(const hb_source *s)
{
	return !s->now ? NULL : s->now->group ? s->now->group->last->name : s->now->name;
}

/* The type that t has on the node's place: no data is needed to tell. */
static const char *
type_of(const report *r, const hb_node *n, const hb_tensor *t, bool output)
{
	bool int16 = r->c->a.dtype && !strcmp(r->c->a.dtype, "qint16");
	hb_dtype want = int16 ? HB_I16 : HB_I8;
	uint32_t types;

	if (!t)
		return "--";
	if (n->on != HB_ON_BPU || t->dtype != HB_F32)
		return t->dtype == HB_F32 ? "float" : hb_dtype_name(t->dtype);
	types = hb_march_types(r->m, n, output);
	bool wide = r->scaled ? t->q.from == HB_Q_OPEN : t->is_output && !t->nuses;
	if (t->q.from != HB_Q_OPEN)
		want = t->q.dtype;
	else if (output && wide && (types & HB_BIT(HB_I32)) && !r->c->a.int8_outputs)
		want = HB_I32;
	if (types && !(types & HB_BIT(want)))
		want = types & HB_BIT(HB_I8) ? HB_I8 : HB_I16;
	return hb_dtype_name(want);
}

static const char *
types_of(const report *r, const hb_source *s, bool output)
{
	const hb_node *n = s->now;

	if (!n)
		return "--";
	return output ? type_of(r, n, n->nout ? (n->group ? n->group->last->out[0] : n->out[0]) : NULL, true)
		      : type_of(r, n, n->nin ? n->in[0] : NULL, false);
}

static const char *
subgraph_of(const report *r, const hb_source *s)
{
	return place_of(s) == ON_BPU && s->now->segment >= 0
		       ? hb_arena_printf(r->c->arena, "id(%d)", r->subgraph[s->now->segment])
		       : "--";
}

static bool
is_vendor_rule(const hb_finding *f)
{
	return !strcmp(f->rule, "vendor-cpu");
}

static void
refuse(report *r, const char *why)
{
	if (why && HB_GROW(r->c->arena, &r->why, &r->cap_why, r->nwhy + 1))
		r->why[r->nwhy++] = why;
	r->ok = false;
}

static hb_status
judge(report *r)
{
	const args *a = &r->c->a;
	int segments = 0, bpu = 0;

	for (const hb_node *n = r->g->first; n; n = n->next)
		segments = HB_MAX(segments, n->segment + 1);
	r->subgraph = HB_NEW_N(r->c->arena, int, segments + 1);
	if (!r->subgraph)
		return hb_nomem(r->c->cx, NULL);
	for (const hb_node *n = r->g->first; n; n = n->next)
		if (n->on == HB_ON_BPU && n->segment >= 0)
			r->subgraph[n->segment] = 1;
	for (int i = 0; i < segments; i++)
		r->subgraph[i] = r->subgraph[i] ? bpu++ : -1;
	for (const hb_source *s = r->g->sources; s; s = s->next) {
		bool vendor = false;

		r->count[place_of(s)]++;
		for (const hb_finding *f = s->now ? s->now->findings : NULL; f; f = f->next)
			vendor |= is_vendor_rule(f);
		r->vendor += vendor && place_of(s) == ON_CPU;
	}
	r->ok = true;
	if (r->count[ON_NONE])
		refuse(r, hb_arena_printf(r->c->arena, "%d nodes can run nowhere", r->count[ON_NONE]));
	if (!r->count[ON_BPU])
		refuse(r, "no node is for the BPU");
	if (a->strict && r->count[ON_CPU])
		refuse(r, hb_arena_printf(r->c->arena, "--strict: %d nodes are on the CPU", r->count[ON_CPU]));
	if (a->vendor_cpu && r->vendor)
		refuse(r, hb_arena_printf(r->c->arena,
					  "--vendor-cpu: %d nodes on the CPU are outside the vendor's kernels",
					  r->vendor));
	return HB_OK;
}

/* "rule: kh in 1..7; found: kh = 11; take: ..." */
static const char *
sentence(cli *c, const hb_finding *f)
{
	return hb_arena_printf(c->arena, "%s; found %s%s%s%s%s%s", f->rule, f->found ? f->found : "--",
			       f->advice ? "; " : "", f->advice ? f->advice : "", f->source ? " (" : "",
			       f->source ? f->source : "", f->source ? ")" : "");
}

/* ---- --advice ---- */

static const char *
advice_text(cli *c, const slow *s)
{
	double share = s->us > 0 ? 100 * s->ideal_us / s->us : 0;

	if (s->cost->dma_cycles > s->cost->cycles)
		return hb_arena_printf(c->arena, "it waits for DDR: %llu bytes loaded, %llu stored",
				       (unsigned long long)s->cost->loaded, (unsigned long long)s->cost->stored);
	if (!s->cost->ops)
		return "it has no multiplications: vector work and instruction starts";
	return hb_arena_printf(c->arena,
			       "it uses %.0f %% of the matrix engine: channels that fill its tiles would help", share);
}

/* Layers that take more than --advice microseconds beyond what their multiplications alone would; scales do not matter
 * for that, so the model is compiled with ranges from noise. */
static hb_status
advise(report *r)
{
	cli *c = r->c;
	hb_program *p;
	hb_estimate e;
	double us = 1 / (r->m->fig.clock_ghz * 1e3);

	HB_TRY(model_compile(c, c->files[0], r->m, &p));
	HB_TRY(hb_estimate_run(c->cx, p, &r->m->fig, c->arena, NULL, NULL, &e));
	r->slow = HB_NEW_N(c->arena, slow, p->nnodes + 1);
	if (!r->slow)
		return hb_nomem(c->cx, NULL);
	for (size_t i = 0; i < p->nnodes; i++) {
		slow s = {.n = &p->nodes[i], .cost = &e.layers[i]};

		if (s.n->segment < 0 || p->segments[s.n->segment].cpu)
			continue;
		s.us = (double)HB_MAX(s.cost->cycles, s.cost->dma_cycles) * us;
		s.ideal_us = (double)s.cost->ops / 2 / r->m->fig.macs_per_cycle * us;
		if (s.us - s.ideal_us > c->a.advice)
			r->slow[r->nslow++] = s;
	}
	return HB_OK;
}

static void
print_advice(const report *r, const char *bullet)
{
	for (size_t i = 0; i < r->nslow; i++) {
		const slow *s = &r->slow[i];

		printf("%sadvice: %s '%s' takes %.4g us, its multiplications %.4g us: %s\n", bullet,
		       clean(r->c, s->n->op_type), clean(r->c, s->n->name), s->us, s->ideal_us, advice_text(r->c, s));
	}
}

static json_t *
json_advice(const report *r)
{
	json_t *a = json_array();

	for (size_t i = 0; i < r->nslow; i++) {
		const slow *s = &r->slow[i];

		json_array_append_new(a, json_pack("{s:s, s:s, s:f, s:f, s:s}", "node", clean(r->c, s->n->name), "op",
						   clean(r->c, s->n->op_type), "us", s->us, "ideal us", s->ideal_us,
						   "advice", advice_text(r->c, s)));
	}
	return a;
}

static table *
make_table(const report *r)
{
	table *t = table_new(r->c, "Node", "ON", "Subgraph", "Type", "In/Out DataType", NULL);

	for (const hb_source *s = r->g->sources; t && s; s = s->next) {
		table_cell(t, s->name);
		table_cell(t, place_names[place_of(s)]);
		table_cell(t, subgraph_of(r, s));
		table_cell(t, s->op_type);
		table_cellf(t, "%s/%s", types_of(r, s, false), types_of(r, s, true));
	}
	return t;
}

static void
print_summary(const report *r, const char *bullet)
{
	printf("%s%s: %d BPU, %d CPU, %d folded, %d none\n", bullet, r->m->name, r->count[ON_BPU], r->count[ON_CPU],
	       r->count[ON_FOLDED], r->count[ON_NONE]);
	if (r->m->note)
		printf("%s%s\n", bullet, r->m->note);
	for (size_t i = 0; i < r->nwhy; i++)
		printf("%srefused: %s\n", bullet, r->why[i]);
}

/* A node's findings once, however many nodes of the file it stands for. */
static void
print_findings(const report *r, const char *bullet)
{
	for (const hb_source *s = r->g->sources; s; s = s->next)
		for (const hb_finding *f = s->now && s->now->sources == s ? s->now->findings : NULL; f; f = f->next)
			printf("%snode %d %s '%s' on %s: %s\n", bullet, s->index, clean(r->c, s->op_type),
			       clean(r->c, s->name), place_names[place_of(s)], clean(r->c, sentence(r->c, f)));
}

static hb_status
out_text(const report *r)
{
	table_text(make_table(r), stdout);
	putchar('\n');
	print_findings(r, "");
	print_advice(r, "");
	print_summary(r, "");
	return HB_OK;
}

static hb_status
out_markdown(const report *r)
{
	printf("# hbcc check: %s for %s\n\n", clean(r->c, r->c->files[0]), r->m->name);
	print_summary(r, "- ");
	putchar('\n');
	table_markdown(make_table(r), stdout);
	putchar('\n');
	print_findings(r, "- ");
	print_advice(r, "- ");
	return HB_OK;
}

static json_t *
json_findings(const report *r, const hb_source *s)
{
	json_t *a = json_array();

	for (const hb_finding *f = s->now ? s->now->findings : NULL; f; f = f->next) {
		json_t *o = json_object();

		json_object_set_new(o, "rule", js(r->c, f->rule));
		json_object_set_new(o, "found", js(r->c, f->found));
		json_object_set_new(o, "source", js(r->c, f->source));
		json_object_set_new(o, "advice", js(r->c, f->advice));
		json_object_set_new(o, "broken", json_boolean(f->broken));	/* else a remark */
		json_array_append_new(a, o);
	}
	return a;
}

static hb_status
out_json(const report *r)
{
	json_t *j = json_report("hbcc.check/1"), *nodes = json_array(), *sum = json_object(), *why = json_array();
	static const char *const keys[NPLACES] = {"bpu", "cpu", "folded", "none"};

	json_object_set_new(j, "ok", json_boolean(r->ok));
	json_object_set_new(j, "march", json_string(r->m->name));
	for (const hb_source *s = r->g->sources; s; s = s->next) {
		json_t *o = json_object();
		int at = place_of(s);

		json_object_set_new(o, "node", js(r->c, s->name));
		json_object_set_new(o, "op", js(r->c, s->op_type));
		json_object_set_new(o, "on", json_string(place_names[at]));
		json_object_set_new(o, "group", js(r->c, group_of(s)));
		json_object_set_new(o, "subgraph",
				    at == ON_BPU && s->now->segment >= 0 ? json_integer(r->subgraph[s->now->segment])
									 : json_null());
		json_object_set_new(o, "in", s->now ? js(r->c, types_of(r, s, false)) : json_null());
		json_object_set_new(o, "out", s->now ? js(r->c, types_of(r, s, true)) : json_null());
		json_object_set_new(o, "rules", json_findings(r, s));
		json_array_append_new(nodes, o);
	}
	json_object_set_new(j, "nodes", nodes);
	for (int i = 0; i < NPLACES; i++)
		json_object_set_new(sum, keys[i], json_integer(r->count[i]));
	json_object_set_new(j, "summary", sum);
	for (size_t i = 0; i < r->nwhy; i++)
		json_array_append_new(why, json_string(r->why[i]));
	json_object_set_new(j, "refused", why);
	if (r->c->set[O_advice])
		json_object_set_new(j, "advice", json_advice(r));
	if (r->m->note)
		json_object_set_new(j, "note", json_string(r->m->note));
	return json_out(r->c, j, NULL);
}

static void
xml_text(cli *c, const char *s)
{
	for (s = clean(c, s); *s; s++) {
		const char *e = *s == '<'   ? "&lt;"
				: *s == '>' ? "&gt;"
				: *s == '&' ? "&amp;"
				: *s == '"' ? "&quot;"
					    : NULL;

		if (e)
			fputs(e, stdout);
		else
			putchar(*s);
	}
}

/* Whether this node makes the answer no. */
static bool
node_fails(const report *r, const hb_source *s)
{
	int at = place_of(s);
	bool vendor = false;

	for (const hb_finding *f = s->now ? s->now->findings : NULL; f; f = f->next)
		vendor |= is_vendor_rule(f);
	return at == ON_NONE || (at == ON_CPU && (r->c->a.strict || (r->c->a.vendor_cpu && vendor)));
}

/* A test case a node; the last stands for the model as a whole. */
static hb_status
out_junit(const report *r)
{
	cli *c = r->c;
	int tests = 1, failures = !r->count[ON_BPU];

	for (const hb_source *s = r->g->sources; s; s = s->next) {
		tests++;
		failures += node_fails(r, s);
	}
	printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"hbcc check ");
	xml_text(c, r->m->name);
	printf("\" tests=\"%d\" failures=\"%d\">\n", tests, failures);
	for (const hb_source *s = r->g->sources; s; s = s->next) {
		bool fails = node_fails(r, s);

		printf("  <testcase classname=\"");
		xml_text(c, s->op_type);
		printf("\" name=\"");
		xml_text(c, s->name);
		printf("\"%s>\n", fails ? "" : "/");
		if (!fails)
			continue;
		printf("    <failure message=\"on %s\">", place_names[place_of(s)]);
		for (const hb_finding *f = s->now ? s->now->findings : NULL; f; f = f->next) {
			xml_text(c, sentence(c, f));
			putchar('\n');
		}
		puts("</failure>\n  </testcase>");
	}
	printf("  <testcase classname=\"model\" name=\"something is for the BPU\"%s>\n", r->count[ON_BPU] ? "/" : "");
	if (!r->count[ON_BPU])
		puts("    <failure message=\"no node is for the BPU\"/>\n  </testcase>");
	puts("</testsuite>");
	return HB_OK;
}

static hb_status
out_sarif(const report *r)
{
	cli *c = r->c;
	json_t *j = json_object(), *runs = json_array(), *run = json_object(), *results = json_array();
	json_t *driver = json_object(), *rules = json_array(), *seen = json_object();

	json_object_set_new(j, "$schema", json_string("https://json.schemastore.org/sarif-2.1.0.json"));
	json_object_set_new(j, "version", json_string("2.1.0"));
	for (const hb_source *s = r->g->sources; s; s = s->next) {
		for (const hb_finding *f = s->now ? s->now->findings : NULL; f; f = f->next) {
			const char *rule = clean(c, f->rule);

			if (!json_object_get(seen, rule)) {
				json_object_set_new(seen, rule, json_true());
				json_t *row = json_pack("{s:s, s:{s:s}}", "id", rule, "shortDescription", "text",
							f->source ? clean(c, f->source) : rule);
				json_array_append_new(rules, row);
			}
			json_array_append_new(
				results, json_pack("{s:s, s:s, s:{s:s}, s:[{s:{s:{s:s}}, s:[{s:s, s:s}]}]}", "ruleId",
						   rule, "level",
						   place_of(s) == ON_NONE || node_fails(r, s) ? "error"
						   : f->broken                                ? "warning"
											      : "note",
						   "message", "text", clean(c, sentence(c, f)), "locations",
						   "physicalLocation", "artifactLocation", "uri", clean(c, c->files[0]),
						   "logicalLocations", "name", clean(c, s->name), "kind", "member"));
		}
	}
	json_decref(seen);
	json_object_set_new(driver, "name", json_string("hbcc"));
	json_object_set_new(driver, "version", json_string(HBCC_VERSION));
	json_object_set_new(driver, "rules", rules);
	json_object_set_new(run, "tool", json_pack("{s:o}", "driver", driver));
	json_object_set_new(run, "results", results);
	json_array_append_new(runs, run);
	json_object_set_new(j, "runs", runs);
	return json_out(c, j, NULL);
}

static hb_status
run(cli *c)
{
	static const struct {
		const char *name;
		hb_status (*print)(const report *r);
	} formats[] = {
		{"text", out_text},   {"json", out_json},         {"junit", out_junit},
		{"sarif", out_sarif}, {"markdown", out_markdown},
	};
	report r = {.c = c};

	HB_TRY(march_get(c, true, &r.m));
	HB_TRY(options_check(c, r.m));
	HB_TRY(model_read(c, c->files[0], &r.g));
	HB_TRY(model_place(c, r.g, r.m));
	r.scaled = hb_has_scales(r.g);
	HB_TRY(judge(&r));
	if (c->set[O_advice] && r.count[ON_BPU] && !r.count[ON_NONE])
		HB_TRY(advise(&r));
	for (size_t i = 0; i < HB_LEN(formats); i++)
		if (!strcmp(formats[i].name, c->a.format ? c->a.format : "text"))
			HB_TRY(formats[i].print(&r));
	return r.ok ? HB_OK : HB_ERR_NO;
}

const command command_check = {
	.name = "check",
	.files = "MODEL.onnx",
	.summary = "Say for each node where it runs and which rules decide that; needs no data.",
	.min_files = 1,
	.max_files = 1,
	.options = (const opt_id[]){O_march, O_check_format, O_advice, O_level, O_strict, O_vendor_cpu, O_run_on_bpu,
				    O_run_on_cpu, O_dtype, O_int8_outputs, O_END},
	.run = run,
};
