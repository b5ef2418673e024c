"""Where to look for a target that is lost: at its last place, and in turn at places around it.

The published loops look on where they are, or go wherever their best guess leads. A target that left the picture and
came back, or passed behind a truck, is then outside of the window for good.
"""

from __future__ import annotations

import math

from sot_tracker.box import Box

STEP = 3.0
"""Between neighbouring windows, in sides of the target: training moved targets up to 1.5 sides from the middle."""
PATIENCE = 3
"""Lost frames before the first look elsewhere: most losses are a blur or an occlusion on the spot."""


def window(lost: int, last: Box, frame_size: tuple[int, int], count: int) -> Box | None:
    """The box around which to search in the `lost`-th frame without the target (from 0); None for its last place.

    Every second look is at the last place. The others go through the `count` nearest cells of a grid of windows around
    it.
    """
    turn, elsewhere = divmod(lost - PATIENCE, 2)
    if lost < PATIENCE or elsewhere or not count:
        return None
    places = around(last.center, STEP * math.sqrt(last.w * last.h), frame_size, count)
    return Box.from_cxcywh(*places[turn % len(places)], last.w, last.h) if places else None


def around(
    center: tuple[float, float], step: float, frame_size: tuple[int, int], count: int
) -> list[tuple[float, float]]:
    """The `count` nearest points of a grid of `step` pixels around `center` that lie in the frame (height, width).

    The origin is left out. Points more than 2 sqrt(count) steps away are too: enough for a corner of the frame, and no
    target is so small that the whole grid of a large frame is gone through.
    """
    height, width = frame_size
    reach = 2 * math.ceil(math.sqrt(count))
    columns, rows = (
        range(max(math.ceil(-at / step), -reach), min(math.floor((length - at) / step), reach) + 1)
        for at, length in zip(center, (width, height), strict=True)
    )
    cells = sorted((i * i + j * j, i, j) for i in columns for j in rows if i or j)
    return [(center[0] + i * step, center[1] + j * step) for _, i, j in cells[:count]]
