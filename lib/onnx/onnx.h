/* onnx.h: ONNX files in and out. */
#ifndef HB_ONNX_H
#define HB_ONNX_H

#include "lib/ir/ir.h"

typedef struct hb_input_shape {		/* --input-shape NAME:1x3x224x224 */
	const char *name;
	hb_shape shape;
	bool from_array;		/* of an array that was given: fixes symbolic dimensions only; that it fits
					 * otherwise, or names an input, is for the caller to see. rank -1: says nothing */
} hb_input_shape;

typedef struct hb_import_options {
	const hb_input_shape *shapes;
	size_t nshapes;
	bool shapes_by_order;		/* shapes[i] is for input i where its name is NULL */
} hb_import_options;

/* Reads a model file into a new graph: names, types, input shapes, constants (left in
 * the mapped file where large), subgraphs, local functions inlined. Nodes are resolved
 * to operators; shapes inside are not inferred yet (hb_pass_shapes).
 * HB_ERR_INPUT malformed, HB_ERR_UNSUPPORTED not taken, HB_ERR_USAGE needs --input-shape,
 * HB_ERR_SYSTEM, HB_ERR_NOMEM; always reported. */
hb_status hb_onnx_read(hb_ctx *cx, const char *path, const hb_import_options *o, hb_graph **out);

/* The same from memory that outlives the graph; folder: of external data, NULL: none allowed. */
hb_status hb_onnx_parse(hb_ctx *cx, const uint8_t *p, size_t n, const char *folder,
			const hb_import_options *o, hb_graph **out);

/* A serialized TensorProto (input_0.pb of ONNX's tests) as a constant of graph g. */
hb_status hb_onnx_parse_tensor(hb_graph *g, const uint8_t *p, size_t n, hb_tensor **out);
/* A tensor's contents as a serialized TensorProto. */
hb_status hb_onnx_tensor_bytes(hb_ctx *cx, const char *name, hb_dtype dt, const hb_shape *s, const void *data, hb_buf *out);

/* The graph as a ModelProto in the one normal form (DESIGN 1): equal graphs give equal bytes. */
hb_status hb_onnx_bytes(hb_graph *g, hb_buf *out);

#endif
