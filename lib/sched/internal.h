/* internal.h: what the files of the scheduler share. */
#ifndef HB_SCHED_INTERNAL_H
#define HB_SCHED_INTERNAL_H

#include "lib/sched/sched.h"
#include "lib/sched/timing.h"
#include "ops/lower.h"

/* Bytes outside SRAM that a tensor, or several that are views of one, lie in. */
typedef struct hb_store {
	const char *name;
	hb_space space;
	uint64_t bytes;
	uint32_t addr;
	int first, last;		/* groups that touch it, in the order of the program; of a heap store */
	int place;			/* row of program->places, -1 */
	int segment;			/* the last segment that named it, and its buffer there; -1 */
	uint32_t buf;
	struct hb_store *next;
} hb_store;

/* How a tensor lies in memory; tensor->user. */
typedef struct hb_lay {
	int order[HB_MAX_RANK];		/* dimensions from outermost to innermost */
	int row;			/* place in `order` of the dimension that bands cut */
	int outside[HB_MAX_RANK];	/* the order in the store, where it differs: at the model's edges */
	int64_t stride[HB_MAX_RANK];	/* bytes in the store */
	int64_t offset;			/* of the first element in the store */
	hb_store *store;		/* NULL: never outside SRAM */
	bool windowed;			/* channels innermost */
	bool border;			/* read or written outside its segment, or a model's output */
	int held, stamp;		/* the emitter's: place in its table, in group `stamp` */
	int segment;			/* where it is made; -1: nowhere */
} hb_lay;

static inline hb_lay *
hb_lay_of(const hb_tensor *t)
{
	return t->user;
}

/* Nodes that run band by band. */
typedef struct hb_plan {
	int64_t bands;			/* of the last node's rows */
	int64_t col, chan, depth;	/* sizes of a block: columns, channels of a pass, input channels; 0: all */
	int slack;
} hb_plan;

typedef struct hb_work {		/* a group */
	hb_node **nodes;
	int n;
	int segment;			/* row of program->segments */
	hb_plan plan;
	uint32_t first_buf, nbufs;	/* its SRAM in the segment's buffers */
} hb_work;

/* What a dry run found. */
typedef struct hb_trial {
	uint64_t sram;			/* bytes of all buffers */
	uint64_t bytes;			/* DDR */
	uint64_t cost;			/* cycles: the longest resource, and the others' share that does not overlap */
	uint64_t insns;
} hb_trial;

typedef struct hb_const_entry hb_const_entry;

typedef struct hb_seg_bufs {		/* beside a segment's buffers */
	size_t cap, cap_of;
	hb_store **of;			/* the store that a buffer stands for; NULL: SRAM */
} hb_seg_bufs;

typedef struct hb_sched {
	hb_ctx *cx;
	hb_graph *g;
	const hb_march *march;
	const hb_figures *fig;
	hb_sched_options opt;
	hb_program *p;
	hb_arena *arena;		/* scratch */
	hb_store *stores, *last_store;
	hb_work *works;
	size_t nworks, cap_works;
	size_t cap_places;
	struct hb_seg_bufs *seg_bufs;	/* of each segment */
	int stamp;
	hb_buf par;
	hb_const_entry *consts;		/* by key */
	size_t nconsts, cap_consts;
	uint32_t *key_table, *content_table;	/* open addressing, entry + 1 */
	size_t table_size;
} hb_sched;

/* ---- segment.c: order, segments, layouts, stores, places, CPU graphs ---- */
hb_status hb_sched_segments(hb_sched *s);
/* Strides of a tensor of extents ext in the order given, dense but for the alignment; bytes of all of it. */
int64_t hb_lay_strides(const hb_figures *f, const hb_tensor *t, const int *order, const int64_t *ext, int64_t *stride);

/* ---- constants.c ---- */
/* The entry of a key of node n, made at first use; -1 without memory. */
int64_t hb_const_intern(hb_sched *s, const hb_node *n, const int64_t key[8], uint64_t bytes);
/* Its bytes in par, filled at first use. */
hb_status hb_const_place(hb_sched *s, const hb_node *n, int64_t entry, hb_fill_fn *fill, uint32_t *at);

/* ---- emit.c ---- */
/* Runs group w by its plan: with trial, only measures; HB_ERR_NO, not reported, where it takes more than `limit`
 * bytes of SRAM. Else appends to the segment's list. */
hb_status hb_emit_group(hb_sched *s, hb_work *w, uint64_t limit, hb_trial *trial);
/* `count` more buffers of a segment. */
hb_status hb_seg_grow(hb_sched *s, int segment, size_t count);
/* The buffer that stands for a store in a segment. */
hb_status hb_store_buf(hb_sched *s, hb_store *st, int segment, uint32_t *buf);

/* ---- plan.c ---- */
hb_status hb_plan_group(hb_sched *s, hb_work *w);

/* ---- address.c ---- */
typedef struct hb_fit {
	uint64_t bytes;
	int first, last;		/* alive in slots first..last */
	uint64_t addr;
} hb_fit;
/* Addresses of items alive together, multiples of align, first fit by decreasing size; *end: bytes used. */
hb_status hb_fit_all(hb_ctx *cx, hb_arena *a, hb_fit *items, size_t n, uint64_t align, uint64_t *end);
hb_status hb_sched_addresses(hb_sched *s);

/* ---- wait.c ---- */
/* What each instruction waits for, from the bytes of all before it (MACHINE 5.6). */
hb_status hb_sched_waits(hb_ctx *cx, const uint64_t size[HB_NSPACES], hb_list *l);

#endif
