/* quant.h: the arithmetic of SEMANTICS.md: scales, fake quantization, the one
 * requantization, observers. Layers above say where; this one says how. */
#ifndef HB_QUANT_H
#define HB_QUANT_H

#include "lib/ir/ir.h"
#include "lib/isa/isa.h"

/* ---- scales and rounding ---- */

typedef enum hb_round { HB_HALF_EVEN, HB_HALF_UP } hb_round;	/* float to integer (--round) */

int32_t hb_qmin(hb_dtype dt);		/* -128, -32768, INT32_MIN, 0 for HB_BOOL */
int32_t hb_qmax(hb_dtype dt);

/* Scale for values whose magnitude is at most absmax: absmax / ((qmax - qmin) / 2), at least FLT_EPSILON.
 * divisor_qmax: absmax / qmax instead (--scale-divisor qmax). */
float hb_scale_of(float absmax, hb_dtype dt, bool divisor_qmax);

/* q for the values [lo, hi] in type dt around 0, no other: scale and limits. */
void hb_q_recentre(hb_q *q, hb_dtype dt, double lo, double hi);

/* clamp(R(x / s)); NaN gives 0, infinities saturate. */
int32_t hb_quantize(float x, float s, hb_dtype dt, hb_round r);
/* n elements, vectorised, same values. dst has dtype dt (HB_I8, HB_I16, HB_I32). */
void hb_quantize_n(hb_ctx *cx, const float *x, float s, hb_dtype dt, hb_round r, void *dst, int64_t n);
void hb_dequantize_n(hb_ctx *cx, const void *q, hb_dtype dt, float s, float *dst, int64_t n);
/* x' = Q(x) * s. dst may be x. */
void hb_fake_quant_n(hb_ctx *cx, const float *x, float s, hb_dtype dt, hb_round r, float *dst, int64_t n);
/* A tensor of shape s as q says, a scale a channel where it has them. */
void hb_fake_quant(hb_ctx *cx, const float *x, const hb_q *q, const hb_shape *s, hb_round r, float *dst);

/* ---- weights: lib/quant/weights.c ---- */

/* Weights of a Conv, ConvTranspose, Gemm or MatMul as they lie. Those of one output channel are `outer` runs of `inner`
 * floats, `step` apart. */
typedef struct hb_weights {
	const float *w;
	double gain;			/* of each (Gemm's alpha) */
	int64_t channels, of_group;	/* output channels, all and of a group */
	int64_t channel_step, group_step;	/* floats from one channel to the next of its group, and to the next group */
	int64_t outer, inner, step;
	int64_t taps, group_in;		/* of the window, in a run; input channels of a group */
	bool mse;			/* scales are those of the least squared error, not those of the largest weight */
} hb_weights;

/* Where channel c's first run begins. */
static inline int64_t
hb_weights_first(const hb_weights *w, int64_t c)
{
	return c / w->of_group * w->group_step + c % w->of_group * w->channel_step;
}

/* Where weight k of channel c is, in the order of its runs. */
static inline int64_t
hb_weights_at(const hb_weights *w, int64_t c, int64_t k)
{
	return hb_weights_first(w, c) + k / w->inner * w->step + k % w->inner;
}

/* The input channel that weight i of channel c's run o reads. */
static inline int64_t
hb_weights_input(const hb_weights *w, int64_t c, int64_t o, int64_t i)
{
	return c / w->of_group * w->group_in + o + i / w->taps;
}

/* The scale of each channel's weights as int8; 1 where all of the layer are zero. */
void hb_weight_scales(hb_ctx *cx, const hb_weights *w, float *scales);
/* That of channel c alone. */
float hb_weight_scale(const hb_ctx *cx, const hb_weights *w, int64_t c);

/* ---- requantization: y = (acc * M + 2^(30-e)) >> (31-e), half up, exact ---- */

typedef struct hb_mult {
	int32_t m;			/* 2^30..2^31-1 */
	int32_t e;			/* exponent: ratio = m * 2^(e-31) */
} hb_mult;

/* The multiplier for a ratio in [2^-40, 2^24); false outside. */
bool hb_mult_of(double ratio, hb_mult *out);
/* Not clamped; exact for every int64 acc below 2^62 in magnitude (128-bit product). */
int64_t hb_requant(int64_t acc, hb_mult m);

/* ---- observers (SEMANTICS 2) ---- */

typedef enum hb_observer_kind {
	HB_OBS_MINMAX, HB_OBS_MOVING, HB_OBS_PERCENTILE, HB_OBS_KL, HB_OBS_MSE,
	HB_OBS_HISTOGRAM, HB_OBS_MIX, HB_OBS_FIXED,
	HB_OBS_DEFAULT,			/* calibration tries minmax, percentile 0.99995 and kl on the whole model */
	HB_OBS_NKINDS
} hb_observer_kind;

typedef struct hb_observer_cfg {
	hb_observer_kind kind;
	double percentile;		/* of HB_OBS_PERCENTILE: 0 < p <= 1, default 0.9999 */
	double averaging_constant;	/* of HB_OBS_MOVING: default 0.01 */
	float fixed_scale;		/* of HB_OBS_FIXED */
	/* The one function that reads the tensor, or NULL: mse then measures the error behind it, so that
	 * what the function flattens (the negative side of SiLU) does not widen the step. qint8 only. */
	double (*reader)(const void *arg, double x);
	const void *reader_arg;
	bool whole;			/* holds what every observer reads that needs no order of samples */
} hb_observer_cfg;

/* By the names of SEMANTICS 2 and hb_mapper's (max, kl, mix, ...); false where unknown. */
bool hb_observer_kind_of(const char *name, hb_observer_kind *out);
const char *hb_observer_name(hb_observer_kind k);

typedef struct hb_observer hb_observer;

/* One observer a tensor; its memory does not grow with samples. NULL without memory. */
hb_observer *hb_observer_new(hb_arena *a, const hb_observer_cfg *cfg, hb_dtype dt);
/* Takes one sample's values, in the order of samples. Non-finite values are counted and left out. */
void hb_observer_add(hb_ctx *cx, hb_observer *o, const float *x, int64_t n);
/* The range [-absmax, absmax] that the observer chooses for dtype dt, and what it saw. */
typedef struct hb_range {
	float min, max;			/* seen */
	float absmax;			/* chosen */
	double clipped;			/* share of values beyond absmax */
	int64_t nonfinite;
} hb_range;
void hb_observer_range(const hb_observer *o, hb_range *out);
/* The range that another configuration and type choose from the same values. cfg->kind reads what o holds: the
 * observer's own kind, minmax, fixed, and of a whole one all but moving and histogram. */
void hb_observer_range_as(const hb_observer *o, const hb_observer_cfg *cfg, hb_dtype dt, hb_range *out);

/* Do its results depend on the order of samples? Then parts cannot be merged. */
bool hb_observer_is_ordered(hb_observer_kind k);
/* What o holds, to the end of b; o is whole. */
void hb_observer_save(const hb_observer *o, hb_buf *b);
/* Adds to o, which is whole, what hb_observer_save wrote: as if o had seen those values too. False where the bytes are
 * no such thing. */
bool hb_observer_merge(hb_observer *o, hb_cursor *c);

/* What is seen of each channel of a tensor: its range, running or as moving averages with constant c (0: running), and
 * a histogram. */
typedef struct hb_channels {
	int64_t n, samples;
	int64_t most;			/* values of a channel that are looked at in a sample, evenly spread; 0: all */
	double averaging_constant;
	float *min, *max;		/* n each, of finite values; 0 before the first */
	int *exponent;			/* of each channel's bins: 2^exponent wide */
	uint32_t *bins;			/* of each channel: those of its values from 0 on, as many of those below; NULL: not wanted */
} hb_channels;
hb_channels *hb_channels_new(hb_arena *a, int64_t n, double averaging_constant, int64_t most, bool histogram);
/* One sample: x[outer][n][inner]. */
void hb_channels_add(hb_ctx *cx, hb_channels *ch, const float *x, int64_t outer, int64_t inner);
/* The magnitude that each channel keeps as qint8, n of them: with mse and histograms the one with the least squared error
 * (behind cfg's reader, where it has one), else that of its range. */
void hb_channels_absmax(hb_ctx *cx, const hb_channels *ch, const hb_observer_cfg *cfg, float *absmax);
void hb_channels_save(const hb_channels *ch, hb_buf *b);
bool hb_channels_merge(hb_channels *ch, hb_cursor *c);

/* ---- error measures, accumulated in double in one fixed order ---- */
typedef struct hb_measure {
	double dot, aa, bb, l1, chebyshev, dd;
	int64_t n;
} hb_measure;
void hb_measure_add(hb_measure *e, const float *ref, const float *got, int64_t n);
double hb_measure_cosine(const hb_measure *e);	/* 1 where both are all zero */
double hb_measure_sqnr(const hb_measure *e);	/* dB; HUGE_VAL where equal */
double hb_measure_l1(const hb_measure *e);		/* mean |ref - got| */
double hb_measure_l2(const hb_measure *e);		/* Euclidean distance / n, as hb_mapper prints it */
double hb_measure_chebyshev(const hb_measure *e);

/* ---- kernels over views: the meaning of each instruction (lib/quant/kernel.c) ---- */

/* Executes instruction i; at[k] is the address of operand k's element 0 (for a ring: of row slot 0).
 * Views are in bounds, types agree with the row of insn.def: the caller has checked (hb_insn_check).
 * scratch: hb_kernel_scratch(i) bytes. */
void hb_kernel(hb_ctx *cx, const hb_insn *i, uint8_t *const *at, void *scratch);
size_t hb_kernel_scratch(const hb_ctx *cx, const hb_insn *i);

/* The weights (operand 2, dense) and records (3) of conv instruction i made ready once for any number of runs with
 * this context; 0 bytes: they are used as they are. */
size_t hb_kernel_conv_pack_bytes(const hb_ctx *cx, const hb_insn *i);
void hb_kernel_conv_pack(hb_ctx *cx, const hb_insn *i, uint8_t *const *at, void *to);
/* packed: what hb_kernel_conv_pack made, or NULL. */
void hb_kernel_conv_run(hb_ctx *cx, const hb_insn *i, uint8_t *const *at, const void *packed, void *scratch);

#endif
