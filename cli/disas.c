/* disas.c: hbcc disas: the instructions of an .hbm, one a line, or as JSON. */
#include "cli/cli.h"

#include "lib/hbm/hbm.h"

static hb_status
run(cli *c)
{
	hb_file *f;
	hb_hbm h;
	hb_status st = HB_OK;

	c->cx->file = c->files[0];
	HB_TRY(hb_file_map(c->cx, c->files[0], &f));
	HB_TRY(hb_hbm_read(c->cx, f->p, f->size, c->arena, &h));
	hb_buf b = {.cx = c->cx};
	if (c->a.json)
		hb_disas_json(h.programs, h.n, &b);
	for (size_t i = 0; i < h.n && !c->a.json; i++)
		hb_disas_text(h.programs[i], &b);
	if (b.bad)
		st = hb_nomem(c->cx, NULL);
	else if (c->a.output)
		st = hb_file_write(c->cx, c->a.output, b.p, b.len);
	else
		fwrite(b.p, 1, b.len, stdout);
	hb_buf_free(&b);
	return st;
}

const command command_disas = {
	.name = "disas",
	.files = "MODEL.hbm",
	.summary = "Print the instructions of an .hbm, one a line.",
	.min_files = 1,
	.max_files = 1,
	.options = (const opt_id[]){O_json, O_output, O_END},
	.run = run,
};
