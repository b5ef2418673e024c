"""Where the files beside the Python code are: in the share folder of a colcon install, else in the checkout."""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory


def config_file(name: str) -> Path | None:
    """A file of `config/`; None for a pip install, which has none."""
    try:
        folders = [Path(get_package_share_directory("sot_tracker"))]
    except PackageNotFoundError:
        folders = []
    folders.append(Path(__file__).parents[2])
    return next((path for folder in folders if (path := folder / "config" / name).is_file()), None)
