/* format.h: what writer and reader of .hbm share (man/hbm.5). */
#ifndef HB_HBM_FORMAT_H
#define HB_HBM_FORMAT_H

#include "lib/isa/program.h"

#define HBM_MAGIC "\x89HBM\r\n\x1a\n"
#define HBM_MAJOR 1
#define HBM_MINOR 0
#define HBM_HEADER 32			/* bytes before the section table */
#define HBM_ENTRY 40			/* bytes of a section's row */
#define HBM_ALIGN 64			/* of a section's first byte */
#define HBM_NONE UINT32_MAX		/* no string, no model, no node */
#define HBM_DEFLATED 1u			/* flag of a section */
#define HBM_RATIO 1032			/* no zlib stream yields more bytes a byte */

typedef enum hbm_kind {
	HBM_STRINGS = 1,		/* of the file; the others are a model's */
	HBM_MODEL, HBM_TENSORS, HBM_PARAMETERS, HBM_SEGMENTS, HBM_INSNS, HBM_GRAPHS, HBM_NODES,
	HBM_NKINDS
} hbm_kind;

#define HBM_PER_MODEL (HBM_NKINDS - HBM_MODEL)

/* Instructions as words. A view's first word: space, type << 3, rank << 7, ring << 10, buffer << 11. */
#define HBM_BUFS (1u << 21)
bool hbm_encode(const hb_insn *i, hb_buf *out);		/* false: a buffer's number has no room */
/* From n words; how many it took, or 0: malformed, which *why tells. */
size_t hbm_decode(const uint8_t *words, size_t n, hb_insn *out, const char **why);

#endif
