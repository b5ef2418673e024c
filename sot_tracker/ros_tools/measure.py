"""Measure the node on this machine: `python -m sot_tracker.ros_tools.measure --source FOLDER --model csrt`.

Overhead: callback entry until the last publish returned, minus the tracker's own time, p50 and p95 (aim: at most 2 ms
at 720p). Overload: frames come twice as fast as they can be processed; the age of the frame behind each result must not
be above one frame period plus one processing time. The age counts from the stamp, so that it contains the way from
process to process, which is told for itself as `transport`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sot_tracker.box import Box
from sot_tracker.datasets.sequences import read_truth, truth_file_of
from sot_tracker.errors import UserError
from sot_tracker.ros_tools import harness
from sot_tracker.ros_tools.harness import Recording

NAMESPACE = "/sot_measure"
SIZES = ((640, 480), (1280, 720))


def overhead(player: dict[str, Any], tracker: dict[str, Any]) -> dict[str, float]:
    """Milliseconds: overhead and processing time, p50 and p95; latency, from the stamp to callback entry, p50."""
    recording = harness.play({**player, "rate": 10.0}, tracker, NAMESPACE)
    process, age = _process_and_age(recording)
    return {
        "overhead_p50": float(recording.diagnostics["overhead p50 ms"]),
        "overhead_p95": float(recording.diagnostics["overhead p95 ms"]),
        "process_p50": float(np.percentile(process, 50)),
        "process_p95": float(np.percentile(process, 95)),
        "transport_p50": float(np.percentile(age - process, 50)),
        "transport_p95": float(np.percentile(age - process, 95)),
    }


def overload(player: dict[str, Any], tracker: dict[str, Any], process_ms: float) -> dict[str, float]:
    """Ages under frames that come twice as fast as one takes; `excess` is age minus (period + own processing time)."""
    period = max(process_ms / 2, 2.0)  # faster than 500 Hz no player sends
    recording = harness.play({**player, "rate": 1000.0 / period}, tracker, NAMESPACE)
    process, age = _process_and_age(recording)
    excess = age - process - period
    last = recording.states[max(recording.states)]
    return {
        "rate": 1000.0 / period,
        "processed": float(last.frames_processed),
        "dropped": float(last.frames_dropped),
        "age_p50": float(np.percentile(age, 50)),
        "age_p95": float(np.percentile(age, 95)),
        "age_max": float(age.max()),
        "excess_p95": float(np.percentile(excess, 95)),
        "excess_max": float(excess.max()),
        "share_above": float(np.mean(excess > 0)),
    }


def _process_and_age(recording: Recording) -> tuple[Any, Any]:
    """Per frame with a target, after the first, whose start is special."""
    rows = [
        (dict(zip(state.stage_names, state.stage_ms, strict=True))["process"], state.frame_age_ms)
        for _, state in sorted(recording.states.items())
        if state.target_id
    ][1:]
    if not rows:
        raise UserError("the node said nothing of any frame with a target: see its output above")
    return tuple(np.array(rows).T)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", type=Path, required=True, help="sequence folder with a truth file")
    parser.add_argument("--model", default="csrt")
    parser.add_argument("--weights", default="")
    parser.add_argument("--frames", type=int, default=150, help="per measurement (150); the sequence is looped")
    parser.add_argument("--transport", choices=("raw", "compressed"), default="raw")
    parser.add_argument(
        "--reliability", choices=("reliable", "best_effort"), default="best_effort", help="of the player"
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    try:
        results = _measure(args)
        if args.json:
            args.json.write_text(json.dumps(results, indent=1) + "\n")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _measure(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    truth = truth_file_of(args.source)
    if truth is None:
        raise UserError(
            f"'{args.source}' has no truth file: give a sequence folder, as `sot-tracker synth` writes them"
        )
    results = {}
    for width, height in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            player = {
                "source": str(args.source.resolve()),
                "init_box": Box.from_xywh(read_truth(truth)[0]).xywh,
                "loop": True,
                "frames": args.frames,
                "width": width,
                "height": height,
                "image_transport": args.transport,
                "reliability": args.reliability,
                "wait": 3600.0,
                "log": str(Path(folder) / "sent.csv"),
            }
            tracker = {"model": args.model, "weights": args.weights, "image_transport": args.transport}
            plain = overhead(player, tracker)
            pressed = overload(player, tracker, plain["process_p50"])
        for name, values in (("overhead", plain), ("overload", pressed)):
            print(f"{args.model} {width}x{height} {name}: " + "  ".join(f"{k} {v:.2f}" for k, v in values.items()))
            results[f"{name}_{width}x{height}"] = values
    return results


if __name__ == "__main__":
    sys.exit(main())
