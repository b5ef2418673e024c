"""The catalogue of trackers, with the input sizes, normalisation and decoding of each network. It imports no engine."""

from __future__ import annotations

from dataclasses import dataclass

from sot_tracker.errors import UserError, did_you_mean

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
UNIT = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
LITE0 = ((127 / 255,) * 3, (128 / 255,) * 3)
"""Mean and standard deviation of EfficientNet-Lite."""


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """Inputs and outputs of a network (the fact sheets' sections on crop, loop and decoding).

    crop: "black" pads with zeros before resizing (FERMT, HiT, SMAT, MVT); "average" pads with the first frame's
        channel average after resizing (HCAT).
    decoding: "center", "center_weak" (a weaker window), "corner" or "token"; see `decode.py`.
    normalization: mean and std of RGB / 255.
    """

    decoding: str
    crop: str = "black"
    normalization: tuple[tuple[float, float, float], tuple[float, float, float]] = IMAGENET
    template_size: int = 128
    search_size: int = 256
    template_factor: float = 2.0
    search_factor: float = 4.0
    stride: int = 16

    @property
    def maps(self) -> str:
        """The kind of maps: "center", "corner" or "token"; `decoding` also tells the strength of the window."""
        return self.decoding.removesuffix("_weak")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One row of the catalogue.

    network: None for OpenCV's trackers. module: file with the network's `FAMILY` (`nets/family.py`), which has a
        variant of this name. opencv_weights: whether OpenCV needs a weights file from the user (`opencv_peers.py`).
        second_opinion: whether `second_opinion=auto` means on.
    """

    name: str
    title: str
    source: str
    network: NetworkSpec | None = None
    module: str = ""
    opencv_weights: bool = False
    second_opinion: bool = False

    @property
    def takes_weights(self) -> bool:
        return self.network is not None or self.opencv_weights


_CENTER, _CENTER_UNIT = NetworkSpec("center"), NetworkSpec("center", normalization=UNIT)
_CENTER_LITE0 = NetworkSpec("center_weak", normalization=LITE0)
_CORNER, _TOKEN = NetworkSpec("corner"), NetworkSpec("token", crop="average")
_TOKEN_8 = NetworkSpec("token", crop="average", stride=8)

_BETTER_WITH_SECOND = ("lite", "fermt", "smat", "mvt", "hcat", "hit_tiny")
"""Models that a second opinion improves, on clips outside of the evaluation (docs/experiments.md)."""


def _family(module: str, source: str, network: NetworkSpec, titles: dict[str, str]) -> list[ModelSpec]:
    """The rows of the networks of one file in `nets/`: name -> title."""
    return [
        ModelSpec(
            name, title, source, network, f"sot_tracker.nets.{module}", second_opinion=name in _BETTER_WITH_SECOND
        )
        for name, title in titles.items()
    ]


_OPENCV = [
    ModelSpec("csrt", "CSRT", "Lukezic et al., CVPR 2017 (OpenCV)"),
    ModelSpec("kcf", "KCF", "Henriques et al., TPAMI 2015 (OpenCV)"),
    ModelSpec("mil", "MIL", "Babenko et al., CVPR 2009 (OpenCV)"),
    ModelSpec("nanotrack", "NanoTrack V2", "Chu, SiamTrackers (OpenCV)", opencv_weights=True),
    ModelSpec("vittrack", "VitTrack", "OpenCV's model zoo (OpenCV)", opencv_weights=True),
    ModelSpec("dasiamrpn", "DaSiamRPN", "Zhu et al., ECCV 2018 (OpenCV)", opencv_weights=True),
]
_FERMT = {"fermt": "FERMT", "fermt_nodau": "FERMT without Dual Attention Unit"}
_HIT = {"hit_base": "HiT-Base", "hit_small": "HiT-Small", "hit_tiny": "HiT-Tiny"}
_SMAT = {
    "smat": "SMAT",
    "smat_a": "SMAT, self-attention alone",
    "smat_b": "SMAT, cross-attention alone",
    "smat_c": "SMAT, self- then cross-attention",
    "smat_standard": "SMAT, standard attention",
}
_HCAT = {"hcat": "HCAT (N=2)", "hcat_n1": "HCAT (N=1)"}

MODELS: dict[str, ModelSpec] = {
    row.name: row
    for row in (
        *_OPENCV,
        *_family("fermt", "Zheng et al., ECCV 2024", _CENTER, _FERMT),
        *_family("hit", "Kang et al., ICCV 2023", _CORNER, _HIT),
        *_family("hit_pvt", "Kang et al., ICCV 2023", _CORNER, {"hit_pvt": "HiT with PVT-Small"}),
        *_family("smat", "Gopal and Amer, WACV 2024", _CENTER_UNIT, _SMAT),
        *_family("lite", "our own, on EfficientNet-Lite0 (Tan and Le, ICML 2019)", _CENTER_LITE0, {"lite": "Lite"}),
        *_family("mvt", "Gopal and Amer, BMVC 2023", _CENTER_UNIT, {"mvt": "MVT"}),
        *_family("hcat", "Chen et al., ECCV 2022 workshops", _TOKEN, _HCAT),
        *_family("transt", "Chen et al., ECCV 2022 workshops", _TOKEN_8, {"transt_h": "TransT_H"}),
    )
}
"""Name -> row; a new network is one line here and one file in `nets/`."""

FEATURE_MODEL = "lite"
"""The model whose features are used for the second opinion of other networks (`tracking/second_opinion.py`)."""


def spec(name: str) -> ModelSpec:
    """The catalogue row of that name. Raises UserError listing the known ones."""
    if name not in MODELS:
        raise UserError(f"unknown model '{name}': known are {', '.join(MODELS)}{did_you_mean(name, MODELS)}")
    return MODELS[name]


def network_spec(name: str) -> NetworkSpec:
    """The `NetworkSpec` of the model of that name. Raises UserError if the name is unknown or has no network."""
    network = spec(name).network
    if network is None:
        known = ", ".join(m for m in MODELS if MODELS[m].network)
        raise UserError(f"model '{name}' has no network: choose one of {known}")
    return network
