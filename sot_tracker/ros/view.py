"""The `view` node: a web page for a tracker node. docs/view.md describes it."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from sot_tracker.config import Config
from sot_tracker.errors import UserError
from sot_tracker.model_folder import loadable_models
from sot_tracker.options import options_of
from sot_tracker.ros import messages, parameters
from sot_tracker.ros.image_input import ImageInput
from sot_tracker.ros.process import run
from sot_tracker.ros.remote import RemoteTracker, Reports
from sot_tracker.stream.joining import Joiner
from sot_tracker.stream.range16 import Range16
from sot_tracker.stream.statistics import Throttle
from sot_tracker.view.config import ViewNodeConfig
from sot_tracker.view.server import Facts, ViewServer

WATCH_PERIOD = 0.1
REPORT_PERIOD = 5.0  # seconds between two log lines of one kind
MODEL_PERIOD = 1.0  # seconds between two requests for the model's name


class ViewNode(Node):
    """Subscribes to `image`, `state` and `detection` while the page is open; passes requests to the tracker."""

    def __init__(self, **options: Any) -> None:
        """options: of rclpy's Node. Raises UserError where the page cannot be served."""
        super().__init__("view", **options)
        self._config = parameters.declare(self, ViewNodeConfig, tuple(options_of(ViewNodeConfig)))
        self._throttle = Throttle(REPORT_PERIOD)
        self._joiner = Joiner(pictures=True)
        self._tracker = RemoteTracker(self, self._config.tracker, self._joiner.show)
        self._range16 = Range16(())
        self._reports: Reports | None = None
        self._images: ImageInput | None = None
        self._model = ""
        self._model_requests = Throttle(MODEL_PERIOD)
        name = self.resolve_topic_name("image")
        self._server = ViewServer(self._config, self._tracker, Facts(name, "", loadable_models())).__enter__()
        self.get_logger().info(f"open {self._server.url}")
        self.create_timer(WATCH_PERIOD, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        self._server.__exit__()

    def _watch(self) -> None:
        """Subscribe only while the page is open: receiving costs time, here and in the tracker node."""
        if self._server.is_watched and self._reports is None:
            self._reports = Reports(self, self._joiner, self._server.publish)
            config = Config(image_transport=self._config.image_transport)
            self._images = ImageInput(self, config, self._take, self._warn)
        elif not self._server.is_watched and self._reports is not None and self._images is not None:
            self._reports.close()
            self._images.close()
            self._reports = self._images = None
            self._model = ""
        if self._images is not None and self._reports is not None:
            self._images.watch()
            self._reports.take(self._joiner.overdue())
        self._tracker.watch()
        if self._reports is not None and not self._model and self._model_requests.ready("model"):
            self._tracker.ask_model(self._on_model)

    def _on_model(self, name: str) -> None:
        if not self._model and name:
            self._model = name
            self._server.show_model(name)

    def _take(self, message: Any) -> None:
        """A sensor_msgs/Image or CompressedImage."""
        if self._reports is None:
            return
        try:
            frame = messages.frame_of(message, self._range16)
        except UserError as error:
            self._warn("frame", f"a frame cannot be shown: {error}")
            return
        self._reports.take(self._joiner.picture(frame, messages.jpeg_of(message)))

    def _warn(self, kind: str, text: str) -> None:
        if self._throttle.ready(kind):
            self.get_logger().warning(text)
            self._server.say(text)


def main() -> int:
    with ExitStack() as stack:
        return run(lambda: stack.enter_context(closing(ViewNode())))


if __name__ == "__main__":
    sys.exit(main())
