/* rule.c: the rule language: tokenizer, parser, evaluator, and what it says of
 * a rule that does not hold. */
#include "march/rule.h"

#include <limits.h>

enum kind {
	K_NUM, K_WORD, K_TERM,
	K_ADD, K_SUB, K_MUL, K_DIV, K_MOD, K_NEG,
	K_MIN, K_MAX, K_CEIL_TO, K_POW2,
	K_EQ, K_NE, K_LE, K_LT, K_GE, K_GT, K_IN_SET, K_IN_RANGE,
	K_AND, K_OR, K_IMPLIES
};

#define MAX_DEPTH 64
#define MAX_TEXT 2048		/* bounds the depth of a chain of operators too */

struct hb_expr {
	enum kind kind;
	int64_t num;			/* K_NUM; K_WORD: the word */
	hb_term term;
	hb_expr *a, *b;			/* operands; a function's arguments and a set's members hang on b by next */
	hb_expr *next;
	const char *text;		/* as written */
	size_t len;
};

static const struct {
	const char *name, *meaning;
	bool word, flag;
	const char *advice[2];		/* of a flag: how to make it 0, 1 */
} terms[] = {
#define HB_TERM(name, meaning) { #name, meaning, false, false, { NULL, NULL } },
#define HB_FLAG(name, meaning, yes, no) { #name, meaning, false, true, { no, yes } },
#define HB_WORD_TERM(name, meaning) { #name, meaning, true, false, { NULL, NULL } },
#include "march/terms.def"
};

static const char *const words[] = {
#define HB_WORD(name) #name,
#include "march/terms.def"
};

const char *hb_term_name(hb_term t)
{
	return terms[t].name;
}

const char *hb_term_meaning(hb_term t)
{
	return terms[t].meaning;
}

const char *hb_word_name(int64_t w)
{
	return w >= 0 && w < HB_NWORDS ? words[w] : "?";
}

int64_t hb_word_find(const char *s)
{
	for (size_t i = 0; s && i < HB_LEN(words); i++)
		if (!strcmp(words[i], s))
			return (int64_t)i;
	return -1;
}

/* ---- parser ---- */

struct parser {
	hb_arena *a;
	const char *text, *p;
	const char *why;
	size_t at;
	int depth;
};

static hb_expr *parse_rule(struct parser *ps);
static hb_expr *parse_sum(struct parser *ps);

static hb_expr *fail(struct parser *ps, const char *why)
{
	if (!ps->why) {
		ps->why = why;
		ps->at = (size_t)(ps->p - ps->text);
	}
	return NULL;
}

static void skip_space(struct parser *ps)
{
	while (*ps->p == ' ' || *ps->p == '\t' || *ps->p == '\n' || *ps->p == '\r')
		ps->p++;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Takes the token where it stands next. A word is taken only whole; "<" and ">" not out of "<=" and ">=". */
static bool take(struct parser *ps, const char *token)
{
	size_t n = strlen(token);
	skip_space(ps);
	if (strncmp(ps->p, token, n))
		return false;
	if (is_word(token[0]) && is_word(ps->p[n]))
		return false;
	if (n == 1 && (token[0] == '<' || token[0] == '>') && ps->p[1] == '=')
		return false;
	ps->p += n;
	return true;
}

static hb_expr *make(struct parser *ps, enum kind k, const char *begin, hb_expr *a, hb_expr *b)
{
	hb_expr *e = HB_NEW(ps->a, hb_expr);
	if (!e)
		return fail(ps, "memory ran out");
	e->kind = k;
	e->a = a;
	e->b = b;
	e->text = begin;
	e->len = (size_t)(ps->p - begin);
	while (e->len && (begin[e->len - 1] == ' ' || begin[e->len - 1] == '\t'))
		e->len--;
	return e;
}

static bool is_condition(const hb_expr *e)
{
	return e->kind >= K_EQ;
}

static bool is_named(const hb_expr *e)
{
	return e->kind == K_WORD || (e->kind == K_TERM && terms[e->term].word);
}

static bool is_number(const hb_expr *e)
{
	return !is_condition(e) && !is_named(e);
}

static hb_expr *parse_number(struct parser *ps, const char *begin)
{
	int64_t v = 0;
	while (*ps->p >= '0' && *ps->p <= '9') {
		if (!hb_mul64(v, 10, &v) || !hb_add64(v, *ps->p - '0', &v))
			return fail(ps, "number is too large");
		ps->p++;
	}
	static const struct {
		const char *suffix;
		int64_t factor;
	} units[] = { { "Ki", 1 << 10 }, { "Mi", 1 << 20 }, { "Gi", 1 << 30 } };
	for (size_t i = 0; i < HB_LEN(units); i++)
		if (!strncmp(ps->p, units[i].suffix, 2)) {
			ps->p += 2;
			if (!hb_mul64(v, units[i].factor, &v))
				return fail(ps, "number is too large");
			break;
		}
	if (is_word(*ps->p))
		return fail(ps, "a letter follows a number");
	hb_expr *e = make(ps, K_NUM, begin, NULL, NULL);
	if (e)
		e->num = v;
	return e;
}

static hb_expr *parse_call(struct parser *ps, const char *begin, enum kind k, int least, int most)
{
	hb_expr *first = NULL, **tail = &first;
	int n = 0;
	do {
		hb_expr *arg = parse_sum(ps);
		if (!arg)
			return NULL;
		if (!is_number(arg))
			return fail(ps, "a function takes numbers");
		*tail = arg;
		tail = &arg->next;
		n++;
	} while (take(ps, ","));
	if (!take(ps, ")"))
		return fail(ps, "expected ) after the arguments");
	if (n < least || n > most)
		return fail(ps, "wrong number of arguments");
	return make(ps, k, begin, NULL, first);
}

static hb_expr *parse_name(struct parser *ps, const char *begin)
{
	static const struct {
		const char *name;
		enum kind kind;
		int least, most;
	} functions[] = {
		{ "min", K_MIN, 2, 8 }, { "max", K_MAX, 2, 8 }, { "ceil_to", K_CEIL_TO, 2, 2 }, { "pow2", K_POW2, 1, 1 },
	};
	while (is_word(*ps->p))
		ps->p++;
	size_t n = (size_t)(ps->p - begin);
	for (size_t i = 0; i < HB_LEN(functions); i++)
		if (strlen(functions[i].name) == n && !memcmp(functions[i].name, begin, n)) {
			if (!take(ps, "("))
				return fail(ps, "expected ( after a function");
			return parse_call(ps, begin, functions[i].kind, functions[i].least, functions[i].most);
		}
	for (size_t i = 0; i < HB_LEN(terms); i++)
		if (strlen(terms[i].name) == n && !memcmp(terms[i].name, begin, n)) {
			hb_expr *e = make(ps, K_TERM, begin, NULL, NULL);
			if (e)
				e->term = (hb_term)i;
			return e;
		}
	for (size_t i = 0; i < HB_LEN(words); i++)
		if (strlen(words[i]) == n && !memcmp(words[i], begin, n)) {
			hb_expr *e = make(ps, K_WORD, begin, NULL, NULL);
			if (e)
				e->num = (int64_t)i;
			return e;
		}
	ps->p = begin;
	return fail(ps, "unknown term");
}

static hb_expr *parse_atom_inner(struct parser *ps)
{
	skip_space(ps);
	const char *begin = ps->p;
	if (take(ps, "-")) {
		hb_expr *e = parse_atom_inner(ps);
		if (!e)
			return NULL;
		return is_number(e) ? make(ps, K_NEG, begin, e, NULL) : fail(ps, "- takes a number");
	}
	if (take(ps, "(")) {
		hb_expr *e = parse_rule(ps);
		if (!e)
			return NULL;
		if (!take(ps, ")"))
			return fail(ps, "expected )");
		e->text = begin;
		e->len = (size_t)(ps->p - begin);
		return e;
	}
	if (*ps->p >= '0' && *ps->p <= '9')
		return parse_number(ps, begin);
	if (is_word(*ps->p))
		return parse_name(ps, begin);
	return fail(ps, *ps->p ? "unexpected character" : "the rule ends too early");
}

static hb_expr *parse_atom(struct parser *ps)
{
	if (ps->depth >= MAX_DEPTH)
		return fail(ps, "nested too deeply");
	ps->depth++;
	/* A run of minus signs nests too. */
	size_t minus = 0;
	for (const char *q = ps->p; *q == '-' || *q == ' '; q++)
		minus += *q == '-';
	hb_expr *e = minus > MAX_DEPTH ? fail(ps, "nested too deeply") : parse_atom_inner(ps);
	ps->depth--;
	return e;
}

static hb_expr *parse_binary(struct parser *ps, const char *const *tokens, const enum kind *kinds, size_t n,
			     hb_expr *(*operand)(struct parser *), bool conditions)
{
	skip_space(ps);
	const char *begin = ps->p;
	hb_expr *e = operand(ps);
	while (e) {
		size_t i = 0;
		while (i < n && !take(ps, tokens[i]))
			i++;
		if (i == n)
			break;
		hb_expr *b = operand(ps);
		if (!b)
			return NULL;
		if (conditions ? is_named(e) || is_named(b) : !is_number(e) || !is_number(b))
			return fail(ps, conditions ? "a word is no condition" : "arithmetic takes numbers");
		e = make(ps, kinds[i], begin, e, b);
	}
	return e;
}

static hb_expr *parse_product(struct parser *ps)
{
	static const char *const tokens[] = { "*", "/", "%" };
	static const enum kind kinds[] = { K_MUL, K_DIV, K_MOD };
	return parse_binary(ps, tokens, kinds, HB_LEN(kinds), parse_atom, false);
}

static hb_expr *parse_sum(struct parser *ps)
{
	static const char *const tokens[] = { "+", "-" };
	static const enum kind kinds[] = { K_ADD, K_SUB };
	return parse_binary(ps, tokens, kinds, HB_LEN(kinds), parse_product, false);
}

static hb_expr *parse_membership(struct parser *ps, const char *begin, hb_expr *e)
{
	if (take(ps, "{")) {
		hb_expr *first = NULL, **tail = &first;
		do {
			hb_expr *m = parse_sum(ps);
			if (!m)
				return NULL;
			if (is_condition(m) || is_named(m) != is_named(e))
				return fail(ps, "the set's members are of another kind");
			*tail = m;
			tail = &m->next;
		} while (take(ps, ","));
		if (!take(ps, "}"))
			return fail(ps, "expected } after the set");
		return make(ps, K_IN_SET, begin, e, first);
	}
	hb_expr *lo = parse_sum(ps);
	if (!lo)
		return NULL;
	if (!take(ps, ".."))
		return fail(ps, "expected { or a range after in");
	hb_expr *hi = parse_sum(ps);
	if (!hi)
		return NULL;
	if (!is_number(e) || !is_number(lo) || !is_number(hi))
		return fail(ps, "a range is of numbers");
	lo->next = hi;
	return make(ps, K_IN_RANGE, begin, e, lo);
}

static hb_expr *parse_cond(struct parser *ps)
{
	static const struct {
		const char *token;
		enum kind kind;
	} compare[] = {
		{ "==", K_EQ }, { "!=", K_NE }, { "<=", K_LE }, { ">=", K_GE }, { "<", K_LT }, { ">", K_GT },
	};
	skip_space(ps);
	const char *begin = ps->p;
	hb_expr *e = parse_sum(ps);
	if (!e || is_condition(e))
		return e;
	if (take(ps, "in"))
		return parse_membership(ps, begin, e);
	for (size_t i = 0; i < HB_LEN(compare); i++) {
		if (!take(ps, compare[i].token))
			continue;
		hb_expr *b = parse_sum(ps);
		if (!b)
			return NULL;
		if (is_condition(b) || is_named(e) != is_named(b))
			return fail(ps, "the two sides are of different kinds");
		if (is_named(e) && i > 1)
			return fail(ps, "words have no order");
		return make(ps, compare[i].kind, begin, e, b);
	}
	return e;
}

static hb_expr *parse_and(struct parser *ps)
{
	static const char *const tokens[] = { "&&" };
	static const enum kind kinds[] = { K_AND };
	return parse_binary(ps, tokens, kinds, 1, parse_cond, true);
}

static hb_expr *parse_or(struct parser *ps)
{
	static const char *const tokens[] = { "||" };
	static const enum kind kinds[] = { K_OR };
	return parse_binary(ps, tokens, kinds, 1, parse_and, true);
}

static hb_expr *parse_rule_inner(struct parser *ps)
{
	skip_space(ps);
	const char *begin = ps->p;
	hb_expr *e = parse_or(ps);
	if (!e || !take(ps, "=>"))
		return e;
	hb_expr *b = parse_rule(ps);
	if (!b)
		return NULL;
	if (is_named(e) || is_named(b))
		return fail(ps, "a word is no condition");
	return make(ps, K_IMPLIES, begin, e, b);
}

static hb_expr *parse_rule(struct parser *ps)
{
	if (ps->depth >= MAX_DEPTH)
		return fail(ps, "nested too deeply");
	ps->depth++;
	hb_expr *e = parse_rule_inner(ps);
	ps->depth--;
	return e;
}

hb_expr *hb_rule_parse(hb_arena *a, const char *text, const char **why, size_t *at)
{
	struct parser ps = { .a = a, .text = text, .p = text };
	hb_expr *e = strlen(text) > MAX_TEXT ? fail(&ps, "rule is too long") : parse_rule(&ps);
	skip_space(&ps);
	if (e && *ps.p)
		e = fail(&ps, "unexpected text after the rule");
	if (e && is_named(e))
		e = fail(&ps, "a word is no condition");
	if (why)
		*why = e ? NULL : ps.why;
	if (at)
		*at = ps.at;
	return e;
}

/* ---- evaluation ---- */

static int64_t saturate(bool negative)
{
	return negative ? INT64_MIN : INT64_MAX;
}

static int64_t value(const hb_expr *e, const hb_facts *f);

static int64_t add(int64_t x, int64_t y)
{
	int64_t r;
	return __builtin_add_overflow(x, y, &r) ? saturate(x < 0) : r;
}

static int64_t subtract(int64_t x, int64_t y)
{
	int64_t r;
	return __builtin_sub_overflow(x, y, &r) ? saturate(x < 0) : r;
}

static int64_t multiply(int64_t x, int64_t y)
{
	int64_t r;
	return __builtin_mul_overflow(x, y, &r) ? saturate((x < 0) != (y < 0)) : r;
}

static int64_t divide(int64_t x, int64_t y)
{
	if (y == 0)
		return 0;
	return y == -1 ? subtract(0, x) : x / y;
}

static int64_t remainder_of(int64_t x, int64_t y)
{
	return y == 0 || y == -1 ? 0 : x % y;
}

static bool member(const hb_expr *e, const hb_facts *f)
{
	int64_t x = value(e->a, f);
	for (const hb_expr *m = e->b; m; m = m->next)
		if (value(m, f) == x)
			return true;
	return false;
}

static int64_t fold(const hb_expr *e, const hb_facts *f)
{
	int64_t r = value(e->b, f);
	for (const hb_expr *m = e->b->next; m; m = m->next) {
		int64_t x = value(m, f);
		r = e->kind == K_MIN ? HB_MIN(r, x) : HB_MAX(r, x);
	}
	return r;
}

static int64_t value(const hb_expr *e, const hb_facts *f)
{
	switch (e->kind) {
	case K_NUM:
	case K_WORD:
		return e->num;
	case K_TERM:
		return f->v[e->term];
	case K_ADD:
		return add(value(e->a, f), value(e->b, f));
	case K_SUB:
		return subtract(value(e->a, f), value(e->b, f));
	case K_MUL:
		return multiply(value(e->a, f), value(e->b, f));
	case K_DIV:
		return divide(value(e->a, f), value(e->b, f));
	case K_MOD:
		return remainder_of(value(e->a, f), value(e->b, f));
	case K_NEG:
		return subtract(0, value(e->a, f));
	case K_MIN:
	case K_MAX:
		return fold(e, f);
	case K_CEIL_TO: {
		int64_t x = value(e->b, f), k = value(e->b->next, f);
		int64_t over = remainder_of(x, k);
		return over > 0 ? add(x, k - over) : x;
	}
	case K_POW2: {
		int64_t x = value(e->b, f);
		return x > 0 && !(x & (x - 1));
	}
	case K_EQ:
		return value(e->a, f) == value(e->b, f);
	case K_NE:
		return value(e->a, f) != value(e->b, f);
	case K_LE:
		return value(e->a, f) <= value(e->b, f);
	case K_LT:
		return value(e->a, f) < value(e->b, f);
	case K_GE:
		return value(e->a, f) >= value(e->b, f);
	case K_GT:
		return value(e->a, f) > value(e->b, f);
	case K_IN_SET:
		return member(e, f);
	case K_IN_RANGE: {
		int64_t x = value(e->a, f);
		return x >= value(e->b, f) && x <= value(e->b->next, f);
	}
	case K_AND:
		return value(e->a, f) && value(e->b, f);
	case K_OR:
		return value(e->a, f) || value(e->b, f);
	case K_IMPLIES:
		return !value(e->a, f) || value(e->b, f);
	}
	return 0;
}

bool hb_rule_holds(const hb_expr *e, const hb_facts *f)
{
	return value(e, f) != 0;
}

bool hb_rule_reads(const hb_expr *e, hb_term t)
{
	if (!e)
		return false;
	if (e->kind == K_TERM && e->term == t)
		return true;
	if (hb_rule_reads(e->a, t))
		return true;
	for (const hb_expr *m = e->b; m; m = m->next)
		if (hb_rule_reads(m, t))
			return true;
	return false;
}

/* ---- what breaks a rule ---- */

struct words {				/* text that grows in an arena */
	hb_arena *a;
	const char *s;
	bool said[HB_NTERMS];
};

static void say(struct words *w, const char *before, const char *text)
{
	if (w->s && text)
		w->s = *w->s ? hb_arena_printf(w->a, "%s%s%s", w->s, before, text) : text;
}

static const char *term_text(struct words *w, hb_term t, const hb_facts *f)
{
	if (!terms[t].word)
		return hb_arena_printf(w->a, "%s = %lld", terms[t].name, (long long)f->v[t]);
	return hb_arena_printf(w->a, "%s = %s", terms[t].name, f->text[t] ? f->text[t] : hb_word_name(f->v[t]));
}

/* Every term in e that was not said yet. */
static void say_terms(struct words *w, const char *before, const hb_expr *e, const hb_facts *f)
{
	if (!e)
		return;
	if (e->kind == K_TERM && !w->said[e->term]) {
		w->said[e->term] = true;
		say(w, before, term_text(w, e->term, f));
	}
	say_terms(w, before, e->a, f);
	for (const hb_expr *m = e->b; m; m = m->next)
		say_terms(w, before, m, f);
}

static void say_leaf(struct words *w, const hb_expr *e, const hb_facts *f)
{
	const hb_expr *left = is_condition(e) ? e->a : e;
	if (left->kind != K_TERM && is_number(left) && left->kind != K_NUM)
		say(w, ", ", hb_arena_printf(w->a, "%.*s = %lld", (int)left->len, left->text, (long long)value(left, f)));
	say_terms(w, ", ", e, f);
}

static void say_failing(struct words *w, const hb_expr *e, const hb_facts *f)
{
	if (value(e, f))
		return;
	switch (e->kind) {
	case K_AND:
	case K_OR:
		say_failing(w, e->a, f);
		say_failing(w, e->b, f);
		break;
	case K_IMPLIES:
		say_failing(w, e->b, f);
		say_terms(w, ", ", e->a, f);
		break;
	default:
		say_leaf(w, e, f);
	}
}

const char *hb_rule_found(hb_arena *a, const hb_expr *e, const hb_facts *f)
{
	struct words w = { .a = a, .s = "" };
	say_failing(&w, e, f);
	return w.s;
}

/* ---- the nearest change ---- */

static bool constant(const hb_expr *e)
{
	for (int t = 0; t < HB_NTERMS; t++)
		if (hb_rule_reads(e, (hb_term)t))
			return false;
	return true;
}

/* The value nearest to x that a failing leaf takes on its left side. The right side's terms are as they are. */
static bool nearest(const hb_expr *e, const hb_facts *f, int64_t x, int64_t *out)
{
	int64_t k = e->kind == K_IN_SET ? 0 : value(e->b, f);
	switch (e->kind) {
	case K_EQ:
	case K_LE:
	case K_GE:
		*out = k;
		return true;
	case K_LT:
		*out = subtract(k, 1);
		return true;
	case K_GT:
		*out = add(k, 1);
		return true;
	case K_NE:
		*out = add(k, 1);
		return true;
	case K_IN_RANGE: {
		int64_t hi = value(e->b->next, f);
		if (hi < k)
			return false;
		*out = x < k ? k : hi;
		return true;
	}
	case K_IN_SET: {
		bool have = false;
		for (const hb_expr *m = e->b; m; m = m->next) {
			int64_t v = value(m, f);
			int64_t d = subtract(v, x), best = have ? subtract(*out, x) : 0;
			d = d < 0 ? subtract(0, d) : d;
			best = best < 0 ? subtract(0, best) : best;
			if (!have || d < best)
				*out = v;
			have = true;
		}
		return have;
	}
	default:
		return false;
	}
}

static bool fix_leaf(const hb_expr *e, const hb_facts *f, hb_fix *out)
{
	if (!is_condition(e)) {		/* a term by itself: anything but 0 */
		*out = (hb_fix){ .term = e->term, .value = 1 };
		return e->kind == K_TERM;
	}
	/* "x % k == 0": up to the next multiple. */
	if (e->kind == K_EQ && e->a->kind == K_MOD && e->a->a->kind == K_TERM && constant(e->b) && !value(e->b, f)) {
		hb_term t = e->a->a->term;
		int64_t k = value(e->a->b, f);
		*out = (hb_fix){ .term = t, .value = add(f->v[t], k - remainder_of(f->v[t], k)) };
		return k > 0 && !hb_rule_reads(e->a->b, t);
	}
	if (e->a->kind != K_TERM)
		return false;
	hb_term t = e->a->term;
	for (const hb_expr *m = e->b; m; m = m->next)
		if (hb_rule_reads(m, t))
			return false;
	out->term = t;
	return nearest(e, f, f->v[t], &out->value);
}

/* Changes that make e hold, applied to f one after the other; 0 where one part has none. */
static size_t fix(const hb_expr *e, hb_facts *f, hb_fix *out, size_t max)
{
	if (value(e, f) || !max)
		return 0;
	if (e->kind == K_IMPLIES)
		return fix(e->b, f, out, max);
	if (e->kind == K_OR) {
		size_t n = fix(e->a, f, out, max);
		return n ? n : fix(e->b, f, out, max);
	}
	if (e->kind == K_AND) {
		hb_facts before = *f;
		size_t n = fix(e->a, f, out, max);
		if (!n && !value(e->a, f))
			return 0;
		n += fix(e->b, f, out + n, max - n);
		if (value(e, f))
			return n;
		*f = before;
		return 0;
	}
	if (!fix_leaf(e, f, out))
		return 0;
	int64_t was = f->v[out->term];
	f->v[out->term] = out->value;
	if (value(e, f))
		return 1;
	f->v[out->term] = was;
	return 0;
}

/* The value nearest to its own with which term t makes e hold: near ones are tried, further ones by halves towards 1. */
static bool nearest_of_term(const hb_expr *e, hb_facts *f, hb_term t, int64_t *out)
{
	enum { NEAR = 64 };
	int64_t was = f->v[t], lo = 1, hi = was - NEAR;
	bool found = false;
	for (int64_t d = 1; d <= NEAR && !found; d++)
		for (int up = 0; up < 2 && !found; up++) {
			*out = f->v[t] = up ? was + d : was - d;
			found = *out > 0 && value(e, f);
		}
	f->v[t] = lo;
	if (!found && hi > lo && value(e, f)) {
		while (hi - lo > 1) {
			int64_t mid = f->v[t] = lo + (hi - lo) / 2;
			*(value(e, f) ? &lo : &hi) = mid;
		}
		*out = lo;
		found = true;
	}
	f->v[t] = was;
	return found;
}

/* The one number that has to change least, as a share of itself. Of an implication the right side's. */
static size_t fix_one_number(const hb_expr *e, const hb_facts *f, hb_fix *out)
{
	hb_facts changed = *f;
	const hb_expr *then = e;
	double least = 0;
	size_t found = 0;
	while (then->kind == K_IMPLIES)
		then = then->b;
	for (int t = 0; t < HB_NTERMS; t++) {
		int64_t v;
		if (terms[t].flag || terms[t].word || f->v[t] < 1 || f->v[t] > INT64_MAX / 2 || !hb_rule_reads(then, (hb_term)t) ||
		    (then != e && hb_rule_reads(e->a, (hb_term)t)) || !nearest_of_term(e, &changed, (hb_term)t, &v))
			continue;
		double share = (double)(v > f->v[t] ? v - f->v[t] : f->v[t] - v) / (double)f->v[t];
		if (found && share >= least)
			continue;
		*out = (hb_fix){ .term = (hb_term)t, .value = v };
		least = share;
		found = 1;
	}
	return found;
}

/* *searched: the change is one among several that would do. */
static size_t fixes_of(const hb_expr *e, const hb_facts *f, hb_fix *out, size_t max, bool *searched)
{
	hb_facts changed = *f;
	size_t n = fix(e, &changed, out, max);
	*searched = !n || !value(e, &changed);
	if (!*searched)
		return n;
	return max && !value(e, f) ? fix_one_number(e, f, out) : 0;
}

size_t hb_rule_fix(const hb_expr *e, const hb_facts *f, hb_fix *out, size_t max)
{
	bool searched;
	return fixes_of(e, f, out, max, &searched);
}

/* "a compound at most 32767": for leaves whose left side is no single term. */
static void advise_compound(struct words *w, const hb_expr *e, const hb_facts *f)
{
	if (value(e, f))
		return;
	if (e->kind == K_AND || e->kind == K_OR) {
		advise_compound(w, e->a, f);
		if (e->kind == K_AND || !*w->s)
			advise_compound(w, e->b, f);
		return;
	}
	if (e->kind == K_IMPLIES) {
		advise_compound(w, e->b, f);
		return;
	}
	int64_t to;
	if (!is_condition(e) || constant(e->a) || !nearest(e, f, value(e->a, f), &to))
		return;
	int len = (int)e->a->len;
	const char *left = e->a->text;
	if (is_named(e->a)) {
		say(w, " and ", hb_arena_printf(w->a, "use %.*s %s", len, left, hb_word_name(to)));
		return;
	}
	if (!is_number(e->a))
		return;
	const char *bound = to < value(e->a, f) ? "at most " : "at least ";
	if (e->kind == K_EQ || e->kind == K_IN_SET)
		bound = "";
	say(w, " and ", hb_arena_printf(w->a, "make %.*s %s%lld", len, left, bound, (long long)to));
}

const char *hb_rule_advice(hb_arena *a, const hb_expr *e, const hb_facts *f)
{
	hb_fix fixes[16];
	struct words w = { .a = a, .s = "" };
	bool searched;
	size_t n = fixes_of(e, f, fixes, HB_LEN(fixes), &searched);
	if (searched) {
		advise_compound(&w, e, f);
		if (n && w.s && *w.s)
			w.s = hb_arena_printf(a, "%s: ", w.s);
	}
	for (size_t i = 0; i < n && w.s; i++) {
		hb_term t = fixes[i].term;
		const char *name = terms[t].name;
		if (terms[t].flag)
			say(&w, " and ", terms[t].advice[fixes[i].value != 0]);
		else if (terms[t].word)
			say(&w, " and ", hb_arena_printf(a, "use %s %s", name, hb_word_name(fixes[i].value)));
		else
			say(&w, searched ? "" : " and ", hb_arena_printf(a, "change %s from %lld to %lld", name, (long long)f->v[t],
							 (long long)fixes[i].value));
	}
	return w.s && *w.s ? w.s : NULL;
}

/* ---- numbers a test tries ---- */

static size_t constants(const hb_expr *e, int64_t *out, size_t n, size_t max)
{
	static const hb_facts none;
	if (!e)
		return n;
	if (!is_named(e) && constant(e)) {
		if (n < max)
			out[n++] = value(e, &none);
		return n;
	}
	n = constants(e->a, out, n, max);
	for (const hb_expr *m = e->b; m; m = m->next)
		n = constants(m, out, n, max);
	return n;
}

static size_t edges(const hb_expr *e, hb_term t, int64_t *out, size_t n, size_t max)
{
	if (!e)
		return n;
	if (e->kind >= K_EQ && e->kind <= K_IN_RANGE)
		return hb_rule_reads(e, t) ? constants(e, out, n, max) : n;
	if (e->kind == K_TERM && e->term == t && n < max)
		out[n++] = 1;
	n = edges(e->a, t, out, n, max);
	for (const hb_expr *m = e->b; m; m = m->next)
		n = edges(m, t, out, n, max);
	return n;
}

size_t hb_rule_edges(const hb_expr *e, hb_term t, int64_t *out, size_t max)
{
	return edges(e, t, out, 0, max);
}
