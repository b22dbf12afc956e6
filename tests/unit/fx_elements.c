/* fx_elements: element-wise operators and lookups of the lists, in fixed point against double. */
#include "tests/fx_table.h"

static hb_tensor *
input(hb_graph *g)
{
	return test_input(g, "x", test_shape(4, 1, 6, 13, 17));
}

#define ONE(id, op, since) static hb_tensor *build_##id(hb_graph *g) { return fx_since(test_node(g, op, "y", input(g), NULL, NULL, NULL), since); }
#define UNARY(id, op, since, formula)                     \
	ONE(id, op, since)                              \
	static double                                   \
	of_##id(double x, double b, double c)           \
	{                                               \
		(void)b;                                \
		(void)c;                                \
		return formula;                         \
	}

static double
sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

UNARY(abs, "Abs", 13, fabs(x))
UNARY(acos, "Acos", 13, acos(x))
UNARY(acosh, "Acosh", 13, acosh(x))
UNARY(asin, "Asin", 13, asin(x))
UNARY(asinh, "Asinh", 13, asinh(x))
UNARY(atan, "Atan", 13, atan(x))
UNARY(atanh, "Atanh", 13, atanh(x))
UNARY(ceil, "Ceil", 13, ceil(x))
UNARY(cos, "Cos", 13, cos(x))
UNARY(cosh, "Cosh", 13, cosh(x))
UNARY(elu, "Elu", 13, x < 0 ? expm1(x) : x)
UNARY(erf, "Erf", 13, erf(x))
UNARY(exp, "Exp", 13, exp(x))
UNARY(floor, "Floor", 13, floor(x))
UNARY(gelu, "Gelu", 20, 0.5 * x * (1 + erf(x / sqrt(2))))
UNARY(hard_sigmoid, "HardSigmoid", 13, fmin(fmax((double)0.2f * x + 0.5, 0), 1))
UNARY(leaky_relu, "LeakyRelu", 13, x < 0 ? (double)0.01f * x : x)
UNARY(log, "Log", 13, log(x))
UNARY(reciprocal, "Reciprocal", 13, 1 / x)
UNARY(relu, "Relu", 13, fmax(x, 0))
UNARY(selu, "Selu", 13, 1.05070098735548049342 * (x < 0 ? 1.67326324235437728481 * expm1(x) : x))
UNARY(sigmoid, "Sigmoid", 13, sigmoid(x))
UNARY(silu, "Swish", 24, x * sigmoid(x))
UNARY(mish, "Mish", 18, x * tanh(log1p(exp(x))))
UNARY(sin, "Sin", 13, sin(x))
UNARY(sinh, "Sinh", 13, sinh(x))
UNARY(softplus, "Softplus", 13, log1p(exp(x)))
UNARY(sqrt, "Sqrt", 13, sqrt(x))
UNARY(tan, "Tan", 13, tan(x))
UNARY(tanh, "Tanh", 13, tanh(x))
UNARY(neg, "Neg", 13, -x)

/* x * sigmoid(x) of three nodes: one lookup */
static hb_tensor *
build_silu_of_parts(hb_graph *g)
{
	hb_tensor *x = input(g);

	return test_node(g, "Mul", "y", x, test_node(g, "Sigmoid", "s", x, NULL, NULL, NULL), NULL, NULL);
}

#define of_silu_of_parts of_silu

static hb_tensor *
clip(hb_graph *g, float lo, float hi)
{
	return test_node(g, "Clip", "y", input(g), test_const(g, "lo", test_shape(0), &lo), test_const(g, "hi", test_shape(0), &hi), NULL);
}

static hb_tensor *
build_clamp(hb_graph *g)
{
	return clip(g, -0.43f, 0.71f);
}

static double
of_clamp(double x, double b, double c)
{
	(void)b;
	(void)c;
	return fmin(fmax(x, (double)-0.43f), (double)0.71f);
}

static hb_tensor *
build_relu6(hb_graph *g)
{
	return clip(g, 0, 6);
}

static double
of_relu6(double x, double b, double c)
{
	(void)b;
	(void)c;
	return fmin(fmax(x, 0), 6);
}

static hb_tensor *
power(hb_graph *g, float e)
{
	return test_node(g, "Pow", "y", input(g), test_const(g, "e", test_shape(0), &e), NULL, NULL);
}

#define POW(id, e)                                      \
	static hb_tensor *                              \
	build_##id(hb_graph *g)                         \
	{                                               \
		return power(g, e);                     \
	}                                               \
	static double                                   \
	of_##id(double x, double b, double c)           \
	{                                               \
		(void)b;                                \
		(void)c;                                \
		return pow(x, (double)(e));             \
	}
POW(square, 2.0f)
POW(root, 0.5f)
POW(power, 1.7f)
POW(inverse_square, -2.0f)

/* ---- two and three operands ---- */

static hb_tensor *
pair_of(hb_graph *g, const char *op)
{
	hb_tensor *a = input(g);

	return test_node(g, op, "y", a, test_input(g, "x2", test_shape(3, 6, 1, 17)), NULL, NULL);
}

static hb_tensor *
with_constant(hb_graph *g, const char *op)
{
	return test_node(g, op, "y", input(g), fx_const(g, "c", test_shape(3, 6, 1, 1), 1.3, 0), NULL, NULL);
}

static hb_tensor *
with_scalar(hb_graph *g, const char *op)
{
	static const float v = 0.83f;

	return test_node(g, op, "y", input(g), test_const(g, "c", test_shape(0), &v), NULL, NULL);
}

#define BINARY(id, op, formula)                                                                         \
	static hb_tensor *build_##id(hb_graph *g) { return pair_of(g, op); }                            \
	static hb_tensor *build_##id##_constant(hb_graph *g) { return with_constant(g, op); }           \
	static hb_tensor *build_##id##_scalar(hb_graph *g) { return with_scalar(g, op); }               \
	static double                                                                                   \
	of_##id(double a, double b, double c)                                                           \
	{                                                                                               \
		(void)c;                                                                                \
		return formula;                                                                         \
	}
BINARY(add, "Add", a + b)
BINARY(sub, "Sub", a - b)
BINARY(mul, "Mul", a * b)
BINARY(div, "Div", b == 0 ? (a > 0 ? INFINITY : a < 0 ? -INFINITY : 0) : a / b)
BINARY(maximum, "Max", fmax(a, b))
BINARY(minimum, "Min", fmin(a, b))

static hb_tensor *
build_sum_of_three(hb_graph *g)
{
	hb_tensor *a = input(g), *b = test_input(g, "x2", test_shape(2, 13, 17));

	return test_node(g, "Sum", "y", a, b, test_input(g, "x3", test_shape(1, 1)), NULL);
}

static double
of_sum_of_three(double a, double b, double c)
{
	return a + b + c;
}

/* Comparisons: the finer operand rounds to the coarser scale first, so the inputs share one. */
#define COMPARISON(id, op, since, formula)                                                              \
	static hb_tensor *build_##id(hb_graph *g)                                                       \
	{                                                                                               \
		return fx_since(pair_of(g, op), since);                                                 \
	}                                                                                               \
	static double                                                                                   \
	of_##id(double a, double b, double c)                                                           \
	{                                                                                               \
		(void)c;                                                                                \
		return formula;                                                                         \
	}
COMPARISON(equal, "Equal", 13, a == b)
COMPARISON(less, "Less", 13, a < b)
COMPARISON(less_or_equal, "LessOrEqual", 16, a <= b)
COMPARISON(greater, "Greater", 13, a > b)
COMPARISON(greater_or_equal, "GreaterOrEqual", 16, a >= b)

static hb_tensor *
build_masked_fill(hb_graph *g)
{
	static const float v = -1.5f;
	hb_shape s = test_shape(4, 1, 1, 13, 17);
	hb_tensor *mask = test_input(g, "m", s), *fill = test_const(g, "v", test_shape(0), &v);

	mask->dtype = HB_BOOL;
	return fx_since(test_node(g, "Where", "y", mask, fill, input(g), NULL), 16);
}

/* operands in the order of inputs, then constants: mask, x, value */
static double
of_masked_fill(double mask, double x, double v)
{
	return mask != 0 ? v : x;
}

static hb_tensor *
build_prelu(hb_graph *g)
{
	return test_node(g, "PRelu", "y", input(g), fx_const(g, "slope", test_shape(3, 6, 1, 1), 0.4, 0.1), NULL, NULL);
}

static void
of_prelu(const fx_run *r, double *y)
{
	const float *slope = r->g->first->in[1]->data;

	for (int64_t i = 0; i < hb_tensor_elems(r->out); i++)
		y[i] = r->x[0][i] < 0 ? r->x[0][i] * slope[i / (13 * 17) % 6] : r->x[0][i];
}

static hb_tensor *
build_prelu_of_one(hb_graph *g)
{
	static const float slope = 0.21f;

	return test_node(g, "PRelu", "y", input(g), test_const(g, "slope", test_shape(1, 1), &slope), NULL, NULL);
}

static double
of_prelu_of_one(double x, double b, double c)
{
	(void)b;
	(void)c;
	return x < 0 ? x * (double)0.21f : x;
}

/* ---- roots of sums of squares: one operation ---- */

static hb_tensor *
scalar(hb_graph *g, float v)
{
	return test_const(g, "c", test_shape(0), &v);
}

static hb_tensor *
squared(hb_graph *g, const char *name)
{
	hb_tensor *x = test_input(g, name, test_shape(4, 1, 6, 13, 17));

	return g->ninputs % 2 ? test_node(g, "Pow", "square", x, scalar(g, 2), NULL, NULL) : test_node(g, "Mul", "square", x, x, NULL, NULL);
}

static hb_tensor *
build_magnitude(hb_graph *g)
{
	hb_tensor *a = squared(g, "x"), *sum = test_node(g, "Add", "sum", a, squared(g, "x2"), NULL, NULL);

	return test_node(g, "Sqrt", "y", test_node(g, "Add", "more", sum, scalar(g, 1e-12f), NULL, NULL), NULL, NULL, NULL);
}

static double
of_magnitude(double a, double b, double c)
{
	(void)c;
	return sqrt(a * a + b * b);
}

static hb_tensor *
build_length(hb_graph *g)
{
	hb_tensor *a = test_node(g, "Add", "more", scalar(g, 0.3f), squared(g, "x"), NULL, NULL), *b = squared(g, "x2");
	hb_tensor *sum = test_node(g, "Add", "sum", a, test_node(g, "Add", "two", b, squared(g, "x3"), NULL, NULL), NULL, NULL);

	return test_node(g, "Pow", "y", sum, scalar(g, 0.5f), NULL, NULL);
}

static double
of_length(double a, double b, double c)
{
	return sqrt(a * a + b * b + c * c + (double)0.3f);
}

/* ---- the lists' rows ---- */

/* A lookup of int8 is exact; the double functions of two libraries may still part at a tie. */
#define LUT(id, row, wide, from, to) { .rows = row, .name = #id, .build = build_##id, .f = of_##id, .types = FX_ALL, .apart8 = 1, .apart16 = wide, .lo = from, .hi = to }
#define TYPED(id, row, mask, narrow, wide) { .rows = row, .name = #id, .build = build_##id, .f = of_##id, .types = mask, .apart8 = narrow, .apart16 = wide }

static const fx_case lookups[] = {
	LUT(acos, "torch.acos", 3, -1, 1), LUT(acosh, "torch.acosh", 3, 1, 6), LUT(asin, "torch.asin", 3, -1, 1), LUT(asinh, "torch.asinh", 3, -4, 4),
	LUT(atan, "torch.atan", 3, -6, 6), LUT(atanh, "torch.atanh", 5, -0.98, 0.98), LUT(ceil, "torch.ceil", 1, -5, 5), LUT(cos, "torch.cos", 3, -7, 7),
	LUT(cosh, "torch.cosh", 3, -4, 4), LUT(elu, "torch.nn.ELU", 3, -4, 4), LUT(erf, "torch.erf", 3, -3, 3), LUT(exp, "torch.exp", 3, -6, 3),
	LUT(floor, "torch.floor", 1, -5, 5), LUT(gelu, "torch.nn.GELU", 3, -6, 6), LUT(hard_sigmoid, "torch.nn.HardSigmoid", 3, -5, 5),
	LUT(leaky_relu, "torch.nn.LeakyReLU", 3, -3, 3), LUT(log, "torch.log", 3, 0.01, 9), LUT(reciprocal, "torch.reciprocal", 3, 0.02, 7),
	LUT(selu, "torch.selu", 3, -4, 4), LUT(sigmoid, "torch.nn.Sigmoid", 3, -8, 8), LUT(silu, "torch.nn.SiLU", 3, -8, 8),
	LUT(silu_of_parts, "torch.nn.SiLU", 3, -8, 8), LUT(mish, "", 3, -8, 8), LUT(sin, "torch.sin", 3, -7, 7), LUT(sinh, "torch.sinh", 3, -4, 4),
	LUT(softplus, "torch.nn.Softplus", 3, -8, 8), LUT(sqrt, "torch.sqrt", 3, 0, 9), LUT(tan, "torch.tan", 4, -1.3, 1.3), LUT(tanh, "torch.nn.Tanh", 3, -5, 5),
	LUT(square, "torch.pow", 3, -3, 3), LUT(root, "torch.pow", 3, 0, 5), LUT(power, "torch.pow", 3, 0, 4), LUT(inverse_square, "torch.pow", 8, 0.3, 4),
	LUT(neg, "", 1, -3, 3), LUT(prelu_of_one, "torch.nn.PReLU", 3, -3, 3),
};

static const fx_case elements[] = {
	TYPED(abs, "torch.abs torch.Tensor.abs", FX_BOTH, 0, 0),
	TYPED(relu, "torch.nn.functional.relu torch.nn.ReLU", FX_BOTH, 0, 0),
	{ .rows = "torch.nn.functional.relu6(fused) torch.nn.ReLU6", .name = "relu6", .build = build_relu6, .f = of_relu6, .types = FX_BOTH, .lo = -3, .hi = 9 },
	TYPED(clamp, "torch.clamp torch.clip torch.Tensor.clamp torch.Tensor.clip", FX_BOTH, 0, 0),
	TYPED(add, "torch.add", FX_ALL, 1, 1), { .rows = "torch.add", .name = "add a constant", .build = build_add_constant, .f = of_add, .types = FX_BOTH, .apart8 = 1, .apart16 = 1 },
	{ .rows = "torch.add_scalar", .name = "add a scalar", .build = build_add_scalar, .f = of_add, .types = FX_BOTH, .apart8 = 1, .apart16 = 1 },
	TYPED(sub, "torch.sub", FX_ALL, 1, 1), { .rows = "torch.sub", .name = "sub a constant", .build = build_sub_constant, .f = of_sub, .types = FX_BOTH, .apart8 = 1, .apart16 = 1 },
	TYPED(mul, "torch.mul", FX_ALL, 1, 1), { .rows = "torch.mul", .name = "mul by a constant", .build = build_mul_constant, .f = of_mul, .types = FX_BOTH, .apart8 = 1, .apart16 = 1 },
	{ .rows = "torch.mul_scalar", .name = "mul by a scalar", .build = build_mul_scalar, .f = of_mul, .types = FX_BOTH, .apart8 = 1, .apart16 = 1 },
	{ .rows = "torch.div", .name = "div", .build = build_div, .f = of_div, .types = FX_ALL, .apart8 = 1, .apart16 = 1, .lo = -3, .hi = 3, .lo2 = 0.4, .hi2 = 4 },
	{ .rows = "torch.div", .name = "div by what may be 0", .build = build_div, .f = of_div, .types = FX_BOTH, .apart8 = 1, .apart16 = 1, .lo = -3, .hi = 3 },
	{ .rows = "torch.div", .name = "div by a constant", .build = build_div_constant, .f = of_div, .types = FX_BOTH, .apart8 = 1, .apart16 = 1, .lo = -3, .hi = 3 },
	{ .rows = "torch.sub", .name = "sub a scalar", .build = build_sub_scalar, .f = of_sub, .types = FX_BOTH, .apart8 = 1, .apart16 = 1 },
	{ .rows = "torch.div", .name = "div by a scalar", .build = build_div_scalar, .f = of_div, .types = FX_BOTH, .apart8 = 1, .apart16 = 1, .lo = -3, .hi = 3 },
	{ .rows = "torch.maximum", .name = "maximum of a constant", .build = build_maximum_constant, .f = of_maximum, .types = FX_BOTH, .apart8 = 1, .apart16 = 1 },
	{ .rows = "torch.maximum", .name = "maximum of a scalar", .build = build_maximum_scalar, .f = of_maximum, .types = FX_BOTH, .apart8 = 1, .apart16 = 1 },
	{ .rows = "torch.minimum", .name = "minimum of a constant", .build = build_minimum_constant, .f = of_minimum, .types = FX_BOTH, .apart8 = 1, .apart16 = 1 },
	{ .rows = "torch.minimum", .name = "minimum of a scalar", .build = build_minimum_scalar, .f = of_minimum, .types = FX_BOTH, .apart8 = 1, .apart16 = 1 },
	TYPED(maximum, "torch.maximum", FX_ALL, 1, 1), TYPED(minimum, "torch.minimum", FX_ALL, 1, 1), TYPED(sum_of_three, "", FX_BOTH, 1, 1),
	TYPED(equal, "torch.eq torch.Tensor.eq", FX_BOTH, 0, 0),
	TYPED(less, "torch.less torch.lt torch.Tensor.less", FX_BOTH, 0, 0),
	TYPED(less_or_equal, "torch.le torch.less_equal torch.Tensor.le torch.Tensor.less_equal", FX_BOTH, 0, 0),
	TYPED(greater, "torch.greater torch.gt torch.Tensor.greater torch.Tensor.gt", FX_BOTH, 0, 0),
	TYPED(greater_or_equal, "torch.ge torch.greater_equal torch.Tensor.ge torch.Tensor.greater_equal", FX_BOTH, 0, 0),
	TYPED(masked_fill, "torch.masked_fill", FX_8, 1, 1),
	TYPED(magnitude, "", FX_ALL, 1, 1), TYPED(length, "", FX_ALL, 1, 1),
	{ .rows = "", .name = "magnitude of a large and a small", .build = build_magnitude, .f = of_magnitude, .types = FX_ALL, .apart8 = 1, .apart16 = 1, .lo = -7, .hi = 900, .lo2 = -0.011, .hi2 = 0.02 },
	{ .rows = "torch.nn.PReLU", .name = "prelu", .build = build_prelu, .ref = of_prelu, .types = FX_ALL, .apart8 = 1, .apart16 = 1 },
};

static void
lookups_against_double(void **state)
{
	(void)state;
	fx_table(lookups, HB_LEN(lookups));
}

static void
elements_against_double(void **state)
{
	(void)state;
	fx_table(elements, HB_LEN(elements));
}

/* With an argument: names the rows. */
int
main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		fx_print_rows(lookups, HB_LEN(lookups));
		fx_print_rows(elements, HB_LEN(elements));
		return 0;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lookups_against_double), cmocka_unit_test(elements_against_double),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
