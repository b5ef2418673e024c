"""Several targets in one stream of frames: a `Follower` for each, with a tracker of its own.

If at most one target is allowed, a new box replaces it, whatever its id. Otherwise a box restarts the target with the
same id, or starts a new target if fewer than the allowed number are tracked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

from sot_tracker.errors import UserError, one_line
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.follower import PATIENCE_S, Follower, Result, Warn
from sot_tracker.stream.frame import Frame, History
from sot_tracker.stream.requests import Request
from sot_tracker.tracker import Tracker
from sot_tracker.tracking.many import full, search_together


class Followers:
    """Tracks at most as many targets as there are trackers.

    trackers: one per target; network trackers must share one network. make_history: creates the store of recent frames
    for a follower; all followers get the same frames. warn, patience_s, now: as for `Follower`.
    """

    def __init__(
        self,
        trackers: Sequence[Tracker],
        make_history: Callable[[], History],
        warn: Warn,
        patience_s: float = PATIENCE_S,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._numbers = count(1)
        self._warn = warn
        self._trackers = list(trackers)
        self._all = [Follower(one, make_history(), warn, patience_s, now, self._number) for one in trackers]

    @property
    def target_ids(self) -> list[str]:
        """Ids of the current targets."""
        return [one.target_id for one in self._all if one.target_id]

    @property
    def waiting(self) -> list[Request]:
        """The requests that still wait for their frames."""
        return [one.waiting for one in self._all if one.waiting is not None]

    @property
    def history(self) -> History:
        """The recent frames."""
        return self._all[0].history

    def stop(self, target_id: str = "") -> bool:
        """Drop that target, or all targets without an id, and their waiting requests.

        Returns False if there was none.
        """
        stopped = [one.stop() for one in self._all if target_id in ("", *_names(one))]
        return any(stopped)

    def close(self) -> None:
        """Release the trackers. Followers refer to this object, so only the garbage collector would free them later."""
        self._all.clear()
        self._trackers.clear()

    def has_room(self, request: Request) -> bool:
        """Whether the request replaces a target or one more target is possible."""
        return self._place_of(request) is not None

    def request(self, request: Request) -> Result | None:
        """See `Follower.request`. Raises UserError, changing nothing, also if it would be one target too many."""
        place = self._place_of(request)
        if place is None:
            raise UserError(self.refusal)
        return place.request(request)

    @property
    def refusal(self) -> str:
        """The error message for one target too many."""
        names = [_names(one)[0] or "one without an id" for one in self._all if _names(one)]
        return one_line(full(len(self._all), names))

    def process(self, frame: Frame, decode: bool = False) -> list[Result]:
        """Process the next frame. Returns one result per target; without a target, one result without an estimate.

        Raises as `Follower.process` if no target can use the frame. If at least one can, the errors of the others
        become warnings.
        """
        convert_ms, together_ms = self._search_together(frame)
        results: list[Result] = []
        errors: list[UserError] = []
        for one in self._all:
            try:
                results.append(one.process(frame, decode))
            except UserError as error:
                errors.append(error)
        followed = [result for result in results if result.estimate is not None]
        if errors and not followed:
            raise errors[0]
        for refused in errors:
            kind = refused.kind if isinstance(refused, FrameError) else "tracker"
            self._warn(kind, f"frame refused: {refused}")
        first, *others = followed or results[:1]
        convert_ms += sum(result.convert_ms for result in results)
        tracker_ms = first.tracker_ms + together_ms
        return [replace(first, convert_ms=convert_ms, tracker_ms=tracker_ms), *others]

    def _search_together(self, frame: Frame) -> tuple[float, float]:
        """Milliseconds of decoding and of the search, where targets are searched for together."""
        followed = [tracker for one, tracker in zip(self._all, self._trackers, strict=True) if one.target_id]
        begin = time.perf_counter()
        try:
            if not followed:
                return 0.0, 0.0
            image = frame.image
        except FrameError:  # raised again, and reported, when each follower processes the frame
            return 0.0, 0.0
        decoded = time.perf_counter()
        search_together(followed, image, frame.stamp or None)
        return 1e3 * (decoded - begin), 1e3 * (time.perf_counter() - decoded)

    def _place_of(self, request: Request) -> Follower | None:
        if len(self._all) == 1:
            return self._all[0]
        same = (one for one in self._all if request.target_id and request.target_id in _names(one))
        free = (one for one in self._all if not _names(one))
        return next(same, None) or next(free, None)

    def _number(self) -> str:
        """The id of a target that came without one."""
        used = [name for one in self._all for name in _names(one)]
        return next(name for name in map(str, self._numbers) if name not in used)


def _names(one: Follower) -> list[str]:
    """The ids that this follower uses: of its target, and of its waiting request."""
    waiting = [one.waiting.target_id] if one.waiting is not None else []
    return ([one.target_id] if one.target_id else []) + waiting
