/* fuzz_hbm.c: any bytes to the .hbm reader; what it takes is checked, timed, shown, run where that is
 * quick, and written, and what comes out must be taken again. CRCs are set right first, so that what
 * lies behind them is reached. Built with libFuzzer (make fuzz), or as a program that replays the files
 * and folders it is given. */
#include "lib/hbm/format.h"
#include "lib/hbm/hbm.h"
#include "lib/run/run.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const hb_figures figures = {
	.name = "fuzz", .cores = 2, .clock_ghz = 1, .sram_bytes = 1 << 20, .c_align = 16, .granule = 64,
	.mac_h = 1, .mac_w = 8, .mac_c = 16, .mac_n = 16, .macs_per_cycle = 256, .k0_percent = 50,
	.dw_h = 1, .dw_w = 8, .dw_c = 16, .dw_macs_per_cycle = 16, .start_mac = 8, .start_vec = 8, .start_dma = 39,
	.vec_x100 = 1600, .lut_x100 = 1600, .copy_x100 = 1600, .dma_bytes_x100 = 800,
};

static void
put32(uint8_t *p, uint32_t x)
{
	for (int k = 0; k < 4; k++)
		p[k] = (uint8_t)(x >> 8 * k);
}

static void
mend(uint8_t *p, size_t size)
{
	if (size < HBM_HEADER || memcmp(p, HBM_MAGIC, 8) != 0)
		return;
	hb_cursor c = {.p = p + 12, .end = p + size};
	uint32_t n = hb_get_u32(&c);
	put32(p + 16, (uint32_t)size);
	put32(p + 20, 0);
	if (n > (size - HBM_HEADER) / HBM_ENTRY)
		return;
	for (uint32_t k = 0; k < n; k++) {
		uint8_t *row = p + HBM_HEADER + (size_t)k * HBM_ENTRY;
		c = (hb_cursor){.p = row + 8, .end = p + size};
		uint64_t at = hb_get_u64(&c), bytes = hb_get_u64(&c);
		if (at <= size && bytes <= size - at)
			put32(row + 36, bytes ? (uint32_t)crc32_z(0, p + at, bytes) : 0);
	}
	uint32_t crc = (uint32_t)crc32_z(0, p, HBM_HEADER - 4);
	put32(p + HBM_HEADER - 4, (uint32_t)crc32_z(crc, p + HBM_HEADER, (size_t)n * HBM_ENTRY));
}

/* The rows of a gather may begin anywhere in a granule. */
static bool
gathers(const hb_program *p)
{
	for (size_t s = 0; s < p->nsegments; s++)
		for (size_t i = 0; i < p->segments[s].list.n; i++)
			if (p->segments[s].list.insns[i].op == HB_I_copy && p->segments[s].list.insns[i].nv > 2)
				return true;
	return false;
}

/* Simulates with zeros where that takes little. */
static void
simulate(hb_ctx *cx, hb_arena *a, const hb_program *p)
{
	uint64_t elems = 0;
	for (size_t s = 0; s < p->nsegments; s++) {
		for (size_t i = 0; i < p->segments[s].list.n; i++) {
			const hb_insn *in = &p->segments[s].list.insns[i];
			uint64_t taps = in->op == HB_I_conv ? (uint64_t)in->v[2].ext[1] * in->v[2].ext[2] * in->v[2].ext[3] :
					in->op == HB_I_reduce ? (uint64_t)hb_view_elems(&in->v[1]) : 1;
			for (int k = 0; k < in->nv; k++) {
				uint64_t n = (uint64_t)hb_view_elems(&in->v[k]);
				if (n > 1 << 20 || taps > 1 << 20 || (elems += n * taps) > 1 << 22)
					return;
			}
		}
	}
	for (int sp = 0; sp < HB_NSPACES; sp++)
		if (p->size[sp] > 1 << 20)
			return;
	hb_val *in = HB_NEW_N(a, hb_val, p->ninputs + 1), *out = HB_NEW_N(a, hb_val, p->noutputs + 1);
	if (!in || !out || p->ninputs > 100 || p->noutputs > 100)
		return;
	for (size_t k = 0; k < p->ninputs; k++) {
		const hb_place_row *r = &p->places[p->inputs[k]];
		hb_dtype dt = r->q.dtype != HB_NONE ? HB_F32 : hb_place_dtype(r);
		in[k] = (hb_val){dt, r->shape, hb_arena_alloc(a, (size_t)hb_shape_elems(&r->shape) * hb_dtype_size(dt) + 1)};
		if (!in[k].data)
			return;
	}
	hb_sim_options o = {.tags = true};
	hb_sim_stats k;
	hb_sim *s;
	if (hb_sim_new(cx, p, &figures, &o, &s) != HB_OK)
		return;
	if (hb_sim_run(s, in, out) == HB_OK) {
		hb_sim_stats_get(s, &k);
		hb_estimate e;
		if (hb_estimate_run(cx, p, &figures, a, NULL, NULL, &e) == HB_OK && !gathers(p) &&
		    (e.loaded != k.loaded || e.stored != k.stored))
			abort();
	}
	hb_sim_free(s);
}

static void
all_of(hb_ctx *cx, hb_arena *a, const hb_hbm *h)
{
	for (size_t k = 0; k < h->n; k++) {
		const hb_program *p = h->programs[k];
		hb_hazard hazards[4];
		size_t n;
		hb_buf text = {.cx = cx};
		hb_estimate e;
		(void)hb_hazards(cx, p, hazards, 4, &n);
		(void)hb_estimate_run(cx, p, &figures, a, NULL, NULL, &e);
		hb_disas_text(p, &text);
		hb_buf_free(&text);
		simulate(cx, a, p);
	}
	hb_buf json = {.cx = cx}, out = {.cx = cx};
	hb_disas_json(h->programs, h->n, &json);
	hb_buf_free(&json);
	hb_hbm again;
	if (hb_hbm_write(cx, h->programs, h->n, NULL, &out) == HB_OK) {
		hb_status st = hb_hbm_read(cx, (const uint8_t *)out.p, out.len, a, &again);
		if (st != HB_OK && st != HB_ERR_NOMEM)
			abort();	/* what is written can be read */
	}
	hb_buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	hb_options o = {.jobs = 1, .max_memory = UINT64_C(64) << 20};
	hb_ctx *cx = hb_ctx_new(&o);
	uint8_t *copy = malloc(n + 1);
	hb_arena *a = cx ? hb_arena_new(cx) : NULL;
	if (copy && a) {
		hb_hbm h;
		memcpy(copy, p, n);
		mend(copy, n);
		if (hb_hbm_read(cx, copy, n, a, &h) == HB_OK)
			all_of(cx, a, &h);
		else if (!cx->errors)
			abort();	/* every failure says why */
	}
	hb_ctx_free(cx);
	free(copy);
	return 0;
}

#define CORPUS "tests/fuzz/corpus_hbm"
#include "tests/fuzz/replay.h"
