#!/usr/bin/env python3
"""ptq.py HBCC [MODEL...] [-- OPTION...]: int8 of real models, against torch's own quantization of the same network.

Each model of HBCC_SHARED is built of torch's modules from its ONNX file; that its float outputs equal the reference's is
checked first. Then FX quantization after training for onednn: HistogramObserver, asymmetric uint8 activations, int8 weights a
channel; what torch has no kernel for stays float there. hbcc compiles the ONNX file for bayes by its defaults (or with
OPTION...). Both are calibrated on the same samples and measured on the ones left out, each in turn, by centred SQNR: the mean
over the samples is taken off the float outputs before their energy is held against the error's.
Torch counts by the better of two: with its observer as it is, and without the cut that loses what lies beyond whole numbers.
A line an output; exits 1 where hbcc is below torch by more than LOSSES says, 77 without torch.
"""
import copy
import inspect
import os
import re
import subprocess
import sys
import tempfile
import warnings
from glob import glob

try:
    import numpy as np
    import onnx
    import torch
    import torch.nn.functional as F
    from onnx import numpy_helper
    from torch import nn
    from torch.ao import quantization as tq
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
except ImportError as e:
    print(f"ptq.py: {e}", file=sys.stderr)
    sys.exit(77)
SHARED = os.environ.get("HBCC_SHARED", os.path.join(os.path.dirname(__file__), "../../../shared"))
ENGINE = "onednn"
MODELS = ["mnist-cnn", "superres-espcn", "audio-yamnet", "face-rfb320", "segment-prisma", "detect-yolox-nano", "transformer-cct",
          "classify-shapes"]

# Outputs of which hbcc may keep less than torch, by how many dB: faces' scores hang on the clips that five samples give, and
# torch has another bit behind each ReLU.
LOSSES = {("face-rfb320", 0): 1}


# ONNX to torch: a function of a node's attributes and values gives a module or a function, and which inputs it is called with.

def even(pads, weight):
    """Padding that is the same on both sides, and the kernel with the zeros that make up for it."""
    n = len(pads) // 2
    p = [max(pads[i], pads[i + n]) for i in range(n)]
    zeros = [z for i in reversed(range(n)) for z in (p[i] - pads[i], p[i] - pads[i + n])]
    return p, F.pad(weight, zeros)


def pads_of(a, kernel):
    if a.get("auto_pad", b"NOTSET") in (b"NOTSET", b""):
        return a.get("pads", [0] * 2 * len(kernel))
    assert a["auto_pad"] == b"SAME_UPPER" and set(a.get("strides", [1])) == {1}
    total = [k - 1 for k in kernel]
    return [t // 2 for t in total] + [t - t // 2 for t in total]


def conv(a, v, transposed=False):
    weight, bias = v[1], v[2] if len(v) > 2 else None
    n = weight.dim() - 2
    assert n == 2
    pads, weight = even(pads_of(a, weight.shape[2:]), weight)
    group = a.get("group", 1)
    args = dict(stride=tuple(a.get("strides", [1] * n)), padding=tuple(pads), dilation=tuple(a.get("dilations", [1] * n)), groups=group,
                bias=bias is not None)
    if transposed:
        m = nn.ConvTranspose2d(weight.shape[0], weight.shape[1] * group, tuple(weight.shape[2:]), **args)
    else:
        m = nn.Conv2d(weight.shape[1] * group, weight.shape[0], tuple(weight.shape[2:]), **args)
    m.weight.data = weight
    if bias is not None:
        m.bias.data = bias
    return m, [0]


def linear(weight, bias):
    m = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    m.weight.data = weight.contiguous()
    if bias is not None:
        m.bias.data = bias.reshape(-1)
    return m, [0]


def gemm(a, v):
    assert a.get("alpha", 1) == 1 and a.get("beta", 1) == 1 and not a.get("transA", 0)
    return linear(v[1] if a.get("transB", 0) else v[1].T, v[2])


def batch_norm(a, v):
    m = nn.BatchNorm2d(v[1].numel(), eps=a.get("epsilon", 1e-5))
    for name, value in zip(("weight", "bias", "running_mean", "running_var"), v[1:]):
        getattr(m, name).data = value
    return m, [0]


def layer_norm(a, v):
    assert a.get("axis", -1) == -1
    m = nn.LayerNorm(v[1].numel(), eps=a.get("epsilon", 1e-5))
    m.weight.data, m.bias.data = v[1], v[2]
    return m, [0]


def clip(a, v):
    low, high = ([float(t) for t in v[1:]] if len(v) > 1 else (a["min"], a["max"]))
    return (nn.ReLU6() if (low, high) == (0, 6) else nn.Hardtanh(low, high)), [0]


def max_pool(a, v):
    pads = pads_of(a, a["kernel_shape"])
    assert pads[:2] == pads[2:]
    return nn.MaxPool2d(tuple(a["kernel_shape"]), tuple(a.get("strides", [1, 1])), tuple(pads[:2]), ceil_mode=bool(a.get("ceil_mode", 0))), [0]


def reshape(a, v):
    shape = [v[0].shape[i] if n == 0 else int(n) for i, n in enumerate(v[1])]
    return (lambda x: x.reshape(shape)), [0]


def cut(a, v):
    starts, ends, axes, steps = [list(map(int, t)) for t in v[1:]] + [None] * (5 - len(v)) if len(v) > 1 else (a["starts"], a["ends"], a.get("axes"), None)
    index = [slice(None)] * v[0].dim()
    for i, axis in enumerate(axes or range(len(starts))):
        index[axis] = slice(starts[i], min(ends[i], v[0].shape[axis]), steps[i] if steps else 1)
    return (lambda x: x[tuple(index)]), [0]


def unsqueeze(a, v):
    axes = a.get("axes") or v[1].tolist()

    def f(x):
        for axis in axes:
            x = x.unsqueeze(axis)
        return x
    return f, [0]


def squeeze(a, v):
    axes = a.get("axes") or v[1].tolist()

    def f(x):
        for axis in sorted(axes, reverse=True):
            x = x.squeeze(axis)
        return x
    return f, [0]


def resize(a, v):
    assert a["mode"] == b"nearest" and a["nearest_mode"] == b"floor" and a["coordinate_transformation_mode"] == b"asymmetric"
    scale = tuple(v[2][2:].tolist())
    return nn.Upsample(scale_factor=scale, mode="nearest"), [0]


OPS = {
    "Conv": conv, "ConvTranspose": lambda a, v: conv(a, v, True), "Gemm": gemm, "BatchNormalization": batch_norm,
    "LayerNormalization": layer_norm, "Clip": clip, "MaxPool": max_pool, "Reshape": reshape, "Slice": cut, "Unsqueeze": unsqueeze,
    "Squeeze": squeeze, "Resize": resize,
    "MatMul": lambda a, v: (torch.matmul, [0, 1]),
    "Relu": lambda a, v: (nn.ReLU(), [0]),
    "Sigmoid": lambda a, v: (nn.Sigmoid(), [0]),
    "Softmax": lambda a, v: (nn.Softmax(a.get("axis", -1)), [0]),
    "Gelu": lambda a, v: (nn.GELU(), [0]),
    "GlobalAveragePool": lambda a, v: (nn.AdaptiveAvgPool2d(1), [0]),
    "Exp": lambda a, v: (torch.exp, [0]),
    "Transpose": lambda a, v: ((lambda x: x.permute(a["perm"])), [0]),
    "Flatten": lambda a, v: ((lambda x: torch.flatten(x, a.get("axis", 1))), [0]),
    "Concat": lambda a, v: ((lambda *x: torch.cat(x, a["axis"])), range(len(v))),
    "Gather": lambda a, v: ((lambda x: x.select(a.get("axis", 0), int(v[1]))), [0]),
    "Add": lambda a, v: ((lambda x, y: x + y), [0, 1]),
    "Sub": lambda a, v: ((lambda x, y: x - y), [0, 1]),
    "Mul": lambda a, v: ((lambda x, y: x * y), [0, 1]),
    "Div": lambda a, v: ((lambda x, y: x / y), [0, 1]),
}


class Net(nn.Module):
    """The network of an ONNX file for inputs of x's shape: what depends on shapes and constants alone is computed here."""

    def __init__(self, model, x):
        super().__init__()
        g = model.graph
        self.modules_, self.steps, self.constants = nn.ModuleList(), [], {}
        for i in g.initializer:
            self.constants[i.name] = torch.from_numpy(numpy_helper.to_array(i).copy())
        self.input = next(i.name for i in g.input if i.name not in self.constants)
        self.outputs = [o.name for o in g.output]
        self.readers = [i for n in g.node for i in n.input]
        self.values, self.made = {**self.constants, self.input: x}, {}
        with torch.no_grad():
            for n in g.node:
                self.add(n)
        self.eval()
        del self.values

    def add(self, n):
        a = {t.name: onnx.helper.get_attribute_value(t) for t in n.attribute}
        v = [self.values[i] if i else None for i in n.input]
        out = n.output[0]
        if n.op_type == "Constant":
            self.constants[out] = self.values[out] = torch.from_numpy(numpy_helper.to_array(a["value"]).copy())
            return
        if n.op_type == "Shape":
            self.constants[out] = self.values[out] = torch.tensor(v[0].shape)
            return
        if n.op_type == "Add" and self.bias(n, v):
            return
        if n.op_type == "MatMul" and n.input[1] in self.constants and v[1].dim() == 2:
            f, taken = linear(v[1].T, None)
        else:
            f, taken = OPS[n.op_type](a, v)
        names = [n.input[i] for i in taken]
        if isinstance(f, nn.Module):
            f.eval()
        self.values[out] = f(*(self.values[i] for i in names))
        if all(i in self.constants for i in names):
            self.constants[out] = self.values[out]
            return
        if isinstance(f, nn.Module):
            self.made[out] = f
            self.modules_.append(f)
            f = len(self.modules_) - 1
        self.steps.append((f, names, out))

    def bias(self, n, v):
        """An Add of a constant to what a convolution or linear layer alone gives is its bias."""
        for x, c in ((0, 1), (1, 0)):
            m = self.made.get(n.input[x])
            if n.input[c] in self.constants and isinstance(m, (nn.Conv2d, nn.Linear)) and m.bias is None and self.readers.count(n.input[x]) == 1:
                m.bias = nn.Parameter(v[c].reshape(-1))
                self.values[n.output[0]] = v[x] + v[c]
                self.steps = [(f, names, n.output[0] if out == n.input[x] else out) for f, names, out in self.steps]
                return True
        return False

    def forward(self, x):
        values = {**self.constants, self.input: x}
        for f, names, out in self.steps:
            f = self.modules_[f] if isinstance(f, int) else f
            values[out] = f(*(values[i] for i in names))
        return tuple(values[o] for o in self.outputs)


# Both sides

def repaired():
    """torch 1.13's HistogramObserver hands histc whole numbers as limits, so that what lies beyond them is lost: the limits themselves."""
    source = inspect.getsource(tq.HistogramObserver).replace("@torch.jit.export", "")
    names = dict(vars(tq.observer))
    exec(re.sub(r"=int\((\w+)\)", r"=float(\1)", source).replace("super(HistogramObserver, self)", "super()"), names)
    return names["HistogramObserver"]


OBSERVERS = [tq.HistogramObserver, repaired()]


def by_torch(net, observer, calib):
    act = observer.with_args(reduce_range=False)
    layer = tq.QConfig(activation=act, weight=tq.default_per_channel_weight_observer)
    mapping = tq.get_default_qconfig_mapping(ENGINE).set_global(layer)
    for t in (nn.Conv2d, nn.Linear, nn.ReLU, nn.BatchNorm2d):
        mapping.set_object_type(t, layer)
    mapping.set_object_type(nn.ConvTranspose2d, tq.QConfig(activation=act, weight=tq.default_weight_observer))
    mapping.set_object_type(nn.LayerNorm, tq.QConfig(activation=act, weight=tq.default_placeholder_observer))
    prepared = prepare_fx(copy.deepcopy(net), mapping, example_inputs=(calib[:1],))
    for x in calib:
        prepared(x[None])
    return convert_fx(prepared)


def by_hbcc(hbcc, model, folder, calib, test, outputs, options):
    np.save(f"{folder}/calib.npy", calib)
    subprocess.run([hbcc, "compile", model, "--march", "bayes", "--calib", f"{folder}/calib.npy", *options, "-o", f"{folder}/m.hbm"],
                   check=True, stderr=subprocess.DEVNULL)
    got = []
    for x in test:
        np.save(f"{folder}/x.npy", x[None])
        subprocess.run([hbcc, "run", f"{folder}/m.hbm", "--input", f"{folder}/x.npy", "--output", f"{folder}/o"], check=True)
        got.append([np.load(f"{folder}/o/out_{i}.npy") for i in range(outputs)])
    return got


def centred(want, got):
    want, got = np.stack(want).astype(np.float64), np.stack(got).astype(np.float64)
    return 10 * np.log10(np.sum((want - want.mean(0)) ** 2) / np.sum((want - got) ** 2))


def tensors(name):
    """Samples, reference outputs of each, and folds of which to calibrate on and which to measure."""
    folder = f"{SHARED}/models/{name}"
    if os.path.exists(f"{folder}/calib.npy"):
        calib, test, want = (np.load(f"{folder}/{f}.npy") for f in ("calib", "test", "test_float"))
        n = len(calib)
        return np.concatenate([calib, test]), [None] * n + [[w[None]] for w in want], [(range(n), range(n, n + len(test)))]
    samples = sorted(glob(f"{folder}/sample_*"))
    x = np.concatenate([np.load(f"{s}/in_0.npy") for s in samples])
    want = [[np.load(f) for f in sorted(glob(f"{s}/out_*.npy"))] for s in samples]
    return x, want, [([j for j in range(len(x)) if j != i], [i]) for i in range(len(x))]


def measure(hbcc, name, options):
    """Centred SQNR of each output: torch's better one, hbcc's."""
    x, want, folds = tensors(name)
    file = f"{SHARED}/models/{name}/model.onnx"
    net = Net(onnx.load(file), torch.from_numpy(x[:1]))
    ref, theirs, ours = [], [[] for _ in OBSERVERS], []
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        for calib, test in folds:
            for i in test:
                for w, y in zip(want[i], net(torch.from_numpy(x[i:i + 1]))):
                    if w.shape != y.shape or not np.all(np.abs(w - y.numpy()) <= 1e-4 * max(1, np.abs(w).max()) + 1e-3 * np.abs(w)):
                        raise SystemExit(f"{name}: torch's float network is not the model's: {np.abs(w - y.numpy()).max()}")
            ref += [want[i] for i in test]
            for got, observer in zip(theirs, OBSERVERS):
                quantized = by_torch(net, observer, torch.from_numpy(x[list(calib)]))
                got += [[t.numpy() for t in quantized(torch.from_numpy(x[i:i + 1]))] for i in test]
            ours += by_hbcc(hbcc, file, folder, x[list(calib)], x[list(test)], len(want[test[0]]), options)

    def kept(got, o):
        return centred([r[o] for r in ref], [s[o] for s in got])
    return [(max(kept(got, o) for got in theirs), kept(ours, o)) for o in range(len(ref[0]))]


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.backends.quantized.engine = ENGINE
    args = sys.argv[2:]
    options = args[args.index("--") + 1:] if "--" in args else []
    names = args[:args.index("--")] if "--" in args else args
    failed = 0
    for name in names or MODELS:
        for o, (theirs, ours) in enumerate(measure(os.path.abspath(sys.argv[1]), name, options)):
            least = -LOSSES.get((name, o), 0)
            bad = not ours - theirs >= least
            failed += bad
            print(f"{'FAILED' if bad else 'ok    '} {name} output {o}: torch {theirs:.2f} dB, hbcc {ours:.2f} dB, {ours - theirs:+.2f}", flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
