/* config.c: --config: hb_mapper's makertbin groups as they are, and quant_parameters (hbcc-config(5)).
 * What the command line says stands; the file fills in what it does not say. */
#include "cli/config.h"

#include <stdlib.h>
#include <strings.h>
#include <zlib.h>


hb_status
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

yaml_node_t *
config_node(config *g, int index)
{
	return yaml_document_get_node(g->doc, index);
}

const char *
config_scalar(const yaml_node_t *n)
{
	return n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

/* "a; b" or a sequence of scalars. */
hb_status
config_list(config *g, yaml_node_t *n, const char *key, strings *out)
{
	if (n->type == YAML_SEQUENCE_NODE) {
		for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++) {
			const char *s = config_scalar(config_node(g, *i));

			if (!s)
				return config_error(g, n, key, "takes a list of words");
			HB_TRY(strings_add(g->c, out, s));
		}
		return HB_OK;
	}
	const char *s = config_scalar(n);
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

	HB_TRY(config_list(g, n, k->key, &v));
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
	return config_list(g, n, k->key, (strings *)((char *)g + k->at));
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
	static const char *const taken = "default|mix|kl|max|load|skip|minmax|moving|percentile|mse|histogram";

	if (!s)
		return config_error(g, n, k->key, "takes one value");
	if (!strcmp(s, "skip")) {
		g->no_samples = true;
		return HB_OK;
	}
	if (g->said[O_observer])
		return HB_OK;
	hb_observer_kind kind;
	if (!hb_observer_kind_of(s, &kind) && strcmp(s, "load"))
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
set_flag(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	if (s && !strcasecmp(s, "False"))
		return HB_OK;
	if (!s || strcasecmp(s, "True"))
		return config_error(g, n, k->key, "takes True or False");
	return option_set(g->c, k->option, NULL, k->key);
}

static hb_status
refuse(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	return s && !*s ? HB_OK : config_error(g, n, k->key, "%s", k->only);
}

/* True is the default: conv and gemm that are a model output stay int32. */
static hb_status
high_precision(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	if (s && !strcasecmp(s, "True"))
		return HB_OK;
	if (!s || strcasecmp(s, "False"))
		return config_error(g, n, k->key, "takes True or False");
	return option_set(g->c, O_int8_outputs, NULL, k->key);
}

/* set_model_output_int8, set_model_output_int16, set_OP_input_int16, ... */
static hb_status
optimization(config *g, const key_row *k, yaml_node_t *n, const char *s)
{
	strings v = {0};

	(void)s;
	HB_TRY(config_list(g, n, k->key, &v));
	for (size_t i = 0; i < v.n; i++) {
		if (!strcmp(v.v[i], "set_model_output_int8"))
			HB_TRY(option_set(g->c, O_int8_outputs, NULL, k->key));
		else
			HB_TRY(qrules_optimization(g, n, k->key, v.v[i]));
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
		const char *v = config_scalar(config_node(g, p->value));

		if (!v || strcmp(v, "ddr"))
			return config_error(g, n, k->key, "'%s' is not taken here; only ddr", v ? v : "a list");
	}
	return HB_OK;
}

#define FIELD(f) .at = offsetof(config, f)
static const key_row keys[] = {
	{.group = "model_parameters", .key = "onnx_model", .fn = model_file},
	{.group = "model_parameters", .key = "march", .fn = set_option, .option = O_march},
	{.group = "model_parameters", .key = "output_model_file_prefix", .fn = keep, FIELD(prefix)},
	{.group = "model_parameters", .key = "working_dir", .fn = keep, FIELD(working_dir)},
	{.group = "model_parameters", .key = "layer_out_dump", .fn = take_only, .only = "False"},
	{.group = "model_parameters", .key = "prototxt", .fn = refuse, .only = "Caffe models are not read; onnx_model names an ONNX model"},
	{.group = "model_parameters", .key = "caffe_model", .fn = refuse, .only = "Caffe models are not read; onnx_model names an ONNX model"},
	{.group = "model_parameters", .key = "node_info", .fn = qrules_node_info},
	{.group = "model_parameters", .key = "set_node_data_type", .fn = qrules_data_type},
	{.group = "model_parameters", .key = "output_nodes", .fn = keep_list, FIELD(output_nodes)},
	{.group = "model_parameters", .key = "remove_node_type", .fn = keep_list, FIELD(remove_types)},
	{.group = "model_parameters", .key = "remove_node_name", .fn = keep_list, FIELD(remove_names)},
	{.group = "model_parameters", .key = "debug_mode", .fn = warn, .only = "has no meaning here: --save-stats and --save-ranges keep what calibration saw"},
	{.group = "model_parameters", .key = "log_level", .fn = warn, .only = "has no meaning here"},

	{.group = "input_parameters", .key = "input_name", .fn = keep_list, FIELD(names)},
	{.group = "input_parameters", .key = "input_type_train", .fn = keep_list, FIELD(train_types)},
	{.group = "input_parameters", .key = "input_layout_train", .fn = keep_list, FIELD(train_layouts)},
	{.group = "input_parameters", .key = "input_type_rt", .fn = keep_list, FIELD(rt_types)},
	{.group = "input_parameters", .key = "input_layout_rt", .fn = set_option, .option = O_input_layout},
	{.group = "input_parameters", .key = "input_space_and_range", .fn = keep_list, FIELD(spaces)},
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
	{.group = "calibration_parameters", .key = "per_channel", .fn = set_flag, .option = O_per_channel},
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
	{.group = "quant_parameters", .key = "averaging_constant", .fn = set_option, .option = O_averaging_constant},
	{.group = "quant_parameters", .key = "weight_observer", .fn = set_option, .option = O_weight_observer},
	{.group = "quant_parameters", .key = "weight_dtype", .fn = qrules_weight_dtype},
	{.group = "quant_parameters", .key = "high_precision_output", .fn = high_precision},
	{.group = "quant_parameters", .key = "round", .fn = set_option, .option = O_round},
	{.group = "quant_parameters", .key = "affine", .fn = set_option, .option = O_affine},
	{.group = "quant_parameters", .key = "scale_divisor", .fn = set_option, .option = O_scale_divisor},
	{.group = "quant_parameters", .key = "op_type", .fn = qrules_op},
	{.group = "quant_parameters", .key = "node_name", .fn = qrules_node},
	{.group = "quant_parameters", .key = "tensor", .fn = qrules_tensor},
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
		yaml_node_t *k = config_node(g, p->key), *v = config_node(g, p->value);
		const char *name = config_scalar(k);
		const key_row *row = NULL;

		for (size_t i = 0; name && i < HB_LEN(keys); i++)
			if (!strcmp(keys[i].group, group) && !strcmp(keys[i].key, name))
				row = &keys[i];
		hb_status one = row ? row->fn(g, row, v, config_scalar(v))
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

static hb_status check_types(config *g);

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
	yaml_parser_set_input_string(&parser, f->p ? f->p : (const uint8_t *)"", f->size);
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
		const char *group = config_scalar(config_node(g, p->key));
		hb_status one = group ? group_read(g, group, config_node(g, p->value))
				      : config_error(g, config_node(g, p->key), NULL, "has a group whose name is no word");

		st = st == HB_OK ? one : st;
	}
	if (st == HB_OK)
		st = check_types(g);
	if (st == HB_OK)
		st = combine(g);
	/* scalars are referred to: the document lives until config_free */
	c->cfg = g;
	return st;
}

static void
remove_nodes(cli *c, hb_graph *g, const strings *words, bool by_type)
{
	for (size_t i = 0; i < words->n; i++) {
		const char *w = words->v[i];

		/* the compiled model takes and gives integers at its borders as it is */
		if (by_type && (!strcmp(w, "Quantize") || !strcmp(w, "Dequantize")))
			continue;
		if (!hb_pass_trim(g, w, by_type))
			hb_warn(c->cx, by_type ? "remove_node_type" : "remove_node_name", "config", "no node '%s' stands alone at an input or an output", w);
	}
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

/* Values of a list of input_parameters for input `name`, number i. */
static size_t
index_of(const config *g, const char *name, size_t i)
{
	for (size_t k = 0; k < g->names.n; k++)
		if (!strcmp(g->names.v[k], name))
			return k;
	return i;
}

static const char *
value_of(const strings *s, size_t i, const char *none)
{
	return i < s->n ? s->v[i] : none;
}

bool
config_camera(const cli *c, const char *name, size_t at, hb_camera *out)
{
	const config *g = c->cfg;
	size_t i = g ? index_of(g, name, at) : 0;

	*out = (hb_camera){0};
	if (!g || i >= g->rt_types.n)
		return false;
	const char *norm = value_of(&g->norm_types, i, "no_preprocess");
	out->nhwc = !strcmp(value_of(&g->train_layouts, i, "NCHW"), "NHWC");
	out->video = !strcmp(value_of(&g->spaces, i, "regular"), "bt601_video");
	if (strstr(norm, "mean"))
		out->nmean = numbers(&g->means, i, out->mean);
	if (strstr(norm, "scale"))
		out->nscale = numbers(&g->scales, i, out->scale);
	return hb_pixels_of(value_of(&g->train_types, i, "rgb"), &out->train) && hb_pixels_of(g->rt_types.v[i], &out->rt);
}

/* Words and pairs of input_parameters, once all are read. */
static hb_status
check_types(config *g)
{
	static const char *const norms[] = { "no_preprocess", "data_mean", "data_scale", "data_mean_and_scale" };
	hb_ctx *cx = g->c->cx;

	for (size_t i = 0; i < g->norm_types.n; i++) {
		bool known = false;

		for (size_t k = 0; k < HB_LEN(norms); k++)
			known |= !strcmp(norms[k], g->norm_types.v[i]);
		if (!known)
			return hb_error(cx, HB_ERR_USAGE, "norm_type", "config", "'%s' is none of no_preprocess, data_mean, data_scale, data_mean_and_scale",
					g->norm_types.v[i]);
	}
	for (size_t i = 0; i < g->rt_types.n; i++) {
		const char *train = value_of(&g->train_types, i, "rgb"), *rt = g->rt_types.v[i];
		hb_camera k = {0};

		if (!hb_pixels_of(rt, &k.rt) || !hb_pixels_of(train, &k.train))
			return hb_error(cx, HB_ERR_USAGE, "input_type_rt", "config", "'%s' of '%s' is not taken; rgb, bgr, yuv444, nv12, gray and featuremap are",
					rt, train);
		if (!hb_camera_is_legal(&k))
			return hb_error(cx, HB_ERR_USAGE, "input_type_rt", "config",
					"a model trained on %s takes no %s; rgb and bgr go with nv12, yuv444, rgb and bgr, yuv444 with nv12 and yuv444, others with themselves",
					train, rt);
		if (strcmp(value_of(&g->spaces, i, "regular"), "regular") &&
		    (strcmp(value_of(&g->spaces, i, "regular"), "bt601_video") || k.rt != HB_PIXELS_NV12))
			return hb_error(cx, HB_ERR_USAGE, "input_space_and_range", "config", "'%s' is not taken with %s; regular, and with nv12 bt601_video, are",
					g->spaces.v[i], rt);
	}
	return HB_OK;
}

/* Inputs that take what a camera gives, or values before mean and scale. */
static hb_status
take_cameras(cli *c, hb_graph *g)
{
	for (size_t i = 0; i < g->ninputs; i++) {
		const char *name = g->inputs[i]->name;
		hb_camera k;

		if (hb_meta_get(g->meta, camera_key(c, name)) || !config_camera(c, name, i, &k))
			continue;
		HB_TRY(hb_pass_camera(g, i, &k));
		if (k.rt == HB_PIXELS_FEATUREMAP)
			continue;
		const char *text = camera_text(c, &k, c->a.input_layout ? c->a.input_layout : "NHWC");
		if (!text || !hb_meta_set(g->arena, &g->meta, camera_key(c, name), text))
			return hb_nomem(c->cx, name);
		HB_TRY(strings_add(c, &c->cfg->cameras, name));
	}
	return HB_OK;
}

hb_status
config_edit(cli *c, hb_graph *g)
{
	const config *cfg = c->cfg;

	if (!cfg)
		return HB_OK;
	HB_TRY(take_cameras(c, g));
	if (cfg->output_nodes.n)
		HB_TRY(hb_pass_set_outputs(g, cfg->output_nodes.v, cfg->output_nodes.n));
	remove_nodes(c, g, &cfg->remove_types, true);
	remove_nodes(c, g, &cfg->remove_names, false);
	return HB_OK;
}

bool
config_said(const cli *c, opt_id id)
{
	return c->cfg ? c->cfg->said[id] : c->set[id];
}

void
config_free(cli *c)
{
	if (c->cfg)
		yaml_document_delete(c->cfg->doc);
	c->cfg = NULL;
}

/* ---- what the pipeline asks ---- */

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
	/* with input_type_rt they are the model's */
	if (strstr(norm, "mean") && i >= g->rt_types.n)
		out->nmean = numbers(&g->means, i, out->mean);
	if (strstr(norm, "scale") && i >= g->rt_types.n)
		out->nscale = numbers(&g->scales, i, out->scale);
}

bool
config_raw_uint8(const cli *c)
{
	return c->cfg && c->cfg->cal_data_type && !strcmp(c->cfg->cal_data_type, "uint8");
}
