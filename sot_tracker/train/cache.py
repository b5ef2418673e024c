"""The training cache: a memory-mapped file of uint8 pictures, cropped around their objects, and an index.

Decoding JPEG or WebP takes longer than a whole training step of a small network, so every picture is decoded once. The
cache stores a square of CONTEXT times the object's size around it, which is enough for nearly all crops (a search crop
of factor 4 with the published jitter needs at most 9). The square is reduced so that the object's size is at most
TARGET pixels (it is 64 in a search crop of 256 pixels).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from sot_tracker import cpus
from sot_tracker.atomic import write_text
from sot_tracker.datasets.records import XYWH, Cutter, Frame, Track
from sot_tracker.errors import UserError
from sot_tracker.stream.pictures import read_picture
from sot_tracker.train import masks
from sot_tracker.workers import end_with_parent

CONTEXT = 8.0
TARGET = 80.0
BACKGROUND = 448
"""Longer side, in pixels, to which pictures without annotation are reduced; they are not cropped."""
MIN_SIDE = 6.0
"""Boxes with a shorter side, in pixels of the picture, are left out."""
CHUNK = 32
"""Number of frames given to a process at once."""
VERSION = 1

ENTRY = np.dtype(
    [
        ("offset", "<i8"),
        ("height", "<i4"),
        ("width", "<i4"),
        ("channels", "<i4"),  # 3, or 4 where the last is the object's mask
        ("box", "<f4", 4),  # x, y, w, h in pixels of the stored crop; NaN without annotation
        ("number", "<i4"),
        ("track", "<i4"),
    ]
)


@dataclass(frozen=True)
class Cache:
    """An opened cache. The entries of a track are consecutive, ordered by frame number.

    tracks: source, name and group per track. ranges: tracks x 2, first entry and one past the last.
    data: the data sets that it was made from, as given to `build`; empty if unknown.
    """

    pixels: np.ndarray
    index: np.ndarray
    tracks: list[dict[str, str]]
    ranges: np.ndarray
    skipped: dict[str, int]
    data: tuple[str, ...] = ()

    def picture(self, entry: int) -> np.ndarray:
        """H x W x 3 BGR, or H x W x 4 with the mask last; a view of the file."""
        row = self.index[entry]
        shape = (int(row["height"]), int(row["width"]), int(row["channels"]))
        start = int(row["offset"])
        return self.pixels[start : start + shape[0] * shape[1] * shape[2]].reshape(shape)

    def box(self, entry: int) -> XYWH:
        """x, y, w, h in pixels of the stored crop; NaN without annotation."""
        x, y, w, h = self.index["box"][entry].tolist()
        return x, y, w, h


def open_cache(folder: Path) -> Cache:
    """Open a cache. Raises UserError if the folder contains no complete cache of this version, or a damaged one."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        if meta["version"] != VERSION:
            raise UserError(
                f"cache '{folder}' has version {meta['version']}, not {VERSION}: remove the folder and rebuild"
            )
        index = np.load(folder / "index.npy")
        counts = np.bincount(index["track"], minlength=len(meta["tracks"]))
        pixels = np.memmap(folder / "pixels.u8", np.uint8, "r")
        if index.dtype != ENTRY or pixels.size < _bytes_of(index):
            raise ValueError("pictures are missing")
        data, skipped = tuple(meta.get("data", ())), dict(meta["skipped"])
    except FileNotFoundError as error:
        if Path(error.filename).name == "meta.json":
            raise UserError(f"no finished cache in '{folder}': build it with `sot-tracker train --data DIR`") from None
        raise UserError(f"cache '{folder}' lacks '{error.filename}': remove the folder and rebuild") from None
    except (ValueError, LookupError, TypeError, EOFError) as error:
        raise UserError(f"cache '{folder}' is damaged ({error}): remove the folder and rebuild") from None
    ends = np.cumsum(counts)
    return Cache(pixels, index, meta["tracks"], np.stack([ends - counts, ends], 1), skipped, data)


def _bytes_of(index: np.ndarray) -> int:
    """Required size of the file of pictures, bytes."""
    last = index[-1]
    return int(last["offset"]) + int(last["height"]) * int(last["width"]) * int(last["channels"])


def build(
    tracks: list[Track],
    folder: Path,
    jobs: int = 0,
    cutter: Cutter | None = masks.grabcut,
    data: Sequence[str] = (),
) -> Cache:
    """Decode, crop and store every frame of `tracks`, then open the result. data: stored with it, see `Cache`.

    Unreadable pictures and too small boxes are skipped and counted in `skipped`. For still pictures without a mask,
    `cutter` makes one if it finds an object, so that the object can be pasted elsewhere.
    """
    work = [(number, track, frame) for number, track in enumerate(tracks) for frame in track.frames]
    work.sort(key=lambda item: (item[0], item[2].number))
    skipped: Counter[str] = Counter()
    rows: list[tuple[Any, ...]] = []
    offset = 0
    with (
        _writing(folder),
        (folder / "pixels.u8").open("wb") as out,
        _mapper(jobs or min(cpus.usable(), 1 + len(work) // CHUNK)) as mapped,
    ):
        arguments = ((frame, cutter if len(track.frames) < 5 else None) for _, track, frame in work)
        results = mapped(_crops, *zip(*arguments, strict=True))
        for (number, _, frame), found in zip(work, tqdm(results, "cache", len(work), unit="frame"), strict=True):
            if isinstance(found, str):
                skipped[found] += 1
                continue
            pixels, box = found
            out.write(pixels.tobytes())
            rows.append((offset, *pixels.shape, box, frame.number, number))
            offset += pixels.size
    if not rows:
        raise UserError(f"no usable picture in the data: {dict(skipped)}")
    with _writing(folder):
        _finish(folder, rows, tracks, skipped, data)
    return open_cache(folder)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Create the folder, and convert OSErrors of the block to UserError, for example for a full disk."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(f"cannot write the cache '{folder}': {error.strerror or error}") from None


@contextmanager
def _mapper(jobs: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """`map` over this many processes. They are spawned, since forking a process with threads can hang."""
    if jobs == 1:
        yield map
        return
    with ProcessPoolExecutor(jobs, get_context("spawn"), end_with_parent) as pool:
        yield partial(pool.map, chunksize=CHUNK)


def _finish(
    folder: Path, rows: list[tuple[Any, ...]], tracks: list[Track], skipped: Counter[str], data: Sequence[str]
) -> None:
    """Write the index, then the small file that marks the cache as complete."""
    np.save(folder / "index.npy", np.array(rows, ENTRY))
    names = [{"source": t.source, "name": t.name, "group": t.group} for t in tracks]
    meta = {"version": VERSION, "data": list(data), "skipped": dict(skipped), "tracks": names}
    write_text(folder / "meta.json", json.dumps(meta))


def _crops(frame: Frame, cutter: Cutter | None) -> tuple[np.ndarray, tuple[float, ...]] | str:
    """The crop to store and the box in it, or the reason why there is none."""
    cv2.setNumThreads(1)
    try:
        image = read_picture(frame.path)
    except UserError:
        return "unreadable picture"
    if frame.box is None:
        return _background(image, cutter)
    box = _clipped(frame.box, image.shape[1], image.shape[0])
    if box is None:
        return "degenerate box"
    try:
        mask = frame.mask() if frame.mask else cutter(image, box) if cutter and min(box[2:]) >= 24 else None
    except (ValueError, KeyError, TypeError):
        return "unreadable mask"
    if mask is not None:
        if mask.shape != image.shape[:2]:
            return "mask of another size"
        image = np.dstack([image, mask])
    x0, y0, x1, y1 = context_window(box, image.shape[1], image.shape[0])
    scale = min(1.0, TARGET / np.sqrt(box[2] * box[3]))
    crop = _reduced(image[y0:y1, x0:x1], scale)
    sx, sy = crop.shape[1] / (x1 - x0), crop.shape[0] / (y1 - y0)
    return crop, ((box[0] - x0) * sx, (box[1] - y0) * sy, box[2] * sx, box[3] * sy)


def _background(image: np.ndarray, cutter: Cutter | None) -> tuple[np.ndarray, tuple[float, ...]]:
    image = _reduced(image, min(1.0, BACKGROUND / max(image.shape[:2])))
    mask = cutter(image, None) if cutter else None
    if mask is None:
        return image, (np.nan,) * 4
    return np.dstack([image, mask]), tuple(float(v) for v in cv2.boundingRect(mask))


def _clipped(box: XYWH, width: int, height: int) -> XYWH | None:
    """The part of the box inside the picture; None unless it is finite and no side is shorter than MIN_SIDE."""
    if not np.isfinite(box).all():
        return None
    x0, y0 = max(box[0], 0.0), max(box[1], 0.0)
    w, h = min(box[0] + box[2], width) - x0, min(box[1] + box[3], height) - y0
    return (x0, y0, w, h) if min(w, h) >= MIN_SIDE else None


def context_window(box: XYWH, width: int, height: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the CONTEXT square around the box, cut at the picture's border."""
    half = 0.5 * CONTEXT * np.sqrt(box[2] * box[3])
    cx, cy = box[0] + 0.5 * box[2], box[1] + 0.5 * box[3]
    x0, y0 = max(int(cx - half), 0), max(int(cy - half), 0)
    return x0, y0, min(int(np.ceil(cx + half)), width), min(int(np.ceil(cy + half)), height)


def _reduced(image: np.ndarray, scale: float) -> np.ndarray:
    if scale >= 1.0:
        return np.ascontiguousarray(image)
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
