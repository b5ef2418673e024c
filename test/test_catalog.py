import pytest

import sot_tracker
from sot_tracker.catalog import MODELS, network_spec, spec
from sot_tracker.errors import UserError
from sot_tracker.loading import load
from sot_tracker.opencv import CLASSES, OpenCVTracker


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_named_and_described(name):
    model = spec(name)
    assert (model.name, bool(model.title), bool(model.source)) == (name, True, True)
    assert (model.network is None) == (name in CLASSES)


def test_unknown_model_lists_the_known_ones():
    with pytest.raises(UserError, match="unknown model 'foo'") as reported:
        load("foo")
    assert all(name in str(reported.value) for name in MODELS)


def test_network_spec_refuses_models_without_network():
    assert network_spec("fermt").search_size == 256
    with pytest.raises(UserError, match="'csrt' has no network"):
        network_spec("csrt")


def test_load_is_the_package_entry_point():
    assert sot_tracker.load is load
    tracker = load("kcf", threads=0)
    assert isinstance(tracker, OpenCVTracker)
    assert tracker.name == "kcf"


def test_load_checks_options():
    with pytest.raises(UserError, match="unknown option 'thread'"):
        load("kcf", thread=1)


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.network])
def test_missing_weights_are_reported(name, tmp_path):
    with pytest.raises(UserError, match="weights"):
        load(name, weights=str(tmp_path / "nowhere"))
