"""The exchanged layers give the outputs and gradients of the plain ones."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from sot_tracker import nets  # noqa: E402
from sot_tracker.train import onednn_workarounds  # noqa: E402


@pytest.mark.parametrize("size", [(8, 8), (6, 10), (7, 9)])
@pytest.mark.parametrize(("kernel", "stride", "bias"), [(3, 2, False), (3, 2, True), (5, 1, True), (5, 2, False)])
def test_gradients_are_those_of_the_plain_layer(size, kernel, stride, bias):
    torch.manual_seed(0)
    plain = torch.nn.Conv2d(5, 5, kernel, stride, kernel // 2, groups=5, bias=bias).double()
    fast = copy.deepcopy(plain)
    onednn_workarounds.prepare(fast)
    assert type(fast) is onednn_workarounds.PlainDepthwise
    x = torch.rand(2, 5, *size, dtype=torch.float64)
    found = []
    for layer in (plain, fast):
        given = x.clone().requires_grad_(True)
        out = layer(given)
        (out * torch.arange(out.numel()).reshape(out.shape)).sum().backward()
        found.append((out.detach(), given.grad, *(parameter.grad for parameter in layer.parameters())))
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, rtol=1e-5)


def test_a_5x5_layer_learns_in_bfloat16():
    torch.manual_seed(0)
    plain = torch.nn.Conv2d(4, 4, 5, padding=2, groups=4)
    fast = copy.deepcopy(plain)
    onednn_workarounds.prepare(fast)
    x = torch.rand(2, 4, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        fast(x).float().square().mean().backward()
    plain(x).square().mean().backward()
    for a, b in zip(fast.parameters(), plain.parameters(), strict=True):
        assert a.grad.dtype is torch.float32
        assert torch.allclose(a.grad, b.grad, rtol=0.05, atol=0.01)


def test_a_dilated_layer_is_trained_in_float32():
    """In bfloat16 and channels_last its backward pass ended the process (torch 2.13)."""
    torch.manual_seed(0)
    plain = torch.nn.Conv2d(3, 3, 5, padding=6, dilation=3, groups=3).to(memory_format=torch.channels_last)
    safe = copy.deepcopy(plain)
    onednn_workarounds.prepare(safe)
    x = torch.rand(4, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        out = safe(x.bfloat16())
    assert out.dtype is torch.float32
    out.square().mean().backward()
    plain(x.bfloat16().float()).square().mean().backward()
    assert torch.allclose(safe.weight.grad, plain.weight.grad, rtol=1e-4)


@pytest.mark.parametrize(
    ("model", "kind", "count"),
    [
        ("smat", onednn_workarounds.PlainDepthwise, 3),
        ("mvt", onednn_workarounds.PlainDepthwise, 3),
        ("fermt", onednn_workarounds.DilatedDepthwise, 1),
        ("hcat_n1", onednn_workarounds.PlainDepthwise, 0),
    ],
)
def test_names_stay_and_every_such_layer_is_exchanged(model, kind, count):
    net = nets.build(model)
    names = list(net.state_dict())
    onednn_workarounds.prepare(net)
    assert list(net.state_dict()) == names
    assert sum(isinstance(m, kind) for m in net.modules()) == count
