#!/usr/bin/env bash
# Package:  got10k 0.1.3, the toolkit of the GOT-10k benchmark
# Expected: rect_iou(..., bound=(width, height)) cuts both boxes at the border of the picture.
# Observed: it clips the corner first and the size afterwards, so a box that sticks out on the left or at the
#           top is moved inside at its full size: (-10, 0, 20, 20) becomes (0, 0, 20, 20), not (0, 0, 10, 20).
#           On the right and at the bottom it cuts. And it works in place: the boxes of the caller are
#           changed, so every figure computed later from the same arrays is computed from other boxes.
# Output:   left edge   IoU 0.5   truth afterwards [0.0, 0.0, 20.0, 20.0]
#           right edge  IoU 1.0   truth afterwards [90.0, 0.0, 10.0, 20.0]
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'got10k==0.1.3' 'numpy==2.2.6'
"$tmp/venv/bin/python" - <<'PY'
import sys
import numpy as np
from got10k.utils.metrics import rect_iou

# truth sticks out by half; the prediction is the visible half, exactly
cases = {"left edge": ([-10.0, 0, 20, 20], [0.0, 0, 10, 20]), "right edge": ([90.0, 0, 20, 20], [90.0, 0, 10, 20])}
seen = []
for name, (truth, prediction) in cases.items():
    truth, prediction = np.array([truth]), np.array([prediction])
    overlap = rect_iou(prediction, truth, bound=(100, 100))[0]
    seen.append((round(float(overlap), 3), truth[0].tolist()))
    print(f"{name:11} IoU {overlap:.1f}   truth afterwards {truth[0].tolist()}")
sys.exit(0 if seen == [(0.5, [0.0, 0.0, 20.0, 20.0]), (1.0, [90.0, 0.0, 10.0, 20.0])] else 1)
PY
