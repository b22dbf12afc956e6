/* A user's own march: what a file may say, and that what is wrong is refused by line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "march/march.h"

static char said[512], where[64];
static hb_ctx *cx;

static void diag(void *arg, const hb_diag *d)
{
	(void)arg;
	snprintf(said, sizeof(said), "%s", d->text);
	snprintf(where, sizeof(where), "%s", d->where ? d->where : "");
}

static int setup(void **state)
{
	(void)state;
	const hb_options o = { .diag = diag };
	cx = hb_ctx_new(&o);
	return cx ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	hb_ctx_free(cx);
	return 0;
}

static hb_status load(const char *yaml, const hb_march **m)
{
	char path[] = "/tmp/march-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
	close(fd);
	said[0] = where[0] = 0;
	hb_status st = hb_march_load(cx, path, m);
	unlink(path);
	return st;
}

static void a_march_takes_from_its_base_what_it_does_not_say(void **state)
{
	(void)state;
	const hb_march *m, *base = hb_march_find("bayes-e");
	assert_int_equal(load("march: mine\n"
			      "base: bayes-e\n"
			      "list: my datasheet\n"
			      "figures:\n"
			      "  sram_bytes: { value: 2097152, source: \"public: page 3\" }\n"
			      "  start_mac: 100\n"
			      "operators:\n"
			      "  Conv: { out: [int8] }\n"
			      "  Det: { bpu: no }\n"
			      "rules:\n"
			      "  - { op: Conv, rule: \"kh in 1..5\", note: small, advice: \"use 5x5\" }\n"
			      "  - { op: Relu, rule: \"C <= 64\", remark: yes }\n",
			      &m),
			 HB_OK);
	assert_string_equal(m->name, "mine");
	assert_int_equal(m->fig.sram_bytes, 2097152);
	assert_int_equal(m->fig.mac_n, base->fig.mac_n);
	assert_string_equal(hb_march_figure_source(m, "sram_bytes"), "public: page 3");
	assert_string_equal(hb_march_figure_source(m, "start_mac"), "assumed: given in the march file");
	assert_string_equal(hb_march_figure_source(m, "mac_n"), hb_march_figure_source(base, "mac_n"));
	assert_int_equal(hb_march_op_of(m, "Conv")->out_types, HB_BIT(HB_I8));
	assert_int_equal(hb_march_op_of(m, "Conv")->in_types, hb_march_op_of(base, "Conv")->in_types);
	assert_false(hb_march_op_of(m, "Det")->bpu);
	const hb_rule *r = hb_march_rule_next(m->rules, NULL, "Conv");
	assert_string_equal(r->text, "kh in 1..5");
	assert_string_equal(r->source, "my datasheet");
	assert_null(hb_march_rule_next(m->rules, r, "Conv"));
	assert_non_null(hb_march_rule_next(m->rules, NULL, "MaxPool"));
	assert_true(hb_march_has_cpu(m, "LRN"));
}

static void every_built_in_march_is_a_base(void **state)
{
	(void)state;
	for (size_t i = 0; hb_march_at(i); i++) {
		char yaml[128];
		const hb_march *m;
		snprintf(yaml, sizeof(yaml), "base: %s\nmarch: copy\n", hb_march_at(i)->name);
		assert_int_equal(load(yaml, &m), HB_OK);
	}
}

static void what_is_wrong_is_refused_by_line(void **state)
{
	(void)state;
	static const struct {
		const char *yaml, *where, *says;
	} rows[] = {
		{ "", "", "is empty" },
		{ "march: [", "line 2", "is no YAML" },
		{ "- a\n- b\n", "line 1", "takes keys and values" },
		{ "march: x\nbase: nash\n", "line 2", "is no march" },
		{ "march: bayes\nbase: bayes\n", "", "built-in" },
		{ "march: \"A b\"\nbase: bayes\n", "", "name of at most 32" },
		{ "march: x\n", "", "figure cores is missing" },
		{ "march: x\nbase: bayes\nsrams: 3\n", "line 3", "there is no key 'srams'" },
		{ "march: x\nbase: bayes\nfigures:\n  srams: 3\n", "line 4", "there is no figure 'srams'" },
		{ "march: x\nbase: bayes\nfigures:\n  sram_bytes: -5\n", "line 4", "from 4096" },
		{ "march: x\nbase: bayes\nfigures:\n  sram_bytes: 99999999999999999999\n", "line 4", "from 4096" },
		{ "march: x\nbase: bayes\nfigures:\n  clock_ghz: nan\n", "line 4", "is a number" },
		{ "march: x\nbase: bayes\nfigures:\n  granule: 48\n", "line 4", "power of 2" },
		{ "march: x\nbase: bayes\nfigures:\n  granule: 8\n", "", "less than c_align" },
		{ "march: x\nbase: bayes\nfigures: 4\n", "line 3", "takes keys" },
		{ "march: x\nbase: bayes\nfigures: { int16: maybe }\n", "line 3", "yes or no" },
		{ "march: x\nbase: bayes\noperators: { Conv: { in: [int7] } }\n", "line 3", "a type is" },
		{ "march: x\nbase: bayes\noperators: { Conv: { on: 1 } }\n", "line 3", "not 'on'" },
		{ "march: x\nbase: bayes\nrules:\n- { op: Conv }\n", "line 4", "op and rule" },
		{ "march: x\nbase: bayes\nrules:\n- { op: Conv, rule: \"kh in\" }\n", "x", "character" },
		{ "march: x\nbase: bayes\nrules:\n- { op: Bogus, rule: \"kh in 1..3\" }\n", "x", "has no row" },
		{ "march: x\nbase: bayes\nrules: *a\n", "line 3", "is no YAML" },
	};
	for (size_t i = 0; i < HB_LEN(rows); i++) {
		const hb_march *m;
		hb_status st = load(rows[i].yaml, &m);
		if (st != HB_ERR_INPUT || !strstr(said, rows[i].says) || strcmp(where, rows[i].where))
			fail_msg("%zu: status %d, '%s' at '%s'", i, st, said, where);
		assert_null(m);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_march_takes_from_its_base_what_it_does_not_say),
		TEST(every_built_in_march_is_a_base),
		TEST(what_is_wrong_is_refused_by_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
