"""`sot-tracker eval`: one-pass evaluation of models on a folder of annotated sequences."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sot_tracker.commands.eval_options import add_arguments
from sot_tracker.commands.options import tracker_options
from sot_tracker.errors import UserError

__all__ = ["add_arguments", "run"]

if TYPE_CHECKING:
    from sot_tracker.datasets.evaluation import DataSet
    from sot_tracker.datasets.records import Sequence
    from sot_tracker.evaluate.metrics import SequenceScores
    from sot_tracker.evaluate.ope import Entry, Task
    from sot_tracker.evaluate.submission import Run

_LISTED = 3


def run(args: argparse.Namespace) -> int:
    """Evaluate, write, print; returns 0. Raises UserError, after the report, if anything had to be left out."""
    from sot_tracker.datasets import evaluation
    from sot_tracker.datasets.layouts import Topics
    from sot_tracker.evaluate import ope
    from sot_tracker.evaluate.plots import require_plots

    _check(args)
    if not args.no_plots:
        require_plots()
    entries = _entries(args)
    place = args.data.absolute() if args.ray else args.data
    data = evaluation.read(place, args.sequences, args.frames or 0, Topics(args.topic, args.truth_topic))
    _check_submission(args.submission, data.sequences)
    _check_topics(args, data.sequences)
    _make(args.out, entries, data)

    tasks = ope.plan(entries, data.sequences, args.out)
    failed = _run_waiting(tasks, args)
    done = ope.complete(tasks, [task for task, _ in failed])
    problem = _left_out(data, len(tasks), [error for _, error in failed])
    if done:
        _report(args, entries, _load(done), _notes(data, done, tasks))
    if problem or not done:
        raise UserError(problem)
    return 0


def _run_waiting(tasks: list[Task], args: argparse.Namespace) -> list[tuple[Task, UserError]]:
    """Run what has no result yet; what failed, and why."""
    from sot_tracker.evaluate import ope

    waiting = tasks if args.again else ope.pending(tasks)
    _announce(tasks, waiting, args)
    for entry in {task.entry.label: task.entry for task in waiting}.values():
        entry.check(args.jobs, args.ray)  # what is wrong with a model is reported before the first sequence runs
    return _run_with_progress(waiting, args)


def _report(args: argparse.Namespace, entries: list[Entry], runs: dict[str, list[Run]], notes: list[str]) -> None:
    """Write and print the results."""
    from sot_tracker.evaluate.report import write_report

    about: dict[str, Any] = {
        "data": args.data.resolve().name,
        "entries": {e.label: {"model": e.model, **dict(e.options)} for e in entries},
    }
    results = {label: _scores(of_model) for label, of_model in runs.items()}
    text = write_report(results, args.out, about, notes, plots=not args.no_plots)
    if not args.json:
        print(text, flush=True)
    if not args.no_plots:
        _write_worst(runs, args.out / "worst")
    if args.realtime:  # takes long, so the report above is there already
        live, about["realtime"] = _in_real_time(args, entries, runs, results)
        write_report(results, args.out, about, notes, plots=False, more=live)
        if not args.json:
            print(f"\n{live}")
    if args.json:
        print((args.out / "summary.json").read_text(encoding="utf-8"))
    more = ", realtime.json" if args.realtime else ""
    written = f"summary.json, report.md, sequences.csv{more}, raw/{'' if args.no_plots else ', *.png, worst/'}"
    print(f"\nwritten to {args.out}: {written}", file=_aside(args))
    if args.submission:
        _submit(args, runs)


def _entries(args: argparse.Namespace) -> list[Entry]:
    """The models, each with a label of its own."""
    from sot_tracker.evaluate import ope

    options = tracker_options(args)
    entries = [ope.Entry.parse(text, options) for text in args.model]
    labels = [entry.label for entry in entries]
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise UserError(f"two models are called '{twice.pop()}': give them names by --model LABEL=NAME@WEIGHTS")
    return entries


def _check(args: argparse.Namespace) -> None:
    if args.jobs < 1:
        raise UserError(f"--jobs {args.jobs} is not possible: give 1 or more")
    if args.frames is not None and args.frames < 2:
        raise UserError(f"--frames {args.frames} is not possible: give 2 or more")
    if args.realtime is not None and not 0 < args.realtime <= 1000:
        raise UserError(f"--realtime {args.realtime:g} is not possible: give frames per second, above 0 to 1000")
    if args.propagate and not args.realtime:
        raise UserError(f"--propagate {args.propagate} is for --realtime: give --realtime FPS too, or leave it out")
    if tracker_options(args).get("max_search_rate") and args.propagate == "off":
        raise UserError("--max-search-rate needs optical flow, which --propagate off turns off: leave one out")
    if args.realtime and args.jobs > 1:
        raise UserError("--realtime needs the processors for itself: leave --jobs out")
    if args.ray and args.realtime:
        raise UserError("--realtime needs a processor for itself: leave --ray out")
    if args.ray and args.jobs > 1:
        raise UserError("--ray runs as many sequences at once as the cluster has processors: leave --jobs out")
    if args.submission and args.frames:
        raise UserError("--submission needs whole sequences: leave --frames out")


def _check_submission(server: str | None, sequences: list[Sequence]) -> None:
    from sot_tracker.evaluate.submission import require_layout

    if server:
        require_layout(server, sequences)


def _check_topics(args: argparse.Namespace, sequences: list[Sequence]) -> None:
    given = [
        f"--{name.replace('_', '-')} {topic}" for name in ("topic", "truth_topic") if (topic := getattr(args, name))
    ]
    if given and all(sequence.reader is None for sequence in sequences):
        raise UserError(f"{given[0]} is for recordings, and '{args.data}' has none: leave it out")


def _make(out: Path, entries: Iterable[Entry], data: DataSet) -> None:
    """The folder for the results, refused where writing into it could destroy or change something."""
    from sot_tracker.evaluate.report import require_own

    if out.exists() and not out.is_dir():
        raise UserError(f"--out '{out}' is a file: give a folder")
    pictures = {frame.parent.resolve() for sequence in data.sequences for frame in sequence.frames}
    if inside := pictures & {out.resolve(), *out.resolve().parents}:
        raise UserError(f"--out '{out}' is in '{inside.pop()}', where frames of the data are: give another folder")
    require_own(out)
    try:
        for entry in entries:
            (out / "raw" / entry.label).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out '{out}' cannot be made: {error.strerror}") from None


def _announce(tasks: list[Task], waiting: list[Task], args: argparse.Namespace, kind: str = "") -> None:
    stale = sum(task.path.exists() for task in waiting)
    done = len(tasks) - len(waiting)
    print(
        f"{kind}{len(tasks)} runs: {done} done, {len(waiting)} to do"
        + (f" ({stale} of them again, because options, weights or frames have changed)" if stale else "")
        + ("; going on where an earlier start ended" if done and waiting and not stale else "")
        + (f"; fps is measured with {args.jobs} runs at once" if args.jobs > 1 and waiting else "")
        + ("; fps is measured on the machines of the cluster" if args.ray and waiting else ""),
        file=_aside(args),
    )


def _aside(args: argparse.Namespace) -> Any:
    """Where messages go, so that standard output is JSON alone where it is asked for."""
    return sys.stderr if args.json else sys.stdout


def _run_with_progress(waiting: list[Task], args: argparse.Namespace) -> list[tuple[Task, UserError]]:
    """What went wrong, in the order in which it did."""
    from tqdm import tqdm

    from sot_tracker.evaluate import ope

    frames, wrong = sum(len(task.sequence.frames) for task in waiting), []
    with tqdm(total=frames, unit="frame", disable=not waiting) as bar:
        done = ope.run_on_cluster(waiting, args.ray) if args.ray else ope.run(waiting, args.jobs)
        for task, error in done:
            bar.set_description(f"{task.entry.label} {task.sequence.name}")
            bar.update(len(task.sequence.frames))
            if error:
                wrong.append((task, error))
    return wrong


def _left_out(data: DataSet, runs: int, failed: list[UserError]) -> str:
    """What was left out and why, in one line; empty where it was nothing."""
    parts = []
    if data.refused:
        count = len(data.refused)
        parts.append(f"{count} of {count + len(data.sequences)} sequences cannot be read: {_first(data.refused)}")
    if failed:
        parts.append(f"{len(failed)} of {runs} runs failed: {_first(failed)}")
    return ". ".join(parts) + ". Correct this and run again: finished results are kept" if parts else ""


def _first(errors: list[Any]) -> str:
    texts = [str(getattr(item, "error", item)) for item in errors]
    return "; ".join(texts[:_LISTED]) + (" ..." if len(texts) > _LISTED else "")


def _load(done: list[Task]) -> dict[str, list[Run]]:
    """label -> sequences with the model's results. Raises UserError for a result that was damaged."""
    from sot_tracker.evaluate import raw

    runs: dict[str, list[Run]] = {}
    for task in done:
        runs.setdefault(task.entry.label, []).append((task.sequence, raw.load(task.path)))
    return runs


def _scores(runs: list[Run]) -> dict[str, SequenceScores]:
    from sot_tracker.evaluate.metrics import measure

    return {
        s.name: measure(
            t.boxes, t.score, t.tracking, t.seconds, s.truth, s.visible, t.size, s.known, t.reported, t.probability
        )
        for s, t in runs
    }


def _in_real_time(
    args: argparse.Namespace,
    entries: list[Entry],
    runs: dict[str, list[Run]],
    offline: dict[str, dict[str, SequenceScores]],
) -> tuple[str, dict[str, Any]]:
    """Follow every sequence by the clock, one by one; writes realtime.json, returns the table and the figures."""
    from sot_tracker.atomic import write_text
    from sot_tracker.evaluate import ope, realtime

    rows, boxes, propagate = {}, {}, args.propagate or "auto"
    tasks = [
        ope.Task(entry, sequence, args.out / "raw" / entry.label / "realtime" / f"{sequence.name}.txt")
        for entry in entries
        for sequence, _ in runs[entry.label]
    ]
    _follow_waiting(args, entries, tasks, propagate)
    for entry in entries:
        live = [
            (task.sequence, realtime.load(task.path, len(task.sequence.frames), args.realtime))
            for task in tasks
            if task.entry == entry
        ]
        rows[entry.label] = realtime.row(live, offline[entry.label])
        boxes[entry.label] = {s.name: [dataclasses.astuple(answer) for answer in run.answers] for s, run in live}
    figures = {label: dataclasses.asdict(row) for label, row in rows.items()}
    summary = {"fps": args.realtime, "propagate": propagate, "models": figures}
    columns = list(realtime.Answer.__slots__)
    write_text(args.out / "realtime.json", json.dumps({**summary, "columns": columns, "answers": boxes}) + "\n")
    return realtime.report(rows, args.realtime), summary


def _follow_waiting(args: argparse.Namespace, entries: list[Entry], tasks: list[Task], propagate: str) -> None:
    """Run by the clock what has no result yet, on this processor."""
    from tqdm import tqdm

    from sot_tracker import cpus
    from sot_tracker.evaluate import ope, realtime

    more = {"realtime": args.realtime, "propagate": propagate, "processor": [cpus.processor(), cpus.usable()]}
    waiting = tasks if args.again else ope.pending(tasks, more)
    _announce(tasks, waiting, args, "in real time: ")
    for entry in entries:
        if todo := [task for task in waiting if task.entry == entry]:
            tracker = entry.load(realtime=propagate == "auto")
            for task in tqdm(todo, unit="sequence", desc=f"{entry.label} at {args.realtime:g} fps"):
                run = realtime.follow(tracker, task.sequence, args.realtime)
                realtime.save(task.path, run, {**ope.made_with(task), **more})


def _notes(data: DataSet, done: list[Task], tasks: list[Task]) -> list[str]:
    """What a reader of the figures must know about the data."""
    sequences = list({task.sequence.name: task.sequence for task in done}.values())
    notes = []
    for kind, rule in (
        ("polygon", "smallest and largest x and y of the polygon, as the VOT toolkit does"),
        ("mask", "the box around the mask's pixels"),
    ):
        if count := sum(s.truth_kind == kind for s in sequences):
            notes.append(f"True boxes of {count} sequences were made from {kind}s: {rule}.")
    if count := sum(not s.known[1:].any() for s in sequences):
        notes.append(f"{count} sequences have truth for the first frame alone: only their speed is measured.")
    if data.stills:
        notes.append(f"{data.stills} single pictures, with nothing to follow, were left out.")
    if data.refused:
        notes.append("Left out, since they cannot be read: " + ", ".join(item.name for item in data.refused) + ".")
    if lost := {task.sequence.name for task in tasks} - {s.name for s in sequences}:
        notes.append("Left out for all models, since a run failed: " + ", ".join(sorted(lost)) + ".")
    return notes


def _write_worst(runs: dict[str, list[Run]], out: Path) -> None:
    from sot_tracker.evaluate.worst import worst_frames, write_sheet

    for label, of_model in runs.items():
        if frames := worst_frames(of_model):
            write_sheet(out / f"{label}.jpg", frames)


def _submit(args: argparse.Namespace, runs: dict[str, list[Run]]) -> None:
    from sot_tracker.evaluate.submission import SERVERS, write_submission

    server = SERVERS[args.submission]
    for label, of_model in runs.items():
        path = args.out / "submission" / f"{label}.zip"
        write_submission(args.submission, path, of_model)
        print(f"written: {path}, for the server of {server.title}", file=_aside(args))
    count = len(next(iter(runs.values())))
    if count != server.sequences:
        print(
            f"warning: the test set of {server.title} has {server.sequences} sequences, these files have {count}",
            file=sys.stderr,
        )
