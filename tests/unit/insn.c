/* insn.c: the rows of insn.def, the check of instructions, and their encoding. */
#include "lib/hbm/format.h"
#include "lib/hbm/hbm.h"
#include "tests/machine.h"

static void
rows_count_their_words(void **state)
{
	(void)state;
	for (int op = 0; op < HB_NOPCODES; op++) {
		const hb_insn_row *row = hb_insn_row_of((hb_opcode)op);
		int operands = 1, imms = 0;
		for (const char *s = row->operands; *s; s++)
			operands += *s == ' ';
		for (const char *s = row->imms; *s; s++)
			imms += *s == ' ';		/* each is followed by one */
		assert_int_equal(row->noperands, operands);
		assert_int_equal(row->nimms, imms);
		assert_true(operands <= HB_MAX_OPERANDS && imms <= HB_MAX_IMMS);
		assert_int_equal(strncmp(row->operands, "out", 3), 0);
	}
	assert_null(hb_insn_row_of(HB_NOPCODES));
}

static hb_insn
good_conv(void)
{
	hb_insn insns[1];
	hb_list l = {.insns = insns};
	example_conv(&l, dense_view(HB_S0, 0, HB_I8, 4096, 3, 4u, 8u, 16u), dense_view(HB_S0, 1, HB_I8, 0, 3, 5u, 8u, 8u),
		     dense_view(HB_S0, 2, HB_I8, 1024, 4, 16u, 3u, 3u, 8u), dense_view(HB_S0, 3, HB_I32, 3072, 2, 16u, 4u),
		     1, 1, -1);
	return insns[0];
}

static void
each_fault_of_a_conv_is_named(void **state)
{
	(void)state;
	hb_insn g = good_conv(), i = g;
	assert_null(hb_insn_check(&i));
	i.engine = HB_V0;
	assert_string_equal(hb_insn_check(&i), "the engine does not take this instruction");
	i = g;
	i.nv = 3;
	assert_string_equal(hb_insn_check(&i), "wrong number of operands");
	i = g;
	i.v[1].space = HB_HEAP;
	assert_string_equal(hb_insn_check(&i), "an operand is not in its core's SRAM");
	i = g;
	i.engine = HB_M1;
	assert_string_equal(hb_insn_check(&i), "an operand is not in its core's SRAM");
	i = g;
	i.v[1].ext[2] = 4;
	assert_string_equal(hb_insn_check(&i), "conv's channels, weights and groups disagree");
	i = g;
	i.imm[HB_IMM_conv_groups] = 0;
	assert_string_equal(hb_insn_check(&i), "conv's channels, weights and groups disagree");
	i = g;
	i.imm[HB_IMM_conv_sh] = 0;
	assert_string_equal(hb_insn_check(&i), "a stride is outside 1..65535");
	i = g;
	i.imm[HB_IMM_conv_pt] = -1;
	assert_string_equal(hb_insn_check(&i), "a pad is outside 0..65535");
	i = g;
	i.v[3].ext[1] = 3;
	assert_string_equal(hb_insn_check(&i), "conv's records are not four int32 a channel");
	i = g;
	i.v[0].stride[1] = 0;
	assert_string_equal(hb_insn_check(&i), "an output names a byte twice");
	i = g;
	i.v[0].base = 32;
	assert_string_equal(hb_insn_check(&i), "an output overlaps another operand");
	i = g;
	i.v[0].dtype = HB_F32;
	i.v[0].stride[0] = 512;
	i.v[0].stride[1] = 64;
	i.v[0].stride[2] = 4;
	assert_string_equal(hb_insn_check(&i), "only copy and fill take float32");
	i = g;
	i.imm[HB_IMM_conv_qmin] = 5;
	i.imm[HB_IMM_conv_qmax] = 4;
	assert_string_equal(hb_insn_check(&i), "conv's least value is above its largest");
}

static void
copies_stay_between_their_spaces(void **state)
{
	(void)state;
	hb_view ddr = dense_view(HB_HEAP, 0, HB_I8, 0, 1, 64u), sram = dense_view(HB_S0, 0, HB_I8, 0, 1, 64u);
	hb_insn i = {.op = HB_I_copy, .engine = HB_L0, .nv = 2, .v = {sram, ddr}};
	assert_null(hb_insn_check(&i));
	i.engine = HB_ST0;
	assert_string_equal(hb_insn_check(&i), "a DMA's outer side is no DDR space");
	i.v[0] = ddr;
	i.v[1] = sram;
	assert_null(hb_insn_check(&i));
	i.v[0].space = HB_PAR;
	assert_string_equal(hb_insn_check(&i), "a STORE writes to a space that is read only");
	i.v[0].space = HB_IN;
	assert_string_equal(hb_insn_check(&i), "a STORE writes to a space that is read only");
	i.v[0].space = HB_OUT;
	assert_null(hb_insn_check(&i));
	i.v[1].space = HB_S1;
	assert_string_equal(hb_insn_check(&i), "an operand is not in its core's SRAM");
}

static void
in_place_is_for_equal_views_of_ew_lut_and_copy(void **state)
{
	(void)state;
	hb_insn insns[1];
	hb_list l = {.insns = insns};
	hb_view v = dense_view(HB_S0, 0, HB_I8, 0, 2, 4u, 16u), w = dense_view(HB_S0, 0, HB_I8, 128, 2, 4u, 16u);
	example_add(&l, v, v, w, -1);
	assert_null(hb_insn_check(&insns[0]));
	insns[0].v[1].base = 1;
	assert_string_equal(hb_insn_check(&insns[0]), "an output overlaps another operand");
	hb_insn s = {.op = HB_I_rows, .engine = HB_V0, .nv = 2, .v = {v, v}};
	s.imm[HB_IMM_rows_fn] = HB_FN_softmax;
	assert_string_equal(hb_insn_check(&s), "an output overlaps another operand");
	s.v[1] = w;
	assert_null(hb_insn_check(&s));
}

static void
a_norm_takes_two_tables_as_long_as_its_rows(void **state)
{
	(void)state;
	hb_view v = dense_view(HB_S0, 0, HB_I8, 0, 2, 4u, 16u), w = dense_view(HB_S0, 0, HB_I16, 128, 2, 4u, 16u);
	hb_view t = dense_view(HB_S0, 0, HB_I32, 512, 1, 16u);
	hb_insn s = {.op = HB_I_rows, .engine = HB_V0, .nv = 4, .v = {w, v, t, t}};
	s.imm[HB_IMM_rows_fn] = HB_FN_norm;
	assert_null(hb_insn_check(&s));
	s.imm[HB_IMM_rows_value] = 31;
	assert_non_null(hb_insn_check(&s));
	s.imm[HB_IMM_rows_value] = 30;
	s.v[3].ext[0] = 15;
	assert_string_equal(hb_insn_check(&s), "a norm's table is not one int32 an element");
	s.nv = 3;
	assert_non_null(hb_insn_check(&s));
	s.imm[HB_IMM_rows_fn] = HB_FN_div;
	assert_string_equal(hb_insn_check(&s), "rows has a function of another instruction");
}

static bool
same_insn(const hb_insn *a, const hb_insn *b)
{
	const hb_insn_row *row = hb_insn_row_of(a->op);
	bool same = a->op == b->op && a->engine == b->engine && a->node == b->node && a->nv == b->nv &&
		a->wait_mask == b->wait_mask && !memcmp(a->imm, b->imm, sizeof(int32_t) * (size_t)row->nimms);
	for (int e = 0; e < HB_NENGINES; e++)
		same &= !(a->wait_mask >> e & 1) || a->wait[e] == b->wait[e];
	for (int k = 0; same && k < a->nv; k++) {
		const hb_view *v = &a->v[k], *w = &b->v[k];
		same = v->space == w->space && v->dtype == w->dtype && v->rank == w->rank && v->buf == w->buf &&
			v->base == w->base && v->ring_rows == w->ring_rows && v->ring_first == w->ring_first &&
			!memcmp(v->ext, w->ext, 4 * (size_t)v->rank) && !memcmp(v->stride, w->stride, 4 * (size_t)v->rank);
	}
	return same;
}

static hb_insn
any_insn(rng *r)
{
	hb_insn i = {.op = (hb_opcode)rng_below(r, HB_NOPCODES), .engine = (hb_engine)rng_below(r, HB_NENGINES)};
	const hb_insn_row *row = hb_insn_row_of(i.op);
	i.node = (int)rng_below(r, 100) - 1;
	i.nv = row->noperands - (int)rng_below(r, (uint32_t)row->noptional + 1);
	i.wait_mask = rng_below(r, 256);
	for (int e = 0; e < HB_NENGINES; e++)
		i.wait[e] = i.wait_mask >> e & 1 ? rng_below(r, UINT32_MAX) : 0;
	for (int k = 0; k < row->nimms; k++)
		i.imm[k] = (int32_t)(rng_below(r, UINT32_MAX) >> 1) - (1 << 30);
	for (int k = 0; k < i.nv; k++) {
		hb_view *v = &i.v[k];
		*v = (hb_view){.space = (hb_space)rng_below(r, HB_NSPACES), .dtype = (hb_dtype)rng_below(r, HB_NDTYPES),
			       .rank = 1 + (int)rng_below(r, 6), .buf = rng_below(r, HBM_BUFS), .base = rng_below(r, UINT32_MAX)};
		for (int d = 0; d < v->rank; d++) {
			v->ext[d] = rng_below(r, UINT32_MAX);
			v->stride[d] = rng_below(r, UINT32_MAX);
		}
		if (rng_below(r, 2)) {
			v->ring_rows = 1 + rng_below(r, 1000);
			v->ring_first = rng_below(r, 1000);
		}
	}
	return i;
}

static void
decoding_undoes_encoding(void **state)
{
	(void)state;
	rng r = {8001};
	hb_ctx *cx = test_ctx(NULL, 1);
	for (int n = 0; n < 5000; n++) {
		hb_insn i = any_insn(&r), back;
		hb_buf b = {.cx = cx};
		const char *why;
		assert_true(hbm_encode(&i, &b));
		assert_int_equal(b.len % 4, 0);
		assert_int_equal(hbm_decode((const uint8_t *)b.p, b.len / 4, &back, &why), b.len / 4);
		assert_true(same_insn(&i, &back));
		for (size_t cut = 0; cut < b.len / 4; cut++)
			assert_int_equal(hbm_decode((const uint8_t *)b.p, cut, &back, &why), 0);
		hb_buf_free(&b);
	}
	hb_ctx_free(cx);
}

static void
random_words_never_do_harm(void **state)
{
	(void)state;
	rng r = {8002};
	uint8_t words[4 * 140];
	for (int n = 0; n < 200000; n++) {
		hb_insn i;
		const char *why = NULL;
		for (size_t k = 0; k < sizeof words; k++)
			words[k] = (uint8_t)(rng_below(&r, 3) ? 0 : rng_below(&r, 256));
		words[0] = (uint8_t)rng_below(&r, HB_NOPCODES + 1);
		words[2] = (uint8_t)rng_below(&r, 60);
		words[3] = 0;
		size_t took = hbm_decode(words, 140, &i, &why);
		assert_true(took <= 140);
		if (took)
			hb_insn_check(&i);
		else
			assert_non_null(why);
	}
}

static void
a_line_of_disassembly_reads_as_the_manual_has_it(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_program *p = example_program(hb_arena_new(cx), 1);
	hb_buf b = {.cx = cx};
	hb_disas_insn(p, &p->segments[0], 8, &b);
	assert_string_equal(b.p,
		"M0#2 conv s0+00e80:i8[4,8,16] ring 4@0 <- s0+00a00:i8[5,8,16] ring 5@3, s0+00000:i8[16,3,3,16], "
		"s0+00900:i32[16,4] sh=1 sw=1 dh=1 dw=1 pt=0 pl=1 groups=1 qmin=-128 qmax=127 ; node 0 'a' wait L0>=4");
	hb_buf_free(&b);
	b = (hb_buf){.cx = cx};
	hb_disas_insn(p, &p->segments[0], 5, &b);
	assert_non_null(strstr(b.p, "V0#0 ew s0+01080:i8[4,8,16] ring 4@0 <- s0+01080"));
	assert_non_null(strstr(b.p, " fn=add ma=2 "));
	hb_buf_free(&b);
	hb_ctx_free(cx);
}

/* The line "lead words." of the manual, with the words that follow in a table's row. */
static void
manual_says(const char *at, const char *lead, const char *words, int noptional)
{
	char want[512];
	int n = snprintf(want, sizeof want, "%s ", lead), count = 1, k = 0;
	for (const char *s = words; s[0] && s[1]; s++)
		count += *s == ' ';
	for (const char *s = words; *s; k++) {
		size_t len = strcspn(s, " ");
		n += snprintf(want + n, sizeof want - (size_t)n, "%s%.*s%s", k ? " " : "", (int)len, s,
			      k >= count - noptional ? " (may be absent)" : "");
		s += len + (s[len] == ' ');
	}
	snprintf(want + n, sizeof want - (size_t)n, ".\n");
	const char *found = strstr(at, want), *next = strstr(at + 1, ".It Ic ");
	if (!found || (next && found > next))
		fail_msg("man/hbm.5 lacks: %s", want);
}

static void
the_manual_has_every_row_of_the_tables(void **state)
{
	(void)state;
	static char text[1 << 16];
	FILE *f = fopen("man/hbm.5", "r");
	assert_non_null(f);
	size_t n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = 0;
	for (int op = 0; op < HB_NOPCODES; op++) {
		const hb_insn_row *row = hb_insn_row_of((hb_opcode)op);
		char head[64];
		snprintf(head, sizeof head, ".It Ic %d %s\n", op, row->name);
		const char *at = strstr(text, head);
		if (!at)
			fail_msg("man/hbm.5 lacks: %s", head);
		manual_says(at, "Operands:", row->operands, row->noptional);
		manual_says(at, "Immediates:", row->imms, 0);
	}
	for (int k = 0; k < HB_NFNS; k++) {
		char word[64];
		snprintf(word, sizeof word, "%d %s%s", k, hb_fn_name((hb_fn)k), k + 1 < HB_NFNS ? ", " : ".");
		assert_non_null(strstr(text, word));
	}
	for (int k = 0; k < HB_NENGINES; k++) {
		char word[64];
		snprintf(word, sizeof word, "%s (%d)", hb_engine_name((hb_engine)k), k);
		assert_non_null(strstr(text, word));
	}
	for (int k = 0; k < HB_NSPACES; k++) {
		char word[64];
		snprintf(word, sizeof word, "%s (%d)", hb_space_name((hb_space)k), k);
		assert_non_null(strstr(text, word));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_count_their_words),
		cmocka_unit_test(each_fault_of_a_conv_is_named),
		cmocka_unit_test(copies_stay_between_their_spaces),
		cmocka_unit_test(in_place_is_for_equal_views_of_ew_lut_and_copy),
		cmocka_unit_test(a_norm_takes_two_tables_as_long_as_its_rows),
		cmocka_unit_test(decoding_undoes_encoding),
		cmocka_unit_test(random_words_never_do_harm),
		cmocka_unit_test(the_manual_has_every_row_of_the_tables),
		cmocka_unit_test(a_line_of_disassembly_reads_as_the_manual_has_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
