import argparse
import dataclasses
from pathlib import Path

import pytest

from sot_tracker import config
from sot_tracker.commands import options
from sot_tracker.config import DEFAULTS, OPTIONS, Config
from sot_tracker.errors import UserError
from sot_tracker.options import Scope, markdown_table

ROOT = Path(__file__).parents[1]


def test_every_field_is_an_option_with_help():
    assert list(OPTIONS) == [item.name for item in dataclasses.fields(Config)]
    assert all(facts.help.endswith(".") for facts in OPTIONS.values())


def test_defaults_pass_their_own_checks():
    assert dataclasses.asdict(Config()) == DEFAULTS


def test_unknown_option_lists_the_known_ones():
    with pytest.raises(UserError, match="unknown option 'treads': known are model, engine"):
        Config.from_mapping({"treads": 2})


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().threads = 2


def test_docs_hold_the_table():
    assert markdown_table(Config) in (ROOT / "docs" / "options.md").read_text(encoding="utf-8"), (
        "run tools/write_options.py"
    )


@pytest.fixture
def _no_warnings_yet():
    config.warn_of_old_name.cache_clear()


@pytest.mark.parametrize(("old", "new"), config.RENAMED.items())
@pytest.mark.usefixtures("_no_warnings_yet")
def test_an_old_name_is_accepted_with_one_warning(old, new, caplog):
    assert old not in OPTIONS
    made = [Config.from_mapping({old: 0.5 if new != "reacquire_positions" else 5}) for _ in range(2)]
    assert all(getattr(each, new) in (0.5, 5) for each in made)
    assert [record.message for record in caplog.records] == [f"option {old} has a new name: use {new}"]


def test_an_option_under_both_names_is_refused():
    with pytest.raises(UserError, match="size_fit is the old name of init_size_correction"):
        Config.from_mapping({"size_fit": 0.5, "init_size_correction": 0.5})


@pytest.mark.usefixtures("_no_warnings_yet")
def test_a_flag_by_its_old_name(caplog):
    parser = argparse.ArgumentParser()
    options.add_tracker_options(parser)
    args = parser.parse_args(["--size-rate", "0.5", "--lost-windows=3"])
    assert options.tracker_options(args) == {**tracker_defaults(), "size_smoothing": 0.5, "reacquire_positions": 3}
    assert [record.message for record in caplog.records] == [
        "option size_rate has a new name: use size_smoothing",
        "option lost_windows has a new name: use reacquire_positions",
    ]


def test_every_option_of_a_tracker_has_a_flag_and_is_shown():
    parser = argparse.ArgumentParser()
    options.add_tracker_options(parser)
    shown = parser.format_help()
    assert all(f"--{name.replace('_', '-')} " in shown for name in ("model", *tracker_defaults()))
    assert not any(options.flag(old) in shown for old in config.RENAMED)
    assert options.tracker_options(parser.parse_args([])) == tracker_defaults()


def tracker_defaults():
    scoped = {name for name, facts in OPTIONS.items() if facts.scope is Scope.TRACKER}
    return {name: default for name, default in DEFAULTS.items() if name in scoped - {"model"}}
