/* sched.c: a fixed-point graph becomes a program. */
#include "lib/sched/internal.h"

static hb_status
emit_all(hb_sched *s)
{
	hb_program *p = s->p;

	for (size_t i = 0; i < s->nworks; i++) {
		HB_TRY(hb_plan_group(s, &s->works[i]));
		HB_TRY(hb_emit_group(s, &s->works[i], s->fig->sram_bytes, NULL));
		hb_progress(s->cx, "schedule", (int64_t)i + 1, (int64_t)s->nworks);
	}
	if (s->par.bad)
		return hb_nomem(s->cx, "parameters");
	p->size[HB_PAR] = s->par.len;
	p->par = hb_arena_dup(p->arena, s->par.p ? s->par.p : "", s->par.len ? s->par.len : 1);
	if (!p->par)
		return hb_nomem(s->cx, "parameters");
	p->size[HB_S0] = s->fig->sram_bytes;
	HB_TRY(hb_sched_addresses(s));
	s->stores->bytes = p->size[HB_PAR];
	for (size_t k = 0; k < p->nsegments; k++) {
		hb_segment *seg = &p->segments[k];
		for (size_t i = 0; i < seg->nbufs; i++) {
			const hb_store *st = s->seg_bufs[k].of[i];
			if (st) {
				seg->bufs[i].addr = st->addr;
				seg->bufs[i].bytes = (uint32_t)st->bytes;
			}
		}
		for (size_t i = 0; i < seg->list.n; i++)
			for (int o = 0; o < seg->list.insns[i].nv; o++) {
				hb_view *v = &seg->list.insns[i].v[o];
				hb_buf_row *b = &seg->bufs[v->buf];
				v->base += b->addr;
				b->first = b->first < 0 ? (int)i : b->first;
				b->last = (int)i;
			}
		HB_TRY(hb_sched_waits(s->cx, p->size, &seg->list));
	}
	return HB_OK;
}

/* One level's program. */
static hb_status
schedule(hb_graph *g, const hb_march *m, const hb_sched_options *opt, hb_program **out)
{
	hb_sched s = { .cx = g->cx, .g = g, .march = m, .fig = &m->fig, .opt = *opt, .arena = hb_arena_new(g->cx),
		       .par = { .cx = g->cx } };
	hb_arena *a = hb_arena_new(g->cx);
	hb_status st;

	s.p = a ? HB_NEW(a, hb_program) : NULL;
	if (!s.arena || !s.p) {
		st = hb_nomem(g->cx, "schedule");
	} else {
		s.p->arena = a;
		s.p->name = hb_arena_str(a, g->name ? g->name : "");
		s.p->march = hb_arena_str(a, m->name);
		s.p->level = opt->level;
		s.p->cores = 1;
		s.p->uncalibrated = g->uncalibrated;
		st = hb_sched_segments(&s);
		if (st == HB_OK)
			st = emit_all(&s);
		*out = s.p;
	}
	hb_buf_free(&s.par);
	if (s.arena)
		hb_arena_free(s.arena);
	return st;
}

/* Cycles of all BPU segments. */
static hb_status
time_of(hb_ctx *cx, const hb_figures *f, const hb_program *p, uint64_t *cycles)
{
	*cycles = 0;
	for (size_t k = 0; k < p->nsegments; k++) {
		uint64_t c;
		size_t stuck;
		if (p->segments[k].cpu)
			continue;
		HB_TRY(hb_timing_run(cx, f, &p->segments[k].list, NULL, NULL, NULL, &c, &stuck));
		*cycles += c;
	}
	return HB_OK;
}

static void
free_program(hb_program *p)
{
	if (!p)
		return;
	for (size_t k = 0; k < p->nsegments; k++)
		if (p->segments[k].graph)
			hb_graph_free(p->segments[k].graph);
	hb_arena_free(p->arena);
}

hb_status
hb_schedule(hb_graph *g, const hb_march *m, const hb_sched_options *o, hb_program **out)
{
	hb_program *best = NULL;
	uint64_t least = UINT64_MAX;

	/* Each level and those below it: no level is worse. */
	for (int level = 0; level <= HB_MIN(o->level, 1); level++) {
		hb_sched_options opt = *o;
		hb_program *p = NULL;
		uint64_t cycles;
		opt.level = level;
		HB_TRY(schedule(g, m, &opt, &p));
		HB_TRY(hb_program_check(g->cx, p));
		HB_TRY(time_of(g->cx, &m->fig, p, &cycles));
		if (cycles < least) {
			free_program(best);
			best = p;
			least = cycles;
		} else {
			free_program(p);
		}
	}
	best->level = o->level;
	*out = best;
	return HB_OK;
}
