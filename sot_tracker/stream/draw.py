"""Draws estimates into pictures, for `sot-tracker track`, the node's debug image and the demo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite, isnan

import cv2
import numpy as np

from sot_tracker.box import Box
from sot_tracker.tracker import Estimate, Image, Reason, State

Color = tuple[int, int, int]
COLORS: dict[State, Color] = {
    State.TRACKING: (80, 220, 60),
    State.UNCERTAIN: (0, 190, 255),
    State.LOST: (40, 60, 240),
}
TRUTH_COLOR: Color = (255, 255, 255)
OLD_COLOR: Color = (150, 150, 150)
PROPOSAL_COLOR: Color = (0, 220, 255)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_estimate(image: Image, estimate: Estimate, name: str, truth: Box | None = None) -> Image:
    """A copy of the BGR image with the box, and a line with name, score, state and milliseconds.

    Green while tracking, dashed and amber while uncertain, with the reason; while lost there is the word LOST and the
    reason, and no box. The truth, where given, is a thin white box. The given image is left alone. Boxes that are not
    finite are not drawn.
    """
    canvas = np.array(image, order="C")
    scale = max(0.4, min(canvas.shape[:2]) / 720)
    _label(canvas, caption(estimate, name), COLORS[estimate.state], scale)
    if truth is not None:  # boxes after the text: in a small picture it has many lines
        _rectangle(canvas, truth, TRUTH_COLOR, 1)
    _estimate_box(canvas, estimate, max(1, round(2 * scale)))
    return canvas


def draw_targets(image: Image, estimates: Mapping[str, Estimate], name: str) -> Image:
    """As `draw_estimate`. For several targets: their boxes and names, and the number of targets that are TRACKING."""
    if len(estimates) == 1:
        return draw_estimate(image, next(iter(estimates.values())), name)
    canvas = np.array(image, order="C")
    scale = max(0.4, min(canvas.shape[:2]) / 720)
    tracked = sum(estimate.state is State.TRACKING for estimate in estimates.values())
    _label(canvas, f"{name}  {tracked} of {len(estimates)} tracked", TRUTH_COLOR, scale)
    for target, estimate in estimates.items():
        draw_beside(canvas, estimate, target)
    return canvas


def draw_small(
    image: Image, estimate: Estimate | None, name: str, max_width: int, proposal: Box | None = None
) -> Image:
    """As `draw_estimate`, on a picture of at most `max_width` columns. Without a target there is only the text.

    proposal: a box that waits for a click, drawn thin and yellow.
    """
    scale = min(1.0, max_width / image.shape[1])
    if scale < 1:
        size = (max_width, max(1, round(image.shape[0] * scale)))
        image = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    if proposal is not None:
        name = f"{name}  click inside the yellow box to follow it"
    if estimate is None:
        canvas = draw_text(image, f"{name}  no target" if proposal is None else name)
    else:
        canvas = draw_estimate(image, replace(estimate, box=estimate.box.scaled(scale)), name)
    if proposal is not None:
        _rectangle(canvas, proposal.scaled(scale), PROPOSAL_COLOR, 1)
    return canvas


def draw_beside(canvas: Image, estimate: Estimate, name: str, scale: float = 1.0) -> None:
    """Draw one more target into a picture: its box as in `draw_estimate`, and its name above it, even if it is lost.

    scale: width of the picture, divided by that of the box's frame. A box that is not finite is not drawn.
    """
    shown = replace(estimate, box=estimate.box.scaled(scale))
    size = max(0.4, min(canvas.shape[:2]) / 720)
    _estimate_box(canvas, shown, max(1, round(2 * size)))
    _name(canvas, name, shown.box, COLORS[estimate.state], size)


def draw_text(image: Image, text: str, truth: Box | None = None, old: Box | None = None) -> Image:
    """A copy of the BGR image with one line of text in the corner, for example if there is no target yet.

    truth: the true box, drawn thin and white. old: the box of an earlier frame, drawn thin and grey.
    """
    canvas = np.array(image, order="C")
    for box, color in ((truth, TRUTH_COLOR), (old, OLD_COLOR)):
        if box is not None:
            _rectangle(canvas, box, color, 1)
    _label(canvas, text, TRUTH_COLOR, max(0.4, min(canvas.shape[:2]) / 720))
    return canvas


def caption(estimate: Estimate, name: str) -> str:
    """The text over the picture, its parts separated by two spaces; the probability where it is known, else the score.

    For example "mvt  score 0.93  12.1 ms" or "lite  UNCERTAIN (jump)  probability 0.42  3.0 ms  flow, last search 40 ms
    ago". The milliseconds are what the tracker took for this frame.
    """
    why = "" if estimate.reason is Reason.NONE else f" ({estimate.reason.value})"
    state = [] if estimate.state is State.TRACKING else [f"{estimate.state.name}{why}"]
    kind = "score" if isnan(estimate.probability) else "probability"
    words = [name, *state, f"{kind} {estimate.confidence:.2f}"]
    if estimate.times:
        words.append(f"{sum(estimate.times.values()):.1f} ms")
    if estimate.source != "tracker":
        words.append(f"{estimate.source}, last search {estimate.look_age_ms:.0f} ms ago")
    return "  ".join(words)


def _estimate_box(canvas: Image, estimate: Estimate, thickness: int) -> None:
    """Solid while tracking, dashed while uncertain, none while lost."""
    if estimate.state is State.TRACKING:
        _rectangle(canvas, estimate.box, COLORS[estimate.state], thickness)
    elif estimate.state is State.UNCERTAIN:
        _dashed_rectangle(canvas, estimate.box, COLORS[estimate.state], thickness)


def _rectangle(canvas: Image, box: Box, color: Color, thickness: int) -> None:
    if corners := _corners(canvas, box):
        x1, y1, x2, y2 = corners
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, thickness)


def _dashed_rectangle(canvas: Image, box: Box, color: Color, thickness: int) -> None:
    if not (corners := _corners(canvas, box)):
        return
    x1, y1, x2, y2 = corners
    dash = max(3, min(x2 - x1, y2 - y1) // 8)
    for x in range(x1, x2 + 1, 2 * dash):
        for y in (y1, y2):
            cv2.line(canvas, (x, y), (min(x + dash, x2), y), color, thickness)
    for y in range(y1, y2 + 1, 2 * dash):
        for x in (x1, x2):
            cv2.line(canvas, (x, y), (x, min(y + dash, y2)), color, thickness)


def _corners(canvas: Image, box: Box) -> tuple[int, int, int, int] | None:
    """First column and row, last column and row, limited to four frame sizes; None for a box that is not finite."""
    if not all(map(isfinite, box.xywh)):
        return None
    limit = 4 * max(canvas.shape)  # far outside the frame, and within OpenCV's integers
    x1, y1, x2, y2 = (round(min(max(v, -limit), limit)) for v in box.xyxy)
    return x1, y1, x2 - 1, y2 - 1


def _name(canvas: Image, text: str, box: Box, color: Color, scale: float) -> None:
    """Write the name above the box's left corner, but within the picture."""
    if all(map(isfinite, box.xywh)):
        height, width = canvas.shape[:2]
        x, y = min(max(box.x, 0), width - 10), min(max(box.y - 3, 10), height - 3)
        cv2.putText(canvas, text, (round(x), round(y)), _FONT, scale, color, max(1, round(scale)), cv2.LINE_AA)


def _label(canvas: Image, text: str, color: Color, scale: float) -> None:
    """Write the text into the upper left corner, on black, in as many lines as the width of the picture requires."""
    pad = max(2, round(5 * scale))
    top = 0
    for line in _lines(text, canvas.shape[1] - 2 * pad, scale):
        (width, height), below = cv2.getTextSize(line, _FONT, scale, 1)
        bottom = top + height + below + 2 * pad
        cv2.rectangle(canvas, (0, top), (width + 2 * pad, bottom), (0, 0, 0), cv2.FILLED)
        cv2.putText(canvas, line, (pad, top + height + pad), _FONT, scale, color, max(1, round(scale)), cv2.LINE_AA)
        top = bottom


def _lines(text: str, width: int, scale: float) -> list[str]:
    """The text in lines of at most `width` pixels, broken at two spaces only: a part that is wider is cut off."""
    lines: list[str] = []
    for part in text.split("  "):
        longer = f"{lines[-1]}  {part}" if lines else part
        if lines and cv2.getTextSize(longer, _FONT, scale, 1)[0][0] <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines
