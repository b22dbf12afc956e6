/* origin.c: what a fake-quantized model tells of its making, in metadata (hbcc.name, hbcc.model.crc32, hbcc.option.*,
 * hbcc.place.*), so that compiling it gives the bytes that compiling its source gives. */
#include "cli/cli.h"

#define OPTION_KEY "hbcc.option."

static const char *const place_keys[] = { "hbcc.place.bpu", "hbcc.place.cpu" };

/* Of an .hbm alone: they shape the program, not the scales. */
static bool
is_of_program(const char *key)
{
	static const char *const keys[] = {
		"hbcc.version", OPTION_KEY "optimize", OPTION_KEY "input-layout", OPTION_KEY "output-layout", OPTION_KEY "debug",
	};
	for (size_t i = 0; i < HB_LEN(keys); i++) {
		if (!strcmp(key, keys[i]))
			return true;
	}
	return false;
}

/* The name that a request for `said` goes by in a fused graph: an operator's, or that of the node which does its work. */
static const char *
resolved(const hb_graph *g, const char *said)
{
	for (const hb_source *s = g->sources; s; s = s->next) {
		if (!strcmp(s->name, said) && s->now)
			return s->now->name;
	}
	return said;
}

hb_status
origin_put(cli *c, const hb_graph *g, hb_graph *qdq, const hb_meta *record)
{
	const strings *requests[] = { &c->a.run_on_bpu, &c->a.run_on_cpu };
	const char *name = c->a.name ? c->a.name : origin_name(c, g);

	for (const hb_meta *m = record; m; m = m->next) {
		if (!is_of_program(m->key) && !hb_meta_set(qdq->arena, &qdq->meta, m->key, m->value))
			return hb_nomem(c->cx, "metadata");
	}
	if (!name || !hb_meta_set(qdq->arena, &qdq->meta, "hbcc.name", name))
		return hb_nomem(c->cx, "metadata");
	for (size_t k = 0; k < HB_LEN(requests); k++) {
		const char *had = hb_meta_get(g->meta, place_keys[k]);
		char *all = hb_arena_str(c->arena, had ? had : "");

		for (size_t i = 0; all && i < requests[k]->n; i++)
			all = hb_arena_printf(c->arena, "%s%s%s", all, *all ? "\n" : "", resolved(g, requests[k]->v[i]));
		if (!all || (*all && !hb_meta_set(qdq->arena, &qdq->meta, place_keys[k], all)))
			return hb_nomem(c->cx, "metadata");
	}
	return HB_OK;
}

const char *
origin_name(cli *c, const hb_graph *g)
{
	const char *name = hb_meta_get(g->meta, "hbcc.name");

	return name && *name ? name : model_name_of(c, c->files[0]);
}

hb_status
origin_recall(cli *c, const hb_graph *g, hb_program *p, bool first)
{
	for (const hb_meta *m = g->meta; m; m = m->next) {
		bool kept = first ? !strncmp(m->key, OPTION_KEY, strlen(OPTION_KEY)) || !strcmp(m->key, "hbcc.samples.crc32") ||
					    !strcmp(m->key, "hbcc.config.crc32")
				  : !strcmp(m->key, "hbcc.model.crc32");

		if (kept && !is_of_program(m->key) && !hb_meta_set(p->arena, &p->meta, m->key, m->value))
			return hb_nomem(c->cx, NULL);
	}
	return HB_OK;
}

/* The names in `said`, a line each, then `n` more. */
static hb_status
names_of(cli *c, const char *said, const char *const **v, size_t *n)
{
	strings all = { 0 };
	char *text = said ? hb_arena_str(c->arena, said) : NULL, *save = NULL;

	if (!said)
		return HB_OK;
	if (!text)
		return hb_nomem(c->cx, "metadata");
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		HB_TRY(strings_add(c, &all, line));
	for (size_t i = 0; i < *n; i++)
		HB_TRY(strings_add(c, &all, (*v)[i]));
	*v = all.v;
	*n = all.n;
	return HB_OK;
}

hb_status
origin_requests(cli *c, const hb_graph *g, hb_place_options *o)
{
	const char *round = hb_meta_get(g->meta, OPTION_KEY "round"), *weights = hb_meta_get(g->meta, OPTION_KEY "weight-observer");

	if (!c->a.round && round && (!strcmp(round, "half_up") || !strcmp(round, "half_even")))
		c->a.round = hb_arena_str(c->arena, round);
	if (!c->a.weight_observer && weights && (!strcmp(weights, "minmax") || !strcmp(weights, "mse")))
		c->a.weight_observer = hb_arena_str(c->arena, weights);
	HB_TRY(names_of(c, hb_meta_get(g->meta, place_keys[0]), &o->run_on_bpu, &o->nbpu));
	return names_of(c, hb_meta_get(g->meta, place_keys[1]), &o->run_on_cpu, &o->ncpu);
}
