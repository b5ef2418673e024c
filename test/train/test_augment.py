"""Light and optics: what changes and what must not."""

from __future__ import annotations

import numpy as np
import pytest

from sot_tracker.train import augment
from sot_tracker.train.augment import Photometry


@pytest.fixture
def patch():
    return np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)


def test_published_brightness_is_a_factor(patch):
    light = augment.light(patch, Photometry(), np.random.default_rng(1))
    dark = (patch > 20) & (patch < 180)
    ratio = light[dark] / patch[dark]
    assert 0.8 <= np.median(ratio) <= 1.2
    assert ratio.std() < 0.02


def test_nothing_asked_nothing_done(patch):
    still = Photometry(grey=0, brightness=0)
    rng = np.random.default_rng(0)
    assert (augment.optics(augment.light(patch, still, rng), still, rng) == patch).all()


def test_grey_has_equal_channels(patch):
    grey = augment.grey(patch)
    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 0] == grey[..., 2]).all()


@pytest.mark.parametrize("angle", [0.0, np.pi / 2])
def test_motion_blur_smears_along_its_line(angle):
    image = np.zeros((65, 65, 3), np.uint8)
    image[32, 32] = 255
    blurred = augment.motion_blur(image, 9, angle)
    rows, columns = np.flatnonzero(blurred.any((1, 2))), np.flatnonzero(blurred.any((0, 2)))
    across, along = (rows, columns) if angle == 0 else (columns, rows)
    assert len(across) == 1
    assert len(along) >= 9


@pytest.mark.parametrize("name", ["blur", "motion", "noise", "low_resolution"])
def test_every_effect_changes_the_patch_and_keeps_its_mean(patch, name):
    how = Photometry(grey=0, brightness=0, **{name: 1.0})
    changed = augment.optics(patch, how, np.random.default_rng(3))
    assert changed.shape == patch.shape
    assert (changed != patch).any()
    assert changed.mean() == pytest.approx(patch.mean(), abs=4)
