"""Brain Tumor MRI Dataset: 7023 slices in four classes, divided by the archive's folders.

Some images of the training folder are pixel for pixel equal to images of the testing folder; the
clean split keeps such duplicates together. Kaggle serves version 2 today, which has other images
and is a data set of its own here; the paper used version 1.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath

from harness.data.copies import one_of_each
from harness.errors import UserError
from harness.spec.dataset import Dataset, Item, Listing, PartName, Source

CLASSES = ("glioma", "meningioma", "notumor", "pituitary")
FOLDERS: dict[str, PartName] = {
    "training": "train",
    "train": "train",
    "testing": "eval",
    "test": "eval",
}
"""Part of the paper's split by folder."""

OFFICIAL: dict[PartName, str] = {"train": "Training", "eval": "Testing"}
"""The archive's own folders by part."""

HANDLE = "masoudnickparvar/brain-tumor-mri-dataset"
"""Name of the data set on Kaggle, to which a version can be added."""

VERSIONS: dict[int, dict[PartName, tuple[int, ...]]] = {
    1: {"train": (1321, 1339, 1595, 1457), "eval": (300, 306, 405, 300)},
    2: {"train": (1400, 1400, 1400, 1400), "eval": (400, 400, 400, 400)},
}
"""Images per class of each part, by version."""


def listing(source: Source) -> Listing:
    """List the images of version 1; see ``_listing``.

    Raises:
        UserError: there are no such images, or they are those of version 2.
    """
    items = _listing(source)
    if _counts(items) == VERSIONS[2]:
        raise UserError(
            f"{source.path} is version 2 of this data set (7200 images); the paper used version 1"
            f" (7023 images), on Kaggle {HANDLE}/versions/1. Get that, or prepare version 2 as a"
            " data set of its own: harness data prepare btmd-v2 --from ARCHIVE."
        )
    return items


def listing_of_version_2(source: Source) -> Listing:
    """List the images of version 2; see ``_listing``.

    Raises:
        UserError: there are no such images, or they are those of version 1.
    """
    items = _listing(source)
    if _counts(items) == VERSIONS[1]:
        raise UserError(
            f"{source.path} is version 1 of this data set (7023 images), which the paper used;"
            " prepare it as: harness data prepare btmd --from ARCHIVE."
        )
    return items


def _listing(source: Source) -> Listing:
    """List the images below a folder Training or Testing and a folder of a class.

    Other folders may stand above, between and below these two. A folder's class is read from names
    such as "no_tumor", "notumor" and "glioma_tumor", its part from "Training" and "train".

    Raises:
        UserError: there are no such images, or two different ones have one name in one folder.
    """
    found: dict[str, list[str]] = {}
    places: dict[str, tuple[PartName, int]] = {}
    for name in source.images():
        path = PurePosixPath(name)
        folders = [folder.lower() for folder in reversed(path.parts[:-1])]
        part = next((FOLDERS[folder] for folder in folders if folder in FOLDERS), None)
        label = next((_label(folder) for folder in folders if _label(folder) is not None), None)
        if part is not None and label is not None:
            key = f"{OFFICIAL[part]}/{CLASSES[label]}/{path.stem}"
            found.setdefault(key, []).append(name)
            places[key] = part, label
    if not found:
        raise UserError(
            f"{source.path} has no Training/ and Testing/ folders of {', '.join(CLASSES)};"
            f" give the official archive ({DATASET.source})."
        )
    images = one_of_each(source, found)
    stems = {key: key.rpartition("/")[2] for key in images}
    # Official stems say the folder and are unique; numbers that start again in each are not.
    unique = len(set(stems.values())) == len(stems)
    return tuple(
        Item(
            name=stems[key] if unique else key,
            label=places[key][1],
            image=image,
            part=places[key][0],
        )
        for key, image in images.items()
    )


def _label(folder: str) -> int | None:
    """Return the class that a folder's name in lower case says, None if it says none."""
    letters = re.sub("[^a-z]", "", folder).replace("tumour", "tumor")
    for label, name in enumerate(CLASSES):
        if letters in (name, f"{name}tumor"):
            return label
    return None


def _counts(items: Listing) -> dict[PartName, tuple[int, ...]]:
    """Return the number of images per class of each part."""
    found = Counter((item.part, item.label) for item in items)
    return {part: tuple(found[part, k] for k in range(len(CLASSES))) for part in OFFICIAL}


DATASET = Dataset(
    name="btmd",
    title="BTMD",
    classes=CLASSES,
    counts=(1621, 1645, 2000, 1757),
    sizes={"train": 5712, "eval": 1311},
    channels=1,
    source=f"Kaggle, {HANDLE}/versions/1",
    licence="CC0",
    listing=listing,
    phantom="phantom-mri",
)

VERSION_2 = Dataset(
    name="btmd-v2",
    title="BTMD version 2",
    classes=CLASSES,
    counts=(1800, 1800, 1800, 1800),
    sizes={"train": 5600, "eval": 1600},
    channels=1,
    source=f"Kaggle, {HANDLE}/versions/2",
    licence="CC0",
    listing=listing_of_version_2,
    phantom="phantom-mri",
)

DATASETS = (DATASET, VERSION_2)
