"""Decode an image and its masks into square uint8 arrays of a fixed size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from harness.data import formats, twins
from harness.spec.dataset import Item, Source

RESAMPLING = Image.Resampling.LANCZOS
"""PIL's antialiased Lanczos filter, which keeps more of the high frequencies of crops than its
bicubic and bilinear ones (docs/data.md, "Fidelity")."""


@dataclass(frozen=True)
class Decoded:
    """A decoded image with its mask.

    Attributes:
        image: (S, S, C) uint8, the image in the upper left corner where it is smaller than S.
        mask: (S, S) uint8 in {0, 1}, likewise, or None.
        size: original height and width.
        pixels: SHA-256 of the original pixels, which identifies exact duplicates.
        sketch: of the original pixels, by which near-twins are found, see ``harness.data.twins``.
    """

    image: np.ndarray
    mask: np.ndarray | None
    size: tuple[int, int]
    pixels: str
    sketch: np.ndarray


def decode(source: Source, item: Item, size: int, channels: int) -> Decoded:
    """Decode an image and merge its masks, both shrunk to at most (size, size).

    A height or width above ``size`` is shrunk to it, a smaller one stays as it is: an image that is
    enlarged would be blurred by the filter that later shrinks its crops again.

    The format is detected from the contents, not from the file's ending; EXIF rotation is not
    applied. Images are shrunk with PIL's antialiased Lanczos filter. Several masks are merged by
    union; a pixel of the result is set where at least half of its area is.

    Raises:
        ValueError: a file is broken, empty or too large, or a mask differs from its image in size,
            is not binary, or is empty although its class has a lesion (or the reverse); the
            message names the file.
    """
    image = _open(source, item.image, "L" if channels == 1 else "RGB")
    pixel_hash = hashlib.sha256(f"{image.mode}{image.size}".encode() + image.tobytes())
    shrunk = np.asarray(image.resize(_shrunk(image.size, size), RESAMPLING))
    return Decoded(
        image=_in_corner(shrunk.reshape(*shrunk.shape[:2], channels), size),
        mask=_mask(source, item, image.size, size),
        size=(image.height, image.width),
        pixels=pixel_hash.hexdigest(),
        sketch=twins.sketch(image),
    )


def _mask(source: Source, item: Item, expected: tuple[int, int], size: int) -> np.ndarray | None:
    """Return the merged mask (size, size) uint8, None for an item without masks.

    Args:
        source: the archive.
        item: whose masks.
        expected: width and height of its image.
        size: side of the result.
    """
    if not item.masks:
        return None
    merged = np.zeros((expected[1], expected[0]), bool)
    for name in item.masks:
        mask = _open_mask(source, name)
        if mask.size != expected:
            raise ValueError(
                f"{name}: the mask has {mask.width} x {mask.height} pixels, its image"
                f" {expected[0]} x {expected[1]}"
            )
        merged |= _binary(name, np.asarray(mask))
    if item.lesion is not None and merged.any() != item.lesion:
        state = "no pixel is set" if item.lesion else "pixels are set"
        raise ValueError(
            f"{', '.join(item.masks)}: {state}, but {'every' if item.lesion else 'no'} image of its"
            " class has a lesion"
        )
    scaled = Image.fromarray(merged.astype(np.uint8) * 255).resize(
        _shrunk(expected, size), Image.Resampling.BOX
    )
    return _in_corner((np.asarray(scaled) >= 128).astype(np.uint8), size)


def _shrunk(original: tuple[int, int], size: int) -> tuple[int, int]:
    """Return the width and height at which an image of a width and height is stored."""
    return min(original[0], size), min(original[1], size)


def _in_corner(array: np.ndarray, size: int) -> np.ndarray:
    """Return an array (h, w, ...) in the upper left corner of zeros (size, size, ...)."""
    if array.shape[:2] == (size, size):
        return array
    padded = np.zeros((size, size, *array.shape[2:]), array.dtype)
    padded[: array.shape[0], : array.shape[1]] = array
    return padded


def _binary(name: str, mask: np.ndarray) -> np.ndarray:
    """Return a mask as bools.

    Raises:
        ValueError: it has values other than 0 and 255, or 0 and 1.
    """
    values = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist()
    if not set(values) <= {0, 255} and not set(values) <= {0, 1}:
        shown = ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")
        raise ValueError(
            f"{name}: the mask is not binary, it holds {shown}; allowed: 0 and 255, or 0 and 1"
        )
    inside: np.ndarray = mask > 0
    return inside


def _open(source: Source, name: str, mode: str) -> Image.Image:
    """Read an image and convert it to PIL's mode "L" or "RGB".

    Raises:
        ValueError: it is no image, broken or too large, or has no defined range of values.
    """
    try:
        content = source.read(name)
        if source.decoder is not None:
            return source.decoder(content, mode)
        with formats.open_image(content) as image:
            return formats.to_mode(image, mode, white=source.white)
    except formats.UNREADABLE as error:
        raise ValueError(f"{name}: {formats.problem(error)}") from error


def _open_mask(source: Source, name: str) -> Image.Image:
    """Read a mask as mode "L"; the values of one with 16 bits stay as they are if they fit.

    Raises:
        ValueError: it is no image, broken or too large.
    """
    try:
        with formats.open_image(source.read(name)) as image:
            if not formats.wide(image):
                return formats.to_mode(image, "L")
            values = np.asarray(image)
            # 0 and 65535 are those of 0 and 255; anything above 255 else is not binary.
            values = np.where(values == formats.WHITE, 255, np.minimum(values, 254))
            return Image.fromarray(values.astype(np.uint8))
    except formats.UNREADABLE as error:
        raise ValueError(f"{name}: {formats.problem(error)}") from error
