/* hbm.h: the .hbm file: several programs, CRC32 a section (man/hbm.5). */
#ifndef HB_HBM_H
#define HB_HBM_H

#include "lib/isa/program.h"

typedef struct hb_hbm_options {
	bool deflate;			/* parameters and instructions deflated */
} hb_hbm_options;

/* Programs as bytes: same programs and options, same bytes. All of one march. */
hb_status hb_hbm_write(hb_ctx *cx, hb_program *const *programs, size_t n, const hb_hbm_options *o, hb_buf *out);

typedef struct hb_hbm {
	const char *march;
	hb_program **programs;
	size_t n;
} hb_hbm;

/* Reads and checks everything: lengths, CRCs, every view against its space, waits against
 * the stream. Trusts nothing. HB_ERR_INPUT, reported, on the first thing wrong. */
hb_status hb_hbm_read(hb_ctx *cx, const uint8_t *p, size_t n, hb_arena *a, hb_hbm *out);

/* Text or JSON description, one line an instruction. out->cx is set. */
void hb_disas_text(const hb_program *p, hb_buf *out);
void hb_disas_json(hb_program *const *programs, size_t n, hb_buf *out);	/* a whole document */
/* Instruction i of segment s alone, without a line's end. */
void hb_disas_insn(const hb_program *p, const hb_segment *s, size_t i, hb_buf *out);

#endif
