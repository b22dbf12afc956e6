/* rule.h: the language of the march rules. A rule is a condition over terms
 * (terms.def) that stand for what one node has:
 *
 *   rule    = or [ "=>" rule ]
 *   or      = and { "||" and }
 *   and     = cond { "&&" cond }
 *   cond    = sum [ ( "==" "!=" "<=" ">=" "<" ">" ) sum | "in" ( set | sum ".." sum ) ]
 *   set     = "{" sum { "," sum } "}"
 *   sum     = product { ( "+" "-" ) product }
 *   product = atom { ( "*" "/" "%" ) atom }
 *   atom    = number | word | term | function "(" sum { "," sum } ")" | "(" rule ")" | "-" atom
 *
 * Numbers are 64-bit integers and saturate; Ki, Mi, Gi may follow one. `/` rounds
 * towards zero; x / 0 and x % 0 are 0. Functions: min, max, ceil_to(x, k), pow2(x): 1
 * where x is a power of two. */
#ifndef HB_RULE_LANG_H
#define HB_RULE_LANG_H

#include "lib/ir/ir.h"

typedef enum hb_term {
#define HB_TERM(name, meaning) HB_T_##name,
#define HB_WORD_TERM(name, meaning) HB_T_##name,
#include "march/terms.def"
	HB_NTERMS
} hb_term;

typedef enum hb_word {
#define HB_WORD(name) HB_W_##name,
#include "march/terms.def"
	HB_NWORDS
} hb_word;

/* What a node has. A word term holds an hb_word, -1 for a word that no rule knows. */
typedef struct hb_facts {
	int64_t v[HB_NTERMS];
	const char *text[HB_NTERMS];	/* of word terms: the word as the model has it; else NULL */
} hb_facts;

typedef struct hb_expr hb_expr;

/* The rule as a tree in `a`; NULL where it is malformed, with *why and the offset *at. */
hb_expr *hb_rule_parse(hb_arena *a, const char *text, const char **why, size_t *at);

bool hb_rule_holds(const hb_expr *e, const hb_facts *f);

/* For a rule that does not hold: what in the node breaks it ("kh = 40"), and the nearest
 * change that would satisfy it, NULL where none can be computed. In `a`; NULL without memory. */
const char *hb_rule_found(hb_arena *a, const hb_expr *e, const hb_facts *f);
const char *hb_rule_advice(hb_arena *a, const hb_expr *e, const hb_facts *f);

/* The single changes that hb_rule_advice speaks of: terms and their new values, at most `max`; how many.
 * Made all together they satisfy the rule, if there are any. */
typedef struct hb_fix {
	hb_term term;
	int64_t value;
} hb_fix;
size_t hb_rule_fix(const hb_expr *e, const hb_facts *f, hb_fix *out, size_t max);

/* Values around which the rule changes for a term: bounds of ranges, members of sets, limits. */
size_t hb_rule_edges(const hb_expr *e, hb_term t, int64_t *out, size_t max);
bool hb_rule_reads(const hb_expr *e, hb_term t);

const char *hb_term_name(hb_term t);
const char *hb_term_meaning(hb_term t);
const char *hb_word_name(int64_t w);	/* "?" where unknown */
int64_t hb_word_find(const char *s);	/* -1 where no rule knows it */

#endif
