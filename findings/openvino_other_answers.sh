#!/usr/bin/env bash
# Package:  openvino 2026.4.1 and onnxruntime 1.32.0 (needs Python 3.11 or later)
# Expected: two runtimes give one answer for a model of one standard operator with plain attributes, or one
#           of them refuses it.
# Observed: OpenVINO takes both models below and answers something else, in float32, without a warning.
#           Resize: the attribute antialias is dropped (openvinotoolkit/openvino issue 35893 has it for
#           cubic; linear does the same), so most pixels of a large picture have no say in the small one.
#           AveragePool with ceil_mode and count_include_pad, what torch.nn.AvgPool2d(3, 2, 1, ceil_mode=True)
#           exports: the last window, which reaches past the padding, is divided by its full size.
# Output:   Resize to a quarter, antialias=1   onnxruntime [4.78 33. 93. 180.09]   openvino [2.5 30.5 90.5 182.5]
#           (with antialias=0 both answer what openvino answers here)
#           AveragePool of six ones   onnxruntime [0.67 1. 1. 0.5]   openvino [0.67 1. 1. 0.33]
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'openvino==2026.4.1' 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.2.6'
"$tmp/venv/bin/python" - <<'PY'
import sys
import numpy as np
import onnxruntime as ort
import openvino as ov
from onnx import TensorProto, helper, numpy_helper


def both(title, x, node, inits=()):
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in inits],
    )
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()
    a = ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0].ravel()
    core = ov.Core()
    b = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x)[0].ravel()
    print(f"{title}   onnxruntime {a.round(2)}   openvino {b.round(2)}")
    return a, b


ramp = np.arange(16, dtype=np.float32).reshape(1, 1, 1, 16) ** 2
size = [("size", np.array([1, 1, 1, 4], np.int64))]
plain, anti = (
    both(f"Resize to a quarter, antialias={flag}", ramp, helper.make_node(
        "Resize", ["x", "", "", "size"], ["y"], mode="linear", antialias=flag), size)
    for flag in (0, 1)
)
ones = np.ones((1, 1, 6), np.float32)
pool = both("AveragePool of six ones", ones, helper.make_node(
    "AveragePool", ["x"], ["y"], kernel_shape=[3], strides=[2], pads=[1, 1], ceil_mode=1, count_include_pad=1))
dropped = np.allclose(*plain) and np.allclose(plain[1], anti[1]) and not np.allclose(*anti)
divided = np.isclose(pool[0][-1], 1 / 2) and np.isclose(pool[1][-1], 1 / 3)
sys.exit(0 if dropped and divided else 1)
PY
