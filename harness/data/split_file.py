"""Read a user's split: a CSV file with the columns name and part."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

from harness.errors import UserError, listed
from harness.spec.dataset import MOST_COLUMNS, SUFFIXES, PartName

UNUSED = "unused"
"""Part of an image that a split leaves out."""

NAMES: Mapping[str, PartName | None] = {
    "train": "train",
    "val": "val",
    "test": "test",
    "eval": "test",
    UNUSED: None,
}
"""Parts by their names in a file: "eval" is another name of "test"."""

COLUMNS = ("name", "part")


def read(path: Path) -> dict[str, PartName | None]:
    """Return the part of each image by its name as the file writes it.

    Raises:
        UserError: the file cannot be read, has other columns, or has an unknown part or a name
            twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise ValueError("zero bytes")
        reader = csv.DictReader(io.StringIO(text), restval="")
        if len(reader.fieldnames or ()) > MOST_COLUMNS:
            raise ValueError("too many columns")
        rows = list(reader)
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is not a CSV file of UTF-8 text"
        raise UserError(f"--split-file {path} cannot be read: {reason}.") from error
    columns = list(rows[0]) if rows else []
    if not set(COLUMNS) <= set(columns):
        found = f"has the columns {listed([str(c) for c in columns])}" if rows else "has no rows"
        raise UserError(
            f"--split-file {path} {found}; its first line must be name,part, and each further line"
            " an image and its part."
        )
    pairs = [(row["name"].strip(), row["part"].strip().lower()) for row in rows]
    unknown = [f"{name} ({part or 'none'})" for name, part in pairs if part not in NAMES]
    if unknown:
        raise UserError(
            f"--split-file {path}: {len(unknown)} images with an unknown part: {listed(unknown)};"
            f" allowed: {', '.join(NAMES)}."
        )
    if {"test", "eval"} <= {part for _, part in pairs}:
        raise UserError(
            f"--split-file {path} has both test and eval, which are two names of one part; write"
            " one of them."
        )
    _refuse_repeated(path, (name for name, _ in pairs))
    return {name: NAMES[part] for name, part in pairs}


def match(
    path: Path, parts: Mapping[str, PartName | None], names: Iterable[str]
) -> dict[str, PartName | None]:
    """Return the part of each image of a data set by its name in the store.

    A name may be written with the ending of an image file, and with the folders it lies in.

    Args:
        path: the file, for errors.
        parts: see ``read``.
        names: the images of the data set.

    Raises:
        UserError: the file names an image that the data set does not have, lacks one that it has,
            or names one twice.
    """
    known = set(names)
    stored = {name: _stored(name, known) for name in parts}
    unknown = sorted(name for name, stem in stored.items() if stem not in known)
    if unknown:
        example = min(known, default="")
        raise UserError(
            f"--split-file {path} names {len(unknown)} images that the data set does not have:"
            f" {listed(unknown)}. Its names are like {example!r}; see index.json of a store."
        )
    _refuse_repeated(path, stored.values())
    missing = sorted(known - set(stored.values()))
    if missing:
        raise UserError(
            f"--split-file {path} lacks {len(missing)} images of the data set: {listed(missing)}."
            f" Name each; write the part {UNUSED!r} for those that the split leaves out."
        )
    return {stored[name]: part for name, part in parts.items()}


def _stored(name: str, known: Collection[str]) -> str:
    """Return a name as the store writes it, or without its ending if the store has no such name."""
    path = PurePosixPath(name.replace("\\", "/"))
    plain = path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
    candidates = (name, plain.as_posix(), path.name, plain.name)
    return next((one for one in candidates if one in known), plain.as_posix())


def _refuse_repeated(path: Path, names: Iterable[str]) -> None:
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for name in names:
        if name in seen:
            repeated[name] = None
        seen.add(name)
    if repeated:
        raise UserError(
            f"--split-file {path} names {len(repeated)} images more than once:"
            f" {listed(list(repeated))}. Give each image one part."
        )
