/* vec.h: one C body compiled for each vector width. The bodies hold no
 * floating-point sum, so every width gives the same bits. */
#ifndef HB_QUANT_VEC_H
#define HB_QUANT_VEC_H

#include "lib/hbcc.h"

#define HB_VEC_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define HB_VEC_AVX2 __attribute__((target("avx2")))
#define HB_VEC_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#else
#define HB_VEC_AVX2
#define HB_VEC_AVX512
#endif

/* Defines name_scalar, name_avx2 and name_avx512 with parameters `params` (parenthesised). */
#define HB_VEC_BODY(name, params, ...)          \
	static void name##_scalar params __VA_ARGS__    \
	HB_VEC_AVX2 static void name##_avx2 params __VA_ARGS__  \
	HB_VEC_AVX512 static void name##_avx512 params __VA_ARGS__

#define HB_VEC_CALL(isa, name, args)                    \
	do {                                            \
		if ((isa) == HB_ISA_AVX512)             \
			name##_avx512 args;             \
		else if ((isa) == HB_ISA_AVX2)          \
			name##_avx2 args;               \
		else                                    \
			name##_scalar args;             \
	} while (0)

#endif
