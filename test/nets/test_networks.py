"""What holds for every network: the contract of docs/architecture.md, other sizes, training, half precision."""

import dataclasses

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from sot_tracker.catalog import MODELS, network_spec
from sot_tracker.errors import UserError
from sot_tracker.nets import build

NETWORKS = [name for name, spec in MODELS.items() if spec.network]
ONE_OF_EACH = ["fermt", "hit_tiny", "smat", "mvt", "hcat", "lite"]
OTHER_LAYERS = ["smat_a", "smat_b", "smat_c", "smat_standard", "hit_pvt", "transt_h"]


def pair(template: int = 64, search: int = 128, batch: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand(batch, 3, template, template, generator=generator),
        torch.rand(batch, 3, search, search, generator=generator),
    )


def small(name: str, template: int = 64, search: int = 128) -> nn.Module:
    torch.manual_seed(0)
    return build(name, template_size=template, search_size=search)


def shapes(name: str, batch: int, g: int) -> dict[str, tuple[int, ...]]:
    center = {"score": (batch, 1, g, g), "size": (batch, 2, g, g), "offset": (batch, 2, g, g)}
    maps = {
        "center": center,
        "corner": {"tl": (batch, g, g), "br": (batch, g, g)},
        "token": {"logits": (batch, g * g, 2), "boxes": (batch, g * g, 4)},
    }[network_spec(name).maps]
    return maps | {"features": (batch, 112, g, g)} if name == "lite" else maps


def assert_same(ours: dict[str, Tensor], expected: dict[str, Tensor], share: float) -> None:
    assert ours.keys() == expected.keys()
    for key, value in expected.items():
        assert (ours[key] - value).abs().max() <= share * value.abs().max(), key


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_maps_have_the_shapes_of_the_contract(name: str) -> None:
    spec = network_spec(name)
    maps = build(name).eval()(*pair(spec.template_size, spec.search_size, batch=1))
    assert {key: tuple(value.shape) for key, value in maps.items()} == shapes(name, 1, spec.search_size // spec.stride)


@pytest.mark.parametrize("name", ONE_OF_EACH + OTHER_LAYERS)
@torch.no_grad()
def test_one_template_serves_many_searches(name: str) -> None:
    net = small(name).eval()
    z, first = pair()
    _, second = pair(seed=1)
    cached = net.template(z)
    kept = [tensor.clone() for tensor in cached]
    for x in (first, second, first):
        assert_same(net.search(cached, x), net(z, x), 1e-5)
    assert all(torch.equal(a, b) for a, b in zip(cached, kept, strict=True))


@pytest.mark.parametrize("name", ONE_OF_EACH + OTHER_LAYERS)
@torch.no_grad()
def test_samples_of_a_batch_do_not_mix(name: str) -> None:
    net = small(name).eval()
    z, x = pair(batch=3)
    together = net(z, x)
    for i in range(3):
        assert_same({key: value[i : i + 1] for key, value in together.items()}, net(z[i : i + 1], x[i : i + 1]), 1e-4)


@pytest.mark.parametrize("name", ONE_OF_EACH + OTHER_LAYERS)
def test_small_crops_train(name: str) -> None:
    net = small(name).train()
    maps = net(*pair())
    assert {key: tuple(value.shape) for key, value in maps.items()} == shapes(name, 2, 128 // network_spec(name).stride)
    sum(value.square().mean() for value in maps.values()).backward()
    unused = {"backbone.cls_token", "backbone.pos_embed"}  # FERMT: in the file, in no computation
    without = {key for key, p in net.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()}
    assert without - unused == set()


@pytest.mark.parametrize("name", ONE_OF_EACH + OTHER_LAYERS)
@torch.no_grad()
def test_autocast_gives_float32_maps_near_the_exact_ones(name: str) -> None:
    net = small(name, 32, 64).eval()  # bfloat16 is slow on most processors
    z, x = pair(32, 64, batch=1)
    exact = net(z, x)
    with torch.autocast("cpu", torch.bfloat16):
        maps = net(z, x)
    assert {value.dtype for value in maps.values()} == {torch.float32}
    assert_same(maps, exact, 0.1)


@pytest.mark.parametrize("name", ONE_OF_EACH + OTHER_LAYERS)
def test_sizes_change_no_weight_but_those_of_positions_and_correlation(name: str) -> None:
    """Weights learned on small crops start the full size, except where a dimension is the number of cells."""
    full, reduced = build(name).state_dict(), small(name).state_dict()
    other = {key for key in full.keys() | reduced.keys() if full[key].shape != reduced[key].shape}
    counted = ("pos_embed_", "attention_bias", "pw_corr", "adj_layer.weight", "neck.norm_cosines", "neck.mix.0.weight")
    assert {key for key in other if not any(part in key for part in counted)} == set()


def test_variants_are_one_line() -> None:
    assert sum("encoder.layers" in key for key in build("hcat_n1").state_dict()) * 2 == sum(
        "encoder.layers" in key for key in build("hcat").state_dict()
    )
    assert build("hcat", sparse_tokens=4).query_embed.weight.shape == (4, 256)


@pytest.mark.parametrize("name", ["csrt", "siamfc"])
def test_names_without_a_network_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=name):
        build(name)


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(TypeError, match="depth"):
        build("mvt", depth=3)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_configuration_is_frozen(name: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        build(name).config.template_size = 64
