/* samples.c: --calib's paths as a stream of samples. One file is open an input at a time, so memory does not
 * grow with the number of samples. */
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>

typedef struct source {
	const char *path, *member; /* member of an .npz, or NULL */
} source;

typedef struct stream { /* of one input */
	source *v;
	size_t n, cap;
	size_t file;       /* that is open */
	int64_t at, count; /* next sample in it, samples in it */
	array open;
	void *buf;
	size_t bytes;
} stream;

struct samples {
	cli *c;
	port *ports;
	size_t nports;
	stream *s;
	int64_t next;	/* sample that comes next */
	int64_t hashed; /* samples in crc so far: each counts once, in order */
	uint32_t crc;
	uint64_t bytes; /* of those */
};

static bool
known_suffix(const char *name)
{
	static const char *const ok[] = {".npy", ".npz", ".pb", ".bin", ".raw"};
	size_t n = strlen(name);

	for (size_t i = 0; i < HB_LEN(ok); i++)
		if (n > strlen(ok[i]) && !strcasecmp(name + n - strlen(ok[i]), ok[i]))
			return true;
	return is_image(name);
}

static bool
is_npz(const char *path)
{
	size_t n = strlen(path);

	return n > 4 && !strcasecmp(path + n - 4, ".npz");
}

static bool
is_folder(const char *path)
{
	struct stat sb;

	return !stat(path, &sb) && S_ISDIR(sb.st_mode);
}

static hb_status sample_error(cli *c, hb_status st, const char *path, const char *fmt, ...) HB_PRINTF(4, 5);
static hb_status
sample_error(cli *c, hb_status st, const char *path, const char *fmt, ...)
{
	const char *was = c->cx->file;
	va_list ap;

	c->cx->file = path;
	va_start(ap, fmt);
	hb_vdiag(c->cx, HB_ERROR, st, NULL, "sample", fmt, ap);
	va_end(ap);
	c->cx->file = was;
	return st;
}

static hb_status
add_source(cli *c, stream *s, const char *path, const char *member)
{
	if (!HB_GROW(c->arena, &s->v, &s->cap, s->n + 1))
		return hb_nomem(c->cx, path);
	s->v[s->n++] = (source){path, member};
	return HB_OK;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The samples in a folder, by name. */
static hb_status
list_folder(cli *c, const char *path, strings *out)
{
	DIR *d = opendir(path);
	hb_status st = HB_OK;
	struct dirent *e;

	if (!d)
		return sample_error(c, HB_ERR_SYSTEM, path, "%s", strerror(errno));
	while (st == HB_OK && (e = readdir(d))) {
		if (e->d_name[0] == '.' || !known_suffix(e->d_name))
			continue;
		char *full = hb_arena_printf(c->arena, "%s/%s", path, e->d_name);
		st = full ? strings_add(c, out, full) : hb_nomem(c->cx, path);
	}
	closedir(d);
	HB_TRY(st);
	if (!out->n)
		return sample_error(c, HB_ERR_INPUT, path, "holds no .npy, .npz, .pb, .bin, .jpg or .png");
	qsort(out->v, out->n, sizeof(*out->v), by_text);
	return HB_OK;
}

/* An .npz gives every input that it has an array for; the only array where there is one input. */
static hb_status
add_npz(samples *s, const char *path, size_t of)
{
	cli *c = s->c;
	const char **names;
	size_t n, hits = 0;

	HB_TRY(npz_names(c->cx, path, c->arena, &names, &n));
	for (size_t i = 0; i < s->nports; i++) {
		for (size_t k = 0; k < n && (of == s->nports || of == i); k++) {
			if (strcmp(names[k], s->ports[i].name))
				continue;
			HB_TRY(add_source(c, &s->s[i], path, names[k]));
			hits++;
		}
	}
	if (hits)
		return HB_OK;
	if (n == 1 && (s->nports == 1 || of < s->nports))
		return add_source(c, &s->s[s->nports == 1 ? 0 : of], path, NULL);
	return sample_error(c, HB_ERR_INPUT, path, "has no array of an input's name ('%s'%s)", s->ports[0].name,
			    s->nports > 1 ? ", ..." : "");
}

static hb_status
add_file(samples *s, const char *path, size_t of)
{
	if (is_npz(path))
		return add_npz(s, path, of);
	if (of == s->nports && s->nports > 1)
		return sample_error(s->c, HB_ERR_USAGE, path, "the model has %zu inputs: say which, --calib %s=PATH",
				    s->nports, s->ports[0].name);
	return add_source(s->c, &s->s[of == s->nports ? 0 : of], path, NULL);
}

static hb_status
add_path(samples *s, const char *said)
{
	cli *c = s->c;
	size_t of = s->nports; /* none in particular */
	const char *path = said;
	strings files = {0};

	for (size_t i = 0; i < s->nports; i++) {
		size_t n = strlen(s->ports[i].name);

		if (!strncmp(said, s->ports[i].name, n) && said[n] == '=') {
			of = i;
			path = said + n + 1;
		}
	}
	const char *eq = strchr(said, '=');
	struct stat sb;
	if (of == s->nports && eq && stat(said, &sb))
		return hb_error(c->cx, HB_ERR_USAGE, "--calib", "sample", "the model has no input '%.*s'",
				(int)(eq - said), said);
	if (!is_folder(path))
		return add_file(s, path, of);
	/* a folder of folders, one an input */
	if (of == s->nports && s->nports > 1) {
		size_t found = 0;

		for (size_t i = 0; i < s->nports; i++) {
			char *sub = hb_arena_printf(c->arena, "%s/%s", path, s->ports[i].name);

			if (!sub)
				return hb_nomem(c->cx, path);
			if (!is_folder(sub))
				continue;
			files.n = 0;
			HB_TRY(list_folder(c, sub, &files));
			for (size_t k = 0; k < files.n; k++)
				HB_TRY(add_file(s, files.v[k], i));
			found++;
		}
		if (found)
			return HB_OK;
	}
	HB_TRY(list_folder(c, path, &files));
	for (size_t k = 0; k < files.n; k++)
		HB_TRY(add_file(s, files.v[k], of));
	return HB_OK;
}

static hb_status
open_all(samples *s, const strings *paths)
{
	cli *c = s->c;

	for (size_t i = 0; i < paths->n; i++)
		HB_TRY(add_path(s, paths->v[i]));
	for (size_t i = 0; i < s->nports; i++) {
		const port *p = &s->ports[i];

		if (!s->s[i].n)
			return hb_error(c->cx, HB_ERR_USAGE, "--calib", "sample", "input '%s' has no samples", p->name);
		s->s[i].bytes = (size_t)hb_shape_elems(&p->shape) * hb_dtype_size(p->dtype);
		s->s[i].buf = hb_big_alloc(c->cx, s->s[i].bytes ? s->s[i].bytes : 1);
		if (!s->s[i].buf)
			return hb_nomem(c->cx, p->name);
	}
	return HB_OK;
}

hb_status
samples_open(cli *c, const strings *paths, const port *ports, size_t nports, samples **out)
{
	samples *s;

	*out = NULL;
	if (!paths->n || !nports)
		return HB_OK;
	s = HB_NEW(c->arena, samples);
	if (!s || !(s->s = HB_NEW_N(c->arena, stream, nports)) || !(s->ports = HB_NEW_N(c->arena, port, nports)))
		return hb_nomem(c->cx, NULL);
	s->c = c;
	s->nports = nports;
	memcpy(s->ports, ports, sizeof(*ports) * nports);
	for (size_t i = 0; i < nports; i++) {
		hb_camera *k = ports[i].camera ? HB_NEW(c->arena, hb_camera) : NULL;

		s->ports[i].train = true;
		if (k && config_camera(c, ports[i].name, i, k))
			s->ports[i].camera = k;
	}
	hb_status st = open_all(s, paths);
	if (st == HB_OK)
		*out = s;
	else
		samples_close(s);
	return st;
}

void
samples_close(samples *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nports; i++) {
		array_free(s->c->cx, &s->s[i].open);
		if (s->s[i].buf)
			hb_big_free(s->c->cx, s->s[i].buf, s->s[i].bytes ? s->s[i].bytes : 1);
		s->s[i].buf = NULL;
	}
}

static void
rewind_all(samples *s)
{
	for (size_t i = 0; i < s->nports; i++) {
		array_free(s->c->cx, &s->s[i].open);
		s->s[i].file = 0;
		s->s[i].at = s->s[i].count = 0;
	}
	s->next = 0;
}

/* The next sample of one input; *more false at the end. With `out` NULL it is passed over. */
static hb_status
step(samples *s, size_t i, hb_val *out, bool *more)
{
	stream *t = &s->s[i];
	hb_ctx *cx = s->c->cx;

	while (t->at >= t->count) {
		if (t->open.path) {
			array_free(cx, &t->open);
			t->file++;
		}
		if (t->file >= t->n) {
			*more = false;
			return HB_OK;
		}
		t->at = t->count = 0;
		HB_TRY(array_read(cx, t->v[t->file].path, t->v[t->file].member, &t->open));
		HB_TRY(array_count(s->c, &t->open, &s->ports[i], &t->count));
	}
	array_passed(&t->open, t->at, t->count);
	if (out)
		HB_TRY(array_sample(s->c, &t->open, &s->ports[i], i, t->at, t->buf, out));
	t->at++;
	return HB_OK;
}

hb_status
samples_get(void *arg, int64_t k, hb_val *in, bool *more)
{
	samples *s = arg;
	size_t ended = 0;

	if (k < s->next)
		rewind_all(s);
	*more = true;
	for (; s->next <= k; s->next++) {
		for (size_t i = 0; i < s->nports; i++) {
			bool has = true;

			HB_TRY(step(s, i, s->next == k ? &in[i] : NULL, &has));
			ended += !has;
		}
		if (!ended && s->next == k && k == s->hashed) {
			for (size_t i = 0; i < s->nports; i++) {
				s->crc = (uint32_t)crc32_z(s->crc, in[i].data, s->s[i].bytes);
				s->bytes += s->s[i].bytes;
			}
			s->hashed++;
		}
		if (!ended)
			continue;
		*more = false;
		if (ended < s->nports)
			return hb_error(s->c->cx, HB_ERR_INPUT, "--calib", "sample",
					"the inputs have different numbers of samples; one ends after %lld",
					(long long)s->next);
		return HB_OK;
	}
	return HB_OK;
}

void
samples_count(const samples *s, cli *c)
{
	c->samples_crc = s->crc;
	c->samples_bytes = s->bytes;
	c->nsamples = s->hashed;
}

hb_status
graph_ports(cli *c, const hb_graph *g, port **out)
{
	port *p = HB_NEW_N(c->arena, port, g->ninputs ? g->ninputs : 1);

	if (!p)
		return hb_nomem(c->cx, NULL);
	for (size_t i = 0; i < g->ninputs; i++)
		p[i] = (port){g->inputs[i]->name, g->inputs[i]->dtype, g->inputs[i]->shape, true,
			      g->inputs[i]->q.dtype != HB_NONE ? &g->inputs[i]->q : NULL, NULL, false};
	for (size_t i = 0; i < g->ninputs; i++)
		HB_TRY(camera_port(c, g->meta, &p[i]));
	*out = p;
	return HB_OK;
}
