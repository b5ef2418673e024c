import dataclasses
from pathlib import Path

import pytest

from sot_tracker.config import DEFAULTS, OPTIONS, Config, Scope, check, markdown_table
from sot_tracker.errors import UserError

ROOT = Path(__file__).parents[1]


def test_every_field_is_an_option_with_help():
    assert list(OPTIONS) == [item.name for item in dataclasses.fields(Config)]
    assert all(facts.help.endswith(".") for facts in OPTIONS.values())


def test_defaults_pass_their_own_checks():
    assert dataclasses.asdict(Config()) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("lost_threshold", 1, 1.0),
        ("init_box", [1, 2, 3, 4], (1.0, 2.0, 3.0, 4.0)),
        ("init_box", [], ()),
        ("threads", 4, 4),
        ("weights", 2024, "2024"),
    ],
)
def test_check_gives_the_options_own_type(name, value, stored):
    found = check(name, value)
    assert found == stored
    assert type(found) is type(stored)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("engine", "tpu", "choose one of auto, onnx, openvino, torch"),
        ("threads", 257, "give 0 to 256"),
        ("threads", -1, "give 0 to 256"),
        ("threads", True, "give a whole number"),
        ("threads", 1.5, "wrong type"),
        ("lost_threshold", 1.01, "give -1 to 1"),
        ("lost_threshold", "high", "wrong type: give a number"),
        ("init_box", [1, 2, 3], "3 numbers"),
        ("init_box", ["a", 2, 3, 4], "wrong type"),
        ("autostart", 1, "give true or false"),
        ("init_box", ("a", 2, 3, 4), "wrong type"),
        ("model", True, "wrong type"),
    ],
)
def test_refusals_name_option_value_and_what_is_allowed(name, value, words):
    with pytest.raises(UserError, match=words) as told:
        Config(**{name: value})
    assert name in str(told.value)


def test_unknown_option_lists_the_known_ones():
    with pytest.raises(UserError, match="unknown option 'treads': known are model, engine"):
        Config.from_mapping({"treads": 2})


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().threads = 2


def test_table_has_every_option_with_default_and_range():
    rows = {line.split("`")[1]: line for line in markdown_table().splitlines()[2:]}
    assert list(rows) == list(OPTIONS)
    assert "| `0` | 0 to 256 | node, CLI, Python |" in rows["threads"]
    assert "| `'auto'` | `auto`, `onnx`, `openvino`, `torch` |" in rows["engine"]
    assert all(("node, CLI" in rows[name]) == (facts.scope is Scope.TRACKER) for name, facts in OPTIONS.items())


@pytest.mark.parametrize("page", ["docs/options.md", "README.md"])
def test_docs_hold_the_table(page):
    assert markdown_table() in (ROOT / page).read_text(encoding="utf-8")
