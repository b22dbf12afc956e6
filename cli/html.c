/* html.c: the frame of a page. */
#include "cli/html.h"

void
html_begin(hb_buf *b, const char *title, const char *style)
{
	hb_buf_printf(b,
		      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s</title>\n"
		      "<meta name=\"viewport\" content=\"width=device-width\">\n"
		      /* whatever a name in a file holds: nothing is loaded and no script runs */
		      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<style>\n",
		      title);
	hb_buf_str(b, ":root{color-scheme:light dark;--text:#1a1a1a;--faint:#666;--line:#ccc;--page:#fff;"
		      "--a:#2a6fdb;--b:#c2410c;--c:#15803d;--d:#7c7c7c}\n"
		      "@media (prefers-color-scheme:dark){:root{--text:#e6e6e6;--faint:#a0a0a0;--line:#444;--page:#161616;"
		      "--a:#6ea8ff;--b:#ff9a5c;--c:#5bd18b;--d:#9a9a9a}}\n"
		      "body{font:14px sans-serif;margin:2em;color:var(--text);background:var(--page)}\n"
		      "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}.wide{overflow-x:auto}\n"
		      "table{border-collapse:collapse;margin:1em 0}"
		      "td,th{border:1px solid var(--line);padding:.2em .6em;text-align:left}"
		      "td.n{text-align:right;font-variant-numeric:tabular-nums}\n");
	hb_buf_printf(b, "%s\n</style></head><body>\n<h1>%s</h1>\n", style, title);
}

void
html_text(hb_buf *b, const char *s)
{
	for (; *s; s++) {
		const char *e = *s == '<'   ? "&lt;"
				: *s == '>' ? "&gt;"
				: *s == '&' ? "&amp;"
				: *s == '"' ? "&quot;"
					    : NULL;

		if (e)
			hb_buf_str(b, e);
		else
			hb_buf_add(b, s, 1);
	}
}

hb_status
html_end(cli *c, hb_buf *b)
{
	hb_buf_str(b, "</body></html>\n");
	hb_status st = b->bad ? hb_nomem(c->cx, NULL) : HB_OK;
	if (st == HB_OK && c->a.output)
		st = hb_file_write(c->cx, c->a.output, b->p, b->len);
	else if (st == HB_OK)
		fwrite(b->p, 1, b->len, stdout);
	hb_buf_free(b);
	return st;
}
