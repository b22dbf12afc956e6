/* Law 6: for every rule of every march a node that just meets it and one that just breaks it, found from
 * the rule's own numbers: two nodes that differ in one parameter, by 1 where it is a number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "march/facts.h"
#include "ops/op.h"

enum knob {
	RANK, X0, X1, X2, X3, X4, X5, X6, X7, X8, X9, X10,
	RANKB, B0, B1, B2, B3, B4, B5, BCONST, ZERO,
	RANKY, Y0, Y1, Y2, Y3, Y4,
	KH, KW, KD, SH, SW, SD, PH, PW, PD, PEND, DH, DW, DD, GROUP, OUTC, OPH, OPW, AUTOPAD,
	AXIS, NAXES, KEEP, PARTS, UNEVEN, BLOCK, NIN, FIRSTPERM, PADAXIS, ROI, SORTED,
	MODE, COORD, PADDING, DIRECTION, TYPE, TYPE1, ATTRP, SEQ, OPSET, SUMIN, FUSED, OUTPUT, NOUT,
	NKNOBS
};

struct node {
	int64_t k[NKNOBS];
};

static hb_ctx *cx;

static const char *const modes[] = { "nearest", "linear", "cubic", "bilinear", "constant", "edge", "reflect", "DCR",
				     "CRD", "lanczos" };
static const char *const coords[] = { "half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners",
				      "tf_crop_and_resize", "tf_half_pixel_for_nn" };
static const char *const paddings[] = { "zeros", "border", "reflection" };
static const char *const directions[] = { "forward", "reverse", "bidirectional" };
static const char *const autopads[] = { "NOTSET", "VALID", "SAME_UPPER" };
static const hb_dtype types[] = { HB_F32, HB_I64, HB_I32, HB_I8, HB_BOOL, HB_I16, HB_U8, HB_U16 };

static bool is(const char *op, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(op, list[i]))
			return true;
	return false;
}

#define IS(op, ...) is(op, (const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

/* ---- making a node ---- */

struct made {
	hb_graph *g;
	hb_node *n;
	hb_group group;
};

static hb_tensor *tensor(hb_graph *g, const char *name, hb_dtype dt, int rank, const int64_t *dim, bool constant)
{
	hb_shape s = { .rank = rank };
	for (int i = 0; i < rank; i++)
		s.dim[i] = dim[i];
	static const hb_shape one = { .rank = 0 };
	hb_tensor *t = hb_tensor_new(g, name, dt, &one);
	assert_non_null(t);
	t->shape = s;
	t->has_shape = true;
	t->is_const = constant;
	t->is_splat = constant;		/* so that no weights are stored */
	return t;
}

static hb_tensor *constant_ints(hb_graph *g, const char *name, const int64_t *v, size_t n)
{
	return hb_tensor_ints(g, name, v, n);
}

static int64_t out_extent(int64_t x, int64_t k, int64_t s, int64_t p, int64_t d)
{
	return s > 0 ? (x + p - ((k - 1) * d + 1)) / s + 1 : 0;
}

/* A windowed operator's attributes for `spatial` dimensions, and its output's extents. */
static bool window(hb_graph *g, hb_node *n, const int64_t *k, int spatial, const int64_t *x, bool deconv, int64_t *y)
{
	const int at = 3 - spatial;
	const int64_t kernel[3] = { k[KD], k[KH], k[KW] }, stride[3] = { k[SD], k[SH], k[SW] };
	const int64_t pad[3] = { k[PD], k[PH], k[PW] }, dilation[3] = { k[DD], k[DH], k[DW] };
	const int64_t extra[3] = { 0, k[OPH], k[OPW] };
	int64_t pads[6];
	for (int i = 0; i < spatial; i++) {
		pads[i] = pad[at + i];
		pads[spatial + i] = pad[at + i] + (i == spatial - 1 ? k[PEND] : 0);
		int64_t total = pads[i] + pads[spatial + i];
		y[2 + i] = deconv ? (x[2 + i] - 1) * stride[at + i] + (kernel[at + i] - 1) * dilation[at + i] + 1 - total +
					    extra[at + i] :
				    out_extent(x[2 + i], kernel[at + i], stride[at + i], total, dilation[at + i]);
		if (kernel[at + i] < 1 || stride[at + i] < 1 || dilation[at + i] < 1 || y[2 + i] < 1 ||
		    (!deconv && x[2 + i] + total < (kernel[at + i] - 1) * dilation[at + i] + 1))
			return false;
		if (deconv && extra[at + i] >= stride[at + i] && extra[at + i] >= dilation[at + i])
			return false;
	}
	hb_attr_set_ints(g, n, "kernel_shape", kernel + at, (size_t)spatial);
	hb_attr_set_ints(g, n, "strides", stride + at, (size_t)spatial);
	hb_attr_set_ints(g, n, "dilations", dilation + at, (size_t)spatial);
	if (k[AUTOPAD] == 0)
		hb_attr_set_ints(g, n, "pads", pads, (size_t)(2 * spatial));
	else
		hb_attr_set_s(g, n, "auto_pad", autopads[k[AUTOPAD]]);
	if (deconv)
		hb_attr_set_ints(g, n, "output_padding", extra + at, (size_t)spatial);
	return true;
}

/* Do extents stay below 2^47 elements, as a graph's do? */
static bool fits(const int64_t *dim, int rank)
{
	int64_t n = 1;
	for (int i = 0; i < rank; i++)
		if (dim[i] < 0 || !hb_mul64(n, dim[i] ? dim[i] : 1, &n) || n >= (int64_t)1 << 47)
			return false;
	return true;
}

/* Makes operator `op` from its parameters; false where they do not go together. */
static bool make(const char *op, const struct node *from, struct made *m)
{
	const int64_t *k = from->k, *x = k + X0, *b = k + B0;
	int rank = (int)k[RANK], rankb = (int)k[RANKB];
	bool horizon = !strncmp(op, "horizon::", 9);
	const char *type = horizon ? op + 9 : op;
	int nin = (int)k[NIN], nout = 1;
	int64_t y[HB_MAX_RANK] = { 0 };
	int ranky = rank;
	for (int i = 0; i < 11; i++)
		y[i] = x[i];
	if (rank < 0 || rank > 11 || nin < 1 || nin > 1100 || rankb < 0 || !fits(x, rank) || !fits(b, rankb))
		return false;
	hb_graph *g = hb_graph_new(cx);
	assert_non_null(g);
	m->g = g;
	hb_node *n = hb_node_new(g, NULL, "n", horizon ? "horizon" : "", type, (int)k[OPSET], nin, IS(op, "Split", "LSTM", "GRU", "RNN") ? 3 : 1);
	m->n = n;
	hb_tensor *in0 = tensor(g, "x", types[k[TYPE]], rank, x, false);
	hb_node_set_in(g, n, 0, in0);
	bool windowed = IS(op, "Conv", "ConvTranspose", "AveragePool", "MaxPool", "LpPool");
	if (windowed) {
		if (rank < 3 || rank > 5)
			return false;
		bool deconv = !strcmp(op, "ConvTranspose"), conv = deconv || !strcmp(op, "Conv");
		if (!window(g, n, k, rank - 2, x, deconv, y))
			return false;
		if (conv) {
			int64_t group = k[GROUP];
			if (nin < 2 || group < 1 || x[1] % group || k[OUTC] % group || x[1] < 1 || k[OUTC] < 1)
				return false;
			int64_t w[5] = { deconv ? x[1] : k[OUTC], (deconv ? k[OUTC] : x[1]) / group };
			const int64_t kernel[3] = { k[KD], k[KH], k[KW] };
			for (int i = 0; i < rank - 2; i++)
				w[2 + i] = kernel[5 - rank + i];
			hb_node_set_in(g, n, 1, tensor(g, "w", HB_F32, rank, w, true));
			hb_attr_set_i(g, n, "group", group);
			y[1] = k[OUTC];
		}
	} else if (!strncmp(op, "Global", 6)) {
		for (int i = 2; i < rank; i++)
			y[i] = 1;
	} else if (IS(op, "Gemm")) {
		rank = 2;
		int64_t from_map[4] = { 1, k[X1], k[X2], k[X3] }, flat[2] = { 1, k[X1] * k[X2] * k[X3] };
		if (nin < 2 || k[OUTC] < 1 || flat[1] < 1)
			return false;
		in0->shape = (hb_shape){ .rank = 2, .dim = { 1, flat[1] } };
		hb_tensor *map = tensor(g, "map", HB_F32, 4, from_map, false);
		hb_node *fl = hb_node_new(g, n, "flat", "", "Flatten", (int)k[OPSET], 1, 1);
		hb_node_set_in(g, fl, 0, map);
		hb_node_set_out(fl, 0, in0);
		int64_t w[2] = { flat[1], k[OUTC] };
		hb_node_set_in(g, n, 1, tensor(g, "w", HB_F32, 2, w, true));
		ranky = 2;
		y[0] = 1, y[1] = k[OUTC];
	} else if (IS(op, "MatMul")) {
		if (nin < 2 || rank < 2 || rankb < 2 || x[rank - 1] != b[rankb - 2])
			return false;
		hb_node_set_in(g, n, 1, tensor(g, "b", HB_F32, rankb, b, false));
		ranky = rank > rankb ? rank : rankb;
		for (int i = 0; i < ranky - 2; i++) {
			int64_t dx = rank - ranky + i >= 0 ? x[rank - ranky + i] : 1;
			int64_t dy = rankb - ranky + i >= 0 ? b[rankb - ranky + i] : 1;
			if (dx != dy && dx != 1 && dy != 1)
				return false;
			y[i] = dx > dy ? dx : dy;
		}
		y[ranky - 2] = x[rank - 2];
		y[ranky - 1] = b[rankb - 1];
	} else if (!strncmp(op, "Reduce", 6) || IS(op, "ArgMax", "ArgMin")) {
		int naxes = op[0] == 'A' ? 1 : (int)k[NAXES], first = (int)k[AXIS];
		if (first < 0 || first + naxes > rank)
			return false;
		int64_t axes[HB_MAX_RANK];
		for (int i = 0; i < naxes; i++)
			axes[i] = first + i;
		if (op[0] == 'A')
			hb_attr_set_i(g, n, "axis", first);
		else if (naxes)
			hb_attr_set_ints(g, n, "axes", axes, (size_t)naxes);
		else
			hb_attr_set_i(g, n, "noop_with_empty_axes", 1);
		hb_attr_set_i(g, n, "keepdims", k[KEEP]);
		ranky = 0;
		for (int i = 0; i < rank; i++) {
			if (i < first || i >= first + naxes)
				y[ranky++] = x[i];
			else if (k[KEEP])
				y[ranky++] = 1;
		}
	} else if (IS(op, "Concat", "horizon::MultiScaleRoIAlign", "horizon::PointPillarsScatter", "horizon::filter")) {
		int axis = (int)k[AXIS];
		if (axis < 0 || axis >= rank)
			return false;
		hb_attr_set_i(g, n, "axis", axis);
		for (int i = 1; i < nin; i++)
			hb_node_set_in(g, n, i, horizon ? tensor(g, "c", HB_F32, rankb, b, false) : tensor(g, "c", HB_F32, rank, x, false));
		if (op[0] == 'C')
			y[axis] = x[axis] * nin;
	} else if (IS(op, "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Tile", "Resize", "Upsample")) {
		bool sized = IS(op, "Resize", "Upsample");
		ranky = sized ? rank : (int)k[RANKY];
		if (ranky < 0)
			return false;
		for (int i = 0; i < 11; i++)
			y[i] = i < 5 ? k[Y0 + i] : x[i];
		if (sized) {
			hb_attr_set_s(g, n, "mode", modes[k[MODE]]);
			hb_attr_set_s(g, n, "coordinate_transformation_mode", coords[k[COORD]]);
			for (int i = 0; i < rank && i < 11; i++)
				if (x[i] < 1 || y[i] < 1)
					return false;
		}
		if (k[ROI] && sized && nin > 1 && rank == 4) {
			hb_shape s = { .rank = 1, .dim = { 8 } };
			float roi[8] = { 0, 0, 0, 0, 1, 1, 1, k[ROI] == 1 ? 1.0f : 0.37f };
			hb_node_set_in(g, n, 1, hb_tensor_const(g, "roi", HB_F32, &s, roi));
		}
	} else if (IS(op, "Transpose")) {
		int64_t perm[HB_MAX_RANK];
		for (int i = 0; i < rank; i++)
			perm[i] = i;
		if (rank < 2 || (k[FIRSTPERM] && rank < 2))
			return false;
		int at = k[FIRSTPERM] ? 0 : rank - 2;
		perm[at] = at + 1, perm[at + 1] = at;
		y[at] = x[at + 1], y[at + 1] = x[at];
		hb_attr_set_ints(g, n, "perm", perm, (size_t)rank);
	} else if (IS(op, "Split")) {
		int axis = (int)k[AXIS];
		if (axis < 0 || axis >= rank || x[axis] < 4)
			return false;
		hb_attr_set_i(g, n, "axis", axis);
		nout = 2;
		y[axis] = x[axis] / 2 - k[UNEVEN];
	} else if (IS(op, "Pad")) {
		int axis = (int)k[PADAXIS];
		if (axis < 0 || axis >= rank || nin < 2)
			return false;
		int64_t pads[2 * HB_MAX_RANK] = { 0 };
		pads[axis] = k[PH];
		hb_node_set_in(g, n, 1, constant_ints(g, "pads", pads, (size_t)(2 * rank)));
		hb_attr_set_s(g, n, "mode", modes[k[MODE]]);
		y[axis] += k[PH];
	} else if (IS(op, "DepthToSpace", "SpaceToDepth")) {
		int64_t s = k[BLOCK];
		bool up = op[0] == 'D';
		if (rank < 3 || s < 1 || (up ? x[rank - 3] % (s * s) : x[rank - 2] % s || x[rank - 1] % s))
			return false;
		hb_attr_set_i(g, n, "blocksize", s);
		hb_attr_set_s(g, n, "mode", modes[k[MODE]]);
		y[rank - 3] = up ? x[rank - 3] / (s * s) : x[rank - 3] * s * s;
		y[rank - 2] = up ? x[rank - 2] * s : x[rank - 2] / s;
		y[rank - 1] = up ? x[rank - 1] * s : x[rank - 1] / s;
	} else if (IS(op, "GridSample", "horizon::GridSample")) {
		hb_attr_set_s(g, n, "mode", modes[k[MODE]]);
		hb_attr_set_s(g, n, "padding_mode", paddings[k[PADDING]]);
	} else if (IS(op, "LSTM", "GRU", "RNN")) {
		rank = 3;
		hb_attr_set_s(g, n, "direction", directions[k[DIRECTION]]);
		in0->shape.rank = 3;
		for (int i = 1; i < nin; i++)
			if (i < 4 || i > 4 || k[SEQ])
				hb_node_set_in(g, n, i, tensor(g, "w", HB_F32, 3, x, true));
		nout = (int)k[PARTS];
	} else if (IS(op, "horizon::Correlation")) {
		hb_attr_set_i(g, n, "kernel_size", k[KH]);
		hb_attr_set_i(g, n, "pad_size", k[PH]);
		hb_attr_set_i(g, n, "max_displacement", k[DH]);
	} else if (nin > 1 || IS(op, "Where", "TopK", "Gather", "GatherElements", "GatherND", "ScatterElements",
				 "ScatterND", "Pow", "PRelu", "RoiAlign", "horizon::RoIAlign", "Range", "CumSum")) {
		if (nin < 2 || rankb < 0)
			return false;
		bool typed = IS(op, "Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "Pow", "Where",
				"CumSum");
		hb_tensor *t1 = tensor(g, "b", typed ? types[k[TYPE1]] : HB_F32, rankb, b, k[BCONST] != 0);
		int64_t elems = hb_tensor_elems(t1);
		if (k[BCONST] && t1->dtype == HB_F32) {
			if (elems > 4096)
				return false;
			float *v = calloc((size_t)elems + 1, sizeof(float));
			for (int64_t i = k[ZERO]; i < elems; i++)
				v[i] = 1.0f;
			hb_tensor *c = hb_tensor_const(g, "bc", HB_F32, &t1->shape, v);
			free(v);
			t1 = c;
		}
		hb_node_set_in(g, n, 1, t1);
		if (IS(op, "Add", "Sub", "Mul", "Div", "Sum", "Max", "Min", "Equal", "Greater", "Less", "GreaterOrEqual",
		       "LessOrEqual", "And", "Or", "Pow")) {
			hb_shape s;
			if (k[BCONST] == 2)
				in0->is_const = in0->is_splat = true;
			if (in0->is_const && hb_tensor_elems(in0) > 4096)
				return false;
			if (!hb_shape_broadcast(&in0->shape, &t1->shape, &s))
				return false;
			ranky = s.rank;
			memcpy(y, s.dim, sizeof(y));
		}
		if (IS(op, "Gather", "GatherElements", "LayerNormalization"))
			hb_attr_set_i(g, n, "axis", k[AXIS]);
	}
	if (IS(op, "Softmax", "LayerNormalization"))
		hb_attr_set_i(g, n, "axis", k[AXIS]);
	if (IS(op, "TopK"))
		hb_attr_set_i(g, n, "sorted", k[SORTED]);
	if (IS(op, "LpNormalization"))
		hb_attr_set_i(g, n, "p", k[ATTRP]);
	if (!fits(y, ranky))
		return false;
	for (int i = 0; i < nout; i++) {
		if (i == 1 && n->op_type[0] == 'S')
			y[k[AXIS]] = x[k[AXIS]] - y[k[AXIS]];
		hb_tensor *t = tensor(g, "y", HB_F32, ranky, y, false);
		hb_node_set_out(n, i, t);
		t->is_output = i > 0 || k[OUTPUT];
	}
	if (k[SUMIN] || k[FUSED]) {
		m->group = (hb_group){ .root = n, .last = n };
		if (k[FUSED]) {
			hb_node *root = hb_node_new(g, n, "root", "", "Conv", (int)k[OPSET], 1, 1);
			hb_node_set_out(root, 0, in0);
			m->group.root = root;
		} else {
			m->group.add = n;
		}
		n->group = &m->group;
	}
	g->noutputs = (size_t)k[NOUT];
	return true;
}

/* ---- searching ---- */

static struct node start_of(const char *op, const char *rule)
{
	struct node s = { .k = {
		[RANK] = 4, [X0] = 1, [X1] = 8, [X2] = 8, [X3] = 8, [X4] = 8, [X5] = 1, [X6] = 1, [X7] = 1, [X8] = 1, [X9] = 1, [X10] = 1,
		[RANKB] = 4, [B0] = 1, [B1] = 8, [B2] = 8, [B3] = 8, [B4] = 8, [B5] = 1,
		[RANKY] = 4, [Y0] = 1, [Y1] = 8, [Y2] = 8, [Y3] = 8, [Y4] = 8,
		[KH] = 3, [KW] = 3, [KD] = 1, [SH] = 1, [SW] = 1, [SD] = 1, [PH] = 1, [PW] = 1, [DH] = 1, [DW] = 1, [DD] = 1,
		[GROUP] = 1, [OUTC] = 8, [AXIS] = 1, [NAXES] = 1, [KEEP] = 1, [BLOCK] = 2, [NIN] = 1, [PADAXIS] = 2,
		[SORTED] = 1, [OPSET] = 13, [NOUT] = 1, [ATTRP] = 2, [PARTS] = 2,
	} };
	if (IS(op, "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Sum", "Max", "Min", "Equal",
	       "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "Pow", "Concat", "Pad", "Gather",
	       "GatherElements", "GatherND", "GridSample", "PRelu", "Where", "TopK", "horizon::GridSample", "Resize",
	       "ScatterElements", "ScatterND", "CumSum", "Range", "RoiAlign", "horizon::RoIAlign",
	       "horizon::MultiScaleRoIAlign", "horizon::filter"))
		s.k[NIN] = 2;
	if (IS(op, "ConvTranspose"))
		s.k[KH] = s.k[KW] = s.k[SH] = s.k[SW] = 2, s.k[PH] = s.k[PW] = 0;
	if (IS(op, "LSTM", "GRU", "RNN", "horizon::PointPillarsScatter"))
		s.k[NIN] = 3, s.k[RANK] = 3;
	if (IS(op, "Gemm"))
		s.k[X2] = s.k[X3] = 1;
	if (IS(op, "Pad"))
		s.k[MODE] = 4;
	if (IS(op, "DepthToSpace"))
		s.k[MODE] = 7, s.k[X1] = 16;
	if (IS(op, "Softmax"))
		s.k[AXIS] = 1;
	if (IS(op, "ReduceMean"))
		s.k[AXIS] = 2, s.k[NAXES] = 2;
	if (IS(op, "Pow"))
		s.k[RANKB] = 0, s.k[BCONST] = 1;
	if (IS(op, "Split"))
		s.k[X0] = 4;
	if (IS(op, "Transpose"))
		s.k[X0] = 2;
	if (strstr(rule, "rank == 5"))
		s.k[RANK] = 5, s.k[X4] = 8;
	if (strstr(rule, "sequence"))
		s.k[NIN] = 6;
	if (strstr(rule, "dh in"))
		s.k[X2] = s.k[X3] = 300;
	if (strstr(rule, "kd in"))
		s.k[X2] = 9000;
	if (strstr(rule, "merged")) {
		static const int64_t a[] = { 2, 2, 8, 8, 8 }, b[] = { 2, 1, 8, 1, 8 };
		s.k[RANK] = s.k[RANKB] = 5;
		for (int i = 0; i < 5; i++)
			s.k[X0 + i] = a[i], s.k[B0 + i] = b[i];
	}
	return s;
}

/* How many values a parameter with few has; 0: it is a number. */
static int64_t choices(enum knob k)
{
	switch (k) {
	case MODE: return (int64_t)HB_LEN(modes);
	case COORD: return (int64_t)HB_LEN(coords);
	case PADDING: return (int64_t)HB_LEN(paddings);
	case DIRECTION: return (int64_t)HB_LEN(directions);
	case AUTOPAD: return (int64_t)HB_LEN(autopads);
	case TYPE: case TYPE1: return (int64_t)HB_LEN(types);
	case BCONST: case ROI: return 3;
	case RANK: return 12;
	case RANKB: case RANKY: return 6;
	case AXIS: case NAXES: case PADAXIS: return 5;
	case PARTS: return 4;
	case ZERO: case KEEP: case UNEVEN: case FIRSTPERM: case SORTED: case SUMIN: case FUSED: case OUTPUT: case SEQ:
		return 2;
	default: return 0;
	}
}

static uint64_t seed;

static uint64_t draw(uint64_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % n;
}

struct numbers {
	int64_t v[512];
	size_t n;
};

static void number(struct numbers *s, int64_t v)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i] == v)
			return;
	if (s->n < HB_LEN(s->v) && v >= -1 && v <= ((int64_t)1 << 31))
		s->v[s->n++] = v;
}

/* The rule's own numbers, their neighbours, and factors of the large ones. */
static void numbers_of(const hb_expr *e, struct numbers *s)
{
	static const int64_t small[] = { 1, 2, 3, 4, 5, 7, 8, 16, 64, 300, 0, -1 };
	for (size_t i = 0; i < HB_LEN(small); i++)
		number(s, small[i]);
	for (int t = 0; t < HB_NTERMS; t++) {
		int64_t v[64];
		size_t n = hb_rule_edges(e, (hb_term)t, v, HB_LEN(v));
		for (size_t i = 0; i < n; i++) {
			for (int64_t d = -1; d <= 1; d++)
				number(s, v[i] + d);
			for (int64_t f = 2; f <= 32768; f *= 2)
				if (v[i] / f > 1)
					for (int64_t d = -1; d <= 1; d++)
						number(s, v[i] / f + d);
			if (v[i] > 1024) {
				number(s, v[i] / 3);
				number(s, v[i] / 9);
			}
		}
	}
}

struct trial {
	struct node a, b;		/* meets, breaks */
	enum knob knob;
	int64_t apart;			/* INT64_MAX: none found */
};

static bool truth(const char *op, const hb_expr *e, const struct node *p, bool *holds)
{
	struct made m;
	m.g = NULL;
	bool ok = make(op, p, &m);
	if (ok) {
		hb_facts f;
		hb_facts_of(m.g, m.n, &f);
		*holds = hb_rule_holds(e, &f);
	}
	if (m.g)
		hb_graph_free(m.g);
	return ok;
}

static void mutate(struct node *p, enum knob k, const struct numbers *s)
{
	int64_t few = choices(k);
	p->k[k] = few ? (int64_t)draw((uint64_t)few) : s->v[draw(s->n)];
	/* Operands of equal shape move together, mostly. */
	if (k >= X0 && k <= X3 && draw(2))
		p->k[B0 + (k - X0)] = p->k[Y0 + (k - X0)] = p->k[k];
	if (k == RANK && draw(2) && p->k[RANK] <= 5)
		p->k[RANKB] = p->k[RANKY] = p->k[RANK];
}

/* Knobs worth changing for a rule: those whose change alters a term that it reads. */
static size_t relevant(const char *op, const hb_expr *e, const struct node *start, enum knob *out)
{
	static const int64_t tries[] = { -1, 0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 31 };
	struct made m;
	size_t n = 0;
	hb_facts base, f;
	m.g = NULL;
	if (!make(op, start, &m)) {
		if (m.g)
			hb_graph_free(m.g);
		for (int k = 0; k < NKNOBS; k++)
			out[n++] = (enum knob)k;
		return n;
	}
	hb_facts_of(m.g, m.n, &base);
	hb_graph_free(m.g);
	for (int k = 0; k < NKNOBS; k++) {
		bool alters = false;
		for (size_t i = 0; i < HB_LEN(tries) && !alters; i++) {
			struct node p = *start;
			int64_t few = choices((enum knob)k);
			if (few && (tries[i] < 0 || tries[i] >= few))
				continue;
			p.k[k] = tries[i];
			if (k >= X0 && k <= X3 && start->k[k] == start->k[B0 + (k - X0)])
				p.k[B0 + (k - X0)] = tries[i];
			m.g = NULL;
			if (make(op, &p, &m)) {
				hb_facts_of(m.g, m.n, &f);
				for (int t = 0; t < HB_NTERMS; t++)
					alters = alters || (f.v[t] != base.v[t] && hb_rule_reads(e, (hb_term)t));
			}
			if (m.g)
				hb_graph_free(m.g);
		}
		if (alters)
			out[n++] = (enum knob)k;
	}
	/* What makes other changes possible. */
	static const enum knob always[] = { RANK, NIN, RANKB, OUTC, GROUP, X2, X3, COORD, ROI };
	for (size_t i = 0; i < HB_LEN(always); i++) {
		bool have = false;
		for (size_t j = 0; j < n; j++)
			have = have || out[j] == always[i];
		if (!have)
			out[n++] = always[i];
	}
	return n;
}

static void search(const char *op, const char *rule, const hb_expr *e, struct trial *t)
{
	struct numbers s = { .n = 0 };
	struct node start = start_of(op, rule);
	enum knob knobs[NKNOBS + 8];
	size_t nk = relevant(op, e, &start, knobs);
	numbers_of(e, &s);
	t->apart = INT64_MAX;
	for (int round = 0; round < 8000 && t->apart > 1; round++) {
		struct node p = start;
		for (uint64_t i = draw(6); i > 0; i--)
			mutate(&p, knobs[draw(nk)], &s);
		bool first, second;
		if (!truth(op, e, &p, &first))
			continue;
		for (int step = 0; step < 6; step++) {
			struct node q = p;
			enum knob k = knobs[draw(nk)];
			bool plain = choices(k) == 0;
			if (plain && step < 4)
				q.k[k] += step % 2 ? 1 : -1;
			if (plain && step < 2 && k >= X0 && k <= X3 && p.k[k] == p.k[B0 + (k - X0)])
				q.k[B0 + (k - X0)] = q.k[k];	/* operands of one shape move together */
			else
				mutate(&q, k, &s);
			int64_t apart = plain ? llabs(q.k[k] - p.k[k]) : 1;
			if (apart >= t->apart || !truth(op, e, &q, &second) || first == second)
				continue;
			*t = (struct trial){ .a = first ? p : q, .b = first ? q : p, .knob = k, .apart = apart };
		}
	}
}

/* Brings the two nodes together by halving what lies between. */
static void refine(const char *op, const hb_expr *e, struct trial *t)
{
	while (t->apart > 1 && t->apart < INT64_MAX) {
		struct node mid = t->a;
		bool holds;
		mid.k[t->knob] = t->a.k[t->knob] + (t->b.k[t->knob] - t->a.k[t->knob]) / 2;
		enum knob pair = B0 + (t->knob - X0);
		if (t->knob >= X0 && t->knob <= X3 && t->a.k[pair] != t->b.k[pair])
			mid.k[pair] = mid.k[t->knob];
		if (!truth(op, e, &mid, &holds))
			return;
		*(holds ? &t->a : &t->b) = mid;
		t->apart = llabs(t->a.k[t->knob] - t->b.k[t->knob]);
	}
}

/* ---- advice ---- */

/* The parameter that stands for a term; NKNOBS: none alone does. */
static enum knob knob_of(const char *op, hb_term t, const struct node *p)
{
	static const struct {
		hb_term term;
		enum knob knob;
	} same[] = {
		{ HB_T_kh, KH }, { HB_T_kw, KW }, { HB_T_kd, KD }, { HB_T_sh, SH }, { HB_T_sw, SW }, { HB_T_sd, SD },
		{ HB_T_ph, PH }, { HB_T_pw, PW }, { HB_T_pd, PD }, { HB_T_dh, DH }, { HB_T_dw, DW }, { HB_T_dd, DD },
		{ HB_T_group, GROUP }, { HB_T_OC, OUTC }, { HB_T_Kn, OUTC }, { HB_T_OCg, OUTC }, { HB_T_axis, AXIS },
		{ HB_T_naxes, NAXES }, { HB_T_keepdims, KEEP }, { HB_T_blocksize, BLOCK }, { HB_T_nin, NIN },
		{ HB_T_oph, OPH }, { HB_T_opw, OPW }, { HB_T_sorted, SORTED }, { HB_T_p, ATTRP }, { HB_T_rank, RANK },
		{ HB_T_ranks, RANK }, { HB_T_rank1, RANKB }, { HB_T_rank_boxes, RANKB }, { HB_T_opset, OPSET },
		{ HB_T_sumin, SUMIN }, { HB_T_fused, FUSED }, { HB_T_model_output, OUTPUT },
	}, by_map[] = {
		{ HB_T_N, X0 }, { HB_T_C, X1 }, { HB_T_H, X2 }, { HB_T_W, X3 }, { HB_T_Cg, X1 }, { HB_T_Kc, X1 },
		{ HB_T_OH, Y2 }, { HB_T_OW, Y3 },
	};
	static const hb_term heights[] = { HB_T_kh, HB_T_sh, HB_T_ph, HB_T_dh, HB_T_oph };
	bool conv = IS(op, "Conv", "ConvTranspose"), outputs = t == HB_T_OC || t == HB_T_Kn || t == HB_T_OCg;
	for (size_t i = 0; i < HB_LEN(heights); i++)
		if (heights[i] == t && p->k[RANK] == 3)
			return NKNOBS;		/* a line has no height */
	if ((t == HB_T_ph || t == HB_T_pw || t == HB_T_pd) && p->k[AUTOPAD])
		return NKNOBS;
	if (IS(op, "Gemm"))
		return t == HB_T_kh ? X2 : t == HB_T_kw ? X3 : t == HB_T_Kc || t == HB_T_C ? X1 : outputs ? OUTC : NKNOBS;
	if ((outputs && !conv) || (t == HB_T_ranks && IS(op, "Gather")))
		return NKNOBS;
	if (IS(op, "ConvTranspose") && (t == HB_T_Kn || t == HB_T_Kc))
		return t == HB_T_Kn ? X1 : OUTC;
	for (size_t i = 0; i < HB_LEN(same); i++)
		if (same[i].term == t)
			return same[i].knob;
	for (size_t i = 0; i < HB_LEN(by_map) && p->k[RANK] == 4; i++)
		if (by_map[i].term == t && (by_map[i].knob < Y0 || IS(op, "Resize", "Upsample")))
			return by_map[i].knob;
	return NKNOBS;
}

static const struct {
	hb_term term;
	enum knob knob;
	const char *const *list;
	size_t n;
} word_knobs[] = {
	{ HB_T_mode, MODE, modes, HB_LEN(modes) }, { HB_T_coord, COORD, coords, HB_LEN(coords) },
	{ HB_T_padding_mode, PADDING, paddings, HB_LEN(paddings) }, { HB_T_direction, DIRECTION, directions, HB_LEN(directions) },
	{ HB_T_auto_pad, AUTOPAD, autopads, HB_LEN(autopads) },
};

static bool apply_word(const hb_fix *x, struct node *p)
{
	for (size_t i = 0; i < HB_LEN(word_knobs); i++)
		for (size_t k = 0; k < word_knobs[i].n && word_knobs[i].term == x->term; k++)
			if (!strcmp(word_knobs[i].list[k], hb_word_name(x->value))) {
				p->k[word_knobs[i].knob] = (int64_t)k;
				return true;
			}
	return false;
}

/* Does to p what the rule's advice says; false where that is no change of parameters alone. */
static bool advised(const char *op, const hb_expr *e, struct node *p, bool *has_advice)
{
	struct made m;
	hb_facts f;
	hb_fix fixes[16];
	hb_arena *a = hb_arena_new(cx);
	assert_true(make(op, p, &m));
	hb_facts_of(m.g, m.n, &f);
	hb_graph_free(m.g);
	*has_advice = hb_rule_advice(a, e, &f) != NULL;
	hb_arena_free(a);
	size_t n = hb_rule_fix(e, &f, fixes, HB_LEN(fixes));
	for (size_t i = 0; i < n; i++) {
		enum knob k = knob_of(op, fixes[i].term, p);
		if (k == NKNOBS && !apply_word(&fixes[i], p))
			return false;
		if (k == NKNOBS)
			continue;
		bool joined = k >= X0 && k <= X3 && (p->k[k] == p->k[B0 + (k - X0)] || p->k[B0 + (k - X0)] > fixes[i].value);
		bool of_group = IS(op, "Conv", "ConvTranspose") &&
				(fixes[i].term == HB_T_Kc || fixes[i].term == HB_T_Cg || fixes[i].term == HB_T_OCg);
		p->k[k] = fixes[i].value * (of_group ? p->k[GROUP] : 1);
		if (fixes[i].term == HB_T_pw)
			p->k[PEND] = 0;		/* the larger side is meant */
		if (k == AXIS && p->k[RANK] < 4)
			p->k[k] -= 4 - p->k[RANK];	/* terms count axes as N C H W does */
		if (joined)
			p->k[B0 + (k - X0)] = p->k[k];
	}
	return n > 0;
}

static size_t advised_nodes;

/* A node that does what the advice says is one that the rule takes. */
static void follow_advice(const hb_march *m, const char *op, const hb_rule *r, const hb_expr *e, const struct node *breaks)
{
	struct node p = *breaks;
	bool holds, has_advice;
	bool applies = advised(op, e, &p, &has_advice);
	if (!has_advice && !r->advice)
		fail_msg("%s: '%s' of %s has no advice", m->name, r->text, op);
	if (!applies || !truth(op, e, &p, &holds))
		return;
	if (!holds)
		fail_msg("%s: '%s' of %s: what the advice says does not help", m->name, r->text, op);
	advised_nodes++;
}

/* ---- the table ---- */

static bool reported(const hb_march *m, const char *op, const hb_rule *r, const struct node *p, hb_place_rule where)
{
	struct made made;
	hb_finding *list = NULL;
	assert_true(make(op, p, &made));
	assert_int_equal(hb_march_check(made.g, m, made.n, where, &list), HB_OK);
	bool found = false;
	for (hb_finding *f = list; f; f = f->next) {
		const char *in = where == HB_RULE_BPU ? f->rule : f->found;
		size_t n = strlen(r->text);
		bool same = !strncmp(in, r->text, n) && (!in[n] || in[n] == ':' || !strncmp(in + n, " (", 2));
		found = found || same;
		if (same) {
			assert_non_null(f->found);
			assert_true(strlen(f->found) > 0);
			assert_string_equal(f->source, r->source);
			assert_int_equal(f->broken, where == HB_RULE_BPU && !r->remark);
		}
	}
	hb_graph_free(made.g);
	return found;
}

static void cover(const hb_march *m, const hb_rule *rules, hb_place_rule where, size_t *nrules, size_t *ncases)
{
	hb_arena *a = hb_arena_new(cx);
	for (const hb_rule *r = rules; r && r->op; r++) {
		if (!strcmp(r->op, "model"))
			continue;
		const char *op = strcmp(r->op, "*") ? r->op : strcmp(m->name, "bernoulli2") ? "Relu" : "LeakyRelu";
		hb_expr *e = hb_rule_parse(a, r->text, NULL, NULL);
		assert_non_null(e);
		struct trial t;
		search(op, r->text, e, &t);
		refine(op, e, &t);
		(*nrules)++;
		if (t.apart == INT64_MAX) {
			print_message("%s: no node for %s: '%s'\n", m->name, op, r->text);
			continue;
		}
		if (t.apart > 1)
			fail_msg("%s: nodes are %lld apart: %s: '%s'\n", m->name, (long long)t.apart, op, r->text);
		if (reported(m, op, r, &t.a, where))
			fail_msg("%s: a node that meets '%s' of %s is said to break it", m->name, r->text, op);
		if (!reported(m, op, r, &t.b, where))
			fail_msg("%s: a node that breaks '%s' of %s is not told", m->name, r->text, op);
		follow_advice(m, op, r, e, &t.b);
		*ncases += 2;
	}
	hb_arena_free(a);
}

static void every_march_is_well_formed(void **state)
{
	(void)state;
	for (size_t i = 0; hb_march_at(i); i++) {
		const hb_march *m = hb_march_at(i);
		assert_int_equal(hb_march_validate(cx, m), HB_OK);
		assert_ptr_equal(hb_march_find(m->name), m);
		static const char *const fields[] = { "cores", "clock_ghz", "sram_bytes", "c_align", "granule", "mac_h",
			"mac_w", "mac_c", "mac_n", "macs_per_cycle", "k0_percent", "dw_h", "dw_w", "dw_c",
			"dw_macs_per_cycle", "start_mac", "start_vec", "start_dma", "vec_x100", "lut_x100", "copy_x100",
			"dma_bytes_x100", "int16" };
		for (size_t k = 0; k < HB_LEN(fields); k++) {
			const char *s = hb_march_figure_source(m, fields[k]);
			assert_true(!strncmp(s, "public", 6) || !strncmp(s, "fitted", 6) || !strncmp(s, "assumed", 7));
		}
		for (const hb_march_op *a = m->ops; a->op; a++)
			for (const hb_march_op *b = a + 1; b->op; b++)
				assert_string_not_equal(a->op, b->op);
	}
	assert_null(hb_march_find("nash-e"));
}

static void bpu_rules_have_a_node_that_meets_and_one_that_breaks(void **state)
{
	(void)state;
	seed = 7;
	print_message("seed %llu\n", (unsigned long long)seed);
	size_t rules = 0, cases = 0;
	for (size_t i = 0; hb_march_at(i); i++) {
		if (!strcmp(hb_march_at(i)->name, "meta"))
			continue;	/* bayes' tables */
		cover(hb_march_at(i), hb_march_at(i)->rules, HB_RULE_BPU, &rules, &cases);
	}
	print_message("%zu rules, %zu cases\n", rules, cases);
	assert_int_equal(cases, 2 * rules);
	print_message("%zu of the nodes that break a rule could be changed as its advice says\n", advised_nodes);
	assert_true(advised_nodes > 400);
}

static void cpu_rules_have_a_node_that_meets_and_one_that_breaks(void **state)
{
	(void)state;
	seed = 11;
	print_message("seed %llu\n", (unsigned long long)seed);
	size_t rules = 0, cases = 0;
	for (size_t i = 0; hb_march_at(i); i++)
		if (strcmp(hb_march_at(i)->name, "meta"))
			cover(hb_march_at(i), hb_march_at(i)->cpu_rules, HB_RULE_CPU, &rules, &cases);
	print_message("%zu rules, %zu cases\n", rules, cases);
	assert_int_equal(cases, 2 * rules);
}

static void a_model_has_at_most_32_outputs(void **state)
{
	(void)state;
	for (size_t i = 0; hb_march_at(i); i++)
		for (int64_t outputs = 32; outputs <= 33; outputs++) {
			struct node p = start_of("Relu", "");
			struct made m;
			hb_finding *f = NULL;
			p.k[NOUT] = outputs;
			assert_true(make("Relu", &p, &m));
			assert_int_equal(hb_march_check_model(m.g, hb_march_at(i), &f), HB_OK);
			assert_int_equal(f != NULL, outputs > 32);
			hb_graph_free(m.g);
		}
}

static int setup(void **state)
{
	(void)state;
	hb_options o = { .jobs = 1 };
	cx = hb_ctx_new(&o);
	return cx ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	hb_ctx_free(cx);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_march_is_well_formed),
		cmocka_unit_test(bpu_rules_have_a_node_that_meets_and_one_that_breaks),
		cmocka_unit_test(cpu_rules_have_a_node_that_meets_and_one_that_breaks),
		cmocka_unit_test(a_model_has_at_most_32_outputs),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
