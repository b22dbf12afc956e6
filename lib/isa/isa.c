/* isa.c: names and rows of the machine's tables, and the list. */
#include "lib/isa/isa.h"

const char *
hb_space_name(hb_space s)
{
	static const char *const name[HB_NSPACES] = {"s0", "s1", "in", "out", "par", "heap"};
	return (unsigned)s < HB_NSPACES ? name[s] : "?";
}

const char *
hb_engine_name(hb_engine e)
{
	static const char *const name[HB_NENGINES] = {"L0", "S0", "M0", "V0", "L1", "S1", "M1", "V1"};
	return (unsigned)e < HB_NENGINES ? name[e] : "?";
}

const char *
hb_fn_name(hb_fn f)
{
	static const char *const name[] = {
#define HB_FN(name) #name,
#include "lib/isa/fn.def"
#undef HB_FN
	};
	return (unsigned)f < HB_NFNS ? name[f] : "?";
}

/* Words of a literal of at most 32 characters, as a constant. */
#define BLANK(s, i) ((i) < sizeof(s) && (s)[(i) < sizeof(s) ? (i) : 0] == ' ')
#define BLANK4(s, i) (BLANK(s, i) + BLANK(s, (i) + 1) + BLANK(s, (i) + 2) + BLANK(s, (i) + 3))
#define BLANK16(s, i) (BLANK4(s, i) + BLANK4(s, (i) + 4) + BLANK4(s, (i) + 8) + BLANK4(s, (i) + 12))
#define WORDS(s) (1 + BLANK16(s, 0) + BLANK16(s, 16))

static const hb_insn_row rows[HB_NOPCODES] = {
#define HB_IMM(insn, imm) #imm " "
#define HB_INSN(name, engines, operands, noptional, imms) \
	[HB_I_##name] = {#name, engines, operands, noptional, imms, WORDS(operands), HB_NIMM_##name},
#include "lib/isa/insn.def"
#undef HB_INSN
#undef HB_IMM
};

const hb_insn_row *
hb_insn_row_of(hb_opcode op)
{
	return (unsigned)op < HB_NOPCODES ? &rows[op] : NULL;
}

bool
hb_insn_writes(const hb_insn *i, int k)
{
	return k == 0 || (i->op == HB_I_sort && k == 1);
}

bool
hb_list_add(hb_arena *a, hb_list *l, const hb_insn *i)
{
	if (!HB_GROW(a, &l->insns, &l->cap, l->n + 1))
		return false;
	l->insns[l->n++] = *i;
	return true;
}
