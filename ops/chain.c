/* chain.c: a chain group as one function, evaluated in double (SEMANTICS 5, lookup). */
#include "ops/fx.h"

#include <math.h>

enum { CHAIN_MAX = 32 };	/* lib/pass/fuse.c makes none longer, and reads its scalars' data */

static double
add(double a, double b)
{
	return a + b;
}

static double
sub(double a, double b)
{
	return a - b;
}

static double
mul(double a, double b)
{
	return a * b;
}

static double
divide(double a, double b)
{
	return a / b;
}

static const struct {
	const char *op;
	double (*f)(double a, double b);
} binaries[] = {
	{ "Add", add }, { "Sub", sub }, { "Mul", mul }, { "Div", divide }, { "Max", fmax }, { "Min", fmin }, { "Pow", pow },
};

static double
binary(const hb_node *n, double a, double b)
{
	for (size_t i = 0; i < HB_LEN(binaries); i++) {
		if (!strcmp(binaries[i].op, n->op_type))
			return binaries[i].f(a, b);
	}
	return NAN;
}

double
hb_chain_eval(const hb_group *g, double x)
{
	const hb_tensor *known[CHAIN_MAX] = { g->chain_in };
	double value[CHAIN_MAX] = { x };
	int count = 1;
	for (const hb_node *n = g->root; n; n = n->next) {
		if (n->group != g)
			continue;
		double v[2] = { 0, 0 };
		for (int i = 0; i < n->nin && i < 2; i++) {
			if (n->in[i] && n->in[i]->is_const && !n->op->lut)
				v[i] = *(const float *)n->in[i]->data;
			for (int k = 0; k < count; k++)
				v[i] = n->in[i] == known[k] ? value[k] : v[i];
		}
		double y = n->op->lut ? n->op->lut(n, v[0]) : binary(n, v[0], v[1]);
		if (n == g->last || count == CHAIN_MAX)
			return y;
		known[count] = n->out[0];
		value[count++] = y;
	}
	return NAN;
}
