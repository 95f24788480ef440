"""Decode one image of any supported format into the store's square uint8 form."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from harness.spec.dataset import Item, Source

PIXEL_LIMIT = 100_000_000
"""Largest image in pixels; the largest official one (Messidor-2) has 3.4 million."""

UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error)
"""What PIL raises for broken files, depending on the format."""


@dataclass(frozen=True)
class Decoded:
    """One decoded item.

    Attributes:
        image: (S, S, C) uint8.
        mask: (S, S) uint8 in {0, 1}, or None.
        size: original height and width.
        pixels: SHA-256 of the original pixels, to find exact duplicates.
    """

    image: np.ndarray
    mask: np.ndarray | None
    size: tuple[int, int]
    pixels: str


def decode(source: Source, item: Item, size: int, channels: int) -> Decoded:
    """Decode an item: by its contents, whatever its ending says; EXIF rotation is not applied.

    The image is stretched to (size, size) with PIL's antialiased bilinear filter. Several masks
    are merged; a mask pixel is set where at least half of its area is.

    Raises:
        ValueError: a file is broken, empty or too large, or a mask has another size, is not
            binary, or is empty where it must not be (or the reverse); names it.
    """
    picture = _open(source, item.image, "L" if channels == 1 else "RGB")
    hashed = hashlib.sha256(f"{picture.mode}{picture.size}".encode() + picture.tobytes())
    array = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
    return Decoded(
        image=array.reshape(size, size, channels),
        mask=_mask(source, item, picture.size, size),
        size=(picture.height, picture.width),
        pixels=hashed.hexdigest(),
    )


def _mask(source: Source, item: Item, expected: tuple[int, int], size: int) -> np.ndarray | None:
    if not item.masks:
        return None
    merged = np.zeros((expected[1], expected[0]), bool)
    for name in item.masks:
        mask = _open(source, name, "L")
        if mask.size != expected:
            raise ValueError(
                f"{name}: the mask has {mask.width} x {mask.height} pixels, its image"
                f" {expected[0]} x {expected[1]}"
            )
        merged |= _binary(name, np.asarray(mask))
    if item.lesion is not None and merged.any() != item.lesion:
        found = "no pixel is set" if item.lesion else "pixels are set"
        raise ValueError(
            f"{', '.join(item.masks)}: {found}, but {'every' if item.lesion else 'no'} image of its"
            " class has a lesion"
        )
    scaled = Image.fromarray(merged.astype(np.uint8) * 255).resize(
        (size, size), Image.Resampling.BOX
    )
    return (np.asarray(scaled) >= 128).astype(np.uint8)


def _binary(name: str, mask: np.ndarray) -> np.ndarray:
    values = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist()
    if not set(values) <= {0, 255} and not set(values) <= {0, 1}:
        shown = ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")
        raise ValueError(
            f"{name}: the mask is not binary, it holds {shown}; allowed: 0 and 255, or 0 and 1"
        )
    inside: np.ndarray = mask > 0
    return inside


def _open(source: Source, name: str, mode: str) -> Image.Image:
    try:
        content = source.read(name)
        if not content:
            raise ValueError("empty")
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > PIXEL_LIMIT:
                raise ValueError(f"{image.width} x {image.height} pixels: a decompression bomb")
            if image.mode.startswith("I;16"):
                wide = np.asarray(image)
                return Image.fromarray((wide >> 8).astype(np.uint8)).convert(mode)
            if image.mode in ("I", "F"):
                raise ValueError(f"mode {image.mode} has no defined range")
            # Palettes with transparency go through RGBA, or PIL warns.
            if image.mode == "P" and "transparency" in image.info:
                return image.convert("RGBA").convert(mode)
            return image.convert(mode)
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        raise ValueError(f"{name}: {error}") from error
