"""Whether what a command will write can be written, before its minutes of work."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sot_tracker.errors import UserError


def require_writable(flag: str, path: Path) -> None:
    """Raise UserError unless that file can be written; it stays as it is. Folders that are missing are made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        existed = path.exists()
        path.open("a").close()
        if not existed:
            path.resolve().unlink()  # of a link to a file that did not exist, that file
    except OSError as error:
        raise UserError(f"{flag} {path} cannot be written: {error.strerror}") from None


def require_writable_folder(folder: Path) -> None:
    """Raise UserError unless files can be made in that folder."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"folder {folder} cannot be written to: {error.strerror}") from None
