"""Pictures that clips are made of: scenes (H x W x 3 BGR) and object cut-outs (H x W x 4, BGR and alpha).

`builtin_pictures` reads photographs that lie inside scikit-image's wheel; nothing is downloaded and nothing of them is
copied into this project. Their terms, as scikit-image states them (`skimage.data`):

| picture | terms |
|---|---|
| astronaut (person, shuttle) | NASA, public domain |
| rocket | SpaceX, public domain |
| chelsea (cat), coffee (cup, saucer) | CC0 by the photographers (S. van der Walt, R. Michetti) |
| camera, grass, gravel, brick | CC0 |
| coins | Brooklyn Museum, no known restrictions |
| motorcycle | Middlebury stereo 2014 (Scharstein et al., GCPR 2014), published for research; no licence stated |
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.errors import MissingPackage, UserError
from sot_tracker.synth.outlines import OUTLINES

Picture = npt.NDArray[np.uint8]
"""H x W x 3 BGR (a scene) or H x W x 4 BGR and alpha, not premultiplied (an object)."""

SCENES = (
    "motorcycle_right.png",
    "rocket.jpg",
    "coffee.png",
    "astronaut.png",
    "camera.png",
    "gravel.png",
    "grass.png",
    "brick.png",
)
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def builtin_pictures() -> list[Picture]:
    """Eight objects (the keys of `outlines.OUTLINES`, in that order) and the photographs of `SCENES`.

    Raises UserError naming scikit-image where it, or one of its pictures, is missing.
    """
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise MissingPackage("scikit-image", "the built-in generated video", "pip install scikit-image")
    folder = Path(found.submodule_search_locations[0]) / "data"
    objects = [cut_out(_read(folder / file), contours) for file, contours in OUTLINES.values()]
    return objects + [_read(folder / file) for file in SCENES]


def procedural_pictures(seed: int, objects: int = 6, scenes: int = 3) -> list[Picture]:
    """Textured shapes and noise scenes without any photograph, alike on every machine: for tests.

    Objects are about 160 px, scenes 480 x 640; every one has its own colours, grain and outline.
    """
    rng = np.random.default_rng([seed, 1])
    shapes = [irregular_cut_out(_texture(rng, 200, 200, contrast=70), rng) for _ in range(objects)]
    return shapes + [_texture(rng, 480, 640, contrast=35) for _ in range(scenes)]


def folder_pictures(folder: Path) -> list[Picture]:
    """All pictures of a folder, sorted by name; those of 8 bits with an alpha channel are objects, the others scenes.

    Raises UserError if there is none or if one cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"'{folder}' is not a folder: give one with pictures for the generated video")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise UserError(f"folder '{folder}' holds no picture ({', '.join(sorted(_SUFFIXES))})")
    return [_read(path, alpha=True) for path in files]


def cut_out(picture: Picture, contours: Sequence[Sequence[int]]) -> Picture:
    """The inside of the contours (flat x, y pairs, even-odd rule) as an object, cropped, with a soft edge."""
    filled = np.zeros(picture.shape[:2], np.uint8)
    points = [np.asarray(flat, np.int32).reshape(-1, 2) for flat in contours]
    cv2.fillPoly(filled, points, 255, cv2.LINE_AA)
    # One pixel less, then a blur: the rim of an outline still shows the old background.
    mask = cv2.GaussianBlur(cv2.erode(filled, np.ones((3, 3), np.uint8)), (0, 0), 0.9)
    x, y, w, h = cv2.boundingRect(np.concatenate(points))
    x, y = max(x, 0), max(y, 0)
    return np.dstack([picture, mask])[y : y + h, x : x + w].astype(np.uint8)


def irregular_cut_out(picture: Picture, rng: np.random.Generator) -> Picture:
    """A soft-edged random blob of a picture, for pictures that come without a mask of their objects."""
    height, width = picture.shape[:2]
    side = rng.uniform(0.4, 0.8) * min(height, width)
    aspect = np.exp(rng.uniform(-0.4, 0.4))
    w, h = min(int(side * aspect), width), min(int(side / aspect), height)
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    angle = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    radius = np.ones_like(angle)
    for k in range(2, 7):
        radius += rng.uniform(-0.22, 0.22) / k * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    radius /= radius.max()
    sub_pixel = 4
    outline = np.stack([w / 2 + (w / 2 - 3) * radius * np.cos(angle), h / 2 + (h / 2 - 3) * radius * np.sin(angle)], 1)
    filled = np.zeros((h, w), np.uint8)
    cv2.fillPoly(filled, [np.rint(outline * 2**sub_pixel).astype(np.int32)], 255, cv2.LINE_AA, sub_pixel)
    mask = cv2.GaussianBlur(filled, (0, 0), max(0.8, 0.006 * (w + h)))
    return np.dstack([picture[y : y + h, x : x + w, :3], mask]).astype(np.uint8)


def pillar(picture: Picture, width: int, height: int, rng: np.random.Generator) -> Picture:
    """A round column of that size, covered with a strip of the picture: darker to its sides, soft edges."""
    source_h, source_w = picture.shape[:2]
    h, w = max(8, source_h // 5), min(source_w, max(8, source_h * width // height))
    y, x = int(rng.integers(0, source_h - h + 1)), int(rng.integers(0, source_w - w + 1))
    # A small patch, mirrored on and on: no whole object of the picture stays recognisable.
    patch = cv2.flip(picture[y : y + h, x : x + w, :3], 0)
    strip = cv2.resize(np.concatenate([picture[y : y + h, x : x + w, :3], patch] * 3), (width, height))
    across = np.linspace(-1, 1, width)
    light = np.sqrt(1 - 0.85 * np.clip(across + rng.uniform(-0.3, 0.3), -1, 1) ** 2)
    alpha = np.clip((1 - np.abs(across)) * width / 3, 0, 1) * 255
    shaded = strip * light[None, :, None] * rng.uniform(0.6, 1.0)
    return np.asarray(np.dstack([shaded, np.broadcast_to(alpha, (height, width))]).round(), np.uint8)


def _read(path: Path, alpha: bool = False) -> Picture:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if alpha else None
    if picture is None or picture.shape[2:] != (4,) or picture.dtype != np.uint8:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise UserError(f"picture '{path}' is missing or cannot be read")
    return np.asarray(picture, np.uint8)


def _texture(rng: np.random.Generator, height: int, width: int, contrast: float) -> Picture:
    """Coloured noise of several scales around a random colour."""
    total = np.tile(rng.uniform(60, 195, 3), (height, width, 1)).astype(np.float32)
    for cells in (4, 10, 24, 60):
        grid = rng.normal(0, 1, (cells, max(1, cells * width // height), 3)).astype(np.float32)
        grid = 0.6 * grid + 0.4 * grid.mean(2, keepdims=True)
        total += contrast * (4 / cells) ** 0.35 * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(total, 0, 255), np.uint8)
