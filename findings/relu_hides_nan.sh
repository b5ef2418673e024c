#!/usr/bin/env bash
# Package:  openvino 2026.4.1, opencv-contrib-python 5.1.0.95, onnxruntime 1.32.0 (needs Python 3.11 or later)
# Expected: a NaN inside a network comes out as NaN, so a check of the output finds broken weights or input.
# Observed: one Relu is enough to hide it. ONNX Runtime keeps the NaN; OpenVINO (CPU) and cv2.dnn make it 0.
#           OpenVINO's HardSigmoid makes it 1.0, a full score.
# Output:   Relu         of NaN:  onnxruntime nan  openvino 0  cv2.dnn 0
#           HardSigmoid  of NaN:  onnxruntime nan  openvino 1  cv2.dnn nan
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'openvino==2026.4.1' 'onnxruntime==1.32.0' 'opencv-contrib-python==5.1.0.95' 'onnx==1.23.2' 'numpy==2.2.6'
"$tmp/venv/bin/python" - <<'PY'
import sys
import cv2
import numpy as np
import onnxruntime as ort
import openvino as ov
from onnx import TensorProto, helper

x = np.array([[1, np.nan]], np.float32)


def answers(operator):
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)],
    )
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()
    net = cv2.dnn.readNetFromONNX(np.frombuffer(file, np.uint8))
    net.setInput(x)
    core = ov.Core()
    compiled = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    seen = {
        "onnxruntime": ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0],
        "openvino": compiled(x)[0],
        "cv2.dnn": net.forward(),
    }
    seen = {name: float(out.ravel()[1]) for name, out in seen.items()}
    print(f"{operator:12} of NaN: ", "  ".join(f"{name} {value:g}" for name, value in seen.items()))
    return list(seen.values())


relu, sigmoid = answers("Relu"), answers("HardSigmoid")
surprise = np.isnan(relu[0]) and relu[1:] == [0, 0] and np.isnan(sigmoid[0]) and sigmoid[1] == 1
sys.exit(0 if surprise else 1)
PY
