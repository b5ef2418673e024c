"""A released tracker's ONNX graph as torch operations, to run a whole batch on the device on which a student learns.

ONNX Runtime is the faster one on a processor. On an accelerator it would keep the student waiting: 3 ms per pair.
Only the operators of the NanoTrack family are here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F  # noqa: N812
from onnx import numpy_helper
from torch import Tensor, nn

from sot_tracker.errors import UserError

Arguments = Sequence[Tensor]
Operator = Callable[[Arguments, dict[str, Any]], Tensor]


class OnnxOnTorch(nn.Module):
    """The graph of `model` as a module, for batches of any size. Raises UserError for an operator that is not known.

    Called with the graph's inputs in order; returns its outputs in order. It holds the graph's weights as buffers.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        graph = model.graph
        unknown = sorted({node.op_type for node in graph.node} - {*_OPERATORS, "Constant"})
        if unknown:
            raise UserError(f"the teacher's graph has {unknown[0]}, which is not known here: train on the CPU")
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                constants[node.output[0]] = numpy_helper.to_array(_attributes(node)["value"])
        self._places: dict[str, str] = {}
        for number, (name, value) in enumerate(constants.items()):
            self._places[name] = f"constant_{number}"
            self.register_buffer(self._places[name], torch.from_numpy(np.array(value)))
        self._nodes = [
            (_OPERATORS[node.op_type], tuple(node.input), node.output[0], _attributes(node))
            for node in graph.node
            if node.op_type != "Constant"
        ]
        self._inputs, self._outputs = ([tensor.name for tensor in ends] for ends in (graph.input, graph.output))
        numbers = {name for node in graph.node if node.op_type in ("Reshape", "Slice") for name in node.input[1:]}
        self._numbers = {name: constants[name].tolist() for name in numbers}

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        values: dict[str, Any] = {name: getattr(self, place) for name, place in self._places.items()}
        values.update(self._numbers)
        values.update(zip(self._inputs, inputs, strict=True))
        values[""] = None
        batch = len(inputs[0])
        for operate, names, output, attributes in self._nodes:
            values[output] = operate([values[name] for name in names], {**attributes, "batch": batch})
        return [values[name] for name in self._outputs]


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


def _convolution(x: Arguments, how: dict[str, Any]) -> Tensor:
    top, left, bottom, right = how.get("pads", (0, 0, 0, 0))
    same = (top, left) == (bottom, right)
    image = x[0] if same else F.pad(x[0], (left, right, top, bottom))
    bias = x[2] if len(x) > 2 else None
    padding, groups = (top, left) if same else 0, how.get("group", 1)
    if 1 < groups < len(x[1]) and x[1].shape[1] == 1:  # filters made of the templates, some for each pair
        image, groups = image.flatten(0, 1)[None], len(x[1])
    return F.conv2d(image, x[1], bias, tuple(how.get("strides", (1, 1))), padding, (1, 1), groups)


def _linear(x: Arguments, how: dict[str, Any]) -> Tensor:
    weight = x[1] if how.get("transB") else x[1].T
    return F.linear(x[0], weight, x[2])


def _reshaped(x: Sequence[Any], how: dict[str, Any]) -> Tensor:
    """The graphs are fixed to a batch of one: their shapes name first 1, or the filters made of one template."""
    value: Tensor = x[0]
    first, *others = x[1]
    return value.reshape(how["batch"] * first, *others)


def _sliced(x: Sequence[Any], how: dict[str, Any]) -> Tensor:
    """From starts to ends along axes."""
    value, starts, ends, axes = x[:4]
    for start, end, axis in zip(starts, ends, axes, strict=True):
        size = value.shape[axis]
        start, end = (at + size if at < 0 else min(at, size) for at in (start, end))
        value = value.narrow(axis, start, end - start)
    sliced: Tensor = value
    return sliced


_OPERATORS: dict[str, Operator] = {
    "Add": lambda x, how: x[0] + x[1],
    "Clip": lambda x, how: x[0].clamp(x[1], x[2]) if len(x) > 1 else x[0].clamp(how.get("min"), how.get("max")),
    "Concat": lambda x, how: torch.cat(list(x), how["axis"]),
    "Conv": _convolution,
    "Exp": lambda x, how: x[0].exp(),
    "Gemm": _linear,
    "GlobalAveragePool": lambda x, how: x[0].mean((2, 3), keepdim=True),
    "HardSigmoid": lambda x, how: (how.get("alpha", 0.2) * x[0] + how.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": lambda x, how: F.hardswish(x[0]),
    "MatMul": lambda x, how: x[0] @ x[1],
    "Mul": lambda x, how: x[0] * x[1],
    "Relu": lambda x, how: F.relu(x[0]),
    "Reshape": _reshaped,
    "Sigmoid": lambda x, how: x[0].sigmoid(),
    "Slice": _sliced,
    "Transpose": lambda x, how: x[0].permute(how["perm"]),
}
