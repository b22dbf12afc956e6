/* meta.c: nothing is public of meta but its name: bayes' rules and figures, and every report says so. */
#include "march/bayes.h"

const hb_march hb_march_meta = {
	.name = "meta",
	.title = "no public figures or limits: those of bayes",
	.fig = HB_BAYES_FIGURES("meta"),
	.figure_sources = hb_bayes_figure_sources,
	.ops = hb_bayes_ops,
	.rules = hb_bayes_rules,
	.cpu_rules = hb_bayes_cpu_rules,
	.note = "nothing but the name of meta is public: the rules and figures are those of bayes (assumed)",
	.cpu_ops = hb_bayes_cpu_ops,
	.list = HB_BAYES_LIST,
	.dilated_int8 = true,
};
