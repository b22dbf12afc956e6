/* hazard.c: the hazard check against a shadow of every byte. */
#include "lib/run/run.h"
#include "tests/machine.h"

/* The oracle: which instructions are certainly before which, as a matrix, and the bytes each touches. */
enum { MAXI = 64, WORDS = 0x1280 / 64 };

typedef struct shadow {
	bool before[MAXI][MAXI];
	uint64_t reads[MAXI][HB_NSPACES][WORDS], writes[MAXI][HB_NSPACES][WORDS];	/* a bit a byte */
} shadow;

static void
touch(const hb_view *v, uint64_t *set)
{
	for (int64_t i = 0, n = hb_view_elems(v); i < n; i++) {
		uint64_t at = v->base, rest = (uint64_t)i;
		for (int d = v->rank; d-- > 0; rest /= v->ext[d]) {
			uint64_t slot = rest % v->ext[d];
			if (d == 0 && v->ring_rows)
				slot = (slot + v->ring_first) % v->ring_rows;
			at += slot * v->stride[d];
		}
		for (size_t b = 0; b < hb_dtype_size(v->dtype); b++)
			set[(at + b) / 64] |= UINT64_C(1) << (at + b) % 64;
	}
}

static void
shadow_of(const hb_list *l, shadow *s)
{
	memset(s, 0, sizeof *s);
	assert_true(l->n <= MAXI);
	for (size_t i = 0; i < l->n; i++) {
		uint32_t number[HB_NENGINES] = {0};
		const hb_insn *b = &l->insns[i];
		for (size_t j = 0; j < i; j++) {
			const hb_insn *a = &l->insns[j];
			number[a->engine]++;
			s->before[j][i] = a->engine == b->engine ||
				(b->wait_mask >> a->engine & 1 && number[a->engine] <= b->wait[a->engine]);
		}
		for (int k = 0; k < b->nv; k++)
			touch(&b->v[k], hb_insn_writes(b, k) ? s->writes[i][b->v[k].space] : s->reads[i][b->v[k].space]);
	}
	for (size_t k = 0; k < l->n; k++)
		for (size_t i = 0; i < l->n; i++)
			for (size_t j = 0; j < l->n; j++)
				s->before[i][j] |= s->before[i][k] && s->before[k][j];
}

static bool
conflict(const shadow *s, size_t i, size_t j)
{
	for (int sp = 0; sp < HB_NSPACES; sp++)
		for (int w = 0; w < WORDS; w++)
			if ((s->writes[i][sp][w] & (s->writes[j][sp][w] | s->reads[j][sp][w])) |
			    (s->reads[i][sp][w] & s->writes[j][sp][w]))
				return true;
	return false;
}

static size_t
unordered(const shadow *s, size_t n)
{
	size_t found = 0;
	for (size_t j = 0; j < n; j++)
		for (size_t i = 0; i < j; i++)
			found += !s->before[i][j] && conflict(s, i, j);
	return found;
}

static shadow world;

/* What the check says must be unordered; what is unordered must not go unsaid. */
static size_t
agree(hb_ctx *cx, const hb_program *p)
{
	hb_hazard h[64];
	size_t n = 0;
	assert_int_equal(hb_hazards(cx, p, h, HB_LEN(h), &n), HB_OK);
	shadow_of(&p->segments[0].list, &world);
	size_t real = unordered(&world, p->segments[0].list.n);
	if (real)
		assert_true(n > 0);
	for (size_t k = 0; k < HB_MIN(n, HB_LEN(h)); k++) {
		assert_true(h[k].first < h[k].second);
		assert_false(world.before[h[k].first][h[k].second]);
		assert_true(h[k].first_writes || h[k].second_writes);
		assert_true(h[k].lo < h[k].hi);
	}
	return n;
}

static void
the_example_has_no_hazard(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_program *p = example_program(hb_arena_new(cx), 1);
	assert_int_equal(hb_program_check(cx, p), HB_OK);
	assert_int_equal(agree(cx, p), 0);
	hb_ctx_free(cx);
}

static void
each_wait_of_the_example_is_needed(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_program *p = example_program(hb_arena_new(cx), 1);
	hb_list *l = &p->segments[0].list;
	int dropped = 0, lowered = 0;
	for (size_t i = 0; i < l->n; i++) {
		for (int e = 0; e < HB_NENGINES; e++) {
			hb_insn keep = l->insns[i];
			if (!(keep.wait_mask >> e & 1))
				continue;
			l->insns[i].wait_mask &= ~(1u << e);
			assert_true(agree(cx, p) > 0);
			dropped++;
			l->insns[i] = keep;
			if (--l->insns[i].wait[e] > 0) {
				assert_true(agree(cx, p) > 0);
				lowered++;
			}
			l->insns[i] = keep;
		}
	}
	assert_int_equal(dropped, 8);
	assert_true(lowered >= 5);
	hb_ctx_free(cx);
}

static void
a_report_names_both_instructions_and_the_bytes(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_program *p = example_program(hb_arena_new(cx), 1);
	p->segments[0].list.insns[7].wait_mask = 0;
	hb_hazard h[8];
	size_t n;
	assert_int_equal(hb_hazards(cx, p, h, 8, &n), HB_OK);
	bool found = false;
	for (size_t k = 0; k < n; k++)
		found |= h[k].first == 3 && h[k].second == 7 && h[k].space == HB_S0 && h[k].lo == 0xa00 &&
			h[k].hi == 0xb80 && !h[k].first_writes && h[k].second_writes;
	assert_true(found);
	hb_ctx_free(cx);
}

static void
overlapping_buffers_are_found(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_program *p = example_program(hb_arena_new(cx), 1);
	hb_list *l = &p->segments[0].list;
	for (size_t i = 0; i < l->n; i++)	/* b, which is being stored, lies where x is loaded */
		for (int k = 0; k < l->insns[i].nv; k++)
			if (l->insns[i].v[k].buf == BB)
				l->insns[i].v[k].base = 0xa00;
	assert_true(agree(cx, p) > 0);
	hb_ctx_free(cx);
}

static void
random_streams_agree_with_the_shadow(void **state)
{
	(void)state;
	const uint64_t seed = 7001;
	hb_ctx *cx = test_ctx(NULL, 1);
	rng r = {seed};
	int silent = 0, loud = 0;
	for (int n = 0; n < 1000; n++) {
		hb_arena *a = hb_arena_new(cx);
		hb_program *p = random_program(a, &r, 3 + rng_below(&r, 40));
		hb_list *l = &p->segments[0].list;
		random_waits(l);
		assert_int_equal(agree(cx, p), 0);
		for (int f = 0; f < 6; f++) {
			hb_insn *i = &l->insns[rng_below(&r, (uint32_t)l->n)], keep = *i;
			int e = (int)rng_below(&r, 4);
			if (!(keep.wait_mask >> e & 1))
				continue;
			if (rng_below(&r, 2) || --i->wait[e] == 0)
				i->wait_mask &= ~(1u << e);
			if (agree(cx, p))
				loud++;
			else
				silent++;
			*i = keep;
		}
		hb_arena_free(a);
	}
	print_message("seed %d: %d faults seen, %d harmless\n", (int)seed, loud, silent);
	assert_true(loud > 300);
	hb_ctx_free(cx);
}

static void
long_streams_take_linear_time(void **state)
{
	(void)state;
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_arena *a = hb_arena_new(cx);
	rng r = {5};
	hb_program *p = random_program(a, &r, 64);
	hb_list *l = &p->segments[0].list;
	for (size_t k = 0; l->n < 100000; k++) {
		hb_insn i = l->insns[k];
		assert_true(hb_list_add(a, l, &i));
	}
	hb_hazard h[4];
	size_t n;
	assert_int_equal(hb_hazards(cx, p, h, 4, &n), HB_OK);
	assert_true(n > 4);
	hb_ctx_free(cx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_has_no_hazard),
		cmocka_unit_test(each_wait_of_the_example_is_needed),
		cmocka_unit_test(a_report_names_both_instructions_and_the_bytes),
		cmocka_unit_test(overlapping_buffers_are_found),
		cmocka_unit_test(random_streams_agree_with_the_shadow),
		cmocka_unit_test(long_streams_take_linear_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
