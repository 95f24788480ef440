"""Look at the images of an archive before all are decoded: their depth, and that they show a scene.

Masks, black images and one image under many names would make a store that trains and reports
numbers all the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import NamedTuple

import numpy as np

from harness.data import formats
from harness.errors import UserError
from harness.spec.dataset import Listing, Source

SAMPLE = 64
"""Number of images that are looked at, evenly spaced in the order of their names."""

SMALLEST = 24
"""Fewer images than these are not judged."""

EXTREMES = 16
"""Grey values this near to black or white count as black or white."""

SHARE = 0.95
"""Share of such pixels in masks and black images; in real photographs it is below 0.83."""


def check(source: Source, title: str, items: Listing) -> None:
    """Set the white of 16-bit images and check that most of a sample are photographs.

    Files that cannot be decoded are left out here; ``decode`` names them.

    Raises:
        UserError: more than half of the sample are black or masks, or are equal to each other, or
            16-bit images of several channels do not use their upper bits.
    """
    set_white(source, items)
    if len(items) < SMALLEST:
        return
    flat: list[str] = []
    equal: Counter[str] = Counter()
    count = min(SAMPLE, len(items))
    sample = [items[i * len(items) // count] for i in range(count)]
    for item in sample:
        try:
            with formats.open_image(source.read(item.image)) as image:
                grey = np.asarray(formats.to_mode(image, "L", white=source.white))
        except formats.UNREADABLE:
            continue
        equal[hashlib.sha256(f"{grey.shape}".encode() + grey.tobytes()).hexdigest()] += 1
        if _is_flat(grey):
            flat.append(item.image)
    if 2 * len(flat) > len(sample):
        raise UserError(
            f"{title}: {len(flat)} of {len(sample)} sampled images are black or masks"
            f" ({flat[0]}, ...): {SHARE:.0%} of their pixels are black or white. Give the"
            " photographs themselves."
        )
    most = max(equal.values(), default=0)
    if 2 * most > len(sample):
        raise UserError(
            f"{title}: {most} of {len(sample)} sampled images are pixel for pixel equal."
            " Give the official archive."
        )


def _is_flat(grey: np.ndarray) -> bool:
    """Return whether an image has at most two grey values, or almost only black and white."""
    counts = np.bincount(grey.ravel(), minlength=256)
    extremes = counts[:EXTREMES].sum() + counts[-EXTREMES:].sum()
    return bool(np.count_nonzero(counts) <= 2 or extremes >= SHARE * grey.size)


def set_white(source: Source, items: Listing) -> None:
    """Find the bits that the 16-bit images of a data set use, and set the source's white to them.

    One white holds for all of them, so that equal values stay equal. A remark says which it is.

    Raises:
        UserError: images with 16 bits in each of several channels use only the lower bits, of which
            PIL drops eight.
    """
    found = [_largest(source, item.image) for item in items]
    grey = [value for value in found if isinstance(value, int)]
    colour = [value.upper for value in found if isinstance(value, _Upper)]
    if colour and max(colour) < 2**7:
        raise UserError(
            f"{source.path}: {len(colour)} colour images have 16 bits per channel, of which only"
            " the lower are used; convert them to 8 bits per channel."
        )
    if grey:
        source.set_white(formats.white_for(max(grey)))
        source.remarks.append(
            f"{len(grey)} images have 16 bits; their largest value is {max(grey)}, and"
            f" {source.white} is taken as white in all of them."
        )


class _Upper(NamedTuple):
    """The largest value of an image whose values PIL has cut to their upper eight bits."""

    upper: int


def _largest(source: Source, name: str) -> int | _Upper | None:
    """Return the largest value of a 16-bit image; None for others and those that are broken."""
    try:
        head = source.head(name, formats.HEAD)
        tiff = formats.identify(head).decoder == "TIFF"
        content = source.read(name) if tiff or formats.sixteen_bits(head) else b""
        if not content or not formats.sixteen_bits(content):
            return None
        with formats.open_image(content) as image:
            value = int(np.asarray(image).max())
            return value if formats.wide(image) else _Upper(value)
    except formats.UNREADABLE:
        return None
