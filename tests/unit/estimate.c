/* estimate.c: times of MACHINE 8's example, sharing of DDR, and bytes that equal the simulator's. */
#include "lib/run/run.h"
#include "tests/machine.h"

typedef struct times {
	uint64_t start[16], end[16];
	int n;
} times;

static void
note(void *arg, int segment, size_t insn, uint64_t start, uint64_t end)
{
	times *t = arg;
	assert_int_equal(segment, 0);
	t->start[insn] = start;
	t->end[insn] = end;
	t->n++;
}

static void
the_example_takes_the_cycles_of_the_manual(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_arena *a = hb_arena_new(cx);
	hb_program *p = example_program(a, 1);
	hb_estimate e;
	times t = {.n = 0};
	assert_int_equal(hb_estimate_run(cx, p, &example_figures, a, note, &t, &e), HB_OK);
	static const uint64_t want[12][2] = {
		{0, 360}, {360, 464}, {464, 584}, {584, 880}, {880, 920}, {920, 960},
		{960, 1112}, {960, 1096}, {1096, 1392}, {1392, 1432}, {1432, 1472}, {1472, 1576},
	};
	assert_int_equal(t.n, 12);
	for (int k = 0; k < 12; k++) {
		assert_int_equal(t.start[k], want[k][0]);
		assert_int_equal(t.end[k], want[k][1]);
	}
	assert_int_equal(e.cycles, 1576);
	assert_int_equal(e.segment_cycles[0], 1576);
	assert_int_equal(e.busy[HB_M0], 2 * (296 + 40));
	assert_int_equal(e.busy[HB_V0], 80);
	assert_int_equal(e.busy[HB_ST0], 152 + 104);
	hb_ctx_free(cx);
}

static void
layers_sum_to_the_whole(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_arena *a = hb_arena_new(cx);
	hb_program *p = example_program(a, 1);
	hb_estimate e;
	assert_int_equal(hb_estimate_run(cx, p, &example_figures, a, NULL, NULL, &e), HB_OK);
	uint64_t loaded = 0, stored = 0, ops = 0, cycles = 0;
	for (size_t k = 0; k < p->nnodes; k++) {
		loaded += e.layers[k].loaded;
		stored += e.layers[k].stored;
		ops += e.layers[k].ops;
		cycles += e.layers[k].cycles;
	}
	assert_int_equal(loaded, e.loaded);
	assert_int_equal(stored, e.stored);
	assert_int_equal(ops, e.ops);
	assert_int_equal(ops, 2 * 64 * 16 * 16 * 10);
	assert_int_equal(cycles, e.busy[HB_M0] + e.busy[HB_V0]);
	assert_int_equal(e.layers[0].cycles, 2 * 296);
	assert_int_equal(e.layers[2].stored, 1024);
	hb_ctx_free(cx);
}

static void
estimated_bytes_are_the_simulators(void **state)
{
	(void)state;
	const uint64_t seed = 7003;
	rng r = {seed};
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_figures f = example_figures;
	for (int n = 0; n < 300; n++) {
		hb_arena *a = hb_arena_new(cx);
		hb_program *p = random_program(a, &r, 30);
		static const uint32_t granules[] = {1, 4, 8, 16, 64};
		f.granule = granules[rng_below(&r, 5)];
		hb_sim *s;
		hb_sim_stats k;
		hb_estimate e;
		assert_int_equal(hb_sim_new(cx, p, &f, NULL, &s), HB_OK);
		assert_int_equal(hb_sim_run(s, NULL, NULL), HB_OK);
		hb_sim_stats_get(s, &k);
		assert_int_equal(hb_estimate_run(cx, p, &f, a, NULL, NULL, &e), HB_OK);
		assert_int_equal(e.loaded, k.loaded);
		assert_int_equal(e.stored, k.stored);
		hb_sim_free(s);
		hb_arena_free(a);
	}
	hb_ctx_free(cx);
}

static void
queues_share_ddr_evenly(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_arena *a = hb_arena_new(cx);
	hb_segment seg = {.cpu = false};
	hb_program p = {.arena = a, .segments = &seg, .nsegments = 1};
	hb_view ddr = dense_view(HB_HEAP, 0, HB_I8, 0, 1, 8000u), sram = dense_view(HB_S0, 0, HB_I8, 0, 1, 8000u);
	hb_view far = dense_view(HB_S1, 0, HB_I8, 0, 1, 8000u);
	hb_insn i[4] = {
		{.op = HB_I_copy, .engine = HB_L0, .node = -1, .nv = 2, .v = {sram, ddr}},
		{.op = HB_I_copy, .engine = HB_ST0, .node = -1, .nv = 2, .v = {ddr, sram}},
		{.op = HB_I_copy, .engine = HB_L1, .node = -1, .nv = 2, .v = {far, ddr}},
		{.op = HB_I_copy, .engine = HB_ST1, .node = -1, .nv = 2, .v = {ddr, far}},
	};
	for (uint64_t n = 1; n <= 4; n++) {
		hb_estimate e;
		assert_true(hb_list_add(a, &seg.list, &i[n - 1]));
		assert_int_equal(hb_estimate_run(cx, &p, &example_figures, a, NULL, NULL, &e), HB_OK);
		assert_int_equal(e.cycles, 40 + 1000 * n);
	}
	hb_ctx_free(cx);
}

static void
a_wait_that_is_never_met_is_reported(void **state)
{
	(void)state;
	test_log log = {.count = 0};
	hb_ctx *cx = test_ctx(&log, 1);
	hb_arena *a = hb_arena_new(cx);
	hb_program *p = example_program(a, 1);
	hb_estimate e;
	wait_for(&p->segments[0].list.insns[0], HB_V0, 1);
	assert_int_equal(hb_estimate_run(cx, p, &example_figures, a, NULL, NULL, &e), HB_ERR_INPUT);
	assert_string_equal(log.text, "segment 0: 12 of 12 instructions wait for ever");
	assert_int_equal(hb_program_check(cx, p), HB_ERR_INPUT);
	assert_string_equal(log.text, "waits for V0>=1, but 0 came before");
	hb_ctx_free(cx);
}

static void
a_depthwise_conv_has_its_own_tile(void **state)
{
	(void)state;
	hb_insn i = {.op = HB_I_conv, .engine = HB_M0, .nv = 4, .v = {
		dense_view(HB_S0, 0, HB_I8, 0, 3, 4u, 9u, 20u), dense_view(HB_S0, 0, HB_I8, 0, 3, 4u, 9u, 20u),
		dense_view(HB_S0, 0, HB_I8, 0, 4, 20u, 3u, 3u, 1u), dense_view(HB_S0, 0, HB_I32, 0, 2, 20u, 4u)}};
	i.imm[HB_IMM_conv_groups] = 20;
	assert_int_equal(hb_insn_cycles(&example_figures, &i), 8 + 4 * 16 * 32 * 9 / 16);
	i.v[1].dtype = HB_I16;
	assert_int_equal(hb_insn_cycles(&example_figures, &i), 8 + 2 * 4 * 16 * 32 * 9 / 16);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_takes_the_cycles_of_the_manual),
		cmocka_unit_test(layers_sum_to_the_whole),
		cmocka_unit_test(estimated_bytes_are_the_simulators),
		cmocka_unit_test(queues_share_ddr_evenly),
		cmocka_unit_test(a_wait_that_is_never_met_is_reported),
		cmocka_unit_test(a_depthwise_conv_has_its_own_tile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
