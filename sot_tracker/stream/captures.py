"""cv2.VideoCapture with what every user of it here needs: errors as "no frame", plausible rates and lengths."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sot_tracker.tracker import Image

if TYPE_CHECKING:
    from typing_extensions import Self

_MEASURED = 10
"""Frames from which a rate is measured where the header's is not plausible."""
_PLAUSIBLE_FPS = 240.0
"""Above it the time stamps of a file are asked too: WebM files of browsers give their time base, 1000, as the rate."""


class Capture:
    """Frames of a file, device or stream. A frame that cannot be decoded is the end."""

    def __init__(self, device: int | str, backend: int = cv2.CAP_ANY) -> None:
        self._capture: Any = cv2.VideoCapture(device) if backend == cv2.CAP_ANY else cv2.VideoCapture(device, backend)
        self.size = (0, 0)
        """Width and height of the last frame."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        return bool(self._capture.isOpened())

    def read(self) -> Image | None:
        """H x W x 3 BGR, or None at the end."""
        try:
            ok, image = self._capture.read()
        except cv2.error:
            return None
        if not ok:
            return None
        self.size = (int(image.shape[1]), int(image.shape[0]))
        return image  # type: ignore[no-any-return]

    @property
    def position_ms(self) -> float:
        """Time of the last frame in the file; 0 or less where the file has no time stamps."""
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC))

    @property
    def stated_fps(self) -> float:
        """As the header gives it; 0 where it gives none."""
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        return fps if 0 < fps <= 1000 else 0.0

    def measured_fps(self) -> float:
        """The stated rate, else the one that the next frames' time stamps show; 0 where neither is there.

        Reads frames: not for a capture that is played.
        """
        stated = self.stated_fps
        if 0 < stated <= _PLAUSIBLE_FPS:
            return stated
        times = [self.position_ms]
        while len(times) < _MEASURED and self.read() is not None:
            times.append(self.position_ms)
        gaps = np.diff(times)
        gaps = gaps[gaps > 0]
        return float(1000.0 / np.mean(gaps)) if gaps.size else stated

    @property
    def length(self) -> int | None:
        """Number of frames as the header gives it."""
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return int(count) if 0 < count < 1e9 else None

    def close(self) -> None:
        self._capture.release()


def is_file_complete(decoded: int, stated: int) -> bool:
    """Headers count a frame or two too many even of sound files."""
    return stated - decoded <= max(2, 0.02 * stated)
