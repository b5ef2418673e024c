"""Masks by a network: here a graph that calls what is red the object."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper, numpy_helper

from sot_tracker.datasets.records import Frame, Track
from sot_tracker.errors import UserError
from sot_tracker.train import cache, matting

RED, HALF, GREY = (20, 20, 250), (20, 20, 136), (60, 60, 60)


def write_network(path, shape=(1, 3, 64, 64)):
    """Output: 20 x the red channel, clipped to 0..1, so that (v - 128) / 256 of 128 is 0 and of 140 nearly 1."""
    weights = numpy_helper.from_array(np.array([20, 0, 0], np.float32).reshape(1, 3, 1, 1), "weights")
    bounds = [numpy_helper.from_array(np.array(v, np.float32), name) for name, v in (("low", 0), ("high", 1))]
    nodes = [
        helper.make_node("Conv", ["picture", "weights"], ["red"]),
        helper.make_node("Clip", ["red", "low", "high"], ["alpha"]),
    ]
    given, made = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, size)
        for name, size in (("picture", shape), ("alpha", (1, 1, *shape[2:])))
    )
    graph = helper.make_graph(nodes, "red", [given], [made], [weights, *bounds])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("matting") / "red.onnx")


def picture(*discs, color=RED):
    """128 x 160 grey, with red ellipses (center, half axes)."""
    image = np.full((128, 160, 3), GREY, np.uint8)
    for center, axes in discs:
        cv2.ellipse(image, center, axes, 0, 0, 360, color, -1)
    return image


def test_whole_object_of_a_picture_without_a_box(network):
    mask = matting.cut(picture(((80, 60), (30, 22))), None, network)
    assert cv2.boundingRect(mask) == pytest.approx((50, 38, 61, 45), abs=3)
    assert (mask > 0).sum() == pytest.approx(np.pi * 30 * 22, rel=0.1)


def test_box_says_which_object(network):
    image = picture(((40, 60), (20, 20)), ((115, 60), (30, 30)))
    assert cv2.boundingRect(matting.cut(image, (20, 40, 40, 40), network)) == pytest.approx((20, 40, 41, 41), abs=3)
    assert cv2.boundingRect(matting.cut(image, None, network)) == pytest.approx((85, 30, 61, 61), abs=3), "the largest"


def test_pieces_behind_a_twig_are_one_object(network):
    image = picture(((80, 60), (40, 30)))
    image[:, 79:82] = GREY
    assert cv2.boundingRect(matting.cut(image, None, network)) == pytest.approx((40, 30, 81, 61), abs=3)


@pytest.mark.parametrize(
    ("image", "box"),
    [
        (picture(), None),
        (picture(((80, 60), (5, 5))), None),  # too small
        (picture(((80, 64), (76, 60))), None),  # nearly everything
        (picture(((5, 5), (40, 40))), None),  # cut by two borders
        (picture(((80, 60), (30, 22)), color=HALF), None),  # half covered everywhere
        (picture(((80, 60), (10, 10))), (40, 20, 80, 80)),  # not what the box holds
    ],
)
def test_nothing_sure_is_no_mask(network, image, box):
    assert matting.cut(image, box, network) is None


def test_cache_stores_the_masks(network, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture(((80, 60), (30, 22))))
    frames = [Frame(tmp_path / "a.png", 0, box) for box in (None, (50, 38, 61, 45), (5, 5, 40, 40))]
    tracks = [Track("s", str(i), str(i), (frame,)) for i, frame in enumerate(frames)]
    built = cache.build(tracks, tmp_path / "cache", 1, partial(matting.cut, model=network))
    assert built.index["channels"].tolist() == [4, 4, 3]
    assert built.index["box"][0] == pytest.approx((50, 38, 61, 45), abs=3)


def test_file_that_is_no_such_network(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        matting.open_network(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(UserError, match="cannot run"):
        matting.open_network(tmp_path / "text.onnx")
    with pytest.raises(UserError, match="not one 1 x 3 x S x S picture"):
        matting.open_network(write_network(tmp_path / "any.onnx", (1, 3, "H", "W")))
