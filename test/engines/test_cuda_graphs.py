"""A recorded search gives what the call itself gives, for every shape and for new inputs."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sot_tracker.catalog import network_spec  # noqa: E402
from sot_tracker.engines.cuda_graphs import Replayed  # noqa: E402
from sot_tracker.engines.torch import FromSearchPatch, FromTemplatePatch  # noqa: E402
from sot_tracker.nets import build  # noqa: E402


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["lite", "fermt", "hit_tiny", "smat", "mvt", "hcat"])
def test_replay_is_the_call(model: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device here")
    torch.manual_seed(0)
    net, spec = build(model).eval().cuda(), network_spec(model)
    template, search = FromTemplatePatch(net, spec).eval().cuda(), FromSearchPatch(net, spec).eval().cuda()
    replayed = Replayed(search)
    with torch.inference_mode():
        for targets in (1, 2, 1):
            z = torch.randint(0, 256, (1, spec.template_size, spec.template_size, 3), dtype=torch.uint8).cuda()
            x = torch.randint(0, 256, (targets, spec.search_size, spec.search_size, 3), dtype=torch.uint8).cuda()
            cached = tuple(torch.cat([value] * targets) for value in template(z))
            there = {name: value.clone() for name, value in replayed(cached, x).items()}
            for name, value in search(cached, x).items():
                torch.testing.assert_close(there[name], value, atol=2e-3, rtol=2e-3)
