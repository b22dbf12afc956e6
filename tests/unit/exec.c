/* The executor: fused followers give the bits of separate nodes; memory is reused. */
#include "ops/follow.h"
#include "tests/opcase.h"

static hb_tensor *
input(hb_graph *g, const char *name, const hb_shape *s)
{
	hb_tensor *t = hb_tensor_new(g, name, HB_F32, s);
	t->is_input = true;
	assert_true(HB_GROW(g->arena, &g->inputs, &g->cap_inputs, g->ninputs + 1));
	g->inputs[g->ninputs++] = t;
	return t;
}

static void
output(hb_graph *g, hb_tensor *t)
{
	t->is_output = true;
	assert_true(HB_GROW(g->arena, &g->outputs, &g->cap_outputs, g->noutputs + 1));
	g->outputs[g->noutputs++] = t;
}

static hb_tensor *
constant(hb_graph *g, const char *name, const hb_shape *s)
{
	float *v = values(s);
	hb_tensor *t = hb_tensor_const(g, name, HB_F32, s, v);
	free(v);
	return t;
}

static hb_tensor *
add_node(hb_graph *g, const char *type, int nin, hb_tensor *const *in)
{
	hb_node *n = hb_node_new(g, NULL, type, "", type, 13, nin, 1);
	for (int i = 0; i < nin; i++)
		hb_node_set_in(g, n, i, in[i]);
	hb_node_set_out(n, 0, hb_tensor_new(g, "t", HB_NONE, NULL));
	return n->out[0];
}

/* A 3x3 convolution of `group` groups that keeps the extent. */
static hb_tensor *
conv(hb_graph *g, hb_tensor *x, int64_t cin, int64_t cout, int64_t group)
{
	static const int64_t pads[4] = { 1, 1, 1, 1 };
	hb_tensor *y = add_node(g, "Conv", 3, (hb_tensor *[]){ x,
		constant(g, "w", &(hb_shape){ 4, { cout, cin / group, 3, 3 } }), constant(g, "b", &(hb_shape){ 1, { cout } }) });
	assert_true(hb_attr_set_ints(g, y->producer, "pads", pads, 4));
	assert_true(hb_attr_set_i(g, y->producer, "group", group));
	return y;
}

static hb_tensor *
norm(hb_graph *g, hb_tensor *x, int64_t c)
{
	hb_shape s = { 1, { c } };
	hb_tensor *var = constant(g, "var", &s);
	float *v = (float *)(uintptr_t)var->data;
	for (int64_t i = 0; i < c; i++)
		v[i] = v[i] * v[i] + 0.5f;
	return add_node(g, "BatchNormalization", 5, (hb_tensor *[]){ x, constant(g, "s", &s), constant(g, "b", &s), constant(g, "m", &s), var });
}

/* Each kind of follower after dense, grouped and depthwise convolutions, and two that must stay apart. */
static hb_graph *
network(hb_ctx *cx)
{
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *x = input(g, "x", &(hb_shape){ 4, { 2, 6, 19, 23 } });
	hb_tensor *t = conv(g, x, 6, 8, 1);
	t = add_node(g, "Relu", 1, &t);
	hb_tensor *kept = t;
	t = conv(g, t, 8, 8, 8);
	hb_tensor *s = add_node(g, "Sigmoid", 1, &t);
	t = add_node(g, "Mul", 2, (hb_tensor *[]){ s, t });
	t = norm(g, conv(g, t, 8, 8, 2), 8);
	t = add_node(g, "Add", 2, (hb_tensor *[]){ kept, t });
	t = add_node(g, "LeakyRelu", 1, &t);
	hb_tensor *seen = conv(g, t, 8, 4, 1);		/* read twice */
	t = add_node(g, "Relu", 1, &seen);
	t = add_node(g, "Add", 2, (hb_tensor *[]){ seen, t });
	hb_tensor *named = conv(g, t, 4, 5, 1);		/* an output itself */
	t = add_node(g, "Sigmoid", 1, &named);
	output(g, named);
	output(g, t);
	for (hb_node *n = g->first; n; n = n->next)
		assert_int_equal(hb_op_infer(g, n), HB_OK);
	return g;
}

static void
count_values(void *arg, hb_tensor *t, const hb_val *v)
{
	assert_non_null(v->data);
	assert_true(hb_shape_eq(&t->shape, &v->shape));
	++*(int *)arg;
}

static void
followers_give_the_bits_of_separate_nodes(void **state)
{
	(void)state;
	float *x = NULL, *want[2] = { NULL, NULL };
	for (hb_isa isa = HB_ISA_SCALAR; isa <= hb_isa_best(); isa++)
		for (int jobs = 1; jobs <= 2; jobs++)
			for (int tapped = 1; tapped >= 0; tapped--) {
				seed = 5;
				hb_ctx *cx = hb_ctx_new(&(hb_options){ .jobs = jobs });
				cx->isa = isa;
				hb_graph *g = network(cx);
				hb_status st;
				hb_exec *ex = hb_exec_new(g, &st);
				assert_non_null(ex);
				if (!x)
					x = values(&g->inputs[0]->shape);
				hb_val in = { HB_F32, g->inputs[0]->shape, x }, out[2];
				int count = 0;
				for (int run = 0; run < 2; run++)
					assert_int_equal(hb_exec_run(ex, &in, out, tapped ? count_values : NULL, &count), HB_OK);
				assert_int_equal(count, tapped ? 2 * (1 + g->nnodes) : 0);
				for (int i = 0; i < 2; i++) {
					size_t bytes = (size_t)hb_shape_elems(&out[i].shape) * 4;
					if (!want[i]) {
						want[i] = malloc(bytes);
						memcpy(want[i], out[i].data, bytes);
					}
					if (memcmp(want[i], out[i].data, bytes))
						fail_msg("output %d at width %d, %d threads, %s differs", i, isa, jobs,
							 tapped ? "tapped" : "fused");
				}
				hb_exec_free(ex);
				hb_ctx_free(cx);
			}
	free(x);
	free(want[0]);
	free(want[1]);
}

static void
memory_of_a_chain_does_not_grow_with_its_length(void **state)
{
	(void)state;
	uint64_t bytes[2];
	for (int k = 0; k < 2; k++) {
		hb_ctx *cx = hb_ctx_new(NULL);
		hb_graph *g = hb_graph_new(cx);
		hb_tensor *t = input(g, "x", &(hb_shape){ 2, { 10, 1000 } });
		for (int i = 0; i < (k ? 100 : 4); i++)
			t = add_node(g, "Sigmoid", 1, &t);
		output(g, t);
		for (hb_node *n = g->first; n; n = n->next)
			assert_int_equal(hb_op_infer(g, n), HB_OK);
		hb_status st;
		hb_exec *ex = hb_exec_new(g, &st);
		assert_non_null(ex);
		bytes[k] = hb_exec_bytes(ex);
		hb_exec_free(ex);
		hb_ctx_free(cx);
	}
	assert_true(bytes[0] == bytes[1]);
	assert_true(bytes[0] < 3 * 40064);
}

static void
the_memory_limit_holds(void **state)
{
	(void)state;
	hb_ctx *cx = hb_ctx_new(&(hb_options){ .max_memory = 1 << 20 });
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *t = input(g, "x", &(hb_shape){ 2, { 1000, 1000 } });
	output(g, add_node(g, "Sigmoid", 1, &t));
	assert_int_equal(hb_op_infer(g, g->first), HB_OK);
	hb_status st = HB_OK;
	assert_null(hb_exec_new(g, &st));
	assert_int_equal(st, HB_ERR_NOMEM);
	hb_ctx_free(cx);
}

static void
an_input_of_another_shape_is_refused(void **state)
{
	(void)state;
	hb_ctx *cx = hb_ctx_new(NULL);
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *t = input(g, "x", &(hb_shape){ 1, { 4 } });
	output(g, add_node(g, "Sigmoid", 1, &t));
	assert_int_equal(hb_op_infer(g, g->first), HB_OK);
	hb_status st;
	hb_exec *ex = hb_exec_new(g, &st);
	float x[5] = { 0 };
	hb_val in = { HB_F32, { 1, { 5 } }, x }, out;
	assert_int_equal(hb_exec_run(ex, &in, &out, NULL, NULL), HB_ERR_INPUT);
	hb_exec_free(ex);
	hb_ctx_free(cx);
}

int
main(void)
{
	printf("seed %llu\n", (unsigned long long)seed);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(followers_give_the_bits_of_separate_nodes),
		cmocka_unit_test(memory_of_a_chain_does_not_grow_with_its_length),
		cmocka_unit_test(the_memory_limit_holds),
		cmocka_unit_test(an_input_of_another_shape_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
