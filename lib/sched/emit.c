/* emit.c: a group's instructions, band by band (MACHINE 5.2), over buffers without addresses. LOAD and
 * STORE are the outer stages; what .lower calls is here. */
#include "lib/sched/internal.h"

/* A tensor in SRAM while its group runs: a ring of rows. */
typedef struct held {
	hb_tensor *t;
	bool made;			/* by a node of the group; else loaded */
	bool stored;
	bool direct;			/* read where it lies, as copies alone read it */
	hb_box *need;			/* what each band reads or makes */
	int64_t *lo, *hi;		/* rows: first that the band or a later one reads; done after the band */
	hb_box hull;			/* over all bands */
	int64_t rows;			/* of the ring */
	int64_t stride[HB_MAX_RANK];
	uint32_t buf;			/* of the group's */
} held;

/* SRAM for constants: `ordinal`-th call of node; taking turns where there is slack. */
typedef struct slot {
	int node, ordinal, turn;
	bool constant;
	uint32_t buf[2];
	int64_t entry[2];		/* what lies there; -1: nothing */
} slot;

typedef struct emitter {
	hb_lower lw;			/* first: .lower's calls get back here */
	hb_sched *s;
	hb_work *w;
	hb_trial *trial;		/* NULL: for real */
	uint64_t limit, sram;
	hb_arena *arena;
	held *held;
	int nheld;
	slot *slots;
	size_t nslots, cap_slots;
	hb_buf_row *bufs;		/* the group's, in SRAM */
	size_t nbufs, cap_bufs;
	int node, ordinal, temps;	/* of the call of .lower that runs */
	int64_t k0, k1;			/* block of input channels */
	uint64_t mac, vec, ddr, moved, insns;
} emitter;

static const hb_status too_large = HB_ERR_NO;

/* ---- buffers ---- */

static hb_status
new_buf(emitter *e, const char *name, uint32_t *out)
{
	if (!HB_GROW(e->arena, &e->bufs, &e->cap_bufs, e->nbufs + 1))
		return hb_nomem(e->s->cx, "schedule");
	e->bufs[e->nbufs] = (hb_buf_row){ .space = HB_S0, .align = e->s->fig->granule, .first = -1, .last = -1,
					  .name = name };
	*out = (uint32_t)e->nbufs++;
	return HB_OK;
}

/* Buffer b has at least so many bytes. */
static hb_status
want_bytes(emitter *e, uint32_t b, int64_t bytes)
{
	uint64_t g = e->s->fig->granule, old = (e->bufs[b].bytes + g - 1) / g, now = ((uint64_t)bytes + g - 1) / g;

	if ((uint64_t)bytes > UINT32_MAX)
		e->sram = UINT64_MAX;
	else if ((uint64_t)bytes > e->bufs[b].bytes) {
		e->sram += (now - old) * g;
		e->bufs[b].bytes = (uint32_t)bytes;
	}
	return e->sram > e->limit ? too_large : HB_OK;
}

/* The group's buffers follow those that the segment has. */
static uint32_t
segment_buf(const emitter *e, uint32_t b)
{
	return e->trial ? b : e->w->first_buf + b;
}

hb_status
hb_seg_grow(hb_sched *s, int segment, size_t count)
{
	hb_segment *seg = &s->p->segments[segment];
	hb_seg_bufs *b = &s->seg_bufs[segment];
	size_t need = seg->nbufs + count;

	if (!HB_GROW(s->p->arena, &seg->bufs, &b->cap, need) || !HB_GROW(s->arena, &b->of, &b->cap_of, need))
		return hb_nomem(s->cx, "schedule");
	for (size_t i = seg->nbufs; i < need; i++)
		b->of[i] = NULL;
	return HB_OK;
}

hb_status
hb_store_buf(hb_sched *s, hb_store *st, int segment, uint32_t *buf)
{
	hb_segment *seg = &s->p->segments[segment];

	if (st->segment == segment) {
		*buf = st->buf;
		return HB_OK;
	}
	HB_TRY(hb_seg_grow(s, segment, 1));
	s->seg_bufs[segment].of[seg->nbufs] = st;
	seg->bufs[seg->nbufs] = (hb_buf_row){ .space = st->space, .bytes = (uint32_t)st->bytes, .align = s->fig->granule,
					      .addr = st->addr, .first = -1, .last = -1, .name = st->name };
	st->segment = segment;
	st->buf = *buf = (uint32_t)seg->nbufs++;
	return HB_OK;
}

/* ---- views ---- */

static hb_status
ddr_view(emitter *e, const hb_tensor *t, const hb_box *box, hb_tview *v)
{
	hb_lay *l = hb_lay_of(t);
	uint32_t buf = 0;

	memset(v, 0, sizeof(*v));
	if (!e->trial)
		HB_TRY(hb_store_buf(e->s, l->store, e->w->segment, &buf));
	v->space = l->store->space;
	v->dtype = t->dtype;
	v->buf = buf;
	v->base = l->offset;
	v->rank = t->shape.rank;
	v->ring = -1;
	for (int d = 0; d < v->rank; d++) {
		v->base += box->lo[d] * l->stride[d];
		v->ext[d] = box->hi[d] - box->lo[d];
		v->stride[d] = l->stride[d];
	}
	return HB_OK;
}

static int
row_dim(const hb_tensor *t)
{
	const hb_lay *l = hb_lay_of(t);

	return t->shape.rank ? l->order[l->row] : -1;
}

static void
sram_view(const emitter *e, const held *h, const hb_box *box, hb_tview *v)
{
	int row = row_dim(h->t);

	memset(v, 0, sizeof(*v));
	v->space = HB_S0;
	v->dtype = h->t->dtype;
	v->buf = segment_buf(e, h->buf);
	v->rank = h->t->shape.rank;
	v->ring = -1;
	for (int d = 0; d < v->rank; d++) {
		v->ext[d] = box->hi[d] - box->lo[d];
		v->stride[d] = h->stride[d];
		if (d != row)
			v->base += (box->lo[d] - h->hull.lo[d]) * h->stride[d];
	}
	if (row < 0)
		return;
	int64_t first = (box->lo[row] - h->hull.lo[row]) % h->rows;
	if (first + v->ext[row] <= h->rows) {
		v->base += first * h->stride[row];
	} else {
		v->ring = row;
		v->ring_rows = h->rows;
		v->ring_first = first;
	}
}

static held *
held_of(emitter *e, const hb_tensor *t)
{
	hb_lay *l = hb_lay_of(t);

	return l->stamp == e->s->stamp ? &e->held[l->held] : NULL;
}

static bool
inside(const hb_box *a, const hb_box *b, int but)
{
	for (int d = 0; d < a->rank; d++)
		if (d != but && (a->lo[d] < b->lo[d] || a->hi[d] > b->hi[d]))
			return false;
	return true;
}

static hb_status
lower_view(hb_lower *lw, const hb_node *n, int k, const hb_box *box, hb_tview *v)
{
	emitter *e = (emitter *)lw;
	held *h = held_of(e, k < 0 ? n->out[0] : n->in[k]);

	if (!h || hb_box_empty(box))
		return hb_fail(e->s->cx, n, HB_ERR_UNSUPPORTED, "lower", "reads an operand that its group does not hold");
	if (h->direct)
		return ddr_view(e, h->t, box, v);
	if (!inside(box, &h->hull, -1))
		return hb_fail(e->s->cx, n, HB_ERR_UNSUPPORTED, "lower", "reads more than it said it needs");
	sram_view(e, h, box, v);
	return HB_OK;
}

/* ---- instructions ---- */

static void
account(emitter *e, const hb_insn *i)
{
	uint64_t cycles = hb_insn_cycles(e->s->fig, i), bytes;

	e->insns++;
	switch (i->engine) {
	case HB_M0:
		e->mac += cycles;
		break;
	case HB_V0:
		e->vec += cycles;
		break;
	default:
		bytes = hb_insn_bytes(e->s->fig, i);
		e->moved += bytes;
		e->ddr += cycles + hb_dma_cycles(e->s->fig, bytes);
	}
}

static hb_status
append(emitter *e, const hb_node *n, hb_insn *i)
{
	bool from_ddr = i->op == HB_I_copy && i->v[1].space != HB_S0, to_ddr = i->v[0].space != HB_S0;

	i->engine = i->op == HB_I_conv ? HB_M0 : from_ddr ? HB_L0 : to_ddr ? HB_ST0 : HB_V0;
	i->node = (int)((const hb_node_row *)n->user - e->s->p->nodes);
	account(e, i);
	if (e->trial)
		return HB_OK;
	hb_segment *seg = &e->s->p->segments[e->w->segment];
	if (!hb_list_add(e->s->p->arena, &seg->list, i))
		return hb_nomem(e->s->cx, "schedule");
	return HB_OK;
}

static hb_status
lower_emit(hb_lower *lw, const hb_node *n, hb_insn *i)
{
	return append((emitter *)lw, n, i);
}

/* ---- constants and temps ---- */

static void
dense_view(const emitter *e, uint32_t buf, hb_dtype dt, int rank, const int64_t *ext, hb_tview *v)
{
	int64_t step = (int64_t)hb_dtype_size(dt);

	memset(v, 0, sizeof(*v));
	v->space = HB_S0;
	v->dtype = dt;
	v->buf = segment_buf(e, buf);
	v->rank = rank;
	v->ring = -1;
	for (int d = rank; d-- > 0; step *= ext[d]) {
		v->ext[d] = ext[d];
		v->stride[d] = step;
	}
}

static hb_status
find_slot(emitter *e, bool constant, int ordinal, const char *name, slot **out)
{
	slot *p;

	for (size_t i = 0; i < e->nslots; i++) {
		p = &e->slots[i];
		if (p->node == e->node && p->ordinal == ordinal && p->constant == constant) {
			*out = p;
			return HB_OK;
		}
	}
	if (!HB_GROW(e->arena, &e->slots, &e->cap_slots, e->nslots + 1))
		return hb_nomem(e->s->cx, "schedule");
	p = *out = &e->slots[e->nslots++];
	*p = (slot){ .node = e->node, .ordinal = ordinal, .constant = constant, .turn = -1, .entry = { -1, -1 } };
	return new_buf(e, name, &p->buf[0]);
}

static int64_t
bytes_of(hb_dtype dt, int rank, const int64_t *ext)
{
	int64_t bytes = (int64_t)hb_dtype_size(dt);

	for (int d = 0; d < rank; d++)
		bytes *= ext[d];
	return bytes;
}

static hb_status
lower_constant(hb_lower *lw, const hb_node *n, const int64_t key[8], hb_fill_fn *fill, hb_dtype dt, int rank,
	       const int64_t *ext, hb_view *v)
{
	emitter *e = (emitter *)lw;
	int64_t bytes = bytes_of(dt, rank, ext), entry = hb_const_intern(e->s, n, key, (uint64_t)bytes);
	hb_tview to;
	slot *p;
	int turn;

	if (entry < 0)
		return hb_nomem(e->s->cx, n->name);
	HB_TRY(find_slot(e, true, e->ordinal++, n->name, &p));
	for (turn = 0; turn < 2 && p->entry[turn] != entry; turn++)
		;
	if (turn == 2) {		/* the other place, where double buffering has one */
		uint32_t at = 0;
		hb_insn i = { .op = HB_I_copy, .nv = 2 };

		turn = p->turn < 0 || !e->w->plan.slack ? 0 : 1 - p->turn;
		if (turn == 1 && p->buf[1] == 0)
			HB_TRY(new_buf(e, n->name, &p->buf[1]));
		HB_TRY(want_bytes(e, p->buf[turn], bytes));
		p->turn = turn;
		p->entry[turn] = entry;
		dense_view(e, p->buf[turn], HB_I8, 1, &bytes, &to);
		if (!hb_tview_operand(&to, &i.v[0]))
			return too_large;
		i.v[1] = i.v[0];
		i.v[1].space = HB_PAR;
		i.v[1].buf = 0;
		if (!e->trial) {
			hb_store *par = e->s->stores;	/* the first is all of it */
			HB_TRY(hb_const_place(e->s, n, entry, fill, &at));
			HB_TRY(hb_store_buf(e->s, par, e->w->segment, &i.v[1].buf));
		}
		i.v[1].base = at;
		HB_TRY(append(e, n, &i));
	}
	dense_view(e, p->buf[turn], dt, rank, ext, &to);
	return hb_lower_operand(lw, n, &to, v);
}

static hb_status
lower_temp(hb_lower *lw, const hb_node *n, hb_dtype dt, int rank, const int64_t *ext, hb_tview *v)
{
	emitter *e = (emitter *)lw;
	slot *p;

	HB_TRY(find_slot(e, false, e->temps++, n->name, &p));
	HB_TRY(want_bytes(e, p->buf[0], bytes_of(dt, rank, ext)));
	dense_view(e, p->buf[0], dt, rank, ext, v);
	return HB_OK;
}

/* ---- the group ---- */

static bool
is_param(const hb_node *n, int k)
{
	return k < 32 && n->op->sched->params >> k & 1;
}

static hb_status
hold(emitter *e, hb_tensor *t, held **out)
{
	hb_lay *l = hb_lay_of(t);

	if (l->stamp != e->s->stamp) {
		l->stamp = e->s->stamp;
		l->held = e->nheld;
		e->held[e->nheld++] = (held){ .t = t, .direct = true };
		HB_TRY(new_buf(e, t->name, &e->held[l->held].buf));
	}
	*out = &e->held[l->held];
	return HB_OK;
}

static hb_status
collect(emitter *e)
{
	size_t most = 0;
	held *h;

	for (int i = 0; i < e->w->n; i++)
		most += (size_t)e->w->nodes[i]->nin + 1;
	e->held = HB_NEW_N(e->arena, held, most);
	if (!e->held)
		return hb_nomem(e->s->cx, "schedule");
	e->s->stamp++;
	for (int i = 0; i < e->w->n; i++) {
		hb_node *n = e->w->nodes[i];
		for (int k = 0; k < n->nin; k++) {
			if (!n->in[k] || is_param(n, k))
				continue;
			HB_TRY(hold(e, n->in[k], &h));
			h->direct &= n->op->sched->copies;
		}
		HB_TRY(hold(e, n->out[0], &h));
		h->made = true;
		h->direct = false;
		h->stored = hb_lay_of(n->out[0])->store != NULL;
	}
	return HB_OK;
}

static void
widen(hb_box *to, const hb_box *b)
{
	if (hb_box_empty(b))
		return;
	if (hb_box_empty(to)) {
		*to = *b;
		return;
	}
	for (int d = 0; d < b->rank; d++) {
		to->lo[d] = HB_MIN(to->lo[d], b->lo[d]);
		to->hi[d] = HB_MAX(to->hi[d], b->hi[d]);
	}
}

/* The dimension of input 0 that HB_CUT_SUM cuts. */
static int
depth_dim(const hb_node *n)
{
	return n->op->sched->windowed ? 1 : n->in[0]->shape.rank - 1;
}

/* What each band of the sink's box needs of every tensor, backwards; then rings. */
static hb_status
plan_block(emitter *e, const hb_box *block, int64_t bands)
{
	hb_tensor *sink = e->w->nodes[e->w->n - 1]->out[0];
	int row = row_dim(sink);
	int64_t lo = row < 0 ? 0 : block->lo[row], rows = row < 0 ? 1 : block->hi[row] - lo;
	int64_t per = hb_ceil_div(rows, bands);

	for (int i = 0; i < e->nheld; i++)
		for (int64_t b = 0; b < bands; b++) {
			held *h = &e->held[i];
			memset(&h->need[b], 0, sizeof(hb_box));
			h->need[b].rank = HB_MAX(h->t->shape.rank, 1);	/* of rank 0: no range yet */
		}
	for (int64_t b = 0; b < bands; b++) {
		hb_box box = *block;
		if (row >= 0) {
			box.lo[row] = HB_MIN(lo + b * per, block->hi[row]);
			box.hi[row] = HB_MIN(lo + (b + 1) * per, block->hi[row]);
		}
		held_of(e, sink)->need[b] = box;
		for (int i = e->w->n; i-- > 0;) {
			const hb_node *n = e->w->nodes[i];
			const hb_box *out = &held_of(e, n->out[0])->need[b];
			if (hb_box_empty(out) || out->rank != n->out[0]->shape.rank)
				continue;
			for (int k = 0; k < n->nin; k++) {
				hb_box in = { .rank = 0 };
				held *h;
				if (!n->in[k] || is_param(n, k) || (h = held_of(e, n->in[k]))->direct)
					continue;
				n->op->sched->need(n, k, out, &in);
				if (in.rank == 0)
					h->need[b] = in;
				else
					widen(&h->need[b], &in);
			}
		}
	}
	for (int i = 0; i < e->nheld; i++) {
		held *h = &e->held[i];
		int r = row_dim(h->t);
		int64_t ext[HB_MAX_RANK], done = 0;

		if (h->direct)
			continue;
		memset(&h->hull, 0, sizeof(h->hull));
		h->hull.rank = h->t->shape.rank;
		for (int64_t b = 0; b < bands; b++)
			if (h->need[b].rank == h->hull.rank)
				widen(&h->hull, &h->need[b]);
		if (r < 0) {
			h->rows = 1;
			HB_TRY(want_bytes(e, h->buf, (int64_t)hb_dtype_size(h->t->dtype)));
			continue;
		}
		memset(h->lo, 0, (size_t)bands * sizeof(*h->lo));
		memset(h->hi, 0, (size_t)bands * sizeof(*h->hi));
		if (hb_box_empty(&h->hull))
			continue;
		done = h->hull.lo[r];
		for (int64_t b = 0; b < bands; b++) {
			if (!hb_box_empty(&h->need[b]))
				done = HB_MAX(done, h->need[b].hi[r]);
			h->hi[b] = done;
		}
		int64_t low = done;
		for (int64_t b = bands; b-- > 0;) {
			if (!hb_box_empty(&h->need[b]))
				low = HB_MIN(low, h->need[b].lo[r]);
			h->lo[b] = low;
		}
		h->rows = 1;
		for (int64_t b = 0; b < bands; b++)
			h->rows = HB_MAX(h->rows, h->hi[HB_MIN(b + e->w->plan.slack, bands - 1)] - h->lo[b]);
		if (e->k1 > e->k0 && !h->made && h->t == e->w->nodes[0]->in[0]) {
			int c = depth_dim(e->w->nodes[0]);
			h->hull.hi[c] = h->hull.lo[c] + e->k1 - e->k0;	/* one block at a time */
		}
		for (int d = 0; d < h->hull.rank; d++)
			ext[d] = d == r ? h->rows : h->hull.hi[d] - h->hull.lo[d];
		HB_TRY(want_bytes(e, h->buf, hb_lay_strides(e->s->fig, h->t, hb_lay_of(h->t)->order, ext, h->stride)));
	}
	return HB_OK;
}

/* DDR and SRAM, as a strided copy; in: towards SRAM. */
static hb_status
transfer(emitter *e, const hb_node *n, const held *h, const hb_box *box, bool in)
{
	hb_tview ddr, sram;

	if (hb_box_empty(box))
		return HB_OK;
	HB_TRY(ddr_view(e, h->t, box, &ddr));
	sram_view(e, h, box, &sram);
	return hb_lower_copy(&e->lw, n, in ? &sram : &ddr, in ? &ddr : &sram);
}

/* Rows of h that band b adds to the earlier ones; those that no window reads are left out. */
static hb_box
new_rows(const held *h, int64_t b)
{
	hb_box box = h->hull;
	int r = row_dim(h->t);

	if (r < 0) {
		box.rank = b ? 1 : 0;	/* once: an empty box of rank 1 afterwards */
		return box;
	}
	box.lo[r] = b ? HB_MAX(h->hi[b - 1], h->lo[b]) : h->hull.lo[r];
	box.hi[r] = h->hi[b];
	return box;
}

static hb_status
run_node(emitter *e, int i, const hb_box *out, int64_t depth)
{
	const hb_node *n = e->w->nodes[i];
	hb_tile t = { .out = *out, .k1 = depth, .last = true };

	e->node = i;
	e->ordinal = e->temps = 0;
	return n->op->sched->lower(&e->lw, n, &t);
}

/* One band of a lone node whose input channels come in blocks: input 0 anew each block. */
static hb_status
run_blocks(emitter *e, const hb_box *out, int64_t depth)
{
	const hb_node *n = e->w->nodes[0];
	held *h = held_of(e, n->in[0]);
	int c = depth_dim(n);
	hb_tile t = { .out = *out };

	for (t.block = 0; t.k0 < depth; t.k0 = t.k1, t.block++) {
		hb_box in;
		t.k1 = HB_MIN(t.k0 + e->k1, depth);
		t.last = t.k1 == depth;
		n->op->sched->need(n, 0, out, &in);
		in.lo[c] += t.k0;
		in.hi[c] = in.lo[c] + t.k1 - t.k0;
		h->hull.lo[c] = in.lo[c];
		h->hull.hi[c] = in.hi[c];
		HB_TRY(transfer(e, n, h, &in, true));
		e->node = 0;
		e->ordinal = e->temps = 0;
		HB_TRY(n->op->sched->lower(&e->lw, n, &t));
	}
	return HB_OK;
}

static hb_status
run_block(emitter *e, const hb_box *block, int64_t bands)
{
	hb_node *last = e->w->nodes[e->w->n - 1];
	int64_t depth0 = last->op->sched->depth ? last->op->sched->depth(last) : 0;

	HB_TRY(plan_block(e, block, bands));
	for (int64_t b = 0; b < bands; b++) {
		for (int i = 0; i < e->nheld; i++) {
			held *h = &e->held[i];
			hb_box box;
			if (h->made || h->direct || (e->k1 && h->t == last->in[0]))
				continue;
			box = new_rows(h, b);
			HB_TRY(transfer(e, last, h, &box, true));
		}
		for (int i = 0; i < e->w->n; i++) {
			hb_node *n = e->w->nodes[i];
			hb_box out = new_rows(held_of(e, n->out[0]), b);
			if (hb_box_empty(&out))
				continue;
			if (e->k1)
				HB_TRY(run_blocks(e, &out, depth0));
			else
				HB_TRY(run_node(e, i, &out, n->op->sched->depth ? n->op->sched->depth(n) : 0));
		}
		for (int i = 0; i < e->nheld; i++) {
			held *h = &e->held[i];
			hb_box box;
			if (!h->stored)
				continue;
			box = new_rows(h, b);
			HB_TRY(transfer(e, last, h, &box, false));
		}
	}
	return HB_OK;
}

/* The end of the pass over channels that begins at c: passes do not straddle a group's border. */
static int64_t
pass_end(const hb_node *n, int64_t c, int64_t size, int64_t extent)
{
	int64_t q = n->op->sched->quantum ? n->op->sched->quantum(n) : 1;

	if (size >= q)
		return HB_MIN(c + size / q * q, extent);
	return HB_MIN(c + size, (c / q + 1) * q);
}

/* Blocks of the last node's output: passes over channels, then what stands outside the rows one by one, then columns. */
static hb_status
run_group(emitter *e)
{
	hb_node *last = e->w->nodes[e->w->n - 1];
	hb_tensor *t = last->out[0];
	const hb_lay *l = hb_lay_of(t);
	const hb_plan *p = &e->w->plan;
	unsigned cut = last->op->sched->cut;
	int rank = t->shape.rank, chan = rank ? l->order[rank - 1] : -1;
	int whole = last->op->sched->whole ? last->op->sched->whole(last) : -1;
	int col = l->row + 1 < rank - 1 ? l->order[l->row + 1] : -1;
	hb_box all = hb_box_all(&t->shape);
	bool passes = rank && p->chan && (cut & HB_CUT_CHAN) && chan != whole && l->row != rank - 1;
	bool cols = p->col && col >= 0 && (cut & HB_CUT_COL) && col != whole;
	int64_t bands = cut & HB_CUT_ROW && rank && l->order[l->row] != whole ? p->bands : 1;
	int64_t outer = 1;

	for (int i = 0; i < l->row; i++)
		if ((cut & HB_CUT_ROW) && l->order[i] != whole)
			outer *= t->shape.dim[l->order[i]];
	for (int64_t c = 0, c1; c < (passes ? t->shape.dim[chan] : 1); c = c1) {
		hb_box box = all;
		c1 = 1;
		if (passes) {
			c1 = pass_end(last, c, p->chan, t->shape.dim[chan]);
			box.lo[chan] = c;
			box.hi[chan] = c1;
		}
		for (int64_t o = 0; o < outer; o++) {
			int64_t rest = o;
			for (int i = l->row; i-- > 0;) {
				int d = l->order[i];
				if (!(cut & HB_CUT_ROW) || d == whole)
					continue;
				box.lo[d] = rest % t->shape.dim[d];
				box.hi[d] = box.lo[d] + 1;
				rest /= t->shape.dim[d];
			}
			for (int64_t x = 0, n = cols ? t->shape.dim[col] : 1; x < n; x += cols ? p->col : 1) {
				if (cols) {
					box.lo[col] = x;
					box.hi[col] = HB_MIN(x + p->col, n);
				}
				HB_TRY(run_block(e, &box, bands));
			}
		}
	}
	return HB_OK;
}

/* Of the LOADs before the group's first other instruction, those of constants come first: they wait for
 * nothing but room, and the queue is in order. */
static void
constants_first(hb_list *l, size_t begin, hb_arena *a)
{
	size_t end = begin, at = begin;
	hb_insn *copy;

	while (end < l->n && l->insns[end].engine == HB_L0)
		end++;
	copy = hb_arena_dup(a, l->insns + begin, (end - begin) * sizeof(hb_insn));
	if (!copy)			/* the order is as right without */
		return;
	for (int constants = 1; constants >= 0; constants--)
		for (size_t i = 0; i < end - begin; i++)
			if ((copy[i].v[1].space == HB_PAR) == constants)
				l->insns[at++] = copy[i];
}

hb_status
hb_emit_group(hb_sched *s, hb_work *w, uint64_t limit, hb_trial *trial)
{
	emitter e = { .lw = { s->cx, lower_view, lower_constant, lower_temp, lower_emit }, .s = s, .w = w,
		      .trial = trial, .limit = limit, .arena = hb_arena_new(s->cx) };
	hb_segment *seg = &s->p->segments[w->segment];
	hb_status st;

	if (!e.arena)
		return hb_nomem(s->cx, "schedule");
	e.k1 = w->plan.depth;
	st = collect(&e);
	for (int i = 0; st == HB_OK && i < e.nheld; i++) {
		held *h = &e.held[i];
		h->need = HB_NEW_N(e.arena, hb_box, w->plan.bands);
		h->lo = HB_NEW_N(e.arena, int64_t, 2 * w->plan.bands);
		if (!h->need || !h->lo)
			st = hb_nomem(s->cx, "schedule");
		else
			h->hi = h->lo + w->plan.bands;
	}
	size_t begin = seg->list.n;
	/* SRAM buffers are numbered from 2^31 until their count is known: stores join the segment's meanwhile. */
	if (!trial)
		w->first_buf = UINT32_C(1) << 31;
	if (st == HB_OK)
		st = run_group(&e);
	if (st == HB_OK && !trial && s->opt.level > 0)
		constants_first(&seg->list, begin, e.arena);
	if (st == HB_OK && !trial) {
		uint32_t first = (uint32_t)seg->nbufs;
		st = hb_seg_grow(s, w->segment, e.nbufs);
		if (st == HB_OK) {
			memcpy(seg->bufs + first, e.bufs, e.nbufs * sizeof(*e.bufs));
			seg->nbufs += e.nbufs;
		}
		for (size_t i = begin; st == HB_OK && i < seg->list.n; i++)
			for (int k = 0; k < seg->list.insns[i].nv; k++)
				if (seg->list.insns[i].v[k].buf >> 31)
					seg->list.insns[i].v[k].buf = (seg->list.insns[i].v[k].buf & INT32_MAX) + first;
		w->first_buf = first;
		w->nbufs = (uint32_t)e.nbufs;
	}
	if (st == HB_OK && trial) {
		uint64_t most = HB_MAX(e.mac, HB_MAX(e.vec, e.ddr)), sum = e.mac + e.vec + e.ddr;
		*trial = (hb_trial){ .sram = e.sram, .bytes = e.moved, .insns = e.insns,
				     .cost = most + (sum - most) / (uint64_t)(w->plan.slack ? w->plan.bands : 1) };
	}
	hb_arena_free(e.arena);
	return st;
}
