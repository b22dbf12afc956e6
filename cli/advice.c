/* advice.c: what each layer's time goes to, by the estimator's own timing of its instructions: each is timed
 * again with one figure of the march made ideal, and the difference is what that figure costs. */
#include "cli/advice.h"

#include <stdlib.h>

/* Cycles of one layer by what they are spent on. */
typedef struct spent {
	uint64_t bound;			/* multiplications at the full rate; vector work where a layer has none */
	uint64_t channels, area, passes, starts, lookups, vector;
	uint64_t mac;			/* instructions of the matrix engine */
	uint32_t ic, oc, rows, cols;	/* of the instruction that lost most by rounding */
	uint64_t most;
	bool depthwise;
} spent;

typedef struct tally {
	const hb_program *p;
	const hb_figures *f;
	hb_figures no_channels, no_area, no_passes, ideal;
	spent *of;			/* by row of p->nodes */
} tally;

static void
add_mac(tally *t, spent *s, const hb_insn *i)
{
	uint64_t is = hb_insn_cycles(t->f, i), ideal = hb_insn_cycles(&t->ideal, i);
	uint64_t channels = is - HB_MIN(is, hb_insn_cycles(&t->no_channels, i));
	uint64_t area = is - HB_MIN(is, hb_insn_cycles(&t->no_area, i));
	uint64_t passes = is - HB_MIN(is, hb_insn_cycles(&t->no_passes, i));
	uint32_t groups = (uint32_t)HB_MAX(i->imm[HB_IMM_conv_groups], 1);

	s->mac++;
	s->bound += ideal;
	s->channels += channels;
	s->area += area;
	s->passes += passes;
	s->starts += (uint64_t)t->f->start_mac;
	if (s->mac > 1 && channels + area <= s->most)
		return;
	s->most = channels + area;
	s->depthwise = i->v[2].ext[3] == 1 && i->v[0].ext[2] == groups && groups > 1;
	s->ic = s->depthwise ? groups : i->v[2].ext[3];
	s->oc = i->v[0].ext[2] / groups;
	s->rows = i->v[0].ext[0];
	s->cols = i->v[0].ext[1];
}

static void
ended(void *arg, int segment, size_t insn, uint64_t start, uint64_t end)
{
	tally *t = arg;
	const hb_insn *i = &t->p->segments[segment].list.insns[insn];
	uint64_t work;

	(void)start;
	(void)end;
	if (i->node < 0 || (size_t)i->node >= t->p->nnodes)
		return;
	spent *s = &t->of[i->node];
	if (i->engine % 4 == HB_M0) {
		add_mac(t, s, i);
	} else if (i->engine % 4 == HB_V0) {
		work = hb_insn_cycles(&t->ideal, i);
		s->starts += hb_insn_cycles(t->f, i) - work;
		*(i->op == HB_I_lut ? &s->lookups : &s->vector) += work;
	}
}

static int
most_first(const void *a, const void *b)
{
	double x = ((const loss *)a)->us, y = ((const loss *)b)->us;

	return (x < y) - (x > y);
}

static void
lose(slow_layer *l, double us, const char *why, const char *help)
{
	enum { SMALL = 20 };	/* what is less than a 20th of the whole is not worth a line */

	if (us * SMALL > l->us - l->bound_us && l->nlosses < MAX_LOSSES && why)
		l->losses[l->nlosses++] = (loss){why, help, us};
}

static void
explain(cli *c, const hb_figures *f, const spent *s, const hb_layer_cost *cost, double us, slow_layer *l)
{
	hb_arena *a = c->arena;
	int tile = s->depthwise ? f->dw_c : f->mac_c, h = s->depthwise ? f->dw_h : f->mac_h, w = s->depthwise ? f->dw_w : f->mac_w;

	lose(l, (double)s->channels * us,
	     s->depthwise ? hb_arena_printf(a, "channel rounding: %u channels in tiles of %d", s->ic, tile)
			  : hb_arena_printf(a, "channel rounding: %u to %u channels in tiles of %d to %d", s->ic, s->oc, tile, f->mac_n),
	     s->depthwise ? hb_arena_printf(a, "channels in multiples of %d", tile)
			  : hb_arena_printf(a, "input channels in multiples of %d, output channels of %d", tile, f->mac_n));
	lose(l, (double)s->area * us, hb_arena_printf(a, "odd size: a map of %u x %u in tiles of %d x %d", s->rows, s->cols, h, w),
	     hb_arena_printf(a, "height in multiples of %d, width of %d", h, w));
	lose(l, (double)s->passes * us, "each pass over the input costs a share of a tap beside its taps",
	     "fewer 1x1 convolutions with more channels, or larger kernels");
	lose(l, (double)s->starts * us, "starts of instructions", "more work an operator: fuse or merge operators, larger maps");
	lose(l, (double)s->lookups * us, "table lookups", "Relu or Clip 0..6, which cost nothing behind a convolution");
	if (s->mac)
		lose(l, (double)s->vector * us, "vector work beside the multiplications", "fewer element-wise operators around it");
	if (cost->dma_cycles > cost->cycles)
		lose(l, (double)(cost->dma_cycles - cost->cycles) * us,
		     hb_arena_printf(a, "DDR: %llu bytes loaded, %llu stored", (unsigned long long)cost->loaded, (unsigned long long)cost->stored),
		     "fewer weights or a smaller map; a higher -O keeps more on the chip");
	qsort(l->losses, (size_t)l->nlosses, sizeof(l->losses[0]), most_first);
}

/* What goes to and from a CPU segment; the processor's own time is not known. */
static void
hop(cli *c, const hb_figures *f, const hb_program *p, int segment, double us, slow_layer *l)
{
	const hb_segment *s = &p->segments[segment];
	uint64_t in = 0, out = 0;

	for (size_t i = 0; i < s->nins; i++)
		in += p->places[s->ins[i]].bytes;
	for (size_t i = 0; i < s->nouts; i++)
		out += p->places[s->outs[i]].bytes;
	for (size_t i = 0; i < p->nnodes && !l->name; i++)
		if (p->nodes[i].segment == segment && !strstr(p->nodes[i].op_type, "quantizeLinear") && strcmp(p->nodes[i].op_type, "QuantizeLinear")) {
			l->name = p->nodes[i].name;
			l->op_type = p->nodes[i].op_type;
		}
	l->us = (double)hb_dma_cycles(f, in + out) * us;
	l->losses[l->nlosses++] =
		(loss){hb_arena_printf(c->arena, "CPU hop: %llu bytes to it, %llu back, and the processor's own time, which is not estimated",
				       (unsigned long long)in, (unsigned long long)out),
		       "a place on the BPU, as the rules above say", l->us};
}

hb_status
advice_layers(cli *c, const hb_march *m, double over, slow_layer **out, size_t *n)
{
	const hb_figures *f = &m->fig;
	double us = 1 / (f->clock_ghz * 1e3);
	hb_program *p;
	hb_estimate e;
	tally t = {.f = f, .no_channels = *f, .no_area = *f, .no_passes = *f, .ideal = *f};

	t.no_channels.mac_c = t.no_channels.mac_n = t.no_channels.dw_c = 1;
	t.no_area.mac_h = t.no_area.mac_w = t.no_area.dw_h = t.no_area.dw_w = 1;
	t.no_passes.k0_percent = 0;
	t.ideal.mac_c = t.ideal.mac_n = t.ideal.dw_c = t.ideal.mac_h = t.ideal.mac_w = t.ideal.dw_h = t.ideal.dw_w = 1;
	t.ideal.k0_percent = t.ideal.start_mac = t.ideal.start_vec = 0;
	*n = 0;
	HB_TRY(model_compile(c, c->files[0], m, &p));
	t.p = p;
	t.of = HB_NEW_N(c->arena, spent, p->nnodes + 1);
	*out = HB_NEW_N(c->arena, slow_layer, p->nnodes + p->nsegments + 1);
	if (!t.of || !*out)
		return hb_nomem(c->cx, NULL);
	HB_TRY(hb_estimate_run(c->cx, p, f, c->arena, ended, &t, &e));
	for (size_t i = 0; i < p->nnodes; i++) {
		slow_layer l = {.name = p->nodes[i].name, .op_type = p->nodes[i].op_type};
		const spent *s = &t.of[i];

		if (p->nodes[i].segment < 0 || p->segments[p->nodes[i].segment].cpu)
			continue;
		l.us = (double)HB_MAX(e.layers[i].cycles, e.layers[i].dma_cycles) * us;
		l.bound_us = (double)(s->mac ? s->bound : s->vector) * us;
		if (l.us - l.bound_us <= over)
			continue;
		explain(c, f, s, &e.layers[i], us, &l);
		(*out)[(*n)++] = l;
	}
	for (size_t i = 0; i < p->nsegments; i++) {
		slow_layer l = {0};

		if (p->segments[i].cpu)
			hop(c, f, p, (int)i, us, &l);
		if (l.name && l.us > over)
			(*out)[(*n)++] = l;
	}
	return HB_OK;
}
