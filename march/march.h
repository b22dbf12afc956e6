/* march.h: a march is figures and rules. Rules are text (march/rule.c) that
 * check, its messages, `hbcc march --ops` and the manual all read. */
#ifndef HB_MARCH_H
#define HB_MARCH_H

#include "lib/ir/ir.h"

/* One timing or size figure and where it is from. */
typedef struct hb_figures {
	const char *name;
	int cores;			/* BPU cores that can share a model */
	double clock_ghz;
	uint32_t sram_bytes;		/* a core's */
	uint32_t c_align, granule;	/* bytes */
	/* MAC array: tile of H x W x Cin x Cout, MACs a cycle; cycles of a pass beyond its taps in hundredths of a tap */
	int mac_h, mac_w, mac_c, mac_n, macs_per_cycle, k0_percent;
	int dw_h, dw_w, dw_c, dw_macs_per_cycle;
	int start_mac, start_vec, start_dma;	/* cycles an instruction costs before its first element */
	/* elements a cycle in hundredths */
	int vec_x100, lut_x100, copy_x100;
	int dma_bytes_x100;		/* DDR bytes a cycle in hundredths */
	bool int16;			/* qint16 activations */
} hb_figures;

typedef enum hb_place_rule { HB_RULE_BPU, HB_RULE_CPU } hb_place_rule;

/* A rule: for an operator on a place, a condition that must hold. */
typedef struct hb_rule {
	const char *op;			/* ONNX operator; "*" every one */
	const char *text;		/* in the language of march/rule.c */
	const char *note;		/* what the rule protects, or NULL */
	const char *source;		/* public list, or "assumed" */
	const char *advice;		/* the way out, where it is more than a number; else NULL */
	bool remark;			/* breaking it is reported and changes nothing */
} hb_rule;

/* An operator's row: may it stand on the BPU, with which types. */
typedef struct hb_march_op {
	const char *op;
	bool bpu;
	bool default_cpu;		/* on the BPU only when --run-on-bpu names it */
	uint32_t in_types, out_types;	/* HB_BIT sets on the BPU */
	const char *source;
} hb_march_op;

typedef struct hb_figure_source {	/* of each field of hb_figures */
	const char *field, *source;	/* "public: ...", "fitted", "assumed" */
} hb_figure_source;

typedef struct hb_march {
	const char *name;
	const char *title;		/* one line for `hbcc march` */
	hb_figures fig;
	const hb_figure_source *figure_sources;	/* ends with a NULL field */
	const hb_march_op *ops;		/* ends with a NULL op */
	const hb_rule *rules;		/* of the BPU; ends with a NULL op */
	const hb_rule *cpu_rules;	/* of the CPU kernels; ends with a NULL op */
	const char *note;		/* what every report says about this march, or NULL */
	const char *const *cpu_ops;	/* operators the vendor has a CPU kernel for; ends with NULL */
	const char *list;		/* name of the public list the operators are from */
	bool dilated_int8;		/* a dilated convolution's output is int8 */
} hb_march;

const hb_march *hb_march_find(const char *name);	/* NULL where unknown */
const hb_march *hb_march_at(size_t i);			/* NULL past the last */

typedef struct hb_place_options {
	const char *const *run_on_bpu, *const *run_on_cpu;	/* operator types or node names */
	size_t nbpu, ncpu;
	bool no_samples;		/* in a model with scales, operators whose edges have none stay in float */
} hb_place_options;

/* Sets on and findings of every node of a fused graph whose shapes are known, and q.dtype-independent
 * rules only; hb_march_constrain checks what depends on dtypes and weights. Nodes of a group share a place.
 * Fails only where the march's rules are malformed. */
hb_status hb_march_place(hb_graph *g, const hb_march *m, const hb_place_options *o);

/* Every rule of node n's row that it breaks on place p, as findings; NULL: none. */
hb_status hb_march_check(hb_graph *g, const hb_march *m, hb_node *n, hb_place_rule p, hb_finding **out);

/* What an operator's inputs and output may be on the BPU, from its row; 0: not there. */
uint32_t hb_march_types(const hb_march *m, const hb_node *n, bool output);

/* May placed tensor t be of type dt, as its producer's row and its readers' have it, also those behind
 * operators that pass a type through? */
bool hb_march_takes(const hb_march *m, const hb_tensor *t, hb_dtype dt);
/* May it where those readers that take it not are given a copy at a type that they take? One has to be left that does. */
bool hb_march_gains(const hb_march *m, const hb_tensor *t, hb_dtype dt);
/* May n on the BPU, or the group it is in, read dt, and pass it on where it does that? */
bool hb_march_reads(const hb_march *m, const hb_node *n, hb_dtype dt);

/* ---- what a march file says, for `hbcc march` and the manual; terms are in march/rule.h ---- */
const hb_march_op *hb_march_op_of(const hb_march *m, const char *op);	/* NULL: no row */
bool hb_march_has_cpu(const hb_march *m, const char *op);	/* the vendor has a CPU kernel */
/* The next rule of op after `r` (NULL: the first) in a list of rules; NULL past the last. */
const hb_rule *hb_march_rule_next(const hb_rule *rules, const hb_rule *r, const char *op);
const char *hb_march_figure_source(const hb_march *m, const char *field);	/* "assumed" where none is given */

/* A row of the plugin's operator list, the ONNX operators that stand for it, and where a built-in march places them. */
typedef struct hb_covered {
	const char *row, *onnx, *on[3];
} hb_covered;
const hb_covered *hb_march_covered(size_t i);			/* NULL past the last */
const char *hb_march_covered_on(const hb_march *m, const hb_covered *c);	/* NULL: not known of this march */

/* Every rule of m parses and every operator that rules speak of has a row; else HB_ERR_INPUT, reported. */
hb_status hb_march_validate(hb_ctx *cx, const hb_march *m);

/* A user's own march from a YAML file; lives as long as cx. HB_ERR_INPUT naming the line where it is not one. */
hb_status hb_march_load(hb_ctx *cx, const char *path, const hb_march **out);

/* Limits of the model as a whole, as findings in g's arena: rules of operator "model". NULL: none is broken. */
hb_status hb_march_check_model(hb_graph *g, const hb_march *m, hb_finding **out);

#endif
