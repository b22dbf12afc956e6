/* fx_conv.c: Conv, Linear, MatMul on whole tensors by the conv instruction; ConvTranspose by its definition. */
#include "ops/fx_util.h"
#include "ops/lower.h"

enum { SIDE_MAX = 65535, STEP_MAX = 65535 };	/* what the instruction takes */

/* Geometry of Conv and ConvTranspose; rank 3 is one row. */
typedef struct geometry {
	int64_t n, c, h, w, o, oh, ow;
	int64_t kh, kw, sh, sw, dh, dw, pt, pl;
	int64_t groups;
	int32_t qmin, qmax;
} geometry;

#define ROW_TO { "to", HB_ATTR_INT, false, 0, 0 }
#define ROW_CLAMP { "qmin", HB_ATTR_INT, false, 0, 0 }, { "qmax", HB_ATTR_INT, false, 0, 0 }
#define ROWS_WINDOW                                                                                     \
	{ "strides", HB_ATTR_INTS, false, 0, 0 }, { "pads", HB_ATTR_INTS, false, 0, 0 },                \
	{ "dilations", HB_ATTR_INTS, false, 0, 0 }, { "group", HB_ATTR_INT, false, 0, 0 }

static hb_status
conv_shape_of(hb_graph *g, hb_node *n, bool transposed)
{
	const hb_shape *x = &n->in[0]->shape, *w = &n->in[1]->shape;
	int ns = x->rank - 2;
	int64_t s[2], d[2], p[4], extra[2];
	int32_t groups;
	geometry *a = HB_AUX(g, n, geometry);
	hb_shape out = *x;
	hb_dtype dt;

	if (!a)
		return HB_ERR_NOMEM;
	if ((ns != 1 && ns != 2) || w->rank != x->rank)
		return HB_FX_BAD(g, n, "input has rank %d and weights %d; both must be 3 or 4", x->rank, w->rank);
	HB_TRY(hb_fx_ints(g, n, "strides", ns, 1, 1, STEP_MAX, s));
	HB_TRY(hb_fx_ints(g, n, "dilations", ns, 1, 1, STEP_MAX, d));
	HB_TRY(hb_fx_ints(g, n, "pads", 2 * ns, 0, 0, STEP_MAX, p));
	if (transposed)
		HB_TRY(hb_fx_ints(g, n, "output_padding", ns, 0, 0, STEP_MAX, extra));
	HB_TRY(hb_fx_int(g, n, "group", 1, 1, INT32_MAX, &groups));

	int64_t c = x->dim[1], o = transposed ? 0 : w->dim[0];
	if (transposed ? w->dim[0] != c || c % groups || !hb_mul64(w->dim[1], groups, &o) :
			 c % groups || w->dim[1] != c / groups || o % groups)
		return HB_FX_BAD(g, n, "channels %lld, weights %lld x %lld and group %d disagree", (long long)c, (long long)w->dim[0],
				 (long long)w->dim[1], groups);
	out.dim[1] = o;
	for (int i = 0; i < ns; i++) {
		int64_t k = w->dim[2 + i], in = x->dim[2 + i], reach = (k - 1) * d[i] + 1;

		if (k < 1 || k > SIDE_MAX)
			return HB_FX_BAD(g, n, "the kernel is %lld long; it must be 1..%d", (long long)k, SIDE_MAX);
		out.dim[2 + i] = transposed ? (in - 1) * s[i] + extra[i] + reach - p[i] - p[ns + i] :
					      in + p[i] + p[ns + i] < reach ? 0 : (in + p[i] + p[ns + i] - reach) / s[i] + 1;
		if (out.dim[2 + i] < 1 || out.dim[2 + i] > INT32_MAX)
			return HB_FX_BAD(g, n, "the output would be %lld long", (long long)out.dim[2 + i]);
	}
	HB_TRY(hb_fx_to(g, n, HB_BIT(HB_I8) | HB_BIT(HB_I16) | HB_BIT(HB_I32), &dt));
	*a = (geometry){
		.n = x->dim[0], .c = c, .h = ns == 2 ? x->dim[2] : 1, .w = x->dim[x->rank - 1],
		.o = o, .oh = ns == 2 ? out.dim[2] : 1, .ow = out.dim[x->rank - 1],
		.kh = ns == 2 ? w->dim[2] : 1, .kw = w->dim[x->rank - 1],
		.sh = ns == 2 ? s[0] : 1, .sw = s[ns - 1], .dh = ns == 2 ? d[0] : 1, .dw = d[ns - 1],
		.pt = ns == 2 ? p[0] : 0, .pl = p[ns - 1], .groups = groups,
	};
	HB_TRY(hb_fx_clamp(g, n, dt, &a->qmin, &a->qmax));
	HB_TRY(hb_fx_rec(g, n, 2, o));
	HB_TRY(hb_fx_out(g, n, dt, &out));
	if (hb_in(n, 3) && !hb_shape_eq(&n->in[3]->shape, &out))
		return HB_FX_BAD(g, n, "the addend '%s' has another shape than the output", n->in[3]->name);
	return HB_OK;
}

static hb_status
shape_conv(hb_graph *g, hb_node *n)
{
	return conv_shape_of(g, n, false);
}

/* Every tensor as rows, columns, channels with channels innermost. */
static hb_insn
conv_insn(const hb_node *n)
{
	const geometry *a = n->aux;
	hb_insn i = { .op = HB_I_conv, .engine = HB_M0, .nv = hb_in(n, 3) ? 5 : 4 };

	i.v[0] = hb_fx_view(n->out[0]->dtype, 3, (int64_t[]){ a->oh, a->ow, a->o });
	i.v[1] = hb_fx_view(n->in[0]->dtype, 3, (int64_t[]){ a->h, a->w, a->c });
	i.v[2] = hb_fx_view(n->in[1]->dtype, 4, (int64_t[]){ a->o, a->kh, a->kw, a->c / a->groups });
	i.v[3] = hb_fx_view(HB_I32, 2, (int64_t[]){ a->o, 4 });
	if (i.nv == 5)
		i.v[4] = hb_fx_view(n->in[3]->dtype, 3, (int64_t[]){ a->oh, a->ow, a->o });
	i.imm[HB_IMM_conv_sh] = (int32_t)a->sh;
	i.imm[HB_IMM_conv_sw] = (int32_t)a->sw;
	i.imm[HB_IMM_conv_dh] = (int32_t)a->dh;
	i.imm[HB_IMM_conv_dw] = (int32_t)a->dw;
	i.imm[HB_IMM_conv_pt] = (int32_t)a->pt;
	i.imm[HB_IMM_conv_pl] = (int32_t)a->pl;
	i.imm[HB_IMM_conv_groups] = (int32_t)a->groups;
	i.imm[HB_IMM_conv_qmin] = a->qmin;
	i.imm[HB_IMM_conv_qmax] = a->qmax;
	return i;
}

/* Bytes of input k (-1: the output) for one image. */
static size_t
image_bytes(const hb_node *n, int k)
{
	const geometry *a = n->aux;
	const hb_tensor *t = k < 0 ? n->out[0] : hb_in(n, k);
	int64_t elems = k == 0 ? a->c * a->h * a->w : a->o * a->oh * a->ow;

	return t ? (size_t)(elems * (int64_t)hb_dtype_size(t->dtype)) : 0;
}

static size_t
held_bytes(const hb_node *n, int k)
{
	return (size_t)hb_round_up((int64_t)image_bytes(n, k), 64);
}

static size_t
weight_bytes(const hb_node *n)
{
	return (size_t)hb_round_up((int64_t)hb_tensor_bytes(n->in[1]), 64);
}

static size_t
scratch_conv(const hb_node *n, int jobs)
{
	hb_insn i = conv_insn(n);

	return held_bytes(n, -1) + held_bytes(n, 0) + held_bytes(n, 3) + weight_bytes(n) + hb_fx_scratch(&i, jobs);
}

/* [outer, channels, pixels] to [outer, pixels, channels]. */
static void
channels_last(hb_ctx *cx, hb_dtype dt, int64_t outer, int64_t channels, int64_t pixels, void *to, const void *from)
{
	hb_nd d;
	hb_shape s = { .rank = 3, .dim = { outer, pixels, channels } };

	hb_nd_init(&d, &s);
	hb_nd_add(&d, &s);
	hb_nd_add_strides(&d, (int64_t[]){ channels * pixels, 1, pixels });
	hb_fx_copy(cx, &d, dt, to, from);
}

static void
weights_last(hb_ctx *cx, const hb_node *n, void *to, const void *from)
{
	const geometry *a = n->aux;

	channels_last(cx, n->in[1]->dtype, a->o, a->c / a->groups, a->kh * a->kw, to, from);
}

/* Packed: the weights with channels innermost, then what the kernel makes of them. */
static size_t
pack_bytes_conv(hb_graph *g, hb_node *n)
{
	hb_insn i = conv_insn(n);

	/* contents are read here, where that may fail */
	bool there = n->in[1]->is_const && n->in[2]->is_const && hb_tensor_data(g, n->in[1]) && hb_tensor_data(g, n->in[2]);

	return there ? weight_bytes(n) + hb_kernel_conv_pack_bytes(g->cx, &i) : 0;
}

static void
pack_conv(hb_graph *g, hb_node *n, void *to)
{
	hb_insn i = conv_insn(n);
	const void *w = hb_tensor_data(g, n->in[1]), *rec = hb_tensor_data(g, n->in[2]);

	if (!w || !rec)
		return;
	weights_last(g->cx, n, to, w);
	if (hb_kernel_conv_pack_bytes(g->cx, &i))
		hb_kernel_conv_pack(g->cx, &i, (uint8_t *[]){ NULL, NULL, to, (uint8_t *)(uintptr_t)rec }, (uint8_t *)to + weight_bytes(n));
}

static void
run_conv(const hb_call *c)
{
	const geometry *a = c->n->aux;
	hb_insn i = conv_insn(c->n);
	uint8_t *out = c->scratch, *image = out + held_bytes(c->n, -1), *more = image + held_bytes(c->n, 0);
	uint8_t *weights = more + held_bytes(c->n, 3), *rest = weights + weight_bytes(c->n);
	const hb_val *x = c->in[0], *add = hb_call_in(c, 3), *y = c->out[0];
	const uint8_t *packed = c->packed;
	bool panels = packed && hb_kernel_conv_pack_bytes(c->cx, &i);

	if (!packed)
		weights_last(c->cx, c->n, weights, c->in[1]->data);
	for (int64_t b = 0; b < a->n; b++) {
		uint8_t *at[5] = { out, image, packed ? (uint8_t *)(uintptr_t)packed : weights, c->in[2]->data, more };

		channels_last(c->cx, x->dtype, 1, a->c, a->h * a->w, image, (const uint8_t *)x->data + (size_t)b * image_bytes(c->n, 0));
		if (add)
			channels_last(c->cx, add->dtype, 1, a->o, a->oh * a->ow, more, (const uint8_t *)add->data + (size_t)b * image_bytes(c->n, 3));
		hb_kernel_conv_run(c->cx, &i, at, panels ? packed + weight_bytes(c->n) : NULL, rest);
		channels_last(c->cx, y->dtype, 1, a->oh * a->ow, a->o, (uint8_t *)y->data + (size_t)b * image_bytes(c->n, -1), out);
	}
}

static int64_t
macs_conv(const hb_node *n)
{
	const geometry *a = n->aux;

	return a->n * a->o * a->oh * a->ow * a->kh * a->kw * (a->c / a->groups);
}

static const hb_attr_row conv_rows[] = { ROWS_WINDOW, ROW_TO, ROW_CLAMP, { 0 } };

const hb_op hb_op_fx_conv = {
	.name = "Conv", .domain = "hbcc", .since = 1, .min_in = 3, .max_in = 4, .min_out = 1, .max_out = 1,
	.attrs = conv_rows, .types = HB_BIT(HB_I8) | HB_BIT(HB_U8) | HB_BIT(HB_I16),
	.in_types = { 0, HB_BIT(HB_I8), HB_BIT(HB_I32), HB_BIT(HB_I8) | HB_BIT(HB_I16) | HB_BIT(HB_I32) },
	.shape = shape_conv, .scratch = scratch_conv, .pack_bytes = pack_bytes_conv, .pack = pack_conv, .run = run_conv, .macs = macs_conv,
	.sched = &hb_sched_conv,
};

/* ---- ConvTranspose: each input pixel spreads over its outputs ---- */

static hb_status
shape_conv_transpose(hb_graph *g, hb_node *n)
{
	return conv_shape_of(g, n, true);
}

static size_t
scratch_conv_transpose(const hb_node *n, int jobs)
{
	const geometry *a = n->aux;

	return (size_t)(a->ow * jobs) * sizeof(int32_t);
}

/* Columns of input whose tap kx falls on an output column: [*from, *to). */
static void
columns(const geometry *a, int64_t kx, int64_t *from, int64_t *to)
{
	int64_t shift = kx * a->dw - a->pl;		/* ox = ix * sw + shift */

	*from = shift < 0 ? hb_ceil_div(-shift, a->sw) : 0;
	*to = a->ow - 1 < shift ? 0 : HB_MIN(a->w, (a->ow - 1 - shift) / a->sw + 1);
}

static void
transpose_row(const hb_call *c, int64_t b, int64_t o, int64_t oy, uint32_t *acc)
{
	const geometry *a = c->n->aux;
	int64_t icg = a->c / a->groups, ocg = a->o / a->groups, grp = o / ocg;
	const int8_t *w = c->in[1]->data;
	const hb_val *x = c->in[0];
	bool wide = x->dtype == HB_I16;

	memset(acc, 0, (size_t)a->ow * sizeof(*acc));
	for (int64_t ky = 0; ky < a->kh; ky++) {
		int64_t y = oy + a->pt - ky * a->dh;

		if (y < 0 || y % a->sh || y / a->sh >= a->h)
			continue;
		for (int64_t i = grp * icg; i < (grp + 1) * icg; i++) {
			int64_t row = ((b * a->c + i) * a->h + y / a->sh) * a->w;

			for (int64_t kx = 0; kx < a->kw; kx++) {
				int32_t k = w[((i * ocg + o % ocg) * a->kh + ky) * a->kw + kx];
				int64_t from, to;

				columns(a, kx, &from, &to);
				if (from >= to)
					continue;
				uint32_t *at = acc + from * a->sw + kx * a->dw - a->pl;
				for (int64_t ix = from; ix < to; ix++, at += a->sw) {
					int32_t v = wide ? ((const int16_t *)x->data)[row + ix] :
						    x->dtype == HB_U8 ? ((const uint8_t *)x->data)[row + ix] :
									((const int8_t *)x->data)[row + ix];

					*at += (uint32_t)(v * k);
				}
			}
		}
	}
}

static void
conv_transpose_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const hb_call *c = arg;
	const geometry *a = c->n->aux;
	uint32_t *acc = (uint32_t *)c->scratch + worker * a->ow;
	const int32_t *recs = c->in[2]->data;
	const hb_val *y = c->out[0];

	for (int64_t r = begin; r < end; r++) {
		int64_t oy = r % a->oh, o = r / a->oh % a->o, b = r / a->oh / a->o;
		const int32_t *rec = recs + o * 4;
		hb_mult m = { rec[1], (rec[3] & 255) - 64 };

		transpose_row(c, b, o, oy, acc);
		for (int64_t x = 0; x < a->ow; x++) {
			int64_t v = hb_requant((int32_t)(acc[x] + (uint32_t)rec[0]), m), at = r * a->ow + x;

			v = HB_MIN(HB_MAX(v, a->qmin), a->qmax);
			if (y->dtype == HB_I8)
				((int8_t *)y->data)[at] = (int8_t)v;
			else if (y->dtype == HB_I16)
				((int16_t *)y->data)[at] = (int16_t)v;
			else
				((int32_t *)y->data)[at] = (int32_t)v;
		}
	}
}

static void
run_conv_transpose(const hb_call *c)
{
	const geometry *a = c->n->aux;

	hb_parallel(c->cx, a->n * a->o * a->oh, 1, conv_transpose_some, (void *)c);
}

static int64_t
macs_conv_transpose(const hb_node *n)
{
	const geometry *a = n->aux;

	return a->n * a->c * a->h * a->w * a->kh * a->kw * (a->o / a->groups);
}

static const hb_attr_row conv_transpose_rows[] = {
	ROWS_WINDOW, { "output_padding", HB_ATTR_INTS, false, 0, 0 }, ROW_TO, ROW_CLAMP, { 0 },
};

const hb_op hb_op_fx_conv_transpose = {
	.name = "ConvTranspose", .domain = "hbcc", .since = 1, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = conv_transpose_rows, .types = HB_BIT(HB_I8) | HB_BIT(HB_U8) | HB_BIT(HB_I16),
	.in_types = { 0, HB_BIT(HB_I8), HB_BIT(HB_I32) },
	.shape = shape_conv_transpose, .scratch = scratch_conv_transpose, .run = run_conv_transpose, .macs = macs_conv_transpose,
	.sched = &hb_sched_conv_transpose,
};

/* ---- Linear: pixels are rows of X ---- */

typedef struct linear {
	int64_t rows, k, o;
	int32_t qmin, qmax;
} linear;

static hb_status
shape_linear(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *w = &n->in[1]->shape;
	linear *a = HB_AUX(g, n, linear);
	hb_shape out = *x;
	hb_dtype dt;

	if (!a)
		return HB_ERR_NOMEM;
	if (x->rank < 1 || w->rank != 2 || w->dim[1] != x->dim[x->rank - 1])
		return HB_FX_BAD(g, n, "weights '%s' are not [outputs, inputs]", n->in[1]->name);
	HB_TRY(hb_fx_to(g, n, HB_BIT(HB_I8) | HB_BIT(HB_I16) | HB_BIT(HB_I32), &dt));
	HB_TRY(hb_fx_clamp(g, n, dt, &a->qmin, &a->qmax));
	a->k = w->dim[1];
	a->o = w->dim[0];
	a->rows = hb_shape_span(x, 0, x->rank - 1);
	out.dim[x->rank - 1] = a->o;
	HB_TRY(hb_fx_rec(g, n, 2, a->o));
	HB_TRY(hb_fx_out(g, n, dt, &out));
	if (hb_in(n, 3) && !hb_shape_eq(&n->in[3]->shape, &out))
		return HB_FX_BAD(g, n, "the addend '%s' has another shape than the output", n->in[3]->name);
	return HB_OK;
}

/* out [rows, 1, o] of a [rows, 1, k] and w [o, 1, 1, k]. */
static hb_insn
product_insn(hb_dtype out, hb_dtype x, hb_dtype w, int64_t rows, int64_t k, int64_t o, int32_t qmin, int32_t qmax)
{
	hb_insn i = { .op = HB_I_conv, .engine = HB_M0, .nv = 4 };

	i.v[0] = hb_fx_view(out, 3, (int64_t[]){ rows, 1, o });
	i.v[1] = hb_fx_view(x, 3, (int64_t[]){ rows, 1, k });
	i.v[2] = hb_fx_view(w, 4, (int64_t[]){ o, 1, 1, k });
	i.v[3] = hb_fx_view(HB_I32, 2, (int64_t[]){ o, 4 });
	i.imm[HB_IMM_conv_sh] = i.imm[HB_IMM_conv_sw] = i.imm[HB_IMM_conv_dh] = i.imm[HB_IMM_conv_dw] = 1;
	i.imm[HB_IMM_conv_groups] = 1;
	i.imm[HB_IMM_conv_qmin] = qmin;
	i.imm[HB_IMM_conv_qmax] = qmax;
	return i;
}

static hb_insn
linear_insn(const hb_node *n)
{
	const linear *a = n->aux;
	hb_insn i = product_insn(n->out[0]->dtype, n->in[0]->dtype, HB_I8, a->rows, a->k, a->o, a->qmin, a->qmax);

	if (hb_in(n, 3)) {
		i.v[4] = hb_fx_view(n->in[3]->dtype, 3, (int64_t[]){ a->rows, 1, a->o });
		i.nv = 5;
	}
	return i;
}

static size_t
scratch_linear(const hb_node *n, int jobs)
{
	hb_insn i = linear_insn(n);

	return hb_fx_scratch(&i, jobs);
}

static size_t
pack_bytes_linear(hb_graph *g, hb_node *n)
{
	hb_insn i = linear_insn(n);
	bool there = n->in[1]->is_const && n->in[2]->is_const && hb_tensor_data(g, n->in[1]) && hb_tensor_data(g, n->in[2]);

	return there ? hb_kernel_conv_pack_bytes(g->cx, &i) : 0;
}

static void
pack_linear(hb_graph *g, hb_node *n, void *to)
{
	hb_insn i = linear_insn(n);
	const void *w = hb_tensor_data(g, n->in[1]), *rec = hb_tensor_data(g, n->in[2]);

	if (w && rec)
		hb_kernel_conv_pack(g->cx, &i, (uint8_t *[]){ NULL, NULL, (uint8_t *)(uintptr_t)w, (uint8_t *)(uintptr_t)rec }, to);
}

static void
run_linear(const hb_call *c)
{
	hb_insn i = linear_insn(c->n);
	const hb_val *add = hb_call_in(c, 3);
	uint8_t *at[5] = { c->out[0]->data, c->in[0]->data, c->in[1]->data, c->in[2]->data, add ? add->data : NULL };

	hb_kernel_conv_run(c->cx, &i, at, c->packed, c->scratch);
}

static int64_t
macs_linear(const hb_node *n)
{
	const linear *a = n->aux;

	return a->rows * a->k * a->o;
}

static const hb_attr_row linear_rows[] = { ROW_TO, ROW_CLAMP, { 0 } };

const hb_op hb_op_fx_linear = {
	.name = "Linear", .domain = "hbcc", .since = 1, .min_in = 3, .max_in = 4, .min_out = 1, .max_out = 1,
	.attrs = linear_rows, .types = HB_BIT(HB_I8) | HB_BIT(HB_U8) | HB_BIT(HB_I16),
	.in_types = { 0, HB_BIT(HB_I8), HB_BIT(HB_I32), HB_BIT(HB_I8) | HB_BIT(HB_I16) | HB_BIT(HB_I32) },
	.shape = shape_linear, .scratch = scratch_linear, .pack_bytes = pack_bytes_linear, .pack = pack_linear, .run = run_linear, .macs = macs_linear,
	.sched = &hb_sched_linear,
};

/* ---- MatMul: B's columns are the weights ---- */

typedef struct matmul {
	int64_t m, k, n;
	hb_shape batch;			/* of the output, without its last two dimensions */
	int32_t mult, e, qmin, qmax;
} matmul;

static hb_status
shape_matmul(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *w = &n->in[1]->shape;
	matmul *a = HB_AUX(g, n, matmul);
	hb_shape bx = *x, bw = *w, out;
	hb_dtype dt;

	if (!a)
		return HB_ERR_NOMEM;
	if (x->rank < 2 || w->rank < 2 || x->dim[x->rank - 1] != w->dim[w->rank - 2])
		return HB_FX_BAD(g, n, "operands are not [.., M, K] and [.., K, N]");
	bx.rank -= 2;
	bw.rank -= 2;
	if (!hb_shape_broadcast(&bx, &bw, &a->batch))
		return HB_FX_BAD(g, n, "batches do not broadcast");
	a->m = x->dim[x->rank - 2];
	a->k = x->dim[x->rank - 1];
	a->n = w->dim[w->rank - 1];
	out = a->batch;
	out.dim[out.rank++] = a->m;
	out.dim[out.rank++] = a->n;
	HB_TRY(hb_fx_to(g, n, HB_BIT(HB_I8) | HB_BIT(HB_I16) | HB_BIT(HB_I32), &dt));
	HB_TRY(hb_fx_clamp(g, n, dt, &a->qmin, &a->qmax));
	HB_TRY(hb_fx_mult(g, n, "m", "e", &a->mult, &a->e));
	return hb_fx_out(g, n, dt, &out);
}

static hb_insn
matmul_insn(const hb_node *n)
{
	const matmul *a = n->aux;
	hb_insn i = product_insn(n->out[0]->dtype, n->in[0]->dtype, n->in[1]->dtype, a->m, a->k, a->n, a->qmin, a->qmax);
	uint32_t size = (uint32_t)hb_dtype_size(n->in[1]->dtype);

	i.v[2].stride[0] = size;
	for (int d = 1; d < 4; d++)
		i.v[2].stride[d] = size * (uint32_t)a->n;
	i.v[3].stride[0] = 0;
	return i;
}

static size_t
scratch_matmul(const hb_node *n, int jobs)
{
	hb_insn i = matmul_insn(n);

	return hb_fx_scratch(&i, jobs);
}

static void
run_matmul(const hb_call *c)
{
	const matmul *a = c->n->aux;
	hb_insn i = matmul_insn(c->n);
	int32_t rec[4] = { 0, a->mult, 0, (a->e + 64) | 64 << 8 };
	hb_nd d;
	hb_shape bx = c->in[0]->shape, bw = c->in[1]->shape;
	int64_t size[3], dims[3] = { a->m * a->n, a->m * a->k, a->k * a->n };
	uint8_t *base[3] = { c->out[0]->data, c->in[0]->data, c->in[1]->data };

	bx.rank -= 2;
	bw.rank -= 2;
	hb_nd_init(&d, &a->batch);
	hb_nd_add(&d, &a->batch);
	hb_nd_add(&d, &bx);
	hb_nd_add(&d, &bw);
	for (int k = 0; k < 3; k++)
		size[k] = dims[k] * (int64_t)hb_dtype_size(i.v[k].dtype);
	for (int64_t b = 0, all = hb_shape_elems(&a->batch); b < all; b++) {
		int64_t at[HB_MAX_RANK] = { 0 };
		uint8_t *p[4] = { base[0], base[1], base[2], (uint8_t *)rec };

		hb_coords(&a->batch, b, at);
		for (int k = 0; k < 3; k++)
			for (int r = 0; r < d.rank; r++)
				p[k] += at[r] * d.stride[k][r] * size[k];
		hb_kernel(c->cx, &i, p, c->scratch);
	}
}

static int64_t
macs_matmul(const hb_node *n)
{
	const matmul *a = n->aux;

	return hb_shape_elems(&a->batch) * a->m * a->k * a->n;
}

static const hb_attr_row matmul_rows[] = {
	{ "m", HB_ATTR_INT, false, 0, 0 }, { "e", HB_ATTR_INT, false, 0, 0 }, ROW_TO, ROW_CLAMP, { 0 },
};

const hb_op hb_op_fx_matmul = {
	.name = "MatMul", .domain = "hbcc", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = matmul_rows, .types = HB_BIT(HB_I8) | HB_BIT(HB_I16),
	.shape = shape_matmul, .scratch = scratch_matmul, .run = run_matmul, .macs = macs_matmul,
	.sched = &hb_sched_matmul,
};
