#!/usr/bin/env bash
# Package:  opencv-contrib-python 5.1.0.95 (4.13.0.92 answers 1x1)
# Expected: an array and a number give an array of the same shape: cv2.add(one pixel, 10) is one pixel.
# Observed: for an array of exactly 1x1, OpenCV 5 gives 4x1: the binding turns the number into four values,
#           and arithmetic then takes the 1x1 array for the scalar. 1x2, 2x1 and everything larger keep their
#           shape. absdiff changes the type to float64 as well. It meets code that works on crops or score
#           maps whose size can shrink to one.
# Output:   add       1x1 uint8   -> (4, 1) uint8
#           absdiff   1x1 uint8   -> (4, 1) float64
#           add       1x2 uint8   -> (1, 2) uint8
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

results = {}
for shape in ((1, 1), (1, 2), (2, 1)):
    for name in ("add", "subtract", "multiply", "absdiff"):
        out = getattr(cv2, name)(np.full(shape, 5, np.uint8), 2)
        results[name, shape] = out.shape
        print(f"{name:9} {shape[0]}x{shape[1]} uint8   -> {out.shape} {out.dtype}")
surprise = all(out == ((4, 1) if shape == (1, 1) else shape) for (_, shape), out in results.items())
sys.exit(0 if surprise else 1)
PY
