"""`sot-tracker label --ray`: the targets of the videos, each followed by some machine of a Ray cluster.

The machines write pictures into the data set's folder; the list is made where the command was started.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sot_tracker import cluster
from sot_tracker.box import Box
from sot_tracker.datasets import labelling
from sot_tracker.datasets.list_writer import ListWriter, Row, write_picture
from sot_tracker.errors import UserError
from sot_tracker.evaluate.ope import Entry
from sot_tracker.progress import progress
from sot_tracker.stream.sources import open_source
from sot_tracker.tracker import Tracker


@dataclass(frozen=True)
class Job:
    """One target through one video; `frames`, `every`, `span`, `agree` as the command's options.

    source: whole path. target: its number. start: its box in the first frame, pixels. folder: for pictures, whole path.
    """

    source: str
    target: int
    start: Box
    entries: tuple[Entry, ...]
    folder: Path
    frames: int | None
    every: int
    span: int
    agree: float

    def __str__(self) -> str:
        return f"target {self.target} of '{self.source}'"


class Found(NamedTuple):
    """What came of a job. kept: the pictures that were written, and the target's box in each. last: number of the last
    frame that is sure."""

    video: str
    kept: list[tuple[Row, Box]]
    last: int


def add_all(writer: ListWriter, jobs: list[Job], address: str) -> dict[Job, Found]:
    """Follow all targets on that cluster and add them to the list, in the order of `jobs`.

    Raises UserError as `cluster.spread`, and for the first job that fails. What was found until then, or until Ctrl-C,
    is added too.
    """
    found: dict[Job, Found] = {}
    try:
        _spread(jobs, address, found)
    finally:
        for job in (job for job in jobs if job in found):
            _add(writer, job, found[job])
    return {job: found[job] for job in jobs}


def _add(writer: ListWriter, job: Job, found: Found) -> None:
    for row, box in found.kept:
        if not (writer.folder / row["file"]).is_file():
            raise UserError(f"--out '{writer.folder}' is not the same folder on all machines: {row['file']} is lost")
        writer.add_written(row, job.target, box)


def _spread(jobs: list[Job], address: str, found: dict[Job, Found]) -> None:
    results = cluster.spread(label_target, jobs, address, jobs[0].entries[0].share, Job.__str__)
    with closing(results), progress(len(jobs), "target", "label") as bar:
        for job, result in results:
            if isinstance(result, UserError):
                raise result
            found[job] = result
            bar.update(1)


def label_target(job: Job) -> Found:
    """Do the job; runs on any machine. Raises UserError, naming a path that is not there."""
    if not job.folder.is_dir():
        raise UserError(f"folder '{job.folder}' is not there: give --out on a file system that all machines share")
    trackers, kept, last = _loaded(job.entries), [], 0
    with closing(open_source(job.source)) as frames:
        seen = islice((frame.image for frame in frames), job.frames)
        for found in labelling.label(trackers, seen, job.start, job.span, job.agree):
            if found.number % job.every == 0:
                kept.append((write_picture(job.folder, frames.name, found.number, found.image), found.box))
            last = found.number
        return Found(frames.name, kept, last)


@lru_cache(maxsize=1)
def _loaded(entries: tuple[Entry, ...]) -> tuple[Tracker, ...]:
    return tuple(entry.load() for entry in entries)


def whole_path(source: str) -> str:
    """A source of files as other machines find it."""
    return source if "://" in source else str(Path(source).expanduser().absolute())
