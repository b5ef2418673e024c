"""Code shared by `view` and `mavlink`: tracking in a live source, controlled by requests."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NoReturn

from sot_tracker.box import Box
from sot_tracker.commands.options import add_tracker_options, tracker_options
from sot_tracker.errors import UserError
from sot_tracker.loading import load
from sot_tracker.stream.live import LiveFollower
from sot_tracker.stream.reports import Report
from sot_tracker.stream.sources import FrameSource, open_source, parse_range16

POLL_S = 0.2  # seconds between two checks


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        help="video file, folder or pattern (%%06d.jpg) of pictures, recording (.mcap, rosbag2 folder), camera number "
        "(0), stream address or GStreamer pipeline; a file begins again at its end",
    )
    parser.add_argument(
        "--topic", default="", metavar="NAME", help="image topic to read from a recording; needed if it has several"
    )
    parser.add_argument("--box", metavar="X,Y,W,H", help="target in the first frame, pixels (default: none yet)")
    parser.add_argument(
        "--range16", metavar="LOW,HIGH", help="values of 16-bit pixels that become black (0) and white (255)"
    )
    add_tracker_options(parser)


class LiveSource:
    """The source and tracker of those arguments, opened but not running yet. Raises UserError.

    stack: closes the source.
    """

    def __init__(self, args: argparse.Namespace, stack: ExitStack) -> None:
        self._box = Box.parse(args.box) if args.box else None
        self._options = tracker_options(args)
        self.source: FrameSource = open_source(args.source, parse_range16(args.range16), args.topic)
        stack.callback(self.source.close)
        self._tracker = load(args.model, realtime=True, **self._options)

    def follower(self, receive: Callable[[Report], None], say: Callable[[str], None]) -> LiveFollower:
        """See `LiveFollower`; a model that is chosen later has the same options, and the weights that ship."""
        options = {**self._options, "weights": ""}
        return LiveFollower(
            self.source, self._tracker, lambda name: load(name, realtime=True, **options), receive, say, self._box
        )

    def run(self, follower: LiveFollower) -> NoReturn:
        """Until Ctrl-C. Raises UserError where no more pictures come."""
        with follower:
            while follower.runs:
                time.sleep(POLL_S)
        raise UserError(follower.failure or f"{self.source.name} gives no more pictures")
