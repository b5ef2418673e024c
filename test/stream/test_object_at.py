from __future__ import annotations

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.stream.object_at import object_at
from sot_tracker.tracker import Image


def scene(objects: list[tuple[Box, tuple[int, int, int]]], size: tuple[int, int] = (240, 320)) -> Image:
    """Ellipses of these colours, with grain, on a soft ground."""
    rng = np.random.default_rng(3)
    ground = cv2.resize(rng.integers(60, 110, (8, 10, 3), np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)
    for box, color in objects:
        center, axes = (round(box.center[0]), round(box.center[1])), (round(box.w / 2), round(box.h / 2))
        cv2.ellipse(ground, center, axes, 0, 0, 360, color, cv2.FILLED)
    noise = rng.normal(0, 4, ground.shape)
    return np.clip(ground + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "box", [Box(30, 40, 16, 20), Box(150, 90, 60, 40), Box(60, 50, 130, 150), Box(290, 210, 30, 30)]
)
@pytest.mark.parametrize("color", [(30, 40, 220), (235, 235, 235), (10, 60, 10)])
def test_finds_the_object_under_the_point(box: Box, color: tuple[int, int, int]) -> None:
    other = Box(230, 20, 50, 40)
    x, y = box.center
    found = object_at(scene([(box, color), (other, (200, 180, 20))]), x + 0.1 * box.w, y - 0.1 * box.h)
    assert found is not None
    assert found.iou(box) > 0.7


def test_the_same_click_finds_the_same_box_in_any_memory_layout() -> None:
    image = scene([(Box(150, 90, 60, 40), (30, 40, 220))])
    first = object_at(image, 180, 110)
    assert first is not None
    assert object_at(np.asfortranarray(image), 180, 110) == first


@pytest.mark.parametrize("point", [(-1, 5), (320, 5), (5, 240), (float("nan"), 5), (float("inf"), 5)])
def test_outside_of_the_frame_there_is_nothing(point: tuple[float, float]) -> None:
    assert object_at(scene([]), *point) is None


@pytest.mark.parametrize("image", [np.full((240, 320, 3), 77, np.uint8), np.full((3, 3, 3), 7, np.uint8)])
def test_in_a_plain_picture_nothing_stands_out(image: Image) -> None:
    assert object_at(image, 1, 1) is None
