"""A network that exports in a second and has one of everything the real ones have."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.catalog import IMAGENET, ModelSpec, NetworkSpec

SPEC = ModelSpec("toy", "Toy", "test", NetworkSpec("center", normalization=IMAGENET, template_size=48, search_size=96))
GRID = SPEC.network.search_size // 16


class Toy(nn.Module):
    """Convolution with batch norm, layer norm, fused attention, a table of indices, a buffer outside the state dict."""

    bias_idxs: Tensor
    position: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 16, 16, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.layer_norm = nn.LayerNorm(32)
        self.qkv = nn.Linear(32, 96)
        self.biases = nn.Parameter(torch.randn(4, 17))
        self.register_buffer("bias_idxs", torch.arange(GRID**2 * 45).reshape(GRID**2, 45) % 17)
        self.register_buffer("position", torch.linspace(-1, 1, 32), persistent=False)
        self.head = nn.Linear(32, 5)
        nn.init.normal_(self.head.weight, std=0.2)
        nn.init.uniform_(self.norm.running_var, 0.5, 2.0)
        nn.init.normal_(self.norm.running_mean)

    def tokens(self, image: Tensor) -> Tensor:
        flat = torch.relu(self.norm(self.stem(image))).flatten(2).transpose(1, 2)
        return self.layer_norm(flat + self.position)

    def split(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b, n, _ = tokens.shape
        q, k, v = self.qkv(tokens).reshape(b, n, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def template(self, z: Tensor) -> tuple[Tensor, ...]:
        return self.split(self.tokens(z))[1:]

    def search(self, cached: tuple[Tensor, ...], x: Tensor) -> dict[str, Tensor]:
        tokens = self.tokens(x)
        q, k, v = self.split(tokens)
        keys, values = torch.cat((cached[0], k), 2), torch.cat((cached[1], v), 2)
        bias = self.biases.index_select(1, self.bias_idxs.flatten()).reshape(1, 4, *self.bias_idxs.shape)
        mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=bias).transpose(1, 2).flatten(2)
        maps = self.head(tokens + mixed).transpose(1, 2).reshape(x.shape[0], 5, GRID, GRID)
        score, size, offset = maps.split((1, 2, 2), 1)
        return {"score": score.sigmoid().clamp(1e-4, 1 - 1e-4), "size": size.sigmoid(), "offset": offset}

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Tensor]:
        return self.search(self.template(z), x)
