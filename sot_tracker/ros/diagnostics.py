"""The message that is published on `/diagnostics` once per second."""

from __future__ import annotations

import time
from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from sot_tracker.stream.follower import Result
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.statistics import MUCH_DROPPED, Times, dropping
from sot_tracker.tracker import State


class Health:
    """Counts and times of one activation.

    The time `overhead` is the duration of the whole callback, without the tracker's own time.
    """

    def __init__(self, name: str, facts: Mapping[str, str]) -> None:
        """name: of the status. facts: values that do not change (model, engine, topic)."""
        self._name, self._facts = name, dict(facts)
        self._times = Times()
        self._last: Result | None = None
        self._stream = ""
        self._since = time.monotonic()
        self._busy_ms = 0.0
        self._suspect = False
        self._counted = (0, 0, 0)
        self._rate = 0.0
        self._refusal = ""
        self.processed = 0
        self.refused = 0

    def accept(self, frame: Frame) -> None:
        """Count a frame that could be used."""
        self.processed += 1
        if self.processed == 1:
            self._stream = f"{'{}x{} '.format(*frame.size) if frame.size else ''}{frame.encoding}".strip()

    def refuse(self, reason: str) -> None:
        """Count a frame that could not be used."""
        self.refused += 1
        self._refusal = reason

    def stream_once(self) -> str:
        """Size, encoding and rate of the stream, returned once when all are known; empty otherwise."""
        if not self._stream or self.processed < 3 or self._rate == 0:
            return ""
        stream, self._stream = f"{self._stream} at {self._rate:.1f} Hz", ""
        return stream

    def add(self, result: Result, stages: Mapping[str, float], busy_ms: float) -> None:
        """Add a processed frame. busy_ms: duration of the whole callback."""
        self._last = result
        self._busy_ms += busy_ms
        self._times.add({**stages, "overhead": busy_ms - result.tracker_ms})

    def report(self, lost: int, changing: Mapping[str, str], error: str = "") -> tuple[DiagnosticArray, bool]:
        """The message, and whether frames were lost in transport: many were dropped while the node was mostly idle.

        error: why the node gives up, if it does.
        """
        now = time.monotonic()
        period, self._since = max(now - self._since, 1e-3), now
        counts = (self.processed, lost, self.refused)
        frames, dropped, refused = (new - old for new, old in zip(counts, self._counted, strict=True))
        self._counted = counts
        idle = self._busy_ms < 500.0 * period
        self._busy_ms = 0.0
        suspect, self._suspect = self._suspect, idle and dropped > max(2, frames + refused)
        in_transport = suspect and self._suspect  # twice in a row, since the first second of a stream is partly idle
        self._rate = (frames + dropped + refused) / period
        level, text = self._judge(frames, dropped, refused, period, in_transport)
        if error:
            level, text = DiagnosticStatus.ERROR, error
        values = {
            **self._facts,
            **changing,
            "target": self._last.target_id if self._last else "",
            "frames processed": str(self.processed),
            "frames dropped": str(lost),
            "frames refused": str(self.refused),
            "rate Hz": f"{frames / period:.1f}",
            "input rate Hz": f"{self._rate:.1f}",
        }
        for stage, (p50, p95) in self._times.percentiles().items():
            values[f"{stage} p50 ms"], values[f"{stage} p95 ms"] = f"{p50:.3f}", f"{p95:.3f}"
        status = DiagnosticStatus(level=level, name=self._name, message=text, hardware_id=self._facts["model"])
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        return DiagnosticArray(status=[status]), in_transport

    def _judge(self, frames: int, dropped: int, refused: int, period: float, in_transport: bool) -> tuple[bytes, str]:
        if frames + refused == 0:
            return DiagnosticStatus.WARN, "no frames"
        if frames == 0 or refused > max(2, MUCH_DROPPED * (frames + refused)):
            return DiagnosticStatus.WARN, f"{refused} of {frames + refused} frames refused: {self._refusal}"
        if in_transport:
            return DiagnosticStatus.WARN, f"{dropped} frames lost on the way"
        estimate = self._last.estimate if self._last else None
        if estimate is not None and estimate.state is State.LOST:
            return DiagnosticStatus.WARN, "target lost"
        if estimate is not None and estimate.state is State.UNCERTAIN and estimate.coasted_out:
            return DiagnosticStatus.WARN, f"target uncertain ({estimate.reason.value})"
        if advice := dropping(frames, dropped, period):
            return DiagnosticStatus.WARN, advice
        return DiagnosticStatus.OK, "tracking" if estimate else "no target"
