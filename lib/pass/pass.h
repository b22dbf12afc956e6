/* pass.h: from the imported graph to the fixed-point one (DESIGN 1), in order. */
#ifndef HB_PASS_H
#define HB_PASS_H

#include "march/march.h"
#include "ops/exec.h"
#include "ops/fx.h"

/* ---- import's end ---- */

/* Shapes of all tensors; folds nodes whose inputs are constant. HB_ERR_INPUT or
 * HB_ERR_UNSUPPORTED naming the node; a shape that depends on the contents of a graph
 * input: HB_NEED_CONST where may_need, else reported. */
hb_status hb_pass_shapes(hb_graph *g, bool may_need);

/* Computes what is constant once and for all, the quantizing of weights included: for a graph that is only run. */
hb_status hb_pass_fold_all(hb_graph *g);

/* Makes every input a constant of value in[i] (type and shape as the input's), so that shapes
 * that depend on contents can be inferred. The graph has no inputs afterwards. */
hb_status hb_pass_bind(hb_graph *g, const hb_val *in);

/* No-ops go. */
hb_status hb_pass_simplify(hb_graph *g);

/* What exporters write out has its operator again; parts of composites that stay parts know which (node->composite). */
hb_status hb_pass_recognise(hb_graph *g);

/* Operators that are functions of others into their bodies, where m has no row for them; without a march where
 * the operator set that is written does not have them. */
hb_status hb_pass_expand(hb_graph *g, const hb_march *m);

/* Runs n, whose inputs are constant, and takes it out of the graph: its outputs are constants. */
hb_status hb_pass_fold(hb_graph *g, hb_node *n);

typedef enum hb_pixels {
	HB_PIXELS_FEATUREMAP, HB_PIXELS_GRAY, HB_PIXELS_RGB, HB_PIXELS_BGR, HB_PIXELS_YUV444, HB_PIXELS_NV12
} hb_pixels;
const char *hb_pixels_name(hb_pixels p);
bool hb_pixels_of(const char *name, hb_pixels *out);	/* "rgb", "nv12"; false where unknown */
bool hb_pixels_fit(hb_pixels p, const hb_shape *nchw);	/* whether a tensor can be pictures of such pixels */

typedef struct hb_camera {
	hb_pixels train, rt;		/* what the model was trained with, what its input is to take */
	bool nhwc;			/* where the channels are: of what it was trained with */
	bool video;			/* YUV has 16 to 235, not 0 to 255 */
	int nmean, nscale;		/* 0: none, 1: for all channels */
	float mean[4], scale[4];	/* the model takes (pixel - mean) * scale */
} hb_camera;
bool hb_camera_is_legal(const hb_camera *k);
/* Input i takes rt's pixels less 128, channels first (a featuremap: values as they were, without mean and scale). */
hb_status hb_pass_camera(hb_graph *g, size_t i, const hb_camera *k);

/* The outputs of these nodes (or these tensors) are the model's, and nothing else is. HB_ERR_USAGE where one is unknown. */
hb_status hb_pass_set_outputs(hb_graph *g, const char *const *names, size_t n);
/* Takes nodes of this type, or name, away where they stand at an input or an output with one operand; how many. */
int hb_pass_trim(hb_graph *g, const char *word, bool by_type);

/* ---- absorb: models that arrive quantized (SEMANTICS 6) ---- */

/* QuantizeLinear and DequantizeLinear become scales (q.from) on the tensors they stand on: constant ones
 * fold into float weights that remember their integers' scales; pairs go. What cannot go stays as it is. */
typedef enum hb_affine {	/* activations whose zero point is not the middle of their type (--affine) */
	HB_AFFINE_SYMMETRIC,	/* re-expressed around 0, in the type's 8 or 16 bits, with a warning that counts them */
	HB_AFFINE_EXACT		/* integer less zero point, in int16, where that fits and the march takes it */
} hb_affine;
hb_status hb_pass_absorb(hb_graph *g, hb_affine affine);
/* Does an operator of the graph say how the model was quantized? Then absorb has work. */
bool hb_arrives_quantized(const hb_graph *g);
/* Does the model say scales of its own? Then calibration chooses only what it does not say. */
bool hb_has_scales(const hb_graph *g);

/* ---- fuse ---- */
hb_status hb_pass_fuse(hb_graph *g);	/* SEMANTICS 4 */

/* ---- place ---- */
hb_status hb_pass_place(hb_graph *g, const hb_march *m, const hb_place_options *o);	/* on, segment, findings */
/* The segment of every node, by the places that nodes have; *bpu: how many are the BPU's. */
hb_status hb_pass_segments(hb_graph *g, int *bpu);

/* ---- calibrate ---- */

typedef struct hb_qconfig {		/* what one node or tensor gets */
	hb_dtype dtype;			/* HB_I8, HB_I16 */
	hb_observer_cfg observer;
	bool none;			/* stays in float */
	int8_t high_precision;		/* a model output of a layer with weights: 1 stays int32, -1 does not, 0 as the options say */
	bool weights_mse;		/* the layer's weights get the scales of the least squared error, not those of the largest */
	int dtype_level;		/* how specific what said dtype is: 0 for all, then by operator, node, tensor */
	const char *rule;		/* what said so, for reports; NULL: the options */
} hb_qconfig;

/* Ranges as a file keeps them (hbcc-config(5)): of every tensor of float values, in the order of the graph. */
typedef struct hb_range_row {
	const char *name;
	float min, max;			/* seen */
	float clip8, clip16;		/* magnitude that is kept as qint8, as qint16 */
	const char *observer;
	int64_t nonfinite;
	int64_t nchannels;		/* 0: `channels` is unknown */
	const float *channels;		/* magnitude in each channel, dim 1 */
	int64_t nmeans;			/* 0: `means` are unknown */
	int means_dim;
	struct {
		hb_dtype dtype;		/* that the quantized ones have; HB_NONE: not there */
		int64_t nscales;	/* 1, or one a channel, dim 1 */
		const float *scales;
		const double *v;	/* as hb_tensor.means: nmeans float ones, nmeans quantized ones */
	} means[2];
	struct hb_range_row *next;
} hb_range_row;

typedef struct hb_ranges {
	hb_arena *arena;
	hb_map *by_name;
	hb_range_row *first, *last;
} hb_ranges;

hb_ranges *hb_ranges_new(hb_arena *a);	/* NULL without memory, as the next */
hb_range_row *hb_ranges_add(hb_ranges *r, const char *name);	/* the name is copied */
const hb_range_row *hb_ranges_find(const hb_ranges *r, const char *name);

typedef struct hb_stats {		/* what options' save_stats got, in a file */
	const char *path;
	hb_cursor bytes;
} hb_stats;

typedef enum hb_by_channel {
	HB_CHANNELS_AUTO,		/* where they take much of the noise away */
	HB_CHANNELS_ALWAYS, HB_CHANNELS_NEVER
} hb_by_channel;

typedef struct hb_calib_options {
	const hb_march *march;		/* what may stay int32 */
	hb_qconfig activations;		/* default mse, HB_I8 */
	hb_round round;
	bool divisor_qmax;
	bool low_precision_output;	/* conv and gemm that leave the BPU are quantized, not int32; what leads there behind the last layers is int8, not int16 */
	hb_by_channel channels;		/* scales a channel of activations that depthwise convolutions or lookups alone read */
	bool no_bias_correction;	/* biases do not make up for what rounding the weights takes off the mean output */
	/* Sample k's inputs, in the order of the graph's; HB_OK, and false in *more past the last. */
	hb_status (*sample)(void *arg, int64_t k, hb_val *in, bool *more);
	void *arg;
	/* Where sample is NULL: seeded noise and g->uncalibrated; or, in a model that has scales, none:
	 * an edge without a scale is then an error. */
	/* In place of samples: what save_stats got from parts of them, in their order; the result is that of one run
	 * over all. Moving averages and histogram observers need samples. */
	const hb_stats *stats;
	size_t nstats;
	const hb_ranges *ranges;	/* in place of samples too: chosen by an earlier run */
	hb_buf *save_stats;		/* gets the statistics, and no scale is set */
	hb_ranges *save_ranges;		/* gets a row a tensor, of what is not quantized too */
	/* Told what each quantized edge gets, in the order of the graph; nothing is run then and no scale is set. n: what
	 * yields t, or NULL. observed: has a range of its own, else its scale comes from its operand or is derived. */
	void (*plan)(void *arg, const hb_node *n, const hb_tensor *t, const hb_qconfig *q, bool observed);
	void *plan_arg;
	/* More specific configuration of tensor t that node n (NULL: none) yields, or NULL. */
	const hb_qconfig *(*config)(void *arg, const hb_node *n, const hb_tensor *t);
	void *config_arg;
} hb_calib_options;

/* Inputs as calibration without samples has them in run k: floats of seeded noise, uniform in [-1, 1), other types 0. */
void hb_noise_sample(hb_val *in, size_t ninputs, int64_t k);

/* Whether constant operand i of n is data to quantize like an activation (the other addend), not a parameter. */
bool hb_const_is_data(const hb_node *n, int i);

/* Sets q of every edge that a BPU node writes or reads (SEMANTICS 3). */
hb_status hb_pass_calibrate(hb_graph *g, const hb_calib_options *o);

/* ---- refine: after calibrate, on samples ---- */

enum { HB_REFINE_SAMPLES = 8 };		/* that are looked at, at most; for rounding weights some more */

typedef struct hb_refine_options {
	hb_round round;
	bool no_bias_correction;
	bool round_weights;		/* for the least error of the layer's output, not each to the nearest */
	/* As hb_calib_options'; the first few samples are taken. */
	hb_status (*sample)(void *arg, int64_t k, hb_val *in, bool *more);
	void *arg;
} hb_refine_options;

/* For each layer in turn, the shift of its bias and, where asked, the integers of its weights that bring it nearest to
 * the float model, given what the layers before it have become (SEMANTICS 7). *cosine: the least of an output, over
 * the samples taken, as far as float arithmetic on quantized values tells. */
hb_status hb_pass_refine(hb_graph *g, const hb_refine_options *o, double *cosine);

/* What quantizing one edge alone does to the outputs. */
typedef struct hb_sensitivity {
	hb_tensor *t;
	double noise;			/* squared error over squared values, of the output where it is largest */
} hb_sensitivity;

/* Each edge of type qint8 that could be qint16 on m, or, without m, each that is quantized by a scale of its own; in the
 * order of the graph; in g's arena. */
hb_status hb_pass_sensitivity(hb_graph *g, const hb_march *m, const hb_refine_options *o, hb_sensitivity **out, size_t *n);

/* ---- convert ---- */

/* Operand 1 (and the axis, where scales are a channel's) and operand 2, all zero, of a QuantizeLinear or
 * DequantizeLinear node of g, as q says. False without memory. */
bool hb_pair_set_scale(hb_graph *g, hb_node *n, const hb_q *q);
bool hb_pair_set_zero(hb_graph *g, hb_node *n, const hb_q *q);

hb_status hb_pass_convert(hb_graph *g, hb_round round, hb_graph **fixed);

/* ---- constrain: march rules again, on actual weights and dtypes ---- */

/* HB_ERR_NO naming every node of `fixed` that breaks a limit of m; g: the calibrated float graph it came from. */
hb_status hb_pass_constrain(hb_graph *g, hb_graph *fixed, const hb_march *m);

/* The float graph with QuantizeLinear/DequantizeLinear pairs on its quantized edges, as a new graph; weights as
 * the integers that `fixed` has, data as round says. all_outputs: every quantized edge is an output too. g and fixed
 * must outlive it. */
hb_status hb_pass_qdq(hb_graph *g, hb_graph *fixed, hb_round round, bool all_outputs, hb_graph **out);

#endif
