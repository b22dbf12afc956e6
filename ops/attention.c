/* attention.c: Attention, RotaryEmbedding, Einsum. */
#include "ops/nd.h"

#include "lib/base/fmath.h"

#define FLOATS HB_BIT(HB_F32)

/* ---- Attention ---- */

enum { Q, K, V, MASK, PAST_K, PAST_V, LENS };

/* Operands of rank 3 are batch, sequence, heads * size; of rank 4 batch, heads, sequence, size. */
struct attention {
	int64_t batch, heads, kv_heads, q_len, kv_len, past, total, size, v_size;
	int64_t mask_len;		/* the mask's last extent; keys behind it are masked */
	int64_t mask_stride[4];		/* of batch, head, query, key */
};

static hb_status
operand_dims(hb_graph *g, hb_node *n, int i, const char *heads_attr, int64_t *heads, int64_t *len, int64_t *size)
{
	const hb_shape *s = &n->in[i]->shape;

	if (s->rank == 4) {
		*heads = s->dim[1];
		*len = s->dim[2];
		*size = s->dim[3];
		return HB_OK;
	}
	*heads = hb_attr_i(n, heads_attr, 0);
	if (s->rank != 3)
		return HB_BAD(g, n, "input %d has rank %d; 3 or 4 is taken", i, s->rank);
	if (*heads < 1 || s->dim[2] % *heads)
		return HB_BAD(g, n, "%s is %lld; it must divide %lld", heads_attr, (long long)*heads,
			      (long long)s->dim[2]);
	*len = s->dim[1];
	*size = s->dim[2] / *heads;
	return HB_OK;
}

static hb_status
check_mask(hb_graph *g, hb_node *n, struct attention *a)
{
	const hb_tensor *m = hb_in(n, MASK);
	int64_t want[4] = { a->batch, a->heads, a->q_len, a->total }, stride = 1;
	char text[HB_SHAPE_TEXT];

	a->mask_len = a->total;
	if (!m)
		return HB_OK;
	if (m->shape.rank < 1 || m->shape.rank > 4)
		return HB_BAD(g, n, "attn_mask has rank %d; up to 4 is taken", m->shape.rank);
	for (int i = 3, k = m->shape.rank - 1; k >= 0; i--, k--) {
		int64_t dim = m->shape.dim[k];
		bool shorter = i == 3 && n->version >= 24 && dim < want[3];
		if (dim != 1 && dim != want[i] && !shorter)
			return HB_BAD(g, n, "attn_mask %s does not broadcast to %lldx%lldx%lldx%lld",
				      hb_shape_text(&m->shape, text), (long long)want[0], (long long)want[1],
				      (long long)want[2], (long long)want[3]);
		if (shorter && dim != 1)
			a->mask_len = dim;
		a->mask_stride[i] = dim == 1 ? 0 : stride;
		stride *= dim;
	}
	return HB_OK;
}

static hb_status
shape_attention(hb_graph *g, hb_node *n)
{
	struct attention *a = HB_AUX(g, n, struct attention);
	int64_t v_heads, v_len, k_size;
	const hb_tensor *pk = hb_in(n, PAST_K), *pv = hb_in(n, PAST_V), *lens = hb_in(n, LENS);
	int64_t mode = hb_attr_i(n, "qk_matmul_output_mode", 0);

	if (!a)
		return hb_nomem(g->cx, n->name);
	HB_TRY(operand_dims(g, n, Q, "q_num_heads", &a->heads, &a->q_len, &a->size));
	HB_TRY(operand_dims(g, n, K, "kv_num_heads", &a->kv_heads, &a->kv_len, &k_size));
	HB_TRY(operand_dims(g, n, V, "kv_num_heads", &v_heads, &v_len, &a->v_size));
	a->batch = n->in[Q]->shape.dim[0];
	if (n->in[K]->shape.dim[0] != a->batch || n->in[V]->shape.dim[0] != a->batch || k_size != a->size ||
	    v_heads != a->kv_heads || v_len != a->kv_len)
		return HB_BAD(g, n, "Q, K and V do not go together");
	if (a->kv_heads < 1 || a->heads % a->kv_heads)
		return HB_BAD(g, n, "%lld heads of Q do not divide by %lld of K", (long long)a->heads,
			      (long long)a->kv_heads);
	if (mode < 0 || mode > 3)
		return HB_BAD(g, n, "qk_matmul_output_mode is %lld; 0 to 3 is taken", (long long)mode);
	if ((pk != NULL) != (pv != NULL))
		return HB_BAD(g, n, "past_key and past_value are given together or not at all");
	if (pk) {
		hb_shape want = { 4, { a->batch, a->kv_heads, pk->shape.rank == 4 ? pk->shape.dim[2] : 0, a->size } };
		hb_shape want_v = want;
		want_v.dim[3] = a->v_size;
		if (!hb_shape_eq(&pk->shape, &want) || !hb_shape_eq(&pv->shape, &want_v))
			return HB_BAD(g, n, "past_key or past_value does not go with K and V");
		a->past = want.dim[2];
	}
	if (!hb_add64(a->past, a->kv_len, &a->total))
		return HB_BAD(g, n, "past is too long");
	if (lens && (lens->shape.rank != 1 || lens->shape.dim[0] != a->batch))
		return HB_BAD(g, n, "nonpad_kv_seqlen must have one entry for each of %lld batches",
			      (long long)a->batch);
	HB_TRY(check_mask(g, n, a));

	hb_shape y = n->in[Q]->shape;
	if (y.rank == 3)
		y.dim[2] = a->heads * a->v_size;
	else
		y.dim[3] = a->v_size;
	HB_TRY(hb_set_out(g, n, 0, HB_F32, &y));
	hb_shape k = { 4, { a->batch, a->kv_heads, a->total, a->size } },
		 v = { 4, { a->batch, a->kv_heads, a->total, a->v_size } };
	HB_TRY(hb_set_out(g, n, 1, HB_F32, &k));
	HB_TRY(hb_set_out(g, n, 2, HB_F32, &v));
	hb_shape qk = { 4, { a->batch, a->heads, a->q_len, a->total } };
	return hb_set_out(g, n, 3, HB_F32, &qk);
}

static int64_t
room(int64_t floats)
{
	return hb_round_up(floats, 16);
}

static size_t
scratch_attention(const hb_node *n, int jobs)
{
	const struct attention *a = n->aux;
	int64_t rows = a->batch * a->kv_heads * a->total;

	return sizeof(float) * (size_t)(room(rows * a->size) + room(rows * a->v_size) +
					jobs * (room(a->total) + room(a->size) + room(a->v_size)));
}

struct attention_call {
	const hb_call *c;
	const struct attention *a;
	const float *k, *v;		/* with the past, batch, heads, sequence, size */
	float *rows;			/* of each worker: scores, scaled query, result */
	int64_t row;
	float scale, softcap;
	int64_t mode;
	bool causal;
};

/* Copies operand i behind its past, to batch, heads, total, size. */
static void
gather_past(const hb_call *c, const struct attention *a, int i, int64_t size, float *to)
{
	const hb_val *x = c->in[i], *past = hb_call_in(c, i == K ? PAST_K : PAST_V);
	int64_t ds[4] = { a->kv_heads * a->total * size, a->total * size, size, 1 };
	int64_t flat[4] = { a->kv_len * a->kv_heads * size, size, a->kv_heads * size, 1 };
	int64_t dense[4] = { a->kv_heads * a->kv_len * size, a->kv_len * size, size, 1 };
	int64_t behind[4] = { a->kv_heads * a->past * size, a->past * size, size, 1 };
	int64_t dim[4] = { a->batch, a->kv_heads, a->past, size };

	if (past && hb_val_elems(past))
		hb_move(c->cx, 4, dim, sizeof(float), to, ds, past->data, behind);
	dim[2] = a->kv_len;
	if (hb_val_elems(x))
		hb_move(c->cx, 4, dim, sizeof(float), to + a->past * size, ds, x->data,
			x->shape.rank == 3 ? flat : dense);
}

static void
add_mask(const struct attention_call *k, int64_t b, int64_t h, int64_t q, float *s)
{
	const struct attention *a = k->a;
	const hb_val *m = hb_call_in(k->c, MASK), *lens = hb_call_in(k->c, LENS);
	int64_t live = lens ? HB_MAX(0, HB_MIN(hb_val_i(lens, b), a->total)) : a->total;

	if (m) {
		int64_t at = b * a->mask_stride[0] + h * a->mask_stride[1] + q * a->mask_stride[2];
		for (int64_t t = 0; t < a->mask_len; t++) {
			int64_t i = at + t * a->mask_stride[3];
			s[t] += m->dtype == HB_BOOL ? (((const uint8_t *)m->data)[i] ? 0.0f : -INFINITY)
						    : hb_val_f(m, i);
		}
		live = HB_MIN(live, a->mask_len);
	}
	if (k->causal)
		live = HB_MIN(live, q + a->past + 1);
	for (int64_t t = live; t < a->total; t++)
		s[t] = -INFINITY;
}

HB_INLINE void
soft_body(float *s, int64_t n, float most)
{
	for (int64_t i = 0; i < n; i++)
		s[i] = hb_expf(s[i] - most);
}
HB_KERNEL(soft, soft_body, (float *s, int64_t n, float most), (s, n, most))

HB_INLINE void
mix_body(const float *p, const float *v, int64_t n, int64_t size, float *y)
{
	for (int64_t j = 0; j < size; j++)
		y[j] = 0;
	for (int64_t t = 0; t < n; t++)
		for (int64_t j = 0; j < size; j++)
			y[j] += p[t] * v[t * size + j];
}
HB_KERNEL(mix, mix_body, (const float *p, const float *v, int64_t n, int64_t size, float *y), (p, v, n, size, y))

static void
attention_rows(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct attention_call *k = arg;
	const struct attention *a = k->a;
	const hb_val *qv = k->c->in[Q], *y = k->c->out[0], *qk = k->c->n->nout > 3 ? k->c->out[3] : NULL;
	hb_isa isa = k->c->cx->isa;
	float *s = k->rows + worker * k->row, *query = s + room(a->total), *out = query + room(a->size);

	for (int64_t r = begin; r < end; r++) {
		int64_t b = r / (a->heads * a->q_len), h = r / a->q_len % a->heads, q = r % a->q_len;
		int64_t kv = b * a->kv_heads + h / (a->heads / a->kv_heads);
		int64_t row = qv->shape.rank == 3 ? (b * a->q_len + q) * a->heads + h : r;
		float *shown = qk && a->total ? (float *)qk->data + r * a->total : NULL, most = -INFINITY;

		for (int64_t i = 0; i < a->size; i++)
			query[i] = ((const float *)qv->data)[row * a->size + i] * k->scale;
		hb_dots(isa, query, k->k + kv * a->total * a->size, a->size, a->size, a->total, NULL, s);
		if (shown && k->mode == 0)
			memcpy(shown, s, sizeof(float) * (size_t)a->total);
		add_mask(k, b, h, q, s);
		if (shown && k->mode == 1)
			memcpy(shown, s, sizeof(float) * (size_t)a->total);
		for (int64_t t = 0; k->softcap > 0 && t < a->total; t++)
			s[t] = k->softcap * hb_tanhf(s[t] / k->softcap);
		if (shown && k->mode == 2)
			memcpy(shown, s, sizeof(float) * (size_t)a->total);
		for (int64_t t = 0; t < a->total; t++)
			most = s[t] > most || s[t] != s[t] ? s[t] : most;
		soft[isa](s, a->total, most);
		float sum = (float)hb_sum(isa, s, a->total);
		for (int64_t t = 0; t < a->total; t++)
			s[t] /= sum;
		if (shown && k->mode == 3)
			memcpy(shown, s, sizeof(float) * (size_t)a->total);
		if (!y || !a->v_size)
			continue;
		mix[isa](s, k->v + kv * a->total * a->v_size, a->total, a->v_size, out);
		memcpy((float *)y->data + row * a->v_size, out, sizeof(float) * (size_t)a->v_size);
	}
}

static void
run_attention(const hb_call *c)
{
	const struct attention *a = c->n->aux;
	const hb_val *pk = c->n->nout > 1 ? c->out[1] : NULL, *pv = c->n->nout > 2 ? c->out[2] : NULL;
	int64_t rows = a->batch * a->kv_heads * a->total;
	float *room_k = c->scratch, *room_v = room_k + room(rows * a->size);
	float *k = pk ? pk->data : room_k, *v = pv ? pv->data : room_v;
	struct attention_call call = { .c = c, .a = a, .k = k, .v = v, .rows = room_v + room(rows * a->v_size) };

	call.row = room(a->total) + room(a->size) + room(a->v_size);
	call.scale = hb_attr_f(c->n, "scale", (float)(1.0 / sqrt((double)a->size)));
	call.softcap = hb_attr_f(c->n, "softcap", 0);
	call.mode = hb_attr_i(c->n, "qk_matmul_output_mode", 0);
	call.causal = hb_attr_i(c->n, "is_causal", 0) != 0;
	gather_past(c, a, K, a->size, k);
	gather_past(c, a, V, a->v_size, v);
	int64_t queries = a->batch * a->heads * a->q_len;
	if (queries)
		hb_parallel(c->cx, queries, HB_MAX(1, 16384 / HB_MAX(1, a->total * a->size)), attention_rows, &call);
}

static const hb_attr_row attention_attrs[] = {
	{ "is_causal", HB_ATTR_INT, false, 0, 0 }, { "kv_num_heads", HB_ATTR_INT, false, 0, 0 },
	{ "q_num_heads", HB_ATTR_INT, false, 0, 0 }, { "qk_matmul_output_mode", HB_ATTR_INT, false, 0, 0 },
	{ "scale", HB_ATTR_FLOAT, false, 0, 0 }, { "softcap", HB_ATTR_FLOAT, false, 0, 0 },
	{ "softmax_precision", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_attention = {
	.name = "Attention", .since = 23, .min_in = 3, .max_in = 7, .min_out = 1, .max_out = 4,
	.attrs = attention_attrs, .types = FLOATS, .in_types = { 0, 0, 0, HB_ANY, 0, 0, HB_BIT(HB_I64) },
	.shape = shape_attention, .scratch = scratch_attention, .run = run_attention,
};

/* ---- RotaryEmbedding: pairs of elements turned by the angle of their position ---- */

struct rotary {
	int64_t batch, heads, len, size, dim;
	bool by_head;			/* rank 4: batch, heads, sequence, size; else sequence before heads */
};

static hb_status
shape_rotary(hb_graph *g, hb_node *n)
{
	const hb_shape *x = &n->in[0]->shape, *cs = &n->in[1]->shape, *sn = &n->in[2]->shape;
	const hb_tensor *ids = hb_in(n, 3);
	struct rotary *r = HB_AUX(g, n, struct rotary);
	char text[HB_SHAPE_TEXT];

	if (!r)
		return hb_nomem(g->cx, n->name);
	r->by_head = x->rank == 4;
	r->batch = x->rank ? x->dim[0] : 0;
	if (x->rank == 4) {
		r->heads = x->dim[1];
		r->len = x->dim[2];
		r->size = x->dim[3];
	} else {
		r->heads = hb_attr_i(n, "num_heads", 0);
		if (x->rank != 3 || r->heads < 1 || x->dim[2] % r->heads)
			return HB_BAD(g, n, "input %s must have rank 4, or 3 and heads that num_heads divides",
				      hb_shape_text(x, text));
		r->len = x->dim[1];
		r->size = x->dim[2] / r->heads;
	}
	r->dim = hb_attr_i(n, "rotary_embedding_dim", 0);
	if (!r->dim)
		r->dim = r->size;
	if (r->dim < 0 || r->dim > r->size || r->dim % 2)
		return HB_BAD(g, n, "rotary_embedding_dim is %lld; an even number up to %lld is taken",
			      (long long)r->dim, (long long)r->size);
	hb_shape want = ids ? (hb_shape){ 2, { cs->rank ? cs->dim[0] : 0, r->dim / 2 } }
			    : (hb_shape){ 3, { r->batch, r->len, r->dim / 2 } };
	if (!hb_shape_eq(cs, &want) || !hb_shape_eq(sn, &want))
		return HB_BAD(g, n, "cos_cache is %s; %s is taken", hb_shape_text(cs, text),
			      ids ? "positions x half the dimension" : "batch x sequence x half the dimension");
	hb_shape places = { 2, { r->batch, r->len } };
	if (ids && (!hb_shape_eq(&ids->shape, &places) || (!cs->dim[0] && hb_shape_elems(&places))))
		return HB_BAD(g, n, "position_ids is %s; batch x sequence is taken", hb_shape_text(&ids->shape, text));
	return hb_shape_same(g, n);
}

static void
run_rotary(const hb_call *c)
{
	const struct rotary *r = c->n->aux;
	const float *x = c->in[0]->data, *cs = c->in[1]->data, *sn = c->in[2]->data;
	const hb_val *ids = hb_call_in(c, 3);
	bool interleaved = hb_attr_i(c->n, "interleaved", 0) != 0;
	int64_t half = r->dim / 2, step = interleaved ? 2 : 1, apart = interleaved ? 1 : half;
	float *y = c->out[0]->data;

	for (int64_t i = 0, n = r->batch * r->heads * r->len; i < n; i++) {
		int64_t b = i / (r->heads * r->len), s = r->by_head ? i % r->len : i / r->heads % r->len;
		int64_t at = b * r->len + s;
		if (ids)
			at = HB_MAX(0, HB_MIN(hb_val_i(ids, at), c->in[1]->shape.dim[0] - 1));
		const float *from = x + i * r->size, *co = cs + at * half, *si = sn + at * half;
		float *to = y + i * r->size;
		for (int64_t j = 0; j < half; j++) {
			float a = from[j * step], d = from[j * step + apart];
			to[j * step] = co[j] * a - si[j] * d;
			to[j * step + apart] = si[j] * a + co[j] * d;
		}
		memcpy(to + r->dim, from + r->dim, sizeof(float) * (size_t)(r->size - r->dim));
	}
}

static const hb_attr_row rotary_rows[] = {
	{ "interleaved", HB_ATTR_INT, false, 0, 0 }, { "num_heads", HB_ATTR_INT, false, 0, 0 },
	{ "rotary_embedding_dim", HB_ATTR_INT, false, 0, 0 }, { 0 } };

const hb_op hb_op_rotary_embedding = {
	.name = "RotaryEmbedding", .since = 23, .min_in = 3, .max_in = 4, .min_out = 1, .max_out = 1,
	.attrs = rotary_rows, .types = FLOATS, .in_types = { 0, 0, 0, HB_BIT(HB_I64) },
	.shape = shape_rotary, .run = run_rotary,
};

/* ---- Einsum ---- */

enum { EINSUM_IN = 8, LABELS = 26 * 2 + HB_MAX_RANK };	/* letters, then dimensions of the ellipsis */

struct einsum {
	int nout, nsum;			/* labels of the output, and those that are summed over */
	int64_t dim[LABELS];		/* of the output's, then of the summed */
	int64_t stride[EINSUM_IN][LABELS];
};

struct term {
	int label[HB_MAX_RANK], rank;
};

static int
letter(char c)
{
	return c >= 'a' && c <= 'z' ? c - 'a' : c >= 'A' && c <= 'Z' ? 26 + c - 'A' : -1;
}

/* One operand's subscripts from *p up to a comma, an arrow or the end. dots: rank of the ellipsis, -1 unknown:
 * then the rank of the operand decides. False where it is malformed. */
static bool
parse_term(const char **p, int rank, int dots, struct term *t)
{
	int letters = 0, seen = 0;

	for (const char *q = *p; *q && *q != ',' && *q != '-'; q++)
		letters += letter(*q) >= 0;
	if (dots < 0)
		dots = rank - letters;
	t->rank = 0;
	for (; **p && **p != ',' && **p != '-'; (*p)++) {
		if (**p == ' ')
			continue;
		if (!strncmp(*p, "...", 3)) {
			if (seen++ || dots < 0 || t->rank + dots > HB_MAX_RANK)
				return false;
			/* Broadcast dimensions are counted from the last. */
			for (int i = 0; i < dots; i++)
				t->label[t->rank++] = LABELS - dots + i;
			*p += 2;
			continue;
		}
		int l = letter(**p);
		if (l < 0 || t->rank == HB_MAX_RANK)
			return false;
		t->label[t->rank++] = l;
	}
	return rank < 0 || t->rank == rank;
}

static hb_status
shape_einsum(hb_graph *g, hb_node *n)
{
	const char *p = hb_attr_s(n, "equation", ""), *all = p;
	struct einsum *e = HB_AUX(g, n, struct einsum);
	int64_t dim[LABELS], strides[EINSUM_IN][LABELS] = { { 0 } }, dense[HB_MAX_RANK];
	int count[LABELS] = { 0 }, dots = 0;
	hb_shape s = { .rank = 0 };
	struct term t;

	if (!e)
		return hb_nomem(g->cx, n->name);
	if (n->nin > EINSUM_IN)
		return hb_fail(g->cx, n, HB_ERR_UNSUPPORTED, "einsum", "has %d operands; up to %d are supported",
			       n->nin, EINSUM_IN);
	for (int l = 0; l < LABELS; l++)
		dim[l] = 1;
	for (int i = 0; i < n->nin; i++) {
		if (!n->in[i] || n->in[i]->dtype != n->in[0]->dtype)
			return HB_BAD(g, n, "operands are of one type");
		const hb_shape *x = &n->in[i]->shape;
		if (!parse_term(&p, x->rank, -1, &t) || (i + 1 < n->nin ? *p != ',' : *p == ','))
			return HB_BAD(g, n, "equation '%s' does not go with the operands", all);
		p += *p == ',';
		hb_strides(x, dense);
		int wide = 0;
		for (int k = 0; k < t.rank; k++) {
			int l = t.label[k];
			if (x->dim[k] != 1 && dim[l] != 1 && x->dim[k] != dim[l])
				return HB_BAD(g, n, "extents %lld and %lld of one subscript differ", (long long)dim[l],
					      (long long)x->dim[k]);
			dim[l] = dim[l] == 1 ? x->dim[k] : dim[l];
			strides[i][l] += x->dim[k] == 1 ? 0 : dense[k];
			count[l]++;
			wide += l >= 52;
		}
		dots = HB_MAX(dots, wide);
	}
	if (*p == '-' && p[1] == '>') {
		p += 2;
		if (!parse_term(&p, -1, dots, &t) || *p)
			return HB_BAD(g, n, "the output of equation '%s' is malformed", all);
	} else if (*p) {
		return HB_BAD(g, n, "equation '%s' is malformed", all);
	} else {
		/* Without an arrow: the ellipsis, then letters that occur once, capitals first as in ASCII. */
		t.rank = 0;
		for (int i = 0; i < dots; i++)
			t.label[t.rank++] = LABELS - dots + i;
		for (int k = 0; k < 52; k++) {
			int l = (k + 26) % 52;
			if (count[l] == 1 && t.rank < HB_MAX_RANK)
				t.label[t.rank++] = l;
		}
	}
	bool out[LABELS] = { false };
	for (int k = 0; k < t.rank; k++) {
		int l = t.label[k];
		if (out[l] || (l < 52 && !count[l]))
			return HB_BAD(g, n, "the output of equation '%s' is malformed", all);
		out[l] = true;
		s.dim[s.rank++] = e->dim[e->nout] = dim[l];
		for (int i = 0; i < n->nin; i++)
			e->stride[i][e->nout] = strides[i][l];
		e->nout++;
	}
	int64_t work = 1;
	for (int l = 0; l < LABELS; l++) {
		if (out[l] || dim[l] == 1)
			continue;
		if (!hb_mul64(work, HB_MAX(dim[l], 1), &work))
			return HB_BAD(g, n, "sums over too many elements");
		e->dim[e->nout + e->nsum] = dim[l];
		for (int i = 0; i < n->nin; i++)
			e->stride[i][e->nout + e->nsum] = strides[i][l];
		e->nsum++;
	}
	return hb_set_out(g, n, 0, n->in[0]->dtype, &s);
}

struct einsum_call {
	const hb_call *c;
	const struct einsum *e;
	int64_t terms;			/* products that are summed into one element */
};

/* Offsets of index i counted over labels [from, to). */
static void
einsum_seek(const struct einsum *e, int nin, int from, int to, int64_t i, int64_t *off)
{
	for (int l = to - 1; l >= from; l--) {
		int64_t at = i % e->dim[l];
		i /= e->dim[l];
		for (int k = 0; k < nin; k++)
			off[k] += at * e->stride[k][l];
	}
}

static void
einsum_elements(void *arg, int64_t begin, int64_t end, int worker)
{
	const struct einsum_call *k = arg;
	const struct einsum *e = k->e;
	int nin = k->c->n->nin, last = e->nout + e->nsum - 1;
	const hb_val *y = k->c->out[0], *const *in = k->c->in;
	int64_t run = e->nsum ? e->dim[last] : 1, base[EINSUM_IN], off[EINSUM_IN];

	(void)worker;
	for (int64_t o = begin; o < end; o++) {
		double sum = 0;
		uint64_t wide = 0;
		memset(base, 0, sizeof(base));
		einsum_seek(e, nin, 0, e->nout, o, base);
		for (int64_t t = 0; t < k->terms; t += run) {
			memcpy(off, base, sizeof(off));
			einsum_seek(e, nin, e->nout, last, t / run, off);
			for (int64_t r = 0; r < run; r++) {
				double p = 1;
				uint64_t w = 1;
				for (int i = 0; i < nin; i++) {
					int64_t at = off[i] + (e->nsum ? r * e->stride[i][last] : 0);
					if (y->dtype == HB_F32)
						p *= (double)((const float *)in[i]->data)[at];
					else
						w *= (uint64_t)hb_val_i(in[i], at);
				}
				sum += p;
				wide += w;
			}
		}
		if (y->dtype == HB_F32) {
			((float *)y->data)[o] = (float)sum;
		} else {
			int64_t v = (int64_t)wide;
			hb_wide_store(y->dtype, &v, y->data, o, 1);
		}
	}
}

static void
run_einsum(const hb_call *c)
{
	const struct einsum *e = c->n->aux;
	struct einsum_call k = { c, e, 1 };
	int64_t n = hb_val_elems(c->out[0]);

	for (int l = e->nout; l < e->nout + e->nsum; l++)
		k.terms *= e->dim[l];
	if (n)
		hb_parallel(c->cx, n, HB_MAX(1, 16384 / HB_MAX(1, k.terms)), einsum_elements, &k);
}

static const hb_attr_row einsum_rows[] = { { "equation", HB_ATTR_STRING, true, 0, 0 }, { 0 } };

const hb_op hb_op_einsum = {
	.name = "Einsum", .since = 12, .min_in = 1, .max_in = -1, .min_out = 1, .max_out = 1,
	.attrs = einsum_rows, .types = HB_NUMBERS, .shape = shape_einsum, .run = run_einsum,
};
