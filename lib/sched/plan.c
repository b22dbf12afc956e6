/* plan.c: how a group is cut: bands of rows, columns, passes over channels, blocks of input channels
 * (MACHINE 7), measured by dry runs. */
#include "lib/sched/internal.h"

/* 1, 2, 3, 4, 6, 8, 12, 16, ...; the last step is `most` itself. */
static int64_t
more(int64_t n, int64_t most)
{
	int64_t next = n < 2 ? n + 1 : (n & (n - 1)) == 0 ? n + n / 2 : n / 3 * 4;

	return n >= most ? most + 1 : HB_MIN(next, most);
}

typedef struct sizes {
	int64_t rows, cols, chans, depth;
} sizes;

static sizes
sizes_of(const hb_node *n)
{
	const hb_tensor *t = n->out[0];
	const hb_lay *l = hb_lay_of(t);
	const hb_sched_op *o = n->op->sched;
	int rank = t->shape.rank;
	sizes z = { 1, 1, 1, 1 };

	if (rank && o->cut & HB_CUT_ROW)
		z.rows = t->shape.dim[l->order[l->row]];
	if (l->row + 1 < rank - 1 && o->cut & HB_CUT_COL)
		z.cols = t->shape.dim[l->order[l->row + 1]];
	if (l->row < rank - 1 && o->cut & HB_CUT_CHAN)
		z.chans = t->shape.dim[l->order[rank - 1]];
	if (o->cut & HB_CUT_SUM)
		z.depth = o->depth(n);
	return z;
}

static hb_status
try_plan(hb_sched *s, hb_work *w, const hb_plan *p, bool *fits, hb_trial *t)
{
	hb_status st;

	w->plan = *p;
	st = hb_emit_group(s, w, s->fig->sram_bytes, t);
	*fits = st == HB_OK;
	return st == HB_ERR_NO ? HB_OK : st;
}

/* The fewest bands with which p fits; p->bands is set. */
static hb_status
fewest_bands(hb_sched *s, hb_work *w, hb_plan *p, int64_t rows, bool *fits, hb_trial *t)
{
	for (p->bands = 1; p->bands <= rows; p->bands = more(p->bands, rows)) {
		HB_TRY(try_plan(s, w, p, fits, t));
		if (*fits)
			return HB_OK;
	}
	return HB_OK;
}

/* Columns and passes where rows alone do not do: of those that fit, the least DDR bytes. */
static hb_status
search_blocks(hb_sched *s, hb_work *w, const sizes *z, bool *found, hb_plan *best)
{
	hb_trial t, least = { .bytes = UINT64_MAX };
	int after = 0;			/* passes tried since the first that fits */

	*found = false;
	for (int64_t n = 1; n <= z->chans && after < 3; n = more(n, z->chans)) {
		for (int64_t c = 1; c <= z->cols; c = more(c, z->cols)) {
			hb_plan p = { .bands = z->rows, .col = c > 1 ? hb_ceil_div(z->cols, c) : 0,
				      .chan = n > 1 ? hb_ceil_div(z->chans, n) : 0 };
			bool fits;
			HB_TRY(try_plan(s, w, &p, &fits, &t));
			if (!fits)
				continue;
			HB_TRY(fewest_bands(s, w, &p, z->rows, &fits, &t));
			if (fits && t.bytes < least.bytes) {
				least = t;
				*best = p;
				*found = true;
			}
			break;
		}
		after += *found;
	}
	return HB_OK;
}

/* Slack 1 and more bands, where that is estimated to take less time. */
static hb_status
overlap(hb_sched *s, hb_work *w, const sizes *z, hb_plan *best, hb_trial *least)
{
	hb_plan p = *best;
	int tries = 0;

	p.slack = 1;
	for (p.bands = 1; p.bands <= HB_MIN(z->rows, 64) && tries < 6; p.bands = more(p.bands, z->rows)) {
		hb_trial t;
		bool fits;
		HB_TRY(try_plan(s, w, &p, &fits, &t));
		if (!fits)
			continue;
		tries++;
		if (t.cost < least->cost) {
			*least = t;
			*best = p;
		}
	}
	return HB_OK;
}

hb_status
hb_plan_group(hb_sched *s, hb_work *w)
{
	hb_node *n = w->nodes[w->n - 1];
	sizes z = sizes_of(n);
	hb_plan p = { .bands = 1 };
	hb_trial t = { .sram = 0 };
	bool fits = false;

	HB_TRY(fewest_bands(s, w, &p, z.rows, &fits, &t));
	if (!fits && w->n == 1) {
		HB_TRY(search_blocks(s, w, &z, &fits, &p));
		/* Least of all: one row, column and channel, and input channels in blocks. */
		for (int64_t k = 2; !fits && z.depth > 1 && k <= z.depth; k = more(k, z.depth)) {
			p = (hb_plan){ .bands = z.rows, .col = 1, .chan = 1, .depth = hb_ceil_div(z.depth, k) };
			HB_TRY(try_plan(s, w, &p, &fits, &t));
		}
		if (fits)
			HB_TRY(try_plan(s, w, &p, &fits, &t));
	}
	if (!fits) {
		p = (hb_plan){ .bands = z.rows, .col = 1, .chan = 1, .depth = z.depth > 1 ? 1 : 0 };
		w->plan = p;
		HB_TRY(hb_emit_group(s, w, UINT64_MAX - 1, &t));
		return hb_fail(s->cx, n, HB_ERR_NO, "sram", "needs %llu bytes of SRAM for its smallest part; there are %u",
			       (unsigned long long)t.sram, s->fig->sram_bytes);
	}
	if (s->opt.level > 0)
		HB_TRY(overlap(s, w, &z, &p, &t));
	w->plan = p;
	return HB_OK;
}
