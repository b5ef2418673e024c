"""A search graph in fp32 -> the same in 8-bit integers (QDQ), its ranges measured on real pictures.

Convolutions and matrix products are quantised, weights per output channel. All else stays float32.
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
"""Name -> array, of one search."""

_LAST = 2
OPERATORS = ("Conv", "MatMul", "Gemm")


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, looks: Sequence[Inputs]) -> None:
        self._looks: Iterator[Inputs] = iter(looks)

    def get_next(self) -> Inputs | None:
        return next(self._looks, None)


def quantise(graph: Path, cached: Mapping[str, Sequence[int]], looks: Sequence[Inputs], out: Path) -> None:
    """Write the search graph `graph` in int8 to `out`, with its weights inside, for one target.

    cached: name -> shape of the cached tensors. looks: what to measure the ranges on.

    Weights take 7 bits where the processor has no VNNI: there products of 8 bits overflow the 16-bit sums of pairs.
    """
    with tempfile.TemporaryDirectory(prefix="sot_tracker-") as place:
        whole, folded = Path(place) / "whole.onnx", Path(place) / "folded.onnx"
        onnx.save(onnx.load(graph), whole)  # with its weights inside
        _fold(whole, cached, folded)
        root = logging.getLogger()
        before, root.level = root.level, logging.ERROR  # it advises what `_fold` has done
        try:
            quantize_static(
                folded,
                out,
                _Reader(looks),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS),
                nodes_to_exclude=ends_of(onnx.load(folded).graph),
                per_channel=True,
                reduce_range="VNNI" not in cpus.features(),
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        finally:
            root.level = before


def ends_of(graph: onnx.GraphProto) -> list[str]:
    """Names of the operators at the graph's ends, which stay in float32: those that read the picture, and the last
    `_LAST` of `OPERATORS` before each output, whose numbers are the box.
    """
    makes = {name: node for node in graph.node for name in node.output}
    found: dict[str, None] = {}
    first = next(node for node in graph.node if node.op_type in OPERATORS)
    found[first.name] = None
    waiting = [(output.name, 0) for output in graph.output]
    while waiting:
        name, passed = waiting.pop()
        node = makes.get(name)
        if node is None or passed == _LAST:
            continue
        is_one = node.op_type in OPERATORS
        if is_one:
            found[node.name] = None
        waiting += [(source, passed + is_one) for source in node.input[: 1 if is_one else None]]
    return list(found)


def _fold(graph: Path, cached: Mapping[str, Sequence[int]], out: Path) -> None:
    """The graph with constants and batch norms folded, exact shapes, standard operators: as quantising needs it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    for rows in {1, *(shape[0] for shape in cached.values())}:
        options.add_free_dimension_override_by_name(axis_name(rows), rows)
    onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def looks_of(template: Any, pairs: Sequence[tuple[Any, Any]]) -> list[Inputs]:
    """template: an ONNX Runtime session; pairs of a template and a search patch, S x S x 3 RGB."""
    names = [output.name for output in template.get_outputs()]
    looks = []
    for z, x in pairs:
        cached = dict(zip(names, template.run(None, {"patch": np.ascontiguousarray(z[None])}), strict=True))
        looks.append({**cached, "patch": np.ascontiguousarray(x[None])})
    return looks
