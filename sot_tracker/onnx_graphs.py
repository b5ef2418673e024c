"""A torch module -> an ONNX graph whose initialisers lie in a safetensors file.

Each parameter stays one initialiser, a stretch of the safetensors file. The graph makes it float32: by a cast where it
is stored in half, by a cast and a product with its scales where it is stored in int8. Runtimes fold these, the
transposes and the batch norms when they load; that the file keeps them unfolded is what lets two graphs and the torch
engine share one file.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, DeduplicateHashedInitializersPass
from onnxscript import optimizer
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sot_tracker.weights_file import SCALE_SUFFIX, Stretch, read_header

OPSET, IR_VERSION = 20, 9  # 20 is the first with GELU as one operator; a newer one would shut out older runtimes
_FROM_SAFETENSORS = {"F16": ir.DataType.FLOAT16, "F32": ir.DataType.FLOAT, "I8": ir.DataType.INT8}
_MIN_TABLE, _MAX_TABLE = 1024, 2**30


def save_graph(
    module: nn.Module,
    inputs: tuple[Any, ...],
    names: tuple[Sequence[str], Sequence[str]],
    weights: Path,
    out: Path,
    many_targets: bool = False,
) -> None:
    """Trace `module(*inputs)` to the file `out`, static shapes, but for the first axis where it serves many targets.

    inputs: tensors of one target, or tuples of them. names: of the flattened inputs and outputs.
    weights: safetensors file beside `out`; a parameter `<prefix>.<name>` of the module whose name is in it is taken
    from there, all others stay in the graph. many_targets: leave the first axis of all inputs and outputs free.
    """
    with _quiet():
        model = _trace(module, inputs, *names, many_targets)
        layout = read_header(weights, weights.read_bytes()).tensors
        shared = [name for name in model.graph.initializers if name.partition(".")[2] in layout]
        # The optimiser must not fold parameters into new constants: for its time they are inputs.
        parameters = [_hide(model.graph, name) for name in shared]
        optimizer.optimize_ir(model)
        DeduplicateHashedInitializersPass(size_limit=_MAX_TABLE)(model)
        _shorten_tables(model.graph)
        for value in parameters:
            _share(model.graph, value, str(value.name).partition(".")[2], layout, weights.name)
        ClearMetadataAndDocStringPass()(model)
    model.ir_version = IR_VERSION
    model.producer_name = "sot_tracker"
    ir.save(model, out)


def _trace(
    module: nn.Module,
    inputs: tuple[Any, ...],
    input_names: Sequence[str],
    output_names: Sequence[str],
    many_targets: bool,
) -> ir.Model:
    batch = torch.export.Dim("batch")

    def free(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(free, value))
        return {0: batch if value.shape[0] == 1 else value.shape[0] * batch}

    def doubled(value: Any) -> Any:
        return tuple(map(doubled, value)) if isinstance(value, tuple) else torch.cat([value, value])

    shapes = free(inputs) if many_targets else None
    inputs = doubled(inputs) if many_targets else inputs  # an axis of 1 would be taken as fixed
    # The fused CPU attention has strides of its own, which the exporter's shape pass takes for those of the graph.
    with sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        program = torch.onnx.export(
            module,
            inputs,
            dynamo=True,
            optimize=False,
            verbose=False,
            opset_version=OPSET,
            dynamic_shapes=shapes,
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


def _share(graph: ir.Graph, value: ir.Value, name: str, layout: Mapping[str, Stretch], location: str) -> None:
    """Replace the hidden parameter by what the weights file holds, made float32 in the graph."""
    graph.inputs.remove(value)
    if not value.uses():
        return
    stored = _external(graph, name, layout[name], location)
    if stored.dtype == ir.DataType.FLOAT:
        value.replace_all_uses_with(stored)
        return
    nodes = [_cast(stored, ir.DataType.FLOAT)]
    if stored.dtype == ir.DataType.INT8:
        scale = _external(graph, name + SCALE_SUFFIX, layout[name + SCALE_SUFFIX], location)
        nodes.append(ir.node("Mul", [nodes[0].outputs[0], scale]))
        _describe(nodes[1].outputs[0], f"{name}.scaled", stored.shape, ir.DataType.FLOAT)
    value.replace_all_uses_with(nodes[-1].outputs[0])
    graph[0].prepend(nodes)


def _external(graph: ir.Graph, name: str, stretch: Stretch, location: str) -> ir.Value:
    """An initialiser whose numbers are that stretch of the weights file."""
    dtype, shape = _FROM_SAFETENSORS[stretch.dtype], ir.Shape(stretch.shape)
    tensor = ir.ExternalTensor(location, stretch.offset, stretch.length, dtype, shape=shape, name=name)
    stored = ir.Value(name=name, shape=shape, type=ir.TensorType(dtype), const_value=tensor)
    graph.register_initializer(stored)
    return stored


def _shorten_tables(graph: ir.Graph) -> None:
    """Store long tables of indices (HiT's attention biases) in 16 bits."""
    for name, value in list(graph.initializers.items()):
        table = value.const_value
        if table is None or table.dtype != ir.DataType.INT64 or table.size < _MIN_TABLE:
            continue
        indices = table.numpy()
        if indices.min() < 0 or indices.max() >= 2**15:
            continue
        graph.initializers.pop(name)
        short = ir.tensor(indices.astype("int16"), name=f"{name}.int16")
        stored = ir.Value(name=short.name, shape=value.shape, type=ir.TensorType(short.dtype), const_value=short)
        graph.register_initializer(stored)
        cast = _cast(stored, ir.DataType.INT64)
        value.replace_all_uses_with(cast.outputs[0])
        graph[0].prepend(cast)


def _cast(stored: ir.Value, dtype: ir.DataType) -> ir.Node:
    cast = ir.node("Cast", [stored], attributes={"to": dtype})
    _describe(cast.outputs[0], f"{stored.name}.cast", stored.shape, dtype)
    return cast


def _describe(value: ir.Value, name: str, shape: ir.Shape | None, dtype: ir.DataType) -> None:
    value.name, value.shape, value.dtype = name, shape, dtype


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
