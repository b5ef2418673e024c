"""How many processors this process may use."""

from __future__ import annotations

import os


def usable() -> int:
    """Processors that the CPU affinity (`taskset`, `docker --cpuset-cpus`, Slurm) leaves to this process, 1 or more."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def is_restricted() -> bool:
    """Whether that is fewer than the machine has."""
    return usable() < (os.cpu_count() or 1)
