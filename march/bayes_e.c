/* bayes_e.c: RDK X5. Operators and limits: the RDK X5 list; what only the plugin list supports:
 * its bayes rows. Figures: fits to published times. */
#include "march/tables.h"

#define X5 "RDK X5 list"

static const hb_figure_source figure_sources[] = {
	{ "cores", "public: one BPU core" },
	{ "clock_ghz", "public: 0.5 to 1.0" },
	{ "sram_bytes", "fitted: pinned by times and by published DDR bytes" },
	{ "c_align", "assumed" },
	{ "granule", "assumed" },
	{ "mac_h", "fitted: chosen among tiles" },
	{ "mac_w", "fitted: chosen among tiles" },
	{ "mac_c", "fitted: chosen among tiles" },
	{ "mac_n", "fitted: chosen among tiles" },
	{ "macs_per_cycle", "fitted: inferred from published rates" },
	{ "k0_percent", "fitted" },
	{ "dw_h", "assumed" },
	{ "dw_w", "assumed" },
	{ "dw_c", "fitted: chosen" },
	{ "dw_macs_per_cycle", "fitted" },
	{ "start_mac", "fitted: 270 cycles a layer, over four instructions" },
	{ "start_vec", "fitted: 12100 cycles an operator, over eight instructions" },
	{ "start_dma", "assumed" },
	{ "vec_x100", "fitted" },
	{ "lut_x100", "fitted" },
	{ "copy_x100", "fitted" },
	{ "dma_bytes_x100", "fitted" },
	{ "int16", "public" },
	{ NULL, NULL },
};

#define LIST X5
#define IF_ULTRA(...)
#define IF_X5(...) __VA_ARGS__

static const hb_march_op ops[] = {
#define BAYES_OPS
#include "march/bayes.def"
	{ NULL, false, false, 0, 0, NULL },
};

static const hb_rule rules[] = {
#define BAYES_RULES
#include "march/bayes.def"
	{ NULL, NULL, NULL, NULL, NULL, false },
};

static const char *const cpu_ops[] = {
#define CPU_LISTS
#define CPU_ALL(op) op,
#define CPU_NEW(op) op,
#define CPU_X3(op)
#define CPU_X5(op) op,
#include "march/cpu.def"
	NULL,
};

static const hb_rule cpu_rules[] = {
#define CPU_RULES
#define CPU_RULE_ALL(op, text, note) { op, text, note, X5, NULL, false },
#define CPU_RULE_OLD(op, text, note)
#define CPU_RULE_NEW(op, text, note) { op, text, note, X5, NULL, false },
#define CPU_RULE_X3(op, text, note)
#define CPU_RULE_X5(op, text, note) { op, text, note, X5, NULL, false },
#include "march/cpu.def"
	{ NULL, NULL, NULL, NULL, NULL, false },
};

const hb_march hb_march_bayes_e = {
	.name = "bayes-e",
	.title = "RDK X5: int8 and int16 activations",
	.fig = {
		.name = "bayes-e", .cores = 1, .clock_ghz = 1.0, .sram_bytes = 1536 * 1024,
		.c_align = 16, .granule = 64,
		.mac_h = 2, .mac_w = 2, .mac_c = 8, .mac_n = 32, .macs_per_cycle = 2048,
		.k0_percent = 66, .dw_h = 1, .dw_w = 1, .dw_c = 16, .dw_macs_per_cycle = 710,
		.start_mac = 68, .start_vec = 1512, .start_dma = 64,
		.vec_x100 = 940, .lut_x100 = 2700, .copy_x100 = 1350, .dma_bytes_x100 = 770,
		.int16 = true,
	},
	.figure_sources = figure_sources,
	.ops = ops,
	.rules = rules,
	.cpu_rules = cpu_rules,
	.cpu_ops = cpu_ops,
	.list = X5,
	.dilated_int8 = true,
};
