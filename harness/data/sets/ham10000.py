"""HAM10000: 10 015 dermatoscopic photographs of 7470 lesions in seven classes.

Its tables come in three forms: Kaggle's and Harvard Dataverse's metadata, and those of the ISIC
2018 challenge, whose third task has the same photographs. Lesion masks (Tschandl et al. 2020) are
read where they are given.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from harness.data.copies import by_stem, one_of_each
from harness.errors import UserError, listed
from harness.spec.dataset import Dataset, Item, Listing, Source

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
METADATA = "ham10000_metadata"
"""Stem of the metadata in lower case: one row per image, with lesion and diagnosis."""

TRUTHS = ("isic2018_task3_training_groundtruth", "groundtruth")
"""Stems of the challenge's table: one row per image, a 1 in the column of its class."""

LESIONS = "isic2018_task3_training_lesiongroupings"
"""Stem of the challenge's table of lesions: one row per image."""

TABLES = ("", ".csv", ".tab", ".tsv", ".txt")
"""Endings of tables; Harvard Dataverse's original has none."""

MASK = re.compile(r"_(segmentation|mask)$", re.IGNORECASE)
"""Ending of the stem of a mask's file."""

MASK_FOLDER = re.compile(
    r"((ham10000|lesion|binary)[ _-])?(masks?|segmentations?)(_lesion_tschandl)?", re.IGNORECASE
)
"""Names of folders whose files are masks."""


class _Row(NamedTuple):
    """A row of the tables: an image with its class and its lesion."""

    image: str
    label: str
    lesion: str | None


def listing(source: Source) -> Listing:
    """List the images of the table's rows, grouped by lesion, with their masks if there are any.

    Files are matched by their stem, ignoring case. A file is a mask, and never a photograph, if its
    stem ends as ``MASK`` says or a folder above it is named as ``MASK_FOLDER`` says.

    Raises:
        UserError: a table is missing, rows and images do not match, two different photographs have
            one name, or some photographs have a mask and others have none.
    """
    rows = _rows(source)
    wanted = {row.image.lower() for row in rows}
    photographs = [name for name in source.images() if not _is_mask(name)]
    images = one_of_each(
        source, {stem: names for stem, names in by_stem(photographs).items() if stem in wanted}
    )
    missing = sorted(row.image for row in rows if row.image.lower() not in images)
    if missing:
        raise UserError(
            f"{source.path}: {len(missing)} images of the table that are missing:"
            f" {listed(missing)}; put both parts of the photographs beside it."
        )
    mask_of = _masks(source, [name for name in source.images() if _is_mask(name)], rows)
    return tuple(
        Item(
            name=row.image,
            label=CLASSES.index(row.label),
            image=images[row.image.lower()],
            masks=(mask_of[row.image.lower()],) if mask_of else (),
            group=row.lesion,
            lesion=True if mask_of else None,
        )
        for row in rows
    )


def _is_mask(name: str) -> bool:
    """Return whether a file is a mask by its name or its folder."""
    path = PurePosixPath(name)
    return bool(MASK.search(path.stem)) or any(
        MASK_FOLDER.fullmatch(folder) for folder in path.parts[:-1]
    )


def _masks(source: Source, names: list[str], rows: list[_Row]) -> dict[str, str]:
    """Return the masks by their image's stem in lower case; empty if there are none.

    Raises:
        UserError: images lack a mask, or two different masks belong to one image.
    """
    found: dict[str, list[str]] = {}
    for stem, paths in by_stem(names).items():
        found.setdefault(MASK.sub("", stem), []).extend(paths)
    wanted = {row.image.lower() for row in rows}
    masks = one_of_each(source, {stem: paths for stem, paths in found.items() if stem in wanted})
    missing = sorted(row.image for row in rows if row.image.lower() not in masks)
    if masks and missing:
        raise UserError(
            f"{source.path}: {len(missing)} of {len(rows)} images have no mask: {listed(missing)};"
            " give the masks of all images, or none."
        )
    return masks


def _rows(source: Source) -> list[_Row]:
    """Return the rows of the metadata or, where there are none, of the challenge's tables.

    Raises:
        UserError: there is no such table, or it has unknown classes.
    """
    metadata, truth = _table(source, METADATA), _table(source, *TRUTHS)
    if metadata is not None:
        name, table = metadata
        _need(name, table, {"lesion_id", "image_id", "dx"})
        rows = [_Row(row["image_id"], row["dx"].lower(), row["lesion_id"]) for row in table]
    elif truth is not None:
        name, table = truth
        rows = _challenge_rows(source, name, table)
    else:
        raise UserError(
            f"{source.path} has no HAM10000_metadata.csv (Kaggle), HAM10000_metadata.tab (Harvard"
            " Dataverse) or ISIC2018_Task3_Training_GroundTruth.csv (ISIC 2018); put one beside the"
            f" images ({DATASET.source})."
        )
    unknown = sorted({row.label for row in rows} - set(CLASSES))
    if unknown:
        raise UserError(
            f"{source.path}: {name} has {len(unknown)} unknown classes: {listed(unknown)};"
            f" known: {', '.join(CLASSES)}."
        )
    return rows


def _challenge_rows(source: Source, name: str, table: list[dict[str, str]]) -> list[_Row]:
    """Return the rows of the challenge's table, with the lesions where their table is there.

    Raises:
        UserError: a row has not exactly one class, or an image has no lesion.
    """
    columns = [column.upper() for column in CLASSES]
    _need(name, table, {"image", *columns})
    labels = {
        row["image"]: [c.lower() for c in columns if row[c] not in ("0", "0.0", "")]
        for row in table
    }
    wrong = sorted(image for image, found in labels.items() if len(found) != 1)
    if wrong:
        raise UserError(
            f"{source.path}: {name} has {len(wrong)} images that are not of one class:"
            f" {listed(wrong)}; get it again."
        )
    grouping = _table(source, LESIONS)
    if grouping is None:
        source.remarks.append(
            "No ISIC2018_Task3_Training_LesionGroupings.csv beside the images: photographs of one"
            " lesion are not kept together."
        )
        return [_Row(image, label, None) for image, (label,) in labels.items()]
    _need(grouping[0], grouping[1], {"image", "lesion_id"})
    lesions = {row["image"]: row["lesion_id"] for row in grouping[1]}
    missing = sorted(set(labels) - set(lesions))
    if missing:
        raise UserError(
            f"{source.path}: {grouping[0]} lacks {len(missing)} images: {listed(missing)};"
            " get it again."
        )
    return [_Row(image, label, lesions[image]) for image, (label,) in labels.items()]


def _table(source: Source, *stems: str) -> tuple[str, list[dict[str, str]]] | None:
    """Return the name and the rows of a table, None if there is none.

    Raises:
        UserError: there are several that differ.
    """
    names = [
        name
        for name in source.names()
        if PurePosixPath(name).name.lower() in [s + ending for s in stems for ending in TABLES]
    ]
    if not names:
        return None
    tables = [source.table(name) for name in names]
    for other, table in zip(names[1:], tables[1:], strict=True):
        shared = table[0].keys() & tables[0][0].keys()  # Kaggle's lacks Dataverse's last column
        if [[r[c] for c in shared] for r in table] != [[r[c] for c in shared] for r in tables[0]]:
            raise UserError(f"{source.path}: {names[0]} and {other} differ; give one of them.")
    return names[0], tables[0]


def _need(name: str, table: list[dict[str, str]], columns: set[str]) -> None:
    """Check that a table has columns.

    Raises:
        UserError: some are missing.
    """
    if not columns <= table[0].keys():
        raise UserError(
            f"{name} has the columns {listed(list(table[0]))}; needed: {sorted(columns)}."
            " Give the official table."
        )


DATASET = Dataset(
    name="ham10000",
    title="HAM10000",
    classes=CLASSES,
    counts=(327, 514, 1099, 115, 1113, 6705, 142),
    sizes={"train": 7014, "eval": 3001},
    channels=3,
    source="Harvard Dataverse, doi:10.7910/DVN/DBW86T",
    licence="CC BY-NC 4.0",
    listing=listing,
    phantom="phantom-dermoscopy",
    group_title="lesion",
)
