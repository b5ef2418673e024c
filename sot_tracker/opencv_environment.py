"""Environment variables that OpenCV reads when it is imported; works without OpenCV."""

from __future__ import annotations

import os

VARIABLES = {
    "OPENCV_LOG_LEVEL": "SILENT",  # our own line says what is wrong with a file or frame
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(1 << 27),  # headers can claim any size; OpenCV's own limit is a gigapixel
}


def prepare() -> None:
    """Set what the user has not set. To be called before cv2 is imported."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
