/* kernel_rows.c: rows as a whole: softmax, norms, sorting (lib/isa/insn.def has the formulas). */
#include "lib/quant/kernel.h"

#include <math.h>
#include <stdlib.h>

#define PIECE 4096			/* elements that a thread takes at least */

/* ---- rows ---- */

/* 2^-(t / 65536) with 30 fraction bits. */
static int64_t
exp2_neg(int64_t t)
{
	static const int32_t c[8] = { 1073741824, -744261118, 257941248, -59597083, 10327387, -1431680, 165394, -16377 };
	int64_t n = t >> 16, f = t & 0xffff, y = c[7];

	if (n >= 31)
		return 0;
	for (int k = 6; k >= 0; k--)
		y = c[k] + ((y * f) >> 16);
	return y >> n;
}

static void
softmax_row(const hb_insn *i, int64_t n, int64_t *x)
{
	const int32_t *im = i->imm;
	int shift = hb_requant_shift(im[HB_IMM_rows_e]), shift2 = hb_requant_shift(im[HB_IMM_rows_e2]);
	int64_t top = INT64_MIN, sum = 0;

	for (int64_t k = 0; k < n; k++)
		top = HB_MAX(top, x[k]);
	for (int64_t k = 0; k < n; k++) {
		x[k] = exp2_neg(HB_MAX(hb_requant_at(top - x[k], im[HB_IMM_rows_m], shift), 0));
		sum += x[k];
	}
	for (int64_t k = 0; k < n; k++) {
		/* the second operand is at most 2^57 for any n that fits in memory */
		int64_t y = hb_clamp64(hb_requant_at(x[k], im[HB_IMM_rows_m2], shift2), 0, INT64_MAX / 2) + sum / 2;

		x[k] = y / sum;
	}
}

/* floor(sqrt(w)), w below 2^62. */
static int64_t
isqrt(int64_t w)
{
	int64_t r = (int64_t)sqrt((double)w);

	while (r * r > w)
		r--;
	while ((r + 1) * (r + 1) <= w)
		r++;
	return r;
}

/* 1 / sqrt(w) = *m * 2^-*e, w > 0: the argument is normalised to 2^60..2^62 by its leading bit. */
static void
rsqrt(hb_i128 w, int32_t *m, int *e)
{
	int k = 0;

	for (; w >= (hb_i128)1 << 62; k++)
		w >>= 2;
	for (; w < (hb_i128)1 << 60; k--)
		w <<= 2;
	*m = (int32_t)HB_MIN(((int64_t)1 << 61) / isqrt((int64_t)w), INT32_MAX);
	*e = 61 + k;
}

/* Fraction bits of a normalised value, before its channel's scale. */
enum { NORM_BITS = 20 };

static void
norm_row(const hb_insn *i, const int32_t *gain, const int32_t *offset, int64_t n, int64_t *x)
{
	const int32_t *im = i->imm;
	int shift = (int)hb_clamp64(im[HB_IMM_rows_value], 0, 30) + NORM_BITS, e;
	int64_t sum = 0, squares = 0;
	int32_t m;

	for (int64_t k = 0; k < n; k++) {
		sum += x[k];
		squares += x[k] * x[k];
	}
	if (im[HB_IMM_rows_fn] == HB_FN_rms)
		sum = 0;

	int64_t spread = n * squares - sum * sum;	/* n^2 times the variance */
	hb_i128 eps = hb_requant_at(n << 16, im[HB_IMM_rows_m], hb_requant_shift(im[HB_IMM_rows_e]));

	if (spread)
		rsqrt(((hb_i128)spread << 32) + eps * eps, &m, &e);
	for (int64_t k = 0; k < n; k++) {
		int64_t h = spread ? hb_requant_at(n * x[k] - sum, m, e - 16 - NORM_BITS) : 0;

		x[k] = (h * gain[k] + offset[k] * ((int64_t)1 << NORM_BITS) + ((int64_t)1 << (shift - 1))) >> shift;
	}
}

typedef struct rows_job {
	const hb_insn *i;
	uint8_t *const *at;
	int64_t *scratch;
	int64_t n;
} rows_job;

/* Address of row r, counted over all dimensions but the last. */
static uint8_t *
row_of(const hb_view *v, uint8_t *at, int64_t r)
{
	for (int d = v->rank - 2; d > 0; d--) {
		at += r % v->ext[d] * v->stride[d];
		r /= v->ext[d];
	}
	return v->rank > 1 ? hb_view_row(v, at, (uint32_t)r) : at;
}

static int64_t
rows_count(const hb_view *v)
{
	int64_t n = 1;

	for (int d = 0; d < v->rank - 1; d++)
		n *= v->ext[d];
	return n;
}

static void
rows_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const rows_job *j = arg;
	const hb_insn *i = j->i;
	const hb_view *out = &i->v[0], *a = &i->v[1];
	int64_t *x = j->scratch + worker * j->n;

	for (int64_t r = begin; r < end; r++) {
		hb_load64(row_of(a, j->at[1], r), a->stride[a->rank - 1], a->dtype, j->n, x);
		if (i->imm[HB_IMM_rows_fn] == HB_FN_softmax)
			softmax_row(i, j->n, x);
		else
			norm_row(i, (const int32_t *)(const void *)j->at[2], (const int32_t *)(const void *)j->at[3], j->n, x);
		hb_store64(row_of(out, j->at[0], r), out->stride[out->rank - 1], out->dtype, j->n, x, i->imm[HB_IMM_rows_qmin],
			   i->imm[HB_IMM_rows_qmax]);
	}
}

void
hb_kernel_rows(hb_ctx *cx, const hb_insn *i, uint8_t *const *at, void *scratch)
{
	const hb_view *out = &i->v[0];
	rows_job j = { i, at, scratch, out->ext[out->rank - 1] };

	hb_parallel(cx, rows_count(out), HB_MAX(1, PIECE / j.n), rows_some, &j);
}

/* ---- sort ---- */

typedef struct ranked {
	int64_t value;			/* less is earlier */
	int64_t index;
} ranked;

static int
ranked_order(const void *pa, const void *pb)
{
	const ranked *a = pa, *b = pb;

	if (a->value != b->value)
		return a->value < b->value ? -1 : 1;
	return (a->index > b->index) - (a->index < b->index);
}

void
hb_kernel_sort(const hb_insn *i, uint8_t *const *at, void *scratch)
{
	ranked *list = scratch;
	const hb_view *out = &i->v[0], *index = &i->v[1], *a = &i->v[2];
	int last = a->rank - 1;
	int64_t n = a->ext[last], k = HB_MIN(out->ext[last], n);
	bool largest = i->imm[HB_IMM_sort_largest] != 0;

	for (int64_t r = 0, all = rows_count(a); r < all; r++) {
		const uint8_t *p = row_of(a, at[2], r);
		uint8_t *to = row_of(out, at[0], r), *places = row_of(index, at[1], r);

		for (int64_t c = 0; c < n; c++) {
			hb_load64(p + c * a->stride[last], 0, a->dtype, 1, &list[c].value);
			list[c].index = c;
			if (largest)
				list[c].value = ~list[c].value;
		}
		qsort(list, (size_t)n, sizeof(*list), ranked_order);
		for (int64_t c = 0; c < k; c++) {
			int64_t v = largest ? ~list[c].value : list[c].value;

			hb_store64(to + c * out->stride[last], 0, out->dtype, 1, &v, INT64_MIN, INT64_MAX);
			hb_store64(places + c * index->stride[last], 0, index->dtype, 1, &list[c].index, INT64_MIN, INT64_MAX);
		}
	}
}

size_t
hb_kernel_rows_scratch(const hb_ctx *cx, const hb_insn *i)
{
	if (i->op == HB_I_sort)
		return i->v[2].ext[i->v[2].rank - 1] * sizeof(ranked);
	return (size_t)cx->jobs * i->v[1].ext[i->v[1].rank - 1] * sizeof(int64_t);
}
