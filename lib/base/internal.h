/* internal.h: what the files of lib/base need of one another. */
#ifndef HB_BASE_INTERNAL_H
#define HB_BASE_INTERNAL_H

#include "lib/base/base.h"

#define HB_MAX_JOBS 64

void hb_pool_free(struct hb_pool *p);	/* NULL is fine */
void hb_files_unmap(hb_ctx *cx);

#endif
