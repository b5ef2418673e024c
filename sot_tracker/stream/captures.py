"""A wrapper of cv2.VideoCapture: errors count as the end of the stream, and rates and lengths are checked."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sot_tracker.tracker import Image

if TYPE_CHECKING:
    from typing_extensions import Self

_MEASURED = 10
"""Number of frames from which the rate is measured if the header's rate is not plausible."""
_PLAUSIBLE_FPS = 240.0
"""A higher rate in the header is checked against the time stamps: WebM files of browsers state 1000, their time
base."""


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
        """Frame rate as stated in the header; 0 if there is none, or one above 1000."""
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        return fps if 0 < fps <= 1000 else 0.0

    def measured_fps(self) -> float:
        """The stated rate if it is plausible, else the rate measured from the time stamps of the next frames; 0 if
        neither is known. This may read frames, which are then lost to the caller.
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
        """Number of frames as stated in the header; None if there is none."""
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return int(count) if 0 < count < 1e9 else None

    def close(self) -> None:
        self._capture.release()


def is_file_complete(decoded: int, stated: int) -> bool:
    """Whether enough of a file was decoded. Headers of undamaged files can state one or two frames too many."""
    return stated - decoded <= max(2, 0.02 * stated)
