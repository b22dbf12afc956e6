/* observer_state.c: observers as bytes, so that parts of the samples can be seen apart and added up.
 * Little-endian; counts of bins are varints, and a 0 is followed by how many zeros more there are. */
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

void
hb_put_f32(hb_buf *b, float v)
{
	uint32_t u;

	memcpy(&u, &v, sizeof(u));
	hb_buf_u32(b, u);
}

float
hb_get_f32(hb_cursor *c)
{
	uint32_t u = hb_get_u32(c);
	float v;

	memcpy(&v, &u, sizeof(v));
	c->bad |= !isfinite(v);
	return v;
}

void
hb_put_bins(hb_buf *b, const uint64_t *bins, int count)
{
	for (int i = 0; i < count; i++) {
		int zeros = 0;

		put_varint(b, bins[i]);
		if (bins[i])
			continue;
		while (i + 1 < count && !bins[i + 1]) {
			zeros++;
			i++;
		}
		put_varint(b, (uint64_t)zeros);
	}
}

uint64_t
hb_get_bins(hb_cursor *c, uint64_t *bins, int count, int fold)
{
	uint64_t sum = 0;

	for (int i = 0; i < count && !c->bad; i++) {
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
		if (n > (uint64_t)(count - 1 - i))
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
	hb_put_f32(b, o->min);
	hb_put_f32(b, o->max);
	if (!o->count)
		return;
	hb_buf_u32(b, (uint32_t)(o->exponent + HB_MAG_BITS - HB_LEAST_EXPONENT));
	hb_put_bins(b, o->bins, HB_MAG_BINS);
	hb_put_bins(b, o->negative, HB_MAG_BINS);
}

bool
hb_observer_merge(hb_observer *o, hb_cursor *c)
{
	uint64_t count = hb_get_u64(c), nonfinite = hb_get_u64(c);
	float min = hb_get_f32(c), max = hb_get_f32(c);

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
	if (hb_get_bins(c, o->bins, HB_MAG_BINS, fold) != count || hb_get_bins(c, o->negative, HB_MAG_BINS, fold) > count || c->bad)
		return false;
	o->min = o->count ? HB_MIN(o->min, min) : min;
	o->max = o->count ? HB_MAX(o->max, max) : max;
	o->count += (int64_t)count;
	return true;
}
