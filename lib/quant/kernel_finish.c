/* kernel_finish.c: the conv instruction's sums to outputs: bias, addend, the one requantization, clamp.
 *   acc' = acc + bias + q(add, Ma, ea), modulo 2^32;  out = clamp(q(acc', M, e)) */
#include "lib/quant/conv.h"
#include "lib/quant/vec.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define NR HB_CONV_NR

void
hb_conv_rec_set(hb_conv_rec *r, int lane, const int32_t rec[4])
{
	r->bias[lane] = rec[0];
	r->m[lane] = rec[1];
	r->ma[lane] = rec[2];
	r->shift[lane] = hb_requant_shift((rec[3] & 255) - 64);
	r->shift_a[lane] = hb_requant_shift((rec[3] >> 8 & 255) - 64);
}

static void
store(uint8_t *to, hb_dtype dt, int64_t v)
{
	int32_t w = (int32_t)v;

	memcpy(to, &w, hb_dtype_size(dt));	/* little-endian: the low bytes */
}

static void
finish_scalar(const hb_conv_finish *f, const hb_conv_rec *r, const int32_t *acc, int64_t ld, int pixels, int nc,
	      uint8_t *const *to, const uint8_t *const *add)
{
	size_t size = hb_dtype_size(f->out), add_size = hb_dtype_size(f->add);

	for (int p = 0; p < pixels; p++, acc += ld)
		for (int c = 0; c < nc; c++) {
			uint32_t sum = (uint32_t)acc[c] + (uint32_t)r->bias[c];

			if (f->add != HB_NONE) {
				int64_t x;

				hb_load64(add[p] + (size_t)c * add_size, 0, f->add, 1, &x);
				sum += (uint32_t)(uint64_t)hb_requant_at(x, r->ma[c], r->shift_a[c]);
			}
			store(to[p] + (size_t)c * size, f->out, hb_clamp64(hb_requant_at((int32_t)sum, r->m[c], r->shift[c]), f->lo, f->hi));
		}
}

#if defined(__x86_64__)

/* ---- 8 channels in 256 bits ---- */

typedef struct mult8 {			/* of even and of odd lanes */
	__m256i m[2], half[2], shift[2], sign[2];
} mult8;

HB_VEC_AVX2 static inline mult8
mult8_of(const int32_t *m, const int32_t *shift)
{
	__m256i mv = _mm256_loadu_si256((const __m256i *)(const void *)m), sv = _mm256_loadu_si256((const __m256i *)(const void *)shift);
	__m256i one = _mm256_set1_epi64x(1), top = _mm256_set1_epi64x(INT64_MIN);
	mult8 r;

	r.m[0] = mv;
	r.m[1] = _mm256_srli_epi64(mv, 32);
	r.shift[0] = _mm256_and_si256(sv, _mm256_set1_epi64x(UINT32_MAX));
	r.shift[1] = _mm256_srli_epi64(sv, 32);
	for (int k = 0; k < 2; k++) {
		r.half[k] = _mm256_sllv_epi64(one, _mm256_sub_epi64(r.shift[k], one));
		r.sign[k] = _mm256_srlv_epi64(top, r.shift[k]);
	}
	return r;
}

/* q of the even (k = 0) or odd lanes of x, 64 bits each. */
HB_VEC_AVX2 static inline __m256i
scaled8(__m256i x, const mult8 *r, int k)
{
	__m256i y = _mm256_mul_epi32(k ? _mm256_srli_epi64(x, 32) : x, r->m[k]);

	/* an arithmetic shift right: of y + 2^63 as unsigned, less 2^63 shifted */
	y = _mm256_xor_si256(_mm256_add_epi64(y, r->half[k]), _mm256_set1_epi64x(INT64_MIN));
	return _mm256_sub_epi64(_mm256_srlv_epi64(y, r->shift[k]), r->sign[k]);
}

HB_VEC_AVX2 static inline __m256i
clamp8(__m256i x, __m256i lo, __m256i hi)
{
	x = _mm256_blendv_epi8(x, lo, _mm256_cmpgt_epi64(lo, x));
	return _mm256_blendv_epi8(x, hi, _mm256_cmpgt_epi64(x, hi));
}

HB_VEC_AVX2 static inline __m256i
merge8(__m256i even, __m256i odd)
{
	return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
}

HB_VEC_AVX2 static inline __m256i
addend8(const uint8_t *p, hb_dtype dt)
{
	if (dt == HB_I8)
		return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
	if (dt == HB_I16)
		return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

HB_VEC_AVX2 static void
finish_avx2(const hb_conv_finish *f, const hb_conv_rec *r, const int32_t *acc, int64_t ld, int pixels, int nc,
	    uint8_t *const *to, const uint8_t *const *add)
{
	__m256i lo = _mm256_set1_epi64x(f->lo), hi = _mm256_set1_epi64x(f->hi), bias[2], y[2];
	mult8 m[2], ma[2];
	size_t size = hb_dtype_size(f->out), add_size = hb_dtype_size(f->add);
	uint8_t part[NR * 4] = { 0 };

	for (int h = 0; h < 2; h++) {
		bias[h] = _mm256_loadu_si256((const __m256i *)(const void *)(r->bias + 8 * h));
		m[h] = mult8_of(r->m + 8 * h, r->shift + 8 * h);
		ma[h] = mult8_of(r->ma + 8 * h, r->shift_a + 8 * h);
	}
	for (int p = 0; p < pixels; p++, acc += ld) {
		const uint8_t *from = NULL;
		uint8_t *dst = nc == NR ? to[p] : part;

		if (f->add != HB_NONE) {
			from = add[p];
			if (nc < NR)
				from = memcpy(part, add[p], (size_t)nc * add_size);
		}
		for (int h = 0; h < 2; h++) {
			__m256i x = _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(acc + 8 * h)), bias[h]);

			if (from) {
				__m256i a = addend8(from + (size_t)h * 8 * add_size, f->add);

				x = _mm256_add_epi32(x, merge8(scaled8(a, &ma[h], 0), scaled8(a, &ma[h], 1)));
			}
			y[h] = merge8(clamp8(scaled8(x, &m[h], 0), lo, hi), clamp8(scaled8(x, &m[h], 1), lo, hi));
		}
		if (size == 4) {
			_mm256_storeu_si256((__m256i *)(void *)dst, y[0]);
			_mm256_storeu_si256((__m256i *)(void *)(dst + 32), y[1]);
		} else {
			__m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(y[0], y[1]), 0xd8);

			if (size == 2) {
				_mm256_storeu_si256((__m256i *)(void *)dst, w);
			} else {
				__m128i u = _mm256_castsi256_si128(w), v = _mm256_extracti128_si256(w, 1);

				_mm_storeu_si128((__m128i *)(void *)dst, f->out == HB_I8 ? _mm_packs_epi16(u, v) : _mm_packus_epi16(u, v));
			}
		}
		if (nc < NR)
			memcpy(to[p], part, (size_t)nc * size);
	}
}

/* ---- 16 channels in 512 bits ---- */

typedef struct mult16 {
	__m512i m[2], half[2], shift[2];
} mult16;

HB_VEC_AVX512 static inline mult16
mult16_of(const int32_t *m, const int32_t *shift)
{
	__m512i mv = _mm512_loadu_si512(m), sv = _mm512_loadu_si512(shift), one = _mm512_set1_epi64(1);
	mult16 r;

	r.m[0] = mv;
	r.m[1] = _mm512_srli_epi64(mv, 32);
	r.shift[0] = _mm512_and_si512(sv, _mm512_set1_epi64(UINT32_MAX));
	r.shift[1] = _mm512_srli_epi64(sv, 32);
	for (int k = 0; k < 2; k++)
		r.half[k] = _mm512_sllv_epi64(one, _mm512_sub_epi64(r.shift[k], one));
	return r;
}

HB_VEC_AVX512 static inline __m512i
scaled16(__m512i x, const mult16 *r, int k)
{
	__m512i y = _mm512_mul_epi32(k ? _mm512_srli_epi64(x, 32) : x, r->m[k]);

	return _mm512_srav_epi64(_mm512_add_epi64(y, r->half[k]), r->shift[k]);
}

HB_VEC_AVX512 static inline __m512i
merge16(__m512i even, __m512i odd)
{
	return _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
}

HB_VEC_AVX512 static inline __m512i
addend16(const uint8_t *p, hb_dtype dt, __mmask16 mask)
{
	if (dt == HB_I8)
		return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, p));
	if (dt == HB_I16)
		return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, p));
	return _mm512_maskz_loadu_epi32(mask, p);
}

HB_VEC_AVX512 static void
finish_avx512(const hb_conv_finish *f, const hb_conv_rec *r, const int32_t *acc, int64_t ld, int pixels, int nc,
	      uint8_t *const *to, const uint8_t *const *add)
{
	__m512i lo = _mm512_set1_epi64(f->lo), hi = _mm512_set1_epi64(f->hi), bias = _mm512_loadu_si512(r->bias);
	mult16 m = mult16_of(r->m, r->shift), ma = mult16_of(r->ma, r->shift_a);
	__mmask16 mask = (__mmask16)(0xffff >> (NR - nc));
	size_t size = hb_dtype_size(f->out);

	for (int p = 0; p < pixels; p++, acc += ld) {
		__m512i x = _mm512_add_epi32(_mm512_loadu_si512(acc), bias);

		if (f->add != HB_NONE) {
			__m512i a = addend16(add[p], f->add, mask);

			x = _mm512_add_epi32(x, merge16(scaled16(a, &ma, 0), scaled16(a, &ma, 1)));
		}
		__m512i even = _mm512_min_epi64(_mm512_max_epi64(scaled16(x, &m, 0), lo), hi);
		__m512i odd = _mm512_min_epi64(_mm512_max_epi64(scaled16(x, &m, 1), lo), hi);
		__m512i y = merge16(even, odd);

		if (size == 1)
			_mm_mask_storeu_epi8(to[p], mask, _mm512_cvtepi32_epi8(y));
		else if (size == 2)
			_mm256_mask_storeu_epi16(to[p], mask, _mm512_cvtepi32_epi16(y));
		else
			_mm512_mask_storeu_epi32(to[p], mask, y);
	}
}
#else
#define finish_avx2 finish_scalar
#define finish_avx512 finish_scalar
#endif

void
hb_conv_finish_rows(const hb_conv_finish *f, const hb_conv_rec *r, const int32_t *acc, int64_t ld, int pixels, int nc,
		    uint8_t *const *to, const uint8_t *const *add)
{
	bool plain_add = f->add == HB_NONE || f->add == HB_I8 || f->add == HB_I16 || f->add == HB_I32;
	hb_isa isa = f->short_shifts && plain_add ? f->isa : HB_ISA_SCALAR;

	HB_VEC_CALL(isa, finish, (f, r, acc, ld, pixels, nc, to, add));
}
