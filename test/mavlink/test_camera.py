"""The camera's state machine: packets in, messages out, with a clock that the test moves."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from sot_tracker.box import Box
from sot_tracker.stream.reports import Report
from sot_tracker.stream.requests import Request

pytest.importorskip("pymavlink", reason="pymavlink is not here: pip install 'sot_tracker[mavlink]'")

from pymavlink.dialects.v10 import common as dialect1
from pymavlink.dialects.v20 import common as dialect

from sot_tracker.mavlink.camera import REPEATED_S, SILENT_S, UNSEEN_S, Camera, Outgoing, Reaction, Start, Stop
from sot_tracker.mavlink.config import MavlinkConfig

SIZE = (640, 480)
GROUND = (255, 190)
STATUS = dialect.MAVLINK_MSG_ID_CAMERA_TRACKING_IMAGE_STATUS
INFORMATION = dialect.MAVLINK_MSG_ID_CAMERA_INFORMATION
POINT, RECTANGLE = dialect.MAV_CMD_CAMERA_TRACK_POINT, dialect.MAV_CMD_CAMERA_TRACK_RECTANGLE
STOP = dialect.MAV_CMD_CAMERA_STOP_TRACKING
REQUEST, SET, GET = (
    dialect.MAV_CMD_REQUEST_MESSAGE,
    dialect.MAV_CMD_SET_MESSAGE_INTERVAL,
    dialect.MAV_CMD_GET_MESSAGE_INTERVAL,
)
ACCEPTED, REJECTED, DENIED, UNSUPPORTED = 0, 1, 2, 3


def camera(state: str | None = "IDLE", box: Box | None = None, fresh: bool = True) -> Camera:
    """Of system 1, component 100, switched on at time 0; its tracker has just reported, unless state is None."""
    made = Camera(MavlinkConfig(), "lite", (1, 2, 3), 0.0)
    if state is not None:
        made.update(Report(1, SIZE, state, box=box, fresh=fresh), 0.0)
    return made


def packet(message: Any, sender: tuple[int, int] = GROUND, module: Any = dialect) -> Any:
    """The message as the other side of a link parses it."""
    codec = module.MAVLink(None, *sender)
    parsed = dialect.MAVLink(None).parse_buffer(message.pack(codec))
    assert parsed is not None
    return parsed[0]


def command(
    number: int, *parameters: float, to: tuple[int, int] = (1, 100), sender: tuple[int, int] = GROUND,
    confirmation: int = 0, module: Any = dialect,
) -> Any:  # fmt: skip
    values = [*parameters, *[0.0] * (7 - len(parameters))]
    return packet(module.MAVLink(None).command_long_encode(*to, number, confirmation, *values), sender, module)


def results(reaction: Reaction) -> list[int]:
    return [out.message.result for out in reaction.send if out.message.get_type() == "COMMAND_ACK"]


def types(messages: list[Outgoing]) -> list[str]:
    return [out.message.get_type() for out in messages]


def status(made: Camera, now: float = 0.0) -> Any:
    """The tracking status as a ground station reads it."""
    reaction = made.receive(command(REQUEST, STATUS), now)
    return packet(reaction.send[-1].message, (1, 100))


# ---- being found


def test_a_heartbeat_comes_every_second_and_after_a_pause_only_once() -> None:
    made = camera()
    sent = [(now, types(made.tick(now))) for now in (0.0, 0.5, 1.0, 1.5, 2.0, 60.0, 60.1, 61.0)]
    assert [now for now, messages in sent if messages] == [0.0, 1.0, 2.0, 60.0, 61.0]
    assert all(messages in ([], ["HEARTBEAT"]) for _, messages in sent)
    beat = packet(camera().tick(0.0)[0].message, (1, 100))
    assert (beat.type, beat.autopilot) == (dialect.MAV_TYPE_CAMERA, dialect.MAV_AUTOPILOT_INVALID)


def test_information_has_the_flags_of_tracking_the_names_and_the_resolution() -> None:
    reaction = camera().receive(command(REQUEST, INFORMATION), 2.5)
    assert types(reaction.send) == ["COMMAND_ACK", "CAMERA_INFORMATION"]
    reported = packet(reaction.send[1].message, (1, 100))
    assert reported.flags == (
        dialect.CAMERA_CAP_FLAGS_HAS_TRACKING_POINT | dialect.CAMERA_CAP_FLAGS_HAS_TRACKING_RECTANGLE
    )
    assert (reported.resolution_h, reported.resolution_v, reported.time_boot_ms) == (640, 480, 2500)
    assert bytes(reported.vendor_name).rstrip(b"\0") == b"sot_tracker"
    assert bytes(reported.model_name).rstrip(b"\0") == b"lite"
    assert reported.firmware_version == 0x030201
    assert math.isnan(reported.focal_length)


@pytest.mark.parametrize(
    ("number", "parameters", "message"),
    [
        (REQUEST, (0,), "HEARTBEAT"),
        (REQUEST, (259,), "CAMERA_INFORMATION"),
        (REQUEST, (260,), "CAMERA_SETTINGS"),
        (REQUEST, (261,), "STORAGE_INFORMATION"),
        (REQUEST, (262,), "CAMERA_CAPTURE_STATUS"),
        (REQUEST, (275,), "CAMERA_TRACKING_IMAGE_STATUS"),
        (dialect.MAV_CMD_REQUEST_CAMERA_INFORMATION, (1,), "CAMERA_INFORMATION"),
        (dialect.MAV_CMD_REQUEST_CAMERA_SETTINGS, (1,), "CAMERA_SETTINGS"),
        (dialect.MAV_CMD_REQUEST_STORAGE_INFORMATION, (0, 1), "STORAGE_INFORMATION"),
        (dialect.MAV_CMD_REQUEST_CAMERA_CAPTURE_STATUS, (1,), "CAMERA_CAPTURE_STATUS"),
    ],
)
@pytest.mark.parametrize("state", [None, "IDLE"])
def test_what_ground_stations_ask_for_is_acknowledged_and_sent(
    number: int, parameters: tuple[float, ...], message: str, state: str | None
) -> None:
    reaction = camera(state).receive(command(number, *parameters), 1.0)
    assert types(reaction.send) == ["COMMAND_ACK", message]
    assert results(reaction) == [ACCEPTED]
    acknowledged = reaction.send[0].message
    assert (acknowledged.command, acknowledged.target_system, acknowledged.target_component) == (number, *GROUND)
    packet(reaction.send[1].message, (1, 100))  # can be sent


@pytest.mark.parametrize(
    ("number", "parameters", "result"),
    [
        (REQUEST, (33,), DENIED),  # GLOBAL_POSITION_INT
        (REQUEST, (math.nan,), DENIED),
        (REQUEST, (259.5,), DENIED),
        (SET, (33, 1000), DENIED),
        (SET, (275, math.nan), DENIED),
        (SET, (0, -1), DENIED),
        (GET, (-5,), DENIED),
        (GET, (1e9,), DENIED),
        (dialect.MAV_CMD_COMPONENT_ARM_DISARM, (1,), UNSUPPORTED),
        (dialect.MAV_CMD_VIDEO_START_CAPTURE, (), UNSUPPORTED),
        (65535, (), UNSUPPORTED),
    ],
)
def test_what_it_cannot_do(number: int, parameters: tuple[float, ...], result: int) -> None:
    reaction = camera().receive(command(number, *parameters), 1.0)
    assert results(reaction) == [result]
    assert reaction.action is None
    assert set(types(reaction.send)) <= {"COMMAND_ACK", "STATUSTEXT"}


# ---- starting and stopping


@pytest.mark.parametrize(
    ("number", "parameters", "box"),
    [
        (RECTANGLE, (0.25, 0.5, 0.5, 0.75), Box(160, 240, 160, 120)),
        (RECTANGLE, (0.5, 0.75, 0.25, 0.5), Box(160, 240, 160, 120)),  # drawn from the other corner
        (RECTANGLE, (0, 0, 1, 1), Box(0, 0, 640, 480)),
        (POINT, (0.5, 0.5), Box(272, 192, 96, 96)),
        (POINT, (0.5, 0.5, 0), Box(272, 192, 96, 96)),
        (POINT, (0.5, 0.5, math.nan), Box(272, 192, 96, 96)),
        (POINT, (0.5, 0.5, 0.0625), Box(280, 200, 80, 80)),
        (POINT, (0, 1), Box(-48, 432, 96, 96)),
    ],
)
@pytest.mark.parametrize("to", [(1, 100), (0, 100), (1, 0), (0, 0)])
def test_tracking_starts(number: int, parameters: tuple[float, ...], box: Box, to: tuple[int, int]) -> None:
    reaction = camera().receive(command(number, *parameters, to=to), 0.5)
    assert results(reaction) == [ACCEPTED]
    assert isinstance(reaction.action, Start)
    assert reaction.action.request.stamp == 0
    assert reaction.action.request.box.xywh == pytest.approx(box.xywh, abs=1e-4)


@pytest.mark.parametrize(
    ("number", "parameters"),
    [
        (RECTANGLE, (0.5, 0.5, 0.5, 0.75)),
        (RECTANGLE, (0.5, 0.5, 0.5005, 0.75)),
        (RECTANGLE, (0.1, 0.1, 1.2, 0.5)),
        (RECTANGLE, (-0.1, 0.1, 0.2, 0.5)),
        (RECTANGLE, (0.1, math.nan, 0.2, 0.5)),
        (RECTANGLE, (100, 100, 200, 200)),
        (POINT, (math.inf, 0.5)),
        (POINT, (320, 240)),
        (POINT, (math.nan, math.nan)),
    ],
)
def test_what_is_no_target_is_denied_with_a_reason(number: int, parameters: tuple[float, ...]) -> None:
    reaction = camera().receive(command(number, *parameters), 0.5)
    assert results(reaction) == [DENIED]
    assert reaction.action is None
    assert "STATUSTEXT" in types(reaction.send)


@pytest.mark.parametrize(("state", "now"), [(None, 0.5), ("SILENT", 0.5), ("IDLE", SILENT_S + 0.1)])
def test_without_pictures_a_start_is_rejected_for_now(state: str | None, now: float) -> None:
    reaction = camera(state).receive(command(POINT, 0.5, 0.5), now)
    assert (results(reaction), reaction.action) == ([REJECTED], None)


@pytest.mark.parametrize(("now", "result"), [(UNSEEN_S, ACCEPTED), (UNSEEN_S + 0.1, REJECTED)])
def test_pictures_that_the_tracker_does_not_report_can_be_started_in(now: float, result: int) -> None:
    """As those of a new size, which it refuses until there is a new box."""
    made = camera("TRACKING", Box(10, 10, 30, 30))
    made.see((320, 240), 0.0)
    reaction = made.receive(command(RECTANGLE, 0.25, 0.25, 0.5, 0.5), now)
    assert results(reaction) == [result]
    if result == ACCEPTED:
        assert reaction.action == Start(Request(Box(80, 60, 80, 60)))


@pytest.mark.parametrize(("radius", "point"), [(0, (160, 360)), (math.nan, (160, 360)), (0.05, None)])
def test_a_point_without_a_radius_may_become_the_object_there(radius: float, point: tuple[float, float] | None) -> None:
    reaction = camera().receive(command(POINT, 0.25, 0.75, radius), 0.5)
    assert isinstance(reaction.action, Start)
    assert reaction.action.point == point


def test_a_command_int_starts_as_well() -> None:
    values = (1, 100, 0, RECTANGLE, 0, 0, 0.25, 0.5, 0.5, 0.75, 0, 0, 0.0)
    reaction = camera().receive(packet(dialect.MAVLink(None).command_int_encode(*values)), 0.5)
    assert results(reaction) == [ACCEPTED]
    assert reaction.action == Start(Request(Box(160, 240, 160, 120)))


def test_stop() -> None:
    reaction = camera("TRACKING", Box(1, 2, 3, 4)).receive(command(STOP), 0.5)
    assert (results(reaction), reaction.action) == ([ACCEPTED], Stop())


# ---- lost packets


@pytest.mark.parametrize("confirmation", [0, 1])
@pytest.mark.parametrize(
    ("number", "parameters"), [(RECTANGLE, (0.25, 0.5, 0.5, 0.75)), (POINT, (0.5, 0.5, math.nan, math.nan))]
)
def test_a_start_that_is_repeated_because_its_answer_got_lost_is_answered_and_not_done_again(
    number: int, parameters: tuple[float, ...], confirmation: int
) -> None:
    made = camera()
    assert made.receive(command(number, *parameters), 0.5).action is not None
    again = made.receive(command(number, *parameters, confirmation=confirmation), 0.8)
    assert (results(again), again.action) == ([ACCEPTED], None)


@pytest.mark.parametrize(
    ("between", "second", "at"),
    [
        (None, {"sender": (254, 190)}, 0.8),  # another ground station
        (STOP, {}, 0.8),
        (None, {}, 0.5 + REPEATED_S),
    ],
)
def test_a_start_that_is_no_repetition_is_done(between: int | None, second: dict[str, Any], at: float) -> None:
    made = camera()
    made.receive(command(POINT, 0.5, 0.5), 0.5)
    if between is not None:
        made.receive(command(between), 0.6)
    made.update(Report(2, SIZE), at)
    assert made.receive(command(POINT, 0.5, 0.5, **second), at).action is not None


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_ground_station_that_repeats_until_it_is_answered_starts_one_target(lost: int) -> None:
    made, started, now = camera(), 0, 0.1
    for attempt in range(lost + 1):
        reaction = made.receive(command(RECTANGLE, 0.1, 0.1, 0.3, 0.3, confirmation=attempt), now)
        started += isinstance(reaction.action, Start)
        now += 0.3
    assert started == 1
    assert results(reaction) == [ACCEPTED]


# ---- other people's messages


@pytest.mark.parametrize("to", [(2, 100), (1, 101), (1, 1), (2, 0), (0, 1), (255, 190)])
@pytest.mark.parametrize("number", [RECTANGLE, POINT, STOP, REQUEST, SET])
def test_commands_to_somebody_else_have_no_effect(to: tuple[int, int], number: int) -> None:
    made = camera()
    assert made.receive(command(number, 0.25, 0.5, 0.5, 0.75, to=to), 0.5) == Reaction()
    assert made.receive(command(SET, STATUS, 1000, to=to), 0.5) == Reaction()
    assert made.next_due == 0.0


def test_an_unknown_command_to_all_components_is_not_answered() -> None:
    assert camera().receive(command(dialect.MAV_CMD_COMPONENT_ARM_DISARM, 1, to=(1, 0)), 0.5) == Reaction()


@pytest.mark.parametrize(
    "message",
    [
        dialect.MAVLink(None).heartbeat_encode(6, 8, 0, 0, 4),
        dialect.MAVLink(None).command_ack_encode(RECTANGLE, 0),
        dialect.MAVLink(None).param_request_list_encode(1, 100),
        dialect.MAVLink(None).camera_tracking_image_status_encode(1, 2, 4, *[0.5] * 7),
    ],
)
def test_other_messages_have_no_effect(message: Any) -> None:
    assert camera().receive(packet(message), 0.5) == Reaction()


ODD = (0.0, -1.0, 1.0, 0.5, 275.0, 259.0, 1e-30, 65535.0, 1e9, 3e38, -3e38, math.nan, math.inf, -math.inf)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_commanded_it_lives_on(seed: int) -> None:
    """Every known command with odd numbers: all answers can be packed, for MAVLink 1 too, and it beats on."""
    chance, made = random.Random(seed), camera("TRACKING", Box(160, 240, 160, 120))
    packer, now = dialect.MAVLink(None, 1, 100), 0.0
    for _ in range(300):
        number = chance.choice([*made._commands, chance.randrange(65536)])
        to = (chance.choice((0, 1, 2)), chance.choice((0, 100, 101)))
        module = chance.choice((dialect, dialect1))
        now += 0.01
        made.update(Report(1, SIZE, "TRACKING", box=Box(160, 240, 160, 120)), now)
        reaction = made.receive(command(number, *chance.choices(ODD, k=7), to=to, module=module), now)
        for out in [*reaction.send, *made.tick(now)]:
            assert out.message.pack(packer, force_mavlink1=out.mavlink1)
    assert "HEARTBEAT" in types(made.tick(now + 3000))


# ---- MAVLink 1


@pytest.mark.parametrize(("number", "parameters"), [(POINT, (0.5, 0.5)), (STOP, ()), (SET, (275, 1e5)), (GET, (275,))])
def test_a_mavlink_1_sender_is_understood_and_answered_in_mavlink_1(number: int, parameters: tuple[float, ...]) -> None:
    reaction = camera().receive(command(number, *parameters, module=dialect1), 0.5)
    assert results(reaction) == [ACCEPTED]
    assert all(out.mavlink1 for out in reaction.send)
    for out in reaction.send:
        data = out.message.pack(dialect.MAVLink(None, 1, 100), force_mavlink1=True)
        parsed = dialect1.MAVLink(None).parse_buffer(data)
        assert parsed is not None
        assert parsed[0].get_type() == out.message.get_type()


@pytest.mark.parametrize(
    ("number", "parameters"),
    [(REQUEST, (259,)), (REQUEST, (275,)), (dialect.MAV_CMD_REQUEST_CAMERA_INFORMATION, (1,))],
)
def test_messages_that_mavlink_1_does_not_have_are_denied_to_it(number: int, parameters: tuple[float, ...]) -> None:
    reaction = camera().receive(command(number, *parameters, module=dialect1), 0.5)
    assert (types(reaction.send), results(reaction)) == (["COMMAND_ACK"], [DENIED])


# ---- the tracking status


@pytest.mark.parametrize("state", ["TRACKING", "UNCERTAIN"])
def test_a_followed_target_is_reported_in_fractions(state: str) -> None:
    reported = status(camera(state, Box(160, 240, 160, 120)))
    assert (reported.tracking_status, reported.tracking_mode, reported.target_data) == (1, 2, 4)
    corners = (reported.rec_top_x, reported.rec_top_y, reported.rec_bottom_x, reported.rec_bottom_y)
    assert corners == pytest.approx((0.25, 0.5, 0.5, 0.75))
    assert (reported.point_x, reported.point_y, reported.radius) == pytest.approx((0.375, 0.625, 0.125))


@pytest.mark.parametrize(
    ("state", "box", "now", "wanted"),
    [
        ("IDLE", None, 0.0, 0),
        ("LOST", Box(160, 240, 160, 120), 0.0, 2),
        ("TRACKING", None, 0.0, 2),
        ("TRACKING", Box(math.nan, 0, 1, 1), 0.0, 2),
        ("TRACKING", Box(1e300, 0, 1, 1), 0.0, 2),
        ("TRACKING", Box(160, 240, 160, 120), SILENT_S + 0.1, 2),  # the tracker is silent: an old box is not a box
        ("IDLE", None, SILENT_S + 0.1, 2),
        ("SILENT", None, 0.0, 2),
        (None, None, 0.0, 2),
    ],
)
def test_where_there_is_no_target_there_is_no_box(state: str | None, box: Box | None, now: float, wanted: int) -> None:
    reported = status(camera(state, box), now)
    assert (reported.tracking_status, reported.tracking_mode) == (wanted, 0)
    assert all(math.isnan(v) for v in (reported.rec_top_x, reported.rec_bottom_y, reported.point_x, reported.radius))


def test_a_box_that_is_only_a_guess_is_not_reported() -> None:
    assert status(camera("UNCERTAIN", Box(160, 240, 160, 120), fresh=False)).tracking_status == 2


@pytest.mark.parametrize(
    ("interval_us", "count"), [(100_000, 20), (500_000, 4), (0, 4), (-1, 0), (1, 200), (1_000_000, 2)]
)
def test_the_status_comes_at_the_interval_that_was_asked_for(interval_us: float, count: int) -> None:
    made = camera()
    assert results(made.receive(command(SET, STATUS, interval_us), 0.0)) == [ACCEPTED]
    sent = [kind for step in range(201) for kind in types(made.tick(step * 0.01))]
    assert abs(sent.count("CAMERA_TRACKING_IMAGE_STATUS") - count) <= max(1, 0.02 * count)
    assert sent.count("HEARTBEAT") in (2, 3)


def test_the_interval_can_be_changed_asked_for_and_ended() -> None:
    made = camera()

    def interval() -> int:
        return int(made.receive(command(GET, STATUS), 0.0).send[1].message.interval_us)

    assert interval() == -1
    made.receive(command(SET, STATUS, 200_000), 0.0)
    assert interval() == 200_000
    made.receive(command(SET, STATUS, 50_000), 0.0)
    assert interval() == 50_000
    made.receive(command(SET, STATUS, -1), 0.0)
    assert interval() == -1
    made.receive(command(SET, STATUS, -1), 0.0)
    assert made.receive(command(GET, 33), 0.0).send[1].message.interval_us == 0
    assert types(made.tick(5.0)) == ["HEARTBEAT"]


def test_next_due_is_when_something_is_to_be_sent() -> None:
    made = camera()
    made.tick(0.0)
    assert made.next_due == 1.0
    made.receive(command(SET, STATUS, 100_000), 0.25)
    assert made.next_due == pytest.approx(0.35)


# ---- words


@pytest.mark.parametrize(
    ("text", "parts"),
    [("", []), ("short", [b"short"]), ("x" * 49, [b"x" * 49]), ("x" * 50, [b"x" * 50, b""]),
     ("x" * 70, [b"x" * 50, b"x" * 20]), ("é", [b"?"])],
)  # fmt: skip
def test_a_reason_is_a_text_of_as_many_parts_as_it_needs(text: str, parts: list[bytes]) -> None:
    made = camera()
    sent = [out.message for out in made.complain(text)]
    assert [packet(message, (1, 100)).text.encode() for message in sent] == parts
    assert [message.chunk_seq for message in sent] == list(range(len(parts)))
    assert {message.id for message in sent} in (set(), {0} if len(parts) == 1 else {1})
