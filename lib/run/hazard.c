/* hazard.c: unordered conflicting accesses (MACHINE 2 and 6). Happens-before is a vector
 * clock of eight numbers an instruction. What was touched is a treap of disjoint byte
 * intervals a space, each with its last writer and each engine's latest reader since;
 * queues are in order, so those are enough. */
#include "lib/run/run.h"

typedef struct span {
	uint64_t lo, hi;
	uint32_t writer;		/* an instruction's number + 1; 0: none */
	uint32_t reader[HB_NENGINES];
	uint32_t priority;		/* of the treap: a parent's is not below its children's */
	struct span *left, *right;
} span;

typedef struct checker {
	hb_arena *arena;
	const hb_segment *seg;
	int segment;
	uint32_t (*clock)[HB_NENGINES];	/* an instruction: how many of each engine's are before it */
	uint32_t *number;		/* an instruction: its place in its queue */
	uint32_t *queue[HB_NENGINES];	/* an engine: its instructions */
	uint32_t queued[HB_NENGINES];
	span *map[HB_NSPACES], *spare;
	uint32_t random;
	hb_hazard *out;
	size_t max, n;
	bool failed;			/* memory ran out */
} checker;

static span *
new_span(checker *c, uint64_t lo, uint64_t hi)
{
	span *s = c->spare;
	if (s)
		c->spare = s->right;
	else if (!(s = HB_NEW(c->arena, span))) {
		c->failed = true;
		return NULL;
	}
	/* xorshift32 (Marsaglia 2003) */
	c->random ^= c->random << 13;
	c->random ^= c->random >> 17;
	c->random ^= c->random << 5;
	*s = (span){.lo = lo, .hi = hi, .priority = c->random};
	return s;
}

static span *
join(span *a, span *b)
{
	if (!a || !b)
		return a ? a : b;
	if (a->priority >= b->priority) {
		a->right = join(a->right, b);
		return a;
	}
	b->left = join(a, b->left);
	return b;
}

/* Spans that begin below `at`, and the others. */
static void
part(span *t, uint64_t at, span **below, span **above)
{
	if (!t) {
		*below = *above = NULL;
	} else if (t->lo < at) {
		part(t->right, at, &t->right, above);
		*below = t;
	} else {
		part(t->left, at, below, &t->left);
		*above = t;
	}
}

/* The last span of t, where it reaches beyond `at`, is cut there; what is beyond is returned. */
static span *
cut_last(checker *c, span *t, uint64_t at)
{
	while (t && t->right)
		t = t->right;
	if (!t || t->hi <= at)
		return NULL;
	span *rest = new_span(c, at, t->hi);
	if (!rest)
		return NULL;
	rest->writer = t->writer;
	memcpy(rest->reader, t->reader, sizeof rest->reader);
	t->hi = at;
	return rest;
}

static void
found(checker *c, const span *s, uint32_t first, bool first_writes, uint32_t second, bool second_writes, hb_space space)
{
	hb_hazard *last = c->n && c->n <= c->max ? &c->out[c->n - 1] : NULL;
	if (last && last->segment == c->segment && last->first == first && last->second == second &&
	    last->space == space && last->hi == s->lo) {
		last->hi = s->hi;
		last->first_writes |= first_writes;
		last->second_writes |= second_writes;
		return;
	}
	if (c->n < c->max)
		c->out[c->n] = (hb_hazard){c->segment, first, second, space, s->lo, s->hi, first_writes, second_writes};
	c->n++;
}

static void
against(checker *c, const span *s, uint32_t other, bool other_writes, uint32_t i, bool writes, hb_space space)
{
	if (!other || other - 1 == i)
		return;
	hb_engine e = c->seg->list.insns[other - 1].engine;
	if (c->clock[i][e] <= c->number[other - 1])
		found(c, s, other - 1, other_writes, i, writes, space);
}

static void
compare(checker *c, const span *s, uint32_t i, bool writes, hb_space space)
{
	against(c, s, s->writer, true, i, writes, space);
	for (int e = 0; e < HB_NENGINES && writes; e++)
		if (s->reader[e] != s->writer)
			against(c, s, s->reader[e], false, i, true, space);
}

static bool
alike(const span *a, const span *b)
{
	return a->hi == b->lo && a->writer == b->writer && !memcmp(a->reader, b->reader, sizeof a->reader);
}

typedef struct touched {
	span *tree, *last;		/* built from the left */
	uint64_t at;			/* bytes below are done */
} touched;

static void
append(checker *c, touched *t, span *s)
{
	s->left = s->right = NULL;
	if (t->last && alike(t->last, s)) {
		t->last->hi = s->hi;
		s->right = c->spare;
		c->spare = s;
		return;
	}
	t->tree = join(t->tree, s);
	t->last = s;
}

static void
fill_gap(checker *c, touched *t, uint64_t hi, uint32_t i)
{
	span *s = t->at < hi ? new_span(c, t->at, hi) : NULL;
	if (!s)
		return;
	s->reader[c->seg->list.insns[i].engine] = i + 1;
	append(c, t, s);
}

/* Compares instruction i with the spans of t in order, and rebuilds them as i leaves them. */
static void
walk(checker *c, span *t, touched *to, uint32_t i, bool writes, hb_space space)
{
	if (!t)
		return;
	span *right = t->right;
	walk(c, t->left, to, i, writes, space);
	compare(c, t, i, writes, space);
	if (writes) {
		t->right = c->spare;
		c->spare = t;
	} else {
		uint64_t hi = t->hi;
		fill_gap(c, to, t->lo, i);
		t->reader[c->seg->list.insns[i].engine] = i + 1;
		append(c, to, t);
		to->at = hi;
	}
	walk(c, right, to, i, writes, space);
}

static void
touch(checker *c, hb_space space, uint64_t lo, uint64_t hi, uint32_t i, bool writes)
{
	span *below, *mid, *above, *rest;
	part(c->map[space], lo, &below, &mid);
	mid = join(cut_last(c, below, lo), mid);
	part(mid, hi, &mid, &above);
	rest = cut_last(c, mid, hi);
	above = join(rest, above);
	touched t = {.at = lo};
	walk(c, mid, &t, i, writes, space);
	if (writes) {
		span *s = new_span(c, lo, hi);
		if (s) {
			s->writer = i + 1;
			t.tree = s;
		}
	} else {
		fill_gap(c, &t, hi, i);
	}
	c->map[space] = join(join(below, t.tree), above);
}

static void
set_clock(checker *c, uint32_t i)
{
	const hb_insn *in = &c->seg->list.insns[i];
	uint32_t *clock = c->clock[i];
	for (int e = 0; e < HB_NENGINES; e++) {
		uint32_t n = e == (int)in->engine ? c->queued[e] : in->wait_mask >> e & 1 ? in->wait[e] : 0;
		if (n == 0 || n > c->queued[e])
			continue;
		const uint32_t *before = c->clock[c->queue[e][n - 1]];
		for (int o = 0; o < HB_NENGINES; o++)
			clock[o] = HB_MAX(clock[o], before[o]);
		clock[e] = HB_MAX(clock[e], n);
	}
	c->number[i] = c->queued[in->engine];
	c->queue[in->engine][c->queued[in->engine]++] = i;
}

static bool
check_segment(checker *c)
{
	const hb_list *l = &c->seg->list;
	size_t count[HB_NENGINES] = {0};
	for (size_t i = 0; i < l->n; i++)
		count[l->insns[i].engine]++;
	c->clock = hb_arena_alloc_n(c->arena, l->n + 1, sizeof *c->clock);
	c->number = HB_NEW_N(c->arena, uint32_t, l->n + 1);
	for (int e = 0; e < HB_NENGINES; e++) {
		c->queue[e] = HB_NEW_N(c->arena, uint32_t, count[e] + 1);
		c->queued[e] = 0;
		c->failed |= !c->queue[e];
	}
	if (!c->clock || !c->number || c->failed)
		return false;
	memset(c->map, 0, sizeof c->map);
	c->spare = NULL;
	c->random = 2463534242u;
	for (uint32_t i = 0; i < l->n; i++) {
		const hb_insn *in = &l->insns[i];
		set_clock(c, i);
		for (int writes = 0; writes < 2; writes++) {
			for (int k = 0; k < in->nv; k++) {
				const hb_view *v = &in->v[k];
				if (hb_insn_writes(in, k) != writes || v->space == HB_PAR || v->space == HB_IN)
					continue;
				uint64_t lo[2], hi[2];
				int n = hb_view_hull(v, lo, hi);
				for (int j = 0; j < n; j++)
					touch(c, v->space, lo[j], hi[j], i, writes);
			}
		}
		if (c->failed)
			return false;
	}
	return true;
}

hb_status
hb_hazards(hb_ctx *cx, const hb_program *p, hb_hazard *out, size_t max, size_t *n)
{
	checker c = {.out = out, .max = max, .arena = hb_arena_new(cx)};
	bool ok = c.arena != NULL;
	for (size_t k = 0; ok && k < p->nsegments; k++) {
		c.seg = &p->segments[k];
		c.segment = (int)k;
		hb_arena_reset(c.arena);
		ok = c.seg->list.n < UINT32_MAX && check_segment(&c);
	}
	if (c.arena)
		hb_arena_free(c.arena);
	*n = c.n;
	return ok ? HB_OK : hb_nomem(cx, "the hazard check");
}
