"""Breast Ultrasound Images: 780 images in three classes with 798 lesion masks."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from harness.data.copies import one_of_each
from harness.errors import UserError, listed
from harness.spec.dataset import Dataset, Item, Listing, Source

CLASSES = ("benign", "malignant", "normal")
HEALTHY = "normal"
"""The class whose masks are empty."""

NAME = re.compile(
    r"(?P<kind>[a-z]+)[ _-]*\(? *(?P<number>\d+) *\)?"
    r"(?P<mask>[ _-]*mask[ _-]*\(?(?P<part>\d*)\)?)?",
    re.IGNORECASE,
)
"""Stem of an image or a mask: "benign (1)", "benign(1)_mask", "Benign_(001) mask_1"."""


class _File(NamedTuple):
    """What a file's name says: the official stem of its image, its class, and its mask's number."""

    stem: str
    kind: str
    mask: int | None


def listing(source: Source) -> Listing:
    """List the images "CLASS (k)" with their masks "CLASS (k)_mask", "CLASS (k)_mask_1", ...

    Names that are written otherwise ("Benign_(1)") become the official ones, on which draws depend,
    so that every copy of the data set is divided alike. A file in a folder "masks" is a mask.

    Raises:
        UserError: an image has no mask, a mask has no image, two different files have one name, or
            a file lies in another class's folder or has another name.
    """
    misplaced: list[str] = []
    images: dict[str, list[str]] = {}
    masks: dict[str, list[str]] = {}
    kinds: dict[str, str] = {}
    for name in source.images():
        folders = [folder.lower() for folder in PurePosixPath(name).parts[:-1]]
        within = [folder for folder in folders if folder in CLASSES]
        found = _parse(PurePosixPath(name), in_masks="masks" in folders or "mask" in folders)
        if found is None or (within and within[-1] != found.kind):
            if within:
                misplaced.append(name)
            continue
        kinds[found.stem] = found.kind
        if found.mask is None:
            images.setdefault(found.stem, []).append(name)
        else:
            masks.setdefault(f"{found.stem}_mask_{found.mask}", []).append(name)
    if misplaced:
        raise UserError(
            f"{source.path}: {len(misplaced)} images or masks lie in another class's folder than"
            f" their names say, or have no name like 'benign (1)': {listed(misplaced)};"
            f" give the official archive ({DATASET.source})."
        )
    if not images:
        raise UserError(
            f"{source.path} has no folders {', '.join(CLASSES)} of images;"
            f" give the official archive ({DATASET.source})."
        )
    photographs = one_of_each(source, images)
    of_image: dict[str, list[str]] = {}
    for key, mask in one_of_each(source, masks).items():
        of_image.setdefault(key.rpartition("_mask_")[0], []).append(mask)
    _check_pairs(source, photographs, of_image)
    return tuple(
        Item(
            name=stem,
            label=CLASSES.index(kinds[stem]),
            image=name,
            masks=tuple(sorted(of_image[stem])),
            lesion=kinds[stem] != HEALTHY,
        )
        for stem, name in photographs.items()
    )


def _parse(path: PurePosixPath, *, in_masks: bool) -> _File | None:
    """Return what a file's name says, None if it is not named as the data set's files are."""
    match = NAME.fullmatch(path.stem.strip())
    kind = match["kind"].lower() if match else ""
    if match is None or kind not in CLASSES:
        return None
    mask = int(match["part"] or 0) if match["mask"] else None
    return _File(f"{kind} ({int(match['number'])})", kind, 0 if in_masks and mask is None else mask)


def _check_pairs(source: Source, images: dict[str, str], masks: dict[str, list[str]]) -> None:
    """Check that each image has a mask and each mask an image.

    Raises:
        UserError: some do not; the message lists them.
    """
    unmasked = sorted(name for stem, name in images.items() if stem not in masks)
    orphaned = sorted(name for stem, names in masks.items() if stem not in images for name in names)
    problems = []
    if unmasked:
        problems.append(f"{len(unmasked)} images without a mask: {listed(unmasked)}")
    if orphaned:
        problems.append(f"{len(orphaned)} masks without an image: {listed(orphaned)}")
    if problems:
        raise UserError(
            f"{source.path}: {'; '.join(problems)}; get the archive again ({DATASET.source})."
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
