/* conv.h: shared by the files of the conv instruction: what turns sums into outputs, and int8 products. */
#ifndef HB_QUANT_CONV_H
#define HB_QUANT_CONV_H

#include "lib/quant/kernel.h"

#define HB_CONV_NR 16			/* output channels of a panel */

/* The records of a panel's channels; those past the last channel give 0. */
typedef struct hb_conv_rec {
	int32_t bias[HB_CONV_NR], m[HB_CONV_NR], shift[HB_CONV_NR];
	int32_t ma[HB_CONV_NR], shift_a[HB_CONV_NR];
} hb_conv_rec;

/* From sums to outputs; channels lie side by side. */
typedef struct hb_conv_finish {
	hb_isa isa;
	hb_dtype out, add;		/* add: HB_NONE where nothing is added; out: not HB_I64 */
	int64_t lo, hi;
	bool short_shifts;		/* no shift is beyond 62 */
} hb_conv_finish;

void hb_conv_rec_set(hb_conv_rec *r, int lane, const int32_t rec[4]);
/* acc [pixels], ld apart, of nc <= 16 channels' sums without bias; to[p] and add[p]: the first channel's place. */
void hb_conv_finish_rows(const hb_conv_finish *f, const hb_conv_rec *r, const int32_t *acc, int64_t ld, int pixels, int nc,
			 uint8_t *const *to, const uint8_t *const *add);

/* ---- four int8 products at a time (kernel_conv_vnni.c) ---- */

bool hb_conv_has_vnni(hb_isa isa);

/* Of n <= 16 rows of k int8, ld apart: a panel [k4 / 4][16][4], k4 = k rounded up to 4; and, into start, -128 * the sum
 * of each row: what activations flipped by 0x80 add too much. */
void hb_conv_pack_vnni(const int8_t *rows, int64_t ld, int n, int64_t k, uint8_t *panel, int32_t start[HB_CONV_NR]);
/* acc [pixels][2 panels][16] = products of rows of k4 bytes, unsigned, with 1 or 2 panels, `next` bytes apart. */
#define HB_CONV_VNNI_ROWS 12
void hb_conv_dot_vnni(const uint8_t *a, int64_t k4, const uint8_t *w, int64_t next, int panels, int pixels, int32_t *acc);
/* to[i] = from[i] ^ flip. */
void hb_conv_flip_vnni(uint8_t *to, const uint8_t *from, int64_t n, uint8_t flip);

/* Depthwise, by blocks of 64 channels: four panels of records and, for 4 taps, 256 bytes of weights each.
 * Panel q's lane 4l + e is the block's channel 16l + 4q + e. */
static inline int
hb_conv_depth_channel(int q, int lane)
{
	return lane / 4 * 16 + q * 4 + lane % 4;
}
/* One pixel: taps[t] is where tap t's channels lie (taps rounded up to 4). int8 out, no addend. */
void hb_conv_depth_vnni(const hb_conv_finish *f, const hb_conv_rec *r, const uint8_t *w, const uint8_t *const *taps, int64_t ntaps,
			uint8_t flip, int64_t channels, uint8_t *to);

#endif
