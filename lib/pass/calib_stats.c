/* calib_stats.c: what observers hold, as bytes, so that parts of the samples can be seen apart: the inputs of the first
 * samples (for passes that need scales), then, of each tensor, its observer and the ranges of its channels. */
#include "lib/pass/calib.h"

static bool
is_observed(const hb_tensor *t)
{
	const hb_edge *e = t->user;
	return e && e->observer && !e->shared && !t->is_const;
}

/* The order of samples is lost between parts. */
static hb_status
check_order(const hb_calib *c)
{
	for (const hb_tensor *t = c->g->tensors; t; t = t->next) {
		const hb_edge *e = t->user;
		if (is_observed(t) && hb_observer_is_ordered(e->cfg.observer.kind))
			return hb_error(c->g->cx, HB_ERR_USAGE, t->name, "order", "observer %s takes samples in order: it cannot be merged from parts; "
					"minmax, percentile, kl, mse, mix and default can", hb_observer_name(e->cfg.observer.kind));
	}
	return HB_OK;
}

hb_status
hb_calib_keep(hb_calib *c)
{
	HB_TRY(check_order(c));
	for (size_t i = 0; i < c->g->ninputs; i++)
		c->sample_bytes += (size_t)hb_tensor_bytes(c->g->inputs[i]);
	c->kept = HB_NEW_N(c->arena, uint8_t, HB_MAX(c->sample_bytes, 1) * HB_FEW_SAMPLES);
	return c->kept ? HB_OK : hb_nomem(c->g->cx, "calibrate");
}

static void
add_block(hb_buf *b, hb_buf *block)
{
	hb_buf_u64(b, block->len);
	hb_buf_add(b, block->p, block->len);
	b->bad |= block->bad;
	block->len = 0;
}

hb_status
hb_calib_save_stats(hb_calib *c)
{
	hb_buf *b = c->o->save_stats, block = { .cx = c->g->cx };
	uint32_t n = 0;
	hb_buf_u64(b, c->sample_bytes);
	hb_buf_u32(b, (uint32_t)c->nkept);
	hb_buf_add(b, c->kept, c->sample_bytes * (size_t)c->nkept);
	for (const hb_tensor *t = c->g->tensors; t; t = t->next)
		n += is_observed(t);
	hb_buf_u32(b, n);
	for (const hb_tensor *t = c->g->tensors; t; t = t->next) {
		const hb_edge *e = t->user;
		if (!is_observed(t))
			continue;
		hb_buf_str(&block, t->name);
		add_block(b, &block);
		hb_observer_save(e->observer, &block);
		add_block(b, &block);
		if (e->channels)
			hb_channels_save(e->channels, &block);
		add_block(b, &block);
	}
	hb_buf_free(&block);
	return b->bad ? hb_nomem(c->g->cx, "statistics") : HB_OK;
}

/* Observer and channels of a tensor. */
typedef struct row {
	hb_cursor observer, channels;
} row;

static hb_cursor
get_block(hb_cursor *c)
{
	uint64_t n = hb_get_u64(c);
	const uint8_t *p = hb_get_bytes(c, n);
	return (hb_cursor){ .p = p, .end = p ? p + n : p, .bad = !p && n };
}

static hb_status
bad(const hb_calib *c, const hb_stats *s, const hb_tensor *t)
{
	if (t)
		return hb_error(c->g->cx, HB_ERR_INPUT, s->path, "stats", "the statistics of tensor '%s' are damaged or of another shape", t->name);
	return hb_error(c->g->cx, HB_ERR_INPUT, s->path, "stats", "is no file of statistics, or damaged");
}

static hb_status
read_rows(hb_calib *c, const hb_stats *s, hb_cursor *in, hb_map *rows)
{
	uint32_t n = hb_get_u32(in);
	for (uint32_t i = 0; i < n; i++) {
		hb_cursor name = get_block(in), observer = get_block(in), channels = get_block(in);
		if (in->bad || name.bad || observer.bad || channels.bad)
			return bad(c, s, NULL);
		char *key = hb_arena_strn(c->arena, (const char *)name.p, (size_t)(name.end - name.p));
		row *r = HB_NEW(c->arena, row);
		if (!key || !r || !hb_map_put(rows, key, r))
			return hb_nomem(c->g->cx, s->path);
		*r = (row){ observer, channels };
	}
	return in->p == in->end ? HB_OK : bad(c, s, NULL);
}

static hb_status
read_kept(hb_calib *c, const hb_stats *s, hb_cursor *in)
{
	uint64_t bytes = hb_get_u64(in);
	uint32_t n = hb_get_u32(in);
	if (in->bad || bytes != c->sample_bytes || n > HB_FEW_SAMPLES)
		return hb_error(c->g->cx, HB_ERR_INPUT, s->path, "stats", "holds samples of %llu bytes; the model takes %zu",
				(unsigned long long)bytes, c->sample_bytes);
	const uint8_t *p = hb_get_bytes(in, bytes * n);
	if (!p && bytes && n)
		return bad(c, s, NULL);
	size_t more = (size_t)HB_MIN((int64_t)n, HB_FEW_SAMPLES - c->nkept);
	if (p)
		memcpy(c->kept + (size_t)c->nkept * c->sample_bytes, p, more * c->sample_bytes);
	c->nkept += (int64_t)more;
	return HB_OK;
}

static hb_status
merge_one(hb_calib *c, const hb_stats *s)
{
	hb_map *rows = hb_map_new(c->arena);
	hb_cursor in = s->bytes;
	if (!rows)
		return hb_nomem(c->g->cx, s->path);
	HB_TRY(read_kept(c, s, &in));
	HB_TRY(read_rows(c, s, &in, rows));
	for (const hb_tensor *t = c->g->tensors; t; t = t->next) {
		hb_edge *e = t->user;
		if (!is_observed(t))
			continue;
		row *r = hb_map_get(rows, t->name);
		if (!r)
			return hb_error(c->g->cx, HB_ERR_INPUT, s->path, "stats", "has nothing about tensor '%s': it is of another model, or of other options",
					t->name);
		if (!hb_observer_merge(e->observer, &r->observer))
			return bad(c, s, t);
		if (!e->channels)
			continue;
		if (r->channels.p == r->channels.end)
			return hb_error(c->g->cx, HB_ERR_INPUT, s->path, "stats", "has no ranges of the channels of tensor '%s': it is of another model, or of other options",
					t->name);
		if (!hb_channels_merge(e->channels, &r->channels))
			return bad(c, s, t);
	}
	return HB_OK;
}

hb_status
hb_calib_merge_stats(hb_calib *c)
{
	for (size_t i = 0; i < c->o->nstats; i++)
		HB_TRY(merge_one(c, &c->o->stats[i]));
	return HB_OK;
}
