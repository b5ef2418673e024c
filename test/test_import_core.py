"""The core needs NumPy and OpenCV, and nothing else."""

import subprocess
import sys

import pytest

BLOCKED = (
    "torch", "torchvision", "rclpy", "sensor_msgs", "vision_msgs", "onnx", "onnxruntime", "openvino", "safetensors",
    "matplotlib", "skimage", "scipy", "PIL", "typing_extensions", "tensorboard", "yaml",
)  # fmt: skip
BLOCK = f"import sys\nsys.modules.update(dict.fromkeys({BLOCKED!r}))\n"  # as if they were not installed
TRACK = """
import numpy as np
import sot_tracker
from sot_tracker.loading import load_network
tracker = sot_tracker.load("kcf")
image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
tracker.init(image, sot_tracker.Box(30, 30, 24, 24))
print(tracker.update(image).state)
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BLOCK + code], capture_output=True, text=True, check=False)


def test_core_tracks_without_any_optional_package():
    done = python(TRACK)
    assert done.stderr == ""
    assert done.stdout.strip() == "State.TRACKING"


@pytest.mark.parametrize(
    "module",
    ["box", "config", "crop", "decode", "stream.draw", "tracking.network_tracker", "stream.sources", "catalog", "cli",
     "model_folder", "commands.track", "commands.eval", "commands.models", "evaluate.ope", "evaluate.report"],
)  # fmt: skip
def test_modules_import_without_optional_packages(module):
    assert python(f"import sot_tracker.{module}").stderr == ""


def test_package_and_help_do_not_even_import_opencv():
    code = "import sot_tracker\nfrom sot_tracker.cli import main\n"
    code += "try: main(['--help'])\nexcept SystemExit: pass\nprint('cv2' in sys.modules)"
    assert python(code).stdout.splitlines()[-1] == "False"


def test_engine_without_its_package_names_it():
    code = """
from sot_tracker.loading import load
from sot_tracker.errors import UserError
try: load("mvt", weights="random")
except UserError as error: print(error)
"""
    assert "pip install 'sot_tracker[" in python(code).stdout
