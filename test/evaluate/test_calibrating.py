"""Learning a calibration from looks whose truth is known."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from sot_tracker.calibration import FEATURES
from sot_tracker.cli import main
from sot_tracker.datasets import evaluation
from sot_tracker.errors import UserError
from sot_tracker.evaluate import calibrating

from clips import boxes, write_sequence


def looks(count: int = 3000, clips: int = 20, seed: int = 0) -> calibrating.Looks:
    """Boxes that are right with the probability 1 / (1 + exp(-(2 score - rival))); all other features are noise."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, len(FEATURES)))
    value = 2 * features[:, FEATURES.index("score")] - features[:, FEATURES.index("rival")]
    right = rng.uniform(size=count) < 1 / (1 + np.exp(-value))
    return calibrating.Looks(features, right, right | (rng.uniform(size=count) < 0.3), np.arange(count) % clips)


def test_it_finds_what_tells_and_is_calibrated() -> None:
    made, quality = calibrating.learn(looks(), FEATURES)
    weights = made.weights
    assert weights["score"] == pytest.approx(2, abs=0.4)
    assert weights["rival"] == pytest.approx(-1, abs=0.3)
    assert max(abs(weights[name]) for name in FEATURES if name not in ("score", "rival")) < 0.25
    assert quality.error < 0.05
    assert 0.5 < quality.presence_auc < quality.right_auc
    fresh = looks(seed=1)
    told = [made.probability(dict(zip(FEATURES, row, strict=True))) for row in fresh.features]
    assert calibrating.calibration_error(np.array(told), fresh.right) < 0.05


def test_the_curve_rises_and_is_never_sure() -> None:
    made, _ = calibrating.learn(looks(), ("score",))
    values, shares = zip(*made.curve, strict=True)
    assert list(values) == sorted(set(values))
    assert list(shares) == sorted(shares)
    assert 0 < shares[0] < 0.2 < 0.8 < shares[-1] < 1


def test_long_sequences_weigh_no_more_than_short_ones() -> None:
    one = looks(400, clips=1)
    turned = dataclasses.replace(one, features=-one.features)  # of another kind, and nine times as many
    many = [np.concatenate([getattr(one, n), *[getattr(turned, n)] * 9]) for n in ("features", "right", "present")]
    clip = np.concatenate([np.arange(400) % 10, 10 + np.arange(3600) % 10])
    made, _ = calibrating.learn(calibrating.Looks(*many, clip), ("score",))
    assert abs(made.weights["score"]) < 0.3


@pytest.mark.parametrize(
    ("count", "clips", "right"),
    [(60, 6, None), (1000, 1, None), (1000, 10, True), (1000, 10, False)],
    ids=["few frames", "one sequence", "all right", "all wrong"],
)
def test_too_little_is_refused(count: int, clips: int, right: bool | None) -> None:
    given = looks(count, clips)
    if right is not None:
        given = dataclasses.replace(given, right=np.full(count, right))
    with pytest.raises(UserError, match="too few to calibrate"):
        calibrating.learn(given)


class Follows:
    """A tracker that is right until frame 3."""

    def init(self, image: Any, box: Any) -> None:
        self.index = 0

    def update(self, image: Any) -> Any:
        from types import SimpleNamespace

        self.index += 1
        box = boxes(6)[self.index] if self.index < 3 else boxes(6)[0].scaled(0.1)
        self.state = SimpleNamespace(features=dict.fromkeys(FEATURES, float(self.index)))
        return SimpleNamespace(box=box)


def test_looks_are_gathered_from_every_frame_of_which_the_truth_is_known(tmp_path: Any) -> None:
    write_sequence(tmp_path / "one", boxes(6))
    write_sequence(tmp_path / "two", [*boxes(6)[:5], None])
    done: list[str] = []
    found = calibrating.gather(
        Follows(),  # type: ignore[arg-type]
        evaluation.read(tmp_path).sequences,
        lambda clip: done.append(clip.name),
    )
    assert done == ["one", "two"]
    assert found.right.tolist() == [True, True, False, False, False] * 2
    assert found.present.tolist() == [True] * 9 + [False]
    assert found.clip.tolist() == [0] * 5 + [1] * 5
    assert found.features[:, 0].tolist() == [1, 2, 3, 4, 5] * 2


def test_the_command_writes_into_the_model_folder(
    toy: Any, toy_folder: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    folder = tmp_path / "toy"
    shutil.copytree(toy_folder, folder)
    write_sequence(tmp_path / "data" / "one", boxes(4))
    monkeypatch.setattr(calibrating, "gather", lambda tracker, clips, done: looks())
    given = ["calibrate", "--model", "toy", "--weights", str(folder), "--data", str(tmp_path / "data")]
    assert main([*given, "--dry-run"]) == 0
    assert "calibration" not in json.loads((folder / "manifest.json").read_text())
    assert main(given) == 0
    assert "calibration error" in capsys.readouterr().out
    assert set(json.loads((folder / "manifest.json").read_text())["calibration"]["weights"]) == set(calibrating.CHOSEN)
    from sot_tracker.loading import load

    tracker = load("toy", weights=str(folder))
    sequence = evaluation.read(tmp_path / "data").sequences[0]
    tracker.init(sequence.picture(0), sequence.first_box)
    assert 0 <= tracker.update(sequence.picture(1)).probability <= 1


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--model", "kcf"], "no network"),
        (["--features", "luck"], "--features luck: known are score"),
        (["--frames", "1"], "give 2 or more"),
        (["--weights", "random"], "export the weights first"),
    ],
)
def test_what_cannot_be_calibrated(toy: Any, tmp_path: Any, capsys: Any, more: list[str], told: str) -> None:
    write_sequence(tmp_path / "one", boxes(4))
    given = ["calibrate", "--data", str(tmp_path), *(["--model", "toy", "--weights", "random"])]
    assert main([*given, *more]) == 2
    assert told in capsys.readouterr().err
