/* opcase.h: one operator as a graph of its own, run at every vector width and with one and two threads;
 * results must have equal bits. For the property tests of float operators. */
#ifndef HB_OPCASE_H
#define HB_OPCASE_H

#include "ops/exec.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static uint64_t seed = 20261121;

static inline uint32_t
draw(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33);
}

/* lo..hi, both included. */
static inline int64_t
between(int64_t lo, int64_t hi)
{
	return lo + (int64_t)(draw() % (uint32_t)(hi - lo + 1));
}

static inline float
value(void)
{
	return (float)((int32_t)(draw() % 20001) - 10000) * 0x1.1p-13f;
}

enum { CASE_MAX_IN = 4, CASE_MAX_ATTRS = 12 };

typedef struct op_attr {
	const char *name;
	const char *s;			/* a string, else ints[0 .. n), else f, else i */
	const int64_t *ints;
	size_t n;
	float f;
	bool is_f;
	int64_t i;
} op_attr;

typedef struct op_in {
	hb_shape shape;
	hb_dtype dtype;
	const void *data;
	bool is_const, absent;
} op_in;

typedef struct op_case {
	const char *type;
	int version, nin, nout, nattrs;
	op_in in[CASE_MAX_IN];
	op_attr attr[CASE_MAX_ATTRS];
	/* filled by run_case */
	hb_status st;
	hb_shape shape[2];
	void *out[2];			/* the caller frees them */
} op_case;

static inline hb_node *
build_case(hb_graph *g, const op_case *c)
{
	hb_node *n = hb_node_new(g, NULL, "n", "", c->type, c->version, c->nin, c->nout);
	for (int i = 0; i < c->nin; i++) {
		const op_in *in = &c->in[i];
		char name[16];
		snprintf(name, sizeof(name), "in%d", i);
		if (in->absent)
			continue;
		hb_tensor *t = in->is_const ? hb_tensor_const(g, name, in->dtype, &in->shape, in->data)
					    : hb_tensor_new(g, name, in->dtype, &in->shape);
		assert_non_null(t);
		if (!in->is_const) {
			t->is_input = true;
			assert_true(HB_GROW(g->arena, &g->inputs, &g->cap_inputs, g->ninputs + 1));
			g->inputs[g->ninputs++] = t;
		}
		hb_node_set_in(g, n, i, t);
	}
	for (int i = 0; i < c->nout; i++) {
		hb_tensor *t = hb_tensor_new(g, i ? "y1" : "y", HB_NONE, NULL);
		t->is_output = true;
		assert_true(HB_GROW(g->arena, &g->outputs, &g->cap_outputs, g->noutputs + 1));
		g->outputs[g->noutputs++] = t;
		hb_node_set_out(n, i, t);
	}
	for (int i = 0; i < c->nattrs; i++) {
		const op_attr *a = &c->attr[i];
		bool ok = a->s ? hb_attr_set_s(g, n, a->name, a->s)
			: a->ints ? hb_attr_set_ints(g, n, a->name, a->ints, a->n)
			: a->is_f ? hb_attr_set_f(g, n, a->name, a->f) : hb_attr_set_i(g, n, a->name, a->i);
		assert_true(ok);
	}
	return n;
}

/* Runs the case once; results into fresh memory. */
static inline void
run_once(op_case *c, hb_isa isa, int jobs)
{
	hb_ctx *cx = hb_ctx_new(&(hb_options){ .jobs = jobs, .isa = isa });
	assert_non_null(cx);
	cx->isa = isa;
	hb_graph *g = hb_graph_new(cx);
	hb_node *n = build_case(g, c);
	c->out[0] = c->out[1] = NULL;
	c->st = hb_op_infer(g, n);
	hb_exec *ex = c->st ? NULL : hb_exec_new(g, &c->st);
	if (ex) {
		hb_val in[CASE_MAX_IN], out[2];
		size_t k = 0;
		for (int i = 0; i < c->nin; i++)
			if (!c->in[i].is_const && !c->in[i].absent)
				in[k++] = (hb_val){ c->in[i].dtype, c->in[i].shape, (void *)(uintptr_t)c->in[i].data };
		c->st = hb_exec_run(ex, in, out, NULL, NULL);
		assert_int_equal(c->st, HB_OK);
		for (int i = 0; i < c->nout; i++) {
			size_t bytes = (size_t)hb_shape_elems(&out[i].shape) * hb_dtype_size(out[i].dtype);
			c->shape[i] = out[i].shape;
			c->out[i] = malloc(bytes + 1);
			assert_non_null(c->out[i]);
			if (bytes)
				memcpy(c->out[i], out[i].data, bytes);
		}
	}
	hb_exec_free(ex);
	hb_ctx_free(cx);
}

static inline void
free_case(op_case *c)
{
	free(c->out[0]);
	free(c->out[1]);
}

/* At the scalar width on one thread; then every other way must give the same bytes. */
static inline void
run_case(op_case *c)
{
	run_once(c, HB_ISA_SCALAR, 1);
	if (c->st)
		return;
	for (hb_isa isa = HB_ISA_SCALAR; isa <= hb_isa_best(); isa++)
		for (int jobs = 1; jobs <= 2; jobs++) {
			op_case d = *c;
			run_once(&d, isa, jobs);
			assert_int_equal(d.st, HB_OK);
			for (int i = 0; i < c->nout; i++) {
				size_t bytes = (size_t)hb_shape_elems(&c->shape[i]) * (i ? 8 : hb_dtype_size(c->in[0].dtype));
				if (bytes && memcmp(c->out[i], d.out[i], bytes))
					fail_msg("%s: output %d at width %d with %d threads differs", c->type, i, isa, jobs);
			}
			free_case(&d);
		}
}

/* Values of a shape, at 64-byte alignment; the caller frees them. */
static inline float *
values(const hb_shape *s)
{
	int64_t n = hb_shape_elems(s);
	float *p = aligned_alloc(64, (size_t)(n / 16 + 1) * 64);
	assert_non_null(p);
	for (int64_t i = 0; i < n; i++)
		p[i] = value();
	return p;
}

static inline void
assert_near(const char *what, double want, double got, double scale)
{
	if (!(fabs(want - got) <= 2e-6 * scale + 1e-6 * fabs(want)))
		fail_msg("%s: %.9g, not %.9g", what, got, want);
}

#endif
