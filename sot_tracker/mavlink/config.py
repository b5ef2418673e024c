"""Options of the MAVLink camera: flags of `sot-tracker mavlink` and parameters of the node `mavlink`."""

from __future__ import annotations

from dataclasses import dataclass

from sot_tracker.options import Options, Scope, option


@dataclass(frozen=True)
class MavlinkConfig(Options):
    """The MAVLink camera's options."""

    connection: str = option(
        "udpout:127.0.0.1:14550",
        "Ground station or autopilot, in pymavlink's notation: udpout:HOST:PORT (send to it), udpin:HOST:PORT"
        " (wait for it), tcp:HOST:PORT, tcpin:HOST:PORT or a serial device.",
        Scope.NODE,
    )
    baud: int = option(115200, "Baud rate of a serial device.", Scope.NODE, low=1200, high=12_000_000)
    system: int = option(
        1, "MAVLink system id; use that of the vehicle that carries the camera.", Scope.NODE, low=1, high=255
    )
    component: int = option(100, "MAVLink component id; 100 to 105 are cameras.", Scope.NODE, low=1, high=255)
    point_size: float = option(
        0.2,
        "Side of the box that is started around a point, as a share of the frame's shorter side; used if the "
        "ground station gives no radius and no object is found at the point.",
        Scope.NODE,
        low=0.01,
        high=1.0,
    )


@dataclass(frozen=True)
class MavlinkNodeConfig(MavlinkConfig):
    """The camera's options and those of the node."""

    tracker: str = option("tracker_node", "Name of the tracker node, relative to this node's namespace.", Scope.NODE)
    image_transport: str = option(
        "raw", "Image topic: `image` (raw) or `image/compressed`.", Scope.NODE, choices=("raw", "compressed")
    )
