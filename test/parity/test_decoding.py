"""Decoding and mapping back, from stored maps: no network runs here."""

from __future__ import annotations

import cases
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.crop import Crop
from sot_tracker.decode import Decoded, decode_center, decode_corner, decode_token, hann_open


def fractions(found: Decoded) -> np.ndarray:
    return np.array([found.cx, found.cy, found.w, found.h])


def mapped(found: np.ndarray, state: Box, side: float) -> Box:
    """A box in fractions of a crop of `side` pixels around `state`, in the frame."""
    empty = np.zeros((1, 1, 3), np.uint8)
    return Crop(empty, (0, 0), side, state.center).to_frame(*(float(v) for v in found))  # type: ignore[arg-type]


def decode_stored(case: cases.Case) -> Decoded:
    return decode_center({name: case.arrays[f"{name}_map"][0] for name in ("score", "size", "offset")})


def test_center(center_case: cases.Case) -> None:
    found, a = decode_stored(center_case), center_case.arrays
    assert found.index == int(a["argmax_window" if "argmax_window" in a else "peak_window"])
    assert fractions(found) == pytest.approx(a["pred_box_window"], abs=1e-6)
    assert found.response == pytest.approx(float(a["response"].max()), abs=1e-6)
    assert found.score == pytest.approx(float(a["score_map"].flat[found.index]), abs=1e-6)


def test_center_in_the_frame(center_case: cases.Case) -> None:
    a = center_case.arrays
    state = Box(*a["post_state_in" if "post_state_in" in a else "post_state"])
    height, width = a["post_frame_hw" if "post_frame_hw" in a else "post_image_hw"]
    box = mapped(fractions(decode_stored(center_case)), state, 256 / float(a["post_resize_factor"]))
    assert box.clipped(int(width), int(height), 10).xywh == pytest.approx(a["post_box"], abs=2e-3)
    if "post_box_unclipped" in a:
        assert box.xywh == pytest.approx(a["post_box_unclipped"], abs=2e-3)


def test_open_window(fermt_case: cases.Case) -> None:
    assert np.abs(hann_open(16) - fermt_case.arrays["window"]).max() <= 1e-6


def test_token(hcat_case: cases.Case) -> None:
    a = hcat_case.arrays
    found = decode_token({"logits": a["pred_logits"], "boxes": a["pred_boxes"]})
    assert found.index == int(a["best_idx_windowed"])
    assert fractions(found) == pytest.approx(a["box_windowed_cxcywh"], abs=1e-6)
    assert found.response == pytest.approx(float(a["windowed_score"].max()), abs=1e-6)
    assert found.score == pytest.approx(float(a["score"][found.index]), abs=1e-6)


def test_corner(head_case: cases.Case) -> None:
    gains = (1, 4, 16, 64, 256)
    for k, expected in enumerate(head_case.arrays["decode_box"]):
        tl, br = (cases.seeded.seeded_tensor(f"decode.{side}", (16, 16), k) * gains[k % 5] for side in ("tl", "br"))
        found = decode_corner({"tl": tl.astype(np.float32), "br": br.astype(np.float32)})
        assert fractions(found) == pytest.approx(expected, abs=1e-6)


def test_corner_in_the_frame(head_case: cases.Case) -> None:
    a = head_case.arrays
    rows = zip(a["post_pred"], a["post_state"], a["post_resize_factor"], a["post_mapped"], a["post_final"], strict=True)
    for pred, state, factor, expected, final in rows:
        box = mapped(pred, Box(*state), 256 / float(factor))
        assert box.xywh == pytest.approx(expected, abs=1e-4)
        assert box.clipped(320, 240, 10).xywh == pytest.approx(final, abs=1e-4)


def test_corner_of_outputs(hit_case: cases.Case) -> None:
    a = hit_case.arrays
    for kind, gain, limit in (("hard", 1.0, 2e-4), ("soft", 2.0 ** -int(a["soft_shift"]), 5e-5)):
        found = decode_corner({side: a[f"score_{side}"] * np.float32(gain) for side in ("tl", "br")})
        assert fractions(found) == pytest.approx(a[f"box_{kind}"], abs=limit)
        box = mapped(fractions(found), Box(100, 80, 60, 40), 256 / float(a["resize_factor"]))
        assert box.xywh == pytest.approx(a[f"mapped_{kind}"], abs=0.02)
        assert box.clipped(320, 240, 10).xywh == pytest.approx(a[f"final_{kind}"], abs=0.02)
