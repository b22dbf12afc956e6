#!/usr/bin/env python3
"""Draws shapes, trains a small CNN to tell them apart, writes model.onnx and the pictures beside it.

    python3 make.py [FOLDER]

Needs numpy and torch with its ONNX exporter. Everything is drawn here; the seed fixes it all but
the last bits, which depend on torch's build: model.onnx in this folder is what one run gave.
The model takes RGB pictures as they are, 0..255, 1x3x32x32, and gives six scores."""
import os
import struct
import sys
import zlib

import numpy as np
import torch
from torch import nn

SIZE = 32
CLASSES = ["circle", "square", "triangle", "cross", "ring", "stripes"]
rng = np.random.default_rng(7)


def mask(kind, cx, cy, r, angle):
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64)
    x, y = x - cx, y - cy
    c, s = np.cos(angle), np.sin(angle)
    u, v = (c * x + s * y) / r, (c * y - s * x) / r
    d = np.hypot(u, v)
    if kind == "circle":
        return d < 1
    if kind == "square":
        return np.maximum(abs(u), abs(v)) < 0.85
    if kind == "triangle":
        return (v > -0.6) & (v < 1.1 - 1.8 * abs(u))
    if kind == "cross":
        return (np.minimum(abs(u), abs(v)) < 0.25) & (np.maximum(abs(u), abs(v)) < 1)
    if kind == "ring":
        return (d < 1) & (d > 0.6)
    return (d < 1) & (np.floor(u * 2.5) % 2 == 0)


def picture(label):
    """A shape of one colour on another, some noise: uint8 [SIZE, SIZE, 3]."""
    back, fore = rng.integers(0, 256, 3), rng.integers(0, 256, 3)
    while abs(back - fore).sum() < 160:
        fore = rng.integers(0, 256, 3)
    m = mask(CLASSES[label], *rng.uniform(11, 21, 2), rng.uniform(7, 12), rng.uniform(0, 2 * np.pi))
    p = np.where(m[..., None], fore, back).astype(np.float64)
    return np.clip(np.rint(p + 8 * np.rint(rng.normal(0, 1, p.shape))), 0, 255).astype(np.uint8)


def batch(n):
    labels = rng.integers(0, len(CLASSES), n)
    x = np.stack([picture(k) for k in labels]).transpose(0, 3, 1, 2).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(labels)


def png(path, rgb):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + r.tobytes() for r in rgb)
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0))
                + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def conv(cin, cout, k=3, groups=1, act=True):
    layers = [nn.Conv2d(cin, cout, k, padding=k // 2, groups=groups, bias=False), nn.BatchNorm2d(cout)]
    return nn.Sequential(*layers, nn.ReLU()) if act else nn.Sequential(*layers)


class Block(nn.Module):
    """Inverted residual: 1x1 up, depthwise 3x3, 1x1 down, added to its input."""

    def __init__(self, c):
        super().__init__()
        self.body = nn.Sequential(conv(c, 2 * c, 1), conv(2 * c, 2 * c, 3, 2 * c), conv(2 * c, c, 1, act=False))

    def forward(self, x):
        return x + self.body(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.body = nn.Sequential(conv(3, 16), nn.MaxPool2d(2), Block(16), conv(16, 32), nn.MaxPool2d(2), Block(32),
                                  nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(32, len(CLASSES))

    def forward(self, x):
        return self.head(self.body(self.norm(x)))


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    torch.manual_seed(7)
    net = Net()
    opt = torch.optim.Adam(net.parameters(), 4e-3)
    steps = 500
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, 8e-3, steps)
    for step in range(steps):
        x, y = batch(64)
        loss = nn.functional.cross_entropy(net(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        plan.step()
        if step % 50 == 49:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    net.eval()
    x, y = batch(1000)
    with torch.no_grad():
        print(f"accuracy on 1000 new pictures: {(net(x).argmax(1) == y).float().mean().item():.3f}")
    torch.onnx.export(net, torch.zeros(1, 3, SIZE, SIZE), os.path.join(out, "model.onnx"), opset_version=11,
                      input_names=["picture"], output_names=["scores"],
                      training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
    for folder, count in (("calib", 24), ("test", 12)):
        os.makedirs(os.path.join(out, folder), exist_ok=True)
        for i in range(count):
            label = i % len(CLASSES)
            png(os.path.join(out, folder, f"{i:02d}-{CLASSES[label]}.png"), picture(label))


if __name__ == "__main__":
    main()
