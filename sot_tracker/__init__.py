"""Single-object tracking for ROS 2 and plain Python: `load`, `init`, `update`; or `track` for a whole source.

Everything is imported at first use: `Box` and the like need NumPy only; `load` and `track` bring OpenCV and, for a
network, an inference backend.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import extend_path

# A sourced colcon install holds the generated `sot_tracker.msg`; a checkout that shadows it still finds it there.
__path__ = extend_path(__path__, __name__)

TYPE_CHECKING = False  # not from typing, whose import takes longer than everything else here
if TYPE_CHECKING:
    from typing import Any

    from sot_tracker.box import Box
    from sot_tracker.errors import UserError
    from sot_tracker.loading import load, load_many
    from sot_tracker.stream.follow import track
    from sot_tracker.tracker import Estimate, Policy, State, Tracker, TrackerInfo

__all__ = ["Box", "Estimate", "Policy", "State", "Tracker", "TrackerInfo", "UserError", "load", "load_many", "track"]

_PLACES = {
    "Box": "sot_tracker.box",
    "UserError": "sot_tracker.errors",
    "load": "sot_tracker.loading",
    "load_many": "sot_tracker.loading",
    "track": "sot_tracker.stream.follow",
    **dict.fromkeys(("Estimate", "Policy", "State", "Tracker", "TrackerInfo"), "sot_tracker.tracker"),
}
"""Public name -> the module that has it."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
