/* proof.c: --verify: what is compiled is held against what it was made from, step by step, on the same samples. */
#include "cli/cli.h"

#include "lib/hbm/hbm.h"

#include <math.h>

enum { SAMPLES = 4 };

/* Of a tensor's largest magnitude: what a rewrite may change by summing in another order. */
static const double REWRITE_BOUND = 1e-4;

typedef struct kept { /* a tensor of the model as it was read */
	float *v;
	size_t bytes;
	hb_shape shape;
	bool now;      /* v is of this sample */
	bool compared; /* some sample */
} kept;

struct proof {
	cli *c;
	hb_graph *g; /* the model as it was read */
	hb_exec *ex;
	port *ports;
	hb_val *in, *out; /* of g */
	samples *data;    /* NULL: noise */
	hb_map *kept;     /* by name */
	kept *all;
	size_t nall;
	double worst; /* over tensors: difference / largest magnitude */
	const char *at;
	hb_status st;
};

/* ---- samples ---- */

static hb_status
noise_room(proof *p)
{
	for (size_t i = 0; i < p->g->ninputs; i++) {
		const hb_tensor *t = p->g->inputs[i];
		size_t bytes = (size_t)HB_MAX(hb_shape_elems(&t->shape), 1) * HB_MAX(hb_dtype_size(t->dtype), 1);

		p->in[i] = (hb_val){.dtype = t->dtype, .shape = t->shape, .data = hb_arena_alloc(p->c->arena, bytes)};
		if (!p->in[i].data)
			return hb_nomem(p->c->cx, NULL);
	}
	return HB_OK;
}

static hb_status
sample(proof *p, int64_t k, bool *more)
{
	*more = k < SAMPLES;
	if (!*more)
		return HB_OK;
	if (p->data)
		return samples_get(p->data, k, p->in, more);
	hb_noise_sample(p->in, p->g->ninputs, k);
	return HB_OK;
}

static hb_status
samples_begin(proof *p)
{
	samples_close(p->data);
	p->data = NULL;
	HB_TRY(samples_open(p->c, &p->c->a.calib, p->ports, p->g->ninputs, &p->data));
	return p->data ? HB_OK : noise_room(p);
}

/* ---- rewrites ---- */

static void
keep(void *arg, hb_tensor *t, const hb_val *x)
{
	proof *p = arg;
	kept *r = t->producer && x->dtype == HB_F32 ? hb_map_get(p->kept, t->name) : NULL;
	size_t bytes = (size_t)hb_shape_elems(&x->shape) * sizeof(float);

	if (!r || !bytes || p->st != HB_OK)
		return;
	if (r->bytes < bytes) {
		if (r->v)
			hb_big_free(p->c->cx, r->v, r->bytes);
		r->v = hb_big_alloc(p->c->cx, bytes);
		r->bytes = r->v ? bytes : 0;
		if (!r->v) {
			p->st = hb_nomem(p->c->cx, NULL);
			return;
		}
	}
	memcpy(r->v, x->data, bytes);
	r->shape = x->shape;
	r->now = true;
}

/* The largest difference, of the largest magnitude; infinite where one is no number and the other is. */
static double
distance(const float *a, const float *b, int64_t n)
{
	double most = 0, off = 0;

	for (int64_t i = 0; i < n; i++) {
		if (a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))) {
			if (isfinite(a[i]))
				most = fmax(most, fabs((double)a[i]));
			continue;
		}
		if (!isfinite(a[i]) || !isfinite(b[i]))
			return HUGE_VAL;
		most = fmax(most, fabs((double)a[i]));
		off = fmax(off, fabs((double)a[i] - (double)b[i]));
	}
	return off > 0 ? (most > 0 ? off / most : HUGE_VAL) : 0;
}

static void
hold(void *arg, hb_tensor *t, const hb_val *x)
{
	proof *p = arg;
	kept *r = t->producer && x->dtype == HB_F32 ? hb_map_get(p->kept, t->name) : NULL;
	double d;

	if (!r || !r->now || p->st != HB_OK || !hb_shape_eq(&x->shape, &r->shape))
		return;
	d = distance(r->v, x->data, hb_shape_elems(&x->shape));
	r->compared = true;
	if (d > p->worst) {
		p->worst = d;
		p->at = t->name;
	}
	if (d > REWRITE_BOUND)
		p->st = hb_fail(p->c->cx, t->producer, HB_ERR_NO, "verify",
				"'%s' differs by %.2g of its largest magnitude from what the model as it was read yields; %g is taken",
				t->name, d, REWRITE_BOUND);
}

static hb_status
kept_make(proof *p)
{
	size_t n = 0;

	for (const hb_node *d = p->g->first; d; d = d->next)
		n += (size_t)d->nout;
	p->kept = hb_map_new(p->c->arena);
	p->all = HB_NEW_N(p->c->arena, kept, n + 1);
	if (!p->kept || !p->all)
		return hb_nomem(p->c->cx, NULL);
	for (const hb_node *d = p->g->first; d; d = d->next)
		for (int i = 0; i < d->nout; i++)
			if (d->out[i] && !hb_map_put(p->kept, d->out[i]->name, &p->all[p->nall++]))
				return hb_nomem(p->c->cx, NULL);
	return HB_OK;
}

static hb_status
rewrites(proof *p, hb_exec *fused, hb_val *out, int64_t *n)
{
	bool more = true;

	for (*n = 0;; ++*n) {
		HB_TRY(sample(p, *n, &more));
		if (!more)
			return HB_OK;
		for (size_t i = 0; i < p->nall; i++)
			p->all[i].now = false;
		HB_TRY(hb_exec_run(p->ex, p->in, p->out, keep, p));
		HB_TRY(p->st);
		HB_TRY(hb_exec_run(fused, p->in, out, hold, p));
		HB_TRY(p->st);
	}
}

hb_status
proof_rewrites(proof *p, hb_graph *g)
{
	hb_val *out = HB_NEW_N(p->c->arena, hb_val, g->noutputs + 1);
	size_t tensors = 0;
	int64_t n = 0;
	hb_status st;

	if (!out)
		return hb_nomem(p->c->cx, NULL);
	HB_TRY(kept_make(p));
	HB_TRY(samples_begin(p));
	hb_exec *fused = hb_exec_new(g, &st);
	if (fused)
		st = rewrites(p, fused, out, &n);
	hb_exec_free(fused);
	for (size_t i = 0; i < p->nall; i++) {
		tensors += p->all[i].compared;
		if (p->all[i].v)
			hb_big_free(p->c->cx, p->all[i].v, p->all[i].bytes);
		p->all[i] = (kept){0};
	}
	HB_TRY(st);
	printf("verified: fused equals float to %.2g over %lld %ssamples, %zu tensors", p->worst, (long long)n,
	       p->data ? "" : "noise ", tensors);
	if (p->at)
		printf("; the farthest is '%s'", clean(p->c, p->at));
	putchar('\n');
	return HB_OK;
}

/* ---- the program ---- */

/* The first output that is not the same to the last bit. */
static hb_status
same_outputs(proof *p, const hb_graph *fixed, const hb_val *a, const hb_val *b, int64_t k)
{
	for (size_t i = 0; i < fixed->noutputs; i++) {
		size_t bytes = (size_t)hb_shape_elems(&a[i].shape) * hb_dtype_size(a[i].dtype);

		if (a[i].dtype == b[i].dtype && hb_shape_eq(&a[i].shape, &b[i].shape) &&
		    (!bytes || !memcmp(a[i].data, b[i].data, bytes)))
			continue;
		return hb_fail(p->c->cx, fixed->outputs[i]->producer, HB_ERR_NO, "verify",
			       "output '%s' of the program is not that of the fixed-point graph, sample %lld",
			       fixed->outputs[i]->name, (long long)k);
	}
	return HB_OK;
}

static hb_status
no_hazards(proof *p, const hb_program *prog)
{
	hb_hazard h;
	size_t n = 0;

	HB_TRY(hb_hazards(p->c->cx, prog, &h, 1, &n));
	if (!n)
		return HB_OK;
	return hb_error(p->c->cx, HB_ERR_NO, NULL, "hazard", "%zu pairs of instructions touch the same bytes in no order; the first are %zu and %zu of segment %d",
			n, h.first, h.second, h.segment);
}

typedef struct held { /* of an output, fixed point against float */
	hb_measure m;
	int64_t equal, seen; /* of values that are no floats */
} held;

static void
hold_output(held *h, const hb_val *ref, const hb_val *got)
{
	int64_t n = hb_shape_elems(&ref->shape);

	if (!hb_shape_eq(&ref->shape, &got->shape) || ref->dtype != got->dtype)
		return;
	if (ref->dtype == HB_F32) {
		hb_measure_add(&h->m, ref->data, got->data, n);
		return;
	}
	h->seen += n;
	for (int64_t k = 0; k < n; k++)
		h->equal += value_at(ref, k) == value_at(got, k);
}

static hb_status
run_all(proof *p, const hb_graph *fixed, hb_exec *ex, hb_sim *sim, hb_val *a, hb_val *b, held *h, int64_t *n)
{
	bool more = true;

	for (*n = 0;; ++*n) {
		HB_TRY(sample(p, *n, &more));
		if (!more)
			return HB_OK;
		HB_TRY(hb_exec_run(p->ex, p->in, p->out, NULL, NULL));
		HB_TRY(hb_exec_run(ex, p->in, a, NULL, NULL));
		HB_TRY(hb_sim_run(sim, p->in, b));
		HB_TRY(same_outputs(p, fixed, a, b, *n));
		for (size_t i = 0; i < HB_MIN(fixed->noutputs, p->g->noutputs); i++)
			hold_output(&h[i], &p->out[i], &a[i]);
	}
}

hb_status
proof_program(proof *p, hb_graph *fixed, const hb_march *march, const hb_buf *file)
{
	cli *c = p->c;
	hb_val *a = HB_NEW_N(c->arena, hb_val, fixed->noutputs + 1), *b = HB_NEW_N(c->arena, hb_val, fixed->noutputs + 1);
	held *outs = HB_NEW_N(c->arena, held, HB_MAX(fixed->noutputs, p->g->noutputs) + 1);
	hb_sim_options o = {.tags = true};
	hb_sim *sim = NULL;
	hb_hbm h;
	int64_t n = 0;
	hb_status st;

	if (!a || !b || !outs)
		return hb_nomem(c->cx, NULL);
	HB_TRY(hb_hbm_read(c->cx, (const uint8_t *)file->p, file->len, c->arena, &h));
	HB_TRY(no_hazards(p, h.programs[0]));
	HB_TRY(samples_begin(p));
	hb_exec *ex = hb_exec_new(fixed, &st);
	if (ex)
		st = hb_sim_new(c->cx, h.programs[0], &march->fig, &o, &sim);
	if (sim)
		st = run_all(p, fixed, ex, sim, a, b, outs, &n);
	hb_sim_free(sim);
	hb_exec_free(ex);
	HB_TRY(st);
	for (size_t i = 0; i < p->g->noutputs; i++) {
		const char *name = clean(c, p->g->outputs[i]->name);

		if (outs[i].m.n)
			printf("verified: fixed point against float, output '%s': cosine %.6f\n", name, hb_measure_cosine(&outs[i].m));
		else if (outs[i].seen)
			printf("verified: fixed point against float, output '%s': %.4g %% of the values are equal\n", name,
			       (double)outs[i].equal / (double)outs[i].seen * 100);
		else
			printf("verified: fixed point against float, output '%s': no values to compare\n", name);
	}
	printf("verified: the program equals fixed point bit for bit over %lld %ssamples, %zu outputs; no hazard\n", (long long)n,
	       p->data ? "" : "noise ", fixed->noutputs);
	return HB_OK;
}

/* ---- begin, end ---- */

hb_status
proof_open(cli *c, proof **out)
{
	proof *p = *out = HB_NEW(c->arena, proof);
	hb_status st;

	if (!p)
		return hb_nomem(c->cx, NULL);
	p->c = c;
	HB_TRY(model_read(c, c->files[0], &p->g));
	if (hb_arrives_quantized(p->g)) { /* absorbed, what quantizes is scales and no rounding */
		HB_TRY(hb_pass_simplify(p->g));
		HB_TRY(hb_pass_absorb(p->g, affine(c)));
	}
	HB_TRY(graph_ports(c, p->g, &p->ports));
	p->in = HB_NEW_N(c->arena, hb_val, p->g->ninputs + 1);
	p->out = HB_NEW_N(c->arena, hb_val, p->g->noutputs + 1);
	if (!p->in || !p->out)
		return hb_nomem(c->cx, NULL);
	p->ex = hb_exec_new(p->g, &st);
	return p->ex ? HB_OK : st;
}

void
proof_close(proof *p)
{
	if (!p)
		return;
	samples_close(p->data);
	hb_exec_free(p->ex);
}
