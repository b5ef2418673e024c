"""The outputs of `sot-tracker track`: a video, a CSV table, a window."""

from __future__ import annotations

import csv
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream.bag_output import BagFile
from sot_tracker.stream.draw import draw_targets
from sot_tracker.stream.follow import Step
from sot_tracker.stream.output_files import NewFile, require_harmless
from sot_tracker.stream.sources import FrameSource
from sot_tracker.stream.video_writer import VideoWriter, require_suffix
from sot_tracker.tracker import Estimate, Image

if TYPE_CHECKING:
    from typing_extensions import Self

CSV_COLUMNS = (
    "frame", "x", "y", "w", "h", "score", "state", "ms", "stamp", "target", "reason", "probability", "reported",
)  # fmt: skip
_QUIT_KEYS = (27, ord("q"))


class Output(Protocol):
    """Takes frames in order. `path` is the file that is written, None for a window.

    A file appears under its name at the end; until then an older file of that name stays.
    """

    path: Path | None
    note: str
    """A remark about the file for the user; usually empty."""

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None: ...
    def write(self, step: Step) -> bool:
        """Write one frame. Returns False if the user wants to stop. Raises UserError if the disk is full."""


def open_outputs(
    given: Mapping[str, str | None], show: bool, source: FrameSource, name: str, stride: int = 1
) -> list[Output]:
    """Create the requested outputs. given: values of --save, --csv and --save-bag, None if not given. show: --show.

    Each is a context manager, to be entered before writing. stride: of the frames that will be written, for the frame
    rate of the video.

    Raises UserError, writing nothing, for a name that is empty, in a folder that does not exist, of a file that belongs
    to the source or its data set, or given twice.
    """
    paths = require_harmless({flag: text for flag, text in given.items() if text is not None}, source.files)
    outputs: list[Output] = []
    if "--save" in paths:
        outputs.append(VideoFile(paths["--save"], name, source.fps / stride, source.size))
    if "--csv" in paths:
        outputs.append(CsvFile(paths["--csv"]))
    if "--save-bag" in paths:
        outputs.append(BagFile(paths["--save-bag"], name))
    if show:
        outputs.append(Window(name))
    return outputs


class VideoFile:
    """A video with the boxes drawn. Raises UserError for an unknown suffix or a place that cannot be written."""

    def __init__(self, path: Path, name: str, fps: float, size: tuple[int, int]) -> None:
        require_suffix(path, "--save")
        self.path: Path | None = path
        self._name, self._fps, self._size = name, fps, size
        self._file = NewFile(path, "--save")
        self.note = ""

    def __enter__(self) -> Self:
        self._writer = VideoWriter(self._file.place, self._fps, self._size, f"--save '{self.path}'")
        self.note = self._writer.note
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            self._writer.close()
        except UserError:
            self._file.discard()
            if kind is None:
                raise
            return
        self._file.keep()

    def write(self, step: Step) -> bool:
        self._writer.write(draw_targets(step.image, step.estimates, self._name))
        return True


class CsvFile:
    """One line per frame and target, `CSV_COLUMNS`.

    frame: number in the source, from 0. ms: time in the tracker, empty in the frame in which the target started.
    stamp: of the frame, nanoseconds. probability: empty if it is not known. reported: 1 if the node would publish the
    box, else 0.
    """

    note = ""

    def __init__(self, path: Path) -> None:
        self.path: Path | None = path
        self._file = NewFile(path, "--csv")
        self._broken = False

    def __enter__(self) -> Self:
        try:
            self._stream = self._file.place.open("w", newline="", encoding="utf-8")
            self._writer = csv.writer(self._stream, lineterminator="\n")
            self._writer.writerow(CSV_COLUMNS)
        except OSError as error:
            raise self._failure(error) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            self._stream.close()
        except OSError as error:
            self._broken = True
            if kind is None:
                raise self._failure(error) from None
        finally:
            (self._file.discard if self._broken else self._file.keep)()

    def write(self, step: Step) -> bool:
        rows = [_row(step, target, estimate) for target, estimate in step.estimates.items()]
        try:
            self._writer.writerows(rows)
        except OSError as error:
            self._broken = True
            raise self._failure(error) from None
        return True

    def _failure(self, error: OSError) -> UserError:
        return UserError(f"--csv '{self.path}' cannot be written: {error.strerror}")


def _row(step: Step, target: str, estimate: Estimate) -> list[object]:
    box = [f"{v:.3f}" for v in estimate.box.xywh]
    ms = f"{sum(estimate.times.values()):.3f}" if estimate.times else ""
    probability = "" if math.isnan(estimate.probability) else f"{estimate.probability:.4f}"
    facts = [f"{estimate.score:.4f}", estimate.state.value, ms, step.frame.stamp, target]
    return [step.number, *box, *facts, estimate.reason.value, probability, int(estimate.is_reported)]


class Window:
    """A live view that ends on q or Esc. Raises UserError without a display."""

    path: Path | None = None
    note = ""

    def __init__(self, name: str) -> None:
        require_display("--show", "give --save instead")
        self._name = name
        self._title = f"{name} - q ends"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        cv2.destroyAllWindows()

    def write(self, step: Step) -> bool:
        cv2.imshow(self._title, draw_targets(step.image, step.estimates, self._name))
        return (cv2.waitKey(1) & 0xFF) not in _QUIT_KEYS


def select_box(image: Image) -> Box:
    """Let the user draw the box. Raises UserError without a display, or if nothing was drawn."""
    require_display("drawing the box in a window", "give --box x,y,w,h, and --save to see it")
    title = "draw the target, then Enter (c cancels)"
    rect = cv2.selectROI(title, image, showCrosshair=False)
    cv2.destroyAllWindows()
    box = Box.from_xywh(rect)
    if not box.is_valid:
        raise UserError("no box was drawn: draw one, or give --box x,y,w,h")
    return box


def require_display(needed_for: str, instead: str) -> None:
    """Raise UserError if no window can be opened."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UserError(f"{needed_for} needs a display, but there is none: {instead}")
    if not has_windows():
        raise UserError(
            f"{needed_for} needs windows, and this OpenCV is headless: give --box x,y,w,h, "
            "or `pip uninstall opencv-contrib-python-headless && pip install opencv-contrib-python`"
        )


def has_windows() -> bool:
    """Whether this OpenCV was built with a window system."""
    return any(
        line.split(":")[1].strip() != "NONE"
        for line in cv2.getBuildInformation().splitlines()
        if line.strip().startswith("GUI:")
    )
