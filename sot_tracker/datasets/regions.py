"""VOT's polygons and masks as boxes, as the VOT toolkit makes them.

Rules of vot-toolkit 0.9.0, vot/region/shapes.py and vot/region/io.py: a polygon's box is its smallest and largest x
and y (`Rectangle.convert`); a mask is a line "m" x0,y0,w,h and run lengths, zeros first, row by row, of the w x h
pixels at (x0, y0) (`create_mask_from_string`). A mask's box here spans its pixels: those of columns 3 to 5 are x = 3,
w = 3. The toolkit gives the positions of its first and last pixel, so a width and a height less by one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sot_tracker.datasets.records import XYWH


def polygon_box(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """N x 4 boxes of N x 8 rows x1,y1 .. x4,y4; NaN for rows with a NaN."""
    points = np.asarray(values, dtype=np.float64).reshape(-1, 4, 2)
    low, high = points.min(axis=1), points.max(axis=1)
    return np.hstack([low, high - low])


def mask_box(text: str) -> XYWH | None:
    """The box of a line "m" x0,y0,w,h,run lengths; None of an empty mask. Raises ValueError if it is no such line."""
    if not text.startswith("m"):
        raise ValueError("it does not begin with m, as other lines do")
    try:
        numbers = [int(word) for word in text.strip().removeprefix("m").split(",")]
    except ValueError:
        numbers = []
    if len(numbers) < 4 or min(numbers[2:]) < 0 or max(map(abs, numbers)) >= 2**31:
        raise ValueError("m is followed by x,y,w,h and the run lengths, whole numbers")
    x, y, width, height = numbers[:4]
    runs = np.array(numbers[4:], dtype=np.int64)
    if runs.sum() > width * height:
        raise ValueError(f"the run lengths cover {runs.sum()} pixels of {width} x {height}")
    ends = np.cumsum(runs)
    first, last = (ends - runs)[1::2][runs[1::2] > 0], ends[1::2][runs[1::2] > 0] - 1
    if not len(first):
        return None
    rows = first // width, last // width
    wraps = bool((rows[0] != rows[1]).any())  # such a run touches both the left and the right side
    left = 0 if wraps else int((first % width).min())
    right = width - 1 if wraps else int((last % width).max())
    top, bottom = int(rows[0].min()), int(rows[1].max())
    return float(x + left), float(y + top), float(right - left + 1), float(bottom - top + 1)
