"""Find the images, classes, parts, groups and masks of a user's data: in folders or in a table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from harness.errors import UserError, listed
from harness.spec.dataset import Item, Listing, PartName, Source

PARTS: Mapping[str, PartName] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""Part of the given split by the words that folders and tables use for it."""

MISSING = ("", "nan", "<na>", "n/a", "null")
"""Values of a table that mean that there is none, in small letters."""

MASK = re.compile(r"[ _-](mask|segmentation|seg|annotation)([ _-]?\d+)?$", re.IGNORECASE)
"""Ending of the stem of a file that is a mask and no image of its own."""

LONGEST_CLASS = 200
"""Largest number of characters of a class's name."""

GROUPING = re.compile(r"patient|lesion|subject|person|participant|case|study|exam|mrn", re.I)
"""Names of columns that probably say which images belong together."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of a table's columns.

    Attributes:
        image: path or name of the image's file.
        label: its class.
        group: the patient or lesion, whose images stay together; None if unknown.
        split: the part it belongs to; None if there are none.
        mask: path or name of its mask's file; None without masks.
    """

    image: str
    label: str
    group: str | None = None
    split: str | None = None
    mask: str | None = None

    def used(self) -> list[str]:
        """Return the names that are given."""
        return [c for c in (self.image, self.label, self.group, self.split, self.mask) if c]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a folder or table holds, by name of the image.

    Attributes:
        images: path of the image's file in the source.
        labels: class.
        parts: part; empty where none are given.
        groups: group; empty where none are given.
        masks: path of the mask's file; empty where none are given.
        hints: sentences for the user about what was found and not used.
    """

    images: Mapping[str, str]
    labels: Mapping[str, str]
    parts: Mapping[str, PartName] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    masks: Mapping[str, str] = field(default_factory=dict)
    hints: tuple[str, ...] = ()

    def classes(self) -> tuple[str, ...]:
        """Return the classes: numbers in their order, else texts in the alphabet's."""
        return tuple(sorted(set(self.labels.values()), key=_natural))

    def items(self, classes: Sequence[str]) -> Listing:
        """Return the images in the form that all data sets have."""
        return tuple(
            Item(
                name=name,
                label=classes.index(self.labels[name]),
                image=image,
                masks=(self.masks[name],) if self.masks else (),
                group=self.groups.get(name),
                part=self.parts.get(name),
            )
            for name, image in self.images.items()
        )


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sorting key with which "2" comes before "10"."""
    pieces = re.findall(r"\d+|\D+", text)
    return tuple((0, *_number(p)) if p.isdecimal() else (1, 0, p) for p in pieces)


def _number(digits: str) -> tuple[int, str]:
    """Return a sorting key of a whole number of any length: Python reads up to 4300 digits."""
    plain = str(int(digits)) if len(digits) < 4000 else digits.lstrip("0")
    return len(plain), plain


def find(source: Source, table: Path | None, columns: Columns | None) -> Found:
    """Find a user's images: by a table where one is given, else by their folders.

    Raises:
        UserError: what is found cannot be a data set; the message says what to change.
    """
    found = (
        in_folders(source) if table is None or columns is None else in_table(source, table, columns)
    )
    classes = Counter(found.labels.values())
    if len(classes) < 2:
        raise UserError(
            f"{source.path}: all {len(found.images)} images are of one class"
            f" ({listed(list(classes))}); a data set needs two or more."
        )
    longest = max(classes, key=len)
    if len(longest) > LONGEST_CLASS:
        raise UserError(
            f"{source.path}: a class has a name of {len(longest)} characters"
            f" ({longest[:40]!r}...); allowed: up to {LONGEST_CLASS}. Is the column of classes the"
            " right one?"
        )
    lowered = Counter(name.lower() for name in classes)
    alike = sorted(name for name in classes if lowered[name.lower()] > 1)
    if alike:
        raise UserError(
            f"{source.path}: the classes {listed(alike)} differ only in capitals; name them alike,"
            " or differently."
        )
    return _with_whole_parts(source, found)


def _with_whole_parts(source: Source, found: Found) -> Found:
    """Check that given parts can be used.

    Raises:
        UserError: only some images have a part, or nothing is trained on or evaluated.
    """
    if not found.parts:
        return found
    without = [name for name in found.images if name not in found.parts]
    if without:
        raise UserError(
            f"{source.path}: {len(without)} images are in none of the parts train, val and test:"
            f" {listed(without)}; put every image into one, or leave the parts out."
        )
    present = set(found.parts.values())
    if "train" not in present or len(present) < 2:
        raise UserError(
            f"{source.path}: the only parts with images are {listed(sorted(present))}; needed are"
            " train and test, and val where there is one."
        )
    if "test" not in present:
        # Two parts, the second called "val": it is what is reported.
        parts: dict[str, PartName] = {
            name: "test" if part == "val" else part for name, part in found.parts.items()
        }
        hint = "there is no part 'test': what is called 'val' is reported"
        return Found(
            images=found.images,
            labels=found.labels,
            parts=parts,
            groups=found.groups,
            masks=found.masks,
            hints=(*found.hints, hint),
        )
    return found


def in_folders(source: Source) -> Found:
    """Find images whose folders are their classes, in folders of parts where there are such.

    Raises:
        UserError: there are no images, some are in no class's folder, or some are masks.
    """
    paths = {image: PurePosixPath(image) for image in source.images()}
    if not paths:
        raise UserError(f"{source.path} has no images; give the folder of the class folders.")
    masks = sorted(name for name, path in paths.items() if MASK.search(path.stem))
    if masks:
        raise UserError(
            f"{source.path}: {len(masks)} files look like masks: {listed(masks)}; move them away,"
            " or describe images and masks by a table (--csv, --mask-column)."
        )
    above = _shared([path.parts[:-1] for path in paths.values()])
    folders = {image: path.parts[above:-1] for image, path in paths.items()}
    _check_folders(source, folders.values())
    with_parts = all(dirs and dirs[0].lower() in PARTS for dirs in folders.values())
    skip = 1 if with_parts else 0
    loose = sorted(image for image, dirs in folders.items() if len(dirs) <= skip)
    if loose:
        raise UserError(
            f"{source.path}: {len(loose)} images lie in no class's folder: {listed(loose)}; each"
            " class needs a folder, or give a table (--csv)."
        )
    names = _names(paths)
    return Found(
        images={names[image]: image for image in paths},
        labels={names[image]: dirs[skip] for image, dirs in folders.items()},
        parts={names[i]: PARTS[d[0].lower()] for i, d in folders.items()} if with_parts else {},
        hints=_nested(folders.values(), skip),
    )


def _nested(folders: Iterable[tuple[str, ...]], skip: int) -> tuple[str, ...]:
    """Return a hint where several classes hold folders of the same names."""
    below: dict[str, set[str]] = {}
    for dirs in folders:
        if len(dirs) > skip + 1:
            below.setdefault(dirs[skip + 1], set()).add(dirs[skip])
    shared = sorted(name for name, classes in below.items() if len(classes) > 1)
    if not shared:
        return ()
    return (
        f"several classes hold folders {listed(shared)}; the outer folders are taken as the"
        " classes. If the inner ones are, give a table (--csv)",
    )


def _check_folders(source: Source, folders: Iterable[tuple[str, ...]]) -> None:
    """Refuse folders of which it is not clear what are the classes.

    Raises:
        UserError: folders of parts lie beside others.
    """
    outer = {dirs[0] for dirs in folders if dirs}
    parts = sorted(name for name in outer if name.lower() in PARTS)
    others = sorted(outer - set(parts))
    if len(parts) > 1 and others:
        raise UserError(
            f"{source.path}: beside the parts {listed(parts)} lie {listed(others)}; give the"
            " folder that holds only parts, or only classes."
        )


def _shared(folders: Sequence[tuple[str, ...]]) -> int:
    """Return how many outer folders all images share, such as the archive's own; none is a part."""
    shared = 0
    for level in zip(*folders, strict=False):
        if len(set(level)) > 1 or level[0].lower() in PARTS:
            break
        shared += 1
    return shared


def _names(paths: Mapping[str, PurePosixPath]) -> dict[str, str]:
    """Return the images' names: their stems, or paths without ending where stems occur twice."""
    stems = Counter(path.stem for path in paths.values())
    if max(stems.values()) == 1:
        return {image: path.stem for image, path in paths.items()}
    whole = Counter(path.with_suffix("").as_posix() for path in paths.values())
    twice = sorted(name for name, count in whole.items() if count > 1)
    if twice:
        raise UserError(
            f"{len(twice)} images differ only in the ending of their names: {listed(twice)}; keep"
            " one of each."
        )
    return {image: path.with_suffix("").as_posix() for image, path in paths.items()}


def in_table(source: Source, table: Path, columns: Columns) -> Found:
    """Find the images of a table's rows.

    Raises:
        UserError: the table cannot be read, lacks a column or a value, or names files that are not
            in the source, or one twice.
    """
    from harness.data.archive import open_source  # numpy and Pillow

    with open_source(table.parent) as folder:
        rows = folder.table(table.name)
    header = list(rows[0])
    for column in columns.used():
        if column not in header:
            raise UserError(f"{table} has no column {column!r}; it has {listed(header)}.")
        if columns.used().count(column) > 1:
            raise UserError(f"Column {column!r} is named for two purposes; give each its own.")
        empty = [str(n) for n, row in enumerate(rows, 2) if row[column].lower() in MISSING]
        if empty:
            raise UserError(
                f"{table}: {len(empty)} rows have nothing in column {column!r}: rows"
                f" {listed(empty)}; fill them in, or leave the rows out."
            )
    files = _Files(source)
    images = files.find(table, [row[columns.image] for row in rows])
    twice = [image for image, count in Counter(images).items() if count > 1]
    if twice:
        raise UserError(
            f"{table}: {len(twice)} images have several rows: {listed(twice)}; keep one of each."
        )
    names = _names({image: PurePosixPath(image) for image in images})
    keys = [names[image] for image in images]
    labels = _whole_numbers([row[columns.label] for row in rows])
    masks = files.find(table, [row[columns.mask] for row in rows]) if columns.mask else []
    unused = [c for c in header if GROUPING.search(c) and c not in columns.used()]
    return Found(
        images=dict(zip(keys, images, strict=True)),
        labels=dict(zip(keys, labels, strict=True)),
        parts=_parts(table, keys, rows, columns.split) if columns.split else {},
        groups={k: r[columns.group] for k, r in zip(keys, rows, strict=True)}
        if columns.group
        else {},
        masks=dict(zip(keys, masks, strict=True)) if columns.mask else {},
        hints=tuple(
            f"column {column!r} may say which images belong together: if so, give"
            f" --group-column {column!r}, or images of one group come into several parts"
            for column in unused
            if not columns.group
        ),
    )


def _parts(
    table: Path, keys: Sequence[str], rows: Sequence[Mapping[str, str]], column: str
) -> dict[str, PartName]:
    """Return the parts that a column names.

    Raises:
        UserError: it has another word.
    """
    unknown = sorted({row[column] for row in rows if row[column].lower() not in PARTS})
    if unknown:
        raise UserError(
            f"{table}: column {column!r} has {listed([repr(word) for word in unknown])}; allowed:"
            f" {', '.join(PARTS)}."
        )
    return {key: PARTS[row[column].lower()] for key, row in zip(keys, rows, strict=True)}


def _whole_numbers(labels: Sequence[str]) -> list[str]:
    """Return labels, whole numbers that a spreadsheet wrote as "1.0" without their ending."""
    if all(re.fullmatch(r"-?\d+(\.0+)?", label) for label in labels):
        return [label.partition(".")[0] for label in labels]
    return list(labels)


class _Files:
    """The images of a source, found by path, by the end of a path, or by name without ending."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._names = source.images()
        self._known = set(self._names)
        self._by_end: dict[str, list[str]] = {}
        for name in self._names:
            path = PurePosixPath(name)
            for end in {path.name, path.stem}:
                self._by_end.setdefault(end, []).append(name)

    def find(self, table: Path, values: Sequence[str]) -> list[str]:
        """Return the files that a column of a table names.

        Raises:
            UserError: some are missing, or several files fit one value.
        """
        found = [self._candidates(value) for value in values]
        missing = [value for value, names in zip(values, found, strict=True) if not names]
        if missing:
            raise UserError(
                f"{table} names {len(missing)} files that are not in {self._source.path}:"
                f" {listed(missing)}; give their folder or archive with --from."
            )
        several = [value for value, names in zip(values, found, strict=True) if len(names) > 1]
        if several:
            raise UserError(
                f"{table}: several files of {self._source.path} fit {listed(several)}; write their"
                " paths into the table."
            )
        return [names[0] for names in found]

    def _candidates(self, value: str) -> list[str]:
        path = PurePosixPath(value.replace("\\", "/"))
        if path.is_absolute():
            root = PurePosixPath(self._source.path.absolute().as_posix())
            if not path.is_relative_to(root):
                return []
            path = path.relative_to(root)
        wanted = path.as_posix()
        if ".." in path.parts:
            return []
        if wanted in self._known:
            return [wanted]
        fitting = self._by_end.get(path.name, [])
        ends = [name for name in fitting if f"/{name}".endswith(f"/{wanted}")]
        if ends:
            return ends
        return [
            name
            for name in fitting
            if f"/{PurePosixPath(name).with_suffix('').as_posix()}".endswith(f"/{wanted}")
        ]
