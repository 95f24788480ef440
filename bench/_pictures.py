"""Folders of images for benchmarks: BTMD's from the archive, at their official size, or drawn."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image

from harness.data import registry
from harness.data.sets import phantom
from harness.errors import UserError

Case = Literal["official", "there"]
"""JPEGs of the official archive's size, or files as the archive at hand has them."""

OFFICIAL = 512
"""Longer side in pixels of the images of BTMD's official archive."""

QUALITY = 90
"""Of the JPEGs that are made."""

TESTED = 64
"""Images of the part that is reported, which pre-training does not use."""


def write(folder: Path, case: Case, count: int, *, generated: bool = False) -> None:
    """Write ``count`` training images and ``TESTED`` others: ``folder/{train,test}/CLASS/NAME``.

    Args:
        folder: made by the call.
        case: what the files are.
        count: number of training images, taken evenly from the archive's.
        generated: draw phantom images instead of reading the archive.

    Raises:
        UserError: HARNESS_ARCHIVES names no folder with btmd.zip, or it has fewer images.
    """
    for part, number in (("train", count), ("test", TESTED)):
        source = _drawn(part, number) if generated else _archived(part, number)
        for i, (kind, suffix, content) in enumerate(source):
            target = folder / part / kind / f"{part}{i:05d}{suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            if case == "official":
                target, content = target.with_suffix(".jpg"), _official(content)
            target.write_bytes(content)


def _official(content: bytes) -> bytes:
    """Return an image enlarged to the official size, as a JPEG."""
    image = Image.open(io.BytesIO(content), formats=["WEBP", "PNG", "JPEG"]).convert("RGB")
    pixels = np.asarray(image)
    if (pixels == pixels[..., :1]).all():  # WebP has no greyscale mode
        image = image.convert("L")
    scale = OFFICIAL / max(image.size)
    image = image.resize([round(scale * side) for side in image.size], Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def _archived(part: str, count: int) -> list[tuple[str, str, bytes]]:
    """Return class, suffix and content of images of BTMD's archive."""
    path = Path(os.environ.get("HARNESS_ARCHIVES", "")) / "btmd.zip"
    if not path.is_file():
        raise UserError(
            "HARNESS_ARCHIVES must name the folder of official archives, with btmd.zip; or draw"
            " images with --generated."
        )
    place = {"train": "Training", "test": "Testing"}[part]
    with zipfile.ZipFile(path) as archive:
        files = [PurePosixPath(name) for name in archive.namelist() if not name.endswith("/")]
        found = sorted(file for file in files if place in file.parts[:-2])
        if len(found) < count:
            raise UserError(f"{path} has {len(found)} images in {place}, fewer than {count}.")
        chosen = [found[i * len(found) // count] for i in range(count)]
        return [(file.parent.name, file.suffix, archive.read(str(file))) for file in chosen]


def _drawn(part: str, count: int) -> list[tuple[str, str, bytes]]:
    """Return class, suffix and content of generated images of 64 pixels."""
    dataset = registry.find("phantom-mri")
    first = 0 if part == "train" else 5000
    found = []
    for row in range(first, first + count):
        label = row % len(dataset.classes)
        pixels, _ = phantom.render(dataset.name, row, label, phantom.SIZE)
        stream = io.BytesIO()
        Image.fromarray(pixels[..., 0]).save(stream, "PNG")
        found.append((dataset.classes[label], ".png", stream.getvalue()))
    return found
