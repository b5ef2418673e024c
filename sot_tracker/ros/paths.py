"""Finds the files outside of the Python package: in the share folder of a colcon install, else in the checkout."""

from __future__ import annotations

import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from sot_tracker.ros import PROFILE_VARIABLES


def config_file(name: str) -> Path | None:
    """The path of a file in `config/`; None in a pip install, which does not contain it."""
    try:
        folders = [Path(get_package_share_directory("sot_tracker"))]
    except PackageNotFoundError:
        folders = []
    folders.append(Path(__file__).parents[2])
    return next((path for folder in folders if (path := folder / "config" / name).is_file()), None)


def large_segment() -> dict[str, str]:
    """Environment variables that give Fast DDS a large enough shared-memory segment for images.

    Empty if the user has set profiles of their own.
    """
    profile = config_file("fastdds_large.xml")
    chosen = any(name in os.environ for name in PROFILE_VARIABLES)
    return {} if chosen or profile is None else dict.fromkeys(PROFILE_VARIABLES, str(profile))
