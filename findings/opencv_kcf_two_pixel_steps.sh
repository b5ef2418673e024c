#!/usr/bin/env bash
# Package:  opencv-contrib-python 5.1.0.95
# Expected: TrackerKCF answers whole pixels for a target of any size.
# Observed: above 80x80 pixels (the default max_patch_size is 6400) the tracker works on a picture of half
#           size and never refines the result: the answered corner moves in steps of two pixels. A target
#           that moves one pixel per frame is answered as standing still for a frame or two and then as
#           jumping by two, so a speed taken from the boxes is wrong in every frame.
# Output:   80x80  corner x: [101, 102, 103, 104, 105, 106, 107, 108]
#           82x82  corner x: [102, 104, 104, 104, 106, 108, 108, 108]
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


def corners(side):
    target = cv2.resize(rng.integers(0, 255, (10, 10, 3), np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)

    def picture(x):
        frame = background.copy()
        frame[60 : 60 + side, x : x + side] = target
        return frame

    tracker = cv2.TrackerKCF_create()
    tracker.init(picture(100), (100, 60, side, side))
    tracker.update(picture(100))  # the first update learns the target
    return [int(tracker.update(picture(100 + step))[1][0]) for step in range(1, 9)]


small, large = corners(80), corners(82)
print("80x80  corner x:", small)
print("82x82  corner x:", large)
sys.exit(0 if small == list(range(101, 109)) and all(x % 2 == 0 for x in large) else 1)
PY
