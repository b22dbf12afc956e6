/* wire.c: the walk over protobuf bytes before protobuf-c sees any of them. */
#include "lib/onnx/wire.h"

#include <stdio.h>
#include <stdlib.h>

bool
hb_wire_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	uint64_t r = 0;
	for (int shift = 0; shift < 70; shift += 7) {
		if (*p >= end)
			return false;
		uint8_t b = *(*p)++;
		r |= shift < 63 ? (uint64_t)(b & 127) << shift : (uint64_t)(b & 1) << 63;
		if (!(b & 128)) {
			*v = r;
			return true;
		}
	}
	return false;
}

bool
hb_wire_next(const uint8_t **p, const uint8_t *end, hb_wire_field *f, const char **why)
{
	const char *none;
	uint64_t tag, len;
	why = why ? why : &none;
	*why = NULL;
	if (*p >= end)
		return false;
	f->start = *p;
	f->v = 0;
	if (!hb_wire_varint(p, end, &tag)) {
		*why = "a field's tag is cut off or too long";
		return false;
	}
	if (tag >> 32 || !(tag >> 3)) {
		*why = "a field has an impossible number";
		return false;
	}
	f->number = (uint32_t)(tag >> 3);
	f->type = (int)(tag & 7);
	size_t left = (size_t)(end - *p);
	f->p = *p;
	switch (f->type) {
	case HB_WIRE_VARINT:
		if (!hb_wire_varint(p, end, &f->v)) {
			*why = "a number is cut off or too long";
			return false;
		}
		f->n = (size_t)(*p - f->p);
		return true;
	case HB_WIRE_FIXED32:
	case HB_WIRE_FIXED64:
		f->n = f->type == HB_WIRE_FIXED32 ? 4 : 8;
		if (left < f->n) {
			*why = "a number is cut off";
			return false;
		}
		*p += f->n;
		return true;
	case HB_WIRE_BYTES:
		if (!hb_wire_varint(p, end, &len)) {
			*why = "a length is cut off or too long";
			return false;
		}
		f->p = *p;
		if (len > (uint64_t)(end - *p)) {
			*why = "a field is longer than what holds it";
			return false;
		}
		f->n = (size_t)len;
		*p += len;
		return true;
	default:
		*why = "a field has a wire type that ONNX does not use";
		return false;
	}
}

/* Wire type of one element of a field. */
static int
wire_type(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_FLOAT:
		return HB_WIRE_FIXED32;
	case PROTOBUF_C_TYPE_DOUBLE:
		return HB_WIRE_FIXED64;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return HB_WIRE_BYTES;
	default:
		return HB_WIRE_VARINT;
	}
}

/* UTF-8 without 0, overlong forms, surrogates. */
static bool
text_ok(const uint8_t *p, size_t n)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	for (size_t i = 0; i < n;) {
		uint8_t b = p[i];
		if (b < 0x80) {
			if (!b)
				return false;
			i++;
			continue;
		}
		size_t len = b >> 5 == 6 ? 2 : b >> 4 == 14 ? 3 : b >> 3 == 30 ? 4 : 0;
		if (!len || n - i < len)
			return false;
		uint32_t c = b & (0x7fu >> len);
		for (size_t k = 1; k < len; k++) {
			if (p[i + k] >> 6 != 2)
				return false;
			c = c << 6 | (p[i + k] & 63);
		}
		if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			return false;
		i += len;
	}
	return true;
}

/* What is wrong with the contents of a packed list, or NULL. */
static const char *
packed_wrong(int type, const uint8_t *p, size_t n)
{
	if (type == HB_WIRE_FIXED32 || type == HB_WIRE_FIXED64)
		return n % (type == HB_WIRE_FIXED32 ? 4 : 8) ? "a packed list ends inside an element" : NULL;
	size_t run = 0;
	for (size_t i = 0; i < n; i++) {
		run = p[i] & 128 ? run + 1 : 0;
		if (run >= 10)
			return "a packed list has a number that is too long";
	}
	return run ? "a packed list ends inside an element" : NULL;
}

struct frame {
	const ProtobufCMessageDescriptor *d;
	const uint8_t *end;
	uint64_t seen;			/* singular texts, byte strings and messages, by number */
};

static const char *
check_field(const ProtobufCFieldDescriptor *fd, const hb_wire_field *f, struct frame *fr)
{
	int want = wire_type(fd);
	bool repeated = fd->label == PROTOBUF_C_LABEL_REPEATED;
	if (f->type != want) {
		if (!repeated || want == HB_WIRE_BYTES || f->type != HB_WIRE_BYTES)
			return "has the wrong wire type";
		return packed_wrong(want, f->p, f->n);
	}
	if (want != HB_WIRE_BYTES)
		return NULL;
	if (!repeated) {
		if (fr->seen & HB_FIELD(fd->id))
			return "stands twice";
		fr->seen |= HB_FIELD(fd->id);
	}
	if (fd->type == PROTOBUF_C_TYPE_STRING && !text_ok(f->p, f->n))
		return "is not UTF-8 text";
	return NULL;
}

hb_status
hb_wire_walk(hb_ctx *cx, const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t n)
{
	struct frame stack[HB_WIRE_DEPTH] = { { d, p + n, 0 } };
	int depth = 1;
	const uint8_t *at = p;
	hb_wire_field f;
	const char *why, *name = NULL;
	while (depth) {
		struct frame *fr = &stack[depth - 1];
		const ProtobufCFieldDescriptor *fd = NULL;
		if (at == fr->end) {
			depth--;
			continue;
		}
		const uint8_t *start = at;
		if (hb_wire_next(&at, fr->end, &f, &why)) {
			fd = f.number < 64 ? protobuf_c_message_descriptor_get_field(fr->d, f.number) : NULL;
			if (!fd)
				continue;
			name = fd->name;
			why = check_field(fd, &f, fr);
			if (!why && fd->type == PROTOBUF_C_TYPE_MESSAGE) {
				if (depth == HB_WIRE_DEPTH) {
					why = "is nested deeper than 64 messages";
				} else {
					stack[depth++] = (struct frame){ fd->descriptor, f.p + f.n, 0 };
					at = f.p;
				}
			}
		}
		if (why) {
			char where[40];
			snprintf(where, sizeof(where), "byte %zu", (size_t)(start - p));
			if (fd)
				return hb_error(cx, HB_ERR_INPUT, where, "onnx-wire", "not a valid ONNX file: %s.%s %s", fr->d->short_name, name, why);
			return hb_error(cx, HB_ERR_INPUT, where, "onnx-wire", "not a valid ONNX file: in %s, %s", fr->d->short_name, why);
		}
	}
	return HB_OK;
}

/* ---- unpacking ---- */

/* Before each block its size, in a header that keeps the alignment of malloc. */
enum { HEAD = 16 };

static void *
budget_alloc(void *arg, size_t size)
{
	hb_unpacker *u = arg;
	uint64_t all = (uint64_t)size + HEAD;
	if (size > SIZE_MAX - HEAD || all > u->limit - u->held) {
		u->over = true;
		return NULL;
	}
	uint8_t *p = hb_mem_take(u->cx, all) ? malloc((size_t)all) : NULL;
	if (!p) {
		u->nomem = true;
		return NULL;
	}
	memcpy(p, &all, sizeof(all));
	u->held += all;
	u->peak = HB_MAX(u->peak, u->held);
	return p + HEAD;
}

static void
budget_free(void *arg, void *block)
{
	hb_unpacker *u = arg;
	if (!block)
		return;
	uint8_t *p = (uint8_t *)block - HEAD;
	uint64_t all;
	memcpy(&all, p, sizeof(all));
	free(p);
	u->held -= all;
	hb_mem_give(u->cx, all);
}

void
hb_unpacker_init(hb_unpacker *u, hb_ctx *cx, size_t file_bytes)
{
	/* One copy of the file's size is for `lean`, which holds at most a message at a time. */
	*u = (hb_unpacker){
		.cx = cx, .limit = 2 * (uint64_t)file_bytes + ((uint64_t)12 << 20), .lean = { .cx = cx },
		.alloc = { .alloc = budget_alloc, .free = budget_free },
	};
}

void
hb_unpacker_end(hb_unpacker *u)
{
	hb_buf_free(&u->lean);
}

hb_status
hb_unpack(hb_unpacker *u, const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t n, uint64_t skip, void *out)
{
	const uint8_t *at = p, *end = p + n, *from = p;
	hb_wire_field f;
	u->alloc.allocator_data = u;
	u->lean.len = 0;
	bool whole = true;
	while (hb_wire_next(&at, end, &f, NULL)) {
		bool drop = f.number >= 64 || (skip & HB_FIELD(f.number)) || !protobuf_c_message_descriptor_get_field(d, f.number);
		if (!drop)
			continue;
		if (f.start > from)
			hb_buf_add(&u->lean, from, (size_t)(f.start - from));
		from = at;
		whole = false;
	}
	if (!whole)
		hb_buf_add(&u->lean, from, (size_t)(end - from));
	if (u->lean.bad)
		return hb_nomem(u->cx, NULL);
	u->over = u->nomem = false;
	const uint8_t *lean = whole || !u->lean.p ? p : (const uint8_t *)u->lean.p;
	ProtobufCMessage *m = protobuf_c_message_unpack(d, &u->alloc, whole ? n : u->lean.len, lean);
	*(ProtobufCMessage **)out = m;
	if (m)
		return HB_OK;
	if (u->over)
		return hb_error(u->cx, HB_ERR_INPUT, d->short_name, "onnx-size", "takes more memory to read than a file of this size may need");
	if (u->nomem)
		return hb_nomem(u->cx, d->short_name);
	return hb_error(u->cx, HB_ERR_INPUT, d->short_name, "onnx-wire", "not a valid ONNX file: protobuf-c does not take this message");
}

void
hb_unpack_free(hb_unpacker *u, void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, &u->alloc);
}
