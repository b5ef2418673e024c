from pathlib import Path

import pytest

from sot_tracker.config import OPTIONS, Config
from sot_tracker.errors import UserError
from sot_tracker.follow.config import FollowConfig
from sot_tracker.options import Scope, check, markdown_table


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("lost_threshold", 1, 1.0),
        ("init_box", [1, 2, 3, 4], (1.0, 2.0, 3.0, 4.0)),
        ("init_box", [], ()),
        ("threads", 4, 4),
        ("weights", 2024, "2024"),
        ("weights", Path("my/lite"), "my/lite"),
        ("propagate", False, "off"),  # as YAML reads propagate:=off
        ("second_opinion", True, "on"),
    ],
)
def test_check_gives_the_options_own_type(name, value, stored):
    found = check(name, value, Config)
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
        ("engine", False, "wrong type"),
        ("propagate", True, "propagate='on' is not possible: choose one of auto, off"),
    ],
)
def test_refusals_name_option_value_and_what_is_allowed(name, value, words):
    with pytest.raises(UserError, match=words) as reported:
        Config(**{name: value})
    assert name in str(reported.value)


def test_table_has_every_option_with_default_and_range():
    rows = {line.split("`")[1]: line for line in markdown_table(Config).splitlines()[2:]}
    assert list(rows) == list(OPTIONS)
    assert "| `0` | 0 to 256 | node, CLI, Python |" in rows["threads"]
    assert "| `'auto'` | `auto`, `onnx`, `openvino`, `torch` |" in rows["engine"]
    assert all(("node, CLI" in rows[name]) == (facts.scope is Scope.TRACKER) for name, facts in OPTIONS.items())


def test_table_says_who_knows_an_option_only_where_that_differs():
    assert "| known to |" in markdown_table(Config)
    assert markdown_table(FollowConfig).splitlines()[0] == "| option | default | allowed | meaning |"
