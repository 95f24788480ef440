"""A vision transformer that can encode a subset of an image's patches, built from timm's layers.

Pre-training, classification and segmentation use the same parameter names, so that weights load
without renaming. Training embeds no patch that it drops.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timm.layers.patch_embed import PatchEmbed
from timm.models import vision_transformer
from torch import Tensor, nn

from harness.methods.msmae.patches import sincos_table
from harness.spec.backbones import VitSize
from harness.train.shadow import weights_of

EPSILON = 1e-6
"""LayerNorm's epsilon in MAE; timm's Attention and Mlp are used as they are (exact GELU)."""

norm_layer: Any = partial(nn.LayerNorm, eps=EPSILON)
"""LayerNorm with MAE's epsilon."""


class Block(vision_transformer.Block):
    """timm's block, whose attention takes queries, keys and values as views of one tensor.

    timm brings them into another order in memory first, which costs the backward pass a copy. The
    parameters, their names and the numbers are timm's.
    """

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        """Return the block's output for tokens (B, n, D)."""
        attended = self.ls1(attend(self.attn, self.norm1(tokens)))
        tokens = tokens + self.drop_path1(attended)
        output: Tensor = tokens + self.drop_path2(self.ls2(self.mlp(self.norm2(tokens))))
        return output


def attend(attention: Any, tokens: Tensor) -> Tensor:
    """Return what timm's Attention returns for tokens (B, n, D), by the fused kernel if it may."""
    if not attention.fused_attn:
        attended: Tensor = attention(tokens)
        return attended
    b, n, _ = tokens.shape
    # (B, n, 3 D) as (B, n, 3, heads, d): queries, keys and values, each (B, heads, n, d).
    split = attention.qkv(tokens).view(b, n, 3, attention.num_heads, -1)
    queries, keys, values = (part.transpose(1, 2) for part in split.unbind(2))
    mixed = nn.functional.scaled_dot_product_attention(queries, keys, values)
    projected: Tensor = attention.proj(mixed.transpose(1, 2).reshape(b, n, -1))
    return projected


class VisionTransformer(nn.Module):
    """ViT with a [CLS] token and sine-cosine position embeddings, initialised as in MAE.

    Args:
        size: patch P, width D, depth and heads.
        image_size: side of the input; L = (image_size / P) squared.
        train_positions: whether position embeddings are trained (fine-tuning) or fixed
            (pre-training).
        drop_path: rate of stochastic depth at the last block, rising linearly from 0.
        rows_first: order of the two halves of the position embedding, see ``sincos_table``.
        qkv_bias: whether queries, keys and values have a bias.
    """

    def __init__(
        self,
        size: VitSize,
        image_size: int,
        *,
        train_positions: bool = False,
        drop_path: float = 0.0,
        rows_first: bool = False,
        qkv_bias: bool = True,
    ) -> None:
        """Build the layers with MAE's initialisation."""
        super().__init__()
        self.patch = size.patch
        self.patch_embed = PatchEmbed(image_size, size.patch, 3, size.width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size.width))
        table = sincos_table(size.width, image_size // size.patch, rows_first=rows_first)
        self.pos_embed = nn.Parameter(table[None], requires_grad=train_positions)
        rates = [drop_path * i / max(size.depth - 1, 1) for i in range(size.depth)]
        self.blocks = nn.ModuleList(
            Block(size.width, size.heads, qkv_bias=qkv_bias, drop_path=rate, norm_layer=norm_layer)
            for rate in rates
        )
        self.norm = norm_layer(size.width)
        initialise(self)
        # MAE initialises the patch convolution as a linear layer of (D, 3 * P * P).
        weight = self.patch_embed.proj.weight
        nn.init.xavier_uniform_(weight.view(len(weight), -1))
        nn.init.normal_(self.cls_token, std=0.02)

    def embed(self, images: Tensor, ids_keep: Tensor | None = None) -> Tensor:
        """Return tokens (B, 1 + visible, D) before the first block.

        Args:
            images: (B, 3, H, W), whose patches are all embedded before some are dropped (MAE's
                code, and the paper's costs); or, where ids are given, their patches
                (B, L, P * P * 3), see ``patchify``, of which only those to keep are embedded.
            ids_keep: (B, visible) patches to keep, None for all L.
        """
        positions = self.pos_embed[:, 1:]
        if ids_keep is None or images.ndim == 4:
            tokens = self.patch_embed(images) + positions
            tokens = tokens if ids_keep is None else take(tokens, ids_keep)
        else:
            tokens = self._project(take(images, ids_keep))
            tokens = tokens + take(positions.expand(len(tokens), -1, -1), ids_keep)
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        return torch.cat([cls, tokens], 1)

    def _project(self, patches: Tensor) -> Tensor:
        """Return what the patch convolution gives for patches (B, n, P * P * 3), (B, n, D)."""
        weight, bias = weights_of(self.patch_embed.proj)
        # The weight (D, 3, P, P), in the order of a patch's values: row, column, channel.
        return nn.functional.linear(patches, weight.permute(0, 2, 3, 1).flatten(1), bias)

    def forward(self, images: Tensor, ids_keep: Tensor | None = None) -> Tensor:
        """Return tokens (B, 1 + visible, D) after the last block, without the final norm.

        Arguments are as in ``embed``.
        """
        tokens = self.embed(images, ids_keep)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def class_attention(self, images: Tensor) -> Tensor:
        """Return the last block's attention of [CLS] to the L patches, (B, heads, L).

        One query row is computed instead of the full attention matrix (paper, eq. 4 and 5). The
        attention of [CLS] to itself is dropped after the softmax, so rows sum to less than 1.
        """
        tokens = self.embed(images)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        last: Any = self.blocks[-1]
        return attention_row(last.attn, last.norm1(tokens))[..., 1:]


def attention_row(attention: Any, tokens: Tensor) -> Tensor:
    """Return the softmax attention of the first token to all, (B, heads, tokens), in float32.

    Args:
        attention: timm's Attention.
        tokens: (B, tokens, D), after the block's first LayerNorm.
    """
    # timm stacks the projections as (3 D, D): queries, then keys, then values.
    heads, width = attention.num_heads, tokens.shape[-1]
    weight, bias = attention.qkv.weight, attention.qkv.bias
    query = nn.functional.linear(tokens[:, :1], weight[:width], bias[:width])
    keys = nn.functional.linear(tokens, weight[width : 2 * width], bias[width : 2 * width])
    query = query.unflatten(2, (heads, -1)).transpose(1, 2)
    keys = keys.unflatten(2, (heads, -1)).transpose(1, 2)
    # (B, heads, 1, d) @ (B, heads, d, tokens), d = D / heads; the scale is 1 / sqrt(d).
    scores = (query @ keys.transpose(2, 3)).squeeze(2).float()
    row: Tensor = (scores * attention.scale).softmax(-1)
    return row


def initialise(module: nn.Module) -> None:
    """Initialise linear layers as MAE: Xavier-uniform weights, zero biases.

    LayerNorm already starts with scale 1 and shift 0.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def take(tokens: Tensor, ids: Tensor) -> Tensor:
    """Return the tokens (B, n, D) at indices (B, n) of (B, L, D)."""
    return tokens.gather(1, ids[..., None].expand(-1, -1, tokens.shape[2]))
