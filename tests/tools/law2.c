/* law2 QDQ.onnx HBIR.onnx DIR INPUT.npy...: law 2 of DESIGN 5. DIR/NAME.npy is what ONNX
 * Runtime gave for output NAME of QDQ.onnx (compile --emit qdq --all-outputs) on the inputs.
 * The fixed-point graph runs on the same inputs; each edge is compared, then overwritten
 * with ONNX Runtime's integers, so that every layer is judged by itself.
 * Prints a row a layer that differs and a summary; exit 1 where a layer breaks its bound. */
#include "lib/onnx/onnx.h"
#include "lib/pass/pass.h"

#include <ctype.h>
#include <math.h>

#include "tests/tools/npy.h"

typedef struct state {
	hb_graph *qdq;
	hb_map *expect;			/* name of an edge to its array */
	long layers, exact, broken;
} state;

static void
on_diag(void *arg, const hb_diag *d)
{
	(void)arg;
	if (d->severity == HB_ERROR)
		fprintf(stderr, "law2: %s: %s\n", d->where ? d->where : "", d->text);
}

static hb_graph *
open_model(hb_ctx *cx, const char *path)
{
	hb_graph *g;
	hb_import_options o = { 0 };
	if (hb_onnx_read(cx, path, &o, &g) != HB_OK || hb_pass_shapes(g, false) != HB_OK)
		exit(2);
	return g;
}

/* Scales of a pair's result: one, or of channels along dimension 1; NULL where the tensor is none. */
static const float *
scales_of(hb_graph *g, const char *name, long *count)
{
	hb_tensor *t = hb_tensor_find(g, name);
	if (!t || !t->producer || strcmp(t->producer->op_type, "DequantizeLinear"))
		return NULL;
	*count = (long)hb_tensor_elems(t->producer->in[1]);
	return hb_tensor_data(g, t->producer->in[1]);
}

static bool
ends_in(const char *s, const char *tail, char *head, size_t size)
{
	size_t n = strlen(s), k = strlen(tail);
	if (n <= k || strcmp(s + n - k, tail) || n - k >= size)
		return false;
	memcpy(head, s, n - k);
	head[n - k] = 0;
	return true;
}

/* ONNX Runtime's values of t and their scales; NULL: an intermediate of the fixed-point form. */
static const struct array *
wanted(const state *s, const hb_tensor *t, const float **scales, long *count)
{
	char name[1024];
	const struct array *want = hb_map_get(s->expect, t->name);
	*scales = scales_of(s->qdq, t->name, count);
	if (!want && ends_in(t->name, "_quantized", name, sizeof(name) - 16)) {
		if (!scales_of(s->qdq, name, count))	/* an input, or what the CPU yields */
			strcat(name, "_dequantized");
		want = hb_map_get(s->expect, name);
		*scales = scales_of(s->qdq, name, count);
	}
	return want;
}

/* Whether a lookup of int16 or a Rows stands in the layer that yields t. */
static bool
has_table(const state *s, const hb_tensor *t, int depth)
{
	const hb_node *n = t->producer;
	const float *scales;
	long count;
	if (!n || depth > 10)
		return false;
	if (!strcmp(n->op_type, "Rows") || (!strcmp(n->op_type, "Lut") && n->in[0]->dtype == HB_I16))
		return true;
	for (int i = 0; i < n->nin; i++)
		if (n->in[i] && !n->in[i]->is_const && !wanted(s, n->in[i], &scales, &count) && has_table(s, n->in[i], depth + 1))
			return true;
	return false;
}

static void
tap(void *arg, hb_tensor *t, const hb_val *v)
{
	state *s = arg;
	const float *scales;
	long count = 1;
	const struct array *want = wanted(s, t, &scales, &count);
	long inner = t->shape.rank > 1 ? (long)hb_shape_span(&t->shape, 2, t->shape.rank) : 1;
	if (!want || !scales || (v->dtype != HB_I8 && v->dtype != HB_I16))
		return;
	long n = want->n, differ = 0, worst = 0;
	if (n != hb_shape_elems(&v->shape)) {
		printf("%s: %ld elements, ONNX Runtime has %ld\n", t->name, (long)hb_shape_elems(&v->shape), n);
		s->broken++;
		return;
	}
	for (long i = 0; i < n; i++) {
		long q = lrint(at(want, i) / scales[count > 1 ? i / inner % count : 0]);
		long got = v->dtype == HB_I8 ? ((int8_t *)v->data)[i] : ((int16_t *)v->data)[i];
		differ += got != q;
		worst = labs(got - q) > worst ? labs(got - q) : worst;
		if (v->dtype == HB_I8)
			((int8_t *)v->data)[i] = (int8_t)q;
		else
			((int16_t *)v->data)[i] = (int16_t)q;
	}
	/* Rows (softmax, norms), int16 lookups and what is made of them have SEMANTICS 5's bounds. */
	const char *op = t->producer ? t->producer->op_type : "";
	bool table = has_table(s, t, 0), wide = v->dtype == HB_I16 && (table || !strcmp(op, "Lut"));
	bool ok = wide ? worst <= 8 : worst <= 1 && (table || differ * 100 <= n);
	s->layers++;
	s->exact += !differ;
	s->broken += !ok;
	if (!ok || getenv("LAW2_ALL"))
		printf("%s %s (%s): %ld of %ld differ, by at most %ld\n", ok ? "ok    " : "BROKEN", t->name, op, differ, n, worst);
}

int
main(int argc, char **argv)
{
	if (argc < 5) {
		fprintf(stderr, "usage: law2 QDQ.onnx HBIR.onnx DIR INPUT.npy...\n");
		return 2;
	}
	hb_options o = { .isa = hb_isa_best(), .diag = on_diag };
	hb_ctx *cx = hb_ctx_new(&o);
	hb_graph *qdq = open_model(cx, argv[1]), *fixed = open_model(cx, argv[2]);
	state s = { .qdq = qdq, .expect = hb_map_new(cx->arena) };
	for (size_t i = 0; i < qdq->noutputs; i++) {
		struct array *a = HB_NEW(cx->arena, struct array);
		char *name = hb_arena_str(cx->arena, qdq->outputs[i]->name);
		for (char *p = name; *p; p++)
			*p = isalnum((unsigned char)*p) || strchr("_.-", *p) ? *p : '_';
		*a = load(hb_arena_printf(cx->arena, "%s/%s.npy", argv[3], name));
		hb_map_put(s.expect, qdq->outputs[i]->name, a);
	}
	hb_val *in = HB_NEW_N(cx->arena, hb_val, fixed->ninputs), *out = HB_NEW_N(cx->arena, hb_val, fixed->noutputs);
	for (size_t i = 0; i < fixed->ninputs && i + 4 < (size_t)argc; i++) {
		struct array a = load(argv[i + 4]);
		in[i] = (hb_val){ fixed->inputs[i]->dtype, fixed->inputs[i]->shape, NULL };
		size_t bytes = (size_t)hb_tensor_bytes(fixed->inputs[i]);
		if (bytes != (size_t)(a.n * a.size))
			return fprintf(stderr, "law2: %s has %ld bytes, the model takes %zu\n", argv[i + 4], a.n * a.size, bytes), 2;
		in[i].data = hb_big_alloc(cx, bytes);
		memcpy(in[i].data, a.data, bytes);
	}
	hb_status st;
	hb_exec *ex = hb_exec_new(fixed, &st);
	if (!ex || hb_exec_run(ex, in, out, tap, &s) != HB_OK)
		return 2;
	printf("%ld layers, %ld exact, %ld broken\n", s.layers, s.exact, s.broken);
	hb_exec_free(ex);
	for (size_t i = 0; i < fixed->ninputs; i++)
		hb_big_free(cx, in[i].data, (size_t)hb_tensor_bytes(fixed->inputs[i]));
	hb_ctx_free(cx);
	return s.broken || !s.layers;
}
