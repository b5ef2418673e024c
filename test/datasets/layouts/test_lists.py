"""COCO's listings and annotations.jsonl."""

from __future__ import annotations

import json

import pytest

from sot_tracker.datasets.find import find
from sot_tracker.datasets.records import Refused

import trees


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "annotations.jsonl:1 is not JSON"),
        ("[1, 2]", "annotations.jsonl:1 is not a picture with objects"),
        ('{"objects": []}', "annotations.jsonl:1 is not a picture with objects .*'file'"),
        ('{"file": "a.png", "objects": [{"id": 0}]}', "annotations.jsonl:1 is not a picture with objects .*'box'"),
        ('{"file": "a.png", "objects": [{"box": [1, 2, 3]}]}', "annotations.jsonl:1 .*box has 3 numbers"),
        ('{"file": "a.png", "objects": [{"box": [1, 2, 3, "x"]}]}', "annotations.jsonl:1 .* a value in it is wrong"),
        ('{"file": "a.png", "frame": "x", "objects": []}', "annotations.jsonl:1 .* a value in it is wrong"),
        ('{"file": "a.png", "frame": 1e400, "objects": []}', "annotations.jsonl:1 .* a value in it is wrong"),
        ('{"file": "a.png", "frame": 99999999999, "objects": []}', "annotations.jsonl:1 .* a value in it is wrong"),
    ],
)
def test_a_bad_line_of_a_list_is_named(line, words, tmp_path):
    (tmp_path / "annotations.jsonl").write_text(line + "\n")
    (refused,) = find(tmp_path)
    with pytest.raises(Exception, match=words):
        raise refused.error


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[" * 100000, "is not JSON"),
        ('{"images": []}', "not an annotation file of COCO"),
        ("[]", "not an annotation file of COCO"),
        ('{"images": [{"id": 1}], "annotations": [{"image_id": 1}]}', "annotation 1 is incomplete or invalid"),
        ('{"images": [], "annotations": [{"image_id": 1}]}', "annotation 1 is incomplete or invalid"),
        ('{"images": [], "annotations": [7]}', "annotation 1 is incomplete or invalid"),
    ],
)
def test_a_bad_listing_of_coco_is_named(content, words, tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_val.json").write_text(content)
    (refused,) = find(tmp_path)
    with pytest.raises(Exception, match=words):
        raise refused.error


def test_a_bad_object_leaves_the_others(tmp_path):
    root = trees.coco(tmp_path)
    listing = root / "annotations" / "instances_train2017.json"
    content = json.loads(listing.read_text())
    content["annotations"].insert(0, {"id": 1, "image_id": 1, "bbox": [1, 2, 3]})
    listing.write_text(json.dumps(content))
    assert [type(found) is Refused for found in find(root)] == [True, False]


def test_one_listing_of_coco(tmp_path):
    root = trees.coco(tmp_path)
    (found,) = find(root / "annotations" / "instances_train2017.json")
    assert found.own_name == "000001.jpg@7"
