/* cpu.h: one kernel body compiled for every vector width.
 *
 *	HB_INLINE void body(float *restrict y, const float *restrict x, int64_t n) { loop }
 *	HB_KERNEL(scale, body, (float *restrict y, const float *restrict x, int64_t n), (y, x, n))
 *	...
 *	scale[cx->isa](y, x, n);
 *
 * A body is plain C, so the compiler vectorises it; nothing may be reassociated or
 * contracted (-ffp-contract=off), so all widths give the same bits as long as the body
 * has no reduction whose order depends on the width. */
#ifndef HB_CPU_H
#define HB_CPU_H

#include "lib/hbcc.h"

#define HB_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define HB_X86 1
#define HB_AVX2 __attribute__((target("avx2,fma,f16c")))
#define HB_AVX512 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")))
#define HB_VNNI __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#else
#define HB_AVX2
#define HB_AVX512
#define HB_VNNI
#endif

/* Before a loop with a small constant count: it must go, so that an array it indexes becomes registers. */
#ifdef __clang__
#define HB_UNROLL _Pragma("clang loop unroll(full)")
#else
#define HB_UNROLL _Pragma("GCC unroll 32")
#endif

/* name[isa] calls `body`, an HB_INLINE function of parameters `params`, with `args`. */
#define HB_KERNEL(name, body, params, args)                             \
	static void name##_scalar params { body args; }                 \
	HB_AVX2 static void name##_avx2 params { body args; }           \
	HB_AVX512 static void name##_avx512 params { body args; }       \
	static void (*const name[3]) params = { name##_scalar, name##_avx2, name##_avx512 };

#endif
