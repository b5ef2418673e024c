"""`sot-tracker range`: a synthetic flight range, and flights in it."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from sot_tracker.commands.options import add_options, add_tracker_options, given_options, tracker_options
from sot_tracker.commands.termination import sigterm_as_ctrl_c
from sot_tracker.errors import UserError
from sot_tracker.follow.config import FollowConfig
from sot_tracker.ros_tools.range_config import RangeConfig

NAMESPACE = "/sot_range"
SECONDS = 60.0
"""Of a flight, where none were given."""
POLL_S = 0.2  # seconds between two checks whether all nodes of a flight are there


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `sot-tracker range`."""
    parser.epilog = (
        "Without --fly or --offline it is a camera for your own nodes: it publishes image, camera_info and truth and "
        "obeys cmd_vel. Example: sot-tracker range --fly --seconds 60 --model lite"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--fly", action="store_true", help="also start the tracker node and the follow node, over DDS")
    how.add_argument(
        "--offline", action="store_true", help="no ROS: fly in lock-step, as fast as the tracker is, and print figures"
    )
    parser.add_argument("--json", action="store_true", help="print the figures of --offline as JSON")
    add_options(parser, RangeConfig, "range")
    add_tracker_options(parser)


def run(args: argparse.Namespace) -> int:
    """Fly until the seconds are over or Ctrl-C; the exit status. Raises UserError."""
    config = given_options(args, RangeConfig)
    if args.json and not args.offline:
        raise UserError("--json prints the figures of --offline: give both")
    if args.offline:
        _print(_offline(args, config), args.json)
        return 0
    return _over_topics(args, config)


def _offline(args: argparse.Namespace, config: RangeConfig) -> dict[str, float]:
    from sot_tracker.follow.flight import fly, summarize
    from sot_tracker.loading import load
    from sot_tracker.progress import progress
    from sot_tracker.synth import builtin_pictures, procedural_pictures
    from sot_tracker.synth.flight_range import FlightRange

    tracker = load(args.model, **tracker_options(args))
    pictures = builtin_pictures() if config.pictures == "builtin" else procedural_pictures(config.seed)
    scene = FlightRange(
        config.width,
        config.height,
        config.fov,
        config.seed,
        config.speed,
        config.lookalikes,
        config.occluders,
        pictures,
    )
    seconds, moments = config.seconds or SECONDS, []
    with progress(round(seconds * config.fps), "frame", "flying") as bar:
        for moment in fly(scene, tracker, FollowConfig(), config.fov, seconds, config.fps):
            moments.append(moment)
            bar.update()
    return summarize(moments)


def _print(figures: dict[str, float], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, indent=1))
        return
    for name, value in figures.items():
        print(f"{name:<26}{value:8.1f}" if name == "seconds" else f"{name:<26}{100 * value:8.1f} %")


def _over_topics(args: argparse.Namespace, config: RangeConfig) -> int:
    """The range, and with --fly the tracker and follow nodes beside it, as processes."""
    try:
        from sot_tracker.ros_tools import harness
    except ModuleNotFoundError as error:
        raise UserError(
            f"the range needs ROS 2 ({error.name} is missing): run `make demo`, source a ROS 2, or give --offline"
        ) from None
    options: dict[str, Any] = {name: getattr(config, name) for name in vars(config)}
    if args.fly:
        options["seconds"] = config.seconds or SECONDS
    namespace = NAMESPACE if args.fly else ""
    with ExitStack() as stack:
        stack.enter_context(sigterm_as_ctrl_c())  # or its processes would stay
        nodes: dict[str, subprocess.Popen[Any]] = {}
        if args.fly:
            tracker = {**tracker_options(args), "model": args.model}
            for name, parameters in {"tracker_node": tracker, "follow": {}}.items():
                words = harness.arguments(parameters, namespace)
                nodes[name] = stack.enter_context(harness.process(name, words))
        camera = stack.enter_context(harness.process("range", harness.arguments(options, namespace)))
        return _ended(camera, nodes)


def _ended(camera: subprocess.Popen[Any], nodes: Mapping[str, subprocess.Popen[Any]]) -> int:
    """The exit status of the range. Raises UserError if a node ends before it: the figures would be of no flight."""
    while True:
        try:
            return camera.wait(POLL_S)
        except subprocess.TimeoutExpired:
            for name, node in nodes.items():
                if (status := node.poll()) is not None:
                    raise UserError(f"{name} ended with status {status}: see its message above") from None
