"""The three engines on the toy network: same maps, same boxes, clear refusals."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sot_tracker import catalog
from sot_tracker.box import Box
from sot_tracker.config import Config
from sot_tracker.engines.network import ENGINES, Network, Patch
from sot_tracker.errors import MissingPackage, UserError
from sot_tracker.loading import choose_engine, load_network
from sot_tracker.manifest import MANIFEST, SEARCH, TEMPLATE, WEIGHTS
from sot_tracker.model_folder import Source, find_weights, sha256
from sot_tracker.synth import ClipConfig, procedural_pictures, render
from sot_tracker.tracking.network_tracker import NetworkTracker
from sot_tracker.weights_file import read_header

for package in ENGINES.values():
    pytest.importorskip(package)

EVERY = pytest.mark.parametrize("engine", list(ENGINES))


@pytest.fixture(scope="module")
def patches() -> tuple[Patch, Patch]:
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (48, 48, 3), dtype=np.uint8), rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)


def network(toy: catalog.ModelSpec, weights: Path | str, **options: Any) -> Network:
    return load_network(toy, Config(model="toy", weights=str(weights), **options))


@EVERY
@pytest.mark.parametrize("threads", [0, 1])
def test_maps(
    toy: catalog.ModelSpec, toy_folder: Path, patches: tuple[Patch, Patch], engine: str, threads: int
) -> None:
    """Names, shapes, types and numbers are those of the module that was exported, with its weights rounded to fp16."""
    import torch

    from sot_tracker.engines.torch import load_module

    net = load_module(toy, find_weights(toy, str(toy_folder)))
    mean, std = (np.array(v, np.float32) for v in catalog.IMAGENET)
    z, x = (torch.from_numpy((p.astype(np.float32) / 255 - mean) / std).permute(2, 0, 1)[None] for p in patches)
    with torch.no_grad():
        expected = net(z, x)
    loaded = network(toy, toy_folder, engine=engine, threads=threads)
    found = loaded.search(loaded.template(patches[0]), patches[1])
    assert found.keys() == {"score", "size", "offset"}
    for name, value in found.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected[name][0].numpy(), atol=2e-5, err_msg=name)
    assert loaded.facts.engine == engine
    assert loaded.facts.precision == "fp32"
    assert loaded.facts.threads == threads or not threads
    assert loaded.lost_threshold == 0


@EVERY
def test_one_network_serves_many_targets_and_threads(toy: catalog.ModelSpec, toy_folder: Path, engine: str) -> None:
    loaded = network(toy, toy_folder, engine=engine, threads=1)
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 256, (4, 48, 48, 3), dtype=np.uint8)
    search = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
    cached = [loaded.template(target) for target in targets]
    alone = [loaded.search(one, search)["size"] for one in cached]
    assert not np.allclose(alone[0], alone[1], atol=1e-3)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: loaded.search(cached[i % 4], search)["size"], range(40)))
    for i, value in enumerate(together):
        np.testing.assert_allclose(value, alone[i % 4], atol=1e-6)


@EVERY
def test_a_search_needs_no_template_graph(
    toy: catalog.ModelSpec, toy_folder: Path, patches: tuple[Patch, Patch], engine: str
) -> None:
    loaded = network(toy, toy_folder, engine=engine, threads=1)
    cached = loaded.template(patches[0])
    before = loaded.search(cached, patches[1])
    loaded.drop_template()
    after = loaded.search(cached, patches[1])
    assert all(np.array_equal(after[name], value) for name, value in before.items())
    if engine != "torch":
        assert loaded._template is None, "the graph is let go of"  # type: ignore[attr-defined]


def test_first_onnx_runs_give_their_memory_back(
    toy: catalog.ModelSpec, toy_folder: Path, patches: tuple[Patch, Patch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the warm-up, and no others: it takes time. All sessions share one arena."""
    from sot_tracker.engines import onnx

    key, asked = "memory.enable_memory_arena_shrinkage", []
    run = onnx.OnnxNetwork._run

    def noted(self: onnx.OnnxNetwork, *given: Any) -> dict[str, Any]:
        options = self._run_options
        asked.append("" if options is None else options.get_run_config_entry(key))
        return run(self, *given)

    monkeypatch.setattr(onnx.OnnxNetwork, "_run", noted)
    loaded = network(toy, toy_folder, engine="onnx", threads=1)
    loaded.search(loaded.template(patches[0]), patches[1])
    assert asked == ["cpu:0", "cpu:0", "", ""]
    for session in loaded._sessions():  # type: ignore[attr-defined]
        assert session.get_session_options().get_session_config_entry("session.use_env_allocators") == "1"


def test_an_arena_that_is_there_already_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ONNX Runtime 1.17 says it where a program has registered its own."""
    from sot_tracker.engines import onnx

    def refuse(*_: Any) -> None:
        raise RuntimeError("An allocator for this device has already been registered for sharing.")

    monkeypatch.setattr(onnx.onnxruntime, "create_and_register_allocator", refuse)
    onnx._share_arena.__wrapped__()


@EVERY
@pytest.mark.parametrize("count", [1, 2, 3])
def test_many_targets_get_what_each_gets_alone(
    toy: catalog.ModelSpec, toy_folder: Path, engine: str, count: int
) -> None:
    loaded = network(toy, toy_folder, engine=engine, threads=2, max_targets=3)
    require_same_together(loaded, count)


@pytest.mark.parametrize("rows", [1, 4])
def test_an_onnx_batch_gives_what_each_target_gets_alone(toy: catalog.ModelSpec, toy_folder: Path, rows: int) -> None:
    """As on a GPU: a graph whose first axis is left free."""
    from sot_tracker.engines import onnx

    alone = network(toy, toy_folder, engine="onnx", threads=1)
    graphs = [onnx.open_session(toy_folder / name, "cpu", 1, {}) for name in (TEMPLATE, SEARCH)]
    calls = []
    together = onnx.OnnxNetwork(*graphs, alone.facts, batch=True)
    run, together._run = together._run, lambda *given: calls.append(given[2].shape[0]) or run(*given)  # type: ignore
    require_same_together(together, rows)
    assert rows in calls, "one call for all"


def require_same_together(loaded: Network, count: int) -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 256, (count, 48, 48, 3), dtype=np.uint8)
    patches = rng.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
    inputs = [(loaded.template(z), x) for z, x in zip(targets, patches, strict=True)]
    found = loaded.search_many(inputs)
    assert len(found) == count
    for maps, one in zip(found, inputs, strict=True):
        for name, value in loaded.search(*one).items():
            np.testing.assert_allclose(maps[name], value, atol=2e-6, err_msg=name)


def boxes(spec: catalog.NetworkSpec, loaded: Network, frames: list[Any], forced: list[Box]) -> list[Box]:
    """What the tracker finds in each frame, its search window put on a given box each time."""
    tracker = NetworkTracker("test", spec, loaded)
    tracker.init(frames[0], forced[0])
    found = []
    for frame, box in zip(frames[1:], forced, strict=False):
        tracker.recenter(box)
        found.append(tracker.update(frame).box)
    return found


def test_same_boxes_over_a_clip(toy: catalog.ModelSpec, toy_folder: Path) -> None:
    """IoU above 0.999 between engines over 100 frames, same weights, fp32."""
    assert toy.network is not None
    config = ClipConfig(frames=101, width=160, height=120, events=("scale", "blur"), target_size=(0.25, 0.4))
    shown = list(render(config, procedural_pictures(1)))
    forced = [item.box or Box(60, 40, 40, 40) for item in shown]
    frames = [item.image for item in shown]
    found = {e: boxes(toy.network, network(toy, toy_folder, engine=e), frames, forced) for e in ENGINES}
    assert len(found["torch"]) == 100
    assert np.std([box.w for box in found["torch"]]) > 1, "the network answers to the frames"
    for engine in ("onnx", "openvino"):
        assert min(a.iou(b) for a, b in zip(found["torch"], found[engine], strict=True)) > 0.999, engine


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_bf16(toy: catalog.ModelSpec, toy_folder: Path, patches: tuple[Patch, Patch], engine: str) -> None:
    if engine == "openvino":
        import openvino

        if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("this processor has no bf16")
    exact, rough = (network(toy, toy_folder, engine=engine, precision=p) for p in ("fp32", "bf16"))
    assert rough.facts.precision == "bf16"
    maps = [one.search(one.template(patches[0]), patches[1])["size"] for one in (exact, rough)]
    np.testing.assert_allclose(*maps, atol=0.05)
    assert np.abs(maps[0] - maps[1]).max() > 1e-5, "the arithmetic really is another"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "onnx", "precision": "bf16"}, "precision=bf16 is not for ONNX Runtime on cpu"),
        ({"engine": "onnx", "precision": "fp16"}, "precision=fp16 is not for ONNX Runtime on cpu"),
        ({"engine": "openvino", "precision": "fp16"}, "choose fp32, bf16 or int8"),
        ({"engine": "openvino", "device": "cuda"}, "device=cuda is not for the openvino engine"),
        ({"engine": "torch", "device": "cpu", "precision": "fp16"}, "precision=fp16 needs a GPU"),
        ({"engine": "torch", "device": "tensorrt"}, "not for the torch engine"),
    ],
)
def test_what_an_engine_cannot_do(
    toy: catalog.ModelSpec, toy_folder: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        network(toy, toy_folder, **options)


def test_gpu_asked_for_but_absent(toy: catalog.ModelSpec, toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime
    import torch

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "tensorrt"):
        with pytest.raises(UserError, match=f"device={device}, but this ONNX Runtime has no .*onnxruntime-gpu"):
            network(toy, toy_folder, engine="onnx", device=device)
    with pytest.raises(UserError, match="device=cuda, but torch finds no CUDA"):
        network(toy, toy_folder, engine="torch", device="cuda")


def test_gpu_that_does_not_start_is_announced(
    toy: catalog.ModelSpec, toy_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """ONNX Runtime built with CUDA falls back to the CPU by itself; we say so, or refuse where CUDA was asked for."""
    import onnxruntime

    real = onnxruntime.InferenceSession

    def without_gpu(path: str, options: Any, providers: list[Any]) -> Any:
        return real(path, options, providers=["CPUExecutionProvider"])

    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    monkeypatch.setattr(onnxruntime, "InferenceSession", without_gpu)
    with caplog.at_level(logging.WARNING):
        assert network(toy, toy_folder, engine="onnx").facts.device == "cpu"
    assert "could not start it; the network runs on the CPU" in caplog.text
    with pytest.raises(UserError, match="device=cuda, but ONNX Runtime could not start it"):
        network(toy, toy_folder, engine="onnx", device="cuda")


FOLDER, FILE, SEED = Source(folder=Path("a")), Source(file=Path("a.safetensors")), Source(random=True)


@pytest.mark.parametrize(
    ("source", "installed", "options", "expected"),
    [
        (FOLDER, "onnx openvino torch", {}, "onnx"),
        (FOLDER, "openvino torch", {}, "openvino"),
        (FOLDER, "torch", {}, "torch"),
        (FOLDER, "onnx openvino torch", {"precision": "bf16"}, "openvino"),
        (FOLDER, "onnx torch", {"precision": "bf16"}, "torch"),
        (FOLDER, "onnx openvino torch", {"precision": "fp16", "device": "tensorrt"}, "onnx"),
        (FOLDER, "onnx openvino torch", {"precision": "fp16", "device": "cuda"}, "torch"),
        (FOLDER, "onnx openvino torch", {"device": "cuda"}, "torch"),
        (FILE, "onnx openvino torch", {}, "torch"),
        (SEED, "onnx openvino torch", {}, "torch"),
        (SEED, "onnx openvino torch", {"engine": "openvino"}, "openvino"),
        (FILE, "onnx torch", {"engine": "onnx"}, "reads model folders.*sot-tracker export --model toy"),
        (FOLDER, "onnx openvino", {"device": "cuda"}, "'onnxruntime-gpu'.*pip install onnxruntime-gpu"),
        (FOLDER, "", {}, r"'onnxruntime'.*pip install 'sot_tracker\[onnx\]'"),
        (FILE, "onnx", {}, r"'torch'.*pip install 'sot_tracker\[torch\]'"),
        (FOLDER, "onnx torch", {"engine": "openvino"}, r"'openvino'.*pip install 'sot_tracker\[openvino\]'"),
    ],
)
def test_choice_of_engine(
    toy: catalog.ModelSpec,
    monkeypatch: pytest.MonkeyPatch,
    source: Source,
    installed: str,
    options: dict[str, Any],
    expected: str,
) -> None:
    there = {ENGINES[name] for name in installed.split()}
    monkeypatch.setattr("sot_tracker.loading.find_spec", lambda name: name if name in there else None)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    config = Config(model="toy", **options)
    if expected in ENGINES:
        assert choose_engine(toy, source, config) == expected
    else:
        with pytest.raises(UserError, match=expected) as caught:
            choose_engine(toy, source, config)
        assert isinstance(caught.value, MissingPackage) == ("pip" in expected)


def test_random_weights_are_loud_and_repeatable(
    toy: catalog.ModelSpec, patches: tuple[Patch, Patch], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        first, second = network(toy, "random"), network(toy, "random")
    assert "RANDOM WEIGHTS" in caplog.text
    assert "RANDOM WEIGHTS" in first.description
    maps = [one.search(one.template(patches[0]), patches[1])["size"] for one in (first, second)]
    np.testing.assert_array_equal(*maps)


@EVERY
def test_description_of_a_folder_of_random_weights(toy: catalog.ModelSpec, toy_folder: Path, engine: str) -> None:
    assert "RANDOM WEIGHTS" in network(toy, toy_folder, engine=engine).description


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
@pytest.mark.parametrize("content", [b"", b"\x00 no graph", None], ids=["empty", "rubbish", "cut"])
def test_graph_that_cannot_be_read(
    toy: catalog.ModelSpec, toy_folder: Path, tmp_path: Path, engine: str, content: bytes | None
) -> None:
    """Also where the manifest agrees with the damage."""
    graph = (toy_folder / SEARCH).read_bytes()
    folder = doctored(toy_folder, tmp_path, {SEARCH: graph[:3000] if content is None else content})
    with pytest.raises(UserError, match=r"cannot run .*export.* again") as caught:
        network(toy, folder, engine=engine)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def doctored(toy_folder: Path, place: Path, contents: dict[str, bytes]) -> Path:
    """A copy of the toy's folder with other contents, to which the manifest's sums fit."""
    folder = place / "doctored"
    shutil.copytree(toy_folder, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        manifest["variants"]["fp32"]["files"][name] = sha256(folder / name)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_graphs_exchanged(toy: catalog.ModelSpec, toy_folder: Path, tmp_path: Path, engine: str) -> None:
    contents = {TEMPLATE: (toy_folder / SEARCH).read_bytes(), SEARCH: (toy_folder / TEMPLATE).read_bytes()}
    folder = doctored(toy_folder, tmp_path, contents)
    with pytest.raises(UserError, match=r"doctored/template.onnx takes .* where the model has .*again") as caught:
        network(toy, folder, engine=engine)
    assert "\n" not in str(caught.value)


def _rename_map(graph: Any) -> None:
    for node in graph.node:
        node.output[:] = ["renamed" if name == "offset" else name for name in node.output]
    next(output for output in graph.output if output.name == "offset").name = "renamed"


def _widen_patch(graph: Any) -> None:
    graph.input[-1].type.tensor_type.shape.dim[1].dim_value = 112


def _retype_patch(graph: Any) -> None:
    graph.input[-1].type.tensor_type.elem_type = 3  # int8


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
@pytest.mark.parametrize("change", [_rename_map, _widen_patch, _retype_patch])
def test_graph_of_other_inputs_or_outputs(
    toy: catalog.ModelSpec, toy_folder: Path, tmp_path: Path, engine: str, change: Callable[[Any], None]
) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(toy_folder / SEARCH, load_external_data=False)
    change(model.graph)
    with pytest.raises(UserError, match=r"search.onnx|cannot run") as caught:
        network(toy, doctored(toy_folder, tmp_path, {SEARCH: model.SerializeToString()}), engine=engine)
    assert "\n" not in str(caught.value)


@EVERY
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["qkv.weight", "norm.running_var"], ids=["half", "float"])
def test_weights_that_are_not_finite(
    toy: catalog.ModelSpec, toy_folder: Path, tmp_path: Path, engine: str, value: float, name: str
) -> None:
    from safetensors.numpy import load, save

    tensors = load((toy_folder / WEIGHTS).read_bytes())
    tensors[name] = tensors[name].copy()
    tensors[name].flat[3] = value
    folder = doctored(toy_folder, tmp_path, {WEIGHTS: save(tensors, {"format": "pt", "model": "toy"})})
    with pytest.raises(UserError, match=rf"not finite.*{name}") as caught:
        network(toy, folder, engine=engine)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_numbers_of_a_graph_that_are_not_finite(
    toy: catalog.ModelSpec, toy_folder: Path, tmp_path: Path, engine: str
) -> None:
    """Constants that are not among the weights: what the first run gives is looked at."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(toy_folder / SEARCH, load_external_data=False)
    last = next(node for node in model.graph.node if "size" in node.output)
    last.output[:] = ["before"]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(np.nan).reshape(1), "poison"))
    model.graph.node.append(onnx.helper.make_node("Add", ["before", "poison"], ["size"]))
    folder = doctored(toy_folder, tmp_path, {SEARCH: model.SerializeToString()})
    with pytest.raises(UserError, match="numbers that are not finite"):
        network(toy, folder, engine=engine)


@EVERY
def test_files_cut_while_the_network_runs(toy_folder: Path, tmp_path: Path, engine: str) -> None:
    """Runtimes keep weights mapped; cutting a mapped file kills the process, so that they map a private copy."""
    folder = tmp_path / "toy"
    shutil.copytree(toy_folder, folder)
    script = f"""
        import os, sys
        import numpy as np
        from sot_tracker.config import Config
        from sot_tracker.loading import load_network
        sys.path.insert(0, {str(Path(__file__).parent.parent / "support")!r})
        import toy_network
        from sot_tracker import catalog
        catalog.MODELS["toy"] = toy_network.SPEC
        network = load_network(toy_network.SPEC, Config(model="toy", weights={str(folder)!r}, engine={engine!r}))
        z, x = (np.full((size, size, 3), 9, np.uint8) for size in (48, 96))
        before = network.search(network.template(z), x)
        for name in os.listdir({str(folder)!r}):
            os.truncate(os.path.join({str(folder)!r}, name), 0)
        after = network.search(network.template(z), x)
        print(all((before[name] == after[name]).all() for name in before))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", (done.returncode, done.stderr)


@EVERY
def test_int8_storage_gives_the_maps_of_its_rounded_weights(
    toy: catalog.ModelSpec, tmp_path: Path, patches: tuple[Patch, Patch], engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sot_tracker import storage
    from sot_tracker.checkpoints import read_safetensors
    from sot_tracker.export import export

    monkeypatch.setattr(storage, "_MAX_HALF_MATRIX", 4096)
    out = tmp_path / "toy"
    export(toy, find_weights(toy, "random"), out, storage="int8")
    header = read_header(out / WEIGHTS, (out / WEIGHTS).read_bytes())
    assert header.tensors["stem.weight"].dtype == "I8"
    assert header.tensors["stem.weight_scale"].shape == (32, 1, 1, 1)
    _, rounded = read_safetensors(out / WEIGHTS)
    import torch

    import toy_network

    net = toy_network.Toy(toy_network.ToyConfig()).eval()
    net.load_state_dict(net.state_dict() | rounded)
    mean, std = (np.array(v, np.float32) for v in catalog.IMAGENET)
    z, x = (torch.from_numpy((p.astype(np.float32) / 255 - mean) / std).permute(2, 0, 1)[None] for p in patches)
    with torch.no_grad():
        expected = net(z, x)
    loaded = network(toy, out, engine=engine)
    found = loaded.search(loaded.template(patches[0]), patches[1])
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name][0].numpy(), atol=2e-5, err_msg=name)


def test_onnx_runtime_alone(toy_folder: Path, patches: tuple[Patch, Patch]) -> None:
    """A model folder runs where neither torch, nor onnx, nor safetensors is installed."""
    script = f"""
        import sys
        for name in ("torch", "onnx", "onnxscript", "safetensors", "openvino", "skimage"):
            sys.modules[name] = None
        import numpy as np
        from sot_tracker import Box, load, catalog
        network = catalog.NetworkSpec("center", template_size=48, search_size=96)
        catalog.MODELS["toy"] = catalog.ModelSpec("toy", "", "", network)
        tracker = load("toy", weights={str(toy_folder)!r}, threads=1)
        frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
        tracker.init(frame, Box(100, 100, 40, 30))
        estimate = tracker.update(frame)
        assert estimate.box.is_valid and 0 < estimate.score < 1
        print(tracker.info.description)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ONNX Runtime")


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_cuda(toy: catalog.ModelSpec, toy_folder: Path, patches: tuple[Patch, Patch], engine: str) -> None:
    import onnxruntime
    import torch

    providers = onnxruntime.get_available_providers()
    if not (torch.cuda.is_available() if engine == "torch" else "CUDAExecutionProvider" in providers):
        pytest.skip(f"{engine} finds no CUDA device here")
    there = network(toy, toy_folder, engine=engine, device="cuda")
    here = network(toy, toy_folder, engine=engine, device="cpu")
    maps = [one.search(one.template(patches[0]), patches[1])["size"] for one in (here, there)]
    np.testing.assert_allclose(*maps, atol=1e-3)
