"""Messidor-2: 1748 fundus photographs, 1744 of them graded for diabetic retinopathy."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from harness.data.copies import by_stem, one_of_each
from harness.errors import UserError, listed
from harness.spec.dataset import Dataset, Item, Listing, Source

CLASSES = ("no DR", "mild", "moderate", "severe", "proliferative")
NAME_COLUMNS = ("id_code", "image_id")
GRADE_COLUMNS = ("diagnosis", "adjudicated_dr_grade")
"""Columns of the image and its grade: in Kaggle's table, in the ADCIS grade files."""

GRADABLE = "adjudicated_gradable"
"""Column that says whether an image can be graded; tables of the gradable rows alone lack it."""

YES, NO = ("1", "1.0"), ("0", "0.0", "")
GRADES = ("0", "1", "2", "3", "4")

TABLES = (".csv", ".tsv", ".tab", ".txt")
"""Endings of tables."""

PAIRS = ("messidor-2", "messidor2", "messidor_2")
"""Stems of the table of pairs: per patient the photographs of the left and the right eye."""


def listing(source: Source) -> Listing:
    """List the images of the gradable rows of the grade table, grouped by patient.

    Kaggle's table and the ADCIS grade files are read. Names are matched by their stem, ignoring
    case, as tables and files differ in endings. Patients are known from the table of pairs.

    Raises:
        UserError: the table is missing, a gradable row has no image or no grade from 0 to 4, two
            different images have one name, or an image is not in the table of pairs.
    """
    tables = [name for name in source.names() if PurePosixPath(name).suffix.lower() in TABLES]
    grade_table, grades = _grades(source, tables)
    pairs = [n for n in tables if PurePosixPath(n).stem.lower() in PAIRS and n != grade_table]
    found = by_stem(source.images())
    missing = sorted(name for stem, (name, _) in grades.items() if stem not in found)
    if missing:
        raise UserError(
            f"{source.path}: {len(missing)} graded images are missing: {listed(missing)};"
            " put all images beside the table."
        )
    images = one_of_each(source, {stem: found[stem] for stem in grades})
    patients = _patients(source, pairs, grades)
    return tuple(
        Item(
            name=PurePosixPath(name).stem,
            label=grade,
            image=images[stem],
            group=patients.get(stem),
        )
        for stem, (name, grade) in grades.items()
    )


def _grades(source: Source, names: list[str]) -> tuple[str, dict[str, tuple[str, int]]]:
    """Return the table's name, and name and grade per gradable row by the stem in lower case.

    Raises:
        UserError: no table has the columns, a value is not known, or a name occurs twice.
    """
    table_name, table, (name_column, grade_column) = _table(source, names)
    grades: dict[str, tuple[str, int]] = {}
    for row in table:
        name, gradable = row[name_column], row.get(GRADABLE, YES[0])
        if gradable not in (*YES, *NO):
            raise UserError(
                f"{source.path}: {name} has the value {gradable!r} of {GRADABLE}; allowed: 1 and 0."
            )
        if gradable in NO:
            continue
        grade = row[grade_column].removesuffix(".0")
        if grade not in GRADES:
            raise UserError(
                f"{source.path}: {name} has the grade {grade!r}; allowed: 0 to 4. Give the"
                f" official table, whose column {GRADABLE} marks images without a grade."
            )
        stem = PurePosixPath(name).stem.lower()
        if stem in grades:
            raise UserError(f"{source.path}: the table names {name} twice; get it again.")
        grades[stem] = name, int(grade)
    return table_name, grades


def _table(source: Source, names: list[str]) -> tuple[str, list[dict[str, str]], tuple[str, str]]:
    """Return the name and rows of the grade table, and its columns of the image and the grade.

    Raises:
        UserError: no table has such columns, or two that have differ.
    """
    found: list[tuple[str, list[dict[str, str]], tuple[str, str]]] = []
    for name in names:
        try:
            rows = source.table(name)
        except UserError:  # a text beside the images, such as a licence
            continue
        image = next((c for c in NAME_COLUMNS if c in rows[0]), None)
        grade = next((c for c in GRADE_COLUMNS if c in rows[0]), None)
        if image and grade:
            found.append((name, rows, (image, grade)))
    if not found:
        raise UserError(
            f"{source.path} has no table with columns {' or '.join(NAME_COLUMNS)} and"
            f" {' or '.join(GRADE_COLUMNS)}; put messidor_data.csv (Kaggle,"
            " google-brain/messidor2-dr-grades) beside the images."
        )
    first = found[0]
    for other in found[1:]:
        if other[1:] != first[1:]:
            raise UserError(f"{source.path}: {first[0]} and {other[0]} differ; give one of them.")
    return first


def _patients(
    source: Source, names: list[str], grades: dict[str, tuple[str, int]]
) -> dict[str, str]:
    """Return the patient of each image by the image's stem, from the table of pairs.

    A patient's id is the stem of the first image in its row. The two columns are those named after
    the left and the right eye, or the only two; without names the first line is a pair, too.

    Raises:
        UserError: there are not two such columns, or an image is in no row or in two.
    """
    if not names:
        source.remarks.append(
            "No messidor-2.csv beside the images: the two eyes of a patient are not kept together."
        )
        return {}
    name, *_ = names
    rows = source.table(name)
    columns = list(rows[0])
    eyes = [c for c in columns if re.search("left|right", c.lower())]
    eyes = eyes if len(eyes) == 2 else columns
    if len(eyes) != 2:
        raise UserError(
            f"{source.path}: {name} has the columns {listed(columns)}; needed: one for the left and"
            " one for the right eye."
        )
    pairs = [[row[column] for column in eyes] for row in rows]
    if any(PurePosixPath(column).stem.lower() in grades for column in eyes):
        pairs.insert(0, eyes)
    patients: dict[str, str] = {}
    twice, unknown = [], []
    for pair in pairs:
        stems = [PurePosixPath(value).stem.lower() for value in pair if value]
        unknown += [v for v in pair if v and PurePosixPath(v).stem.lower() not in grades]
        for stem in stems:
            if stem in patients:
                twice.append(stem)
            patients[stem] = stems[0]
    if twice:
        raise UserError(
            f"{source.path}: {name} has {len(twice)} images in two rows: {listed(twice)};"
            " get it again."
        )
    alone = sorted(image for stem, (image, _) in grades.items() if stem not in patients)
    if alone:
        others = f" It names {len(unknown)} others: {listed(unknown)}." if unknown else ""
        raise UserError(
            f"{source.path}: {name} lacks {len(alone)} of {len(grades)} images: {listed(alone)};"
            f" give the official table of pairs, or none.{others}"
        )
    return patients


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
    group_title="patient",
)
