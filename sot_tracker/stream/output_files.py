"""Output files that destroy nothing: refused where they name an input, written beside and moved into place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from sot_tracker.errors import UserError


class NewFile:
    """A file that appears under its name when `keep` is called; `place` is where it is written until then.

    What is not an ordinary file (/dev/stdout, a pipe) is written directly.
    Raises UserError, naming the flag, where there is no place for it.
    """

    def __init__(self, path: Path, flag: str) -> None:
        self.path = path
        if not path.parent.is_dir():
            raise UserError(f"{flag} '{path}': the folder '{path.parent}' does not exist, make it first")
        if path.is_dir():
            raise UserError(f"{flag} '{path}' is a folder: give a file name")
        self._direct = path.exists() and not path.is_file()
        real = path.resolve()  # a link stays a link, and its file is the one that is replaced
        self._real = path if self._direct else real
        self.place = path if self._direct else real.with_name(f".{real.stem[:100]}.part{real.suffix}")

    def keep(self) -> None:
        """Move what was written into place. Raises UserError where that is not possible."""
        if self._direct:
            return
        try:
            self.place.replace(self._real)
        except OSError as error:
            raise UserError(f"'{self.path}' cannot be written: {error.strerror}") from None

    def discard(self) -> None:
        """Remove what was written; what had the name before stays."""
        if not self._direct:
            with suppress(OSError):  # a file that could not be made was reported already
                self.place.unlink(missing_ok=True)


def same_file(one: Path, other: Path) -> bool:
    """Whether both names are one existing file, also through links."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def require_harmless(given: Mapping[str, str], inputs: Iterable[Path]) -> dict[str, Path]:
    """flag -> path for outputs that may be written. inputs: the files that are read.

    Raises UserError, naming the flag, for an empty name or one that no file can have, for a file that is read or lies
    in the folder of pictures that are read (its truth, its labels), and for one name given twice.
    """
    paths = {flag: _path(flag, text) for flag, text in given.items()}
    read = list(inputs)
    for flag, path in paths.items():
        if not path.is_file():
            continue
        identity = _identity(path)
        if any(_identity(source) == identity for source in read):
            raise UserError(f"{flag} '{path}' is read here and would be destroyed: give another name")
        if len(read) > 1 and _lies_in_data_set(path, read[0].parent):
            raise UserError(f"{flag} '{path}' is a file of the data set and would be destroyed: give another name")
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
    """In the folder of the pictures, or beside it where that is a data set's `img` or `color`."""
    folders = [pictures.resolve()]
    if pictures.name in ("img", "color"):
        folders.append(pictures.resolve().parent)
    return path.resolve().parent in folders
