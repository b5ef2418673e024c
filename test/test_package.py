"""The package as a Python user meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sot_tracker
from sot_tracker import Policy, UserError
from sot_tracker.opencv import OpenCVTracker

IMAGE = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)


def test_python_dash_m_is_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "sot_tracker", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: sot-tracker")


@pytest.mark.parametrize(("image", "box"), [(None, (30, 30, 24, 24)), (IMAGE, None), ("a.png", (30, 30, 24, 24))])
def test_what_is_no_picture_or_no_box_gets_one_line(image: object, box: object) -> None:
    with pytest.raises(UserError, match=r"frame is|box None is not") as error:
        sot_tracker.load("kcf").init(image, box)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("stamp", [0.5, "1", np.float64(3.0), object()])
@pytest.mark.parametrize("realtime", [False, True])
@pytest.mark.parametrize("model", ["kcf", "lite"])
def test_a_stamp_in_other_units_is_refused(model: str, realtime: bool, stamp: Any) -> None:
    """Seconds taken for nanoseconds: time would stand still, and no target would ever be LOST."""
    pytest.importorskip("onnxruntime")
    tracker = sot_tracker.load(model, realtime=realtime, **({"threads": 1} if model == "lite" else {}))
    with pytest.raises(UserError, match="nanoseconds"):
        tracker.init(IMAGE, (30, 30, 24, 24), stamp)
    tracker.init(IMAGE, (30, 30, 24, 24), np.int64(1))
    with pytest.raises(UserError, match="nanoseconds"):
        tracker.update(IMAGE, stamp)
    assert tracker.update(IMAGE, 2).score > 0


def test_type_checkers_of_users_see_the_types() -> None:
    """PEP 561: without this file, listed among the package's data, mypy takes everything here for Any."""
    assert (Path(sot_tracker.__file__).parent / "py.typed").is_file()
    settings = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert '"sot_tracker" = ["py.typed"]' in settings
    # colcon installs it beside the generated `sot_tracker.msg`, whose names mypy then refuses: "does not export".
    assert 'PATTERN "py.typed" EXCLUDE' in (Path(__file__).parents[1] / "CMakeLists.txt").read_text()


def test_a_tracker_shows_what_it_is_and_where() -> None:
    tracker = OpenCVTracker("kcf")
    assert repr(tracker).startswith("<kcf without a target: OpenCV ")
    tracker.init(IMAGE, (30, 30, 24, 24))
    assert repr(tracker).startswith("<kcf at (30, 30, 24, 24): OpenCV ")


def test_the_estimate_of_init_is_the_given_box() -> None:
    estimate = OpenCVTracker("kcf").init(IMAGE, (30, 30, 24, 24))
    assert (estimate.box.xywh, estimate.state) == ((30, 30, 24, 24), sot_tracker.State.TRACKING)


def test_info_says_what_runs() -> None:
    info = OpenCVTracker("kcf").info
    assert (info.name, info.engine, info.device, info.can_recenter) == ("kcf", "opencv", "cpu", False)
    with pytest.raises(UserError, match="kcf cannot be moved"):
        OpenCVTracker("kcf").recenter((1, 2, 3, 4))


@pytest.mark.parametrize(
    "bad", [{"lost_threshold": 1.5}, {"reacquire_positions": -1}, {"init_size_correction": 2}, {"size_smoothing": 0}]
)
def test_a_policy_out_of_range_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(bad))):
        Policy(**bad)  # type: ignore[arg-type]
