/* Where nodes go: rules, defaults, requests, neighbours, groups, and what is said about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <math.h>

#include <cmocka.h>

#include "march/march.h"
#include "ops/op.h"

static hb_ctx *cx;
static hb_graph *g;

static double same(const hb_node *n, double x)
{
	(void)n;
	return x;
}

static void run(const hb_call *c)
{
	(void)c;
}

/* Stand-ins: what the compiler can convert, what it runs on the CPU only, what it cannot run. */
static const hb_op fixed = { .name = "fixed", .role = HB_ROLE_OWN, .lut = same, .run = run };
static const hb_op cpu_only = { .name = "cpu", .run = run };
static const hb_op nothing = { .name = "nothing" };

static int setup(void **state)
{
	(void)state;
	cx = hb_ctx_new(NULL);
	g = cx ? hb_graph_new(cx) : NULL;
	return g ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	hb_graph_free(g);
	hb_ctx_free(cx);
	return 0;
}

static hb_tensor *tensor(const char *name, int64_t c, int64_t h, int64_t w)
{
	hb_shape s = { .rank = 4, .dim = { 1, c, h, w } };
	return hb_tensor_new(g, name, HB_F32, &s);
}

/* A node on x; its output has its name. */
static hb_node *node(const char *op, const char *name, hb_tensor *x, int64_t c, int64_t h, int64_t w)
{
	hb_node *n = hb_node_new(g, NULL, name, "", op, 13, 1, 1);
	hb_node_set_in(g, n, 0, x);
	hb_node_set_out(n, 0, tensor(name, c, h, w));
	n->op = &fixed;
	return n;
}

static hb_node *conv(const char *name, hb_tensor *x, int64_t oc, int64_t k)
{
	const hb_shape *s = &x->shape;
	hb_node *n = node("Conv", name, x, oc, s->dim[2], s->dim[3]);
	hb_shape w = { .rank = 4, .dim = { oc, s->dim[1], k, k } };
	const int64_t pads[4] = { k / 2, k / 2, k / 2, k / 2 };
	hb_attr_set_ints(g, n, "pads", pads, 4);
	hb_node_add_in(g, n, hb_tensor_const(g, "w", HB_F32, &w, NULL));
	return n;
}

static void place(const char *march, const hb_place_options *o)
{
	assert_int_equal(hb_march_place(g, hb_march_find(march), o), HB_OK);
}

static const hb_finding *finding(const hb_node *n, const char *rule)
{
	for (const hb_finding *f = n->findings; f; f = f->next)
		if (strstr(f->rule, rule))
			return f;
	return NULL;
}

static void a_node_says_every_rule_that_it_breaks(void **state)
{
	(void)state;
	hb_node *n = conv("a", tensor("x", 3000, 8, 8), 8, 40);
	const int64_t two[2] = { 3, 3 };
	hb_attr_set_ints(g, n, "dilations", two, 2);
	n->out[0]->is_output = true;
	place("bernoulli2", NULL);
	assert_int_equal(n->on, HB_ON_CPU);
	static const char *const rules[] = { "kh in 1..7 && kw in 1..7", "Cg <= 2048", "pow2(dh) && pow2(dw)",
					     "kh * kw * Kc <= 32768" };
	for (size_t i = 0; i < HB_LEN(rules); i++) {
		const hb_finding *f = finding(n, rules[i]);
		assert_non_null(f);
		assert_true(f->broken);
		assert_string_equal(f->source, "RDK X3 list");
	}
	assert_string_equal(finding(n, "kh in")->found, "kh = 40, kw = 40");
	assert_non_null(strstr(finding(n, "kh in")->advice, "split the kernel"));
}

static void an_operator_without_a_row_goes_to_the_cpu(void **state)
{
	(void)state;
	hb_node *n = node("Elu", "a", tensor("x", 8, 8, 8), 8, 8, 8);
	place("bernoulli2", NULL);
	assert_int_equal(n->on, HB_ON_CPU);
	assert_non_null(finding(n, "no place on the BPU of bernoulli2"));
	assert_non_null(n->findings->advice);
	assert_null(finding(n, "vendor-cpu"));
	place("bayes", NULL);
	assert_int_equal(n->on, HB_ON_BPU);
	assert_null(n->findings);
}

static void what_the_vendor_has_no_kernel_for_is_a_remark(void **state)
{
	(void)state;
	hb_node *n = node("Einsum", "a", tensor("x", 8, 8, 8), 8, 8, 8);
	n->op = &cpu_only;
	place("bayes-e", NULL);
	assert_int_equal(n->on, HB_ON_CPU);
	const hb_finding *f = finding(n, "vendor-cpu");
	assert_non_null(f);
	assert_false(f->broken);
}

static void what_nothing_runs_is_nowhere(void **state)
{
	(void)state;
	hb_node *n = node("Frobnicate", "a", tensor("x", 8, 8, 8), 8, 8, 8);
	n->op = &nothing;
	place("bayes", NULL);
	assert_int_equal(n->on, HB_ON_NONE);
}

static void an_operator_without_a_fixed_form_says_so(void **state)
{
	(void)state;
	hb_node *n = node("Abs", "a", tensor("x", 8, 8, 8), 8, 8, 8);
	n->op = &cpu_only;
	place("bayes", NULL);
	assert_int_equal(n->on, HB_ON_CPU);
	assert_non_null(finding(n, "hbcc: no fixed-point form of Abs"));
}

static void softmax_is_on_the_cpu_until_asked_for(void **state)
{
	(void)state;
	hb_node *n = node("Softmax", "attention", tensor("x", 8, 8, 8), 8, 8, 8);
	hb_attr_set_i(g, n, "axis", -1);
	place("bayes-e", NULL);
	assert_int_equal(n->on, HB_ON_CPU);
	assert_string_equal(n->findings->advice, "--run-on-bpu attention");
	static const char *const by_name[] = { "attention" }, *const by_op[] = { "Softmax" };
	hb_place_options o = { .run_on_bpu = by_name, .nbpu = 1 };
	place("bayes-e", &o);
	assert_int_equal(n->on, HB_ON_BPU);
	o.run_on_bpu = by_op;
	place("bayes-e", &o);
	assert_int_equal(n->on, HB_ON_BPU);
	n->version = 11;
	hb_attr_set_i(g, n, "axis", 1);
	place("bayes-e", &o);
	assert_int_equal(n->on, HB_ON_CPU);
	assert_string_equal(finding(n, "axis == 3")->advice, "move Softmax to axis 3");
}

static void a_node_goes_to_the_cpu_when_asked(void **state)
{
	(void)state;
	hb_node *n = conv("a", tensor("x", 8, 8, 8), 8, 3);
	static const char *const names[] = { "a" };
	hb_place_options o = { .run_on_cpu = names, .ncpu = 1 };
	place("bayes", &o);
	assert_int_equal(n->on, HB_ON_CPU);
	assert_non_null(finding(n, "run_on_cpu"));
}

static void movement_stays_between_bpu_nodes(void **state)
{
	(void)state;
	hb_node *a = conv("a", tensor("x", 8, 8, 8), 8, 3);
	hb_node *t1 = node("Transpose", "t1", a->out[0], 8, 8, 8);
	hb_node *t2 = node("Reshape", "t2", t1->out[0], 8, 8, 8);
	hb_node *b = conv("b", t2->out[0], 8, 3);
	hb_node *t3 = node("Transpose", "t3", b->out[0], 8, 8, 8);
	hb_node *t4 = node("Reshape", "t4", t3->out[0], 8, 8, 8);
	t4->out[0]->is_output = true;
	place("bayes", NULL);
	assert_int_equal(t1->on, HB_ON_BPU);
	assert_int_equal(t2->on, HB_ON_BPU);
	assert_int_equal(t3->on, HB_ON_CPU);
	assert_int_equal(t4->on, HB_ON_CPU);
	assert_non_null(finding(t4, "between BPU nodes"));
	static const char *const names[] = { "t3", "t4" };
	hb_place_options o = { .run_on_bpu = names, .nbpu = 2 };
	place("bayes", &o);
	assert_int_equal(t3->on, HB_ON_BPU);
	assert_int_equal(t4->on, HB_ON_BPU);
	/* A CPU node behind takes the whole chain before it along. */
	hb_attr_set_i(g, b, "group", 1);
	b->op = &cpu_only;
	place("bayes", NULL);
	assert_int_equal(b->on, HB_ON_CPU);
	assert_int_equal(t2->on, HB_ON_CPU);
	assert_int_equal(t1->on, HB_ON_CPU);
}

static void integers_of_a_model_stay_on_the_cpu(void **state)
{
	(void)state;
	hb_tensor *x = tensor("x", 8, 8, 8);
	x->dtype = HB_I64;
	hb_node *n = node("Add", "a", x, 8, 8, 8);
	hb_node_add_in(g, n, x);
	place("bayes", NULL);
	assert_int_equal(n->on, HB_ON_CPU);
	assert_string_equal(finding(n, "type in")->found, "type = int64");
}

static void a_group_shares_its_place(void **state)
{
	(void)state;
	hb_node *a = conv("a", tensor("x", 8, 8, 8), 8, 3);
	hb_node *r = node("Relu", "r", a->out[0], 8, 8, 8);
	hb_group group = { .root = a, .last = r, .act = r };
	place("bernoulli2", NULL);
	assert_int_equal(r->on, HB_ON_CPU);	/* not fused yet */
	assert_non_null(finding(r, "fused == 1"));
	a->group = r->group = &group;
	place("bernoulli2", NULL);
	assert_int_equal(a->on, HB_ON_BPU);
	assert_int_equal(r->on, HB_ON_BPU);
	assert_null(r->findings);
	r->out[0]->is_output = true;
	place("bernoulli2", NULL);
	assert_non_null(finding(a, "tail"));
	assert_false(finding(a, "tail")->broken);
}

/* Conv a, Add s of its result and x2, Relu r, as one group. */
static hb_group sumin_group(hb_node **a, hb_node **s, hb_node **r)
{
	*a = conv("a", tensor("x", 8, 8, 8), 8, 3);
	*s = node("Add", "s", (*a)->out[0], 8, 8, 8);
	hb_node_add_in(g, *s, tensor("x2", 8, 8, 8));
	*r = node("Relu", "r", (*s)->out[0], 8, 8, 8);
	(*a)->op = (*s)->op = (*r)->op = &fixed;
	return (hb_group){ .root = *a, .last = *r, .add = *s, .act = *r, .nnodes = 3 };
}

static void what_is_fused_with_a_root_on_the_cpu_goes_its_own_way(void **state)
{
	(void)state;
	hb_node *a, *s, *r;
	hb_group group = sumin_group(&a, &s, &r);
	a->group = s->group = r->group = &group;
	const int64_t seventeen[2] = { 17, 17 };
	hb_attr_set_ints(g, a, "dilations", seventeen, 2);
	place("bayes", NULL);
	assert_int_equal(a->on, HB_ON_CPU);
	assert_non_null(finding(a, "dh in 1..16"));
	assert_null(a->group);
	assert_int_equal(s->on, HB_ON_BPU);
	assert_int_equal(r->on, HB_ON_BPU);
	assert_ptr_equal(s->group, r->group);
	assert_ptr_equal(s->group->root, s);
	assert_null(s->findings);
}

static void a_convolution_that_may_not_take_an_addition_stands_without_it(void **state)
{
	(void)state;
	for (size_t i = 0; hb_march_at(i); i++)
		for (int64_t stride = 1; stride <= 3; stride++) {
			hb_node *a, *s, *r;
			hb_group group = sumin_group(&a, &s, &r);
			const int64_t strides[2] = { stride, stride };
			a->group = s->group = r->group = &group;
			hb_attr_set_ints(g, a, "strides", strides, 2);
			place(hb_march_at(i)->name, NULL);
			assert_int_equal(a->on, HB_ON_BPU);
			assert_int_equal(s->on, HB_ON_BPU);
			assert_int_equal(r->on, HB_ON_BPU);
			assert_int_equal(a->group != NULL, stride <= 2);
			assert_ptr_equal(r->group, s->group);
			const hb_finding *f = finding(a, "sumin");
			assert_int_equal(f != NULL, stride > 2);
			assert_true(!f || !f->broken);
		}
}

static void naming_a_fused_node_takes_it_out(void **state)
{
	(void)state;
	hb_node *a, *s, *r;
	hb_group group = sumin_group(&a, &s, &r);
	a->group = s->group = r->group = &group;
	static const char *const names[] = { "r" };
	hb_place_options o = { .run_on_cpu = names, .ncpu = 1 };
	place("bayes", &o);
	assert_int_equal(a->on, HB_ON_BPU);
	assert_ptr_equal(a->group, s->group);
	assert_ptr_equal(a->group->last, s);
	assert_int_equal(r->on, HB_ON_CPU);
	assert_non_null(finding(r, "run_on_cpu"));
}

static void a_sigmoid_above_8192_elements_is_no_lookup_of_bernoulli2(void **state)
{
	(void)state;
	hb_node *fits = node("Sigmoid", "fits", tensor("x", 32, 16, 16), 32, 16, 16);
	hb_node *large = node("Sigmoid", "large", tensor("y", 32, 16, 17), 32, 16, 17);
	place("bernoulli2", NULL);
	assert_int_equal(fits->on, HB_ON_BPU);
	assert_int_equal(large->on, HB_ON_CPU);
	assert_non_null(strstr(finding(large, "ceil_to")->found, "= 8704"));
	place("bayes-e", NULL);
	assert_int_equal(large->on, HB_ON_BPU);
}

static hb_node *moved(const char *op, const char *name, hb_tensor *x, const hb_shape *s)
{
	hb_node *n = hb_node_new(g, NULL, name, "", op, 13, 1, 1);
	hb_node_set_in(g, n, 0, x);
	hb_node_set_out(n, 0, hb_tensor_new(g, name, HB_F32, s));
	n->op = &fixed;
	return n;
}

static void a_channel_shuffle_goes_by_its_own_row(void **state)
{
	(void)state;
	static const hb_shape wide = { .rank = 5, .dim = { 1, 2, 4, 8, 8 } }, swapped = { .rank = 5, .dim = { 1, 4, 2, 8, 8 } };
	static const hb_shape back = { .rank = 4, .dim = { 1, 8, 8, 8 } };
	const int64_t perm[5] = { 0, 2, 1, 3, 4 }, other[5] = { 0, 2, 1, 4, 3 };
	hb_node *a = conv("a", tensor("x", 8, 8, 8), 8, 3);
	hb_node *r = moved("Reshape", "r", a->out[0], &wide);
	hb_node *t = moved("Transpose", "t", r->out[0], &swapped);
	hb_node *q = moved("Reshape", "q", t->out[0], &back);
	hb_node *b = conv("b", q->out[0], 8, 3);
	hb_attr_set_ints(g, t, "perm", perm, 5);
	for (size_t i = 0; hb_march_at(i); i++) {
		place(hb_march_at(i)->name, NULL);
		assert_int_equal(r->on, HB_ON_BPU);
		assert_int_equal(t->on, HB_ON_BPU);
		assert_int_equal(q->on, HB_ON_BPU);
		assert_int_equal(b->on, HB_ON_BPU);
		hb_node *const parts[] = { r, t, q };
		for (size_t k = 0; k < HB_LEN(parts); k++) {
			hb_finding *f;
			assert_int_equal(hb_march_check(g, hb_march_at(i), parts[k], HB_RULE_BPU, &f), HB_OK);
			assert_null(f);
		}
	}
	hb_attr_set_ints(g, t, "perm", other, 5);
	place("bernoulli2", NULL);
	assert_int_equal(t->on, HB_ON_CPU);
	assert_int_equal(r->on, HB_ON_CPU);
}

static hb_node *scaled(const char *op, const char *name, hb_tensor *x, float c)
{
	hb_node *n = node(op, name, x, x->shape.dim[1], x->shape.dim[2], x->shape.dim[3]);
	hb_node_add_in(g, n, hb_tensor_scalar_f32(g, "c", c));
	return n;
}

static double erf_of(const hb_node *n, double x)
{
	(void)n;
	return erf(x);
}

static void a_gelu_is_one_lookup_however_it_is_written(void **state)
{
	(void)state;
	static const hb_op arithmetic = { .name = "arithmetic", .role = HB_ROLE_OWN, .run = run };
	static const hb_op erf_op = { .name = "Erf", .role = HB_ROLE_OWN, .lut = erf_of, .run = run };
	hb_tensor *x = tensor("x", 8, 8, 8);
	hb_node *a = scaled("Div", "a", x, 1.41421356f);
	hb_node *b = node("Erf", "b", a->out[0], 8, 8, 8);
	hb_node *c = scaled("Add", "c", b->out[0], 1.0f);
	hb_node *d = node("Mul", "d", c->out[0], 8, 8, 8);
	hb_node_add_in(g, d, x);
	hb_node *e = scaled("Mul", "e", d->out[0], 0.5f);
	hb_node *const all[] = { a, b, c, d, e };
	hb_group group = { .root = a, .last = e, .chain_in = x, .nnodes = 5, .id = g->next_group++ };
	for (size_t i = 0; i < HB_LEN(all); i++) {
		all[i]->op = all[i] == b ? &erf_op : &arithmetic;
		all[i]->group = &group;
	}
	for (size_t i = 0; hb_march_at(i); i++) {
		place(hb_march_at(i)->name, NULL);
		for (size_t k = 0; k < HB_LEN(all); k++) {
			assert_int_equal(all[k]->on, HB_ON_BPU);
			assert_ptr_equal(all[k]->group, &group);
		}
	}
	/* Named for the CPU, the chain falls apart. */
	static const char *const names[] = { "c" };
	hb_place_options o = { .run_on_cpu = names, .ncpu = 1 };
	place("bayes-e", &o);
	assert_null(a->group);
	assert_int_equal(c->on, HB_ON_CPU);
	assert_int_equal(b->on, HB_ON_BPU);
}

static void types_follow_the_rows_and_the_tail(void **state)
{
	(void)state;
	const hb_march *bayes = hb_march_find("bayes"), *x3 = hb_march_find("bernoulli2");
	hb_node *a = conv("a", tensor("x", 8, 8, 8), 8, 3);
	const uint32_t i8 = HB_BIT(HB_I8), i16 = HB_BIT(HB_I16), i32 = HB_BIT(HB_I32);
	assert_int_equal(hb_march_types(bayes, a, false), i8 | i16);
	assert_int_equal(hb_march_types(bayes, a, true), i8 | i16);
	a->out[0]->is_output = true;
	assert_int_equal(hb_march_types(bayes, a, true), i8 | i16 | i32);
	assert_int_equal(hb_march_types(x3, a, true), i8 | i32);
	const int64_t two[2] = { 2, 2 };
	hb_attr_set_ints(g, a, "dilations", two, 2);
	assert_int_equal(hb_march_types(bayes, a, true), i8);
	hb_node *s = node("Softmax", "s", tensor("y", 8, 8, 8), 8, 8, 8);
	assert_int_equal(hb_march_types(bayes, s, true), i8 | i16);
	hb_node *e = node("Elu", "e", tensor("z", 8, 8, 8), 8, 8, 8);
	assert_int_equal(hb_march_types(x3, e, true), 0);
}

static void an_edge_is_int16_where_all_its_neighbours_take_it(void **state)
{
	(void)state;
	static const hb_op passes = { .name = "MaxPool", .role = HB_ROLE_PASS, .lut = same, .run = run };
	const hb_march *bayes = hb_march_find("bayes");
	hb_node *a = conv("a", tensor("x", 8, 8, 8), 8, 3);
	hb_node *p = node("MaxPool", "p", a->out[0], 8, 8, 8);
	hb_node *b = conv("b", p->out[0], 8, 3);
	p->op = &passes;
	place("bayes", NULL);
	assert_true(hb_march_takes(bayes, a->out[0], HB_I16));
	assert_true(hb_march_takes(bayes, b->out[0], HB_I16));
	/* A resize behind the pool takes int8 only. */
	hb_node *r = node("Resize", "r", p->out[0], 8, 8, 8);
	place("bayes", NULL);
	assert_int_equal(r->on, HB_ON_BPU);
	assert_false(hb_march_takes(bayes, a->out[0], HB_I16));
	assert_false(hb_march_takes(bayes, p->out[0], HB_I16));
	assert_true(hb_march_takes(bayes, a->out[0], HB_I8));
	assert_false(hb_march_takes(hb_march_find("bernoulli2"), b->out[0], HB_I16));
	/* It may read a copy, as long as the convolution reads int16. */
	assert_true(hb_march_gains(bayes, a->out[0], HB_I16));
	assert_false(hb_march_gains(hb_march_find("bernoulli2"), a->out[0], HB_I16));
	hb_node *c = conv("c", b->out[0], 8, 3), *s = node("Resize", "s", c->out[0], 8, 8, 8);
	place("bayes", NULL);
	assert_false(hb_march_reads(bayes, s, HB_I16));
	assert_false(hb_march_gains(bayes, c->out[0], HB_I16));
}

static void a_flattened_map_is_part_of_its_gemm(void **state)
{
	(void)state;
	hb_tensor *x = tensor("x", 512, 7, 7);
	hb_shape flat = { .rank = 2, .dim = { 1, 25088 } }, w = { .rank = 2, .dim = { 25088, 10 } };
	hb_shape y = { .rank = 2, .dim = { 1, 10 } };
	hb_node *a = conv("a", x, 512, 3);
	hb_node *f = hb_node_new(g, NULL, "f", "", "Flatten", 13, 1, 1);
	hb_node_set_in(g, f, 0, a->out[0]);
	hb_node_set_out(f, 0, hb_tensor_new(g, "f", HB_F32, &flat));
	hb_node *m = hb_node_new(g, NULL, "m", "", "Gemm", 13, 2, 1);
	hb_node_set_in(g, m, 0, f->out[0]);
	hb_node_set_in(g, m, 1, hb_tensor_const(g, "w", HB_F32, &w, NULL));
	hb_node_set_out(m, 0, hb_tensor_new(g, "m", HB_F32, &y));
	m->out[0]->is_output = true;
	f->op = m->op = &fixed;
	for (size_t i = 0; hb_march_at(i); i++) {
		place(hb_march_at(i)->name, NULL);
		assert_int_equal(f->on, HB_ON_BPU);
		assert_int_equal(m->on, HB_ON_BPU);
	}
}

/* Law 8: a chain of passive nodes settles in time linear in its length. */
static void long_chains_of_movement_settle(void **state)
{
	(void)state;
	hb_tensor *x = tensor("x", 8, 8, 8);
	hb_node *n = NULL;
	char name[32];
	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		n = node("Transpose", name, x, 8, 8, 8);
		x = n->out[0];
	}
	x->is_output = true;
	place("bayes", NULL);
	assert_int_equal(n->on, HB_ON_CPU);
	assert_int_equal(g->first->on, HB_ON_CPU);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_node_says_every_rule_that_it_breaks),
		TEST(an_operator_without_a_row_goes_to_the_cpu),
		TEST(what_the_vendor_has_no_kernel_for_is_a_remark),
		TEST(what_nothing_runs_is_nowhere),
		TEST(an_operator_without_a_fixed_form_says_so),
		TEST(softmax_is_on_the_cpu_until_asked_for),
		TEST(a_node_goes_to_the_cpu_when_asked),
		TEST(movement_stays_between_bpu_nodes),
		TEST(integers_of_a_model_stay_on_the_cpu),
		TEST(a_group_shares_its_place),
		TEST(what_is_fused_with_a_root_on_the_cpu_goes_its_own_way),
		TEST(a_convolution_that_may_not_take_an_addition_stands_without_it),
		TEST(naming_a_fused_node_takes_it_out),
		TEST(a_sigmoid_above_8192_elements_is_no_lookup_of_bernoulli2),
		TEST(a_channel_shuffle_goes_by_its_own_row),
		TEST(a_gelu_is_one_lookup_however_it_is_written),
		TEST(types_follow_the_rows_and_the_tail),
		TEST(an_edge_is_int16_where_all_its_neighbours_take_it),
		TEST(a_flattened_map_is_part_of_its_gemm),
		TEST(long_chains_of_movement_settle),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
