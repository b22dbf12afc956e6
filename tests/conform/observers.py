#!/usr/bin/env python3
"""observers.py HBCC: the ranges that hbcc chooses, held against torch's observers, numpy and a search by brute force.

Models of one and of two operators; scales are read from the fake-quantized form.
"""
import inspect
import os
import re
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.ao.quantization import observer as tq

warnings.filterwarnings('ignore')
HBCC = os.path.abspath(sys.argv[1])
os.chdir(tempfile.mkdtemp())
SHAPE = (1, 8, 16, 16)
failed = 0


# torch 1.13 hands histc whole numbers as limits and so loses what lies beyond them: the same with the limits themselves.
source = inspect.getsource(tq.HistogramObserver).replace('@torch.jit.export', '')
names = dict(vars(tq))
exec(re.sub(r'=int\((\w+)\)', r'=float(\1)', source).replace('super(HistogramObserver, self)', 'super()'), names)
HistogramObserver = names['HistogramObserver']


def model():
    g = helper.make_graph([helper.make_node('Sigmoid', ['x'], ['y'], 's')], 'g',
                          [helper.make_tensor_value_info('x', TensorProto.FLOAT, SHAPE)],
                          [helper.make_tensor_value_info('y', TensorProto.FLOAT, SHAPE)])
    onnx.save(helper.make_model(g, opset_imports=[helper.make_opsetid('', 13)], ir_version=8), 'm.onnx')
    w = np.random.default_rng(3).normal(size=(8, 1, 3, 3)).astype(np.float32)
    one = np.ones((8, 1, 1, 1), np.float32)
    g = helper.make_graph([helper.make_node('Conv', ['x', 'one'], ['mid'], 'c', group=8), helper.make_node('Conv', ['mid', 'w'], ['y'], 'd', group=8)],
                          'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, SHAPE)],
                          [helper.make_tensor_value_info('y', TensorProto.FLOAT, (1, 8, 14, 14))],
                          [numpy_helper.from_array(one, 'one'), numpy_helper.from_array(w, 'w')])
    onnx.save(helper.make_model(g, opset_imports=[helper.make_opsetid('', 13)], ir_version=8), 'd.onnx')


def scales(name, *args, file='m.onnx'):
    """The scale of tensor `name` in the fake-quantized form."""
    subprocess.run([HBCC, 'calibrate', file, '--march', 'bayes', '--calib', 'x.npy', '-o', 'q.onnx', *args], check=True, stderr=subprocess.DEVNULL)
    g = onnx.load('q.onnx').graph
    values = {i.name: numpy_helper.to_array(i) for i in g.initializer}
    for n in g.node:
        if n.op_type == 'QuantizeLinear' and n.output[0].startswith(name):
            return values[n.input[1]]
    raise SystemExit(f'{file} has no scale of {name}')


def check(what, got, want, part):
    global failed
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if not np.all(np.abs(got - want) <= part * np.abs(want)):
        failed += 1
        print(f'FAILED {what}: {got} is not within {part} of {want}')


def symmetric(lo, hi):
    return max(-lo, hi, 0) / 127.5


def torch_scale(o, data):
    for s in data:
        o(torch.from_numpy(s[None]))
    scale, _ = o.calculate_qparams()
    return scale.numpy()


def divergence(h, n):
    """TensorRT's entropy of a histogram of 2048 bins cut behind bin n, at 128 levels, in plain loops."""
    p = h[:n].copy()
    p[n - 1] += h[n:].sum()
    q = np.zeros(n)
    for level in range(128):
        a, b = level * n // 128, (level + 1) * n // 128
        filled = p[a:b] > 0
        if filled.any():
            q[a:b][filled] = max(h[a:b].sum(), 1e-4) / filled.sum()
    ok = p > 0
    return np.sum(p[ok] / p.sum() * np.log(p[ok] / p.sum() / (q[ok] / h[:n].sum())))


model()
for seed, make in enumerate([lambda r, n: r.normal(size=(n, *SHAPE[1:])), lambda r, n: r.laplace(size=(n, *SHAPE[1:])) * 3 + 0.5,
                             lambda r, n: r.uniform(-1, 2, size=(n, *SHAPE[1:])), lambda r, n: np.abs(r.standard_t(4, size=(n, *SHAPE[1:]))),
                             lambda r, n: np.maximum(r.normal(size=(n, *SHAPE[1:])), 0)]):
    rng = np.random.default_rng(seed)
    x = (make(rng, 12) * np.linspace(0.5, 1.5, 12)[:, None, None, None]).astype(np.float32)
    np.save('x.npy', x)
    sym = dict(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)
    channel = dict(dtype=torch.qint8, qscheme=torch.per_channel_symmetric, ch_axis=1)
    magnitude = np.abs(x).ravel().astype(np.float64)
    order = np.sort(magnitude)

    check(f'{seed} minmax', scales('x', '--observer', 'minmax'), torch_scale(tq.MinMaxObserver(**sym), x), 1e-6)
    for c in (0.01, 0.3):
        check(f'{seed} moving {c}', scales('x', '--observer', 'moving', '--averaging-constant', str(c)),
              torch_scale(tq.MovingAverageMinMaxObserver(averaging_constant=c, **sym), x), 1e-5)
    check(f'{seed} histogram', scales('x', '--observer', 'histogram'), torch_scale(HistogramObserver(**sym), x), 0.01)
    check(f'{seed} a channel', scales('mid', '--observer', 'minmax', '--per-channel', file='d.onnx'),
          torch_scale(tq.PerChannelMinMaxObserver(**channel), x), 1e-6)
    check(f'{seed} a channel, moving', scales('mid', '--observer', 'moving', '--per-channel', '--averaging-constant', '0.3', file='d.onnx'),
          np.minimum(torch_scale(tq.MovingAveragePerChannelMinMaxObserver(averaging_constant=0.3, **channel), x),
                     torch_scale(tq.MovingAverageMinMaxObserver(averaging_constant=0.3, **sym), x)), 1e-5)

    for p in (0.9, 0.99, 0.999, 0.9999):
        got, at = scales('x', '--observer', 'percentile', '--percentile', str(p)) * 127.5, p * magnitude.size
        lo, hi = order[int(at) - 2], order[min(int(at) + 2, magnitude.size - 1)]
        if not lo * (1 - 1e-3) <= got <= hi * (1 + 1e-3):
            failed += 1
            print(f'FAILED {seed} percentile {p}: {got} is not between {lo} and {hi}')

    top = magnitude.max()
    h, _ = np.histogram(magnitude, 2048, (0, top))
    h = h.astype(np.float64)
    h[0] = h[1]
    best = min(divergence(h, n) for n in range(128, 2049))
    clip = float(scales('x', '--observer', 'kl')) * 127.5
    got = divergence(h, int(min(max(round(clip / top * 2048 - 0.5), 128), 2048)))
    if not got <= best * 1.1 + 1e-4:
        failed += 1
        print(f'FAILED {seed} kl: divergence {got} with clip {clip}, the least is {best}')

    # mse through a reader that is not flat anywhere: a convolution
    def error(t):
        s = t / 127.5
        return np.sum((magnitude - np.minimum(np.rint(magnitude / s), 127) * s) ** 2)
    least = min(error(t) for t in np.linspace(top / 400, top, 400))
    got = error(scales('x', '--observer', 'mse', file='d.onnx') * 127.5)
    if not got <= least * 1.01:
        failed += 1
        print(f'FAILED {seed} mse: squared error {got}, by brute force {least}')

print('observers: failed' if failed else 'observers: as torch, numpy and brute force have them')
sys.exit(failed != 0)
