/* npy.h: a reader of .npy files for the tests, apart from hbcc's own. */
#ifndef TEST_NPY_H
#define TEST_NPY_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct array {
	char type, shape[256];
	int size;
	long n;
	uint8_t *data;
};

static inline int
bad(const char *path, const char *why)
{
	fprintf(stderr, "npy: %s: %s\n", path, why);
	exit(2);
}

static inline struct array
load(const char *path)
{
	struct array a = { 0 };
	uint8_t head[10];
	FILE *f = fopen(path, "rb");
	if (!f || fread(head, 1, 10, f) != 10 || memcmp(head, "\x93NUMPY\1", 7))
		bad(path, "cannot be read as .npy version 1");
	int len = head[8] | head[9] << 8;
	char *text = calloc(1, (size_t)len + 1);
	if (!text || fread(text, 1, (size_t)len, f) != (size_t)len)
		bad(path, "is cut off");
	char *d = strstr(text, "'descr'"), *s = strstr(text, "'shape'");
	if (!d || !s || !strstr(text, "'fortran_order': False"))
		bad(path, "has no descr, shape or C order");
	d = strpbrk(d + 7, "<|>");
	a.type = d ? d[1] : 0;
	a.size = d ? atoi(d + 2) : 0;
	s = strchr(s, '(');
	char *e = s ? strchr(s, ')') : NULL;
	if (!d || !e || *d == '>' || e - s > 250)
		bad(path, "has a header that is not taken");
	memcpy(a.shape, s + 1, (size_t)(e - s - 1));
	a.n = 1;
	for (char *p = a.shape; *p;) {
		a.n *= strtol(p, &p, 10);
		p += strspn(p, ", ");
	}
	a.data = malloc((size_t)(a.n * a.size) + 1);
	if (!a.data || fread(a.data, (size_t)a.size, (size_t)a.n, f) != (size_t)a.n)
		bad(path, "is cut off");
	fclose(f);
	free(text);
	return a;
}

static inline double
at(const struct array *a, long i)
{
	const uint8_t *p = a->data + i * a->size;
	if (a->type == 'f') {
		float v;
		double w;
		if (a->size == 8)
			return memcpy(&w, p, 8), w;
		return memcpy(&v, p, 4), v;
	}
	uint64_t v = 0;
	for (int k = a->size - 1; k >= 0; k--)
		v = v << 8 | p[k];
	if (a->type == 'i' && a->size < 8 && v >> (8 * a->size - 1))
		v |= ~UINT64_C(0) << (8 * a->size);
	return a->type == 'i' ? (double)(int64_t)v : (double)v;
}

#endif
