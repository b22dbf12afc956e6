/* control.c: If, Loop, Scan. Bodies become part of the graph around them: the branch that a constant
 * condition chooses, and one copy of a body for each trip. What the number of trips is must be known. */
#include "ops/nd.h"

enum { MAX_TRIPS = 10000 };

static const char iteration_attr[] = "hbcc.trip";	/* of a Loop that is being unrolled */

/* A name of its own, as copies of a body repeat its names: "name.5" by the graph's next tensor. */
static const char *
fresh(hb_graph *g, const char *name)
{
	const char *s = hb_arena_printf(g->arena, "%.200s.%d", name, g->next_tensor);

	return s ? s : name;
}

/* ---- copies of bodies ---- */

struct inlining {
	hb_graph *g;
	hb_node *at;			/* new nodes stand before it */
	const hb_graph *body;
	hb_tensor **map;		/* of the body's tensors, by id */
};

static hb_status
inlining_init(struct inlining *in, hb_graph *g, hb_node *at, const hb_graph *body)
{
	*in = (struct inlining){ g, at, body, HB_NEW_N(g->arena, hb_tensor *, body->next_tensor + 1) };
	if (!in->map)
		return hb_nomem(g->cx, at->name);
	for (size_t i = 0; i < body->ncaptured; i++)
		in->map[body->captured[i]->id] = body->captured[i]->outer;
	return HB_OK;
}

/* What tensor t of the body is in the graph: constants are copied when first asked for. */
static hb_tensor *
mapped(struct inlining *in, hb_tensor *t)
{
	if (!in->map[t->id]) {
		hb_tensor named = *t;
		named.name = fresh(in->g, t->name);
		in->map[t->id] = hb_tensor_clone(NULL, &named, in->g);
	}
	return in->map[t->id];
}

/* The same attribute, but that a body in it now captures what the tensors it captured have become. */
static hb_attr *
attr_copy(struct inlining *in, const hb_attr *a)
{
	hb_arena *arena = in->g->arena;
	hb_attr *c = hb_arena_dup(arena, a, sizeof(*a));

	if (!c || a->type != HB_ATTR_GRAPH)
		return c;
	hb_graph *body = c->g = hb_arena_dup(arena, a->g, sizeof(*a->g));
	if (!body)
		return NULL;
	body->captured = HB_NEW_N(arena, hb_tensor *, body->ncaptured + 1);
	for (size_t i = 0; body->captured && i < body->ncaptured; i++) {
		hb_tensor *t = hb_arena_dup(arena, a->g->captured[i], sizeof(hb_tensor));
		if (!t)
			return NULL;
		t->outer = mapped(in, t->outer);
		body->captured[i] = t;
	}
	return body->captured ? c : NULL;
}

static hb_status
inline_node(struct inlining *in, const hb_node *from)
{
	hb_graph *g = in->g;
	hb_node *n =
		hb_node_new(g, in->at, from->name, from->domain, from->op_type, from->version, from->nin, from->nout);
	hb_attr **tail;

	if (!n)
		return hb_nomem(g->cx, from->name);
	n->op = from->op;
	n->index = from->index;
	tail = &n->attrs;
	for (const hb_attr *a = from->attrs; a; a = a->next) {
		*tail = attr_copy(in, a);
		if (!*tail)
			return hb_nomem(g->cx, from->name);
		tail = &(*tail)->next;
		*tail = NULL;
	}
	for (int i = 0; i < from->nin; i++) {
		hb_tensor *t = from->in[i] ? mapped(in, from->in[i]) : NULL;
		if (from->in[i] && !t)
			return hb_nomem(g->cx, from->name);
		hb_node_set_in(g, n, i, t);
	}
	for (int i = 0; i < from->nout; i++) {
		if (!from->out[i])
			continue;
		hb_tensor *t = hb_tensor_new(g, fresh(g, from->out[i]->name), HB_NONE, NULL);
		if (!t)
			return hb_nomem(g->cx, from->name);
		in->map[from->out[i]->id] = t;
		hb_node_set_out(n, i, t);
	}
	return HB_OK;
}

static hb_status
inline_nodes(struct inlining *in)
{
	for (const hb_node *n = in->body->first; n; n = n->next)
		HB_TRY(inline_node(in, n));
	return HB_OK;
}

/* ---- small nodes that join bodies to the graph ---- */

/* A node of one output, new or `out`; its output, or NULL without memory. */
static hb_tensor *
put(hb_graph *g, hb_node *at, const char *op, int nin, hb_tensor *const *in, hb_tensor *out)
{
	hb_node *n = hb_node_new(g, at, at->name, "", op, 13, nin, 1);

	if (!out)
		out = hb_tensor_new(g, fresh(g, at->name), HB_NONE, NULL);
	if (!n || !out)
		return NULL;
	for (int i = 0; i < nin; i++)
		hb_node_set_in(g, n, i, in[i]);
	hb_node_set_out(n, 0, out);
	return out;
}

static hb_tensor *
put_axis(hb_graph *g, hb_node *at, const char *op, int nin, hb_tensor *const *in, int64_t axis, hb_tensor *out)
{
	hb_tensor *t = put(g, at, op, nin, in, out);

	return t && hb_attr_set_i(g, t->producer, "axis", axis) ? t : NULL;
}

static hb_tensor *
scalar(hb_graph *g, const char *name, hb_dtype dt, int64_t v)
{
	const hb_shape s = { .rank = 0 };
	uint8_t flag = v != 0;

	return hb_tensor_const(g, fresh(g, name), dt, &s, dt == HB_BOOL ? (const void *)&flag : (const void *)&v);
}

/* x with a new dimension of extent 1 at `axis`. */
static hb_tensor *
unsqueezed(hb_graph *g, hb_node *at, hb_tensor *x, int64_t axis)
{
	hb_tensor *in[2] = { x, hb_tensor_ints(g, fresh(g, at->name), &axis, 1) };

	return in[1] ? put(g, at, "Unsqueeze", 2, in, NULL) : NULL;
}

/* x[.., i, ..] without that dimension. */
static hb_tensor *
picked(hb_graph *g, hb_node *at, hb_tensor *x, int64_t axis, int64_t i)
{
	hb_tensor *in[2] = { x, scalar(g, at->name, HB_I64, i) };

	return in[1] ? put_axis(g, at, "Gather", 2, in, axis, NULL) : NULL;
}

/* The node's output i becomes a copy of t. */
static hb_status
finish(hb_graph *g, hb_node *n, int i, hb_tensor *t)
{
	hb_tensor *out = hb_out(n, i);

	if (!out)
		return HB_OK;
	n->out[i] = NULL;
	return put(g, n, "Identity", 1, &t, out) ? HB_OK : hb_nomem(g->cx, n->name);
}

static void
leave(hb_graph *g, hb_node *n)
{
	hb_node_absorb(g, n->prev, n);
	hb_node_remove(g, n);
}

static hb_graph *
body_of(const hb_node *n, const char *name)
{
	hb_attr *a = hb_attr_find(n, name);

	return a ? a->g : NULL;
}

/* Outputs are those of the nodes that take its place. */
static hb_status
shape_nothing(hb_graph *g, hb_node *n)
{
	(void)g;
	(void)n;
	return HB_OK;
}

static hb_status
const_flag(hb_graph *g, hb_node *n, int i, bool *v)
{
	hb_tensor *t = n->in[i];

	if (!t->is_const)
		return hb_need_const(g, n, i);
	const uint8_t *data = hb_shape_elems(&t->shape) == 1 && t->dtype == HB_BOOL ? hb_tensor_data(g, t) : NULL;
	if (!data)
		return HB_BAD(g, n, "the condition must be one bool");
	*v = data[0];
	return HB_OK;
}

/* ---- If ---- */

static hb_status
expand_if(hb_graph *g, hb_node *n)
{
	struct inlining in;
	bool yes = false;

	HB_TRY(const_flag(g, n, 0, &yes));
	hb_graph *body = body_of(n, yes ? "then_branch" : "else_branch");
	if (body->ninputs || body->noutputs != (size_t)n->nout)
		return HB_BAD(g, n, "the branch has %zu inputs and %zu outputs; 0 and %d are taken", body->ninputs,
			      body->noutputs, n->nout);
	HB_TRY(inlining_init(&in, g, n, body));
	HB_TRY(inline_nodes(&in));
	for (int i = 0; i < n->nout; i++) {
		hb_tensor *t = mapped(&in, body->outputs[i]);
		if (!t)
			return hb_nomem(g->cx, n->name);
		HB_TRY(finish(g, n, i, t));
	}
	leave(g, n);
	return HB_OK;
}

static const hb_attr_row if_rows[] = {
	{ "then_branch", HB_ATTR_GRAPH, true, 0, 0 }, { "else_branch", HB_ATTR_GRAPH, true, 0, 0 }, { 0 } };

const hb_op hb_op_if = {
	.name = "If", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = -1,
	.attrs = if_rows, .types = HB_BIT(HB_BOOL), .shape = shape_nothing, .expand = expand_if,
};

/* ---- Loop: one trip at a time, so that a condition folds before the next ----
 * Inputs are M, condition, the carried values and, once unrolling, what each trip so far gave to the scan outputs. */

static hb_status
loop_end(hb_graph *g, hb_node *n, const hb_graph *body, int carried, int64_t trip)
{
	int scans = (int)body->noutputs - 1 - carried;

	for (int i = 0; i < carried; i++)
		HB_TRY(finish(g, n, i, n->in[2 + i]));
	for (int k = 0; k < scans; k++) {
		hb_tensor *out = hb_out(n, carried + k), *shaped = body->outputs[1 + carried + k];
		if (!out)
			continue;
		n->out[carried + k] = NULL;
		if (trip) {
			hb_tensor **all = HB_NEW_N(g->arena, hb_tensor *, trip);
			for (int64_t t = 0; all && t < trip; t++)
				all[t] = n->in[2 + carried + t * scans + k];
			if (!all || !put_axis(g, n, "Concat", (int)trip, all, 0, out))
				return hb_nomem(g->cx, n->name);
			continue;
		}
		if (!shaped->has_shape || shaped->dtype == HB_NONE || shaped->shape.rank == HB_MAX_RANK)
			return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "loop",
				       "makes no trip and says no shape of its output '%s'", shaped->name);
		hb_shape s = { shaped->shape.rank + 1, { 0 } };
		memcpy(s.dim + 1, shaped->shape.dim, sizeof(s.dim[0]) * (size_t)shaped->shape.rank);
		hb_tensor *none = hb_tensor_const(g, out->name, shaped->dtype, &s, NULL);
		if (!none || !put(g, n, "Identity", 1, &none, out))
			return hb_nomem(g->cx, n->name);
	}
	leave(g, n);
	return HB_OK;
}

static hb_status
expand_loop(hb_graph *g, hb_node *n)
{
	hb_graph *body = body_of(n, "body");
	int carried = (int)body->ninputs - 2;
	int64_t trip = hb_attr_i(n, iteration_attr, 0), most = INT64_MAX;
	struct inlining in;
	bool on = true;

	if (carried < 0 || (!trip && n->nin - 2 > carried) || n->nin - 2 < carried ||
	    body->noutputs < (size_t)carried + 1 || (size_t)n->nout > body->noutputs - 1)
		return HB_BAD(g, n, "the body has %zu inputs and %zu outputs, which do not go with the node's",
			      body->ninputs, body->noutputs);
	for (int i = 0; i < carried; i++)
		if (!n->in[2 + i])
			return HB_BAD(g, n, "a carried value is absent");
	if (n->in[0])
		HB_TRY(hb_const_int(g, n, 0, "M", &most));
	if (n->in[1])
		HB_TRY(const_flag(g, n, 1, &on));
	if (!on || trip >= most)
		return loop_end(g, n, body, carried, trip);
	if (trip == MAX_TRIPS)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "loop", "makes more than %d trips", MAX_TRIPS);

	HB_TRY(inlining_init(&in, g, n, body));
	in.map[body->inputs[0]->id] = scalar(g, n->name, HB_I64, trip);
	in.map[body->inputs[1]->id] = scalar(g, n->name, HB_BOOL, 1);
	for (int i = 0; i < carried; i++)
		in.map[body->inputs[2 + i]->id] = n->in[2 + i];
	HB_TRY(inline_nodes(&in));
	hb_tensor *next = mapped(&in, body->outputs[0]), **carry = HB_NEW_N(g->arena, hb_tensor *, carried + 1);
	next = next ? put(g, n, "Identity", 1, &next, NULL) : NULL;
	if (!next || !carry)
		return hb_nomem(g->cx, n->name);
	for (int i = 0; i < carried; i++) {
		carry[i] = mapped(&in, body->outputs[1 + i]);
		if (!carry[i])
			return hb_nomem(g->cx, n->name);
	}
	for (int i = 0; i < carried; i++)
		hb_node_set_in(g, n, 2 + i, carry[i]);
	for (size_t k = (size_t)carried + 1; k < body->noutputs; k++) {
		hb_tensor *t = mapped(&in, body->outputs[k]);
		t = t ? unsqueezed(g, n, t, 0) : NULL;
		if (!t || !hb_node_add_in(g, n, t))
			return hb_nomem(g->cx, n->name);
	}
	hb_node_set_in(g, n, 1, next);
	return hb_attr_set_i(g, n, iteration_attr, trip + 1) ? HB_OK : hb_nomem(g->cx, n->name);
}

static const hb_attr_row body_rows[] = { { "body", HB_ATTR_GRAPH, true, 0, 0 }, { 0 } };

const hb_op hb_op_loop = {
	.name = "Loop", .since = 1, .min_in = 0, .max_in = -1, .min_out = 1, .max_out = -1,
	.attrs = body_rows, .shape = shape_nothing, .expand = expand_loop,
};

/* ---- Scan ---- */

struct scan {
	hb_graph *body;
	int states, scans, outs;	/* carried values, scanned inputs, scanned outputs */
	int first;			/* input that the states begin at */
	int64_t trips;
};

/* Entry i of a list attribute, 0 where there is none. */
static int64_t
entry(const hb_node *n, const char *name, int i)
{
	size_t count;
	const int64_t *v = hb_attr_ints(n, name, &count);

	return v && (size_t)i < count ? v[i] : 0;
}

/* One sequence: state[] and seq[] are its tensors, `axis` whether seq has axes of its own; they leave
 * the last states in state[] and the outputs, of all trips, in out[]. */
static hb_status
unroll(hb_graph *g, hb_node *n, const struct scan *s, hb_tensor **state, hb_tensor *const *seq, bool axes,
       hb_tensor **out)
{
	const char *ways = axes ? "scan_input_directions" : "directions";
	hb_tensor **all = HB_NEW_N(g->arena, hb_tensor *, s->trips * s->outs + 1);
	struct inlining in;

	if (!all)
		return hb_nomem(g->cx, n->name);
	for (int64_t t = 0; t < s->trips; t++) {
		HB_TRY(inlining_init(&in, g, n, s->body));
		for (int i = 0; i < s->states; i++)
			in.map[s->body->inputs[i]->id] = state[i];
		for (int i = 0; i < s->scans; i++) {
			int64_t at = entry(n, ways, i) ? s->trips - 1 - t : t;
			hb_tensor *x = picked(g, n, seq[i], axes ? entry(n, "scan_input_axes", i) : 0, at);
			if (!x)
				return hb_nomem(g->cx, n->name);
			in.map[s->body->inputs[s->states + i]->id] = x;
		}
		HB_TRY(inline_nodes(&in));
		for (int i = 0; i < s->states + s->outs; i++) {
			hb_tensor *y = mapped(&in, s->body->outputs[i]);
			int k = i - s->states;
			if (!y)
				return hb_nomem(g->cx, n->name);
			if (k < 0) {
				state[i] = y;
				continue;
			}
			int64_t axis = axes ? entry(n, "scan_output_axes", k) : 0;
			bool back = axes && entry(n, "scan_output_directions", k);
			hb_tensor *u = unsqueezed(g, n, y, axis);
			if (!u)
				return hb_nomem(g->cx, n->name);
			all[k * s->trips + (back ? s->trips - 1 - t : t)] = u;
		}
	}
	for (int k = 0; k < s->outs; k++) {
		out[k] = put_axis(g, n, "Concat", (int)s->trips, all + k * s->trips,
				  axes ? entry(n, "scan_output_axes", k) : 0, NULL);
		if (!out[k])
			return hb_nomem(g->cx, n->name);
	}
	return HB_OK;
}

static hb_status
scan_of(hb_graph *g, hb_node *n, struct scan *s)
{
	int64_t scans = hb_attr_i(n, "num_scan_inputs", 0);
	bool batched = n->version < 9;

	s->body = body_of(n, "body");
	s->first = batched;
	if (n->nin <= s->first)
		return HB_BAD(g, n, "has %d inputs", n->nin);
	if (batched && n->in[0])
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "scan", "sequence_lens is not supported");
	if (scans < 1 || scans > n->nin - s->first || (size_t)(n->nin - s->first) != s->body->ninputs)
		return HB_BAD(g, n,
			      "num_scan_inputs is %lld and the body has %zu inputs, which do not go with the node's",
			      (long long)scans, s->body->ninputs);
	s->scans = (int)scans;
	s->states = n->nin - s->first - s->scans;
	s->outs = (int)s->body->noutputs - s->states;
	if (s->outs < 0 || n->nout != s->states + s->outs)
		return HB_BAD(g, n, "the body has %zu outputs and the node %d", s->body->noutputs, n->nout);
	s->trips = -1;
	for (int i = s->first; i < n->nin; i++) {
		if (!n->in[i])
			return HB_BAD(g, n, "input %d is absent", i);
		const hb_shape *x = &n->in[i]->shape;
		int k = i - s->first - s->states, axis;
		if (batched && (x->rank < 1 + (k >= 0) || x->dim[0] != n->in[s->first]->shape.dim[0]))
			return HB_BAD(g, n, "input %d has no batch of its own", i);
		if (k < 0)
			continue;
		HB_TRY(hb_axis(g, n, "scan_input_axes", batched ? 1 : entry(n, "scan_input_axes", k), x->rank, &axis));
		if (s->trips >= 0 && s->trips != x->dim[axis])
			return HB_BAD(g, n, "scanned inputs have extents %lld and %lld", (long long)s->trips,
				      (long long)x->dim[axis]);
		s->trips = x->dim[axis];
	}
	if (s->trips < 1 || s->trips > MAX_TRIPS)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "scan", "makes %lld trips; 1 to %d are supported",
			       (long long)s->trips, MAX_TRIPS);
	return HB_OK;
}

static hb_status
expand_scan(hb_graph *g, hb_node *n)
{
	struct scan s = { 0 };

	HB_TRY(scan_of(g, n, &s));
	bool batched = n->version < 9;
	int64_t batches = batched ? n->in[s.first]->shape.dim[0] : 1;
	int count = s.states + s.outs;
	hb_tensor **in = HB_NEW_N(g->arena, hb_tensor *, n->nin + 1),
		  **end = HB_NEW_N(g->arena, hb_tensor *, count + 1);
	hb_tensor **all = HB_NEW_N(g->arena, hb_tensor *, (batched ? batches : 0) * count + 1);
	if (!in || !end || !all)
		return hb_nomem(g->cx, n->name);
	if (batches < 1 || batches * s.trips > MAX_TRIPS)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "scan", "has %lld batches of %lld trips",
			       (long long)batches, (long long)s.trips);
	for (int64_t b = 0; b < batches; b++) {
		for (int i = 0; i < s.states + s.scans; i++) {
			in[i] = batched ? picked(g, n, n->in[s.first + i], 0, b) : n->in[s.first + i];
			if (!in[i])
				return hb_nomem(g->cx, n->name);
		}
		HB_TRY(unroll(g, n, &s, in, in + s.states, !batched, end + s.states));
		memcpy(end, in, sizeof(*in) * (size_t)s.states);
		for (int i = 0; batched && i < count; i++) {
			all[i * batches + b] = unsqueezed(g, n, end[i], 0);
			if (!all[i * batches + b])
				return hb_nomem(g->cx, n->name);
		}
	}
	for (int i = 0; i < count; i++) {
		hb_tensor *t = batched ? put_axis(g, n, "Concat", (int)batches, all + i * batches, 0, NULL) : end[i];
		if (!t)
			return hb_nomem(g->cx, n->name);
		HB_TRY(finish(g, n, i, t));
	}
	leave(g, n);
	return HB_OK;
}

static const hb_attr_row scan_rows[] = {
	{ "body", HB_ATTR_GRAPH, true, 0, 0 }, { "num_scan_inputs", HB_ATTR_INT, true, 0, 0 },
	{ "directions", HB_ATTR_INTS, false, 8, 8 }, { "scan_input_axes", HB_ATTR_INTS, false, 9, 0 },
	{ "scan_input_directions", HB_ATTR_INTS, false, 9, 0 }, { "scan_output_axes", HB_ATTR_INTS, false, 9, 0 },
	{ "scan_output_directions", HB_ATTR_INTS, false, 9, 0 }, { 0 } };

const hb_op hb_op_scan = {
	.name = "Scan", .since = 8, .min_in = 0, .max_in = -1, .min_out = 1, .max_out = -1,
	.attrs = scan_rows, .shape = shape_nothing, .expand = expand_scan,
};
