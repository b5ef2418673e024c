#!/usr/bin/env bash
# Package:  opencv-contrib-python 5.1.0.95 (4.13.0.92 does the same)
# Expected: TrackerKCF learns the target from the picture given to init(), as CSRT and MIL do.
# Observed: init() keeps the box and never looks at the picture. The first update() answers the init box
#           for whatever picture it gets and learns from that one. A target that moved between init() and
#           the first update() is followed with that offset for ever, and a tracker started on a black
#           picture works just as well.
# Output:   KCF  init on its own picture  [(100, 80), (100, 80), (100, 80)]
#           KCF  init on a black picture  [(100, 80), (100, 80), (100, 80)]
#           CSRT init on its own picture  [(108, 84), (108, 84), (108, 84)]
#           CSRT init on a black picture  lost
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'opencv-contrib-python==5.1.0.95' 'numpy==2.2.6'
"$tmp/venv/bin/python" - <<'PY'
import sys
import cv2
import numpy as np

rng = np.random.default_rng(0)
background = cv2.GaussianBlur(rng.integers(0, 255, (240, 320, 3), np.uint8), (0, 0), 3)
target = cv2.resize(rng.integers(0, 255, (8, 8, 3), np.uint8), (48, 48), interpolation=cv2.INTER_CUBIC)


def picture(x, y):
    frame = background.copy()
    frame[y : y + 48, x : x + 48] = target
    return frame


def follow(name, first):
    """Corners answered when the target stands at (108, 84), 8 and 4 pixels from where init saw it."""
    tracker = getattr(cv2, f"Tracker{name}_create")()
    tracker.init(first, (100, 80, 48, 48))
    answers = [tracker.update(picture(108, 84)) for _ in range(3)]
    return [box[:2] for found, box in answers if found]


corners = {}
for name in ("KCF", "CSRT"):
    for label, first in (("its own", picture(100, 80)), ("a black", np.zeros_like(background))):
        corners[name, label] = follow(name, first)
        print(f"{name:4} init on {label} picture ", corners[name, label] or "lost")
same = corners["KCF", "its own"] == corners["KCF", "a black"] == [(100, 80)] * 3
looks = corners["CSRT", "its own"] == [(108, 84)] * 3 and not corners["CSRT", "a black"]
sys.exit(0 if same and looks else 1)
PY
