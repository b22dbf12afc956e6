/* hbcc.h: the public interface of the hbcc model compiler.
 *
 * A context (hb_ctx) holds what one user of the library asked for: threads,
 * vector width, memory limit, and where diagnostics go. Two contexts share
 * nothing. The library never prints, exits or aborts; a call that fails has
 * reported why through the context's diagnostic function before it returns. */
#ifndef HBCC_H
#define HBCC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HBCC_VERSION "0.1.0"

/* What a call came to. hb_exit_code() maps it to the command's exit code. */
typedef enum hb_status {
	HB_OK = 0,
	HB_ERR_NO,		/* a well-formed question whose answer is no: a gate missed */
	HB_ERR_UNSUPPORTED,	/* a well-formed model that this tool cannot compile or run */
	HB_ERR_USAGE,		/* command line or configuration */
	HB_ERR_INPUT,		/* the content of a model, sample, march or .hbm file */
	HB_ERR_SYSTEM,		/* open, read, write */
	HB_ERR_NOMEM,		/* memory, --max-memory included */
} hb_status;

/* 0 done; 1 NO, UNSUPPORTED; 2 USAGE; 3 INPUT; 4 SYSTEM, NOMEM. */
int hb_exit_code(hb_status st);

typedef enum hb_severity { HB_NOTE, HB_WARNING, HB_ERROR } hb_severity;

typedef enum hb_isa { HB_ISA_SCALAR, HB_ISA_AVX2, HB_ISA_AVX512 } hb_isa;

/* One diagnostic. Strings live until the function returns. */
typedef struct hb_diag {
	hb_severity severity;
	hb_status status;	/* of an error; HB_OK otherwise */
	const char *file;	/* the file in question, or NULL */
	const char *where;	/* "node 12 Conv 'layer1.0/conv1'", "tensor 'x'" or NULL */
	const char *id;		/* stable name of the check: "conv-rank" */
	const char *text;
} hb_diag;

typedef struct hb_options {
	int jobs;		/* threads; 0: one a processor */
	hb_isa isa;		/* widest vectors to use; results do not depend on it */
	uint64_t max_memory;	/* bytes the context may hold; 0: 4 GiB */
	void (*diag)(void *arg, const hb_diag *d);		/* or NULL */
	void (*progress)(void *arg, const char *stage, int64_t done, int64_t total);	/* or NULL */
	void *arg;		/* handed to both */
} hb_options;

typedef struct hb_ctx hb_ctx;

/* The widest vectors this processor has. */
hb_isa hb_isa_best(void);

/* A new context, or NULL without memory. options may be NULL: all defaults.
 * An isa wider than hb_isa_best() is taken as hb_isa_best(). */
hb_ctx *hb_ctx_new(const hb_options *options);

/* Frees the context and everything that was opened in it. */
void hb_ctx_free(hb_ctx *cx);

#endif
