"""Commands as they come in a COMMAND_LONG or COMMAND_INT, and what can be wrong with their numbers."""

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
    """A command that is not carried out: the MAV_RESULT of its acknowledgement, and the reason for the user."""

    def __init__(self, result: int, reason: str = "") -> None:
        super().__init__(reason)
        self.result, self.reason = result, reason


def command_of(message: Any) -> Command:
    """The command in a message that was parsed from a packet."""
    packet = message.get_msgbuf()
    parameters = [float(getattr(message, f"param{i}")) for i in range(1, 5)]
    return Command(
        int(message.command),
        tuple(NAN if math.isnan(value) else value for value in parameters),  # one object, so that it equals itself
        (message.get_srcSystem(), message.get_srcComponent()),
        bool(packet) and packet[0] == MAVLINK1_START,
    )


def whole(value: float) -> int:
    """-1 for what is not a whole number."""
    return int(value) if math.isfinite(value) and value == int(value) else -1


def require_fractions(*values: float) -> None:
    """Raises Refused for a number that is not a share of the picture, 0 to 1."""
    if not all(math.isfinite(value) and 0 <= value <= 1 for value in values):
        raise Refused(dialect.MAV_RESULT_DENIED, "coordinates are fractions of the picture, 0 to 1")
