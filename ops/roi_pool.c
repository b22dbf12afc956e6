/* roi_pool.c: MaxRoiPool: the largest value of each cell of a region, its edges on whole places. */
#include "ops/nd.h"

#include <math.h>

static hb_status
shape_max_roi_pool(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *rois = &n->in[1]->shape;
	size_t count;
	const int64_t *size = hb_attr_ints(n, "pooled_shape", &count);

	if (x->rank != 4 || rois->rank != 2 || rois->dim[1] != 5)
		return HB_BAD(g, n, "the map must have rank 4 and a region 5 numbers: batch, left, top, right, bottom");
	if (!size || count != 2 || size[0] < 1 || size[1] < 1)
		return HB_BAD(g, n, "pooled_shape must be two positive numbers");
	return hb_set_out(g, n, 0, HB_F32, &(hb_shape){ 4, { rois->dim[0], x->dim[1], size[0], size[1] } });
}

/* Where cell i of `cells` over [from, from + length) begins, or ends. */
static int64_t
edge(int64_t from, int64_t length, int64_t i, int64_t cells, bool end, int64_t most)
{
	float size = (float)length / (float)cells;
	float at = end ? ceilf((float)(i + 1) * size) : floorf((float)i * size);
	return HB_MAX(0, HB_MIN(from + (int64_t)at, most));
}

static int64_t
place(float v, float scale)
{
	return (int64_t)HB_MAX(-1e9f, HB_MIN(roundf(v * scale), 1e9f));
}

static void
run_max_roi_pool(const hb_call *c)
{
	const hb_shape *x = &c->in[0]->shape, *y = &c->out[0]->shape;
	const float *map = c->in[0]->data, *roi = c->in[1]->data;
	float scale = hb_attr_f(c->n, "spatial_scale", 1), *to = c->out[0]->data;
	int64_t h = x->dim[2], w = x->dim[3];

	for (int64_t r = 0; r < y->dim[0]; r++, roi += 5) {
		int64_t batch = HB_MAX(0, HB_MIN(place(roi[0], 1), x->dim[0] - 1));
		int64_t left = place(roi[1], scale), top = place(roi[2], scale);
		int64_t width = HB_MAX(place(roi[3], scale) - left + 1, 1), height = HB_MAX(place(roi[4], scale) - top + 1, 1);
		for (int64_t i = 0; i < y->dim[1] * y->dim[2] * y->dim[3]; i++) {
			int64_t col = i % y->dim[3], row = i / y->dim[3] % y->dim[2], channel = i / (y->dim[2] * y->dim[3]);
			const float *plane = map + (batch * x->dim[1] + channel) * h * w;
			int64_t y0 = edge(top, height, row, y->dim[2], false, h), y1 = edge(top, height, row, y->dim[2], true, h);
			int64_t x0 = edge(left, width, col, y->dim[3], false, w), x1 = edge(left, width, col, y->dim[3], true, w);
			bool empty = y1 <= y0 || x1 <= x0 || !x->dim[0];
			float most = empty ? 0 : -INFINITY;
			for (int64_t v = y0; !empty && v < y1; v++)
				for (int64_t u = x0; u < x1; u++)
					most = plane[v * w + u] > most ? plane[v * w + u] : most;
			*to++ = most;
		}
	}
}

static const hb_attr_row max_roi_pool_rows[] = {
	{ "pooled_shape", HB_ATTR_INTS, true, 0, 0 }, { "spatial_scale", HB_ATTR_FLOAT, false, 0, 0 }, { 0 } };

const hb_op hb_op_max_roi_pool = {
	.name = "MaxRoiPool", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.attrs = max_roi_pool_rows, .types = HB_BIT(HB_F32), .shape = shape_max_roi_pool, .run = run_max_roi_pool,
};
