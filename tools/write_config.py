#!/usr/bin/env python3
"""Write config/*.yaml from `sot_tracker.config` and `sot_tracker.catalog`; a test compares the files with this."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sot_tracker.catalog import MODELS, ModelSpec  # noqa: E402
from sot_tracker.config import DEFAULTS, OPTIONS  # noqa: E402

HEAD = "# {}\n# Made by tools/write_config.py: copy it and change the copy.\n/**:\n  ros__parameters:\n"


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
        lines.append(
            "    # init_box: [310.0, 120.0, 48.0, 96.0]" if empty else f"    {name}: {json.dumps(DEFAULTS[name])}"
        )
    return HEAD.format("All parameters of tracker_node, at their defaults.") + "\n".join(lines) + "\n"


def model_yaml(spec: ModelSpec) -> str:
    """What differs for one model."""
    return HEAD.format(f"{spec.title}: {spec.source}.") + f"    model: {json.dumps(spec.name)}\n"


def files() -> dict[str, str]:
    """File name -> content of everything that is written to config/."""
    return {"default.yaml": default_yaml(), **{f"{name}.yaml": model_yaml(spec) for name, spec in MODELS.items()}}


if __name__ == "__main__":
    for name, text in files().items():
        (ROOT / "config" / name).write_text(text)
