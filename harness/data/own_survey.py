"""Look at a user's images before they are added: channels, formats, sizes, range of values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from harness.data import formats
from harness.data.intensity import Intensity
from harness.data.own_listing import Found
from harness.data.own_pixels import opener, read_values
from harness.errors import UserError, listed
from harness.spec.dataset import Source


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a user's images are.

    Attributes:
        channels: 1 if every image is grey, else 3.
        formats: number of images by format.
        smallest: height and width of the image with the fewest pixels.
        largest: likewise with the most.
        wide: number of images of more than 8 bits.
    """

    channels: int
    formats: Mapping[str, int]
    smallest: tuple[int, int]
    largest: tuple[int, int]
    wide: int


def survey(source: Source, found: Found, intensity: Intensity) -> Survey:
    """Decode every image once.

    Raises:
        UserError: some cannot be read; the message names them.
    """
    kinds: Counter[str] = Counter()
    sizes: list[tuple[int, int]] = []
    broken: list[str] = []
    colours = wide = 0
    lowest, highest = np.inf, -np.inf
    decode = opener(intensity)
    ranged = intensity.low is not None or intensity.window is not None
    for name in found.images.values():
        try:
            content = source.read(name)
            kind = formats.identify(content[: formats.HEAD]).name.split(" ", 1)[1]
            kinds[kind.removesuffix(" image").removesuffix(" file")] += 1
            values = read_values(content)
            if values is not None and values.values.ndim == 2:
                wide += 1
                lowest = min(lowest, float(values.values.min()))
                highest = max(highest, float(values.values.max()))
                if not ranged:
                    continue
            image = decode(content, "RGB")
        except formats.UNREADABLE as error:
            broken.append(f"{name}: {formats.problem(error)}")
            continue
        sizes.append((image.height, image.width))
        # Once an image has colours the others need not be asked.
        colours = colours or _has_colours(image)
    if broken:
        raise UserError(
            f"{source.path}: {len(broken)} images cannot be used: {formats.grouped(broken)}."
        )
    if wide and not ranged:
        raise UserError(
            f"{source.path}: {wide} images have more than 8 bits, with values from {lowest:g} to"
            f" {highest:g}; give the values that become black and white in all of them: --range"
            " LOW,HIGH, or --window CENTRE,WIDTH or --window file for DICOM."
        )
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    return Survey(
        channels=3 if colours else 1,
        formats=dict(kinds.most_common()),
        smallest=ordered[0],
        largest=ordered[-1],
        wide=wide,
    )


def _has_colours(image: Image.Image) -> int:
    pixels = np.asarray(image)
    return int(np.any(pixels[..., 0] != pixels[..., 1]) or np.any(pixels[..., 1] != pixels[..., 2]))


def lines(found: Found, surveyed: Survey) -> list[str]:
    """Return the lines that show a user what was found."""
    counts = Counter(found.labels.values())
    classes = found.classes()
    shown = [f"{label!r} {counts[label]}" for label in classes]
    total = len(found.images)
    kinds = ", ".join(f"{count} {kind}" for kind, count in surveyed.formats.items())
    (low_h, low_w), (high_h, high_w) = surveyed.smallest, surveyed.largest
    texts = [
        f"{total} images in {len(classes)} classes: {listed(shown)}",
        f"formats: {kinds}; from {low_w} x {low_h} to {high_w} x {high_h} pixels;"
        f" {'grey' if surveyed.channels == 1 else 'colour'}",
    ]
    if surveyed.wide:
        texts.append(f"{surveyed.wide} images have more than 8 bits")
    if found.parts:
        parts = Counter(found.parts.values())
        texts.append("parts: " + ", ".join(f"{name} {count}" for name, count in parts.items()))
    if found.groups:
        texts.append(f"groups: {len(set(found.groups.values()))}")
        shared = shared_groups(found)
        if shared:
            texts.append(
                f"warning: {len(shared)} groups have images in several parts: {listed(shared)}"
            )
    if found.masks:
        texts.append(f"masks: {len(found.masks)}")
    return [*texts, *(f"note: {hint}" for hint in found.hints)]


def shared_groups(found: Found) -> list[str]:
    """Return the groups whose images are in more than one part of the given split."""
    parts: dict[str, set[str]] = {}
    for name, part in found.parts.items():
        if name in found.groups:
            parts.setdefault(found.groups[name], set()).add(part)
    return sorted(group for group, within in parts.items() if len(within) > 1)
