"""The player's ROS parameters; importable without ROS."""

from __future__ import annotations

from dataclasses import dataclass

from sot_tracker.options import BOX_ITEMS, BOX_RULE, RANGE_ITEMS, RANGE_RULE, Options, Scope, is_box, is_range16, option


@dataclass(frozen=True)
class PlayerConfig(Options):
    """The player's ROS parameters."""

    source: str = option(
        "",
        "Video file, folder or pattern (%06d.jpg) of pictures, recording (.mcap, rosbag2 folder), camera number, "
        "stream address or GStreamer pipeline.",
        Scope.NODE,
    )
    topic: str = option("", "Image topic to read from a recording; needed if it has several.", Scope.NODE)
    truth_topic: str = option(
        "", "Topic of true boxes (Detection2D) in a recording. Empty: truth, ground_truth or groundtruth.", Scope.NODE
    )
    rate: float = option(
        0.0, "Frames per second; 0 follows the source's own time stamps.", Scope.NODE, low=0.0, high=1000.0
    )
    lockstep: bool = option(
        False, "Send the next frame only after the tracker's result for the last one has come.", Scope.NODE
    )
    step_timeout: float = option(
        5.0, "Longest wait in seconds for a result in lock-step.", Scope.NODE, low=0.01, high=3600.0
    )
    loop: bool = option(False, "Start again at the end.", Scope.NODE)
    frames: int = option(0, "Stop after this many frames; 0 plays all.", Scope.NODE, low=0, high=10**9)
    image_transport: str = option(
        "raw", "Publish `image` (raw) or `image/compressed` (JPEG).", Scope.NODE, choices=("raw", "compressed")
    )
    jpeg_quality: int = option(90, "JPEG quality of compressed images.", Scope.NODE, low=1, high=100)
    reliability: str = option(
        "reliable", "QoS of the image publisher.", Scope.NODE, choices=("reliable", "best_effort")
    )
    width: int = option(0, "Resize frames to this width; 0: no change.", Scope.NODE, low=0, high=16384)
    height: int = option(0, "Resize frames to this height; 0: no change.", Scope.NODE, low=0, high=16384)
    init_box: tuple[float, ...] = option(
        (),
        "Box to publish once as init_box, with the first frame's stamp: [x, y, w, h] in pixels of the source.",
        Scope.NODE,
        items=BOX_ITEMS,
        fits=is_box,
        rule=BOX_RULE,
    )
    range16: tuple[float, ...] = option(
        (),
        "Values of 16-bit pixels that become black (0) and white (255): [low, high]. Empty: they adapt to the stream.",
        Scope.NODE,
        items=RANGE_ITEMS,
        fits=is_range16,
        rule=RANGE_RULE,
    )
    frame_id: str = option("camera", "frame_id of every header.", Scope.NODE)
    wait: float = option(
        10.0, "Longest wait in seconds for subscribers before the first frame.", Scope.NODE, low=0.0, high=3600.0
    )
    log: str = option("", "CSV file for the index and stamp of every published frame.", Scope.NODE)
