/* options.c: the command line, from the rows of options.def; --help from the same rows. */
#include "cli/cli.h"

#include <getopt.h>
#include <stdlib.h>
#include <strings.h>

const option_row option_rows[O_COUNT] = {
#define OPTION(id, letter, name, kind, field, arg, limits, help)                                                       \
	[O_##id] = {O_##id, letter, name, kind, offsetof(args, field), arg, limits, help},
#include "cli/options.def"
#undef OPTION
};

/* What every command takes, and what every command that reads a model takes. */
static const opt_id shared[] = {O_config, O_input_shape, O_jobs, O_max_memory, O_no_progress, O_help, O_END};
static const opt_id always[] = {O_help, O_END};

static bool
reads_model(const command *cmd)
{
	return strstr(cmd->files, "MODEL") || strstr(cmd->files, "FILE");
}

/* The command's options in order, shared ones last; at most O_COUNT. */
static int
options_of(const command *cmd, opt_id *ids)
{
	int n = 0;

	for (const opt_id *o = cmd->options; *o != O_END; o++)
		ids[n++] = *o;
	for (const opt_id *o = reads_model(cmd) ? shared : always; *o != O_END; o++)
		ids[n++] = *o;
	return n;
}

bool
command_takes(const command *cmd, opt_id id)
{
	opt_id ids[O_COUNT * 2];
	int n = options_of(cmd, ids);

	for (int i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

hb_status
strings_add(cli *c, strings *s, const char *v)
{
	if (!HB_GROW(c->arena, &s->v, &s->cap, s->n + 1))
		return hb_nomem(c->cx, NULL);
	s->v[s->n++] = v;
	return HB_OK;
}

static bool
choice_in(const char *limits, const char *value)
{
	size_t n = strlen(value);

	for (const char *p = limits; p; p = strchr(p, '|'), p = p ? p + 1 : NULL)
		if (!strncmp(p, value, n) && (p[n] == '|' || !p[n]) && n)
			return true;
	return false;
}

/* "lo..hi" */
static void
bounds(const char *limits, double *lo, double *hi)
{
	*lo = strtod(limits, NULL);
	*hi = strtod(strstr(limits, "..") + 2, NULL);
}

static bool
size_of(const char *v, int64_t *out)
{
	char num[32];
	size_t n = strlen(v);
	int64_t unit = 1, x;

	if (n && strchr("kKmMgG", v[n - 1])) {
		unit = strchr("kK", v[n - 1]) ? 1 << 10 : strchr("mM", v[n - 1]) ? 1 << 20 : 1 << 30;
		n--;
	}
	if (!n || n >= sizeof(num))
		return false;
	memcpy(num, v, n);
	num[n] = 0;
	return hb_parse_i64(num, &x) && hb_mul64(x, unit, out);
}

hb_status
option_set(cli *c, opt_id id, const char *value, const char *where)
{
	const option_row *o = &option_rows[id];
	char *at = (char *)&c->a + o->at;
	double lo, hi;

	c->set[id] = true;
	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)at = !value || (strcasecmp(value, "false") && strcasecmp(value, "no"));
		return HB_OK;
	case OPT_TEXT:
		*(const char **)at = value;
		return HB_OK;
	case OPT_LIST:
		return strings_add(c, (strings *)at, value);
	case OPT_CHOICE:
		if (!choice_in(o->limits, value))
			return hb_error(c->cx, HB_ERR_USAGE, where, "option", "'%s' is none of %s", value, o->limits);
		*(const char **)at = value;
		return HB_OK;
	case OPT_LEVEL:
		if (value[0] == 'O' || value[0] == 'o')
			value++;
		/* fall through */
	case OPT_INT:
		if (!hb_parse_i64(value, (int64_t *)at))
			return hb_error(c->cx, HB_ERR_USAGE, where, "option", "'%s' is no whole number", value);
		break;
	case OPT_SIZE:
		if (!size_of(value, (int64_t *)at))
			return hb_error(c->cx, HB_ERR_USAGE, where, "option",
					"'%s' is no number of bytes; digits and K, M or G are taken", value);
		break;
	case OPT_REAL:
		if (!hb_parse_f64(value, (double *)at))
			return hb_error(c->cx, HB_ERR_USAGE, where, "option", "'%s' is no number", value);
		break;
	}
	bounds(o->limits, &lo, &hi);
	double x = o->kind == OPT_REAL ? *(double *)at : (double)*(int64_t *)at;
	if (x < lo || x > hi)
		return hb_error(c->cx, HB_ERR_USAGE, where, "option", "%s is out of range; %s is taken", value,
				o->limits);
	return HB_OK;
}

hb_status
options_parse(cli *c, int argc, char **argv)
{
	const command *cmd = c->cmd;
	opt_id ids[O_COUNT * 2];
	int n = options_of(cmd, ids), nshort = 1, got, which;
	struct option longs[O_COUNT * 2 + 1];
	char shorts[O_COUNT * 4 + 2] = ":";

	for (int i = 0; i < n; i++) {
		const option_row *o = &option_rows[ids[i]];

		longs[i] = (struct option){o->name, o->kind == OPT_FLAG ? no_argument : required_argument, NULL,
					   256 + (int)o->id};
		if (!o->letter)
			continue;
		shorts[nshort++] = o->letter;
		if (o->kind != OPT_FLAG)
			shorts[nshort++] = ':';
	}
	longs[n] = (struct option){0};
	shorts[nshort] = 0;
	opterr = 0;
	optind = 1;
	while ((got = getopt_long(argc, argv, shorts, longs, &which)) != -1) {
		const option_row *o = NULL;
		const char *said = argv[optind - 1];

		if (got == ':')
			return hb_error(c->cx, HB_ERR_USAGE, NULL, "option", "option %s needs a value", said);
		if (got == '?' && optopt && optopt < 256)
			return hb_error(c->cx, HB_ERR_USAGE, NULL, "option",
					"unknown option -%c; hbcc %s --help lists what is taken", optopt, cmd->name);
		if (got == '?')
			return hb_error(c->cx, HB_ERR_USAGE, NULL, "option",
					"unknown option %s; hbcc %s --help lists what is taken", said, cmd->name);
		for (int i = 0; i < n; i++)
			if (got >= 256 ? (int)ids[i] == got - 256 : option_rows[ids[i]].letter == got)
				o = &option_rows[ids[i]];
		if (!o)
			continue;
		if (c->set[o->id] && o->kind != OPT_LIST && o->kind != OPT_FLAG)
			return hb_error(c->cx, HB_ERR_USAGE, NULL, "option", "--%s is given twice", o->name);
		char *where = hb_arena_printf(c->arena, "--%s", o->name);
		HB_TRY(option_set(c, o->id, optarg, where));
	}
	if (c->a.help)
		return HB_OK;
	c->files = (const char **)argv + optind;
	c->nfiles = argc - optind;
	return HB_OK;
}

/* Text wrapped at 79 columns with an indent on every line but the first. */
static void
wrap(FILE *f, const char *text, int indent)
{
	int col = indent;

	for (const char *p = text; *p;) {
		size_t n = strcspn(p, " ");

		if (col > indent && col + (int)n + 1 > 79) {
			fprintf(f, "\n%*s", indent, "");
			col = indent;
		} else if (col > indent) {
			fputc(' ', f);
			col++;
		}
		fwrite(p, 1, n, f);
		col += (int)n;
		p += n;
		p += strspn(p, " ");
	}
	fputc('\n', f);
}

void
help_print(const command *cmd, FILE *f)
{
	opt_id ids[O_COUNT * 2];
	int n = options_of(cmd, ids);

	fprintf(f, "hbcc %s %s%s[option]...\n", cmd->name, cmd->files, *cmd->files ? " " : "");
	wrap(f, cmd->summary, 0);
	fputc('\n', f);
	for (int i = 0; i < n; i++) {
		const option_row *o = &option_rows[ids[i]];
		char left[80];
		int k = snprintf(left, sizeof(left), "  %c%c%s--%s%s%s", o->letter ? '-' : ' ',
				 o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name, o->arg ? " " : "",
				 o->arg ? o->arg : "");

		fprintf(f, "%-30s", left);
		if (k >= 29)
			fprintf(f, "\n%30s", "");
		wrap(f, o->help, 30);
	}
}

void
help_commands(FILE *f)
{
	fputs("hbcc COMMAND [argument]...\n"
	      "Compiles ONNX models to fixed-point programs for BPU-like accelerators.\n\n",
	      f);
	for (const command *const *k = commands; *k; k++)
		fprintf(f, "  %-10s  %s\n", (*k)->name, (*k)->summary);
	fputs("\nhbcc COMMAND --help tells what a command takes; hbcc --version the version.\n", f);
}
