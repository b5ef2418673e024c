#!/usr/bin/env bash
# Package:  filterpy 1.4.5 (2.0.0 is right; what depends on filterpy<2, such as norfair 2.1.1, still gets 1.4.5)
# Expected: on a linear model the unscented Kalman filter gives the Kalman filter's own answer.
# Observed: 1.4.5 does not. update() takes the sigma points that predict() moved and never draws new ones
#           from the predicted covariance, so the process noise is missing from the gain. The variance of the
#           position after a measurement of variance 1 comes out as 1.8, which no measurement can leave.
# Output:   filterpy 1.4.5  position variance: unscented 1.817, Kalman 0.820
#           filterpy 2.0.0  position variance: unscented 0.820, Kalman 0.820
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'numpy==2.2.6' 'scipy==1.15.3' 'matplotlib==3.10.7'
for version in 1.4.5 2.0.0; do
  "$tmp/venv/bin/pip" install --quiet --no-deps --target "$tmp/$version" "filterpy==$version"
  PYTHONPATH="$tmp/$version" "$tmp/venv/bin/python" - "$version" <<'PY'
import sys
import numpy as np
from filterpy.kalman import KalmanFilter, MerweScaledSigmaPoints, UnscentedKalmanFilter

kalman = KalmanFilter(dim_x=2, dim_z=1)
kalman.F, kalman.H = np.array([[1.0, 1], [0, 1]]), np.array([[1.0, 0]])  # Q, R and P are unit matrices in both
points = MerweScaledSigmaPoints(2, alpha=0.1, beta=2.0, kappa=1.0)
unscented = UnscentedKalmanFilter(2, 1, 1.0, lambda x: x[:1], lambda x, dt: kalman.F @ x, points)
for position in range(3):
    for one in (kalman, unscented):
        one.predict()
        one.update(np.array([position]))
u, k = unscented.P[0, 0], kalman.P[0, 0]
print(f"filterpy {sys.argv[1]}  position variance: unscented {u:.3f}, Kalman {k:.3f}")
sys.exit(0 if np.isclose(u, k) == (sys.argv[1] != "1.4.5") and k < 1 else 1)
PY
done
