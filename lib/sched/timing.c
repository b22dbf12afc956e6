#include "lib/sched/timing.h"

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
		cycles = at_rate(out, f->copy_x100);
		break;
	case HB_I_sample:		/* between elements at places of their own: one pass a neighbour (assumed) */
		cycles = at_rate(out * (i->imm[HB_IMM_sample_mode] > 2 && i->imm[HB_IMM_sample_mode] % 2 ? 4 : 1), f->copy_x100);
		break;
	case HB_I_lut:
		cycles = at_rate(out, f->lut_x100);
		break;
	case HB_I_reduce:
		cycles = reduce_cycles(f, i);
		break;
	case HB_I_rows:		/* assumed, as sort's */
		cycles = at_rate(out * (i->imm[HB_IMM_rows_fn] == HB_FN_softmax ? 32 : 5), f->vec_x100);
		break;
	case HB_I_sort:
		cycles = at_rate((uint64_t)hb_view_elems(&i->v[2]) * 32, f->vec_x100);
		break;
	case HB_I_ew:		/* assumed: a quotient takes eight passes */
		cycles = at_rate(out * (i->imm[HB_IMM_ew_fn] == HB_FN_div ? 8 : 1), f->vec_x100);
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
			runs += n * hb_view_runs(&v, f->granule);	/* shorter gaps move along */
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

uint64_t
hb_dma_cycles(const hb_figures *f, uint64_t bytes)
{
	return ceil_div(bytes * 100, (uint64_t)HB_MAX(f->dma_bytes_x100, 1));
}

/* ---- events ---- */

/* Bytes are counted in 1/1200, so that a cycle's share of DDR is whole for 1 to 4 queues. */
#define UNIT 1200u

typedef struct queue {
	size_t at;			/* the instruction that runs or is next; n: none */
	uint32_t retired;
	bool runs, moves;		/* moves: its start is over, bytes flow */
	uint64_t start, end;		/* end of what takes fixed time */
	uint64_t left;			/* bytes * UNIT */
} queue;

static bool ready(const hb_insn *i, const queue *q)
{
	for (int e = 0; e < HB_NENGINES; e++)
		if ((i->wait_mask >> e & 1) && q[e].retired < i->wait[e])
			return false;
	return true;
}

hb_status
hb_timing_run(hb_ctx *cx, const hb_figures *f, const hb_list *l, hb_timing_fn *fn, void *arg,
	      uint64_t busy[HB_NENGINES], uint64_t *cycles, size_t *stuck)
{
	queue q[HB_NENGINES];
	uint64_t now = 0;
	size_t *next, n = l->n, left = n;

	*cycles = *stuck = 0;
	if (n == 0)
		return HB_OK;
	next = hb_big_alloc(cx, n * sizeof(*next));
	if (!next)
		return hb_nomem(cx, "timing");
	memset(q, 0, sizeof(q));
	for (int e = 0; e < HB_NENGINES; e++)
		q[e].at = n;
	for (size_t k = n; k-- > 0;) {
		next[k] = q[l->insns[k].engine].at;
		q[l->insns[k].engine].at = k;
	}
	while (left) {
		uint64_t rate, then = UINT64_MAX;
		unsigned moving = 0;
		bool any = false;

		for (int e = 0; e < HB_NENGINES; e++) {
			if (!q[e].runs && q[e].at < n && ready(&l->insns[q[e].at], q)) {
				q[e].runs = true;
				q[e].moves = false;
				q[e].start = now;
				q[e].end = now + hb_insn_cycles(f, &l->insns[q[e].at]);
			}
			any |= q[e].runs;
			moving += q[e].runs && q[e].moves;
		}
		if (!any)
			break;
		rate = (uint64_t)HB_MAX(f->dma_bytes_x100, 1) * 12 / HB_MAX(moving, 1u);
		for (int e = 0; e < HB_NENGINES; e++)
			if (q[e].runs)
				then = HB_MIN(then, q[e].moves ? now + ceil_div(q[e].left, rate) : q[e].end);
		for (int e = 0; e < HB_NENGINES; e++)
			if (q[e].runs && q[e].moves)
				q[e].left -= HB_MIN(q[e].left, (then - now) * rate);
		now = then;
		for (int e = 0; e < HB_NENGINES; e++) {
			if (!q[e].runs || (q[e].moves ? q[e].left > 0 : q[e].end > now))
				continue;
			if (!q[e].moves) {
				q[e].left = e % 4 == HB_L0 || e % 4 == HB_ST0 ? hb_insn_bytes(f, &l->insns[q[e].at]) * UNIT : 0;
				q[e].moves = q[e].left > 0;
				if (q[e].moves)
					continue;
			}
			if (busy)
				busy[e] += now - q[e].start;
			if (fn)
				fn(arg, q[e].at, q[e].start, now);
			q[e].runs = false;
			q[e].retired++;
			q[e].at = next[q[e].at];
			left--;
		}
	}
	hb_big_free(cx, next, n * sizeof(*next));
	*cycles = now;
	*stuck = left;
	return HB_OK;
}
