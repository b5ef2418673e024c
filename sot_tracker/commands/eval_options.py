"""The options of `sot-tracker eval`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sot_tracker.commands.options import Once, add_ray_option, add_tracker_options

EPILOG = """
DIR holds one or more data sets, at any depth: GOT-10k, LaSOT, OTB, VOT, TrackingNet or UAV123, a list
(annotations.jsonl), folders of pictures with groundtruth.txt (x,y,w,h per line), or recordings with a topic of true
boxes. docs/datasets.md has the details.

Finished sequences are not run again, unless options, weights or frames have changed. Sequences that cannot be used are
left out and reported at the end; the exit status is then 2.

For example: sot-tracker eval --data OTB100 --model smat --model kcf --sequences "Blur*" David --out out/eval
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `sot-tracker eval`, in groups."""
    parser.epilog = EPILOG
    parser.add_argument(
        "--model",
        required=True,
        action="append",
        metavar="[LABEL=]NAME[@WEIGHTS]",
        help="model to evaluate; LABEL is its name in the tables, WEIGHTS are its own; repeat to compare several: "
        "--model mvt --model mine=mvt@my/weights",
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder to write: tables, plots and the boxes of every frame",
    )
    _add_data(parser.add_argument_group("data"))
    _add_running(parser.add_argument_group("running"))
    _add_results(parser.add_argument_group("results"))
    add_tracker_options(parser, without=("model",))


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--data", required=True, action=Once, type=Path, metavar="DIR", help="folder of sequences, see below"
    )
    group.add_argument(
        "--sequences",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="only these sequences; * stands for any characters",
    )
    group.add_argument("--frames", type=int, metavar="N", help="only the first N frames of each sequence")
    group.add_argument(
        "--topic", default="", metavar="NAME", help="image topic to read from recordings; needed if they have several"
    )
    group.add_argument(
        "--truth-topic",
        default="",
        metavar="NAME",
        help="topic of true boxes (Detection2D) in recordings (default: truth, ground_truth or groundtruth)",
    )


def _add_running(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="number of sequences to run in parallel (default: 1)"
    )
    add_ray_option(group)
    group.add_argument("--again", action="store_true", help="run finished sequences again")
    group.add_argument(
        "--realtime",
        type=float,
        metavar="FPS",
        help="also evaluate in real time: FPS frames arrive per second, whether the tracker is ready or not; takes as "
        "long as the sequences last, and writes realtime.json",
    )
    group.add_argument(
        "--propagate",
        choices=("auto", "off"),
        help="with --realtime: move the box by optical flow between two runs of the tracker, as the node does (auto), "
        "or wait for the tracker (off) (default: auto)",
    )


def _add_results(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--submission",
        choices=("got10k", "trackingnet"),
        help="write OUT/submission/LABEL.zip in the format of GOT-10k's or TrackingNet's evaluation server",
    )
    group.add_argument("--json", action="store_true", help="print summary.json instead of tables")
    group.add_argument(
        "--no-plots",
        action="store_true",
        help="write no plots (they need matplotlib) and no pictures of the worst frames",
    )
