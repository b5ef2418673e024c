"""Files and folders that appear whole or not at all: written beside their place, then moved there.

What is unfinished has a hidden name, and its process holds a lock on it (flock), which the system releases when that
process ends in any way. So the next process that writes there recognises what a killed one left, and removes it.

Exception: a process that was killed while it replaced a folder leaves the hidden folder with `old` and `new` in it.
These are the only copies; move one back by hand.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex

from sot_tracker.errors import UserError

_UNFINISHED = re.compile(r"\.sot_tracker-[0-9a-f]{12}(\..*)?", re.DOTALL)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A path to write to; when the block ends, the file takes the place of `path`. If the block raises, `path` stays
    as it was and nothing is left behind.

    The path that the block gets has the suffix of `path` and lies in its folder, which is made if it is missing.
    Devices and pipes are written to directly. Raises UserError if the file cannot be written (folder, rights, full
    disk).
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    try:
        if target.exists() and not target.is_file() and not target.is_dir():
            yield target
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with _unfinished(target, target.suffix, lambda path: path.touch(0o666, exist_ok=False)) as beside:
            yield beside
            if target.exists():
                shutil.copymode(target, beside)
            _flush(beside)
            beside.replace(target)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def write_bytes(path: Path, data: bytes) -> None:
    """`path` with that content. Raises UserError if it cannot be written."""
    with new_file(path) as beside:
        beside.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """`path` with that content in UTF-8. Raises UserError if it cannot be written."""
    write_bytes(path, text.encode())


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill; when the block ends, it takes the place of `path`. If the block raises, `path` stays as
    it was and nothing is left behind. Raises UserError if the folder cannot be made, or if the disk gets full.
    """
    target = Path(os.path.realpath(path))
    with contextlib.ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = stack.enter_context(_unfinished(target, "", lambda path: path.mkdir(0o700)))
            fresh = beside / "new"
            fresh.mkdir()
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from None
        try:
            yield fresh
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise UserError(f"cannot write {path}: {error.strerror}") from None
        try:
            if target.exists():
                target.replace(beside / "old")
            fresh.replace(target)
        except OSError as error:
            if (beside / "old").exists():  # the first move worked and the second did not
                (beside / "old").replace(target)
            raise UserError(f"cannot write {path}: {error.strerror or error}") from None


@contextlib.contextmanager
def _unfinished(target: Path, suffix: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """A locked file or folder beside `target`, which `make` makes; removed when the block ends, if it is still there.
    Those that ended processes left in the same folder are removed first.
    """
    with contextlib.suppress(OSError):  # a folder that may be written to, but not listed
        for name in os.listdir(target.parent):  # noqa: PTH208 - quicker than iterdir in a folder of many pictures
            if _UNFINISHED.fullmatch(name):
                _remove_if_left(target.with_name(name))
    lock = -1
    while lock < 0:
        path = target.with_name(f".sot_tracker-{token_hex(6)}{suffix}")
        make(path)
        lock = _locked(path)
    try:
        yield path
    finally:
        _remove(path)
        os.close(lock)


def _locked(path: Path) -> int:
    """The descriptor of a new file or folder, with the lock; -1 if another process took it for one that was left."""
    try:
        lock = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return -1
    with contextlib.suppress(OSError):  # file systems without locks: what is left there is never removed
        fcntl.flock(lock, fcntl.LOCK_EX)
    if path.exists():
        return lock
    os.close(lock)
    return -1


def _remove_if_left(path: Path) -> None:
    """Remove an unfinished file or folder whose process has ended."""
    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError:  # it is finished by now, or belongs to somebody else
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not ((path / "old").exists() and (path / "new").exists()):  # else killed between the two moves
            _remove(path)
    except OSError:  # its process is running
        return
    finally:
        os.close(lock)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """To the disk, so that a power failure after the move does not leave an empty file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
