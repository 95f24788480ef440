"""Cutting images into patches, and fixed sine-cosine position embeddings."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.errors import UserError


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images (B, C, H, W) into patches (B, L, patch * patch * C).

    A patch's values are ordered (row in patch, column in patch, channel), patches row by row
    (MAE).
    """
    b, c, h, w = images.shape
    # (B, C, rows, P, columns, P) -> (B, rows, columns, P, P, C): the channel varies fastest.
    grid = images.reshape(b, c, h // patch, patch, w // patch, patch)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, patch * patch * c)


def unpatchify(patches: Tensor, patch: int, channels: int = 3) -> Tensor:
    """Join the patches (B, L, patch * patch * C) of square images into (B, C, S, S)."""
    b, count, _ = patches.shape
    side = round(count**0.5)
    grid = patches.reshape(b, side, side, patch, patch, channels)
    return grid.permute(0, 5, 1, 3, 2, 4).reshape(b, channels, side * patch, side * patch)


def normalise_patches(patches: Tensor) -> Tensor:
    """Scale every patch (B, L, P * P * C) to mean 0, unbiased variance 1 (MAE, norm_pix_loss)."""
    mean = patches.mean(-1, keepdim=True)
    variance = patches.var(-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


def sincos_table(width: int, grid: int, *, rows_first: bool = False) -> Tensor:
    """Return sine-cosine position embeddings (1 + grid * grid, width) float32; row 0, [CLS], is 0.

    The first half of the channels encodes the column and the second half the row (MAE), or the
    other way round with ``rows_first`` (MoCo v3); each half is sines, then cosines, of
    frequencies ``10000 ** (-k / (width / 4))``.
    """
    # Computed in float64, as MAE's numpy code does, and rounded to float32 at the end.
    frequencies = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = torch.arange(grid, dtype=torch.float64)[:, None] * frequencies
    code = torch.cat([angles.sin(), angles.cos()], 1)  # (grid, width / 2), for one axis
    rows = code[:, None].expand(grid, grid, -1)  # the same code along a row of patches
    columns = code[None, :].expand(grid, grid, -1)  # the same code down a column
    halves = (rows, columns) if rows_first else (columns, rows)
    table = torch.cat(halves, -1).reshape(grid * grid, width)
    return torch.cat([torch.zeros(1, width), table.float()])


def upsamplings(patch: int) -> int:
    """Return how many times a feature map is doubled to reach the image's size: log2 of the patch.

    Raises:
        UserError: the patch size is not 2, 4, 8 or another power of two.
    """
    if patch < 2 or patch & (patch - 1):
        raise UserError(
            f"The patch size is {patch}; SETR's head doubles its map step by step, so it must be a"
            " power of two (2, 4, 8, 16, ...). Choose another profile."
        )
    return patch.bit_length() - 1
