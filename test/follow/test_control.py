from __future__ import annotations

import math
from pathlib import Path

import pytest

from sot_tracker.follow.config import FollowConfig
from sot_tracker.follow.control import ZERO, Command, Controller, Mode
from sot_tracker.follow.pointing import Direction
from sot_tracker.options import markdown_table
from sot_tracker.ros_tools.range_config import RangeConfig

FRAME = 1 / 30
RIGHT = Direction(0.2, 0.1)


def settled(config: FollowConfig | None = None, direction: Direction = RIGHT) -> tuple[Controller, float, Command]:
    """A controller that has followed for a second, the time of its last frame, and its command."""
    controller, command = Controller(config or FollowConfig()), ZERO
    for index in range(31):
        command = controller.see(index * FRAME, "tracking", direction)
    return controller, 30 * FRAME, command


@pytest.mark.parametrize("direction", [Direction(0.2, 0.1), Direction(-0.2, 0.1), Direction(0.2, -0.1)])
def test_turns_towards_the_target(direction: Direction) -> None:
    _, _, command = settled(direction=direction)
    assert (command.yaw * direction.yaw > 0, command.pitch * direction.pitch > 0) == (True, True)


def test_rates_and_accelerations_have_limits() -> None:
    config = FollowConfig(max_yaw_rate=0.5, max_pitch_rate=0.25, max_acceleration=2.0)
    controller, last = Controller(config), ZERO
    for index in range(1, 60):
        command = controller.see(index * FRAME, "tracking", Direction(0.5, -0.5))
        assert max(abs(command.yaw - last.yaw), abs(command.pitch - last.pitch)) <= 2.0 * FRAME * 1.001 or index == 1
        last = command
    assert last == Command(0.5, -0.25)


def test_the_integral_does_not_wind_up() -> None:
    controller, now, command = settled(FollowConfig(max_yaw_rate=0.3), Direction(0.5, 0.0))
    assert command.yaw == 0.3
    for index in range(1, 10):
        command = controller.see(now + index * FRAME, "tracking", Direction(-0.2, 0.0))
    assert command.yaw < -0.2


def test_within_the_dead_band_nothing_moves() -> None:
    _, _, command = settled(FollowConfig(dead_band=0.05), Direction(0.04, -0.05))
    assert command.is_zero


@pytest.mark.parametrize(("angle", "rate", "kept"), [(0.3, 0.0, 0.01), (0.0, 0.3, 0.012), (0.0, -0.8, 0.028)])
def test_a_target_that_stands_or_moves_steadily_comes_to_the_middle(angle: float, rate: float, kept: float) -> None:
    """A mount without lag, a target that moves so many radians per second; `kept`: largest angle after five
    seconds; between two frames it moves by a thirtieth of the rate."""
    controller, camera, angles = Controller(FollowConfig(dead_band=0.0)), 0.0, []
    for index in range(300):
        target = angle + rate * index * FRAME
        command = controller.see(index * FRAME, "tracking", Direction(target - camera, 0.0))
        camera += command.yaw * FRAME
        angles.append(abs(target - camera))
    assert max(angles[150:]) < kept


def test_uncertain_coasts_down_and_takes_no_box() -> None:
    controller, now, before = settled()
    first = controller.see(now + FRAME, "uncertain", Direction(-1.0, -1.0))
    assert controller.mode is Mode.COAST
    assert first == before
    rates = [controller.see(now + (1 + k) * FRAME, "uncertain", Direction(-1.0, -1.0)).yaw for k in range(1, 40)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == 0
    assert rates[9] == pytest.approx(before.yaw * math.exp(-10 * FRAME / 0.3), rel=1e-6)


def test_found_again_it_goes_on_from_the_speed_that_is_left() -> None:
    controller, now, before = settled()
    left = [controller.see(now + k * FRAME, "uncertain") for k in range(1, 6)][-1]
    again = controller.see(now + 6 * FRAME, "tracking", RIGHT)
    assert 0 < left.yaw < before.yaw
    assert abs(again.yaw - left.yaw) <= 6.0 * FRAME * 1.001


def test_without_coasting_uncertain_stops() -> None:
    controller, now, _ = settled(FollowConfig(coast=0.0))
    assert controller.see(now + FRAME, "uncertain", RIGHT).is_zero


@pytest.mark.parametrize("state", ["lost", "idle", "a state of a later version"])
def test_lost_is_zero_at_once(state: str) -> None:
    controller, now, before = settled()
    assert not before.is_zero
    assert controller.see(now + FRAME, state, RIGHT).is_zero
    assert controller.command(now + 10).is_zero
    assert controller.see(now + 11, "uncertain", RIGHT).is_zero, "nothing is left to coast with"


@pytest.mark.parametrize("age", [0.201, 5.0, -5.0, math.nan])
def test_an_old_box_drives_nothing(age: float) -> None:
    controller, now, _ = settled()
    assert controller.see(now + FRAME, "tracking", RIGHT, age).is_zero
    assert controller.mode is Mode.STALE


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_direction_that_is_no_number_drives_nothing_and_is_forgotten(number: float) -> None:
    for direction in (Direction(number, 0.1), Direction(0.1, number)):
        controller, now, _ = settled()
        assert controller.see(now + FRAME, "tracking", direction).is_zero
        assert 0 < controller.see(now + 2 * FRAME, "tracking", RIGHT).yaw <= 1


@pytest.mark.parametrize("state", ["tracking", "uncertain"])
@pytest.mark.parametrize(("back", "is_zero"), [(0.1, False), (0.3, True), (1e6, True), (math.nan, True)])
def test_a_clock_that_is_set_back_neither_keeps_nor_multiplies_a_command(
    state: str, back: float, is_zero: bool
) -> None:
    controller, now, command = settled(FollowConfig(coast=0.01))
    controller.see(now, state, RIGHT)
    after = controller.command(now - back)
    assert after.is_zero is is_zero
    assert 0 <= after.yaw <= command.yaw


@pytest.mark.parametrize("jump", [-50.0, 50.0])
def test_a_new_box_after_a_jump_of_the_clock_starts_from_rest(jump: float) -> None:
    """As a simulation that starts again: the old turn to the right must not go on for a target at the left."""
    controller, now, _ = settled()
    command = controller.see(now + jump, "tracking", Direction(-0.2, -0.1))
    assert command.yaw <= 0
    assert controller.see(now + jump + FRAME, "tracking", Direction(-0.2, -0.1)).yaw < 0


@pytest.mark.parametrize("state", ["tracking", "uncertain", "lost"])
def test_silence_stops_within_max_age(state: str) -> None:
    controller, now, _ = settled(FollowConfig(coast=5.0, search=True, search_after=0.0))
    assert not controller.see(now + FRAME, state, RIGHT, 0.05).is_zero
    # A box that was 50 ms old when it came has 150 ms left.
    assert not controller.command(now + FRAME + 0.149).is_zero
    assert controller.command(now + FRAME + 0.201).is_zero
    assert controller.mode is Mode.STALE


def search(spent: float, side: float) -> float:
    """Yaw rate so long after the loss of a target that was last seen on that side."""
    controller, now, _ = settled(FollowConfig(search=True, search_after=1.0, max_age=5.0), Direction(side * 0.2, 0.0))
    rate = 0.0
    for index in range(round(spent * 30) + 1):
        rate = controller.see(now + FRAME * (1 + index), "lost").yaw
    return rate


@pytest.mark.parametrize("side", [-1.0, 1.0])
@pytest.mark.parametrize(("spent", "rate"), [(0.9, 0.0), (1.1, 0.2), (3.3, 0.2), (3.7, -0.2), (8.3, -0.2), (8.7, 0.2)])
def test_the_search_begins_late_on_the_side_of_the_loss_and_goes_to_and_fro(
    spent: float, rate: float, side: float
) -> None:
    assert search(spent, side) == pytest.approx(side * rate)


def test_without_being_asked_it_does_not_search() -> None:
    controller, now, _ = settled()
    assert all(controller.see(now + k * FRAME, "lost").is_zero for k in range(1, 300))
    assert controller.mode is Mode.STOP


def test_the_page_holds_the_options() -> None:
    page = Path(__file__).parents[2] / "docs" / "follow.md"
    text = page.read_text(encoding="utf-8")
    for group in (FollowConfig, RangeConfig):
        assert markdown_table(group) in text, (
            f"docs/follow.md: paste sot_tracker.options.markdown_table({group.__name__})"
        )
