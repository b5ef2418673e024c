"""Converts a search graph from fp32 to 8-bit integers (QDQ), with ranges measured on real pictures.

Convolutions and matrix products with weights are quantised, weights per output channel. Everything else stays float32,
also products of two activations (attention) and convolutions with few channels, which are faster in float32.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from sot_tracker import cpus
from sot_tracker.manifest import axis_name

Inputs = dict[str, Any]
"""The inputs of one search: name -> array."""

OPERATORS = ("Conv", "MatMul", "Gemm")
_LAST = {"Conv": 2, "MatMul": 3, "Gemm": 3}
"""Number of operators before an output that are not quantised. HCAT's boxes overlap those of fp32 by 0.94 with 2 and by
0.97 with 3; for the convolutional heads 3 is not better, but slower."""
_MIN_CHANNELS = 16
"""A convolution with fewer output channels does not fill a vector register and is slower in int8 than in float32."""


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, inputs: Sequence[Inputs]) -> None:
        self._inputs: Iterator[Inputs] = iter(inputs)

    def get_next(self) -> Inputs | None:
        return next(self._inputs, None)


def quantise(graph: Path, cached: Mapping[str, Sequence[int]], inputs: Sequence[Inputs], out: Path) -> None:
    """Write the search graph `graph` in int8 to `out`, with its weights inside, for one target.

    cached: name -> shape of the cached tensors. inputs: searches on which the ranges are measured.

    On a processor without VNNI, weights use only 7 bits, since there 8-bit products overflow the 16-bit sums of pairs.
    """
    with tempfile.TemporaryDirectory(prefix="sot_tracker-") as place:
        whole, folded, rounded = (Path(place) / f"{step}.onnx" for step in ("whole", "folded", "rounded"))
        onnx.save(onnx.load(graph), whole)  # with its weights inside
        _fold(whole, cached, folded)
        exact = onnx.load(folded).graph
        root = logging.getLogger()
        before, root.level = root.level, logging.ERROR  # hides the advice to do what `_fold` has done
        try:
            quantize_static(
                folded,
                rounded,
                _Reader(inputs),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS),
                nodes_to_exclude=sorted({*ends_of(exact), *_better_exact(exact)}),
                per_channel=True,
                reduce_range="VNNI" not in cpus.features(),
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
            )
        finally:
            root.level = before
        graph = onnx.load(rounded)
        keep_exact_outputs(graph.graph)
        onnx.save(graph, out)


def _better_exact(graph: onnx.GraphProto) -> Iterator[str]:
    """Names of the operators that int8 would make slower: products of two activations, and thin convolutions."""
    shapes = {value.name: list(value.dims) for value in graph.initializer}
    for node in graph.node:
        if node.op_type in OPERATORS:
            weight = shapes.get(node.input[1])
            if weight is None or (node.op_type == "Conv" and weight[0] < _MIN_CHANNELS):
                yield node.name


def keep_exact_outputs(graph: onnx.GraphProto) -> None:
    """Remove the quantisation of a convolution's output if no operator reads it in int8: it costs time and accuracy.

    Outputs that are only added stay quantised, since ONNX Runtime would otherwise run the convolution in float32.
    """
    makes = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    dropped: set[str] = set()
    for back in (node for node in graph.node if node.op_type == "DequantizeLinear"):
        rounding = makes.get(back.input[0])
        source = makes.get(rounding.input[0]) if rounding is not None else None
        users = readers.get(back.output[0], [])
        if rounding is None or source is None or source.op_type != "Conv":
            continue
        shared = len(readers[rounding.output[0]]) > 1
        added = all(node.op_type == "Add" for node in users)  # also true without readers
        if shared or added or any(_is_int8(node, makes) for node in users):
            continue
        for node in users:
            node.input[:] = [rounding.input[0] if name == back.output[0] else name for name in node.input]
        dropped |= {back.name, rounding.name}
    kept = [node for node in graph.node if node.name not in dropped]
    graph.ClearField("node")
    graph.node.extend(kept)


def ends_of(graph: onnx.GraphProto) -> list[str]:
    """Names of the operators at the graph's ends, which stay in float32: those that read the picture, and the last
    of `OPERATORS` before each output (`_LAST`), whose numbers are the box.
    """
    makes = {name: node for node in graph.node for name in node.output}
    found: dict[str, None] = {}
    first = next(node for node in graph.node if node.op_type in OPERATORS)
    found[first.name] = None
    waiting = [(output.name, 0) for output in graph.output]
    while waiting:
        name, passed = waiting.pop()
        node = makes.get(name)
        if node is None or passed == max(_LAST.values()):
            continue
        is_one = node.op_type in OPERATORS
        if is_one and passed < _LAST[node.op_type]:
            found[node.name] = None
        waiting += [(source, passed + is_one) for source in node.input[: 1 if is_one else None]]
    return list(found)


def _is_int8(node: onnx.NodeProto, makes: Mapping[str, onnx.NodeProto]) -> bool:
    """Whether the weights of the operator are stored in 8 bits. makes: output -> operator."""
    weight = makes.get(node.input[1]) if node.op_type in OPERATORS else None
    return weight is not None and weight.op_type == "DequantizeLinear" and weight.input[0] not in makes


def _fold(graph: Path, cached: Mapping[str, Sequence[int]], out: Path) -> None:
    """Write the graph with folded constants and batch norms and fixed shapes, as needed for quantisation."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    for rows in {1, *(shape[0] for shape in cached.values())}:
        options.add_free_dimension_override_by_name(axis_name(rows), rows)
    onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def search_inputs(template: Any, pairs: Sequence[tuple[Any, Any]]) -> list[Inputs]:
    """The inputs of searches. template: an ONNX Runtime session. pairs: template and search patches, S x S x 3 RGB."""
    names = [output.name for output in template.get_outputs()]
    inputs = []
    for z, x in pairs:
        cached = dict(zip(names, template.run(None, {"patch": np.ascontiguousarray(z[None])}), strict=True))
        inputs.append({**cached, "patch": np.ascontiguousarray(x[None])})
    return inputs
