/* segment.c: which nodes run together and where their tensors lie: order, segments, layouts, stores,
 * places, and the graphs of CPU segments. */
#include "lib/sched/internal.h"

typedef struct item {			/* a node in the search for an order */
	hb_node *n;
	int waits;			/* operands that are not there yet */
	bool cpu;
	int segment;
} item;

typedef struct search {
	hb_sched *s;
	item *items;			/* in list order */
	int n;
	int *heap[2], count[2];		/* ready: BPU, CPU; lowest number first */
} search;

/* ---- Q and DQ at the model's edges ---- */

static bool
is_op(const hb_node *n, const char *op)
{
	return n && n->domain[0] == 0 && strcmp(n->op_type, op) == 0;
}

static bool
is_bpu(const hb_node *n)
{
	return strcmp(n->domain, "hbcc") == 0;
}

/* A model input that is only ever quantized, always alike: the runtime does it. */
static bool
quantized_input(const hb_tensor *t)
{
	const hb_q *q = NULL;

	if (t->is_output || t->dtype != HB_F32)
		return false;
	for (size_t i = 0; i < t->nuses; i++) {
		const hb_node *n = t->uses[i].node;
		if (!is_op(n, "QuantizeLinear") || t->uses[i].index != 0 || n->out[0]->is_output ||
		    n->out[0]->q.dtype != n->out[0]->dtype || n->out[0]->q.nscales > 1)
			return false;
		if (q && (q->dtype != n->out[0]->q.dtype || q->scale != n->out[0]->q.scale))
			return false;
		q = &n->out[0]->q;
	}
	return q != NULL;
}

/* The integers of which a model output is the float form; NULL: it is made otherwise. */
static hb_tensor *
dequantized(const hb_tensor *t)
{
	const hb_node *n = t->producer;
	hb_tensor *x;

	if (!is_op(n, "DequantizeLinear") || t->dtype != HB_F32)
		return NULL;
	x = n->in[0];
	return x->producer && is_bpu(x->producer) && !x->is_output && x->q.dtype == x->dtype ? x : NULL;
}

/* ---- order ---- */

static void
push(search *o, int kind, int x)
{
	int *h = o->heap[kind], i = o->count[kind]++;

	for (; i > 0 && h[(i - 1) / 2] > x; i = (i - 1) / 2)
		h[i] = h[(i - 1) / 2];
	h[i] = x;
}

static int
pop(search *o, int kind)
{
	int *h = o->heap[kind], top = h[0], x = h[--o->count[kind]], i = 0, n = o->count[kind];

	for (int c; (c = 2 * i + 1) < n; i = c) {
		c += c + 1 < n && h[c + 1] < h[c];
		if (x <= h[c])
			break;
		h[i] = h[c];
	}
	h[i] = x;
	return top;
}

/* Runs what is ready of one kind until nothing is, then of the other. run: item numbers in order. */
static int
alternate(search *o, int kind, int *run)
{
	int segments = 0, done = 0;

	o->count[0] = o->count[1] = 0;
	for (int i = 0; i < o->n; i++) {
		item *it = &o->items[i];
		it->waits = 0;
		for (int k = 0; k < it->n->nin; k++)
			it->waits += it->n->in[k] && it->n->in[k]->producer && it->n->in[k]->producer->user;
		if (it->waits == 0)
			push(o, it->cpu, i);
	}
	while (o->count[0] + o->count[1]) {
		if (o->count[kind] == 0) {
			kind = !kind;
			continue;
		}
		while (o->count[kind]) {
			item *it = &o->items[run[done] = pop(o, kind)];
			it->segment = segments;
			done++;
			for (int k = 0; k < it->n->nout; k++)
				for (size_t u = 0; it->n->out[k] && u < it->n->out[k]->nuses; u++) {
					item *r = it->n->out[k]->uses[u].node->user;
					if (r && --r->waits == 0)
						push(o, r->cpu, (int)(r - o->items));
				}
		}
		segments++;
	}
	return segments;
}

/* ---- layouts ---- */

int64_t
hb_lay_strides(const hb_figures *f, const hb_tensor *t, const int *order, const int64_t *ext, int64_t *stride)
{
	int64_t step = (int64_t)hb_dtype_size(t->dtype);
	int rank = t->shape.rank, row = order[0] == hb_lay_of(t)->order[0] ? hb_lay_of(t)->row : 0;

	for (int i = rank; i-- > 0;) {
		if (i + 2 == rank)
			step = hb_round_up(step, HB_MAX(f->c_align, 1u));
		if (i == row && step > (int64_t)f->granule)
			step = hb_round_up(step, HB_MAX(f->granule, 1u));
		stride[order[i]] = step;
		step *= ext[order[i]];
	}
	return step;
}

static hb_lay *
new_lay(hb_sched *s, hb_tensor *t)
{
	hb_lay *l = t->user ? t->user : HB_NEW(s->arena, hb_lay);

	t->user = l;
	if (l)
		l->segment = l->stamp = -1;
	return l;
}

static void
set_order(hb_tensor *t, bool channels_last)
{
	hb_lay *l = hb_lay_of(t);
	int rank = t->shape.rank, at = 0;

	for (int d = 0; d < rank; d++)
		if (!channels_last || d != 1)
			l->order[at++] = d;
	if (channels_last)
		l->order[at] = 1;
	memcpy(l->outside, l->order, sizeof(l->order));
	l->windowed = channels_last;
	l->row = 0;
	if (channels_last) {
		l->row = rank == 4;
		return;
	}
	while (l->row < rank - 2 && t->shape.dim[l->order[l->row]] == 1)
		l->row++;
}

/* At the model's edges rank-4 tensors of the BPU have the layout asked for. */
static void
set_edge(hb_tensor *t, bool nchw)
{
	hb_lay *l = hb_lay_of(t);

	if (t->shape.rank != 4)
		return;
	if (!nchw)
		set_order(t, true);
	for (int d = 0; d < 4 && nchw; d++)
		l->outside[d] = d;
}

static hb_store *
new_store(hb_sched *s, const char *name, hb_space space, uint64_t bytes)
{
	hb_store *st = HB_NEW(s->arena, hb_store);

	if (!st)
		return NULL;
	*st = (hb_store){ .name = name, .space = space, .bytes = bytes, .first = -1, .last = -1, .place = -1,
			  .segment = -1 };
	if (s->last_store)
		s->last_store->next = st;
	else
		s->stores = st;
	s->last_store = st;
	return st;
}

/* A store of t's own, and its strides in it. */
static hb_status
give_store(hb_sched *s, hb_tensor *t, const char *name, hb_space space)
{
	hb_lay *l = hb_lay_of(t);
	int64_t bytes = HB_MAX(hb_lay_strides(s->fig, t, l->outside, t->shape.dim, l->stride), 1), used;

	if (bytes > UINT32_MAX)
		return hb_error(s->cx, HB_ERR_NO, t->name, "tensor-size",
				"takes %lld bytes; 4 GiB can be addressed", (long long)bytes);
	l->store = new_store(s, name, space, (uint64_t)bytes);
	if (!l->store)
		return hb_nomem(s->cx, t->name);
	if (space == HB_IN || space == HB_OUT) {
		used = hb_round_up((int64_t)s->p->size[space], s->fig->granule);
		if (used + bytes > UINT32_MAX)
			return hb_error(s->cx, HB_ERR_NO, t->name, "tensor-size", "inputs or outputs pass 4 GiB");
		l->store->addr = (uint32_t)used;
		s->p->size[space] = (uint64_t)(used + bytes);
	}
	return HB_OK;
}

/* A constant that instructions read as a tensor lies in par in its layout. */
static hb_status
give_constant(hb_sched *s, hb_tensor *t)
{
	hb_lay *l = hb_lay_of(t);
	const uint8_t *from = hb_tensor_data(s->g, t);
	int64_t idx[HB_MAX_RANK] = { 0 }, size = (int64_t)hb_dtype_size(t->dtype), n = hb_tensor_elems(t);
	size_t base;

	if (!from)
		return hb_nomem(s->cx, t->name);
	HB_TRY(give_store(s, t, t->name, HB_PAR));
	while (s->par.len % s->fig->granule)
		hb_buf_u8(&s->par, 0);
	base = s->par.len;
	if (base + l->store->bytes > UINT32_MAX)
		return hb_error(s->cx, HB_ERR_NO, t->name, "par-size", "parameters pass 4 GiB");
	for (uint64_t i = 0; i < l->store->bytes && !s->par.bad; i++)
		hb_buf_u8(&s->par, 0);
	if (s->par.bad)
		return hb_nomem(s->cx, t->name);
	l->store->addr = (uint32_t)base;
	for (int64_t i = 0; i < n; i++, from += size) {
		size_t at = base;
		for (int d = 0; d < t->shape.rank; d++)
			at += (size_t)(idx[d] * l->stride[d]);
		memcpy(s->par.p + at, from, (size_t)size);
		for (int d = t->shape.rank; d-- > 0;) {
			if (++idx[d] < t->shape.dim[d])
				break;
			idx[d] = 0;
		}
	}
	return HB_OK;
}

/* ---- places ---- */

static hb_status
new_place(hb_sched *s, hb_tensor *t, const char *name, hb_dtype dtype, int *row)
{
	hb_lay *l = hb_lay_of(t);
	hb_place_row *r;

	if (l->store->place >= 0) {
		*row = l->store->place;
		return HB_OK;
	}
	if (!HB_GROW(s->p->arena, &s->p->places, &s->cap_places, s->p->nplaces + 1))
		return hb_nomem(s->cx, name);
	r = &s->p->places[s->p->nplaces];
	*r = (hb_place_row){ .name = hb_arena_str(s->p->arena, name), .shape = t->shape, .dtype = dtype, .space = l->store->space,
			     .addr = l->store->addr, .bytes = l->store->bytes };
	if (t->q.dtype == t->dtype && t->dtype != HB_F32)
		r->q = t->q;
	if (r->q.nscales > 1)
		r->q.scales = hb_arena_dup(s->p->arena, t->q.scales, (size_t)t->q.nscales * sizeof(float));
	if (!r->name || (r->q.nscales > 1 && !r->q.scales))
		return hb_nomem(s->cx, name);
	r->q.observer = NULL;
	for (int d = 0; d < t->shape.rank; d++) {
		r->order[d] = l->outside[d];
		r->stride[d] = (uint32_t)l->stride[d];
	}
	*row = l->store->place = (int)s->p->nplaces++;
	return HB_OK;
}

/* ---- views: outputs that are their input's bytes ---- */

/* Strides of a reshape of t's memory to shape `to`, where there are such. */
static bool
reshaped(const hb_tensor *t, const hb_shape *to, int64_t *stride)
{
	const hb_lay *l = hb_lay_of(t);
	int d = t->shape.rank - 1, e = to->rank - 1;

	/* From the innermost on: runs of t's dimensions that continue each other, parted as `to` asks. */
	for (;;) {
		int64_t n, run, step;
		while (d >= 0 && t->shape.dim[d] == 1)
			d--;
		while (e >= 0 && to->dim[e] == 1)
			stride[e--] = 0;
		if (d < 0 || e < 0)
			break;
		n = t->shape.dim[d];
		step = l->stride[d];
		for (d--; d >= 0 && (t->shape.dim[d] == 1 || l->stride[d] == step * n); d--)
			n *= t->shape.dim[d];
		for (run = 1; e >= 0 && run < n; e--) {
			if (n % (run * to->dim[e]))
				return false;
			stride[e] = run * step;
			run *= to->dim[e];
		}
	}
	while (e >= 0)
		stride[e--] = 0;
	/* A dimension of one has the stride that would follow, so that layouts stay ordered. */
	int64_t next = (int64_t)hb_dtype_size(t->dtype);
	for (e = to->rank - 1; e >= 0; e--) {
		if (to->dim[e] == 1)
			stride[e] = next;
		next = stride[e] * to->dim[e];
	}
	return true;
}

/* Whether n's output is a view of its input; sets strides and offset. */
static bool
is_view(const hb_node *n)
{
	const hb_lay *x = hb_lay_of(n->in[0]);
	hb_lay *y = hb_lay_of(n->out[0]);
	int rank = n->out[0]->shape.rank;
	int64_t start[HB_MAX_RANK], step[HB_MAX_RANK];

	if (strcmp(n->op_type, "Reshape") == 0) {
		y->offset = x->offset;
		return reshaped(n->in[0], &n->out[0]->shape, y->stride);
	}
	if (strcmp(n->op_type, "Slice") != 0)
		return false;
	hb_attr_list(n, "starts", rank, 0, start);
	hb_attr_list(n, "steps", rank, 1, step);
	y->offset = x->offset;
	for (int d = 0; d < rank; d++) {
		if (step[d] < 1)
			return false;
		y->offset += start[d] * x->stride[d];
		y->stride[d] = step[d] * x->stride[d];
	}
	return true;
}

/* ---- CPU segments ---- */

static bool
add_port(hb_graph *g, bool output, hb_tensor *t)
{
	hb_tensor ***list = output ? &g->outputs : &g->inputs;
	size_t *n = output ? &g->noutputs : &g->ninputs, *cap = output ? &g->cap_outputs : &g->cap_inputs;

	if (!HB_GROW(g->arena, list, cap, *n + 1))
		return false;
	*(output ? &t->is_output : &t->is_input) = true;
	(*list)[(*n)++] = t;
	return true;
}

/* t's counterpart in the graph of a CPU segment; made as an input or constant where it is not there. */
static hb_tensor *
cpu_tensor(hb_sched *s, hb_graph *g, hb_tensor *t)
{
	hb_tensor *c = hb_tensor_find(g, t->name);

	if (c)
		return c;
	c = hb_tensor_clone(s->g, t, g);
	if (!c || (!t->is_const && !add_port(g, false, c)))
		return NULL;
	return c;
}

static hb_status
cpu_graph(hb_sched *s, hb_segment *seg, item *const *items, int n)
{
	hb_graph *g = hb_graph_new(s->cx);

	if (!g)
		return hb_nomem(s->cx, "CPU segment");
	seg->graph = g;
	g->name = s->g->name;
	g->opsets = s->g->opsets;
	g->ir_version = s->g->ir_version;
	g->producer = s->g->producer;
	g->producer_version = s->g->producer_version;
	for (int i = 0; i < n; i++) {
		hb_node *from = items[i]->n, *to;
		/* Operands before the node: a name first met is one from outside. */
		for (int k = 0; k < from->nin; k++)
			if (from->in[k] && !cpu_tensor(s, g, from->in[k]))
				return hb_nomem(s->cx, from->name);
		to = hb_node_clone(from, g);
		if (!to)
			return hb_nomem(s->cx, from->name);
		for (int k = 0; k < from->nin; k++)
			if (from->in[k])
				hb_node_set_in(g, to, k, hb_tensor_find(g, from->in[k]->name));
		for (int k = 0; k < from->nout; k++) {
			hb_tensor *t = from->out[k] ? hb_tensor_clone(s->g, from->out[k], g) : NULL;
			if (!from->out[k])
				continue;
			if (!t)
				return hb_nomem(s->cx, from->name);
			hb_node_set_out(to, k, t);
			if (hb_lay_of(from->out[k]) && hb_lay_of(from->out[k])->border && !add_port(g, true, t))
				return hb_nomem(s->cx, from->name);
		}
	}
	return HB_OK;
}

/* ---- all of it ---- */

/* A tensor that a node of segment `seg` reads: noted where that is not the one that makes it. */
static void
note_use(hb_tensor *t, int seg)
{
	hb_lay *l = hb_lay_of(t);

	if (l->segment != seg)
		l->border = true;
}

static hb_status
add_row(hb_sched *s, int **rows, size_t *n, size_t *cap, int row)
{
	if (!HB_GROW(s->p->arena, rows, cap, *n + 1))
		return hb_nomem(s->cx, "places");
	(*rows)[(*n)++] = row;
	return HB_OK;
}

typedef struct ports {
	size_t ins, outs;
} ports;

/* Adds t's place to a segment's inputs or outputs, once. */
static hb_status
add_border(hb_sched *s, int seg, ports *cap, hb_tensor *t, bool output, hb_map *seen)
{
	hb_segment *g = &s->p->segments[seg];
	char *key = hb_arena_printf(s->arena, "%d %d %d", seg, output, t->id);
	int row;

	if (!key)
		return hb_nomem(s->cx, t->name);
	if (hb_map_get(seen, key))
		return HB_OK;
	if (!hb_map_put(seen, key, key))
		return hb_nomem(s->cx, t->name);
	HB_TRY(new_place(s, t, t->name, t->dtype, &row));
	if (output)
		return add_row(s, &g->outs, &g->nouts, &cap->outs, row);
	return add_row(s, &g->ins, &g->nins, &cap->ins, row);
}

/* Layouts of a BPU node's tensors: windowed operators want channels innermost. */
static void
mark_windowed(hb_node *n)
{
	if (!n->op->sched->windowed)
		return;
	for (int k = 0; k <= n->nin; k++) {
		hb_tensor *t = k < n->nin ? n->in[k] : n->out[0];
		if (!t || (k < n->nin && k < 32 && (n->op->sched->params | n->op->sched->plain) >> k & 1))
			continue;
		if (t->shape.rank == 3 || t->shape.rank == 4)
			hb_lay_of(t)->windowed = true;
	}
}

static bool
is_param(const hb_node *n, int k)
{
	return k < 32 && n->op->sched->params >> k & 1;
}

static hb_status
check_bpu(hb_sched *s, hb_node *n)
{
	if (!n->op || !n->op->sched || !n->op->sched->lower || n->nout != 1 || !n->out[0])
		return hb_fail(s->cx, n, HB_ERR_UNSUPPORTED, "schedule", "the machine has no instructions for it");
	for (int k = 0; k <= n->nin; k++) {
		hb_tensor *t = k < n->nin ? n->in[k] : n->out[0];
		if (!t)
			continue;
		if (!t->has_shape || (hb_tensor_elems(t) == 0))
			return hb_fail(s->cx, n, HB_ERR_UNSUPPORTED, "schedule", "'%s' has no elements", t->name);
		if (k < n->nin && is_param(n, k)) {
			if (!t->is_const)
				return hb_fail(s->cx, n, HB_ERR_UNSUPPORTED, "schedule", "input %d is no constant", k);
			if (!hb_tensor_data(s->g, t))
				return HB_ERR_NOMEM;
		} else if (t->dtype == HB_F32 || !hb_dtype_size(t->dtype)) {
			return hb_fail(s->cx, n, HB_ERR_UNSUPPORTED, "schedule", "'%s' is %s, no integers", t->name,
				       hb_dtype_name(t->dtype));
		}
	}
	return HB_OK;
}

/* What node n yields lies in the heap to the frame's end, where a reader of the program finds it. */
static hb_status
keep_outputs(hb_sched *s, const hb_node *n, int last)
{
	int row;

	for (int k = 0; k < n->nout && is_bpu(n); k++) {
		hb_store *st = n->out[k] ? hb_lay_of(n->out[k])->store : NULL;
		if (!st || st->space != HB_HEAP)
			continue;
		st->last = last;
		HB_TRY(new_place(s, n->out[k], n->out[k]->name, n->out[k]->dtype, &row));
	}
	return HB_OK;
}

/* A body's reads are edges that the order does not see. */
static hb_status
check_cpu(hb_sched *s, const hb_node *n)
{
	for (const hb_attr *a = n->attrs; a; a = a->next)
		for (size_t i = 0; a->type == HB_ATTR_GRAPH && a->g && i < a->g->ncaptured; i++)
			if (a->g->captured[i]->outer && !a->g->captured[i]->outer->is_const)
				return hb_fail(s->cx, n, HB_ERR_UNSUPPORTED, "schedule",
					       "its body reads '%s', which is computed outside of it",
					       a->g->captured[i]->outer->name);
	return HB_OK;
}

/* Outputs that no node makes (an input, a constant) get a copy that the CPU makes; `names` keeps the model's names. */
static hb_status
copy_outputs(hb_sched *s, const char **names)
{
	hb_graph *g = s->g;

	for (size_t i = 0; i < g->noutputs; i++) {
		hb_tensor *from = g->outputs[i];
		names[i] = from->name;
		if (from->producer)
			continue;
		char *name = hb_arena_printf(g->arena, "%s_output", from->name);
		while (name && hb_tensor_find(g, name))
			name = hb_arena_printf(g->arena, "%s_", name);
		hb_tensor *to = name ? hb_tensor_new(g, name, from->dtype, &from->shape) : NULL;
		hb_node *n = to ? hb_node_new(g, NULL, name, "", "Identity", 13, 1, 1) : NULL;
		if (!n)
			return hb_nomem(s->cx, from->name);
		n->on = HB_ON_CPU;
		hb_node_set_in(g, n, 0, from);
		hb_node_set_out(n, 0, to);
		HB_TRY(hb_op_infer(g, n));
		from->is_output = false;
		to->is_output = true;
		g->outputs[i] = to;
	}
	return HB_OK;
}

hb_status
hb_sched_segments(hb_sched *s)
{
	hb_graph *g = s->g;
	hb_program *p = s->p;
	search o = { .s = s };
	int *run, *run2, best, second, kind = 0;
	hb_map *seen = hb_map_new(s->arena);
	ports *caps;
	size_t cap_in = 0, cap_out = 0;
	const char **names = HB_NEW_N(s->arena, const char *, g->noutputs + 1);

	if (!names)
		return hb_nomem(s->cx, "schedule");
	HB_TRY(copy_outputs(s, names));
	for (hb_tensor *t = g->tensors; t; t = t->next)
		t->user = NULL;
	for (hb_tensor *t = g->tensors; t; t = t->next)
		if (!new_lay(s, t))
			return hb_nomem(s->cx, "schedule");
	for (hb_node *n = g->first; n; n = n->next)
		n->user = NULL;
	o.items = HB_NEW_N(s->arena, item, g->nnodes + 1);
	run = HB_NEW_N(s->arena, int, g->nnodes + 1);
	run2 = HB_NEW_N(s->arena, int, g->nnodes + 1);
	o.heap[0] = HB_NEW_N(s->arena, int, g->nnodes + 1);
	o.heap[1] = HB_NEW_N(s->arena, int, g->nnodes + 1);
	if (!o.items || !run || !run2 || !o.heap[0] || !o.heap[1] || !seen)
		return hb_nomem(s->cx, "schedule");
	if (!new_store(s, "par", HB_PAR, 0))	/* all parameters: the first store */
		return hb_nomem(s->cx, "schedule");

	/* Edges: quantized inputs and dequantized outputs are the runtime's. */
	hb_tensor **claims = HB_NEW_N(s->arena, hb_tensor *, g->noutputs + 1);	/* integers behind output i */
	hb_map *claimed = hb_map_new(s->arena);
	if (!claims || !claimed)
		return hb_nomem(s->cx, "schedule");
	hb_map *gone = hb_map_new(s->arena);	/* names of outputs of nodes that vanish */
	if (!gone)
		return hb_nomem(s->cx, "schedule");
	for (size_t i = 0; i < g->ninputs; i++)
		if (quantized_input(g->inputs[i]))
			for (size_t u = 0; u < g->inputs[i]->nuses; u++)
				if (!hb_map_put(gone, g->inputs[i]->uses[u].node->out[0]->name, g->inputs[i]))
					return hb_nomem(s->cx, "schedule");
	for (size_t i = 0; i < g->noutputs; i++) {
		hb_tensor *x = dequantized(g->outputs[i]);
		if (!x || hb_map_get(claimed, x->name))
			continue;
		claims[i] = x;
		/* CPU nodes that read the output too have their own copy in float. */
		if (!hb_map_put(claimed, x->name, g->outputs[i]) ||
		    (!g->outputs[i]->nuses && !hb_map_put(gone, g->outputs[i]->name, x)))
			return hb_nomem(s->cx, "schedule");
	}
	for (hb_node *n = g->first; n; n = n->next) {
		bool vanishes = n->nout && n->out[0] && hb_map_get(gone, n->out[0]->name);
		if (vanishes)
			continue;
		o.items[o.n] = (item){ .n = n, .cpu = !is_bpu(n) };
		n->user = &o.items[o.n++];
		HB_TRY(is_bpu(n) ? check_bpu(s, n) : check_cpu(s, n));
	}

	/* Order and segments: begin with the kind that needs fewer. */
	best = alternate(&o, 0, run);
	second = alternate(&o, 1, run2);
	if (second < best)
		kind = 1;
	best = alternate(&o, kind, run);
	p->nsegments = (size_t)best;
	p->segments = HB_NEW_N(p->arena, hb_segment, best + 1);
	s->seg_bufs = HB_NEW_N(s->arena, hb_seg_bufs, best + 1);
	p->nodes = HB_NEW_N(p->arena, hb_node_row, o.n + 1);
	caps = HB_NEW_N(s->arena, ports, best + 1);
	if (!p->segments || !s->seg_bufs || !p->nodes || !caps)
		return hb_nomem(s->cx, "schedule");
	item **sorted = HB_NEW_N(s->arena, item *, o.n + 1);
	if (!sorted)
		return hb_nomem(s->cx, "schedule");
	for (int i = 0; i < o.n; i++) {
		item *it = sorted[i] = &o.items[run[i]];
		hb_node *n = it->n;
		p->segments[it->segment].cpu = it->cpu;
		for (int k = 0; k < n->nout; k++)
			if (n->out[k])
				hb_lay_of(n->out[k])->segment = it->segment;
		p->nodes[i] = (hb_node_row){ .name = hb_arena_str(p->arena, n->name),
					     .op_type = hb_arena_str(p->arena, n->op_type), .segment = it->segment,
					     .macs = n->op && n->op->macs ? n->op->macs(n) : 0 };
		if (!p->nodes[i].name || !p->nodes[i].op_type)
			return hb_nomem(s->cx, "schedule");
	}
	p->nnodes = (size_t)o.n;
	/* Borders: read in another segment, or outputs. */
	for (int i = 0; i < o.n; i++)
		for (int k = 0; k < sorted[i]->n->nin; k++)
			if (sorted[i]->n->in[k] && !sorted[i]->n->in[k]->is_const)
				note_use(sorted[i]->n->in[k], sorted[i]->segment);
	for (size_t i = 0; i < g->noutputs; i++)
		hb_lay_of(claims[i] ? claims[i] : g->outputs[i])->border = true;

	/* Layouts. */
	for (int i = 0; i < o.n; i++)
		if (!sorted[i]->cpu)
			mark_windowed(sorted[i]->n);
	for (hb_tensor *t = g->tensors; t; t = t->next)
		set_order(t, hb_lay_of(t)->windowed);

	/* Model inputs. */
	for (size_t i = 0; i < g->ninputs; i++) {
		hb_tensor *t = g->inputs[i], *of = t;
		int row;
		if (quantized_input(t)) {
			of = t->uses[0].node->out[0];
			set_edge(of, s->opt.input_nchw);
		}
		HB_TRY(give_store(s, of, t->name, HB_IN));
		HB_TRY(new_place(s, of, t->name, t->dtype, &row));
		HB_TRY(add_row(s, &p->inputs, &p->ninputs, &cap_in, row));
		for (size_t u = 0; of != t && u < t->nuses; u++) {
			hb_lay *l = hb_lay_of(t->uses[u].node->out[0]), *first = hb_lay_of(of);
			if (l == first)
				continue;
			memcpy(l->order, first->order, sizeof(l->order));
			memcpy(l->outside, first->outside, sizeof(l->outside));
			memcpy(l->stride, first->stride, sizeof(l->stride));
			l->row = first->row;
			l->windowed = first->windowed;
			l->store = first->store;
		}
	}
	/* Model outputs. */
	for (size_t i = 0; i < g->noutputs; i++) {
		hb_tensor *t = g->outputs[i], *of = claims[i] ? claims[i] : t;
		int row;
		if (hb_lay_of(of)->store || !of->producer)
			return hb_error(s->cx, HB_ERR_UNSUPPORTED, names[i], "output", "is another output too");
		if (of->producer && is_bpu(of->producer))
			set_edge(of, s->opt.output_nchw);
		HB_TRY(give_store(s, of, names[i], HB_OUT));
		HB_TRY(new_place(s, of, names[i], t->dtype, &row));
		HB_TRY(add_row(s, &p->outputs, &p->noutputs, &cap_out, row));
	}
	/* The rest: constants, views, the heap; groups in order. */
	for (int i = 0; i < o.n; i++) {
		hb_node *n = sorted[i]->n;
		bool view = false;
		for (int k = 0; k < n->nin && !sorted[i]->cpu; k++) {
			hb_tensor *t = n->in[k];
			if (t && t->is_const && !is_param(n, k) && !hb_lay_of(t)->store)
				HB_TRY(give_constant(s, t));
		}
		if (!sorted[i]->cpu && n->op->sched->copies && !hb_lay_of(n->out[0])->border &&
		    !hb_lay_of(n->out[0])->store)
			view = is_view(n);
		if (view) {
			hb_lay_of(n->out[0])->store = hb_lay_of(n->in[0])->store;
		} else {
			hb_lay_of(n->out[0])->offset = 0;
			for (int k = 0; k < n->nout; k++) {
				hb_tensor *t = n->out[k];
				if (!t || hb_lay_of(t)->store || (sorted[i]->cpu && !hb_lay_of(t)->border))
					continue;
				HB_TRY(give_store(s, t, t->name, HB_HEAP));
			}
			if (!sorted[i]->cpu) {
				hb_work *w;
				if (!HB_GROW(s->arena, &s->works, &s->cap_works, s->nworks + 1))
					return hb_nomem(s->cx, "schedule");
				w = &s->works[s->nworks++];
				*w = (hb_work){ .n = 1, .segment = sorted[i]->segment };
				w->nodes = HB_NEW(s->arena, hb_node *);
				if (!w->nodes)
					return hb_nomem(s->cx, "schedule");
				w->nodes[0] = n;
			}
		}
		/* Lifetimes in the order of nodes, and borders of segments. */
		for (int k = 0; k < n->nin + n->nout; k++) {
			hb_tensor *t = k < n->nin ? n->in[k] : n->out[k - n->nin];
			hb_store *st = t ? hb_lay_of(t)->store : NULL;
			if (!st || t->is_const)
				continue;
			st->first = st->first < 0 ? i : st->first;
			st->last = i;
			bool made = k >= n->nin;
			if (made ? hb_lay_of(t)->border : hb_lay_of(t)->segment != sorted[i]->segment)
				HB_TRY(add_border(s, sorted[i]->segment, &caps[sorted[i]->segment], t, made, seen));
		}
		n->user = &p->nodes[i];
	}
	for (int i = 0; s->opt.debug && i < o.n; i++)
		HB_TRY(keep_outputs(s, sorted[i]->n, o.n - 1));
	for (int i = 0, j; i < o.n; i = j) {
		for (j = i; j < o.n && sorted[j]->segment == sorted[i]->segment; j++)
			;
		if (sorted[i]->cpu)
			HB_TRY(cpu_graph(s, &p->segments[sorted[i]->segment], sorted + i, j - i));
	}
	return HB_OK;
}
