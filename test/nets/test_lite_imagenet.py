"""Where `lite`'s backbone comes from."""

import pytest

torch = pytest.importorskip("torch")

from sot_tracker import nets  # noqa: E402
from sot_tracker.errors import UserError  # noqa: E402
from sot_tracker.nets import lite_imagenet  # noqa: E402


def test_other_networks_are_refused():
    with pytest.raises(UserError, match="is for lite"):
        lite_imagenet.start(nets.build("mvt"))


def test_the_whole_backbone_is_filled():
    pytest.importorskip(lite_imagenet.PACKAGE)
    net = nets.build("lite")
    fresh = {name: value.clone() for name, value in net.state_dict().items()}
    lite_imagenet.start(net)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, fresh[name])}
    assert changed == {f"backbone.{name}" for name in net.backbone.state_dict()}
