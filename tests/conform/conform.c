/* conform.c: ONNX's own operator cases, where HBCC_SHARED has them: `hbcc run` on each model and its
 * inputs must give the recorded outputs. What passes is held against tests/conform/passes.txt, exactly:
 * a case lost fails, and so does one gained that the list does not have.
 * `conform CASE...` tells about single cases. */
#include "lib/onnx/onnx.h"
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { PATH = 1024, ARGS = 64, MOST = 4096 };
static const double RTOL = 1e-3, ATOL = 1e-5;

static char cases_dir[PATH / 2], work[] = "/tmp/hbcc-conform-XXXXXX";
static const char *program;

static double
element(const hb_tensor *t, const void *data, int64_t i)
{
	switch (t->dtype) {
	case HB_F32: return ((const float *)data)[i];
	case HB_I8: return ((const int8_t *)data)[i];
	case HB_U8: case HB_BOOL: return ((const uint8_t *)data)[i];
	case HB_I16: return ((const int16_t *)data)[i];
	case HB_U16: return ((const uint16_t *)data)[i];
	case HB_I32: return ((const int32_t *)data)[i];
	case HB_U32: return ((const uint32_t *)data)[i];
	default: return 0;
	}
}

/* NULL, or what differs. */
static const char *
compare(hb_graph *g, const char *want_path, const char *got_path)
{
	static char why[256];
	hb_file *fw, *fg;
	hb_tensor *w, *v;

	if (hb_file_map(g->cx, want_path, &fw) != HB_OK || hb_onnx_parse_tensor(g, fw->p, fw->size, &w) != HB_OK)
		return "expected output cannot be read";
	if (hb_file_map(g->cx, got_path, &fg) != HB_OK || hb_onnx_parse_tensor(g, fg->p, fg->size, &v) != HB_OK)
		return "output is missing";
	if (w->dtype != v->dtype || !hb_shape_eq(&w->shape, &v->shape)) {
		char a[HB_SHAPE_TEXT], b[HB_SHAPE_TEXT];
		snprintf(why, sizeof(why), "is %s %.100s, expected %s %.100s", hb_dtype_name(v->dtype), hb_shape_text(&v->shape, a),
			 hb_dtype_name(w->dtype), hb_shape_text(&w->shape, b));
		return why;
	}
	int64_t n = hb_shape_elems(&w->shape);
	const void *dw = hb_tensor_data(g, w), *dv = hb_tensor_data(g, v);
	if (n && (!dw || !dv))
		return "contents cannot be read";
	if (w->dtype != HB_F32) {
		bool same = !n || !memcmp(dw, dv, (size_t)n * hb_dtype_size(w->dtype));
		for (int64_t i = 0; !same && i < n; i++) {
			if (element(w, dw, i) == element(v, dv, i))
				continue;
			snprintf(why, sizeof(why), "element %lld is %g, expected %g", (long long)i, element(v, dv, i), element(w, dw, i));
			return why;
		}
		return same ? NULL : "64-bit integers differ";
	}
	for (int64_t i = 0; i < n; i++) {
		double a = element(v, dv, i), b = element(w, dw, i);
		if (a == b || (a != a && b != b) || fabs(a - b) <= ATOL + RTOL * fabs(b))
			continue;
		snprintf(why, sizeof(why), "element %lld is %.8g, expected %.8g", (long long)i, a, b);
		return why;
	}
	return NULL;
}

static bool
exists(const char *path)
{
	struct stat sb;
	return stat(path, &sb) == 0;
}

/* Runs the program; its exit code, or -1. What it says goes to work/log. */
static int
run(char **argv)
{
	char log[PATH];
	posix_spawn_file_actions_t fa;
	pid_t pid;
	int st;

	snprintf(log, sizeof(log), "%s/log", work);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&fa, 1, 2);
	int err = posix_spawn(&pid, program, &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	if (err || waitpid(pid, &st, 0) != pid)
		return -1;
	return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

/* NULL where the case passes, else why not. */
static const char *
try_case(const char *name)
{
	static char why[512], path[ARGS][PATH];
	char dir[PATH], out[PATH], model[PATH];
	char *argv[ARGS] = { (char *)(uintptr_t)program, "run", model, "--jobs", "1", "--format", "pb", "--output", out };
	int argc = 9, n = 0;

	snprintf(dir, sizeof(dir), "%s/%s/test_data_set_0", cases_dir, name);
	snprintf(model, sizeof(model), "%s/%s/model.onnx", cases_dir, name);
	snprintf(out, sizeof(out), "%s/%s", work, name);
	for (int i = 0; i < 24; i++, n++) {
		snprintf(path[n], PATH, "%.900s/input_%d.pb", dir, i);
		if (!exists(path[n]))
			break;
		argv[argc++] = "--input";
		argv[argc++] = path[n];
	}
	int code = run(argv);
	if (code) {
		char log[PATH], said[256] = "";
		snprintf(log, sizeof(log), "%s/log", work);
		FILE *f = fopen(log, "r");
		if (f) {
			size_t k = fread(said, 1, sizeof(said) - 1, f);
			said[k] = 0;
			said[strcspn(said, "\n")] = 0;
			fclose(f);
		}
		snprintf(why, sizeof(why), "exit %d: %s", code, said);
		return why;
	}
	test_log log = { 0 };
	hb_ctx *cx = test_ctx(&log, 1);
	hb_graph *g = hb_graph_new(cx);
	const char *differs = NULL;
	for (int i = 0; g && !differs; i++) {
		char want[PATH], got[PATH];
		snprintf(want, sizeof(want), "%.900s/output_%d.pb", dir, i);
		snprintf(got, sizeof(got), "%.900s/out_%d.pb", out, i);
		if (!exists(want)) {
			differs = i ? NULL : "has no expected output";
			break;
		}
		differs = compare(g, want, got);
		if (differs) {
			snprintf(why, sizeof(why), "output %d: %s", i, differs);
			differs = why;
		}
	}
	hb_ctx_free(cx);
	return differs;
}

/* Names in the first column of a table, its head line left out; lines of '#' too. */
static size_t
read_names(const char *path, char names[][128], size_t n, bool head)
{
	char line[4096];
	FILE *f = fopen(path, "r");

	if (!f)
		return n;
	while (n < MOST && fgets(line, sizeof(line), f)) {
		if (head || *line == '#' || *line == '\n') {
			head = false;
			continue;
		}
		line[strcspn(line, "\t\n")] = 0;
		snprintf(names[n++], sizeof(names[0]), "%.127s", line);
	}
	fclose(f);
	return n;
}

static bool
listed(char names[][128], size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

static char cases[MOST][128], passes[MOST][128];

static void
what_passes_is_what_the_list_says(void **state)
{
	char path[PATH];
	size_t n, listed_n, passed = 0;
	int wrong = 0;

	(void)state;
	snprintf(path, sizeof(path), "%s/cases.tsv", cases_dir);
	n = read_names(path, cases, 0, true);
	if (!n)
		skip();
	snprintf(path, sizeof(path), "%s/cases-control-flow.tsv", cases_dir);
	n = read_names(path, cases, n, true);
	listed_n = read_names("tests/conform/passes.txt", passes, 0, false);
	assert_non_null(mkdtemp(work));
	for (size_t i = 0; i < n; i++) {
		const char *why = try_case(cases[i]);
		bool is = listed(passes, listed_n, cases[i]);
		passed += !why;
		if (!why == is)
			continue;
		wrong++;
		print_message("%s: %s\n", cases[i], why ? why : "passes and is not in the list");
	}
	print_message("%zu of %zu cases pass\n", passed, n);
	char command[PATH];
	snprintf(command, sizeof(command), "rm -rf '%s'", work);
	assert_int_equal(system(command), 0);
	assert_int_equal(wrong, 0);
	for (size_t i = 0; i < listed_n; i++)
		assert_true(listed(cases, n, passes[i]));
}

int
main(int argc, char **argv)
{
	const char *shared = getenv("HBCC_SHARED");

	program = getenv("HBCC");
	if (!program)
		program = "build/hbcc";
	snprintf(cases_dir, sizeof(cases_dir), "%.400s/onnx-node-tests", shared ? shared : "../shared");
	if (argc > 1) {
		if (!mkdtemp(work))
			return 1;
		for (int i = 1; i < argc; i++) {
			const char *why = try_case(argv[i]);
			printf("%s: %s\n", argv[i], why ? why : "passes");
		}
		return 0;
	}
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_passes_is_what_the_list_says) };
	return cmocka_run_group_tests_name("conform", tests, NULL, NULL);
}
