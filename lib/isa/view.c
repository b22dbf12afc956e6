/* view.c: where a view's bytes lie: bounds, hull, granules, overlap (MACHINE 1). */
#include "lib/isa/isa.h"

#define SPACE_BYTES (UINT64_C(1) << 32)

static bool
wraps(const hb_view *v)
{
	return v->ring_rows && (uint64_t)v->ring_first + v->ext[0] > v->ring_rows;
}

/* One past the last byte of the box of dims [from, rank), counted from its first. */
static uint64_t
span_from(const hb_view *v, int from)
{
	uint64_t span = hb_dtype_size(v->dtype);
	for (int d = from; d < v->rank; d++)
		span += (uint64_t)(v->ext[d] - 1) * v->stride[d];
	return span;
}

const char *
hb_view_check(const hb_view *v)
{
	if ((unsigned)v->space >= HB_NSPACES)
		return "a view is in no memory space";
	if ((unsigned)v->dtype >= HB_NDTYPES || v->dtype == HB_NONE)
		return "a view has no element type";
	if (v->rank < 1 || v->rank > HB_VIEW_RANK)
		return "a view's rank is outside 1..6";
	uint32_t size = (uint32_t)hb_dtype_size(v->dtype);
	if (v->base % size)
		return "a view's base is not a multiple of its element size";
	uint64_t end = (uint64_t)v->base + size;
	int64_t elems = 1;
	for (int d = 0; d < v->rank; d++) {
		if (v->ext[d] < 1)
			return "a view has an empty dimension";
		if (v->stride[d] % size)
			return "a view's stride is not a multiple of its element size";
		uint64_t last = d == 0 && v->ring_rows ? v->ring_rows - 1 : v->ext[d] - 1;
		uint64_t reach = last * v->stride[d];
		if (reach > SPACE_BYTES || (end += reach) > SPACE_BYTES)
			return "a view ends beyond 4 GiB";
		if (!hb_mul64(elems, v->ext[d], &elems) || elems > INT64_C(1) << 40)
			return "a view has more than 2^40 elements";
	}
	if (v->ring_rows && (v->ring_first >= v->ring_rows || v->ext[0] > v->ring_rows))
		return "a view has more rows than its ring, or begins outside it";
	if (!v->ring_rows && v->ring_first)
		return "a view has a first ring row but no ring";
	return NULL;
}

int
hb_view_hull(const hb_view *v, uint64_t lo[2], uint64_t hi[2])
{
	uint64_t stride = v->stride[0], row = span_from(v, 1);
	if (!wraps(v)) {
		lo[0] = v->base + v->ring_first * stride;
		hi[0] = lo[0] + (v->ext[0] - 1) * stride + row;
		return 1;
	}
	uint64_t wrapped = (uint64_t)v->ring_first + v->ext[0] - v->ring_rows;
	lo[0] = v->base + v->ring_first * stride;
	hi[0] = v->base + (v->ring_rows - 1) * stride + row;
	lo[1] = v->base;
	hi[1] = v->base + (wrapped - 1) * stride + row;
	return 2;
}

int64_t
hb_view_elems(const hb_view *v)
{
	int64_t n = 1;
	for (int d = 0; d < v->rank; d++)
		n *= v->ext[d];
	return n;
}

/* ---- granules ---- */

/* A dimension's slots: 0..n-1, or (a wrapped ring) 0..n-1 and from..from+m-1. */
typedef struct dim {
	uint64_t stride, n, from, m;
} dim;

typedef struct comb {
	int rank;			/* of dims, by stride from the least */
	dim dims[HB_VIEW_RANK];
	uint64_t base, run;		/* each combination of slots is a run of so many bytes */
} comb;

static void
comb_insert(comb *c, dim d)
{
	int at = c->rank++;
	for (; at > 0 && c->dims[at - 1].stride > d.stride; at--)
		c->dims[at] = c->dims[at - 1];
	c->dims[at] = d;
}

/* The view as runs of bytes: dims that do not move are dropped, dims that step through one
 * sequence of slots become one. */
static void
comb_of(const hb_view *v, comb *c)
{
	*c = (comb){.base = v->base, .run = hb_dtype_size(v->dtype)};
	for (int k = 0; k < v->rank; k++) {
		dim d = {.stride = v->stride[k], .n = v->ext[k]};
		if (k == 0 && wraps(v)) {
			uint64_t wrapped = (uint64_t)v->ring_first + v->ext[0] - v->ring_rows;
			d = (dim){d.stride, wrapped, v->ring_first, v->ring_rows - v->ring_first};
			if (d.n >= d.from)	/* the whole ring */
				d = (dim){.stride = d.stride, .n = v->ring_rows};
		} else if (k == 0 && v->ring_rows) {
			c->base += (uint64_t)v->ring_first * v->stride[0];
		}
		if (d.stride && (d.n > 1 || d.m))
			comb_insert(c, d);
	}
	for (int k = 0; k + 1 < c->rank;) {
		dim *a = &c->dims[k], *b = a + 1;
		if (a->m || b->m || b->stride % a->stride || a->n < b->stride / a->stride) {
			k++;
			continue;
		}
		a->n += (b->n - 1) * (b->stride / a->stride);
		for (int j = k + 1; j + 1 < c->rank; j++)
			c->dims[j] = c->dims[j + 1];
		c->rank--;
		k = 0;
	}
}

/* Merges the least dims into the run while the gap between two steps is below `gap` bytes. */
static void
comb_merge(comb *c, uint64_t gap)
{
	int k = 0;
	for (; k < c->rank && !c->dims[k].m && c->dims[k].stride < c->run + gap; k++)
		c->run += (c->dims[k].n - 1) * c->dims[k].stride;
	c->rank -= k;
	for (int j = 0; j < c->rank; j++)
		c->dims[j] = c->dims[j + k];
}

/* One past the last byte that dims [0, k) reach, counted from the first. */
static uint64_t
comb_hull(const comb *c, int k)
{
	uint64_t hull = c->run;
	for (int j = 0; j < k; j++)
		hull += ((c->dims[j].m ? c->dims[j].from + c->dims[j].m : c->dims[j].n) - 1) * c->dims[j].stride;
	return hull;
}

static bool
comb_nested(const comb *c)
{
	for (int k = 0; k < c->rank; k++)
		if (c->dims[k].stride < comb_hull(c, k))
			return false;
	return true;
}

bool
hb_view_nested(const hb_view *v)
{
	comb c;
	comb_of(v, &c);
	comb_merge(&c, 1);
	return comb_nested(&c);
}

bool
hb_view_once(const hb_view *v)
{
	comb c;
	comb_of(v, &c);
	comb_merge(&c, 1);
	uint64_t bytes = c.run;
	for (int k = 0; k < c.rank; k++)
		bytes *= c.dims[k].n + c.dims[k].m;
	return comb_nested(&c) && bytes == (uint64_t)hb_view_elems(v) * hb_dtype_size(v->dtype);
}

typedef struct count {
	uint64_t granule, next;		/* granules below `next` are counted */
	uint64_t n;
} count;

static void
count_run(count *t, uint64_t lo, uint64_t bytes)
{
	uint64_t first = lo / t->granule, end = (lo + bytes - 1) / t->granule + 1;
	first = HB_MAX(first, t->next);
	if (end > first)
		t->n += end - first;
	t->next = HB_MAX(t->next, end);
}

static uint64_t
gcd(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t t = a % b;
		a = b;
		b = t;
	}
	return a;
}

static void count_dims(count *t, const comb *c, int k, uint64_t base);

/* Steps [from, to) of dimension k - 1. */
static void
count_steps(count *t, const comb *c, int k, uint64_t base, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		count_dims(t, c, k - 1, base + i * c->dims[k - 1].stride);
}

/* Runs of dims [0, k) from `base`, in the order of addresses. */
static void
count_dims(count *t, const comb *c, int k, uint64_t base)
{
	if (k == 0) {
		count_run(t, base, c->run);
		return;
	}
	const dim *d = &c->dims[k - 1];
	/* Steps lie alike in their granules every `period`. Where no two share a granule, only the
	 * first may share one with what came before: count it, a period, and what is left over. */
	uint64_t period = t->granule / gcd(d->stride, t->granule);
	if (!d->m && d->n > 2 * period + 1 && d->stride >= comb_hull(c, k - 1) + t->granule) {
		uint64_t rest = (d->n - 1) % period;
		count_steps(t, c, k, base, 0, 1);
		uint64_t before = t->n;
		count_steps(t, c, k, base, d->n - rest - period, d->n - rest);
		t->n += (t->n - before) * ((d->n - 1) / period - 1);
		count_steps(t, c, k, base, d->n - rest, d->n);
		return;
	}
	count_steps(t, c, k, base, 0, d->n);
	count_steps(t, c, k, base, d->from, d->from + d->m);
}

uint64_t
hb_view_granules(const hb_view *v, uint32_t granule)
{
	comb c;
	count t = {.granule = granule ? granule : 1};
	comb_of(v, &c);
	comb_merge(&c, t.granule);
	count_dims(&t, &c, c.rank, c.base);
	return t.n;
}

uint64_t
hb_view_runs(const hb_view *v, uint32_t gap)
{
	comb c;
	comb_of(v, &c);
	comb_merge(&c, gap ? gap : 1);
	uint64_t n = 1;
	for (int k = 0; k < c.rank; k++)
		n *= c.dims[k].n + c.dims[k].m;
	return n;
}

/* ---- overlap ---- */

bool
hb_view_same(const hb_view *a, const hb_view *b)
{
	if (a->space != b->space || a->rank != b->rank || hb_dtype_size(a->dtype) != hb_dtype_size(b->dtype) ||
	    a->base != b->base)
		return false;
	if (a->ring_rows != b->ring_rows || a->ring_first != b->ring_first)
		return false;
	for (int d = 0; d < a->rank; d++)
		if (a->ext[d] != b->ext[d] || (a->ext[d] > 1 && a->stride[d] != b->stride[d]))
			return false;
	return true;
}

/* Bytes of v within one period of `p`, as [*lo, *lo + *n) from *lo = base mod p; false where
 * v has a dimension that is neither a multiple of p nor inside it. */
static bool
residue(const hb_view *v, uint64_t p, uint64_t *lo, uint64_t *n)
{
	*lo = v->base % p;
	*n = hb_dtype_size(v->dtype);
	for (int d = 0; d < v->rank; d++) {
		if (v->stride[d] % p == 0)
			continue;
		if (d == 0 && v->ring_rows)
			return false;
		*n += (uint64_t)(v->ext[d] - 1) * v->stride[d];
	}
	return *n <= p;
}

/* Channel or column slices of one buffer: both repeat with one period and keep apart inside it. */
static bool
apart_by(const hb_view *a, const hb_view *b, uint64_t p)
{
	uint64_t al, an, bl, bn;
	if (!p || !residue(a, p, &al, &an) || !residue(b, p, &bl, &bn))
		return false;
	uint64_t d = (bl + p - al) % p;		/* from a's first byte up to b's */
	return d >= an && d + bn <= p;
}

bool
hb_view_apart(const hb_view *a, const hb_view *b)
{
	if (a->space != b->space)
		return true;
	uint64_t al[2], ah[2], bl[2], bh[2];
	int na = hb_view_hull(a, al, ah), nb = hb_view_hull(b, bl, bh);
	bool hulls = true;
	for (int i = 0; i < na; i++)
		for (int j = 0; j < nb; j++)
			if (al[i] < bh[j] && bl[j] < ah[i])
				hulls = false;
	if (hulls)
		return true;
	for (int d = 0; d < a->rank; d++)
		if (apart_by(a, b, a->stride[d]))
			return true;
	for (int d = 0; d < b->rank; d++)
		if (apart_by(a, b, b->stride[d]))
			return true;
	return false;
}
