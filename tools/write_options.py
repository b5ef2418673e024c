#!/usr/bin/env python3
"""Write the table in docs/options.md from `sot_tracker.config`; a test compares them."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sot_tracker.config import RENAMED, Config  # noqa: E402
from sot_tracker.options import markdown_table  # noqa: E402

HEAD = """# Options

Every option is a parameter of `tracker_node` and a launch argument. If the column "known to" says so, it is also a flag
of `sot-tracker` (`--lost-threshold` for `lost_threshold`) and a keyword argument of `sot_tracker.load` in Python.
`tools/write_options.py` makes this page from `sot_tracker.config.Config`.

"""


def page() -> str:
    """The whole of docs/options.md."""
    old = "\n".join(f"- `{name}` (old: `{before}`)" for before, name in RENAMED.items())
    return f"{HEAD}{markdown_table(Config)}\n\nRenamed options, accepted under the old name with a warning:\n\n{old}\n"


if __name__ == "__main__":
    (ROOT / "docs" / "options.md").write_text(page(), encoding="utf-8")
