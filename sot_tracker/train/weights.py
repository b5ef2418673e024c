"""Weights to start from: another checkpoint of ours, or a backbone file with timm's names.

Names are mapped, shapes compared, and everything that did not fit is told: a start that silently took half a backbone
is
worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.checkpoints import read_safetensors
from sot_tracker.errors import UserError
from sot_tracker.train import state

Rule = tuple[str, str]
"""A regular expression that must match a whole name, and its replacement."""

NORM = "(weight|bias|running_mean|running_var|num_batches_tracked)"
PARAM = "(weight|bias)"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of `initialise`: how many tensors were taken, and the names that were not, with the reason."""

    taken: int
    unused: tuple[str, ...]
    misshapen: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"started from {self.taken} tensors; {len(self.left)} of the network keep their fresh values"]
        for title, names in (
            ("unused in the file", self.unused),
            ("of another shape", self.misshapen),
            ("fresh", self.left),
        ):
            if names:
                lines.append(
                    f"  {title}: {', '.join(names[:12])}{f' and {len(names) - 12} more' if len(names) > 12 else ''}"
                )
        return "\n".join(lines)


RESNET: list[Rule] = [(r"((?:conv1|bn1|layer[123])\..+)", r"backbone.0.body.\1")]

VIT: list[Rule] = [(r"((?:cls_token|pos_embed|norm\.\w+|patch_embed\.proj\.\w+|blocks\..+))", r"backbone.\1")]

_IR = {"conv1_1x1": "exp_1x1", "conv2_kxk": "conv_3x3", "conv3_1x1": "red_1x1"}


def _mobilevit_rules() -> list[Rule]:
    """timm's `mobilevit_s` and `mobilevitv2_*`: stages 0 to 3 are layer_1 to layer_4."""
    rules: list[Rule] = [
        (r"stem\.conv\.weight", r"backbone.conv_1.block.conv.weight"),
        (rf"stem\.bn\.{NORM}", r"backbone.conv_1.block.norm.\1"),
    ]
    for stage in range(4):
        here, there = rf"stages\.{stage}", f"backbone.layer_{stage + 1}"
        for theirs, ours in _IR.items():
            rules += [
                (rf"{here}\.(\d)\.{theirs}\.conv\.weight", rf"{there}.\1.block.{ours}.block.conv.weight"),
                (rf"{here}\.(\d)\.{theirs}\.bn\.{NORM}", rf"{there}.\1.block.{ours}.block.norm.\2"),
            ]
    for stage in (2, 3):
        rules += _mixed_rules(rf"stages\.{stage}\.1", f"backbone.layer_{stage + 1}.1")
    return rules


def _mixed_rules(here: str, there: str) -> list[Rule]:
    """A MobileViT block; version 1 first, then what only version 2 has (1x1 convolutions in place of linear layers)."""
    block, group = rf"{here}\.transformer\.(\d)", rf"{there}.global_rep.\1"
    deep = rf"{here}\.norm\.{PARAM}"
    first = [
        (rf"{here}\.conv_kxk\.conv\.weight", f"{there}.local_rep.conv_3x3.block.conv.weight"),
        (rf"{here}\.conv_kxk\.bn\.{NORM}", rf"{there}.local_rep.conv_3x3.block.norm.\1"),
        (rf"{here}\.conv_1x1\.weight", f"{there}.local_rep.conv_1x1.block.conv.weight"),
        (rf"{block}\.norm1\.{PARAM}", rf"{group}.pre_norm_mha.0.\2"),
        (rf"{block}\.attn\.qkv\.{PARAM}", rf"{group}.pre_norm_mha.1.qkv_proj.\2"),
        (rf"{block}\.attn\.proj\.{PARAM}", rf"{group}.pre_norm_mha.1.out_proj.\2"),
        (rf"{block}\.norm2\.{PARAM}", rf"{group}.pre_norm_ffn.0.\2"),
        (rf"{block}\.mlp\.fc1\.{PARAM}", rf"{group}.pre_norm_ffn.1.\2"),
        (rf"{block}\.mlp\.fc2\.{PARAM}", rf"{group}.pre_norm_ffn.4.\2"),
        (deep, rf"{there}.global_rep.LAST.\1"),
        (rf"{here}\.conv_proj\.conv\.weight", f"{there}.conv_proj.block.conv.weight"),
        (rf"{here}\.conv_proj\.bn\.{NORM}", rf"{there}.conv_proj.block.norm.\1"),
        (rf"{here}\.conv_fusion\.conv\.weight", f"{there}.fusion.block.conv.weight"),
        (rf"{here}\.conv_fusion\.bn\.{NORM}", rf"{there}.fusion.block.norm.\1"),
    ]
    second = [
        (rf"{here}\.conv_kxk\.conv\.weight", f"{there}.local_rep.0.block.conv.weight"),
        (rf"{here}\.conv_kxk\.bn\.{NORM}", rf"{there}.local_rep.0.block.norm.\1"),
        (rf"{here}\.conv_1x1\.weight", f"{there}.local_rep.1.block.conv.weight"),
        (rf"{block}\.norm1\.{PARAM}", rf"{group}.pre_norm_attn.0.\2"),
        (rf"{block}\.attn\.qkv_proj\.{PARAM}", rf"{group}.pre_norm_attn.1.qkv_proj.block.conv.\2"),
        (rf"{block}\.attn\.out_proj\.{PARAM}", rf"{group}.pre_norm_attn.1.out_proj.block.conv.\2"),
        (rf"{block}\.norm2\.{PARAM}", rf"{group}.pre_norm_ffn.0.\2"),
        (rf"{block}\.mlp\.fc1\.{PARAM}", rf"{group}.pre_norm_ffn.1.block.conv.\2"),
        (rf"{block}\.mlp\.fc2\.{PARAM}", rf"{group}.pre_norm_ffn.3.block.conv.\2"),
    ]
    return first + second


def _levit_rules(net: nn.Module) -> list[Rule]:
    """timm's LeViT: blocks of all stages in one flat list here; attention biases have other shapes and start at 0."""
    part = rf"(?:(?:linear\.(weight))|(?:bn\.{NORM}))"
    rules: list[Rule] = [(rf"stem\.conv{i + 1}\.{part}", f"backbone.body.patch_embed.{2 * i}.PART") for i in range(4)]
    at = 0
    config: Any = net.config
    for stage, depth in enumerate(config.depths):
        if stage:
            down = rf"stages\.{stage}\.downsample"
            for theirs, ours in (("kv", "kv"), (r"q\.ln", "q.1"), (r"proj\.ln", "proj.1")):
                rules.append((rf"{down}\.attn_downsample\.{theirs}\.{part}", f"backbone.body.blocks.{at}.{ours}.PART"))
            for theirs, ours in (("ln1", "0"), ("ln2", "2")):
                rules.append((rf"{down}\.mlp\.{theirs}\.{part}", f"backbone.body.blocks.{at + 1}.m.{ours}.PART"))
            at += 2
        for block in range(depth):
            here = rf"stages\.{stage}\.blocks\.{block}"
            rules += [
                (rf"{here}\.attn\.qkv\.{part}", f"backbone.body.blocks.{at}.m.qkv.PART"),
                (rf"{here}\.attn\.proj\.ln\.{part}", f"backbone.body.blocks.{at}.m.proj.1.PART"),
                (rf"{here}\.mlp\.ln1\.{part}", f"backbone.body.blocks.{at + 1}.m.0.PART"),
                (rf"{here}\.mlp\.ln2\.{part}", f"backbone.body.blocks.{at + 1}.m.2.PART"),
            ]
            at += 2
    return rules


def rules_for(net: nn.Module) -> list[Rule]:
    """The name rules of the backbone that this network has."""
    family = type(net).__name__.lower()
    if family == "hcat":
        return RESNET
    if family == "hit":
        return _levit_rules(net)
    return VIT if family == "fermt" else _mobilevit_rules()


def renamed(name: str, rules: list[Rule], known: Mapping[str, Tensor]) -> str | None:
    """Our name for theirs, or None. Of several rules that fit, the first whose result the network has."""
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, name)
        if match is None:
            continue
        if replacement.endswith("PART"):
            replacement = replacement[:-4] + ("c.weight" if match.group(1) else f"bn.{match.group(2)}")
            ours = replacement
        else:
            ours = match.expand(replacement)
        if "LAST" in ours:
            ours = ours.replace("LAST", str(_last(ours.partition(".LAST")[0], known)))
        if ours in known:
            return ours
    return None


def _last(prefix: str, known: Mapping[str, Tensor]) -> int:
    """The highest number right under a prefix."""
    numbers = [int(n[len(prefix) + 1 :].partition(".")[0]) for n in known if n.startswith(prefix + ".")]
    return max(numbers, default=0)


def read(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, of our own checkpoint (its average), or of a plain state dict. Raises
    UserError.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)[1]
    content = state.load(path)
    tensors: dict[str, Tensor] = content.get("ema", content)
    return tensors


def initialise(net: nn.Module, path: Path) -> Loaded:
    """Load what fits from `path` into `net`. Raises UserError if nothing does."""
    own, given = net.state_dict(), read(path)
    rules = [] if set(given) & set(own) else rules_for(net)
    fitting: dict[str, Tensor] = {}
    unused, misshapen = [], []
    for name, value in given.items():
        ours = name if name in own else renamed(name, rules, own)
        if ours is None:
            unused.append(name)
            continue
        if ours.endswith("attention_bias_idxs"):
            continue  # follows from the size of the crops
        fitted = fit(ours, value, own[ours].shape)
        if fitted is None and ours.endswith("attention_biases"):
            biases: Any = net.get_submodule(ours.rpartition(".")[0])
            fitted = biases.resized(value)
        if fitted is None:
            misshapen.append(f"{name} {list(value.shape)}, wanted {list(own[ours].shape)}")
        else:
            fitting[ours] = fitted.to(own[ours].dtype)
    if not fitting:
        raise UserError(
            f"--init '{path}' holds nothing that fits {type(net).__name__}: give its backbone or a checkpoint of it"
        )
    net.load_state_dict(fitting, strict=False)
    if "backbone.pos_embed" in fitting and "backbone.pos_embed_z" not in fitting:
        backbone: Any = net.backbone
        backbone.reset_positions()  # FERMT: its two tables are made from the pre-trained one
    left = tuple(
        name for name in own if name not in fitting and not name.endswith(("num_batches_tracked", "bias_idxs"))
    )
    return Loaded(len(fitting), tuple(unused), tuple(misshapen), left)


def fit(name: str, value: Tensor, shape: torch.Size) -> Tensor | None:
    """The tensor in the wanted shape, or None where no meaningful change gives it.

    Equal shapes, and layers whose shape follows the pictures' size: the correlation's cells and position embeddings.
    Convolutions of 1x1 and linear layers differ only in trailing ones.
    """
    if value.shape == shape:
        return value
    if value.numel() == shape.numel() and [n for n in value.shape if n > 1] == [n for n in shape if n > 1]:
        return value.reshape(shape)
    if "feature_fusor" in name and value.dim() == len(shape):
        return _resize_cells(name, value, shape)
    if "pos_embed" in name and value.dim() == 3 and value.shape[2] == shape[2]:
        return _resize_positions(value, shape[1])
    return None


def _resize_cells(name: str, value: Tensor, shape: torch.Size) -> Tensor | None:
    """Correlation channels are cells of the template, row-major. A finer grid repeats each cell's weights for its
    parts and
    shares what was one input among them, so that the resized layer does the same as before to a picture twice as large.
    """
    for axis, (old, new) in enumerate(zip(value.shape, shape, strict=True)):
        if old == new:
            continue
        side, wanted = round(old**0.5), round(new**0.5)
        if side * side != old or wanted * wanted != new:
            return None
        rows = torch.arange(wanted) * side // wanted
        cells = (rows[:, None] * side + rows[None, :]).flatten()
        value = value.index_select(axis, cells)
        if axis == 1:
            value = value * (old / new)
    return value


def _resize_positions(value: Tensor, count: int) -> Tensor | None:
    """Position embeddings (1, n, d), bicubic; a leading class token is dropped where only its absence makes a
    square.
    """
    side, wanted = round(value.shape[1] ** 0.5), round(count**0.5)
    if side * side == value.shape[1] - 1:
        value = value[:, 1:]
    elif side * side != value.shape[1]:
        return None
    if wanted * wanted != count:
        return None
    grid = value.transpose(1, 2).reshape(1, -1, side, side).float()
    return F.interpolate(grid, (wanted, wanted), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
