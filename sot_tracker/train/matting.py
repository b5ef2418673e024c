"""Object masks by a salient-object network, such as IS-Net (Qin et al. 2022), from an ONNX file: `--matting FILE`.

Its edges are those of the object where GrabCut's are those of a colour: cut-outs show whole objects.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box
from sot_tracker.datasets.records import XYWH, Mask
from sot_tracker.engines import onnx
from sot_tracker.errors import UserError

Alpha = npt.NDArray[np.uint8]
"""H x W, 0 outside the object to 255 inside."""

CONTEXT = 1.1
"""An object with a known box is searched for in a square around it, whose half side is this many of its longer
sides."""
AREA = (0.015, 0.65)
"""Shares of the picture between which an object without a known box is accepted."""
SOFT = 0.2
"""A mask with a larger share of half-covered pixels is a guess."""
AGREEMENT = 0.6
"""IoU that a mask's bounds must reach with a known box."""


def cut(image: np.ndarray, box: XYWH | None, model: Path) -> Mask | None:
    """The object inside a box, or the one that stands out in a picture without; None where none is found surely.

    image: H x W x 3, BGR. model: float input 1 x 3 x S x S, RGB as (v - 128) / 256; first output 1 x 1 x S x S in 0..1.
    Raises UserError for a file that is no such network.
    """
    if box is None:
        found = [part for part in _parts(_alpha(image, model)) if _stands_out(part)]
        return max(found, key=np.count_nonzero, default=None)
    height, width = image.shape[:2]
    x, y, w, h = box
    half = CONTEXT * max(w, h)
    x0, y0 = max(int(x + w / 2 - half), 0), max(int(y + h / 2 - half), 0)
    x1, y1 = min(int(x + w / 2 + half), width), min(int(y + h / 2 + half), height)
    alpha = np.zeros((height, width), np.uint8)
    alpha[y0:y1, x0:x1] = _alpha(image[y0:y1, x0:x1], model)
    rated = [(Box(*cv2.boundingRect(part)).iou(Box(*box)), part) for part in _parts(alpha)]
    agreement, best = max(rated, key=lambda item: item[0], default=(0.0, None))
    return best if agreement > AGREEMENT else None


def _parts(alpha: Alpha) -> list[Mask]:
    """Connected objects with a sure edge; pieces a few hundredths of their size apart, as behind a twig, are one."""
    binary = cv2.morphologyEx((alpha > 127).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    reach = 2 * round(0.03 * np.sqrt(binary.sum())) + 1
    joined = cv2.dilate(binary, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    count, labels = cv2.connectedComponents(joined)
    parts: list[Mask] = []
    for label in range(1, count):
        own = labels == label
        part = np.where(own & (binary > 0), 255, 0).astype(np.uint8)
        soft = np.count_nonzero(own & (alpha > 40) & (alpha < 215))
        if soft <= SOFT * np.count_nonzero(part):
            parts.append(part)
    return parts


def _stands_out(part: Mask) -> bool:
    """Of a plausible size, and cut by one border of the picture at most."""
    height, width = part.shape
    x, y, w, h = cv2.boundingRect(part)
    cuts = (x <= 1) + (y <= 1) + (x + w >= width - 1) + (y + h >= height - 1)
    return bool(cuts <= 1 and AREA[0] <= np.count_nonzero(part) / part.size <= AREA[1])


def _alpha(image: np.ndarray, model: Path) -> Alpha:
    session = open_network(model)
    size = session.get_inputs()[0].shape[2]
    patch = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)[..., ::-1].astype(np.float32)
    values = ((patch - 128) / 256).transpose(2, 0, 1)[None]
    found = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(values)})[0][0, 0]
    alpha = cv2.resize(found.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_AREA)
    out: Alpha = (alpha.clip(0, 1) * 255).astype(np.uint8)
    return out


@lru_cache(1)
def open_network(model: Path) -> Any:
    """One thread: the cache is built by a process per core. Raises UserError for a file that is no such network."""
    if not model.is_file():
        raise UserError(f"--matting '{model}' does not exist: give the ONNX file of a network like IS-Net")
    session = onnx.open_session(model, "cpu", 1, {})
    shapes = [given.shape for given in session.get_inputs()]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] != 3 or not isinstance(shapes[0][2], int):
        raise UserError(
            f"--matting '{model}' takes {shapes}, not one 1 x 3 x S x S picture: give a network like IS-Net"
        )
    return session
