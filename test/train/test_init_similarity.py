"""The matching start: an untrained FERMT whose search tokens tell where the target is."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sot_tracker import nets  # noqa: E402
from sot_tracker.catalog import network_spec  # noqa: E402
from sot_tracker.errors import UserError  # noqa: E402
from sot_tracker.nets.fermt_similarity import inside_target  # noqa: E402
from sot_tracker.train import init_similarity  # noqa: E402

NORMALIZATION = network_spec("fermt").normalization
GRID = 8  # search cells of a side, of 16 pixels


@pytest.fixture(scope="module")
def few_patches():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(init_similarity, "PATCHES", 8000)
        yield


@pytest.fixture(scope="module")
def started(small_cache, few_patches):
    torch.manual_seed(0)
    net = nets.build("fermt", template_size=64, search_size=128).eval()
    init_similarity.start(net, "fermt", small_cache, np.arange(len(small_cache.tracks)), seed=0)
    return net


@torch.no_grad()
def target_share(net, template, search):
    """Per search cell, how much more of the target's mark than of its surroundings' the last block's token carries."""
    backbone = net.backbone
    tokens = torch.cat(
        [backbone.embed(template, backbone.pos_embed_z), backbone.embed(search, backbone.pos_embed_x)], 1
    )
    for block in backbone.blocks:
        tokens = block(tokens, 16)
    marks, inside = backbone.pos_embed_z[0], inside_target(4)
    return tokens[0, 16:] @ (marks[inside].mean(0) - marks[~inside].mean(0))


def pair(seed, column, row):
    """A textured square on another texture, in the template's middle and at a cell of the search picture."""
    rng = np.random.default_rng(seed)
    ground, target = (rng.normal(size=(3, 4, 4)).repeat(8, 1).repeat(8, 2) for _ in range(2))
    template, search = np.tile(ground, (1, 2, 2)), np.tile(ground, (1, 4, 4))
    template[:, 16:48, 16:48] = target
    search[:, 16 * row : 16 * row + 32, 16 * column : 16 * column + 32] = target
    return (torch.from_numpy(picture)[None].float() for picture in (template, search))


@pytest.mark.parametrize(("seed", "column", "row"), [(0, 0, 0), (1, 3, 3), (2, 6, 1), (3, 2, 6)])
def test_untrained_network_finds_the_target(started, seed, column, row):
    share = target_share(started, *pair(seed, column, row))
    best = [divmod(int(cell), GRID) for cell in share.topk(4).indices]
    assert sorted(best) == [(row + dy, column + dx) for dy in (0, 1) for dx in (0, 1)]


@pytest.mark.usefixtures("few_patches")
def test_patch_embedding_is_centred_and_even(small_cache):
    tracks = np.arange(len(small_cache.tracks))
    samples = init_similarity.patches(small_cache, tracks, 16, NORMALIZATION, np.random.default_rng(0))
    filters, bias = init_similarity.principal_filters(samples, 24)
    tokens = torch.from_numpy(samples).float() @ filters.T + bias
    assert tokens.mean(0).abs().max() < 1e-2
    assert tokens.var(0).mean() == pytest.approx(1.0, abs=0.05)
    assert tokens.T.corrcoef().fill_diagonal_(0).abs().max() < 0.05


def test_other_networks_are_refused(small_cache):
    with pytest.raises(UserError, match="not possible for smat"):
        init_similarity.start(nets.build("smat"), "smat", small_cache, np.arange(1), seed=0)
