/* gains DIR FORMS: how near a quantized model is to its float one, over samples that did not calibrate it.
 * DIR is a folder of a model: FORMS/sample_K.onnx was calibrated without DIR/sample_K and runs on its in_N.npy, for
 * out_N.npy. Where there is DIR/test.npy, FORMS/calib.onnx runs on each of its entries, for those of test_float.npy.
 * Prints the cosine, the signal to noise and the same with each value's mean over the samples taken off, in dB, over the
 * values of all outputs. */
#include "lib/onnx/onnx.h"
#include "lib/pass/pass.h"

#include <math.h>
#include <unistd.h>

#include "tests/tools/npy.h"

enum { PATH = 4096 };

typedef struct tally {
	hb_measure all;
	int64_t n;			/* values of a sample */
	double *sum, *squares;		/* of each, over the samples */
	long samples;
} tally;

static void
on_diag(void *arg, const hb_diag *d)
{
	(void)arg;
	if (d->severity == HB_ERROR)
		fprintf(stderr, "gains: %s: %s\n", d->where ? d->where : "", d->text);
}

static struct array
floats(const char *path, const hb_shape *s, long entries)
{
	struct array a = load(path);
	if (a.type != 'f' || a.size != 4 || a.n != hb_shape_elems(s) * entries)
		bad(path, "is not what the model takes or yields");
	return a;
}

static void
add(tally *t, int64_t at, const float *want, const float *got, int64_t n)
{
	if (at + n > t->n) {
		t->sum = realloc(t->sum, (size_t)(at + n) * sizeof(double));
		t->squares = realloc(t->squares, (size_t)(at + n) * sizeof(double));
		if (!t->sum || !t->squares)
			bad("gains", "out of memory");
		for (; t->n < at + n; t->n++)
			t->sum[t->n] = t->squares[t->n] = 0;
	}
	for (int64_t i = 0; i < n; i++) {
		t->sum[at + i] += want[i];
		t->squares[at + i] += (double)want[i] * want[i];
	}
	hb_measure_add(&t->all, want, got, n);
}

/* Runs g on `entries` samples: in[i] holds those of input i, out[i] what output i should be. */
static void
run(hb_graph *g, const char *const *in, const char *const *out, long entries, tally *t)
{
	hb_status st;
	hb_exec *ex = hb_exec_new(g, &st);
	struct array *x = calloc(g->ninputs + g->noutputs, sizeof(*x)), *y = x + g->ninputs;
	hb_val *vals = calloc(g->ninputs + g->noutputs, sizeof(*vals)), *got = vals + g->ninputs;

	if (!ex || !x || !vals)
		bad("gains", "the model does not run");
	for (size_t i = 0; i < g->ninputs; i++)
		x[i] = floats(in[i], &g->inputs[i]->shape, entries);
	for (size_t i = 0; i < g->noutputs; i++)
		y[i] = floats(out[i], &g->outputs[i]->shape, entries);
	for (long k = 0; k < entries; k++, t->samples++) {
		int64_t at = 0;
		for (size_t i = 0; i < g->ninputs; i++) {
			const hb_shape *s = &g->inputs[i]->shape;
			vals[i] = (hb_val){ HB_F32, *s, (float *)(void *)x[i].data + k * hb_shape_elems(s) };
		}
		if (hb_exec_run(ex, vals, got, NULL, NULL) != HB_OK)
			bad("gains", "the model does not run");
		for (size_t i = 0; i < g->noutputs; i++) {
			int64_t n = hb_shape_elems(&got[i].shape);
			if (got[i].dtype != HB_F32 || n != hb_tensor_elems(g->outputs[i]))
				bad("gains", "an output is no float tensor of its shape");
			add(t, at, (const float *)(const void *)y[i].data + k * n, got[i].data, n);
			at += n;
		}
	}
	for (size_t i = 0; i < g->ninputs + g->noutputs; i++)
		free(x[i].data);
	free(x);
	free(vals);
	hb_exec_free(ex);
}

static char **
names(size_t n, const char *what, const char *dir, int k)
{
	char **v = calloc(n ? n : 1, sizeof(*v));
	for (size_t i = 0; v && i < n; i++) {
		v[i] = malloc(PATH);
		if (v[i])
			snprintf(v[i], PATH, "%s/sample_%d/%s_%d.npy", dir, k, what, (int)i);
	}
	return v;
}

static void
free_names(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

/* The form that was calibrated without sample k, on it; k below 0: on what test.npy has. */
static void
one_form(const char *dir, const char *forms, int k, tally *t)
{
	hb_options o = { .jobs = 1, .isa = hb_isa_best(), .diag = on_diag };
	hb_ctx *cx = hb_ctx_new(&o);
	hb_import_options read = { 0 };
	hb_graph *g;
	char path[PATH], test[PATH], expected[PATH];

	snprintf(path, sizeof(path), k < 0 ? "%s/calib.onnx" : "%s/sample_%d.onnx", forms, k);
	if (!cx || hb_onnx_read(cx, path, &read, &g) != HB_OK || hb_pass_shapes(g, false) != HB_OK)
		bad(path, "does not run");
	if (k < 0) {
		snprintf(test, sizeof(test), "%s/test.npy", dir);
		snprintf(expected, sizeof(expected), "%s/test_float.npy", dir);
		struct array x = load(test);
		if (g->ninputs != 1 || g->noutputs != 1)
			bad(test, "is of one input");
		run(g, (const char *[]){ test }, (const char *[]){ expected }, x.n / hb_tensor_elems(g->inputs[0]), t);
		free(x.data);
	} else {
		char **in = names(g->ninputs, "in", dir, k), **out = names(g->noutputs, "out", dir, k);

		run(g, (const char *const *)in, (const char *const *)out, 1, t);
		free_names(in, g->ninputs);
		free_names(out, g->noutputs);
	}
	hb_ctx_free(cx);
}

int
main(int argc, char **argv)
{
	tally t = { 0 };
	char path[PATH];
	double centred = 0;
	int k = 0;

	if (argc != 3) {
		fprintf(stderr, "usage: gains DIR FORMS\n");
		return 2;
	}
	snprintf(path, sizeof(path), "%s/test.npy", argv[1]);
	if (!access(path, R_OK))
		one_form(argv[1], argv[2], -1, &t);
	else
		for (; snprintf(path, sizeof(path), "%s/sample_%d", argv[1], k), !access(path, R_OK); k++)
			one_form(argv[1], argv[2], k, &t);
	for (int64_t i = 0; i < t.n; i++)
		centred += t.squares[i] - t.sum[i] * t.sum[i] / (double)t.samples;
	printf("%.6f %.2f %.2f\n", hb_measure_cosine(&t.all), hb_measure_sqnr(&t.all), 10 * log10(centred / t.all.dd));
	free(t.sum);
	free(t.squares);
	return t.samples ? 0 : 2;
}
