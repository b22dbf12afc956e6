/* sched_parts: addresses, waits, views without instructions, segments, and what does not fit. */
#include "tests/test.h"

#include "lib/run/run.h"
#include "lib/sched/internal.h"

static void
buffers_alive_together_share_no_byte(void **unused)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_arena *a = hb_arena_new(cx);
	uint32_t seed = 1;

	(void)unused;
	for (int round = 0; round < 200; round++) {
		hb_fit items[40];
		uint64_t end, live = 0;
		size_t n = 1 + (size_t)round % 40;
		for (size_t i = 0; i < n; i++) {
			seed = seed * 1664525 + 1013904223;
			items[i] = (hb_fit){ .bytes = 1 + (seed >> 8) % 500, .first = (int)(seed >> 20) % 30 };
			items[i].last = items[i].first + (int)(seed >> 4) % 8;
		}
		assert_int_equal(hb_fit_all(cx, a, items, n, 16, &end), HB_OK);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(items[i].addr % 16, 0);
			assert_true(items[i].addr + items[i].bytes <= end);
			for (size_t j = 0; j < i; j++) {
				bool together = items[i].first <= items[j].last && items[j].first <= items[i].last;
				bool apart = items[i].addr + items[i].bytes <= items[j].addr ||
					     items[j].addr + items[j].bytes <= items[i].addr;
				assert_true(apart || !together);
			}
		}
		for (int t = 0; t < 40; t++) {
			uint64_t sum = 0;
			for (size_t i = 0; i < n; i++)
				if (items[i].first <= t && t <= items[i].last)
					sum += (items[i].bytes + 15) / 16 * 16;
			live = HB_MAX(live, sum);
		}
		assert_true(end <= live * 2);
	}
	hb_ctx_free(cx);
}

static hb_view
bytes_at(hb_space s, uint32_t base, uint32_t n)
{
	return (hb_view){ .space = s, .dtype = HB_I8, .rank = 1, .base = base, .ext = { n }, .stride = { 1 } };
}

static void
add_copy(hb_arena *a, hb_list *l, hb_engine e, hb_view out, hb_view in)
{
	hb_insn i = { .op = HB_I_copy, .engine = e, .node = -1, .nv = 2, .v = { out, in } };

	assert_true(hb_list_add(a, l, &i));
}

static void
waits_are_what_bytes_ask_for_and_no_more(void **unused)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_arena *a = hb_arena_new(cx);
	hb_list l = { 0 };
	uint64_t size[HB_NSPACES] = { [HB_S0] = 4096, [HB_IN] = 4096, [HB_OUT] = 4096 };

	(void)unused;
	add_copy(a, &l, HB_L0, bytes_at(HB_S0, 0, 64), bytes_at(HB_IN, 0, 64));
	add_copy(a, &l, HB_L0, bytes_at(HB_S0, 64, 64), bytes_at(HB_IN, 64, 64));
	add_copy(a, &l, HB_V0, bytes_at(HB_S0, 128, 64), bytes_at(HB_S0, 0, 64));	/* reads what L0#0 wrote */
	add_copy(a, &l, HB_ST0, bytes_at(HB_OUT, 0, 64), bytes_at(HB_S0, 128, 64));	/* reads what V0#0 wrote */
	add_copy(a, &l, HB_L0, bytes_at(HB_S0, 0, 64), bytes_at(HB_IN, 128, 64));	/* overwrites what V0#0 read */
	add_copy(a, &l, HB_V0, bytes_at(HB_S0, 128, 64), bytes_at(HB_S0, 32, 64));	/* after L0#2, L0#1, S0#0 */
	assert_int_equal(hb_sched_waits(cx, size, &l), HB_OK);
	assert_int_equal(l.insns[0].wait_mask | l.insns[1].wait_mask, 0);
	assert_int_equal(l.insns[2].wait_mask, 1 << HB_L0);
	assert_int_equal(l.insns[2].wait[HB_L0], 1);
	assert_int_equal(l.insns[3].wait_mask, 1 << HB_V0);
	assert_int_equal(l.insns[4].wait_mask, 1 << HB_V0);
	assert_int_equal(l.insns[4].wait[HB_V0], 1);
	assert_int_equal(l.insns[5].wait_mask, 1 << HB_L0 | 1 << HB_ST0);
	assert_int_equal(l.insns[5].wait[HB_L0], 3);
	assert_int_equal(l.insns[5].wait[HB_ST0], 1);
	hb_ctx_free(cx);
}

/* ---- graphs ---- */

static hb_tensor *
input(hb_graph *g, const char *name, hb_shape s)
{
	hb_tensor *t = test_input(g, name, s);

	t->dtype = HB_I8;
	t->q = (hb_q){ .dtype = HB_I8, .nscales = 1, .scale = 1 };
	return t;
}

static hb_node *
node(hb_graph *g, const char *op, const char *name, hb_tensor *x)
{
	hb_node *n = hb_node_new(g, NULL, name, "hbcc", op, 1, 1, 1);

	hb_node_set_in(g, n, 0, x);
	hb_node_set_out(n, 0, hb_tensor_new(g, name, HB_NONE, NULL));
	return n;
}

static hb_tensor *
finish(hb_graph *g, hb_node *n)
{
	assert_int_equal(hb_op_infer(g, n), HB_OK);
	n->out[0]->q = (hb_q){ .dtype = n->out[0]->dtype, .nscales = 1, .scale = 1 };
	return n->out[0];
}

static hb_tensor *
absolute(hb_graph *g, const char *name, hb_tensor *x)
{
	hb_node *n = node(g, "Ew", name, x);

	hb_attr_set_s(g, n, "fn", "abs");
	return finish(g, n);
}

static hb_march
machine(uint32_t sram)
{
	return (hb_march){
		.name = "bayes",
		.fig = { .name = "test", .cores = 1, .clock_ghz = 1, .sram_bytes = sram, .c_align = 16, .granule = 64,
			 .mac_h = 1, .mac_w = 8, .mac_c = 4, .mac_n = 8, .macs_per_cycle = 256, .dw_h = 1, .dw_w = 8,
			 .dw_c = 4, .dw_macs_per_cycle = 32, .start_mac = 20, .start_vec = 20, .start_dma = 40,
			 .vec_x100 = 1600, .lut_x100 = 800, .copy_x100 = 3200, .dma_bytes_x100 = 800 },
	};
}

static void
a_reshape_and_a_slice_take_no_instructions(void **unused)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_march m = machine(1 << 16);
	hb_sched_options o = { .level = 0 };
	hb_program *p;
	int64_t shape[] = { 4, 48 }, starts[] = { 1, 0 }, extents[] = { 2, 48 };
	hb_tensor *x = absolute(g, "a", input(g, "x", test_shape(3, 4, 3, 16)));
	hb_node *n;

	(void)unused;
	n = node(g, "Reshape", "r", x);
	hb_attr_set_ints(g, n, "shape", shape, 2);
	x = finish(g, n);
	n = node(g, "Slice", "s", x);
	hb_attr_set_ints(g, n, "starts", starts, 2);
	hb_attr_set_ints(g, n, "extents", extents, 2);
	test_output(g, absolute(g, "b", finish(g, n)));
	assert_int_equal(hb_schedule(g, &m, &o, &p), HB_OK);
	assert_int_equal(p->nsegments, 1);
	for (size_t i = 0; i < p->segments[0].list.n; i++) {
		const char *of = p->nodes[p->segments[0].list.insns[i].node].name;
		assert_true(strcmp(of, "r") && strcmp(of, "s"));
	}
	hb_ctx_free(cx);
}

/* Two chains through the CPU, written one after the other, cross it together. */
static void
segments_are_as_few_as_the_order_allows(void **unused)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_march m = machine(1 << 16);
	hb_sched_options o = { .level = 1 };
	hb_program *p;

	(void)unused;
	for (int i = 0; i < 2; i++) {
		hb_shape s = test_shape(2, 3, 5);
		hb_tensor *x = absolute(g, i ? "a1" : "a0", input(g, i ? "x1" : "x0", s)), *y;
		y = test_node(g, "Abs", i ? "c1" : "c0", x, NULL, NULL, NULL);
		assert_int_equal(hb_op_infer(g, y->producer), HB_OK);
		y->q = x->q;
		test_output(g, absolute(g, i ? "b1" : "b0", y));
	}
	assert_int_equal(hb_schedule(g, &m, &o, &p), HB_OK);
	assert_int_equal(p->nsegments, 3);
	assert_true(!p->segments[0].cpu && p->segments[1].cpu && !p->segments[2].cpu);
	assert_int_equal(p->segments[1].nins, 2);
	assert_int_equal(p->segments[1].nouts, 2);
	hb_ctx_free(cx);
}

static void
what_cannot_fit_is_refused_with_its_bytes(void **unused)
{
	test_log log = { .count = 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_march m = machine(256);
	hb_sched_options o = { .level = 1 };
	hb_program *p;
	hb_node *n = node(g, "Rows", "softmax", input(g, "x", test_shape(2, 3, 1000)));

	(void)unused;
	hb_attr_set_s(g, n, "fn", "softmax");
	test_output(g, finish(g, n));
	assert_int_equal(hb_schedule(g, &m, &o, &p), HB_ERR_NO);
	assert_string_equal(log.id, "sram");
	assert_non_null(strstr(log.where, "softmax"));
	assert_string_equal(log.text, "needs 2048 bytes of SRAM for its smallest part; there are 256");
	hb_ctx_free(cx);
}

/* A tensor far larger than SRAM in every dimension but the smallest passes through it in blocks. */
static void
a_tensor_wider_than_sram_goes_in_columns_and_passes(void **unused)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_graph *g = hb_graph_new(cx);
	hb_march m = machine(1024);
	hb_sched_options o = { .level = 0 };
	hb_program *p;

	(void)unused;
	test_output(g, absolute(g, "a", input(g, "x", test_shape(3, 2, 3, 5000))));
	assert_int_equal(hb_schedule(g, &m, &o, &p), HB_OK);
	assert_true(p->segments[0].list.n >= 3 * 30);
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_alive_together_share_no_byte),
		cmocka_unit_test(waits_are_what_bytes_ask_for_and_no_more),
		cmocka_unit_test(a_reshape_and_a_slice_take_no_instructions),
		cmocka_unit_test(segments_are_as_few_as_the_order_allows),
		cmocka_unit_test(what_cannot_fit_is_refused_with_its_bytes),
		cmocka_unit_test(a_tensor_wider_than_sram_goes_in_columns_and_passes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
