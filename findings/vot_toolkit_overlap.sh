#!/usr/bin/env bash
# Package:  vot-toolkit 0.9.0
# Expected: calculate_overlap gives the area of the intersection over the area of the union.
# Observed: regions are drawn on a pixel grid first, and rectangles and polygons are drawn by different
#           rules. A square and the polygon of the same four corners overlap by 100/121 = 0.826, since the
#           polygon also covers the pixels of its right and lower edge. Shifts of up to half a pixel cost
#           nothing, the next tenth costs a whole pixel. For a target of 10 pixels that is a third of the
#           score; it matters to anyone who compares own boxes (exact area) with figures of the toolkit.
# Output:   square and the polygon of its corners      0.826   exact 1.000
#           square and itself shifted by (0.5, 0.5)    1.000   exact 0.822
#           square and itself shifted by (0.6, 0.6)    0.681   exact 0.791
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'vot-toolkit==0.9.0' 'attributee==0.1.8' 'numpy==2.2.6'
"$tmp/venv/bin/python" - <<'PY'
import sys
from vot.region import Polygon, Rectangle, calculate_overlap


def exact(shift):
    both = (10 - shift) ** 2
    return both / (200 - both)


square = Rectangle(0, 0, 10, 10)
corners = Polygon([(0, 0), (10, 0), (10, 10), (0, 10)])
seen = [calculate_overlap(square, corners)]
print(f"square and the polygon of its corners      {seen[0]:.3f}   exact 1.000")
for shift in (0.5, 0.6):
    seen.append(calculate_overlap(square, Rectangle(shift, shift, 10, 10)))
    print(f"square and itself shifted by ({shift}, {shift})    {seen[-1]:.3f}   exact {exact(shift):.3f}")
sys.exit(0 if [round(value, 3) for value in seen] == [0.826, 1.0, 0.681] else 1)
PY
