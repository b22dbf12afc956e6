/* constants.c: the parameter space: each constant once. */
#include "lib/sched/internal.h"

struct hb_const_entry {
	int node;
	int64_t key[8];
	uint64_t bytes;
	uint64_t content;		/* hash of its bytes */
	uint32_t at;
	bool placed;
};

static uint64_t
mix(uint64_t h, uint64_t x)
{
	h = (h ^ x) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

static uint64_t
hash_key(int node, const int64_t key[8])
{
	uint64_t h = mix(1, (uint64_t)node);

	for (int i = 0; i < 8; i++)
		h = mix(h, (uint64_t)key[i]);
	return h;
}

static uint64_t
hash_bytes(const uint8_t *p, size_t n)
{
	uint64_t h = mix(2, n), x;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&x, p, 8);
		h = mix(h, x);
	}
	x = 0;
	memcpy(&x, p, n);
	return mix(h, x);
}

static void
enter(uint32_t *table, size_t size, uint64_t hash, size_t entry)
{
	size_t at = hash & (size - 1);

	while (table[at])
		at = (at + 1) & (size - 1);
	table[at] = (uint32_t)entry + 1;
}

static bool
grow_tables(hb_sched *s)
{
	size_t size = s->table_size ? 2 * s->table_size : 1024;

	if (s->nconsts * 2 < s->table_size)
		return true;
	s->key_table = HB_NEW_N(s->arena, uint32_t, size);
	s->content_table = HB_NEW_N(s->arena, uint32_t, size);
	if (!s->key_table || !s->content_table)
		return false;
	s->table_size = size;
	for (size_t i = 0; i < s->nconsts; i++) {
		enter(s->key_table, size, hash_key(s->consts[i].node, s->consts[i].key), i);
		if (s->consts[i].placed)
			enter(s->content_table, size, s->consts[i].content, i);
	}
	return true;
}

int64_t
hb_const_intern(hb_sched *s, const hb_node *n, const int64_t key[8], uint64_t bytes)
{
	uint64_t hash = hash_key(n->id, key);
	hb_const_entry *e;

	for (size_t at = hash; s->table_size; at++) {
		uint32_t k = s->key_table[at & (s->table_size - 1)];
		if (!k)
			break;
		e = &s->consts[k - 1];
		if (e->node == n->id && memcmp(e->key, key, sizeof(e->key)) == 0)
			return k - 1;
	}
	if (!grow_tables(s) || !HB_GROW(s->arena, &s->consts, &s->cap_consts, s->nconsts + 1))
		return -1;
	e = &s->consts[s->nconsts];
	*e = (hb_const_entry){ .node = n->id, .bytes = bytes };
	memcpy(e->key, key, sizeof(e->key));
	enter(s->key_table, s->table_size, hash, s->nconsts);
	return (int64_t)s->nconsts++;
}

hb_status
hb_const_place(hb_sched *s, const hb_node *n, int64_t entry, hb_fill_fn *fill, uint32_t *at)
{
	hb_const_entry *e = &s->consts[entry];
	size_t align = s->fig->granule;
	uint8_t *p;

	*at = e->at;
	if (e->placed)
		return HB_OK;
	p = hb_big_alloc(s->cx, e->bytes);
	if (!p)
		return hb_nomem(s->cx, n->name);
	fill(n, e->key, p);
	e->content = hash_bytes(p, e->bytes);
	e->placed = true;
	for (size_t k = e->content;; k++) {
		uint32_t other = s->content_table[k & (s->table_size - 1)];
		const hb_const_entry *o;
		if (!other)
			break;
		o = &s->consts[other - 1];
		if (o->bytes == e->bytes && memcmp(s->par.p + o->at, p, e->bytes) == 0) {
			*at = e->at = o->at;
			hb_big_free(s->cx, p, e->bytes);
			return HB_OK;
		}
	}
	while (s->par.len % align)
		hb_buf_u8(&s->par, 0);
	if (s->par.len + e->bytes > UINT32_MAX) {
		hb_big_free(s->cx, p, e->bytes);
		return hb_fail(s->cx, n, HB_ERR_NO, "par-size", "parameters pass 4 GiB");
	}
	*at = e->at = (uint32_t)s->par.len;
	hb_buf_add(&s->par, p, e->bytes);
	enter(s->content_table, s->table_size, e->content, (size_t)entry);
	hb_big_free(s->cx, p, e->bytes);
	return s->par.bad ? hb_nomem(s->cx, n->name) : HB_OK;
}
