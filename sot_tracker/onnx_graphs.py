"""A torch module -> an ONNX graph whose initialisers lie in a safetensors file.

Each parameter stays one initialiser, a stretch of the safetensors file, cast to float32 in the graph where it is stored
in half. Runtimes fold these casts, the transposes and the batch norms when they load; that the file keeps them unfolded
is what lets two graphs and the torch engine share one file.
"""

from __future__ import annotations

import contextlib
import json
import logging
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, DeduplicateHashedInitializersPass
from onnxscript import optimizer
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

OPSET, IR_VERSION = 18, 8  # opset 18 needs no newer file version, and a newer one would shut out older runtimes
_FROM_SAFETENSORS = {"F16": ir.DataType.FLOAT16, "F32": ir.DataType.FLOAT}
_SMALLEST_TABLE, _LARGEST_TABLE = 1024, 2**30


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where one tensor lies in a safetensors file, bytes from its beginning."""

    dtype: ir.DataType
    shape: tuple[int, ...]
    offset: int
    length: int


def read_layout(weights: Path) -> dict[str, Stretch]:
    """Name -> place of every tensor of a safetensors file (8 bytes of header length, JSON header, data)."""
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    data = 8 + length
    return {
        name: Stretch(
            _FROM_SAFETENSORS[entry["dtype"]],
            tuple(entry["shape"]),
            data + entry["data_offsets"][0],
            entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in header.items()
    }


def save_graph(
    module: nn.Module, inputs: tuple[Any, ...], names: tuple[Sequence[str], Sequence[str]], weights: Path, out: Path
) -> None:
    """Trace `module(*inputs)`, static shapes, to the file `out`.

    names: of the flattened inputs and outputs. weights: safetensors file beside `out`; a parameter `<prefix>.<name>` of
    the module whose name is in it is taken from there, all others stay in the graph.
    """
    with _quiet():
        model = _trace(module, inputs, *names)
        layout = read_layout(weights)
        stretches = {
            name: (stored, layout[stored])
            for name in model.graph.initializers
            if (stored := name.partition(".")[2]) in layout
        }
        # The optimiser must not fold parameters into new constants: for its time they are inputs.
        parameters = [_hide(model.graph, name) for name in stretches]
        optimizer.optimize_ir(model)
        DeduplicateHashedInitializersPass(size_limit=_LARGEST_TABLE)(model)
        _shorten_tables(model.graph)
        for value in parameters:
            stored, stretch = stretches[str(value.name)]
            _share(model.graph, value, stored, stretch, weights.name)
        ClearMetadataAndDocStringPass()(model)
    model.ir_version = IR_VERSION
    model.producer_name = "sot_tracker"
    ir.save(model, out)


def _trace(
    module: nn.Module, inputs: tuple[Any, ...], input_names: Sequence[str], output_names: Sequence[str]
) -> ir.Model:
    # The fused CPU attention has strides of its own, which the exporter's shape pass takes for those of the graph.
    with sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        program = torch.onnx.export(
            module,
            inputs,
            dynamo=True,
            optimize=False,
            verbose=False,
            opset_version=OPSET,
            input_names=list(input_names),
            output_names=list(output_names),
        )
    assert program is not None
    return program.model


def _hide(graph: ir.Graph, name: str) -> ir.Value:
    value = graph.initializers.pop(name)
    value.const_value = None
    graph.inputs.append(value)
    return value


def _share(graph: ir.Graph, value: ir.Value, name: str, stretch: Stretch, location: str) -> None:
    """Replace the hidden parameter by a stretch of the weights file."""
    graph.inputs.remove(value)
    if not value.uses():
        return
    shape = ir.Shape(stretch.shape)
    tensor = ir.ExternalTensor(location, stretch.offset, stretch.length, stretch.dtype, shape=shape, name=name)
    stored = ir.Value(name=name, shape=shape, type=ir.TensorType(stretch.dtype), const_value=tensor)
    graph.register_initializer(stored)
    if stretch.dtype != ir.DataType.FLOAT16:
        value.replace_all_uses_with(stored)
    else:
        _replace_by_cast(graph, value, stored, ir.DataType.FLOAT)


def _shorten_tables(graph: ir.Graph) -> None:
    """Store long tables of indices (HiT's attention biases) in 16 bits."""
    for name, value in list(graph.initializers.items()):
        table = value.const_value
        if table is None or table.dtype != ir.DataType.INT64 or table.size < _SMALLEST_TABLE:
            continue
        indices = table.numpy()
        if indices.min() < 0 or indices.max() >= 2**15:
            continue
        graph.initializers.pop(name)
        short = ir.tensor(indices.astype("int16"), name=f"{name}.int16")
        stored = ir.Value(name=short.name, shape=value.shape, type=ir.TensorType(short.dtype), const_value=short)
        graph.register_initializer(stored)
        _replace_by_cast(graph, value, stored, ir.DataType.INT64)


def _replace_by_cast(graph: ir.Graph, value: ir.Value, stored: ir.Value, dtype: ir.DataType) -> None:
    cast = ir.node("Cast", [stored], attributes={"to": dtype})
    result = cast.outputs[0]
    result.name, result.shape, result.dtype = f"{stored.name}.cast", stored.shape, dtype
    value.replace_all_uses_with(result)
    graph[0].prepend(cast)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's progress and its remarks on packages that no network here uses."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
