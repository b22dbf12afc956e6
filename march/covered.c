/* covered.c: what a march does with each operator of the plugin's list, as tests found it. */
#include "march/march.h"

static const hb_covered table[] = {
#define HB_COVERED(row, onnx, bernoulli2, bayes, bayes_e) { row, onnx, { bernoulli2, bayes, bayes_e } },
#include "march/covered.def"
	{ NULL, NULL, { NULL } },
};

const hb_covered *hb_march_covered(size_t i)
{
	return i < HB_LEN(table) && table[i].row ? &table[i] : NULL;
}

const char *hb_march_covered_on(const hb_march *m, const hb_covered *c)
{
	static const char *const marches[] = { "bernoulli2", "bayes", "bayes-e" };
	const char *name = strcmp(m->name, "meta") ? m->name : "bayes";	/* meta's tables are bayes' */
	for (size_t i = 0; i < HB_LEN(marches); i++)
		if (!strcmp(name, marches[i]))
			return c->on[i];
	return NULL;
}
