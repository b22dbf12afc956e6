/* base.h: what every layer stands on: context, diagnostics, memory, strings,
 * maps, threads, checked arithmetic. */
#ifndef HB_BASE_H
#define HB_BASE_H

#include "lib/hbcc.h"

#include <stdarg.h>
#include <string.h>

#define HB_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define HB_MIN(a, b) ((a) < (b) ? (a) : (b))
#define HB_MAX(a, b) ((a) > (b) ? (a) : (b))
#define HB_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Leave with the status of `call` unless it is HB_OK. */
#define HB_TRY(call)                                    \
	do {                                            \
		hb_status hb_try_st_ = (call);          \
		if (hb_try_st_ != HB_OK)                \
			return hb_try_st_;              \
	} while (0)

/* ---- context ---- */

struct hb_ctx {
	hb_options opt;
	int jobs;			/* threads in use, at least 1 */
	hb_isa isa;
	const char *file;		/* the file that diagnostics are about, or NULL */
	int errors, warnings;		/* reported so far */
	uint64_t memory;		/* bytes held; atomic */
	struct hb_pool *pool;		/* worker threads, made at first use */
	struct hb_arena *arena;		/* lives as long as the context */
	struct hb_arena *arenas;	/* every arena that is open */
	struct hb_file *files;		/* mapped */
};

/* Reports an error and returns its status, so that a caller can `return hb_error(...)`.
 * where, id: as in hb_diag, may be NULL. */
hb_status hb_error(hb_ctx *cx, hb_status st, const char *where, const char *id, const char *fmt, ...) HB_PRINTF(5, 6);
void hb_warn(hb_ctx *cx, const char *where, const char *id, const char *fmt, ...) HB_PRINTF(4, 5);
void hb_note(hb_ctx *cx, const char *where, const char *id, const char *fmt, ...) HB_PRINTF(4, 5);
void hb_vdiag(hb_ctx *cx, hb_severity sev, hb_status st, const char *where, const char *id, const char *fmt, va_list ap);

/* Says how far a long stage is. total 0: unknown. */
void hb_progress(hb_ctx *cx, const char *stage, int64_t done, int64_t total);

/* Reports that memory ran out or max_memory was met, and returns HB_ERR_NOMEM. */
hb_status hb_nomem(hb_ctx *cx, const char *where);

/* ---- memory ----
 * Everything is counted against the context's max_memory. */

/* Counts `bytes` more (or, with hb_mem_give, less); false where that passes max_memory. */
bool hb_mem_take(hb_ctx *cx, uint64_t bytes);
void hb_mem_give(hb_ctx *cx, uint64_t bytes);

/* Large blocks, 64-byte aligned, not zeroed; NULL without memory. The size is asked again at release. */
void *hb_big_alloc(hb_ctx *cx, size_t bytes);
void hb_big_free(hb_ctx *cx, void *p, size_t bytes);

/* Arena: owns what is allocated in it, zeroed, at 16-byte alignment (64 from 1 KiB on). */
typedef struct hb_arena hb_arena;

hb_arena *hb_arena_new(hb_ctx *cx);
void hb_arena_free(hb_arena *a);
void hb_arena_reset(hb_arena *a);		/* all allocations end; keeps one chunk */
void *hb_arena_alloc(hb_arena *a, size_t bytes);	/* NULL without memory */
char *hb_arena_str(hb_arena *a, const char *s);
char *hb_arena_strn(hb_arena *a, const char *s, size_t n);
void *hb_arena_dup(hb_arena *a, const void *p, size_t bytes);
char *hb_arena_printf(hb_arena *a, const char *fmt, ...) HB_PRINTF(2, 3);

#define HB_NEW(a, type) ((type *)hb_arena_alloc((a), sizeof(type)))
/* n elements; NULL also where n * size overflows. */
#define HB_NEW_N(a, type, n) ((type *)hb_arena_alloc_n((a), (size_t)(n), sizeof(type)))
void *hb_arena_alloc_n(hb_arena *a, size_t n, size_t size);

/* Grows an arena array: `*p` of `*cap` elements gets room for `need`. False without memory. */
#define HB_GROW(a, p, cap, need) hb_arena_grow((a), (void **)(p), (cap), (need), sizeof(**(p)))
bool hb_arena_grow(hb_arena *a, void **p, size_t *cap, size_t need, size_t size);

/* ---- checked arithmetic: false on overflow ---- */
static inline bool hb_mul64(int64_t a, int64_t b, int64_t *out)
{
	return !__builtin_mul_overflow(a, b, out);
}

static inline bool hb_add64(int64_t a, int64_t b, int64_t *out)
{
	return !__builtin_add_overflow(a, b, out);
}

static inline int64_t hb_ceil_div(int64_t a, int64_t b)
{
	return a / b + (a % b > 0);
}

static inline int64_t hb_round_up(int64_t a, int64_t to)
{
	return hb_ceil_div(a, to) * to;
}

/* ---- byte cursor: bounded reads from memory that came from a file ---- */
typedef struct hb_cursor {
	const uint8_t *p, *end;
	bool bad;			/* a read passed the end; every later read gives 0 */
} hb_cursor;

uint8_t hb_get_u8(hb_cursor *c);
uint16_t hb_get_u16(hb_cursor *c);	/* little-endian, all of them */
uint32_t hb_get_u32(hb_cursor *c);
uint64_t hb_get_u64(hb_cursor *c);
const uint8_t *hb_get_bytes(hb_cursor *c, uint64_t n);	/* NULL past the end */

/* ---- string builder: a growing, always terminated heap buffer ---- */
typedef struct hb_buf {
	hb_ctx *cx;
	char *p;			/* NULL while empty */
	size_t len, cap;
	bool bad;			/* memory ran out; contents are incomplete */
} hb_buf;

void hb_buf_free(hb_buf *b);
void hb_buf_add(hb_buf *b, const void *p, size_t n);
/* n more bytes at the end for the caller to write; NULL without memory. */
void *hb_buf_room(hb_buf *b, size_t n);
void hb_buf_str(hb_buf *b, const char *s);
void hb_buf_printf(hb_buf *b, const char *fmt, ...) HB_PRINTF(2, 3);
void hb_buf_u8(hb_buf *b, uint8_t v);
void hb_buf_u16(hb_buf *b, uint16_t v);
void hb_buf_u32(hb_buf *b, uint32_t v);
void hb_buf_u64(hb_buf *b, uint64_t v);

/* ---- map from string to pointer; keys are not copied ---- */
typedef struct hb_map hb_map;

hb_map *hb_map_new(hb_arena *a);
void *hb_map_get(const hb_map *m, const char *key);		/* NULL where absent */
bool hb_map_put(hb_map *m, const char *key, void *value);	/* replaces; false without memory */

/* ---- files ---- */
typedef struct hb_file {
	const uint8_t *p;		/* NULL for an empty file */
	size_t size;
	char *path;
	struct hb_file *next;
} hb_file;

/* Maps a file for reading until the arena's context is freed. */
hb_status hb_file_map(hb_ctx *cx, const char *path, hb_file **out);

/* Writes a file whole or not at all: a temporary beside it, then rename. */
hb_status hb_file_write(hb_ctx *cx, const char *path, const void *p, size_t n);

/* ---- threads ---- */

/* fn gets [begin, end) of 0..n in pieces of at most `grain`; worker is 0..cx->jobs-1,
 * for its own scratch. Pieces start at multiples of grain, so what a piece computes
 * must depend on nothing else. Runs on the caller alone where n <= grain. Not nested. */
void hb_parallel(hb_ctx *cx, int64_t n, int64_t grain,
		 void (*fn)(void *arg, int64_t begin, int64_t end, int worker), void *arg);

/* ---- numbers in text ---- */
bool hb_parse_i64(const char *s, int64_t *out);		/* whole string, decimal */
bool hb_parse_f64(const char *s, double *out);		/* whole string, finite, C locale */

#endif
