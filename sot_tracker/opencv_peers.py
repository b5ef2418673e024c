"""The small networks that OpenCV itself can run: NanoTrack, VitTrack, DaSiamRPN, with weights from the user.

No weights of them ship here. `create` loads the ONNX files that their authors released, and `require_fit` runs them
once, so that wrong files are refused when the tracker is loaded and not in the first frame.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sot_tracker.errors import UserError

_ERRORS = 2  # OpenCV's LOG_LEVEL_ERROR


@dataclass(frozen=True, slots=True)
class File:
    """One ONNX file: its name in the release, and a pattern for copies under another name."""

    name: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Peer:
    """How OpenCV runs a network.

    cls: of `cv2`. files: attribute of its parameters -> file. publisher: where the authors publish the files.
    lost_threshold: scores (0..1) below it mean LOST, unless the user sets another.
    """

    cls: str
    files: Mapping[str, File]
    publisher: str
    lost_threshold: float


PEERS: dict[str, Peer] = {
    "nanotrack": Peer(
        "TrackerNano",
        {
            "backbone": File("nanotrack_backbone_sim.onnx", "*backbone*.onnx"),
            "neckhead": File("nanotrack_head_sim.onnx", "*head*.onnx"),
        },
        "the project SiamTrackers of HonglinChu, folder NanoTrack/models/nanotrackv2 (V3 does not fit OpenCV)",
        # Generated clips in which the target leaves: 63 % of the frames without it are below, and no right box.
        0.9,
    ),
    "vittrack": Peer(
        "TrackerVit",
        {"net": File("object_tracking_vittrack_2023sep.onnx", "*vit*.onnx")},
        "OpenCV's model zoo (opencv_zoo), folder object_tracking_vittrack",
        0.2,  # OpenCV's own
    ),
    "dasiamrpn": Peer(
        "TrackerDaSiamRPN",
        {
            "model": File("dasiamrpn_model.onnx", "*model*.onnx"),
            "kernel_cls1": File("dasiamrpn_kernel_cls1.onnx", "*cls1*.onnx"),
            "kernel_r1": File("dasiamrpn_kernel_r1.onnx", "*r1*.onnx"),
        },
        "the links in the DaSiamRPN sample of OpenCV's repository (samples/dnn/dasiamrpn_tracker)",
        0.5,  # not calibrated
    ),
}


def find_files(name: str, weights: str) -> dict[str, Path]:
    """Attribute of OpenCV's parameters -> file in the folder `weights`.

    A file with the released name is preferred to one that matches the pattern. Raises UserError naming a missing file.
    """
    peer, names = PEERS[name], ", ".join(file.name for file in PEERS[name].files.values())
    wanted = f"give weights=DIR, a folder with {names}, published by {peer.publisher}"
    if not weights or weights == "random":
        raise UserError(f"'{name}' needs the weights of its authors, which do not ship here: {wanted}")
    folder = Path(weights).expanduser()
    if not folder.is_dir():
        raise UserError(f"weights '{weights}' of {name} are not a folder: {wanted}")
    return {attribute: _find(name, file, folder, wanted) for attribute, file in peer.files.items()}


def _find(name: str, file: File, folder: Path, wanted: str) -> Path:
    if (folder / file.name).is_file():
        return folder / file.name
    found = sorted(path for path in folder.glob(file.pattern) if path.is_file())
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UserError(f"'{folder}' contains several files for {name}'s {file.name} ({names}): keep one")
    if not found:
        raise UserError(f"'{folder}' has no {file.name} for {name}: {wanted}")
    return found[0]


def require_fit(name: str, files: Mapping[str, Path]) -> None:
    """Raise UserError unless OpenCV can read the files and run them as that tracker."""
    names = ", ".join(path.name for path in files.values())
    try:
        tracker, frame = create(name, files, 0.0), np.zeros((64, 64, 3), np.uint8)
        tracker.init(frame, (20, 20, 24, 24))
        tracker.update(frame)
    except cv2.error as error:
        reason = str(getattr(error, "err", "") or error).strip().splitlines()[0]
        raise UserError(
            f"OpenCV {cv2.__version__} cannot run {names} as {name} ({reason}): give the files of"
            f" {PEERS[name].publisher}"
        ) from None


def create(name: str, files: Mapping[str, Path], lost_threshold: float) -> Any:
    """Create OpenCV's tracker with those files. VitTrack does not move its search window if its score is too low."""
    peer = PEERS[name]
    parameters = getattr(cv2, f"{peer.cls}_Params")()
    for attribute, path in files.items():
        setattr(parameters, attribute, str(path))
    if hasattr(parameters, "tracking_score_threshold"):
        parameters.tracking_score_threshold = lost_threshold
    with _quiet():
        return getattr(cv2, peer.cls).create(parameters)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings: OpenCV 5 warns twice at each creation that its new graph engine ignores the target."""
    log: Any = cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2  # moved with OpenCV 5
    before = log.getLogLevel()
    log.setLogLevel(min(before, _ERRORS))
    try:
        yield
    finally:
        log.setLogLevel(before)
