"""The control law: from where the target is seen to how fast the camera is to turn.

While TRACKING a proportional-integral controller with dead band, limits of rate and acceleration; while UNCERTAIN the
last command fades out; LOST, without a target, and without a fresh box the command is zero, at once. Nothing here
reads a clock: the caller gives every time in seconds of one steady clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from sot_tracker.follow.config import FollowConfig
from sot_tracker.follow.pointing import Direction


class Mode(Enum):
    """What the controller does."""

    IDLE = "no target"
    FOLLOW = "following"
    COAST = "target uncertain: coasting down"
    STOP = "target lost: stopped"
    SEARCH = "target lost: searching"
    STALE = "no fresh box: stopped"


@dataclass(frozen=True, slots=True)
class Command:
    """Rates in radians per second: yaw to the right, pitch down."""

    yaw: float = 0.0
    pitch: float = 0.0

    @property
    def is_zero(self) -> bool:
        return self.yaw == 0 and self.pitch == 0


ZERO = Command()
COASTED = 0.02
"""Share of the command below which it is zero: after four time constants."""
_STATES = {"idle": Mode.IDLE, "tracking": Mode.FOLLOW, "uncertain": Mode.COAST, "lost": Mode.STOP}
"""State of the tracker -> mode; a state of another name stops."""


class Controller:
    """Fed with one sight per frame by `see`; `command` tells the rates at any time."""

    def __init__(self, config: FollowConfig) -> None:
        self._config = config
        self._mode = Mode.IDLE
        self._since = -math.inf  # when the mode began
        self._seen = -math.inf  # time at which the last sight's frame was taken
        self._heard = -math.inf  # when the last sight came
        self._output = self._integral = ZERO
        self._side = 1.0  # of the picture in which the target was last, -1 left and 1 right

    @property
    def mode(self) -> Mode:
        return self._mode

    def see(self, now: float, state: str, direction: Direction | None = None, age: float = 0.0) -> Command:
        """What the tracker said of a frame, and the command that follows from it.

        state: "tracking", "uncertain", "lost" or "idle". direction: of the box, used while "tracking" only. age:
        seconds from the frame's capture to now; a box older than `max_age` drives nothing.
        """
        # End a command whose box is too old by now, or from before a jump of the clock: the new one starts from rest.
        self.command(now)
        before, self._heard = self._heard, now
        mode = _STATES.get(state, Mode.STOP)
        usable = direction is not None and math.isfinite(direction.yaw) and math.isfinite(direction.pitch)
        if mode is Mode.FOLLOW and not (usable and abs(age) <= self._config.max_age):
            mode = Mode.STALE
        if mode is not self._mode and not (mode is Mode.STOP and self._mode is Mode.SEARCH):
            self._enter(now, mode)
        if mode is Mode.FOLLOW:
            assert direction is not None
            self._seen = now - age
            self._steer(min(max(0.0, now - before), self._config.max_age), direction)
        return self.command(now)

    def command(self, now: float) -> Command:
        """The rates for this moment; zero as soon as the last sight, or its frame, is older than `max_age`, or further
        in the future, which is so when the clock was set back.
        """
        config = self._config
        latest = self._seen if self._mode is Mode.FOLLOW else self._heard
        if self._mode is not Mode.IDLE and not abs(now - latest) <= config.max_age:
            self._enter(now, Mode.STALE)
        if self._mode is Mode.STOP and config.search and now - self._since >= config.search_after:
            self._enter(now, Mode.SEARCH)
        if self._mode is Mode.FOLLOW:
            return self._output
        if self._mode is Mode.COAST and config.coast > 0:
            left = math.exp(-max(0.0, now - self._since) / config.coast)
            return Command(self._output.yaw * left, self._output.pitch * left) if left > COASTED else ZERO
        return Command(yaw=self._search(now - self._since)) if self._mode is Mode.SEARCH else ZERO

    def _enter(self, now: float, mode: Mode) -> None:
        if mode is self._mode:
            return
        if mode is Mode.COAST:
            if self._mode is not Mode.FOLLOW:  # only a command that followed a fresh box fades out
                self._output = ZERO
        elif mode is not Mode.FOLLOW or self._mode is not Mode.COAST:
            self._output = self._integral = ZERO
        else:  # found again: from the speed that is left
            self._output = self._integral = self.command(now)
        self._mode, self._since = mode, now

    def _steer(self, dt: float, direction: Direction) -> None:
        config = self._config
        self._side = math.copysign(1.0, direction.yaw)
        step = config.max_acceleration * dt
        yaw, yaw_sum = self._axis(direction.yaw, self._integral.yaw, config.max_yaw_rate, dt)
        pitch, pitch_sum = self._axis(direction.pitch, self._integral.pitch, config.max_pitch_rate, dt)
        self._integral = Command(yaw_sum, pitch_sum)
        self._output = Command(
            _limited(yaw, self._output.yaw - step, self._output.yaw + step),
            _limited(pitch, self._output.pitch - step, self._output.pitch + step),
        )

    def _axis(self, angle: float, integral: float, most: float, dt: float) -> tuple[float, float]:
        """Rate and integral of one axis: the integral does not grow while the rate is at its limit."""
        config = self._config
        error = math.copysign(max(abs(angle) - config.dead_band, 0.0), angle)
        grown = _limited(integral + config.integral * error * dt, -most, most)
        rate = config.gain * error + grown
        if abs(rate) > most and error * rate > 0:
            grown = integral
        return _limited(rate, -most, most), grown

    def _search(self, spent: float) -> float:
        """Yaw rate: first to the side on which the target was last, then from side to side."""
        config = self._config
        if config.search_rate == 0:
            return 0.0
        leg = config.search_angle / config.search_rate  # seconds from the middle to a side
        turns = math.floor((spent + leg) / (2 * leg))
        rate = min(config.search_rate, config.max_yaw_rate)
        return self._side * rate * (1 if turns % 2 == 0 else -1)


def _limited(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
