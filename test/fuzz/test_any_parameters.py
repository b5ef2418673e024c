"""Options of any type and value: taken in the option's own type and range, or refused in one line."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sot_tracker.box import Box
from sot_tracker.config import OPTIONS, RENAMED, Config
from sot_tracker.loading import load
from sot_tracker.options import check
from sot_tracker.ros_tools.player_config import PlayerConfig
from sot_tracker.tracker import Policy

from fuzzing import JSON, NUMBERS, TEXTS, refused_in_one_line

VALUES = st.one_of(NUMBERS, TEXTS, JSON, st.lists(NUMBERS, max_size=5), st.lists(NUMBERS, min_size=4, max_size=4))
NAMES = st.one_of(st.sampled_from([*OPTIONS, *RENAMED]), TEXTS)


def require_sound(name: str, value: Any, group: type = Config) -> None:
    item = group.__dataclass_fields__[name]
    facts = item.metadata["option"]
    assert type(value) is type(item.default)
    assert facts.choices is None or value in facts.choices
    assert facts.low is None or facts.low <= value <= facts.high
    if isinstance(value, tuple) and value:
        assert all(isinstance(v, float) and math.isfinite(v) for v in value)


@given(st.sampled_from(sorted(OPTIONS)), VALUES)
def test_one_option(name: str, value: Any) -> None:
    with refused_in_one_line():
        require_sound(name, check(name, value, Config))


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_config(values: dict[str, Any]) -> None:
    with refused_in_one_line():
        config = Config.from_mapping(values)
        for name in OPTIONS:
            require_sound(name, getattr(config, name))
    with refused_in_one_line():
        Policy.of(Config.from_mapping(values))


@given(st.dictionaries(st.sampled_from([f.name for f in dataclasses.fields(PlayerConfig)]), VALUES, max_size=3))
def test_player(values: dict[str, Any]) -> None:
    with refused_in_one_line():
        config = PlayerConfig.from_mapping(values)
        for name in PlayerConfig.__dataclass_fields__:
            require_sound(name, getattr(config, name), PlayerConfig)


@given(st.dictionaries(st.sampled_from(sorted(OPTIONS.keys() - {"model", "threads"})), VALUES, max_size=2), TEXTS)
def test_load(values: dict[str, Any], name: str) -> None:
    with refused_in_one_line():
        load("kcf", **values)
    with refused_in_one_line():
        load(name)


@given(st.one_of(TEXTS, st.lists(NUMBERS, max_size=5).map(str)))
def test_box_as_text(text: str) -> None:
    with refused_in_one_line():
        box = Box.parse(text)
        assert all(isinstance(v, float) for v in box.xywh)
