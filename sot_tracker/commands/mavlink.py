"""`sot-tracker mavlink`: follow a target in a source as a MAVLink camera that ground stations find."""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from sot_tracker.commands.live_source import LiveSource, add_source_arguments
from sot_tracker.commands.options import add_options, given_options
from sot_tracker.mavlink.config import MavlinkConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add_options(parser, MavlinkConfig, "MAVLink")
    parser.epilog = "Example: sot-tracker mavlink 0 --connection udpout:192.168.1.20:14550"


def run(args: argparse.Namespace) -> int:
    """Until Ctrl-C. Raises UserError, also where a camera gives no more pictures."""
    from sot_tracker.mavlink.link import camera_link

    config = given_options(args, MavlinkConfig)
    with ExitStack() as stack:
        live = LiveSource(args, stack)
        # Follower and link know each other; neither runs before both are there.
        follower = live.follower(lambda report: link.publish(report), lambda text: link.say(text))
        link = camera_link(config, args.model, follower)
        stack.enter_context(link)
        print(
            f"{live.source.name}: MAVLink component {config.component} of system {config.system} on "
            f"{config.connection}   (Ctrl-C ends)",
            flush=True,
        )
        live.run(follower)
