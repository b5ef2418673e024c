"""A ground station made of pymavlink's own connection."""

from __future__ import annotations

import os
import random
import time
from typing import Any

from pymavlink import mavutil
from pymavlink.dialects.v20 import common as dialect

PATIENCE = 20.0
STATUS = dialect.MAVLINK_MSG_ID_CAMERA_TRACKING_IMAGE_STATUS


class Ground:
    """A ground station on UDP. loss: share of its packets, both ways, that get lost."""

    def __init__(self, loss: float = 0.0, system: int = 255) -> None:
        os.environ["MAVLINK20"] = "1"
        mavutil.set_dialect("common")
        self.link = mavutil.mavlink_connection("udpin:127.0.0.1:0", source_system=system, source_component=190)
        self.port = self.link.port.getsockname()[1]
        self._random, self._loss = random.Random(1), loss

    def until(self, kind: str, fits: Any = lambda message: True) -> Any:
        """The next message of that type that fits."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            message = self.receive()
            if message is not None and message.get_type() == kind and fits(message):
                return message
        raise AssertionError(f"no {kind} came")

    def receive(self, timeout: float = 0.2) -> Any:
        message = self.link.recv_match(blocking=True, timeout=timeout)
        return None if self._random.random() < self._loss else message

    def send(self, number: int, *parameters: float, confirmation: int = 0, to: tuple[int, int] = (1, 100)) -> None:
        if self._random.random() >= self._loss:
            values = [*parameters, *[0.0] * (7 - len(parameters))]
            self.link.mav.command_long_send(*to, number, confirmation, *values)

    def command(self, number: int, *parameters: float) -> int:
        """Send until it is acknowledged, as ground stations do; the result."""
        for attempt in range(50):
            self.send(number, *parameters, confirmation=attempt)
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                message = self.receive(0.05)
                if message is not None and message.get_type() == "COMMAND_ACK" and message.command == number:
                    return int(message.result)
        raise AssertionError(f"command {number} was never acknowledged")

    def close(self) -> None:
        self.link.close()
