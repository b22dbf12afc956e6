#!/usr/bin/env python3
"""exported.py HBCC [NAME...]: networks of torchvision, exported by torch, against torch.

Networks of every family, backbones of detectors included, with random weights of a fixed seed, at a small picture: `hbcc run` on the
exported file must give torch's outputs (1e-4 + 1e-3 * |reference|). Prints a line a network
and the counts; exits 1 where one differs, 77 where torch is not there.
"""
import os
import subprocess
import sys
import tempfile
import warnings

try:
    import numpy as np
    import torch
    import torchvision
except ImportError as e:
    print(f"exported.py: {e}", file=sys.stderr)
    sys.exit(77)

NETWORKS = {
    "alexnet": 224, "squeezenet1_1": 96, "vgg11": 224, "resnet18": 96, "densenet121": 64, "mobilenet_v2": 96,
    "mobilenet_v3_small": 96, "shufflenet_v2_x1_0": 96, "efficientnet_b0": 96, "googlenet": 96, "regnet_y_400mf": 96,
    "convnext_tiny": 64, "inception_v3": 128, "mnasnet0_5": 96, "swin_t": 64,
    "detection.ssdlite320_mobilenet_v3_large": 320, "detection.fasterrcnn_mobilenet_v3_large_fpn": 96,
    "segmentation.lraspp_mobilenet_v3_large": 96,
    "segmentation.deeplabv3_mobilenet_v3_large": 96, "segmentation.fcn_resnet50": 64,
}


class Flat(torch.nn.Module):
    """Segmentation networks return dicts."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        y = self.net(x)
        return tuple(y.values()) if isinstance(y, dict) else y


def build(name):
    torch.manual_seed(0)
    module = torchvision.models
    for part in name.split("."):
        module = getattr(module, part)
    args = {"weights": None}
    if name.startswith(("segmentation", "detection")):
        args["weights_backbone"] = None
    if name in ("googlenet", "inception_v3"):
        args["init_weights"] = True
    net = module(**args)
    net = Flat(net.backbone if name.startswith("detection") else net).eval()
    for m in net.modules():  # statistics that a trained network could have
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(m.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(m.running_var, 0.5, 1.5)
    return net


def one(hbcc, name, folder):
    net, size = build(name), NETWORKS[name]
    x = torch.randn(1, 3, size, size)
    with torch.no_grad():
        want = net(x)
        want = [t.numpy() for t in (want if isinstance(want, tuple) else (want,))]
        torch.onnx.export(net, x, f"{folder}/m.onnx", opset_version=13)
    np.save(f"{folder}/x.npy", x.numpy())
    done = subprocess.run([hbcc, "run", f"{folder}/m.onnx", "--input", f"{folder}/x.npy", "--output", f"{folder}/o"],
                          capture_output=True, text=True)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    for i, w in enumerate(want):
        got = np.load(f"{folder}/o/out_{i}.npy")
        if got.shape != w.shape:
            return f"output {i} has shape {got.shape}, torch's {w.shape}"
        over = np.abs(got - w) - (1e-4 + 1e-3 * np.abs(w))
        if not (over <= 0).all():
            return f"output {i} differs by up to {np.abs(got - w).max():.3g}"
    return None


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(2)
    failed = 0
    names = sys.argv[2:] or list(NETWORKS)
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            why = one(os.path.abspath(sys.argv[1]), name, folder)
        print(f"{'FAILED' if why else 'ok    '} {name}{': ' + why if why else ''}", flush=True)
        failed += why is not None
    print(f"{len(names) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
