/* bayes.c: Journey 5, RDK Ultra. Operators and limits: the RDK Ultra list; what only the plugin
 * list supports: that one's rows. Figures: fits to published times. */
#include "march/bayes.h"
#include "march/tables.h"

#define ULTRA HB_BAYES_LIST

const hb_figure_source hb_bayes_figure_sources[] = {
	{ "cores", "public: two BPU cores" },
	{ "clock_ghz", "assumed: 1.0, no published figure" },
	{ "sram_bytes", "assumed: twice bayes-e; 1.5 MB fits as well" },
	{ "c_align", "assumed" },
	{ "granule", "assumed" },
	{ "mac_h", "assumed: as bayes-e" },
	{ "mac_w", "assumed: as bayes-e" },
	{ "mac_c", "assumed: as bayes-e" },
	{ "mac_n", "assumed: twice bayes-e" },
	{ "macs_per_cycle", "fitted: chosen among powers of two" },
	{ "k0_percent", "assumed: from bayes-e" },
	{ "dw_h", "assumed" },
	{ "dw_w", "assumed" },
	{ "dw_c", "assumed" },
	{ "dw_macs_per_cycle", "assumed: from bayes-e" },
	{ "start_mac", "assumed: 260 cycles a layer over four instructions" },
	{ "start_vec", "fitted: 66000 cycles an operator, over eight instructions" },
	{ "start_dma", "assumed" },
	{ "vec_x100", "fitted: three networks only" },
	{ "lut_x100", "assumed: 2.8 of vec, as bayes-e" },
	{ "copy_x100", "assumed: 1.45 of vec, as bayes-e" },
	{ "dma_bytes_x100", "fitted" },
	{ "int16", "public" },
	{ NULL, NULL },
};

#define ROW(op, in, out) { op, true, false, in, out, ULTRA }
#define CPU_FIRST(op, in, out) { op, true, true, in, out, ULTRA }
#define BY_PLUGIN(op, in, out) { op, true, false, in, out, PLUGIN }
#define BY_PARTS(op, in, out) { op, true, false, in, out, "one lookup of its parts" }

const hb_march_op hb_bayes_ops[] = {
	ROW("Abs", I8_16, I8_16),
	BY_PLUGIN("Acos", I8_16, I8_16),
	BY_PLUGIN("Acosh", I8_16, I8_16),
	ROW("Add", I8_16, I8_16),
	ROW("ArgMax", I8_16, I32),
	ROW("ArgMin", I8_16, I32),
	BY_PLUGIN("Asin", I8_16, I8_16),
	BY_PLUGIN("Asinh", I8_16, I8_16),
	ROW("Atan", I8_16, I8_16),
	BY_PLUGIN("Atanh", I8_16, I8_16),
	ROW("AveragePool", I8, I8_32),
	ROW("BatchNormalization", I8, I8),
	ROW("Ceil", I8_16, I8_16),
	ROW("Clip", I8_16, I8_16),
	ROW("Concat", I8_16, I8_16),
	ROW("Conv", I8_16, I8_16_32),
	ROW("ConvTranspose", I8, I8_32),
	ROW("Cos", I8_16, I8_16),
	BY_PLUGIN("Cosh", I8_16, I8_16),
	ROW("DepthToSpace", I8_16, I8_16),
	ROW("Div", I8_16, I8_16),
	ROW("Dropout", I8_16_32, I8_16_32),
	ROW("Elu", I8_16, I8_16),
	CPU_FIRST("Equal", I8_16, QBOOL),
	BY_PLUGIN("Erf", I8_16, I8_16),
	ROW("Exp", I8_16, I8_16),
	ROW("Expand", I8_16, I8_16),
	ROW("Flatten", I8_16_32, I8_16_32),
	ROW("Floor", I8_16, I8_16),
	ROW("Gather", I8_16_32, I8_16_32),
	ROW("GatherElements", I8_16_32, I8_16_32),
	ROW("Gemm", I8, I8_32),
	ROW("GlobalAveragePool", I8, I8_32),
	ROW("GlobalMaxPool", I8, I8),
	CPU_FIRST("Greater", I8_16, QBOOL),
	CPU_FIRST("GreaterOrEqual", I8_16, QBOOL),
	ROW("GridSample", I8_16, I8),
	ROW("HardSigmoid", I8_16, I8_16),
	BY_PARTS("HardSwish", I8_16, I8_16),
	ROW("LeakyRelu", I8_16, I8_16),
	CPU_FIRST("Less", I8_16, QBOOL),
	CPU_FIRST("LessOrEqual", I8_16, QBOOL),
	ROW("Log", I8_16, I8_16),
	ROW("LSTM", I8_16, I8_16),
	ROW("MatMul", I8, I8_16_32),
	ROW("Max", I8_16, I8_16),
	ROW("MaxPool", I8_16, I8_16),
	CPU_FIRST("Min", I8_16, I8_16),
	BY_PARTS("Mish", I8_16, I8_16),
	ROW("Mul", I8_16, I8_16),
	ROW("Pad", I8_16, I8_16),
	ROW("Pow", I8_16, I8_16),
	BY_PLUGIN("PRelu", I8_16, I8_16),
	ROW("Reciprocal", I8_16, I8_16),
	ROW("ReduceMax", I8_16, I8_16),
	ROW("ReduceMean", I8_16, I8_16),
	ROW("ReduceSum", I8_16, I8_16),
	ROW("Relu", I8_16, I8_16),
	ROW("Reshape", I8_16_32, I8_16_32),
	ROW("Resize", I8, I8),
	BY_PLUGIN("Selu", I8_16, I8_16),
	ROW("Sigmoid", I8_16, I8_16),
	ROW("Sin", I8_16, I8_16),
	BY_PLUGIN("Sinh", I8_16, I8_16),
	ROW("Slice", I8_16_32, I8_16_32),
	CPU_FIRST("Softmax", I8_16, I8_16),
	ROW("Softplus", I8_16, I8_16),
	ROW("SpaceToDepth", I8_16, I8_16),
	ROW("Split", I8_16, I8_16),
	ROW("Sqrt", I8_16, I8_16),
	ROW("Squeeze", I8_16_32, I8_16_32),
	ROW("Sub", I8_16, I8_16),
	ROW("Sum", I8_16, I8_16),
	BY_PLUGIN("Tan", I8_16, I8_16),
	ROW("Tanh", I8_16, I8_16),
	ROW("Tile", I8_16, I8_16),
	ROW("TopK", I8_16_32, I8_16_32),
	ROW("Transpose", I8_16_32, I8_16_32),
	ROW("Unsqueeze", I8_16_32, I8_16_32),
	ROW("Upsample", I8, I8),
#define PLUGIN_OP(op, first, in, out) { op, (in) != 0, first, in, out, PLUGIN },
#include "march/plugin.def"
	{ NULL, false, false, 0, 0, NULL },
};

#define RULE(op, text) { op, text, NULL, ULTRA, NULL, false }
#define NOTED(op, text, note) { op, text, note, ULTRA, NULL, false }
#define ADVISED(op, text, note, advice) { op, text, note, ULTRA, advice, false }
#define REMARK(op, text, note, source) { op, text, note, source, NULL, true }

/* Element-wise functions of one input. */
#define POINTWISE(op) RULE(op, "ranks <= 10")
#define BROADCAST(op)                                                              \
	NOTED(op, "ranks <= 5", "rank 2 to 5, lower ranks with leading ones"),     \
	NOTED(op, "nconst <= 1", "one operand may be constant"),                   \
	NOTED(op, "bcast_n == 0", "no broadcast along N"),                         \
	NOTED(op, "ranks == 5 => merged_plain <= 4", "a broadcast dimension merges with no neighbour")
#define BROADCAST_ONE(op)                                                          \
	RULE(op, "ranks <= 5"),                                                    \
	NOTED(op, "bcast <= 1", "only one operand may broadcast"),                 \
	NOTED(op, "ranks == 5 => merged_plain <= 4", "a broadcast dimension merges with no neighbour")
#define WINDOW256(op)                                                              \
	RULE(op, "rank <= 4"),                                                     \
	RULE(op, "kh in 1..256 && kw in 1..256"),                                  \
	RULE(op, "sh in 1..256 && sw in 1..256"),                                  \
	RULE(op, "ph in 0..256 && pw in 0..256")
#define RESIZE(op)                                                                                          \
	RULE(op, "rank <= 4"),                                                                              \
	NOTED(op, "ON == N && OC == C", "height and width only"),                                           \
	RULE(op, "mode in {nearest, linear}"),                                                              \
	NOTED(op, "mode == nearest => (OH % H == 0 || H % OH == 0) && pow2(max(OH / H, H / OH))",           \
	      "the factor in height is a power of 2"),                                                      \
	NOTED(op, "mode == nearest => (OW % W == 0 || W % OW == 0) && pow2(max(OW / W, W / OW))",           \
	      "the factor in width is a power of 2"),                                                       \
	NOTED(op, "mode == nearest => OH * W <= OW * H", "factor in height at most that in width"),         \
	{ op, "256 * OH > H && OH <= 256 * H && 256 * OW > W && OW <= 256 * W", "1/256 < scale <= 256",     \
	  PLUGIN, NULL, true }

const hb_rule hb_bayes_rules[] = {
	NOTED("model", "model_outputs <= 32", "outputs of a model"),
	{ "*", "type in {float32, bool}", "integers of a model are counted by the CPU", "hbcc", NULL, false },
	RULE("*", "mindim >= 1"),
	RULE("*", "N <= 4096"),
	NOTED("*", "maxdim <= 65536", "each dimension beyond the first"),
	NOTED("*", "bytes <= 1Gi", "the larger of input and output"),

	POINTWISE("Abs"), POINTWISE("Acos"), POINTWISE("Acosh"), POINTWISE("Asin"), POINTWISE("Asinh"),
	POINTWISE("Atan"), POINTWISE("Atanh"), POINTWISE("Ceil"), POINTWISE("Clip"), POINTWISE("Cos"),
	POINTWISE("Cosh"), POINTWISE("Elu"), POINTWISE("Erf"), POINTWISE("Exp"), POINTWISE("Floor"),
	POINTWISE("HardSigmoid"), POINTWISE("LeakyRelu"), POINTWISE("Log"), POINTWISE("Pow"), POINTWISE("PRelu"),
	POINTWISE("Reciprocal"), POINTWISE("Relu"), POINTWISE("Selu"), POINTWISE("Sigmoid"), POINTWISE("Sin"),
	POINTWISE("Sinh"), POINTWISE("Softplus"), POINTWISE("Sqrt"), POINTWISE("Tan"), POINTWISE("Tanh"),
	POINTWISE("Gelu"), POINTWISE("Swish"), POINTWISE("HardSwish"), POINTWISE("Mish"),
	NOTED("Pow", "elems1 == 1 && exponent_const == 1", "a constant scalar exponent"),

	BROADCAST("Add"), BROADCAST("Sub"), BROADCAST("Mul"), BROADCAST("Sum"),
	BROADCAST("Div"), ADVISED("Div", "nconst == 0", "no operand is constant", "multiply by the reciprocal"),
	BROADCAST_ONE("Max"), BROADCAST_ONE("Min"), BROADCAST_ONE("Equal"), BROADCAST_ONE("Greater"),
	RULE("Less", "ranks <= 5"), RULE("GreaterOrEqual", "ranks <= 5"), BROADCAST_ONE("LessOrEqual"),
	{ "Add", "bcast <= 1", "only one operand may broadcast", PLUGIN, NULL, true },
	{ "Sub", "bcast <= 1", "only one operand may broadcast", PLUGIN, NULL, true },
	{ "Mul", "bcast <= 1", "only one operand may broadcast", PLUGIN, NULL, true },

	RULE("ArgMax", "rank <= 4"), NOTED("ArgMax", "axis == 1", "over channels"), RULE("ArgMax", "C <= 64"),
	RULE("ArgMin", "rank <= 4"), NOTED("ArgMin", "axis == 1", "over channels"), RULE("ArgMin", "C <= 64"),
	{ "ArgMax", "index_only_output == 1", "an index is a model output only", PLUGIN, NULL, true },
	{ "ArgMin", "index_only_output == 1", "an index is a model output only", PLUGIN, NULL, true },

	WINDOW256("AveragePool"), WINDOW256("MaxPool"), RULE("MaxPool", "dh == 1 && dw == 1"),
	RULE("GlobalAveragePool", "rank <= 4"),
	RULE("GlobalMaxPool", "rank <= 4"), RULE("GlobalMaxPool", "H in 1..256 && W in 1..256"),
	RULE("BatchNormalization", "rank <= 5"),
	NOTED("Concat", "axis != 0", "not along N"),
	REMARK("Concat", "OC * OH * OW <= 65536", "the plugin's limit, exceeded by published networks", PLUGIN),
	{ "Concat", "nin in 2..1024", NULL, PLUGIN, NULL, true },

	ADVISED("Conv", "kh in 1..31 && kw in 1..31", NULL, "split the kernel into convolutions of at most 31x31, or use a smaller one"),
	NOTED("Conv", "rank <= 4 => Kn in 1..65536 && Kc in 1..8192", "weights"),
	NOTED("Conv", "rank <= 4 => kh * kw * Kc <= 65535", "weights of one output channel"),
	NOTED("Conv", "rank <= 4 => Cg <= 8192", "input channels of a group"),
	NOTED("Conv", "rank <= 4 => OCg <= 8192 || model_output == 1 && OCg <= 65536",
	      "output channels of a group; more as a model output"),
	NOTED("Conv", "rank <= 4 => sh in 1..256 && sw in 1..256", NULL),
	NOTED("Conv", "sumin => sh in {1, 2} && sw in {1, 2}", "an addition is fused"),
	NOTED("Conv", "rank <= 4 => dh in 1..16 && dw in 1..16", NULL),
	NOTED("Conv", "rank <= 4 && (dh > 1 || dw > 1) => sh == 1 && sw == 1", "a dilated convolution has stride 1"),
	NOTED("Conv", "rank <= 4 && (dh > 1 || dw > 1) => H % dh == 0 && W % dw == 0", "dilation divides the map"),
	NOTED("Conv", "ph in 0..256 && pw in 0..256", NULL),
	NOTED("Conv", "rank == 5 => N <= 128", NULL),
	NOTED("Conv", "rank == 5 => Kn in 1..65536 && Kc in 1..65536", "weights"),
	NOTED("Conv", "rank == 5 => kd in 1..8191", NULL),
	NOTED("Conv", "rank == 5 => pd in 0..kd / 2", NULL),
	NOTED("Conv", "rank == 5 => sh == sw && sh in {1, 2}", NULL),
	NOTED("Conv", "rank == 5 => group == 1", NULL),
	NOTED("Conv", "rank == 5 => dd == 1 && dh == 1 && dw == 1", NULL),
	NOTED("Conv", "rank == 5 && D * C > 4096 => H * ceil_to(W, 256) * D * C < 1Gi", NULL),
	NOTED("Conv", "rank == 5 => kd * C <= 8192", NULL),
	{ "Conv", "rank == 5 => sd == sh", NULL, PLUGIN, NULL, true },
	{ "Conv", "rank == 5 => kd <= 9 && kh <= 9", NULL, PLUGIN, NULL, true },
	{ "Conv", "model_output == 1 => OC <= 16384", NULL, PLUGIN, NULL, true },

	RULE("ConvTranspose", "rank <= 4"),
	RULE("ConvTranspose", "N in 1..128"),
	NOTED("ConvTranspose", "C in 1..2048 && OC in 1..2048", NULL),
	NOTED("ConvTranspose", "Kn in 1..2048 && Kc in 1..2048", "weights"),
	RULE("ConvTranspose", "kh in 1..14 && kw in 1..14"),
	NOTED("ConvTranspose", "kh > 1 || kw > 1", "not 1x1"),
	NOTED("ConvTranspose", "kh * kw * Cg <= 65535", "weights of one output channel"),
	NOTED("ConvTranspose", "sh % 2 == 1 && ph < max(kh / sh, 1) || sh % 2 == 0 && ph <= kh / sh", NULL),
	NOTED("ConvTranspose", "sw % 2 == 1 && pw < max(kw / sw, 1) || sw % 2 == 0 && pw <= kw / sw", NULL),
	NOTED("ConvTranspose", "minpad >= 0", NULL),
	RULE("ConvTranspose", "oph in 0..1 && opw in 0..1"),
	RULE("ConvTranspose", "sh in 1..14 && sw in 1..14"),
	NOTED("ConvTranspose", "sh > 1 || sw > 1", "not stride 1x1"),
	RULE("ConvTranspose", "dh == 1 && dw == 1"),
	{ "ConvTranspose", "kh >= sh && kw >= sw", "the plugin's reading", PLUGIN, NULL, true },

	RULE("DepthToSpace", "rank <= 4"),
	RULE("DepthToSpace", "mode in {DCR, CRD}"),
	RULE("DepthToSpace", "blocksize == 2"),
	RULE("DepthToSpace", "OC % 4 == 0"),
	RULE("SpaceToDepth", "rank <= 4"),
	RULE("SpaceToDepth", "blocksize == 2"),
	RULE("Expand", "ranks <= 10"), NOTED("Expand", "changed_dims <= 1", "one dimension differs"),
	RULE("Tile", "ranks <= 10"), NOTED("Tile", "changed_dims <= 1", "one dimension differs"),
	RULE("Flatten", "ranks <= 10"), RULE("Reshape", "ranks <= 10"), RULE("Squeeze", "ranks <= 10"),
	RULE("Unsqueeze", "ranks <= 10"),
	{ "Transpose", "moved_n == 0", "N does not move", PLUGIN, NULL, true },
	RULE("Gather", "ranks <= 4 && rank1 <= 4"),
	NOTED("Gather", "index_const == 1 && index_type in {int32, int64} || index_type == int32",
	      "indices that are computed are int32"),
	RULE("GatherElements", "ranks <= 10"),
	RULE("GatherElements", "index_type in {int16, int32, int64}"),
	NOTED("Split", "axis != 0", "not along N"), NOTED("Split", "equal_parts == 1", "parts of one size"),
	RULE("Pad", "mode == constant"),

	NOTED("Gemm", "kh in 1..31 && kw in 1..31", "as a convolution over the map that was flattened"),
	NOTED("Gemm", "Kn in 1..65536 && Kc in 1..8192", "weights, as a convolution's"),
	NOTED("Gemm", "kh * kw * Kc <= 65535", "weights of one output"),
	NOTED("Gemm", "OCg <= 8192 || model_output == 1 && OCg <= 65536", "outputs; more as a model output"),
	{ "Gemm", "kh * kw * Kc <= 8192", "input features", PLUGIN, NULL, true },
	NOTED("MatMul", "rank == rank1", "both operands of one rank"),
	RULE("MatMul", "rows in 1..8192 && inner in 1..8192 && cols in 1..8192"),
	RULE("MatMul", "batch0 <= 4096 && batch1 <= 4096"),
	NOTED("MatMul", "batch_ok == 1", "batch dimensions of A all ones or all equal; those of B not broadcast lead"),

	RULE("GridSample", "rank <= 4"),
	RULE("GridSample", "H in 1..1024 && W in 1..1024"),
	RULE("GridSample", "H * W <= 720 * 1024"),
	RULE("GridSample", "mode in {bilinear, linear, nearest}"),
	RULE("GridSample", "padding_mode in {zeros, border}"),
	RULE("horizon::GridSample", "H in 1..1024 && W in 1..1024"),
	RULE("horizon::GridSample", "H * W <= 720 * 1024"),

	NOTED("LSTM", "N == 1", "batch"),

	RULE("ReduceMax", "ranks <= 5"), NOTED("ReduceMax", "naxes == 1", "one axis"),
	RULE("ReduceMax", "axis_dim in 1..8192"), RULE("ReduceMax", "keepdims == 1"),
	RULE("ReduceMean", "ranks <= 5"), NOTED("ReduceMean", "naxes == 1 || axes_hw == 1", "one axis, or height and width"),
	NOTED("ReduceMean", "axes_hw == 1 || keepdims == 1", "reduced dimensions stay, or it is the pool and a reshape"),
	RULE("ReduceSum", "ranks <= 5"), NOTED("ReduceSum", "naxes == 1", "one axis"),

	{ "Resize", "coord != align_corners", "align_corners is refused by the plugin", PLUGIN, NULL, true },
	RULE("Resize", "coord in {half_pixel, pytorch_half_pixel, asymmetric, align_corners, tf_crop_and_resize}"),
	NOTED("Resize", "roi_whole == 1", "a crop's box lies on whole elements, in height and width only"),
	RESIZE("Resize"), RESIZE("Upsample"),

	RULE("Softmax", "rank <= 4"),
	{ "Softmax", "opset < 13 => axis == 3", "flattening semantics", ULTRA, "move Softmax to axis 3", false },
	{ "Softmax", "axis in 1..3", NULL, ULTRA, NULL, false },

	RULE("TopK", "ranks <= 10"), RULE("TopK", "sorted == 1"),
#define PLUGIN_RULE(op, text, note) { op, text, note, PLUGIN, NULL, false },
#include "march/plugin.def"
	{ NULL, NULL, NULL, NULL, NULL, false },
};

const char *const hb_bayes_cpu_ops[] = {
#define CPU_LISTS
#define CPU_ALL(op) op,
#define CPU_NEW(op) op,
#define CPU_X3(op)
#define CPU_X5(op)
#include "march/cpu.def"
	NULL,
};

const hb_rule hb_bayes_cpu_rules[] = {
#define CPU_RULES
#define CPU_RULE_ALL(op, text, note) { op, text, note, ULTRA, NULL, false },
#define CPU_RULE_OLD(op, text, note) { op, text, note, ULTRA, NULL, false },
#define CPU_RULE_NEW(op, text, note) { op, text, note, ULTRA, NULL, false },
#define CPU_RULE_X3(op, text, note)
#define CPU_RULE_X5(op, text, note)
#include "march/cpu.def"
	{ NULL, NULL, NULL, NULL, NULL, false },
};

const hb_march hb_march_bayes = {
	.name = "bayes",
	.title = "Journey 5, RDK Ultra: int8 and int16 activations",
	.fig = HB_BAYES_FIGURES("bayes"),
	.figure_sources = hb_bayes_figure_sources,
	.ops = hb_bayes_ops,
	.rules = hb_bayes_rules,
	.cpu_rules = hb_bayes_cpu_rules,
	.cpu_ops = hb_bayes_cpu_ops,
	.list = ULTRA,
	.dilated_int8 = true,
};
