from __future__ import annotations

import math

import numpy as np
import pytest

from sot_tracker.errors import UserError
from sot_tracker.synth import procedural_pictures
from sot_tracker.synth.flight_range import COMMAND_S, PITCH_LIMIT, YAW_LIMIT, FlightRange, Mount

PICTURES = procedural_pictures(3)


def scene(**changes: object) -> FlightRange:
    options: dict[str, object] = {"width": 160, "height": 120, "seed": 1, "pictures": PICTURES, **changes}
    return FlightRange(**options)  # type: ignore[arg-type]


def test_it_begins_with_the_whole_target_in_the_middle() -> None:
    for seed in range(6):
        frame = scene(seed=seed).look()
        assert frame.box is not None
        assert frame.visible > 0.95
        assert frame.in_middle_third
        assert frame.box.center == pytest.approx((80, 60), abs=1)
        assert frame.image.shape == (120, 160, 3)


def test_the_truth_is_where_the_target_is_drawn() -> None:
    """Without a target's own contrast nothing could be compared: the same scene is drawn with another target."""
    others = [np.dstack([255 - p[..., :3], p[..., 3]]) if p.shape[2] == 4 else p for p in PICTURES]
    first, second = (scene(lookalikes=0, occluders=0, pictures=p) for p in (PICTURES, others))
    for _ in range(5):
        frames = []
        for flight in (first, second):
            flight.step(0.7)
            flight.mount.yaw += 0.05
            frames.append(flight.look())
        changed = np.abs(frames[0].image.astype(int) - frames[1].image).max(axis=2) > 20
        rows, columns = np.nonzero(changed)
        box = frames[0].box
        assert box is not None
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert found == pytest.approx(box.xyxy, abs=3)


def test_the_same_seed_and_commands_give_the_same_flight() -> None:
    def pictures() -> list[np.ndarray]:
        flight, seen = scene(), []
        for _ in range(3):
            flight.mount.command(0.3, -0.1)
            flight.step(0.1)
            seen.append(flight.look().image)
        return seen

    assert all((a == b).all() for a, b in zip(pictures(), pictures(), strict=True))


def test_turning_right_moves_the_picture_left_and_turning_down_moves_it_up() -> None:
    still, turned = scene(), scene()
    turned.mount.yaw += 0.1
    turned.mount.pitch += 0.05
    (x, y), (moved_x, moved_y) = still.look().center, turned.look().center
    assert moved_x - x == pytest.approx(-still.focal * math.tan(0.1), rel=0.1)
    assert moved_y - y == pytest.approx(-still.focal * math.tan(0.05), rel=0.15)


def test_a_wide_pillar_hides_the_target_for_a_while() -> None:
    flight, visible = scene(lookalikes=0, occluders=1), []
    for _ in range(200):
        flight.step(0.1)
        x, y = flight._actors[flight._target].way.at(flight.time)  # type: ignore[union-attr]
        flight.mount.yaw, flight.mount.pitch = math.atan(x), math.atan2(y, math.hypot(x, 1))
        visible.append(flight.look().visible)
    assert min(visible) < 0.1
    assert visible[-1] > 0.9 or max(visible[100:]) > 0.9


def test_the_mount_obeys_with_a_lag_within_its_limits_and_stops_in_silence() -> None:
    mount = Mount()
    for _ in range(100):
        mount.command(0.5, 9.0)
        mount.step(0.01)
    assert mount.yaw == pytest.approx(0.5 * (1 - 0.08), abs=0.02)
    assert (mount.pitch, mount.pitch_rate) == (PITCH_LIMIT, 0.0)
    mount.step(COMMAND_S)
    mount.step(0.5)
    stopped = mount.yaw
    mount.step(1.0)
    assert mount.yaw - stopped < 0.001
    mount.command(math.nan, math.inf)
    mount.step(1.0)
    assert math.isfinite(mount.yaw)
    for _ in range(50):
        mount.command(-5.0, 0.0)
        mount.step(0.1)
    assert mount.yaw == -YAW_LIMIT


def test_without_an_object_or_a_scene_there_is_no_range() -> None:
    with pytest.raises(UserError, match="alpha channel"):
        scene(pictures=[p for p in PICTURES if p.shape[2] == 3])
