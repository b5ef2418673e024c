"""COCO's masks: what is read, and that anything else is a ValueError before pycocotools sees it."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pycocotools")

from sot_tracker.datasets import coco_masks

SQUARE = [2, 1, 6, 1, 6, 4, 2, 4]


@pytest.mark.parametrize(
    "annotation",
    [[SQUARE], [SQUARE, SQUARE], {"size": [8, 10], "counts": [17, 3, 5, 3, 5, 3, 5, 3, 36]}],
)
def test_masks(annotation: Any) -> None:
    mask = coco_masks.read(annotation, 10, 8)
    assert mask.shape == (8, 10)
    assert mask[1:4, 2:6].all()
    assert mask.sum() == 12 * 255


@pytest.mark.parametrize(
    ("annotation", "width", "words"),
    [
        ("text", 10, "a list of polygons"),
        ([], 10, "a list of polygons"),
        ([3], 10, "three points"),
        ([[1, 2, 3, 4]], 10, "three points"),
        ([[*SQUARE[:7], "4"]], 10, "not numbers"),
        ([[*SQUARE[:7], float("nan")]], 10, "far outside"),
        ([[*SQUARE[:7], 1e9]], 10, "far outside"),
        ([SQUARE], 2**31, "whole number from 1"),
        ([SQUARE], None, "whole number from 1"),
        ({"counts": [80]}, 10, "a size"),
        ({"size": [2**30, 2**30], "counts": "0"}, 10, "whole number from 1"),
        ({"size": [8, "10"], "counts": [80]}, 10, "whole number from 1"),
        ({"size": [8, 10], "counts": None}, 10, "a list or a text"),
        ({"size": [8, 10], "counts": [40, None]}, 10, "whole numbers"),
        ({"size": [8, 10], "counts": [100, -20]}, 10, "whole numbers"),
        ({"size": [8, 10], "counts": [40]}, 10, "cover 40 of 80"),
    ],
)
def test_what_is_no_mask(annotation: Any, width: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        coco_masks.read(annotation, width, 8)
