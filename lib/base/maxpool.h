/* maxpool.h: the largest cell of each window of one plane, read in place. A cell takes the place of what is there
 * where it is larger or NaN: down the rows first, then along them; cells of the padding are not seen. */
#ifndef HB_MAXPOOL_H
#define HB_MAXPOOL_H

#include "lib/base/base.h"

/* Two dimensions each: rows, columns. */
typedef struct hb_maxpool {
	const float *x;
	float *y;
	int64_t in[2], out[2], kernel[2], stride[2], dilation[2], begin[2];
} hb_maxpool;

/* Whether hb_maxpool_run serves this geometry at this width. */
bool hb_maxpool_fits(hb_isa isa, const hb_maxpool *d);
void hb_maxpool_run(const hb_maxpool *d);

#endif
