"""Samples from which `calibrating.py` learns: features of one search each, and whether its box was right.

Tracking the clips takes minutes and learning a second, so samples can be stored in a file.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sot_tracker.atomic import new_file
from sot_tracker.boxes import ious
from sot_tracker.calibration import FEATURES
from sot_tracker.datasets.records import Sequence as Clip
from sot_tracker.errors import UserError
from sot_tracker.evaluate.metrics import RIGHT
from sot_tracker.stream.range16 import Range16
from sot_tracker.tracking.network_tracker import NetworkTracker

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

_KINDS = {"features": "f", "right": "b", "present": "b", "accepted": "b", "clip": "i", "folder": "i"}
"""Name of each array in a file of samples -> `kind` of its NumPy dtype."""


@dataclass(frozen=True, eq=False)
class Samples:
    """N samples; those of a sequence are in order.

    features: N x len(FEATURES). right: whether the box overlapped the target by half or more. present: whether the
    target was there. accepted: whether the box moved the search window. clip: number of the sequence. folder: number of
    the data set that the sequence is from.
    """

    features: Array
    right: Mask
    present: Mask
    accepted: Mask
    clip: Numbers
    folder: Numbers


def gather(tracker: NetworkTracker, clips: Sequence[Clip], done: Callable[[Clip], None] = lambda clip: None) -> Samples:
    """Track every clip of a data set once. Raises UserError naming a clip whose pictures cannot be read."""
    parts = []
    for number, clip in enumerate(clips):
        try:
            parts.append(_follow(tracker, clip, number))
        except UserError as error:
            raise UserError(f"sequence '{clip.name}': {error}") from None
        done(clip)
    return _stacked(parts)


def _follow(tracker: NetworkTracker, clip: Clip, number: int) -> Samples:
    range16, boxes, accepted, features = Range16(), [], [], []
    tracker.init(clip.picture(0, range16), clip.first_box)
    for index in range(1, len(clip.frames)):
        estimate = tracker.update(clip.picture(index, range16))
        boxes.append(estimate.box.xywh)
        accepted.append(estimate.accepted)
        features.append([tracker.state.features[name] for name in FEATURES])
    known, present = clip.known[1:] | ~clip.visible[1:], clip.visible[1:]
    # Reshaped because a sequence of one frame has no sample.
    found, rows = np.reshape(boxes, (-1, 4)), np.reshape(features, (-1, len(FEATURES)))
    right = present & (ious(found, np.nan_to_num(clip.truth[1:])) >= RIGHT)
    took, numbers = np.array(accepted, np.bool_), np.full(int(known.sum()), number)
    return Samples(rows[known], right[known], present[known], took[known], numbers, np.zeros_like(numbers))


def joined(parts: Sequence[Samples]) -> Samples:
    """All samples in one. The parts number their sequences and data sets from 0; here the numbers are made unique."""
    columns = {name: [getattr(part, name) for part in parts] for name in _KINDS}
    for name in ("clip", "folder"):
        first = np.cumsum([0, *(int(numbers.max(initial=-1)) + 1 for numbers in columns[name])])
        columns[name] = [numbers + begin for numbers, begin in zip(columns[name], first, strict=False)]
    return _stacked(
        [Samples(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]
    )


def _stacked(parts: Sequence[Samples]) -> Samples:
    return Samples(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in _KINDS})


def save(samples: Samples, path: Path, network: str = "") -> None:
    """Write the samples to a NumPy archive, all or nothing. network: names the model and the weights.

    Raises UserError if it cannot be written.
    """
    columns = {name: getattr(samples, name) for name in _KINDS}
    with new_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, names=np.array(FEATURES), network=np.array(network), **columns)


def read(path: Path, network: str = "") -> Samples:
    """Read a file of `save`. Raises UserError for any other file, and if its features are not those of this version or
    its network is not `network`.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in ("names", *_KINDS)}
            theirs = str(archive["network"]) if "network" in archive else ""
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise UserError(f"{path} is not a file of samples that calibrate wrote") from None
    if network and theirs and network != theirs:
        raise UserError(
            f"{path} holds samples of another network or other weights ({theirs}, not {network}): track the clips"
            " again (--data)"
        )
    if tuple(found.pop("names").tolist()) != FEATURES:
        raise UserError(f"{path} has other features than this version computes: track the clips again (--data)")
    count = found["clip"].shape
    shapes = {name: (*count, len(FEATURES)) if name == "features" else count for name in _KINDS}
    fits = all(found[n].shape == shapes[n] and found[n].dtype.kind == kind for n, kind in _KINDS.items())
    lowest = min(int(found[name].min(initial=0)) for name in ("clip", "folder")) if fits else 0
    if not fits or len(count) != 1 or lowest < 0 or not np.isfinite(found["features"]).all():
        raise UserError(f"{path} is not a file of samples that calibrate wrote")
    return Samples(**found)
