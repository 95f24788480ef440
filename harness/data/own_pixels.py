"""Turn a user's images of more than 8 bits, and DICOM files, into 8-bit pixels."""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from harness.data import formats
from harness.data.intensity import Intensity, window
from harness.errors import UserError

Opener = Callable[[bytes, str], Image.Image]
"""Decodes a file's bytes to an image of PIL's mode "L" or "RGB"; ``ValueError`` if it cannot."""


def opener(intensity: Intensity) -> Opener:
    """Return the function that decodes a user's images."""
    return functools.partial(_open, intensity=intensity)


class Values(NamedTuple):
    """The values of an image of more than 8 bits.

    Attributes:
        values: (H, W) numbers; colours of a DICOM file as (H, W, 3) uint8.
        limits: the range of the window that a DICOM file states, None without one.
        inverted: whether the lowest value is white.
    """

    values: np.ndarray
    limits: tuple[float, float] | None = None
    inverted: bool = False


def _open(content: bytes, mode: str, *, intensity: Intensity) -> Image.Image:
    read = read_values(content)
    if read is None:
        with formats.open_image(content) as image:
            return formats.to_mode(image, mode)
    if read.values.ndim == 3:
        return Image.fromarray(read.values).convert(mode)
    pixels = formats.scaled(read.values, *_range(read, intensity))
    return Image.fromarray(255 - pixels if read.inverted else pixels).convert(mode)


def _range(read: Values, intensity: Intensity) -> tuple[float, float]:
    """Return the values that become 0 and 255.

    Raises:
        ValueError: none are given.
    """
    if intensity.low is not None and intensity.high is not None:
        return intensity.low, intensity.high
    if intensity.window == "file":
        if read.limits is None:
            raise ValueError("states no window; give --window CENTRE,WIDTH or --range LOW,HIGH")
        return read.limits
    raise ValueError(
        f"has values from {read.values.min():g} to {read.values.max():g}, more than 8 bits hold;"
        " give the values that become black and white in all images: --range LOW,HIGH, or --window"
        " CENTRE,WIDTH or --window file for DICOM"
    )


def read_values(content: bytes) -> Values | None:
    """Return the values of an image of more than 8 bits, None for ordinary images.

    Raises:
        ValueError: the file cannot be read, or has values that are not finite.
    """
    if formats.identify(content[: formats.HEAD]) == formats.DICOM:
        read = _dicom(content)
    else:
        with formats.open_image(content, decode=False) as image:
            if not formats.wide(image) and image.mode not in ("I", "F"):
                return None
            with formats.guarded("an image of more than 8 bits"):
                # TIFF's tag 262 is 0 where the largest value is black.
                inverted = getattr(image, "tag_v2", {}).get(262) == 0
                read = Values(np.asarray(image), inverted=inverted)
    if not np.isfinite(read.values).all():
        raise ValueError("has values that are not finite")
    return read


def _dicom(content: bytes) -> Values:
    try:
        import pydicom
        import pydicom.errors
        from pydicom.pixels.processing import apply_rescale
        from pydicom.pixels.utils import pixel_array
    except ImportError as error:
        raise UserError(
            'DICOM files are read with pydicom; run `pip install "msmae-harness[dicom]"`.'
        ) from error
    # pydicom warns of what does not follow the standard, line by line.
    warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
    with formats.guarded("a DICOM file", pydicom.errors.BytesLengthException):
        file = pydicom.dcmread(io.BytesIO(content))
        frames = int(file.get("NumberOfFrames", 1) or 1)
        count = int(file.get("Rows", 0)) * int(file.get("Columns", 0))
        if frames == 1 and count <= formats.PIXEL_LIMIT:
            pixels = pixel_array(file)
            if pixels.ndim == 3:
                return Values(pixels.astype(np.uint8))
            return Values(
                np.asarray(apply_rescale(pixels, file), np.float64),
                _stated(file),
                str(file.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1",
            )
    if frames == 1:
        raise ValueError(f"{count} pixels: a decompression bomb")
    raise ValueError(f"a DICOM file of {frames} frames; give each as a file of its own")


def _stated(file: Any) -> tuple[float, float] | None:
    """Return the range of the first window that a DICOM file states."""
    centre, width = file.get("WindowCenter"), file.get("WindowWidth")
    if centre is None or width is None:
        return None
    # Several windows of one image are a list; the first is the usual one.
    first = [float(np.ravel(value)[0]) for value in (centre, width)]
    stated = window(*first)
    return None if stated.low is None or stated.high is None else (stated.low, stated.high)
