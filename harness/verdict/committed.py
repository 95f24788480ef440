"""Compare a committed page of verdicts with the table beside it, whose numbers the records hold.

The page's cells are compared with the table's JSON file (``harness.verdict.beside``). From the
cells every number, gain and claim is judged again, with all that the page says of it; then the
summary, and the Markdown from the JSON.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness import files
from harness.errors import Damaged
from harness.ranges import said
from harness.report.check import Remark
from harness.report.check_table import Table, equal
from harness.spec.claim import Margin
from harness.spec.costs import COSTS
from harness.store.made import Made
from harness.verdict import cell as cell_of
from harness.verdict import claims as claims_of
from harness.verdict import effects as effects_of
from harness.verdict import stored, write
from harness.verdict import table as table_of
from harness.verdict.beside import differences as of_table
from harness.verdict.beside import own
from harness.verdict.cell import Gathered
from harness.verdict.page import Number, Verdicts, markdown
from harness.verdict.stored import StoredCell, StoredClaim

LARGEST = 1e15
"""Largest number of a page, as of a printed number."""

ERRORS = (ArithmeticError, ValueError, LookupError, TypeError, AttributeError)
"""What the computation of verdicts raises on values that no page can hold."""


@dataclass(frozen=True, kw_only=True)
class StatedFreeze:
    """When a margin was frozen."""

    since: str


@dataclass(frozen=True, kw_only=True)
class StatedMargin:
    """A margin of a page, and what its ledger says of it."""

    column: str
    value: float
    source: str
    says: str
    frozen: StatedFreeze | None
    runs: int
    runs_before: int


@dataclass(frozen=True, kw_only=True)
class StatedNarrowing:
    """What a page says of the part of the table that it shows."""

    says: str


@dataclass(frozen=True, kw_only=True)
class StatedContext:
    """The seeds that a page shows."""

    seeds: tuple[int, ...]
    made: Made | None = None


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What a page of verdicts was made from, and what is said of all of it."""

    name: str
    title: str
    source: str
    subject: str
    summary: tuple[str, ...]
    remarks: tuple[str, ...]
    scale: tuple[str, ...]
    scales: dict[str, tuple[str, ...]]
    margin: Margin | None
    margins: tuple[StatedMargin, ...]
    narrowed: StatedNarrowing | None
    context: StatedContext
    cells: tuple[StoredCell, ...]
    claims: tuple[StoredClaim, ...]

    def gather(self) -> Gathered:
        """Return the table and its cells."""
        return stored.gather(
            self.cells,
            self.claims,
            subject=self.subject,
            source=self.source,
            margins={m.column: Margin(value=m.value, source=m.source) for m in self.margins},
            scale=self.scales,
        )


def differences(path: Path, value: Any) -> tuple[str, ...] | None:
    """Return a line for each verdict that does not follow; None if a file is no page of verdicts.

    Args:
        path: of the JSON file; its Markdown and its table lie beside it.
        value: of the JSON file.

    Raises:
        Damaged: a file does not fit its format.
    """
    parts = {"name", "summary", "numbers", "effects", "claims"}
    if not isinstance(value, dict) or not parts <= value.keys():
        return None
    page_path = path.with_suffix(".md")
    lines, texts = [*_beyond(value)], []
    if not lines:
        page = _converted(path, value, Verdicts)
        stated = _converted(path, value, Stated)
        try:
            lines += [*_numbers(page, stated, value, path)]
            # The Markdown shows the JSON's numbers, which are compared by themselves.
            texts += [] if lines else [*_markdown(page, page_path)]
        except Damaged:
            raise
        except ERRORS as error:
            lines.append(f"it cannot be judged again: {said(str(error))}")
    remarks = [] if lines else [*_uncompared(page, path)]
    return (
        *(f"{path}: {line}" for line in lines),
        *(f"{page_path}: {line}" for line in texts),
        *(Remark(f"{path}: {line}") for line in remarks),
    )


def _uncompared(page: Verdicts, path: Path) -> Iterator[str]:
    """Yield that the values have no table beside them, so that none were compared.

    A verdict can be on more than any table that was written: on all rows after a run of some.
    """
    has_values = any(number.values for number in page.numbers)
    if has_values and not [*_tables(page, path)]:
        yield (
            f"there is no table {page.name}.json beside it: what follows from its values was"
            " compared, not the values; `harness report` with the same options writes the table"
        )


def _tables(page: Verdicts, path: Path) -> Iterator[Table]:
    """Yield the tables beside a page that have its numbers, the closest first."""
    for name in page.tables or (page.name,):
        beside = path.with_name(f"{name}.json")
        try:
            yield _converted(beside, files.read_json(beside), Table)
        except FileNotFoundError:
            continue


def _converted(path: Path, value: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what = f"does not fit the format of its page: {files.field_error(error)}"
        raise Damaged(path, what) from error


def _numbers(page: Verdicts, stated: Stated, value: Mapping[str, Any], path: Path) -> Iterator[str]:
    wrong = [name for name in (page.name, *page.tables) if Path(name).name != name]
    # A part's page is TABLE-verdict-part-X, its table TABLE-part-X.
    if wrong or not path.stem.startswith((page.name, f"{_experiment(stated)}-verdict")):
        name = (*wrong, page.name)[0]
        yield f"it is the page of {said(name)}, which is not what its file is named after"
        return
    tables = [*_tables(page, path)]
    for number in page.numbers:
        if tables:
            yield from _values(number, tables)
    gathered = stated.gather()
    lines = [*own(gathered), *_margins(stated, gathered)]
    if tables:
        narrowed = stated.narrowed is not None
        lines += of_table(gathered, tables[0], seeds=stated.context.seeds, narrowed=narrowed)
    yield from lines
    # What is made from wrong cells is not told once more.
    yield from [] if lines else _again(page, stated, value, gathered)


def _experiment(stated: Stated) -> str:
    """Return the table's own name; that of its files may be another."""
    made = stated.context.made
    return stated.name if made is None else made.experiment


def _values(number: Number, tables: Sequence[Table]) -> Iterator[str]:
    """Compare a number's values with those of the closest table that has its cell.

    A page may have been written before seeds were added to its table.
    """
    found = ((t.name, row) for t in tables for row in t.rows if row.name == number.row)
    cells = ((name, row.cells[number.column]) for name, row in found if number.column in row.cells)
    name, cell = next(cells, ("", None))
    if cell is None:
        if number.values:
            names = " or ".join(f"{table.name}.json" for table in tables)
            yield f"{number.where}: {names} has no such cell"
        return
    name = f"{name}.json"
    if cell.printed is not None and not equal(cell.printed, float(number.published)):
        yield f"{number.where}: published is {number.published}, {name} says {cell.printed}"
    if number.metric in COSTS:
        if number.mean is not None and not equal(number.mean, cell.value):
            yield f"{number.where}: the cost is {number.mean}, {name} says {cell.value}"
        return
    ours = dict(zip(number.seeds, number.values, strict=False))
    theirs = {entry.seed: entry.value for entry in cell.seeds if entry.value is not None}
    if len(ours) != len(number.values):
        yield f"{number.where}: it has {len(number.values)} values of {len(number.seeds)} seeds"
    elif not ours.keys() <= theirs.keys():
        yield f"{number.where}: seeds are {[*ours]}, {name} says {[*theirs]}"
    for seed in ours.keys() & theirs.keys():
        if not equal(ours[seed], theirs[seed]):
            yield f"{number.where}, seed {seed}: value is {ours[seed]}, {name} says {theirs[seed]}"


def _again(
    page: Verdicts, stated: Stated, value: Mapping[str, Any], gathered: Gathered
) -> Iterator[str]:
    """Judge everything again from the page's cells, and compare it with what the page says."""
    judged = table_of.numbers(gathered)
    effects, claims = effects_of.effects(gathered), claims_of.claims(gathered)
    expected = msgspec.to_builtins(write.judged_to_json(gathered, judged, effects, claims))
    keys = {
        "numbers": ("row", "column"),
        "effects": ("row", "rival", "column"),
        "claims": ("name",),
    }
    for part, names in keys.items():
        yield from _entries(part, names, value[part], expected[part])
    title = table_of.title(_experiment(stated), stated.source, narrowed=stated.narrowed is not None)
    lines = table_of.lines_of(title, stated.subject, judged, effects, claims)
    if stated.title != f"Verdict on {title}":
        yield f"its title is {said(stated.title)}, not {said(f'Verdict on {title}')}"
    if stated.summary != lines:
        yield f"the summary says {list(stated.summary)!r}, its verdicts give {list(lines)!r}"
    answer = table_of.answer_of(page.what, judged)
    if page.answer != answer:
        yield f"it answers {page.answer!r}, its verdicts give {answer!r}"
    scale = table_of.scale(gathered)
    if stated.scale != scale:
        yield f"its scale is {list(stated.scale)!r}, its columns give {list(scale)!r}"
    narrowed = stated.narrowed.says if stated.narrowed is not None else ""
    remarks = table_of.remarks_of(narrowed, stated.margin, scale)
    if stated.remarks != remarks:
        yield f"its remarks are {list(stated.remarks)!r}, its verdicts give {list(remarks)!r}"


def _entries(
    part: str, names: Sequence[str], ours: Sequence[Any], theirs: Sequence[Any]
) -> Iterator[str]:
    """Compare the verdicts of a page's part with those that were judged again."""
    stated = {tuple(entry.get(name) for name in names): entry for entry in ours}
    expected = {tuple(entry[name] for name in names): entry for entry in theirs}
    if len(stated) != len(ours):
        yield f"{part}: some stand there twice"
    for key in expected.keys() - stated.keys():
        yield f"{_where(part, key)}: there is no verdict, its cells need one"
    for key in stated.keys() - expected.keys():
        yield f"{_where(part, key)}: there is a verdict, its cells need none"
    for key in (key for key in stated if key in expected):
        entry, again = stated[key], expected[key]
        for name in (*again, *(name for name in entry if name not in again)):
            a, b = entry.get(name), again.get(name)
            if not _same(a, b):
                yield f"{_where(part, key)}: {name} is {a!r}, its values give {b!r}"


def _where(part: str, key: Sequence[Any]) -> str:
    if part == "numbers":
        return f"row {key[0]}, column {key[1]}"
    if part == "effects":
        return f"gain of {key[0]} over {key[1]}, column {key[2]}"
    return f"claim {key[0]}"


def _same(ours: Any, theirs: Any) -> bool:
    """Whether two nested JSON values are equal, numbers up to rounding."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_same(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return equal(float(ours), float(theirs))
    return bool(ours == theirs)


def _margins(stated: Stated, gathered: Gathered) -> Iterator[str]:
    """Yield the margins that are not those that the page names, each with what it says of it."""
    named = {margin.column: margin for margin in stated.margins}
    needed = cell_of.margins(gathered.table)
    if named.keys() != needed.keys():
        yield f"it names the margins of {sorted(named)}, its verdicts use {sorted(needed)}"
    for (row, column), cell in gathered.cells.items():
        if column not in needed:
            continue
        expected = stated.margin or needed[column]
        if cell.margin != expected:
            yield (
                f"row {row}, column {column}: its margin is ± {cell.margin.value:g}"
                f" ({cell.margin.source}), the page names ± {expected.value:g} ({expected.source})"
            )
    for margin in stated.margins:
        yield from _frozen(margin)


def _frozen(margin: StatedMargin) -> Iterator[str]:
    """Yield that what is said of a margin is not what the entry of its ledger says."""
    where, frozen = f"the margin of {margin.column}", margin.frozen
    begins = "not " if frozen is None else f"frozen since {frozen.since} ("
    if not margin.says.startswith(begins):
        yield f"{where}: it says {said(margin.says)}, its entry gives {said(begins)}"
    before = re.search(r"([0-9]+) of ([0-9]+) runs finished before", margin.says)
    counts = (int(before[1]), int(before[2])) if before else (0, margin.runs)
    if frozen is not None and counts != (margin.runs_before, margin.runs):
        yield (
            f"{where}: {margin.runs_before} of {margin.runs} runs finished before it, but it says"
            f" {said(margin.says)}"
        )


def _beyond(value: Any, where: str = "") -> Iterator[str]:
    """Yield the places of numbers that no table can hold."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _beyond(item, f"{where}.{name}" if where else str(name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _beyond(item, f"{where}[{number}]")
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > LARGEST:
        yield f"{where} is {said(value)}, and no number of a page is beyond {LARGEST:g}"


def _markdown(page: Verdicts, path: Path) -> Iterator[str]:
    """Yield the first line of the Markdown that is not what the JSON file gives, if any."""
    try:
        found = files.read_bytes(path).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return
    expected = markdown(page).splitlines()
    for line, wanted in itertools.zip_longest(found, expected, fillvalue=""):
        if line != wanted:
            yield f"it shows {line!r}, the JSON file gives {wanted!r}"
            return
