/* kernel_conv.c: the conv instruction. Output pixels are gathered into rows of
 * their windows (im2col) and multiplied with panels of 16 output channels: four int8 products at a
 * time where the processor has them, else pairs of int16; depthwise and i16 weights have paths of
 * their own. Integer sums have no order, so every path and width gives the same. */
#include "lib/quant/conv.h"
#include "lib/quant/transpose.h"
#include "lib/quant/vec.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define NR HB_CONV_NR			/* output channels of a panel */
#define MR 6				/* pixels of a micro kernel */
#define ROWS HB_CONV_VNNI_ROWS		/* pixels multiplied before their sums are finished; a multiple of MR */
#define TILE_BYTES 262144		/* gathered windows that a thread holds */
#define TILE_MAX 1024			/* pixels */
#define PANEL_BYTES 2097152		/* packed weights held at a time */
#define WIDE_COLS 64			/* pixels of a tile with 64-bit sums */
#define DEPTH_BLOCK 64

typedef struct conv_job {
	const hb_insn *i;
	uint8_t *const *at;
	const int32_t *im;
	hb_isa isa;
	int64_t rows, cols, icg, ocg, kh, kw, groups;
	int64_t k, k2, k4;		/* taps of an output; pairs of them; rounded up to 4 */
	int64_t tile;			/* pixels of a tile */
	int64_t block;			/* output channels packed at a time, a multiple of NR */
	int64_t g, oc0, ocn;		/* group and channels at work */
	bool vnni;			/* bytes, flipped by `flip`; else int16 */
	uint8_t flip;
	uint8_t *panels;		/* [block / NR] of [k2][NR][2] int16 or of [k4 / 4][NR][4] int8 */
	hb_conv_rec *recs;		/* a panel each: [groups][panels of ocg] */
	hb_conv_finish finish;
	uint8_t *work;			/* a part a worker */
	int64_t work_bytes;
} conv_job;

/* i16 weights, or activations beyond int16: sums of 64 bits where the weights are i16 */
static bool
is_wide(const hb_insn *i)
{
	return hb_dtype_size(i->v[2].dtype) > 1 || hb_dtype_size(i->v[1].dtype) > 2 || i->v[0].dtype == HB_I64;
}

static bool
is_depthwise(const conv_job *j)
{
	return j->icg == 1 && j->ocg == 1 && j->groups > 1 && !is_wide(j->i);
}

static int64_t
round64(int64_t bytes)
{
	return hb_round_up(bytes, 64);
}

/* Whether a view's channels lie side by side. */
static bool
is_dense(const hb_view *v)
{
	return v->stride[v->rank - 1] == hb_dtype_size(v->dtype);
}

/* int8 weights whose rows are one run of bytes. */
static bool
has_dense_weights(const hb_view *w)
{
	return is_dense(w) && w->dtype == HB_I8 && w->stride[2] == w->ext[3] && w->stride[1] == w->ext[3] * w->ext[2];
}

/* Whether bytes are multiplied four at a time. */
static bool
takes_vnni(const conv_job *j)
{
	const hb_insn *i = j->i;
	const hb_view *a = &i->v[1];

	if (!hb_conv_has_vnni(j->isa) || is_wide(i) || i->v[2].dtype != HB_I8 || (a->dtype != HB_I8 && a->dtype != HB_U8) || !is_dense(a))
		return false;
	return !is_depthwise(j) || (i->nv < 5 && i->v[0].dtype == HB_I8 && is_dense(&i->v[0]));
}

static int64_t
panels_of(const conv_job *j)
{
	if (is_depthwise(j))
		return hb_ceil_div(j->i->v[0].ext[2], DEPTH_BLOCK) * (DEPTH_BLOCK / NR);
	return j->groups * hb_ceil_div(j->ocg, NR);
}

/* Sizes depend on the number of threads alone, not on the width of vectors. */
static conv_job
job_of(const hb_ctx *cx, const hb_insn *i)
{
	const hb_view *out = &i->v[0], *w = &i->v[2];
	conv_job j = {
		.i = i, .im = i->imm, .isa = cx->isa,
		.rows = out->ext[0], .cols = out->ext[1], .groups = HB_MAX(i->imm[HB_IMM_conv_groups], 1),
		.kh = w->ext[1], .kw = w->ext[2], .icg = w->ext[3],
	};

	j.ocg = out->ext[2] / j.groups;
	j.k = j.kh * j.kw * j.icg;
	j.k2 = (j.k + 1) / 2;
	j.k4 = hb_round_up(j.k, 4);
	j.flip = i->v[1].dtype == HB_U8 ? 0 : 0x80;
	j.vnni = takes_vnni(&j);
	if (is_depthwise(&j)) {
		int64_t oc = hb_round_up((int64_t)out->ext[2], DEPTH_BLOCK);

		j.block = oc;
		j.work_bytes = round64(oc * 4) + round64(oc) + round64(j.k4 * (int64_t)sizeof(uint8_t *));
		return j;
	}
	if (is_wide(i)) {
		j.tile = HB_MAX(1, HB_MIN(WIDE_COLS, TILE_BYTES / (4 * j.k)));
		j.block = j.ocg;
		j.work_bytes = round64(4 * j.k * (j.tile + 1));
		return j;
	}
	/* two tiles a thread at least */
	int64_t pixels = HB_MAX(1, j.rows * j.cols), share = cx->jobs > 1 ? hb_ceil_div(pixels, 2 * (int64_t)cx->jobs) : pixels;

	j.tile = HB_MAX(1, HB_MIN(TILE_MAX, TILE_BYTES / (4 * j.k2)) / ROWS) * ROWS;
	j.tile = HB_MIN(j.tile, hb_round_up(share, ROWS));
	j.block = HB_MAX(2, PANEL_BYTES / (4 * j.k2 * NR)) * NR;
	j.block = HB_MIN(j.block, hb_round_up(j.ocg, NR));
	j.work_bytes = round64(HB_MAX(4 * j.k2 * j.tile, j.k4 * NR));
	return j;
}

/* Of `channels` channels, a multiple of NR. */
static int64_t
panel_bytes(const conv_job *j, int64_t channels)
{
	if (is_depthwise(j))
		return round64(channels * HB_MAX(j->k * 2, j->k4));
	return is_wide(j->i) ? 0 : round64(channels * j->k2 * 4);
}

static int64_t
rec_bytes(const conv_job *j)
{
	return round64(panels_of(j) * (int64_t)sizeof(hb_conv_rec));
}

size_t
hb_kernel_conv_scratch(const hb_ctx *cx, const hb_insn *i)
{
	conv_job j = job_of(cx, i);

	return (size_t)(rec_bytes(&j) + panel_bytes(&j, j.block) + cx->jobs * j.work_bytes);
}

/* ---- records ---- */

static void
rec_at(const conv_job *j, int64_t channel, int32_t rec[4])
{
	const hb_view *v = &j->i->v[3];

	for (int k = 0; k < 4; k++)
		memcpy(rec + k, hb_view_row(v, j->at[3], (uint32_t)channel) + (size_t)k * v->stride[1], 4);
}

static void
make_recs(const conv_job *j)
{
	int64_t oc = j->i->v[0].ext[2], per_group = hb_ceil_div(j->ocg, NR);

	memset(j->recs, 0, (size_t)panels_of(j) * sizeof(*j->recs));
	for (int64_t p = 0; p < panels_of(j); p++)
		for (int c = 0; c < NR; c++)
			j->recs[p].shift[c] = j->recs[p].shift_a[c] = 1;
	for (int64_t c = 0; c < oc; c++) {
		int64_t in_group = c % j->ocg, panel = c / j->ocg * per_group + in_group / NR;
		int lane = (int)(in_group % NR);
		int32_t rec[4];

		rec_at(j, c, rec);
		if (is_depthwise(j)) {
			int64_t in = c % DEPTH_BLOCK;

			panel = c / NR;
			lane = (int)(c % NR);
			if (j->vnni) {	/* in the order of hb_conv_depth_channel */
				panel = c / DEPTH_BLOCK * 4 + in % 16 / 4;
				lane = (int)(in / 16 * 4 + in % 4);
			}
		}
		hb_conv_rec_set(&j->recs[panel], lane, rec);
	}
}

static bool
short_shifts(const conv_job *j)
{
	bool is_short = true;

	for (int64_t p = 0; p < panels_of(j); p++)
		for (int c = 0; c < NR; c++)
			is_short = is_short && j->recs[p].shift[c] <= 62 && j->recs[p].shift_a[c] <= 62;
	return is_short;
}

static hb_conv_finish
finish_of(const conv_job *j)
{
	const hb_insn *i = j->i;
	hb_dtype out = i->v[0].dtype;

	return (hb_conv_finish){
		.isa = j->isa, .out = out, .add = i->nv > 4 ? i->v[4].dtype : HB_NONE, .short_shifts = short_shifts(j),
		.lo = HB_MAX(j->im[HB_IMM_conv_qmin], hb_qmin(out)), .hi = HB_MIN(j->im[HB_IMM_conv_qmax], hb_qmax(out)),
	};
}

/* ---- outputs ---- */

/* Where channel c of a pixel lies. */
static uint8_t *
place(const conv_job *j, int operand, int64_t pixel, int64_t c)
{
	const hb_view *v = &j->i->v[operand];

	return hb_view_row(v, j->at[operand], (uint32_t)(pixel / j->cols)) + pixel % j->cols * v->stride[1] + c * v->stride[2];
}

/* The same for n pixels. */
static void
places(const conv_job *j, int operand, int64_t pixel, int n, int64_t c, uint8_t **to)
{
	const hb_view *v = &j->i->v[operand];
	int64_t row = pixel / j->cols, x = pixel % j->cols;

	for (int p = 0; p < n; row++, x = 0) {
		uint8_t *at = hb_view_row(v, j->at[operand], (uint32_t)row) + c * v->stride[2];

		for (; p < n && x < j->cols; p++, x++)
			to[p] = at + x * v->stride[1];
	}
}

static void
copy_elems(uint8_t *to, int64_t to_step, const uint8_t *from, int64_t from_step, size_t size, int n)
{
	for (int c = 0; c < n; c++)
		memcpy(to + c * to_step, from + c * from_step, size);
}

/* n <= ROWS pixels of nc channels from oc on, out of their sums, which are ld apart. */
static void
finish(const conv_job *j, const hb_conv_rec *r, int64_t pixel, int n, int64_t oc, int nc, const int32_t *acc, int64_t ld)
{
	const hb_view *out = &j->i->v[0], *add = j->i->nv > 4 ? &j->i->v[4] : NULL;
	bool dense = is_dense(out), dense_add = add && is_dense(add);
	size_t size = hb_dtype_size(out->dtype), add_size = add ? hb_dtype_size(add->dtype) : 0;
	uint8_t held[ROWS][NR * 4], held_add[ROWS][NR * 8], *at[ROWS], *to[ROWS], *more[ROWS];

	places(j, 0, pixel, n, oc, at);
	for (int p = 0; p < n; p++)
		to[p] = dense ? at[p] : held[p];
	if (add)
		places(j, 4, pixel, n, oc, more);
	for (int p = 0; p < n && add && !dense_add; p++) {
		copy_elems(held_add[p], (int64_t)add_size, more[p], add->stride[2], add_size, nc);
		more[p] = held_add[p];
	}
	hb_conv_finish_rows(&j->finish, r, acc, ld, n, nc, to, (const uint8_t *const *)more);
	for (int p = 0; p < n && !dense; p++)
		copy_elems(at[p], out->stride[2], held[p], (int64_t)size, size, nc);
}

/* The same out of 64-bit sums; a shift may be any, and the output int64. */
static void
finish_wide(const conv_job *j, int64_t pixel, int64_t oc, int64_t acc, bool sum64)
{
	const hb_view *out = &j->i->v[0];
	int64_t lo = out->dtype == HB_I64 ? INT64_MIN : j->im[HB_IMM_conv_qmin], hi = out->dtype == HB_I64 ? INT64_MAX : j->im[HB_IMM_conv_qmax];
	int32_t rec[4];

	rec_at(j, oc, rec);
	if (j->i->nv > 4) {
		int64_t x;

		hb_load64(place(j, 4, pixel, oc), 0, j->i->v[4].dtype, 1, &x);
		acc = (int64_t)((uint64_t)acc + (uint64_t)hb_requant_at(x, rec[2], hb_requant_shift((rec[3] >> 8 & 255) - 64)));
	}
	acc = (int64_t)((uint64_t)acc + (uint64_t)(int64_t)rec[0]);
	acc = hb_requant_at(sum64 ? acc : (int32_t)(uint32_t)acc, rec[1], hb_requant_shift((rec[3] & 255) - 64));
	hb_store64(place(j, 0, pixel, oc), 0, out->dtype, 1, &acc, lo, hi);
}

/* ---- gathering windows ---- */

#define WIDEN(to_type, from_type)                                               \
	for (int64_t c = 0; c < n; c++) {                                       \
		from_type v;                                                    \
		memcpy(&v, p + c * step, sizeof(v));                            \
		to[c] = (to_type)v;                                             \
	}

HB_VEC_INLINE void
widen16_body(int16_t *restrict to, const uint8_t *restrict p, int64_t step, hb_dtype dt, int64_t n)
{
	if (dt == HB_I8 && step == 1) {
		for (int64_t c = 0; c < n; c++)
			to[c] = (int8_t)p[c];
	} else if (dt == HB_I8) {
		WIDEN(int16_t, int8_t)
	} else if (dt == HB_I16 && step == 2) {
		memcpy(to, p, (size_t)n * 2);
	} else if (dt == HB_I16) {
		WIDEN(int16_t, int16_t)
	} else if (dt == HB_U8) {
		WIDEN(int16_t, uint8_t)
	} else {
		for (int64_t c = 0; c < n; c++)
			to[c] = p[c * step] != 0;
	}
}

HB_VEC_BODY(widen16, (int16_t *to, const uint8_t *p, int64_t step, hb_dtype dt, int64_t n), {
	widen16_body(to, p, step, dt, n);
})

static void
widen32(int32_t *to, const uint8_t *p, int64_t step, hb_dtype dt, int64_t n)
{
	for (int64_t c = 0; c < n; c++) {
		int64_t v;

		hb_load64(p + c * step, 0, dt, 1, &v);
		to[c] = (int32_t)v;
	}
}

/* What a window is gathered into. */
typedef enum form { BYTES, INT16, INT32 } form;

static const size_t form_size[] = { [BYTES] = 1, [INT16] = 2, [INT32] = 4 };

static void
gather_run(const conv_job *j, uint8_t *to, const uint8_t *from, int64_t n, form f)
{
	const hb_view *a = &j->i->v[1];

	if (f == BYTES)
		hb_conv_flip_vnni(to, from, n, j->flip);
	else if (f == INT32)
		widen32((int32_t *)(void *)to, from, a->stride[2], a->dtype, n);
	else
		HB_VEC_CALL(j->isa, widen16, ((int16_t *)(void *)to, from, a->stride[2], a->dtype, n));
}

/* The window of an output pixel, [kh][kw][icg], 0 outside. */
static void
gather(const conv_job *j, int64_t pixel, void *dst, form f)
{
	const hb_view *a = &j->i->v[1];
	int64_t iy0 = pixel / j->cols * j->im[HB_IMM_conv_sh] - j->im[HB_IMM_conv_pt];
	int64_t ix0 = pixel % j->cols * j->im[HB_IMM_conv_sw] - j->im[HB_IMM_conv_pl];
	int64_t dh = j->im[HB_IMM_conv_dh], dw = j->im[HB_IMM_conv_dw], c0 = j->g * j->icg * a->stride[2];
	size_t channels = (size_t)j->icg * form_size[f], row = channels * (size_t)j->kw;
	int zero = f == BYTES ? j->flip : 0;
	uint8_t *to = dst;

	for (int64_t ky = 0; ky < j->kh; ky++) {
		int64_t iy = iy0 + ky * dh;

		if (iy < 0 || iy >= a->ext[0]) {
			memset(to, zero, row);
			to += row;
			continue;
		}
		const uint8_t *line = hb_view_row(a, j->at[1], (uint32_t)iy) + c0;
		/* a window's row is one run where its pixels are dense */
		if (f != INT32 && dw == 1 && ix0 >= 0 && ix0 + j->kw <= a->ext[1] && a->stride[1] == j->icg * a->stride[2]) {
			gather_run(j, to, line + ix0 * a->stride[1], j->kw * j->icg, f);
			to += row;
			continue;
		}
		for (int64_t kx = 0; kx < j->kw; kx++, to += channels) {
			int64_t ix = ix0 + kx * dw;

			if (ix < 0 || ix >= a->ext[1])
				memset(to, zero, channels);
			else
				gather_run(j, to, line + ix * a->stride[1], j->icg, f);
		}
	}
}

/* ---- int8 weights ---- */

/* Packs a panel; pairs of taps stand side by side for the multiply-add. */
static void
pack_pairs(const conv_job *j, int64_t oc, int64_t n, int16_t *to)
{
	const hb_view *w = &j->i->v[2];

	memset(to, 0, (size_t)(j->k2 * NR) * 4);
	for (int64_t c = 0; c < n; c++) {
		const uint8_t *from = hb_view_row(w, j->at[2], (uint32_t)(oc + c));
		int64_t k = 0;

		for (int64_t ky = 0; ky < j->kh; ky++)
			for (int64_t kx = 0; kx < j->kw; kx++) {
				const uint8_t *tap = from + ky * w->stride[1] + kx * w->stride[2];

				for (int64_t ic = 0; ic < j->icg; ic++, k++, tap += w->stride[3])
					to[(k / 2 * NR + c) * 2 + k % 2] = w->dtype == HB_I8 ? (int8_t)*tap : *tap;
			}
	}
}

/* Rows of k weights of n channels from oc on: where they are, or, not dense, copied to `work`. */
static const int8_t *
weight_rows(const conv_job *j, int64_t oc, int64_t n, uint8_t *work, int64_t *ld)
{
	const hb_view *w = &j->i->v[2];
	uint8_t *first = hb_view_row(w, j->at[2], (uint32_t)oc);

	if (has_dense_weights(w) && !w->ring_rows) {
		*ld = w->stride[0];
		return (const int8_t *)first;
	}
	*ld = j->k4;
	if (w->stride[0] == 1 && !w->ring_rows && j->kh * j->kw == 1) {
		hb_transpose8(work, j->k4, first, w->stride[3], j->k, n);
		return (const int8_t *)work;
	}
	for (int64_t c = 0; c < n; c++) {
		const uint8_t *from = hb_view_row(w, j->at[2], (uint32_t)(oc + c));
		uint8_t *to = work + c * j->k4;

		for (int64_t ky = 0; ky < j->kh; ky++)
			for (int64_t kx = 0; kx < j->kw; kx++) {
				const uint8_t *tap = from + ky * w->stride[1] + kx * w->stride[2];

				for (int64_t ic = 0; ic < j->icg; ic++)
					*to++ = tap[ic * w->stride[3]];
			}
	}
	return (const int8_t *)work;
}

/* The panels of the channels at work. */
static void
pack_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const conv_job *j = arg;
	hb_conv_rec *recs = j->recs + j->g * hb_ceil_div(j->ocg, NR) + j->oc0 / NR;

	for (int64_t p = begin; p < end; p++) {
		int64_t oc = j->g * j->ocg + j->oc0 + p * NR, n = HB_MIN(NR, j->ocn - p * NR), ld;
		uint8_t *to = j->panels + panel_bytes(j, NR) * p;
		int32_t start[NR];

		if (!j->vnni) {
			pack_pairs(j, oc, n, (int16_t *)(void *)to);
			continue;
		}
		const int8_t *rows = weight_rows(j, oc, n, j->work + worker * j->work_bytes, &ld);
		hb_conv_pack_vnni(rows, ld, (int)n, j->k, to, start);
		for (int c = 0; c < NR && j->flip; c++)
			recs[p].bias[c] = (int32_t)((uint32_t)recs[p].bias[c] + (uint32_t)start[c]);
	}
}

/* acc[p][c] = sum over pairs of a[p] * panel, modulo 2^32. */
static void
micro_scalar(const int16_t *a, int64_t k2, const int16_t *w, int32_t acc[MR][NR])
{
	for (int p = 0; p < MR; p++) {
		uint32_t sum[NR] = { 0 };
		const int16_t *row = a + p * k2 * 2;

		for (int64_t k = 0; k < k2; k++)
			for (int c = 0; c < NR; c++)
				sum[c] += (uint32_t)(row[2 * k] * w[(k * NR + c) * 2] + row[2 * k + 1] * w[(k * NR + c) * 2 + 1]);
		memcpy(acc[p], sum, sizeof(sum));
	}
}

#if defined(__x86_64__)
static inline int32_t
pair_of(const int16_t *p)
{
	int32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

HB_VEC_AVX2 static void
micro_avx2(const int16_t *a, int64_t k2, const int16_t *w, int32_t acc[MR][NR])
{
	__m256i s[MR][2];

	for (int p = 0; p < MR; p++)
		s[p][0] = s[p][1] = _mm256_setzero_si256();
	for (int64_t k = 0; k < k2; k++, w += NR * 2) {
		__m256i w0 = _mm256_loadu_si256((const __m256i *)(const void *)w);
		__m256i w1 = _mm256_loadu_si256((const __m256i *)(const void *)(w + NR));

#pragma GCC unroll 6
		for (int p = 0; p < MR; p++) {
			__m256i x = _mm256_set1_epi32(pair_of(a + (p * k2 + k) * 2));

			s[p][0] = _mm256_add_epi32(s[p][0], _mm256_madd_epi16(x, w0));
			s[p][1] = _mm256_add_epi32(s[p][1], _mm256_madd_epi16(x, w1));
		}
	}
	for (int p = 0; p < MR; p++) {
		_mm256_storeu_si256((__m256i *)(void *)acc[p], s[p][0]);
		_mm256_storeu_si256((__m256i *)(void *)(acc[p] + NR / 2), s[p][1]);
	}
}

HB_VEC_AVX512 static void
micro_avx512(const int16_t *a, int64_t k2, const int16_t *w, int32_t acc[MR][NR])
{
	__m512i s[2][MR];

	for (int p = 0; p < MR; p++)
		s[0][p] = s[1][p] = _mm512_setzero_si512();
	int64_t k = 0;
	for (; k + 1 < k2; k += 2, w += NR * 4) {
		__m512i w0 = _mm512_loadu_si512(w), w1 = _mm512_loadu_si512(w + NR * 2);

#pragma GCC unroll 6
		for (int p = 0; p < MR; p++) {
			const int16_t *row = a + (p * k2 + k) * 2;

			s[0][p] = _mm512_add_epi32(s[0][p], _mm512_madd_epi16(_mm512_set1_epi32(pair_of(row)), w0));
			s[1][p] = _mm512_add_epi32(s[1][p], _mm512_madd_epi16(_mm512_set1_epi32(pair_of(row + 2)), w1));
		}
	}
	for (int p = 0; p < MR; p++) {
		__m512i sum = _mm512_add_epi32(s[0][p], s[1][p]);

		if (k < k2)
			sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_set1_epi32(pair_of(a + (p * k2 + k) * 2)), _mm512_loadu_si512(w)));
		_mm512_storeu_si512(acc[p], sum);
	}
}
#else
#define micro_avx2 micro_scalar
#define micro_avx512 micro_scalar
#endif

/* Two panels' products of ROWS rows at most. */
static void
products(const conv_job *j, const uint8_t *rows, const uint8_t *panel, int panels, int n, int32_t acc[ROWS * 2][NR])
{
	if (j->vnni) {
		hb_conv_dot_vnni(rows, j->k4, panel, panel_bytes(j, NR), panels, n, acc[0]);
		return;
	}
	for (int v = 0; v < panels; v++)
		for (int p = 0; p < n; p += MR) {
			int32_t sums[MR][NR];

			HB_VEC_CALL(j->isa, micro, ((const int16_t *)(const void *)rows + p * j->k2 * 2, j->k2,
						    (const int16_t *)(const void *)(panel + panel_bytes(j, NR) * v), sums));
			for (int q = 0; q < MR; q++)
				memcpy(acc[(p + q) * 2 + v], sums[q], sizeof(sums[q]));
		}
}

static void
conv_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const conv_job *j = arg;
	uint8_t *a = j->work + worker * j->work_bytes;
	int64_t pixels = j->rows * j->cols, row_bytes = j->vnni ? j->k4 : j->k2 * 4;
	const hb_conv_rec *recs = j->recs + j->g * hb_ceil_div(j->ocg, NR) + j->oc0 / NR;

	for (int64_t t = begin; t < end; t++) {
		int64_t first = t * j->tile, n = HB_MIN(j->tile, pixels - first);

		for (int64_t p = 0; p < n; p++) {
			uint8_t *row = a + p * row_bytes;

			gather(j, first + p, row, j->vnni ? BYTES : INT16);
			if (j->vnni)
				memset(row + j->k, 0, (size_t)(j->k4 - j->k));
			else if (j->k % 2)
				((int16_t *)(void *)row)[j->k] = 0;
		}
		if (!j->vnni)		/* the micro kernel takes MR rows */
			memset(a + n * row_bytes, 0, (size_t)((hb_round_up(n, MR) - n) * row_bytes));
		for (int64_t c0 = 0; c0 < j->ocn; c0 += 2 * NR) {
			int panels = j->ocn - c0 > NR ? 2 : 1;

			for (int64_t p0 = 0; p0 < n; p0 += ROWS) {
				int32_t acc[ROWS * 2][NR];
				int m = (int)HB_MIN(ROWS, n - p0);

				products(j, a + p0 * row_bytes, j->panels + panel_bytes(j, NR) * (c0 / NR), panels, m, acc);
				for (int v = 0; v < panels; v++) {
					int64_t c = c0 + v * NR;

					finish(j, recs + c / NR, first + p0, m, j->g * j->ocg + j->oc0 + c, (int)HB_MIN(NR, j->ocn - c), acc[v], 2 * NR);
				}
			}
		}
	}
}

/* ---- one pixel: rows of the weights are read once, where they are ---- */

HB_VEC_INLINE int32_t
dot_body(const int16_t *a, const int8_t *w, int64_t n)
{
	uint32_t sum = 0;

	for (int64_t k = 0; k < n; k++)
		sum += (uint32_t)(a[k] * w[k]);
	return (int32_t)sum;
}

HB_VEC_BODY(dots, (const int16_t *a, const int8_t *w, int64_t n, int32_t *out), { *out = dot_body(a, w, n); })

static void
pixel_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const conv_job *j = arg;
	const hb_view *w = &j->i->v[2];
	const hb_conv_rec *recs = j->recs + j->g * hb_ceil_div(j->ocg, NR);

	(void)worker;
	for (int64_t p = begin; p < end; p++) {
		int64_t oc = j->g * j->ocg + p * NR;
		int n = (int)HB_MIN(NR, j->ocg - p * NR);
		int32_t acc[NR] = { 0 };

		for (int c = 0; c < n; c++)
			HB_VEC_CALL(j->isa, dots, ((const int16_t *)(const void *)j->work, (const int8_t *)hb_view_row(w, j->at[2], (uint32_t)(oc + c)),
						   j->k, &acc[c]));
		finish(j, recs + p, 0, 1, oc, n, acc, NR);
	}
}

/* ---- i16 weights or i32 activations ---- */

static void
wide_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const conv_job *j = arg;
	const hb_view *w = &j->i->v[2];
	int32_t *a = (int32_t *)(void *)(j->work + worker * j->work_bytes), *row = a + j->k * j->tile;
	bool sum64 = hb_dtype_size(w->dtype) > 1;
	int64_t pixels = j->rows * j->cols;

	for (int64_t t = begin; t < end; t++) {
		int64_t first = t * j->tile, n = HB_MIN(j->tile, pixels - first);

		for (int64_t p = 0; p < n; p++)
			gather(j, first + p, a + p * j->k, INT32);
		for (int64_t c = 0; c < j->ocg; c++) {
			int64_t oc = j->g * j->ocg + c, k = 0;
			const uint8_t *from = hb_view_row(w, j->at[2], (uint32_t)oc);

			for (int64_t ky = 0; ky < j->kh; ky++)
				for (int64_t kx = 0; kx < j->kw; kx++, k += j->icg)
					widen32(row + k, from + ky * w->stride[1] + kx * w->stride[2], w->stride[3], w->dtype, j->icg);
			for (int64_t p = 0; p < n; p++) {
				const int32_t *x = a + p * j->k;
				uint64_t sum = 0;

				for (k = 0; k < j->k; k++)
					sum += (uint64_t)((int64_t)x[k] * row[k]);
				finish_wide(j, first + p, oc, (int64_t)sum, sum64);
			}
		}
	}
}

/* ---- depthwise: channels side by side ---- */

HB_VEC_BODY(depth_tap, (int32_t *restrict acc, const int16_t *restrict w, const uint8_t *restrict p, int64_t step, hb_dtype dt, int64_t n), {
	uint32_t *sum = (uint32_t *)(void *)acc;
	if (dt == HB_I8 && step == 1)
		for (int64_t c = 0; c < n; c++)
			sum[c] += (uint32_t)((int8_t)p[c] * w[c]);
	else
		for (int64_t c = 0; c < n; c++) {
			int64_t v;
			hb_load64(p + c * step, 0, dt, 1, &v);
			sum[c] += (uint32_t)(int32_t)v * (uint32_t)(int32_t)w[c];
		}
})

static void
depth_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const conv_job *j = arg;
	const hb_view *a = &j->i->v[1];
	int64_t oc = j->groups, all = hb_round_up(oc, DEPTH_BLOCK);
	uint8_t *work = j->work + worker * j->work_bytes, *none = work + round64(all * 4);
	int32_t *acc = (int32_t *)(void *)work;
	const uint8_t **taps = (const uint8_t **)(void *)(none + round64(all));

	memset(none, 0, (size_t)all);
	for (int64_t t = j->k; t < j->k4; t++)
		taps[t] = none;
	for (int64_t p = begin; p < end; p++) {
		int64_t iy0 = p / j->cols * j->im[HB_IMM_conv_sh] - j->im[HB_IMM_conv_pt];
		int64_t ix0 = p % j->cols * j->im[HB_IMM_conv_sw] - j->im[HB_IMM_conv_pl], t = 0;

		for (int64_t ky = 0; ky < j->kh; ky++) {
			int64_t iy = iy0 + ky * j->im[HB_IMM_conv_dh];
			const uint8_t *line = iy < 0 || iy >= a->ext[0] ? NULL : hb_view_row(a, j->at[1], (uint32_t)iy);

			for (int64_t kx = 0; kx < j->kw; kx++, t++) {
				int64_t ix = ix0 + kx * j->im[HB_IMM_conv_dw];

				taps[t] = !line || ix < 0 || ix >= a->ext[1] ? none : line + ix * a->stride[1];
			}
		}
		if (j->vnni) {
			hb_conv_depth_vnni(&j->finish, j->recs, j->panels, taps, j->k, j->flip, oc, place(j, 0, p, 0));
			continue;
		}
		memset(acc, 0, (size_t)all * 4);
		for (t = 0; t < j->k; t++)
			if (taps[t] != none)
				HB_VEC_CALL(j->isa, depth_tap, (acc, (const int16_t *)(const void *)j->panels + t * oc, taps[t], a->stride[2],
								a->dtype, oc));
		for (int64_t c = 0; c < oc; c += NR)
			finish(j, j->recs + c / NR, p, 1, c, (int)HB_MIN(NR, oc - c), acc + c, NR);
	}
}

static uint8_t
depth_weight(const conv_job *j, int64_t c, int64_t tap)
{
	const hb_view *w = &j->i->v[2];

	return hb_view_row(w, j->at[2], (uint32_t)c)[tap / j->kw * w->stride[1] + tap % j->kw * w->stride[2]];
}

/* [block][taps / 4][panel][lane][4] */
static void
depth_pack_vnni(const conv_job *j)
{
	int8_t *to = (int8_t *)j->panels;

	for (int64_t c0 = 0; c0 < j->groups; c0 += DEPTH_BLOCK)
		for (int64_t t = 0; t < j->k4; t += 4)
			for (int q = 0; q < 4; q++) {
				hb_conv_rec *r = &j->recs[c0 / NR + q];

				for (int lane = 0; lane < NR; lane++)
					for (int64_t k = t; k < t + 4; k++) {
						int64_t c = c0 + hb_conv_depth_channel(q, lane);

						*to = c < j->groups && k < j->k ? (int8_t)depth_weight(j, c, k) : 0;
						r->bias[lane] = (int32_t)((uint32_t)r->bias[lane] - (uint32_t)j->flip * (uint32_t)*to++);
					}
			}
}

static void
depth_pack(const conv_job *j)
{
	int16_t *to = (int16_t *)(void *)j->panels;

	if (j->vnni) {
		depth_pack_vnni(j);
		return;
	}
	for (int64_t t = 0; t < j->k; t++)
		for (int64_t c = 0; c < j->groups; c++) {
			uint8_t w = depth_weight(j, c, t);

			*to++ = j->i->v[2].dtype == HB_I8 ? (int8_t)w : w;
		}
}

/* ---- all of them ---- */

/* The panels of the channels at work: made now, or where they were packed. */
static void
use_panels(hb_ctx *cx, conv_job *j, uint8_t *packed)
{
	if (packed)
		j->panels = packed + (j->g * hb_ceil_div(j->ocg, NR) + j->oc0 / NR) * panel_bytes(j, NR);
	else
		hb_parallel(cx, hb_ceil_div(j->ocn, NR), 4, pack_some, j);
}

/* Whether the weights are used as they are. */
static bool
needs_no_panels(const conv_job *j)
{
	return is_wide(j->i) || (!is_depthwise(j) && j->rows * j->cols == 1 && has_dense_weights(&j->i->v[2]));
}

size_t
hb_kernel_conv_pack_bytes(const hb_ctx *cx, const hb_insn *i)
{
	conv_job j = job_of(cx, i);

	if (needs_no_panels(&j) || !has_dense_weights(&i->v[2]))
		return 0;
	return (size_t)(rec_bytes(&j) + (is_depthwise(&j) ? panel_bytes(&j, j.block) : panels_of(&j) * panel_bytes(&j, NR)));
}

void
hb_kernel_conv_pack(hb_ctx *cx, const hb_insn *i, uint8_t *const *at, void *to)
{
	conv_job j = job_of(cx, i);

	j.at = at;
	j.recs = to;
	j.panels = (uint8_t *)to + rec_bytes(&j);
	make_recs(&j);
	if (is_depthwise(&j)) {
		depth_pack(&j);
		return;
	}
	j.ocn = j.ocg;
	for (j.g = 0; j.g < j.groups; j.g++, j.panels += hb_ceil_div(j.ocg, NR) * panel_bytes(&j, NR))
		hb_parallel(cx, hb_ceil_div(j.ocn, NR), 4, pack_some, &j);
}

void
hb_kernel_conv_run(hb_ctx *cx, const hb_insn *i, uint8_t *const *at, const void *packed, void *scratch)
{
	conv_job j = job_of(cx, i);
	int64_t oc = i->v[0].ext[2], pixels = j.rows * j.cols;
	uint8_t *panels = packed ? (uint8_t *)(uintptr_t)packed + rec_bytes(&j) : NULL;

	j.at = at;
	j.recs = packed ? (hb_conv_rec *)(uintptr_t)packed : scratch;
	j.panels = panels ? panels : (uint8_t *)scratch + rec_bytes(&j);
	j.work = (uint8_t *)scratch + rec_bytes(&j) + panel_bytes(&j, j.block);
	if (!packed)
		make_recs(&j);
	j.finish = finish_of(&j);
	if (is_depthwise(&j) && !j.finish.short_shifts && j.vnni) {
		/* lanes in channel order again, for the path that takes any shift */
		j.vnni = false;
		panels = NULL;
		j.recs = scratch;
		j.panels = (uint8_t *)scratch + rec_bytes(&j);
		make_recs(&j);
	}
	if (is_depthwise(&j)) {
		if (!panels)
			depth_pack(&j);
		hb_parallel(cx, pixels, HB_MAX(1, 65536 / (oc * j.k)), depth_some, &j);
		return;
	}
	for (j.g = 0; j.g < j.groups; j.g++) {
		if (is_wide(i)) {
			hb_parallel(cx, hb_ceil_div(pixels, j.tile), 1, wide_some, &j);
			continue;
		}
		if (needs_no_panels(&j)) {
			gather(&j, 0, j.work, INT16);
			hb_parallel(cx, hb_ceil_div(j.ocg, NR), HB_MAX(1, 65536 / (j.k * NR)), pixel_some, &j);
			continue;
		}
		for (j.oc0 = 0; j.oc0 < j.ocg; j.oc0 += j.block) {
			j.ocn = HB_MIN(j.block, j.ocg - j.oc0);
			use_panels(cx, &j, panels);
			hb_parallel(cx, hb_ceil_div(pixels, j.tile), 1, conv_some, &j);
		}
	}
}

void
hb_kernel_conv(hb_ctx *cx, const hb_insn *i, uint8_t *const *at, void *scratch)
{
	hb_kernel_conv_run(cx, i, at, NULL, scratch);
}
