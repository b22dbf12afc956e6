/* wait.c: waits from byte conflicts. A map a space of disjoint byte intervals, each with its last writer and
 * each engine's latest reader since; vector clocks leave out what is implied (MACHINE 2, 5.6). */
#include "lib/sched/internal.h"

/* who[e]: instructions of engine e up to and with the one meant; 0: none. */
typedef struct piece {
	uint64_t lo, hi;
	uint32_t writer;		/* engine + 1; 0: none */
	uint32_t wrote;
	uint32_t reads[HB_NENGINES];
} piece;

/* Addresses in buckets of 2^shift bytes, each with its pieces in order. */
typedef struct bucket {
	piece *p;
	size_t n, cap;
} bucket;

typedef struct space_map {
	bucket *b;
	size_t n;
	int shift;
} space_map;

typedef struct clocks {
	uint32_t c[HB_NENGINES];
} clocks;

static bool
same_state(const piece *a, const piece *b)
{
	return a->writer == b->writer && a->wrote == b->wrote && memcmp(a->reads, b->reads, sizeof(a->reads)) == 0;
}

/* Notes in [lo, hi) of one bucket what engine e's k-th instruction does, after raising `need` by what conflicts. */
static bool
visit(hb_arena *a, bucket *b, uint64_t lo, uint64_t hi, bool writes, int e, uint32_t k, bool note, uint32_t *need)
{
	piece out[3];
	size_t from = 0, to, at;

	/* First piece that ends beyond lo, by bisection. */
	for (size_t l = 0, r = b->n; l < r; from = l) {
		size_t m = (l + r) / 2;
		if (b->p[m].hi <= lo)
			l = m + 1;
		else
			r = m;
		from = l;
	}
	for (to = from; to < b->n && b->p[to].lo < hi; to++) {
		const piece *p = &b->p[to];
		if (p->writer)
			need[p->writer - 1] = HB_MAX(need[p->writer - 1], p->wrote);
		for (int r = 0; writes && r < HB_NENGINES; r++)
			need[r] = HB_MAX(need[r], p->reads[r]);
	}
	if (!note)
		return true;
	if (writes) {		/* one new piece, and what is left of the first and last */
		int n = 0;
		if (to > from && b->p[from].lo < lo) {
			out[n] = b->p[from];
			out[n++].hi = lo;
		}
		out[n++] = (piece){ .lo = lo, .hi = hi, .writer = (uint32_t)e + 1, .wrote = k };
		if (to > from && b->p[to - 1].hi > hi) {
			out[n] = b->p[to - 1];
			out[n++].lo = hi;
		}
		if (!HB_GROW(a, &b->p, &b->cap, b->n + (size_t)n))
			return false;
		memmove(b->p + from + n, b->p + to, (b->n - to) * sizeof(piece));
		memcpy(b->p + from, out, (size_t)n * sizeof(piece));
		b->n = b->n - (to - from) + (size_t)n;
		return true;
	}
	/* A read: split at the ends, fill gaps, raise this engine's reader. */
	if (!HB_GROW(a, &b->p, &b->cap, b->n + 2 * (to - from) + 3))
		return false;
	at = from;
	for (uint64_t x = lo; x < hi;) {
		piece *p = at < b->n ? &b->p[at] : NULL;
		if (!p || p->lo > x) {		/* never written: a gap */
			uint64_t end = p ? HB_MIN(p->lo, hi) : hi;
			memmove(b->p + at + 1, b->p + at, (b->n - at) * sizeof(piece));
			b->p[at] = (piece){ .lo = x, .hi = end };
			b->n++;
			p = &b->p[at];
		} else if (p->lo < x || p->hi > hi) {
			uint64_t cut = p->lo < x ? x : hi;
			memmove(b->p + at + 1, b->p + at, (b->n - at) * sizeof(piece));
			b->n++;
			b->p[at].hi = b->p[at + 1].lo = cut;
			if (cut == x) {
				at++;
				continue;
			}
			p = &b->p[at];
		}
		p->reads[e] = k;
		x = p->hi;
		at++;
	}
	/* Equal neighbours are one, from before the range to behind it. */
	size_t w = from ? from - 1 : 0, end = HB_MIN(at + 1, b->n);
	for (size_t r = w + 1; r < end; r++) {
		if (b->p[w].hi == b->p[r].lo && same_state(&b->p[w], &b->p[r]))
			b->p[w].hi = b->p[r].hi;
		else
			b->p[++w] = b->p[r];
	}
	if (end > 0 && w + 1 < end) {
		memmove(b->p + w + 1, b->p + end, (b->n - end) * sizeof(piece));
		b->n -= end - (w + 1);
	}
	return true;
}

static bool
touch(hb_arena *a, space_map *m, const hb_view *v, bool writes, int e, uint32_t k, bool note, uint32_t *need)
{
	uint64_t lo[2], hi[2];
	int n = hb_view_hull(v, lo, hi);

	for (int j = 0; j < n; j++)
		for (uint64_t x = lo[j]; x < hi[j];) {
			size_t b = HB_MIN((size_t)(x >> m->shift), m->n - 1);
			uint64_t end = b + 1 < m->n ? HB_MIN(hi[j], (uint64_t)(b + 1) << m->shift) : hi[j];
			if (!visit(a, &m->b[b], x, end, writes, e, k, note, need))
				return false;
			x = end;
		}
	return true;
}

hb_status
hb_sched_waits(hb_ctx *cx, const uint64_t size[HB_NSPACES], hb_list *l)
{
	hb_arena *a = hb_arena_new(cx);
	space_map map[HB_NSPACES];
	clocks *clock = a ? HB_NEW_N(a, clocks, l->n + 1) : NULL;
	uint32_t *index[HB_NENGINES], count[HB_NENGINES] = { 0 };	/* list index of an engine's k-th */
	uint32_t total[HB_NENGINES] = { 0 };
	hb_status st = HB_OK;

	if (!clock)
		goto nomem;
	for (int s = 0; s < HB_NSPACES; s++) {
		map[s].shift = 12;
		while (size[s] >> map[s].shift > 4096)
			map[s].shift++;
		map[s].n = (size_t)(size[s] >> map[s].shift) + 1;
		map[s].b = HB_NEW_N(a, bucket, map[s].n);
		if (!map[s].b)
			goto nomem;
	}
	for (size_t i = 0; i < l->n; i++)
		total[l->insns[i].engine]++;
	for (int e = 0; e < HB_NENGINES; e++)
		if (!(index[e] = HB_NEW_N(a, uint32_t, total[e] + 1)))
			goto nomem;
	for (size_t i = 0; i < l->n; i++) {
		hb_insn *in = &l->insns[i];
		int e = in->engine;
		uint32_t need[HB_NENGINES] = { 0 }, k = count[e] + 1;
		clocks *c = &clock[i];

		in->wait_mask = 0;
		if (count[e]) {		/* the queue: all that its predecessor knew, and the predecessor */
			*c = clock[index[e][count[e] - 1]];
			c->c[e] = count[e];
		}
		for (int o = 0; o < in->nv; o++)
			if (in->v[o].space != HB_PAR &&
			    !touch(a, &map[in->v[o].space], &in->v[o], hb_insn_writes(in, o), e, k, false, need))
				goto nomem;
		for (int r = 0; r < HB_NENGINES; r++)
			if (r == e || need[r] <= c->c[r])
				need[r] = 0;
		/* What another of the waits implies is left out; equal information stands in the lowest engine's. */
		for (int r = 0; r < HB_NENGINES; r++)
			for (int o = 0; need[r] && o < HB_NENGINES; o++)
				if (o != r && need[o] && clock[index[o][need[o] - 1]].c[r] >= need[r])
					need[r] = 0;
		for (int r = 0; r < HB_NENGINES; r++) {
			const clocks *other;
			if (!need[r])
				continue;
			in->wait_mask |= 1u << r;
			in->wait[r] = need[r];
			other = &clock[index[r][need[r] - 1]];
			for (int x = 0; x < HB_NENGINES; x++)
				c->c[x] = HB_MAX(c->c[x], other->c[x]);
			c->c[r] = HB_MAX(c->c[r], need[r]);
		}
		index[e][count[e]++] = (uint32_t)i;
		for (int o = in->nv; o-- > 0;)	/* outputs last: what an instruction reads and writes it has written */
			if (in->v[o].space != HB_PAR &&
			    !touch(a, &map[in->v[o].space], &in->v[o], hb_insn_writes(in, o), e, k, true, need))
				goto nomem;
	}
	hb_arena_free(a);
	return st;
nomem:
	if (a)
		hb_arena_free(a);
	return hb_nomem(cx, "waits");
}
