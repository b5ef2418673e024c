"""`MultiTracker`: tracks several targets in one stream of frames, with one tracker per target and one network."""

from __future__ import annotations

from collections.abc import Sequence

from sot_tracker.box import BoxLike
from sot_tracker.errors import UserError
from sot_tracker.tracker import Estimate, Image, Policy, Tracker, TrackerInfo, frame_size
from sot_tracker.tracking.network_tracker import NetworkTracker
from sot_tracker.tracking.realtime import RealtimeTracker, own


class MultiTracker:
    """Tracks several named targets, each from its initial box until `stop`.

    trackers: as many as targets can be tracked at a time. Network trackers must share one network; their targets are
        searched for together.
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
        """Names of the targets that are tracked, in the order in which they were started."""
        return tuple(self._followed)

    @property
    def info(self) -> TrackerInfo:
        return self._any.info

    @property
    def policy(self) -> Policy:
        """The policy for all targets; may be replaced at any time."""
        return self._any.policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        for tracker in (*self._followed.values(), *self._free):
            tracker.policy = policy

    def start(self, target_id: str, image: Image, box: BoxLike, stamp_ns: int | None = None) -> Estimate:
        """Track one more target. A target that already has this name is started again with the new box.

        Raises UserError, changing nothing, if the box cannot be tracked in this image, for an empty name, and if
        `max_targets` are tracked already.
        """
        _require_string(target_id)
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
        """Stop tracking that target, or all targets without a name. Returns False if there was none.

        Raises UserError if the name is not a string.
        """
        _require_string(target_id)
        names = [name for name in self._followed if target_id in ("", name)]
        for name in names:
            self._free.append(self._followed.pop(name))
        return bool(names)

    def update(self, image: Image, stamp_ns: int | None = None) -> dict[str, Estimate]:
        """Find all targets in the next frame. Returns the estimate of each by name; empty without a target.

        Where targets are searched for together, each estimate has the stage times of all together.
        Raises UserError for a frame of another size than a target's.
        """
        frame_size(image)
        trackers = list(self._followed.values())
        if len(trackers) > 1 and isinstance(trackers[0], RealtimeTracker):
            image = own(image)  # one copy for all targets, not one per search
        search_together(trackers, image, stamp_ns)
        return {name: tracker.update(image, stamp_ns) for name, tracker in self._followed.items()}

    @property
    def _any(self) -> Tracker:
        return next(iter((*self._followed.values(), *self._free)))


def _require_string(target_id: object) -> None:
    """Raise UserError for anything else: a detector's number 0 must not mean "all targets"."""
    if not isinstance(target_id, str):
        raise UserError(f"target {target_id!r} is not a string: give a name, for example str(number)")


def search_together(trackers: Sequence[Tracker], image: Image, stamp_ns: int | None = None) -> None:
    """Search for the targets of all these trackers in one run of their network, which they must share.

    Each tracker keeps its result for its next `update`, which must be with this very image object. A `RealtimeTracker`
    decides itself when to search; it only gets the number of trackers that share its executor.
    """
    for tracker in trackers:
        if isinstance(tracker, RealtimeTracker):
            tracker.company = len(trackers)
    together = [tracker for tracker in trackers if isinstance(tracker, NetworkTracker)]
    NetworkTracker.search_ahead(together, image, stamp_ns)


def full(most: int, ids: Sequence[str]) -> str:
    """The error message for one target too many."""
    return f"max_targets={most} are followed ({', '.join(ids)}): stop one first, or raise max_targets"
