"""Single-object tracking for ROS 2 and plain Python: `load`, `init`, `update`.

`import sot_tracker` needs NumPy and OpenCV only. Importable pieces live in their own modules
(`sot_tracker.box.Box`, `sot_tracker.zoo.load`); the names below are short cuts to them.
"""

from pkgutil import extend_path

# A sourced colcon install holds the generated `sot_tracker.msg`; a checkout that shadows it still finds it there.
__path__ = extend_path(__path__, __name__)

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.tracker import Estimate, State, Tracker
from sot_tracker.zoo import load

__all__ = ["Box", "Estimate", "State", "Tracker", "UserError", "load"]
