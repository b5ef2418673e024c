"""Which operators of a graph become int8, and where their results are rounded."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxruntime.quantization")

from onnx import helper, numpy_helper  # noqa: E402

from sot_tracker.int8_graphs import keep_exact_outputs, quantise  # noqa: E402

SIDE = 8


def graph_of(nodes: list[Any], weights: dict[str, tuple[int, ...]], output: str) -> Any:
    """A model from `patch`, 1 x 16 x SIDE x SIDE, to `output`; weights: name -> shape."""
    rng = np.random.default_rng(0)
    values = [numpy_helper.from_array(rng.normal(0, 0.1, shape).astype("f4"), name) for name, shape in weights.items()]
    patch = helper.make_tensor_value_info("patch", onnx.TensorProto.FLOAT, [1, 16, SIDE, SIDE])
    result = helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "toy", [patch], [result], values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def conv(name: str, source: str, weight: str) -> Any:
    return helper.make_node("Conv", [source, weight], [name], name=name, kernel_shape=[1, 1])


def end(kind: str, name: str, source: str) -> Any:
    if kind == "Conv":
        return conv(name, source, f"weight of {name}")
    return helper.make_node("MatMul", [source, "square"], [name], name=name)


@pytest.mark.parametrize("last", ["Conv", "MatMul"])
def test_int8_is_for_operators_with_many_weights(tmp_path: Path, last: str) -> None:
    """first, and the last before the output: at the ends; thin: of two channels; product: of two activations."""
    nodes = [
        conv("first", "patch", "w16a"),
        conv("wide", "first", "w16b"),
        conv("thin", "wide", "w2"),
        conv("wider", "thin", "w16c"),
        helper.make_node("Sigmoid", ["wider"], ["gates"], name="gates"),
        helper.make_node("MatMul", ["gates", "gates"], ["product"], name="product"),
        conv("again", "product", "w16b"),
        *(end(last, f"end{k}", f"end{k - 1}" if k else "again") for k in range(3)),
    ]
    weights = {
        "w16a": (16, 16, 1, 1),
        "w16b": (16, 16, 1, 1),
        "w2": (2, 16, 1, 1),
        "w16c": (16, 2, 1, 1),
        "square": (SIDE, SIDE),
    }
    weights |= {f"weight of end{k}": (16, 16, 1, 1) for k in range(3)}
    onnx.save(graph_of(nodes, weights, "end2"), tmp_path / "graph.onnx")
    inputs = [{"patch": np.random.default_rng(seed).normal(0, 1, (1, 16, SIDE, SIDE)).astype("f4")} for seed in (0, 1)]
    quantise(tmp_path / "graph.onnx", {}, inputs, tmp_path / "out.onnx")
    found = onnx.load(tmp_path / "out.onnx").graph
    backs = {node.output[0] for node in found.node if node.op_type == "DequantizeLinear"}
    int8 = {node.name for node in found.node if node.op_type in ("Conv", "MatMul") and node.input[1] in backs}
    assert int8 == {"wide", "wider", "again", *(["end0"] if last == "Conv" else [])}
    session = onnxruntime.InferenceSession(tmp_path / "out.onnx", providers=["CPUExecutionProvider"])
    exact = onnxruntime.InferenceSession(tmp_path / "graph.onnx", providers=["CPUExecutionProvider"])
    rough, right = session.run(None, inputs[0])[0], exact.run(None, inputs[0])[0]
    assert 0 < np.abs(rough - right).max() < 0.1 * np.abs(right).max()


@pytest.mark.parametrize(
    ("maker", "reader", "rounded"),
    [("Conv", "Relu", False), ("Conv", "Conv", True), ("Conv", "Add", True), ("Sigmoid", "Relu", True)],
)
def test_where_the_output_of_a_convolution_is_rounded(maker: str, reader: str, rounded: bool) -> None:
    first = conv("made", "patch", "w") if maker == "Conv" else helper.make_node(maker, ["patch"], ["made"], name="made")
    inputs = ["back", *{"Conv": ["w.back"], "Add": ["patch"]}.get(reader, [])]
    nodes = [
        first,
        helper.make_node("QuantizeLinear", ["made", "scale", "zero"], ["whole"], name="rounding"),
        helper.make_node("DequantizeLinear", ["whole", "scale", "zero"], ["back"], name="back"),
        helper.make_node("DequantizeLinear", ["w.int8", "scale", "w.zero"], ["w.back"], name="w.back"),
        helper.make_node(reader, inputs, ["read"], name="read"),
    ]
    model = graph_of(nodes, {"w": (16, 16, 1, 1)}, "read")
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.float32(0.1), "scale"),
            numpy_helper.from_array(np.uint8(128), "zero"),
            numpy_helper.from_array(np.int8(0), "w.zero"),
            numpy_helper.from_array(np.ones((16, 16, 1, 1), np.int8), "w.int8"),
        ]
    )
    keep_exact_outputs(model.graph)
    onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])  # or it raises
    kinds = Counter(node.op_type for node in model.graph.node)
    assert (kinds["QuantizeLinear"], kinds["DequantizeLinear"]) == ((1, 2) if rounded else (0, 1))
    assert model.graph.node[-1].input[0] == ("back" if rounded else "made")
