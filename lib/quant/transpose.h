/* transpose.h: a matrix of bytes turned round. */
#ifndef HB_QUANT_TRANSPOSE_H
#define HB_QUANT_TRANSPOSE_H

#include "lib/isa/isa.h"

/* to[c * to_row + r] = from[r * from_row + c], r < rows, c < cols; they do not overlap. */
void hb_transpose8(uint8_t *to, int64_t to_row, const uint8_t *from, int64_t from_row, int64_t rows, int64_t cols);

/* out[i] = a[i], views of bytes and of equal extents, where it is a turn of two dimensions; false, and nothing done, where not. */
bool hb_turn_views(hb_ctx *cx, const hb_view *out, uint8_t *to, const hb_view *a, const uint8_t *from);

#endif
