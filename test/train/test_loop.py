"""The loop: resuming, what is written, what is measured."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

from sot_tracker.errors import UserError  # noqa: E402
from sot_tracker.nets import family_of  # noqa: E402
from sot_tracker.nets.blocks import StageConfig  # noqa: E402
from sot_tracker.train import features, state, validate  # noqa: E402
from sot_tracker.train.batches import Batches  # noqa: E402
from sot_tracker.train.labels import inside_cells  # noqa: E402
from sot_tracker.train.loop import Job, Trainer, World  # noqa: E402
from sot_tracker.train.recipe import Recipe, scratch  # noqa: E402
from sot_tracker.train.sampling import PairSampler, Sampling  # noqa: E402

HAS_MUON = hasattr(torch.optim, "Muon")


pytestmark = pytest.mark.usefixtures("toy_for_module")


def job(cache, out, steps=4, **changes):
    recipe = dataclasses.replace(
        scratch("toy"),
        steps=steps,
        batch=2,
        template_size=48,
        search_size=96,
        optimizer="muon" if HAS_MUON else "adamw",
        warmup=2,
        dropout=0.1,
        precision="fp32",
    )
    facts = {"model": "toy", "workers": 0, "log_every": 1, "save_every": 100, "val_every": 100, "val_pairs": 4}
    tracks = np.arange(len(cache.tracks))
    return Job(
        **{
            **facts,
            "recipe": recipe,
            "out": out,
            "cache": cache,
            "train_tracks": tracks,
            "val_tracks": tracks,
            **changes,
        }
    )


def trainer(job):
    return Trainer(job, World(), torch.device("cpu"))


def losses(out):
    return [row["total"] for row in csv.DictReader((out / "curves.csv").open())]


@pytest.fixture(scope="module")
def straight(small_cache, toy_for_module, tmp_path_factory):
    out = tmp_path_factory.mktemp("straight")
    run = trainer(job(small_cache, out))
    return out, run, run.run()


def test_stop_and_resume_equals_straight_through(small_cache, straight, tmp_path):
    asked = iter([False, True])
    trainer(job(small_cache, tmp_path)).run(lambda: next(asked))
    assert len(losses(tmp_path)) == 2
    resumed = trainer(job(small_cache, tmp_path))
    assert resumed.step == 2
    resumed.run()
    out, run, _ = straight
    assert losses(tmp_path) == losses(out)
    for mine, theirs in ((resumed.net, run.net), (resumed.ema.module, run.ema.module)):
        for (name, a), b in zip(mine.state_dict().items(), theirs.state_dict().values(), strict=True):
            assert torch.equal(a, b), name


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_the_checkpoint(small_cache, tmp_path):
    given = job(small_cache, tmp_path)
    trainer(dataclasses.replace(given, recipe=dataclasses.replace(given.recipe, steps=1))).run()
    kept = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(UserError, match=r"loss of step [234] is not a finite number: continue from .*checkpoint\.pt"):
        trainer(dataclasses.replace(given, recipe=dataclasses.replace(given.recipe, rate=1e30))).run()
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept


def test_checkpoint_of_an_earlier_version_is_refused(small_cache, tmp_path):
    state.save(tmp_path / "checkpoint.pt", {"step": 1, "optimizer": {}})
    with pytest.raises(UserError, match="earlier version"):
        trainer(job(small_cache, tmp_path))


def test_checkpoint_of_another_variant_with_the_same_shapes_is_refused(small_cache, tmp_path):
    """smat, smat_a and smat_b differ in how they connect the same layers."""
    given = job(small_cache, tmp_path)
    made = trainer(given)
    made.save()
    saved = state.load(tmp_path / "checkpoint.pt")
    assert saved["model"] == given.model
    state.save(tmp_path / "checkpoint.pt", {**saved, "model": "smat_a"})
    with pytest.raises(UserError, match=rf"is a training of smat_a, not of {given.model}: give another --out"):
        trainer(given)


def test_first_blocks_stay_as_they_start_and_released_teachers_are_learnt(small_cache, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from nanotracks import nanotrack

    recipe = dataclasses.replace(
        scratch("lite"), steps=1, batch=2, freeze_blocks=3, warmup=0, weight_decay=0.5, precision="fp32"
    )
    folders = nanotrack(tmp_path / "a"), nanotrack(tmp_path / "b")
    given = {"model": "lite", "recipe": recipe, "val_tracks": np.array([], np.int64), "released": folders}
    run = trainer(job(small_cache, tmp_path / "out", **given))
    before = {name: value.clone() for name, value in run.trained.state_dict().items()}
    run.run()
    after = run.trained.state_dict()
    same = {name.removeprefix("trained.") for name in before if torch.equal(before[name], after[name])}
    frozen = {name for name in before if name.startswith(tuple(f"trained.backbone.{n}" for n in PARTS))}
    assert {f"trained.{name}" for name in same if name.startswith("backbone")} == frozen
    assert not any(name.endswith("weight") and not name.startswith("backbone") for name in same)
    row = next(csv.DictReader((tmp_path / "out" / "curves.csv").open()))
    assert float(row["onnx_features"]) > 0


PARTS = ("stem.", "blocks.0.", "blocks.1.")

NARROW = {
    "fermt": {"patterns": ("A2", "A5"), "head": (32, 16)},
    "hit_tiny": {"depths": (1, 1, 1), "hidden": 64, "head": (32, 16)},
    "smat": {
        "stage3": StageConfig(channels=64, dim=32, ffn=64, layers=1),
        "stage4": StageConfig(channels=96, dim=48, ffn=96, layers=1),
        "stem": (16, 32, 32),
        "fused": 64,
    },
    "mvt": {
        "stage3": StageConfig(channels=48, dim=48, ffn=96, layers=1),
        "stage4": StageConfig(channels=64, dim=64, ffn=128, layers=1),
        "fused": 64,
        "head": (32, 16),
    },
    "hcat": {"layers": 1, "ffn": 256},
}
"""One network of each family with all its kinds of layers, small enough for a test."""


@pytest.mark.parametrize("model", NARROW)
def test_every_network_learns_a_batch(model, small_cache, tmp_path, monkeypatch):
    """In channels_last and in bfloat16 where the processor has it, as it is trained: kernels that crash would show."""
    variants = family_of(model).variants
    monkeypatch.setitem(variants, model, dataclasses.replace(variants[model], **NARROW[model]))
    recipe = dataclasses.replace(
        scratch(model),
        steps=12,
        batch=4,
        template_size=64,
        search_size=64,
        warmup=0,
        optimizer="adamw",
        precision="auto",
    )
    run = trainer(job(small_cache, tmp_path, model=model, recipe=recipe))
    tracks = np.arange(len(small_cache.tracks))
    batch = Batches(PairSampler(small_cache, tracks, recipe.sampling, run.spec, 64, 64, recipe.seed), recipe.batch)[0]
    distances = [run.update(batch)["l1"] for _ in range(recipe.steps)]
    assert np.isfinite(distances).all()
    learning = [(name, p) for name, p in run.net.named_parameters() if p.requires_grad]
    assert not [name for name, p in learning if p.grad is None], "which torchrun would refuse"
    assert distances[-1] < 0.7 * distances[0]


def test_a_checkpoint_with_other_losses_is_refused(small_cache, tmp_path, monkeypatch):
    monkeypatch.setattr(features.EfficientNetLite, "__new__", lambda cls: Teacher())
    trainer(job(small_cache, tmp_path, features=True)).save()
    with pytest.raises(UserError, match="give the options that it was made with"):
        trainer(job(small_cache, tmp_path))


def test_a_teacher_with_other_cells_cannot_teach_its_maps(small_cache, tmp_path):
    with pytest.raises(UserError, match="a cell every 8 pixels and toy every 16"):
        trainer(job(small_cache, tmp_path, teacher=("transt_h", tmp_path / "some.safetensors")))


class Teacher(torch.nn.Conv2d):
    """Stands in for the ImageNet network: fixed features at stride 16."""

    def __init__(self):
        super().__init__(3, features.EfficientNetLite.WIDTH, 16, 16)
        self.requires_grad_(False)


def test_features_are_part_of_the_loss_and_of_the_checkpoint(small_cache, tmp_path, monkeypatch):
    monkeypatch.setattr(features.EfficientNetLite, "__new__", lambda cls: Teacher())
    run = trainer(job(small_cache, tmp_path, features=True))
    run.run()
    (row, *_) = csv.DictReader((tmp_path / "curves.csv").open())
    parts = [float(row[name]) for name in ("cls", "giou", "l1", "features")]
    assert min(parts) > 0
    assert float(row["total"]) == pytest.approx(sum(parts), rel=1e-4)
    resumed = trainer(job(small_cache, tmp_path, features=True))
    assert torch.equal(*(r.trained.translate["features"].weight for r in (resumed, run)))
    assert not any("translate" in name for name in state.load(tmp_path / "checkpoint.pt")["ema"])


@pytest.mark.parametrize(("share", "added"), [(1.0, True), (0.0, False)])
def test_hit_learns_cells_and_their_layers_are_part_of_the_checkpoint(share, added, small_cache, tmp_path):
    recipe = dataclasses.replace(
        scratch("hit_tiny"), steps=2, batch=2, template_size=64, search_size=64, cell_loss=share
    )
    recipe = dataclasses.replace(recipe, optimizer="adamw", precision="fp32")
    run = trainer(job(small_cache, tmp_path, model="hit_tiny", recipe=recipe))
    run.run()
    (row, *_) = csv.DictReader((tmp_path / "curves.csv").open())
    parts = [float(row[name]) for name in ("giou", "l1", *(["cells"] if added else []))]
    assert ("cells" in row) == added
    assert float(row["total"]) == pytest.approx(sum(parts), rel=1e-4)
    saved = state.load(tmp_path / "checkpoint.pt")
    assert any("stages" in name for name in saved["net"]) == added
    assert not any("stages" in name for name in saved["ema"])
    trainer(job(small_cache, tmp_path, model="hit_tiny", recipe=recipe))


def test_the_loss_per_cell_weighs_by_its_share(small_cache, tmp_path):
    found = []
    for share in (1.0, 0.5):
        recipe = dataclasses.replace(
            scratch("hit_tiny"), steps=1, batch=2, template_size=64, search_size=64, cell_loss=share
        )
        recipe = dataclasses.replace(recipe, optimizer="adamw", precision="fp32")
        run = trainer(job(small_cache, tmp_path, model="hit_tiny", recipe=recipe))
        batch = Batches(PairSampler(small_cache, run.job.train_tracks, Sampling(), run.spec, 64, 64, 1), 2)[0]
        found.append(run.update(batch)["cells"])
    assert found[0] == pytest.approx(2 * found[1], rel=1e-4)


def test_a_teachers_features_weigh_by_the_cells_of_the_target(small_cache, straight, tmp_path, monkeypatch):
    given = []

    def loss(own, targets, inside):
        given.append((own[0].shape, targets[0].shape, inside))
        return own[0].sum() * 0

    monkeypatch.setattr(features, "loss", loss)
    out, _, _ = straight
    run = trainer(job(small_cache, tmp_path, teacher=("toy", out / "model.safetensors"), teach=("features",)))
    pairs = PairSampler(small_cache, run.job.train_tracks, Sampling(), run.spec, 48, 96, 1)
    batch = Batches(pairs, 2)[0]
    run.update(batch)
    ((own, target, inside),) = given
    assert own == target == (2, 32, 6, 6)
    assert torch.equal(inside, inside_cells(batch["boxes"], batch["present"], 6))
    assert inside.any()


def test_what_a_run_leaves(straight):
    out, run, figures = straight
    assert set(figures) == {"overlap", "success50", "score_auc", "threshold"}
    assert 0 <= figures["overlap"] <= 1
    assert (out / "pictures" / "0000004.png").stat().st_size > 1000
    board = EventAccumulator(str(out / "tensorboard")).Reload()
    drawn = {name: len(board.Scalars(name)) for name in board.Tags()["scalars"]}
    assert drawn["curves/total"] == 4
    assert {name for name in drawn if name.startswith("validation/")} == {f"validation/{name}" for name in figures}
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    assert all(float(row["samples_per_s"]) > 0 and 0 <= float(row["wait_share"]) <= 1 for row in rows)
    from safetensors.torch import load_file

    shipped = load_file(out / "model.safetensors")
    for name, value in run.ema.module.named_parameters():
        assert torch.equal(shipped[name], value)
    norms = [name for name in shipped if name.endswith("running_var")]
    assert norms
    assert not any(torch.equal(shipped[name], run.ema.module.state_dict()[name]) for name in norms), "population's own"


def test_frozen_norms_are_shipped_as_they_started(small_cache, tmp_path):
    from safetensors.torch import load_file

    plain = job(small_cache, tmp_path)
    run = trainer(dataclasses.replace(plain, recipe=dataclasses.replace(plain.recipe, frozen_norms=True)))
    before = {name: value.clone() for name, value in run.net.state_dict().items()}
    run.run()
    shipped = load_file(tmp_path / "model.safetensors")
    statistics = [name for name in shipped if "running" in name]
    assert statistics
    for name in statistics:
        assert torch.equal(shipped[name], before[name]), name
    assert not torch.equal(shipped["qkv.weight"], before["qkv.weight"])


def test_interrupted_save_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    state.save(path, {"step": 1})

    def broken(content, target):
        target.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(UserError, match=r"cannot write .*disk full"):
        state.save(path, {"step": 2})
    assert state.load(path) == {"step": 1}


def test_average_follows_the_weights_and_the_statistics():
    net = torch.nn.BatchNorm1d(1)
    for value in (net.weight, net.bias, net.running_mean):
        torch.nn.init.constant_(value, 0.0)
    ema = state.average_of(net, decay=0.5)
    ema.update_parameters(net)
    for value in (net.weight, net.running_mean):
        torch.nn.init.constant_(value, 8.0)
    net.num_batches_tracked += 3
    ema.n_averaged.fill_(1000)
    ema.update_parameters(net)
    assert float(ema.module.weight) == float(ema.module.running_mean) == 4.0
    assert int(ema.module.num_batches_tracked) == 3, "counted, not averaged"
    ema.n_averaged.fill_(0)  # the first average is the network itself
    ema.update_parameters(net)
    assert float(ema.module.weight) == 8.0
    torch.nn.init.constant_(net.weight, 0.0)
    ema.update_parameters(net)  # early on the decay is 2/11
    assert float(ema.module.weight) == pytest.approx(8 * 2 / 11)


@pytest.mark.parametrize(
    ("schedule", "step", "factor"),
    [("cosine", 0, 1.0), ("cosine", 50, 0.5), ("step", 79, 1.0), ("step", 80, 0.1), ("constant", 99, 1.0)],
)
def test_schedules(schedule, step, factor):
    assert Recipe(steps=100, schedule=schedule).rate_at(step) == pytest.approx(factor)


def test_warm_up():
    recipe = Recipe(steps=100, schedule="constant", warmup=10)
    assert [recipe.rate_at(s) for s in (0, 4, 9, 10)] == [0.1, 0.5, 1.0, 1.0]


def test_recipe_survives_a_checkpoint():
    recipe = scratch("mvt")
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("scores", "present", "auc"),
    [([0.9, 0.8, 0.2], [1, 1, 0], 1.0), ([0.5, 0.5], [1, 0], 0.5), ([0.3, 0.6, 0.4], [1, 1, 0], 0.5)],
)
def test_roc_auc(scores, present, auc):
    assert validate.roc_auc(np.array(scores), np.array(present, bool)) == auc


def test_threshold_lies_between_present_and_absent():
    scores, present = np.array([0.9, 0.8, 0.7, 0.3, 0.2]), np.array([1, 1, 1, 0, 0], bool)
    assert validate.best_threshold(scores, present) == pytest.approx(0.5)
    assert np.isnan(validate.best_threshold(scores, np.ones(5, bool)))
