"""Where in a network each stored intermediate array is found, and how near ours must be (facts, last sections)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

Take = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Tolerance:
    """Largest difference allowed: absolute, plus a share of the array's largest absolute value."""

    absolute: float = 0.0
    relative: float = 0.0

    def of(self, expected: np.ndarray) -> float:
        return self.absolute + self.relative * float(np.abs(expected).max())


HIT = Tolerance(relative=5e-5)
"""HiT's maps are not bounded: all its limits are shares of the largest value (section 14)."""


@dataclass(frozen=True)
class Probe:
    """`key` of the file = `take` of what sub-module `module` gave in its call number `call`."""

    key: str
    module: str
    call: int
    take: Take
    tolerance: Tolerance
    item: int = 0  # of outputs that are tuples
    entering: bool = False  # the first input of the call instead of its output

    def read(self, calls: list[tuple[object, object]]) -> np.ndarray:
        inputs, output = calls[self.call]
        value = inputs if self.entering else output
        tensor = value[self.item] if isinstance(value, tuple) else value
        assert isinstance(tensor, Tensor)
        return self.take(tensor.detach().numpy())


def stats(array: np.ndarray) -> np.ndarray:
    """Mean, population standard deviation, least and greatest value, in float64."""
    a = array.astype(np.float64)
    return np.array([a.mean(), a.std(), a.min(), a.max()])


def _mobile_map(a: np.ndarray) -> np.ndarray:
    step = 4 if a.shape[3] >= 32 else 2
    return a[0, :8, ::step, ::step]


def _mobile(model: str) -> list[Probe]:
    """SMAT and MVT, section 10; search tokens come first."""
    fine = Tolerance(absolute=2e-5, relative=1e-5)
    corr = Tolerance(relative=1e-4)
    places: list[tuple[str, str, int, Take, Tolerance]] = [
        ("z2", "backbone.layer_2", 0, _mobile_map, fine),
        ("x2", "backbone.layer_2", 1, _mobile_map, fine),
        ("pw_corr", "feature_fusor.pw_corr", 0, _mobile_map, corr),
        ("fused", "feature_fusor", 0, _mobile_map, corr),
    ]
    for layer in ("layer_3", "layer_4"):
        last = {"mvt": "fusion", "smat": "conv_proj"}[model]
        order = {"layer_3": "zx", "layer_4": "xz"}[layer]  # the template of layer_3 is made beforehand
        for call, region in enumerate(order):
            places.append((f"{layer}.0.{region}", f"backbone.{layer}.0", call, _mobile_map, fine))
        for call, region in enumerate("xz"):
            places.append((f"{layer}.1.{region}", f"backbone.{layer}.1.{last}", call, _mobile_map, fine))
    tokens: Take = {"mvt": lambda a: a[:, ::16, :8], "smat": lambda a: a[0, :8, :, ::16]}[model]
    for call, region in enumerate("zx"):
        name = "layer_3.1.local_rep"
        places.append((f"{name}.{region}", f"backbone.{name}", call, _mobile_map, fine))
    for i in (0, 2):
        name = f"layer_3.1.global_rep.{i}"
        places.append((name, f"backbone.{name}", 0, tokens, fine))
    own = {"mvt": ("conv1_ctr", "conv4_ctr"), "smat": ("pre_ssat_cls", "global_rep_cls", "global_rep_reg")}[model]
    for name in own:
        places.append((name, f"box_head.{name}", 0, tokens if name.startswith("global") else _mobile_map, corr))
    probes = []
    for name, module, call, take, tolerance in places:
        probes.append(Probe(f"inter.{name}.slice", module, call, take, tolerance))
        probes.append(Probe(f"inter.{name}.stats", module, call, stats, tolerance))
    for item, region in enumerate("zx"):
        probes.append(Probe(f"inter.neck.{region}.slice", "neck", 0, _mobile_map, fine, item))
        probes.append(Probe(f"inter.neck.{region}.stats", "neck", 0, stats, fine, item))
    last = {"mvt": 5, "smat": 4}[model]
    for key, branch in (("score_logits", "ctr"), ("size_logits", "size")):
        probes.append(Probe(key, f"box_head.conv{last}_{branch}", 0, lambda a: a, Tolerance(absolute=1e-4)))
    return probes


def _hcat(model: str) -> list[Probe]:
    """Fact sheet of HCAT, section 15."""
    fine, deep = Tolerance(absolute=1e-5), Tolerance(absolute=2e-5)
    probes = []
    for call, region in enumerate("zx"):
        for name, module, channels, step in (
            ("stem", "maxpool", 8, 8),
            ("layer1", "layer1", 8, 8),
            ("layer2", "layer2", 8, 4),
            ("layer3", "layer3", 16, 1),
        ):
            take: Take = lambda a, c=channels, s=step: a[0, :c, ::s, ::s]  # noqa: E731
            probes.append(Probe(f"{region}_{name}", f"backbone.0.body.{module}", call, take, deep))
        probes.append(Probe(f"{region}_proj", "input_proj", call, lambda a: a[0, :16], deep))
    fusion, some = "featurefusion_network", lambda a: a[0, ::16, :32]
    query = f"{fusion}.encoder.query_layer"
    probes.append(Probe("sparse_attention", f"{query}.multihead_attn", 0, lambda a: a[0], fine))
    probes.append(Probe("sparse0", query, 0, lambda a: a[0], fine))
    for i in range({"hcat": 2, "hcat_n1": 1}[model]):
        layer = f"{fusion}.encoder.layers.{i}"
        probes.append(Probe(f"hca{i}_sparse", layer, 0, lambda a: a[0], fine, item=0))
        probes.append(Probe(f"hca{i}_search", layer, 0, some, fine, item=1))
    probes.append(Probe("decoder", f"{fusion}.decoder.layers.0", 0, some, fine))
    probes.append(Probe("fused", f"{fusion}.decoder.norm", 0, some, fine))
    probes.append(Probe("box_logits", "bbox_embed", 0, lambda a: a[0], fine))
    return probes


def _fermt(model: str) -> list[Probe]:
    """Fact sheet of FERMT, section 14; the uncached forward keeps all 320 rows until the last norm."""
    tight, loose = Tolerance(absolute=5e-6, relative=5e-6), Tolerance(absolute=2e-5, relative=1e-5)
    rows: Take = lambda a: a[0, ::8, :16]  # noqa: E731
    probes = [Probe("mid_tokens_in", "backbone.blocks.0", 0, rows, loose, entering=True)]
    if model == "fermt":
        for call, name in enumerate(("template", "search")):
            probes.append(Probe(f"mid_dau_{name}", "backbone.dau", call, lambda a: a[0, :, ::16, ::16], tight))
    for i in (0, 5, 6, 11):
        probes.append(Probe(f"mid_tokens_block{i}", f"backbone.blocks.{i}", 0, rows, loose))
    for i in (0, 6):
        probes.append(Probe(f"mid_attn_block{i}", f"backbone.blocks.{i}.attn.proj", 0, rows, loose))
    for branch in ("ctr", "size", "offset"):
        for k in (1, 4):
            key = f"conv{k}_{branch}"
            probes.append(Probe(f"mid_head_{key}", f"box_head.{key}", 0, lambda a: a[0, :16, ::4, ::4], loose))
    for key, branch in (("score_logits", "ctr"), ("size_logits", "size")):
        probes.append(Probe(key, f"box_head.conv5_{branch}", 0, lambda a: a, loose))
    return probes


def _hit(model: str) -> list[Probe]:
    """Fact sheet of HiT, section 14; stages are runs of attention and MLP blocks with a shrink and an MLP between."""
    depths = {"hit_base": (4, 4, 4), "hit_small": (4, 4, 4), "hit_tiny": (2, 3, 4)}[model]
    end1 = 2 * depths[0]
    end2 = end1 + 2 + 2 * depths[1]
    end3 = end2 + 2 + 2 * depths[2]
    fine, middle, coarse = [0, 17, 255, 256, 300, 319], [0, 9, 63, 64, 70, 79], [0, 5, 15, 16, 19]
    probes = [_hit_tokens("patch_embed", 0, fine, entering=True)]
    for key, block, tokens in (
        ("block0", 0, fine),
        ("stage1", end1 - 1, fine),
        ("shrink1", end1, middle),
        ("stage2", end2 - 1, middle),
        ("shrink2", end2, coarse),
        ("stage3", end3 - 1, coarse),
    ):
        probes.append(_hit_tokens(key, block, tokens))
    folded: Take = lambda a: a[0, :, :8].T.reshape(8, 16, 16)  # noqa: E731
    return [
        *probes,
        Probe("global_vector", "bottleneck.proj2", 0, lambda a: a[0], HIT, entering=True),
        Probe("bridge", "bottleneck.proj1", 0, folded, HIT, entering=True),
        Probe("neck_search", "bottleneck.proj1", 0, folded, HIT),
        Probe("neck_global", "bottleneck.proj2", 0, lambda a: a[0], HIT),
        Probe("head_input", "box_head", 0, lambda a: a[0, :8], HIT, entering=True),
        Probe("head_conv1_tl", "box_head.conv1_tl", 0, lambda a: a[0, :8], HIT),
    ]


def _hit_tokens(key: str, block: int, tokens: list[int], entering: bool = False) -> Probe:
    return Probe(key, f"backbone.body.blocks.{block}", 0, lambda a: a[0, tokens, :8], HIT, entering=entering)


def probes_of(model: str) -> list[Probe]:
    """Every intermediate array of the model's files that a sub-module's output shows."""
    makers = {"mvt": _mobile, "smat": _mobile, "hcat": _hcat, "fermt": _fermt, "hit": _hit}
    return makers[model.partition("_")[0]](model)


OUTPUTS: dict[str, dict[str, tuple[str, Tolerance]]] = {
    "fermt": {
        "score": ("score_map", Tolerance(5e-6)),
        "size": ("size_map", Tolerance(5e-6)),
        "offset": ("offset_map", Tolerance(5e-6)),
    },
    "smat": {
        "score": ("score_map", Tolerance(2e-5)),
        "size": ("size_map", Tolerance(2e-5)),
        "offset": ("offset_map", Tolerance(2e-5)),
    },
    "mvt": {
        "score": ("score_map", Tolerance(2e-5)),
        "size": ("size_map", Tolerance(2e-5)),
        "offset": ("offset_map", Tolerance(1e-4)),
    },
    "hcat": {"logits": ("pred_logits", Tolerance(1e-5)), "boxes": ("pred_boxes", Tolerance(1e-5))},
    "hit": {"tl": ("score_tl", HIT), "br": ("score_br", HIT)},
}
"""family -> map -> array of the file and tolerance."""
