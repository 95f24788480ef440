"""HAM10000: 10 015 dermatoscopic photographs of 7470 lesions in seven classes."""

from __future__ import annotations

from pathlib import PurePosixPath

from harness.errors import UserError
from harness.spec.dataset import Dataset, Item, Listing, Source

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
TABLE = "HAM10000_metadata"


def listing(source: Source) -> Listing:
    """List the rows of the metadata with their images; the group is the lesion.

    Raises:
        UserError: the metadata are missing, or rows and images do not match.
    """
    tables = [n for n in source.names() if PurePosixPath(n).stem == TABLE]
    if not tables:
        raise UserError(
            f"{source.path} has no {TABLE}.csv; give the official archive ({DATASET.source})."
        )
    images = {PurePosixPath(n).stem: n for n in source.images()}
    rows = source.table(tables[0])
    needed = {"lesion_id", "image_id", "dx"}
    if rows and not needed <= rows[0].keys():
        raise UserError(f"{tables[0]} has columns {list(rows[0])}; needed: {sorted(needed)}.")
    strange = sorted({r["dx"] for r in rows} - set(CLASSES))
    missing = sorted(r["image_id"] for r in rows if r["image_id"] not in images)
    if missing or strange:
        listed = ", ".join(missing or strange)
        what = "images of the table that are missing" if missing else "unknown classes"
        raise UserError(f"{source.path}: {len(missing or strange)} {what}: {listed}.")
    return tuple(
        Item(
            name=r["image_id"],
            label=CLASSES.index(r["dx"]),
            image=images[r["image_id"]],
            group=r["lesion_id"],
        )
        for r in rows
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
