/* horizon_detect.c: what horizon's detectors end with, in float: boxes decoded, filtered, sorted, suppressed. Results have
 * as many rows as there can be; those behind the number found, which is an output too, hold no box. */
#include "ops/nd.h"

#include "lib/base/fmath.h"

#include <float.h>
#include <stdlib.h>

#define FLOATS HB_BIT(HB_F32)
#define INT(name) { name, HB_ATTR_INT, false, 0, 0 }
#define FLOAT(name) { name, HB_ATTR_FLOAT, false, 0, 0 }

enum { MAX_LEVELS = 16, MAX_CLASSES = 1 << 16 };

/* ---- candidates ---- */

typedef struct found {
	float box[4];			/* left, top, right, bottom */
	float score;
	int32_t label;
	int64_t place;			/* order of equal scores */
} found;

static int
by_score(const void *a, const void *b)
{
	const found *p = a, *q = b;

	if (p->score > q->score)
		return -1;
	return p->score < q->score ? 1 : p->place < q->place ? -1 : p->place > q->place;
}

/* The best `most` in order; -1: all. */
static int64_t
best(found *f, int64_t n, int64_t most)
{
	qsort(f, (size_t)n, sizeof(*f), by_score);
	return most >= 0 && most < n ? most : n;
}

static double
overlap(const float *a, const float *b)
{
	double w = (double)HB_MIN(a[2], b[2]) - (double)HB_MAX(a[0], b[0]), h = (double)HB_MIN(a[3], b[3]) - (double)HB_MAX(a[1], b[1]);
	double area_a = ((double)a[2] - (double)a[0]) * ((double)a[3] - (double)a[1]);
	double area_b = ((double)b[2] - (double)b[0]) * ((double)b[3] - (double)b[1]);

	return w <= 0 || h <= 0 ? 0 : w * h / (area_a + area_b - w * h);
}

/* Keeps, in order, what overlaps none kept of its label by more than `most_overlap` and is not within `margin` of that
 * one's score; at most `most` (-1: all). */
static int64_t
suppress(found *f, int64_t n, double most_overlap, float margin, int64_t most)
{
	int64_t kept = 0;

	for (int64_t i = 0; i < n && (most < 0 || kept < most); i++) {
		bool stays = true;
		for (int64_t k = 0; k < kept && stays; k++)
			stays = f[k].label != f[i].label || overlap(f[k].box, f[i].box) <= most_overlap ||
				(margin > 0 && !(f[k].score - f[i].score > margin));
		if (stays)
			f[kept++] = f[i];
	}
	return kept;
}

/* The anchor `a` moved by d: dx, dy of its size (or as they are), exp(dw), exp(dh) times as large. */
static void
decode(const float *a, const float *d, bool absolute, float *box)
{
	float w = a[2] - a[0], h = a[3] - a[1];
	float x = a[0] + 0.5f * w + (absolute ? d[0] : d[0] * w), y = a[1] + 0.5f * h + (absolute ? d[1] : d[1] * h);
	float half_w = 0.5f * w * hb_expf(d[2]), half_h = 0.5f * h * hb_expf(d[3]);

	box[0] = x - half_w;
	box[1] = y - half_h;
	box[2] = x + half_w;
	box[3] = y + half_h;
}

/* Into a picture of size h, w; NULL: as it is. */
static void
clip(float *box, const float *size)
{
	for (int k = 0; k < 4 && size; k++)
		box[k] = HB_MAX(0, HB_MIN(box[k], size[k % 2 ? 0 : 1]));
}

/* ---- attributes ---- */

/* A count that may be absent: -1. */
static hb_status
count_of(hb_graph *g, const hb_node *n, const char *name, int64_t *to)
{
	*to = hb_attr_i(n, name, -1);
	if (hb_attr_find(n, name) && (*to < 1 || *to > INT32_MAX))
		return HB_BAD(g, n, "%s is %lld; 1 and more is taken", name, (long long)*to);
	return HB_OK;
}

/* Height and width, where they are there. */
static hb_status
size_of(hb_graph *g, const hb_node *n, float *to, bool *given)
{
	size_t count;
	const int64_t *v = hb_attr_ints(n, "image_size", &count);

	*given = v != NULL;
	if (v && (count != 2 || v[0] < 1 || v[1] < 1 || v[0] > INT32_MAX || v[1] > INT32_MAX))
		return HB_BAD(g, n, "image_size has %zu entries; a height and a width are taken", count);
	for (int k = 0; v && k < 2; k++)
		to[k] = (float)v[k];
	return HB_OK;
}

/* `count` floats, or dflt each. */
static hb_status
floats_of(hb_graph *g, const hb_node *n, const char *name, size_t count, float dflt, float *to)
{
	size_t have;
	const float *v = hb_attr_floats(n, name, &have);

	if (v && have != count)
		return HB_BAD(g, n, "%s has %zu entries; %zu are taken", name, have, count);
	for (size_t k = 0; k < count; k++)
		to[k] = v ? v[k] : dflt;
	return HB_OK;
}

/* ---- DetectionPostProcess ---- */

typedef struct detect {
	int levels, classes, background;	/* background -1: none */
	bool yolo, suppresses, each_level, has_size, has_min;
	float threshold, scale[4], min_size, size[2];
	double most_overlap;
	int64_t images, pre_decode, post_decode, pre_nms, post_nms;
	int64_t anchors[MAX_LEVELS], all;	/* candidates of all levels */
} detect;

static hb_status
detect_attrs(hb_graph *g, hb_node *n, detect *k)
{
	const char *mode = hb_attr_s(n, "mode", "normal");

	if (strcmp(mode, "normal") && strcmp(mode, "yolo"))
		return HB_BAD(g, n, "mode is '%s'; normal or yolo is taken", mode);
	k->yolo = !strcmp(mode, "yolo");
	k->threshold = hb_attr_f(n, "score_threshold", 0);
	k->suppresses = hb_attr_find(n, "iou_threshold") != NULL;
	k->most_overlap = (double)hb_attr_f(n, "iou_threshold", 1);
	k->each_level = hb_attr_i(n, "nms_on_each_level", 0) != 0;
	k->background = -1;
	if (hb_attr_find(n, "background_class_idx")) {
		int64_t b = hb_attr_i(n, "background_class_idx", 0);
		if (b < 0 || b >= MAX_CLASSES)
			return HB_BAD(g, n, "background_class_idx is %lld; 0 to 65535 is taken", (long long)b);
		k->background = (int)b;
	}
	k->has_min = hb_attr_find(n, "size_threshold") != NULL;
	k->min_size = hb_attr_f(n, "size_threshold", 0);
	HB_TRY(floats_of(g, n, "regression_scale", 4, 1, k->scale));
	HB_TRY(size_of(g, n, k->size, &k->has_size));
	HB_TRY(count_of(g, n, "pre_decode_top_n", &k->pre_decode));
	HB_TRY(count_of(g, n, "post_decode_top_n", &k->post_decode));
	HB_TRY(count_of(g, n, "pre_nms_top_n", &k->pre_nms));
	return count_of(g, n, "post_nms_top_n", &k->post_nms);
}

/* Boxes of all images, or of each. */
static bool
goes_with(const hb_shape *s, int64_t images, int64_t rows, int64_t numbers)
{
	return s->rank == 3 && (s->dim[0] == images || s->dim[0] == 1) && s->dim[1] == rows && s->dim[2] == numbers;
}

static hb_status
shape_results(hb_graph *g, hb_node *n, int64_t images, int64_t rows)
{
	hb_shape s = { 3, { images, rows, 4 } };

	HB_TRY(hb_set_out(g, n, 0, HB_F32, &s));
	s.rank = 2;
	HB_TRY(hb_set_out(g, n, 1, HB_F32, &s));
	HB_TRY(hb_set_out(g, n, 2, HB_I64, &s));
	s.rank = 1;
	return n->nout > 3 && n->out[3] ? hb_set_out(g, n, 3, HB_I64, &s) : HB_OK;
}

static hb_status
shape_sizes(hb_graph *g, const hb_node *n, int i, int64_t images)
{
	const hb_tensor *t = hb_in(n, i);

	if (t && (t->shape.rank != 2 || t->shape.dim[0] != images || t->shape.dim[1] != 2))
		return HB_BAD(g, n, "input %d must have a height and a width for each of %lld images", i, (long long)images);
	return HB_OK;
}

static hb_status
shape_detect(hb_graph *g, hb_node *n)
{
	detect *k = HB_AUX(g, n, detect);
	int64_t most = 0, level_most = 0;

	if (!k)
		return hb_nomem(g->cx, n->name);
	k->levels = n->nin / 3;
	if (n->nin % 3 == 2)
		return HB_BAD(g, n, "has %d inputs; boxes, scores, regressions of each level, and image shapes or not, are taken", n->nin);
	HB_TRY(detect_attrs(g, n, k));
	for (int i = 0; i < k->levels; i++) {
		const hb_shape *boxes = &n->in[i]->shape, *scores = &n->in[k->levels + i]->shape, *moves = &n->in[2 * k->levels + i]->shape;
		if (scores->rank != 3 || scores->dim[2] < (k->yolo ? 2 : 1) || scores->dim[2] > MAX_CLASSES)
			return HB_BAD(g, n, "scores %d have rank %d; images, anchors, classes (and the objectness before them) are taken", i,
				      scores->rank);
		if (!i) {
			k->images = scores->dim[0];
			k->classes = (int)scores->dim[2] - k->yolo;
		}
		if (scores->dim[0] != k->images || scores->dim[2] - k->yolo != k->classes || scores->dim[1] > INT32_MAX)
			return HB_BAD(g, n, "scores %d are not of as many images and classes as scores 0", i);
		k->anchors[i] = scores->dim[1];
		if (!goes_with(boxes, k->images, scores->dim[1], 4) ||
		    !(goes_with(moves, k->images, scores->dim[1], 4) || (!k->yolo && goes_with(moves, k->images, scores->dim[1], 4 * (int64_t)k->classes))) ||
		    moves->dim[0] != k->images)
			return HB_BAD(g, n, "boxes, scores and regressions of level %d do not go together", i);
		int64_t rows = k->pre_decode >= 0 ? HB_MIN(k->pre_decode, k->anchors[i]) : k->anchors[i], here = rows * k->classes;
		k->all += here;
		here = k->each_level && k->post_decode >= 0 ? HB_MIN(here, k->post_decode) : here;
		here = k->each_level && k->suppresses && k->post_nms >= 0 ? HB_MIN(here, k->post_nms) : here;
		level_most = HB_MAX(level_most, k->anchors[i]);
		most += here;
	}
	if (k->all + level_most > INT32_MAX)
		return HB_BAD(g, n, "has %lld boxes by class; 2^31 is taken", (long long)k->all);
	HB_TRY(shape_sizes(g, n, 3 * k->levels, k->images));
	most = !k->each_level && k->post_decode >= 0 ? HB_MIN(most, k->post_decode) : most;
	most = !k->each_level && k->suppresses && k->post_nms >= 0 ? HB_MIN(most, k->post_nms) : most;
	return shape_results(g, n, k->images, most);
}

static size_t
scratch_detect(const hb_node *n, int jobs)
{
	const detect *k = n->aux;
	int64_t anchors = 0;

	(void)jobs;
	for (int i = 0; i < k->levels; i++)
		anchors = HB_MAX(anchors, k->anchors[i]);
	return (size_t)(k->all + anchors + 1) * sizeof(found);
}

/* Of one image's result t the row p of `numbers` values; t may have one for all images. */
static const float *
row_of(const hb_val *t, int64_t image, int64_t p, int64_t numbers)
{
	int64_t rows = t->shape.dim[1];

	return (const float *)t->data + ((t->shape.dim[0] > 1 ? image : 0) * rows + p) * numbers;
}

/* The candidates of anchor p, from f on. */
static int64_t
detect_anchor(const hb_call *c, const detect *k, int level, int64_t image, int64_t p, const float *size, found *f)
{
	const hb_val *moves = c->in[2 * k->levels + level];
	const float *anchor = row_of(c->in[level], image, p, 4), *score = row_of(c->in[k->levels + level], image, p, k->classes + k->yolo);
	const float *d = row_of(moves, image, p, moves->shape.dim[2]);
	int64_t n = 0;

	if (k->yolo && !(score[0] >= k->threshold))
		return 0;
	for (int label = 0; label < k->classes; label++) {
		found *to = &f[n];
		float by[4], s = k->yolo ? score[0] * score[1 + label] : score[label];
		if (label == k->background || s != s || !(k->yolo || s >= k->threshold))
			continue;
		for (int j = 0; j < 4; j++)
			by[j] = d[(moves->shape.dim[2] > 4 ? 4 * label : 0) + j] * k->scale[j];
		decode(anchor, by, k->yolo, to->box);
		clip(to->box, size);
		if (k->has_min && (to->box[2] - to->box[0] < k->min_size || to->box[3] - to->box[1] < k->min_size))
			continue;
		to->score = s;
		to->label = label;
		to->place = (int64_t)level << 48 | p << 16 | label;
		n++;
	}
	return n;
}

/* One level's candidates, from f on; `room` has one place an anchor. */
static int64_t
detect_level(const hb_call *c, const detect *k, int level, int64_t image, const float *size, found *room, found *f)
{
	int64_t rows = k->anchors[level], n = 0;

	for (int64_t p = 0; p < rows; p++) {
		room[p] = (found){ .place = p };
		float s = row_of(c->in[k->levels + level], image, p, k->classes + k->yolo)[0];
		room[p].score = k->pre_decode < 0 ? 0 : s == s ? s : -FLT_MAX;
	}
	if (k->pre_decode >= 0)
		rows = best(room, rows, k->pre_decode);
	for (int64_t p = 0; p < rows; p++)
		n += detect_anchor(c, k, level, image, room[p].place, size, f + n);
	return n;
}

static int64_t
detect_select(const detect *k, found *f, int64_t n)
{
	n = best(f, n, k->post_decode);
	if (!k->suppresses)
		return n;
	n = k->pre_nms >= 0 ? HB_MIN(n, k->pre_nms) : n;
	return suppress(f, n, k->most_overlap, 0, k->post_nms);
}

/* Image `image` of the outputs: n rows, then rows without a box. */
static void
put_results(const hb_call *c, int64_t image, const found *f, int64_t n, int32_t none)
{
	int64_t rows = c->out[1]->shape.dim[1];
	float *box = (float *)c->out[0]->data + image * rows * 4, *score = (float *)c->out[1]->data + image * rows;
	int64_t *label = (int64_t *)c->out[2]->data + image * rows;

	for (int64_t i = 0; i < rows; i++) {
		bool is = i < n;
		for (int j = 0; j < 4; j++)
			box[4 * i + j] = is ? f[i].box[j] : 0;
		score[i] = is ? f[i].score : 0;
		label[i] = is ? f[i].label : none;
	}
	if (c->n->nout > 3 && c->out[3])
		((int64_t *)c->out[3]->data)[image] = n;
}

static void
run_detect(const hb_call *c)
{
	const detect *k = c->n->aux;
	const hb_val *sizes = hb_call_in(c, 3 * k->levels);
	found *f = c->scratch, *room = f + k->all;

	for (int64_t b = 0; b < k->images; b++) {
		const float *size = sizes ? (const float *)sizes->data + 2 * b : k->has_size ? k->size : NULL;
		int64_t n = 0;
		for (int i = 0; i < k->levels; i++) {
			int64_t here = detect_level(c, k, i, b, size, room, f + n);
			n += k->each_level ? detect_select(k, f + n, here) : here;
		}
		n = k->each_level ? best(f, n, -1) : detect_select(k, f, n);
		put_results(c, b, f, HB_MIN(n, c->out[1]->shape.dim[1]), -1);
	}
}

static const hb_attr_row detect_rows[] = {
	FLOAT("score_threshold"), { "regression_scale", HB_ATTR_FLOATS, false, 0, 0 }, INT("background_class_idx"), FLOAT("size_threshold"),
	{ "image_size", HB_ATTR_INTS, false, 0, 0 }, INT("pre_decode_top_n"), INT("post_decode_top_n"), FLOAT("iou_threshold"),
	INT("pre_nms_top_n"), INT("post_nms_top_n"), INT("nms_on_each_level"), { "mode", HB_ATTR_STRING, false, 0, 0 }, { 0 } };

const hb_op hb_op_detection_post_process = {
	.name = "DetectionPostProcess", .domain = "horizon", .since = 1, .min_in = 3, .max_in = 3 * MAX_LEVELS + 1, .in_whole = true, .min_out = 3, .max_out = 4,
	.attrs = detect_rows, .types = FLOATS, .shape = shape_detect, .scratch = scratch_detect, .run = run_detect,
};

/* ---- DetectionPostProcessV1: of an anchor the best class alone ---- */

typedef struct detect_v1 {
	int levels, classes;
	bool has_size, rolls;
	float threshold, margin, least[2], size[2];
	double most_overlap;
	int64_t images, pre_nms, all;
	int64_t offset[MAX_LEVELS];
	bool clips[MAX_LEVELS];
} detect_v1;

static hb_status
v1_attrs(hb_graph *g, hb_node *n, detect_v1 *k)
{
	const char *padding = hb_attr_s(n, "nms_padding_mode", "none");
	size_t offsets, clips;
	const int64_t *offset = hb_attr_ints(n, "class_offsets", &offsets), *clip_of = hb_attr_ints(n, "use_clippings", &clips);
	int64_t classes = hb_attr_i(n, "num_classes", 0);

	if (strcmp(padding, "none") && strcmp(padding, "pad_zero") && strcmp(padding, "rollover"))
		return HB_BAD(g, n, "nms_padding_mode is '%s'; none, pad_zero or rollover is taken", padding);
	k->rolls = !strcmp(padding, "rollover");
	if (classes < 1 || classes >= MAX_CLASSES)
		return HB_BAD(g, n, "num_classes is %lld; 1 to 65535 is taken", (long long)classes);
	k->classes = (int)classes;
	if ((offset && offsets != (size_t)k->levels) || (clip_of && clips != 1 && clips != (size_t)k->levels))
		return HB_BAD(g, n, "class_offsets has %zu entries, use_clippings %zu; there are %d branches", offsets, clips, k->levels);
	for (int i = 0; i < k->levels; i++) {
		k->offset[i] = offset ? offset[i] : 0;
		if (k->offset[i] < -MAX_CLASSES || k->offset[i] > MAX_CLASSES)
			return HB_BAD(g, n, "a class offset is %lld; -65536 to 65536 is taken", (long long)k->offset[i]);
		k->clips[i] = clip_of && clip_of[clips == 1 ? 0 : i] != 0;
	}
	k->threshold = hb_attr_f(n, "box_filter_threshold", 0);
	k->most_overlap = (double)hb_attr_f(n, "nms_threshold", 1);
	k->margin = hb_attr_f(n, "nms_margin", 0);
	HB_TRY(floats_of(g, n, "bbox_min_hw", 2, 0, k->least));
	HB_TRY(size_of(g, n, k->size, &k->has_size));
	return count_of(g, n, "pre_nms_top_k", &k->pre_nms);
}

static hb_status
shape_v1(hb_graph *g, hb_node *n)
{
	detect_v1 *k = HB_AUX(g, n, detect_v1);
	int64_t rows;

	if (!k)
		return hb_nomem(g->cx, n->name);
	k->levels = n->nin / 2;
	k->images = n->in[0]->shape.rank ? n->in[0]->shape.dim[0] : 0;
	HB_TRY(v1_attrs(g, n, k));
	for (int i = 0; i < k->levels; i++) {
		const hb_shape *x = &n->in[i]->shape, *a = &n->in[k->levels + i]->shape;
		if (x->rank != 4 || a->rank != 4 || x->dim[1] % (4 + k->classes) || x->dim[0] != k->images)
			return HB_BAD(g, n, "data %d has rank %d; [N, (4 + num_classes) * anchors, H, W] is taken", i, x->rank);
		if (a->dim[1] != x->dim[1] / (4 + k->classes) * 4 || a->dim[2] != x->dim[2] || a->dim[3] != x->dim[3] ||
		    (a->dim[0] != k->images && a->dim[0] != 1))
			return HB_BAD(g, n, "anchors %d do not go with the data", i);
		k->all += x->dim[1] / (4 + k->classes) * x->dim[2] * x->dim[3];
		if (k->all > INT32_MAX)
			return HB_BAD(g, n, "has %lld anchors; 2^31 is taken", (long long)k->all);
		if (k->clips[i] && !k->has_size && n->nin % 2 == 0)
			return HB_BAD(g, n, "use_clippings needs image_size, or sizes as the last input");
	}
	HB_TRY(shape_sizes(g, n, 2 * k->levels, k->images));
	HB_TRY(count_of(g, n, "post_nms_top_k", &rows));
	return shape_results(g, n, k->images, rows);
}

static size_t
scratch_v1(const hb_node *n, int jobs)
{
	const detect_v1 *k = n->aux;

	(void)jobs;
	return (size_t)(k->all + 1) * sizeof(found);
}

static int64_t
v1_level(const hb_call *c, const detect_v1 *k, int level, int64_t image, const float *size, found *f)
{
	const hb_val *x = c->in[level], *a = c->in[k->levels + level];
	int64_t area = x->shape.dim[2] * x->shape.dim[3], each = 4 + k->classes, anchors = x->shape.dim[1] / each, n = 0;
	const float *data = (const float *)x->data + image * x->shape.dim[1] * area;
	const float *anchor = (const float *)a->data + (a->shape.dim[0] > 1 ? image : 0) * a->shape.dim[1] * area;

	for (int64_t at = 0; at < area; at++)
		for (int64_t p = 0; p < anchors; p++) {
			float from[4], by[4];
			found *to = &f[n];
			int label = 0;
			for (int j = 1; j < k->classes; j++)
				if (data[(p * each + 4 + j) * area + at] > data[(p * each + 4 + label) * area + at])
					label = j;
			to->score = data[(p * each + 4 + label) * area + at];
			if (!(to->score >= k->threshold))
				continue;
			for (int j = 0; j < 4; j++) {
				from[j] = anchor[(p * 4 + j) * area + at];
				by[j] = data[(p * each + j) * area + at];
			}
			decode(from, by, false, to->box);
			clip(to->box, k->clips[level] ? size : NULL);
			if (to->box[3] - to->box[1] < k->least[0] || to->box[2] - to->box[0] < k->least[1])
				continue;
			to->label = (int32_t)(label + k->offset[level]);
			to->place = (int64_t)level << 48 | (at * anchors + p);
			n++;
		}
	return n;
}

static void
run_v1(const hb_call *c)
{
	const detect_v1 *k = c->n->aux;
	const hb_val *sizes = hb_call_in(c, 2 * k->levels);
	int64_t rows = c->out[1]->shape.dim[1];
	found *f = c->scratch;

	for (int64_t b = 0; b < k->images; b++) {
		const float *size = sizes ? (const float *)sizes->data + 2 * b : k->size;
		int64_t n = 0;
		for (int i = 0; i < k->levels; i++)
			n += v1_level(c, k, i, b, size, f + n);
		n = best(f, n, k->pre_nms);
		n = suppress(f, n, k->most_overlap, k->margin, rows);
		put_results(c, b, f, n, -1);
		for (int64_t i = n; k->rolls && n && i < rows; i++) {	/* the boxes found, over and over */
			memcpy((float *)c->out[0]->data + (b * rows + i) * 4, f[i % n].box, sizeof(f->box));
			((float *)c->out[1]->data)[b * rows + i] = f[i % n].score;
			((int64_t *)c->out[2]->data)[b * rows + i] = f[i % n].label;
		}
	}
}

static const char *
floats_v1(const hb_node *n)
{
	(void)n;
	return "boxes are decoded and suppressed in float";
}

static const hb_attr_row v1_rows[] = {
	{ "num_classes", HB_ATTR_INT, true, 0, 0 }, FLOAT("box_filter_threshold"), { "class_offsets", HB_ATTR_INTS, false, 0, 0 },
	{ "use_clippings", HB_ATTR_INTS, false, 0, 0 }, { "image_size", HB_ATTR_INTS, false, 0, 0 }, FLOAT("nms_threshold"),
	{ "pre_nms_top_k", HB_ATTR_INT, true, 0, 0 }, { "post_nms_top_k", HB_ATTR_INT, true, 0, 0 },
	{ "nms_padding_mode", HB_ATTR_STRING, false, 0, 0 }, FLOAT("nms_margin"), INT("use_stable_sort"),
	{ "bbox_min_hw", HB_ATTR_FLOATS, false, 0, 0 }, { 0 } };

const hb_op hb_op_detection_post_process_v1 = {
	.name = "DetectionPostProcessV1", .domain = "horizon", .since = 1, .min_in = 2, .max_in = 2 * MAX_LEVELS + 1, .in_whole = true, .min_out = 3, .max_out = 4,
	.attrs = v1_rows, .types = FLOATS, .shape = shape_v1, .scratch = scratch_v1, .run = run_v1, .floats = floats_v1,
};

/* ---- RcnnPostProcess: regions with the scores and moves of each class, of which 0 is the background ---- */

typedef struct rcnn {
	int64_t images, regions;
	int classes;			/* without the background */
	bool has_size;
	float threshold, mean[4], std[4], size[2];
	double most_overlap;
} rcnn;

static hb_status
shape_rcnn(hb_graph *g, hb_node *n)
{
	const hb_shape *boxes = &n->in[0]->shape, *scores = &n->in[1]->shape, *moves = &n->in[2]->shape;
	rcnn *k = HB_AUX(g, n, rcnn);
	int64_t rows, classes = hb_attr_i(n, "num_classes", 0);

	if (!k)
		return hb_nomem(g->cx, n->name);
	if (boxes->rank < 2 || boxes->rank > 3 || boxes->dim[boxes->rank - 1] != 4)
		return HB_BAD(g, n, "boxes have rank %d; [N, R, 4] or [R, 4] is taken", boxes->rank);
	k->images = boxes->rank == 3 ? boxes->dim[0] : 1;
	k->regions = boxes->dim[boxes->rank - 2];
	if (classes < 1 || classes >= MAX_CLASSES)
		return HB_BAD(g, n, "num_classes is %lld; 1 to 65535 is taken", (long long)classes);
	k->classes = (int)classes;
	hb_shape want = { 2, { k->images * k->regions, classes + 1 } };
	for (int i = 1; i < 3; i++) {	/* extents of 1 may follow */
		const hb_shape *s = i == 1 ? scores : moves;
		want.dim[1] = (classes + 1) * (i == 1 ? 1 : 4);
		if (s->rank < 2 || s->dim[0] != want.dim[0] || s->dim[1] != want.dim[1] || hb_shape_elems(s) != hb_shape_elems(&want))
			return HB_BAD(g, n, "input %d must be [%lld, %lld], extents of 1 behind or not", i, (long long)want.dim[0], (long long)want.dim[1]);
	}
	HB_TRY(size_of(g, n, k->size, &k->has_size));
	HB_TRY(floats_of(g, n, "delta_mean", 4, 0, k->mean));
	HB_TRY(floats_of(g, n, "delta_std", 4, 1, k->std));
	k->threshold = hb_attr_f(n, "box_filter_threshold", 0);
	k->most_overlap = (double)hb_attr_f(n, "nms_threshold", 1);
	HB_TRY(shape_sizes(g, n, 3, k->images));
	HB_TRY(count_of(g, n, "post_nms_top_k", &rows));
	hb_shape s = { 3, { k->images, rows, 6 } };
	return hb_set_out(g, n, 0, HB_F32, &s);
}

static size_t
scratch_rcnn(const hb_node *n, int jobs)
{
	(void)jobs;
	return (size_t)(((const rcnn *)n->aux)->regions + 1) * sizeof(found);
}

static void
run_rcnn(const hb_call *c)
{
	const rcnn *k = c->n->aux;
	const hb_val *sizes = hb_call_in(c, 3);
	int64_t rows = c->out[0]->shape.dim[1];
	found *f = c->scratch;

	for (int64_t b = 0; b < k->images; b++) {
		const float *size = sizes ? (const float *)sizes->data + 2 * b : k->has_size ? k->size : NULL;
		float *y = (float *)c->out[0]->data + b * rows * 6;
		int64_t n = 0;
		for (int64_t r = b * k->regions; r < (b + 1) * k->regions; r++) {
			const float *score = (const float *)c->in[1]->data + r * (k->classes + 1);
			float by[4];
			int label = 0;
			for (int j = 1; j <= k->classes; j++)
				label = score[j] > score[label] ? j : label;
			if (!label || !(score[label] >= k->threshold))
				continue;
			const float *d = (const float *)c->in[2]->data + (r * (k->classes + 1) + label) * 4;
			for (int j = 0; j < 4; j++)
				by[j] = d[j] * k->std[j] + k->mean[j];
			f[n] = (found){ .score = score[label], .label = label - 1, .place = r };
			decode((const float *)c->in[0]->data + r * 4, by, false, f[n].box);
			clip(f[n++].box, size);
		}
		n = suppress(f, best(f, n, -1), k->most_overlap, 0, rows);
		for (int64_t i = 0; i < rows; i++, y += 6)
			for (int j = 0; j < 6; j++)
				y[j] = i >= n ? -1 : j < 4 ? f[i].box[j] : j == 4 ? f[i].score : (float)f[i].label;
	}
}

static const hb_attr_row rcnn_rows[] = {
	{ "image_size", HB_ATTR_INTS, false, 0, 0 }, FLOAT("nms_threshold"), FLOAT("box_filter_threshold"), { "num_classes", HB_ATTR_INT, true, 0, 0 },
	{ "post_nms_top_k", HB_ATTR_INT, true, 0, 0 }, { "delta_mean", HB_ATTR_FLOATS, false, 0, 0 },
	{ "delta_std", HB_ATTR_FLOATS, false, 0, 0 }, { 0 } };

const hb_op hb_op_rcnn_post_process = {
	.name = "RcnnPostProcess", .domain = "horizon", .since = 1, .min_in = 3, .max_in = 4, .min_out = 1, .max_out = 1,
	.attrs = rcnn_rows, .types = FLOATS, .shape = shape_rcnn, .scratch = scratch_rcnn, .run = run_rcnn,
};
