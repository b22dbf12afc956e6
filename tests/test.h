/* test.h: what unit tests share: cmocka, a context, small graphs. */
#ifndef HB_TEST_H
#define HB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/ir/ir.h"

/* The last diagnostic, for tests that look at messages. */
typedef struct test_log {
	char where[256], id[64], text[1024];
	hb_severity severity;
	int count;
} test_log;

static inline void
test_diag(void *arg, const hb_diag *d)
{
	test_log *l = arg;
	snprintf(l->where, sizeof(l->where), "%s", d->where ? d->where : "");
	snprintf(l->id, sizeof(l->id), "%s", d->id ? d->id : "");
	snprintf(l->text, sizeof(l->text), "%s", d->text);
	l->severity = d->severity;
	l->count++;
}

static inline hb_ctx *
test_ctx(test_log *log, int jobs)
{
	hb_options o = { .jobs = jobs, .isa = hb_isa_best(), .diag = log ? test_diag : NULL, .arg = log };
	hb_ctx *cx = hb_ctx_new(&o);
	assert_non_null(cx);
	return cx;
}

static inline hb_shape
test_shape(int rank, ...)
{
	hb_shape s = { .rank = rank };
	va_list ap;
	va_start(ap, rank);
	for (int i = 0; i < rank; i++)
		s.dim[i] = va_arg(ap, int);
	va_end(ap);
	return s;
}

static inline hb_tensor *
test_input(hb_graph *g, const char *name, hb_shape s)
{
	hb_tensor *t = hb_tensor_new(g, name, HB_F32, &s);
	assert_true(HB_GROW(g->arena, &g->inputs, &g->cap_inputs, g->ninputs + 1));
	g->inputs[g->ninputs++] = t;
	t->is_input = true;
	return t;
}

static inline void
test_output(hb_graph *g, hb_tensor *t)
{
	assert_true(HB_GROW(g->arena, &g->outputs, &g->cap_outputs, g->noutputs + 1));
	g->outputs[g->noutputs++] = t;
	t->is_output = true;
}

/* A node of up to four inputs and one output, which it returns; a source row stands for it. */
static inline hb_tensor *
test_node(hb_graph *g, const char *op, const char *name, hb_tensor *a, hb_tensor *b, hb_tensor *c, hb_tensor *d)
{
	hb_tensor *in[] = { a, b, c, d };
	int nin = d ? 4 : c ? 3 : b ? 2 : 1;
	hb_node *n = hb_node_new(g, NULL, name, "", op, 13, nin, 1);
	assert_non_null(n);
	for (int i = 0; i < nin; i++)
		hb_node_set_in(g, n, i, in[i]);
	hb_node_set_out(n, 0, hb_tensor_new(g, name, HB_NONE, NULL));
	hb_source *s = HB_NEW(g->arena, hb_source);
	*s = (hb_source){ .name = n->name, .op_type = n->op_type, .index = g->nnodes - 1, .now = n };
	n->sources = n->last_source = s;
	*(g->last_source ? &g->last_source->next : &g->sources) = s;
	g->last_source = s;
	return n->out[0];
}

/* A float constant; v NULL: 0.01 * its index, alternating in sign. */
static inline hb_tensor *
test_const(hb_graph *g, const char *name, hb_shape s, const float *v)
{
	hb_tensor *t = hb_tensor_const(g, name, HB_F32, &s, v);
	assert_non_null(t);
	for (int64_t i = 0; !v && i < hb_shape_elems(&s); i++)
		((float *)(uintptr_t)t->data)[i] = (i % 2 ? -0.01f : 0.01f) * (float)(i + 1);
	return t;
}

#endif
