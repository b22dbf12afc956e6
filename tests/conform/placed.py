#!/usr/bin/env python3
"""placed.py HBCC MAKE_TOPOLOGIES [FOLDER]: where published networks are placed, as published logs have it.

Makes the networks with MAKE_TOPOLOGIES (or takes them from FOLDER) and checks with hbcc: classifiers are wholly
on the BPU of every march; yolov8n on bayes-e up to the layout change of its outputs; an attention's Softmax is the
CPU's until asked for; a Sigmoid of bernoulli2 is the BPU's up to 8192 elements. Exits 1 where one is elsewhere, 77
where torch is not there.
"""
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict

try:
    import torch
except ImportError as e:
    print(f"placed.py: {e}", file=sys.stderr)
    sys.exit(77)

HBCC, MAKE = sys.argv[1:3]
CLASSIFIERS = ["resnet18", "resnet50", "mobilenet_v1", "mobilenet_v2", "efficientnet_lite0"]
wrong = 0


def nodes(model, march, *options):
    run = subprocess.run([HBCC, "check", model, "--march", march, "--format", "json", *options], capture_output=True, check=False)
    if run.returncode:
        sys.exit(f"{model} for {march}: {run.stderr.decode()}")
    return [n for n in json.loads(run.stdout)["nodes"] if n["on"] != "folded"]


def expect(what, holds):
    global wrong
    if not holds:
        wrong += 1
        print(f"otherwise: {what}")


def places(rows):
    on = defaultdict(set)
    for n in rows:
        on[n["op"]].add(n["on"])
    return on


class Attention(torch.nn.Module):
    """As YOLOv10 and YOLO11 have it."""

    def __init__(self):
        super().__init__()
        self.qkv = torch.nn.Conv2d(64, 192, 1)
        self.proj = torch.nn.Conv2d(64, 64, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        q, k, v = self.qkv(x).view(b, 4, 48, h * w).split([16, 16, 16], 2)
        a = ((q.transpose(-2, -1) @ k) * 0.25).softmax(-1)
        return self.proj((v @ a.transpose(-2, -1)).view(b, c, h, w) + v.reshape(b, c, h, w))


class Gate(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 32, 3, padding=1)

    def forward(self, x):
        return self.conv(x).sigmoid()


with tempfile.TemporaryDirectory() as made:
    folder = sys.argv[3] if len(sys.argv) > 3 else made
    if folder == made:
        subprocess.run([sys.executable, MAKE, made, "yolov8n", *CLASSIFIERS], stdout=subprocess.DEVNULL, check=True)

    for name in CLASSIFIERS:
        for march in ("bernoulli2", "bayes", "bayes-e", "meta"):
            off = [n["node"] for n in nodes(f"{folder}/{name}.onnx", march) if n["on"] != "BPU"]
            expect(f"{name} on {march}: {off}", not off)

    on = places(nodes(f"{folder}/yolov8n.onnx", "bayes-e"))
    for op in ("Conv", "Sigmoid", "Mul", "Concat", "Split", "Add", "MaxPool", "Resize"):
        expect(f"yolov8n's {op}: {on[op]}", on[op] == {"BPU"})
    wide = places(nodes(f"{folder}/yolov8n.onnx", "bernoulli2"))
    expect(f"yolov8n's convolutions on bernoulli2: {wide['Conv']}", wide["Conv"] == {"BPU"})

    path = os.path.join(made, "attention.onnx")
    torch.onnx.export(Attention().eval(), torch.zeros(1, 64, 8, 8), path, opset_version=11)
    for march in ("bayes", "bayes-e"):
        rows = nodes(path, march)
        expect(f"attention's Softmax on {march}", places(rows)["Softmax"] == {"CPU"})
        expect(f"attention's MatMul on {march}", places(rows)["MatMul"] == {"BPU"})
        expect(f"attention on {march}: two BPU subgraphs", {n["subgraph"] for n in rows} == {None, 0, 1})
        rows = nodes(path, march, "--run-on-bpu", "Softmax")
        expect(f"attention on {march}, asked", {n["on"] for n in rows} == {"BPU"} and {n["subgraph"] for n in rows} == {0})

    for side, where in ((16, "BPU"), (17, "CPU")):  # 32 channels: 8192 elements, and more
        path = os.path.join(made, f"gate{side}.onnx")
        torch.onnx.export(Gate().eval(), torch.zeros(1, 3, side, side), path, opset_version=11)
        expect(f"a Sigmoid of {32 * side * side} on bernoulli2", places(nodes(path, "bernoulli2"))["Sigmoid"] == {where})
        expect(f"a Sigmoid of {32 * side * side} on bayes", places(nodes(path, "bayes"))["Sigmoid"] == {"BPU"})

print(f"{wrong} placed otherwise")
sys.exit(wrong > 0)
