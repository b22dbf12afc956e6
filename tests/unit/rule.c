/* The rule language: what it accepts, what rules come to, what is said of those that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "march/march.h"
#include "march/rule.h"

static hb_ctx *cx;
static hb_arena *arena;

static int open_arena(void **state)
{
	(void)state;
	cx = hb_ctx_new(NULL);
	arena = hb_arena_new(cx);
	return arena ? 0 : -1;
}

static int close_arena(void **state)
{
	(void)state;
	hb_arena_free(arena);
	hb_ctx_free(cx);
	return 0;
}

static hb_expr *parse(const char *text)
{
	const char *why = NULL;
	size_t at = 0;
	hb_expr *e = hb_rule_parse(arena, text, &why, &at);
	if (!e)
		fail_msg("'%s': %s at %zu", text, why, at);
	return e;
}

static void conditions_come_to_what_arithmetic_says(void **state)
{
	(void)state;
	hb_facts f = { .v = { [HB_T_kh] = 7, [HB_T_kw] = 3, [HB_T_C] = 12, [HB_T_mode] = HB_W_linear } };
	static const struct {
		const char *text;
		bool holds;
	} rows[] = {
		{ "1 + 2 * 3 == 7", true },
		{ "(1 + 2) * 3 == 9", true },
		{ "7 / 2 == 3 && 7 % 4 == 3", true },
		{ "10 - 3 - 2 == 5", true },
		{ "-3 + 5 == 2 && - 2 < 0", true },
		{ "kh in 1..7", true },
		{ "kh in 1..6", false },
		{ "kh in 8..9", false },
		{ "kh in {3, 5, 7}", true },
		{ "kw in {4, 5}", false },
		{ "kh > kw => C % 4 == 0", true },
		{ "kh > kw => C % 5 == 0", false },
		{ "kh < kw => C % 5 == 0", true },
		{ "1 == 2 || 1 == 1 && 2 == 3", false },
		{ "1 == 1 || 1 == 1 && 2 == 3", true },
		{ "1 == 2 => 1 == 3 => 1 == 4", true },
		{ "min(kh, kw, 9) == 3 && max(kh, kw) == 7", true },
		{ "ceil_to(C, 8) == 16 && ceil_to(C, 4) == 12", true },
		{ "pow2(8) && pow2(1)", true },
		{ "pow2(0)", false },
		{ "pow2(kw)", false },
		{ "mode in {nearest, linear}", true },
		{ "mode == nearest", false },
		{ "mode != nearest", true },
		{ "kh / 0 == 0 && kh % 0 == 0", true },
		{ "2Ki == 2048 && 1Gi == 1073741824", true },
		{ "9223372036854775807 + 1 > 0", true },
		{ "9223372036854775807 * 2 == 9223372036854775807", true },
		{ "(kh>=1&&kw<=3)=>C!=13", true },
	};
	for (size_t i = 0; i < HB_LEN(rows); i++)
		if (hb_rule_holds(parse(rows[i].text), &f) != rows[i].holds)
			fail_msg("'%s' is not %s", rows[i].text, rows[i].holds ? "true" : "false");
}

static void malformed_rules_are_refused_where_they_go_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t at;
	} rows[] = {
		{ "", 0 }, { "kh <=", 5 }, { "kh in 1..", 9 }, { "kh in 3", 7 }, { "blah == 3", 0 }, { "(kh == 3", 8 },
		{ "kh == 3 kw == 3", 8 }, { "kh in {1, 2", 11 }, { "12x == 3", 2 }, { "kh & kw", 3 },
		{ "99999999999999999999 == 1", 18 },
	};
	for (size_t i = 0; i < HB_LEN(rows); i++) {
		const char *why = NULL;
		size_t at = 999;
		assert_null(hb_rule_parse(arena, rows[i].text, &why, &at));
		assert_non_null(why);
		if (at != rows[i].at)
			fail_msg("'%s' fails at %zu, not %zu: %s", rows[i].text, at, rows[i].at, why);
	}
	static const char *const kinds[] = { "mode < linear", "mode == 3", "mode in {1}", "mode + 1 == 2", "linear",
					     "mode && kh == 1", "kh in {linear}", "min(kh) == 1", "pow2(1, 2)" };
	for (size_t i = 0; i < HB_LEN(kinds); i++)
		if (hb_rule_parse(arena, kinds[i], NULL, NULL))
			fail_msg("'%s' parses", kinds[i]);
}

static void deep_and_long_rules_are_refused(void **state)
{
	(void)state;
	char deep[1500], *p = deep;
	for (int i = 0; i < 700; i++)
		*p++ = '(';
	*p++ = '1';
	for (int i = 0; i < 700; i++)
		*p++ = ')';
	*p = 0;
	assert_null(hb_rule_parse(arena, deep, NULL, NULL));
	memset(deep, '-', 1000);
	deep[1000] = 0;
	assert_null(hb_rule_parse(arena, deep, NULL, NULL));
	char chain[6000];
	for (size_t i = 0; i < sizeof(chain); i += 2)
		memcpy(chain + i, "1+", 2);
	chain[sizeof(chain) - 1] = 0;
	assert_null(hb_rule_parse(arena, chain, NULL, NULL));
}

static void a_broken_rule_says_what_was_found_and_the_nearest_way_out(void **state)
{
	(void)state;
	hb_facts f = { .v = { [HB_T_kh] = 40, [HB_T_kw] = 3, [HB_T_Kc] = 512, [HB_T_sh] = 3, [HB_T_sw] = 1,
			      [HB_T_dh] = 2, [HB_T_C] = 30, [HB_T_axis] = 1, [HB_T_mode] = -1 },
		       .text = { [HB_T_mode] = "lanczos" } };
	static const struct {
		const char *text, *found, *advice;
	} rows[] = {
		{ "kh in 1..31 && kw in 1..31", "kh = 40", "change kh from 40 to 31" },
		{ "kh * kw * Kc <= 32767", "kh * kw * Kc = 61440, kh = 40, kw = 3, Kc = 512",
		  "make kh * kw * Kc at most 32767: change Kc from 512 to 273" },
		{ "kh % sh == 0 && pow2(kh / sh)", "kh % sh = 1, kh = 40, sh = 3, pow2(kh / sh) = 0", "make kh % sh 0: change kh from 40 to 48" },
		{ "dh > 1 => sh == 1 && sw == 1", "sh = 3, dh = 2", "change sh from 3 to 1" },
		{ "sh in {1, 2, 6}", "sh = 3", "change sh from 3 to 2" },
		{ "C % 8 == 0", "C % 8 = 6, C = 30", "change C from 30 to 32" },
		{ "axis == 3", "axis = 1", "change axis from 1 to 3" },
		{ "mode in {nearest, linear}", "mode = lanczos", "use mode nearest" },
		{ "kh <= 31 && sh <= 2", "kh = 40, sh = 3", "change kh from 40 to 31 and change sh from 3 to 2" },
		{ "kh <= 5 || kw <= 2", "kh = 40, kw = 3", "change kh from 40 to 5" },
	};
	for (size_t i = 0; i < HB_LEN(rows); i++) {
		hb_expr *e = parse(rows[i].text);
		assert_false(hb_rule_holds(e, &f));
		assert_string_equal(hb_rule_found(arena, e, &f), rows[i].found);
		const char *advice = hb_rule_advice(arena, e, &f);
		assert_non_null(advice);
		assert_string_equal(advice, rows[i].advice);
	}
}

/* Random facts against every rule of every march: what hb_rule_fix says, makes the rule hold. */
static void advice_is_true_for_every_rule_of_every_march(void **state)
{
	(void)state;
	uint64_t seed = 20240229;
	print_message("seed %llu\n", (unsigned long long)seed);
	size_t fixed = 0;
	for (size_t i = 0; hb_march_at(i); i++)
		for (const hb_rule *r = hb_march_at(i)->rules; r->op; r++) {
			hb_expr *e = parse(r->text);
			for (int k = 0; k < 50; k++) {
				hb_facts f = { .v = { 0 } };
				for (int t = 0; t < HB_NTERMS; t++) {
					seed = seed * 6364136223846793005u + 1442695040888963407u;
					f.v[t] = (int64_t)(seed >> 33) >> (seed >> 28 & 31);
				}
				hb_fix fixes[16];
				size_t n = hb_rule_holds(e, &f) ? 0 : hb_rule_fix(e, &f, fixes, HB_LEN(fixes));
				for (size_t j = 0; j < n; j++)
					f.v[fixes[j].term] = fixes[j].value;
				if (n && !hb_rule_holds(e, &f))
					fail_msg("%s: '%s' is not mended", r->op, r->text);
				fixed += n > 0;
			}
		}
	assert_true(fixed > 1000);
}

static void every_term_is_in_some_rule(void **state)
{
	(void)state;
	bool used[HB_NTERMS] = { false };
	for (size_t i = 0; hb_march_at(i); i++) {
		const hb_rule *const lists[] = { hb_march_at(i)->rules, hb_march_at(i)->cpu_rules };
		for (size_t k = 0; k < HB_LEN(lists); k++)
			for (const hb_rule *r = lists[k]; r->op; r++) {
				const hb_expr *e = parse(r->text);
				for (int t = 0; t < HB_NTERMS; t++)
					used[t] = used[t] || hb_rule_reads(e, (hb_term)t);
			}
	}
	for (int t = 0; t < HB_NTERMS; t++)
		if (!used[t])
			fail_msg("no rule speaks of %s", hb_term_name((hb_term)t));
}

/* The manual lists the terms; run from the project's folder. */
static void the_manual_has_every_term(void **state)
{
	(void)state;
	static char text[1 << 16];
	FILE *f = fopen("man/hbcc-march.5", "r");
	if (!f)
		skip();
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = 0;
	for (int t = 0; t < HB_NTERMS; t++) {
		char item[512];
		snprintf(item, sizeof(item), ".It Cm %s\n%s\n", hb_term_name((hb_term)t), hb_term_meaning((hb_term)t));
		if (!strstr(text, item))
			fail_msg("man/hbcc-march.5 does not say what %s is", hb_term_name((hb_term)t));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conditions_come_to_what_arithmetic_says),
		cmocka_unit_test(malformed_rules_are_refused_where_they_go_wrong),
		cmocka_unit_test(deep_and_long_rules_are_refused),
		cmocka_unit_test(a_broken_rule_says_what_was_found_and_the_nearest_way_out),
		cmocka_unit_test(every_term_is_in_some_rule),
		cmocka_unit_test(the_manual_has_every_term),
		cmocka_unit_test(advice_is_true_for_every_rule_of_every_march),
	};
	return cmocka_run_group_tests(tests, open_arena, close_arena);
}
