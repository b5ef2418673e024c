"""Weights as they are stored: which tensors are rounded, how far, and that they come back."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from sot_tracker.errors import UserError  # noqa: E402
from sot_tracker.storage import packed, unpacked  # noqa: E402

FILE = Path("weights.safetensors")


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "conv.weight": torch.randn(128, 64, 3, 3) * torch.logspace(-6, 3, 128)[:, None, None, None],
        "linear.weight": torch.randn(100, 656),
        "small.weight": torch.randn(256, 256),
        "depthwise.weight": torch.randn(512, 1, 3, 3),
        "pos_embed": torch.randn(1, 400, 192),
        "norm.weight": torch.randn(8192),
        "counter": torch.tensor(3),
    }


def test_int8_is_for_large_matrices_only() -> None:
    stored = packed(state(), "int8")
    kinds = {name: value.dtype for name, value in stored.items()}
    half = dict.fromkeys(("small.weight", "depthwise.weight", "pos_embed"), torch.float16)
    whole = dict.fromkeys(("conv.weight", "linear.weight"), torch.int8)
    scales = dict.fromkeys(("conv.weight_scale", "linear.weight_scale"), torch.float32)
    assert kinds == half | whole | scales | {"norm.weight": torch.float32}
    assert stored["conv.weight_scale"].shape == (128, 1, 1, 1)


def test_int8_is_off_by_half_a_step_of_its_channel_at_most() -> None:
    given, stored = state(), packed(state(), "int8")
    back = unpacked(FILE, stored)
    assert back.keys() == given.keys() - {"counter"}
    for name in ("conv.weight", "linear.weight"):
        assert back[name].dtype == torch.float32
        step = stored[f"{name}_scale"]
        assert torch.all((back[name] - given[name]).abs() <= step * 0.501)
        assert torch.all(stored[name].flatten(1).abs().amax(1) == 127), "every channel uses the whole range"


def test_channels_of_zeros_stay_zeros() -> None:
    back = unpacked(FILE, packed({"w.weight": torch.zeros(512, 256)}, "int8"))
    assert torch.equal(back["w.weight"], torch.zeros(512, 256))


def test_vectors_and_large_values_stay_in_fp32() -> None:
    given = state() | {"linear.weight": torch.full((100, 656), 70000.0)}
    stored = packed(given, "fp16")
    assert stored["conv.weight"].dtype == torch.float16
    assert stored["linear.weight"].dtype == torch.float32
    assert stored["norm.weight"].dtype == torch.float32
    assert {tensor.dtype for tensor in packed(given, "fp32").values()} == {torch.float32}
    with pytest.raises(UserError, match="'int4' is unknown: choose one of int8, fp16, fp32"):
        packed(given, "int4")


@pytest.mark.parametrize(
    "scale", [None, torch.ones(64, 1), torch.ones(100), torch.ones(100, 1).half()], ids=["none", "few", "flat", "half"]
)
def test_scales_that_do_not_fit(scale: torch.Tensor | None) -> None:
    stored = packed({"linear.weight": torch.randn(100, 656)}, "int8")
    del stored["linear.weight_scale"]
    if scale is not None:
        stored["linear.weight_scale"] = scale
    with pytest.raises(UserError, match=r"'linear.weight' in int8 without fitting scales"):
        unpacked(FILE, stored)
