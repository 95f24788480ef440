"""Data sets of users, described by a small TOML file beside their store: ROOT/NAME.toml.

``harness data add`` finds classes and counts and writes the file. From then on the data set is
listed, planned and keyed like any other, and whatever is read again must have the same counts.
"""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import msgspec

from harness import files
from harness.data import own_listing
from harness.data.intensity import Intensity
from harness.data.own_listing import Columns
from harness.errors import UserError, unknown
from harness.spec.dataset import Dataset, Listing, Source, Split

FORMAT = 1
"""Version of the file's layout; other versions are refused."""

NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
"""Names that a data set may have."""

EVALUATED = 0.3
"""Share of images that are evaluated in the paper-like split, as in the paper's HAM10000."""


@dataclass(frozen=True, kw_only=True)
class OwnDataset:
    """A user's data set, as its file describes it.

    Attributes:
        title: name in tables.
        classes: class names in label order.
        counts: images per class.
        channels: 1 for greyscale images, else 3.
        source: folder or archive of the images.
        table: CSV file with their labels; None where folders are the classes.
        columns: names of the table's columns; None without a table.
        split: the split that is used where none is asked for.
        intensity: which values of images with more than 8 bits become black and white.
        licence: of the data, in words, as cards of trained models show it; None if not given.
    """

    title: str
    classes: tuple[str, ...]
    counts: tuple[Annotated[int, msgspec.Meta(le=10**9)], ...]
    channels: int
    source: str
    table: str | None = None
    columns: Columns | None = None
    split: Split = "clean"
    intensity: Intensity = field(default_factory=Intensity)
    licence: str | None = None


def path_of(root: Path, name: str) -> Path:
    """Return the path of a data set's file."""
    return root / f"{name}.toml"


def check_name(name: str, taken: Sequence[str]) -> None:
    """Check the name of a new data set.

    Raises:
        UserError: it has other signs than small letters, digits and hyphens, or is taken.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot name a data set; allowed: small letters, digits and hyphens, such as"
            " 'my-clinic'."
        )
    if name in taken:
        raise UserError(f"{name!r} names a data set of the harness; choose another name.")


def names(root: Path) -> list[str]:
    """Return the names of the users' data sets in a folder of stores."""
    return sorted(p.stem for p in root.glob("*.toml") if NAME.fullmatch(p.stem))


def read(root: Path, name: str) -> OwnDataset | None:
    """Return a user's data set, None if there is none of that name.

    Raises:
        UserError: its file is not valid.
    """
    path = path_of(root, name)
    advice = f"correct it, or write it anew with `harness data add {name} --replace`."
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); {advice}") from error
    version = content.pop("format", None)
    if version != FORMAT:
        raise UserError(f"{path} has format {version!r}, this version reads {FORMAT}; {advice}")
    try:
        _check_known(content)
        described = msgspec.convert(content, OwnDataset)
    except (msgspec.ValidationError, UserError) as error:
        raise UserError(f"{path}: {error}; {advice}") from error
    _check(path, described, advice)
    return described


def _check_known(content: Mapping[str, Any]) -> None:
    """Check that a description, and each of its tables, has known fields alone.

    Raises:
        UserError: another is in it.
    """
    kinds: dict[str, type[Any]] = {"": OwnDataset, "columns": Columns, "intensity": Intensity}
    for name, kind in kinds.items():
        given = content.get(name) if name else content
        known = [each.name for each in fields(kind)]
        for key in given if isinstance(given, Mapping) else ():
            if key not in known:
                known += [] if name else ["format"]
                raise unknown(f"field of [{name}]" if name else "field", key, known)


def _check(path: Path, described: OwnDataset, advice: str) -> None:
    problems = {
        "classes and counts are not equally many, at least two": len(described.classes) < 2
        or len(described.classes) != len(described.counts),
        "a class occurs twice": len(set(described.classes)) < len(described.classes),
        "counts must be 1 or more": any(count < 1 for count in described.counts),
        "channels must be 1 or 3": described.channels not in (1, 3),
        "table and columns belong together": (described.table is None)
        != (described.columns is None),
    }
    for problem, found in problems.items():
        if found:
            raise UserError(f"{path}: {problem}; {advice}")


def check_texts(described: OwnDataset) -> None:
    """Check that all texts of a description can be written to its file.

    Raises:
        UserError: one is not Unicode, such as a path that was named under another encoding.
    """
    optional = (described.table or "", described.licence or "")
    for text in (described.title, described.source, *optional, *described.classes):
        if text != text.encode("utf-8", "ignore").decode():
            raise UserError(
                f"{text!r} has bytes that are not UTF-8, which a description cannot hold; rename"
                " it."
            )


def write(root: Path, name: str, described: OwnDataset) -> Path:
    """Write a data set's file and return its path."""
    lines = [
        "# A data set of the user's, written by `harness data add`. Counts are checked whenever",
        "# its images are read again. Keys depend on the store's contents, not on this file.",
        *_lines({"format": FORMAT, **msgspec.to_builtins(described)}),
    ]
    path = path_of(root, name)
    files.write_text(path, "\n".join(lines) + "\n")
    return path


def _lines(values: Mapping[str, Any]) -> list[str]:
    """Return the lines of a TOML table: its plain values, then its sub-tables."""
    plain = {k: v for k, v in values.items() if v is not None and not isinstance(v, Mapping)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in values.items():
        if isinstance(value, Mapping) and any(v is not None for v in value.values()):
            lines += ["", f"[{key}]", *_lines(value)]
    return lines


def _value(value: Any) -> str:
    """Return a text, number or list of these as TOML, whose texts are written as JSON's are."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    # JSON leaves one control character as it is that TOML does not allow.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def dataset(root: Path, name: str, described: OwnDataset) -> Dataset:
    """Return a user's data set in the form that all data sets have."""
    total = sum(described.counts)
    evaluated = round(total * EVALUATED)
    return Dataset(
        name=name,
        title=described.title,
        classes=described.classes,
        counts=described.counts,
        sizes={"train": total - evaluated, "eval": evaluated},
        channels=described.channels,
        source=f"the user's own, {path_of(root, name)}",
        licence=described.licence or "the user's own data",
        listing=functools.partial(_listing, name=name, described=described),
        split=described.split,
        group_title=_group_title(described.columns),
    )


def _group_title(columns: Columns | None) -> str:
    """Return what a group is called: the name of its column, without a final "id"."""
    column = "" if columns is None or columns.group is None else columns.group
    return re.sub(r"[_ -]?ids?$", "", column.strip().lower()) or "group"


def _listing(source: Source, *, name: str, described: OwnDataset) -> Listing:
    """List a user's images; the classes and their counts must be those of the file.

    Raises:
        UserError: images, classes or counts are not as described.
    """
    from harness.data.own_pixels import opener  # numpy and Pillow

    source.set_decoder(opener(described.intensity))
    found = own_listing.find(
        source, None if described.table is None else Path(described.table), described.columns
    )
    counted = Counter(found.labels.values())
    expected = dict(zip(described.classes, described.counts, strict=True))
    if dict(counted) != expected:
        differences = [
            f"{label}: expected {expected.get(label, 0)}, found {counted.get(label, 0)}"
            for label in sorted({*expected, *counted})
            if expected.get(label, 0) != counted.get(label, 0)
        ]
        raise UserError(
            f"{described.title}: the images are not those that were added"
            f" ({'; '.join(differences[:20])}); if this is wanted, run"
            f" `harness data add {name} --replace`."
        )
    return found.items(described.classes)
