/* pack.c: hbcc pack: the models of several .hbm files in one. */
#include "cli/cli.h"

#include "lib/hbm/hbm.h"

static hb_status
names_differ(cli *c, hb_program *const *p, size_t n)
{
	hb_map *seen = hb_map_new(c->arena);

	if (!seen)
		return hb_nomem(c->cx, NULL);
	for (size_t i = 0; i < n; i++) {
		if (hb_map_get(seen, p[i]->name))
			return hb_error(c->cx, HB_ERR_USAGE, NULL, "pack",
					"two models are named '%s'; compile one of them with another --name", p[i]->name);
		if (!hb_map_put(seen, p[i]->name, p[i]))
			return hb_nomem(c->cx, NULL);
	}
	return HB_OK;
}

static hb_status
run(cli *c)
{
	hb_hbm_options o = {.deflate = c->a.deflate};
	hb_program **all = NULL;
	size_t n = 0, cap = 0;
	const char *march = NULL;
	hb_buf b = {.cx = c->cx};

	if (!c->a.output)
		return hb_error(c->cx, HB_ERR_USAGE, "--output", "option", "say where the packed file goes");
	for (int i = 0; i < c->nfiles; i++) {
		hb_file *f;
		hb_hbm h;

		c->cx->file = c->files[i];
		HB_TRY(hb_file_map(c->cx, c->files[i], &f));
		HB_TRY(hb_hbm_read(c->cx, f->p, f->size, c->arena, &h));
		if (march && strcmp(march, h.march))
			return hb_error(c->cx, HB_ERR_USAGE, NULL, "pack", "is for %s; %s is for %s", h.march, c->files[0], march);
		march = h.march;
		if (!HB_GROW(c->arena, &all, &cap, n + h.n))
			return hb_nomem(c->cx, NULL);
		memcpy(all + n, h.programs, sizeof(*all) * h.n);
		n += h.n;
	}
	HB_TRY(names_differ(c, all, n));
	hb_status st = hb_hbm_write(c->cx, all, n, &o, &b);
	if (st == HB_OK && b.bad)
		st = hb_nomem(c->cx, NULL);
	if (st == HB_OK)
		st = hb_file_write(c->cx, c->a.output, b.p, b.len);
	hb_buf_free(&b);
	return st;
}

const command command_pack = {
	.name = "pack",
	.files = "MODEL.hbm MODEL.hbm...",
	.summary = "Put the models of several .hbm files, compiled for one march, into one.",
	.min_files = 2,
	.max_files = 4096,
	.options = (const opt_id[]){O_output, O_deflate, O_END},
	.run = run,
};
