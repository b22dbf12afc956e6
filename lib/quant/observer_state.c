/* observer_state.c: observers as bytes, so that parts of the samples can be seen apart and added up; ranges of
 * channels. Little-endian; counts of bins are varints, and a 0 is followed by how many zeros more there are. */
#include "lib/quant/observer.h"

#include <float.h>
#include <math.h>

/* No sample set is longer: sums of counts cannot overflow. */
#define MOST_VALUES (UINT64_C(1) << 62)

static void
put_varint(hb_buf *b, uint64_t v)
{
	for (; v >= 128; v >>= 7)
		hb_buf_u8(b, (uint8_t)(v | 128));
	hb_buf_u8(b, (uint8_t)v);
}

static uint64_t
get_varint(hb_cursor *c)
{
	uint64_t v = 0;

	for (int shift = 0; shift < 63; shift += 7) {
		uint8_t byte = hb_get_u8(c);

		v |= (uint64_t)(byte & 127) << shift;
		if (byte < 128)
			return v;
	}
	c->bad = true;
	return 0;
}

static void
put_f32(hb_buf *b, float v)
{
	uint32_t u;

	memcpy(&u, &v, sizeof(u));
	hb_buf_u32(b, u);
}

static float
get_f32(hb_cursor *c)
{
	uint32_t u = hb_get_u32(c);
	float v;

	memcpy(&v, &u, sizeof(v));
	c->bad |= !isfinite(v);
	return v;
}

static void
put_bins(hb_buf *b, const uint64_t *bins)
{
	for (int i = 0; i < HB_MAG_BINS; i++) {
		int zeros = 0;

		put_varint(b, bins[i]);
		if (bins[i])
			continue;
		while (i + 1 < HB_MAG_BINS && !bins[i + 1]) {
			zeros++;
			i++;
		}
		put_varint(b, (uint64_t)zeros);
	}
}

/* Adds to bins; returns how many values there were. */
static uint64_t
get_bins(hb_cursor *c, uint64_t *bins, int fold)
{
	uint64_t sum = 0;

	for (int i = 0; i < HB_MAG_BINS && !c->bad; i++) {
		uint64_t n = get_varint(c);

		if (n > MOST_VALUES - sum) {
			c->bad = true;
			return 0;
		}
		sum += n;
		bins[i >> fold] += n;
		if (n)
			continue;
		n = get_varint(c);
		if (n > (uint64_t)(HB_MAG_BINS - 1 - i))
			c->bad = true;
		else
			i += (int)n;
	}
	return sum;
}

void
hb_observer_save(const hb_observer *o, hb_buf *b)
{
	hb_buf_u64(b, (uint64_t)o->count);
	hb_buf_u64(b, (uint64_t)o->nonfinite);
	put_f32(b, o->min);
	put_f32(b, o->max);
	if (!o->count)
		return;
	hb_buf_u32(b, (uint32_t)(o->exponent + HB_MAG_BITS - HB_LEAST_EXPONENT));
	put_bins(b, o->bins);
	put_bins(b, o->negative);
}

bool
hb_observer_merge(hb_observer *o, hb_cursor *c)
{
	uint64_t count = hb_get_u64(c), nonfinite = hb_get_u64(c);
	float min = get_f32(c), max = get_f32(c);

	if (c->bad || !o->bins || !o->negative || count > MOST_VALUES - (uint64_t)o->count || nonfinite > MOST_VALUES - (uint64_t)o->nonfinite)
		return false;
	o->nonfinite += (int64_t)nonfinite;
	if (!count)
		return true;
	uint32_t above = hb_get_u32(c);
	if (above > FLT_MAX_EXP - HB_LEAST_EXPONENT || min > max)
		return false;
	int exponent = (int)above + HB_LEAST_EXPONENT - HB_MAG_BITS;
	hb_observer_grow(o, exponent);
	int fold = HB_MIN(o->exponent - exponent, HB_MAG_BITS);
	if (get_bins(c, o->bins, fold) != count || get_bins(c, o->negative, fold) > count || c->bad)
		return false;
	o->min = o->count ? HB_MIN(o->min, min) : min;
	o->max = o->count ? HB_MAX(o->max, max) : max;
	o->count += (int64_t)count;
	return true;
}

/* ---- channels ---- */

hb_channels *
hb_channels_new(hb_arena *a, int64_t n, double averaging_constant)
{
	hb_channels *ch = HB_NEW(a, hb_channels);

	if (!ch)
		return NULL;
	ch->n = n;
	ch->averaging_constant = averaging_constant;
	ch->min = HB_NEW_N(a, float, n);
	ch->max = HB_NEW_N(a, float, n);
	return ch->min && ch->max ? ch : NULL;
}

typedef struct job {
	hb_channels *ch;
	const float *x;
	int64_t outer, inner;
} job;

static void
channels_some(void *arg, int64_t begin, int64_t end, int worker)
{
	const job *j = arg;
	hb_channels *ch = j->ch;
	double c = ch->averaging_constant;

	(void)worker;
	for (int64_t k = begin; k < end; k++) {
		float lo = FLT_MAX, hi = -FLT_MAX;

		for (int64_t o = 0; o < j->outer; o++) {
			const float *x = j->x + (o * ch->n + k) * j->inner;

			for (int64_t i = 0; i < j->inner; i++) {
				bool finite = x[i] >= -FLT_MAX && x[i] <= FLT_MAX;

				lo = finite && x[i] < lo ? x[i] : lo;
				hi = finite && x[i] > hi ? x[i] : hi;
			}
		}
		if (lo > hi)
			continue;
		if (!ch->samples) {
			ch->min[k] = lo;
			ch->max[k] = hi;
		} else if (c > 0) {
			ch->min[k] += (float)(c * ((double)lo - ch->min[k]));
			ch->max[k] += (float)(c * ((double)hi - ch->max[k]));
		} else {
			ch->min[k] = HB_MIN(ch->min[k], lo);
			ch->max[k] = HB_MAX(ch->max[k], hi);
		}
	}
}

void
hb_channels_add(hb_ctx *cx, hb_channels *ch, const float *x, int64_t outer, int64_t inner)
{
	job j = { .ch = ch, .x = x, .outer = outer, .inner = inner };

	hb_parallel(cx, ch->n, HB_MAX(1, 65536 / HB_MAX(outer * inner, 1)), channels_some, &j);
	ch->samples++;
}

void
hb_channels_save(const hb_channels *ch, hb_buf *b)
{
	hb_buf_u64(b, (uint64_t)ch->samples);
	hb_buf_u32(b, (uint32_t)ch->n);
	for (int64_t i = 0; i < ch->n; i++) {
		put_f32(b, ch->min[i]);
		put_f32(b, ch->max[i]);
	}
}

bool
hb_channels_merge(hb_channels *ch, hb_cursor *c)
{
	uint64_t samples = hb_get_u64(c);

	if (samples > MOST_VALUES - (uint64_t)ch->samples || hb_get_u32(c) != ch->n)
		return false;
	for (int64_t i = 0; i < ch->n && !c->bad; i++) {
		float lo = get_f32(c), hi = get_f32(c);

		if (samples && !ch->samples) {
			ch->min[i] = lo;
			ch->max[i] = hi;
		} else if (samples) {
			ch->min[i] = HB_MIN(ch->min[i], lo);
			ch->max[i] = HB_MAX(ch->max[i], hi);
		}
	}
	ch->samples += (int64_t)samples;
	return !c->bad;
}
