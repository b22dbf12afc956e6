/* disas.c: a program for people (text) and for scripts (JSON). */
#include "lib/hbm/hbm.h"

#include <jansson.h>

static const char *const type_name[HB_NDTYPES] = {
	[HB_NONE] = "?", [HB_F32] = "f32", [HB_I8] = "i8", [HB_U8] = "u8", [HB_I16] = "i16", [HB_U16] = "u16",
	[HB_I32] = "i32", [HB_U32] = "u32", [HB_I64] = "i64", [HB_U64] = "u64", [HB_BOOL] = "b8",
};

static const char *
dtype_text(hb_dtype dt)
{
	return (unsigned)dt < HB_NDTYPES ? type_name[dt] : "?";
}

/* Word k of a space separated list. */
static void
word_of(const char *list, int k, char *to, size_t size)
{
	for (; k > 0 && *list; list++)
		k -= *list == ' ';
	size_t n = strcspn(list, " ");
	n = HB_MIN(n, size - 1);
	memcpy(to, list, n);
	to[n] = 0;
}

static bool
dense(const hb_view *v)
{
	uint64_t step = hb_dtype_size(v->dtype);
	for (int d = v->rank; d-- > 0; step *= v->ext[d])
		if (v->ext[d] > 1 && v->stride[d] != step)
			return false;
	return true;
}

static void
view_text(const hb_view *v, hb_buf *out)
{
	hb_buf_printf(out, "%s+%05x:%s[", hb_space_name(v->space), v->base, dtype_text(v->dtype));
	for (int d = 0; d < v->rank; d++)
		hb_buf_printf(out, "%s%u", d ? "," : "", v->ext[d]);
	hb_buf_str(out, "]");
	if (!dense(v)) {
		for (int d = 0; d < v->rank; d++)
			hb_buf_printf(out, "%s%u", d ? "," : "/[", v->stride[d]);
		hb_buf_str(out, "]");
	}
	if (v->ring_rows)
		hb_buf_printf(out, " ring %u@%u", v->ring_rows, v->ring_first);
}

static void
insn_text(const hb_program *p, const hb_insn *i, uint32_t number, hb_buf *out)
{
	const hb_insn_row *row = hb_insn_row_of(i->op);
	char word[32];
	hb_buf_printf(out, "%s#%u %s ", hb_engine_name(i->engine), number, row ? row->name : "?");
	for (int k = 0; k < i->nv; k++) {
		bool read = k > 0 && !hb_insn_writes(i, k), first = k == 1 || hb_insn_writes(i, k - 1);
		hb_buf_str(out, k == 0 ? "" : read && first ? " <- " : ", ");
		view_text(&i->v[k], out);
	}
	for (int k = 0; row && k < row->nimms; k++) {
		word_of(row->imms, k, word, sizeof word);
		if (strcmp(word, "fn") == 0)
			hb_buf_printf(out, " fn=%s", hb_fn_name((hb_fn)i->imm[k]));
		else
			hb_buf_printf(out, " %s=%d", word, i->imm[k]);
	}
	const char *sep = " ;";
	if (i->node >= 0 && (size_t)i->node < p->nnodes) {
		hb_buf_printf(out, "%s node %d '%s'", sep, i->node, p->nodes[i->node].name);
		sep = "";
	}
	for (int e = 0; e < HB_NENGINES; e++) {
		if (!(i->wait_mask >> e & 1))
			continue;
		hb_buf_printf(out, "%s wait %s>=%u", sep, hb_engine_name((hb_engine)e), i->wait[e]);
		sep = "";
	}
}

void
hb_disas_insn(const hb_program *p, const hb_segment *s, size_t i, hb_buf *out)
{
	uint32_t number = 0;
	for (size_t k = 0; k < i; k++)
		number += s->list.insns[k].engine == s->list.insns[i].engine;
	insn_text(p, &s->list.insns[i], number, out);
}

static void
place_text(const hb_place_row *r, hb_buf *out)
{
	char shape[HB_SHAPE_TEXT];
	hb_buf_printf(out, "%s+%05x %s %s order", hb_space_name(r->space), r->addr, dtype_text(hb_place_dtype(r)),
		      hb_shape_text(&r->shape, shape));
	for (int d = 0; d < r->shape.rank; d++)
		hb_buf_printf(out, "%s%d", d ? "," : " ", r->order[d]);
	hb_buf_str(out, " stride");
	for (int d = 0; d < r->shape.rank; d++)
		hb_buf_printf(out, "%s%u", d ? "," : " ", r->stride[d]);
	if (r->q.dtype != HB_NONE && r->q.nscales > 1)
		hb_buf_printf(out, " %d scales on axis %d", r->q.nscales, r->q.axis);
	else if (r->q.dtype != HB_NONE)
		hb_buf_printf(out, " scale %.9g", (double)r->q.scale);
	hb_buf_printf(out, " '%s'\n", r->name);
}

void
hb_disas_text(const hb_program *p, hb_buf *out)
{
	hb_buf_printf(out, "model '%s' march %s O%d cores %d%s\n", p->name, p->march, p->level, p->cores,
		      p->uncalibrated ? " uncalibrated" : "");
	for (const hb_meta *m = p->meta; m; m = m->next)
		hb_buf_printf(out, "meta %s = %s\n", m->key, m->value);
	for (int s = 0; s < HB_NSPACES; s++)
		if (p->size[s])
			hb_buf_printf(out, "space %s %llu bytes\n", hb_space_name((hb_space)s),
				      (unsigned long long)p->size[s]);
	for (size_t k = 0; k < p->nplaces; k++) {
		hb_buf_printf(out, "tensor %zu ", k);
		place_text(&p->places[k], out);
	}
	for (size_t k = 0; k < p->ninputs; k++)
		hb_buf_printf(out, "input %zu tensor %d\n", k, p->inputs[k]);
	for (size_t k = 0; k < p->noutputs; k++)
		hb_buf_printf(out, "output %zu tensor %d\n", k, p->outputs[k]);
	for (size_t k = 0; k < p->nsegments; k++) {
		const hb_segment *s = &p->segments[k];
		uint32_t number[HB_NENGINES] = {0};
		hb_buf_printf(out, "segment %zu %s\n", k, s->cpu ? "cpu" : "bpu");
		for (size_t i = 0; i < s->nins; i++)
			hb_buf_printf(out, "  in tensor %d '%s'\n", s->ins[i], p->places[s->ins[i]].name);
		for (size_t o = 0; o < s->nouts; o++)
			hb_buf_printf(out, "  out tensor %d '%s'\n", s->outs[o], p->places[s->outs[o]].name);
		for (size_t b = 0; b < s->nbufs; b++)
			hb_buf_printf(out, "  buffer %zu %s+%05x %u bytes '%s'\n", b, hb_space_name(s->bufs[b].space),
				      s->bufs[b].addr, s->bufs[b].bytes, s->bufs[b].name);
		for (const hb_node *n = s->graph ? s->graph->first : NULL; n; n = n->next)
			hb_buf_printf(out, "  %s '%s'\n", n->op_type, n->name);
		for (size_t i = 0; i < s->list.n; i++) {
			const hb_insn *in = &s->list.insns[i];
			hb_buf_str(out, "  ");
			insn_text(p, in, number[in->engine % HB_NENGINES]++, out);
			hb_buf_str(out, "\n");
		}
	}
}

/* ---- JSON: objects are made and written one line at a time ---- */

static int
to_buf(const char *text, size_t n, void *arg)
{
	hb_buf_add(arg, text, n);
	return 0;
}

static void
put_json(hb_buf *out, json_t *j)
{
	if (!j || json_dump_callback(j, to_buf, out, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)) != 0)
		out->bad = true;
	json_decref(j);
}

/* Text from a model may be no UTF-8, which JSON cannot hold: other bytes become '?'. */
static json_t *
text_json(hb_ctx *cx, const char *s)
{
	json_t *j = json_string(s ? s : "");
	if (j)
		return j;
	hb_buf b = {.cx = cx};
	for (; *s; s++)
		hb_buf_u8(&b, (uint8_t)*s < 0x80 ? (uint8_t)*s : '?');
	j = json_string(b.p ? b.p : "");
	hb_buf_free(&b);
	return j;
}

static json_t *
ints_json(const uint32_t *x, int n)
{
	json_t *a = json_array();
	for (int k = 0; k < n; k++)
		json_array_append_new(a, json_integer(x[k]));
	return a;
}

static json_t *
view_json(const char *name, const hb_view *v)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:I}", "operand", name, "space", hb_space_name(v->space),
			      "type", dtype_text(v->dtype), "base", (json_int_t)v->base, "extents",
			      ints_json(v->ext, v->rank), "strides", ints_json(v->stride, v->rank), "buffer",
			      (json_int_t)v->buf);
	if (v->ring_rows)
		json_object_set_new(o, "ring", json_pack("[I, I]", (json_int_t)v->ring_rows, (json_int_t)v->ring_first));
	return o;
}

static json_t *
insn_json(const hb_insn *i, uint32_t number)
{
	const hb_insn_row *row = hb_insn_row_of(i->op);
	char word[32];
	json_t *o = json_pack("{s:s, s:s, s:I, s:i}", "op", row->name, "engine", hb_engine_name(i->engine), "number",
			      (json_int_t)number, "node", i->node);
	json_t *views = json_array(), *imms = json_object(), *waits = json_object();
	for (int k = 0; k < i->nv; k++) {
		word_of(row->operands, k, word, sizeof word);
		json_array_append_new(views, view_json(word, &i->v[k]));
	}
	for (int k = 0; k < row->nimms; k++) {
		word_of(row->imms, k, word, sizeof word);
		json_object_set_new(imms, word, strcmp(word, "fn") == 0 ? json_string(hb_fn_name((hb_fn)i->imm[k])) :
							json_integer(i->imm[k]));
	}
	for (int e = 0; e < HB_NENGINES; e++)
		if (i->wait_mask >> e & 1)
			json_object_set_new(waits, hb_engine_name((hb_engine)e), json_integer(i->wait[e]));
	json_object_set_new(o, "operands", views);
	json_object_set_new(o, "immediates", imms);
	json_object_set_new(o, "waits", waits);
	return o;
}

static json_t *
place_json(hb_ctx *cx, const hb_place_row *r)
{
	json_t *shape = json_array(), *order = json_array(), *stride = json_array(), *scales = json_array();
	for (int d = 0; d < r->shape.rank; d++) {
		json_array_append_new(shape, json_integer(r->shape.dim[d]));
		json_array_append_new(order, json_integer(r->order[d]));
		json_array_append_new(stride, json_integer(r->stride[d]));
	}
	for (int c = 0; r->q.dtype != HB_NONE && c < HB_MAX(r->q.nscales, 1); c++)
		json_array_append_new(scales, json_real((double)hb_q_scale(&r->q, c)));
	return json_pack("{s:o, s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:i}", "name", text_json(cx, r->name), "type",
			 dtype_text(r->dtype), "in_memory", dtype_text(hb_place_dtype(r)), "space",
			 hb_space_name(r->space), "base", (json_int_t)r->addr, "shape", shape, "order", order, "strides",
			 stride, "scales", scales, "axis", r->q.axis);
}

static json_t *
rows_json(const int *rows, size_t n)
{
	json_t *a = json_array();
	for (size_t k = 0; k < n; k++)
		json_array_append_new(a, json_integer(rows[k]));
	return a;
}

static void
segment_json(const hb_segment *s, hb_buf *out)
{
	uint32_t number[HB_NENGINES] = {0};
	hb_buf_printf(out, "{\"on\": \"%s\", \"inputs\": ", s->cpu ? "CPU" : "BPU");
	put_json(out, rows_json(s->ins, s->nins));
	hb_buf_str(out, ", \"outputs\": ");
	put_json(out, rows_json(s->outs, s->nouts));
	hb_buf_str(out, ", \"buffers\": [");
	for (size_t b = 0; b < s->nbufs; b++) {
		hb_buf_str(out, b ? ",\n" : "\n");
		put_json(out, json_pack("{s:o, s:s, s:I, s:I}", "name", text_json(out->cx, s->bufs[b].name), "space",
					hb_space_name(s->bufs[b].space), "base", (json_int_t)s->bufs[b].addr, "bytes",
					(json_int_t)s->bufs[b].bytes));
	}
	hb_buf_str(out, "], \"instructions\": [");
	for (size_t i = 0; i < s->list.n; i++) {
		hb_buf_str(out, i ? ",\n" : "\n");
		put_json(out, insn_json(&s->list.insns[i], number[s->list.insns[i].engine]++));
	}
	hb_buf_str(out, "]}");
}

static void
program_json(const hb_program *p, hb_buf *out)
{
	hb_buf_str(out, "{\"name\": ");
	put_json(out, text_json(out->cx, p->name));
	hb_buf_str(out, ", \"march\": ");
	put_json(out, text_json(out->cx, p->march));
	hb_buf_printf(out, ", \"level\": %d, \"cores\": %d, \"uncalibrated\": %s, \"meta\": {", p->level, p->cores,
		      p->uncalibrated ? "true" : "false");
	for (const hb_meta *m = p->meta; m; m = m->next) {
		hb_buf_str(out, m == p->meta ? "" : ", ");
		put_json(out, text_json(out->cx, m->key));
		hb_buf_str(out, ": ");
		put_json(out, text_json(out->cx, m->value));
	}
	hb_buf_str(out, "}, \"spaces\": {");
	for (int s = 0; s < HB_NSPACES; s++)
		hb_buf_printf(out, "%s\"%s\": %llu", s ? ", " : "", hb_space_name((hb_space)s),
			      (unsigned long long)p->size[s]);
	hb_buf_str(out, "}, \"tensors\": [");
	for (size_t k = 0; k < p->nplaces; k++) {
		hb_buf_str(out, k ? ",\n" : "\n");
		put_json(out, place_json(out->cx, &p->places[k]));
	}
	hb_buf_str(out, "], \"inputs\": ");
	put_json(out, rows_json(p->inputs, p->ninputs));
	hb_buf_str(out, ", \"outputs\": ");
	put_json(out, rows_json(p->outputs, p->noutputs));
	hb_buf_str(out, ", \"nodes\": [");
	for (size_t k = 0; k < p->nnodes; k++) {
		hb_buf_str(out, k ? ",\n" : "\n");
		put_json(out, json_pack("{s:o, s:o, s:i, s:I}", "name", text_json(out->cx, p->nodes[k].name), "op",
					text_json(out->cx, p->nodes[k].op_type), "segment", p->nodes[k].segment, "macs",
					(json_int_t)p->nodes[k].macs));
	}
	hb_buf_str(out, "], \"segments\": [");
	for (size_t k = 0; k < p->nsegments; k++) {
		hb_buf_str(out, k ? ",\n" : "\n");
		segment_json(&p->segments[k], out);
	}
	hb_buf_str(out, "]}");
}

void
hb_disas_json(hb_program *const *programs, size_t n, hb_buf *out)
{
	hb_buf_str(out, "{\"schema\": \"hbcc.disas/1\", \"march\": ");
	put_json(out, text_json(out->cx, n ? programs[0]->march : ""));
	hb_buf_str(out, ", \"models\": [");
	for (size_t k = 0; k < n; k++) {
		hb_buf_str(out, k ? ",\n" : "\n");
		program_json(programs[k], out);
	}
	hb_buf_str(out, "]}\n");
}
