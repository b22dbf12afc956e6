/* ops.c: runs tests/ops/NAME.test: values by hand for single operators. A file holds cases:
 *
 *	op NAME VERSION [DOMAIN]
 *	attr NAME i 3 | f 0.5 | s text | ints 1 2 3 | floats 1 2 | strings a b
 *	in TYPE SHAPE VALUES...		an input; SHAPE as 2x3 or scalar, inf and nan are values
 *	const TYPE SHAPE VALUES...	an input that is a constant
 *	none				an optional input that is absent
 *	out TYPE SHAPE VALUES...	an expected output; `out none`: one that is not asked for
 *	error ID			the node is refused, by the check of that name
 *
 * Cases are separated by empty lines; '#' begins a comment. Floats to 1e-5, else exact. Each case runs
 * at every vector width and with one and two threads, and must give the same bits. */
#include "lib/pass/pass.h"
#include "tests/test.h"

#include <glob.h>
#include <math.h>

enum { MOST_IO = 16, MOST_VALUES = 4096, LINE = 65536 };

struct value {
	hb_dtype dtype;
	hb_shape shape;
	bool is_const, none;
	double v[MOST_VALUES];
	int64_t i[MOST_VALUES];		/* the same, exact for integers */
};

struct test {
	char op[64], domain[64], error[64];
	int version, line, nin, nout, nattrs;
	char attrs[MOST_IO][512];
	struct value in[MOST_IO], out[MOST_IO];
};

static const char *path;
static struct test t;
static int failures;

#define WRONG(...) (print_message(__VA_ARGS__), failures++)

static hb_dtype
dtype_of(const char *name)
{
	for (int d = HB_F32; d < HB_NDTYPES; d++)
		if (!strcmp(name, hb_dtype_name((hb_dtype)d)))
			return (hb_dtype)d;
	fail_msg("%s:%d: unknown type %s", path, t.line, name);
	return HB_NONE;
}

static void
read_value(char *s, struct value *v)
{
	char *save, *w = strtok_r(s, " \t", &save);
	int64_t n = 0;

	assert_non_null(w);
	memset(v, 0, sizeof(*v));
	v->none = !strcmp(w, "none");
	if (v->none)
		return;
	v->dtype = dtype_of(w);
	w = strtok_r(NULL, " \t", &save);
	assert_non_null(w);
	for (char *p = w; strcmp(w, "scalar") && *p; p += *p == 'x')
		v->shape.dim[v->shape.rank++] = strtol(p, &p, 10);
	while ((w = strtok_r(NULL, " \t", &save))) {
		assert_true(n < MOST_VALUES);
		v->i[n] = strtoll(w, NULL, 10);
		v->v[n++] = strtod(w, NULL);
	}
	if (n != hb_shape_elems(&v->shape))
		fail_msg("%s:%d: %lld values for %lld elements", path, t.line, (long long)n, (long long)hb_shape_elems(&v->shape));
}

static void
set_attr(hb_graph *g, hb_node *n, char *s)
{
	char *save, *name = strtok_r(s, " \t", &save), *type = strtok_r(NULL, " \t", &save), *w;
	int64_t ints[64];
	float floats[64];
	const char **strings = HB_NEW_N(g->arena, const char *, 64);
	size_t k = 0;

	assert_non_null(type);
	while (k < 64 && (w = strtok_r(NULL, " \t", &save))) {
		ints[k] = strtoll(w, NULL, 10);
		floats[k] = strtof(w, NULL);
		strings[k++] = hb_arena_str(g->arena, w);
	}
	if (!strcmp(type, "i"))
		assert_true(hb_attr_set_i(g, n, name, ints[0]));
	else if (!strcmp(type, "f"))
		assert_true(hb_attr_set_f(g, n, name, floats[0]));
	else if (!strcmp(type, "s"))
		assert_true(hb_attr_set_s(g, n, name, k ? strings[0] : ""));
	else if (!strcmp(type, "ints"))
		assert_true(hb_attr_set_ints(g, n, name, ints, k));
	else if (!strcmp(type, "floats"))
		assert_true(hb_attr_set_floats(g, n, name, floats, k));
	else {
		hb_attr *a = HB_NEW(g->arena, hb_attr);
		*a = (hb_attr){ .name = hb_arena_str(g->arena, name), .type = HB_ATTR_STRINGS, .n = k, .strings = strings, .next = n->attrs };
		n->attrs = a;
	}
}

static void *
packed(hb_graph *g, const struct value *v)
{
	int64_t n = hb_shape_elems(&v->shape);
	uint8_t *p = hb_arena_alloc(g->arena, (size_t)n * 8 + 1);

	assert_non_null(p);
	for (int64_t i = 0; i < n; i++) {
		float f = (float)v->v[i];
		int64_t k = v->i[i];
		size_t size = hb_dtype_size(v->dtype);
		memcpy(p + (size_t)i * size, v->dtype == HB_F32 ? (void *)&f : (void *)&k, size);
	}
	return p;
}

static double
element(const hb_val *v, int64_t i)
{
	int64_t k = 0;
	size_t size = hb_dtype_size(v->dtype);

	if (v->dtype == HB_F32)
		return ((const float *)v->data)[i];
	memcpy(&k, (const uint8_t *)v->data + (size_t)i * size, size);
	if (v->dtype == HB_I8 || v->dtype == HB_I16 || v->dtype == HB_I32) {
		int64_t sign = INT64_C(1) << (8 * size - 1);
		k = (k ^ sign) - sign;
	}
	return (double)k;
}

static void
compare(const struct value *want, const hb_val *got, int k)
{
	char a[HB_SHAPE_TEXT], b[HB_SHAPE_TEXT];

	if (want->dtype != got->dtype || !hb_shape_eq(&want->shape, &got->shape)) {
		WRONG("%s:%d: %s output %d is %s %s, expected %s %s\n", path, t.line, t.op, k, hb_dtype_name(got->dtype),
		      hb_shape_text(&got->shape, a), hb_dtype_name(want->dtype), hb_shape_text(&want->shape, b));
		return;
	}
	for (int64_t i = 0; i < hb_shape_elems(&want->shape); i++) {
		double x = want->v[i], y = element(got, i);
		bool near = x == y || (x != x && y != y) || (want->dtype == HB_F32 && fabs(x - y) <= 1e-5 * fmax(1, fabs(x)));
		if (!near)
			WRONG("%s:%d: %s output %d, element %lld is %.9g, expected %.9g\n", path, t.line, t.op, k, (long long)i, y, x);
	}
}

/* Runs the case and leaves the first output's bytes in *first. */
static void
run_once(hb_isa isa, int jobs, hb_buf *first)
{
	test_log log = { 0 };
	hb_options o = { .jobs = jobs, .isa = isa, .diag = test_diag, .arg = &log };
	hb_ctx *cx = hb_ctx_new(&o);
	hb_graph *g = hb_graph_new(cx);
	hb_node *n = hb_node_new(g, NULL, "n", t.domain, t.op, t.version, t.nin, t.nout);
	hb_val in[MOST_IO], out[MOST_IO];
	size_t nin = 0;

	for (int i = 0; i < t.nattrs; i++) {
		char line[512];
		memcpy(line, t.attrs[i], sizeof(line));
		set_attr(g, n, line);
	}
	for (int i = 0; i < t.nin; i++) {
		char name[16];
		snprintf(name, sizeof(name), "x%d", i);
		if (t.in[i].none)
			continue;
		hb_tensor *x;
		if (t.in[i].is_const) {
			x = hb_tensor_const(g, name, t.in[i].dtype, &t.in[i].shape, packed(g, &t.in[i]));
		} else {
			x = test_input(g, name, t.in[i].shape);
			x->dtype = t.in[i].dtype;
			in[nin++] = (hb_val){ x->dtype, x->shape, packed(g, &t.in[i]) };
		}
		hb_node_set_in(g, n, i, x);
	}
	for (int i = 0; i < t.nout; i++) {
		char name[16];
		snprintf(name, sizeof(name), "y%d", i);
		if (t.out[i].none)
			continue;
		hb_tensor *y = hb_tensor_new(g, name, HB_NONE, NULL);
		hb_node_set_out(n, i, y);
		test_output(g, y);
	}
	hb_status st = hb_pass_shapes(g, true);
	if (st == HB_NEED_CONST) {
		assert_int_equal(hb_pass_bind(g, in), HB_OK);
		st = hb_pass_shapes(g, false);
	}
	if (*t.error) {
		if (st == HB_OK || strcmp(log.id, t.error))
			WRONG("%s:%d: %s: expected an error %s, got '%s' [%s]\n", path, t.line, t.op, t.error, log.text, log.id);
		hb_ctx_free(cx);
		return;
	}
	if (st != HB_OK) {
		WRONG("%s:%d: %s: %s [%s]\n", path, t.line, t.op, log.text, log.id);
		hb_ctx_free(cx);
		return;
	}
	hb_exec *ex = hb_exec_new(g, &st);
	assert_int_equal(st, HB_OK);
	assert_int_equal(hb_exec_run(ex, in, out, NULL, NULL), HB_OK);
	for (int i = 0, k = 0; i < t.nout; i++) {
		if (t.out[i].none)
			continue;
		compare(&t.out[i], &out[k], i);
		if (!k)
			hb_buf_add(first, out[k].data, (size_t)hb_shape_elems(&out[k].shape) * hb_dtype_size(out[k].dtype));
		k++;
	}
	hb_exec_free(ex);
	hb_ctx_free(cx);
}

static void
run_case(void)
{
	hb_ctx *cx = test_ctx(NULL, 1);
	hb_buf want = { .cx = cx };

	run_once(HB_ISA_SCALAR, 1, &want);
	for (int k = 1, before = failures; !*t.error && failures == before && k < 6; k++) {
		hb_buf got = { .cx = cx };
		run_once((hb_isa)(k / 2), 1 + k % 2, &got);
		if (want.len != got.len || (want.len && memcmp(want.p, got.p, want.len)))
			WRONG("%s:%d: %s: bits depend on the vector width or threads\n", path, t.line, t.op);
		hb_buf_free(&got);
	}
	hb_buf_free(&want);
	hb_ctx_free(cx);
}

/* One line of a case; false for an empty one. */
static bool
read_line(char *line, int number)
{
	line[strcspn(line, "#\n")] = 0;
	for (size_t n = strlen(line); n && line[n - 1] == ' ';)
		line[--n] = 0;
	char *rest = line + strcspn(line, " \t");
	if (*rest)
		*rest++ = 0;
	if (!*line)
		return false;
	assert_true(t.nin < MOST_IO && t.nout < MOST_IO && t.nattrs < MOST_IO);
	if (!strcmp(line, "op")) {
		t.line = number;
		assert_true(sscanf(rest, "%63s %d %63s", t.op, &t.version, t.domain) >= 2);
	} else if (!strcmp(line, "attr")) {
		snprintf(t.attrs[t.nattrs++], sizeof(t.attrs[0]), "%s", rest);
	} else if (!strcmp(line, "in")) {
		read_value(rest, &t.in[t.nin++]);
	} else if (!strcmp(line, "const")) {
		read_value(rest, &t.in[t.nin]);
		t.in[t.nin++].is_const = true;
	} else if (!strcmp(line, "none")) {
		t.in[t.nin++].none = true;
	} else if (!strcmp(line, "out")) {
		read_value(rest, &t.out[t.nout++]);
	} else if (!strcmp(line, "error")) {
		snprintf(t.error, sizeof(t.error), "%s", rest);
		t.nout = HB_MAX(t.nout, 1);
	} else {
		fail_msg("%s:%d: unknown line '%s'", path, number, line);
	}
	return true;
}

static void
every_case_has_its_values(void **state)
{
	static char line[LINE];
	glob_t files;
	int cases = 0;

	(void)state;
	assert_int_equal(glob("tests/ops/*.test", 0, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		path = files.gl_pathv[i];
		FILE *f = fopen(path, "r");
		assert_non_null(f);
		int number = 0;
		bool more = true;
		memset(&t, 0, sizeof(t));
		while (more) {
			more = fgets(line, sizeof(line), f) != NULL;
			bool comment = more && *line == '#';
			number++;
			if (comment || (more && read_line(line, number)))
				continue;
			if (*t.op) {
				run_case();
				cases++;
			}
			memset(&t, 0, sizeof(t));
		}
		fclose(f);
	}
	globfree(&files);
	print_message("%d cases\n", cases);
	assert_true(cases > 0);
	assert_int_equal(failures, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_case_has_its_values) };
	return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
