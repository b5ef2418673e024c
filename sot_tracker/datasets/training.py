"""Reads data sets for training: tracks of the frames in which the target is visible."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from sot_tracker.datasets.find import find
from sot_tracker.datasets.records import Frame, Refused, Sequence, Track
from sot_tracker.errors import UserError

_LISTED = 3


def read(root: Path, source: str = "") -> list[Track]:
    """All tracks of a data folder. source: name for weights by source, by default that of the layout.

    Raises UserError if the folder has no known layout or no track, or if any of its sequences cannot be read, so that
    nothing is left out of a training unnoticed.
    """
    tracks, refused = [], []
    for found in find(root):
        if isinstance(found, Refused):
            refused.append(found)
        elif found.reader is not None:
            refused.append(Refused(found.name, UserError(f"'{found.name}' is a recording, which training cannot read")))
        elif track := track_of(found):
            tracks.append(dataclasses.replace(track, source=source) if source else track)
    if refused:
        listed = "; ".join(str(item.error) for item in refused[:_LISTED]) + (" ..." if len(refused) > _LISTED else "")
        raise UserError(f"{len(refused)} sequences of '{root}' cannot be read: {listed}. Repair or remove them")
    if not tracks:
        raise UserError(f"data folder '{root}' holds no picture to train on: check that it is complete")
    return tracks


def track_of(sequence: Sequence) -> Track | None:
    """The frames in which the target is visible, or all frames, without a box, if nothing is annotated; None without
    frames.
    """
    background = not sequence.known.any()
    masks = sequence.masks or (None,) * len(sequence.frames)
    frames = tuple(
        Frame(path, number, None if background else (box[0], box[1], box[2], box[3]), mask)
        for path, number, box, seen, mask in zip(
            sequence.frames,
            sequence.numbers.tolist(),
            sequence.truth.tolist(),
            sequence.visible.tolist(),
            masks,
            strict=True,
        )
        if seen or background
    )
    return Track(sequence.source, sequence.own_name, sequence.group, frames) if frames else None
