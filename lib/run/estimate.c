/* estimate.c: when each instruction runs, by events over the queues and waits (MACHINE 6),
 * from the march's figures. Integers only. */
#include "lib/run/run.h"

/* Work of a DDR transfer: bytes in hundredths, times 12 so that 1 to 4 queues share a cycle evenly. */
#define SHARE 12

static const bool is_ddr[HB_NSPACES] = {[HB_IN] = true, [HB_OUT] = true, [HB_PAR] = true, [HB_HEAP] = true};

static uint64_t
ceil_div(uint64_t a, uint64_t b)
{
	return b ? a / b + (a % b > 0) : 0;
}

static uint64_t
up(uint64_t a, int to)
{
	return to > 1 ? ceil_div(a, (uint64_t)to) * (uint64_t)to : a;
}

/* cycles of n elements at `rate` hundredths of an element a cycle */
static uint64_t
at_rate(uint64_t n, int rate_x100)
{
	return ceil_div(n * 100, rate_x100 > 0 ? (uint64_t)rate_x100 : 100);
}

static uint64_t
conv_cycles(const hb_figures *f, const hb_insn *i)
{
	const hb_view *out = &i->v[0], *a = &i->v[1], *w = &i->v[2];
	uint64_t taps = (uint64_t)w->ext[1] * w->ext[2], groups = (uint64_t)HB_MAX(i->imm[HB_IMM_conv_groups], 1);
	uint64_t oc = out->ext[2] / groups, ic = w->ext[3], cycles;
	if (ic == 1 && oc == 1 && groups > 1)
		cycles = ceil_div(up(out->ext[0], f->dw_h) * up(out->ext[1], f->dw_w) * up(groups, f->dw_c) * taps,
				  (uint64_t)HB_MAX(f->dw_macs_per_cycle, 1));
	else
		cycles = ceil_div(up(out->ext[0], f->mac_h) * up(out->ext[1], f->mac_w) * groups * up(ic, f->mac_c) *
				  up(oc, f->mac_n) * (taps * 100 + (uint64_t)f->k0_percent),
				  100 * (uint64_t)HB_MAX(f->macs_per_cycle, 1));
	if (a->dtype == HB_I16)
		cycles *= 2;
	if (w->dtype == HB_I16)
		cycles *= 2;
	return (uint64_t)f->start_mac + cycles;
}

static uint64_t
reduce_cycles(const hb_figures *f, const hb_insn *i)
{
	uint64_t out = (uint64_t)hb_view_elems(&i->v[0]), in = (uint64_t)hb_view_elems(&i->v[1]);
	int side = HB_MAX(i->imm[HB_IMM_reduce_kh], i->imm[HB_IMM_reduce_kw]);
	if (i->v[0].ext[0] == 1 && i->v[0].ext[1] == 1)		/* one window: reads everything once */
		return at_rate(in, f->vec_x100);
	/* a sum takes three passes over its output, a maximum k / 3 (public rows fit so) */
	bool sums = i->imm[HB_IMM_reduce_fn] == HB_FN_sum || i->imm[HB_IMM_reduce_fn] == HB_FN_sumsq;
	return at_rate(sums ? 3 * out : ceil_div(out * (uint64_t)HB_MAX(side, 1), 3), f->vec_x100);
}

static uint64_t
vec_cycles(const hb_figures *f, const hb_insn *i)
{
	uint64_t out = (uint64_t)hb_view_elems(&i->v[0]), cycles;
	switch (i->op) {
	case HB_I_copy:
	case HB_I_fill:
	case HB_I_sample:
		cycles = at_rate(out, f->copy_x100);
		break;
	case HB_I_lut:
		cycles = at_rate(out, f->lut_x100);
		break;
	case HB_I_reduce:
		cycles = reduce_cycles(f, i);
		break;
	case HB_I_rows:
		cycles = at_rate(out * (i->imm[HB_IMM_rows_fn] == HB_FN_softmax ? 32 : 5), f->vec_x100);
		break;
	case HB_I_sort:
		cycles = at_rate((uint64_t)hb_view_elems(&i->v[2]) * 32, f->vec_x100);
		break;
	default:
		cycles = at_rate(out, f->vec_x100);
		break;
	}
	return (uint64_t)f->start_vec + cycles;
}

/* How often operand k is moved: a gather or scatter moves a row an index. */
static uint64_t
moves(const hb_insn *i, int k, hb_view *v)
{
	int32_t mode = i->op == HB_I_copy ? i->imm[HB_IMM_copy_mode] : 0;
	*v = i->v[k];
	if (!(mode == 1 && k == 1) && !(mode == 2 && k == 0))
		return 1;
	v->ext[0] = 1;
	v->ring_rows = v->ring_first = 0;
	return i->v[2].ext[0];
}

uint64_t
hb_insn_cycles(const hb_figures *f, const hb_insn *i)
{
	hb_view v;
	switch (i->engine % 4) {
	case HB_M0:
		return conv_cycles(f, i);
	case HB_V0:
		return vec_cycles(f, i);
	default:
		break;
	}
	uint64_t runs = 0;
	for (int k = 0; k < i->nv; k++) {
		uint64_t n = moves(i, k, &v);
		if (is_ddr[v.space])
			runs += n * hb_view_runs(&v);
	}
	return (uint64_t)f->start_dma + runs;
}

uint64_t
hb_insn_bytes(const hb_figures *f, const hb_insn *i)
{
	uint32_t granule = f->granule ? f->granule : 1;
	uint64_t bytes = 0;
	hb_view v;
	for (int k = 0; k < i->nv; k++) {
		uint64_t n = moves(i, k, &v);
		if (is_ddr[v.space])
			bytes += n * hb_view_granules(&v, granule) * granule;
	}
	return bytes;
}

/* ---- events ---- */

typedef struct engine {
	size_t next;			/* its first instruction not started; list's n: none */
	size_t now;			/* the one that runs */
	bool busy, moving;		/* moving: past its start-up, its bytes are under way */
	uint64_t start, end;		/* end: of what is timed */
	uint64_t left;			/* of what is moving */
	uint64_t work;			/* to move once started up */
	uint32_t retired;
} engine;

typedef struct timer {
	const hb_figures *f;
	const hb_program *p;
	const hb_list *l;
	int segment;
	hb_estimate *out;
	hb_trace *trace;
	void *arg;
	engine e[HB_NENGINES];
	uint64_t now;
	size_t retired;
} timer;

static size_t
next_of(const hb_list *l, size_t from, int e)
{
	while (from < l->n && (int)l->insns[from].engine != e)
		from++;
	return from;
}

static bool
ready(const timer *t, const hb_insn *i)
{
	for (int e = 0; e < HB_NENGINES; e++)
		if (i->wait_mask >> e & 1 && t->e[e].retired < i->wait[e])
			return false;
	return true;
}

/* Notes what instruction i costs by itself; starts it on its engine. */
static void
start(timer *t, int k)
{
	engine *e = &t->e[k];
	const hb_insn *i = &t->l->insns[e->next];
	uint64_t cycles = hb_insn_cycles(t->f, i), bytes = 0;
	uint64_t rate = (uint64_t)HB_MAX(t->f->dma_bytes_x100, 1);
	hb_layer_cost *layer = i->node >= 0 && (size_t)i->node < t->p->nnodes ? &t->out->layers[i->node] : NULL;
	bool dma = k % 4 == HB_L0 || k % 4 == HB_ST0;
	if (dma)
		bytes = hb_insn_bytes(t->f, i);
	if (k % 4 == HB_L0)
		t->out->loaded += bytes;
	else
		t->out->stored += bytes;
	if (layer) {
		*(dma ? &layer->dma_cycles : &layer->cycles) += cycles + (dma ? ceil_div(bytes * 100, rate) : 0);
		*(k % 4 == HB_L0 ? &layer->loaded : &layer->stored) += bytes;
	}
	e->now = e->next;
	e->next = next_of(t->l, e->next + 1, k);
	e->busy = true;
	e->moving = false;
	e->start = t->now;
	e->end = t->now + cycles;
	e->work = bytes * 100 * SHARE;
}

static void
retire(timer *t, int k)
{
	engine *e = &t->e[k];
	e->busy = e->moving = false;
	e->retired++;
	t->retired++;
	t->out->busy[k] += t->now - e->start;
	if (t->trace)
		t->trace(t->arg, t->segment, e->now, e->start, t->now);
}

/* Everything that happens at this moment. */
static void
settle(timer *t)
{
	bool more = true;
	while (more) {
		more = false;
		for (int k = 0; k < HB_NENGINES; k++) {
			engine *e = &t->e[k];
			if (e->busy && !e->moving && e->end <= t->now) {
				e->moving = true;
				e->left = e->work;
			}
			if (e->busy && e->moving && e->left == 0) {
				retire(t, k);
				more = true;
			}
		}
		for (int k = 0; k < HB_NENGINES; k++) {
			engine *e = &t->e[k];
			if (!e->busy && e->next < t->l->n && ready(t, &t->l->insns[e->next])) {
				start(t, k);
				more = true;
			}
		}
	}
}

/* On to the next moment at which something ends; false: nothing runs. */
static bool
advance(timer *t)
{
	uint64_t sharing = 0, step = UINT64_MAX;
	for (int k = 0; k < HB_NENGINES; k++)
		sharing += t->e[k].busy && t->e[k].moving;
	uint64_t share = sharing ? (uint64_t)HB_MAX(t->f->dma_bytes_x100, 1) * SHARE / sharing : 0;
	for (int k = 0; k < HB_NENGINES; k++) {
		const engine *e = &t->e[k];
		if (e->busy)
			step = HB_MIN(step, e->moving ? ceil_div(e->left, share) : e->end - t->now);
	}
	if (step == UINT64_MAX)
		return false;
	for (int k = 0; k < HB_NENGINES; k++) {
		engine *e = &t->e[k];
		if (e->busy && e->moving)
			e->left -= HB_MIN(e->left, share * step);
	}
	t->now += step;
	return true;
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
		timer t = {.f = f, .p = p, .l = &p->segments[s].list, .segment = (int)s, .out = out,
			   .trace = trace, .arg = arg};
		for (int k = 0; k < HB_NENGINES; k++)
			t.e[k].next = next_of(t.l, 0, k);
		do
			settle(&t);
		while (advance(&t));
		if (t.retired < t.l->n)
			return hb_error(cx, HB_ERR_INPUT, NULL, "deadlock",
					"segment %zu: %zu of %zu instructions wait for ever", s,
					t.l->n - t.retired, t.l->n);
		out->segment_cycles[s] = t.now;
		out->cycles += t.now;
	}
	return HB_OK;
}
