"""config/default.yaml holds what `sot_tracker.config` holds. Needs PyYAML, not ROS."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from sot_tracker.config import DEFAULTS, Config

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"


def generated() -> str:
    spec = importlib.util.spec_from_file_location("write_config", ROOT / "tools" / "write_config.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.default_yaml())


def test_the_file_is_the_one_that_the_options_make() -> None:
    assert (CONFIG / "default.yaml").read_text() == generated(), "run tools/write_config.py"


def test_default_yaml_holds_every_default() -> None:
    parameters = yaml.safe_load((CONFIG / "default.yaml").read_text())["/**"]["ros__parameters"]
    assert {**parameters, "init_box": (), "range16": ()} == DEFAULTS
    assert Config.from_mapping(parameters) == Config()
