"""Compare committed tables with the compact records beside them, number by number.

Tables are read as data: nothing of the run store, of the images or of the experiments is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness import files
from harness.canonical import digest, short
from harness.errors import Damaged, UserError, listed
from harness.report import check_table
from harness.report.check_table import Number, Table, equal
from harness.report.markdown import escape
from harness.report.numbers import fixed
from harness.spec.costs import COSTS
from harness.store import compact
from harness.store.compact import Archive
from harness.store.result import Rule


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a comparison found; every text is one line that begins with a path.

    Attributes:
        tables: the tables and pages that were compared.
        warnings: what could not be compared, and why.
        differences: what contradicts the records, or is damaged.
        others: files that show no runs (audits, for instance).
    """

    tables: tuple[str, ...]
    warnings: tuple[str, ...]
    differences: tuple[str, ...]
    others: tuple[str, ...]


def check(root: Path, name: str | None = None) -> Checked:
    """Compare every table below a folder with the records kept beside it.

    Args:
        root: the folder.
        name: of the only table to compare, with all that is written for it (``table3`` is also
            ``table3-btmd`` and ``table3-classes``), or its path without an ending.

    Raises:
        UserError: there is no such folder or table.
    """
    if not root.is_dir():
        raise UserError(f"There is no folder {root} of tables; name one with --out.")
    found = [path for path in sorted(root.rglob("*.json")) if _named(path, name)]
    if not found:
        known = sorted({path.stem for path in root.rglob("*.json")})
        what = "table" if name is None else f"table {name!r}"
        raise UserError(f"There is no {what} under {root}; known: {listed(known) or 'none'}.")
    tables, warnings, differences, others = [], [], [], []
    for folder in sorted({path.parent for path in found}):
        archive, damage = _archive(folder)
        differences += damage
        for path in (path for path in found if path.parent == folder):
            try:
                lines = _compare(path, archive)
            except Damaged as error:
                differences.append(str(error))
                continue
            if lines is None:
                others.append(str(path))
                continue
            if isinstance(lines, str):
                warnings.append(lines)
                continue
            tables.append(str(path.with_suffix("")))
            differences += lines.differences
            warnings += lines.gone
    return Checked(
        tables=tuple(tables),
        warnings=tuple(warnings),
        differences=tuple(differences),
        others=tuple(others),
    )


def _named(path: Path, name: str | None) -> bool:
    if name is None:
        return True
    stem = str(path.with_suffix(""))
    return path.stem == name or path.stem.startswith(f"{name}-") or stem == name


def _archive(folder: Path) -> tuple[Archive | None, list[str]]:
    """Return a folder's compact records, and what is wrong with them."""
    path = folder / compact.NAME
    try:
        archive = compact.read(folder)
    except Damaged as error:
        return Archive(), [str(error)]
    if archive is None:
        return None, []
    damage = [f"{path}: {what}" for what in archive.damage]
    for record in archive.records.values():
        if digest(record.definition) != record.key:
            damage.append(f"{path}: {short(record.key)} is not the key of its definition")
        try:
            damage += [f"{path}: {line}" for line in check_table.contradictions(archive, record)]
        except Damaged as error:
            damage.append(f"{path}: {error}")
    return archive, damage


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What differs in the files of one table, and which of them are gone."""

    differences: tuple[str, ...]
    gone: tuple[str, ...]


def _compare(path: Path, archive: Archive | None) -> _Found | str | None:
    """Return what differs in one table, or why it cannot be compared; None if it shows no runs.

    Raises:
        Damaged: its JSON file cannot be read.
    """
    name = path.with_suffix("")
    value = files.read_json(path)
    page = _page(value)
    if page is None:
        sweep = isinstance(value, dict) and "study" in value
        return f"no records of trials are kept for {name}, a sweep" if sweep else None
    content: Table | Classes
    try:
        content = msgspec.convert(value, page)
    except msgspec.ValidationError as error:
        why = files.field_error(error)
        raise Damaged(path, f"does not fit the format of a table: {why}") from error
    kept = archive.tables.get(content.name) if archive else None
    keys = content.keys()
    if archive is None or (kept is None and not keys & archive.records.keys()):
        return f"no records are kept for {name}"
    if isinstance(content, Classes):
        numbers = [*_classes(content, archive)]
    else:
        numbers = [*check_table.differences(content, archive)]
    absent = sorted({*(kept.runs if kept else ())} - keys - archive.records.keys())
    numbers += [f"the record {short(key)} is missing from {compact.NAME}" for key in absent]
    changed, gone = _files(path.parent, kept.files if kept else {})
    # The page's numbers are those of the JSON file, which is compared by itself.
    page_path = path.with_suffix(".md")
    texts = [*_markdown(content, page_path)] if isinstance(content, Table) and not numbers else []
    told = {path: numbers, page_path: texts}
    others = [f"{p}: {OTHER}" for p in changed if not told.get(p)]
    return _Found(
        differences=(*(f"{path}: {line}" for line in numbers), *texts, *others),
        gone=tuple(f"{p} was written with the records and is not there" for p in gone),
    )


OTHER = "it is not the file that was written with the records"


def _page(value: Any) -> type[Table] | type[Classes] | None:
    """Return the layout of a JSON file; None if it is neither a table nor its classes."""
    if not isinstance(value, dict):
        return None
    if value.get("kind") == "classes":
        return Classes
    return Table if {"name", "columns", "rows", "context"} <= value.keys() else None


def _files(folder: Path, kept: Mapping[str, str]) -> tuple[list[Path], list[Path]]:
    """Return which files of a table are not those that were written, and which are gone."""
    changed, gone = [], []
    for name, sha256 in kept.items():
        path = folder / Path(name).name
        try:
            if files.sha256(path) != sha256:
                changed.append(path)
        except FileNotFoundError:
            gone.append(path)
    return changed, gone


def _markdown(table: Table, path: Path) -> Iterator[str]:
    """Yield a line for each number of a table that its Markdown does not show in its row."""
    try:
        text = files.read_bytes(path).decode(errors="replace")
    except FileNotFoundError:
        return
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    for row in table.rows:
        label = escape(row.label)
        own = [cells for cells in lines if label in [c.strip("| ") for c in cells]]
        for column in table.columns:
            cell = row.cells.get(column.name)
            if cell is None or cell.value is None or column.metric in COSTS:
                continue
            number = escape(fixed(cell.value, column.digits))
            if not any(number in _numbers(c) for cells in own for c in cells):
                yield f"{path}: row {row.name}, column {column.name}: {number} is not in its row"


def _numbers(cell: str) -> list[str]:
    """Return the words of a cell without what emphasises them."""
    for mark in ("**", "<ins>", "</ins>", "<sup>", "|"):
        cell = cell.replace(mark, " ")
    return cell.split()


@dataclass(frozen=True, kw_only=True)
class ClassesRun:
    """The part of a run's figures per class that is compared."""

    seed: int
    key: str
    n: int
    metrics: Mapping[str, Number]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class ClassesRow:
    """A row on one data set."""

    name: str
    runs: tuple[ClassesRun, ...]


@dataclass(frozen=True, kw_only=True)
class ClassesOfDataset:
    """A data set with its rows."""

    name: str
    classes: tuple[str, ...]
    rows: tuple[ClassesRow, ...]


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The part of the JSON file of ``--classes`` that is compared."""

    name: str
    context: check_table.Context
    datasets: tuple[ClassesOfDataset, ...]

    def keys(self) -> set[str]:
        """Return the keys of all runs."""
        rows = [row for dataset in self.datasets for row in dataset.rows]
        return {run.key for row in rows for run in row.runs}


def _classes(content: Classes, archive: Archive) -> Iterator[str]:
    for dataset in content.datasets:
        for row in dataset.rows:
            for run in row.runs:
                where = f"row {row.name}, {dataset.name}, seed {run.seed}"
                yield from _run(run, len(dataset.classes), content.context.rule, archive, where)


def _run(run: ClassesRun, classes: int, rule: Rule, archive: Archive, where: str) -> Iterator[str]:
    record = archive.records.get(run.key)
    if record is None:
        yield f"{where}: the record {short(run.key)} is missing from {compact.NAME}"
        return
    pair = archive.predicted(record, rule)
    if pair is None:
        yield f"{where}: the record {short(run.key)} has no predictions"
        return
    counts = check_table.confusion(*pair, classes)
    for label, (ours, theirs) in enumerate(zip(run.confusion, counts, strict=True)):
        if not equal(ours, theirs):
            yield f"{where}: confusion of class {label} is {[*ours]}, the records say {theirs}"
    evaluation = record.evaluation()
    stated = {
        **(evaluation.at(rule).metrics if evaluation else {}),
        **(record.computed or {}).get(rule, {}),
    }
    for name, value in run.metrics.items():
        if not equal(value, stated.get(name)):
            yield f"{where}: {name} is {value}, the records say {stated.get(name)}"
