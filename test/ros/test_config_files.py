"""config/ says what `sot_tracker.config` says. Needs PyYAML, not ROS."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from sot_tracker.catalog import MODELS
from sot_tracker.config import DEFAULTS, Config

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"


def generated() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("write_config", ROOT / "tools" / "write_config.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.files()


def test_the_files_are_the_ones_that_the_options_make() -> None:
    wanted = generated()
    assert {path.name for path in CONFIG.glob("*.yaml")} == set(wanted), "run tools/write_config.py"
    for name, text in wanted.items():
        assert (CONFIG / name).read_text() == text, f"config/{name} is old: run tools/write_config.py"


def test_default_yaml_holds_every_default() -> None:
    parameters = yaml.safe_load((CONFIG / "default.yaml").read_text())["/**"]["ros__parameters"]
    assert {**parameters, "init_box": ()} == DEFAULTS
    assert Config.from_mapping(parameters) == Config()


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_file(name: str) -> None:
    parameters = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())["/**"]["ros__parameters"]
    assert Config.from_mapping(parameters).model == name
