#!/usr/bin/env python3
"""quantized.py HBCC [NAME...]: networks that torch quantizes, as QDQ files, against ONNX Runtime on the same file.

Eager and FX mode, after training and quantization-aware, with torch's own observers: uint8 activations with
whatever zero points these choose, int8 weights a channel or a tensor. The compiled file needs no samples. Its outputs
are held against ONNX Runtime's, graph optimizations off: cosine >= 0.99 by default; with --affine exact on bayes, where
int16 is taken, 0.9995. Prints a line a network and the counts; exits 1 where one fails, 77 without torch or ORT_DIR.
"""
import os
import subprocess
import sys
import tempfile
import warnings

try:
    import numpy as np
    import onnx
    import torch
    from torch import nn
    from torch.ao import quantization as tq
    from torch.ao.quantization import quantize_fx as fx
except ImportError as e:
    print(f"quantized.py: {e}", file=sys.stderr)
    sys.exit(77)
if not os.environ.get("ORT_DIR"):
    print("quantized.py: no ORT_DIR", file=sys.stderr)
    sys.exit(77)
SHARED = os.environ.get("HBCC_SHARED", os.path.join(os.path.dirname(__file__), "../../../shared"))


class Plain(nn.Module):
    """Conv, BatchNorm, ReLU, a shortcut, pools, Linear."""

    def __init__(self):
        super().__init__()
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        self.c1, self.b1, self.r1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        self.c2, self.b2 = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16)
        self.add = nn.quantized.FloatFunctional()
        self.r2, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.c3, self.r3 = nn.Conv2d(16, 24, 1), nn.ReLU()
        self.mean, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(24, 10)

    def forward(self, x):
        x = self.r1(self.b1(self.c1(self.quant(x))))
        x = self.pool(self.r2(self.add.add(self.b2(self.c2(x)), x)))
        x = torch.flatten(self.mean(self.r3(self.c3(x))), 1)
        return self.dequant(self.fc(x))


class Branches(nn.Module):
    """Cat of branches, upsampling, a lookup."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.up, self.act = nn.Upsample(scale_factor=2, mode="nearest"), nn.LeakyReLU(0.1)
        self.c = nn.Conv2d(16, 6, 3, padding=1)

    def forward(self, x):
        y = torch.cat([torch.relu(self.a(x)), self.up(torch.relu(self.b(x)))], 1)
        return self.act(self.c(y))


def trained(net):
    """Statistics that a trained network could have."""
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.running_mean, -0.2, 0.2)
            nn.init.uniform_(m.running_var, 0.5, 1.5)
    return net


def samples(n):
    g = torch.Generator().manual_seed(7)
    return [torch.randn(1, 3, 32, 32, generator=g) for _ in range(n)]


def ranged(net):
    """Ranges observed, then fixed."""
    net.apply(tq.enable_observer)
    net.apply(tq.enable_fake_quant)
    with torch.no_grad():
        for x in samples(8):
            net(x)
    net.apply(tq.disable_observer)
    return net


def qconfig(per_channel, symmetric):
    scheme = torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
    act = tq.FakeQuantize.with_args(observer=tq.MovingAverageMinMaxObserver, quant_min=0, quant_max=255, dtype=torch.quint8,
                                    qscheme=scheme)
    weight = tq.default_per_channel_weight_fake_quant if per_channel else tq.default_weight_fake_quant
    return tq.QConfig(activation=act, weight=weight)


def eager(per_channel, symmetric):
    net = trained(Plain()).train()
    net.qconfig = qconfig(per_channel, symmetric)
    tq.fuse_modules_qat(net, [["c1", "b1", "r1"], ["c2", "b2"], ["c3", "r3"]], inplace=True)
    tq.prepare_qat(net, inplace=True)
    return ranged(net.eval())


def graph(net, per_channel, symmetric):
    mapping = tq.QConfigMapping().set_global(qconfig(per_channel, symmetric))
    return ranged(fx.prepare_qat_fx(trained(net).train(), mapping, example_inputs=(samples(1)[0],)).eval())


def converted(symmetric):
    """After training: integers inside, torch.onnx writes pairs around every operator."""
    torch.backends.quantized.engine = "qnnpack"
    net = trained(Plain()).eval()
    scheme = torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
    net.qconfig = tq.QConfig(activation=tq.HistogramObserver.with_args(qscheme=scheme, dtype=torch.quint8), weight=tq.default_weight_observer)
    tq.fuse_modules(net, [["c1", "b1", "r1"], ["c2", "b2"], ["c3", "r3"]], inplace=True)
    tq.prepare(net, inplace=True)
    with torch.no_grad():
        for x in samples(8):
            net(x)
    return tq.convert(net, inplace=True)


def steps(net):
    """A few steps of training with fake quantization, as QAT does."""
    net.train()
    best = torch.optim.SGD(net.parameters(), lr=0.01)
    for x in samples(4):
        best.zero_grad()
        net(x).square().mean().backward()
        best.step()
    return ranged(net.eval())


CASES = {
    "eager, a scale a channel": lambda: eager(True, False),
    "eager, a scale a tensor, symmetric": lambda: eager(False, True),
    "eager, trained": lambda: steps(eager(True, False)),
    "eager, converted": lambda: converted(False),
    "eager, converted, symmetric": lambda: converted(True),
    "fx": lambda: graph(Plain(), True, False),
    "fx, symmetric": lambda: graph(Plain(), False, True),
    "fx, branches": lambda: graph(Branches(), True, False),
    "fx, branches, trained": lambda: steps(graph(Branches(), True, False)),
}


def cosine(a, b):
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-30))


def one(hbcc, make, folder):
    torch.manual_seed(0)
    net, x = make(), samples(1)[0]
    model = f"{folder}/m.onnx"
    torch.onnx.export(net, x, model, opset_version=13)
    np.save(f"{folder}/x.npy", x.numpy())
    subprocess.run(["node", f"{SHARED}/tools/ort-run.mjs", model, f"{folder}/x.npy", "--out", f"{folder}/ort", "--opt", "disabled"],
                   check=True, capture_output=True)
    names = [o.name for o in onnx.load(model).graph.output]
    told = []
    for march, affine, least in (("bayes", "symmetric", 0.99), ("bernoulli2", "symmetric", 0.99), ("bayes", "exact", 0.9995)):
        for args in (["compile", model, "--march", march, "--affine", affine, "-o", f"{folder}/m.hbm"],
                     ["run", f"{folder}/m.hbm", "--input", f"{folder}/x.npy", "--output", f"{folder}/o"]):
            done = subprocess.run([hbcc] + args, capture_output=True, text=True)
            if done.returncode:
                return f"{march} {affine}: " + done.stderr.strip().splitlines()[-1]
        for i, name in enumerate(names):
            c = cosine(np.load(f"{folder}/o/out_{i}.npy"), np.load(f"{folder}/ort/{name.replace('/', '_')}.npy"))
            told.append(f"{march} {affine} {c:.6f}")
            if not c >= least:
                return f"{march} {affine}: cosine {c:.6f} is below {least}"
    print("  " + ", ".join(told))
    return None


def main():
    warnings.filterwarnings("ignore")
    failed = 0
    names = [n for n in CASES if n in sys.argv[2:] or not sys.argv[2:]]
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            problem = one(sys.argv[1], CASES[name], folder)
        failed += problem is not None
        print(f"{'FAILED' if problem else 'ok'} {name}{': ' + problem if problem else ''}", flush=True)
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
