"""The output of `sot-tracker track --save-bag`: a recording of detections, states and debug images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sot_tracker.errors import UserError
from sot_tracker.stream import bag_messages
from sot_tracker.stream.bag_types import COMPRESSED, DETECTION, STATE
from sot_tracker.stream.bag_writer import BagWriter
from sot_tracker.stream.draw import draw_targets
from sot_tracker.stream.follow import Step
from sot_tracker.stream.output_files import NewFile
from sot_tracker.tracker import State

if TYPE_CHECKING:
    from typing_extensions import Self

TOPICS = {"/detection": DETECTION, "/state": STATE, "/debug_image/compressed": COMPRESSED}


class BagFile:
    """An MCAP file with the node's topics, each message with the frame's own header and time.

    Raises UserError for another suffix or a place that cannot be written.
    """

    note = ""

    def __init__(self, path: Path, name: str) -> None:
        if path.suffix != ".mcap":
            raise UserError(f"--save-bag '{path}' must end in .mcap")
        NewFile(path, "--save-bag")  # raises UserError if the file cannot be written there
        self.path: Path | None = path
        self._target, self._name = path, name
        self._count = 0
        self._since: dict[str, tuple[State, int]] = {}

    def __enter__(self) -> Self:
        self._writer = BagWriter(self._target.resolve(), f"--save-bag '{self._target}'")
        for topic, kind in TOPICS.items():
            self._writer.add_topic(topic, kind)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            self._writer.keep()
        except UserError:
            self._writer.discard()
            if kind is None:
                raise

    def write(self, step: Step) -> bool:
        self._count += 1
        stamp = step.frame.stamp
        known = step.frame.header
        head = bag_messages.header(stamp, known.frame_id if known is not None else "camera")
        for target, estimate in step.estimates.items():
            before = self._since.get(target)
            if before is None or before[0] is not estimate.state:
                self._since[target] = (estimate.state, stamp)
            if estimate.is_reported:
                self._writer.write("/detection", stamp, bag_messages.detection(estimate, head, target))
            since = self._since[target][1]
            self._writer.write("/state", stamp, bag_messages.state(estimate, head, target, since, self._count))
        # Without times, which differ from run to run, as in the states.
        untimed = {target: replace(estimate, times={}) for target, estimate in step.estimates.items()}
        drawn = draw_targets(step.image, untimed, self._name)
        self._writer.write("/debug_image/compressed", stamp, bag_messages.jpeg(drawn, head))
        return True
