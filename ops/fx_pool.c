/* fx_pool.c: MaxPool by the reduce instruction; AveragePool and Reduce by their
 * definitions; Resize by the sample instruction. */
#include "ops/fx_util.h"
#include "ops/lower.h"

enum { SIDE_MAX = 65535 };

#define ROW_TO { "to", HB_ATTR_INT, false, 0, 0 }
#define ROW_CLAMP { "qmin", HB_ATTR_INT, false, 0, 0 }, { "qmax", HB_ATTR_INT, false, 0, 0 }
#define ROWS_POOL                                                                                       \
	{ "kernel_shape", HB_ATTR_INTS, true, 0, 0 }, { "strides", HB_ATTR_INTS, false, 0, 0 },         \
	{ "pads", HB_ATTR_INTS, false, 0, 0 }, { "ceil_mode", HB_ATTR_INT, false, 0, 0 }

typedef struct pool {
	int64_t planes, h, w, oh, ow;	/* planes: batch times channels; rank 3 is one row */
	int64_t k[2], s[2], pb[2], pe[2];
	bool with_pad;
	const int32_t *mults;
	int64_t nmults;
	int32_t qmin, qmax;
} pool;

static hb_status
pool_shape(hb_graph *g, hb_node *n, uint32_t types)
{
	const hb_shape *x = &n->in[0]->shape;
	int ns = x->rank - 2;
	int64_t k[2], s[2], p[4];
	int32_t ceil_mode, with_pad;
	pool *a = HB_AUX(g, n, pool);
	hb_shape out = *x;
	hb_dtype dt;

	if (!a)
		return HB_ERR_NOMEM;
	if (ns != 1 && ns != 2)
		return HB_FX_BAD(g, n, "input has rank %d; it must be 3 or 4", x->rank);
	HB_TRY(hb_fx_ints(g, n, "kernel_shape", ns, 1, 1, SIDE_MAX, k));
	HB_TRY(hb_fx_ints(g, n, "strides", ns, 1, 1, SIDE_MAX, s));
	HB_TRY(hb_fx_ints(g, n, "pads", 2 * ns, 0, 0, SIDE_MAX, p));
	HB_TRY(hb_fx_int(g, n, "ceil_mode", 0, 0, 1, &ceil_mode));
	HB_TRY(hb_fx_int(g, n, "count_include_pad", 0, 0, 1, &with_pad));
	*a = (pool){ .k = { 1, 1 }, .s = { 1, 1 }, .with_pad = with_pad };
	for (int i = 0; i < ns; i++) {
		int64_t in = x->dim[2 + i], room = in + p[i] + p[ns + i] - k[i], o;
		int at = i + 2 - ns;

		a->k[at] = k[i];
		a->s[at] = s[i];
		a->pb[at] = p[i];
		a->pe[at] = p[ns + i];
		if (room < 0)
			return HB_FX_BAD(g, n, "a window of %lld is longer than %lld padded elements", (long long)k[i], (long long)(room + k[i]));
		o = (ceil_mode ? hb_ceil_div(room, s[i]) : room / s[i]) + 1;
		/* the last window begins in the input or the padding before it */
		if (ceil_mode && (o - 1) * s[i] >= in + p[i])
			o--;
		out.dim[2 + i] = o;
	}
	a->planes = x->dim[0] * x->dim[1];
	a->h = ns == 2 ? x->dim[2] : 1;
	a->w = x->dim[x->rank - 1];
	a->oh = ns == 2 ? out.dim[2] : 1;
	a->ow = out.dim[x->rank - 1];
	HB_TRY(hb_fx_to(g, n, types, &dt));
	HB_TRY(hb_fx_clamp(g, n, dt, &a->qmin, &a->qmax));
	return hb_fx_out(g, n, dt, &out);
}

/* ---- MaxPool ---- */

static hb_status
shape_max_pool(hb_graph *g, hb_node *n)
{
	return pool_shape(g, n, HB_BIT(n->in[0]->dtype));
}

static size_t
scratch_max_pool(const hb_node *n, int jobs)
{
	(void)jobs;
	return (size_t)hb_tensor_bytes(n->in[0]);
}

/* Planes are the channels of one image, brought innermost. */
static void
run_max_pool(const hb_call *c)
{
	const pool *a = c->n->aux;
	hb_dtype dt = c->in[0]->dtype;
	hb_insn i = { .op = HB_I_reduce, .engine = HB_V0, .nv = 2 };
	uint8_t *at[2] = { c->out[0]->data, c->scratch };
	hb_nd d;
	hb_shape s = { .rank = 2, .dim = { a->h * a->w, a->planes } };

	hb_nd_init(&d, &s);
	hb_nd_add(&d, &s);
	hb_nd_add_strides(&d, (int64_t[]){ 1, a->h * a->w });
	hb_fx_copy(c->cx, &d, dt, c->scratch, c->in[0]->data);
	i.v[0] = hb_fx_image(dt, a->planes, a->oh, a->ow);
	i.v[1] = hb_fx_view(dt, 3, (int64_t[]){ a->h, a->w, a->planes });
	i.imm[HB_IMM_reduce_fn] = HB_FN_max;
	i.imm[HB_IMM_reduce_kh] = (int32_t)a->k[0];
	i.imm[HB_IMM_reduce_kw] = (int32_t)a->k[1];
	i.imm[HB_IMM_reduce_sh] = (int32_t)a->s[0];
	i.imm[HB_IMM_reduce_sw] = (int32_t)a->s[1];
	i.imm[HB_IMM_reduce_pt] = (int32_t)a->pb[0];
	i.imm[HB_IMM_reduce_pl] = (int32_t)a->pb[1];
	i.imm[HB_IMM_reduce_m] = 1 << 30;
	i.imm[HB_IMM_reduce_e] = 1;
	i.imm[HB_IMM_reduce_qmin] = a->qmin;
	i.imm[HB_IMM_reduce_qmax] = a->qmax;
	hb_kernel(c->cx, &i, at, NULL);
}

static const hb_attr_row max_pool_rows[] = { ROWS_POOL, ROW_CLAMP, { 0 } };

const hb_op hb_op_fx_max_pool = {
	.name = "MaxPool", .domain = "hbcc", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = max_pool_rows, .types = HB_BIT(HB_I8) | HB_BIT(HB_I16),
	.shape = shape_max_pool, .scratch = scratch_max_pool, .run = run_max_pool,
	.sched = &hb_sched_max_pool,
};

/* ---- AveragePool: one multiplier a count of cells ---- */

static const int32_t *
mult_of_count(const pool *a, int64_t count)
{
	for (int64_t i = 0; i < a->nmults; i++)
		if (a->mults[3 * i] == count)
			return a->mults + 3 * i;
	return NULL;
}

/* Cells of window o in dimension d that count. */
static int64_t
cells(const pool *a, int d, int64_t extent, int64_t o)
{
	int64_t lo = o * a->s[d] - a->pb[d], hi = lo + a->k[d];

	if (a->with_pad)
		return HB_MIN(hi, extent + a->pe[d]) - lo;
	return HB_MAX(0, HB_MIN(hi, extent) - HB_MAX(lo, 0));
}

static hb_status
shape_average_pool(hb_graph *g, hb_node *n)
{
	const hb_tensor *t = n->in[1];
	pool *a;

	HB_TRY(pool_shape(g, n, HB_BIT(HB_I8) | HB_BIT(HB_I16) | HB_BIT(HB_I32)));
	a = n->aux;
	if (t->shape.rank != 2 || t->shape.dim[1] != 3)
		return HB_FX_BAD(g, n, "multipliers '%s' are not int32 [n, 3]", t->name);
	if (!t->is_const)
		return hb_need_const(g, n, 1);
	a->mults = hb_tensor_data(g, n->in[1]);
	a->nmults = t->shape.dim[0];
	if (!a->mults)
		return HB_ERR_NOMEM;
	for (int64_t i = 0; i < a->nmults; i++)
		if (a->mults[3 * i + 1] < 0 || a->mults[3 * i + 2] < -39 || a->mults[3 * i + 2] > 24)
			return HB_FX_BAD(g, n, "multiplier %lld is out of range", (long long)i);
	/* each count once a run of rows and of columns that have it */
	for (int64_t y = 0, cy = -1; y < a->oh; y++) {
		if (cells(a, 0, a->h, y) == cy)
			continue;
		cy = cells(a, 0, a->h, y);
		for (int64_t x = 0, cx = -1; x < a->ow; x++) {
			if (cells(a, 1, a->w, x) == cx)
				continue;
			cx = cells(a, 1, a->w, x);
			if (!mult_of_count(a, cy * cx))
				return HB_FX_BAD(g, n, "no multiplier for a window of %lld cells", (long long)(cy * cx));
		}
	}
	return HB_OK;
}

static void
average_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const hb_call *c = arg;
	const pool *a = c->n->aux;
	const hb_val *x = c->in[0], *y = c->out[0];

	(void)worker;
	for (int64_t r = begin; r < end; r++) {
		int64_t oy = r % a->oh, plane = r / a->oh;
		int64_t y0 = HB_MAX(oy * a->s[0] - a->pb[0], 0), y1 = HB_MIN(oy * a->s[0] - a->pb[0] + a->k[0], a->h);

		for (int64_t ox = 0; ox < a->ow; ox++) {
			int64_t x0 = HB_MAX(ox * a->s[1] - a->pb[1], 0), x1 = HB_MIN(ox * a->s[1] - a->pb[1] + a->k[1], a->w);
			const int32_t *m = mult_of_count(a, cells(a, 0, a->h, oy) * cells(a, 1, a->w, ox));
			int64_t sum = 0, v;

			for (int64_t iy = y0; iy < y1; iy++)
				for (int64_t ix = x0; ix < x1; ix++)
					sum += hb_val_i(x, (plane * a->h + iy) * a->w + ix);
			v = hb_requant(sum, (hb_mult){ m[1], m[2] });
			v = HB_MIN(HB_MAX(v, a->qmin), a->qmax);
			hb_wide_store(y->dtype, &v, y->data, r * a->ow + ox, 1);
		}
	}
}

static void
run_average_pool(const hb_call *c)
{
	const pool *a = c->n->aux;

	hb_parallel(c->cx, a->planes * a->oh, HB_MAX(1, 16384 / (a->ow * a->k[0] * a->k[1])), average_some, (void *)c);
}

static const hb_attr_row average_pool_rows[] = {
	ROWS_POOL, { "count_include_pad", HB_ATTR_INT, false, 0, 0 }, ROW_TO, ROW_CLAMP, { 0 },
};

const hb_op hb_op_fx_average_pool = {
	.name = "AveragePool", .domain = "hbcc", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = average_pool_rows, .types = HB_BIT(HB_I8) | HB_BIT(HB_I16), .in_types = { 0, HB_BIT(HB_I32) },
	.shape = shape_average_pool, .run = run_average_pool,
	.sched = &hb_sched_average_pool,
};

/* ---- Reduce ---- */

typedef struct reduce {
	int32_t fn, m, e, qmin, qmax;
	hb_shape kept, gone;		/* extents of the output, and of what one output sums */
	int64_t kept_stride[HB_MAX_RANK], gone_stride[HB_MAX_RANK];
} reduce;

static hb_status
shape_reduce(hb_graph *g, hb_node *n)
{
	static const hb_fn fns[] = { HB_FN_max, HB_FN_min, HB_FN_sum, HB_FN_sumsq, HB_FN_argmax, HB_FN_argmin };
	const hb_shape *x = &n->in[0]->shape;
	int64_t stride[HB_MAX_RANK];
	int32_t keep;
	bool given, gone[HB_MAX_RANK] = { false };
	int axes[HB_MAX_RANK], count;
	reduce *a = HB_AUX(g, n, reduce);
	hb_shape out = { .rank = 0 };
	hb_dtype dt;

	if (!a)
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_fn(g, n, fns, HB_LEN(fns), &a->fn));
	HB_TRY(hb_fx_int(g, n, "keepdims", 1, 0, 1, &keep));
	HB_TRY(hb_fx_mult(g, n, "m", "e", &a->m, &a->e));
	HB_TRY(hb_axes(g, n, 1, x->rank, axes, &count, &given));
	for (int i = 0; i < (count ? count : x->rank); i++)
		gone[count ? axes[i] : i] = true;
	hb_strides(x, stride);
	for (int d = 0; d < x->rank; d++) {
		hb_shape *s = gone[d] ? &a->gone : &a->kept;

		(gone[d] ? a->gone_stride : a->kept_stride)[s->rank] = stride[d];
		s->dim[s->rank++] = x->dim[d];
		if (!gone[d] || keep)
			out.dim[out.rank++] = gone[d] ? 1 : x->dim[d];
	}
	bool index = a->fn == HB_FN_argmax || a->fn == HB_FN_argmin;
	if (index && !hb_attr_find(n, "to"))
		dt = HB_I32;
	else
		HB_TRY(hb_fx_to(g, n, HB_FX_TYPES, &dt));
	if ((a->fn == HB_FN_max || a->fn == HB_FN_min) && dt != n->in[0]->dtype)
		return HB_FX_BAD(g, n, "its output would be %s, its input is %s", hb_dtype_name(dt), hb_dtype_name(n->in[0]->dtype));
	HB_TRY(hb_fx_clamp(g, n, dt, &a->qmin, &a->qmax));
	return hb_fx_out(g, n, dt, &out);
}

static int64_t
reduce_one(const reduce *a, const hb_val *x, int64_t first)
{
	int64_t c[HB_MAX_RANK] = { 0 }, acc = 0, best = 0, all = hb_shape_elems(&a->gone), at = first;

	for (int64_t i = 0; i < all; i++) {
		int64_t v = hb_val_i(x, at);

		switch (a->fn) {
		case HB_FN_sum:
			acc += v;
			break;
		case HB_FN_sumsq:
			acc = (int64_t)((uint64_t)acc + (uint64_t)v * (uint64_t)v);
			break;
		default:
			if (!i || (a->fn == HB_FN_max || a->fn == HB_FN_argmax ? v > best : v < best)) {
				best = v;
				acc = a->fn == HB_FN_max || a->fn == HB_FN_min ? v : i;
			}
			break;
		}
		for (int d = a->gone.rank - 1; d >= 0; d--) {
			at += a->gone_stride[d];
			if (++c[d] < a->gone.dim[d])
				break;
			at -= c[d] * a->gone_stride[d];
			c[d] = 0;
		}
	}
	if (a->fn == HB_FN_sum || a->fn == HB_FN_sumsq)
		acc = hb_requant(acc, (hb_mult){ a->m, a->e });
	return HB_MIN(HB_MAX(acc, a->qmin), a->qmax);
}

static void
reduce_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const hb_call *c = arg;
	const reduce *a = c->n->aux;

	(void)worker;
	for (int64_t r = begin; r < end; r++) {
		int64_t at[HB_MAX_RANK], first = 0, v;

		hb_coords(&a->kept, r, at);
		for (int d = 0; d < a->kept.rank; d++)
			first += at[d] * a->kept_stride[d];
		v = reduce_one(a, c->in[0], first);
		hb_wide_store(c->out[0]->dtype, &v, c->out[0]->data, r, 1);
	}
}

static void
run_reduce(const hb_call *c)
{
	const reduce *a = c->n->aux;

	hb_parallel(c->cx, hb_shape_elems(&a->kept), HB_MAX(1, 16384 / hb_shape_elems(&a->gone)), reduce_some, (void *)c);
}

static const hb_attr_row reduce_rows[] = {
	{ "fn", HB_ATTR_STRING, true, 0, 0 }, { "axes", HB_ATTR_INTS, false, 0, 0 }, { "keepdims", HB_ATTR_INT, false, 0, 0 },
	{ "m", HB_ATTR_INT, false, 0, 0 }, { "e", HB_ATTR_INT, false, 0, 0 }, ROW_TO, ROW_CLAMP, { 0 },
};

const hb_op hb_op_fx_reduce = {
	.name = "Reduce", .domain = "hbcc", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	.attrs = reduce_rows, .types = HB_FX_TYPES, .shape = shape_reduce, .run = run_reduce,
	.sched = &hb_sched_reduce,
};

/* ---- Resize ---- */

typedef struct resize {
	int32_t mode, qmin, qmax;
} resize;

static hb_status
shape_resize(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape;
	resize *a = HB_AUX(g, n, resize);
	hb_shape out = *x;
	hb_dtype dt = n->in[0]->dtype;

	if (!a)
		return HB_ERR_NOMEM;
	if (x->rank != 4)
		return HB_FX_BAD(g, n, "input has rank %d; it must be 4", x->rank);
	for (int i = 0; i < 2; i++) {
		hb_tensor *t = n->in[1 + i];
		const int32_t *v;

		if (t->shape.rank != 2 || t->shape.dim[1] != 2)
			return HB_FX_BAD(g, n, "table '%s' is not int32 [n, 2]", t->name);
		if (!t->is_const)
			return hb_need_const(g, n, 1 + i);
		if (!(v = hb_tensor_data(g, t)))
			return HB_ERR_NOMEM;
		out.dim[2 + i] = t->shape.dim[0];
		for (int64_t k = 0; k < t->shape.dim[0]; k++)
			if (v[2 * k] < 0 || v[2 * k] >= x->dim[2 + i] || v[2 * k + 1] < 0 || v[2 * k + 1] > 2048)
				return HB_FX_BAD(g, n, "entry %lld of table '%s' is out of range", (long long)k, t->name);
	}
	HB_TRY(hb_fx_int(g, n, "mode", 0, 0, 1, &a->mode));
	HB_TRY(hb_fx_clamp(g, n, dt, &a->qmin, &a->qmax));
	return hb_fx_out(g, n, dt, &out);
}

static void
run_resize(const hb_call *c)
{
	const resize *a = c->n->aux;
	const hb_shape *x = &c->in[0]->shape, *y = &c->out[0]->shape;
	int64_t planes = x->dim[0] * x->dim[1];
	hb_insn i = { .op = HB_I_sample, .engine = HB_V0, .nv = 4 };
	uint8_t *at[4] = { c->out[0]->data, c->in[0]->data, c->in[1]->data, c->in[2]->data };

	i.v[0] = hb_fx_image(c->out[0]->dtype, planes, y->dim[2], y->dim[3]);
	i.v[1] = hb_fx_image(c->in[0]->dtype, planes, x->dim[2], x->dim[3]);
	i.v[2] = hb_fx_view(HB_I32, 2, (int64_t[]){ y->dim[2], 2 });
	i.v[3] = hb_fx_view(HB_I32, 2, (int64_t[]){ y->dim[3], 2 });
	i.imm[HB_IMM_sample_mode] = a->mode;
	i.imm[HB_IMM_sample_qmin] = a->qmin;
	i.imm[HB_IMM_sample_qmax] = a->qmax;
	hb_kernel(c->cx, &i, at, NULL);
}

static const hb_attr_row resize_rows[] = { { "mode", HB_ATTR_INT, false, 0, 0 }, ROW_CLAMP, { 0 } };

const hb_op hb_op_fx_resize = {
	.name = "Resize", .domain = "hbcc", .since = 1, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = resize_rows, .types = HB_BIT(HB_I8) | HB_BIT(HB_I16), .in_types = { 0, HB_BIT(HB_I32), HB_BIT(HB_I32) },
	.shape = shape_resize, .run = run_resize,
	.sched = &hb_sched_resize,
};
