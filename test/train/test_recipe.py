"""Presets."""

import pytest

from sot_tracker.errors import UserError
from sot_tracker.train.recipe import PRESETS


def test_imagenet_keeps_the_backbone_near_its_weights():
    recipe = PRESETS["imagenet"]("lite")
    assert (recipe.optimizer, recipe.backbone_rate) == ("muon", 0.1)
    assert recipe.sampling.negative > PRESETS["scratch"]("lite").sampling.negative


def test_lite_has_no_paper():
    with pytest.raises(UserError, match="or imagenet for lite"):
        PRESETS["paper"]("lite")
