"""HAM10000: 10 015 dermatoscopic photographs of 7470 lesions in seven classes."""

from __future__ import annotations

from pathlib import PurePosixPath

from harness.errors import UserError
from harness.spec.dataset import Dataset, Item, Listing, Source

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
TABLE = "HAM10000_metadata"
"""Stem of the metadata file: one row per image, with lesion and diagnosis."""


def listing(source: Source) -> Listing:
    """List the images of the metadata's rows, grouped by lesion.

    Raises:
        UserError: the metadata are missing, or rows and images do not match.
    """
    tables = [name for name in source.names() if PurePosixPath(name).stem == TABLE]
    if not tables:
        raise UserError(
            f"{source.path} has no {TABLE}.csv; give the official archive ({DATASET.source})."
        )
    images = {PurePosixPath(name).stem: name for name in source.images()}
    rows = source.table(tables[0])
    needed = {"lesion_id", "image_id", "dx"}
    if rows and not needed <= rows[0].keys():
        raise UserError(f"{tables[0]} has columns {list(rows[0])}; needed: {sorted(needed)}.")
    unknown = sorted({row["dx"] for row in rows} - set(CLASSES))
    missing = sorted(row["image_id"] for row in rows if row["image_id"] not in images)
    if missing or unknown:
        listed = ", ".join(missing or unknown)
        problem = "images of the table that are missing" if missing else "unknown classes"
        raise UserError(f"{source.path}: {len(missing or unknown)} {problem}: {listed}.")
    return tuple(
        Item(
            name=row["image_id"],
            label=CLASSES.index(row["dx"]),
            image=images[row["image_id"]],
            group=row["lesion_id"],
        )
        for row in rows
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
)
