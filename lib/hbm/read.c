/* read.c: an .hbm's bytes as programs. Every count is held against the bytes that are left
 * before it reaches an allocation or a loop; hb_program_check has the last word. */
#include "lib/hbm/format.h"
#include "lib/hbm/hbm.h"
#include "lib/onnx/onnx.h"
#include "lib/pass/pass.h"

#include <math.h>
#include <zlib.h>

typedef struct reader {
	hb_ctx *cx;
	hb_arena *arena;
	const uint8_t *p;
	size_t n;
	uint32_t nsections;
	const char **strings;
	uint32_t nstrings;
	hb_program *prog;
} reader;

static hb_status bad(reader *r, const char *fmt, ...) HB_PRINTF(2, 3);

static hb_status
bad(reader *r, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	hb_vdiag(r->cx, HB_ERROR, HB_ERR_INPUT, NULL, "hbm", fmt, ap);
	va_end(ap);
	return HB_ERR_INPUT;
}

static hb_status
no_memory(reader *r)
{
	return hb_nomem(r->cx, "reading the .hbm");
}

/* A count of records of at least `size` bytes each. */
static hb_status
get_count(reader *r, hb_cursor *c, size_t size, const char *what, size_t *out)
{
	uint32_t n = hb_get_u32(c);
	*out = 0;
	if (c->bad || n > (size_t)(c->end - c->p) / size)
		return bad(r, "%u %s are announced where %zu bytes are left", n, what, (size_t)(c->end - c->p));
	*out = n;
	return HB_OK;
}

static hb_status
get_string(reader *r, hb_cursor *c, bool may_be_none, const char **out)
{
	uint32_t id = hb_get_u32(c);
	*out = NULL;
	if (c->bad || (id >= r->nstrings && !(may_be_none && id == HBM_NONE)))
		return bad(r, "a string that is not there is named");
	if (id < r->nstrings)
		*out = r->strings[id];
	return HB_OK;
}

static float
get_f32(hb_cursor *c)
{
	uint32_t bits = hb_get_u32(c);
	float x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

static hb_status
get_rows(reader *r, hb_cursor *c, const char *what, int **out, size_t *n)
{
	HB_TRY(get_count(r, c, 4, what, n));
	int *rows = HB_NEW_N(r->arena, int, *n + 1);
	if (!rows)
		return no_memory(r);
	for (size_t k = 0; k < *n; k++) {
		uint32_t row = hb_get_u32(c);
		if (row > INT32_MAX)
			return bad(r, "a tensor that is not there is named");
		rows[k] = (int)row;
	}
	*out = rows;
	return HB_OK;
}

static hb_status
at_end(reader *r, const hb_cursor *c, const char *what)
{
	if (c->bad)
		return bad(r, "the section of %s is cut short", what);
	return c->p == c->end ? HB_OK : bad(r, "%zu bytes follow in the section of %s", (size_t)(c->end - c->p), what);
}

/* ---- sections ---- */

static hb_status
inflate_section(reader *r, const uint8_t *p, uint64_t stored, uint64_t size, hb_cursor *out)
{
	if (size / HBM_RATIO > stored || size > UINT32_MAX)
		return bad(r, "a section of %llu bytes claims to inflate to %llu", (unsigned long long)stored,
			   (unsigned long long)size);
	uint8_t *to = hb_arena_alloc(r->arena, (size_t)size + 1);
	if (!to)
		return no_memory(r);
	uLongf got = (uLongf)size + 1;
	if (uncompress(to, &got, p, (uLong)stored) != Z_OK || got != size)
		return bad(r, "a deflated section is damaged");
	*out = (hb_cursor){.p = to, .end = to + size};
	return HB_OK;
}

/* A section's bytes, its CRC checked. */
static hb_status
find_section(reader *r, hbm_kind kind, uint32_t model, const char *what, hb_cursor *out)
{
	size_t k = kind == HBM_STRINGS ? r->nsections - 1 : (size_t)model * HBM_PER_MODEL + (kind - HBM_MODEL);
	hb_cursor c = {.p = r->p + HBM_HEADER + k * HBM_ENTRY, .end = r->p + r->n};
	if (hb_get_u32(&c) != kind || hb_get_u32(&c) != model)
		return bad(r, "section %zu is not that of %s", k, what);
	uint64_t at = hb_get_u64(&c), stored = hb_get_u64(&c), size = hb_get_u64(&c);
	uint32_t flags = hb_get_u32(&c), crc = hb_get_u32(&c);
	if (flags & ~HBM_DEFLATED)
		return bad(r, "the section of %s has unknown flags", what);
	if (crc != (stored ? (uint32_t)crc32_z(0, r->p + at, (size_t)stored) : 0))
		return bad(r, "the CRC of the section of %s is wrong", what);
	if (flags & HBM_DEFLATED)
		return inflate_section(r, r->p + at, stored, size, out);
	if (size != stored)
		return bad(r, "the section of %s has two sizes", what);
	*out = (hb_cursor){.p = r->p + at, .end = r->p + at + stored};
	return HB_OK;
}

static hb_status
read_strings(reader *r)
{
	hb_cursor c;
	size_t n;
	HB_TRY(find_section(r, HBM_STRINGS, HBM_NONE, "strings", &c));
	HB_TRY(get_count(r, &c, 4, "strings", &n));
	r->strings = HB_NEW_N(r->arena, const char *, n + 1);
	if (!r->strings)
		return no_memory(r);
	for (size_t k = 0; k < n; k++) {
		uint32_t bytes = hb_get_u32(&c);
		const uint8_t *s = hb_get_bytes(&c, bytes);
		if (!s && bytes)
			break;
		if (bytes && memchr(s, 0, bytes))
			return bad(r, "a string holds a 0 byte");
		r->strings[k] = bytes ? hb_arena_strn(r->arena, (const char *)s, bytes) : "";
		if (!r->strings[k])
			return no_memory(r);
	}
	r->nstrings = (uint32_t)n;
	return at_end(r, &c, "strings");
}

static hb_status
read_meta(reader *r, hb_cursor *c)
{
	size_t n;
	hb_meta **last = &r->prog->meta;
	HB_TRY(get_count(r, c, 8, "properties", &n));
	for (size_t k = 0; k < n; k++) {
		hb_meta *m = HB_NEW(r->arena, hb_meta);
		if (!m)
			return no_memory(r);
		HB_TRY(get_string(r, c, false, &m->key));
		HB_TRY(get_string(r, c, false, &m->value));
		*last = m;
		last = &m->next;
	}
	return HB_OK;
}

static hb_status
read_model(reader *r, uint32_t model)
{
	hb_program *p = r->prog;
	hb_cursor c;
	HB_TRY(find_section(r, HBM_MODEL, model, "a model", &c));
	HB_TRY(get_string(r, &c, false, &p->name));
	HB_TRY(get_string(r, &c, false, &p->march));
	uint32_t level = hb_get_u32(&c), cores = hb_get_u32(&c), flags = hb_get_u32(&c);
	if (level > 3 || cores < 1 || cores > 2 || flags > 1)
		return bad(r, "a model's level, cores or flags are none that exist");
	p->level = (int)level;
	p->cores = (int)cores;
	p->uncalibrated = flags & 1;
	for (int s = 0; s < HB_NSPACES; s++)
		p->size[s] = hb_get_u64(&c);
	HB_TRY(get_rows(r, &c, "inputs", &p->inputs, &p->ninputs));
	HB_TRY(get_rows(r, &c, "outputs", &p->outputs, &p->noutputs));
	HB_TRY(read_meta(r, &c));
	return at_end(r, &c, "a model");
}

static hb_status
read_scales(reader *r, hb_cursor *c, hb_q *q)
{
	size_t n;
	HB_TRY(get_count(r, c, 4, "scales", &n));
	if (n != 0 && q->dtype == HB_NONE)
		return bad(r, "a tensor that is not quantized has scales");
	if (q->dtype == HB_NONE)
		return HB_OK;
	if (n < 1 || n > INT32_MAX)
		return bad(r, "a quantized tensor has no scale");
	float *scales = HB_NEW_N(r->arena, float, n);
	if (!scales)
		return no_memory(r);
	for (size_t k = 0; k < n; k++) {
		scales[k] = get_f32(c);
		if (!isfinite(scales[k]) || scales[k] <= 0)
			return bad(r, "a scale is not positive and finite");
	}
	q->nscales = (int)n;
	q->scale = scales[0];
	q->scales = n > 1 ? scales : NULL;
	return HB_OK;
}

static hb_status
get_dtype(reader *r, hb_cursor *c, bool may_be_none, hb_dtype *out)
{
	uint32_t x = hb_get_u32(c);
	if (c->bad || x >= HB_NDTYPES || (x == HB_NONE && !may_be_none))
		return bad(r, "a tensor has an unknown element type");
	*out = (hb_dtype)x;
	return HB_OK;
}

static hb_status
read_tensor(reader *r, hb_cursor *c, hb_place_row *t)
{
	HB_TRY(get_string(r, c, false, &t->name));
	HB_TRY(get_dtype(r, c, false, &t->dtype));
	uint32_t space = hb_get_u32(c);
	t->space = (hb_space)HB_MIN(space, HB_NSPACES);
	t->addr = hb_get_u32(c);
	t->bytes = hb_get_u64(c);
	HB_TRY(get_dtype(r, c, true, &t->q.dtype));
	if (!(HB_BIT(t->q.dtype) & (HB_BIT(HB_NONE) | HB_BIT(HB_I8) | HB_BIT(HB_I16) | HB_BIT(HB_I32) | HB_BIT(HB_BOOL))))
		return bad(r, "a tensor is quantized to %s", hb_dtype_name(t->q.dtype));
	uint32_t axis = hb_get_u32(c);
	t->q.axis = axis < HB_MAX_RANK ? (int)axis : -1;
	t->q.min = get_f32(c);
	t->q.max = get_f32(c);
	HB_TRY(get_string(r, c, true, &t->q.observer));
	HB_TRY(read_scales(r, c, &t->q));
	uint32_t rank = hb_get_u32(c);
	if (rank > HB_MAX_RANK)
		return bad(r, "a tensor has rank %u; 0 to 16 are taken", rank);
	t->shape.rank = (int)rank;
	for (uint32_t d = 0; d < rank; d++) {
		uint64_t n = hb_get_u64(c);
		uint32_t order = hb_get_u32(c);
		t->shape.dim[d] = n > INT64_MAX ? -1 : (int64_t)n;
		t->order[d] = (int)HB_MIN(order, HB_MAX_RANK);
		t->stride[d] = hb_get_u32(c);
	}
	return HB_OK;
}

static hb_status
read_tensors(reader *r, uint32_t model)
{
	hb_program *p = r->prog;
	hb_cursor c;
	HB_TRY(find_section(r, HBM_TENSORS, model, "tensors", &c));
	HB_TRY(get_count(r, &c, 52, "tensors", &p->nplaces));
	p->places = HB_NEW_N(r->arena, hb_place_row, p->nplaces + 1);
	if (!p->places)
		return no_memory(r);
	for (size_t k = 0; k < p->nplaces; k++)
		HB_TRY(read_tensor(r, &c, &p->places[k]));
	return at_end(r, &c, "tensors");
}

static hb_status
read_parameters(reader *r, uint32_t model)
{
	hb_program *p = r->prog;
	hb_cursor c;
	HB_TRY(find_section(r, HBM_PARAMETERS, model, "parameters", &c));
	if ((uint64_t)(c.end - c.p) != p->size[HB_PAR])
		return bad(r, "the section of parameters has %zu bytes, the model %llu", (size_t)(c.end - c.p),
			   (unsigned long long)p->size[HB_PAR]);
	/* kept aligned, for the kernels */
	p->par = hb_arena_alloc(r->arena, (size_t)p->size[HB_PAR] + 1024);
	if (!p->par)
		return no_memory(r);
	if (p->size[HB_PAR])
		memcpy(p->par, c.p, (size_t)p->size[HB_PAR]);
	return HB_OK;
}

static hb_status
read_segment(reader *r, hb_cursor *c, hb_segment *s, hb_cursor *insns)
{
	uint32_t cpu = hb_get_u32(c), n = hb_get_u32(c);
	if (cpu > 1)
		return bad(r, "a segment runs neither on the BPU nor on the CPU");
	s->cpu = cpu;
	HB_TRY(get_rows(r, c, "a segment's inputs", &s->ins, &s->nins));
	HB_TRY(get_rows(r, c, "a segment's outputs", &s->outs, &s->nouts));
	HB_TRY(get_count(r, c, 16, "buffers", &s->nbufs));
	s->bufs = HB_NEW_N(r->arena, hb_buf_row, s->nbufs + 1);
	if (!s->bufs)
		return no_memory(r);
	for (size_t k = 0; k < s->nbufs; k++) {
		hb_buf_row *b = &s->bufs[k];
		HB_TRY(get_string(r, c, true, &b->name));
		if (!b->name)
			b->name = "";
		uint32_t space = hb_get_u32(c);
		if (space >= HB_NSPACES)
			return bad(r, "a buffer lies in no memory space");
		b->space = (hb_space)space;
		b->addr = hb_get_u32(c);
		b->bytes = hb_get_u32(c);
		b->first = b->last = -1;
	}
	if (n > (size_t)(insns->end - insns->p) / 12)
		return bad(r, "%u instructions are announced where %zu bytes are left", n, (size_t)(insns->end - insns->p));
	s->list.insns = HB_NEW_N(r->arena, hb_insn, (size_t)n + 1);
	if (!s->list.insns)
		return no_memory(r);
	s->list.cap = (size_t)n + 1;
	for (; s->list.n < n; s->list.n++) {
		const char *why;
		hb_insn *i = &s->list.insns[s->list.n];
		size_t words = hbm_decode(insns->p, (size_t)(insns->end - insns->p) / 4, i, &why);
		if (!words)
			return bad(r, "instruction %zu: %s", s->list.n, why);
		insns->p += 4 * words;
		for (int k = 0; k < i->nv; k++) {
			if (i->v[k].buf >= s->nbufs)
				return bad(r, "instruction %zu names a buffer that is not there", s->list.n);
			hb_buf_row *b = &s->bufs[i->v[k].buf];
			b->first = b->first < 0 ? (int)s->list.n : b->first;
			b->last = (int)s->list.n;
		}
	}
	return HB_OK;
}

static hb_status
read_segments(reader *r, uint32_t model)
{
	hb_program *p = r->prog;
	hb_cursor c, insns;
	HB_TRY(find_section(r, HBM_SEGMENTS, model, "segments", &c));
	HB_TRY(find_section(r, HBM_INSNS, model, "instructions", &insns));
	HB_TRY(get_count(r, &c, 20, "segments", &p->nsegments));
	p->segments = HB_NEW_N(r->arena, hb_segment, p->nsegments + 1);
	if (!p->segments)
		return no_memory(r);
	for (size_t k = 0; k < p->nsegments; k++)
		HB_TRY(read_segment(r, &c, &p->segments[k], &insns));
	HB_TRY(at_end(r, &insns, "instructions"));
	return at_end(r, &c, "segments");
}

static hb_status
read_graphs(reader *r, uint32_t model)
{
	hb_program *p = r->prog;
	hb_cursor c;
	HB_TRY(find_section(r, HBM_GRAPHS, model, "CPU graphs", &c));
	for (size_t k = 0; k < p->nsegments; k++) {
		hb_segment *s = &p->segments[k];
		if (!s->cpu)
			continue;
		uint64_t n = hb_get_u64(&c);
		const uint8_t *onnx = hb_get_bytes(&c, n);
		if (!onnx)
			return bad(r, "the section of CPU graphs is cut short");
		hb_status st = hb_onnx_parse(r->cx, onnx, (size_t)n, NULL, NULL, &s->graph);
		if (st == HB_OK)
			st = hb_pass_shapes(s->graph, false);
		if (st != HB_OK)	/* what it says about the graph is about this file's contents */
			return st == HB_ERR_NOMEM || st == HB_ERR_SYSTEM ? st : HB_ERR_INPUT;
	}
	return at_end(r, &c, "CPU graphs");
}

static hb_status
read_nodes(reader *r, uint32_t model)
{
	hb_program *p = r->prog;
	hb_cursor c;
	HB_TRY(find_section(r, HBM_NODES, model, "nodes", &c));
	HB_TRY(get_count(r, &c, 20, "nodes", &p->nnodes));
	p->nodes = HB_NEW_N(r->arena, hb_node_row, p->nnodes + 1);
	if (!p->nodes)
		return no_memory(r);
	for (size_t k = 0; k < p->nnodes; k++) {
		hb_node_row *n = &p->nodes[k];
		HB_TRY(get_string(r, &c, false, &n->name));
		HB_TRY(get_string(r, &c, false, &n->op_type));
		uint32_t segment = hb_get_u32(&c);
		uint64_t macs = hb_get_u64(&c);
		if ((segment >= p->nsegments && segment != HBM_NONE) || macs > INT64_MAX / 2)
			return bad(r, "node %zu has a segment or a number of MACs that cannot be", k);
		n->segment = segment == HBM_NONE ? -1 : (int)segment;
		n->macs = (int64_t)macs;
	}
	return at_end(r, &c, "nodes");
}

/* Sections follow the table and one another. */
static hb_status
check_table(reader *r)
{
	uint64_t end = HBM_HEADER + (uint64_t)r->nsections * HBM_ENTRY;
	for (uint32_t k = 0; k < r->nsections; k++) {
		hb_cursor c = {.p = r->p + HBM_HEADER + (size_t)k * HBM_ENTRY + 8, .end = r->p + r->n};
		uint64_t at = hb_get_u64(&c), stored = hb_get_u64(&c);
		if (at < end || at > r->n || stored > r->n - at)
			return bad(r, "section %u lies outside the file or over another", k);
		end = at + stored;
	}
	return HB_OK;
}

/* The header; how many models there are. */
static hb_status
read_header(reader *r, size_t *models)
{
	hb_cursor c = {.p = r->p, .end = r->p + r->n};
	const uint8_t *magic = hb_get_bytes(&c, 8);
	if (!magic || memcmp(magic, HBM_MAGIC, 8) != 0)
		return bad(r, "this is no .hbm file");
	uint16_t major = hb_get_u16(&c), minor = hb_get_u16(&c);
	if (major != HBM_MAJOR)
		return bad(r, "version %u.%u of the .hbm format; this program reads %d.x", major, minor, HBM_MAJOR);
	r->nsections = hb_get_u32(&c);
	uint64_t size = hb_get_u64(&c);
	uint32_t flags = hb_get_u32(&c), crc = hb_get_u32(&c);
	if (c.bad || size != r->n)
		return bad(r, "the file has %zu bytes and says %llu", r->n, (unsigned long long)size);
	if (r->nsections > (r->n - HBM_HEADER) / HBM_ENTRY)
		return bad(r, "%u sections are announced where %zu bytes are left", r->nsections, r->n - HBM_HEADER);
	uint32_t sum = (uint32_t)crc32_z(0, r->p, HBM_HEADER - 4);
	sum = (uint32_t)crc32_z(sum, r->p + HBM_HEADER, (size_t)r->nsections * HBM_ENTRY);
	if (sum != crc || flags)
		return bad(r, "the CRC of the header is wrong");
	if (r->nsections < 1 + HBM_PER_MODEL || (r->nsections - 1) % HBM_PER_MODEL)
		return bad(r, "%u sections are those of no number of models", r->nsections);
	*models = (r->nsections - 1) / HBM_PER_MODEL;
	if (*models > UINT16_MAX)
		return bad(r, "%zu models; an .hbm holds 1 to 65535", *models);
	return check_table(r);
}

static hb_status
read_program(reader *r, uint32_t model, hb_program **out)
{
	hb_program *p = r->prog = HB_NEW(r->arena, hb_program);
	if (!p)
		return no_memory(r);
	p->arena = r->arena;
	HB_TRY(read_model(r, model));
	HB_TRY(read_tensors(r, model));
	HB_TRY(read_parameters(r, model));
	HB_TRY(read_segments(r, model));
	HB_TRY(read_graphs(r, model));
	HB_TRY(read_nodes(r, model));
	HB_TRY(hb_program_check(r->cx, p));
	*out = p;
	return HB_OK;
}

hb_status
hb_hbm_read(hb_ctx *cx, const uint8_t *p, size_t n, hb_arena *a, hb_hbm *out)
{
	reader r = {.cx = cx, .arena = a, .p = p, .n = n};
	size_t models = 0;
	HB_TRY(read_header(&r, &models));
	HB_TRY(read_strings(&r));
	hb_program **programs = HB_NEW_N(a, hb_program *, models);
	if (!programs)
		return no_memory(&r);
	for (size_t k = 0; k < models; k++) {
		HB_TRY(read_program(&r, (uint32_t)k, &programs[k]));
		if (k && strcmp(programs[k]->march, programs[0]->march) != 0)
			return bad(&r, "models of marches %s and %s", programs[0]->march, programs[k]->march);
	}
	*out = (hb_hbm){.march = programs[0]->march, .programs = programs, .n = models};
	return HB_OK;
}
