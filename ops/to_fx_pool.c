/* to_fx_pool.c: pools, reductions and Resize. */
#include "ops/conv.h"
#include "ops/to_fx.h"

/* ---- pools ---- */

typedef struct window {
	int ns;
	int64_t kernel[2], strides[2], pads[4];
	bool ceil_mode, with_pad;
} window;

const char *
hb_floats_pool(const hb_node *n)
{
	const hb_conv_params *p = hb_conv_of(n);

	if (p->nsp != 1 && p->nsp != 2)
		return "a pool over other than one or two dimensions";
	if (hb_out(n, 1))
		return "indices";
	for (int i = 0; i < p->nsp; i++)
		if (p->dilations[i] != 1)
			return "a pool with dilation";
	return NULL;
}

static hb_status
window_of(hb_convert *cv, const hb_node *n, window *w)
{
	const hb_conv_params *p = hb_conv_of(n);

	if (hb_floats_pool(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_pool(n));
	*w = (window){ .ns = p->nsp, .ceil_mode = p->ceil_mode, .with_pad = p->count_include_pad };
	for (int i = 0; i < w->ns; i++) {
		w->kernel[i] = p->kernel[i];
		w->strides[i] = p->strides[i];
		w->pads[i] = p->begin[i];
		w->pads[w->ns + i] = p->end[i];
	}
	return HB_OK;
}

static bool
set_window(hb_convert *cv, hb_node *k, const window *w)
{
	return hb_attr_set_ints(cv->to, k, "kernel_shape", w->kernel, (size_t)w->ns) &&
	       hb_attr_set_ints(cv->to, k, "strides", w->strides, (size_t)w->ns) &&
	       hb_attr_set_ints(cv->to, k, "pads", w->pads, (size_t)(2 * w->ns)) &&
	       (!w->ceil_mode || hb_attr_set_i(cv->to, k, "ceil_mode", 1)) &&
	       (!w->with_pad || hb_attr_set_i(cv->to, k, "count_include_pad", 1));
}

static hb_status
max_pool(hb_convert *cv, hb_node *n, window *w)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *y = x ? hb_fx_moved(cv, n, n->out[0], &x->q) : NULL;
	hb_node *k = hb_fx_node(cv, n, "MaxPool", y, 1, &x);

	w->with_pad = false;
	if (!k || !set_window(cv, k, w))
		return HB_ERR_NOMEM;
	HB_TRY(hb_fx_done(cv, k));
	return hb_fx_settle(cv, n, y, n->out[0]);
}

hb_status
hb_to_fx_max_pool(hb_convert *cv, hb_node *n)
{
	window w;

	HB_TRY(window_of(cv, n, &w));
	return max_pool(cv, n, &w);
}

/* Cells of window o that count, in spatial dimension i. */
static int64_t
cells(const window *w, int i, int64_t extent, int64_t o)
{
	int64_t lo = o * w->strides[i] - w->pads[i], hi = lo + w->kernel[i];

	if (w->with_pad)
		return HB_MIN(hi, extent + w->pads[w->ns + i]) - lo;
	return HB_MAX(HB_MIN(hi, extent) - HB_MAX(lo, 0), 0);
}

/* Rows [count, M, e] for every count that occurs. */
static hb_tensor *
count_mults(hb_convert *cv, hb_node *n, const window *w, double ratio)
{
	const hb_shape *x = &n->in[0]->shape, *y = &n->out[0]->shape;
	int64_t last = w->ns - 1, rows = 0, cap = 0;
	int32_t *m = NULL;

	for (int64_t oy = 0, cy = -1; oy < (w->ns == 2 ? y->dim[2] : 1); oy++) {
		int64_t now = w->ns == 2 ? cells(w, 0, x->dim[2], oy) : 1;

		if (now == cy)
			continue;
		cy = now;
		for (int64_t ox = 0, cx = -1; ox < y->dim[2 + last]; ox++) {
			int64_t count, i = 0;
			hb_mult k;

			if (cells(w, (int)last, x->dim[2 + last], ox) == cx)
				continue;
			cx = cells(w, (int)last, x->dim[2 + last], ox);
			count = cy * cx;
			while (i < rows && m[3 * i] != count)
				i++;
			if (i < rows)
				continue;
			if (count < 1 || !hb_mult_of(ratio / (double)count, &k)) {
				HB_FX_REFUSE(cv, n, "the mean of %lld cells has a ratio of scales %g outside 2^-40..2^24", (long long)count,
					     ratio / (double)HB_MAX(count, 1));
				return NULL;
			}
			size_t room = (size_t)cap;
			if (!HB_GROW(cv->arena, &m, &room, (size_t)(3 * rows + 3)))
				return NULL;
			cap = (int64_t)room;
			m[3 * rows] = (int32_t)count;
			m[3 * rows + 1] = k.m;
			m[3 * rows + 2] = k.e;
			rows++;
		}
	}
	return hb_fx_const(cv, n, "mults", HB_I32, 2, (int64_t[]){ rows, 3 }, m);
}

static hb_status
average_pool(hb_convert *cv, hb_node *n, const window *w)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *y = x ? hb_convert_out(cv, hb_group_out(n)) : NULL;
	hb_tensor *mults = y ? count_mults(cv, n, w, (double)x->q.scale / y->q.scale) : NULL;
	hb_node *k = mults ? hb_fx_node(cv, n, "AveragePool", y, 2, (hb_tensor *[]){ x, mults }) : NULL;
	int32_t qmin, qmax;

	if (!y)
		return HB_ERR_NOMEM;
	if (!mults)
		return HB_ERR_UNSUPPORTED;
	hb_fx_limits(n, &y->q, cv->round, &qmin, &qmax);
	if (!k || !set_window(cv, k, w) || !hb_fx_set_clamp(cv, k, qmin, qmax))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, k);
}

hb_status
hb_to_fx_average_pool(hb_convert *cv, hb_node *n)
{
	window w;

	HB_TRY(window_of(cv, n, &w));
	return average_pool(cv, n, &w);
}

const char *
hb_floats_global_pool(const hb_node *n)
{
	int rank = n->in[0]->shape.rank;

	return rank != 3 && rank != 4 ? "a pool over other than one or two dimensions" : NULL;
}

/* The window is the whole image. */
static hb_status
whole_window(hb_convert *cv, const hb_node *n, window *w)
{
	const hb_shape *x = &n->in[0]->shape;

	if (hb_floats_global_pool(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_global_pool(n));
	*w = (window){ .ns = x->rank - 2, .strides = { 1, 1 } };
	for (int i = 0; i < w->ns; i++)
		w->kernel[i] = x->dim[2 + i];
	return HB_OK;
}

hb_status
hb_to_fx_global_max_pool(hb_convert *cv, hb_node *n)
{
	window w;

	HB_TRY(whole_window(cv, n, &w));
	return max_pool(cv, n, &w);
}

hb_status
hb_to_fx_global_average_pool(hb_convert *cv, hb_node *n)
{
	window w;

	HB_TRY(whole_window(cv, n, &w));
	return average_pool(cv, n, &w);
}

/* ---- reductions ---- */

/* Axes from input 1 or the attribute; none: all, or nothing where noop_with_empty_axes says so. */
static bool
axes_of(hb_convert *cv, const hb_node *n, int64_t *axes, size_t *count)
{
	const int64_t *v = hb_fx_list(cv, n, 1, "axes", count);
	int rank = n->in[0]->shape.rank;

	if (!v || !*count) {
		*count = hb_attr_i(n, "noop_with_empty_axes", 0) ? 0 : (size_t)rank;
		for (int i = 0; i < rank; i++)
			axes[i] = i;
		return true;
	}
	if (*count > (size_t)rank)
		return false;
	for (size_t i = 0; i < *count; i++)
		axes[i] = v[i] < 0 ? v[i] + rank : v[i];
	return true;
}

/* A sum at ratio s_in / (s_out * cells, for a mean), or a greatest or least element. */
static hb_status
reduction(hb_convert *cv, hb_node *n, const char *fn, bool mean)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *t = hb_group_out(n), *y;
	bool sum = !strcmp(fn, "sum");
	int64_t axes[HB_MAX_RANK], cells_ = 1;
	size_t count;
	int32_t qmin, qmax;
	hb_node *k;

	if (!x)
		return HB_ERR_NOMEM;
	if (!axes_of(cv, n, axes, &count))
		return HB_FX_REFUSE(cv, n, "its axes are not known");
	y = sum ? hb_convert_out(cv, t) : hb_fx_moved(cv, n, t, &x->q);
	if (!y)
		return HB_ERR_NOMEM;
	hb_fx_limits(n, &y->q, cv->round, &qmin, &qmax);
	if (!count)
		return hb_fx_cast(cv, n, x, y, qmin, qmax);
	for (size_t i = 0; i < count; i++)
		cells_ *= mean ? x->shape.dim[axes[i]] : 1;
	k = hb_fx_node(cv, n, "Reduce", y, 1, &x);
	if (!k || !hb_attr_set_s(cv->to, k, "fn", fn) || !hb_attr_set_ints(cv->to, k, "axes", axes, count) ||
	    !hb_attr_set_i(cv->to, k, "keepdims", hb_attr_i(n, "keepdims", 1)) || (sum && !hb_fx_set_clamp(cv, k, qmin, qmax)))
		return HB_ERR_NOMEM;
	if (sum)
		HB_TRY(hb_fx_set_ratio(cv, n, k, "m", "e", (double)x->q.scale / y->q.scale / (double)cells_));
	HB_TRY(hb_fx_done(cv, k));
	return hb_fx_settle(cv, n, y, t);
}

hb_status
hb_to_fx_reduce_mean(hb_convert *cv, hb_node *n)
{
	return reduction(cv, n, "sum", true);
}

hb_status
hb_to_fx_reduce_sum(hb_convert *cv, hb_node *n)
{
	return reduction(cv, n, "sum", false);
}

hb_status
hb_to_fx_reduce_max(hb_convert *cv, hb_node *n)
{
	return reduction(cv, n, "max", false);
}

hb_status
hb_to_fx_reduce_min(hb_convert *cv, hb_node *n)
{
	return reduction(cv, n, "min", false);
}

const char *
hb_floats_arg(const hb_node *n)
{
	return hb_attr_i(n, "select_last_index", 0) ? "the last of equal elements" : NULL;
}

static hb_status
index_of(hb_convert *cv, hb_node *n, const char *fn)
{
	hb_tensor *x = hb_convert_in(cv, n, n->in[0]), *y = x ? hb_convert_out(cv, n->out[0]) : NULL;
	hb_node *k = hb_fx_node(cv, n, "Reduce", y, 1, &x);
	int64_t axis = hb_attr_i(n, "axis", 0);

	if (!k)
		return HB_ERR_NOMEM;
	if (hb_floats_arg(n))
		return HB_FX_REFUSE(cv, n, "no fixed-point form: %s", hb_floats_arg(n));
	axis += axis < 0 ? x->shape.rank : 0;
	if (!hb_attr_set_s(cv->to, k, "fn", fn) || !hb_attr_set_ints(cv->to, k, "axes", &axis, 1) ||
	    !hb_attr_set_i(cv->to, k, "keepdims", hb_attr_i(n, "keepdims", 1)))
		return HB_ERR_NOMEM;
	return hb_fx_done(cv, k);
}

hb_status
hb_to_fx_arg_max(hb_convert *cv, hb_node *n)
{
	return index_of(cv, n, "argmax");
}

hb_status
hb_to_fx_arg_min(hb_convert *cv, hb_node *n)
{
	return index_of(cv, n, "argmin");
}
