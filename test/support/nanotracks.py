"""A NanoTrack-like pair of graphs, made here; importing this needs the package onnx."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 3
SIDES = np.array([8.0, 16.0, 24.0, 32.0], np.float32)  # left, top, right, bottom in pixels


def tensor(name: str, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def save(path, nodes, inputs, outputs, constants) -> None:
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=7), path)


def nanotrack(folder: Path, cells: int = 16) -> Path:
    """A backbone that averages pixels around every 16th; a head whose score is the first channel (blue), which says
    `SIDES` everywhere. Exported for 255 pixels, as the released ones."""
    folder.mkdir()
    around = {"kernel": np.full((3, 1, 3, 3), 1 / 9, np.float32)}
    pool = helper.make_node("Conv", ["input", "kernel"], ["output"], strides=[16, 16], pads=[1, 1, 1, 1], group=3)
    ends = [tensor("input", 1, 3, 255, 255)], [tensor("output", 1, 3, 16, 16)]
    save(folder / "backbone.onnx", [pool], *ends, around)
    first = 16 - cells
    nodes = [
        helper.make_node("GlobalAveragePool", ["input1"], ["mean"]),
        helper.make_node("Mul", ["mean", "none"], ["unused"]),
        helper.make_node("Add", ["input2", "unused"], ["search"]),
        helper.make_node("Slice", ["search", "from", "to", "axes"], ["inner"]),
        helper.make_node("Conv", ["inner", "classes"], ["output1"]),
        helper.make_node("Conv", ["inner", "nothing", "sides"], ["output2"]),
    ]
    classes = np.zeros((2, CHANNELS, 1, 1), np.float32)
    classes[1, 0] = 1 / 16
    constants = {
        "none": np.zeros(1, np.float32),
        "from": np.array([first, first]),
        "to": np.array([16, 16]),
        "axes": np.array([2, 3]),
        "classes": classes,
        "nothing": np.zeros((4, CHANNELS, 1, 1), np.float32),
        "sides": SIDES,
    }
    inputs = [tensor("input1", 1, CHANNELS, 8, 8), tensor("input2", 1, CHANNELS, 16, 16)]
    outputs = [tensor("output1", 1, 2, cells, cells), tensor("output2", 1, 4, cells, cells)]
    save(folder / "head.onnx", nodes, inputs, outputs, constants)
    return folder
