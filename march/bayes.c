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

#define LIST ULTRA
#define IF_ULTRA(...) __VA_ARGS__
#define IF_X5(...)

const hb_march_op hb_bayes_ops[] = {
#define BAYES_OPS
#include "march/bayes.def"
	{ NULL, false, false, 0, 0, NULL },
};

const hb_rule hb_bayes_rules[] = {
#define BAYES_RULES
#include "march/bayes.def"
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
