"""`sot-tracker view`: follow a target in a source, shown and steered from a page in the browser."""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from sot_tracker.commands.live_source import LiveSource, add_source_arguments
from sot_tracker.commands.options import add_options, given_options
from sot_tracker.model_folder import loadable_models
from sot_tracker.view.config import ViewConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser)
    add_options(parser, ViewConfig, "page")
    parser.epilog = "Example: sot-tracker view 0 --host 0.0.0.0, then open the printed address on a phone."


def run(args: argparse.Namespace) -> int:
    """Until Ctrl-C. Raises UserError, also where a camera gives no more pictures."""
    from sot_tracker.view.server import Facts, ViewServer

    config = given_options(args, ViewConfig)
    with ExitStack() as stack:
        live = LiveSource(args, stack)
        # Follower and page know each other; neither runs before both are there.
        follower = live.follower(lambda report: page.publish(report), lambda text: page.say(text))
        page = ViewServer(config, follower, Facts(live.source.name, args.model, loadable_models()))
        stack.enter_context(page)
        print(f"{live.source.name}: open {page.url}   (Ctrl-C ends)", flush=True)
        live.run(follower)
