"""Connects the camera to a real link: exchanges bytes with a pymavlink connection, in a thread of its own."""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

import cv2
from pymavlink import mavutil
from pymavlink.dialects.v20 import common as dialect

from sot_tracker.errors import UserError
from sot_tracker.mavlink.camera import Camera, Outgoing, Reaction, Start
from sot_tracker.mavlink.config import MavlinkConfig
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.object_at import object_at
from sot_tracker.stream.reports import Control, Report
from sot_tracker.stream.requests import Request

log = logging.getLogger(__name__)

READ_BYTES = 4096
MAX_WAIT = 0.05
"""Longest wait for bytes, in seconds, before reports, answers and the end are checked."""
_PAUSE = 1.0  # seconds before a link that failed is tried again


def connect(config: MavlinkConfig) -> Any:
    """Open a pymavlink connection. Only its `recv`, `write`, `select` and `close` are used.

    Raises UserError if it cannot be opened.
    """
    try:
        made = mavutil.mavlink_connection(config.connection, baud=config.baud, autoreconnect=True)
    except ModuleNotFoundError as error:
        raise UserError(
            f"connection={config.connection} needs '{error.name}' if it is a serial device: pip install pyserial; "
            "other connections begin with udpout:, udpin:, tcp: or tcpin:"
        ) from None
    except (OSError, ValueError, IndexError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"connection={config.connection} cannot be opened: {reason}") from None
    _warn_of_unknown_host(config.connection)
    return made


def _warn_of_unknown_host(connection: str) -> None:
    """Warn if the host name cannot be resolved: pymavlink then sends nothing, without an error."""
    kind, _, place = connection.partition(":")
    host = place.rpartition(":")[0]
    if kind == "udpout":
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            log.warning("connection=%s: nothing is sent, host '%s': %s", connection, host, error.strerror)


def camera_link(config: MavlinkConfig, model: str, control: Control) -> Link:
    """A camera for that tracker, on the connection of the options. Raises UserError if that cannot be opened."""
    return Link(Camera(config, model, own_version(), time.monotonic()), config, connect(config), control)


def own_version() -> tuple[int, int, int]:
    """Major, minor and patch number of this package; zeros if it is not installed."""
    try:
        numbers = [int(part) for part in metadata.version("sot_tracker").split(".")[:3]]
    except (metadata.PackageNotFoundError, ValueError):
        return (0, 0, 0)
    return tuple(min(number, 255) for number in [*numbers, 0, 0, 0][:3])  # type: ignore[return-value]


class Link:
    """A context manager in whose block the camera is active.

    connection: from `connect`; closed at the end. control: the tracker. clock: seconds, monotonic.
    """

    def __init__(
        self, camera: Camera, config: MavlinkConfig, connection: Any, control: Control,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._camera, self._connection, self._control, self._clock = camera, connection, control, clock
        self._parser = dialect.MAVLink(None)
        self._parser.robust_parsing = True  # damaged bytes are skipped, not raised
        self._packer = dialect.MAVLink(None, config.system, config.component)
        self._newest: Report | None = None
        self._picture: tuple[int, int] | None = None
        self._frame: Frame | None = None
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="start")  # finding an object takes 0.1 to 0.3 s
        self._reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mavlink", daemon=True)
        self._failed = False

    def __enter__(self) -> Link:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join(5.0)
        self._starter.shutdown(cancel_futures=True)
        self._connection.close()

    def publish(self, report: Report) -> None:
        """Take the report of the newest frame. May be called from any thread."""
        self._newest = report

    def see(self, size: tuple[int, int]) -> None:
        """Take the size of a picture that arrived, as `Camera.see`. May be called from any thread."""
        self._picture = size

    def say(self, text: str) -> None:
        """Send a text to the ground stations. May be called from any thread."""
        self._reasons.put(text)

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                self._step()
                self._failed = False
            except OSError as error:  # for example an unplugged cable or an autopilot that restarts
                if not self._failed:
                    log.warning("the MAVLink connection failed: %s: trying again", error.strerror or error)
                self._failed = True
                self._end.wait(_PAUSE)

    def _step(self) -> None:
        """Wait for bytes or until a message is due, and process both."""
        wait = min(max(self._camera.next_due - self._clock(), 0.0), MAX_WAIT)
        self._connection.select(wait)  # its result is ignored, since for tcpin it waits for the wrong socket
        self._read()
        now = self._clock()
        if self._picture is not None:
            size, self._picture = self._picture, None
            self._camera.see(size, now)
        if self._newest is not None:
            report, self._newest = self._newest, None
            self._camera.update(report, now)
            self._frame = report.frame
        while not self._reasons.empty():
            self._send(self._camera.complain(self._reasons.get()))
        self._send(self._camera.tick(now))

    def _read(self) -> None:
        data = self._connection.recv(READ_BYTES)
        if not data:
            return
        for message in self._parser.parse_buffer(data) or []:
            self._react(self._camera.receive(message, self._clock()))

    def _react(self, reaction: Reaction) -> None:
        self._send(reaction.send)
        if isinstance(reaction.action, Start):
            self._starter.submit(self._start, reaction.action)
        elif reaction.action is not None:
            # In the same thread, so that it comes after a start. The error that there was no target is ignored.
            self._starter.submit(self._control.stop, lambda reason: None)

    def _start(self, start: Start) -> None:
        """Start on the box. If only a point was given, start on the object at that point, if it can be found."""
        frame, request = self._frame, start.request
        if start.point is not None and frame is not None:
            try:
                found = object_at(frame.image, *start.point)
            except (UserError, cv2.error):  # the frame cannot be decoded
                found = None
            request = Request(found, frame.stamp) if found is not None else request
        self._control.start(request, self._answer)

    def _answer(self, reason: str) -> None:
        if reason:
            self._reasons.put(reason)

    def _send(self, messages: list[Outgoing]) -> None:
        for outgoing in messages:
            packet = outgoing.message.pack(self._packer, force_mavlink1=outgoing.mavlink1)
            self._packer.seq = (self._packer.seq + 1) % 256
            self._connection.write(packet)
