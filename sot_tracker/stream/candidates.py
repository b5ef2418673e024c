"""Rules that select one of a detector's boxes as the target, without ROS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sot_tracker.box import Box
from sot_tracker.config import OPTIONS
from sot_tracker.errors import UserError

RULES = OPTIONS["select"].choices or ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One box of a detector. hypotheses: its classes, each with a score; may be empty."""

    box: Box
    target_id: str = ""
    hypotheses: tuple[tuple[str, float], ...] = ()

    def score(self, class_id: str | None = None) -> float:
        """The best score, or that of the given class; -inf if there is none or it is NaN."""
        scores = [score for name, score in self.hypotheses if class_id in (None, name) and not math.isnan(score)]
        return max(scores, default=-math.inf)


@dataclass(frozen=True, slots=True)
class Selection:
    """A rule of `RULES` and its value: an id, a class, or a point as "x,y" (empty: the frame's centre).

    Raises UserError for an invalid rule or value.
    """

    rule: str = "off"
    value: str = ""

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise UserError(f"select='{self.rule}' is not possible: choose one of {', '.join(RULES)}")
        if self.rule in ("id", "class") and not self.value:
            raise UserError(f"select={self.rule} needs select_value: the {self.rule} of the detection to start on")
        self.point()

    def point(self) -> tuple[float, float] | None:
        """The point of the rule "nearest" in pixels; None for the frame's centre."""
        if self.rule != "nearest" or not self.value:
            return None
        try:
            x, y = (float(part) for part in self.value.strip(" ()[]").replace(",", " ").split())
        except ValueError:
            x = y = math.nan
        if not (math.isfinite(x) and math.isfinite(y)):
            raise UserError(f"select_value='{self.value}' is not a point: give x,y in pixels, for example 320,240")
        return x, y

    def choose(self, candidates: Sequence[Candidate], center: tuple[float, float]) -> Candidate | None:
        """The candidate that the rule selects; None if there is none. center: of the frame, pixels.

        If several have the wanted id or class, the one with the best score is selected. Invalid boxes are ignored.
        "nearest" compares the distances from the point to the boxes (0 inside), then to their centres.
        """
        usable = [candidate for candidate in candidates if candidate.box.is_valid]
        if self.rule == "id":
            usable = [candidate for candidate in usable if candidate.target_id == self.value]
        elif self.rule == "class":
            usable = [c for c in usable if any(name == self.value for name, _ in c.hypotheses)]
        if not usable or self.rule == "off":
            return None
        if self.rule == "nearest":
            at = self.point() or center
            return min(usable, key=lambda candidate: _distances(candidate.box, at))
        return max(usable, key=lambda candidate: candidate.score(self.value if self.rule == "class" else None))

    def mismatch(self, candidates: Sequence[Candidate]) -> str:
        """Which ids or classes there are, for the log, if no candidate has the wanted one; else ""."""
        if self.rule not in ("id", "class"):
            return ""
        has_id = self.rule == "id"
        found = {n for c in candidates for n in ((c.target_id,) if has_id else (name for name, _ in c.hypotheses))}
        if not candidates or self.value in found:
            return ""
        shown = ", ".join(repr(name[:40]) for name in sorted(found)[:10])
        return f"no detection has the {self.rule} {self.value!r}: there are {shown or 'none'}"


def _distances(box: Box, point: tuple[float, float]) -> tuple[float, float]:
    """Pixels from the point to the box and to its centre."""
    x1, y1, x2, y2 = box.xyxy
    x, y = point
    outside = math.hypot(max(x1 - x, 0.0, x - x2), max(y1 - y, 0.0, y - y2))
    return outside, math.dist(point, box.center)
