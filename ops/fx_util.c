/* fx_util.c: see fx_util.h. */
#include "ops/fx_util.h"

hb_status
hb_fx_int(hb_graph *g, const hb_node *n, const char *name, int64_t dflt, int64_t lo, int64_t hi, int32_t *out)
{
	int64_t v = hb_attr_i(n, name, dflt);

	if (v < lo || v > hi)
		return HB_FX_BAD(g, n, "%s is %lld; it must be in %lld..%lld", name, (long long)v, (long long)lo, (long long)hi);
	*out = (int32_t)v;
	return HB_OK;
}

hb_status
hb_fx_ints(hb_graph *g, const hb_node *n, const char *name, int count, int64_t dflt, int64_t lo, int64_t hi, int64_t *out)
{
	size_t have = 0;
	const int64_t *v = hb_attr_ints(n, name, &have);

	if (v && have != (size_t)count)
		return HB_FX_BAD(g, n, "%s has %zu numbers; it must have %d", name, have, count);
	for (int i = 0; i < count; i++) {
		out[i] = v ? v[i] : dflt;
		if (out[i] < lo || out[i] > hi)
			return HB_FX_BAD(g, n, "%s has %lld; it must be in %lld..%lld", name, (long long)out[i], (long long)lo, (long long)hi);
	}
	return HB_OK;
}

hb_status
hb_fx_fn(hb_graph *g, const hb_node *n, const hb_fn *fns, int count, int32_t *out)
{
	const char *name = hb_attr_s(n, "fn", "");

	for (int i = 0; i < count; i++)
		if (!strcmp(name, hb_fn_name(fns[i]))) {
			*out = fns[i];
			return HB_OK;
		}
	return HB_FX_BAD(g, n, "fn is '%s', which %s does not have", name, n->op_type);
}

hb_status
hb_fx_to(hb_graph *g, const hb_node *n, uint32_t types, hb_dtype *out)
{
	*out = n->in[0]->dtype;
	if (hb_attr_find(n, "to"))
		*out = hb_onnx_dtype(hb_attr_i(n, "to", 0));
	if (!(types & HB_BIT(*out)))
		return HB_FX_BAD(g, n, "its output would be %s, which %s does not yield", hb_dtype_name(*out), n->op_type);
	return HB_OK;
}

hb_status
hb_fx_clamp(hb_graph *g, const hb_node *n, hb_dtype dt, int32_t *qmin, int32_t *qmax)
{
	HB_TRY(hb_fx_int(g, n, "qmin", hb_qmin(dt), hb_qmin(dt), hb_qmax(dt), qmin));
	return hb_fx_int(g, n, "qmax", hb_qmax(dt), *qmin, hb_qmax(dt), qmax);
}

hb_status
hb_fx_mult(hb_graph *g, const hb_node *n, const char *m, const char *e, int32_t *out_m, int32_t *out_e)
{
	HB_TRY(hb_fx_int(g, n, m, 1 << 30, 0, INT32_MAX, out_m));
	return hb_fx_int(g, n, e, 1, -39, 24, out_e);
}

static bool
fits(hb_dtype dt, const hb_shape *s)
{
	int64_t bytes = (int64_t)hb_dtype_size(dt);

	for (int i = 0; i < s->rank; i++)
		if (!hb_mul64(bytes, s->dim[i], &bytes) || bytes > INT32_MAX)
			return false;
	return bytes > 0;
}

hb_status
hb_fx_out(hb_graph *g, hb_node *n, hb_dtype dt, const hb_shape *s)
{
	char text[HB_SHAPE_TEXT];

	if (!fits(dt, s))
		return HB_FX_BAD(g, n, "its output would be %s; a fixed-point tensor has 1 to 2^31 - 1 bytes", hb_shape_text(s, text));
	for (int i = 0; i < n->nin; i++)
		if (n->in[i] && !fits(n->in[i]->dtype, &n->in[i]->shape))
			return HB_FX_BAD(g, n, "input %d is %s; a fixed-point tensor has 1 to 2^31 - 1 bytes", i, hb_shape_text(&n->in[i]->shape, text));
	return hb_set_out(g, n, 0, dt, s);
}

hb_status
hb_fx_rec(hb_graph *g, hb_node *n, int i, int64_t channels)
{
	hb_tensor *t = n->in[i];
	const int32_t *rec;

	if (t->dtype != HB_I32 || t->shape.rank != 2 || t->shape.dim[0] != channels || t->shape.dim[1] != 4)
		return HB_FX_BAD(g, n, "records '%s' are not int32 [%lld, 4]", t->name, (long long)channels);
	if (!t->is_const)
		return hb_need_const(g, n, i);
	rec = hb_tensor_data(g, t);
	if (!rec)
		return HB_ERR_NOMEM;
	for (int64_t c = 0; c < channels; c++, rec += 4)
		for (int k = 0; k < 2; k++) {
			int32_t m = rec[1 + k], e = (rec[3] >> (8 * k) & 255) - 64;

			if (m < 0 || (m > 0 && (e < -39 || e > 24)))
				return HB_FX_BAD(g, n, "the record of channel %lld has multiplier %d, exponent %d; they must be 0..2^31 - 1, -39..24",
						 (long long)c, m, e);
		}
	return HB_OK;
}

hb_view
hb_fx_view(hb_dtype dt, int rank, const int64_t *dim)
{
	hb_view v = { .space = HB_HEAP, .dtype = dt, .rank = rank };
	uint32_t stride = (uint32_t)hb_dtype_size(dt);

	for (int d = rank - 1; d >= 0; d--) {
		v.ext[d] = (uint32_t)dim[d];
		v.stride[d] = stride;
		stride *= v.ext[d];
	}
	return v;
}

hb_view
hb_fx_image(hb_dtype dt, int64_t c, int64_t h, int64_t w)
{
	uint32_t size = (uint32_t)hb_dtype_size(dt);

	return (hb_view){
		.space = HB_HEAP, .dtype = dt, .rank = 3,
		.ext = { (uint32_t)h, (uint32_t)w, (uint32_t)c },
		.stride = { (uint32_t)w * size, size, (uint32_t)(h * w) * size },
	};
}

size_t
hb_fx_scratch(const hb_insn *i, int jobs)
{
	hb_ctx cx = { .jobs = jobs };

	return hb_kernel_scratch(&cx, i);
}

void
hb_fx_run(hb_ctx *cx, hb_insn *i, hb_nd *d, const hb_dtype *dt, uint8_t *const *at)
{
	uint8_t *p[HB_MAX_OPERANDS];
	int64_t c[HB_MAX_RANK] = { 0 };

	hb_nd_merge(d);
	/* a view has 6 dimensions; the ones before are counted through */
	int outer = HB_MAX(d->rank - HB_VIEW_RANK, 0);

	for (int k = 0; k < d->nops; k++) {
		hb_view *v = &i->v[k];

		*v = (hb_view){ .space = HB_HEAP, .dtype = dt[k], .rank = d->rank - outer };
		for (int r = 0; r < v->rank; r++) {
			v->ext[r] = (uint32_t)d->dim[outer + r];
			v->stride[r] = (uint32_t)(d->stride[k][outer + r] * (int64_t)hb_dtype_size(dt[k]));
		}
	}
	i->nv = HB_MAX(i->nv, d->nops);
	for (int k = d->nops; k < i->nv; k++)
		p[k] = at[k];
	for (;;) {
		int r = outer - 1;

		for (int k = 0; k < d->nops; k++) {
			p[k] = at[k];
			for (int q = 0; q < outer; q++)
				p[k] += c[q] * d->stride[k][q] * (int64_t)hb_dtype_size(dt[k]);
		}
		hb_kernel(cx, i, p, NULL);
		while (r >= 0 && ++c[r] == d->dim[r])
			c[r--] = 0;
		if (r < 0)
			break;
	}
}

void
hb_fx_copy(hb_ctx *cx, hb_nd *d, hb_dtype dt, void *out, const void *a)
{
	hb_insn i = { .op = HB_I_copy, .nv = 2 };
	uint8_t *at[2] = { out, (uint8_t *)a };

	hb_fx_run(cx, &i, d, (hb_dtype[]){ dt, dt }, at);
}
