"""Output files that overwrite nothing by mistake: inputs are refused, and files are moved into place when complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from sot_tracker.errors import UserError


class NewFile:
    """A file that appears under its name when `keep` is called; until then it is written at `place`.

    Anything but an ordinary file (/dev/stdout, a pipe) is written directly.
    Raises UserError, naming the flag, if the folder does not exist or the path is a folder.
    """

    def __init__(self, path: Path, flag: str) -> None:
        self.path = path
        if not path.parent.is_dir():
            raise UserError(f"{flag} '{path}': the folder '{path.parent}' does not exist, make it first")
        if path.is_dir():
            raise UserError(f"{flag} '{path}' is a folder: give a file name")
        self._direct = path.exists() and not path.is_file()
        real = path.resolve()  # of a symbolic link, the file that it points to is replaced
        self._real = path if self._direct else real
        self.place = path if self._direct else real.with_name(f".{real.stem[:100]}.part{real.suffix}")

    def keep(self) -> None:
        """Move the file into place. Raises UserError if that is not possible."""
        if self._direct:
            return
        try:
            self.place.replace(self._real)
        except OSError as error:
            raise UserError(f"'{self.path}' cannot be written: {error.strerror}") from None

    def discard(self) -> None:
        """Delete what was written; an older file of that name stays."""
        if not self._direct:
            with suppress(OSError):  # a file that could not be created was reported already
                self.place.unlink(missing_ok=True)


def same_file(one: Path, other: Path) -> bool:
    """Whether both paths are the same existing file, also through links."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def require_harmless(given: Mapping[str, str], inputs: Iterable[Path]) -> dict[str, Path]:
    """Flag -> path of the outputs, after checking that they may be written. inputs: the files that are read.

    Raises UserError, naming the flag, for an empty or impossible file name, for a file that is read or that is in the
    folder of the pictures that are read (their truth, their labels), and for a name that was given twice.
    """
    paths = {flag: _path(flag, text) for flag, text in given.items()}
    read = list(inputs)
    for flag, path in paths.items():
        if not path.is_file():
            continue
        identity = _identity(path)
        if any(_identity(source) == identity for source in read):
            raise UserError(f"{flag} '{path}' is an input and would be overwritten: give another name")
        if len(read) > 1 and _lies_in_data_set(path, read[0].parent):
            raise UserError(f"{flag} '{path}' is a file of the data set and would be overwritten: give another name")
    targets = {flag: path.resolve() for flag, path in paths.items() if not path.exists() or path.is_file()}
    if len(set(targets.values())) < len(targets):
        raise UserError(f"{' and '.join(targets)} name one file, '{next(iter(paths.values()))}': give two names")
    return paths


def _path(flag: str, text: str) -> Path:
    if not text:
        raise UserError(f"{flag} is empty: give a file name")
    if text == "-":
        raise UserError(f"{flag} - is not a file name: give /dev/stdout for the standard output")
    path = Path(text)
    try:
        path.exists()
        path.resolve()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{flag} '{text[:60]}...' cannot be written: {reason}") from None
    return path


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        known = path.stat()
    except OSError:
        return None
    return known.st_dev, known.st_ino


def _lies_in_data_set(path: Path, pictures: Path) -> bool:
    """Whether the path is in the folder of the pictures, or in its parent if that folder is called `img` or `color`."""
    folders = [pictures.resolve()]
    if pictures.name in ("img", "color"):
        folders.append(pictures.resolve().parent)
    return path.resolve().parent in folders
