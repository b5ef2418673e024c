"""MAVLink commands, read from COMMAND_LONG or COMMAND_INT messages, and checks of their parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pymavlink.dialects.v20 import common as dialect

MAVLINK1_START = 0xFE
"""First byte of a MAVLink 1 packet."""
NAN = math.nan


@dataclass(frozen=True, slots=True)
class Command:
    """A COMMAND_LONG or COMMAND_INT. sender: system and component."""

    number: int
    parameters: tuple[float, ...]
    sender: tuple[int, int]
    mavlink1: bool


class Refused(Exception):  # noqa: N818
    """A command is refused. result: the MAV_RESULT of its acknowledgement. reason: text for the user."""

    def __init__(self, result: int, reason: str = "") -> None:
        super().__init__(reason)
        self.result, self.reason = result, reason


def command_of(message: Any) -> Command:
    """The command in a message that was parsed from a packet."""
    packet = message.get_msgbuf()
    parameters = [float(getattr(message, f"param{i}")) for i in range(1, 5)]
    return Command(
        int(message.command),
        tuple(
            NAN if math.isnan(value) else value for value in parameters
        ),  # always the same NaN object, so that commands compare equal
        (message.get_srcSystem(), message.get_srcComponent()),
        bool(packet) and packet[0] == MAVLINK1_START,
    )


def whole(value: float) -> int:
    """The value as an integer; -1 if it is not a whole number."""
    return int(value) if math.isfinite(value) and value == int(value) else -1


def require_fractions(*values: float) -> None:
    """Raise Refused unless all values are fractions of the picture, 0 to 1."""
    if not all(math.isfinite(value) and 0 <= value <= 1 for value in values):
        raise Refused(dialect.MAV_RESULT_DENIED, "coordinates are fractions of the picture, 0 to 1")
