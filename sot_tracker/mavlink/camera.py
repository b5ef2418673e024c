"""A tracking camera of MAVLink's camera protocol, as a state machine without a transport: messages in, messages out.

It imports pymavlink's MAVLink 2 dialect itself. `pymavlink.mavutil` would choose MAVLink 1 unless MAVLINK20 is set in
the environment, and MAVLink 1 has no messages above number 255 (findings/pymavlink_tracking_message.sh).
Protocol: https://mavlink.io/en/services/camera.html, section "Camera tracking".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pymavlink.dialects.v20 import common as dialect

from sot_tracker.box import Box, require_trackable
from sot_tracker.errors import UserError
from sot_tracker.mavlink.commands import NAN, Command, Refused, command_of, require_fractions, whole
from sot_tracker.mavlink.config import MavlinkConfig
from sot_tracker.stream.reports import IDLE, SILENT, Report
from sot_tracker.stream.requests import Request

HEARTBEAT_S = 1.0
SILENT_S = 1.0
"""Seconds after which a report is too old to be used."""
UNSEEN_S = 3.0
"""Seconds after which a picture no longer shows that pictures arrive; a node looks at one per second."""
DEFAULT_INTERVAL_S = 0.5
"""Default interval of CAMERA_TRACKING_IMAGE_STATUS, used if a ground station requests the default."""
MIN_INTERVAL_S, MAX_INTERVAL_S = 0.01, 2000.0  # MESSAGE_INTERVAL holds microseconds in 32 bits
REPEATED_S = 3.0
"""The same command from the same sender within this time is a repetition, because its acknowledgement was lost."""
_FAR = 1e6  # pixels: boxes beyond this are not reported; float32 could not represent them exactly
_TEXT = 50  # bytes in one STATUSTEXT
_TRACKED = ("TRACKING", "UNCERTAIN")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send. mavlink1: send it in MAVLink 1, to a receiver that may not understand MAVLink 2."""

    message: Any
    mavlink1: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """A request to start on a target.

    point: the given point in pixels, if the command had no size; the request's box is then a square around it.
    """

    request: Request
    point: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """A request to stop tracking."""


@dataclass(slots=True)
class Reaction:
    """The reaction to a message: messages to send, and a request to the tracker."""

    send: list[Outgoing] = field(default_factory=list)
    action: Start | Stop | None = None


class Camera:
    """The camera component. All times are seconds of one monotonic clock, which the caller reads.

    model: of the tracker. version: of this software, (major, minor, patch). now: when the camera was switched on.
    """

    def __init__(self, config: MavlinkConfig, model: str, version: tuple[int, int, int], now: float) -> None:
        self._config, self._model, self._version = config, model, version
        self._codec = dialect.MAVLink(None, config.system, config.component)
        self._boot = now
        self._report: Report | None = None
        self._reported_at = -math.inf
        self._size: tuple[int, int] | None = None
        self._seen_at = -math.inf
        self._last: tuple[Command, float] | None = None  # the command that started the target, and when
        self._intervals: dict[int, float] = {dialect.MAVLINK_MSG_ID_HEARTBEAT: HEARTBEAT_S}
        self._due: dict[int, float] = {dialect.MAVLINK_MSG_ID_HEARTBEAT: now}
        self._text_number = 0
        self._messages: dict[int, Callable[[float], Any]] = {
            dialect.MAVLINK_MSG_ID_HEARTBEAT: self._heartbeat,
            dialect.MAVLINK_MSG_ID_CAMERA_INFORMATION: self._information,
            dialect.MAVLINK_MSG_ID_CAMERA_SETTINGS: self._settings,
            dialect.MAVLINK_MSG_ID_STORAGE_INFORMATION: self._storage,
            dialect.MAVLINK_MSG_ID_CAMERA_CAPTURE_STATUS: self._capture_status,
            dialect.MAVLINK_MSG_ID_CAMERA_TRACKING_IMAGE_STATUS: self._tracking_status,
        }
        self._commands: dict[int, Callable[[Command, float, Reaction], None]] = {
            dialect.MAV_CMD_REQUEST_MESSAGE: self._on_request,
            dialect.MAV_CMD_SET_MESSAGE_INTERVAL: self._on_set_interval,
            dialect.MAV_CMD_GET_MESSAGE_INTERVAL: self._on_get_interval,
            dialect.MAV_CMD_CAMERA_TRACK_POINT: self._on_point,
            dialect.MAV_CMD_CAMERA_TRACK_RECTANGLE: self._on_rectangle,
            dialect.MAV_CMD_CAMERA_STOP_TRACKING: self._on_stop,
            # Deprecated names of REQUEST_MESSAGE that ground stations still send.
            dialect.MAV_CMD_REQUEST_CAMERA_INFORMATION: self._on_old_request,
            dialect.MAV_CMD_REQUEST_CAMERA_SETTINGS: self._on_old_request,
            dialect.MAV_CMD_REQUEST_STORAGE_INFORMATION: self._on_old_request,
            dialect.MAV_CMD_REQUEST_CAMERA_CAPTURE_STATUS: self._on_old_request,
        }

    @property
    def next_due(self) -> float:
        """When `tick` has something to do."""
        return min(self._due.values())

    def update(self, report: Report, now: float) -> None:
        """Take the tracker's report of the newest frame."""
        self._report, self._reported_at = report, now
        self._size = report.size or self._size

    def see(self, size: tuple[int, int], now: float) -> None:
        """Take the size of a picture that arrived. The tracker does not report it where it refuses a new size."""
        self._size, self._seen_at = size, now

    def tick(self, now: float) -> list[Outgoing]:
        """The messages that are due. After a pause each is sent once, not as often as it was missed."""
        send = []
        for number, due in list(self._due.items()):
            if due <= now:
                send.append(Outgoing(self._messages[number](now)))
                interval = self._intervals[number]
                self._due[number] = due + interval if due + interval > now else now + interval
        return send

    def receive(self, message: Any, now: float) -> Reaction:
        """React to a message that was parsed from a packet. Messages for other components are ignored."""
        reaction = Reaction()
        if message.get_type() not in ("COMMAND_LONG", "COMMAND_INT"):
            return reaction
        if message.target_system not in (0, self._config.system):
            return reaction
        if message.target_component not in (0, self._config.component):
            return reaction
        command = command_of(message)
        handler = self._commands.get(command.number)
        if handler is None:
            if message.target_component != 0:  # a broadcast that this camera does not support is not an error
                self._acknowledge(reaction, command, dialect.MAV_RESULT_UNSUPPORTED)
            return reaction
        # The acknowledgement is sent before the requested message.
        self._acknowledge(reaction, command, dialect.MAV_RESULT_ACCEPTED)
        try:
            handler(command, now, reaction)
        except Refused as refused:
            reaction.send.clear()
            self._acknowledge(reaction, command, refused.result)
            reaction.send += self.complain(refused.reason)
        return reaction

    def complain(self, reason: str) -> list[Outgoing]:
        """The reason as STATUSTEXT, in as many parts as needed; none for an empty text."""
        text = reason.encode("ascii", "replace")
        parts = [text[start : start + _TEXT] for start in range(0, len(text), _TEXT)]
        if parts and len(parts[-1]) == _TEXT:
            parts.append(b"")  # a full part means that another one follows
        self._text_number = self._text_number % 65535 + 1
        number = self._text_number if len(parts) > 1 else 0
        severity = dialect.MAV_SEVERITY_WARNING
        return [Outgoing(self._codec.statustext_encode(severity, part, number, i)) for i, part in enumerate(parts)]

    # ---- commands

    def _acknowledge(self, reaction: Reaction, command: Command, result: int) -> None:
        system, component = command.sender
        message = self._codec.command_ack_encode(command.number, result, 0, 0, system, component)
        reaction.send.append(Outgoing(message, command.mavlink1))

    def _on_request(self, command: Command, now: float, reaction: Reaction) -> None:
        number = whole(command.parameters[0])
        if number not in self._messages or (command.mavlink1 and number > 255):
            raise Refused(dialect.MAV_RESULT_DENIED)
        reaction.send.append(Outgoing(self._messages[number](now), command.mavlink1))

    def _on_old_request(self, command: Command, now: float, reaction: Reaction) -> None:
        number = {
            dialect.MAV_CMD_REQUEST_CAMERA_INFORMATION: dialect.MAVLINK_MSG_ID_CAMERA_INFORMATION,
            dialect.MAV_CMD_REQUEST_CAMERA_SETTINGS: dialect.MAVLINK_MSG_ID_CAMERA_SETTINGS,
            dialect.MAV_CMD_REQUEST_STORAGE_INFORMATION: dialect.MAVLINK_MSG_ID_STORAGE_INFORMATION,
            dialect.MAV_CMD_REQUEST_CAMERA_CAPTURE_STATUS: dialect.MAVLINK_MSG_ID_CAMERA_CAPTURE_STATUS,
        }[command.number]
        wants = command.parameters[1 if number == dialect.MAVLINK_MSG_ID_STORAGE_INFORMATION else 0]
        if command.mavlink1:
            raise Refused(dialect.MAV_RESULT_DENIED)
        if wants == 1:
            reaction.send.append(Outgoing(self._messages[number](now)))

    def _on_set_interval(self, command: Command, now: float, reaction: Reaction) -> None:
        number, interval_us = whole(command.parameters[0]), command.parameters[1]
        if number not in self._messages or not math.isfinite(interval_us):
            raise Refused(dialect.MAV_RESULT_DENIED)
        is_heartbeat = number == dialect.MAVLINK_MSG_ID_HEARTBEAT
        if interval_us < 0:
            if is_heartbeat:
                raise Refused(dialect.MAV_RESULT_DENIED, "the heartbeat cannot be switched off")
            self._intervals.pop(number, None)
            self._due.pop(number, None)
            return
        default = HEARTBEAT_S if is_heartbeat else DEFAULT_INTERVAL_S
        requested = min(max(interval_us * 1e-6, MIN_INTERVAL_S), MAX_INTERVAL_S)
        self._intervals[number] = requested if interval_us > 0 else default
        self._due[number] = min(now + self._intervals[number], self._due.get(number, math.inf))

    def _on_get_interval(self, command: Command, now: float, reaction: Reaction) -> None:
        number = whole(command.parameters[0])
        if not 0 <= number <= 65535:
            raise Refused(dialect.MAV_RESULT_DENIED)
        interval = self._intervals.get(number)
        known = 0 if number not in self._messages else -1 if interval is None else round(interval * 1e6)
        reaction.send.append(Outgoing(self._codec.message_interval_encode(number, known), command.mavlink1))

    def _on_point(self, command: Command, now: float, reaction: Reaction) -> None:
        x, y, radius = command.parameters[:3]
        width, height = self._frame(now)
        require_fractions(x, y)
        has_radius = math.isfinite(radius) and 0 < radius <= 1
        side = 2 * radius * width if has_radius else self._config.point_size * min(width, height)
        box, point = Box.from_cxcywh(x * width, y * height, side, side), (x * width, y * height)
        self._start(box, command, now, reaction, None if has_radius else point)

    def _on_rectangle(self, command: Command, now: float, reaction: Reaction) -> None:
        x1, y1, x2, y2 = command.parameters[:4]
        width, height = self._frame(now)
        require_fractions(x1, y1, x2, y2)
        box = Box.from_xyxy(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)).scaled(width, height)
        self._start(box, command, now, reaction)

    def _start(
        self,
        box: Box,
        command: Command,
        now: float,
        reaction: Reaction,
        point: tuple[float, float] | None = None,
    ) -> None:
        if self._last is not None and self._last[0] == command and now - self._last[1] < REPEATED_S:
            return  # a repetition: the target has moved since, so it must not be started again
        width, height = self._frame(now)
        try:
            require_trackable(box, width, height)
        except UserError as error:
            raise Refused(dialect.MAV_RESULT_DENIED, str(error)) from None
        if min(box.w, box.h) < 1:
            raise Refused(dialect.MAV_RESULT_DENIED, "the rectangle is less than one pixel wide or high")
        reaction.action = Start(Request(box), point)
        self._last = (command, now)

    def _on_stop(self, command: Command, now: float, reaction: Reaction) -> None:
        self._last = None
        reaction.action = Stop()

    def _frame(self, now: float) -> tuple[int, int]:
        """Width and height of the present frames. Raises Refused if there are none."""
        are_there = self._state(now) != SILENT or now - self._seen_at <= UNSEEN_S
        if self._size is None or not are_there:
            raise Refused(dialect.MAV_RESULT_TEMPORARILY_REJECTED, "the tracker gets no pictures")
        return self._size

    # ---- messages

    def _state(self, now: float) -> str:
        if self._report is None or now - self._reported_at > SILENT_S:
            return SILENT
        return self._report.state

    def _boot_ms(self, now: float) -> int:
        return int((now - self._boot) * 1e3) & 0xFFFFFFFF

    def _heartbeat(self, now: float) -> Any:
        return self._codec.heartbeat_encode(
            dialect.MAV_TYPE_CAMERA, dialect.MAV_AUTOPILOT_INVALID, 0, 0, dialect.MAV_STATE_ACTIVE
        )

    def _information(self, now: float) -> Any:
        width, height = self._size or (0, 0)
        major, minor, patch = self._version
        return self._codec.camera_information_encode(
            self._boot_ms(now),
            _name("sot_tracker"),
            _name(self._model),
            patch << 16 | minor << 8 | major,
            focal_length=NAN,
            sensor_size_h=NAN,
            sensor_size_v=NAN,
            resolution_h=min(width, 65535),
            resolution_v=min(height, 65535),
            lens_id=0,
            flags=dialect.CAMERA_CAP_FLAGS_HAS_TRACKING_POINT | dialect.CAMERA_CAP_FLAGS_HAS_TRACKING_RECTANGLE,
            cam_definition_version=0,
            cam_definition_uri=b"",
        )

    def _settings(self, now: float) -> Any:
        return self._codec.camera_settings_encode(self._boot_ms(now), dialect.CAMERA_MODE_VIDEO, NAN, NAN)

    def _storage(self, now: float) -> Any:
        """There is no storage."""
        return self._codec.storage_information_encode(
            self._boot_ms(now), 1, 0, dialect.STORAGE_STATUS_NOT_SUPPORTED, 0, 0, 0, 0, 0
        )

    def _capture_status(self, now: float) -> Any:
        """Nothing is recorded."""
        return self._codec.camera_capture_status_encode(self._boot_ms(now), 0, 0, 0, 0, 0)

    def _tracking_status(self, now: float) -> Any:
        """The status with the box of the newest report, if it may be published (`Report.fresh`); ERROR without one."""
        state, report = self._state(now), self._report
        if state == IDLE:
            return self._status(dialect.CAMERA_TRACKING_STATUS_FLAGS_IDLE)
        box = report.box if report is not None and report.fresh and state in _TRACKED else None
        if report is None or report.size is None or box is None or not box.is_valid or max(map(abs, box.xywh)) > _FAR:
            return self._status(dialect.CAMERA_TRACKING_STATUS_FLAGS_ERROR)
        width, height = report.size
        (x, y), (x1, y1, x2, y2) = box.center, box.xyxy
        return self._status(
            dialect.CAMERA_TRACKING_STATUS_FLAGS_ACTIVE,
            mode=dialect.CAMERA_TRACKING_MODE_RECTANGLE,
            data=dialect.CAMERA_TRACKING_TARGET_DATA_IN_STATUS,
            point=(x / width, y / height, max(box.w, box.h) / 2 / width),
            corners=(x1 / width, y1 / height, x2 / width, y2 / height),
        )

    def _status(
        self,
        status: int,
        mode: int = dialect.CAMERA_TRACKING_MODE_NONE,
        data: int = 0,
        point: tuple[float, float, float] = (NAN, NAN, NAN),
        corners: tuple[float, float, float, float] = (NAN, NAN, NAN, NAN),
    ) -> Any:
        return self._codec.camera_tracking_image_status_encode(status, mode, data, *point, *corners)


def _name(text: str) -> bytes:
    """A name in a field of 32 bytes."""
    return text.encode("ascii", "replace")[:31].ljust(32, b"\0")
