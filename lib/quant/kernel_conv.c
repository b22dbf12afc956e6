/* kernel_conv.c: the conv instruction. Output pixels are gathered into rows of
 * their windows (im2col), widened to int16, and multiplied with panels of 16
 * output channels; depthwise and i16 weights have paths of their own. Integer
 * sums have no order, so every path and width gives the same. */
#include "lib/quant/kernel.h"
#include "lib/quant/vec.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define NR 16				/* output channels of a panel */
#define MR 6				/* pixels of a micro kernel */
#define TILE_BYTES 262144		/* gathered windows that a thread holds */
#define PANEL_BYTES 2097152		/* packed weights held at a time */
#define WIDE_COLS 64			/* pixels of a tile with 64-bit sums */

typedef struct conv_job {
	const hb_insn *i;
	uint8_t *const *at;
	const int32_t *im;
	hb_isa isa;
	int64_t rows, cols, icg, ocg, kh, kw, groups;
	int64_t k, k2;			/* taps of an output, and pairs of them */
	int64_t tile;			/* pixels of a tile */
	int64_t block;			/* output channels packed at a time, a multiple of NR */
	int64_t g, oc0, ocn;		/* group and channels at work */
	int16_t *panels;		/* [block / NR][k2][NR][2] */
	uint8_t *work;			/* a part a worker */
	int64_t work_bytes;
	int32_t *rec;			/* [oc][4] */
} conv_job;

/* i16 weights, or activations beyond int16: sums of 64 bits where the weights are i16 */
static bool
is_wide(const hb_insn *i)
{
	return hb_dtype_size(i->v[2].dtype) > 1 || hb_dtype_size(i->v[1].dtype) > 2;
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
	if (is_depthwise(&j)) {
		j.work_bytes = round64((int64_t)out->ext[2] * 8);
		return j;
	}
	if (is_wide(i)) {
		j.tile = HB_MAX(1, HB_MIN(WIDE_COLS, TILE_BYTES / (4 * j.k)));
		j.block = j.ocg;
		j.work_bytes = round64(4 * j.k * (j.tile + 1));
		return j;
	}
	j.tile = HB_MAX(1, TILE_BYTES / (4 * j.k2 * MR)) * MR;
	j.tile = HB_MIN(j.tile, hb_round_up(HB_MAX(1, j.rows * j.cols), MR));
	j.block = HB_MAX(1, PANEL_BYTES / (4 * j.k2 * NR)) * NR;
	j.block = HB_MIN(j.block, hb_round_up(j.ocg, NR));
	j.work_bytes = round64(4 * j.k2 * j.tile);
	return j;
}

static int64_t
panel_bytes(const conv_job *j)
{
	if (is_depthwise(j))
		return round64(j->k * (int64_t)j->i->v[0].ext[2] * 2);
	return is_wide(j->i) ? 0 : round64(j->block * j->k2 * 4);
}

size_t
hb_kernel_conv_scratch(const hb_ctx *cx, const hb_insn *i)
{
	conv_job j = job_of(cx, i);

	return (size_t)(panel_bytes(&j) + round64((int64_t)i->v[0].ext[2] * 16) + cx->jobs * j.work_bytes);
}

/* acc of 32 bits (wrapped) or 64, with bias and addend, to the value that is clamped and written. */
static inline int64_t
finish(const conv_job *j, const int32_t *rec, int64_t acc, const uint8_t *add, bool wide)
{
	int shift = hb_requant_shift((rec[3] & 255) - 64);

	if (add) {
		int64_t x;

		hb_load64(add, 0, j->i->v[4].dtype, 1, &x);
		x = hb_requant_at(x, rec[2], hb_requant_shift((rec[3] >> 8 & 255) - 64));
		acc = (int64_t)((uint64_t)acc + (uint64_t)x);
	}
	acc = (int64_t)((uint64_t)acc + (uint64_t)(int64_t)rec[0]);
	if (wide || shift > 62)
		return hb_requant_at(wide ? acc : (int32_t)(uint32_t)acc, rec[1], shift);
	return ((int64_t)(int32_t)(uint32_t)acc * rec[1] + ((int64_t)1 << (shift - 1))) >> shift;
}

#define STORE(type)                                                     \
	for (int64_t c = 0; c < n; c++, to += step) {                   \
		type v = (type)hb_clamp64(y[c], lo, hi);                \
		memcpy(to, &v, sizeof(v));                              \
	}

/* One pixel's n <= NR channels from oc0 on, out of their sums. */
static void
finish_pixel(const conv_job *j, int64_t pixel, int64_t oc0, int64_t n, const int64_t *acc, bool wide)
{
	const hb_insn *i = j->i;
	const hb_view *out = &i->v[0], *add = i->nv > 4 ? &i->v[4] : NULL;
	int64_t row = pixel / j->cols, x = pixel % j->cols;
	uint8_t *to = hb_view_row(out, j->at[0], (uint32_t)row) + x * out->stride[1] + oc0 * out->stride[2];
	const uint8_t *more = NULL;
	int64_t lo = j->im[HB_IMM_conv_qmin], hi = j->im[HB_IMM_conv_qmax];

	if (out->dtype != HB_I64) {
		lo = HB_MAX(lo, hb_qmin(out->dtype));
		hi = HB_MIN(hi, hb_qmax(out->dtype));
	} else {
		lo = INT64_MIN;
		hi = INT64_MAX;
	}
	if (add)
		more = hb_view_row(add, j->at[4], (uint32_t)row) + x * add->stride[1] + oc0 * add->stride[2];
	int64_t y[NR], step = out->stride[2];
	for (int64_t c = 0; c < n; c++)
		y[c] = finish(j, j->rec + (oc0 + c) * 4, acc[c], add ? more + c * add->stride[2] : NULL, wide);
	switch (out->dtype) {
	case HB_I16:
		STORE(int16_t)
		break;
	case HB_I32:
		STORE(int32_t)
		break;
	case HB_I64:
		STORE(int64_t)
		break;
	default:
		STORE(uint8_t)
		break;
	}
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

/* The window of an output pixel, [kh][kw][icg], zero outside; dst holds int16 or, wide, int32. */
static void
gather(const conv_job *j, int64_t pixel, void *dst, bool wide)
{
	const hb_view *a = &j->i->v[1];
	int64_t iy0 = pixel / j->cols * j->im[HB_IMM_conv_sh] - j->im[HB_IMM_conv_pt];
	int64_t ix0 = pixel % j->cols * j->im[HB_IMM_conv_sw] - j->im[HB_IMM_conv_pl];
	int64_t dh = j->im[HB_IMM_conv_dh], dw = j->im[HB_IMM_conv_dw], c0 = j->g * j->icg * a->stride[2];
	size_t size = wide ? 4 : 2;
	uint8_t *to = dst;

	for (int64_t ky = 0; ky < j->kh; ky++) {
		int64_t iy = iy0 + ky * dh;
		size_t row = (size_t)(j->kw * j->icg) * size;

		if (iy < 0 || iy >= a->ext[0]) {
			memset(to, 0, row);
			to += row;
			continue;
		}
		const uint8_t *line = hb_view_row(a, j->at[1], (uint32_t)iy) + c0;
		/* a window's row is one run where its pixels are dense */
		if (!wide && dw == 1 && ix0 >= 0 && ix0 + j->kw <= a->ext[1] && a->stride[1] == j->icg * a->stride[2]) {
			HB_VEC_CALL(j->isa, widen16, ((int16_t *)(void *)to, line + ix0 * a->stride[1], a->stride[2], a->dtype, j->kw * j->icg));
			to += row;
			continue;
		}
		for (int64_t kx = 0; kx < j->kw; kx++, to += (size_t)j->icg * size) {
			int64_t ix = ix0 + kx * dw;

			if (ix < 0 || ix >= a->ext[1])
				memset(to, 0, (size_t)j->icg * size);
			else if (wide)
				widen32((int32_t *)(void *)to, line + ix * a->stride[1], a->stride[2], a->dtype, j->icg);
			else
				HB_VEC_CALL(j->isa, widen16, ((int16_t *)(void *)to, line + ix * a->stride[1], a->stride[2], a->dtype, j->icg));
		}
	}
}

/* ---- int8 weights ---- */

/* Packs the channels at work into panels; pairs of taps stand side by side for the multiply-add. */
static void
pack_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const conv_job *j = arg;
	const hb_view *w = &j->i->v[2];

	(void)worker;
	for (int64_t p = begin; p < end; p++) {
		int16_t *to = j->panels + p * j->k2 * NR * 2;

		memset(to, 0, (size_t)(j->k2 * NR) * 4);
		for (int64_t c = 0; c < NR && p * NR + c < j->ocn; c++) {
			const uint8_t *from = hb_view_row(w, j->at[2], (uint32_t)(j->g * j->ocg + j->oc0 + p * NR + c));
			int64_t k = 0;

			for (int64_t ky = 0; ky < j->kh; ky++)
				for (int64_t kx = 0; kx < j->kw; kx++) {
					const uint8_t *tap = from + ky * w->stride[1] + kx * w->stride[2];

					for (int64_t ic = 0; ic < j->icg; ic++, k++, tap += w->stride[3])
						to[(k / 2 * NR + c) * 2 + k % 2] = w->dtype == HB_I8 ? (int8_t)*tap : *tap;
				}
		}
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

static void
conv_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const conv_job *j = arg;
	int16_t *a = (int16_t *)(void *)(j->work + worker * j->work_bytes);
	int64_t pixels = j->rows * j->cols;

	for (int64_t t = begin; t < end; t++) {
		int64_t first = t * j->tile, n = HB_MIN(j->tile, pixels - first);

		for (int64_t p = 0; p < hb_round_up(n, MR); p++) {
			int16_t *row = a + p * j->k2 * 2;

			if (p >= n) {
				memset(row, 0, (size_t)j->k2 * 4);
				continue;
			}
			gather(j, first + p, row, false);
			if (j->k % 2)
				row[j->k] = 0;
		}
		for (int64_t c0 = 0; c0 < j->ocn; c0 += NR)
			for (int64_t p0 = 0; p0 < n; p0 += MR) {
				int32_t acc[MR][NR];

				HB_VEC_CALL(j->isa, micro, (a + p0 * j->k2 * 2, j->k2, j->panels + c0 * j->k2 * 2, acc));
				for (int64_t p = p0; p < HB_MIN(n, p0 + MR); p++) {
					int64_t sum[NR];

					for (int c = 0; c < NR; c++)
						sum[c] = acc[p - p0][c];
					finish_pixel(j, first + p, j->g * j->ocg + j->oc0 + c0, HB_MIN(NR, j->ocn - c0), sum, false);
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

	(void)worker;
	for (int64_t c = begin; c < end; c++) {
		int64_t oc = j->g * j->ocg + c, sum;
		int32_t dot;

		HB_VEC_CALL(j->isa, dots, ((const int16_t *)(const void *)j->work, (const int8_t *)hb_view_row(w, j->at[2], (uint32_t)oc),
					   j->k, &dot));
		sum = dot;
		finish_pixel(j, 0, oc, 1, &sum, false);
	}
}

static bool
is_dense(const hb_view *w)
{
	return w->dtype == HB_I8 && w->stride[3] == 1 && w->stride[2] == w->ext[3] && w->stride[1] == w->ext[3] * w->ext[2];
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
			gather(j, first + p, a + p * j->k, true);
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
				int64_t acc = (int64_t)sum;

				finish_pixel(j, first + p, oc, 1, &acc, sum64);
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
	int64_t oc = j->groups;
	int32_t *acc = (int32_t *)(void *)(j->work + worker * j->work_bytes);

	for (int64_t p = begin; p < end; p++) {
		int64_t iy0 = p / j->cols * j->im[HB_IMM_conv_sh] - j->im[HB_IMM_conv_pt];
		int64_t ix0 = p % j->cols * j->im[HB_IMM_conv_sw] - j->im[HB_IMM_conv_pl];

		memset(acc, 0, (size_t)oc * 4);
		for (int64_t ky = 0; ky < j->kh; ky++) {
			int64_t iy = iy0 + ky * j->im[HB_IMM_conv_dh];

			if (iy < 0 || iy >= a->ext[0])
				continue;
			const uint8_t *line = hb_view_row(a, j->at[1], (uint32_t)iy);
			for (int64_t kx = 0; kx < j->kw; kx++) {
				int64_t ix = ix0 + kx * j->im[HB_IMM_conv_dw];

				if (ix >= 0 && ix < a->ext[1])
					HB_VEC_CALL(j->isa, depth_tap, (acc, j->panels + (ky * j->kw + kx) * oc,
									line + ix * a->stride[1], a->stride[2], a->dtype, oc));
			}
		}
		for (int64_t c = 0; c < oc; c += NR) {
			int64_t sum[NR];

			for (int64_t k = 0; k < HB_MIN(NR, oc - c); k++)
				sum[k] = acc[c + k];
			finish_pixel(j, p, c, HB_MIN(NR, oc - c), sum, false);
		}
	}
}

static void
depth_pack(const conv_job *j)
{
	const hb_view *w = &j->i->v[2];

	for (int64_t c = 0; c < j->groups; c++) {
		const uint8_t *from = hb_view_row(w, j->at[2], (uint32_t)c);

		for (int64_t ky = 0; ky < j->kh; ky++)
			for (int64_t kx = 0; kx < j->kw; kx++) {
				const uint8_t *tap = from + ky * w->stride[1] + kx * w->stride[2];

				j->panels[(ky * j->kw + kx) * j->groups + c] = w->dtype == HB_I8 ? (int8_t)*tap : *tap;
			}
	}
}

/* ---- all of them ---- */

void
hb_kernel_conv(hb_ctx *cx, const hb_insn *i, uint8_t *const *at, void *scratch)
{
	conv_job j = job_of(cx, i);
	const hb_view *rec = &i->v[3];
	int64_t oc = i->v[0].ext[2], pixels = j.rows * j.cols;
	uint8_t *p = scratch;

	j.at = at;
	j.panels = (int16_t *)scratch;
	p += panel_bytes(&j);
	j.rec = (int32_t *)(void *)p;
	p += round64(oc * 16);
	j.work = p;
	for (int64_t c = 0; c < oc; c++)
		for (int k = 0; k < 4; k++)
			memcpy(j.rec + c * 4 + k, hb_view_row(rec, at[3], (uint32_t)c) + (size_t)k * rec->stride[1], 4);

	if (is_depthwise(&j)) {
		depth_pack(&j);
		hb_parallel(cx, pixels, HB_MAX(1, 16384 / (oc * j.k)), depth_some, &j);
		return;
	}
	for (j.g = 0; j.g < j.groups; j.g++) {
		if (is_wide(i)) {
			hb_parallel(cx, hb_ceil_div(pixels, j.tile), 1, wide_some, &j);
			continue;
		}
		if (pixels == 1 && is_dense(&i->v[2])) {
			gather(&j, 0, j.work, false);
			hb_parallel(cx, j.ocg, HB_MAX(1, 65536 / j.k), pixel_some, &j);
			continue;
		}
		for (j.oc0 = 0; j.oc0 < j.ocg; j.oc0 += j.block) {
			j.ocn = HB_MIN(j.block, j.ocg - j.oc0);
			hb_parallel(cx, hb_ceil_div(j.ocn, NR), 4, pack_some, &j);
			hb_parallel(cx, hb_ceil_div(pixels, j.tile), 1, conv_some, &j);
		}
	}
}
