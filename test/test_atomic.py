"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sot_tracker.atomic import new_file, new_folder, write_text
from sot_tracker.errors import UserError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_is_there_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.csv"
    with new_file(path) as beside:
        assert beside.suffix == ".csv"
        assert beside.parent == path.parent
        beside.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names(path.parent) == ["a.csv"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_failure_leaves_the_older_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("older")

    def write() -> None:
        with new_file(path) as beside:
            beside.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "older"
    assert names(tmp_path) == ["a.txt"]


def test_rights_are_those_of_any_new_file_or_of_the_older_one(tmp_path: Path) -> None:
    plain, older = tmp_path / "plain", tmp_path / "older"
    plain.touch()
    older.touch(0o600)
    write_text(tmp_path / "new", "x")
    write_text(older, "x")
    assert (tmp_path / "new").stat().st_mode == plain.stat().st_mode
    assert stat.S_IMODE(older.stat().st_mode) == 0o600


def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_text(tmp_path / "link", "x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "x"


def test_device_is_written_to_and_stays(tmp_path: Path) -> None:
    write_text(Path(os.devnull), "x")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    with pytest.raises(UserError, match="cannot write /dev/full: No space left on device"):
        write_text(Path("/dev/full"), "x")


@pytest.mark.parametrize("name", ["file/below", "folder", "n" * 300])
def test_place_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    before = names(tmp_path)
    with pytest.raises(UserError, match=f"cannot write {tmp_path}") as caught:
        write_text(tmp_path / name, "x")
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == before


def test_folder_replaces_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / "old").touch()
    with new_folder(path) as fresh:
        (fresh / "new").touch()
        assert names(path) == ["old"]
    assert names(path) == ["new"]
    assert names(tmp_path) == ["a"]


def test_failure_leaves_the_older_folder(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / "old").touch()

    def write() -> None:
        with new_folder(path) as fresh:
            (fresh / "new").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["a"]


def test_folder_that_cannot_be_made() -> None:
    with pytest.raises(UserError, match="cannot write /dev/null/x"), new_folder(Path("/dev/null/x")):
        pass


def test_a_disk_that_gets_full_while_a_folder_is_filled_is_one_line(tmp_path: Path) -> None:
    def fill() -> None:
        with new_folder(tmp_path / "model"), Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"weights")

    with pytest.raises(UserError, match=r"cannot write .*/model: No space left on device"):
        fill()
    assert names(tmp_path) == []


def test_another_error_in_the_block_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="weights"), new_folder(tmp_path / "model"):
        (tmp_path / "weights").read_bytes()
    assert names(tmp_path) == []
