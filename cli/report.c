/* report.c: text tables, JSON, and names made fit for terminals, JSON and files. */
#include "cli/html.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>

/* ---- text from files ---- */

/* Bytes of the UTF-8 character at p, 0 where there is none. */
static size_t
utf8_len(const unsigned char *p)
{
	size_t n = p[0] < 0x80                   ? 1
		   : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		   : (p[0] & 0xf0) == 0xe0       ? 3
		   : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						 : 0;

	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* overlong forms, surrogates, beyond U+10FFFF */
	if (n == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0)))
		return 0;
	if (n == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90)))
		return 0;
	return n;
}

const char *
clean(cli *c, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t n = strlen(s), i = 0;

	while (i < n && utf8_len(p + i) && p[i] >= 0x20 && p[i] != 0x7f)
		i += utf8_len(p + i);
	if (i == n)
		return s;
	char *out = hb_arena_alloc(c->arena, n * 3 + 1), *q = out;
	if (!out)
		return "?";
	for (i = 0; i < n;) {
		size_t k = utf8_len(p + i);

		if (k > 1 || (k == 1 && p[i] >= 0x20 && p[i] != 0x7f)) {
			memcpy(q, p + i, k);
			q += k;
			i += k;
		} else {
			memcpy(q, "\xef\xbf\xbd", 3);
			q += 3;
			i++;
		}
	}
	return out;
}

static size_t
columns(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

/* ---- tables ---- */

struct table {
	cli *c;
	size_t ncols, n, cap;
	const char **cells; /* the heads first */
};

table *
table_new(cli *c, ...)
{
	table *t = HB_NEW(c->arena, table);
	va_list ap;
	const char *head;

	if (!t)
		return NULL;
	t->c = c;
	va_start(ap, c);
	while ((head = va_arg(ap, const char *))) {
		table_cell(t, head);
		t->ncols++;
	}
	va_end(ap);
	return t;
}

hb_arena *
table_arena(const table *t)
{
	return t->c->arena;
}

void
table_cell(table *t, const char *text)
{
	if (t && HB_GROW(t->c->arena, &t->cells, &t->cap, t->n + 1))
		t->cells[t->n++] = clean(t->c, text);
}

void
table_cellf(table *t, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	table_cell(t, hb_arena_str(t->c->arena, text));
}

bool
table_has_rows(const table *t)
{
	return t && t->n > t->ncols;
}

void
table_text(const table *t, FILE *f)
{
	if (!t)
		return;
	size_t *width = HB_NEW_N(t->c->arena, size_t, t->ncols);

	for (size_t i = 0; width && i < t->n; i++)
		width[i % t->ncols] = HB_MAX(width[i % t->ncols], columns(t->cells[i]));
	for (size_t i = 0; width && i + t->ncols <= t->n; i += t->ncols) {
		for (size_t k = 0; k < t->ncols; k++) {
			const char *cell = t->cells[i + k];

			fputs(cell, f);
			if (k + 1 < t->ncols)
				fprintf(f, "%*s", (int)(width[k] - columns(cell) + 2), "");
		}
		fputc('\n', f);
	}
}

void
table_markdown(const table *t, FILE *f)
{
	if (!t)
		return;
	for (size_t i = 0; i + t->ncols <= t->n; i += t->ncols) {
		for (size_t k = 0; k < t->ncols; k++) {
			fputs("| ", f);
			for (const char *p = t->cells[i + k]; *p; p++)
				fprintf(f, "%s%c", strchr("|\\*_<>`[]", *p) ? "\\" : "", *p);
			fputc(' ', f);
		}
		fputs("|\n", f);
		for (size_t k = 0; k < t->ncols && i == 0; k++)
			fputs(k + 1 < t->ncols ? "| --- " : "| --- |\n", f);
	}
}

/* Figures, or the lack of one, in every row of a column that is not the first, which names rows. */
static bool
has_figures(const table *t, size_t column)
{
	bool all = column > 0;

	for (size_t i = t->ncols + column; i < t->n; i += t->ncols) {
		char *end;

		strtod(t->cells[i], &end);
		all &= (end != t->cells[i] && !*end) || !strcmp(t->cells[i], "--");
	}
	return all;
}

void
table_html(const table *t, hb_buf *b)
{
	bool *figures = t ? HB_NEW_N(t->c->arena, bool, t->ncols) : NULL;

	if (!figures) {
		b->bad = true;
		return;
	}
	for (size_t k = 0; k < t->ncols; k++)
		figures[k] = has_figures(t, k);
	hb_buf_str(b, "<div class=\"wide\"><table>\n");
	for (size_t i = 0; i + t->ncols <= t->n; i += t->ncols) {
		hb_buf_str(b, "<tr>");
		for (size_t k = 0; k < t->ncols; k++) {
			hb_buf_str(b, !i ? "<th>" : figures[k] ? "<td class=\"n\">" : "<td>");
			html_text(b, t->cells[i + k]);
			hb_buf_str(b, i ? "</td>" : "</th>");
		}
		hb_buf_str(b, "</tr>\n");
	}
	hb_buf_str(b, "</table></div>\n");
}

/* ---- JSON ---- */

json_t *
js(cli *c, const char *s)
{
	return s ? json_string(clean(c, s)) : json_null();
}

json_t *
js_real(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

json_t *
js_shape(const hb_shape *s)
{
	json_t *a = json_array();

	for (int i = 0; i < s->rank; i++)
		json_array_append_new(a, json_integer(s->dim[i]));
	return a;
}

json_t *
json_report(const char *schema)
{
	json_t *j = json_object();

	json_object_set_new(j, "schema", json_string(schema));
	return j;
}

hb_status
json_out(cli *c, json_t *j, const char *path)
{
	char *text = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	hb_status st = HB_OK;

	json_decref(j);
	if (!text)
		return hb_nomem(c->cx, NULL);
	if (path) {
		char *line = hb_arena_printf(c->arena, "%s\n", text);

		st = line ? hb_file_write(c->cx, path, line, strlen(line)) : hb_nomem(c->cx, NULL);
	} else {
		puts(text);
	}
	free(text);
	return st;
}

hb_status
report_output_check(cli *c)
{
	if (c->a.output && (!c->a.format || !strcmp(c->a.format, "text")) && config_said(c, O_output))
		return hb_error(c->cx, HB_ERR_USAGE, "--output", "option", "goes with --format json or html; text goes to standard output");
	return HB_OK;
}

/* ---- names ---- */

const char *
file_name_of(cli *c, const char *name, hb_map *used)
{
	enum { LONGEST = 200 };
	static const char ok[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	size_t n = strlen(name);
	char *s = hb_arena_str(c->arena, name);

	if (!s)
		return NULL;
	for (char *p = s; *p; p++)
		if (!strchr(ok, *p))
			*p = '_';
	if (n > LONGEST) {
		unsigned long crc = crc32(0, (const Bytef *)name, (uInt)n);

		s = hb_arena_printf(c->arena, "%.*s_%08lx", LONGEST - 9, s, crc);
	}
	if (!strcmp(s, ".") || !strcmp(s, ".."))
		s = hb_arena_printf(c->arena, "_%s", s);
	const char *base = s;
	for (int i = 2; s && hb_map_get(used, s); i++)
		s = hb_arena_printf(c->arena, "%s~%d", base, i);
	return s && hb_map_put(used, s, s) ? s : NULL;
}

const char *
model_name_of(cli *c, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	const char *dot = strchr(base, '.');
	static const char *const suffixes[] = {".qdq.onnx", ".fused.onnx", ".hbir.onnx", ".onnx", ".hbm"};
	size_t n = strlen(base);

	for (size_t i = 0; dot && i < HB_LEN(suffixes); i++) {
		size_t k = strlen(suffixes[i]);

		if (n > k && !strcmp(base + n - k, suffixes[i]))
			return hb_arena_strn(c->arena, base, n - k);
	}
	return base;
}

hb_status
make_folder(cli *c, const char *path)
{
	char *p = hb_arena_str(c->arena, path);

	if (!p)
		return hb_nomem(c->cx, NULL);
	for (char *q = p + 1; *q; q++) {
		if (*q != '/')
			continue;
		*q = 0;
		if (mkdir(p, 0777) && errno != EEXIST)
			return hb_error(c->cx, HB_ERR_SYSTEM, p, "folder", "%s", strerror(errno));
		*q = '/';
	}
	struct stat sb;
	if (mkdir(p, 0777) && (errno != EEXIST || stat(p, &sb) || !S_ISDIR(sb.st_mode)))
		return hb_error(c->cx, HB_ERR_SYSTEM, p, "folder", "%s", strerror(errno == EEXIST ? ENOTDIR : errno));
	return HB_OK;
}

const char *
dtype_word(const hb_q *q, hb_dtype dt)
{
	return hb_dtype_name(q && q->dtype != HB_NONE ? q->dtype : dt);
}
