"""Tiny data sets in the official layouts, with pictures that differ from frame to frame."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

SIZE = (96, 128)
"""Height and width of every picture."""


def picture(seed: int) -> np.ndarray:
    """A noisy background with one bright rectangle at `box(seed)`."""
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.integers(0, 160, (*SIZE, 3), np.uint8), (0, 0), 2)
    x, y, w, h = box(seed)
    image[y : y + h, x : x + w] = (40, 90, 250)
    image[y + 4 : y + h - 4, x + 4 : x + w - 4] = rng.integers(0, 255, (h - 8, w - 8, 3), np.uint8)
    return image


def box(seed: int) -> tuple[int, int, int, int]:
    return 20 + 3 * (seed % 10), 16 + 2 * (seed % 10), 32, 28


def write(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture(seed))


def rows(boxes) -> str:
    return "".join(",".join(f"{v:g}" for v in b) + "\n" for b in boxes)


def jsonl(root: Path, videos: int = 3, frames: int = 4) -> Path:
    lines = []
    for video in range(videos):
        for frame in range(frames):
            file = f"images/clip_{video}_{frame}.png"
            write(root / file, 10 * video + frame)
            objects = [{"id": 0, "box": box(10 * video + frame), "class": "thing"}]
            lines.append(
                {"file": file, "width": 128, "height": 96, "video": f"clip_{video}", "frame": frame, "objects": objects}
            )
    write(root / "images/back_0.png", 99)
    lines.append({"file": "images/back_0.png", "width": 128, "height": 96, "video": None, "frame": None, "objects": []})
    x, y, w, h = box(50)
    polygon = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    write(root / "images/still_0.png", 50)
    objects = [{"id": None, "box": box(50), "class": "thing", "mask": polygon}]
    lines.append(
        {"file": "images/still_0.png", "width": 128, "height": 96, "video": None, "frame": None, "objects": objects}
    )
    (root / "annotations.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return root


def got10k(root: Path) -> Path:
    folder = root / "train" / "GOT-10k_Train_000001"
    for i in range(5):
        write(folder / f"{i + 1:08d}.jpg", i)
    (folder / "groundtruth.txt").write_text(rows(box(i) for i in range(5)))
    (folder / "absence.label").write_text("0\n1\n0\n0\n0\n")
    (folder / "cover.label").write_text("8\n8\n0\n7\n8\n")
    return root


def lasot(root: Path) -> Path:
    folder = root / "cat" / "cat-1"
    for i in range(4):
        write(folder / "img" / f"{i + 1:08d}.jpg", i)
    (folder / "groundtruth.txt").write_text(rows(box(i) for i in range(4)))
    (folder / "full_occlusion.txt").write_text("0,1,0,0")
    (folder / "out_of_view.txt").write_text("0,0,0,1")
    return root


def trackingnet(root: Path) -> Path:
    for i in range(12):
        write(root / "TRAIN_0" / "frames" / "abc" / f"{i}.jpg", i)
    (root / "TRAIN_0" / "anno").mkdir(parents=True)
    (root / "TRAIN_0" / "anno" / "abc.txt").write_text(rows(box(i) for i in range(12)))
    return root


def coco(root: Path) -> Path:
    write(root / "train2017" / "000001.jpg", 0)
    x, y, w, h = box(0)
    polygon = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    annotations = [
        {"id": 7, "image_id": 1, "bbox": box(0), "iscrowd": 0, "segmentation": polygon},
        {
            "id": 8,
            "image_id": 1,
            "bbox": box(0),
            "iscrowd": 1,
            "segmentation": {"size": [96, 128], "counts": [96 * 128]},
        },
    ]
    images = [{"id": 1, "file_name": "000001.jpg", "width": 128, "height": 96}]
    (root / "annotations").mkdir(parents=True)
    listing = {"images": images, "annotations": annotations}
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(listing))
    return root


LAYOUTS = {"list": jsonl, "got10k": got10k, "lasot": lasot, "trackingnet": trackingnet, "coco": coco}
