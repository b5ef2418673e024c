"""What is kept in the user's cache comes back whole or not at all."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from sot_tracker import user_cache


def test_content_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.blob"
    user_cache.write_sealed(path, b"content")
    assert user_cache.read_sealed(path) == b"content"


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"x" + data[1:], lambda _: b""])
def test_damaged_content_does_not(tmp_path: Path, damage, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "file.blob"
    user_cache.write_sealed(path, b"content")
    path.write_bytes(damage(path.read_bytes()))
    assert user_cache.read_sealed(path) is None
    assert "damaged and is made again" in caplog.text


def test_nothing_there_is_no_mistake(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert user_cache.read_sealed(tmp_path / "file.blob") is None
    assert caplog.text == ""


def test_a_cache_that_cannot_be_written_is_no_mistake(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.INFO):
        user_cache.write_sealed(tmp_path / "file" / "below", b"content")
    assert "cannot write" in caplog.text


def test_files_are_named_by_what_they_depend_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one = user_cache.keyed_file("tune", "lite", {"a": 1, "b": 2}, ".json")
    assert one.parent == tmp_path / "sot_tracker" / "tune"
    assert one.name.startswith("lite-")
    assert one == user_cache.keyed_file("tune", "lite", {"b": 2, "a": 1}, ".json")
    assert one != user_cache.keyed_file("tune", "lite", {"a": 1, "b": 3}, ".json")


def test_without_the_variable_it_is_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache.place("x") == tmp_path / ".cache" / "sot_tracker" / "x"
