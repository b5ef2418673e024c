"""Presets, and the course of the learning rate."""

import dataclasses

import pytest

from sot_tracker.errors import UserError
from sot_tracker.train.recipe import PRESETS, Recipe


def test_imagenet_keeps_the_backbone_near_its_weights():
    recipe = PRESETS["imagenet"]("lite")
    assert (recipe.optimizer, recipe.backbone_rate) == ("muon", 0.1)
    assert recipe.sampling.negative > PRESETS["scratch"]("lite").sampling.negative


def test_lite_has_no_paper():
    with pytest.raises(UserError, match="or imagenet for lite"):
        PRESETS["paper"]("lite")


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("step", [1, 1, 1, 0.1, 0.1]),
        ("cosine", [1, 0.854, 0.5, 0.146, 0.0]),
        ("tail", [1, 1, 1, 0.5, 0.0]),  # falls from half of the steps on
    ],
)
def test_course_of_the_rate(schedule, factors):
    recipe = Recipe(steps=10_000, schedule=schedule, decay_at=0.5 if schedule == "tail" else 0.7)
    found = [recipe.rate_at(step) for step in (0, 2500, 5000, 7500, 9999)]
    assert found == pytest.approx(factors, abs=1e-3)


def test_a_recipe_of_an_earlier_version_can_be_read():
    stored = PRESETS["imagenet"]("lite").to_dict()
    del stored["freeze_blocks"]
    assert Recipe.from_dict(stored) == dataclasses.replace(PRESETS["imagenet"]("lite"), freeze_blocks=0)
