/* fx.h: the fixed-point operators (domain "hbcc") and the two ways through
 * them: .convert of an ONNX operator builds them, .lower turns them into
 * instructions. man/hbir.5 has the list for readers outside.
 *
 * Tensors keep ONNX's logical order (NCHW); every tensor on the BPU has q set.
 * M, e: multiplier of SEMANTICS 5. rec: int32 [channels][4] = bias, M, Ma,
 * (e + 64) | (ea + 64) << 8, where Ma, ea bring the added tensor to the accumulator.
 *
 * A weight tensor W has q: int8, one scale per output channel on the axis of that dimension.
 *
 *   Conv           X, W i8 [O,C/g,kh,kw], rec [, A]   strides pads dilations group to qmin qmax  (rank 3: one spatial dim)
 *   Linear         X [..,K], W i8 [O,K], rec [, A]    to qmin qmax                                Y [..,O]
 *   ConvTranspose  X, W i8 [C,O/g,kh,kw], rec         strides pads dilations output_padding group to qmin qmax
 *   MatMul         A [..,M,K], B [..,K,N]             m e to qmin qmax
 *   MaxPool        X                                  kernel_shape strides pads ceil_mode qmin qmax
 *   AveragePool    X, mults i32 [n,3] = count, M, e   kernel_shape strides pads ceil_mode count_include_pad to qmin qmax
 *   Reduce         X                                  fn axes keepdims m e to qmin qmax           (a sum is requantized by m, e)
 *   Ew             A [, B [, C]]                      fn ma ea mb eb shift value to qmin qmax     numpy broadcasting
 *   Lut            X, table                           kind to qmin qmax                           (int8: 256 entries, or [C,256])
 *   Resize         X, rows i32 [OH,2], cols i32 [OW,2]   mode qmin qmax                           0 nearest, 1 linear
 *   Sample         X, rows i32 [M,OH,OW or 1], cols i32 [M,OH or 1,OW]   mode outside to qmin qmax  Y [M,C,OH,OW]; places, 16 fraction bits
 *   Correlation    A, B                               kernel_size max_displacement stride1 stride2 pad_size m e to qmin qmax
 *   Scatter        X [M,C], index i32 [M]             shape                                       Y [N,C,H,W]; places n*H*W + y*W + x
 *   Pick           X [B or 1,R,C], index i32 [B,M]                                                 Y [B,M,C]; rows of X by index, limited to 0..R-1
 *   Rows           X [, gain i32 [n], offset i32 [n]] fn axis m e m2 e2 value to qmin qmax       (softmax; norm and rms have the tables)
 *   TopK           X                                  axis k largest places                       values, or their places (i32)
 *   Take           X, index i32 [n]                   axis                                        Y[.., i, ..] = X[.., index[i], ..]
 *   Concat         X...                               axis                                        equal scales
 *   Pad            X                                  pads value mode                             value is an integer of X's scale
 *   Slice          X                                  starts steps extents (each dim; steps >= 1)
 *   Transpose      X                                  perm
 *   Reshape        X                                  shape
 *   Expand         X                                  shape
 *
 * fn is a name of lib/isa/fn.def, Pad's mode one of constant, reflect, edge, wrap. to: the output's type as
 * TensorProto.DataType (3 int8, 5 int16, 6 int32, 9 bool), by default X's. Formulas: lib/isa/insn.def.
 */
#ifndef HB_FX_H
#define HB_FX_H

#include "ops/op.h"

/* ---- convert: one quantized group becomes fixed-point nodes ---- */

struct hb_convert {
	hb_graph *from;			/* fused float graph, q set on its quantized edges */
	hb_graph *to;			/* what is being built */
	hb_arena *arena;		/* scratch */
	hb_map *tensors;		/* name of a tensor of `from` to its integers in `to` */
	hb_map *floats;			/* the same for values that stay as in `from` */
	hb_round round;			/* float to integer */
};

/* The tensor of `to` that stands for t; a constant t becomes integers at q's scale. NULL: reported. */
hb_tensor *hb_convert_in(hb_convert *cv, hb_node *n, hb_tensor *t);
/* Makes t's counterpart in `to` (same name, shape, q, dtype of q) for a node to yield. */
hb_tensor *hb_convert_out(hb_convert *cv, hb_tensor *t);
/* An intermediate that the float graph does not have. */
hb_tensor *hb_convert_temp(hb_convert *cv, const char *name, const hb_shape *shape, const hb_q *q);
/* A new hbcc node that stands for source node n. */
hb_node *hb_convert_node(hb_convert *cv, const hb_node *n, const char *op_type, int nin, int nout);
/* The output of the group that n is root of (n's own output 0 where it has none). */
hb_tensor *hb_group_out(const hb_node *n);
/* The lookup of a node with .lut, or of the chain that n is root of (ops/to_fx.c). */
hb_status hb_convert_lut(hb_convert *cv, hb_node *n);
/* The magnitude that n is root of (ops/to_fx_ew.c). */
hb_status hb_convert_magnitude(hb_convert *cv, hb_node *n);
/* A chain as one function of its input, every node in turn, in double (ops/chain.c). */
double hb_chain_eval(const hb_group *g, double x);
/* The other operand of the group's sumin addition, or NULL. */
hb_tensor *hb_group_addend(const hb_node *n);

/* How the weights of a Conv, ConvTranspose, Gemm or MatMul (of two dimensions) lie, their values at w, and get scales. */
hb_weights hb_weights_of(const hb_node *n, const float *w);

/* ---- lower ---- */

/* A box of a tensor: for each dimension of its logical shape a range. Empty where lo >= hi in one. */
struct hb_box {
	int rank;
	int64_t lo[HB_MAX_RANK], hi[HB_MAX_RANK];	/* [lo, hi) */
};

/* Where an output may be cut into bands or blocks: rows (of its layout), columns, the innermost
 * dimension; SUM: a convolution's input channels, added up in int32. */
enum { HB_CUT_ROW = 1, HB_CUT_COL = 2, HB_CUT_CHAN = 4, HB_CUT_SUM = 8 };

/* What one call of .lower makes: a box of output 0, over input channels [k0, k1) of a group.
 * Where that is not all of them, raw int32 sums are kept in a temp between the calls. */
typedef struct hb_tile {
	hb_box out;
	int64_t k0, k1;
	int block;			/* number of this block of input channels */
	bool last;			/* no block follows */
} hb_tile;

/* A strided box of elements of any rank, in the tensor's logical order of dimensions. */
typedef struct hb_tview {
	hb_space space;
	hb_dtype dtype;
	uint32_t buf;
	int64_t base;			/* bytes in the buffer */
	int rank;
	int64_t ext[HB_MAX_RANK], stride[HB_MAX_RANK];	/* bytes */
	int ring;			/* the dimension that wraps, -1: none */
	int64_t ring_rows, ring_first;
} hb_tview;

/* What the scheduler asks of an hbcc operator (ops/lower_*.c). */
typedef struct hb_sched_op {
	/* The box of input k that box `out` of output 0 reads; may be empty. Not asked for params. */
	void (*need)(const hb_node *n, int k, const hb_box *out, hb_box *in);
	uint32_t params;		/* bit k: input k reaches the instructions through .constant */
	unsigned cut;			/* HB_CUT_* */
	bool windowed;			/* wants its rank-3 and rank-4 tensors with channels innermost */
	uint32_t plain;			/* bit k: but input k as ONNX has it */
	bool copies;			/* reads its inputs by copies alone: they may stay in DDR */
	int (*whole)(const hb_node *n);	/* a dimension of the output that is never cut; NULL: none */
	int64_t (*depth)(const hb_node *n);	/* with HB_CUT_SUM: input channels of a group */
	int64_t (*quantum)(const hb_node *n);	/* channels of a pass are a multiple or divisor of it; NULL: 1 */
	/* Emits the instructions for one tile. */
	hb_status (*lower)(hb_lower *lw, const hb_node *n, const hb_tile *tile);
} hb_sched_op;

/* Writes the constant that `key` names: .lower's own meaning. */
typedef void hb_fill_fn(const hb_node *n, const int64_t key[8], void *to);

/* ---- what .lower may call; the emitter (lib/sched/emit.c) implements it ----
 * Operators are below the scheduler, so the calls go through this table. */
struct hb_lower {
	hb_ctx *cx;
	/* A box of n's output (k = -1) or input k. It must lie inside the tensor and inside what .need gave. */
	hb_status (*view)(hb_lower *lw, const hb_node *n, int k, const hb_box *box, hb_tview *v);
	/* A constant of this tile: made by `fill` once a key, packed once however often its bytes occur,
	 * loaded into SRAM before use; a dense view of the given type and extents. */
	hb_status (*constant)(hb_lower *lw, const hb_node *n, const int64_t key[8], hb_fill_fn *fill, hb_dtype dt,
			      int rank, const int64_t *ext, hb_view *v);
	/* SRAM for an intermediate, dense in the order given; the i-th call of each tile gets the same bytes. */
	hb_status (*temp)(hb_lower *lw, const hb_node *n, hb_dtype dt, int rank, const int64_t *ext, hb_tview *v);
	/* Appends; sets engine by the instruction's row and its operands' spaces. */
	hb_status (*emit)(hb_lower *lw, const hb_node *n, hb_insn *i);
};

#endif
