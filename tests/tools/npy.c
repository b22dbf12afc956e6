/* npy: what the shell tests need of .npy files. Its own reader: what hbcc wrote is not read back by hbcc.
 *
 *   npy diff A B [ATOL RTOL]   exit 1 where an element differs (|a - b| > ATOL + RTOL * |b|; exact without)
 *   npy cosine A B MIN         exit 1 where the cosine over all elements is below MIN; prints it
 *   npy first IN OUT           the first entry along the first dimension of a float32 array, that dimension 1
 *   npy arange SHAPE OUT       float32 0/n, 1/n, ... (n - 1)/n in that shape: 1x3x224x224
 */
#include <math.h>

#include "tests/tools/npy.h"

static int
diff(const struct array *a, const struct array *b, double atol, double rtol, int exact)
{
	long count = 0, first = -1;
	double worst = 0;
	if (a->n != b->n || (exact && (a->type != b->type || a->size != b->size))) {
		printf("type or shape differs: %c%d (%s) and %c%d (%s)\n", a->type, a->size, a->shape, b->type, b->size, b->shape);
		return 1;
	}
	for (long i = 0; i < a->n; i++) {
		double x = at(a, i), y = at(b, i);
		int same = x == y || (isnan(x) && isnan(y));
		if (same || (!exact && fabs(x - y) <= atol + rtol * fabs(y)))
			continue;
		first = count++ ? first : i;
		worst = fmax(worst, fabs(x - y));
	}
	if (count)
		printf("%ld of %ld differ, first at %ld: %.9g and %.9g, by at most %.9g\n", count, a->n, first, at(a, first), at(b, first), worst);
	return count != 0;
}

static int
cosine(const struct array *a, const struct array *b, double min)
{
	double ab = 0, aa = 0, bb = 0;
	if (a->n != b->n)
		return printf("shape differs\n"), 1;
	for (long i = 0; i < a->n; i++) {
		ab += at(a, i) * at(b, i);
		aa += at(a, i) * at(a, i);
		bb += at(b, i) * at(b, i);
	}
	double c = aa && bb ? ab / sqrt(aa) / sqrt(bb) : aa == bb;
	printf("%.6f\n", c);
	return !(c >= min);
}

static void
write_float(const char *path, const char *dims, const float *v, long n)
{
	char head[512];
	int len = 118;
	snprintf(head, sizeof(head), "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", dims);
	FILE *f = fopen(path, "wb");
	if (!f)
		bad(path, "cannot be written");
	fprintf(f, "%cNUMPY%c%c%c%c%-*s\n", 0x93, 1, 0, len & 255, len >> 8, len - 1, head);
	fwrite(v, 4, (size_t)n, f);
	if (fclose(f))
		bad(path, "cannot be written");
}

static int
first(const char *from, const char *to)
{
	struct array a = load(from);
	char dims[300];
	char *rest = strchr(a.shape, ',');
	long count = strtol(a.shape, NULL, 10);
	if (a.type != 'f' || a.size != 4 || !rest || count < 1)
		bad(from, "is no float32 array with a first dimension");
	snprintf(dims, sizeof(dims), "1%s", rest);
	write_float(to, dims, (const float *)(const void *)a.data, a.n / count);
	free(a.data);
	return 0;
}

static int
arange(const char *shape, const char *path)
{
	long n = 1;
	char dims[256] = "";
	for (const char *p = shape; *p; p += *p == 'x') {
		char *end;
		long d = strtol(p, &end, 10);
		if (end == p)
			bad(shape, "is no shape");
		n *= d;
		snprintf(dims + strlen(dims), sizeof(dims) - strlen(dims), "%ld,", d);
		p = end;
	}
	float *v = malloc((size_t)n * sizeof(*v));
	if (!v)
		bad(shape, "is too large");
	for (long i = 0; i < n; i++)
		v[i] = (float)((double)i / (double)n);
	write_float(path, dims, v, n);
	free(v);
	return 0;
}

int
main(int argc, char **argv)
{
	if ((argc == 4 || argc == 6) && !strcmp(argv[1], "diff")) {
		struct array a = load(argv[2]), b = load(argv[3]);
		int answer = diff(&a, &b, argc > 4 ? atof(argv[4]) : 0, argc > 4 ? atof(argv[5]) : 0, argc == 4);
		free(a.data);
		free(b.data);
		return answer;
	}
	if (argc == 5 && !strcmp(argv[1], "cosine")) {
		struct array a = load(argv[2]), b = load(argv[3]);
		int answer = cosine(&a, &b, atof(argv[4]));
		free(a.data);
		free(b.data);
		return answer;
	}
	if (argc == 4 && !strcmp(argv[1], "first"))
		return first(argv[2], argv[3]);
	if (argc == 4 && !strcmp(argv[1], "arange"))
		return arange(argv[2], argv[3]);
	fprintf(stderr, "usage: npy diff A B [ATOL RTOL] | cosine A B MIN | first IN OUT | arange SHAPE OUT\n");
	return 2;
}
