/* view.c: hulls, granules and overlap of views, against sets of bytes. */
#include "tests/machine.h"

enum { SPACE = 4096 };

/* Marks the view's bytes one element at a time; false where one is touched twice. */
static bool
mark(const hb_view *v, uint8_t *set)
{
	size_t size = hb_dtype_size(v->dtype);
	bool once = true;
	int64_t n = hb_view_elems(v);
	for (int64_t i = 0; i < n; i++) {
		uint64_t at = v->base, rest = (uint64_t)i;
		for (int d = v->rank; d-- > 0; rest /= v->ext[d]) {
			uint64_t slot = rest % v->ext[d];
			if (d == 0 && v->ring_rows)
				slot = (slot + v->ring_first) % v->ring_rows;
			at += slot * v->stride[d];
		}
		for (size_t b = 0; b < size; b++) {
			assert_true(at + b < SPACE);
			once &= !set[at + b];
			set[at + b] = 1;
		}
	}
	return once;
}

static hb_view
any_view(rng *r, bool nested)
{
	static const hb_dtype types[] = {HB_I8, HB_I8, HB_I16, HB_I32};
	for (;;) {
		hb_view v = {.space = HB_S0, .dtype = types[rng_below(r, 4)], .rank = 1 + (int)rng_below(r, 5)};
		uint32_t size = (uint32_t)hb_dtype_size(v.dtype), step = size;
		int at[HB_VIEW_RANK], n = v.rank;
		for (int d = 0; d < n; d++)
			at[d] = d;
		for (int d = n - 1; d > 0; d--) {	/* which dimension has which stride */
			int o = (int)rng_below(r, (uint32_t)d + 1), t = at[d];
			at[d] = at[o];
			at[o] = t;
		}
		for (int k = 0; k < n; k++) {
			int d = at[k];
			v.ext[d] = 1 + rng_below(r, rng_below(r, 8) ? 5 : 60);
			v.stride[d] = nested ? step : size * rng_below(r, 40);
			if (nested && rng_below(r, 2))
				v.stride[d] += size * rng_below(r, 70);
			uint32_t rows = v.ext[d];
			if (d == 0 && rng_below(r, 2)) {
				v.ring_rows = rows = v.ext[0] + rng_below(r, 3);
				v.ring_first = rng_below(r, rows);
			}
			step = v.stride[d] * rows;
		}
		v.base = size * rng_below(r, 100);
		uint64_t lo[2], hi[2], end = v.base;
		assert_null(hb_view_check(&v));
		int pieces = hb_view_hull(&v, lo, hi);
		for (int k = 0; k < pieces; k++)
			end = HB_MAX(end, hi[k]);
		if (end <= SPACE)
			return v;
	}
}

static void
hull_holds_every_byte_and_ends_on_one(void **state)
{
	(void)state;
	rng r = {20261};
	for (int n = 0; n < 20000; n++) {
		hb_view v = any_view(&r, rng_below(&r, 2));
		uint8_t set[SPACE] = {0};
		uint64_t lo[2], hi[2];
		mark(&v, set);
		int pieces = hb_view_hull(&v, lo, hi);
		for (uint64_t b = 0; b < SPACE; b++) {
			bool inside = b >= lo[0] && b < hi[0];
			if (pieces == 2)
				inside |= b >= lo[1] && b < hi[1];
			assert_true(inside || !set[b]);
		}
		for (int k = 0; k < pieces; k++)
			assert_true(set[lo[k]] && set[hi[k] - 1]);
	}
}

static void
granules_are_those_touched(void **state)
{
	(void)state;
	rng r = {20262};
	int counted = 0;
	for (int n = 0; n < 60000; n++) {
		hb_view v = any_view(&r, rng_below(&r, 4) != 0);
		if (!hb_view_nested(&v))
			continue;
		counted++;
		static const uint32_t granules[] = {1, 4, 16, 32, 64, 100, 256};
		uint32_t g = granules[rng_below(&r, 7)];
		uint8_t set[SPACE] = {0}, touched[SPACE] = {0};
		uint64_t want = 0;
		mark(&v, set);
		for (int b = 0; b < SPACE; b++)
			touched[(uint32_t)b / g] |= set[b];
		for (int b = 0; b < SPACE; b++)
			want += touched[b];
		assert_int_equal(hb_view_granules(&v, g), want);
	}
	assert_true(counted > 30000);
}

static void
an_output_touches_no_byte_twice(void **state)
{
	(void)state;
	rng r = {20263};
	int twice = 0;
	for (int n = 0; n < 20000; n++) {
		hb_view v = any_view(&r, rng_below(&r, 2));
		uint8_t set[SPACE] = {0};
		bool once = mark(&v, set);
		if (hb_view_once(&v))
			assert_true(once);
		else if (hb_view_nested(&v))
			assert_false(once);
		twice += !once;
	}
	assert_true(twice > 1000);
}

static void
views_called_apart_share_no_byte(void **state)
{
	(void)state;
	rng r = {20264};
	int apart = 0;
	for (int n = 0; n < 20000; n++) {
		hb_view a = any_view(&r, true), b = any_view(&r, true);
		if (rng_below(&r, 2)) {
			b = a;
			b.base = (uint32_t)hb_dtype_size(a.dtype) * rng_below(&r, 200);
		}
		uint64_t lo[2], hi[2];
		if (hb_view_hull(&b, lo, hi), hi[0] > SPACE)
			continue;
		if (b.ring_rows && b.base + (uint64_t)b.ring_rows * b.stride[0] > SPACE / 2)
			continue;
		uint8_t sa[SPACE] = {0}, sb[SPACE] = {0};
		mark(&a, sa);
		if (!hb_view_apart(&a, &b))
			continue;
		mark(&b, sb);
		for (int k = 0; k < SPACE; k++)
			assert_false(sa[k] && sb[k]);
		apart++;
	}
	assert_true(apart > 100);
}

static void
channel_slices_of_one_buffer_are_apart(void **state)
{
	(void)state;
	hb_view a = dense_view(HB_S0, 0, HB_I8, 0, 3, 4u, 8u, 32u), b = a;
	a.ext[2] = b.ext[2] = 16;
	b.base = 16;
	assert_true(hb_view_apart(&a, &b));
	b.base = 15;
	assert_false(hb_view_apart(&a, &b));
	a.ring_rows = b.ring_rows = 4;
	a.ring_first = 3;
	b.base = 16;
	assert_true(hb_view_apart(&a, &b));
}

static void
contiguous_rows_are_one_run(void **state)
{
	(void)state;
	hb_view v = dense_view(HB_IN, 0, HB_I8, 128, 3, 5u, 8u, 16u);
	assert_int_equal(hb_view_runs(&v, 1), 1);
	assert_int_equal(hb_view_granules(&v, 64), 10);
	v.ext[2] = 3;			/* 3 of 16 channels: runs apart, but every granule is touched */
	assert_int_equal(hb_view_runs(&v, 1), 40);
	assert_int_equal(hb_view_runs(&v, 64), 1);
	assert_int_equal(hb_view_granules(&v, 64), 10);
	v = ring_view(dense_view(HB_S0, 0, HB_I8, 0, 2, 4u, 16u), 5, 3);
	assert_int_equal(hb_view_runs(&v, 1), 4);
}

static void
malformed_views_are_told_apart(void **state)
{
	(void)state;
	hb_view good = dense_view(HB_S0, 0, HB_I16, 0, 2, 4u, 8u), v = good;
	assert_null(hb_view_check(&v));
	v.base = 1;
	assert_string_equal(hb_view_check(&v), "a view's base is not a multiple of its element size");
	v = good;
	v.ext[1] = 0;
	assert_string_equal(hb_view_check(&v), "a view has an empty dimension");
	v = good;
	v.rank = 7;
	assert_string_equal(hb_view_check(&v), "a view's rank is outside 1..6");
	v = good;
	v.ring_rows = 3;
	assert_string_equal(hb_view_check(&v), "a view has more rows than its ring, or begins outside it");
	v = good;
	v.ext[0] = 0x10001;
	v.stride[0] = 0x10000;
	assert_string_equal(hb_view_check(&v), "a view ends beyond 4 GiB");
	v.stride[0] = 0;
	v.ext[0] = v.ext[1] = UINT32_MAX;
	v.stride[1] = 0;
	assert_string_equal(hb_view_check(&v), "a view has more than 2^40 elements");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hull_holds_every_byte_and_ends_on_one),
		cmocka_unit_test(granules_are_those_touched),
		cmocka_unit_test(an_output_touches_no_byte_twice),
		cmocka_unit_test(views_called_apart_share_no_byte),
		cmocka_unit_test(channel_slices_of_one_buffer_are_apart),
		cmocka_unit_test(contiguous_rows_are_one_run),
		cmocka_unit_test(malformed_views_are_told_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
