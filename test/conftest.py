"""Options and fixtures that several packages of tests share; helper modules are in `support/`."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sot_tracker import catalog, opencv_environment

CACHE = tempfile.TemporaryDirectory(prefix="sot_tracker-test-")
os.environ["XDG_CACHE_HOME"] = CACHE.name  # what was tuned on this machine must not count
opencv_environment.prepare()  # as every start of the program does, before OpenCV is imported


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--parity-dir",
        type=Path,
        default=Path(__file__).parent / "data" / "parity",
        help="folder of <model>/<variant>.seed*.npz, track and crop files to check in test/parity",
    )
    parser.addoption(
        "--fuzz",
        type=int,
        default=0,
        metavar="N",
        help="try N new inputs in every test of test/fuzz, not few fixed ones",
    )


@contextlib.contextmanager
def _toy_in_catalogue() -> Iterator[catalog.ModelSpec]:
    pytest.importorskip("torch")
    import toy_network

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(catalog.MODELS, toy_network.SPEC.name, toy_network.SPEC)
        yield toy_network.SPEC


@pytest.fixture
def toy() -> Iterator[catalog.ModelSpec]:
    """A catalogue row, for one test, whose network is tiny."""
    with _toy_in_catalogue() as spec:
        yield spec


@pytest.fixture(scope="module")
def toy_for_module() -> Iterator[catalog.ModelSpec]:
    """`toy` for all tests of a module."""
    with _toy_in_catalogue() as spec:
        yield spec


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy's model folder, weights from the seed, stored in fp16. Not to be changed."""
    pytest.importorskip("onnxscript")
    from sot_tracker.export import export
    from sot_tracker.model_folder import find_weights

    with _toy_in_catalogue() as spec:
        out = tmp_path_factory.mktemp("models") / spec.name
        export(spec, find_weights(spec, "random"), out, lost_threshold=0.25)
    return out


@pytest.fixture(scope="session")
def ros_domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """rclpy in a domain that nobody else uses, in this process and its children; skips where ROS is missing."""
    rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")
    pytest.importorskip("sot_tracker.msg", reason="sot_tracker.msg was not built: `make test` does")
    from domain_coordinator import domain_id

    with domain_id() as number:
        saved = dict(os.environ)
        os.environ.update(
            ROS_DOMAIN_ID=str(number),
            ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",
            ROS_LOG_DIR=str(tmp_path_factory.mktemp("roslog")),
            OMP_NUM_THREADS="1",
        )
        rclpy.init(args=[])
        yield
        rclpy.try_shutdown()
        os.environ.clear()
        os.environ.update(saved)


@pytest.fixture(scope="session")
def small_cache(tmp_path_factory):
    from sot_tracker.datasets import training
    from sot_tracker.train import cache

    import trees

    root = tmp_path_factory.mktemp("train")
    return cache.build(
        training.read(trees.jsonl(root / "data", videos=4, frames=6)), root / "cache", jobs=1, cutter=None
    )
