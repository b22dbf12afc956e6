/* program.c: what hb_program_check refuses, by message. */
#include "tests/machine.h"

typedef struct world {
	test_log log;
	hb_ctx *cx;
	hb_program *p;
} world;

static int
set_up(void **state)
{
	world *w = calloc(1, sizeof *w);
	if (!w)
		return -1;
	w->cx = test_ctx(&w->log, 1);
	w->p = example_program(hb_arena_new(w->cx), 1);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	world *w = *state;
	hb_ctx_free(w->cx);
	free(w);
	return 0;
}

static void
refused(world *w, const char *text)
{
	assert_int_equal(hb_program_check(w->cx, w->p), HB_ERR_INPUT);
	assert_string_equal(w->log.text, text);
}

static void
the_example_holds_together(void **state)
{
	world *w = *state;
	assert_int_equal(hb_program_check(w->cx, w->p), HB_OK);
	assert_int_equal(w->log.count, 0);
}

static void
a_tensor_may_end_where_its_space_ends_and_not_beyond(void **state)
{
	world *w = *state;
	w->p->places[0].addr = 1;
	refused(w, "a tensor lies outside its space");
	assert_string_equal(w->log.where, "x");
}

static void
dimensions_are_ordered_once_each(void **state)
{
	world *w = *state;
	w->p->places[0].order[3] = 2;
	refused(w, "the order of a tensor's dimensions is no permutation");
}

static void
huge_dimensions_do_not_overflow(void **state)
{
	world *w = *state;
	w->p->places[0].shape.dim[0] = UINT32_MAX;
	w->p->places[0].shape.dim[1] = UINT32_MAX;
	refused(w, "a tensor has a dimension below 0 or above 2^32 - 1, or more than 2^47 elements");
}

static void
scales_match_their_axis(void **state)
{
	world *w = *state;
	static const float scales[3] = {1, 2, 3};
	w->p->places[0].q.nscales = 3;
	w->p->places[0].q.scales = scales;
	w->p->places[0].q.axis = 1;
	refused(w, "a tensor's scales do not match its channels");
}

static void
a_wait_names_what_came_before(void **state)
{
	world *w = *state;
	wait_for(&w->p->segments[0].list.insns[3], HB_L0, 4);
	refused(w, "waits for L0>=4, but 3 came before");
	assert_string_equal(w->log.where, "segment 0 instruction 3");
}

static void
nodes_buffers_and_tensors_are_there(void **state)
{
	world *w = *state;
	w->p->segments[0].list.insns[5].node = 3;
	refused(w, "names a node that is not there");
	w->p->segments[0].list.insns[5].node = -1;
	w->p->segments[0].list.insns[5].v[0].buf = 8;
	refused(w, "operand 0 belongs to a buffer that is not there");
	w->p->segments[0].list.insns[5].v[0].buf = 0;
	w->p->outputs[0] = 2;
	refused(w, "a tensor that is not there is named");
}

static void
no_segment_writes_an_input(void **state)
{
	world *w = *state;
	w->p->segments[0].outs = w->p->inputs;
	refused(w, "a segment writes an input");
}

static void
no_space_is_larger_than_addresses_reach(void **state)
{
	world *w = *state;
	w->p->size[HB_HEAP] = (UINT64_C(1) << 32) + 1;
	refused(w, "heap has 4294967297 bytes; 4 GiB can be addressed");
}

static void
a_cpu_segment_has_its_graphs_inputs(void **state)
{
	world *w = *state;
	hb_segment *s = &w->p->segments[0];
	s->cpu = true;
	refused(w, "a CPU segment has no graph");
	s->list.n = 0;
	s->graph = hb_graph_new(w->cx);
	refused(w, "a CPU segment's graph has other inputs or outputs than the segment");
	hb_tensor *x = test_input(s->graph, "x", w->p->places[0].shape);
	hb_tensor *y = hb_tensor_new(s->graph, "y", HB_I8, &w->p->places[1].shape);
	test_output(s->graph, y);
	refused(w, "is float32 in a CPU segment and int8 in memory");
	x->dtype = HB_I8;
	assert_int_equal(hb_program_check(w->cx, w->p), HB_OK);
	x->shape.dim[1] = 8;
	refused(w, "has another shape in a CPU segment than in memory");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_example_holds_together),
		CASE(a_tensor_may_end_where_its_space_ends_and_not_beyond),
		CASE(dimensions_are_ordered_once_each),
		CASE(huge_dimensions_do_not_overflow),
		CASE(scales_match_their_axis),
		CASE(a_wait_names_what_came_before),
		CASE(nodes_buffers_and_tensors_are_there),
		CASE(no_segment_writes_an_input),
		CASE(no_space_is_larger_than_addresses_reach),
		CASE(a_cpu_segment_has_its_graphs_inputs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
