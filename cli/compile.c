/* compile.c: hbcc compile: the whole way of a model, up to the form that --emit names. */
#include "cli/cli.h"

#include "lib/hbm/hbm.h"

#include <zlib.h>

static form
form_of(const char *name)
{
	form f = FORM_ONNX;

	while (f < FORM_HBM && (!name || strcmp(form_name(f), name)))
		f++;
	return f;
}

static const char *
default_output(cli *c, form f)
{
	static const char *const suffixes[] = {
		[FORM_ONNX] = "onnx",      [FORM_FUSED] = "fused.onnx", [FORM_QDQ] = "qdq.onnx",
		[FORM_HBIR] = "hbir.onnx", [FORM_PLAN] = "plan",        [FORM_HBM] = "hbm"};

	return c->a.output ? c->a.output
			   : hb_arena_printf(c->arena, "%s.%s", model_name_of(c, c->files[0]), suffixes[f]);
}

static hb_status
write_out(cli *c, const char *path, hb_buf *b, hb_status st)
{
	if (st == HB_OK && b->bad)
		st = hb_nomem(c->cx, NULL);
	if (st == HB_OK)
		st = path ? hb_file_write(c->cx, path, b->p, b->len) : hb_nomem(c->cx, NULL);
	hb_buf_free(b);
	return st;
}

static hb_status
write_onnx(cli *c, const char *path, hb_graph *g)
{
	hb_buf b = {.cx = c->cx};

	return write_out(c, path, &b, hb_onnx_bytes(g, &b));
}

static hb_status
meta_add(cli *c, hb_program *p, const char *key, const char *value)
{
	return key && value && hb_meta_set(p->arena, &p->meta, key, value) ? HB_OK : hb_nomem(c->cx, NULL);
}

/* Tool version, the options that shape the program and the model's hash; nothing that does not shape it. */
static hb_status
record(cli *c, const hb_graph *g, hb_program *p)
{
	hb_file *f;
	uint32_t crc;

	HB_TRY(hb_file_map(c->cx, c->files[0], &f));
	HB_TRY(origin_recall(c, g, p, true));
	for (const hb_meta *m = g->meta; m; m = m->next)
		if (camera_is_key(m->key))
			HB_TRY(meta_add(c, p, m->key, m->value));
	HB_TRY(meta_add(c, p, "hbcc.version", HBCC_VERSION));
	HB_TRY(meta_add(c, p, "hbcc.model.crc32", hb_arena_printf(c->arena, "%08lx", crc32_z(0, f->p, f->size))));
	HB_TRY(meta_add(c, p, "hbcc.option.optimize", hb_arena_printf(c->arena, "O%lld", (long long)c->a.level)));
	static const opt_id shaping[] = {O_dtype,         O_observer,      O_weight_observer, O_round,
					 O_affine,        O_scale_divisor, O_input_layout, O_output_layout};
	for (size_t i = 0; i < HB_LEN(shaping); i++) {
		const option_row *o = &option_rows[shaping[i]];
		const char *v = *(const char **)((char *)&c->a + o->at);

		/* where ranges are from does not shape the program */
		if (v && strcmp(v, "load") && strcmp(v, "skip"))
			HB_TRY(meta_add(c, p, hb_arena_printf(c->arena, "hbcc.option.%s", o->name), v));
	}
	static const opt_id lists[] = {O_run_on_bpu, O_run_on_cpu};
	for (size_t i = 0; i < HB_LEN(lists); i++) {
		const option_row *o = &option_rows[lists[i]];
		const strings *v = (const strings *)((char *)&c->a + o->at);
		char *all = v->n ? hb_arena_str(c->arena, v->v[0]) : NULL;

		for (size_t k = 1; k < v->n; k++)
			all = hb_arena_printf(c->arena, "%s %s", all ? all : "", v->v[k]);
		if (v->n)
			HB_TRY(meta_add(c, p, hb_arena_printf(c->arena, "hbcc.option.%s", o->name), all));
	}
	if (c->set[O_percentile])
		HB_TRY(meta_add(c, p, "hbcc.option.percentile", hb_arena_printf(c->arena, "%.9g", c->a.percentile)));
	if (c->set[O_averaging_constant])
		HB_TRY(meta_add(c, p, "hbcc.option.averaging-constant", hb_arena_printf(c->arena, "%.9g", c->a.averaging_constant)));
	static const opt_id flags[] = {O_per_channel, O_per_tensor, O_int8_outputs, O_no_bias_correction, O_refine, O_round_weights, O_auto_int16, O_debug};
	for (size_t i = 0; i < HB_LEN(flags); i++) {
		const option_row *o = &option_rows[flags[i]];

		if (*(const bool *)((const char *)&c->a + o->at))
			HB_TRY(meta_add(c, p, hb_arena_printf(c->arena, "hbcc.option.%s", o->name), "true"));
	}
	if (c->sampled)
		HB_TRY(meta_add(c, p, "hbcc.samples.crc32",
				hb_arena_printf(c->arena, "%08lx", (unsigned long)c->samples_crc)));
	if (config_crc(c, &crc))
		HB_TRY(meta_add(c, p, "hbcc.config.crc32", hb_arena_printf(c->arena, "%08lx", (unsigned long)crc)));
	return origin_recall(c, g, p, false);
}

/* --input-source NAME:ddr: inputs come through DDR; a pyramid or a resizer is not modelled. */
static hb_status
source_check(cli *c, const hb_graph *g, const char *said)
{
	const char *colon = strrchr(said, ':'), *source = colon ? colon + 1 : said;
	size_t n = colon ? (size_t)(colon - said) : 0;
	bool known = !colon;

	if (strcmp(source, "ddr"))
		return hb_error(c->cx, HB_ERR_USAGE, "--input-source", "option", "'%s' is not taken; only ddr", source);
	for (size_t i = 0; i < g->ninputs; i++)
		known |= strlen(g->inputs[i]->name) == n && !strncmp(g->inputs[i]->name, said, n);
	return known ? HB_OK : hb_error(c->cx, HB_ERR_USAGE, "--input-source", "option", "the model has no input '%.*s'", (int)n, said);
}

static hb_status
verify_rewrites(cli *c, hb_graph *g, proof **proved)
{
	HB_TRY(proof_open(c, proved));
	return proof_rewrites(*proved, g);
}

static hb_status
compile(cli *c, proof **proved)
{
	form to = form_of(c->a.emit);
	const char *out = default_output(c, to);
	const hb_march *m;
	hb_graph *g, *fixed, *qdq;
	hb_program *p;

	HB_TRY(march_get(c, to > FORM_FUSED, &m));
	if (c->a.verify && to != FORM_HBM)
		return hb_error(c->cx, HB_ERR_USAGE, "--verify", "option", "goes with --emit hbm");
	if (c->a.all_outputs && to != FORM_QDQ)
		return hb_error(c->cx, HB_ERR_USAGE, "--all-outputs", "option", "goes with --emit qdq");
	if (c->set[O_min_cosine] && (!c->a.calib.n || to < FORM_QDQ))
		return hb_error(c->cx, HB_ERR_USAGE, "--min-cosine", "option", "needs --calib and a quantized form");
	HB_TRY(calib_check(c));
	HB_TRY(onnx_check(c, c->files[0]));
	HB_TRY(output_check(c, "--output", out));
	HB_TRY(options_check(c, m));
	HB_TRY(model_read(c, c->files[0], &g));
	for (size_t i = 0; i < c->a.input_source.n; i++)
		HB_TRY(source_check(c, g, c->a.input_source.v[i]));
	if (to == FORM_ONNX) {
		HB_TRY(hb_pass_expand(g, NULL));
		return write_onnx(c, out, g);
	}
	if (to == FORM_FUSED) {
		HB_TRY(hb_pass_simplify(g));
		HB_TRY(hb_pass_recognise(g));
		HB_TRY(hb_pass_expand(g, m));
		HB_TRY(hb_pass_fuse(g));
		return write_onnx(c, out, g);
	}
	HB_TRY(model_place(c, g, m));
	HB_TRY(model_refuse(c, g, m));
	if (c->a.verify)
		HB_TRY(verify_rewrites(c, g, proved));
	HB_TRY(model_calibrate(c, g, m));
	if (c->a.print_config || c->a.save_stats || (c->a.save_ranges && c->cmd == &command_calibrate && !c->a.output))
		return HB_OK;
	HB_TRY(model_convert(c, g, m, &fixed));
	if (c->set[O_min_cosine])
		HB_TRY(verify_fixed(c, g, fixed));
	if (to == FORM_QDQ) {
		hb_program said = {.arena = c->arena};

		HB_TRY(hb_pass_qdq(g, fixed, rounding(c), c->a.all_outputs, &qdq));
		HB_TRY(record(c, g, &said));
		HB_TRY(origin_put(c, g, qdq, said.meta));
		return write_onnx(c, out, qdq);
	}
	if (to == FORM_HBIR)
		return write_onnx(c, out, fixed);
	HB_TRY(model_schedule(c, fixed, m, &p));
	HB_TRY(record(c, g, p));
	hb_buf b = {.cx = c->cx};
	if (to == FORM_PLAN) {
		hb_disas_text(p, &b);
		return write_out(c, out, &b, HB_OK);
	}
	hb_hbm_options o = {.deflate = c->a.deflate};
	hb_status st = hb_hbm_write(c->cx, &p, 1, &o, &b);
	if (st == HB_OK && !b.bad && *proved)
		st = proof_program(*proved, fixed, m, &b);
	return write_out(c, out, &b, st);
}

static hb_status
run(cli *c)
{
	proof *proved = NULL;
	hb_status st = compile(c, &proved);

	proof_close(proved);
	return st;
}

const command command_compile = {
	.name = "compile",
	.files = "MODEL.onnx",
	.summary = "Compile an ONNX model into an .hbm, or into the form that --emit names.",
	.min_files = 1,
	.max_files = 1,
	.options = (const opt_id[]){O_march,         O_output,       O_calib,      O_level,
				    O_emit,          O_all_outputs,  O_name,       O_input_layout,
				    O_output_layout, O_core_num,     O_run_on_bpu, O_run_on_cpu,
				    O_dtype,         O_observer,     O_weight_observer, O_percentile, O_round,
				    O_scale_divisor, O_int8_outputs, O_affine, O_no_bias_correction, O_refine, O_round_weights, O_auto_int16, O_min_cosine, O_verify, O_input_source,
				    O_debug, O_deflate, O_save_ranges, O_load_ranges, O_averaging_constant, O_per_channel, O_per_tensor, O_END},
	.run = run,
};
