/* hbm.c: .hbm files: what is written is read back, and nothing else is. */
#include "lib/hbm/format.h"
#include "lib/hbm/hbm.h"
#include "lib/run/run.h"
#include "tests/machine.h"

#include <jansson.h>
#include <zlib.h>

static hb_buf
write_example(hb_ctx *cx, bool deflate, int copies)
{
	hb_arena *a = hb_arena_new(cx);
	hb_program *p[4];
	for (int k = 0; k < copies; k++)
		p[k] = example_program(a, (uint64_t)k + 1);
	static hb_meta second = {"tool", "hbcc", NULL}, first = {"options", "-O 1", &second};
	p[0]->meta = &first;
	p[0]->uncalibrated = true;
	hb_hbm_options o = {.deflate = deflate};
	hb_buf b = {.cx = cx};
	assert_int_equal(hb_hbm_write(cx, p, (size_t)copies, &o, &b), HB_OK);
	return b;
}

static void
reading_undoes_writing(void **state)
{
	(void)state;
	for (int deflate = 0; deflate < 2; deflate++) {
		hb_ctx *cx = test_ctx(NULL, 1);
		hb_buf b = write_example(cx, deflate, 2), again = {.cx = cx}, t1 = {.cx = cx}, t2 = {.cx = cx};
		hb_hbm h;
		assert_int_equal(hb_hbm_read(cx, (const uint8_t *)b.p, b.len, hb_arena_new(cx), &h), HB_OK);
		assert_int_equal(h.n, 2);
		assert_string_equal(h.march, "example");
		assert_true(h.programs[0]->uncalibrated && !h.programs[1]->uncalibrated);
		assert_string_equal(h.programs[0]->meta->next->value, "hbcc");
		assert_string_equal(h.programs[0]->places[1].q.observer, "fixed");
		hb_hbm_options o = {.deflate = deflate};
		assert_int_equal(hb_hbm_write(cx, h.programs, h.n, &o, &again), HB_OK);
		assert_int_equal(again.len, b.len);
		assert_memory_equal(again.p, b.p, b.len);
		hb_program *p = example_program(hb_arena_new(cx), 2);
		hb_disas_text(p, &t1);
		hb_disas_text(h.programs[1], &t2);
		assert_string_equal(t1.p, t2.p);
		hb_buf_free(&b);
		hb_buf_free(&again);
		hb_buf_free(&t1);
		hb_buf_free(&t2);
		hb_ctx_free(cx);
	}
}

static void
what_was_read_runs_like_what_was_written(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_buf b = write_example(cx, true, 1);
	hb_hbm h;
	assert_int_equal(hb_hbm_read(cx, (const uint8_t *)b.p, b.len, hb_arena_new(cx), &h), HB_OK);
	int8_t x[8][8][16], want[8][8][16], in[16][8][8];
	for (int k = 0; k < 1024; k++)
		(&x[0][0][0])[k] = (int8_t)(k * 37);
	example_by_loops(h.programs[0], x, want);
	for (int k = 0; k < 1024; k++)
		in[k % 16][k / 128][k / 16 % 8] = (&x[0][0][0])[k];
	hb_val v = {HB_I8, {4, {1, 16, 8, 8}}, in}, out;
	hb_sim_options o = {.raw_int = true, .tags = true};
	hb_sim *s;
	assert_int_equal(hb_sim_new(cx, h.programs[0], &example_figures, &o, &s), HB_OK);
	assert_int_equal(hb_sim_run(s, &v, &out), HB_OK);
	for (int k = 0; k < 1024; k++)
		assert_int_equal(((int8_t(*)[8][8])out.data)[k % 16][k / 128][k / 16 % 8], (&want[0][0][0])[k]);
	hb_sim_free(s);
	hb_buf_free(&b);
	hb_ctx_free(cx);
}

static void
the_same_programs_give_the_same_bytes(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_buf a = write_example(cx, true, 3), b = write_example(cx, true, 3), plain = write_example(cx, false, 3);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.p, b.p, a.len);
	assert_true(a.len < plain.len);
	hb_buf_free(&a);
	hb_buf_free(&b);
	hb_buf_free(&plain);
	hb_ctx_free(cx);
}

static void
a_file_cut_anywhere_is_refused(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_buf b = write_example(cx, false, 1);
	hb_arena *a = hb_arena_new(cx);
	for (size_t n = 0; n < b.len; n += 1 + n / 50) {
		uint8_t *cut = malloc(n + 1);
		hb_hbm h;
		memcpy(cut, b.p, n);
		assert_int_equal(hb_hbm_read(cx, cut, n, a, &h), HB_ERR_INPUT);
		free(cut);
		hb_arena_reset(a);
	}
	hb_buf_free(&b);
	hb_ctx_free(cx);
}

/* Where the sections are; padding between them is nobody's. */
static bool
in_section(const hb_buf *b, size_t at)
{
	hb_cursor c = {.p = (const uint8_t *)b->p + 12, .end = (const uint8_t *)b->p + b->len};
	uint32_t n = hb_get_u32(&c);
	if (at < HBM_HEADER + (size_t)n * HBM_ENTRY)
		return true;
	for (uint32_t k = 0; k < n; k++) {
		c.p = (const uint8_t *)b->p + HBM_HEADER + (size_t)k * HBM_ENTRY + 8;
		uint64_t from = hb_get_u64(&c), bytes = hb_get_u64(&c);
		if (at >= from && at < from + bytes)
			return true;
	}
	return false;
}

static void
a_flipped_bit_is_refused(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_buf b = write_example(cx, true, 1);
	hb_arena *a = hb_arena_new(cx);
	for (size_t k = 0; k < b.len; k++) {
		hb_hbm h;
		b.p[k] = (char)(b.p[k] ^ 1 << k % 8);
		hb_status st = hb_hbm_read(cx, (const uint8_t *)b.p, b.len, a, &h);
		b.p[k] = (char)(b.p[k] ^ 1 << k % 8);
		assert_int_equal(st, in_section(&b, k) && k != 10 && k != 11 ? HB_ERR_INPUT : st);
		hb_arena_reset(a);
	}
	hb_buf_free(&b);
	hb_ctx_free(cx);
}

/* Sets the CRCs right, so that what lies behind them is reached. */
static void
mend(hb_buf *b)
{
	uint8_t *p = (uint8_t *)b->p;
	hb_cursor c = {.p = p + 12, .end = p + b->len};
	uint32_t n = hb_get_u32(&c);
	if (n > (b->len - HBM_HEADER) / HBM_ENTRY)
		return;
	for (uint32_t k = 0; k < n; k++) {
		uint8_t *row = p + HBM_HEADER + (size_t)k * HBM_ENTRY;
		c = (hb_cursor){.p = row + 8, .end = p + b->len};
		uint64_t at = hb_get_u64(&c), bytes = hb_get_u64(&c);
		if (at > b->len || bytes > b->len - at)
			continue;
		uint32_t crc = bytes ? (uint32_t)crc32_z(0, p + at, bytes) : 0;
		for (int i = 0; i < 4; i++)
			row[36 + i] = (uint8_t)(crc >> 8 * i);
	}
	uint32_t crc = (uint32_t)crc32_z(0, p, HBM_HEADER - 4);
	crc = (uint32_t)crc32_z(crc, p + HBM_HEADER, (size_t)n * HBM_ENTRY);
	for (int i = 0; i < 4; i++)
		p[HBM_HEADER - 4 + i] = (uint8_t)(crc >> 8 * i);
}

static void
damage_behind_right_crcs_is_refused_or_harmless(void **state)
{
	(void)state;
	const uint64_t seed = 8003;
	rng r = {seed};
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_buf b = write_example(cx, false, 1);
	char *whole = malloc(b.len);
	memcpy(whole, b.p, b.len);
	hb_arena *a = hb_arena_new(cx);
	int refused = 0, read = 0;
	for (int n = 0; n < 4000; n++) {
		memcpy(b.p, whole, b.len);
		for (uint32_t k = 1 + rng_below(&r, 3); k > 0; k--) {
			size_t at = rng_below(&r, (uint32_t)b.len);
			uint32_t how = rng_below(&r, 4);
			b.p[at] = how < 2 ? (char)rng_below(&r, 256) : how < 3 ? (char)0xff : (char)(b.p[at] ^ 1);
		}
		mend(&b);
		hb_hbm h;
		hb_status st = hb_hbm_read(cx, (const uint8_t *)b.p, b.len, a, &h);
		assert_true(st == HB_OK || st == HB_ERR_INPUT);
		refused += st != HB_OK;
		read += st == HB_OK;
		hb_sim *s;
		if (st == HB_OK && h.programs[0]->ninputs == 1 && hb_shape_elems(&h.programs[0]->places[0].shape) == 1024 &&
		    hb_sim_new(cx, h.programs[0], &example_figures, NULL, &s) == HB_OK) {
			float in[1024] = {0};
			hb_val v = {HB_F32, h.programs[0]->places[h.programs[0]->inputs[0]].shape, in}, out[64];
			if (h.programs[0]->noutputs <= 64)
				hb_sim_run(s, &v, out);
			hb_sim_free(s);
		}
		hb_arena_reset(a);
	}
	print_message("seed %d: %d refused, %d read\n", (int)seed, refused, read);
	assert_true(refused > 500 && read > 100);
	free(whole);
	hb_buf_free(&b);
	hb_ctx_free(cx);
}

static void
counts_beyond_the_file_are_refused_by_name(void **state)
{
	(void)state;
	test_log log = {.count = 0};
	hb_ctx *cx = test_ctx(&log, 1);
	hb_buf b = write_example(cx, false, 1);
	hb_hbm h;
	b.p[12] = (char)0xff;
	assert_int_equal(hb_hbm_read(cx, (const uint8_t *)b.p, b.len, hb_arena_new(cx), &h), HB_ERR_INPUT);
	assert_non_null(strstr(log.text, "255 sections are announced where "));
	b.p[12] = 8;
	b.p[8] = 9;
	assert_int_equal(hb_hbm_read(cx, (const uint8_t *)b.p, b.len, hb_arena_new(cx), &h), HB_ERR_INPUT);
	assert_string_equal(log.text, "version 9.0 of the .hbm format; this program reads 1.x");
	b.p[0] = 'X';
	assert_int_equal(hb_hbm_read(cx, (const uint8_t *)b.p, b.len, hb_arena_new(cx), &h), HB_ERR_INPUT);
	assert_string_equal(log.text, "this is no .hbm file");
	hb_buf_free(&b);
	hb_ctx_free(cx);
}

static void
a_section_cannot_inflate_beyond_what_zlib_can(void **state)
{
	(void)state;
	test_log log = {.count = 0};
	hb_ctx *cx = test_ctx(&log, 1);
	hb_buf b = write_example(cx, true, 1);
	uint8_t *row = (uint8_t *)b.p + HBM_HEADER + HBM_ENTRY * (HBM_INSNS - HBM_MODEL);
	assert_int_equal(row[32], HBM_DEFLATED);
	row[24 + 3] = 0x7f;		/* 2 GiB */
	mend(&b);
	hb_hbm h;
	assert_int_equal(hb_hbm_read(cx, (const uint8_t *)b.p, b.len, hb_arena_new(cx), &h), HB_ERR_INPUT);
	assert_non_null(strstr(log.text, " bytes claims to inflate to 21"));
	hb_buf_free(&b);
	hb_ctx_free(cx);
}

static void
models_of_two_marches_do_not_share_a_file(void **state)
{
	(void)state;
	test_log log = {.count = 0};
	hb_ctx *cx = test_ctx(&log, 1);
	hb_arena *a = hb_arena_new(cx);
	hb_program *p[2] = {example_program(a, 1), example_program(a, 2)};
	hb_buf b = {.cx = cx};
	p[1]->march = "other";
	assert_int_equal(hb_hbm_write(cx, p, 2, NULL, &b), HB_ERR_UNSUPPORTED);
	assert_string_equal(log.text, "is for march other, the first model for example; an .hbm holds one march");
	hb_buf_free(&b);
	hb_ctx_free(cx);
}

static hb_program *
cpu_program(hb_ctx *cx)
{
	hb_arena *a = hb_arena_new(cx);
	hb_graph *g = hb_graph_new(cx);
	hb_shape shape = {2, {3, 4}};
	hb_tensor *x = test_input(g, "x", shape), *y = test_node(g, "Relu", "y", x, NULL, NULL, NULL);
	test_output(g, y);
	assert_int_equal(hb_op_resolve(g, y->producer), HB_OK);
	assert_int_equal(hb_op_infer(g, y->producer), HB_OK);
	hb_program *p = HB_NEW(a, hb_program);
	*p = (hb_program){.arena = a, .name = "cpu", .march = "example", .cores = 1, .places = HB_NEW_N(a, hb_place_row, 2),
			  .nplaces = 2, .inputs = HB_NEW_N(a, int, 1), .outputs = HB_NEW_N(a, int, 1), .ninputs = 1,
			  .noutputs = 1, .segments = HB_NEW(a, hb_segment), .nsegments = 1,
			  .size = {[HB_IN] = 64, [HB_OUT] = 64}};
	for (int k = 0; k < 2; k++)
		p->places[k] = (hb_place_row){.name = k ? "y" : "x", .shape = shape, .dtype = HB_F32, .space = k ? HB_OUT : HB_IN,
					      .order = {0, 1}, .stride = {16, 4}, .bytes = 48};
	p->outputs[0] = 1;
	p->segments[0] = (hb_segment){.cpu = true, .graph = g, .ins = p->inputs, .outs = p->outputs, .nins = 1, .nouts = 1};
	return p;
}

static void
cpu_segments_travel_as_onnx(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_program *p = cpu_program(cx);
	hb_buf b = {.cx = cx}, again = {.cx = cx};
	assert_int_equal(hb_hbm_write(cx, &p, 1, NULL, &b), HB_OK);
	hb_hbm h;
	assert_int_equal(hb_hbm_read(cx, (const uint8_t *)b.p, b.len, hb_arena_new(cx), &h), HB_OK);
	float in[12] = {-1, 2, -3, 4};
	hb_val v = {HB_F32, {2, {3, 4}}, in}, out;
	hb_sim *s;
	assert_int_equal(hb_sim_new(cx, h.programs[0], &example_figures, NULL, &s), HB_OK);
	assert_int_equal(hb_sim_run(s, &v, &out), HB_OK);
	assert_true(((float *)out.data)[0] == 0 && ((float *)out.data)[3] == 4);
	hb_sim_free(s);
	assert_int_equal(hb_hbm_write(cx, h.programs, 1, NULL, &again), HB_OK);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.p, b.p, b.len);
	hb_buf_free(&b);
	hb_buf_free(&again);
	hb_ctx_free(cx);
}

static void
json_is_json(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_program *p = example_program(hb_arena_new(cx), 1);
	p->places[0].name = "no \xff utf-8 \"quoted\"";
	hb_buf b = {.cx = cx};
	hb_disas_json(&p, 1, &b);
	assert_false(b.bad);
	json_error_t e;
	json_t *j = json_loadb(b.p, b.len, 0, &e);
	assert_non_null(j);
	json_t *insns = json_object_get(json_array_get(json_object_get(json_array_get(json_object_get(j, "models"), 0),
								      "segments"), 0), "instructions");
	assert_int_equal(json_array_size(insns), 12);
	json_t *i = json_array_get(insns, 8);
	assert_string_equal(json_string_value(json_object_get(i, "op")), "conv");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(i, "waits"), "L0")), 4);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(i, "immediates"), "pl")), 1);
	json_decref(j);
	hb_buf_free(&b);
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading_undoes_writing),
		cmocka_unit_test(what_was_read_runs_like_what_was_written),
		cmocka_unit_test(the_same_programs_give_the_same_bytes),
		cmocka_unit_test(a_file_cut_anywhere_is_refused),
		cmocka_unit_test(a_flipped_bit_is_refused),
		cmocka_unit_test(damage_behind_right_crcs_is_refused_or_harmless),
		cmocka_unit_test(counts_beyond_the_file_are_refused_by_name),
		cmocka_unit_test(a_section_cannot_inflate_beyond_what_zlib_can),
		cmocka_unit_test(models_of_two_marches_do_not_share_a_file),
		cmocka_unit_test(cpu_segments_travel_as_onnx),
		cmocka_unit_test(json_is_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
