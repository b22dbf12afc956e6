/* internal.h: what the files of lib/onnx share. */
#ifndef HB_ONNX_INTERNAL_H
#define HB_ONNX_INTERNAL_H

#include "lib/onnx/onnx.h"
#include "lib/onnx/wire.h"
#include "onnx.pb-c.h"

/* Operator sets of the default domain that are taken, and what export writes. */
enum { HB_OPSET_OLDEST = 1, HB_OPSET_NEWEST = 25, HB_OPSET_OUT = 17, HB_OPSET_OUT_WIDE = 21, HB_IR_OUT = 8, HB_IR_OUT_WIDE = 10 };

/* A type of TensorProto.DataType. */
typedef struct hb_onnx_type {
	const char *name;
	hb_dtype dtype;			/* HB_NONE: not taken */
	uint8_t size;			/* bytes of an element in raw_data */
	uint8_t field;			/* number of the typed list that holds it otherwise */
	bool narrowed;			/* computed as float32 */
} hb_onnx_type;

/* The row of a DataType; NULL for a number that no ONNX names. */
const hb_onnx_type *hb_onnx_type_of(int64_t number);
/* DataType that writes dt. */
int hb_onnx_type_number(hb_dtype dt);

/* What reading one file needs. */
typedef struct hb_reader {
	hb_ctx *cx;
	hb_unpacker u;
	hb_arena *arena;		/* lives while the file is read */
	const char *folder;		/* external data lies below it; NULL: none is taken */
	char *real_folder;		/* folder without symbolic links, once asked for */
	hb_map *files;			/* external files by location */
	const char *narrowed;		/* a type that was met and is computed as float32 */
} hb_reader;

/* The TensorProto at p as the contents of t: dtype, shape, data. t's name is the caller's.
 * where: for messages. *name (may be NULL): its name in the file, in r->arena, never NULL. */
hb_status hb_read_tensor(hb_reader *r, hb_graph *g, const char *where, const uint8_t *p, size_t n, hb_tensor *t);
/* The name in the TensorProto at p, "" where it has none; in r->arena, NULL without memory. */
const char *hb_read_tensor_name(hb_reader *r, const uint8_t *p, size_t n);
/* dtype of a TypeProto's element type; reports a type that is not taken. */
hb_status hb_read_type(hb_reader *r, const char *where, int64_t number, hb_dtype *dt);

/* ---- export ---- */

/* A node as it will be written. */
typedef struct hb_draft {
	const char *name, *op_type, *domain;
	hb_tensor **in, **out;
	int nin, nout;
	hb_attr *attrs;			/* copies: the draft's own to change */
	struct hb_draft *next;
} hb_draft;

/* One graph on its way out. */
typedef struct hb_export {
	hb_graph *g;
	hb_arena *arena;
	hb_map *names;			/* of tensors made here */
	int opset;			/* of the default domain, that is written */
	const struct hb_export *outer;	/* of a body */
	hb_draft *first, *last;
} hb_export;

/* The operator set that says all of g and its bodies: HB_OPSET_OUT or HB_OPSET_OUT_WIDE. */
int hb_export_opset(hb_graph *g);
/* Appends node n in the form that x->opset has for it: one draft or several.
 * HB_ERR_UNSUPPORTED, reported, where there is none. */
hb_status hb_export_node(hb_export *x, hb_node *n);
/* A constant of the export alone; its name begins with `like` and `what`. data is kept. NULL without memory. */
hb_tensor *hb_export_const(hb_export *x, const char *like, const char *what, hb_dtype dt, const hb_shape *s, const void *data);
/* A tensor between two drafts. */
hb_tensor *hb_export_temp(hb_export *x, const char *like, const char *what);
hb_draft *hb_export_draft(hb_export *x, const char *name, const char *op_type, const char *domain, int nin, int nout);

/* ---- metadata ---- */

/* Quantization in metadata_props: one entry a tensor. */
#define HB_META_Q "hbcc.q:"
#define HB_META_UNCALIBRATED "hbcc.uncalibrated"
/* The entries to write, sorted by key: those and the file's own. */
hb_status hb_meta_list(hb_graph *g, hb_arena *a, hb_meta **out);
/* Takes them from g->meta into the graph; warns of those that fit nothing. */
hb_status hb_meta_read(hb_graph *g);

#endif
