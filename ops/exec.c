/* exec.c: plans memory once, packs constants, then runs nodes in list order. Without a tap, nodes that
 * only follow another one element by element are left to its kernel (ops/follow.h). */
#include "ops/exec.h"
#include "ops/follow.h"

#include <stdlib.h>

#define ALIGN 64

/* A tensor that a run makes: where it lies in the block of activations. */
typedef struct slot {
	uint64_t offset, bytes;
	int64_t last;			/* step after which its bytes are free */
	bool placed;
} slot;

typedef struct step {
	hb_node *n;
	const hb_val **in;
	hb_val **out;
	void *packed;
	size_t packed_bytes;
	/* Where nothing looks at what lies between: */
	bool absorbed;			/* done by an earlier step's kernel */
	hb_follow *follow;		/* what this step's kernel does too */
	hb_tensor *result;		/* and what its output 0 is then */
} step;

struct hb_exec {
	hb_graph *g;
	hb_ctx *cx;
	hb_arena *arena;
	hb_val **vals;			/* by tensor id; NULL: no value */
	step *steps;
	int64_t nsteps;
	uint8_t *memory;
	uint64_t memory_bytes;
	void *scratch;
	size_t scratch_bytes;
	bool (*wanted)(const hb_tensor *t);	/* what taps are to see; NULL: everything */
};

/* ---- planning ---- */

/* Free ranges in ascending order; the last one is open-ended. */
typedef struct range {
	uint64_t at, end;
} range;

typedef struct heap {
	hb_arena *arena;
	range *r;
	size_t n, cap;
	uint64_t top;			/* most bytes ever in use */
} heap;

/* The smallest range that fits, the lowest of equals. */
static bool
heap_take(heap *h, uint64_t bytes, uint64_t *at)
{
	size_t best = h->n;
	for (size_t i = 0; i < h->n; i++) {
		uint64_t size = h->r[i].end - h->r[i].at;
		if (size >= bytes && (best == h->n || size < h->r[best].end - h->r[best].at))
			best = i;
	}
	if (best == h->n)
		return false;
	*at = h->r[best].at;
	h->r[best].at += bytes;
	h->top = HB_MAX(h->top, *at + bytes);
	if (h->r[best].at == h->r[best].end) {
		memmove(h->r + best, h->r + best + 1, (h->n - best - 1) * sizeof(*h->r));
		h->n--;
	}
	return true;
}

static bool
heap_give(heap *h, uint64_t at, uint64_t bytes)
{
	size_t i = h->n;
	while (i > 0 && h->r[i - 1].at > at)
		i--;
	bool joins_low = i > 0 && h->r[i - 1].end == at;
	bool joins_high = i < h->n && h->r[i].at == at + bytes;
	if (joins_low && joins_high) {
		h->r[i - 1].end = h->r[i].end;
		memmove(h->r + i, h->r + i + 1, (h->n - i - 1) * sizeof(*h->r));
		h->n--;
	} else if (joins_low) {
		h->r[i - 1].end += bytes;
	} else if (joins_high) {
		h->r[i].at = at;
	} else {
		if (!HB_GROW(h->arena, &h->r, &h->cap, h->n + 1))
			return false;
		memmove(h->r + i + 1, h->r + i, (h->n - i) * sizeof(*h->r));
		h->r[i] = (range){ at, at + bytes };
		h->n++;
	}
	return true;
}

/* A value of t; a constant's points at its contents. */
static hb_status
value_of(hb_exec *ex, hb_tensor *t, hb_val **out)
{
	hb_val *v = ex->vals[t->id];
	if (!v) {
		v = HB_NEW(ex->arena, hb_val);
		if (!v)
			return hb_nomem(ex->cx, NULL);
		v->dtype = t->dtype;
		v->shape = t->shape;
		if (t->is_const && hb_tensor_elems(t) > 0) {
			v->data = (void *)(uintptr_t)hb_tensor_data(ex->g, t);
			if (!v->data)
				return HB_ERR_NOMEM;
		}
		ex->vals[t->id] = v;
	}
	*out = v;
	return HB_OK;
}

/* Links each node's operands and finds the last reader of each tensor. */
static hb_status
link_steps(hb_exec *ex, slot *slots)
{
	hb_graph *g = ex->g;
	int64_t i = 0;
	for (hb_node *n = g->first; n; n = n->next, i++) {
		step *s = &ex->steps[i];
		s->n = n;
		s->in = HB_NEW_N(ex->arena, const hb_val *, n->nin + 1);
		s->out = HB_NEW_N(ex->arena, hb_val *, n->nout + 1);
		if (!s->in || !s->out)
			return hb_nomem(ex->cx, NULL);
		if (!n->op || !n->op->run)
			return hb_fail(ex->cx, n, HB_ERR_UNSUPPORTED, "no-kernel", "operator %s cannot be run", n->op_type);
		for (int k = 0; k < n->nin; k++) {
			hb_val *v = NULL;
			if (n->in[k]) {
				HB_TRY(value_of(ex, n->in[k], &v));
				slots[n->in[k]->id].last = i;
			}
			s->in[k] = v;
		}
		for (int k = 0; k < n->nout; k++) {
			if (!n->out[k])
				continue;
			HB_TRY(value_of(ex, n->out[k], &s->out[k]));
			slots[n->out[k]->id].last = i;
		}
	}
	for (size_t k = 0; k < g->noutputs; k++) {
		hb_val *v;
		HB_TRY(value_of(ex, g->outputs[k], &v));
		slots[g->outputs[k]->id].last = INT64_MAX;
	}
	return HB_OK;
}

static bool
is_seen(const hb_exec *ex, const hb_tensor *t)
{
	return t->is_output || (ex->wanted && ex->wanted(t));
}

/* The only reader of t, which nothing outside the graph sees; or NULL. */
static hb_node *
only_reader(const hb_exec *ex, const hb_tensor *t)
{
	return t->nuses == 1 && !is_seen(ex, t) ? t->uses[0].node : NULL;
}

/* y = t * sigmoid(t): the two readers of t are a Sigmoid and the Mul of both. */
static hb_node *
silu_of(const hb_exec *ex, const hb_tensor *t, hb_node **sigmoid)
{
	if (t->nuses != 2 || is_seen(ex, t) || t->dtype != HB_F32)
		return NULL;
	for (int i = 0; i < 2; i++) {
		hb_node *s = t->uses[i].node, *m = t->uses[1 - i].node;
		if (*s->domain || strcmp(s->op_type, "Sigmoid") || *m->domain || strcmp(m->op_type, "Mul") || m->nin != 2)
			continue;
		*sigmoid = s;
		if (only_reader(ex, s->out[0]) == m && (m->in[0] == t || m->in[1] == t) && m->in[0] != m->in[1])
			return m;
	}
	return NULL;
}

/* An addition of t and a value of t's shape that is there before step i. */
static hb_status
addend_of(hb_exec *ex, const hb_node *m, const hb_tensor *t, int64_t i, const int64_t *made, hb_val **other)
{
	*other = NULL;
	if (*m->domain || strcmp(m->op_type, "Add") || t->dtype != HB_F32)
		return HB_OK;
	hb_tensor *o = m->in[0] == t ? m->in[1] : m->in[0];
	if (o == t || !hb_shape_eq(&o->shape, &t->shape) || (o->producer && made[o->id] >= i))
		return HB_OK;
	return value_of(ex, o, other);
}

/* m, a reader of t, quantizes it for a node that dequantizes again: that node. */
static hb_node *
pair_of(const hb_exec *ex, const hb_node *m, hb_follow *f)
{
	hb_node *d = m && m->nout == 1 ? only_reader(ex, m->out[0]) : NULL;
	return d && hb_follow_pair(ex->g, m, d, f) ? d : NULL;
}

/* Finds what step i's kernel can do for the nodes after it. made: the step of each tensor. */
static hb_status
absorb(hb_exec *ex, int64_t i, const int64_t *made)
{
	step *s = &ex->steps[i];
	hb_tensor *t = s->n->out[0];
	hb_follow **last = &s->follow;
	for (;;) {
		hb_follow f;
		hb_node *m = only_reader(ex, t), *sigmoid = NULL;
		hb_val *other = NULL;
		hb_node *d = pair_of(ex, m, &f);
		if (d) {
			ex->steps[made[m->out[0]->id]].absorbed = true;
			m = d;
		} else if (m && !hb_follow_of(ex->g, ex->arena, m, t, &f)) {
			HB_TRY(addend_of(ex, m, t, i, made, &other));
			f = (hb_follow){ .kind = HB_FOLLOW_ADD, .other = other };
			m = other ? m : NULL;
		} else if (!m && (m = silu_of(ex, t, &sigmoid))) {
			f = (hb_follow){ .kind = HB_FOLLOW_SILU };
			ex->steps[made[sigmoid->out[0]->id]].absorbed = true;
		}
		if (!m || !hb_shape_eq(&m->out[0]->shape, &t->shape))
			return HB_OK;
		hb_follow *copy = hb_arena_dup(ex->arena, &f, sizeof(f));
		if (!copy)
			return hb_nomem(ex->cx, NULL);
		*last = copy;
		last = (hb_follow **)&copy->next;
		t = m->out[0];
		ex->steps[made[t->id]].absorbed = true;
		s->result = t;
	}
}

static hb_status
absorb_followers(hb_exec *ex)
{
	int64_t *made = HB_NEW_N(ex->arena, int64_t, ex->g->next_tensor + 1);
	if (!made)
		return hb_nomem(ex->cx, NULL);
	for (int64_t i = 0; i < ex->nsteps; i++)
		for (int k = 0; k < ex->steps[i].n->nout; k++)
			if (ex->steps[i].n->out[k])
				made[ex->steps[i].n->out[k]->id] = i;
	for (int64_t i = 0; i < ex->nsteps; i++)
		if (ex->steps[i].n->op->follows && !ex->steps[i].absorbed && hb_tensor_elems(ex->steps[i].n->out[0]))
			HB_TRY(absorb(ex, i, made));
	return HB_OK;
}

static hb_status
release(heap *h, slot *s, hb_tensor *t, int64_t now)
{
	slot *p = t ? &s[t->id] : NULL;
	if (!p || !p->bytes || p->last != now)
		return HB_OK;
	uint64_t bytes = p->bytes;
	p->bytes = 0;			/* once, though it be read twice */
	return heap_give(h, p->offset, bytes) ? HB_OK : HB_ERR_NOMEM;
}

static hb_status
make_place(hb_exec *ex, heap *h, slot *slots, const hb_tensor *t)
{
	slot *s = t ? &slots[t->id] : NULL;
	if (!s || s->placed || !hb_tensor_elems(t))
		return HB_OK;
	s->placed = true;
	s->bytes = (hb_tensor_bytes(t) + ALIGN - 1) / ALIGN * ALIGN;
	return heap_take(h, s->bytes, &s->offset) ? HB_OK : hb_nomem(ex->cx, t->name);
}

static hb_status
plan_memory(hb_exec *ex, slot *slots)
{
	heap h = { .arena = ex->arena };
	if (!heap_give(&h, 0, UINT64_MAX / 2))
		return hb_nomem(ex->cx, NULL);
	for (int64_t i = 0; i < ex->nsteps; i++) {
		hb_node *n = ex->steps[i].n;
		for (int k = 0; k < n->nout; k++)
			HB_TRY(make_place(ex, &h, slots, n->out[k]));
		HB_TRY(make_place(ex, &h, slots, ex->steps[i].result));
		for (int k = 0; k < n->nin; k++)
			if (release(&h, slots, n->in[k], i))
				return hb_nomem(ex->cx, NULL);
		for (int k = 0; k < n->nout; k++)
			if (release(&h, slots, n->out[k], i))
				return hb_nomem(ex->cx, NULL);
	}
	ex->memory_bytes = h.top;
	if (!h.top)
		return HB_OK;
	if (h.top > SIZE_MAX || !(ex->memory = hb_big_alloc(ex->cx, (size_t)h.top)))
		return hb_nomem(ex->cx, NULL);
	for (int64_t i = 0; i < ex->nsteps; i++) {
		hb_node *n = ex->steps[i].n;
		for (int k = 0; k < n->nout; k++)
			if (n->out[k] && hb_tensor_elems(n->out[k]))
				ex->steps[i].out[k]->data = ex->memory + slots[n->out[k]->id].offset;
	}
	return HB_OK;
}

static hb_status
pack_constants(hb_exec *ex)
{
	for (int64_t i = 0; i < ex->nsteps; i++) {
		step *s = &ex->steps[i];
		const hb_op *op = s->n->op;
		size_t bytes = op->scratch ? op->scratch(s->n, ex->cx->jobs) : 0;
		ex->scratch_bytes = HB_MAX(ex->scratch_bytes, bytes);
		s->packed_bytes = op->pack_bytes ? op->pack_bytes(ex->g, s->n) : 0;
		if (!s->packed_bytes)
			continue;
		s->packed = hb_big_alloc(ex->cx, s->packed_bytes);
		if (!s->packed)
			return hb_nomem(ex->cx, s->n->name);
		op->pack(ex->g, s->n, s->packed);
	}
	if (ex->scratch_bytes && !(ex->scratch = hb_big_alloc(ex->cx, ex->scratch_bytes)))
		return hb_nomem(ex->cx, NULL);
	return HB_OK;
}

static hb_status
prepare(hb_exec *ex)
{
	hb_graph *g = ex->g;
	slot *slots = HB_NEW_N(ex->arena, slot, g->next_tensor + 1);
	ex->vals = HB_NEW_N(ex->arena, hb_val *, g->next_tensor + 1);
	for (hb_node *n = g->first; n; n = n->next)
		ex->nsteps++;
	ex->steps = HB_NEW_N(ex->arena, step, ex->nsteps + 1);
	if (!slots || !ex->vals || !ex->steps)
		return hb_nomem(ex->cx, NULL);
	for (size_t i = 0; i < g->ninputs; i++) {
		hb_val *v;
		HB_TRY(value_of(ex, g->inputs[i], &v));
	}
	HB_TRY(link_steps(ex, slots));
	HB_TRY(absorb_followers(ex));
	HB_TRY(plan_memory(ex, slots));
	return pack_constants(ex);
}

hb_exec *
hb_exec_new(hb_graph *g, hb_status *st)
{
	return hb_exec_new_for(g, NULL, st);
}

hb_exec *
hb_exec_new_for(hb_graph *g, bool (*wanted)(const hb_tensor *t), hb_status *st)
{
	hb_arena *a = hb_arena_new(g->cx);
	hb_exec *ex = a ? HB_NEW(a, hb_exec) : NULL;
	if (!ex) {
		hb_arena_free(a);
		*st = hb_nomem(g->cx, NULL);
		return NULL;
	}
	*ex = (hb_exec){ .g = g, .cx = g->cx, .arena = a, .wanted = wanted };
	*st = prepare(ex);
	if (*st) {
		hb_exec_free(ex);
		return NULL;
	}
	return ex;
}

void
hb_exec_free(hb_exec *ex)
{
	if (!ex)
		return;
	for (int64_t i = 0; ex->steps && i < ex->nsteps; i++)
		if (ex->steps[i].packed)
			hb_big_free(ex->cx, ex->steps[i].packed, ex->steps[i].packed_bytes);
	if (ex->memory)
		hb_big_free(ex->cx, ex->memory, (size_t)ex->memory_bytes);
	if (ex->scratch)
		hb_big_free(ex->cx, ex->scratch, ex->scratch_bytes);
	hb_arena_free(ex->arena);
}

hb_status
hb_exec_run(hb_exec *ex, const hb_val *in, hb_val *out, hb_tap *tap, void *arg)
{
	hb_graph *g = ex->g;
	for (size_t i = 0; i < g->ninputs; i++) {
		hb_tensor *t = g->inputs[i];
		if (in[i].dtype != t->dtype || !hb_shape_eq(&in[i].shape, &t->shape)) {
			char found[HB_SHAPE_TEXT], wanted[HB_SHAPE_TEXT];
			return hb_error(ex->cx, HB_ERR_INPUT, t->name, "input-shape", "is %s %s; the model takes %s %s",
					hb_dtype_name(in[i].dtype), hb_shape_text(&in[i].shape, found),
					hb_dtype_name(t->dtype), hb_shape_text(&t->shape, wanted));
		}
		ex->vals[t->id]->data = in[i].data;
		if (tap && (!ex->wanted || ex->wanted(t)))
			tap(arg, t, ex->vals[t->id]);
	}
	bool whole = tap && !ex->wanted;	/* every node by itself */
	for (int64_t i = 0; i < ex->nsteps; i++) {
		const step *s = &ex->steps[i];
		if (s->absorbed && !whole)
			continue;
		bool follow = s->follow && !whole;
		hb_val *result = follow ? ex->vals[s->result->id] : NULL;
		const hb_call c = {
			.cx = ex->cx, .n = s->n, .in = s->in, .out = follow ? &result : s->out,
			.scratch = ex->scratch, .packed = s->packed, .follow = follow ? s->follow : NULL,
		};
		s->n->op->run(&c);
		for (int k = 0; tap && k < s->n->nout; k++) {
			hb_tensor *t = follow ? s->result : s->n->out[k];
			if (t && (!ex->wanted || ex->wanted(t)))
				tap(arg, t, ex->vals[t->id]);
		}
	}
	for (size_t i = 0; i < g->noutputs; i++)
		out[i] = *ex->vals[g->outputs[i]->id];
	return HB_OK;
}

uint64_t
hb_exec_bytes(const hb_exec *ex)
{
	return ex->memory_bytes;
}

/* ---- one node ---- */

static hb_status
run_node(hb_graph *g, hb_node *n, const hb_call *call, size_t scratch_bytes, size_t packed_bytes)
{
	hb_call c = *call;
	void *scratch = NULL, *packed = NULL;
	bool ok = (!scratch_bytes || (scratch = hb_big_alloc(g->cx, scratch_bytes))) &&
		  (!packed_bytes || (packed = hb_big_alloc(g->cx, packed_bytes)));
	if (ok) {
		if (packed)
			n->op->pack(g, n, packed);
		c.scratch = scratch;
		c.packed = packed;
		n->op->run(&c);
	}
	if (scratch)
		hb_big_free(g->cx, scratch, scratch_bytes);
	if (packed)
		hb_big_free(g->cx, packed, packed_bytes);
	return ok ? HB_OK : hb_nomem(g->cx, n->name);
}

hb_status
hb_exec_node(hb_graph *g, hb_node *n, const hb_val *const *in, hb_val *const *out, hb_arena *a)
{
	const hb_op *op = n->op;
	if (!op || !op->run)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "no-kernel", "operator %s cannot be run", n->op_type);
	for (int k = 0; k < n->nout; k++) {
		hb_tensor *t = n->out[k];
		if (!t || !out[k])
			continue;
		out[k]->dtype = t->dtype;
		out[k]->shape = t->shape;
		out[k]->data = NULL;
		if (!hb_tensor_elems(t))
			continue;
		uint8_t *p = hb_arena_alloc(a, (size_t)hb_tensor_bytes(t) + ALIGN - 1);
		if (!p)
			return hb_nomem(g->cx, n->name);
		out[k]->data = p + (-(uintptr_t)p & (ALIGN - 1));
	}
	hb_call c = { .cx = g->cx, .n = n, .in = in, .out = out };
	return run_node(g, n, &c, op->scratch ? op->scratch(n, g->cx->jobs) : 0,
			op->pack_bytes ? op->pack_bytes(g, n) : 0);
}
