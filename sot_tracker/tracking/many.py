"""Many targets in one stream of frames: `MultiTracker`, a tracker per target around one network."""

from __future__ import annotations

from collections.abc import Sequence

from sot_tracker.box import BoxLike
from sot_tracker.errors import UserError
from sot_tracker.tracker import Estimate, Image, Policy, Tracker, TrackerInfo, frame_size
from sot_tracker.tracking.network_tracker import NetworkTracker
from sot_tracker.tracking.realtime import RealtimeTracker


class MultiTracker:
    """Targets by name, each given once by a box and followed until `stop`.

    trackers: one for each target that may be followed at a time; network trackers share one network, and are searched
        for together.
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._free = list(trackers)
        self._followed: dict[str, Tracker] = {}
        self.max_targets = len(trackers)

    def __repr__(self) -> str:
        return f"<{len(self._followed)} of {self.max_targets} targets: {self.info.description}>"

    def __len__(self) -> int:
        return len(self._followed)

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the targets that are followed, in the order in which they were started."""
        return tuple(self._followed)

    @property
    def info(self) -> TrackerInfo:
        return self._any.info

    @property
    def policy(self) -> Policy:
        """Of all targets; may be replaced at any time."""
        return self._any.policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        for tracker in (*self._followed.values(), *self._free):
            tracker.policy = policy

    def start(self, target_id: str, image: Image, box: BoxLike, stamp_ns: int | None = None) -> Estimate:
        """Follow one more target; one of that name is given anew.

        Raises UserError, changing nothing, if the box cannot be tracked in this image, for an empty name, and if
        `max_targets` are followed already.
        """
        if not target_id:
            raise UserError("a target needs a name: give a text that is not empty")
        if target_id in self._followed:
            return self._followed[target_id].init(image, box, stamp_ns)
        if not self._free:
            raise UserError(full(self.max_targets, self.ids))
        estimate = self._free[-1].init(image, box, stamp_ns)
        self._followed[target_id] = self._free.pop()
        return estimate

    def stop(self, target_id: str = "") -> bool:
        """Forget that target, or all of them; False if there was none."""
        gone = [target_id] if target_id in self._followed else [] if target_id else list(self._followed)
        for name in gone:
            self._free.append(self._followed.pop(name))
        return bool(gone)

    def update(self, image: Image, stamp_ns: int | None = None) -> dict[str, Estimate]:
        """Follow all targets into the next frame; their names and estimates, empty without a target.

        Where targets are searched for together, the stage times of each estimate are those of all together.
        Raises UserError for a frame of another size than a target's.
        """
        frame_size(image)
        search_together(list(self._followed.values()), image, stamp_ns)
        return {name: tracker.update(image, stamp_ns) for name, tracker in self._followed.items()}

    @property
    def _any(self) -> Tracker:
        return next(iter((*self._followed.values(), *self._free)))


def search_together(trackers: Sequence[Tracker], image: Image, stamp_ns: int | None = None) -> None:
    """Search for the targets of all these trackers at once. Each tracker's next `update`, with this very image, takes
    its part of the result. All must share one network.

    A `RealtimeTracker` decides itself when to search: it only learns how many trackers take turns.
    """
    for tracker in trackers:
        if isinstance(tracker, RealtimeTracker):
            tracker.company = len(trackers)
    together = [tracker for tracker in trackers if isinstance(tracker, NetworkTracker)]
    NetworkTracker.look_ahead(together, image, stamp_ns)


def full(most: int, ids: Sequence[str]) -> str:
    """Why no more targets can be added."""
    return f"max_targets={most} are followed ({', '.join(ids)}): stop one first, or raise max_targets"
