"""What is said of an image topic from which nothing comes, with a node that only records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")

from rclpy.qos import ReliabilityPolicy  # noqa: E402

from sot_tracker.config import Config  # noqa: E402
from sot_tracker.ros import image_input  # noqa: E402
from sot_tracker.ros.image_input import RAW, ImageInput  # noqa: E402
from sot_tracker.stream import statistics  # noqa: E402


class Setup:
    """An image topic with one publisher of this type; time goes on by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **config: Any) -> None:
        self.now, self.kind, self.offered = 100.0, RAW, ReliabilityPolicy.RELIABLE
        self.publishers = 1
        self.informed: list[str] = []
        self.said: list[tuple[float, str]] = []
        monkeypatch.setattr(image_input.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(
            image_input, "Reminder", lambda: statistics.Reminder(first_s=10.0, longest_s=600.0, steady=lambda: self.now)
        )
        node: Any = SimpleNamespace(
            resolve_topic_name=lambda name: f"/{name}",
            get_logger=lambda: SimpleNamespace(info=self.informed.append),
            get_publishers_info_by_topic=lambda topic: (
                [SimpleNamespace(topic_type=self.kind, qos_profile=SimpleNamespace(reliability=self.offered))]
                * self.publishers
            ),
            get_topic_names_and_types=lambda: [],
            create_subscription=lambda *args, raw: "",
            destroy_subscription=lambda subscription: None,
        )
        self.input = ImageInput(
            node, Config(**config), lambda message: None, lambda kind, text: self.said.append((self.now, text))
        )

    def watch(self, seconds: float) -> list[float]:
        """Wait for so long; when something was said in the meantime."""
        self.said.clear()
        begin = self.now
        while self.now < begin + seconds:
            self.now += 0.1
            self.input.watch()
        return [round(at - begin) for at, _ in self.said]


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    return Setup(monkeypatch)


@pytest.mark.parametrize("kind", [RAW, "std_msgs/msg/String"])
def test_silence_is_reported_at_growing_intervals(setup: Setup, kind: str) -> None:
    setup.kind = kind
    said = setup.watch(3600.0)
    assert said[:7] == pytest.approx([3, 13, 33, 73, 153, 313, 633], abs=2)
    assert np.diff(said)[6:] == pytest.approx(600, abs=2), "from then on every ten minutes"
    if kind == RAW:
        assert re.match(rf"/image has a publisher but no frame came for {said[-1]} s\. ", setup.said[-1][1])


def test_after_a_frame_it_begins_anew(setup: Setup) -> None:
    setup.watch(100.0)
    assert "do not fit Fast DDS's default shared-memory segment" in setup.said[-1][1]
    setup.input._take(None, {})
    assert setup.watch(20.0) == pytest.approx([3, 13], abs=1)
    assert setup.said[-1][1].endswith("for 13 s. Check the publisher."), "it is not the size: frames came"


def test_a_camera_that_ends_is_reported_every_time(setup: Setup) -> None:
    setup.publishers = 0
    assert setup.watch(20.0) == []
    assert setup.informed[-1] == "nobody publishes /image", "one that was never there is no warning"
    for _ in range(2):
        setup.publishers = 1
        setup.watch(1.0)
        setup.input._take(None, {})
        setup.publishers = 0
        assert setup.watch(20.0) == pytest.approx([3, 13], abs=1)
        assert "/image has no publisher any more, and no frame came for 13 s: see whether" in setup.said[-1][1]


@pytest.mark.parametrize(("wanted", "message"), [("reliable", True), ("auto", False), ("best_effort", False)])
def test_a_reliable_subscription_to_a_best_effort_camera_is_reported(
    monkeypatch: pytest.MonkeyPatch, wanted: str, message: bool
) -> None:
    setup = Setup(monkeypatch, reliability=wanted)
    setup.offered = ReliabilityPolicy.BEST_EFFORT
    setup.watch(5.0)
    (text,) = [text for _, text in setup.said]
    assert (
        "It is best effort, so a reliable subscription receives nothing from it: set reliability:=auto" in text
    ) is message


@pytest.mark.parametrize(
    ("remapped", "expected"),
    [
        ({}, "/cam/image/compressed"),
        ({"image": "/front/image_raw"}, "/front/image_raw/compressed"),
        ({"image": "/front/image_raw/compressed"}, "/front/image_raw/compressed"),
        ({"image/compressed": "/front/jpeg"}, "/front/jpeg"),
    ],
)
def test_where_compressed_images_are(remapped: dict[str, str], expected: str) -> None:
    def resolve(name: str, only_expand: bool = False) -> str:
        return f"/cam/{name}" if only_expand else remapped.get(name, f"/cam/{name}")

    node: Any = SimpleNamespace(resolve_topic_name=resolve)
    assert image_input.compressed_topic(node) == expected
