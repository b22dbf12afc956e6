/* conv_wide: convolutions whose channels lie side by side, of more channels and pixels than a block holds: every
 * vector width, packed and not, one thread and several, give what the narrowest gives. */
#include "tests/test.h"

#include "lib/quant/quant.h"
#include "lib/quant/transpose.h"

typedef struct shape {
	uint32_t rows, cols, ic, oc, kh, kw, groups;
	int s, d, p;
	hb_dtype x, out, add;		/* add: HB_NONE for none */
} shape;

static const shape shapes[] = {
	{ 9, 13, 24, 40, 1, 1, 1, 1, 1, 0, HB_I8, HB_I8, HB_NONE },
	{ 14, 14, 70, 130, 3, 3, 1, 1, 1, 1, HB_I8, HB_I8, HB_I8 },
	{ 31, 30, 3, 16, 3, 3, 1, 2, 1, 1, HB_I8, HB_I8, HB_NONE },
	{ 7, 7, 16, 33, 5, 2, 1, 1, 2, 2, HB_U8, HB_I16, HB_I16 },
	{ 12, 11, 48, 48, 3, 3, 4, 1, 1, 1, HB_I8, HB_I32, HB_I32 },
	{ 1, 1, 257, 65, 1, 1, 1, 1, 1, 0, HB_I8, HB_I8, HB_I8 },
	{ 8, 9, 20, 31, 3, 1, 1, 1, 1, 1, HB_I16, HB_I16, HB_I8 },
	{ 15, 17, 150, 150, 3, 3, 150, 1, 1, 1, HB_I8, HB_I8, HB_NONE },
	{ 15, 17, 64, 64, 5, 5, 64, 2, 1, 2, HB_U8, HB_I8, HB_NONE },
	{ 6, 5, 70, 70, 3, 3, 70, 1, 2, 2, HB_I8, HB_I16, HB_I8 },
	{ 40, 41, 5, 5, 2, 2, 5, 1, 1, 0, HB_I8, HB_I8, HB_NONE },
};

static uint32_t
mixed(uint32_t i)
{
	i = (i ^ i >> 15) * 0x2c1b3c6du;
	i = (i ^ i >> 12) * 0x297a2d39u;
	return i ^ i >> 15;
}

static hb_view
dense(hb_dtype dt, int rank, const uint32_t *ext)
{
	hb_view v = { .space = HB_HEAP, .dtype = dt, .rank = rank };
	uint32_t step = (uint32_t)hb_dtype_size(dt);
	for (int d = rank - 1; d >= 0; d--) {
		v.ext[d] = ext[d];
		v.stride[d] = step;
		step *= ext[d];
	}
	return v;
}

static size_t
bytes_of(const hb_view *v)
{
	return (size_t)v->ext[0] * v->stride[0];
}

typedef struct layer {
	hb_insn i;
	uint8_t *at[5];
	size_t out_bytes;
} layer;

static void
layer_of(const shape *s, layer *l)
{
	uint32_t oh = (s->rows + 2 * (uint32_t)s->p - ((s->kh - 1) * (uint32_t)s->d + 1)) / (uint32_t)s->s + 1;
	uint32_t ow = (s->cols + 2 * (uint32_t)s->p - ((s->kw - 1) * (uint32_t)s->d + 1)) / (uint32_t)s->s + 1;
	l->i = (hb_insn){ .op = HB_I_conv, .engine = HB_M0, .nv = s->add == HB_NONE ? 4 : 5 };
	l->i.v[0] = dense(s->out, 3, (uint32_t[]){ oh, ow, s->oc });
	l->i.v[1] = dense(s->x, 3, (uint32_t[]){ s->rows, s->cols, s->ic });
	l->i.v[2] = dense(HB_I8, 4, (uint32_t[]){ s->oc, s->kh, s->kw, s->ic / s->groups });
	l->i.v[3] = dense(HB_I32, 2, (uint32_t[]){ s->oc, 4 });
	l->i.v[4] = dense(s->add == HB_NONE ? HB_I8 : s->add, 3, (uint32_t[]){ oh, ow, s->oc });
	int32_t *im = l->i.imm;
	im[HB_IMM_conv_sh] = im[HB_IMM_conv_sw] = s->s;
	im[HB_IMM_conv_dh] = im[HB_IMM_conv_dw] = s->d;
	im[HB_IMM_conv_pt] = im[HB_IMM_conv_pl] = s->p;
	im[HB_IMM_conv_groups] = (int32_t)s->groups;
	im[HB_IMM_conv_qmin] = hb_qmin(s->out);
	im[HB_IMM_conv_qmax] = hb_qmax(s->out) / 2;
	l->out_bytes = bytes_of(&l->i.v[0]);
	for (int k = 0; k < 5; k++) {
		size_t n = bytes_of(&l->i.v[k]);
		l->at[k] = malloc(n);
		assert_non_null(l->at[k]);
		for (size_t b = 0; b < n; b++)
			l->at[k][b] = (uint8_t)mixed((uint32_t)(b * 5 + (size_t)k));
	}
	for (uint32_t c = 0; c < s->oc; c++) {
		int e = s->out == HB_I8 ? -12 : s->out == HB_I16 ? -4 : 0, ea = 5;
		int32_t rec[4] = { (int32_t)(mixed(c) % 20001) - 10000, (1 << 30) + (int32_t)(mixed(c + 7) >> 2), (1 << 30) + (int32_t)(mixed(c + 9) >> 2),
				   (e - (int)(c % 3) + 64) | (ea + 64) << 8 };
		memcpy(l->at[3] + c * 16, rec, sizeof(rec));
	}
}

static void
run(const layer *l, hb_isa isa, int jobs, bool pack, uint8_t *out)
{
	hb_options o = { .isa = isa, .jobs = jobs };
	hb_ctx *cx = hb_ctx_new(&o);
	uint8_t *at[5] = { out, l->at[1], l->at[2], l->at[3], l->at[4] };
	size_t packed_bytes = hb_kernel_conv_pack_bytes(cx, &l->i);
	void *scratch = aligned_alloc(64, hb_kernel_scratch(cx, &l->i) / 64 * 64 + 64), *packed = NULL;
	if (pack && packed_bytes) {
		packed = aligned_alloc(64, packed_bytes / 64 * 64 + 64);
		hb_kernel_conv_pack(cx, &l->i, at, packed);
	}
	memset(out, 0x5a, l->out_bytes);
	hb_kernel_conv_run(cx, &l->i, at, packed, scratch);
	free(scratch);
	free(packed);
	hb_ctx_free(cx);
}

static void
widths_threads_and_packing_leave_no_trace(void **state)
{
	(void)state;
	for (size_t k = 0; k < HB_LEN(shapes); k++) {
		layer l;
		layer_of(&shapes[k], &l);
		uint8_t *want = malloc(l.out_bytes), *got = malloc(l.out_bytes);
		run(&l, HB_ISA_SCALAR, 1, false, want);
		for (int isa = HB_ISA_SCALAR; isa <= HB_ISA_AVX512; isa++)
			for (int variant = 0; variant < 4; variant++) {
				run(&l, (hb_isa)isa, variant & 1 ? 3 : 1, variant & 2, got);
				if (memcmp(want, got, l.out_bytes))
					fail_msg("shape %zu, width %d, variant %d", k, isa, variant);
			}
		for (int v = 0; v < 5; v++)
			free(l.at[v]);
		free(want);
		free(got);
	}
}

static void
a_matrix_of_any_size_is_turned_round(void **state)
{
	(void)state;
	static const int64_t sizes[] = { 1, 3, 15, 16, 17, 64, 70, 300 };
	for (size_t a = 0; a < HB_LEN(sizes); a++)
		for (size_t b = 0; b < HB_LEN(sizes); b++) {
			int64_t rows = sizes[a], cols = sizes[b], from_row = cols + 3, to_row = rows + 5;
			uint8_t *from = malloc((size_t)(rows * from_row)), *to = calloc((size_t)(cols * to_row), 1);
			for (int64_t i = 0; i < rows * from_row; i++)
				from[i] = (uint8_t)mixed((uint32_t)i);
			hb_transpose8(to, to_row, from, from_row, rows, cols);
			for (int64_t c = 0; c < cols; c++) {
				for (int64_t r = 0; r < rows; r++)
					assert_int_equal(to[c * to_row + r], from[r * from_row + c]);
				for (int64_t r = rows; r < to_row; r++)
					assert_int_equal(to[c * to_row + r], 0);
			}
			free(from);
			free(to);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(widths_threads_and_packing_leave_no_trace),
		cmocka_unit_test(a_matrix_of_any_size_is_turned_round),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
