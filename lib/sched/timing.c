#include "lib/sched/timing.h"

static bool in_ddr(hb_space s)
{
	return s != HB_S0 && s != HB_S1;
}

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
	return b ? (a + b - 1) / b : a;
}

/* Contiguous runs of a view: extents that do not continue the dimensions inside them. */
static uint64_t runs_of(const hb_view *v)
{
	uint64_t run = hb_dtype_size(v->dtype), runs = 1;
	int d = v->rank - 1;

	for (; d >= 0 && (v->ext[d] == 1 || v->stride[d] == run); d--)
		run *= v->ext[d];
	for (; d >= 0; d--)
		runs *= v->ext[d];
	return runs;
}

static uint64_t conv_cycles(const hb_figures *f, const hb_insn *i)
{
	const hb_view *out = &i->v[0], *w = &i->v[2];
	uint64_t groups = i->imm[HB_IMM_conv_groups] > 0 ? (uint64_t)i->imm[HB_IMM_conv_groups] : 1;
	uint64_t taps = (uint64_t)w->ext[1] * w->ext[2], oc = out->ext[2] / groups, ic = w->ext[3];
	uint64_t tile, passes, rate;

	if (ic == 1 && oc == 1) {
		tile = (uint64_t)f->dw_h * (uint64_t)f->dw_w * (uint64_t)f->dw_c;
		rate = (uint64_t)f->dw_macs_per_cycle;
		passes = ceil_div(out->ext[0], (uint64_t)f->dw_h) * ceil_div(out->ext[1], (uint64_t)f->dw_w) *
			 ceil_div(groups, (uint64_t)f->dw_c);
	} else {
		tile = (uint64_t)f->mac_h * (uint64_t)f->mac_w * (uint64_t)f->mac_c * (uint64_t)f->mac_n;
		rate = (uint64_t)f->macs_per_cycle;
		passes = ceil_div(out->ext[0], (uint64_t)f->mac_h) * ceil_div(out->ext[1], (uint64_t)f->mac_w) *
			 ceil_div(oc, (uint64_t)f->mac_n) * ceil_div(ic, (uint64_t)f->mac_c) * groups;
	}
	if (hb_dtype_size(i->v[1].dtype) > 1)
		passes *= 2;
	return (uint64_t)f->start_mac +
	       ceil_div(passes * ceil_div(tile, rate) * (taps * 100 + (uint64_t)f->k0_percent), 100);
}

/* Passes over the elements that an instruction of VEC makes, and whose elements they are. */
static uint64_t vec_work(const hb_insn *i, int *of)
{
	*of = 0;
	switch (i->op) {
	case HB_I_reduce:
		return (uint64_t)i->imm[HB_IMM_reduce_kh] * (uint64_t)i->imm[HB_IMM_reduce_kw];
	case HB_I_ew:
		return (uint64_t)(i->nv - 1);
	case HB_I_sample:
		return 4;
	case HB_I_rows:
		*of = 1;
		return 4;
	case HB_I_sort:
		*of = 2;
		return (uint64_t)HB_MAX(i->imm[HB_IMM_sort_k], 1);
	default:
		return 1;
	}
}

uint64_t
hb_timing_cycles(const hb_figures *f, const hb_insn *i)
{
	uint64_t work, lanes;
	int of;

	if (i->op == HB_I_conv)
		return conv_cycles(f, i);
	if (i->op == HB_I_copy && (in_ddr(i->v[0].space) || in_ddr(i->v[1].space))) {
		uint64_t a = runs_of(&i->v[0]), b = runs_of(&i->v[1]);
		return (uint64_t)f->start_dma + HB_MAX(a, b);
	}
	work = vec_work(i, &of);
	work *= (uint64_t)hb_view_elems(&i->v[of]);
	if (hb_dtype_size(i->v[of].dtype) > 1 && i->op != HB_I_copy && i->op != HB_I_fill)
		work *= 2;
	lanes = (uint64_t)(i->op == HB_I_lut ? f->lut_x100 :
			   i->op == HB_I_copy || i->op == HB_I_fill ? f->copy_x100 : f->vec_x100);
	return (uint64_t)f->start_vec + ceil_div(work * 100, lanes);
}

void
hb_timing_bytes(const hb_figures *f, const hb_insn *i, uint64_t *loaded, uint64_t *stored)
{
	*loaded = *stored = 0;
	for (int k = 0; k < i->nv; k++)
		if (in_ddr(i->v[k].space))
			*(k ? loaded : stored) += hb_view_granules(&i->v[k], f->granule) * f->granule;
}

uint64_t
hb_timing_dma(const hb_figures *f, uint64_t bytes)
{
	return ceil_div(bytes * 100, (uint64_t)f->dma_bytes_x100);
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
	      uint64_t busy[HB_NENGINES], uint64_t *cycles)
{
	queue q[HB_NENGINES];
	uint64_t now = 0, b[HB_NENGINES] = { 0 };
	size_t *next, n = l->n, left = n;
	hb_status st = HB_OK;

	*cycles = 0;
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
				q[e].end = now + hb_timing_cycles(f, &l->insns[q[e].at]);
			}
			any |= q[e].runs;
			moving += q[e].runs && q[e].moves;
		}
		if (!any) {
			st = HB_ERR_INPUT;
			break;
		}
		rate = (uint64_t)f->dma_bytes_x100 * 12 / HB_MAX(moving, 1u);
		for (int e = 0; e < HB_NENGINES; e++)
			if (q[e].runs)
				then = HB_MIN(then, q[e].moves ? now + ceil_div(q[e].left, HB_MAX(rate, 1u)) : q[e].end);
		for (int e = 0; e < HB_NENGINES; e++)
			if (q[e].runs && q[e].moves)
				q[e].left -= HB_MIN(q[e].left, (then - now) * HB_MAX(rate, 1u));
		now = then;
		for (int e = 0; e < HB_NENGINES; e++) {
			uint64_t in, out;

			if (!q[e].runs || (q[e].moves ? q[e].left > 0 : q[e].end > now))
				continue;
			if (!q[e].moves) {
				hb_timing_bytes(f, &l->insns[q[e].at], &in, &out);
				q[e].left = (in + out) * UNIT;
				q[e].moves = q[e].left > 0;
				if (q[e].moves)
					continue;
			}
			b[e] += now - q[e].start;
			if (fn)
				fn(arg, q[e].at, q[e].start, now);
			q[e].runs = false;
			q[e].retired++;
			q[e].at = next[q[e].at];
			left--;
		}
	}
	hb_big_free(cx, next, n * sizeof(*next));
	if (busy)
		memcpy(busy, b, sizeof(b));
	*cycles = now;
	return st;
}
