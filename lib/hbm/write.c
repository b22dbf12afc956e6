/* write.c: programs as the bytes of an .hbm (man/hbm.5). */
#include "lib/hbm/format.h"
#include "lib/hbm/hbm.h"
#include "lib/onnx/onnx.h"

#include <zlib.h>

typedef struct writer {
	hb_ctx *cx;
	hb_arena *arena;
	hb_map *ids;			/* string to its number + 1 */
	hb_buf strings;
	uint32_t nstrings;
	hb_buf section;			/* the one being made */
	hb_buf *out;
	size_t rows, nrows;		/* the section table: where in out, and rows filled */
	bool deflate;
} writer;

static uint32_t
string_id(writer *w, const char *s)
{
	if (!s)
		return HBM_NONE;
	uintptr_t id = (uintptr_t)hb_map_get(w->ids, s);
	if (id)
		return (uint32_t)(id - 1);
	char *key = hb_arena_str(w->arena, s);
	if (!key || !hb_map_put(w->ids, key, (void *)((uintptr_t)w->nstrings + 1)))
		w->strings.bad = true;
	hb_buf_u32(&w->strings, (uint32_t)strlen(s));
	hb_buf_str(&w->strings, s);
	return w->nstrings++;
}

static void
put_f32(hb_buf *b, float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	hb_buf_u32(b, bits);
}

static void
put_rows(hb_buf *b, const int *rows, size_t n)
{
	hb_buf_u32(b, (uint32_t)n);
	for (size_t k = 0; k < n; k++)
		hb_buf_u32(b, (uint32_t)rows[k]);
}

static void
put_at(hb_buf *b, size_t at, uint64_t x, int bytes)
{
	for (int k = 0; k < bytes && at + (size_t)k < b->len; k++)
		b->p[at + (size_t)k] = (char)(x >> 8 * k);
}

/* Appends a section and fills its row of the table. */
static hb_status
put_section(writer *w, hbm_kind kind, uint32_t model, const void *bytes, size_t n, bool deflate)
{
	hb_buf *out = w->out;
	const uint8_t *p = bytes;
	size_t stored = n;
	uint8_t *packed = NULL;
	uLongf room = 0;
	if (deflate && n) {
		room = compressBound((uLong)n);
		packed = hb_big_alloc(w->cx, room);
		if (!packed)
			return hb_nomem(w->cx, "deflating a section");
		uLongf got = room;
		if (compress2(packed, &got, p, (uLong)n, 9) == Z_OK && got < n) {
			p = packed;
			stored = got;
		}
	}
	while (out->len % HBM_ALIGN && !out->bad)
		hb_buf_u8(out, 0);
	size_t row = w->rows + HBM_ENTRY * w->nrows++, at = out->len;
	hb_buf_add(out, p, stored);
	put_at(out, row, (uint32_t)kind, 4);
	put_at(out, row + 4, model, 4);
	put_at(out, row + 8, at, 8);
	put_at(out, row + 16, stored, 8);
	put_at(out, row + 24, n, 8);
	put_at(out, row + 32, p == packed && packed ? HBM_DEFLATED : 0, 4);
	put_at(out, row + 36, stored ? crc32_z(0, p, stored) : 0, 4);
	if (packed)
		hb_big_free(w->cx, packed, room);
	return out->bad ? hb_nomem(w->cx, "writing the .hbm") : HB_OK;
}

static hb_status
end_section(writer *w, hbm_kind kind, uint32_t model, bool deflate)
{
	if (w->section.bad)
		return hb_nomem(w->cx, "writing the .hbm");
	hb_status st = put_section(w, kind, model, w->section.p, w->section.len, deflate);
	w->section.len = 0;
	return st;
}

static void
put_model(writer *w, const hb_program *p)
{
	hb_buf *b = &w->section;
	uint32_t nmeta = 0;
	hb_buf_u32(b, string_id(w, p->name));
	hb_buf_u32(b, string_id(w, p->march));
	hb_buf_u32(b, (uint32_t)p->level);
	hb_buf_u32(b, (uint32_t)p->cores);
	hb_buf_u32(b, p->uncalibrated);
	for (int s = 0; s < HB_NSPACES; s++)
		hb_buf_u64(b, p->size[s]);
	put_rows(b, p->inputs, p->ninputs);
	put_rows(b, p->outputs, p->noutputs);
	for (const hb_meta *m = p->meta; m; m = m->next)
		nmeta++;
	hb_buf_u32(b, nmeta);
	for (const hb_meta *m = p->meta; m; m = m->next) {
		hb_buf_u32(b, string_id(w, m->key));
		hb_buf_u32(b, string_id(w, m->value));
	}
}

static void
put_tensors(writer *w, const hb_program *p)
{
	hb_buf *b = &w->section;
	hb_buf_u32(b, (uint32_t)p->nplaces);
	for (size_t k = 0; k < p->nplaces; k++) {
		const hb_place_row *r = &p->places[k];
		uint32_t nscales = r->q.dtype == HB_NONE ? 0 : (uint32_t)HB_MAX(r->q.nscales, 1);
		hb_buf_u32(b, string_id(w, r->name));
		hb_buf_u32(b, r->dtype);
		hb_buf_u32(b, r->space);
		hb_buf_u32(b, r->addr);
		hb_buf_u64(b, r->bytes);
		hb_buf_u32(b, r->q.dtype);
		hb_buf_u32(b, (uint32_t)r->q.axis);
		put_f32(b, r->q.min);
		put_f32(b, r->q.max);
		hb_buf_u32(b, string_id(w, r->q.observer));
		hb_buf_u32(b, nscales);
		for (uint32_t c = 0; c < nscales; c++)
			put_f32(b, hb_q_scale(&r->q, c));
		hb_buf_u32(b, (uint32_t)r->shape.rank);
		for (int d = 0; d < r->shape.rank; d++) {
			hb_buf_u64(b, (uint64_t)r->shape.dim[d]);
			hb_buf_u32(b, (uint32_t)r->order[d]);
			hb_buf_u32(b, r->stride[d]);
		}
	}
}

static void
put_segments(writer *w, const hb_program *p)
{
	hb_buf *b = &w->section;
	hb_buf_u32(b, (uint32_t)p->nsegments);
	for (size_t k = 0; k < p->nsegments; k++) {
		const hb_segment *s = &p->segments[k];
		hb_buf_u32(b, s->cpu);
		hb_buf_u32(b, (uint32_t)s->list.n);
		put_rows(b, s->ins, s->nins);
		put_rows(b, s->outs, s->nouts);
		hb_buf_u32(b, (uint32_t)s->nbufs);
		for (size_t j = 0; j < s->nbufs; j++) {
			const hb_buf_row *r = &s->bufs[j];
			hb_buf_u32(b, string_id(w, r->name));
			hb_buf_u32(b, r->space);
			hb_buf_u32(b, r->addr);
			hb_buf_u32(b, r->bytes);
		}
	}
}

static hb_status
put_insns(writer *w, const hb_program *p)
{
	for (size_t k = 0; k < p->nsegments; k++)
		for (size_t i = 0; i < p->segments[k].list.n; i++)
			if (!hbm_encode(&p->segments[k].list.insns[i], &w->section))
				return hb_error(w->cx, HB_ERR_UNSUPPORTED, NULL, "hbm-buffers",
						"a segment has more than 2^21 buffers");
	return HB_OK;
}

static hb_status
put_graphs(writer *w, const hb_program *p)
{
	for (size_t k = 0; k < p->nsegments; k++) {
		if (!p->segments[k].cpu)
			continue;
		hb_buf onnx = {.cx = w->cx};
		hb_status st = hb_onnx_bytes(p->segments[k].graph, &onnx);
		hb_buf_u64(&w->section, onnx.len);
		if (onnx.len)
			hb_buf_add(&w->section, onnx.p, onnx.len);
		w->section.bad |= onnx.bad;
		hb_buf_free(&onnx);
		HB_TRY(st);
	}
	return HB_OK;
}

static void
put_nodes(writer *w, const hb_program *p)
{
	hb_buf *b = &w->section;
	hb_buf_u32(b, (uint32_t)p->nnodes);
	for (size_t k = 0; k < p->nnodes; k++) {
		hb_buf_u32(b, string_id(w, p->nodes[k].name));
		hb_buf_u32(b, string_id(w, p->nodes[k].op_type));
		hb_buf_u32(b, (uint32_t)p->nodes[k].segment);
		hb_buf_u64(b, (uint64_t)p->nodes[k].macs);
	}
}

static hb_status
put_program(writer *w, const hb_program *p, uint32_t model)
{
	put_model(w, p);
	HB_TRY(end_section(w, HBM_MODEL, model, false));
	put_tensors(w, p);
	HB_TRY(end_section(w, HBM_TENSORS, model, false));
	HB_TRY(put_section(w, HBM_PARAMETERS, model, p->par, (size_t)p->size[HB_PAR], w->deflate));
	put_segments(w, p);
	HB_TRY(end_section(w, HBM_SEGMENTS, model, false));
	HB_TRY(put_insns(w, p));
	HB_TRY(end_section(w, HBM_INSNS, model, w->deflate));
	HB_TRY(put_graphs(w, p));
	HB_TRY(end_section(w, HBM_GRAPHS, model, w->deflate));
	put_nodes(w, p);
	return end_section(w, HBM_NODES, model, false);
}

static hb_status
write_all(writer *w, hb_program *const *programs, size_t n)
{
	uint32_t nsections = (uint32_t)(1 + HBM_PER_MODEL * n);
	hb_buf *out = w->out;
	size_t start = out->len;
	hb_buf_add(out, HBM_MAGIC, 8);
	hb_buf_u16(out, HBM_MAJOR);
	hb_buf_u16(out, HBM_MINOR);
	hb_buf_u32(out, nsections);
	hb_buf_u64(out, 0);		/* bytes of the file */
	hb_buf_u32(out, 0);
	hb_buf_u32(out, 0);		/* CRC of header and table */
	w->rows = start + HBM_HEADER;
	for (uint32_t k = 0; k < nsections * HBM_ENTRY; k++)
		hb_buf_u8(out, 0);
	for (size_t k = 0; k < n; k++) {
		HB_TRY(hb_program_check(w->cx, programs[k]));
		HB_TRY(put_program(w, programs[k], (uint32_t)k));
	}
	if (w->strings.bad)
		return hb_nomem(w->cx, "writing the .hbm");
	hb_buf_u32(&w->section, w->nstrings);
	hb_buf_add(&w->section, w->strings.p, w->strings.len);
	HB_TRY(end_section(w, HBM_STRINGS, HBM_NONE, false));
	put_at(out, start + 16, out->len - start, 8);
	uint32_t crc = (uint32_t)crc32_z(0, (const uint8_t *)out->p + start, HBM_HEADER - 4);
	crc = (uint32_t)crc32_z(crc, (const uint8_t *)out->p + w->rows, nsections * HBM_ENTRY);
	put_at(out, start + HBM_HEADER - 4, crc, 4);
	return HB_OK;
}

hb_status
hb_hbm_write(hb_ctx *cx, hb_program *const *programs, size_t n, const hb_hbm_options *o, hb_buf *out)
{
	writer w = {.cx = cx, .out = out, .deflate = o && o->deflate, .strings = {.cx = cx}, .section = {.cx = cx}};
	if (n < 1 || n > UINT16_MAX)
		return hb_error(cx, HB_ERR_UNSUPPORTED, NULL, "hbm-models", "%zu models; an .hbm holds 1 to 65535", n);
	for (size_t k = 1; k < n; k++)
		if (strcmp(programs[k]->march, programs[0]->march) != 0)
			return hb_error(cx, HB_ERR_UNSUPPORTED, programs[k]->name, "hbm-march",
					"is for march %s, the first model for %s; an .hbm holds one march",
					programs[k]->march, programs[0]->march);
	out->cx = cx;
	w.arena = hb_arena_new(cx);
	w.ids = w.arena ? hb_map_new(w.arena) : NULL;
	hb_status st = w.ids ? write_all(&w, programs, n) : hb_nomem(cx, "writing the .hbm");
	if (w.arena)
		hb_arena_free(w.arena);
	hb_buf_free(&w.strings);
	hb_buf_free(&w.section);
	return st;
}
