/* main.c: picks the subcommand, prints diagnostics and progress, ends with the exit code. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

const command *const commands[] = {
#define COMMAND(name) &command_##name,
#include "cli/commands.def"
#undef COMMAND
	NULL,
};

static void
progress_clear(cli *c)
{
	if (c->progress_shown)
		fputs("\r\033[K", stderr);
	c->progress_shown = false;
}

/* file: node 12 Conv 'name': error: text [id] */
static void
print_diag(void *arg, const hb_diag *d)
{
	static const char *const words[] = {[HB_NOTE] = "note", [HB_WARNING] = "warning", [HB_ERROR] = "error"};
	cli *c = arg;

	progress_clear(c);
	fprintf(stderr, "%s: ", d->file ? clean(c, d->file) : "hbcc");
	if (d->where)
		fprintf(stderr, "%s: ", clean(c, d->where));
	fprintf(stderr, "%s: %s", words[d->severity], clean(c, d->text));
	if (d->id)
		fprintf(stderr, " [%s]", d->id);
	fputc('\n', stderr);
}

static void
print_progress(void *arg, const char *stage, int64_t done, int64_t total)
{
	enum { WIDTH = 40 };
	static const char bar[] = "========================================";
	cli *c = arg;
	int64_t part = total > 0 ? HB_MIN(done, total) * WIDTH / total : 0;

	if (total > 0 && done >= total) {
		progress_clear(c);
		return;
	}
	if (total > 0)
		fprintf(stderr, "\r\033[K[%-40.*s] %3d%% %s", (int)part, bar, (int)(done * 100 / total), stage);
	else
		fprintf(stderr, "\r\033[K%s", stage);
	c->progress_shown = true;
}

/* HBCC_ISA: scalar, avx2 or avx512; a width this processor lacks is HB_ERR_USAGE. */
static hb_status
isa_get(cli *c, hb_isa *out)
{
	static const char *const names[] = {
		[HB_ISA_SCALAR] = "scalar", [HB_ISA_AVX2] = "avx2", [HB_ISA_AVX512] = "avx512"};
	const char *said = getenv("HBCC_ISA");
	hb_isa best = hb_isa_best();

	*out = best;
	if (!said || !*said)
		return HB_OK;
	for (size_t i = 0; i < HB_LEN(names); i++) {
		if (strcmp(said, names[i]))
			continue;
		*out = (hb_isa)i;
		if (*out > best)
			return hb_error(c->cx, HB_ERR_USAGE, "HBCC_ISA", "isa",
					"this processor has no %s; %s is its widest", said, names[best]);
		return HB_OK;
	}
	return hb_error(c->cx, HB_ERR_USAGE, "HBCC_ISA", "isa", "'%s' is none of scalar, avx2, avx512", said);
}

static hb_status
files_check(cli *c)
{
	const command *cmd = c->cmd;

	if (c->nfiles < cmd->min_files)
		return hb_error(c->cx, HB_ERR_USAGE, NULL, "option", "%s takes %s; hbcc %s --help tells more",
				cmd->name, cmd->files, cmd->name);
	if (c->nfiles > cmd->max_files)
		return hb_error(c->cx, HB_ERR_USAGE, NULL, "option", "'%s' is one argument too many; %s takes %s",
				c->files[cmd->max_files], cmd->name, *cmd->files ? cmd->files : "none");
	return outputs_check(c);
}

/* Runs the command in a context made for its options. */
static hb_status
run(const command *cmd, int argc, char **argv)
{
	cli c = {.cmd = cmd, .a = {.tolerance = 0, .level = LEVEL_MAX}};
	cli shell = c;
	hb_options o = {.diag = print_diag, .arg = &shell};
	hb_status st;
	hb_isa isa;

	/* The options say what the context is made with: read them in a first one. */
	shell.cx = hb_ctx_new(&o);
	if (!shell.cx)
		return HB_ERR_NOMEM;
	shell.arena = shell.cx->arena;
	st = options_parse(&shell, argc, argv);
	if (st == HB_OK && !shell.a.help && shell.a.config)
		st = config_read(&shell);
	if (st == HB_OK && !shell.a.help)
		st = files_check(&shell);
	if (st == HB_OK)
		st = isa_get(&shell, &isa);
	if (st == HB_OK && shell.a.help) {
		help_print(cmd, stdout);
	} else if (st == HB_OK) {
		c = shell;
		o.arg = &c;
		o.jobs = (int)c.a.jobs;
		o.isa = isa;
		o.max_memory = (uint64_t)c.a.max_memory;
		if (isatty(STDERR_FILENO) && !c.a.no_progress)
			o.progress = print_progress;
		c.cx = hb_ctx_new(&o);
		if (c.cx) {
			c.arena = c.cx->arena;
			st = cmd->run(&c);
			progress_clear(&c);
			hb_ctx_free(c.cx);
		} else {
			st = HB_ERR_NOMEM;
		}
	}
	config_free(&shell);
	hb_ctx_free(shell.cx);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "hbcc: error: standard output: %s [write]\n", strerror(errno));
		return st == HB_OK ? HB_ERR_SYSTEM : st;
	}
	return st;
}

int
main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
		help_commands(stdout);
		return fflush(stdout) ? 4 : 0;
	}
	if (!strcmp(name, "--version")) {
		puts("hbcc " HBCC_VERSION);
		return fflush(stdout) ? 4 : 0;
	}
	for (const command *const *k = commands; *k; k++)
		if (!strcmp((*k)->name, name))
			return hb_exit_code(run(*k, argc - 1, argv + 1));
	if (*name)
		fprintf(stderr, "hbcc: error: unknown command '%s'; hbcc --help lists them [command]\n", name);
	else
		help_commands(stderr);
	return 2;
}
