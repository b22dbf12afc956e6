/* base.c: context, diagnostics, memory, strings, maps. Files and threads have their own file. */
#include "lib/base/base.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/internal.h"

int
hb_exit_code(hb_status st)
{
	switch (st) {
	case HB_OK:
		return 0;
	case HB_ERR_NO:
	case HB_ERR_UNSUPPORTED:
		return 1;
	case HB_ERR_USAGE:
		return 2;
	case HB_ERR_INPUT:
		return 3;
	case HB_ERR_SYSTEM:
	case HB_ERR_NOMEM:
		return 4;
	}
	return 3;
}

/* ---- context ---- */

hb_isa
hb_isa_best(void)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
		return HB_ISA_AVX512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return HB_ISA_AVX2;
#endif
	return HB_ISA_SCALAR;
}

hb_ctx *
hb_ctx_new(const hb_options *options)
{
	hb_ctx *cx = calloc(1, sizeof(*cx));
	if (!cx)
		return NULL;
	if (options)
		cx->opt = *options;
	else
		cx->opt.isa = hb_isa_best();
	if (!cx->opt.max_memory)
		cx->opt.max_memory = UINT64_C(4) << 30;
	cx->isa = HB_MIN(cx->opt.isa, hb_isa_best());
	cx->jobs = cx->opt.jobs;
	if (cx->jobs <= 0) {
		long n = sysconf(_SC_NPROCESSORS_ONLN);
		cx->jobs = n < 1 ? 1 : (int)n;
	}
	cx->jobs = HB_MIN(cx->jobs, HB_MAX_JOBS);
	cx->arena = hb_arena_new(cx);
	if (!cx->arena) {
		free(cx);
		return NULL;
	}
	return cx;
}

void
hb_ctx_free(hb_ctx *cx)
{
	if (!cx)
		return;
	hb_pool_free(cx->pool);
	hb_files_unmap(cx);
	while (cx->arenas)
		hb_arena_free(cx->arenas);
	free(cx);
}

/* ---- diagnostics ---- */

void
hb_vdiag(hb_ctx *cx, hb_severity sev, hb_status st, const char *where, const char *id, const char *fmt, va_list ap)
{
	char text[2048];
	vsnprintf(text, sizeof(text), fmt, ap);
	if (sev == HB_ERROR)
		cx->errors++;
	else if (sev == HB_WARNING)
		cx->warnings++;
	hb_diag d = {
		.severity = sev, .status = st, .file = cx->file,
		.where = where, .id = id, .text = text,
	};
	if (cx->opt.diag)
		cx->opt.diag(cx->opt.arg, &d);
}

hb_status
hb_error(hb_ctx *cx, hb_status st, const char *where, const char *id, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	hb_vdiag(cx, HB_ERROR, st, where, id, fmt, ap);
	va_end(ap);
	return st;
}

void
hb_warn(hb_ctx *cx, const char *where, const char *id, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	hb_vdiag(cx, HB_WARNING, HB_OK, where, id, fmt, ap);
	va_end(ap);
}

void
hb_note(hb_ctx *cx, const char *where, const char *id, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	hb_vdiag(cx, HB_NOTE, HB_OK, where, id, fmt, ap);
	va_end(ap);
}

void
hb_progress(hb_ctx *cx, const char *stage, int64_t done, int64_t total)
{
	if (cx->opt.progress)
		cx->opt.progress(cx->opt.arg, stage, done, total);
}

hb_status
hb_nomem(hb_ctx *cx, const char *where)
{
	return hb_error(cx, HB_ERR_NOMEM, where, "memory", "needs more memory than the limit of %llu MiB (--max-memory) or the system allows",
			(unsigned long long)(cx->opt.max_memory >> 20));
}

/* ---- memory ---- */

bool
hb_mem_take(hb_ctx *cx, uint64_t bytes)
{
	uint64_t now = __atomic_add_fetch(&cx->memory, bytes, __ATOMIC_RELAXED);
	if (now > cx->opt.max_memory || now < bytes) {
		__atomic_sub_fetch(&cx->memory, bytes, __ATOMIC_RELAXED);
		return false;
	}
	return true;
}

void
hb_mem_give(hb_ctx *cx, uint64_t bytes)
{
	__atomic_sub_fetch(&cx->memory, bytes, __ATOMIC_RELAXED);
}

void *
hb_big_alloc(hb_ctx *cx, size_t bytes)
{
	if (bytes > SIZE_MAX - 64 || !hb_mem_take(cx, bytes))
		return NULL;
	void *p = aligned_alloc(64, (bytes + 63) / 64 * 64 + (bytes ? 0 : 64));
	if (!p)
		hb_mem_give(cx, bytes);
	return p;
}

void
hb_big_free(hb_ctx *cx, void *p, size_t bytes)
{
	if (!p)
		return;
	free(p);
	hb_mem_give(cx, bytes);
}

enum { CHUNK = 64 << 10 };

struct chunk {
	struct chunk *next;
	size_t size;			/* bytes of the whole block */
	_Alignas(64) uint8_t bytes[];
};

struct hb_arena {
	hb_ctx *cx;
	struct chunk *chunks;		/* the first one is being filled */
	size_t at;			/* in the first chunk's bytes */
	size_t chunk;			/* size of the next ordinary chunk; doubles */
	hb_arena *prev, *next;		/* of the context */
};

hb_arena *
hb_arena_new(hb_ctx *cx)
{
	hb_arena *a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->cx = cx;
	a->chunk = CHUNK;
	a->next = cx->arenas;
	if (a->next)
		a->next->prev = a;
	cx->arenas = a;
	return a;
}

static void
free_chunks(hb_arena *a, struct chunk *c)
{
	while (c) {
		struct chunk *next = c->next;
		hb_mem_give(a->cx, c->size);
		free(c);
		c = next;
	}
}

void
hb_arena_free(hb_arena *a)
{
	if (!a)
		return;
	free_chunks(a, a->chunks);
	if (a->prev)
		a->prev->next = a->next;
	else
		a->cx->arenas = a->next;
	if (a->next)
		a->next->prev = a->prev;
	free(a);
}

void
hb_arena_reset(hb_arena *a)
{
	if (!a->chunks)
		return;
	free_chunks(a, a->chunks->next);
	a->chunks->next = NULL;
	a->at = 0;
}

static struct chunk *
new_chunk(hb_arena *a, size_t bytes)
{
	if (bytes > SIZE_MAX - sizeof(struct chunk) - 64)
		return NULL;
	size_t size = (sizeof(struct chunk) + bytes + 63) / 64 * 64;
	if (!hb_mem_take(a->cx, size))
		return NULL;
	struct chunk *c = aligned_alloc(64, size);
	if (!c) {
		hb_mem_give(a->cx, size);
		return NULL;
	}
	c->size = size;
	return c;
}

void *
hb_arena_alloc(hb_arena *a, size_t bytes)
{
	size_t align = bytes >= 1024 ? 64 : 16;
	size_t room = a->chunks ? a->chunks->size - sizeof(struct chunk) : 0;
	size_t at = (a->at + align - 1) & ~(align - 1);
	if (!bytes)
		bytes = 1;
	if (a->chunks && at <= room && bytes <= room - at) {
		a->at = at + bytes;
		return memset(a->chunks->bytes + at, 0, bytes);
	}
	if (bytes > a->chunk / 4 && a->chunks) {	/* a block of its own behind the one being filled */
		struct chunk *c = new_chunk(a, bytes);
		if (!c)
			return NULL;
		c->next = a->chunks->next;
		a->chunks->next = c;
		return memset(c->bytes, 0, bytes);
	}
	struct chunk *c = new_chunk(a, HB_MAX(bytes, a->chunk));
	if (!c)
		return NULL;
	if (a->chunk < ((size_t)1 << 20))
		a->chunk *= 2;
	c->next = a->chunks;
	a->chunks = c;
	a->at = bytes;
	return memset(c->bytes, 0, bytes);
}

void *
hb_arena_alloc_n(hb_arena *a, size_t n, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return hb_arena_alloc(a, bytes);
}

bool
hb_arena_grow(hb_arena *a, void **p, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return true;
	size_t n = HB_MAX(*cap * 2, HB_MAX(need, (size_t)4));
	void *q = hb_arena_alloc_n(a, n, size);
	if (!q)
		return false;
	if (*cap)
		memcpy(q, *p, *cap * size);
	*p = q;
	*cap = n;
	return true;
}

char *
hb_arena_strn(hb_arena *a, const char *s, size_t n)
{
	char *p = n == SIZE_MAX ? NULL : hb_arena_alloc(a, n + 1);
	if (p && n)
		memcpy(p, s, n);
	return p;
}

char *
hb_arena_str(hb_arena *a, const char *s)
{
	return hb_arena_strn(a, s, strlen(s));
}

void *
hb_arena_dup(hb_arena *a, const void *p, size_t bytes)
{
	void *q = hb_arena_alloc(a, bytes);
	if (q && bytes)
		memcpy(q, p, bytes);
	return q;
}

char *
hb_arena_printf(hb_arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *p = n < 0 ? NULL : hb_arena_alloc(a, (size_t)n + 1);
	if (p)
		vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

/* ---- byte cursor ---- */

const uint8_t *
hb_get_bytes(hb_cursor *c, uint64_t n)
{
	if (c->bad || n > (uint64_t)(c->end - c->p)) {
		c->bad = true;
		return NULL;
	}
	const uint8_t *p = c->p;
	c->p += n;
	return p;
}

static uint64_t
get_le(hb_cursor *c, int bytes)
{
	const uint8_t *p = hb_get_bytes(c, (uint64_t)bytes);
	uint64_t v = 0;
	for (int i = 0; p && i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint8_t
hb_get_u8(hb_cursor *c)
{
	return (uint8_t)get_le(c, 1);
}

uint16_t
hb_get_u16(hb_cursor *c)
{
	return (uint16_t)get_le(c, 2);
}

uint32_t
hb_get_u32(hb_cursor *c)
{
	return (uint32_t)get_le(c, 4);
}

uint64_t
hb_get_u64(hb_cursor *c)
{
	return get_le(c, 8);
}

/* ---- string builder ---- */

void
hb_buf_free(hb_buf *b)
{
	free(b->p);
	hb_mem_give(b->cx, b->cap);
	*b = (hb_buf){ .cx = b->cx };
}

static bool
buf_room(hb_buf *b, size_t n)
{
	if (b->bad || n > SIZE_MAX / 2 - b->len - 1) {
		b->bad = true;
		return false;
	}
	size_t need = b->len + n + 1;
	if (need <= b->cap)
		return true;
	size_t cap = HB_MAX(need, b->cap + b->cap / 2);
	cap = HB_MAX(cap, (size_t)256);
	if (!hb_mem_take(b->cx, cap - b->cap)) {
		b->bad = true;
		return false;
	}
	char *p = realloc(b->p, cap);
	if (!p) {
		hb_mem_give(b->cx, cap - b->cap);
		b->bad = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void
hb_buf_add(hb_buf *b, const void *p, size_t n)
{
	if (!buf_room(b, n))
		return;
	if (n)
		memcpy(b->p + b->len, p, n);
	b->len += n;
	b->p[b->len] = 0;
}

void *
hb_buf_room(hb_buf *b, size_t n)
{
	if (!buf_room(b, n))
		return NULL;
	char *p = b->p + b->len;
	b->len += n;
	b->p[b->len] = 0;
	return p;
}

void
hb_buf_str(hb_buf *b, const char *s)
{
	hb_buf_add(b, s, strlen(s));
}

void
hb_buf_printf(hb_buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0 && buf_room(b, (size_t)n)) {
		vsnprintf(b->p + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

static void
buf_le(hb_buf *b, uint64_t v, size_t n)
{
	uint8_t bytes[8];
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	hb_buf_add(b, bytes, n);
}

void
hb_buf_u8(hb_buf *b, uint8_t v)
{
	buf_le(b, v, 1);
}

void
hb_buf_u16(hb_buf *b, uint16_t v)
{
	buf_le(b, v, 2);
}

void
hb_buf_u32(hb_buf *b, uint32_t v)
{
	buf_le(b, v, 4);
}

void
hb_buf_u64(hb_buf *b, uint64_t v)
{
	buf_le(b, v, 8);
}

/* ---- map: open addressing, FNV-1a with a final mix ---- */

struct slot {
	const char *key;
	void *value;
	uint64_t hash;
};

struct hb_map {
	hb_arena *arena;
	struct slot *slots;
	size_t cap, n;			/* cap is a power of two */
};

hb_map *
hb_map_new(hb_arena *a)
{
	hb_map *m = HB_NEW(a, hb_map);
	if (m)
		m->arena = a;
	return m;
}

static uint64_t
hash_of(const char *key)
{
	uint64_t h = UINT64_C(14695981039346656037);
	for (const char *p = key; *p; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(1099511628211);
	return h ^ h >> 32;
}

static struct slot *
find_slot(struct slot *slots, size_t cap, const char *key, uint64_t hash)
{
	for (size_t i = hash & (cap - 1);; i = (i + 1) & (cap - 1)) {
		if (!slots[i].key || (slots[i].hash == hash && !strcmp(slots[i].key, key)))
			return &slots[i];
	}
}

void *
hb_map_get(const hb_map *m, const char *key)
{
	return m->cap ? find_slot(m->slots, m->cap, key, hash_of(key))->value : NULL;
}

bool
hb_map_put(hb_map *m, const char *key, void *value)
{
	if (m->n * 4 >= m->cap * 3) {
		size_t cap = m->cap ? m->cap * 2 : 16;
		struct slot *slots = HB_NEW_N(m->arena, struct slot, cap);
		if (!slots)
			return false;
		for (size_t i = 0; i < m->cap; i++) {
			if (m->slots[i].key)
				*find_slot(slots, cap, m->slots[i].key, m->slots[i].hash) = m->slots[i];
		}
		m->slots = slots;
		m->cap = cap;
	}
	uint64_t hash = hash_of(key);
	struct slot *s = find_slot(m->slots, m->cap, key, hash);
	if (!s->key)
		m->n++;
	*s = (struct slot){ .key = s->key ? s->key : key, .value = value, .hash = hash };
	return true;
}

/* ---- numbers in text ---- */

bool
hb_parse_i64(const char *s, int64_t *out)
{
	char *end;
	if (!*s || strchr(" \t\n\v\f\r", *s))
		return false;
	errno = 0;
	long long v = strtoll(s, &end, 10);
	*out = v;
	return !*end && !errno;
}

bool
hb_parse_f64(const char *s, double *out)
{
	char *end;
	if (!*s || strspn(s, "0123456789+-.eE") != strlen(s))
		return false;
	*out = strtod(s, &end);
	return !*end && isfinite(*out);
}
