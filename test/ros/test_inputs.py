"""Every way to start a target, over real DDS: one node, and somebody who sends each kind of message."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from sot_tracker.box import Box

from ros_clips import box_at, frame

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures("ros_domain")]
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")

from geometry_msgs.msg import Point, Point32, PointStamped, PolygonStamped  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.time import Time  # noqa: E402
from sensor_msgs.msg import Image, RegionOfInterest  # noqa: E402
from sot_tracker.srv import Init  # noqa: E402
from std_msgs.msg import Header, String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from vision_msgs.msg import Detection2D, Detection2DArray  # noqa: E402

from sot_tracker.ros import messages  # noqa: E402

from talker import MS, Talker, tracker  # noqa: E402

IDLE, TRACKING = 0, 1
TOPICS: dict[str, Any] = {
    "init_detections": Detection2DArray,
    "init_boxes": Detection2DArray,
    "init_region": RegionOfInterest,
    "init_polygon": PolygonStamped,
    "click": PointStamped,
    "image_mouse_left": Point,
    "debug_image_mouse_left": Point,
}
NAN, HUGE = math.nan, 1e300


class Hand:
    """Sends what a user's tools send, and knows where the target is."""

    def __init__(self, talker: Talker) -> None:
        self.talker = talker
        self.index = 0
        node = talker.recorder
        self.topics = {name: node.create_publisher(kind, name, 10) for name, kind in TOPICS.items()}
        talker.until(lambda: all(t.get_subscription_count() > 0 for t in self.topics.values()), "the subscriptions")
        services = {"init": Init, "stop": Trigger, "set_parameters": SetParameters}
        self.clients = {name: node.create_client(kind, f"tracker_node/{name}") for name, kind in services.items()}
        talker.until(lambda: all(client.service_is_ready() for client in self.clients.values()), "the services")
        talker.settle()

    def call(self, name: str, request: Any) -> Any:
        return self.talker.answer(self.clients[name], request)

    @property
    def box(self) -> Box:
        """Of the target in the newest frame."""
        return box_at(self.index)

    def next_frame(self) -> Any:
        self.index += 1
        return self.talker.result(self.talker.send(frame(self.index)))

    def send(self, topic: str, message: Any) -> None:
        """Send, and give the node a few turns: it takes topics in an order that nobody promises."""
        self.topics[topic].publish(message)
        for _ in range(3):
            self.next_frame()

    def wait_for_target(self, target_id: str = "") -> None:
        """Until it is followed, in the right place, and has this id if one is given."""

        def is_followed() -> bool:
            state = self.next_frame()
            return bool(state.state == TRACKING and target_id in ("", state.target_id))

        self.talker.until(is_followed, f"target {target_id}")
        detection = self.talker.detection(self.talker.stamp)
        assert messages.box_of(detection).iou(self.box) > 0.5

    def set(self, **values: Any) -> None:
        changes = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        answer = self.call("set_parameters", SetParameters.Request(parameters=changes))
        assert all(result.successful for result in answer.results), answer

    def init(self, box: Box, stamp: int = 0, target_id: str = "") -> Any:
        target = messages.detection_of(box, 1.0, header(stamp), target_id)
        return self.call("init", Init.Request(target=target))


def header(stamp: int) -> Header:
    return Header(stamp=Time(nanoseconds=stamp).to_msg())


def region(box: Box) -> RegionOfInterest:
    x, y, w, h = map(round, box.xywh)
    return RegionOfInterest(x_offset=x, y_offset=y, width=w, height=h)


def polygon(*corners: tuple[float, float], stamp: int = 0) -> PolygonStamped:
    message = PolygonStamped(header=header(stamp))
    message.polygon.points = [Point32(x=float(x), y=float(y)) for x, y in corners]
    return message


def click(x: float, y: float, stamp: int = 0) -> PointStamped:
    return PointStamped(header=header(stamp), point=Point(x=float(x), y=float(y)))


def detections(*found: tuple[Box, str, str, float], stamp: int = 0) -> Detection2DArray:
    """box, id, class and score of each."""
    message = Detection2DArray(header=header(stamp))
    for box, number, name, score in found:
        detection = messages.detection_of(box, score, message.header, number)
        detection.results[0].hypothesis.class_id = name
        message.detections.append(detection)
    return message


@pytest.fixture(scope="module")
def one(ros_domain: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hand]:
    with tracker(tmp_path_factory.mktemp("inputs"), "/inputs", debug_width=80) as (talker, _):
        yield Hand(talker.connected())


@pytest.fixture
def hand(one: Hand) -> Iterator[Hand]:
    one.talker.stamp += 1000 * MS
    one.index = 0
    one.next_frame()
    yield one
    one.call("stop", Trigger.Request())
    one.next_frame()  # whatever was done to it: it lives


def test_a_region_of_interest(hand: Hand) -> None:
    hand.send("init_region", region(hand.box))
    hand.wait_for_target()
    hand.talker.said("init_region (")


def test_the_boxes_of_an_array(hand: Hand) -> None:
    """Here there is room for one target: it is the array's one."""
    hand.send("init_boxes", detections((hand.box, "left", "car", 0.9)))
    hand.wait_for_target("left")


def test_a_polygon_in_the_frame_with_its_stamp(hand: Hand) -> None:
    stamp = hand.talker.stamp
    x1, y1, x2, y2 = hand.box.xyxy
    for _ in range(3):
        hand.next_frame()
    hand.send("init_polygon", polygon((x1, (y1 + y2) / 2), ((x1 + x2) / 2, y1), (x2, y2), (x1, y2), stamp=stamp))
    hand.wait_for_target()


@pytest.mark.parametrize(
    ("topic", "scale"), [("click", 1.0), ("image_mouse_left", 1.0), ("debug_image_mouse_left", 0.5)]
)
def test_two_clicks_are_the_corners_of_a_box(hand: Hand, topic: str, scale: float) -> None:
    """Of rqt_image_view too, whose points carry no stamp; the debug image is half as wide as the frames here."""
    x1, y1, x2, y2 = hand.box.xyxy
    for x, y in ((x1 - 4, y1 - 4), (x2 + 4, y2 + 4)):
        point = Point(x=scale * x, y=scale * y)
        hand.topics[topic].publish(PointStamped(point=point) if topic == "click" else point)
    hand.talker.until(lambda: hand.next_frame().state == TRACKING, "a target")


def propose(hand: Hand) -> None:
    """Click on the target where it is, and wait until the node has found it."""
    before = hand.talker.log().count("proposing (")
    hand.send("click", click(*hand.box.center))
    hand.talker.until(lambda: hand.talker.log().count("proposing (") > before, "a proposal")


def test_one_click_proposes_the_object_and_a_second_inside_accepts_it(hand: Hand) -> None:
    pictures: list[Image] = []
    listening = hand.talker.recorder.create_subscription(Image, "debug_image", pictures.append, 10)
    hand.talker.until(lambda: hand.talker.recorder.count_publishers("debug_image") > 0, "the debug image")
    propose(hand)

    def is_drawn() -> bool:
        hand.next_frame()
        return bool(pictures) and yellow(pictures[-1]) > 20

    hand.talker.until(is_drawn, "a yellow box")
    assert hand.next_frame().state == IDLE
    hand.send("click", click(*hand.box.center))
    hand.talker.until(lambda: hand.next_frame().state == TRACKING, "a target")
    hand.talker.recorder.destroy_subscription(listening)


def test_a_proposal_moves_with_the_target_and_a_stop_forgets_it(hand: Hand) -> None:
    start = hand.box
    propose(hand)
    while hand.box.center[0] < start.xyxy[2] + 2:
        hand.next_frame()
    hand.send("click", click(*hand.box.center))
    hand.wait_for_target()
    hand.call("stop", Trigger.Request())
    hand.send("click", click(*hand.box.center))
    hand.call("stop", Trigger.Request())
    hand.send("click", click(*hand.box.center))
    assert hand.next_frame().state == IDLE, "the first click after a stop proposes again"
    hand.call("stop", Trigger.Request())


def yellow(picture: Image) -> int:
    """How many pixels of a proposal's colour."""
    import numpy as np

    pixels = np.frombuffer(picture.data, np.uint8).reshape(picture.height, picture.width, 3).astype(int)
    return int((np.abs(pixels - (0, 220, 255)).sum(axis=2) < 60).sum())


def test_a_detector_starts_what_select_asks_for_and_only_once(hand: Hand) -> None:
    wrong = Box(5, 5, 20, 20)

    def see() -> None:
        found = detections(
            (wrong, "7", "car", 0.9), (hand.box, "8", "person", 0.5), (Box(NAN, 1, 5, 5), "9", "person", 1.0)
        )
        hand.send("init_detections", found)

    see()
    assert hand.next_frame().state == IDLE, "select is off"
    hand.set(select="class", select_value="person")
    see()
    hand.wait_for_target("8")
    hand.set(select="id", select_value="7")
    see()
    assert hand.next_frame().target_id == "8", "there is a target"
    hand.call("stop", Trigger.Request())
    see()
    assert hand.next_frame().state == IDLE, "stop means stop"
    x, y = hand.box.center
    hand.set(select="nearest", select_value=f"{x},{y}")
    see()
    hand.wait_for_target("8")
    hand.call("stop", Trigger.Request())
    hand.set(select="best", select_value="")
    see()
    hand.talker.until(lambda: hand.next_frame().target_id == "7", "the best")
    hand.set(select=False)  # as `ros2 param set ... select off` sends it
    hand.call("stop", Trigger.Request())
    see()
    assert hand.next_frame().state == IDLE, "select is off"


def test_the_service_starts_at_once_and_says_which_target(hand: Hand) -> None:
    answer = hand.init(hand.box, target_id="person 7")
    assert (answer.accepted, answer.target_id, answer.message) == (True, "person 7", "started")
    hand.wait_for_target("person 7")
    numbered = hand.init(hand.box)
    assert numbered.accepted
    assert hand.next_frame().target_id == numbered.target_id != ""


@pytest.mark.parametrize(
    ("box", "stamp", "text"),
    [
        (Box(500, 10, 20, 20), 0, "lies outside the 160x120 frame"),
        (Box(NAN, 10, 20, 20), 0, "cannot be tracked: give finite numbers"),
        (Box(10, 10, -20, 20), 0, "positive width and height"),
        (Box(0.1, 0.2, 0.3, 0.4), 0, "if these are fractions of the 160x120 frame, give 16,24,48,48"),
        (Box(10, 10, 20, 20), 1, "older than the oldest of"),
    ],
)
def test_the_service_says_why_it_refuses(hand: Hand, box: Box, stamp: int, text: str) -> None:
    answer = hand.init(box, stamp)
    assert (answer.accepted, answer.target_id) == (False, "")
    assert text in answer.message
    assert hand.next_frame().state == IDLE


GARBAGE: dict[str, list[Any]] = {
    "init_boxes": [
        detections((Box(NAN, 1, 5, 5), "", "", NAN), (Box(-90, -90, 5, 5), "", "", 1.0)),
        detections((Box(10, 10, 20, 20), "", "", 0.5), stamp=7),
    ],
    "init_region": [RegionOfInterest(), RegionOfInterest(x_offset=2**32 - 1, width=2**32 - 1, height=1)],
    "init_polygon": [
        polygon(),
        polygon((5, 5)),
        polygon((5, 5), (5, 5), (5, 5)),
        polygon((NAN, 5), (9, 9)),
        polygon((math.inf, 5), (-math.inf, 9)),
        polygon((-1e30, -1e30), (-1e29, -1e29)),
        polygon((10, 10), (40, 40), stamp=7),
    ],
    "click": [click(NAN, 5), click(-1, 5), click(HUGE, -HUGE), click(math.inf, 5, stamp=2**60)],
    "image_mouse_left": [Point(x=NAN), Point(x=1e9), Point(y=-5.0)],
    "debug_image_mouse_left": [Point(x=NAN), Point(x=90.0), Point(y=-HUGE)],
    "init_detections": [
        detections(),
        Detection2DArray(detections=[Detection2D()]),
        detections((Box(NAN, 1, 5, 5), "", "", NAN)),
        detections((Box(HUGE, HUGE, HUGE, HUGE), "\n", "x" * 999, math.inf)),
        detections((Box(-5, -5, 1, 1), "", "", -1.0)),
        detections((Box(10, 10, 20, 20), "", "", 0.5), stamp=7),
    ],
}


@pytest.mark.parametrize("topic", list(GARBAGE))
def test_garbage_is_one_warning_and_changes_nothing(hand: Hand, topic: str) -> None:
    hand.set(select="best")
    before = hand.talker.log().count(f"{topic} refused")
    for message in GARBAGE[topic]:
        hand.topics[topic].publish(message)
    hand.talker.until(lambda: f"{topic} refused" in hand.talker.log(), "a warning")
    assert hand.next_frame().state == IDLE
    assert hand.talker.log().count(f"{topic} refused") - before <= 1
    assert "Traceback" not in hand.talker.log()
    hand.set(select="off")


def test_a_topic_of_another_type_is_named(tmp_path: Any) -> None:
    with tracker(tmp_path, "/strange") as (talker, _):
        strange = talker.recorder.create_publisher(String, "/strange/init_polygon", 1)
        talker.said("/strange/init_polygon carries std_msgs/msg/String, but geometry_msgs/msg/PolygonStamped is needed")
        talker.recorder.destroy_publisher(strange)
