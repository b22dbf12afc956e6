/* The march files against the public lists (in HBCC_SHARED): every operator that a list puts on the BPU has
 * a row with its types, every CPU kernel is known, and nothing else is on the BPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "march/march.h"

enum { FIELDS = 16, LINE = 8192 };

struct list {
	FILE *f;
	char line[LINE];
	char *field[FIELDS];
	int n;
};

static bool open_list(struct list *l, const char *name)
{
	const char *dir = getenv("HBCC_SHARED");
	char path[1024];
	if (!dir)
		return false;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	l->f = fopen(path, "r");
	return l->f && fgets(l->line, sizeof(l->line), l->f);
}

/* The next line's fields, quotes removed; false at the end. */
static bool next(struct list *l)
{
	if (!fgets(l->line, sizeof(l->line), l->f)) {
		fclose(l->f);
		return false;
	}
	char *to = l->line;
	bool quoted = false;
	l->n = 0;
	l->field[l->n++] = to;
	for (const char *p = l->line; *p && *p != '\n' && *p != '\r'; p++) {
		if (*p == '"') {
			quoted = !quoted;
		} else if (*p == ',' && !quoted) {
			*to++ = 0;
			assert_true(l->n < FIELDS);
			l->field[l->n++] = to;
		} else {
			*to++ = *p;
		}
	}
	*to = 0;
	return true;
}

/* Operators that never stand by themselves: folded or removed before placement. */
static bool folded(const char *op)
{
	static const char *const ops[] = { "Constant", "ConstantOfShape", "Shape", "Size", "Dropout" };
	for (size_t i = 0; i < HB_LEN(ops); i++)
		if (!strcmp(op, ops[i]))
			return true;
	return false;
}

/* The types that a cell of onnx_ops.csv names. */
static uint32_t types_of(const char *cell)
{
	uint32_t t = strstr(cell, "bool") ? HB_BIT(HB_BOOL) : 0;
	if (!strncmp(cell, "int8", 4) || strstr(cell, "|int8"))
		t |= HB_BIT(HB_I8);
	t |= strstr(cell, "int16") ? HB_BIT(HB_I16) : 0;
	t |= strstr(cell, "int32") ? HB_BIT(HB_I32) : 0;
	return t;
}

static void the_onnx_list_is_kept(void **state)
{
	(void)state;
	struct list l;
	if (!open_list(&l, "onnx_ops.csv"))
		skip();
	size_t rows = 0;
	while (next(&l)) {
		const char *op = l.field[0], *where = l.field[2];
		const hb_march *m = hb_march_find(l.field[1]);
		if (!m || !strcmp(op, "*") || !strcmp(m->name, "meta"))
			continue;
		rows++;
		const hb_march_op *row = hb_march_op_of(m, op);
		if (!strcmp(where, "cpu")) {
			if (!hb_march_has_cpu(m, op))
				fail_msg("%s: no CPU kernel of %s", m->name, op);
		} else if (!strcmp(where, "none")) {
			if (hb_march_has_cpu(m, op) || (row && row->bpu && strcmp(op, "GridSample")))
				fail_msg("%s: %s is not integrated", m->name, op);
		} else if (!folded(op)) {
			if (!row || !row->bpu)
				fail_msg("%s: %s is not on the BPU", m->name, op);
			if (types_of(l.field[3]) & ~row->in_types)
				fail_msg("%s: %s takes %s", m->name, op, l.field[3]);
			/* An index is int32, whatever the list says of the values beside it. */
			if (strncmp(op, "Arg", 3) && types_of(l.field[4]) & ~row->out_types)
				fail_msg("%s: %s yields %s", m->name, op, l.field[4]);
			if (strstr(l.field[5], "default_cpu") && !row->default_cpu)
				fail_msg("%s: %s is on the CPU by default", m->name, op);
		}
	}
	print_message("%zu rows\n", rows);
	assert_int_equal(rows, 666);
}

/* Is `word` one of the operators in a cell such as "Resize, Upsample"? */
static bool names(const char *cell, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = strstr(cell, word); p; p = strstr(p + 1, word)) {
		bool before = p == cell || p[-1] == ' ' || p[-1] == ',' || p[-1] == '(';
		if (before && strchr(" ,-)", p[n]))
			return true;
	}
	return false;
}

/* Composites that torch's list has, by the operators that exporters write for them. */
static bool decomposed(const char *op)
{
	static const char *const ops[] = { "torch.nn.MultiheadAttention", "torch.nn.GLU", "torch.nn.SiLU",
					   "torch.nn.ChannelShuffle", "torch.quantization.QuantStub",
					   "torch.quantization.DeQuantStub", "torch.nn.GELU", "torch.nn.Dropout",
					   "torch.nn.Dropout2d", "torch.nn.Identity" };
	for (size_t i = 0; i < HB_LEN(ops); i++)
		if (!strcmp(op, ops[i]))
			return true;
	return false;
}

/* The column of the plugin's list that says what a march has. */
static const struct {
	const char *march;
	int col;
} marches[] = { { "bernoulli2", 3 }, { "bayes", 7 }, { "bayes-e", 7 }, { "meta", 7 } };

static void the_plugin_list_is_kept(void **state)
{
	(void)state;
	struct list l;
	if (!open_list(&l, "operators.csv"))
		skip();
	size_t rows = 0;
	while (next(&l)) {
		rows++;
		for (size_t i = 0; i < HB_LEN(marches); i++) {
			const hb_march *m = hb_march_find(marches[i].march);
			const char *says = l.field[marches[i].col], *types = l.field[marches[i].col + 1];
			bool yes = !strcmp(says, "yes") || !strcmp(says, "lut"), any = false, int16 = false;
			for (const hb_march_op *r = m->ops; r->op; r++)
				if (r->bpu && names(l.field[2], r->op)) {
					any = true;
					int16 = int16 || r->in_types & HB_BIT(HB_I16);
				}
			if (yes && !any && !decomposed(l.field[0]))
				fail_msg("%s: %s (%s) is not on the BPU", m->name, l.field[0], l.field[2]);
			if (yes && any && strstr(types, "qint16") && !int16 && !decomposed(l.field[0]))
				fail_msg("%s: %s takes %s", m->name, l.field[0], types);
			if (!strcmp(says, "cpu") && !hb_march_has_cpu(m, l.field[2]))
				fail_msg("%s: no CPU kernel of %s", m->name, l.field[2]);
		}
	}
	print_message("%zu rows\n", rows);
	assert_int_equal(rows, 132);
}

/* Rows that the plugin's list supports and the ONNX list, which holds, does not in that form. */
static bool narrower_by_onnx(const char *march, const char *row)
{
	static const struct {
		const char *march, *row;
	} list[] = {
		{ "*", "torch.nn.ReplicationPad2d" },		/* Pad: mode constant only */
		{ "bernoulli2", "torch.mean" },			/* ReduceMean: height and width only */
		{ "bernoulli2", "torch.nn.BatchNorm3d" },	/* fused into a convolution, which has four dimensions */
		{ "bernoulli2", "torch.matmul" },		/* one second matrix only */
	};
	for (size_t i = 0; i < HB_LEN(list); i++)
		if (!strcmp(list[i].row, row) && (*list[i].march == '*' || !strcmp(list[i].march, march)))
			return true;
	return false;
}

/* The table of what models of the rows are placed as: what the list has on the BPU is there, can be asked there, or hbcc
 * says that it has no fixed-point form. */
static void what_the_plugin_list_has_is_placed_so(void **state)
{
	(void)state;
	struct list l;
	if (!open_list(&l, "operators.csv"))
		skip();
	size_t rows = 0;
	for (; next(&l); rows++) {
		const hb_covered *c = hb_march_covered(rows);
		assert_non_null(c);
		assert_string_equal(c->row, l.field[0]);
		for (size_t i = 0; i < HB_LEN(marches); i++) {
			const char *says = l.field[marches[i].col], *on = hb_march_covered_on(hb_march_find(marches[i].march), c);
			bool bpu = strstr(on, "BPU") || strstr(on, "removed"), no_form = strstr(on, "no fixed-point form");
			if ((!strcmp(says, "yes") || !strcmp(says, "lut")) && !bpu && !no_form && !narrower_by_onnx(marches[i].march, c->row))
				fail_msg("%s: the list has %s on the BPU; it is placed: %s", marches[i].march, c->row, on);
			if (!strcmp(says, "cpu") && strncmp(on, "CPU", 3))
				fail_msg("%s: the list has %s on the CPU; it is placed: %s", marches[i].march, c->row, on);
		}
	}
	assert_int_equal(rows, 132);
	assert_null(hb_march_covered(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_onnx_list_is_kept),
		cmocka_unit_test(the_plugin_list_is_kept),
		cmocka_unit_test(what_the_plugin_list_has_is_placed_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
