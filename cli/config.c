/* config.c: --config: hb_mapper's makertbin groups as they are, and quant_parameters (hbcc-config(5)).
 * What the command line says stands; the file fills in what it does not say. */
#include "cli/cli.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <strings.h>
#include <yaml.h>
#include <zlib.h>

typedef enum rule_level { RULE_OP, RULE_NODE, RULE_TENSOR } rule_level;

typedef struct qrule { /* one entry of op_type, node_name, tensor */
	rule_level level;
	const char *match;
	size_t literal; /* characters before the first wildcard */
	bool has_dtype, has_kind, has_percentile, has_constant, has_scale;
	hb_qconfig q;
} qrule;

struct config {
	cli *c; /* of the first context: its arena outlives the second */
	yaml_document_t *doc;
	const char *path;
	bool said[O_COUNT]; /* on the command line */
	strings names, train_types, train_layouts, norm_types, means, scales, shapes, folders;
	const char *prefix, *working_dir, *calibration_type, *cal_data_type;
	bool percentile_given, no_samples;
	hb_qconfig base; /* what rules change */
	qrule *rules;
	size_t nrules, cap_rules;
	uint32_t crc;
};

static hb_status config_error(config *g, const yaml_node_t *at, const char *key, const char *fmt, ...) HB_PRINTF(4, 5);
static hb_status
config_error(config *g, const yaml_node_t *at, const char *key, const char *fmt, ...)
{
	hb_ctx *cx = g->c->cx;
	va_list ap;

	cx->file = hb_arena_printf(g->c->arena, "%s:%zu", g->path, at->start_mark.line + 1);
	va_start(ap, fmt);
	hb_vdiag(cx, HB_ERROR, HB_ERR_USAGE, key, "config", fmt, ap);
	va_end(ap);
	cx->file = NULL;
	return HB_ERR_USAGE;
}

static void
config_warn(config *g, const yaml_node_t *at, const char *key, const char *text)
{
	hb_ctx *cx = g->c->cx;

	cx->file = hb_arena_printf(g->c->arena, "%s:%zu", g->path, at->start_mark.line + 1);
	hb_warn(cx, key, "config", "%s", text);
	cx->file = NULL;
}

static yaml_node_t *
node_at(config *g, int index)
{
	return yaml_document_get_node(g->doc, index);
}

static const char *
scalar(const yaml_node_t *n)
{
	return n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

/* "a; b" or a sequence of scalars. */
static hb_status
list_of(config *g, yaml_node_t *n, const char *key, strings *out)
{
	if (n->type == YAML_SEQUENCE_NODE) {
		for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++) {
			const char *s = scalar(node_at(g, *i));

			if (!s)
				return config_error(g, n, key, "takes a list of words");
			HB_TRY(strings_add(g->c, out, s));
		}
		return HB_OK;
	}
	const char *s = scalar(n);
	if (!s)
		return config_error(g, n, key, "takes a value or several with ';' between them");
	while (*s) {
		s += strspn(s, " ;");
		size_t k = strcspn(s, ";"), len = k;

		while (len && s[len - 1] == ' ')
			len--;
		char *part = hb_arena_strn(g->c->arena, s, len);
		if (!part)
			return hb_nomem(g->c->cx, NULL);
		if (len)
			HB_TRY(strings_add(g->c, out, part));
		s += k;
	}
	return HB_OK;
}

/* ---- keys ---- */

typedef struct key_row key_row;
typedef hb_status key_fn(config *g, const key_row *k, yaml_node_t *n, const char *s);

struct key_row {
	const char *group, *key;
	key_fn *fn;
	opt_id option;    /* of set_option, set_list */
	const char *only; /* of take_only: the one value taken; of warn: what it means here */
	size_t at;        /* of keep, keep_list: the field of config */
};

static hb_status
set_option(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	cli *c = g->c;

	if (!s)
		return config_error(g, n, k->key, "takes one value");
	if (g->said[k->option])
		return HB_OK;
	c->cx->file = hb_arena_printf(c->arena, "%s:%zu", g->path, n->start_mark.line + 1);
	hb_status st = option_set(c, k->option, s, k->key);
	c->cx->file = NULL;
	return st;
}

/* Levels that do not exist yet mean the highest that does. */
static hb_status
set_level(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	static const char *const above[] = {"O2", "O3"};

	for (size_t i = 0; s && i < HB_LEN(above); i++) {
		if (strcmp(s, above[i]))
			continue;
		config_warn(g, n, k->key, "the highest level that exists is taken");
		return HB_OK;
	}
	return set_option(g, k, n, s);
}

static hb_status
set_list(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	(void)s;
	strings v = {0};

	HB_TRY(list_of(g, n, k->key, &v));
	for (size_t i = 0; i < v.n && !g->said[k->option]; i++)
		HB_TRY(option_set(g->c, k->option, v.v[i], k->key));
	return HB_OK;
}

static hb_status
keep(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	if (!s)
		return config_error(g, n, k->key, "takes one value");
	*(const char **)((char *)g + k->at) = s;
	return HB_OK;
}

static hb_status
keep_list(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	(void)s;
	return list_of(g, n, k->key, (strings *)((char *)g + k->at));
}

static hb_status
take_only(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	if (!s || strcasecmp(s, k->only))
		return config_error(g, n, k->key, "'%s' is not taken here; only %s", s ? s : "a list", k->only);
	return HB_OK;
}

static hb_status
warn(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	(void)s;
	config_warn(g, n, k->key, k->only);
	return HB_OK;
}

static hb_status
model_file(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	cli *c = g->c;

	if (!s)
		return config_error(g, n, k->key, "takes one value");
	if (c->nfiles || c->cmd->max_files < 1)
		return HB_OK;
	c->files = HB_NEW(c->arena, const char *);
	if (!c->files)
		return hb_nomem(c->cx, NULL);
	c->files[0] = s;
	c->nfiles = 1;
	return HB_OK;
}

static hb_status
calibration_type(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	static const char *const taken = "default|mix|kl|max|skip|minmax|moving|percentile|mse|histogram";

	if (!s)
		return config_error(g, n, k->key, "takes one value");
	if (!strcmp(s, "skip")) {
		g->no_samples = true;
		return HB_OK;
	}
	if (!strcmp(s, "default") || g->said[O_observer])
		return HB_OK;
	hb_observer_kind kind;
	if (!hb_observer_kind_of(s, &kind))
		return config_error(g, n, k->key, "'%s' is none of %s", s, taken);
	g->calibration_type = s;
	return option_set(g->c, O_observer, s, k->key);
}

static hb_status
max_percentile(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	g->percentile_given = s && strcmp(s, "1.0") && strcmp(s, "1");
	return set_option(g, k, n, s);
}

static hb_status
optimization(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	strings v = {0};

	(void)s;
	HB_TRY(list_of(g, n, k->key, &v));
	for (size_t i = 0; i < v.n; i++) {
		if (strcmp(v.v[i], "set_model_output_int8"))
			return config_error(g, n, k->key, "'%s' is not taken here; only set_model_output_int8", v.v[i]);
		HB_TRY(option_set(g->c, O_int8_outputs, NULL, k->key));
	}
	return HB_OK;
}

static hb_status
input_source(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	if (s)
		return strcmp(s, "ddr") ? config_error(g, n, k->key, "'%s' is not taken here; only ddr", s) : HB_OK;
	if (n->type != YAML_MAPPING_NODE)
		return config_error(g, n, k->key, "takes {input: ddr}");
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
		const char *v = scalar(node_at(g, p->value));

		if (!v || strcmp(v, "ddr"))
			return config_error(g, n, k->key, "'%s' is not taken here; only ddr", v ? v : "a list");
	}
	return HB_OK;
}

/* ---- quant_parameters ---- */

static hb_status
rule_value(config *g, qrule *r, yaml_node_t *n, const char *key, const char *s)
{
	double x;

	if (!s)
		return config_error(g, n, key, "takes one value");
	if (!strcmp(key, "dtype")) {
		r->q.none = !strcmp(s, "none") || !strcmp(s, "float32");
		r->q.dtype = !strcmp(s, "qint16") ? HB_I16 : HB_I8;
		r->has_dtype = true;
		if (!r->q.none && strcmp(s, "qint8") && strcmp(s, "qint16"))
			return config_error(g, n, key, "'%s' is none of qint8, qint16, none", s);
		return HB_OK;
	}
	if (!strcmp(key, "observer")) {
		r->has_kind = true;
		return hb_observer_kind_of(s, &r->q.observer.kind)
			       ? HB_OK
			       : config_error(g, n, key, "unknown observer '%s'", s);
	}
	if (strcmp(key, "percentile") && strcmp(key, "averaging_constant") && strcmp(key, "scale"))
		return config_error(g, n, key,
				    "unknown key; dtype, observer, percentile, averaging_constant, scale are taken");
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
rules_of(config *g, rule_level level, yaml_node_t *n, const char *key)
{
	if (n->type != YAML_MAPPING_NODE)
		return config_error(g, n, key, "takes a mapping of names");
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
		const char *match = scalar(node_at(g, p->key));
		yaml_node_t *v = node_at(g, p->value);

		if (!match || v->type != YAML_MAPPING_NODE)
			return config_error(g, v, match ? match : key, "takes a mapping: dtype, observer, ...");
		if (!HB_GROW(g->c->arena, &g->rules, &g->cap_rules, g->nrules + 1))
			return hb_nomem(g->c->cx, NULL);
		qrule *r = &g->rules[g->nrules++];
		*r = (qrule){.level = level, .match = match, .literal = strcspn(match, "*?[")};
		for (yaml_node_pair_t *q = v->data.mapping.pairs.start; q < v->data.mapping.pairs.top; q++) {
			const char *k = scalar(node_at(g, q->key));
			yaml_node_t *value = node_at(g, q->value);

			if (!k)
				return config_error(g, value, match, "has a key that is no word");
			HB_TRY(rule_value(g, r, value, k, scalar(value)));
		}
	}
	return HB_OK;
}

static hb_status
op_rules(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	(void)s;
	return rules_of(g, RULE_OP, n, k->key);
}

static hb_status
node_rules(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	(void)s;
	return rules_of(g, RULE_NODE, n, k->key);
}

static hb_status
tensor_rules(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	(void)s;
	return rules_of(g, RULE_TENSOR, n, k->key);
}

#define FIELD(f) .at = offsetof(config, f)
static const key_row keys[] = {
	{.group = "model_parameters", .key = "onnx_model", .fn = model_file},
	{.group = "model_parameters", .key = "march", .fn = set_option, .option = O_march},
	{.group = "model_parameters", .key = "output_model_file_prefix", .fn = keep, FIELD(prefix)},
	{.group = "model_parameters", .key = "working_dir", .fn = keep, FIELD(working_dir)},
	{.group = "model_parameters", .key = "layer_out_dump", .fn = take_only, .only = "False"},
	{.group = "model_parameters", .key = "log_level", .fn = warn, .only = "has no meaning here"},

	{.group = "input_parameters", .key = "input_name", .fn = keep_list, FIELD(names)},
	{.group = "input_parameters", .key = "input_type_train", .fn = keep_list, FIELD(train_types)},
	{.group = "input_parameters", .key = "input_layout_train", .fn = keep_list, FIELD(train_layouts)},
	{.group = "input_parameters",
	 .key = "input_type_rt",
	 .fn = warn,
	 .only = "the compiled model takes what the ONNX model takes"},
	{.group = "input_parameters", .key = "input_layout_rt", .fn = set_option, .option = O_input_layout},
	{.group = "input_parameters", .key = "input_space_and_range", .fn = take_only, .only = "regular"},
	{.group = "input_parameters", .key = "input_shape", .fn = keep_list, FIELD(shapes)},
	{.group = "input_parameters", .key = "input_batch", .fn = take_only, .only = "1"},
	{.group = "input_parameters", .key = "norm_type", .fn = keep_list, FIELD(norm_types)},
	{.group = "input_parameters", .key = "mean_value", .fn = keep_list, FIELD(means)},
	{.group = "input_parameters", .key = "scale_value", .fn = keep_list, FIELD(scales)},

	{.group = "calibration_parameters", .key = "cal_data_dir", .fn = keep_list, FIELD(folders)},
	{.group = "calibration_parameters", .key = "cal_data_type", .fn = keep, FIELD(cal_data_type)},
	{.group = "calibration_parameters", .key = "preprocess_on", .fn = take_only, .only = "False"},
	{.group = "calibration_parameters", .key = "calibration_type", .fn = calibration_type},
	{.group = "calibration_parameters", .key = "max_percentile", .fn = max_percentile, .option = O_percentile},
	{.group = "calibration_parameters", .key = "per_channel", .fn = take_only, .only = "False"},
	{.group = "calibration_parameters", .key = "run_on_cpu", .fn = set_list, .option = O_run_on_cpu},
	{.group = "calibration_parameters", .key = "run_on_bpu", .fn = set_list, .option = O_run_on_bpu},
	{.group = "calibration_parameters", .key = "optimization", .fn = optimization},

	{.group = "compiler_parameters", .key = "compile_mode", .fn = take_only, .only = "latency"},
	{.group = "compiler_parameters",
	 .key = "debug",
	 .fn = warn,
	 .only = "has no meaning here: reports always have their layers"},
	{.group = "compiler_parameters", .key = "core_num", .fn = set_option, .option = O_core_num},
	{.group = "compiler_parameters", .key = "optimize_level", .fn = set_level, .option = O_level},
	{.group = "compiler_parameters", .key = "input_source", .fn = input_source},
	{.group = "compiler_parameters", .key = "max_time_per_fc", .fn = take_only, .only = "0"},
	{.group = "compiler_parameters", .key = "jobs", .fn = set_option, .option = O_jobs},

	{.group = "quant_parameters", .key = "dtype", .fn = set_option, .option = O_dtype},
	{.group = "quant_parameters", .key = "observer", .fn = set_option, .option = O_observer},
	{.group = "quant_parameters", .key = "percentile", .fn = set_option, .option = O_percentile},
	{.group = "quant_parameters", .key = "round", .fn = set_option, .option = O_round},
	{.group = "quant_parameters", .key = "scale_divisor", .fn = set_option, .option = O_scale_divisor},
	{.group = "quant_parameters", .key = "op_type", .fn = op_rules},
	{.group = "quant_parameters", .key = "node_name", .fn = node_rules},
	{.group = "quant_parameters", .key = "tensor", .fn = tensor_rules},
};

static hb_status
group_read(config *g, const char *group, yaml_node_t *n)
{
	bool known = false;

	for (size_t i = 0; i < HB_LEN(keys); i++)
		known |= !strcmp(keys[i].group, group);
	if (!known)
		return config_error(
			g, n, group,
			"unknown group; model_, input_, calibration_, compiler_ and quant_parameters are taken");
	if (n->type == YAML_SCALAR_NODE && !*n->data.scalar.value)
		return HB_OK;
	if (n->type != YAML_MAPPING_NODE)
		return config_error(g, n, group, "takes keys and values");
	hb_status st = HB_OK;
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
		yaml_node_t *k = node_at(g, p->key), *v = node_at(g, p->value);
		const char *name = scalar(k);
		const key_row *row = NULL;

		for (size_t i = 0; name && i < HB_LEN(keys); i++)
			if (!strcmp(keys[i].group, group) && !strcmp(keys[i].key, name))
				row = &keys[i];
		hb_status one = row ? row->fn(g, row, v, scalar(v))
				    : config_error(g, k, group, "unknown key '%s'", name ? name : "");
		st = st == HB_OK ? one : st;
	}
	return st;
}

/* What needs several keys: shapes and folders by input name, the output's path. */
static hb_status
combine(config *g)
{
	cli *c = g->c;

	for (size_t i = 0; i < g->shapes.n && !g->said[O_input_shape]; i++) {
		const char *s = i < g->names.n ? hb_arena_printf(c->arena, "%s:%s", g->names.v[i], g->shapes.v[i])
					       : g->shapes.v[i];

		HB_TRY(option_set(c, O_input_shape, s, "input_shape"));
	}
	bool given = calib_given(c) || g->no_samples || !command_takes(c->cmd, O_calib);
	for (size_t i = 0; i < g->folders.n && !given; i++) {
		const char *s = g->folders.n > 1 && i < g->names.n
					? hb_arena_printf(c->arena, "%s=%s", g->names.v[i], g->folders.v[i])
					: g->folders.v[i];

		HB_TRY(option_set(c, O_calib, s, "cal_data_dir"));
	}
	if (g->percentile_given && g->calibration_type && !strcmp(g->calibration_type, "max") && !g->said[O_observer])
		HB_TRY(option_set(c, O_observer, "percentile", "max_percentile"));
	if (g->prefix && !g->said[O_output] && !strcmp(c->cmd->name, "compile") && !c->a.emit)
		HB_TRY(option_set(c, O_output,
				  hb_arena_printf(c->arena, "%s%s%s.hbm", g->working_dir ? g->working_dir : "",
						  g->working_dir ? "/" : "", g->prefix),
				  "output_model_file_prefix"));
	return HB_OK;
}

hb_status
config_read(cli *c)
{
	enum { LONGEST = 1 << 20 };
	yaml_parser_t parser;
	yaml_document_t *doc;
	config *g = HB_NEW(c->arena, config);
	hb_file *f;

	doc = HB_NEW(c->arena, yaml_document_t);
	if (!g || !doc)
		return hb_nomem(c->cx, NULL);
	*g = (config){.c = c, .doc = doc, .path = c->a.config};
	memcpy(g->said, c->set, sizeof(g->said));
	c->cx->file = c->a.config;
	HB_TRY(hb_file_map(c->cx, c->a.config, &f));
	if (f->size > LONGEST)
		return hb_error(c->cx, HB_ERR_USAGE, NULL, "config", "has %zu bytes; at most 1 MiB is taken", f->size);
	g->crc = (uint32_t)crc32_z(0, f->p, f->size);
	if (!yaml_parser_initialize(&parser))
		return hb_nomem(c->cx, NULL);
	yaml_parser_set_input_string(&parser, f->p, f->size);
	if (!yaml_parser_load(&parser, doc)) {
		hb_status st = hb_error(c->cx, HB_ERR_USAGE,
					hb_arena_printf(c->arena, "line %zu", parser.problem_mark.line + 1), "config",
					"is no YAML: %s", parser.problem ? parser.problem : "unreadable");

		yaml_parser_delete(&parser);
		return st;
	}
	yaml_parser_delete(&parser);
	c->cx->file = NULL;
	hb_status st = HB_OK;
	yaml_node_t *root = yaml_document_get_root_node(doc);
	if (root && root->type != YAML_MAPPING_NODE)
		st = config_error(g, root, NULL, "takes groups of keys");
	/* every problem is told in one go */
	for (yaml_node_pair_t *p = root && st == HB_OK ? root->data.mapping.pairs.start : NULL;
	     p && p < root->data.mapping.pairs.top; p++) {
		const char *group = scalar(node_at(g, p->key));
		hb_status one = group ? group_read(g, group, node_at(g, p->value))
				      : config_error(g, node_at(g, p->key), NULL, "has a group whose name is no word");

		st = st == HB_OK ? one : st;
	}
	if (st == HB_OK)
		st = combine(g);
	/* scalars are referred to: the document lives until config_free */
	c->cfg = g;
	return st;
}

bool
config_crc(const cli *c, uint32_t *crc)
{
	if (!c->cfg || !c->cfg->nrules)
		return false;
	*crc = c->cfg->crc;
	return true;
}

void
config_free(cli *c)
{
	if (c->cfg)
		yaml_document_delete(c->cfg->doc);
	c->cfg = NULL;
}

/* ---- what the pipeline asks ---- */

static void
overlay(hb_qconfig *q, const qrule *r)
{
	if (r->has_dtype) {
		q->dtype = r->q.dtype;
		q->none = r->q.none;
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
}

/* The rule of a level that fits best: the longest literal prefix, of equals the later. */
static const qrule *
best_rule(const config *g, rule_level level, const char *name)
{
	const qrule *best = NULL;

	for (size_t i = 0; name && i < g->nrules; i++) {
		const qrule *r = &g->rules[i];

		if (r->level == level && (!best || r->literal >= best->literal) && !fnmatch(r->match, name, 0))
			best = r;
	}
	return best;
}

void
config_base(cli *c, const hb_qconfig *q)
{
	if (c->cfg)
		c->cfg->base = *q;
}

const hb_qconfig *
config_quant(void *arg, const hb_node *n, const hb_tensor *t)
{
	config *g = arg;
	const qrule *hit[] = {n ? best_rule(g, RULE_OP, n->op_type) : NULL, n ? best_rule(g, RULE_NODE, n->name) : NULL,
			      t ? best_rule(g, RULE_TENSOR, t->name) : NULL};
	hb_qconfig *q = NULL;

	for (size_t i = 0; i < HB_LEN(hit); i++) {
		if (!hit[i])
			continue;
		if (!q && (q = HB_NEW(g->c->arena, hb_qconfig)))
			*q = g->base;
		if (q)
			overlay(q, hit[i]);
	}
	return q;
}

static int
numbers(const strings *s, size_t i, float out[4])
{
	int n = 0;

	if (i >= s->n || !strcmp(s->v[i], "None"))
		return 0;
	for (const char *p = s->v[i]; *p && n < 4; n++) {
		char *end;

		out[n] = strtof(p, &end);
		if (end == p)
			break;
		p = end + strspn(end, " ,");
	}
	return n;
}

void
config_norm(const cli *c, size_t i, input_norm *out)
{
	const config *g = c->cfg;

	*out = (input_norm){0};
	if (!g)
		return;
	const char *type = i < g->train_types.n ? g->train_types.v[i] : "rgb";
	const char *norm = i < g->norm_types.n ? g->norm_types.v[i] : "no_preprocess";
	out->nhwc = i < g->train_layouts.n && !strcmp(g->train_layouts.v[i], "NHWC");
	out->bgr = !strcmp(type, "bgr");
	if (strstr(norm, "mean"))
		out->nmean = numbers(&g->means, i, out->mean);
	if (strstr(norm, "scale"))
		out->nscale = numbers(&g->scales, i, out->scale);
}

bool
config_raw_uint8(const cli *c)
{
	return c->cfg && c->cfg->cal_data_type && !strcmp(c->cfg->cal_data_type, "uint8");
}
