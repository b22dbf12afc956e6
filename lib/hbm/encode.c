/* encode.c: instructions as little-endian 32-bit words, by the rows of insn.def (man/hbm.5). */
#include "lib/hbm/format.h"

static size_t
view_words(const hb_view *v)
{
	return 2 + 2 * (size_t)v->rank + (v->ring_rows ? 2 : 0);
}

bool
hbm_encode(const hb_insn *i, hb_buf *out)
{
	const hb_insn_row *row = hb_insn_row_of(i->op);
	size_t length = 3 + (size_t)row->nimms;
	for (int k = 0; k < i->nv; k++)
		length += view_words(&i->v[k]);
	for (int e = 0; e < HB_NENGINES; e++)
		length += i->wait_mask >> e & 1;
	hb_buf_u32(out, (uint32_t)i->op | (uint32_t)i->engine << 8 | (uint32_t)length << 16);
	hb_buf_u32(out, i->node < 0 ? HBM_NONE : (uint32_t)i->node);
	hb_buf_u32(out, i->wait_mask | (uint32_t)i->nv << 16);
	for (int e = 0; e < HB_NENGINES; e++)
		if (i->wait_mask >> e & 1)
			hb_buf_u32(out, i->wait[e]);
	for (int k = 0; k < i->nv; k++) {
		const hb_view *v = &i->v[k];
		if (v->buf >= HBM_BUFS)
			return false;
		hb_buf_u32(out, (uint32_t)v->space | (uint32_t)v->dtype << 3 | (uint32_t)v->rank << 7 |
				(uint32_t)(v->ring_rows != 0) << 10 | v->buf << 11);
		hb_buf_u32(out, v->base);
		for (int d = 0; d < v->rank; d++) {
			hb_buf_u32(out, v->ext[d]);
			hb_buf_u32(out, v->stride[d]);
		}
		if (v->ring_rows) {
			hb_buf_u32(out, v->ring_rows);
			hb_buf_u32(out, v->ring_first);
		}
	}
	for (int k = 0; k < row->nimms; k++)
		hb_buf_u32(out, (uint32_t)i->imm[k]);
	return true;
}

static int32_t
as_i32(uint32_t x)
{
	return x <= INT32_MAX ? (int32_t)x : -(int32_t)(UINT32_MAX - x) - 1;
}

size_t
hbm_decode(const uint8_t *words, size_t n, hb_insn *out, const char **why)
{
	hb_cursor c = {.p = words, .end = words + 4 * n};
	uint32_t head = hb_get_u32(&c), length = head >> 16;
	const hb_insn_row *row = hb_insn_row_of((hb_opcode)(head & 0xff));
	*out = (hb_insn){.op = (hb_opcode)(head & 0xff), .engine = (hb_engine)(head >> 8 & 0xff)};
	*why = "an instruction is cut short";
	if (length < 3 || length > n)
		return 0;
	c.end = words + 4 * (size_t)length;
	*why = "an instruction has an unknown code, engine or number of operands";
	if (!row || (unsigned)out->engine >= HB_NENGINES)
		return 0;
	out->node = as_i32(hb_get_u32(&c));
	uint32_t counts = hb_get_u32(&c);
	out->wait_mask = counts & 0xffff;
	out->nv = (int)(counts >> 16);
	if (out->wait_mask >> HB_NENGINES || out->nv > row->noperands)
		return 0;
	for (int e = 0; e < HB_NENGINES; e++)
		if (out->wait_mask >> e & 1)
			out->wait[e] = hb_get_u32(&c);
	for (int k = 0; k < out->nv; k++) {
		hb_view *v = &out->v[k];
		uint32_t w = hb_get_u32(&c);
		v->space = (hb_space)(w & 7);
		v->dtype = (hb_dtype)(w >> 3 & 15);
		v->rank = (int)(w >> 7 & 7);
		v->buf = w >> 11;
		v->base = hb_get_u32(&c);
		if (v->rank > HB_VIEW_RANK) {
			*why = "a view's rank is outside 1..6";
			return 0;
		}
		for (int d = 0; d < v->rank; d++) {
			v->ext[d] = hb_get_u32(&c);
			v->stride[d] = hb_get_u32(&c);
		}
		if (w >> 10 & 1) {
			v->ring_rows = hb_get_u32(&c);
			v->ring_first = hb_get_u32(&c);
		}
	}
	for (int k = 0; k < row->nimms; k++)
		out->imm[k] = as_i32(hb_get_u32(&c));
	*why = "an instruction's length is not that of its parts";
	return c.bad || c.p != c.end ? 0 : length;
}
