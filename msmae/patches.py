"""Patches of an image and the fixed sine-cosine position table."""

from __future__ import annotations

import torch
from torch import Tensor


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images (B, C, H, W) into patches (B, L, patch * patch * C).

    A patch's values are ordered (row in patch, column in patch, channel), patches row by row
    (MAE).
    """
    b, c, h, w = images.shape
    grid = images.reshape(b, c, h // patch, patch, w // patch, patch)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, patch * patch * c)


def unpatchify(patches: Tensor, patch: int, channels: int = 3) -> Tensor:
    """Join the patches (B, L, patch * patch * C) of square images into (B, C, S, S)."""
    b, count, _ = patches.shape
    side = round(count**0.5)
    grid = patches.reshape(b, side, side, patch, patch, channels)
    return grid.permute(0, 5, 1, 3, 2, 4).reshape(b, channels, side * patch, side * patch)


def normalise_patches(patches: Tensor) -> Tensor:
    """Give every patch mean 0 and unbiased variance 1 (MAE, norm_pix_loss)."""
    mean = patches.mean(-1, keepdim=True)
    variance = patches.var(-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


def sincos_table(width: int, grid: int, *, rows_first: bool = False) -> Tensor:
    """Return the position table (1 + grid * grid, width) float32; position 0 is [CLS], zeros.

    The first half of the channels encodes the column and the second half the row (MAE), or the
    other way round with ``rows_first`` (MoCo v3); each half is sines, then cosines, of
    frequencies ``10000 ** (-k / (width / 4))``.
    """
    frequencies = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = torch.arange(grid, dtype=torch.float64)[:, None] * frequencies
    code = torch.cat([angles.sin(), angles.cos()], 1)
    rows = code[:, None].expand(grid, grid, -1)
    columns = code[None, :].expand(grid, grid, -1)
    halves = (rows, columns) if rows_first else (columns, rows)
    table = torch.cat(halves, -1).reshape(grid * grid, width)
    return torch.cat([torch.zeros(1, width), table.float()])
