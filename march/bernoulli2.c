/* bernoulli2.c: X3, Journey 3. Operators and limits: the RDK X3 list; what only the plugin
 * list supports: that one's rows. Figures: public tiles, fits to published times. */
#include "march/tables.h"

#define X3 "RDK X3 list"

static const hb_figure_source figure_sources[] = {
	{ "cores", "public: two BPU cores" },
	{ "clock_ghz", "public: 1.0 at most" },
	{ "sram_bytes", "fitted: 0.5 to 1.3 MB fit" },
	{ "c_align", "assumed" },
	{ "granule", "assumed" },
	{ "mac_h", "public: 8W4C feature tiles" },
	{ "mac_w", "public: 8W4C feature tiles" },
	{ "mac_c", "public: 8W4C feature tiles" },
	{ "mac_n", "public: 8N4C weight tiles" },
	{ "macs_per_cycle", "fitted: inferred from published rates" },
	{ "k0_percent", "fitted" },
	{ "dw_h", "public: 16W16C feature tiles" },
	{ "dw_w", "public: 16W16C feature tiles" },
	{ "dw_c", "public: 16W16C feature tiles" },
	{ "dw_macs_per_cycle", "fitted" },
	{ "start_mac", "fitted: 640 cycles a layer, over four instructions" },
	{ "start_vec", "fitted: 2000 cycles an operator, over eight instructions" },
	{ "start_dma", "assumed" },
	{ "vec_x100", "fitted" },
	{ "lut_x100", "assumed: as vec" },
	{ "copy_x100", "assumed: twice vec" },
	{ "dma_bytes_x100", "fitted" },
	{ "int16", "public: no int16 arithmetic; rows of the plugin list carry it" },
	{ NULL, NULL },
};

#define ROW(op, in, out) { op, true, false, in, out, X3 }
#define CPU_FIRST(op, in, out) { op, true, true, in, out, X3 }
#define BY_PLUGIN(op, in, out) { op, true, false, in, out, PLUGIN }

static const hb_march_op ops[] = {
	ROW("Add", I8_16, I8_16),
	ROW("ArgMax", I8, I32),
	ROW("AveragePool", I8, I8_32),
	ROW("BatchNormalization", I8, I8),
	BY_PLUGIN("ChannelShuffle", I8, I8),
	ROW("Clip", I8, I8),
	ROW("Concat", I8_16, I8_16),
	ROW("Conv", I8, I8_32),
	ROW("ConvTranspose", I8, I8_32),
	ROW("Cos", I8, I8),
	ROW("DepthToSpace", I8_16, I8_16),
	ROW("Div", I8, I8),
	ROW("Dropout", I8_16_32, I8_16_32),
	ROW("Exp", I8, I8),
	BY_PLUGIN("Flatten", I8_16, I8_16),
	BY_PLUGIN("Gather", I8_16_32, I8_16_32),
	BY_PLUGIN("Gelu", I8, I8),
	ROW("Gemm", I8, I8_32),
	ROW("GlobalAveragePool", I8, I8_32),
	ROW("GlobalMaxPool", I8, I8),
	BY_PLUGIN("Identity", I8_16_32, I8_16_32),
	ROW("LeakyRelu", I8, I8),
	ROW("LSTM", I8, I8),
	ROW("MatMul", I8, I8_32),
	ROW("MaxPool", I8, I8),
	{ "Mish", true, false, I8, I8, "one lookup of its parts" },
	ROW("Mul", I8_16, I8_16),
	ROW("Pad", I8, I8),
	ROW("Pow", I8, I8),
	ROW("PRelu", I8, I8),
	ROW("Reciprocal", I8, I8),
	BY_PLUGIN("ReduceMax", I8, I8),
	ROW("ReduceMean", I8_16, I8_16),
	BY_PLUGIN("ReduceSum", I8, I8_32),
	ROW("Relu", I8, I8),
	BY_PLUGIN("Reshape", I8_16, I8_16),
	ROW("Resize", I8, I8),
	BY_PLUGIN("RoiAlign", I8, I8),
	ROW("Sigmoid", I8, I8),
	ROW("Sin", I8, I8),
	ROW("Slice", I8_16_32, I8_16_32),
	CPU_FIRST("Softmax", I8, I8),
	ROW("Softplus", I8, I8),
	ROW("SpaceToDepth", I8_16, I8_16),
	ROW("Split", I8_16, I8_16),
	ROW("Sqrt", I8, I8),
	BY_PLUGIN("Squeeze", I8_16, I8_16),
	BY_PLUGIN("Sub", I8_16, I8_16),
	ROW("Sum", I8_16, I8_16),
	BY_PLUGIN("Swish", I8, I8),
	ROW("Tanh", I8, I8),
	BY_PLUGIN("Unsqueeze", I8_16, I8_16),
	ROW("Upsample", I8, I8),
	BY_PLUGIN("horizon::AnchorGenerator", I8_16_32, HB_BIT(HB_F32)),
	BY_PLUGIN("horizon::DetectionPostProcessV1", I8, I8),
	BY_PLUGIN("horizon::MultiScaleRoIAlign", I8, I8),
	{ NULL, false, false, 0, 0, NULL },
};

#define RULE(op, text) { op, text, NULL, X3, NULL, false }
#define NOTED(op, text, note) { op, text, note, X3, NULL, false }
#define ADVISED(op, text, note, advice) { op, text, note, X3, advice, false }
#define FROM_PLUGIN(op, text, note) { op, text, note, PLUGIN, NULL, false }
#define RANK4(op) NOTED(op, "rank <= 4", "four dimensions, lower ranks with leading ones")
/* Lookups hold a whole map in one of two layouts. */
#define LOOKUP(op)                                                                 \
	RANK4(op), RULE(op, "N == 1"),                                             \
	ADVISED(op, "C * H * W <= 8192", "lookup", "use Relu or Clip 0..6, or a smaller map")
#define LOOKUP_TILED(op)                                                           \
	RANK4(op), RULE(op, "N == 1"),                                             \
	ADVISED(op, "min(ceil_to(W, 8) * ceil_to(C, 4) * H, ceil_to(C, 32) * H * W) <= 8192", "lookup, in the better layout", \
		"use Relu or Clip 0..6, or a smaller map")
#define RESHAPE(op)                                                                \
	FROM_PLUGIN(op, "hw_only == 1 || absorbed == 1", "within height and width, or into a Gemm")
#define PAIRWISE(op)                                                                                                   \
	RANK4(op), RULE(op, "C <= 2048"), NOTED(op, "N == 1", NULL),                                                   \
	NOTED(op, "equal_shapes == 1 || nc11 == 1 || scalar == 1", "1CHW with 1CHW, 1C11 or 1111"),                    \
	NOTED(op, "zero_values == 0", "a constant operand has no zeros")
#define RESIZE(op)                                                                                                     \
	RANK4(op),                                                                                                     \
	NOTED(op, "ON == N && OC == C", "height and width only"),                                                      \
	RULE(op, "mode in {nearest, linear}"),                                                                         \
	NOTED(op, "mode == nearest => (OH % H == 0 || H % OH == 0) && pow2(max(OH / H, H / OH))",                      \
	      "the factor in height is a power of 2"),                                                                 \
	NOTED(op, "mode == nearest => (OW % W == 0 || W % OW == 0) && pow2(max(OW / W, W / OW))",                      \
	      "the factor in width is a power of 2"),                                                                  \
	NOTED(op, "mode == nearest => OH * W <= OW * H", "factor in height at most that in width"),                    \
	{ op, "256 * OH > H && OH <= 256 * H && 256 * OW > W && OW <= 256 * W", "1/256 < scale <= 256", PLUGIN, NULL, true }

static const hb_rule rules[] = {
	NOTED("model", "model_outputs <= 32", "outputs of a model"),
	{ "*", "type in {float32, bool}", "integers of a model are counted by the CPU", "hbcc", NULL, false },
	RULE("*", "mindim >= 1"),
	NOTED("*", "N <= 128", "batch"),

	RANK4("Add"), RULE("Add", "C <= 2048"),
	NOTED("Add", "equal_shapes == 1 || nc11 == 1 && nconst == 0", "NCHW with NCHW, or with a computed NC11"),
	RANK4("Sum"), RULE("Sum", "C <= 2048"),
	NOTED("Sum", "equal_shapes == 1 || nc11 == 1 && nconst == 0", "NCHW with NCHW, or with a computed NC11"),
	FROM_PLUGIN("Sub", "rank <= 4", "four dimensions, lower ranks with leading ones"),
	FROM_PLUGIN("Sub", "C <= 2048", NULL),
	PAIRWISE("Mul"), PAIRWISE("Div"), ADVISED("Div", "nconst == 0", "no operand is constant", "multiply by the reciprocal"),
	{ "Mul", "nconst == 0", "no operand is constant", PLUGIN, NULL, true },

	RANK4("ArgMax"), NOTED("ArgMax", "axis == 1", "over channels"), RULE("ArgMax", "C <= 64"),
	{ "ArgMax", "index_only_output == 1", "an index is a model output only", PLUGIN, NULL, true },
	RANK4("AveragePool"), RULE("AveragePool", "kh in 1..7 && kw in 1..7"), RULE("AveragePool", "sh in 1..185 && sw in 1..185"),
	RANK4("MaxPool"), RULE("MaxPool", "kh in 1..64 && kw in 1..64"), RULE("MaxPool", "sh in 1..185 && sw in 1..185"),
	RULE("MaxPool", "minpad >= 0"), RULE("MaxPool", "dh == 1 && dw == 1"),
	RANK4("GlobalAveragePool"), RULE("GlobalAveragePool", "H * W <= 8192"),
	RANK4("GlobalMaxPool"), RULE("GlobalMaxPool", "H in 1..1024 && W in 1..1024"),
	ADVISED("BatchNormalization", "fused == 1", "only fused into the convolution before it",
		"place it behind a convolution that nothing else reads"),
	ADVISED("Relu", "fused == 1", "only fused into the convolution before it",
		"place it behind a convolution that nothing else reads"),
	RANK4("Clip"), RANK4("Concat"), RULE("Concat", "C <= 2048 && OC <= 2048"),
	RANK4("LeakyRelu"), RANK4("PRelu"), RANK4("Exp"), RANK4("Reciprocal"), RANK4("Gelu"),

	RANK4("Conv"),
	ADVISED("Conv", "kh in 1..7 && kw in 1..7", NULL, "split the kernel into convolutions of at most 7x7, or use a smaller one"),
	NOTED("Conv", "Cg <= 2048 || Cg <= 4096 && group == 1 && dh == 1 && dw == 1 && depthwise == 0",
	      "input channels of a group; 4096 where plain"),
	NOTED("Conv", "sumin => sh in {1, 2} && sw in {1, 2}", "an addition is fused"),
	NOTED("Conv", "pow2(dh) && pow2(dw)", "dilation is a power of 2"),
	NOTED("Conv", "dh > 1 || dw > 1 => dh % sh == 0 && dw % sw == 0", "stride divides dilation"),
	RULE("Conv", "dh <= dw"),
	NOTED("Conv", "kh * kw * Kc <= 32768", "weights of one output channel"),
	{ "Conv", "dh > 1 || dw > 1 => sh == 1 && sw == 1", "a dilated convolution has stride 1", PLUGIN, NULL, true },
	{ "Conv", "dh in {1, 2, 4} && dw in {1, 2, 4}", NULL, PLUGIN, NULL, true },
	{ "Conv", "Cg <= 2048", "input channels of a group", PLUGIN, NULL, true },

	RANK4("ConvTranspose"),
	RULE("ConvTranspose", "kh in 2..14 && kw in 2..14"),
	RULE("ConvTranspose", "C <= 2048 && OC <= 2048"),
	RULE("ConvTranspose", "ph in 0..(kh - 1) / 2 && pw in 0..(kw - 1) / 2"),
	RULE("ConvTranspose", "sh in {2, 4} && sw in {2, 4}"),
	RULE("ConvTranspose", "sh <= sw"),
	RULE("ConvTranspose", "dh == 1 && dw == 1"),

	LOOKUP("Cos"), LOOKUP("Sin"), LOOKUP("Softplus"), LOOKUP("Sqrt"), LOOKUP("Tanh"), LOOKUP("Mish"),
	LOOKUP_TILED("Sigmoid"), LOOKUP_TILED("Swish"),
	RANK4("Pow"), NOTED("Pow", "elems1 == 1", "exponent is a single value"),

	RANK4("DepthToSpace"), RULE("DepthToSpace", "mode in {DCR, CRD}"), RULE("DepthToSpace", "blocksize == 2"),
	RANK4("SpaceToDepth"), RULE("SpaceToDepth", "blocksize == 2"),
	FROM_PLUGIN("Gather", "index_const == 1", "an index known at compile time"),
	FROM_PLUGIN("Gather", "ranks <= 4", NULL),

	NOTED("Gemm", "H == 1 && W == 1 => C <= 16384", "channels of a map of one element"),
	NOTED("Gemm", "H > 1 || W > 1 => C <= 2048", "channels of the map that was flattened"),
	NOTED("Gemm", "H <= 7 && W <= 7 && (H > 1 || W > 1) => H * W * C <= 32768", "weights of one output"),
	NOTED("Gemm", "model_output == 0 => H * W * C <= 32768", "int8 output"),
	NOTED("Gemm", "model_output == 1 => H * W * C < 65536", "int32 output"),
	RANK4("MatMul"), NOTED("MatMul", "rank1 <= 4", NULL),
	NOTED("MatMul", "batch1 == 1", "one second matrix: 1BMK with 11KN"),
	NOTED("MatMul", "N == 1", "one second matrix: 1BMK with 11KN"),

	NOTED("LSTM", "N == 1", "batch"),
	RANK4("Pad"), RULE("Pad", "mode == constant"), NOTED("Pad", "pad_hw == 1", "height and width only"),
	FROM_PLUGIN("ReduceMax", "model_output == 1", "only as a model output"),
	FROM_PLUGIN("ReduceMax", "axis == 1 && naxes == 1", "over channels"),
	FROM_PLUGIN("ReduceMax", "rank <= 4", NULL),
	RANK4("ReduceMean"), NOTED("ReduceMean", "axes_hw == 1", "height and width"),
	{ "ReduceMean", "naxes == 1 && axis == 1", "over channels only", PLUGIN, NULL, true },
	FROM_PLUGIN("ReduceSum", "axes_nc == 1", "sum over N and C only"),
	FROM_PLUGIN("ReduceSum", "rank <= 4", NULL),
	RESHAPE("Reshape"), RESHAPE("Flatten"), RESHAPE("Squeeze"), RESHAPE("Unsqueeze"),
	RULE("Resize", "coord in {half_pixel, pytorch_half_pixel, asymmetric, align_corners, tf_crop_and_resize}"),
	NOTED("Resize", "roi_whole == 1", "a crop's box lies on whole elements, in height and width only"),
	RESIZE("Resize"), RESIZE("Upsample"),
	FROM_PLUGIN("RoiAlign", "rank_boxes <= 3", "boxes of 1, number, 4"),
	FROM_PLUGIN("horizon::MultiScaleRoIAlign", "nin in 2..6", "one to five feature maps and the boxes"),
	RANK4("Slice"),
	RANK4("Softmax"), NOTED("Softmax", "axis == 1", "over channels"),
	NOTED("Softmax", "model_output == 1", "only as a model output"),
	RANK4("Split"), RULE("Split", "axis in {1, 2, 3}"), NOTED("Split", "equal_parts == 1", "parts of one size"),
	{ NULL, NULL, NULL, NULL, NULL, false },
};

static const char *const cpu_ops[] = {
#define CPU_LISTS
#define CPU_ALL(op) op,
#define CPU_NEW(op)
#define CPU_X3(op) op,
#define CPU_X5(op)
#include "march/cpu.def"
	NULL,
};

static const hb_rule cpu_rules[] = {
#define CPU_RULES
#define CPU_RULE_ALL(op, text, note) { op, text, note, X3, NULL, false },
#define CPU_RULE_OLD(op, text, note) { op, text, note, X3, NULL, false },
#define CPU_RULE_NEW(op, text, note)
#define CPU_RULE_X3(op, text, note) { op, text, note, X3, NULL, false },
#define CPU_RULE_X5(op, text, note)
#include "march/cpu.def"
	{ NULL, NULL, NULL, NULL, NULL, false },
};

const hb_march hb_march_bernoulli2 = {
	.name = "bernoulli2",
	.title = "X3, Journey 3: int8 activations",
	.fig = {
		.name = "bernoulli2", .cores = 2, .clock_ghz = 1.0, .sram_bytes = 1300 * 1024,
		.c_align = 16, .granule = 64,
		.mac_h = 1, .mac_w = 8, .mac_c = 4, .mac_n = 8, .macs_per_cycle = 256,
		.k0_percent = 12, .dw_h = 1, .dw_w = 16, .dw_c = 16, .dw_macs_per_cycle = 311,
		.start_mac = 160, .start_vec = 250, .start_dma = 64,
		.vec_x100 = 370, .lut_x100 = 370, .copy_x100 = 740, .dma_bytes_x100 = 800,
		.int16 = false,
	},
	.figure_sources = figure_sources,
	.ops = ops,
	.rules = rules,
	.cpu_rules = cpu_rules,
	.cpu_ops = cpu_ops,
	.list = X3,
};
