"""From a frame to a JPEG."""

import cv2
import numpy as np
import pytest

from sot_tracker.errors import UserError
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.reports import Report
from sot_tracker.view.pictures import jpeg_of

from ros_clips import frame


def report(image: np.ndarray) -> Report:
    return Report(0, (image.shape[1], image.shape[0]), frame=Frame(0, lambda: image))


@pytest.mark.parametrize(("limit", "size"), [(960, (160, 120)), (160, (160, 120)), (80, (80, 60)), (64, (64, 48))])
def test_a_picture_is_shrunk_to_the_limit(limit, size):
    picture = cv2.imdecode(np.frombuffer(jpeg_of(report(frame(0)), limit, 95), np.uint8), cv2.IMREAD_COLOR)
    assert (picture.shape[1], picture.shape[0]) == size
    wanted = cv2.resize(frame(0), size, interpolation=cv2.INTER_AREA)
    assert np.abs(picture.astype(int) - wanted).mean() < 9


def test_pictures_of_any_strides():
    wide = np.repeat(frame(0), 2, axis=1)[:, ::2][:, ::-1]
    picture = cv2.imdecode(np.frombuffer(jpeg_of(report(wide), 960, 95), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(picture.astype(int) - frame(0)[:, ::-1]).mean() < 6


def test_a_jpeg_goes_through_as_it_came():
    assert jpeg_of(Report(0, None, jpeg=b"as it came"), 64, 1) == b"as it came"


def test_no_picture_is_one_line():
    with pytest.raises(UserError, match="no picture"):
        jpeg_of(Report(0, None), 64, 75)
