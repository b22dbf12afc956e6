/* pending.c: weak fallbacks that let the program link until march, sched, hbm and hazard land; this file goes then. */
#include "cli/cli.h"

#include "lib/hbm/hbm.h"

#define WEAK __attribute__((weak))
#pragma GCC diagnostic ignored "-Wunused-parameter"

WEAK const hb_march *
hb_march_find(const char *name)
{
	return NULL;
}
WEAK const hb_march *
hb_march_at(size_t i)
{
	return NULL;
}
WEAK hb_status
hb_march_place(hb_graph *g, const hb_march *m, const hb_place_options *o)
{
	return HB_ERR_UNSUPPORTED;
}
WEAK hb_status
hb_march_check(hb_graph *g, const hb_march *m, hb_node *n, hb_place_rule p, hb_finding **out)
{
	return HB_ERR_UNSUPPORTED;
}
WEAK uint32_t
hb_march_types(const hb_march *m, const hb_node *n, bool output)
{
	return 0;
}
WEAK hb_status
hb_schedule(hb_graph *g, const hb_march *m, const hb_sched_options *o, hb_program **out)
{
	return hb_error(g->cx, HB_ERR_UNSUPPORTED, NULL, NULL, "no scheduler");
}
WEAK hb_status
hb_convert_lut(hb_convert *cv, hb_node *n)
{
	return HB_ERR_UNSUPPORTED;
}
WEAK hb_status
hb_onnx_bytes(hb_graph *g, hb_buf *out)
{
	return HB_ERR_UNSUPPORTED;
}
WEAK hb_status
hb_onnx_tensor_bytes(hb_ctx *cx, const char *name, hb_dtype dt, const hb_shape *s, const void *data, hb_buf *out)
{
	return HB_ERR_UNSUPPORTED;
}
WEAK hb_status
hb_pass_qdq(hb_graph *g, hb_graph *fixed, bool all_outputs, hb_graph **out)
{
	return HB_ERR_UNSUPPORTED;
}
