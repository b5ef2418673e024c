"""Encodes frames as the JPEG files that the page shows."""

from __future__ import annotations

import cv2
import numpy as np

from sot_tracker.errors import UserError
from sot_tracker.stream.reports import Report


def jpeg_of(report: Report, width: int, quality: int) -> bytes:
    """The report's picture as JPEG, at most `width` wide; unchanged if it was received as JPEG.

    Raises UserError if there is none or it cannot be decoded.
    """
    if report.jpeg is not None:
        return report.jpeg
    if report.frame is None:
        raise UserError("there is no picture")
    image = np.ascontiguousarray(report.frame.image)
    if image.shape[1] > width:
        size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise UserError("the picture cannot be encoded")
    return data.tobytes()
