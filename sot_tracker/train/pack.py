"""A cache as one small file, to carry it to a machine with an accelerator: pictures as WebP, masks as PNG, in a zip."""

from __future__ import annotations

import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from sot_tracker import cpus
from sot_tracker.atomic import new_file
from sot_tracker.errors import UserError
from sot_tracker.train.cache import Cache, open_cache

QUALITY = 60
"""WebP quality: about a fortieth of the bytes; what is lost is less than the blur and noise that training adds."""

AT_ONCE = 512
"""Pictures held in memory while they are decoded."""


def pack(cache: Cache, folder: Path, path: Path, quality: int = QUALITY) -> None:
    """Write the cache opened from `folder` into the file `path`, atomically."""
    with new_file(path) as beside, zipfile.ZipFile(beside, "w") as out:
        for name in ("meta.json", "index.npy"):
            out.write(folder / name, name, zipfile.ZIP_DEFLATED)
        for entry in range(len(cache.index)):
            picture = np.ascontiguousarray(cache.picture(entry))
            out.writestr(f"{entry}.webp", _encoded(".webp", picture[..., :3], [cv2.IMWRITE_WEBP_QUALITY, quality]))
            if picture.shape[2] == 4:
                out.writestr(
                    f"{entry}.png", _encoded(".png", np.where(picture[..., 3] > 127, 255, 0).astype(np.uint8), [])
                )


def _encoded(kind: str, picture: np.ndarray, options: list[int]) -> bytes:
    done, coded = cv2.imencode(kind, picture, options)
    if not done:
        raise UserError(f"this OpenCV cannot write {kind} pictures: install another build")
    return coded.tobytes()


def unpack(path: Path, folder: Path) -> Cache:
    """Make the cache `folder` from a packed file. Raises UserError if it cannot be read."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (
            zipfile.ZipFile(path) as packed,
            (folder / "pixels.u8").open("wb") as out,
            ThreadPoolExecutor(cpus.usable()) as pool,
        ):
            (folder / "index.npy").write_bytes(packed.read("index.npy"))
            entries = list(enumerate(np.load(folder / "index.npy")["channels"]))
            for start in range(0, len(entries), AT_ONCE):
                coded = [
                    (packed.read(f"{entry}.webp"), packed.read(f"{entry}.png") if channels == 4 else None)
                    for entry, channels in entries[start : start + AT_ONCE]
                ]
                for picture in pool.map(_picture, coded):
                    out.write(picture.tobytes())
            (folder / "meta.json").write_bytes(packed.read("meta.json"))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"packed data '{path}' cannot be read ({error}): pack it again") from None
    return open_cache(folder)


def _picture(coded: tuple[bytes, bytes | None]) -> np.ndarray:
    """A picture and, where there is one, its mask -> H x W x 3 or 4. OpenCV lets other threads run meanwhile."""
    picture, mask = _decoded(coded[0], cv2.IMREAD_COLOR), coded[1]
    return picture if mask is None else np.dstack([picture, _decoded(mask, cv2.IMREAD_GRAYSCALE)])


def _decoded(coded: bytes, flags: int) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(coded, np.uint8), flags)
    if picture is None:
        raise zipfile.BadZipFile("a picture in it is damaged")
    return picture
