"""The tool that draws frames of a sequence side by side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from clips import boxes, write_sequence

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "draw_strip.py"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_sequence(tmp_path / "clip", [*boxes(12), None])


def run(clip: Path, *more: str) -> subprocess.CompletedProcess[str]:
    out = str(clip.parent / "strip.jpg")
    command = [sys.executable, str(SCRIPT), "--data", str(clip), "--model", "kcf", "--out", out, *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("more", "size"),
    [(("--frames", "2,4,5,9"), (480, 960)), (("--frames", "3", "--width", "80"), (60, 240))],
)
def test_three_in_a_row(clip: Path, more: tuple[str, ...], size: tuple[int, int]) -> None:
    done = run(clip, *more)
    assert done.returncode == 0, done.stderr
    drawn = cv2.imread(str(clip.parent / "strip.jpg"))
    assert drawn is not None
    assert drawn.shape[:2] == size


def test_a_pan_moves_by_half_of_the_window(tmp_path: Path) -> None:
    """The target's place in the window before and after, told by its white box of truth."""
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        from draw_strip import Pan  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    from sot_tracker.datasets import evaluation

    write_sequence(tmp_path / "clip", boxes(12, start=(70, 40), step=(0, 0)))
    (sequence,) = evaluation.read(tmp_path / "clip").sequences
    pan = Pan(sequence, at=3)
    assert pan.picture(0).shape == (60, 80, 3)
    middles = [pan.box(index).center[0] for index in (0, 3, 8, 11)]
    assert middles == pytest.approx([60, 60, 20, 20], abs=1)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--frames", "0"), "give numbers from 1 to 12"),
        (("--frames", "13"), "give numbers from 1 to 12"),
        (("--frames", "one"), "invalid literal"),
        (("--frames", "12", "--start", "4", "--pan", "30"), "--pan 30"),
        (("--frames", "3", "--start", "-1"), "--start -1"),
    ],
)
def test_what_cannot_be_drawn(clip: Path, more: tuple[str, ...], message: str) -> None:
    done = run(clip, *more)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
