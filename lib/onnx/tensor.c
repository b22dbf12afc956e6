/* tensor.c: TensorProto in: types, lengths, typed lists, raw bytes, other files. */
#include "lib/onnx/internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Field numbers of TensorProto that hold elements. */
enum { F_FLOAT = 4, F_INT32 = 5, F_STRING = 6, F_INT64 = 7, F_NAME = 8, F_RAW = 9, F_DOUBLE = 10, F_UINT64 = 11 };

#define PAYLOAD (HB_FIELD(F_FLOAT) | HB_FIELD(F_INT32) | HB_FIELD(F_STRING) | HB_FIELD(F_INT64) | \
		 HB_FIELD(F_RAW) | HB_FIELD(F_DOUBLE) | HB_FIELD(F_UINT64))

static const hb_onnx_type types[] = {
	[1] = { "float32", HB_F32, 4, F_FLOAT, false },
	[2] = { "uint8", HB_U8, 1, F_INT32, false },
	[3] = { "int8", HB_I8, 1, F_INT32, false },
	[4] = { "uint16", HB_U16, 2, F_INT32, false },
	[5] = { "int16", HB_I16, 2, F_INT32, false },
	[6] = { "int32", HB_I32, 4, F_INT32, false },
	[7] = { "int64", HB_I64, 8, F_INT64, false },
	[8] = { "string", HB_NONE, 0, F_STRING, false },
	[9] = { "bool", HB_BOOL, 1, F_INT32, false },
	[10] = { "float16", HB_F32, 2, F_INT32, true },
	[11] = { "double", HB_F32, 8, F_DOUBLE, true },
	[12] = { "uint32", HB_U32, 4, F_UINT64, false },
	[13] = { "uint64", HB_U64, 8, F_UINT64, false },
	[14] = { "complex64", HB_NONE, 0, 0, false },
	[15] = { "complex128", HB_NONE, 0, 0, false },
	[16] = { "bfloat16", HB_F32, 2, F_INT32, true },
	[17] = { "float8e4m3fn", HB_NONE, 0, 0, false },
	[18] = { "float8e4m3fnuz", HB_NONE, 0, 0, false },
	[19] = { "float8e5m2", HB_NONE, 0, 0, false },
	[20] = { "float8e5m2fnuz", HB_NONE, 0, 0, false },
	[21] = { "uint4", HB_NONE, 0, 0, false },
	[22] = { "int4", HB_NONE, 0, 0, false },
	[23] = { "float4e2m1", HB_NONE, 0, 0, false },
	[24] = { "float8e8m0", HB_NONE, 0, 0, false },
	[25] = { "uint2", HB_NONE, 0, 0, false },
	[26] = { "int2", HB_NONE, 0, 0, false },
};

const hb_onnx_type *
hb_onnx_type_of(int64_t number)
{
	return number > 0 && number < (int64_t)HB_LEN(types) ? &types[number] : NULL;
}

int
hb_onnx_type_number(hb_dtype dt)
{
	for (int i = 1; i < (int)HB_LEN(types); i++) {
		if (types[i].dtype == dt && !types[i].narrowed)
			return i;
	}
	return 0;
}

hb_status
hb_read_type(hb_reader *r, const char *where, int64_t number, hb_dtype *dt)
{
	const hb_onnx_type *ty = hb_onnx_type_of(number);
	*dt = ty ? ty->dtype : HB_NONE;
	if (!ty)
		return hb_error(r->cx, HB_ERR_INPUT, where, "onnx-type", "has element type %lld, which ONNX does not name", (long long)number);
	if (ty->dtype == HB_NONE)
		return hb_error(r->cx, HB_ERR_UNSUPPORTED, where, "onnx-type",
				"has element type %s; float32, integers of 8 to 64 bits and bool are taken, and float16, bfloat16 and double as float32", ty->name);
	if (ty->narrowed && !r->narrowed)
		r->narrowed = ty->name;
	return HB_OK;
}

const char *
hb_read_tensor_name(hb_reader *r, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	hb_wire_field f;
	while (hb_wire_next(&p, end, &f, NULL)) {
		if (f.number == F_NAME)
			return hb_arena_strn(r->arena, (const char *)f.p, f.n);
	}
	return "";
}

/* ---- elements in the message ---- */

/* Elements that a field of a typed list holds, packed or single. */
static uint64_t
count_in(const hb_wire_field *f, int number)
{
	if (f->type != HB_WIRE_BYTES)
		return 1;
	if (number == F_FLOAT)
		return f->n / 4;
	if (number == F_DOUBLE)
		return f->n / 8;
	uint64_t k = 0;
	for (size_t i = 0; i < f->n; i++)
		k += !(f->p[i] & 128);
	return k;
}

/* Integers of a typed list into elements of `size` bytes; false where one does not fit. */
static bool
narrow_to(uint8_t *to, uint64_t v, unsigned size, int field)
{
	if (field == F_INT32 && size < 4) {
		/* Writers differ in whether a narrow value is sign- or zero-extended. */
		int64_t s = (int64_t)v, half = INT64_C(1) << (8 * size - 1);
		if (s < -half || s >= 2 * half)
			return false;
	} else if (size == 4) {
		int64_t s = (int64_t)v;
		if (s < INT32_MIN || s > (int64_t)UINT32_MAX)
			return false;
	}
	for (unsigned i = 0; i < size; i++)
		to[i] = (uint8_t)(v >> (8 * i));
	return true;
}

/* Elements from a typed list; they number `count` (checked before anything is allocated). */
static hb_status
typed_data(hb_reader *r, hb_graph *g, const char *where, const hb_onnx_type *ty, uint64_t count, const uint8_t *p, const uint8_t *end, const uint8_t **raw)
{
	hb_wire_field f;
	uint64_t found = 0;
	int fields = 0;
	const uint8_t *only = NULL;
	for (const uint8_t *at = p; hb_wire_next(&at, end, &f, NULL);) {
		if (f.number != ty->field)
			continue;
		found += count_in(&f, ty->field);
		only = f.p;
		fields++;
	}
	if (found != count)
		return hb_error(r->cx, HB_ERR_INPUT, where, "onnx-data", "has %llu elements; its shape has %llu", (unsigned long long)found,
				(unsigned long long)count);
	bool fixed = ty->field == F_FLOAT || ty->field == F_DOUBLE;
	if (fixed && fields == 1) {
		*raw = only;
		return HB_OK;
	}
	uint8_t *to = hb_arena_alloc_n(g->arena, (size_t)count, ty->size);
	if (!to)
		return hb_nomem(r->cx, where);
	*raw = to;
	for (const uint8_t *at = p; hb_wire_next(&at, end, &f, NULL);) {
		if (f.number != ty->field)
			continue;
		if (fixed) {
			memcpy(to, f.p, f.n);
			to += f.n;
			continue;
		}
		const uint8_t *q = f.p, *qend = f.p + f.n;
		uint64_t v;
		while (q < qend && hb_wire_varint(&q, qend, &v)) {
			if (!narrow_to(to, v, ty->size, ty->field))
				return hb_error(r->cx, HB_ERR_INPUT, where, "onnx-data", "has an element %lld, which %s cannot hold", (long long)v, ty->name);
			to += ty->size;
		}
	}
	return HB_OK;
}

/* ---- elements in another file ---- */

/* A relative path that stays below its folder in words (links are looked at when it is opened). */
static bool
location_ok(const char *s)
{
	if (!*s || *s == '/')
		return false;
	for (const char *p = s; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL) {
		if (p[0] == '.' && p[1] == '.' && (!p[2] || p[2] == '/'))
			return false;
	}
	return true;
}

static hb_status
open_external(hb_reader *r, const char *where, const char *location, hb_file **out)
{
	*out = hb_map_get(r->files, location);
	if (*out)
		return HB_OK;
	if (!r->real_folder)
		r->real_folder = realpath(*r->folder ? r->folder : ".", NULL);
	char *path = hb_arena_printf(r->arena, "%s/%s", r->real_folder ? r->real_folder : r->folder, location);
	char *key = hb_arena_str(r->arena, location);
	if (!path || !key)
		return hb_nomem(r->cx, where);
	char *real = realpath(path, NULL);
	if (!real || !r->real_folder) {
		free(real);
		return hb_error(r->cx, HB_ERR_SYSTEM, where, "onnx-external", "its data is in '%s', which cannot be opened", location);
	}
	size_t n = strcmp(r->real_folder, "/") ? strlen(r->real_folder) : 0;
	bool below = !strncmp(real, r->real_folder, n) && real[n] == '/';
	hb_status st = below ? hb_file_map(r->cx, real, out)
			     : hb_error(r->cx, HB_ERR_INPUT, where, "onnx-external", "its data is in '%s', which is not below the model's folder", location);
	free(real);
	if (st == HB_OK && !hb_map_put(r->files, key, *out))
		st = hb_nomem(r->cx, where);
	return st;
}

static hb_status
external_data(hb_reader *r, const char *where, const Onnx__TensorProto *m, uint64_t bytes, const uint8_t **raw)
{
	const char *location = NULL;
	int64_t offset = 0, length = -1;
	for (size_t i = 0; i < m->n_external_data; i++) {
		const char *k = m->external_data[i]->key, *v = m->external_data[i]->value;
		if (!k || !v)
			continue;
		if (!strcmp(k, "location"))
			location = v;
		int64_t *number = !strcmp(k, "offset") ? &offset : !strcmp(k, "length") ? &length : NULL;
		if (number && (!hb_parse_i64(v, number) || *number < 0))
			return hb_error(r->cx, HB_ERR_INPUT, where, "onnx-external", "external data has %s '%s'; it must be a number from 0", k, v);
	}
	if (!r->folder)
		return hb_error(r->cx, HB_ERR_INPUT, where, "onnx-external", "its data is in another file; a model inside another file must hold its own");
	if (!location || !location_ok(location))
		return hb_error(r->cx, HB_ERR_INPUT, where, "onnx-external", "its data is in '%s'; it must be a relative path below the model's folder",
				location ? location : "");
	hb_file *f;
	HB_TRY(open_external(r, where, location, &f));
	if (length >= 0 && (uint64_t)length != bytes)
		return hb_error(r->cx, HB_ERR_INPUT, where, "onnx-external", "external data has %lld bytes; its shape and type need %llu", (long long)length,
				(unsigned long long)bytes);
	if ((uint64_t)offset > f->size || bytes > f->size - (uint64_t)offset)
		return hb_error(r->cx, HB_ERR_INPUT, where, "onnx-external", "needs bytes %lld to %llu of '%s', which has %zu", (long long)offset,
				(unsigned long long)((uint64_t)offset + bytes), location, f->size);
	*raw = bytes ? f->p + offset : NULL;
	return HB_OK;
}

/* ---- all of it ---- */

static hb_status
check_dims(hb_reader *r, const char *where, const Onnx__TensorProto *m, hb_shape *s)
{
	int64_t all = 1;
	if (m->n_dims > HB_MAX_RANK)
		return hb_error(r->cx, HB_ERR_UNSUPPORTED, where, "rank", "has rank %zu; tensors of rank 0 to %d are taken", m->n_dims, HB_MAX_RANK);
	s->rank = (int)m->n_dims;
	for (size_t i = 0; i < m->n_dims; i++) {
		s->dim[i] = m->dims[i];
		if (m->dims[i] < 0)
			return hb_error(r->cx, HB_ERR_INPUT, where, "shape", "dimension %zu is %lld; it must be at least 0", i, (long long)m->dims[i]);
		if (!hb_mul64(all, HB_MAX(m->dims[i], 1), &all) || all > INT64_C(1) << 47)
			return hb_error(r->cx, HB_ERR_INPUT, where, "shape", "has more than 2^47 elements");
	}
	return HB_OK;
}

/* Bytes of a bool tensor other than 0 and 1 mean true; kernels count on 1. */
static hb_status
clean_bools(hb_reader *r, hb_graph *g, const char *where, hb_tensor *t, uint64_t count)
{
	uint64_t i = 0;
	while (i < count && t->raw[i] < 2)
		i++;
	if (i == count)
		return HB_OK;
	uint8_t *to = hb_arena_alloc(g->arena, (size_t)count);
	if (!to)
		return hb_nomem(r->cx, where);
	for (i = 0; i < count; i++)
		to[i] = t->raw[i] != 0;
	t->raw = to;
	return HB_OK;
}

static hb_status
read_elements(hb_reader *r, hb_graph *g, const char *where, const Onnx__TensorProto *m, const uint8_t *p, size_t n, hb_tensor *t)
{
	const uint8_t *end = p + n;
	HB_TRY(check_dims(r, where, m, &t->shape));
	HB_TRY(hb_read_type(r, where, m->data_type, &t->dtype));
	if (m->segment)
		return hb_error(r->cx, HB_ERR_UNSUPPORTED, where, "onnx-data", "is a segment of a larger tensor; whole tensors are taken");
	const hb_onnx_type *ty = hb_onnx_type_of(m->data_type);
	uint64_t count = (uint64_t)hb_shape_elems(&t->shape), bytes = count * ty->size;
	bool has_raw = false;
	hb_wire_field f;
	t->has_shape = true;
	t->is_const = true;
	t->raw_onnx_type = ty->narrowed ? m->data_type : 0;
	if (m->has_data_location && m->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
		HB_TRY(external_data(r, where, m, bytes, &t->raw));
	} else {
		for (const uint8_t *at = p; hb_wire_next(&at, end, &f, NULL);) {
			if (f.number != F_RAW)
				continue;
			has_raw = true;
			t->raw = f.p;
			if (f.n != bytes)
				return hb_error(r->cx, HB_ERR_INPUT, where, "onnx-data", "has %zu bytes of data; its shape and type need %llu", f.n,
						(unsigned long long)bytes);
		}
		if (!has_raw)
			HB_TRY(typed_data(r, g, where, ty, count, p, end, &t->raw));
	}
	if (!count)
		t->raw = NULL;
	return t->dtype == HB_BOOL && count ? clean_bools(r, g, where, t, count) : HB_OK;
}

hb_status
hb_read_tensor(hb_reader *r, hb_graph *g, const char *where, const uint8_t *p, size_t n, hb_tensor *t)
{
	Onnx__TensorProto *m;
	HB_TRY(hb_unpack(&r->u, &onnx__tensor_proto__descriptor, p, n, PAYLOAD, &m));
	hb_status st = read_elements(r, g, where, m, p, n, t);
	hb_unpack_free(&r->u, m);
	return st;
}
