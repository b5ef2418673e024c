"""What `load` says of names and options that it cannot use, in the form in which Python gives them."""

import numpy as np
import pytest

from sot_tracker import load, load_many, loading
from sot_tracker.config import Config
from sot_tracker.errors import UserError
from sot_tracker.tracking.realtime import RealtimeTracker

from ros_clips import box_at, frame


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        (None, {}, "model None is not a name: give one of csrt, kcf"),
        ("kfc", {}, "did you mean kcf"),
        ("kcf", {"thread": 2}, r"unknown option 'thread'; did you mean threads\?; known are engine, .*size_smoothing"),
        ("kcf", {"autostart": True}, "option autostart is only for the ROS node"),
        ("nanotrack", {}, "give weights=DIR, a folder with"),
        ("hit_base", {}, "give weights=PATH, a model folder"),
        ("kcf", {"threads": 999}, "threads=999 is out of range"),
        ("lite", {"max_search_rate": -1, "realtime": True}, "max_search_rate=-1.0 is out of range"),
    ],
)
def test_one_clear_line(name, options, words):
    with pytest.raises(UserError, match=words):
        load(name, **options)


def test_options_without_effect_are_reported(caplog):
    load("kcf", engine="auto", device="cpu", precision="fp32")
    assert not caplog.messages
    load("kcf", device="cuda", precision="int8")
    assert caplog.messages == ["kcf runs in OpenCV on the CPU: device=cuda and precision=int8 have no effect"]
    caplog.clear()
    load("csrt", lost_threshold=-0.5, threads=1, max_coast=1, second_opinion="off")
    assert not caplog.messages
    load("csrt", lost_threshold=0.3, size_smoothing=1)
    assert caplog.messages == [
        "csrt runs in OpenCV on the CPU: lost_threshold=0.3 and size_smoothing=1.0 have no effect"
    ]


@pytest.mark.parametrize(
    "option",
    [{"search_around": "last"}, {"reacquire_positions": 1}, {"init_size_correction": 0.5}, {"size_smoothing": 1}],
)
@pytest.mark.parametrize("model", ["mil", "nanotrack"])
def test_options_of_the_loop_have_no_effect_on_opencvs_trackers(caplog, model, option):
    loading._warn_of_no_effect(Config(model=model, **option))
    assert caplog.messages[0].endswith(" has no effect")
    assert next(iter(option)) in caplog.messages[0]


def test_opencvs_networks_use_the_threshold(caplog):
    loading._warn_of_no_effect(Config(model="nanotrack", lost_threshold=0.3))
    assert not caplog.messages


@pytest.mark.parametrize("number", [np.int64(2), np.uint8(2), np.float32(0.5), np.float64(0.5)])
def test_numbers_of_numpy_are_numbers(number):
    name = "threads" if isinstance(number, np.integer) else "lost_threshold"
    value = getattr(Config.from_mapping({name: number}), name)
    assert (value, type(value)) == (number, int if name == "threads" else float)


def test_truth_values_and_texts_of_numpy_are_taken_too():
    config = Config.from_mapping({"autostart": np.bool_(False), "model": np.str_("kcf"), "threads": np.array(2)})
    assert (config.autostart, config.model, config.threads) == (False, "kcf", 2)
    assert (type(config.autostart), type(config.model)) == (bool, str)
    with pytest.raises(UserError, match="threads=True has the wrong type"):
        Config.from_mapping({"threads": np.bool_(True)})


def test_in_real_time_searches_can_be_limited(monkeypatch):
    given = {}
    monkeypatch.setattr(loading, "RealtimeTracker", lambda *_, **options: given.update(options))
    load("kcf", realtime=True, max_search_rate=10)
    assert given == {"max_search_rate": 10.0}


def test_without_the_clock_too():
    assert not isinstance(load("kcf"), RealtimeTracker)
    tracker = load("kcf", max_search_rate=10)
    tracker.init(frame(0), box_at(0))
    estimates = [tracker.update(frame(index)) for index in range(1, 12)]
    assert [estimate.source for estimate in estimates] == ["flow", "flow", "tracker"] * 3 + ["flow", "flow"]
    assert min(estimate.box.iou(box_at(index)) for index, estimate in enumerate(estimates, 1)) > 0.5


@pytest.mark.parametrize(
    ("options", "copies"), [({}, 3), ({"realtime": True}, 1), ({"max_search_rate": 10}, 1)], ids=str
)
def test_targets_that_are_searched_for_one_after_the_other_need_one_network(monkeypatch, options, copies):
    """For a search of several at once, ONNX Runtime holds the graph twice."""
    asked, load_one = [], loading.load_network_tracker

    def noted(model, config):
        asked.append(config.max_targets)
        return load_one(model, config)

    monkeypatch.setattr(loading, "load_network_tracker", noted)
    load_many("lite", 3, **options)
    assert asked == [copies]


def test_a_limit_of_searches_needs_optical_flow():
    config = Config.from_mapping({"model": "kcf", "max_search_rate": 10, "propagate": "off"})
    with pytest.raises(UserError, match=r"max_search_rate=10 needs optical flow.* propagate:=off turns off"):
        loading.load_trackers(config)
