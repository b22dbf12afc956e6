#!/usr/bin/env python3
"""Writes the small models and samples that the command-line tests take: python3 make-models.py (needs numpy, onnx)."""
import io
import os
import zipfile

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")
F = TensorProto.FLOAT
rng = np.random.default_rng(3)


def weights(name, *shape):
    return numpy_helper.from_array(rng.normal(0, 0.4, shape).astype(np.float32), name)


def value(name, *shape, dtype=F):
    return helper.make_tensor_value_info(name, dtype, list(shape))


def model(file, nodes, inputs, outputs, consts=(), opset=13, domain=None):
    graph = helper.make_graph(nodes, file, inputs, outputs, list(consts))
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    m = helper.make_model(graph, producer_name="make-models", opset_imports=opsets, ir_version=7)
    checker.check_model(m)
    save(m, os.path.join(HERE, file + ".onnx"))


def npy(name, a):
    np.save(os.path.join(HERE, name), a)


N = helper.make_node

# Convolution, residual addition, pooling, a fully connected end.
model("tiny", [
    N("Conv", ["x", "w0", "b0"], ["c0"], "conv0", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
    N("Relu", ["c0"], ["r0"], "relu0"),
    N("Conv", ["r0", "w1"], ["c1"], "conv1", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
    N("Add", ["c1", "r0"], ["a1"], "add1"),
    N("Relu", ["a1"], ["r1"], "relu1"),
    N("MaxPool", ["r1"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
    N("Flatten", ["p"], ["f"], "flat"),
    N("Gemm", ["f", "wf", "bf"], ["y"], "fc", transB=1),
], [value("x", 1, 3, 8, 8)], [value("y", 1, 5)],
    [weights("w0", 8, 3, 3, 3), weights("b0", 8), weights("w1", 8, 8, 3, 3), weights("wf", 5, 128), weights("bf", 5)])

# Something that no march puts on the BPU between two convolutions; names that need care.
model("mixed", [
    N("Conv", ["x", "w"], ["c"], "a/conv", kernel_shape=[1, 1]),
    N("Identity", ["c"], ["d"], "a:conv"),
    N("CumSum", ["d", "axis"], ["e"], "cumsum"),
    N("Conv", ["e", "w2"], ["y"], "", kernel_shape=[1, 1]),
], [value("x", 1, 4, 4, 4)], [value("y", 1, 4, 4, 4)],
    [weights("w", 4, 4, 1, 1), weights("w2", 4, 4, 1, 1), numpy_helper.from_array(np.array(3, np.int64), "axis")])

# A kernel that every march finds too large.
model("large-kernel", [N("Conv", ["x", "w"], ["y"], "big", kernel_shape=[33, 33])],
      [value("x", 1, 1, 40, 40)], [value("y", 1, 1, 8, 8)], [weights("w", 1, 1, 33, 33)])

# Symbolic dimensions, two inputs, an integer output.
model("symbolic", [N("Add", ["a", "b"], ["s"], "add"), N("ArgMax", ["s"], ["y"], "best", axis=1, keepdims=0)],
      [value("a", "batch", "width"), value("b", "batch", "width")], [value("y", "batch", dtype=TensorProto.INT64)])

# Nothing for the BPU.
model("no-bpu", [N("CumSum", ["x", "axis"], ["y"], "cumsum")], [value("x", 2, 2)], [value("y", 2, 2)],
      [numpy_helper.from_array(np.array(1, np.int64), "axis")])

# A cycle.
g = helper.make_graph([N("Relu", ["b"], ["a"], "one"), N("Relu", ["a"], ["b"], "two")], "cycle", [value("x", 1)], [value("b", 1)])
save(helper.make_model(g, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), os.path.join(HERE, "cycle.onnx"))

npy("x.npy", rng.uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32))
npy("x4.npy", rng.uniform(-1, 1, (4, 3, 8, 8)).astype(np.float32))
npy("x-f64.npy", rng.uniform(-1, 1, (1, 3, 8, 8)))
npy("x-fortran.npy", np.asfortranarray(rng.uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)))
npy("wrong-shape.npy", np.zeros((1, 3, 8, 7), np.float32))
npy("wrong-type.npy", np.zeros((1, 3, 8, 8), np.int64))
npy("m.npy", rng.uniform(-1, 1, (1, 4, 4, 4)).astype(np.float32))
a, b = (rng.uniform(-1, 1, (2, 6)).astype(np.float32) for _ in range(2))
npy("a.npy", a)
npy("b.npy", b)


def npz(name, method, **arrays):
    """As np.savez, with a fixed time in it."""
    with zipfile.ZipFile(os.path.join(HERE, name), "w", method) as z:
        for k, v in arrays.items():
            buf = io.BytesIO()
            np.save(buf, v)
            z.writestr(zipfile.ZipInfo(k + ".npy", (2000, 1, 1, 0, 0, 0)), buf.getvalue(), method)


npz("ab.npz", zipfile.ZIP_DEFLATED, a=a, b=b)
npz("x.npz", zipfile.ZIP_STORED, x=rng.uniform(-1, 1, (2, 3, 8, 8)).astype(np.float32))
with open(os.path.join(HERE, "x.pb"), "wb") as f:
    f.write(numpy_helper.from_array(rng.uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32), "x").SerializeToString())

# Outputs of every origin: the BPU's that a CPU node reads too, an input, a constant, a shape that is folded.
model("outputs", [
    N("Conv", ["x", "w"], ["c"], "conv"),
    N("CumSum", ["c", "axis"], ["s"], "cumsum"),
    N("Shape", ["c"], ["shape"], "shape"),
], [value("x", 1, 4, 4, 4)], [value("c", 1, 4, 4, 4), value("s", 1, 4, 4, 4), value("x", 1, 4, 4, 4), value("w", 4, 4, 1, 1),
                              value("shape", 4, dtype=TensorProto.INT64)],
    [weights("w", 4, 4, 1, 1), numpy_helper.from_array(np.array(3, np.int64), "axis")])

# A division whose int16 form takes an int8 divisor.
model("divide", [N("Sigmoid", ["a"], ["s"], "sigmoid"), N("Exp", ["b"], ["e"], "exp"), N("Div", ["s", "e"], ["y"], "div")],
      [value("a", 2, 6), value("b", 2, 6)], [value("y", 2, 6)])

# Nodes whose place is on the BPU by the lists, without a fixed-point form: weights that are computed, three dimensions.
model("no-form", [
    N("Conv", ["x", "w"], ["c"], "computed"),
    N("Relu", ["c"], ["r"], "relu"),
    N("Conv", ["r", "w1"], ["y"], "plain"),
    N("Conv", ["v", "w3"], ["z"], "volume"),
], [value("x", 1, 4, 4, 4), value("w", 4, 4, 1, 1), value("v", 1, 2, 3, 4, 4)], [value("y", 1, 4, 4, 4), value("z", 1, 2, 3, 4, 4)],
    [weights("w1", 4, 4, 1, 1), weights("w3", 2, 2, 1, 1, 1)])

# What the BPU loses reaches the next measured node through two that only move it.
model("relay", [
    N("Conv", ["x", "w"], ["c"], "conv"),
    N("CumSum", ["c", "axis"], ["s"], "sum"),
    N("Transpose", ["s"], ["t"], "turn", perm=[0, 1, 3, 2]),
    N("Reshape", ["t", "shape"], ["r"], "reshape"),
    N("CumSum", ["r", "axis"], ["y"], "last"),
], [value("x", 1, 4, 4, 4)], [value("y", 1, 1, 8, 8)],
    [weights("w", 4, 4, 1, 1), numpy_helper.from_array(np.array(3, np.int64), "axis"),
     numpy_helper.from_array(np.array([1, 1, 8, 8], np.int64), "shape")])

# More outputs than a model for the BPU may have.
model("many-outputs", [
    N("Conv", ["x", "w"], ["c"], "conv"),
    N("Split", ["c"], [f"y{i}" for i in range(33)], "split", axis=1),
], [value("x", 1, 3, 2, 2)], [value(f"y{i}", 1, 1, 2, 2) for i in range(33)], [weights("w", 33, 3, 1, 1)])

# Operators of the domain horizon: a camera's picture, two maps and their correlation, regions of it, sampled on a grid, detections on the CPU.
H = {"domain": "horizon"}
crng = np.random.default_rng(11)


def more(name, *shape, scale=0.3):
    return numpy_helper.from_array(crng.normal(0, scale, shape).astype(np.float32), name)


model("horizon", [
    N("centered_yuv2rgb", ["x"], ["rgb"], "rgb", **H),
    N("Conv", ["rgb", "w0"], ["a"], "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    N("Conv", ["rgb", "w1"], ["b"], "b", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    N("Correlation", ["a", "b"], ["c"], "correlation", max_displacement=2, pad_size=2, **H),
    N("MultiScaleRoIAlign", ["c", "boxes"], ["r"], "regions", output_size=[3, 3], sampling_ratio=2, scales=[1.0], **H),
    N("GridSample", ["c", "grid"], ["g"], "grid", align_corners=1),
    N("Conv", ["r", "w2"], ["s"], "scores", kernel_shape=[3, 3]),
    N("Conv", ["r", "w3"], ["d"], "deltas", kernel_shape=[3, 3]),
    N("RcnnPostProcess", ["boxes", "s", "d"], ["found"], "post", num_classes=2, post_nms_top_k=4, image_size=[16, 16], nms_threshold=0.5, **H),
], [value("x", 1, 3, 16, 16), value("boxes", 6, 4), value("grid", 1, 8, 8, 2)], [value("found", 1, 4, 6), value("g", 1, 25, 8, 8)],
    [more("w0", 8, 3, 3, 3), more("w1", 8, 3, 3, 3), more("w2", 3, 25, 3, 3), more("w3", 12, 25, 3, 3, scale=0.05)], opset=16, domain="horizon")
# What the convolution adds and the normalization takes off again is more than float can hold beside the rest: folding is not the same.
model("cancel", [
    N("Conv", ["x", "w", "b"], ["c"], "conv", kernel_shape=[1, 1]),
    N("BatchNormalization", ["c", "s", "z", "mean", "var"], ["n"], "norm"),
    N("Relu", ["n"], ["y"], "relu"),
], [value("x", 1, 4, 8, 8)], [value("y", 1, 4, 8, 8)],
    [numpy_helper.from_array(np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1), "w")]
    + [numpy_helper.from_array(np.full(4, a, np.float32), k) for k, a in (("b", 1e6), ("s", 1), ("z", 0), ("mean", 1e6), ("var", 1))])
corner = crng.uniform(0, 10, (6, 2))
inputs = {
    "x": np.rint(crng.uniform(-112, 107, (1, 3, 16, 16))).astype(np.float32),
    "boxes": np.concatenate([corner, corner + crng.uniform(2, 6, (6, 2))], 1).astype(np.float32),
    "grid": crng.uniform(-1.1, 1.1, (1, 8, 8, 2)).astype(np.float32),
}
npz("horizon.npz", zipfile.ZIP_DEFLATED, **inputs)
for name, a in inputs.items():
    npy(f"horizon-{name}.npy", a)

# A layer for each cause of loss that verify names, and one that has none.
grng = np.random.default_rng(5)
mix = np.linalg.qr(grng.normal(0, 1, (8, 8)))[0].astype(np.float32)


def rows(name, *factors):
    return numpy_helper.from_array((mix * np.array(factors, np.float32)[:, None]).reshape(8, 8, 1, 1), name)


model("causes", [
    N("Conv", ["x", "w0"], ["plain"], "plain"),
    N("Conv", ["plain", "w1"], ["dead"], "dead"),
    N("Conv", ["plain", "w2"], ["unequal"], "unequal"),
    N("Conv", ["plain", "w3"], ["small"], "small"),
    N("Concat", ["plain", "small"], ["cat"], "cat", axis=1),
    N("Concat", ["plain", "unequal"], ["even"], "even", axis=1),
    N("Conv", ["z", "w4"], ["far"], "<b>&\"far\""),
], [value("x", 1, 8, 8, 8), value("z", 1, 1, 40, 40)],
    [value(k, 1, 8, 8, 8) for k in ("dead", "unequal")] + [value(k, 1, 16, 8, 8) for k in ("cat", "even")] + [value("far", 1, 1, 40, 40)],
    [rows("w0", *[1] * 8), rows("w1", 0, 0, 1e-4, *[1] * 5), rows("w2", *[1] * 5, *[0.05] * 3), rows("w3", *[0.01] * 8),
     numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w4")])
z = np.rint(grng.normal(0, 16, (1, 1, 40, 40))) / 16
z[0, 0, 20, 20] = 100
npz("causes.npz", zipfile.ZIP_DEFLATED, x=(np.rint(grng.uniform(-64, 64, (1, 8, 8, 8))) / 64).astype(np.float32), z=z.astype(np.float32))

# For tiny: beyond the range that x4 gives, within a part of it, and no number.
x = grng.uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)
npy("x-wide.npy", x * 4)
npy("x-narrow.npy", x / 8)
x[0, 1, 2, 3] = np.nan
npy("x-nan.npy", x)

# Only indices come out; the first two channels are one to eight bits.
first = np.eye(4, dtype=np.float32)
first[1] = first[0] * 1.001
model("indices", [N("Conv", ["x", "w"], ["c"], "conv"), N("ArgMax", ["c"], ["y"], "best", axis=1)],
      [value("x", 1, 4, 4, 4)], [value("y", 1, 1, 4, 4, dtype=TensorProto.INT64)],
      [numpy_helper.from_array(first.reshape(4, 4, 1, 1), "w")])

# A spectrum, real and imaginary part: magnitudes, a quiet upper half that is summed into bands, a transposed convolution in groups.
srng = np.random.default_rng(19)


def still(name, *shape, scale=0.4):
    return numpy_helper.from_array(srng.normal(0, scale, shape).astype(np.float32), name)


def index(name, *v):
    return numpy_helper.from_array(np.array(v, np.int64), name)


model("spectrum", [
    N("Slice", ["x", "0", "1", "1"], ["re"], "re"),
    N("Slice", ["x", "1", "2", "1"], ["im"], "im"),
    N("Pow", ["re", "two"], ["re2"], "re2"),
    N("Mul", ["im", "im"], ["im2"], "im2"),
    N("Add", ["re2", "im2"], ["power"], "power"),
    N("Add", ["power", "eps"], ["more"], "more"),
    N("Sqrt", ["more"], ["mag"], "mag"),
    N("Concat", ["mag", "re", "im"], ["feat"], "feat", axis=1),
    N("Slice", ["feat", "0", "8", "3"], ["low"], "low"),
    N("Slice", ["feat", "8", "16", "3"], ["high"], "high"),
    N("MatMul", ["high", "bank"], ["band"], "band"),
    N("Concat", ["low", "band"], ["all"], "all", axis=3),
    N("Conv", ["all", "w"], ["c"], "conv", kernel_shape=[1, 1]),
    N("PRelu", ["c", "slope"], ["p"], "prelu"),
    N("ConvTranspose", ["p", "wt"], ["y"], "up", kernel_shape=[2, 2], strides=[2, 2], group=2),
], [value("x", 1, 2, 4, 16)], [value("y", 1, 6, 8, 24)],
    [index(str(i), i) for i in (0, 1, 2, 3, 8, 16)]
    + [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in (("two", 2), ("eps", 1e-12))]
    + [still("bank", 8, 4), still("w", 4, 3, 1, 1), numpy_helper.from_array(np.array([[[0.1]]], np.float32), "slope"), still("wt", 4, 3, 2, 2)])
loud = np.where(np.arange(16) < 8, 10, 0.2)
npy("spectrum.npy", (srng.normal(0, 1, (6, 2, 4, 16)) * loud).astype(np.float32))
