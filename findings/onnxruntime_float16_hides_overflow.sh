#!/usr/bin/env bash
# Package:  onnxruntime 1.32.0, CPU provider on x86-64 (needs Python 3.11 or later)
# Expected: a float16 model rounds to float16 after every operator, as its graph says; a value above
#           65504 becomes infinite.
# Observed: operators without a float16 kernel run in float32, and the two casts between neighbours are taken
#           out, also with ORT_DISABLE_ALL. A product of 90000 in the middle of the graph is carried on and
#           the answer is finite. So a test of a float16 model on the CPU does not show that it overflows. Asking for the middle value as an output of its own brings the infinity back.
# Output:   300 * 300 * 0.01 in float16, ORT_DISABLE_ALL: 900.0
#           300 * 300 * 0.01 in float16, ORT_ENABLE_ALL: 900.0
#           the middle value as an output: inf
#           onnx reference evaluator: inf
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.2.6'
"$tmp/venv/bin/python" - <<'PY'
import sys
import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

half = TensorProto.FLOAT16
nodes = [helper.make_node("Mul", ["x", "x"], ["square"]), helper.make_node("Mul", ["square", "k"], ["y"])]


def model(*outputs):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", half, [1])],
        [helper.make_tensor_value_info(name, half, [1]) for name in outputs],
        [numpy_helper.from_array(np.array([0.01], np.float16), "k")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def run(proto, level="ORT_ENABLE_ALL"):
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [float(out[0]) for out in session.run(None, feed)]


feed = {"x": np.array([300], np.float16)}
off, full = run(model("y"), "ORT_DISABLE_ALL")[0], run(model("y"))[0]
middle = run(model("y", "square"))[1]
with np.errstate(over="ignore"):
    reference = float(ReferenceEvaluator(model("y")).run(None, feed)[0][0])
print("300 * 300 * 0.01 in float16, ORT_DISABLE_ALL:", off)
print("300 * 300 * 0.01 in float16, ORT_ENABLE_ALL:", full)
print("the middle value as an output:", middle)
print("onnx reference evaluator:", reference)
sys.exit(0 if np.isfinite([off, full]).all() and np.isinf([middle, reference]).all() else 1)
PY
