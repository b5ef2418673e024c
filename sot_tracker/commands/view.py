"""`sot-tracker view`: follow a target in a source, shown and steered from a page in the browser."""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack

from sot_tracker.box import Box
from sot_tracker.catalog import MODELS
from sot_tracker.commands.options import add_options, add_tracker_options, given_options, tracker_options
from sot_tracker.errors import UserError
from sot_tracker.loading import load
from sot_tracker.model_folder import shipped_folder
from sot_tracker.stream.live import LiveFollower
from sot_tracker.stream.sources import open_source, parse_range16
from sot_tracker.view.config import ViewConfig

LOOK_AGAIN = 0.2  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        help="video file, folder or pattern (%%06d.jpg) of pictures, camera number (0), stream address or GStreamer "
        "pipeline",
    )
    parser.add_argument("--box", metavar="X,Y,W,H", help="target in the first frame, pixels; else draw it in the page")
    parser.add_argument("--range16", metavar="LOW,HIGH", help="values of 16-bit pictures that become black and white")
    add_options(parser, ViewConfig, "page")
    add_tracker_options(parser)
    parser.epilog = "Example: sot-tracker view 0 --host 0.0.0.0, then open the printed address on a phone."


def run(args: argparse.Namespace) -> int:
    """Until Ctrl-C, or until a camera gives no more pictures. Raises UserError."""
    from sot_tracker.view.server import Facts, ViewServer

    config = given_options(args, ViewConfig)
    box = Box.parse(args.box) if args.box else None
    options = tracker_options(args)
    with ExitStack() as stack:
        source = open_source(args.source, parse_range16(args.range16))
        stack.callback(source.close)
        tracker = load(args.model, realtime=True, **options)
        page: list[ViewServer] = []  # follower and page know each other; one of them has to come first
        follower = LiveFollower(
            source,
            tracker,
            # Weights that were given are those of the first model.
            lambda name: load(name, realtime=True, **{**options, "weights": ""}),
            lambda report: page[0].publish(report),
            lambda text: page[0].say(text),
            box,
        )
        page.append(stack.enter_context(ViewServer(config, follower, Facts(source.name, args.model, models()))))
        print(f"{source.name}: open {page[0].url}   (Ctrl-C ends)", flush=True)
        with follower:
            while follower.runs:
                time.sleep(LOOK_AGAIN)
    raise UserError(f"{source.name} gives no more pictures")


def models() -> tuple[str, ...]:
    """The models that can be loaded without weights of the user's own."""
    return tuple(
        name
        for name, spec in MODELS.items()
        if not spec.opencv_weights and (spec.network is None or shipped_folder(name) is not None)
    )
