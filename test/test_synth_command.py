"""`sot-tracker synth` as called, and what it refuses."""

import numpy as np
import pytest

from sot_tracker.cli import Parser
from sot_tracker.commands import synth
from sot_tracker.errors import UserError


def call(*words: str) -> int:
    parser = Parser()
    synth.add_arguments(parser)
    return synth.run(parser.parse_args(words))


@pytest.mark.parametrize(("clips", "message"), [(1, "1 clip, 2 frames, in "), (2, "2 clips, 4 frames, in ")])
def test_tells_what_it_wrote(clips, message, tmp_path, capsys):
    assert call("--out", str(tmp_path), *f"--clips {clips} --frames 2 --size 96x64 --pictures procedural".split()) == 0
    out, err = capsys.readouterr()
    assert out.startswith(message)
    assert "\r" not in err, "no bar in a log"


def test_says_which_older_clips_it_replaced(tmp_path, capsys):
    words = ["--frames", "2", "--size", "96x64", "--pictures", "procedural"]
    call("--out", str(tmp_path), *words, "--clips", "1")
    call("--out", str(tmp_path), *words, "--clips", "2")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("1 clip, 2 frames, in ")
    assert second.startswith("2 clips (1 in place of older ones), 4 frames, in ")


def test_writes_clips_and_their_list(tmp_path):
    out = tmp_path / "clips"
    words = "--clips 2 --frames 5 --seed 7 --size 160x120 --events occlusion,noise --pictures procedural --video"
    assert call("--out", str(out), *words.split()) == 0
    names = (out / "list.txt").read_text().split()
    assert names == ["synth_0007", "synth_0008"]
    for name in names:
        assert len(list((out / name).glob("*.jpg"))) == 5
        assert np.loadtxt(out / name / "groundtruth.txt", delimiter=",").shape == (5, 4)
        assert (out / f"{name}.mp4").stat().st_size > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--size 640", "640.*WIDTHxHEIGHT"),
        ("--size 4x4", "width 4"),
        ("--size 100000x64", "width or height 100000 of a generated clip: give at most 7680"),
        ("--events fog", "fog"),
        ("--clips 0", "--clips: 0 is out of range: give 1 to"),
        ("--seed=-1", "--seed: -1 is out of range"),
        ("--frames 99999999999999999999", "--frames: 99999999999999999999 is out of range"),
        ("--frames many", "--frames: 'many' is not a whole number"),
        ("--seed 3 --preset benchmark", "--seed 3 has no effect with --preset benchmark"),
        ("--preset demo --clips 2", "'demo' has 1"),
        ("--pictures nowhere", "nowhere"),
    ],
)
def test_refuses(tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        call("--out", str(tmp_path), *words.split())


def test_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        call("--out", str(tmp_path / "file"), "--frames", "1", "--pictures", "procedural")
