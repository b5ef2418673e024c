"""`sot-tracker eval`: one-pass evaluation of models on a folder of annotated sequences."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sot_tracker.commands.options import add_tracker_options, tracker_options
from sot_tracker.errors import UserError

EPILOG = """
A sequence is a folder of pictures with groundtruth.txt or groundtruth_rect.txt: x,y,w,h per line (comma, tab or space;
NaN or zeros where the target is absent). absence.label and cover.label (GOT-10k), full_occlusion.txt and
out_of_view.txt (LaSOT) are honoured. Sequences may lie at any depth below DIR.
Finished sequences are not run again, unless they were made with other options, weights or frames.
"""

_TOLD = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder of sequences")
    parser.add_argument(
        "--model",
        required=True,
        action="append",
        metavar="[LABEL=]NAME[@WEIGHTS]",
        help="model to evaluate; give it several times to compare, as in --model mvt --model mine=mvt@my/weights",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for tables, plots, raw boxes")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="sequences at once (default: 1)")
    parser.add_argument("--again", action="store_true", help="run finished sequences again")
    parser.add_argument("--no-plots", action="store_true", help="write no PNG plots (they need matplotlib)")
    add_tracker_options(parser, without=("model",))


def run(args: argparse.Namespace) -> int:
    from sot_tracker.datasets.sequences import find_sequences
    from sot_tracker.evaluate import ope, raw
    from sot_tracker.evaluate.metrics import measure
    from sot_tracker.evaluate.report import require_plots, write_report

    if args.jobs < 1:
        raise UserError(f"--jobs {args.jobs} is not possible: give 1 or more")
    if not args.no_plots:
        require_plots()
    options = tracker_options(args)
    entries = [ope.Entry.parse(text, options) for text in args.model]
    labels = [entry.label for entry in entries]
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise UserError(f"two models are called '{twice.pop()}': tell them apart by --model LABEL=NAME@WEIGHTS")
    sequences = find_sequences(args.data)
    _make(args.out)

    tasks = ope.plan(entries, sequences, args.out)
    waiting = tasks if args.again else ope.pending(tasks)
    _announce(tasks, waiting, args.jobs)
    for entry in {task.entry.label: task.entry for task in waiting}.values():
        entry.load(args.jobs)  # what is wrong with a model is told before the first sequence runs
    if wrong := _run_with_progress(waiting, args.jobs):
        told = "; ".join(str(error) for error in wrong[:_TOLD]) + (" ..." if len(wrong) > _TOLD else "")
        raise UserError(f"{len(wrong)} of {len(tasks)} runs failed: {told}. Mend it and run again: the others are kept")

    results: dict[str, dict[str, Any]] = {label: {} for label in labels}
    for task in tasks:
        t, s = raw.load(task.path), task.sequence
        results[task.entry.label][s.name] = measure(t.boxes, t.score, t.tracking, t.seconds, s.truth, s.visible, t.size)
    about = {
        "data": args.data.resolve().name,
        "entries": {e.label: {"model": e.model, **dict(e.options)} for e in entries},
    }
    print(write_report(results, args.out, about, plots=not args.no_plots))
    print(f"\nwritten to {args.out}: summary.json, report.md, sequences.csv, raw/{'' if args.no_plots else ', *.png'}")
    return 0


def _make(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"--out '{out}' is a file: give a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out '{out}' cannot be made: {error.strerror}") from None


def _announce(tasks: list[Any], waiting: list[Any], jobs: int) -> None:
    stale = sum(task.path.exists() for task in waiting)
    print(
        f"{len(tasks)} runs: {len(tasks) - len(waiting)} done, {len(waiting)} to do"
        + (f" ({stale} of them anew: their results were made with something else)" if stale else "")
        + (f"; fps is measured with {jobs} runs at once" if jobs > 1 and waiting else "")
    )


def _run_with_progress(waiting: list[Any], jobs: int) -> list[UserError]:
    """What went wrong, in the order in which it did."""
    from tqdm import tqdm

    from sot_tracker.evaluate import ope

    frames, wrong = sum(len(task.sequence.frames) for task in waiting), []
    with tqdm(total=frames, unit="frame", disable=not waiting) as bar:
        for task, error in ope.run(waiting, jobs):
            bar.set_description(f"{task.entry.label} {task.sequence.name}")
            bar.update(len(task.sequence.frames))
            if error:
                wrong.append(error)
    return wrong
