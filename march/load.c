/* load.c: a user's own march, from YAML (hbcc-march(5) has the keys): the same data as the
 * built-in ones, over a built-in base or from nothing, checked before anything uses it. */
#include "march/march.h"

#include <stddef.h>
#include <yaml.h>

enum { LONGEST = 1 << 20, MOST_ROWS = 10000 };

struct load {
	hb_ctx *cx;
	hb_arena *a;
	yaml_document_t *doc;
	hb_march *m;
	hb_march_op *ops;
	hb_rule *rules, *cpu_rules;
	const char **cpu_ops;
	hb_figure_source *sources;
	size_t nops, nrules, ncpu_rules, ncpu_ops, nsources;
	size_t cap_ops, cap_rules, cap_cpu_rules, cap_cpu_ops, cap_sources;
	const hb_march *base;
};

static hb_status bad(struct load *l, const yaml_node_t *at, const char *fmt, ...) HB_PRINTF(3, 4);

static hb_status bad(struct load *l, const yaml_node_t *at, const char *fmt, ...)
{
	va_list ap;
	const char *where = at ? hb_arena_printf(l->a, "line %zu", at->start_mark.line + 1) : NULL;
	va_start(ap, fmt);
	hb_vdiag(l->cx, HB_ERROR, HB_ERR_INPUT, where, "march-file", fmt, ap);
	va_end(ap);
	return HB_ERR_INPUT;
}

static yaml_node_t *node(struct load *l, int index)
{
	return yaml_document_get_node(l->doc, index);
}

/* A scalar's text, kept; NULL where n is none, or holds a zero byte. */
static const char *text(struct load *l, const yaml_node_t *n)
{
	if (!n || n->type != YAML_SCALAR_NODE || memchr(n->data.scalar.value, 0, n->data.scalar.length))
		return NULL;
	return hb_arena_strn(l->a, (const char *)n->data.scalar.value, n->data.scalar.length);
}

/* Calls `each` for every pair of a mapping. */
static hb_status pairs(struct load *l, yaml_node_t *map, void *to,
		       hb_status (*each)(struct load *, void *, const char *, yaml_node_t *, yaml_node_t *))
{
	if (map->type != YAML_MAPPING_NODE)
		return bad(l, map, "takes keys and values");
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		yaml_node_t *k = node(l, p->key), *v = node(l, p->value);
		const char *name = text(l, k);
		if (!name || !v)
			return bad(l, k ? k : map, "a key is no word");
		HB_TRY(each(l, to, name, k, v));
	}
	return HB_OK;
}

/* Calls `each` for every member of a sequence. */
static hb_status items(struct load *l, yaml_node_t *list, void *to, hb_status (*each)(struct load *, void *, yaml_node_t *))
{
	if (list->type != YAML_SEQUENCE_NODE)
		return bad(l, list, "takes a list");
	if (list->data.sequence.items.top - list->data.sequence.items.start > MOST_ROWS)
		return bad(l, list, "has more than %d entries", MOST_ROWS);
	for (yaml_node_item_t *i = list->data.sequence.items.start; i < list->data.sequence.items.top; i++)
		HB_TRY(each(l, to, node(l, *i)));
	return HB_OK;
}

static hb_status boolean(struct load *l, const yaml_node_t *n, bool *out)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = { { "yes", true }, { "true", true }, { "no", false }, { "false", false } };
	const char *s = text(l, n);
	for (size_t i = 0; s && i < HB_LEN(words); i++)
		if (!strcmp(s, words[i].word)) {
			*out = words[i].value;
			return HB_OK;
		}
	return bad(l, n, "takes yes or no");
}

/* ---- figures ---- */

enum figure_type { INT, U32, REAL, BOOL };

static const struct figure_row {
	const char *name;
	enum figure_type type;
	size_t at;
	double min, max;
	bool pow2;
} figures[] = {
#define FIGURE(f, type, min, max, pow2) { #f, type, offsetof(hb_figures, f), min, max, pow2 }
	FIGURE(cores, INT, 1, 2, false),
	FIGURE(clock_ghz, REAL, 0.001, 100, false),
	FIGURE(sram_bytes, U32, 4096, 1 << 30, false),
	FIGURE(c_align, U32, 1, 4096, true),
	FIGURE(granule, U32, 1, 4096, true),
	FIGURE(mac_h, INT, 1, 1024, false),
	FIGURE(mac_w, INT, 1, 1024, false),
	FIGURE(mac_c, INT, 1, 1024, false),
	FIGURE(mac_n, INT, 1, 1024, false),
	FIGURE(macs_per_cycle, INT, 1, 1 << 24, false),
	FIGURE(k0_percent, INT, 0, 10000, false),
	FIGURE(dw_h, INT, 1, 1024, false),
	FIGURE(dw_w, INT, 1, 1024, false),
	FIGURE(dw_c, INT, 1, 1024, false),
	FIGURE(dw_macs_per_cycle, INT, 1, 1 << 24, false),
	FIGURE(start_mac, INT, 0, 1 << 24, false),
	FIGURE(start_vec, INT, 0, 1 << 24, false),
	FIGURE(start_dma, INT, 0, 1 << 24, false),
	FIGURE(vec_x100, INT, 1, 1 << 24, false),
	FIGURE(lut_x100, INT, 1, 1 << 24, false),
	FIGURE(copy_x100, INT, 1, 1 << 24, false),
	FIGURE(dma_bytes_x100, INT, 1, 1 << 24, false),
	FIGURE(int16, BOOL, 0, 1, false),
#undef FIGURE
};

static hb_status figure_value(struct load *l, const struct figure_row *r, const yaml_node_t *n)
{
	char *to = (char *)&l->m->fig + r->at;
	if (r->type == BOOL)
		return boolean(l, n, (bool *)to);
	const char *s = text(l, n);
	int64_t i = 0;
	double v = 0;
	bool parsed = s && (r->type == REAL ? hb_parse_f64(s, &v) : hb_parse_i64(s, &i));
	if (r->type != REAL)
		v = (double)i;
	if (!parsed || v < r->min || v > r->max)
		return bad(l, n, "%s is %s from %g to %g", r->name, r->type == REAL ? "a number" : "an integer", r->min, r->max);
	if (r->pow2 && (i & (i - 1)))
		return bad(l, n, "%s is a power of 2", r->name);
	if (r->type == REAL)
		*(double *)to = v;
	else if (r->type == U32)
		*(uint32_t *)to = (uint32_t)i;
	else
		*(int *)to = (int)i;
	return HB_OK;
}

static hb_status figure_part(struct load *l, void *to, const char *key, yaml_node_t *k, yaml_node_t *v)
{
	yaml_node_t **parts = to;
	if (!strcmp(key, "value"))
		parts[0] = v;
	else if (!strcmp(key, "source"))
		parts[1] = v;
	else
		return bad(l, k, "a figure takes value and source, not '%s'", key);
	return HB_OK;
}

static hb_status figure(struct load *l, void *to, const char *key, yaml_node_t *k, yaml_node_t *v)
{
	(void)to;
	for (size_t i = 0; i < HB_LEN(figures); i++) {
		if (strcmp(figures[i].name, key))
			continue;
		yaml_node_t *parts[2] = { v, NULL };
		if (v->type == YAML_MAPPING_NODE) {
			parts[0] = NULL;
			HB_TRY(pairs(l, v, parts, figure_part));
			if (!parts[0])
				return bad(l, v, "%s has no value", key);
		}
		HB_TRY(figure_value(l, &figures[i], parts[0]));
		const char *source = parts[1] ? text(l, parts[1]) : "assumed: given in the march file";
		if (!source || !HB_GROW(l->a, &l->sources, &l->cap_sources, l->nsources + 2))
			return source ? hb_nomem(l->cx, NULL) : bad(l, parts[1], "a source is text");
		for (size_t s = 0; s < l->nsources; s++)
			if (!strcmp(l->sources[s].field, figures[i].name)) {
				l->sources[s].source = source;
				return HB_OK;
			}
		l->sources[l->nsources++] = (hb_figure_source){ figures[i].name, source };
		return HB_OK;
	}
	return bad(l, k, "there is no figure '%s'", key);
}

/* ---- operators ---- */

static hb_status one_type(struct load *l, void *to, yaml_node_t *n)
{
	static const hb_dtype types[] = { HB_I8, HB_I16, HB_I32, HB_BOOL, HB_F32 };
	const char *s = text(l, n);
	for (size_t i = 0; s && i < HB_LEN(types); i++)
		if (!strcmp(s, hb_dtype_name(types[i]))) {
			*(uint32_t *)to |= HB_BIT(types[i]);
			return HB_OK;
		}
	return bad(l, n, "a type is int8, int16, int32, bool or float32");
}

static hb_status op_part(struct load *l, void *to, const char *key, yaml_node_t *k, yaml_node_t *v)
{
	hb_march_op *op = to;
	if (!strcmp(key, "bpu"))
		return boolean(l, v, &op->bpu);
	if (!strcmp(key, "default_cpu"))
		return boolean(l, v, &op->default_cpu);
	if (!strcmp(key, "in") || !strcmp(key, "out")) {
		uint32_t *types = key[0] == 'i' ? &op->in_types : &op->out_types;
		*types = 0;
		return items(l, v, types, one_type);
	}
	if (!strcmp(key, "source"))
		return (op->source = text(l, v)) ? HB_OK : bad(l, v, "a source is text");
	return bad(l, k, "an operator takes bpu, default_cpu, in, out and source, not '%s'", key);
}

static hb_status operator_row(struct load *l, void *to, const char *key, yaml_node_t *k, yaml_node_t *v)
{
	(void)to;
	hb_march_op *op = NULL;
	for (size_t i = 0; i < l->nops; i++)
		if (!strcmp(l->ops[i].op, key))
			op = &l->ops[i];
	if (!op) {
		if (l->nops >= MOST_ROWS)
			return bad(l, k, "there are more than %d operators", MOST_ROWS);
		if (!HB_GROW(l->a, &l->ops, &l->cap_ops, l->nops + 2))
			return hb_nomem(l->cx, NULL);
		op = &l->ops[l->nops++];
		*op = (hb_march_op){ key, true, false, HB_BIT(HB_I8), HB_BIT(HB_I8), l->m->list };
	}
	return pairs(l, v, op, op_part);
}

/* ---- rules ---- */

static hb_status rule_part(struct load *l, void *to, const char *key, yaml_node_t *k, yaml_node_t *v)
{
	hb_rule *r = to;
	const struct {
		const char *key;
		const char **to;
	} parts[] = {
		{ "op", &r->op }, { "rule", &r->text }, { "note", &r->note }, { "source", &r->source },
		{ "advice", &r->advice },
	};
	if (!strcmp(key, "remark"))
		return boolean(l, v, &r->remark);
	for (size_t i = 0; i < HB_LEN(parts); i++)
		if (!strcmp(parts[i].key, key))
			return (*parts[i].to = text(l, v)) ? HB_OK : bad(l, v, "%s is text", key);
	return bad(l, k, "a rule takes op, rule, note, source, advice and remark, not '%s'", key);
}

static hb_status read_rule(struct load *l, yaml_node_t *n, hb_rule *r)
{
	*r = (hb_rule){ .source = l->m->list };
	if (!n)
		return bad(l, n, "a rule is missing");
	HB_TRY(pairs(l, n, r, rule_part));
	return r->op && r->text ? HB_OK : bad(l, n, "a rule has op and rule");
}

static hb_status append_rule(struct load *l, const hb_rule *r, hb_rule **rules, size_t *n, size_t *cap)
{
	if (!HB_GROW(l->a, rules, cap, *n + 2))
		return hb_nomem(l->cx, NULL);
	(*rules)[(*n)++] = *r;
	return HB_OK;
}

static hb_status bpu_rule(struct load *l, void *to, yaml_node_t *n)
{
	(void)to;
	hb_rule r;
	HB_TRY(read_rule(l, n, &r));
	return append_rule(l, &r, &l->rules, &l->nrules, &l->cap_rules);
}

static hb_status cpu_rule(struct load *l, void *to, yaml_node_t *n)
{
	(void)to;
	hb_rule r;
	HB_TRY(read_rule(l, n, &r));
	return append_rule(l, &r, &l->cpu_rules, &l->ncpu_rules, &l->cap_cpu_rules);
}

static hb_status add_cpu_op(struct load *l, const char *op)
{
	if (!HB_GROW(l->a, &l->cpu_ops, &l->cap_cpu_ops, l->ncpu_ops + 2))
		return hb_nomem(l->cx, NULL);
	l->cpu_ops[l->ncpu_ops++] = op;
	return HB_OK;
}

static hb_status cpu_op(struct load *l, void *to, yaml_node_t *n)
{
	(void)to;
	const char *s = text(l, n);
	return s ? add_cpu_op(l, s) : bad(l, n, "an operator is a word");
}

/* The base's rules of operators that the file has no rules for. */
static hb_status inherit_rules(struct load *l, const hb_rule *from, hb_rule **rules, size_t *n, size_t *cap)
{
	size_t own = *n;
	for (const hb_rule *r = from; r && r->op; r++) {
		bool replaced = false;
		for (size_t i = 0; i < own; i++)
			replaced = replaced || !strcmp((*rules)[i].op, r->op);
		if (!replaced)
			HB_TRY(append_rule(l, r, rules, n, cap));
	}
	return HB_OK;
}

/* ---- the file ---- */

static hb_status inherit(struct load *l, const char *name, yaml_node_t *at)
{
	const hb_march *b = l->base = hb_march_find(name);
	if (!b)
		return bad(l, at, "base '%s' is no march", name);
	l->m->fig = b->fig;
	l->m->list = b->list;
	l->m->dilated_int8 = b->dilated_int8;
	for (const hb_march_op *o = b->ops; o->op; o++) {
		if (!HB_GROW(l->a, &l->ops, &l->cap_ops, l->nops + 2))
			return hb_nomem(l->cx, NULL);
		l->ops[l->nops++] = *o;
	}
	for (const hb_figure_source *s = b->figure_sources; s->field; s++) {
		if (!HB_GROW(l->a, &l->sources, &l->cap_sources, l->nsources + 2))
			return hb_nomem(l->cx, NULL);
		l->sources[l->nsources++] = *s;
	}
	for (const char *const *s = b->cpu_ops; s && *s; s++)
		HB_TRY(add_cpu_op(l, *s));
	return HB_OK;
}

static hb_status base_key(struct load *l, void *to, const char *key, yaml_node_t *k, yaml_node_t *v)
{
	(void)to;
	(void)k;
	if (strcmp(key, "base"))
		return HB_OK;
	const char *s = text(l, v);
	return s && !l->base ? inherit(l, s, v) : bad(l, v, "base is the name of one march");
}

static hb_status first_keys(struct load *l, void *to, const char *key, yaml_node_t *k, yaml_node_t *v)
{
	(void)to;
	const struct {
		const char *key;
		const char **to;
	} parts[] = {
		{ "march", &l->m->name }, { "title", &l->m->title }, { "list", &l->m->list }, { "note", &l->m->note },
	};
	if (!strcmp(key, "base"))
		return HB_OK;
	if (!strcmp(key, "dilated_int8"))
		return boolean(l, v, &l->m->dilated_int8);
	for (size_t i = 0; i < HB_LEN(parts); i++)
		if (!strcmp(parts[i].key, key))
			return (*parts[i].to = text(l, v)) ? HB_OK : bad(l, v, "%s is text", key);
	static const char *const later[] = { "figures", "operators", "rules", "cpu_operators", "cpu_rules" };
	for (size_t i = 0; i < HB_LEN(later); i++)
		if (!strcmp(later[i], key))
			return HB_OK;
	return bad(l, k, "there is no key '%s'", key);
}

static hb_status tables(struct load *l, void *to, const char *key, yaml_node_t *k, yaml_node_t *v)
{
	(void)k;
	if (!strcmp(key, "figures"))
		return pairs(l, v, to, figure);
	if (!strcmp(key, "operators"))
		return pairs(l, v, to, operator_row);
	if (!strcmp(key, "rules"))
		return items(l, v, to, bpu_rule);
	if (!strcmp(key, "cpu_operators"))
		return items(l, v, to, cpu_op);
	if (!strcmp(key, "cpu_rules"))
		return items(l, v, to, cpu_rule);
	return HB_OK;
}

static hb_status complete(struct load *l)
{
	hb_march *m = l->m;
	bool name = m->name && *m->name && strlen(m->name) <= 32;
	for (const char *p = name ? m->name : ""; *p; p++)
		name = name && ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-');
	if (!name)
		return bad(l, NULL, "march is a name of at most 32 of a-z, 0-9 and -");
	if (hb_march_find(m->name))
		return bad(l, NULL, "'%s' is the name of a built-in march", m->name);
	for (size_t i = 0; !l->base && i < HB_LEN(figures); i++) {
		bool given = figures[i].type == BOOL;
		for (size_t k = 0; k < l->nsources; k++)
			given = given || !strcmp(l->sources[k].field, figures[i].name);
		if (!given)
			return bad(l, NULL, "figure %s is missing, and there is no base", figures[i].name);
	}
	if (m->fig.granule < m->fig.c_align)
		return bad(l, NULL, "granule %u is less than c_align %u", m->fig.granule, m->fig.c_align);
	if (l->base) {
		HB_TRY(inherit_rules(l, l->base->rules, &l->rules, &l->nrules, &l->cap_rules));
		HB_TRY(inherit_rules(l, l->base->cpu_rules, &l->cpu_rules, &l->ncpu_rules, &l->cap_cpu_rules));
	}
	/* Each list ends with an empty row; an arena's memory is zeroed. */
	if (!HB_GROW(l->a, &l->ops, &l->cap_ops, l->nops + 1) || !HB_GROW(l->a, &l->rules, &l->cap_rules, l->nrules + 1) ||
	    !HB_GROW(l->a, &l->cpu_rules, &l->cap_cpu_rules, l->ncpu_rules + 1) ||
	    !HB_GROW(l->a, &l->cpu_ops, &l->cap_cpu_ops, l->ncpu_ops + 1) ||
	    !HB_GROW(l->a, &l->sources, &l->cap_sources, l->nsources + 1))
		return hb_nomem(l->cx, NULL);
	m->fig.name = m->name;
	m->title = m->title ? m->title : "a march of the user's own";
	m->ops = l->ops;
	m->rules = l->rules;
	m->cpu_rules = l->cpu_rules;
	m->cpu_ops = l->cpu_ops;
	m->figure_sources = l->sources;
	return hb_march_validate(l->cx, m);
}

static hb_status load(struct load *l)
{
	yaml_node_t *root = yaml_document_get_root_node(l->doc);
	if (!root)
		return bad(l, NULL, "is empty");
	l->m->list = "march file";
	HB_TRY(pairs(l, root, NULL, base_key));
	HB_TRY(pairs(l, root, NULL, first_keys));
	HB_TRY(pairs(l, root, NULL, tables));
	return complete(l);
}

hb_status hb_march_load(hb_ctx *cx, const char *path, const hb_march **out)
{
	yaml_parser_t parser;
	yaml_document_t doc;
	hb_file *f;
	const char *before = cx->file;
	*out = NULL;
	cx->file = path;
	HB_TRY(hb_file_map(cx, path, &f));
	if (f->size > LONGEST)
		return hb_error(cx, HB_ERR_INPUT, NULL, "march-file", "has %zu bytes; at most 1 MiB is taken", f->size);
	struct load l = { .cx = cx, .a = cx->arena, .doc = &doc };
	l.m = HB_NEW(l.a, hb_march);
	if (!l.m || !yaml_parser_initialize(&parser))
		return hb_nomem(cx, path);
	yaml_parser_set_input_string(&parser, f->p ? f->p : (const uint8_t *)"", f->size);
	hb_status st;
	if (yaml_parser_load(&parser, &doc)) {
		st = load(&l);
		yaml_document_delete(&doc);
	} else {
		st = hb_error(cx, HB_ERR_INPUT, hb_arena_printf(l.a, "line %zu", parser.problem_mark.line + 1), "march-file",
			      "is no YAML: %s", parser.problem ? parser.problem : "unreadable");
	}
	yaml_parser_delete(&parser);
	if (st == HB_OK) {
		cx->file = before;
		*out = l.m;
	}
	return st;
}
