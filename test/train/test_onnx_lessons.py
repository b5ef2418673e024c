"""What a network learns from released trackers while it is trained."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from nanotracks import CHANNELS, nanotrack  # noqa: E402

from sot_tracker.errors import UserError  # noqa: E402
from sot_tracker.nets import family_of  # noqa: E402
from sot_tracker.train.feed import build_net  # noqa: E402
from sot_tracker.train.onnx_lessons import OnnxTeachers, Taught  # noqa: E402
from sot_tracker.train.recipe import scratch  # noqa: E402


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("teachers")
    return nanotrack(place / "a", 16), nanotrack(place / "b", 15)


def pairs(count: int):
    """Patches in 0..1, labels: a blue square around cell (9, 5) of the search patch."""
    x = torch.zeros(count, 3, 256, 256)
    x[:, 2, 16 * 9 - 30 : 16 * 9 + 31, 16 * 5 - 30 : 16 * 5 + 31] = 1
    boxes = torch.tensor([[50.0, 114.0, 61.0, 61.0]]).repeat(count, 1) / 256
    return torch.zeros(count, 3, 128, 128), x, boxes, torch.ones(count, dtype=torch.bool)


@pytest.mark.parametrize("model", ["lite", "fermt", "hit_tiny"])
def test_every_part_of_the_network_and_of_the_lessons_learns(model, folders):
    recipe = scratch(model)
    net = build_net(model, recipe)
    teachers = OnnxTeachers(folders, model, recipe)
    taught = teachers.around(net, net, family_of(model))
    z, x, boxes, present = pairs(3)
    maps = taught(z, x)
    assert [tuple(features.shape) for features, _ in maps["lessons"]] == [(2, CHANNELS, 16, 16), (1, CHANNELS, 16, 16)]
    losses = teachers.losses(maps["lessons"], z, x, boxes, present)
    assert set(losses) == {"onnx_features", "onnx_score", "onnx_box"}
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in taught.lessons.parameters())
    assert any(p.grad is not None for p in net.parameters())


def test_the_layers_beside_the_network_are_no_part_of_it(folders):
    recipe = scratch("lite")
    net = build_net("lite", recipe)
    names = set(net.state_dict())
    taught = OnnxTeachers(folders, "lite", recipe).around(net, net, family_of("lite"))
    assert isinstance(taught, Taught)
    assert set(net.state_dict()) == names
    assert {name.removeprefix("trained.") for name in taught.state_dict() if name.startswith("trained.")} == names


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"template_size": 64, "search_size": 128}, "and lite takes 64 and 128 at 2 and 4: leave the sizes"),
        ({"batch": 1}, "less than a pair for each of 2 teachers"),
    ],
)
def test_what_does_not_fit_the_teachers_is_refused(changes, words, folders):
    with pytest.raises(UserError, match=words):
        OnnxTeachers(folders, "lite", dataclasses.replace(scratch("lite"), **changes))
