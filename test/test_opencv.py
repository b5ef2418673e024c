import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.opencv import PLAIN, OpenCVTracker, whole_pixels
from sot_tracker.tracker import HELD, State

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


def test_after_a_failure_the_last_box_is_held_and_not_reported():
    tracker = OpenCVTracker("kcf")
    tracker.init(frame(TRUTH[0]), TRUTH[0])
    seen = tracker.update(frame(TRUTH[1]))
    lost = tracker.update(np.zeros_like(frame(None)))
    assert (lost.state, lost.score, lost.box) == (State.UNCERTAIN, 0.0, seen.box)
    assert (lost.source, lost.accepted, lost.is_reported) == (HELD, False, False)
    states = [tracker.update(np.zeros_like(frame(None))).state for _ in range(16)]
    assert states == [State.UNCERTAIN] * 14 + [State.LOST] * 2, "half a second at 30 frames per second"


class Raising:
    def update(self, image):
        raise cv2.error("search area outside the image")


def test_an_exception_inside_opencv_is_a_failure_too():
    tracker = OpenCVTracker("csrt")
    tracker.init(frame(TRUTH[0]), TRUTH[0])
    tracker._tracker = Raising()
    assert tracker.update(frame(TRUTH[1])).state is State.UNCERTAIN


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


@pytest.mark.parametrize("name", PLAIN)
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


def test_what_opencv_refuses_is_reported_in_one_line():
    with pytest.raises(UserError, match=r"mil cannot start on box \(0, 0, 160, 120\)") as reported:
        OpenCVTracker("mil").init(frame(None), Box(0, 0, *SIZE))
    assert "\n" not in str(reported.value)


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


def grey(image):
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def as_bgr(image):
    return cv2.cvtColor(grey(image), cv2.COLOR_GRAY2BGR)


@pytest.mark.parametrize(
    ("view", "same"),
    [
        (grey, as_bgr),
        (lambda image: grey(image)[:, :, None], as_bgr),
        (lambda image: np.dstack([image, np.full(image.shape[:2], 9, np.uint8)]), np.ascontiguousarray),
        (lambda image: np.asfortranarray(grey(image)), as_bgr),
    ],
)
@pytest.mark.parametrize("name", ["csrt", "kcf"])
def test_grey_and_bgra_frames_are_converted(name, view, same):
    assert [e.box for e in follow(name, view)] == [e.box for e in follow(name, same)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((120, 160, 3), np.uint16), "frame is uint16 of shape"),
        (np.zeros((120, 160, 3), np.float32), "frame is float32 of shape"),
        (np.zeros((120, 160, 3), bool), "frame is bool of shape"),
        (np.zeros((120, 160, 2), np.uint8), "frame has 2 channels"),
        (np.zeros((120, 160, 0), np.uint8), "frame is uint8 of shape"),
        (np.zeros((0, 160, 3), np.uint8), "frame is uint8 of shape"),
        (np.zeros(160, np.uint8), "frame is uint8 of shape"),
        (None, "frame is NoneType"),
    ],
)
@pytest.mark.parametrize("name", PLAIN)
def test_other_frames_are_refused_in_init_and_update(name, wrong, message):
    tracker = OpenCVTracker(name)
    with pytest.raises(UserError, match=message):
        tracker.init(wrong, TRUTH[0])
    tracker.init(frame(TRUTH[0]), TRUTH[0])
    with pytest.raises(UserError, match=message):
        tracker.update(wrong)
    assert tracker.update(frame(TRUTH[1])).state is State.TRACKING


@pytest.mark.parametrize("name", ["csrt", "kcf"])  # where MIL's random features lead cannot be said
def test_the_picture_of_init_is_learnt(name):
    """OpenCV's KCF alone would answer the init box for any next picture, and learn from that one."""
    tracker, moved = OpenCVTracker(name), Box(TRUTH[0].x + 5, TRUTH[0].y + 4, TRUTH[0].w, TRUTH[0].h)
    tracker.init(frame(TRUTH[0]), TRUTH[0])
    assert tracker.update(frame(moved)).box.iou(moved) > 0.8


def test_a_tuple_is_a_box():
    tracker = OpenCVTracker("kcf")
    tracker.init(frame(TRUTH[0]), tuple(round(v) for v in TRUTH[0].xywh))
    assert tracker.update(frame(TRUTH[1])).state is State.TRACKING


def test_weights_of_a_tracker_without_are_refused():
    with pytest.raises(UserError, match="'kcf' has no network, so no weights"):
        OpenCVTracker("kcf", weights="some/folder")
