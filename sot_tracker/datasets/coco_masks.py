"""Object masks in COCO's notations: run-length codes, plain and compressed, and polygons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sot_tracker.datasets.records import Mask
from sot_tracker.errors import MissingPackage


def read(annotation: Any, width: int, height: int) -> Mask:
    """H x W, 0 and 255, of an annotation in one of COCO's notations.

    annotation: polygons, each a flat list x1, y1, x2, y2, ..., of a picture of that width and height; or a run-length
        code with its own "size" [h, w] and "counts", a list or COCO's compressed string.

    Raises ValueError for anything else, MissingPackage without pycocotools.
    """
    try:
        from pycocotools import mask as coco  # here, since data without masks does without it
    except ModuleNotFoundError:
        raise MissingPackage("pycocotools", "reading masks", "pip install 'sot_tracker[train]'") from None
    if isinstance(annotation, Mapping):
        height, width = annotation["size"]
        code = {"size": [height, width], "counts": annotation["counts"]}
        if isinstance(code["counts"], list):
            if sum(code["counts"]) != height * width:  # pycocotools would take it
                raise ValueError(f"run lengths cover {sum(code['counts'])} of {height * width} pixels")
            code = coco.frPyObjects(code, height, width)
    else:
        if not annotation or any(len(polygon) < 6 or len(polygon) % 2 for polygon in annotation):
            raise ValueError("a polygon has three points or more, as x1, y1, x2, y2, ...")
        code = coco.merge(coco.frPyObjects(annotation, height, width))
    mask: Mask = np.ascontiguousarray(coco.decode(code)) * np.uint8(255)
    return mask
