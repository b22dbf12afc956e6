/* matmul.c: Gemm and MatMul. */
#include "lib/base/gemm.h"
#include "ops/nd.h"
#include "ops/to_fx.h"

#include <math.h>

/* y[b] = a[b] * b[b]: rows m, columns n, sums over k; element (i, q) of a at i * a_row + q * a_col. */
typedef struct product {
	int64_t m, n, k;
	int64_t a_row, a_col, b_row, b_col;
	hb_isa isa;
	bool b_in_place;		/* rows of b are dense and b is no constant */
	size_t a_bytes, b_bytes, off_bytes;	/* of one packed operand; of the offsets */
} product;

static void
product_init(product *p, hb_isa isa, bool b_const)
{
	p->isa = isa;
	p->b_in_place = p->b_col == 1 && !b_const;
	p->a_bytes = hb_gemm_a_bytes(isa, p->m, p->k);
	p->b_bytes = p->b_in_place ? 0 : hb_gemm_b_bytes(isa, p->k, p->n);
	p->off_bytes = p->b_in_place ? (size_t)hb_round_up(p->k * 8, 64) : 0;
}

/* Scratch holds offsets, then packed a, then packed b. */
static size_t
product_scratch(const product *p, bool b_packed)
{
	return p->off_bytes + p->a_bytes + (b_packed ? 0 : p->b_bytes);
}

static void
product_offsets(const product *p, void *scratch)
{
	int64_t *off = scratch;
	for (int64_t q = 0; p->b_in_place && q < p->k; q++)
		off[q] = q * p->b_row;
}

/* packed: b packed ahead, or NULL. */
static void
product_run(const product *p, hb_ctx *cx, const float *a, const float *b, const void *packed, const float *bias,
	    const float *col_bias, float *y, void *scratch)
{
	float *pa = (float *)(void *)((uint8_t *)scratch + p->off_bytes);
	float *pb = (float *)(void *)((uint8_t *)scratch + p->off_bytes + p->a_bytes);
	hb_gemm_pack_a(p->isa, a, p->a_row, p->a_col, p->m, p->k, pa);
	if (!p->b_in_place && !packed) {
		hb_gemm_pack_b(p->isa, b, p->b_row, p->b_col, p->k, p->n, pb);
		packed = pb;
	}
	hb_gemm g = {
		.m = p->m, .n = p->n, .k = p->k, .a = pa, .b = p->b_in_place ? b : packed,
		.off = p->b_in_place ? scratch : NULL, .bias = bias, .col_bias = col_bias,
		.lo = -INFINITY, .hi = INFINITY, .c = y, .ldc = p->n,
	};
	hb_gemm_run(cx, &g);
}

static size_t
widest_scratch(const hb_node *n, void (*of)(const hb_node *n, hb_isa isa, product *p), bool b_packed)
{
	size_t most = 0;
	for (hb_isa isa = HB_ISA_SCALAR; isa <= HB_ISA_AVX512; isa++) {
		product p;
		of(n, isa, &p);
		size_t bytes = product_scratch(&p, b_packed);
		most = HB_MAX(most, bytes);
	}
	return most;
}

static bool
is_const(const hb_tensor *t)
{
	return t->is_const;
}

/* ---- Gemm ---- */

static const hb_attr_row gemm_rows[] = {
	{ .name = "alpha", .type = HB_ATTR_FLOAT },
	{ .name = "beta", .type = HB_ATTR_FLOAT },
	{ .name = "transA", .type = HB_ATTR_INT },
	{ .name = "transB", .type = HB_ATTR_INT },
	{ .name = "broadcast", .type = HB_ATTR_INT, .until = 6 },
	{ 0 },
};

static hb_status
shape_gemm(hb_graph *g, hb_node *n)
{
	const hb_shape *a = &n->in[0]->shape, *b = &n->in[1]->shape;
	const hb_tensor *c = hb_in(n, 2);
	char ta[HB_SHAPE_TEXT], tb[HB_SHAPE_TEXT];
	if (a->rank != 2 || b->rank != 2)
		return HB_BAD(g, n, "operands have shapes %s and %s; Gemm takes matrices", hb_shape_text(a, ta), hb_shape_text(b, tb));
	int at = hb_attr_i(n, "transA", 0) != 0, bt = hb_attr_i(n, "transB", 0) != 0;
	if (a->dim[1 - at] != b->dim[bt])
		return HB_BAD(g, n, "operands %s and %s do not agree in the extent that is summed over", hb_shape_text(a, ta),
			      hb_shape_text(b, tb));
	hb_shape y = { .rank = 2, .dim = { a->dim[at], b->dim[1 - bt] } }, both;
	if (c && (!hb_shape_broadcast(&y, &c->shape, &both) || !hb_shape_eq(&y, &both)))
		return HB_BAD(g, n, "C of shape %s does not broadcast to %s", hb_shape_text(&c->shape, ta), hb_shape_text(&y, tb));
	for (int i = 0; i < n->nin; i++)
		if (n->in[i] && n->in[i]->dtype != n->in[0]->dtype)
			return HB_BAD(g, n, "operands are of different types");
	return hb_set_out(g, n, 0, n->in[0]->dtype, &y);
}

static void
gemm_of(const hb_node *n, hb_isa isa, product *p)
{
	const hb_shape *a = &n->in[0]->shape, *b = &n->in[1]->shape;
	int at = hb_attr_i(n, "transA", 0) != 0, bt = hb_attr_i(n, "transB", 0) != 0;
	*p = (product){
		.m = a->dim[at], .n = b->dim[1 - bt], .k = b->dim[bt],
		.a_row = at ? 1 : a->dim[1], .a_col = at ? a->dim[1] : 1,
		.b_row = bt ? 1 : b->dim[1], .b_col = bt ? b->dim[1] : 1,
	};
	product_init(p, isa, is_const(n->in[1]));
}

static size_t
scratch_gemm(const hb_node *n, int jobs)
{
	(void)jobs;
	return widest_scratch(n, gemm_of, is_const(n->in[1]));
}

static size_t
pack_bytes_gemm(hb_graph *g, hb_node *n)
{
	product p;
	gemm_of(n, g->cx->isa, &p);
	return is_const(n->in[1]) && n->in[1]->dtype == HB_F32 ? p.b_bytes : 0;
}

static void
pack_gemm(hb_graph *g, hb_node *n, void *to)
{
	product p;
	gemm_of(n, g->cx->isa, &p);
	hb_gemm_pack_b(p.isa, hb_tensor_data(g, n->in[1]), p.b_row, p.b_col, p.k, p.n, to);
}

/* y = alpha * y + beta * c, where alpha or beta is not 1 or c is a whole matrix. */
static void
add_scaled(float *y, int64_t m, int64_t n, float alpha, float beta, const hb_val *c)
{
	const float *v = c ? c->data : NULL;
	int64_t row = 0, col = 0;
	if (c) {
		int r = c->shape.rank;
		col = r > 0 && c->shape.dim[r - 1] > 1;
		row = r > 1 && c->shape.dim[r - 2] > 1 ? c->shape.dim[r - 1] : 0;
	}
	for (int64_t i = 0; i < m; i++)
		for (int64_t j = 0; j < n; j++) {
			float s = alpha * y[i * n + j];
			y[i * n + j] = v ? s + beta * v[i * row + j * col] : s;
		}
}

/* Integer matrices, modulo their width. */
static void
gemm_wide(const hb_call *c, const product *p)
{
	int64_t alpha = (int64_t)hb_attr_f(c->n, "alpha", 1), beta = (int64_t)hb_attr_f(c->n, "beta", 1);
	const hb_val *a = c->in[0], *b = c->in[1], *v = hb_call_in(c, 2), *y = c->out[0];
	int r = v ? v->shape.rank : 0;
	int64_t col = r > 0 && v->shape.dim[r - 1] > 1, row = r > 1 && v->shape.dim[r - 2] > 1 ? v->shape.dim[r - 1] : 0;
	for (int64_t i = 0; i < p->m; i++)
		for (int64_t j = 0; j < p->n; j++) {
			uint64_t s = 0;
			for (int64_t q = 0; q < p->k; q++)
				s += (uint64_t)hb_val_i(a, i * p->a_row + q * p->a_col) *
				     (uint64_t)hb_val_i(b, q * p->b_row + j * p->b_col);
			s *= (uint64_t)alpha;
			if (v)
				s += (uint64_t)beta * (uint64_t)hb_val_i(v, i * row + j * col);
			hb_wide_store(y->dtype, &(int64_t){ (int64_t)s }, y->data, i * p->n + j, 1);
		}
}

static void
run_gemm(const hb_call *c)
{
	const hb_val *v = hb_call_in(c, 2);
	float alpha = hb_attr_f(c->n, "alpha", 1), beta = hb_attr_f(c->n, "beta", 1);
	product p;
	gemm_of(c->n, c->cx->isa, &p);
	if (c->in[0]->dtype != HB_F32) {
		gemm_wide(c, &p);
		return;
	}
	const float *bias = NULL, *col_bias = NULL;
	if (v && alpha == 1 && beta == 1) {
		bool one_row = v->shape.rank == 1 || (v->shape.rank == 2 && v->shape.dim[0] == 1);
		if (one_row && v->shape.dim[v->shape.rank - 1] == p.n)
			col_bias = v->data;
		else if (v->shape.rank == 2 && v->shape.dim[0] == p.m && v->shape.dim[1] == 1)
			bias = v->data;
	}
	product_offsets(&p, c->scratch);
	product_run(&p, c->cx, c->in[0]->data, c->in[1]->data, c->packed, bias, col_bias, c->out[0]->data, c->scratch);
	if (!bias && !col_bias && (v || alpha != 1))
		add_scaled(c->out[0]->data, p.m, p.n, alpha, beta, v);
}

static int64_t
macs_gemm(const hb_node *n)
{
	return hb_tensor_elems(n->out[0]) * n->in[1]->shape.dim[hb_attr_i(n, "transB", 0) != 0];
}

#define GEMM_TYPES (HB_BIT(HB_F32) | HB_BIT(HB_I32) | HB_BIT(HB_U32) | HB_BIT(HB_I64) | HB_BIT(HB_U64))

const hb_op hb_op_gemm = {
	.name = "Gemm", .since = 1, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,
	.attrs = gemm_rows, .types = GEMM_TYPES,
	.shape = shape_gemm, .scratch = scratch_gemm, .pack_bytes = pack_bytes_gemm, .pack = pack_gemm,
	.run = run_gemm, .role = HB_ROLE_OWN, .convert = hb_to_fx_gemm, .macs = macs_gemm,
};

/* ---- MatMul ---- */

/* The operands as matrices with leading dimensions: a vector is a row of A, a column of B. */
static void
as_matrices(const hb_shape *a0, const hb_shape *b0, hb_shape *a, hb_shape *b)
{
	*a = *a0;
	*b = *b0;
	if (a->rank == 1)
		*a = (hb_shape){ .rank = 2, .dim = { 1, a0->dim[0] } };
	if (b->rank == 1)
		*b = (hb_shape){ .rank = 2, .dim = { b0->dim[0], 1 } };
}

static hb_status
shape_matmul(hb_graph *g, hb_node *n)
{
	const hb_shape *a0 = &n->in[0]->shape, *b0 = &n->in[1]->shape;
	hb_shape a, b, y;
	char ta[HB_SHAPE_TEXT], tb[HB_SHAPE_TEXT];
	if (!a0->rank || !b0->rank)
		return HB_BAD(g, n, "an operand is a scalar; MatMul takes rank 1 and above");
	if (n->in[0]->dtype != n->in[1]->dtype)
		return HB_BAD(g, n, "operands are of different types");
	as_matrices(a0, b0, &a, &b);
	hb_shape la = a, lb = b;
	la.rank -= 2;
	lb.rank -= 2;
	if (a.dim[a.rank - 1] != b.dim[b.rank - 2] || !hb_shape_broadcast(&la, &lb, &y) || y.rank + 2 > HB_MAX_RANK)
		return HB_BAD(g, n, "shapes %s and %s cannot be multiplied", hb_shape_text(a0, ta), hb_shape_text(b0, tb));
	if (a0->rank > 1)
		y.dim[y.rank++] = a.dim[a.rank - 2];
	if (b0->rank > 1)
		y.dim[y.rank++] = b.dim[b.rank - 1];
	return hb_set_out(g, n, 0, n->in[0]->dtype, &y);
}

/* One product, or where B is a matrix that all of A shares, the whole of A as one. */
static void
matmul_of(const hb_node *n, hb_isa isa, product *p)
{
	hb_shape a, b;
	as_matrices(&n->in[0]->shape, &n->in[1]->shape, &a, &b);
	int64_t k = a.dim[a.rank - 1], cols = b.dim[b.rank - 1];
	*p = (product){
		.m = b.rank == 2 ? hb_shape_span(&a, 0, a.rank - 1) : a.dim[a.rank - 2], .n = cols, .k = k,
		.a_row = k, .a_col = 1, .b_row = cols, .b_col = 1,
	};
	product_init(p, isa, is_const(n->in[1]) && b.rank == 2);
}

static size_t
scratch_matmul(const hb_node *n, int jobs)
{
	(void)jobs;
	return widest_scratch(n, matmul_of, is_const(n->in[1]));
}

static size_t
pack_bytes_matmul(hb_graph *g, hb_node *n)
{
	product p;
	if (n->in[0]->dtype != HB_F32)
		return 0;
	matmul_of(n, g->cx->isa, &p);
	return p.b_bytes;
}

static void
pack_matmul(hb_graph *g, hb_node *n, void *to)
{
	product p;
	matmul_of(n, g->cx->isa, &p);
	hb_gemm_pack_b(p.isa, hb_tensor_data(g, n->in[1]), p.b_row, p.b_col, p.k, p.n, to);
}

/* Which matrix of an operand with leading dimensions s serves output matrix i of leading dimensions y. */
static int64_t
matrix_at(const hb_shape *s, const hb_shape *y, int64_t i)
{
	int64_t at = 0, stride = 1;
	int lead = s->rank - 2, skip = y->rank - lead;
	for (int d = y->rank - 1; d >= 0; d--) {
		int64_t x = i % y->dim[d];
		i /= y->dim[d];
		if (d < skip)
			continue;
		at += s->dim[d - skip] > 1 ? x * stride : 0;
		stride *= s->dim[d - skip];
	}
	return at;
}

static void
matmul_wide(const hb_call *c, const product *p, int64_t a0, int64_t b0, int64_t y0)
{
	for (int64_t i = 0; i < p->m; i++)
		for (int64_t j = 0; j < p->n; j++) {
			uint64_t s = 0;
			for (int64_t q = 0; q < p->k; q++)
				s += (uint64_t)hb_val_i(c->in[0], a0 + i * p->a_row + q) *
				     (uint64_t)hb_val_i(c->in[1], b0 + q * p->b_row + j);
			hb_wide_store(c->out[0]->dtype, &(int64_t){ (int64_t)s }, c->out[0]->data, y0 + i * p->n + j, 1);
		}
}

static void
run_matmul(const hb_call *c)
{
	const hb_val *y = c->out[0];
	hb_shape a, b, la, lb, lead;
	product p;
	if (!hb_shape_elems(&y->shape))
		return;
	as_matrices(&c->in[0]->shape, &c->in[1]->shape, &a, &b);
	matmul_of(c->n, c->cx->isa, &p);
	la = a;
	lb = b;
	la.rank -= 2;
	lb.rank -= 2;
	hb_shape_broadcast(&la, &lb, &lead);
	int64_t count = hb_shape_elems(&y->shape) / (p.m * p.n);
	product_offsets(&p, c->scratch);
	for (int64_t i = 0; i < count; i++) {
		int64_t a0 = matrix_at(&a, &lead, i) * p.m * p.k, b0 = matrix_at(&b, &lead, i) * p.k * p.n;
		if (y->dtype == HB_F32)
			product_run(&p, c->cx, (const float *)c->in[0]->data + a0, (const float *)c->in[1]->data + b0, c->packed,
				    NULL, NULL, (float *)y->data + i * p.m * p.n, c->scratch);
		else
			matmul_wide(c, &p, a0, b0, i * p.m * p.n);
	}
}

static int64_t
macs_matmul(const hb_node *n)
{
	return hb_tensor_elems(n->out[0]) * n->in[0]->shape.dim[n->in[0]->shape.rank - 1];
}

const hb_op hb_op_matmul = {
	.name = "MatMul", .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	.types = GEMM_TYPES,
	.shape = shape_matmul, .scratch = scratch_matmul, .pack_bytes = pack_bytes_matmul, .pack = pack_matmul,
	.run = run_matmul, .role = HB_ROLE_OWN, .convert = hb_to_fx_matmul, .floats = hb_floats_matmul, .macs = macs_matmul,
};
