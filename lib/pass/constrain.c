/* constrain: takes the fixed-point graph; leaves it as it is, proven inside the
 * march's limits with its actual weights and dtypes. */
#include "lib/pass/pass.h"

/* Rows of output channels: sum over a row of |w| times the largest |x|, plus |bias|, stays below 2^31. */
static hb_status
check_sums(hb_graph *fixed, hb_node *n, bool *ok)
{
	if (n->nin < 3 || !n->in[1] || !n->in[1]->is_const || n->in[1]->dtype != HB_I8 || n->in[2]->dtype != HB_I32)
		return HB_OK;
	const hb_tensor *w = n->in[1];
	const int8_t *v = hb_tensor_data(fixed, n->in[1]);
	const int32_t *rec = hb_tensor_data(fixed, n->in[2]);
	if (!v || !rec)
		return HB_ERR_NOMEM;
	int64_t channels = n->in[2]->shape.dim[0], xmax = n->in[0]->dtype == HB_I16 ? 32768 : 128;
	if (hb_q_limited(&n->in[0]->q))
		xmax = HB_MAX(-(int64_t)n->in[0]->q.lo, n->in[0]->q.hi);
	bool transposed = !strcmp(n->op_type, "ConvTranspose");
	int64_t inner = hb_shape_span(&w->shape, transposed ? 2 : 1, w->shape.rank);
	int64_t per_group = transposed ? w->shape.dim[1] : 1, rows = transposed ? w->shape.dim[0] / hb_attr_i(n, "group", 1) : 1;
	for (int64_t c = 0; c < channels; c++) {
		int64_t sum = 0;
		for (int64_t r = 0; r < rows; r++) {
			int64_t first = transposed ? ((c / per_group * rows + r) * per_group + c % per_group) * inner : c * inner;
			for (int64_t i = 0; i < inner; i++)
				sum += v[first + i] < 0 ? -v[first + i] : v[first + i];
		}
		int64_t bias = rec[4 * c] < 0 ? -(int64_t)rec[4 * c] : rec[4 * c];
		if (sum * xmax + bias >= INT64_C(1) << 31) {
			*ok = false;
			hb_fail(fixed->cx, n, HB_ERR_NO, "accumulator", "channel %lld can reach %lld in its accumulator; it must stay below 2^31 (%s input)",
				(long long)c, (long long)(sum * xmax + bias), hb_dtype_name(n->in[0]->dtype));
			return HB_OK;
		}
	}
	return HB_OK;
}

/* The march's rules see the dtypes that calibration gave. */
static hb_status
check_rules(hb_graph *g, const hb_march *m, hb_node *n, bool *ok)
{
	hb_finding *f = NULL;
	HB_TRY(hb_march_check(g, m, n, HB_RULE_BPU, &f));
	for (; f; f = f->next) {
		if (!f->broken)
			continue;
		*ok = false;
		hb_fail(g->cx, n, HB_ERR_NO, "march", "breaks '%s' of %s (%s): %s", f->rule, m->name, f->source, f->found);
	}
	return HB_OK;
}

hb_status
hb_pass_constrain(hb_graph *g, hb_graph *fixed, const hb_march *m)
{
	bool ok = true;
	for (hb_node *n = fixed->first; n; n = n->next) {
		if (!strcmp(n->domain, "hbcc"))
			HB_TRY(check_sums(fixed, n, &ok));
	}
	for (hb_node *n = g->first; n; n = n->next) {
		if (n->on == HB_ON_BPU)
			HB_TRY(check_rules(g, m, n, &ok));
	}
	return ok ? HB_OK : HB_ERR_NO;
}
