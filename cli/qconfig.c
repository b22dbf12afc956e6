/* qconfig.c: the rules of quant_parameters, node_info and their kin: which node or tensor gets which type and observer.
 * Weakest first: all, op_type, node_name, tensor; of one level the longest literal prefix, of equals the later. */
#include "cli/config.h"

#include <fnmatch.h>
#include <strings.h>

typedef enum rule_level { RULE_OP = 1, RULE_NODE, RULE_TENSOR } rule_level;
enum { SIDE_OUT = -2, SIDE_IN = -1 };	/* from 0: that input */

struct qrule {
	rule_level level;
	const char *match;	/* NULL: every model output */
	size_t literal;		/* characters before the first wildcard */
	bool exact;		/* match is a name, no glob */
	int side;
	const char *key;	/* of the file, as reports name it */
	size_t line;
	bool has_dtype, has_kind, has_percentile, has_constant, has_scale, has_weights;
	hb_qconfig q;
};

static hb_status
rule_new(config *g, const yaml_node_t *at, const char *key, rule_level level, const char *match, qrule **out)
{
	if (!HB_GROW(g->c->arena, &g->rules, &g->cap_rules, g->nrules + 1))
		return hb_nomem(g->c->cx, NULL);
	qrule *r = *out = &g->rules[g->nrules++];
	*r = (qrule){
		.level = level, .match = match, .literal = match ? strcspn(match, "*?[") : 0, .side = SIDE_OUT, .key = key,
		.line = at->start_mark.line + 1,
	};
	return HB_OK;
}

/* ---- reading ---- */

static hb_status
weight_dtype(config *g, const yaml_node_t *n, const char *key, const char *s)
{
	if (s && !strcmp(s, "qint8"))
		return HB_OK;
	if (s && !strcmp(s, "qint16"))
		return config_error(g, n, key, "'qint16' is not taken: on every march the multipliers take weights of 8 bits; "
				    "dtype: qint16 gives the activations 16");
	return config_error(g, n, key, "'%s' is not taken; only qint8", s ? s : "a list");
}

hb_status
qrules_weight_dtype(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	return weight_dtype(g, n, k->key, s);
}

static hb_status
dtype_value(config *g, qrule *r, const yaml_node_t *n, const char *key, const char *s)
{
	r->q.none = !strcmp(s, "none") || !strcmp(s, "float32");
	r->q.dtype = !strcmp(s, "qint16") || !strcmp(s, "int16") ? HB_I16 : HB_I8;
	r->has_dtype = true;
	if (!r->q.none && r->q.dtype == HB_I8 && strcmp(s, "qint8") && strcmp(s, "int8"))
		return config_error(g, n, key, "'%s' is none of qint8, qint16, none", s);
	return HB_OK;
}

static hb_status
rule_value(config *g, qrule *r, const yaml_node_t *n, const char *key, const char *s)
{
	double x;

	if (!s)
		return config_error(g, n, key, "takes one value");
	if (!strcmp(key, "dtype"))
		return dtype_value(g, r, n, key, s);
	if (!strcmp(key, "observer")) {
		r->has_kind = true;
		if (!hb_observer_kind_of(s, &r->q.observer.kind))
			return config_error(g, n, key, "unknown observer '%s'", s);
		if (r->q.observer.kind == HB_OBS_DEFAULT)
			return config_error(g, n, key, "'default' tries observers on the whole model: it is said for all, not by rule");
		return HB_OK;
	}
	if (!strcmp(key, "weight_observer")) {
		r->has_weights = true;
		r->q.weights_mse = !strcmp(s, "mse");
		return r->q.weights_mse || !strcmp(s, "minmax") ? HB_OK : config_error(g, n, key, "'%s' is none of minmax, mse", s);
	}
	if (!strcmp(key, "weight_dtype"))
		return weight_dtype(g, n, key, s);
	if (!strcmp(key, "high_precision_output")) {
		r->q.high_precision = !strcasecmp(s, "true") ? 1 : -1;
		return !strcasecmp(s, "true") || !strcasecmp(s, "false") ? HB_OK : config_error(g, n, key, "takes True or False");
	}
	if (strcmp(key, "percentile") && strcmp(key, "averaging_constant") && strcmp(key, "scale"))
		return config_error(g, n, key,
				    "unknown key; dtype, observer, percentile, averaging_constant, scale, weight_observer, high_precision_output are taken");
	if (!hb_parse_f64(s, &x) || !(x > 0) || (*key != 's' && x > 1))
		return config_error(g, n, key, "'%s' is out of range", s);
	if (*key == 'p') {
		r->q.observer.percentile = x;
		r->has_percentile = true;
	} else if (*key == 'a') {
		r->q.observer.averaging_constant = x;
		r->has_constant = true;
	} else {
		r->q.observer.fixed_scale = (float)x;
		r->has_scale = true;
	}
	return HB_OK;
}

static hb_status
rules_of(config *g, rule_level level, const yaml_node_t *n, const char *key)
{
	if (n->type != YAML_MAPPING_NODE)
		return config_error(g, n, key, "takes a mapping of names");
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
		yaml_node_t *name = config_node(g, p->key), *v = config_node(g, p->value);
		const char *match = config_scalar(name);
		qrule *r;

		if (!match || (v->type != YAML_MAPPING_NODE && !config_scalar(v)))
			return config_error(g, v, match ? match : key, "takes a mapping: dtype, observer, ...");
		HB_TRY(rule_new(g, name, key, level, match, &r));
		if (config_scalar(v)) {	/* NAME: none, NAME: qint16 */
			HB_TRY(dtype_value(g, r, v, match, config_scalar(v)));
			continue;
		}
		for (yaml_node_pair_t *q = v->data.mapping.pairs.start; q < v->data.mapping.pairs.top; q++) {
			const char *k = config_scalar(config_node(g, q->key));
			yaml_node_t *value = config_node(g, q->value);

			if (!k)
				return config_error(g, value, match, "has a key that is no word");
			HB_TRY(rule_value(g, r, value, k, config_scalar(value)));
		}
	}
	return HB_OK;
}

hb_status
qrules_op(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	(void)s;
	return rules_of(g, RULE_OP, n, k->key);
}

hb_status
qrules_node(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	(void)s;
	return rules_of(g, RULE_NODE, n, k->key);
}

hb_status
qrules_tensor(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	(void)s;
	return rules_of(g, RULE_TENSOR, n, k->key);
}

/* {"op": "int16"} */
hb_status
qrules_data_type(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	(void)s;
	if (n->type != YAML_MAPPING_NODE)
		return config_error(g, n, k->key, "takes {operator: int16}");
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
		yaml_node_t *name = config_node(g, p->key), *v = config_node(g, p->value);
		qrule *r;

		if (!config_scalar(name) || !config_scalar(v))
			return config_error(g, v, k->key, "takes {operator: int16}");
		HB_TRY(rule_new(g, name, k->key, RULE_OP, config_scalar(name), &r));
		HB_TRY(dtype_value(g, r, v, config_scalar(name), config_scalar(v)));
	}
	return HB_OK;
}

/* {"node": {"ON": "BPU", "InputType": "int16", "InputType0": "int8", "OutputType": "int16"}} */
static hb_status
node_info_value(config *g, const yaml_node_t *at, const char *node, const char *key, const char *s)
{
	int64_t index;
	qrule *r;

	if (!s)
		return config_error(g, at, key, "takes one value");
	if (!strcmp(key, "ON")) {
		if (strcmp(s, "BPU") && strcmp(s, "CPU"))
			return config_error(g, at, key, "'%s' is none of BPU, CPU", s);
		return strings_add(g->c, *s == 'B' ? &g->c->a.run_on_bpu : &g->c->a.run_on_cpu, node);
	}
	bool in = !strncmp(key, "InputType", 9);
	if (!in && strcmp(key, "OutputType"))
		return config_error(g, at, key, "unknown key; ON, InputType, InputType0, ..., OutputType are taken");
	if (in && key[9] && (!hb_parse_i64(key + 9, &index) || index < 0 || index > 1000))
		return config_error(g, at, key, "unknown key; an input's number follows InputType");
	HB_TRY(rule_new(g, at, "node_info", RULE_NODE, node, &r));
	r->exact = true;
	r->literal = strlen(node) + (in && key[9]);	/* one input's type is more specific than that of all */
	if (in)
		r->side = key[9] ? (int)index : SIDE_IN;
	return dtype_value(g, r, at, key, s);
}

hb_status
qrules_node_info(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	(void)s;
	if (n->type != YAML_MAPPING_NODE)
		return config_error(g, n, k->key, "takes {node: {ON: BPU, InputType: int16, OutputType: int16}}");
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
		const char *node = config_scalar(config_node(g, p->key));
		yaml_node_t *v = config_node(g, p->value);

		if (!node || v->type != YAML_MAPPING_NODE)
			return config_error(g, v, k->key, "takes {node: {ON: BPU, InputType: int16, OutputType: int16}}");
		for (yaml_node_pair_t *q = v->data.mapping.pairs.start; q < v->data.mapping.pairs.top; q++) {
			const char *key = config_scalar(config_node(g, q->key));
			yaml_node_t *value = config_node(g, q->value);

			HB_TRY(node_info_value(g, value, node, key ? key : "", config_scalar(value)));
		}
	}
	return HB_OK;
}

hb_status
qrules_optimization(config *g, const yaml_node_t *at, const char *key, const char *word)
{
	static const struct {
		const char *end;
		int side;
		const char *dtype;
	} ends[] = {
		{ "_input_int8", SIDE_IN, "qint8" }, { "_input_int16", SIDE_IN, "qint16" },
		{ "_output_int8", SIDE_OUT, "qint8" }, { "_output_int16", SIDE_OUT, "qint16" },
	};
	size_t n = strlen(word);
	qrule *r;

	for (size_t i = 0; i < HB_LEN(ends); i++) {
		size_t k = strlen(ends[i].end);

		if (strncmp(word, "set_", 4) || n <= k + 4 || strcmp(word + n - k, ends[i].end))
			continue;
		bool outputs = !strcmp(word, "set_model_output_int16");
		const char *op = hb_arena_strn(g->c->arena, word + 4, n - k - 4);
		if (!op)
			return hb_nomem(g->c->cx, NULL);
		HB_TRY(rule_new(g, at, "optimization", outputs ? RULE_TENSOR : RULE_OP, outputs ? NULL : op, &r));
		r->side = ends[i].side;
		r->q.high_precision = outputs ? -1 : 0;
		return dtype_value(g, r, at, key, ends[i].dtype);
	}
	return config_error(g, at, key, "'%s' is not taken here; set_model_output_int8, set_model_output_int16 and set_OP_input_int16 and their kin are", word);
}

/* ---- which rule holds ---- */

static bool
fits(const qrule *r, const char *name)
{
	return r->exact ? !strcmp(r->match, name) : !fnmatch(r->match, name, 0);
}

static bool
fits_node(const qrule *r, const hb_node *n)
{
	if (fits(r, r->level == RULE_OP ? n->op_type : n->name))
		return true;
	for (const hb_source *s = n->sources; s; s = s->next_of_node)
		if (fits(r, r->level == RULE_OP ? s->op_type : s->name))
			return true;
	return false;
}

/* Any node of the operation that ends with n. */
static bool
fits_group(const qrule *r, const hb_node *n)
{
	if (fits_node(r, n))
		return true;
	for (const hb_node *m = n->group && n->group->last == n ? n->group->root : NULL; m && m != n; m = m->next)
		if (m->group == n->group && fits_node(r, m))
			return true;
	return false;
}

static bool
holds(const qrule *r, const hb_node *n, const hb_tensor *t)
{
	if (r->level == RULE_TENSOR)
		return t && (r->match ? fits(r, t->name) : t->is_output);
	if (r->side == SIDE_OUT)
		return n && fits_group(r, n);
	for (size_t i = 0; t && i < t->nuses; i++)
		if ((r->side == SIDE_IN || r->side == t->uses[i].index) && fits_node(r, t->uses[i].node))
			return true;
	return false;
}

static const qrule *
best_rule(const config *g, rule_level level, const hb_node *n, const hb_tensor *t)
{
	const qrule *best = NULL;

	for (size_t i = 0; i < g->nrules; i++) {
		const qrule *r = &g->rules[i];

		if (r->level == level && (!best || r->literal >= best->literal) && holds(r, n, t))
			best = r;
	}
	return best;
}

static void
overlay(config *g, hb_qconfig *q, const qrule *r)
{
	if (r->has_dtype) {
		q->dtype = r->q.dtype;
		q->none = r->q.none;
		q->dtype_level = (int)r->level;
	}
	if (r->has_kind)
		q->observer.kind = r->q.observer.kind;
	if (r->has_percentile)
		q->observer.percentile = r->q.observer.percentile;
	if (r->has_constant)
		q->observer.averaging_constant = r->q.observer.averaging_constant;
	if (r->has_scale) {
		q->observer.kind = HB_OBS_FIXED;
		q->observer.fixed_scale = r->q.observer.fixed_scale;
	}
	if (r->has_weights)
		q->weights_mse = r->q.weights_mse;
	if (r->q.high_precision)
		q->high_precision = r->q.high_precision;
	q->rule = hb_arena_printf(g->c->arena, "%s%s%s%s%s (%s:%zu)", q->rule ? q->rule : "", q->rule ? ", " : "", r->key, r->match ? " " : "",
				  r->match ? r->match : "", g->path, r->line);
}

void
config_base(cli *c, const hb_qconfig *q)
{
	if (c->cfg)
		c->cfg->base = *q;
}

static bool
is_camera(const config *g, const char *name)
{
	for (size_t i = 0; i < g->cameras.n; i++)
		if (!strcmp(g->cameras.v[i], name))
			return true;
	return false;
}

const hb_qconfig *
config_quant(void *arg, const hb_node *n, const hb_tensor *t)
{
	static const rule_level levels[] = { RULE_OP, RULE_NODE, RULE_TENSOR };
	config *g = arg;
	hb_qconfig *q = NULL;

	if (!n && t && is_camera(g, t->name)) {
		if (!(q = HB_NEW(g->c->arena, hb_qconfig)))
			return NULL;
		*q = g->base;	/* a byte less 128 */
		q->dtype = HB_I8;
		q->dtype_level = RULE_TENSOR;
		q->observer.kind = HB_OBS_FIXED;
		q->observer.fixed_scale = 1;
		q->rule = "input_type_rt";
		return q;
	}
	for (size_t i = 0; i < HB_LEN(levels); i++) {
		const qrule *r = best_rule(g, levels[i], n, t);

		if (!r)
			continue;
		if (!q && (q = HB_NEW(g->c->arena, hb_qconfig)))
			*q = g->base;
		if (q)
			overlay(g, q, r);
	}
	return q;
}

bool
config_crc(const cli *c, uint32_t *crc)
{
	if (!c->cfg || !c->cfg->nrules)
		return false;
	*crc = c->cfg->crc;
	return true;
}

/* ---- rules against the model ---- */

static bool
matches_any(const qrule *r, const hb_graph *g)
{
	if (!r->match)
		return true;
	for (const hb_tensor *t = g->tensors; t && r->level == RULE_TENSOR; t = t->next)
		if (!t->is_const && fits(r, t->name))
			return true;
	for (const hb_source *s = g->sources; s && r->level != RULE_TENSOR; s = s->next)
		if (fits(r, r->level == RULE_OP ? s->op_type : s->name))
			return true;
	for (const hb_node *n = g->first; n && r->level != RULE_TENSOR; n = n->next)
		if (fits_node(r, n))
			return true;
	return false;
}

/* The names that a rule of this level could mean, each to `look`. */
static void
each_name(const hb_graph *g, rule_level level, void (*look)(void *arg, const char *name), void *arg)
{
	for (const hb_tensor *t = g->tensors; t && level == RULE_TENSOR; t = t->next)
		if (!t->is_const)
			look(arg, t->name);
	for (const hb_source *s = g->sources; s && level != RULE_TENSOR; s = s->next)
		look(arg, level == RULE_OP ? s->op_type : s->name);
}

static void
look_near(void *arg, const char *name)
{
	names_near(arg, name);
}

static void
warn_unmatched(cli *c, const hb_graph *g, const qrule *r)
{
	static const char *const what[] = { [RULE_OP] = "no operator", [RULE_NODE] = "no node", [RULE_TENSOR] = "no tensor" };
	near_names near = { .wanted = r->match };
	char text[1024];
	const char *was = c->cx->file;

	each_name(g, r->level, look_near, &near);
	c->cx->file = hb_arena_printf(c->arena, "%s:%zu", c->cfg->path, r->line);
	hb_warn(c->cx, r->match, "config", "%s of the model has such a name%s", what[r->level], near_text(&near, text, sizeof(text)));
	c->cx->file = was;
}

hb_status
config_rules_check(cli *c, const hb_graph *g, const hb_march *m)
{
	const config *cfg = c->cfg;

	for (size_t i = 0; cfg && i < cfg->nrules; i++) {
		const qrule *r = &cfg->rules[i];

		if (m && r->has_dtype && r->q.dtype == HB_I16 && !m->fig.int16) {
			c->cx->file = hb_arena_printf(c->arena, "%s:%zu", cfg->path, r->line);
			return hb_error(c->cx, HB_ERR_USAGE, r->match ? r->match : r->key, "march", "%s has no qint16 activations", m->name);
		}
		if (!matches_any(r, g))
			warn_unmatched(c, g, r);
	}
	return HB_OK;
}

hb_status
config_excluded(cli *c, const hb_graph *g, strings *out)
{
	bool any = false;

	for (size_t i = 0; c->cfg && i < c->cfg->nrules; i++)
		any |= c->cfg->rules[i].q.none;
	for (const hb_node *n = any ? g->first : NULL; n; n = n->next) {
		const hb_qconfig *q = n->nout && n->out[0] ? config_quant(c->cfg, n, n->out[0]) : NULL;

		if (q && q->none)
			HB_TRY(strings_add(c, out, n->name));
	}
	return HB_OK;
}
