"""Small generated clips with exact truth, for tests that need frames and nothing else."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box

SIZE = (160, 120)
SIDE = 24


def boxes(count: int, start: tuple[int, int] = (20, 40), step: tuple[int, int] = (3, 1)) -> list[Box]:
    return [Box(start[0] + i * step[0], start[1] + i * step[1], SIDE, SIDE) for i in range(count)]


def frame(box: Box | None, seed: int = 0) -> npt.NDArray[np.uint8]:
    """A blurred random scene with a blurred random square at that box."""
    rng = np.random.default_rng(seed)
    scene = cv2.resize(rng.integers(0, 120, (15, 20, 3), dtype=np.uint8), SIZE, interpolation=cv2.INTER_CUBIC)
    target = cv2.resize(rng.integers(60, 255, (6, 6, 3), dtype=np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    if box is not None:
        x, y = round(box.x), round(box.y)
        scene[y : y + SIDE, x : x + SIDE] = target
    return scene


def write_sequence(folder: Path, truth: list[Box | None], separator: str = ",", name: str = "groundtruth.txt") -> Path:
    """Frames 1.png ... and a truth file; None is a frame without the target, NaN in the file."""
    folder.mkdir(parents=True)
    for i, box in enumerate(truth, 1):
        cv2.imwrite(str(folder / f"{i}.png"), frame(box))
    rows = [separator.join("nan" if box is None else f"{v:g}" for v in (box or Box(0, 0, 0, 0)).xywh) for box in truth]
    (folder / name).write_text("\n".join(rows) + "\n")
    return folder


def write_video(path: Path, truth: list[Box]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, SIZE)
    for box in truth:
        writer.write(frame(box))
    writer.release()
    return path
