/* program.c: whether a program holds together: everything that its readers rely on. */
#include "lib/isa/program.h"

#include <stdio.h>

hb_dtype
hb_place_dtype(const hb_place_row *r)
{
	return r->q.dtype != HB_NONE ? r->q.dtype : r->dtype;
}

static hb_status
bad(hb_ctx *cx, const char *where, const char *fmt, ...) HB_PRINTF(3, 4);

static hb_status
bad(hb_ctx *cx, const char *where, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	hb_vdiag(cx, HB_ERROR, HB_ERR_INPUT, where, "program", fmt, ap);
	va_end(ap);
	return HB_ERR_INPUT;
}

static hb_status
check_place(hb_ctx *cx, const hb_program *p, const hb_place_row *r)
{
	size_t size = hb_dtype_size(hb_place_dtype(r));
	int rank = r->shape.rank;
	if (!size || !hb_dtype_size(r->dtype))
		return bad(cx, r->name, "a tensor has no element type");
	if (r->space != HB_IN && r->space != HB_OUT && r->space != HB_HEAP)
		return bad(cx, r->name, "a tensor lies in a space that holds none");
	if (rank < 0 || rank > HB_MAX_RANK)
		return bad(cx, r->name, "a tensor has rank %d; 0 to 16 are taken", rank);
	unsigned seen = 0;
	for (int d = 0; d < rank; d++) {
		if (r->order[d] < 0 || r->order[d] >= rank || seen & 1u << r->order[d])
			return bad(cx, r->name, "the order of a tensor's dimensions is no permutation");
		seen |= 1u << r->order[d];
	}
	if (r->q.nscales > 1 && (r->q.axis < 0 || r->q.axis >= rank || r->shape.dim[r->q.axis] != r->q.nscales ||
				 !r->q.scales))
		return bad(cx, r->name, "a tensor's scales do not match its channels");
	uint64_t end = (uint64_t)r->addr + size, elems = 1;
	int64_t bound = 1;
	bool empty = false;
	for (int d = 0; d < rank; d++) {
		int64_t n = r->shape.dim[d];
		if (n < 0 || n > UINT32_MAX || !hb_mul64(bound, HB_MAX(n, 1), &bound) || bound > INT64_C(1) << 47)
			return bad(cx, r->name, "a tensor has a dimension below 0 or above 2^32 - 1, or more than 2^47 elements");
		empty |= n == 0;
	}
	if (empty)
		return HB_OK;
	if (r->addr % size)
		return bad(cx, r->name, "a tensor's address is not a multiple of its element size");
	for (int d = 0; d < rank; d++) {
		uint64_t n = (uint64_t)r->shape.dim[d];
		if (n > 1 && (r->stride[d] % size || r->stride[d] < size))
			return bad(cx, r->name, "a tensor's stride is no multiple of its element size");
		if (n > 1)
			end += (n - 1) * r->stride[d];
		elems *= n;
		if (end > p->size[r->space] || elems > p->size[r->space] / size)
			return bad(cx, r->name, "a tensor lies outside its space");
	}
	return end > p->size[r->space] ? bad(cx, r->name, "a tensor lies outside its space") : HB_OK;
}

static hb_status
check_rows(hb_ctx *cx, const hb_program *p, const int *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i] < 0 || (size_t)rows[i] >= p->nplaces)
			return bad(cx, NULL, "a tensor that is not there is named");
	return HB_OK;
}

static hb_status
check_insn(hb_ctx *cx, const hb_program *p, const hb_segment *s, size_t at, uint64_t *queued)
{
	const hb_insn *i = &s->list.insns[at];
	char where[64];
	snprintf(where, sizeof where, "segment %d instruction %zu", (int)(s - p->segments), at);
	const char *why = hb_insn_check(i);
	if (why)
		return bad(cx, where, "%s", why);
	if (i->node < -1 || (i->node >= 0 && (size_t)i->node >= p->nnodes))
		return bad(cx, where, "names a node that is not there");
	if (i->wait_mask >> HB_NENGINES)
		return bad(cx, where, "waits for an engine that is not there");
	for (int e = 0; e < HB_NENGINES; e++)
		if (i->wait_mask >> e & 1 && (i->wait[e] == 0 || i->wait[e] > queued[e]))
			return bad(cx, where, "waits for %s>=%u, but %u came before", hb_engine_name((hb_engine)e),
				   i->wait[e], (unsigned)queued[e]);
	for (int k = 0; k < i->nv; k++) {
		const hb_view *v = &i->v[k];
		uint64_t lo[2], hi[2];
		int n = hb_view_hull(v, lo, hi);
		for (int j = 0; j < n; j++)
			if (hi[j] > p->size[v->space])
				return bad(cx, where, "operand %d ends at byte %llu of %s, which has %llu", k,
					   (unsigned long long)hi[j], hb_space_name(v->space),
					   (unsigned long long)p->size[v->space]);
		if (v->buf >= s->nbufs)
			return bad(cx, where, "operand %d belongs to a buffer that is not there", k);
	}
	queued[i->engine]++;
	return HB_OK;
}

static hb_status
check_cpu(hb_ctx *cx, const hb_program *p, const hb_segment *s)
{
	const hb_graph *g = s->graph;
	if (!g || s->list.n)
		return bad(cx, NULL, "a CPU segment has no graph");
	if (g->ninputs != s->nins || g->noutputs != s->nouts)
		return bad(cx, g->name, "a CPU segment's graph has other inputs or outputs than the segment");
	for (size_t k = 0; k < s->nins + s->nouts; k++) {
		const hb_tensor *t = k < s->nins ? g->inputs[k] : g->outputs[k - s->nins];
		const hb_place_row *r = &p->places[k < s->nins ? s->ins[k] : s->outs[k - s->nins]];
		if (t->dtype != hb_place_dtype(r))
			return bad(cx, t->name, "is %s in a CPU segment and %s in memory", hb_dtype_name(t->dtype),
				   hb_dtype_name(hb_place_dtype(r)));
		if (!t->has_shape || !hb_shape_eq(&t->shape, &r->shape))
			return bad(cx, t->name, "has another shape in a CPU segment than in memory");
	}
	return HB_OK;
}

hb_status
hb_program_check(hb_ctx *cx, const hb_program *p)
{
	for (int s = 0; s < HB_NSPACES; s++)
		if (p->size[s] > UINT64_C(1) << 32)
			return bad(cx, NULL, "%s has %llu bytes; 4 GiB can be addressed", hb_space_name((hb_space)s),
				   (unsigned long long)p->size[s]);
	for (size_t k = 0; k < p->nplaces; k++)
		HB_TRY(check_place(cx, p, &p->places[k]));
	HB_TRY(check_rows(cx, p, p->inputs, p->ninputs));
	HB_TRY(check_rows(cx, p, p->outputs, p->noutputs));
	for (size_t k = 0; k < p->nsegments; k++) {
		const hb_segment *s = &p->segments[k];
		HB_TRY(check_rows(cx, p, s->ins, s->nins));
		HB_TRY(check_rows(cx, p, s->outs, s->nouts));
		for (size_t o = 0; o < s->nouts; o++)
			if (p->places[s->outs[o]].space == HB_IN)
				return bad(cx, p->places[s->outs[o]].name, "a segment writes an input");
		if (s->cpu) {
			HB_TRY(check_cpu(cx, p, s));
			continue;
		}
		uint64_t queued[HB_NENGINES] = {0};
		for (size_t i = 0; i < s->list.n; i++)
			HB_TRY(check_insn(cx, p, s, i, queued));
	}
	return HB_OK;
}
