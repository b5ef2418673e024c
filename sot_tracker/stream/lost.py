"""In which frames a target was lost, as ranges."""

from __future__ import annotations

from sot_tracker.tracker import State

_SHOWN = 8


class Lost:
    """Collects the frames in which a target was LOST.

    ranges: number of the first and of the last frame of each loss. total: number of lost frames.
    """

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []
        self.total = 0
        self._was_lost = False

    def add(self, number: int, state: State) -> None:
        """Add a frame. number: its number, larger than the one before."""
        is_lost = state is State.LOST
        if is_lost and self._was_lost:
            self.ranges[-1] = (self.ranges[-1][0], number)
        elif is_lost:
            self.ranges.append((number, number))
        self.total += is_lost
        self._was_lost = is_lost

    def __str__(self) -> str:
        """For example "30-41, 77, 90-95"; only the first ranges if there are many."""
        shown = [str(a) if a == b else f"{a}-{b}" for a, b in self.ranges[:_SHOWN]]
        rest = len(self.ranges) - _SHOWN
        return ", ".join(shown) + (f" and {rest} more times" if rest > 0 else "")
