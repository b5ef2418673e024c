"""Single-object tracking for ROS 2 and plain Python: `load`, `init`, `update`; or `track` for a whole source.

`import sot_tracker` needs NumPy only; `load` and `track` bring OpenCV and, for a network, an inference backend.
"""

from __future__ import annotations

from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

# A sourced colcon install holds the generated `sot_tracker.msg`; a checkout that shadows it still finds it there.
__path__ = extend_path(__path__, __name__)

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.tracker import Estimate, Policy, State, Tracker, TrackerInfo

if TYPE_CHECKING:
    from sot_tracker.loading import load, load_many
    from sot_tracker.stream.follow import track

__all__ = ["Box", "Estimate", "Policy", "State", "Tracker", "TrackerInfo", "UserError", "load", "load_many", "track"]


def __getattr__(name: str) -> Any:
    """`load`, `load_many` and `track`, imported at first use: `sot-tracker --help` must not wait for OpenCV."""
    if name in ("load", "load_many"):
        from sot_tracker import loading

        return getattr(loading, name)
    if name == "track":
        from sot_tracker.stream.follow import track

        return track
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
