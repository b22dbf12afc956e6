/* sim.c: executes a program in stream order (MACHINE 6). Memory holds junk at first, every
 * view was checked against its space, CPU segments run on the host's executor. */
#include "lib/run/run.h"
#include "lib/hbm/hbm.h"
#include "lib/quant/quant.h"

struct hb_sim {
	hb_ctx *cx;
	const hb_program *p;
	hb_sim_options opt;
	hb_round round;
	uint32_t granule;
	hb_arena *arena;
	uint8_t *mem[HB_NSPACES];	/* par: the program's own bytes */
	uint32_t *tag[HB_NSPACES];	/* who wrote a byte: a place's number + 1, or nplaces + buffer + 1 of its segment */
	uint32_t *stamp[HB_NSPACES];	/* of DDR's granules: the access that touched it last */
	uint32_t access;
	uint32_t **owner;		/* a segment: the tag of each of its buffers */
	hb_exec **exec;			/* a CPU segment: its executor */
	hb_val **in, **out;		/* a CPU segment: its values */
	void **result;			/* an output: dense, in the model's type */
	uint8_t *dense;			/* the largest place in logical order */
	size_t dense_bytes;
	void *scratch;
	size_t scratch_bytes;
	hb_sim_stats stats;
};

static const bool is_ddr[HB_NSPACES] = {[HB_IN] = true, [HB_OUT] = true, [HB_PAR] = true, [HB_HEAP] = true};

/* ---- tensors between logical order and memory ---- */

typedef struct place_walk {
	const hb_place_row *r;
	int64_t at[HB_MAX_RANK];
	int64_t rows, n;		/* rows of the last dimension, and elements of one */
	uint64_t step;			/* bytes between a row's elements */
	uint64_t offset;		/* of the row's first, from the place's */
} place_walk;

static place_walk
place_begin(const hb_place_row *r)
{
	place_walk w = {.r = r, .rows = hb_shape_elems(&r->shape) > 0, .n = 1};
	for (int d = 0; w.rows && d + 1 < r->shape.rank; d++)
		w.rows *= r->shape.dim[d];
	if (r->shape.rank) {
		w.n = r->shape.dim[r->shape.rank - 1];
		w.step = r->stride[r->shape.rank - 1];
	}
	return w;
}

static void
place_next(place_walk *w)
{
	const hb_place_row *r = w->r;
	for (int d = r->shape.rank - 2; d >= 0; d--) {
		w->offset += r->stride[d];
		if (++w->at[d] < r->shape.dim[d])
			return;
		w->offset -= (uint64_t)w->at[d] * r->stride[d];
		w->at[d] = 0;
	}
}

static void
move_row(uint8_t *to, uint64_t to_step, const uint8_t *from, uint64_t from_step, size_t size, int64_t n)
{
	if (to_step == size && from_step == size) {
		memcpy(to, from, (size_t)n * size);
		return;
	}
	for (int64_t i = 0; i < n; i++, to += to_step, from += from_step)
		memcpy(to, from, size);
}

static void
place_copy(const hb_sim *s, const hb_place_row *r, uint8_t *dense, bool to_memory)
{
	size_t size = hb_dtype_size(hb_place_dtype(r));
	place_walk w = place_begin(r);
	if (!w.n || !w.rows)
		return;			/* its space may have no bytes at all */
	uint8_t *mem = s->mem[r->space] + r->addr;
	for (int64_t k = 0; k < w.rows; k++, place_next(&w), dense += (size_t)w.n * size) {
		if (to_memory)
			move_row(mem + w.offset, w.step, dense, size, size, w.n);
		else
			move_row(dense, size, mem + w.offset, w.step, size, w.n);
	}
}

/* Marks the place's bytes as its own, or checks that they are. */
static hb_status
place_tags(hb_sim *s, int row, bool check)
{
	const hb_place_row *r = &s->p->places[row];
	uint32_t *tag = s->tag[r->space], mine = (uint32_t)row + 1;
	size_t size = hb_dtype_size(hb_place_dtype(r));
	if (!tag)
		return HB_OK;
	place_walk w = place_begin(r);
	for (int64_t k = 0; k < w.rows && w.n; k++, place_next(&w)) {
		for (int64_t i = 0; i < w.n; i++) {
			uint32_t *t = tag + r->addr + w.offset + (uint64_t)i * w.step;
			for (size_t b = 0; b < size; b++) {
				if (!check)
					t[b] = mine;
				else if (t[b] != mine)
					return hb_error(s->cx, HB_ERR_NO, r->name, "sim-tag",
							"byte %08llx of %s was %s when the tensor was read",
							(unsigned long long)(t + b - tag), hb_space_name(r->space),
							t[b] ? "another's" : "never written");
			}
		}
	}
	return HB_OK;
}

/* ---- the bytes of an operand, run by run ---- */

typedef bool on_run(hb_sim *s, void *arg, uint64_t lo, uint64_t bytes);

static bool
view_runs(hb_sim *s, const hb_view *v, on_run *fn, void *arg)
{
	uint32_t size = (uint32_t)hb_dtype_size(v->dtype);
	int last = v->rank - 1;
	bool whole = v->stride[last] == size && !(v->ring_rows && last == 0);
	uint32_t at[HB_VIEW_RANK] = {0};
	for (;;) {
		uint64_t lo = v->base;
		for (int d = 0; d < v->rank; d++) {
			uint64_t slot = at[d];
			if (d == 0 && v->ring_rows)
				slot = (slot + v->ring_first) % v->ring_rows;
			lo += slot * v->stride[d];
		}
		if (!fn(s, arg, lo, whole ? (uint64_t)v->ext[last] * size : size))
			return false;
		int d = whole ? last - 1 : last;
		for (; d >= 0 && ++at[d] == v->ext[d]; d--)
			at[d] = 0;
		if (d < 0)
			return true;
	}
}

static int64_t
index_at(const hb_sim *s, const hb_view *v, uint32_t i)
{
	uint64_t slot = v->ring_rows ? ((uint64_t)v->ring_first + i) % v->ring_rows : i;
	int32_t x;
	memcpy(&x, s->mem[v->space] + v->base + slot * v->stride[0], sizeof x);
	return x;
}

/* The rows of operand k that the index of a gather or scatter names; else all of it. */
static bool
operand_runs(hb_sim *s, const hb_insn *i, int k, on_run *fn, void *arg)
{
	const hb_view *v = &i->v[k];
	int32_t mode = i->op == HB_I_copy ? i->imm[HB_IMM_copy_mode] : 0;
	if (!(mode == 1 && k == 1) && !(mode == 2 && k == 0))
		return view_runs(s, v, fn, arg);
	for (uint32_t n = 0; n < i->v[2].ext[0]; n++) {
		int64_t at = index_at(s, &i->v[2], n);
		hb_view row = *v;
		row.ext[0] = 1;
		row.ring_rows = row.ring_first = 0;
		if (v->ring_rows)
			at = (at + v->ring_first) % v->ring_rows;
		row.base += (uint32_t)at * v->stride[0];
		s->access++;		/* each row moves by itself */
		if (!view_runs(s, &row, fn, arg))
			return false;
	}
	return true;
}

typedef struct marks {
	uint32_t *stamp;
	uint64_t n;
} marks;

static bool
count_granules(hb_sim *s, void *arg, uint64_t lo, uint64_t bytes)
{
	marks *c = arg;
	for (uint64_t g = lo / s->granule; g <= (lo + bytes - 1) / s->granule; g++) {
		if (c->stamp[g] != s->access) {
			c->stamp[g] = s->access;
			c->n++;
		}
	}
	return true;
}

static void
count_bytes(hb_sim *s, const hb_insn *i)
{
	for (int k = 0; k < i->nv; k++) {
		marks c = {s->stamp[i->v[k].space], 0};
		if (!c.stamp)
			continue;
		s->access++;
		operand_runs(s, i, k, count_granules, &c);
		*(hb_insn_writes(i, k) ? &s->stats.stored : &s->stats.loaded) += c.n * s->granule;
	}
}

/* ---- tags ---- */

typedef struct tag_job {
	uint32_t *tag, mine;
	uint64_t at;
	uint32_t found;
} tag_job;

static bool
tag_check(hb_sim *s, void *arg, uint64_t lo, uint64_t bytes)
{
	(void)s;
	tag_job *j = arg;
	for (uint64_t b = lo; b < lo + bytes; b++) {
		if (j->tag[b] != j->mine) {
			j->at = b;
			j->found = j->tag[b];
			return false;
		}
	}
	return true;
}

static bool
tag_set(hb_sim *s, void *arg, uint64_t lo, uint64_t bytes)
{
	(void)s;
	tag_job *j = arg;
	for (uint64_t b = lo; b < lo + bytes; b++)
		j->tag[b] = j->mine;
	return true;
}

static const char *
owner_name(const hb_sim *s, const hb_segment *seg, uint32_t tag)
{
	size_t places = s->p->nplaces;
	if (!tag)
		return "nobody";
	if (tag <= places)
		return s->p->places[tag - 1].name;
	return tag - places - 1 < seg->nbufs ? seg->bufs[tag - places - 1].name : "another";
}

static hb_status
check_tags(hb_sim *s, const hb_segment *seg, size_t at)
{
	const hb_insn *i = &seg->list.insns[at];
	const uint32_t *owner = s->owner[seg - s->p->segments];
	for (int k = 0; k < i->nv; k++) {
		const hb_view *v = &i->v[k];
		tag_job j = {.tag = s->tag[v->space], .mine = owner[v->buf]};
		if (hb_insn_writes(i, k) || !j.tag || operand_runs(s, i, k, tag_check, &j))
			continue;
		hb_buf text = {.cx = s->cx};
		hb_disas_insn(s->p, seg, at, &text);
		hb_status st = hb_error(s->cx, HB_ERR_NO, NULL, "sim-tag",
					"byte %08llx of %s, read as '%s', was written by '%s': %s",
					(unsigned long long)j.at, hb_space_name(v->space), seg->bufs[v->buf].name,
					owner_name(s, seg, j.found), text.p ? text.p : "");
		hb_buf_free(&text);
		return st;
	}
	for (int k = 0; k < i->nv; k++) {
		const hb_view *v = &i->v[k];
		tag_job j = {.tag = s->tag[v->space], .mine = owner[v->buf]};
		if (hb_insn_writes(i, k) && j.tag)
			operand_runs(s, i, k, tag_set, &j);
	}
	return HB_OK;
}

/* ---- one instruction ---- */

/* Contents that steer addresses must stay inside their view. */
static hb_status
check_index(hb_sim *s, const hb_segment *seg, size_t at)
{
	const hb_insn *i = &seg->list.insns[at];
	int32_t mode = i->op == HB_I_copy ? i->imm[HB_IMM_copy_mode] : 0;
	bool tables = i->op == HB_I_sample && i->imm[HB_IMM_sample_mode] < 2;
	for (int k = 2; k < i->nv && (mode || tables); k++) {
		const hb_view *v = &i->v[k];
		int64_t rows = mode == 1 ? i->v[1].ext[0] : mode == 2 ? i->v[0].ext[0] : i->v[1].ext[k - 2];
		for (uint32_t n = 0; n < v->ext[0]; n++) {
			int64_t x = index_at(s, v, n);
			if (x >= 0 && x < rows)
				continue;
			hb_buf text = {.cx = s->cx};
			hb_disas_insn(s->p, seg, at, &text);
			hb_status st = hb_error(s->cx, HB_ERR_INPUT, NULL, "sim-index",
						"index %lld is outside 0..%lld: %s", (long long)x,
						(long long)rows - 1, text.p ? text.p : "");
			hb_buf_free(&text);
			return st;
		}
	}
	return HB_OK;
}

static hb_status
step(hb_sim *s, const hb_segment *seg, size_t at)
{
	const hb_insn *i = &seg->list.insns[at];
	uint8_t *base[HB_MAX_OPERANDS];
	HB_TRY(check_index(s, seg, at));
	if (s->opt.tags)
		HB_TRY(check_tags(s, seg, at));
	count_bytes(s, i);
	for (int k = 0; k < i->nv; k++)
		base[k] = s->mem[i->v[k].space] + i->v[k].base;
	hb_kernel(s->cx, i, base, s->scratch);
	s->stats.insns++;
	s->stats.insns_of[i->engine]++;
	s->stats.accesses += (uint64_t)i->nv;
	return HB_OK;
}

/* ---- segments ---- */

static uint64_t
next_random(uint64_t *x)
{
	/* splitmix64 (Steele, Lea, Flood 2014) */
	uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void
junk(hb_sim *s, hb_space space, uint64_t seed)
{
	uint64_t n = s->p->size[space], k = 0;
	seed += space;
	for (; k + 8 <= n; k += 8) {
		uint64_t x = next_random(&seed);
		memcpy(s->mem[space] + k, &x, 8);
	}
	for (; k < n; k++)
		s->mem[space][k] = (uint8_t)next_random(&seed);
	if (s->tag[space] && n)
		memset(s->tag[space], 0, n * sizeof(uint32_t));
}

/* A random order in which every queue is in order and every wait is met. A wait names only
 * what came before it in the stream, so the first instruction left is always ready. */
static hb_status
run_shuffled(hb_sim *s, const hb_segment *seg, uint64_t *random)
{
	const hb_list *l = &seg->list;
	size_t head[HB_NENGINES], left = l->n;
	uint64_t retired[HB_NENGINES] = {0};
	for (int e = 0; e < HB_NENGINES; e++)
		for (head[e] = 0; head[e] < l->n && l->insns[head[e]].engine != (hb_engine)e; head[e]++)
			;
	while (left) {
		int ready[HB_NENGINES], n = 0;
		for (int e = 0; e < HB_NENGINES; e++) {
			if (head[e] == l->n)
				continue;
			const hb_insn *i = &l->insns[head[e]];
			bool met = true;
			for (int o = 0; o < HB_NENGINES; o++)
				met &= !(i->wait_mask >> o & 1) || retired[o] >= i->wait[o];
			if (met)
				ready[n++] = e;
		}
		int e = ready[next_random(random) % (uint64_t)n];
		HB_TRY(step(s, seg, head[e]));
		retired[e]++;
		left--;
		do
			head[e]++;
		while (head[e] < l->n && l->insns[head[e]].engine != (hb_engine)e);
	}
	return HB_OK;
}

static hb_status
run_bpu(hb_sim *s, const hb_segment *seg, uint64_t *random)
{
	for (int sp = HB_S0; sp <= HB_S1; sp++)
		junk(s, (hb_space)sp, s->opt.seed + (uint64_t)(seg - s->p->segments));
	if (s->opt.shuffle)
		return run_shuffled(s, seg, random);
	for (size_t i = 0; i < seg->list.n; i++) {
		HB_TRY(step(s, seg, i));
		if (i % 256 == 0)
			hb_progress(s->cx, "simulate", (int64_t)i, (int64_t)seg->list.n);
	}
	return HB_OK;
}

static hb_status
run_cpu(hb_sim *s, size_t k)
{
	const hb_segment *seg = &s->p->segments[k];
	for (size_t i = 0; i < seg->nins; i++) {
		if (s->opt.tags)
			HB_TRY(place_tags(s, seg->ins[i], true));
		place_copy(s, &s->p->places[seg->ins[i]], s->in[k][i].data, false);
	}
	HB_TRY(hb_exec_run(s->exec[k], s->in[k], s->out[k], NULL, NULL));
	for (size_t o = 0; o < seg->nouts; o++) {
		place_copy(s, &s->p->places[seg->outs[o]], s->out[k][o].data, true);
		if (s->opt.tags)
			HB_TRY(place_tags(s, seg->outs[o], false));
	}
	return HB_OK;
}

/* ---- the model's edges ---- */

/* Splits a dense tensor into [outer, channels, inner] by its scales' axis. */
static void
scale_split(const hb_place_row *r, int64_t *outer, int64_t *channels, int64_t *inner)
{
	bool per_channel = r->q.nscales > 1;
	*outer = per_channel ? hb_shape_span(&r->shape, 0, r->q.axis) : 1;
	*channels = per_channel ? r->q.nscales : 1;
	*inner = per_channel ? hb_shape_span(&r->shape, r->q.axis + 1, r->shape.rank) : hb_shape_elems(&r->shape);
}

static hb_status
take_input(hb_sim *s, int row, const hb_val *v)
{
	const hb_place_row *r = &s->p->places[row];
	hb_dtype dt = hb_place_dtype(r);
	if (!hb_shape_eq(&v->shape, &r->shape)) {
		char want[HB_SHAPE_TEXT], have[HB_SHAPE_TEXT];
		return hb_error(s->cx, HB_ERR_INPUT, r->name, "input-shape", "an input of shape %s is given; the model takes %s",
				hb_shape_text(&v->shape, have), hb_shape_text(&r->shape, want));
	}
	if (v->dtype == dt) {
		place_copy(s, r, v->data, true);
	} else if (v->dtype == HB_F32 && r->q.dtype != HB_NONE) {
		int64_t outer, channels, inner, size = (int64_t)hb_dtype_size(dt);
		scale_split(r, &outer, &channels, &inner);
		for (int64_t k = 0; k < outer * channels && inner; k++)
			hb_quantize_n(s->cx, (const float *)v->data + k * inner, hb_q_scale(&r->q, k % channels), dt,
				      s->round, s->dense + k * inner * size, inner);
		place_copy(s, r, s->dense, true);
	} else {
		return hb_error(s->cx, HB_ERR_INPUT, r->name, "input-type", "an input of type %s is given; the model takes %s",
				hb_dtype_name(v->dtype), hb_dtype_name(r->q.dtype != HB_NONE ? HB_F32 : dt));
	}
	return s->opt.tags ? place_tags(s, row, false) : HB_OK;
}

static int64_t
int_at(const void *p, hb_dtype dt, int64_t i)
{
	switch (dt) {
	case HB_I8:
		return ((const int8_t *)p)[i];
	case HB_I16:
		return ((const int16_t *)p)[i];
	case HB_I32:
		return ((const int32_t *)p)[i];
	case HB_I64:
		return ((const int64_t *)p)[i];
	default:
		return ((const uint8_t *)p)[i];
	}
}

static hb_status
give_output(hb_sim *s, int row, void *to, hb_val *v)
{
	const hb_place_row *r = &s->p->places[row];
	hb_dtype dt = hb_place_dtype(r);
	bool ints = s->opt.raw_int || r->dtype == dt;
	if (s->opt.tags)
		HB_TRY(place_tags(s, row, true));
	*v = (hb_val){ints ? dt : r->dtype, r->shape, to};
	place_copy(s, r, ints ? to : s->dense, false);
	if (ints)
		return HB_OK;
	if (r->dtype == HB_F32) {
		int64_t outer, channels, inner, size = (int64_t)hb_dtype_size(dt);
		scale_split(r, &outer, &channels, &inner);
		for (int64_t k = 0; k < outer * channels && inner; k++)
			hb_dequantize_n(s->cx, s->dense + k * inner * size, dt, hb_q_scale(&r->q, k % channels),
					(float *)to + k * inner, inner);
		return HB_OK;
	}
	int64_t n = hb_shape_elems(&r->shape);
	size_t size = hb_dtype_size(r->dtype);
	for (int64_t i = 0; i < n; i++) {
		int64_t x = int_at(s->dense, dt, i);	/* little-endian hosts: the low bytes are first */
		if (r->dtype == HB_BOOL)
			x = x != 0;
		memcpy((uint8_t *)to + (size_t)i * size, &x, size);
	}
	return HB_OK;
}

static void
show(hb_sim *s, int row)
{
	const hb_place_row *r = &s->p->places[row];
	if (!s->opt.tap)
		return;
	place_copy(s, r, s->dense, false);
	hb_val v = {hb_place_dtype(r), r->shape, s->dense};
	s->opt.tap(s->opt.arg, r->name, &v, &r->q);
}

static bool
listed(const hb_program *p, int row)
{
	for (size_t k = 0; k < p->ninputs; k++)
		if (p->inputs[k] == row)
			return true;
	for (size_t k = 0; k < p->nsegments; k++) {
		for (size_t o = 0; o < p->segments[k].nouts; o++)
			if (p->segments[k].outs[o] == row)
				return true;
		for (size_t i = 0; i < p->segments[k].nins; i++)
			if (p->segments[k].ins[i] == row)
				return true;
	}
	return false;
}

hb_status
hb_sim_run(hb_sim *s, const hb_val *in, hb_val *out)
{
	const hb_program *p = s->p;
	uint64_t random = s->opt.shuffle;
	s->stats = (hb_sim_stats){0};
	for (int sp = HB_IN; sp < HB_NSPACES; sp++) {
		if (sp != HB_PAR)
			junk(s, (hb_space)sp, s->opt.seed);
		if (s->stamp[sp])
			memset(s->stamp[sp], 0, (size_t)(p->size[sp] / s->granule + 1) * sizeof(uint32_t));
	}
	s->access = 0;
	for (size_t k = 0; k < p->ninputs; k++) {
		HB_TRY(take_input(s, p->inputs[k], &in[k]));
		show(s, p->inputs[k]);
	}
	for (size_t k = 0; k < p->nsegments; k++) {
		const hb_segment *seg = &p->segments[k];
		HB_TRY(seg->cpu ? run_cpu(s, k) : run_bpu(s, seg, &random));
		for (size_t o = 0; o < seg->nouts; o++)
			show(s, seg->outs[o]);
	}
	for (size_t k = 0; k < p->nplaces && s->opt.tap; k++)
		if (!listed(p, (int)k))
			show(s, (int)k);
	for (size_t k = 0; k < p->noutputs; k++)
		HB_TRY(give_output(s, p->outputs[k], s->result[k], &out[k]));
	return HB_OK;
}

/* ---- setting up ---- */

/* A buffer in DDR is the tensor of that name at that address; others belong to their segment. */
static hb_status
name_owners(hb_sim *s)
{
	const hb_program *p = s->p;
	s->owner = HB_NEW_N(s->arena, uint32_t *, p->nsegments + 1);
	if (!s->owner)
		return HB_ERR_NOMEM;
	for (size_t k = 0; k < p->nsegments; k++) {
		const hb_segment *seg = &p->segments[k];
		uint32_t *o = s->owner[k] = HB_NEW_N(s->arena, uint32_t, seg->nbufs + 1);
		if (!o)
			return HB_ERR_NOMEM;
		for (size_t b = 0; b < seg->nbufs; b++) {
			const hb_buf_row *row = &seg->bufs[b];
			o[b] = (uint32_t)(p->nplaces + b + 1);
			for (size_t r = 0; r < p->nplaces && is_ddr[row->space]; r++)
				if (p->places[r].space == row->space && p->places[r].addr == row->addr &&
				    !strcmp(p->places[r].name, row->name))
					o[b] = (uint32_t)r + 1;
		}
	}
	return HB_OK;
}

static hb_status
make_memory(hb_sim *s)
{
	const hb_program *p = s->p;
	for (int sp = 0; sp < HB_NSPACES; sp++) {
		size_t n = (size_t)p->size[sp], granules = n / s->granule + 1;
		if (sp == HB_PAR) {
			s->mem[sp] = p->par;
		} else if (n && !(s->mem[sp] = hb_big_alloc(s->cx, n))) {
			return hb_nomem(s->cx, "the simulator's memory");
		}
		if (n && is_ddr[sp] && !(s->stamp[sp] = hb_big_alloc(s->cx, granules * sizeof(uint32_t))))
			return hb_nomem(s->cx, "the simulator's counters");
		if (n && s->opt.tags && sp != HB_PAR && !(s->tag[sp] = hb_big_alloc(s->cx, n * sizeof(uint32_t))))
			return hb_nomem(s->cx, "the simulator's tags");
	}
	return HB_OK;
}

static size_t
dense_bytes(const hb_place_row *r)
{
	size_t size = HB_MAX(hb_dtype_size(hb_place_dtype(r)), hb_dtype_size(r->dtype));
	return (size_t)hb_shape_elems(&r->shape) * size + 1;
}

static hb_status
make_cpu(hb_sim *s, size_t k)
{
	const hb_segment *seg = &s->p->segments[k];
	hb_status st = HB_OK;
	s->exec[k] = hb_exec_new(seg->graph, &st);
	if (!s->exec[k])
		return st;
	s->in[k] = HB_NEW_N(s->arena, hb_val, seg->nins + 1);
	s->out[k] = HB_NEW_N(s->arena, hb_val, seg->nouts + 1);
	if (!s->in[k] || !s->out[k])
		return hb_nomem(s->cx, "the simulator");
	for (size_t i = 0; i < seg->nins; i++) {
		const hb_place_row *r = &s->p->places[seg->ins[i]];
		s->in[k][i] = (hb_val){hb_place_dtype(r), r->shape, hb_arena_alloc(s->arena, dense_bytes(r) + 1024)};
		if (!s->in[k][i].data)
			return hb_nomem(s->cx, "the simulator");
	}
	return HB_OK;
}

static hb_status
make(hb_sim *s, const hb_figures *f)
{
	const hb_program *p = s->p;
	HB_TRY(hb_program_check(s->cx, p));
	for (int sp = HB_S0; sp <= HB_S1; sp++) {
		uint64_t there = sp == HB_S1 && f->cores < 2 ? 0 : f->sram_bytes;
		if (p->size[sp] > there)
			return hb_error(s->cx, HB_ERR_INPUT, NULL, "sim-sram", "the program uses %llu bytes of %s; march %s has %llu",
					(unsigned long long)p->size[sp], hb_space_name((hb_space)sp), f->name,
					(unsigned long long)there);
	}
	HB_TRY(make_memory(s));
	if (s->opt.tags && name_owners(s) != HB_OK)
		return hb_nomem(s->cx, "the simulator");
	s->exec = HB_NEW_N(s->arena, hb_exec *, p->nsegments + 1);
	s->in = HB_NEW_N(s->arena, hb_val *, p->nsegments + 1);
	s->out = HB_NEW_N(s->arena, hb_val *, p->nsegments + 1);
	s->result = HB_NEW_N(s->arena, void *, p->noutputs + 1);
	if (!s->exec || !s->in || !s->out || !s->result)
		return hb_nomem(s->cx, "the simulator");
	for (size_t k = 0; k < p->nplaces; k++)
		s->dense_bytes = HB_MAX(s->dense_bytes, dense_bytes(&p->places[k]));
	for (size_t k = 0; k < p->noutputs; k++) {
		s->result[k] = hb_arena_alloc(s->arena, dense_bytes(&p->places[p->outputs[k]]) + 1024);
		if (!s->result[k])
			return hb_nomem(s->cx, "the model's outputs");
	}
	for (size_t k = 0; k < p->nsegments; k++) {
		const hb_segment *seg = &p->segments[k];
		if (seg->cpu)
			HB_TRY(make_cpu(s, k));
		for (size_t i = 0; i < seg->list.n; i++)
			s->scratch_bytes = HB_MAX(s->scratch_bytes, hb_kernel_scratch(s->cx, &seg->list.insns[i]));
	}
	s->scratch_bytes += 64;
	s->dense_bytes += 64;
	s->scratch = hb_big_alloc(s->cx, s->scratch_bytes);
	s->dense = hb_big_alloc(s->cx, s->dense_bytes);
	return s->scratch && s->dense ? HB_OK : hb_nomem(s->cx, "the simulator");
}

hb_status
hb_sim_new(hb_ctx *cx, const hb_program *p, const hb_figures *f, const hb_sim_options *o, hb_sim **out)
{
	hb_arena *a = hb_arena_new(cx);
	hb_sim *s = a ? HB_NEW(a, hb_sim) : NULL;
	if (!s) {
		if (a)
			hb_arena_free(a);
		return hb_nomem(cx, "the simulator");
	}
	s->cx = cx;
	s->p = p;
	s->arena = a;
	s->granule = f->granule ? f->granule : 1;
	if (o)
		s->opt = *o;
	for (const hb_meta *m = p->meta; m; m = m->next)
		if (!strcmp(m->key, "hbcc.option.round") && !strcmp(m->value, "half_up"))
			s->round = HB_HALF_UP;
	hb_status st = make(s, f);
	if (st != HB_OK) {
		hb_sim_free(s);
		return st;
	}
	*out = s;
	return HB_OK;
}

void
hb_sim_free(hb_sim *s)
{
	if (!s)
		return;
	for (int sp = 0; sp < HB_NSPACES; sp++) {
		size_t n = (size_t)s->p->size[sp];
		if (sp != HB_PAR && s->mem[sp])
			hb_big_free(s->cx, s->mem[sp], n);
		if (s->stamp[sp])
			hb_big_free(s->cx, s->stamp[sp], (n / s->granule + 1) * sizeof(uint32_t));
		if (s->tag[sp])
			hb_big_free(s->cx, s->tag[sp], n * sizeof(uint32_t));
	}
	if (s->scratch)
		hb_big_free(s->cx, s->scratch, s->scratch_bytes);
	if (s->dense)
		hb_big_free(s->cx, s->dense, s->dense_bytes);
	for (size_t k = 0; s->exec && k < s->p->nsegments; k++)
		if (s->exec[k])
			hb_exec_free(s->exec[k]);
	hb_arena_free(s->arena);
}

void
hb_sim_stats_get(const hb_sim *s, hb_sim_stats *out)
{
	*out = s->stats;
}

const uint8_t *
hb_sim_memory(const hb_sim *s, hb_space space)
{
	return s->mem[space];
}
