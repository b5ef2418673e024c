"""The script for a GPU machine, dry: on the CPU, one model, two runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "gpu_check.py"


def test_dry_run() -> None:
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--model", "lite", "--runs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = found["models"]["lite"]
    assert rows["onnx"]["agreement"]["pairs"] > 0.99
    assert rows["onnx"]["ms"] > 0
    assert rows["torch"]["x4 cost"] > 0
    assert "left out" in rows["tensorrt fp16"]["error"]
    assert found["runs"] == 2
