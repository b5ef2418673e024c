"""Converts 16-bit pictures (thermal cameras, depth, raw sensors) to 8 bits, without flicker over a stream."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

PERCENTILES = (0.5, 99.5)
MARGIN = 0.1
"""Share of the span between the percentiles that is added at both ends, for pixels hotter or colder than the rest."""
PACE = 0.05
"""The limits are moved by this share of the difference per picture: slowly, so that there is no flicker."""
SAMPLES = 20_000
MIN_SPAN = 16.0
"""Smallest span in levels; with a smaller one, noise would fill the whole 8-bit range."""

Values = npt.NDArray[np.uint16]


class Range16:
    """Maps 16-bit values to 0..255, between limits that are adapted to one stream of pictures.

    The first picture sets the limits; later ones move them by `PACE` of the difference. They are set again if fewer
    than half of a picture's values are within them (another scene, another camera mode).
    limits: fixed [low, high] instead; values outside become black or white.
    """

    def __init__(self, limits: Sequence[float] = ()) -> None:
        self._fixed = len(limits) == 2
        self._limits: tuple[float, float] | None = (limits[0], limits[1]) if self._fixed else None

    def to_8_bit(self, values: Values) -> npt.NDArray[np.uint8]:
        """values: H x W or H x W x C; colours share the limits, so that they keep their proportions."""
        low, high = self._limits if self._fixed and self._limits else self._follow(values)
        above = cv2.subtract(values, np.array([max(low, 0.0)] * 4))  # saturates at 0
        return np.asarray(cv2.convertScaleAbs(above, alpha=255.0 / max(high - max(low, 0.0), 1.0)), np.uint8)

    def _follow(self, values: Values) -> tuple[float, float]:
        flat = values.reshape(-1)
        sample = flat[:: max(1, flat.size // SAMPLES)]
        low, high = (float(v) for v in np.percentile(sample, PERCENTILES))
        margin = max(MARGIN * (high - low), 0.5 * (MIN_SPAN - (high - low)))
        low, high = low - margin, high + margin
        if self._limits is not None and np.mean((sample >= self._limits[0]) & (sample <= self._limits[1])) >= 0.5:
            old_low, old_high = self._limits
            low, high = old_low + PACE * (low - old_low), old_high + PACE * (high - old_high)
        self._limits = (low, high)
        return low, high
