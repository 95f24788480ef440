"""Breast Ultrasound Images: 780 images in three classes with 798 lesion masks."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from harness.errors import UserError, listed
from harness.spec.dataset import Dataset, Item, Listing, Source

CLASSES = ("benign", "malignant", "normal")
HEALTHY = "normal"
"""The class whose masks are empty."""

MASK = re.compile(r"_mask(_\d+)?$")
"""Ending of the stem of a mask's file."""


def listing(source: Source) -> Listing:
    """List the images ``CLASS/NAME (k)`` with their masks ``NAME (k)_mask``, ``_mask_1``, ...

    Raises:
        UserError: an image has no mask, a mask has no image, two images have one name, or a file
            lies in another class's folder.
    """
    misplaced: list[str] = []
    images: dict[str, tuple[str, str]] = {}
    masks: dict[str, list[str]] = {}
    for name in source.images():
        path = PurePosixPath(name)
        folder = path.parent.name.lower()
        if folder not in CLASSES:
            continue
        stem = MASK.sub("", path.stem)
        if not stem.lower().startswith(folder):
            misplaced.append(name)
        elif MASK.search(path.stem):
            masks.setdefault(stem, []).append(name)
        elif stem in images:
            raise UserError(f"Two images are named {stem!r}: {images[stem][0]} and {name}.")
        else:
            images[stem] = (name, folder)
    if misplaced:
        raise UserError(
            f"{source.path}: {len(misplaced)} images or masks lie in another class's folder than"
            f" their names say: {listed(misplaced)}."
        )
    if not images:
        raise UserError(
            f"{source.path} has no folders {', '.join(CLASSES)} of images;"
            f" give the official archive ({DATASET.source})."
        )
    _check_pairs(source, images, masks)
    return tuple(
        Item(
            name=stem,
            label=CLASSES.index(folder),
            image=name,
            masks=tuple(sorted(masks[stem])),
            lesion=folder != HEALTHY,
        )
        for stem, (name, folder) in images.items()
    )


def _check_pairs(
    source: Source, images: dict[str, tuple[str, str]], masks: dict[str, list[str]]
) -> None:
    """Check that each image has a mask and each mask an image.

    Raises:
        UserError: some do not; the message lists them.
    """
    unmasked = sorted(name for stem, (name, _) in images.items() if stem not in masks)
    orphaned = sorted(name for stem, names in masks.items() if stem not in images for name in names)
    problems = []
    if unmasked:
        problems.append(f"{len(unmasked)} images without a mask: {listed(unmasked)}")
    if orphaned:
        problems.append(f"{len(orphaned)} masks without an image: {listed(orphaned)}")
    if problems:
        raise UserError(f"{source.path}: {'; '.join(problems)}. Get the archive again.")


DATASET = Dataset(
    name="busi",
    title="BUSI",
    classes=CLASSES,
    counts=(437, 210, 133),
    sizes={"train": 547, "eval": 233},
    channels=3,
    source="Cairo University, scholar.cu.edu.eg/?q=afahmy/pages/dataset",
    licence="free for research (Al-Dhabyani et al. 2020)",
    listing=listing,
    phantom="phantom-ultrasound",
)
