/* kernel_conv_vnni.c: the conv instruction's int8 products, four at a time (AVX-512 VNNI). The instruction takes
 * unsigned activations: int8 ones are flipped by 0x80, which is 128 more, and the bias makes up for it. */
#include "lib/quant/conv.h"
#include "lib/quant/vec.h"

#define NR HB_CONV_NR

#if defined(__x86_64__)
#include <immintrin.h>

#define VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define VNNI_INLINE VNNI static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

bool
hb_conv_has_vnni(hb_isa isa)
{
	return isa == HB_ISA_AVX512 && __builtin_cpu_supports("avx512vnni");
}

VNNI_INLINE __mmask64
bytes_mask(int64_t n)
{
	return n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
}

VNNI void
hb_conv_flip_vnni(uint8_t *to, const uint8_t *from, int64_t n, uint8_t flip)
{
	__m512i f = _mm512_set1_epi8((char)flip);

	for (int64_t i = 0; i < n; i += 64) {
		__mmask64 m = bytes_mask(n - i);

		_mm512_mask_storeu_epi8(to + i, m, _mm512_xor_si512(_mm512_maskz_loadu_epi8(m, from + i), f));
	}
}

/* ---- panels ---- */

/* 16 rows of 16 dwords become 16 columns. */
VNNI_INLINE void
transpose(__m512i r[16])
{
	__m512i t[16];

	UNROLL
	for (int i = 0; i < 16; i += 2) {
		t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
		t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
	}
	UNROLL
	for (int i = 0; i < 16; i += 4) {
		r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
		r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
		r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
		r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
	}
	/* r[4 * g + c], 128-bit part p: column 4 * p + c of rows 4 * g.. */
	UNROLL
	for (int c = 0; c < 4; c++) {
		__m512i a = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88), b = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
		__m512i d = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd), e = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);

		t[c] = _mm512_shuffle_i32x4(a, b, 0x88);
		t[8 + c] = _mm512_shuffle_i32x4(a, b, 0xdd);
		t[4 + c] = _mm512_shuffle_i32x4(d, e, 0x88);
		t[12 + c] = _mm512_shuffle_i32x4(d, e, 0xdd);
	}
	UNROLL
	for (int i = 0; i < 16; i++)
		r[i] = t[i];
}

VNNI void
hb_conv_pack_vnni(const int8_t *rows, int64_t ld, int n, int64_t k, uint8_t *panel, int32_t start[NR])
{
	__m512i sum = _mm512_setzero_si512(), most = _mm512_set1_epi8((char)0x80);

	for (int64_t at = 0; at < k; at += 64) {
		__mmask64 m = bytes_mask(k - at);
		int64_t groups = HB_MIN(16, (k - at + 3) / 4);
		__m512i r[16];

		UNROLL
		for (int i = 0; i < 16; i++)
			r[i] = i < n ? _mm512_maskz_loadu_epi8(m, rows + i * ld + at) : _mm512_setzero_si512();
		transpose(r);
		UNROLL
		for (int i = 0; i < 16; i++) {
			if (i >= groups)
				break;
			sum = _mm512_dpbusd_epi32(sum, most, r[i]);
			_mm512_storeu_si512(panel, r[i]);
			panel += 64;
		}
	}
	_mm512_storeu_si512(start, _mm512_sub_epi32(_mm512_setzero_si512(), sum));
}

/* ---- products ---- */

VNNI_INLINE void
dot(const uint8_t *a, int64_t k4, const uint8_t *w, int64_t next, int panels, int rows, int32_t *acc)
{
	__m512i s[HB_CONV_VNNI_ROWS][2];
	const uint8_t *w1 = w + next;

	UNROLL
	for (int p = 0; p < rows; p++)
		s[p][0] = s[p][1] = _mm512_setzero_si512();
	for (int64_t k = 0; k < k4; k += 4) {
		__m512i b0 = _mm512_loadu_si512(w + k * NR), b1 = panels > 1 ? _mm512_loadu_si512(w1 + k * NR) : b0;

		UNROLL
		for (int p = 0; p < rows; p++) {
			int32_t u;

			memcpy(&u, a + p * k4 + k, sizeof(u));
			__m512i x = _mm512_set1_epi32(u);

			s[p][0] = _mm512_dpbusd_epi32(s[p][0], x, b0);
			if (panels > 1)
				s[p][1] = _mm512_dpbusd_epi32(s[p][1], x, b1);
		}
	}
	UNROLL
	for (int p = 0; p < rows; p++)
		UNROLL
		for (int v = 0; v < panels; v++)
			_mm512_storeu_si512(acc + (p * 2 + v) * NR, s[p][v]);
}

#define DOT(rows)                                               \
	{                                                       \
		if (panels > 1)                                 \
			dot(a, k4, w, next, 2, rows, acc);            \
		else                                            \
			dot(a, k4, w, next, 1, rows, acc);            \
		n = rows;                                       \
	}

VNNI void
hb_conv_dot_vnni(const uint8_t *a, int64_t k4, const uint8_t *w, int64_t next, int panels, int pixels, int32_t *acc)
{
	int n = 0;

	for (int p = 0; p < pixels; p += n, a += n * k4, acc += (ptrdiff_t)n * 2 * NR) {
		int left = pixels - p;

		if (left >= 12)
			DOT(12)
		else if (left >= 8)
			DOT(8)
		else if (left >= 4)
			DOT(4)
		else if (left >= 2)
			DOT(2)
		else
			DOT(1)
	}
}

/* ---- depthwise ---- */

/* 16 lanes' sums, clamped. */
VNNI_INLINE __m512i
finished(__m512i x, const hb_conv_rec *r, __m512i lo, __m512i hi)
{
	__m512i m = _mm512_loadu_si512(r->m), s = _mm512_loadu_si512(r->shift), one = _mm512_set1_epi64(1);
	__m512i s0 = _mm512_and_si512(s, _mm512_set1_epi64(UINT32_MAX)), s1 = _mm512_srli_epi64(s, 32);
	__m512i even, odd;

	x = _mm512_add_epi32(x, _mm512_loadu_si512(r->bias));
	even = _mm512_mul_epi32(x, m);
	odd = _mm512_mul_epi32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(m, 32));
	even = _mm512_srav_epi64(_mm512_add_epi64(even, _mm512_sllv_epi64(one, _mm512_sub_epi64(s0, one))), s0);
	odd = _mm512_srav_epi64(_mm512_add_epi64(odd, _mm512_sllv_epi64(one, _mm512_sub_epi64(s1, one))), s1);
	even = _mm512_min_epi64(_mm512_max_epi64(even, lo), hi);
	odd = _mm512_min_epi64(_mm512_max_epi64(odd, lo), hi);
	return _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
}

VNNI void
hb_conv_depth_vnni(const hb_conv_finish *f, const hb_conv_rec *r, const uint8_t *w, const uint8_t *const *taps, int64_t ntaps,
		   uint8_t flip, int64_t channels, uint8_t *to)
{
	__m512i fl = _mm512_set1_epi8((char)flip), lo = _mm512_set1_epi64(f->lo), hi = _mm512_set1_epi64(f->hi);

	for (int64_t c = 0; c < channels; c += 64, r += 4) {
		__mmask64 mask = bytes_mask(channels - c);
		__m512i s[4];

		UNROLL
		for (int q = 0; q < 4; q++)
			s[q] = _mm512_setzero_si512();
		for (int64_t t = 0; t < ntaps; t += 4, w += 256) {
			__m512i x[4], u[4];

			UNROLL
			for (int i = 0; i < 4; i++)
				x[i] = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, taps[t + i] + c), fl);
			u[0] = _mm512_unpacklo_epi8(x[0], x[1]);
			u[1] = _mm512_unpackhi_epi8(x[0], x[1]);
			u[2] = _mm512_unpacklo_epi8(x[2], x[3]);
			u[3] = _mm512_unpackhi_epi8(x[2], x[3]);
			x[0] = _mm512_unpacklo_epi16(u[0], u[2]);
			x[1] = _mm512_unpackhi_epi16(u[0], u[2]);
			x[2] = _mm512_unpacklo_epi16(u[1], u[3]);
			x[3] = _mm512_unpackhi_epi16(u[1], u[3]);
			UNROLL
			for (int q = 0; q < 4; q++)
				s[q] = _mm512_dpbusd_epi32(s[q], x[q], _mm512_loadu_si512(w + 64 * q));
		}
		UNROLL
		for (int q = 0; q < 4; q++)
			s[q] = finished(s[q], r + q, lo, hi);
		_mm512_mask_storeu_epi8(to + c, mask, _mm512_packs_epi16(_mm512_packs_epi32(s[0], s[1]), _mm512_packs_epi32(s[2], s[3])));
	}
}

#else

/* Nothing calls the rest where this says no. */
bool
hb_conv_has_vnni(hb_isa isa)
{
	(void)isa;
	return false;
}

void
hb_conv_flip_vnni(uint8_t *to, const uint8_t *from, int64_t n, uint8_t flip)
{
	(void)to, (void)from, (void)n, (void)flip;
}

void
hb_conv_pack_vnni(const int8_t *rows, int64_t ld, int n, int64_t k, uint8_t *panel, int32_t start[NR])
{
	(void)rows, (void)ld, (void)n, (void)k, (void)panel, (void)start;
}

void
hb_conv_dot_vnni(const uint8_t *a, int64_t k4, const uint8_t *w, int64_t next, int panels, int pixels, int32_t *acc)
{
	(void)a, (void)k4, (void)w, (void)next, (void)panels, (void)pixels, (void)acc;
}

void
hb_conv_depth_vnni(const hb_conv_finish *f, const hb_conv_rec *r, const uint8_t *w, const uint8_t *const *taps, int64_t ntaps,
		   uint8_t flip, int64_t channels, uint8_t *to)
{
	(void)f, (void)r, (void)w, (void)taps, (void)ntaps, (void)flip, (void)channels, (void)to;
}

#endif
