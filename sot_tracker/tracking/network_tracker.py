"""`NetworkTracker`: tracks one target with a network. It holds a `Session` and the state of its target."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sot_tracker.box import Box, BoxLike, require_trackable
from sot_tracker.calibration import Calibration
from sot_tracker.errors import UserError
from sot_tracker.tracker import Estimate, Image, Policy, TrackerInfo, frame_size
from sot_tracker.tracking import expectation
from sot_tracker.tracking import step as loop
from sot_tracker.tracking.feature_network import FeatureNetwork
from sot_tracker.tracking.session import Session, Target
from sot_tracker.tracking.state import TargetState

if TYPE_CHECKING:
    from sot_tracker.catalog import NetworkSpec
    from sot_tracker.engines.network import Network

PUBLISHED = Policy()


class NetworkTracker:
    """A `Tracker` that tracks one target with a network.

    name, spec: the catalogue row (`catalog.py`); network: an engine with its weights, which may be shared.
    policy: of the online loop; may be replaced at any time. exact_padding, calibration, features: see `Session`.
    """

    def __init__(
        self,
        name: str,
        spec: NetworkSpec,
        network: Network,
        policy: Policy = PUBLISHED,
        exact_padding: bool = False,
        calibration: Calibration | None = None,
        features: FeatureNetwork | None = None,
    ) -> None:
        self.name = name
        self.network = network
        self._session = Session(spec, network, exact_padding, calibration, features)
        self.policy = policy
        self._target: Target | None = None
        self._ahead: tuple[Target, Image, Target, Estimate] | None = None

    def another(self) -> NetworkTracker:
        """One more tracker with the same network and policy, without a target."""
        other = copy.copy(self)
        other._target = other._ahead = None
        return other

    def __repr__(self) -> str:
        at = f"at {self._target.state.box}" if self._target else "without a target"
        return f"<{self.name} {at}: {self.info.description}>"

    @property
    def info(self) -> TrackerInfo:
        facts = self.network.facts
        return TrackerInfo(
            name=self.name,
            engine=facts.engine,
            runtime=facts.runtime,
            device=facts.device,
            description=facts.description,
            precision=facts.precision,
            threads=facts.threads,
            weights=facts.weights,
            random=facts.random,
            lost_threshold=facts.lost_threshold,
            parameters=facts.parameters,
            macs=facts.macs,
            can_recenter=True,
        )

    @property
    def policy(self) -> Policy:
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        applied = policy
        if policy.lost_threshold < 0:
            applied = replace(policy, lost_threshold=self.network.lost_threshold)
        # One assignment each: a `RealtimeTracker` may be in `update` in another thread.
        self._policy, self._applied, self._ahead = policy, applied, None

    @property
    def lost_threshold(self) -> float:
        """The threshold in force: the policy's, or the one stored with the weights where that is negative."""
        return self._applied.lost_threshold

    @property
    def state(self) -> TargetState:
        """The target's state after the last frame. Raises UserError before `init`."""
        return self._require_target().state

    @property
    def box(self) -> Box:
        """The last accepted box, around which the next frame is searched. Raises UserError before `init`."""
        return self.state.box

    def init(self, image: Image, box: BoxLike, stamp_ns: int | None = None) -> Estimate:
        """Start on a target, see `Session.start`. If that raises UserError, the old target, if any, is kept."""
        self._target, estimate = self._session.start(image, box, self.policy, stamp_ns)
        return estimate

    def update(self, image: Image, stamp_ns: int | None = None) -> Estimate:
        """Find the target in the next frame. The estimate has the times of all stages (`Session.advance`).

        Raises UserError before `init`, or for a frame of another size.
        """
        target = self._require_target()
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] is target and ahead[1] is image:
            _, _, self._target, estimate = ahead
            return estimate
        ((self._target, estimate),) = self._session.advance([target], image, self._applied, stamp_ns)
        return estimate

    @staticmethod
    def search_ahead(trackers: Sequence[NetworkTracker], image: Image, stamp_ns: int | None = None) -> None:
        """Search for the targets of all these trackers in one run of their network, which they must share.

        Each tracker keeps its result for its next `update`, which must be with this very image object. If its target is
        changed before that, `update` searches again. Trackers without a target, with a target in frames of another
        size, or with another policy than the first tracker are left out.
        """
        size = frame_size(image)
        ready = [one for one in trackers if one._target is not None and one._target.state.frame_size == size]
        ready = [one for one in ready if one._applied == ready[0]._applied]
        if len(ready) < 2:
            return
        targets = [one._require_target() for one in ready]
        advanced = ready[0]._session.advance(targets, image, ready[0]._applied, stamp_ns)
        for one, target, (after, estimate) in zip(ready, targets, advanced, strict=True):
            one._ahead = target, image, after, estimate

    def recenter(self, box: BoxLike) -> None:
        """Search around another box from the next frame on, with the same template.

        Raises UserError, changing nothing, before `init` or if the box cannot be tracked in frames of this size.
        """
        target = self._require_target()
        height, width = target.state.frame_size
        box = require_trackable(box, width, height)
        flow = expectation.recentered(target.flow)
        self._target = replace(target, state=loop.recentered(target.state, box), flow=flow)

    def move(self, box: BoxLike) -> None:
        """Search the next frame around this box, given in that frame's pixels. Raises UserError as `recenter`."""
        target = self._require_target()
        height, width = target.state.frame_size
        box = require_trackable(box, width, height)
        self._target = replace(target, state=replace(target.state, box=box), flow=None)

    def _require_target(self) -> Target:
        if self._target is None:
            raise UserError(f"{self.name} has no target yet: call init(image, box) first")
        return self._target
