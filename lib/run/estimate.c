/* estimate.c: what a program costs, layer by layer, by the events of its lists (lib/sched/timing.h). */
#include "lib/run/run.h"

typedef struct tally {
	const hb_figures *f;
	const hb_program *p;
	const hb_list *l;
	int segment;
	hb_estimate *out;
	hb_trace *trace;
	void *arg;
} tally;

static void
ended(void *arg, size_t at, uint64_t start, uint64_t end)
{
	tally *t = arg;
	const hb_insn *i = &t->l->insns[at];
	int kind = i->engine % 4;
	bool dma = kind == HB_L0 || kind == HB_ST0;
	uint64_t cycles = hb_insn_cycles(t->f, i), bytes = dma ? hb_insn_bytes(t->f, i) : 0;
	hb_layer_cost *layer = i->node >= 0 && (size_t)i->node < t->p->nnodes ? &t->out->layers[i->node] : NULL;
	if (kind == HB_L0)
		t->out->loaded += bytes;
	else
		t->out->stored += bytes;
	if (layer) {
		*(dma ? &layer->dma_cycles : &layer->cycles) += cycles + hb_dma_cycles(t->f, bytes);
		*(kind == HB_L0 ? &layer->loaded : &layer->stored) += bytes;
	}
	if (t->trace)
		t->trace(t->arg, t->segment, at, start, end);
}

hb_status
hb_estimate_run(hb_ctx *cx, const hb_program *p, const hb_figures *f, hb_arena *a,
		hb_trace *trace, void *arg, hb_estimate *out)
{
	*out = (hb_estimate){.layers = HB_NEW_N(a, hb_layer_cost, p->nnodes + 1),
			     .segment_cycles = HB_NEW_N(a, uint64_t, p->nsegments + 1)};
	if (!out->layers || !out->segment_cycles)
		return hb_nomem(cx, "the estimate");
	for (size_t k = 0; k < p->nnodes; k++) {
		int s = p->nodes[k].segment;
		out->layers[k].ops = 2 * (uint64_t)p->nodes[k].macs;
		if (s >= 0 && (size_t)s < p->nsegments && !p->segments[s].cpu)
			out->ops += out->layers[k].ops;
	}
	for (size_t s = 0; s < p->nsegments; s++) {
		tally t = {.f = f, .p = p, .l = &p->segments[s].list, .segment = (int)s, .out = out,
			   .trace = trace, .arg = arg};
		uint64_t cycles;
		size_t stuck;
		HB_TRY(hb_timing_run(cx, f, t.l, ended, &t, out->busy, &cycles, &stuck));
		if (stuck)
			return hb_error(cx, HB_ERR_INPUT, NULL, "deadlock",
					"segment %zu: %zu of %zu instructions wait for ever", s, stuck, t.l->n);
		out->segment_cycles[s] = cycles;
		out->cycles += cycles;
	}
	return HB_OK;
}
