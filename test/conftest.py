"""Options of the whole suite; pytest reads them only from here."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sot_tracker import zoo


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--parity-dir",
        type=Path,
        default=Path(__file__).parent / "data" / "parity",
        help="folder of <model>/<variant>.seed*.npz, track and crop files to check in test/parity",
    )


@contextlib.contextmanager
def _toy_in_catalogue() -> Iterator[zoo.ModelSpec]:
    pytest.importorskip("torch")
    import toy_network

    from sot_tracker.engines import torch as torch_engine

    real = torch_engine.build
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.MODELS, toy_network.SPEC.name, toy_network.SPEC)
        patch.setattr(torch_engine, "build", lambda name: toy_network.Toy() if name == "toy" else real(name))
        yield toy_network.SPEC


@pytest.fixture
def toy() -> Iterator[zoo.ModelSpec]:
    """A catalogue row, for one test, whose network is tiny."""
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
