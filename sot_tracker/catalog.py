"""The catalogue of trackers: how each network is fed and read. It imports nothing that needs a network to run."""

from __future__ import annotations

from dataclasses import dataclass

from sot_tracker.errors import UserError, did_you_mean

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
UNIT = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
LITE0 = ((127 / 255,) * 3, (128 / 255,) * 3)
"""EfficientNet-Lite's."""


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """How a network is fed and read (the fact sheets' sections on crop, loop and decoding).

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


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One row of the catalogue.

    network: None for what OpenCV runs. opencv_weights: OpenCV runs it on weights that the user gives
        (`opencv_peers.py`); its other trackers need none.
    """

    name: str
    title: str
    source: str
    network: NetworkSpec | None = None
    opencv_weights: bool = False

    @property
    def takes_weights(self) -> bool:
        return self.network is not None or self.opencv_weights


_CENTER, _CENTER_UNIT = NetworkSpec("center"), NetworkSpec("center", normalization=UNIT)
_CENTER_LITE0 = NetworkSpec("center_weak", normalization=LITE0)
_CORNER, _TOKEN = NetworkSpec("corner"), NetworkSpec("token", crop="average")

MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec("csrt", "CSRT", "Lukezic et al., CVPR 2017 (OpenCV)"),
        ModelSpec("kcf", "KCF", "Henriques et al., TPAMI 2015 (OpenCV)"),
        ModelSpec("mil", "MIL", "Babenko et al., CVPR 2009 (OpenCV)"),
        ModelSpec("nanotrack", "NanoTrack V2", "Chu, SiamTrackers (OpenCV)", opencv_weights=True),
        ModelSpec("vittrack", "VitTrack", "OpenCV's model zoo (OpenCV)", opencv_weights=True),
        ModelSpec("dasiamrpn", "DaSiamRPN", "Zhu et al., ECCV 2018 (OpenCV)", opencv_weights=True),
        ModelSpec("fermt", "FERMT", "Zheng et al., ECCV 2024", _CENTER),
        ModelSpec("fermt_nodau", "FERMT without Dual Attention Unit", "Zheng et al., ECCV 2024", _CENTER),
        ModelSpec("hit_base", "HiT-Base", "Kang et al., ICCV 2023", _CORNER),
        ModelSpec("hit_small", "HiT-Small", "Kang et al., ICCV 2023", _CORNER),
        ModelSpec("hit_tiny", "HiT-Tiny", "Kang et al., ICCV 2023", _CORNER),
        ModelSpec("smat", "SMAT", "Gopal and Amer, WACV 2024", _CENTER_UNIT),
        ModelSpec("mvt", "MVT", "Gopal and Amer, BMVC 2023", _CENTER_UNIT),
        ModelSpec("lite", "Lite", "our own, on EfficientNet-Lite0 (Tan and Le, ICML 2019)", _CENTER_LITE0),
        ModelSpec("hcat", "HCAT (N=2)", "Chen et al., ECCV 2022 workshops", _TOKEN),
        ModelSpec("hcat_n1", "HCAT (N=1)", "Chen et al., ECCV 2022 workshops", _TOKEN),
    )
}


def spec(name: str) -> ModelSpec:
    """The catalogue row of that name. Raises UserError listing the known ones."""
    if name not in MODELS:
        raise UserError(f"unknown model '{name}': known are {', '.join(MODELS)}{did_you_mean(name, MODELS)}")
    return MODELS[name]


def network_spec(name: str) -> NetworkSpec:
    """How the network of that name is fed. Raises UserError if the name is unknown or has no network."""
    network = spec(name).network
    if network is None:
        known = ", ".join(m for m in MODELS if MODELS[m].network)
        raise UserError(f"model '{name}' has no network: choose one of {known}")
    return network
