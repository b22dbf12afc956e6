/* fuzz_onnx.c: any bytes to the ONNX reader; what it takes goes through shapes and back out,
 * and what comes out must be taken again. Built with libFuzzer (make fuzz), or as a program
 * that replays the files and folders it is given. */
#include "lib/onnx/onnx.h"
#include "lib/pass/pass.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* A model is read, its shapes inferred, and written. */
static void
once(hb_ctx *cx, const uint8_t *p, size_t n, hb_buf *out)
{
	hb_graph *g;
	if (hb_onnx_parse(cx, p, n, NULL, NULL, &g) != HB_OK) {
		if (!cx->errors)
			abort();	/* every failure says why */
		return;
	}
	hb_arena *a = hb_arena_new(cx);
	if (a && hb_graph_verify(g, a))
		abort();
	hb_arena_free(a);
	if (hb_pass_shapes(g, false) == HB_OK)
		(void)hb_onnx_bytes(g, out);
	hb_graph_free(g);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	hb_options o = { .jobs = 1, .max_memory = UINT64_C(64) << 20 };
	hb_ctx *cx = hb_ctx_new(&o);
	if (!cx)
		return 0;
	hb_buf out = { .cx = cx };
	once(cx, p, n, &out);
	if (out.p && !out.bad) {
		int errors = cx->errors;
		hb_graph *g;
		hb_status st = hb_onnx_parse(cx, (const uint8_t *)out.p, out.len, NULL, NULL, &g);
		if (st != HB_OK && st != HB_ERR_NOMEM && errors == 0)
			abort();	/* what is written is a model */
		if (st == HB_OK)
			hb_graph_free(g);
	}
	hb_buf_free(&out);
	hb_ctx_free(cx);
	return 0;
}

#define CORPUS "tests/fuzz/corpus_onnx"
#include "tests/fuzz/replay.h"
