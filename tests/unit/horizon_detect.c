/* horizon_detect: the detectors' ends against their definitions, written here the long way: the best candidate is looked
 * for again and again, and takes away what it overlaps. */
#include "tests/test.h"

#include <math.h>

#include "lib/pass/pass.h"

enum { MAX_IN = 10, MOST = 4096 };

static uint32_t seed;

static int
pick(int n)
{
	seed = seed * 1664525u + 1013904223u;
	return (int)(seed >> 8) % n;
}

static float
real(double lo, double hi)
{
	return (float)(lo + (hi - lo) * pick(1 << 16) / (1 << 16));
}

/* Few different ones, so that some are equal. */
static float
score(void)
{
	return (float)pick(64) / 64;
}

typedef struct op_case {
	hb_ctx *cx;
	const test_log *log;
	hb_graph *g;
	hb_node *n;
	hb_val in[MAX_IN], out[4];
} op_case;

static op_case
case_of(const char *op, int nin, int nout)
{
	static test_log log;
	op_case c = { .cx = test_ctx(&log, 1), .log = &log };

	c.g = hb_graph_new(c.cx);
	c.n = hb_node_new(c.g, NULL, "y", "horizon", op, 1, nin, nout);
	for (int i = 0; i < nout; i++) {
		char name[16];
		snprintf(name, sizeof(name), "y%d", i);
		hb_node_set_out(c.n, i, hb_tensor_new(c.g, hb_arena_str(c.g->arena, name), HB_NONE, NULL));
	}
	return c;
}

static float *
input(op_case *c, int k, hb_shape s)
{
	char name[16];

	snprintf(name, sizeof(name), "x%d", k);
	hb_node_set_in(c->g, c->n, k, test_input(c->g, hb_arena_str(c->g->arena, name), s));
	c->in[k] = (hb_val){ HB_F32, s, hb_arena_alloc(c->g->arena, (size_t)hb_shape_elems(&s) * 4 + 64) };
	return c->in[k].data;
}

static void
boxes(float *b, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		float x = real(-10, 90), y = real(-10, 70);
		b[4 * i] = x;
		b[4 * i + 1] = y;
		b[4 * i + 2] = x + real(1, 40);
		b[4 * i + 3] = y + real(1, 40);
	}
}

static void
fill(float *v, int64_t n, double lo, double hi)
{
	for (int64_t i = 0; i < n; i++)
		v[i] = real(lo, hi);
}

static hb_exec *
execute(op_case *c)
{
	hb_val in[MAX_IN];
	hb_status st;
	hb_exec *ex;

	for (int i = 0; i < c->n->nout; i++)
		test_output(c->g, c->n->out[i]);
	if (hb_pass_shapes(c->g, false) != HB_OK)
		fail_msg("%s", c->log->text);
	ex = hb_exec_new(c->g, &st);
	assert_non_null(ex);
	for (size_t i = 0; i < c->g->ninputs; i++)	/* the order they were made in is another than the node's */
		in[i] = c->in[c->g->inputs[i]->uses[0].index];
	if (hb_exec_run(ex, in, c->out, NULL, NULL) != HB_OK)
		fail_msg("%s", c->log->text);
	return ex;
}

static double
f(const hb_val *v, int64_t i)
{
	return (double)((const float *)v->data)[i];
}

/* ---- what all three do ---- */

typedef struct cand {
	double box[4], score;
	int label;
	bool gone;
} cand;

static cand list[MOST], kept[MOST];

static void
move(const double *a, const double *d, bool absolute, const double *size, double *box)
{
	double w = a[2] - a[0], h = a[3] - a[1], x = (a[0] + a[2]) / 2 + d[0] * (absolute ? 1 : w), y = (a[1] + a[3]) / 2 + d[1] * (absolute ? 1 : h);

	box[0] = x - exp(d[2]) * w / 2;
	box[1] = y - exp(d[3]) * h / 2;
	box[2] = x + exp(d[2]) * w / 2;
	box[3] = y + exp(d[3]) * h / 2;
	for (int k = 0; size && k < 4; k++)
		box[k] = fmin(fmax(box[k], 0), size[k % 2 ? 0 : 1]);
}

static double
overlap(const cand *a, const cand *b)
{
	double w = fmin(a->box[2], b->box[2]) - fmax(a->box[0], b->box[0]), h = fmin(a->box[3], b->box[3]) - fmax(a->box[1], b->box[1]);
	double both = w > 0 && h > 0 ? w * h : 0;

	return both > 0 ? both / ((a->box[2] - a->box[0]) * (a->box[3] - a->box[1]) + (b->box[2] - b->box[0]) * (b->box[3] - b->box[1]) - both) : 0;
}

/* The best of list[0..n) that is left, the first of equal ones; -1: none. */
static int
best(int n)
{
	int at = -1;

	for (int i = 0; i < n; i++)
		if (!list[i].gone && (at < 0 || list[i].score > list[at].score))
			at = i;
	return at;
}

/* list[0..n) to its best `top` in order. */
static int
sorted(int n, int top)
{
	static cand to[MOST];
	int count = 0;

	for (int at; (top < 0 || count < top) && (at = best(n)) >= 0; count++) {
		to[count] = list[at];
		list[at].gone = true;
	}
	memcpy(list, to, sizeof(*to) * (size_t)count);
	return count;
}

static int
suppressed(int n, double iou, double margin, int most)
{
	int count = 0;

	for (int at; count < most && (at = best(n)) >= 0;) {
		kept[count] = list[at];
		list[at].gone = true;
		for (int i = 0; i < n; i++)
			if (!list[i].gone && list[i].label == kept[count].label && overlap(&list[i], &kept[count]) > iou &&
			    kept[count].score - list[i].score > (margin > 0 ? margin : -1))
				list[i].gone = true;
		count++;
	}
	return count;
}

static void
assert_results(const op_case *c, int64_t image, int n, const char *name, uint32_t s)
{
	int64_t rows = c->out[1].shape.dim[1];

	if (((const int64_t *)c->out[3].data)[image] != n)
		fail_msg("%s, seed %u: image %lld has %lld boxes; its definition gives %d", name, s, (long long)image,
			 (long long)((const int64_t *)c->out[3].data)[image], n);
	for (int64_t i = 0; i < rows; i++) {
		int64_t at = image * rows + i, label = ((const int64_t *)c->out[2].data)[at];
		if (label != (i < n ? kept[i].label : -1) || fabs(f(&c->out[1], at) - (i < n ? kept[i].score : 0)) > 1e-6)
			fail_msg("%s, seed %u: row %lld has class %lld and score %g", name, s, (long long)i, (long long)label, f(&c->out[1], at));
		for (int k = 0; k < 4; k++)
			if (fabs(f(&c->out[0], 4 * at + k) - (i < n ? kept[i].box[k] : 0)) > 1e-3)
				fail_msg("%s, seed %u: row %lld has edge %g", name, s, (long long)i, f(&c->out[0], 4 * at + k));
	}
}

/* ---- DetectionPostProcess ---- */

static void
detection(uint32_t s)
{
	seed = s;
	int levels = 1 + pick(3), images = 1 + pick(2), classes = 1 + pick(4), anchors[3], top = pick(2) ? 5 + pick(20) : -1, background = -1;
	bool yolo = pick(2), each = pick(2), own = !yolo && pick(2), shared = pick(2);
	op_case c = case_of("DetectionPostProcess", 3 * levels, 4);
	float scale[4] = { 0.5f, 0.5f, 0.2f, 0.2f };
	double size[2] = { 60, 80 };
	int pre_nms = 10 + pick(30), post_nms = 5 + pick(10), post_decode = 20 + pick(40);

	for (int l = 0; l < levels; l++) {
		int a = anchors[l] = 3 + pick(30), width = yolo ? classes + 1 : classes;
		boxes(input(&c, l, test_shape(3, shared ? 1 : images, a, 4)), (shared ? 1 : images) * a);
		float *p = input(&c, levels + l, test_shape(3, images, a, width));
		for (int i = 0; i < images * a * width; i++)
			p[i] = score();
		fill(input(&c, 2 * levels + l, test_shape(3, images, a, own ? 4 * classes : 4)), images * a * (own ? 4 * classes : 4), -1, 1);
	}
	hb_attr_set_f(c.g, c.n, "score_threshold", 0.25f);
	hb_attr_set_floats(c.g, c.n, "regression_scale", scale, 4);
	hb_attr_set_f(c.g, c.n, "size_threshold", 2);
	hb_attr_set_ints(c.g, c.n, "image_size", (const int64_t[]){ 60, 80 }, 2);
	hb_attr_set_f(c.g, c.n, "iou_threshold", 0.3f);
	hb_attr_set_i(c.g, c.n, "pre_nms_top_n", pre_nms);
	hb_attr_set_i(c.g, c.n, "post_nms_top_n", post_nms);
	hb_attr_set_i(c.g, c.n, "post_decode_top_n", post_decode);
	hb_attr_set_i(c.g, c.n, "nms_on_each_level", each);
	if (top > 0)
		hb_attr_set_i(c.g, c.n, "pre_decode_top_n", top);
	if (pick(2))
		hb_attr_set_i(c.g, c.n, "background_class_idx", background = pick(classes));
	hb_attr_set_s(c.g, c.n, "mode", yolo ? "yolo" : "normal");
	hb_exec *ex = execute(&c);

	for (int b = 0; b < images; b++) {
		static cand all[MOST];
		int n = 0, total = 0;
		for (int l = 0; l < levels; l++) {
			int width = yolo ? classes + 1 : classes;
			for (int i = 0; i < anchors[l]; i++) {
				double first = f(&c.in[levels + l], (b * anchors[l] + i) * width);
				int above = 0;
				for (int j = 0; j < anchors[l]; j++) {
					double other = f(&c.in[levels + l], (b * anchors[l] + j) * width);
					above += other > first || (other == first && j < i);
				}
				if (top > 0 && above >= top)
					continue;
				for (int k = 0; k < classes; k++) {
					double sc = f(&c.in[levels + l], (b * anchors[l] + i) * width + k + yolo), d[4], a[4];
					if ((yolo ? first : sc) < 0.25 || k == background)
						continue;
					for (int j = 0; j < 4; j++) {
						d[j] = f(&c.in[2 * levels + l], (b * anchors[l] + i) * (own ? 4 * classes : 4) + (own ? 4 * k : 0) + j) * (double)scale[j];
						a[j] = f(&c.in[l], ((shared ? 0 : b) * anchors[l] + i) * 4 + j);
					}
					list[n] = (cand){ .score = yolo ? sc * first : sc, .label = k };
					move(a, d, yolo, size, list[n].box);
					if (list[n].box[2] - list[n].box[0] >= 2 && list[n].box[3] - list[n].box[1] >= 2)
						n++;
				}
			}
			if (!each)
				continue;
			/* In order of their levels, so that of equal ones the lower level's comes first. */
			n = sorted(n, post_decode);
			n = suppressed(HB_MIN(n, pre_nms), (double)0.3f, 0, post_nms);
			memcpy(all + total, kept, sizeof(*kept) * (size_t)n);
			total += n;
			n = 0;
		}
		if (each) {
			memcpy(list, all, sizeof(*all) * (size_t)total);
			n = sorted(total, -1);
			memcpy(kept, list, sizeof(*kept) * (size_t)n);
		} else {
			n = sorted(n, post_decode);
			n = suppressed(HB_MIN(n, pre_nms), (double)0.3f, 0, post_nms);
		}
		assert_results(&c, b, n, "DetectionPostProcess", s);
	}
	hb_exec_free(ex);
	hb_graph_free(c.g);
	hb_ctx_free(c.cx);
}

static void
detections_are_decoded_filtered_and_suppressed(void **state)
{
	(void)state;
	for (uint32_t k = 1; k <= 120; k++)
		detection(k * 2654435761u);
	printf("seeds k * 2654435761, k = 1..120\n");
}

/* ---- DetectionPostProcessV1 ---- */

static void
detection_v1(uint32_t s)
{
	seed = s;
	int levels = 1 + pick(2), images = 1 + pick(2), classes = 1 + pick(4), anchors = 1 + pick(3), h[2], w[2], pre = 20 + pick(30), post = 8 + pick(10);
	double margin = pick(2) * 0.125, size[2] = { 60, 80 };
	bool rolls = pick(2);
	op_case c = case_of("DetectionPostProcessV1", 2 * levels, 4);
	int64_t offsets[2] = { 1, 10 }, clips[2] = { 1, 0 };

	for (int l = 0; l < levels; l++) {
		h[l] = 1 + pick(5);
		w[l] = 1 + pick(5);
		int area = h[l] * w[l], each = 4 + classes;
		float *x = input(&c, l, test_shape(4, images, each * anchors, h[l], w[l])), *a = input(&c, levels + l, test_shape(4, 1, anchors * 4, h[l], w[l]));
		float some[4];
		fill(x, images * anchors * each * area, -0.5, 0.5);
		for (int i = 0; i < images * anchors * each * area; i++)
			if (i / area % each >= 4)
				x[i] = score();
		for (int i = 0; i < anchors * area; i++) {
			boxes(some, 1);
			for (int k = 0; k < 4; k++)
				a[(i / area * 4 + k) * area + i % area] = some[k];
		}
	}
	hb_attr_set_i(c.g, c.n, "num_classes", classes);
	hb_attr_set_f(c.g, c.n, "box_filter_threshold", 0.25f);
	hb_attr_set_ints(c.g, c.n, "class_offsets", offsets, (size_t)levels);
	hb_attr_set_ints(c.g, c.n, "use_clippings", clips, (size_t)levels);
	hb_attr_set_ints(c.g, c.n, "image_size", (const int64_t[]){ 60, 80 }, 2);
	hb_attr_set_f(c.g, c.n, "nms_threshold", 0.3f);
	hb_attr_set_f(c.g, c.n, "nms_margin", (float)margin);
	hb_attr_set_i(c.g, c.n, "pre_nms_top_k", pre);
	hb_attr_set_i(c.g, c.n, "post_nms_top_k", post);
	hb_attr_set_floats(c.g, c.n, "bbox_min_hw", (const float[]){ 3, 2 }, 2);
	if (rolls)
		hb_attr_set_s(c.g, c.n, "nms_padding_mode", "rollover");
	hb_exec *ex = execute(&c);

	for (int b = 0; b < images; b++) {
		int n = 0;
		for (int l = 0; l < levels; l++)
			for (int i = 0; i < h[l] * w[l] * anchors; i++) {
				int area = h[l] * w[l], at = i / anchors, p = i % anchors, each = 4 + classes;
				double d[4], a[4];
				cand k = { .score = -1 };
				for (int j = 0; j < classes; j++) {
					double v = f(&c.in[l], ((b * anchors + p) * each + 4 + j) * area + at);
					if (v > k.score) {
						k.score = v;
						k.label = j + (int)offsets[l];
					}
				}
				for (int j = 0; j < 4; j++) {
					d[j] = f(&c.in[l], ((b * anchors + p) * each + j) * area + at);
					a[j] = f(&c.in[levels + l], (p * 4 + j) * area + at);
				}
				move(a, d, false, clips[l] ? size : NULL, k.box);
				if (k.score >= 0.25 && k.box[3] - k.box[1] >= 3 && k.box[2] - k.box[0] >= 2)
					list[n++] = k;
			}
		n = suppressed(sorted(n, pre), (double)0.3f, margin, post);
		if (rolls && n) {
			assert_int_equal(((const int64_t *)c.out[3].data)[b], n);
			for (int i = 0; i < post; i++)
				assert_true(fabs(f(&c.out[1], b * post + i) - kept[i % n].score) < 1e-6 &&
					    fabs(f(&c.out[0], (b * post + i) * 4) - kept[i % n].box[0]) < 1e-3 &&
					    ((const int64_t *)c.out[2].data)[b * post + i] == kept[i % n].label);
		} else {
			assert_results(&c, b, n, "DetectionPostProcessV1", s);
		}
	}
	hb_exec_free(ex);
	hb_graph_free(c.g);
	hb_ctx_free(c.cx);
}

static void
an_anchor_yields_one_box_of_its_best_class(void **state)
{
	(void)state;
	for (uint32_t k = 1; k <= 120; k++)
		detection_v1(k * 2654435761u);
	printf("seeds k * 2654435761, k = 1..120\n");
}

/* ---- RcnnPostProcess ---- */

static void
rcnn(uint32_t s)
{
	seed = s;
	int images = 1 + pick(2), regions = 1 + pick(40), classes = 1 + pick(4), post = 5 + pick(20), width = classes + 1;
	float mean[4] = { 0.1f, -0.1f, 0, 0.05f }, std[4] = { 0.1f, 0.1f, 0.2f, 0.2f };
	double size[2] = { 60, 80 };
	op_case c = case_of("RcnnPostProcess", 3, 1);
	float *p;

	boxes(input(&c, 0, test_shape(3, images, regions, 4)), images * regions);
	p = input(&c, 1, test_shape(4, images * regions, width, 1, 1));
	for (int i = 0; i < images * regions * width; i++)
		p[i] = score();
	fill(input(&c, 2, test_shape(2, images * regions, width * 4)), images * regions * width * 4, -1, 1);
	hb_attr_set_i(c.g, c.n, "num_classes", classes);
	hb_attr_set_f(c.g, c.n, "box_filter_threshold", 0.25f);
	hb_attr_set_ints(c.g, c.n, "image_size", (const int64_t[]){ 60, 80 }, 2);
	hb_attr_set_f(c.g, c.n, "nms_threshold", 0.3f);
	hb_attr_set_i(c.g, c.n, "post_nms_top_k", post);
	hb_attr_set_floats(c.g, c.n, "delta_mean", mean, 4);
	hb_attr_set_floats(c.g, c.n, "delta_std", std, 4);
	hb_exec *ex = execute(&c);

	for (int b = 0; b < images; b++) {
		int n = 0;
		for (int r = b * regions; r < (b + 1) * regions; r++) {
			int label = 0;
			double d[4], a[4];
			for (int j = 1; j <= classes; j++)
				label = f(&c.in[1], r * width + j) > f(&c.in[1], r * width + label) ? j : label;
			if (label == 0 || f(&c.in[1], r * width + label) < 0.25)
				continue;
			for (int j = 0; j < 4; j++) {
				d[j] = f(&c.in[2], (r * width + label) * 4 + j) * (double)std[j] + (double)mean[j];
				a[j] = f(&c.in[0], r * 4 + j);
			}
			list[n] = (cand){ .score = f(&c.in[1], r * width + label), .label = label - 1 };
			move(a, d, false, size, list[n++].box);
		}
		n = suppressed(n, (double)0.3f, 0, post);
		for (int i = 0; i < post; i++) {
			double want[6] = { -1, -1, -1, -1, -1, -1 };
			if (i < n) {
				memcpy(want, kept[i].box, sizeof(kept->box));
				want[4] = kept[i].score;
				want[5] = kept[i].label;
			}
			for (int k = 0; k < 6; k++)
				if (fabs(f(&c.out[0], (b * post + i) * 6 + k) - want[k]) > 1e-3)
					fail_msg("RcnnPostProcess, seed %u: row %d has %g at %d, not %g", s, i, f(&c.out[0], (b * post + i) * 6 + k), k, want[k]);
		}
	}
	hb_exec_free(ex);
	hb_graph_free(c.g);
	hb_ctx_free(c.cx);
}

static void
regions_yield_boxes_of_their_best_class(void **state)
{
	(void)state;
	for (uint32_t k = 1; k <= 120; k++)
		rcnn(k * 2654435761u);
	printf("seeds k * 2654435761, k = 1..120\n");
}

/* ---- operands that are not there ---- */

static void
an_input_absent_before_others_is_refused(void **state)
{
	static const struct {
		const char *op;
		int nin, absent, nout;
	} cases[] = {
		{ "DetectionPostProcess", 6, 3, 3 }, { "DetectionPostProcessV1", 4, 2, 3 }, { "MultiScaleRoIAlign", 4, 2, 1 },
		{ "AnchorGenerator", 4, 2, 1 }, { "filter", 3, 1, 7 },
	};

	(void)state;
	for (size_t i = 0; i < HB_LEN(cases); i++) {
		op_case c = case_of(cases[i].op, cases[i].nin, cases[i].nout);
		char want[48];

		for (int k = 0; k < cases[i].nin; k++)
			if (k != cases[i].absent)
				input(&c, k, test_shape(4, 1, 6, 4, 4));
		snprintf(want, sizeof(want), "input %d is absent", cases[i].absent);
		assert_int_equal(hb_op_infer(c.g, c.n), HB_ERR_INPUT);
		if (!strstr(c.log->text, want))
			fail_msg("%s: %s", cases[i].op, c.log->text);
		hb_graph_free(c.g);
		hb_ctx_free(c.cx);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(detections_are_decoded_filtered_and_suppressed), cmocka_unit_test(an_anchor_yields_one_box_of_its_best_class),
		cmocka_unit_test(regions_yield_boxes_of_their_best_class), cmocka_unit_test(an_input_absent_before_others_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
