"""Attention of an encoder's last block, as maps and figures show it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Attends(Protocol):
    """An encoder that tells how its last block's [CLS] token attends to the patches."""

    def class_attention(self, images: Tensor) -> Tensor:
        """Return the attention (B, heads, L) of images (B, 3, H, W)."""
        ...


def class_attention(encoder: Attends, images: Tensor) -> Tensor:
    """Return the attention (B, heads, L) of images (B, 3, H, W), for a look without training.

    Attention without biases, as the released segmentation has it, is that with biases of zero.
    """
    with torch.no_grad(), _with_biases(encoder):
        return encoder.class_attention(images)


@contextmanager
def _with_biases(encoder: Any) -> Iterator[None]:
    """Give the last block's attention biases of zero during the block, where it has none."""
    linear = _projection(encoder)
    if linear is None or isinstance(getattr(linear, "bias", None), Tensor):
        yield
        return
    zeros = torch.zeros(linear.out_features, dtype=linear.weight.dtype, device=linear.weight.device)
    linear.register_parameter("bias", nn.Parameter(zeros, requires_grad=False))
    try:
        yield
    finally:
        linear.register_parameter("bias", None)


def _projection(encoder: Any) -> nn.Linear | None:
    """Return the layer of queries, keys and values of a ViT's last block, None of others."""
    blocks: Any = getattr(encoder, "blocks", None)
    if not isinstance(blocks, nn.ModuleList | nn.Sequential) or not len(blocks):
        return None
    linear: object = getattr(getattr(blocks[-1], "attn", None), "qkv", None)
    return linear if isinstance(linear, nn.Linear) else None
