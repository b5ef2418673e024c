#!/usr/bin/env python3
"""Write config/default.yaml from `sot_tracker.config`; a test compares the file with this."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sot_tracker.config import DEFAULTS, OPTIONS  # noqa: E402

HEAD = """# All parameters of tracker_node, at their defaults.
# Made by tools/write_config.py: copy it and change the copy.
"""
EXAMPLES = {"init_box": "[310.0, 120.0, 48.0, 96.0]", "range16": "[7000.0, 9000.0]"}


def default_yaml() -> str:
    """Every option with its help text and default."""
    lines = []
    for name, facts in OPTIONS.items():
        notes = [facts.help]
        if facts.choices:
            notes.append(f"One of: {', '.join(facts.choices)}.")
        if facts.low is not None:
            notes.append(f"{facts.low:g} to {facts.high:g}.")
        if facts.live:
            notes.append("May be changed while the node runs.")
        lines += textwrap.wrap(" ".join(notes), 112, initial_indent="    # ", subsequent_indent="    # ")
        # ROS cannot read an empty list: an option without numbers stays a comment.
        empty = DEFAULTS[name] == ()
        lines.append(f"    # {name}: {EXAMPLES[name]}" if empty else f"    {name}: {json.dumps(DEFAULTS[name])}")
    return HEAD + "/**:\n  ros__parameters:\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "config" / "default.yaml").write_text(default_yaml())
