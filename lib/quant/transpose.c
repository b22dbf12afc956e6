/* transpose.c: see transpose.h. Blocks of 16 x 16 by interleaving, the rest byte by byte. */
#include "lib/quant/transpose.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>		/* SSE2 alone: every x86-64 has it */

#define SIDE 16
#define BAND 256		/* rows of `from` that stay in the cache while its columns are gone through */

/* Four times: halves of the 16 rows interleaved, an element, then 2, 4, 8 of them. */
static inline void
block(uint8_t *to, int64_t to_row, const uint8_t *from, int64_t from_row)
{
	__m128i a[SIDE], b[SIDE];

	for (int i = 0; i < SIDE; i++)
		a[i] = _mm_loadu_si128((const __m128i *)(const void *)(from + i * from_row));
	for (int i = 0; i < 8; i++) {
		b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + 8]);
		b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + 8]);
	}
	for (int i = 0; i < 8; i++) {
		a[2 * i] = _mm_unpacklo_epi8(b[i], b[i + 8]);
		a[2 * i + 1] = _mm_unpackhi_epi8(b[i], b[i + 8]);
	}
	for (int i = 0; i < 8; i++) {
		b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + 8]);
		b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + 8]);
	}
	for (int i = 0; i < 8; i++) {
		a[2 * i] = _mm_unpacklo_epi8(b[i], b[i + 8]);
		a[2 * i + 1] = _mm_unpackhi_epi8(b[i], b[i + 8]);
	}
	for (int i = 0; i < SIDE; i++)
		_mm_storeu_si128((__m128i *)(void *)(to + i * to_row), a[i]);
}
#else
#define SIDE 1
#define BAND 256

static inline void
block(uint8_t *to, int64_t to_row, const uint8_t *from, int64_t from_row)
{
	(void)to_row, (void)from_row;
	*to = *from;
}
#endif

static void
plain(uint8_t *to, int64_t to_row, const uint8_t *from, int64_t from_row, int64_t rows, int64_t cols)
{
	for (int64_t c = 0; c < cols; c++)
		for (int64_t r = 0; r < rows; r++)
			to[c * to_row + r] = from[r * from_row + c];
}

void
hb_transpose8(uint8_t *to, int64_t to_row, const uint8_t *from, int64_t from_row, int64_t rows, int64_t cols)
{
	int64_t whole = cols - cols % SIDE;

	for (int64_t r0 = 0; r0 < rows; r0 += BAND) {
		int64_t n = HB_MIN(BAND, rows - r0), full = n - n % SIDE;
		const uint8_t *band = from + r0 * from_row;

		for (int64_t c = 0; c < whole; c += SIDE)
			for (int64_t r = 0; r < full; r += SIDE)
				block(to + c * to_row + r0 + r, to_row, band + r * from_row + c, from_row);
		plain(to + r0 + full, to_row, band + full * from_row, from_row, n - full, whole);
		plain(to + whole * to_row + r0, to_row, band + whole, from_row, n, cols - whole);
	}
}

/* ---- views ---- */

#define STRIPE 64			/* columns of a piece of work: what it writes is theirs alone */

typedef struct turn {
	uint8_t *to;
	const uint8_t *from;
	int64_t rows, cols, to_row, from_row, stripes;
	int rank;			/* of the dimensions outside */
	int64_t ext[HB_VIEW_RANK], to_step[HB_VIEW_RANK], from_step[HB_VIEW_RANK];
} turn;

static void
turn_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const turn *t = arg;

	(void)worker;
	for (int64_t i = begin; i < end; i++) {
		int64_t c = i % t->stripes * STRIPE, rest = i / t->stripes, to = c * t->to_row, from = c;

		for (int d = t->rank - 1; d >= 0; d--) {
			to += rest % t->ext[d] * t->to_step[d];
			from += rest % t->ext[d] * t->from_step[d];
			rest /= t->ext[d];
		}
		hb_transpose8(t->to + to, t->to_row, t->from + from, t->from_row, t->rows, HB_MIN(STRIPE, t->cols - c));
	}
}

/* The dimension along which bytes lie side by side, -1: none. */
static int
unit_dim(const hb_view *v)
{
	for (int d = 0; d < v->rank; d++)
		if (v->stride[d] == 1 && v->ext[d] > 1)
			return d;
	return -1;
}

bool
hb_turn_views(hb_ctx *cx, const hb_view *out, uint8_t *to, const hb_view *a, const uint8_t *from)
{
	int row = unit_dim(out), col = unit_dim(a);

	if (hb_dtype_size(out->dtype) != 1 || out->ring_rows || a->ring_rows || row < 0 || col < 0 || row == col)
		return false;
	turn t = {
		.to = to, .from = from, .rows = out->ext[row], .cols = out->ext[col], .to_row = out->stride[col], .from_row = a->stride[row],
	};
	int64_t outer = 1;

	/* too narrow a matrix is no gain over running along its longer side */
	if (t.rows < 4 || t.cols < 4)
		return false;
	for (int d = 0; d < out->rank; d++) {
		if (d == row || d == col)
			continue;
		t.ext[t.rank] = out->ext[d];
		t.to_step[t.rank] = out->stride[d];
		t.from_step[t.rank++] = a->stride[d];
		outer *= out->ext[d];
	}
	t.stripes = hb_ceil_div(t.cols, STRIPE);
	hb_parallel(cx, outer * t.stripes, HB_MAX(1, 65536 / (t.rows * HB_MIN(t.cols, STRIPE))), turn_some, &t);
	return true;
}
