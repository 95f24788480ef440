"""Runs the Python of an exported encoder's card in its folder."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def run(folder: Path) -> dict[str, Any]:
    """Execute the card's first block of Python as it stands, and return what it defines."""
    code = (folder / "README.md").read_text().split("```python\n")[1].partition("```")[0]
    defined: dict[str, Any] = {}
    with contextlib.chdir(folder):
        exec(compile(code, "README.md", "exec"), defined)
    return defined


def picture(folder: Path) -> Image.Image:
    """Write the image that cards name, of another shape than a model's input, and return it."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    image.save(folder / "image.png")
    return image


def squashed(image: Image.Image, side: int, mean: Any, std: Any) -> Tensor:
    """Return an image stretched to a square and normalised, (1, 3, side, side)."""
    pixels = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR)) / 255
    values = (pixels - np.array(mean)) / np.array(std)
    return torch.from_numpy(values).float().permute(2, 0, 1)[None]
