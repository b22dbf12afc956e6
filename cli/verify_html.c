/* verify_html.c: what verify found, as a page: tables, the error by depth, each layer's values beside its clip. */
#include "cli/html.h"
#include "cli/verify.h"

#include <math.h>

static const char style[] =
	"svg{display:block}svg text{fill:var(--faint);font-size:11px}.grid{stroke:var(--line);stroke-width:1}"
	".path{fill:none;stroke:var(--line);stroke-width:1.5}.gate{stroke:var(--b);stroke-dasharray:4 3}"
	".int8{fill:var(--a)}.int16{fill:var(--c)}.int32{fill:var(--b)}.float32{fill:var(--d)}.bool{fill:var(--text)}"
	".equal{fill:var(--page);stroke:var(--d);stroke-width:1.5}"
	".legend span{margin-right:1.5em;color:var(--faint)}.legend svg{display:inline;vertical-align:-1px;margin-right:.4em}"
	".note{border-left:3px solid var(--b);padding-left:.7em}.faint{color:var(--faint)}\n"
	".values{display:grid;grid-template-columns:repeat(auto-fill,minmax(252px,1fr));gap:1.2em}"
	"figure{margin:0}figure:target{outline:2px solid var(--b);outline-offset:4px}"
	"figure svg{background:color-mix(in srgb,var(--line) 22%,transparent)}"
	"figcaption{font-size:12px;overflow-wrap:anywhere}figcaption ul{margin:.2em 0;padding-left:1.2em}.clip{stroke:var(--b);stroke-width:1.5}";

/* ---- summary ---- */

static void
name_value(table *t, const char *name, const char *value)
{
	table_cell(t, name);
	table_cell(t, value ? value : "--");
}

static table *
summary_table(verify *v, bool ok)
{
	cli *c = v->c;
	table *t = table_new(c, "Summary", "", NULL);
	size_t all, seen = verify_seen(v, &all);

	if (!t)
		return NULL;
	name_value(t, "Model", c->files[0]);
	name_value(t, "Compiled form", c->files[1]);
	name_value(t, "Form", v->form);
	name_value(t, "March", v->march);
	table_cell(t, "Samples");
	table_cellf(t, "%lld", (long long)v->samples);
	name_value(t, "Calibration", v->uncalibrated ? "uncalibrated" : !strcmp(v->form, "onnx") ? NULL : "calibrated");
	table_cell(t, "Layers seen");
	table_cellf(t, "%zu of %zu", seen, all);
	if (c->set[O_min_cosine]) {
		table_cell(t, "Gate");
		table_cellf(t, "--min-cosine %g is %s", c->a.min_cosine, ok ? "met" : "missed");
	}
	return t;
}

static void
put_section(hb_buf *b, const section *s)
{
	if (!s->t)
		return;
	hb_buf_printf(b, "<h2>%s</h2>\n", s->title);
	if (s->empty)
		hb_buf_printf(b, "<p>%s</p>\n", s->empty);
	else
		table_html(s->t, b);
}

/* ---- error by depth ---- */

typedef struct axis {
	double lo, hi;	/* of the figures, or of their logarithms */
	double step;	/* between lines */
	bool log;
	double first, height; /* on the page: of hi, and down to lo */
} axis;

static double
at(const axis *y, double x)
{
	return y->first + (y->hi - HB_MAX(y->lo, HB_MIN(y->hi, x))) / (y->hi - y->lo) * y->height;
}

/* A round distance with which few lines span `range`. */
static double
round_step(double range)
{
	static const double of[] = {1, 2, 5, 10};
	double ten = pow(10, floor(log10(range / 6)));

	for (size_t i = 0; i < HB_LEN(of); i++)
		if (range <= of[i] * ten * 6)
			return of[i] * ten;
	return ten * 10;
}

/* As a plot draws it; infinite where there is no error. */
static double
figure_of(const row *r, bool log)
{
	enum { LEAST = -9 };	/* of a logarithm: below, a cosine is 1 but for rounding */

	if (!log)
		return hb_measure_sqnr(&r->measure);
	double x = log10(fmax(1 - hb_measure_cosine(&r->measure), 0));
	return x < LEAST ? -HUGE_VAL : x;
}

/* False where there is no error to draw. */
static bool
span_figures(const verify *v, axis *y)
{
	y->lo = HUGE_VAL;
	y->hi = -HUGE_VAL;
	for (const row *r = verify_measured(v->first); r; r = verify_measured(r->next)) {
		double x = figure_of(r, y->log);

		if (!isfinite(x))
			continue;
		y->lo = fmin(y->lo, x);
		y->hi = fmax(y->hi, x);
	}
	if (y->lo > y->hi)
		return false;
	y->step = y->log ? HB_MAX(1, ceil((y->hi - y->lo) / 6)) : round_step(HB_MAX(y->hi - y->lo, 6));
	y->lo = floor(y->lo / y->step - 0.05) * y->step;
	y->hi = ceil(y->hi / y->step + 0.05) * y->step;
	return true;
}

static void
mark(hb_buf *b, double x, double y, const char *kind, bool bpu)
{
	if (bpu)
		hb_buf_printf(b, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"", kind, x, y);
	else
		hb_buf_printf(b, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"6\" height=\"6\"", kind, x - 3, y - 3);
}

static void
put_mark(verify *v, hb_buf *b, const row *r, size_t i, double x, const axis *y)
{
	double is = figure_of(r, y->log);
	bool equal = isinf(is);

	if (isnan(is))
		return;
	hb_buf_printf(b, "<a href=\"#l%zu\">", i);
	mark(b, x, at(y, is), equal ? "equal" : dtype_word(&r->q, HB_F32), r->q.dtype != HB_NONE);
	hb_buf_str(b, "><title>");
	html_text(b, clean(v->c, verify_name(v, r)));
	hb_buf_str(b, "\n");
	html_text(b, clean(v->c, verify_node(r)->op_type));
	hb_buf_printf(b, ", %s, %s\ncosine %.6f, ", r->q.dtype != HB_NONE ? "BPU" : "CPU", dtype_word(&r->q, HB_F32), hb_measure_cosine(&r->measure));
	if (hb_measure_sqnr(&r->measure) < HUGE_VAL)
		hb_buf_printf(b, "SQNR %.2f dB", hb_measure_sqnr(&r->measure));
	else
		hb_buf_str(b, "equal");
	for (const cause *k = r->causes; k; k = k->next)
		hb_buf_printf(b, "\n%s", k->word);
	hb_buf_printf(b, "</title></%s></a>\n", r->q.dtype != HB_NONE ? "circle" : "rect");
}

enum { LEFT = 56, RIGHT = 16, TOP = 12, BOTTOM = 24, HEIGHT = 200, WIDTH = 820, NARROWEST = 5 };

static void
put_grid(verify *v, hb_buf *b, const axis *y, double right)
{
	double gate = log10(fmax(1 - v->c->a.min_cosine, 0));

	for (int k = 0; k <= (int)round((y->hi - y->lo) / y->step); k++) {
		double x = y->lo + k * y->step, line = at(y, x);

		hb_buf_printf(b, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
			      LEFT, line, right, line, LEFT - 6, line + 4, y->log ? pow(10, x) : x);
	}
	if (y->log && v->c->set[O_min_cosine] && gate >= y->lo && gate <= y->hi)
		hb_buf_printf(b, "<line class=\"gate\" x1=\"%d\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", LEFT, at(y, gate), right, at(y, gate));
}

static void
put_plot(verify *v, hb_buf *b, bool log)
{
	axis y = {.log = log, .first = TOP, .height = HEIGHT};
	size_t n = 0, i = 0;

	hb_buf_printf(b, "<h3>%s</h3>\n", log ? "1 - cosine" : "Signal to noise, dB");
	if (!span_figures(v, &y)) {
		hb_buf_str(b, "<p>No layer has an error.</p>\n");
		return;
	}
	for (const row *r = verify_measured(v->first); r; r = verify_measured(r->next))
		n++;
	double dx = HB_MAX((double)WIDTH / (double)n, NARROWEST), right = LEFT + dx * (double)n;
	hb_buf_printf(b, "<div class=\"wide\"><svg width=\"%.0f\" height=\"%d\">\n", right + RIGHT, TOP + HEIGHT + BOTTOM);
	put_grid(v, b, &y, right);
	hb_buf_str(b, "<polyline class=\"path\" points=\"");
	for (const row *r = verify_measured(v->first); r; r = verify_measured(r->next), i++)
		if (!isnan(figure_of(r, log)))
			hb_buf_printf(b, "%.1f,%.1f ", LEFT + dx * ((double)i + 0.5), at(&y, figure_of(r, log)));
	hb_buf_str(b, "\"/>\n");
	i = 0;
	for (const row *r = verify_measured(v->first); r; r = verify_measured(r->next), i++)
		put_mark(v, b, r, i, LEFT + dx * ((double)i + 0.5), &y);
	hb_buf_printf(b, "<text x=\"%d\" y=\"%d\">layers in order</text></svg></div>\n", LEFT, TOP + HEIGHT + 18);
}

static void
put_legend(hb_buf *b)
{
	static const struct {
		const char *kind, *text;
		bool bpu;
	} rows[] = {{"int8", "int8", true}, {"int16", "int16", true}, {"int32", "int32", true}, {"float32", "CPU, float", false}, {"equal", "no error", true}};

	hb_buf_str(b, "<p class=\"legend\">");
	for (size_t i = 0; i < HB_LEN(rows); i++) {
		hb_buf_str(b, "<span><svg width=\"10\" height=\"10\">");
		mark(b, 5, 5, rows[i].kind, rows[i].bpu);
		hb_buf_printf(b, "/></svg>%s</span>", rows[i].text);
	}
	hb_buf_str(b, "</p>\n");
}

/* ---- values ---- */

/* From the least to the greatest of the values and, on the sides that have any, the clip. */
static void
span_values(const spread *s, double clip, double *lo, double *hi)
{
	double reach = isfinite(clip) ? clip : 0;

	*lo = s->min < 0 ? HB_MIN((double)s->min, -reach) : 0;
	*hi = s->max > 0 ? HB_MAX((double)s->max, reach) : 0;
	if (!(*hi > *lo))
		*hi = *lo + HB_MAX(reach, 1);
}

static void
put_histogram(hb_buf *b, const row *r)
{
	enum { WIDE = 252, HIGH = 64, ROOM = 4, BARS = 63 };	/* ROOM above the highest bar */
	double bars[BARS], most = 0, lo, hi, clip = verify_clip(&r->q), wide = (double)WIDE / BARS;

	span_values(r->values, clip, &lo, &hi);
	spread_bars(r->values, lo, hi, bars, BARS);
	for (int i = 0; i < BARS; i++)
		most = fmax(most, bars[i]);
	hb_buf_printf(b, "<svg width=\"%d\" height=\"%d\"><path class=\"%s\" d=\"", WIDE, HIGH, dtype_word(&r->q, HB_F32));
	for (int i = 0; i < BARS; i++)
		if (bars[i] > 0)
			hb_buf_printf(b, "M%.4g %dv-%.1fh%.4gV%dz", i * wide, HIGH, log1p(bars[i]) / log1p(most) * (HIGH - ROOM), wide - 0.5, HIGH);
	hb_buf_str(b, "\"/>");
	for (int side = -1; side <= 1; side++) {
		double of = side ? side * clip : 0, x = HB_MAX(1.0, HB_MIN((of - lo) / (hi - lo) * WIDE, WIDE - 1.0));

		if (of >= lo && of <= hi)
			hb_buf_printf(b, "<line class=\"%s\" x1=\"%.1f\" y1=\"0\" x2=\"%.1f\" y2=\"%d\"/>", side ? "clip" : "grid", x, x, HIGH);
	}
	hb_buf_str(b, "</svg>\n");
}

static void
put_figure(verify *v, hb_buf *b, const row *r, size_t i)
{
	double clip = verify_clip(&r->q);

	hb_buf_printf(b, "<figure id=\"l%zu\">", i);
	if (r->values)
		put_histogram(b, r);
	hb_buf_str(b, "<figcaption><b>");
	html_text(b, clean(v->c, verify_name(v, r)));
	hb_buf_str(b, "</b><br>");
	html_text(b, clean(v->c, verify_node(r)->op_type));
	hb_buf_printf(b, ", %s", dtype_word(&r->q, HB_F32));
	if (r->values)
		hb_buf_printf(b, ": %.4g to %.4g", (double)r->values->min, (double)r->values->max);
	if (isfinite(clip))
		hb_buf_printf(b, ", clip %.4g", clip);
	if (r->causes)
		hb_buf_str(b, "<ul>");
	for (const cause *k = r->causes; k; k = k->next) {
		hb_buf_printf(b, "<li>%s: ", k->word);
		html_text(b, clean(v->c, k->text));
		hb_buf_str(b, "</li>");
	}
	hb_buf_str(b, r->causes ? "</ul></figcaption></figure>\n" : "</figcaption></figure>\n");
}

static void
put_values(verify *v, hb_buf *b)
{
	size_t i = 0;

	hb_buf_str(b, "<h2>Values of each layer</h2>\n<p class=\"faint\">How often the float model has a value, on a scale of logarithms; "
		      "the lines are the largest magnitude that the integers stand for.</p>\n<div class=\"values\">\n");
	for (const row *r = verify_measured(v->first); r; r = verify_measured(r->next))
		put_figure(v, b, r, i++);
	hb_buf_str(b, "</div>\n");
}

/* ---- the page ---- */

hb_status
verify_html(verify *v, bool ok)
{
	hb_buf b = {.cx = v->c->cx};
	section s[SECTIONS];
	const char **notes, *lost = verify_lost(v);
	size_t n;

	HB_TRY(verify_sections(v, s));
	HB_TRY(verify_notes(v, &notes, &n));
	html_begin(&b, "Compiled form against float", style);
	table_html(summary_table(v, ok), &b);
	for (size_t i = 0; i < n; i++) {
		hb_buf_str(&b, "<p class=\"note\">");
		html_text(&b, notes[i]);
		hb_buf_str(&b, "</p>\n");
	}
	put_section(&b, &s[OUTPUTS]);
	if (!s[LAYERS].empty) {
		hb_buf_str(&b, "<h2>Error by depth</h2>\n<p>");
		html_text(&b, lost ? lost : "No layer is farther from the float model than what it reads.");
		hb_buf_str(&b, "</p>\n");
		put_legend(&b);
		put_plot(v, &b, false);
		put_plot(v, &b, true);
	}
	put_section(&b, &s[CAUSES]);
	put_section(&b, &s[BLAME]);
	if (!s[LAYERS].empty)
		put_values(v, &b);
	put_section(&b, &s[LAYERS]);
	put_section(&b, &s[ALONE]);
	return html_end(v->c, &b);
}
