"""Brain Tumor MRI Dataset: 7023 slices in four classes, divided by the archive's folders.

Some images of the training folder are pixel for pixel equal to images of the testing folder; the
clean split keeps such duplicates together.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from harness.errors import UserError
from harness.spec.dataset import Dataset, Item, Listing, Source

CLASSES = ("glioma", "meningioma", "notumor", "pituitary")
FOLDERS: dict[str, Literal["train", "eval"]] = {"training": "train", "testing": "eval"}
"""Part of the paper's split by folder."""


def listing(source: Source) -> Listing:
    """List the images ``Training/CLASS/*`` and ``Testing/CLASS/*`` below any folder.

    Raises:
        UserError: there are no such images.
    """
    items = []
    for name in source.images():
        path = PurePosixPath(name)
        folders = [part.lower() for part in path.parts[-3:-1]]
        if len(folders) == 2 and folders[0] in FOLDERS and folders[1] in CLASSES:
            label = CLASSES.index(folders[1])
            items.append(Item(name=path.stem, label=label, image=name, part=FOLDERS[folders[0]]))
    if not items:
        raise UserError(
            f"{source.path} has no Training/ and Testing/ folders of {', '.join(CLASSES)};"
            f" give the official archive ({DATASET.source})."
        )
    return tuple(items)


DATASET = Dataset(
    name="btmd",
    title="BTMD",
    classes=CLASSES,
    counts=(1621, 1645, 2000, 1757),
    sizes={"train": 5712, "eval": 1311},
    channels=1,
    source="Kaggle, masoudnickparvar/brain-tumor-mri-dataset",
    licence="CC0",
    listing=listing,
    phantom="phantom-mri",
)
