"""Files and folders that appear whole or not at all: written beside their place, then moved there."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

from sot_tracker.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A path to write to; when the block ends, the file takes the place of `path`. If the block raises, `path` stays
    as it was and nothing is left behind.

    The path given has the same suffix and lies in the same folder, which is made if it is missing. Devices and pipes
    are written to directly. Raises UserError if the file cannot be written (folder, rights, full disk).
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    try:
        if target.exists() and not target.is_file() and not target.is_dir():
            yield target
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".sot_tracker-{token_hex(6)}{target.suffix}")
        try:
            beside.touch(0o666, exist_ok=False)
            yield beside
            if target.exists():
                shutil.copymode(target, beside)
            _flush(beside)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
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
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        place = tempfile.TemporaryDirectory(prefix=".sot_tracker-", dir=target.parent)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    with place as beside:
        fresh = Path(beside) / "new"
        fresh.mkdir()
        try:
            yield fresh
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise UserError(f"cannot write {path}: {error.strerror}") from None
        try:
            if target.exists():
                target.replace(Path(beside) / "old")
            fresh.replace(target)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def _flush(path: Path) -> None:
    """To the disk, so that a power failure after the move does not leave an empty file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
