"""Rows of truth files: boxes, polygons, masks; label files; and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from sot_tracker.datasets.regions import mask_box
from sot_tracker.datasets.truth import read_truth, read_values
from sot_tracker.errors import UserError

NAN = float("nan")


def write(folder, text):
    path = folder / "groundtruth.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "boxes", "kind"),
    [
        ("1,2,3,4\n5,6,7,8\n", [[1, 2, 3, 4], [5, 6, 7, 8]], "box"),
        ("1\t2\t3\t4\n", [[1, 2, 3, 4]], "box"),
        (" 1  2 3   4 \n", [[1, 2, 3, 4]], "box"),
        ("1, 2,\t3,4,\r\n", [[1, 2, 3, 4]], "box"),
        ("-1.5,2e1,.5,4", [[-1.5, 20, 0.5, 4]], "box"),
        ("nan,nan,nan,nan\nNaN NaN NaN NaN\n0,0,0,0\n1,2,-3,4\n", [[NAN] * 4] * 4, "box"),
        ("\n", [], "box"),
        # VOT toolkit's rule: smallest and largest x and y
        ("10,20,30,15,35,40,12,38\n", [[10, 15, 25, 25]], "polygon"),
        ("0,0,4,0,4,3,0,3\nnan,nan,nan,nan\n", [[0, 0, 4, 3], [NAN] * 4], "polygon"),
        ("nan,nan,nan,nan\n0,0,4,0,4,3,0,3\n", [[NAN] * 4, [0, 0, 4, 3]], "polygon"),
        ("m10,20,5,4,0,20\n", [[10, 20, 5, 4]], "mask"),
        ("m10,20,5,4,0,20\nm0,0,0,0\nnan,nan,nan,nan\n", [[10, 20, 5, 4], [NAN] * 4, [NAN] * 4], "mask"),
    ],
)
def test_rows(text, boxes, kind, tmp_path):
    truth = read_truth(write(tmp_path, text))
    assert truth.kind == kind
    assert np.array_equal(truth.boxes, np.array(boxes, float).reshape(-1, 4), equal_nan=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3,4\n1,2,3\n", "line 2 is not x,y,w,h: '1,2,3' has 3 numbers"),
        ("1,2,3,4\n1,2,3,4,5\n", "line 2 is not x,y,w,h: '1,2,3,4,5' has 5 numbers"),
        ("1,2,3,4,5\n" * 4, "line 1 is not x,y,w,h: .* has 5 numbers"),
        ("1,1,2,3,4,0.9\n", "has 6 numbers"),
        ("1,-1,1,2,3,4,1,-1,-1,-1\n", "has 10 numbers"),
        ("1,2,3,4\n1,2,3,4,5,6,7,8\n", "line 2 has 8 numbers and the rows before it 4"),
        ("0,0,4,0,4,3,0,3\nnan,nan,nan,nan\n1,2,3,4\n", "line 3 has 4 numbers and the rows before it 8"),
        ("1,2,,3,4\n", "line 1 is not x,y,w,h"),
        ("1,2,3,4\nx,y,w,h\n", "line 2 is not x,y,w,h: 'x,y,w,h'"),
        ("1,2,inf,4\n", "line 1 has an infinite number"),
        ("1;2;3;4\n", "line 1 is not x,y,w,h"),
        (b"\xff\xfe\x00", "is not a text file"),
        ("m1,2,3\n", "line 1 is not a mask of VOT"),
        ("m1,2,3,4,0,13\n", "line 1 is not a mask of VOT .*13 pixels of 3 x 4"),
        ("m1,2,3,4,0,-5\n", "line 1 is not a mask of VOT"),
        ("m1,2,3,4,0,x\n", "line 1 is not a mask of VOT"),
        ("m1,2,3,4,0,99999999999999999999\n", "line 1 is not a mask of VOT"),
        ("m1,2,3000000000,4,0\n", "line 1 is not a mask of VOT"),
        ("m10,20,5,4,0,20\n1,2,3,4\n", "line 2 is not a mask of VOT"),
    ],
)
def test_rows_of_another_kind_are_refused_by_line(text, words, tmp_path):
    with pytest.raises(UserError, match=words):
        read_truth(write(tmp_path, text))


def test_blank_lines_and_byte_order_mark_are_skipped(tmp_path):
    truth = read_truth(write(tmp_path, b"\xef\xbb\xbf1,2,3,4\r\n\r\nNaN,NaN,NaN,NaN\r\n"))
    assert truth.boxes[0].tolist() == [1, 2, 3, 4]
    assert np.isnan(truth.boxes[1]).all()
    assert truth.describe() == "2 rows (line 2 is blank)"


def encode(mask, x, y):
    """A whole mask as VOT writes it, from the format's definition: zeros first, row by row."""
    flat, runs, value = mask.ravel(), [], 0
    while flat.size:
        length = int(np.argmax(flat != value)) if (flat != value).any() else flat.size
        runs.append(length)
        flat, value = flat[length:], 1 - value
    return f"m{x},{y},{mask.shape[1]},{mask.shape[0]}," + ",".join(map(str, runs))


@pytest.mark.parametrize("seed", range(20))
def test_the_box_of_any_mask_spans_its_pixels(seed):
    rng = np.random.default_rng(seed)
    mask = (rng.random((rng.integers(1, 9), rng.integers(1, 9))) < rng.choice([0.05, 0.3, 0.9])).astype(int)
    rows, columns = np.nonzero(mask)
    expected = None
    if len(rows):
        expected = (100 + columns.min(), 50 + rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert mask_box(encode(mask, 100, 50)) == expected


@pytest.mark.parametrize("text", ["0\n1\n0\n", "0,1,0", "0 1 0\n", "0,1,0\n\n"])
def test_values_per_frame(text, tmp_path):
    assert read_values(write(tmp_path, text), 3, 1).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("8\n8\n", "has 2 values for 3 frames"),
        ("8\n8\n8\n8\n", "has 4 values for 3 frames"),
        ("8\nx\n8\n", "something other than numbers"),
        ("8\n9\n8\n", "value 2 is 9: whole numbers from 0 to 8"),
        ("8\n8\nnan\n", "value 3 is nan"),
        ("8\n0.5\n8\n", "value 2 is 0.5"),
    ],
)
def test_values_that_are_refused(text, words, tmp_path):
    with pytest.raises(UserError, match=words):
        read_values(write(tmp_path, text), 3, 8)
