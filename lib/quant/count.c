/* count.c: bins' numbers in vectors, then counts of 16 bits in the first-level cache, then the bins. */
#include "lib/quant/count.h"
#include "lib/quant/vec.h"

#include <float.h>
#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
	MAX_BINS = 1 << 13,
	LIST = 2048,			/* numbers at a time */
	STRETCH = 32,			/* bins that are left alone together where nothing fell into them: most of an edge's mostly */
	OTHER = MAX_BINS + 1,		/* between the two sets of counts; the last of a set is of what is not finite */
};

/* Numbers of the bins of n values, `below` more for those below 0. */
HB_VEC_INLINE void
numbers(const float *restrict x, int64_t n, float inv, int32_t below, uint16_t *restrict to)
{
	for (int64_t i = 0; i < n; i++) {
		float v = fabsf(x[i]);
		to[i] = (uint16_t)((v <= FLT_MAX ? (int32_t)(v * inv) : MAX_BINS) + (x[i] < 0 ? below : 0));
	}
}

static void
numbers_scalar(const float *x, int64_t n, float inv, int32_t below, uint16_t *to)
{
	numbers(x, n, inv, below, to);
}

HB_VEC_AVX2 static void
numbers_avx2(const float *x, int64_t n, float inv, int32_t below, uint16_t *to)
{
	numbers(x, n, inv, below, to);
}

#if defined(__x86_64__)

/* Numbers that are not 0, of which there are many in a row where a Relu was; returns how many they are. `to` has
 * room for 16 more. */
HB_VEC_AVX512 static int64_t
numbers_above_0(const float *x, int64_t n, float inv, uint16_t *to)
{
	uint16_t *at = to;
	__m512 most = _mm512_set1_ps(FLT_MAX), by = _mm512_set1_ps(inv);
	for (int64_t i = 0; i < n; i += 16) {
		__mmask16 there = (__mmask16)(n - i < 16 ? 0xffffu >> (16 - (n - i)) : 0xffff);
		__m512 v = _mm512_abs_ps(_mm512_maskz_loadu_ps(there, x + i));
		__mmask16 finite = _mm512_cmp_ps_mask(v, most, _CMP_LE_OQ);
		__m512i k = _mm512_mask_cvttps_epi32(_mm512_set1_epi32(MAX_BINS), finite, _mm512_mul_ps(v, by));
		__mmask16 above = _mm512_test_epi32_mask(k, k);
		_mm256_storeu_si256((__m256i *)at, _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(above, k)));
		at += __builtin_popcount(above);
	}
	return at - to;
}

#endif

/* In turn into two sets, so that equal numbers one after another do not wait for each other. */
static void
count_list(const uint16_t *list, int64_t n, uint16_t *counts)
{
	int64_t i = 0;
	for (; i + 4 <= n; i += 4) {
		uint64_t four;
		memcpy(&four, list + i, 8);
		counts[four & 0xffff]++;
		counts[OTHER + (four >> 16 & 0xffff)]++;
		counts[four >> 32 & 0xffff]++;
		counts[OTHER + (four >> 48)]++;
	}
	for (; i < n; i++)
		counts[list[i]]++;
}

/* Numbers that say which set; from four places in turn, for the same reason. */
static void
count_signed(const uint16_t *list, int64_t n, uint16_t *counts)
{
	int64_t quarter = n / 4;
	for (int64_t i = 0; i < quarter; i++) {
		counts[list[i]]++;
		counts[list[quarter + i]]++;
		counts[list[2 * quarter + i]]++;
		counts[list[3 * quarter + i]]++;
	}
	for (int64_t i = 4 * quarter; i < n; i++)
		counts[list[i]]++;
}

static void
count_values(hb_isa isa, const float *x, int64_t n, float inv, bool by_sign, uint16_t *counts)
{
	uint16_t list[LIST + 16];
	for (int64_t i = 0; i < n; i += LIST) {
		int64_t m = n - i < LIST ? n - i : LIST;
#if defined(__x86_64__)
		if (isa == HB_ISA_AVX512 && !by_sign) {
			int64_t above = numbers_above_0(x + i, m, inv, list);
			counts[0] = (uint16_t)(counts[0] + m - above);
			count_list(list, above, counts);
			continue;
		}
#endif
		if (isa == HB_ISA_SCALAR)
			numbers_scalar(x + i, m, inv, by_sign ? OTHER : 0, list);
		else
			numbers_avx2(x + i, m, inv, by_sign ? OTHER : 0, list);
		if (by_sign)
			count_signed(list, m, counts);
		else
			count_list(list, m, counts);
	}
}

static bool
any(const uint16_t *counts)
{
	uint16_t all = 0;
	for (int i = 0; i < STRETCH; i++)
		all |= counts[i];
	return all;
}

void
hb_count_bins(hb_isa isa, const float *x, int64_t n, float inv, int bits, uint64_t *bins, uint64_t *negative, int *lock)
{
	uint16_t counts[2 * OTHER];
	for (int64_t i = 0; i < n; i += HB_COUNT_ROUND) {
		int64_t m = n - i < HB_COUNT_ROUND ? n - i : HB_COUNT_ROUND;
		memset(counts, 0, sizeof(counts));	/* of 16 bits: a round does not run over */
		count_values(isa, x + i, m, inv, negative, counts);
		while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE))
			;
		for (int k = 0; k < 1 << bits; k += STRETCH) {
			if (!any(counts + k) && !any(counts + OTHER + k))
				continue;
			for (int b = k; b < k + STRETCH; b++)
				bins[b] += (uint64_t)counts[b] + counts[OTHER + b];
			for (int b = k; negative && b < k + STRETCH; b++)
				negative[b] += counts[OTHER + b];
		}
		__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
	}
}
