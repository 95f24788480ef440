"""Messidor-2: 1748 fundus photographs, 1744 of them graded for diabetic retinopathy."""

from __future__ import annotations

from pathlib import PurePosixPath

from harness.errors import UserError
from harness.spec.dataset import Dataset, Item, Listing, Source

CLASSES = ("no DR", "mild", "moderate", "severe", "proliferative")
NAME_COLUMNS = ("id_code", "image_id")
GRADE_COLUMNS = ("diagnosis", "adjudicated_dr_grade")
"""Columns of the image and its grade: in Kaggle's table, in the ADCIS grade files."""

GRADABLE = "adjudicated_gradable"
"""Column that says whether an image can be graded."""

YES = ("1", "1.0")
GRADES = ("0", "1", "2", "3", "4")


def listing(source: Source) -> Listing:
    """List the images of the gradable rows of the grade table.

    Kaggle's table and the ADCIS grade files are read. Names are matched by their stem, ignoring
    case, as tables and files differ in endings.

    Raises:
        UserError: the table is missing, a gradable row has no image or no grade from 0 to 4, or two
            images have one name.
    """
    rows, name_column, grade_column = _table(source)
    images: dict[str, str] = {}
    for name in source.images():
        stem = PurePosixPath(name).stem.lower()
        if stem in images:
            raise UserError(f"Two images are named {stem!r}: {images[stem]} and {name}.")
        images[stem] = name
    items, missing = [], []
    for row in rows:
        if row[GRADABLE].strip() not in YES:
            continue
        stem = PurePosixPath(row[name_column].strip()).stem
        if stem.lower() not in images:
            missing.append(row[name_column])
            continue
        grade = row[grade_column].strip().removesuffix(".0")
        if grade not in GRADES:
            raise UserError(
                f"{source.path}: {row[name_column]} has the grade {grade!r}; allowed: 0 to 4."
            )
        items.append(Item(name=stem, label=int(grade), image=images[stem.lower()]))
    if missing:
        listed = ", ".join(sorted(missing))
        raise UserError(f"{source.path}: {len(missing)} graded images are missing: {listed}.")
    return tuple(items)


def _table(source: Source) -> tuple[list[dict[str, str]], str, str]:
    """Return the rows of the grade table and the names of its image and grade columns.

    Raises:
        UserError: no CSV file has such columns.
    """
    for name in source.names():
        if PurePosixPath(name).suffix.lower() != ".csv":
            continue
        rows = source.table(name)
        columns = set(rows[0]) if rows else set()
        names = [c for c in NAME_COLUMNS if c in columns]
        grades = [c for c in GRADE_COLUMNS if c in columns]
        if names and grades and GRADABLE in columns:
            return rows, names[0], grades[0]
    raise UserError(
        f"{source.path} has no table with columns {' or '.join(NAME_COLUMNS)},"
        f" {' or '.join(GRADE_COLUMNS)} and {GRADABLE}; put messidor_data.csv beside the images."
    )


DATASET = Dataset(
    name="messidor2",
    title="Messidor-2",
    classes=CLASSES,
    counts=(1017, 270, 347, 75, 35),
    sizes={"train": 1222, "eval": 522},
    channels=3,
    source="ADCIS, www.adcis.net/en/third-party/messidor2, with the adjudicated grades",
    licence="research only, on request",
    listing=listing,
    phantom="phantom-fundus",
)
