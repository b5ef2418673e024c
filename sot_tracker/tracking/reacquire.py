"""Where to search for a lost target: at its last position, and in turn at positions around it.

The published loops keep searching at the last position, or follow whatever has the highest score. A target that left
the picture and came back elsewhere, or passed behind a truck, then stays outside of the search window for good.
"""

from __future__ import annotations

import math

from sot_tracker.box import Box

STEP = 3.0
"""Distance between neighbouring positions, in sides of the target. In training, targets were up to 1.5 sides away from
the middle of the search crop."""
PATIENCE = 3
"""Lost frames before the first search elsewhere: after most losses (blur, occlusion) the target reappears in place."""


def position(lost_frames: int, last: Box, frame_size: tuple[int, int], count: int) -> Box | None:
    """The box around which to search after `lost_frames` frames without the target; None for its last position.

    Every second search is at the last position. The others go through the `count` nearest cells of a grid around it.
    """
    turn, is_second = divmod(lost_frames - PATIENCE, 2)
    if lost_frames < PATIENCE or is_second or not count:
        return None
    positions = around(last.center, STEP * math.sqrt(last.w * last.h), frame_size, count)
    return Box.from_cxcywh(*positions[turn % len(positions)], last.w, last.h) if positions else None


def around(
    center: tuple[float, float], step: float, frame_size: tuple[int, int], count: int
) -> list[tuple[float, float]]:
    """The `count` nearest points of a grid of `step` pixels around `center` that lie in the frame (height, width).

    The centre itself is left out, and so are points more than 2 sqrt(count) steps away in x or y. This is far enough
    even for a center in a corner of the frame, and for a tiny target avoids listing the whole grid of a large frame.
    """
    height, width = frame_size
    reach = 2 * math.ceil(math.sqrt(count))
    columns, rows = (
        range(max(math.ceil(-at / step), -reach), min(math.floor((length - at) / step), reach) + 1)
        for at, length in zip(center, (width, height), strict=True)
    )
    cells = sorted((i * i + j * j, i, j) for i in columns for j in rows if i or j)
    return [(center[0] + i * step, center[1] + j * step) for _, i, j in cells[:count]]
