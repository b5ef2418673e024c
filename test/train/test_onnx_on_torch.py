"""Graphs of a batch of one, run by torch for whole batches, against ONNX Runtime pair by pair."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

import numpy as np  # noqa: E402
from nanotracks import nanotrack  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from sot_tracker.errors import UserError  # noqa: E402
from sot_tracker.train.onnx_on_torch import OnnxOnTorch  # noqa: E402
from sot_tracker.train.onnx_teacher import OnnxTeacher  # noqa: E402

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def graph(nodes, inputs: dict[str, tuple[int, ...]], constants: dict[str, np.ndarray]):
    """A model whose output is the last node's; its inputs name a batch of one."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    out = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    made = helper.make_graph(nodes, "one", ends, [out], held)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def node(kind: str, *inputs: str, **attributes):
    return helper.make_node(kind, inputs, ["y"], **attributes)


MAP, OTHER = (1, 4, 6, 6), (1, 4, 2, 2)
CASES = {
    "Add": ([node("Add", "a", "b")], {"a": MAP, "b": MAP}, {}),
    "Mul": ([node("Mul", "a", "b")], {"a": MAP, "b": MAP}, {}),
    "Clip": ([node("Clip", "a", "low", "high")], {"a": MAP}, {"low": np.float32(-0.5), "high": np.float32(0.7)}),
    "Concat": ([node("Concat", "a", "b", axis=1)], {"a": MAP, "b": MAP}, {}),
    "Conv": (
        [node("Conv", "a", "w", "c", strides=[2, 2], pads=[1, 1, 1, 1], group=2)],
        {"a": MAP},
        {"w": normal(6, 2, 3, 3), "c": normal(6)},
    ),
    "Conv, uneven border": ([node("Conv", "a", "w", pads=[0, 1, 1, 0])], {"a": MAP}, {"w": normal(5, 4, 2, 2)}),
    "Conv, filters of each template": (
        [
            helper.make_node("Reshape", ["b", "filters"], ["w"]),
            helper.make_node("Conv", ["a", "w"], ["z"], pads=[1, 1, 0, 0], group=4),
            node("Reshape", "z", "map"),
        ],
        {"a": MAP, "b": OTHER},
        {"filters": whole(4, 1, 2, 2), "map": whole(1, 4, 6, 6)},
    ),
    "Exp": ([node("Exp", "a")], {"a": MAP}, {}),
    "Gemm": ([node("Gemm", "a", "w", "c", transB=1)], {"a": (1, 5)}, {"w": normal(3, 5), "c": normal(3)}),
    "Gemm, not turned": ([node("Gemm", "a", "w", "c")], {"a": (1, 5)}, {"w": normal(5, 3), "c": normal(3)}),
    "GlobalAveragePool": ([node("GlobalAveragePool", "a")], {"a": MAP}, {}),
    "HardSigmoid": ([node("HardSigmoid", "a", alpha=0.3)], {"a": MAP}, {}),
    "HardSwish": ([node("HardSwish", "a")], {"a": MAP}, {}),
    "MatMul": ([node("MatMul", "a", "b")], {"a": (1, 3, 4), "b": (1, 4, 5)}, {}),
    "Relu": ([node("Relu", "a")], {"a": MAP}, {}),
    "Reshape": ([node("Reshape", "a", "s")], {"a": MAP}, {"s": whole(1, 4, -1)}),
    "Sigmoid": ([node("Sigmoid", "a")], {"a": MAP}, {}),
    "Slice": (
        [node("Slice", "a", "from", "to", "axes", "steps")],
        {"a": MAP},
        {"from": whole(1, -5), "to": whole(4, 9), "axes": whole(1, 2), "steps": whole(1, 1)},
    ),
    "Transpose": ([node("Transpose", "a", perm=[0, 2, 1])], {"a": (1, 3, 4)}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_batch_is_its_pairs(case):
    model = graph(*CASES[case])
    batch = {name: np.concatenate([normal(*shape) for _ in range(3)]) for name, shape in CASES[case][1].items()}
    (got,) = OnnxOnTorch(model)(*map(torch.from_numpy, batch.values()))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected = [session.run(None, {name: v[i : i + 1] for name, v in batch.items()})[0] for i in range(3)]
    np.testing.assert_allclose(got.numpy(), np.concatenate(expected), atol=1e-5)


def test_what_is_not_known_is_named():
    with pytest.raises(UserError, match="Softplus, which is not known here: train on the CPU"):
        OnnxOnTorch(graph([node("Softplus", "a")], {"a": MAP}, {}))


@pytest.mark.parametrize("cells", [16, 15])
def test_a_teacher_on_an_accelerator_sees_the_same(cells, tmp_path, monkeypatch):
    folder = nanotrack(tmp_path / "nano", cells)
    z, x = (torch.from_numpy(RNG.integers(0, 256, (3, side, side, 3), dtype=np.uint8)) for side in (128, 256))
    here = OnnxTeacher(folder)(z, x)
    moved = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, device: moved.append(device) or module)
    there = OnnxTeacher(folder, device=torch.device("cuda"))(z, x)
    assert moved == [torch.device("cuda")] * 2
    for name in ("logit", "boxes", "features", "known"):
        torch.testing.assert_close(getattr(there, name), getattr(here, name), atol=1e-4, rtol=1e-4)
