"""What `lite` alone promises: its cost, its backbone, what its neck compares."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from sot_tracker.catalog import network_spec  # noqa: E402
from sot_tracker.nets import build, cost, lite  # noqa: E402

SHIPPED_BYTES = 6_000_000
SEARCH_MACS = 300_000_000


def test_it_is_as_small_as_promised():
    net = build("lite")
    assert cost.parameters(net) == 511_477
    assert cost.macs(net, network_spec("lite"))["search"] <= SEARCH_MACS
    assert 4 * cost.parameters(net) <= SHIPPED_BYTES  # even in float32


def test_it_is_made_of_what_int8_keeps():
    activations = {type(m) for m in build("lite").modules() if type(m).__module__.startswith("torch.nn.modules.activ")}
    assert activations == {nn.ReLU}
    assert not any(isinstance(m, (nn.Linear, nn.LayerNorm, nn.AdaptiveAvgPool2d)) for m in build("lite").modules())


@torch.no_grad()
def test_a_cell_of_the_backbone_looks_at_the_pixel_for_which_it_stands():
    net = build("lite", blocks=lite.EFFICIENTNET_LITE0[:6]).eval()
    for parameter in net.backbone.parameters():  # all alike, so that what comes out is symmetric about that pixel
        nn.init.constant_(parameter, 0.01 if parameter.dim() > 1 else 0.0)
    image = torch.zeros(1, 3, 512, 512)
    image[..., 16 * 15, 16 * 15] = 1.0
    (out,) = net.backbone(image).mean(1)
    assert divmod(int(out.argmax()), 32) == (15, 15)
    assert torch.allclose(out[15, 10:15], out[15, 16:21].flip(0), atol=1e-9)


def imagenet_block(cin: int, cout: int, kernel: int, expand: bool) -> nn.ModuleDict:
    """An inverted residual with EfficientNet's norms, and the names of its state dict."""
    wide = 6 * cin if expand else cin
    layers = {
        "_depthwise_conv": nn.Conv2d(wide, wide, kernel, padding=kernel // 2, groups=wide, bias=False),
        "_bn1": nn.BatchNorm2d(wide, eps=lite.NORM_EPSILON),
        "_project_conv": nn.Conv2d(wide, cout, 1, bias=False),
        "_bn2": nn.BatchNorm2d(cout, eps=lite.NORM_EPSILON),
    }
    if expand:
        layers |= {
            "_expand_conv": nn.Conv2d(cin, wide, 1, bias=False),
            "_bn0": nn.BatchNorm2d(wide, eps=lite.NORM_EPSILON),
        }
    return nn.ModuleDict(layers).eval()


@torch.no_grad()
def test_imagenet_weights_with_their_norms_folded_in_give_the_same_features():
    torch.manual_seed(0)
    stem = nn.ModuleDict(
        {"_conv_stem": nn.Conv2d(3, 32, 3, 2, 1, bias=False), "_bn0": nn.BatchNorm2d(32, eps=lite.NORM_EPSILON)}
    ).eval()
    blocks = nn.ModuleList([imagenet_block(32, 16, 3, expand=False), imagenet_block(16, 16, 5, expand=True)])
    for module in (*stem.modules(), *blocks.modules()):
        if isinstance(module, nn.BatchNorm2d):
            for name in ("weight", "bias", "running_mean", "running_var"):
                getattr(module, name).data.uniform_(0.5, 1.5)
    state = stem.state_dict() | {f"_blocks.{name}": value for name, value in blocks.state_dict().items()}

    configs = (lite.BlockConfig(3, 1, 1, 16), lite.BlockConfig(5, 1, 6, 16))
    backbone = build("lite", blocks=configs).backbone.eval()
    backbone.load_state_dict(lite.from_imagenet(state, blocks=2))

    image = torch.randn(2, 3, 32, 32)
    x = nn.functional.relu6(stem["_bn0"](stem["_conv_stem"](image)))
    x = blocks[0]["_bn2"](
        blocks[0]["_project_conv"](nn.functional.relu6(blocks[0]["_bn1"](blocks[0]["_depthwise_conv"](x))))
    )
    wide = nn.functional.relu6(blocks[1]["_bn0"](blocks[1]["_expand_conv"](x)))
    narrow = blocks[1]["_project_conv"](nn.functional.relu6(blocks[1]["_bn1"](blocks[1]["_depthwise_conv"](wide))))
    assert torch.allclose(backbone(image), x + blocks[1]["_bn2"](narrow), atol=1e-4)


@torch.no_grad()
def test_the_neck_compares_every_cell_of_the_search_region_with_every_cell_of_the_template():
    net = build("lite").eval()
    net.neck.adjust_x.load_state_dict(net.neck.adjust_z.state_dict())
    z = torch.randn(1, net.backbone.cout, 8, 8)
    cells, target = net.neck.template(z)
    assert cells.shape == (1, 64, 96)
    assert torch.allclose(cells.norm(dim=2), torch.ones(1, 64), atol=1e-5)
    assert target.shape == (1, 96, 1, 1)
    seen = []
    net.neck.norm_cosines.register_forward_hook(lambda _module, given, _made: seen.append(given[0]))
    net.neck(cells, target, z)
    same = seen[0].flatten(2)[0]  # template cell by cell of the "search region"
    assert torch.allclose(same.diagonal(), torch.ones(64), atol=1e-4)
    assert bool((same.argmax(1) == torch.arange(64)).all())
