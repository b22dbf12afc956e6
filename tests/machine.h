/* machine.h: programs made by hand, for the tests of view, insn, sim, hazard, estimate, hbm. */
#ifndef HB_TEST_MACHINE_H
#define HB_TEST_MACHINE_H

#include "lib/isa/program.h"
#include "march/march.h"
#include "tests/test.h"

typedef struct rng {
	uint64_t x;
} rng;

/* xorshift64 (Marsaglia 2003) */
static inline uint32_t
rng_below(rng *r, uint32_t n)
{
	r->x ^= r->x << 13;
	r->x ^= r->x >> 7;
	r->x ^= r->x << 17;
	return (uint32_t)(r->x >> 32) % n;
}

/* Elements one after the other. */
static inline hb_view
dense_view(hb_space space, uint32_t buf, hb_dtype dt, uint32_t base, int rank, ...)
{
	hb_view v = {.space = space, .dtype = dt, .rank = rank, .buf = buf, .base = base};
	va_list ap;
	va_start(ap, rank);
	for (int d = 0; d < rank; d++)
		v.ext[d] = va_arg(ap, uint32_t);
	va_end(ap);
	uint32_t step = (uint32_t)hb_dtype_size(dt);
	for (int d = rank; d-- > 0; step *= v.ext[d])
		v.stride[d] = step;
	return v;
}

/* Rows of a ring of `rows` slots, from slot `first`. */
static inline hb_view
ring_view(hb_view v, uint32_t rows, uint32_t first)
{
	v.ring_rows = rows;
	v.ring_first = first;
	return v;
}

static inline void
wait_for(hb_insn *i, hb_engine e, uint32_t n)
{
	i->wait_mask |= 1u << e;
	i->wait[e] = n;
}

/* The figures that MACHINE 8's times are for. */
static const hb_figures example_figures = {
	.name = "example", .cores = 1, .clock_ghz = 1, .sram_bytes = 0x1280, .c_align = 16, .granule = 64,
	.mac_h = 1, .mac_w = 8, .mac_c = 16, .mac_n = 16, .macs_per_cycle = 256, .k0_percent = 0,
	.dw_h = 1, .dw_w = 8, .dw_c = 16, .dw_macs_per_cycle = 16,
	.start_mac = 8, .start_vec = 8, .start_dma = 39,
	.vec_x100 = 1600, .lut_x100 = 1600, .copy_x100 = 1600, .dma_bytes_x100 = 800,
};

enum { WA, WB, BX, BA, BB, BIN, BPAR, BOUT };	/* the example's buffers */

static inline void
example_copy(hb_list *l, hb_engine e, hb_view out, hb_view a, int node)
{
	l->insns[l->n++] = (hb_insn){.op = HB_I_copy, .engine = e, .node = node, .nv = 2, .v = {out, a}};
}

static inline void
example_conv(hb_list *l, hb_view out, hb_view a, hb_view w, hb_view rec, int pt, int pl, int node)
{
	hb_insn i = {.op = HB_I_conv, .engine = HB_M0, .node = node, .nv = 4, .v = {out, a, w, rec}};
	int32_t *m = i.imm;
	m[HB_IMM_conv_sh] = m[HB_IMM_conv_sw] = m[HB_IMM_conv_dh] = m[HB_IMM_conv_dw] = m[HB_IMM_conv_groups] = 1;
	m[HB_IMM_conv_pt] = pt;
	m[HB_IMM_conv_pl] = pl;
	m[HB_IMM_conv_qmin] = -128;
	m[HB_IMM_conv_qmax] = 127;
	l->insns[l->n++] = i;
}

static inline void
example_add(hb_list *l, hb_view out, hb_view a, hb_view b, int node)
{
	hb_insn i = {.op = HB_I_ew, .engine = HB_V0, .node = node, .nv = 3, .v = {out, a, b}};
	int32_t *m = i.imm;
	m[HB_IMM_ew_fn] = HB_FN_add;
	m[HB_IMM_ew_ma] = m[HB_IMM_ew_mb] = 2;
	m[HB_IMM_ew_shift] = 1;
	m[HB_IMM_ew_qmin] = -128;
	m[HB_IMM_ew_qmax] = 127;
	l->insns[l->n++] = i;
}

static inline hb_place_row
example_place(const char *name, hb_space space)
{
	return (hb_place_row){
		.name = name, .shape = {4, {1, 16, 8, 8}}, .dtype = HB_F32, .space = space, .bytes = 1024,
		.q = {.dtype = HB_I8, .nscales = 1, .scale = 0.5f, .observer = "fixed"},
		.order = {0, 2, 3, 1}, .stride = {1024, 1, 128, 16},
	};
}

/* Weights and records of one conv at p: taps of small random values, M = 2^30, e by channel. */
static inline void
example_weights(rng *r, uint8_t *p, int taps)
{
	int32_t rec[16][4];
	for (int k = 0; k < 16 * taps * 16; k++)
		p[k] = (uint8_t)(int8_t)((int)rng_below(r, 15) - 7);
	for (int c = 0; c < 16; c++) {
		rec[c][0] = (int)rng_below(r, 2001) - 1000;
		rec[c][1] = 1 << 30;
		rec[c][2] = 0;
		rec[c][3] = (64 - 6 - c % 3) | 64 << 8;
	}
	memcpy(p + 16 * taps * 16, rec, sizeof rec);
}

/* MACHINE 8: x 8x8x16; a = conv3x3(x); b = conv1x1(a); b += x in place. One group, two bands, slack 0. */
static inline hb_program *
example_program(hb_arena *arena, uint64_t seed)
{
	hb_program *p = HB_NEW(arena, hb_program);
	rng r = {seed * 2 + 1};
	*p = (hb_program){
		.arena = arena, .name = "example", .march = "example", .level = 1, .cores = 1,
		.places = HB_NEW_N(arena, hb_place_row, 2), .nplaces = 2,
		.inputs = HB_NEW_N(arena, int, 1), .ninputs = 1, .outputs = HB_NEW_N(arena, int, 1), .noutputs = 1,
		.segments = HB_NEW(arena, hb_segment), .nsegments = 1,
		.nodes = HB_NEW_N(arena, hb_node_row, 3), .nnodes = 3,
		.size = {[HB_S0] = 0x1280, [HB_IN] = 1024, [HB_OUT] = 1024, [HB_PAR] = 2560 + 512},
		.par = hb_arena_alloc(arena, 2560 + 512),
	};
	p->places[0] = example_place("x", HB_IN);
	p->places[1] = example_place("b", HB_OUT);
	p->inputs[0] = 0;
	p->outputs[0] = 1;
	p->nodes[0] = (hb_node_row){"a", "Conv", 0, 8 * 8 * 16 * 16 * 9};
	p->nodes[1] = (hb_node_row){"b", "Conv", 0, 8 * 8 * 16 * 16};
	p->nodes[2] = (hb_node_row){"add", "Add", 0, 0};
	example_weights(&r, p->par, 9);
	example_weights(&r, p->par + 2560, 1);

	static const hb_buf_row bufs[] = {
		[WA] = {HB_S0, 2560, 64, 0, 0, 8, "wa"}, [WB] = {HB_S0, 512, 64, 0xc80, 1, 9, "wb"},
		[BX] = {HB_S0, 640, 64, 0xa00, 2, 10, "x"}, [BA] = {HB_S0, 512, 64, 0xe80, 3, 9, "a"},
		[BB] = {HB_S0, 512, 64, 0x1080, 4, 11, "b"}, [BIN] = {HB_IN, 1024, 64, 0, 2, 7, "x"},
		[BPAR] = {HB_PAR, 3072, 64, 0, 0, 1, "par"}, [BOUT] = {HB_OUT, 1024, 64, 0, 6, 11, "b"},
	};
	hb_segment *s = p->segments;
	s->bufs = hb_arena_dup(arena, bufs, sizeof bufs);
	s->nbufs = HB_LEN(bufs);
	s->ins = p->inputs;
	s->outs = p->outputs;
	s->nins = s->nouts = 1;
	hb_list *l = &s->list;
	l->insns = HB_NEW_N(arena, hb_insn, l->cap = 12);

	hb_view wa = dense_view(HB_S0, WA, HB_I8, 0, 4, 16u, 3u, 3u, 16u), ra = dense_view(HB_S0, WA, HB_I32, 2304, 2, 16u, 4u);
	hb_view wb = dense_view(HB_S0, WB, HB_I8, 0xc80, 4, 16u, 1u, 1u, 16u), rb = dense_view(HB_S0, WB, HB_I32, 0xd80, 2, 16u, 4u);
	hb_view x5 = dense_view(HB_S0, BX, HB_I8, 0xa00, 3, 5u, 8u, 16u), x3 = dense_view(HB_S0, BX, HB_I8, 0xa00, 3, 3u, 8u, 16u);
	hb_view x4 = dense_view(HB_S0, BX, HB_I8, 0xa00, 3, 4u, 8u, 16u);
	hb_view a4 = ring_view(dense_view(HB_S0, BA, HB_I8, 0xe80, 3, 4u, 8u, 16u), 4, 0);
	hb_view b4 = ring_view(dense_view(HB_S0, BB, HB_I8, 0x1080, 3, 4u, 8u, 16u), 4, 0);

	example_copy(l, HB_L0, dense_view(HB_S0, WA, HB_I8, 0, 1, 2560u), dense_view(HB_PAR, BPAR, HB_I8, 0, 1, 2560u), 0);
	example_copy(l, HB_L0, dense_view(HB_S0, WB, HB_I8, 0xc80, 1, 512u), dense_view(HB_PAR, BPAR, HB_I8, 2560, 1, 512u), 1);
	example_copy(l, HB_L0, ring_view(x5, 5, 0), dense_view(HB_IN, BIN, HB_I8, 0, 3, 5u, 8u, 16u), 0);
	example_conv(l, a4, ring_view(x5, 5, 0), wa, ra, 1, 1, 0);
	wait_for(&l->insns[3], HB_L0, 3);
	example_conv(l, b4, a4, wb, rb, 0, 0, 1);
	example_add(l, b4, b4, ring_view(x4, 5, 0), 2);
	wait_for(&l->insns[5], HB_M0, 2);
	example_copy(l, HB_ST0, dense_view(HB_OUT, BOUT, HB_I8, 0, 3, 4u, 8u, 16u), b4, 2);
	wait_for(&l->insns[6], HB_V0, 1);
	example_copy(l, HB_L0, ring_view(x3, 5, 0), dense_view(HB_IN, BIN, HB_I8, 640, 3, 3u, 8u, 16u), 0);
	wait_for(&l->insns[7], HB_V0, 1);
	example_conv(l, a4, ring_view(x5, 5, 3), wa, ra, 0, 1, 0);
	wait_for(&l->insns[8], HB_L0, 4);
	example_conv(l, b4, a4, wb, rb, 0, 0, 1);
	wait_for(&l->insns[9], HB_ST0, 1);
	example_add(l, b4, b4, ring_view(x4, 5, 4), 2);
	wait_for(&l->insns[10], HB_M0, 4);
	example_copy(l, HB_ST0, dense_view(HB_OUT, BOUT, HB_I8, 512, 3, 4u, 8u, 16u), b4, 2);
	wait_for(&l->insns[11], HB_V0, 2);
	return p;
}

/* What the example's output is, by plain loops over whole tensors (rows, columns, channels). */
static inline int8_t
example_requant(int64_t acc, const int32_t *rec)
{
	int e = (rec[3] & 255) - 64;
	int64_t y = (acc * rec[1] + ((int64_t)1 << (30 - e))) >> (31 - e);
	return (int8_t)(y < -128 ? -128 : y > 127 ? 127 : y);
}

static inline void
example_by_loops(const hb_program *p, int8_t x[8][8][16], int8_t out[8][8][16])
{
	int8_t a[8][8][16];
	int32_t ra[16][4], rb[16][4];
	const int8_t *wa = (const int8_t *)p->par, *wb = wa + 2560;
	memcpy(ra, wa + 2304, sizeof ra);
	memcpy(rb, wb + 256, sizeof rb);
	for (int y = 0; y < 8; y++)
		for (int c = 0; c < 8; c++)
			for (int o = 0; o < 16; o++) {
				int64_t acc = ra[o][0];
				for (int ky = 0; ky < 3; ky++)
					for (int kx = 0; kx < 3; kx++)
						for (int k = 0; k < 16; k++) {
							int iy = y + ky - 1, ix = c + kx - 1;
							if (iy >= 0 && iy < 8 && ix >= 0 && ix < 8)
								acc += x[iy][ix][k] * wa[((o * 3 + ky) * 3 + kx) * 16 + k];
						}
				a[y][c][o] = example_requant(acc, ra[o]);
			}
	for (int y = 0; y < 8; y++)
		for (int c = 0; c < 8; c++)
			for (int o = 0; o < 16; o++) {
				int64_t acc = rb[o][0];
				for (int k = 0; k < 16; k++)
					acc += a[y][c][k] * wb[o * 16 + k];
				int sum = example_requant(acc, rb[o]) + x[y][c][o];
				out[y][c][o] = (int8_t)(sum < -128 ? -128 : sum > 127 ? 127 : sum);
			}
}

/* A random legal stream on a small SRAM: loads, stores, moves and fills of up to three dimensions,
 * some in rings. Waits are then derived by `random_waits`. */
static inline hb_view
random_view(rng *r, hb_space space, uint32_t size, int rank, const uint32_t *ext)
{
	for (;;) {
		hb_view v = {.space = space, .dtype = HB_I8, .rank = rank, .buf = space};
		uint32_t step = 1;
		for (int d = rank; d-- > 0;) {
			v.ext[d] = ext[d];
			v.stride[d] = step;
			step = step * ext[d] + rng_below(r, 3) * (rng_below(r, 4) == 0);
		}
		if (rng_below(r, 4) == 0) {
			v.ring_rows = ext[0] + rng_below(r, 3);
			v.ring_first = rng_below(r, v.ring_rows);
			step += (v.ring_rows - ext[0]) * v.stride[0];
		}
		if (step > size)
			continue;
		v.base = rng_below(r, size - step + 1);
		return v;
	}
}

static inline hb_program *
random_program(hb_arena *arena, rng *r, size_t n)
{
	hb_program *p = HB_NEW(arena, hb_program);
	*p = (hb_program){
		.arena = arena, .name = "random", .march = "example", .cores = 1,
		.segments = HB_NEW(arena, hb_segment), .nsegments = 1,
		.size = {[HB_S0] = 128, [HB_HEAP] = 128, [HB_OUT] = 64, [HB_PAR] = 64},
		.par = hb_arena_alloc(arena, 64),
	};
	for (int k = 0; k < 64; k++)
		p->par[k] = (uint8_t)rng_below(r, 256);
	hb_segment *s = p->segments;
	s->bufs = HB_NEW_N(arena, hb_buf_row, HB_NSPACES);
	s->nbufs = HB_NSPACES;
	for (int k = 0; k < HB_NSPACES; k++)
		s->bufs[k] = (hb_buf_row){.space = (hb_space)k, .bytes = (uint32_t)p->size[k], .name = "all"};
	while (s->list.n < n) {
		hb_insn i = {.op = HB_I_copy, .engine = (hb_engine)rng_below(r, 4), .node = -1, .nv = 2};
		uint32_t ext[3] = {1 + rng_below(r, 3), 1 + rng_below(r, 3), 1 + rng_below(r, 6)};
		int rank = 1 + (int)rng_below(r, 3);
		hb_space a = HB_S0, out = HB_S0;
		if (i.engine == HB_M0)
			continue;
		if (i.engine == HB_L0)
			a = rng_below(r, 2) ? HB_HEAP : HB_PAR;
		if (i.engine == HB_ST0)
			out = rng_below(r, 3) ? HB_HEAP : HB_OUT;
		i.v[0] = random_view(r, out, (uint32_t)p->size[out], rank, ext);
		i.v[1] = random_view(r, a, (uint32_t)p->size[a], rank, ext);
		if (i.engine == HB_V0 && rng_below(r, 4) == 0) {
			i.op = HB_I_fill;
			i.nv = 1;
			i.imm[HB_IMM_fill_value] = (int32_t)rng_below(r, 256) - 128;
		}
		if (hb_insn_check(&i) == NULL)
			assert_true(hb_list_add(arena, &s->list, &i));
	}
	return p;
}

static inline bool
hulls_meet(const hb_view *a, const hb_view *b)
{
	uint64_t al[2], ah[2], bl[2], bh[2];
	if (a->space != b->space)
		return false;
	int na = hb_view_hull(a, al, ah), nb = hb_view_hull(b, bl, bh);
	for (int i = 0; i < na; i++)
		for (int j = 0; j < nb; j++)
			if (al[i] < bh[j] && bl[j] < ah[i])
				return true;
	return false;
}

/* Each instruction waits for the last of every other engine that it conflicts with. */
static inline void
random_waits(hb_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		uint32_t queued[HB_NENGINES] = {0};
		for (size_t j = 0; j < i; j++) {
			hb_insn *a = &l->insns[j], *b = &l->insns[i];
			queued[a->engine]++;
			for (int x = 0; x < a->nv && a->engine != b->engine; x++)
				for (int y = 0; y < b->nv; y++)
					if ((hb_insn_writes(a, x) || hb_insn_writes(b, y)) && hulls_meet(&a->v[x], &b->v[y]))
						wait_for(b, a->engine, queued[a->engine]);
		}
	}
}

#endif
