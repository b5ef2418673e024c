"""Generated video: the truth is what the pixels show, and a seed is a clip."""

import importlib.util
import resource
from dataclasses import replace

import cv2
import numpy as np
import pytest

from sot_tracker.errors import UserError
from sot_tracker.synth import (
    EVENTS,
    PRESETS,
    ClipConfig,
    benchmark_clips,
    builtin_pictures,
    cover_level,
    folder_pictures,
    irregular_cut_out,
    procedural_pictures,
    render,
    write_sequence,
)

SMALL = ClipConfig(frames=40, width=320, height=240, target_size=(0.2, 0.35))
PLAIN = replace(SMALL, events=())


def blob(value: int) -> np.ndarray:
    """A lopsided 100 x 140 shape of one grey value."""
    alpha = np.zeros((100, 140), np.uint8)
    cv2.ellipse(alpha, (70, 50), (65, 30), 0, 0, 360, 255, -1)
    cv2.circle(alpha, (30, 60), 28, 255, -1)
    return np.dstack([np.full((100, 140, 3), value, np.uint8), alpha])


@pytest.fixture(scope="module")
def pictures():
    return procedural_pictures(0)


@pytest.fixture(scope="module")
def white_on_black():
    """The target (index 0) is white, all else black: what is bright in a frame is what shows of the target."""
    return [blob(255), blob(0), np.zeros((240, 320, 3), np.uint8)]


def brightness(frame):
    return frame.image[..., 0].astype(np.float64)


def test_a_seed_is_a_clip(pictures):
    config = replace(SMALL, frames=8, events=tuple(EVENTS))
    first, again, other = (list(render(replace(config, seed=s), pictures)) for s in (3, 3, 4))
    assert all((a.image == b.image).all() and a.box == b.box for a, b in zip(first, again, strict=True))
    assert any((a.image != b.image).any() for a, b in zip(first, other, strict=True))


def test_frames_are_as_asked(pictures):
    frames = list(render(replace(SMALL, frames=5, events=tuple(EVENTS)), pictures))
    assert len(frames) == 5
    assert all(f.image.shape == (240, 320, 3) and f.image.dtype == np.uint8 for f in frames)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("events", [(), ("scale", "rotation", "deform"), ("camera",)])
def test_box_encloses_the_pixels(white_on_black, seed, events):
    for frame in render(replace(PLAIN, seed=seed, events=events, target=0), white_on_black):
        level = brightness(frame)
        rows, columns = np.nonzero(level > 0.5 * level.max())
        seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert frame.box is not None
        np.testing.assert_allclose(frame.box.xyxy, seen, atol=1.3)


@pytest.mark.parametrize("target_size", [(0.2, 0.35), (0.08, 0.12)])
def test_box_has_no_bias(white_on_black, target_size):
    """Sub-pixel: over many frames the edges of box and pixels agree on average, not only to the next pixel."""
    differences = []
    config = replace(PLAIN, frames=200, events=("rotation", "scale"), target=0, target_size=target_size)
    for frame in render(config, white_on_black):
        level = brightness(frame)
        rows, columns = np.nonzero(level > 0.5 * level.max())
        seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        differences.append(np.subtract(frame.box.xyxy, seen))
    low, high = np.mean(differences, axis=0).reshape(2, 2)
    np.testing.assert_allclose((low + high) / 2, 0, atol=0.08)
    # A rounded tip never fills half of its outermost pixel: the box may only be the larger one.
    np.testing.assert_array_less(0, high - low)
    np.testing.assert_array_less(high - low, 0.6)


@pytest.mark.parametrize("events", [("occlusion",), ("hide",), ("absence",), ("lookalikes", "occlusion")])
def test_visible_is_the_part_that_shows(white_on_black, events):
    config = replace(PLAIN, frames=120, events=events, target=0, lookalikes=0)
    frames = list(render(config, white_on_black))
    whole = brightness(frames[0]).sum()
    assert frames[0].visible == pytest.approx(1, abs=0.01)
    assert min(f.visible for f in frames) < 0.8
    for frame in frames:
        assert frame.visible == pytest.approx(brightness(frame).sum() / whole, abs=0.03)


def test_motion_blur_is_centred_on_the_truth(white_on_black):
    config = replace(PLAIN, frames=30, speed=3.0, target=0)
    rows, columns = np.mgrid[:240, :320]
    moved = 0.0
    for sharp, blurred in zip(
        render(config, white_on_black), render(replace(config, events=("blur",)), white_on_black), strict=True
    ):
        assert sharp.box == blurred.box
        moved = max(moved, np.abs(brightness(sharp) - brightness(blurred)).max())
        for axis in (rows, columns):
            centroids = [(axis * brightness(f)).sum() / brightness(f).sum() for f in (sharp, blurred)]
            assert centroids[0] == pytest.approx(centroids[1], abs=0.35)
    assert moved > 20


@pytest.mark.parametrize("event", ["hide", "absence"])
def test_target_goes_and_returns(pictures, event):
    config = replace(PLAIN, frames=150, events=(event,))
    present = [f.box is not None for f in render(config, pictures)]
    changes = np.flatnonzero(np.diff(np.array(present, int)))
    assert present[0]
    assert present[-1]
    assert len(changes) >= 2


def test_absent_means_below_the_threshold(pictures):
    config = replace(SMALL, frames=150, events=("absence", "occlusion", "hide"), min_visible=0.3)
    frames = list(render(config, pictures))
    assert all((f.box is None) == (f.visible < 0.3) for f in frames)
    assert {f.box is None for f in frames} == {True, False}


@pytest.mark.parametrize("frames", [2, 20, 300])
@pytest.mark.parametrize("seed", range(8))
def test_target_starts_in_full_view(pictures, seed, frames):
    first = next(render(replace(SMALL, seed=seed, frames=frames, events=tuple(EVENTS)), pictures))
    assert first.visible > 0.9


def test_boxes_lie_in_the_frame(pictures):
    for frame in render(replace(SMALL, frames=120, speed=2.0, events=tuple(EVENTS)), pictures):
        if frame.box:
            x1, y1, x2, y2 = frame.box.xyxy
            assert frame.box.is_valid
            assert min(x1, y1) >= 0
            assert x2 <= 320
            assert y2 <= 240


@pytest.mark.parametrize("event", sorted(set(EVENTS) - {"scale", "rotation", "deform", "absence", "camera"}))
def test_an_event_leaves_the_path_alone_but_shows(pictures, event):
    config = replace(PLAIN, frames=120, speed=2.5, min_visible=1e-9)
    without, having = (list(render(replace(config, events=e), pictures)) for e in ((), (event,)))
    both = [(a.box, b.box) for a, b in zip(without, having, strict=True) if a.box and b.box]
    assert both
    assert all(a == b for a, b in both)
    assert any((a.image != b.image).any() for a, b in zip(without, having, strict=True))


def test_scenes_alone_give_objects_of_their_own(pictures):
    scenes = [p for p in pictures if p.shape[2] == 3]
    frame = next(render(replace(SMALL, frames=1), scenes))
    assert frame.box is not None
    assert frame.visible > 0.9


def test_irregular_cut_outs_have_soft_closed_edges():
    rng = np.random.default_rng(0)
    picture = np.full((90, 120, 3), 200, np.uint8)
    for _ in range(20):
        alpha = irregular_cut_out(picture, rng)[..., 3]
        border = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
        assert alpha.max() == 255
        assert border.max() < 128
        assert np.unique(alpha).size > 10


@pytest.mark.parametrize(
    ("visible", "level"),
    [(0, 0), (0.01, 1), (0.15, 1), (0.16, 2), (0.3, 2), (0.4, 3), (0.6, 4), (0.75, 5), (0.8, 6), (0.95, 7), (1, 8)],
)
def test_cover_levels_are_those_of_got10k(visible, level):
    assert cover_level(visible) == level


def test_sequence_on_disk(tmp_path, pictures):
    config = replace(SMALL, frames=60, events=("absence",))
    (tmp_path / "00000099.jpg").write_bytes(b"of an earlier, longer clip")
    write_sequence(config, tmp_path, pictures, video=tmp_path / "clip.mp4")
    frames = list(render(config, pictures))
    assert [p.name for p in sorted(tmp_path.glob("*.jpg"))] == [f"{k:08d}.jpg" for k in range(1, 61)]
    truth = np.loadtxt(tmp_path / "groundtruth.txt", delimiter=",")
    absent, cover = (np.loadtxt(tmp_path / f"{name}.label", dtype=int) for name in ("absence", "cover"))
    assert (absent == [f.box is None for f in frames]).all()
    assert 0 < absent.sum() < 60
    assert (np.isnan(truth).all(1) == absent).all()
    assert ((cover == 0) == absent).all()
    np.testing.assert_allclose(truth[0], frames[0].box.xywh, atol=1e-3)
    written = cv2.imread(str(tmp_path / "00000060.jpg")).astype(float)
    assert np.abs(written - frames[59].image).mean() < 4
    video = cv2.VideoCapture(str(tmp_path / "clip.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 60


def test_a_video_that_is_cut_off_is_an_error_and_leaves_none(tmp_path, pictures):
    """As on a disk that gets full, which OpenCV does not report."""
    config = ClipConfig(frames=30, width=320, height=240, seed=1, events=("noise",))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(UserError, match=r"cannot write .*clip\.mp4"):
            write_sequence(config, tmp_path / "clip", pictures, tmp_path / "clip.mp4", quality=30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]
    assert not (tmp_path / "clip" / "groundtruth.txt").exists()


def test_an_interrupted_clip_has_no_truth_of_an_older_one(tmp_path, pictures):
    config = ClipConfig(frames=3, width=160, height=120)
    write_sequence(config, tmp_path, pictures)
    (tmp_path / "00000002.jpg").unlink()
    (tmp_path / "00000002.jpg").mkdir()  # so that it ends there
    with pytest.raises(UserError):
        write_sequence(config, tmp_path, pictures)
    assert not [path.name for path in tmp_path.iterdir() if path.suffix in (".txt", ".label")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"events": ("fog",)}, "fog.*occlusion"),
        ({"frames": 0}, "frames 0"),
        ({"width": 8}, "width 8"),
        ({"seed": -1}, "seed -1"),
        ({"occluders": -1}, "occluders -1"),
        ({"target_size": (0.5, 0.2)}, "target_size"),
        ({"speed": 0.0}, "speed"),
        ({"target": 99}, "target 99"),
        ({"scene": 99}, "scene 99"),
    ],
)
def test_impossible_clips_are_refused(pictures, change, message):
    with pytest.raises(UserError, match=message):
        next(render(replace(SMALL, **change), pictures))


def test_pictures_without_a_scene_are_refused(pictures):
    with pytest.raises(UserError, match="background"):
        next(render(SMALL, [p for p in pictures if p.shape[2] == 4]))


def test_an_object_that_shows_nothing_is_refused(pictures):
    with pytest.raises(UserError, match="alpha"):
        next(render(SMALL, [np.zeros((40, 40, 4), np.uint8), pictures[-1]]))


def test_missing_photographs_are_reported(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="scikit-image"):
        builtin_pictures()


def test_folder_pictures(tmp_path, pictures):
    with pytest.raises(UserError, match="no picture"):
        folder_pictures(tmp_path)
    cv2.imwrite(str(tmp_path / "a.png"), pictures[0])
    cv2.imwrite(str(tmp_path / "b.jpg"), pictures[-1])
    assert [p.shape[2] for p in folder_pictures(tmp_path)] == [4, 3]
    (tmp_path / "c.jpg").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"c\.jpg"):
        folder_pictures(tmp_path)
    with pytest.raises(UserError, match="not a folder"):
        folder_pictures(tmp_path / "none")


def test_builtin_pictures_and_presets():
    pytest.importorskip("skimage")
    photographs = builtin_pictures()
    objects = [p for p in photographs if p.shape[2] == 4]
    assert (len(objects), len(photographs)) == (8, 16)
    assert all((p[..., 3] > 128).mean() > 0.2 for p in objects)
    for clips in (make() for make in PRESETS.values()):
        assert len({clip.seed for clip in clips}) == len(clips)
        first = next(render(replace(clips[0], frames=3), photographs))
        assert first.visible > 0.95


def test_the_benchmark_is_fixed():
    clips = benchmark_clips()
    assert len(clips) == 20
    assert all(c.frames == 300 and {"occlusion", "lookalikes"} <= set(c.events) for c in clips)
