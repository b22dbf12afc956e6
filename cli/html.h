/* html.h: what reports as a page of HTML have alike: one file that needs no other, readable in light and dark. */
#ifndef HBCC_HTML_H
#define HBCC_HTML_H

#include "cli/cli.h"

/* Opens the page; style: more rules of CSS, which may use the colours --text, --faint, --line, --page, --a to --d. */
void html_begin(hb_buf *b, const char *title, const char *style);
/* s so that nothing in it is markup, in an attribute's quotes either. */
void html_text(hb_buf *b, const char *s);
/* Closes the page, writes it to --output or standard output, and frees b. */
hb_status html_end(cli *c, hb_buf *b);

#endif
