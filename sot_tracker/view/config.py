"""Options of the page: flags of `sot-tracker view` and parameters of the node `view`."""

from __future__ import annotations

from dataclasses import dataclass

from sot_tracker.options import Options, Scope, option


@dataclass(frozen=True)
class ViewConfig(Options):
    """The page's options."""

    host: str = option(
        "127.0.0.1",
        "Address to listen on; 0.0.0.0 for every network of this computer. Any address but a loopback address"
        " requires a token, which is printed.",
        Scope.NODE,
    )
    port: int = option(8080, "TCP port; 0 takes a free one, which is printed.", Scope.NODE, low=0, high=65535)
    token: str = option(
        "",
        "Token that a browser must give. Empty: a new one at every start, or none if host is a loopback address.",
        Scope.NODE,
    )
    names: str = option(
        "",
        "Further host names under which the page may be opened, separated by commas.",
        Scope.NODE,
    )
    clients: int = option(4, "Largest number of browsers at a time.", Scope.NODE, low=1, high=64)
    width: int = option(
        960, "Largest width of the picture in pixels; wider frames are scaled down.", Scope.NODE, low=64, high=7680
    )
    quality: int = option(75, "JPEG quality of the pictures.", Scope.NODE, low=1, high=100)
    fps: float = option(30.0, "Largest number of pictures per second.", Scope.NODE, low=0.5, high=240.0)


@dataclass(frozen=True)
class ViewNodeConfig(ViewConfig):
    """The page's options and those of the node."""

    tracker: str = option("tracker_node", "Name of the tracker node, relative to this node's namespace.", Scope.NODE)
    image_transport: str = option(
        "raw", "Image topic: `image` (raw) or `image/compressed`.", Scope.NODE, choices=("raw", "compressed")
    )
