/* sim.c: the simulator against plain loops, its tags, its counts, and every legal order. */
#include "lib/run/run.h"
#include "tests/machine.h"

typedef struct world {
	hb_ctx *cx;
	test_log log;
	hb_program *p;
	int8_t x[8][8][16], want[8][8][16];
} world;

static world *
new_world(uint64_t seed)
{
	world *w = calloc(1, sizeof *w);
	assert_non_null(w);
	w->cx = test_ctx(&w->log, 1);
	w->p = example_program(hb_arena_new(w->cx), seed);
	rng r = {seed * 7 + 3};
	for (int k = 0; k < 1024; k++)
		(&w->x[0][0][0])[k] = (int8_t)((int)rng_below(&r, 256) - 128);
	example_by_loops(w->p, w->x, w->want);
	return w;
}

static void
free_world(world *w)
{
	hb_ctx_free(w->cx);
	free(w);
}

/* Rows, columns, channels to ONNX's order. */
static void
to_nchw(int8_t from[8][8][16], int8_t to[16][8][8])
{
	for (int y = 0; y < 8; y++)
		for (int x = 0; x < 8; x++)
			for (int c = 0; c < 16; c++)
				to[c][y][x] = from[y][x][c];
}

/* Runs on x as integers; the status, and how many output values differ. */
static hb_status
run_ints(world *w, const hb_sim_options *o, int *differ, hb_sim_stats *stats)
{
	hb_sim *s;
	int8_t in[16][8][8], want[16][8][8];
	hb_val x = {HB_I8, {4, {1, 16, 8, 8}}, in}, y = {0};
	to_nchw(w->x, in);
	to_nchw(w->want, want);
	hb_status st = hb_sim_new(w->cx, w->p, &example_figures, o, &s);
	if (st != HB_OK)
		return st;
	st = hb_sim_run(s, &x, &y);
	if (st == HB_OK) {
		assert_int_equal(y.dtype, HB_I8);
		*differ = 0;
		for (int k = 0; k < 1024; k++)
			*differ += ((const int8_t *)y.data)[k] != (&want[0][0][0])[k];
	}
	if (stats)
		hb_sim_stats_get(s, stats);
	hb_sim_free(s);
	return st;
}

static void
the_example_gives_what_plain_loops_give(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		world *w = new_world(seed);
		hb_sim_options o = {.raw_int = true, .tags = true, .seed = seed};
		int differ = -1;
		assert_int_equal(run_ints(w, &o, &differ, NULL), HB_OK);
		assert_int_equal(differ, 0);
		assert_int_equal(w->log.count, 0);
		free_world(w);
	}
}

static void
every_legal_order_gives_the_same(void **state)
{
	(void)state;
	world *w = new_world(2);
	for (uint64_t order = 1; order <= 40; order++) {
		hb_sim_options o = {.raw_int = true, .tags = true, .seed = order, .shuffle = order};
		int differ = -1;
		assert_int_equal(run_ints(w, &o, &differ, NULL), HB_OK);
		assert_int_equal(differ, 0);
	}
	free_world(w);
}

static void
random_streams_leave_the_same_memory_in_every_legal_order(void **state)
{
	(void)state;
	const uint64_t seed = 7002;
	rng r = {seed};
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_figures f = example_figures;
	for (int n = 0; n < 150; n++) {
		hb_arena *a = hb_arena_new(cx);
		hb_program *p = random_program(a, &r, 3 + rng_below(&r, 40));
		random_waits(&p->segments[0].list);
		uint8_t first[HB_NSPACES][128] = {{0}};
		hb_hazard h;
		size_t hazards;
		assert_int_equal(hb_hazards(cx, p, &h, 1, &hazards), HB_OK);
		assert_int_equal(hazards, 0);
		for (uint64_t order = 0; order < 6; order++) {
			hb_sim_options o = {.seed = (uint64_t)n, .shuffle = order};
			hb_sim *s;
			assert_int_equal(hb_sim_new(cx, p, &f, &o, &s), HB_OK);
			assert_int_equal(hb_sim_run(s, NULL, NULL), HB_OK);
			for (int sp = 0; sp < HB_NSPACES; sp++) {
				size_t bytes = (size_t)p->size[sp];
				if (order == 0 && bytes)
					memcpy(first[sp], hb_sim_memory(s, (hb_space)sp), bytes);
				else if (bytes)
					assert_memory_equal(first[sp], hb_sim_memory(s, (hb_space)sp), bytes);
			}
			hb_sim_free(s);
		}
		hb_arena_free(a);
	}
	hb_ctx_free(cx);
}

static void
a_dropped_wait_shows_in_some_order(void **state)
{
	(void)state;
	world *w = new_world(3);
	w->p->segments[0].list.insns[7].wait_mask = 0;	/* the second load of x */
	int wrong = 0;
	for (uint64_t order = 1; order <= 40; order++) {
		hb_sim_options o = {.raw_int = true, .shuffle = order};
		int differ = 0;
		assert_int_equal(run_ints(w, &o, &differ, NULL), HB_OK);
		wrong += differ > 0;
	}
	assert_true(wrong > 0);
	free_world(w);
}

static void
tags_find_a_buffer_on_top_of_another(void **state)
{
	(void)state;
	world *w = new_world(4);
	hb_list *l = &w->p->segments[0].list;
	for (size_t i = 0; i < l->n; i++)	/* wb on the last 64 bytes of x, which is loaded after it */
		for (int k = 0; k < l->insns[i].nv; k++)
			if (l->insns[i].v[k].buf == WB && l->insns[i].v[k].space == HB_S0)
				l->insns[i].v[k].base -= 0x40;
	hb_sim_options o = {.raw_int = true, .tags = true};
	int differ = 0;
	assert_int_equal(run_ints(w, &o, &differ, NULL), HB_ERR_NO);
	assert_string_equal(w->log.id, "sim-tag");
	assert_non_null(strstr(w->log.text, "read as 'wb', was written by 'x'"));
	free_world(w);
}

static void
tags_find_what_nobody_wrote(void **state)
{
	(void)state;
	world *w = new_world(4);
	hb_list *l = &w->p->segments[0].list;
	l->insns[2].v[0].ext[0] = l->insns[2].v[1].ext[0] = 4;	/* one row of x is missing */
	hb_sim_options o = {.raw_int = true, .tags = true};
	int differ = 0;
	assert_int_equal(run_ints(w, &o, &differ, NULL), HB_ERR_NO);
	assert_non_null(strstr(w->log.text, "read as 'x', was written by 'nobody'"));
	free_world(w);
}

static void
counts_are_those_of_the_stream(void **state)
{
	(void)state;
	world *w = new_world(5);
	hb_sim_options o = {.raw_int = true};
	hb_sim_stats k;
	int differ;
	assert_int_equal(run_ints(w, &o, &differ, &k), HB_OK);
	assert_int_equal(k.insns, 12);
	assert_int_equal(k.insns_of[HB_L0], 4);
	assert_int_equal(k.insns_of[HB_M0], 4);
	assert_int_equal(k.accesses, 6 * 2 + 4 * 4 + 2 * 3);
	assert_int_equal(k.loaded, 2560 + 512 + 1024);
	assert_int_equal(k.stored, 1024);
	free_world(w);
}

static void
float_inputs_are_quantized_and_outputs_made_real(void **state)
{
	(void)state;
	world *w = new_world(6);
	hb_sim *s;
	float in[16][8][8];
	int8_t x[16][8][8], want[16][8][8];
	to_nchw(w->x, x);
	to_nchw(w->want, want);
	for (int k = 0; k < 1024; k++)
		(&in[0][0][0])[k] = (float)(&x[0][0][0])[k] * 0.5f + 0.1f;
	hb_val a = {HB_F32, {4, {1, 16, 8, 8}}, in}, y;
	assert_int_equal(hb_sim_new(w->cx, w->p, &example_figures, NULL, &s), HB_OK);
	assert_int_equal(hb_sim_run(s, &a, &y), HB_OK);
	assert_int_equal(y.dtype, HB_F32);
	for (int k = 0; k < 1024; k++)
		assert_true(((const float *)y.data)[k] == (float)(&want[0][0][0])[k] * 0.5f);
	hb_sim_free(s);
	free_world(w);
}

static void
wrong_inputs_are_refused(void **state)
{
	(void)state;
	world *w = new_world(6);
	hb_sim *s;
	int64_t in[1024] = {0};
	hb_val a = {HB_I64, {4, {1, 16, 8, 8}}, in}, y;
	assert_int_equal(hb_sim_new(w->cx, w->p, &example_figures, NULL, &s), HB_OK);
	assert_int_equal(hb_sim_run(s, &a, &y), HB_ERR_INPUT);
	assert_string_equal(w->log.text, "an input of type int64 is given; the model takes float32");
	a.dtype = HB_F32;
	a.shape.dim[1] = 8;
	assert_int_equal(hb_sim_run(s, &a, &y), HB_ERR_INPUT);
	assert_string_equal(w->log.text, "an input of shape 1x8x8x8 is given; the model takes 1x16x8x8");
	hb_sim_free(s);
	free_world(w);
}

static void
more_memory_than_the_march_has_is_refused(void **state)
{
	(void)state;
	world *w = new_world(6);
	hb_figures f = example_figures;
	hb_sim *s;
	f.sram_bytes--;
	assert_int_equal(hb_sim_new(w->cx, w->p, &f, NULL, &s), HB_ERR_INPUT);
	assert_string_equal(w->log.text, "the program uses 4736 bytes of s0; march example has 4735");
	free_world(w);
}

static void
views_outside_their_space_are_refused(void **state)
{
	(void)state;
	world *w = new_world(6);
	hb_sim *s;
	w->p->size[HB_S0]--;
	assert_int_equal(hb_sim_new(w->cx, w->p, &example_figures, NULL, &s), HB_ERR_INPUT);
	assert_string_equal(w->log.where, "segment 0 instruction 4");
	assert_string_equal(w->log.text, "operand 0 ends at byte 4736 of s0, which has 4735");
	free_world(w);
}

/* A table of 8 rows in par, 3 of which a LOAD gathers by an index that lies in par too. */
static hb_program *
gather_program(hb_arena *a, const int32_t index[3])
{
	hb_program *p = HB_NEW(a, hb_program);
	*p = (hb_program){
		.arena = a, .name = "gather", .march = "example", .cores = 1, .segments = HB_NEW(a, hb_segment), .nsegments = 1,
		.size = {[HB_S0] = 256, [HB_PAR] = 8 * 64 + 64}, .par = hb_arena_alloc(a, 8 * 64 + 64),
	};
	for (int k = 0; k < 512; k++)
		p->par[k] = (uint8_t)(k / 64 * 10 + k % 64);
	memcpy(p->par + 512, index, 12);
	hb_segment *s = p->segments;
	static hb_buf_row bufs[] = {{.space = HB_S0, .name = "rows"}, {.space = HB_PAR, .name = "par"}};
	s->bufs = bufs;
	s->nbufs = 2;
	hb_insn i = {.op = HB_I_copy, .engine = HB_L0, .node = -1, .nv = 3, .v = {
		dense_view(HB_S0, 0, HB_I8, 0, 2, 3u, 64u), dense_view(HB_PAR, 1, HB_I8, 0, 2, 8u, 64u),
		dense_view(HB_PAR, 1, HB_I32, 512, 1, 3u)}};
	i.imm[HB_IMM_copy_mode] = 1;
	assert_true(hb_list_add(a, &s->list, &i));
	return p;
}

static void
a_gather_takes_the_rows_of_its_index(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_program *p = gather_program(hb_arena_new(cx), (const int32_t[]){7, 0, 7});
	hb_sim *s;
	hb_sim_stats k;
	assert_int_equal(hb_sim_new(cx, p, &example_figures, NULL, &s), HB_OK);
	assert_int_equal(hb_sim_run(s, NULL, NULL), HB_OK);
	const uint8_t *m = hb_sim_memory(s, HB_S0);
	assert_memory_equal(m, p->par + 7 * 64, 64);
	assert_memory_equal(m + 64, p->par, 64);
	assert_memory_equal(m + 128, p->par + 7 * 64, 64);
	hb_sim_stats_get(s, &k);
	assert_int_equal(k.loaded, 4 * 64);
	assert_int_equal(k.loaded, hb_insn_bytes(&example_figures, &p->segments[0].list.insns[0]));
	hb_sim_free(s);
	hb_ctx_free(cx);
}

static void
an_index_outside_its_table_is_refused(void **state)
{
	(void)state;
	for (int k = 0; k < 2; k++) {
		test_log log = {.count = 0};
		hb_ctx *cx = test_ctx(&log, 1);
		hb_program *p = gather_program(hb_arena_new(cx), (const int32_t[]){7, k ? 8 : -1, 0});
		hb_sim *s;
		assert_int_equal(hb_sim_new(cx, p, &example_figures, NULL, &s), HB_OK);
		assert_int_equal(hb_sim_run(s, NULL, NULL), HB_ERR_INPUT);
		assert_string_equal(log.id, "sim-index");
		assert_non_null(strstr(log.text, k ? "index 8 is outside 0..7" : "index -1 is outside 0..7"));
		hb_sim_free(s);
		hb_ctx_free(cx);
	}
}

/* x -> CPU: Relu on float, in another layout. */
static void
cpu_segments_convert_layouts(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_arena *a = hb_arena_new(cx);
	hb_graph *g = hb_graph_new(cx);
	hb_shape shape = {3, {2, 3, 5}};
	hb_tensor *x = test_input(g, "x", shape);
	hb_tensor *y = test_node(g, "Relu", "y", x, NULL, NULL, NULL);
	test_output(g, y);
	assert_int_equal(hb_op_resolve(g, y->producer), HB_OK);
	assert_int_equal(hb_op_infer(g, y->producer), HB_OK);
	static hb_place_row places[] = {
		{.name = "x", .shape = {3, {2, 3, 5}}, .dtype = HB_F32, .space = HB_IN, .order = {0, 1, 2},
		 .stride = {60, 20, 4}, .bytes = 120},
		{.name = "y", .shape = {3, {2, 3, 5}}, .dtype = HB_F32, .space = HB_OUT, .addr = 64, .order = {2, 0, 1},
		 .stride = {16, 4, 32}, .bytes = 160},
	};
	static int in[] = {0}, out[] = {1};
	hb_segment seg = {.cpu = true, .graph = g, .ins = in, .outs = out, .nins = 1, .nouts = 1};
	hb_program p = {.arena = a, .name = "cpu", .march = "example", .cores = 1, .places = places, .nplaces = 2,
			.inputs = in, .outputs = out, .ninputs = 1, .noutputs = 1, .segments = &seg, .nsegments = 1,
			.size = {[HB_IN] = 120, [HB_OUT] = 224}};
	float v[2][3][5];
	for (int k = 0; k < 30; k++)
		(&v[0][0][0])[k] = (float)(k % 7) - 3;
	hb_val xv = {HB_F32, shape, v}, yv;
	hb_sim_options o = {.tags = true};
	hb_sim *s;
	assert_int_equal(hb_sim_new(cx, &p, &example_figures, &o, &s), HB_OK);
	assert_int_equal(hb_sim_run(s, &xv, &yv), HB_OK);
	for (int n = 0; n < 2; n++)
		for (int c = 0; c < 3; c++)
			for (int k = 0; k < 5; k++) {
				float want = v[n][c][k] > 0 ? v[n][c][k] : 0, got;
				assert_true(((const float *)yv.data)[(n * 3 + c) * 5 + k] == want);
				memcpy(&got, hb_sim_memory(s, HB_OUT) + 64 + n * 16 + c * 4 + k * 32, 4);
				assert_true(got == want);
			}
	hb_sim_free(s);
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_gives_what_plain_loops_give),
		cmocka_unit_test(every_legal_order_gives_the_same),
		cmocka_unit_test(random_streams_leave_the_same_memory_in_every_legal_order),
		cmocka_unit_test(a_dropped_wait_shows_in_some_order),
		cmocka_unit_test(tags_find_a_buffer_on_top_of_another),
		cmocka_unit_test(tags_find_what_nobody_wrote),
		cmocka_unit_test(counts_are_those_of_the_stream),
		cmocka_unit_test(float_inputs_are_quantized_and_outputs_made_real),
		cmocka_unit_test(wrong_inputs_are_refused),
		cmocka_unit_test(more_memory_than_the_march_has_is_refused),
		cmocka_unit_test(views_outside_their_space_are_refused),
		cmocka_unit_test(a_gather_takes_the_rows_of_its_index),
		cmocka_unit_test(an_index_outside_its_table_is_refused),
		cmocka_unit_test(cpu_segments_convert_layouts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
