/* registry.c: finds marches and rows of their tables. */
#include "march/march.h"
#include "march/rule.h"

#define HB_MARCH(name) extern const hb_march hb_march_##name;
#include "march/march.def"
#undef HB_MARCH

static const hb_march *const all[] = {
#define HB_MARCH(name) &hb_march_##name,
#include "march/march.def"
#undef HB_MARCH
};

const hb_march *hb_march_at(size_t i)
{
	return i < HB_LEN(all) ? all[i] : NULL;
}

const hb_march *hb_march_find(const char *name)
{
	for (size_t i = 0; i < HB_LEN(all); i++)
		if (!strcmp(all[i]->name, name))
			return all[i];
	return NULL;
}

const hb_march_op *hb_march_op_of(const hb_march *m, const char *op)
{
	for (const hb_march_op *r = m->ops; r && r->op; r++)
		if (!strcmp(r->op, op))
			return r;
	return NULL;
}

bool hb_march_has_cpu(const hb_march *m, const char *op)
{
	for (const char *const *s = m->cpu_ops; s && *s; s++)
		if (!strcmp(*s, op))
			return true;
	return false;
}

const hb_rule *hb_march_rule_next(const hb_rule *rules, const hb_rule *r, const char *op)
{
	for (r = r ? r + 1 : rules; r && r->op; r++)
		if (!strcmp(r->op, op))
			return r;
	return NULL;
}

const char *hb_march_figure_source(const hb_march *m, const char *field)
{
	for (const hb_figure_source *s = m->figure_sources; s && s->field; s++)
		if (!strcmp(s->field, field))
			return s->source;
	return "assumed";
}

static hb_status validate_rules(hb_ctx *cx, hb_arena *a, const hb_march *m, const hb_rule *rules, bool bpu)
{
	hb_status st = HB_OK;
	for (const hb_rule *r = rules; r && r->op; r++) {
		const char *why;
		size_t at;
		bool row = !strcmp(r->op, "*") || !strcmp(r->op, "model") ||
			   (bpu ? hb_march_op_of(m, r->op) != NULL : hb_march_has_cpu(m, r->op));
		if (!row)
			st = hb_error(cx, HB_ERR_INPUT, m->name, "march-rule", "rule '%s' is about %s, which has no row",
				      r->text, r->op);
		if (!hb_rule_parse(a, r->text, &why, &at))
			st = hb_error(cx, HB_ERR_INPUT, m->name, "march-rule", "rule '%s' of %s: %s at character %zu",
				      r->text, r->op, why, at + 1);
	}
	return st;
}

hb_status hb_march_validate(hb_ctx *cx, const hb_march *m)
{
	hb_arena *a = hb_arena_new(cx);
	if (!a)
		return HB_ERR_NOMEM;
	hb_status bpu = validate_rules(cx, a, m, m->rules, true);
	hb_status cpu = validate_rules(cx, a, m, m->cpu_rules, false);
	hb_arena_free(a);
	return bpu != HB_OK ? bpu : cpu;
}
