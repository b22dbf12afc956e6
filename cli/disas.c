/* disas.c: hbcc disas: the instructions of an .hbm, one a line, or as JSON. */
#include "cli/cli.h"

#include "lib/hbm/hbm.h"

#include <stdlib.h>

/* Words of a space-separated list, one after the other. */
static char *
word(cli *c, const char **list)
{
	size_t n = strcspn(*list, " ");
	char *w = hb_arena_strn(c->arena, *list, n);

	*list += n;
	*list += strspn(*list, " ");
	return w;
}

static json_t *
json_view(cli *c, const hb_segment *s, const hb_view *v)
{
	json_t *o = json_object(), *ext = json_array(), *stride = json_array();

	json_object_set_new(o, "space", json_string(hb_space_name(v->space)));
	json_object_set_new(o, "base", json_integer(v->base));
	json_object_set_new(o, "dtype", json_string(hb_dtype_name(v->dtype)));
	for (int i = 0; i < v->rank; i++) {
		json_array_append_new(ext, json_integer(v->ext[i]));
		json_array_append_new(stride, json_integer(v->stride[i]));
	}
	json_object_set_new(o, "extents", ext);
	json_object_set_new(o, "strides", stride);
	if (v->ring_rows) {
		json_object_set_new(o, "ring_rows", json_integer(v->ring_rows));
		json_object_set_new(o, "ring_first", json_integer(v->ring_first));
	}
	if (v->buf < s->nbufs && s->bufs[v->buf].name)
		json_object_set_new(o, "buffer", js(c, s->bufs[v->buf].name));
	return o;
}

static json_t *
json_insn(cli *c, const hb_program *p, const hb_segment *s, const hb_insn *i)
{
	const hb_insn_row *row = hb_insn_row_of(i->op);
	json_t *o = json_object(), *views = json_object(), *imms = json_object(), *waits = json_object();
	const char *names = row->operands, *fields = row->imms;

	json_object_set_new(o, "engine", json_string(hb_engine_name(i->engine)));
	json_object_set_new(o, "op", json_string(row->name));
	json_object_set_new(o, "node",
			    i->node >= 0 && (size_t)i->node < p->nnodes ? js(c, p->nodes[i->node].name) : json_null());
	for (int k = 0; k < i->nv; k++) {
		char *name = word(c, &names);

		json_object_set_new(views, name && *name ? name : "?", json_view(c, s, &i->v[k]));
	}
	json_object_set_new(o, "operands", views);
	for (int k = 0; k < row->nimms; k++) {
		char *name = word(c, &fields);

		json_object_set_new(imms, name && *name ? name : "?", json_integer(i->imm[k]));
	}
	json_object_set_new(o, "immediates", imms);
	for (int e = 0; e < HB_NENGINES; e++)
		if (i->wait_mask >> e & 1)
			json_object_set_new(waits, hb_engine_name((hb_engine)e), json_integer(i->wait[e]));
	json_object_set_new(o, "waits", waits);
	return o;
}

static json_t *
json_program(cli *c, const hb_program *p)
{
	json_t *o = json_object(), *segments = json_array();

	json_object_set_new(o, "name", js(c, p->name));
	for (size_t k = 0; k < p->nsegments; k++) {
		const hb_segment *s = &p->segments[k];
		json_t *seg = json_object(), *list = json_array(), *in = json_array(), *out = json_array();

		json_object_set_new(seg, "on", json_string(s->cpu ? "CPU" : "BPU"));
		for (size_t i = 0; i < s->nins; i++)
			json_array_append_new(in, js(c, p->places[s->ins[i]].name));
		for (size_t i = 0; i < s->nouts; i++)
			json_array_append_new(out, js(c, p->places[s->outs[i]].name));
		json_object_set_new(seg, "inputs", in);
		json_object_set_new(seg, "outputs", out);
		for (size_t i = 0; i < s->list.n; i++)
			json_array_append_new(list, json_insn(c, p, s, &s->list.insns[i]));
		json_object_set_new(seg, "instructions", list);
		json_array_append_new(segments, seg);
	}
	json_object_set_new(o, "segments", segments);
	return o;
}

static hb_status
run(cli *c)
{
	hb_file *f;
	hb_hbm h;
	hb_status st = HB_OK;

	c->cx->file = c->files[0];
	HB_TRY(hb_file_map(c->cx, c->files[0], &f));
	HB_TRY(hb_hbm_read(c->cx, f->p, f->size, c->arena, &h));
	if (c->a.json) {
		json_t *j = json_report("hbcc.disas/1"), *models = json_array();

		json_object_set_new(j, "march", js(c, h.march));
		for (size_t i = 0; i < h.n; i++)
			json_array_append_new(models, json_program(c, h.programs[i]));
		json_object_set_new(j, "models", models);
		return json_out(c, j, c->a.output);
	}
	hb_buf b = {.cx = c->cx};
	for (size_t i = 0; i < h.n; i++)
		hb_disas_text(h.programs[i], &b);
	if (b.bad)
		st = hb_nomem(c->cx, NULL);
	else if (c->a.output)
		st = hb_file_write(c->cx, c->a.output, b.p, b.len);
	else
		fwrite(b.p, 1, b.len, stdout);
	hb_buf_free(&b);
	return st;
}

const command command_disas = {
	.name = "disas",
	.files = "MODEL.hbm",
	.summary = "Print the instructions of an .hbm, one a line.",
	.min_files = 1,
	.max_files = 1,
	.options = (const opt_id[]){O_json, O_output, O_END},
	.run = run,
};
