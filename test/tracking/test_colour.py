"""Colours that tell a look-alike of the same shape."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.tracking import colour

BOX = Box(100, 60, 40, 30)


def scene(target: tuple[int, int, int], light: float = 1.0) -> np.ndarray:
    """A grey frame with a textured target of that BGR colour."""
    rng = np.random.default_rng(0)
    image = np.full((200, 320, 3), 120, np.uint8) + rng.integers(0, 30, (200, 320, 1), np.uint8)
    x1, y1, x2, y2 = (round(v) for v in BOX.xyxy)
    image[y1:y2, x1:x2] = np.clip(np.array(target) * light + rng.integers(-20, 20, (y2 - y1, x2 - x1, 1)), 0, 255)
    return image


RED, BLUE = (40, 40, 200), (200, 60, 40)


def test_a_target_is_like_itself_and_unlike_another_colour() -> None:
    known = colour.start(scene(RED), BOX)
    same = known.likeness(colour.histogram(scene(RED), BOX))
    assert (same.first, same.mean, same.others) == (pytest.approx(1), pytest.approx(1), None)
    darker = known.likeness(colour.histogram(scene(RED, light=0.95), BOX)).first
    other = known.likeness(colour.histogram(scene(BLUE), BOX)).first
    assert other < 0.2 < darker < 1
    assert known.likeness(colour.histogram(scene(RED)[:, ::-1], Box(180, 60, 40, 30))).first > 0.95, "mirrored"


def test_the_mean_follows_slowly_and_the_first_stays() -> None:
    known, seen = colour.start(scene(RED), BOX), colour.histogram(scene(BLUE), BOX)
    later = known
    for _ in range(20):
        later = later.learnt(seen)
    assert later.likeness(seen).first == known.likeness(seen).first
    assert known.likeness(seen).mean < later.likeness(seen).mean < 1
    assert later.mean.sum() == pytest.approx(1)


def test_look_alikes_beside_the_target_are_remembered() -> None:
    known, beside = colour.start(scene(RED), BOX), colour.histogram(scene(BLUE), BOX)
    once = known.learnt(known.first, beside)
    assert once.likeness(beside).others == pytest.approx(1)
    assert once.likeness(known.first).others == known.likeness(beside).first
    again = once.learnt(known.first, known.first)
    before, after = once.likeness(known.first).others, again.likeness(known.first).others
    assert before is not None
    assert after is not None
    assert before < after < 1
    assert once.learnt(known.first).others is once.others


@pytest.mark.parametrize(
    "box",
    [Box(-30, -20, 40, 30), Box(300, 190, 400, 300), Box(900, 900, 10, 10), Box(5, 5, 0.2, 0.2), Box(50, 50, -9, -3)],
)
def test_boxes_at_and_beyond_the_border(box: Box) -> None:
    assert colour.histogram(scene(RED), box).sum() == pytest.approx(1)


def test_views_of_any_strides() -> None:
    image = scene(RED)
    flipped = image[::-1, ::-1]
    assert np.array_equal(colour.histogram(flipped, BOX), colour.histogram(np.ascontiguousarray(flipped), BOX))
    assert np.array_equal(image, cv2.flip(cv2.flip(image, 0), 0)), "it is not written into"


def test_channels_are_those_of_opencv() -> None:
    image = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    image[:, :256] = image[:, :256] // 8  # dark ones more often: there its curves have a corner
    expected = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)[..., 1:]
    differences = np.abs(colour._channels(image) - expected.reshape(-1, 2).T.astype(int))
    assert differences.max() <= 1
    assert (differences > 0).sum() <= 5, "of 320,000 numbers"
    assert expected.std(axis=(0, 1)).min() > 10
