"""Where the files beside the Python code are: in the share folder of a colcon install, else in the checkout."""

from __future__ import annotations

import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from sot_tracker.ros import PROFILE_VARIABLES


def config_file(name: str) -> Path | None:
    """A file of `config/`; None for a pip install, which has none."""
    try:
        folders = [Path(get_package_share_directory("sot_tracker"))]
    except PackageNotFoundError:
        folders = []
    folders.append(Path(__file__).parents[2])
    return next((path for folder in folders if (path := folder / "config" / name).is_file()), None)


def large_segment() -> dict[str, str]:
    """Environment that gives Fast DDS a shared-memory segment for whole images; empty where the user chose profiles."""
    profile = config_file("fastdds_large.xml")
    chosen = any(name in os.environ for name in PROFILE_VARIABLES)
    return {} if chosen or profile is None else dict.fromkeys(PROFILE_VARIABLES, str(profile))
