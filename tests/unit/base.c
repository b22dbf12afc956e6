/* base: memory limits, strings, maps, threads. */
#include "tests/test.h"

#include <time.h>

static void
a_map_finds_what_was_put_among_ten_thousand(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_map *m = hb_map_new(cx->arena);
	static int values[10000];
	for (int i = 0; i < 10000; i++)
		assert_true(hb_map_put(m, hb_arena_printf(cx->arena, "key%d", i), &values[i]));
	for (int i = 0; i < 10000; i++)
		assert_ptr_equal(hb_map_get(m, hb_arena_printf(cx->arena, "key%d", i)), &values[i]);
	assert_null(hb_map_get(m, "key10000"));
	hb_ctx_free(cx);
}

static void
an_arena_stops_at_the_memory_limit(void **state)
{
	(void)state;
	hb_options o = { .max_memory = 1 << 20 };
	hb_ctx *cx = hb_ctx_new(&o);
	hb_arena *a = hb_arena_new(cx);
	int blocks = 0;
	while (hb_arena_alloc(a, 10000))
		blocks++;
	assert_in_range(blocks, 50, 105);
	hb_arena_free(a);
	assert_true(cx->memory < 200000);
	assert_null(hb_arena_alloc_n(cx->arena, SIZE_MAX / 2, 3));
	hb_ctx_free(cx);
}

static void
arena_blocks_are_zeroed_and_aligned(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	for (size_t n = 1; n < 300000; n = n * 3 + 1) {
		uint8_t *p = hb_arena_alloc(cx->arena, n);
		assert_int_equal((uintptr_t)p % (n >= 1024 ? 64 : 16), 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, n);
	}
	hb_ctx_free(cx);
}

static void
count_piece(void *arg, int64_t begin, int64_t end, int worker)
{
	uint8_t *seen = arg;
	assert_true(worker >= 0 && worker < 4);
	for (int64_t i = begin; i < end; i++)
		seen[i]++;
}

static void
every_index_is_worked_on_once(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 4);
	static uint8_t seen[10007];
	for (int round = 1; round <= 50; round++) {
		hb_parallel(cx, (int64_t)sizeof(seen), 13, count_piece, seen);
		for (size_t i = 0; i < sizeof(seen); i++)
			assert_int_equal(seen[i], round);
	}
	hb_ctx_free(cx);
}

/* Jobs of changing length, with pauses in which threads go to sleep. */
static void
short_jobs_follow_one_another(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 4);
	uint8_t seen[97];
	for (int64_t round = 0; round < 20000; round++) {
		int64_t n = 1 + round * 31 % (int64_t)sizeof(seen), grain = 1 + round % 5;
		memset(seen, 0, sizeof(seen));
		hb_parallel(cx, n, grain, count_piece, seen);
		for (int64_t i = 0; i < (int64_t)sizeof(seen); i++)
			assert_int_equal(seen[i], i < n);
		if (round % 2000 == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	hb_ctx_free(cx);
}

static void
a_cursor_that_passed_the_end_stays_bad(void **state)
{
	(void)state;
	static const uint8_t bytes[] = { 1, 2, 3, 4, 5 };
	hb_cursor c = { bytes, bytes + 5, false };
	assert_int_equal(hb_get_u16(&c), 0x0201);
	assert_int_equal(hb_get_u32(&c), 0);
	assert_true(c.bad);
	assert_int_equal(hb_get_u8(&c), 0);
	assert_null(hb_get_bytes(&c, 0));
}

static void
numbers_are_whole_strings(void **state)
{
	(void)state;
	int64_t i;
	double d;
	assert_true(hb_parse_i64("-12", &i) && i == -12);
	assert_false(hb_parse_i64("12x", &i));
	assert_false(hb_parse_i64(" 12", &i));
	assert_false(hb_parse_i64("", &i));
	assert_false(hb_parse_i64("99999999999999999999", &i));
	assert_true(hb_parse_f64("1.5e-3", &d) && d == 1.5e-3);
	assert_false(hb_parse_f64("nan", &d));
	assert_false(hb_parse_f64("0x10", &d));
	assert_false(hb_parse_f64("1e999", &d));
}

static void
a_string_builder_refuses_past_the_limit_and_says_so(void **state)
{
	(void)state;
	hb_options o = { .max_memory = 1 << 20 };
	hb_ctx *cx = hb_ctx_new(&o);
	hb_buf b = { .cx = cx };
	for (int i = 0; i < 100000 && !b.bad; i++)
		hb_buf_printf(&b, "%030d", i);
	assert_true(b.bad);
	hb_buf_free(&b);
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_map_finds_what_was_put_among_ten_thousand),
		cmocka_unit_test(an_arena_stops_at_the_memory_limit),
		cmocka_unit_test(arena_blocks_are_zeroed_and_aligned),
		cmocka_unit_test(every_index_is_worked_on_once),
		cmocka_unit_test(short_jobs_follow_one_another),
		cmocka_unit_test(a_cursor_that_passed_the_end_stays_bad),
		cmocka_unit_test(numbers_are_whole_strings),
		cmocka_unit_test(a_string_builder_refuses_past_the_limit_and_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
