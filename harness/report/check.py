"""Compare committed tables with the compact records beside them, number by number.

Tables are read as data: nothing of the run store, of the images or of the experiments is needed.
Every file of a folder is compared with something, named in its list ``unchecked.txt``, or told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from harness import files
from harness.canonical import digest, short
from harness.errors import Damaged, UserError, listed
from harness.ranges import said
from harness.report import check_classes, check_table, check_text, check_ties, unchecked
from harness.report.check_classes import Classes
from harness.report.check_table import Table
from harness.report.unchecked import Unchecked
from harness.store import compact
from harness.store.compact import Archive, KeptTable

TEXTS = (".md", ".tex")
"""Pages of a table that show the numbers of its JSON file."""

SHOWN = (".json", *TEXTS, ".csv")
"""Endings of files that have to be compared with something."""

APART = ("README.md",)
"""Files of a folder of tables that no command writes."""

ERRORS = (ArithmeticError, ValueError, LookupError, TypeError, AttributeError)
"""What a comparison raises on values that no file of a table can hold; ``UserError`` is one."""

OTHER = "it is not the file that was written with the records"


class Remark(str):
    """A line on what a reader should know, although nothing differs."""


Pages = Callable[[Path, Any], "Sequence[str] | None"]
"""Returns lines on what differs of a JSON file, and of the pages beside it, which is made from
other things than records; None if it is of another kind. Called with the file's path and value."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a comparison found; every text is one line that begins with a path.

    Attributes:
        tables: the tables and pages that were compared.
        warnings: what a reader should know, although it contradicts nothing.
        differences: what contradicts the records, is damaged, or is compared with nothing.
        listed: files without records that ``unchecked.txt`` names, with the list and its reason.
        pictures: pictures that no records name.
    """

    tables: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    listed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()


def check(root: Path, name: str | None = None, others: Sequence[Pages] = ()) -> Checked:
    """Compare every table below a folder with the records kept beside it.

    Args:
        root: the folder.
        name: of the only table to compare, with all that is written for it (``table3`` is also
            ``table3-btmd`` and ``table3-classes``), or its path without an ending.
        others: compare pages that are made from other things than records.

    Raises:
        UserError: there is no such folder or table.
    """
    if not root.is_dir():
        raise UserError(f"There is no folder {root} of tables; name one with --out.")
    folders = [_Folder(path, others) for path in sorted({root, *_folders(root)})]
    known = {unit: folder for folder in folders for unit in folder.units}
    if not any(folder.chosen(name) for folder in folders):
        what = "table" if name is None else f"table {name!r}"
        raise UserError(
            f"There is no {what} under {root}; known: {listed(sorted(known)) or 'none'}."
        )
    for folder in folders:
        folder.compare(name)
    return Checked(
        tables=tuple(x for f in folders for x in f.tables),
        warnings=tuple(x for f in folders for x in f.warnings),
        differences=tuple(x for f in folders for x in f.differences),
        listed={
            f"{f.path / unchecked.NAME}" + (f": {f.listed.why}" if f.listed.why else ""): tuple(
                f.unchecked
            )
            for f in folders
            if f.unchecked
        },
        pictures=tuple(x for f in folders for x in f.pictures),
    )


def _folders(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        known = path.name == unchecked.NAME or compact.is_records(path.name)
        if path.suffix in SHOWN or known:
            yield path.parent


class _Folder:
    """The files of one folder with its records; ``compare`` fills the lists of what was found."""

    def __init__(self, path: Path, others: Sequence[Pages]) -> None:
        self.path = path
        self.others = others
        self.tables: list[str] = []
        self.warnings: list[str] = []
        self.differences: list[str] = []
        self.unchecked: list[str] = []
        self.pictures: list[str] = []
        self.archives: list[Archive] = []
        self.damage: list[str] = []
        for file in compact.paths(path):
            archive, damage = _archive(file)
            self.archives.append(archive)
            self.damage += damage
        self.listed = Unchecked()
        try:
            self.listed = unchecked.read(path)
        except Damaged as error:
            self.damage.append(str(error))
        self.owners = {name: table for table in self._kept().values() for name in table.files}
        self.units = self._units()

    def _kept(self) -> Mapping[str, KeptTable]:
        return {name: table for a in reversed(self.archives) for name, table in a.tables.items()}

    def _archive(self, unit: str, keys: Set[str] = frozenset()) -> Archive | None:
        """Return the records of a table: those beside its line, or else those of its runs."""
        own = (archive for archive in self.archives if unit in archive.tables)
        of_runs = (archive for archive in self.archives if keys & archive.records.keys())
        return next(own, None) or next(of_runs, None)

    def _units(self) -> dict[str, list[str]]:
        """Return the files of each table or page, which the folder has or should have, by name."""
        own = (unchecked.NAME, *APART)
        names = {path.name for path in self.path.iterdir() if path.is_file()}
        there = {name for name in names if name not in own and not compact.is_records(name)}
        there = {name for name in there if Path(name).suffix in (*SHOWN, ".png")}
        units: dict[str, list[str]] = {}
        for name in sorted(there | self.owners.keys() | self.listed.files.keys()):
            owner = self.owners.get(name)
            units.setdefault(owner.key if owner else Path(name).stem, []).append(name)
        # A table that is gone altogether is known by its records alone.
        for key in self._kept():
            units.setdefault(key, [])
        return units

    def chosen(self, name: str | None) -> list[str]:
        """Return the names of the tables and pages that are to be compared."""
        return sorted(
            unit
            for unit, names in self.units.items()
            if name is None
            or unit.startswith(f"{name}-")
            or any(name in (s, str(self.path / s)) for s in (unit, *(Path(n).stem for n in names)))
        )

    def compare(self, name: str | None) -> None:
        """Compare the tables and pages of a name."""
        chosen = self.chosen(name)
        self.differences += self.damage if chosen else []
        for unit in chosen:
            names = [n for n in self.units[unit] if (self.path / n).exists()]
            try:
                self._unit(unit, names)
            except Damaged as error:
                self.differences.append(str(error))
            # A file that was edited may hold anything; it is told, and the rest is compared.
            except ERRORS as error:
                path = self.path / f"{unit}.json"
                self.differences.append(f"{path}: it cannot be compared: {said(str(error))}")

    def _unit(self, unit: str, names: Sequence[str]) -> None:
        kept = self._kept().get(unit)
        path = self.path / f"{unit}.json"
        value = files.read_json(path) if path.name in names else None
        page = _page(value)
        content: Table | Classes | None = None
        if page is not None:
            content = _content(path, value, page)
            if self._archive(unit, content.keys()) is not None:
                self._table(path, content, kept, names)
                return
        elif kept is not None:
            self._table(path, None, kept, names)
            return
        elif (found := self._made(path, value)) is not None:
            self.tables.append(str(path.with_suffix("")))
            self.differences += [line for line in found if not isinstance(line, Remark)]
            self.warnings += [line for line in found if isinstance(line, Remark)]
            return
        elif _is_drawing(value) and not self.listed.files.keys() & set(names):
            self.pictures += [str(self.path / name) for name in names]
            return
        self._without(unit, names, content if isinstance(content, Table) else None)

    def _made(self, path: Path, value: Any) -> Sequence[str] | None:
        """Return what differs of a page that is made from other things than records."""
        found = (pages(path, value) for pages in self.others) if value is not None else ()
        return next((lines for lines in found if lines is not None), None)

    def _table(
        self,
        path: Path,
        content: Table | Classes | None,
        kept: KeptTable | None,
        names: Sequence[str],
    ) -> None:
        """Compare a table with its records, its pages with it, and all files with their hashes."""
        keys = frozenset() if content is None else content.keys()
        archive = self._archive(path.stem, keys) or Archive()
        told: dict[Path, list[str]] = {}
        if content is not None:
            told[path] = [*_numbers(content, archive, kept)]
            if isinstance(content, Table) and not told[path]:
                for ending in TEXTS:
                    page = path.with_suffix(ending)
                    told[page] = [*check_text.differences(content, page)]
        lines = [f"{p}: {x}" if p == path else x for p, found in told.items() for x in found]
        if kept is None:
            lines.append(
                f"{path}: {compact.NAME} has records of it, but not its own line: whether its files"
                " are those that were written with them cannot be told"
            )
        else:
            changed, gone, new = self._files(kept, names)
            lines += [f"{p}: {OTHER}" for p in changed if not told.get(p)]
            lines += [f"{p}: it is not among the files that were written with it" for p in new]
            absent = [f"{p} was written with the records and is not there" for p in gone]
            # Without its numbers nothing of a table can be compared.
            (lines if path in gone and names else self.warnings).extend(absent)
            self._stale(names)
        self.tables.append(str(path.with_suffix("")))
        self.differences += lines

    def _files(
        self, kept: KeptTable, names: Sequence[str]
    ) -> tuple[list[Path], list[Path], list[Path]]:
        """Return which files of a table are not those that were written, are gone, or are new."""
        changed, gone = [], []
        for name, sha256 in kept.files.items():
            path = self.path / Path(name).name
            try:
                if files.sha256(path) != sha256:
                    changed.append(path)
            except FileNotFoundError:
                gone.append(path)
        new = [n for n in names if n not in kept.files and Path(n).suffix in SHOWN]
        return changed, gone, [self.path / name for name in new]

    def _stale(self, names: Iterable[str]) -> None:
        still = [name for name in names if name in self.listed.files]
        if still:
            self.warnings.append(
                f"{self.path / unchecked.NAME} names {listed(still)}, whose records are kept now;"
                " remove the lines"
            )

    def _without(self, unit: str, names: Sequence[str], content: Table | None) -> None:
        """Compare files without records with the list, and pages with their JSON file."""
        lines: list[str] = []
        alone: list[str] = []
        for name in names:
            path = self.path / name
            if name in self.listed.files:
                self.unchecked.append(str(path))
                if files.sha256(path) != self.listed.files[name]:
                    lines.append(f"{path}: it is not the file that {unchecked.NAME} names")
            elif path.suffix in SHOWN:
                alone.append(name)
            else:
                self.pictures.append(str(path))
        if content is not None:
            for ending in TEXTS:
                path = self.path / f"{unit}{ending}"
                texts = [*check_text.differences(content, path)]
                # What differs says more than that the file was changed.
                if texts:
                    lines = [line for line in lines if not line.startswith(f"{path}: ")] + texts
        lines += [
            f"{self.path / name} is named in {unchecked.NAME} and is not there"
            for name in self.units[unit]
            if name in self.listed.files and name not in names
        ]
        if alone:
            lines.append(self._alone(unit, alone))
        self.differences += lines

    def _alone(self, unit: str, names: Sequence[str]) -> str:
        records = self.path / compact.NAME
        what = "does not name them" if self.archives else "is not there"
        return (
            f"{self.path / unit}: no records are kept for {listed(names)}: {records} {what}. Write"
            " the table anew with `harness report`, take the records from the repository's history,"
            f" or add the lines of `sha256sum` to {self.path / unchecked.NAME}"
        )


def _archive(path: Path) -> tuple[Archive, list[str]]:
    """Return a file's compact records, and what is wrong with them."""
    try:
        archive = compact.read_file(path)
    except Damaged as error:
        return Archive(), [str(error)]
    damage = [f"{path}: {what}" for what in archive.damage]
    for record in archive.records.values():
        if digest(record.definition) != record.key:
            damage.append(f"{path}: {short(record.key)} is not the key of its definition")
        if record.images is not None and record.images not in archive.images:
            damage.append(f"{path}: the line of the images of {short(record.key)} is missing")
        try:
            damage += [f"{path}: {line}" for line in check_table.contradictions(archive, record)]
        except Damaged as error:
            damage.append(f"{path}: {error}")
    return archive, damage


def _page(value: Any) -> type[Table] | type[Classes] | None:
    """Return the layout of a JSON file; None if it is neither a table nor its classes."""
    if not isinstance(value, dict):
        return None
    if value.get("kind") == "classes":
        return Classes
    table = {"name", "columns", "rows", "context"} <= value.keys() and "study" not in value
    return Table if table else None


def _is_drawing(value: Any) -> bool:
    """Whether a JSON file is the data of a picture of ``harness figures``."""
    return isinstance(value, dict) and {"name", "caption", "experiment", "rule"} <= value.keys()


def _content(path: Path, value: Any, page: type[Table] | type[Classes]) -> Table | Classes:
    try:
        return msgspec.convert(value, page)
    except msgspec.ValidationError as error:
        why = files.field_error(error)
        raise Damaged(path, f"does not fit the format of a table: {why}") from error


def _numbers(content: Table | Classes, archive: Archive, kept: KeptTable | None) -> Iterator[str]:
    """Yield a line for each number of a table that is not what the records say."""
    if isinstance(content, Classes):
        found = [*check_classes.differences(content, archive)]
    else:
        found = [*check_table.differences(content, archive)]
        # Ranks follow from the numbers, so that a wrong number is told once.
        found = found or [*_ties(content, archive)]
    yield from found
    shown = content.keys() | archive.records.keys()
    for key in sorted({*(kept.runs if kept else ())} - shown):
        yield f"the record {short(key)} is missing from {compact.NAME}"


def _ties(content: Table, archive: Archive) -> Iterator[str]:
    try:
        yield from check_ties.differences(content, archive)
    except (LookupError, TypeError, AttributeError) as error:
        yield f"its ties do not fit their format: {error}"
