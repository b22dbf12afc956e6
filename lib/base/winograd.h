/* winograd.h: 3 x 3 convolution of stride 1 with 16 products for four results in place of 36
 * (F(2 x 2, 3 x 3); Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015).
 * Tiles of 4 x 4 cells, 2 apart, are transformed by sums alone, U = G g G^T is packed ahead, the
 * 16 products over channels are matrix products (gemm.h). One order of operations at every width.
 * An infinity or NaN makes all results of the tiles that see it NaN. */
#ifndef HB_WINOGRAD_H
#define HB_WINOGRAD_H

#include "lib/base/base.h"

/* One sample of one group. Two dimensions each: rows, columns. */
typedef struct hb_winograd {
	int64_t cin, cout;
	int64_t in[2], out[2], begin[2];	/* begin: padding before the first row and column */
	const float *x, *u, *bias;		/* u: packed; bias may be NULL */
	float *y;
	float lo, hi;				/* results are brought into [lo, hi]; NaN stays */
	/* Called for each finished stretch of a channel while it is in the cache. May be NULL. */
	void (*post)(void *arg, int64_t channel, float *y, int64_t n);
	void *post_arg;
	void *scratch;
} hb_winograd;

/* Whether it beats the direct product: by geometry alone, so that results depend on nothing else. */
bool hb_winograd_pays(const hb_winograd *w);

/* Of the geometry w; weights: cout x cin x 3 x 3. */
size_t hb_winograd_u_bytes(hb_isa isa, const hb_winograd *w);
void hb_winograd_pack(hb_isa isa, const hb_winograd *w, const float *weights, float *to);

size_t hb_winograd_scratch(const hb_winograd *w, int jobs);
void hb_winograd_run(hb_ctx *cx, const hb_winograd *w);

#endif
