"""How many processors this process may use, and what they can do."""

from __future__ import annotations

import os
import platform
from pathlib import Path

FEATURES = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "VNNI",
    "avx_vnni": "VNNI",
    "avx512_bf16": "bf16",
    "amx_tile": "AMX",
    "asimd": "NEON",
    "asimddp": "dot product",
}
"""Flag of /proc/cpuinfo -> what it is called: what decides which arithmetic is fast."""


def usable() -> int:
    """Processors that the CPU affinity (`taskset`, `docker --cpuset-cpus`, Slurm) leaves to this process, 1 or more."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def is_restricted() -> bool:
    """Whether that is fewer than the machine has."""
    return usable() < (os.cpu_count() or 1)


def features(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str]:
    """What of `FEATURES` the processor has, without doubles; empty where the system does not say."""
    flags = _fields(cpuinfo).get("flags") or _fields(cpuinfo).get("Features") or ""
    there = set(flags.split())
    return list(dict.fromkeys(name for flag, name in FEATURES.items() if flag in there))


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Name and features in one line, for example "AMD EPYC (AVX2, AVX-512, VNNI, bf16)"."""
    name = _fields(cpuinfo).get("model name") or platform.machine()
    found = features(cpuinfo)
    return f"{name} ({', '.join(found)})" if found else name


def _fields(cpuinfo: Path) -> dict[str, str]:
    """The fields of the first processor in cpuinfo: name -> value; empty if it cannot be read."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}
