/* address.c: addresses by lifetime. */
#include "lib/sched/internal.h"

#include <stdlib.h>

static int
by_size(const void *pa, const void *pb)
{
	const hb_fit *a = *(hb_fit *const *)pa, *b = *(hb_fit *const *)pb;

	if (a->bytes != b->bytes)
		return a->bytes < b->bytes ? 1 : -1;
	return a < b ? -1 : a > b;
}

static int
by_addr(const void *pa, const void *pb)
{
	const hb_fit *a = *(hb_fit *const *)pa, *b = *(hb_fit *const *)pb;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return a < b ? -1 : a > b;
}

typedef struct placed {			/* those placed in a slot */
	hb_fit **p;
	size_t n, cap;
} placed;

hb_status
hb_fit_all(hb_ctx *cx, hb_arena *a, hb_fit *items, size_t n, uint64_t align, uint64_t *end)
{
	hb_fit **order = HB_NEW_N(a, hb_fit *, n + 1), **near = NULL;
	placed *slots;
	size_t cap_near = 0;
	int last = 0;

	*end = 0;
	for (size_t i = 0; i < n; i++)
		last = HB_MAX(last, items[i].last);
	slots = HB_NEW_N(a, placed, (size_t)last + 1);
	if (!order || !slots)
		return hb_nomem(cx, "addresses");
	for (size_t i = 0; i < n; i++) {
		order[i] = &items[i];
		items[i].addr = UINT64_MAX;
	}
	if (n)
		qsort(order, n, sizeof(*order), by_size);
	for (size_t i = 0; i < n; i++) {
		hb_fit *it = order[i];
		size_t count = 0;
		uint64_t at = 0;

		for (int k = it->first; k <= it->last; k++)
			for (size_t j = 0; j < slots[k].n; j++) {
				hb_fit *o = slots[k].p[j];
				if (k != HB_MAX(o->first, it->first))	/* met in an earlier slot */
					continue;
				if (!HB_GROW(a, &near, &cap_near, count + 1))
					return hb_nomem(cx, "addresses");
				near[count++] = o;
			}
		if (count)
			qsort(near, count, sizeof(*near), by_addr);
		for (size_t j = 0; j < count && at + it->bytes > near[j]->addr; j++)
			at = HB_MAX(at, (near[j]->addr + near[j]->bytes + align - 1) / align * align);
		it->addr = at;
		*end = HB_MAX(*end, at + it->bytes);
		for (int k = it->first; k <= it->last; k++) {
			if (!HB_GROW(a, &slots[k].p, &slots[k].cap, slots[k].n + 1))
				return hb_nomem(cx, "addresses");
			slots[k].p[slots[k].n++] = it;
		}
	}
	/* Proof: neighbours in address within a slot share no byte. */
	for (int k = 0; k <= last; k++) {
		if (!slots[k].n)
			continue;
		qsort(slots[k].p, slots[k].n, sizeof(hb_fit *), by_addr);
		for (size_t j = 0; j + 1 < slots[k].n; j++)
			if (slots[k].p[j]->addr + slots[k].p[j]->bytes > slots[k].p[j + 1]->addr)
				return hb_error(cx, HB_ERR_NO, NULL, "address", "two buffers alive together overlap");
	}
	return HB_OK;
}

/* One group's buffers behind each other from 0: they fit, as the plan's sum does. Where `prev` (the group
 * before) leaves room, none of its bytes are used, so that queues that run ahead need not wait. */
static bool
place_group(hb_buf_row *b, uint32_t n, const hb_buf_row *prev, uint32_t nprev, uint64_t limit, uint64_t align)
{
	uint64_t lo = 0, hi = 0, sum = 0, at;

	for (uint32_t i = 0; i < n; i++)
		sum += (b[i].bytes + align - 1) / align * align;
	for (uint32_t i = 0; i < nprev; i++) {
		lo = i == 0 || prev[i].addr < lo ? prev[i].addr : lo;
		hi = HB_MAX(hi, (uint64_t)prev[i].addr + prev[i].bytes);
	}
	hi = (hi + align - 1) / align * align;
	if (hi + sum <= limit)
		at = hi;
	else if (sum <= lo)
		at = 0;
	else
		at = nprev && lo == 0 && limit >= sum ? (limit - sum) / align * align : 0;
	if (at + sum > limit)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		b[i].addr = (uint32_t)at;
		at += (b[i].bytes + align - 1) / align * align;
	}
	return true;
}

hb_status
hb_sched_addresses(hb_sched *s)
{
	uint64_t align = s->fig->granule, end = 0;
	hb_fit *items;
	hb_store **of;
	size_t n = 0;

	for (hb_store *st = s->stores; st; st = st->next)
		n += st->space == HB_HEAP;
	items = HB_NEW_N(s->arena, hb_fit, n + 1);
	of = HB_NEW_N(s->arena, hb_store *, n + 1);
	if (!items || !of)
		return hb_nomem(s->cx, "addresses");
	n = 0;
	for (hb_store *st = s->stores; st; st = st->next)
		if (st->space == HB_HEAP && st->first >= 0) {
			of[n] = st;
			items[n++] = (hb_fit){ .bytes = st->bytes, .first = st->first, .last = st->last };
		}
	HB_TRY(hb_fit_all(s->cx, s->arena, items, n, align, &end));
	if (end > UINT32_MAX)
		return hb_error(s->cx, HB_ERR_NO, NULL, "heap-size", "tensors between layers take %llu bytes; 4 GiB can be addressed",
				(unsigned long long)end);
	s->p->size[HB_HEAP] = end;
	for (size_t i = 0; i < n; i++)
		of[i]->addr = (uint32_t)items[i].addr;

	/* SRAM, group by group, then stores' addresses into each segment's buffers. */
	uint32_t prev = 0, nprev = 0;
	int segment = -1;
	for (size_t i = 0; i < s->nworks; i++) {
		hb_work *w = &s->works[i];
		hb_buf_row *bufs = s->p->segments[w->segment].bufs;
		if (w->segment != segment || s->opt.level == 0)
			nprev = 0;
		segment = w->segment;
		if (!place_group(bufs + w->first_buf, w->nbufs, bufs + prev, nprev, s->fig->sram_bytes, align))
			return hb_fail(s->cx, w->nodes[0], HB_ERR_NO, "sram", "does not fit into %u bytes of SRAM",
				       s->fig->sram_bytes);
		prev = w->first_buf;
		nprev = w->nbufs;
	}
	for (hb_store *st = s->stores; st; st = st->next)
		if (st->place >= 0)
			s->p->places[st->place].addr = st->addr;
	return HB_OK;
}
