/* conv_transpose.c: ConvTranspose. Outputs whose coordinates have equal residues modulo the strides
 * (a phase) see the same taps, each as an input shifted by a constant: a convolution of stride 1,
 * so each phase is one matrix product on the padded input, spread over the output. */
#include "lib/base/gemm.h"
#include "ops/conv.h"
#include "ops/to_fx.h"
#include "ops/nd.h"

#include <math.h>

typedef struct transposed {
	hb_conv_params p;		/* of three dimensions */
	int64_t batch, group, cin, mout;	/* cin, mout: a group's channels */
	int64_t low[3], ext[3];		/* padding before the input; extents of the padded input */
	int64_t channel;		/* cells of a padded channel */
	int64_t phases[3];
	hb_isa isa;
} transposed;

/* One phase: its taps and results along each dimension. */
typedef struct phase {
	int64_t a[3];
	int64_t first[3], taps[3];	/* taps first, first + period, ... */
	int64_t period[3];
	int64_t count[3];		/* results */
	int64_t k;
	size_t off_bytes, a_bytes;
} phase;

static int64_t
gcd(int64_t a, int64_t b)
{
	return b ? gcd(b, a % b) : a;
}

static void
transposed_init(transposed *t, const hb_node *n, hb_isa isa)
{
	const hb_conv_params *p = n->aux;
	const hb_shape *x = &n->in[0]->shape, *w = &n->in[1]->shape;
	t->isa = isa;
	t->p = hb_conv_three(p);
	t->batch = x->dim[0];
	t->group = p->group;
	t->cin = w->dim[0] / p->group;
	t->mout = w->dim[1];
	t->channel = 1;
	for (int i = 0; i < 3; i++) {
		int64_t s = t->p.strides[i], behind = (t->p.kernel[i] - 1) * t->p.dilations[i] - t->p.begin[i];
		t->low[i] = behind > 0 ? hb_ceil_div(behind, s) : 0;
		t->ext[i] = t->low[i] + (t->p.out[i] - 1 + t->p.begin[i]) / s + 1;
		t->phases[i] = HB_MIN(s, t->p.out[i]);
		t->channel *= t->ext[i];
	}
}

static phase
phase_of(const transposed *t, int64_t index)
{
	phase ph = { .k = t->cin };
	for (int i = 2; i >= 0; i--) {
		int64_t s = t->p.strides[i], d = t->p.dilations[i];
		int64_t a = ph.a[i] = index % t->phases[i];
		index /= t->phases[i];
		ph.period[i] = s / gcd(s, d);
		ph.count[i] = hb_ceil_div(t->p.out[i] - a, s);
		int64_t limit = HB_MIN(ph.period[i], t->p.kernel[i]);
		while (ph.first[i] < limit && (a + t->p.begin[i] + ph.first[i] * (s - d % s)) % s)
			ph.first[i]++;
		ph.taps[i] = ph.first[i] < limit ? hb_ceil_div(t->p.kernel[i] - ph.first[i], ph.period[i]) : 0;
		ph.k *= ph.taps[i];
	}
	ph.off_bytes = (size_t)hb_round_up(ph.k * 8, 64);
	ph.a_bytes = hb_gemm_a_bytes(t->isa, t->mout, ph.k);
	return ph;
}

static int64_t
phase_count(const transposed *t)
{
	return t->phases[0] * t->phases[1] * t->phases[2];
}

/* Per phase: where each weight finds its input cell, then the packed weights of each group. */
static size_t
packed_bytes(const transposed *t)
{
	size_t bytes = 0;
	for (int64_t i = 0; i < phase_count(t); i++) {
		phase ph = phase_of(t, i);
		bytes += ph.off_bytes + ph.a_bytes * (size_t)t->group;
	}
	return bytes;
}

/* For each weight of the phase, channels outermost: in a group's weights, or in the padded input. */
static void
list_taps(const transposed *t, const phase *ph, bool weights, int64_t *to)
{
	const hb_conv_params *p = &t->p;
	int64_t taps = p->kernel[0] * p->kernel[1] * p->kernel[2];
	for (int64_t c = 0; c < t->cin; c++)
		for (int64_t i = 0; i < ph->taps[0]; i++)
			for (int64_t j = 0; j < ph->taps[1]; j++)
				for (int64_t l = 0; l < ph->taps[2]; l++) {
					int64_t v[3] = { i, j, l }, k = 0, at = 0;
					for (int d = 0; d < 3; d++) {
						int64_t tap = ph->first[d] + v[d] * ph->period[d];
						int64_t shift = (ph->a[d] + p->begin[d] - tap * p->dilations[d]) / p->strides[d];
						k = k * p->kernel[d] + tap;
						at = at * t->ext[d] + shift + t->low[d];
					}
					*to++ = weights ? c * t->mout * taps + k : c * t->channel + at;
				}
}

static void
pack_phases(const transposed *t, const float *w, uint8_t *to)
{
	int64_t taps = t->p.kernel[0] * t->p.kernel[1] * t->p.kernel[2];
	for (int64_t i = 0; i < phase_count(t); i++) {
		phase ph = phase_of(t, i);
		int64_t *off = (int64_t *)(void *)to;
		to += ph.off_bytes;
		list_taps(t, &ph, true, off);
		for (int64_t g = 0; g < t->group; g++, to += ph.a_bytes)
			hb_gemm_pack_a_at(t->isa, w + g * t->cin * t->mout * taps, taps, off, t->mout, ph.k,
					  (float *)(void *)to);
		list_taps(t, &ph, false, off);
	}
}

/* Bytes of the padded input of one sample. */
static size_t
image_bytes(const transposed *t)
{
	return (size_t)hb_round_up(t->group * t->cin * t->channel * 4, 64);
}

static size_t
scratch_transposed(const hb_node *n, int jobs)
{
	size_t most = 0;
	(void)jobs;
	for (hb_isa isa = HB_ISA_SCALAR; isa <= HB_ISA_AVX512; isa++) {
		transposed t;
		transposed_init(&t, n, isa);
		int64_t result = t.mout * hb_ceil_div(t.p.out[1], t.p.strides[1]) * hb_ceil_div(t.p.out[2], t.p.strides[2]);
		size_t bytes = image_bytes(&t) + (size_t)hb_round_up(result * 4, 64) +
			       (n->in[1]->is_const ? 0 : packed_bytes(&t));
		most = HB_MAX(most, bytes);
	}
	return most;
}

static size_t
pack_bytes_transposed(hb_graph *g, hb_node *n)
{
	transposed t;
	transposed_init(&t, n, g->cx->isa);
	return n->in[1]->is_const ? packed_bytes(&t) : 0;
}

static void
pack_transposed(hb_graph *g, hb_node *n, void *to)
{
	transposed t;
	transposed_init(&t, n, g->cx->isa);
	pack_phases(&t, hb_tensor_data(g, n->in[1]), to);
}

typedef struct fill {
	const transposed *t;
	const float *x;
	float *to;
} fill;

static void
fill_channels(void *arg, int64_t begin, int64_t end, int worker)
{
	const fill *f = arg;
	const transposed *t = f->t;
	const int64_t *in = t->p.in, *low = t->low, *ext = t->ext;
	(void)worker;
	int64_t n = HB_MIN(in[2], ext[2] - low[2]);
	for (int64_t c = begin; c < end; c++) {
		float *to = f->to + c * t->channel;
		memset(to, 0, (size_t)t->channel * 4);
		for (int64_t z = 0; z < HB_MIN(in[0], ext[0] - low[0]); z++)
			for (int64_t y = 0; n > 0 && y < HB_MIN(in[1], ext[1] - low[1]); y++)
				memcpy(to + ((z + low[0]) * ext[1] + y + low[1]) * ext[2] + low[2],
				       f->x + ((c * in[0] + z) * in[1] + y) * in[2], (size_t)n * 4);
	}
}

/* The results of one depth slice of a phase, m rows of count[1] x count[2], to their places. */
static void
spread(const transposed *t, const phase *ph, const float *from, float *y, int64_t depth)
{
	const hb_conv_params *p = &t->p;
	int64_t s = p->strides[2];
	for (int64_t m = 0; m < t->mout; m++)
		for (int64_t q = 0; q < ph->count[1]; q++) {
			float *to = y + ((m * p->out[0] + depth) * p->out[1] + ph->a[1] + q * p->strides[1]) * p->out[2] + ph->a[2];
			for (int64_t i = 0; i < ph->count[2]; i++)
				to[i * s] = *from++;
		}
}

static void
run_phase(const hb_call *c, const transposed *t, const phase *ph, const uint8_t *packed, const float *image,
	  const float *bias, float *y, float *result)
{
	const hb_conv_params *p = &t->p;
	int64_t cells = p->out[0] * p->out[1] * p->out[2];
	for (int64_t g = 0; g < t->group; g++)
		for (int64_t q = 0; q < ph->count[0]; q++) {
			hb_gemm m = {
				.m = t->mout, .n = (ph->count[1] - 1) * t->ext[2] + ph->count[2], .k = ph->k,
				.a = (const float *)(const void *)(packed + ph->off_bytes + (size_t)g * ph->a_bytes),
				.b = image + g * t->cin * t->channel + q * t->ext[1] * t->ext[2],
				.off = (const int64_t *)(const void *)packed, .bias = bias ? bias + g * t->mout : NULL,
				.lo = -INFINITY, .hi = INFINITY, .c = result, .ldc = ph->count[1] * ph->count[2],
				.pitch = t->ext[2], .width = ph->count[2],
			};
			hb_gemm_run(c->cx, &m);
			spread(t, ph, result, y + g * t->mout * cells, ph->a[0] + q * p->strides[0]);
		}
}

static void
run_transposed(const hb_call *c)
{
	const hb_val *x = c->in[0], *b = hb_call_in(c, 2), *y = c->out[0];
	transposed t;
	if (!hb_shape_elems(&y->shape))
		return;
	transposed_init(&t, c->n, c->cx->isa);
	float *image = c->scratch;
	uint8_t *at = (uint8_t *)c->scratch + image_bytes(&t);
	const uint8_t *packed = c->packed;
	if (!c->n->in[1]->is_const) {
		pack_phases(&t, c->in[1]->data, at);
		packed = at;
		at += packed_bytes(&t);
	}
	int64_t xs = hb_shape_elems(&x->shape) / t.batch, ys = hb_shape_elems(&y->shape) / t.batch;
	for (int64_t i = 0; i < t.batch; i++) {
		fill f = { &t, (const float *)x->data + i * xs, image };
		hb_parallel(c->cx, t.group * t.cin, 4, fill_channels, &f);
		const uint8_t *from = packed;
		for (int64_t k = 0; k < phase_count(&t); k++) {
			phase ph = phase_of(&t, k);
			run_phase(c, &t, &ph, from, image, b ? b->data : NULL, (float *)y->data + i * ys,
				  (float *)(void *)at);
			from += ph.off_bytes + ph.a_bytes * (size_t)t.group;
		}
	}
}

/* ---- shape ---- */

static const hb_attr_row transposed_rows[] = {
	{ .name = "auto_pad", .type = HB_ATTR_STRING },
	{ .name = "dilations", .type = HB_ATTR_INTS },
	{ .name = "group", .type = HB_ATTR_INT },
	{ .name = "kernel_shape", .type = HB_ATTR_INTS },
	{ .name = "output_padding", .type = HB_ATTR_INTS },
	{ .name = "output_shape", .type = HB_ATTR_INTS },
	{ .name = "pads", .type = HB_ATTR_INTS },
	{ .name = "strides", .type = HB_ATTR_INTS },
	{ 0 },
};

/* Extents of the output: given, or what stride and kernel make of the input. */
static hb_status
resolve(hb_graph *g, hb_node *n, hb_conv_params *p)
{
	const hb_shape *x = &n->in[0]->shape, *w = &n->in[1]->shape;
	size_t count = 0;
	const int64_t *given = hb_attr_ints(n, "output_shape", &count);
	hb_auto_pad how = HB_PAD_NOTSET;
	if (given && count != (size_t)p->nsp && count != (size_t)x->rank)
		return HB_BAD(g, n, "output_shape has %zu values; it must have %d", count, p->nsp);
	HB_TRY(hb_auto_pad_of(g, n, &how));
	for (int i = 0; i < p->nsp; i++) {
		int64_t in = p->in[i] = x->dim[2 + i], s = p->strides[i];
		p->kernel[i] = w->dim[2 + i];
		if (in > HB_EXTENT_MAX || p->kernel[i] > HB_EXTENT_MAX)
			return HB_BAD(g, n, "an extent is above %d", HB_EXTENT_MAX);
		if (in < 1)
			return HB_BAD(g, n, "input has no cells in spatial dimension %d", i);
		int64_t full = s * (in - 1) + p->output_padding[i] + (p->kernel[i] - 1) * p->dilations[i] + 1;
		bool same = how == HB_PAD_SAME_UPPER || how == HB_PAD_SAME_LOWER;
		if (given || same) {
			p->out[i] = given ? given[count - (size_t)p->nsp + (size_t)i] : in * s;
			int64_t total = HB_MAX(full - p->out[i], 0);
			p->begin[i] = how == HB_PAD_SAME_UPPER ? total / 2 : total - total / 2;
			p->end[i] = total - p->begin[i];
		} else {
			if (how == HB_PAD_VALID)
				p->begin[i] = p->end[i] = 0;
			p->out[i] = full - p->begin[i] - p->end[i];
		}
		if (p->out[i] < 1 || p->out[i] > HB_EXTENT_MAX)
			return HB_BAD(g, n, "the output would have %lld cells in spatial dimension %d", (long long)p->out[i], i);
	}
	return HB_OK;
}

static hb_status
shape_transposed(hb_graph *g, hb_node *n)
{
	hb_conv_params *p = HB_AUX(g, n, hb_conv_params);
	int64_t m = 0, cells = 1;
	if (!p)
		return hb_nomem(g->cx, n->name);
	HB_TRY(hb_conv_weights(g, n, p, &m));
	HB_TRY(hb_window_lists(g, n, p));
	HB_TRY(resolve(g, n, p));
	transposed t;
	transposed_init(&t, n, g->cx->isa);
	for (int i = 0; i < 3; i++)
		if (!hb_mul64(cells, t.ext[i], &cells) || cells > INT64_C(1) << 40)
			return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "window", "the padded input is above 2^40 elements a channel");
	return hb_conv_out(g, n, p, m);
}

/* Each input cell meets each weight of its channel. */
static int64_t
macs_transposed(const hb_node *n)
{
	const hb_shape *w = &n->in[1]->shape;
	return hb_tensor_elems(n->in[0]) * hb_shape_span(w, 1, w->rank);
}

const hb_op hb_op_conv_transpose = {
	.name = "ConvTranspose", .since = 1, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = transposed_rows, .types = HB_BIT(HB_F32),
	.shape = shape_transposed, .scratch = scratch_transposed, .pack_bytes = pack_bytes_transposed,
	.pack = pack_transposed, .run = run_transposed, .role = HB_ROLE_OWN,
	.convert = hb_to_fx_conv_transpose, .floats = hb_floats_conv, .macs = macs_transposed,
};
