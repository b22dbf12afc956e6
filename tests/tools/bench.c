/* bench: what tests/bench.sh needs beside the shell.
 *	bench noise OUT.npy N COUNT DIM...	float32 noise, uniform in [-1, 1): COUNT samples of N x DIM...
 *	bench chain OUT.onnx NODES		Tanh and Sigmoid in turn
 *	bench large OUT.onnx LAYERS		products by matrices of 64 MiB
 *	bench time COMMAND...			runs it without output: wall ms, user ms, peak KiB */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <fcntl.h>
#include <unistd.h>

static int
fail(const char *what)
{
	perror(what);
	return 2;
}

static uint64_t seed = 1;

static float
draw(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (float)(int32_t)(seed >> 32) * 0x1p-31f;
}

static int
noise(int n, char **v)
{
	char head[256];
	long long count = atoll(v[1]) * atoll(v[2]);
	FILE *f = fopen(v[0], "wb");
	if (!f)
		return fail(v[0]);
	int at = snprintf(head, sizeof(head), "{'descr': '<f4', 'fortran_order': False, 'shape': (%lld,", count);
	for (int i = 3; i < n; i++) {
		at += snprintf(head + at, sizeof(head) - (size_t)at, " %s,", v[i]);
		count *= atoll(v[i]);
	}
	at += snprintf(head + at, sizeof(head) - (size_t)at, "), }");
	fprintf(f, "\x93NUMPY\x01%c%c%c%-*s\n", 0, 246, 0, 245, head);
	for (long long i = 0; i < count; i++) {
		float x = draw();
		fwrite(&x, 4, 1, f);
	}
	return fclose(f) ? fail(v[0]) : 0;
}

/* ---- protobuf ---- */

typedef struct bytes {
	uint8_t *p;
	size_t n;
} bytes;

static void
put(bytes *b, const void *p, size_t n)
{
	b->p = realloc(b->p, b->n + n + 1);
	if (!b->p)
		exit(fail("bench"));
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

static void
varint(bytes *b, uint64_t v)
{
	for (; v > 127; v >>= 7)
		put(b, &(uint8_t){ (uint8_t)(v | 128) }, 1);
	put(b, &(uint8_t){ (uint8_t)v }, 1);
}

static void
number(bytes *b, int field, uint64_t v)
{
	varint(b, (uint64_t)field << 3);
	varint(b, v);
}

static void
text(bytes *b, int field, const char *s)
{
	varint(b, (uint64_t)field << 3 | 2);
	varint(b, strlen(s));
	put(b, s, strlen(s));
}

static void
message(bytes *b, int field, bytes *m)
{
	varint(b, (uint64_t)field << 3 | 2);
	varint(b, m->n);
	put(b, m->p, m->n);
	free(m->p);
	*m = (bytes){ 0 };
}

/* A ValueInfoProto of float32 rows x cols. */
static void
value(bytes *graph, int field, const char *name, int64_t rows, int64_t cols)
{
	bytes dim = { 0 }, shape = { 0 }, tensor = { 0 }, type = { 0 }, v = { 0 };
	number(&dim, 1, (uint64_t)rows);
	message(&shape, 1, &dim);
	number(&dim, 1, (uint64_t)cols);
	message(&shape, 1, &dim);
	number(&tensor, 1, 1);
	message(&tensor, 2, &shape);
	message(&type, 1, &tensor);
	text(&v, 1, name);
	message(&v, 2, &type);
	message(graph, field, &v);
}

static void
node(bytes *graph, const char *op, const char *a, const char *b, const char *y)
{
	bytes n = { 0 };
	text(&n, 1, a);
	if (b)
		text(&n, 1, b);
	text(&n, 2, y);
	text(&n, 3, y);
	text(&n, 4, op);
	message(graph, 1, &n);
}

/* ModelProto up to its graph of `size` bytes. */
static bytes
model_head(uint64_t size)
{
	bytes m = { 0 }, opset = { 0 };
	number(&m, 1, 8);
	number(&opset, 2, 17);
	message(&m, 8, &opset);
	varint(&m, 7 << 3 | 2);
	varint(&m, size);
	return m;
}

static int
chain(char **v)
{
	long count = atol(v[1]);
	bytes graph = { 0 };
	char a[32] = "x", y[32];
	text(&graph, 2, "chain");
	value(&graph, 11, "x", 1, 16);
	for (long i = 0; i < count; i++) {
		snprintf(y, sizeof(y), "t%ld", i);
		node(&graph, i % 2 ? "Sigmoid" : "Tanh", a, NULL, y);
		memcpy(a, y, sizeof(a));
	}
	value(&graph, 12, a, 1, 16);
	bytes head = model_head(graph.n);
	FILE *f = fopen(v[0], "wb");
	if (!f)
		return fail(v[0]);
	fwrite(head.p, 1, head.n, f);
	fwrite(graph.p, 1, graph.n, f);
	return fclose(f) ? fail(v[0]) : 0;
}

static int
large(char **v)
{
	enum { SIDE = 4096 };
	long layers = atol(v[1]);
	size_t payload = (size_t)SIDE * SIDE * 4;
	bytes graph = { 0 }, head[64];
	uint64_t size = 0;
	char a[32] = "x", y[32], w[32];
	if (layers < 1 || layers > 64)
		return 2;
	text(&graph, 2, "large");
	value(&graph, 11, "x", 1, SIDE);
	for (long i = 0; i < layers; i++) {
		bytes t = { 0 };
		snprintf(y, sizeof(y), "t%ld", i);
		snprintf(w, sizeof(w), "w%ld", i);
		node(&graph, "MatMul", a, w, y);
		memcpy(a, y, sizeof(a));
		number(&t, 1, SIDE);
		number(&t, 1, SIDE);
		number(&t, 2, 1);
		text(&t, 8, w);
		varint(&t, 9 << 3 | 2);
		varint(&t, payload);
		head[i] = (bytes){ 0 };
		varint(&head[i], 5 << 3 | 2);
		varint(&head[i], t.n + payload);
		put(&head[i], t.p, t.n);
		size += head[i].n + payload;
	}
	value(&graph, 12, a, 1, SIDE);
	bytes top = model_head(size + graph.n);
	float *row = calloc(1, payload);
	FILE *f = fopen(v[0], "wb");
	if (!f || !row)
		return fail(v[0]);
	for (size_t i = 0; i < payload / 4; i++)
		row[i] = draw();
	fwrite(top.p, 1, top.n, f);
	for (long i = 0; i < layers; i++) {
		fwrite(head[i].p, 1, head[i].n, f);
		fwrite(row, 1, payload, f);
	}
	fwrite(graph.p, 1, graph.n, f);
	return fclose(f) ? fail(v[0]) : 0;
}

static int
timed(char **v)
{
	struct timespec a, b;
	struct rusage u;
	int status;
	clock_gettime(CLOCK_MONOTONIC, &a);
	pid_t pid = fork();
	if (pid < 0)
		return fail("fork");
	if (!pid) {
		int null = open("/dev/null", O_RDWR);
		dup2(null, 1);
		dup2(null, 2);
		execvp(v[0], v);
		_exit(127);
	}
	if (wait4(pid, &status, 0, &u) < 0)
		return fail("wait");
	clock_gettime(CLOCK_MONOTONIC, &b);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "bench: %s failed\n", v[0]);
		return 1;
	}
	printf("%.2f %.2f %ld\n", (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6,
	       (double)u.ru_utime.tv_sec * 1e3 + (double)u.ru_utime.tv_usec / 1e3, u.ru_maxrss);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc > 4 && !strcmp(argv[1], "noise"))
		return noise(argc - 2, argv + 2);
	if (argc == 4 && !strcmp(argv[1], "chain"))
		return chain(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "large"))
		return large(argv + 2);
	if (argc > 2 && !strcmp(argv[1], "time"))
		return timed(argv + 2);
	fprintf(stderr, "usage: bench noise|chain|large|time ...\n");
	return 2;
}
