"""Breast Ultrasound Images: 780 images in three classes with 798 lesion masks."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from harness.data.archive import Source
from harness.data.store import Item, Listing
from harness.errors import UserError
from harness.spec import Dataset

CLASSES = ("benign", "malignant", "normal")
MASK = re.compile(r"_mask(_\d+)?$")


def listing(source: Source) -> Listing:
    """List ``CLASS/NAME (k)`` with its masks ``NAME (k)_mask``, ``_mask_1``, ...

    Raises:
        UserError: an image has no mask, a mask no image, or a file lies in another class's
            folder.
    """
    images: dict[str, tuple[str, str]] = {}
    masks: dict[str, list[str]] = {}
    for name in source.images():
        path = PurePosixPath(name)
        folder = path.parent.name.lower()
        if folder not in CLASSES:
            continue
        stem = MASK.sub("", path.stem)
        if not stem.lower().startswith(folder):
            raise UserError(f"{name} does not belong into the folder {folder!r}.")
        if MASK.search(path.stem):
            masks.setdefault(stem, []).append(name)
        elif stem in images:
            raise UserError(f"Two images are named {stem!r}: {images[stem][0]} and {name}.")
        else:
            images[stem] = (name, folder)
    if not images:
        raise UserError(
            f"{source.path} has no folders {', '.join(CLASSES)} of images;"
            f" give the official archive ({DATASET.source})."
        )
    alone = sorted(images.keys() ^ masks.keys())
    if alone:
        raise UserError(
            f"{source.path}: {len(alone)} images without a mask or masks without an image:"
            f" {', '.join(alone[:20])}."
        )
    return tuple(
        Item(
            name=stem,
            label=CLASSES.index(folder),
            image=name,
            masks=tuple(sorted(masks[stem])),
        )
        for stem, (name, folder) in images.items()
    )


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
