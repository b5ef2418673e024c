"""Batched augmentation: the same promises as the one for single patches."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sot_tracker.train import augment_device  # noqa: E402
from sot_tracker.train.augment import Photometry  # noqa: E402

OFF = {"grey": 0.0, "brightness": 0.0}


@pytest.fixture
def pairs():
    draw = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 64, 64, generator=draw), torch.rand(4, 3, 128, 128, generator=draw)


def test_nothing_asked_little_done(pairs):
    for before, after in zip(pairs, augment_device.apply(*pairs, Photometry(**OFF), 0), strict=True):
        assert (before - after).abs().max() < 0.02


def test_seed_fixes_all(pairs):
    how = Photometry(blur=0.5, motion=0.5, noise=0.5, color=0.2, gamma=0.3, low_resolution=0.5)
    once, again, other = (augment_device.apply(*pairs, how, seed) for seed in (1, 1, 2))
    assert torch.equal(once[1], again[1])
    assert not torch.equal(once[1], other[1])


def test_grey_is_joint(pairs):
    for patches in augment_device.apply(*pairs, Photometry(grey=1.0, brightness=0.0), 0):
        assert (patches[:, 0] - patches[:, 2]).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["blur", "motion", "noise", "low_resolution"])
def test_every_effect_changes_every_patch_and_keeps_its_mean(pairs, name):
    _, changed = augment_device.apply(*pairs, Photometry(**OFF, **{name: 1.0}), 0)
    assert ((changed - pairs[1]).abs().flatten(1).mean(1) > 0.003).all()
    assert changed.mean((1, 2, 3)).tolist() == pytest.approx(pairs[1].mean((1, 2, 3)).tolist(), abs=0.02)


def test_brightness_is_one_factor_per_patch(pairs):
    dim = tuple(p * 0.7 for p in pairs)
    _, changed = augment_device.apply(*dim, Photometry(grey=0.0), 0)
    ratio = (changed / dim[1].clamp(min=1e-3))[:, :, 8:-8, 8:-8].flatten(1)
    assert (ratio.median(1).values > 0.79).all()
    assert (ratio.median(1).values < 1.21).all()
    assert ratio.median(1).values.std() > 0.01
