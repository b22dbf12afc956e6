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
} hb_march;

const hb_march *hb_march_find(const char *name);	/* NULL where unknown */
const hb_march *hb_march_at(size_t i);			/* NULL past the last */

typedef struct hb_place_options {
	const char *const *run_on_bpu, *const *run_on_cpu;	/* operator types or node names */
	size_t nbpu, ncpu;
} hb_place_options;

/* Sets on and findings of every node of a fused graph whose shapes are known, and q.dtype-independent
 * rules only; hb_march_constrain checks what depends on dtypes and weights. Nodes of a group share a place.
 * Fails only where the march's rules are malformed. */
hb_status hb_march_place(hb_graph *g, const hb_march *m, const hb_place_options *o);

/* Every rule of node n's row that it breaks on place p, as findings; NULL: none. */
hb_status hb_march_check(hb_graph *g, const hb_march *m, hb_node *n, hb_place_rule p, hb_finding **out);

/* What an operator's inputs and output may be on the BPU, from its row; 0: not there. */
uint32_t hb_march_types(const hb_march *m, const hb_node *n, bool output);

#endif
