"""Ends what an own Ray cluster leaves behind when the program that started it was killed: its agents live on otherwise.

Run as `python reaper.py FOLDER` by `cluster.py`; needs the standard library alone. It waits until its standard input is
closed, which also happens when the program is killed, then ends all processes with an open file in FOLDER (their logs)
and removes FOLDER.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path


def main(folder: Path) -> None:
    program = os.getppid()  # not to be ended: it has logs there too, and may have shut the cluster down itself
    sys.stdin.read()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            if int(process.name) != program and _uses(process, folder):
                os.kill(int(process.name), signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def _uses(process: Path, folder: Path) -> bool:
    return any(str(link.readlink()).startswith(f"{folder}{os.sep}") for link in (process / "fd").iterdir())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
