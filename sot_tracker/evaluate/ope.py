"""One-pass evaluation: a tracker gets the true box of the first frame and then tracks to the end without correction."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sot_tracker import cluster, cpus
from sot_tracker.catalog import spec
from sot_tracker.datasets.records import Sequence
from sot_tracker.errors import UserError
from sot_tracker.evaluate import raw
from sot_tracker.loading import load
from sot_tracker.manifest import MANIFEST
from sot_tracker.model_folder import find_weights, shipped_folder
from sot_tracker.stream.range16 import Range16
from sot_tracker.tracker import State, Tracker
from sot_tracker.workers import end_with_parent


@dataclass(frozen=True)
class Entry:
    """A model with its options, a column of the tables. The options are pairs, so that entries can be hashed."""

    label: str
    model: str
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def parse(cls, text: str, options: dict[str, Any]) -> Entry:
        """Parse "[LABEL=]NAME[@WEIGHTS]". The default label is NAME, or NAME@ and the last part of the path WEIGHTS.

        Raises UserError for an unknown model. For a model without a network, the option `weights` is removed.
        """
        head, at, weights = text.partition("@")
        label, equals, name = head.rpartition("=")
        if (
            not equals and "/" not in weights.partition("=")[0]
        ):  # else "=" is part of the path, and "@" not of the label
            label, equals, rest = text.rpartition("=")
            name, at, weights = rest.partition("@")
        model = spec(name)
        if at and not model.takes_weights:
            raise UserError(f"model '{name}' has no network, so no weights: leave out '@{weights}'")
        chosen = {**options, **({"weights": weights} if at else {})}
        if not model.takes_weights:
            chosen["weights"] = ""
        if not equals:
            label = f"{name}@{Path(weights).name}" if at else name
        if model.network and _is_random(name, str(chosen.get("weights", ""))) and not label.endswith("random"):
            label += "@random"  # shown in every table, since the boxes mean nothing
        if not label or "/" in label or label.startswith("."):
            raise UserError(f"label '{label}' in --model {text} cannot name a folder: give letters, digits, - or _")
        return cls(label, name, tuple(sorted(chosen.items())))

    def load(self, jobs: int = 1, realtime: bool = False) -> Tracker:
        """Load the tracker. With several jobs, each uses its share of the processors, unless `threads` is set.

        realtime: see `loading.load`.
        """
        options = dict(self.options)
        if jobs > 1 and not options.get("threads"):
            options["threads"] = max(1, cpus.usable() // jobs)
        return load(self.model, realtime=realtime, **options)

    def for_cluster(self) -> Entry:
        """The entry for use on other machines, with the absolute path of the weights and the threads of `share`."""
        options = dict(self.options)
        if options.get("weights") not in (None, "", "random"):
            options["weights"] = str(Path(options["weights"]).expanduser().absolute())
        return replace(self, options=tuple(sorted({**options, "threads": self.share.cpus}.items())))

    @property
    def share(self) -> cluster.Share:
        """What a job needs of a machine: `threads` processors, by default one; a GPU only if the device is one."""
        options = dict(self.options)
        return cluster.Share(options.get("threads") or 1, int(options.get("device") in ("cuda", "tensorrt")))

    def check(self, jobs: int, address: str | None) -> None:
        """Raise UserError if the model cannot be loaded. Not checked if only the cluster at `address` has the GPU."""
        if not (address and self.share.gpus):
            self.load(jobs)

    def weights_files(self) -> list[tuple[str, int]]:
        """Names and sizes of the weights files, which must be the same on all machines."""
        return [(name, size) for name, size, _ in _fingerprint(self.model, str(dict(self.options).get("weights", "")))]


def _is_random(name: str, weights: str) -> bool:
    """Whether the weights are random; also true for a folder that was exported from random weights."""
    if weights in ("", "random"):
        return weights == "random"
    return (Path(weights).expanduser() / MANIFEST).is_file() and find_weights(spec(name), weights).random


@dataclass(frozen=True)
class Task:
    """An entry to be run on a sequence. path: file of the result."""

    entry: Entry
    sequence: Sequence
    path: Path


def plan(entries: Iterable[Entry], sequences: Iterable[Sequence], out: Path) -> list[Task]:
    return [Task(e, s, out / "raw" / e.label / f"{s.name}.txt") for e in entries for s in sequences]


def made_with(task: Task) -> dict[str, Any]:
    """Everything on which a result depends. A stored result made with anything else is not used."""
    options = dict(task.entry.options)
    first, last = task.sequence.frames[0], task.sequence.frames[-1]
    return {
        "format": raw.FORMAT,
        "model": task.entry.model,
        "options": options,
        "weights": _fingerprint(task.entry.model, str(options.get("weights", ""))),
        "opencv": cv2.__version__,
        "sot_tracker": _version(),
        "frames": [len(task.sequence.frames), first.name, last.name],
        "pixels": "stored",
        "first_box": list(task.sequence.first_box.xywh),
    }


def pending(tasks: list[Task], more: Mapping[str, Any] | None = None) -> list[Task]:
    """The tasks without a result, or with one for which `made_with`, or what else it depends on, differs."""
    return [task for task in tasks if raw.made_with(task.path) != {**made_with(task), **(more or {})}]


def complete(tasks: list[Task], failed: list[Task]) -> list[Task]:
    """The tasks of the sequences that succeeded with every entry, so that means can be compared."""
    lost = {task.sequence.name for task in failed}
    return [task for task in tasks if task.sequence.name not in lost]


def track_sequence(tracker: Tracker, sequence: Sequence) -> raw.Track:
    """Run a tracker once through a sequence. Reading pictures is not timed. Raises UserError naming the sequence."""
    count = len(sequence.frames)
    boxes, score = np.empty((count, 4)), np.ones(count)
    tracking, seconds = np.ones(count, dtype=np.bool_), np.empty(count)
    reported, probability = np.ones(count, dtype=np.bool_), np.full(count, np.nan)
    boxes[0], size = sequence.truth[0], (0, 0)
    range16 = Range16()  # 16-bit pictures of one sequence share their limits
    try:
        for i in range(count):
            image = sequence.picture(i, range16)
            start = time.perf_counter()
            if i == 0:
                tracker.init(image, sequence.first_box)
                size = (image.shape[1], image.shape[0])
            else:
                estimate = tracker.update(image)
                boxes[i], score[i] = estimate.box.xywh, estimate.score
                tracking[i], reported[i] = estimate.state is State.TRACKING, estimate.is_reported
                probability[i] = estimate.probability
            seconds[i] = time.perf_counter() - start
    except UserError as error:
        raise UserError(f"sequence '{sequence.name}': {error}") from None
    return raw.Track(boxes, score, tracking, seconds, size, reported, probability)


def run(tasks: list[Task], jobs: int) -> Iterator[tuple[Task, UserError | None]]:
    """Run the tasks in `jobs` processes and save their results.

    Yields each task when its file has been written, or with its error. An error, such as a damaged picture, does not
    end the other tasks. Raises UserError if a process was killed; finished results are kept.
    """
    if jobs == 1:
        for task in tasks:
            yield task, _work(task, jobs)
        return
    pool = ProcessPoolExecutor(min(jobs, len(tasks) or 1), get_context("spawn"), end_with_parent)
    try:
        running = {pool.submit(_work, task, jobs): task for task in tasks}
        for future in as_completed(running):
            yield running[future], future.result()
    except BrokenProcessPool:
        raise UserError(
            f"one of {jobs} processes was killed, perhaps because memory was exhausted: finished runs are kept; run the"
            " same command again to continue, with fewer --jobs if memory was the reason"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def run_on_cluster(tasks: list[Task], address: str) -> Iterator[tuple[Task, UserError | None]]:
    """Like `run`, on the machines of the Ray cluster at that address (`cluster.spread`). Files are written here.

    Data and weights must be under the same paths on every machine. Raises UserError as `cluster.spread`.
    """
    jobs = {_Job(replace(t, entry=t.entry.for_cluster()), tuple(t.entry.weights_files())): t for t in tasks}
    share = tasks[0].entry.share if tasks else cluster.Share()
    with closing(cluster.spread(_track, list(jobs), address, share, _Job.__str__)) as results:
        for job, result in results:
            task = jobs[job]
            yield task, result if isinstance(result, UserError) else _saved(task, result)


@dataclass(frozen=True)
class _Job:
    """A task for another machine. weights: names and sizes that the weights files must have there."""

    task: Task
    weights: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        return f"sequence '{self.task.sequence.name}'"


def _track(job: _Job) -> raw.Track:
    tracker = _loaded(job.task.entry, 1)  # first, since its error names a missing path
    _require_same_weights(job)
    return track_sequence(tracker, job.task.sequence)


def _require_same_weights(job: _Job) -> None:
    """Raise UserError if the weights files here differ from those of the machine that sent the job."""
    entry = job.task.entry
    if tuple(entry.weights_files()) != job.weights:
        raise UserError(f"{job}: the weights of '{entry.label}' differ from those on the machine that runs eval")


def _work(task: Task, jobs: int) -> UserError | None:
    tracker = _loaded(task.entry, jobs)
    try:
        return _saved(task, track_sequence(tracker, task.sequence))
    except UserError as error:
        return error


def _saved(task: Task, track: raw.Track) -> UserError | None:
    try:
        raw.save(task.path, track, made_with(task))
    except UserError as error:
        return error
    return None


@lru_cache(maxsize=1)
def _loaded(entry: Entry, jobs: int) -> Tracker:
    return entry.load(jobs)


def _fingerprint(model: str, weights: str) -> list[list[Any]]:
    """Name, size and modification time of the weights files. Their content is checked when they are loaded."""
    if not spec(model).takes_weights or weights == "random":
        return []
    place = Path(weights).expanduser() if weights else shipped_folder(model)
    if place is None or not place.exists():
        return []
    files = [path for path in sorted(place.iterdir()) if path.is_file()] if place.is_dir() else [place]
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]


def _version() -> str:
    try:
        return version("sot_tracker")
    except PackageNotFoundError:
        return ""
