"""A recorded search gives what the call itself gives, for every shape and for new inputs."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

torch = pytest.importorskip("torch")

from sot_tracker.catalog import network_spec  # noqa: E402
from sot_tracker.engines import cuda_graphs  # noqa: E402
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
            there = replayed(cached, x)
            for name, value in search(cached, x).items():
                torch.testing.assert_close(there[name], value.float().cpu(), atol=2e-3, rtol=2e-3)


class Slow:
    """A recording without a GPU: its one place for results is written to, and read a while later."""

    def __init__(self, _call, _cached, patches) -> None:
        self.result = torch.zeros_like(patches)

    def replay(self, _cached, patches):
        self.result.copy_(patches)
        time.sleep(0.01)
        return {"map": self.result}


def test_every_thread_gets_its_own_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graphs, "_Recording", Slow)
    replayed = Replayed(lambda cached, patches: {})
    with ThreadPoolExecutor(4) as threads:
        results = threads.map(lambda number: replayed((), torch.full((2,), number))["map"], range(12))
        assert [result.tolist() for result in results] == [[number, number] for number in range(12)]
