/* Law 6: every row of the plugin's operator list as an ONNX model of its own: where each march places it, which
 * stands in march/covered.def and so in the manual, and that what has a part on the BPU compiles and runs, the
 * simulator with the integers of the fixed-point graph. With HBCC_ACCEPT set, writes covered.def anew. */
#include "tests/op_text.h"

#include "lib/pass/pass.h"
#include "lib/run/run.h"
#include "lib/sched/sched.h"

/* What stands before the operator, and behind it where only its neighbours put it on the BPU. `a` is read by a
 * pool as well, so that nothing is fused with the convolution. */
#define IN "a=_Conv(x:1x8x6x6,#8x8x1x1);"
#define TWO IN "b=_MaxPool(a){kernel_shape=[3,3],pads=[1,1,1,1]};"
#define END ";z=_Conv(y,#4x8x1x1)"
#define END16 ";z=_Conv(y,#4x16x1x1)"

static const struct {
	const char *row, *model;
} rows[] = {
	{ "torch.abs", IN "y=Abs(a)" },
	{ "torch.acos", IN "y=Acos(a)" },
	{ "torch.acosh", IN "y=Acosh(a)" },
	{ "torch.add", TWO "y=Add(a,b)" },
	{ "torch.add_scalar", TWO "y=Add(b,0.3)" },
	{ "torch.argmax", IN "y=ArgMax(a){axis=1}" },
	{ "torch.argmin", IN "y=ArgMin(a){axis=1}" },
	{ "torch.asin", IN "y=Asin(a)" },
	{ "torch.asinh", IN "y=Asinh(a)" },
	{ "torch.atan", IN "y=Atan(a)" },
	{ "torch.atanh", IN "y=Atanh(a)" },
	{ "torch.cat", TWO "y=Concat(a,b){axis=1}" END16 },
	{ "torch.ceil", IN "y=Ceil(a)" },
	{ "torch.clamp", TWO "y=Clip(b,-0.2,0.3)" },
	{ "torch.clip", TWO "y=Clip(b,-0.1,0.2)" },
	{ "torch.cos", IN "y=Cos(a)" },
	{ "torch.cosh", IN "y=Cosh(a)" },
	{ "torch.div", TWO "c=_Sigmoid(b);y=Div(a,c)" },
	{ "torch.eq", TWO "y=Equal(a,b)" },
	{ "torch.erf", IN "y=Erf(a)" },
	{ "torch.exp", IN "y=Exp(a)" },
	{ "torch.floor", IN "y=Floor(a)" },
	{ "torch.gather", IN "i=_Expand([1],[1,8,6,6]);y=GatherElements(a,i){axis=1}" END },
	{ "torch.ge", TWO "y=GreaterOrEqual(a,b)" },
	{ "torch.greater", TWO "y=Greater(a,b)" },
	{ "torch.greater_equal", TWO "y=GreaterOrEqual(b,a)" },
	{ "torch.gt", TWO "y=Greater(b,a)" },
	{ "torch.le", TWO "y=LessOrEqual(a,b)" },
	{ "torch.less", TWO "y=Less(a,b)" },
	{ "torch.less_equal", TWO "y=LessOrEqual(b,a)" },
	{ "torch.log", IN "y=Log(a)" },
	{ "torch.lt", TWO "y=Less(b,a)" },
	{ "torch.masked_fill", TWO "c=_Equal(a,b);y=Where(c,-0.5,b)" },
	{ "torch.matmul", "a=_Conv(x:1x4x6x8,#4x4x1x1);b=_Conv(v:1x4x8x6,#4x4x1x1);y=MatMul(a,b)" },
	{ "torch.max", IN "y=ReduceMax(a){axes=[1]};i=ArgMax(a){axis=1}" },
	{ "torch.maximum", TWO "y=Max(a,b)" },
	{ "torch.mean", IN "y=ReduceMean(a){axes=[1]}" },
	{ "torch.min", IN "y=ReduceMin(a){axes=[1]};i=ArgMin(a){axis=1}" },
	{ "torch.minimum", TWO "y=Min(a,b)" },
	{ "torch.mul", TWO "y=Mul(a,b)" },
	{ "torch.mul_scalar", TWO "y=Mul(b,0.3)" },
	{ "torch.pow", IN "y=Pow(a,2.0)" },
	{ "torch.reciprocal", IN "y=Reciprocal(a)" },
	{ "torch.selu", IN "y=Selu(a)" },
	{ "torch.sin", IN "y=Sin(a)" },
	{ "torch.sinh", IN "y=Sinh(a)" },
	{ "torch.split", IN "p,q=Split(a,[4,4]){axis=1};y=_Conv(p,#4x4x1x1);z=_Conv(q,#4x4x1x1)" },
	{ "torch.sqrt", IN "y=Sqrt(a)" },
	{ "torch.sub", TWO "y=Sub(a,b)" },
	{ "torch.sum", IN "y=ReduceSum(a,[1])" },
	{ "torch.tan", IN "y=Tan(a)" },
	{ "torch.topk", IN "y,i=TopK(a,[3]){axis=1}" },
	{ "torch.nn.functional.grid_sample", IN "y=GridSample(a,g:1x4x5x2){mode=bilinear,padding_mode=border,align_corners=0}" },
	{ "torch.nn.functional.interpolate", IN "y=Resize(a,-,<1,1,2,2>){mode=linear,coordinate_transformation_mode=half_pixel}" },
	{ "torch.nn.functional.pad", TWO "y=Pad(b,[0,0,1,1,0,0,1,2],0.0)" END },
	{ "torch.nn.functional.relu", IN "y=Relu(a)" },
	{ "torch.nn.functional.relu6(fused)", IN "y=Clip(a,0.0,6.0)" },
	{ "torch.nn.AdaptiveAvgPool2d", IN "y=AveragePool(a){kernel_shape=[2,2],strides=[2,2]}" },
	{ "torch.nn.AvgPool2d", IN "y=AveragePool(a){kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1],count_include_pad=1}" },
	{ "torch.nn.BatchNorm2d", IN "y=BatchNormalization(a,<1,2,1,2,1,2,1,2>,<0,1,0,1,0,1,0,1>,<0,0,0,0,1,1,1,1>,<1,1,1,1,2,2,2,2>)" },
	{ "torch.nn.BatchNorm3d", "a=_Conv(x:1x4x3x6x6,#4x4x1x1x1);y=BatchNormalization(a,<1,2,1,2>,<0,1,0,1>,<0,0,1,1>,<1,1,2,2>)" },
	{ "torch.nn.ChannelShuffle", IN "r=Reshape(a,[1,2,4,6,6]);t=Transpose(r){perm=[0,2,1,3,4]};y=Reshape(t,[1,8,6,6])" END },
	{ "torch.nn.ConstantPad2d", TWO "y=Pad(b,[0,0,1,1,0,0,1,2],0.25)" END },
	{ "torch.nn.Conv2d", "y=Conv(x:1x8x6x6,#8x8x3x3,#8){pads=[1,1,1,1]}" },
	{ "torch.nn.Conv3d", "y=Conv(x:1x4x3x6x6,#4x4x3x3x3,#4){pads=[1,1,1,1,1,1]}" },
	{ "torch.nn.ConvTranspose2d", "y=ConvTranspose(x:1x8x6x6,#8x4x4x4,#4){strides=[2,2],pads=[1,1,1,1]}" },
	{ "torch.nn.Dropout", IN "y=Dropout(a)" END },
	{ "torch.nn.Dropout2d", IN "y=Dropout(a)" END },
	{ "torch.nn.ELU", IN "y=Elu(a)" },
	{ "torch.nn.GELU", IN "d=Div(a,1.41421356);e=Erf(d);p=Add(e,1.0);m=Mul(a,p);y=Mul(m,0.5)" },
	{ "torch.nn.GLU", IN "p,q=Split(a,[4,4]){axis=1};s=Sigmoid(q);y=Mul(p,s)" },
	{ "torch.nn.HardSigmoid", IN "y=HardSigmoid(a)" },
	{ "torch.nn.Identity", IN "y=Identity(a)" END },
	{ "torch.nn.LayerNorm", IN "y=LayerNormalization(a,<1,2,1,2,1,2>,<0,1,0,1,0,1>){axis=3}" },
	{ "torch.nn.LeakyReLU", IN "y=LeakyRelu(a){alpha=0.1}" },
	{ "torch.nn.Linear", "a=_Conv(x:1x8x1x1,#8x8x1x1);f=Flatten(a);y=Gemm(f,#5x8,#5){transB=1}" },
	{ "torch.nn.LSTMCell", "y,h,c=LSTM(x:1x1x6,#1x16x6,#1x16x4,#1x32){hidden_size=4}" },
	{ "torch.nn.MaxPool2d", IN "y=MaxPool(a){kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1]}" },
	{ "torch.nn.MultiheadAttention", "a=_Conv(x:1x4x6x8,#4x4x1x1);b=_Conv(v:1x4x8x6,#4x4x1x1);c=_Conv(w:1x4x6x8,#4x4x1x1);m=MatMul(a,b);s=Softmax(m){axis=3};y=MatMul(s,c)" },
	{ "torch.nn.PixelShuffle", "a=_Conv(x:1x8x6x6,#16x8x1x1);y=DepthToSpace(a){blocksize=2,mode=CRD};z=_Conv(y,#4x4x1x1)" },
	{ "torch.nn.PixelUnshuffle", IN "y=SpaceToDepth(a){blocksize=2};z=_Conv(y,#4x32x1x1)" },
	{ "torch.nn.PReLU", TWO "y=PRelu(b,#8x1x1)" },
	{ "torch.nn.ReLU", IN "y=Relu(a)" },
	{ "torch.nn.ReLU6", TWO "y=Clip(b,0.0,6.0)" },
	{ "torch.nn.ReplicationPad2d", TWO "y=Pad(b,[0,0,1,1,0,0,1,2]){mode=edge}" END },
	{ "torch.nn.Sigmoid", IN "y=Sigmoid(a)" },
	{ "torch.nn.SiLU", IN "s=Sigmoid(a);y=Mul(a,s)" },
	{ "torch.nn.Softmax", IN "y=Softmax(a){axis=1}" },
	{ "torch.nn.Softplus", IN "y=Softplus(a)" },
	{ "torch.nn.SyncBatchNorm", TWO "y=BatchNormalization(b,<1,2,1,2,1,2,1,2>,<0,1,0,1,0,1,0,1>,<0,0,0,0,1,1,1,1>,<1,1,1,1,2,2,2,2>)" },
	{ "torch.nn.Tanh", IN "y=Tanh(a)" },
	{ "torch.nn.Upsample", IN "y=Resize(a,-,<1,1,2,2>){mode=nearest,coordinate_transformation_mode=asymmetric,nearest_mode=floor}" },
	{ "torch.nn.UpsamplingNearest2d", IN "y=Resize(a,-,-,[1,8,12,12]){mode=nearest,coordinate_transformation_mode=asymmetric,nearest_mode=floor}" },
	{ "torch.nn.UpsamplingBilinear2d", IN "y=Resize(a,-,<1,1,2,2>){mode=linear,coordinate_transformation_mode=align_corners}" },
	{ "torch.nn.ZeroPad2d", TWO "y=Pad(b,[0,0,1,1,0,0,1,2])" END },
	{ "torch.quantization.QuantStub", "q=QuantizeLinear(x:1x8x6x6,0.0078125,q(0));d=DequantizeLinear(q,0.0078125,q(0));z=_Conv(d,#4x8x1x1)" },
	{ "torch.quantization.DeQuantStub", "q=_QuantizeLinear(x:1x8x6x6,0.0078125,q(0));d=_DequantizeLinear(q,0.0078125,q(0));a=_Conv(d,#4x8x1x1);e=QuantizeLinear(a,0.02,q(0));y=DequantizeLinear(e,0.02,q(0))" },
	{ "torch.Tensor.__getitem__", IN "y=Slice(a,[0,1],[8,5],[1,2])" ";z=_Conv(y,#4x8x1x1)" },
	{ "torch.Tensor.transpose", IN "y=Transpose(a){perm=[0,1,3,2]}" END },
	{ "torch.Tensor.argmax", IN "y=ArgMax(a){axis=1}" },
	{ "torch.Tensor.argmin", IN "y=ArgMin(a){axis=1}" },
	{ "torch.Tensor.clamp", TWO "y=Clip(b,-0.2,0.3)" },
	{ "torch.Tensor.clip", TWO "y=Clip(b,-0.1,0.2)" },
	{ "torch.Tensor.eq", TWO "y=Equal(a,b)" },
	{ "torch.Tensor.expand", "a=_Conv(x:1x8x1x6,#8x8x1x1);y=Expand(a,[1,8,6,6])" END },
	{ "torch.Tensor.ge", TWO "y=GreaterOrEqual(a,b)" },
	{ "torch.Tensor.greater", TWO "y=Greater(a,b)" },
	{ "torch.Tensor.greater_equal", TWO "y=GreaterOrEqual(a,b)" },
	{ "torch.Tensor.gt", TWO "y=Greater(a,b)" },
	{ "torch.Tensor.le", TWO "y=LessOrEqual(a,b)" },
	{ "torch.Tensor.less", TWO "y=Less(a,b)" },
	{ "torch.Tensor.less_equal", TWO "y=LessOrEqual(a,b)" },
	{ "torch.Tensor.max", IN "y=ReduceMax(a){axes=[1]}" },
	{ "torch.Tensor.min", IN "y=ReduceMin(a){axes=[1]}" },
	{ "torch.Tensor.repeat", "a=_Conv(x:1x8x2x6,#8x8x1x1);y=Tile(a,[1,1,3,1])" END },
	{ "torch.Tensor.reshape", IN "y=Reshape(a,[1,8,4,9])" END },
	{ "torch.Tensor.tile", "a=_Conv(x:1x8x6x2,#8x8x1x1);y=Tile(a,[1,1,1,3])" END },
	{ "torch.Tensor.abs", IN "y=Abs(a)" },
	{ "torchvision.models.detection.rpn.AnchorGenerator", IN "y=horizon::AnchorGenerator(x,a){sizes=<32,64>,aspect_ratios=<0.5,1>}" },
	{ "torchvision.ops.RoIAlign", IN "y=RoiAlign(a,#3x4,[0,0,0]){output_height=2,output_width=2,spatial_scale=1.0,sampling_ratio=2}" },
	{ "torchvision.ops.MultiScaleRoIAlign", TWO "y=horizon::MultiScaleRoIAlign(a,b,#3x4){output_size=[2,2],sampling_ratio=2,scales=<0.5,0.25>,canonical_scale=1}" },
	{ "horizon.nn.Correlation", TWO "y=horizon::Correlation(a,b){max_displacement=2,pad_size=2}" },
	{ "horizon.nn.PointPillarsScatter", "a=_Conv(x:10x8x1,#8x8x1);f=_Squeeze(a,[2]);y=horizon::PointPillarsScatter(f,c:i10x4,[1,8,4,5])" },
	{ "horizon.nn.RcnnPostProcess", "a=_Conv(x:4x8x1x1,#3x8x1x1);b=_Conv(x,#12x8x1x1);y=horizon::RcnnPostProcess(r:1x4x4,a,b){num_classes=2,post_nms_top_k=5,image_size=[20,20],nms_threshold=0.5}" },
	{ "horizon.bgr2centered_yuv", "y=horizon::bgr2centered_yuv(x:1x3x6x6);z=_Conv(y,#4x3x1x1)" },
	{ "horizon.rgb2centered_yuv", "y=horizon::rgb2centered_yuv(x:1x3x6x6);z=_Conv(y,#4x3x1x1)" },
	{ "horizon.centered_yuv2bgr", "y=horizon::centered_yuv2bgr(x:1x3x6x6);z=_Conv(y,#4x3x1x1)" },
	{ "horizon.centered_yuv2rgb", "y=horizon::centered_yuv2rgb(x:1x3x6x6){swing=full};z=_Conv(y,#4x3x1x1)" },
	{ "horizon.nn.BgrToYuv444", "y=horizon::BgrToYuv444(x:1x3x6x6);z=_Conv(y,#4x3x1x1)" },
	{ "horizon.nn.functional.filter", IN "v,i,p,d,k=horizon::filter(a){threshold=0.1}" },
	{ "horizon.nn.DetectionPostProcess", IN "s=_Reshape(a,[1,36,8]);y,w,v=horizon::DetectionPostProcess(#1x36x4,s,#1x36x4){post_nms_top_n=10,iou_threshold=0.5}" },
	{ "horizon.nn.DetectionPostProcessV1", IN "y,w,v=horizon::DetectionPostProcessV1(a,#1x4x6x6){num_classes=4,pre_nms_top_k=20,post_nms_top_k=10,nms_threshold=0.5}" },
};

enum { MAX_IO = 5 };

/* The cells of covered.def: the marches with rows of their own. */
static const char *const marches[] = { "bernoulli2", "bayes", "bayes-e" };

static hb_graph *
read_model(hb_ctx *cx, const char *text)
{
	pb m = text_model(text);
	hb_graph *g;

	assert_int_equal(pb_read(cx, &m, &g), HB_OK);
	assert_int_equal(hb_pass_shapes(g, false), HB_OK);
	assert_true(g->ninputs <= MAX_IO && g->noutputs <= MAX_IO);
	return g;
}

static bool
is_target(const hb_source *s)
{
	return s->name[0] != '_' && strcmp(s->op_type, "Constant");
}

/* Reads, fuses and places the model; with `asked`, every operator that it is about is asked onto the BPU. */
static hb_graph *
placed(hb_ctx *cx, const char *text, const hb_march *m, bool asked)
{
	hb_graph *g = read_model(cx, text);
	const char *names[TEXT_NAMES];
	hb_place_options o = { .run_on_bpu = names };

	for (const hb_source *s = g->sources; s && asked; s = s->next)
		if (is_target(s))
			names[o.nbpu++] = s->name;
	assert_int_equal(hb_pass_simplify(g), HB_OK);
	assert_int_equal(hb_pass_absorb(g, HB_AFFINE_SYMMETRIC), HB_OK);
	assert_int_equal(hb_pass_recognise(g), HB_OK);
	assert_int_equal(hb_pass_expand(g, m), HB_OK);
	assert_int_equal(hb_pass_fuse(g), HB_OK);
	assert_int_equal(hb_pass_place(g, m, &o), HB_OK);
	return g;
}

/* "BPU", "CPU", "BPU 2, CPU 1"; what is folded or removed beside others does not count. Says so where the lists
 * would have the BPU run what hbcc cannot convert. */
static void
describe(const hb_graph *g, char *to, size_t cap)
{
	int count[HB_ON_NONE + 1] = { 0 }, gone = 0;
	bool no_form = false;

	for (const hb_source *s = g->sources; s; s = s->next) {
		if (!is_target(s))
			continue;
		const hb_node *n = s->now;
		if (!n || n->on == HB_ON_FOLDED || n->name[0] == '_') {
			gone++;
			continue;
		}
		count[n->on]++;
		no_form = no_form || (n->findings && !strncmp(n->findings->rule, "hbcc: no fixed-point form", 25));
	}
	int bpu = count[HB_ON_BPU], cpu = count[HB_ON_CPU], none = count[HB_ON_NONE];
	if (!bpu && !cpu && !none)
		snprintf(to, cap, gone ? "removed" : "BPU");
	else if (none || (bpu && cpu))
		snprintf(to, cap, none ? "none" : "BPU %d, CPU %d", bpu, cpu);
	else
		snprintf(to, cap, "%s%s", bpu ? "BPU" : "CPU", no_form ? " (no fixed-point form)" : "");
}

static void
inputs_of(hb_ctx *cx, const hb_graph *g, hb_val *in)
{
	for (size_t i = 0; i < g->ninputs; i++) {
		const hb_tensor *t = g->inputs[i];
		int64_t n = hb_tensor_elems(t);
		size_t size = hb_dtype_size(t->dtype);
		in[i] = (hb_val){ t->dtype, t->shape, hb_arena_alloc(cx->arena, (size_t)n * size + 64) };
		memset(in[i].data, 0, (size_t)n * size);
		for (int64_t k = 0; k < n; k++)
			if (t->dtype == HB_F32)
				((float *)in[i].data)[k] = 2 * text_value((int)k + 5);
			else if (t->dtype == HB_BOOL)
				((uint8_t *)in[i].data)[k] = k % 3 == 0;
	}
}

static int failures;

/* Compiles the placed graph with activations of type dt, and holds the simulator against the fixed-point graph. */
static void
runs(hb_ctx *cx, hb_graph *g, const hb_march *m, hb_dtype dt, const char *row, const test_log *log)
{
	hb_calib_options co = { .march = m, .activations = { .dtype = dt, .observer = { .kind = HB_OBS_MINMAX } } };
	hb_sched_options so = { .level = 1 };
	hb_graph *fixed;
	hb_program *p;
	hb_status st = hb_pass_calibrate(g, &co);

	if (st == HB_OK)
		st = hb_pass_convert(g, HB_HALF_EVEN, &fixed);
	if (st == HB_OK)
		st = hb_pass_constrain(g, fixed, m);
	if (st == HB_OK)
		st = hb_schedule(fixed, m, &so, &p);
	if (st != HB_OK) {
		print_message("%s does not compile for %s with %s: %s\n", row, m->name, hb_dtype_name(dt), log->text);
		failures++;
		return;
	}

	hb_val in[MAX_IO], out[MAX_IO], want[MAX_IO];
	hb_sim *sim;
	inputs_of(cx, g, in);
	assert_int_equal(hb_sim_new(cx, p, &m->fig, &(hb_sim_options){ .tags = true }, &sim), HB_OK);
	assert_int_equal(hb_sim_run(sim, in, out), HB_OK);
	hb_exec *ex = hb_exec_new(fixed, &st);
	assert_non_null(ex);
	assert_int_equal(hb_exec_run(ex, in, want, NULL, NULL), HB_OK);
	for (size_t i = 0; i < fixed->noutputs; i++) {
		size_t bytes = (size_t)hb_shape_elems(&want[i].shape) * hb_dtype_size(want[i].dtype);
		assert_int_equal(out[i].dtype, want[i].dtype);
		if (!memcmp(out[i].data, want[i].data, bytes))
			continue;
		print_message("%s on %s with %s: the simulator differs from the fixed-point graph\n", row, m->name, hb_dtype_name(dt));
		failures++;
	}
	hb_exec_free(ex);
	hb_sim_free(sim);
}

/* Whatever is not on the BPU says why: the rule, what was found, the rule's source, the way out. */
static void
reasons_are_given(const hb_graph *g, const char *row)
{
	for (const hb_node *n = g->first; n; n = n->next) {
		bool broken = n->on == HB_ON_BPU || !n->sources;	/* pairs of the file's scales stand for no node */
		for (const hb_finding *f = n->findings; f; f = f->next) {
			broken = broken || f->broken;
			if (f->broken && (!f->advice || !*f->advice))
				fail_msg("%s: %s breaks '%s' without advice", row, n->op_type, f->rule);
			if (!*f->rule || !f->found || !*f->found || !f->source || !*f->source)
				fail_msg("%s: %s says '%s' without what was found, or its source", row, n->op_type, f->rule);
		}
		if (!broken)
			fail_msg("%s: %s is not on the BPU for no reason", row, n->op_type);
	}
}

static bool
any_bpu(const hb_graph *g)
{
	for (const hb_node *n = g->first; n; n = n->next)
		if (n->on == HB_ON_BPU)
			return true;
	return false;
}

/* Places, compiles and runs; the placement as text. */
static void
one_way(const char *row, const char *text, const hb_march *m, bool asked, char *to, size_t cap)
{
	for (int wide = 0; wide <= m->fig.int16; wide++) {
		test_log log = { 0 };
		hb_ctx *cx = test_ctx(&log, 1);
		hb_graph *g = placed(cx, text, m, asked);
		describe(g, to, cap);
		reasons_are_given(g, row);
		if (any_bpu(g))
			runs(cx, g, m, wide ? HB_I16 : HB_I8, row, &log);
		hb_ctx_free(cx);
	}
}

static void
cell(const char *row, const char *text, const hb_march *m, char *to, size_t cap)
{
	char first[64], asked[64];

	if (!text) {
		snprintf(to, cap, "not covered");
		return;
	}
	one_way(row, text, m, false, first, sizeof(first));
	one_way(row, text, m, true, asked, sizeof(asked));
	if (strcmp(first, asked))
		snprintf(to, cap, "%s; %s when asked", first, asked);
	else
		snprintf(to, cap, "%s", first);
}

/* The operators that the model is about, in order. */
static void
operators(const char *text, char *to, size_t cap)
{
	size_t n = 0;

	*to = 0;
	if (!text)
		return;
	hb_ctx *cx = test_ctx(NULL, 1);
	for (const hb_source *s = read_model(cx, text)->sources; s; s = s->next)
		if (is_target(s))
			n += (size_t)snprintf(to + n, n < cap ? cap - n : 0, "%s%s", n ? " " : "", s->op_type);
	hb_ctx_free(cx);
}

static void
every_row_of_the_plugin_list_is_placed_compiled_and_run(void **state)
{
	(void)state;
	FILE *accept = getenv("HBCC_ACCEPT") ? fopen("march/covered.def", "w") : NULL;
	int wrong = 0;

	if (accept)
		fprintf(accept, "/* Each row of the plugin's operator list, the ONNX operators of the model that stands for it, and where\n"
				" * bernoulli2, bayes and bayes-e place them: what tests/unit/march_operators.c found (make accept). */\n");
	for (size_t i = 0; i < HB_LEN(rows); i++) {
		char ops[256], found[HB_LEN(marches)][160];
		const hb_covered *c = hb_march_covered(i);

		operators(rows[i].model, ops, sizeof(ops));
		for (size_t k = 0; k < HB_LEN(marches); k++)
			cell(rows[i].row, rows[i].model, hb_march_find(marches[k]), found[k], sizeof(found[k]));
		if (accept) {
			fprintf(accept, "HB_COVERED(\"%s\", \"%s\", \"%s\", \"%s\", \"%s\")\n", rows[i].row, ops, found[0], found[1], found[2]);
			continue;
		}
		bool same = c && !strcmp(c->row, rows[i].row) && !strcmp(c->onnx, ops);
		for (size_t k = 0; same && k < HB_LEN(marches); k++)
			same = !strcmp(hb_march_covered_on(hb_march_find(marches[k]), c), found[k]);
		if (!same)
			print_message("%s (%s): %s | %s | %s\n", rows[i].row, ops, found[0], found[1], found[2]);
		wrong += !same;
	}
	if (accept) {
		fprintf(accept, "#undef HB_COVERED\n");
		fclose(accept);
		return;
	}
	assert_null(hb_march_covered(HB_LEN(rows)));
	assert_int_equal(failures, 0);
	if (wrong)
		fail_msg("%d rows stand otherwise in march/covered.def: read what changed, then make accept", wrong);
}

/* ---- other ways in which models say it ---- */

static void
what_models_write_otherwise_is_placed_too(void **state)
{
	(void)state;
	static const struct {
		const char *what, *model, *on[HB_LEN(marches)];
	} more[] = {
		{ "parts of two sizes", IN "p,q=Split(a,[3,5]){axis=1};y=_Conv(p,#4x3x1x1);z=_Conv(q,#4x5x1x1)", { "BPU", "BPU", "BPU" } },
		{ "a mask of the model's", TWO "y=Where(m:b1x8x6x6,-0.5,b)", { "CPU", "BPU", "BPU" } },
		{ "a mean over the map", IN "y=ReduceMean(a){axes=[2,3]}", { "BPU", "BPU", "BPU" } },
		{ "a mean over the map, reshaped", IN "y=ReduceMean(a){axes=[2,3],keepdims=0}", { "BPU", "BPU", "BPU" } },
		{ "a MatMul with a constant", "a=_Conv(x:1x4x6x8,#4x4x1x1);y=MatMul(a,#8x5)", { "BPU", "BPU", "BPU" } },
		{ "a large kernel before an addition", "a=Conv(x:1x4x18x18,#4x4x9x9){pads=[4,4,4,4]};b=Add(a,x);y=Relu(b)",
		  { "BPU 2, CPU 1", "BPU", "BPU" } },
		{ "the greatest by TopK", IN "y,i=TopK(a,[1]){axis=1}", { "BPU", NULL, NULL } },
		{ "a layer norm written out", "@13 " IN "m=ReduceMean(a){axes=[-1]};d=Sub(a,m);s=Pow(d,2.0);v=ReduceMean(s){axes=[-1]};e=Add(v,0.00001);"
		  "q=Sqrt(e);n=Div(d,q);w=Mul(n,<1,2,1,2,1,2>);y=Add(w,<0,1,0,1,0,1>)", { NULL, "BPU", "BPU" } },
		{ "an index known at compile time", IN "y=Gather(a,[0,2,1]){axis=1};z=_Conv(y,#4x3x1x1)", { "BPU", "BPU", "BPU" } },
	};
	for (size_t i = 0; i < HB_LEN(more); i++)
		for (size_t k = 0; k < HB_LEN(marches); k++) {
			char found[160];
			if (!more[i].on[k])
				continue;
			cell(more[i].what, more[i].model, hb_march_find(marches[k]), found, sizeof(found));
			if (strcmp(found, more[i].on[k]))
				fail_msg("%s on %s: %s", more[i].what, marches[k], found);
		}
	assert_int_equal(failures, 0);
}

/* ---- advice that is more than a number ---- */

static bool
wholly_on_bpu(const hb_graph *g)
{
	for (const hb_node *n = g->first; n; n = n->next)
		if (n->name[0] != '_' && n->on != HB_ON_BPU)
			return false;
	return true;
}

static bool
says(const hb_graph *g, const char *advice)
{
	for (const hb_node *n = g->first; n; n = n->next)
		for (const hb_finding *f = n->findings; f; f = f->next)
			if (f->broken && f->advice && strstr(f->advice, advice))
				return true;
	return false;
}

static void
what_advice_says_puts_the_model_on_the_bpu(void **state)
{
	(void)state;
	static const struct {
		const char *march;
		bool asked;		/* onto the BPU, both */
		const char *advice, *breaks, *follows;
	} list[] = {
		{ "bayes", false, "split the kernel", "y=Conv(x:1x2x60x60,#1x2x40x40)",
		  "p=Slice(x:1x2x60x60,[0,0],[40,40],[2,3]);q=Slice(x,[0,20],[40,60],[2,3]);r=Slice(x,[20,0],[60,40],[2,3]);"
		  "s=Slice(x,[20,20],[60,60],[2,3]);a=Conv(p,#1x2x20x20);b=Conv(q,#1x2x20x20);c=Conv(r,#1x2x20x20);"
		  "d=Conv(s,#1x2x20x20);e=Add(a,b);f=Add(c,d);y=Add(e,f)" },
		{ "bernoulli2", false, "split the kernel", "y=Conv(x:1x4x16x16,#4x4x9x1)",
		  "p=Slice(x:1x4x16x16,[0],[12],[2]);q=Slice(x,[5],[16],[2]);a=Conv(p,#4x4x5x1);b=Conv(q,#4x4x4x1);y=Add(a,b)" },
		{ "bayes", true, "move Softmax to axis 3", "@11 a=_Conv(x:1x8x6x6,#8x8x1x1);y=Softmax(a){axis=1}",
		  "@11 a=_Conv(x:1x8x6x6,#8x8x1x1);t=Transpose(a){perm=[0,2,3,1]};s=Softmax(t){axis=3};y=Transpose(s){perm=[0,3,1,2]}" },
		{ "bayes", false, "multiply by the reciprocal", TWO "y=Div(b,#1x8x6x6)", TWO "y=Mul(b,#1x8x6x6)" },
		{ "bernoulli2", false, "use Relu or Clip 0..6", "a=_Conv(x:1x4x50x50,#4x4x1x1);y=Sigmoid(a)", "a=_Conv(x:1x4x50x50,#4x4x1x1);y=Clip(a,0.0,6.0)" },
		{ "bernoulli2", false, "or a smaller map", "a=_Conv(x:1x4x50x50,#4x4x1x1);y=Tanh(a)", "a=_Conv(x:1x4x40x40,#4x4x1x1);y=Tanh(a)" },
		{ "bernoulli2", false, "place it behind a convolution", TWO "y=Relu(b)", TWO "c=_Conv(b,#8x8x1x1);y=Relu(c)" },
		{ "bernoulli2", false, "use Relu or LeakyRelu", IN "y=Elu(a)", IN "y=LeakyRelu(a)" },
		{ "bernoulli2", false, "use Sigmoid", IN "y=HardSigmoid(a)", IN "y=Sigmoid(a)" },
		{ "bernoulli2", false, "use Relu", IN "y=Selu(a)", IN "y=Relu(a)" },
		{ "bayes", false, "use BatchNormalization", TWO "y=InstanceNormalization(b,#8,#8)",
		  TWO "y=BatchNormalization(b,#8,#8,#8,<1,1,1,1,2,2,2,2>)" },
		{ "bayes", false, "set keepdims to 1 and reshape behind it", IN "y=ReduceMax(a){axes=[2],keepdims=0};z=_Conv(y,#4x8x1)",
		  IN "r=ReduceMax(a){axes=[2]};y=Reshape(r,[1,8,6,1]);z=_Conv(y,#4x8x1x1)" },
		{ "bayes", false, "use mode constant", TWO "y=Pad(b,[0,0,1,1,0,0,1,2]){mode=reflect}", TWO "y=Pad(b,[0,0,1,1,0,0,1,2])" },
		{ "bayes", false, "use mode linear", IN "y=Resize(a,-,<1,1,2,2>){mode=cubic}", IN "y=Resize(a,-,<1,1,2,2>){mode=linear}" },
	};
	for (size_t i = 0; i < HB_LEN(list); i++) {
		hb_ctx *cx = test_ctx(NULL, 1);
		const hb_march *m = hb_march_find(list[i].march);
		const hb_graph *g = placed(cx, list[i].breaks, m, list[i].asked);
		if (wholly_on_bpu(g) || !says(g, list[i].advice))
			fail_msg("%s: nothing says '%s'", list[i].march, list[i].advice);
		if (!wholly_on_bpu(placed(cx, list[i].follows, m, list[i].asked)))
			fail_msg("%s: '%s' does not help", list[i].march, list[i].advice);
		hb_ctx_free(cx);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_of_the_plugin_list_is_placed_compiled_and_run),
		cmocka_unit_test(what_models_write_otherwise_is_placed_too),
		cmocka_unit_test(what_advice_says_puts_the_model_on_the_bpu),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
