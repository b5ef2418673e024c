"""Messages between server and page."""

import json
import math

import pytest

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream.reports import Report
from sot_tracker.stream.requests import Request
from sot_tracker.view import wire


@pytest.mark.parametrize(
    ("message", "command"),
    [
        ({"do": "start", "box": [1, 2, 3.5, 4]}, wire.Start(Request(Box(1, 2, 3.5, 4)))),
        (
            {"do": "start", "box": [1, 2, 3, 4], "stamp": "1764230000123456789"},
            wire.Start(Request(Box(1, 2, 3, 4), 1764230000123456789)),
        ),
        ({"do": "point", "at": [5, 6], "stamp": "7"}, wire.Point(5, 6, 7)),
        ({"do": "stop"}, wire.Stop()),
        ({"do": "model", "name": "lite"}, wire.Choose("lite")),
        ({"do": "seen"}, wire.Seen()),
        ({"do": "watch", "on": False}, wire.Watch(False)),
    ],
)
def test_commands(message, command):
    assert wire.command_of(json.dumps(message)) == command


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "5", "null", '"stop"', "{}", '{"do": "fly"}', '{"do": ["stop"]}', '{"do": "start"}',
        '{"do": "start", "box": [1, 2, 3]}', '{"do": "start", "box": "1234"}', '{"do": "start", "box": [1, 2, 3, NaN]}',
        '{"do": "start", "box": [1, 2, 3, 1e999]}', '{"do": "start", "box": [1, 2, 3, 1' + "0" * 400 + "]}",
        '{"do": "start", "box": [1, 2, 3, null]}', '{"do": "start", "box": [1, 2, 3, 4], "stamp": 5}',
        '{"do": "start", "box": [1, 2, 3, 4], "stamp": "-5"}', '{"do": "start", "box": [1, 2, 3, 4], "stamp": "٣"}',
        '{"do": "start", "box": {"1": 1, "2": 2, "3": 3, "4": 4}}', '{"do": "point", "at": [1]}', '{"do": "model"}',
        '{"do": "watch"}', "[" * 2000, '{"do": ' * 300,
    ],
)  # fmt: skip
def test_whatever_else_is_one_line(text):
    with pytest.raises(UserError, match="message not understood"):
        wire.command_of(text)


def facts_of(message: bytes) -> tuple[dict, bytes]:
    length = int.from_bytes(message[:4], "little")
    return json.loads(message[4 : 4 + length]), message[4 + length :]


def test_a_frame_message_holds_facts_and_picture():
    report = Report(
        2**60 + 1, (640, 480), "TRACKING", box=Box(1, 2, 3, 4), score=0.5, probability=0.9, latency_ms=12.25,
        source="flow", target_id="7",
    )  # fmt: skip
    facts, picture = facts_of(wire.frame_message(report, b"JPEG"))
    assert picture == b"JPEG"
    assert facts == {
        "stamp": str(2**60 + 1), "size": [640, 480], "state": "TRACKING", "reason": "", "box": [1, 2, 3, 4],
        "score": 0.5, "probability": 0.9, "latency": 12.25, "source": "flow", "target": "7",
    }  # fmt: skip


@pytest.mark.parametrize("box", [None, Box(math.nan, 1, 2, 3), Box(1, 2, -3, 4)])
def test_what_is_no_number_is_null(box):
    facts, _ = facts_of(wire.frame_message(Report(0, None, box=box, score=math.inf), b""))
    assert (facts["box"], facts["score"], facts["latency"], facts["size"]) == (None, None, None, None)


def test_the_box_around_a_point_is_in_the_middle_of_it():
    assert wire.box_around(100, 50, (640, 480), 0.25) == Box(40, -10, 120, 120)
