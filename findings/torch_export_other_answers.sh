#!/usr/bin/env bash
# Package:  torch 2.13.0 with onnxscript 0.7.2, onnxruntime 1.32.0 (needs Python 3.11 or later; a large download)
# Expected: torch.onnx.export gives a model that computes what the module computes, or refuses.
# Observed: three functions are exported without a word as something else.
#           scaled_dot_product_attention: a row whose mask allows nothing is 0 in torch, but the mean of all
#           values in the model. logsigmoid: exported as the log of the sigmoid, so -inf for a score below
#           about -104, where torch gives the score itself. avg_pool2d: divisor_override is dropped.
# Output:   Masked     torch 0   model 1
#           LogSigmoid torch -200   model -inf
#           Pool       torch 4   model 1
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'torch==2.13.0' 'onnxscript==0.7.2' 'onnx==1.23.2' 'onnxruntime==1.32.0' 'numpy==2.4.6'
cd "$tmp"
"$tmp/venv/bin/python" - <<'PY'
import sys
import numpy as np
import onnxruntime as ort
import torch
import torch.nn.functional as F


class Masked(torch.nn.Module):
    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x, attn_mask=torch.zeros(4, 4, dtype=torch.bool))


class LogSigmoid(torch.nn.Module):
    def forward(self, x):
        return F.logsigmoid(x * -200)


class Pool(torch.nn.Module):
    def forward(self, x):
        return F.avg_pool2d(x, 2, divisor_override=1)


def both(module):
    x = torch.ones(1, 1, 4, 4)
    with torch.no_grad():
        ours = module(x)
    torch.onnx.export(module.eval(), (x,), "model.onnx", dynamo=True, verbose=False)
    session = ort.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    theirs = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    pair = float(ours.ravel()[0]), float(theirs.ravel()[0])
    print(f"{type(module).__name__:10} torch {pair[0]:g}   model {pair[1]:g}")
    return pair


seen = [both(Masked()), both(LogSigmoid()), both(Pool())]
sys.exit(0 if seen == [(0, 1), (-200, -np.inf), (4, 1)] else 1)
PY
