/* check.c: hbcc check: where each node of the file goes, and why; text, JSON, JUnit, SARIF, Markdown. */
#include "cli/advice.h"

#include <stdlib.h>

enum { ON_BPU, ON_CPU, ON_FOLDED, ON_NONE, NPLACES };
static const char *const place_names[NPLACES] = {"BPU", "CPU", "folded", "none"};

/* CPU nodes that follow each other: what they cost as one. */
typedef struct hops {
	struct hops *into;   /* another run that this one turned out to be part of, or NULL */
	const hb_node *head;
	int at;              /* of head: place in the graph's order */
	const hb_node *first; /* that stands for a node of the file; NULL: none does */
	int nodes;
	int subgraphs;       /* of the BPU, beyond those that there would be without; -1: not counted */
	int64_t in, out;     /* bytes from BPU nodes, and to them */
} hops;

typedef struct report {
	cli *c;
	hb_graph *g;
	const hb_march *m;
	int count[NPLACES];
	int vendor;       /* nodes on the CPU that the vendor's kernels do not take */
	int *subgraph;    /* of a segment: which of the BPU's it is */
	const char **why; /* what makes the answer no */
	size_t nwhy, cap_why;
	hb_finding *model; /* limits of the model as a whole that it breaks */
	hops **cost;       /* by node id: of a CPU node */
	slow_layer *slow;  /* --advice */
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

/* The type that t has on the node's place, HB_F32 where that is float: no data is needed to tell. */
static hb_dtype
type_of(const report *r, const hb_node *n, const hb_tensor *t, bool output)
{
	bool int16 = r->c->a.dtype && !strcmp(r->c->a.dtype, "qint16");
	hb_dtype want = int16 ? HB_I16 : HB_I8;
	uint32_t types;

	if (n->on != HB_ON_BPU || t->dtype != HB_F32)
		return t->dtype;
	types = hb_march_types(r->m, n, output);
	bool wide = r->scaled ? t->q.from == HB_Q_OPEN : t->is_output && !t->nuses;
	const hb_qconfig *own = r->c->cfg ? config_quant(r->c->cfg, n, t) : NULL;
	if (own)
		want = own->dtype;
	if (want == HB_I16 && !hb_march_gains(r->m, t, HB_I16))
		want = HB_I8;
	if (t->q.from != HB_Q_OPEN)
		want = t->q.dtype;
	else if (output && wide && (types & HB_BIT(HB_I32)) && !r->c->a.int8_outputs)
		want = HB_I32;
	if (types && !(types & HB_BIT(want)))
		want = types & HB_BIT(HB_I8) ? HB_I8 : HB_I16;
	return want;
}

/* A fused node has its group's types. */
static const char *
types_of(const report *r, const hb_source *s, bool output)
{
	const hb_node *n = s->now;
	const hb_tensor *t;

	if (!n || !(output ? n->nout : n->nin))
		return "--";
	if (n->group && !hb_is_function(n->group))
		n = n->group->root;
	t = !output ? n->in[0] : n->group ? n->group->last->out[0] : n->out[0];
	if (!t)
		return "--";
	hb_dtype type = type_of(r, n, t, output);
	return type == HB_F32 ? "float" : hb_dtype_name(type);
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
	HB_TRY(hb_march_check_model(r->g, r->m, &r->model));
	for (const hb_finding *f = r->model; f; f = f->next)
		if (f->broken)
			refuse(r, hb_arena_printf(r->c->arena, "the model breaks '%s' (%s): %s", f->rule, f->source, f->found));
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

/* ---- what CPU nodes cost ---- */

static bool
on_cpu(const hb_node *n)
{
	return n && n->on == HB_ON_CPU;
}

static void
add_bytes(const report *r, const hb_node *n, hops *h)
{
	for (int i = 0; i < n->nin; i++) {
		const hb_tensor *t = n->in[i];
		const hb_node *p = t ? t->producer : NULL;

		if (p && p->on == HB_ON_BPU)
			h->in += hb_tensor_elems(t) * (int64_t)hb_dtype_size(type_of(r, p, t, true));
	}
	for (int i = 0; i < n->nout; i++) {
		const hb_tensor *t = n->out[i];
		const hb_node *to = NULL;

		for (size_t k = 0; t && k < t->nuses; k++)
			to = t->uses[k].node->on == HB_ON_BPU ? t->uses[k].node : to;
		if (to)
			h->out += hb_tensor_elems(t) * (int64_t)hb_dtype_size(type_of(r, to, t, false));
	}
}

static hops *
whole(hops *h)
{
	while (h && h->into)
		h = h->into;
	return h;
}

static hops *
join(hops *a, hops *b)
{
	hops *h = !a || (b && b->at < a->at) ? b : a, *other = h == a ? b : a;

	if (!other || h == other)
		return h;
	other->into = h;
	h->nodes += other->nodes;
	h->first = h->first ? h->first : other->first;
	h->in += other->in;
	h->out += other->out;
	return h;
}

/* Runs of CPU nodes that read each other; how many, or -1 without memory. */
static int64_t
find_runs(const report *r, hops **of)
{
	int64_t runs = 0;
	int at = 0;

	for (hb_node *n = r->g->first; n; n = n->next, at++) {
		hops *h = NULL;

		if (!on_cpu(n))
			continue;
		for (int i = 0; i < n->nin; i++)
			if (n->in[i] && on_cpu(n->in[i]->producer))
				h = join(h, whole(of[n->in[i]->producer->id]));
		if (!h) {
			h = HB_NEW(r->c->arena, hops);
			if (!h)
				return -1;
			*h = (hops){.head = n, .at = at, .subgraphs = -1};
			runs++;
		}
		of[n->id] = h;
		h->nodes += n->sources != NULL;
		h->first = h->first || !n->sources ? h->first : n;
		add_bytes(r, n, h);
	}
	for (hb_node *n = r->g->first; n; n = n->next)
		of[n->id] = whole(of[n->id]);
	return runs;
}

/* What each run of CPU nodes costs: the BPU's subgraphs are counted again as if it were the BPU's. */
static hb_status
count_costs(report *r)
{
	enum { WORK = 20000000 };	/* nodes looked at: beyond, subgraphs are not counted */
	hb_graph *g = r->g;
	hops **of = r->cost = HB_NEW_N(r->c->arena, hops *, g->next_node + 1);
	int64_t runs = of ? find_runs(r, of) : -1;
	int with, without;

	if (runs < 0)
		return hb_nomem(r->c->cx, NULL);
	if (runs * g->nnodes > WORK)
		return HB_OK;
	HB_TRY(hb_pass_segments(g, &with));
	for (hb_node *n = g->first; n; n = n->next) {
		hops *h = on_cpu(n) ? of[n->id] : NULL;

		if (!h || h->head != n)
			continue;
		for (hb_node *m = n; m; m = m->next)
			m->on = of[m->id] == h ? HB_ON_BPU : m->on;
		hb_status st = hb_pass_segments(g, &without);
		for (hb_node *m = n; m; m = m->next)
			m->on = of[m->id] == h ? HB_ON_CPU : m->on;
		HB_TRY(st);
		h->subgraphs = with > without ? with - without : 0;
	}
	return hb_pass_segments(g, &with);
}

static const hops *
cost_of(const report *r, const hb_source *s)
{
	return on_cpu(s->now) ? r->cost[s->now->id] : NULL;
}

/* Once for each run of CPU nodes that has a BPU node beside it. */
static void
print_costs(const report *r, const char *bullet)
{
	for (const hb_source *s = r->g->sources; s; s = s->next) {
		const hops *h = cost_of(r, s);

		if (!h || !h->first || h->first != s->now || s->now->sources != s || (!h->in && !h->out))
			continue;
		printf("%snode %d %s '%s'", bullet, s->index, clean(r->c, s->op_type), clean(r->c, s->name));
		if (h->nodes > 1)
			printf(" and %d more beside it", h->nodes - 1);
		printf(" on the CPU cost%s ", h->nodes > 1 ? "" : "s");
		if (h->subgraphs > 0)
			printf("%d BPU subgraph%s more and ", h->subgraphs, h->subgraphs > 1 ? "s" : "");
		printf("%lld bytes from the BPU, %lld to it\n", (long long)h->in, (long long)h->out);
	}
}

/* ---- --advice ---- */

static void
print_advice(const report *r, const char *bullet)
{
	for (size_t i = 0; i < r->nslow; i++) {
		const slow_layer *s = &r->slow[i];

		printf("%sadvice: %s '%s' takes %.4g us, its bound is %.4g us\n", bullet, clean(r->c, s->op_type),
		       clean(r->c, s->name), s->us, s->bound_us);
		for (int k = 0; k < s->nlosses; k++)
			printf("%s%s%.4g us: %s; would help: %s\n", *bullet ? "  " : "", *bullet ? bullet : "  ", s->losses[k].us,
			       s->losses[k].why, s->losses[k].help);
	}
}

static json_t *
json_advice(const report *r)
{
	json_t *a = json_array();

	for (size_t i = 0; i < r->nslow; i++) {
		const slow_layer *s = &r->slow[i];
		json_t *o = json_object(), *why = json_array();

		json_object_set_new(o, "node", js(r->c, s->name));
		json_object_set_new(o, "op", js(r->c, s->op_type));
		json_object_set_new(o, "us", js_real(s->us));
		json_object_set_new(o, "ideal us", js_real(s->bound_us));
		json_object_set_new(o, "advice", js(r->c, s->nlosses ? s->losses[0].help : NULL));
		for (int k = 0; k < s->nlosses; k++)
			json_array_append_new(why, json_pack("{s:f, s:s, s:s}", "us", s->losses[k].us, "why", s->losses[k].why,
							     "help", s->losses[k].help));
		json_object_set_new(o, "losses", why);
		json_array_append_new(a, o);
	}
	return a;
}

/* ---- figures without a public source ---- */

/* What --advice's times rest on. */
static void
print_assumed(const report *r, const char *bullet)
{
	static const char *const kinds[] = {"assumed", "fitted"};

	for (size_t k = 0; k < HB_LEN(kinds) && r->c->set[O_advice]; k++) {
		const char *before = ": ";

		for (const hb_figure_source *s = r->m->figure_sources; s && s->field; s++) {
			if (strncmp(s->source, kinds[k], strlen(kinds[k])))
				continue;
			if (*before == ':')
				printf("%sfigures of %s that are %s", bullet, r->m->name, kinds[k]);
			printf("%s%s", before, s->field);
			before = ", ";
		}
		if (*before != ':')
			putchar('\n');
	}
}

static json_t *
json_assumed(const report *r)
{
	json_t *a = json_array();

	for (const hb_figure_source *s = r->m->figure_sources; s && s->field; s++)
		if (strncmp(s->source, "public", 6))
			json_array_append_new(a, json_pack("{s:s, s:s}", "figure", s->field, "source", s->source));
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
	print_costs(r, "");
	print_advice(r, "");
	print_summary(r, "");
	print_assumed(r, "");
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
	print_costs(r, "- ");
	print_advice(r, "- ");
	print_assumed(r, "- ");
	return HB_OK;
}

static json_t *
json_findings(const report *r, const hb_finding *f)
{
	json_t *a = json_array();

	for (; f; f = f->next) {
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
		json_object_set_new(o, "composite", js(r->c, s->now ? s->now->composite : NULL));
		json_object_set_new(o, "subgraph",
				    at == ON_BPU && s->now->segment >= 0 ? json_integer(r->subgraph[s->now->segment])
									 : json_null());
		json_object_set_new(o, "in", s->now ? js(r->c, types_of(r, s, false)) : json_null());
		json_object_set_new(o, "out", s->now ? js(r->c, types_of(r, s, true)) : json_null());
		json_object_set_new(o, "rules", json_findings(r, s->now ? s->now->findings : NULL));
		const hops *h = cost_of(r, s);
		if (h) {
			json_t *cost = json_object();

			json_object_set_new(cost, "with", js(r->c, h->first ? h->first->name : NULL));
			json_object_set_new(cost, "nodes", json_integer(h->nodes));
			json_object_set_new(cost, "subgraphs", h->subgraphs < 0 ? json_null() : json_integer(h->subgraphs));
			json_object_set_new(cost, "bytes from BPU", json_integer(h->in));
			json_object_set_new(cost, "bytes to BPU", json_integer(h->out));
			json_object_set_new(o, "cost", cost);
		}
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
	json_object_set_new(j, "model rules", json_findings(r, r->model));
	json_object_set_new(j, "assumed", json_assumed(r));
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

static void
junit_findings(const report *r, const hb_finding *f)
{
	for (; f; f = f->next) {
		xml_text(r->c, sentence(r->c, f));
		putchar('\n');
	}
}

/* A test case a node; the last two stand for the model as a whole. */
static hb_status
out_junit(const report *r)
{
	cli *c = r->c;
	bool breaks = false;
	int tests = 2, failures = !r->count[ON_BPU], skipped = 0;

	for (const hb_finding *f = r->model; f; f = f->next)
		breaks |= f->broken;
	failures += breaks;
	for (const hb_source *s = r->g->sources; s; s = s->next) {
		tests++;
		failures += node_fails(r, s);
		skipped += place_of(s) == ON_FOLDED;
	}
	printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"hbcc check ");
	xml_text(c, r->m->name);
	printf("\" tests=\"%d\" failures=\"%d\" errors=\"0\" skipped=\"%d\">\n", tests, failures, skipped);
	for (const hb_source *s = r->g->sources; s; s = s->next) {
		printf("  <testcase classname=\"");
		xml_text(c, s->op_type);
		printf("\" name=\"");
		xml_text(c, s->name);
		if (place_of(s) == ON_FOLDED) {
			puts("\"><skipped message=\"folded\"/></testcase>");
		} else if (node_fails(r, s)) {
			printf("\">\n    <failure message=\"on %s\">", place_names[place_of(s)]);
			junit_findings(r, s->now ? s->now->findings : NULL);
			puts("</failure>\n  </testcase>");
		} else {
			puts("\"/>");
		}
	}
	printf("  <testcase classname=\"model\" name=\"limits of the model as a whole\"%s>\n", breaks ? "" : "/");
	if (breaks) {
		printf("    <failure message=\"a limit is broken\">");
		junit_findings(r, r->model);
		puts("</failure>\n  </testcase>");
	}
	printf("  <testcase classname=\"model\" name=\"something is for the BPU\"%s>\n", r->count[ON_BPU] ? "/" : "");
	if (!r->count[ON_BPU])
		puts("    <failure message=\"no node is for the BPU\"/>\n  </testcase>");
	puts("</testsuite>");
	return HB_OK;
}

/* A path as a URI reference. */
static const char *
uri_of(cli *c, const char *path)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
	char *out = hb_arena_alloc(c->arena, 3 * strlen(path) + 1), *to = out;

	for (; out && *path; path++) {
		if (strchr(plain, *path))
			*to++ = *path;
		else
			to += sprintf(to, "%%%02X", (unsigned)(unsigned char)*path);
	}
	if (out)
		*to = 0;
	return out ? out : "";
}

/* The rule's row in the driver, made at its first finding. */
static json_int_t
sarif_rule(cli *c, const hb_finding *f, json_t *rules, json_t *seen)
{
	const char *id = clean(c, f->rule);
	json_t *have = json_object_get(seen, id);
	json_int_t at = (json_int_t)json_array_size(rules);

	if (have)
		return json_integer_value(have);
	json_object_set_new(seen, id, json_integer(at));
	json_array_append_new(rules, json_pack("{s:s, s:{s:s}, s:{s:s}}", "id", id, "shortDescription", "text", id, "fullDescription",
					       "text", clean(c, hb_arena_printf(c->arena, "%s (%s)", f->rule, f->source ? f->source : "hbcc"))));
	return at;
}

/* s NULL: about the model as a whole. */
static json_t *
sarif_result(const report *r, const hb_source *s, const hb_finding *f, json_int_t rule)
{
	cli *c = r->c;
	const char *node = s ? clean(c, s->name) : "model";
	bool error = s ? place_of(s) == ON_NONE || node_fails(r, s) : true;
	json_t *o = json_object(), *about = json_object();

	json_object_set_new(o, "ruleId", js(c, f->rule));
	json_object_set_new(o, "ruleIndex", json_integer(rule));
	json_object_set_new(o, "level", json_string(!f->broken ? "note" : error ? "error" : "warning"));
	json_object_set_new(o, "message", json_pack("{s:o}", "text", js(c, sentence(c, f))));
	json_object_set_new(o, "locations",
			    json_pack("[{s:{s:{s:s}}, s:[{s:s, s:s, s:s}]}]", "physicalLocation", "artifactLocation", "uri",
				      uri_of(c, c->files[0]), "logicalLocations", "name", node, "fullyQualifiedName", node, "kind",
				      s ? "member" : "module"));
	json_object_set_new(o, "partialFingerprints",
			    json_pack("{s:o}", "nodeAndRule/v1", js(c, hb_arena_printf(c->arena, "%s: %s", node, f->rule))));
	if (s) {
		json_object_set_new(about, "op", js(c, s->op_type));
		json_object_set_new(about, "on", json_string(place_names[place_of(s)]));
	}
	json_object_set_new(about, "found", js(c, f->found));
	json_object_set_new(about, "source", js(c, f->source));
	json_object_set_new(about, "advice", js(c, f->advice));
	json_object_set_new(o, "properties", about);
	return o;
}

static hb_status
out_sarif(const report *r)
{
	cli *c = r->c;
	json_t *j = json_object(), *run = json_object(), *results = json_array();
	json_t *driver = json_object(), *rules = json_array(), *seen = json_object();

	json_object_set_new(j, "$schema", json_string("https://json.schemastore.org/sarif-2.1.0.json"));
	json_object_set_new(j, "version", json_string("2.1.0"));
	for (const hb_finding *f = r->model; f; f = f->next)
		json_array_append_new(results, sarif_result(r, NULL, f, sarif_rule(c, f, rules, seen)));
	for (const hb_source *s = r->g->sources; s; s = s->next)
		for (const hb_finding *f = s->now ? s->now->findings : NULL; f; f = f->next)
			json_array_append_new(results, sarif_result(r, s, f, sarif_rule(c, f, rules, seen)));
	json_decref(seen);
	json_object_set_new(driver, "name", json_string("hbcc"));
	json_object_set_new(driver, "version", json_string(HBCC_VERSION));
	json_object_set_new(driver, "rules", rules);
	json_object_set_new(run, "tool", json_pack("{s:o}", "driver", driver));
	json_object_set_new(run, "results", results);
	json_object_set_new(run, "invocations", json_pack("[{s:b, s:i}]", "executionSuccessful", 1, "exitCode", r->ok ? 0 : 1));
	json_object_set_new(run, "properties", json_pack("{s:s, s:b}", "march", r->m->name, "ok", r->ok));
	json_object_set_new(j, "runs", json_pack("[o]", run));
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
	config_base(c, &(hb_qconfig){.dtype = c->a.dtype && !strcmp(c->a.dtype, "qint16") ? HB_I16 : HB_I8});
	HB_TRY(judge(&r));
	HB_TRY(count_costs(&r));
	if (c->set[O_advice] && r.count[ON_BPU] && !r.count[ON_NONE])
		HB_TRY(advice_layers(c, r.m, c->a.advice, &r.slow, &r.nslow));
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
				    O_run_on_cpu, O_dtype, O_int8_outputs, O_affine, O_END},
	.run = run,
};
