"""What was seen at clips with known truth, gathered and kept."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sot_tracker.calibration import FEATURES
from sot_tracker.datasets import evaluation
from sot_tracker.errors import UserError
from sot_tracker.evaluate import samples

from clips import boxes, write_sequence


class Follows:
    """A tracker that is right until frame 3."""

    def init(self, image: Any, box: Any) -> None:
        self.index = 0

    def update(self, image: Any) -> Any:
        self.index += 1
        box = boxes(6)[self.index] if self.index < 3 else boxes(6)[0].scaled(0.1)
        self.state = SimpleNamespace(features=dict.fromkeys(FEATURES, float(self.index)))
        return SimpleNamespace(box=box, accepted=self.index != 2)


def test_samples_are_gathered_from_every_frame_of_which_the_truth_is_known(tmp_path: Any) -> None:
    write_sequence(tmp_path / "one", boxes(6))
    write_sequence(tmp_path / "two", [*boxes(6)[:5], None])
    done: list[str] = []
    found = samples.gather(
        Follows(),  # type: ignore[arg-type]
        evaluation.read(tmp_path).sequences,
        lambda clip: done.append(clip.name),
    )
    assert done == ["one", "two"]
    assert found.right.tolist() == [True, True, False, False, False] * 2
    assert found.present.tolist() == [True] * 9 + [False]
    assert found.accepted.tolist() == [True, False, True, True, True] * 2
    assert found.clip.tolist() == [0] * 5 + [1] * 5
    assert found.features[:, 0].tolist() == [1, 2, 3, 4, 5] * 2


def test_a_sequence_of_one_frame_has_no_samples(tmp_path: Any) -> None:
    write_sequence(tmp_path / "two", boxes(6))
    (clip,) = evaluation.read(tmp_path).sequences
    one = {name: getattr(clip, name)[:1] for name in ("frames", "truth", "visible", "known", "numbers")}
    found = samples.gather(Follows(), [dataclasses.replace(clip, **one), clip])  # type: ignore[arg-type]
    assert found.features.shape == (5, len(FEATURES))
    assert found.clip.tolist() == [1] * 5


def made(clips: list[int]) -> samples.Samples:
    """Samples at sequences of those numbers, unlike in every column."""
    rng, count = np.random.default_rng(len(clips)), len(clips)
    right, present, accepted = rng.uniform(size=(3, count)) < 0.5
    return samples.Samples(
        rng.normal(size=(count, len(FEATURES))), right, present, accepted, *np.array([clips, np.array(clips) // 2])
    )


def test_a_file_keeps_all(tmp_path: Any) -> None:
    given = made([0, 0, 1, 4])
    samples.save(given, tmp_path / "a.npz")
    found = samples.read(tmp_path / "a.npz")
    for field in dataclasses.fields(given):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(given, field.name))


def test_parts_number_their_own_sequences() -> None:
    first, second = made([0, 0, 1]), made([0, 1, 1, 2])
    found = samples.joined([first, second])
    assert found.clip.tolist() == [0, 0, 1, 2, 3, 3, 4]
    assert found.folder.tolist() == [0, 0, 0, 1, 1, 1, 2]
    np.testing.assert_array_equal(found.features, np.vstack([first.features, second.features]))
    np.testing.assert_array_equal(found.right, np.concatenate([first.right, second.right]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": np.array(["score"])}, "other features"),
        ({"right": np.zeros(3, np.bool_)}, "not a file of samples"),
        ({"right": np.zeros(4)}, "not a file of samples"),
        ({"features": np.zeros((4, 2))}, "not a file of samples"),
        ({"clip": np.zeros((4, 1), np.int64)}, "not a file of samples"),
        ({"clip": np.array([{}] * 4, object)}, "not a file of samples"),
        ({"clip": np.array([0, 0, -1, -1])}, "not a file of samples"),
        ({"features": np.full((4, len(FEATURES)), np.nan)}, "not a file of samples"),
        ({"present": None}, "not a file of samples"),
    ],
)
def test_other_archives_are_refused(tmp_path: Any, change: dict[str, Any], message: str) -> None:
    path, given = tmp_path / "a.npz", made([0, 0, 1, 1])
    columns = {"names": np.array(FEATURES), **{f.name: getattr(given, f.name) for f in dataclasses.fields(given)}}
    np.savez(path, **{name: value for name, value in {**columns, **change}.items() if value is not None})
    with pytest.raises(UserError, match=message):
        samples.read(path)


@pytest.mark.parametrize("content", [None, b"", b"luck", b"PK\x03\x04luck"])
def test_other_files_are_refused(tmp_path: Any, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match="there is no file" if content is None else "not a file of samples"):
        samples.read(tmp_path / "a.npz")
