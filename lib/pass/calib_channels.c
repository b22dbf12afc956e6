/* calib_channels.c: a scale a channel for what a convolution yields and depthwise convolutions alone read: both have a
 * multiplier a channel, so that it costs nothing. Other readers add up channels and need one scale. */
#include "lib/pass/calib.h"

static bool
is_depthwise(const hb_node *n)
{
	return n->on == HB_ON_BPU && !strcmp(n->op_type, "Conv") && !*n->domain && n->in[1]->is_const && n->in[1]->shape.rank > 1 &&
	       n->in[1]->shape.dim[1] == 1 && hb_attr_i(n, "group", 1) == n->in[0]->shape.dim[1] && hb_attr_i(n, "group", 1) > 1;
}

bool
hb_calib_takes_channels(const hb_tensor *t)
{
	const hb_node *n = t->producer;
	const hb_node *root = n && n->group ? n->group->root : n;
	if (!n || n->on != HB_ON_BPU || strcmp(root->op_type, "Conv") || *root->domain || (n->group && n->group->chain_in) || t->is_output ||
	    !t->nuses || t->q.from != HB_Q_OPEN || t->shape.rank < 3)
		return false;
	for (size_t i = 0; i < t->nuses; i++) {
		if (t->uses[i].index != 0 || !is_depthwise(t->uses[i].node))
			return false;
	}
	return true;
}

hb_status
hb_calib_set_channels(const hb_calib *c, hb_tensor *t, const float *absmax)
{
	enum { FINEST = 256 };		/* channels' steps are at most so much finer: biases keep to int32 */
	int64_t n = t->shape.dim[1];
	float *scales = HB_NEW_N(c->g->arena, float, n);
	if (!scales)
		return hb_nomem(c->g->cx, t->name);
	for (int64_t i = 0; i < n; i++) {
		float s = hb_scale_of(absmax[i], t->q.dtype, c->o->divisor_qmax);
		scales[i] = HB_MAX(HB_MIN(s, t->q.scale), t->q.scale / FINEST);
	}
	t->q.nscales = (int)n;
	t->q.axis = 1;
	t->q.scales = scales;
	return HB_OK;
}
