/* verify_causes.c: why a layer loses: what its float values, its scale and its operands have that costs steps. */
#include "cli/verify.h"

#include "ops/op.h"

#include <math.h>

/* The manual page states these. */
static const double TIMES_APART = 8;	   /* of ranges: the lesser has under 16 of 127 steps */
static const double FEW_STEPS = 16;	   /* values that take no more of them lose by it */
static const double MOST_VALUES = 0.999;   /* share, beside which the rest are outliers */
static const double CLIPPED = 0.01;	   /* share */
static const double USED = 0.5;		   /* share of the range */
static const double SMALL_CHANNELS = 0.25; /* share */
enum { LEAST_SEEN = 16 };		   /* values of a channel from which on it is judged */

/* ---- one cause more ---- */

static hb_status add(verify *v, row *r, const char *word, double value, const char *fmt, ...) HB_PRINTF(5, 6);

static hb_status
add(verify *v, row *r, const char *word, double value, const char *fmt, ...)
{
	cause *k = HB_NEW(v->c->arena, cause), **last = &r->causes;
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!k || !(k->text = hb_arena_str(v->c->arena, text)))
		return hb_nomem(v->c->cx, NULL);
	k->word = word;
	k->value = value;
	while (*last)
		last = &(*last)->next;
	*last = k;
	return HB_OK;
}

static bool
has(const row *r, const char *word)
{
	for (const cause *k = r->causes; k; k = k->next)
		if (!strcmp(k->word, word))
			return true;
	return false;
}

/* ---- scales ---- */

static int32_t
largest_integer(const hb_q *q)
{
	return hb_q_limited(q) ? HB_MAX(q->hi, -q->lo) : hb_qmax(q->dtype);
}

/* Of a scale a channel, the largest. */
static double
step_of(const hb_q *q)
{
	double most = q->nscales > 1 ? 0 : q->scale;

	for (int i = 0; i < q->nscales && q->nscales > 1; i++)
		most = fmax(most, q->scales[i]);
	return most;
}

double
verify_clip(const hb_q *q)
{
	return q->dtype == HB_I8 || q->dtype == HB_I16 ? step_of(q) * largest_integer(q) : NAN;
}

/* ---- operands ---- */

/* What an operand takes: its clip where the compiled form shows one, else the largest magnitude; 0: unknown. */
static double
range_of(const verify *v, const hb_tensor *t)
{
	const row *r = hb_map_get(v->rows, t->name);
	double clip = r && r->measure.n ? verify_clip(&r->q) : NAN;

	return isfinite(clip) ? clip : r && r->values ? (double)spread_magnitude(r->values) : (double)v->largest[t->id];
}

static hb_status
judge_operands(verify *v, row *r)
{
	const hb_node *n = verify_node(r);
	const hb_tensor *narrow = NULL, *wide = NULL;
	double least = HUGE_VAL, most = 0;

	for (int i = 0; !strcmp(n->op_type, "Concat") && i < n->nin; i++) {
		double range = range_of(v, n->in[i]);

		if (range > 0 && range < least) {
			least = range;
			narrow = n->in[i];
		}
		if (range > most) {
			most = range;
			wide = n->in[i];
		}
	}
	if (!wide || most < least * TIMES_APART || least >= step_of(&r->q) * FEW_STEPS)
		return HB_OK;
	return add(v, r, "unequal-concat", most / least, "operands' ranges are %.3g times apart: '%s' %.3g, '%s' %.3g", most / least,
		   narrow->name, least, wide->name, most);
}

/* ---- channels ---- */

static hb_status
judge_channels(verify *v, row *r)
{
	const spread *s = r->values;
	const hb_channels *ch = s->channels;
	int64_t dead = 0, zero = 0, small = 0;
	double least = HUGE_VAL, most = 0;

	if (s->dim < 0 || ch->n < 2 || s->seen / ch->n < LEAST_SEEN)
		return HB_OK;
	for (int64_t i = 0; i < ch->n; i++) {
		double m = fmax(-ch->min[i], ch->max[i]), step = hb_q_scale(&r->q, r->q.nscales == ch->n ? i : 0);

		zero += m == 0;
		dead += m < step;
		if (m < step)
			continue;
		small += m < step * FEW_STEPS;
		least = fmin(least, m);
		most = fmax(most, m);
	}
	if (dead)
		HB_TRY(add(v, r, "dead-channels", (double)dead, "%lld of %lld channels stay below one step, %lld of them are zero",
			   (long long)dead, (long long)ch->n, (long long)zero));
	/* channels of operands far apart are no second cause */
	if (small && !has(r, "unequal-concat") && r->q.nscales <= 1 && (double)small >= SMALL_CHANNELS * (double)(ch->n - dead) && most >= least * TIMES_APART)
		HB_TRY(add(v, r, "unequal-channels", most / least, "%lld of %lld channels have under %g steps; the largest has %.3g times the range of the least",
			   (long long)small, (long long)(ch->n - dead), FEW_STEPS, most / least));
	return HB_OK;
}

/* ---- values ---- */

static hb_status
judge_outliers(verify *v, row *r, double clip)
{
	double most = spread_magnitude(r->values), rest = spread_quantile(r->values, MOST_VALUES);

	if (!(rest > 0) || most < rest * TIMES_APART || (rest >= step_of(&r->q) * FEW_STEPS && most <= 2 * clip))
		return HB_OK;
	return add(v, r, "outliers", most / rest, "the largest is %.3g times what %g %% stay below; those have %.3g steps", most / rest,
		   MOST_VALUES * 100, fmin(rest, clip) / step_of(&r->q));
}

/* The node that alone reads t and is one function of it, or NULL: calibration clips what that flattens. */
static const hb_node *
only_function(const hb_tensor *t)
{
	const hb_node *n = t->nuses ? t->uses[0].node : NULL;

	if (!n || t->is_output)
		return NULL;
	for (size_t i = 1; i < t->nuses; i++)
		if (t->uses[i].node != n && (!n->group || t->uses[i].node->group != n->group))
			return NULL;
	if (n->group)
		return n->group->chain_in == t ? n->group->last : NULL;
	return n->op && n->op->lut ? n : NULL;
}

static hb_status
judge_clipped(verify *v, row *r, double clip)
{
	double share = spread_beyond(r->values, clip + step_of(&r->q));
	const hb_node *reader = only_function(r->t);

	if (share < CLIPPED)
		return HB_OK;
	return add(v, r, "clipped", share, "%.3g %% of the values lie beyond the range%s%s%s", share * 100, reader ? "; only '" : "",
		   reader ? reader->name : "", reader ? "' reads them, which flattens some" : "");
}

static hb_status
judge_range(verify *v, row *r, double clip)
{
	double used = spread_magnitude(r->values) / clip;

	if (!(used < USED))
		return HB_OK;
	return add(v, r, "range-unused", used, "the values take %.3g %% of the range", used * 100);
}

/* ---- all ---- */

hb_status
verify_causes(verify *v)
{
	for (row *r = verify_measured(v->first); r; r = verify_measured(r->next)) {
		double clip = verify_clip(&r->q);
		int64_t wrong = r->values ? r->values->seen - r->values->count : 0;

		if (!r->values)
			continue;
		if (wrong)
			HB_TRY(add(v, r, "non-finite", (double)wrong, "%lld values of the float model are infinite or no numbers", (long long)wrong));
		if (!isfinite(clip))
			continue;
		HB_TRY(judge_operands(v, r));
		HB_TRY(judge_channels(v, r));
		HB_TRY(judge_outliers(v, r, clip));
		HB_TRY(judge_clipped(v, r, clip));
		HB_TRY(judge_range(v, r, clip));
	}
	return HB_OK;
}

/* ---- magnitudes of operands that have no row ---- */

hb_status
verify_watch(verify *v)
{
	v->largest = HB_NEW_N(v->c->arena, float, v->g->next_tensor + 1);
	if (!v->largest)
		return hb_nomem(v->c->cx, NULL);
	for (int i = 0; i < v->g->next_tensor; i++)
		v->largest[i] = -1;
	for (const hb_node *n = v->g->first; n; n = n->next)
		for (int i = 0; !strcmp(n->op_type, "Concat") && i < n->nin; i++)
			if (!n->in[i]->is_const && !hb_map_get(v->rows, n->in[i]->name))
				v->largest[n->in[i]->id] = 0;
	return HB_OK;
}

void
verify_watched(verify *v, const hb_tensor *t, const hb_val *x)
{
	const float *p = x->data;
	float most = v->largest ? v->largest[t->id] : -1;
	int64_t n = hb_shape_elems(&x->shape);

	if (most < 0 || x->dtype != HB_F32)
		return;
	for (int64_t i = 0; i < n; i++) {
		float m = fabsf(p[i]);

		most = m > most && isfinite(m) ? m : most;
	}
	v->largest[t->id] = most;
}
