"""Patches against the stored ones: boxes inside, across and outside the border of a 320 x 240 frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cases
import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.crop import Crop, channel_average, crop_average, crop_black
from sot_tracker.errors import UserError

GREY_LEVEL = 1  # what another OpenCV build may differ by; with the one that made the files the difference is 0
MEAN = 0.1

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Expected:
    """One stored patch; None for what the family's file does not hold.

    outcome: "regular", "black" (wholly outside), "free" (the published code fails in its own way) or "error".
    """

    key: str
    box: Box
    seed: int
    factor: float
    size: int
    outcome: str
    corner: tuple[int, int] | None
    side: int
    mean: np.ndarray
    std: np.ndarray
    small: np.ndarray | None
    full: np.ndarray | None


KINDS = (("template", 2.0, 128), ("search", 4.0, 256))


def _fermt(a: Arrays) -> Iterator[Expected]:
    outcomes = ("regular", "black", "free")
    for kind, factor, size in KINDS:
        for i, box in enumerate(a["boxes"]):
            x, y, side = (int(v) for v in a[f"{kind}_geometry"][i, :3])
            status = outcomes[a[f"{kind}_status"][i]]
            mean, std, small = (a[f"{kind}_{name}"][i] for name in ("mean", "std", "small16"))
            full = a.get(f"{kind}_full_{i}")
            seed = int(a["image_seed"][i])
            yield Expected(f"{kind}{i}", Box(*box), seed, factor, size, status, (x, y), side, mean, std, small, full)


def _hit(a: Arrays) -> Iterator[Expected]:
    full_index = a["full_index"].tolist()
    for kind, factor, size in KINDS:
        p = kind[0]
        for i, box in enumerate(a["box"]):
            x, y, side = (int(v) for v in a[f"{p}_crop"][i])
            status = "free" if a[f"{p}_status"][i] else "regular"
            mean, std, small = (a[f"{p}_{name}"][i] for name in ("mean", "std", "small"))
            full = a[f"{p}_full"][full_index.index(i)] if i in full_index else None
            seed = int(a["image_seed"][i])
            yield Expected(f"{kind}{i}", Box(*box), seed, factor, size, status, (x, y), side, mean, std, small, full)


def _mobile(a: Arrays) -> Iterator[Expected]:
    for kind, factor, size in KINDS:
        for i, box in enumerate(a["boxes"]):
            x, y, side = (int(v) for v in a[f"{kind}_crop"][i])
            failed, wrapped = a[f"{kind}_error"][i] != "", a[f"{kind}_wrapped"][i]
            status = "error" if failed else "free" if wrapped else "regular"
            mean, std, small = (a[f"{kind}_{name}"][i] for name in ("mean", "std", "small"))
            full = a.get(f"{kind}_patch_{i:02d}")
            seed = int(a["image_seed"][i])
            yield Expected(f"{kind}{i}", Box(*box), seed, factor, size, status, (x, y), side, mean, std, small, full)


def _hcat(a: Arrays) -> Iterator[Expected]:
    full_cases = a["full_cases"].tolist()
    for kind, factor, size in KINDS:
        for i, box in enumerate(a["box_xywh"]):
            side = int(a[f"{kind}_crop_size"][i])
            status = "free" if a[f"{kind}_raises"][i] else "regular"
            mean, std, small = (a[f"{kind}_{name}"][i] for name in ("mean", "std", "small"))
            full = a[f"{kind}_full"][full_cases.index(i)] if i in full_cases else None
            seed = int(a["image_seed"][i])
            yield Expected(f"{kind}{i}", Box(*box), seed, factor, size, status, None, side, mean, std, small, full)


READERS: dict[str, Callable[[Arrays], Iterator[Expected]]] = {
    "fermt": _fermt,
    "hit": _hit,
    "smat": _mobile,
    "mvt": _mobile,
    "hcat": _hcat,
}


def frame(seed: int) -> np.ndarray:
    """H x W x 3 BGR, as a view of an RGB picture."""
    picture: np.ndarray = cases.seeded.seeded_image(240, 320, seed, "frame")
    return picture[..., ::-1]


def take(family: str, image: np.ndarray, e: Expected) -> Crop:
    if family == "hcat":
        return crop_average(image, e.box, e.factor, e.size, channel_average(image), np.float32)
    return crop_black(image, e.box, e.factor, e.size)


def reduced(family: str, patch: np.ndarray) -> np.ndarray:
    """The patch as 16 x 16, in the way the family's file was made."""
    if family == "hcat":
        step = len(patch) // 16
        return patch.reshape(16, step, 16, step, 3).mean((1, 3))
    source = patch.astype(np.float32) if family in ("smat", "mvt") else patch
    return cv2.resize(source, (16, 16), interpolation=cv2.INTER_AREA)


def test_crops(crop_case: cases.Case, difference) -> None:
    family, images, differences = crop_case.family, {}, []
    for e in READERS[family](crop_case.arrays):
        image = images.setdefault(e.seed, frame(e.seed))
        if e.outcome == "error":
            with pytest.raises(UserError):
                take(family, image, e)
            continue
        crop = take(family, image, e)
        assert crop.patch.shape == (e.size, e.size, 3), e.key
        if e.outcome == "free":
            continue
        assert crop.side == e.side, e.key
        if e.corner:
            assert crop.corner == e.corner, e.key
        if e.outcome == "black":
            assert not crop.patch.any(), e.key
        differences.append(_largest_difference(family, crop.patch, e))
    difference(family, "crops", max(differences))
    assert len(differences) >= 2 * 24
    assert max(differences) <= GREY_LEVEL


def _largest_difference(family: str, patch: np.ndarray, e: Expected) -> float:
    """Of all stored pixels, in grey levels; the means and deviations of the patch are checked on the way."""
    wide = patch.astype(np.float64)
    axes = (0, 1) if e.mean.shape else None
    assert wide.mean(axes) == pytest.approx(e.mean, abs=MEAN), e.key
    assert wide.std(axes) == pytest.approx(e.std, abs=MEAN), e.key
    worst = float(np.abs(reduced(family, patch).astype(np.float64) - e.small).max())
    if e.full is not None:
        worst = max(worst, float(np.abs(np.rint(wide) - e.full).max()))
    return worst


def test_averages(hcat_crop_case: cases.Case) -> None:
    for seed, expected in zip(
        hcat_crop_case.arrays["image_seed"], hcat_crop_case.arrays["channel_average"], strict=True
    ):
        assert channel_average(frame(int(seed))) == pytest.approx(expected, abs=1e-9)
