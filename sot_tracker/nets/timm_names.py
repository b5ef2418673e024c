"""Names in timm's files of pre-trained backbones -> names in our networks, as rules for `Family.pretrained`."""

from __future__ import annotations

from collections.abc import Sequence

from sot_tracker.nets.family import Rule

NORM = "(weight|bias|running_mean|running_var|num_batches_tracked)"
PARAM = "(weight|bias)"

RESNET: tuple[Rule, ...] = ((r"((?:conv1|bn1|layer[123])\..+)", r"backbone.0.body.\1"),)
"""`resnet18`, of which HCAT has the first three stages."""

VIT: tuple[Rule, ...] = ((r"((?:cls_token|pos_embed|norm\.\w+|patch_embed\.proj\.\w+|blocks\..+))", r"backbone.\1"),)
"""`vit_tiny_*`, and MAE's tiny."""

_INVERTED_RESIDUAL = {"conv1_1x1": "exp_1x1", "conv2_kxk": "conv_3x3", "conv3_1x1": "red_1x1"}


def mobilevit(mixed: Sequence[int], version: int) -> list[Rule]:
    """`mobilevit_s` (version 1) and `mobilevitv2_*` (2): stages 0 to 3 are layer_1 to layer_4.

    mixed: transformer layers in stages 2 and 3.
    """
    rules: list[Rule] = [
        (r"stem\.conv\.weight", "backbone.conv_1.block.conv.weight"),
        (rf"stem\.bn\.{NORM}", r"backbone.conv_1.block.norm.\1"),
    ]
    for stage in range(4):
        here, there = rf"stages\.{stage}", f"backbone.layer_{stage + 1}"
        for theirs, ours in _INVERTED_RESIDUAL.items():
            rules += [
                (rf"{here}\.(\d)\.{theirs}\.conv\.weight", rf"{there}.\1.block.{ours}.block.conv.weight"),
                (rf"{here}\.(\d)\.{theirs}\.bn\.{NORM}", rf"{there}.\1.block.{ours}.block.norm.\2"),
            ]
    block = _mobilevit_block if version == 1 else _mobilevit2_block
    for stage, layers in zip((2, 3), mixed, strict=True):
        rules += block(rf"stages\.{stage}\.1", f"backbone.layer_{stage + 1}.1", layers)
    return rules


def _mobilevit_block(here: str, there: str, layers: int) -> list[Rule]:
    block, group = rf"{here}\.transformer\.(\d)", rf"{there}.global_rep.\1"
    return [
        (rf"{here}\.conv_kxk\.conv\.weight", f"{there}.local_rep.conv_3x3.block.conv.weight"),
        (rf"{here}\.conv_kxk\.bn\.{NORM}", rf"{there}.local_rep.conv_3x3.block.norm.\1"),
        (rf"{here}\.conv_1x1\.weight", f"{there}.local_rep.conv_1x1.block.conv.weight"),
        (rf"{block}\.norm1\.{PARAM}", rf"{group}.pre_norm_mha.0.\2"),
        (rf"{block}\.attn\.qkv\.{PARAM}", rf"{group}.pre_norm_mha.1.qkv_proj.\2"),
        (rf"{block}\.attn\.proj\.{PARAM}", rf"{group}.pre_norm_mha.1.out_proj.\2"),
        (rf"{block}\.norm2\.{PARAM}", rf"{group}.pre_norm_ffn.0.\2"),
        (rf"{block}\.mlp\.fc1\.{PARAM}", rf"{group}.pre_norm_ffn.1.\2"),
        (rf"{block}\.mlp\.fc2\.{PARAM}", rf"{group}.pre_norm_ffn.4.\2"),
        (rf"{here}\.norm\.{PARAM}", rf"{there}.global_rep.{layers}.\1"),
        (rf"{here}\.conv_proj\.conv\.weight", f"{there}.conv_proj.block.conv.weight"),
        (rf"{here}\.conv_proj\.bn\.{NORM}", rf"{there}.conv_proj.block.norm.\1"),
        (rf"{here}\.conv_fusion\.conv\.weight", f"{there}.fusion.block.conv.weight"),
        (rf"{here}\.conv_fusion\.bn\.{NORM}", rf"{there}.fusion.block.norm.\1"),
    ]


def _mobilevit2_block(here: str, there: str, layers: int) -> list[Rule]:
    """1x1 convolutions in place of linear layers, and no fusion with the block's input."""
    block, group = rf"{here}\.transformer\.(\d)", rf"{there}.global_rep.\1"
    return [
        (rf"{here}\.conv_kxk\.conv\.weight", f"{there}.local_rep.0.block.conv.weight"),
        (rf"{here}\.conv_kxk\.bn\.{NORM}", rf"{there}.local_rep.0.block.norm.\1"),
        (rf"{here}\.conv_1x1\.weight", f"{there}.local_rep.1.block.conv.weight"),
        (rf"{block}\.norm1\.{PARAM}", rf"{group}.pre_norm_attn.0.\2"),
        (rf"{block}\.attn\.qkv_proj\.{PARAM}", rf"{group}.pre_norm_attn.1.qkv_proj.block.conv.\2"),
        (rf"{block}\.attn\.out_proj\.{PARAM}", rf"{group}.pre_norm_attn.1.out_proj.block.conv.\2"),
        (rf"{block}\.norm2\.{PARAM}", rf"{group}.pre_norm_ffn.0.\2"),
        (rf"{block}\.mlp\.fc1\.{PARAM}", rf"{group}.pre_norm_ffn.1.block.conv.\2"),
        (rf"{block}\.mlp\.fc2\.{PARAM}", rf"{group}.pre_norm_ffn.3.block.conv.\2"),
        (rf"{here}\.norm\.{PARAM}", rf"{there}.global_rep.{layers}.\1"),
        (rf"{here}\.conv_proj\.conv\.weight", f"{there}.conv_proj.block.conv.weight"),
        (rf"{here}\.conv_proj\.bn\.{NORM}", rf"{there}.conv_proj.block.norm.\1"),
    ]


def levit(depths: Sequence[int]) -> list[Rule]:
    """`levit_*`: ours has the blocks of all stages in one flat list. Attention biases have other shapes there and are
    not taken over.
    """
    body = "backbone.body"
    rules = [rule for i in range(4) for rule in _with_norm(rf"stem\.conv{i + 1}", f"{body}.patch_embed.{2 * i}")]
    at = 0
    for stage, depth in enumerate(depths):
        if stage:
            down = rf"stages\.{stage}\.downsample"
            for theirs, ours in (("kv", "kv"), (r"q\.ln", "q.1"), (r"proj\.ln", "proj.1")):
                rules += _with_norm(rf"{down}\.attn_downsample\.{theirs}", f"{body}.blocks.{at}.{ours}")
            for theirs, ours in (("ln1", "0"), ("ln2", "2")):
                rules += _with_norm(rf"{down}\.mlp\.{theirs}", f"{body}.blocks.{at + 1}.m.{ours}")
            at += 2
        for block in range(depth):
            here = rf"stages\.{stage}\.blocks\.{block}"
            rules += _with_norm(rf"{here}\.attn\.qkv", f"{body}.blocks.{at}.m.qkv")
            rules += _with_norm(rf"{here}\.attn\.proj\.ln", f"{body}.blocks.{at}.m.proj.1")
            rules += _with_norm(rf"{here}\.mlp\.ln1", f"{body}.blocks.{at + 1}.m.0")
            rules += _with_norm(rf"{here}\.mlp\.ln2", f"{body}.blocks.{at + 1}.m.2")
            at += 2
    return rules


def _with_norm(theirs: str, ours: str) -> list[Rule]:
    """A layer without bias and its batch norm."""
    return [(rf"{theirs}\.linear\.weight", f"{ours}.c.weight"), (rf"{theirs}\.bn\.{NORM}", rf"{ours}.bn.\1")]
