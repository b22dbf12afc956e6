/* kernel: every instruction against loops that follow insn.def word by word, over random views:
 * rings, gaps, repeats, all types, every vector width, one thread and several. */
#include "lib/quant/quant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

__extension__ typedef __int128 wide;

static uint64_t state_;

static uint64_t
next(void)
{
	state_ ^= state_ << 13;
	state_ ^= state_ >> 7;
	state_ ^= state_ << 17;
	return state_;
}

static int32_t
range(int32_t lo, int32_t hi)
{
	return (int32_t)((int64_t)lo + (int64_t)(next() % (uint64_t)((int64_t)hi - lo + 1)));
}

/* ---- an operand: a view and memory of its own ---- */

typedef struct operand {
	hb_view v;
	uint8_t *mem;			/* what `at` points to is mem + v.base */
	size_t bytes;
} operand;

static void
make(operand *o, hb_dtype dt, int rank, const uint32_t *ext, bool ring, bool repeats)
{
	uint32_t size = (uint32_t)hb_dtype_size(dt), step = size;

	o->v = (hb_view){ .space = HB_S0, .dtype = dt, .rank = rank };
	/* dimensions in random order of memory, with gaps */
	int order[HB_VIEW_RANK];
	for (int d = 0; d < rank; d++)
		order[d] = d;
	if (next() % 3 == 0)
		for (int d = rank - 1; d > 0; d--) {
			int k = range(0, d), t = order[d];

			order[d] = order[k];
			order[k] = t;
		}
	uint32_t slots = ext[0];
	if (ring) {
		o->v.ring_rows = slots = ext[0] + (uint32_t)range(0, 3);
		o->v.ring_first = (uint32_t)range(0, (int32_t)slots - 1);
	}
	for (int d = rank - 1; d >= 0; d--) {
		int at = order[d];

		o->v.ext[at] = ext[at];
		if (repeats && at && next() % 3 == 0) {
			o->v.stride[at] = 0;
			continue;
		}
		o->v.stride[at] = step;
		step *= at ? ext[at] : slots;
		if (next() % 4 == 0)
			step += size * (uint32_t)range(1, 5);
	}
	o->bytes = step;
	o->mem = malloc(o->bytes);
	for (size_t i = 0; i < o->bytes; i++)
		o->mem[i] = (uint8_t)(dt == HB_BOOL ? next() & 1 : next());
}

static uint8_t *
place(const operand *o, const uint32_t *c)
{
	size_t at = 0;

	for (int d = 0; d < o->v.rank; d++)
		at += (size_t)(d == 0 && o->v.ring_rows ? (o->v.ring_first + c[0]) % o->v.ring_rows : c[d]) * o->v.stride[d];
	return o->mem + at;
}

static int64_t
get(const operand *o, const uint32_t *c)
{
	const uint8_t *p = place(o, c);
	int16_t h;
	int32_t w;
	int64_t l;

	switch (o->v.dtype) {
	case HB_I8:
		return (int8_t)*p;
	case HB_U8:
		return *p;
	case HB_BOOL:
		return *p != 0;
	case HB_I16:
		memcpy(&h, p, 2);
		return h;
	case HB_I32:
		memcpy(&w, p, 4);
		return w;
	default:
		memcpy(&l, p, 8);
		return l;
	}
}

static void
put(operand *o, const uint32_t *c, int64_t v)
{
	memcpy(place(o, c), &v, hb_dtype_size(o->v.dtype));
}

static int64_t
q(int64_t v, int32_t m, int32_t e)
{
	wide y = ((wide)v * m + ((wide)1 << (30 - e))) >> (31 - e);

	return y > INT64_MAX ? INT64_MAX : y < INT64_MIN ? INT64_MIN : (int64_t)y;
}

static int64_t
clamp(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* Next coordinate of a box; false after the last. */
static bool
step(const hb_view *v, uint32_t *c)
{
	for (int d = v->rank - 1; d >= 0; d--) {
		if (++c[d] < v->ext[d])
			return true;
		c[d] = 0;
	}
	return false;
}

/* Runs i on copies of the operands at every width, and holds operand `out` against `want` in every byte. */
static void
hold(const char *what, uint64_t seed, hb_insn *i, operand *o, int nv, const operand *want, int out)
{
	for (int isa = 0; isa <= (int)hb_isa_best(); isa++) {
		hb_options opt = { .jobs = 1 + isa, .isa = (hb_isa)isa };
		hb_ctx *cx = hb_ctx_new(&opt);
		uint8_t *at[HB_MAX_OPERANDS];
		size_t need;
		void *scratch;

		i->nv = nv;
		for (int k = 0; k < nv; k++) {
			i->v[k] = o[k].v;
			at[k] = malloc(o[k].bytes);
			memcpy(at[k], o[k].mem, o[k].bytes);
		}
		need = hb_kernel_scratch(cx, i);
		scratch = aligned_alloc(64, (need + 127) / 64 * 64);
		memset(scratch, 0xa5, (need + 127) / 64 * 64);
		hb_kernel(cx, i, at, scratch);
		if (memcmp(at[out], want->mem, want->bytes))
			fail_msg("%s: seed %llu, width %d", what, (unsigned long long)seed, isa);
		for (int k = 0; k < nv; k++)
			free(at[k]);
		free(scratch);
		hb_ctx_free(cx);
	}
}

static operand
copy_of(const operand *o)
{
	operand c = *o;

	c.mem = malloc(o->bytes);
	memcpy(c.mem, o->mem, o->bytes);
	return c;
}

static void
release(operand *o, int n)
{
	for (int k = 0; k < n; k++)
		free(o[k].mem);
}

typedef void trial(uint64_t seed);

static void
repeat(const char *name, trial *t, int times)
{
	print_message("%s: seeds 1..%d\n", name, times);
	for (int s = 1; s <= times; s++) {
		state_ = (uint64_t)s * UINT64_C(0x9e3779b97f4a7c15);
		t((uint64_t)s);
	}
}

static hb_dtype
some_type(const hb_dtype *list, int n)
{
	return list[range(0, n - 1)];
}

static const hb_dtype acts[] = { HB_I8, HB_I16, HB_U8 }, numbers[] = { HB_I8, HB_I16, HB_I32, HB_U8, HB_BOOL };

static void
limits(hb_dtype dt, int32_t *lo, int32_t *hi)
{
	*lo = hb_qmin(dt);
	*hi = hb_qmax(dt);
	if (next() % 2 && dt != HB_BOOL)
		*lo = range(*lo / 2, 0);
	if (next() % 3 == 0 && dt != HB_BOOL)
		*hi = range(1, *hi);
}

static void
mult(int32_t *m, int32_t *e, int lo, int hi)
{
	*m = (int32_t)((1u << 30) | (next() & 0x3fffffff));
	*e = range(lo, hi);
}

/* ---- conv ---- */

static void
conv_trial(uint64_t seed)
{
	operand o[5], want;
	hb_insn i = { .op = HB_I_conv, .engine = HB_M0 };
	int32_t *im = i.imm;
	bool depth = next() % 4 == 0, pixel = next() % 5 == 0, add = next() % 3 == 0, dense = next() % 3 == 0;
	uint32_t groups = depth ? (uint32_t)range(2, 40) : next() % 3 ? 1 : (uint32_t)range(1, 4);
	uint32_t icg = depth ? 1 : (uint32_t)range(1, 20), ocg = depth ? 1 : (uint32_t)range(1, 37);
	uint32_t kh = (uint32_t)range(1, 4), kw = (uint32_t)range(1, 4), oc = groups * ocg;
	uint32_t rows = pixel ? 1 : (uint32_t)range(1, 6), cols = pixel ? 1 : (uint32_t)range(1, 14);
	hb_dtype wt = next() % 6 == 0 ? HB_I16 : HB_I8, xt = some_type(acts, 3);
	static const hb_dtype outs[] = { HB_I8, HB_I16, HB_I32 };
	hb_dtype ot = some_type(outs, 3);

	im[HB_IMM_conv_sh] = range(1, 3);
	im[HB_IMM_conv_sw] = range(1, 3);
	im[HB_IMM_conv_dh] = range(1, 2);
	im[HB_IMM_conv_dw] = range(1, 3);
	im[HB_IMM_conv_pt] = range(0, 2);
	im[HB_IMM_conv_pl] = range(0, 2);
	im[HB_IMM_conv_groups] = (int32_t)groups;
	limits(ot, &im[HB_IMM_conv_qmin], &im[HB_IMM_conv_qmax]);
	make(&o[0], ot, 3, (uint32_t[]){ rows, cols, oc }, next() % 2, false);
	make(&o[1], xt, 3, (uint32_t[]){ (uint32_t)range(1, 9), (uint32_t)range(1, 20), groups * icg }, next() % 2, false);
	make(&o[2], wt, 4, (uint32_t[]){ oc, kh, kw, icg }, false, false);
	if (dense) {
		uint32_t size = (uint32_t)hb_dtype_size(wt);

		o[2].v.stride[3] = size;
		o[2].v.stride[2] = size * icg;
		o[2].v.stride[1] = size * icg * kw;
		o[2].v.stride[0] = size * icg * kw * kh;
	}
	make(&o[3], HB_I32, 2, (uint32_t[]){ oc, 4 }, false, false);
	for (uint32_t c = 0; c < oc; c++) {
		int32_t m, e, ma, ea;

		mult(&m, &e, ot == HB_I32 ? -4 : -18, 1);
		mult(&ma, &ea, -10, 4);
		put(&o[3], (uint32_t[]){ c, 0 }, range(-100000, 100000));
		put(&o[3], (uint32_t[]){ c, 1 }, m);
		put(&o[3], (uint32_t[]){ c, 2 }, ma);
		put(&o[3], (uint32_t[]){ c, 3 }, (e + 64) | (ea + 64) << 8);
	}
	if (add)
		make(&o[4], some_type(outs, 3), 3, (uint32_t[]){ rows, cols, oc }, next() % 2, true);
	want = copy_of(&o[0]);
	uint32_t c[3] = { 0 };
	do {
		uint32_t g = c[2] / ocg;
		int64_t rec[4], acc;
		for (uint32_t k = 0; k < 4; k++)
			rec[k] = get(&o[3], (uint32_t[]){ c[2], k });
		acc = rec[0];
		for (uint32_t ky = 0; ky < kh; ky++)
			for (uint32_t kx = 0; kx < kw; kx++)
				for (uint32_t ic = 0; ic < icg; ic++) {
					int64_t y = (int64_t)c[0] * im[HB_IMM_conv_sh] - im[HB_IMM_conv_pt] + (int64_t)ky * im[HB_IMM_conv_dh];
					int64_t x = (int64_t)c[1] * im[HB_IMM_conv_sw] - im[HB_IMM_conv_pl] + (int64_t)kx * im[HB_IMM_conv_dw];

					if (y >= 0 && y < o[1].v.ext[0] && x >= 0 && x < o[1].v.ext[1])
						acc += get(&o[1], (uint32_t[]){ (uint32_t)y, (uint32_t)x, g * icg + ic }) *
						       get(&o[2], (uint32_t[]){ c[2], ky, kx, ic });
				}
		if (add)
			acc += q(get(&o[4], c), (int32_t)rec[2], (int32_t)(rec[3] >> 8) - 64);
		if (wt == HB_I8)
			acc = (int32_t)(uint32_t)acc;
		put(&want, c, clamp(q(acc, (int32_t)rec[1], (int32_t)(rec[3] & 255) - 64), im[HB_IMM_conv_qmin], im[HB_IMM_conv_qmax]));
	} while (step(&want.v, c));
	hold("conv", seed, &i, o, add ? 5 : 4, &want, 0);
	release(o, add ? 5 : 4);
	release(&want, 1);
}

static void
conv_of_random_shapes(void **state)
{
	(void)state;
	repeat("conv", conv_trial, 400);
}

/* ---- ew ---- */

static void
ew_trial(uint64_t seed)
{
	static const hb_fn fns[] = {
		HB_FN_add, HB_FN_mul, HB_FN_max, HB_FN_min, HB_FN_lt, HB_FN_le, HB_FN_eq, HB_FN_select, HB_FN_abs, HB_FN_cast,
		HB_FN_div,
	};
	operand o[4], want;
	hb_insn i = { .op = HB_I_ew, .engine = HB_V0 };
	int32_t *im = i.imm;
	hb_fn fn = fns[range(0, 10)];
	int rank = range(1, 6), nin = fn == HB_FN_select ? 3 : fn == HB_FN_abs || fn == HB_FN_cast ? 1 : 2;
	bool compares = fn == HB_FN_lt || fn == HB_FN_le || fn == HB_FN_eq;
	uint32_t ext[6], c[6] = { 0 };
	hb_dtype ot = compares ? HB_BOOL : some_type(numbers, 4);

	for (int d = 0; d < rank; d++)
		ext[d] = (uint32_t)range(1, rank > 3 ? 4 : rank > 1 ? 40 : 9000);
	if (nin > 1 && next() % 3 == 0)
		nin--;			/* the number instead */
	im[HB_IMM_ew_fn] = fn;
	mult(&im[HB_IMM_ew_ma], &im[HB_IMM_ew_ea], -8, 6);
	mult(&im[HB_IMM_ew_mb], &im[HB_IMM_ew_eb], -8, 6);
	if (fn == HB_FN_add) {
		im[HB_IMM_ew_ma] = range(-(1 << 30), 1 << 30);
		im[HB_IMM_ew_mb] = range(-(1 << 30), 1 << 30);
	}
	im[HB_IMM_ew_shift] = range(1, 40);
	im[HB_IMM_ew_value] = range(-200, 200);
	limits(ot, &im[HB_IMM_ew_qmin], &im[HB_IMM_ew_qmax]);
	make(&o[0], ot, rank, ext, next() % 2, false);
	for (int k = 1; k <= nin; k++)
		make(&o[k], some_type(numbers, 5), rank, ext, next() % 2, true);
	want = copy_of(&o[0]);
	do {
		int64_t v[3] = { im[HB_IMM_ew_value], im[HB_IMM_ew_value], im[HB_IMM_ew_value] }, y = 0, lo = im[HB_IMM_ew_qmin], hi = im[HB_IMM_ew_qmax];
		for (int k = 0; k < nin; k++)
			v[k] = get(&o[k + 1], c);
		int64_t a = q(v[0], im[HB_IMM_ew_ma], im[HB_IMM_ew_ea]), b = q(v[1], im[HB_IMM_ew_mb], im[HB_IMM_ew_eb]);
		switch (fn) {
		case HB_FN_add:
			y = (v[0] * im[HB_IMM_ew_ma] + v[1] * im[HB_IMM_ew_mb] + ((int64_t)1 << (im[HB_IMM_ew_shift] - 1))) >> im[HB_IMM_ew_shift];
			break;
		case HB_FN_mul:
			y = q(v[0] * v[1], im[HB_IMM_ew_ma], im[HB_IMM_ew_ea]);
			break;
		case HB_FN_div: {	/* floor(x + 1/2) of x = n / d, d > 0 */
			wide n = (wide)v[0] * im[HB_IMM_ew_ma] * 2, d = (wide)v[1] * ((wide)2 << (31 - im[HB_IMM_ew_ea]));

			n = d < 0 ? -n : n;
			d = d < 0 ? -d : d;
			n += d / 2;
			y = !d ? (v[0] > 0 ? hi : v[0] < 0 ? lo : 0) : (int64_t)(n >= 0 ? n / d : -((-n + d - 1) / d));
			break;
		}
		case HB_FN_max:
		case HB_FN_min:
			a = clamp(a, lo, hi);
			b = clamp(b, lo, hi);
			y = fn == HB_FN_max ? (a > b ? a : b) : a < b ? a : b;
			break;
		case HB_FN_lt:
			y = a < b;
			break;
		case HB_FN_le:
			y = a <= b;
			break;
		case HB_FN_eq:
			y = a == b;
			break;
		case HB_FN_select:
			y = v[0] ? q(v[1], im[HB_IMM_ew_ma], im[HB_IMM_ew_ea]) : q(v[2], im[HB_IMM_ew_mb], im[HB_IMM_ew_eb]);
			break;
		case HB_FN_abs:
			y = a < 0 ? -a : a;
			break;
		default:
			y = a;
			break;
		}
		put(&want, c, clamp(y, lo, hi));
	} while (step(&want.v, c));
	hold(hb_fn_name(fn), seed, &i, o, nin + 1, &want, 0);
	release(o, nin + 1);
	release(&want, 1);
}

static void
ew_of_random_shapes(void **state)
{
	(void)state;
	repeat("ew", ew_trial, 600);
}

/* ---- copy, fill ---- */

static void
copy_trial(uint64_t seed)
{
	operand o[3], want;
	hb_insn i = { .op = HB_I_copy, .engine = HB_V0 };
	int rank = range(1, 6), mode = range(0, 2);
	uint32_t ext[6], ext_in[6], c[6] = { 0 };
	hb_dtype dt = next() % 8 ? some_type(numbers, 5) : HB_I64;

	for (int d = 0; d < rank; d++)
		ext[d] = ext_in[d] = (uint32_t)range(1, rank > 3 ? 5 : rank > 1 ? 40 : 20000);
	if (mode)
		ext_in[0] = (uint32_t)range(1, 9);
	make(&o[0], dt, rank, ext, next() % 2, false);
	make(&o[1], dt, rank, ext_in, next() % 2, true);
	i.imm[HB_IMM_copy_mode] = mode;
	if (mode) {
		uint32_t n = mode == 1 ? ext[0] : ext_in[0], top = mode == 1 ? ext_in[0] : ext[0];

		make(&o[2], HB_I32, 1, &n, next() % 2, false);
		for (uint32_t k = 0; k < n; k++)
			put(&o[2], &k, range(-1, (int32_t)top));
	}
	want = copy_of(&o[0]);
	const hb_view *box = mode == 2 ? &o[1].v : &want.v;
	do {
		uint32_t to[6], from[6];

		memcpy(to, c, sizeof(to));
		memcpy(from, c, sizeof(from));
		if (mode == 1)
			from[0] = (uint32_t)clamp(get(&o[2], c), 0, (int64_t)ext_in[0] - 1);
		if (mode == 2)
			to[0] = (uint32_t)clamp(get(&o[2], c), 0, (int64_t)ext[0] - 1);
		memcpy(place(&want, to), place(&o[1], from), hb_dtype_size(dt));
	} while (step(box, c));
	hold("copy", seed, &i, o, mode ? 3 : 2, &want, 0);
	release(o, mode ? 3 : 2);
	release(&want, 1);
}

static void
copies_gathers_and_scatters(void **state)
{
	(void)state;
	repeat("copy", copy_trial, 500);
}

static void
fill_trial(uint64_t seed)
{
	operand o[1], want;
	hb_insn i = { .op = HB_I_fill, .engine = HB_V0 };
	int rank = range(1, 6);
	uint32_t ext[6], c[6] = { 0 };

	for (int d = 0; d < rank; d++)
		ext[d] = (uint32_t)range(1, rank > 3 ? 5 : 30);
	make(&o[0], some_type(numbers, 5), rank, ext, next() % 2, false);
	i.imm[HB_IMM_fill_value] = range(hb_qmin(o[0].v.dtype), hb_qmax(o[0].v.dtype));
	want = copy_of(&o[0]);
	do {
		put(&want, c, i.imm[HB_IMM_fill_value]);
	} while (step(&want.v, c));
	hold("fill", seed, &i, o, 1, &want, 0);
	release(o, 1);
	release(&want, 1);
}

static void
fills_touch_nothing_but_their_view(void **state)
{
	(void)state;
	repeat("fill", fill_trial, 100);
}

/* ---- reduce ---- */

static void
reduce_trial(uint64_t seed)
{
	static const hb_fn fns[] = { HB_FN_max, HB_FN_min, HB_FN_sum, HB_FN_sumsq, HB_FN_argmax, HB_FN_argmin };
	operand o[2], want;
	hb_insn i = { .op = HB_I_reduce, .engine = HB_V0 };
	int32_t *im = i.imm;
	hb_fn fn = fns[range(0, 5)];
	uint32_t ch = (uint32_t)range(1, next() % 4 ? 20 : 300), c[3] = { 0 };
	hb_dtype at = some_type(numbers, 4), ot = fn == HB_FN_max || fn == HB_FN_min ? at : fn < HB_FN_argmax ? some_type(numbers, 3) : HB_I32;
	bool greatest = fn == HB_FN_max || fn == HB_FN_argmax;

	im[HB_IMM_reduce_fn] = fn;
	im[HB_IMM_reduce_kh] = range(1, 4);
	im[HB_IMM_reduce_kw] = range(1, 4);
	im[HB_IMM_reduce_sh] = range(1, 3);
	im[HB_IMM_reduce_sw] = range(1, 3);
	im[HB_IMM_reduce_pt] = range(0, 5);
	im[HB_IMM_reduce_pl] = range(0, 2);
	mult(&im[HB_IMM_reduce_m], &im[HB_IMM_reduce_e], -20, 1);
	limits(ot, &im[HB_IMM_reduce_qmin], &im[HB_IMM_reduce_qmax]);
	make(&o[0], ot, 3, (uint32_t[]){ (uint32_t)range(1, 5), (uint32_t)range(1, 6), ch }, next() % 2, false);
	make(&o[1], at, 3, (uint32_t[]){ (uint32_t)range(1, 8), (uint32_t)range(1, 9), ch }, next() % 2, false);
	want = copy_of(&o[0]);
	do {
		int64_t acc = 0, best = 0;
		bool any = false;

		for (int32_t ky = 0; ky < im[HB_IMM_reduce_kh]; ky++)
			for (int32_t kx = 0; kx < im[HB_IMM_reduce_kw]; kx++) {
				int64_t y = (int64_t)c[0] * im[HB_IMM_reduce_sh] - im[HB_IMM_reduce_pt] + ky;
				int64_t x = (int64_t)c[1] * im[HB_IMM_reduce_sw] - im[HB_IMM_reduce_pl] + kx;

				if (y < 0 || y >= o[1].v.ext[0] || x < 0 || x >= o[1].v.ext[1])
					continue;
				int64_t v = get(&o[1], (uint32_t[]){ (uint32_t)y, (uint32_t)x, c[2] });
				if (fn == HB_FN_sum)
					acc += v;
				else if (fn == HB_FN_sumsq)
					acc = (int64_t)((uint64_t)acc + (uint64_t)v * (uint64_t)v);
				else if (!any || (greatest ? v > best : v < best)) {
					best = v;
					acc = fn == HB_FN_max || fn == HB_FN_min ? v : ky * im[HB_IMM_reduce_kw] + kx;
				}
				any = true;
			}
		if (fn == HB_FN_sum || fn == HB_FN_sumsq)
			acc = q(acc, im[HB_IMM_reduce_m], im[HB_IMM_reduce_e]);
		if (!any && (fn == HB_FN_max || fn == HB_FN_min))
			acc = fn == HB_FN_max ? im[HB_IMM_reduce_qmin] : im[HB_IMM_reduce_qmax];
		put(&want, c, clamp(acc, im[HB_IMM_reduce_qmin], im[HB_IMM_reduce_qmax]));
	} while (step(&want.v, c));
	hold(hb_fn_name(fn), seed, &i, o, 2, &want, 0);
	release(o, 2);
	release(&want, 1);
}

static void
reduce_of_random_windows(void **state)
{
	(void)state;
	repeat("reduce", reduce_trial, 500);
}

/* ---- lut ---- */

static void
lut_trial(uint64_t seed)
{
	operand o[3], want;
	hb_insn i = { .op = HB_I_lut, .engine = HB_V0 };
	int32_t *im = i.imm;
	bool bytes = next() % 2;
	static const hb_dtype byte_types[] = { HB_I8, HB_U8, HB_BOOL };
	hb_dtype at = bytes ? some_type(byte_types, 3) : next() % 4 ? HB_I16 : HB_I32, ot = some_type(numbers, 4);
	uint32_t ext[2] = { (uint32_t)range(1, 30), (uint32_t)range(1, 50) }, c[2] = { 0 }, nseg = (uint32_t)range(1, 9);
	uint32_t len = bytes ? 256 : nseg * 68, tables = 1;
	int along = bytes ? range(-1, 1) : -1;	/* the dimension that has a table for each index, or none */
	int32_t apart = range(1, 13000);

	im[HB_IMM_lut_kind] = !bytes;
	limits(ot, &im[HB_IMM_lut_qmin], &im[HB_IMM_lut_qmax]);
	make(&o[0], ot, 2, ext, next() % 2, false);
	make(&o[1], at, 2, ext, next() % 2, true);
	o[2].v = (hb_view){ .space = HB_S0, .dtype = bytes ? ot : HB_I32, .rank = 1, .ext = { len } };
	o[2].v.stride[0] = (uint32_t)hb_dtype_size(o[2].v.dtype);
	if (along >= 0) {
		hb_view *t = &o[2].v;

		tables = ext[along];
		*t = (hb_view){ .space = HB_S0, .dtype = ot, .rank = 3, .ext = { ext[0], ext[1], len }, .stride = { [2] = t->stride[0] } };
		t->stride[along] = len * t->stride[2];
	}
	o[2].bytes = len * tables * (uint32_t)hb_dtype_size(o[2].v.dtype);
	o[2].mem = malloc(o[2].bytes);
	for (uint32_t k = 0; k < len * tables; k++) {
		int32_t x = bytes ? range(hb_qmin(ot), hb_qmax(ot)) : range(-8000000, 8000000);

		if (!bytes && k % 68 == 0)
			x = -32768 + (int32_t)(k / 68) * apart;
		if (!bytes && k % 68 == 1)
			x = range(0, 10);
		if (!bytes && k % 68 == 2)
			x = range(1, 12);
		uint32_t to[3] = { along == 0 ? k / len : 0, along == 1 ? k / len : 0, k % len };

		put(&o[2], along < 0 ? &k : to, x);
	}
	want = copy_of(&o[0]);
	do {
		int64_t x = get(&o[1], c), y;

		if (bytes) {
			uint32_t k = (uint32_t)(at == HB_I8 ? x + 128 : x), of[3] = { c[0], c[1], k };

			y = get(&o[2], along < 0 ? &k : of);
		} else {
			uint32_t s = 0, k;
			int64_t sh, fr, d, f;

			while (s + 1 < nseg && get(&o[2], (k = (s + 1) * 68, &k)) <= x)
				s++;
			k = s * 68;
			d = x - get(&o[2], &k);
			k++;
			sh = get(&o[2], &k);
			k++;
			fr = get(&o[2], &k);
			d = clamp(d, 0, ((int64_t)64 << sh) - 1);
			f = d % ((int64_t)1 << sh);
			k += 1 + (uint32_t)(d >> sh);
			int64_t y0 = get(&o[2], &k);
			k++;
			y = (y0 * (((int64_t)1 << sh) - f) + get(&o[2], &k) * f + ((int64_t)1 << (sh + fr - 1))) >> (sh + fr);
		}
		put(&want, c, clamp(y, im[HB_IMM_lut_qmin], im[HB_IMM_lut_qmax]));
	} while (step(&want.v, c));
	hold("lut", seed, &i, o, 3, &want, 0);
	release(o, 3);
	release(&want, 1);
}

static void
lookups_of_bytes_and_segments(void **state)
{
	(void)state;
	repeat("lut", lut_trial, 300);
}

/* ---- sample ---- */

static void
sample_trial(uint64_t seed)
{
	operand o[4], want;
	hb_insn i = { .op = HB_I_sample, .engine = HB_V0 };
	int32_t *im = i.imm;
	uint32_t ch = (uint32_t)range(1, 20), h = (uint32_t)range(1, 9), w = (uint32_t)range(1, 9), c[3] = { 0 };
	uint32_t oh = (uint32_t)range(1, 9), ow = (uint32_t)range(1, 9);
	hb_dtype dt = some_type(numbers, 2);

	im[HB_IMM_sample_mode] = range(0, 1);
	limits(dt, &im[HB_IMM_sample_qmin], &im[HB_IMM_sample_qmax]);
	if (im[HB_IMM_sample_mode] == 0) {
		im[HB_IMM_sample_qmin] = hb_qmin(dt);
		im[HB_IMM_sample_qmax] = hb_qmax(dt);
	}
	make(&o[0], dt, 3, (uint32_t[]){ oh, ow, ch }, next() % 2, false);
	make(&o[1], dt, 3, (uint32_t[]){ h, w, ch }, next() % 2, false);
	for (int k = 2; k < 4; k++) {
		uint32_t n = k == 2 ? oh : ow;

		o[k].v = (hb_view){ .space = HB_S0, .dtype = HB_I32, .rank = 2, .ext = { n, 2 }, .stride = { 8, 4 } };
		o[k].bytes = n * 8;
		o[k].mem = malloc(o[k].bytes);
		for (uint32_t r = 0; r < n; r++) {
			put(&o[k], (uint32_t[]){ r, 0 }, range(0, (int32_t)(k == 2 ? h : w) - 1));
			put(&o[k], (uint32_t[]){ r, 1 }, range(0, 2048));
		}
	}
	want = copy_of(&o[0]);
	do {
		uint32_t r = (uint32_t)get(&o[2], (uint32_t[]){ c[0], 0 }), s = (uint32_t)get(&o[3], (uint32_t[]){ c[1], 0 });
		uint32_t r1 = r + 1 < h ? r + 1 : h - 1, s1 = s + 1 < w ? s + 1 : w - 1;
		int64_t wy = get(&o[2], (uint32_t[]){ c[0], 1 }), wx = get(&o[3], (uint32_t[]){ c[1], 1 }), y;

		y = get(&o[1], (uint32_t[]){ r, s, c[2] });
		if (im[HB_IMM_sample_mode])
			y = (y * (2048 - wx) * (2048 - wy) + get(&o[1], (uint32_t[]){ r, s1, c[2] }) * wx * (2048 - wy) +
			     get(&o[1], (uint32_t[]){ r1, s, c[2] }) * (2048 - wx) * wy + get(&o[1], (uint32_t[]){ r1, s1, c[2] }) * wx * wy +
			     (1 << 21)) >> 22;
		put(&want, c, clamp(y, im[HB_IMM_sample_qmin], im[HB_IMM_sample_qmax]));
	} while (step(&want.v, c));
	hold("sample", seed, &i, o, 4, &want, 0);
	release(o, 4);
	release(&want, 1);
}

/* The element of o[1] at row r, column s, or 0 outside. */
static int64_t
there_or_zero(const operand *a, int64_t r, int64_t s, uint32_t ch)
{
	if (r < 0 || s < 0 || r >= a->v.ext[0] || s >= a->v.ext[1])
		return 0;
	return get(a, (uint32_t[]){ (uint32_t)r, (uint32_t)s, ch });
}

static int64_t
whole_part(int64_t x)
{
	return (x - (x < 0 ? 65535 : 0)) / 65536;
}

/* What lies at place (y, x) of 1/65536, by the definition. */
static int64_t
value_at_place(const operand *a, int64_t y, int64_t x, uint32_t ch, int outside, bool linear, int fraction)
{
	int64_t h = a->v.ext[0], w = a->v.ext[1];

	if (outside == 2 && (y < -65536 || x < -65536 || y > h * 65536 || x > w * 65536))
		return 0;
	if (outside != 1) {
		y = y < 0 ? 0 : y > (h - 1) * 65536 ? (h - 1) * 65536 : y;
		x = x < 0 ? 0 : x > (w - 1) * 65536 ? (w - 1) * 65536 : x;
	}
	int64_t r = whole_part(y), s = whole_part(x), fy = y - r * 65536, fx = x - s * 65536;
	if (!linear) {
		r += fy > 32768 || (fy == 32768 && r % 2);
		s += fx > 32768 || (fx == 32768 && s % 2);
		return there_or_zero(a, r, s, ch);
	}
	int64_t sum = there_or_zero(a, r, s, ch) * (65536 - fy) * (65536 - fx) + there_or_zero(a, r, s + 1, ch) * (65536 - fy) * fx +
		      there_or_zero(a, r + 1, s, ch) * fy * (65536 - fx) + there_or_zero(a, r + 1, s + 1, ch) * fy * fx;
	return (sum + (INT64_C(1) << (31 - fraction))) >> (32 - fraction);
}

static void
places_trial(uint64_t seed)
{
	operand o[4], want;
	hb_insn i = { .op = HB_I_sample, .engine = HB_V0 };
	int32_t *im = i.imm;
	uint32_t ch = (uint32_t)range(1, 20), h = (uint32_t)range(1, 9), w = (uint32_t)range(1, 9), c[3] = { 0 };
	uint32_t oh = (uint32_t)range(1, 9), ow = (uint32_t)range(1, 9);
	hb_dtype dt = some_type(numbers, 3), ot = dt;

	im[HB_IMM_sample_mode] = range(2, 7);
	if (dt == HB_I32)
		im[HB_IMM_sample_mode] &= ~1;
	if (dt == HB_I8 && im[HB_IMM_sample_mode] % 2 && next() % 2)
		ot = HB_I16;
	limits(ot, &im[HB_IMM_sample_qmin], &im[HB_IMM_sample_qmax]);
	make(&o[0], ot, 3, (uint32_t[]){ oh, ow, ch }, next() % 2, false);
	make(&o[1], dt, 3, (uint32_t[]){ h, w, ch }, next() % 2, false);
	for (int k = 2; k < 4; k++) {
		make(&o[k], HB_I32, 2, (uint32_t[]){ oh, ow }, next() % 2, false);
		for (uint32_t r = 0; r < oh * ow; r++) {
			int32_t at = range(-3, 11) * 65536 + (range(0, 2) ? range(0, 65535) : range(0, 2) * 32768);

			put(&o[k], (uint32_t[]){ r / ow, r % ow }, range(0, 50) ? at : range(0, 1) ? INT32_MIN : INT32_MAX);
		}
	}
	want = copy_of(&o[0]);
	do {
		int64_t y = get(&o[2], c), x = get(&o[3], c);

		y = value_at_place(&o[1], y, x, c[2], (im[HB_IMM_sample_mode] - 2) / 2, im[HB_IMM_sample_mode] % 2, ot == dt ? 0 : 8);
		put(&want, c, clamp(y, im[HB_IMM_sample_qmin], im[HB_IMM_sample_qmax]));
	} while (step(&want.v, c));
	hold("sample at places", seed, &i, o, 4, &want, 0);
	release(o, 4);
	release(&want, 1);
}

static void
samples_at_places_of_their_own(void **state)
{
	(void)state;
	repeat("sample at places", places_trial, 300);
}

static void
samples_between_rows_and_columns(void **state)
{
	(void)state;
	repeat("sample", sample_trial, 200);
}

/* ---- rows: softmax against the float function ---- */

static void
softmax_is_within_one_of_the_float_result(void **state)
{
	(void)state;
	print_message("softmax: seeds 1..60\n");
	for (uint64_t seed = 1; seed <= 60; seed++) {
		state_ = seed * 77777;
		operand o[2];
		bool fine = seed % 2;
		hb_dtype dt = fine ? HB_I16 : HB_I8;
		uint32_t n = (uint32_t)range(1, 600), c[2] = { 0 };
		double in = fine ? 0.0004 : 0.09, top = 0, err = 0;
		float out = hb_scale_of(1, dt, false);
		hb_insn i = { .op = HB_I_rows, .engine = HB_V0, .nv = 2 };
		hb_mult m;
		hb_ctx *cx = hb_ctx_new(&(hb_options){ .jobs = 2 });

		i.imm[HB_IMM_rows_fn] = HB_FN_softmax;
		hb_mult_of(in * 1.4426950408889634 * 65536, &m);
		i.imm[HB_IMM_rows_m] = m.m;
		i.imm[HB_IMM_rows_e] = m.e;
		hb_mult_of(1 / (double)out, &m);
		i.imm[HB_IMM_rows_m2] = m.m;
		i.imm[HB_IMM_rows_e2] = m.e;
		i.imm[HB_IMM_rows_qmin] = hb_qmin(dt);
		i.imm[HB_IMM_rows_qmax] = hb_qmax(dt);
		make(&o[0], dt, 2, (uint32_t[]){ 3, n }, next() % 2, false);
		make(&o[1], dt, 2, (uint32_t[]){ 3, n }, next() % 2, false);
		i.v[0] = o[0].v;
		i.v[1] = o[1].v;
		void *scratch = malloc(hb_kernel_scratch(cx, &i));
		hb_kernel(cx, &i, (uint8_t *[]){ o[0].mem, o[1].mem }, scratch);
		for (c[0] = 0; c[0] < 3; c[0]++) {
			double sum = 0;

			top = -1e9;
			for (c[1] = 0; c[1] < n; c[1]++)
				top = fmax(top, (double)get(&o[1], c));
			for (c[1] = 0; c[1] < n; c[1]++)
				sum += exp(((double)get(&o[1], c) - top) * in);
			for (c[1] = 0; c[1] < n; c[1]++) {
				double want = fmin(rint(exp(((double)get(&o[1], c) - top) * in) / sum / out), hb_qmax(dt));

				err = fmax(err, fabs((double)get(&o[0], c) - want));
			}
		}
		assert_true(err <= 1);
		free(scratch);
		release(o, 2);
		hb_ctx_free(cx);
	}
}

/* ---- sort ---- */

static void
sort_trial(uint64_t seed)
{
	operand o[3], want;
	hb_insn i = { .op = HB_I_sort, .engine = HB_V0 };
	uint32_t rows = (uint32_t)range(1, 5), n = (uint32_t)range(1, 60), k = (uint32_t)range(1, (int32_t)n);
	bool largest = next() % 2;
	hb_dtype dt = some_type(numbers, 3);

	i.imm[HB_IMM_sort_k] = (int32_t)k;
	i.imm[HB_IMM_sort_largest] = largest;
	make(&o[0], dt, 2, (uint32_t[]){ rows, k }, next() % 2, false);
	make(&o[1], HB_I32, 2, (uint32_t[]){ rows, k }, next() % 2, false);
	make(&o[2], dt, 2, (uint32_t[]){ rows, n }, next() % 2, false);
	for (uint32_t r = 0; r < rows; r++)
		for (uint32_t j = 0; j < n; j++)
			put(&o[2], (uint32_t[]){ r, j }, range(-9, 9));
	for (int out = 0; out < 2; out++) {
		want = copy_of(&o[out]);
		for (uint32_t r = 0; r < rows; r++)
			for (uint32_t j = 0; j < n; j++) {
				int64_t v = get(&o[2], (uint32_t[]){ r, j });
				uint32_t rank = 0;

				for (uint32_t x = 0; x < n; x++) {
					int64_t u = get(&o[2], (uint32_t[]){ r, x });

					rank += largest ? u > v : u < v;
					rank += u == v && x < j;
				}
				if (rank < k)
					put(&want, (uint32_t[]){ r, rank }, out ? (int64_t)j : v);
			}
		hold("sort", seed, &i, o, 3, &want, out);
		release(&want, 1);
	}
	release(o, 3);
}

static void
sorts_keep_the_order_of_equals(void **state)
{
	(void)state;
	repeat("sort", sort_trial, 100);
}

static void
malformed_exponents_and_indices_do_no_harm(void **state)
{
	hb_ctx *cx = hb_ctx_new(&(hb_options){ .jobs = 1 });
	int32_t rec[4] = { INT32_MIN, INT32_MIN, INT32_MAX, -1 };
	int8_t out[4], a[4] = { -128, 127, 1, 0 }, w[1] = { -128 }, add[4] = { 1, 2, 3, 4 };
	hb_insn i = { .op = HB_I_conv, .engine = HB_M0, .nv = 5, .imm = { 1, 1, 1, 1, 0, 0, 1, -128, 127 } };

	(void)state;
	i.v[0] = i.v[1] = i.v[4] = (hb_view){ .dtype = HB_I8, .rank = 3, .ext = { 2, 2, 1 }, .stride = { 2, 1, 1 } };
	i.v[2] = (hb_view){ .dtype = HB_I8, .rank = 4, .ext = { 1, 1, 1, 1 }, .stride = { 1, 1, 1, 1 } };
	i.v[3] = (hb_view){ .dtype = HB_I32, .rank = 2, .ext = { 1, 4 }, .stride = { 16, 4 } };
	for (int byte = 0; byte < 256; byte++) {
		rec[3] = byte | (255 - byte) << 8;
		void *scratch = malloc(hb_kernel_scratch(cx, &i));
		hb_kernel(cx, &i, (uint8_t *[]){ (uint8_t *)out, (uint8_t *)a, (uint8_t *)w, (uint8_t *)rec, (uint8_t *)add }, scratch);
		free(scratch);
	}
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conv_of_random_shapes), cmocka_unit_test(ew_of_random_shapes), cmocka_unit_test(copies_gathers_and_scatters),
		cmocka_unit_test(fills_touch_nothing_but_their_view), cmocka_unit_test(reduce_of_random_windows),
		cmocka_unit_test(lookups_of_bytes_and_segments), cmocka_unit_test(samples_between_rows_and_columns), cmocka_unit_test(samples_at_places_of_their_own),
		cmocka_unit_test(softmax_is_within_one_of_the_float_result), cmocka_unit_test(sorts_keep_the_order_of_equals),
		cmocka_unit_test(malformed_exponents_and_indices_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
