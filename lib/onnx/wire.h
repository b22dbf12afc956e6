/* wire.h: protobuf bytes that came from outside, made safe for protobuf-c (DESIGN law 7).
 *
 * hb_wire_walk looks at the whole file once, without recursion. After it, messages are
 * stepped through in place with hb_wire_next, and each one is unpacked by itself with
 * its large or nested fields left out, so that protobuf-c never holds more than a node,
 * a type or a tensor's header at a time and payloads stay in the mapped file. */
#ifndef HB_WIRE_H
#define HB_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "lib/base/base.h"

enum {
	HB_WIRE_VARINT = 0, HB_WIRE_FIXED64 = 1, HB_WIRE_BYTES = 2, HB_WIRE_FIXED32 = 5,
	HB_WIRE_DEPTH = 64,		/* messages in one another */
};

typedef struct hb_wire_field {
	uint32_t number;
	int type;
	const uint8_t *p;		/* of HB_WIRE_BYTES, FIXED32 and FIXED64: the contents */
	size_t n;
	uint64_t v;			/* of HB_WIRE_VARINT */
	const uint8_t *start;		/* the field with its tag; it ends at p + n */
} hb_wire_field;

/* Reads one varint; false where it is cut off or longer than 10 bytes. */
bool hb_wire_varint(const uint8_t **p, const uint8_t *end, uint64_t *v);

/* Steps to the next field of the message at *p. False at its end, and at a malformed
 * field with *why set (never after hb_wire_walk accepted the file). why may be NULL. */
bool hb_wire_next(const uint8_t **p, const uint8_t *end, hb_wire_field *f, const char **why);

/* Checks a serialized message of type d: tags, wire types, lengths, nesting, texts being
 * UTF-8 without 0, packed lists being whole, singular messages, texts and byte strings
 * standing once. HB_ERR_INPUT with the byte offset, reported. Linear in n. */
hb_status hb_wire_walk(hb_ctx *cx, const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t n);

/* Unpacks single messages, within a budget of memory that a file of its size may need. */
typedef struct hb_unpacker {
	hb_ctx *cx;
	ProtobufCAllocator alloc;
	uint64_t held, peak, limit;	/* bytes */
	bool over, nomem;		/* why the last message was not unpacked: the budget, the context's limit */
	hb_buf lean;			/* the message without the fields left out */
} hb_unpacker;

void hb_unpacker_init(hb_unpacker *u, hb_ctx *cx, size_t file_bytes);
void hb_unpacker_end(hb_unpacker *u);

/* Bit of a field number in `skip` below. */
#define HB_FIELD(number) (UINT64_C(1) << (number))

/* The message at p without unknown fields and those in `skip`. Release it with
 * hb_unpack_free. HB_ERR_INPUT where it needs more than the budget, HB_ERR_NOMEM. */
hb_status hb_unpack(hb_unpacker *u, const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t n, uint64_t skip, void *out);
void hb_unpack_free(hb_unpacker *u, void *message);

#endif
