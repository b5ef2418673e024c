"""What a process holds, from Linux's /proc, and what was wrong with a tracker node's messages."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_KEPT = 20


@dataclass(frozen=True, slots=True)
class Resources:
    """rss_mb: resident memory in MiB. threads, files: open ones."""

    rss_mb: float
    threads: int
    files: int


def resources_of(pid: int | str = "self") -> Resources:
    """The resources of a running process. Raises OSError if it has ended or there is no /proc."""
    folder = Path("/proc") / str(pid)
    pages = int((folder / "statm").read_text().split()[1])
    return Resources(
        rss_mb=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        threads=sum(1 for _ in (folder / "task").iterdir()),
        files=sum(1 for _ in (folder / "fd").iterdir()),
    )


@dataclass
class Watch:
    """Checks every state and detection against rules that hold whatever was sent.

    The sender numbers its frames upwards and writes the number into `frame_id`. The rules: an answer carries the header
    of a frame that was sent, no answer is for an older frame than the one before it, and all numbers are finite.
    stamps: (sec, nanosec) by number, for frames whose stamps are checked. faults: the first `MAX_KEPT` broken rules.
    """

    stamps: dict[int, tuple[int, int]] = field(default_factory=dict)
    states: int = 0
    detections: int = 0
    lost: int = 0
    broken: int = 0
    faults: list[str] = field(default_factory=list)
    _newest: dict[str, int] = field(default_factory=dict)

    def see_state(self, message: Any) -> int | None:
        """The number of its frame, or None where that is not known."""
        self.states += 1
        self.lost += message.state == message.LOST
        self._require(math.isfinite(message.score) and 0 <= message.score <= 1, f"state with score {message.score}")
        numbers = list(message.stage_ms)
        self._require(all(map(math.isfinite, numbers)), f"state with stage times {numbers}")
        return self._see_header("state", message.header)

    def see_detection(self, message: Any) -> int | None:
        """The number of its frame, or None where that is not known."""
        self.detections += 1
        center, score = message.bbox.center.position, message.results[0].hypothesis.score
        numbers = [center.x, center.y, message.bbox.size_x, message.bbox.size_y, score]
        sound = all(map(math.isfinite, numbers)) and min(numbers[2:4]) > 0
        self._require(sound, f"detection with numbers {numbers}")
        return self._see_header("detection", message.header)

    def report(self, fault: str) -> None:
        self.broken += 1
        if len(self.faults) < MAX_KEPT:
            self.faults.append(fault)

    def _require(self, holds: bool, fault: str) -> None:
        if not holds:
            self.report(fault)

    def _see_header(self, topic: str, header: Any) -> int | None:
        if not header.frame_id.isdecimal():
            self.report(f"{topic} with frame_id '{header.frame_id}', which no frame had")
            return None
        number, newest = int(header.frame_id), self._newest.get(topic, -1)
        self._require(number >= newest, f"{topic} of frame {number} after that of frame {newest}")
        stamp, sent = (header.stamp.sec, header.stamp.nanosec), self.stamps.get(number)
        self._require(sent in (None, stamp), f"{topic} of frame {number} has stamp {stamp}, sent was {sent}")
        self._newest[topic] = max(number, newest)
        return number
