"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def test_a_folder_that_cannot_be_replaced_is_still_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("older")
    move = Path.replace

    def refuse_the_new_one(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise PermissionError(13, "Permission denied")
        return move(self, target)

    monkeypatch.setattr(Path, "replace", refuse_the_new_one)
    with pytest.raises(UserError, match=r"cannot write .*Permission denied"), new_folder(tmp_path / "model") as fresh:
        (fresh / "weights").write_text("newer")
    assert (tmp_path / "model" / "weights").read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


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


WRITES = """
import sys, time
from pathlib import Path
from sot_tracker.atomic import new_file, new_folder
with new_file(Path(sys.argv[1]) / "a.csv") as file, new_folder(Path(sys.argv[1]) / "model") as folder:
    file.write_text("half")
    (folder / "weights").write_text("half")
    print("writes", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_program_left_is_removed_by_the_next_and_what_is_being_written_stays(tmp_path: Path) -> None:
    running, killed = (
        subprocess.Popen([sys.executable, "-c", WRITES, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(2)
    )
    try:
        for one in (running, killed):
            assert one.stdout is not None
            assert one.stdout.readline() == "writes\n"
        assert len(names(tmp_path)) == 4
        write_text(tmp_path / "other.csv", "x")
        assert len(names(tmp_path)) == 5, "both are still writing"
        killed.kill()
        killed.wait()
        (tmp_path / ".sot_tracker-label").touch()
        write_text(tmp_path / "a.csv", "x")
        assert [name for name in names(tmp_path) if name[0] != "."] == ["a.csv", "other.csv"]
        assert len(names(tmp_path)) == 5, "the file and the folder of the running program, and the marker"
    finally:
        for one in (running, killed):
            one.kill()
            one.wait()
    with new_folder(tmp_path / "model"):
        pass
    assert names(tmp_path) == [".sot_tracker-label", "a.csv", "model", "other.csv"]


def test_a_file_that_was_taken_for_a_leftover_before_its_lock_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another program that writes there at the same time."""
    lock, taken = fcntl.flock, []

    def late(descriptor: int, kind: int) -> None:
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        lock(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", late)
    with new_file(tmp_path / "a") as unfinished:
        assert unfinished.exists()
        assert unfinished not in taken
    assert len(taken) == 1
    assert names(tmp_path) == ["a"]


def test_the_only_copies_of_a_folder_are_not_removed(tmp_path: Path) -> None:
    """Killed between the two moves."""
    left = tmp_path / ".sot_tracker-0123456789ab"
    for name in ("old", "new"):
        (left / name).mkdir(parents=True)
    write_text(tmp_path / "a", "x")
    assert names(tmp_path) == [left.name, "a"]
    shutil.rmtree(left / "new")  # both moves were made
    write_text(tmp_path / "a", "x")
    assert names(tmp_path) == ["a"]


def test_a_new_file_that_another_process_removes_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That process finds it without a lock."""
    touch, flock, removed = Path.touch, fcntl.flock, []

    def remove() -> None:
        (path,) = tmp_path.glob(".sot_tracker-*")
        removed.append(path)
        path.unlink()

    def touched(path: Path, *given: Any, **named: Any) -> None:
        touch(path, *given, **named)
        if not removed:
            remove()

    def locked(lock: int, how: int) -> None:
        if len(removed) == 1:
            remove()
        flock(lock, how)

    monkeypatch.setattr(Path, "touch", touched)
    monkeypatch.setattr(fcntl, "flock", locked)
    write_text(tmp_path / "a", "x")
    assert len(removed) == 2
    assert (tmp_path / "a").read_text() == "x"
    assert names(tmp_path) == ["a"]


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that another process may be writing is removed there."""

    def none(lock: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    (tmp_path / ".sot_tracker-0123456789ab.csv").touch()
    write_text(tmp_path / "a", "x")
    assert names(tmp_path) == [".sot_tracker-0123456789ab.csv", "a"]
