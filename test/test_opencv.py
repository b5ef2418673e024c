import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.opencv import CLASSES, OpenCVTracker, whole_pixels
from sot_tracker.tracker import State

from clips import SIZE, boxes, frame

TRUTH = boxes(10)


def read_only(image):
    image.flags.writeable = False
    return image


def flipped(image):
    """A BGR view of an RGB array, as of an rgb8 message."""
    return np.ascontiguousarray(image[:, :, ::-1])[:, :, ::-1]


def padded(image):
    """A view of rows with padding, as of a message with a larger step."""
    height, width = image.shape[:2]
    rows = np.full((height, width * 3 + 13), 77, np.uint8)
    rows[:, : width * 3] = image.reshape(height, -1)
    return read_only(np.ndarray(image.shape, np.uint8, rows, strides=(rows.strides[0], 3, 1)))


def four_channels(image):
    return np.dstack([image, np.zeros(image.shape[:2], np.uint8)])[:, :, :3]


def follow(name, view):
    tracker = OpenCVTracker(name)
    tracker.init(view(frame(TRUTH[0])), TRUTH[0])
    return [tracker.update(view(frame(box))) for box in TRUTH[1:]]


@pytest.mark.parametrize("view", [read_only, flipped, padded, four_channels])
@pytest.mark.parametrize("name", ["csrt", "kcf"])
def test_views_of_any_strides_give_the_same_boxes(name, view):
    estimates = follow(name, view)
    assert [e.box for e in estimates] == [e.box for e in follow(name, np.ascontiguousarray)]
    assert estimates[-1].box.iou(TRUTH[-1]) > 0.5
    assert (estimates[-1].state, estimates[-1].score) == (State.TRACKING, 1.0)
    assert list(estimates[-1].times) == ["track"]
    assert estimates[-1].times["track"] > 0


@pytest.mark.parametrize("view", [read_only, flipped, padded])
def test_mil_reads_views_too(view):
    """Its random features depend on what ran before: where its box is cannot be said."""
    estimate = follow("mil", view)[0]
    assert estimate.state is State.TRACKING
    assert estimate.box.overlaps(*SIZE)


def test_failure_is_lost_with_the_last_box_as_guess():
    tracker = OpenCVTracker("kcf")
    tracker.init(frame(TRUTH[0]), TRUTH[0])
    seen = tracker.update(frame(TRUTH[1]))
    lost = tracker.update(np.zeros_like(frame(None)))
    assert (lost.state, lost.score, lost.box) == (State.LOST, 0.0, seen.box)


class Raising:
    def update(self, image):
        raise cv2.error("search area outside the image")


def test_an_exception_inside_opencv_is_lost_too():
    tracker = OpenCVTracker("csrt")
    tracker.init(frame(TRUTH[0]), TRUTH[0])
    tracker._tracker = Raising()
    assert tracker.update(frame(TRUTH[1])).state is State.LOST


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(10.4, 20.6, 30.5, 40.4), (10, 21, 30, 40)),
        (Box(-10, -10, 30, 30), (0, 0, 20, 20)),
        (Box(150, 110, 50, 50), (150, 110, 10, 10)),
        (Box(159, 119, 50, 50), (154, 114, 6, 6)),
        (Box(-50, -50, 500, 500), (0, 0, 160, 120)),
        (Box(80, 60, 0.1, 0.1), (80, 60, 6, 6)),
    ],
)
def test_whole_pixels_lie_inside_the_frame(box, expected):
    assert whole_pixels(box, *SIZE) == expected


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("box", [Box(-10, 50, 20, 20), Box(150, 110, 30, 30), Box(80, 60, 1, 1)])
def test_boxes_at_the_border_and_tiny_ones_can_be_tracked(name, box):
    tracker = OpenCVTracker(name)
    tracker.init(frame(None), box)
    assert tracker.update(frame(None)).box.overlaps(*SIZE)


@pytest.mark.parametrize("box", [Box(500, 500, 10, 10), Box(0, 0, 0, 5), Box(float("nan"), 0, 5, 5)])
def test_a_refused_box_keeps_the_old_target(box):
    tracker = OpenCVTracker("kcf")
    tracker.init(frame(TRUTH[0]), TRUTH[0])
    with pytest.raises(UserError, match="box"):
        tracker.init(frame(TRUTH[0]), box)
    assert tracker.update(frame(TRUTH[1])).state is State.TRACKING


def test_what_opencv_refuses_is_told_in_one_line():
    with pytest.raises(UserError, match=r"mil cannot start on box \(0, 0, 160, 120\)") as told:
        OpenCVTracker("mil").init(frame(None), Box(0, 0, *SIZE))
    assert "\n" not in str(told.value)


def test_update_before_init():
    with pytest.raises(UserError, match="no target yet"):
        OpenCVTracker("csrt").update(frame(None))


def test_frame_of_another_size():
    tracker = OpenCVTracker("kcf")
    tracker.init(frame(TRUTH[0]), TRUTH[0])
    with pytest.raises(UserError, match="frame is 80x60, but the target was given in a 160x120 frame"):
        tracker.update(frame(None)[::2, ::2])


def test_opencv_without_contrib_names_the_package(monkeypatch):
    monkeypatch.delattr(cv2, "TrackerCSRT")
    with pytest.raises(UserError, match="opencv-contrib-python"):
        OpenCVTracker("csrt")


def test_threads_are_given_to_opencv(monkeypatch):
    asked = []
    monkeypatch.setattr(cv2, "setNumThreads", asked.append)
    OpenCVTracker("kcf", threads=0)
    OpenCVTracker("kcf", threads=3)
    assert asked == [3]
