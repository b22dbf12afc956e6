/* pipeline.c: the way of a model, as far as several commands go it together. */
#include "cli/cli.h"

#include "lib/hbm/hbm.h"

#include <sys/stat.h>

/* ---- reading ---- */

static hb_status
shape_parse(cli *c, const char *text, hb_shape *s)
{
	*s = (hb_shape){0};
	if (!strcmp(text, "scalar"))
		return HB_OK;
	for (const char *p = text;; p++) {
		char num[24];
		size_t n = strspn(p, "0123456789");

		if (!n || n >= sizeof(num) || s->rank == HB_MAX_RANK)
			return HB_ERR_USAGE;
		memcpy(num, p, n);
		num[n] = 0;
		if (!hb_parse_i64(num, &s->dim[s->rank++]))
			return HB_ERR_USAGE;
		p += n;
		if (!*p)
			return HB_OK;
		if (*p != 'x' && *p != ',')
			return HB_ERR_USAGE;
	}
	(void)c;
}

hb_status
import_options(cli *c, hb_import_options *out)
{
	size_t n = c->a.input_shape.n;
	hb_input_shape *v = HB_NEW_N(c->arena, hb_input_shape, n ? n : 1);

	if (!v)
		return hb_nomem(c->cx, NULL);
	for (size_t i = 0; i < n; i++) {
		const char *said = c->a.input_shape.v[i], *colon = strrchr(said, ':');

		v[i].name = colon ? hb_arena_strn(c->arena, said, (size_t)(colon - said)) : NULL;
		if (shape_parse(c, colon ? colon + 1 : said, &v[i].shape) != HB_OK)
			return hb_error(c->cx, HB_ERR_USAGE, "--input-shape", "input-shape",
					"'%s' is no shape; NAME:1x3x224x224 is taken", said);
	}
	*out = (hb_import_options){.shapes = v, .nshapes = n, .shapes_by_order = true};
	return HB_OK;
}

hb_status
onnx_check(cli *c, const char *path)
{
	if (!is_hbm(path))
		return HB_OK;
	c->cx->file = path;
	return hb_error(c->cx, HB_ERR_INPUT, NULL, "onnx", "is an .hbm; an ONNX model is taken here");
}

hb_status
model_read(cli *c, const char *path, hb_graph **out)
{
	hb_import_options o;

	HB_TRY(onnx_check(c, path));
	c->cx->file = path;
	HB_TRY(import_options(c, &o));
	HB_TRY(hb_onnx_read(c->cx, path, &o, out));
	HB_TRY(hb_pass_shapes(*out, false));
	return config_edit(c, *out);
}

const char *
form_name(form f)
{
	static const char *const names[] = {[FORM_ONNX] = "onnx", [FORM_FUSED] = "fused", [FORM_QDQ] = "qdq",
					    [FORM_HBIR] = "hbir", [FORM_PLAN] = "plan",   [FORM_HBM] = "hbm"};

	return names[f];
}

form
graph_form(const hb_graph *g)
{
	form f = FORM_ONNX;

	for (const hb_node *n = g->first; n; n = n->next) {
		if (!strcmp(n->domain, "hbcc"))
			return FORM_HBIR;
		if (!strcmp(n->op_type, "DequantizeLinear"))
			f = FORM_QDQ;
	}
	return f;
}

/* ---- options that several commands share ---- */

/* Is --march a file of the user's rather than a name? */
static bool
march_is_file(const char *s)
{
	size_t n = s ? strlen(s) : 0;

	return n && (strchr(s, '/') || (n > 5 && !strcmp(s + n - 5, ".yaml")) || (n > 4 && !strcmp(s + n - 4, ".yml")));
}

hb_status
march_get(cli *c, bool required, const hb_march **out)
{
	hb_buf b = {.cx = c->cx};
	hb_status st;

	*out = NULL;
	if (!c->a.march && !required)
		return HB_OK;
	if (march_is_file(c->a.march))
		return hb_march_load(c->cx, c->a.march, out);
	if (c->a.march && (*out = hb_march_find(c->a.march)))
		return HB_OK;
	for (size_t i = 0; hb_march_at(i); i++)
		hb_buf_printf(&b, "%s%s", i ? ", " : "", hb_march_at(i)->name);
	st = c->a.march ? hb_error(c->cx, HB_ERR_USAGE, "--march", "march", "'%s' is none of %s", c->a.march,
				   b.p ? b.p : "")
			: hb_error(c->cx, HB_ERR_USAGE, "--march", "march", "say for which machine: one of %s",
				   b.p ? b.p : "");
	hb_buf_free(&b);
	return st;
}

/* Options against the march, before any work. */
/* An observer's argument with another observer; rules of a configuration may name theirs. */
static hb_status
observer_check(cli *c)
{
	static const struct {
		opt_id id;
		const char *with, *or;
	} rows[] = {{O_percentile, "percentile", "mix"}, {O_averaging_constant, "moving", "moving"}};
	const char *is = c->a.observer ? c->a.observer : "mse";

	for (size_t i = 0; i < HB_LEN(rows); i++)
		if (c->set[rows[i].id] && (c->a.observer || !c->cfg) && strcmp(is, rows[i].with) && strcmp(is, rows[i].or))
			return hb_error(c->cx, HB_ERR_USAGE, hb_arena_printf(c->arena, "--%s", option_rows[rows[i].id].name), "option",
					"goes with --observer %s, not %s", rows[i].with, is);
	return HB_OK;
}

hb_status
options_check(cli *c, const hb_march *m)
{
	hb_observer_kind kind;

	if (c->a.observer && !hb_observer_kind_of(c->a.observer, &kind) && strcmp(c->a.observer, "load") && strcmp(c->a.observer, "skip"))
		return hb_error(c->cx, HB_ERR_USAGE, "--observer", "option", "unknown observer '%s'", c->a.observer);
	HB_TRY(improve_check(c, m));
	if (m && c->a.dtype && !strcmp(c->a.dtype, "qint16") && !m->fig.int16)
		return hb_error(c->cx, HB_ERR_USAGE, "--dtype", "march", "%s has no qint16 activations", m->name);
	return observer_check(c);
}

/* An error on the command line; an entry of the configuration may be for another model. */
static hb_status
unknown_name(cli *c, const hb_graph *g, const char *option, const char *name, bool by_config)
{
	near_names near = { .wanted = name };
	char text[1024];

	for (const hb_node *n = g->first; n; n = n->next) {
		names_near(&near, n->name);
		names_near(&near, n->op_type);
	}
	near_text(&near, text, sizeof(text));
	if (!by_config)
		return hb_error(c->cx, HB_ERR_USAGE, option, "option", "'%s' is neither a node of the model nor an operator%s", name, text);
	hb_warn(c->cx, option, "config", "'%s' is neither a node of the model nor an operator%s", name, text);
	return HB_OK;
}

/* Each name is one of a node or of an operator, and on one side only. */
static hb_status
names_check(cli *c, const hb_graph *g)
{
	const strings *side[] = { &c->a.run_on_bpu, &c->a.run_on_cpu };
	static const char *const option[] = { "--run-on-bpu", "--run-on-cpu" };

	for (size_t k = 0; k < HB_LEN(side); k++)
		for (size_t i = 0; i < side[k]->n; i++) {
			const char *name = side[k]->v[i];
			bool known = false;

			for (size_t j = 0; !k && j < side[1]->n; j++)
				if (!strcmp(name, side[1]->v[j]))
					return hb_error(c->cx, HB_ERR_USAGE, option[0], "option", "--run-on-cpu names '%s' too", name);
			for (const hb_node *n = g->first; n && !known; n = n->next)
				known = !strcmp(name, n->name) || !strcmp(name, n->op_type);
			for (size_t j = 0; !known && hb_op_at(j); j++)
				known = !strcmp(name, hb_op_at(j)->name);
			if (!known)
				HB_TRY(unknown_name(c, g, option[k], name, !config_said(c, k ? O_run_on_cpu : O_run_on_bpu)));
		}
	return HB_OK;
}

hb_status
model_place(cli *c, hb_graph *g, const hb_march *m)
{
	hb_place_options o = {.run_on_bpu = c->a.run_on_bpu.v,
			      .nbpu = c->a.run_on_bpu.n,
			      .run_on_cpu = c->a.run_on_cpu.v,
			      .ncpu = c->a.run_on_cpu.n,
			      .no_samples = !calib_given(c)};

	HB_TRY(options_check(c, m));
	HB_TRY(names_check(c, g));
	HB_TRY(origin_requests(c, g, &o));
	HB_TRY(hb_pass_simplify(g));
	HB_TRY(hb_pass_absorb(g, affine(c)));
	HB_TRY(hb_pass_recognise(g));
	HB_TRY(hb_pass_expand(g, m));
	HB_TRY(hb_pass_fuse(g));
	HB_TRY(config_rules_check(c, g, m));
	strings on_cpu = {0};
	for (size_t i = 0; i < o.ncpu; i++)
		HB_TRY(strings_add(c, &on_cpu, o.run_on_cpu[i]));
	HB_TRY(config_excluded(c, g, &on_cpu));
	o.run_on_cpu = on_cpu.v;
	o.ncpu = on_cpu.n;
	return hb_pass_place(g, m, &o);
}

hb_status
model_refuse(cli *c, hb_graph *g, const hb_march *m)
{
	hb_status st = HB_OK;
	hb_finding *limits;
	bool bpu = false;

	HB_TRY(hb_march_check_model(g, m, &limits));
	for (const hb_finding *f = limits; f; f = f->next)
		if (f->broken)
			st = hb_error(c->cx, HB_ERR_NO, NULL, "march", "breaks '%s' of %s (%s): %s", f->rule, m->name, f->source,
				      f->found);

	for (const hb_node *n = g->first; n; n = n->next) {
		const hb_finding *f = n->findings;

		bpu |= n->on == HB_ON_BPU;
		if (n->on == HB_ON_NONE)
			st = hb_fail(c->cx, n, HB_ERR_NO, "place", "no place runs it: %s; found %s",
				     f ? f->rule : "no kernel", f && f->found ? f->found : "--");
	}
	if (st == HB_OK && !g->first)
		return hb_error(c->cx, HB_ERR_NO, NULL, "place", "there is nothing to run: every output is constant");
	if (st == HB_OK && !bpu)
		st = hb_error(c->cx, HB_ERR_NO, NULL, "place",
			      "no node is for the BPU; hbcc check --march %s tells why",
			      c->a.march ? c->a.march : "NAME");
	return st;
}

hb_affine
affine(const cli *c)
{
	return c->a.affine && !strcmp(c->a.affine, "exact") ? HB_AFFINE_EXACT : HB_AFFINE_SYMMETRIC;
}

hb_round
rounding(const cli *c)
{
	return c->a.round && !strcmp(c->a.round, "half_up") ? HB_HALF_UP : HB_HALF_EVEN;
}

hb_status
model_calibrate(cli *c, hb_graph *g, const hb_march *m)
{
	hb_calib_options o = {
		.activations = {.dtype = HB_I8,
				.observer = {.kind = HB_OBS_MSE, .percentile = 0.9999, .averaging_constant = 0.01}},
		.divisor_qmax = c->a.scale_divisor && !strcmp(c->a.scale_divisor, "qmax"),
		.march = m,
		.low_precision_output = c->a.int8_outputs,
		.no_bias_correction = c->a.no_bias_correction,
		.channels = c->a.per_channel ? HB_CHANNELS_ALWAYS : c->a.per_tensor ? HB_CHANNELS_NEVER : HB_CHANNELS_AUTO,
		.config = config_quant,
		.config_arg = c->cfg,
	};
	samples *s = NULL;
	port *ports;

	if (c->a.dtype && !strcmp(c->a.dtype, "qint16"))
		o.activations.dtype = HB_I16;
	o.round = rounding(c);
	if (c->set[O_averaging_constant])
		o.activations.observer.averaging_constant = c->a.averaging_constant;
	if (c->a.observer)
		hb_observer_kind_of(c->a.observer, &o.activations.observer.kind);
	o.activations.weights_mse = c->a.weight_observer && !strcmp(c->a.weight_observer, "mse");
	if (c->set[O_percentile])
		o.activations.observer.percentile = c->a.percentile;
	if (!c->cfg)
		o.config = NULL;
	config_base(c, &o.activations);
	if (c->a.print_config)
		return print_config(c, g, &o);
	HB_TRY(graph_ports(c, g, &ports));
	if (c->a.observer && !strcmp(c->a.observer, "load") && !c->a.load_ranges && !hb_has_scales(g))
		return hb_error(c->cx, HB_ERR_USAGE, "--observer", "option", "load takes ranges that are there: from --load-ranges, or the model's own scales");
	HB_TRY(samples_open(c, &c->a.calib, ports, g->ninputs, &s));
	HB_TRY(calib_load(c, &o));
	HB_TRY(calib_open(c, &o));
	if (s) {
		o.sample = samples_get;
		o.arg = s;
	} else if (!calib_given(c) && command_takes(c->cmd, O_calib) && !hb_has_scales(g)) {
		hb_note(c->cx, NULL, "uncalibrated", c->a.observer && !strcmp(c->a.observer, "skip") ? "samples are skipped: ranges are from seeded noise"
			: "no samples (--calib): ranges are from seeded noise");
	}
	hb_status st = HB_OK;
	hb_calib_options first = o;
	if (c->a.auto_int16 && !o.save_ranges && !(first.save_ranges = hb_ranges_new(c->arena)))
		st = hb_nomem(c->cx, NULL);
	if (st == HB_OK)
		st = hb_pass_calibrate(g, &first);
	if (st == HB_OK && s)
		st = model_improve(c, g, m, &first);
	if (s)
		samples_count(s, c);
	samples_close(s);
	c->sampled = calib_given(c);
	return calib_save(c, &o, st);
}

hb_status
model_convert(cli *c, hb_graph *g, const hb_march *m, hb_graph **fixed)
{

	HB_TRY(hb_pass_convert(g, rounding(c), fixed));
	return hb_pass_constrain(g, *fixed, m);
}

hb_status
model_schedule(cli *c, hb_graph *fixed, const hb_march *m, hb_program **out)
{
	hb_sched_options o = {
		.level = (int)c->a.level,
		.debug = c->a.debug,
		.input_nchw = c->a.input_layout && !strcmp(c->a.input_layout, "NCHW"),
		.output_nchw = c->a.output_layout && !strcmp(c->a.output_layout, "NCHW"),
	};

	HB_TRY(hb_schedule(fixed, m, &o, out));
	(*out)->name = c->a.name ? c->a.name : origin_name(c, fixed);
	return HB_OK;
}

hb_status
model_compile(cli *c, const char *path, const hb_march *m, hb_program **out)
{
	hb_graph *g, *fixed;

	HB_TRY(options_check(c, m));
	HB_TRY(model_read(c, path, &g));
	HB_TRY(model_place(c, g, m));
	HB_TRY(model_refuse(c, g, m));
	HB_TRY(model_calibrate(c, g, m));
	HB_TRY(model_convert(c, g, m, &fixed));
	return model_schedule(c, fixed, m, out);
}

/* ---- .hbm ---- */

bool
is_hbm(const char *path)
{
	size_t n = strlen(path);
	char head[4];
	struct stat sb;
	FILE *f;
	bool is;

	if (n > 4 && !strcmp(path + n - 4, ".hbm"))
		return true;
	if (stat(path, &sb) || !S_ISREG(sb.st_mode) || !(f = fopen(path, "rb")))
		return false;
	is = fread(head, 1, sizeof(head), f) == sizeof(head) && !memcmp(head, "\x89HBM", sizeof(head));
	fclose(f);
	return is;
}

static bool
same_file(const char *a, const char *b)
{
	struct stat x, y;

	return !strcmp(a, b) || (!stat(a, &x) && !stat(b, &y) && S_ISREG(x.st_mode) && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

hb_status
output_check(cli *c, const char *option, const char *out)
{
	const char *said[] = {c->a.config, c->a.load_ranges, c->a.baseline};
	const char *taken = NULL;

	for (int i = 0; out && i < c->nfiles; i++)
		if (same_file(out, c->files[i]))
			taken = c->files[i];
	for (size_t i = 0; out && i < HB_LEN(said); i++)
		if (said[i] && same_file(out, said[i]))
			taken = said[i];
	if (taken)
		return hb_error(c->cx, HB_ERR_USAGE, option, "option", "'%s' would take the place of its source '%s'", out, taken);
	return HB_OK;
}

hb_status
outputs_check(cli *c)
{
	static const opt_id ids[] = {O_output, O_save_ranges, O_save_stats, O_trace, O_stats};
	const char *path[HB_LEN(ids)];

	for (size_t i = 0; i < HB_LEN(ids); i++) {
		const char *option = hb_arena_printf(c->arena, "--%s", option_rows[ids[i]].name);

		path[i] = *(const char **)((char *)&c->a + option_rows[ids[i]].at);
		HB_TRY(output_check(c, option, path[i]));
		for (size_t k = 0; path[i] && k < i; k++)
			if (path[k] && same_file(path[k], path[i]))
				return hb_error(c->cx, HB_ERR_USAGE, option, "option", "'%s' is where --%s goes", path[i],
						option_rows[ids[k]].name);
	}
	return HB_OK;
}

hb_status
hbm_open(cli *c, const char *path, const hb_march **m, hb_program **out)
{
	hb_file *f;
	hb_hbm h;

	c->cx->file = path;
	HB_TRY(hb_file_map(c->cx, path, &f));
	HB_TRY(hb_hbm_read(c->cx, f->p, f->size, c->arena, &h));
	*m = hb_march_find(h.march);
	if (c->a.march && config_said(c, O_march) && (*m || !march_is_file(c->a.march)))
		return hb_error(c->cx, HB_ERR_USAGE, "--march", "option", "is in the .hbm already: %s", h.march);
	if (!*m && march_is_file(c->a.march)) {
		HB_TRY(hb_march_load(c->cx, c->a.march, m));
		if (strcmp((*m)->name, h.march))
			*m = NULL;
	}
	if (!*m)
		return hb_error(c->cx, HB_ERR_INPUT, NULL, "march",
				"is for march '%s', which this hbcc does not know: give its file with --march", h.march);
	*out = NULL;
	for (size_t i = 0; i < h.n; i++)
		if (!c->a.name || !strcmp(h.programs[i]->name, c->a.name))
			*out = *out ? *out : h.programs[i];
	if (c->a.name && !*out)
		return hb_error(c->cx, HB_ERR_USAGE, "--name", "name", "%s holds no model '%s'", path, c->a.name);
	if (h.n > 1 && !c->a.name)
		return hb_error(c->cx, HB_ERR_USAGE, "--name", "name", "holds %zu models: say which with --name", h.n);
	return HB_OK;
}
