#!/usr/bin/env python3
"""against_ort.py HBCC [-n CASES] [-s SEED] [FAMILY...]: one-operator models of random attributes, shapes and types.

`hbcc run` must give what ONNX Runtime ($ORT_DIR) gives on the model; where it has no kernel, on the model as hbcc
writes it; where it still has none, run at all. Inputs that the standard leaves open, or where the runtime departs from
it (a comment says which), are not drawn. Prints what differs and the counts; exits 1 where something differs or is
refused by hbcc alone, 77 where onnx or the runtime is not there.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as e:
    print(f"against_ort.py: {e}", file=sys.stderr)
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
F, D, H = np.float32, np.float64, np.float16
INTS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
FLOATS = [F, F, F, D, H]
B = np.bool_
FAMILIES = {}


def family(f):
    FAMILIES[f.__name__] = f
    return f


class Gen:
    """Draws from one seeded stream."""

    def __init__(self, seed):
        self.r = np.random.default_rng(seed)

    def pick(self, *xs):
        return xs[self.r.integers(len(xs))]

    def some(self, p=0.5):
        return self.r.random() < p

    def int(self, lo, hi):
        return int(self.r.integers(lo, hi + 1))

    def shape(self, lo=0, hi=4, most=5, empty=0.03):
        s = [self.int(1, most) for _ in range(self.int(lo, hi))]
        if s and self.some(empty):
            s[self.int(0, len(s) - 1)] = 0
        return s

    def array(self, shape, t=F, lo=None, hi=None):
        """Uniform in lo..hi, both included for integers; -3..3 for floats and -20..20 for integers unless they say."""
        t = np.dtype(t)
        if t == B:
            return self.r.random(shape) < 0.5
        if t.kind in "iu":
            lo = max(-20 if lo is None else lo, np.iinfo(t).min)
            return np.asarray(self.r.integers(lo, (20 if hi is None else hi) + 1, shape)).astype(t)
        return np.asarray(self.r.uniform(-3 if lo is None else lo, 3 if hi is None else hi, shape)).astype(t)

    def broadcast(self, s):
        """A shape that broadcasts against s."""
        k = self.int(0, len(s))
        return [d if self.some(0.7) else 1 for d in s[len(s) - k:]] if k else []


class Const:
    """An input that is an initializer."""

    def __init__(self, a):
        self.a = np.asarray(a)


def ints(v):
    return Const(np.array(v, np.int64).reshape(-1) if len(v) else np.zeros(0, np.int64))


def case(op, version, inputs, nout=1, **attrs):
    return op, version, inputs, nout, {k: v for k, v in attrs.items() if v is not None}


# ---- families: each draws one case ----

@family
def unary(g):
    op = g.pick("Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Exp", "Log", "Sqrt", "Reciprocal", "Sigmoid", "Tanh", "Erf", "Sin", "Cos",
                "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Relu", "Softplus", "Softsign", "HardSwish",
                "Identity", "IsNaN", "IsInf", "Not", "Mish")
    v = {"IsInf": 10, "IsNaN": 13, "Round": 11, "Sign": 13, "HardSwish": 14, "Mish": 18, "Erf": 13}.get(op, g.pick(7, 13, 14, 17, 21))
    t = B if op == "Not" else g.pick(*FLOATS)
    if op in ("Abs", "Neg", "Sign", "Relu", "Identity") and g.some(0.6):
        t = g.pick(*INTS)
        v = max(v, 14)
    lo, hi = {"Log": (0.1, 3), "Sqrt": (0, 3), "Asin": (-1, 1), "Acos": (-1, 1), "Acosh": (1, 3), "Atanh": (-.9, .9)}.get(op, (None, None))
    x = g.array(g.shape(0, 6), t, lo, hi)
    a = {}
    if op in ("IsNaN", "IsInf") and x.size:
        t = F
        x = x.astype(F)
        x.reshape(-1)[:: 3] = g.pick(np.nan, np.inf, -np.inf)
        if op == "IsInf":
            a = g.pick({}, {"detect_negative": 0}, {"detect_positive": 0})
    return case(op, v, [x], **a)


@family
def activation(g):
    op = g.pick("LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Elu", "Selu", "Celu", "Shrink", "Gelu", "PRelu", "Clip")
    x = g.array(g.shape(1, 5), g.pick(F, F, D, H))
    a = {}
    if op == "PRelu":
        s = g.pick(g.broadcast(x.shape), [x.shape[1] if x.ndim > 1 else 1] + [1] * max(0, x.ndim - 2))
        return case(op, g.pick(7, 9, 16), [x, g.array(s, x.dtype)])
    if op == "Clip":
        t = g.pick(F, D, *INTS)
        x = g.array(g.shape(0, 4), t)
        v = g.pick(11, 12, 13)
        lo, hi = Const(np.array(g.int(0, 2), x.dtype)), Const(np.array(g.int(1, 5), x.dtype))
        if g.some(0.2):
            return case(op, g.pick(6, 9), [g.array(g.shape(), F)], **g.pick({}, {"min": -1.0}, {"max": 1.5}, {"min": -.5, "max": .5}))
        return case(op, v if t in (F,) else 13, g.pick([x, lo, hi], [x, lo], [x, None, hi], [x]))
    if g.some(0.7):
        if op in ("LeakyRelu", "ThresholdedRelu", "Elu", "Celu", "HardSigmoid", "Selu"):
            a["alpha"] = float(g.r.uniform(0.1, 2))
        if op == "HardSigmoid":
            a["beta"] = float(g.r.uniform(0.1, 1))
        if op == "Selu":
            a["gamma"] = float(g.r.uniform(0.1, 2))
        if op == "Shrink":
            a = {"lambd": 1.5, "bias": float(g.r.uniform(0, 1))}
        if op == "Gelu":
            a["approximate"] = g.pick("none", "tanh")
    v = {"Celu": 12, "Shrink": 9, "Gelu": 20, "ThresholdedRelu": 10}.get(op, g.pick(6, 16))
    return case(op, v, [x.astype(F) if op == "Celu" else x], **a)


@family
def binary(g):
    op = g.pick("Add", "Sub", "Mul", "Div", "Pow", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Xor", "Mod",
                "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Max", "Min", "Where", "BitwiseNot", "Sum", "Mean")
    s = g.shape(0, 5)
    s2 = g.broadcast(s)
    if g.some(0.3):
        s, s2 = [d if g.some(0.6) else 1 for d in s], list(s)
    t = g.pick(F, F, D, H, *INTS)
    a = {}
    if op in ("And", "Or", "Xor"):
        t = B
    if op in ("BitShift",):
        t = g.pick(np.uint8, np.uint16, np.uint32, np.uint64)
        return case(op, 11, [g.array(s, t), g.array(s2, t, 0, 7)], direction=g.pick("LEFT", "RIGHT"))
    if op.startswith("Bitwise"):
        t = g.pick(*INTS)
        return case(op, 18, [g.array(s, t)] if op == "BitwiseNot" else [g.array(s, t), g.array(s2, t)])
    if op == "Where":
        return case(op, g.pick(9, 16), [g.array(g.broadcast(s), B), g.array(s, t), g.array(s2, t)])
    if op in ("Sum", "Mean"):
        t = g.pick(F, D)
        return case(op, g.pick(8, 13), [g.array(g.broadcast(s), t) for _ in range(g.int(1, 4))])
    if op in ("Max", "Min"):
        return case(op, 13, [g.array(g.broadcast(s), t) for _ in range(g.int(1, 4))])
    x, y = g.array(s, t), g.array(s2, t)
    if op == "Equal" and g.some(0.2):
        x, y = g.array(s, B), g.array(s2, B)
    if op in ("Div", "Mod"):
        y = np.where(y == 0, np.ones_like(y), y)
    if op == "Mod":
        a["fmod"] = 1 if np.dtype(t).kind == "f" else g.int(0, 1)
    v = g.pick(13, 14, 17, 21)
    if op == "Pow":
        if np.dtype(t).kind == "f":
            x = np.abs(x) + np.asarray(0.1, t)
            y = g.pick(y, g.array(s2, np.int32, 0, 3), g.array(s2, np.int64, 0, 3), g.array(s2, F))
        else:
            x, y = g.array(s, g.pick(np.int32, np.int64), -9, 9), g.pick(g.array(s2, np.int64, 0, 4), np.round(g.array(s2, F, 0, 3)))
        v = 15
    if op in ("LessOrEqual", "GreaterOrEqual"):
        v = g.pick(12, 16)
    return case(op, v, [x, y], **a)


@family
def cast(g):
    types = [F, D, H, B] + INTS
    x = g.array(g.shape(0, 4), g.pick(*types))
    to = helper.np_dtype_to_tensor_dtype(np.dtype(g.pick(*types))) if hasattr(helper, "np_dtype_to_tensor_dtype") else \
        onnx.mapping.NP_TYPE_TO_TENSOR_TYPE[np.dtype(g.pick(*types))]
    if x.dtype.kind in "f" and x.size and to in (2, 4, 12, 13):
        x = np.abs(x)
    if g.some(0.2):
        return case("CastLike", 15, [x, g.array([2], g.pick(*types))] if to not in (2, 4, 12, 13) else [x, g.array([2], F)])
    return case("Cast", g.pick(6, 9, 13, 19), [x], to=int(to))


@family
def reduce(g):
    op = g.pick("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
                "ReduceLogSum", "ReduceLogSumExp")
    v = g.pick(1, 11, 13, 18)
    t = g.pick(F, F, D, np.int32, np.int64) if op != "ReduceLogSumExp" else g.pick(F, D)
    if op in ("ReduceMax", "ReduceMin") and v >= 13 and g.some(0.4):
        t = g.pick(np.int8, np.uint8)
    x = g.array(g.shape(0, 5, empty=0), t, *((0.2, 3) if op == "ReduceLogSum" and np.dtype(t).kind == "f" else (1, 9) if op == "ReduceLogSum" else ()))
    axes = sorted(g.r.permutation(x.ndim)[:g.int(1, max(1, x.ndim))].tolist()) if x.ndim and g.some(0.8) else None
    if axes and v >= 11 and g.some(0.4):
        axes = [a - x.ndim if g.some() else a for a in axes]
    keep = g.pick(None, 0, 1)
    if (op == "ReduceSum" and v >= 13) or v >= 18:
        noop = g.pick(None, 0, 1) if op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd") else None
        more = [] if axes is None else [ints(axes)]
        if axes is None and g.some(0.3):
            more = [ints([])]
        return case(op, v, [x] + more, keepdims=keep, noop_with_empty_axes=noop)
    return case(op, v, [x], keepdims=keep, axes=axes)


@family
def arg(g):
    op = g.pick("ArgMax", "ArgMin")
    v = g.pick(1, 11, 12, 13)
    x = g.array(g.shape(1, 4, empty=0), g.pick(F, D, np.int32) if v < 13 else g.pick(F, D, np.int32, np.int8, np.uint8))
    if x.dtype.kind == "f":
        x = np.round(x)
    axis = g.int(0, x.ndim - 1)
    if v >= 11 and g.some(0.4):
        axis -= x.ndim
    return case(op, v, [x], axis=axis, keepdims=g.pick(None, 0, 1), select_last_index=g.pick(None, 0, 1) if v >= 12 else None)


@family
def softmax(g):
    op = g.pick("Softmax", "LogSoftmax", "Hardmax")
    v = g.pick(1, 11, 13)
    x = g.array(g.shape(1, 4, empty=0.02), F if op == "Hardmax" else g.pick(F, D))
    axis = g.pick(None, g.int(0, x.ndim - 1), g.int(-x.ndim, x.ndim - 1) if v >= 11 else 0)
    if axis is None and v < 13 and x.ndim < 2:
        axis = 0
    return case(op, v, [x], axis=axis)


def window(g, size):
    """No stride beyond the kernel: there the runtime makes outputs of padding alone."""
    k = [g.int(1, min(4, s)) for s in size]
    a = {"kernel_shape": k, "strides": g.pick(None, [g.int(1, min(3, n)) for n in k])}
    mode = g.pick("pads", "pads", "none", "SAME_UPPER", "SAME_LOWER", "VALID")
    if mode == "pads":
        a["pads"] = [g.int(0, max(0, x - 1)) for x in k + k]
    elif mode != "none":
        a["auto_pad"] = mode
    return a


@family
def pool(g):
    nd = g.int(1, 3)
    op = g.pick("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
    size = [g.int(4, 9) for _ in range(nd)]
    x = g.array([g.int(1, 2), g.int(1, 4)] + size, F)
    if op.startswith("Global"):
        return case(op, 2 if op == "GlobalLpPool" else 1, [x], **({"p": g.pick(1, 2, 3)} if op == "GlobalLpPool" else {}))
    a = window(g, size)
    if op == "AveragePool":
        a["count_include_pad"] = g.pick(None, 0, 1)
        a["ceil_mode"] = g.pick(None, 0, 1) if "auto_pad" not in a else None
        if a["ceil_mode"]:
            a["pads"] = [0] * 2 * nd
        v = g.pick(10, 11, 19) if a["ceil_mode"] is not None else g.pick(7, 10, 11, 19)
        if v >= 19 and "auto_pad" not in a and g.some(0.4):
            a["dilations"] = [g.int(1, 2) if 2 * (k - 1) + 1 <= s else 1 for k, s in zip(a["kernel_shape"], size)]
        return case(op, v, [x], **a)
    if op == "LpPool":
        a["p"] = g.pick(None, 1, 2, 3)
        v = g.pick(2, 11, 18)
        if v >= 18 and "auto_pad" not in a and g.some(0.4):
            a["ceil_mode"], a["pads"] = 1, [0] * 2 * nd
        return case(op, v, [x], **a)
    if "auto_pad" not in a:
        a["dilations"] = g.pick(None, [g.int(1, 2) if 2 * (k - 1) + 1 <= s else 1 for k, s in zip(a["kernel_shape"], size)])
        a["ceil_mode"] = g.pick(None, 0, 1)
        if a["ceil_mode"]:
            a["pads"] = [0] * 2 * nd
    a["storage_order"] = g.pick(None, 0, 1)
    if g.some(0.2):
        return case(op, 12, [g.array(x.shape, g.pick(np.int8, np.uint8))], **a)
    return case(op, g.pick(10, 11, 12), [x], g.pick(1, 2), **a)


@family
def conv(g):
    nd = g.int(1, 3)
    size = [g.int(4, 8) for _ in range(nd)]
    group = g.pick(1, 1, 2, 3)
    cin, cout = group * g.int(1, 3), group * g.int(1, 3)
    a = window(g, size)
    k = a["kernel_shape"]
    if "auto_pad" not in a:
        a["dilations"] = g.pick(None, [g.int(1, 2) if 2 * (q - 1) + 1 <= s else 1 for q, s in zip(k, size)])
    if g.some(0.3):
        a["kernel_shape"] = None
    if g.some(0.5):
        w = g.array([cout, cin // group] + k)
        x = [g.array([g.int(1, 2), cin] + size), w if g.some() else Const(w)]
        op = "Conv"
    else:
        w = g.array([cin, cout // group] + k)
        x = [g.array([g.int(1, 2), cin] + size), w if g.some() else Const(w)]
        op = "ConvTranspose"
        strides = a["strides"] or [1] * nd
        if "auto_pad" not in a:
            a["output_padding"] = g.pick(None, [g.int(0, s - 1) for s in strides])
        elif a["auto_pad"] != "VALID" and g.some():
            a["output_shape"] = [(s * d) for s, d in zip(size, strides)]
    if g.some():
        x.append(Const(g.array([cout])))
    return case(op, g.pick(1, 11), x, group=group, **a)


@family
def gemm(g):
    m, k, n = g.int(1, 5), g.int(1, 6), g.int(1, 5)
    ta, tb = g.pick(None, 0, 1), g.pick(None, 0, 1)
    t = g.pick(F, F, D)
    x = [g.array([k, m] if ta else [m, k], t), g.array([n, k] if tb else [k, n], t)]
    v = g.pick(7, 9, 11, 13)
    if v < 11 or g.some():
        x.append(g.array(g.pick([], [n], [1], [m, 1], [1, n], [m, n]), t))
    if v >= 11 and g.some(0.2):
        x = [y.astype(F) for y in x]
    return case("Gemm", v, x, transA=ta, transB=tb, alpha=g.pick(None, 0.5), beta=g.pick(None, 2.0, 0.0))


@family
def matmul(g):
    k = g.int(1, 6)
    b = g.shape(0, 3, 3, 0)
    t = g.pick(F, F, D, np.int32, np.int64, np.uint32, np.uint64)
    a = g.array(g.pick([k], b + [g.int(1, 4), k], g.broadcast(b) + [g.int(1, 4), k]), t)
    y = g.array(g.pick([k], b + [k, g.int(1, 4)], g.broadcast(b) + [k, g.int(1, 4)]), t)
    return case("MatMul", g.pick(9, 13), [a, y])


@family
def norm(g):
    op = g.pick("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization", "LRN", "LpNormalization",
                "MeanVarianceNormalization", "RMSNormalization")
    x = g.array([g.int(1, 3), g.pick(2, 4, 6)] + [g.int(1, 4) for _ in range(g.int(0 if op == "BatchNormalization" else 1, 3))], F)
    c = x.shape[1]
    eps = g.pick(None, 1e-3)
    if op == "BatchNormalization":
        p = [g.array([c]), g.array([c]), g.array([c]), g.array([c], F, 0.1, 2)]
        v = g.pick(7, 9, 14, 15)
        return case(op, v, [x] + p, epsilon=eps, momentum=g.pick(None, 0.8))
    if op == "InstanceNormalization":
        return case(op, 6, [x, g.array([c]), g.array([c])], epsilon=eps)
    if op in ("LayerNormalization", "RMSNormalization"):
        x = g.array(list(x.shape[:-1]) + [g.int(4, 9)])
        axis = g.pick(None, g.int(-x.ndim, x.ndim - 1))
        s = x.shape[(axis if axis is not None else -1):] if (axis or -1) < 0 else x.shape[axis:]
        if op == "RMSNormalization":
            return case(op, 23, [x, g.array(g.pick(s, s[-1:]))], axis=axis, epsilon=eps)
        return case(op, 17, [x, g.array(s)] + ([g.array(s)] if g.some() else []), g.int(1, 3), axis=axis, epsilon=eps)
    if op == "GroupNormalization":
        k = g.pick(1, 2, c)
        v = g.pick(18, 21)
        q = k if v == 18 else c
        return case(op, v, [x, g.array([q]), g.array([q])], num_groups=k, epsilon=eps)
    if op == "LRN":
        return case(op, g.pick(1, 13), [x], size=g.pick(1, 3, 5, 2, 4), alpha=g.pick(None, 0.1), beta=g.pick(None, 0.5), bias=g.pick(None, 2.0))
    if op == "LpNormalization":
        return case(op, 1, [x], axis=g.pick(None, g.int(-x.ndim, x.ndim - 1)), p=g.pick(None, 1, 2))
    axes = g.pick(None, sorted(set(g.int(0, x.ndim - 1) for _ in range(2))))
    if axes is None and x.ndim != 4:
        axes = [0, x.ndim - 1]
    x = g.array([d + 1 for d in x.shape])
    return case(op, g.pick(9, 13), [x], axes=axes)


@family
def shape_ops(g):
    op = g.pick("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Concat", "Split", "Expand", "Tile", "Shape", "Size", "Dropout")
    t = g.pick(F, D, H, B, *INTS)
    x = g.array(g.shape(0, 5, 4), t)
    r = x.ndim
    if op == "Reshape":
        s = list(x.shape)
        if g.some(0.2) and r:
            return case(op, 14, [x, ints(s)], allowzero=1)
        if r and x.size and g.some(0.5):
            s[g.int(0, r - 1)] = -1
        elif r and g.some(0.5):
            s[g.int(0, r - 1)] = 0
        elif x.size and g.some():
            s = g.pick([x.size], [1, x.size, 1], [-1], [])
            s = [-1, 1] if s == [] and x.size != 1 else s
        return case(op, g.pick(5, 13, 14), [x, ints(s)])
    if op == "Flatten":
        return case(op, g.pick(1, 9, 11, 13), [x.astype(F)], axis=g.pick(None, g.int(0, r)) if r else 0)
    if op in ("Squeeze", "Unsqueeze"):
        v = g.pick(1, 11, 13)
        if op == "Squeeze":
            s = list(x.shape)
            axes = [i for i in range(r) if g.some()]
            for i in axes:
                s[i] = 1
            x = g.array(s, t)
            axes = [a - r if v >= 11 and g.some() else a for a in axes] or None
        else:
            n = r + g.int(1, 2)
            axes = sorted(g.r.permutation(n)[:n - r].tolist())
            axes = [a - n if v >= 11 and g.some() else a for a in axes]
        if v >= 13:
            return case(op, v, [x] + ([ints(axes)] if axes else []))
        return case(op, v, [x], axes=axes)
    if op == "Transpose":
        return case(op, g.pick(1, 13), [x], perm=g.pick(None, g.r.permutation(r).tolist()) if r else None)
    if op == "Concat":
        r = max(r, 1)
        s = list(x.shape) or [2]
        axis = g.int(0, r - 1)
        xs = []
        for _ in range(g.int(1, 4)):
            s[axis] = g.int(0, 3)
            xs.append(g.array(s, t))
        return case(op, g.pick(4, 11, 13), xs, axis=axis) if g.some() else case(op, 13, xs, axis=axis - r)
    if op == "Split":
        s = list(x.shape) or [4]
        axis = g.int(0, len(s) - 1)
        parts = [g.int(1, 3) for _ in range(g.int(1, 4))]
        s[axis] = sum(parts)
        x = g.array(s, F)
        v = g.pick(2, 11, 13, 18)
        ax = axis - len(s) if v >= 11 and g.some() else axis
        if v < 13:
            return case(op, v, [x], len(parts), axis=ax, split=parts)
        if v == 18 and g.some():
            return case(op, v, [x], min(len(parts), s[axis]), axis=ax, num_outputs=min(len(parts), s[axis]))
        return case(op, v, [x, ints(parts)], len(parts), axis=ax)
    if op == "Expand":
        s = list(x.shape)
        s = [g.int(1, 3) if d == 1 or g.some(0.1) and False else g.pick(d, 1) for d in s]
        return case(op, g.pick(8, 13), [x, ints([g.int(1, 2)] * g.int(0, 2) + s)])
    if op == "Tile":
        return case(op, g.pick(6, 13), [x, ints([g.int(0 if g.some(0.1) else 1, 3) for _ in range(r)])])
    if op == "Shape":
        return case(op, 15, [x], start=g.pick(None, g.int(-6, 6)), end=g.pick(None, g.int(-6, 6)))
    if op == "Size":
        return case(op, g.pick(1, 13), [x])
    return case(op, 13, [x.astype(F)], g.pick(1, 2))


@family
def slicing(g):
    op = g.pick("Slice", "Pad", "Pad")
    t = g.pick(F, F, D, np.int32, np.int64, B, np.int8)
    x = g.array(g.shape(1, 4, 6, 0), t)
    r = x.ndim
    axes = g.r.permutation(r)[:g.int(1, r)].tolist()
    if op == "Slice":
        st, en, sp = [], [], []
        for a in axes:
            n = x.shape[a]
            sp.append(g.pick(1, 1, 2, -1, -2))
            st.append(g.int(-n - 2, n + 2) if g.some(0.7) else g.pick(-2**31, 2**31 - 1, -2**63, 2**63 - 1))
            en.append(g.int(-n - 2, n + 2) if g.some(0.7) else g.pick(2**31 - 1, 2**63 - 1) if sp[-1] > 0 else g.pick(-2**31, -2**63 + 1))
        if g.some(0.2) and t == F:
            return case(op, 1, [x], starts=st, ends=en, axes=axes)
        axes = [a - r if g.some() else a for a in axes]
        if g.some(0.2):
            st, en = (st + [0] * r)[:len(axes)], en
        full = [x, ints(st), ints(en), ints(axes), ints(sp)]
        return case(op, g.pick(10, 11, 13), full[:g.pick(4, 5, 5)])
    mode = g.pick("constant", "reflect", "edge", "wrap")
    v = 19 if mode == "wrap" else g.pick(2, 11, 13, 18, 19)
    lim = [max(0, n - 1) for n in x.shape] if mode == "reflect" else [n if mode == "wrap" else 3 for n in x.shape]
    if v == 2:
        return case(op, v, [x.astype(F)], mode=mode, pads=[g.int(0, lim[i % r]) for i in range(2 * r)], value=g.pick(None, 1.5))
    if v >= 18 and g.some() and len(axes):
        p = [g.int(0, lim[a]) for a in axes + axes]
        return case(op, v, [x, ints(p), Const(np.array(1, x.dtype)) if mode == "constant" else None,
                            ints([a - r if g.some() else a for a in axes])], mode=mode)
    lo = -1 if mode == "constant" else 0
    p = [g.int(lo if x.shape[i % r] > 2 else 0, lim[i % r]) for i in range(2 * r)]
    return case(op, v, [x, ints(p)] + ([Const(np.array(1, x.dtype))] if g.some() and mode == "constant" else []), mode=mode)


@family
def resize(g):
    nd = g.int(1, 3)
    size = [g.int(2, 6) for _ in range(nd)]
    x = g.array([g.int(1, 2), g.int(1, 3)] + size, F)
    v = g.pick(10, 11, 13, 18, 19)
    mode = g.pick("nearest", "linear", "cubic") if nd == 2 and v >= 11 else g.pick("nearest", "linear")
    if mode == "linear" and nd not in (1, 2, 3):
        mode = "nearest"
    # Ties between neighbours, and lengths between whole numbers, are where the runtime has its own way.
    sc = [g.pick(0.5, 1.0, 1.5, 2.0, 3.0) if mode == "nearest" else g.pick(0.5, 0.6, 1.0, 1.5, 2.0, 2.3, 3.0) for _ in size]
    if v == 10:
        return case("Resize", 10, [x, Const(np.array([1, 1] + ([max(1.0, f) for f in sc] if mode == "nearest" else sc), F))], mode=mode)
    if g.some(0.15):
        return case("Upsample", 9, [x, Const(np.array([1, 1] + [g.pick(1.0, 2.0, 3.0) for _ in size], F))], mode=mode if mode != "cubic" else "linear")
    a = {"mode": mode,
         "coordinate_transformation_mode": g.pick(None, "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric",
                                                  *(["half_pixel_symmetric"] if v >= 19 else []))}
    if mode == "nearest":
        a["nearest_mode"] = g.pick(None, "round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    if mode == "cubic":
        a["cubic_coeff_a"] = g.pick(None, -0.5)
        a["exclude_outside"] = g.pick(None, 0, 1)
    if v >= 18 and mode != "nearest" and g.some(0.3) and nd == 2:
        a["antialias"] = 1
        a["coordinate_transformation_mode"] = None
    if v >= 11 and nd == 2 and mode != "cubic" and g.some(0.15):        # where extents stay the runtime does not crop
        box = Const(np.concatenate([[0, 0], g.r.uniform(-.2, .4, 2), [1, 1], g.r.uniform(.6, 1.2, 2)]).astype(F))
        a["coordinate_transformation_mode"] = "tf_crop_and_resize"
        return case("Resize", v, [x, box, Const(np.zeros(0, F)) if v < 13 else None, ints(list(x.shape[:2]) + [n + g.pick(-1, 1, 2) for n in size])],
                    extrapolation_value=g.pick(None, 2.5), **a)
    roi = None if v >= 13 else Const(np.zeros(0, F))
    out = [max(1, int(s * q)) for s, q in zip(size, sc)]
    if 1 in out:
        a["coordinate_transformation_mode"] = None
    if g.some() and a["coordinate_transformation_mode"] != "align_corners":
        return case("Resize", v, [x, roi, Const(np.array([1, 1] + sc, F))], **a)
    if v >= 18 and g.some() and nd == 2:
        a["axes"] = [2, 3]
        if a["coordinate_transformation_mode"] != "align_corners":
            a["keep_aspect_ratio_policy"] = g.pick(None, "stretch", "not_larger", "not_smaller")
        return case("Resize", v, [x, roi, None, ints(out)], **a)
    return case("Resize", v, [x, roi, Const(np.zeros(0, F)) if v < 13 else None, ints([x.shape[0], x.shape[1]] + out)], **a)


@family
def gather(g):
    op = g.pick("Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "Scatter")
    t = g.pick(F, D, np.int32, np.int64, np.uint8, B)
    x = g.array(g.shape(1, 4, 5, 0), t)
    r, it = x.ndim, g.pick(np.int32, np.int64)
    axis = g.int(0, r - 1)
    n = x.shape[axis]
    ax = axis - r if g.some() else axis
    if op == "Gather":
        return case(op, g.pick(11, 13), [x, g.array(g.shape(0, 3, 4), it, -n, n - 1)], axis=ax)
    if op == "GatherElements":
        s = [g.int(1, d) for d in x.shape]
        s[axis] = g.int(1, 6)
        return case(op, g.pick(11, 13), [x, g.array(s, it, -n, n - 1)], axis=ax)
    if op in ("ScatterElements", "Scatter"):
        s = [g.int(1, d) for d in x.shape]
        red = g.pick(None, "none", "add", "mul", "max", "min") if op != "Scatter" else None
        if red in ("add", "mul", "max", "min"):
            x = g.array(x.shape, g.pick(F, D, np.int32, np.int64))
            idx = g.array(s, it, -n, n - 1)
        else:
            idx = np.argsort(g.r.random(s[:axis] + [n] + s[axis + 1:]), axis=axis).take(range(s[axis]), axis=axis).astype(it)
        up = g.array(s, x.dtype)
        if op == "Scatter":
            return case(op, 9, [x, idx, up], axis=axis)
        return case(op, 18 if red in ("max", "min") else 16 if red else g.pick(11, 13), [x, idx, up], axis=ax, reduction=red)
    b = g.int(0, min(1, r - 1)) if op == "GatherND" else 0
    k = g.int(1, r - b)
    lead = list(x.shape[:b]) + g.shape(1 if not b else 0, 2, 3, 0)
    red = g.pick(None, "add", "mul", "max", "min") if op == "ScatterND" else None
    if op == "ScatterND":
        x = g.array(x.shape, g.pick(F, D, np.int32, np.int64)) if red else x
        if not red:
            total = int(np.prod(x.shape[:k]))
            cnt = g.int(1, total)
            flat = g.r.permutation(total)[:cnt]
            idx = np.stack(np.unravel_index(flat, x.shape[:k]), -1).astype(np.int64)
            return case(op, g.pick(11, 13), [x, idx, g.array([cnt] + list(x.shape[k:]), x.dtype)])
    idx = np.stack([g.r.integers(-x.shape[b + i], x.shape[b + i], lead) for i in range(k)], -1).astype(np.int64)
    if op == "GatherND":
        return case(op, g.pick(12, 13), [x, idx], batch_dims=b)
    return case(op, 18 if red in ("max", "min") else 16, [x, idx, g.array(lead + list(x.shape[k:]), x.dtype)], reduction=red)


@family
def index(g):
    op = g.pick("OneHot", "TopK", "NonZero", "Compress", "Range", "EyeLike", "Trilu", "CumSum", "ReverseSequence", "Unique", "ConstantOfShape",
                "DepthToSpace", "SpaceToDepth", "Einsum", "Det", "CenterCropPad", "Col2Im", "NonMaxSuppression")
    if op == "OneHot":
        idx = g.array(g.shape(0, 3, 4), g.pick(np.int64, np.int32, F), -5, 5)
        idx = np.round(idx) if idx.dtype == F else idx
        if idx.dtype == np.int32:
            idx = idx.astype(np.int64)
        vals = g.array([2], g.pick(F, np.int64, np.int32) if idx.dtype != F else F)
        return case(op, g.pick(9, 11), [idx, Const(np.array(5, np.int64) if g.some() else np.array([5], np.int64)), vals],
                    axis=g.pick(None, g.int(-idx.ndim - 1, idx.ndim)))
    if op == "TopK":
        x = g.array(g.shape(1, 4, 6, 0), g.pick(F, D, np.int32, np.int64))
        axis = g.int(-x.ndim, x.ndim - 1)
        k = g.int(0 if g.some(0.1) else 1, x.shape[axis])
        v = g.pick(10, 11)
        x = np.round(x) if x.dtype.kind == "f" and g.some() else x
        if v == 10:
            return case(op, v, [x.astype(F), ints([k])], 2, axis=axis % x.ndim)
        return case(op, v, [x, ints([k])], 2, axis=axis, largest=g.pick(None, 0, 1), sorted=g.pick(None, 1))
    if op == "NonZero":
        return case(op, g.pick(9, 13), [Const(np.round(g.array(g.shape(1, 3), g.pick(F, np.int32, np.int64, B, np.uint8))))])
    if op == "Compress":
        x = g.array(g.shape(1, 3, 5, 0), g.pick(F, np.int32, B))
        axis = g.pick(None, g.int(-x.ndim, x.ndim - 1))
        n = x.size if axis is None else x.shape[axis]
        return case(op, g.pick(9, 11) if axis is None or axis >= 0 else 11, [x, Const(g.r.random(g.int(1, n)) < 0.5)], axis=axis)
    if op == "Range":
        t = g.pick(F, D, np.int16, np.int32, np.int64)
        d = g.pick(1, 2, -1, -3)
        return case(op, 11, [Const(np.array(g.int(-5, 5), t)), Const(np.array(g.int(-9, 9), t)), Const(np.array(d, t))])
    if op == "EyeLike":
        return case(op, 9, [g.array([g.int(1, 4), g.int(1, 4)], g.pick(F, np.int32, D))], k=g.pick(None, g.int(-3, 3)), dtype=g.pick(None, 1, 7, 11, 6))
    if op == "Trilu":
        x = g.array(g.shape(2, 4, 5), g.pick(F, D, np.int64))
        return case(op, 14, [x] + g.pick([], [Const(np.array(g.int(-6, 6), np.int64))]), upper=g.pick(None, 0, 1))
    if op == "CumSum":
        x = g.array(g.shape(1, 4), g.pick(F, D, np.int32, np.int64))
        return case(op, g.pick(11, 14), [x, Const(np.array(g.int(-x.ndim, x.ndim - 1), g.pick(np.int32, np.int64)))], exclusive=g.pick(None, 0, 1),
                    reverse=g.pick(None, 0, 1))
    if op == "ReverseSequence":
        x = g.array([4, 3] + g.shape(0, 2), g.pick(F, np.int32))
        ta = g.int(0, 1)
        return case(op, 10, [x, g.array([x.shape[1 - ta]], np.int64, 1, x.shape[ta])], time_axis=ta, batch_axis=1 - ta)
    if op == "Unique":
        x = g.array(g.shape(1, 3, 4, 0), g.pick(F, np.int64), -2, 2)
        x = np.round(x)
        return case(op, 11, [Const(x)], g.int(1, 4), axis=g.pick(None, g.int(-x.ndim, x.ndim - 1)), sorted=g.pick(None, 0, 1))
    if op == "ConstantOfShape":
        val = g.pick(None, helper.make_tensor("v", g.pick(1, 6, 7, 11, 2), [1], [3]), helper.make_tensor("v", 9, [1], [True]))
        return case(op, g.pick(9, 21), [ints(g.shape(0, 3, 4, 0.1))], value=val)
    if op in ("DepthToSpace", "SpaceToDepth"):
        b = g.pick(1, 2, 3)
        x = g.array([g.int(1, 2), b * b * g.int(1, 2), b * g.int(1, 2), b * g.int(1, 3)], F)
        return case(op, g.pick(11, 13), [x], blocksize=b, mode=g.pick(None, "DCR", "CRD") if op == "DepthToSpace" else None)
    if op == "Einsum":
        eq, s = g.pick(("ij,jk->ik", [(2, 3), (3, 4)]), ("bij,bjk->bik", [(2, 2, 3), (2, 3, 4)]), ("ii->i", [(3, 3)]), ("ij->ji", [(2, 3)]),
                       ("ij->", [(2, 3)]), ("...ij,...jk->...ik", [(2, 2, 3), (2, 3, 2)]), ("i,j->ij", [(2,), (3,)]),
                       ("bhqd,bhkd->bhqk", [(1, 2, 3, 4), (1, 2, 5, 4)]), ("ijk,jil->kl", [(2, 3, 4), (3, 2, 5)]), ("ij,ij", [(2, 3), (2, 3)]))
        return case(op, 12, [g.array(list(q), g.pick(F, D)) if i == 0 else None for i, q in enumerate(s)] and
                    [g.array(list(q), F) for q in s], equation=eq)
    if op == "Det":
        n = g.int(1, 4)
        return case(op, 11, [g.array(g.shape(0, 2, 3, 0) + [n, n])])
    if op == "CenterCropPad":
        x = g.array(g.shape(2, 3, 6, 0), g.pick(F, np.int32))
        axes = g.r.permutation(x.ndim)[:g.int(1, x.ndim)].tolist()
        return case(op, 18, [x, ints([g.int(1, 7) for _ in axes])], axes=[a - x.ndim if g.some() else a for a in axes])
    if op == "Col2Im":
        bs, st, di = [g.int(1, 3), g.int(1, 3)], [g.int(1, 2), g.int(1, 2)], [g.int(1, 2), g.int(1, 2)]
        im, pads = [g.int(5, 7), g.int(5, 7)], [g.int(0, 1) for _ in range(4)]
        cells = 1
        for i in range(2):
            cells *= (im[i] + pads[i] + pads[i + 2] - di[i] * (bs[i] - 1) - 1) // st[i] + 1
        return case(op, 18, [g.array([1, 2 * bs[0] * bs[1], cells]), ints(im), ints(bs)], strides=st, dilations=di, pads=pads)
    n = g.int(1, 8)
    p = g.array([1, n, 2], F, 0, 1)
    box = np.concatenate([p, p + g.array([1, n, 2], F, 0.1, 1)], -1)
    rest = [ints([g.int(0, 4)]), Const(np.array([g.r.uniform(0, 0.6)], F)), Const(np.array([g.r.uniform(0, 0.5)], F))]
    return case(op, g.pick(10, 11), [Const(box), Const(g.array([1, 2, n], F, 0, 1))] + rest[:g.pick(1, 2, 3)], center_point_box=g.pick(None, 0, 1))


@family
def vision(g):
    op = g.pick("GridSample", "AffineGrid", "RoiAlign", "MaxUnpool", "MaxRoiPool")
    if op == "GridSample":
        v = g.pick(16, 20)
        mode = g.pick(None, "bilinear", "nearest", "bicubic") if v == 16 else g.pick(None, "linear", "nearest", "cubic")
        x = g.array([g.int(1, 2), g.int(1, 2), g.int(2, 5), g.int(2, 5)])
        if v == 20 and mode != "cubic" and g.some(0.3):
            x = g.array([1, 2, g.int(2, 4), g.int(2, 4), 3])
            return case(op, v, [x, g.array([1, 2, 3, 2, 3], F, -1.3, 1.3)], mode=mode, padding_mode=g.pick(None, "zeros", "border", "reflection"),
                        align_corners=g.pick(None, 0, 1))
        return case(op, v, [x, g.array([x.shape[0], 3, 4, 2], F, -1.3, 1.3)], mode=mode, align_corners=g.pick(None, 0, 1),
                    padding_mode=g.pick(None, "zeros", "border", "reflection"))
    if op == "AffineGrid":
        if g.some():
            return case(op, 20, [g.array([2, 2, 3]), ints([2, 1, g.int(2, 4), g.int(2, 4)])], align_corners=g.pick(None, 0, 1))
        return case(op, 20, [g.array([2, 3, 4]), ints([2, 1, 2, g.int(2, 4), g.int(2, 4)])], align_corners=g.pick(None, 0, 1))
    if op in ("RoiAlign", "MaxRoiPool"):
        x = g.array([2, 2, 8, 8])
        n = g.int(1, 4)
        p = g.array([n, 2], F, 0, 4)
        box = np.concatenate([p, p + g.array([n, 2], F, 0.5, 4)], 1)
        if op == "MaxRoiPool":
            return case(op, 1, [x, np.concatenate([g.array([n, 1], np.int32, 0, 1).astype(F), np.round(box)], 1)], pooled_shape=[g.int(1, 3), g.int(1, 3)],
                        spatial_scale=g.pick(None, 0.5))
        v = g.pick(10, 16)
        return case(op, v, [x, box, g.array([n], np.int64, 0, 1)], mode=g.pick(None, "avg", "max"), output_height=g.int(1, 3), output_width=g.int(1, 3),
                    sampling_ratio=g.pick(None, 0, 2), spatial_scale=g.pick(None, 0.5),
                    coordinate_transformation_mode=g.pick(None, "half_pixel", "output_half_pixel") if v == 16 else None)
    x = g.array([1, 1, 2, 2])
    idx = np.sort(g.r.permutation(16)[:4]).reshape(1, 1, 2, 2).astype(np.int64)
    return case(op, g.pick(9, 11), [x, idx], kernel_shape=[2, 2], strides=[2, 2])


@family
def rnn(g):
    op = g.pick("RNN", "GRU", "LSTM")
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    way = g.pick("forward", "reverse", "bidirectional")
    d = 2 if way == "bidirectional" else 1
    t, b, i, h = g.int(1, 4), g.int(1, 3), g.int(1, 3), g.int(1, 4)
    x = [g.array([t, b, i], F, -1, 1), Const(g.array([d, gates * h, i], F, -1, 1)), Const(g.array([d, gates * h, h], F, -1, 1))]
    x.append(Const(g.array([d, 2 * gates * h], F, -1, 1)) if g.some() else None)
    x.append(g.array([b], np.int32, 1, t) if g.some(0.4) else None)
    x.append(g.array([d, b, h], F, -1, 1) if g.some() else None)
    if op == "LSTM":
        x.append(g.array([d, b, h], F, -1, 1) if g.some() else None)
        x.append(Const(g.array([d, 3 * h], F, -1, 1)) if g.some(0.3) else None)
    acts = {"RNN": 1, "GRU": 2, "LSTM": 3}[op] * d
    names = None
    if g.some(0.4):
        names = [g.pick("Tanh", "Sigmoid", "Relu", "Softsign", "Softplus") for _ in range(acts)]
    a = {"hidden_size": h, "direction": way if way != "forward" or g.some() else None, "activations": names, "clip": g.pick(None, None, 0.5) if op != "LSTM" else None}
    if op == "GRU":
        a["linear_before_reset"] = g.pick(None, 0, 1)
    if op == "LSTM":
        a["input_forget"] = g.pick(None, 0, 1)
    while x and x[-1] is None:
        x.pop()
    return case(op, g.pick(7, 14), x, 3 if op == "LSTM" else 2, **a)


@family
def quant(g):
    op = g.pick("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearMatMul", "MatMulInteger", "QLinearConv", "ConvInteger")
    q = g.pick(np.int8, np.uint8)
    if op == "DynamicQuantizeLinear":
        return case(op, 11, [g.array(g.shape(1, 3))], 3)
    if op in ("QuantizeLinear", "DequantizeLinear"):
        v = g.pick(10, 13, 19, 21)
        x = g.array(g.shape(1, 4, 4, 0))
        t = g.pick(np.int8, np.uint8) if v < 21 else g.pick(np.int8, np.uint8, np.int16, np.uint16)
        axis = g.pick(None, g.int(0, x.ndim - 1)) if v >= 13 else None
        s = [] if axis is None else [x.shape[axis]]
        a = {"axis": axis}
        if v == 21 and axis is not None and g.some():
            a["block_size"] = 2
            s = list(x.shape)
            s[axis] = -(-s[axis] // 2)
        sc, zp = Const(g.array(s, F, 0.05, 0.3)), Const(g.array(s, t, 0, 5))
        if op == "QuantizeLinear":
            return case(op, v, [x, sc] + ([zp] if t != np.uint8 or g.some() else []), **a)
        if g.some(0.2) and "block_size" not in a:
            return case(op, v, [g.array(x.shape, np.int32), sc], **a)
        return case(op, v, [g.array(x.shape, t), sc, zp][:g.pick(2, 3, 3)], **a)
    if op in ("QLinearMatMul", "MatMulInteger"):
        m, k, n = g.int(1, 4), g.int(1, 5), g.int(1, 4)
        a, b = g.array([m, k], q), g.array([k, n], q if op == "QLinearMatMul" else g.pick(np.int8, np.uint8))
        if op == "MatMulInteger":
            return case(op, 10, [a, b] + g.pick([], [Const(np.array(3, a.dtype))], [Const(np.array(3, a.dtype)), Const(np.array(2, b.dtype))]))
        return case(op, 10, [a, Const(np.array(.1, F)), Const(np.array(1, q)), b, Const(np.array(.05, F)), Const(np.array(2, q)), Const(np.array(.2, F)), Const(np.array(3, q))])
    x, w = g.array([1, 4, 5, 5], np.uint8), g.array([4, 2, 3, 3], np.uint8)
    a = window(g, [5, 5])
    a["kernel_shape"] = [3, 3]
    if "pads" in a:
        a["pads"] = [g.int(0, 2) for _ in range(4)]
    if op == "ConvInteger":
        return case(op, 10, [x, w] + g.pick([], [Const(np.array(3, np.uint8))], [Const(np.array(3, np.uint8)), Const(np.array(4, np.uint8))]), group=2, **a)
    return case(op, 10, [x, Const(np.array(.1, F)), Const(np.array(3, np.uint8)), Const(w.astype(np.int8)), Const(g.array([4], F, .01, .1)), Const(np.zeros(4, np.int8)),
                         Const(np.array(.3, F)), Const(np.array(100, np.uint8))] + ([Const(g.array([4], np.int32))] if g.some() else []), group=2, **a)


@family
def signal(g):
    op = g.pick("HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix", "DFT", "STFT")
    if op.endswith("Window"):
        return case(op, 17, [Const(np.array(g.int(1, 12), np.int64))], periodic=g.pick(None, 0, 1), output_datatype=g.pick(None, 1, 11))
    if op == "MelWeightMatrix":
        return case(op, 17, [Const(np.array(v, t)) for v, t in ((8, np.int64), (16, np.int64), (8192, np.int64), (g.pick(0.0, 300.0), F), (4000.0, F))])
    if op == "DFT":
        v = g.pick(17, 20)
        inv, one = g.pick(None, 0, 1), g.pick(None, 0, 1)
        if inv:
            one = None
        x = g.array([g.int(1, 2), g.int(2, 9), g.int(1, 4), 1 if one or (not inv and g.some()) else 2])
        axis = g.pick(1, 2)
        n = g.pick([], [Const(np.array(g.int(1, 10), np.int64))])
        if v == 20:
            return case(op, v, [x] + (n or [None]) + [Const(np.array(axis if g.some() else axis - 4, np.int64))], inverse=inv, onesided=one)
        return case(op, v, [x] + n, axis=axis, inverse=inv, onesided=one)
    n = g.int(4, 8)
    x = g.array([g.int(1, 2), 20, 1])
    w = Const(g.array([n], F, 0.1, 1))
    return case(op, 17, [x, Const(np.array(g.int(1, 4), np.int64)), w if g.some() else None, Const(np.array(n, np.int64))], onesided=g.pick(None, 0, 1))


@family
def loss(g):
    op = g.pick("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")
    s = [g.int(1, 3), g.int(2, 5)] + g.shape(0, 2, 3, 0)
    x = g.array(s)
    y = g.array(s[:1] + s[2:], g.pick(np.int32, np.int64), 0, s[1] - 1)
    a = {"reduction": g.pick(None, "none", "mean", "sum")}
    if g.some(0.4):
        a["ignore_index"] = g.pick(0, 1, s[1] - 1)
    ins = [x, y] + ([g.array([s[1]], F, 0.1, 1)] if g.some() else [])
    return case(op, g.pick(12, 13), ins, g.pick(1, 2) if op[0] == "S" else 1, **a)


@family
def function(g):
    """Operators that the runtime does not have: their written form holds the body."""
    op = g.pick("Attention", "Attention", "Attention", "RotaryEmbedding", "TensorScatter", "Swish", "GroupNormalization", "RMSNormalization", "Mish")
    if op == "Attention":
        b, kv, each, q, k, d, dv = g.int(1, 2), g.int(1, 2), g.int(1, 3), g.int(1, 4), g.int(1, 5), g.int(1, 4), g.int(1, 4)
        h, flat, past = kv * each, g.some(0.4), g.int(0, 2)
        a = {"is_causal": g.pick(None, 0, 1), "scale": g.pick(None, 0.3), "softcap": g.pick(None, 2.0), "qk_matmul_output_mode": g.pick(None, 0, 1, 2, 3)}
        if flat:
            x = [g.array([b, q, h * d]), g.array([b, k, kv * d]), g.array([b, k, kv * dv])]
            a.update(q_num_heads=h, kv_num_heads=kv)
        else:
            x = [g.array([b, h, q, d]), g.array([b, kv, k, d]), g.array([b, kv, k, dv])]
        total, v = k + past, g.pick(23, 24)
        m = None
        if g.some():
            s = [b, h, q, total]
            s = [n if i > 1 or g.some(0.6) else 1 for i, n in enumerate(s)][g.int(0, 2):]
            if v == 24 and total > 2 and g.some(0.3):
                s[-1] = total - 1
            m = g.array(s, F) if g.some() else np.logical_or(g.array(s, B), np.arange(s[-1]) == 0)
        x.append(m)
        x += [g.array([b, kv, past, d]), g.array([b, kv, past, dv])] if past else [None, None]
        x.append(g.array([b], np.int64, 1, total) if v == 24 and not past and g.some(0.3) else None)
        while x[-1] is None:
            x.pop()
        return case(op, v, x, g.pick(1, 3, 4), **a)
    if op == "RotaryEmbedding":
        b, h, s, d = g.int(1, 2), g.int(1, 3), g.int(1, 4), 2 * g.int(1, 4)
        rot = g.pick(None, 0, 2 * g.int(1, d // 2))
        half = (rot or d) // 2
        flat = g.some()
        x = [g.array([b, s, h * d]) if flat else g.array([b, h, s, d])]
        if g.some():
            x += [g.array([6, half]), g.array([6, half]), g.array([b, s], np.int64, 0, 5)]
        else:
            x += [g.array([b, s, half]), g.array([b, s, half])]
        return case(op, 23, x, interleaved=g.pick(None, 0, 1), num_heads=h if flat else None, rotary_embedding_dim=rot)
    if op == "TensorScatter":
        s = [g.int(1, 3), g.int(1, 3), g.int(3, 6), g.int(1, 3)]
        axis = g.pick(None, 1, 2, 3, -1)
        at = 2 if axis is None else axis % 4
        u = list(s)
        u[at] = g.int(1, s[at])
        mode = g.pick(None, "linear", "circular")
        x = [g.array(s), g.array(u)]
        if g.some(0.7):
            x.append(g.array([s[0]], np.int64, 0, s[at] - 1 if mode == "circular" else s[at] - u[at]))
        return case(op, 24, x, axis=axis, mode=mode)
    x = g.array([g.int(1, 3), g.pick(2, 4, 6)] + [g.int(1, 4) for _ in range(g.int(1, 3))])
    if op == "Swish":
        return case(op, 24, [x], alpha=g.pick(None, 0.5))
    if op == "Mish":
        return case(op, 18, [x])
    if op == "RMSNormalization":
        axis = g.pick(None, g.int(-x.ndim, x.ndim - 1))
        return case(op, 23, [x, g.array(x.shape[-1 if axis is None else axis:])], axis=axis, epsilon=g.pick(None, 1e-3))
    k, v = g.pick(1, 2, x.shape[1]), g.pick(18, 21)
    return case(op, v, [x] + [Const(g.array([k if v == 18 else x.shape[1]])) for _ in range(2)], num_groups=k, epsilon=g.pick(None, 1e-3))


# ---- running ----

def proto_type(a):
    return onnx.mapping.NP_TYPE_TO_TENSOR_TYPE[a.dtype] if not hasattr(helper, "np_dtype_to_tensor_dtype") else helper.np_dtype_to_tensor_dtype(a.dtype)


ORT_NAMES = {"float16": "float16", "float32": "float32", "float64": "float64", "bool": "bool"}


def build(c, folder, i):
    op, version, inputs, nout, attrs = c
    names, infos, inits, feeds = [], [], [], []
    for k, a in enumerate(inputs):
        if a is None:
            names.append("")
            continue
        names.append(f"x{k}")
        if isinstance(a, Const):
            inits.append(numpy_helper.from_array(np.ascontiguousarray(a.a) if a.a.ndim else a.a, names[-1]))
            continue
        a = np.asarray(a)
        infos.append(helper.make_tensor_value_info(names[-1], proto_type(a), list(a.shape)))
        file = f"{folder}/{i}.in{len(feeds)}"
        a.tofile(file)
        np.save(file + ".npy", a)
        feeds.append({"name": names[-1], "type": str(a.dtype), "dims": list(a.shape), "file": file})
    outs = [f"y{k}" for k in range(nout)]
    node = helper.make_node(op, names, outs, **attrs)
    graph = helper.make_graph([node], "g", infos, [helper.make_empty_tensor_value_info(o) for o in outs], inits)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8 if version < 19 else 9 if version < 21 else 10)
    path = f"{folder}/{i}.onnx"
    with open(path, "wb") as f:
        f.write(model.SerializeToString())
    return {"model": path, "inputs": feeds, "out": f"{folder}/{i}.want"}


def run_ort(jobs, file):
    """Output lists or errors, in the order of the jobs."""
    with open(file, "w") as f:
        json.dump(jobs, f)
    subprocess.run(["node", f"{HERE}/ort-batch.mjs", file], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(file + ".done") as f:
        return json.load(f)


def tell(c):
    op, v, inputs, nout, attrs = c
    ins = ", ".join("-" if a is None else ("const " if isinstance(a, Const) else "") + (lambda q: f"{q.dtype}{list(q.shape)}" +
                    (f"={q.tolist()}" if isinstance(a, Const) and q.size < 9 else ""))(np.asarray(a.a if isinstance(a, Const) else a)) for a in inputs)
    return f"{op}-{v}({ins}) -> {nout} {({k: x for k, x in attrs.items() if not hasattr(x, 'dims')})}"


def differ(got, want, t):
    if want.dtype in (H, D):
        want = want.astype(F)
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"is {got.dtype}{list(got.shape)}, expected {want.dtype}{list(want.shape)}"
    if got.dtype.kind != "f":
        return None if np.array_equal(got, want) else f"is {got.reshape(-1)[:8]}, expected {want.reshape(-1)[:8]}"
    rtol, atol = (4e-3, 2e-3) if t == "float16" else (1e-3, 1e-5)
    with np.errstate(all="ignore"):
        ok = (got == want) | (np.isnan(got) & np.isnan(want)) | (np.abs(got - want) <= atol + rtol * np.abs(want))
    if ok.all():
        return None
    at = int(np.argmax(~ok.reshape(-1)))
    return f"element {at} is {got.reshape(-1)[at]}, expected {want.reshape(-1)[at]}; {int((~ok).sum())} of {ok.size} differ"


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("hbcc")
    ap.add_argument("-n", type=int, default=400)
    ap.add_argument("-s", type=int, default=1)
    ap.add_argument("-k", action="store_true", help="tell also which cases only one side takes")
    ap.add_argument("families", nargs="*")
    o = ap.parse_intermixed_args()
    if not os.environ.get("ORT_DIR"):
        print("against_ort.py: ORT_DIR is not set", file=sys.stderr)
        return 77
    names = o.families or sorted(FAMILIES)
    counts = {"equal": 0, "alone": 0, "refused": 0, "failed": 0, "both": 0}
    with tempfile.TemporaryDirectory() as folder:
        cases = []
        for i in range(o.n):
            g = Gen([o.s, i])
            cases.append(FAMILIES[names[i % len(names)]](g))
        jobs = [build(c, folder, i) for i, c in enumerate(cases)]
        done = run_ort(jobs, f"{folder}/list")
        again = [i for i, d in enumerate(done) if "error" in d]
        for i in again:         # what the runtime does not take may run as hbcc writes it
            w = f"{folder}/{i}.written.onnx"
            r = subprocess.run([os.path.abspath(o.hbcc), "compile", jobs[i]["model"], "--emit", "onnx", "-o", w], capture_output=True)
            jobs[i]["model"] = w if not r.returncode else jobs[i]["model"]
            types = {"float16": F, "float64": F}
            for x in jobs[i]["inputs"]:
                if x["type"] in types and not r.returncode:
                    np.load(x["file"] + ".npy").astype(F).tofile(x["file"])
                    x["type"] = "float32"
        originals = [dict(j) for j in jobs]
        for i, d in zip(again, run_ort([jobs[i] for i in again], f"{folder}/list2")):
            done[i] = d
            originals[i]["model"] = f"{folder}/{i}.onnx"
        for i, (c, job, ref) in enumerate(zip(cases, originals, done)):
            args = [os.path.abspath(o.hbcc), "run", job["model"], "--output", f"{folder}/{i}.got"]
            for x in job["inputs"]:
                args += ["--input", f"{x['name']}={x['file']}.npy"]
            r = subprocess.run(args, capture_output=True, text=True)
            if r.returncode or "error" in ref:
                if r.returncode < 0 or r.returncode > 4:
                    counts["failed"] += 1
                    print(f"CRASH {r.returncode} {i} {tell(c)}: {r.stderr[-300:]}")
                elif r.returncode and "error" in ref:
                    counts["both"] += 1
                elif r.returncode:
                    counts["refused"] += 1
                    print(f"REFUSED {i} {tell(c)}: {r.stderr.strip().splitlines()[-1]}")
                else:
                    counts["alone"] += 1
                    if o.k:
                        print(f"alone {i} {tell(c)}: {ref['error'][-160:]}")
                if o.k and r.returncode and "error" in ref:
                    print(f"both {i} {tell(c)}: {r.stderr.strip().splitlines()[-1:]} / {ref['error'][-160:]}")
                continue
            why = None
            for k, out in enumerate(ref["outputs"]):
                want = np.fromfile(f"{job['out']}.{k}", dtype=np.dtype(out["type"])).reshape(out["dims"])
                why = why or differ(np.load(f"{folder}/{i}.got/out_{k}.npy"), want, "float16" if any(x["type"] == "float16" for x in job["inputs"]) else out["type"])
            counts["failed" if why else "equal"] += 1
            if why:
                print(f"FAILED {i} {tell(c)}: {why}")
    print(", ".join(f"{v} {k}" for k, v in counts.items()))
    return int(counts["failed"] > 0 or counts["refused"] > 0)


if __name__ == "__main__":
    sys.exit(main())
