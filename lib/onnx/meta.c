/* meta.c: what Q/DQ pairs cannot say, in metadata_props (DESIGN 1).
 *
 *     hbcc.uncalibrated          "1"
 *     hbcc.q:<tensor>            "int8 scale=0.0123 min=-1.5 max=1.57 observer=mse"
 *     hbcc.q:<tensor>            "int16 scale=0.0123 lo=-37 hi=218"  it takes no other integers
 *     hbcc.q:<tensor>            "int32 axis=1 scale=0.5,0.25,... " per channel */
#include "lib/onnx/internal.h"

#include <stdio.h>
#include <stdlib.h>

static hb_dtype
dtype_named(const char *s)
{
	for (int i = HB_F32; i < HB_NDTYPES; i++) {
		if (!strcmp(hb_dtype_name((hb_dtype)i), s))
			return (hb_dtype)i;
	}
	return HB_NONE;
}

static hb_status
add_meta(hb_graph *g, hb_arena *a, const char *key, const char *value, hb_meta ***last)
{
	hb_meta *m = key && value ? HB_NEW(a, hb_meta) : NULL;
	if (!m)
		return hb_nomem(g->cx, NULL);
	*m = (hb_meta){ .key = key, .value = value };
	**last = m;
	*last = &m->next;
	return HB_OK;
}

static bool
ours(const char *key)
{
	return !strcmp(key, HB_META_UNCALIBRATED) || !strncmp(key, HB_META_Q, strlen(HB_META_Q));
}

static void
write_q(hb_buf *b, const hb_q *q)
{
	b->len = 0;
	hb_buf_str(b, hb_dtype_name(q->dtype));
	if (q->nscales > 1)
		hb_buf_printf(b, " axis=%d", q->axis);
	hb_buf_printf(b, " scale=%.9g", (double)hb_q_scale(q, 0));
	for (int i = 1; i < q->nscales; i++)
		hb_buf_printf(b, ",%.9g", (double)q->scales[i]);
	if (q->min != 0 || q->max != 0)
		hb_buf_printf(b, " min=%.9g max=%.9g", (double)q->min, (double)q->max);
	if (hb_q_limited(q))
		hb_buf_printf(b, " lo=%d hi=%d", q->lo, q->hi);
	if (q->observer)
		hb_buf_printf(b, " observer=%s", q->observer);
}

static int
by_key(const void *x, const void *y)
{
	const hb_meta *a = *(const hb_meta *const *)x, *b = *(const hb_meta *const *)y;
	int c = strcmp(a->key, b->key);
	return c ? c : strcmp(a->value, b->value);
}

hb_status
hb_meta_list(hb_graph *g, hb_arena *a, hb_meta **out)
{
	hb_buf b = { .cx = g->cx };
	hb_meta *first = NULL, **last = &first;
	hb_status st = HB_OK;
	size_t n = 0;
	if (g->uncalibrated)
		st = add_meta(g, a, HB_META_UNCALIBRATED, "1", &last);
	for (const hb_tensor *t = g->tensors; t && st == HB_OK; t = t->next) {
		if (t->q.dtype == HB_NONE || t->outer || !(t->producer || t->is_input || t->is_const))
			continue;
		write_q(&b, &t->q);
		st = b.bad ? hb_nomem(g->cx, NULL) : add_meta(g, a, hb_arena_printf(a, HB_META_Q "%s", t->name), hb_arena_str(a, b.p), &last);
	}
	hb_buf_free(&b);
	for (const hb_meta *m = g->meta; m && st == HB_OK; m = m->next) {
		if (!ours(m->key))
			st = add_meta(g, a, m->key, m->value, &last);
	}
	if (st != HB_OK)
		return st;
	for (hb_meta *m = first; m; m = m->next)
		n++;
	hb_meta **list = HB_NEW_N(a, hb_meta *, n);
	if (!list)
		return hb_nomem(g->cx, NULL);
	size_t i = 0;
	for (hb_meta *m = first; m; m = m->next)
		list[i++] = m;
	qsort(list, n, sizeof(list[0]), by_key);
	*out = NULL;
	for (i = n; i-- > 0;) {
		list[i]->next = *out;
		*out = list[i];
	}
	return HB_OK;
}

/* ---- back ---- */

/* A float of `s` up to `stop`; moves *s behind it. */
static bool
read_float(const char **s, float *out)
{
	char *end;
	float v = strtof(*s, &end);
	bool ok = end != *s && v - v == 0;
	*s = end;
	*out = v;
	return ok;
}

static bool
read_scales(hb_graph *g, const char *s, hb_q *q)
{
	size_t n = 1;
	for (const char *p = s; *p; p++)
		n += *p == ',';
	float *v = n <= INT32_MAX ? HB_NEW_N(g->arena, float, n) : NULL;
	if (!v)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!read_float(&s, &v[i]) || v[i] <= 0 || *s != (i + 1 < n ? ',' : 0))
			return false;
		s++;
	}
	q->nscales = (int)n;
	q->scale = v[0];
	q->scales = v;
	return true;
}

/* value is the caller's to cut up. */
static bool
read_q(hb_graph *g, char *value, hb_q *q)
{
	char *save = NULL, *word = strtok_r(value, " ", &save);
	*q = (hb_q){ .dtype = word ? dtype_named(word) : HB_NONE };
	if (q->dtype != HB_I8 && q->dtype != HB_I16 && q->dtype != HB_I32 && q->dtype != HB_BOOL)
		return false;
	while ((word = strtok_r(NULL, " ", &save))) {
		char *eq = strchr(word, '=');
		int64_t axis;
		const char *v = eq ? eq + 1 : "";
		if (!eq)
			return false;
		*eq = 0;
		if (!strcmp(word, "axis")) {
			if (!hb_parse_i64(v, &axis) || axis < 0 || axis >= HB_MAX_RANK)
				return false;
			q->axis = (int)axis;
		} else if (!strcmp(word, "scale")) {
			if (!read_scales(g, v, q))
				return false;
		} else if (!strcmp(word, "min") || !strcmp(word, "max")) {
			if (!read_float(&v, word[1] == 'i' ? &q->min : &q->max) || *v)
				return false;
		} else if (!strcmp(word, "lo") || !strcmp(word, "hi")) {
			int64_t i;
			if (!hb_parse_i64(v, &i) || i < INT16_MIN || i > INT16_MAX)
				return false;
			*(word[0] == 'l' ? &q->lo : &q->hi) = (int32_t)i;
		} else if (!strcmp(word, "observer")) {
			q->observer = hb_arena_str(g->arena, v);
			if (!q->observer)
				return false;
		}		/* a newer hbcc may say more */
	}
	return q->nscales > 0 && q->lo <= q->hi;
}

/* A channel's scales lie along its axis; those of a grouped transposed convolution's weights, which have the channels of
 * one group there, a group after the other. */
static bool
fits(const hb_q *q, const hb_tensor *t)
{
	if (q->nscales <= 1 || !t->has_shape)
		return true;
	int64_t dim = q->axis < t->shape.rank ? t->shape.dim[q->axis] : 0;
	return q->nscales == dim || (t->is_const && dim > 0 && q->nscales % dim == 0);
}

hb_status
hb_meta_read(hb_graph *g)
{
	hb_meta **keep = &g->meta;
	for (hb_meta *m = g->meta; m; m = m->next) {
		if (!strcmp(m->key, HB_META_UNCALIBRATED))
			g->uncalibrated = !strcmp(m->value, "1");
		if (!strncmp(m->key, HB_META_Q, strlen(HB_META_Q))) {
			const char *name = m->key + strlen(HB_META_Q);
			hb_tensor *t = hb_tensor_find(g, name);
			hb_q q;
			char *value = hb_arena_str(g->arena, m->value);
			if (!value)
				return hb_nomem(g->cx, NULL);
			if (!t)
				hb_warn(g->cx, NULL, "onnx-meta", "metadata names tensor '%s', which the graph does not have; ignored", name);
			else if (!read_q(g, value, &q) || !fits(&q, t))
				hb_warn(g->cx, NULL, "onnx-meta", "metadata of tensor '%s' is not understood; ignored", name);
			else
				t->q = q;
		} else {
			*keep = m;
			keep = &m->next;
			continue;
		}
	}
	*keep = NULL;
	return HB_OK;
}
