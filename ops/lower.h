/* lower.h: the scheduling rows of the hbcc operators, and what their files share. */
#ifndef HB_LOWER_H
#define HB_LOWER_H

#include "ops/fx.h"

/* .sched of the row in ops/fx_*.c. */
extern const hb_sched_op hb_sched_conv, hb_sched_linear, hb_sched_conv_transpose, hb_sched_matmul;
extern const hb_sched_op hb_sched_max_pool, hb_sched_average_pool, hb_sched_reduce, hb_sched_resize;
extern const hb_sched_op hb_sched_sample, hb_sched_correlation, hb_sched_scatter, hb_sched_pick;
extern const hb_sched_op hb_sched_ew, hb_sched_lut, hb_sched_rows;
extern const hb_sched_op hb_sched_concat, hb_sched_pad, hb_sched_slice, hb_sched_transpose;
extern const hb_sched_op hb_sched_reshape, hb_sched_expand, hb_sched_top_k, hb_sched_take;

/* ---- boxes ---- */

bool hb_box_empty(const hb_box *b);
hb_box hb_box_all(const hb_shape *s);

/* Input range of output range [lo, hi) under a window, clipped to [0, extent), never empty. */
void hb_window_range(int64_t lo, int64_t hi, int64_t stride, int64_t pad, int64_t reach, int64_t extent,
		     int64_t *ilo, int64_t *ihi);

/* The padding before a view that begins at ilo = what hb_window_range gave. Windows that all lie behind the
 * input lie before it instead: they read no more there. */
int64_t hb_window_pad(int64_t lo, int64_t hi, int64_t stride, int64_t pad, int64_t reach, int64_t ilo);

/* Input k has output 0's box, broadcast as numpy does. */
void hb_need_same(const hb_node *n, int k, const hb_box *out, hb_box *in);

/* Attribute `name`: list of `count` ints, each `dflt` where absent. */
void hb_attr_list(const hb_node *n, const char *name, int count, int64_t dflt, int64_t *out);

/* ---- views ---- */

/* The part of v from index lo on, `count` indices `step` apart, in dimension d. A ring that
 * the part does not wrap in is no ring any more. */
void hb_tview_cut(hb_tview *v, int d, int64_t lo, int64_t count, int64_t step);
/* Dimension d is left out; its extent is 1. */
void hb_tview_drop(hb_tview *v, int d);
/* A new dimension of extent 1 before d. */
void hb_tview_insert(hb_tview *v, int d);
/* Dimensions in the order p: p[i] is the old place of new dimension i. */
void hb_tview_permute(hb_tview *v, const int *p);

/* As an operand: rank 1..6, a ring only in dimension 0. False where it is none of that. */
bool hb_tview_operand(const hb_tview *v, hb_view *out);
/* The same; reports. */
hb_status hb_lower_operand(hb_lower *lw, const hb_node *n, const hb_tview *v, hb_view *out);

/* n views of equal rank, whose dimensions before the last `keep` have equal extents, in pieces of rank
 * <= max_rank with a ring only first: neighbours are merged, the rest is unrolled. fn gets each piece. */
typedef hb_status hb_tview_fn(void *arg, hb_tview *v);
hb_status hb_tview_unroll(const hb_tview *v, int n, int max_rank, int keep, hb_tview_fn *fn, void *arg);

/* ---- instructions ---- */

/* insn with operands v[0..nv) of equal extents, in as many pieces as their ranks and rings ask for. */
hb_status hb_lower_each(hb_lower *lw, const hb_node *n, const hb_insn *insn, const hb_tview *v, int nv);
hb_status hb_lower_copy(hb_lower *lw, const hb_node *n, const hb_tview *out, const hb_tview *a);
hb_status hb_lower_fill(hb_lower *lw, const hb_node *n, const hb_tview *out, int32_t value);

/* Attributes fn, and qmin, qmax (by default the limits of the output's type). */
hb_fn hb_attr_fn(const hb_node *n);
void hb_lower_clamp(const hb_node *n, int32_t *qmin, int32_t *qmax);

/* Constant input k as it is, as one row. */
hb_fill_fn hb_fill_param;
hb_status hb_lower_param(hb_lower *lw, const hb_node *n, int k, hb_view *v);

#endif
