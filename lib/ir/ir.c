/* ir.c: building and changing a graph, keeping every link true. */
#include "lib/ir/ir.h"

#include <stdio.h>

static const struct {
	const char *name;
	size_t size;
} dtypes[HB_NDTYPES] = {
	[HB_NONE] = { "none", 0 },
	[HB_F32] = { "float32", 4 },
	[HB_I8] = { "int8", 1 },
	[HB_U8] = { "uint8", 1 },
	[HB_I16] = { "int16", 2 },
	[HB_U16] = { "uint16", 2 },
	[HB_I32] = { "int32", 4 },
	[HB_U32] = { "uint32", 4 },
	[HB_I64] = { "int64", 8 },
	[HB_U64] = { "uint64", 8 },
	[HB_BOOL] = { "bool", 1 },
};

size_t
hb_dtype_size(hb_dtype dt)
{
	return dtypes[dt].size;
}

const char *
hb_dtype_name(hb_dtype dt)
{
	return dtypes[dt].name;
}

/* ---- shapes ---- */

int64_t
hb_shape_span(const hb_shape *s, int from, int to)
{
	int64_t n = 1;
	for (int i = from; i < to; i++)
		n *= s->dim[i];
	return n;
}

int64_t
hb_shape_elems(const hb_shape *s)
{
	return hb_shape_span(s, 0, s->rank);
}

bool
hb_shape_eq(const hb_shape *a, const hb_shape *b)
{
	return a->rank == b->rank && !memcmp(a->dim, b->dim, (size_t)a->rank * sizeof(a->dim[0]));
}

bool
hb_shape_broadcast(const hb_shape *a, const hb_shape *b, hb_shape *out)
{
	hb_shape s = { .rank = HB_MAX(a->rank, b->rank) };
	for (int i = 1; i <= s.rank; i++) {
		int64_t x = i <= a->rank ? a->dim[a->rank - i] : 1;
		int64_t y = i <= b->rank ? b->dim[b->rank - i] : 1;
		if (x != y && x != 1 && y != 1)
			return false;
		s.dim[s.rank - i] = x == 1 ? y : x;
	}
	*out = s;
	return true;
}

const char *
hb_shape_text(const hb_shape *s, char buf[HB_SHAPE_TEXT])
{
	int at = 0;
	if (!s->rank)
		return strcpy(buf, "scalar");
	for (int i = 0; i < s->rank; i++)
		at += snprintf(buf + at, (size_t)(HB_SHAPE_TEXT - at), i ? "x%lld" : "%lld", (long long)s->dim[i]);
	return buf;
}

/* ---- graphs ---- */

hb_graph *
hb_graph_new(hb_ctx *cx)
{
	hb_arena *a = hb_arena_new(cx);
	hb_graph *g = a ? HB_NEW(a, hb_graph) : NULL;
	if (g) {
		g->cx = cx;
		g->arena = a;
		g->name = "";
		g->producer = "";
		g->producer_version = "";
		g->names = hb_map_new(a);
	}
	if (!g || !g->names) {
		hb_arena_free(a);
		return NULL;
	}
	return g;
}

void
hb_graph_free(hb_graph *g)
{
	if (g)
		hb_arena_free(g->arena);
}

bool
hb_meta_set(hb_arena *a, hb_meta **list, const char *key, const char *value)
{
	while (*list && strcmp((*list)->key, key) < 0)
		list = &(*list)->next;
	hb_meta *m = HB_NEW(a, hb_meta);
	if (!m)
		return false;
	bool taken = *list && !strcmp((*list)->key, key);
	*m = (hb_meta){ hb_arena_str(a, key), hb_arena_str(a, value), taken ? (*list)->next : *list };
	if (!m->key || !m->value)
		return false;
	*list = m;
	return true;
}

const char *
hb_meta_get(const hb_meta *list, const char *key)
{
	while (list && strcmp(list->key, key))
		list = list->next;
	return list ? list->value : NULL;
}

/* ---- tensors ---- */

/* `name`, or with the first free "~2", "~3", ... behind it. */
static const char *
free_name(hb_graph *g, const char *name)
{
	if (!hb_map_get(g->names, name))
		return hb_arena_str(g->arena, name);
	for (int i = 2;; i++) {
		char *s = hb_arena_printf(g->arena, "%s~%d", name, i);
		if (!s || !hb_map_get(g->names, s))
			return s;
	}
}

hb_tensor *
hb_tensor_new(hb_graph *g, const char *name, hb_dtype dtype, const hb_shape *shape)
{
	hb_tensor *t = HB_NEW(g->arena, hb_tensor);
	const char *own = t ? free_name(g, name) : NULL;
	if (!own || !hb_map_put(g->names, own, t)) {
		hb_nomem(g->cx, name);
		return NULL;
	}
	t->name = own;
	t->dtype = dtype;
	if (shape) {
		t->shape = *shape;
		t->has_shape = true;
	}
	t->id = g->next_tensor++;
	if (g->last_tensor)
		g->last_tensor->next = t;
	else
		g->tensors = t;
	g->last_tensor = t;
	g->ntensors++;
	return t;
}

hb_tensor *
hb_tensor_find(hb_graph *g, const char *name)
{
	return hb_map_get(g->names, name);
}

hb_tensor *
hb_tensor_again(hb_graph *g, const char *name, hb_dtype dtype, const hb_shape *shape)
{
	hb_tensor *t = hb_tensor_find(g, name);
	bool idle = t && !t->producer && !t->nuses && !t->is_const && !t->is_input && !t->is_output;
	if (!idle || t->dtype != dtype || !t->has_shape || !hb_shape_eq(&t->shape, shape))
		return hb_tensor_new(g, name, dtype, shape);
	t->q = (hb_q){ .dtype = HB_NONE };
	return t;
}

int64_t
hb_tensor_elems(const hb_tensor *t)
{
	return hb_shape_elems(&t->shape);
}

uint64_t
hb_tensor_bytes(const hb_tensor *t)
{
	return (uint64_t)hb_tensor_elems(t) * hb_dtype_size(t->dtype);
}

hb_tensor *
hb_tensor_const(hb_graph *g, const char *name, hb_dtype dtype, const hb_shape *shape, const void *data)
{
	hb_tensor *t = hb_tensor_new(g, name, dtype, shape);
	if (!t)
		return NULL;
	size_t bytes = (size_t)hb_tensor_bytes(t);
	t->data = data ? hb_arena_dup(g->arena, data, bytes) : hb_arena_alloc(g->arena, bytes);
	if (!t->data) {
		hb_nomem(g->cx, name);
		return NULL;
	}
	t->is_const = true;
	return t;
}

hb_tensor *
hb_tensor_ints(hb_graph *g, const char *name, const int64_t *v, size_t n)
{
	hb_shape s = { .rank = 1, .dim = { (int64_t)n } };
	return hb_tensor_const(g, name, HB_I64, &s, v);
}

hb_tensor *
hb_tensor_scalar_f32(hb_graph *g, const char *name, float v)
{
	hb_shape s = { .rank = 0 };
	return hb_tensor_const(g, name, HB_F32, &s, &v);
}

static float
half_to_float(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, man = h & 1023;
	uint32_t bits;
	if (exp == 31)
		bits = sign | 0x7f800000 | man << 13;
	else if (exp)
		bits = sign | (exp + 112) << 23 | man << 13;
	else {
		float f = (float)man * 0x1p-24f;	/* zero and denormals */
		memcpy(&bits, &f, 4);
		bits |= sign;
	}
	float f;
	memcpy(&f, &bits, 4);
	return f;
}

/* TensorProto.DataType of the types that become float32. */
enum { ONNX_FLOAT16 = 10, ONNX_DOUBLE = 11, ONNX_BFLOAT16 = 16 };

static void
raw_to_float(float *to, const uint8_t *raw, int onnx_type, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		if (onnx_type == ONNX_DOUBLE) {
			double d;
			memcpy(&d, raw + 8 * i, 8);
			to[i] = (float)d;
		} else {
			uint16_t h;
			memcpy(&h, raw + 2 * i, 2);
			uint32_t b = (uint32_t)h << 16;
			if (onnx_type == ONNX_FLOAT16)
				to[i] = half_to_float(h);
			else
				memcpy(&to[i], &b, 4);
		}
	}
}

const void *
hb_tensor_data(hb_graph *g, hb_tensor *t)
{
	if (t->data || !t->is_const)
		return t->data;
	size_t size = hb_dtype_size(t->dtype);
	int64_t n = hb_tensor_elems(t);
	uint8_t *p = hb_arena_alloc(g->arena, (size_t)n * size);
	if (!p) {
		hb_nomem(g->cx, t->name);
		return NULL;
	}
	if (t->is_splat) {
		for (int64_t i = 0; t->splat && i < n; i++)
			memcpy(p + (size_t)i * size, &t->splat, size);
	} else if (t->raw && t->raw_onnx_type) {
		raw_to_float((float *)(void *)p, t->raw, t->raw_onnx_type, n);
	} else if (t->raw && n) {
		memcpy(p, t->raw, (size_t)n * size);
	}
	t->data = p;
	return p;
}

bool
hb_tensor_ints_get(hb_graph *g, hb_tensor *t, int64_t *v, size_t max, size_t *n)
{
	if (!t || !t->is_const || (t->dtype != HB_I64 && t->dtype != HB_I32))
		return false;
	int64_t count = hb_tensor_elems(t);
	const void *p = (uint64_t)count <= max ? hb_tensor_data(g, t) : NULL;
	if (!p)
		return false;
	for (int64_t i = 0; i < count; i++)
		v[i] = t->dtype == HB_I64 ? ((const int64_t *)p)[i] : ((const int32_t *)p)[i];
	*n = (size_t)count;
	return true;
}

/* ---- nodes ---- */

hb_node *
hb_node_new(hb_graph *g, hb_node *at, const char *name, const char *domain, const char *op_type, int version, int nin, int nout)
{
	hb_node *n = HB_NEW(g->arena, hb_node);
	if (n) {
		n->in = HB_NEW_N(g->arena, hb_tensor *, nin);
		n->out = HB_NEW_N(g->arena, hb_tensor *, nout);
		n->name = hb_arena_str(g->arena, name);
		n->op_type = hb_arena_str(g->arena, op_type);
		n->domain = hb_arena_str(g->arena, domain);
	}
	if (!n || !n->in || !n->out || !n->name || !n->op_type || !n->domain) {
		hb_nomem(g->cx, name);
		return NULL;
	}
	n->version = version;
	n->index = -1;
	n->nin = nin;
	n->nout = nout;
	n->segment = -1;
	n->id = g->next_node++;
	n->next = at;
	n->prev = at ? at->prev : g->last;
	*(n->prev ? &n->prev->next : &g->first) = n;
	*(at ? &at->prev : &g->last) = n;
	g->nnodes++;
	return n;
}

static bool
add_use(hb_graph *g, hb_tensor *t, hb_node *n, int i)
{
	if (!HB_GROW(g->arena, &t->uses, &t->cap_uses, t->nuses + 1))
		return false;
	t->uses[t->nuses++] = (hb_use){ n, i };
	return true;
}

static void
drop_use(hb_tensor *t, const hb_node *n, int i)
{
	for (size_t k = 0; k < t->nuses; k++) {
		if (t->uses[k].node == n && t->uses[k].index == i) {
			memmove(t->uses + k, t->uses + k + 1, (t->nuses - k - 1) * sizeof(hb_use));
			t->nuses--;
			return;
		}
	}
}

void
hb_node_set_in(hb_graph *g, hb_node *n, int i, hb_tensor *t)
{
	if (n->in[i])
		drop_use(n->in[i], n, i);
	n->in[i] = t && add_use(g, t, n, i) ? t : NULL;
}

void
hb_node_set_out(hb_node *n, int i, hb_tensor *t)
{
	if (n->out[i] && n->out[i]->producer == n)
		n->out[i]->producer = NULL;
	n->out[i] = t;
	if (t) {
		t->producer = n;
		t->out_index = i;
	}
}

bool
hb_node_add_in(hb_graph *g, hb_node *n, hb_tensor *t)
{
	hb_tensor **in = HB_NEW_N(g->arena, hb_tensor *, n->nin + 1);
	if (!in || !add_use(g, t, n, n->nin))
		return false;
	memcpy(in, n->in, (size_t)n->nin * sizeof(in[0]));
	in[n->nin] = t;
	n->in = in;
	n->nin++;
	return true;
}

static void
unlink_node(hb_graph *g, hb_node *n)
{
	*(n->prev ? &n->prev->next : &g->first) = n->next;
	*(n->next ? &n->next->prev : &g->last) = n->prev;
}

void
hb_node_remove(hb_graph *g, hb_node *n)
{
	for (int i = 0; i < n->nin; i++)
		hb_node_set_in(g, n, i, NULL);
	for (int i = 0; i < n->nout; i++) {
		if (n->out[i] && n->out[i]->producer == n)
			n->out[i]->producer = NULL;
	}
	unlink_node(g, n);
	g->nnodes--;
}

void
hb_node_move(hb_graph *g, hb_node *n, hb_node *at)
{
	if (n == at)
		return;
	unlink_node(g, n);
	n->next = at;
	n->prev = at ? at->prev : g->last;
	*(n->prev ? &n->prev->next : &g->first) = n;
	*(at ? &at->prev : &g->last) = n;
}

void
hb_node_absorb(hb_graph *g, hb_node *into, hb_node *gone)
{
	(void)g;
	for (hb_source *s = gone->sources; s; s = s->next_of_node)
		s->now = into;
	if (into && gone->sources) {
		*(into->last_source ? &into->last_source->next_of_node : &into->sources) = gone->sources;
		into->last_source = gone->last_source;
	}
	gone->sources = gone->last_source = NULL;
}

/* The tensors around them that the bodies of node n read, one call after another: *a and *i
 * begin as n->attrs and 0. NULL past the last. */
static hb_tensor **
next_captured(const hb_attr **a, size_t *i)
{
	for (; *a; *a = (*a)->next, *i = 0) {
		if ((*a)->type == HB_ATTR_GRAPH && *i < (*a)->g->ncaptured)
			return &(*a)->g->captured[(*i)++]->outer;
	}
	return NULL;
}

static void
replace_captured(hb_graph *g, const hb_tensor *from, hb_tensor *to)
{
	for (const hb_node *n = g->first; n; n = n->next) {
		const hb_attr *a = n->attrs;
		size_t i = 0;
		for (hb_tensor **t; (t = next_captured(&a, &i));)
			*t = *t == from ? to : *t;
	}
}

void
hb_tensor_replace(hb_graph *g, hb_tensor *from, hb_tensor *to)
{
	if (from == to)
		return;
	if (g->has_bodies)
		replace_captured(g, from, to);
	for (size_t k = 0; k < from->nuses; k++) {
		hb_use u = from->uses[k];
		u.node->in[u.index] = add_use(g, to, u.node, u.index) ? to : NULL;
	}
	from->nuses = 0;
	if (!from->is_output)
		return;
	for (size_t i = 0; i < g->noutputs; i++) {
		if (g->outputs[i] == from)
			g->outputs[i] = to;
	}
	from->is_output = false;
	/* The model's output keeps its name: the two exchange names, unless `to` is known outside too. */
	if (!to->is_input && !to->is_output) {
		const char *name = to->name;
		to->name = from->name;
		from->name = name;
		hb_map_put(g->names, to->name, to);
		hb_map_put(g->names, from->name, from);
	}
	to->is_output = true;
}

/* ---- order ---- */

/* A node whose body reads what another node writes. */
struct reader {
	hb_node *node;
	struct reader *next;
};

/* For each node, by its place in `at` (which ->user tells through waits), the nodes whose bodies
 * read it; they wait for it. NULL without memory. */
static struct reader **
body_readers(hb_graph *g, hb_arena *arena, hb_node *const *at, size_t n, int *waits)
{
	struct reader **of = HB_NEW_N(arena, struct reader *, n + 1);
	for (size_t k = 0; of && g->has_bodies && k < n; k++) {
		const hb_attr *a = at[k]->attrs;
		size_t i = 0;
		for (hb_tensor **t; (t = next_captured(&a, &i));) {
			if (!(*t)->producer)
				continue;
			struct reader *r = HB_NEW(arena, struct reader);
			if (!r)
				return NULL;
			size_t p = (size_t)((int *)(*t)->producer->user - waits);
			*r = (struct reader){ at[k], of[p] };
			of[p] = r;
			waits[k]++;
		}
	}
	return of;
}

/* One of the things that node k waits for is done; when all are, it is ready. */
static void
one_less(const hb_node *k, int *waits, size_t *heap, size_t *nheap)
{
	int *w = k->user;
	if (--*w)
		return;
	size_t c = (*nheap)++, v = (size_t)(w - waits);
	while (c && heap[(c - 1) / 2] > v) {
		heap[c] = heap[(c - 1) / 2];
		c = (c - 1) / 2;
	}
	heap[c] = v;
}

hb_status
hb_graph_sort(hb_graph *g)
{
	/* Kahn's algorithm; the ready list is kept in list order by a min-heap on position, so that
	 * nodes already in order stay as they are. */
	size_t n = (size_t)g->nnodes;
	hb_arena *a = hb_arena_new(g->cx);
	hb_node **at = a ? HB_NEW_N(a, hb_node *, n + 1) : NULL;
	int *waits = a ? HB_NEW_N(a, int, n + 1) : NULL;
	size_t *heap = a ? HB_NEW_N(a, size_t, n + 1) : NULL;
	if (!at || !waits || !heap) {
		hb_arena_free(a);
		return hb_nomem(g->cx, "graph");
	}
	size_t i = 0, nheap = 0;
	for (hb_node *k = g->first; k; k = k->next) {
		at[i] = k;
		k->user = &waits[i++];
	}
	struct reader **readers = body_readers(g, a, at, n, waits);
	if (!readers) {
		hb_arena_free(a);
		return hb_nomem(g->cx, "graph");
	}
	for (i = 0; i < n; i++) {
		for (int k = 0; k < at[i]->nin; k++) {
			hb_tensor *t = at[i]->in[k];
			waits[i] += t && t->producer;
		}
		if (!waits[i])
			heap[nheap++] = i;	/* ascending, so a heap already */
	}
	g->first = g->last = NULL;
	while (nheap) {
		size_t top = heap[0], last = heap[--nheap], p = 0;
		for (size_t c = 1; c < nheap; p = c, c = 2 * c + 1) {
			c += c + 1 < nheap && heap[c + 1] < heap[c];
			if (heap[c] >= last)
				break;
			heap[p] = heap[c];
		}
		if (nheap)
			heap[p] = last;
		hb_node *k = at[top];
		k->prev = g->last;
		k->next = NULL;
		*(g->last ? &g->last->next : &g->first) = k;
		g->last = k;
		for (int o = 0; o < k->nout; o++) {
			hb_tensor *t = k->out[o];
			for (size_t u = 0; t && u < t->nuses; u++)
				one_less(t->uses[u].node, waits, heap, &nheap);
		}
		for (const struct reader *r = readers[top]; r; r = r->next)
			one_less(r->node, waits, heap, &nheap);
	}
	hb_status st = HB_OK;
	for (i = 0; i < n; i++) {
		if (waits[i] && st == HB_OK)
			st = hb_fail(g->cx, at[i], HB_ERR_INPUT, "cycle", "the graph has a cycle through this node; a graph must have none");
		at[i]->user = NULL;
	}
	hb_arena_free(a);
	return st;
}

/* Whether a body of a node behind n reads t. */
static bool
read_by_body(const hb_graph *g, const hb_node *n, const hb_tensor *t)
{
	for (n = g->has_bodies ? n->next : NULL; n; n = n->next) {
		const hb_attr *a = n->attrs;
		size_t i = 0;
		for (hb_tensor **c; (c = next_captured(&a, &i));) {
			if (*c == t)
				return true;
		}
	}
	return false;
}

void
hb_graph_sweep(hb_graph *g)
{
	for (hb_node *n = g->last, *prev; n; n = prev) {
		prev = n->prev;
		bool used = false;
		for (int i = 0; i < n->nout; i++)
			used = used || (n->out[i] && (n->out[i]->nuses || n->out[i]->is_output || read_by_body(g, n, n->out[i])));
		if (!used) {
			hb_node_absorb(g, NULL, n);
			hb_node_remove(g, n);
		}
	}
}

const char *
hb_graph_verify(const hb_graph *g, hb_arena *a)
{
	int count = 0;
	for (const hb_node *n = g->first; n; n = n->next, count++) {
		if (n->next ? n->next->prev != n : g->last != n)
			return hb_arena_printf(a, "node '%s': list is broken", n->name);
		for (int i = 0; i < n->nin; i++) {
			const hb_tensor *t = n->in[i];
			bool found = !t;
			for (size_t k = 0; t && k < t->nuses; k++)
				found = found || (t->uses[k].node == n && t->uses[k].index == i);
			if (!found)
				return hb_arena_printf(a, "node '%s': input %d '%s' does not know its reader", n->name, i, t->name);
			if (t && !t->producer && !t->is_const && !t->is_input)
				return hb_arena_printf(a, "node '%s': input %d '%s' comes from nowhere", n->name, i, t->name);
		}
		for (int i = 0; i < n->nout; i++) {
			const hb_tensor *t = n->out[i];
			if (t && (t->producer != n || t->out_index != i))
				return hb_arena_printf(a, "node '%s': output %d '%s' has another producer", n->name, i, t->name);
		}
	}
	return count == g->nnodes ? NULL : hb_arena_printf(a, "%d nodes in the list, %d counted", count, g->nnodes);
}

/* ---- attributes ---- */

hb_attr *
hb_attr_find(const hb_node *n, const char *name)
{
	for (hb_attr *a = n->attrs; a; a = a->next) {
		if (!strcmp(a->name, name))
			return a;
	}
	return NULL;
}

int64_t
hb_attr_i(const hb_node *n, const char *name, int64_t dflt)
{
	const hb_attr *a = hb_attr_find(n, name);
	return a && a->type == HB_ATTR_INT ? a->i : dflt;
}

float
hb_attr_f(const hb_node *n, const char *name, float dflt)
{
	const hb_attr *a = hb_attr_find(n, name);
	return a && a->type == HB_ATTR_FLOAT ? a->f : dflt;
}

const char *
hb_attr_s(const hb_node *n, const char *name, const char *dflt)
{
	const hb_attr *a = hb_attr_find(n, name);
	return a && a->type == HB_ATTR_STRING ? a->s : dflt;
}

const int64_t *
hb_attr_ints(const hb_node *n, const char *name, size_t *count)
{
	const hb_attr *a = hb_attr_find(n, name);
	bool ok = a && a->type == HB_ATTR_INTS;
	*count = ok ? a->n : 0;
	return ok ? a->ints : NULL;
}

const float *
hb_attr_floats(const hb_node *n, const char *name, size_t *count)
{
	const hb_attr *a = hb_attr_find(n, name);
	bool ok = a && a->type == HB_ATTR_FLOATS;
	*count = ok ? a->n : 0;
	return ok ? a->floats : NULL;
}

/* The attribute of that name emptied, or a new one at the end; NULL without memory. */
static hb_attr *
attr_for(hb_graph *g, hb_node *n, const char *name, hb_attr_type type)
{
	hb_attr **p = &n->attrs;
	while (*p && strcmp((*p)->name, name))
		p = &(*p)->next;
	if (!*p) {
		hb_attr *a = HB_NEW(g->arena, hb_attr);
		if (a)
			a->name = hb_arena_str(g->arena, name);
		if (!a || !a->name)
			return NULL;
		*p = a;
	}
	**p = (hb_attr){ .name = (*p)->name, .type = type, .next = (*p)->next };
	return *p;
}

bool
hb_attr_set_i(hb_graph *g, hb_node *n, const char *name, int64_t v)
{
	hb_attr *a = attr_for(g, n, name, HB_ATTR_INT);
	if (a)
		a->i = v;
	return a;
}

bool
hb_attr_set_f(hb_graph *g, hb_node *n, const char *name, float v)
{
	hb_attr *a = attr_for(g, n, name, HB_ATTR_FLOAT);
	if (a)
		a->f = v;
	return a;
}

bool
hb_attr_set_s(hb_graph *g, hb_node *n, const char *name, const char *v)
{
	hb_attr *a = attr_for(g, n, name, HB_ATTR_STRING);
	if (!a)
		return false;
	a->s = hb_arena_str(g->arena, v);
	a->n = strlen(v);
	return a->s;
}

bool
hb_attr_set_ints(hb_graph *g, hb_node *n, const char *name, const int64_t *v, size_t count)
{
	hb_attr *a = attr_for(g, n, name, HB_ATTR_INTS);
	if (!a)
		return false;
	a->ints = hb_arena_dup(g->arena, v, count * sizeof(*v));
	a->n = count;
	return a->ints;
}

bool
hb_attr_set_floats(hb_graph *g, hb_node *n, const char *name, const float *v, size_t count)
{
	hb_attr *a = attr_for(g, n, name, HB_ATTR_FLOATS);
	if (!a)
		return false;
	a->floats = hb_arena_dup(g->arena, v, count * sizeof(*v));
	a->n = count;
	return a->floats;
}

/* ---- diagnostics ---- */

static const char *
node_text(const hb_node *n, char *buf, size_t size)
{
	if (n->index >= 0)
		snprintf(buf, size, "node %d %s '%s'", n->index, n->op_type, n->name);
	else
		snprintf(buf, size, "node %s '%s'", n->op_type, n->name);
	return buf;
}

hb_status
hb_fail(hb_ctx *cx, const hb_node *n, hb_status st, const char *id, const char *fmt, ...)
{
	char where[512];
	va_list ap;
	va_start(ap, fmt);
	hb_vdiag(cx, HB_ERROR, st, n ? node_text(n, where, sizeof(where)) : NULL, id, fmt, ap);
	va_end(ap);
	return st;
}

void
hb_node_warn(hb_ctx *cx, const hb_node *n, const char *id, const char *fmt, ...)
{
	char where[512];
	va_list ap;
	va_start(ap, fmt);
	hb_vdiag(cx, HB_WARNING, HB_OK, node_text(n, where, sizeof(where)), id, fmt, ap);
	va_end(ap);
}
