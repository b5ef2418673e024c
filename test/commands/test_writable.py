"""Whether an output can be written is found out before the work, and leaves everything as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from sot_tracker.commands.writable import require_writable
from sot_tracker.errors import UserError


def test_an_older_file_stays_until_it_is_replaced(tmp_path: Path) -> None:
    older = tmp_path / "rows.json"
    older.write_text("older")
    require_writable("--json", older)
    assert older.read_text() == "older"


def test_a_new_file_is_not_left_behind(tmp_path: Path) -> None:
    require_writable("--json", tmp_path / "new" / "rows.json")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_link_to_a_file_that_does_not_exist_yet_stays(tmp_path: Path) -> None:
    link = tmp_path / "latest.json"
    link.symlink_to(tmp_path / "today.json")
    require_writable("--json", link)
    assert link.is_symlink()
    assert not link.exists()


@pytest.mark.parametrize("path", ["", "file/rows.json"])
def test_what_cannot_be_written_is_reported_in_one_line(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--plot .* cannot be written: (Is a directory|Not a directory|File exists)"):
        require_writable("--plot", tmp_path / path)
