"""The cache: what is stored, what is skipped."""

from __future__ import annotations

import json
from functools import partial

import cv2
import numpy as np
import pytest

from sot_tracker.datasets import coco_masks, training
from sot_tracker.datasets.records import Frame, Track
from sot_tracker.errors import UserError
from sot_tracker.train import cache

import trees


def stills(root, frames):
    return [Track("s", str(i), str(i), (frame,)) for i, frame in enumerate(frames)]


def test_round_trip(tmp_path):
    tracks = training.read(trees.jsonl(tmp_path / "data"))
    built = cache.build(tracks, tmp_path / "cache", jobs=1, cutter=None)
    opened = cache.open_cache(tmp_path / "cache")
    assert len(built.index) == len(opened.index) == sum(len(t.frames) for t in tracks)
    for number, track in enumerate(tracks):
        start, end = opened.ranges[number]
        assert [int(n) for n in opened.index["number"][start:end]] == [f.number for f in track.frames]
        for entry, frame in zip(range(start, end), track.frames, strict=True):
            stored, source = opened.picture(entry), cv2.imread(str(frame.path))
            if frame.box is None:
                assert np.isnan(opened.index["box"][entry]).all()
                continue
            x, y, w, h = opened.index["box"][entry].astype(int)
            fx, fy, _, _ = map(int, frame.box)
            assert (stored[y : y + h, x : x + w, :3] == source[fy : fy + h, fx : fx + w]).all()


def test_large_objects_are_reduced(tmp_path):
    image = np.full((800, 800, 3), 128, np.uint8)
    image[200:600, 200:600] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    built = cache.build(stills(tmp_path, [Frame(tmp_path / "a.png", 0, (200, 200, 400, 400))]), tmp_path / "c", 1, None)
    x, y, w, h = built.index["box"][0]
    assert (w, h) == pytest.approx((cache.TARGET, cache.TARGET), abs=1)
    middle = built.picture(0)[int(y) + 2 : int(y + h) - 2, int(x) + 2 : int(x + w) - 2]
    assert middle.min() == 255


def test_unusable_frames_are_skipped_and_counted(tmp_path):
    trees.write(tmp_path / "good.png", 0)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    frames = [
        Frame(tmp_path / "good.png", 0, (10, 10, 20, 20)),
        Frame(tmp_path / "bad.png", 0, (10, 10, 20, 20)),
        Frame(tmp_path / "missing.png", 0, (10, 10, 20, 20)),
        Frame(tmp_path / "good.png", 0, (10, 10, 0, 20)),
        Frame(tmp_path / "good.png", 0, (10, 10, float("nan"), 20)),
        Frame(tmp_path / "good.png", 0, (500, 10, 20, 20)),
        *(
            Frame(tmp_path / "good.png", 0, (10, 10, 20, 20), partial(coco_masks.read, annotation, *size))
            for annotation, size in (
                ({"size": [9, 9], "counts": [7]}, (128, 96)),
                ([[1, 2, 3]], (128, 96)),
                ([[1, 2, 30, 9]], (128, 96)),  # a box?
                ({"size": [96, 128], "counts": "("}, (128, 96)),
                ([[1, 2, 30, 2, 30, 9]], (64, 64)),
            )
        ),
    ]
    built = cache.build(stills(tmp_path, frames), tmp_path / "cache", 1, None)
    assert len(built.index) == 1
    assert built.skipped == {
        "unreadable picture": 2,
        "degenerate box": 3,
        "unreadable mask": 4,
        "mask of another size": 1,
    }


def test_grabcut_finds_an_object_that_stands_out(tmp_path):
    image = np.full((120, 160, 3), 60, np.uint8)
    cv2.ellipse(image, (80, 60), (30, 22), 0, 0, 360, (40, 60, 230), -1)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    built = cache.build(stills(tmp_path, [Frame(tmp_path / "a.png", 0, (48, 36, 64, 48))]), tmp_path / "cache", 1)
    mask = built.picture(0)[..., 3] > 127
    box = built.index["box"][0]
    scale = box[2] / 64
    assert mask.sum() == pytest.approx(np.pi * 30 * 22 * scale**2, rel=0.15)


def test_nothing_usable(tmp_path):
    with pytest.raises(UserError, match="no usable picture"):
        cache.build(stills(tmp_path, [Frame(tmp_path / "missing.png", 0, None)]), tmp_path / "cache", 1)


def test_unfinished_or_foreign_cache(tmp_path):
    with pytest.raises(UserError, match="no finished cache"):
        cache.open_cache(tmp_path)
    (tmp_path / "meta.json").write_text(json.dumps({"version": 0}))
    with pytest.raises(UserError, match="version 0"):
        cache.open_cache(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("meta.json", b"{", "is damaged"),
        ("meta.json", b"[]", "is damaged"),
        ("index.npy", b"", "is damaged"),
        ("pixels.u8", b"some", "pictures are missing"),
        ("pixels.u8", b"", "is damaged"),
    ],
)
def test_damaged_cache(name, content, message, tmp_path):
    trees.write(tmp_path / "good.png", 0)
    cache.build(stills(tmp_path, [Frame(tmp_path / "good.png", 0, (10, 10, 20, 20))]), tmp_path / "cache", 1, None)
    (tmp_path / "cache" / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        cache.open_cache(tmp_path / "cache")


def test_cache_without_its_pictures(tmp_path):
    trees.write(tmp_path / "good.png", 0)
    cache.build(stills(tmp_path, [Frame(tmp_path / "good.png", 0, (10, 10, 20, 20))]), tmp_path / "cache", 1, None)
    (tmp_path / "cache" / "pixels.u8").unlink()
    with pytest.raises(UserError, match=r"lacks '.*pixels\.u8'"):
        cache.open_cache(tmp_path / "cache")


def test_a_full_disk_names_the_cache(tmp_path):
    trees.write(tmp_path / "good.png", 0)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "pixels.u8").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"cannot write the cache '.*/cache': No space left on device"):
        cache.build(stills(tmp_path, [Frame(tmp_path / "good.png", 0, (10, 10, 20, 20))]), tmp_path / "cache", 1, None)
