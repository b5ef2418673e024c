"""Learning a calibration from samples whose truth is known."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import cv2
import numpy as np
import pytest

from sot_tracker.calibration import FEATURES
from sot_tracker.cli import main
from sot_tracker.datasets import evaluation
from sot_tracker.errors import UserError
from sot_tracker.evaluate import calibrating
from sot_tracker.evaluate import samples as samples_file
from sot_tracker.evaluate.samples import Samples
from sot_tracker.stats import calibration_error

from clips import boxes, write_sequence


def samples(count: int = 3000, clips: int = 20, seed: int = 0) -> Samples:
    """Boxes that are right with the probability 1 / (1 + exp(-(2 score - rival))); all other features are noise."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, len(FEATURES)))
    value = 2 * features[:, FEATURES.index("score")] - features[:, FEATURES.index("rival")]
    right = rng.uniform(size=count) < 1 / (1 + np.exp(-value))
    clip = np.sort(np.arange(count) % clips)
    return Samples(
        features, right, right | (rng.uniform(size=count) < 0.3), np.ones(count, np.bool_), clip, np.zeros_like(clip)
    )


def test_it_finds_what_tells_and_is_calibrated() -> None:
    given = samples()
    made, probability = calibrating.learn(given, FEATURES)
    quality = calibrating.quality(given, probability)
    weights = made.weights
    assert weights["score"] / weights["rival"] == pytest.approx(-2, abs=0.3)
    assert weights["score"] > 0
    assert max(abs(weights[name]) for name in FEATURES if name not in ("score", "rival")) < 0.25
    assert quality.error < 0.05
    assert 0.5 < quality.presence_auc < quality.right_auc
    fresh = samples(seed=1)
    reported = [made.probability(dict(zip(FEATURES, row, strict=True))) for row in fresh.features]
    assert calibration_error(np.array(reported), fresh.right) < 0.05


def test_the_curve_rises_and_is_never_sure() -> None:
    made, _ = calibrating.learn(samples(), ("score",))
    values, shares = zip(*made.curve, strict=True)
    assert list(values) == sorted(set(values))
    assert list(shares) == sorted(shares)
    assert 0 < shares[0] < 0.2 < 0.8 < shares[-1] < 1


def test_it_is_less_sure_where_one_kind_of_clips_says_little_of_another() -> None:
    """The same samples, given as three kinds of clips in which right boxes are unlike often, and as one kind."""
    rng, given = np.random.default_rng(1), samples(count=6000, clips=30)
    folder = given.clip // 10
    value = 2 * given.features[:, FEATURES.index("score")] + np.array([-2.5, 0, 2.5])[folder]
    mixed = dataclasses.replace(given, right=rng.uniform(size=6000) < 1 / (1 + np.exp(-value)))
    apart = dataclasses.replace(mixed, folder=folder)
    assert (calibrating.left_out(mixed), calibrating.left_out(apart)) == ("sequences", "data sets")
    at = {"score": 0.7}
    as_one, as_three = (calibrating.learn(of, ("score",))[0].probability(at) for of in (mixed, apart))
    assert 0.5 < as_three < as_one - 0.02


def test_long_sequences_weigh_no_more_than_short_ones() -> None:
    one = samples(400, clips=1)
    turned = dataclasses.replace(one, features=-one.features)  # of another kind, and nine times as many
    both = samples_file.joined([one, *[turned] * 9])
    clip = np.concatenate([np.arange(400) % 10, 10 + np.arange(3600) % 10])
    made, _ = calibrating.learn(dataclasses.replace(both, clip=clip), ("score",))
    assert abs(made.weights["score"]) < 0.3


@pytest.mark.parametrize(
    ("count", "clips", "right"),
    [(60, 6, None), (1000, 1, None), (1000, 10, True), (1000, 10, False)],
    ids=["few frames", "one sequence", "all right", "all wrong"],
)
def test_too_little_is_refused(count: int, clips: int, right: bool | None) -> None:
    given = samples(count, clips)
    if right is not None:
        given = dataclasses.replace(given, right=np.full(count, right))
    with pytest.raises(UserError, match="too few to calibrate"):
        calibrating.learn(given)


def states(probability: list[float], accepted: list[bool], present: list[bool]) -> list[bool]:
    """Whether TRACKING is said, of boxes that do not jump."""
    there, moved, count = np.array(present), np.array(accepted), len(probability)
    given = Samples(np.zeros((count, len(FEATURES))), there, there, moved, *np.zeros((2, count), np.int64))
    return [bool(said) for said in calibrating.tracking(given, np.array(probability))]


def test_tracking_is_said_as_the_tracker_would() -> None:
    said = states([0.9, 0.5, 0.2, 0.5, 0.7], [True] * 5, [True] * 5)
    assert said == [True, True, False, False, True]
    assert states([0.9, 0.9], [False, True], [True] * 2) == [False, True]


def test_each_sequence_begins_with_its_target() -> None:
    given = samples(4, clips=2)
    given = dataclasses.replace(given, features=np.zeros_like(given.features))
    assert calibrating.tracking(given, np.array([0.6, 0.1, 0.6, 0.6])).tolist() == [True, False, True, True]


@pytest.mark.parametrize(("lost", "expected"), [(0.0, False), (1.0, True)])
def test_a_jump_ends_tracking_but_where_the_target_was_lost(lost: float, expected: bool) -> None:
    given = samples(100, clips=1)
    features = np.zeros_like(given.features)
    features[:, FEATURES.index("jump")] = np.log1p(3.0)
    features[:, FEATURES.index("lost")] = lost
    assert bool(calibrating.tracking(dataclasses.replace(given, features=features), np.ones(100)).all()) is expected


def test_shares_are_of_frames_without_the_target_and_of_right_boxes() -> None:
    present = np.array([True, True, False, False, True])
    right = np.array([True, True, False, False, False])
    given = Samples(np.zeros((5, len(FEATURES))), right, present, np.ones(5, np.bool_), *np.zeros((2, 5), np.int64))
    found = calibrating.quality(given, np.array([0.9, 0.2, 0.9, 0.1, 0.9]))
    assert (found.right_tracking, found.false_tracking) == (0.5, 0.5)
    without = dataclasses.replace(given, present=np.ones(5, np.bool_))
    assert np.isnan(calibrating.quality(without, np.full(5, 0.9)).false_tracking)


def test_the_command_writes_into_the_model_folder(
    toy: Any, toy_folder: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    folder = tmp_path / "toy"
    shutil.copytree(toy_folder, folder)
    write_sequence(tmp_path / "data" / "one", boxes(4))
    monkeypatch.setattr(samples_file, "gather", lambda tracker, clips, done: samples())
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


def test_samples_are_kept_and_learnt_from_again(
    toy: Any, toy_folder: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sequence(tmp_path / "data" / "one", boxes(4))
    monkeypatch.setattr(samples_file, "gather", lambda tracker, clips, done: samples())
    kept, picture = tmp_path / "kept.npz", tmp_path / "diagram.png"
    given = ["calibrate", "--model", "toy", "--weights", str(toy_folder), "--dry-run"]
    assert main([*given, "--data", str(tmp_path / "data"), "--save-looks", str(kept)]) == 0
    first = capsys.readouterr().out
    assert main([*given, "--looks", str(kept), "--plot", str(picture)]) == 0
    assert capsys.readouterr().out == first
    drawn = cv2.imread(str(picture))
    assert drawn is not None
    assert drawn.shape == (480, 420, 3)
    assert main([*given, "--looks", str(kept), "--looks", str(kept)]) == 0
    assert "6000 frames of 40 sequences" in capsys.readouterr().out


def test_each_data_set_is_left_out_in_turn(
    toy: Any, toy_folder: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sequence(tmp_path / "data" / "one", boxes(4))
    monkeypatch.setattr(samples_file, "gather", lambda tracker, clips, done: samples())
    given = ["calibrate", "--model", "toy", "--weights", str(toy_folder), "--dry-run"]
    assert main([*given, *["--data", str(tmp_path / "data")] * 2]) == 0
    assert "6000 frames of 40 sequences" in (reported := capsys.readouterr().out)
    assert "on sequences left out" in reported
    assert main([*given, *["--data", str(tmp_path / "data")] * 3, "--save-looks", str(tmp_path / "kept.npz")]) == 0
    assert "on data sets left out" in capsys.readouterr().out
    assert np.bincount(samples_file.read(tmp_path / "kept.npz").folder).tolist() == [3000] * 3


def test_samples_of_another_network_are_refused(
    toy: Any, toy_folder: Any, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A calibration of other weights would be stored without a word."""
    samples_file.save(samples(), tmp_path / "other.npz", "lite 0123456789ab")
    given = ["calibrate", "--model", "toy", "--weights", str(toy_folder), "--looks", str(tmp_path / "other.npz")]
    before = (toy_folder / "manifest.json").read_bytes()
    assert main(given) == 2
    assert "holds samples of another network or other weights (lite 0123456789ab, not toy" in capsys.readouterr().err
    assert (toy_folder / "manifest.json").read_bytes() == before


def test_what_ships_is_not_replaced_by_default(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sot_tracker.manifest.Manifest.write", lambda *_: pytest.fail("the shipped manifest"))
    samples_file.save(samples(), tmp_path / "samples.npz")
    given = ["calibrate", "--model", "lite", "--looks", str(tmp_path / "samples.npz")]
    with monkeypatch.context() as dry:  # an installed package is often in a folder that only root can write to
        dry.setattr("tempfile.TemporaryFile", lambda **_: pytest.fail("a dry run needs no folder to write to"))
        assert main([*given, "--dry-run"]) == 0
    assert main(given) == 2
    assert "would replace the calibration that ships with lite" in capsys.readouterr().err


def test_nothing_to_learn_from(toy: Any, capsys: Any) -> None:
    assert main(["calibrate", "--model", "toy", "--weights", "random"]) == 2
    assert "give --data, or --looks" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_to_is_told_before_the_work(
    toy: Any, toy_folder: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(dir: Any) -> None:
        raise OSError(30, "Read-only file system")

    write_sequence(tmp_path / "data" / "one", boxes(4))
    monkeypatch.setattr(samples_file, "gather", lambda *_: pytest.fail("tracked"))
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert main(["calibrate", "--model", "toy", "--weights", str(toy_folder), "--data", str(tmp_path / "data")]) == 2
    assert f"folder {toy_folder} cannot be written to: Read-only file system" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "kcf"], "no network"),
        (["--features", "luck"], "--features luck: known are score"),
        (["--frames", "1"], "give 2 or more"),
        (["--weights", "random"], "export the weights first"),
        (["--max-search-rate", "5"], "unrecognized arguments: --max-search-rate"),  # had no effect
        (["--save-looks", "/dev/null/a.npz"], "--save-looks /dev/null/a.npz cannot be written: "),
        (["--plot", "/dev/null/a.png"], "--plot /dev/null/a.png cannot be written: "),
    ],
)
def test_what_cannot_be_calibrated(toy: Any, tmp_path: Any, capsys: Any, more: list[str], message: str) -> None:
    write_sequence(tmp_path / "one", boxes(4))
    given = ["calibrate", "--data", str(tmp_path), *(["--model", "toy", "--weights", "random"])]
    assert main([*given, *more]) == 2
    assert message in capsys.readouterr().err
