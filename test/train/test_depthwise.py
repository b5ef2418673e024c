"""The faster backward pass gives the gradients of the plain one."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from sot_tracker import nets  # noqa: E402
from sot_tracker.train import depthwise  # noqa: E402


@pytest.mark.parametrize("size", [(8, 8), (6, 10)])
def test_gradients_are_those_of_the_plain_layer(size):
    torch.manual_seed(0)
    plain = torch.nn.Conv2d(5, 5, 3, 2, 1, groups=5, bias=False).double()
    fast = copy.deepcopy(plain)
    depthwise.speed_up(fast)
    assert type(fast) is depthwise.StridedDepthwise
    x = torch.rand(2, 5, *size, dtype=torch.float64)
    found = []
    for layer in (plain, fast):
        given = x.clone().requires_grad_(True)
        out = layer(given)
        (out * torch.arange(out.numel()).reshape(out.shape)).sum().backward()
        found.append((out.detach(), given.grad, layer.weight.grad))
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize(("model", "count"), [("smat", 3), ("mvt", 3), ("hcat_n1", 0)])
def test_names_stay_and_every_such_layer_is_exchanged(model, count):
    net = nets.build(model)
    names = list(net.state_dict())
    depthwise.speed_up(net)
    assert list(net.state_dict()) == names
    assert sum(isinstance(m, depthwise.StridedDepthwise) for m in net.modules()) == count
