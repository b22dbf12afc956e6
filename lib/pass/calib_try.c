/* calib_try.c: the observer `default`: minmax, percentile 0.99995 and kl, each for the whole model, on the statistics of
 * one pass; the one whose outputs are nearest the float model's by cosine is kept. Where that is below 0.995,
 * percentile 0.99995 with a scale a channel is tried too (SEMANTICS 2). */
#include "lib/pass/calib.h"

#include <math.h>

#define ENOUGH 0.995

static const struct {
	hb_observer_kind kind;
	double percentile;
	bool channels;
	const char *name;
} candidates[] = {
	{ HB_OBS_MINMAX, 0, false, "max" },
	{ HB_OBS_PERCENTILE, 0.99995, false, "percentile 0.99995" },
	{ HB_OBS_KL, 0, false, "kl" },
	{ HB_OBS_PERCENTILE, 0.99995, true, "percentile 0.99995 a channel" },
};
enum { FIRST_CHANNELS = 3 };

typedef struct trial {
	hb_graph *fixed;		/* NULL: it cannot be converted */
	hb_exec *exec;
	hb_measure *outputs;
	hb_val *out;
	double cosine;			/* of the worst output */
} trial;

static void
take(hb_calib *c, size_t k)
{
	c->channels_now = candidates[k].channels;
	for (hb_tensor *t = c->g->tensors; t; t = t->next) {
		hb_edge *e = t->user;
		if (!e || !e->tried)
			continue;
		e->cfg.observer.kind = candidates[k].kind;
		e->cfg.observer.percentile = candidates[k].percentile;
	}
}

/* A candidate that cannot be converted is no candidate; the one that is kept tells why. */
static hb_status
trial_begin(hb_calib *c, size_t k, trial *t)
{
	hb_ctx *cx = c->g->cx;
	void (*diag)(void *arg, const hb_diag *d) = cx->opt.diag;
	int errors = cx->errors, warnings = cx->warnings;
	hb_status st;
	*t = (trial){ .cosine = -1 };
	take(c, k);
	HB_TRY(hb_calib_set_scales(c));
	cx->opt.diag = NULL;
	st = hb_pass_convert(c->g, c->o->round, &t->fixed);
	cx->opt.diag = diag;
	cx->errors = errors;
	cx->warnings = warnings;
	if (st != HB_OK) {
		t->fixed = NULL;
		return st == HB_ERR_NOMEM ? st : HB_OK;
	}
	t->exec = hb_exec_new(t->fixed, &st);
	t->outputs = HB_NEW_N(c->arena, hb_measure, c->g->noutputs);
	t->out = HB_NEW_N(c->arena, hb_val, c->g->noutputs);
	return !t->exec ? st : t->outputs && t->out ? HB_OK : hb_nomem(cx, "calibrate");
}

static void
trial_end(trial *t)
{
	if (t->exec)
		hb_exec_free(t->exec);
	if (t->fixed)
		hb_graph_free(t->fixed);
	t->exec = NULL;
	t->fixed = NULL;
}

/* After the float model ran on a sample: the trials too. */
static hb_status
compare(hb_calib *c, const hb_val *in, const hb_val *out)
{
	const size_t n = HB_LEN(candidates);
	trial *trials = c->trials;
	for (size_t k = 0; k < n; k++) {
		trial *t = &trials[k];
		if (!t->exec)
			continue;
		HB_TRY(hb_exec_run(t->exec, in, t->out, NULL, NULL));
		for (size_t i = 0; i < c->g->noutputs; i++) {
			if (out[i].dtype == HB_F32)
				hb_measure_add(&t->outputs[i], out[i].data, t->out[i].data, hb_shape_elems(&out[i].shape));
		}
	}
	return HB_OK;
}

static hb_status
run_trials(hb_calib *c, size_t from, size_t to)
{
	trial *trials = c->trials;
	hb_status st = HB_OK;
	for (size_t k = from; k < to && st == HB_OK; k++)
		st = trial_begin(c, k, &trials[k]);
	if (st == HB_OK) {
		c->after = compare;
		st = hb_calib_run(c, HB_FEW_SAMPLES, NULL);
		c->after = NULL;
	}
	for (size_t k = from; k < to; k++) {
		trial *t = &trials[k];
		bool ran = t->exec;
		trial_end(t);
		t->cosine = ran ? 1 : -1;
		for (size_t i = 0; ran && i < c->g->noutputs; i++) {
			double cosine = hb_measure_cosine(&t->outputs[i]);
			t->cosine = isfinite(cosine) ? HB_MIN(t->cosine, cosine) : -1;
		}
	}
	return st;
}

static size_t
nearest(const trial *trials, size_t n)
{
	size_t best = 0;
	for (size_t k = 1; k < n; k++) {
		if (trials[k].cosine > trials[best].cosine)
			best = k;
	}
	return best;
}

hb_status
hb_calib_try(hb_calib *c)
{
	trial trials[HB_LEN(candidates)] = { { NULL, NULL, NULL, NULL, -1 } };
	size_t n = FIRST_CHANNELS;
	bool any = false, channels = false;
	for (hb_tensor *t = c->g->tensors; t; t = t->next) {
		hb_edge *e = t->user;
		if (!e || e->cfg.observer.kind != HB_OBS_DEFAULT)
			continue;
		any = e->tried = true;
		channels |= e->channels != NULL;
	}
	if (!any || c->o->ranges)
		return HB_OK;
	c->trials = trials;
	hb_status st = run_trials(c, 0, n);
	if (st == HB_OK && channels && trials[nearest(trials, n)].cosine < ENOUGH)
		st = run_trials(c, n, n + 1), n++;
	c->trials = NULL;
	HB_TRY(st);
	size_t best = nearest(trials, n);
	take(c, best);
	for (size_t k = 0; k < n; k++)
		hb_note(c->g->cx, NULL, "default", "observer %s: the outputs' cosine is %.6f%s", candidates[k].name, trials[k].cosine, k == best ? "; taken" : "");
	return HB_OK;
}
