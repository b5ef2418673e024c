"""What server and page say to each other.

From the server: texts are JSON objects, {"hello": facts} once and {"note": text} at any time; a binary message is one
frame: the length of a JSON object (4 bytes, little-endian), the object, and a JPEG picture.
From the page, texts alone: {"do": "start", "box": [x, y, w, h], "stamp": "ns"}, {"do": "point", "at": [x, y],
"stamp": "ns"}, {"do": "stop"}, {"do": "model", "name": ...}, {"do": "seen"} for every frame that was shown, and
{"do": "watch", "on": true or false}. Stamps are texts, since a number of JavaScript holds 53 bits.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream.reports import Report
from sot_tracker.stream.requests import Request

MAX_BYTES = 2048
"""Of a message from the page."""
_NAME_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Start:
    request: Request


@dataclass(frozen=True, slots=True)
class Point:
    """Start on what is at (x, y), pixels of the frame with that stamp."""

    x: float
    y: float
    stamp: int


@dataclass(frozen=True, slots=True)
class Stop:
    pass


@dataclass(frozen=True, slots=True)
class Choose:
    model: str


@dataclass(frozen=True, slots=True)
class Seen:
    pass


@dataclass(frozen=True, slots=True)
class Watch:
    on: bool


Command = Start | Point | Stop | Choose | Seen | Watch
_WITHOUT_ARGUMENTS: dict[str, Command] = {"stop": Stop(), "seen": Seen()}


def command_of(text: str) -> Command:
    """Read a message from the page. Raises UserError for whatever it is not."""
    try:
        message = json.loads(text)
        verb = message["do"]
        if verb == "start":
            return Start(Request(Box.of(_numbers(message["box"], 4)), _stamp(message.get("stamp", "0"))))
        if verb == "point":
            x, y = _numbers(message["at"], 2)
            return Point(x, y, _stamp(message.get("stamp", "0")))
        if verb == "model":
            return Choose(str(message["name"])[:_NAME_LENGTH])
        if verb == "watch":
            return Watch(bool(message["on"]))
        return _WITHOUT_ARGUMENTS[verb]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise UserError(f"message not understood: {text[:60]!r}") from None


def _numbers(values: Any, count: int) -> list[float]:
    numbers = [float(value) for value in values]
    if not isinstance(values, list) or len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError
    return numbers


def _stamp(text: Any) -> int:
    if not isinstance(text, str) or not text.isascii() or not text.isdecimal() or len(text) > 19:
        raise ValueError
    return int(text)


def box_around(x: float, y: float, size: tuple[int, int], fraction: float) -> Box:
    """A square box around a point, its side a fraction of the frame's shorter side."""
    side = fraction * min(size)
    return Box.from_cxcywh(x, y, side, side)


def text_of(**fields: Any) -> str:
    """A text message to the page."""
    return json.dumps(fields, allow_nan=False)


def frame_message(report: Report, jpeg: bytes) -> bytes:
    """A binary message to the page."""
    facts = {
        "stamp": str(report.stamp),
        "size": report.size,
        "state": report.state,
        "reason": report.reason,
        "box": [round(v, 2) for v in report.box.xywh] if report.box is not None and report.box.is_valid else None,
        "score": _finite(report.score),
        "probability": _finite(report.probability),
        "latency": _finite(report.latency_ms),
        "source": report.source,
        "target": report.target_id,
    }
    head = json.dumps(facts, allow_nan=False).encode()
    return len(head).to_bytes(4, "little") + head + jpeg


def _finite(value: float) -> float | None:
    return round(float(value), 3) if math.isfinite(value) else None
