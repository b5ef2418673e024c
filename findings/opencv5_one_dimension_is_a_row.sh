#!/usr/bin/env bash
# Package:  opencv-contrib-python 4.13.0.92 and 5.1.0.95
# Expected: a one-dimensional NumPy array means the same to both: a column, as in every release before.
# Observed: OpenCV 5 takes it as a row. Nothing warns. A filter2D or dilate kernel works along the other
#           axis, GaussianBlur with ksize (1, 3) does nothing, minMaxLoc reports the index of the best score
#           in x instead of y (so `loc[1]`, right until now, is always 0), calcHist answers (bins,) instead
#           of (bins, 1), and KalmanFilter.correct refuses a measurement that it took before.
# Output:   4.13.0 minMaxLoc index (0, 1)
#           5.1.0 minMaxLoc index (1, 0)
#           5.1.0 filter2D of a dot by a 1-D kernel spreads along x
#           5.1.0 KalmanFilter.correct with two numbers refused      (and so on)
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
for version in 4.13.0.92 5.1.0.95; do
  "$tmp/venv/bin/pip" install --quiet --target "$tmp/$version" "opencv-contrib-python==$version" numpy==2.2.6
  PYTHONPATH="$tmp/$version" "$tmp/venv/bin/python" - "$version" <<'PY'
import sys
import cv2
import numpy as np

scores = np.array([0.1, 0.9, 0.3], np.float32)
dot = np.zeros((3, 3), np.float32)
dot[1, 1] = 1


def correct():
    kalman = cv2.KalmanFilter(4, 2)
    kalman.predict()
    try:
        return str(kalman.correct(np.float32([1, 2])).shape)
    except cv2.error:
        return "refused"


seen = {
    "minMaxLoc index": cv2.minMaxLoc(scores)[3],
    "filter2D of a dot by a 1-D kernel spreads along": "y" if cv2.filter2D(dot, -1, scores)[0, 1] else "x",
    "dilate of a dot by a 1-D kernel spreads along": "y" if cv2.dilate(dot, np.ones(3, np.uint8))[0, 1] else "x",
    "GaussianBlur (1, 3) changes the scores": not np.allclose(cv2.GaussianBlur(scores, (1, 3), 1).ravel(), scores),
    "calcHist shape": cv2.calcHist([scores], [0], None, [2], [0, 1]).shape,
    "KalmanFilter.correct with two numbers": correct(),
}
for name, value in seen.items():
    print(cv2.__version__, name, value)
old = [(0, 1), "y", "y", True, (2, 1), "(4, 1)"]
new = [(1, 0), "x", "x", False, (2,), "refused"]
sys.exit(0 if list(seen.values()) == (old if sys.argv[1].startswith("4") else new) else 1)
PY
done
